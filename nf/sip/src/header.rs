//! Typed views of the header values the functions act upon. All borrow the text they were parsed from.
//!
//! Whitespace that the grammar allows between parts, the line ends of folded lines included, is stepped over.

use std::net::IpAddr;

use crate::message::Method;
use crate::message::list::{self, trim, trim_start};
use crate::uri::{self, Host, Uri};

/// A parameter list (`;a=b;c`), as written, without the first `;`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a>(pub &'a str);

impl<'a> Parameters<'a> {
    /// The value of `name` (case-insensitive), unquoted when quoted; `Some("")` when it has none.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| unquoted(value.unwrap_or("")))
    }

    /// All parameters in order, values as written (quotes stay). Empty ones (`;;`) are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        self.segments().filter(|segment| !segment.is_empty()).map(|segment| match segment.split_once('=') {
            Some((name, value)) => (trim(name), Some(trim(value))),
            None => (segment, None),
        })
    }

    /// Is every parameter a token with, if any, a token, host or quoted string as its value (RFC 3261 §25.1)?
    pub fn is_well_formed(&self) -> bool {
        self.0.is_empty()
            || self.segments().all(|segment| match segment.split_once('=') {
                Some((name, value)) => list::is_token(trim(name)) && is_parameter_value(trim(value)),
                None => list::is_token(segment),
            })
    }

    fn segments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = (!self.0.is_empty()).then_some(self.0);
        std::iter::from_fn(move || {
            let text = rest?;
            let cut = list::find_outside(text, b';');
            rest = cut.map(|at| &text[at + 1..]);
            Some(trim(&text[..cut.unwrap_or(text.len())]))
        })
    }
}

/// A quoted string that ends where the value ends, or text without separators. An empty value (`rport=`) passes:
/// several devices send it, and nothing can be smuggled in it.
fn is_parameter_value(value: &str) -> bool {
    if value.starts_with('"') {
        return list::quoted_end(value.as_bytes(), 0) == Some(value.len());
    }
    !value.bytes().any(|octet| list::is_blank(octet) || matches!(octet, b'"' | b'<' | b'>' | b',' | b'='))
        || value.bytes().all(|octet| list::is_token_octet(octet) || octet == b'=')
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// A name-addr or addr-spec with header parameters: From, To, Contact, Route, Path, P-Asserted-Identity …
#[derive(Clone, Copy, Debug)]
pub struct NameAddress<'a> {
    /// The display name, with quotes if it had them. Empty when absent.
    pub display_name: &'a str,
    /// The URI text, without brackets.
    pub uri_text: &'a str,
    /// The header parameters (outside the brackets).
    pub parameters: Parameters<'a>,
}

impl<'a> NameAddress<'a> {
    /// Parses one value. A Contact of `*` gives the URI text `*`.
    ///
    /// Liberal: display names that are not tokens and blanks inside the brackets (RFC 4475 §3.1.2.14, §3.1.2.15).
    /// Strict: unbalanced quotes, and `?` or `,` in a URI without brackets (RFC 3261 §20.10).
    pub fn parse(value: &'a str) -> Option<NameAddress<'a>> {
        let value = trim(value);
        match opening_bracket(value)? {
            Some(open) => {
                let (display_name, behind) = (trim(&value[..open]), &value[open + 1..]);
                let close = memchr::memchr(b'>', behind.as_bytes())?;
                let parameters = parameters_behind(&behind[close + 1..])?;
                let uri_text = trim(&behind[..close]);
                (!uri_text.is_empty()).then_some(NameAddress { display_name, uri_text, parameters })
            }
            None => {
                // Without brackets every parameter belongs to the header field (RFC 3261 §20.10).
                let uri_end = memchr::memchr(b';', value.as_bytes()).unwrap_or(value.len());
                let (uri_text, behind) = value.split_at(uri_end);
                let uri_text = trim(uri_text);
                let odd = |octet| list::is_blank(octet) || matches!(octet, b'?' | b',' | b'"' | b'>');
                if uri_text.is_empty() || uri_text.bytes().any(odd) {
                    return None;
                }
                Some(NameAddress { display_name: "", uri_text, parameters: parameters_behind(behind)? })
            }
        }
    }

    /// The parsed URI.
    pub fn uri(&self) -> Option<Uri<'a>> {
        Uri::parse(self.uri_text).ok()
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.parameters.value("tag")
    }
}

/// Where the `<` is that begins the URI: `Some(None)` when there is none, `None` when quotes do not balance.
fn opening_bracket(value: &str) -> Option<Option<usize>> {
    let bytes = value.as_bytes();
    let mut at = 0;
    // A `;` before any bracket ends an addr-spec: what follows are parameters.
    while let Some(length) = memchr::memchr3(b'<', b'"', b';', &bytes[at..]) {
        at += length;
        match bytes[at] {
            b'<' => return Some(Some(at)),
            b';' => return Some(None),
            _ => at = list::quoted_end(bytes, at)?,
        }
    }
    Some(None)
}

/// What follows a URI: nothing, or parameters.
fn parameters_behind(text: &str) -> Option<Parameters<'_>> {
    let text = trim_start(text);
    if text.is_empty() { Some(Parameters("")) } else { text.strip_prefix(';').map(Parameters) }
}

/// One Via value (RFC 3261 §20.42, RFC 3581).
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The transport token as written (`UDP`, `TCP`, `TLS` …).
    pub transport: &'a str,
    /// Host of sent-by.
    pub host: Host<'a>,
    /// Port of sent-by.
    pub port: Option<u16>,
    /// Sent-by as written.
    pub sent_by: &'a str,
    /// The parameters.
    pub parameters: Parameters<'a>,
}

impl<'a> Via<'a> {
    /// Parses one value.
    pub fn parse(value: &'a str) -> Option<Via<'a>> {
        let (protocol, rest) = value.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        // Any version passes: what is refused with 505 has one of its own in Via, and still gets its answer.
        if !trim(protocol).eq_ignore_ascii_case("SIP") || !list::is_token(trim(version)) {
            return None;
        }
        let rest = trim_start(rest);
        let transport = &rest[..rest.bytes().take_while(|octet| list::is_token_octet(*octet)).count()];
        let rest = &rest[transport.len()..];
        if transport.is_empty() || !rest.bytes().next().is_some_and(list::is_blank) {
            return None;
        }
        let (sent_by, parameters) = match rest.split_once(';') {
            Some((sent_by, parameters)) => (trim(sent_by), Parameters(parameters)),
            None => (trim(rest), Parameters("")),
        };
        let (host, port) = uri::host_and_port(sent_by).ok()?;
        Some(Via { transport, host, port, sent_by, parameters })
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&'a str> {
        self.parameters.value("branch")
    }

    /// The `received` parameter; brackets are accepted (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        uri::ip_address(self.parameters.value("received")?)
    }

    /// The value of `rport`: `Some(None)` when it is only a flag (or holds no port number).
    pub fn rport(&self) -> Option<Option<u16>> {
        self.parameters.value("rport").map(|value| uri::port_number(value).ok())
    }
}

/// CSeq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Sequence number, below 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Parses the value.
    pub fn parse(value: &'a str) -> Option<CSeq<'a>> {
        let value = trim(value);
        let digits = value.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = value.split_at(digits);
        let method = trim_start(behind);
        let number = number.parse::<u32>().ok().filter(|number| *number < 1 << 31)?;
        let separated = method.len() < behind.len();
        (separated && list::is_token(method)).then(|| CSeq { number, method: Method::from_token(method) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{CSeq, NameAddress, Parameters, Via};
    use crate::message::Method;
    use crate::uri::Host;

    #[test]
    fn an_address_has_a_display_name_a_uri_and_parameters() {
        for (value, display_name, uri_text, tag) in [
            ("<sip:a@b;lr>;tag=1", "", "sip:a@b;lr", Some("1")),
            ("\"A \\\" <B>, C\" <sip:a@b> ; TAG = x", "\"A \\\" <B>, C\"", "sip:a@b", Some("x")),
            ("Bell, Alexander <sip:a@b>;tag=43", "Bell, Alexander", "sip:a@b", Some("43")),
            ("caller<sip:a@b>", "caller", "sip:a@b", None),
            ("< sip:a@b  >", "", "sip:a@b", None),
            ("sip:a@b;tag=1;x", "", "sip:a@b", Some("1")),
            ("sip:a@b\r\n ;\r\n\ttag\r\n =\r\n 7", "", "sip:a@b", Some("7")),
            ("tel:+1-55", "", "tel:+1-55", None),
            ("*", "", "*", None),
        ] {
            let address = NameAddress::parse(value).expect(value);
            assert_eq!(
                (address.display_name, address.uri_text, address.tag()),
                (display_name, uri_text, tag)
            );
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for value in [
            "",
            "<>",
            "<sip:a@b",
            "\"Mr. J <sip:a@b>",
            "<sip:a@b> x",
            "sip:a@b?Route=x",
            "sip:a@b, sip:c@d",
            "a b",
            "<sip:a@b>, <sip:c@d>",
            "sip:a@b>",
        ] {
            assert!(NameAddress::parse(value).is_none(), "{value}");
        }
    }

    #[test]
    fn parameters_are_found_in_any_case_and_unquoted() {
        let parameters = Parameters("a=b;Flag; c = \"x;y\" ;;e=");
        assert_eq!(parameters.value("A"), Some("b"));
        assert_eq!(parameters.value("flag"), Some(""));
        assert_eq!(parameters.value("c"), Some("x;y"));
        assert_eq!(parameters.value("e"), Some(""));
        assert_eq!(parameters.value("d"), None);
        let all: Vec<_> = parameters.iter().collect();
        assert_eq!(all, [("a", Some("b")), ("Flag", None), ("c", Some("\"x;y\"")), ("e", Some(""))]);
    }

    #[test]
    fn parameters_with_empty_or_broken_parts_are_not_well_formed() {
        for (text, expected) in [
            ("", true),
            ("a", true),
            ("a=b;c", true),
            ("a=\"x, y\"", true),
            ("received=[2001:db8::1]", true),
            ("rport=", true),
            (";", false),
            ("a;;b", false),
            ("a=\"x", false),
            ("a=\"x\"y", false),
            ("a=b, c", false),
            ("=b", false),
            ("a b", false),
        ] {
            assert_eq!(Parameters(text).is_well_formed(), expected, "{text}");
        }
    }

    #[test]
    fn a_via_is_read_through_folds_and_blanks() {
        let via =
            Via::parse("SIP  / 2.0\r\n / TCP \r\n  host.example.com : 5062 ;\r\n branch = z9hG4bK1").unwrap();
        assert_eq!((via.transport, via.host, via.port), ("TCP", Host::Name("host.example.com"), Some(5062)));
        assert_eq!(via.branch(), Some("z9hG4bK1"));
        assert_eq!((via.received(), via.rport()), (None, None));
    }

    #[test]
    fn received_and_rport_say_where_the_request_came_from() {
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (value, received, rport) in [
            ("SIP/2.0/UDP h;rport", None, Some(None)),
            ("SIP/2.0/UDP h;rport=5070;received=192.0.2.1", address("192.0.2.1"), Some(Some(5070))),
            ("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255]", address("2001:db8::9:255"), None),
            ("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255", address("2001:db8::9:255"), None),
            ("SIP/2.0/UDP h;rport=x;received=nonsense", None, Some(None)),
        ] {
            let via = Via::parse(value).expect(value);
            assert_eq!((via.received(), via.rport()), (received, rport), "{value}");
        }
    }

    #[test]
    fn what_is_no_via_is_none() {
        for value in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/UDP ;branch=x",
            "HTTP/2.0/UDP h",
            "SIP//UDP h",
            "SIP/2.0 h",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/UDP h:70000",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/U,P h",
        ] {
            assert!(Via::parse(value).is_none(), "{value}");
        }
    }

    #[test]
    fn a_cseq_is_a_number_below_two_to_the_31_and_a_method() {
        let method = Method::Invite;
        assert_eq!(CSeq::parse("0009\r\n  INVITE"), Some(CSeq { number: 9, method }));
        assert_eq!(CSeq::parse("2147483647 INVITE"), Some(CSeq { number: 2147483647, method }));
        for value in [
            "2147483648 INVITE",
            "36893488147419103232 INVITE",
            "1INVITE",
            "1",
            "INVITE",
            "-1 INVITE",
            "1 A B",
        ] {
            assert_eq!(CSeq::parse(value), None, "{value}");
        }
    }
}
