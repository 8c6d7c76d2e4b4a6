//! The vocabulary: one typed event per thing worth knowing. Logs, metrics, traces and checkers subscribe to it.
//!
//! Identities inside are wrapped in [`Pii`]: what prints them decides, and the default is a redaction.

use bytes::Bytes;
pub use sip::identity::Pii;

use crate::wire::{Destination, Flow};

/// Something worth knowing.
#[derive(Clone, Debug)]
pub enum Event {
    /// Bytes that are no SIP message, or a message no rule allows. Counted by `cause`.
    MessageRejected {
        /// The way it came.
        flow: Flow,
        /// The cause, a constant word for a counter (`malformed`, `too_many_hops`, `loop`, `unknown_version` …).
        cause: &'static str,
        /// The sentence for people.
        reason: String,
        /// What was answered; `None`: dropped.
        answered: Option<u16>,
    },
    /// A SIP message was received (after parsing) or sent. Feeds the trace; costs nothing when nobody listens.
    SipReceived {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// See [`Event::SipReceived`].
    SipSent {
        /// Where to.
        destination: Destination,
        /// The message.
        bytes: Bytes,
        /// Is it a repetition by a transaction timer?
        is_retransmission: bool,
    },
    /// A received message was a repetition and was absorbed.
    RetransmissionAbsorbed {
        /// Its method.
        method: String,
    },
    /// A Diameter request or answer was received or sent, for the trace.
    Diameter {
        /// `true`: from the peer.
        is_received: bool,
        /// The peer's host.
        peer: String,
        /// The command with R bit: `UAR`, `UAA` …
        command: &'static str,
        /// Result for answers, in words (`2001 FIRST_REGISTRATION`); for SAR what it is about (`TIMEOUT_DEREGISTRATION`).
        result: Option<String>,
        /// End-to-end identifier (RFC 6733 §3), by which the records of both sides are paired; none when the request was
        /// refused before it was sent.
        end_to_end: Option<u32>,
        /// Private identity, if any.
        private_identity: Option<Pii<String>>,
        /// Public identity, if any.
        public_identity: Option<Pii<String>>,
    },
    /// A Diameter peer can be used now.
    DiameterPeerUp {
        /// Its host.
        peer: String,
    },
    /// A Diameter peer cannot be used any more.
    DiameterPeerDown {
        /// Its host.
        peer: String,
        /// Why.
        reason: String,
    },
    /// Bytes of a Diameter peer that break a rule; its connection is closed when they cannot be told apart any more.
    DiameterRejected {
        /// Its host, `unknown` before it said so.
        peer: String,
        /// What was wrong.
        reason: String,
    },
    /// A procedure ended. Counted by name and outcome.
    Procedure {
        /// `registration`, `re_registration`, `de_registration`, `call`, `message`, `subscription` …
        name: &'static str,
        /// `ok`, or the cause of failure as a constant word (`wrong_password`, `unknown_subscriber`, `stale_sqn` …).
        outcome: &'static str,
        /// Who.
        identity: Pii<String>,
        /// More for people; never a secret.
        detail: String,
    },
    /// A request was refused because the function has too much to do.
    Shed {
        /// Its method.
        method: String,
    },
    /// Something the operator must know (store cannot be written, clock jumped …).
    Alarm {
        /// A constant word.
        cause: &'static str,
        /// The sentence.
        reason: String,
    },
}
