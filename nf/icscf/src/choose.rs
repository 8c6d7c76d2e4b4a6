//! Which S-CSCF of several (TS 29.228 §6.7; TS 23.228 §5.1.2).

use diameter::cx::ServerCapabilities;
use node::config::ServerCandidate;

/// The S-CSCFs to try, best first: those the HSS proposes, in its order, then those configured that have all
/// mandatory capabilities, the more optional ones the earlier, else in the order of the configuration.
pub fn candidates(configured: &[ServerCandidate], wanted: Option<&ServerCapabilities>) -> Vec<String> {
    let none = ServerCapabilities::default();
    let wanted = wanted.unwrap_or(&none);
    let mut fitting: Vec<_> = configured
        .iter()
        .filter(|server| wanted.mandatory.iter().all(|capability| server.capabilities.contains(capability)))
        .collect();
    let optional = |server: &ServerCandidate| {
        wanted.optional.iter().filter(|capability| server.capabilities.contains(capability)).count()
    };
    fitting.sort_by_key(|server| std::cmp::Reverse(optional(server)));
    let mut names = wanted.server_names.clone();
    for server in fitting {
        if !names.contains(&server.uri) {
            names.push(server.uri.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: (&[u32], &[u32], &[&str]), expected: &[&str]) {
        let server = |uri: &str, capabilities: &[u32]| ServerCandidate {
            uri: uri.into(),
            capabilities: capabilities.into(),
        };
        let configured = [server("sip:a", &[]), server("sip:b", &[1]), server("sip:c", &[1, 2, 3])];
        let (mandatory, optional, names) = wanted;
        let wanted = ServerCapabilities {
            mandatory: mandatory.into(),
            optional: optional.into(),
            server_names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(candidates(&configured, Some(&wanted)), expected);
    }

    #[test]
    fn without_wishes_the_order_of_the_configuration_holds() {
        check((&[], &[], &[]), &["sip:a", "sip:b", "sip:c"]);
    }

    #[test]
    fn a_server_without_a_mandatory_capability_is_out() {
        check((&[1], &[], &[]), &["sip:b", "sip:c"]);
        check((&[9], &[], &[]), &[]);
    }

    #[test]
    fn optional_capabilities_come_earlier() {
        check((&[], &[2], &[]), &["sip:c", "sip:a", "sip:b"]);
    }

    #[test]
    fn what_the_hss_proposes_comes_first_and_once() {
        check((&[], &[], &["sip:x", "sip:b"]), &["sip:x", "sip:b", "sip:a", "sip:c"]);
    }
}
