//! The originating role: a registered user's new request on its way out (TS 24.229 §5.4.3.2, spec 4.3.1 "S orig").

use clock::Instant;
use node::mirror::Word;
use node::{Branch, Decision, Destination, ServerKey, forward};
use rand::Rng;
use sip::uri::{Scheme, Uri};
use sip::{Message, Method, Name};

use crate::registrar::SetId;
use crate::route::{Forwarded, procedure_of};
use crate::text::Text;
use crate::{Scscf, charging};

impl Scscf {
    /// `identity` is the asserted public identity; it is in set `id`.
    pub(crate) fn originate(
        &mut self,
        now: Instant,
        server: ServerKey,
        request: Message,
        id: SetId,
        identity: &Text,
    ) {
        let name = procedure_of(request.method());
        let Some(set) = self.registrar.set(id) else {
            return self.refuse_with_restoration(server, &request);
        };
        if set.identity(identity).is_none_or(|identity| identity.is_barred) {
            self.event(name, "barred", identity, "");
            return self.refuse(server, &request, 403, "Forbidden");
        }
        let asks_for_itself = || {
            Uri::parse(request.request_uri())
                .is_ok_and(|uri| set.identity(&uri.address_of_record()).is_some())
        };
        if request.method() == Method::Subscribe && crate::reg_event::is_reg(&request) && asks_for_itself() {
            return self.handle_subscribe(now, server, &request, id);
        }
        // The other form of the identity (tel for sip, sip for tel), so that either kind of network can show it.
        let second = (request.values(Name::PAssertedIdentity).count() == 1)
            .then(|| {
                let is_tel = identity.starts_with("tel:");
                set.identities.iter().find(|each| !each.is_barred && each.is_tel() != is_tel)
            })
            .flatten()
            .filter(|each| each.is_tel() || identity.starts_with("tel:"))
            .map(|each| each.uri.clone());
        let addresses = set.charging.clone();

        let mut draft = self.prepare(&request);
        let random = &mut self.random.charging;
        let icid = || format!("{:016x}{:016x}", random.next_u64(), random.next_u64());
        let vector = charging::vector(&request, "orig-ioi", &self.own.home_domain, icid);
        draft.replace(Name::PChargingVector, vector);
        draft.remove(Name::PPreferredService);
        if let Some(second) = second {
            draft.push_back(Name::PAssertedIdentity, format!("<{second}>"));
        }
        if forms_dialog(request.method()) {
            draft.push_front(Name::RecordRoute, self.own.record_route());
        }
        let (destination, is_home) = match self.next_network(forward::next_hop(&draft)) {
            Ok(found) => found,
            Err((status, reason)) => {
                self.event(name, "not_found", identity, reason);
                return self.refuse(server, &request, status, reason);
            }
        };
        draft.remove(Name::PChargingFunctionAddresses);
        match addresses {
            // Only inside the own network (RFC 7315 §5.6): another operator has no business with our charging
            // functions, nor with where our user is.
            Some(addresses) if is_home => draft.push_back(Name::PChargingFunctionAddresses, &*addresses),
            Some(_) | None if is_home => {}
            _ => draft.remove(Name::PAccessNetworkInfo),
        }
        self.forwarded
            .insert(server, Forwarded::Originating { name: Word(name), identity: identity.clone() });
        let branches = vec![Branch { request: draft, destination }];
        self.output.push_back(Decision::Forward { server, branches, patience: None });
    }

    /// Where a request for `uri` goes, and whether that is our own network.
    fn next_network(&self, uri: &str) -> Result<(Destination, bool), (u16, &'static str)> {
        let parsed = Uri::parse(uri).map_err(|_| (400, "Malformed URI"))?;
        // There is no ENUM: a telephone number belongs to a user of ours or to nobody (spec 5.3: failure 404). A
        // number at another domain is that domain's to understand (RFC 3261 §19.1.6).
        if parsed.scheme == Scheme::Tel || self.own.is_home(&parsed) {
            return self.own.icscf.map(|icscf| (icscf, true)).ok_or((503, "Service Unavailable"));
        }
        if self.own.is_own(&parsed) {
            return Err((404, "Not Found"));
        }
        self.own.resolve_uri(uri).map(|destination| (destination, false)).ok_or((404, "Not Found"))
    }
}

/// Does a request of this method want this server on the path of what follows?
pub(crate) fn forms_dialog(method: Method<'_>) -> bool {
    matches!(method, Method::Invite | Method::Subscribe | Method::Refer)
}
