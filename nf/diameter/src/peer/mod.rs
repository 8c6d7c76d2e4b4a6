//! One Diameter peer over one TCP connection: capabilities, watchdog, requests and answers, farewell
//! (RFC 6733 §5, RFC 3539). It decides what to send and when to give up; the driver connects, moves bytes and closes.
//!
//! ```text
//!  initiator   BackOff --timer--> WaitConnect --connected, CER--> WaitCea --CEA 2001--> Open
//!                 ^                    | refused                      | else             |
//!                 +--------------------+------------------------------+------ lost ------+
//!  responder   WaitCer --CER, CEA 2001--> Open --lost--> Closed
//!  both        Open --stop: DPR / received DPR: DPA--> Closing --DPA, closed or time-out--> BackOff or Closed
//! ```
//!
//! Flow: one `handle_*` or `send_*`, then drain [`Peer::poll_output`]; the order of outputs is part of the contract.
//! After [`PeerOutput::Close`] nothing of that connection may be handed in any more, not even that it was closed.
//!
//! Guarantees: every [`Peer::send_request`] gets exactly one [`PeerOutput::Answer`], at the latest when its time-out is
//! over. An initiator sends unanswered requests again after a reconnection, with the T bit and the same end-to-end
//! identifier (RFC 6733 §5.5.4). A repeated request is delivered once; its answer goes to every repetition that comes
//! while it is remembered.
//!
//! Caveats: it does not relay, has no TLS, and holds no election (RFC 6733 §5.6.4): a host that is both dialled and
//! accepted would have two peers. Two accepted connections of one host are decided by [`Peer::supersedes`].

mod answers;
mod base;
mod identifiers;
mod machine;
mod pending;
mod settings;
mod watchdog;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use clock::{Duration, Instant, TimerTable};

pub use answers::{AnswerCache, IncomingTicket};
pub use settings::{Identity, Settings};

use crate::codec::{self, Framer, result};
use crate::cx;
use base::DisconnectCause;
use identifiers::Identifiers;
use pending::PendingTable;
use watchdog::Watchdog;

/// How long an open connection must have been silent before a second one of the same host and the same start
/// ([`Peer::supersedes`]) replaces it.
const SUPERSEDED_AFTER_SILENCE: Duration = Duration::from_secs(1);

/// What a peer wants done or has to tell, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerOutput {
    /// Open a connection to the peer, and say how it went: connected or failed.
    Connect,
    /// Send these bytes, one whole message.
    Send(Bytes),
    /// Close the connection.
    Close,
    /// The peer can be used now.
    Up {
        /// Its host.
        host: String,
    },
    /// The peer cannot be used any more.
    Down {
        /// Its host.
        host: String,
        /// Why, for people.
        reason: String,
    },
    /// The one outcome of a request of ours.
    Answer {
        /// The ticket of [`Peer::send_request`].
        ticket: u64,
        /// The answer, also one that reports an error; or why there is none.
        answer: Result<cx::Answer, Failure>,
    },
    /// A request of the peer, to be answered with [`Peer::send_answer`].
    Request {
        /// Names it.
        ticket: IncomingTicket,
        /// The request.
        request: cx::Request,
        /// Its Origin-Host.
        origin_host: String,
    },
    /// Bad input was answered, dropped, or has closed the connection. To be counted.
    Rejected {
        /// What was wrong, for people.
        reason: String,
    },
}

/// Why a request of ours has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There was no connection to send it on.
    #[error("no connection to the Diameter peer")]
    NoPeer,
    /// It was sent and nothing came back.
    #[error("the Diameter peer did not answer in time")]
    TimedOut,
    /// The answer could not be read.
    #[error("the Diameter peer's answer could not be read")]
    Malformed,
    /// We refused it ourselves with this Result-Code: 3004 when too many requests wait already.
    #[error("refused with Result-Code {0}")]
    Protocol(u32),
}

#[derive(Debug)]
enum Role {
    Initiator { peer_host: String, back_off: Duration },
    Responder,
}

#[derive(Debug)]
enum State {
    /// Until the next attempt.
    BackOff,
    WaitConnect,
    WaitCer,
    WaitCea {
        hop_by_hop: u32,
    },
    Open(Open),
    /// A farewell was said; whoever is to close has not yet.
    Closing,
    /// For good.
    Closed,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    watchdog: Watchdog,
}

/// One slot each, but for requests: one for each hop-by-hop identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Reconnect,
    Handshake,
    Watchdog,
    Closing,
    Answers,
    Request(u32),
}

/// What the other side said of itself in CER or CEA.
#[derive(Clone, Debug)]
struct Remote {
    host: String,
    origin_state_id: Option<u32>,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    identity: Arc<Identity>,
    settings: Settings,
    role: Role,
    state: State,
    /// Known from the first CER or CEA on.
    remote: Option<Remote>,
    framer: Framer,
    identifiers: Identifiers,
    pending: PendingTable,
    answers: AnswerCache,
    timers: TimerTable<Timer>,
    outputs: VecDeque<PeerOutput>,
    last_heard: Instant,
    /// The last connection ended in silence: the next one is used only after three watchdog answers.
    is_distrusted: bool,
    is_stopping: bool,
}

impl Peer {
    /// A peer that we dial: wants a connection at once and after every loss.
    pub fn initiator(identity: Arc<Identity>, peer_host: String, settings: Settings, seed: u64) -> Peer {
        let back_off = settings.back_off_first;
        let mut peer = Peer::new(identity, Role::Initiator { peer_host, back_off }, settings, seed);
        peer.state = State::WaitConnect;
        peer.outputs.push_back(PeerOutput::Connect);
        peer
    }

    /// A peer that has dialled us, whoever it is: its CER will say. Call [`Peer::handle_connected`] next.
    pub fn responder(identity: Arc<Identity>, settings: Settings, seed: u64) -> Peer {
        Peer::new(identity, Role::Responder, settings, seed)
    }

    fn new(identity: Arc<Identity>, role: Role, settings: Settings, seed: u64) -> Peer {
        Peer {
            identifiers: Identifiers::new(seed, settings.wall),
            pending: PendingTable::new(settings.pending_max),
            answers: AnswerCache::new(settings.answers_max, settings.answers_kept),
            identity,
            settings,
            role,
            state: State::WaitCer,
            remote: None,
            framer: Framer::default(),
            timers: TimerTable::default(),
            outputs: VecDeque::new(),
            last_heard: Instant::ZERO,
            is_distrusted: false,
            is_stopping: false,
        }
    }

    /// The connection stands: the one demanded with [`PeerOutput::Connect`], or the one accepted.
    pub fn handle_connected(&mut self, now: Instant) {
        match self.state {
            State::WaitConnect => {
                self.framer = Framer::default();
                let (hop_by_hop, end_to_end) = self.identifiers.next_pair(now);
                self.send(base::capabilities_exchange_request(&self.identity, hop_by_hop, end_to_end));
                self.state = State::WaitCea { hop_by_hop };
                self.arm(Timer::Handshake, now + self.settings.handshake_timeout);
            }
            State::WaitCer => self.arm(Timer::Handshake, now + self.settings.handshake_timeout),
            // Stopped while the connection was being made.
            State::Closed => self.outputs.push_back(PeerOutput::Close),
            State::BackOff | State::WaitCea { .. } | State::Open(_) | State::Closing => {}
        }
    }

    /// The connection demanded with [`PeerOutput::Connect`] could not be made.
    pub fn handle_connect_failed(&mut self, now: Instant) {
        if let State::WaitConnect = self.state {
            self.back_off(now);
        }
    }

    /// Bytes of the stream, cut anywhere.
    pub fn handle_bytes(&mut self, now: Instant, bytes: Bytes) {
        self.framer.push(&bytes);
        while self.has_connection() {
            match self.framer.next() {
                Ok(Some(message)) => self.on_message(now, &message),
                Ok(None) => return,
                Err(error) => {
                    self.reject(&error);
                    self.close(now, "the peer sent what is no Diameter");
                }
            }
        }
    }

    /// The connection was closed by the other side or by the network.
    pub fn handle_closed(&mut self, now: Instant) {
        if self.has_connection() {
            self.lose(now, "the connection was closed");
        }
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Reconnect => {
                    self.state = State::WaitConnect;
                    self.outputs.push_back(PeerOutput::Connect);
                }
                Timer::Handshake => {
                    self.reject(&"no capabilities in time");
                    self.close(now, "no capabilities in time");
                }
                Timer::Watchdog => self.on_watchdog(now),
                Timer::Closing => self.close(now, "the farewell was not answered"),
                Timer::Answers => {
                    let next = self.answers.forget(now);
                    self.timers.set(Timer::Answers, next);
                }
                Timer::Request(hop_by_hop) => {
                    if let Some(pending) = self.pending.take(hop_by_hop) {
                        let failure = if pending.was_sent { Failure::TimedOut } else { Failure::NoPeer };
                        self.outputs
                            .push_back(PeerOutput::Answer { ticket: pending.ticket, answer: Err(failure) });
                    }
                }
            }
        }
    }

    /// Says goodbye (DPR) and never connects again; [`Peer::is_closed`] tells when all is done.
    pub fn handle_stop(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        match &self.state {
            State::Open(_) => {
                let (hop_by_hop, end_to_end) = self.identifiers.next_pair(now);
                let cause = DisconnectCause::Rebooting;
                self.send(base::disconnect_peer_request(&self.identity, cause, hop_by_hop, end_to_end));
                self.part(now, "we are stopping");
            }
            State::WaitCer | State::WaitCea { .. } => self.close(now, "we are stopping"),
            State::Closing => {}
            State::BackOff | State::WaitConnect | State::Closed => {
                self.timers.set(Timer::Reconnect, None);
                self.end();
            }
        }
    }

    /// Another connection of the same host has taken over, or this one is the superfluous one: closes without farewell.
    pub fn handle_superseded(&mut self, now: Instant) {
        if self.has_connection() {
            self.close(now, "another connection of the same host");
        }
    }

    /// Asks the peer something. `destination_host` `None`: whoever serves the realm.
    ///
    /// Sent at once or when the connection opens. `ticket` comes back in [`PeerOutput::Answer`]. Returns what is sent;
    /// nothing when the request is refused here.
    pub fn send_request(
        &mut self,
        now: Instant,
        ticket: u64,
        request: &cx::Request,
        destination_host: Option<&str>,
        destination_realm: &str,
    ) -> Option<Bytes> {
        if self.refuses(ticket) {
            return None;
        }
        let (hop_by_hop, end_to_end) = self.identifiers.next_pair(now);
        let envelope = cx::Envelope {
            session_id: self.identifiers.next_session_id(&self.identity.host),
            hop_by_hop,
            end_to_end,
            origin_host: self.identity.host.clone(),
            origin_realm: self.identity.realm.clone(),
            destination_host: destination_host.map(str::to_owned),
            destination_realm: Some(destination_realm.to_owned()),
            ..cx::Envelope::default()
        };
        let message = request.encode(&envelope);
        self.pending.insert(hop_by_hop, ticket, request.command_code(), message.clone());
        self.await_answer(now, hop_by_hop);
        Some(message)
    }

    /// Asks what another one of our name has asked and got no answer to: the same request with the T bit, so that the
    /// peer may see that it was asked before (RFC 6733 §3).
    pub fn send_again(&mut self, now: Instant, ticket: u64, message: &[u8]) {
        if message.len() < codec::HEADER_LENGTH || self.refuses(ticket) {
            return;
        }
        let (hop_by_hop, _) = self.identifiers.next_pair(now);
        let (command_code, message) = codec::asked_again(message, hop_by_hop);
        self.pending.insert(hop_by_hop, ticket, command_code, message);
        self.await_answer(now, hop_by_hop);
    }

    /// Waits no longer for the answer to a request: another peer is asked. Nothing comes back for this ticket.
    pub fn let_go(&mut self, ticket: u64) {
        if let Some(hop_by_hop) = self.pending.take_ticket(ticket) {
            self.timers.set(Timer::Request(hop_by_hop), None);
        }
    }

    fn await_answer(&mut self, now: Instant, hop_by_hop: u32) {
        self.arm(Timer::Request(hop_by_hop), now + self.settings.request_timeout);
        if self.may_send_requests() {
            self.send_waiting();
        }
    }

    /// Tells whoever asks that the peer cannot be asked now, if so.
    fn refuses(&mut self, ticket: u64) -> bool {
        let refuse = if self.is_stopping || matches!(self.state, State::Closed) {
            Some(Failure::NoPeer)
        } else if self.pending.is_full() {
            Some(Failure::Protocol(result::TOO_BUSY))
        } else {
            None
        };
        let Some(failure) = refuse else { return false };
        self.outputs.push_back(PeerOutput::Answer { ticket, answer: Err(failure) });
        true
    }

    /// Answers a request of the peer. Nothing happens when it is forgotten already.
    pub fn send_answer(&mut self, _now: Instant, ticket: IncomingTicket, answer: &cx::Answer) {
        let bytes = self.answers.answer(&ticket, |envelope| {
            answer.encode(&envelope.answer(&self.identity.host, &self.identity.realm))
        });
        if let Some(bytes) = bytes
            && matches!(self.state, State::Open(_) | State::Closing)
        {
            self.send(bytes);
        }
    }

    /// The next thing to do or to know; `None` when all are taken.
    pub fn poll_output(&mut self) -> Option<PeerOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Peer::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Can it be used: is there a connection over which it answers?
    pub fn is_open(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.watchdog.is_okay())
    }

    /// Is it over for good? True for a responder without its connection and for an initiator that was stopped.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The peer's host: always known for an initiator, from the CER on for a responder.
    pub fn host(&self) -> Option<&str> {
        match (&self.role, &self.remote) {
            (Role::Initiator { peer_host, .. }, _) => Some(peer_host),
            (Role::Responder, Some(remote)) => Some(&remote.host),
            (Role::Responder, None) => None,
        }
    }

    /// Two accepted connections of one host: does this new one replace the `old` one? Ask it at [`PeerOutput::Up`];
    /// then call [`Peer::handle_superseded`] on the loser.
    ///
    /// RFC 6733 §5.6 rejects the second connection while the first one is believed open, which would lock out a peer
    /// that lost power and came back until the watchdog gives up its old connection, after up to 90 s. So it is
    /// accepted when the old one is not usable, when its Origin-State-Id says that the peer has started anew
    /// (RFC 6733 §8.16), or when the old one has been silent for a second: who dials has no connection it believes in.
    /// Only two hosts that share a name by mistake are kept from pushing each other out while they are busy.
    pub fn supersedes(&self, now: Instant, old: &Peer) -> bool {
        let state_id = |peer: &Peer| peer.remote.as_ref().and_then(|remote| remote.origin_state_id);
        let has_restarted = matches!((state_id(self), state_id(old)), (Some(new), Some(old)) if new > old);
        !old.is_open() || has_restarted || now.saturating_since(old.last_heard) >= SUPERSEDED_AFTER_SILENCE
    }

    /// Hands out what it remembers of answered and unanswered requests of the peer, to be given to the next connection
    /// of the same host with [`Peer::adopt_answers`]. Worth keeping when [`Peer::host`] is known: a connection that ended
    /// before its CER remembers nothing.
    pub fn take_answers(&mut self) -> AnswerCache {
        self.timers.set(Timer::Answers, None);
        let empty = AnswerCache::new(self.settings.answers_max, self.settings.answers_kept);
        std::mem::replace(&mut self.answers, empty)
    }

    /// Remembers what an earlier connection of the same host has answered: call it at [`PeerOutput::Up`], before more
    /// bytes are handed in. What this connection has received already is kept too.
    pub fn adopt_answers(&mut self, now: Instant, answers: AnswerCache) {
        self.answers.adopt(answers);
        let next = self.answers.forget(now);
        self.timers.set(Timer::Answers, next);
    }
}

#[cfg(test)]
mod tests;
