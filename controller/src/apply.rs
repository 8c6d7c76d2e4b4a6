//! The fourth phase: run a plan's actions one by one, in order. One that fails is noted, and the others go on: a
//! missing P-CSCF must not keep the HSS down.

use std::collections::BTreeMap;
use std::time::Instant;

use cloud::Cloud;
use plan::{Action, ProcessName};

use crate::controller::Controller;
use crate::health::Health;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was done, in words.
    pub changes: Vec<String>,
    /// What could not be done, by process.
    pub failures: BTreeMap<ProcessName, String>,
}

impl Controller {
    /// Runs the actions.
    pub(crate) async fn apply(&mut self, actions: &[Action]) -> Applied {
        let mut applied = Applied::default();
        for action in actions {
            let (name, words) = (action.name(), words(action));
            if applied.failures.contains_key(&name) {
                continue;
            }
            if applied.is_too_early(action) {
                // So that nobody is started without it.
                applied.failures.insert(name, format!("cannot {words}: another process may be at it"));
                continue;
            }
            tracing::info!(function = name.as_str(), "{words} ...");
            match self.cloud.apply(action).await {
                Ok(()) => {
                    self.on_applied(action);
                    applied.changes.push(format!("{name}: {words}"));
                }
                Err(error) => {
                    let sentence = format!("{:#}", anyhow::Error::from(error));
                    self.history.note(Some(name), "ActionFailed", format!("{words}: {sentence}"));
                    applied.failures.insert(name, sentence);
                }
            }
        }
        applied
    }

    fn on_applied(&mut self, action: &Action) {
        match action {
            Action::Start { process } => {
                self.health.insert(process.name, Health::new(Instant::now()));
                let pid = self.cloud.record(process.name).map_or(0, |record| record.pid);
                self.history.note(Some(process.name), "Started", format!("as process {pid}"));
            }
            Action::Stop { name, reason } => {
                self.health.remove(name);
                let reason = if self.held.contains_key(name) { "its store is being copied" } else { reason };
                self.history.note(Some(*name), "Stopped", reason);
            }
            Action::MoveState { name, from, .. } => {
                self.history.note(Some(*name), "StateMoved", format!("it goes on with {}", from.display()));
            }
            Action::CopyState { name, from, .. } => {
                let message = format!("it begins with a copy of {}", from.display());
                self.history.note(Some(*name), "StateCopied", message);
            }
            Action::SetStateAside { name, path } => {
                let message = format!("what was in {} is kept beside it, as .old", path.display());
                self.history.note(Some(*name), "StateSetAside", message);
            }
            Action::WriteConfig { .. } | Action::RemoveFiles { .. } => {}
        }
    }
}

impl Applied {
    /// State is touched only when nobody can be at it, and when what must be set aside is.
    fn is_too_early(&self, action: &Action) -> bool {
        let kind = action.name().kind();
        let is_about_state = matches!(
            action,
            Action::MoveState { .. } | Action::CopyState { .. } | Action::SetStateAside { .. }
        );
        is_about_state
            && self.failures.keys().any(|failed| *failed == ProcessName::Witness || failed.kind() == kind)
    }
}

fn words(action: &Action) -> &'static str {
    match action {
        Action::WriteConfig { .. } => "write its configuration",
        Action::Start { .. } => "start",
        Action::Stop { .. } => "stop",
        Action::RemoveFiles { .. } => "remove its files",
        Action::MoveState { .. } => "take over the state",
        Action::CopyState { .. } => "copy the state",
        Action::SetStateAside { .. } => "set its old state aside",
    }
}
