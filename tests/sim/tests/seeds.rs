//! A few seeds of each kind, and the proof that the checkers find a broken rule. `make test` runs thousands by the binary.

use sim::Scenario;
use sim::sabotage::Sabotage;

/// The first seed below `seeds` whose run broke something, with its trace.
fn first_failure(seeds: u64, with_kills: bool, sabotage: Option<Sabotage>) -> Option<String> {
    (0..seeds).find_map(|seed| {
        let outcome = Scenario::drawn(seed, with_kills, sabotage).run();
        let broke = outcome.violations.first()?;
        Some(format!("{}\nseed {seed}: {broke}", outcome.trace))
    })
}

#[test]
fn mixed_traffic_ends_as_promised() {
    if let Some(failure) = first_failure(40, false, None) {
        panic!("{failure}");
    }
}

#[test]
fn functions_that_die_lose_nobody() {
    if let Some(failure) = first_failure(40, true, None) {
        panic!("{failure}");
    }
}

#[test]
fn every_broken_rule_is_found_and_its_trace_shows_where() {
    for sabotage in Sabotage::ALL {
        let failure = first_failure(40, false, Some(sabotage));
        let trace = failure.unwrap_or_else(|| panic!("{sabotage:?} was not found in 40 seeds"));
        assert!(trace.contains("REGISTER"), "{sabotage:?}: the trace shows what happened");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| Scenario::drawn(seed, true, None).run().trace.to_string();
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
