//! When two URIs are the same (RFC 3261 §19.1.4, RFC 3966 §4, RFC 5954 §4).

use std::collections::BTreeMap;

use super::canonical::{digits, is_unreserved, unescape_into};
use super::{Host, Scheme, Uri, pairs};
use crate::message::Name;

/// Parameters that never match when only one URI has them. RFC 3261 names user, ttl, method and maddr in its rule and
/// transport in its examples.
const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

pub(super) fn is_equivalent(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    one.scheme == other.scheme
        && match one.scheme {
            Scheme::Sip | Scheme::Sips => is_same_sip(one, other),
            Scheme::Tel => is_same_tel(one, other),
            Scheme::Other => is_same_text(one.text, other.text),
        }
}

fn is_same_sip(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    one.userinfo().map(unescaped) == other.userinfo().map(unescaped)
        && is_same_host(one.host, other.host)
        // A port that is left out is not the same as the default port written.
        && one.port == other.port
        && agree(&parameters(one), &parameters(other))
        && headers(one) == headers(other)
}

fn is_same_host(one: Host<'_>, other: Host<'_>) -> bool {
    match (one, other) {
        (Host::Name(one), Host::Name(other)) => one.eq_ignore_ascii_case(other),
        _ => one == other,
    }
}

/// Names and values, both in the form in which they are compared. A name may appear once (RFC 3261 §19.1.1); of several
/// the first counts. A map, because a URI of 64 KiB may have 20,000 parameters and comparing each with each would stall.
type Parameters = BTreeMap<String, String>;

fn parameters(uri: &Uri<'_>) -> Parameters {
    let mut all = Parameters::new();
    for (name, value) in pairs(uri.parameters, ';') {
        all.entry(comparable(name)).or_insert_with(|| comparable(value));
    }
    all
}

/// Do those that both have match, and have both all those that are decisive?
fn agree(one: &Parameters, other: &Parameters) -> bool {
    let decisive = |name: &&str| one.contains_key(*name) != other.contains_key(*name);
    !DECISIVE.iter().any(decisive)
        && one.iter().all(|(name, value)| other.get(name).is_none_or(|theirs| theirs == value))
}

/// Header components in one order: all of them must be in both URIs.
fn headers(uri: &Uri<'_>) -> Vec<(String, String)> {
    let mut all: Vec<_> = pairs(uri.headers, '&')
        .map(|(name, value)| {
            let name = match Name::from_text(name) {
                Name::Other => name.to_ascii_lowercase(),
                known => known.as_str().to_ascii_lowercase(),
            };
            (name, unescaped(value))
        })
        .collect();
    all.sort();
    all
}

fn is_same_tel(one: &Uri<'_>, other: &Uri<'_>) -> bool {
    let number = |uri: &Uri<'_>| digits(uri.user.unwrap_or("")).collect::<String>();
    let parameters = |uri: &Uri<'_>| {
        let lower = |text: &str| unescaped(text).to_ascii_lowercase();
        let mut all: Vec<_> =
            pairs(uri.parameters, ';').map(|(name, value)| (lower(name), lower(value))).collect();
        all.sort();
        all
    };
    number(one) == number(other) && parameters(one) == parameters(other)
}

fn is_same_text(one: &str, other: &str) -> bool {
    match (one.split_once(':'), other.split_once(':')) {
        (Some((scheme, rest)), Some((scheme_there, rest_there))) => {
            scheme.eq_ignore_ascii_case(scheme_there) && rest == rest_there
        }
        _ => false,
    }
}

/// An escape equals the character it stands for unless that is reserved: `%61` is `a`, `%3B` is not `;`.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    unescape_into(&mut out, text, is_unreserved);
    out
}

/// Parameters are compared without regard to case.
fn comparable(text: &str) -> String {
    unescaped(text).to_ascii_lowercase()
}
