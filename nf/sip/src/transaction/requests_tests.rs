//! The ACK and the CANCEL that a hop makes of its INVITE.

use super::*;

const INVITE: &str = "INVITE sip:b@192.0.2.9:5080;transport=udp SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtop, SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKbelow\r\n\
    Via: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKlowest\r\n\
    Route: <sip:one.home.test;lr>, <sip:two.home.test;lr>\r\n\
    Route: <sip:three.home.test;lr>\r\n\
    Proxy-Require: sec-agree\r\nMax-Forwards: 12\r\n\
    From: \"A\" <sip:a@home.test>;tag=from\r\nTo: <sip:b@home.test>\r\n\
    Call-ID: call-1\r\nCSeq: 4711 INVITE\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody";

const BUSY: &str = "SIP/2.0 486 Busy Here\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtop\r\n\
    From: \"A\" <sip:a@home.test>;tag=from\r\nTo: <sip:b@home.test>;tag=to\r\n\
    Call-ID: call-1\r\nCSeq: 4711 INVITE\r\nContent-Length: 0\r\n\r\n";

fn message(text: &str) -> Message {
    Message::parse(text.to_owned().into()).expect("a message")
}

fn sent(draft: Draft) -> Message {
    let message = Message::parse(draft.emit()).expect("what we write we can read");
    message.validate().expect("what we write is valid");
    message
}

fn check(built: &Message, method: Method<'_>, to: &str) {
    assert_eq!(built.method(), method);
    assert_eq!(built.request_uri(), "sip:b@192.0.2.9:5080;transport=udp");
    assert_eq!(built.values(Name::Via).collect::<Vec<_>>(), ["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtop"]);
    let routes: Vec<_> = built.values(Name::Route).collect();
    assert_eq!(routes, ["<sip:one.home.test;lr>", "<sip:two.home.test;lr>", "<sip:three.home.test;lr>"]);
    assert_eq!(built.header(Name::From), Some("\"A\" <sip:a@home.test>;tag=from"));
    assert_eq!(built.header(Name::To), Some(to));
    assert_eq!(built.call_id(), "call-1");
    let cseq = built.cseq().expect("a CSeq");
    assert_eq!((cseq.number, cseq.method), (4711, method));
    assert_eq!(built.header(Name::ProxyRequire), None);
    assert!(built.body().is_empty());
}

#[test]
fn the_ack_for_a_refusal_is_the_invite_with_the_responses_to() {
    let ack = sent(build_ack(&message(INVITE), &message(BUSY)));
    check(&ack, Method::Ack, "<sip:b@home.test>;tag=to");
}

#[test]
fn the_cancel_is_the_invite_with_its_own_to() {
    let cancel = sent(build_cancel(&message(INVITE)));
    check(&cancel, Method::Cancel, "<sip:b@home.test>");
}
