//! Which messages belong to one transaction, and which only look like it.

use super::*;

fn message(text: &str) -> Message {
    Message::parse(text.to_owned().into()).expect("a message")
}

fn request(method: &str, via: &str, cseq: u32, to_tag: &str) -> Message {
    message(&format!(
        "{method} sip:b@home.test SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@home.test>;tag=1\r\n\
         To: <sip:b@home.test>{to_tag}\r\nCall-ID: call-1\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    ))
}

fn key(method: &str, via: &str) -> ServerMatch {
    server_match(&request(method, via, 1, "")).expect("it has a Via")
}

const VIA: &str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc";

#[test]
fn a_repeated_request_matches_itself_however_the_via_is_written() {
    for same in [
        VIA,
        "SIP/2.0/UDP 192.0.2.1:5060;rport=1;received=198.51.100.1;branch=z9hG4bKabc",
        "SIP/2.0/UDP 192.0.2.1:5060 ;branch=Z9HG4BKABC",
    ] {
        assert_eq!(key("INVITE", same), key("INVITE", VIA), "{same}");
    }
    assert_eq!(
        key("INVITE", "SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKabc"),
        key("INVITE", "SIP/2.0/UDP [2001:DB8:0:0:0:0:0:1]:5060;branch=z9hG4bKabc"),
    );
}

#[test]
fn branch_sent_by_and_method_each_tell_requests_apart() {
    for (method, other) in [
        ("INVITE", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabd"),
        ("INVITE", "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKabc"),
        ("INVITE", "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKabc"),
        ("OPTIONS", VIA),
        ("CANCEL", VIA),
    ] {
        assert_ne!(key(method, other), key("INVITE", VIA), "{method} {other}");
    }
}

#[test]
fn an_ack_and_a_cancel_find_the_invite() {
    let invite = key("INVITE", VIA);
    assert_eq!(key("ACK", VIA), invite);
    assert_eq!(key("ACK", VIA).for_ack(), invite);
    assert_eq!(key("CANCEL", VIA).for_cancel(), invite);
}

#[test]
fn without_the_cookie_the_other_fields_decide() {
    let old = "SIP/2.0/UDP 192.0.2.1:5060";
    let invite = key("INVITE", old);
    assert_eq!(key("INVITE", old), invite);
    // The ACK has the To tag of the response.
    assert_eq!(server_match(&request("ACK", old, 1, ";tag=2")), Some(invite.clone()));
    assert_eq!(key("CANCEL", old).for_cancel(), invite);
    assert_ne!(server_match(&request("INVITE", old, 2, "")), Some(invite.clone()));
    assert_ne!(key("INVITE", "SIP/2.0/UDP 192.0.2.1:5060;branch=1"), invite);
    // A branch shorter than the cookie, and one that is cut inside a character.
    assert_ne!(key("INVITE", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4"), invite);
    assert!(!has_cookie("z9hG4bé"));
}

#[test]
fn a_response_matches_by_branch_and_cseq_method() {
    let response = |cseq: &str| {
        message(&format!(
            "SIP/2.0 200 OK\r\nVia: {VIA}\r\nFrom: <sip:a@home.test>;tag=1\r\nTo: <sip:b@home.test>;tag=2\r\n\
             Call-ID: call-1\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    assert_eq!(client_match(&response("1 INVITE")), Some(ClientMatch::new("z9hG4bKabc", Method::Invite)));
    assert_eq!(client_match(&response("1 CANCEL")), Some(ClientMatch::new("z9hG4bKabc", Method::Cancel)));
}

#[test]
fn a_key_is_the_same_after_it_was_written_out() {
    let original = key("INVITE", VIA);
    let text = serde_json::to_string(&original).expect("plain data");
    assert_eq!(serde_json::from_str::<ServerMatch>(&text).expect("what was written"), original);
}
