//! Records with one value wrong, and the finding that each must lead to.

use super::*;
use crate::aka::{Amf, Auts, RandAutn};
use crate::digest::{Answer, Challenge, DigestError, initial_credentials};

const IDENTITY: &str = "001010000000001@home.test";
const REALM: &str = "home.test";
const URI: &str = "sip:home.test";
const RAND: [u8; 16] = [9; 16];

const KEY: Key = Key::new([1; 16]);
const OP: Op = Op(Secret::new([2; 16]));
const OTHER: Secret<16> = Secret::new([3; 16]);

fn opc() -> Opc {
    Opc::derive(&KEY, &OP)
}

fn sqn(seq: u64) -> Sqn {
    Sqn::from_parts(seq, 0).expect("a small number")
}

/// The secrets of the SIM in every test; what varies is the record.
fn sim() -> Secrets {
    Secrets { key: KEY, opc: opc() }
}

fn record(key: Key, variant: Variant) -> Record<'static> {
    let secret = RecordSecret::Aka { key, variant, network_sqn: None };
    Record { private_identity: IDENTITY, realm: REALM, secret }
}

/// What the network asks when it has this record.
fn challenge_of(record: &Record<'_>, seq: u64, rand: [u8; 16]) -> RandAutn {
    let RecordSecret::Aka { key, variant, .. } = &record.secret else { panic!("an AKA record") };
    let secrets = Secrets { key: *key, opc: variant.opc(key) };
    secrets.generate(Amf([0x80, 0]), sqn(seq), rand).challenge
}

fn answer(challenge: RandAutn, password: &[u8], auts: Option<Auts>) -> String {
    let nonce = challenge.to_nonce();
    let answer = Answer {
        username: IDENTITY,
        password,
        method: Method::Register,
        uri: URI,
        body: b"",
        cnonce: "c",
        nonce_count: 1,
        auts,
    };
    Challenge::new(REALM, &nonce, Algorithm::AkaV1Md5).answer(&answer).expect("qop auth is offered")
}

/// The SIM answers without looking at AUTN.
fn careless_answer(record: &Record<'_>) -> String {
    answer(challenge_of(record, 5, RAND), sim().respond(&RAND).response.reveal(), None)
}

/// The SIM refuses MAC, and the device sends an empty response (RFC 3310 §3.5 leaves it no better way).
fn refusal(record: &Record<'_>) -> String {
    let nonce = challenge_of(record, 5, RAND).to_nonce();
    format!(
        r#"Digest username="{IDENTITY}", realm="{REALM}", nonce="{nonce}", uri="{URI}", response="", algorithm=AKAv1-MD5"#
    )
}

/// The SIM asks to resynchronise, whatever the MAC.
fn resynchronisation(record: &Record<'_>, challenge_seq: u64, device_seq: u64) -> String {
    let auts = sim().resynchronise(&RAND, sqn(device_seq));
    answer(challenge_of(record, challenge_seq, RAND), b"", Some(auts))
}

fn found(text: &str, record: &Record<'_>, known: &Known<'_>) -> Vec<Finding> {
    let credentials = Credentials::parse(text).expect("what a device sends");
    let findings = diagnose(&credentials, Method::Register, b"", record, known);
    for finding in &findings {
        check_words(finding);
    }
    findings
}

fn check_words(finding: &Finding) {
    let text = finding.to_string();
    assert!(!text.is_empty() && !finding.code().contains(' '));
    for secret in [IDENTITY, "01010101", "02020202", "03030303", "1, 1, 1"] {
        assert!(!text.contains(secret) && !format!("{finding:?}").contains(secret), "{text}");
    }
}

const NOTHING_KNOWN: Known<'static> = Known { key: None, variant: None, password: None };

fn known_opc() -> Known<'static> {
    Known { key: Some(KEY), variant: Some(Variant::Opc(opc())), password: None }
}

fn known_op() -> Known<'static> {
    Known { key: Some(KEY), variant: Some(Variant::Op(OP)), password: None }
}

/// A record and what is wrong with it, as far as a careless device lets out.
fn mix_ups() -> Vec<(Record<'static>, Vec<Finding>)> {
    vec![
        (record(KEY, Variant::Opc(Opc(OP.0))), vec![Finding::OpGivenAsOpc]),
        (record(KEY, Variant::Op(Op(opc().0))), vec![Finding::OpcGivenAsOp]),
        (record(opc().0, Variant::Opc(Opc(KEY))), vec![Finding::KeyAndOpcExchanged]),
        (record(OP.0, Variant::Op(Op(KEY))), vec![Finding::KeyAndOpcExchanged]),
        (record(OP.0, Variant::Opc(Opc(KEY))), vec![Finding::KeyAndOpcExchanged, Finding::OpGivenAsOpc]),
        (record(opc().0, Variant::Op(Op(KEY))), vec![Finding::KeyAndOpcExchanged, Finding::OpcGivenAsOp]),
    ]
}

/// A record that no guess explains, and what is wrong with it.
fn wrong_values() -> Vec<(Record<'static>, Vec<Finding>)> {
    vec![
        (record(OTHER, Variant::Opc(opc())), vec![Finding::WrongKey]),
        (record(OTHER, Variant::Op(OP)), vec![Finding::WrongKey]),
        (record(KEY, Variant::Opc(Opc(OTHER))), vec![Finding::WrongOpc]),
        (record(KEY, Variant::Op(Op(OTHER))), vec![Finding::WrongOpc]),
        (record(OTHER, Variant::Opc(Opc(OTHER))), vec![Finding::WrongKey, Finding::WrongOpc]),
    ]
}

#[test]
fn a_right_record_fits() {
    for variant in [Variant::Opc(opc()), Variant::Op(OP)] {
        let record = record(KEY, variant);
        assert_eq!(found(&careless_answer(&record), &record, &NOTHING_KNOWN), [Finding::SecretFits]);
        assert_eq!(found(&careless_answer(&record), &record, &known_op()), [Finding::SecretFits]);
    }
}

#[test]
fn a_mix_up_is_seen_in_the_response_and_in_auts() {
    for (record, expected) in mix_ups() {
        assert_eq!(found(&careless_answer(&record), &record, &NOTHING_KNOWN), expected);
        assert_eq!(found(&resynchronisation(&record, 5, 9), &record, &NOTHING_KNOWN), expected);
    }
}

#[test]
fn a_mix_up_that_the_device_refuses_is_seen_with_the_sims_values() {
    for (record, expected) in mix_ups() {
        let refused = [Finding::WrongKeyOrOpc { is_refused: true }];
        assert_eq!(found(&refusal(&record), &record, &NOTHING_KNOWN), refused);
        for known in [known_op(), known_opc()] {
            assert_eq!(found(&refusal(&record), &record, &known), expected);
        }
    }
}

#[test]
fn a_wrong_key_and_a_wrong_opc_cannot_be_told_apart_from_outside() {
    for (record, _) in wrong_values() {
        let open = [Finding::WrongKeyOrOpc { is_refused: false }];
        assert_eq!(found(&careless_answer(&record), &record, &NOTHING_KNOWN), open);
        assert_eq!(found(&resynchronisation(&record, 5, 9), &record, &NOTHING_KNOWN), open);
        let refused = [Finding::WrongKeyOrOpc { is_refused: true }];
        assert_eq!(found(&refusal(&record), &record, &NOTHING_KNOWN), refused);
    }
}

#[test]
fn with_the_sims_values_the_wrong_one_is_named() {
    for (record, expected) in wrong_values() {
        for known in [known_op(), known_opc()] {
            for text in [careless_answer(&record), resynchronisation(&record, 5, 9), refusal(&record)] {
                assert_eq!(found(&text, &record, &known), expected);
            }
        }
    }
}

#[test]
fn one_of_the_sims_values_names_the_wrong_one_by_elimination() {
    let only_key = Known { key: Some(KEY), ..NOTHING_KNOWN };
    let only_opc = Known { variant: Some(Variant::Opc(opc())), ..NOTHING_KNOWN };
    let (wrong_key, wrong_opc) = (record(OTHER, Variant::Opc(opc())), record(KEY, Variant::Opc(Opc(OTHER))));
    for text in [careless_answer, refusal] {
        assert_eq!(found(&text(&wrong_key), &wrong_key, &only_key), [Finding::WrongKey]);
        assert_eq!(found(&text(&wrong_key), &wrong_key, &only_opc), [Finding::WrongKey]);
        assert_eq!(found(&text(&wrong_opc), &wrong_opc, &only_key), [Finding::WrongOpc]);
        assert_eq!(found(&text(&wrong_opc), &wrong_opc, &only_opc), [Finding::WrongOpc]);
    }
}

#[test]
fn one_of_the_sims_values_in_the_wrong_place_is_seen_though_the_device_refused() {
    let only = |variant| Known { variant: Some(variant), ..NOTHING_KNOWN };
    let op_as_opc = record(KEY, Variant::Opc(Opc(OP.0)));
    let opc_as_op = record(KEY, Variant::Op(Op(opc().0)));
    let exchanged = record(opc().0, Variant::Opc(Opc(KEY)));
    let only_key = Known { key: Some(KEY), ..NOTHING_KNOWN };
    for (record, known, expected) in [
        (op_as_opc, only(Variant::Op(OP)), Finding::OpGivenAsOpc),
        (opc_as_op, only(Variant::Opc(opc())), Finding::OpcGivenAsOp),
        (exchanged, only(Variant::Opc(opc())), Finding::KeyAndOpcExchanged),
        (exchanged, only_key, Finding::KeyAndOpcExchanged),
    ] {
        assert_eq!(found(&refusal(&record), &record, &known), [expected]);
    }
}

#[test]
fn sim_values_that_belong_to_another_sim_are_noticed() {
    let record = record(OTHER, Variant::Opc(opc()));
    let another = Known { key: Some(OTHER), variant: Some(Variant::Opc(Opc(OTHER))), password: None };
    let expected = [Finding::WrongOpc, Finding::SimValuesDoNotFit];
    assert_eq!(found(&careless_answer(&record), &record, &another), expected);
}

#[test]
fn a_refusal_in_spite_of_the_right_values_has_another_reason() {
    let record = record(KEY, Variant::Opc(opc()));
    assert_eq!(found(&refusal(&record), &record, &known_op()), [Finding::RefusedForAnotherReason]);
}

#[test]
fn an_sqn_behind_is_named_with_both_numbers() {
    let record = record(KEY, Variant::Opc(opc()));
    let behind = |is_repaired| Finding::SqnBehind { device: sqn(9), challenge: Some(sqn(5)), is_repaired };
    assert_eq!(found(&resynchronisation(&record, 5, 9), &record, &NOTHING_KNOWN), [behind(false)]);
    assert!(behind(false).to_string().contains("(SIM 0x000000000120, challenge 0x0000000000a0)"));
    for (network, is_repaired) in [(9, false), (10, true)] {
        let secret =
            RecordSecret::Aka { key: KEY, variant: Variant::Opc(opc()), network_sqn: Some(sqn(network)) };
        let later = Record { secret, ..record };
        assert_eq!(found(&resynchronisation(&record, 5, 9), &later, &NOTHING_KNOWN), [behind(is_repaired)]);
    }
}

#[test]
fn an_sqn_that_nothing_can_follow_is_told_from_one_behind() {
    let record = record(KEY, Variant::Opc(opc()));
    let last = (1 << 43) - 1;
    let exhausted = Finding::SqnExhausted { device: Some(sqn(last)) };
    assert_eq!(found(&resynchronisation(&record, 5, last), &record, &NOTHING_KNOWN), [exhausted]);
    assert!(exhausted.is_fault() && exhausted.to_string().contains("replace the SIM"));
    // One less leaves one more.
    let behind = Finding::SqnBehind { device: sqn(last - 1), challenge: Some(sqn(5)), is_repaired: false };
    assert_eq!(found(&resynchronisation(&record, 5, last - 1), &record, &NOTHING_KNOWN), [behind]);
}

#[test]
fn an_sqn_too_far_ahead_is_told_from_one_behind() {
    let record = record(KEY, Variant::Opc(opc()));
    let far = 10 + (1 << 28);
    let too_far = Finding::SqnTooFarAhead { device: sqn(9), challenge: sqn(far) };
    assert_eq!(found(&resynchronisation(&record, far, 9), &record, &NOTHING_KNOWN), [too_far]);
    // One less would have been accepted, but for another IND; whatever it was, the device's number is known.
    let behind = Finding::SqnBehind { device: sqn(9), challenge: Some(sqn(far - 1)), is_repaired: false };
    assert_eq!(found(&resynchronisation(&record, far - 1, 9), &record, &NOTHING_KNOWN), [behind]);
}

#[test]
fn a_res_cut_at_a_zero_byte_is_the_devices_fault() {
    let record = record(KEY, Variant::Opc(opc()));
    let has_zero_inside = |rand: &[u8; 16]| sim().respond(rand).response.reveal()[1..].contains(&0);
    let rand = (0..=255).map(|byte| [byte; 16]).find(has_zero_inside).expect("3 % of all have one");
    let response = *sim().respond(&rand).response.reveal();
    let cut = response.split(|byte| *byte == 0).next().expect("there is a first part");
    let text = answer(challenge_of(&record, 5, rand), cut, None);
    assert_eq!(found(&text, &record, &NOTHING_KNOWN), [Finding::ResponseCutAtZeroByte]);
    let text = answer(challenge_of(&record, 5, rand), &response, None);
    assert_eq!(found(&text, &record, &NOTHING_KNOWN), [Finding::SecretFits]);
}

#[test]
fn a_wrong_identity_or_realm_is_named_and_the_secret_judged_all_the_same() {
    let right = record(KEY, Variant::Opc(opc()));
    let other_names = Record { private_identity: "b@home.test", realm: "other.test", ..right };
    let expected = [Finding::WrongIdentity, Finding::WrongRealm, Finding::SecretFits];
    assert_eq!(found(&careless_answer(&right), &other_names, &NOTHING_KNOWN), expected);
}

#[test]
fn a_challenge_that_the_record_did_not_make_is_pointed_out() {
    let (old, now) = (record(OTHER, Variant::Opc(opc())), record(KEY, Variant::Opc(opc())));
    assert_eq!(found(&refusal(&old), &now, &NOTHING_KNOWN), [Finding::ChallengeNotFromRecord]);
    let expected = [Finding::ChallengeNotFromRecord, Finding::SecretFits];
    assert_eq!(found(&careless_answer(&old), &now, &NOTHING_KNOWN), expected);
    // The repaired record is compared with the SIM's values without a fault being invented.
    assert_eq!(found(&refusal(&old), &now, &known_op()), [Finding::ChallengeNotFromRecord]);
}

#[test]
fn evidence_of_another_kind_is_called_so() {
    let record = record(KEY, Variant::Opc(opc()));
    let not_aka = careless_answer(&record).replace(&challenge_of(&record, 5, RAND).to_nonce(), "abc");
    assert_eq!(found(&not_aka, &record, &NOTHING_KNOWN), [Finding::NotAnAkaChallenge]);
    let md5 = careless_answer(&record).replace("AKAv1-MD5", "MD5");
    assert_eq!(found(&md5, &record, &NOTHING_KNOWN), [Finding::WrongAlgorithm]);
    let broken = resynchronisation(&record, 5, 9).replace("auts=\"", "auts=\"?");
    assert_eq!(found(&broken, &record, &NOTHING_KNOWN), [Finding::Unreadable(DigestError::Malformed)]);
    let initial = initial_credentials(IDENTITY, REALM, URI);
    assert_eq!(found(&initial, &record, &known_op()), [Finding::NothingToCheck]);
    let wrong = self::record(OTHER, Variant::Opc(opc()));
    assert_eq!(found(&initial, &wrong, &known_op()), [Finding::WrongKey, Finding::NothingToCheck]);
}

fn digest_answer(password: &[u8]) -> String {
    let answer = Answer {
        username: IDENTITY,
        password,
        method: Method::Register,
        uri: URI,
        body: b"",
        cnonce: "c",
        nonce_count: 1,
        auts: None,
    };
    Challenge::new(REALM, "nonce", Algorithm::Md5).answer(&answer).expect("qop auth is offered")
}

#[test]
fn a_wrong_password_is_named_and_with_the_password_whose_it_is() {
    let ha1 = Ha1::compute(Algorithm::Md5, IDENTITY, REALM, b"right");
    let secret = RecordSecret::Digest { algorithm: Algorithm::Md5, ha1: &ha1 };
    let record = Record { private_identity: IDENTITY, realm: REALM, secret };
    let with = |password| Known { password: Some(password), ..NOTHING_KNOWN };
    for (sent, known, expected) in [
        (&b"right"[..], NOTHING_KNOWN, &[Finding::SecretFits][..]),
        (b"wrong", NOTHING_KNOWN, &[Finding::WrongPassword]),
        (b"wrong", with(b"right"), &[Finding::WrongPasswordInDevice]),
        (b"wrong", with(b"wrong"), &[Finding::WrongPasswordInRecord]),
        (b"wrong", with(b"third"), &[Finding::WrongPasswordInRecord, Finding::WrongPasswordInDevice]),
    ] {
        assert_eq!(found(&digest_answer(sent), &record, &known), expected);
    }
    let sha = digest_answer(b"right").replace("algorithm=MD5", "algorithm=SHA-256");
    assert_eq!(found(&sha, &record, &NOTHING_KNOWN), [Finding::WrongAlgorithm]);
    let initial = initial_credentials(IDENTITY, REALM, URI);
    assert_eq!(found(&initial, &record, &NOTHING_KNOWN), [Finding::NothingToCheck]);
    let expected = [Finding::WrongPasswordInRecord, Finding::NothingToCheck];
    assert_eq!(found(&initial, &record, &with(b"wrong")), expected);
}

#[test]
fn with_a_wrong_realm_the_password_is_known_only_if_it_is_given() {
    let ha1 = Ha1::compute(Algorithm::Md5, IDENTITY, "other.test", b"right");
    let secret = RecordSecret::Digest { algorithm: Algorithm::Md5, ha1: &ha1 };
    let record = Record { private_identity: IDENTITY, realm: "other.test", secret };
    let expected = [Finding::WrongRealm, Finding::PasswordUnknown];
    assert_eq!(found(&digest_answer(b"right"), &record, &NOTHING_KNOWN), expected);
    let known = Known { password: Some(b"right"), ..NOTHING_KNOWN };
    let expected = [Finding::WrongRealm, Finding::SecretFits];
    assert_eq!(found(&digest_answer(b"right"), &record, &known), expected);
}

#[test]
fn of_several_authorization_fields_the_answering_one_counts() {
    let record = record(KEY, Variant::Opc(opc()));
    let register = |fields: &[&str]| {
        let fields: String = fields.iter().map(|field| format!("Authorization: {field}\r\n")).collect();
        let text = format!(
            "REGISTER sip:home.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:a@home.test>;tag=1\r\nTo: <sip:a@home.test>\r\nCall-ID: 1\r\nCSeq: 2 REGISTER\r\n\
             Max-Forwards: 70\r\n{fields}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into()).expect("a REGISTER")
    };
    let found = |fields: &[&str]| diagnose_register(&register(fields), &record, &NOTHING_KNOWN);
    let (initial, answer) = (initial_credentials(IDENTITY, REALM, URI), careless_answer(&record));
    assert_eq!(found(&[&initial, "Basic abc", &answer]), [Finding::SecretFits]);
    assert_eq!(found(&[&initial]), [Finding::NothingToCheck]);
    assert_eq!(found(&["Basic abc"]), [Finding::Unreadable(DigestError::NotDigest)]);
    assert_eq!(found(&[]), [Finding::NothingToCheck]);
}
