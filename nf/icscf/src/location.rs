//! Requests for one of our users (TS 24.229 §5.3.2; spec 4.3.1 row "I term"): LIR, then the S-CSCF in a Route, the
//! Request-URI unchanged.

use diameter::cx::{self, LocationInformationRequest, ResultCode};
use node::{Origin, ServerKey, Unanswered};
use serde::{Deserialize, Serialize};
use sip::uri::Scheme;
use sip::{Message, Method, Uri};

use crate::work::{Purpose, Stage, Work};
use crate::{Icscf, choose};

/// What an LIR says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Location {
    pub public_identity: String,
    /// The number in a SIP URI as a `tel` URI: asked for when the SIP URI is unknown (TS 24.229 §5.3.2.1: `user=phone`).
    pub number: Option<String>,
}

impl Location {
    pub fn query(&self, is_again: bool) -> cx::Request {
        cx::Request::LocationInformation(LocationInformationRequest {
            public_identity: self.public_identity.clone(),
            originating: false,
            with_capabilities: is_again,
        })
    }
}

/// The name under which requests of a method are counted.
pub(crate) fn procedure(method: Method<'_>) -> &'static str {
    match method {
        Method::Invite => "call",
        Method::Message => "message",
        Method::Subscribe => "subscription",
        _ => "other",
    }
}

/// Is the S-CSCF lost, so that another one may take the user over? An INVITE that nobody has said a word about; for
/// anything else silence may be the device's own, and only an unreachable server tells.
pub(crate) fn has_failed(method: Method<'_>, is_alive: bool, origin: Origin) -> bool {
    match origin {
        Origin::Received => false,
        Origin::Unreachable => true,
        Origin::TimedOut => method == Method::Invite && !is_alive,
    }
}

impl Icscf {
    pub(crate) fn start_location(&mut self, server: ServerKey, request: Message) {
        let location = match self.locate(&request) {
            Ok(location) => location,
            Err((status, reason)) => return self.respond(server, &request, status, reason),
        };
        let purpose = Purpose::Location(location);
        self.works.insert(server, Work { request, purpose, stage: Stage::Asking, tried: Vec::new() });
        self.ask(server, Stage::Asking);
    }

    /// Whom the request is for, or its answer.
    fn locate(&self, request: &Message) -> Result<Location, (u16, &'static str)> {
        let uri = Uri::parse(request.request_uri()).map_err(|_| (400, "The Request-URI cannot be read"))?;
        match uri.scheme {
            Scheme::Other => Err((416, "Unsupported URI Scheme")),
            Scheme::Tel => Ok(Location { public_identity: uri.address_of_record(), number: None }),
            Scheme::Sip | Scheme::Sips if self.is_home(&uri) && uri.user.is_some() => {
                let user = uri.user.filter(|user| is_global_number(user));
                let number = user.and_then(|user| {
                    let tel = format!("tel:{user}");
                    Uri::parse(&tel).ok().map(|tel| tel.address_of_record())
                });
                Ok(Location { public_identity: uri.address_of_record(), number })
            }
            _ if self.is_home(&uri) || self.is_own(&uri) => match (request.method(), uri.user) {
                (Method::Options, None) => Err((200, "OK")),
                _ => Err((404, "Not Found")),
            },
            _ => Err((403, "This is not the home network of that user")),
        }
    }

    pub(crate) fn on_location(
        &mut self,
        server: ServerKey,
        is_again: bool,
        location: &Location,
        answer: Result<cx::Answer, Unanswered>,
    ) {
        let answer = match answer {
            Ok(cx::Answer::LocationInformation(answer)) => answer,
            _ if is_again => return self.refuse(server, 504, "The HSS does not answer", "hss_silent"),
            _ => return self.refuse(server, 480, "The HSS does not answer", "hss_silent"),
        };
        match answer.result {
            result if result.is_success() => {
                let named = answer.server_name.into_iter();
                let names = match (is_again, named.len()) {
                    (false, 1) => named.collect(),
                    _ => named
                        .chain(choose::candidates(&self.own.servers, answer.capabilities.as_ref()))
                        .collect(),
                };
                self.pursue(server, is_again, names);
            }
            ResultCode::USER_UNKNOWN => match location.number.clone() {
                Some(number) => self.ask_for_number(server, number),
                None => self.refuse(server, 404, "Not Found", "unknown_subscriber"),
            },
            ResultCode::IDENTITY_NOT_REGISTERED => {
                self.refuse(server, 480, "Not registered", "not_registered")
            }
            _ if is_again => self.refuse(server, 504, "The HSS cannot serve this now", "hss_refuses"),
            _ => self.refuse(server, 480, "The HSS cannot serve this now", "hss_refuses"),
        }
    }

    fn ask_for_number(&mut self, server: ServerKey, number: String) {
        if let Some(work) = self.works.get_mut(&server) {
            work.purpose = Purpose::Location(Location { public_identity: number, number: None });
        }
        self.ask(server, Stage::Asking);
    }
}

fn is_global_number(user: &str) -> bool {
    let digits = user.split(';').next().unwrap_or("").strip_prefix('+').unwrap_or("");
    !digits.is_empty() && digits.chars().all(|letter| letter.is_ascii_digit() || "-.()".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_with_a_plus_is_global() {
        for (user, expected) in
            [("+15551234", true), ("+1-555-1234", true), ("112", false), ("+", false), ("+alice", false)]
        {
            assert_eq!(is_global_number(user), expected, "{user}");
        }
    }

    #[test]
    fn a_ringing_call_never_goes_to_a_second_server() {
        assert!(has_failed(Method::Invite, false, Origin::TimedOut));
        assert!(!has_failed(Method::Invite, true, Origin::TimedOut));
        assert!(!has_failed(Method::Message, false, Origin::TimedOut));
        assert!(has_failed(Method::Message, false, Origin::Unreachable));
    }
}
