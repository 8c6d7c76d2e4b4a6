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
    /// From where.
    pub start: Start,
    /// What may happen.
    pub budget: Budget,
    /// Messages under way at once.
    pub flights_max: u8,
}

/// Where a scenario begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// All three have just been started for the first time.
    Blank,
    /// X1 holds alone, X2 is welcome and has nothing.
    Alone,
    /// X1 holds, X2 is in sync.
    Settled,
    /// X2 holds the second epoch, X1 does not know yet.
    Superseded,
    /// A new witness is counted by the life before of X2 only.
    HalfReplaced,
}

/// No fault, no time.
pub const NOTHING: Budget = Budget {
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
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "crash",
        about: "an instance loses its memory once",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, crashes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "crash-twice",
        about: "instances lose their memory twice",
        start: Start::Settled,
        budget: Budget { ticks: 8, records: 1, crashes: 2, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "witness-crash",
        about: "the witness loses what is not on its disk",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, witness_crashes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "both-crash",
        about: "an instance and the witness lose their memory",
        start: Start::Settled,
        budget: Budget { ticks: 8, records: 1, crashes: 1, witness_crashes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "freeze",
        about: "a process stands, its clock goes on",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, freezes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "pause",
        about: "a machine stands with its clock",
        start: Start::Settled,
        budget: Budget { ticks: 8, records: 1, pauses: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "drift",
        about: "one tick of one clock is wrong",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, drifts: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "duplicate",
        about: "messages arrive twice",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, duplicates: 2, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "join",
        about: "X1 holds alone and X2 joins",
        start: Start::Alone,
        budget: Budget { ticks: 7, records: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "join-crash",
        about: "X1 holds alone, X2 joins, an instance loses its memory",
        start: Start::Alone,
        budget: Budget { ticks: 7, records: 1, crashes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "join-duplicate",
        about: "X1 holds alone, X2 joins, messages arrive twice",
        start: Start::Alone,
        budget: Budget { ticks: 7, records: 2, duplicates: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "superseded",
        about: "X2 has taken over and X1 does not know; an instance loses its memory",
        start: Start::Superseded,
        budget: Budget { ticks: 7, records: 1, crashes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "replace",
        about: "a new witness takes over, the old one lives on",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, replacements: 1, ..NOTHING },
        flights_max: 3,
    },
    Scenario {
        name: "half-replaced",
        about: "X2 lost its memory after it accepted a new witness that X1 does not know",
        start: Start::HalfReplaced,
        budget: Budget { ticks: 7, records: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "replace-crash",
        about: "a new witness takes over and an instance loses its memory",
        start: Start::Settled,
        budget: Budget { ticks: 8, records: 1, replacements: 1, crashes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "hand-over",
        about: "the holder hands over",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, hand_overs: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "hand-over-crash",
        about: "the holder hands over and an instance loses its memory",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, hand_overs: 1, crashes: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "notice",
        about: "an instance dies and its supervisor says so",
        start: Start::Settled,
        budget: Budget { ticks: 7, records: 1, crashes: 1, notices: 2, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "lossy",
        about: "lossy starts are declared, rightly or not",
        start: Start::Alone,
        budget: Budget { ticks: 7, records: 1, crashes: 1, declarations: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "start",
        about: "all three start from nothing",
        start: Start::Blank,
        budget: Budget { ticks: 8, records: 1, declarations: 1, ..NOTHING },
        flights_max: 2,
    },
    Scenario {
        name: "everything",
        about: "one of each fault",
        start: Start::Settled,
        budget: Budget {
            ticks: 9,
            records: 2,
            crashes: 1,
            witness_crashes: 1,
            freezes: 1,
            pauses: 1,
            drifts: 1,
            duplicates: 1,
            replacements: 1,
            hand_overs: 1,
            notices: 1,
            declarations: 1,
        },
        flights_max: 3,
    },
];

impl Scenario {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Scenario> {
        ALL.iter().copied().find(|scenario| scenario.name == name)
    }

    /// The world it begins in. Nothing goes wrong on the way there, whatever rule is off.
    pub fn begin(&self, rules: Rules) -> World {
        let blank = World::blank(Rules::all(), self.budget, self.flights_max);
        let mut world = match self.start {
            Start::Blank => blank,
            Start::Alone => fair::alone(&blank),
            Start::Settled => fair::settled(&blank),
            Start::Superseded => fair::superseded(&blank),
            Start::HalfReplaced => fair::half_replaced(&blank, rules.membership_durable),
        };
        world.flights.clear();
        world.set_rules(rules);
        world.budget = self.budget;
        world
    }
}
