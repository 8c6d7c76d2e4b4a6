//! The terminating role: a request for a user who is served here (TS 24.229 §5.4.3.3, spec 4.3.1 "S term").

use std::collections::BTreeSet;

use clock::Instant;
use node::{Branch, Decision, ServerKey};
use sip::{Draft, Message, Method, Name};

use crate::Scscf;
use crate::contact::Contact;
use crate::originate::forms_dialog;
use crate::registrar::{RegistrationSet, SetId};
use crate::route::Forwarded;
use crate::text::Text;

impl Scscf {
    /// `identity` is the wanted public identity; it is in set `id`.
    pub(crate) fn terminate(
        &mut self,
        now: Instant,
        server: ServerKey,
        request: Message,
        id: SetId,
        identity: &Text,
    ) {
        let Some(set) = self.registrar.set(id) else {
            return self.refuse(server, &request, 480, "Temporarily Unavailable");
        };
        if set.identity(identity).is_none_or(|identity| identity.is_barred) {
            // TS 24.229 §5.4.3.3: a barred identity does not exist for others.
            return self.refuse(server, &request, 404, "Not Found");
        }
        if request.method() == Method::Subscribe && crate::reg_event::is_reg(&request) {
            return self.handle_subscribe(now, server, &request, id);
        }
        let draft = self.prepare(&request);
        let (branches, contacts): (Vec<Branch>, Vec<u64>) = targets(set, now)
            .filter_map(|contact| Some((self.branch_to(&draft, &request, set, contact)?, contact.id)))
            .unzip();
        if branches.is_empty() {
            return self.refuse(server, &request, 480, "Temporarily Unavailable");
        }
        let forwarded =
            Forwarded::Terminating { request, set: id, branches: contacts, identity: identity.clone() };
        self.forwarded.insert(server, forwarded);
        self.output.push_back(Decision::Forward { server, branches, patience: None });
    }

    /// The request as it goes to one contact; `None` when there is no way to it.
    fn branch_to(
        &self,
        draft: &Draft,
        request: &Message,
        set: &RegistrationSet,
        contact: &Contact,
    ) -> Option<Branch> {
        let mut draft = draft.clone();
        draft.set_request_uri(contact.uri());
        // RFC 7315 §4.2: which of its identities was wanted, now that the Request-URI does not say any more.
        draft.replace(Name::PCalledPartyId, format!("<{}>", request.request_uri()));
        draft.remove(Name::Route);
        if !contact.path.is_empty() {
            draft.push_back(Name::Route, &*contact.path);
        }
        if forms_dialog(request.method()) {
            draft.push_front(Name::RecordRoute, self.own.record_route());
        }
        draft.remove(Name::PChargingFunctionAddresses);
        if let Some(addresses) = &set.charging {
            draft.push_back(Name::PChargingFunctionAddresses, &**addresses);
        }
        let destination = self.own.resolve_uri(node::forward::next_hop(&draft))?;
        Some(Branch { request: draft, destination })
    }

    /// The P-CSCF has no flow to that device any more: the contact goes, and another flow of the device gets its turn.
    pub(crate) fn on_branch_flow_failed(
        &mut self,
        now: Instant,
        server: ServerKey,
        request: Message,
        id: SetId,
        contact: Option<&u64>,
        identity: &Text,
    ) {
        if let Some(contact) = contact {
            self.on_flow_failed(now, id, *contact);
        }
        match self.registrar.find(identity) {
            // Each turn removes a contact, so this ends.
            Some(id) if contact.is_some() => self.terminate(now, server, request, id, identity),
            _ => self.refuse(server, &request, 480, "Temporarily Unavailable"),
        }
    }
}

/// The contacts to try in parallel: of each device (instance) the flow registered last, since a device must not get
/// the same request over two flows (RFC 5626 §6).
fn targets(set: &RegistrationSet, now: Instant) -> impl Iterator<Item = &Contact> {
    let mut seen = BTreeSet::new();
    let mut chosen: Vec<&Contact> = set
        .contacts
        .iter()
        .rev()
        .filter(|contact| contact.expires_at > now)
        .filter(|contact| contact.parameter("+sip.instance").is_none_or(|instance| seen.insert(instance)))
        .collect();
    chosen.reverse();
    chosen.into_iter()
}
