//! What is written down about a process, so that another controller can adopt it.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{proc, write_private};
use crate::CloudError;

/// Why a process ended that nobody watched.
pub const UNWATCHED: &str = "it ended while no controller watched";

/// One process, running or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its pid.
    pub pid: i32,
    /// Its start time in clock ticks since boot: with the pid its identity.
    pub start_ticks: u64,
    /// The recipe it was started with; empty when it was found without a record.
    pub recipe: String,
    /// The mark of its binary.
    pub binary: String,
    /// When it was started.
    pub started: Timestamp,
    /// Where its words begin in the log file.
    pub log_offset: u64,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// How its predecessor, or it itself, ended.
    pub last_end: Option<End>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// When.
    pub time: Timestamp,
    /// By which signal or code, and its last words.
    pub reason: String,
}

impl Record {
    pub(crate) fn started(
        pid: u32,
        recipe: String,
        binary: String,
        log_offset: u64,
        before: Option<&Record>,
    ) -> Record {
        let pid = pid.cast_signed();
        let last_end = before.and_then(|record| record.last_end.clone());
        let was_stopped = last_end.as_ref().is_some_and(|end| end.reason.starts_with("stopped"));
        let restarts = before.map_or(0, |record| record.restarts + u32::from(!was_stopped));
        // A child that is gone already has no start time; the pidfd tells of its end in a moment.
        let start_ticks = proc::start_ticks(pid).unwrap_or_default();
        Record { pid, start_ticks, recipe, binary, started: Timestamp::now(), log_offset, restarts, last_end }
    }

    /// A process that was found without a record: its empty recipe makes the plan replace it.
    pub(crate) fn found(pid: i32, start_ticks: u64) -> Record {
        Record {
            pid,
            start_ticks,
            recipe: String::new(),
            binary: String::new(),
            started: Timestamp::now(),
            log_offset: 0,
            restarts: 0,
            last_end: None,
        }
    }

    pub(crate) fn note_end(&mut self, reason: String) {
        self.last_end = Some(End { time: Timestamp::now(), reason });
    }

    /// Reads a record; what cannot be read counts as none.
    pub fn read(path: &Path) -> Option<Record> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), CloudError> {
        let text = serde_json::to_string(self).expect("a record has string keys only");
        write_private(path, &text)
    }

    /// Is the process of this record running?
    pub fn is_alive(&self) -> bool {
        proc::is_alive(self.pid, self.start_ticks)
    }
}
