//! What passes without the HSS, and what is answered at once.

use node::{Decision, Flow, Indication, Transport};
use sip::message::Name;

use super::bench::*;
use crate::{Icscf, SetupError};

#[test]
fn a_request_inside_a_dialog_follows_its_route() {
    let mut bench = Bench::new();
    let routes = "Route: <sip:192.0.2.2:5060;lr>\nRoute: <sip:192.0.2.3:6060;lr>";
    let bye = request("BYE", "sip:bob@198.51.100.8", "<sip:bob@ims.example>;tag=t", routes);
    let (message, destination, _) = forwarded(bench.offer(&bye));
    assert_eq!(all(&message, Name::Route), ["<sip:192.0.2.3:6060;lr>"]);
    assert_eq!(destination.remote, "192.0.2.3:6060".parse().expect("an address"));
    assert_eq!(responded(bench.respond(&message, 200, node::Origin::Received)).status(), 200);
}

#[test]
fn an_ack_follows_its_route() {
    let mut bench = Bench::new();
    let routes = "Route: <sip:icscf.ims.example;lr>, <sip:scscf-1.ims.example:6060;lr>";
    let ack = request("ACK", "sip:bob@198.51.100.8", "<sip:bob@ims.example>;tag=t", routes);
    let flow = Flow {
        transport: Transport::Udp,
        local: "192.0.2.2:5060".parse().expect("an address"),
        remote: "192.0.2.1:4060".parse().expect("an address"),
        connection: None,
    };
    match bench.feed(Indication::Ack { request: ack, flow }).as_slice() {
        [Decision::SendStateless { request, destination }] => {
            assert_eq!(all(&parsed(request), Name::Route), ["<sip:scscf-1.ims.example:6060;lr>"]);
            assert_eq!(destination.remote, "192.0.2.3:6060".parse().expect("an address"));
        }
        other => panic!("not sent on: {other:?}"),
    }
}

#[test]
fn a_dialog_whose_next_hop_is_unknown_is_404() {
    let bye = request("BYE", "sip:bob@nowhere.example", "<sip:bob@ims.example>;tag=t", "");
    assert_eq!(responded(Bench::new().offer(&bye)).status(), 404);
}

#[test]
fn options_to_us_is_answered() {
    for uri in ["sip:icscf.ims.example", "sip:192.0.2.2", "sip:192.0.2.2:5060"] {
        assert_eq!(
            responded(Bench::new().offer(&request("OPTIONS", uri, "<sip:x@y>", ""))).status(),
            200,
            "{uri}"
        );
    }
}

#[test]
fn an_extension_that_no_proxy_knows_is_420() {
    let invite = request(
        "INVITE",
        "sip:bob@ims.example",
        "<sip:bob@ims.example>",
        "Proxy-Require: no-such, privacy, nor-this",
    );
    let answer = responded(Bench::new().offer(&invite));
    assert_eq!(
        (answer.status(), all(&answer, Name::Unsupported)),
        (420, vec!["no-such".into(), "nor-this".into()])
    );
}

#[test]
fn a_server_without_an_address_is_refused_at_the_start() {
    for uri in ["sip:nowhere.example", "not a URI"] {
        let error = Icscf::new(&setup(&[FIRST, uri])).err();
        assert_eq!(error, Some(SetupError::Server { uri: uri.into() }));
    }
}
