//! The first phase: what is there. Reads the cloud; changes nothing.

use cloud::{Cloud, CloudError};
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
}
