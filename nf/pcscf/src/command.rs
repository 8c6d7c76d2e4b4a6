//! Commands of an operator.

use bytes::Bytes;
use clock::Instant;
use node::{CommandKey, Decision, Store};
use serde::Serialize;

use crate::Pcscf;

/// Registrations one answer lists at most.
const LISTED_MAX: usize = 10_000;

/// One registration, for people and scripts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    identity: &'a str,
    identities: &'a [String],
    contact: &'a str,
    transport: node::Transport,
    remote: std::net::SocketAddr,
    service_route: &'a [String],
    expires_seconds: u64,
}

impl<S: Store> Pcscf<S> {
    pub(crate) fn on_command(&mut self, now: Instant, key: CommandKey, name: &str, _body: &Bytes) {
        let result = match name {
            "registration.list" => self.registrations(now),
            _ => Err(format!("a P-CSCF knows no command {name:?}: it knows registration.list")),
        };
        self.output.push_back(Decision::CommandResult { key, result });
    }

    /// A list of objects; the document says so itself when it is not complete.
    fn registrations(&self, now: Instant) -> Result<Bytes, String> {
        let wall = self.bindings.wall_at(now);
        let listed = self.bindings.iter().take(LISTED_MAX).map(|(_, binding)| Listed {
            identity: &binding.identity,
            identities: &binding.identities,
            contact: &binding.contact,
            transport: binding.flow.transport,
            remote: binding.flow.remote,
            service_route: &binding.service_route,
            expires_seconds: binding.expires.0.saturating_sub(wall.0) / 1_000_000,
        });
        #[derive(Serialize)]
        struct Document<'a> {
            count: usize,
            registrations: Vec<Listed<'a>>,
        }
        let document = Document { count: self.bindings.count(), registrations: listed.collect() };
        serde_json::to_vec(&document)
            .map(Bytes::from)
            .map_err(|error| format!("the list became no JSON: {error}"))
    }
}
