//! From numbers and strings to types that cannot be wrong, each mistake with its field.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Why a resource cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The field, such as `spec.pcscf.port`.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.path, self.reason)
    }
}

/// Collects all mistakes of a resource, so that the user corrects them in one go.
#[derive(Default)]
pub(crate) struct Check {
    pub(crate) reasons: Vec<Reason>,
}

impl Check {
    pub(crate) fn refuse(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.reasons.push(Reason { path: path.into(), reason: reason.into() });
    }

    /// `value` as an unsigned number; 0 stands in for one that is refused.
    pub(crate) fn number(&mut self, path: &str, value: i32, allowed: RangeInclusive<i32>) -> u32 {
        if !allowed.contains(&value) {
            self.refuse(path, format!("{value} is not within {} to {}", allowed.start(), allowed.end()));
        }
        u32::try_from(value).unwrap_or_default()
    }

    pub(crate) fn port(&mut self, path: &str, value: Option<i32>, default: u16) -> u16 {
        let value = self.number(path, value.unwrap_or(i32::from(default)), 1..=65_535);
        u16::try_from(value).unwrap_or(default)
    }

    /// The listening addresses of a function.
    pub(crate) fn addresses(
        &mut self,
        path: &str,
        given: Option<&[String]>,
        default: &[&str],
        port: u16,
    ) -> Vec<SocketAddr> {
        let texts = match given {
            Some(given) => given.to_vec(),
            None => default.iter().map(|text| (*text).to_owned()).collect(),
        };
        if texts.is_empty() {
            self.refuse(path, "needs at least one address");
        }
        if texts.len() > 16 {
            self.refuse(path, format!("{} addresses are more than the 16 allowed", texts.len()));
        }
        let mut addresses = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match text.trim_matches(['[', ']']).parse::<IpAddr>() {
                Err(_) => self.refuse(path, format!("`{text}` is not an IPv4 or IPv6 address")),
                // It would stand in Via and Path, where only an address that can be reached helps.
                Ok(ip) if ip.is_unspecified() => {
                    self.refuse(
                        path,
                        format!("{ip} names no address of this machine: write the one that phones use"),
                    );
                }
                Ok(ip) if ip.is_multicast() => self.refuse(path, format!("{ip} is a multicast address")),
                Ok(ip) if addresses.contains(&SocketAddr::new(ip, port)) => {
                    self.refuse(path, format!("{ip} is named twice"));
                }
                Ok(ip) => addresses.push(SocketAddr::new(ip, port)),
            }
        }
        addresses
    }

    /// A DNS name (RFC 1035 §2.3.1, with the digits of RFC 1123 §2.1), in lower case.
    pub(crate) fn domain(&mut self, path: &str, text: &str) -> String {
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // 253 bytes for a name (RFC 1035 §2.3.4), less `pcscf.` in front of it.
        if text.is_empty() || text.len() > 247 || !text.split('.').all(is_label) {
            self.refuse(path, format!("`{text}` is not a domain name"));
        } else if text.parse::<IpAddr>().is_ok() {
            self.refuse(path, format!("`{text}` is an address, a domain name is needed"));
        }
        text.to_ascii_lowercase()
    }
}
