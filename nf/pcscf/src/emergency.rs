//! Refusals that carry `application/3gpp-ims+xml` (TS 24.229 §7.6): emergency calls, and the loss of an S-CSCF.
//!
//! This core has no emergency sessions (no E-CSCF). TS 24.229 §5.2.10.4 tells a P-CSCF in such a network to answer
//! an emergency call, whoever makes it, with 380 (Alternative Service), type `emergency`, and no `action`, upon which
//! the device tries the circuit-switched domain or another network. A call that is quietly forwarded to nobody would be worse.
//! An emergency *registration* (`sos` in Contact) is refused with 403 for the same reason.
//! A softphone, which knows nothing of this, shows the reason phrase: it says what to do.

use node::Store;
use sip::message::Name;
use sip::uri::Scheme;
use sip::{Draft, Uri};

use crate::Pcscf;

/// The media type of the bodies below.
pub const CONTENT_TYPE: &str = "application/3gpp-ims+xml";

/// Puts the body of a refused emergency call into a 380.
pub fn dress_emergency(draft: &mut Draft, own_uri: &str) {
    draft.push_back(Name::PAssertedIdentity, format!("<{own_uri}>"));
    draft.set_body(
        CONTENT_TYPE,
        alternative_service("emergency", "emergency calls are not offered here", None),
    );
}

/// Puts the body of TS 23.380 restoration into a 504: the device shall register anew (GPP-R5). The device compares
/// P-Asserted-Identity with the URIs of its Path and Service-Route (GPP-R6).
pub fn dress_restoration(draft: &mut Draft, path: &str) {
    draft.push_back(Name::PAssertedIdentity, format!("<{path}>"));
    let body =
        alternative_service("restoration", "the serving function is lost", Some("initial-registration"));
    draft.set_body(CONTENT_TYPE, body);
}

fn alternative_service(kind: &str, reason: &str, action: Option<&str>) -> String {
    let action = action.map(|action| format!("<action>{action}</action>")).unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ims-3gpp version=\"1\"><alternative-service>\
         <type>{kind}</type><reason>{reason}</reason>{action}</alternative-service></ims-3gpp>\n"
    )
}

impl<S: Store> Pcscf<S> {
    /// Is it a call for help? `urn:service:sos` and its children (RFC 5031) always; numbers as configured, as `tel`
    /// URI or as the user part of a SIP URI, which is how softphones dial.
    pub(crate) fn is_emergency(&self, request_uri: &str) -> bool {
        let lower = request_uri.to_ascii_lowercase();
        let names = |listed: &str| {
            lower.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if names("urn:service:sos") {
            return true;
        }
        let Ok(uri) = Uri::parse(request_uri) else { return false };
        let dialled = match uri.scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Tel => uri.user.unwrap_or(""),
            Scheme::Other => "",
        };
        // Dialled with parameters inside the user part (`112;phone-context=…@`) or with separators, it is the same number.
        let dialled: String = dialled
            .split(';')
            .next()
            .unwrap_or("")
            .chars()
            .filter(|digit| !"-.()".contains(*digit))
            .collect();
        self.own.emergency_numbers.iter().any(|listed| {
            if listed.contains(':') {
                names(&listed.to_ascii_lowercase())
            } else {
                !dialled.is_empty() && *listed == dialled
            }
        })
    }
}
