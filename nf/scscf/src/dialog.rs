//! Requests inside a dialog: they follow the Route that Record-Route made of them; nothing is remembered here
//! (RFC 3261 §16.12).

use clock::Instant;
use node::{Branch, Decision, ServerKey, forward};
use sip::{Message, Method, Name, Uri};

use crate::Scscf;

impl Scscf {
    pub(crate) fn handle_in_dialog(&mut self, now: Instant, server: ServerKey, request: Message) {
        let draft = self.prepare(&request);
        let is_for_us = draft.values(Name::Route).next().is_none()
            && Uri::parse(request.request_uri()).is_ok_and(|uri| self.own.is_own(&uri));
        if is_for_us {
            return match request.method() {
                Method::Subscribe => self.handle_resubscribe(now, server, &request),
                _ => self.refuse(server, &request, 481, "Call/Transaction Does Not Exist"),
            };
        }
        match self.own.resolve_uri(forward::next_hop(&draft)) {
            Some(destination) => {
                let branches = vec![Branch { request: draft, destination }];
                self.output.push_back(Decision::Forward { server, branches, patience: None });
            }
            None => self.refuse(server, &request, 404, "Not Found"),
        }
    }

    /// The ACK of a 2xx goes the same way, without a transaction; one that leads nowhere is dropped.
    pub(crate) fn handle_ack(&mut self, request: &Message) {
        let draft = self.prepare(request);
        let next = forward::next_hop(&draft);
        let is_for_us = Uri::parse(next).is_ok_and(|uri| self.own.is_own(&uri));
        if let Some(destination) = self.own.resolve_uri(next).filter(|_| !is_for_us) {
            self.output.push_back(Decision::SendStateless { request: draft, destination });
        }
    }
}
