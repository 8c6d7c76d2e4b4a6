//! A SIP message as a view on the bytes it came in, and the edits that make the next one of it.
//!
//! [`Message::parse`] checks framing, start line and the shape of header lines, notes where each line lies, and
//! allocates once. Header values are read when somebody asks. [`Draft`] holds edits; [`Draft::emit`] writes the new
//! message: untouched lines are copied byte for byte, in their order.
//!
//! What is strict and what is liberal:
//! - Lines end in CRLF. A bare CR or LF in the header section is refused with 400: two elements in a chain that
//!   disagree about where a header line ends would let a device smuggle a header field past the one that removes it.
//! - The header section is valid UTF-8 (RFC 3261 §25.1); the body is octets.
//! - CRLFs before the start line are skipped (RFC 3261 §7.5).
//! - Whitespace that the grammar allows around `:`, `;`, `=`, `/`, `,` and in folded lines is accepted everywhere.
//! - What nobody here acts upon (Date, Warning, unknown fields) is passed on unread.
//!
//! `parse` finds the lines, `validate` reads what every proxy relies on, `list` cuts comma-separated values,
//! `draft`, `edit` and `emit` make the next message.

mod draft;
mod edit;
mod emit;
pub(crate) mod list;
mod method;
mod name;
mod parse;
mod validate;
mod view;

pub use draft::Draft;
pub use method::Method;
pub use name::Name;
pub use view::Message;

pub(crate) use parse::content_length;

/// The longest header section, start line and empty line included, in bytes. RFC 3261 §18.1.1 demands that datagrams of
/// 65,535 bytes are accepted; on a stream the same limit keeps a peer from filling memory.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The longest body, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most header lines in one message. A request that crossed 70 proxies, each adding Via and Record-Route, has
/// fewer than 300; more is an attempt to make the index, 20 bytes for a line, larger than the text.
pub const HEADER_LINES_MAX: usize = 1024;

/// Why bytes are not a SIP message. Each says what a receiver does: see [`ParseError::answer_status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    /// What is wrong, in words, with the header field's name when it is one.
    pub reason: String,
    /// The status a server answers with when the message was a request with enough left to build a response
    /// (400, 501, 505 …); `None`: drop it. A response and an ACK are never answered.
    pub answer_status: Option<u16>,
}

#[cfg(test)]
mod tests;
