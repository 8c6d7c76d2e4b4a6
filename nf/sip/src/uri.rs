//! URIs: `sip`, `sips`, `tel` and any other scheme (RFC 3261 §19.1, RFC 3966), IPv4, IPv6 and names.
//!
//! A [`Uri`] is a view into the text it was parsed from.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Anything else (`http:`, `nobodyKnowsThisScheme:` …).
    Other,
}

/// The host part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// A domain name, as written.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 reference, without its brackets.
    V6(Ipv6Addr),
}

/// Why a URI could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UriError {
    /// What is wrong with it, in words.
    pub reason: &'static str,
}

/// A parsed view of a URI.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// The whole text.
    pub text: &'a str,
    /// Its scheme.
    pub scheme: Scheme,
    /// The part before `@`, still escaped, without password. For `tel`: the number.
    pub user: Option<&'a str>,
    /// The host; for schemes other than `sip`/`sips` an empty name.
    pub host: Host<'a>,
    /// The port, if written.
    pub port: Option<u16>,
    /// The parameters after the first `;`, without it. Empty when there are none.
    pub parameters: &'a str,
    /// The headers after `?`, without it. Empty when there are none.
    pub headers: &'a str,
}

impl<'a> Uri<'a> {
    /// Parses a URI that stands alone (a Request-URI, or the part between `<` and `>`).
    pub fn parse(_text: &'a str) -> Result<Uri<'a>, UriError> {
        todo!()
    }

    /// The value of parameter `name` (case-insensitive): `Some("")` when it has none, `None` when it is absent.
    pub fn parameter(&self, _name: &str) -> Option<&'a str> {
        todo!()
    }

    /// The canonical identity: scheme, unescaped user, lower-case host, no port, parameter or header;
    /// for `tel` the number without visual separators. Two URIs that name the same public identity give the same text.
    pub fn address_of_record(&self) -> String {
        todo!()
    }

    /// Do both URIs compare equal by RFC 3261 §19.1.4?
    pub fn is_equivalent(&self, _other: &Uri<'_>) -> bool {
        todo!()
    }
}
