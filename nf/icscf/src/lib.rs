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

use std::collections::{BTreeMap, VecDeque};

use clock::{Duration, Instant};
use diameter::cx;
use node::config::{Config, FunctionConfig, Listen};
use node::topology::DEFAULT_SIP_PORT;
use node::{
    Branch, Decision, Event, Function, Indication, Origin, QueryKey, ServerKey, Setup, Topology, Unanswered,
    forward,
};
use rand::Rng;
use sip::identity::Pii;
use sip::message::Name;
use sip::uri::Host;
use sip::{Draft, Message, Method, NameAddress, Uri};

mod choose;
mod location;
mod registration;

use location::Location;
use registration::Registration;

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

/// A request under way.
#[derive(Debug)]
struct Work {
    request: Message,
    purpose: Purpose,
    stage: Stage,
    /// S-CSCFs that were tried already, and those that cannot be resolved.
    tried: Vec<String>,
}

#[derive(Clone, Debug)]
enum Purpose {
    Registration(Registration),
    Location(Location),
    /// It had a Route beyond us, or belongs to a dialog.
    Routed,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The HSS was asked for the first time.
    Asking,
    /// It was asked again, because an S-CSCF failed.
    AskingAgain,
    /// It was forwarded.
    Forwarded {
        /// Something was heard of it: it rings somewhere.
        is_alive: bool,
    },
}

/// The I-CSCF.
pub struct Icscf {
    config: Config,
    /// The part of `config` that is ours.
    own: node::config::Icscf,
    topology: Topology,
    works: BTreeMap<ServerKey, Work>,
    queries: BTreeMap<QueryKey, ServerKey>,
    query_next: u64,
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
            works: BTreeMap::new(),
            queries: BTreeMap::new(),
            query_next: 1,
            tags: setup.random("tag"),
            output: VecDeque::new(),
        })
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

    /// The caller gave up before anything was forwarded; what is forwarded already, the shell cancels.
    fn on_cancelled(&mut self, server: ServerKey) {
        let is_asking = self
            .works
            .get(&server)
            .is_some_and(|work| matches!(work.stage, Stage::Asking | Stage::AskingAgain));
        if is_asking {
            self.refuse(server, 487, "Request Terminated", "cancelled");
        }
    }

    /// Puts the question of a request to the HSS, for the first time or again with capabilities.
    fn ask(&mut self, server: ServerKey, stage: Stage) {
        let Some(work) = self.works.get_mut(&server) else { return };
        work.stage = stage;
        let is_again = stage == Stage::AskingAgain;
        let request = match &work.purpose {
            Purpose::Registration(registration) => registration.query(is_again),
            Purpose::Location(location) => location.query(is_again),
            Purpose::Routed => return,
        };
        let query = QueryKey(self.query_next);
        self.query_next += 1;
        self.queries.insert(query, server);
        self.output.push_back(Decision::Ask { query, request, destination_host: None });
    }

    /// Goes on with the first of `names` that was not tried. None left: asks again once, then gives up.
    fn pursue(&mut self, server: ServerKey, is_again: bool, names: Vec<String>) {
        let Some(work) = self.works.get_mut(&server) else { return };
        for name in names {
            if work.tried.contains(&name) {
                continue;
            }
            work.tried.push(name.clone());
            let destination = Uri::parse(&name).ok().and_then(|uri| self.topology.resolve(&uri));
            if let Some(destination) = destination {
                return self.forward_to(server, &name, destination);
            }
            let reason = format!("the HSS names the S-CSCF {name:?}, whose host is not known here");
            self.output.push_back(Decision::Event(Event::Alarm { cause: "unknown_server", reason }));
        }
        match is_again {
            false => self.ask(server, Stage::AskingAgain),
            true => self.refuse(server, 504, "No S-CSCF answers", "no_server"),
        }
    }

    fn forward_to(&mut self, server: ServerKey, name: &str, destination: node::Destination) {
        let Some(work) = self.works.get(&server) else { return };
        let mut draft = forward::prepare(&work.request);
        self.strip_own_routes(&mut draft);
        let patience = Duration::from_millis(self.own.server_patience_milliseconds.into());
        let patience = match work.purpose {
            Purpose::Registration(_) => {
                draft.set_request_uri(name);
                Some(patience)
            }
            _ => {
                draft.push_front(Name::Route, loose_route(name));
                // Only INVITE is answered at once (100 Trying); anything else is silent until the far end has answered.
                (work.request.method() == Method::Invite).then_some(patience)
            }
        };
        let branches = vec![Branch { request: draft, destination }];
        self.output.push_back(Decision::Forward { server, branches, patience });
        if let Some(work) = self.works.get_mut(&server) {
            work.stage = Stage::Forwarded { is_alive: false };
        }
    }

    /// Ends a request with a refusal of our own.
    fn refuse(&mut self, server: ServerKey, status: u16, reason: &'static str, cause: &'static str) {
        let Some(work) = self.works.remove(&server) else { return };
        self.report(&work, cause, reason.to_owned());
        self.respond(server, &work.request, status, reason);
    }

    fn report(&mut self, work: &Work, outcome: &'static str, detail: String) {
        let (name, identity) = match &work.purpose {
            // Its answer is one step of the procedure, not its end.
            Purpose::Registration(_) if outcome == "challenged" => return,
            Purpose::Registration(registration) => (registration.procedure(), &registration.public_identity),
            Purpose::Location(location) => {
                (location::procedure(work.request.method()), &location.public_identity)
            }
            Purpose::Routed => return,
        };
        let event = Event::Procedure { name, outcome, identity: Pii::new(identity.clone()), detail };
        self.output.push_back(Decision::Event(event));
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

    fn strip_own_routes(&self, draft: &mut Draft) {
        loop {
            let top = draft.values(Name::Route).next().and_then(NameAddress::parse);
            if !top.and_then(|top| top.uri()).is_some_and(|uri| self.is_own(&uri)) {
                return;
            }
            draft.remove_first_value(Name::Route);
        }
    }

    /// Does `uri` mean this host?
    fn is_own(&self, uri: &Uri<'_>) -> bool {
        let port = uri.port.unwrap_or(DEFAULT_SIP_PORT);
        let mut listen = self.config.listen.iter();
        let numeric = |listen: &Listen, ip: std::net::IpAddr| {
            let own = listen.address.ip();
            listen.address.port() == port
                && (own == ip || own.is_unspecified() && own.is_ipv6() == ip.is_ipv6())
        };
        match uri.host {
            Host::V4(ip) => listen.any(|listen| numeric(listen, ip.into())),
            Host::V6(ip) => listen.any(|listen| numeric(listen, ip.into())),
            Host::Name(name) => {
                let is_port = uri.port.is_none_or(|port| listen.any(|listen| listen.address.port() == port));
                name.eq_ignore_ascii_case(&self.config.host_name) && is_port
            }
        }
    }

    fn is_home(&self, uri: &Uri<'_>) -> bool {
        matches!(uri.host, Host::Name(name) if name.eq_ignore_ascii_case(&self.config.home_domain))
    }
}

/// The tokens of Proxy-Require that oblige us to refuse (RFC 3261 §16.3 step 5). `privacy` (RFC 3323) does not: the
/// P-CSCFs at either end do what it asks for.
fn unsupported(request: &Message) -> Option<String> {
    let is_unknown = |token: &&str| !token.eq_ignore_ascii_case("privacy");
    let tokens: Vec<_> = request.values(Name::ProxyRequire).filter(is_unknown).collect();
    (!tokens.is_empty()).then(|| tokens.join(", "))
}

/// A Route value for a server's name, which is a URI with or without `lr`.
fn loose_route(name: &str) -> String {
    let is_loose = Uri::parse(name).is_ok_and(|uri| uri.parameter("lr").is_some());
    if is_loose { format!("<{name}>") } else { format!("<{name};lr>") }
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
}

#[cfg(test)]
mod tests;
