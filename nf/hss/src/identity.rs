//! Identities: the one canonical text of a public identity, and what may be a private one (TS 23.003 §13).

use sip::uri::{Host, Scheme, Uri};

/// The canonical text of a public identity, or why it is none. Two URIs that name the same identity give the same text.
pub(crate) fn canonical(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > LENGTH_MAX {
        return Err(format!("{} characters given, at most {LENGTH_MAX} are allowed", text.len()));
    }
    let uri = Uri::parse(text).map_err(|error| error.reason.to_owned())?;
    match uri.scheme {
        Scheme::Tel if uri.user.is_some_and(|number| !number.is_empty()) => Ok(uri.address_of_record()),
        Scheme::Tel => Err("a tel URI needs a number".into()),
        // A `sips:` identity is the same subscriber reached more safely, but TS 23.003 §13.4 names sip and tel only.
        Scheme::Sip if uri.host == Host::Name("") => Err("a sip URI needs a host".into()),
        Scheme::Sip => Ok(uri.address_of_record()),
        Scheme::Sips | Scheme::Other => Err("the scheme must be sip or tel".into()),
    }
}

/// The longest identity we keep, in bytes: RFC 4282 §2.2 lets a network access identifier have 253.
pub(crate) const LENGTH_MAX: usize = 253;

/// Why `text` cannot be a private identity.
pub(crate) fn check_private(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty; give it as user@realm".into());
    }
    if text.len() > LENGTH_MAX {
        return Err(format!("{} characters given, at most {LENGTH_MAX} are allowed", text.len()));
    }
    if text.starts_with("sip:") || text.starts_with("tel:") {
        return Err("a private identity is written user@realm, without a scheme".into());
    }
    // A bare name is taken as it is: softphones have user names without a realm.
    if text.starts_with('@') || text.ends_with('@') {
        return Err("user or realm is missing; give it as user@realm".into());
    }
    match text.chars().find(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>' | '\\')) {
        Some(c) => Err(format!("the character {c:?} is not allowed")),
        None => Ok(()),
    }
}
