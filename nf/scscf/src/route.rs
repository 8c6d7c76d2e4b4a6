//! What a request other than REGISTER is: a user's new request, a request for a user, one inside a dialog, or one for
//! this server; and what happens to the responses of those that were forwarded (RFC 3261 §16, TS 24.229 §5.4.3).

use clock::Instant;
use node::mirror::Word;
use node::{Decision, Origin, ServerKey, forward};
use serde::{Deserialize, Serialize};
use sip::uri::{Scheme, Uri};
use sip::{Draft, Message, Method, Name};

use crate::own::{USER_NOTIFIER, USER_ORIGINATING};
use crate::registrar::SetId;
use crate::restore::{Interrupted, Role};
use crate::text::Text;
use crate::{Scscf, Waiting, charging};

/// A request that was forwarded, until its final response.
#[derive(Serialize, Deserialize)]
pub(crate) enum Forwarded {
    /// For a user of ours who sent it: counted when it ends.
    Originating {
        /// `call`, `message` …
        name: Word,
        /// Who.
        identity: Text,
    },
    /// To a user of ours.
    Terminating {
        /// The request as it came, to be tried on another flow.
        request: Message,
        /// Whose set.
        set: SetId,
        /// The contact of each branch.
        branches: Vec<u64>,
        /// The public identity that was wanted.
        identity: Text,
    },
}

impl Scscf {
    pub(crate) fn handle_request(&mut self, now: Instant, server: ServerKey, request: Message) {
        let uri = match Uri::parse(request.request_uri()) {
            Ok(uri) if uri.scheme != Scheme::Other => uri,
            Ok(_) => return self.refuse(server, &request, 416, "Unsupported URI Scheme"),
            Err(_) => return self.refuse(server, &request, 400, "Malformed Request-URI"),
        };
        let unknown = request.values(Name::ProxyRequire).collect::<Vec<_>>().join(", ");
        if !unknown.is_empty() {
            let mut response = self.response(&request, 420, "Bad Extension");
            response.push_back(Name::Unsupported, unknown);
            return self.respond(server, response);
        }
        if request.to().is_some_and(|to| to.tag().is_some()) {
            return self.handle_in_dialog(now, server, request);
        }
        if self.is_stopping {
            return self.refuse(server, &request, 503, "Service Unavailable");
        }
        let role = request.values(Name::Route).next().and_then(|route| self.own.route_user(route));
        if role == Some(USER_ORIGINATING) {
            return self.handle_originating(now, server, request);
        }
        if self.own.is_own(&uri) {
            return self.handle_for_this_server(server, &request);
        }
        let identity = Text::from(uri.address_of_record());
        if uri.scheme == Scheme::Tel || self.own.is_home(&uri) || self.registrar.find(&identity).is_some() {
            let number = number_of(&uri);
            return self.handle_terminating(now, server, request, identity, number);
        }
        // Neither from nor for a user of ours: this is no open relay.
        self.refuse(server, &request, 404, "Not Found");
    }

    fn handle_for_this_server(&mut self, server: ServerKey, request: &Message) {
        match request.method() {
            Method::Options => {
                let mut response = self.response(request, 200, "OK");
                response.push_back(Name::Allow, "REGISTER, OPTIONS, SUBSCRIBE");
                response.push_back(Name::AllowEvents, "reg");
                response.push_back(Name::Supported, "path");
                self.respond(server, response);
            }
            Method::Subscribe => {
                let mut response = self.response(request, 489, "Bad Event");
                response.push_back(Name::AllowEvents, "reg");
                self.respond(server, response);
            }
            _ if Uri::parse(request.request_uri())
                .is_ok_and(|uri| uri.user.is_some_and(|user| user != USER_NOTIFIER)) =>
            {
                self.refuse(server, request, 404, "Not Found");
            }
            _ => self.refuse(server, request, 405, "Method Not Allowed"),
        }
    }

    fn handle_originating(&mut self, now: Instant, server: ServerKey, request: Message) {
        // The P-CSCF asserts who sends; without its word nobody does (RFC 3325 §5).
        let asserted = request
            .values(Name::PAssertedIdentity)
            .filter_map(|value| Some(sip::NameAddress::parse(value)?.uri()?.address_of_record()))
            .next();
        let Some(identity) = asserted else {
            self.event("call", "nobody_asserted", "", "P-Asserted-Identity is missing");
            return self.refuse(server, &request, 403, "Forbidden");
        };
        let public_identity: Text = identity.into();
        match self.registrar.find(&public_identity) {
            Some(id) => self.originate(now, server, request, id, &public_identity),
            None => {
                let (role, number) = (Role::Originating, None);
                self.bring_back(Interrupted { server, request, role, public_identity, number });
            }
        }
    }

    /// `number`: the `tel` form of the identity, under which the user may be known instead.
    fn handle_terminating(
        &mut self,
        now: Instant,
        server: ServerKey,
        request: Message,
        identity: Text,
        number: Option<Text>,
    ) {
        for identity in [Some(&identity), number.as_ref()].into_iter().flatten() {
            if let Some(id) = self.registrar.find(identity) {
                return self.terminate(now, server, request, id, identity);
            }
        }
        let (role, public_identity) = (Role::Terminating, identity);
        self.bring_back(Interrupted { server, request, role, public_identity, number });
    }

    /// The caller gave up while nothing was open, so the answer is ours: the HSS was being asked, or a dead flow was to
    /// make way for another one (what is cancelled the shell forwards no more).
    pub(crate) fn handle_cancelled(&mut self, server: ServerKey) {
        if let Some(Forwarded::Terminating { request, .. }) = self.forwarded.remove(&server) {
            return self.refuse(server, &request, 487, "Request Terminated");
        }
        let found = self.waiting.iter().find_map(|(query, waiting)| match waiting {
            Waiting::Restoration(interrupted) if interrupted.server == server => Some(*query),
            _ => None,
        });
        if let Some(Waiting::Restoration(interrupted)) = found.and_then(|query| self.waiting.remove(&query)) {
            self.refuse(server, &interrupted.request, 487, "Request Terminated");
        }
    }

    /// Lowers Max-Forwards and takes our own Route values off the top.
    pub(crate) fn prepare(&self, request: &Message) -> Draft {
        let mut draft = forward::prepare(request);
        while draft.values(Name::Route).next().is_some_and(|route| self.own.route_user(route).is_some()) {
            draft.remove_first_value(Name::Route);
        }
        draft
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Instant,
        server: ServerKey,
        response: &Message,
        origin: Origin,
        branch: usize,
    ) {
        let is_final = response.status() >= 200;
        let mut draft = Draft::relay(response);
        match self.forwarded.get(&server) {
            Some(Forwarded::Terminating { request, .. }) => {
                let vector = response.header(Name::PChargingVector).or(request.header(Name::PChargingVector));
                if let Some(vector) = vector {
                    let value = charging::with_operator(vector, "term-ioi", &self.own.home_domain);
                    draft.replace(Name::PChargingVector, value);
                }
            }
            Some(Forwarded::Originating { .. }) | None => {}
        }
        if !is_final {
            return self.respond(server, draft);
        }
        match self.forwarded.remove(&server) {
            Some(Forwarded::Originating { name, identity }) => {
                self.event(
                    name.0,
                    outcome_of(response.status(), origin),
                    &identity,
                    response.status().to_string(),
                );
                if origin == Origin::Unreachable {
                    // One next hop is out of reach, not this server: no reason for others to avoid it (RFC 3261 §16.7
                    // step 6 on 503).
                    draft.set_status(500, "Next Hop Unreachable");
                }
            }
            Some(Forwarded::Terminating { request, set, branches, identity }) => {
                if response.status() == 430 {
                    return self.on_branch_flow_failed(
                        now,
                        server,
                        request,
                        set,
                        branches.get(branch),
                        &identity,
                    );
                }
                if origin == Origin::Unreachable {
                    // The user cannot be reached now, but the server can: no reason for others to avoid it (RFC 3261
                    // §16.7 step 6 on 503).
                    draft.set_status(480, "Temporarily Unavailable");
                }
            }
            None => {}
        }
        self.output.push_back(Decision::Respond { server, response: draft });
    }
}

/// The `tel` URI of a global number in the user part of a SIP URI (TS 24.229 §5.3.2.1): the I-CSCF asks the HSS for
/// it when the SIP URI is unknown, and leaves the Request-URI as it is.
fn number_of(uri: &Uri<'_>) -> Option<Text> {
    let user = uri.user.filter(|user| user.starts_with('+') && uri.scheme != Scheme::Tel)?;
    let number = format!("tel:{user}");
    Uri::parse(&number).ok().map(|uri| uri.address_of_record().into())
}

/// The procedure a method belongs to.
pub(crate) fn procedure_of(method: Method<'_>) -> &'static str {
    match method {
        Method::Invite => "call",
        Method::Message => "message",
        Method::Subscribe => "subscription",
        _ => "other",
    }
}

/// The outcome of a forwarded request in one word, for the counters.
pub(crate) fn outcome_of(status: u16, origin: Origin) -> &'static str {
    match (status, origin) {
        (_, Origin::TimedOut) => "timed_out",
        (_, Origin::Unreachable) => "unreachable",
        (200..300, _) => "ok",
        (486 | 600, _) => "busy",
        (487, _) => "cancelled",
        (404 | 604, _) => "not_found",
        (480, _) => "unavailable",
        (403, _) => "forbidden",
        (603, _) => "declined",
        (408 | 504, _) => "timed_out",
        (500..600, _) => "server_failure",
        _ => "refused",
    }
}
