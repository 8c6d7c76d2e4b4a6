//! `bench run`: one load on the core.

use anyhow::Result;
use clock::Duration;

use crate::Place;
use crate::bed::Bed;
use crate::load::{Load, Mix, Pace};
use crate::population::{Population, Scheme};
use crate::print;

/// Put one load on the core and measure it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many subscribers.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub subscribers: usize,
    /// Attempts a second, Poisson. Without it: no think time, `--window` attempts at once.
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Attempts under way at once when no rate is given.
    #[arg(long, value_name = "N", default_value_t = 16)]
    window: usize,
    /// How long is counted.
    #[arg(long, value_name = "S", default_value_t = 30.0)]
    seconds: f64,
    /// How long is not counted at the start.
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    transient_seconds: f64,
    /// Stop after so many attempts.
    #[arg(long, value_name = "N")]
    attempts: Option<u64>,
    /// What is attempted.
    #[arg(long, value_enum, default_value_t = Mix::Mixed)]
    mix: Mix,
    /// What the subscribers have: a SIM or a password.
    #[arg(long, value_enum, default_value_t = Scheme::Aka)]
    scheme: Scheme,
    /// How long a device rings, on average (exponential).
    #[arg(long, value_name = "MS", default_value_t = 500)]
    ring_milliseconds: u64,
    /// How long a call is held, on average (exponential).
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    hold_milliseconds: u64,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(place: &Place, arguments: &Arguments) -> Result<()> {
    let core = place.core()?;
    let population = Population {
        count: arguments.subscribers,
        scheme: arguments.scheme,
        seed: place.seed,
        first: 0,
        ring_mean: Duration::from_millis(arguments.ring_milliseconds),
    };
    let mut bed = Bed::new(&core, &population, arguments.mix, place.port)?;
    bed.register()?;
    let outcome = bed.run(Load {
        mix: arguments.mix,
        pace: arguments.rate.map_or(Pace::Window(arguments.window), Pace::Rate),
        transient: Duration::from_secs_f64(arguments.transient_seconds),
        duration: Duration::from_secs_f64(arguments.seconds),
        attempts_max: arguments.attempts.unwrap_or(u64::MAX),
        hold_mean: Duration::from_millis(arguments.hold_milliseconds),
        seed: place.seed,
    })?;
    // Before anything is printed: the reader of a pipe may be gone, and the core must not stay behind.
    drop(bed);
    drop(core);
    if arguments.json {
        println!("{:#}", print::document(&outcome));
    } else {
        print::print(&outcome);
    }
    Ok(())
}
