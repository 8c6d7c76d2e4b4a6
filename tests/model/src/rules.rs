//! What each rule is for: with it switched off, something that must never be comes to be.

use resilience::permission::{Rule, Rules};

use crate::explore::{Limits, Verdict, explore};
use crate::fair::TRIALS;
use crate::scenario::{Scenario, Start};
use crate::trace;
use crate::world::Budget;

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
        Rule::SetResetAtGrant => (Start::Superseded, 2, Budget { ticks: 7, records: 1, crashes: 1, notices: 1, ..nothing }),
        Rule::Commit | Rule::RemoveFirst => {
            (Start::Settled, 2, Budget { ticks: 5, records: 1, crashes: 1, notices: 1, ..nothing })
        }
        Rule::CompareAndSet
        | Rule::AcknowledgedBeforeAdd
        | Rule::CommitFromAsking
        | Rule::InSyncOnly => {
            (Start::Alone, 2, Budget { ticks: 3, records: 1, crashes: 1, notices: 1, ..nothing })
        }
        Rule::SnapshotOrder => {
            let faults = Budget { crashes: 1, notices: 1, duplicates: 1, ..nothing };
            (Start::Alone, 2, Budget { ticks: 1, records: 1, ..faults })
        }
        Rule::Incarnations => (Start::Settled, 2, Budget { ticks: 6, crashes: 1, ..nothing }),
        Rule::Hello => (Start::Superseded, 2, Budget { ticks: 4, records: 1, crashes: 1, ..nothing }),
        Rule::BootWait => (Start::Settled, 2, Budget { ticks: 7, witness_crashes: 1, ..nothing }),
        Rule::BothAccept | Rule::MembershipOrder => {
            (Start::Settled, 1, Budget { ticks: 6, replacements: 1, ..nothing })
        }
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

/// Switches the rule off and looks.
pub fn show(rule: Rule, limits: Limits) -> Shown {
    let scenario = scenario_for(rule);
    let start = scenario.begin(Rules::all().without(rule));
    let mut tried = Vec::new();
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
    let settled = Scenario { start: Start::Settled, ..scenario }.begin(Rules::all().without(rule));
    for (name, trial) in TRIALS {
        if let Err(violation) = trial.run(&settled) {
            return Shown { found: Some(format!("  trial {name}: {violation}")), tried };
        }
    }
    tried.push("trials".to_owned());
    Shown { found: None, tried }
}
