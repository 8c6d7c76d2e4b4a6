//! `subscriber.check` names the wrong value, and never a secret.

mod common;

use common::*;
use diameter::cx::AuthenticationVector;
use serde_json::{Value, json};
use sip::aka::{Auts, Op, Opc, RandAutn, Refusal, Secrets, Sqn, SqnHistory};
use sip::digest::{Algorithm, Answer, Challenge};
use sip::message::Method;
use sip::secret::Secret;

const ALICE: &str = "alice@ims.example";
const ALICE_SIP: &str = "sip:alice@ims.example";
const OTHER_KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn key(text: &str) -> Secret<16> {
    Secret::from_hex(text).unwrap()
}

/// What a device sends that answers `nonce` with `password`.
fn authorization(username: &str, realm: &str, nonce: &str, algorithm: Algorithm, password: &[u8]) -> String {
    let answer = Answer {
        username,
        password,
        method: Method::Register,
        uri: "sip:ims.example",
        body: b"",
        cnonce: "abc",
        nonce_count: 1,
        auts: None,
    };
    Challenge::new(realm, nonce, algorithm).answer(&answer).unwrap()
}

/// The nonce of a fresh AKA challenge.
fn challenge(world: &mut World) -> RandAutn {
    match world.mar(ALICE, ALICE_SIP, SERVER, "Digest-AKAv1-MD5").vector {
        Some(AuthenticationVector::Aka { rand_autn, .. }) => RandAutn::from_bytes(&rand_autn),
        other => panic!("{other:?}"),
    }
}

/// What a SIM with `sim` sends that accepts whatever comes.
fn aka_authorization(world: &mut World, sim: Secrets) -> String {
    let challenge = challenge(world);
    let response = sim.respond(&challenge.rand).response;
    authorization(ALICE, "ims.example", &challenge.to_nonce(), Algorithm::AkaV1Md5, response.reveal())
}

#[track_caller]
fn codes(world: &mut World, request: Value) -> Vec<String> {
    let result = world.command("subscriber.check", request).unwrap();
    let text = result.to_string().to_ascii_lowercase();
    for secret in [K, OPC, OTHER_KEY, "hunter2"] {
        assert!(!text.contains(secret), "{text}");
    }
    let findings = result["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_wrong_password_and_a_wrong_realm_are_told_apart() {
    let mut world = World::with_subscribers();
    let mut check = |realm, algorithm, password: &str, expected: &[&str]| {
        let value = authorization("bob@ims.example", realm, "n", algorithm, password.as_bytes());
        assert_eq!(codes(&mut world, json!({"authorization": value})), expected, "{realm} {password}");
    };
    check("ims.example", Algorithm::Md5, "secret", &["secret-fits"]);
    check("ims.example", Algorithm::Sha256, "secret", &["secret-fits"]);
    check("ims.example", Algorithm::Md5, "hunter2", &["wrong-password"]);
    check("other.example", Algorithm::Md5, "secret", &["wrong-realm", "password-unknown"]);
}

#[test]
fn a_wrong_key_is_told_from_a_wrong_opc_once_the_sim_is_known() {
    let mut world = World::with_subscribers();
    let wrong_key = Secrets { key: key(OTHER_KEY), opc: Opc(key(OPC)) };
    let wrong_opc = Secrets { key: key(K), opc: Opc(key(OTHER_KEY)) };
    let mut check = |sim, values: Value, expected: &[&str]| {
        let value = aka_authorization(&mut world, sim);
        assert_eq!(codes(&mut world, json!({"authorization": value, "sim": values})), expected);
    };
    check(secrets(), json!({}), &["secret-fits"]);
    check(wrong_key, json!({}), &["wrong-key-or-opc"]);
    check(wrong_key, json!({"k": OTHER_KEY, "opc": OPC}), &["wrong-key"]);
    check(wrong_opc, json!({}), &["wrong-key-or-opc"]);
    check(wrong_opc, json!({"k": K, "opc": OTHER_KEY}), &["wrong-opc"]);
}

#[test]
fn values_in_each_other_s_place_are_recognised() {
    let check = |aka: Value, sim, expected: &[&str]| {
        let mut world = World::default();
        let mut record = alice();
        record["aka"] = aka;
        world.command("subscriber.put", json!([record])).unwrap();
        let value = aka_authorization(&mut world, sim);
        assert_eq!(codes(&mut world, json!({"authorization": value})), expected);
    };
    let op = Op(key(OTHER_KEY));
    let derived = Secrets { key: key(K), opc: Opc::derive(&key(K), &op) };
    check(json!({"k": K, "opc": OTHER_KEY}), derived, &["op-given-as-opc"]);
    check(json!({"k": K, "op": OPC}), secrets(), &["opc-given-as-op"]);
    check(json!({"k": OPC, "opc": K}), secrets(), &["key-and-opc-exchanged"]);
}

/// What Alice's device answers when the challenge's SQN is not what it expects.
fn resynchronisation(challenge: &RandAutn, auts: Auts) -> String {
    let answer = Answer {
        username: ALICE,
        password: b"",
        method: Method::Register,
        uri: "sip:ims.example",
        body: b"",
        cnonce: "abc",
        nonce_count: 1,
        auts: Some(auts),
    };
    let nonce = challenge.to_nonce();
    Challenge::new("ims.example", &nonce, Algorithm::AkaV1Md5).answer(&answer).unwrap()
}

/// Her S-CSCF hands it to the HSS.
fn resynchronise(world: &mut World, challenge: &RandAutn, auts: Auts) {
    let mut rand_auts = [0; 30];
    rand_auts[..16].copy_from_slice(&challenge.rand);
    rand_auts[16..].copy_from_slice(&auts.0);
    world.mar_with(ALICE, ALICE_SIP, SERVER, "Unknown", Some(rand_auts));
}

#[test]
fn an_sqn_that_is_behind_is_named_and_its_repair_too() {
    let mut world = World::with_subscribers();
    let challenge = challenge(&mut world);
    let ahead = Sqn::from_parts(900, 1).unwrap();
    let refusal = secrets().verify(&challenge, &mut SqnHistory::starting_at(ahead));
    let Err(Refusal::SyncFailure(auts)) = refusal else { panic!() };
    let value = resynchronisation(&challenge, auts);
    assert_eq!(codes(&mut world, json!({"authorization": value})), ["sqn-behind"]);
    resynchronise(&mut world, &challenge, auts);
    assert_eq!(codes(&mut world, json!({"authorization": value})), ["sqn-was-behind"]);
}

#[test]
fn identities_are_looked_at_first() {
    let mut world = World::with_subscribers();
    let mut check = |username: &str, to: &str, expected: &[&str]| {
        let value = authorization(username, "ims.example", "n", Algorithm::Md5, b"secret");
        // As pasted from a terminal: no carriage returns, no blank line at the end.
        let register = format!(
            "\nREGISTER sip:ims.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\nMax-Forwards: 70\n\
             From: <{to}>;tag=1\nTo: <{to}>\nCall-ID: 1\nCSeq: 2 REGISTER\nContact: <sip:b@192.0.2.1>\n\
             Authorization: {value}\nContent-Length: 0\n"
        );
        assert_eq!(codes(&mut world, json!({"register": register})), expected, "{username} {to}");
    };
    check("bob@ims.example", "sip:bob@ims.example", &["secret-fits"]);
    check("bob@ims.example", "sip:nobody@ims.example", &["unknown-public-identity", "secret-fits"]);
    check("bob@ims.example", ALICE_SIP, &["identities-dont-match", "secret-fits"]);
    check("nobody", "sip:nobody@ims.example", &["unknown-public-identity", "unknown-subscriber"]);
    check("rob@ims.example", "sip:bob@ims.example", &["wrong-identity", "password-unknown"]);
}

#[test]
fn a_register_without_authorization_shows_a_wrong_identity_or_domain() {
    let mut world = World::with_subscribers();
    let mut check = |domain: &str, to: &str, asked: Option<&str>, expected: &[&str]| {
        let register = format!(
            "REGISTER sip:{domain} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\nMax-Forwards: 70\n\
             From: <{to}>;tag=1\nTo: <{to}>\nCall-ID: 1\nCSeq: 1 REGISTER\nContact: <sip:b@192.0.2.1>\nContent-Length: 0\n"
        );
        let request = json!({"register": register, "privateIdentity": asked});
        assert_eq!(codes(&mut world, request), expected, "{domain} {to}");
    };
    let bob = "sip:bob@ims.example";
    check("ims.example", bob, None, &["nothing-to-check"]);
    check("IMS.example", bob, Some("bob@ims.example"), &["nothing-to-check"]);
    check("192.0.2.9:5060", bob, None, &["nothing-to-check"]);
    check("ims.example", "sip:nobody@ims.example", None, &["unknown-public-identity"]);
    check("old.example", bob, None, &["wrong-realm"]);
    check("old.example", "sip:bob@old.example", None, &["wrong-realm", "unknown-public-identity"]);
    check("ims.example", bob, Some(ALICE), &["identities-dont-match"]);
    // It names nobody, and nobody's name can be made of it; the HSS knows whose it is all the same.
    check("ims.example", "tel:+4930", None, &["nothing-to-check"]);
}

#[test]
fn an_sqn_at_the_end_of_its_range_is_named_and_no_further_attempt_advised() {
    let mut world = World::with_subscribers();
    let challenge = challenge(&mut world);
    let last = Sqn::from_parts((1 << 43) - 1, 1).unwrap();
    let auts = secrets().resynchronise(&challenge.rand, last);
    let value = resynchronisation(&challenge, auts);
    assert_eq!(codes(&mut world, json!({"authorization": value})), ["sqn-exhausted"]);
    // The network takes it over, and from then on there is no challenge for this subscriber.
    resynchronise(&mut world, &challenge, auts);
    assert_eq!(codes(&mut world, json!({"authorization": value})), ["sqn-exhausted"]);
    let first = "Digest username=\"alice@ims.example\", realm=\"ims.example\", nonce=\"\", uri=\"sip:ims.example\", response=\"\"";
    assert_eq!(codes(&mut world, json!({"authorization": first})), ["sqn-exhausted", "nothing-to-check"]);
}

#[test]
fn a_capture_that_shows_nothing_is_refused_with_what_is_needed() {
    let mut world = World::with_subscribers();
    let mut check = |request: Value, part: &str| {
        let error = world.command("subscriber.check", request).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    check(json!({}), "give register (the captured text) or authorization");
    check(json!({"register": "hello"}), "cannot be read as a SIP message");
    check(
        json!({"authorization": "Digest username=\"alice@ims.example\", realm=\"r\", uri=\"u\"", "sim": {"k": "12"}}),
        "sim.k: 2 hex digits given, 32 needed",
    );
}
