//! The names of header fields that have a constant, their compact forms, and the table that finds them.
//!
//! Twenty names are looked up for every message, so the table is an open-addressed hash made at compile time: one probe
//! and one comparison for almost every name.

macro_rules! names {
    ($($name:ident $text:literal $($compact:literal)?,)*) => {
        /// The names of header fields that have a constant; the compact form maps to the same constant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is the header field of its name")]
        pub enum Name {
            $($name,)*
            /// Any other: ask by text with [`Message::header_text`](super::Message::header_text).
            Other,
        }

        /// Name, text as RFCs print it, compact form in lower case (0: it has none).
        const NAMES: &[(Name, &str, u8)] = &[$((Name::$name, $text, names!(@compact $($compact)?)),)*];
    };
    (@compact) => { 0 };
    (@compact $compact:literal) => { $compact };
}

names! {
    Via "Via" b'v',
    From "From" b'f',
    To "To" b't',
    CallId "Call-ID" b'i',
    CSeq "CSeq",
    MaxForwards "Max-Forwards",
    Contact "Contact" b'm',
    Route "Route",
    RecordRoute "Record-Route",
    Path "Path",
    ServiceRoute "Service-Route",
    Expires "Expires",
    MinExpires "Min-Expires",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    Require "Require",
    ProxyRequire "Proxy-Require",
    Supported "Supported" b'k',
    Unsupported "Unsupported",
    Authorization "Authorization",
    WwwAuthenticate "WWW-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyAuthenticate "Proxy-Authenticate",
    AuthenticationInfo "Authentication-Info",
    Event "Event" b'o',
    SubscriptionState "Subscription-State",
    AllowEvents "Allow-Events" b'u',
    Accept "Accept",
    Allow "Allow",
    UserAgent "User-Agent",
    Server "Server",
    Date "Date",
    Warning "Warning",
    Reason "Reason",
    RetryAfter "Retry-After",
    Privacy "Privacy",
    Rack "RAck",
    Rseq "RSeq",
    SecurityClient "Security-Client",
    SecurityServer "Security-Server",
    SecurityVerify "Security-Verify",
    PAssertedIdentity "P-Asserted-Identity",
    PPreferredIdentity "P-Preferred-Identity",
    PAssociatedUri "P-Associated-URI",
    PCalledPartyId "P-Called-Party-ID",
    PVisitedNetworkId "P-Visited-Network-ID",
    PAccessNetworkInfo "P-Access-Network-Info",
    PChargingVector "P-Charging-Vector",
    PChargingFunctionAddresses "P-Charging-Function-Addresses",
    PAssertedService "P-Asserted-Service",
    PPreferredService "P-Preferred-Service",
    PServedUser "P-Served-User",
    PUserDatabase "P-User-Database",
    SessionExpires "Session-Expires" b'x',
    MinSe "Min-SE",
    HistoryInfo "History-Info",
    Timestamp "Timestamp",
    Subject "Subject" b's',
    ContentEncoding "Content-Encoding" b'e',
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    AcceptContact "Accept-Contact" b'a',
    RejectContact "Reject-Contact" b'j',
    RequestDisposition "Request-Disposition" b'd',
    Identity "Identity" b'y',
}

/// Sets of names are kept as the bits of a `u128`.
const _: () = assert!(NAMES.len() < 127 && Name::Other as usize == NAMES.len());

/// Slots of the hash table: four times the names, so that probing ends after one step.
const SLOTS: usize = 256;

/// Marks an empty slot.
const EMPTY: u8 = u8::MAX;

const fn slot(text: &[u8]) -> usize {
    let last = text.len() - 1;
    let (a, b, c) = (text[0] | 0x20, text[last] | 0x20, text[last / 2] | 0x20);
    (text.len().wrapping_mul(29)
        ^ (a as usize).wrapping_mul(37)
        ^ (b as usize).wrapping_mul(101)
        ^ (c as usize))
        % SLOTS
}

static FULL: [u8; SLOTS] = {
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < NAMES.len() {
        let mut at = slot(NAMES[index].1.as_bytes());
        while table[at] != EMPTY {
            at = (at + 1) % SLOTS;
        }
        table[at] = index as u8;
        index += 1;
    }
    table
};

static COMPACT: [u8; SLOTS] = {
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < NAMES.len() {
        if NAMES[index].2 != 0 {
            table[NAMES[index].2 as usize] = index as u8;
        }
        index += 1;
    }
    table
};

impl Name {
    /// The constant for a header field name or its compact form, case-insensitive.
    pub fn from_text(text: &str) -> Name {
        Name::from_bytes(text.as_bytes())
    }

    pub(super) fn from_bytes(text: &[u8]) -> Name {
        match text {
            [] => Name::Other,
            [letter] => match COMPACT[letter.to_ascii_lowercase() as usize] {
                EMPTY => Name::Other,
                index => NAMES[index as usize].0,
            },
            _ => {
                let mut at = slot(text);
                while FULL[at] != EMPTY {
                    let (name, full, _) = NAMES[FULL[at] as usize];
                    // Most names come as the RFCs print them, and equal bytes are compared faster.
                    if full.as_bytes() == text || full.as_bytes().eq_ignore_ascii_case(text) {
                        return name;
                    }
                    at = (at + 1) % SLOTS;
                }
                Name::Other
            }
        }
    }

    /// The full name as RFCs print it. Panics for `Other`, which has none.
    pub fn as_str(self) -> &'static str {
        assert!(self != Name::Other, "Name::Other has no text: use the functions that take a name as text");
        NAMES[self as usize].1
    }

    /// May several values stand in one line, separated by commas? Not so for fields with one value, for the
    /// authentication fields, whose own parameters are separated by commas (RFC 3261 §7.3.1), and for unknown fields.
    pub fn is_list(self) -> bool {
        !matches!(
            self,
            Name::From
                | Name::To
                | Name::CallId
                | Name::CSeq
                | Name::MaxForwards
                | Name::Expires
                | Name::MinExpires
                | Name::ContentLength
                | Name::ContentType
                | Name::Authorization
                | Name::WwwAuthenticate
                | Name::ProxyAuthorization
                | Name::ProxyAuthenticate
                | Name::AuthenticationInfo
                | Name::Event
                | Name::SubscriptionState
                | Name::UserAgent
                | Name::Server
                | Name::Date
                | Name::RetryAfter
                | Name::Privacy
                | Name::Rack
                | Name::Rseq
                | Name::PChargingVector
                | Name::PChargingFunctionAddresses
                | Name::PServedUser
                | Name::PUserDatabase
                | Name::SessionExpires
                | Name::MinSe
                | Name::Timestamp
                | Name::Subject
                | Name::ReferTo
                | Name::ReferredBy
                | Name::Other
        )
    }

    pub(super) const fn bit(self) -> u128 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::{COMPACT, EMPTY, NAMES, Name};

    #[test]
    fn every_name_is_found_in_any_case() {
        for &(name, text, _) in NAMES {
            assert_eq!(Name::from_text(text), name);
            assert_eq!(Name::from_text(&text.to_ascii_uppercase()), name);
            assert_eq!(Name::from_text(&text.to_ascii_lowercase()), name);
            assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn compact_forms_are_the_same_field() {
        for (text, name) in [
            ("v", Name::Via),
            ("F", Name::From),
            ("t", Name::To),
            ("I", Name::CallId),
            ("m", Name::Contact),
            ("l", Name::ContentLength),
            ("c", Name::ContentType),
            ("k", Name::Supported),
            ("o", Name::Event),
            ("u", Name::AllowEvents),
            ("x", Name::SessionExpires),
            ("s", Name::Subject),
            ("e", Name::ContentEncoding),
            ("r", Name::ReferTo),
            ("b", Name::ReferredBy),
            ("z", Name::Other),
        ] {
            assert_eq!(Name::from_text(text), name, "{text}");
        }
        let (letters, slots) = (
            NAMES.iter().filter(|name| name.2 != 0).count(),
            COMPACT.iter().filter(|slot| **slot != EMPTY).count(),
        );
        assert_eq!(letters, slots, "two fields share a letter");
    }

    #[test]
    fn what_has_no_constant_is_other() {
        for text in ["", "X-Odd", "Vi", "Viaa", "Call_ID", "é", "\u{0}"] {
            assert_eq!(Name::from_text(text), Name::Other, "{text:?}");
        }
    }
}
