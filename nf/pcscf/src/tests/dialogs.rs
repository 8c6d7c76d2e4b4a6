//! Requests inside a dialog, ACK, and the double Record-Route of RFC 5658.

use clock::Duration;
use node::{Decision, Indication, Transport};
use sip::Message;
use sip::message::Name;

use super::bench::*;

const BOB: &str = "198.51.100.8:5060";
const SCSCF_ROUTE: &str = "<sip:192.0.2.3:6060;lr>";

/// A request of Alice inside the dialog that her INVITE made.
fn inside(method: &str, from: &str, uri: &str, routes: &[String]) -> Message {
    let routes: String = routes.iter().map(|route| format!("Route: {route}\n")).collect();
    request(
        method,
        uri,
        from,
        "<sip:other@ims.example>;tag=to-tag",
        &format!("{routes}P-Asserted-Identity: <sip:x@y>"),
    )
}

/// Registers Alice and lets her call; gives the Record-Route her device side and the far side see.
fn call(bench: &mut Bench, flow: node::Flow) -> Vec<String> {
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", flow);
    let invite = request(
        "INVITE",
        "sip:bob@ims.example",
        "sip:alice@ims.example",
        "<sip:bob@ims.example>",
        "Contact: <sip:alice@198.51.100.7:5060>",
    );
    let (_, forwarded) = bench.forward(&invite, flow);
    all(&forwarded.message, Name::RecordRoute)
}

fn acknowledge(bench: &mut Bench, request: &Message, flow: node::Flow) -> (Message, node::Destination) {
    match bench.feed(Indication::Ack { request: request.clone(), flow }).as_slice() {
        [Decision::SendStateless { request, destination }] => (parsed(request), *destination),
        other => panic!("not sent on: {other:?}"),
    }
}

#[test]
fn a_device_on_the_same_transport_as_the_core_needs_one_record_route() {
    let mut bench = Bench::new();
    assert_eq!(call(&mut bench, udp(ALICE)).len(), 1);
}

#[test]
fn a_device_on_tcp_gets_an_entry_for_each_side_with_the_core_side_on_top() {
    let mut bench = Bench::new();
    let entries = call(&mut bench, tcp("198.51.100.7:40000", 3));
    assert_eq!(entries.len(), 2);
    assert!(entries[0].ends_with("@192.0.2.1:4060;lr>"), "{entries:?}");
    assert!(entries[1].ends_with("@192.0.2.1:4060;transport=tcp;lr>"), "{entries:?}");
}

#[test]
fn a_request_of_the_device_leaves_on_its_route_without_our_entries() {
    for flow in [udp(ALICE), tcp("198.51.100.7:40000", 3)] {
        let mut bench = Bench::new();
        let mut routes = call(&mut bench, flow);
        // The caller sees the list reversed (RFC 3261 §12.1.2): its own side first.
        routes.reverse();
        routes.push(SCSCF_ROUTE.into());
        for method in ["BYE", "UPDATE", "PRACK", "INFO", "INVITE", "SUBSCRIBE", "NOTIFY"] {
            let request = inside(method, "sip:alice@ims.example", "sip:bob@198.51.100.8", &routes);
            let (_, forwarded) = bench.forward(&request, flow);
            assert_eq!(all(&forwarded.message, Name::Route), [SCSCF_ROUTE], "{method}");
            assert_eq!(forwarded.destination.remote, SCSCF.parse().expect("an address"));
            assert_without(&forwarded.message, &[Name::PAssertedIdentity, Name::RecordRoute]);
        }
        let ack = inside("ACK", "sip:alice@ims.example", "sip:bob@198.51.100.8", &routes);
        let (sent, destination) = acknowledge(&mut bench, &ack, flow);
        assert_eq!(all(&sent, Name::Route), [SCSCF_ROUTE]);
        assert_eq!(destination.remote, SCSCF.parse().expect("an address"));
    }
}

#[test]
fn a_request_of_the_far_end_reaches_the_device_over_its_flow() {
    for flow in [udp(ALICE), tcp("198.51.100.7:40000", 3)] {
        let mut bench = Bench::new();
        let routes = call(&mut bench, flow);
        let bye = inside("BYE", "sip:bob@ims.example", "sip:alice@198.51.100.7:5060", &routes);
        let (_, forwarded) = bench.forward(&bye, udp(SCSCF));
        assert_eq!(forwarded.destination, flow.to_destination());
        assert_without(&forwarded.message, &[Name::Route]);
        let ack = inside("ACK", "sip:bob@ims.example", "sip:alice@198.51.100.7:5060", &routes);
        let (sent, destination) = acknowledge(&mut bench, &ack, udp(SCSCF));
        assert_eq!(destination, flow.to_destination());
        assert_without(&sent, &[Name::Route]);
    }
}

#[test]
fn a_dialog_between_two_devices_here_passes_twice() {
    let mut bench = Bench::new();
    let alice = call(&mut bench, udp(ALICE));
    let path = bench.register("bob", "<sip:bob@198.51.100.8:5060>", udp(BOB));
    let route = format!("Route: <{path}>\nRecord-Route: {}", alice[0]);
    let invite = request(
        "INVITE",
        "sip:bob@198.51.100.8:5060",
        "sip:alice@ims.example",
        "<sip:bob@ims.example>",
        &route,
    );
    let (_, forwarded) = bench.forward(&invite, udp(SCSCF));
    let bob = all(&forwarded.message, Name::RecordRoute)[0].clone();
    // Alice's BYE where the S-CSCF has left the dialog: our two entries stand side by side.
    let bye =
        inside("BYE", "sip:alice@ims.example", "sip:bob@198.51.100.8:5060", &[alice[0].clone(), bob.clone()]);
    let (_, first) = bench.forward(&bye, udp(ALICE));
    assert_eq!(all(&first.message, Name::Route), [bob.as_str()]);
    assert_eq!(first.destination.remote, "192.0.2.1:4060".parse().expect("an address"));
    let (_, second) = bench.forward(&first.message, udp("192.0.2.1:4060"));
    assert_eq!(second.destination, udp(BOB).to_destination());
    assert_without(&second.message, &[Name::Route]);
}

#[test]
fn a_call_outlives_the_registration_and_the_process() {
    let mut bench = Bench::new();
    let mut routes = call(&mut bench, udp(ALICE));
    let mut later = bench.restarted(Duration::from_secs(3600));
    assert_eq!(later.pcscf.bindings_count(), 0);
    let bye = inside("BYE", "sip:bob@ims.example", "sip:alice@198.51.100.7:5060", &routes);
    assert_eq!(later.forward(&bye, udp(SCSCF)).1.destination, udp(ALICE).to_destination());
    routes.push(SCSCF_ROUTE.into());
    let bye = inside("BYE", "sip:alice@ims.example", "sip:bob@198.51.100.8", &routes);
    assert_eq!(all(&later.forward(&bye, udp(ALICE)).1.message, Name::Route), [SCSCF_ROUTE]);
}

#[test]
fn families_that_differ_get_an_entry_each() {
    let mut config = config();
    config.listen.push(node::config::Listen {
        address: "[2001:db8::1]:4060".parse().expect("an address"),
        transports: vec![Transport::Udp, Transport::Tcp],
    });
    let mut bench = Bench::with(config, node::MemoryStore::default(), 1_000_000);
    let flow = node::Flow {
        local: "[2001:db8::1]:4060".parse().expect("an address"),
        remote: "[2001:db8::7]:5060".parse().expect("an address"),
        ..udp(ALICE)
    };
    let entries = call(&mut bench, flow);
    assert_eq!(entries.len(), 2);
    assert!(entries[0].ends_with("@192.0.2.1:4060;lr>"), "{entries:?}");
    assert!(entries[1].ends_with("@[2001:db8::1]:4060;lr>"), "{entries:?}");
}
