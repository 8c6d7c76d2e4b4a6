//! Which transaction a message belongs to (RFC 3261 §17.1.3 and §17.2.3).
//!
//! A branch that begins with `z9hG4bK` is unique by itself, together with the sent-by (so that a liar cannot hit
//! another's transaction by accident) and the method. Clients of RFC 2543 have no such branch: for them the fields that
//! make a request unique are compared. The key is one piece of text, so that it costs one allocation and orders.

use serde::{Deserialize, Serialize};

use crate::header::Via;
use crate::message::{Message, Method, Name};
use crate::uri::Host;

/// What begins every branch of RFC 3261. Parameter values compare without case (RFC 3261 §7.3.1).
const MAGIC_COOKIE: &str = "z9hG4bK";

/// Identifies a server transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerMatch {
    method: String,
    rest: String,
}

impl ServerMatch {
    /// For the key of an ACK: the INVITE's key. [`server_match`] of an ACK gives it already.
    pub fn for_ack(&self) -> ServerMatch {
        self.of_invite()
    }

    /// For the key of a CANCEL: the key of the INVITE that it cancels (RFC 3261 §9.2).
    pub fn for_cancel(&self) -> ServerMatch {
        self.of_invite()
    }

    fn of_invite(&self) -> ServerMatch {
        ServerMatch { method: Method::Invite.as_str().to_owned(), rest: self.rest.clone() }
    }
}

/// Identifies a client transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientMatch {
    branch: String,
    method: String,
}

impl ClientMatch {
    /// The key of a request sent with this branch.
    pub fn new(branch: &str, method: Method<'_>) -> ClientMatch {
        ClientMatch { branch: branch.to_owned(), method: method.as_str().to_owned() }
    }
}

/// The key of a request: that of its own transaction, for an ACK that of the INVITE. `None` when it has no readable Via.
pub fn server_match(request: &Message) -> Option<ServerMatch> {
    let via = request.via()?;
    let method = match request.method() {
        Method::Ack => Method::Invite,
        method => method,
    };
    let rest = match via.branch() {
        Some(branch) if has_cookie(branch) => format!("{} {}", sent_by(&via), branch.to_ascii_lowercase()),
        branch => rfc2543_key(request, &via, branch.unwrap_or_default())?,
    };
    Some(ServerMatch { method: method.as_str().to_owned(), rest })
}

/// The key of a response: the branch of its topmost Via and the method of its CSeq. `None` when one is missing.
pub fn client_match(response: &Message) -> Option<ClientMatch> {
    let via = response.via()?;
    Some(ClientMatch::new(via.branch()?, response.cseq()?.method))
}

fn has_cookie(branch: &str) -> bool {
    branch.get(..MAGIC_COOKIE.len()).is_some_and(|start| start.eq_ignore_ascii_case(MAGIC_COOKIE))
}

/// Host and port, equal for equal meaning: names without case, addresses by value (RFC 5954 §4.2).
fn sent_by(via: &Via<'_>) -> String {
    let host = match via.host {
        Host::Name(name) => name.to_ascii_lowercase(),
        Host::V4(address) => address.to_string(),
        Host::V6(address) => format!("[{address}]"),
    };
    match via.port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// RFC 3261 §17.2.3, second list. The To tag is left out, because an ACK carries the one of our response; what remains
/// tells requests apart all the same, for a new request in the same dialog has a new CSeq.
fn rfc2543_key(request: &Message, via: &Via<'_>, branch: &str) -> Option<String> {
    let number = request.cseq()?.number;
    let from = request.from()?;
    Some(format!(
        "{} {number} {} {} {} {branch}",
        sent_by(via),
        request.request_uri(),
        from.tag().unwrap_or_default(),
        request.header(Name::CallId)?,
    ))
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
