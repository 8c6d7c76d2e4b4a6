//! The watchdog of RFC 3539 §3.4: is the other side alive?
//!
//! ```text
//!  Okay --Tw without a word: DWR, Tw again: suspect--> Suspect --Tw again--> close
//!   ^                                                     |
//!   +------------------- any word ------------------------+
//!  Reopening (after a close by the watchdog) --three DWA--> Okay      --2 Tw without a word--> close
//! ```
//!
//! Two deviations. A connection that ended with a close is trusted at once when it is back: the RFC's probation would
//! cost a restarted HSS two Tw, a minute, while the close has told all there was to tell. And during probation the next
//! DWR follows the DWA at once instead of after Tw: three exchanges prove that the peer reads and writes.

use clock::{Duration, Instant};

use super::identifiers::Random;

/// RFC 3539 §3.4.1: Tw must not be below 6 s.
const INTERVAL_MIN: Duration = Duration::from_secs(6);
/// RFC 3539 §3.4.1: evenly spread over ±2 s, so that peers do not probe in step.
const JITTER: Duration = Duration::from_secs(2);
/// RFC 3539 §3.4.1: answers before a reopened connection is used.
const REOPEN_ANSWERS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchdogAction {
    None,
    /// Send a DWR.
    Probe,
    /// It can be used (again).
    Trust,
    /// It does not answer: use another one, if there is one.
    Suspect,
    /// Give the connection up.
    Close,
}

#[derive(Debug, PartialEq, Eq)]
enum Status {
    Okay,
    Suspect,
    Reopening { answers: u8, has_timed_out: bool },
}

#[derive(Debug)]
pub(super) struct Watchdog {
    status: Status,
    interval: Duration,
    random: Random,
    /// A DWR waits for its DWA.
    is_pending: bool,
    /// When the current Tw began. Moved with every word; the deadline follows when it is reached.
    since: Instant,
    deadline: Instant,
    wait: Duration,
}

impl Watchdog {
    /// A connection has opened. The first DWR is to be sent at once when it `is_distrusted`.
    pub(super) fn new(now: Instant, interval: Duration, seed: u64, is_distrusted: bool) -> Self {
        let status = match is_distrusted {
            true => Status::Reopening { answers: 0, has_timed_out: false },
            false => Status::Okay,
        };
        let mut watchdog = Watchdog {
            status,
            interval: interval.max(INTERVAL_MIN),
            random: Random(seed),
            is_pending: is_distrusted,
            since: now,
            deadline: now,
            wait: Duration::ZERO,
        };
        watchdog.restart(now);
        watchdog
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn is_okay(&self) -> bool {
        self.status == Status::Okay
    }

    pub(super) fn is_reopening(&self) -> bool {
        matches!(self.status, Status::Reopening { .. })
    }

    pub(super) fn on_heard(&mut self, now: Instant, is_answer: bool) -> WatchdogAction {
        self.since = now;
        if is_answer {
            self.is_pending = false;
        }
        match &mut self.status {
            Status::Okay => WatchdogAction::None,
            Status::Suspect => {
                self.status = Status::Okay;
                WatchdogAction::Trust
            }
            Status::Reopening { answers, has_timed_out } if is_answer => {
                *has_timed_out = false;
                *answers += 1;
                if *answers == REOPEN_ANSWERS {
                    self.status = Status::Okay;
                    return WatchdogAction::Trust;
                }
                self.is_pending = true;
                WatchdogAction::Probe
            }
            Status::Reopening { .. } => WatchdogAction::None,
        }
    }

    pub(super) fn on_timeout(&mut self, now: Instant) -> WatchdogAction {
        if self.since + self.wait > now {
            self.deadline = self.since + self.wait;
            return WatchdogAction::None;
        }
        self.restart(now);
        match &mut self.status {
            Status::Okay if self.is_pending => {
                self.status = Status::Suspect;
                WatchdogAction::Suspect
            }
            Status::Okay => {
                self.is_pending = true;
                WatchdogAction::Probe
            }
            Status::Suspect | Status::Reopening { has_timed_out: true, .. } => WatchdogAction::Close,
            Status::Reopening { has_timed_out, .. } => {
                *has_timed_out = true;
                WatchdogAction::None
            }
        }
    }

    fn restart(&mut self, now: Instant) {
        let spread = 2 * JITTER.as_micros() as u64 + 1;
        let jitter = Duration::from_micros(self.random.next() % spread);
        self.wait = self.interval - JITTER + jitter;
        self.since = now;
        self.deadline = now + self.wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TW: Duration = Duration::from_secs(30);

    #[test]
    fn every_wait_lies_within_two_seconds_of_tw_and_they_differ() {
        let mut watchdog = Watchdog::new(Instant::ZERO, TW, 1, false);
        let waits: Vec<_> = (0..100)
            .map(|_| {
                watchdog.restart(Instant::ZERO);
                watchdog.wait
            })
            .collect();
        assert!(waits.iter().all(|wait| (TW - JITTER..=TW + JITTER).contains(wait)));
        assert!(waits.iter().any(|wait| wait != &waits[0]));
    }

    #[test]
    fn tw_is_never_below_six_seconds() {
        let watchdog = Watchdog::new(Instant::ZERO, Duration::from_millis(10), 1, false);
        assert!(watchdog.wait >= INTERVAL_MIN - JITTER);
    }

    #[test]
    fn silence_is_probed_then_suspected_then_closed() {
        let mut watchdog = Watchdog::new(Instant::ZERO, TW, 1, false);
        let mut actions = Vec::new();
        for _ in 0..3 {
            actions.push(watchdog.on_timeout(watchdog.deadline()));
        }
        assert_eq!(actions, [WatchdogAction::Probe, WatchdogAction::Suspect, WatchdogAction::Close]);
    }

    #[test]
    fn a_word_just_before_the_deadline_moves_it_by_a_whole_wait() {
        let mut watchdog = Watchdog::new(Instant::ZERO, TW, 1, false);
        let (deadline, wait) = (watchdog.deadline(), watchdog.wait);
        let word = Instant::from_micros(deadline.as_micros() - 1);
        watchdog.on_heard(word, false);
        assert_eq!(watchdog.on_timeout(deadline), WatchdogAction::None);
        assert_eq!(watchdog.deadline(), word + wait);
        assert_eq!(watchdog.on_timeout(watchdog.deadline()), WatchdogAction::Probe);
    }

    #[test]
    fn any_word_clears_a_suspicion() {
        let mut watchdog = Watchdog::new(Instant::ZERO, TW, 1, false);
        watchdog.on_timeout(watchdog.deadline());
        watchdog.on_timeout(watchdog.deadline());
        assert!(!watchdog.is_okay());
        assert_eq!(watchdog.on_heard(watchdog.deadline(), false), WatchdogAction::Trust);
        assert!(watchdog.is_okay());
    }

    #[test]
    fn a_reopened_connection_is_trusted_at_the_third_answer_and_not_at_the_second() {
        let mut watchdog = Watchdog::new(Instant::ZERO, TW, 1, true);
        assert_eq!(watchdog.on_heard(Instant::ZERO, true), WatchdogAction::Probe);
        assert_eq!(watchdog.on_heard(Instant::ZERO, false), WatchdogAction::None);
        assert_eq!(watchdog.on_heard(Instant::ZERO, true), WatchdogAction::Probe);
        assert!(watchdog.is_reopening());
        assert_eq!(watchdog.on_heard(Instant::ZERO, true), WatchdogAction::Trust);
    }

    #[test]
    fn a_reopened_connection_that_stays_silent_is_closed_after_two_waits() {
        let mut watchdog = Watchdog::new(Instant::ZERO, TW, 1, true);
        assert_eq!(watchdog.on_timeout(watchdog.deadline()), WatchdogAction::None);
        assert_eq!(watchdog.on_timeout(watchdog.deadline()), WatchdogAction::Close);
    }
}
