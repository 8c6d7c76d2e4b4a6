//! The reg event package: who may watch, what is told, and when.

use super::*;

pub(crate) fn subscribe_of_alice(expires: u32) -> Message {
    subscribe(
        "<sip:alice@ims.example>",
        "sip:orig@scscf.ims.example:6060;lr",
        &format!("Expires: {expires}\r\n"),
    )
}

fn subscribe(asserted: &str, route: &str, extra: &str) -> Message {
    message(&format!(
        "SUBSCRIBE sip:alice@ims.example SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3:4060;branch=z9hG4bKs\r\n\
         Max-Forwards: 69\r\nRoute: <{route}>\r\nRecord-Route: <sip:mo@pcscf.ims.example:4060;lr>\r\n\
         P-Asserted-Identity: {asserted}\r\nFrom: <sip:alice@ims.example>;tag=a\r\nTo: <sip:alice@ims.example>\r\n\
         Call-ID: sub1\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:alice@192.0.2.1:5060>\r\nEvent: reg\r\n\
         Accept: application/reginfo+xml\r\n{extra}Content-Length: 0\r\n\r\n"
    ))
}

/// The SUBSCRIBE that refreshes or ends the dialog that `accepted` made.
fn again(accepted: &Message, cseq: u32, expires: u32) -> Message {
    message(&format!(
        "SUBSCRIBE sip:reg@scscf.ims.example:6060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3:4060;branch=z9hG4bKt{cseq}\r\n\
         Max-Forwards: 69\r\nFrom: <sip:alice@ims.example>;tag=a\r\nTo: {}\r\nCall-ID: sub1\r\n\
         CSeq: {cseq} SUBSCRIBE\r\nContact: <sip:alice@192.0.2.1:5060>\r\nEvent: reg\r\nExpires: {expires}\r\n\
         Content-Length: 0\r\n\r\n",
        accepted.header(Name::To).unwrap()
    ))
}

fn accepted(decisions: &[Decision]) -> Message {
    match &decisions[0] {
        Decision::Respond { response, .. } => Message::parse(response.emit()).unwrap(),
        other => panic!("no response first, but {other:?}"),
    }
}

fn registered() -> Home {
    let mut home = Home::new();
    home.register(&mut Device::alice());
    home.events.clear();
    home
}

/// Registration state, and state and event of each contact, of the first registration in a document.
fn told(notify: &Message) -> (String, Vec<(String, String)>) {
    let body = std::str::from_utf8(notify.body()).unwrap();
    let document = roxmltree::Document::parse(body).unwrap();
    let registration = document.descendants().find(|node| node.tag_name().name() == "registration").unwrap();
    let attribute =
        |node: roxmltree::Node<'_, '_>, name: &str| node.attribute(name).unwrap_or("").to_string();
    let contacts = registration.children().filter(|node| node.tag_name().name() == "contact");
    let contacts = contacts.map(|node| (attribute(node, "state"), attribute(node, "event"))).collect();
    (attribute(registration, "state"), contacts)
}

fn version(notify: &Message) -> u32 {
    let document = roxmltree::Document::parse(std::str::from_utf8(notify.body()).unwrap()).unwrap();
    document.root_element().attribute("version").unwrap().parse().unwrap()
}

fn pair(state: &str, event: &str) -> (String, String) {
    (state.into(), event.into())
}

#[test]
fn a_subscriber_is_accepted_and_told_the_full_state_at_once() {
    let mut home = registered();
    let decisions = home.send(&subscribe_of_alice(600_000));
    let response = accepted(&decisions);
    assert_eq!((response.status(), response.number(Name::Expires)), (200, Some(600_000)));
    assert_eq!(values(&response, Name::RecordRoute), ["<sip:mo@pcscf.ims.example:4060;lr>"]);
    assert_eq!(response.header(Name::Contact), Some("<sip:reg@scscf.ims.example:6060>"));
    let sent = notifies(&decisions);
    let (_, notify) = &sent[0];
    assert_eq!(notify.request_uri(), "sip:alice@192.0.2.1:5060");
    assert_eq!(values(notify, Name::Route), ["<sip:mo@pcscf.ims.example:4060;lr>"]);
    assert_eq!(notify.header(Name::From), response.header(Name::To));
    assert_eq!(notify.header(Name::To), Some("<sip:alice@ims.example>;tag=a"));
    assert_eq!(notify.call_id(), "sub1");
    assert_eq!(notify.header(Name::Event), Some("reg"));
    assert_eq!(notify.header(Name::SubscriptionState), Some("active;expires=600000"));
    assert_eq!(notify.header(Name::ContentType), Some("application/reginfo+xml"));
    // With the Via that the shell adds it is a whole request.
    let via = "SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:6060;branch=z9hG4bKn\r\n";
    message(&String::from_utf8(notify.raw().to_vec()).unwrap().replacen("SIP/2.0\r\n", via, 1));
    assert_eq!((version(notify), told(notify)), (0, ("active".into(), vec![pair("active", "registered")])));
    let body = std::str::from_utf8(notify.body()).unwrap();
    assert!(
        body.contains("aor=\"tel:+4930111\"") && !body.contains("hidden"),
        "barred identities are not told"
    );
}

#[test]
fn the_p_cscf_on_the_path_may_watch_and_a_stranger_may_not() {
    let mut home = registered();
    let for_user = "sip:scscf.ims.example:6060;lr";
    for (asserted, status) in [
        ("<sip:pcscf.ims.example:4060>", 200),
        ("<tel:+4930111>", 200),
        ("<sip:hidden@ims.example>", 403),
        ("<sip:bob@ims.example>", 403),
        ("<sip:elsewhere.example>", 403),
    ] {
        assert_eq!(home.response_to(&subscribe(asserted, for_user, "")).status(), status, "{asserted}");
    }
}

#[test]
fn what_cannot_be_granted_is_named() {
    let mut home = registered();
    let response = home.response_to(&subscribe_of_alice(59));
    assert_eq!((response.status(), response.header(Name::MinExpires)), (423, Some("60")));
    let text = String::from_utf8(subscribe_of_alice(600).raw().to_vec()).unwrap();
    let unreadable = message(&text.replace("application/reginfo+xml", "text/plain"));
    assert_eq!(home.response_to(&unreadable).status(), 406);
}

#[test]
fn a_change_is_told_at_most_every_five_seconds_and_the_version_grows_by_one() {
    let mut home = registered();
    home.send(&subscribe_of_alice(600));
    let mut tablet = Device { contact: "<sip:alice@192.0.2.9>".into(), call_id: "other", ..Device::alice() };
    home.register(&mut tablet);
    assert_eq!(notifies(&home.wait(4)).len(), 0);
    let decisions = home.wait(1);
    let sent = notifies(&decisions);
    assert_eq!(sent.len(), 1);
    assert_eq!(version(&sent[0].1), 1);
    assert_eq!(told(&sent[0].1).1.len(), 2);
    home.wait(10);
    tablet.expires = 0;
    let challenge = tablet.register(None);
    let challenge = home.response_to(&challenge);
    let register = tablet.register(challenge.header(Name::WwwAuthenticate));
    let decisions = home.send(&register);
    let sent = notifies(&decisions);
    assert_eq!(version(&sent[0].1), 2);
    let contacts = told(&sent[0].1).1;
    assert_eq!(contacts[1], pair("terminated", "unregistered"));
}

#[test]
fn a_refresh_of_the_registration_alone_tells_nobody() {
    let mut home = registered();
    home.send(&subscribe_of_alice(600));
    home.wait(10);
    let mut alice = Device { cseq: 10, ..Device::alice() };
    home.register(&mut alice);
    assert!(notifies(&home.wait(10)).is_empty());
}

#[test]
fn a_device_that_leaves_hears_the_last_word_before_its_200() {
    let mut home = registered();
    home.send(&subscribe_of_alice(600));
    let mut alice = Device { cseq: 10, expires: 0, ..Device::alice() };
    let register = alice.register(None);
    let challenge = home.response_to(&register);
    let register = alice.register(challenge.header(Name::WwwAuthenticate));
    let decisions = home.send(&register);
    let [Decision::Send { .. }, Decision::Respond { .. }] = &decisions[..] else { panic!("{decisions:?}") };
    let (_, notify) = &notifies(&decisions)[0];
    assert_eq!(notify.header(Name::SubscriptionState), Some("terminated;reason=noresource"));
    assert_eq!(told(notify), ("terminated".into(), vec![pair("terminated", "unregistered")]));
    assert!(home.scscf.watchers.is_empty());
}

#[test]
fn a_subscription_is_refreshed_ended_and_times_out() {
    let mut home = registered();
    let response = accepted(&home.send(&subscribe_of_alice(600)));
    let decisions = home.send(&again(&response, 2, 1200));
    assert_eq!(accepted(&decisions).number(Name::Expires), Some(1200));
    assert_eq!(notifies(&decisions)[0].1.header(Name::SubscriptionState), Some("active;expires=1200"));
    assert_eq!(accepted(&home.send(&again(&response, 2, 1200))).status(), 500, "an old CSeq");
    assert!(notifies(&home.wait(1199)).is_empty());
    let decisions = home.wait(1);
    assert_eq!(notifies(&decisions)[0].1.header(Name::SubscriptionState), Some("terminated;reason=timeout"));
    assert_eq!(accepted(&home.send(&again(&response, 3, 600))).status(), 481);

    let response = accepted(&home.send(&subscribe_of_alice(600)));
    let decisions = home.send(&again(&response, 2, 0));
    assert_eq!(notifies(&decisions)[0].1.header(Name::SubscriptionState), Some("terminated;reason=timeout"));
    assert!(home.scscf.watchers.is_empty());
}

#[test]
fn a_fetch_is_answered_once() {
    let mut home = registered();
    let decisions = home.send(&subscribe_of_alice(0));
    assert_eq!(accepted(&decisions).number(Name::Expires), Some(0));
    let sent = notifies(&decisions);
    assert_eq!(sent.len(), 1);
    assert_eq!(told(&sent[0].1).1, [pair("active", "registered")]);
    assert!(home.scscf.watchers.is_empty());
}

#[test]
fn a_subscriber_who_does_not_take_a_notify_is_forgotten() {
    for (status, is_kept) in [(200, true), (481, false), (408, false)] {
        let mut home = registered();
        let decisions = home.send(&subscribe_of_alice(600));
        let (client, notify) = notifies(&decisions).remove(0);
        let response = sip::Draft::response(&notify, status, "X", "t").emit();
        let response = Message::parse(response).unwrap();
        home.feed(Indication::OwnResponse { client, response, origin: Origin::Received });
        assert_eq!(!home.scscf.watchers.is_empty(), is_kept, "{status}");
        assert_eq!(home.scscf.open_procedures(), 0);
    }
}

#[test]
fn the_hss_keeps_the_device_s_subscription_with_its_contact() {
    let mut home = registered();
    home.send(&subscribe_of_alice(600));
    let kept = home.hss.restoration["alice@ims.example"].contacts[0].subscription.clone().unwrap();
    assert_eq!((&*kept.call_id, &*kept.contact), ("sub1", "<sip:alice@192.0.2.1:5060>"));
    assert_eq!(kept.record_route, "<sip:mo@pcscf.ims.example:4060;lr>");
}
