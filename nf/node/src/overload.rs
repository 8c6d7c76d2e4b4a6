//! Does this function get more than it can serve? Told by how long messages waited in the driver's queue.
//!
//! One long wait is no overload: a process that stood still for a moment (a machine that swaps, a virtual machine that was
//! not scheduled) finds a queue that it serves in no time, and refusing it would turn a hiccup into failed calls. Waits
//! that stay long while we work are: the queue stands. (The idea of a standing queue is CoDel's, RFC 8289.)

use clock::{Duration, Instant};

/// So long must waits stay above the limit before anything is refused. Shorter, and a hiccup of the machine costs calls;
/// longer, and a storm's first messages wait for the queue that is let grow meanwhile.
const GRACE: Duration = Duration::from_millis(100);

/// Whether the queue stands.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    /// Since when every request had waited too long.
    late_since: Option<Instant>,
}

impl Overload {
    /// Takes in that the request served at `now` had `waited`; says whether to refuse what waited longer than `limit`.
    pub(crate) fn on_request(&mut self, now: Instant, waited: Duration, limit: Duration) -> bool {
        if waited <= limit {
            self.late_since = None;
            return false;
        }
        let since = *self.late_since.get_or_insert(now);
        now.saturating_since(since) >= GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(250);

    fn at(milliseconds: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_piled_up_while_we_stood_still_is_served() {
        let mut overload = Overload::default();
        for request in 0..100 {
            // A second of silence, then a hundred requests at once, each served in a tenth of a millisecond.
            let now = at(1000 + request / 10);
            assert!(!overload.on_request(now, Duration::from_millis(1000 - request * 5), LIMIT));
        }
    }

    #[test]
    fn a_queue_that_stands_is_refused_after_the_grace_and_not_a_tick_earlier() {
        let mut overload = Overload::default();
        let late = LIMIT + Duration::from_micros(1);
        assert!(!overload.on_request(at(0), late, LIMIT));
        assert!(!overload.on_request(at(99), late, LIMIT));
        assert!(overload.on_request(at(100), late, LIMIT));
        // One that waited no longer than allowed ends it, and the grace begins anew.
        assert!(!overload.on_request(at(101), LIMIT, LIMIT));
        assert!(!overload.on_request(at(102), late, LIMIT));
    }
}
