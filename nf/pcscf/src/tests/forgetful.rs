//! Devices that do not keep what a dialog told them: no Route, no Record-Route, our address in the place of the domain.

use node::Indication;
use sip::Message;
use sip::message::Name;

use super::bench::*;

const BOB: &str = "198.51.100.8:5060";
const FAR_ROUTE: &str = "<sip:dialog@scscf.ims.example:6060;lr>";
const FAR_CONTACT: &str = "<sip:bob@198.51.100.8:5060>";

fn inside(method: &str, uri: &str) -> Message {
    request(method, uri, "sip:alice@ims.example", "<sip:bob@ims.example>;tag=to-tag", "")
}

/// Alice calls, and Bob answers somewhere behind the S-CSCF.
fn established() -> Bench {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    let invite = request(
        "INVITE",
        "sip:bob@192.0.2.1:4060",
        "sip:alice@ims.example",
        "<sip:bob@192.0.2.1:4060>",
        "Contact: <sip:alice@198.51.100.7:5060>",
    );
    let (server, forwarded) = bench.forward(&invite, udp(ALICE));
    assert_eq!(forwarded.message.request_uri(), "sip:bob@ims.example", "our address means the home domain");
    let own = all(&forwarded.message, Name::RecordRoute).concat();
    let recorded = format!("{FAR_ROUTE}, {own}");
    bench.respond(server, &forwarded, 200, &[(Name::RecordRoute, &recorded), (Name::Contact, FAR_CONTACT)]);
    bench
}

#[test]
fn a_bye_without_route_takes_the_route_of_its_dialog() {
    for uri in ["sip:bob@ims.example", "sip:bob@192.0.2.1:4060", "sip:bob@198.51.100.8:5060"] {
        let mut bench = established();
        let acknowledgement = bench.feed(Indication::Ack { request: inside("ACK", uri), flow: udp(ALICE) });
        assert_eq!(acknowledgement.len(), 1, "{uri}: the ACK is sent on");
        let (_, bye) = bench.forward(&inside("BYE", uri), udp(ALICE));
        assert_eq!(all(&bye.message, Name::Route), [FAR_ROUTE], "{uri}");
        assert_eq!(bye.message.request_uri(), "sip:bob@198.51.100.8:5060", "{uri}");
    }
}

#[test]
fn after_the_bye_or_half_a_day_the_dialog_is_forgotten() {
    let mut bench = established();
    bench.forward(&inside("BYE", "sip:bob@ims.example"), udp(ALICE));
    assert_eq!(bench.refuse(&inside("INFO", "sip:bob@ims.example"), udp(ALICE)).status(), 481);
    let mut bench = established();
    // The registration is renewed on the way; the dialog is not.
    for _ in 0..2 {
        bench.wait(6 * 3600);
        bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    }
    assert_eq!(bench.refuse(&inside("BYE", "sip:bob@ims.example"), udp(ALICE)).status(), 481);
}

#[test]
fn an_answer_without_record_route_gets_it_back_and_the_callee_may_hang_up_without_route() {
    let mut bench = Bench::new();
    let path = bench.register("bob", FAR_CONTACT, udp(BOB));
    let more = format!(
        "Route: <{path}>\nContact: <sip:alice@198.51.100.7:5060>\nRecord-Route: <sip:dialog@192.0.2.3:6060;lr>"
    );
    let invite = request(
        "INVITE",
        "sip:bob@198.51.100.8:5060",
        "sip:alice@ims.example",
        "<sip:bob@ims.example>",
        &more,
    );
    let (server, forwarded) = bench.forward(&invite, udp(SCSCF));
    let recorded = all(&forwarded.message, Name::RecordRoute);
    let mut bare = sip::Draft::of(&forwarded.message);
    bare.remove(Name::RecordRoute);
    let bare = Forwarded {
        message: parsed(&bare),
        destination: forwarded.destination,
        patience: forwarded.patience,
    };
    let answer = bench.respond(server, &bare, 200, &[(Name::Contact, FAR_CONTACT)]);
    assert_eq!(all(&answer, Name::RecordRoute), recorded);
    let bye = message(
        "BYE sip:alice@ims.example SIP/2.0\nVia: SIP/2.0/UDP 198.51.100.8:5060;branch=z9hG4bKb\n\
         From: <sip:bob@ims.example>;tag=to-tag\nTo: <sip:alice@ims.example>;tag=from-tag\nCall-ID: call-1\nCSeq: 1 BYE\n",
    );
    let (_, forwarded) = bench.forward(&bye, udp(BOB));
    assert_eq!(all(&forwarded.message, Name::Route), ["<sip:dialog@192.0.2.3:6060;lr>"]);
    assert_eq!(forwarded.message.request_uri(), "sip:alice@198.51.100.7:5060");
}

#[test]
fn a_request_inside_no_known_dialog_is_told_so_and_sent_nowhere() {
    let mut bench = Bench::new();
    bench.register("alice", "<sip:alice@198.51.100.7:5060>", udp(ALICE));
    for uri in ["sip:bob@ims.example", "sip:bob@192.0.2.1:4060"] {
        assert_eq!(bench.refuse(&inside("BYE", uri), udp(ALICE)).status(), 481, "{uri}");
        assert!(bench.feed(Indication::Ack { request: inside("ACK", uri), flow: udp(ALICE) }).is_empty());
    }
}
