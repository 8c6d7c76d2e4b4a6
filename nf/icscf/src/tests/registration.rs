//! REGISTER: UAR, the choice of an S-CSCF, and what becomes of failures.

use clock::Duration;
use diameter::cx::{self, ResultCode, UserAuthorizationRequest, UserAuthorizationType};
use node::{Origin, Unanswered};
use sip::message::Name;

use super::bench::*;

const AUTHORIZATION: &str =
    "Authorization: Digest username=\"private@ims.example\", realm=\"ims.example\", nonce=\"\"";

fn uar(request: cx::Request) -> UserAuthorizationRequest {
    match request {
        cx::Request::UserAuthorization(request) => request,
        other => panic!("no UAR: {other:?}"),
    }
}

#[test]
fn the_hss_is_asked_for_both_identities_and_the_visited_network() {
    let (_, request) = Bench::new().ask(&register(AUTHORIZATION));
    let expected = UserAuthorizationRequest {
        private_identity: "private@ims.example".into(),
        public_identity: "sip:alice@ims.example".into(),
        visited_network: "ims.example".into(),
        authorization_type: UserAuthorizationType::Registration,
    };
    assert_eq!(uar(request), expected);
}

#[test]
fn without_authorization_the_private_identity_is_the_public_one() {
    let (_, request) = Bench::new().ask(&register(""));
    assert_eq!(uar(request).private_identity, "alice@ims.example");
}

#[test]
fn the_type_of_the_query_says_whether_the_device_leaves() {
    use UserAuthorizationType::{DeRegistration, Registration};
    for (more, expected) in [
        ("Contact: <sip:alice@198.51.100.7>\nExpires: 0", DeRegistration),
        ("Contact: *\nExpires: 0", DeRegistration),
        ("Contact: <sip:alice@198.51.100.7>;expires=0\nExpires: 600", DeRegistration),
        ("Contact: <sip:alice@198.51.100.7>;expires=60\nExpires: 0", Registration),
        ("Contact: <sip:a@h>;expires=0, <sip:b@h>;expires=60", Registration),
        ("Expires: 600", Registration),
    ] {
        assert_eq!(uar(Bench::new().ask(&register(more)).1).authorization_type, expected, "{more}");
    }
}

#[test]
fn a_named_s_cscf_gets_the_register_under_its_own_uri() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&register("Path: <sip:token@192.0.2.1:4060;lr>\nRequire: path"));
    let answer = authorized(ResultCode::SUBSEQUENT_REGISTRATION, Some(SECOND), &[]);
    let (message, destination, patience) = forwarded(bench.answer(query, answer));
    assert_eq!(message.request_uri(), SECOND);
    assert_eq!(destination.remote, "192.0.2.4:6060".parse().expect("an address"));
    assert_eq!(patience, Some(Duration::from_secs(4)));
    assert_eq!(all(&message, Name::Path), ["<sip:token@192.0.2.1:4060;lr>"]);
    assert_eq!(all(&message, Name::MaxForwards), ["68"]);
    assert_eq!((message.header(Name::RecordRoute), message.header(Name::Route)), (None, None));
    let answer = responded(bench.respond(&message, 401, Origin::Received));
    assert_eq!((answer.status(), all(&answer, Name::Via).len()), (401, 1));
    assert_eq!(bench.events, []);
}

#[test]
fn a_first_registration_goes_to_the_best_that_is_proposed_or_configured() {
    for (proposed, expected) in [(&[][..], FIRST), (&[SECOND][..], SECOND)] {
        let mut bench = Bench::new();
        let (query, _) = bench.ask(&register(""));
        let answer = authorized(ResultCode::FIRST_REGISTRATION, None, proposed);
        let (message, ..) = forwarded(bench.answer(query, answer));
        assert_eq!(message.request_uri(), expected);
        responded(bench.respond(&message, 200, Origin::Received));
        assert_eq!(bench.events, [("registration", "ok")]);
    }
}

#[test]
fn a_failed_s_cscf_is_replaced_after_asking_again_with_capabilities() {
    for (status, origin) in [
        (408, Origin::TimedOut),
        (503, Origin::Unreachable),
        (302, Origin::Received),
        (480, Origin::Received),
    ] {
        let mut bench = Bench::new();
        let (query, _) = bench.ask(&register(""));
        let named = authorized(ResultCode::SUBSEQUENT_REGISTRATION, Some(FIRST), &[]);
        let (message, ..) = forwarded(bench.answer(query, named));
        let (query, request) = asked(bench.respond(&message, status, origin));
        assert_eq!(uar(request).authorization_type, UserAuthorizationType::RegistrationAndCapabilities);
        let both = authorized(ResultCode::SUBSEQUENT_REGISTRATION, Some(FIRST), &[FIRST, SECOND]);
        let (message, ..) = forwarded(bench.answer(query, both.clone()));
        assert_eq!(message.request_uri(), SECOND);
        // The second fails as well: none is left.
        let (query, _) = asked(bench.respond(&message, status, origin));
        assert_eq!(responded(bench.answer(query, both)).status(), 504);
        assert_eq!(bench.events, [("registration", "no_server")]);
    }
}

#[test]
fn a_refusal_of_the_s_cscf_passes() {
    for status in [403, 423, 500, 503] {
        let mut bench = Bench::new();
        let (query, _) = bench.ask(&register(""));
        let named = authorized(ResultCode::SUBSEQUENT_REGISTRATION, Some(FIRST), &[]);
        let (message, ..) = forwarded(bench.answer(query, named));
        assert_eq!(responded(bench.respond(&message, status, Origin::Received)).status(), status);
    }
}

#[test]
fn each_result_of_the_hss_has_its_answer() {
    for (result, status, cause) in [
        (ResultCode::USER_UNKNOWN, 403, "unknown_subscriber"),
        (ResultCode::IDENTITIES_DONT_MATCH, 403, "identities_do_not_match"),
        (ResultCode::ROAMING_NOT_ALLOWED, 403, "roaming_not_allowed"),
        (ResultCode::AUTHORIZATION_REJECTED, 403, "barred"),
        (ResultCode::IDENTITY_NOT_REGISTERED, 403, "not_registered"),
        (ResultCode::TOO_BUSY, 480, "hss_refuses"),
        (ResultCode::UNABLE_TO_COMPLY, 480, "hss_refuses"),
    ] {
        let mut bench = Bench::new();
        let (query, _) = bench.ask(&register(""));
        assert_eq!(
            responded(bench.answer(query, authorized(result, None, &[]))).status(),
            status,
            "{result:?}"
        );
        assert_eq!(bench.events, [("registration", cause)]);
    }
}

#[test]
fn a_silent_hss_is_480_first_and_504_after_a_failed_s_cscf() {
    for silence in [Unanswered::NoPeer, Unanswered::TimedOut, Unanswered::Malformed] {
        let mut bench = Bench::new();
        let (query, _) = bench.ask(&register(""));
        assert_eq!(responded(bench.answer(query, Err(silence))).status(), 480);
        let (query, _) = bench.ask(&register(""));
        let named = authorized(ResultCode::SUBSEQUENT_REGISTRATION, Some(FIRST), &[]);
        let (message, ..) = forwarded(bench.answer(query, named));
        let (query, _) = asked(bench.respond(&message, 408, Origin::TimedOut));
        assert_eq!(responded(bench.answer(query, Err(silence))).status(), 504);
    }
}

#[test]
fn a_name_without_an_address_counts_as_a_failed_s_cscf() {
    let mut bench = Bench::new();
    let (query, _) = bench.ask(&register(""));
    let nowhere = authorized(ResultCode::SUBSEQUENT_REGISTRATION, Some("sip:nowhere.example"), &[]);
    let (query, _) = asked(bench.answer(query, nowhere));
    let (message, ..) = forwarded(bench.answer(query, authorized(ResultCode::FIRST_REGISTRATION, None, &[])));
    assert_eq!(message.request_uri(), FIRST);
}

#[test]
fn a_register_for_another_network_or_for_no_identity_is_refused_without_the_hss() {
    let mut bench = Bench::new();
    let foreign = request("REGISTER", "sip:other.example", "<sip:alice@other.example>", "Contact: <sip:a@h>");
    assert_eq!(responded(bench.offer(&foreign)).status(), 403);
    let strange = request("REGISTER", "sip:ims.example", "<isbn:2983792873>", "Contact: <sip:a@h>");
    assert_eq!(responded(bench.offer(&strange)).status(), 400);
}
