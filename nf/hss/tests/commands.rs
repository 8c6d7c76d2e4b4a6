//! The operator's commands: all or nothing, messages that say what to do, RTR and PPR.

mod common;

use common::*;
use diameter::cx::ServerAssignmentType as Type;
use diameter::cx::*;
use hss::{Hss, HssError};
use node::{MemoryStore, Unanswered};
use serde_json::{Value, json};

const ALICE: &str = "alice@ims.example";
const ALICE_SIP: &str = "sip:alice@ims.example";
const BOB_SIP: &str = "sip:bob@ims.example";

fn rta(result: ResultCode) -> Answer {
    Answer::RegistrationTermination(RegistrationTerminationAnswer { result, associated_identities: vec![] })
}

#[test]
fn one_bad_record_keeps_all_of_its_request_out() {
    let mut world = World::default();
    let mut bad = bob();
    bad["digest"] = json!({"ha1": "00"});
    let error = world.command("subscriber.put", json!([alice(), bad])).unwrap_err();
    assert_eq!(error, "subscriber 1, digest.ha1: 2 hex digits given, 32 needed");
    assert_eq!(world.command("subscriber.count", json!({})).unwrap()["subscribers"], 0);
    assert_eq!(world.commits, 0);
    let result = world.command("subscriber.put", json!([alice(), bob()])).unwrap();
    assert_eq!((result, world.commits), (json!({"added": 2, "replaced": 0}), 1));
}

#[test]
fn an_identity_belongs_to_one_subscriber() {
    let mut world = World::with_subscribers();
    let mut thief = bob();
    thief["privateIdentity"] = "thief@ims.example".into();
    assert_eq!(
        world.command("subscriber.put", json!([thief])).unwrap_err(),
        "subscriber 0, publicIdentities[0].uri: it belongs to the subscriber bob@ims.example; take it away there first"
    );
    thief["publicIdentities"] = json!([{"uri": "sip:new@ims.example"}]);
    let mut second = thief.clone();
    assert_eq!(
        world.command("subscriber.put", json!([thief, second])).unwrap_err(),
        "subscriber 1, privateIdentity: subscriber 0 has the same one; give it once"
    );
    second["privateIdentity"] = "second@ims.example".into();
    assert_eq!(
        world.command("subscriber.put", json!([thief, second])).unwrap_err(),
        "subscriber 1, publicIdentities[0].uri: subscriber 0 has the same one; give it to one of them"
    );
}

#[test]
fn the_owners_of_public_identities_are_told_in_the_order_asked() {
    let mut world = World::with_subscribers();
    let asked = json!(["sip:nobody@ims.example", BOB_SIP, "sip:alice@IMS.example;user=phone", "no uri"]);
    let owners = world.command("subscriber.owners", asked).unwrap();
    assert_eq!(owners, json!([null, "bob@ims.example", ALICE, null]));
    assert_eq!(world.commits, 0, "it only reads");
}

#[test]
fn documents_that_cannot_be_read_are_refused_with_a_sentence() {
    let mut world = World::default();
    let mut check = |name: &str, body: Value, part: &str| {
        let error = world.command(name, body).unwrap_err();
        assert!(error.contains(part), "{error}");
    };
    check("subscriber.put", json!({}), "a list of subscribers is needed");
    check("subscriber.put", json!([{"privateIdentity": 1}]), "subscriber 0, invalid type");
    check("subscriber.put", json!([{"privateIdentity": "a", "colour": 1}]), "unknown field `colour`");
    check("subscriber.get", json!({}), "give either privateIdentity or publicIdentity");
    check("subscriber.get", json!({"publicIdentity": "sip:x@y"}), "there is no subscriber sip:x@y");
    check("subscriber.remove", json!({"privateIdentity": "x"}), "there is no subscriber x");
    check("subscriber.list", json!({"limit": 0}), "limit: 0 given, 1 to 1000 are possible");
    check("subscriber.fly", json!({}), "the HSS knows no command `subscriber.fly`; it knows subscriber.put,");
}

#[test]
fn a_secret_of_the_wrong_type_is_not_repeated_in_the_message() {
    let mut world = World::default();
    let mut record = alice();
    record["aka"]["k"] = json!(4711);
    let error = world.command("subscriber.put", json!([record])).unwrap_err();
    assert!(error.contains("quotation marks") && !error.contains("4711"), "{error}");
}

#[test]
fn subscribers_are_listed_in_pages_and_shown_without_secrets() {
    let mut world = World::default();
    let records: Vec<Value> = (0..5)
        .map(|number| {
            let mut record = bob();
            record["privateIdentity"] = format!("user{number}@ims.example").into();
            record["publicIdentities"] = json!([{"uri": format!("sip:user{number}@ims.example")}]);
            record
        })
        .collect();
    world.command("subscriber.put", records.into()).unwrap();
    let mut names = Vec::new();
    let mut after = Value::Null;
    let mut pages = 0;
    loop {
        let page = world.command("subscriber.list", json!({"limit": 2, "after": after})).unwrap();
        assert!(!page.to_string().contains("ha1"));
        for view in page["subscribers"].as_array().unwrap() {
            names.push(view["privateIdentity"].as_str().unwrap().to_owned());
        }
        pages += 1;
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (5, 3));
    assert!(names.is_sorted());
}

#[test]
fn what_is_put_again_replaces_what_was_there() {
    let mut world = World::with_subscribers();
    let mut changed = alice();
    changed["publicIdentities"] = json!([{"uri": "sip:alice-new@ims.example"}]);
    let result = world.command("subscriber.put", json!([changed])).unwrap();
    assert_eq!(result, json!({"added": 0, "replaced": 1}));
    assert_eq!(world.lir(ALICE_SIP, false).result, ResultCode::USER_UNKNOWN);
    assert_eq!(world.lir("sip:alice-new@ims.example", false).result, ResultCode::IDENTITY_NOT_REGISTERED);
}

#[test]
fn a_deregistration_tells_the_server_first_and_is_forgotten_then() {
    let mut world = World::with_subscribers();
    world.assign(ALICE_SIP, SERVER, Type::Registration);
    world.start("subscriber.deregister", json!({"publicIdentity": ALICE_SIP, "reason": "stolen"}));
    assert!(world.results.is_empty());
    let (query, request, host) = world.asked.pop().unwrap();
    assert_eq!(host.as_deref(), Some("scscf.ims.example"));
    let Request::RegistrationTermination(request) = request else { panic!() };
    assert_eq!(request.private_identity, ALICE);
    assert_eq!(request.public_identities, [ALICE_SIP, "tel:+4930"]);
    assert_eq!(request.reason_info.as_deref(), Some("stolen"));
    world.answer(query, Ok(rta(ResultCode::SUCCESS)));
    assert_eq!(world.results.pop().unwrap().unwrap(), json!({"wasRegistered": true, "warning": null}));
    assert_eq!(world.state(ALICE_SIP), "not_registered");
    let mut after = World::new(build(world.hss.store().after_crash()));
    assert_eq!(after.state(ALICE_SIP), "not_registered");
}

#[test]
fn a_device_that_registers_again_at_once_keeps_its_new_registration() {
    let mut world = World::with_subscribers();
    world.assign(ALICE_SIP, SERVER, Type::Registration);
    world.start("subscriber.deregister", json!({"publicIdentity": ALICE_SIP}));
    world.assign(ALICE_SIP, SERVER, Type::Registration);
    let (query, ..) = world.asked.pop().unwrap();
    world.answer(query, Ok(rta(ResultCode::SUCCESS)));
    assert!(world.results.pop().unwrap().is_ok());
    assert_eq!(world.state(ALICE_SIP), "registered");
}

#[test]
fn a_removal_happens_also_when_the_server_is_silent_and_says_so() {
    let mut world = World::with_subscribers();
    world.assign(ALICE_SIP, SERVER, Type::Registration);
    world.start("subscriber.remove", json!({"privateIdentity": ALICE}));
    let (query, ..) = world.asked.pop().unwrap();
    world.answer(query, Err(Unanswered::TimedOut));
    let result = world.results.pop().unwrap().unwrap();
    assert_eq!(result["warning"], "the Diameter peer did not answer in time");
    assert_eq!(
        world.uar(ALICE, ALICE_SIP, UserAuthorizationType::Registration).result,
        ResultCode::USER_UNKNOWN
    );
    assert_eq!(
        world.command("subscriber.count", json!({})).unwrap(),
        json!({"subscribers": 1, "registered": 0})
    );
    let result = world.command("subscriber.remove", json!({"publicIdentity": BOB_SIP})).unwrap();
    assert_eq!(result, json!({"wasRegistered": false, "warning": null}));
}

#[test]
fn a_changed_profile_of_a_registered_subscriber_is_pushed() {
    let mut world = World::with_subscribers();
    world.command("subscriber.put", json!([alice()])).unwrap();
    world.assign(ALICE_SIP, SERVER, Type::Registration);
    // The same again, or only another key: nothing that the S-CSCF holds has changed.
    world.command("subscriber.put", json!([alice()])).unwrap();
    assert!(world.asked.is_empty());
    let mut changed = alice();
    changed["publicIdentities"][1]["uri"] = "tel:+4931".into();
    world.command("subscriber.put", json!([changed])).unwrap();
    let (query, request, host) = world.asked.pop().unwrap();
    let Request::PushProfile(request) = request else { panic!() };
    assert_eq!((request.private_identity.as_str(), host.as_deref()), (ALICE, Some("scscf.ims.example")));
    assert!(String::from_utf8_lossy(&request.user_data.unwrap()).contains("tel:+4931"));
    world.answer(query, Ok(Answer::PushProfile(PushProfileAnswer { result: ResultCode::SUCCESS })));
    assert_eq!(world.outcomes().last(), Some(&"ok"));
}

#[test]
fn many_pushes_wait_for_their_turn_and_all_are_sent() {
    let mut world = World::default();
    let record = |number: usize, user: &str| {
        let mut record = bob();
        record["privateIdentity"] = format!("user{number}@ims.example").into();
        record["publicIdentities"] = json!([{"uri": format!("sip:{user}{number}@ims.example")}]);
        record
    };
    world.command("subscriber.put", (0..100).map(|number| record(number, "old")).collect()).unwrap();
    for number in 0..100 {
        world.assign(&format!("sip:old{number}@ims.example"), SERVER, Type::Registration);
    }
    world.command("subscriber.put", (0..100).map(|number| record(number, "new")).collect()).unwrap();
    assert_eq!(world.asked.len(), 32);
    let mut sent = 0;
    while let Some((query, ..)) = world.asked.pop() {
        sent += 1;
        world.answer(query, Err(Unanswered::NoPeer));
    }
    assert_eq!(sent, 100);
}

#[test]
fn a_configuration_that_could_repeat_an_sqn_is_refused() {
    let check = |change: fn(&mut node::config::Hss), error: HssError| {
        let mut own = own();
        change(&mut own);
        let refused = Hss::new(&setup(&own, 0), &own, [1; 32], MemoryStore::default()).err();
        assert_eq!(refused, Some(error));
    };
    check(|own| own.sqn_index_first = 20, HssError::IndexSlice { first: 20, count: 16 });
    check(|own| own.sqn_index_count = 0, HssError::IndexSlice { first: 0, count: 0 });
    check(|own| own.sequence_block = 0, HssError::SequenceBlock { block: 0 });
}
