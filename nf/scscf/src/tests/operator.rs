//! What operators and the HSS do of their own accord: RTR, PPR, commands, a graceful stop.

use super::*;

fn terminate(home: &mut Home, reason: cx::DeregistrationReasonCode) -> Vec<Decision> {
    let request = cx::Request::RegistrationTermination(cx::RegistrationTerminationRequest {
        private_identity: "alice@ims.example".into(),
        public_identities: Vec::new(),
        reason,
        reason_info: None,
    });
    home.feed(Indication::DiameterRequest { key: DiameterKey(1), request, origin_host: "hss".into() })
}

fn command(home: &mut Home, name: &str, body: &str) -> Result<serde_json::Value, String> {
    let key = node::CommandKey(1);
    let decisions = home.feed(Indication::Command { key, name: name.into(), body: body.to_string().into() });
    match decisions.into_iter().next() {
        Some(Decision::CommandResult { result, .. }) => {
            result.map(|bytes| serde_json::from_slice(&bytes).unwrap())
        }
        other => panic!("no result but {other:?}"),
    }
}

#[test]
fn an_operator_s_de_registration_tells_subscribers_first_and_the_hss_after() {
    for (reason, event) in [
        (cx::DeregistrationReasonCode::PermanentTermination, "rejected"),
        (cx::DeregistrationReasonCode::ServerChange, "deactivated"),
    ] {
        let mut home = Home::new();
        home.register(&mut Device::alice());
        home.send(&super::subscriptions::subscribe_of_alice(600));
        let decisions = terminate(&mut home, reason);
        let [Decision::Send { .. }, Decision::Answer { answer, .. }] = &decisions[..] else {
            panic!("{decisions:?}")
        };
        assert_eq!(answer.result(), ResultCode::SUCCESS);
        let (_, notify) = &notifies(&decisions)[0];
        let body = std::str::from_utf8(notify.body()).unwrap();
        assert!(body.contains(&format!("state=\"terminated\" event=\"{event}\"")), "{body}");
        assert!(home.scscf.registrar().is_empty());
        assert_eq!(home.events.last(), Some(&("de_registration", "by_operator")));
    }
}

#[test]
fn the_de_registration_of_a_stranger_succeeds_because_it_is_so() {
    let mut home = Home::new();
    let decisions = terminate(&mut home, cx::DeregistrationReasonCode::PermanentTermination);
    let [Decision::Answer { answer, .. }] = &decisions[..] else { panic!("{decisions:?}") };
    assert_eq!(answer.result(), ResultCode::SUCCESS);
}

#[test]
fn a_new_profile_takes_effect_at_once() {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    let mut push = |document: &str| {
        let request = cx::Request::PushProfile(cx::PushProfileRequest {
            private_identity: "alice@ims.example".into(),
            user_data: Some(document.to_string().into()),
            charging: None,
        });
        let key = DiameterKey(1);
        let decisions = home.feed(Indication::DiameterRequest { key, request, origin_host: "hss".into() });
        match &decisions[..] {
            [Decision::Answer { answer, .. }] => answer.result(),
            other => panic!("{other:?}"),
        }
    };
    let identities = [("sip:alice@ims.example", true), ("sip:alias@ims.example", false)];
    assert_eq!(push(&profile("alice@ims.example", &identities)), ResultCode::SUCCESS);
    assert_eq!(push("<nonsense"), ResultCode::UNABLE_TO_COMPLY);
    let registrar = home.scscf.registrar();
    let id = registrar.find("sip:alias@ims.example").unwrap();
    assert_eq!(registrar.find("sip:alice@ims.example"), Some(id));
    assert_eq!(registrar.find("tel:+4930111"), None);
    assert!(registrar.set(id).unwrap().identity("sip:alice@ims.example").unwrap().is_barred);
}

#[test]
fn a_nonce_does_not_outlive_the_profile_it_was_made_for() {
    let mut home = Home::new();
    let mut bob = Device::bob();
    let register = bob.register(None);
    let response = home.response_to(&register);
    let challenge = response.header(Name::WwwAuthenticate).unwrap();
    let register = bob.register(Some(challenge));
    assert_eq!(home.response_to(&register).status(), 200);
    let request = cx::Request::PushProfile(cx::PushProfileRequest {
        private_identity: "bob@ims.example".into(),
        user_data: None,
        charging: None,
    });
    home.feed(Indication::DiameterRequest { key: DiameterKey(1), request, origin_host: "hss".into() });
    let register = bob.register(Some(challenge));
    assert_eq!(home.response_to(&register).status(), 401);
}

#[test]
fn registrations_are_listed_page_by_page() {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    home.register(&mut Device::bob());
    let first = command(&mut home, "registration.list", "{\"limit\": 1}").unwrap();
    assert_eq!(first["total"], 2);
    assert_eq!(first["registrations"][0]["publicIdentities"][1], "sip:alice@ims.example");
    let contact = &first["registrations"][0]["contacts"][0];
    assert_eq!(contact["uri"], "sip:alice@192.0.2.1:5060");
    assert_eq!(contact["expiresInSeconds"], 3600);
    let body = format!("{{\"limit\": 1, \"after\": {}}}", first["next"]);
    let second = command(&mut home, "registration.list", &body).unwrap();
    assert_eq!(second["registrations"][0]["publicIdentities"][0], "sip:bob@ims.example");
    assert!(second.get("next").is_none());
    let one =
        command(&mut home, "registration.list", "{\"publicIdentity\": \"sip:bob@ims.example\"}").unwrap();
    assert_eq!(one["registrations"].as_array().unwrap().len(), 1);
}

#[test]
fn a_command_that_is_wrong_is_refused_with_a_sentence() {
    let mut home = Home::new();
    assert!(command(&mut home, "registration.erase", "").unwrap_err().contains("registration.list"));
    assert!(command(&mut home, "registration.list", "{\"limmit\": 1}").unwrap_err().contains("limmit"));
}

#[test]
fn a_stopping_server_takes_no_new_work_and_finishes_the_old() {
    let mut home = Home::new();
    home.register(&mut Device::bob());
    home.feed(Indication::Stopping);
    let register = Device::alice().register(None);
    assert_eq!(home.response_to(&register).status(), 503);
    assert_eq!(home.response_to(&request("INVITE", "sip:bob@ims.example", "")).status(), 503);
}
