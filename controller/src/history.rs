//! What happened and when: a bounded list that outlives the controller.

use std::collections::VecDeque;
use std::path::PathBuf;

use jiff::Timestamp;
use plan::ProcessName;
use serde::{Deserialize, Serialize};

/// So many happenings are kept: a bad night of restarts fits, and the file stays small enough to write at each.
const HAPPENINGS_MAX: usize = 200;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Happening {
    /// When it happened, or happened last.
    pub time: Timestamp,
    /// To which process; the core as a whole when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<ProcessName>,
    /// A constant word: `Started`, `Ready`, `Exited` …
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// How often in a row.
    #[serde(default = "once")]
    pub count: u32,
}

fn once() -> u32 {
    1
}

/// The list, oldest first.
#[derive(Debug)]
pub struct History {
    file: PathBuf,
    happenings: VecDeque<Happening>,
}

impl History {
    /// Takes up the list in `file`; what cannot be read begins anew.
    pub fn open(file: PathBuf) -> History {
        let text = std::fs::read(&file).unwrap_or_default();
        History { happenings: serde_json::from_slice(&text).unwrap_or_default(), file }
    }

    /// The list, oldest first.
    pub fn happenings(&self) -> impl Iterator<Item = &Happening> {
        self.happenings.iter()
    }

    /// Adds to the list; the same again only counts.
    pub fn note(&mut self, function: Option<ProcessName>, reason: &str, message: impl Into<String>) {
        let message = message.into();
        let name = function.map_or("core", ProcessName::as_str);
        tracing::info!(function = name, reason, message, "happened");
        let time = Timestamp::now();
        match self.happenings.back_mut() {
            Some(last) if last.function == function && last.reason == reason && last.message == message => {
                last.count = last.count.saturating_add(1);
                last.time = time;
            }
            _ => self.happenings.push_back(Happening {
                time,
                function,
                reason: reason.into(),
                message,
                count: 1,
            }),
        }
        while self.happenings.len() > HAPPENINGS_MAX {
            self.happenings.pop_front();
        }
        let text = serde_json::to_string(&self.happenings).expect("happenings have string keys only");
        if let Err(error) = cloud::local::write_private(&self.file, &text) {
            tracing::warn!(%error, "the history could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use node::config::FunctionKind;

    use super::*;

    #[test]
    fn the_history_outlives_the_controller_is_bounded_and_counts_what_repeats() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("history.json");
        let mut history = History::open(file.clone());
        for number in 0..HAPPENINGS_MAX + 5 {
            history.note(Some(ProcessName::alone(FunctionKind::Hss)), "Exited", format!("number {number}"));
        }
        history.note(None, "Applied", "again");
        history.note(None, "Applied", "again");
        let read = History::open(file);
        assert_eq!(read.happenings().count(), HAPPENINGS_MAX);
        let last = read.happenings().last().expect("it is not empty");
        assert_eq!((last.message.as_str(), last.count), ("again", 2));
        assert_eq!(read.happenings().next().map(|first| first.message.clone()).as_deref(), Some("number 6"));
    }
}
