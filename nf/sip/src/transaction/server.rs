//! The server's side: a request was received, what now? (RFC 3261 §17.2, RFC 6026 §7.1, RFC 4320 §4.1)
//!
//! ```text
//!  INVITE                                                   non-INVITE
//!            │ received                                                │ received
//!            ▼                                                         ▼
//!        Proceeding        again: repeat, if anything               Trying        again: Absorb
//!        │        │        was sent; else Absorb                    │    │        3.5 s: SendTrying
//!   2xx  │        │ 300+                                         100 │    │ 200+
//!        ▼        ▼                                                 ▼    ▼
//!  Accepted    Completed   again or G: RepeatLastResponse   Proceeding──▶Completed   again: RepeatLastResponse
//!  again:      │       │                                    again:       │
//!  Absorb      │ACK    │H: AckMissing                       repeat       │J
//!   │L         ▼       │                                                 ▼
//!   │      Confirmed   │   again: Absorb                             Terminated
//!   ▼          ▼ I     ▼
//!  Terminated ◀────────┘
//! ```
//!
//! Over a reliable transport G, I and J do not run: what I and J would end is Terminated at once.

use clock::Instant;
use serde::{Deserialize, Serialize};

use super::{Repetition, Timers, earliest};

/// What to do with a request that came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerReaction {
    /// Send the last response again.
    RepeatLastResponse,
    /// Drop it.
    Absorb,
}

/// What to do with an ACK that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAck {
    /// It has done its work here: drop it.
    Absorb,
    /// It is for a 2xx, by a client that does not give such an ACK a branch of its own: hand it on (RFC 6026 §7.1).
    Deliver,
}

/// What to do because time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTimeout {
    /// Send the last response again.
    RepeatLastResponse,
    /// A non-INVITE request has waited so long that its client repeats it only every T2: answer 100 (RFC 4320 §4.1).
    /// Tell [`ServerTransaction::on_respond`] as for any response.
    SendTrying,
    /// No ACK came for the final response. The transaction is over.
    AckMissing,
    /// The transaction is over and nobody needs to know.
    Terminated,
    /// Called too early.
    Nothing,
}

/// One request received and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerTransaction {
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
    /// Is there a provisional response to repeat?
    Proceeding {
        has_provisional: bool,
    },
    Completed {
        resend: Option<Repetition>,
        give_up_at: Instant,
    },
    Confirmed {
        until: Instant,
    },
    Accepted {
        until: Instant,
    },
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum NonInvite {
    /// `trying_at`: when a 100 becomes due.
    Trying {
        trying_at: Option<Instant>,
    },
    Proceeding,
    Completed {
        until: Instant,
    },
    Terminated,
}

impl ServerTransaction {
    /// The request has just arrived.
    pub fn new(now: Instant, is_invite: bool, is_reliable: bool, timers: Timers) -> Self {
        let state = if is_invite {
            State::Invite(Invite::Proceeding { has_provisional: false })
        } else {
            State::NonInvite(NonInvite::Trying { trying_at: Some(now + timers.until_t2()) })
        };
        ServerTransaction { timers, is_reliable, state }
    }

    /// The same request arrived again.
    pub fn on_request(&mut self, _now: Instant) -> ServerReaction {
        match self.state {
            State::Invite(Invite::Proceeding { has_provisional: true } | Invite::Completed { .. })
            | State::NonInvite(NonInvite::Proceeding | NonInvite::Completed { .. }) => {
                ServerReaction::RepeatLastResponse
            }
            State::Invite(_) | State::NonInvite(_) => ServerReaction::Absorb,
        }
    }

    /// An ACK matched.
    pub fn on_ack(&mut self, now: Instant) -> ServerAck {
        match self.state {
            State::Invite(Invite::Accepted { .. }) => return ServerAck::Deliver,
            State::Invite(Invite::Completed { .. }) => {
                self.state = State::Invite(if self.is_reliable {
                    Invite::Terminated
                } else {
                    Invite::Confirmed { until: now + self.timers.t4 }
                });
            }
            State::Invite(_) | State::NonInvite(_) => {}
        }
        ServerAck::Absorb
    }

    /// A response is about to be sent. May it be?
    ///
    /// No once a final response went out, except for a 2xx to an INVITE after a 2xx: these are repeated end to end and
    /// a forked call may have several. No for a provisional response but 100 to a non-INVITE request (RFC 4320 §4.1).
    pub fn on_respond(&mut self, now: Instant, status: u16) -> bool {
        match (self.state, status) {
            (State::Invite(Invite::Proceeding { .. }), 100..=199) => {
                self.state = State::Invite(Invite::Proceeding { has_provisional: true });
                true
            }
            (State::Invite(Invite::Proceeding { .. }), 200..=299) => {
                self.state = State::Invite(Invite::Accepted { until: now + self.timers.give_up() });
                true
            }
            (State::Invite(Invite::Proceeding { .. }), 300..) => {
                let resend = (!self.is_reliable).then(|| Repetition::start(now, &self.timers));
                let give_up_at = now + self.timers.give_up();
                self.state = State::Invite(Invite::Completed { resend, give_up_at });
                true
            }
            (State::Invite(Invite::Accepted { .. }), 200..=299) => true,
            (State::NonInvite(NonInvite::Trying { .. } | NonInvite::Proceeding), 100) => {
                self.state = State::NonInvite(NonInvite::Proceeding);
                true
            }
            (State::NonInvite(NonInvite::Trying { .. } | NonInvite::Proceeding), 200..) => {
                self.state = State::NonInvite(if self.is_reliable {
                    NonInvite::Terminated
                } else {
                    NonInvite::Completed { until: now + self.timers.give_up() }
                });
                true
            }
            (State::Invite(_) | State::NonInvite(_), _) => false,
        }
    }

    /// A response could not be delivered. Is the user to be told, because it may still want to answer?
    ///
    /// A response that went astray changes nothing in Accepted and Confirmed (RFC 6026 §7.1); elsewhere the
    /// transaction ends (RFC 3261 §17.2.4).
    pub fn on_transport_error(&mut self, _now: Instant) -> bool {
        let was_open = !self.is_completed();
        match &mut self.state {
            State::Invite(Invite::Accepted { .. } | Invite::Confirmed { .. }) => {}
            State::Invite(state) => *state = Invite::Terminated,
            State::NonInvite(state) => *state = NonInvite::Terminated,
        }
        was_open
    }

    /// Time has passed. Call again until it says `Nothing`, or when [`Self::deadline`] says.
    pub fn on_timeout(&mut self, now: Instant) -> ServerTimeout {
        match &mut self.state {
            State::Invite(state) => invite_on_timeout(state, now, &self.timers),
            State::NonInvite(state) => non_invite_on_timeout(state, now),
        }
    }

    /// When to call [`Self::on_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Invite(Invite::Completed { resend, give_up_at }) => Some(earliest(resend, give_up_at)),
            State::Invite(Invite::Confirmed { until } | Invite::Accepted { until })
            | State::NonInvite(NonInvite::Completed { until }) => Some(until),
            State::NonInvite(NonInvite::Trying { trying_at }) => trying_at,
            State::Invite(Invite::Proceeding { .. } | Invite::Terminated)
            | State::NonInvite(NonInvite::Proceeding | NonInvite::Terminated) => None,
        }
    }

    /// Is it an INVITE's?
    pub fn is_invite(&self) -> bool {
        matches!(self.state, State::Invite(_))
    }

    /// Has a final response gone out, or can none go out any more?
    pub fn is_completed(&self) -> bool {
        !matches!(
            self.state,
            State::Invite(Invite::Proceeding { .. })
                | State::NonInvite(NonInvite::Trying { .. } | NonInvite::Proceeding)
        )
    }

    /// May it be forgotten?
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Invite(Invite::Terminated) | State::NonInvite(NonInvite::Terminated))
    }
}

fn invite_on_timeout(state: &mut Invite, now: Instant, timers: &Timers) -> ServerTimeout {
    match state {
        Invite::Completed { give_up_at, .. } if *give_up_at <= now => {
            *state = Invite::Terminated;
            ServerTimeout::AckMissing
        }
        Invite::Completed { resend: Some(resend), .. } if resend.is_due(now) => {
            *resend = resend.doubled(now, timers.t2);
            ServerTimeout::RepeatLastResponse
        }
        Invite::Confirmed { until } | Invite::Accepted { until } if *until <= now => {
            *state = Invite::Terminated;
            ServerTimeout::Terminated
        }
        _ => ServerTimeout::Nothing,
    }
}

fn non_invite_on_timeout(state: &mut NonInvite, now: Instant) -> ServerTimeout {
    match state {
        NonInvite::Trying { trying_at: trying_at @ Some(_) } if *trying_at <= Some(now) => {
            *trying_at = None;
            ServerTimeout::SendTrying
        }
        NonInvite::Completed { until } if *until <= now => {
            *state = NonInvite::Terminated;
            ServerTimeout::Terminated
        }
        _ => ServerTimeout::Nothing,
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
