//! P-Charging-Vector and P-Charging-Function-Addresses (RFC 7315 §5.2.2.4, TS 24.229 §5.4.3): values only.

use diameter::cx::ChargingInformation;
use sip::{Message, Name};

/// The P-Charging-Vector of `request` with `name` set to `operator`; a new one when the request came without, for
/// which `icid` is a globally unique value.
pub(crate) fn vector(request: &Message, name: &str, operator: &str, icid: impl FnOnce() -> String) -> String {
    match request.header(Name::PChargingVector) {
        Some(value) => with_operator(value, name, operator),
        None => format!("icid-value=\"{}\";{name}={operator}", icid()),
    }
}

/// `value` with parameter `name` set to `operator`: replaced in its place, or added at the end.
pub(crate) fn with_operator(value: &str, name: &str, operator: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut is_set = false;
    for part in value.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let is_named = part.split('=').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(name));
        if is_named && is_set {
            continue;
        }
        is_set |= is_named;
        parts.push(if is_named { format!("{name}={operator}") } else { part.to_string() });
    }
    if !is_set {
        parts.push(format!("{name}={operator}"));
    }
    parts.join(";")
}

/// The value of P-Charging-Function-Addresses; `None` when the HSS named no function.
pub(crate) fn function_addresses(charging: &ChargingInformation) -> Option<String> {
    let names = [
        ("ccf", &charging.primary_charging_collection_function_name),
        ("ccf", &charging.secondary_charging_collection_function_name),
        ("ecf", &charging.primary_event_charging_function_name),
        ("ecf", &charging.secondary_event_charging_function_name),
    ];
    let parts: Vec<String> = names
        .into_iter()
        .filter_map(|(kind, name)| name.as_deref().map(|name| format!("{kind}={}", generic_value(name))))
        .collect();
    (!parts.is_empty()).then(|| parts.join(";"))
}

/// A `gen-value` of RFC 3261 §25.1: quoted unless it is a token or a host (a Diameter URI such as `aaa://…` is
/// neither).
fn generic_value(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~[]:".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) && !text.contains("://") {
        return text.to_string();
    }
    format!("\"{}\"", text.replace(['"', '\\', '\r', '\n'], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_named_once_and_the_rest_stays() {
        let value = "icid-value=\"a;b\";icid-generated-at=192.0.2.1;orig-ioi=visited";
        assert!(
            with_operator(value, "orig-ioi", "home").ends_with(";icid-generated-at=192.0.2.1;orig-ioi=home")
        );
        assert_eq!(with_operator("icid-value=1", "term-ioi", "home"), "icid-value=1;term-ioi=home");
    }

    #[test]
    fn a_diameter_uri_is_quoted() {
        let charging = ChargingInformation {
            primary_charging_collection_function_name: Some("aaa://ccf.example:3868".into()),
            primary_event_charging_function_name: Some("ecf.example".into()),
            ..ChargingInformation::default()
        };
        assert_eq!(
            function_addresses(&charging).as_deref(),
            Some("ccf=\"aaa://ccf.example:3868\";ecf=ecf.example")
        );
        assert_eq!(function_addresses(&ChargingInformation::default()), None);
    }
}
