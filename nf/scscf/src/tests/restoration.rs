//! An S-CSCF that was restarted, and the users whom it has to know again.

use super::*;

const INVITE_TO_ALICE: &str = "sip:alice@ims.example";

fn call_to_alice() -> Message {
    request("INVITE", INVITE_TO_ALICE, "Route: <sip:scscf.ims.example:6060;lr>\r\n")
}

fn call_of_alice() -> Message {
    request(
        "INVITE",
        "sip:bob@ims.example",
        "Route: <sip:orig@scscf.ims.example:6060;lr>\r\nP-Asserted-Identity: <sip:alice@ims.example>\r\n",
    )
}

#[test]
fn after_a_restart_a_device_is_called_and_calls_without_registering_again() {
    for call in [call_to_alice(), call_of_alice()] {
        let mut home = Home::new();
        home.register(&mut Device::alice());
        home.wait(100);
        home.restart();
        let decisions = home.send(&call);
        assert_eq!(forwarded(&decisions).len(), 1);
        assert_eq!(home.hss.assignments().last(), Some(&ServerAssignmentType::NoAssignment));
        let id = home.scscf.registrar().find("sip:alice@ims.example").unwrap();
        let contact = &home.scscf.registrar().set(id).unwrap().contacts[0];
        assert_eq!(contact.uri(), "sip:alice@192.0.2.1:5060");
        assert_eq!(&*contact.path, PATH);
        assert!(
            (3499..=3500).contains(&contact.seconds_left(home.now)),
            "{}",
            contact.seconds_left(home.now)
        );
        home.wait(3501);
        assert!(home.scscf.registrar().is_empty(), "a restored contact ends when it would have ended");
    }
}

#[test]
fn a_user_whose_time_ended_during_the_outage_is_unavailable_and_told_to_register_anew() {
    let mut home = Home::new();
    home.register(&mut Device { expires: 60, ..Device::alice() });
    home.restart();
    home.now += Duration::from_secs(61);
    assert_eq!(home.response_to(&call_to_alice()).status(), 480);
    let response = home.response_to(&call_of_alice());
    assert_eq!(response.status(), 504);
    assert_eq!(response.header(Name::PAssertedIdentity), Some("<sip:orig@scscf.ims.example:6060;lr>"));
    assert_eq!(response.header(Name::ContentType), Some("application/3gpp-ims+xml"));
    let body = std::str::from_utf8(response.body()).unwrap();
    let document = roxmltree::Document::parse(body).unwrap();
    assert!(document.descendants().any(|node| node.text() == Some("initial-registration")));
    assert!(home.scscf.registrar().is_empty());
}

#[test]
fn two_calls_at_once_bring_a_user_back_once() {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    home.restart();
    home.hss.held = Some(Vec::new());
    home.send(&call_to_alice());
    home.send(&call_to_alice());
    let decisions = home.release();
    assert_eq!(forwarded(&decisions).len(), 2);
    assert_eq!(home.scscf.registrar().len(), 1);
}

#[test]
fn a_caller_who_gives_up_while_the_hss_is_asked_gets_his_487() {
    let mut home = Home::new();
    home.hss.held = Some(Vec::new());
    home.send(&call_to_alice());
    let server = ServerKey(home.next_key);
    let decisions = home.feed(Indication::Cancelled { server });
    let [Decision::Respond { response, .. }] = &decisions[..] else { panic!("{decisions:?}") };
    assert_eq!(response.status(), 487);
    assert!(home.release().is_empty());
    assert_eq!(home.scscf.open_procedures(), 0);
}

#[test]
fn a_device_that_registers_after_a_restart_does_not_push_out_the_user_s_other_device() {
    let mut home = Home::new();
    let mut phone = Device::alice();
    let mut tablet = Device { contact: "<sip:alice@192.0.2.9>".into(), call_id: "other", ..Device::alice() };
    home.register(&mut phone);
    home.register(&mut tablet);
    home.restart();
    let response = home.register(&mut phone);
    assert_eq!(values(&response, Name::Contact).len(), 2);
    assert_eq!(home.hss.restoration["alice@ims.example"].contacts.len(), 2);
}

#[test]
fn a_device_that_leaves_after_a_restart_is_gone_at_the_hss_too() {
    let mut home = Home::new();
    let mut alice = Device::alice();
    home.register(&mut alice);
    home.restart();
    alice.expires = 0;
    assert_eq!(home.register(&mut alice).status(), 200);
    assert!(home.hss.restoration.is_empty());
    assert_eq!(home.response_to(&call_to_alice()).status(), 480);
}

#[test]
fn a_silent_hss_makes_a_stranger_unavailable_and_nothing_leaks() {
    let mut home = Home::new();
    home.hss.is_silent = true;
    assert_eq!(home.response_to(&call_to_alice()).status(), 480);
    assert_eq!(home.response_to(&call_of_alice()).status(), 504);
    assert_eq!(home.scscf.open_procedures(), 0);
}

#[test]
fn a_subscription_goes_on_after_a_restart_in_its_dialog() {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    let subscribe = super::subscriptions::subscribe_of_alice(600);
    let decisions = home.send(&subscribe);
    let (_, first) = &notifies(&decisions)[0];
    let (call_id, tag) = (first.call_id().to_string(), first.from().unwrap().tag().unwrap().to_string());
    let cseq = first.cseq().unwrap().number;
    home.restart();
    home.send(&call_to_alice());
    home.wait(10);
    let decisions = home.wait(3600);
    let (_, last) = notifies(&decisions).pop().expect("the end of the registration is told");
    assert_eq!((last.call_id(), last.from().unwrap().tag()), (&*call_id, Some(&*tag)));
    assert!(last.cseq().unwrap().number > cseq);
    assert!(last.header(Name::SubscriptionState).unwrap().starts_with("terminated"));
}
