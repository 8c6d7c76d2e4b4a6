//! Requests from a device to the core (TS 24.229 §5.2.6.3; spec 4.3.1 row "P orig").
//!
//! The standard leaves a choice when the Route of an initial request is not the stored Service-Route: refuse with
//! 400, or replace. We replace: softphones and test tools often do not keep the Service-Route, and the outcome
//! is the same that a correct device gets.

use clock::{Duration, Instant};
use node::{Branch, Decision, Destination, Flow, ServerKey, Store, forward};
use sip::message::Name;
use sip::uri::Host;
use sip::{Draft, Message, Method, NameAddress, Uri};

use crate::Pcscf;
use crate::address::own_uri;
use crate::binding::{Binding, BindingKey};
use crate::emergency;
use crate::exchange::{Exchange, FromDevice};
use crate::headers;
use crate::request::{is_dialog_forming, is_initial};
use crate::token::{Token, Usage};

/// An S-CSCF that has not even said 100 to an INVITE for this long is taken for lost. Time for four transmissions,
/// and for a restarted process to come back in between.
const SERVER_PATIENCE: Duration = Duration::from_secs(5);

impl<S: Store> Pcscf<S> {
    /// A request from a device.
    pub(crate) fn on_device_request(
        &mut self,
        _now: Instant,
        server: ServerKey,
        request: Message,
        flow: Flow,
    ) {
        let registration = self.binding_of(&request, &flow).map(|(key, binding)| (key, binding.clone()));
        if let Some((key, _)) = &registration {
            self.follow_device(*key, flow);
        }
        if !is_initial(&request) {
            return self.forward_in_dialog(server, request, registration);
        }
        let Some((key, binding)) = registration else {
            let identity = request.from().map_or("", |from| from.uri_text).to_owned();
            let reason = "No identity of this request is registered over this flow";
            self.procedure(
                crate::respond::procedure(request.method()),
                "not_registered",
                identity,
                reason.to_owned(),
            );
            return self.respond(server, &request, 403, reason);
        };
        self.forward_initial(server, request, flow, key, &binding);
    }

    fn forward_initial(
        &mut self,
        server: ServerKey,
        request: Message,
        flow: Flow,
        key: BindingKey,
        binding: &Binding,
    ) {
        let mut draft = forward::prepare(&request);
        let identity = asserted_identity(&request, binding);
        headers::strip_security_agreement(&mut draft);
        headers::strip_untrusted(&mut draft);
        draft.push_back(Name::PAssertedIdentity, format!("<{identity}>"));
        draft.push_back(Name::PChargingVector, self.marks.charging_vector(None));
        self.name_home(&mut draft);
        draft.remove(Name::Route);
        for route in &binding.service_route {
            draft.push_back(Name::Route, route.clone());
        }
        let destination = match binding.service_route.is_empty() {
            true => None,
            false => forward::destination(&draft, &self.topology),
        };
        let exchange = FromDevice { request, is_initial: true, identity, path: binding.path.clone() };
        let Some(destination) = destination else {
            return self.lose_server(server, &exchange, "the Service-Route names no known host");
        };
        let method = exchange.request.method();
        if is_dialog_forming(method) {
            self.record_route(&mut draft, &flow, key, destination.remote.is_ipv6(), true);
        }
        // Only INVITE is answered at once (100 Trying); anything else is silent until the far end has answered.
        let patience = (method == Method::Invite).then_some(SERVER_PATIENCE);
        self.exchanges.insert(server, Exchange::FromDevice(exchange));
        self.output.push_back(Decision::Forward {
            server,
            branches: vec![Branch { request: draft, destination }],
            patience,
        });
    }

    /// Inside a dialog the route set of the device leads (RFC 3261 §12.2.1.1).
    fn forward_in_dialog(
        &mut self,
        server: ServerKey,
        request: Message,
        registration: Option<(BindingKey, Binding)>,
    ) {
        let mut draft = forward::prepare(&request);
        headers::strip_security_agreement(&mut draft);
        headers::strip_untrusted(&mut draft);
        self.strip_own_routes(&mut draft);
        if !self.complete_route(&request, &mut draft) {
            return self.respond(server, &request, 481, "No Route, and no such dialog here");
        }
        if request.method() == Method::Bye {
            self.dialogs.end(&request);
        }
        let Some(destination) = forward::destination(&draft, &self.topology) else {
            return self.respond(server, &request, 404, "The next hop is not known here");
        };
        let binding = registration.as_ref().map(|(_, binding)| binding);
        if !self.is_by_server(&request, &destination, binding) {
            let identity = request.from().map_or("", |from| from.uri_text).to_owned();
            let name = crate::respond::procedure(request.method());
            self.procedure(name, "forbidden", identity, "a Route that leaves the S-CSCF out".to_owned());
            return self.respond(server, &request, 403, "No dialog leads there");
        }
        let (identity, path) = match registration {
            Some((_, binding)) => (binding.default_identity().to_owned(), binding.path),
            None => Default::default(),
        };
        let exchange = FromDevice { request, is_initial: false, identity, path };
        self.exchanges.insert(server, Exchange::FromDevice(exchange));
        let branches = vec![Branch { request: draft, destination }];
        self.output.push_back(Decision::Forward { server, branches, patience: None });
    }

    /// The ACK of a device for a 2xx.
    pub(crate) fn forward_device_ack(&mut self, request: &Message, flow: Flow) {
        let mut draft = forward::prepare(request);
        headers::strip_security_agreement(&mut draft);
        headers::strip_untrusted(&mut draft);
        self.strip_own_routes(&mut draft);
        if !self.complete_route(request, &mut draft) {
            return;
        }
        let Some(destination) = forward::destination(&draft, &self.topology) else { return };
        let binding = self.binding_of(request, &flow).map(|(_, binding)| binding);
        if self.is_by_server(request, &destination, binding) {
            self.output.push_back(Decision::SendStateless { request: draft, destination });
        }
    }

    /// Does what a device sends inside a dialog go by an S-CSCF (TS 24.229 §5.2.6.3.7: its Route must be the one we saw)?
    /// Every dialog of a device has one on its route, so any other way is one round it, by which barring, charging and
    /// trace would be avoided, or one to hosts that nobody called. The S-CSCF is that of the registration, or that of
    /// the dialog, or, for a call that has outlived both memories, another named host of the core. The I-CSCF is on no route.
    /// Ourselves we are next for a second device of ours, whose token is looked at then.
    fn is_by_server(&self, request: &Message, next: &Destination, binding: Option<&Binding>) -> bool {
        let is_next = |route: &str| {
            let uri = NameAddress::parse(route).and_then(|route| route.uri());
            uri.and_then(|uri| self.topology.resolve(&uri)).is_some_and(|hop| hop.remote == next.remote)
        };
        let serves = |binding: &Binding| binding.service_route.iter().any(|route| is_next(route));
        let remembers = || {
            let dialog = self.dialogs.of(request)?;
            let is_own = |route: &&String| {
                let uri = NameAddress::parse(route).and_then(|route| route.uri());
                uri.is_some_and(|uri| self.addresses.is_own(&uri))
            };
            Some(is_next(dialog.routes.iter().find(|route| !is_own(route)).unwrap_or(&dialog.target)))
        };
        let is_core = || next.remote != self.icscf.remote && self.topology.is_named(next.remote);
        binding.is_some_and(serves)
            || is_core()
            || self.addresses.is_listening(next.remote)
            || remembers().unwrap_or(false)
    }

    /// Users are of the home domain, also when a device knows it only by our address (`sip:bob@192.0.2.1:4060`).
    pub(crate) fn name_home(&self, draft: &mut Draft) {
        let Ok(uri) = Uri::parse(draft.request_uri()) else { return };
        if !self.addresses.is_own(&uri) {
            return;
        }
        let home = match uri.user {
            Some(user) => format!("sip:{user}@{}", self.home_domain),
            None => format!("sip:{}", self.home_domain),
        };
        draft.set_request_uri(&home);
    }

    /// Gives a request inside a dialog that came without a Route the one that we remember. `false`: there is none, and
    /// the Request-URI names us or an identity instead of a device, so that there is no way for it.
    fn complete_route(&self, request: &Message, draft: &mut Draft) -> bool {
        if draft.values(Name::Route).next().is_some() {
            return true;
        }
        let is_contact = Uri::parse(draft.request_uri()).is_ok_and(|uri| {
            let is_home =
                matches!(uri.host, Host::Name(name) if name.eq_ignore_ascii_case(&self.home_domain));
            !is_home && !self.addresses.is_own(&uri)
        });
        let Some(dialog) = self.dialogs.of(request) else { return is_contact };
        for route in &dialog.routes {
            draft.push_back(Name::Route, route.clone());
        }
        if !is_contact {
            draft.set_request_uri(&dialog.target);
        }
        self.strip_own_routes(draft);
        true
    }

    /// The S-CSCF of a device cannot be reached (GPP-R4, TS 24.229 §5.2.6.3.2A).
    pub(crate) fn lose_server(&mut self, server: ServerKey, exchange: &FromDevice, detail: &str) {
        let name = crate::respond::procedure(exchange.request.method());
        self.procedure(name, "server_timeout", exchange.identity.clone(), detail.to_owned());
        self.respond_with(server, &exchange.request, 504, "Server Time-out", |draft| {
            emergency::dress_restoration(draft, &exchange.path);
        });
    }

    /// Puts us into the dialog. Where the two sides differ in transport, address or family there is an entry for each
    /// (RFC 5658), so that either end finds the address that it can reach; both carry the token of the device's flow.
    pub(crate) fn record_route(
        &self,
        draft: &mut Draft,
        device: &Flow,
        binding: BindingKey,
        is_core_ipv6: bool,
        is_from_device: bool,
    ) {
        let token = self.token_key.seal(&Token { usage: Usage::RecordRoute, flow: *device, binding });
        let mut sides = vec![self.addresses.device(device), self.addresses.core(is_core_ipv6)];
        sides.dedup();
        if !is_from_device {
            sides.reverse();
        }
        // The last one pushed is on top, and is what the next hop will see first.
        for side in sides {
            draft.push_front(Name::RecordRoute, format!("<{}>", own_uri(&token, side)));
        }
    }

    /// Takes our entries off the top of the route set: one, or both of a pair with the same token. A second token is
    /// another device's: the request comes back to us for it.
    pub(crate) fn strip_own_routes(&self, draft: &mut Draft) {
        let mut token = None;
        loop {
            let top = draft.values(Name::Route).next().and_then(NameAddress::parse);
            let Some(uri) = top.and_then(|top| top.uri()) else { return };
            let found = uri.user.filter(|user| self.token_key.open(user).is_ok()).map(str::to_owned);
            let is_same = token.is_none() || token == found;
            if !(is_same && (found.is_some() || self.addresses.is_own(&uri))) {
                return;
            }
            token = found.or(token);
            draft.remove_first_value(Name::Route);
        }
    }
}

/// The identity we vouch for: the one the device prefers if it is one of the registered (TS 24.229 §5.2.6.3.1), else the
/// one in From if that is, because softphones never send P-Preferred-Identity, else the default.
fn asserted_identity(request: &Message, binding: &Binding) -> String {
    let preferred = headers::preferred_identity(request);
    let from = request.from().map(|from| from.uri_text.to_owned());
    let wanted = preferred.into_iter().chain(from);
    let registered = wanted.filter_map(|uri| {
        let uri = sip::Uri::parse(&uri).ok()?;
        binding.identity_of(&uri).map(str::to_owned)
    });
    registered.into_iter().next().unwrap_or_else(|| binding.default_identity().to_owned())
}
