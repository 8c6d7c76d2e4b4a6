//! Runs seeds: `sim [--seeds FROM..TO] [--kills] [--sabotage NAME]`. A failing seed prints its trace and how to run it again.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use sim::sabotage::Sabotage;
use sim::{Outcome, Scenario};

struct Arguments {
    seeds: Range<u64>,
    with_kills: bool,
    sabotage: Option<Sabotage>,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments { seeds: 0..10_000, with_kills: false, sabotage: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--kills" => arguments.with_kills = true,
            "--seeds" => {
                let text = words.next().ok_or("--seeds needs FROM..TO")?;
                let (from, to) =
                    text.split_once("..").ok_or_else(|| format!("--seeds {text}: write FROM..TO"))?;
                let number = |text: &str| text.parse().map_err(|_| format!("--seeds: {text:?} is no number"));
                arguments.seeds = number(from)?..number(to)?;
            }
            "--sabotage" => {
                let name = words.next().ok_or("--sabotage needs a name")?;
                let all = Sabotage::ALL;
                let found = all.into_iter().find(|sabotage| format!("{sabotage:?}") == name);
                arguments.sabotage = Some(found.ok_or_else(|| format!("--sabotage {name}: one of {all:?}"))?);
            }
            _ => return Err(format!("{word}: unknown; use --seeds FROM..TO, --kills, --sabotage NAME")),
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
}

/// Runs all seeds on all processors. The lowest seed that fails and what came out of it.
fn run(arguments: &Arguments, totals: &Totals) -> Option<(u64, Outcome)> {
    let Arguments { seeds, with_kills, sabotage } = arguments;
    let next = AtomicU64::new(seeds.start);
    let failed: Mutex<Option<(u64, Outcome)>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            let is_over = failed.lock().is_ok_and(|failed| failed.is_some());
            if seed >= seeds.end || is_over {
                return;
            }
            let outcome = Scenario { seed, with_kills: *with_kills, sabotage: *sabotage }.run();
            totals.promised.fetch_add(outcome.promised, Relaxed);
            totals.registered.fetch_add(outcome.registered, Relaxed);
            totals.released.fetch_add(outcome.released, Relaxed);
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
        let kills = if arguments.with_kills { " --kills" } else { "" };
        println!("again: cargo run -p sim -- --seeds {seed}..{}{kills}", seed + 1);
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
    ExitCode::SUCCESS
}
