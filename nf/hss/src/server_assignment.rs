//! SAR: an S-CSCF says what has become of a registration (TS 29.228 §6.1.2), and gets the profile for it.
//!
//! ```text
//!                      REGISTRATION, RE_REGISTRATION
//!   not registered ───────────────────────────────────▶ registered
//!      │   ▲ ▲  ◀────── *_DEREGISTRATION ───────────────  │
//!      │   │ └──── *_DEREGISTRATION ── unregistered ◀─────┘ *_STORE_SERVER_NAME
//!      └───┼── UNREGISTERED_USER ───────▲   │
//!          └────────────────────────────────┘
//! ```
//!
//! One step for a whole implicit set. Repeating a SAR changes nothing and is answered the same, since an S-CSCF that
//! has heard nothing sends it again (RFC 6733 §3, T bit). Another S-CSCF than the assigned one takes over only when
//! authentication is pending there or an I-CSCF has found the assigned one dead (TS 23.380).

use diameter::cx::{self, ResultCode, ServerAssignmentType as Type};
use node::Store;

use crate::database::Durability;
use crate::record::{Registration, State, Subscriber};
use crate::{Hss, Refusal, profile};

/// DIAMETER_AVP_OCCURS_TOO_MANY_TIMES (RFC 6733 §7.1.5).
const AVP_OCCURS_TOO_MANY_TIMES: ResultCode = ResultCode::Base(5009);

/// The most restoration data kept for one implicit set, in bytes: ten contacts with long paths.
const RESTORATION_BYTES_MAX: usize = 32 * 1024;

impl<S: Store> Hss<S> {
    pub(crate) fn server_assignment(&mut self, request: &cx::ServerAssignmentRequest) -> cx::Answer {
        let ended = self.assign(request);
        let identity = request.public_identities.first().or(request.private_identity.as_ref());
        self.report("server_assignment", &identity.cloned().unwrap_or_default(), &ended);
        cx::Answer::ServerAssignment(ended.unwrap_or_else(|refusal| cx::ServerAssignmentAnswer {
            result: refusal.result,
            private_identity: request.private_identity.clone(),
            user_data: None,
            charging: None,
            associated_identities: Vec::new(),
            restoration: Vec::new(),
        }))
    }

    fn assign(
        &mut self,
        request: &cx::ServerAssignmentRequest,
    ) -> Result<cx::ServerAssignmentAnswer, Refusal> {
        let (private_identity, subscriber, sets) = self.subject(request)?;
        let mut registration = self.database.registration(&private_identity)?;
        let is_taken_over = check_server(request, &registration)?;
        let mut answer = cx::ServerAssignmentAnswer {
            result: ResultCode::SUCCESS,
            private_identity: Some(private_identity.clone()),
            user_data: None,
            charging: None,
            associated_identities: Vec::new(),
            restoration: Vec::new(),
        };
        match request.assignment_type {
            Type::Registration | Type::ReRegistration => {
                let set = sets[0];
                registration.states.insert(set, State::Registered);
                registration.assign(&request.server_name);
                self.terminations.on_registered(&private_identity);
                if request.assignment_type == Type::Registration {
                    // An S-CSCF that calls registered devices new has lost them: what it stores now must not make it
                    // forget the devices that have not registered again yet. Unreadable data keep nobody from registering.
                    answer
                        .restoration
                        .extend(self.database.restoration(&private_identity, set).ok().flatten());
                }
                self.keep_restoration(&private_identity, set, request, is_taken_over);
                answer.user_data = self.user_data(request, &private_identity, &subscriber, set);
            }
            Type::NoAssignment | Type::UnregisteredUser => {
                let set = sets[0];
                let restoration = self.database.restoration(&private_identity, set)?;
                if request.assignment_type == Type::UnregisteredUser {
                    // With restoration data the devices are still there, only their S-CSCF was lost: they stay
                    // registered (TS 23.380 §4.3.2). Without any, nobody could reach them.
                    let is_restored =
                        restoration.is_some() && registration.states.get(&set) == Some(&State::Registered);
                    let state = if is_restored { State::Registered } else { State::Unregistered };
                    registration.states.insert(set, state);
                }
                registration.assign(&request.server_name);
                answer.restoration.extend(restoration);
                answer.user_data = self.user_data(request, &private_identity, &subscriber, set);
            }
            Type::TimeoutDeregistration
            | Type::UserDeregistration
            | Type::AdministrativeDeregistration
            | Type::DeregistrationTooMuchData => {
                for set in sets {
                    registration.states.remove(&set);
                    self.database.remove_restoration(&private_identity, set);
                }
                registration.release();
            }
            Type::TimeoutDeregistrationStoreServerName | Type::UserDeregistrationStoreServerName => {
                for set in sets {
                    if let Some(state) = registration.states.get_mut(&set) {
                        *state = State::Unregistered;
                    }
                    self.database.remove_restoration(&private_identity, set);
                }
                registration.release();
            }
            Type::AuthenticationFailure | Type::AuthenticationTimeout => {
                // §6.1.2.1: a registration that was there before stays; only the pending one ends.
                if registration.pending_server.as_deref() == Some(&request.server_name) {
                    registration.pending_server = None;
                }
            }
        }
        let durability = match request.assignment_type {
            // Undoes what was not durable either; who guesses passwords must not be able to wear the disk.
            Type::AuthenticationFailure | Type::AuthenticationTimeout => Durability::Whenever,
            _ => Durability::BeforeAnswer,
        };
        self.database.put_registration(&private_identity, &registration, durability);
        Ok(answer)
    }

    /// Whom the request is about: the subscriber and the numbers of the implicit sets, at least one.
    fn subject(
        &self,
        request: &cx::ServerAssignmentRequest,
    ) -> Result<(String, Subscriber, Vec<u8>), Refusal> {
        let identities = &request.public_identities;
        if identities.len() > 1 && !is_deregistration(request.assignment_type) {
            let detail = "more than one public identity in a request that may name only one";
            return Err(Refusal::new(AVP_OCCURS_TOO_MANY_TIMES, "malformed", detail));
        }
        let private_identity = match (&request.private_identity, identities.first()) {
            (Some(private_identity), _) => private_identity.clone(),
            (None, Some(public_identity)) => self.owner_of(public_identity)?.1,
            (None, None) => {
                let detail = "neither private nor public identity is given";
                return Err(Refusal::new(ResultCode::MISSING_AVP, "malformed", detail));
            }
        };
        let Some(subscriber) = self.database.subscriber(&private_identity)? else {
            return Err(Refusal::unknown("the private identity is not provisioned"));
        };
        let mut sets = Vec::new();
        for public_identity in identities {
            let (_, set) = self.subscriber_of(&private_identity, public_identity)?;
            sets.push(set);
        }
        if sets.is_empty() {
            // No public identity: de-registration means all of them, the rest is about the default one.
            let count = if is_deregistration(request.assignment_type) { usize::MAX } else { 1 };
            sets.extend(
                subscriber.public_identities.iter().map(|identity| identity.implicit_set).take(count),
            );
        }
        if sets.is_empty() {
            return Err(Refusal::unknown("the subscriber has no public identity"));
        }
        Ok((private_identity, subscriber, sets))
    }

    fn user_data(
        &self,
        request: &cx::ServerAssignmentRequest,
        private_identity: &str,
        subscriber: &Subscriber,
        set: u8,
    ) -> Option<bytes::Bytes> {
        (!request.user_data_already_available).then(|| profile::user_data(private_identity, subscriber, set))
    }

    /// GPP-R1: what came replaces what is there. An S-CSCF that sends none keeps what it had sent before, unless the
    /// registration is new or has changed hands: then the old data are another's.
    fn keep_restoration(
        &mut self,
        private_identity: &str,
        set: u8,
        request: &cx::ServerAssignmentRequest,
        is_taken_over: bool,
    ) {
        match &request.restoration {
            Some(restoration) if restoration_bytes(restoration) <= RESTORATION_BYTES_MAX => {
                self.database.put_restoration(private_identity, set, restoration);
            }
            None if request.assignment_type == Type::ReRegistration && !is_taken_over => {}
            // Stale data would send calls to a contact that is gone: worse than none.
            Some(_) | None => self.database.remove_restoration(private_identity, set),
        }
    }
}

impl Registration {
    /// `server_name` serves the subscriber from now on; nothing is pending any more.
    fn assign(&mut self, server_name: &str) {
        self.server_name = Some(server_name.to_owned());
        self.pending_server = None;
        self.is_reassignment_pending = false;
    }

    /// The S-CSCF goes when the last set has lost its state (§6.1.2.1).
    pub(crate) fn release(&mut self) {
        if self.states.is_empty() {
            self.server_name = None;
            self.is_reassignment_pending = false;
        }
    }
}

/// May this S-CSCF speak for the subscriber? Says whether it takes over from another one.
fn check_server(request: &cx::ServerAssignmentRequest, registration: &Registration) -> Result<bool, Refusal> {
    let is_pending_here = registration.pending_server.as_deref() == Some(&request.server_name);
    let mismatch =
        |result| Refusal::new(result, "other_server", "another S-CSCF is assigned to the subscriber");
    match (&registration.server_name, request.assignment_type) {
        (Some(assigned), _) if *assigned == request.server_name => Ok(false),
        (_, Type::AuthenticationFailure | Type::AuthenticationTimeout) => Ok(false),
        // Nobody is assigned. Who has a profile without being assigned got it by mistake (§6.1.2.1); whoever ends a
        // registration that has ended already is repeating itself.
        (None, Type::NoAssignment) => {
            let detail = "no S-CSCF is assigned to the subscriber";
            Err(Refusal::new(ResultCode::UNABLE_TO_COMPLY, "not_registered", detail))
        }
        (None, _) => Ok(false),
        (
            Some(_),
            Type::Registration | Type::ReRegistration | Type::UnregisteredUser | Type::NoAssignment,
        ) if registration.is_reassignment_pending => Ok(true),
        (Some(_), Type::Registration | Type::ReRegistration) if is_pending_here => Ok(true),
        (Some(_), Type::Registration | Type::ReRegistration | Type::UnregisteredUser) => {
            Err(mismatch(ResultCode::IDENTITY_ALREADY_REGISTERED))
        }
        (Some(_), _) => Err(mismatch(ResultCode::UNABLE_TO_COMPLY)),
    }
}

fn is_deregistration(kind: Type) -> bool {
    match kind {
        Type::TimeoutDeregistration
        | Type::UserDeregistration
        | Type::TimeoutDeregistrationStoreServerName
        | Type::UserDeregistrationStoreServerName
        | Type::AdministrativeDeregistration
        | Type::DeregistrationTooMuchData => true,
        Type::NoAssignment
        | Type::Registration
        | Type::ReRegistration
        | Type::UnregisteredUser
        | Type::AuthenticationFailure
        | Type::AuthenticationTimeout => false,
    }
}

fn restoration_bytes(restoration: &cx::ScscfRestorationInfo) -> usize {
    let subscription = |info: &cx::SubscriptionInfo| {
        info.call_id.len() + info.from.len() + info.to.len() + info.record_route.len() + info.contact.len()
    };
    let contact = |contact: &cx::RestorationInfo| {
        contact.path.len() + contact.contact.len() + contact.subscription.as_ref().map_or(0, subscription)
    };
    restoration.contacts.iter().map(contact).sum()
}
