//! Rolling replacement: which of the processes of pairs that need another recipe or binary get it in this look, so that no subscriber
//! notices. Everybody else is held back, and the next look decides again.
//!
//! ```text
//!   witness ──▶ whoever follows, of all pairs ──▶ who serves: hss ──▶ scscf ──▶ icscf ──▶ pcscf ──▶ host agent
//! ```
//!
//! - The witness is first, while both of each pair still vouch for each other; without it nobody who was started anew can join.
//! - Whoever follows is of no use to a subscriber while all is well: all at once makes the time without protection the shortest.
//! - Who serves is asked to hand over (S2-Q11) and is replaced when it follows. A stop would do both, unless its standby has just fallen
//!   behind, which nobody outside knows in time: then it would refuse what comes. A hand-over it refuses.
//! - One pair after another: a hand-over is told to the neighbours, and these had better not change at the same moment. In the order of a
//!   start, so that new ones ask servers that are new too.
//! - The host agent is last: an instance that is started directly after it would be asked to bind what the other one still has.
//!
//! A pair that stays without protection for [`UNPROTECTED_MAX`] is waited for no longer: a standby that is broken must not keep the
//! remedy away from whoever serves.
//!
//! What both of a pair must agree on cannot be rolled (`Agreed`): then everything is replaced at once, as where functions are alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crds::yaml;
use node::config::{ControlParty, FunctionKind, Listen};
use serde::Deserialize;

use crate::desired::Desired;
use crate::names::ProcessName;
use crate::plan::{Observed, change};

/// How long a pair without protection is waited for. Shorter, and a standby that opens a large store on a busy machine is not waited for,
/// and what is under way is lost; longer, and a remedy for who serves comes late where the standby cannot be helped.
pub const UNPROTECTED_MAX: Duration = Duration::from_secs(30);

/// May a pair lose the instance that serves?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// One serves, the other one can take over, and the witness can let it.
    Whole,
    /// It may not, or nobody knows, for so long.
    Missing(Duration),
}

/// Why a process that needs to be replaced is left alone for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// Another process comes first, or another pair: its function.
    Turn(&'static str),
    /// Nobody could take over from it.
    Unprotected,
    /// It serves, and is to be asked to leave that to the other one of its pair: whoever follows may be replaced.
    HandsOver,
}

/// What becomes of a process that needs to be replaced.
pub(crate) enum Verdict {
    /// It is replaced.
    Now,
    /// It is replaced although somebody may notice: it was waited for too long.
    Overdue,
    /// Not in this look.
    Later(HeldBack),
}

/// One look at a roll.
pub(crate) struct Roll<'a> {
    observed: &'a Observed,
    /// Who of the pairs runs and needs to be replaced.
    outdated: BTreeSet<ProcessName>,
    is_possible: bool,
}

impl<'a> Roll<'a> {
    pub(crate) fn look(desired: &Desired, observed: &'a Observed) -> Roll<'a> {
        let is_outdated = |name: &ProcessName| {
            let is_running = observed.processes.get(name).is_some_and(|found| found.pid.is_some());
            name.is_of_pairs() && is_running && change(&desired.processes[name], observed).is_some()
        };
        let outdated: BTreeSet<ProcessName> = desired.processes.keys().copied().filter(is_outdated).collect();
        // One pair that cannot be rolled is known to the others by what changes: a core that is half of the one and half of the other kind
        // would serve nobody for longer.
        let is_possible = outdated.iter().filter(|name| name.kind().is_some()).all(|name| {
            let found = observed.processes.get(name).and_then(|found| found.config_text.as_deref());
            let agreed = found.and_then(Agreed::read);
            agreed.is_some() && agreed == Agreed::read(&desired.processes[name].config_text)
        });
        Roll { observed, outdated, is_possible }
    }

    /// What becomes of `name`, which runs and needs to be replaced.
    pub(crate) fn verdict(&self, name: ProcessName) -> Verdict {
        if !self.is_possible {
            return Verdict::Now;
        }
        match name {
            ProcessName::Witness => self.witness(),
            ProcessName::HostAgent => self.host_agent(),
            ProcessName::Function(kind, instance) => match instance.other() {
                None => Verdict::Now,
                Some(other) => self.instance(kind, name, ProcessName::Function(kind, other)),
            },
        }
    }

    fn witness(&self) -> Verdict {
        // One that does not work cannot be missed.
        if !self.observed.ready.contains(&ProcessName::Witness) {
            return Verdict::Now;
        }
        let mut verdict = Verdict::Now;
        for kind in FunctionKind::ALL.into_iter().filter(|kind| !self.is_whole(*kind)) {
            if !self.is_overdue(kind) {
                return Verdict::Later(HeldBack::Unprotected);
            }
            verdict = Verdict::Overdue;
        }
        verdict
    }

    fn instance(&self, kind: FunctionKind, own: ProcessName, other: ProcessName) -> Verdict {
        let serving = &self.observed.serving;
        let witness = ProcessName::Witness;
        let may_join = !self.outdated.contains(&witness) && self.observed.ready.contains(&witness);
        let follows = serving.contains(&other) && !serving.contains(&own);
        let held_back = if !may_join {
            HeldBack::Turn(witness.as_str())
        } else if follows {
            return Verdict::Now;
        } else if !serving.contains(&own) || self.outdated.contains(&other) || !self.is_whole(kind) {
            HeldBack::Unprotected
        } else {
            match FunctionKind::ALL
                .into_iter()
                .take_while(|earlier| *earlier != kind)
                .find(|it| !self.is_done(*it))
            {
                None => HeldBack::HandsOver,
                Some(earlier) => HeldBack::Turn(earlier.as_str()),
            }
        };
        if self.is_overdue(kind) { Verdict::Overdue } else { Verdict::Later(held_back) }
    }

    fn host_agent(&self) -> Verdict {
        let earlier =
            FunctionKind::ALL.into_iter().find(|kind| !self.is_done(*kind)).map(FunctionKind::as_str);
        let witness = self.outdated.get(&ProcessName::Witness).map(|witness| witness.as_str());
        witness.or(earlier).map_or(Verdict::Now, |first| Verdict::Later(HeldBack::Turn(first)))
    }

    fn is_whole(&self, kind: FunctionKind) -> bool {
        self.observed.protection.get(&kind) == Some(&Protection::Whole)
    }

    fn is_overdue(&self, kind: FunctionKind) -> bool {
        let protection = self.observed.protection.get(&kind);
        matches!(protection, Some(Protection::Missing(since)) if *since >= UNPROTECTED_MAX)
    }

    /// Nobody needs to wait for this pair any more.
    fn is_done(&self, kind: FunctionKind) -> bool {
        let is_new = ProcessName::pair(kind).iter().all(|name| !self.outdated.contains(name));
        (is_new && self.is_whole(kind)) || self.is_overdue(kind)
    }
}

/// What both of a pair must agree on: the sockets that they share, what they and the core are called and where the others are, for how long
/// a lease is, and where and by which key they hear each other and the witness. The rest is not read: another release may have written it.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Agreed {
    host_name: String,
    home_domain: String,
    #[serde(default)]
    listen: Vec<Listen>,
    #[serde(default)]
    hosts: BTreeMap<String, SocketAddr>,
    pair: AgreedPair,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgreedPair {
    id: u32,
    instance: u8,
    lease_milliseconds: u32,
    control_address: SocketAddr,
    other: ControlParty,
    witness: ControlParty,
}

impl Agreed {
    fn read(text: &str) -> Option<Agreed> {
        yaml::typed("configuration", text).ok()
    }
}
