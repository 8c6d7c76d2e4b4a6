//! Runs seeds: `sim [--seeds FROM..TO] [--kills] [--sabotage NAME]`. A failing seed prints its trace and how to run it again.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use sim::Scenario;
use sim::sabotage::Sabotage;

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

fn main() -> ExitCode {
    let Arguments { seeds, with_kills, sabotage } = match arguments() {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("sim: {reason}");
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let (mut promised, mut registered, mut released) = (0, 0, 0);
    let count = seeds.end.saturating_sub(seeds.start);
    for seed in seeds {
        let outcome = Scenario { seed, with_kills, sabotage }.run();
        if !outcome.violations.is_empty() {
            println!("{}", outcome.trace);
            println!("seed {seed} broke:");
            for violation in &outcome.violations {
                println!("  {violation}");
            }
            let kills = if with_kills { " --kills" } else { "" };
            println!("again: cargo run -p sim -- --seeds {seed}..{}{kills}", seed + 1);
            return ExitCode::FAILURE;
        }
        promised += outcome.promised;
        registered += outcome.registered;
        released += outcome.released;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{count} seeds green in {seconds:.1} s: {registered} devices registered, {promised} calls and messages ended as \
         promised, {released} calls released by BYE"
    );
    ExitCode::SUCCESS
}
