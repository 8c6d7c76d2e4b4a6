//! What a subscriber may try against another, and races that must not leave a request without an answer.

use super::*;

/// `register` with another To, and before its Authorization one that names the victim in another realm: an I-CSCF that
/// reads the first one asks the HSS about the victim's own pair of identities, which is right.
fn aimed_at(register: &Message, own: &str, victim: (&str, &str), contact: &str) -> Message {
    let (victim_private, victim_public) = victim;
    let text = String::from_utf8(register.raw().to_vec()).expect("ASCII");
    let decoy = format!("Authorization: Digest username=\"{victim_private}\", realm=\"x\", nonce=\"\"\r\n");
    let text = text.replace(&format!("To: <{own}>"), &format!("To: <{victim_public}>"));
    let text = text.replacen("Authorization:", &format!("{decoy}Authorization:"), 1);
    let lines: Vec<_> = text.split("\r\n").filter(|line| !line.starts_with("Contact:")).collect();
    message(&lines.join("\r\n").replacen(
        "Content-Length",
        &format!("Contact: {contact}\r\nContent-Length"),
        1,
    ))
}

#[test]
fn an_answer_to_ones_own_challenge_opens_nobody_elses_registration() {
    let victim = ("alice@ims.example", "sip:alice@ims.example");
    for contact in ["<sip:x@203.0.113.9>;expires=0", "<sip:alice@192.0.2.1:5060>;expires=0"] {
        let mut home = Home::new();
        home.register(&mut Device::alice());
        let mut mallory = Device::bob();
        let first = mallory.register(None);
        let challenge = home.response_to(&first);
        let second = mallory.register(challenge.header(Name::WwwAuthenticate));
        let response = home.response_to(&aimed_at(&second, mallory.public, victim, contact));
        // The 200 would tell the victim's contacts, and make a P-CSCF take this device for the victim's.
        assert_eq!(response.status(), 401, "{contact}");
        let asked = home.hss.requests.last();
        let pair = match asked {
            Some(cx::Request::MultimediaAuthentication(asked)) => {
                Some((asked.private_identity.as_str(), asked.public_identity.as_str()))
            }
            _ => None,
        };
        assert_eq!(pair, Some((mallory.private, victim.1)), "the HSS is asked whether they belong together");
        let set = home.scscf.registrar().find(victim.1).and_then(|id| home.scscf.registrar().set(id));
        assert_eq!(set.map(|set| set.contacts.len()), Some(1));
    }
}

#[test]
fn a_call_cancelled_while_a_dead_flow_makes_way_for_the_other_is_answered() {
    let mut home = Home::new();
    for number in [1, 2] {
        let contact = format!("<sip:bob@192.0.2.{number}:5060;ob>;+sip.instance=\"<urn:x>\";reg-id={number}");
        home.register(&mut Device { contact, call_id: ["", "a", "b"][number], ..Device::bob() });
    }
    let invite = request("INVITE", "sip:bob@ims.example", "");
    let decisions = home.send(&invite);
    let Some(Decision::Forward { server, .. }) =
        decisions.iter().find(|decision| matches!(decision, Decision::Forward { .. }))
    else {
        panic!("forwarded")
    };
    let server = *server;
    let failed = message(&format!(
        "SIP/2.0 430 Flow Failed\r\nVia: SIP/2.0/UDP 127.0.0.1:6060;branch=z9hG4bKs\r\nVia: {}\r\nFrom: {}\r\n\
         To: {};tag=b\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
        invite.header(Name::Via).unwrap_or(""),
        invite.header(Name::From).unwrap_or(""),
        invite.header(Name::To).unwrap_or("")
    ));
    let origin = Origin::Received;
    let again = home.feed(Indication::Response { server, response: failed, origin, branch: 0, flow: None });
    assert_eq!(forwarded(&again).len(), 1, "the other flow gets its turn");
    // The shell does not forward what was cancelled: it hands it back.
    let decisions = home.feed(Indication::Cancelled { server });
    let [Decision::Respond { server: answered, response }] = &decisions[..] else {
        panic!("no answer: {decisions:?}")
    };
    assert_eq!((*answered, response.status()), (server, 487));
    assert_eq!(home.scscf.open_procedures(), 0);
}

fn subscribe(call_id: &str, contact: &str) -> Message {
    let extra = "Route: <sip:orig@scscf.ims.example:6060;lr>\r\nP-Asserted-Identity: <sip:bob@ims.example>\r\nEvent: reg\r\n";
    let text = request("SUBSCRIBE", "sip:bob@ims.example", extra).raw().to_vec();
    let text = String::from_utf8(text).expect("ASCII").replace("Call-ID: c1", &format!("Call-ID: {call_id}"));
    message(&text.replace("Contact: <sip:alice@192.0.2.1:5060>", contact))
}

#[test]
fn a_subscription_that_nobody_could_be_notified_of_is_refused() {
    let mut home = Home::new();
    home.register(&mut Device::bob());
    for contact in
        ["Contact: *", "Contact: *\r\nContact: <sip:bob@192.0.2.2>", "Contact: <tel:+15551234>", "X-A: b"]
    {
        let decisions = home.send(&subscribe("c", contact));
        assert_eq!(notifies(&decisions).len(), 0, "{contact}");
        let [Decision::Respond { response, .. }] = &decisions[..] else { panic!("{decisions:?}") };
        assert_eq!(response.status(), 400, "{contact}");
    }
}

#[test]
fn a_device_that_forgets_its_subscriptions_again_and_again_still_gets_a_new_one() {
    let mut home = Home::new();
    home.register(&mut Device::bob());
    for boot in 0..40 {
        let call_id = format!("boot-{boot}");
        let decisions = home.send(&subscribe(&call_id, "Contact: <sip:bob@192.0.2.2:5060>"));
        let told: Vec<_> =
            notifies(&decisions).iter().map(|(_, notify)| notify.call_id().to_owned()).collect();
        assert!(told.contains(&call_id), "{told:?}");
    }
    let set =
        home.scscf.registrar().find("sip:bob@ims.example").and_then(|id| home.scscf.registrar().set(id));
    assert_eq!(set.map(|set| set.watchers.len()), Some(16));
}
