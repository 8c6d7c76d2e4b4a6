//! `bench capacity`: the highest load that holds (DOC of spec 3.2), what delays are at parts of it, and what limits it.
//!
//! A load holds when less than 0.1 % of the attempts are handled inadequately: failed, or slower than the thresholds
//! of spec 3.2. It is raised in steps until one does not hold; then the interval is halved until it is narrow.

use anyhow::{Result, bail};
use clock::Duration;
use serde_json::{Value, json};

use crate::Place;
use crate::bed::Bed;
use crate::core::{Core, FUNCTIONS};
use crate::load::{Load, Mix, Pace};
use crate::population::{Population, Scheme};
use crate::print;
use crate::tally::Delay;
use crate::traffic::Outcome;

/// Find the highest load that holds.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What is attempted.
    #[arg(long, value_enum, default_value_t = Mix::Registration)]
    mix: Mix,
    /// What the subscribers have.
    #[arg(long, value_enum, default_value_t = Scheme::Aka)]
    scheme: Scheme,
    /// How many subscribers.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    subscribers: usize,
    /// The first load, in attempts a second.
    #[arg(long, value_name = "R", default_value_t = 200.0)]
    rate: f64,
    /// How long each load is counted.
    #[arg(long, value_name = "S", default_value_t = 8.0)]
    seconds: f64,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// How a capacity is searched.
pub struct Search {
    /// The first load.
    pub rate: f64,
    /// How long each load is counted.
    pub duration: Duration,
    /// Where choices come from.
    pub seed: u64,
}

/// What was found.
pub struct Capacity {
    /// The highest load that held, in attempts a second.
    pub rate: f64,
    /// Its run.
    pub at: Outcome,
    /// Half of it.
    pub half: Outcome,
    /// Four fifths of it.
    pub most: Outcome,
    /// All loads that were tried, with their share of inadequate attempts.
    pub steps: Vec<(f64, f64)>,
}

/// A load holds below this share (`max_ihs` of spec 3.2).
const INADEQUATE_SHARE_MAX: f64 = 0.001;
/// How much the load grows while it holds.
const GROWTH: f64 = 1.4;
/// How narrow the interval is in the end.
const PRECISION: f64 = 1.06;
/// At the start of each load, not counted. Shorter than the 30 s of spec 1.6: nothing is started here but traffic.
const TRANSIENT: Duration = Duration::from_secs(2);
/// An attempt that starts later than this was not started by the plan: the generator is at its end.
const LATENESS_MAX: Duration = Duration::from_millis(500);

/// After a load that did not hold: phones that were refused come back within 9 s, what they left behind is answered.
const RECOVERY: Duration = Duration::from_secs(5);

/// Attempts that found no idle device were not made: then the load was another one than it says.
fn holds(outcome: &Outcome) -> bool {
    let is_made = (outcome.without_device as f64) < outcome.tally.attempts() as f64 * 0.01;
    outcome.tally.inadequate_share() < INADEQUATE_SHARE_MAX && outcome.lateness_max < LATENESS_MAX && is_made
}

impl Search {
    /// Searches.
    pub fn run(&self, bed: &mut Bed<'_>) -> Result<Capacity> {
        let mut steps = Vec::new();
        let mut best: Option<(f64, Outcome)> = None;
        let mut too_high: Option<f64> = None;
        loop {
            let held = best.as_ref().map(|(rate, _)| *rate);
            let rate = match (held, too_high) {
                (None, None) => self.rate,
                (Some(held), None) => held * GROWTH,
                (None, Some(high)) => high / 2.0,
                (Some(held), Some(high)) if high / held > PRECISION => (held * high).sqrt(),
                _ => break,
            };
            if rate < 1.0 {
                bail!("not even one attempt a second holds");
            }
            let mut outcome = self.load(bed, rate)?;
            if !holds(&outcome) {
                // A machine that stood still for a moment is no capacity: what fails must fail twice.
                bed.idle(RECOVERY)?;
                outcome = self.load(bed, rate)?;
            }
            let share = outcome.tally.inadequate_share();
            eprintln!(
                "  {rate:>8.1}/s: {:.3} % inadequate, repeated {}, late {:.0} ms, no device {}",
                share * 100.0,
                outcome.tally.retransmissions.values().sum::<u64>(),
                outcome.lateness_max.as_secs_f64() * 1000.0,
                outcome.without_device,
            );
            steps.push((rate, share));
            if holds(&outcome) {
                best = Some((rate, outcome));
            } else {
                too_high = Some(rate);
                bed.idle(RECOVERY)?;
            }
        }
        let (rate, at) = best.expect("the loop ends with a load that held");
        let half = self.load(bed, rate * 0.5)?;
        let most = self.load(bed, rate * 0.8)?;
        Ok(Capacity { rate, at, half, most, steps })
    }

    fn load(&self, bed: &mut Bed<'_>, rate: f64) -> Result<Outcome> {
        bed.run(Load {
            mix: bed.mix,
            pace: Pace::Rate(rate),
            transient: TRANSIENT,
            duration: self.duration,
            attempts_max: u64::MAX,
            hold_mean: Duration::from_millis(500),
            seed: self.seed,
        })
    }
}

impl Capacity {
    /// The highest p99 of all sub-scenarios of a run, in milliseconds.
    pub fn p99(outcome: &Outcome) -> f64 {
        let found = Delay::ALL.iter().filter_map(|delay| outcome.tally.statistics(*delay));
        found.map(|statistics| statistics.p99).fold(0.0, f64::max)
    }

    /// Who uses the processors at the highest load, in percent of one core.
    pub fn shares(&self) -> Vec<(&'static str, f64)> {
        let functions = FUNCTIONS.iter().map(|name| (*name, print::share(&self.at, name)));
        let generator = self.at.cpu_generator.as_secs_f64() / self.at.elapsed.as_secs_f64() * 100.0;
        functions.chain([("generator", generator)]).collect()
    }

    /// For people.
    pub fn print(&self) {
        println!("the highest load that holds: {:.0} attempts/s", self.rate);
        println!("p99 at 50 %: {:.2} ms, at 80 %: {:.2} ms", Self::p99(&self.half), Self::p99(&self.most));
        let shares = self.shares();
        let words: Vec<String> = shares.iter().map(|(name, share)| format!("{name} {share:.0} %")).collect();
        let total: f64 = shares.iter().map(|(_, share)| share).sum();
        println!("processors at that load, in percent of one: {}; together {total:.0} %", words.join(", "));
    }

    /// For machines.
    pub fn document(&self) -> Value {
        let shares: serde_json::Map<String, Value> =
            self.shares().into_iter().map(|(name, share)| (name.to_owned(), json!(share))).collect();
        json!({
            "attemptsPerSecond": self.rate,
            "steps": self.steps.iter().map(|(rate, share)| json!({"rate": rate, "inadequateShare": share})).collect::<Vec<_>>(),
            "processorPercent": shares,
            "at": print::document(&self.at),
            "at80": print::document(&self.most),
            "at50": print::document(&self.half),
        })
    }
}

/// Runs the verb.
pub fn run(place: &Place, arguments: &Arguments) -> Result<()> {
    let core: Core = place.core()?;
    let population = Population {
        count: arguments.subscribers,
        scheme: arguments.scheme,
        seed: place.seed,
        first: 0,
        ring_mean: Duration::from_millis(200),
    };
    let mut bed = Bed::new(&core, &population, arguments.mix, place.port)?;
    bed.register()?;
    let duration = Duration::from_secs_f64(arguments.seconds);
    let found = Search { rate: arguments.rate, duration, seed: place.seed }.run(&mut bed)?;
    // Before anything is printed: the reader of a pipe may be gone, and the core must not stay behind.
    drop(bed);
    drop(core);
    if arguments.json {
        println!("{:#}", found.document());
    } else {
        found.print();
        print::print(&found.at);
    }
    Ok(())
}
