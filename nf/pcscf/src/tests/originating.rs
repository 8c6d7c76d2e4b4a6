//! Spec 4.3.1, rows "P orig", "P orig, response" and "P orig, S-CSCF unreachable".

use clock::Duration;
use node::Origin;
use sip::message::Name;
use sip::{Message, Method};

use super::bench::*;

const ALICE_CONTACT: &str = "<sip:alice@198.51.100.7:5060>";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.register("alice", ALICE_CONTACT, udp(ALICE));
    bench
}

fn from_alice(method: &str, more: &str) -> Message {
    let more = format!("Contact: {ALICE_CONTACT}\n{more}");
    request(method, "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", &more)
}

#[test]
fn an_invite_of_a_device_leaves_asserted_charged_and_on_its_service_route() {
    let mut bench = bench();
    let invite = from_alice(
        "INVITE",
        "Route: <sip:192.0.2.1:4060;lr>, <sip:orig@scscf.ims.example:6060;lr>\nP-Preferred-Identity: <tel:+1-555-1001>\n\
         P-Asserted-Identity: <sip:boss@ims.example>\nP-Charging-Vector: icid-value=mine\nSecurity-Verify: ipsec-3gpp;q=1\n\
         Require: sec-agree, 100rel\nProxy-Require: sec-agree, privacy\nP-Access-Network-Info: IEEE-802.11\nSupported: timer\n\
         P-Served-User: <sip:boss@ims.example>",
    );
    let (_, forwarded) = bench.forward(&invite, udp(ALICE));
    let message = &forwarded.message;
    assert_eq!(forwarded.destination.remote, SCSCF.parse().expect("an address"));
    assert_eq!(forwarded.patience, Some(Duration::from_secs(5)));
    assert_eq!(message.request_uri(), "sip:bob@ims.example");
    assert_eq!(all(message, Name::Route), ["<sip:orig@scscf.ims.example:6060;lr>"]);
    assert_eq!(all(message, Name::PAssertedIdentity), ["<tel:+15551001>"]);
    assert_eq!(all(message, Name::PChargingVector).len(), 1);
    assert!(
        message.header(Name::PChargingVector).expect("it is there").contains("icid-generated-at=192.0.2.1")
    );
    assert_eq!(all(message, Name::Require), ["100rel"]);
    assert_eq!(all(message, Name::PAccessNetworkInfo), ["IEEE-802.11"]);
    assert_eq!(all(message, Name::RecordRoute).len(), 1);
    assert!(uri_of(message, Name::RecordRoute).ends_with("@192.0.2.1:4060;lr"));
    assert_without(
        message,
        &[
            Name::PPreferredIdentity,
            Name::SecurityVerify,
            Name::ProxyRequire,
            Name::PServedUser,
            Name::PVisitedNetworkId,
        ],
    );
}

#[test]
fn only_what_forms_a_dialog_gets_a_record_route() {
    for (method, expected) in [
        ("INVITE", 1),
        ("SUBSCRIBE", 1),
        ("REFER", 1),
        ("MESSAGE", 0),
        ("PUBLISH", 0),
        ("OPTIONS", 0),
        ("FANCY", 0),
    ] {
        let (_, forwarded) = bench().forward(&from_alice(method, ""), udp(ALICE));
        assert_eq!(all(&forwarded.message, Name::RecordRoute).len(), expected, "{method}");
        assert_eq!(forwarded.patience.is_some(), method == "INVITE", "{method}");
    }
}

#[test]
fn each_request_has_a_charging_identifier_of_its_own_also_after_a_restart() {
    let mut seen = std::collections::BTreeSet::new();
    let mut first = bench();
    for _ in 0..3 {
        let (_, forwarded) = first.forward(&from_alice("MESSAGE", ""), udp(ALICE));
        assert!(
            seen.insert(forwarded.message.header(Name::PChargingVector).expect("it is there").to_owned())
        );
    }
    let mut second = first.restarted(Duration::from_secs(1));
    for _ in 0..3 {
        let (_, forwarded) = second.forward(&from_alice("MESSAGE", ""), udp(ALICE));
        assert!(
            seen.insert(forwarded.message.header(Name::PChargingVector).expect("it is there").to_owned())
        );
    }
}

#[test]
fn a_device_is_believed_only_about_its_own_identities() {
    for (from, preferred, expected) in [
        ("sip:alice@ims.example", None, "<sip:alice@ims.example>"),
        ("sip:alice@ims.example", Some("<tel:+15551001>"), "<tel:+15551001>"),
        ("sip:alice@ims.example", Some("<sip:boss@ims.example>"), "<sip:alice@ims.example>"),
        ("tel:+15551001", None, "<tel:+15551001>"),
        ("sip:anonymous@anonymous.invalid", None, "<sip:alice@ims.example>"),
        ("sip:boss@ims.example", Some("nonsense"), "<sip:alice@ims.example>"),
    ] {
        let preferred =
            preferred.map(|identity| format!("P-Preferred-Identity: {identity}")).unwrap_or_default();
        let message = request("MESSAGE", "sip:bob@ims.example", from, "<sip:bob@ims.example>", &preferred);
        let (_, forwarded) = bench().forward(&message, udp(ALICE));
        assert_eq!(all(&forwarded.message, Name::PAssertedIdentity), [expected], "{from} {preferred}");
    }
}

#[test]
fn a_missing_or_wrong_service_route_is_replaced() {
    for route in
        ["", "Route: <sip:192.0.2.1:4060;lr>", "Route: <sip:elsewhere.example;lr>, <sip:x@y.example;lr>"]
    {
        let (_, forwarded) = bench().forward(&from_alice("INVITE", route), udp(ALICE));
        assert_eq!(all(&forwarded.message, Name::Route), ["<sip:orig@scscf.ims.example:6060;lr>"], "{route}");
    }
}

#[test]
fn a_device_reads_nothing_about_charging_and_no_identity_that_is_private() {
    let mut bench = bench();
    let (server, forwarded) = bench.forward(&from_alice("INVITE", ""), udp(ALICE));
    let more = [
        (Name::PChargingVector, "icid-value=1;orig-ioi=a;term-ioi=b"),
        (Name::PChargingFunctionAddresses, "ccf=192.0.2.9"),
        (Name::PAccessNetworkInfo, "IEEE-802.11"),
        (Name::PAssertedIdentity, "<sip:bob@ims.example>"),
    ];
    let ringing = bench.respond(server, &forwarded, 180, &more);
    assert_without(
        &ringing,
        &[Name::PChargingVector, Name::PChargingFunctionAddresses, Name::PAccessNetworkInfo],
    );
    assert_eq!(all(&ringing, Name::PAssertedIdentity), ["<sip:bob@ims.example>"]);
    let private = [(Name::Privacy, "id"), (Name::PAssertedIdentity, "<sip:bob@ims.example>")];
    let answer = bench.respond(server, &forwarded, 200, &private);
    assert_without(&answer, &[Name::PAssertedIdentity]);
    assert_eq!(bench.events.last(), Some(&("call", "ok")));
    // A second 2xx, from another branch of a fork, is treated the same.
    let second = bench.respond(server, &forwarded, 200, &more);
    assert_without(&second, &[Name::PChargingVector]);
}

#[test]
fn the_loss_of_the_s_cscf_sends_the_device_to_register_anew() {
    for origin in [Origin::TimedOut, Origin::Unreachable] {
        let mut bench = Bench::new();
        let path = bench.register("alice", ALICE_CONTACT, udp(ALICE));
        let (server, forwarded) = bench.forward(&from_alice("INVITE", ""), udp(ALICE));
        let answer = bench.respond_as(server, &forwarded, 408, &[], origin);
        assert_restoration(&answer, &path);
        assert_eq!(bench.events.last(), Some(&("call", "server_timeout")));
    }
}

#[test]
fn a_service_route_to_nowhere_is_a_lost_s_cscf() {
    let mut bench = Bench::new();
    let (server, forwarded) =
        bench.forward(&super::bench::register("alice", &format!("Contact: {ALICE_CONTACT}")), udp(ALICE));
    let path = uri_of(&forwarded.message, Name::Path);
    let granted = format!("{ALICE_CONTACT};expires=600");
    let more = [(Name::Contact, granted.as_str()), (Name::ServiceRoute, "<sip:orig@nowhere.example;lr>")];
    bench.respond(server, &forwarded, 200, &more);
    assert_restoration(&bench.refuse(&from_alice("MESSAGE", ""), udp(ALICE)), &path);
}

fn assert_restoration(answer: &Message, path: &str) {
    assert_eq!(answer.status(), 504);
    assert_eq!(all(answer, Name::PAssertedIdentity), [format!("<{path}>")]);
    assert_eq!(answer.header(Name::ContentType), Some("application/3gpp-ims+xml"));
    let body = std::str::from_utf8(answer.body()).expect("text");
    assert!(
        body.contains("<type>restoration</type>") && body.contains("<action>initial-registration</action>"),
        "{body}"
    );
}

#[test]
fn a_refusal_of_the_far_end_passes_and_is_counted_by_its_cause() {
    for (status, outcome) in
        [(486, "busy"), (404, "unknown_subscriber"), (480, "unavailable"), (603, "declined")]
    {
        let mut bench = bench();
        let (server, forwarded) = bench.forward(&from_alice("INVITE", ""), udp(ALICE));
        let answer = bench.respond(server, &forwarded, status, &[]);
        assert_eq!((answer.status(), answer.method()), (status, Method::Invite));
        assert_eq!(bench.events.last(), Some(&("call", outcome)));
    }
}

#[test]
fn devices_that_share_a_socket_are_told_apart_by_what_they_say() {
    let mut bench = bench();
    bench.register("bob", "<sip:bob@198.51.100.7:5060>", udp(ALICE));
    let from = |identity: &str, contact: &str| {
        let more = format!("Contact: {contact}");
        request("INVITE", "sip:carol@ims.example", identity, "<sip:carol@ims.example>", &more)
    };
    for (identity, contact, expected) in [
        ("sip:bob@ims.example", "<sip:x@198.51.100.7>", "<sip:bob@ims.example>"),
        ("sip:alice@ims.example", "<sip:x@198.51.100.7>", "<sip:alice@ims.example>"),
        ("sip:anonymous@anonymous.invalid", "<sip:bob@198.51.100.7:5060>", "<sip:bob@ims.example>"),
    ] {
        let (_, forwarded) = bench.forward(&from(identity, contact), udp(ALICE));
        assert_eq!(all(&forwarded.message, Name::PAssertedIdentity), [expected], "{identity}");
    }
    let nobody = from("sip:carol@ims.example", "<sip:carol@198.51.100.7:5060>");
    assert_eq!(bench.refuse(&nobody, udp(ALICE)).status(), 403);
}
