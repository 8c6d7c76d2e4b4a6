//! Telling the HSS and, once it agrees, changing the registration: SAR, SAA, 200 (TS 24.229 §5.4.1.2, TS 29.228 §6.1.2).
//!
//! There is one assignment at a time for each private identity: each SAR carries the restoration data of all contacts, so
//! two at once could end with the HSS remembering only one of two devices.

use std::collections::VecDeque;

use clock::{Duration, Instant};
use diameter::cx::{self, ResultCode, ServerAssignmentType};
use node::{Event, ServerKey, Unanswered};
use sip::{Message, Name};

use crate::contact::{Changes, Contact};
use crate::register::Registrant;
use crate::registrar::{Applied, SetId, Update, UpdateError, apply};
use crate::text::Text;
use crate::{Scscf, Timer, Waiting, charging, profile, restore};

/// Most assignments that wait for one private identity; a device that sends more is told to come back.
const WAITING_MAX: usize = 8;
/// A de-registration that the HSS did not hear is told again this often, and after this time, doubling.
const RETRIES_MAX: u8 = 6;
const RETRY_FIRST: Duration = Duration::from_secs(5);

/// Something that needs SAR.
pub(crate) enum Job {
    /// An authenticated REGISTER.
    Register {
        server: ServerKey,
        request: Message,
        registrant: Registrant,
        update: Update,
        authentication_info: Option<String>,
    },
    /// The restoration data changed otherwise: a subscription, a contact that went.
    Store { registrant: Registrant },
    /// The last contact went without a REGISTER.
    Depart { registrant: Registrant, assignment_type: ServerAssignmentType, attempts: u8 },
}

impl Job {
    fn private_identity(&self) -> Text {
        match self {
            Job::Register { registrant, .. } | Job::Store { registrant } | Job::Depart { registrant, .. } => {
                registrant.private_identity.clone()
            }
        }
    }
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
                if let Job::Register { server, request, .. } = job {
                    let mut response = self.response(&request, 503, "Service Unavailable");
                    response.push_back(Name::RetryAfter, "5");
                    self.respond(server, response);
                }
            }
        }
    }

    /// Begins one job after another until one waits for the HSS.
    fn run(&mut self, now: Instant, who: &Text, mut job: Option<Job>) {
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
        let (registrant, assignment_type, restoration) = match &job {
            Job::Register { server, request, registrant, update, .. } => {
                match self.plan(now, registrant, update) {
                    Ok(Some((assignment_type, contacts))) => {
                        let set = self
                            .registrar
                            .find(&registrant.public_identity)
                            .and_then(|id| self.registrar.set(id));
                        let watchers = set.map_or(&[][..], |set| &set.watchers);
                        let info = restore::to_hss(
                            &registrant.private_identity,
                            &contacts,
                            watchers,
                            &self.watchers,
                            self.wall,
                        );
                        let is_leaving = assignment_type == ServerAssignmentType::UserDeregistration;
                        (registrant.clone(), assignment_type, (!is_leaving).then_some(info))
                    }
                    Ok(None) => {
                        let (server, registrant) = (*server, registrant.clone());
                        let response = self.granted(now, request, &registrant, None);
                        self.respond(server, response);
                        return false;
                    }
                    Err(error) => {
                        let (server, request) = (*server, request.clone());
                        self.refuse_update(server, &request, &registrant.private_identity.clone(), error);
                        return false;
                    }
                }
            }
            Job::Store { registrant } => {
                let found =
                    self.registrar.find(&registrant.public_identity).and_then(|id| self.registrar.set(id));
                let Some(set) = found.filter(|set| set.has_contact_of(&registrant.private_identity)) else {
                    return false;
                };
                let info = restore::to_hss(
                    &registrant.private_identity,
                    &set.contacts,
                    &set.watchers,
                    &self.watchers,
                    self.wall,
                );
                (registrant.clone(), ServerAssignmentType::ReRegistration, Some(info))
            }
            Job::Depart { registrant, assignment_type, .. } => {
                // It came back while the message waited: there is nothing to take leave of.
                let found =
                    self.registrar.find(&registrant.public_identity).and_then(|id| self.registrar.set(id));
                if found.is_some_and(|set| set.has_contact_of(&registrant.private_identity)) {
                    return false;
                }
                (registrant.clone(), *assignment_type, None)
            }
        };
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

    /// What the HSS is to be told about an update: the type, and the contacts as they will be. `None`: nothing.
    fn plan(
        &self,
        now: Instant,
        registrant: &Registrant,
        update: &Update,
    ) -> Result<Option<(ServerAssignmentType, Vec<Contact>)>, UpdateError> {
        let set = self.registrar.find(&registrant.public_identity).and_then(|id| self.registrar.set(id));
        let had = set.is_some_and(|set| set.has_contact_of(&registrant.private_identity));
        let mut contacts = set.map_or_else(Vec::new, |set| set.contacts.clone());
        let mut scratch_id = self.registrar.last_contact_id;
        let applied = apply(&mut contacts, update, self.settings.contacts_max, &mut scratch_id, now)?;
        let has = contacts.iter().any(|contact| contact.private_identity == registrant.private_identity);
        Ok(match (&update.changes, had, has) {
            (Changes::None, ..) => None,
            (_, true, true) if update.changes.is_removal() && !applied.is_news => None,
            (_, true, true) => Some((ServerAssignmentType::ReRegistration, contacts)),
            (_, false, true) => Some((ServerAssignmentType::Registration, contacts)),
            (_, true, false) => Some((ServerAssignmentType::UserDeregistration, contacts)),
            // Unknown here, perhaps since a restart: only the HSS can know whether there is something to end.
            (_, false, false) if set.is_none() => Some((ServerAssignmentType::UserDeregistration, contacts)),
            (_, false, false) => None,
        })
    }

    /// SAA.
    pub(crate) fn on_assignment(&mut self, now: Instant, job: Job, answer: Result<cx::Answer, Unanswered>) {
        let who = job.private_identity();
        match job {
            Job::Register { server, request, registrant, update, authentication_info } => {
                match self.complete(now, &registrant, &update, answer) {
                    Ok(name) => {
                        self.event(name, "ok", &registrant.private_identity, "");
                        let response = self.granted(now, &request, &registrant, authentication_info);
                        self.respond(server, response);
                    }
                    Err((outcome, status, reason)) => {
                        self.event("registration", outcome, &registrant.private_identity, "");
                        self.refuse(server, &request, status, reason);
                    }
                }
            }
            Job::Store { .. } => {}
            Job::Depart { registrant, assignment_type, attempts } => {
                if answer.is_err() && attempts < RETRIES_MAX {
                    let key = self.next_key();
                    let pause = RETRY_FIRST * (1 << attempts);
                    self.retries
                        .insert(key, Job::Depart { registrant, assignment_type, attempts: attempts + 1 });
                    self.timers.set(Timer::Retry(key), Some(now + pause));
                }
            }
        }
        let next = self.assigning.get_mut(&who).and_then(VecDeque::pop_front);
        self.run(now, &who, next);
    }

    /// Carries an update out. The name of the procedure; or outcome, status and reason of its failure.
    fn complete(
        &mut self,
        now: Instant,
        registrant: &Registrant,
        update: &Update,
        answer: Result<cx::Answer, Unanswered>,
    ) -> Result<&'static str, (&'static str, u16, &'static str)> {
        let answer = match answer {
            Ok(cx::Answer::ServerAssignment(answer)) => answer,
            Ok(_) => return Err(("hss_refused", 500, "Server Internal Error")),
            Err(_) => return Err(("hss_silent", 504, "Server Time-out")),
        };
        let known = self.registrar.find(&registrant.public_identity);
        if !answer.result.is_success() {
            return match answer.result {
                // Nobody is registered at the HSS either: that is what a de-registration wants.
                _ if update.changes.is_removal() && known.is_none() => Ok("de_registration"),
                ResultCode::USER_UNKNOWN => Err(("unknown_subscriber", 403, "Forbidden")),
                ResultCode::IDENTITIES_DONT_MATCH => Err(("identities_do_not_match", 403, "Forbidden")),
                ResultCode::TOO_BUSY => Err(("hss_busy", 503, "Service Unavailable")),
                _ => Err(("hss_refused", 500, "Server Internal Error")),
            };
        }
        let had = known
            .and_then(|id| self.registrar.set(id))
            .is_some_and(|set| set.has_contact_of(&registrant.private_identity));
        let id = match (known, update.changes.is_removal()) {
            (None, true) => return Ok("de_registration"),
            (Some(id), true) => id,
            (_, false) => self.take_profile(registrant, &answer, known)?,
        };
        if known.is_none() {
            self.take_contacts(now, id, &answer.restoration);
        }
        let mut last_id = self.registrar.last_contact_id;
        let contacts = self.registrar.set_mut(id).map(|set| &mut set.contacts);
        let applied = match contacts {
            Some(contacts) => apply(contacts, update, self.settings.contacts_max, &mut last_id, now),
            None => Ok(Applied::default()),
        };
        self.registrar.last_contact_id = last_id;
        let applied = applied.map_err(|error| {
            self.on_contacts_changed(now, id, Vec::new(), false);
            outcome_of(error)
        })?;
        let is_gone =
            !self.registrar.set(id).is_some_and(|set| set.has_contact_of(&registrant.private_identity));
        self.on_contacts_changed(now, id, applied.departed, applied.is_news);
        if known.is_none() && self.registrar.set(id).is_some_and(|set| set.contacts.len() > 1) {
            // Contacts came back with the SAA that the SAR had not named: the HSS is to keep them all.
            self.enqueue(now, Job::Store { registrant: registrant.clone() });
        }
        Ok(match (had, is_gone) {
            (_, true) => "de_registration",
            (true, false) => "re_registration",
            (false, false) => "registration",
        })
    }

    /// Puts the profile of SAA in place; without one (it was said to be available) keeps what is there.
    fn take_profile(
        &mut self,
        registrant: &Registrant,
        answer: &cx::ServerAssignmentAnswer,
        known: Option<SetId>,
    ) -> Result<SetId, (&'static str, u16, &'static str)> {
        let charging = answer.charging.as_ref().and_then(charging::function_addresses).map(Text::from);
        let unusable = ("profile_unusable", 500, "Server Internal Error");
        match (&answer.user_data, known) {
            (Some(document), _) => match profile::parse(document) {
                Ok(profile)
                    if profile.identities.iter().any(|each| each.uri == registrant.public_identity) =>
                {
                    Ok(self.registrar.put_profile(profile.identities, charging))
                }
                Ok(_) => {
                    self.alarm("the HSS sent a profile that does not hold the identity it was asked for");
                    Err(unusable)
                }
                Err(error) => {
                    self.alarm(&error.to_string());
                    Err(unusable)
                }
            },
            (None, Some(id)) => Ok(id),
            (None, None) => {
                self.alarm("the HSS accepted a registration but sent no user profile");
                Err(unusable)
            }
        }
    }

    pub(crate) fn alarm(&mut self, reason: &str) {
        let event = Event::Alarm { cause: "user_profile", reason: reason.to_string() };
        self.output.push_back(node::Decision::Event(event));
    }

    fn refuse_update(&mut self, server: ServerKey, request: &Message, who: &str, error: UpdateError) {
        let (outcome, status, reason) = outcome_of(error);
        self.event("registration", outcome, who, "");
        self.refuse(server, request, status, reason);
    }
}

fn outcome_of(error: UpdateError) -> (&'static str, u16, &'static str) {
    match error {
        // RFC 3261 §10.3 step 7 names no code; §12.2.2 answers the same mistake in a dialog with 500.
        UpdateError::OutOfOrder => ("out_of_order", 500, "CSeq Out of Order"),
        UpdateError::TooManyContacts => ("too_many_contacts", 403, "Too Many Contacts"),
    }
}
