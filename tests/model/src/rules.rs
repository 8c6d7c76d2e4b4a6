//! What each rule is for: with it switched off, something that must never be comes to be.

use resilience::permission::{Rule, Rules};

use crate::explore::{Choice, Limits, Verdict, explore};
use crate::fair::TRIALS;
use crate::ghost::Violation;
use crate::scenario::{Scenario, Start};
use crate::trace;
use crate::walk::walk;
use crate::world::{Budget, World};

/// What came of switching a rule off.
pub struct Shown {
    /// The counterexample, told; with its first line a summary.
    pub found: Option<String>,
    /// Where none was found, and how far it was looked for.
    pub tried: Vec<String>,
}

/// Where to look first for each rule: the smallest budgets in which it matters.
pub fn scenario_for(rule: Rule) -> Scenario {
    let nothing = crate::scenario::NOTHING;
    let (start, flights_max, budget) = match rule {
        Rule::Lease | Rule::LeaseFromSend | Rule::SilenceWhileAsking | Rule::EpochOrder => {
            (Start::Settled, 2, Budget { ticks: 7, ..nothing })
        }
        Rule::StandbyWaits | Rule::WitnessWaits => (Start::Settled, 2, Budget { ticks: 7, ..nothing }),
        Rule::SetResetAtGrant => {
            (Start::Settled, 3, Budget { ticks: 60, records: 5, freezes: 3, hand_overs: 2, ..nothing })
        }
        Rule::Commit | Rule::RemoveFirst => {
            (Start::Settled, 2, Budget { ticks: 5, records: 1, crashes: 1, notices: 1, ..nothing })
        }
        Rule::CompareAndSet | Rule::AcknowledgedBeforeAdd | Rule::CommitFromAsking | Rule::InSyncOnly => {
            (Start::Alone, 2, Budget { ticks: 1, records: 1, crashes: 1, notices: 1, ..nothing })
        }
        Rule::SnapshotOrder => {
            let faults = Budget { crashes: 1, notices: 1, duplicates: 1, ..nothing };
            (Start::Alone, 2, Budget { ticks: 1, records: 1, ..faults })
        }
        Rule::Incarnations => (Start::Settled, 2, Budget { ticks: 6, crashes: 1, ..nothing }),
        Rule::Hello => (Start::Superseded, 2, Budget { ticks: 4, records: 1, crashes: 1, ..nothing }),
        Rule::BootWait => (Start::Settled, 2, Budget { ticks: 7, witness_crashes: 1, ..nothing }),
        Rule::BothAccept => (Start::Settled, 1, Budget { ticks: 6, replacements: 1, ..nothing }),
        Rule::MembershipOrder => {
            (Start::Settled, 4, Budget { ticks: 40, records: 4, replacements: 1, ..nothing })
        }
        Rule::MembershipDurable => (Start::HalfReplaced, 1, Budget { ticks: 6, ..nothing }),
        Rule::KnowingAccept => {
            (Start::Superseded, 1, Budget { ticks: 3, replacements: 1, crashes: 1, ..nothing })
        }
        Rule::Echo => (Start::Settled, 2, Budget { ticks: 7, ..nothing }),
        Rule::ReleaseFinal | Rule::ReleaseAfterLast => {
            (Start::Settled, 2, Budget { ticks: 4, records: 1, hand_overs: 1, ..nothing })
        }
        Rule::LossyEvidence => (Start::Alone, 2, Budget { ticks: 7, declarations: 1, ..nothing }),
    };
    Scenario { name: rule.name(), about: rule.words(), start, budget, flights_max }
}

/// Rules that matter only at the end of long ways, which random walks find: not the shortest ones.
pub fn needs_long_ways(rule: Rule) -> bool {
    matches!(rule, Rule::SetResetAtGrant | Rule::MembershipOrder)
}

/// Switches the rule off and looks: breadth first, or by random walks for rules that need long ways; then by trials.
pub fn show(rule: Rule, limits: Limits) -> Shown {
    let rules = Rules::all().without(rule);
    let scenario = scenario_for(rule);
    let start = scenario.begin(rules);
    let mut tried = Vec::new();
    if rule == Rule::Echo {
        // Without it nothing is emitted that must not be: a deaf holder keeps everybody else from holding.
        tried.push("only trials".to_owned());
    } else if needs_long_ways(rule) {
        match shortest_walk(&start, limits) {
            Some((seed, violation, way)) => {
                let head = format!("  {} steps, random walk {seed}", way.len());
                let found = Some(format!("{head}\n{}", trace::tell(&start, &way, &violation)));
                return Shown { found, tried };
            }
            None => tried.push(format!("{} walks", limits.walks_max)),
        }
    } else {
        let explored = explore(&start, limits);
        let (states, seconds) = (explored.states, explored.took.as_secs_f64());
        match explored.verdict {
            Verdict::Violated(violation, way) => {
                let head = format!("  {} steps, {states} worlds, {seconds:.1} s", way.len());
                let found = Some(format!("{head}\n{}", trace::tell(&start, &way, &violation)));
                return Shown { found, tried };
            }
            Verdict::Complete => tried.push(format!("all {states} worlds within its budget")),
            Verdict::UpTo(depth) => tried.push(format!("depth {depth}, {states} worlds")),
        }
    }
    let settled = Scenario { start: Start::Settled, ..scenario }.begin(rules);
    for (name, trial) in TRIALS {
        if let Err(violation) = trial.run(&settled) {
            return Shown { found: Some(format!("  trial {name}: {violation}")), tried };
        }
    }
    tried.push("trials".to_owned());
    Shown { found: None, tried }
}

/// The shortest of the walks that go wrong, or the first.
fn shortest_walk(start: &World, limits: Limits) -> Option<(u64, Violation, Vec<Choice>)> {
    let mut shortest = None;
    let mut steps_max = 200;
    for seed in 0..limits.walks_max {
        if let Err((violation, way)) = walk(start, seed, steps_max, false) {
            steps_max = way.len() - 1;
            shortest = Some((seed, violation, way));
            if !limits.wants_shortest_walk {
                break;
            }
        }
    }
    shortest
}
