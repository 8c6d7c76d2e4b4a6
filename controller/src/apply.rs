//! The fourth phase: run a plan's actions one by one, in order. One that fails is noted, and the others go on: a
//! missing P-CSCF must not keep the HSS down.

use std::collections::BTreeMap;
use std::time::Instant;

use cloud::Cloud;
use node::config::FunctionKind;
use plan::Action;

use crate::controller::Controller;
use crate::health::Health;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was done, in words.
    pub changes: Vec<String>,
    /// What could not be done, by function.
    pub failures: BTreeMap<FunctionKind, String>,
}

impl Controller {
    /// Runs the actions.
    pub(crate) async fn apply(&mut self, actions: &[Action]) -> Applied {
        let mut applied = Applied::default();
        for action in actions {
            let (kind, words) = words(action);
            if applied.failures.contains_key(&kind) {
                continue;
            }
            tracing::info!(function = kind.as_str(), "{words} ...");
            match self.cloud.apply(action).await {
                Ok(()) => {
                    self.on_applied(action);
                    applied.changes.push(format!("{}: {words}", kind.as_str()));
                }
                Err(error) => {
                    let sentence = format!("{:#}", anyhow::Error::from(error));
                    self.history.note(Some(kind), "ActionFailed", format!("{words}: {sentence}"));
                    applied.failures.insert(kind, sentence);
                }
            }
        }
        applied
    }

    fn on_applied(&mut self, action: &Action) {
        match action {
            Action::Start { process } => {
                self.health.insert(process.kind, Health::new(Instant::now()));
                let pid = self.cloud.record(process.kind).map_or(0, |record| record.pid);
                self.history.note(Some(process.kind), "Started", format!("as process {pid}"));
            }
            Action::Stop { kind, reason } => {
                self.health.remove(kind);
                let reason = if self.held.contains_key(kind) { "its store is being copied" } else { reason };
                self.history.note(Some(*kind), "Stopped", reason);
            }
            Action::WriteConfig { .. } | Action::RemoveFiles { .. } => {}
        }
    }
}

fn words(action: &Action) -> (FunctionKind, &'static str) {
    match action {
        Action::WriteConfig { kind, .. } => (*kind, "write its configuration"),
        Action::Start { process } => (process.kind, "start"),
        Action::Stop { kind, .. } => (*kind, "stop"),
        Action::RemoveFiles { kind, .. } => (*kind, "remove its files"),
    }
}
