//! Time as the cores see it: told, never read.
//!
//! An [`Instant`] is a number of microseconds since an epoch that the driver chose (boot time in production,
//! zero in simulation). [`TimerTable`] holds deadlines by key; it answers "when next?" and "which are due?".

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Add, AddAssign, Sub};

pub use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A point in monotonic time, in microseconds since the driver's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Instant = Instant(0);
    /// Later than anything that happens.
    pub const FAR_FUTURE: Instant = Instant(u64::MAX);

    /// The instant `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Instant(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.saturating_since(earlier)
    }
}

/// Wall-clock time, in microseconds since 1970-01-01 UTC. For people, documents and durable expiry only:
/// no time-out is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(pub u64);

/// Where the driver's epoch lies in wall time. Fixed when a core is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallOrigin(pub WallTime);

impl WallOrigin {
    /// The wall time at `now`.
    pub fn at(self, now: Instant) -> WallTime {
        WallTime(self.0.0.saturating_add(now.as_micros()))
    }

    /// The instant that lies at `wall`; the epoch when it lies before.
    pub fn instant_of(self, wall: WallTime) -> Instant {
        Instant(wall.0.saturating_sub(self.0.0))
    }
}

/// Deadlines by key, at most one a key.
#[derive(Clone, Debug)]
pub struct TimerTable<K: Ord + Clone> {
    by_deadline: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Default for TimerTable<K> {
    fn default() -> Self {
        TimerTable { by_deadline: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> TimerTable<K> {
    /// Sets, moves or (with `None`) removes the deadline of `key`.
    pub fn set(&mut self, key: K, deadline: Option<Instant>) {
        if let Some(&old) = self.by_key.get(&key) {
            if Some(old) == deadline {
                return;
            }
            self.by_deadline.remove(&(old, key.clone()));
        }
        match deadline {
            Some(at) => {
                self.by_deadline.insert((at, key.clone()));
                self.by_key.insert(key, at);
            }
            None => {
                self.by_key.remove(&key);
            }
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    /// Takes the earliest key whose deadline is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_deadline.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// The deadline of `key`, if it has one.
    pub fn deadline(&self, key: &K) -> Option<Instant> {
        self.by_key.get(key).copied()
    }

    /// All keys that have a deadline.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.by_key.keys()
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Is there no deadline at all?
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_due_at_its_instant_and_not_a_tick_before() {
        let mut timers = TimerTable::default();
        timers.set("a", Some(Instant::from_micros(10)));
        assert_eq!(timers.pop_due(Instant::from_micros(9)), None);
        assert_eq!(timers.pop_due(Instant::from_micros(10)), Some("a"));
        assert!(timers.is_empty());
    }

    #[test]
    fn a_moved_timer_fires_once_at_its_new_instant() {
        let mut timers = TimerTable::default();
        timers.set(1, Some(Instant::from_micros(10)));
        timers.set(1, Some(Instant::from_micros(20)));
        assert_eq!(timers.pop_due(Instant::from_micros(15)), None);
        assert_eq!(timers.pop_due(Instant::from_micros(25)), Some(1));
        assert_eq!(timers.pop_due(Instant::from_micros(25)), None);
    }

    #[test]
    fn timers_come_out_in_the_order_of_their_deadlines() {
        let mut timers = TimerTable::default();
        for (key, at) in [(1, 30), (2, 10), (3, 20)] {
            timers.set(key, Some(Instant::from_micros(at)));
        }
        timers.set(3, None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(Instant::FAR_FUTURE)).collect();
        assert_eq!(due, [2, 1]);
    }
}
