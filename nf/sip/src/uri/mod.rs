//! URIs: `sip`, `sips`, `tel` and any other scheme (RFC 3261 §19.1, RFC 3966), IPv4, IPv6 and names.
//!
//! A [`Uri`] is a view into the text it was parsed from. Blanks, control characters, quotes and angle brackets are
//! refused everywhere; characters that should have been escaped otherwise pass: URIs are forwarded as they came, and
//! [`Uri::address_of_record`] brings them into one form before they are compared with what a subscriber owns.

mod canonical;
mod compare;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

impl Host<'_> {
    /// The address, when it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match *self {
            Host::Name(_) => None,
            Host::V4(address) => Some(address.into()),
            Host::V6(address) => Some(address.into()),
        }
    }
}

/// Why a URI could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct UriError {
    /// What is wrong with it, in words.
    pub reason: &'static str,
}

const fn error<T>(reason: &'static str) -> Result<T, UriError> {
    Err(UriError { reason })
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
    pub fn parse(text: &'a str) -> Result<Uri<'a>, UriError> {
        if text.bytes().any(|octet| octet <= b' ' || matches!(octet, b'<' | b'>' | b'"' | 0x7f)) {
            return error("it holds a character that no URI may hold");
        }
        let Some((scheme, rest)) = text.split_once(':') else { return error("it has no scheme") };
        match scheme_of(scheme) {
            Some(scheme @ (Scheme::Sip | Scheme::Sips)) => parse_sip(text, scheme, rest),
            Some(Scheme::Tel) => parse_tel(text, rest),
            Some(Scheme::Other) if rest.is_empty() => error("nothing follows the scheme"),
            Some(Scheme::Other) => Ok(bare(text, Scheme::Other)),
            None => error("its scheme is malformed"),
        }
    }

    /// The value of parameter `name` (case-insensitive): `Some("")` when it has none, `None` when it is absent.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        pairs(self.parameters, ';')
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The canonical identity: scheme, unescaped user, lower-case host, no port, parameter or header;
    /// for `tel` the number without visual separators. Two URIs that name the same public identity give the same text.
    ///
    /// The text is itself a URI: what may not stand in a user part unescaped keeps its escape (`%40`). A `tel` number
    /// that is not global keeps its `phone-context`, without which it names nobody (RFC 3966 §5.1.5).
    pub fn address_of_record(&self) -> String {
        canonical::address_of_record(self)
    }

    /// Do both URIs compare equal by RFC 3261 §19.1.4 (`tel`: RFC 3966 §4; IPv6 by value: RFC 5954)?
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        compare::is_equivalent(self, other)
    }

    /// The part before `@` with its password; `None` when there is none.
    fn userinfo(&self) -> Option<&'a str> {
        self.user?;
        let behind_scheme = self.text.split_once(':')?.1;
        behind_scheme.split_once('@').map(|(userinfo, _)| userinfo)
    }
}

fn bare(text: &str, scheme: Scheme) -> Uri<'_> {
    Uri { text, scheme, user: None, host: Host::Name(""), port: None, parameters: "", headers: "" }
}

fn scheme_of(text: &str) -> Option<Scheme> {
    let is_scheme = text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'));
    let known = [("sip", Scheme::Sip), ("sips", Scheme::Sips), ("tel", Scheme::Tel)];
    let found = known.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    is_scheme.then(|| found.map_or(Scheme::Other, |(_, scheme)| scheme))
}

fn parse_sip<'a>(text: &'a str, scheme: Scheme, rest: &'a str) -> Result<Uri<'a>, UriError> {
    // A user part may hold `;`, `?` and `/`, and nothing else may hold a bare `@`: so the first `@` ends it.
    let (user, rest) = match rest.split_once('@') {
        Some((userinfo, rest)) => (userinfo.split(':').next(), rest),
        None => (None, rest),
    };
    if user == Some("") {
        return error("its user part is empty");
    }
    let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
    let (hostport, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let (host, port) = host_and_port(hostport)?;
    Ok(Uri { text, scheme, user, host, port, parameters, headers })
}

fn parse_tel<'a>(text: &'a str, rest: &'a str) -> Result<Uri<'a>, UriError> {
    let (number, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let is_number = number.bytes().enumerate().all(|(at, octet)| match octet {
        b'+' => at == 0,
        b'-' | b'.' | b'(' | b')' | b'*' | b'#' => true,
        _ => octet.is_ascii_hexdigit(),
    });
    if !is_number || !number.bytes().any(|octet| octet.is_ascii_hexdigit() || matches!(octet, b'*' | b'#')) {
        return error("it is no telephone number");
    }
    Ok(Uri { user: Some(number), parameters, ..bare(text, Scheme::Tel) })
}

/// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; blanks around the colon pass (RFC 3261 §25.1, sent-by).
pub(crate) fn host_and_port(text: &str) -> Result<(Host<'_>, Option<u16>), UriError> {
    let (host, port) = if let Some(behind) = text.strip_prefix('[') {
        let Some((address, behind)) = behind.split_once(']') else {
            return error("an IPv6 reference has no end");
        };
        let Some(address) = ipv6_address(address) else { return error("an IPv6 reference is malformed") };
        let behind = behind.trim();
        match behind.strip_prefix(':') {
            Some(port) => (Host::V6(address), Some(port)),
            None if behind.is_empty() => (Host::V6(address), None),
            None => return error("something follows an IPv6 reference"),
        }
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host.trim(), Some(port)),
            None => (text.trim(), None),
        };
        (named_host(host)?, port)
    };
    Ok((host, port.map(|port| port_number(port.trim())).transpose()?))
}

/// A name or an IPv4 address. Underscores pass: host names in closed networks have them.
fn named_host(text: &str) -> Result<Host<'_>, UriError> {
    let is_name =
        text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'));
    if text.is_empty() || !is_name {
        return error("its host is malformed");
    }
    Ok(text.parse().map_or(Host::Name(text), Host::V4))
}

pub(crate) fn port_number(digits: &str) -> Result<u16, UriError> {
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return error("its port is not a number");
    }
    digits.parse().map_err(|_| UriError { reason: "its port is above 65535" })
}

/// An address, IPv6 with or without brackets.
pub(crate) fn ip_address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match inner {
        Some(inner) => ipv6_address(inner).map(IpAddr::V6),
        None => text.parse().ok().or_else(|| ipv6_address(text).map(IpAddr::V6)),
    }
}

/// The grammar of RFC 3261 allowed three colons before an embedded IPv4 address; such text still reads (RFC 5118 §4.10).
fn ipv6_address(text: &str) -> Option<Ipv6Addr> {
    text.parse()
        .ok()
        .or_else(|| text.contains(":::").then(|| text.replacen(":::", "::", 1).parse().ok()).flatten())
}

/// Pieces of the form `name=value`, empty pieces left out.
fn pairs(text: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    text.split(separator)
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

#[cfg(test)]
mod tests;
