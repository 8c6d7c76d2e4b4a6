//! The two requests that a hop makes out of an INVITE it sent: ACK for a final response that is not a 2xx, and CANCEL.
//!
//! Both go where the INVITE went and carry its topmost Via, so that the next hop finds the INVITE's transaction.

use crate::message::{Draft, Message, Method, Name};

/// RFC 3261 §8.1.1.6. The next hop is the last one, so any number would do.
const MAX_FORWARDS: &str = "70";

/// The ACK for a final response that is not a 2xx (RFC 3261 §17.1.1.3). `invite` is the INVITE as it was sent.
pub fn build_ack(invite: &Message, response: &Message) -> Draft {
    like(invite, Method::Ack, response.header(Name::To))
}

/// The CANCEL for an INVITE (RFC 3261 §9.1). `invite` is the INVITE as it was sent. It has no Require and no
/// Proxy-Require; a Reason of the upstream CANCEL is for the caller to add (RFC 3326 §2).
pub fn build_cancel(invite: &Message) -> Draft {
    like(invite, Method::Cancel, invite.header(Name::To))
}

fn like(invite: &Message, method: Method<'_>, to: Option<&str>) -> Draft {
    let mut draft = Draft::request(method, invite.request_uri());
    // What the INVITE lacks cannot be made up here; an INVITE we sent was validated and lacks nothing.
    if let Some(via) = invite.values(Name::Via).next() {
        draft.push_back(Name::Via, via);
    }
    for route in invite.headers(Name::Route) {
        draft.push_back(Name::Route, route);
    }
    draft.push_back(Name::MaxForwards, MAX_FORWARDS);
    if let Some(from) = invite.header(Name::From) {
        draft.push_back(Name::From, from);
    }
    if let Some(to) = to {
        draft.push_back(Name::To, to);
    }
    draft.push_back(Name::CallId, invite.call_id());
    if let Some(cseq) = invite.cseq() {
        draft.push_back(Name::CSeq, format!("{} {}", cseq.number, method.as_str()));
    }
    draft
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
