//! A SIP message as a view on the bytes it came in, and the edits that make the next one of it.
//!
//! [`Message::parse`] checks framing, start line and the shape of header lines, notes where each line lies, and
//! allocates once. Header values are read when somebody asks. [`Draft`] holds edits; [`Draft::emit`] writes the new
//! message: untouched lines are copied byte for byte, in their order.

use bytes::Bytes;

use crate::header::{CSeq, NameAddress, Via};

/// A request method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Method<'a> {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Message,
    Subscribe,
    Notify,
    Prack,
    Update,
    Refer,
    Info,
    Publish,
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// Reads a method token (methods are case-sensitive, RFC 3261 §7.1).
    pub fn from_token(_token: &'a str) -> Method<'a> {
        todo!()
    }

    /// The token.
    pub fn as_str(&self) -> &'a str {
        todo!()
    }
}

/// The names of header fields that have a constant; the compact form maps to the same constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the header field of its name")]
pub enum Name {
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    Contact,
    Route,
    RecordRoute,
    Path,
    ServiceRoute,
    Expires,
    MinExpires,
    ContentLength,
    ContentType,
    Require,
    ProxyRequire,
    Supported,
    Unsupported,
    Authorization,
    WwwAuthenticate,
    ProxyAuthorization,
    ProxyAuthenticate,
    AuthenticationInfo,
    Event,
    SubscriptionState,
    AllowEvents,
    Accept,
    Allow,
    UserAgent,
    Server,
    Date,
    Warning,
    Reason,
    RetryAfter,
    Privacy,
    Rack,
    Rseq,
    SecurityClient,
    SecurityServer,
    SecurityVerify,
    PAssertedIdentity,
    PPreferredIdentity,
    PAssociatedUri,
    PCalledPartyId,
    PVisitedNetworkId,
    PAccessNetworkInfo,
    PChargingVector,
    PChargingFunctionAddresses,
    PAssertedService,
    PPreferredService,
    PServedUser,
    PUserDatabase,
    SessionExpires,
    MinSe,
    HistoryInfo,
    /// Any other: ask by text with [`Message::header_text`].
    Other,
}

impl Name {
    /// The constant for a header field name or its compact form, case-insensitive.
    pub fn from_text(_text: &str) -> Name {
        todo!()
    }

    /// The full name as RFCs print it. Panics for `Other`, which has none.
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}

/// Why bytes are not a SIP message. Each says what a receiver does: see [`ParseError::answer_status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    /// What is wrong, in words, with the header field's name when it is one.
    pub reason: String,
    /// The status a server answers with when the message was a request with enough left to build a response
    /// (400, 505, 416 …); `None`: drop it.
    pub answer_status: Option<u16>,
}

/// A parsed message. Cloning costs one small allocation and no copy of the text.
#[derive(Clone, Debug)]
pub struct Message {
    #[allow(dead_code)]
    raw: Bytes,
}

impl Message {
    /// Parses one message that fills `raw` (a datagram, or what [`crate::framing`] cut from a stream).
    /// Octets of a datagram beyond Content-Length are ignored; too few are an error (RFC 3261 §18.3).
    pub fn parse(_raw: Bytes) -> Result<Message, ParseError> {
        todo!()
    }

    /// Like `parse`, for bytes that failed to: reads as much as is needed to answer (start line, Via, From, To, Call-ID, CSeq).
    /// `None` when even that is missing.
    pub fn parse_for_rejection(_raw: Bytes) -> Option<Message> {
        todo!()
    }

    /// Checks everything a proxy or server relies on beyond the shape: mandatory fields present once and readable,
    /// CSeq method equals the request's, numbers in range (RFC 3261 §8.1.1, §16.3; RFC 4475).
    pub fn validate(&self) -> Result<(), ParseError> {
        todo!()
    }

    /// The bytes as received.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Is it a request?
    pub fn is_request(&self) -> bool {
        todo!()
    }

    /// The method: of the request line, or of CSeq for a response.
    pub fn method(&self) -> Method<'_> {
        todo!()
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        todo!()
    }

    /// The status code; 0 for a request.
    pub fn status(&self) -> u16 {
        todo!()
    }

    /// The reason phrase; empty for a request.
    pub fn reason(&self) -> &str {
        todo!()
    }

    /// The first field of that name: its value, unfolded view not guaranteed, trimmed at both ends.
    pub fn header(&self, _name: Name) -> Option<&str> {
        todo!()
    }

    /// All fields of that name, in order, one item per header line.
    pub fn headers(&self, _name: Name) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// All values of that name, in order: header lines split at commas outside quotes and brackets.
    pub fn values(&self, _name: Name) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The first field of a name that has no constant (case-insensitive).
    pub fn header_text(&self, _name: &str) -> Option<&str> {
        todo!()
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

    /// The value of a header field that is one number (Expires, Max-Forwards, Min-Expires, Retry-After).
    pub fn number(&self, _name: Name) -> Option<u32> {
        todo!()
    }

    /// Does a comma-separated token list (Supported, Require, Proxy-Require, Allow …) hold `token`?
    pub fn has_token(&self, _name: Name, _token: &str) -> bool {
        todo!()
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        todo!()
    }
}

/// A message under construction: a received one with edits, or a new one.
#[derive(Clone, Debug)]
pub struct Draft {}

impl Draft {
    /// Everything as received, byte for byte.
    pub fn of(_message: &Message) -> Draft {
        todo!()
    }

    /// A response to pass on: as received, without the topmost Via value (RFC 3261 §16.7 step 3).
    pub fn relay(response: &Message) -> Draft {
        let mut draft = Draft::of(response);
        draft.remove_first_value(Name::Via);
        draft
    }

    /// A new request with nothing but its request line.
    pub fn request(_method: Method<'_>, _uri: &str) -> Draft {
        todo!()
    }

    /// A response to `request` (RFC 3261 §8.2.6.2): Via, From, To, Call-ID, CSeq as they came, in their order.
    /// For a status above 100 a To without tag gets `to_tag`.
    pub fn response(_request: &Message, _status: u16, _reason: &str, _to_tag: &str) -> Draft {
        todo!()
    }

    /// The method of a request draft (of CSeq for a response).
    pub fn method(&self) -> Method<'_> {
        todo!()
    }

    /// The status of a response draft; 0 for a request.
    pub fn status(&self) -> u16 {
        todo!()
    }

    /// The Request-URI as it now stands.
    pub fn request_uri(&self) -> &str {
        todo!()
    }

    /// Replaces the Request-URI.
    pub fn set_request_uri(&mut self, _uri: &str) {
        todo!()
    }

    /// Replaces status and reason of a response.
    pub fn set_status(&mut self, _status: u16, _reason: &str) {
        todo!()
    }

    /// The first field of that name as it now stands.
    pub fn header(&self, _name: Name) -> Option<&str> {
        todo!()
    }

    /// All values of that name as they now stand, split at commas.
    pub fn values(&self, _name: Name) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// Adds a field above all fields of the same name (below the Vias when it is the first of its name).
    pub fn push_front(&mut self, _name: Name, _value: impl Into<String>) {
        todo!()
    }

    /// Adds a field below all fields of the same name (at the end when it is the first of its name).
    pub fn push_back(&mut self, _name: Name, _value: impl Into<String>) {
        todo!()
    }

    /// Adds a field whose name has no constant, at the end.
    pub fn push_back_text(&mut self, _name: &str, _value: impl Into<String>) {
        todo!()
    }

    /// Removes all fields of that name.
    pub fn remove(&mut self, _name: Name) {
        todo!()
    }

    /// Removes all fields of that name and puts one in the place of the first (at the end when there was none).
    pub fn replace(&mut self, _name: Name, _value: impl Into<String>) {
        todo!()
    }

    /// Removes the first value of that name; the other values of the same line stay. Was there one?
    pub fn remove_first_value(&mut self, _name: Name) -> bool {
        todo!()
    }

    /// Puts `value` in the place of the first value of that name; the other values of the same line stay.
    pub fn replace_first_value(&mut self, _name: Name, _value: &str) {
        todo!()
    }

    /// Keeps only the values for which `keep` says so; a line left without values goes. Lines that keep all values stay byte for byte.
    pub fn retain_values(&mut self, _name: Name, _keep: impl FnMut(&str) -> bool) {
        todo!()
    }

    /// Replaces the body and its Content-Type.
    pub fn set_body(&mut self, _content_type: &str, _body: impl Into<Bytes>) {
        todo!()
    }

    /// Writes the message. Content-Length is written anew when the body changed or the field is missing.
    pub fn emit(&self) -> Bytes {
        todo!()
    }
}
