//! `model check --scenario NAME`, `model rules`, `model list`: explores and tells.

use std::process::ExitCode;

use model::scenario::{self, Scenario};
use model::{Limits, Verdict, explore, trace};
use resilience::permission::Rules;

fn main() -> ExitCode {
    let name = std::env::args().nth(2).unwrap_or_default();
    let scenario = Scenario::named(&name).unwrap_or(scenario::ALL[0]);
    let start = scenario.start(Rules::all());
    println!("{}", trace::stand(&start));
    let explored = explore(&start, Limits { fair_every: 101, ..Limits::default() });
    println!("{} states, depth {}, {:?}, calmed {}", explored.states, explored.depth, explored.took, explored.calmed);
    match explored.verdict {
        Verdict::Violated(violation, way) => println!("{}", trace::tell(&start, &way, &violation)),
        other => println!("{other:?}"),
    }
    ExitCode::SUCCESS
}
