//! Runs seeds: `sim [--seeds FROM..TO] [--kills | --pairs] [--adversary] [--streams] [--ipv6] [--sabotage NAME] [--without RULE]`. A failing seed prints its trace and how to run it again.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use resilience::permission::Rule;
use sim::sabotage::Sabotage;
use sim::{Outcome, Scenario};

struct Arguments {
    seeds: Range<u64>,
    with_kills: bool,
    with_pairs: bool,
    /// A rule of permission that is switched off, to see whether it is missed.
    without: Option<Rule>,
    /// In all seeds; else as each seed draws it.
    with_adversary: bool,
    with_streams: bool,
    with_ipv6: bool,
    sabotage: Option<Sabotage>,
}

impl Arguments {
    fn scenario(&self, seed: u64) -> Scenario {
        let mut scenario = Scenario::drawn(seed, self.with_kills, self.sabotage);
        scenario.with_pairs = self.with_pairs;
        if let Some(rule) = self.without {
            scenario.rules = scenario.rules.without(rule);
        }
        scenario.with_adversary |= self.with_adversary;
        scenario.with_streams |= self.with_streams;
        scenario.with_ipv6 |= self.with_ipv6;
        scenario
    }

    /// The flags for the same scenarios again.
    fn flags(&self) -> String {
        let flags = [
            (self.with_kills, " --kills"),
            (self.with_pairs, " --pairs"),
            (self.with_adversary, " --adversary"),
            (self.with_streams, " --streams"),
            (self.with_ipv6, " --ipv6"),
        ];
        let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect();
        let without = self.without.map(|rule| format!(" --without {}", rule.name()));
        let sabotage = self.sabotage.map(|sabotage| format!(" --sabotage {sabotage:?}"));
        flags + &without.unwrap_or_default() + &sabotage.unwrap_or_default()
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: 0..10_000,
        with_kills: false,
        with_pairs: false,
        without: None,
        with_adversary: false,
        with_streams: false,
        with_ipv6: false,
        sabotage: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--kills" => arguments.with_kills = true,
            "--pairs" => arguments.with_pairs = true,
            "--adversary" => arguments.with_adversary = true,
            "--streams" => arguments.with_streams = true,
            "--ipv6" => arguments.with_ipv6 = true,
            "--seeds" => {
                let text = words.next().ok_or("--seeds needs FROM..TO")?;
                let (from, to) =
                    text.split_once("..").ok_or_else(|| format!("--seeds {text}: write FROM..TO"))?;
                let number = |text: &str| text.parse().map_err(|_| format!("--seeds: {text:?} is no number"));
                arguments.seeds = number(from)?..number(to)?;
            }
            "--without" => {
                let name = words.next().ok_or("--without needs the name of a rule")?;
                let found = Rule::ALL.iter().copied().find(|rule| rule.name() == name);
                let all = || Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", ");
                arguments.without = Some(found.ok_or_else(|| format!("--without {name}: one of {}", all()))?);
            }
            "--sabotage" => {
                let name = words.next().ok_or("--sabotage needs a name")?;
                let all = Sabotage::ALL;
                let found = all.into_iter().find(|sabotage| format!("{sabotage:?}") == name);
                arguments.sabotage = Some(found.ok_or_else(|| format!("--sabotage {name}: one of {all:?}"))?);
            }
            _ => {
                return Err(format!(
                    "{word}: unknown; use --seeds FROM..TO, --kills, --pairs, --adversary, --streams, --ipv6, --sabotage NAME, --without RULE"
                ));
            }
        }
    }
    Ok(arguments)
}

/// What all green seeds add up to.
#[derive(Default)]
struct Totals {
    promised: AtomicU64,
    registered: AtomicU64,
    released: AtomicU64,
    failures: AtomicU64,
    takeovers: AtomicU64,
}

/// Runs all seeds on all processors. The lowest seed that fails and what came out of it.
fn run(arguments: &Arguments, totals: &Totals) -> Option<(u64, Outcome)> {
    let seeds = &arguments.seeds;
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Option<(u64, Outcome)>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            let is_over = failed.lock().is_ok_and(|failed| failed.is_some());
            if seed >= seeds.end || is_over {
                return;
            }
            let outcome = arguments.scenario(seed).run();
            totals.promised.fetch_add(outcome.promised, Relaxed);
            totals.registered.fetch_add(outcome.registered, Relaxed);
            totals.released.fetch_add(outcome.released, Relaxed);
            totals.failures.fetch_add(outcome.failures.0, Relaxed);
            totals.takeovers.fetch_add(outcome.failures.1, Relaxed);
            if !outcome.violations.is_empty()
                && let Ok(mut failed) = failed.lock()
                && failed.as_ref().is_none_or(|(lower, _)| seed < *lower)
            {
                *failed = Some((seed, outcome));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    failed.into_inner().ok().flatten()
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("sim: {reason}");
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let totals = Totals::default();
    if let Some((seed, outcome)) = run(&arguments, &totals) {
        println!("{}", outcome.trace);
        println!("seed {seed} broke:");
        for violation in &outcome.violations {
            println!("  {violation}");
        }
        println!("again: cargo run -p sim -- --seeds {seed}..{}{}", seed + 1, arguments.flags());
        return ExitCode::FAILURE;
    }
    println!(
        "{} seeds green in {:.1} s: {} devices registered, {} calls and messages ended as promised, {} calls released \
         by BYE",
        arguments.seeds.end.saturating_sub(arguments.seeds.start),
        started.elapsed().as_secs_f64(),
        totals.registered.load(Relaxed),
        totals.promised.load(Relaxed),
        totals.released.load(Relaxed),
    );
    if arguments.with_pairs {
        println!(
            "{} instances that served died or stood still; another one took over {} times",
            totals.failures.load(Relaxed),
            totals.takeovers.load(Relaxed),
        );
    }
    ExitCode::SUCCESS
}
