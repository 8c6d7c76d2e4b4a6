//! Spec 4.3.1, rows "P term" and "P term, response".

use node::Origin;
use sip::Message;
use sip::message::Name;

use super::bench::*;

const BOB: &str = "198.51.100.8:5060";
const BOB_CONTACT: &str = "<sip:bob@198.51.100.8:5060>";

fn towards_bob(method: &str, path: &str, more: &str) -> Message {
    let more = format!(
        "Route: <{path}>\nContact: <sip:alice@198.51.100.7:5060>\nP-Called-Party-ID: <sip:bob@ims.example>\n\
         P-Charging-Vector: icid-value=abc;orig-ioi=ims.example\nP-Charging-Function-Addresses: ccf=192.0.2.9\n\
         P-Access-Network-Info: IEEE-802.11\nP-Asserted-Identity: <sip:alice@ims.example>\n\
         Record-Route: <sip:term@192.0.2.3:6060;lr>\n{more}"
    );
    request(method, "sip:bob@198.51.100.8:5060", "sip:alice@ims.example", "<sip:bob@ims.example>", &more)
}

fn bench() -> (Bench, String) {
    let mut bench = Bench::new();
    let path = bench.register("bob", BOB_CONTACT, udp(BOB));
    (bench, path)
}

#[test]
fn an_invite_reaches_the_device_without_what_the_core_keeps_to_itself() {
    let (mut bench, path) = bench();
    let (_, forwarded) = bench.forward(&towards_bob("INVITE", &path, ""), udp(SCSCF));
    let message = &forwarded.message;
    assert_eq!(forwarded.destination, udp(BOB).to_destination());
    assert_eq!(message.request_uri(), "sip:bob@198.51.100.8:5060");
    assert_without(
        message,
        &[Name::Route, Name::PChargingVector, Name::PChargingFunctionAddresses, Name::PAccessNetworkInfo],
    );
    assert_eq!(all(message, Name::PAssertedIdentity), ["<sip:alice@ims.example>"]);
    assert_eq!(all(message, Name::PCalledPartyId), ["<sip:bob@ims.example>"]);
    let record_route = all(message, Name::RecordRoute);
    assert_eq!(record_route.len(), 2);
    assert!(record_route[0].ends_with("@192.0.2.1:4060;lr>"), "{record_route:?}");
    assert_eq!(message.header(Name::MaxForwards), Some("69"));
}

#[test]
fn a_caller_who_wants_privacy_is_not_named_to_the_device() {
    for privacy in ["id", "header;id", "user; ID"] {
        let (mut bench, path) = bench();
        let (_, forwarded) =
            bench.forward(&towards_bob("MESSAGE", &path, &format!("Privacy: {privacy}")), udp(SCSCF));
        assert_without(&forwarded.message, &[Name::PAssertedIdentity]);
        // A MESSAGE forms no dialog: only the entry that was there stays.
        assert_eq!(all(&forwarded.message, Name::RecordRoute), ["<sip:term@192.0.2.3:6060;lr>"]);
    }
    let (mut bench, path) = bench();
    let (_, forwarded) = bench.forward(&towards_bob("MESSAGE", &path, "Privacy: none"), udp(SCSCF));
    assert_eq!(all(&forwarded.message, Name::PAssertedIdentity).len(), 1);
}

#[test]
fn the_answer_names_who_was_called_and_carries_the_charging_vector_back() {
    let (mut bench, path) = bench();
    let (server, forwarded) = bench.forward(&towards_bob("INVITE", &path, ""), udp(SCSCF));
    let claimed = [
        (Name::PAssertedIdentity, "<sip:boss@ims.example>"),
        (Name::PPreferredIdentity, "<sip:boss@ims.example>"),
        (Name::PChargingVector, "icid-value=forged"),
    ];
    for status in [180, 200] {
        let answer = bench.respond(server, &forwarded, status, &claimed);
        assert_eq!(all(&answer, Name::PAssertedIdentity), ["<sip:bob@ims.example>"]);
        assert_eq!(all(&answer, Name::PChargingVector), ["icid-value=abc;orig-ioi=ims.example"]);
        assert_without(&answer, &[Name::PPreferredIdentity]);
    }
}

#[test]
fn a_refusal_names_nobody() {
    let (mut bench, path) = bench();
    let (server, forwarded) = bench.forward(&towards_bob("INVITE", &path, ""), udp(SCSCF));
    let answer = bench.respond(server, &forwarded, 486, &[]);
    assert_without(&answer, &[Name::PAssertedIdentity]);
    assert_eq!(all(&answer, Name::PChargingVector).len(), 1);
}

#[test]
fn a_device_that_cannot_be_reached_keeps_its_registration_unless_it_keeps_flows() {
    let outbound = "<sip:bob@10.0.0.8:5060>;reg-id=1;+sip.instance=\"<urn:uuid:2>\"";
    for (contact, supported, expected) in [(BOB_CONTACT, "path", 480), (outbound, "path, outbound", 430)] {
        let mut bench = Bench::new();
        let register = register("bob", &format!("Contact: {contact}\nSupported: {supported}"));
        let (server, forwarded) = bench.forward(&register, udp(BOB));
        let path = uri_of(&forwarded.message, Name::Path);
        let granted = format!("{contact};expires=600");
        bench.respond(server, &forwarded, 200, &granted_headers("bob", &granted));
        let (server, forwarded) = bench.forward(&towards_bob("INVITE", &path, ""), udp(SCSCF));
        assert_eq!(bench.respond_as(server, &forwarded, 503, &[], Origin::Unreachable).status(), expected);
    }
}

#[test]
fn a_path_still_leads_to_the_device_when_its_binding_was_lost() {
    let (_, path) = bench();
    let mut standby = Bench::new();
    let (_, forwarded) = standby.forward(&towards_bob("INVITE", &path, ""), udp(SCSCF));
    assert_eq!(forwarded.destination, udp(BOB).to_destination());
}
