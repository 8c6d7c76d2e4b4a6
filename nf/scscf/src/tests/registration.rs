//! REGISTER from the first challenge to the last contact, with every answer that the HSS may give.

use super::*;

#[test]
fn a_first_register_is_challenged_with_aka_and_the_keys_travel_to_the_p_cscf() {
    let mut home = Home::new();
    let register = Device::alice().register(None);
    let response = home.response_to(&register);
    assert_eq!(response.status(), 401);
    let challenge = Challenge::parse(response.header(Name::WwwAuthenticate).unwrap()).unwrap();
    assert_eq!(
        (challenge.realm, challenge.algorithm, challenge.qop),
        (HOME, Algorithm::AkaV1Md5, Some("auth"))
    );
    assert_eq!(sip::aka::RandAutn::from_nonce(challenge.nonce).unwrap().to_bytes(), [1; 32]);
    assert_eq!(challenge.confidentiality_key.unwrap().reveal(), &[0xc; 16]);
    assert_eq!(challenge.integrity_key.unwrap().reveal(), &[0x1; 16]);
    assert_eq!(
        response.header(Name::PChargingVector),
        Some("icid-value=\"i1\";orig-ioi=visited;term-ioi=ims.example")
    );
    let cx::Request::MultimediaAuthentication(mar) = &home.hss.requests[0] else { panic!("no MAR") };
    assert_eq!((&*mar.authentication.scheme, &*mar.server_name), ("Unknown", "sip:scscf.ims.example:6060"));
}

#[test]
fn a_right_answer_registers_the_whole_set_and_the_200_says_everything_a_device_and_its_p_cscf_need() {
    let mut home = Home::new();
    home.hss.charging = Some(cx::ChargingInformation {
        primary_charging_collection_function_name: Some("ccf.ims.example".into()),
        ..Default::default()
    });
    let response = home.register(&mut Device::alice());
    assert_eq!(response.status(), 200);
    assert_eq!(values(&response, Name::Path), [PATH]);
    assert_eq!(values(&response, Name::ServiceRoute), ["<sip:orig@scscf.ims.example:6060;lr>"]);
    assert_eq!(values(&response, Name::PAssociatedUri), ["<sip:alice@ims.example>", "<tel:+4930111>"]);
    assert_eq!(values(&response, Name::Contact), ["<sip:alice@192.0.2.1:5060>;expires=3600"]);
    assert_eq!(response.header(Name::PChargingFunctionAddresses), Some("ccf=ccf.ims.example"));
    assert_eq!(
        response.header(Name::PChargingVector),
        Some("icid-value=\"i1\";orig-ioi=visited;term-ioi=ims.example")
    );
    assert!(response.header(Name::Date).unwrap().ends_with(" GMT"));
    let cx::Request::ServerAssignment(sar) = &home.hss.requests[1] else { panic!("no SAR") };
    assert_eq!(sar.assignment_type, ServerAssignmentType::Registration);
    assert!(!sar.user_data_already_available);
    let info = sar.restoration.as_ref().unwrap();
    assert_eq!(info.private_identity, "alice@ims.example");
    assert_eq!(info.contacts[0].path, PATH);
    assert!(info.contacts[0].contact.starts_with("<sip:alice@192.0.2.1:5060>;x-until=18000036"));
    assert!(home.scscf.registrar().find("tel:+4930111").is_some());
    assert_eq!(home.events, [("registration", "ok")]);
    assert_eq!(home.scscf.open_procedures(), 0);
}

#[test]
fn a_digest_user_is_proved_the_server_too_and_refreshes_without_a_challenge_while_the_count_grows() {
    let mut home = Home::new();
    let mut bob = Device::bob();
    let challenge = {
        let register = bob.register(None);
        home.response_to(&register)
    };
    let challenge = challenge.header(Name::WwwAuthenticate).unwrap().to_string();
    let first = bob.register(Some(&challenge));
    let response = home.response_to(&first);
    assert_eq!(response.status(), 200);
    let info = response.header(Name::AuthenticationInfo).unwrap();
    let ha1 = Ha1::compute(Algorithm::Md5, bob.private, HOME, b"secret");
    let sent = sip::digest::Credentials::parse(first.header(Name::Authorization).unwrap()).unwrap();
    assert!(sip::digest::is_authentication_info_genuine(info, &sent, Algorithm::Md5, &ha1, b""));

    let refresh = bob.register(Some(&challenge));
    assert_eq!(home.response_to(&refresh).status(), 200);
    assert_eq!(
        home.hss.assignments(),
        [ServerAssignmentType::Registration, ServerAssignmentType::ReRegistration]
    );
    assert_eq!(home.events.last(), Some(&("re_registration", "ok")));

    bob.nonce_count -= 1;
    let replay = bob.register(Some(&challenge));
    let response = home.response_to(&replay);
    assert_eq!(response.status(), 401, "a nonce count that does not grow is a replay");
    assert!(Challenge::parse(response.header(Name::WwwAuthenticate).unwrap()).unwrap().is_stale);
}

#[test]
fn sha_256_is_asked_for_when_the_vector_says_so() {
    let mut home = Home::new();
    let mut carol = Device {
        private: "carol@ims.example",
        public: "sip:carol@ims.example",
        password: b"word".to_vec(),
        ..Device::bob()
    };
    assert_eq!(home.register(&mut carol).status(), 200);
}

#[test]
fn a_device_without_credentials_is_known_by_its_public_identity() {
    let mut home = Home::new();
    let register = Device::bob().register(None);
    let text = String::from_utf8(register.raw().to_vec()).unwrap();
    let line = text.lines().find(|line| line.starts_with("Authorization")).unwrap().to_string();
    let bare = message(&text.replace(&format!("{line}\r\n"), ""));
    assert_eq!(home.response_to(&bare).status(), 401);
    let cx::Request::MultimediaAuthentication(mar) = &home.hss.requests[0] else { panic!("no MAR") };
    assert_eq!(mar.private_identity, "bob@ims.example");
}

/// A first REGISTER names nobody (TS 24.229 §5.3.1.2 makes a name of the public identity); the HSS says whose it is, and the
/// device names its user when it is challenged.
#[test]
fn a_user_whose_name_is_not_the_public_identity_s_is_known_by_the_hss() {
    let mut home = Home::new();
    let user = home.hss.subscribers.remove("bob@ims.example").expect("bob is a subscriber");
    home.hss.subscribers.insert("0815@ims.example", user);
    home.hss.real_names.insert("bob@ims.example", "0815@ims.example");
    let mut bob = Device { private: "0815@ims.example", ..Device::bob() };
    let mut nameless = sip::Draft::of(&bob.register(None));
    nameless.remove(Name::Authorization);
    let response = home.response_to(&Message::parse(nameless.emit()).expect("a REGISTER"));
    assert_eq!(response.status(), 401);
    let challenge = response.header(Name::WwwAuthenticate).expect("a challenge").to_owned();
    assert_eq!(home.response_to(&bob.register(Some(&challenge))).status(), 200);
}

#[test]
fn a_wrong_key_is_challenged_twice_more_and_then_refused() {
    let mut home = Home::new();
    let mut alice = Device { password: b"wrong".to_vec(), ..Device::alice() };
    let register = alice.register(None);
    let mut response = home.response_to(&register);
    let mut statuses = Vec::new();
    while response.status() == 401 {
        let register = alice.register(response.header(Name::WwwAuthenticate));
        response = home.response_to(&register);
        statuses.push(response.status());
    }
    assert_eq!(statuses, [401, 401, 403]);
    assert_eq!(home.hss.assignments(), [ServerAssignmentType::AuthenticationFailure]);
    assert_eq!(home.events, [("registration", "wrong_key"); 3]);
    assert!(home.scscf.registrar().is_empty());
}

#[test]
fn an_aka_nonce_is_good_for_one_answer() {
    let mut home = Home::new();
    let mut alice = Device::alice();
    let register = alice.register(None);
    let challenge = home.response_to(&register);
    let challenge = challenge.header(Name::WwwAuthenticate).unwrap();
    let register = alice.register(Some(challenge));
    assert_eq!(home.response_to(&register).status(), 200);
    let register = alice.register(Some(challenge));
    let response = home.response_to(&register);
    assert_eq!(response.status(), 401);
    assert_ne!(response.header(Name::WwwAuthenticate), Some(challenge));
    assert_eq!(home.events.last(), Some(&("registration", "stale_nonce")));
}

#[test]
fn auts_goes_to_the_hss_with_rand_and_brings_a_new_challenge() {
    let mut home = Home::new();
    let mut alice = Device { auts: Some(Auts([9; 14])), ..Device::alice() };
    let register = alice.register(None);
    let response = home.response_to(&register);
    let register = alice.register(response.header(Name::WwwAuthenticate));
    let response = home.response_to(&register);
    assert_eq!(response.status(), 401);
    let cx::Request::MultimediaAuthentication(mar) = &home.hss.requests[1] else { panic!("no MAR") };
    let expected: Vec<u8> = [1; 16].into_iter().chain([9; 14]).collect();
    assert_eq!(mar.authentication.resynchronisation.as_ref().map(|each| &each[..]), Some(&expected[..]));
    alice.auts = None;
    let register = alice.register(response.header(Name::WwwAuthenticate));
    assert_eq!(home.response_to(&register).status(), 200);
    assert_eq!(home.events[0], ("registration", "resynchronised"));
}

#[test]
fn an_unprotected_aka_answer_is_refused_unless_the_configuration_allows_it() {
    let mut home = Home::with(|settings| settings.unprotected_aka = false);
    assert_eq!(home.register(&mut Device::alice()).status(), 403);
    let mut alice = Device::alice();
    let register = alice.register(None);
    let response = home.response_to(&register);
    let register = alice.register(response.header(Name::WwwAuthenticate));
    let text = String::from_utf8(register.raw().to_vec()).unwrap();
    let protected = message(
        &text.replace("Authorization: Digest ", "Authorization: Digest integrity-protected=\"yes\", "),
    );
    assert_eq!(home.response_to(&protected).status(), 200);
}

#[test]
fn a_challenge_waits_four_minutes_and_not_a_tick_longer() {
    for (seconds, status) in [(239, 200), (240, 401)] {
        let mut home = Home::new();
        let mut alice = Device::alice();
        let register = alice.register(None);
        let response = home.response_to(&register);
        home.wait(seconds);
        let register = alice.register(response.header(Name::WwwAuthenticate));
        assert_eq!(home.response_to(&register).status(), status, "after {seconds} s");
        let is_told = home.hss.assignments().contains(&ServerAssignmentType::AuthenticationTimeout);
        assert_eq!(is_told, seconds == 240);
    }
}

#[test]
fn what_the_hss_says_decides_the_status() {
    let mut home = Home::new();
    let mut nobody =
        Device { private: "nobody@ims.example", public: "sip:nobody@ims.example", ..Device::alice() };
    let register = nobody.register(None);
    assert_eq!(home.response_to(&register).status(), 403);
    assert_eq!(home.events, [("registration", "unknown_subscriber")]);

    home.hss.is_silent = true;
    let register = Device::alice().register(None);
    assert_eq!(home.response_to(&register).status(), 504);

    for (failure, status) in [
        (ResultCode::USER_UNKNOWN, 403),
        (ResultCode::IDENTITIES_DONT_MATCH, 403),
        (ResultCode::TOO_BUSY, 503),
        (ResultCode::UNABLE_TO_COMPLY, 500),
    ] {
        let mut home = Home::new();
        home.hss.failure = Some(failure);
        assert_eq!(home.register(&mut Device::alice()).status(), status, "{failure:?}");
        assert!(home.scscf.registrar().is_empty());
    }
}

#[test]
fn an_hss_that_falls_silent_at_the_assignment_leaves_nobody_registered() {
    let mut home = Home::new();
    let mut alice = Device::alice();
    let register = alice.register(None);
    let response = home.response_to(&register);
    home.hss.is_silent = true;
    let register = alice.register(response.header(Name::WwwAuthenticate));
    assert_eq!(home.response_to(&register).status(), 504);
    assert!(home.scscf.registrar().is_empty());
    assert_eq!(home.scscf.open_procedures(), 0);
}

#[test]
fn the_length_of_a_registration_has_bounds() {
    let mut home = Home::new();
    let mut alice = Device { expires: 59, ..Device::alice() };
    let register = alice.register(None);
    let response = home.response_to(&register);
    assert_eq!((response.status(), response.header(Name::MinExpires)), (423, Some("60")));
    let mut alice = Device { expires: 60, ..Device::alice() };
    let response = home.register(&mut alice);
    assert_eq!(values(&response, Name::Contact), ["<sip:alice@192.0.2.1:5060>;expires=60"]);
}

#[test]
fn a_contact_goes_when_its_time_is_over_and_not_a_second_before() {
    let mut home = Home::new();
    home.register(&mut Device { expires: 60, ..Device::alice() });
    home.wait(59);
    assert_eq!(home.scscf.registrar().len(), 1);
    home.wait(1);
    assert!(home.scscf.registrar().is_empty());
    assert_eq!(home.hss.assignments().last(), Some(&ServerAssignmentType::TimeoutDeregistration));
    assert!(home.hss.restoration.is_empty());
}

#[test]
fn a_time_out_that_the_hss_did_not_hear_is_told_again() {
    let mut home = Home::new();
    home.register(&mut Device { expires: 60, ..Device::alice() });
    home.hss.is_silent = true;
    home.wait(60);
    home.hss.is_silent = false;
    home.wait(5);
    assert!(home.hss.restoration.is_empty());
}

#[test]
fn a_device_leaves_with_expires_zero_or_a_star() {
    for contact in ["<sip:alice@192.0.2.1:5060>", "*"] {
        let mut home = Home::new();
        let mut alice = Device::alice();
        home.register(&mut alice);
        alice.expires = 0;
        alice.contact = contact.into();
        let response = home.register(&mut alice);
        assert_eq!((response.status(), values(&response, Name::Contact).len()), (200, 0));
        assert_eq!(home.hss.assignments().last(), Some(&ServerAssignmentType::UserDeregistration));
        assert!(home.scscf.registrar().is_empty());
        assert_eq!(home.events.last(), Some(&("de_registration", "ok")));
    }
}

#[test]
fn a_star_without_expires_zero_is_refused() {
    let mut home = Home::new();
    let register = Device { contact: "*".into(), ..Device::alice() }.register(None);
    assert_eq!(home.response_to(&register).status(), 400);
}

#[test]
fn several_devices_are_kept_apart_and_one_that_moves_replaces_its_old_contact() {
    let mut home = Home::new();
    let instance =
        |name: &str, host: u8| format!("<sip:alice@192.0.2.{host}:5060>;+sip.instance=\"<urn:{name}>\"");
    let mut phone = Device { contact: instance("phone", 1), ..Device::alice() };
    let mut tablet = Device { contact: instance("tablet", 2), call_id: "other", ..Device::alice() };
    home.register(&mut phone);
    assert_eq!(values(&home.register(&mut tablet), Name::Contact).len(), 2);
    phone.contact = instance("phone", 3);
    let response = home.register(&mut phone);
    let contacts = values(&response, Name::Contact);
    assert_eq!(contacts.len(), 2);
    assert!(contacts[0].starts_with("<sip:alice@192.0.2.3:5060>;+sip.instance=\"<urn:phone>\";expires="));
    phone.expires = 0;
    assert_eq!(values(&home.register(&mut phone), Name::Contact).len(), 1);
    assert_eq!(home.hss.assignments().last(), Some(&ServerAssignmentType::ReRegistration));
    assert_eq!(home.hss.restoration["alice@ims.example"].contacts.len(), 1);
}

#[test]
fn more_contacts_than_allowed_are_refused_and_those_there_are_stay() {
    let mut home = Home::new();
    for host in 1..=4 {
        let contact = format!("<sip:alice@192.0.2.{host}:5060>");
        let response = home.register(&mut Device { contact, ..Device::alice() });
        assert_eq!(response.status(), if host <= 3 { 200 } else { 403 });
    }
    let id = home.scscf.registrar().find("sip:alice@ims.example").unwrap();
    assert_eq!(home.scscf.registrar().set(id).unwrap().contacts.len(), 3);
}

#[test]
fn a_register_that_was_overtaken_changes_nothing() {
    let mut home = Home::new();
    let mut alice = Device::alice();
    home.register(&mut alice);
    alice.cseq -= 2;
    assert_eq!(home.register(&mut alice).status(), 500);
}

#[test]
fn a_register_without_contact_tells_what_is_there() {
    let mut home = Home::new();
    let mut alice = Device::alice();
    home.register(&mut alice);
    alice.contact = String::new();
    let before = home.hss.assignments().len();
    assert_eq!(values(&home.register(&mut alice), Name::Contact).len(), 1);
    assert_eq!(home.hss.assignments().len(), before);
}

#[test]
fn what_follows_an_unbracketed_contact_is_no_part_of_its_uri() {
    // RFC 4475 cparam01 and cparam02, and an escaped header inside the URI (regescrt).
    for (contact, expected) in [
        (
            "sip:+19725552222@gw1.example.net;unknownparam",
            "<sip:+19725552222@gw1.example.net>;unknownparam;expires=3600",
        ),
        (
            "<sip:+19725552222@gw1.example.net;unknownparam>",
            "<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600",
        ),
        (
            "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;q=0.5",
            "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;q=0.5;expires=3600",
        ),
    ] {
        let mut home = Home::new();
        let response = home.register(&mut Device { contact: contact.into(), ..Device::alice() });
        assert_eq!(values(&response, Name::Contact), [expected]);
    }
}

#[test]
fn what_the_registrar_does_not_understand_it_names() {
    let mut home = Home::new();
    let text = String::from_utf8(Device::alice().register(None).raw().to_vec()).unwrap();
    let response = home.response_to(&message(&text.replace("Require: path", "Require: path, teleport")));
    assert_eq!((response.status(), response.header(Name::Unsupported)), (420, Some("teleport")));
    let bare = text.replace(&format!("Path: {PATH}\r\n"), "").replace("Supported: path\r\n", "");
    let response = home.response_to(&message(&bare.replace("Require: path\r\n", "")));
    assert_eq!((response.status(), response.header(Name::Require)), (421, Some("path")));
    let response =
        home.response_to(&message(&text.replace("To: <sip:alice@ims.example>", "To: <http://x.example/>")));
    assert_eq!(response.status(), 400);
}

#[test]
fn registrations_of_one_user_wait_for_each_other_and_the_hss_remembers_both() {
    let mut home = Home::new();
    let mut phone = Device::bob();
    let mut tablet = Device { contact: "<sip:bob@192.0.2.9>".into(), call_id: "other", ..Device::bob() };
    let answers: Vec<Message> = [&mut phone, &mut tablet]
        .into_iter()
        .map(|device| {
            let register = device.register(None);
            let response = home.response_to(&register);
            device.register(response.header(Name::WwwAuthenticate))
        })
        .collect();
    home.hss.held = Some(Vec::new());
    for answer in &answers {
        assert!(home.send(answer).is_empty(), "the HSS has not agreed yet");
    }
    assert_eq!(home.hss.held.as_ref().unwrap().len(), 1, "the second waits for the first");
    let decisions = home.release();
    let responses = decisions.iter().filter(|decision| matches!(decision, Decision::Respond { .. })).count();
    assert_eq!(responses, 2);
    assert_eq!(home.hss.restoration["bob@ims.example"].contacts.len(), 2);
    assert_eq!(home.scscf.open_procedures(), 0);
}

#[test]
fn a_refresh_that_crosses_the_operator_s_de_registration_becomes_a_new_registration() {
    let mut home = Home::new();
    let mut alice = Device::alice();
    home.register(&mut alice);
    let register = alice.register(None);
    let response = home.response_to(&register);
    let register = alice.register(response.header(Name::WwwAuthenticate));
    home.hss.held = Some(Vec::new());
    home.send(&register);
    let request = cx::Request::RegistrationTermination(cx::RegistrationTerminationRequest {
        private_identity: "alice@ims.example".into(),
        public_identities: Vec::new(),
        reason: cx::DeregistrationReasonCode::ServerChange,
        reason_info: None,
    });
    home.feed(Indication::DiameterRequest { key: DiameterKey(1), request, origin_host: "hss".into() });
    let decisions = home.release();
    let [Decision::Respond { response, .. }] = &decisions[..] else { panic!("{decisions:?}") };
    assert_eq!(response.status(), 200);
    assert_eq!(home.hss.assignments().last(), Some(&ServerAssignmentType::Registration));
    assert_eq!(home.scscf.registrar().len(), 1);
}

#[test]
fn a_device_that_leaves_is_gone_whatever_the_hss_thinks_but_stays_while_the_hss_is_silent() {
    let mut home = Home::new();
    let mut alice = Device::alice();
    home.register(&mut alice);
    alice.expires = 0;
    let register = alice.register(None);
    let response = home.response_to(&register);
    home.hss.is_silent = true;
    let register = alice.register(response.header(Name::WwwAuthenticate));
    assert_eq!(home.response_to(&register).status(), 504);
    assert_eq!(home.scscf.registrar().len(), 1);
    home.hss.is_silent = false;
    home.hss.failure = Some(ResultCode::UNABLE_TO_COMPLY);
    assert_eq!(home.register(&mut alice).status(), 200);
    assert!(home.scscf.registrar().is_empty());
}

#[test]
fn what_is_kept_of_a_device_is_small_and_does_not_grow_with_each_registration() {
    let mut home = Home::new();
    let mut bob = Device::bob();
    for _ in 0..10 {
        bob.nonce_count = 0;
        assert_eq!(home.register(&mut bob).status(), 200);
    }
    assert!(
        home.scscf.challenges.keys_of(&bob.private.into()).len() <= 2,
        "one nonce to refresh with, and a spare"
    );
    let id = home.scscf.registrar().find(bob.public).unwrap();
    // What is written out is a fair measure of what is kept.
    let set = serde_json::to_vec(home.scscf.registrar().set(id).unwrap()).unwrap();
    assert!(set.len() < 600, "{}", set.len());
}
