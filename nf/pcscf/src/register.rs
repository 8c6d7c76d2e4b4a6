//! REGISTER (TS 24.229 §5.2.2; spec 4.2 rows 2, 7, 9 and 14): the Path, the marks of the visited network, and the
//! binding that a 200 makes.
//!
//! There is no IPsec here, so no security association either: an AKA device is marked `integrity-protected="no"` and
//! authenticates with an unprotected second REGISTER (spec 4.2.2); a digest device is marked with the state of its IP
//! association (TS 24.229 §5.2.2.3).

use clock::{Duration, Instant};
use node::mirror::Word;
use node::{Branch, Decision, Flow, Origin, ServerKey, Store, forward};
use sip::message::Name;
use sip::{Draft, Message, NameAddress};

use crate::Pcscf;
use crate::address::own_uri;
use crate::binding::{BINDINGS_MAX, Binding, BindingKey, contact_place};
use crate::exchange::{Exchange, Registering, Wanted};
use crate::headers;
use crate::respond::outcome;
use crate::token::{Token, Usage};

/// Contacts one REGISTER may carry. A device has one; more would share one Path.
const CONTACTS_MAX: usize = 5;

/// Why a REGISTER is refused without asking the home network.
struct Refusal {
    status: u16,
    reason: &'static str,
    cause: &'static str,
}

const fn refusal(status: u16, reason: &'static str, cause: &'static str) -> Refusal {
    Refusal { status, reason, cause }
}

impl<S: Store> Pcscf<S> {
    /// A REGISTER of a device.
    pub(crate) fn on_register(&mut self, now: Instant, server: ServerKey, request: Message, flow: Flow) {
        if self.refuse_unsupported(server, &request) || self.refuse_overload(server, &request) {
            return;
        }
        match self.read_register(&request, flow) {
            Ok(registering) => self.forward_register(now, server, registering),
            Err(refusal) => {
                let identity = request.to().map_or("", |to| to.uri_text).to_owned();
                self.procedure("registration", refusal.cause, identity, refusal.reason.to_owned());
                self.respond(server, &request, refusal.status, refusal.reason);
            }
        }
    }

    /// Checks what the standard lets the P-CSCF check, and notes what the 200 will bind.
    fn read_register(&mut self, request: &Message, flow: Flow) -> Result<Registering, Refusal> {
        let to = request.to().and_then(|to| to.uri()).ok_or(refusal(400, "To is no URI", "bad_request"))?;
        let identity = to.address_of_record();
        let header_expires = request.number(Name::Expires);
        let values: Vec<_> = request.values(Name::Contact).collect();
        if values.is_empty() {
            return Err(refusal(400, "Contact is missing", "no_contact"));
        }
        if values.len() > CONTACTS_MAX {
            return Err(refusal(400, "Too many contacts in one REGISTER", "too_many_contacts"));
        }
        let is_wildcard = values.contains(&"*");
        if is_wildcard && (values.len() > 1 || header_expires != Some(0)) {
            // RFC 3261 §10.2.2.
            return Err(refusal(400, "Contact * stands alone and with Expires 0", "bad_contact"));
        }
        let supports_outbound = request.has_token(Name::Supported, "outbound");
        let mut contacts = Vec::new();
        let mut is_removal = true;
        for value in values.iter().filter(|value| **value != "*") {
            let contact = NameAddress::parse(value);
            let contact =
                contact.filter(|contact| contact.uri().is_some_and(|uri| uri.user.is_some() || is_sip(&uri)));
            let contact = contact.ok_or(refusal(400, "Contact is no SIP URI", "bad_contact"))?;
            if contact.uri().is_some_and(|uri| uri.parameter("sos").is_some()) {
                return Err(refusal(403, "Emergency registration is not offered", "emergency"));
            }
            let expires =
                contact.parameters.value("expires").and_then(|text| text.parse().ok()).or(header_expires);
            is_removal &= expires == Some(0);
            contacts.push(wanted(&identity, &contact, supports_outbound));
        }
        let key = contacts.first().map_or(BindingKey(0), |contact| contact.key);
        let path = self.path_uri(flow, key, contacts.iter().any(|contact| contact.is_outbound));
        contacts.iter_mut().for_each(|contact| contact.path.clone_from(&path));
        let is_known = contacts.iter().any(|contact| self.bindings.binding(contact.key).is_some());
        if !is_known && self.bindings.count() >= BINDINGS_MAX {
            return Err(refusal(503, "Too many devices", "full"));
        }
        let procedure = Word(match (is_removal, is_known) {
            (true, _) => "de_registration",
            (false, true) => "re_registration",
            (false, false) => "registration",
        });
        Ok(Registering { request: request.clone(), flow, identity, contacts, procedure })
    }

    /// Our URI in the Path: the flow token tells us later how to reach the device (RFC 3327, RFC 5626 §5.1).
    fn path_uri(&self, flow: Flow, binding: BindingKey, is_outbound: bool) -> String {
        let token = self.token_key.seal(&Token { usage: Usage::Path, flow, binding });
        let uri = own_uri(&token, self.addresses.core(self.icscf.remote.is_ipv6()));
        if is_outbound { format!("{uri};ob") } else { uri }
    }

    fn forward_register(&mut self, _now: Instant, server: ServerKey, registering: Registering) {
        let request = &registering.request;
        let mut draft = forward::prepare(request);
        headers::strip_security_agreement(&mut draft);
        headers::strip_untrusted(&mut draft);
        // The device's own Route leads here; where a REGISTER goes is decided by our configuration.
        draft.remove(Name::Route);
        draft.remove(Name::Path);
        self.name_home(&mut draft);
        let path = match registering.contacts.first() {
            Some(contact) => contact.path.clone(),
            None => self.path_uri(registering.flow, BindingKey(0), false),
        };
        draft.push_front(Name::Path, format!("<{path}>"));
        if !request.has_token(Name::Require, "path") {
            draft.push_back(Name::Require, "path");
        }
        draft.push_back(Name::PVisitedNetworkId, headers::token_or_quoted(&self.own.visited_network));
        let vector = self.marks.charging_vector(Some(&self.own.visited_network));
        draft.push_back(Name::PChargingVector, vector);
        self.mark_integrity(&mut draft, &registering);
        self.exchanges.insert(server, Exchange::Register(registering));
        let branches = vec![Branch { request: draft, destination: self.icscf }];
        // The I-CSCF may have to try a second S-CSCF: it has as long as timer F allows.
        self.output.push_back(Decision::Forward { server, branches, patience: None });
    }

    /// Says in Authorization how far the way to the device is to be trusted, whatever the device said about it.
    fn mark_integrity(&self, draft: &mut Draft, registering: &Registering) {
        let request = &registering.request;
        let values: Vec<_> = request.headers(Name::Authorization).collect();
        if values.is_empty() {
            return;
        }
        let has_association = self
            .bindings
            .of_flow(&registering.flow)
            .any(|(_, binding)| binding.identity == registering.identity);
        draft.remove(Name::Authorization);
        for value in values {
            let is_aka = request.header(Name::SecurityClient).is_some()
                || headers::digest_parameter(value, "algorithm").is_some_and(|name| name.starts_with("AKA"));
            let mark = match (is_aka, has_association) {
                (true, _) => "integrity-protected=\"no\"",
                (false, true) => "integrity-protected=\"ip-assoc-yes\"",
                (false, false) => "integrity-protected=\"ip-assoc-pending\"",
            };
            let edited = headers::edit_digest(value, &["integrity-protected"], Some(mark));
            draft.push_back(Name::Authorization, edited.unwrap_or_else(|| value.to_owned()));
        }
    }

    /// The home network's answer to a REGISTER.
    pub(crate) fn on_register_response(
        &mut self,
        now: Instant,
        server: ServerKey,
        response: &Message,
        origin: Origin,
        registering: &Registering,
    ) {
        let status = response.status();
        if origin != Origin::Received {
            // TS 24.229 §5.2.2.1: no I-CSCF answers.
            self.procedure(
                registering.procedure.0,
                "server_timeout",
                registering.identity.clone(),
                String::new(),
            );
            return self.respond(server, &registering.request, 504, "The home network does not answer");
        }
        let mut draft = Draft::relay(response);
        headers::strip_confidential(&mut draft);
        match status {
            200..300 => {
                self.bind(now, response, registering);
                self.commit_bindings();
            }
            401 | 407 => hide_keys(&mut draft, response),
            _ => {}
        }
        if status >= 200 && !matches!(status, 401 | 407) {
            let detail = format!("{status} {}", response.reason());
            self.procedure(registering.procedure.0, outcome(status), registering.identity.clone(), detail);
        }
        self.output.push_back(Decision::Respond { server, response: draft });
    }

    /// Makes, renews and ends bindings as the 200 says.
    fn bind(&mut self, now: Instant, response: &Message, registering: &Registering) {
        if registering.contacts.is_empty() {
            let all: Vec<_> = self.bindings.of_identity(&registering.identity).map(|(key, _)| key).collect();
            for key in all {
                self.bindings.remove(key);
            }
            return;
        }
        let granted: Vec<_> = response.values(Name::Contact).filter_map(NameAddress::parse).collect();
        for contact in &registering.contacts {
            let seconds = granted.iter().find(|candidate| is_same(candidate, contact)).map(|granted| {
                let parameter = granted.parameters.value("expires").and_then(|text| text.parse().ok());
                parameter.or_else(|| response.number(Name::Expires)).unwrap_or(0)
            });
            match seconds {
                Some(seconds) if seconds > 0 => {
                    let binding = self.binding(now, response, registering, contact, seconds);
                    self.bindings.put(contact.key, binding);
                }
                _ => self.unbind(contact),
            }
        }
    }

    fn binding(
        &self,
        now: Instant,
        response: &Message,
        registering: &Registering,
        contact: &Wanted,
        seconds: u32,
    ) -> Binding {
        let associated = response.values(Name::PAssociatedUri).filter_map(NameAddress::parse);
        let mut identities: Vec<_> = associated.map(|identity| identity.uri_text.to_owned()).collect();
        if identities.is_empty() {
            identities.push(registering.identity.clone());
        }
        Binding {
            identity: registering.identity.clone(),
            identities,
            contact: contact.uri.clone(),
            service_route: response.values(Name::ServiceRoute).map(str::to_owned).collect(),
            path: contact.path.clone(),
            flow: registering.flow,
            is_outbound: contact.is_outbound,
            is_in_the_open: via_address(&registering.request) == Some(registering.flow.remote),
            is_alone_at_its_address: via_address(&registering.request)
                .is_some_and(|address| address.ip() == registering.flow.remote.ip().to_canonical()),
            charging_function_addresses: response.header(Name::PChargingFunctionAddresses).map(str::to_owned),
            expires: self.bindings.wall_at(now + Duration::from_secs(seconds.into())),
        }
    }

    /// Ends a binding, and with it those of the same contact for the other identities of its implicit set: they are
    /// registered and de-registered together (TS 23.228 §5.2.1a).
    fn unbind(&mut self, contact: &Wanted) {
        let Some(binding) = self.bindings.remove(contact.key) else { return };
        let place = contact_place(&binding.contact);
        for identity in &binding.identities {
            let record = crate::binding::record_of(identity);
            let same = self
                .bindings
                .of_identity(&record)
                .filter(|(_, other)| contact_place(&other.contact) == place);
            for key in same.map(|(key, _)| key).collect::<Vec<_>>() {
                self.bindings.remove(key);
            }
        }
    }
}

fn is_sip(uri: &sip::Uri<'_>) -> bool {
    matches!(uri.scheme, sip::uri::Scheme::Sip | sip::uri::Scheme::Sips)
}

fn wanted(identity: &str, contact: &NameAddress<'_>, supports_outbound: bool) -> Wanted {
    let parameter = |name| contact.parameters.value(name).map(str::to_owned);
    let (instance, reg_id) = (parameter("+sip.instance"), parameter("reg-id"));
    Wanted {
        key: BindingKey::of(identity, contact),
        uri: contact.uri_text.to_owned(),
        is_outbound: supports_outbound && instance.is_some() && reg_id.is_some(),
        instance,
        reg_id,
        path: String::new(),
    }
}

/// What the device takes for its own address. A device behind NAT writes another one into its Via than we see.
fn via_address(request: &Message) -> Option<std::net::SocketAddr> {
    let via = request.via()?;
    let ip: std::net::IpAddr = match via.host {
        sip::Host::V4(ip) => ip.into(),
        sip::Host::V6(ip) => ip.into(),
        sip::Host::Name(_) => return None,
    };
    Some(std::net::SocketAddr::new(ip, via.port.unwrap_or(node::topology::DEFAULT_SIP_PORT)))
}

/// Is the contact granted the one that was asked for?
fn is_same(granted: &NameAddress<'_>, wanted: &Wanted) -> bool {
    let instance = granted.parameters.value("+sip.instance");
    if instance.is_some() && instance == wanted.instance.as_deref() {
        return granted.parameters.value("reg-id") == wanted.reg_id.as_deref();
    }
    granted.uri_text == wanted.uri || contact_place(granted.uri_text) == contact_place(&wanted.uri)
}

/// Takes CK and IK out of a challenge: they are for the P-CSCF alone (TS 24.229 §5.2.2.2).
fn hide_keys(draft: &mut Draft, response: &Message) {
    let values: Vec<_> = response.headers(Name::WwwAuthenticate).collect();
    draft.remove(Name::WwwAuthenticate);
    for value in values {
        let hidden = headers::edit_digest(value, &["ck", "ik"], None);
        draft.push_back(Name::WwwAuthenticate, hidden.unwrap_or_else(|| value.to_owned()));
    }
}
