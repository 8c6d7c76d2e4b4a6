//! One registered contact, and what a REGISTER wants done to the contacts of a public identity (RFC 3261 §10.3).
//!
//! A Contact value is kept as it came but for its `expires` parameter, so that what is a header parameter stays one and
//! what belongs to the URI stays in it (RFC 4475 cparam01, cparam02, regescrt).

use clock::{Duration, Instant, WallOrigin, WallTime};
use serde::{Deserialize, Serialize};
use sip::{Message, Name, NameAddress};

use crate::text::Text;

/// The private Contact parameter that carries the wall time of expiry (seconds since 1970) into the HSS and back.
const UNTIL: &str = "x-until";

/// Most Contact values in one REGISTER; more are refused with 400.
const CHANGES_MAX: usize = 16;

/// Why a contact is as it is: the event word of RFC 3680 §5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "words of RFC 3680 §5.1")]
pub enum ContactEvent {
    Registered,
    Created,
    Refreshed,
    Expired,
    Deactivated,
    Unregistered,
    Rejected,
}

impl ContactEvent {
    /// The word in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            ContactEvent::Registered => "registered",
            ContactEvent::Created => "created",
            ContactEvent::Refreshed => "refreshed",
            ContactEvent::Expired => "expired",
            ContactEvent::Deactivated => "deactivated",
            ContactEvent::Unregistered => "unregistered",
            ContactEvent::Rejected => "rejected",
        }
    }
}

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Its name in reg-event documents; never used twice by one server.
    pub id: u64,
    /// Who registered it.
    pub private_identity: Text,
    /// The Contact value without `expires`.
    pub value: Text,
    /// The Path values, comma-joined; empty when the device is reached directly.
    pub path: Text,
    /// Call-ID of its last REGISTER.
    pub call_id: Text,
    /// CSeq of its last REGISTER.
    pub cseq: u32,
    /// When it was registered first.
    pub since: Instant,
    /// When it goes.
    pub expires_at: Instant,
    /// What happened to it last.
    pub event: ContactEvent,
}

impl Contact {
    /// The URI, as registered.
    pub fn uri(&self) -> &str {
        NameAddress::parse(&self.value).map_or("", |address| address.uri_text)
    }

    /// A header parameter of the Contact value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        NameAddress::parse(&self.value)?.parameters.value(name)
    }

    /// Seconds left, rounded up so that a contact that is not gone never shows 0.
    pub fn seconds_left(&self, now: Instant) -> u64 {
        self.expires_at.saturating_since(now).as_micros().div_ceil(1_000_000) as u64
    }

    /// The value in a 200.
    pub fn to_header(&self, now: Instant) -> String {
        format!("{};expires={}", self.value, self.seconds_left(now))
    }

    /// The value in SCSCF-Restoration-Info: with the wall time of expiry, which a new process can read.
    pub fn to_restoration(&self, wall: WallOrigin) -> String {
        format!("{};{UNTIL}={}", self.value, wall.at(self.expires_at).0 / 1_000_000)
    }

    /// The contact that [`Contact::to_restoration`] wrote, unless its time is over.
    pub fn from_restoration(
        id: u64,
        private_identity: &Text,
        path: &str,
        value: &str,
        wall: WallOrigin,
        now: Instant,
    ) -> Option<Contact> {
        let address = NameAddress::parse(value)?;
        address.uri()?;
        let seconds: u64 = address.parameters.value(UNTIL)?.parse().ok()?;
        let expires_at = wall.instant_of(WallTime(seconds.saturating_mul(1_000_000)));
        (expires_at > now).then(|| Contact {
            id,
            private_identity: private_identity.clone(),
            value: normal_form(&address).into(),
            path: path.into(),
            call_id: "".into(),
            cseq: 0,
            since: now,
            expires_at,
            event: ContactEvent::Registered,
        })
    }

    /// Do both stand for the same device and flow? By instance (and reg-id, RFC 5626 §6), else by URI (RFC 3261
    /// §19.1.4).
    pub fn is_same_binding(&self, value: &str) -> bool {
        let (Some(mine), Some(other)) = (NameAddress::parse(&self.value), NameAddress::parse(value)) else {
            return false;
        };
        let instance =
            |address: &NameAddress<'_>| address.parameters.value("+sip.instance").map(str::to_owned);
        if let (Some(a), Some(b)) = (instance(&mine), instance(&other)) {
            return a == b && mine.parameters.value("reg-id") == other.parameters.value("reg-id");
        }
        match (mine.uri(), other.uri()) {
            (Some(a), Some(b)) => a.is_equivalent(&b),
            _ => mine.uri_text == other.uri_text,
        }
    }
}

/// What one Contact value of a REGISTER asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// The value without `expires`.
    pub value: Text,
    /// How long; zero removes it.
    pub expires: Duration,
}

/// What a REGISTER asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Changes {
    /// No Contact: only tell what is there.
    None,
    /// `Contact: *` with Expires 0.
    RemoveAll,
    /// One or more values.
    Bindings(Vec<Binding>),
}

impl Changes {
    /// Is there nothing but removals?
    pub(crate) fn is_removal(&self) -> bool {
        match self {
            Changes::None => false,
            Changes::RemoveAll => true,
            Changes::Bindings(bindings) => bindings.iter().all(|binding| binding.expires.is_zero()),
        }
    }
}

/// Why the Contact fields of a REGISTER cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContactError {
    /// 400, with the words for the reason phrase.
    Malformed(&'static str),
    /// 423.
    TooBrief,
}

/// How long a registration may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Below it: 423.
    pub seconds_min: u32,
    /// Above it: cut.
    pub seconds_max: u32,
}

/// Reads the Contact fields of a REGISTER.
pub(crate) fn changes_of(request: &Message, bounds: Bounds) -> Result<Changes, ContactError> {
    let default_seconds = seconds(request.header(Name::Expires)).unwrap_or(bounds.seconds_max);
    let mut bindings = Vec::new();
    for value in request.values(Name::Contact) {
        let address = NameAddress::parse(value).ok_or(ContactError::Malformed("Malformed Contact"))?;
        if address.uri_text == "*" {
            // RFC 3261 §10.3 step 6: the wildcard stands alone and with Expires 0, else 400.
            let is_alone = request.values(Name::Contact).count() == 1;
            return match request.number(Name::Expires) {
                Some(0) if is_alone => Ok(Changes::RemoveAll),
                _ => Err(ContactError::Malformed("Wildcard Contact Needs Expires 0")),
            };
        }
        address.uri().ok_or(ContactError::Malformed("Malformed Contact URI"))?;
        let asked = seconds(address.parameters.value("expires")).unwrap_or(default_seconds);
        if asked != 0 && asked < bounds.seconds_min {
            return Err(ContactError::TooBrief);
        }
        if bindings.len() == CHANGES_MAX {
            return Err(ContactError::Malformed("Too Many Contacts"));
        }
        let expires = Duration::from_secs(asked.min(bounds.seconds_max).into());
        bindings.push(Binding { value: normal_form(&address).into(), expires });
    }
    Ok(if bindings.is_empty() { Changes::None } else { Changes::Bindings(bindings) })
}

/// Delta-seconds; what is too large for 32 bits means "as long as possible" (RFC 4475 scalar02 is refused before),
/// what is no number counts as absent (RFC 3261 §10.2.1.1).
fn seconds(text: Option<&str>) -> Option<u32> {
    let text = text?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

/// `name <uri>;parameters`, with brackets even where the sender had none: what stood behind an unbracketed URI are
/// header parameters (RFC 3261 §20.10), and only brackets keep them apart once more are added. Without `expires`.
fn normal_form(address: &NameAddress<'_>) -> String {
    let mut value = String::with_capacity(address.uri_text.len() + address.parameters.0.len() + 8);
    if !address.display_name.is_empty() {
        value.push_str(address.display_name);
        value.push(' ');
    }
    value.push('<');
    value.push_str(address.uri_text);
    value.push('>');
    for parameter in split_parameters(address.parameters.0) {
        let name = parameter.split('=').next().unwrap_or("").trim();
        if !name.is_empty() && !name.eq_ignore_ascii_case("expires") && !name.eq_ignore_ascii_case(UNTIL) {
            value.push(';');
            value.push_str(parameter.trim());
        }
    }
    value
}

/// Cuts at semicolons that are not inside quotes.
fn split_parameters(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        character == ';' && !is_quoted
    })
}
