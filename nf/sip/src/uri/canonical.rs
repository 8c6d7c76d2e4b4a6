//! The one form of a URI under which a public identity is stored and looked up.

use std::fmt::Write;

use super::{Host, Scheme, Uri};

pub(super) fn address_of_record(uri: &Uri<'_>) -> String {
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => sip(uri),
        Scheme::Tel => tel(uri),
        Scheme::Other => {
            let (scheme, rest) = uri.text.split_once(':').unwrap_or((uri.text, ""));
            format!("{}:{rest}", scheme.to_ascii_lowercase())
        }
    }
}

fn sip(uri: &Uri<'_>) -> String {
    let mut out = String::with_capacity(uri.text.len());
    out.push_str(if uri.scheme == Scheme::Sips { "sips:" } else { "sip:" });
    if let Some(user) = uri.user {
        unescape_into(&mut out, user, is_user_octet);
        out.push('@');
    }
    match uri.host {
        Host::Name(name) => out.extend(name.chars().map(|character| character.to_ascii_lowercase())),
        Host::V4(address) => write!(out, "{address}").expect("writing to a string does not fail"),
        Host::V6(address) => write!(out, "[{address}]").expect("writing to a string does not fail"),
    }
    out
}

fn tel(uri: &Uri<'_>) -> String {
    let mut out = String::from("tel:");
    let number = uri.user.unwrap_or("");
    out.extend(digits(number));
    if !number.starts_with('+')
        && let Some(context) = uri.parameter("phone-context")
    {
        out.push_str(";phone-context=");
        let is_global = context.starts_with('+');
        let context = context.chars().map(|character| character.to_ascii_lowercase());
        out.extend(context.filter(|character| !is_global || !is_visual_separator(*character)));
    }
    out
}

/// A number without visual separators, in lower case (RFC 3966 §4).
pub(super) fn digits(number: &str) -> impl Iterator<Item = char> {
    number
        .chars()
        .filter(|character| !is_visual_separator(*character))
        .map(|character| character.to_ascii_lowercase())
}

fn is_visual_separator(character: char) -> bool {
    matches!(character, '-' | '.' | '(' | ')')
}

/// May it stand in a user part as it is (RFC 3261 §25.1, unreserved and user-unreserved)?
fn is_user_octet(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

/// RFC 3261 §25.1, unreserved.
pub(super) fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}

/// Adds `text` with those escapes resolved that stand for an octet `plain` accepts; the others get upper-case digits.
/// A `%` that begins no escape is written as the escape of itself: left as it is, it could form one with what follows,
/// and the canonical form of a canonical form would be another.
pub(super) fn unescape_into(out: &mut String, text: &str, plain: fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match escaped_octet(rest.as_bytes()) {
            Some(octet) => {
                if plain(octet) {
                    out.push(char::from(octet));
                } else {
                    write!(out, "%{octet:02X}").expect("writing to a string does not fail");
                }
                rest = &rest[3..];
            }
            None => {
                out.push_str("%25");
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
}

fn escaped_octet(text: &[u8]) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).map(|digit| digit as u8);
    match text {
        [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}
