//! Telling the HSS before a registration changes: SAR (TS 24.229 §5.4.1.2, TS 29.228 §6.1.2). What its answer does
//! stands in [`crate::assigned`].
//!
//! There is one assignment at a time for each private identity: each SAR carries the restoration data of all
//! contacts, so two at once could end with the HSS remembering only one of two devices.

use std::collections::VecDeque;

use clock::Instant;
use diameter::cx::{self, ScscfRestorationInfo, ServerAssignmentType};
use node::ServerKey;
use serde::{Deserialize, Serialize};
use sip::{Message, Name};

use crate::contact::{Changes, Contact};
use crate::register::Registrant;
use crate::registrar::{RegistrationSet, Update, UpdateError, apply};
use crate::text::Text;
use crate::{Scscf, Waiting, assigned, restore};

/// Most assignments that wait for one private identity; a device that sends more is told to come back.
const WAITING_MAX: usize = 8;

/// A REGISTER whose sender has been authenticated.
#[derive(Serialize, Deserialize)]
pub(crate) struct Registering {
    /// Its server transaction.
    pub server: ServerKey,
    /// The REGISTER.
    pub request: Message,
    /// Whose it is.
    pub registrant: Registrant,
    /// What it wants.
    pub update: Update,
    /// The value of Authentication-Info in the 200.
    pub authentication_info: Option<String>,
    /// Was the HSS asked once more, because the registration ended while it was asked?
    pub is_repeated: bool,
}

/// Something that needs SAR.
#[derive(Serialize, Deserialize)]
pub(crate) enum Job {
    /// An authenticated REGISTER.
    Register(Box<Registering>),
    /// The restoration data changed otherwise: a subscription, a contact that went.
    Store { registrant: Registrant },
    /// The last contact went without a REGISTER.
    Depart { registrant: Registrant, assignment_type: ServerAssignmentType, attempts: u8 },
}

impl Job {
    fn registrant(&self) -> &Registrant {
        match self {
            Job::Register(registering) => &registering.registrant,
            Job::Store { registrant } | Job::Depart { registrant, .. } => registrant,
        }
    }

    pub(crate) fn private_identity(&self) -> Text {
        self.registrant().private_identity.clone()
    }
}

/// What the HSS is to be told.
struct Told {
    assignment_type: ServerAssignmentType,
    restoration: Option<ScscfRestorationInfo>,
}

impl Scscf {
    /// Starts `job`, or lets it wait for those before it.
    pub(crate) fn enqueue(&mut self, now: Instant, job: Job) {
        let who = job.private_identity();
        match self.assigning.get_mut(&who) {
            None => {
                self.assigning.insert(who.clone(), VecDeque::new());
                self.run(now, &who, Some(job));
            }
            Some(queue) if queue.len() < WAITING_MAX => queue.push_back(job),
            Some(_) => {
                if let Job::Register(registering) = job {
                    let mut response = self.response(&registering.request, 503, "Service Unavailable");
                    response.push_back(Name::RetryAfter, "5");
                    self.respond(registering.server, response);
                }
            }
        }
    }

    /// Begins one job after another until one waits for the HSS.
    pub(crate) fn run(&mut self, now: Instant, who: &Text, mut job: Option<Job>) {
        while let Some(next) = job {
            if self.begin(now, next) {
                return;
            }
            job = self.assigning.get_mut(who).and_then(VecDeque::pop_front);
        }
        self.assigning.remove(who);
    }

    /// Sends the SAR of `job`; `false` when it needed none and is done.
    fn begin(&mut self, now: Instant, job: Job) -> bool {
        let told = match &job {
            Job::Register(registering) => {
                match self.plan(now, &registering.registrant, &registering.update) {
                    Ok(told) => told,
                    Err(error) => {
                        let (outcome, status, reason) = assigned::outcome_of(error);
                        self.event("registration", outcome, &registering.registrant.private_identity, "");
                        self.refuse(registering.server, &registering.request, status, reason);
                        return false;
                    }
                }
            }
            Job::Store { registrant } => self
                .set_of(registrant)
                .filter(|set| set.has_contact_of(&registrant.private_identity))
                .map(|set| Told {
                    assignment_type: ServerAssignmentType::ReRegistration,
                    restoration: Some(self.restoration(registrant, &set.contacts)),
                }),
            // A user who came back while the message waited takes no leave.
            Job::Depart { registrant, assignment_type, .. } => self
                .set_of(registrant)
                .is_none_or(|set| !set.has_contact_of(&registrant.private_identity))
                .then_some(Told { assignment_type: *assignment_type, restoration: None }),
        };
        let Some(Told { assignment_type, restoration }) = told else {
            if let Job::Register(done) = job {
                let response = self.granted(now, &done.request, &done.registrant, done.authentication_info);
                self.respond(done.server, response);
            }
            return false;
        };
        let registrant = job.registrant();
        let request = cx::Request::ServerAssignment(cx::ServerAssignmentRequest {
            private_identity: Some(registrant.private_identity.to_string()),
            public_identities: vec![registrant.public_identity.to_string()],
            server_name: self.own.server_name.to_string(),
            assignment_type,
            user_data_already_available: assignment_type != ServerAssignmentType::Registration,
            restoration,
        });
        self.ask(request, Waiting::Assignment(job));
        true
    }

    /// What the HSS is to be told about an update. `None`: nothing.
    fn plan(
        &self,
        now: Instant,
        registrant: &Registrant,
        update: &Update,
    ) -> Result<Option<Told>, UpdateError> {
        let set = self.set_of(registrant);
        let had = set.is_some_and(|set| set.has_contact_of(&registrant.private_identity));
        let mut contacts = set.map_or_else(Vec::new, |set| set.contacts.clone());
        let mut scratch_id = self.registrar.contact_numbers.last();
        let applied = apply(&mut contacts, update, self.settings.contacts_max, &mut scratch_id, now)?;
        let has = contacts.iter().any(|contact| contact.private_identity == registrant.private_identity);
        let assignment_type = match (had, has) {
            _ if update.changes == Changes::None => return Ok(None),
            (true, true) if update.changes.is_removal() && !applied.is_news => return Ok(None),
            (true, true) => ServerAssignmentType::ReRegistration,
            (false, true) => ServerAssignmentType::Registration,
            (true, false) => ServerAssignmentType::UserDeregistration,
            // Unknown here, perhaps since a restart: only the HSS can know whether there is something to end.
            (false, false) if set.is_none() => ServerAssignmentType::UserDeregistration,
            (false, false) => return Ok(None),
        };
        let restoration = has.then(|| self.restoration(registrant, &contacts));
        Ok(Some(Told { assignment_type, restoration }))
    }

    /// The set of a registrant, as far as it is known here.
    pub(crate) fn set_of(&self, registrant: &Registrant) -> Option<&RegistrationSet> {
        self.registrar.set(self.registrar.find(&registrant.public_identity)?)
    }

    fn restoration(&self, registrant: &Registrant, contacts: &[Contact]) -> ScscfRestorationInfo {
        let watchers = self.set_of(registrant).map_or(&[][..], |set| &set.watchers);
        restore::to_hss(&registrant.private_identity, contacts, watchers, &self.watchers, self.wall)
    }
}
