//! Operators' commands: `registration.list`.
//!
//! `{"after": "12", "limit": 100, "publicIdentity": "sip:…"}` (all optional) gives
//! `{"total": n, "registrations": [...], "next": "112"}`; `next` is absent on the last page.

use bytes::Bytes;
use clock::Instant;
use node::{CommandKey, Decision};
use serde::{Deserialize, Serialize};

use crate::Scscf;
use crate::registrar::{RegistrationSet, SetId};

/// Most sets on one page, which is also the default.
const LIMIT_MAX: usize = 1000;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
    public_identity: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    total: usize,
    registrations: Vec<Registration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    public_identities: Vec<String>,
    contacts: Vec<ContactView>,
    subscriptions: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContactView {
    private_identity: String,
    uri: String,
    path: String,
    expires_in_seconds: u64,
}

impl Scscf {
    pub(crate) fn handle_command(&mut self, now: Instant, key: CommandKey, name: &str, body: &Bytes) {
        let result = match name {
            "registration.list" => self.list(now, body),
            _ => Err(format!("the S-CSCF has no command `{name}`; it has `registration.list`")),
        };
        self.output.push_back(Decision::CommandResult { key, result });
    }

    fn list(&self, now: Instant, body: &Bytes) -> Result<Bytes, String> {
        let query: ListQuery = match body.is_empty() {
            true => ListQuery::default(),
            false => serde_json::from_slice(body).map_err(|error| format!("registration.list: {error}"))?,
        };
        let after = match query.after.as_deref().map(str::parse) {
            None => None,
            Some(Ok(number)) => Some(SetId(number)),
            Some(Err(_)) => return Err("after: not a value that an earlier page gave as `next`".into()),
        };
        let limit = query.limit.unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX);
        let total = self.registrar.len();
        let (found, next): (Vec<_>, _) = match &query.public_identity {
            Some(identity) => {
                let address = sip::Uri::parse(identity)
                    .map_err(|error| format!("publicIdentity: {error}"))?
                    .address_of_record();
                let set = self.registrar.find(&address).and_then(|id| self.registrar.set(id));
                (set.into_iter().map(|set| view(set, now)).collect(), None)
            }
            None => {
                let mut sets = self.registrar.iter_after(after);
                let mut last = None;
                let page = sets.by_ref().take(limit).inspect(|(id, _)| last = Some(*id));
                let page = page.map(|(_, set)| view(set, now)).collect();
                (page, sets.next().and(last).map(|id: SetId| id.0.to_string()))
            }
        };
        let page = Page { total, registrations: found, next };
        serde_json::to_vec(&page).map(Bytes::from).map_err(|error| error.to_string())
    }
}

fn view(set: &RegistrationSet, now: Instant) -> Registration {
    Registration {
        public_identities: set.identities.iter().map(|identity| identity.uri.to_string()).collect(),
        contacts: set
            .contacts
            .iter()
            .map(|contact| ContactView {
                private_identity: contact.private_identity.to_string(),
                uri: contact.uri().to_string(),
                path: contact.path.to_string(),
                expires_in_seconds: contact.seconds_left(now),
            })
            .collect(),
        subscriptions: set.watchers.len(),
    }
}
