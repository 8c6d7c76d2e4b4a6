//! REGISTER (TS 24.229 §5.3.1; spec 4.2 rows 3, 4 and 10; mapping of results: spec 4.4).

use diameter::cx::{self, ResultCode, UserAuthorizationRequest, UserAuthorizationType};
use node::{Origin, ServerKey, Unanswered};
use serde::{Deserialize, Serialize};
use sip::message::Name;
use sip::uri::Scheme;
use sip::{Message, NameAddress, Uri};

use crate::work::{Purpose, Stage, Work};
use crate::{Icscf, choose};

/// What a UAR says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub private_identity: String,
    pub public_identity: String,
    pub visited_network: String,
    pub is_removal: bool,
}

impl Registration {
    pub fn query(&self, is_again: bool) -> cx::Request {
        let authorization_type = match (is_again, self.is_removal) {
            (true, _) => UserAuthorizationType::RegistrationAndCapabilities,
            (false, true) => UserAuthorizationType::DeRegistration,
            (false, false) => UserAuthorizationType::Registration,
        };
        cx::Request::UserAuthorization(UserAuthorizationRequest {
            private_identity: self.private_identity.clone(),
            public_identity: self.public_identity.clone(),
            visited_network: self.visited_network.clone(),
            authorization_type,
        })
    }

    pub fn procedure(&self) -> &'static str {
        if self.is_removal { "de_registration" } else { "registration" }
    }
}

/// Does this answer of an S-CSCF to a REGISTER mean "take another one" (TS 24.229 §5.3.1.3)? A 503 does not: it is
/// alive and tells the device when to come back, and another one would have to take the user over first.
pub(crate) fn has_failed(status: u16, origin: Origin) -> bool {
    origin != Origin::Received || matches!(status, 300..400 | 480)
}

/// The word for a final status.
pub(crate) fn outcome(status: u16) -> &'static str {
    match status {
        200..300 => "ok",
        401 | 407 => "challenged",
        403 => "forbidden",
        404 => "unknown_subscriber",
        408 => "timed_out",
        480 => "unavailable",
        486 | 600 => "busy",
        487 => "cancelled",
        503 => "overloaded",
        504 => "server_timeout",
        603 => "declined",
        500..600 => "server_error",
        _ => "refused",
    }
}

impl Icscf {
    pub(crate) fn start_registration(&mut self, server: ServerKey, request: Message) {
        let (registration, is_ours) = match self.read(&request) {
            Ok(read) => read,
            Err(reason) => return self.respond(server, &request, 400, reason),
        };
        let purpose = Purpose::Registration(registration);
        self.works.insert(server, Work { request, purpose, stage: Stage::Asking, tried: Vec::new() });
        match is_ours {
            true => self.ask(server, Stage::Asking),
            false => self.refuse(server, 403, "This is not the home network of that user", "foreign_domain"),
        }
    }

    /// Reads the identities; and is the Request-URI one of ours?
    fn read(&self, request: &Message) -> Result<(Registration, bool), &'static str> {
        let target = Uri::parse(request.request_uri()).map_err(|_| "The Request-URI cannot be read")?;
        let to = request.to().and_then(|to| to.uri()).ok_or("To is no URI")?;
        if to.scheme == Scheme::Other {
            // RFC 4475 §3.3.5 (unksm2): a registrar knows no such address of record.
            return Err("To is no address of record");
        }
        let public_identity = to.address_of_record();
        let named = request.headers(Name::Authorization).find_map(digest_username);
        let registration = Registration {
            // TS 24.229 §5.3.1.2: without Authorization the private identity is the public one without its scheme.
            private_identity: named.unwrap_or_else(|| without_scheme(&public_identity).to_owned()),
            visited_network: match request.values(Name::PVisitedNetworkId).next() {
                Some(value) => unquoted(value),
                // A P-CSCF always says it; who registers here directly is at home.
                None => self.config.home_domain.clone(),
            },
            is_removal: is_removal(request),
            public_identity,
        };
        Ok((registration, self.is_home(&target) || self.is_own(&target)))
    }

    pub(crate) fn on_authorization(
        &mut self,
        server: ServerKey,
        is_again: bool,
        _registration: &Registration,
        answer: Result<cx::Answer, Unanswered>,
    ) {
        let answer = match answer {
            Ok(cx::Answer::UserAuthorization(answer)) => answer,
            _ if is_again => return self.refuse(server, 504, "The HSS does not answer", "hss_silent"),
            _ => return self.refuse(server, 480, "The HSS does not answer", "hss_silent"),
        };
        match answer.result {
            result if result.is_success() => {
                let named = answer.server_name.into_iter();
                // On the first query a name is an order: the user is there. Capabilities come with it only when asked for.
                let names = match (is_again, named.len()) {
                    (false, 1) => named.collect(),
                    _ => named
                        .chain(choose::candidates(&self.own.servers, answer.capabilities.as_ref()))
                        .collect(),
                };
                self.pursue(server, is_again, names);
            }
            ResultCode::USER_UNKNOWN => {
                self.refuse(server, 403, "This user is not known", "unknown_subscriber")
            }
            ResultCode::IDENTITIES_DONT_MATCH => self.refuse(
                server,
                403,
                "Public and private identity do not belong together",
                "identities_do_not_match",
            ),
            ResultCode::ROAMING_NOT_ALLOWED => {
                self.refuse(server, 403, "Not allowed from this visited network", "roaming_not_allowed")
            }
            ResultCode::AUTHORIZATION_REJECTED => {
                self.refuse(server, 403, "This identity is barred", "barred")
            }
            ResultCode::IDENTITY_NOT_REGISTERED => {
                self.refuse(server, 403, "Not registered", "not_registered")
            }
            _ if is_again => self.refuse(server, 504, "The HSS cannot serve this now", "hss_refuses"),
            _ => self.refuse(server, 480, "The HSS cannot serve this now", "hss_refuses"),
        }
    }
}

/// Do all contacts go (RFC 3261 §10.2.2)?
fn is_removal(request: &Message) -> bool {
    let header = request.number(Name::Expires);
    let mut contacts = request.values(Name::Contact).peekable();
    contacts.peek().is_some()
        && contacts.all(|value| {
            let parameter = NameAddress::parse(value)
                .and_then(|contact| contact.parameters.value("expires"))
                .and_then(|text| text.parse().ok());
            parameter.or(header) == Some(0)
        })
}

fn without_scheme(identity: &str) -> &str {
    identity.split_once(':').map_or(identity, |(_, rest)| rest)
}

fn unquoted(value: &str) -> String {
    let value = value.split(';').next().filter(|_| !value.starts_with('"')).unwrap_or(value).trim();
    match value.strip_prefix('"').and_then(|rest| rest.rfind('"').map(|end| &rest[..end])) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

/// `username` of a Digest Authorization, if it says one.
fn digest_username(value: &str) -> Option<String> {
    let rest = value.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case("Digest")).map(|_| &value[6..])?;
    let mut rest = rest.trim_start();
    // Parameter by parameter, so that `username=` inside another's quotes is not taken for one.
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (text, tail) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = end_of_quoted(quoted)?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if name.trim().eq_ignore_ascii_case("username") {
            return Some(text.trim().replace("\\\"", "\"").replace("\\\\", "\\"))
                .filter(|name| !name.is_empty());
        }
        rest = tail.trim_start().trim_start_matches(',').trim_start();
    }
    None
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, letter)| match letter {
        _ if is_escaped => {
            is_escaped = false;
            None
        }
        '\\' => {
            is_escaped = true;
            None
        }
        '"' => Some(at),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_name_is_found_only_where_it_is_one() {
        let check = |value: &str, expected: Option<&str>| {
            assert_eq!(digest_username(value).as_deref(), expected, "{value}")
        };
        check(r#"Digest username="a@b", realm="r""#, Some("a@b"));
        check(r#"digest realm="x, username=\"y\"" , USERNAME = "a@b""#, Some("a@b"));
        check(r#"Digest username=plain,realm="r""#, Some("plain"));
        check(r#"Digest realm="r""#, None);
        check(r#"Digest username="""#, None);
        check(r#"Digest username="open"#, None);
        check("NoOneKnowsThisScheme opaque-data=here", None);
        check("", None);
    }

    #[test]
    fn a_visited_network_is_read_with_and_without_quotes() {
        assert_eq!(unquoted("ims.example"), "ims.example");
        assert_eq!(unquoted("ims.example;x=y"), "ims.example");
        assert_eq!(unquoted("\"Visited Network; 1\";x"), "Visited Network; 1");
    }

    #[test]
    fn a_silent_or_redirecting_server_is_left_and_a_busy_one_is_not() {
        for (status, origin, expected) in [
            (408, Origin::TimedOut, true),
            (503, Origin::Unreachable, true),
            (302, Origin::Received, true),
            (480, Origin::Received, true),
            (503, Origin::Received, false),
            (403, Origin::Received, false),
            (200, Origin::Received, false),
        ] {
            assert_eq!(has_failed(status, origin), expected, "{status} {origin:?}");
        }
    }
}
