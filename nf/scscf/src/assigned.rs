//! Changing a registration once the HSS has agreed: SAA, and the answer to the REGISTER that asked for it
//! (TS 24.229 §5.4.1.2, spec 4.4 for the status codes).

use std::collections::VecDeque;

use clock::{Duration, Instant};
use diameter::cx::{self, ResultCode};
use node::{Decision, Event, Unanswered};

use crate::assign::{Job, Registering};
use crate::register::Registrant;
use crate::registrar::{SetId, UpdateError, apply};
use crate::text::Text;
use crate::{Scscf, Timer, charging, profile};

/// A de-registration that the HSS did not hear is told again this often: for some five minutes in all.
const RETRIES_MAX: u8 = 6;
/// The pause before the first repetition; it doubles.
const RETRY_FIRST: Duration = Duration::from_secs(5);

/// Why a REGISTER fails: outcome for the counter, status, reason phrase.
type Failure = (&'static str, u16, &'static str);

const UNUSABLE: Failure = ("profile_unusable", 500, "Server Internal Error");

impl Scscf {
    /// SAA.
    pub(crate) fn on_assignment(&mut self, now: Instant, job: Job, answer: Result<cx::Answer, Unanswered>) {
        let who = job.private_identity();
        match job {
            Job::Register(mut registering) => {
                let is_profile_missing = match &answer {
                    Ok(cx::Answer::ServerAssignment(answer)) => {
                        answer.result.is_success() && answer.user_data.is_none()
                    }
                    Ok(_) | Err(_) => false,
                };
                let is_removal = registering.update.changes.is_removal();
                let is_lost =
                    is_profile_missing && !is_removal && self.set_of(&registering.registrant).is_none();
                if is_lost && !registering.is_repeated {
                    // The registration ended while the HSS was asked to refresh it: now it is a new one.
                    registering.is_repeated = true;
                    return self.run(now, &who, Some(Job::Register(registering)));
                }
                self.finish(now, *registering, answer);
            }
            Job::Store { .. } => {}
            Job::Depart { registrant, assignment_type, attempts } => {
                if answer.is_err() && attempts < RETRIES_MAX {
                    let key = self.next_key();
                    let job = Job::Depart { registrant, assignment_type, attempts: attempts + 1 };
                    self.retries.insert(key, job);
                    self.timers.set(Timer::Retry(key), Some(now + RETRY_FIRST * (1 << attempts)));
                }
            }
        }
        let next = self.assigning.get_mut(&who).and_then(VecDeque::pop_front);
        self.run(now, &who, next);
    }

    fn finish(&mut self, now: Instant, done: Registering, answer: Result<cx::Answer, Unanswered>) {
        match self.complete(now, &done, answer) {
            Ok(procedure) => {
                self.event(procedure, "ok", &done.registrant.private_identity, "");
                let response = self.granted(now, &done.request, &done.registrant, done.authentication_info);
                self.respond(done.server, response);
            }
            Err((outcome, status, reason)) => {
                self.event("registration", outcome, &done.registrant.private_identity, "");
                self.refuse(done.server, &done.request, status, reason);
            }
        }
    }

    /// Carries an update out. The name of the procedure that it was.
    fn complete(
        &mut self,
        now: Instant,
        done: &Registering,
        answer: Result<cx::Answer, Unanswered>,
    ) -> Result<&'static str, Failure> {
        let Registering { registrant, update, .. } = done;
        let answer = match answer {
            Ok(cx::Answer::ServerAssignment(answer)) => answer,
            Ok(_) => return Err(("hss_refused", 500, "Server Internal Error")),
            Err(_) => return Err(("hss_silent", 504, "Server Time-out")),
        };
        let is_removal = update.changes.is_removal();
        let known = self.registrar.find(&registrant.public_identity);
        match answer.result {
            result if result.is_success() => {}
            ResultCode::TOO_BUSY => return Err(("hss_busy", 503, "Service Unavailable")),
            // The HSS knows of nothing to end: then nothing is to remain here either.
            _ if is_removal => {}
            ResultCode::USER_UNKNOWN => return Err(("unknown_subscriber", 403, "Forbidden")),
            ResultCode::IDENTITIES_DONT_MATCH => return Err(("identities_do_not_match", 403, "Forbidden")),
            _ => return Err(("hss_refused", 500, "Server Internal Error")),
        }
        let had = self.set_of(registrant).is_some_and(|set| set.has_contact_of(&registrant.private_identity));
        let id = match known {
            None if is_removal => return Ok("de_registration"),
            Some(id) if is_removal => id,
            _ => self.take_profile(registrant, &answer, known)?,
        };
        if known.is_none() {
            self.take_contacts(now, id, &answer.restoration);
        }
        let mut last_id = self.registrar.contact_numbers.last();
        let Some(set) = self.registrar.set_mut(id) else { return Err(UNUSABLE) };
        let applied = apply(&mut set.contacts, update, self.settings.contacts_max, &mut last_id, now);
        let has = set.has_contact_of(&registrant.private_identity);
        let count = set.contacts.len();
        self.registrar.contact_numbers.advance_to(last_id);
        let (departed, is_news, error) = match applied {
            Ok(applied) => (applied.departed, applied.is_news, None),
            Err(error) => (Vec::new(), false, Some(error)),
        };
        // Also after an error: a set that was made for nothing must go again.
        self.on_contacts_changed(now, id, departed, is_news);
        if let Some(error) = error {
            return Err(outcome_of(error));
        }
        if known.is_none() && count > 1 {
            // Contacts came back with the SAA that the SAR had not named: the HSS is to keep them all.
            self.enqueue(now, Job::Store { registrant: registrant.clone() });
        }
        Ok(match (had, has) {
            (_, false) => "de_registration",
            (true, true) => "re_registration",
            (false, true) => "registration",
        })
    }

    /// Puts the profile of SAA in place; without one (it was said to be available) keeps what is there.
    fn take_profile(
        &mut self,
        registrant: &Registrant,
        answer: &cx::ServerAssignmentAnswer,
        known: Option<SetId>,
    ) -> Result<SetId, Failure> {
        let charging = answer.charging.as_ref().and_then(charging::function_addresses).map(Text::from);
        let problem = match (answer.user_data.as_deref().map(profile::parse), known) {
            (Some(Ok(profile)), _) => {
                if profile.identities.iter().any(|each| each.uri == registrant.public_identity) {
                    return Ok(self.registrar.put_profile(profile.identities, charging));
                }
                "the HSS sent a profile that does not hold the identity it was asked for".to_string()
            }
            (Some(Err(error)), _) => error.to_string(),
            (None, Some(id)) => return Ok(id),
            (None, None) => "the HSS accepted a registration but sent no user profile".to_string(),
        };
        self.alarm(problem);
        Err(UNUSABLE)
    }

    /// Tells the operator that the HSS sends what cannot be used.
    pub(crate) fn alarm(&mut self, reason: String) {
        self.output.push_back(Decision::Event(Event::Alarm { cause: "user_profile", reason }));
    }
}

pub(crate) fn outcome_of(error: UpdateError) -> Failure {
    match error {
        // RFC 3261 §10.3 step 7 names no code; §12.2.2 answers the same mistake in a dialog with 500.
        UpdateError::OutOfOrder => ("out_of_order", 500, "CSeq Out of Order"),
        UpdateError::TooManyContacts => ("too_many_contacts", 403, "Too Many Contacts"),
    }
}
