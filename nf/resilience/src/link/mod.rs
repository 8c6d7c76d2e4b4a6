//! One way between two instances (e1 to e4, l1): records arrive whole, once and in order, over datagrams.
//!
//! Flow: [`Link::push`] takes a record; [`Link::poll_datagram`] gives what is to be sent; [`Link::handle_datagram`] takes
//! what came; [`Link::poll_event`] says what it meant. Many records share a datagram; a long one is cut into
//! pieces. What
//! arrives is acknowledged at once, because the other end may hold back an answer until then (S2-E5). TCP would not do: its
//! shortest time to a repetition is 200 ms (S2-E8).
//!
//! Guarantees: within one session, that is a pair of incarnations, every record that was pushed is delivered once, in order,
//! or the session ends. A restarted end is a new incarnation: the session ends on both sides, nothing of the old one is
//! delivered any more, and what was not acknowledged is the caller's to send again, in a snapshot (S2-E10).
//!
//! Assumptions: datagrams come from the other end (a layer below authenticates and encrypts them); incarnations of one
//! instance rise and are not 0.
//!
//! Bounds: [`Limits`]. At the bound of what is unacknowledged [`Link::push`] refuses: then the other end is out of sync, which
//! is for the caller to record. A record is 1 MiB at most: what is longer
//! is the caller's to divide.

mod frame;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use clock::{Duration, Instant};

use crate::permission::Incarnation;
pub use frame::{Frame, FrameError, Piece, VERSION};
use frame::{HEADER_BYTES, MISSING_MAX, PIECE_HEADER_BYTES, RANGE_BYTES};

/// How much a link holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest datagram: below the path's MTU less what encryption adds. On one machine up to 60,000.
    pub datagram_bytes_max: usize,
    /// Bytes of records that are not acknowledged yet.
    pub unacknowledged_bytes_max: usize,
    /// Pieces under way: more are sent only when some are acknowledged.
    pub pieces_under_way_max: usize,
}

impl Default for Limits {
    /// An Ethernet's datagrams; 16 MiB are some seconds of the signalling of a full machine.
    fn default() -> Limits {
        Limits { datagram_bytes_max: 1200, unacknowledged_bytes_max: 16 << 20, pieces_under_way_max: 4096 }
    }
}

/// Stands on the wire for an incarnation that is not known yet.
const UNKNOWN: Incarnation = Incarnation(0);
/// Repetitions wait at least so long: the other end's process may not have been scheduled.
const REPEAT_MIN: Duration = Duration::from_millis(1);
/// And at most so long, doubled from one to the next.
const REPEAT_MAX: Duration = Duration::from_millis(100);
/// Pieces repeated when nothing at all is heard: a few say whether the other end is there, and it asks for the rest.
const REPEATED_MAX: usize = 8;
/// The longest record.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// What happened on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A session with this incarnation of the other end begins: both count from 0.
    Begun(Incarnation),
    /// The next record of the other end.
    Record(Bytes),
    /// The other end has all records up to the one for which [`Link::push`] returned this number, or less.
    Acknowledged(u64),
}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Too much waits for an acknowledgement.
    #[error("{waiting_bytes} bytes of records wait for an acknowledgement")]
    Full {
        /// How much waits.
        waiting_bytes: usize,
    },
    /// No record is so long.
    #[error("a record of {bytes} bytes, {RECORD_BYTES_MAX} at most")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

#[derive(Debug)]
struct Unacknowledged {
    bytes: Bytes,
    is_last: bool,
    /// When it left last.
    sent: Instant,
}

/// One end of a link.
#[derive(Debug)]
pub struct Link {
    own: Incarnation,
    other: Option<Incarnation>,
    limits: Limits,
    round_trip: Duration,
    /// Number of the first piece in `unacknowledged`.
    acknowledged: u64,
    unacknowledged: VecDeque<Unacknowledged>,
    unacknowledged_bytes: usize,
    /// Number of the first piece that has never left.
    fresh: u64,
    /// Pieces that are to leave again.
    due: BTreeSet<u64>,
    received: u64,
    early: BTreeMap<u64, Piece>,
    /// The record whose last piece has not come yet.
    partial: BytesMut,
    owes_acknowledgement: bool,
    repeats: u32,
    repeat_at: Option<Instant>,
    events: VecDeque<LinkEvent>,
}

impl Link {
    /// An end with this incarnation, not 0. `round_trip` is R of the other end.
    pub fn new(incarnation: Incarnation, limits: Limits, round_trip: Duration) -> Link {
        assert!(incarnation != UNKNOWN, "0 stands for an unknown incarnation");
        assert!(limits.datagram_bytes_max > HEADER_BYTES + MISSING_MAX * RANGE_BYTES + PIECE_HEADER_BYTES);
        Link {
            own: incarnation,
            other: None,
            limits,
            round_trip,
            acknowledged: 0,
            unacknowledged: VecDeque::new(),
            unacknowledged_bytes: 0,
            fresh: 0,
            due: BTreeSet::new(),
            received: 0,
            early: BTreeMap::new(),
            partial: BytesMut::new(),
            // The first datagram says who we are.
            owes_acknowledgement: true,
            repeats: 0,
            repeat_at: None,
            events: VecDeque::new(),
        }
    }

    /// R of the other end, as measured now.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
    }

    /// The incarnation of the other end in this session.
    pub fn other(&self) -> Option<Incarnation> {
        self.other
    }

    /// Up to where the other end has acknowledged, as in [`LinkEvent::Acknowledged`].
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes a record; returns the number that [`LinkEvent::Acknowledged`] reaches when the other end has it.
    ///
    /// # Errors
    /// When too much waits already, or the record is too long; then nothing has changed.
    pub fn push(&mut self, mut record: Bytes) -> Result<u64, PushError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(PushError::TooLong { bytes: record.len() });
        }
        let waiting_bytes = self.unacknowledged_bytes + record.len();
        if waiting_bytes > self.limits.unacknowledged_bytes_max {
            return Err(PushError::Full { waiting_bytes });
        }
        self.unacknowledged_bytes = waiting_bytes;
        let piece_bytes_max = self.limits.piece_bytes_max();
        loop {
            let bytes = record.split_to(record.len().min(piece_bytes_max));
            let is_last = record.is_empty();
            self.unacknowledged.push_back(Unacknowledged { bytes, is_last, sent: Instant::ZERO });
            if is_last {
                return Ok(self.end());
            }
        }
    }

    /// A datagram came from the other end.
    ///
    /// # Errors
    /// When it is none, then nothing has changed; or when the record it completes is longer than any.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Bytes) -> Result<(), FrameError> {
        let frame = Frame::decode(datagram)?;
        // A former incarnation, or ours before we were started: whatever it says is over.
        let from = Incarnation(frame.from);
        if self.other.is_some_and(|other| from < other) || from == UNKNOWN {
            return Ok(());
        }
        if self.other != Some(from) {
            self.begin(from);
        }
        if Incarnation(frame.to) != self.own {
            // It does not know us yet: it will from our answer.
            self.owes_acknowledgement = true;
            return Ok(());
        }
        self.take_acknowledgement(now, &frame);
        self.owes_acknowledgement |= !frame.pieces.is_empty();
        frame.pieces.into_iter().for_each(|piece| self.take_piece(piece));
        self.deliver()
    }

    /// When to call [`Link::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.repeat_at
    }

    /// What was not acknowledged in time is sent again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.repeat_at.is_none_or(|at| at > now) {
            return;
        }
        self.repeats = self.repeats.saturating_add(1);
        self.repeat_at = None;
        self.due.extend((self.acknowledged..self.fresh).take(REPEATED_MAX));
        // Without a session there is nothing to repeat but who we are.
        self.owes_acknowledgement |= self.other.is_none();
    }

    /// The next datagram to send.
    pub fn poll_datagram(&mut self, now: Instant) -> Option<Bytes> {
        let mut frame = Frame {
            from: self.own.0,
            to: self.other.unwrap_or(UNKNOWN).0,
            received: self.received,
            missing: self.missing(),
            pieces: Vec::new(),
        };
        if self.other.is_some() {
            self.fill(now, &mut frame);
        }
        if frame.pieces.is_empty() && !self.owes_acknowledgement {
            return None;
        }
        self.owes_acknowledgement = false;
        self.arm(now);
        Some(frame.encode())
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    fn begin(&mut self, other: Incarnation) {
        let is_first = self.other.is_none();
        self.other = Some(other);
        if !is_first {
            // What the former incarnation had, this one has not.
            self.unacknowledged.clear();
            self.unacknowledged_bytes = 0;
            (self.acknowledged, self.fresh) = (0, 0);
            self.due.clear();
        }
        (self.received, self.repeats, self.repeat_at) = (0, 0, None);
        self.early.clear();
        self.partial.clear();
        self.owes_acknowledgement = true;
        self.events.push_back(LinkEvent::Begun(other));
    }

    fn take_acknowledgement(&mut self, now: Instant, frame: &Frame) {
        let received = frame.received.min(self.fresh);
        if received > self.acknowledged {
            while self.acknowledged < received {
                let piece =
                    self.unacknowledged.pop_front().expect("what has left and is not acknowledged is kept");
                self.unacknowledged_bytes -= piece.bytes.len();
                self.acknowledged += 1;
            }
            self.due = self.due.split_off(&received);
            (self.repeats, self.repeat_at) = (0, None);
            self.arm(now);
            self.events.push_back(LinkEvent::Acknowledged(received));
        }
        for (first, length) in &frame.missing {
            let end = first.saturating_add(u64::from(*length)).min(self.fresh);
            for sequence in (*first).max(self.acknowledged)..end {
                // Reported again before a repetition can have arrived: once is enough.
                if now.saturating_since(self.piece(sequence).sent) >= self.round_trip {
                    self.due.insert(sequence);
                }
            }
        }
    }

    /// Waits for an acknowledgement of what is under way, or for a first sign of the other end.
    fn arm(&mut self, now: Instant) {
        let is_waiting = self.fresh > self.acknowledged || self.other.is_none();
        if is_waiting && self.repeat_at.is_none() {
            let patience = (self.round_trip * 2).max(REPEAT_MIN) * 2u32.pow(self.repeats.min(10));
            self.repeat_at = Some(now + patience.min(REPEAT_MAX));
        }
    }

    fn take_piece(&mut self, piece: Piece) {
        let under_way_end = self.received.saturating_add(self.limits.pieces_under_way_max as u64);
        if (self.received..under_way_end).contains(&piece.sequence) {
            self.early.entry(piece.sequence).or_insert(piece);
        }
    }

    fn deliver(&mut self) -> Result<(), FrameError> {
        while let Some(piece) = self.early.get(&self.received) {
            if self.partial.len() + piece.bytes.len() > RECORD_BYTES_MAX {
                return Err(FrameError::RecordTooLong);
            }
            let piece = self.early.remove(&self.received).expect("just seen");
            self.received += 1;
            if self.partial.is_empty() && piece.is_last {
                self.events.push_back(LinkEvent::Record(piece.bytes));
                continue;
            }
            self.partial.extend_from_slice(&piece.bytes);
            if piece.is_last {
                self.events.push_back(LinkEvent::Record(self.partial.split().freeze()));
            }
        }
        Ok(())
    }

    /// The gaps before what came early.
    fn missing(&self) -> Vec<(u64, u16)> {
        let mut next = self.received;
        let mut missing = Vec::new();
        for sequence in self.early.keys() {
            if *sequence > next {
                missing.push((next, u16::try_from(sequence - next).unwrap_or(u16::MAX)));
            }
            next = sequence + 1;
        }
        missing.truncate(MISSING_MAX);
        missing
    }

    /// Puts what is to leave into the frame: repetitions first, they hold up the rest.
    fn fill(&mut self, now: Instant, frame: &mut Frame) {
        let under_way_end = self.acknowledged.saturating_add(self.limits.pieces_under_way_max as u64);
        loop {
            let fresh = (self.fresh < self.end().min(under_way_end)).then_some(self.fresh);
            let Some(sequence) = self.due.first().copied().or(fresh) else { return };
            let length = frame.len() + PIECE_HEADER_BYTES + self.piece(sequence).bytes.len();
            if length > self.limits.datagram_bytes_max && !frame.pieces.is_empty() {
                return;
            }
            if !self.due.remove(&sequence) {
                self.fresh += 1;
            }
            let piece = self.piece(sequence);
            piece.sent = now;
            frame.pieces.push(Piece { sequence, is_last: piece.is_last, bytes: piece.bytes.clone() });
        }
    }

    /// A piece that is not acknowledged yet.
    fn piece(&mut self, sequence: u64) -> &mut Unacknowledged {
        let index = usize::try_from(sequence - self.acknowledged).expect("bounded by what fits into memory");
        &mut self.unacknowledged[index]
    }

    /// One past the number of the last piece.
    fn end(&self) -> u64 {
        self.acknowledged + self.unacknowledged.len() as u64
    }
}

impl Limits {
    fn piece_bytes_max(&self) -> usize {
        // The length of a piece is written in two bytes.
        let overhead = HEADER_BYTES + MISSING_MAX * RANGE_BYTES + PIECE_HEADER_BYTES;
        self.datagram_bytes_max.saturating_sub(overhead).clamp(1, usize::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests;
