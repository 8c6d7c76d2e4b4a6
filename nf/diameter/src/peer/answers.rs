//! Requests of the peer and our answers, remembered for a while, so that a repetition has no second effect
//! (RFC 6733 §3: found by Origin-Host and end-to-end identifier).
//!
//! The T bit is not asked for: some senders forget it. A Session-Id that differs says that the identifier is used
//! anew, and the older request is forgotten.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use clock::{Duration, Instant};
use serde::{Deserialize, Serialize};

use super::settings::Identity;
use crate::codec;
use crate::cx::{self, Envelope};

/// The most bytes of answers remembered; the oldest are forgotten first. Profiles make answers long, and 16 MiB hold
/// those of a registration storm of 2,000 a second for some seconds.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Names a request of the peer. It is plain data and outlives the connection: a later connection of the same host
/// that has adopted the memory sends the answer when the request is repeated on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncomingTicket {
    /// Its end-to-end identifier.
    pub end_to_end: u32,
    /// Its Origin-Host.
    pub origin_host: String,
}

/// What a request is, seen from here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// Not seen before.
    New(IncomingTicket),
    /// A repetition: send this.
    Answered(Bytes),
    /// A repetition: the answer will go to it.
    BeingAnswered,
    /// Not seen before, and too many wait.
    Full,
}

#[derive(Debug)]
struct Entry {
    session_id: String,
    command_code: u32,
    expiry: Instant,
    state: EntryState,
}

#[derive(Debug)]
enum EntryState {
    /// `is_waiting`: the connection on which it came last still stands.
    Unanswered {
        envelope: Box<Envelope>,
        is_waiting: bool,
    },
    Answered(Bytes),
}

/// The memory of one host's requests.
#[derive(Debug)]
pub struct AnswerCache {
    entries: BTreeMap<IncomingTicket, Entry>,
    /// Oldest first. May name entries that are gone or were made anew.
    order: VecDeque<(Instant, IncomingTicket)>,
    answer_bytes: usize,
    max: usize,
    kept: Duration,
}

impl AnswerCache {
    pub(super) fn new(max: usize, kept: Duration) -> Self {
        AnswerCache { entries: BTreeMap::new(), order: VecDeque::new(), answer_bytes: 0, max, kept }
    }

    pub(super) fn receive(&mut self, now: Instant, envelope: Envelope, command_code: u32) -> Receipt {
        self.forget(now);
        let ticket =
            IncomingTicket { end_to_end: envelope.end_to_end, origin_host: envelope.origin_host.clone() };
        if let Some(entry) = self.entries.get_mut(&ticket) {
            if (entry.command_code, &entry.session_id) == (command_code, &envelope.session_id) {
                return match &mut entry.state {
                    EntryState::Answered(bytes) => {
                        Receipt::Answered(codec::with_hop_by_hop(bytes, envelope.hop_by_hop))
                    }
                    EntryState::Unanswered { envelope: known, is_waiting } => {
                        known.hop_by_hop = envelope.hop_by_hop;
                        *is_waiting = true;
                        Receipt::BeingAnswered
                    }
                };
            }
            self.remove(&ticket);
        }
        if !self.make_room() {
            return Receipt::Full;
        }
        let expiry = now + self.kept;
        self.order.push_back((expiry, ticket.clone()));
        let session_id = envelope.session_id.clone();
        let state = EntryState::Unanswered { envelope: Box::new(envelope), is_waiting: true };
        self.entries.insert(ticket.clone(), Entry { session_id, command_code, expiry, state });
        Receipt::New(ticket)
    }

    /// Remembers the answer that `encode` makes; gives it out when somebody waits for it.
    pub(super) fn answer(
        &mut self,
        ticket: &IncomingTicket,
        encode: impl FnOnce(&Envelope) -> Bytes,
    ) -> Option<Bytes> {
        let entry = self.entries.get_mut(ticket)?;
        let EntryState::Unanswered { envelope, is_waiting } = &entry.state else { return None };
        let bytes = encode(envelope);
        let is_waiting = *is_waiting;
        entry.state = EntryState::Answered(bytes.clone());
        self.answer_bytes += bytes.len();
        while self.answer_bytes > ANSWER_BYTES_MAX && self.forget_oldest_answer(usize::MAX) {}
        is_waiting.then_some(bytes)
    }

    /// Answers a request whose connection has gone, and no other has come yet: the answer waits for the repetition.
    pub fn answer_later(&mut self, ticket: &IncomingTicket, identity: &Identity, answer: &cx::Answer) {
        self.forget_connection();
        self.answer(ticket, |envelope| answer.encode(&envelope.answer(&identity.host, &identity.realm)));
    }

    /// Nobody waits for answers any more: what came on the connection must be repeated on another.
    pub(super) fn forget_connection(&mut self) {
        for entry in self.entries.values_mut() {
            if let EntryState::Unanswered { is_waiting, .. } = &mut entry.state {
                *is_waiting = false;
            }
        }
    }

    /// Takes in what another connection of the same host remembers. What is known here is newer and stays.
    pub(super) fn adopt(&mut self, mut other: AnswerCache) {
        other.forget_connection();
        for (ticket, entry) in other.entries {
            if self.entries.len() >= self.max || self.entries.contains_key(&ticket) {
                continue;
            }
            if let EntryState::Answered(bytes) = &entry.state {
                self.answer_bytes += bytes.len();
            }
            self.entries.insert(ticket, entry);
        }
        let mut order: Vec<_> =
            self.entries.iter().map(|(ticket, entry)| (entry.expiry, ticket.clone())).collect();
        order.sort();
        self.order = order.into();
    }

    /// Forgets what is too old; says when there will be more.
    pub(super) fn forget(&mut self, now: Instant) -> Option<Instant> {
        while let Some((expiry, _)) = self.order.front()
            && *expiry <= now
        {
            let (expiry, ticket) = self.order.pop_front().expect("front() has just found it");
            if self.entries.get(&ticket).is_some_and(|entry| entry.expiry == expiry) {
                self.remove(&ticket);
            }
        }
        self.next_expiry()
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.order.front().map(|(expiry, _)| *expiry)
    }

    /// Room for one more, made by forgetting the oldest request; one that is unanswered is never given up for a new one.
    fn make_room(&mut self) -> bool {
        while self.entries.len() >= self.max {
            if !self.forget_oldest_answer(1) {
                return false;
            }
        }
        true
    }

    /// Forgets the oldest answered request among the first `reach`. An answered one stands first unless the functions
    /// above are slow, so this is a short walk.
    fn forget_oldest_answer(&mut self, reach: usize) -> bool {
        let entries = &self.entries;
        let is_stale = |(expiry, ticket): &mut (Instant, IncomingTicket)| {
            entries.get(ticket).is_none_or(|entry| entry.expiry != *expiry)
        };
        while self.order.pop_front_if(is_stale).is_some() {}
        let is_answered = |(_, ticket): &(Instant, IncomingTicket)| {
            matches!(entries.get(ticket), Some(Entry { state: EntryState::Answered(_), .. }))
        };
        let Some(position) = self.order.iter().take(reach).position(is_answered) else { return false };
        let (_, ticket) = self.order.remove(position).expect("position() has just found it");
        self.remove(&ticket);
        true
    }

    fn remove(&mut self, ticket: &IncomingTicket) {
        if let Some(Entry { state: EntryState::Answered(bytes), .. }) = self.entries.remove(ticket) {
            self.answer_bytes -= bytes.len();
        }
    }
}
