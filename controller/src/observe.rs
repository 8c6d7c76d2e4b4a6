//! The first phase: what is there. Reads the cloud; changes nothing.

use std::time::{Duration, Instant};

use cloud::local::UNWATCHED;
use cloud::{Cloud, CloudError};
use plan::{Observed, ProcessName};

use crate::controller::Controller;
use crate::health::{Health, State};

impl Controller {
    /// What is there. Processes seen for the first time, adopted or started, get a health of their own.
    pub(crate) async fn observe(&mut self) -> Result<Observed, CloudError> {
        let mut observed = self.cloud.observe().await?;
        let serves = |health: &Health| health.place.is_some_and(|place| place.role.serves());
        let serving = self.health.iter().filter(|(_, health)| serves(health));
        observed.serving = serving.map(|(name, _)| *name).collect();
        let ready = self.health.iter().filter(|(_, health)| health.state == State::Ready);
        observed.ready = ready.map(|(name, _)| *name).collect();
        observed.protection = self.rolling.protection(Instant::now(), self.lease(), &self.health);
        for (name, process) in &observed.processes {
            match process.pid {
                None => {
                    self.health.remove(name);
                    self.note_unwatched_end(*name);
                }
                Some(pid) if !self.health.contains_key(name) => {
                    self.history.note(Some(*name), "Adopted", format!("found running as process {pid}"));
                    self.health.insert(*name, Health::new(Instant::now()));
                }
                Some(_) => {}
            }
        }
        Ok(observed)
    }

    /// The length of a lease of the resource in force.
    fn lease(&self) -> Duration {
        let redundancy = self.accepted.as_ref().map(|accepted| &accepted.object.spec.redundancy);
        let milliseconds = redundancy.map_or(0, |redundancy| redundancy.lease_milliseconds);
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
    }

    /// At the first look: what ended while no controller ran stands in the history too.
    fn note_unwatched_end(&mut self, name: ProcessName) {
        let is_first_look = self.status.functions.is_empty();
        let end = self.cloud.record(name).and_then(|record| record.last_end.as_ref());
        if is_first_look && end.is_some_and(|end| end.reason == UNWATCHED) {
            self.history.note(Some(name), "Exited", UNWATCHED);
        }
    }
}
