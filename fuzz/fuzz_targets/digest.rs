//! An Authorization, WWW-Authenticate or Authentication-Info value: read, checked, answered, edited, diagnosed. Nothing
//! panics; what we write of it we read again; an edit takes out what it is to take out and leaves the rest as it means.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::Method;
use sip::aka::{Key, Op};
use sip::diagnosis::{self, Known, Record, RecordSecret, Variant};
use sip::digest::{
    self, Algorithm, Answer, Challenge, Credentials, Expectation, Ha1, with_parameter, without_parameters,
};

fuzz_target!(|data: &[u8]| {
    let Ok(value) = std::str::from_utf8(data) else { return };
    edit(value);
    if let Ok(credentials) = Credentials::parse(value) {
        check(value, &credentials);
        diagnose(&credentials);
    }
    if let Ok(challenge) = Challenge::parse(value) {
        answer(&challenge);
    }
});

fn check(value: &str, credentials: &Credentials<'_>) {
    let ha1 = Ha1::compute(Algorithm::Md5, credentials.username, credentials.realm, b"password");
    let expectation = Expectation {
        username: credentials.username,
        realm: credentials.realm,
        nonce: credentials.nonce,
        uses_before: 0,
        algorithm: Algorithm::Md5,
        ha1: &ha1,
    };
    let _ = (expectation.check(credentials, Method::Register, b"body"), credentials.resynchronisation());
    if let Ok(info) = digest::authentication_info(credentials, Algorithm::Sha256, &ha1, b"", Some("next")) {
        // A quoted value that was written without quotes is escaped on its way out.
        assert!(digest::is_authentication_info_genuine(&info, credentials, Algorithm::Sha256, &ha1, b""));
    }
    let _ = digest::is_authentication_info_genuine(value, credentials, Algorithm::Md5, &ha1, b"");
}

fn diagnose(credentials: &Credentials<'_>) {
    let (key, op) = (Key::new([1; 16]), Op(Key::new([2; 16])));
    let ha1 = Ha1::compute(Algorithm::Md5, "a", "b", b"password");
    for secret in [
        RecordSecret::Aka { key, variant: Variant::Op(op), network_sqn: None },
        RecordSecret::Digest { algorithm: Algorithm::Md5, ha1: &ha1 },
    ] {
        let record = Record { private_identity: "a", realm: "b", secret };
        let known = Known { key: Some(key), variant: None, password: Some(b"password") };
        let findings = diagnosis::diagnose(credentials, Method::Register, b"", &record, &known);
        assert!(!findings.is_empty());
    }
}

fn answer(challenge: &Challenge<'_>) {
    let written = challenge.to_value();
    let again = Challenge::parse(&written).expect("what we write is a challenge");
    assert_eq!(again.algorithm, challenge.algorithm);
    assert_eq!(
        (again.integrity_key, again.confidentiality_key),
        (challenge.integrity_key, challenge.confidentiality_key)
    );
    let answer = Answer {
        username: "user",
        password: &[0, 1, 0],
        method: Method::Register,
        uri: "sip:home.test",
        body: b"",
        cnonce: "c",
        nonce_count: 1,
        auts: None,
    };
    let Ok(text) = again.answer(&answer) else { return };
    let credentials = Credentials::parse(&text).expect("what we write is credentials");
    let ha1 = Ha1::compute(again.algorithm, "user", again.realm, &[0, 1, 0]);
    assert!(credentials.is_made_with(again.algorithm, &ha1, Method::Register, b""));
}

fn edit(value: &str) {
    let without = without_parameters(value, &["ck", "ik"]);
    assert_eq!(without, without_parameters(&without, &["ck", "ik"]));
    let marked = with_parameter(value, "integrity-protected", "no");
    if let Ok(credentials) = Credentials::parse(value) {
        let after = Credentials::parse(&marked).expect("an edit leaves credentials readable");
        assert_eq!(after, Credentials { integrity_protected: Some("no"), ..credentials });
    }
}
