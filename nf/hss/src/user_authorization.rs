//! UAR: may this user register from here, and which S-CSCF is theirs (TS 29.228 §6.1.1)?
//!
//! The order of the checks is the standard's: identities exist, belong together, are not barred, roam where they may; then
//! the registration state decides. It writes nothing but the mark that a reassignment is expected.

use diameter::cx::{self, ResultCode, UserAuthorizationType};
use node::Store;

use crate::record::{Registration, Subscriber};
use crate::{Hss, Policy, Refusal};

impl<S: Store> Hss<S> {
    pub(crate) fn user_authorization(&mut self, request: &cx::UserAuthorizationRequest) -> cx::Answer {
        let ended = self.authorize(request);
        self.report("user_authorization", &request.public_identity, &ended);
        cx::Answer::UserAuthorization(ended.unwrap_or_else(|refusal| cx::UserAuthorizationAnswer {
            result: refusal.result,
            server_name: None,
            capabilities: None,
        }))
    }

    fn authorize(
        &mut self,
        request: &cx::UserAuthorizationRequest,
    ) -> Result<cx::UserAuthorizationAnswer, Refusal> {
        let private_identity = self.registrant(&request.private_identity, &request.public_identity);
        let (subscriber, set) = self.subscriber_of(&private_identity, &request.public_identity)?;
        check_barring(&subscriber, set)?;
        // §6.1.1.1: who leaves is let go from anywhere.
        if request.authorization_type != UserAuthorizationType::DeRegistration {
            self.policy.check_roaming(&request.visited_network)?;
        }
        let registration = self.database.registration(&private_identity)?;
        let mut answer = decide(request.authorization_type, set, &registration)?;
        let is_asked = request.authorization_type == UserAuthorizationType::RegistrationAndCapabilities;
        if is_asked || answer.server_name.is_none() {
            answer.capabilities = Some(self.capabilities(&subscriber));
        }
        if is_asked {
            self.expect_reassignment(&private_identity, registration);
        }
        Ok(answer)
    }
}

/// A barred identity may register only when another of its implicit set is not barred.
fn check_barring(subscriber: &Subscriber, set: u8) -> Result<(), Refusal> {
    if subscriber.set(set).all(|identity| identity.is_barred) {
        let detail = "all public identities of the implicit set are barred";
        return Err(Refusal::new(ResultCode::AUTHORIZATION_REJECTED, "barred", detail));
    }
    Ok(())
}

impl Policy {
    /// The home network is always allowed.
    fn check_roaming(&self, visited_network: &str) -> Result<(), Refusal> {
        // P-Visited-Network-ID may come quoted (RFC 7315 §4.3).
        let visited = visited_network.trim().trim_matches('"');
        let is_allowed = self.visited_networks_allowed.is_empty()
            || visited.eq_ignore_ascii_case(&self.home_domain)
            || self.visited_networks_allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(visited));
        if is_allowed {
            return Ok(());
        }
        let detail = format!("roaming in `{visited}` is not allowed; see hss.visitedNetworksAllowed");
        Err(Refusal::new(ResultCode::ROAMING_NOT_ALLOWED, "roaming_not_allowed", detail))
    }
}

/// The table of TS 29.228 §6.1.1.1 by registration state.
fn decide(
    kind: UserAuthorizationType,
    set: u8,
    registration: &Registration,
) -> Result<cx::UserAuthorizationAnswer, Refusal> {
    let answer =
        |result, server_name| cx::UserAuthorizationAnswer { result, server_name, capabilities: None };
    let has_state = registration.states.contains_key(&set);
    match kind {
        // Registered or unregistered: plain success with the name, as the standard has it for this type.
        UserAuthorizationType::DeRegistration if has_state => {
            Ok(answer(ResultCode::SUCCESS, registration.server_name.clone()))
        }
        UserAuthorizationType::DeRegistration => Err(Refusal::new(
            ResultCode::IDENTITY_NOT_REGISTERED,
            "not_registered",
            "there is no registration to end",
        )),
        UserAuthorizationType::Registration | UserAuthorizationType::RegistrationAndCapabilities => {
            // The S-CSCF where authentication is pending comes first: the second REGISTER belongs there, also when
            // another one, found dead meanwhile, is still assigned. Then the one that serves the subscription.
            match registration.pending_server.as_ref().or(registration.server_name.as_ref()) {
                Some(name) => Ok(answer(ResultCode::SUBSEQUENT_REGISTRATION, Some(name.clone()))),
                None => Ok(answer(ResultCode::FIRST_REGISTRATION, None)),
            }
        }
    }
}
