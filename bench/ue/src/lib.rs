//! A telephone as a machine: registers, calls, answers, sends messages. No I/O, no clock: the load generator gives it
//! sockets, the simulation a virtual network.
//!
//! ```text
//!  Order (register, call …) ─▶ Device ─▶ Output::Send   bytes for the P-CSCF
//!  bytes of the P-CSCF ───────▶        ─▶ Output::Report what happened and when, for figures and checkers
//! ```
//!
//! It behaves as TS 24.229 wants of a device without IPsec: AKA or digest, Service-Route as pre-loaded route,
//! retransmissions of its own, and it answers a request as often as the request comes, with the same bytes.

#![forbid(unsafe_code)]

mod call;
mod credentials;
mod device;
mod register;
mod report;
mod text;

pub use credentials::Credentials;
pub use device::{Device, Output};
pub use report::{CallId, Failure, Report};

use std::net::SocketAddr;

use clock::Duration;
use sip::transaction::Timers;

/// Who a device is and how it behaves.
#[derive(Clone, Debug)]
pub struct Profile {
    /// IMPI.
    pub private_identity: String,
    /// The IMPU it registers and calls from.
    pub public_identity: String,
    /// The home domain: Request-URI of REGISTER and digest realm.
    pub home_domain: String,
    /// What it proves its identity with.
    pub credentials: Credentials,
    /// Its own address, for Contact and Via.
    pub address: SocketAddr,
    /// The P-CSCF's address.
    pub pcscf: SocketAddr,
    /// Over TCP?
    pub is_reliable: bool,
    /// T1, T2, T4 (spec 4.10: 2 s, 16 s, 17 s at a 3GPP device; 0.5 s, 4 s, 5 s by RFC 3261).
    pub timers: Timers,
    /// Expires asked for.
    pub registration_seconds: u32,
    /// How it behaves as a callee.
    pub callee: Callee,
}

/// What a device does when it is called.
#[derive(Clone, Copy, Debug)]
pub struct Callee {
    /// Rings for this long, then does what `answer` says.
    pub ring: Duration,
    /// What it does then.
    pub answer: AnswerBehaviour,
    /// Sends its 180 reliably when the caller supports it (RFC 3262).
    pub is_ringing_reliable: bool,
}

/// How a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBehaviour {
    /// 200.
    Accept,
    /// 486.
    Busy,
    /// Rings for ever.
    Never,
}

impl Default for Callee {
    fn default() -> Self {
        Callee { ring: Duration::ZERO, answer: AnswerBehaviour::Accept, is_ringing_reliable: false }
    }
}
