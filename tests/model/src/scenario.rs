//! Scenarios: which faults, how many, how long.

use resilience::permission::Rules;

use crate::fair;
use crate::world::{Budget, World};

/// A start and the budgets of what may come.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on a command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// What may happen.
    pub budget: Budget,
    /// Messages under way at once.
    pub flights_max: u8,
}

const NOTHING: Budget = Budget {
    ticks: 0,
    records: 0,
    crashes: 0,
    witness_crashes: 0,
    freezes: 0,
    pauses: 0,
    drifts: 0,
    duplicates: 0,
    replacements: 0,
    hand_overs: 0,
    notices: 0,
    declarations: 0,
};

/// All scenarios.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "loss",
        about: "messages lost, late and reordered; no other fault",
        budget: Budget { ticks: 8, records: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "crash",
        about: "an instance loses its memory once",
        budget: Budget { ticks: 8, records: 1, crashes: 1, ..NOTHING },
        flights_max: 2,
    },
];

impl Scenario {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Scenario> {
        ALL.iter().copied().find(|scenario| scenario.name == name)
    }

    /// Its start: a pair that came up without faults, X1 holds and X2 is in sync.
    pub fn start(&self, rules: Rules) -> World {
        // It comes up with all rules, so that a rule that is off shows in what comes after.
        let mut world = fair::settled(&World::blank(rules, self.budget, self.flights_max));
        world.normalise();
        world
    }
}
