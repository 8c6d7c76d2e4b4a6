//! URIs as RFC 3261, RFC 3966, RFC 4475 and RFC 5118 print them.

use super::{Host, Scheme, Uri};

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_sip_uri_has_user_host_port_parameters_and_headers() {
    let all = uri("sip:alice;day=tue:secret@Atlanta.com:5070;transport=TCP;lr?subject=x&to=b%40c");
    assert_eq!(
        (all.scheme, all.user, all.host),
        (Scheme::Sip, Some("alice;day=tue"), Host::Name("Atlanta.com"))
    );
    assert_eq!(
        (all.port, all.parameters, all.headers),
        (Some(5070), "transport=TCP;lr", "subject=x&to=b%40c")
    );
    assert_eq!(
        (all.parameter("Transport"), all.parameter("lr"), all.parameter("user")),
        (Some("TCP"), Some(""), None)
    );
    let short = uri("SIPS:gateway.com");
    assert_eq!((short.scheme, short.user, short.port), (Scheme::Sips, None, None));
}

#[test]
fn hosts_are_names_or_addresses() {
    for (text, host, port) in [
        ("sip:a@192.0.2.1", Host::V4("192.0.2.1".parse().unwrap()), None),
        ("sip:[2001:db8::10]:5070", Host::V6("2001:db8::10".parse().unwrap()), Some(5070)),
        ("sip:[2001:db8::10:5070]", Host::V6("2001:db8::10:5070".parse().unwrap()), None),
        ("sip:u@[::ffff:192.0.2.10]:19823", Host::V6("::ffff:192.0.2.10".parse().unwrap()), Some(19823)),
        ("sip:u@[2001:db8:::192.0.2.1]", Host::V6("2001:db8::192.0.2.1".parse().unwrap()), None),
        ("sip:u@1234", Host::Name("1234"), None),
    ] {
        let parsed = uri(text);
        assert_eq!((parsed.host, parsed.port), (host, port), "{text}");
    }
}

#[test]
fn other_schemes_are_kept_as_text() {
    for text in
        ["nobodyKnowsThisScheme:totallyopaquecontent", "soap.beep://192.0.2.103:3002", "urn:service:sos"]
    {
        assert_eq!((uri(text).scheme, uri(text).host), (Scheme::Other, Host::Name("")));
    }
    let tel = uri("tel:+1-201-555-0123;phone-context=example.com");
    assert_eq!((tel.scheme, tel.user), (Scheme::Tel, Some("+1-201-555-0123")));
    assert_eq!(tel.parameter("phone-context"), Some("example.com"));
}

#[test]
fn what_is_no_uri_is_refused() {
    for text in [
        "",
        "sip",
        "sip:",
        ":x",
        "<sip:a@b>",
        "sip:a@b c",
        "sip:a@",
        "sip:@b",
        "sip:2001:db8::10",
        "sip:a@[2001:db8::1",
        "sip:a@[2001:db8::1]x",
        "sip:a@b:",
        "sip:a@b:99999",
        "sip:a@b:+1",
        "sip:a@b/c",
        "sip:a@b\r\n;lr",
        "tel:",
        "tel:+",
        "tel:alice",
        "1x:y",
        "x:",
        "sip:a@\"b\"",
        "*",
    ] {
        assert!(Uri::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_address_of_record_is_one_text_for_one_identity() {
    for (text, expected) in [
        ("sip:a%%34@h", "sip:a%254@h"), // a `%` that begins no escape must not form one with what follows
        ("sip:alice@IMS.Example.ORG:5060;transport=udp", "sip:alice@ims.example.org"),
        ("sip:%61lice:pw@ims.example.org?x=y", "sip:alice@ims.example.org"),
        ("SIP:Alice@ims.example.org", "sip:Alice@ims.example.org"),
        ("sips:a%40b@c", "sips:a%40b@c"),
        ("sip:sips%3auser%40example.com@example.net", "sip:sips%3Auser%40example.com@example.net"),
        ("sip:a%3Bb%00%zz%@c", "sip:a;b%00%25zz%25@c"),
        ("sip:a@[2001:DB8:0::1]:5060", "sip:a@[2001:db8::1]"),
        ("sip:192.0.2.1", "sip:192.0.2.1"),
        ("tel:+1-(201)-555.0123;ext=1", "tel:+12015550123"),
        ("TEL:7042;phone-context=Example.com", "tel:7042;phone-context=example.com"),
        ("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1914555"),
        ("URN:service:sos", "urn:service:sos"),
    ] {
        assert_eq!(uri(text).address_of_record(), expected);
        assert_eq!(
            uri(expected).address_of_record(),
            expected,
            "the canonical form is its own canonical form"
        );
    }
}

#[test]
fn the_equivalent_uris_of_rfc_3261_are_equivalent() {
    for (one, other) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&s=project%20x",
        ),
        ("sip:a@[2001:db8::9:1]", "sip:a@[2001:DB8:0:0::9:01]"),
        ("tel:+1-201-555-0123", "TEL:+1(201)5550123"),
        ("urn:x", "URN:x"),
        ("sip:a@b;x=1;x=2", "sip:a@b;x=1;x=2"),
    ] {
        assert!(uri(one).is_equivalent(&uri(other)) && uri(other).is_equivalent(&uri(one)), "{one} {other}");
    }
}

#[test]
fn the_different_uris_of_rfc_3261_are_different() {
    for (one, other) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob@biloxi.com", "sip:biloxi.com"),
        ("sip:bob:x@biloxi.com", "sip:bob@biloxi.com"),
        ("sip:a%3Bb@c", "sip:a;b@c"),
        ("sip:bob@biloxi.com;maddr=1.2.3.4", "sip:bob@biloxi.com"),
        ("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.net"),
        ("urn:x", "urn:X"),
    ] {
        assert!(
            !uri(one).is_equivalent(&uri(other)) && !uri(other).is_equivalent(&uri(one)),
            "{one} {other}"
        );
    }
}
