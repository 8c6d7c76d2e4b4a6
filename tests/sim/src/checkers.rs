//! What must hold whatever happens. Checkers sit outside the system: they see what devices see and what functions
//! report, never their insides.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use node::Event;
use node::config::FunctionKind;

use crate::core::address;
use clock::Instant;
use sip::{Message, Method, Name};
use ue::{Failure, Report};

/// Header fields that never leave the trust domain towards a device (TS 24.229 §4.4, §5.2).
const PRIVATE_FIELDS: [Name; 3] =
    [Name::PChargingVector, Name::PChargingFunctionAddresses, Name::PVisitedNetworkId];

/// How a request of a device ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As hoped for.
    Success,
    /// Not.
    Failure(Failure),
}

/// The state of all checkers.
#[derive(Default)]
pub struct Checkers {
    violations: Vec<String>,
    /// What arrived at a user more than once.
    pub delivered_twice: BTreeSet<(usize, String)>,
    /// Somebody sends garbage.
    pub has_adversary: bool,
    /// Functions stand still now and then: whoever connects to one then waits in vain.
    pub has_standstills: bool,
    /// MESSAGEs and calls by Call-ID: how each ended at its originator.
    pub ends: BTreeMap<String, End>,
    /// How often each arrived at a user.
    arrivals: BTreeMap<(usize, String), u32>,
    /// Registrations of each device: the last outcome.
    pub registrations: BTreeMap<usize, End>,
    /// How often each device was registered.
    pub registration_counts: BTreeMap<usize, u64>,
    /// Calls released by BYE.
    pub released: BTreeSet<String>,
    /// Calls whose BYE the S-CSCF has seen: it must, it has put itself into the route (RFC 3261 §16.6 step 4).
    pub byes_at_scscf: BTreeSet<String>,
    /// Challenges after the first in one registration.
    pub second_challenges: u64,
    /// How the BYEs ended that did not end well.
    pub release_failures: BTreeMap<String, Failure>,
}

impl Checkers {
    /// What was broken.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Notes that something is broken.
    pub fn violate(&mut self, what: impl Into<String>) {
        // The first few tell what is wrong; a broken rule can break thousands of times.
        if self.violations.len() < 20 {
            self.violations.push(what.into());
        }
    }

    /// A function sends: what a rule wants in it is in it.
    pub fn on_sent(&mut self, now: Instant, from: FunctionKind, bytes: &Bytes) {
        let Ok(message) = Message::parse(bytes.clone()) else { return };
        if message.method() != Method::Register {
            return;
        }
        let lacks = |name: Name| message.header(name).is_none();
        let is_granted = message.status() == 200 && !lacks(Name::Contact);
        let missing = match from {
            FunctionKind::Pcscf if message.is_request() && lacks(Name::Path) => "Path (RFC 3327 §5.1)",
            FunctionKind::Scscf if is_granted && lacks(Name::ServiceRoute) => "Service-Route (RFC 3608 §5)",
            _ => return,
        };
        let milliseconds = now.as_micros() as f64 / 1000.0;
        let call = message.header(Name::CallId).unwrap_or_default();
        self.violate(format!(
            "{milliseconds:.3} {} sent {} without {missing}, call={call}",
            from.as_str(),
            if message.is_request() { "REGISTER" } else { "the 200 for a REGISTER" },
        ));
    }

    /// A device reports.
    pub fn on_report(&mut self, device: usize, report: Report) {
        match report {
            Report::SecondFinalAnswer { method, statuses: (first, second) } => {
                self.violate(format!(
                    "ue{device}: {method} was answered finally twice: {first}, then {second}"
                ));
            }
            Report::Malformed { reason } => {
                self.violate(format!("ue{device} was sent no SIP message: {reason}"))
            }
            Report::MessageArrived { call, .. } | Report::InviteArrived { call, .. } => {
                let count = self.arrivals.entry((device, call.clone())).or_default();
                *count += 1;
                if *count > 1 {
                    self.delivered_twice.insert((device, call));
                }
            }
            Report::MessageDelivered { call, .. } | Report::Answered { call, .. } => {
                self.end(call, End::Success)
            }
            Report::MessageFailed { call, failure } | Report::CallFailed { call, failure } => {
                self.end(call, End::Failure(failure));
            }
            Report::Registered { .. } => {
                *self.registration_counts.entry(device).or_default() += 1;
                self.registrations.insert(device, End::Success);
            }
            Report::RegistrationFailed(failure) => {
                if let Failure::Challenge(reason) = &failure {
                    self.violate(format!("ue{device}: {reason}"));
                }
                self.registrations.insert(device, End::Failure(failure));
            }
            Report::Challenged { is_second: true, .. } => self.second_challenges += 1,
            Report::Released { call, .. } => {
                self.released.insert(call);
            }
            Report::ReleaseFailed { call, failure } => {
                self.release_failures.insert(call, failure);
            }
            _ => {}
        }
    }

    /// Callee and caller use the same Call-ID; the first end noted is the originator's or equal to it.
    fn end(&mut self, call: String, end: End) {
        self.ends.entry(call).or_insert(end);
    }

    /// A message reaches a device.
    pub fn on_device_receives(&mut self, device: usize, bytes: &Bytes) {
        let Ok(message) = Message::parse(bytes.clone()) else { return };
        if let Err(error) = message.validate() {
            self.violate(format!("ue{device} was sent an invalid message: {}", error.reason));
        }
        for name in PRIVATE_FIELDS {
            if message.header(name).is_some() {
                self.violate(format!("ue{device} was sent {}", name.as_str()));
            }
        }
        if !message.is_request() && message.values(Name::Via).count() != 1 {
            self.violate(format!("ue{device} was sent a response that still has Vias of the network"));
        }
    }

    /// A function reports.
    pub fn on_event(&mut self, kind: FunctionKind, event: &Event) {
        match event {
            Event::Alarm { cause, reason } => {
                self.violate(format!("{} alarms: {cause}: {reason}", kind.as_str()))
            }
            Event::SipReceived { bytes, .. } if kind == FunctionKind::Scscf && bytes.starts_with(b"BYE ") => {
                if let Ok(message) = Message::parse(bytes.clone()) {
                    self.byes_at_scscf.insert(message.call_id().to_owned());
                }
            }
            // Functions must understand each other; only devices may be wrong.
            Event::MessageRejected { cause: "malformed", reason, flow, .. }
                if !self.has_adversary || is_function(flow.remote) =>
            {
                self.violate(format!("{} got a malformed message: {reason}", kind.as_str()));
            }
            // Nobody who has said who he is: that is the adversary.
            Event::DiameterRejected { peer, .. } if self.has_adversary && peer == "unknown" => {}
            Event::DiameterRejected { reason, .. }
                if self.has_standstills && reason == "no capabilities in time" => {}
            Event::DiameterRejected { reason, .. } => {
                self.violate(format!("{} got bad Diameter: {reason}", kind.as_str()));
            }
            _ => {}
        }
    }
}

fn is_function(remote: std::net::SocketAddr) -> bool {
    FunctionKind::ALL.into_iter().any(|kind| address(kind) == remote)
}
