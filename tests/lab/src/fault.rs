//! What is done to a running core, and how it is undone.

use std::collections::BTreeMap;

use clock::Duration;
use e2e::signal;
use rustix::process::Signal;

/// The functions, as the status names them.
pub const FUNCTIONS: [&str; 4] = ["pcscf", "icscf", "scscf", "hss"];

/// How long a process stands still at most: less than what the controller takes for a hang, so that the thaw is part of the case.
pub const FROZEN: Duration = Duration::from_millis(1500);

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// SIGKILL; the host agent notices.
    Killed,
    /// SIGKILL while the host agent stands still: nobody tells.
    KilledUnnoticed,
    /// SIGSTOP, and SIGCONT later.
    Frozen,
}

/// One case of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name on the command line and in the table.
    pub name: &'static str,
    /// Whose serving instance.
    pub functions: &'static [&'static str],
    /// What happens to it.
    pub way: Way,
}

/// All cases.
pub const CASES: &[Case] = &[
    Case { name: "scscf-killed", functions: &["scscf"], way: Way::Killed },
    Case { name: "scscf-killed-unnoticed", functions: &["scscf"], way: Way::KilledUnnoticed },
    Case { name: "scscf-frozen", functions: &["scscf"], way: Way::Frozen },
    Case { name: "icscf-killed", functions: &["icscf"], way: Way::Killed },
    Case { name: "icscf-frozen", functions: &["icscf"], way: Way::Frozen },
    Case { name: "hss-killed", functions: &["hss"], way: Way::Killed },
    Case { name: "hss-frozen", functions: &["hss"], way: Way::Frozen },
    Case { name: "pcscf-killed", functions: &["pcscf"], way: Way::Killed },
    Case { name: "pcscf-frozen", functions: &["pcscf"], way: Way::Frozen },
    Case { name: "pcscf-and-scscf-killed", functions: &["pcscf", "scscf"], way: Way::Killed },
    Case { name: "host-lost", functions: &FUNCTIONS, way: Way::Killed },
];

/// What was done and has to be undone.
pub struct Injected {
    frozen: Vec<i32>,
    agent: Option<i32>,
}

impl Case {
    /// Does it, to the processes of these names.
    pub fn inject(&self, pids: &BTreeMap<String, i32>, serving: &[String]) -> Injected {
        let agent = pids.get("host-agent").copied().filter(|_| self.way == Way::KilledUnnoticed);
        if let Some(agent) = agent {
            signal(agent, Signal::STOP);
        }
        let (mut frozen, kind) = match self.way {
            Way::Frozen => (Vec::new(), Signal::STOP),
            Way::Killed | Way::KilledUnnoticed => (Vec::new(), Signal::KILL),
        };
        for pid in serving.iter().filter_map(|name| pids.get(name)) {
            signal(*pid, kind);
            if kind == Signal::STOP {
                frozen.push(*pid);
            }
        }
        Injected { frozen, agent }
    }
}

impl Injected {
    /// Lets go on what stands still.
    pub fn undo(self) {
        for pid in self.frozen.into_iter().chain(self.agent) {
            signal(pid, Signal::CONT);
        }
    }
}
