//! When to start a process again that ended: at once, unless it ends again and again.

use std::time::Duration;

/// A process that lived at least this long had a good start: its end begins a new count.
/// Shorter, and a process that dies on its first request would be started in a tight loop.
pub const GOOD_START: Duration = Duration::from_secs(10);

/// So many fast ends are answered at once: the promise is to serve again within a second of a single SIGKILL, and an
/// operator or a test may well kill one function twice.
const AT_ONCE: u32 = 3;

/// The longest pause. Longer, and a cause that went away (a port that is free again) would be noticed late.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How often a process ended fast in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    fast_ends: u32,
}

impl Restarts {
    /// The process ended after `lifetime`; returns how long to wait before it is started again.
    pub fn on_exit(&mut self, lifetime: Duration) -> Duration {
        if lifetime >= GOOD_START {
            self.fast_ends = 0;
        }
        self.fast_ends = self.fast_ends.saturating_add(1);
        match self.fast_ends.checked_sub(AT_ONCE + 1) {
            None => Duration::ZERO,
            Some(doublings) => (Duration::from_millis(500) * 2u32.pow(doublings.min(8))).min(PAUSE_MAX),
        }
    }

    /// How often it ended fast in a row.
    pub fn fast_ends(self) -> u32 {
        self.fast_ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ends_are_answered_at_once_then_the_pause_doubles_to_its_maximum() {
        let mut restarts = Restarts::default();
        let pauses: Vec<u128> = (0..10).map(|_| restarts.on_exit(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 0, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }

    #[test]
    fn a_good_start_begins_a_new_count_and_one_just_too_short_does_not() {
        let mut restarts = Restarts::default();
        for _ in 0..5 {
            restarts.on_exit(Duration::ZERO);
        }
        assert!(restarts.on_exit(GOOD_START - Duration::from_millis(1)) > Duration::ZERO);
        assert_eq!(restarts.on_exit(GOOD_START), Duration::ZERO);
        assert_eq!(restarts.fast_ends(), 1);
    }
}
