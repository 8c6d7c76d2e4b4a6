//! Durable state when a function becomes a pair, and when it is alone again: one store goes on, no other is ever taken for it.
//!
//! ```text
//!   none ──▶ pairs   hss-2, witness: set aside (of an earlier time)   hss ──copy──▶ hss-2   hss ──▶ hss-1
//!   pairs ──▶ none   of hss-1 and hss-2 one: set aside             the one that served ──▶ hss
//! ```
//!
//! Both of a pair get it: a witness that knows nothing lets either begin, and whoever joins then forgets what it has. An empty
//! second that is quicker than the first would take all subscribers with it.
//!
//! The order matters: cut off after any step, the next plan does the rest.

use std::path::PathBuf;

use node::config::FunctionKind;

use crate::desired::Desired;
use crate::names::{HAVE_STATE, Places, ProcessName};
use crate::plan::{Action, Observed};

/// What to do about state; what uses it is stopped already.
pub(crate) fn plan(desired: &Desired, observed: &Observed, places: &Places, actions: &mut Vec<Action>) {
    let mut aside = Vec::new();
    let mut copies = Vec::new();
    let mut moves = Vec::new();
    for kind in HAVE_STATE {
        let (alone, pair) = (ProcessName::alone(kind), ProcessName::pair(kind));
        let has = |name: ProcessName| observed.states.contains_key(&name);
        if desired.processes.contains_key(&pair[0]) && has(alone) && !has(pair[0]) {
            // The witness knows who of the pair held last, long ago: that is no longer true.
            aside.extend([pair[1], ProcessName::Witness].into_iter().filter(|name| has(*name)));
            copies.push((alone, pair[1]));
            moves.push((alone, pair[0]));
        }
        if desired.processes.contains_key(&alone) {
            let source = source(kind, observed).filter(|_| !has(alone));
            moves.extend(source.map(|source| (source, alone)));
            aside.extend(pair.into_iter().filter(|name| has(*name) && Some(*name) != source));
        }
    }
    aside.sort_unstable();
    aside.dedup();
    let path = |name: ProcessName| -> PathBuf { places.state_of(name) };
    actions.extend(aside.into_iter().map(|name| Action::SetStateAside { name, path: path(name) }));
    actions.extend(copies.into_iter().map(|(from, to)| Action::CopyState {
        name: to,
        from: path(from),
        to: path(to),
    }));
    actions.extend(moves.into_iter().map(|(from, to)| Action::MoveState {
        name: to,
        from: path(from),
        to: path(to),
    }));
}

/// Which of a pair's stores goes on: of the one that serves; when nobody knows, the one that was written to last.
fn source(kind: FunctionKind, observed: &Observed) -> Option<ProcessName> {
    let age = |name: &ProcessName| {
        let modified = observed.states.get(name)?;
        Some((observed.serving.contains(name), *modified))
    };
    let having = ProcessName::pair(kind).into_iter().filter(|name| age(name).is_some());
    // Of equals the first: `max_by_key` takes the last.
    having.rev().max_by_key(age)
}
