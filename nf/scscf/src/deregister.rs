//! Contacts that go without a REGISTER: expiry, RTR, a dead flow; and the profile that changes under a user (PPR).
//! After each, subscribers are told, timers are set anew, and the HSS learns what it must.

use clock::Instant;
use diameter::cx::{self, DeregistrationReasonCode, ResultCode, ServerAssignmentType};
use node::{Decision, DiameterKey};

use crate::assign::Job;
use crate::contact::{Contact, ContactEvent};
use crate::register::Registrant;
use crate::registrar::SetId;
use crate::text::Text;
use crate::{Scscf, Timer, charging, profile};

impl Scscf {
    /// To be called after every change of a set's contacts.
    pub(crate) fn on_contacts_changed(
        &mut self,
        now: Instant,
        id: SetId,
        departed: Vec<Contact>,
        is_news: bool,
    ) {
        let watchers = self.registrar.set(id).map(|set| set.watchers.clone()).unwrap_or_default();
        if is_news || !departed.is_empty() {
            for watcher in &watchers {
                if let Some(watcher) = self.watchers.find_mut(*watcher) {
                    watcher.remember(&departed);
                }
            }
        }
        match self.registrar.settle(id, &departed) {
            Some(set) => {
                self.timers.set(Timer::Contacts(id), None);
                for watcher in &set.watchers {
                    self.end_subscription(now, *watcher, &set, "noresource");
                }
            }
            None => {
                let next = self.registrar.set(id).and_then(|set| set.next_expiry());
                self.timers.set(Timer::Contacts(id), next);
                if is_news || !departed.is_empty() {
                    for watcher in watchers {
                        self.notify(now, watcher);
                    }
                }
            }
        }
    }

    /// The time of one or more contacts is over: TIMEOUT_DEREGISTRATION for each private identity that has none left.
    pub(crate) fn on_contacts_expired(&mut self, now: Instant, id: SetId) {
        let departed =
            self.registrar.remove_contacts(id, ContactEvent::Expired, |contact| contact.expires_at <= now);
        self.take_leave(now, id, departed, ServerAssignmentType::TimeoutDeregistration);
    }

    /// A P-CSCF said 430: the flow to this contact is gone (RFC 5626 §5.3.1).
    pub(crate) fn on_flow_failed(&mut self, now: Instant, id: SetId, contact: u64) {
        let departed =
            self.registrar.remove_contacts(id, ContactEvent::Unregistered, |each| each.id == contact);
        self.take_leave(now, id, departed, ServerAssignmentType::UserDeregistration);
    }

    fn take_leave(&mut self, now: Instant, id: SetId, departed: Vec<Contact>, last: ServerAssignmentType) {
        let Some(public_identity) = self
            .registrar
            .set(id)
            .and_then(|set| set.default_identity().or(set.identities.first()))
            .map(|identity| identity.uri.clone())
        else {
            return;
        };
        let mut leaving: Vec<_> = departed.iter().map(|contact| contact.private_identity.clone()).collect();
        leaving.sort();
        leaving.dedup();
        self.on_contacts_changed(now, id, departed, true);
        for private_identity in leaving {
            let is_left = self.registrar.set(id).is_some_and(|set| set.has_contact_of(&private_identity));
            let registrant = Registrant { private_identity, public_identity: public_identity.clone() };
            let outcome =
                if last == ServerAssignmentType::TimeoutDeregistration { "expired" } else { "flow_failed" };
            self.event("de_registration", outcome, &registrant.private_identity, "");
            let job = match is_left {
                // Expired contacts carry their wall time: the HSS's memory of them harms nobody.
                true if last == ServerAssignmentType::TimeoutDeregistration => continue,
                true => Job::Store { registrant },
                false => Job::Depart { registrant, assignment_type: last, attempts: 0 },
            };
            self.enqueue(now, job);
        }
    }

    pub(crate) fn handle_diameter_request(&mut self, now: Instant, key: DiameterKey, request: cx::Request) {
        let answer = match request {
            cx::Request::RegistrationTermination(request) => {
                cx::Answer::RegistrationTermination(self.on_registration_termination(now, &request))
            }
            cx::Request::PushProfile(request) => {
                cx::Answer::PushProfile(cx::PushProfileAnswer { result: self.on_push_profile(now, &request) })
            }
            // The other four are the HSS's to answer; the shell lets none through, and there is no answer type for
            // them here.
            cx::Request::UserAuthorization(_) => cx::Answer::UserAuthorization(cx::UserAuthorizationAnswer {
                result: ResultCode::UNABLE_TO_COMPLY,
                server_name: None,
                capabilities: None,
            }),
            cx::Request::LocationInformation(_) => {
                cx::Answer::LocationInformation(cx::LocationInformationAnswer {
                    result: ResultCode::UNABLE_TO_COMPLY,
                    server_name: None,
                    capabilities: None,
                })
            }
            cx::Request::MultimediaAuthentication(_) => {
                cx::Answer::MultimediaAuthentication(cx::MultimediaAuthenticationAnswer {
                    result: ResultCode::UNABLE_TO_COMPLY,
                    private_identity: None,
                    vector: None,
                })
            }
            cx::Request::ServerAssignment(_) => cx::Answer::ServerAssignment(cx::ServerAssignmentAnswer {
                result: ResultCode::UNABLE_TO_COMPLY,
                private_identity: None,
                user_data: None,
                charging: None,
                associated_identities: Vec::new(),
                restoration: Vec::new(),
            }),
        };
        self.output.push_back(Decision::Answer { key, answer });
    }

    /// RTR: the contacts go, subscribers are told, then the HSS (TS 24.229 §5.4.1.5, TS 29.228 §6.1.3). An unknown
    /// user is a success too: what the HSS wants is the case.
    fn on_registration_termination(
        &mut self,
        now: Instant,
        request: &cx::RegistrationTerminationRequest,
    ) -> cx::RegistrationTerminationAnswer {
        let event = match request.reason {
            DeregistrationReasonCode::PermanentTermination | DeregistrationReasonCode::RemoveSCscf => {
                ContactEvent::Rejected
            }
            // The device may register at once, with another server (RFC 3680 §5.1, "deactivated").
            DeregistrationReasonCode::NewServerAssigned | DeregistrationReasonCode::ServerChange => {
                ContactEvent::Deactivated
            }
        };
        self.forget_challenges_of(&request.private_identity);
        let mut sets = self.registrar.sets_of(&request.private_identity);
        if !request.public_identities.is_empty() {
            sets.retain(|id| {
                let identities = self.registrar.set(*id).map_or(&[][..], |set| &set.identities);
                request.public_identities.iter().any(|wanted| {
                    let wanted = sip::Uri::parse(wanted)
                        .map_or_else(|_| wanted.clone(), |uri| uri.address_of_record());
                    identities.iter().any(|identity| *identity.uri == *wanted)
                })
            });
        }
        for id in sets {
            let departed = self
                .registrar
                .remove_contacts(id, event, |contact| *contact.private_identity == *request.private_identity);
            self.on_contacts_changed(now, id, departed, true);
            self.event("de_registration", "by_operator", &request.private_identity, "");
        }
        cx::RegistrationTerminationAnswer { result: ResultCode::SUCCESS, associated_identities: Vec::new() }
    }

    /// PPR: the profile and the charging addresses are replaced (TS 29.228 §6.2.2). Whatever changed, a digest nonce
    /// made of an older password must not outlive it.
    fn on_push_profile(&mut self, now: Instant, request: &cx::PushProfileRequest) -> ResultCode {
        let charging = request.charging.as_ref().and_then(charging::function_addresses).map(Text::from);
        let sets = self.registrar.sets_of(&request.private_identity);
        if sets.is_empty() {
            return ResultCode::USER_UNKNOWN;
        }
        self.forget_challenges_of(&request.private_identity);
        let Some(document) = &request.user_data else {
            for id in sets {
                if let Some(set) = self.registrar.set_mut(id) {
                    set.charging = charging.clone().or(set.charging.take());
                }
            }
            return ResultCode::SUCCESS;
        };
        match profile::parse(document) {
            Ok(profile) if profile.identities.iter().any(|each| self.registrar.find(&each.uri).is_some()) => {
                let id = self.registrar.put_profile(profile.identities, charging);
                self.on_contacts_changed(now, id, Vec::new(), true);
                ResultCode::SUCCESS
            }
            Ok(_) => ResultCode::USER_UNKNOWN,
            Err(error) => {
                self.alarm(error.to_string());
                ResultCode::UNABLE_TO_COMPLY
            }
        }
    }
}
