//! What a run measured: exact samples of each sub-scenario (spec 1.5), and how attempts ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// A delay that is measured (spec 1.5; our ids, the names of ETSI TS 186 008 are not verified).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Delay {
    /// INVITE sent to ACK received by the callee, without the time it rang.
    #[serde(rename = "S1-D1")]
    Setup,
    /// INVITE sent to INVITE received by the callee.
    #[serde(rename = "S1-D2")]
    Arrival,
    /// BYE sent to its 200.
    #[serde(rename = "S1-D3")]
    Release,
    /// MESSAGE sent to its 200.
    #[serde(rename = "S1-D4")]
    Message,
    /// First REGISTER sent to its 401.
    #[serde(rename = "S1-D5")]
    FirstRegistration,
    /// REGISTER with credentials sent to its 200.
    #[serde(rename = "S1-D6")]
    SecondRegistration,
}

impl Delay {
    /// All, in the order of the specification.
    pub const ALL: [Delay; 6] = [
        Delay::Setup,
        Delay::Arrival,
        Delay::Release,
        Delay::Message,
        Delay::FirstRegistration,
        Delay::SecondRegistration,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Delay::Setup => "S1-D1 session setup",
            Delay::Arrival => "S1-D2 invite arrival",
            Delay::Release => "S1-D3 session release",
            Delay::Message => "S1-D4 message",
            Delay::FirstRegistration => "S1-D5 first REGISTER to 401",
            Delay::SecondRegistration => "S1-D6 second REGISTER to 200",
        }
    }

    /// Above it an attempt is inadequate although it succeeded (spec 3.2).
    pub fn threshold(self) -> Duration {
        match self {
            Delay::Release => Duration::from_secs(1),
            _ => Duration::from_secs(2),
        }
    }
}

/// Exact samples.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

/// Samples in order.
#[derive(Clone, Debug, Serialize)]
pub struct Statistics {
    /// How many.
    pub count: usize,
    /// Milliseconds, as all the following.
    pub mean: f64,
    /// The shortest.
    pub minimum: f64,
    /// Half of the samples are not longer.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// The longest.
    pub maximum: f64,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Puts them in order. `None` when there are none.
    pub fn statistics(&self) -> Option<Statistics> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let (first, last) = (sorted.first()?, sorted.last()?);
        // Nearest rank: x[ceil(q·n)], counted from 1 (spec 1.6).
        let rank = |percent: usize| milliseconds(sorted[(percent * sorted.len()).div_ceil(100).max(1) - 1]);
        Some(Statistics {
            count: sorted.len(),
            mean: milliseconds(sorted.iter().sum()) / sorted.len() as f64,
            minimum: milliseconds(*first),
            p50: rank(50),
            p90: rank(90),
            p95: rank(95),
            p99: rank(99),
            maximum: milliseconds(*last),
        })
    }
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// How the attempts of one scenario ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ends {
    /// Started.
    pub attempts: u64,
    /// Ended as the scenario wants it.
    pub successes: u64,
    /// Of these, too slow (spec 3.2).
    pub inadequate: u64,
    /// Ended otherwise: how often, by status or reason.
    pub failures: BTreeMap<String, u64>,
}

impl Ends {
    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Samples of successful attempts.
    pub samples: BTreeMap<Delay, Samples>,
    /// By scenario.
    pub ends: BTreeMap<&'static str, Ends>,
    /// Requests that a device repeated, by method.
    pub retransmissions: BTreeMap<String, u64>,
    /// A challenge after an answered challenge: an SQN or a nonce was lost on the way.
    pub second_challenges: u64,
    /// What never may happen: unreadable messages, second final answers.
    pub violations: BTreeMap<String, u64>,
}

impl Tally {
    /// Attempts, all scenarios together.
    pub fn attempts(&self) -> u64 {
        self.ends.values().map(|ends| ends.attempts).sum()
    }

    /// Failed attempts.
    pub fn failed(&self) -> u64 {
        self.ends.values().map(Ends::failed).sum()
    }

    /// The share of inadequately handled attempts (%IHS of spec 3.2, as a fraction).
    pub fn inadequate_share(&self) -> f64 {
        let inadequate: u64 = self.ends.values().map(|ends| ends.inadequate).sum();
        (self.failed() + inadequate) as f64 / self.attempts().max(1) as f64
    }

    /// The statistics of a delay.
    pub fn statistics(&self, delay: Delay) -> Option<Statistics> {
        self.samples.get(&delay)?.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(count: u64, expected: [f64; 4]) {
        let mut samples = Samples::default();
        // In falling order: the statistics sort.
        (1..=count).rev().for_each(|number| samples.push(Duration::from_millis(number)));
        let found = samples.statistics().unwrap();
        assert_eq!([found.p50, found.p90, found.p95, found.p99], expected, "{count} samples");
    }

    #[test]
    fn percentiles_are_exact_samples_by_nearest_rank() {
        check(1, [1.0, 1.0, 1.0, 1.0]);
        check(10, [5.0, 9.0, 10.0, 10.0]);
        check(100, [50.0, 90.0, 95.0, 99.0]);
        check(1000, [500.0, 900.0, 950.0, 990.0]);
        assert!(Samples::default().statistics().is_none());
    }

    #[test]
    fn a_slow_success_counts_as_inadequate_and_a_failure_too() {
        let mut tally = Tally::default();
        let ends = Ends {
            attempts: 1000,
            successes: 999,
            inadequate: 1,
            failures: BTreeMap::from([("503".to_owned(), 1)]),
        };
        tally.ends.insert("call", ends);
        assert!((tally.inadequate_share() - 0.002).abs() < 1e-9);
    }
}
