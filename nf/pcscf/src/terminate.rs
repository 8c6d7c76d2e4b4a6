//! Requests from the core to a device (TS 24.229 §5.2.6.4; spec 4.3.1 row "P term").
//!
//! The token in the Route says which flow; the binding says whether the device has moved since.

use std::net::{IpAddr, SocketAddr};

use clock::Instant;
use node::{Branch, Decision, Destination, Flow, ServerKey, Store, Transport, forward};
use sip::message::Name;
use sip::uri::Host;
use sip::{Message, Method, NameAddress, Uri};

use crate::Pcscf;
use crate::binding::contact_place;
use crate::exchange::{Exchange, TowardsDevice};
use crate::headers;
use crate::request::{Side, is_dialog_forming, is_initial};
use crate::token::{Token, Usage};

/// The way to a device.
enum Way {
    /// Send it there.
    Open(Destination, Flow),
    /// Its connection is gone.
    Gone {
        /// Does the device keep flows, so that the home network should forget this one?
        is_outbound: bool,
    },
}

impl<S: Store> Pcscf<S> {
    /// A request for the device of `token`.
    pub(crate) fn on_core_request(
        &mut self,
        _now: Instant,
        server: ServerKey,
        request: Message,
        flow: Flow,
        token: Token,
    ) {
        let (destination, device) = match self.way_to(&request, &token) {
            Way::Open(destination, device) => (destination, device),
            Way::Gone { is_outbound } => return self.report_lost_flow(server, &request, is_outbound),
        };
        let mut draft = forward::prepare(&request);
        self.strip_own_routes(&mut draft);
        headers::strip_confidential(&mut draft);
        if !self.is_core(&flow, &token) {
            headers::strip_untrusted(&mut draft);
        }
        if is_initial(&request) && is_dialog_forming(request.method()) {
            self.record_route(&mut draft, &device, token.binding, flow.local.is_ipv6(), false);
        }
        let opens_call = is_initial(&request) && request.method() == Method::Invite;
        let record_routes =
            draft.values(Name::RecordRoute).filter(|_| opens_call).map(str::to_owned).collect();
        if request.method() == Method::Bye {
            self.dialogs.end(&request);
        }
        let binding = self.bindings.binding(token.binding);
        let called = request.values(Name::PCalledPartyId).next().and_then(NameAddress::parse);
        // As it was registered: a caller may have put parameters of its own behind it.
        let called = called.map(|called| {
            let registered = called.uri().and_then(|uri| binding?.identity_of(&uri));
            registered.unwrap_or(called.uri_text).to_owned()
        });
        let default = || binding.map(|binding| binding.default_identity().to_owned());
        let exchange = TowardsDevice {
            record_routes,
            answerer: is_initial(&request).then(|| called.or_else(default)).flatten(),
            charging_vector: request.header(Name::PChargingVector).map(str::to_owned),
            is_outbound: binding.is_some_and(|binding| binding.is_outbound),
            binding: token.binding,
            request,
        };
        self.exchanges.insert(server, Exchange::TowardsDevice(exchange));
        let branches = vec![Branch { request: draft, destination }];
        self.output.push_back(Decision::Forward { server, branches, patience: None });
    }

    /// Does it come from a host of the trust domain: one with a name in our configuration, or the device's S-CSCF? The far
    /// end of a call sees the token of this one in the Record-Route, and could come with it from an address where nobody
    /// is registered: then it is heard, for its dialog's sake, but not believed (RFC 3325 §5).
    fn is_core(&self, flow: &Flow, token: &Token) -> bool {
        let ip = flow.remote.ip();
        let is_here = |route: &String| {
            let uri = NameAddress::parse(route).and_then(|route| route.uri());
            uri.and_then(|uri| self.topology.resolve(&uri)).is_some_and(|server| server.remote.ip() == ip)
        };
        let serves =
            || self.bindings.binding(token.binding).is_some_and(|it| it.service_route.iter().any(is_here));
        self.icscf.remote.ip() == ip || self.topology.is_named_ip(ip) || serves()
    }

    /// An ACK for a 2xx, either way.
    pub(crate) fn on_ack(&mut self, _now: Instant, request: &Message, flow: Flow) {
        match self.side_of(request, &flow) {
            Side::Device => self.forward_device_ack(request, flow),
            Side::Core(token) => {
                let Way::Open(destination, _) = self.way_to(request, &token) else { return };
                let mut draft = forward::prepare(request);
                self.strip_own_routes(&mut draft);
                headers::strip_confidential(&mut draft);
                if !self.is_core(&flow, &token) {
                    headers::strip_untrusted(&mut draft);
                }
                self.output.push_back(Decision::SendStateless { request: draft, destination });
            }
            Side::Unknown | Side::Forged => {}
        }
    }

    /// Where the device of `token` is now. The token's flow, unless the device has registered again over another one:
    /// then a dialog follows it, and so does a request to the same contact. A request to another contact of the
    /// same instance does not: it would reach the device twice.
    fn way_to(&self, request: &Message, token: &Token) -> Way {
        let binding = self.bindings.binding(token.binding);
        let flow = match binding {
            Some(binding) => {
                let is_same_contact =
                    || contact_place(&binding.contact) == contact_place(request.request_uri());
                let follows =
                    token.usage == Usage::RecordRoute || is_same_contact() || !self.is_usable(&token.flow);
                if follows { binding.flow } else { token.flow }
            }
            None => token.flow,
        };
        let is_outbound = binding.is_some_and(|binding| binding.is_outbound);
        let contact = contact_at(request.request_uri(), &flow).filter(|_| !is_outbound);
        let is_in_the_open = binding.is_some_and(|binding| binding.is_in_the_open);
        match contact {
            // A device in the open may listen elsewhere than it sends from (RFC 3261 §10.2.1: the contact rules).
            Some(contact) if flow.transport == Transport::Udp && is_in_the_open => Way::Open(contact, flow),
            _ if self.is_usable(&flow) => Way::Open(flow.to_destination(), flow),
            // It also accepts connections there.
            Some(contact) => Way::Open(contact, flow),
            None => Way::Gone { is_outbound },
        }
    }

    fn is_usable(&self, flow: &Flow) -> bool {
        flow.transport == Transport::Udp || self.is_open(flow)
    }

    /// 430 makes the home network forget the contact (RFC 5626 §5.3.1, §11.5), so only a device that keeps flows, which
    /// will have noticed and registers again, is reported so. Any other keeps its registration.
    pub(crate) fn report_lost_flow(&mut self, server: ServerKey, request: &Message, is_outbound: bool) {
        let (status, reason) =
            if is_outbound { (430, "Flow Failed") } else { (480, "The device's connection is gone") };
        let identity = request.to().map_or("", |to| to.uri_text).to_owned();
        self.procedure(crate::respond::procedure(request.method()), "flow_failed", identity, String::new());
        self.respond(server, request, status, reason);
    }
}

/// The place that a device's contact names, if it is on the host at the other end of the device's flow.
fn contact_at(uri: &str, flow: &Flow) -> Option<Destination> {
    let uri = Uri::parse(uri).ok()?;
    let ip: IpAddr = match uri.host {
        Host::V4(ip) => ip.into(),
        Host::V6(ip) => ip.into(),
        Host::Name(_) => return None,
    };
    let remote = SocketAddr::new(ip, uri.port.unwrap_or(node::topology::DEFAULT_SIP_PORT));
    let is_tcp = uri.parameter("transport").is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"));
    let transport = if is_tcp { Transport::Tcp } else { flow.transport };
    let local = (transport == flow.transport && transport == Transport::Udp).then_some(flow.local);
    (ip == flow.remote.ip()).then_some(Destination { transport, remote, local, connection: None })
}
