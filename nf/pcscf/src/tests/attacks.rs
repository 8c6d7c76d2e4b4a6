//! What somebody may try who shares an address with a registered device, or who is registered and wants past the S-CSCF.

use node::Indication;
use sip::message::Name;

use super::bench::*;

/// A device behind NAT: its Via names an address that we do not see.
fn register_behind_nat(bench: &mut Bench, flow: node::Flow) {
    let register = register("alice", "Contact: <sip:alice@10.0.0.1:5060>");
    let text = String::from_utf8(register.raw().to_vec()).expect("ASCII");
    let register = message(&text.replace("\r\n", "\n").replace("UDP 198.51.100.7:5060", "UDP 10.0.0.1:5060"));
    let (server, forwarded) = bench.forward(&register, flow);
    bench.respond(
        server,
        &forwarded,
        200,
        &granted_headers("alice", "<sip:alice@10.0.0.1:5060>;expires=600"),
    );
}

#[test]
fn a_neighbour_behind_the_same_nat_cannot_call_on_a_registration() {
    let mut bench = Bench::new();
    register_behind_nat(&mut bench, udp("198.51.100.7:31337"));
    let contact = "Contact: <sip:alice@10.0.0.1:5060>";
    let invite =
        request("INVITE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", contact);
    for flow in [udp("198.51.100.7:40000"), tcp("198.51.100.7:40000", 3)] {
        assert_eq!(bench.refuse(&invite, flow).status(), 403);
    }
    bench.forward(&invite, udp("198.51.100.7:31337"));
}

#[test]
fn a_device_cannot_go_round_its_s_cscf_by_an_invented_dialog() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    for (uri, route) in [
        ("sip:bob@198.51.100.8:5060", ""),
        ("sip:bob@198.51.100.8:5060", "Route: <sip:198.51.100.9;lr>"),
        ("sip:bob@ims.example", "Route: <sip:icscf.ims.example;lr>"),
    ] {
        let inside =
            |method| request(method, uri, "sip:alice@ims.example", "<sip:bob@ims.example>;tag=t", route);
        let status = bench.refuse(&inside("MESSAGE"), udp(ALICE)).status();
        assert!(matches!(status, 403 | 481), "{status} for {uri} {route}");
        let decisions = bench.feed(Indication::Ack { request: inside("ACK"), flow: udp(ALICE) });
        assert!(decisions.is_empty(), "an ACK for {uri} {route}");
    }
    let route = "Route: <sip:dialog@scscf.ims.example:6060;lr>";
    let bye = request(
        "BYE",
        "sip:bob@198.51.100.8:5060",
        "sip:alice@ims.example",
        "<sip:bob@ims.example>;tag=t",
        route,
    );
    bench.forward(&bye, udp(ALICE));
}

#[test]
fn a_stranger_with_a_token_from_a_dialog_is_not_believed_who_he_says_he_is() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    let contact = "Contact: <sip:alice@198.51.100.7:5060>";
    let invite =
        request("INVITE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", contact);
    let (_, forwarded) = bench.forward(&invite, udp(ALICE));
    let routes: String =
        all(&forwarded.message, Name::RecordRoute).iter().map(|route| format!("Route: {route}\n")).collect();
    let inside = request(
        "MESSAGE",
        "sip:alice@198.51.100.7:5060",
        "sip:bank@ims.example",
        "<sip:alice@ims.example>;tag=t",
        &format!("{routes}P-Asserted-Identity: <sip:bank@ims.example>"),
    );
    for (flow, is_believed) in [(udp(SCSCF), true), (udp("203.0.113.66:5060"), false)] {
        let (_, forwarded) = bench.forward(&inside, flow);
        assert_eq!(forwarded.message.header(Name::PAssertedIdentity).is_some(), is_believed);
    }
}
