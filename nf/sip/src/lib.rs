//! The SIP core: messages, URIs, framing, transactions, digest and AKA. No I/O, no clock (RFC 3261 and companions).
//!
//! A received message is a [`Message`]: one `Bytes` and the positions of its header lines in it. What a function
//! changes is a [`Draft`]: a list of edits on top of a message; everything not named in an edit leaves byte for
//! byte as it came.

#![forbid(unsafe_code)]

pub mod aka;
pub mod diagnosis;
pub mod digest;
pub mod framing;
pub mod header;
pub mod hex;
pub mod identity;
pub mod message;
pub mod secret;
pub mod transaction;
pub mod uri;

pub use header::{CSeq, NameAddress, Via};
pub use message::{Draft, Message, Method, Name, ParseError};
pub use uri::{Host, Uri};
