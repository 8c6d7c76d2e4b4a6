//! The Diameter core: codec, peer machine and the Cx application. No I/O, no clock (RFC 6733, RFC 3539, TS 29.228/29.229).

#![forbid(unsafe_code)]

pub mod avp;
pub mod codec;
pub mod cx;
pub mod dictionary;
pub mod peer;
