//! The I-CSCF: the way into the home network (TS 24.229 §5.3). Decides which S-CSCF serves a request, by asking the HSS.
//!
//! ```text
//!   registration.rs   REGISTER         UAR ─▶ S-CSCF by name or by capabilities; it fails ─▶ UAR again, another one
//!   location.rs       anything else    LIR ─▶ S-CSCF of the called user;         it fails ─▶ LIR again, another one
//!   choose.rs         which of several
//! ```
//!
//! Remembers a request only while it is under way: the HSS knows all else, so that any copy can serve the next
//! request (spec 4.2.1 row 10). Never on a Path or Record-Route.

#![forbid(unsafe_code)]

use std::collections::VecDeque;

use clock::Instant;
use diameter::cx;
use node::config::{Config, FunctionConfig};
use node::mirror::{Composite, Mirror, Numbers, Table, TableId};
use node::{
    Branch, Decision, Event, Function, Indication, Origin, QueryKey, ServerKey, Setup, Topology, Unanswered,
    forward,
};
use rand::Rng;
use sip::message::Name;
use sip::{Draft, Message, Method, Uri};

mod choose;
mod location;
mod own;
mod registration;
mod work;

use work::{Purpose, Stage, Work};

/// Requests under way at most; beyond it a new one is answered 503. The shell's own bound is as high.
const WORKS_MAX: usize = 500_000;

/// Why an I-CSCF cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The configuration is another function's.
    #[error("the configuration is not that of an I-CSCF")]
    WrongFunction,
    /// An S-CSCF cannot be reached with what is configured.
    #[error("servers: {uri:?} is no SIP URI whose host is numeric or named in hosts")]
    Server {
        /// As configured.
        uri: String,
    },
}

/// The I-CSCF.
pub struct Icscf {
    config: Config,
    /// The part of `config` that is ours.
    own: node::config::Icscf,
    topology: Topology,
    works: Table<ServerKey, Work>,
    queries: Table<QueryKey, ServerKey>,
    query_numbers: Numbers,
    tags: rand::rngs::StdRng,
    output: VecDeque<Decision>,
}

impl Icscf {
    /// Builds an I-CSCF.
    pub fn new(setup: &Setup) -> Result<Icscf, SetupError> {
        let config = setup.config.clone();
        let FunctionConfig::Icscf(own) = config.function.clone() else {
            return Err(SetupError::WrongFunction);
        };
        let topology = setup.topology.clone();
        let is_unknown = |uri: &str| Uri::parse(uri).ok().and_then(|uri| topology.resolve(&uri)).is_none();
        if let Some(server) = own.servers.iter().find(|server| is_unknown(&server.uri)) {
            return Err(SetupError::Server { uri: server.uri.clone() });
        }
        Ok(Icscf {
            config,
            own,
            topology,
            works: Table::new(TableId(32)),
            queries: Table::new(TableId(33)),
            query_numbers: Numbers::new(TableId(34)),
            tags: setup.random("tag"),
            output: VecDeque::new(),
        })
    }

    /// How many requests and questions are under way; 0 when nothing leaks.
    pub fn open_procedures(&self) -> usize {
        self.works.len() + self.queries.len()
    }

    fn on_request(&mut self, server: ServerKey, request: Message) {
        if self.works.len() >= WORKS_MAX {
            let event = Event::Shed { method: request.method().as_str().to_owned() };
            self.output.push_back(Decision::Event(event));
            return self.respond_with(server, &request, 503, "Too much to do", |draft| {
                draft.push_back(Name::RetryAfter, "5");
            });
        }
        if let Some(unsupported) = unsupported(&request) {
            // RFC 3261 §16.3 step 5.
            return self.respond_with(server, &request, 420, "Bad Extension", |draft| {
                draft.push_back(Name::Unsupported, unsupported);
            });
        }
        match request.method() {
            Method::Register => self.start_registration(server, request),
            _ => self.start_other(server, request),
        }
    }

    /// Anything but REGISTER: a request with a route of its own or within a dialog is passed on, all else is for one
    /// of our users.
    fn start_other(&mut self, server: ServerKey, request: Message) {
        let mut draft = forward::prepare(&request);
        self.strip_own_routes(&mut draft);
        let is_in_dialog = request.to().is_some_and(|to| to.tag().is_some());
        let is_routed = draft.header(Name::Route).is_some();
        if !is_routed && !is_in_dialog {
            return self.start_location(server, request);
        }
        let Some(destination) = forward::destination(&draft, &self.topology) else {
            return self.respond(server, &request, 404, "The next hop is not known here");
        };
        let stage = Stage::Forwarded { is_alive: true };
        self.works.insert(server, Work { request, purpose: Purpose::Routed, stage, tried: Vec::new() });
        let branches = vec![Branch { request: draft, destination }];
        self.output.push_back(Decision::Forward { server, branches, patience: None });
    }

    fn on_ack(&mut self, request: &Message) {
        let mut draft = forward::prepare(request);
        self.strip_own_routes(&mut draft);
        if let Some(destination) = forward::destination(&draft, &self.topology) {
            self.output.push_back(Decision::SendStateless { request: draft, destination });
        }
    }

    fn on_answer(&mut self, query: QueryKey, answer: Result<cx::Answer, Unanswered>) {
        let Some(server) = self.queries.remove(&query) else { return };
        // A request cancelled while the HSS was asked has been answered already.
        let Some(work) = self.works.get(&server) else { return };
        let is_again = work.stage == Stage::AskingAgain;
        match work.purpose.clone() {
            Purpose::Registration(registration) => {
                self.on_authorization(server, is_again, &registration, answer)
            }
            Purpose::Location(location) => self.on_location(server, is_again, &location, answer),
            Purpose::Routed => {}
        }
    }

    fn on_response(&mut self, server: ServerKey, response: &Message, origin: Origin) {
        let status = response.status();
        if let Some(work) = self.works.get_mut(&server) {
            let has_failed = match (&work.purpose, work.stage) {
                (Purpose::Registration(_), _) => registration::has_failed(status, origin),
                (Purpose::Location(_), Stage::Forwarded { is_alive }) => {
                    location::has_failed(work.request.method(), is_alive, origin)
                }
                _ => false,
            };
            if has_failed {
                return self.ask(server, Stage::AskingAgain);
            }
            work.stage = Stage::Forwarded { is_alive: true };
            if status >= 200 {
                let work = self.works.remove(&server).expect("it was found a moment ago");
                self.report(&work, registration::outcome(status), format!("{status} {}", response.reason()));
            }
        }
        self.output.push_back(Decision::Respond { server, response: Draft::relay(response) });
    }

    /// The caller gave up while nothing was open: the HSS is being asked, or was asked again and the shell refuses to
    /// forward any more. What is open the shell cancels itself.
    fn on_cancelled(&mut self, server: ServerKey) {
        self.refuse(server, 487, "Request Terminated", "cancelled");
    }

    fn respond(&mut self, server: ServerKey, request: &Message, status: u16, reason: &str) {
        self.respond_with(server, request, status, reason, |_| {});
    }

    fn respond_with(
        &mut self,
        server: ServerKey,
        request: &Message,
        status: u16,
        reason: &str,
        dress: impl FnOnce(&mut Draft),
    ) {
        let tag = format!("{:016x}", self.tags.next_u64());
        let mut response = Draft::response(request, status, reason, &tag);
        dress(&mut response);
        self.output.push_back(Decision::Respond { server, response });
    }
}

/// The tokens of Proxy-Require that oblige us to refuse (RFC 3261 §16.3 step 5). `privacy` (RFC 3323) does not: the
/// P-CSCFs at either end do what it asks for.
fn unsupported(request: &Message) -> Option<String> {
    let is_unknown = |token: &&str| !token.eq_ignore_ascii_case("privacy");
    let tokens: Vec<_> = request.values(Name::ProxyRequire).filter(is_unknown).collect();
    (!tokens.is_empty()).then(|| tokens.join(", "))
}

impl Function for Icscf {
    fn handle_input(&mut self, _now: Instant, input: Indication) {
        match input {
            Indication::Request { server, request, .. } => self.on_request(server, request),
            Indication::Ack { request, .. } => self.on_ack(&request),
            Indication::Cancelled { server } => self.on_cancelled(server),
            Indication::Response { server, response, origin, .. } => {
                self.on_response(server, &response, origin)
            }
            Indication::Answer { query, answer } => self.on_answer(query, answer),
            Indication::Command { key, name, .. } => {
                let result = Err(format!("an I-CSCF knows no command {name:?}"));
                self.output.push_back(Decision::CommandResult { key, result });
            }
            // It sends no requests of its own and is asked nothing over Diameter.
            Indication::OwnResponse { .. }
            | Indication::FlowClosed { .. }
            | Indication::DiameterRequest { .. }
            | Indication::Stopping => {}
        }
    }

    /// Nothing here waits for a time: patience and the Diameter time-out are the shell's.
    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<Decision> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn take_over(&mut self, _now: Instant) {}
}

impl Composite for Icscf {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.works);
        show(&mut self.queries);
        show(&mut self.query_numbers);
    }
}

#[cfg(test)]
mod tests;
