//! Messages as they come, and what is made of them.

use super::{Draft, HEADER_LINES_MAX, Message, Method, Name, ParseError};

const INVITE: &str = "INVITE sip:bob@example.org SIP/2.0\r\n\
    v:SIP/2.0/UDP a.example.org;branch=z9hG4bK1 , SIP/2.0/UDP b.example.org;branch=z9hG4bK2\r\n\
    VIA: SIP/2.0/UDP c.example.org;branch=z9hG4bK3\r\n\
    max-forwards :  70\r\n\
    f: <sip:alice@example.org>;tag=1\r\n\
    To: \"Bob, the builder\"\r\n \t<sip:bob@example.org>\r\n\
    i: abc\r\n\
    CSeq: 1 INVITE\r\n\
    Route: <sip:p1;lr>,<sip:p2;lr>\r\n\
    X-Odd: yes\r\n\
    l: 4\r\n\
    \r\n\
    body";

fn message(text: &str) -> Message {
    Message::parse(text.to_owned().into()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn refusal(text: &str) -> ParseError {
    Message::parse(text.to_owned().into()).and_then(|message| message.validate()).expect_err(text)
}

fn text(draft: &Draft) -> String {
    String::from_utf8(draft.emit().to_vec()).unwrap()
}

/// `INVITE` after `edit`, and what it is to be: `INVITE` with the first `from` replaced by `to`.
fn check(edit: impl FnOnce(&mut Draft), from: &str, to: &str) {
    let mut draft = Draft::of(&message(INVITE));
    edit(&mut draft);
    assert!(INVITE.contains(from), "{from}");
    assert_eq!(text(&draft), INVITE.replacen(from, to, 1));
}

#[test]
fn fields_are_found_by_any_of_their_names_through_folds() {
    let invite = message(INVITE);
    invite.validate().unwrap();
    assert_eq!(
        (invite.method(), invite.request_uri(), invite.status()),
        (Method::Invite, "sip:bob@example.org", 0)
    );
    let branches: Vec<_> =
        invite.values(Name::Via).map(|via| crate::Via::parse(via).unwrap().branch().unwrap()).collect();
    assert_eq!(branches, ["z9hG4bK1", "z9hG4bK2", "z9hG4bK3"]);
    assert_eq!(invite.headers(Name::Via).count(), 2);
    let to = invite.to().unwrap();
    assert_eq!((to.display_name, to.uri_text), ("\"Bob, the builder\"", "sip:bob@example.org"));
    assert_eq!((invite.call_id(), invite.number(Name::MaxForwards)), ("abc", Some(70)));
    assert_eq!((invite.header_text("x-odd"), invite.header_text("CALL-ID")), (Some("yes"), Some("abc")));
    assert_eq!((invite.header_text("x-missing"), invite.header(Name::Expires)), (None, None));
    assert_eq!(invite.body(), b"body");
    assert_eq!(invite.fields().nth(2), Some(("max-forwards", "70")));
}

#[test]
fn a_response_has_a_status_and_the_method_of_its_cseq() {
    for (line, status, reason) in [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("SIP/2.0 183 Session Progress ", 183, "Session Progress "),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 100", 100, ""),
        ("SIP/2.0 699 é", 699, "é"),
    ] {
        let response = message(&format!("{line}\r\nCSeq: 7 BYE\r\n\r\n"));
        assert_eq!(
            (response.status(), response.reason(), response.method()),
            (status, reason, Method::Bye),
            "{line}"
        );
        assert_eq!((response.is_request(), response.request_uri()), (false, ""));
    }
}

#[test]
fn numbers_are_read_up_to_what_may_follow_them() {
    for (value, expected) in [
        ("3600", Some(3600)),
        ("0068", Some(68)),
        ("120 (in a meeting)", Some(120)),
        ("18000;duration=3600", Some(18000)),
        ("1000000000000000000", Some(u32::MAX)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1x", None),
        ("x", None),
    ] {
        let parsed = message(&format!("SIP/2.0 503 Busy\r\nRetry-After: {value}\r\n\r\n"));
        assert_eq!(parsed.number(Name::RetryAfter), expected, "{value:?}");
    }
}

#[test]
fn tokens_are_found_in_lists_in_any_case() {
    let parsed = message("SIP/2.0 200 OK\r\nk: path, Gruu\r\nSupported:timer\r\n\r\n");
    for (token, expected) in [("PATH", true), ("gruu", true), ("timer", true), ("pat", false)] {
        assert_eq!(parsed.has_token(Name::Supported, token), expected, "{token}");
    }
}

#[test]
fn line_ends_before_the_message_are_skipped() {
    assert_eq!(message(&format!("\r\n\r\n{INVITE}")).request_uri(), "sip:bob@example.org");
    let forwarded = Draft::of(&message(&format!("\r\n{INVITE}"))).emit();
    assert_eq!(forwarded, INVITE);
}

#[test]
fn content_length_says_where_the_body_of_a_datagram_ends() {
    let body = |length: &str| {
        let text = INVITE.replace("l: 4\r\n", length);
        Message::parse(text.into())
            .map(|message| message.body().to_vec())
            .map_err(|error| error.answer_status)
    };
    for (length, expected) in [
        ("", Ok(&b"body"[..])),
        ("l: 4\r\n", Ok(b"body")),
        ("l: 2\r\n", Ok(b"bo")),
        ("l: 004\r\n", Ok(b"body")),
        ("l: 2\r\nContent-Length: 2\r\n", Ok(b"bo")),
        ("l: 5\r\n", Err(Some(400))),
        ("l: -4\r\n", Err(Some(400))),
        ("l: 4 4\r\n", Err(Some(400))),
        ("l:\r\n", Err(Some(400))),
        ("l: 99999999999\r\n", Err(Some(400))),
        ("l: 2\r\nContent-Length: 4\r\n", Err(Some(400))),
    ] {
        assert_eq!(body(length), expected.map(<[u8]>::to_vec), "{length:?}");
    }
}

#[test]
fn malformed_requests_are_answered_and_malformed_responses_are_dropped() {
    let rest = &INVITE[INVITE.find("\r\n").unwrap()..];
    for (start_line, expected) in [
        ("INVITE sip:bob@example.org SIP/3.0", Some(505)),
        ("INVITE sip:bob@example.org sip/1.0", Some(505)),
        ("INVITE sip:bob@example.org", Some(400)),
        ("INVITE  sip:bob@example.org SIP/2.0", Some(400)),
        ("INVITE sip:bob@example.org SIP/2.0 ", Some(400)),
        ("INVITE sip:bob@example.org HTTP/1.1", Some(400)),
        ("INVITE sip:bob@example.org?x=y SIP/2.0", Some(400)),
        ("INVITE bob SIP/2.0", Some(400)),
        ("BYE sip:bob@example.org SIP/2.0", Some(400)),
        ("NEW sip:bob@example.org SIP/2.0", Some(501)),
        ("ACK sip:bob@example.org SIP/3.0", None),
        ("ACK bob SIP/2.0", None),
        ("SIP/2.0 20 OK", None),
        ("SIP/2.0 099 OK", None),
        ("SIP/2.0 700 OK", None),
        ("SIP/2.0 2000 OK", None),
        ("SIP/3.0 200 OK", None),
        ("hello", None),
        ("", None),
        ("(INVITE) sip:bob@example.org SIP/2.0", None),
    ] {
        assert_eq!(refusal(&format!("{start_line}{rest}")).answer_status, expected, "{start_line}");
    }
}

#[test]
fn lines_that_two_readers_could_cut_differently_are_refused() {
    for (from, to) in [
        ("X-Odd: yes\r\n", "X-Odd: yes\n"),
        ("X-Odd: yes\r\n", "X-Odd: yes\r"),
        ("X-Odd: yes\r\n", "X-Odd: a\nP-Asserted-Identity: <sip:eve@example.org>\r\n"),
        ("X-Odd: yes\r\n", "X-Odd: a\rb\r\n"),
        ("X-Odd: yes\r\n", "X-Odd\r\n"),
        ("X-Odd: yes\r\n", ": yes\r\n"),
        ("X-Odd: yes\r\n", "X Odd: yes\r\n"),
        ("v:", " v:"),
        ("\r\n\r\nbody", "\r\n"),
        ("\r\n\r\nbody", ""),
    ] {
        assert_eq!(refusal(&INVITE.replacen(from, to, 1)).answer_status, Some(400), "{to:?}");
    }
}

#[test]
fn the_header_section_is_utf_8_and_the_body_need_not_be() {
    let parse = |text: &str| {
        Message::parse(text.bytes().map(|octet| if octet == b'^' { 0xff } else { octet }).collect())
    };
    assert_eq!(parse(&INVITE.replace("yes", "^")).unwrap_err().answer_status, Some(400));
    assert_eq!(parse(&INVITE.replace("body", "b^dy")).unwrap().body(), b"b\xffdy");
    assert_eq!(message(&INVITE.replace("yes", "é")).header_text("X-Odd"), Some("é"));
}

#[test]
fn what_every_proxy_relies_on_is_there_once_and_readable() {
    for (from, to) in [
        ("i: abc\r\n", ""),
        ("f: <sip:alice@example.org>;tag=1\r\n", ""),
        ("CSeq: 1 INVITE\r\n", ""),
        ("i: abc", "i: "),
        ("i: abc", "i: a b"),
        ("i: abc", "i: abc\r\nCall-ID: def"),
        ("f: ", "From: <sip:eve@example.org>\r\nf: "),
        ("f: <sip:alice@example.org>;tag=1", "f: <sip:alice@example.org>;;"),
        ("f: <sip:alice@example.org>;tag=1", "f: <sip:alice@example.org>, <sip:eve@example.org>"),
        ("f: <sip:alice@example.org>;tag=1", "f: <alice>"),
        ("CSeq: 1 INVITE", "CSeq: 1 invite"),
        ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE"),
        (":  70", ": 256"),
        (":  70", ": seventy"),
        ("v:", "v:,"),
        ("v:SIP/2.0/UDP a.example.org;", "v:SIP/2.0/UDP a.example.org;;"),
        ("Route: <sip:p1;lr>", "Route: <>"),
        ("X-Odd: yes", "Contact: <sip:a@b>, *"),
        ("X-Odd: yes", "Contact: sip:a@b?Route=x"),
        ("X-Odd: yes", "Expires: 1\r\nExpires: 2"),
    ] {
        assert_eq!(refusal(&INVITE.replacen(from, to, 1)).answer_status, Some(400), "{to:?}");
    }
    for (from, to) in [
        ("max-forwards :  70\r\n", ""),
        (":  70", ": 255"),
        ("X-Odd: yes", "Contact: *"),
        ("X-Odd: yes", "Date: whenever"),
        ("f: <sip:alice@example.org>;tag=1", "f: sip:alice@example.org"),
    ] {
        assert_eq!(message(&INVITE.replacen(from, to, 1)).validate(), Ok(()), "{to:?}");
    }
}

#[test]
fn a_bound_holds_for_the_number_of_header_lines() {
    let with_lines = |count: usize| {
        let lines = "a:\r\n".repeat(count);
        Message::parse(format!("OPTIONS sip:a SIP/2.0\r\n{lines}\r\n").into())
    };
    assert!(with_lines(HEADER_LINES_MAX).is_ok());
    assert_eq!(with_lines(HEADER_LINES_MAX + 1).unwrap_err().answer_status, Some(400));
}

#[test]
fn an_answer_needs_a_request_that_is_no_ack_and_a_via() {
    let broken =
        INVITE.replace("INVITE sip", "INVITE  sip").replace("X-Odd: yes", "X-Odd").replace("l: 4", "l: 400");
    let request = Message::parse_for_rejection(broken.clone().into()).unwrap();
    let answer = text(&Draft::response(&request, 400, "Bad Request", "t"));
    assert!(
        answer.starts_with("SIP/2.0 400 Bad Request\r\nv:SIP/2.0/UDP a.example.org;branch=z9hG4bK1 ,"),
        "{answer}"
    );
    assert!(answer.ends_with("CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"), "{answer}");
    for none in [
        broken.replace("INVITE ", "ACK "),
        broken.replace("v:", "w:").replace("VIA:", "w:"),
        broken.replacen("INVITE  sip:bob@example.org SIP/2.0", "SIP/2.0 200 OK", 1),
        String::new(),
    ] {
        assert!(Message::parse_for_rejection(none.clone().into()).is_none(), "{none}");
    }
}

#[test]
fn what_is_not_edited_stays_byte_for_byte() {
    check(|_| {}, "", "");
    check(|draft| draft.push_front(Name::Via, "X"), "v:SIP", "Via: X\r\nv:SIP");
    check(|draft| draft.push_back(Name::Via, "X"), "max-f", "Via: X\r\nmax-f");
    check(|draft| draft.push_front(Name::RecordRoute, "X"), "max-f", "Record-Route: X\r\nmax-f");
    check(|draft| draft.push_front(Name::Route, "X"), "Route: <", "Route: X\r\nRoute: <");
    check(|draft| draft.push_back(Name::Path, "X"), "l: 4\r\n", "l: 4\r\nPath: X\r\n");
    check(|draft| draft.push_back_text("X-New", "X"), "l: 4\r\n", "l: 4\r\nX-New: X\r\n");
    check(|draft| draft.push_back_text("t", "X"), "i: abc", "To: X\r\ni: abc");
    check(|draft| draft.remove(Name::Route), "Route: <sip:p1;lr>,<sip:p2;lr>\r\n", "");
    check(|draft| draft.remove_text("x-odd"), "X-Odd: yes\r\n", "");
    check(|draft| draft.remove_text("call-id"), "i: abc\r\n", "");
    check(|draft| draft.replace(Name::MaxForwards, "69"), "max-forwards :  70", "Max-Forwards: 69");
    check(|draft| draft.replace(Name::Expires, "1"), "l: 4\r\n", "l: 4\r\nExpires: 1\r\n");
    check(|draft| draft.set_request_uri("sip:carol@x"), "sip:bob@example.org", "sip:carol@x");
    check(|draft| draft.set_status(200, "OK"), "", "");
}

#[test]
fn the_first_value_can_go_or_change_and_its_neighbours_stay() {
    let first = "v:SIP/2.0/UDP a.example.org;branch=z9hG4bK1 , SIP/2.0/UDP b.example.org;branch=z9hG4bK2\r\n";
    let second = "SIP/2.0/UDP b.example.org;branch=z9hG4bK2\r\n";
    check(|draft| assert!(draft.remove_first_value(Name::Via)), first, &format!("Via: {second}"));
    let twice = |draft: &mut Draft| {
        assert!(draft.remove_first_value(Name::Via) && draft.remove_first_value(Name::Via))
    };
    check(twice, first, "");
    check(|draft| draft.replace_first_value(Name::Via, "X"), first, &format!("Via: X, {second}"));
    check(|draft| draft.replace_first_value(Name::CallId, "X"), "i: abc", "Call-ID: X");
    check(|draft| draft.replace_first_value(Name::Path, "X"), "l: 4\r\n", "l: 4\r\nPath: X\r\n");
    check(|draft| assert!(!draft.remove_first_value(Name::Path)), "", "");
}

#[test]
fn values_can_be_chosen() {
    check(|draft| draft.retain_values(Name::Route, |value| value == "<sip:p2;lr>"), "<sip:p1;lr>,", "");
    check(|draft| draft.retain_values(Name::Route, |_| false), "Route: <sip:p1;lr>,<sip:p2;lr>\r\n", "");
    check(|draft| draft.retain_values(Name::Route, |_| true), "", "");
    check(|draft| draft.retain_values(Name::From, |_| true), "", "");
    let last = |value: &str| value.contains("z9hG4bK3");
    let mut draft = Draft::of(&message(INVITE));
    draft.retain_values(Name::Via, last);
    assert_eq!(draft.values(Name::Via).collect::<Vec<_>>(), ["SIP/2.0/UDP c.example.org;branch=z9hG4bK3"]);
}

#[test]
fn a_draft_tells_how_it_now_stands() {
    let mut draft = Draft::of(&message(INVITE));
    draft.set_request_uri("sip:carol@x");
    draft.replace(Name::CallId, "def");
    assert_eq!((draft.method(), draft.request_uri(), draft.status()), (Method::Invite, "sip:carol@x", 0));
    assert_eq!((draft.header(Name::CallId), draft.values(Name::Route).count()), (Some("def"), 2));
    let mut response = Draft::response(&message(INVITE), 180, "Ringing", "t");
    response.set_status(200, "OK");
    response.set_request_uri("sip:x");
    assert_eq!((response.method(), response.request_uri(), response.status()), (Method::Invite, "", 200));
    assert!(text(&response).starts_with("SIP/2.0 200 OK\r\n"));
}

#[test]
fn a_new_body_brings_its_type_and_length() {
    let mut draft = Draft::of(&message(INVITE));
    draft.set_body("application/sdp", "v=0\r\n");
    assert_eq!(draft.body(), b"v=0\r\n");
    let with_body = text(&draft);
    assert!(
        with_body.contains("Content-Length: 5\r\n") && with_body.ends_with("\r\n\r\nv=0\r\n"),
        "{with_body}"
    );
    assert!(
        with_body.contains("Content-Type: application/sdp\r\n") && !with_body.contains("l: 4"),
        "{with_body}"
    );
    draft.set_body("", "");
    assert!(text(&draft).ends_with("Content-Length: 0\r\n\r\n") && !text(&draft).contains("Content-Type"));
}

#[test]
fn a_message_without_length_gets_one() {
    let forwarded = text(&Draft::of(&message(&INVITE.replace("l: 4\r\n", ""))));
    assert!(forwarded.ends_with("X-Odd: yes\r\nContent-Length: 4\r\n\r\nbody"), "{forwarded}");
    let mut request = Draft::request(Method::Options, "sip:a");
    request.push_front(Name::Via, "X");
    assert_eq!(text(&request), "OPTIONS sip:a SIP/2.0\r\nVia: X\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_response_carries_what_identifies_its_request() {
    let expected = |to: &str| {
        let kept = &INVITE[INVITE.find("v:").unwrap()..INVITE.find("max").unwrap()];
        format!("{kept}f: <sip:alice@example.org>;tag=1\r\n{to}i: abc\r\nCSeq: 1 INVITE\r\n")
    };
    let as_it_came = "To: \"Bob, the builder\"\r\n \t<sip:bob@example.org>\r\n";
    let tagged = "To: \"Bob, the builder\"\r\n \t<sip:bob@example.org>;tag=t\r\n";
    let end = "Content-Length: 0\r\n\r\n";
    let request = message(&INVITE.replace("X-Odd: yes", "Timestamp: 54"));
    let trying = text(&Draft::response(&request, 100, "Trying", "t"));
    assert_eq!(trying, format!("SIP/2.0 100 Trying\r\n{}Timestamp: 54\r\n{end}", expected(as_it_came)));
    let ringing = text(&Draft::response(&request, 180, "Ringing", "t"));
    assert_eq!(ringing, format!("SIP/2.0 180 Ringing\r\n{}{end}", expected(tagged)));
    let within_dialog = message(&INVITE.replace("<sip:bob@example.org>", "<sip:bob@example.org>;tag=b"));
    assert!(!text(&Draft::response(&within_dialog, 200, "OK", "t")).contains("tag=t"));
}

#[test]
fn a_relayed_response_loses_the_topmost_via_only() {
    let response = message("SIP/2.0 200 OK\r\nVia: a\r\nv: b, c\r\nTo: x\r\nl: 0\r\n\r\n");
    assert_eq!(text(&Draft::relay(&response)), "SIP/2.0 200 OK\r\nv: b, c\r\nTo: x\r\nl: 0\r\n\r\n");
}

#[test]
fn a_line_end_in_a_value_does_not_make_a_second_field() {
    let mut draft = Draft::of(&message(INVITE));
    draft.replace(Name::CallId, "a\r\nRoute: <sip:eve>\nb\r");
    assert_eq!(draft.header(Name::CallId), Some("a  Route: <sip:eve> b "));
    draft.replace(Name::CallId, "a\r\n\tb");
    assert_eq!(draft.header(Name::CallId), Some("a\r\n\tb"), "a fold stays");
}

#[test]
fn a_tag_behind_a_stray_semicolon_can_be_read_by_whom_it_is_for() {
    let stray = |end: &str| format!("<sip:bob@example.org>{end}");
    for end in [";", " ;", "; "] {
        let request = message(&INVITE.replace("<sip:bob@example.org>", &stray(end)));
        request.validate().expect("the request is accepted");
        let response = message(&text(&Draft::response(&request, 180, "Ringing", "t")));
        response.validate().expect("then its answer must be too");
        assert_eq!(response.to().and_then(|to| to.tag()), Some("t"));
    }
}
