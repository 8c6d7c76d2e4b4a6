//! The last phase: conditions, states and happenings for people. The only writer of status.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crds::{FunctionRole, FunctionState, FunctionStatus, IMSCore, IMSCoreStatus, LastExit};
use jiff::Timestamp;
use plan::ProcessName;
use serde::{Deserialize, Serialize};

use crate::controller::Controller;
use crate::health::State;
use crate::history::Happening;
use crate::protection;

/// What the API shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    /// The resource with its status; none before the first was accepted.
    pub core: Option<IMSCore>,
    /// What happened, oldest first.
    pub events: Vec<Happening>,
    /// Who reports.
    pub controller: Option<About>,
}

/// The controller itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// Its process.
    pub pid: u32,
    /// Since when it runs.
    pub since: Timestamp,
    /// The program's version.
    pub version: String,
    /// The mark of its binary: another one means that it is out of date.
    pub binary: String,
}

/// The latest document, shared with the API.
#[derive(Clone, Default)]
pub struct Published(Arc<Mutex<Option<Document>>>);

impl Published {
    /// The latest document.
    pub fn read(&self) -> Option<Document> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, document: Document) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(document);
    }
}

/// So many fast ends in a row are no accident any more.
const FAST_ENDS_ALARMING: u32 = 3;

impl Controller {
    /// Works out the status and publishes it.
    pub(crate) fn report(&mut self) {
        let now = Timestamp::now();
        let names = self.names();
        let functions: Vec<FunctionStatus> = names.iter().map(|name| self.function(*name, now)).collect();
        self.note_changes(&names, &functions);
        let generation = self.accepted.as_ref().and_then(|accepted| accepted.object.metadata.generation);
        self.status.observed_generation = generation.unwrap_or(0);
        self.status.functions = functions;
        self.set_conditions(now);
        let core = self.accepted.as_ref().map(|accepted| {
            let mut object = accepted.object.clone();
            object.status = Some(self.status.clone());
            object
        });
        let events = self.history.happenings().cloned().collect();
        self.published.write(Document { core, events, controller: Some(self.about.clone()) });
    }

    /// The processes to speak of, in the order in which they are started.
    fn names(&self) -> Vec<ProcessName> {
        let has_pairs = self.accepted.as_ref().is_some_and(|accepted| accepted.has_pairs());
        ProcessName::of_core(has_pairs).collect()
    }

    fn function(&self, name: ProcessName, now: Timestamp) -> FunctionStatus {
        let record = self.cloud.record(name);
        let health = self.health.get(&name);
        let is_desired = self.accepted.is_some() && !self.held.contains_key(&name);
        let is_backing_off = self.cloud.pause_until(name).is_some_and(|until| until > Instant::now());
        let state = match health.map(|health| &health.state) {
            Some(State::Ready) => FunctionState::Ready,
            Some(State::NotReady) => FunctionState::NotReady,
            Some(State::Starting) => FunctionState::Starting,
            None if !is_desired => FunctionState::Stopped,
            None if is_backing_off => FunctionState::BackingOff,
            None => FunctionState::Starting,
        };
        let last_end = record.and_then(|record| record.last_end.as_ref());
        let message = match (state, health, self.failures.get(&name)) {
            (FunctionState::Ready, ..) => String::new(),
            (_, _, Some(failure)) => failure.clone(),
            (FunctionState::BackingOff, ..) => last_end.map(|end| end.reason.clone()).unwrap_or_default(),
            (FunctionState::Stopped, ..) if self.held.contains_key(&name) => {
                "its store is being copied".into()
            }
            (_, Some(health), None) => health.detail.clone(),
            (_, None, None) => String::new(),
        };
        let before = self.status.functions.iter().find(|before| before.name == name.as_str());
        let since = before.filter(|before| before.state == state).and_then(|before| before.since.clone());
        let process = self.accepted.as_ref().and_then(|accepted| accepted.desired.processes.get(&name));
        // Who is alone has no place to speak of.
        let place = health.and_then(|health| health.place).filter(|_| name.is_of_pairs());
        let is_serving = place.is_some_and(|place| place.role.serves());
        FunctionStatus {
            name: name.to_string(),
            state,
            role: place.map(|place| place.role),
            epoch: place.and_then(|place| place.epoch),
            protected: place.and_then(|place| place.protected).filter(|_| is_serving),
            pid: health.and(record).map(|record| i64::from(record.pid)),
            restarts: record.map_or(0, |record| i32::try_from(record.restarts).unwrap_or(i32::MAX)),
            last_exit: last_end.map(|end| LastExit { time: rfc3339(end.time), reason: end.reason.clone() }),
            addresses: process
                .iter()
                .flat_map(|process| &process.addresses)
                .map(ToString::to_string)
                .collect(),
            since: Some(since.unwrap_or_else(|| rfc3339(now))),
            message,
        }
    }

    fn note_changes(&mut self, names: &[ProcessName], functions: &[FunctionStatus]) {
        for (name, now) in names.iter().zip(functions) {
            let before = self.status.functions.iter().find(|before| before.name == now.name);
            let changed = before.is_none_or(|before| before.state != now.state);
            let role = before.and_then(|before| before.role);
            let stood_by = role.is_some_and(|role| !role.serves());
            let has_taken_over = stood_by && now.role.is_some_and(FunctionRole::serves);
            match now.state {
                FunctionState::Ready if changed && !now.role.is_none_or(FunctionRole::serves) => {
                    self.history.note(Some(*name), "Ready", "stands by");
                }
                FunctionState::Ready if changed => self.history.note(Some(*name), "Ready", "serves"),
                FunctionState::Ready if has_taken_over => {
                    self.history.note(Some(*name), "TookOver", "serves in the place of the other");
                }
                FunctionState::NotReady if changed => {
                    self.history.note(Some(*name), "NotReady", &now.message)
                }
                FunctionState::BackingOff if changed => {
                    self.history.note(Some(*name), "BackingOff", &now.message)
                }
                _ => {}
            }
        }
    }

    fn set_conditions(&mut self, now: Timestamp) {
        let unready = protection::unready(&self.status.functions);
        let (reason, message) = match &unready {
            None => ("AllServe", "all functions serve"),
            Some(sentence) => ("FunctionNotReady", sentence.as_str()),
        };
        self.status.set_condition("Ready", unready.is_none(), reason, message, now);
        let unprotected = protection::set_condition(&mut self.status, now);
        self.set_rolling(now);
        // Before it serves, it is merely not up yet.
        let unprotected = unprotected.filter(|_| unready.is_none());
        let degraded = self.degraded().or_else(|| Some(("NotProtected", unprotected?)));
        let (reason, message) = match &degraded {
            None => ("AsDesired", "nothing is wrong"),
            Some((reason, message)) => (*reason, message.as_str()),
        };
        self.status.set_condition("Degraded", degraded.is_some(), reason, message, now);
    }

    /// Who waits to be replaced (only where functions are pairs).
    fn set_rolling(&mut self, now: Timestamp) {
        if !protection::has_pairs(&self.status.functions) {
            self.status.conditions.retain(|condition| condition.type_ != "Rolling");
            return;
        }
        let sentence = self.rolling.sentence();
        let (reason, message) = match &sentence {
            None => ("AsDesired", "nobody waits to be replaced"),
            Some(sentence) => ("HeldBack", sentence.as_str()),
        };
        self.status.set_condition("Rolling", sentence.is_some(), reason, message, now);
    }

    /// What will not mend by itself in a moment.
    fn degraded(&self) -> Option<(&'static str, String)> {
        if let Some((name, failure)) = self.failures.iter().next() {
            return Some(("FunctionCannotStart", format!("{name}: {failure}")));
        }
        ProcessName::ALL.into_iter().find_map(|name| {
            let is_ready = self.health.get(&name).is_some_and(|health| health.state == State::Ready);
            let keeps_ending = self.cloud.fast_ends(name) >= FAST_ENDS_ALARMING && !is_ready;
            let end = self.cloud.record(name).and_then(|record| record.last_end.as_ref());
            let reason = end.map_or("no reason is known", |end| end.reason.as_str());
            keeps_ending.then(|| ("FunctionKeepsEnding", format!("{name}: {reason}")))
        })
    }
}

/// A status before anything is known.
pub fn unknown() -> IMSCoreStatus {
    IMSCoreStatus::default()
}

/// To the second: nobody reads the rest.
pub fn rfc3339(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}
