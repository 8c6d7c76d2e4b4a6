//! Permission within small bounds: with all rules nothing goes wrong, and without any one of them something does.
//! `docs/permission.md` has the larger bounds, and the commands.

use model::fair::TRIALS;
use model::scenario::{self, Scenario, Start};
use model::world::Budget;
use model::{Limits, Verdict, explore, rules, trace, walk};
use resilience::permission::{Rule, Rules};

/// Explores so many worlds of a scenario with all rules; from some of them faults end.
fn check(scenario: &Scenario, states_max: usize) {
    let start = scenario.begin(Rules::all());
    let explored = explore(&start, Limits { states_max, fair_every: 211, ..Limits::default() });
    if let Verdict::Violated(violation, way) = explored.verdict {
        panic!("{}: {violation}\n{}", scenario.name, trace::tell(&start, &way, &violation));
    }
}

#[test]
fn with_all_rules_nothing_goes_wrong_in_any_scenario() {
    for scenario in scenario::ALL {
        check(scenario, 60_000);
    }
}

#[test]
fn a_crash_of_the_holder_is_explored_to_its_end_within_small_bounds() {
    let crash = Scenario::named("crash").expect("it is there");
    let budget = Budget { ticks: 3, records: 0, ..crash.budget };
    let start = Scenario { budget, flights_max: 1, ..crash }.begin(Rules::all());
    let explored = explore(&start, Limits { fair_every: 1, ..Limits::default() });
    assert!(matches!(explored.verdict, Verdict::Complete), "{:?}", explored.verdict);
    assert!(explored.states > 1_000, "{} worlds are too few to mean anything", explored.states);
}

#[test]
fn random_walks_through_everything_go_wrong_nowhere_and_the_pair_comes_back() {
    let everything = Scenario::named("everything").expect("it is there");
    let budget = Budget { ticks: 60, records: 4, ..everything.budget };
    let start = Scenario { budget, ..everything }.begin(Rules::all());
    for seed in 0..1_000 {
        if let Err((violation, way)) = walk::walk(&start, seed, 300, true) {
            panic!("seed {seed}: {violation}\n{}", trace::tell(&start, &way, &violation));
        }
    }
}

#[test]
fn without_any_one_rule_something_goes_wrong() {
    let limits = Limits { states_max: 1_500_000, walks_max: 10_000, ..Limits::default() };
    let useless: Vec<_> =
        Rule::ALL.iter().filter(|&&rule| rules::show(rule, limits).found.is_none()).collect();
    assert!(useless.is_empty(), "no counterexample without {useless:?}");
}

#[test]
fn a_holder_that_is_dead_deaf_dumb_or_cut_off_is_followed_within_three_leases() {
    let settled = Scenario { start: Start::Settled, ..scenario::ALL[0] }.begin(Rules::all());
    for (name, trial) in TRIALS {
        match trial.run(&settled) {
            Ok(ticks) => assert!(ticks <= 12, "{name}: {ticks} ticks of a quarter lease"),
            Err(violation) => panic!("{name}: {violation}"),
        }
    }
}
