//! [`Draft`]: a message under construction, as a list of fields that are either lines of the received message, named by
//! their place, or new.
//!
//! An edit (`edit`) moves entries of that list and copies no received text; [`Draft::emit`] (`emit`) writes everything
//! in one pass.

use bytes::Bytes;

use super::list;
use super::view::{Line, Message, Span, StartLine, text};
use super::{Method, Name};
use crate::header::{CSeq, NameAddress};

/// A message under construction: a received one with edits, or a new one.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The received bytes that kept parts point into; empty for a new message.
    pub(super) base: Bytes,
    pub(super) start: Start,
    pub(super) fields: Vec<Field>,
    pub(super) body: Body,
}

/// The first line.
#[derive(Clone, Debug)]
pub(super) enum Start {
    Kept { line: StartLine, span: Span },
    Request { method: Box<str>, uri: String },
    Response { status: u16, reason: String },
}

/// One header line to be.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Name,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// As received, line end included.
    Kept { whole: Span, value: Span },
    /// A new value under the name's full text.
    New(String),
    /// A new value under a name that has no constant.
    Named(Box<(String, String)>),
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Kept(Span),
    New(Bytes),
}

/// Room for the fields a proxy adds (Via, Record-Route, a few P- headers) without moving the list.
const ADDED_FIELDS: usize = 8;

impl Draft {
    /// Everything as received, byte for byte. CRLFs before the start line and octets beyond Content-Length are not part
    /// of the message and are left out.
    pub fn of(message: &Message) -> Draft {
        let mut fields = Vec::with_capacity(message.lines.len() + ADDED_FIELDS);
        fields.extend(message.lines.iter().map(kept));
        Draft {
            base: message.raw.clone(),
            start: Start::Kept { line: message.start, span: message.start_span },
            fields,
            body: Body::Kept(message.body),
        }
    }

    /// A response to pass on: as received, without the topmost Via value (RFC 3261 §16.7 step 3).
    pub fn relay(response: &Message) -> Draft {
        let mut draft = Draft::of(response);
        draft.remove_first_value(Name::Via);
        draft
    }

    /// A new request with nothing but its request line.
    pub fn request(method: Method<'_>, uri: &str) -> Draft {
        Draft::new(Start::Request { method: method.as_str().into(), uri: one_line(uri.into()) })
    }

    /// A response to `request` (RFC 3261 §8.2.6.2): Via, From, To, Call-ID, CSeq as they came, in their order.
    /// For a status above 100 a To without tag gets `to_tag` (none when that is empty). A 100 also carries the
    /// request's Timestamp (RFC 3261 §8.2.6.1).
    pub fn response(request: &Message, status: u16, reason: &str, to_tag: &str) -> Draft {
        let mut draft = Draft::new(Start::Response { status, reason: one_line(reason.into()) });
        draft.base = request.raw.clone();
        draft.fields.extend(request.lines.iter().filter(|line| is_echoed(line.name, status)).map(kept));
        if status > 100 && !to_tag.is_empty() {
            draft.tag_to(to_tag);
        }
        draft
    }

    fn new(start: Start) -> Draft {
        Draft { base: Bytes::new(), start, fields: Vec::with_capacity(16), body: Body::New(Bytes::new()) }
    }

    fn tag_to(&mut self, to_tag: &str) {
        let Some(value) = self.header(Name::To) else { return };
        // A To that cannot be read stays as it is: adding to it would not make it better.
        if NameAddress::parse(value).is_some_and(|address| address.tag().is_none()) {
            // A semicolon that nothing follows is read (devices send it), two in a row are not.
            let value = value.trim_end_matches([';', ' ', '\t', '\r', '\n']);
            let tagged = format!("{value};tag={to_tag}");
            self.replace(Name::To, tagged);
        }
    }

    /// The method of a request draft (of CSeq for a response).
    pub fn method(&self) -> Method<'_> {
        match &self.start {
            Start::Kept { line: StartLine::Request { method, .. }, .. } => {
                Method::from_token(self.text(*method))
            }
            Start::Request { method, .. } => Method::from_token(method),
            Start::Kept { .. } | Start::Response { .. } => {
                self.header(Name::CSeq).and_then(CSeq::parse).map_or(Method::Other(""), |cseq| cseq.method)
            }
        }
    }

    /// The status of a response draft; 0 for a request.
    pub fn status(&self) -> u16 {
        match self.start {
            Start::Kept { line: StartLine::Response { status, .. }, .. } | Start::Response { status, .. } => {
                status
            }
            Start::Kept { .. } | Start::Request { .. } => 0,
        }
    }

    /// The Request-URI as it now stands; empty for a response.
    pub fn request_uri(&self) -> &str {
        match &self.start {
            Start::Kept { line: StartLine::Request { uri, .. }, .. } => self.text(*uri),
            Start::Request { uri, .. } => uri,
            Start::Kept { .. } | Start::Response { .. } => "",
        }
    }

    /// Replaces the Request-URI. A response has none and stays as it is.
    pub fn set_request_uri(&mut self, uri: &str) {
        if self.status() == 0 {
            let method = self.method().as_str().into();
            self.start = Start::Request { method, uri: one_line(uri.into()) };
        }
    }

    /// Replaces status and reason of a response. A request has none and stays as it is.
    pub fn set_status(&mut self, status: u16, reason: &str) {
        if self.status() != 0 {
            self.start = Start::Response { status, reason: one_line(reason.into()) };
        }
    }

    /// The first field of that name as it now stands.
    pub fn header(&self, name: Name) -> Option<&str> {
        self.fields.iter().find(|field| field.name == name).map(|field| self.value(field))
    }

    /// All fields of that name as they now stand, one item per header line.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(move |field| field.name == name).map(|field| self.value(field))
    }

    /// All values of that name as they now stand, split at commas.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> {
        self.headers(name).flat_map(move |line| list::values(line, name.is_list()))
    }

    /// The body as it now stands.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Kept(span) => &self.base[span.range()],
            Body::New(body) => body,
        }
    }

    pub(super) fn value<'a>(&'a self, field: &'a Field) -> &'a str {
        value_in(&self.base, field)
    }

    fn text(&self, span: Span) -> &str {
        text(&self.base, span)
    }
}

fn kept(line: &Line) -> Field {
    Field { name: line.name, content: Content::Kept { whole: line.whole, value: line.value } }
}

pub(super) fn value_in<'a>(base: &'a Bytes, field: &'a Field) -> &'a str {
    match &field.content {
        Content::Kept { value, .. } => text(base, *value),
        Content::New(value) => value,
        Content::Named(named) => &named.1,
    }
}

fn is_echoed(name: Name, status: u16) -> bool {
    matches!(name, Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq)
        || (status == 100 && name == Name::Timestamp)
}

/// `text` with every line end turned into a space: a start line does not fold.
fn one_line(text: String) -> String {
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        text
    } else {
        text.replace(['\r', '\n'], " ")
    }
}
