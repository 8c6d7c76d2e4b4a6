//! MAR: schemes, vectors a SIM accepts, resynchronisation, and SQNs that never repeat whatever dies when.

mod common;

use std::collections::BTreeSet;

use common::*;
use diameter::cx::ServerAssignmentType as Type;
use diameter::cx::*;
use node::{Decision, DiameterKey, Function, Indication, MemoryStore, Store};
use proptest::prelude::*;
use serde_json::json;
use sip::aka::{RandAutn, Refusal, Sqn, SqnHistory};

const ALICE: &str = "alice@ims.example";
const ALICE_SIP: &str = "sip:alice@ims.example";
const BOB: &str = "bob@ims.example";
const BOB_SIP: &str = "sip:bob@ims.example";

#[test]
fn the_scheme_asked_for_must_be_there_and_unknown_takes_aka_first() {
    let mut world = World::with_subscribers();
    let mut both = bob();
    both["privateIdentity"] = "both@ims.example".into();
    both["publicIdentities"] = json!([{"uri": "sip:both@ims.example"}]);
    both["aka"] = json!({"k": K, "opc": OPC});
    world.command("subscriber.put", json!([both])).unwrap();
    let mut check = |who: &str, scheme, expected: Result<&str, ResultCode>| {
        let answer =
            world.mar(&format!("{who}@ims.example"), &format!("sip:{who}@ims.example"), SERVER, scheme);
        let found = match &answer.vector {
            Some(AuthenticationVector::Aka { .. }) => Ok("aka"),
            Some(AuthenticationVector::Digest { .. }) => Ok("digest"),
            None => Err(answer.result),
        };
        assert_eq!(found, expected, "{who} {scheme}");
    };
    let unsupported = Err(ResultCode::AUTH_SCHEME_NOT_SUPPORTED);
    check("alice", "Digest-AKAv1-MD5", Ok("aka"));
    check("alice", "Unknown", Ok("aka"));
    check("alice", "SIP Digest", unsupported);
    check("bob", "SIP Digest", Ok("digest"));
    check("bob", "Unknown", Ok("digest"));
    check("bob", "Digest-AKAv1-MD5", unsupported);
    check("both", "Unknown", Ok("aka"));
    check("both", "SIP Digest", Ok("digest"));
    check("both", "NASS-Bundled", unsupported);
    check("nobody", "Unknown", Err(ResultCode::USER_UNKNOWN));
    assert_eq!(world.mar(ALICE, BOB_SIP, SERVER, "Unknown").result, ResultCode::IDENTITIES_DONT_MATCH);
}

/// A first REGISTER without Authorization is asked for under the public identity without its scheme (TS 24.229 §5.3.1.2).
#[test]
fn a_name_made_of_the_public_identity_stands_for_its_owner_and_any_other_for_nobody() {
    let mut world = World::with_subscribers();
    let mut carol = bob();
    carol["privateIdentity"] = "0815@ims.example".into();
    carol["publicIdentities"] = json!([{"uri": "sip:carol@ims.example"}, {"uri": "tel:+4930222"}]);
    world.command("subscriber.put", json!([carol])).unwrap();
    let mut asked = |private: &str, public: &str| {
        let answer = world.mar(private, public, SERVER, "Unknown");
        (answer.result, answer.private_identity)
    };
    let known = (ResultCode::SUCCESS, Some("0815@ims.example".to_owned()));
    assert_eq!(asked("carol@ims.example", "sip:carol@ims.example"), known);
    assert_eq!(asked("+4930222", "tel:+4930222"), known);
    assert_eq!(asked("0815@ims.example", "sip:carol@ims.example"), known);
    assert_eq!(asked("dave@ims.example", "sip:carol@ims.example").0, ResultCode::USER_UNKNOWN);
    // A name that is somebody's stands for nobody else.
    assert_eq!(asked(BOB, "sip:carol@ims.example").0, ResultCode::IDENTITIES_DONT_MATCH);
}

#[test]
fn a_digest_vector_has_the_hash_and_the_home_domain_as_realm() {
    let mut world = World::with_subscribers();
    let vector = world.mar(BOB, BOB_SIP, SERVER, "SIP Digest").vector.unwrap();
    // printf 'bob@ims.example:ims.example:secret' | md5sum
    let expected = AuthenticationVector::Digest {
        realm: "ims.example".into(),
        algorithm: "MD5".into(),
        qop: "auth".into(),
        ha1: "4cf0250d47cf3fbb6fee64f27143d39a".into(),
    };
    assert!(vector == expected);
}

#[test]
fn a_sim_accepts_every_vector_in_turn_and_its_answer_is_the_expected_one() {
    let mut world = World::with_subscribers();
    let mut history = SqnHistory::default();
    for _ in 0..40 {
        let answer = world.mar(ALICE, ALICE_SIP, SERVER, "Digest-AKAv1-MD5");
        let Some(AuthenticationVector::Aka { rand_autn, xres, .. }) = answer.vector else { panic!() };
        let accepted = secrets().verify(&RandAutn::from_bytes(&rand_autn), &mut history).unwrap();
        assert_eq!(accepted.response.reveal()[..], xres);
    }
    // Blocks of 4: one commit for four vectors; digest needs none.
    assert_eq!(world.commits, 10);
    world.mar(BOB, BOB_SIP, SERVER, "SIP Digest");
    assert_eq!(world.commits, 10);
}

#[test]
fn no_expected_response_has_a_zero_byte_which_some_clients_cannot_answer() {
    let mut world = World::with_subscribers();
    for _ in 0..1000 {
        let answer = world.mar(ALICE, ALICE_SIP, SERVER, "Digest-AKAv1-MD5");
        let Some(AuthenticationVector::Aka { xres, .. }) = answer.vector else { panic!() };
        assert!(!xres.contains(&0), "{xres:02x?}");
    }
}

#[test]
fn a_sim_that_is_ahead_is_caught_up_with_by_one_resynchronisation() {
    let mut world = World::with_subscribers();
    // The same IND as our first vector has: with another one the SIM takes it (TS 33.102 §C.2.1).
    let mut history = SqnHistory::starting_at(Sqn::from_parts(5000, 1).unwrap());
    let stale = world.mar(ALICE, ALICE_SIP, SERVER, "Unknown");
    let Some(AuthenticationVector::Aka { rand_autn, .. }) = stale.vector else { panic!() };
    let challenge = RandAutn::from_bytes(&rand_autn);
    let Err(Refusal::SyncFailure(auts)) = secrets().verify(&challenge, &mut history) else { panic!() };
    let mut rand_auts = [0; 30];
    rand_auts[..16].copy_from_slice(&challenge.rand);
    rand_auts[16..].copy_from_slice(&auts.0);
    let fresh = world.mar_with(ALICE, ALICE_SIP, SERVER, "Unknown", Some(rand_auts));
    let Some(AuthenticationVector::Aka { rand_autn, .. }) = fresh.vector else { panic!() };
    assert!(secrets().verify(&RandAutn::from_bytes(&rand_autn), &mut history).is_ok());
    assert_eq!(world.outcomes(), ["ok", "stale_sqn", "ok"]);

    rand_auts[29] ^= 1;
    let forged = world.mar_with(ALICE, ALICE_SIP, SERVER, "Unknown", Some(rand_auts));
    assert_eq!((forged.result, forged.vector), (ResultCode::AUTHORIZATION_REJECTED, None));
    assert_eq!(world.outcomes().last(), Some(&"resynchronisation_mac_wrong"));
}

#[test]
fn a_tampered_credential_is_refused_with_an_alarm() {
    let mut world = World::with_subscribers();
    // Alice's sealed key under Bob's name: a thief with access to the disk but not to the key.
    let alice = world.hss.store().read("subscriber", ALICE.as_bytes()).unwrap();
    let mut altered = alice.clone();
    let position = altered.len() - 10;
    altered[position] ^= 1;
    world.hss.store_mut().write("subscriber", ALICE.as_bytes(), &altered);
    let answer = world.mar(ALICE, ALICE_SIP, SERVER, "Unknown");
    assert_eq!((answer.result, answer.vector), (ResultCode::UNABLE_TO_COMPLY, None));
    assert!(world.has_alarm("credential_unreadable"));

    world.hss.store_mut().write("subscriber", ALICE.as_bytes(), &alice[..20]);
    assert_eq!(world.mar(ALICE, ALICE_SIP, SERVER, "Unknown").result, ResultCode::UNABLE_TO_COMPLY);
    assert!(world.has_alarm("record_unreadable"));
}

#[test]
fn no_key_lies_in_the_store_in_the_clear() {
    let world = World::with_subscribers();
    let hash = sip::hex::decode("4cf0250d47cf3fbb6fee64f27143d39a").unwrap();
    for secret in [&secrets().key.reveal()[..], &secrets().opc.0.reveal()[..], &hash, b"secret"] {
        world.hss.store().scan("subscriber", b"", &mut |_, value| {
            assert!(!value.windows(secret.len()).any(|window| window == secret));
            true
        });
    }
}

#[test]
fn a_subscriber_who_is_removed_and_comes_back_gets_no_sqn_again() {
    let mut world = World::with_subscribers();
    let before = sqn_of(&world.mar(ALICE, ALICE_SIP, SERVER, "Unknown"));
    world.command("subscriber.remove", json!({"privateIdentity": ALICE})).unwrap();
    world.command("subscriber.put", json!([alice()])).unwrap();
    assert!(sqn_of(&world.mar(ALICE, ALICE_SIP, SERVER, "Unknown")) > before);
}

#[test]
fn an_imported_sqn_is_begun_after() {
    let mut world = World::default();
    let mut imported = alice();
    imported["aka"]["sqn"] = json!(3200);
    world.command("subscriber.put", json!([imported])).unwrap();
    assert_eq!(sqn_of(&world.mar(ALICE, ALICE_SIP, SERVER, "Unknown")).seq(), 101);
    // Put again with the old number: nothing falls back.
    world.command("subscriber.put", json!([imported])).unwrap();
    assert!(sqn_of(&world.mar(ALICE, ALICE_SIP, SERVER, "Unknown")).seq() > 101);
}

#[test]
fn a_restore_jumps_past_what_was_used_since_the_backup_also_when_done_twice() {
    let mut world = World::with_subscribers();
    world.mar(ALICE, ALICE_SIP, SERVER, "Unknown");
    let backup = world.hss.store().after_crash();
    let mut used = BTreeSet::new();
    for seconds in [0, 3600, 7200, 7200 + (1 << 22) / 2] {
        for _ in 0..100 {
            assert!(used.insert(sqn_of(&world.mar(ALICE, ALICE_SIP, SERVER, "Unknown"))));
        }
        world = World::new(build_with(backup.clone(), own(), 1_800_000_060 + seconds));
        world.command("sequence.jump", json!({})).unwrap();
        assert_eq!(world.commits, 1);
    }
    for _ in 0..100 {
        assert!(used.insert(sqn_of(&world.mar(ALICE, ALICE_SIP, SERVER, "Unknown"))));
    }
    assert!(world.command("sequence.jump", json!({"by": 1_u64 << 40})).unwrap_err().contains("at most"));
}

#[derive(Clone, Debug)]
enum Step {
    Challenge(usize),
    Register(usize),
    /// Let so many decisions leave, then die.
    Crash(usize),
    /// Let all decisions leave.
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize).prop_map(Step::Challenge),
        2 => (0..3_usize).prop_map(Step::Register),
        1 => (0..6_usize).prop_map(Step::Crash),
        3 => Just(Step::Drain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The HSS is killed between any two decisions: no SQN that has left leaves again, no registration that was
    /// confirmed is missing.
    #[test]
    fn a_kill_at_any_point_repeats_no_sqn_and_loses_no_confirmed_registration(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let names = ["a", "b", "c"];
        let mut world = World::default();
        for name in names {
            let mut record = alice();
            record["privateIdentity"] = format!("{name}@ims.example").into();
            record["publicIdentities"] = json!([{"uri": format!("sip:{name}@ims.example")}]);
            world.command("subscriber.put", json!([record])).unwrap();
        }
        let mut hss = world.hss;
        let mut used = BTreeSet::new();
        let mut registered = BTreeSet::new();
        for step in steps {
            let (request, who) = match &step {
                Step::Challenge(who) => (
                    Request::MultimediaAuthentication(MultimediaAuthenticationRequest {
                        private_identity: format!("{}@ims.example", names[*who]),
                        public_identity: format!("sip:{}@ims.example", names[*who]),
                        server_name: SERVER.into(),
                        authentication: AuthenticationRequest { scheme: "Unknown".into(), resynchronisation: None },
                    }),
                    *who,
                ),
                Step::Register(who) => (
                    Request::ServerAssignment(assignment(
                        &format!("sip:{}@ims.example", names[*who]),
                        SERVER,
                        Type::Registration,
                    )),
                    *who,
                ),
                Step::Crash(count) => {
                    leave(&mut hss, *count, &mut used, &mut registered)?;
                    hss = build(hss.store().after_crash());
                    for who in &registered {
                        let mut world = World::new(hss);
                        prop_assert_eq!(world.state(&format!("sip:{}@ims.example", names[*who])), "registered");
                        hss = world.hss;
                    }
                    continue;
                }
                Step::Drain => {
                    leave(&mut hss, usize::MAX, &mut used, &mut registered)?;
                    continue;
                }
            };
            let key = DiameterKey(who as u64);
            let origin_host = "scscf".into();
            hss.handle_input(clock::Instant::ZERO, Indication::DiameterRequest { key, request, origin_host });
        }
    }
}

fn leave(
    hss: &mut hss::Hss<MemoryStore>,
    count: usize,
    used: &mut BTreeSet<(u64, Sqn)>,
    registered: &mut BTreeSet<usize>,
) -> Result<(), TestCaseError> {
    for _ in 0..count {
        match hss.poll_output() {
            None => break,
            Some(Decision::Commit) => hss.store_mut().commit(),
            Some(Decision::Answer { key, answer: Answer::MultimediaAuthentication(answer) }) => {
                let sqn = sqn_of(&answer);
                prop_assert!(used.insert((key.0, sqn)), "{sqn:?} left twice");
            }
            Some(Decision::Answer { key, answer }) => {
                prop_assert_eq!(answer.result(), ResultCode::SUCCESS);
                registered.insert(key.0 as usize);
            }
            Some(_) => {}
        }
    }
    Ok(())
}
