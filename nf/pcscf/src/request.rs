//! Whose is a request? Decides between the two directions, or refuses.
//!
//! 1. Its source is a flow over which a device has registered: it is from that device.
//! 2. Its topmost Route carries a token of ours: it is from the device of the token when it came over the token's
//!    flow, or (over a fresh connection) from the same host by one of the same identities; else towards that device.
//! 3. Without a token: from a device that has registered the same contact at the same address, or, over TCP, whose
//!    source address cannot be invented, the same identity. So a device may change to TCP for a long message
//!    (RFC 3261 §18.1.1) or reconnect. Not from behind a NAT, where one address has many hosts.
//! 4. OPTIONS to us is answered, a call for help gets its 380, all else is refused with 403.

use clock::Instant;
use node::{Flow, ServerKey, Store, Transport};
use sip::message::Name;
use sip::{Draft, Message, Method, NameAddress, Uri};

use crate::Pcscf;
use crate::binding::{Binding, BindingKey, contact_place};
use crate::emergency;
use crate::headers;
use crate::token::{Refused, Token, Usage};

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A device's; which registration is settled when it matters.
    Device,
    /// The core's, for the device of the token.
    Core(Token),
    /// Nobody's that we know.
    Unknown,
    /// It carries a token that is not ours, or one used where it has no right.
    Forged,
}

/// A request that opens something: outside any dialog (RFC 3261 §12.2).
pub(crate) fn is_initial(request: &Message) -> bool {
    request.to().is_none_or(|to| to.tag().is_none())
}

/// Requests that form a dialog, and so want a Record-Route (RFC 3261 §12, RFC 6665, RFC 3515).
pub(crate) fn is_dialog_forming(method: Method<'_>) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer)
}

impl<S: Store> Pcscf<S> {
    /// Any request but REGISTER, ACK and CANCEL.
    pub(crate) fn on_request(&mut self, now: Instant, server: ServerKey, request: Message, flow: Flow) {
        if self.refuse_unsupported(server, &request) || self.refuse_overload(server, &request) {
            return;
        }
        let side = self.side_of(&request, &flow);
        if !matches!(side, Side::Core(_)) && is_initial(&request) {
            if self.is_for_us(&request) {
                return self.respond(server, &request, 200, "OK");
            }
            if self.is_emergency(request.request_uri()) {
                return self.refuse_emergency(server, &request, &flow);
            }
        }
        match side {
            Side::Device => self.on_device_request(now, server, request, flow),
            Side::Core(token) => self.on_core_request(now, server, request, flow, token),
            Side::Unknown => self.refuse_unknown(server, &request, "Not registered from this address"),
            Side::Forged => self.refuse_unknown(server, &request, "The Route was not made here"),
        }
    }

    pub(crate) fn side_of(&self, request: &Message, flow: &Flow) -> Side {
        if self.bindings.of_flow(flow).next().is_some() {
            return Side::Device;
        }
        match self.top_token(request) {
            Some(Ok(token)) if is_same_flow(&token.flow, flow) => Side::Device,
            Some(Ok(token)) if token.usage == Usage::RecordRoute && is_initial(request) => Side::Forged,
            Some(Ok(token)) if token.usage == Usage::RecordRoute && self.is_moved(&token, request, flow) => {
                Side::Device
            }
            Some(Ok(token)) => Side::Core(token),
            Some(Err(Refused::Forged)) => Side::Forged,
            Some(Err(Refused::Foreign)) | None => match self.binding_elsewhere(request, flow) {
                Some(_) => Side::Device,
                None => Side::Unknown,
            },
        }
    }

    /// The token in the topmost Route.
    fn top_token(&self, request: &Message) -> Option<Result<Token, Refused>> {
        let route = NameAddress::parse(request.values(Name::Route).next()?)?;
        Some(self.token_key.open(route.uri()?.user?))
    }

    /// Is it the token's own device, over a new flow?
    fn is_moved(&self, token: &Token, request: &Message, flow: &Flow) -> bool {
        let Some(binding) = self.bindings.binding(token.binding) else { return false };
        let from = request.from().and_then(|from| from.uri());
        is_same_host(binding, flow) && from.is_some_and(|from| binding.identity_of(&from).is_some())
    }

    /// The registration behind a request of a device. Several devices may share a flow (test tools, gateways): then
    /// the preferred identity, From and Contact decide, and without a match there is none.
    pub(crate) fn binding_of(&self, request: &Message, flow: &Flow) -> Option<(BindingKey, &Binding)> {
        let mut candidates = self.bindings.of_flow(flow);
        let Some(first) = candidates.next() else { return self.binding_elsewhere(request, flow) };
        if candidates.next().is_none() {
            return Some(first);
        }
        let place = contact_of(request);
        let claimed = claimed_identities(request);
        let by_identity = |uri: &String| {
            let uri = Uri::parse(uri).ok()?;
            let mut fitting =
                self.bindings.of_flow(flow).filter(|(_, binding)| binding.identity_of(&uri).is_some());
            let first = fitting.next()?;
            // Two registrations of one identity on one flow: the contact tells them apart.
            let is_exact =
                |(_, binding): &(BindingKey, &Binding)| Some(contact_place(&binding.contact)) == place;
            Some(if is_exact(&first) { first } else { fitting.find(is_exact).unwrap_or(first) })
        };
        claimed.iter().find_map(by_identity).or_else(|| {
            let place = place.as_ref()?;
            self.bindings.of_flow(flow).find(|(_, binding)| contact_place(&binding.contact) == *place)
        })
    }

    /// The registration of a device whose request came over another flow than its REGISTER; rule 3 above.
    fn binding_elsewhere(&self, request: &Message, flow: &Flow) -> Option<(BindingKey, &Binding)> {
        let place = contact_of(request);
        let records = claimed_identities(request);
        let records = records.iter().map(|uri| crate::binding::record_of(uri));
        let mut same_host = records
            .flat_map(|record| self.bindings.of_identity(&record).collect::<Vec<_>>())
            .filter(|(_, binding)| is_same_host(binding, flow));
        same_host.find(|(_, binding)| {
            flow.transport == Transport::Tcp
                || place.as_ref().is_some_and(|at| *at == contact_place(&binding.contact))
        })
    }

    /// Remembers a connection a request came on, and lets a registered device that has reconnected be reached over it.
    pub(crate) fn note_connection(&mut self, flow: Flow) {
        if let Some(connection) = flow.connection {
            self.connections.insert(connection, flow);
        }
    }

    /// Is this connection still the one it was?
    pub(crate) fn is_open(&self, flow: &Flow) -> bool {
        let open = flow.connection.and_then(|connection| self.connections.get(&connection));
        open.is_some_and(|open| open.remote == flow.remote)
    }

    /// A registered device speaks over another stream connection than before: from now on it is reached over this one.
    pub(crate) fn follow_device(&mut self, key: BindingKey, flow: Flow) {
        let Some(binding) = self.bindings.binding(key) else { return };
        let is_stream = binding.flow.transport == Transport::Tcp && flow.transport == Transport::Tcp;
        if is_stream && binding.flow.connection != flow.connection && !self.is_open(&binding.flow) {
            let moved = Binding { flow, ..binding.clone() };
            self.bindings.put(key, moved);
            self.commit_bindings();
        }
    }

    fn is_for_us(&self, request: &Message) -> bool {
        let uri = Uri::parse(request.request_uri());
        request.method() == Method::Options
            && uri.is_ok_and(|uri| uri.user.is_none() && self.addresses.is_own(&uri))
    }

    /// RFC 3261 §16.3 step 5. Did it?
    pub(crate) fn refuse_unsupported(&mut self, server: ServerKey, request: &Message) -> bool {
        let Some(unsupported) = headers::unsupported(request) else { return false };
        self.respond_with(server, request, 420, "Bad Extension", |draft: &mut Draft| {
            draft.push_back(Name::Unsupported, unsupported);
        });
        true
    }

    /// Too much under way? Devices come back after Retry-After. Did it?
    pub(crate) fn refuse_overload(&mut self, server: ServerKey, request: &Message) -> bool {
        if !self.exchanges.is_full() {
            return false;
        }
        self.output.push_back(node::Decision::Event(node::Event::Shed {
            method: request.method().as_str().to_owned(),
        }));
        self.respond_with(server, request, 503, "Too much to do", |draft| {
            draft.push_back(Name::RetryAfter, "5")
        });
        true
    }

    fn refuse_unknown(&mut self, server: ServerKey, request: &Message, reason: &'static str) {
        let identity = request.from().map_or("", |from| from.uri_text).to_owned();
        self.procedure(
            crate::respond::procedure(request.method()),
            "not_registered",
            identity,
            reason.to_owned(),
        );
        self.respond(server, request, 403, reason);
    }

    fn refuse_emergency(&mut self, server: ServerKey, request: &Message, flow: &Flow) {
        let identity = request.from().map_or("", |from| from.uri_text).to_owned();
        let own_uri = match self.binding_of(request, flow) {
            Some((_, binding)) => binding.path.clone(),
            None => format!("sip:{}", self.addresses.device(flow).1),
        };
        self.procedure("emergency_call", "refused", identity, String::new());
        self.respond_with(
            server,
            request,
            380,
            "Emergency calls are not offered here, use another network",
            |draft| {
                emergency::dress_emergency(draft, &own_uri);
            },
        );
    }
}

/// Does it come from the device's own host? An address that many share behind a NAT says nothing: there a new flow needs
/// a new REGISTER, as the standard has it for all (TS 24.229 §5.2.6.3.1, annex K).
fn is_same_host(binding: &Binding, flow: &Flow) -> bool {
    binding.is_alone_at_its_address && binding.flow.remote.ip() == flow.remote.ip()
}

/// UDP: the same address; TCP: the same connection, or its successor from the same address and port.
fn is_same_flow(token: &Flow, flow: &Flow) -> bool {
    token.transport == flow.transport && token.remote == flow.remote
}

/// Who a request says it is from, the more binding word first.
fn claimed_identities(request: &Message) -> Vec<String> {
    let from = request.from().map(|from| from.uri_text.to_owned());
    headers::preferred_identity(request).into_iter().chain(from).collect()
}

fn contact_of(request: &Message) -> Option<String> {
    let contact = NameAddress::parse(request.values(Name::Contact).next()?)?;
    Some(contact_place(contact.uri_text))
}
