//! Requests for one of our users: LIR, the S-CSCF in a Route, and what becomes of failures.

use clock::Duration;
use diameter::cx::{self, LocationInformationRequest, ResultCode};
use node::{Decision, Origin, Unanswered};
use sip::message::Name;

use super::bench::*;

fn invite(uri: &str) -> sip::Message {
    request("INVITE", uri, &format!("<{uri}>"), "Route: <sip:icscf.ims.example;lr>")
}

fn lir(request: cx::Request) -> LocationInformationRequest {
    match request {
        cx::Request::LocationInformation(request) => request,
        other => panic!("no LIR: {other:?}"),
    }
}

#[test]
fn the_called_user_is_asked_for_in_canonical_form() {
    for (uri, expected) in [
        ("sip:bob@ims.example", "sip:bob@ims.example"),
        ("sip:bob@IMS.example:5060;user=phone", "sip:bob@ims.example"),
        ("tel:+1-555-1002", "tel:+15551002"),
    ] {
        let (_, request) = Bench::new().ask(&invite(uri));
        let request = lir(request);
        assert_eq!(request.public_identity, expected, "{uri}");
        assert!(!request.originating && !request.with_capabilities);
    }
}

#[test]
fn the_s_cscf_goes_into_a_route_and_the_request_uri_stays() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
    let (message, destination, patience) =
        forwarded(bench.answer(query, located(ResultCode::SUCCESS, Some(SECOND), &[])));
    assert_eq!(message.request_uri(), "sip:bob@ims.example");
    assert_eq!(all(&message, Name::Route), [format!("<{SECOND};lr>")]);
    assert_eq!(destination.remote, "192.0.2.4:6060".parse().expect("an address"));
    assert_eq!(patience, Some(Duration::from_secs(4)));
    assert_eq!(message.header(Name::RecordRoute), None);
    assert_eq!(responded(bench.respond(&message, 180, Origin::Received)).status(), 180);
    assert_eq!(responded(bench.respond(&message, 200, Origin::Received)).status(), 200);
    assert_eq!(bench.events, [("call", "ok")]);
}

#[test]
fn a_message_has_no_patience_because_its_silence_may_be_the_devices() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&request("MESSAGE", "sip:bob@ims.example", "<sip:bob@ims.example>", ""));
    let (message, _, patience) =
        forwarded(bench.answer(query, located(ResultCode::SUCCESS, Some(FIRST), &[])));
    assert_eq!(patience, None);
    assert_eq!(responded(bench.respond(&message, 408, Origin::TimedOut)).status(), 408);
}

#[test]
fn each_result_of_the_hss_has_its_answer() {
    for (result, status, cause) in [
        (ResultCode::USER_UNKNOWN, 404, "unknown_subscriber"),
        (ResultCode::IDENTITY_NOT_REGISTERED, 480, "not_registered"),
        (ResultCode::UNABLE_TO_COMPLY, 480, "hss_refuses"),
    ] {
        let mut bench = Bench::new();
        let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
        assert_eq!(responded(bench.answer(query, located(result, None, &[]))).status(), status, "{result:?}");
        assert_eq!(bench.events, [("call", cause)]);
    }
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
    assert_eq!(responded(bench.answer(query, Err(Unanswered::TimedOut))).status(), 480);
}

#[test]
fn an_unregistered_user_with_services_gets_an_s_cscf_of_our_choice() {
    for (name, proposed, expected) in
        [(None, &[][..], FIRST), (None, &[SECOND][..], SECOND), (Some(SECOND), &[][..], SECOND)]
    {
        let mut bench = Bench::new();
        let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
        let answer = located(ResultCode::UNREGISTERED_SERVICE, name, proposed);
        let (message, ..) = forwarded(bench.answer(query, answer));
        assert_eq!(all(&message, Name::Route), [format!("<{expected};lr>")]);
    }
}

#[test]
fn a_number_that_is_unknown_as_a_sip_uri_is_asked_for_as_a_tel_uri() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&invite("sip:+1-555-1002@ims.example;user=phone"));
    let (query, request) = asked(bench.answer(query, located(ResultCode::USER_UNKNOWN, None, &[])));
    assert_eq!(lir(request).public_identity, "tel:+15551002");
    assert_eq!(responded(bench.answer(query, located(ResultCode::USER_UNKNOWN, None, &[]))).status(), 404);
}

#[test]
fn an_s_cscf_that_says_nothing_to_an_invite_is_replaced() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
    let (message, ..) = forwarded(bench.answer(query, located(ResultCode::SUCCESS, Some(FIRST), &[])));
    let (query, request) = asked(bench.respond(&message, 408, Origin::TimedOut));
    assert!(lir(request).with_capabilities);
    let (message, ..) = forwarded(bench.answer(query, located(ResultCode::SUCCESS, Some(FIRST), &[SECOND])));
    assert_eq!(all(&message, Name::Route), [format!("<{SECOND};lr>")]);
    // A phone rang, so the second one lives: that nobody answers is the callee's affair.
    responded(bench.respond(&message, 180, Origin::Received));
    assert_eq!(responded(bench.respond(&message, 408, Origin::TimedOut)).status(), 408);
    assert_eq!(bench.events, [("call", "timed_out")]);
}

#[test]
fn with_no_s_cscf_left_a_call_is_504() {
    let mut bench = Bench::with(&[FIRST]);
    let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
    let (message, ..) = forwarded(bench.answer(query, located(ResultCode::SUCCESS, Some(FIRST), &[])));
    let (query, _) = asked(bench.respond(&message, 503, Origin::Unreachable));
    assert_eq!(responded(bench.answer(query, located(ResultCode::SUCCESS, Some(FIRST), &[]))).status(), 504);
}

#[test]
fn a_caller_who_gives_up_while_the_hss_is_asked_is_told_487_once() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
    match bench.cancel().as_slice() {
        [Decision::Respond { response, .. }] => assert_eq!(parsed(response).status(), 487),
        other => panic!("not one response: {other:?}"),
    }
    let late = located(ResultCode::SUCCESS, Some(FIRST), &[]);
    assert!(bench.feed(node::Indication::Answer { query, answer: late }).is_empty());
    assert!(bench.cancel().is_empty());
}

#[test]
fn a_caller_who_gives_up_while_a_second_s_cscf_is_sought_is_told_487() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&invite("sip:bob@ims.example"));
    let (message, ..) = forwarded(bench.answer(query, located(ResultCode::SUCCESS, Some(FIRST), &[])));
    let (query, _) = asked(bench.respond(&message, 408, Origin::TimedOut));
    // The shell knows of the CANCEL and does not carry out what is decided here: it says so afterwards.
    forwarded(bench.answer(query, located(ResultCode::SUCCESS, Some(SECOND), &[])));
    match bench.cancel().as_slice() {
        [Decision::Respond { response, .. }] => assert_eq!(parsed(response).status(), 487),
        other => panic!("not one response: {other:?}"),
    }
}

#[test]
fn what_is_not_for_our_users_is_answered_without_the_hss() {
    for (uri, status) in [
        ("sip:bob@other.example", 403),
        ("sip:ims.example", 404),
        ("sip:someone@icscf.ims.example", 404),
        ("nobodyknowsthisscheme:totallyopaquecontent", 416),
        ("urn:service:counseling", 416),
    ] {
        assert_eq!(responded(Bench::new().offer(&invite(uri))).status(), status, "{uri}");
    }
}
