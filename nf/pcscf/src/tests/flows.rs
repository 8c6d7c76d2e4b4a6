//! Devices that move: reconnection, lost connections, NAT, and a change of transport.

use clock::Duration;
use node::{Flow, Indication, Transport};
use sip::Message;
use sip::message::Name;

use super::bench::*;

const OUTBOUND: &str = "<sip:alice@10.0.0.1:5060;transport=tcp>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"";
const BEHIND_NAT: &str = "<sip:alice@10.0.0.1:5060;transport=tcp>";
const REACHABLE: &str = "<sip:alice@198.51.100.7:5060;transport=tcp>";

fn towards(path: &str, contact: &str) -> Message {
    let uri = sip::NameAddress::parse(contact).expect("a contact").uri_text;
    request("INVITE", uri, "sip:bob@ims.example", "<sip:alice@ims.example>", &format!("Route: <{path}>"))
}

fn register_outbound(bench: &mut Bench, flow: Flow) -> String {
    let register = register("alice", &format!("Contact: {OUTBOUND}\nSupported: path, outbound"));
    let (server, forwarded) = bench.forward(&register, flow);
    let granted = format!("{OUTBOUND};expires=600");
    bench.respond(server, &forwarded, 200, &granted_headers("alice", &granted));
    uri_of(&forwarded.message, Name::Path)
}

#[test]
fn an_open_connection_is_used_again() {
    let mut bench = Bench::new();
    let flow = tcp("198.51.100.7:40000", 3);
    let path = bench.register("alice", BEHIND_NAT, flow);
    let (_, forwarded) = bench.forward(&towards(&path, BEHIND_NAT), udp(SCSCF));
    assert_eq!(forwarded.destination, flow.to_destination());
}

#[test]
fn a_lost_connection_of_a_device_that_keeps_flows_is_430() {
    let mut bench = Bench::new();
    let flow = tcp("198.51.100.7:40000", 3);
    let path = register_outbound(&mut bench, flow);
    bench.feed(Indication::FlowClosed { flow });
    assert_eq!(bench.refuse(&towards(&path, OUTBOUND), udp(SCSCF)).status(), 430);
}

#[test]
fn a_lost_connection_of_any_other_device_is_480() {
    let mut bench = Bench::new();
    let flow = tcp("198.51.100.7:40000", 3);
    let path = bench.register("alice", BEHIND_NAT, flow);
    bench.feed(Indication::FlowClosed { flow });
    assert_eq!(bench.refuse(&towards(&path, BEHIND_NAT), udp(SCSCF)).status(), 480);
}

#[test]
fn a_device_in_the_open_is_connected_to_at_its_contact() {
    let mut bench = Bench::new();
    let flow = tcp("198.51.100.7:40000", 3);
    let path = bench.register("alice", REACHABLE, flow);
    bench.feed(Indication::FlowClosed { flow });
    let (_, forwarded) = bench.forward(&towards(&path, REACHABLE), udp(SCSCF));
    assert_eq!(forwarded.destination.remote, "198.51.100.7:5060".parse().expect("an address"));
    assert_eq!((forwarded.destination.transport, forwarded.destination.connection), (Transport::Tcp, None));
}

#[test]
fn a_device_that_registers_again_over_a_new_connection_is_called_there() {
    let mut bench = Bench::new();
    let old = tcp("198.51.100.7:40000", 3);
    let path = register_outbound(&mut bench, old);
    bench.feed(Indication::FlowClosed { flow: old });
    let new = tcp("198.51.100.7:40001", 4);
    register_outbound(&mut bench, new);
    // The core may still know the old Path.
    let (_, forwarded) = bench.forward(&towards(&path, OUTBOUND), udp(SCSCF));
    assert_eq!(forwarded.destination, new.to_destination());
}

#[test]
fn a_device_that_only_speaks_over_a_new_connection_is_called_there_too() {
    let mut bench = Bench::new();
    let old = tcp("198.51.100.7:40000", 3);
    let path = bench.register("alice", BEHIND_NAT, old);
    let mut bench = bench.restarted(Duration::from_secs(10));
    let new = tcp("198.51.100.7:40001", 3);
    assert_eq!(bench.refuse(&towards(&path, BEHIND_NAT), udp(SCSCF)).status(), 480);
    let message =
        request("MESSAGE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", "");
    bench.forward(&message, new);
    let (_, forwarded) = bench.forward(&towards(&path, BEHIND_NAT), udp(SCSCF));
    assert_eq!(forwarded.destination, new.to_destination());
}

#[test]
fn a_connection_number_of_a_former_process_is_not_trusted() {
    let mut bench = Bench::new();
    let path = bench.register("alice", BEHIND_NAT, tcp("198.51.100.7:40000", 3));
    let mut bench = bench.restarted(Duration::from_secs(10));
    // The new process gives the same number to somebody else.
    bench.refuse(&request("OPTIONS", "sip:x@y", "sip:eve@y", "<sip:x@y>", ""), tcp("203.0.113.66:1234", 3));
    assert_eq!(bench.refuse(&towards(&path, BEHIND_NAT), udp(SCSCF)).status(), 480);
}

#[test]
fn a_long_request_may_come_over_tcp_from_a_device_registered_over_udp() {
    let mut bench = Bench::new();
    let path = bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    let contact = "Contact: <sip:alice@198.51.100.7:5060;transport=tcp>";
    let invite =
        request("INVITE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", contact);
    bench.forward(&invite, tcp("198.51.100.7:40000", 3));
    // It is still called over UDP: the connection may be gone any time.
    let (_, forwarded) = bench.forward(&towards(&path, "<sip:alice@198.51.100.7:5060>"), udp(SCSCF));
    assert_eq!(forwarded.destination, udp(ALICE).to_destination());
}

#[test]
fn another_host_cannot_speak_for_a_registered_device() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    let contact = "Contact: <sip:alice@198.51.100.7:5060>";
    let invite =
        request("INVITE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", contact);
    for flow in [udp("203.0.113.66:5060"), tcp("203.0.113.66:40000", 8)] {
        assert_eq!(bench.refuse(&invite, flow).status(), 403);
    }
    // Nor can another port of the same host over UDP, unless it has the contact that was registered.
    let other =
        request("MESSAGE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", "");
    assert_eq!(bench.refuse(&other, udp("198.51.100.7:6666")).status(), 403);
    bench.forward(&invite, udp("198.51.100.7:6666"));
}

#[test]
fn a_new_contact_of_an_instance_does_not_draw_the_calls_of_the_old_one() {
    let mut bench = Bench::new();
    let old = "<sip:alice@198.51.100.7:5060>;+sip.instance=\"<urn:uuid:1>\"";
    let new = "<sip:alice@198.51.100.7:6000>;+sip.instance=\"<urn:uuid:1>\"";
    let path = bench.register("alice", old, udp(ALICE));
    bench.register("alice", new, udp("198.51.100.7:6000"));
    let (_, forwarded) = bench.forward(&towards(&path, old), udp(SCSCF));
    assert_eq!(forwarded.destination, udp(ALICE).to_destination());
}

#[test]
fn a_dialog_follows_the_device_to_a_new_connection() {
    let mut bench = Bench::new();
    let old = tcp("198.51.100.7:40000", 3);
    bench.register("alice", BEHIND_NAT, old);
    let contact = format!("Contact: {BEHIND_NAT}");
    let invite =
        request("INVITE", "sip:bob@ims.example", "sip:alice@ims.example", "<sip:bob@ims.example>", &contact);
    let (_, forwarded) = bench.forward(&invite, old);
    let mut routes = all(&forwarded.message, Name::RecordRoute);
    bench.feed(Indication::FlowClosed { flow: old });
    let new = tcp("198.51.100.7:40001", 4);
    let inside = |from: &str, routes: &[String]| {
        let routes: String = routes.iter().map(|route| format!("Route: {route}\n")).collect();
        request("UPDATE", "sip:alice@10.0.0.1:5060;transport=tcp", from, "<sip:o@ims.example>;tag=t", &routes)
    };
    let far = inside("sip:bob@ims.example", &routes);
    routes.reverse();
    routes.push("<sip:192.0.2.3:6060;lr>".into());
    // Her own request over the new connection is hers, although its token names the old one.
    let (_, forwarded) = bench.forward(&inside("sip:alice@ims.example", &routes), new);
    assert_eq!(all(&forwarded.message, Name::Route), ["<sip:192.0.2.3:6060;lr>"]);
    let (_, forwarded) = bench.forward(&far, udp(SCSCF));
    assert_eq!(forwarded.destination, new.to_destination());
}

#[test]
fn a_device_in_the_open_is_called_where_its_contact_says() {
    // The Via of the test's requests names 198.51.100.7:5060.
    for (contact, expected) in [
        ("<sip:alice@198.51.100.7:5062>", "198.51.100.7:5062"),
        ("<sip:alice@198.51.100.7>", ALICE),
        ("<sip:alice@10.0.0.1:5062>", ALICE),
        ("<sip:alice@203.0.113.66:5062>", ALICE),
    ] {
        let mut bench = Bench::new();
        let path = bench.register("alice", contact, udp(ALICE));
        let (_, forwarded) = bench.forward(&towards(&path, contact), udp(SCSCF));
        let destination = forwarded.destination;
        assert_eq!(destination.remote, expected.parse().expect("an address"), "{contact}");
        assert_eq!(destination.local, Some(udp(ALICE).local));
    }
}

#[test]
fn a_device_behind_nat_is_called_over_its_flow_whatever_its_contact_says() {
    // Its public address as a STUN server saw it: right host, wrong port.
    let contact = "<sip:alice@198.51.100.7:5062>";
    let mut bench = Bench::new();
    let flow = udp("198.51.100.7:31337");
    let path = bench.register("alice", contact, flow);
    let (_, forwarded) = bench.forward(&towards(&path, contact), udp(SCSCF));
    assert_eq!(forwarded.destination, flow.to_destination());
}

#[test]
fn a_callee_who_answers_from_where_he_listens_is_known_there() {
    let mut bench = Bench::new();
    let contact = "<sip:alice@198.51.100.7:5062>";
    let path = bench.register("alice", contact, udp(ALICE));
    let (_, forwarded) = bench.forward(&towards(&path, contact), udp(SCSCF));
    let routes: String =
        all(&forwarded.message, Name::RecordRoute).iter().map(|route| format!("Route: {route}\n")).collect();
    let bye = request(
        "BYE",
        "sip:bob@198.51.100.8",
        "sip:alice@ims.example",
        "<sip:bob@ims.example>;tag=t",
        &format!("{routes}Route: <sip:192.0.2.3:6060;lr>"),
    );
    let (_, forwarded) = bench.forward(&bye, udp("198.51.100.7:5062"));
    assert_eq!(all(&forwarded.message, Name::Route), ["<sip:192.0.2.3:6060;lr>"]);
}
