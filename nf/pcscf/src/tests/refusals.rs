//! What is answered here: strangers, forged tokens, unknown extensions, OPTIONS, emergency calls, bad configuration.

use node::MemoryStore;
use node::config::FunctionConfig;
use sip::message::Name;

use super::bench::*;
use crate::{Pcscf, SetupError};

fn stranger(method: &str, uri: &str, more: &str) -> sip::Message {
    request(method, uri, "sip:eve@elsewhere.example", "<sip:bob@ims.example>", more)
}

#[test]
fn who_has_not_registered_is_refused() {
    let mut bench = Bench::new();
    for method in ["INVITE", "MESSAGE", "SUBSCRIBE", "BYE", "FANCY"] {
        assert_eq!(
            bench.refuse(&stranger(method, "sip:bob@ims.example", ""), udp(ALICE)).status(),
            403,
            "{method}"
        );
    }
    assert_eq!(bench.events[0], ("call", "not_registered"));
}

#[test]
fn an_ack_of_a_stranger_goes_nowhere() {
    let mut bench = Bench::new();
    let ack = stranger("ACK", "sip:bob@ims.example", "");
    assert!(bench.feed(node::Indication::Ack { request: ack, flow: udp(ALICE) }).is_empty());
}

#[test]
fn options_to_us_is_answered_and_options_to_a_user_is_not() {
    let mut bench = Bench::new();
    for uri in ["sip:192.0.2.1:4060", "sip:pcscf.ims.example", "sip:pcscf.ims.example:4060"] {
        assert_eq!(bench.refuse(&stranger("OPTIONS", uri, ""), udp(ALICE)).status(), 200, "{uri}");
    }
    for uri in ["sip:bob@ims.example", "sip:192.0.2.1:5060", "sip:192.0.2.9:4060"] {
        assert_eq!(bench.refuse(&stranger("OPTIONS", uri, ""), udp(ALICE)).status(), 403, "{uri}");
    }
}

#[test]
fn a_token_that_is_not_ours_opens_nothing() {
    let mut bench = Bench::new();
    let path = bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    let changed = if path.as_bytes()[12] == b'a' { "b" } else { "a" };
    let forged = format!("{}{changed}{}", &path[..12], &path[13..]);
    for route in [forged.as_str(), "sip:term@192.0.2.1:4060;lr"] {
        let invite = stranger("INVITE", "sip:alice@198.51.100.7:5060", &format!("Route: <{route}>"));
        assert_eq!(bench.refuse(&invite, udp("203.0.113.66:5060")).status(), 403, "{route}");
    }
}

#[test]
fn the_token_of_a_dialog_opens_no_new_one() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    let invite =
        request("INVITE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", "");
    let (_, forwarded) = bench.forward(&invite, udp(ALICE));
    let seen_by_all = uri_of(&forwarded.message, Name::RecordRoute);
    let invite = stranger("INVITE", "sip:alice@198.51.100.7:5060", &format!("Route: <{seen_by_all}>"));
    assert_eq!(bench.refuse(&invite, udp("203.0.113.66:5060")).status(), 403);
}

#[test]
fn an_extension_that_no_proxy_knows_is_420() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    let proxy_require =
        "Proxy-Require: sec-agree, nothingSupportsThis\nProxy-Require: nothingSupportsThisEither";
    for message in [
        request(
            "INVITE",
            "sip:bob@ims.example",
            "sip:alice@ims.example",
            "<sip:bob@ims.example>",
            proxy_require,
        ),
        register("alice", &format!("Contact: <sip:alice@198.51.100.7:5060>\n{proxy_require}")),
    ] {
        let answer = bench.refuse(&message, udp(ALICE));
        assert_eq!(answer.status(), 420);
        assert_eq!(all(&answer, Name::Unsupported), ["nothingSupportsThis", "nothingSupportsThisEither"]);
    }
}

#[test]
fn a_call_for_help_is_sent_to_another_network_whoever_makes_it() {
    let mut bench = Bench::new();
    let path = bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    for uri in [
        "urn:service:sos",
        "URN:service:SOS.fire",
        "tel:112",
        "tel:112;phone-context=ims.example",
        "sip:112@ims.example",
        "sip:911@ims.example;user=phone",
        "sip:112;phone-context=ims.example@ims.example;user=phone",
    ] {
        for (flow, own) in [(udp(ALICE), path.as_str()), (udp("203.0.113.66:5060"), "sip:192.0.2.1:4060")] {
            let answer =
                bench.refuse(&request("INVITE", uri, "sip:alice@ims.example", &format!("<{uri}>"), ""), flow);
            assert_eq!(answer.status(), 380, "{uri}");
            assert_eq!(answer.header(Name::ContentType), Some("application/3gpp-ims+xml"));
            assert_eq!(uri_of(&answer, Name::PAssertedIdentity), own);
            let body = std::str::from_utf8(answer.body()).expect("text");
            assert!(body.contains("<type>emergency</type>") && !body.contains("<action>"), "{body}");
        }
    }
    assert_eq!(bench.events.last(), Some(&("emergency_call", "refused")));
}

#[test]
fn what_only_looks_like_a_call_for_help_is_not_one() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    for uri in [
        "tel:1123",
        "sip:11@ims.example",
        "urn:service:sosx",
        "urn:service:counseling",
        "sip:sos@ims.example",
    ] {
        bench.forward(&request("INVITE", uri, "sip:alice@ims.example", &format!("<{uri}>"), ""), udp(ALICE));
    }
}

#[test]
fn an_emergency_registration_is_refused() {
    let mut bench = Bench::new();
    let request = register("alice", "Contact: <sip:alice@198.51.100.7:5060;sos>");
    assert_eq!(bench.refuse(&request, udp(ALICE)).status(), 403);
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_field() {
    type Tamper = fn(&mut node::config::Config, &mut node::config::Pcscf);
    let cases: [(Tamper, &str); 4] = [
        (|_, own| own.icscf_uri = "sip:nowhere.example".into(), "icscfUri"),
        (|_, own| own.icscf_uri = "not a URI".into(), "icscfUri"),
        (|_, own| own.flow_token_key = "00".into(), "flowTokenKey"),
        (|config, _| config.listen.clear(), "listen"),
    ];
    for (tamper, field) in cases {
        let mut config = config();
        let FunctionConfig::Pcscf(mut own) = config.function.clone() else { unreachable!("made as one") };
        tamper(&mut config, &mut own);
        config.function = FunctionConfig::Pcscf(own);
        let error: SetupError = match Pcscf::new(&setup(config, 0), MemoryStore::default()) {
            Ok(_) => panic!("accepted without a usable {field}"),
            Err(error) => error,
        };
        assert!(error.to_string().contains(field), "{error}");
    }
}
