//! Header fields at the border of the trust domain: what is taken off, in which direction, and the marks we make up.

use std::fmt::Write;
use std::net::IpAddr;

use node::Setup;
use rand::Rng;
use rand::rngs::StdRng;
use sip::message::Name;
use sip::{Draft, Message, NameAddress};

/// Proxy-Require tokens that we satisfy or take off. `sec-agree`: there is no IPsec here, and a device that offers
/// it must be able to do without (spec 4.2.2); `privacy`: RFC 3323, with the `id` level of RFC 3325.
const PROXY_REQUIRE_KNOWN: [&str; 2] = ["sec-agree", "privacy"];

fn is_known(token: &str) -> bool {
    PROXY_REQUIRE_KNOWN.iter().any(|known| known.eq_ignore_ascii_case(token))
}

/// The tokens of Proxy-Require that oblige us to refuse (RFC 3261 §16.3 step 5), comma-joined.
pub fn unsupported(request: &Message) -> Option<String> {
    let unknown: Vec<_> = request.values(Name::ProxyRequire).filter(|token| !is_known(token)).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}

/// Takes off what concerns only device and P-CSCF (TS 24.228 flow R1-1c, S1-1b).
pub fn strip_security_agreement(draft: &mut Draft) {
    draft.remove(Name::SecurityClient);
    draft.remove(Name::SecurityVerify);
    draft.retain_values(Name::Require, |token| !token.eq_ignore_ascii_case("sec-agree"));
    draft.retain_values(Name::ProxyRequire, |token| !is_known(token));
}

/// Takes off what only the trust domain may say (RFC 3325 §5, RFC 7315 §5), because a device said it.
pub fn strip_untrusted(draft: &mut Draft) {
    for name in [
        Name::PAssertedIdentity,
        Name::PPreferredIdentity,
        Name::PAssociatedUri,
        Name::PCalledPartyId,
        Name::PVisitedNetworkId,
        Name::PChargingVector,
        Name::PChargingFunctionAddresses,
        Name::PAssertedService,
        Name::PServedUser,
        Name::PUserDatabase,
    ] {
        draft.remove(name);
    }
    // RFC 7315 §5.4: only the network says `network-provided`.
    draft.retain_values(Name::PAccessNetworkInfo, |value| {
        !value.split(';').any(|part| part.trim().eq_ignore_ascii_case("network-provided"))
    });
}

/// Takes off what the trust domain keeps to itself, before a device reads it.
pub fn strip_confidential(draft: &mut Draft) {
    for name in [
        Name::PChargingVector,
        Name::PChargingFunctionAddresses,
        Name::PAccessNetworkInfo,
        Name::PVisitedNetworkId,
        Name::PServedUser,
        Name::PUserDatabase,
    ] {
        draft.remove(name);
    }
    let wants_privacy = draft
        .header(Name::Privacy)
        .is_some_and(|privacy| privacy.split(';').any(|level| level.trim().eq_ignore_ascii_case("id")));
    if wants_privacy {
        // RFC 3325 §7: the device is outside the trust domain.
        draft.remove(Name::PAssertedIdentity);
    }
}

/// The first P-Preferred-Identity that is a URI.
pub fn preferred_identity(message: &Message) -> Option<String> {
    let value = message.values(Name::PPreferredIdentity).next()?;
    Some(NameAddress::parse(value)?.uri_text.to_owned())
}

/// Writes a quoted string's content.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// A token as it is, anything else as a quoted string (RFC 7315 §5.3: `vnetwork-spec`).
pub fn token_or_quoted(text: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_token) { text.to_owned() } else { quoted(text) }
}

/// Where the parameters of a Digest header field lie: `Digest a=b, c="d, e"`.
fn digest_parameters(value: &str) -> Option<Vec<&str>> {
    let rest = value.trim_start();
    let scheme = rest.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case("Digest"))?;
    let rest = rest[scheme.len()..].strip_prefix([' ', '\t', '\r', '\n'])?;
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, letter) in rest.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                parts.push(rest[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(rest[start..].trim());
    parts.retain(|part| !part.is_empty());
    Some(parts)
}

fn parameter_name(part: &str) -> &str {
    part.split('=').next().unwrap_or("").trim()
}

/// The value of a parameter of a Digest header field, without quotes; `None` for another scheme.
pub fn digest_parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let parts = digest_parameters(value)?;
    let part = parts.into_iter().find(|part| parameter_name(part).eq_ignore_ascii_case(name))?;
    Some(part.split_once('=')?.1.trim().trim_matches('"'))
}

/// A Digest header field without the parameters `names` and, if given, with one more at the end; `None` for another
/// scheme.
pub fn edit_digest(value: &str, names: &[&str], more: Option<&str>) -> Option<String> {
    let is_removed = |part: &&str| names.iter().any(|name| parameter_name(part).eq_ignore_ascii_case(name));
    let kept = digest_parameters(value)?.into_iter().filter(|part| !is_removed(part)).chain(more);
    Some(format!("Digest {}", kept.collect::<Vec<_>>().join(", ")))
}

/// Marks that must be unique: tags of our responses and charging identifiers.
pub struct Marks {
    random: StdRng,
    charging_prefix: String,
    charging_suffix: String,
    charging_next: u64,
}

impl Marks {
    /// Takes its random numbers from the set-up.
    pub fn new(setup: &Setup, host_name: &str, generated_at: IpAddr) -> Marks {
        let boot = setup.random("icid").next_u64();
        // The instant of the start makes a repeated seed harmless.
        let start = setup.wall.0.0;
        let host = match generated_at {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Marks {
            random: setup.random("tag"),
            charging_prefix: format!("{host_name}-{start:x}-{boot:x}-"),
            charging_suffix: host,
            charging_next: 0,
        }
    }

    /// A To tag: 64 random bits (RFC 3261 §19.3 asks for 32).
    pub fn tag(&mut self) -> String {
        format!("{:016x}", self.random.next_u64())
    }

    /// A P-Charging-Vector with an icid-value that is unique in the world (RFC 7315 §4.6.2), and the type-1 orig-ioi of a
    /// REGISTER, which names the network the device is in.
    pub fn charging_vector(&mut self, visited_network: Option<&str>) -> String {
        self.charging_next += 1;
        let mut vector = format!(
            "icid-value=\"{}{}\";icid-generated-at={}",
            self.charging_prefix, self.charging_next, self.charging_suffix
        );
        if let Some(network) = visited_network {
            let _ = write!(vector, ";orig-ioi={}", token_or_quoted(network));
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_loses_and_gains_parameters_and_keeps_the_rest() {
        let value = r#"Digest realm="a, \"b", ck="00", nonce="x==", IK="11",algorithm=AKAv1-MD5"#;
        assert_eq!(
            edit_digest(value, &["ck", "ik"], None).as_deref(),
            Some(r#"Digest realm="a, \"b", nonce="x==", algorithm=AKAv1-MD5"#)
        );
        assert_eq!(digest_parameter(value, "nonce"), Some("x=="));
        assert_eq!(
            edit_digest(
                "Digest username=\"u\"",
                &["integrity-protected"],
                Some("integrity-protected=\"no\"")
            )
            .as_deref(),
            Some(r#"Digest username="u", integrity-protected="no""#)
        );
    }

    #[test]
    fn another_scheme_is_left_alone() {
        assert_eq!(edit_digest("NoOneKnowsThisScheme opaque-data=here", &["ck"], None), None);
        assert_eq!(edit_digest("Digesty a=b", &[], None), None);
        assert_eq!(edit_digest("", &[], None), None);
    }

    #[test]
    fn a_network_name_with_a_space_is_quoted() {
        assert_eq!(token_or_quoted("ims.example"), "ims.example");
        assert_eq!(token_or_quoted("Visited \"1\""), r#""Visited \"1\"""#);
    }
}
