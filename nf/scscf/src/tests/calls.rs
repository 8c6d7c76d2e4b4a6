//! Calls and messages of and to registered users, on both legs.

use super::*;

const ORIG: &str = "Route: <sip:orig@scscf.ims.example:6060;lr>\r\n";
const ALICE: &str = "P-Asserted-Identity: <sip:alice@ims.example>\r\n";
const VECTOR: &str = "P-Charging-Vector: icid-value=\"i2\"\r\n";
const RECORD_ROUTE: &str = "<sip:dialog@scscf.ims.example:6060;lr>";

fn outgoing(method: &str, uri: &str, extra: &str) -> Message {
    request(method, uri, &format!("{ORIG}{ALICE}{VECTOR}{extra}"))
}

fn incoming(method: &str, uri: &str) -> Message {
    request(method, uri, &format!("Route: <sip:scscf.ims.example:6060;lr>\r\n{VECTOR}"))
}

/// A response as the shell indicates it: our Via on top.
fn response(to: &Message, status: u16, extra: &str) -> Message {
    let vias: String = to.headers(Name::Via).map(|via| format!("Via: {via}\r\n")).collect();
    message(&format!(
        "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 127.0.0.1:6060;branch=z9hG4bKs\r\n{vias}From: {}\r\nTo: {};tag=b\r\n\
         Call-ID: c1\r\nCSeq: 1 INVITE\r\n{extra}Content-Length: 0\r\n\r\n",
        to.header(Name::From).unwrap(),
        to.header(Name::To).unwrap()
    ))
}

fn server_of(decisions: &[Decision]) -> ServerKey {
    decisions
        .iter()
        .find_map(|decision| match decision {
            Decision::Forward { server, .. } => Some(*server),
            _ => None,
        })
        .expect("a forwarded request")
}

fn relayed(home: &mut Home, server: ServerKey, response: Message, origin: Origin) -> Option<Message> {
    let input = Indication::Response { server, response, origin, branch: 0, flow: None };
    let decisions = home.feed(input);
    decisions.iter().find_map(|decision| match decision {
        Decision::Respond { response, .. } => Some(Message::parse(response.emit()).unwrap()),
        _ => None,
    })
}

#[test]
fn a_call_of_a_registered_user_leaves_for_the_i_cscf_with_the_headers_of_the_originating_leg() {
    let mut home = Home::new();
    home.hss.charging = Some(cx::ChargingInformation {
        primary_charging_collection_function_name: Some("ccf.ims.example".into()),
        ..Default::default()
    });
    home.register(&mut Device::alice());
    let decisions = home.send(&outgoing("INVITE", "sip:bob@ims.example", "P-Preferred-Service: urn:x\r\n"));
    let sent = forwarded(&decisions);
    let [(invite, destination)] = &sent[..] else { panic!("one branch") };
    assert_eq!(destination, "127.0.0.2:5060");
    assert_eq!(invite.request_uri(), "sip:bob@ims.example");
    assert_eq!(invite.number(Name::MaxForwards), Some(68));
    assert_eq!(values(invite, Name::Route).len(), 0);
    assert_eq!(values(invite, Name::RecordRoute), [RECORD_ROUTE]);
    assert_eq!(values(invite, Name::PAssertedIdentity), ["<sip:alice@ims.example>", "<tel:+4930111>"]);
    assert_eq!(invite.header(Name::PChargingVector), Some("icid-value=\"i2\";orig-ioi=ims.example"));
    assert_eq!(invite.header(Name::PChargingFunctionAddresses), Some("ccf=ccf.ims.example"));
    assert_eq!(invite.header(Name::PPreferredService), None);
}

#[test]
fn only_requests_that_form_dialogs_are_record_routed() {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    for (method, count) in
        [("INVITE", 1), ("REFER", 1), ("SUBSCRIBE", 1), ("MESSAGE", 0), ("PUBLISH", 0), ("OPTIONS", 0)]
    {
        let decisions = home.send(&outgoing(method, "sip:bob@ims.example", "Event: presence\r\n"));
        let sent = forwarded(&decisions);
        assert_eq!(values(&sent[0].0, Name::RecordRoute).len(), count, "{method}");
    }
}

#[test]
fn the_request_uri_decides_where_a_call_goes() {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    for (uri, destination) in [
        ("sip:bob@IMS.example", "127.0.0.2:5060"),
        ("tel:+4930222", "127.0.0.2:5060"),
        ("sip:+4930222@ims.example;user=phone", "127.0.0.2:5060"),
        ("sip:+4930222@other.example;user=phone", "127.0.0.9:5060"),
        ("sip:x@other.example", "127.0.0.9:5060"),
        ("sip:x@192.0.2.77:5070", "192.0.2.77:5070"),
    ] {
        let decisions = home.send(&outgoing("INVITE", uri, "P-Access-Network-Info: wifi\r\n"));
        let sent = forwarded(&decisions);
        assert_eq!(sent[0].1, destination, "{uri}");
        let stays_inside = destination == "127.0.0.2:5060";
        assert_eq!(sent[0].0.header(Name::PAccessNetworkInfo).is_some(), stays_inside, "{uri}");
    }
    for (uri, status) in
        [("sip:x@nowhere.example", 404), ("http://x.example/", 416), ("sip:x@scscf.ims.example:6060", 404)]
    {
        assert_eq!(home.response_to(&outgoing("INVITE", uri, "")).status(), status, "{uri}");
    }
}

#[test]
fn who_is_barred_or_not_asserted_does_not_call() {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    let hidden = "P-Asserted-Identity: <sip:hidden@ims.example>\r\n";
    let barred = request("INVITE", "sip:bob@ims.example", &format!("{ORIG}{hidden}"));
    assert_eq!(home.response_to(&barred).status(), 403);
    assert_eq!(home.response_to(&request("INVITE", "sip:bob@ims.example", ORIG)).status(), 403);
}

#[test]
fn a_call_for_a_registered_user_follows_the_path_to_each_device() {
    let mut home = Home::new();
    home.register(&mut Device::bob());
    home.register(&mut Device {
        contact: "<sip:bob@192.0.2.7;transport=tcp>".into(),
        call_id: "x",
        ..Device::bob()
    });
    let decisions = home.send(&incoming("INVITE", "sip:bob@ims.example"));
    let sent = forwarded(&decisions);
    assert_eq!(sent.len(), 2);
    for ((invite, destination), uri) in
        sent.iter().zip(["sip:bob@192.0.2.2:5060", "sip:bob@192.0.2.7;transport=tcp"])
    {
        assert_eq!(destination, "127.0.0.3:4060");
        assert_eq!(invite.request_uri(), uri);
        assert_eq!(values(invite, Name::Route), [PATH]);
        assert_eq!(values(invite, Name::RecordRoute), [RECORD_ROUTE]);
        assert_eq!(invite.header(Name::PCalledPartyId), Some("<sip:bob@ims.example>"));
    }
    let server = server_of(&decisions);
    let ringing = response(&incoming("INVITE", "sip:bob@ims.example"), 180, "");
    let relayed_ringing = relayed(&mut home, server, ringing, Origin::Received).unwrap();
    assert_eq!(relayed_ringing.header(Name::PChargingVector), Some("icid-value=\"i2\";term-ioi=ims.example"));
    assert_eq!(values(&relayed_ringing, Name::Via).len(), 1, "our Via is gone");
    let vector = "P-Charging-Vector: icid-value=\"i2\";orig-ioi=far\r\n";
    let answer = response(&incoming("INVITE", "sip:bob@ims.example"), 200, vector);
    let relayed_answer = relayed(&mut home, server, answer, Origin::Received).unwrap();
    assert_eq!(
        relayed_answer.header(Name::PChargingVector),
        Some("icid-value=\"i2\";orig-ioi=far;term-ioi=ims.example")
    );
    assert_eq!(home.scscf.open_procedures(), 0);
}

#[test]
fn two_flows_of_one_device_get_one_request_and_a_dead_flow_makes_way_for_the_other() {
    let mut home = Home::new();
    let flow = |number: u8| {
        format!("<sip:bob@192.0.2.{number}:5060>;reg-id={number};+sip.instance=\"<urn:uuid:1>\"")
    };
    home.register(&mut Device { contact: flow(1), ..Device::bob() });
    home.register(&mut Device { contact: flow(2), call_id: "x", ..Device::bob() });
    let invite = incoming("INVITE", "sip:bob@ims.example");
    let decisions = home.send(&invite);
    let sent = forwarded(&decisions);
    assert_eq!((sent.len(), sent[0].0.request_uri()), (1, "sip:bob@192.0.2.2:5060"));
    let input = Indication::Response {
        server: server_of(&decisions),
        response: response(&invite, 430, ""),
        origin: Origin::Received,
        branch: 0,
        flow: None,
    };
    let decisions = home.feed(input);
    let sent = forwarded(&decisions);
    assert_eq!((sent.len(), sent[0].0.request_uri()), (1, "sip:bob@192.0.2.1:5060"));
    let server = server_of(&decisions);
    let last = relayed(&mut home, server, response(&invite, 430, ""), Origin::Received).unwrap();
    assert_eq!(last.status(), 480);
    assert!(home.scscf.registrar().is_empty());
    assert_eq!(home.hss.assignments().last(), Some(&ServerAssignmentType::UserDeregistration));
}

#[test]
fn who_cannot_be_reached_is_unavailable_and_who_is_barred_does_not_exist() {
    let mut home = Home::new();
    assert_eq!(home.response_to(&incoming("INVITE", "sip:bob@ims.example")).status(), 480);
    assert_eq!(home.response_to(&incoming("INVITE", "sip:nobody@ims.example")).status(), 480);
    home.register(&mut Device::alice());
    assert_eq!(home.response_to(&incoming("INVITE", "sip:hidden@ims.example")).status(), 404);
    let invite = incoming("INVITE", "sip:alice@ims.example");
    let decisions = home.send(&invite);
    let unreachable =
        relayed(&mut home, server_of(&decisions), response(&invite, 503, ""), Origin::Unreachable);
    assert_eq!(unreachable.unwrap().status(), 480);
}

#[test]
fn a_telephone_number_reaches_its_user_also_after_a_restart() {
    for uri in ["tel:+49-30-111", "sip:+4930111@ims.example;user=phone", "sip:+4930111@ims.example"] {
        let mut home = Home::new();
        home.register(&mut Device::alice());
        for _ in 0..2 {
            let decisions = home.send(&incoming("MESSAGE", uri));
            let sent = forwarded(&decisions);
            assert_eq!(sent[0].0.request_uri(), "sip:alice@192.0.2.1:5060", "{uri}");
            assert_eq!(sent[0].0.header(Name::PCalledPartyId), Some(&*format!("<{uri}>")));
            assert!(values(&sent[0].0, Name::RecordRoute).is_empty());
            home.restart();
        }
    }
}

#[test]
fn what_is_inside_a_dialog_follows_its_route_and_so_does_the_ack() {
    let mut home = Home::new();
    let route = format!("Route: {RECORD_ROUTE}, {RECORD_ROUTE}, <sip:term@pcscf.ims.example:4060;lr>\r\n");
    let inside = |method: &str| {
        let text = request(method, "sip:bob@192.0.2.2:5060", &route);
        let text = String::from_utf8(text.raw().to_vec()).unwrap();
        message(&text.replace("To: <sip:bob@ims.example>", "To: <sip:bob@ims.example>;tag=b"))
    };
    let decisions = home.send(&inside("BYE"));
    let sent = forwarded(&decisions);
    assert_eq!(values(&sent[0].0, Name::Route), ["<sip:term@pcscf.ims.example:4060;lr>"]);
    assert_eq!(sent[0].1, "127.0.0.3:4060");
    assert!(values(&sent[0].0, Name::RecordRoute).is_empty());
    let flow = home.flow();
    let decisions = home.feed(Indication::Ack { request: inside("ACK"), flow });
    let [Decision::SendStateless { request, destination }] = &decisions[..] else { panic!("{decisions:?}") };
    assert_eq!(request.values(Name::Route).count(), 1);
    assert_eq!(destination.remote.to_string(), "127.0.0.3:4060");
}

#[test]
fn the_server_itself_answers_options_and_relays_for_nobody() {
    let mut home = Home::new();
    assert_eq!(home.response_to(&request("OPTIONS", "sip:scscf.ims.example:6060", "")).status(), 200);
    assert_eq!(home.response_to(&request("MESSAGE", "sip:scscf.ims.example:6060", "")).status(), 405);
    let subscribe = request("SUBSCRIBE", "sip:scscf.ims.example:6060", "Event: presence\r\n");
    assert_eq!(home.response_to(&subscribe).status(), 489);
    assert_eq!(home.response_to(&request("INVITE", "sip:x@other.example", "")).status(), 404);
    let demanding = request("INVITE", "sip:bob@ims.example", "Proxy-Require: a, b\r\n");
    let response = home.response_to(&demanding);
    assert_eq!((response.status(), response.header(Name::Unsupported)), (420, Some("a, b")));
}

#[test]
fn a_call_is_counted_once_by_its_outcome() {
    for (status, origin, outcome) in [
        (200, Origin::Received, "ok"),
        (486, Origin::Received, "busy"),
        (487, Origin::Received, "cancelled"),
        (408, Origin::TimedOut, "timed_out"),
    ] {
        let mut home = Home::new();
        home.register(&mut Device::alice());
        home.events.clear();
        let invite = outgoing("INVITE", "sip:bob@ims.example", "");
        let decisions = home.send(&invite);
        let server = server_of(&decisions);
        relayed(&mut home, server, response(&invite, 180, ""), Origin::Received);
        relayed(&mut home, server, response(&invite, status, ""), origin);
        assert_eq!(home.events, [("call", outcome)]);
    }
}
