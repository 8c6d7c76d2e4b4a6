//! REGISTER, from its arrival to the decision: challenge, refuse, or carry out (TS 24.229 §5.4.1, RFC 3261 §10.3).
//!
//! It never changes a registration: [`crate::assign`] does, once the HSS agrees.

use clock::Instant;
use node::ServerKey;
use serde::{Deserialize, Serialize};
use sip::uri::Scheme;
use sip::{Message, Name};

use crate::Scscf;
use crate::assign::{Job, Registering};
use crate::authenticate::{Reason, Wanted};
use crate::contact::{Bounds, ContactError, changes_of};
use crate::registrar::Update;
use crate::text::Text;

/// Extensions that the registrar understands in Require; any other is answered with 420.
const EXTENSIONS: [&str; 3] = ["path", "outbound", "gruu"];

/// Whose registration a REGISTER is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Registrant {
    /// The user name of the credentials; without any, the public identity without its scheme (TS 24.229 §5.3.1.2).
    pub private_identity: Text,
    /// The canonical public identity of To.
    pub public_identity: Text,
}

impl Scscf {
    pub(crate) fn handle_register(&mut self, now: Instant, server: ServerKey, request: Message) {
        if self.is_stopping {
            return self.refuse(server, &request, 503, "Service Unavailable");
        }
        let unknown = request
            .values(Name::Require)
            .filter(|token| !EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(token)))
            .collect::<Vec<_>>()
            .join(", ");
        if !unknown.is_empty() {
            let mut response = self.response(&request, 420, "Bad Extension");
            response.push_back(Name::Unsupported, unknown);
            return self.respond(server, response);
        }
        let Some(registrant) = self.registrant(&request) else {
            return self.refuse(server, &request, 400, "To Is Not an Address of Record");
        };
        // RFC 3327 §5.3: a device behind a proxy that asked for Path would be registered unreachably without it.
        if request.values(Name::Path).next().is_none() && !request.has_token(Name::Supported, "path") {
            let mut response = self.response(&request, 421, "Extension Required");
            response.push_back(Name::Require, "path");
            return self.respond(server, response);
        }
        let update = match self.update_of(&request, &registrant) {
            Ok(update) => update,
            Err(ContactError::Malformed(reason)) => return self.refuse(server, &request, 400, reason),
            Err(ContactError::TooBrief) => {
                let mut response = self.response(&request, 423, "Interval Too Brief");
                response.push_back(Name::MinExpires, self.settings.registration_seconds_min.to_string());
                return self.respond(server, response);
            }
        };
        match self.authenticate(now, &request, &registrant) {
            Verdict::Granted { authentication_info } => {
                let is_repeated = false;
                let registering =
                    Registering { server, request, registrant, update, authentication_info, is_repeated };
                self.enqueue(now, Job::Register(Box::new(registering)));
            }
            Verdict::Challenge { reason, failures } => {
                self.want_vector(Wanted { server, request, registrant, failures, reason });
            }
            Verdict::Refused { outcome, reason } => {
                self.event("registration", outcome, &registrant.private_identity, reason);
                self.refuse(server, &request, 403, "Forbidden");
            }
        }
    }

    fn registrant(&self, request: &Message) -> Option<Registrant> {
        let to = request.to()?;
        let uri = to.uri()?;
        if uri.scheme == Scheme::Other || (uri.scheme != Scheme::Tel && uri.user.is_none_or(str::is_empty)) {
            return None;
        }
        let public_identity = uri.address_of_record();
        let bare = public_identity.split_once(':').map_or("", |(_, rest)| rest);
        let private_identity = crate::challenge::credentials_of(request, &self.own.home_domain)
            .map(|credentials| credentials.username.to_string())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| bare.to_string());
        Some(Registrant {
            private_identity: private_identity.into(),
            public_identity: public_identity.into(),
        })
    }

    fn update_of(&self, request: &Message, registrant: &Registrant) -> Result<Update, ContactError> {
        let bounds = Bounds {
            seconds_min: self.settings.registration_seconds_min,
            seconds_max: self.settings.registration_seconds_max,
        };
        Ok(Update {
            private_identity: registrant.private_identity.clone(),
            path: request.values(Name::Path).collect::<Vec<_>>().join(", ").into(),
            call_id: request.call_id().into(),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
            changes: changes_of(request, bounds)?,
        })
    }
}

/// What to do with a REGISTER, as far as its credentials say.
pub(crate) enum Verdict {
    /// It is who it says; for digest, what Authentication-Info says.
    Granted {
        /// The value of Authentication-Info.
        authentication_info: Option<String>,
    },
    /// Ask for a vector and challenge.
    Challenge {
        /// Why.
        reason: Reason,
        /// How many wrong answers in a row went before.
        failures: u8,
    },
    /// 403.
    Refused {
        /// The word for the counter.
        outcome: &'static str,
        /// The sentence.
        reason: &'static str,
    },
}
