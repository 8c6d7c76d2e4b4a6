//! The operator's commands: JSON in, JSON or a sentence out. The documents are in [`crate::provisioning`].
//!
//! | command | takes | gives |
//! |---|---|---|
//! | `subscriber.put` | a list of `Record`, at most 10,000 | `PutResult`; all are taken or none |
//! | `subscriber.owners` | a list of public identities, at most 640,000 | for each the private identity it belongs to, or null |
//! | `subscriber.get` | `Selector` | `View` |
//! | `subscriber.list` | `ListRequest` | `Page` |
//! | `subscriber.count` | nothing | `Count` |
//! | `subscriber.deregister` | `DeregisterRequest` | `TerminationResult`, after the S-CSCF has answered |
//! | `subscriber.remove` | `Selector` | `TerminationResult`, likewise |
//! | `subscriber.check` | `CheckRequest` | `CheckResult` |
//! | `sequence.jump` | `JumpRequest` | `JumpResult` |
//!
//! # After a restore
//! A backup knows nothing of the SQNs used since. `sequence.jump` raises SEQ of all subscribers by 2²⁰ (or as told) plus 16
//! for each second since the last jump or the making of the store, modulo 2²⁶: so that restoring one backup twice does
//! not arrive at the same numbers twice. It stays well below the 2²⁸ that a SIM accepts at once (TS 33.102 §C.3.2).

use bytes::Bytes;
use clock::Instant;
use node::{CommandKey, Decision, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::multimedia_authentication::{FIELD_AKA, FIELD_DIGEST};
use crate::provisioning::{
    Checked, Count, DeregisterRequest, JUMP_DEFAULT, JUMP_MAX, JumpRequest, JumpResult, ListRequest,
    PAGE_MAX, PUBLIC_IDENTITIES_MAX, Page, PublicIdentityView, PutResult, RECORDS_MAX, Record,
    RegistrationState, Selector, View,
};
use crate::record::{State, Subscriber};
use crate::schema::{meta, table};
use crate::termination::Purpose;
use crate::{Hss, identity};

/// SEQ values a second that a jump leaves room for since the one before.
const JUMP_PER_SECOND: u64 = 16;
/// What the time since the last jump adds starts again here: 48 days. Cut off instead, it would be the same for all
/// later restores.
const JUMP_ELAPSED_MODULUS: u64 = 1 << 26;

const COMMANDS: &str = "subscriber.put, subscriber.owners, subscriber.get, subscriber.list, subscriber.count, \
                        subscriber.deregister, subscriber.remove, subscriber.check, sequence.jump";

/// A document that leaves.
pub(crate) fn document(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("documents are structs of texts, numbers and lists").into()
}

/// A document that came; nothing at all is the empty one.
pub(crate) fn read<T: DeserializeOwned>(name: &str, body: &[u8]) -> Result<T, String> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| format!("{name}: the document cannot be read: {error}"))
}

impl<S: Store> Hss<S> {
    pub(crate) fn on_command(&mut self, now: Instant, key: CommandKey, name: &str, body: &[u8]) {
        let result = match name {
            "subscriber.put" => self.put(body).map(|result| Some(document(&result))),
            "subscriber.owners" => self.owners(body).map(|owners| Some(document(&owners))),
            "subscriber.get" => self.get(body).map(|view| Some(document(&view))),
            "subscriber.list" => self.list(body).map(|page| Some(document(&page))),
            "subscriber.count" => Ok(Some(document(&Count {
                subscribers: self.database.subscribers(),
                registered: self.database.registered(),
            }))),
            "subscriber.deregister" => self.deregister(key, body).map(|()| None),
            "subscriber.remove" => self.remove(key, body).map(|()| None),
            "subscriber.check" => self.check(body).map(|result| Some(document(&result))),
            "sequence.jump" => self.jump(now, body).map(|result| Some(document(&result))),
            _ => Err(format!("the HSS knows no command `{name}`; it knows {COMMANDS}")),
        };
        match result {
            Ok(Some(document)) => self.command_result(key, Ok(document)),
            // The result follows when the S-CSCF has answered.
            Ok(None) => {}
            Err(sentence) => self.command_result(key, Err(sentence)),
        }
    }

    pub(crate) fn command_result(&mut self, key: CommandKey, result: Result<Bytes, String>) {
        self.commit_if_needed();
        self.outgoing.push_back(Decision::CommandResult { key, result });
    }

    /// Judges all records before it writes the first.
    fn put(&mut self, body: &[u8]) -> Result<PutResult, String> {
        let documents: Vec<serde_json::Value> = serde_json::from_slice(body)
            .map_err(|error| format!("subscriber.put: a list of subscribers is needed: {error}"))?;
        if documents.len() > RECORDS_MAX {
            return Err(format!(
                "subscriber.put: {} subscribers given, at most {RECORDS_MAX} are taken at once; send several requests",
                documents.len()
            ));
        }
        let mut checked = Vec::with_capacity(documents.len());
        let mut owners = std::collections::BTreeMap::new();
        let mut subscribers = std::collections::BTreeMap::new();
        for (position, document) in documents.into_iter().enumerate() {
            let judged = self.judge(document).map_err(|reason| format!("subscriber {position}, {reason}"))?;
            if let Some(earlier) = subscribers.insert(judged.0.private_identity.clone(), position) {
                return Err(format!(
                    "subscriber {position}, privateIdentity: subscriber {earlier} has the same one; give it once"
                ));
            }
            for (index, identity) in judged.0.public_identities.iter().enumerate() {
                if let Some(earlier) = owners.insert(identity.uri.clone(), position) {
                    return Err(format!(
                        "subscriber {position}, publicIdentities[{index}].uri: subscriber {earlier} has the same one; \
                         give it to one of them"
                    ));
                }
            }
            checked.push(judged);
        }
        let mut result = PutResult::default();
        for (judged, record) in checked {
            if self.put_one(judged, &record) {
                result.replaced += 1;
            } else {
                result.added += 1;
            }
        }
        Ok(result)
    }

    /// Whom each public identity belongs to: what an import asks before it writes anything.
    fn owners(&self, body: &[u8]) -> Result<Vec<Option<String>>, String> {
        let asked: Vec<String> = read("subscriber.owners", body)?;
        let most = RECORDS_MAX * PUBLIC_IDENTITIES_MAX;
        if asked.len() > most {
            return Err(format!(
                "subscriber.owners: {} identities given, at most {most} are possible",
                asked.len()
            ));
        }
        let owner = |uri: String| self.database.owner(&identity::canonical(&uri).ok()?);
        Ok(asked.into_iter().map(owner).collect())
    }

    fn judge(&self, document: serde_json::Value) -> Result<(Checked, Record), String> {
        let record: Record = serde_json::from_value(document).map_err(|error| error.to_string())?;
        let checked = record.judge(&self.policy.home_domain).map_err(|error| error.to_string())?;
        for (index, identity) in checked.public_identities.iter().enumerate() {
            if let Some(owner) =
                self.database.owner(&identity.uri).filter(|owner| *owner != checked.private_identity)
            {
                return Err(format!(
                    "publicIdentities[{index}].uri: it belongs to the subscriber {owner}; take it away there first"
                ));
            }
        }
        Ok((checked, record))
    }

    /// Says whether it replaced a subscriber.
    fn put_one(&mut self, checked: Checked, record: &Record) -> bool {
        let private_identity = checked.private_identity;
        let mut seal = |field, secret: Vec<u8>| self.vault.seal(&private_identity, field, &secret);
        let subscriber = Subscriber {
            aka: checked.aka.map(|aka| seal(FIELD_AKA, aka.encode())),
            digest: checked.digest.map(|digest| seal(FIELD_DIGEST, digest.encode())),
            public_identities: checked.public_identities,
            has_unregistered_services: record.unregistered_services,
            mandatory_capabilities: record.mandatory_capabilities.clone(),
            optional_capabilities: record.optional_capabilities.clone(),
        };
        let old = self.database.put_subscriber(&private_identity, &subscriber);
        if let Some(used) = checked.sequence_used {
            self.sequence.raise_above(&mut self.database, &private_identity, used);
        }
        let Some(old) = old else { return false };
        let sets: Vec<u8> =
            subscriber.public_identities.iter().map(|identity| identity.implicit_set).collect();
        let is_served = self.forget_missing_sets(&private_identity, &sets);
        if is_served && old.public_identities != subscriber.public_identities {
            self.push_profile(private_identity);
        }
        true
    }

    fn get(&self, body: &[u8]) -> Result<View, String> {
        let selector: Selector = read("subscriber.get", body)?;
        let private_identity = self.select(selector.private_identity, selector.public_identity)?;
        match self.database.subscriber(&private_identity) {
            Ok(Some(subscriber)) => Ok(self.view(private_identity, &subscriber)),
            Ok(None) => Err(format!("there is no subscriber {private_identity}")),
            Err(_) => Err(format!("the record of {private_identity} is damaged; provision it again")),
        }
    }

    fn list(&self, body: &[u8]) -> Result<Page, String> {
        let request: ListRequest = read("subscriber.list", body)?;
        let limit = request.limit.unwrap_or(PAGE_MAX);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(format!("subscriber.list, limit: {limit} given, 1 to {PAGE_MAX} are possible"));
        }
        // The key after `after`: no key lies between it and itself with a zero byte.
        let from = request.after.map(|after| [after.as_bytes(), b"\0"].concat()).unwrap_or_default();
        let mut found = Vec::new();
        let mut is_more = false;
        self.database.store.scan(table::SUBSCRIBER, &from, &mut |key, value| {
            is_more = found.len() == limit;
            if !is_more {
                let subscriber = Subscriber::decode(value).unwrap_or_default();
                found.push((String::from_utf8_lossy(key).into_owned(), subscriber));
            }
            !is_more
        });
        let next = is_more.then(|| found.last().map(|(key, _)| key.clone())).flatten();
        let subscribers = found.into_iter().map(|(key, subscriber)| self.view(key, &subscriber)).collect();
        Ok(Page { subscribers, next })
    }

    fn view(&self, private_identity: String, subscriber: &Subscriber) -> View {
        let registration = self.database.registration(&private_identity).unwrap_or_default();
        let state = |set| match registration.states.get(&set) {
            None => RegistrationState::NotRegistered,
            Some(State::Registered) => RegistrationState::Registered,
            Some(State::Unregistered) => RegistrationState::Unregistered,
        };
        View {
            public_identities: subscriber
                .public_identities
                .iter()
                .map(|identity| PublicIdentityView {
                    uri: identity.uri.clone(),
                    barred: identity.is_barred,
                    implicit_set: identity.implicit_set,
                    state: state(identity.implicit_set),
                })
                .collect(),
            has_aka: subscriber.aka.is_some(),
            has_digest: subscriber.digest.is_some(),
            unregistered_services: subscriber.has_unregistered_services,
            server_name: registration.server_name.clone(),
            private_identity,
        }
    }

    fn deregister(&mut self, key: CommandKey, body: &[u8]) -> Result<(), String> {
        let request: DeregisterRequest = read("subscriber.deregister", body)?;
        let private_identity = self.select(request.private_identity, request.public_identity)?;
        self.terminate(key, private_identity, Purpose::Deregister, request.reason)
    }

    fn remove(&mut self, key: CommandKey, body: &[u8]) -> Result<(), String> {
        let selector: Selector = read("subscriber.remove", body)?;
        let private_identity = self.select(selector.private_identity, selector.public_identity)?;
        self.terminate(key, private_identity, Purpose::Remove, Some("the subscription has ended".into()))
    }

    /// The private identity of an existing subscriber.
    pub(crate) fn select(
        &self,
        private_identity: Option<String>,
        public_identity: Option<String>,
    ) -> Result<String, String> {
        let (private_identity, asked) = match (private_identity, public_identity) {
            (Some(private_identity), None) => (Some(private_identity.clone()), private_identity),
            (None, Some(public_identity)) => {
                let uri = identity::canonical(&public_identity).map_err(|reason| {
                    format!("publicIdentity: {reason}; write it as sip:user@domain or tel:+number")
                })?;
                (self.database.owner(&uri), public_identity)
            }
            _ => return Err("give either privateIdentity or publicIdentity, and not both".into()),
        };
        private_identity
            .filter(|found| self.database.store.read(table::SUBSCRIBER, found.as_bytes()).is_some())
            .ok_or_else(|| format!("there is no subscriber {asked}"))
    }

    fn jump(&mut self, now: Instant, body: &[u8]) -> Result<JumpResult, String> {
        let request: JumpRequest = read("sequence.jump", body)?;
        let by = request.by.unwrap_or(JUMP_DEFAULT);
        if by > JUMP_MAX {
            return Err(format!(
                "sequence.jump, by: {by} given, at most {JUMP_MAX} is possible: a SIM refuses more"
            ));
        }
        let wall_seconds = self.wall.at(now).0 / 1_000_000;
        let elapsed = wall_seconds.saturating_sub(self.database.number(meta::SEQUENCE_JUMPED));
        let by = by + elapsed.saturating_mul(JUMP_PER_SECOND) % JUMP_ELAPSED_MODULUS;
        let offset = self.sequence.jump(&mut self.database, by).map_err(|error| error.to_string())?;
        self.database.set_number(meta::SEQUENCE_JUMPED, wall_seconds);
        Ok(JumpResult { offset })
    }
}
