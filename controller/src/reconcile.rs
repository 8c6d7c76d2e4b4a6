//! One look at the object: observe, validate, plan, apply, report. Level-triggered: it needs no memory of what happened.

use std::time::Instant;

use plan::{Desired, Plan, plan};

use crate::apply::Applied;
use crate::controller::Controller;

impl Controller {
    /// Makes the world a step more like the resource; says what was done.
    pub(crate) async fn reconcile(&mut self) -> Applied {
        self.looked = Instant::now();
        let observed = match self.observe().await {
            Ok(observed) => observed,
            Err(error) => {
                self.history.note(None, "ObserveFailed", format!("{:#}", anyhow::Error::from(error)));
                self.report();
                return Applied::default();
            }
        };
        self.watch_processes();
        let Plan { actions, held_back } = plan(&self.desired_now(), &observed, &self.places);
        let ends_roll = self.hold_back(held_back);
        let applied = self.apply(&actions).await;
        self.ask_to_hand_over().await;
        if ends_roll {
            self.history.note(None, "Rolled", "nobody waits to be replaced any more");
        }
        for (name, failure) in &applied.failures {
            self.failures.insert(*name, failure.clone());
        }
        for action in &actions {
            if let plan::Action::Start { process } = action
                && !applied.failures.contains_key(&process.name)
            {
                self.failures.remove(&process.name);
            }
        }
        self.report();
        applied
    }

    /// What was validated when the resource was accepted, without what is held back at the moment.
    fn desired_now(&self) -> Desired {
        let mut desired = self.accepted.as_ref().map(|accepted| accepted.desired.clone()).unwrap_or_default();
        desired.processes.retain(|name, _| !self.held.contains_key(name));
        desired
    }
}
