//! The driver's clock: what a core is told as `now`, and how its deadlines become waits.
//!
//! The epoch is the boot of the machine (CLOCK_BOOTTIME), so that an instant survives a restart of the process and
//! goes on while the machine sleeps. Wall time is read once at start; later steps of the wall clock are noticed and
//! reported, never followed: no time-out may depend on them.

use clock::{Duration, Instant, WallOrigin, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Microseconds since boot.
pub fn now() -> Instant {
    Instant::from_micros(micros_of(ClockId::Boottime))
}

/// Where the epoch lies in wall time.
pub fn wall_origin() -> WallOrigin {
    let wall = micros_of(ClockId::Realtime);
    WallOrigin(WallTime(wall.saturating_sub(now().as_micros())))
}

/// CPU time of this process, all threads, in seconds.
pub fn process_cpu_seconds() -> f64 {
    micros_of(ClockId::ProcessCPUTime) as f64 / 1e6
}

/// The runtime's instant for a deadline of a core. The runtime rounds up to its tick of a millisecond: a core is
/// woken late by that much at most, never early.
pub fn to_runtime(deadline: Instant) -> tokio::time::Instant {
    // A day is longer than any wait: the loop ticks every second.
    let wait = deadline.saturating_since(now()).min(Duration::from_secs(86_400));
    tokio::time::Instant::now() + wait
}

fn micros_of(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000) + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_and_its_wall_time_lead_to_each_other() {
        let origin = wall_origin();
        let at = now();
        assert_eq!(origin.instant_of(origin.at(at)), at);
        assert!(origin.at(at).0 > 1_600_000_000_000_000, "the machine's clock lies before 2020");
    }
}
