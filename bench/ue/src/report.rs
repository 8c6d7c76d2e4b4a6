//! What a device tells: the instants of the sub-scenarios S1-D1 to S1-D6 (TS 186 008) and how procedures ended.

use clock::{Duration, Instant};

/// The Call-ID of a call or message, the same text on both sides.
pub type CallId = String;

/// Why a procedure of a device failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A final response that is no success.
    Refused(u16),
    /// No final response.
    TimedOut,
    /// The challenge could not be answered: its reason.
    Challenge(&'static str),
}

/// Something that happened at a device.
#[derive(Clone, Debug)]
pub enum Report {
    /// The 401 for the first REGISTER is here (S1-D5).
    Challenged {
        /// Since the REGISTER was first sent.
        after: Duration,
        /// Is it a further challenge in the same registration?
        is_second: bool,
    },
    /// Registered (S1-D6).
    Registered {
        /// Since the REGISTER with credentials was first sent.
        after: Duration,
        /// Seconds granted.
        expires_seconds: u32,
    },
    /// De-registered by itself.
    Deregistered,
    /// Registration or de-registration failed.
    RegistrationFailed(Failure),
    /// An INVITE was sent.
    InviteSent {
        /// The call.
        call: CallId,
        /// When.
        at: Instant,
    },
    /// An INVITE arrived (S1-D2 ends).
    InviteArrived {
        /// The call.
        call: CallId,
        /// When.
        at: Instant,
    },
    /// The callee sent its 200 for the first time.
    AnswerSent {
        /// The call.
        call: CallId,
        /// When.
        at: Instant,
    },
    /// The caller has the 200.
    Answered {
        /// The call.
        call: CallId,
        /// When.
        at: Instant,
    },
    /// The callee has the ACK (S1-D1 ends).
    Acknowledged {
        /// The call.
        call: CallId,
        /// When.
        at: Instant,
    },
    /// The 200 for a BYE is here (S1-D3).
    Released {
        /// The call.
        call: CallId,
        /// Since the BYE was first sent.
        after: Duration,
    },
    /// The other side hung up.
    HungUp {
        /// The call.
        call: CallId,
    },
    /// A call was not answered with 200: rejected, cancelled, or in error.
    CallFailed {
        /// The call.
        call: CallId,
        /// Why.
        failure: Failure,
    },
    /// A BYE was not answered with 200.
    ReleaseFailed {
        /// The call.
        call: CallId,
        /// Why.
        failure: Failure,
    },
    /// Another request inside a dialog, or of the device, got its final answer (UPDATE, PRACK, SUBSCRIBE, re-INVITE).
    RequestDone {
        /// The method.
        method: String,
        /// Its status; 408 when there was none.
        status: u16,
    },
    /// The 200 for a MESSAGE is here (S1-D4).
    MessageDelivered {
        /// Its Call-ID.
        call: CallId,
        /// Since it was first sent.
        after: Duration,
    },
    /// A MESSAGE failed.
    MessageFailed {
        /// Its Call-ID.
        call: CallId,
        /// Why.
        failure: Failure,
    },
    /// A MESSAGE arrived for the first time.
    MessageArrived {
        /// Its Call-ID.
        call: CallId,
        /// Its body.
        body: String,
    },
    /// A NOTIFY arrived for the first time.
    Notified {
        /// Its body.
        body: String,
        /// Does it end the subscription?
        is_terminal: bool,
    },
    /// A request was sent again by its timer.
    Retransmitted {
        /// The method.
        method: String,
    },
    /// The network gave a second, different final answer to one request: never right (INV "one final answer").
    SecondFinalAnswer {
        /// The method.
        method: String,
        /// The first and the second status.
        statuses: (u16, u16),
    },
    /// A message could not be read.
    Malformed {
        /// Why.
        reason: String,
    },
}
