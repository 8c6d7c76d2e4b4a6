//! Transactions: when a request or response is repeated, absorbed, given up (RFC 3261 §17, RFC 6026, RFC 4320).
//!
//! Each machine is plain data that knows times and status codes, nothing else: it never sees a message, a socket or
//! another transaction. The shell keeps the bytes to repeat, calls `on_*` and does what the answer says. Because a
//! machine is data, it can be written out on one copy and go on, in the same state and with the same deadlines, on another.
//!
//! Not decided here: timer C and the response context (they belong to a proxy's forwarding, RFC 3261 §16.6 to 16.8),
//! and the rule that nobody answers 408 to a non-INVITE request (RFC 4320 §4.2), which concerns what a function says.

mod client;
mod matching;
mod requests;
mod server;

pub use client::{ClientReaction, ClientTimeout, ClientTransaction};
pub use matching::{ClientMatch, ServerMatch, client_match, server_match};
pub use requests::{build_ack, build_cancel};
pub use server::{ServerAck, ServerReaction, ServerTimeout, ServerTransaction};

use clock::{Duration, Instant};
use serde::{Deserialize, Serialize};

/// The base times from which all others follow (RFC 3261 table 4; towards devices TS 24.229 §7.7 has 2, 16 and 17 s).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// Estimate of the round trip, default 500 ms. Too small repeats needlessly, too large repairs loss late.
    pub t1: Duration,
    /// Longest pause between repetitions of a non-INVITE request or an INVITE's final response, default 4 s.
    pub t2: Duration,
    /// How long a message may stay in the network, default 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// 64·T1: timers B, D, F, H, J, L and M.
    pub fn give_up(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// How long timer E takes until it has grown to T2: from then on a 100 to a non-INVITE request does good instead
    /// of harm (RFC 4320 §4.1). 3.5 s with the default times.
    fn until_t2(&self) -> Duration {
        let (mut passed, mut interval) = (Duration::ZERO, self.t1);
        while interval < self.t2 && passed < self.give_up() && !interval.is_zero() {
            passed = passed.saturating_add(interval);
            interval = interval.saturating_mul(2);
        }
        passed
    }
}

/// A running timer A, E or G.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Repetition {
    /// When the next copy leaves.
    at: Instant,
    /// The pause before that copy.
    interval: Duration,
}

impl Repetition {
    /// The first repetition comes T1 after the original.
    fn start(now: Instant, timers: &Timers) -> Repetition {
        Repetition { at: now + timers.t1, interval: timers.t1 }
    }

    /// The next pause is twice as long, but not longer than `interval_max`.
    fn doubled(self, now: Instant, interval_max: Duration) -> Repetition {
        let interval = self.interval.saturating_mul(2).min(interval_max);
        Repetition { at: now + interval, interval }
    }

    fn is_due(self, now: Instant) -> bool {
        self.at <= now
    }
}

/// The earlier of a repetition, if there is one, and an end.
fn earliest(repetition: Option<Repetition>, end: Instant) -> Instant {
    repetition.map_or(end, |repetition| repetition.at.min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_e_reaches_t2_after_three_and_a_half_seconds() {
        assert_eq!(Timers::default().until_t2(), Duration::from_millis(3500));
    }

    #[test]
    fn odd_times_end_the_sum_all_the_same() {
        let none = Timers { t1: Duration::ZERO, ..Timers::default() };
        assert_eq!(none.until_t2(), Duration::ZERO);
        let endless = Timers { t2: Duration::MAX, ..Timers::default() };
        assert!(endless.until_t2() >= endless.give_up());
    }
}
