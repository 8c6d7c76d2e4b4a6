//! Our own Via and what is added to a neighbour's: branch values, `received`, `rport` (RFC 3261 §16.6 step 8, §18.2.1, RFC 3581).

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

use sip::{Draft, Message, Name, Via};
use siphasher::sip::SipHasher13;

use crate::topology::DEFAULT_SIP_PORT;
use crate::wire::{Destination, Flow, Transport};

/// The magic cookie of RFC 3261 §8.1.1.7.
const COOKIE: &str = "z9hG4bK";

/// Makes and recognises branch values: `z9hG4bK` process tag, transaction number, loop mark.
///
/// The loop mark is a hash of what decides the way of a request; it differs when a spiral comes by with another
/// Request-URI or Route and is the same in a loop (RFC 5393 §4.2).
#[derive(Clone, Debug)]
pub struct Branches {
    tag: u32,
    key: (u64, u64),
}

impl Branches {
    /// `seed` must differ from one life of the process to the next.
    pub fn new(seed: [u8; 16]) -> Self {
        let [low, high] =
            [0, 8].map(|at| u64::from_le_bytes(seed[at..at + 8].try_into().expect("8 of 16 bytes")));
        Branches { tag: (low >> 32) as u32 ^ high as u32, key: (low, high) }
    }

    /// The branch of client transaction `number` for a request with this loop mark.
    pub fn make(&self, number: u64, loop_mark: u64) -> String {
        format!("{COOKIE}{:08x}{number:x}.{loop_mark:016x}", self.tag)
    }

    /// The transaction number in a branch of ours.
    pub fn number(&self, branch: &str) -> Option<u64> {
        let rest = branch.strip_prefix(COOKIE)?;
        let (tag, rest) = (rest.get(..8)?, rest.get(8..)?);
        if u32::from_str_radix(tag, 16).ok()? != self.tag {
            return None;
        }
        u64::from_str_radix(rest.split_once('.')?.0, 16).ok()
    }

    /// The hash of what decides the way of `request`.
    pub fn loop_mark(&self, request: &Message) -> u64 {
        let mut hash = SipHasher13::new_with_keys(self.key.0, self.key.1);
        request.request_uri().hash(&mut hash);
        for name in [Name::Route, Name::ProxyRequire, Name::To, Name::From, Name::CallId, Name::CSeq] {
            for value in request.headers(name) {
                value.hash(&mut hash);
            }
        }
        hash.finish()
    }

    /// Has `request` been here before in the same shape?
    pub fn is_loop(&self, request: &Message) -> bool {
        let mut ours = request
            .values(Name::Via)
            .filter_map(|value| Via::parse(value)?.branch())
            .filter(|branch| self.number(branch).is_some());
        let Some(first) = ours.next() else { return false };
        let mark = format!(".{:016x}", self.loop_mark(request));
        first.ends_with(&mark) || ours.any(|branch| branch.ends_with(&mark))
    }
}

/// Our Via value for a request that leaves from `local`.
pub fn own_value(transport: Transport, local: SocketAddr, branch: &str) -> String {
    format!("SIP/2.0/{} {local};branch={branch}", transport.as_via_token())
}

/// The request with `received` and `rport` filled in where RFC 3261 §18.2.1 and RFC 3581 §4 ask for it;
/// `None` when nothing has to change.
pub fn with_source(request: &Message, flow: &Flow) -> Option<Draft> {
    let value = request.values(Name::Via).next()?;
    let via = Via::parse(value)?;
    let wants_port = via.parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case("rport"));
    let source = flow.remote.ip().to_canonical();
    let is_source = match via.host {
        sip::Host::V4(ip) => source == ip,
        sip::Host::V6(ip) => source == ip.to_canonical(),
        sip::Host::Name(_) => false,
    };
    if is_source && !wants_port {
        return None;
    }
    let mut filled = format!("SIP/2.0/{} {}", via.transport, via.sent_by);
    for (name, value) in via.parameters.iter() {
        if name.eq_ignore_ascii_case("rport") || name.eq_ignore_ascii_case("received") {
            continue;
        }
        filled.push(';');
        filled.push_str(name);
        if let Some(value) = value {
            filled.push('=');
            filled.push_str(value);
        }
    }
    filled.push_str(&format!(";received={source}"));
    if wants_port {
        filled.push_str(&format!(";rport={}", flow.remote.port()));
    }
    let mut draft = Draft::of(request);
    draft.replace_first_value(Name::Via, &filled);
    Some(draft)
}

/// Where the responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4): the connection, or the source address with the
/// port of `rport` if asked for, else of sent-by. `maddr` is not obeyed: it would let anybody aim our answers.
pub fn way_back(request: &Message, flow: &Flow) -> Destination {
    let mut destination = flow.to_destination();
    if flow.transport == Transport::Udp {
        let via = request.via();
        let wants_port = via.as_ref().is_some_and(|via| via.rport().is_some());
        if let (Some(via), false) = (via, wants_port) {
            destination.remote.set_port(via.port.unwrap_or(DEFAULT_SIP_PORT));
        }
    }
    destination
}
