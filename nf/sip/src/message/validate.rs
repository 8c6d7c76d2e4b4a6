//! What every proxy and server relies on beyond the shape of lines (RFC 3261 §8.1.1, §8.2, §16.3; RFC 4475).

use super::list::{self, List};
use super::view::{Line, Message, StartLine};
use super::{Method, Name, ParseError};
use crate::header::{CSeq, NameAddress, Via};
use crate::uri::Uri;

/// Fields that must not be repeated: two of them would let two elements act on different ones.
const ONCE: u128 = Name::From.bit()
    | Name::To.bit()
    | Name::CallId.bit()
    | Name::CSeq.bit()
    | Name::MaxForwards.bit()
    | Name::ContentLength.bit()
    | Name::ContentType.bit()
    | Name::Expires.bit()
    | Name::MinExpires.bit()
    | Name::Event.bit()
    | Name::SubscriptionState.bit()
    | Name::Rack.bit()
    | Name::Rseq.bit()
    | Name::SessionExpires.bit();

/// Fields without which there is no transaction. Max-Forwards is not among them: RFC 2543 clients do not send it, and
/// a proxy adds it (RFC 3261 §16.6 step 3).
const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// A status and what is wrong.
type Fault = (u16, String);

/// See [`Message::validate`].
pub(super) fn validate(message: &Message) -> Result<(), ParseError> {
    check(message).map_err(|(status, reason)| {
        let answerable = message.is_request() && message.method() != Method::Ack;
        ParseError { reason, answer_status: answerable.then_some(status) }
    })
}

fn bad(reason: impl Into<String>) -> Fault {
    (400, reason.into())
}

fn check(message: &Message) -> Result<(), Fault> {
    let mut seen = 0u128;
    for line in &message.lines {
        let bit = line.name.bit();
        if seen & bit & ONCE != 0 {
            return Err(bad(format!("{} appears more than once", line.name.as_str())));
        }
        seen |= bit;
        check_line(message, line)?;
    }
    if let Some(missing) = MANDATORY.into_iter().find(|name| seen & name.bit() == 0) {
        return Err(bad(format!("{} is missing", missing.as_str())));
    }
    match message.start {
        StartLine::Request { .. } => check_request(message),
        StartLine::Response { .. } => Ok(()),
    }
}

fn check_line(message: &Message, line: &Line) -> Result<(), Fault> {
    let value = message.text(line.value);
    let is_readable = match line.name {
        Name::Via => every(value, |via| Via::parse(via).is_some_and(|via| via.parameters.is_well_formed())),
        Name::From | Name::To => address(value, |uri| Uri::parse(uri).is_ok()),
        Name::CSeq => CSeq::parse(value).is_some(),
        Name::CallId => !value.is_empty() && !value.bytes().any(list::is_blank),
        Name::MaxForwards => message.number(Name::MaxForwards).is_some_and(|hops| hops <= 255),
        // What follows is acted upon in requests only; a response with an odd Contact still ends its transaction.
        _ if !message.is_request() => true,
        Name::Route | Name::RecordRoute | Name::Path => {
            every(value, |entry| address(entry, |uri| Uri::parse(uri).is_ok()))
        }
        Name::Contact => {
            value == "*" || every(value, |entry| address(entry, |uri| uri != "*" && Uri::parse(uri).is_ok()))
        }
        _ => true,
    };
    if is_readable { Ok(()) } else { Err(bad(format!("{} cannot be read", line.name.as_str()))) }
}

/// Do all values of a line, empty ones included, pass?
fn every(line: &str, passes: impl FnMut(&str) -> bool) -> bool {
    List::new(line).all(passes)
}

/// Is it one address with readable parameters, and does its URI pass?
fn address(value: &str, passes: impl FnOnce(&str) -> bool) -> bool {
    NameAddress::parse(value)
        .is_some_and(|address| address.parameters.is_well_formed() && passes(address.uri_text))
}

fn check_request(message: &Message) -> Result<(), Fault> {
    let uri = Uri::parse(message.request_uri()).map_err(|error| bad(format!("Request-URI: {error}")))?;
    if !uri.headers.is_empty() {
        return Err(bad("Request-URI has header fields")); // RFC 3261 §19.1.1, table 1.
    }
    let method = message.method();
    if message.cseq().is_none_or(|cseq| cseq.method != method) {
        // RFC 4475 §3.1.2.18 prefers 501 when the method is not known either.
        let status = if matches!(method, Method::Other(_)) { 501 } else { 400 };
        return Err((status, "CSeq has another method than the request".into()));
    }
    Ok(())
}
