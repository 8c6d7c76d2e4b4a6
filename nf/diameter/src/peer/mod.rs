//! One Diameter peer over one TCP connection (RFC 6733 §5.6, RFC 3539).
