//! Identities from an IMSI and MSISDNs (TS 23.003 §13.2 to 13.4B).

use super::Options;
use crate::provisioning::{FieldError, PublicIdentity};

/// The home domain of an IMSI.
pub(super) fn home_domain(imsi: &str, options: &Options) -> Result<String, FieldError> {
    let wrong = |reason: &str| FieldError { field: "imsi".into(), reason: reason.into() };
    if !(6..=15).contains(&imsi.len()) || !imsi.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong("an IMSI has 6 to 15 digits and nothing else"));
    }
    if let Some(domain) = &options.home_domain {
        return Ok(domain.clone());
    }
    let (mcc, rest) = imsi.split_at(3);
    match options.mnc_digits {
        // §13.2: an MNC of two digits gets a zero in front.
        Some(2) => Ok(format!("ims.mnc0{}.mcc{mcc}.3gppnetwork.org", &rest[..2])),
        Some(3) => Ok(format!("ims.mnc{}.mcc{mcc}.3gppnetwork.org", &rest[..3])),
        _ => Err(wrong(
            "how many of its digits are the MNC is not known; give the home domain, or 2 or 3 MNC digits",
        )),
    }
}

/// The public identities: the temporary one of the IMSI, and two of each MSISDN. With an MSISDN the temporary one is barred
/// (§13.4B): it exists for SIMs that know no other, to register with.
pub(super) fn public_identities(imsi: &str, msisdns: &[String], domain: &str) -> Vec<PublicIdentity> {
    let temporary = PublicIdentity {
        barred: !msisdns.is_empty(),
        ..PublicIdentity::from(format!("sip:{imsi}@{domain}").as_str())
    };
    let mut identities = vec![temporary];
    for msisdn in msisdns {
        // An MSISDN is an international number; exports write it without the plus sign.
        let number = format!("+{}", msisdn.trim_start_matches('+'));
        for uri in [format!("sip:{number}@{domain}"), format!("tel:{number}")] {
            if !identities.iter().any(|earlier| earlier.uri == uri) {
                identities.push(uri.as_str().into());
            }
        }
    }
    identities
}
