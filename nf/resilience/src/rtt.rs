//! R, the effective local round trip of one neighbour: what all of its deadlines are multiples of (spec 2.6).
//!
//! ```text
//!   R = clamp(mean + 4 · mean deviation of the last 64 probe samples, floor, ceiling)
//! ```
//!
//! Samples come from probes only: a SIP response says how long its answer took to make, not how far away the neighbour is.

use std::collections::VecDeque;

use clock::Duration;
use serde::{Deserialize, Serialize};

/// Samples that count. Fewer, and one stall moves R for long; more, and a path that changed is noticed late.
const SAMPLES: usize = 64;

/// Between what R may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Shorter, and a scheduler's hiccup is taken for death: 30 R must outlast what a healthy machine may stand still.
    pub floor: Duration,
    /// Longer, and the device repeats before the standby has taken over.
    pub ceiling: Duration,
}

impl Default for Bounds {
    /// 2 ms and 15 ms: verdicts after 60 ms to 450 ms, below the device's T1 of 500 ms.
    fn default() -> Bounds {
        Bounds { floor: Duration::from_millis(2), ceiling: Duration::from_millis(15) }
    }
}

/// The estimate.
#[derive(Clone, Debug)]
pub struct RoundTrip {
    bounds: Bounds,
    samples: VecDeque<Duration>,
}

impl RoundTrip {
    /// Nothing measured yet: R is the ceiling, because a neighbour of which nothing is known deserves patience.
    pub fn new(bounds: Bounds) -> RoundTrip {
        RoundTrip { bounds, samples: VecDeque::new() }
    }

    /// Takes in how long a probe and its answer took.
    pub fn on_sample(&mut self, sample: Duration) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        // A sample above the ceiling would say no more than the ceiling, and would spoil the mean for 64 probes.
        self.samples.push_back(sample.min(self.bounds.ceiling));
    }

    /// R.
    pub fn effective(&self) -> Duration {
        let Ok(count) = u32::try_from(self.samples.len()) else { return self.bounds.ceiling };
        if count == 0 {
            return self.bounds.ceiling;
        }
        let mean = self.samples.iter().sum::<Duration>() / count;
        let deviation = self.samples.iter().map(|sample| sample.abs_diff(mean)).sum::<Duration>() / count;
        (mean + 4 * deviation).clamp(self.bounds.floor, self.bounds.ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(samples_micros: &[u64], expected_micros: u64) {
        let mut round_trip = RoundTrip::new(Bounds::default());
        samples_micros.iter().for_each(|sample| round_trip.on_sample(Duration::from_micros(*sample)));
        assert_eq!(round_trip.effective(), Duration::from_micros(expected_micros), "{samples_micros:?}");
    }

    #[test]
    fn it_is_the_mean_and_four_deviations_between_floor_and_ceiling() {
        check(&[], 15_000);
        check(&[50; 64], 2000);
        check(&[3000; 64], 3000);
        check(&[3000, 5000], 4000 + 4 * 1000);
        check(&[100_000; 3], 15_000);
    }

    #[test]
    fn the_65th_sample_pushes_out_the_first() {
        let mut samples = vec![15_000];
        samples.extend([3000; 63]);
        let mut round_trip = RoundTrip::new(Bounds::default());
        samples.iter().for_each(|sample| round_trip.on_sample(Duration::from_micros(*sample)));
        assert!(round_trip.effective() > Duration::from_millis(3));
        round_trip.on_sample(Duration::from_millis(3));
        assert_eq!(round_trip.effective(), Duration::from_millis(3));
    }
}
