//! A few seeds of each kind, and the proof that the checkers find a broken rule. `make test` runs thousands by the binary.

use resilience::permission::{Rule, Rules};
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

/// With an adversary, streams, IPv6: what a tenth of the seeds draw at best, all of these do.
#[test]
fn garbage_broken_connections_and_ipv6_harm_no_honest_device() {
    for seed in 0..25 {
        let scenario = Scenario::drawn(seed, seed % 2 == 1, None);
        check(Scenario { with_adversary: true, with_streams: true, with_ipv6: true, ..scenario });
    }
}

/// What was found: a SUBSCRIBE with `Contact: *` made the S-CSCF send a NOTIFY to `*` (321); a device that sent a second
/// REGISTER before the first was answered, and believed the late copy's 500 (554).
#[test]
fn seeds_that_once_found_something_stay_green() {
    let scenario = |seed| Scenario::drawn(seed, false, None);
    check(Scenario { with_adversary: true, ..scenario(321) });
    check(Scenario { with_ipv6: true, ..scenario(554) });
}

fn with_pairs(seed: u64, rules: Rules) -> Scenario {
    Scenario { with_pairs: true, rules, ..Scenario::drawn(seed, false, None) }
}

/// All functions die, stand still or are cut off from their copy in the middle of what they do.
#[test]
fn nobody_notices_when_whoever_serves_fails() {
    let mut failures = (0, 0);
    for seed in 0..12 {
        let outcome = with_pairs(seed, Rules::all()).run();
        assert_eq!(outcome.violations, Vec::<String>::new(), "{}\nseed {seed}", outcome.trace);
        failures = (failures.0 + outcome.failures.0, failures.1 + outcome.failures.1);
    }
    assert!(failures.0 > 50 && failures.1 > 50, "too few failures to prove anything: {failures:?}");
}

/// The proof that the seeds above can fail: with S2-E5 switched off something is seen that the copy knows nothing of.
#[test]
fn without_output_commit_somebody_notices() {
    let outcome = with_pairs(41, Rules::all().without(Rule::Commit)).run();
    assert_ne!(outcome.violations, Vec::<String>::new());
    check(with_pairs(41, Rules::all()));
}

fn check(scenario: Scenario) {
    let outcome = scenario.run();
    assert_eq!(outcome.violations, Vec::<String>::new(), "{}\n{scenario:?}", outcome.trace);
}

#[test]
fn every_broken_rule_is_found_and_its_trace_shows_where() {
    for sabotage in Sabotage::ALL {
        let failure = first_failure(40, false, Some(sabotage));
        let trace = failure.unwrap_or_else(|| panic!("{sabotage:?} was not found in 40 seeds"));
        let shown = match sabotage {
            Sabotage::DropPath => "pcscf sent REGISTER without Path",
            Sabotage::DropServiceRoute => "scscf sent the 200 for a REGISTER without Service-Route",
            _ => "REGISTER",
        };
        assert!(trace.contains(shown), "{sabotage:?}: {shown:?} is not in\n{trace}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| Scenario::drawn(seed, true, None).run().trace.to_string();
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
