//! Desired against observed: an ordered list of actions that leaves no choice to whoever runs it.
//!
//! Guarantees: an observed world equal to the desired one gives the empty plan; a change touches only the processes
//! whose recipe or binary changed; what is stopped is stopped from the outside in, so that no new work arrives at a
//! function whose servers are gone; what is started is started from the inside out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use node::config::FunctionKind;
use serde::{Deserialize, Serialize};

use crate::desired::{Desired, Process};
use crate::names::Places;

/// What the cloud says is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// By function; absent: nothing is known of it.
    pub processes: BTreeMap<FunctionKind, ObservedProcess>,
    /// The binaries that a start would use now: path and a mark that changes with their content.
    pub binaries: BTreeMap<FunctionKind, String>,
}

/// What the cloud says of one function.
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
    /// Write a function's configuration where its process reads it.
    WriteConfig {
        /// Whose.
        kind: FunctionKind,
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
        kind: FunctionKind,
        /// Why, for people.
        reason: &'static str,
    },
    /// Remove what a function that is gone left in the run directory.
    RemoveFiles {
        /// Whose.
        kind: FunctionKind,
        /// Which.
        paths: Vec<PathBuf>,
    },
}

/// What to do, in this order, so that `observed` becomes `desired`.
pub fn plan(desired: &Desired, observed: &Observed, places: &Places) -> Vec<Action> {
    let mut actions = Vec::new();
    for kind in FunctionKind::ALL.into_iter().rev() {
        if let (None, Some(found)) = (desired.processes.get(&kind), observed.processes.get(&kind)) {
            if found.pid.is_some() {
                actions.push(Action::Stop { kind, reason: "no longer desired" });
            }
            let paths =
                vec![places.config_file(kind), places.process_record(kind), places.admin_socket(kind)];
            actions.push(Action::RemoveFiles { kind, paths });
        }
    }
    for process in FunctionKind::ALL.iter().filter_map(|kind| desired.processes.get(kind)) {
        plan_process(process, observed, places, &mut actions);
    }
    actions
}

fn plan_process(process: &Process, observed: &Observed, places: &Places, actions: &mut Vec<Action>) {
    let kind = process.kind;
    let nothing = ObservedProcess::default();
    let found = observed.processes.get(&kind).unwrap_or(&nothing);
    if found.config_text.as_ref() != Some(&process.config_text) {
        let (path, text) = (places.config_file(kind), process.config_text.clone());
        actions.push(Action::WriteConfig { kind, path, text });
    }
    let has_new_recipe = found.recipe != process.recipe();
    let has_new_binary = observed.binaries.get(&kind).is_some_and(|binary| *binary != found.binary);
    let start = Action::Start { process: Box::new(process.clone()) };
    match found.pid {
        Some(_) if has_new_recipe => {
            actions.extend([Action::Stop { kind, reason: "its configuration changed" }, start]);
        }
        Some(_) if has_new_binary => {
            actions.extend([Action::Stop { kind, reason: "its binary changed" }, start])
        }
        Some(_) => {}
        // A change may be the remedy: then the pause is over.
        None if found.is_backing_off && !has_new_recipe && !has_new_binary => {}
        None => actions.push(start),
    }
}
