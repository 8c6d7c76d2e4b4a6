//! Requests to one neighbour that wait for a sign of its life, and when to send each again.

use std::collections::{BTreeMap, BTreeSet};

use clock::{Duration, Instant, TimerTable};

/// Marks a request among those that wait.
pub type Key = u64;

/// A request is sent again every so many R.
const RESEND_ROUND_TRIPS: u32 = 5;
/// So often; the last time the neighbour is suspected (25 R).
pub(crate) const RESENDS_MAX: u32 = 5;
/// Requests that wait at most: more than 30 R of any load. Beyond it a request is not watched by itself; those before it are,
/// and they die of the same silence.
const WAITING_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Instant,
    resends: u32,
}

/// The requests that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_key: BTreeMap<Key, Wait>,
    by_since: BTreeSet<(Instant, Key)>,
    resends: TimerTable<Key>,
}

impl Waiting {
    /// `key` waits from `now` on, unless it waits already: then it goes on to.
    pub(crate) fn insert(&mut self, now: Instant, key: Key, round_trip: Duration) {
        if self.by_key.len() < WAITING_MAX && !self.by_key.contains_key(&key) {
            self.by_key.insert(key, Wait { since: now, resends: 0 });
            self.by_since.insert((now, key));
            self.resends.set(key, Some(now + round_trip * RESEND_ROUND_TRIPS));
        }
    }

    /// `key` waits no more; tells since when it had.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Instant> {
        let wait = self.by_key.remove(&key)?;
        self.by_since.remove(&(wait.since, key));
        self.resends.set(key, None);
        Some(wait.since)
    }

    /// The neighbour showed that it lived at `sent`: what was asked before waits no more.
    pub(crate) fn remove_asked_before(&mut self, sent: Instant) {
        while let Some((_, key)) = self.by_since.first().copied().filter(|(since, _)| *since <= sent) {
            self.remove(key);
        }
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Since when the first waits.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.by_since.first().map(|(since, _)| *since)
    }

    /// All that wait, the first first.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.by_since.iter().map(|(_, key)| *key).collect()
    }

    pub(crate) fn clear(&mut self) {
        *self = Waiting::default();
    }

    /// When the next is to be sent again.
    pub(crate) fn next_resend(&self) -> Option<Instant> {
        self.resends.next()
    }

    /// The next that is due to be sent again, and how often it will have been.
    pub(crate) fn pop_resend(&mut self, now: Instant, round_trip: Duration) -> Option<(Key, u32)> {
        let key = self.resends.pop_due(now)?;
        let wait = self.by_key.get_mut(&key)?;
        wait.resends += 1;
        if wait.resends < RESENDS_MAX {
            let at = wait.since + round_trip * (RESEND_ROUND_TRIPS * (wait.resends + 1));
            self.resends.set(key, Some(at));
        }
        Some((key, wait.resends))
    }

    /// We stood still for `late`: that time does not count.
    pub(crate) fn shift(&mut self, late: Duration) {
        self.by_since.clear();
        for (key, wait) in &mut self.by_key {
            wait.since += late;
            self.by_since.insert((wait.since, *key));
            let deadline = self.resends.deadline(key).map(|at| at + late);
            self.resends.set(*key, deadline);
        }
    }
}
