//! Desired against observed: an ordered list of actions that leaves no choice to whoever runs it.
//!
//! Guarantees: an observed world equal to the desired one gives the empty plan; a change touches only the processes
//! whose recipe or binary changed; what is stopped is stopped from the outside in, so that no new work arrives at a
//! function whose servers are gone; what is started is started from the inside out.
//!
//! Another host agent concerns nobody else: the instances keep their sockets and offer them to the next one.
//!
//! Of a pair one is replaced while the other serves; what would be noticed is held back, and the next look decides again (`roll.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use node::config::FunctionKind;
use serde::{Deserialize, Serialize};

use crate::desired::{Desired, Process};
use crate::names::{Places, ProcessName};
use crate::roll::{HeldBack, Protection, Roll, Verdict};
use crate::state;

/// What the cloud says is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// By name; absent: nothing is known of it.
    pub processes: BTreeMap<ProcessName, ObservedProcess>,
    /// The binaries that a start would use now: path and a mark that changes with their content.
    pub binaries: BTreeMap<ProcessName, String>,
    /// Who has a directory of durable state, and when something in it was changed last, in any unit that rises.
    pub states: BTreeMap<ProcessName, u128>,
    /// The instances that serve, as far as anybody knows.
    pub serving: BTreeSet<ProcessName>,
    /// Who can do its work, as far as anybody knows.
    pub ready: BTreeSet<ProcessName>,
    /// May whoever serves fail? By pair; absent: nobody has looked yet.
    pub protection: BTreeMap<FunctionKind, Protection>,
}

/// What the cloud says of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedProcess {
    /// Its process, when it runs.
    pub pid: Option<i32>,
    /// The recipe it was started with.
    pub recipe: String,
    /// The mark of the binary it was started from.
    pub binary: String,
    /// The text of its configuration file now.
    pub config_text: Option<String>,
    /// It ended again and again: not to be started yet.
    pub is_backing_off: bool,
}

/// One thing to do, with every detail decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write a process's configuration where it reads it.
    WriteConfig {
        /// Whose.
        name: ProcessName,
        /// Where.
        path: PathBuf,
        /// What.
        text: String,
    },
    /// Start a process.
    Start {
        /// Which.
        process: Box<Process>,
    },
    /// Stop a process gracefully, by force after a while.
    Stop {
        /// Which.
        name: ProcessName,
        /// Why, for people.
        reason: &'static str,
    },
    /// Remove what a process that is gone left in the run directory.
    RemoveFiles {
        /// Whose.
        name: ProcessName,
        /// Which.
        paths: Vec<PathBuf>,
    },
    /// Give the durable state of one process to another: a function became a pair, or is alone again.
    MoveState {
        /// Who has it afterwards.
        name: ProcessName,
        /// Where it lies.
        from: PathBuf,
        /// Where it is to lie. Nothing is there.
        to: PathBuf,
    },
    /// Give the same durable state to another process too.
    CopyState {
        /// Who has it afterwards.
        name: ProcessName,
        /// Where it lies. Nobody is at it.
        from: PathBuf,
        /// Where the copy is to lie, whole or not at all. Nothing is there.
        to: PathBuf,
    },
    /// Keep durable state under another name, where no process finds it: what is newer took its place. Nothing is ever deleted.
    SetStateAside {
        /// Whose it was.
        name: ProcessName,
        /// Where it lies.
        path: PathBuf,
    },
}

impl Action {
    /// Which process it is about.
    pub fn name(&self) -> ProcessName {
        match self {
            Action::Start { process } => process.name,
            Action::WriteConfig { name, .. }
            | Action::Stop { name, .. }
            | Action::RemoveFiles { name, .. }
            | Action::MoveState { name, .. }
            | Action::CopyState { name, .. }
            | Action::SetStateAside { name, .. } => *name,
        }
    }
}

/// What to do now, and what not yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// Who needs to be replaced and is not, because it would be noticed. Empty: after these actions all is as desired.
    pub held_back: BTreeMap<ProcessName, HeldBack>,
}

/// What to do so that `observed` becomes `desired`, or a step more like it.
pub fn plan(desired: &Desired, observed: &Observed, places: &Places) -> Plan {
    let Plan { mut actions, mut held_back } = Plan::default();
    for name in stop_order(observed) {
        if let (None, Some(found)) = (desired.processes.get(&name), observed.processes.get(&name)) {
            if found.pid.is_some() {
                actions.push(Action::Stop { name, reason: "no longer desired" });
            }
            let paths = vec![places.config_file(name), places.process_record(name), places.socket(name)];
            actions.push(Action::RemoveFiles { name, paths });
        }
    }
    state::plan(desired, observed, places, &mut actions);
    let roll = Roll::look(desired, observed);
    for process in ProcessName::ALL.iter().filter_map(|name| desired.processes.get(name)) {
        if let Err(reason) = plan_process(process, observed, places, &roll, &mut actions) {
            held_back.insert(process.name, reason);
        }
    }
    Plan { actions, held_back }
}

/// From the outside in; of a pair the one that serves last: nobody needs to take over for a moment, and it has all there is.
fn stop_order(observed: &Observed) -> Vec<ProcessName> {
    let mut names: Vec<ProcessName> = ProcessName::ALL.into_iter().rev().collect();
    for kind in FunctionKind::ALL {
        let [first, second] = ProcessName::pair(kind);
        let position = |name| names.iter().position(|found| *found == name).expect("all are in it");
        let (at_first, at_second) = (position(first), position(second));
        if observed.serving.contains(&second) {
            names.swap(at_first, at_second);
        }
    }
    names
}

/// What one process needs; refused when that has to wait.
fn plan_process(
    process: &Process,
    observed: &Observed,
    places: &Places,
    roll: &Roll<'_>,
    actions: &mut Vec<Action>,
) -> Result<(), HeldBack> {
    let name = process.name;
    let nothing = ObservedProcess::default();
    let found = observed.processes.get(&name).unwrap_or(&nothing);
    let replaced = found.pid.and(change(process, observed));
    let is_overdue = match replaced.map(|_| roll.verdict(name)) {
        // Its configuration stays too: it says what both of the pair agree on until then.
        Some(Verdict::Later(reason)) => return Err(reason),
        verdict => matches!(verdict, Some(Verdict::Overdue)),
    };
    if found.config_text.as_ref() != Some(&process.config_text) {
        let (path, text) = (places.config_file(name), process.config_text.clone());
        actions.push(Action::WriteConfig { name, path, text });
    }
    let start = Action::Start { process: Box::new(process.clone()) };
    match (found.pid, replaced) {
        (Some(_), Some(change)) => {
            actions.extend([Action::Stop { name, reason: change.reason(is_overdue) }, start]);
        }
        (Some(_), None) => {}
        // A change may be the remedy: then the pause is over.
        (None, _) if found.is_backing_off && change(process, observed).is_none() => {}
        (None, _) => actions.push(start),
    }
    Ok(())
}

/// Why a process cannot go on as it was started.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// Another recipe.
    Configuration,
    /// Another binary.
    Binary,
}

impl Change {
    /// For people.
    fn reason(self, is_overdue: bool) -> &'static str {
        match (self, is_overdue) {
            (Change::Configuration, false) => "its configuration changed",
            (Change::Configuration, true) => "its configuration changed; nobody could take over for 30 s",
            (Change::Binary, false) => "its binary changed",
            (Change::Binary, true) => "its binary changed; nobody could take over for 30 s",
        }
    }
}

/// Why a process cannot go on as it was started; `None`: it can.
pub(crate) fn change(process: &Process, observed: &Observed) -> Option<Change> {
    let nothing = ObservedProcess::default();
    let found = observed.processes.get(&process.name).unwrap_or(&nothing);
    let has_new_binary = observed.binaries.get(&process.name).is_some_and(|binary| *binary != found.binary);
    match found.recipe != process.recipe() {
        true => Some(Change::Configuration),
        false => has_new_binary.then_some(Change::Binary),
    }
}
