//! Digest against the examples of its RFCs, and against what devices really write.

use proptest::prelude::*;

use super::*;
use crate::aka::Auts;

const GET: Method<'static> = Method::Other("GET");
const REGISTER: Method<'static> = Method::Register;

/// RFC 2617 §3.5.
const RFC_2617: &str = r#"Digest username="Mufasa", realm="testrealm@host.com",
 nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",
 response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;

/// RFC 7616 §3.9.1, with the response of the algorithm.
fn rfc_7616(algorithm: Algorithm, response: &str) -> String {
    format!(
        r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={},
 nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
 cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{response}",
 opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
        algorithm.as_str()
    )
}

const AKA_USERNAME: &str = "001010000000001@ims.mnc001.mcc001.3gppnetwork.org";
const AKA_REALM: &str = "ims.mnc001.mcc001.3gppnetwork.org";
const AKA_URI: &str = "sip:ims.mnc001.mcc001.3gppnetwork.org";
/// The bytes 0 to 31.
const AKA_NONCE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const RES_WITH_ZEROS: [u8; 8] = [0x00, 0xD4, 0x00, 0x2A, 0x00, 0xFF, 0x0D, 0x00];

/// These four were computed with another implementation (Python's hashlib).
const AUTH_INT: &str = "dca9ff67010f70af399e472e7367c12e";
const RSPAUTH: &str = "376602cfd2f4e8e5e78b948a85263e85";
const AKA_RESPONSE: &str = "401b77180fbe5b5565c4453830af4b16";
const AKA_RESPONSE_EMPTY: &str = "dffc79de65b474bbbe3a080a8985d5c4";

fn mufasa() -> Ha1 {
    Ha1::compute(Algorithm::Md5, "Mufasa", "testrealm@host.com", b"Circle Of Life")
}

fn expectation(ha1: &Ha1) -> Expectation<'_> {
    Expectation {
        username: "Mufasa",
        realm: "testrealm@host.com",
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        uses_before: 0,
        algorithm: Algorithm::Md5,
        ha1,
    }
}

#[test]
fn the_example_of_rfc_2617_is_right() {
    let ha1 = mufasa();
    assert_eq!(ha1.reveal(), "939e7578ed9e3c518a452acee763bce9");
    let credentials = Credentials::parse(RFC_2617).expect("the RFC's example");
    assert_eq!(expectation(&ha1).check(&credentials, GET, b""), Ok(1));
}

#[test]
fn the_examples_of_rfc_7616_are_right() {
    for (algorithm, response) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let text = rfc_7616(algorithm, response);
        let credentials = Credentials::parse(&text).expect("the RFC's example");
        let ha1 = Ha1::compute(algorithm, "Mufasa", "http-auth@example.org", b"Circle of Life");
        assert!(credentials.is_made_with(algorithm, &ha1, GET, b""), "{algorithm:?}");
        assert_eq!(Ha1::from_hex(algorithm, &ha1.reveal().to_ascii_uppercase()), Some(ha1));
    }
}

#[test]
fn without_qop_the_response_is_rfc_2069s_and_good_for_one_request() {
    let text = r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        uri="/dir/index.html", response="670FD8C2DF070C60B045671B8B24FF02""#;
    let (ha1, credentials) = (mufasa(), Credentials::parse(text).expect("well formed"));
    assert_eq!(expectation(&ha1).check(&credentials, GET, b""), Ok(1));
    let used = Expectation { uses_before: 1, ..expectation(&ha1) };
    assert_eq!(used.check(&credentials, GET, b""), Err(DigestError::ReplayedNonce));
}

#[test]
fn auth_int_protects_the_body() {
    let text =
        RFC_2617.replace("qop=auth", "qop=auth-int").replace("6629fae49393a05397450978507c4ef1", AUTH_INT);
    let (ha1, credentials) = (mufasa(), Credentials::parse(&text).expect("well formed"));
    let post = Method::Other("POST");
    assert_eq!(expectation(&ha1).check(&credentials, post, b"body"), Ok(1));
    assert_eq!(expectation(&ha1).check(&credentials, post, b"BODY"), Err(DigestError::WrongResponse));
}

#[test]
fn each_wrong_thing_has_its_own_cause() {
    let ha1 = mufasa();
    for (from, to, error) in [
        ("Mufasa", "Scar", DigestError::WrongUsername),
        ("testrealm", "test.realm", DigestError::WrongRealm),
        ("nc=00000001", "nc=00000001, algorithm=SHA-256", DigestError::WrongAlgorithm),
        ("nc=00000001", "nc=00000001, algorithm=MD5-sess", DigestError::WrongAlgorithm),
        ("dcd98b", "dcd98c", DigestError::WrongNonce),
        ("qop=auth", "qop=token", DigestError::WrongQop),
        ("cnonce=", "c-nonce=", DigestError::Missing("cnonce")),
        ("nc=", "n-c=", DigestError::Missing("nc")),
        ("nc=00000001", "nc=-0000001", DigestError::Malformed),
        ("nc=00000001", "nc=000000001", DigestError::Malformed),
        ("nc=00000001", "nc=00000002", DigestError::WrongResponse),
        ("6629", "6628", DigestError::WrongResponse),
        ("6629fae49393a05397450978507c4ef1", "", DigestError::WrongResponse),
    ] {
        let text = RFC_2617.replace(from, to);
        let credentials = Credentials::parse(&text).expect("well formed");
        assert_eq!(expectation(&ha1).check(&credentials, GET, b""), Err(error), "{from} -> {to}");
    }
    let credentials = Credentials::parse(RFC_2617).expect("well formed");
    assert_eq!(expectation(&ha1).check(&credentials, REGISTER, b""), Err(DigestError::WrongResponse));
    let used = Expectation { uses_before: 1, ..expectation(&ha1) };
    assert_eq!(used.check(&credentials, GET, b""), Err(DigestError::ReplayedNonce));
}

#[test]
fn what_cannot_be_read_says_why() {
    for (text, error) in [
        ("", DigestError::NotDigest),
        ("Digest", DigestError::NotDigest),
        ("Digestusername=\"a\"", DigestError::NotDigest),
        ("Basic dXNlcg==", DigestError::NotDigest),
        ("Digést a=b", DigestError::NotDigest),
        ("Digest username", DigestError::Malformed),
        ("Digest username=\"a", DigestError::Malformed),
        ("Digest username=\"a\\\"", DigestError::Malformed),
        ("Digest username=\"a\"b", DigestError::Malformed),
        ("Digest username=a\"b", DigestError::Malformed),
        ("Digest user name=a", DigestError::Malformed),
        ("Digest =a", DigestError::Malformed),
        ("Digest username=a, username=a, realm=r, uri=u", DigestError::Repeated("username")),
        ("Digest NC=1, nc=1, username=a, realm=r, uri=u", DigestError::Repeated("nc")),
        ("Digest realm=r, uri=u", DigestError::Missing("username")),
        ("Digest username=a, uri=u", DigestError::Missing("realm")),
        ("Digest username=a, realm=r", DigestError::Missing("uri")),
    ] {
        assert_eq!(Credentials::parse(text), Err(error), "{text}");
    }
}

#[test]
fn quotes_blanks_folds_case_and_empty_elements_do_not_matter() {
    let text = "  dIgEsT\t,, UserName =\"a \\\"quoted\\\", b\" ,\r\n realm= home.test,nonce=,\r\n\turi=sip:home.test;a=b \
                , response = \"\", unknown=1, Integrity-Protected=\"no\" ,";
    let credentials = Credentials::parse(text).expect("well formed");
    assert_eq!(credentials.username, r#"a \"quoted\", b"#);
    assert_eq!(credentials.realm, "home.test");
    assert_eq!(credentials.uri, "sip:home.test;a=b");
    assert_eq!(credentials.integrity_protected, Some("no"));
    assert!(credentials.is_initial() && credentials.response.is_empty());
}

#[test]
fn a_response_with_zero_bytes_in_res_is_right() {
    let challenge = Challenge::new(AKA_REALM, AKA_NONCE, Algorithm::AkaV1Md5);
    let answer = aka_answer(&RES_WITH_ZEROS, None);
    let text = challenge.answer(&answer).expect("qop auth is offered");
    let credentials = Credentials::parse(&text).expect("what we write we can read");
    assert_eq!(credentials.response, AKA_RESPONSE);
    let ha1 = Ha1::compute(Algorithm::AkaV1Md5, AKA_USERNAME, AKA_REALM, &RES_WITH_ZEROS);
    assert!(credentials.is_made_with(Algorithm::AkaV1Md5, &ha1, REGISTER, b""));
    // SIPp 3.6.1 stops at the first zero byte.
    let cut = Ha1::compute(Algorithm::AkaV1Md5, AKA_USERNAME, AKA_REALM, b"");
    assert!(!credentials.is_made_with(Algorithm::AkaV1Md5, &cut, REGISTER, b""));
}

#[test]
fn a_resynchronisation_has_auts_and_an_empty_password() {
    let auts = Auts([7; 14]);
    let challenge = Challenge::new(AKA_REALM, AKA_NONCE, Algorithm::AkaV1Md5);
    let text = challenge.answer(&aka_answer(b"", Some(auts))).expect("qop auth is offered");
    let credentials = Credentials::parse(&text).expect("what we write we can read");
    assert_eq!(credentials.response, AKA_RESPONSE_EMPTY);
    assert_eq!(credentials.resynchronisation(), Ok(Some(auts)));
    let broken = text.replace(&auts.to_parameter(), "????");
    let credentials = Credentials::parse(&broken).expect("well formed");
    assert_eq!(credentials.resynchronisation(), Err(DigestError::Malformed));
}

fn aka_answer<'a>(password: &'a [u8], auts: Option<Auts>) -> Answer<'a> {
    Answer {
        username: AKA_USERNAME,
        password,
        method: REGISTER,
        uri: AKA_URI,
        body: b"",
        cnonce: "abc",
        nonce_count: 1,
        auts,
    }
}

#[test]
fn the_messages_of_rfc_3310_can_be_read() {
    // RFC 3310 §5.1 and §5.2.
    let first = r#"Digest username="jon.dough@mobile.biz", realm="RoamingUsers@mobile.biz", nonce="",
        uri="sip:home.mobile.biz", response="""#;
    assert!(Credentials::parse(first).expect("the RFC's example").is_initial());
    let challenge = r#"Digest realm="RoamingUsers@mobile.biz", nonce="CjPk9mRqNuT25eRkajM09uTl9nM09uTl9nMz5OX25PZz==",
        qop="auth,auth-int", opaque="5ccc069c403ebaf9f0171e9517f40e41", algorithm=AKAv1-MD5"#;
    let challenge = Challenge::parse(challenge).expect("the RFC's example");
    assert_eq!((challenge.algorithm, challenge.qop), (Algorithm::AkaV1Md5, Some("auth,auth-int")));
    let resynchronisation = r#"Digest username="jon.dough@mobile.biz", realm="RoamingUsers@mobile.biz",
        nonce="CjPk9mRqNuT25eRkajM09uTl9nM09uTl9nMz5OX25PZz==", uri="sip:home.mobile.biz", qop=auth-int,
        nc=00000001, cnonce="0a4f113b", response="4429ffe49393c02397450934607c4ef1",
        opaque="5ccc069c403ebaf9f0171e9517f40e41", auts="5PYxMuX2NOT2NeQ=""#;
    let credentials = Credentials::parse(resynchronisation).expect("the RFC's example");
    // The RFC's example decodes to 11 bytes, AUTS has 14.
    assert_eq!(credentials.resynchronisation(), Err(DigestError::Malformed));
}

#[test]
fn a_challenge_is_read_as_it_was_written() {
    let key = |byte| crate::secret::Secret::new([byte; 16]);
    let challenge = Challenge {
        opaque: Some("o"),
        is_stale: true,
        confidentiality_key: Some(key(1)),
        integrity_key: Some(key(0xEE)),
        ..Challenge::new(AKA_REALM, AKA_NONCE, Algorithm::AkaV1Md5)
    };
    let text = challenge.to_value();
    assert_eq!(Challenge::parse(&text), Ok(challenge));
    assert!(!format!("{challenge:?}").contains("eeee") && text.contains("eeee"));
    let device_sees = without_parameters(&text, &["ck", "ik"]);
    let expected = Challenge { confidentiality_key: None, integrity_key: None, ..challenge };
    assert_eq!(Challenge::parse(&device_sees), Ok(expected));
    assert!(!device_sees.contains("ck=") && !device_sees.contains("ik="));
}

#[test]
fn a_challenge_with_an_unknown_algorithm_or_a_broken_key_is_refused() {
    for (text, error) in [
        ("Digest realm=r, nonce=n, algorithm=SHA-512-256", DigestError::WrongAlgorithm),
        ("Digest realm=r, nonce=n, ck=\"00\"", DigestError::Malformed),
        ("Digest realm=r", DigestError::Missing("nonce")),
        ("Digest nonce=n", DigestError::Missing("realm")),
    ] {
        assert_eq!(Challenge::parse(text), Err(error), "{text}");
    }
}

#[test]
fn a_device_takes_the_first_challenge_it_can_answer() {
    let values = [
        "Digest realm=\"r\", nonce=\"1\", algorithm=SHA-512-256, qop=\"auth\"",
        "Digest realm=\"r\", nonce=\"2\", algorithm=AKAv1-MD5, qop=\"auth\"",
        "Digest realm=\"r\", nonce=\"3\", algorithm=SHA-256, qop=\"something\"",
        "Digest realm=\"r\", nonce=\"4\", algorithm=SHA-256, qop=\"auth\"",
        "Digest realm=\"r\", nonce=\"5\", algorithm=MD5, qop=\"auth\"",
    ];
    let nonce =
        |is_usable: fn(Algorithm) -> bool| challenge_for(values, is_usable).map(|challenge| challenge.nonce);
    assert_eq!(nonce(|algorithm| algorithm != Algorithm::AkaV1Md5), Some("4"));
    assert_eq!(nonce(|algorithm| algorithm == Algorithm::AkaV1Md5), Some("2"));
    assert_eq!(nonce(|_| false), None);
}

#[test]
fn a_device_prefers_auth_and_can_do_auth_int_and_nothing() {
    for (offered, chosen) in [
        (Some("auth"), Some("auth")),
        (Some("auth-int, auth"), Some("auth")),
        (Some("other,auth-int"), Some("auth-int")),
        (None, None),
    ] {
        let challenge = Challenge { qop: offered, ..Challenge::new(AKA_REALM, AKA_NONCE, Algorithm::Md5) };
        let text = challenge.answer(&aka_answer(b"password", None)).expect("there is one it can do");
        let credentials = Credentials::parse(&text).expect("what we write we can read");
        assert_eq!(credentials.qop, chosen, "{offered:?}");
        let ha1 = Ha1::compute(Algorithm::Md5, AKA_USERNAME, AKA_REALM, b"password");
        assert!(credentials.is_made_with(Algorithm::Md5, &ha1, REGISTER, b""));
    }
    let other = Challenge { qop: Some("other"), ..Challenge::new(AKA_REALM, AKA_NONCE, Algorithm::Md5) };
    assert_eq!(other.answer(&aka_answer(b"", None)), Err(DigestError::WrongQop));
}

#[test]
fn the_server_proves_that_it_knows_the_secret() {
    let (ha1, credentials) = (mufasa(), Credentials::parse(RFC_2617).expect("well formed"));
    let info = authentication_info(&credentials, Algorithm::Md5, &ha1, b"", Some("next")).expect("complete");
    assert_eq!(
        info,
        format!(r#"rspauth="{RSPAUTH}", qop=auth, cnonce="0a4f113b", nc=00000001, nextnonce="next""#)
    );
    let is_genuine =
        |info: &str| is_authentication_info_genuine(info, &credentials, Algorithm::Md5, &ha1, b"");
    assert!(is_genuine(&info));
    assert!(!is_genuine(&info.replace("rspauth=\"", "rspauth=\"0")));
    assert!(!is_genuine(&info.replace("qop=auth", "qop=auth-int")));
    assert!(!is_genuine(""));
}

#[test]
fn the_first_register_names_the_user_and_answers_nothing() {
    let text = initial_credentials("a@home.test", "home.test", "sip:home.test");
    assert_eq!(
        text,
        r#"Digest username="a@home.test", realm="home.test", nonce="", uri="sip:home.test", response="""#
    );
    assert!(Credentials::parse(&text).expect("well formed").is_initial());
}

#[test]
fn a_mark_replaces_what_a_device_pretended() {
    let from_device = r#"Digest username="a", Integrity-Protected = "yes",  realm=r,uri=u"#;
    let marked = with_parameter(from_device, "integrity-protected", "no");
    assert_eq!(marked, r#"Digest username="a", realm=r, uri=u, integrity-protected="no""#);
    for unreadable in ["Basic abc", "Digest a=\"b"] {
        assert_eq!(with_parameter(unreadable, "integrity-protected", "no"), unreadable);
        assert_eq!(without_parameters(unreadable, &["a"]), unreadable);
    }
    // A form feed is no blank, wherever it stands (found by fuzzing).
    let once = without_parameters("Digest a=\x0C, ", &["b"]);
    assert_eq!(once, "Digest a=\x0C");
    assert_eq!(without_parameters(&once, &["b"]), once);
    assert_eq!(without_parameters("Digest a= \r\n ,b=c", &["b"]), "Digest a=");
}

#[test]
fn nothing_prints_a_secret_or_an_identity() {
    let credentials = Credentials::parse(RFC_2617).expect("well formed");
    let printed = format!("{credentials:?} {:?}", mufasa());
    for secret in ["Mufasa", "6629", "939e"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in "(Digest )?[ -~\u{e9}\r\n\t\"\\\\,=]{0,200}") {
        let _ = Credentials::parse(&text);
        let _ = Challenge::parse(&text);
        with_parameter(&text, "a", "b");
    }

    #[test]
    fn whatever_a_user_is_called_the_server_reads_what_the_device_wrote(
        username in "[^\\p{Cc}]{0,20}", password in proptest::collection::vec(any::<u8>(), 0..20),
        realm in "[^\\p{Cc}]{0,20}", cnonce in "[ -~]{0,20}", count in 1u32.., is_sha in any::<bool>(),
    ) {
        let algorithm = if is_sha { Algorithm::Sha256 } else { Algorithm::Md5 };
        let header = Challenge::new(&realm, "n", algorithm).to_value();
        let challenge = Challenge::parse(&header).expect("what we write we can read");
        // What stands between the quotes is what is hashed: the device starts from that.
        let mut quoted = String::new();
        parameters::push_quoted(&mut quoted, "u", &username);
        let username = &quoted[3..quoted.len() - 1];
        let mut quoted = String::new();
        parameters::push_quoted(&mut quoted, "c", &cnonce);
        let cnonce = &quoted[3..quoted.len() - 1];
        let answer = Answer {
            username, password: &password, method: REGISTER, uri: "sip:h", body: b"", cnonce, nonce_count: count,
            auts: None,
        };
        let text = challenge.answer(&answer).expect("auth is offered");
        let credentials = Credentials::parse(&text).expect("what we write we can read");
        let ha1 = Ha1::compute(algorithm, credentials.username, challenge.realm, &password);
        let expectation = Expectation {
            username, realm: challenge.realm, nonce: "n", uses_before: count - 1, algorithm, ha1: &ha1,
        };
        prop_assert_eq!(expectation.check(&credentials, REGISTER, b""), Ok(count));
        let late = Expectation { uses_before: count, ..expectation };
        prop_assert_eq!(late.check(&credentials, REGISTER, b""), Err(DigestError::ReplayedNonce));
    }
}
