//! UAR, SAR and LIR as TS 29.228 has them: every result code, every assignment type, takeover and restoration.

mod common;

use common::*;
use diameter::cx::ServerAssignmentType as Type;
use diameter::cx::UserAuthorizationType::*;
use diameter::cx::*;
use serde_json::json;

const ALICE: &str = "alice@ims.example";
const ALICE_SIP: &str = "sip:alice@ims.example";
const ALICE_TEL: &str = "tel:+4930";
const ALICE_WORK: &str = "sip:alice-work@ims.example";
const BOB_SIP: &str = "sip:bob@ims.example";

#[test]
fn uar_checks_in_the_order_of_the_standard() {
    let mut world = World::with_subscribers();
    let mut barred = bob();
    barred["privateIdentity"] = "carol@ims.example".into();
    barred["publicIdentities"] = json!([{"uri": "sip:carol@ims.example", "barred": true}]);
    world.command("subscriber.put", json!([barred])).unwrap();
    let mut check = |private, public, result| {
        assert_eq!(world.uar(private, public, Registration).result, result, "{private} {public}");
    };
    check("nobody@ims.example", ALICE_SIP, ResultCode::USER_UNKNOWN);
    check(ALICE, "sip:nobody@ims.example", ResultCode::USER_UNKNOWN);
    check(ALICE, "no uri at all", ResultCode::USER_UNKNOWN);
    check(ALICE, BOB_SIP, ResultCode::IDENTITIES_DONT_MATCH);
    check("carol@ims.example", "sip:carol@ims.example", ResultCode::AUTHORIZATION_REJECTED);
    // Barred, but another of the set is not.
    check(ALICE, ALICE_SIP, ResultCode::FIRST_REGISTRATION);
    check(ALICE, "sip:alice@IMS.example:5060;user=phone", ResultCode::FIRST_REGISTRATION);
    assert_eq!(
        world.outcomes()[..6],
        [
            "unknown_subscriber",
            "unknown_subscriber",
            "unknown_subscriber",
            "identities_do_not_match",
            "barred",
            "ok"
        ]
    );
}

#[test]
fn roaming_is_allowed_at_home_and_where_the_configuration_says() {
    let mut own = own();
    own.visited_networks_allowed = vec!["partner.example".into()];
    let mut world = World::new(build_with(Default::default(), own, 0));
    world.command("subscriber.put", json!([alice()])).unwrap();
    let mut check = |visited: &str, kind, result| {
        let request = UserAuthorizationRequest {
            private_identity: ALICE.into(),
            public_identity: ALICE_SIP.into(),
            visited_network: visited.into(),
            authorization_type: kind,
        };
        assert_eq!(world.request(Request::UserAuthorization(request)).result(), result, "{visited}");
    };
    check("ims.example", Registration, ResultCode::FIRST_REGISTRATION);
    check("\"Partner.example\"", Registration, ResultCode::FIRST_REGISTRATION);
    check("elsewhere.example", Registration, ResultCode::ROAMING_NOT_ALLOWED);
    // Who leaves is let go: the next check is the one that speaks.
    check("elsewhere.example", DeRegistration, ResultCode::IDENTITY_NOT_REGISTERED);
}

#[test]
fn uar_follows_a_registration_from_first_to_last() {
    let mut world = World::with_subscribers();
    let first = world.uar(ALICE, ALICE_SIP, Registration);
    assert_eq!(first.result, ResultCode::FIRST_REGISTRATION);
    assert_eq!(first.capabilities.unwrap().server_names, [SERVER]);
    assert_eq!(world.uar(ALICE, ALICE_SIP, DeRegistration).result, ResultCode::IDENTITY_NOT_REGISTERED);

    // Authentication pending: the second REGISTER finds the same S-CSCF (spec 4.2.1 step 10).
    world.mar(ALICE, ALICE_SIP, SERVER, "Unknown");
    let second = world.uar(ALICE, ALICE_SIP, Registration);
    assert_eq!(
        (second.result, second.server_name.as_deref()),
        (ResultCode::SUBSEQUENT_REGISTRATION, Some(SERVER))
    );
    assert_eq!(second.capabilities, None);

    world.assign(ALICE_SIP, SERVER, Type::Registration);
    // Another set of the same subscription goes to the same S-CSCF.
    for public in [ALICE_SIP, ALICE_TEL, ALICE_WORK] {
        let later = world.uar(ALICE, public, Registration);
        assert_eq!(
            (later.result, later.server_name.as_deref()),
            (ResultCode::SUBSEQUENT_REGISTRATION, Some(SERVER))
        );
    }
    let with = world.uar(ALICE, ALICE_SIP, RegistrationAndCapabilities);
    assert_eq!(with.server_name.as_deref(), Some(SERVER));
    assert!(with.capabilities.is_some());
    let leaving = world.uar(ALICE, ALICE_SIP, DeRegistration);
    assert_eq!((leaving.result, leaving.server_name.as_deref()), (ResultCode::SUCCESS, Some(SERVER)));

    world.assign(ALICE_SIP, SERVER, Type::UserDeregistration);
    assert_eq!(world.uar(ALICE, ALICE_SIP, Registration).result, ResultCode::FIRST_REGISTRATION);
}

#[test]
fn the_identities_of_an_implicit_set_change_together() {
    let mut world = World::with_subscribers();
    let answer = world.assign(ALICE_TEL, SERVER, Type::Registration);
    assert_eq!(answer.result, ResultCode::SUCCESS);
    assert_eq!(answer.private_identity.as_deref(), Some(ALICE));
    let document = String::from_utf8(answer.user_data.unwrap().to_vec()).unwrap();
    assert!(document.contains(ALICE_SIP) && document.contains(ALICE_TEL) && !document.contains(ALICE_WORK));
    assert_eq!(world.state(ALICE_SIP), "registered");
    assert_eq!(world.state(ALICE_TEL), "registered");
    assert_eq!(world.state(ALICE_WORK), "not_registered");
    assert_eq!(world.lir(ALICE_SIP, false).server_name.as_deref(), Some(SERVER));
    assert_eq!(world.lir(ALICE_WORK, false).result, ResultCode::IDENTITY_NOT_REGISTERED);
    assert_eq!(
        world.command("subscriber.count", json!({})).unwrap(),
        json!({"subscribers": 2, "registered": 1})
    );
}

/// What each assignment type makes of each state, sent by the assigned S-CSCF.
#[test]
fn every_assignment_type_leads_from_every_state_to_the_next() {
    let states: [(&str, &[Type]); 3] = [
        ("not_registered", &[]),
        ("registered", &[Type::Registration]),
        ("unregistered", &[Type::UnregisteredUser]),
    ];
    let ok = ResultCode::SUCCESS;
    let table = [
        (
            Type::NoAssignment,
            [(ResultCode::UNABLE_TO_COMPLY, "not_registered"), (ok, "registered"), (ok, "unregistered")],
        ),
        (Type::Registration, [(ok, "registered"); 3]),
        (Type::ReRegistration, [(ok, "registered"); 3]),
        (Type::UnregisteredUser, [(ok, "unregistered"); 3]),
        (Type::TimeoutDeregistration, [(ok, "not_registered"); 3]),
        (Type::UserDeregistration, [(ok, "not_registered"); 3]),
        (Type::AdministrativeDeregistration, [(ok, "not_registered"); 3]),
        (Type::DeregistrationTooMuchData, [(ok, "not_registered"); 3]),
        (
            Type::TimeoutDeregistrationStoreServerName,
            [(ok, "not_registered"), (ok, "unregistered"), (ok, "unregistered")],
        ),
        (
            Type::UserDeregistrationStoreServerName,
            [(ok, "not_registered"), (ok, "unregistered"), (ok, "unregistered")],
        ),
        (Type::AuthenticationFailure, [(ok, "not_registered"), (ok, "registered"), (ok, "unregistered")]),
        (Type::AuthenticationTimeout, [(ok, "not_registered"), (ok, "registered"), (ok, "unregistered")]),
    ];
    for (kind, expected) in table {
        for ((from, way), (result, to)) in states.iter().zip(expected) {
            let mut world = World::with_subscribers();
            for step in *way {
                world.assign(BOB_SIP, SERVER, *step);
            }
            assert_eq!(world.state(BOB_SIP), *from);
            // Twice: an S-CSCF that has heard nothing says it again.
            for _ in 0..2 {
                let answer = world.assign(BOB_SIP, SERVER, kind);
                assert_eq!(answer.result, result, "{kind:?} from {from}");
                assert_eq!(world.state(BOB_SIP), to, "{kind:?} from {from}");
            }
            let assigned = world.command("subscriber.get", json!({"publicIdentity": BOB_SIP})).unwrap();
            assert_eq!(assigned["serverName"].is_string(), to != "not_registered", "{kind:?} from {from}");
        }
    }
}

#[test]
fn a_repeated_assignment_costs_no_disk_and_a_new_one_is_durable_before_its_answer() {
    let mut world = World::with_subscribers();
    world.assign(BOB_SIP, SERVER, Type::Registration);
    assert_eq!(world.commits, 1);
    let mut after = World::new(build(world.hss.store().after_crash()));
    assert_eq!(after.lir(BOB_SIP, false).server_name.as_deref(), Some(SERVER));
    assert_eq!(
        after.command("subscriber.count", json!({})).unwrap(),
        json!({"subscribers": 2, "registered": 1})
    );
    world.assign(BOB_SIP, SERVER, Type::ReRegistration);
    assert_eq!(world.commits, 1);
}

#[test]
fn another_server_is_refused_unless_something_is_pending() {
    let check = |kind, result| {
        let mut world = World::with_subscribers();
        world.assign(BOB_SIP, SERVER, Type::Registration);
        assert_eq!(world.assign(BOB_SIP, OTHER, kind).result, result, "{kind:?}");
        assert_eq!(world.lir(BOB_SIP, false).server_name.as_deref(), Some(SERVER), "{kind:?}");
    };
    check(Type::Registration, ResultCode::IDENTITY_ALREADY_REGISTERED);
    check(Type::ReRegistration, ResultCode::IDENTITY_ALREADY_REGISTERED);
    check(Type::UnregisteredUser, ResultCode::IDENTITY_ALREADY_REGISTERED);
    check(Type::NoAssignment, ResultCode::UNABLE_TO_COMPLY);
    check(Type::UserDeregistration, ResultCode::UNABLE_TO_COMPLY);
    check(Type::TimeoutDeregistrationStoreServerName, ResultCode::UNABLE_TO_COMPLY);
    check(Type::AuthenticationFailure, ResultCode::SUCCESS);
}

#[test]
fn an_s_cscf_that_has_challenged_the_device_takes_over_with_its_registration() {
    let mut world = World::with_subscribers();
    world.assign(BOB_SIP, SERVER, Type::Registration);
    world.mar("bob@ims.example", BOB_SIP, OTHER, "SIP Digest");
    // The answer to the challenge goes where the challenge came from, calls still to the old one.
    assert_eq!(world.uar("bob@ims.example", BOB_SIP, Registration).server_name.as_deref(), Some(OTHER));
    assert_eq!(world.lir(BOB_SIP, false).server_name.as_deref(), Some(SERVER));
    assert_eq!(world.assign(BOB_SIP, OTHER, Type::Registration).result, ResultCode::SUCCESS);
    assert_eq!(world.lir(BOB_SIP, false).server_name.as_deref(), Some(OTHER));
}

#[test]
fn a_failed_authentication_elsewhere_leaves_the_registration_where_it_is() {
    let mut world = World::with_subscribers();
    world.assign(BOB_SIP, SERVER, Type::Registration);
    world.mar("bob@ims.example", BOB_SIP, OTHER, "SIP Digest");
    assert_eq!(world.assign(BOB_SIP, OTHER, Type::AuthenticationFailure).result, ResultCode::SUCCESS);
    assert_eq!(world.uar("bob@ims.example", BOB_SIP, Registration).server_name.as_deref(), Some(SERVER));
    assert_eq!(world.state(BOB_SIP), "registered");
}

#[test]
fn after_a_failed_authentication_the_next_register_is_a_first_one() {
    let mut world = World::with_subscribers();
    world.mar("bob@ims.example", BOB_SIP, SERVER, "SIP Digest");
    world.assign(BOB_SIP, SERVER, Type::AuthenticationTimeout);
    assert_eq!(world.uar("bob@ims.example", BOB_SIP, Registration).result, ResultCode::FIRST_REGISTRATION);
}

/// GPP-R2, GPP-R3: the S-CSCF was killed; a call comes, the I-CSCF asks for capabilities, another S-CSCF takes over and
/// learns where the devices are.
#[test]
fn registered_devices_can_be_called_through_another_server() {
    let mut world = World::with_subscribers();
    let mut registration = assignment(ALICE_TEL, SERVER, Type::Registration);
    registration.restoration = Some(restoration("<sip:alice@192.0.2.1>"));
    world.sar(registration);
    let found = world.lir(ALICE_TEL, true);
    assert_eq!((found.result, found.server_name.as_deref()), (ResultCode::SUCCESS, Some(SERVER)));
    assert_eq!(found.capabilities.unwrap().server_names, [SERVER]);
    let taken = world.assign(ALICE_TEL, OTHER, Type::UnregisteredUser);
    assert_eq!(taken.result, ResultCode::SUCCESS);
    assert_eq!(taken.restoration, [restoration("<sip:alice@192.0.2.1>")]);
    assert!(taken.user_data.is_some());
    assert_eq!(world.state(ALICE_TEL), "registered");
    assert_eq!(world.lir(ALICE_TEL, false).server_name.as_deref(), Some(OTHER));
    // The mark is used up: a third one is refused.
    let third = world.assign(ALICE_TEL, SERVER, Type::UnregisteredUser);
    assert_eq!(third.result, ResultCode::IDENTITY_ALREADY_REGISTERED);
}

#[test]
fn a_server_that_was_restarted_gets_its_restoration_data_back() {
    let mut world = World::with_subscribers();
    let mut registration = assignment(ALICE_SIP, SERVER, Type::Registration);
    registration.restoration = Some(restoration("<sip:alice@192.0.2.1>"));
    world.sar(registration.clone());
    let mut world = World::new(build(world.hss.store().after_crash()));
    for kind in [Type::NoAssignment, Type::UnregisteredUser] {
        assert_eq!(world.assign(ALICE_TEL, SERVER, kind).restoration, [restoration("<sip:alice@192.0.2.1>")]);
        assert_eq!(world.state(ALICE_TEL), "registered");
    }
    // Replaced by the next one, gone with the registration.
    registration.assignment_type = Type::ReRegistration;
    registration.restoration = Some(restoration("<sip:alice@192.0.2.2>"));
    world.sar(registration);
    let again = world.assign(ALICE_TEL, SERVER, Type::NoAssignment);
    assert_eq!(again.restoration, [restoration("<sip:alice@192.0.2.2>")]);
    world.assign(ALICE_TEL, SERVER, Type::UserDeregistration);
    let unregistered = world.assign(ALICE_TEL, SERVER, Type::UnregisteredUser);
    assert_eq!(unregistered.restoration, []);
    assert_eq!(world.state(ALICE_TEL), "unregistered");
}

#[test]
fn a_restarted_server_that_registers_one_device_hears_of_the_others() {
    let mut world = World::with_subscribers();
    let mut registration = assignment(ALICE_SIP, SERVER, Type::Registration);
    registration.restoration = Some(restoration("<sip:alice@192.0.2.1>"));
    assert_eq!(world.sar(registration.clone()).restoration, []);
    registration.restoration = Some(restoration("<sip:alice@192.0.2.2>"));
    assert_eq!(world.sar(registration).restoration, [restoration("<sip:alice@192.0.2.1>")]);
}

#[test]
fn a_profile_that_is_there_already_is_not_sent() {
    let mut world = World::with_subscribers();
    let mut request = assignment(BOB_SIP, SERVER, Type::ReRegistration);
    request.user_data_already_available = true;
    assert_eq!(world.sar(request).user_data, None);
}

#[test]
fn a_malformed_assignment_gets_the_error_of_its_fault() {
    let mut world = World::with_subscribers();
    let mut check = |private: Option<&str>, public: &[&str], kind, result| {
        let request = ServerAssignmentRequest {
            private_identity: private.map(str::to_owned),
            public_identities: public.iter().map(|&text| text.to_owned()).collect(),
            ..assignment("", SERVER, kind)
        };
        assert_eq!(world.sar(request).result, result, "{private:?} {public:?}");
    };
    check(None, &[], Type::Registration, ResultCode::MISSING_AVP);
    check(None, &["sip:nobody@x"], Type::Registration, ResultCode::USER_UNKNOWN);
    check(Some("nobody@x"), &[], Type::UserDeregistration, ResultCode::USER_UNKNOWN);
    check(Some(ALICE), &[BOB_SIP], Type::Registration, ResultCode::IDENTITIES_DONT_MATCH);
    check(Some(ALICE), &[ALICE_SIP, ALICE_WORK], Type::Registration, ResultCode::Base(5009));
    check(Some(ALICE), &[ALICE_SIP, ALICE_WORK], Type::UserDeregistration, ResultCode::SUCCESS);
}

#[test]
fn a_deregistration_without_public_identities_ends_all_sets() {
    let mut world = World::with_subscribers();
    world.assign(ALICE_SIP, SERVER, Type::Registration);
    world.assign(ALICE_WORK, SERVER, Type::Registration);
    let mut request = assignment(ALICE_SIP, SERVER, Type::AdministrativeDeregistration);
    request.public_identities.clear();
    request.private_identity = Some(ALICE.into());
    assert_eq!(world.sar(request).result, ResultCode::SUCCESS);
    assert_eq!(world.state(ALICE_SIP), "not_registered");
    assert_eq!(world.state(ALICE_WORK), "not_registered");
}

#[test]
fn lir_finds_the_server_or_says_why_there_is_none() {
    let mut world = World::with_subscribers();
    assert_eq!(world.lir("sip:nobody@ims.example", false).result, ResultCode::USER_UNKNOWN);
    assert_eq!(world.lir(BOB_SIP, false).result, ResultCode::IDENTITY_NOT_REGISTERED);
    let mut with_mailbox = bob();
    with_mailbox["unregisteredServices"] = true.into();
    world.command("subscriber.put", json!([with_mailbox])).unwrap();
    let unregistered = world.lir(BOB_SIP, false);
    assert_eq!((unregistered.result, unregistered.server_name), (ResultCode::UNREGISTERED_SERVICE, None));
    assert!(unregistered.capabilities.is_some());
    world.assign(BOB_SIP, SERVER, Type::UnregisteredUser);
    let served = world.lir(BOB_SIP, false);
    assert_eq!((served.result, served.server_name.as_deref()), (ResultCode::SUCCESS, Some(SERVER)));
    assert_eq!(served.capabilities, None);
}
