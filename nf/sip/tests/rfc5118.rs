//! The IPv6 messages of RFC 5118 §4, typed from the RFC, and the reaction this layer has to each.

use std::net::{IpAddr, Ipv6Addr};

use sip::{Host, Message, Name, NameAddress, Uri, Via};

/// A REGISTER or INVITE of the RFC: its request line, header lines in order, and body.
fn message(start_line: &str, fields: &[&str], body: &str) -> Message {
    let text =
        format!("{start_line}\r\n{}\r\nContent-Length: {}\r\n\r\n{body}", fields.join("\r\n"), body.len());
    Message::parse(text.into()).unwrap_or_else(|error| panic!("{start_line}: {error}"))
}

fn register(request_uri: &str, via: &str) -> Message {
    message(
        &format!("REGISTER {request_uri} SIP/2.0"),
        &[
            "To: sip:user@example.com",
            "From: sip:user@example.com;tag=81x2",
            &format!("Via: {via}"),
            "Call-ID: SSG9559905523997077@hlau_4100",
            "Max-Forwards: 70",
            "Contact: \"Caller\" <sip:caller@[2001:db8::1]>",
            "CSeq: 98176 REGISTER",
        ],
        "",
    )
}

const VIA: &str = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111";

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn section_4_1_a_valid_reference() {
    let message = register("sip:[2001:db8::10]", VIA);
    message.validate().unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.host, uri.port), (Host::V6(v6("2001:db8::10")), None));
    let contact = NameAddress::parse(message.header(Name::Contact).unwrap()).unwrap();
    assert_eq!(contact.uri().unwrap().host, Host::V6(v6("2001:db8::1")));
    assert_eq!(message.via().unwrap().host, Host::V6(v6("2001:db8::9:1")));
}

#[test]
fn section_4_2_an_address_without_brackets_is_answered_with_400() {
    let error = register("sip:2001:db8::10", VIA).validate().unwrap_err();
    assert_eq!(error.answer_status, Some(400), "{error}");
}

#[test]
fn section_4_3_a_port_inside_the_brackets_is_part_of_the_address() {
    let message = register("sip:[2001:db8::10:5070]", VIA);
    message.validate().unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.host, uri.port), (Host::V6(v6("2001:db8::10:5070")), None));
}

#[test]
fn section_4_4_a_port_behind_the_brackets_is_a_port() {
    let message = register("sip:[2001:db8::10]:5070", VIA);
    message.validate().unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.host, uri.port), (Host::V6(v6("2001:db8::10")), Some(5070)));
}

#[test]
fn section_4_5_received_is_read_with_and_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let message = message(
            "BYE sip:[2001:db8::10] SIP/2.0",
            &[
                "To: sip:user@example.com;tag=bd76ya",
                "From: sip:user@example.com;tag=81x2",
                &format!("Via: SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111"),
                "Call-ID: SSG9559905523997077@hlau_4100",
                "Max-Forwards: 70",
                "CSeq: 321 BYE",
            ],
            "",
        );
        message.validate().unwrap();
        assert_eq!(message.via().unwrap().received(), Some(IpAddr::V6(v6("2001:db8::9:255"))));
    }
}

/// §4.6 and §4.8: the body is not read, whatever families it holds.
#[test]
fn sections_4_6_and_4_8_addresses_in_sdp_pass() {
    for connections in [
        "c=IN IP6 2001:db8::20\r\nm=audio 0 RTP/AVP 0\r\n",
        "c=IN IP4 192.0.2.1\r\nm=video 6024 RTP/AVP 107\r\nc=IN IP6 2001:db8::1\r\n",
    ] {
        let body = format!(
            "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=-\r\nt=0 0\r\n{connections}"
        );
        let message = message(
            "INVITE sip:user@[2001:db8::10] SIP/2.0",
            &[
                "To: sip:user@[2001:db8::10]",
                "From: sip:user@example.com;tag=81x2",
                "Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111",
                "Call-ID: SSG9559905523997077@hlau_4100",
                "Contact: \"Caller\" <sip:caller@[2001:db8::20]>",
                "CSeq: 8612 INVITE",
                "Max-Forwards: 70",
                "Content-Type: application/sdp",
            ],
            &body,
        );
        message.validate().unwrap();
        assert_eq!(message.body(), body.as_bytes());
    }
}

#[test]
fn section_4_7_families_may_be_mixed_in_via_and_record_route() {
    let message = message(
        "BYE sip:user@host.example.net SIP/2.0",
        &[
            "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
            "Record-Route: <sip:[2001:db8::9:1];lr>, <sip:192.0.2.1;lr>",
            "Call-ID: 997077@lau_4100",
            "Max-Forwards: 70",
            "CSeq: 89187 BYE",
            "To: sip:user@example.net;tag=9817--94",
            "From: sip:user@example.com;tag=81x2",
        ],
        "",
    );
    message.validate().unwrap();
    let vias: Vec<_> = message.values(Name::Via).map(|via| Via::parse(via).unwrap()).collect();
    assert_eq!(vias[0].port, Some(6050));
    assert_eq!(vias[1].host, Host::V4("192.0.2.1".parse().unwrap()));
    assert_eq!(vias[2].received(), Some("192.0.2.200".parse().unwrap()));
    assert_eq!(message.values(Name::RecordRoute).count(), 2);
}

#[test]
fn section_4_9_addresses_that_map_ipv4_pass() {
    let message = message(
        "INVITE sip:user@example.com SIP/2.0",
        &[
            "To: sip:user@example.com",
            "From: \"Someone\" <sip:user@[::ffff:192.0.2.10]>;tag=76yagusb",
            "Via: SIP/2.0/UDP [::ffff:192.0.2.2]:19823;branch=z9hG4bKbh19",
            "Contact: \"Someone\" <sip:user@[::ffff:192.0.2.10]:19823>",
            "Call-ID: 83ad88a9",
            "CSeq: 4 INVITE",
            "Max-Forwards: 70",
        ],
        "",
    );
    message.validate().unwrap();
    let contact = NameAddress::parse(message.header(Name::Contact).unwrap()).unwrap().uri().unwrap();
    assert_eq!((contact.host, contact.port), (Host::V6(v6("::ffff:192.0.2.10")), Some(19823)));
}

#[test]
fn section_4_10_the_third_colon_of_the_old_grammar_is_forgiven() {
    let message = message(
        "OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0",
        &[
            "To: sip:user@[2001:db8:::192.0.2.1]",
            "From: sip:user@example.com;tag=810x2",
            "Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111",
            "Call-ID: G9559905523997077@hlau_4100",
            "CSeq: 689 OPTIONS",
            "Max-Forwards: 70",
        ],
        "",
    );
    message.validate().unwrap();
    assert_eq!(Uri::parse(message.request_uri()).unwrap().host, Host::V6(v6("2001:db8::192.0.2.1")));
}
