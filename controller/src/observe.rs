//! The first phase: what is there. Reads the cloud; changes nothing.

use cloud::local::UNWATCHED;
use cloud::{Cloud, CloudError};
use node::config::FunctionKind;
use plan::Observed;

use crate::controller::Controller;
use crate::health::Health;

impl Controller {
    /// What is there. Processes seen for the first time, adopted or started, get a health of their own.
    pub(crate) async fn observe(&mut self) -> Result<Observed, CloudError> {
        let observed = self.cloud.observe().await?;
        for (kind, process) in &observed.processes {
            match process.pid {
                None => {
                    self.health.remove(kind);
                    self.note_unwatched_end(*kind);
                }
                Some(pid) if !self.health.contains_key(kind) => {
                    self.history.note(Some(*kind), "Adopted", format!("found running as process {pid}"));
                    self.health.insert(*kind, Health::new(std::time::Instant::now()));
                }
                Some(_) => {}
            }
        }
        Ok(observed)
    }

    /// At the first look: what ended while no controller ran stands in the history too.
    fn note_unwatched_end(&mut self, kind: FunctionKind) {
        let is_first_look = self.status.functions.is_empty();
        let end = self.cloud.record(kind).and_then(|record| record.last_end.as_ref());
        if is_first_look && end.is_some_and(|end| end.reason == UNWATCHED) {
            self.history.note(Some(kind), "Exited", UNWATCHED);
        }
    }
}
