//! [`Message`]: the bytes, the places of start line, header lines and body in them, and the questions one may ask.
//!
//! Nothing here changes or copies text; every answer borrows from the received bytes.

use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::list::{self, trim};
use super::{Method, Name, ParseError, parse, validate};
use crate::header::{CSeq, NameAddress, Via};

/// A range of the raw bytes. Half the size of `Range<usize>`: the index of a message is copied with every clone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Span {
        // Messages are bounded far below 4 GiB: see `parse`.
        Span { start: start as u32, end: end as u32 }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One header line, its continuation lines included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// From the first octet of the name to the last of the line end.
    pub(super) whole: Span,
    /// The value, trimmed.
    pub(super) value: Span,
    /// Length of the name as written.
    pub(super) name_length: u16,
    /// Which field it is.
    pub(super) name: Name,
}

/// What the first line says.
#[derive(Clone, Copy, Debug)]
pub(super) enum StartLine {
    Request { method: Span, uri: Span },
    Response { status: u16, reason: Span },
}

/// A parsed message. Cloning costs one small allocation and no copy of the text.
#[derive(Clone, Debug)]
pub struct Message {
    pub(super) raw: Bytes,
    pub(super) start: StartLine,
    /// The first line with its line end.
    pub(super) start_span: Span,
    pub(super) lines: Vec<Line>,
    pub(super) body: Span,
}

/// As its bytes.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message, D::Error> {
        Message::parse(Bytes::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Message {
    /// Parses one message that fills `raw` (a datagram, or what [`crate::framing`] cut from a stream).
    /// Octets of a datagram beyond Content-Length are ignored; too few are an error (RFC 3261 §18.3).
    /// Without Content-Length the body reaches to the end.
    pub fn parse(raw: Bytes) -> Result<Message, ParseError> {
        parse::parse(raw)
    }

    /// Like `parse`, for bytes that failed to: reads as much as is needed to answer (start line, Via, From, To, Call-ID, CSeq).
    /// `None` when the bytes are no request, an ACK, or have no Via that says where an answer goes; From, To, Call-ID
    /// and CSeq may be missing (RFC 4475 §3.3.1). The result has no body and must not be forwarded.
    pub fn parse_for_rejection(raw: Bytes) -> Option<Message> {
        parse::parse_for_rejection(raw)
    }

    /// Checks everything a proxy or server relies on beyond the shape: mandatory fields present once and readable,
    /// CSeq method equals the request's, numbers in range (RFC 3261 §8.1.1, §16.3; RFC 4475).
    ///
    /// Not decided here, because it depends on who is asked: a scheme the receiver does not serve (416), Proxy-Require
    /// (420), Max-Forwards of 0 (483), credentials.
    pub fn validate(&self) -> Result<(), ParseError> {
        validate::validate(self)
    }

    /// The bytes as received.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Is it a request?
    pub fn is_request(&self) -> bool {
        matches!(self.start, StartLine::Request { .. })
    }

    /// The method: of the request line, or of CSeq for a response.
    pub fn method(&self) -> Method<'_> {
        match self.start {
            StartLine::Request { method, .. } => Method::from_token(self.text(method)),
            StartLine::Response { .. } => self.cseq().map_or(Method::Other(""), |cseq| cseq.method),
        }
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        match self.start {
            StartLine::Request { uri, .. } => self.text(uri),
            StartLine::Response { .. } => "",
        }
    }

    /// The status code; 0 for a request.
    pub fn status(&self) -> u16 {
        match self.start {
            StartLine::Request { .. } => 0,
            StartLine::Response { status, .. } => status,
        }
    }

    /// The reason phrase; empty for a request.
    pub fn reason(&self) -> &str {
        match self.start {
            StartLine::Request { .. } => "",
            StartLine::Response { reason, .. } => self.text(reason),
        }
    }

    /// The first field of that name: its value, unfolded view not guaranteed, trimmed at both ends.
    pub fn header(&self, name: Name) -> Option<&str> {
        self.lines.iter().find(|line| line.name == name).map(|line| self.text(line.value))
    }

    /// All fields of that name, in order, one item per header line.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.name == name).map(|line| self.text(line.value))
    }

    /// All values of that name, in order: header lines split at commas outside quotes and brackets. Empty values are
    /// left out. A field that is no list ([`Name::is_list`]) gives one value per line.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> {
        self.headers(name).flat_map(move |line| list::values(line, name.is_list()))
    }

    /// The first field of a name that has no constant (case-insensitive).
    pub fn header_text(&self, name: &str) -> Option<&str> {
        match Name::from_text(name) {
            Name::Other => self
                .fields()
                .zip(&self.lines)
                .find(|((text, _), line)| line.name == Name::Other && text.eq_ignore_ascii_case(name))
                .map(|((_, value), _)| value),
            known => self.header(known),
        }
    }

    /// All fields in order: the name as written, and the value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|line| {
            let start = line.whole.start;
            let name = Span { start, end: start + u32::from(line.name_length) };
            (self.text(name), self.text(line.value))
        })
    }

    /// The topmost Via.
    pub fn via(&self) -> Option<Via<'_>> {
        self.values(Name::Via).next().and_then(Via::parse)
    }

    /// From.
    pub fn from(&self) -> Option<NameAddress<'_>> {
        self.header(Name::From).and_then(NameAddress::parse)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddress<'_>> {
        self.header(Name::To).and_then(NameAddress::parse)
    }

    /// Call-ID; empty when absent.
    pub fn call_id(&self) -> &str {
        self.header(Name::CallId).unwrap_or("")
    }

    /// CSeq.
    pub fn cseq(&self) -> Option<CSeq<'_>> {
        self.header(Name::CSeq).and_then(CSeq::parse)
    }

    /// The value of a header field that is one number (Expires, Max-Forwards, Min-Expires, Retry-After). What follows
    /// it after `;`, `(` or a blank is not looked at; a number too large for a `u32` counts as the largest.
    pub fn number(&self, name: Name) -> Option<u32> {
        number(self.header(name)?)
    }

    /// Does a comma-separated token list (Supported, Require, Proxy-Require, Allow …) hold `token`?
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(token))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.raw[self.body.range()]
    }

    pub(super) fn text(&self, span: Span) -> &str {
        text(&self.raw, span)
    }
}

/// The text at `span`, which lies in a part of `raw` that was found to be UTF-8 and begins and ends beside ASCII.
pub(super) fn text(raw: &[u8], span: Span) -> &str {
    std::str::from_utf8(&raw[span.range()]).expect("only lines that are UTF-8 are put into the index")
}

/// Reads the number at the front of `value`.
pub(super) fn number(value: &str) -> Option<u32> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let behind = value.as_bytes().get(digits);
    let ends = behind.is_none_or(|octet| list::is_blank(*octet) || matches!(octet, b';' | b'('));
    (digits > 0 && ends).then(|| decimal(&value[..digits])).map(|number| number.unwrap_or(u32::MAX))
}

/// A number of nothing but digits; leading zeros are allowed, signs are not. `None` when it does not fit.
pub(crate) fn decimal(digits: &str) -> Option<u32> {
    let digits = trim(digits);
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}
