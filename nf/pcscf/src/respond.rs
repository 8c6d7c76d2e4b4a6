//! Responses: what a device may read of the core's, and what the core is told about a device's.

use clock::Instant;
use node::{Decision, Origin, ServerKey, Store};
use sip::message::Name;
use sip::{Draft, Message, Method};

use crate::Pcscf;
use crate::exchange::{Exchange, FromDevice, TowardsDevice};
use crate::headers;

/// The name under which requests of a method are counted.
pub(crate) fn procedure(method: Method<'_>) -> &'static str {
    match method {
        Method::Invite => "call",
        Method::Message => "message",
        Method::Subscribe => "subscription",
        Method::Notify => "notification",
        Method::Register => "registration",
        _ => "other",
    }
}

/// The word for a final status.
pub(crate) fn outcome(status: u16) -> &'static str {
    match status {
        200..300 => "ok",
        300..400 => "redirected",
        400 => "bad_request",
        401 | 407 => "challenged",
        403 => "forbidden",
        404 => "unknown_subscriber",
        408 => "timed_out",
        423 => "too_brief",
        430 => "flow_failed",
        480 => "unavailable",
        486 | 600 => "busy",
        487 => "cancelled",
        503 => "overloaded",
        504 => "server_timeout",
        603 => "declined",
        500..600 => "server_error",
        _ => "refused",
    }
}

impl<S: Store> Pcscf<S> {
    /// A response to pass on.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        server: ServerKey,
        response: &Message,
        origin: Origin,
    ) {
        let status = response.status();
        match self.exchanges.find(server) {
            Some(Exchange::Register(registering)) => {
                self.on_register_response(now, server, response, origin, &registering);
            }
            Some(Exchange::FromDevice(exchange)) => {
                self.answer_device(now, server, response, origin, &exchange)
            }
            Some(Exchange::TowardsDevice(exchange)) => {
                self.answer_core(now, server, response, origin, &exchange)
            }
            // The shell's promise makes this impossible while a transaction lives; a caller must not go without an answer.
            None => {
                let mut draft = Draft::relay(response);
                headers::strip_confidential(&mut draft);
                self.output.push_back(Decision::Respond { server, response: draft });
            }
        }
        if status >= 200 {
            let is_invite_success = status < 300 && response.method() == Method::Invite;
            self.exchanges.finish(now, server, is_invite_success);
        }
    }

    /// From the core to the device that asked.
    fn answer_device(
        &mut self,
        now: Instant,
        server: ServerKey,
        response: &Message,
        origin: Origin,
        exchange: &FromDevice,
    ) {
        let status = response.status();
        if origin != Origin::Received && exchange.is_initial {
            let detail = match origin {
                Origin::Unreachable => "the S-CSCF cannot be reached",
                _ => "the S-CSCF does not answer",
            };
            return self.lose_server(server, exchange, detail);
        }
        if (101..300).contains(&status) && exchange.is_initial && exchange.request.method() == Method::Invite
        {
            self.dialogs.put_called(now, response);
        }
        let mut draft = Draft::relay(response);
        headers::strip_confidential(&mut draft);
        if status >= 200 && exchange.is_initial {
            let detail = format!("{status} {}", response.reason());
            let name = procedure(exchange.request.method());
            self.procedure(name, outcome(status), exchange.identity.clone(), detail);
        }
        self.output.push_back(Decision::Respond { server, response: draft });
    }

    /// From a device to the core.
    fn answer_core(
        &mut self,
        now: Instant,
        server: ServerKey,
        response: &Message,
        origin: Origin,
        exchange: &TowardsDevice,
    ) {
        if origin == Origin::Unreachable {
            return self.report_lost_flow(server, &exchange.request, exchange.is_outbound);
        }
        let status = response.status();
        let mut draft = Draft::relay(response);
        headers::strip_untrusted(&mut draft);
        if (101..300).contains(&status) && !exchange.record_routes.is_empty() {
            self.dialogs.put_answered(now, &exchange.request, &exchange.record_routes, response);
            // A device that does not copy the list (RFC 3261 §12.1.1 says it must) would leave us all out of its call:
            // TS 24.229 §5.2.6.4.4 lets us put it back.
            if response.header(Name::RecordRoute).is_none() {
                exchange
                    .record_routes
                    .iter()
                    .for_each(|route| draft.push_back(Name::RecordRoute, route.clone()));
            }
        }
        if let Some(answerer) = &exchange.answerer
            && status < 300
        {
            let identity = self.preferred_answerer(response, exchange).unwrap_or_else(|| answerer.clone());
            draft.push_back(Name::PAssertedIdentity, format!("<{identity}>"));
        }
        if let Some(vector) = &exchange.charging_vector {
            draft.push_back(Name::PChargingVector, vector.clone());
        }
        self.output.push_back(Decision::Respond { server, response: draft });
    }

    /// The identity a device prefers to answer with, if it is one of its own.
    fn preferred_answerer(&self, response: &Message, exchange: &TowardsDevice) -> Option<String> {
        let preferred = headers::preferred_identity(response)?;
        let binding = self.bindings.binding(exchange.binding)?;
        Some(binding.identity_of(&sip::Uri::parse(&preferred).ok()?)?.to_owned())
    }
}
