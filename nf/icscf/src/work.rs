//! A request under way: the question to the HSS, the S-CSCF chosen, and the next one when that fails.

use clock::Duration;
use node::{Branch, Decision, Event, QueryKey, ServerKey, forward};
use serde::{Deserialize, Serialize};
use sip::identity::Pii;
use sip::message::Name;
use sip::{Message, Method, Uri};

use crate::Icscf;
use crate::location::{self, Location};
use crate::registration::Registration;

/// A request under way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Work {
    pub request: Message,
    pub purpose: Purpose,
    pub stage: Stage,
    /// S-CSCFs that were tried already, and those that cannot be resolved.
    pub tried: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Registration(Registration),
    Location(Location),
    /// It had a Route beyond us, or belongs to a dialog.
    Routed,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
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

impl Icscf {
    /// Puts the question of a request to the HSS, for the first time or again with capabilities.
    pub(crate) fn ask(&mut self, server: ServerKey, stage: Stage) {
        let Some(work) = self.works.get_mut(&server) else { return };
        work.stage = stage;
        let is_again = stage == Stage::AskingAgain;
        let request = match &work.purpose {
            Purpose::Registration(registration) => registration.query(is_again),
            Purpose::Location(location) => location.query(is_again),
            Purpose::Routed => return,
        };
        let query = QueryKey(self.query_numbers.draw());
        self.queries.insert(query, server);
        self.output.push_back(Decision::Ask { query, request, destination_host: None });
    }

    /// Goes on with the first of `names` that was not tried. None left: asks again once, then gives up.
    pub(crate) fn pursue(&mut self, server: ServerKey, is_again: bool, names: Vec<String>) {
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

    pub(crate) fn forward_to(&mut self, server: ServerKey, name: &str, destination: node::Destination) {
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
    pub(crate) fn refuse(
        &mut self,
        server: ServerKey,
        status: u16,
        reason: &'static str,
        cause: &'static str,
    ) {
        let Some(work) = self.works.remove(&server) else { return };
        self.report(&work, cause, reason.to_owned());
        self.respond(server, &work.request, status, reason);
    }

    pub(crate) fn report(&mut self, work: &Work, outcome: &'static str, detail: String) {
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
}

/// A Route value for a server's name, which is a URI with or without `lr`.
fn loose_route(name: &str) -> String {
    let is_loose = Uri::parse(name).is_ok_and(|uri| uri.parameter("lr").is_some());
    if is_loose { format!("<{name}>") } else { format!("<{name};lr>") }
}
