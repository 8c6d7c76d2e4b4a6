//! What every proxy does to a request before anything of its own (RFC 3261 §16.6 steps 1 to 3), and how a next hop is found.

use sip::{Draft, Message, Name, Uri};

use crate::topology::Topology;
use crate::wire::Destination;

/// Max-Forwards for a request that came without (RFC 3261 §16.6 step 3).
pub const MAX_FORWARDS: u32 = 70;

/// A copy of `request` with Max-Forwards lowered by one; the shell has refused a request that came with 0.
pub fn prepare(request: &Message) -> Draft {
    let mut draft = Draft::of(request);
    let hops = request.number(Name::MaxForwards).map_or(MAX_FORWARDS, |hops| hops.saturating_sub(1));
    draft.replace(Name::MaxForwards, hops.to_string());
    draft
}

/// The URI a request goes to next: the topmost Route, else the Request-URI (RFC 3261 §16.6 step 6; loose routing only).
pub fn next_hop(draft: &Draft) -> &str {
    let route = draft.values(Name::Route).next().and_then(sip::NameAddress::parse);
    match route {
        Some(route) => route.uri_text,
        None => draft.request_uri(),
    }
}

/// Where a request goes next; `None` when its next hop has no known address.
pub fn destination(draft: &Draft, topology: &Topology) -> Option<Destination> {
    topology.resolve(&Uri::parse(next_hop(draft)).ok()?)
}
