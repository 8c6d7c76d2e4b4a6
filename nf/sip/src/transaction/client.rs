//! The client's side: a request was sent, what now? (RFC 3261 §17.1, RFC 6026 §7.2)
//!
//! ```text
//!  INVITE                                                 non-INVITE
//!            │ sent                                                 │ sent
//!            ▼            A: Resend                                 ▼            E: Resend
//!  ┌──── Calling ────┐    B: TimedOut ──▶ Terminated      ┌───── Trying ─────┐   F: TimedOut ──▶ Terminated
//!  │      1xx│Deliver│300+                                │      1xx│Deliver │200+
//!  │         ▼       │DeliverAndAck                       │         ▼        │Deliver
//!  │2xx  Proceeding ─┤    cancelled, 64·T1: TimedOut      │    Proceeding ───┤   E: Resend, F: TimedOut
//!  │Deliver  │       ▼                                    │    1xx Deliver   ▼
//!  │      2xx│   Completed ──D──▶ Terminated              │              Completed ──K──▶ Terminated
//!  ▼         ▼    300+ AckAgain                           │               Absorb
//!  Accepted ◀┘                                            └──▶ Completed
//!   2xx Deliver ──M──▶ Terminated
//! ```
//!
//! Over a reliable transport A, D, E and K do not run: what they would end is Terminated at once.

use clock::Instant;
use serde::{Deserialize, Serialize};

use super::{Repetition, Timers, earliest};

/// What to do with a response that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientReaction {
    /// Hand it on.
    Deliver,
    /// Hand it on and send an ACK for it: the first final response to an INVITE that is not a 2xx.
    DeliverAndAck,
    /// Only send the ACK again.
    AckAgain,
    /// Drop it.
    Absorb,
}

/// What to do because time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTimeout {
    /// Send the same bytes again.
    Resend,
    /// No final response came: stand in for it. The transaction is over.
    TimedOut,
    /// The transaction is over and nobody needs to know.
    Terminated,
    /// Called too early.
    Nothing,
}

/// One request sent and what is awaited for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTransaction {
    timers: Timers,
    is_reliable: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Invite(Invite),
    NonInvite(NonInvite),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Invite {
    Calling {
        resend: Option<Repetition>,
        give_up_at: Instant,
    },
    /// `give_up_at` is set once a CANCEL was sent.
    Proceeding {
        give_up_at: Option<Instant>,
    },
    Completed {
        until: Instant,
    },
    Accepted {
        until: Instant,
    },
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum NonInvite {
    Trying { resend: Option<Repetition>, give_up_at: Instant },
    Proceeding { resend: Option<Repetition>, give_up_at: Instant },
    Completed { until: Instant },
    Terminated,
}

impl ClientTransaction {
    /// The caller has just sent the request.
    pub fn new(now: Instant, is_invite: bool, is_reliable: bool, timers: Timers) -> Self {
        let resend = (!is_reliable).then(|| Repetition::start(now, &timers));
        let give_up_at = now + timers.give_up();
        let state = if is_invite {
            State::Invite(Invite::Calling { resend, give_up_at })
        } else {
            State::NonInvite(NonInvite::Trying { resend, give_up_at })
        };
        ClientTransaction { timers, is_reliable, state }
    }

    /// A response has matched.
    pub fn on_response(&mut self, now: Instant, status: u16) -> ClientReaction {
        let (reaction, state) = match self.state {
            State::Invite(state) => {
                let (reaction, state) = self.invite_on_response(state, now, status);
                (reaction, State::Invite(state))
            }
            State::NonInvite(state) => {
                let (reaction, state) = self.non_invite_on_response(state, now, status);
                (reaction, State::NonInvite(state))
            }
        };
        self.state = state;
        reaction
    }

    fn invite_on_response(&self, state: Invite, now: Instant, status: u16) -> (ClientReaction, Invite) {
        match (state, status) {
            (Invite::Calling { .. }, 100..=199) => {
                (ClientReaction::Deliver, Invite::Proceeding { give_up_at: None })
            }
            (Invite::Proceeding { .. }, 100..=199) => (ClientReaction::Deliver, state),
            (Invite::Calling { .. } | Invite::Proceeding { .. }, 200..=299) => {
                // Timer M runs on reliable transports too: repeated 2xx come from the far end (RFC 6026 §8.4).
                (ClientReaction::Deliver, Invite::Accepted { until: now + self.timers.give_up() })
            }
            (Invite::Calling { .. } | Invite::Proceeding { .. }, 300..) if self.is_reliable => {
                (ClientReaction::DeliverAndAck, Invite::Terminated)
            }
            (Invite::Calling { .. } | Invite::Proceeding { .. }, 300..) => {
                (ClientReaction::DeliverAndAck, Invite::Completed { until: now + self.timers.give_up() })
            }
            (Invite::Completed { .. }, 300..) => (ClientReaction::AckAgain, state),
            (Invite::Accepted { .. }, 200..=299) => (ClientReaction::Deliver, state),
            (Invite::Completed { .. } | Invite::Accepted { .. } | Invite::Terminated, _) | (_, ..100) => {
                (ClientReaction::Absorb, state)
            }
        }
    }

    fn non_invite_on_response(
        &self,
        state: NonInvite,
        now: Instant,
        status: u16,
    ) -> (ClientReaction, NonInvite) {
        match (state, status) {
            (
                NonInvite::Trying { resend, give_up_at } | NonInvite::Proceeding { resend, give_up_at },
                100..=199,
            ) => (ClientReaction::Deliver, NonInvite::Proceeding { resend, give_up_at }),
            (NonInvite::Trying { .. } | NonInvite::Proceeding { .. }, 200..) if self.is_reliable => {
                (ClientReaction::Deliver, NonInvite::Terminated)
            }
            (NonInvite::Trying { .. } | NonInvite::Proceeding { .. }, 200..) => {
                (ClientReaction::Deliver, NonInvite::Completed { until: now + self.timers.t4 })
            }
            (NonInvite::Completed { .. } | NonInvite::Terminated, _) | (_, ..100) => {
                (ClientReaction::Absorb, state)
            }
        }
    }

    /// A CANCEL was sent for it: no final response within 64·T1 ends it (RFC 3261 §9.1). Without effect unless the
    /// INVITE is proceeding.
    pub fn on_cancel(&mut self, now: Instant) {
        if let State::Invite(Invite::Proceeding { give_up_at: give_up_at @ None }) = &mut self.state {
            *give_up_at = Some(now + self.timers.give_up());
        }
    }

    /// The request, or an ACK, could not be delivered. Is the user to be told, because no final response had come?
    ///
    /// In Accepted nothing changes: the ACK for a 2xx is not this transaction's, and more 2xx may come.
    pub fn on_transport_error(&mut self, _now: Instant) -> bool {
        let was_waiting = !self.is_completed();
        match &mut self.state {
            State::Invite(Invite::Accepted { .. }) => {}
            State::Invite(state) => *state = Invite::Terminated,
            State::NonInvite(state) => *state = NonInvite::Terminated,
        }
        was_waiting
    }

    /// Time has passed. Call again until it says `Nothing`, or when [`Self::deadline`] says.
    pub fn on_timeout(&mut self, now: Instant) -> ClientTimeout {
        match &mut self.state {
            State::Invite(state) => invite_on_timeout(state, now),
            State::NonInvite(state) => non_invite_on_timeout(state, now, &self.timers),
        }
    }

    /// When to call [`Self::on_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Invite(Invite::Calling { resend, give_up_at })
            | State::NonInvite(
                NonInvite::Trying { resend, give_up_at } | NonInvite::Proceeding { resend, give_up_at },
            ) => Some(earliest(resend, give_up_at)),
            State::Invite(Invite::Proceeding { give_up_at }) => give_up_at,
            State::Invite(Invite::Completed { until } | Invite::Accepted { until })
            | State::NonInvite(NonInvite::Completed { until }) => Some(until),
            State::Invite(Invite::Terminated) | State::NonInvite(NonInvite::Terminated) => None,
        }
    }

    /// Is it an INVITE's?
    pub fn is_invite(&self) -> bool {
        matches!(self.state, State::Invite(_))
    }

    /// Has a provisional response come, and no final one? Only then may an INVITE be cancelled (RFC 3261 §9.1).
    pub fn is_proceeding(&self) -> bool {
        matches!(
            self.state,
            State::Invite(Invite::Proceeding { .. }) | State::NonInvite(NonInvite::Proceeding { .. })
        )
    }

    /// Is the waiting for a final response over, by a response or otherwise?
    pub fn is_completed(&self) -> bool {
        !matches!(
            self.state,
            State::Invite(Invite::Calling { .. } | Invite::Proceeding { .. })
                | State::NonInvite(NonInvite::Trying { .. } | NonInvite::Proceeding { .. })
        )
    }

    /// May it be forgotten?
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Invite(Invite::Terminated) | State::NonInvite(NonInvite::Terminated))
    }
}

fn invite_on_timeout(state: &mut Invite, now: Instant) -> ClientTimeout {
    match state {
        Invite::Calling { give_up_at, .. } | Invite::Proceeding { give_up_at: Some(give_up_at) }
            if *give_up_at <= now =>
        {
            *state = Invite::Terminated;
            ClientTimeout::TimedOut
        }
        Invite::Calling { resend: Some(resend), .. } if resend.is_due(now) => {
            // RFC 3261 §17.1.1.2: timer A doubles without a limit of T2; timer B ends it.
            *resend = resend.doubled(now, clock::Duration::MAX);
            ClientTimeout::Resend
        }
        Invite::Completed { until } | Invite::Accepted { until } if *until <= now => {
            *state = Invite::Terminated;
            ClientTimeout::Terminated
        }
        _ => ClientTimeout::Nothing,
    }
}

fn non_invite_on_timeout(state: &mut NonInvite, now: Instant, timers: &Timers) -> ClientTimeout {
    match state {
        NonInvite::Trying { give_up_at, .. } | NonInvite::Proceeding { give_up_at, .. }
            if *give_up_at <= now =>
        {
            *state = NonInvite::Terminated;
            ClientTimeout::TimedOut
        }
        NonInvite::Trying { resend: Some(resend), .. } if resend.is_due(now) => {
            *resend = resend.doubled(now, timers.t2);
            ClientTimeout::Resend
        }
        NonInvite::Proceeding { resend: Some(resend), .. } if resend.is_due(now) => {
            // RFC 3261 §17.1.2.2: once a provisional response came, every pause is T2.
            *resend = Repetition { at: now + timers.t2, interval: timers.t2 };
            ClientTimeout::Resend
        }
        NonInvite::Completed { until } if *until <= now => {
            *state = NonInvite::Terminated;
            ClientTimeout::Terminated
        }
        _ => ClientTimeout::Nothing,
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
