//! What happens inside a peer: a message, a silence, a loss, and which state follows.
//!
//! The picture stands in [`super`]. Everything here only queues outputs and sets timers.

use bytes::Bytes;
use clock::Instant;

use super::answers::Receipt;
use super::base::{self, Capabilities, DisconnectCause};
use super::watchdog::{Watchdog, WatchdogAction};
use super::{Failure, Open, Peer, PeerOutput, Remote, Role, State, Timer};
use crate::codec::{DecodeError, Framer, Message, result};
use crate::cx;
use crate::dictionary::{APPLICATION_BASE, APPLICATION_CX};

impl Peer {
    pub(super) fn has_connection(&self) -> bool {
        matches!(self.state, State::WaitCer | State::WaitCea { .. } | State::Open(_) | State::Closing)
    }

    /// Suspicion alone does not stop requests: whether there is a better peer is decided above.
    pub(super) fn may_send_requests(&self) -> bool {
        matches!(&self.state, State::Open(open) if !open.watchdog.is_reopening())
    }

    pub(super) fn on_message(&mut self, now: Instant, message: &Message) {
        self.last_heard = now;
        match self.state {
            State::WaitCer => self.on_first_request(now, message),
            State::WaitCea { hop_by_hop } => self.on_first_answer(now, message, hop_by_hop),
            State::Open(_) | State::Closing => self.on_open_message(now, message),
            State::BackOff | State::WaitConnect | State::Closed => {}
        }
    }

    /// RFC 6733 §5.3: nothing may precede the CER.
    fn on_first_request(&mut self, now: Instant, message: &Message) {
        let header = message.header;
        if !header.is_request || header.application_id != APPLICATION_BASE || header.command_code != base::CER
        {
            self.reject(&"the first message was no CER");
            self.close(now, "the first message was no CER");
            return;
        }
        let capabilities = match base::read_request(message, &self.identity, &self.settings) {
            Ok(capabilities) => capabilities,
            Err(error) => {
                self.send(base::capabilities_refusal(message, &self.identity, &error));
                self.reject(&error);
                self.close(now, "its capabilities were refused");
                return;
            }
        };
        self.send(base::capabilities_exchange_answer(&self.identity, message));
        self.open(now, capabilities);
    }

    fn on_first_answer(&mut self, now: Instant, message: &Message, hop_by_hop: u32) {
        let header = message.header;
        let is_answer =
            !header.is_request && header.command_code == base::CER && header.hop_by_hop == hop_by_hop;
        let capabilities = if is_answer {
            let peer_host = self.host().unwrap_or_default();
            base::read_answer(message, peer_host)
        } else {
            Err("the answer to our CER was no CEA".to_owned())
        };
        match capabilities {
            Ok(capabilities) => self.open(now, capabilities),
            Err(reason) => {
                self.reject(&reason);
                self.close(now, &reason);
            }
        }
    }

    fn open(&mut self, now: Instant, capabilities: Capabilities) {
        self.timers.set(Timer::Handshake, None);
        self.remote =
            Some(Remote { host: capabilities.origin_host, origin_state_id: capabilities.origin_state_id });
        let jitter_seed = self.identifiers.random();
        let watchdog = Watchdog::new(now, self.settings.watchdog, jitter_seed, self.is_distrusted);
        self.timers.set(Timer::Watchdog, Some(watchdog.deadline()));
        let is_reopening = watchdog.is_reopening();
        self.state = State::Open(Open { since: now, watchdog });
        if is_reopening { self.send_watchdog(now) } else { self.announce() }
    }

    /// The peer can be used (again).
    fn announce(&mut self) {
        self.is_distrusted = false;
        let host = self.host().unwrap_or_default().to_owned();
        self.outputs.push_back(PeerOutput::Up { host });
        self.send_waiting();
    }

    fn on_open_message(&mut self, now: Instant, message: &Message) {
        let header = message.header;
        let is_watchdog_answer = !header.is_request
            && (header.application_id, header.command_code) == (APPLICATION_BASE, base::DWR);
        self.on_heard(now, is_watchdog_answer);
        match (header.application_id, header.command_code, header.is_request) {
            (APPLICATION_BASE, base::CER, true) => {
                self.send(base::capabilities_exchange_answer(&self.identity, message));
            }
            (APPLICATION_BASE, base::DWR, true) => self.send(base::watchdog_answer(&self.identity, message)),
            (APPLICATION_BASE, base::DPR, true) => self.on_farewell(now, message),
            (APPLICATION_BASE, base::DPR, false) if matches!(self.state, State::Closing) => {
                self.close(now, "farewell");
            }
            (APPLICATION_BASE, base::CER | base::DWR | base::DPR, false) => {}
            (APPLICATION_CX, _, true) => self.on_request(now, message),
            (APPLICATION_CX, _, false) => self.on_answer(message),
            (APPLICATION_BASE, _, true) => {
                self.refuse(message, &DecodeError::plain(result::COMMAND_UNSUPPORTED, "an unknown command"));
            }
            (_, _, true) => {
                let reason = "a request of an application that is not spoken here";
                self.refuse(message, &DecodeError::plain(result::APPLICATION_UNSUPPORTED, reason));
            }
            (_, _, false) => self.reject(&"an answer to no request of ours"),
        }
    }

    fn on_request(&mut self, now: Instant, message: &Message) {
        let (envelope, request) = match cx::decode_request(message) {
            Ok(decoded) => decoded,
            Err(error) => return self.refuse(message, &error),
        };
        // RFC 6733 §6.1.4: a request for another host would have to be relayed.
        let is_for_us = envelope.destination_host.as_deref().is_none_or(|host| self.identity.is_host(host));
        if !is_for_us || matches!(self.state, State::Closing) {
            let reason =
                if is_for_us { "a request after the farewell" } else { "a request for another host" };
            return self.refuse(message, &DecodeError::plain(result::UNABLE_TO_DELIVER, reason));
        }
        let origin_host = envelope.origin_host.clone();
        match self.answers.receive(now, envelope, request.command_code()) {
            Receipt::New(ticket) => {
                self.outputs.push_back(PeerOutput::Request { ticket, request, origin_host })
            }
            Receipt::Answered(bytes) => self.send(bytes),
            Receipt::BeingAnswered => {}
            Receipt::Full => {
                self.refuse(message, &DecodeError::plain(result::TOO_BUSY, "too many unanswered requests"));
            }
        }
        if self.timers.deadline(&Timer::Answers).is_none() {
            self.timers.set(Timer::Answers, self.answers.next_expiry());
        }
    }

    fn on_answer(&mut self, message: &Message) {
        let header = message.header;
        let Some(pending) = self.pending.take_answered(&header) else {
            return self.reject(&"an answer to no request of ours");
        };
        self.timers.set(Timer::Request(header.hop_by_hop), None);
        let answer = match cx::decode_answer(message) {
            Ok((_, answer)) => Ok(answer),
            Err(error) => {
                self.reject(&error);
                Err(Failure::Malformed)
            }
        };
        self.outputs.push_back(PeerOutput::Answer { ticket: pending.ticket, answer });
    }

    /// RFC 6733 §5.4.1: whoever has sent DPR closes, once it has our DPA.
    fn on_farewell(&mut self, now: Instant, message: &Message) {
        self.send(base::disconnect_peer_answer(&self.identity, message));
        let cause = base::disconnect_cause(message);
        if let (
            Role::Initiator { back_off, .. },
            Some(DisconnectCause::Busy | DisconnectCause::DoNotWantToTalk),
        ) = (&mut self.role, cause)
        {
            *back_off = self.settings.back_off_max;
        }
        self.part(now, "the peer said goodbye");
    }

    /// Leaves Open, but not yet the connection.
    pub(super) fn part(&mut self, now: Instant, reason: &str) {
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Closing) {
            self.timers.set(Timer::Watchdog, None);
            self.renew_back_off(now, open.since);
            self.announce_down(&open, reason);
        }
        self.arm(Timer::Closing, now + self.settings.closing_timeout);
    }

    fn on_heard(&mut self, now: Instant, is_watchdog_answer: bool) {
        let State::Open(open) = &mut self.state else { return };
        match open.watchdog.on_heard(now, is_watchdog_answer) {
            WatchdogAction::None | WatchdogAction::Close | WatchdogAction::Suspect => {}
            WatchdogAction::Probe => self.send_watchdog(now),
            WatchdogAction::Trust => self.announce(),
        }
    }

    pub(super) fn on_watchdog(&mut self, now: Instant) {
        let State::Open(open) = &mut self.state else { return };
        let action = open.watchdog.on_timeout(now);
        self.timers.set(Timer::Watchdog, Some(open.watchdog.deadline()));
        match action {
            WatchdogAction::None | WatchdogAction::Trust => {}
            WatchdogAction::Probe => self.send_watchdog(now),
            WatchdogAction::Suspect => {
                let host = self.host().unwrap_or_default().to_owned();
                self.outputs
                    .push_back(PeerOutput::Down { host, reason: "the watchdog is not answered".to_owned() });
            }
            WatchdogAction::Close => {
                self.is_distrusted = true;
                self.close(now, "the watchdog is not answered");
            }
        }
    }

    fn send_watchdog(&mut self, now: Instant) {
        let (hop_by_hop, end_to_end) = self.identifiers.next_pair(now);
        self.send(base::watchdog_request(&self.identity, hop_by_hop, end_to_end));
    }

    pub(super) fn send_waiting(&mut self) {
        while let Some(bytes) = self.pending.next_unsent() {
            self.send(bytes);
        }
    }

    pub(super) fn send(&mut self, bytes: Bytes) {
        self.outputs.push_back(PeerOutput::Send(bytes));
    }

    pub(super) fn arm(&mut self, timer: Timer, at: Instant) {
        self.timers.set(timer, Some(at));
    }

    /// Answers a bad request.
    fn refuse(&mut self, message: &Message, error: &DecodeError) {
        self.send(message.refusal(error, &self.identity.host, &self.identity.realm));
        self.reject(error);
    }

    pub(super) fn reject(&mut self, reason: &dyn std::fmt::Display) {
        self.outputs.push_back(PeerOutput::Rejected { reason: reason.to_string() });
    }

    /// Closes the connection from our side.
    pub(super) fn close(&mut self, now: Instant, reason: &str) {
        self.outputs.push_back(PeerOutput::Close);
        self.lose(now, reason);
    }

    /// The connection is gone.
    pub(super) fn lose(&mut self, now: Instant, reason: &str) {
        for timer in [Timer::Handshake, Timer::Watchdog, Timer::Closing] {
            self.timers.set(timer, None);
        }
        self.framer = Framer::default();
        self.answers.forget_connection();
        self.pending.forget_connection();
        if let State::Open(open) = std::mem::replace(&mut self.state, State::Closed) {
            self.renew_back_off(now, open.since);
            self.announce_down(&open, reason);
        }
        match self.role {
            Role::Initiator { .. } if !self.is_stopping => self.back_off(now),
            Role::Initiator { .. } | Role::Responder => self.end(),
        }
    }

    /// A suspect was announced as down already, and one that is reopening was never announced as up.
    fn announce_down(&mut self, open: &Open, reason: &str) {
        if open.watchdog.is_okay() {
            let host = self.host().unwrap_or_default().to_owned();
            self.outputs.push_back(PeerOutput::Down { host, reason: reason.to_owned() });
        }
    }

    /// Only a connection that has lasted makes the next attempt a quick one: a peer that accepts and closes at once
    /// would otherwise be dialled twenty times a second.
    fn renew_back_off(&mut self, now: Instant, open_since: Instant) {
        if let Role::Initiator { back_off, .. } = &mut self.role
            && now.saturating_since(open_since) >= self.settings.back_off_max
        {
            *back_off = self.settings.back_off_first;
        }
    }

    pub(super) fn back_off(&mut self, now: Instant) {
        let Role::Initiator { back_off, .. } = &mut self.role else { return };
        let delay = *back_off;
        *back_off = (delay * 2).min(self.settings.back_off_max);
        self.state = State::BackOff;
        self.arm(Timer::Reconnect, now + delay);
    }

    /// Nothing will be sent any more.
    pub(super) fn end(&mut self) {
        self.state = State::Closed;
        for (hop_by_hop, pending) in self.pending.take_all() {
            self.timers.set(Timer::Request(hop_by_hop), None);
            self.outputs
                .push_back(PeerOutput::Answer { ticket: pending.ticket, answer: Err(Failure::NoPeer) });
        }
    }
}
