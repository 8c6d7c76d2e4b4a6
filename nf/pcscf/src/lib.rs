//! The P-CSCF: the device's first contact (TS 24.229 §5.2). Decides what leaves the trust domain and what enters it.
//!
//! ```text
//!                     register.rs                        Path, P-Charging-Vector, P-Visited-Network-ID
//!   device ─ flow ─▶  originate.rs (from a device)   ─▶  Service-Route, P-Asserted-Identity          ─▶ core
//!          ◀─ flow ─  terminate.rs (towards a device) ◀─ flow token in Path or Record-Route          ◀─
//! ```
//!
//! [`token`] is how a request finds the device's flow without any memory; [`binding`] is what is remembered about a
//! registered device and survives the process in the store. What is remembered about dialogs ([`dialog`]) helps devices
//! that do not know their routes; no other needs it. Never: registers anybody by itself, asks the HSS, forks.
//!
//! Emergency calls are refused as the standard says for a network without emergency sessions: see [`emergency`].

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, VecDeque};

use clock::Instant;
use node::config::FunctionConfig;
use node::mirror::{Composite, Mirror};
use node::{ConnectionId, Decision, Event, Flow, Function, Indication, ServerKey, Setup, Store, Topology};
use sip::identity::Pii;
use sip::{Draft, Message, Method, Uri};

mod address;
pub mod binding;
mod command;
pub mod dialog;
pub mod emergency;
mod exchange;
mod headers;
mod originate;
mod register;
mod request;
mod respond;
mod terminate;
pub mod token;

use address::Addresses;
use binding::Bindings;
use dialog::Dialogs;
use exchange::Exchanges;
use headers::Marks;
use token::TokenKey;

/// Why a P-CSCF cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The configuration is another function's.
    #[error("the configuration is not that of a P-CSCF")]
    WrongFunction,
    /// No listening address.
    #[error("listen: at least one address is needed")]
    NoListen,
    /// The I-CSCF cannot be reached with what is configured.
    #[error("icscfUri: {uri:?} is no SIP URI whose host is numeric or named in hosts")]
    Icscf {
        /// As configured.
        uri: String,
    },
    /// The key of the flow tokens is unusable.
    #[error("flowTokenKey: 32 hex digits are needed")]
    FlowTokenKey,
}

/// The P-CSCF.
pub struct Pcscf<S> {
    /// The part of the configuration that is ours.
    own: node::config::Pcscf,
    home_domain: String,
    topology: Topology,
    addresses: Addresses,
    icscf: node::Destination,
    token_key: TokenKey,
    bindings: Bindings<S>,
    exchanges: Exchanges,
    dialogs: Dialogs,
    /// Stream connections on which a request has come, until they close: a token may name only these.
    connections: BTreeMap<ConnectionId, Flow>,
    marks: Marks,
    output: VecDeque<Decision>,
}

impl<S: Store> Pcscf<S> {
    /// Builds a P-CSCF on what the store still knows about registered devices.
    pub fn new(setup: &Setup, store: S) -> Result<Pcscf<S>, SetupError> {
        let config = &setup.config;
        let FunctionConfig::Pcscf(own) = config.function.clone() else {
            return Err(SetupError::WrongFunction);
        };
        let addresses = Addresses::new(config, &setup.topology).ok_or(SetupError::NoListen)?;
        let icscf = Uri::parse(&own.icscf_uri).ok().and_then(|uri| setup.topology.resolve(&uri));
        let icscf = icscf.ok_or_else(|| SetupError::Icscf { uri: own.icscf_uri.clone() })?;
        let token_key = TokenKey::from_hex(&own.flow_token_key).ok_or(SetupError::FlowTokenKey)?;
        let generated_at = addresses.core(icscf.remote.is_ipv6()).1.ip();
        Ok(Pcscf {
            marks: Marks::new(setup, &config.host_name, generated_at),
            bindings: Bindings::load(store, setup.wall),
            topology: setup.topology.clone(),
            exchanges: Exchanges::default(),
            dialogs: Dialogs::default(),
            home_domain: config.home_domain.clone(),
            connections: BTreeMap::new(),
            output: VecDeque::new(),
            own,
            addresses,
            icscf,
            token_key,
        })
    }

    /// The store, for the driver and for simulated crashes.
    pub fn store(&self) -> &S {
        self.bindings.store()
    }

    /// See [`Pcscf::store`].
    pub fn store_mut(&mut self) -> &mut S {
        self.bindings.store_mut()
    }

    /// How many requests are under way; 0 when nothing leaks.
    pub fn open_procedures(&self) -> usize {
        self.exchanges.count()
    }

    /// How many devices are registered through here.
    pub fn bindings_count(&self) -> usize {
        self.bindings.count()
    }

    /// Answers a request with a response of our own making.
    fn respond(&mut self, server: ServerKey, request: &Message, status: u16, reason: &str) {
        self.respond_with(server, request, status, reason, |_| {});
    }

    /// Like [`Pcscf::respond`], with more header fields or a body.
    fn respond_with(
        &mut self,
        server: ServerKey,
        request: &Message,
        status: u16,
        reason: &str,
        dress: impl FnOnce(&mut Draft),
    ) {
        let mut response = Draft::response(request, status, reason, &self.marks.tag());
        dress(&mut response);
        self.output.push_back(Decision::Respond { server, response });
    }

    /// Lets nothing that follows leave before the bindings as they now are can be found again.
    fn commit_bindings(&mut self) {
        if self.bindings.take_dirty() {
            self.output.push_back(Decision::Commit);
        }
    }

    fn procedure(&mut self, name: &'static str, outcome: &'static str, identity: String, detail: String) {
        let event = Event::Procedure { name, outcome, identity: Pii::new(identity), detail };
        self.output.push_back(Decision::Event(event));
    }
}

impl<S: Store> Function for Pcscf<S> {
    fn handle_input(&mut self, now: Instant, input: Indication) {
        match input {
            Indication::Request { server, request, flow } => {
                self.note_connection(flow);
                match request.method() {
                    Method::Register => self.on_register(now, server, request, flow),
                    _ => self.on_request(now, server, request, flow),
                }
            }
            Indication::Ack { request, flow } => {
                self.note_connection(flow);
                self.on_ack(now, &request, flow);
            }
            Indication::Response { server, response, origin, .. } => {
                self.on_response(now, server, &response, origin)
            }
            Indication::FlowClosed { flow } => {
                if let Some(connection) = flow.connection {
                    self.connections.remove(&connection);
                }
            }
            Indication::Command { key, name, body } => self.on_command(now, key, &name, &body),
            // A request is forwarded in the moment it comes, so a CANCEL finds nothing undecided here; the P-CSCF
            // sends no requests of its own and speaks no Diameter.
            Indication::Cancelled { .. }
            | Indication::OwnResponse { .. }
            | Indication::Answer { .. }
            | Indication::DiameterRequest { .. }
            | Indication::Stopping => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(binding) = self.bindings.pop_expired(now) {
            self.procedure("de_registration", "expired", binding.identity, String::new());
        }
        self.commit_bindings();
        self.exchanges.forget_due(now);
        self.dialogs.forget_due(now);
    }

    fn poll_output(&mut self) -> Option<Decision> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = [self.bindings.next_expiry(), self.exchanges.next_due(), self.dialogs.next_due()];
        due.into_iter().flatten().min()
    }

    /// What the store holds is committed with the next change of a binding.
    fn take_over(&mut self, _now: Instant) {}
}

/// Stream connections are not told: they end with the process that holds them.
impl<S: Store> Composite for Pcscf<S> {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.bindings);
        show(&mut self.exchanges);
        show(&mut self.dialogs);
    }
}

#[cfg(test)]
mod tests;
