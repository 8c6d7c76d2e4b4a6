//! "Which value is wrong?": `evertone subscriber check` on what real registrations put on the wire.

use std::time::Duration;

use e2e::{Core, Finished, Kind, Phones, Subscriber};
use sip::aka::{Key, Op, Opc, RandAutn, Secrets, Sqn, SqnHistory};
use sip::digest::{Algorithm, Answer, challenge_for};
use sip::{Message, Method, Name};
use ue::Credentials;

const PATIENCE: Duration = Duration::from_secs(30);

/// A SIM that registers with the core, whatever it holds; what was on the wire.
struct Attempt {
    subscriber: Subscriber,
    pcap: String,
    text: String,
    /// As `text`, of a device that does not check the network, like SIPp: it answers with what it has.
    careless: String,
}

fn attempt(core: &Core, subscriber: &Subscriber, credentials: Credentials) -> Attempt {
    let mut phones = Phones::new(core);
    phones.record = true;
    let own = credentials.clone();
    let number = phones.add_with(subscriber, |profile| profile.credentials = own);
    phones.register(&[number], PATIENCE);
    let name = subscriber.private_identity.split('@').next().expect("a name").to_owned();
    let pcap = core.file(&format!("{name}.pcap"), phones.capture(number).bytes()).display().to_string();
    let transcript = phones.transcript(number);
    let text = core.file(&format!("{name}.txt"), &transcript).display().to_string();
    let wire: Vec<Message> = phones
        .heard(number)
        .wire
        .iter()
        .filter_map(|message| Message::parse(message.bytes.clone()).ok())
        .collect();
    let careless = wire.iter().find(|message| !message.is_request() && message.status() == 401).map_or_else(
        String::new,
        |unauthorized| {
            let value = unauthorized.header(Name::WwwAuthenticate).expect("a challenge");
            answered(&wire[0], value, subscriber, &credentials)
        },
    );
    let careless = core.file(&format!("{name}-careless.txt"), careless).display().to_string();
    Attempt { subscriber: subscriber.clone(), pcap, text, careless }
}

/// The REGISTER `first` again, with an answer to `challenge` that is made without a look at AUTN.
fn answered(first: &Message, challenge: &str, subscriber: &Subscriber, credentials: &Credentials) -> String {
    let parsed = challenge_for([challenge], |_| true).expect("a usable challenge");
    let password = match credentials {
        Credentials::Digest { password } => password.clone().into_bytes(),
        Credentials::Aka { secrets, .. } => {
            let rand = RandAutn::from_nonce(parsed.nonce).expect("RAND and AUTN").rand;
            secrets.respond(&rand).response.reveal().to_vec()
        }
    };
    let answer = Answer {
        username: &subscriber.private_identity,
        password: &password,
        method: Method::Register,
        uri: "sip:ims.example",
        body: b"",
        cnonce: "0a4f113b",
        nonce_count: 1,
        auts: None,
    };
    let value = parsed.answer(&answer).expect("it can be answered");
    let text = String::from_utf8_lossy(first.raw()).into_owned();
    let is_authorization = |line: &&str| line.to_ascii_lowercase().starts_with("authorization:");
    let mut lines: Vec<&str> = text.split("\r\n").filter(|line| !is_authorization(line)).collect();
    let own = format!("Authorization: {value}");
    lines.insert(1, &own);
    lines.join("\r\n").replace("CSeq: 1 REGISTER", "CSeq: 2 REGISTER")
}

#[track_caller]
fn check(core: &Core, capture: &str, more: &[&str]) -> Finished {
    let mut arguments = vec!["subscriber", "check", "--register", capture];
    arguments.extend(more);
    let finished = core.run(&arguments);
    assert!(matches!(finished.code, Some(0 | 2)), "it checks:\n{}", finished.text());
    println!("{}", finished.out.trim_end());
    finished
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(core: &Core, subscriber: &Subscriber, arguments: &[&str]) {
    let mut all = vec!["subscriber", "add", &subscriber.private_identity];
    all.extend(arguments);
    core.run(&all).succeeded();
}

/// A mistake in the record of a SIM.
struct Mistake<'a> {
    what: &'a str,
    record_k: &'a str,
    record_opc: &'a str,
    sim_opc: [u8; 16],
    /// What is found without the SIM's values.
    without: &'a str,
    /// What is found with them.
    with: &'a str,
}

#[test]
fn every_wrong_value_of_a_sim_is_named() {
    let core = Core::serving(51, &[]);
    let sim = Subscriber::new("sim", Kind::Aka);
    let op = [0x5a; 16];
    let opc_of_op = Opc::derive(&Key::new(sim.key), &Op(Key::new(op)));
    let (k, opc, other) = (sim.k_text(), sim.opc_text(), hex(&[0x77; 16]));
    let op_text = hex(&op);
    let (unknown, exchanged) = ("wrong-key-or-opc", "key-and-opc-exchanged");
    let mistake = |what, record_k, record_opc, without, with| Mistake {
        what,
        record_k,
        record_opc,
        sim_opc: sim.opc,
        without,
        with,
    };
    let cases = [
        mistake("wrong K", &other, &opc, unknown, "wrong-key"),
        mistake("wrong OPc", &k, &other, unknown, "wrong-opc"),
        Mistake {
            sim_opc: *opc_of_op.0.reveal(),
            ..mistake("OP given as OPc", &k, &op_text, "op-given-as-opc", "op-given-as-opc")
        },
        mistake("K and OPc exchanged", &opc, &k, exchanged, exchanged),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let Mistake { what, record_k, record_opc, sim_opc, without, with } = case;
        println!("=== {what}");
        let subscriber = Subscriber { opc: sim_opc, ..Subscriber::new(&format!("sim{number}"), Kind::Aka) };
        let subscriber = Subscriber { key: sim.key, ..subscriber };
        add(&core, &subscriber, &["--k", record_k, "--opc", record_opc]);
        let attempt = attempt(&core, &subscriber, subscriber.credentials());
        let values = [subscriber.k_text(), subscriber.opc_text()];
        let known = ["--sim-k", values[0].as_str(), "--sim-opc", values[1].as_str()];
        let mut outputs = String::new();
        // A SIM that refuses tells nothing but that it refuses.
        for capture in [&attempt.pcap, &attempt.text] {
            let found = check(&core, capture, &[]);
            assert_eq!(found.code, Some(2));
            outputs.push_str(
                &found.clone().says("wrong-key-or-opc").says(&attempt.subscriber.private_identity).text(),
            );
            let found = check(&core, capture, &known);
            assert_eq!(found.code, Some(2));
            outputs.push_str(&found.says(with).text());
        }
        // One that answers all the same gives its mix-ups away.
        outputs.push_str(&check(&core, &attempt.careless, &[]).says(without).text());
        outputs.push_str(&check(&core, &attempt.careless, &known).says(with).text());
        for secret in [&k, &opc, &other, &hex(&op), &values[1]] {
            assert!(!outputs.to_lowercase().contains(secret.as_str()), "a secret is printed");
        }
    }
}

#[test]
fn an_sqn_behind_the_sims_is_named_and_repairs_itself() {
    let subscriber = Subscriber::new("ahead", Kind::Aka);
    let core = Core::serving(52, std::slice::from_ref(&subscriber));
    // A SIM that another network has used for years: every IND has seen high numbers.
    let mut history = SqnHistory::default();
    for ind in 0..32 {
        assert!(history.accept(Sqn::from_parts(5000 + u64::from(ind), ind).expect("it fits")));
    }
    let secrets = Secrets { key: Key::new(subscriber.key), opc: Opc(Key::new(subscriber.opc)) };
    let attempt = attempt(&core, &subscriber, Credentials::Aka { secrets, history: Box::new(history) });
    for capture in [&attempt.pcap, &attempt.text] {
        let found = check(&core, capture, &[]);
        assert_eq!(found.code, Some(0), "it has been repaired by the resynchronisation");
        found.says("sqn-was-behind").says("secret-fits");
    }
}

#[test]
fn wrong_passwords_realms_and_identities_are_named() {
    let subscriber = Subscriber::new("soft", Kind::Digest);
    let core = Core::serving(53, std::slice::from_ref(&subscriber));
    let right = attempt(&core, &subscriber, subscriber.credentials());
    for capture in [&right.pcap, &right.text, &right.careless] {
        let found = check(&core, capture, &[]).says("secret-fits");
        assert_eq!(found.code, Some(0));
    }
    let wrong = attempt(&core, &subscriber, Credentials::Digest { password: "anotherone".into() });
    for capture in [&wrong.pcap, &wrong.text] {
        let found =
            check(&core, capture, &[]).says("wrong-password").says("and 2 others with the same result");
        assert_eq!(found.code, Some(2));
        check(&core, capture, &["--password", "anotherone"]).says("wrong-password-in-record");
        check(&core, capture, &["--password", &subscriber.password]).says("wrong-password-in-device");
    }
    // A device that was given another realm.
    let mut phones = Phones::new(&core);
    phones.record = true;
    let number = phones.add(&subscriber);
    assert_eq!(phones.register(&[number], PATIENCE), 1);
    let wire = &phones.heard(number).wire;
    let mut wire = wire.iter().map(|message| Message::parse(message.bytes.clone()).expect("it is SIP"));
    let first = wire.next().expect("a REGISTER");
    // It may have been asked twice before it answered.
    let unauthorized = wire.find(|message| !message.is_request() && message.status() == 401).expect("a 401");
    let challenge = unauthorized.header(Name::WwwAuthenticate).expect("a challenge");
    let elsewhere = challenge.replace("realm=\"ims.example\"", "realm=\"old.example\"");
    assert_ne!(challenge, elsewhere);
    let text = answered(&first, &elsewhere, &subscriber, &subscriber.credentials());
    let file = core.file("realm.txt", text).display().to_string();
    check(&core, &file, &[]).says("wrong-realm").says("password-unknown");
    check(&core, &file, &["--password", &subscriber.password]).says("wrong-realm");
    // One that names somebody else.
    let stranger = Subscriber { private_identity: "nobody@ims.example".into(), ..subscriber.clone() };
    let text = answered(&first, challenge, &stranger, &subscriber.credentials());
    let file = core.file("identity.txt", &text).display().to_string();
    check(&core, &file, &[]).says("wrong-identity");
    let text = text.replace("sip:soft@ims.example", "sip:nobody@ims.example");
    let file = core.file("stranger.txt", &text).display().to_string();
    check(&core, &file, &[]).says("unknown-subscriber").says("unknown-public-identity");
    // A SIM's algorithm against a password's record.
    let sim = Subscriber::new("soft", Kind::Aka);
    assert_eq!(sim.private_identity, subscriber.private_identity);
    assert_eq!(
        challenge_for([challenge], |algorithm| algorithm == Algorithm::Md5).map(|found| found.realm),
        Some("ims.example")
    );
    let nothing = core.file("nothing.txt", "INVITE sip:a SIP/2.0\n\n").display().to_string();
    core.run(&["subscriber", "check", "--register", &nothing]).failed().says("nothing.txt");
}

#[test]
fn a_first_register_that_is_refused_at_once_tells_a_wrong_identity_or_domain() {
    let subscriber = Subscriber::new("soft", Kind::Digest);
    let core = Core::serving(55, std::slice::from_ref(&subscriber));
    let file = |name: &str, domain: &str, user: &str, answer: &str| {
        let text = format!(
            "REGISTER sip:{domain} SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\nMax-Forwards: 70\n\
             From: <sip:{user}@{domain}>;tag=1\nTo: <sip:{user}@{domain}>\nCall-ID: 1\nCSeq: 1 REGISTER\n\
             Contact: <sip:b@192.0.2.1>\nContent-Length: 0\n\n{answer}"
        );
        core.file(name, text).display().to_string()
    };
    let refusal = "SIP/2.0 403 Forbidden\nCall-ID: 1\nCSeq: 1 REGISTER\n\n";
    let stranger = file("stranger.txt", "ims.example", "nobody", refusal);
    assert_eq!(check(&core, &stranger, &[]).says("unknown-public-identity").code, Some(2));
    let astray = file("astray.txt", "old.example", "soft", refusal);
    assert_eq!(check(&core, &astray, &[]).says("wrong-realm").code, Some(2));
    core.run(&["subscriber", "check", "soft@ims.example", "--register", &astray])
        .failed()
        .says("the last of 1 others is of sip:soft@old.example");
    let right = file("right.txt", "ims.example", "soft", "");
    let found = check(&core, &right, &[]).says("nothing-to-check").says("capture the second REGISTER");
    assert_eq!(found.code, Some(0));
}

#[test]
fn a_live_attempt_is_checked_as_it_happens() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: this user may not capture packets");
        return;
    }
    let subscriber = Subscriber::new("live", Kind::Digest);
    let core = Core::serving(54, std::slice::from_ref(&subscriber));
    let mut phones = Phones::new(&core);
    let number = phones.add_with(&subscriber, |profile| {
        profile.credentials = Credentials::Digest { password: "anotherone".into() }
    });
    let found = std::thread::scope(|scope| {
        let checking = scope.spawn(|| {
            core.run(&["subscriber", "check", "--live", "live@ims.example", "--timeout-seconds", "30"])
        });
        while !checking.is_finished() {
            phones.register(&[number], PATIENCE);
            phones.run_for(Duration::from_millis(300));
        }
        checking.join().expect("it ends")
    });
    println!("{}", found.text());
    assert_eq!(found.code, Some(2));
    found.says("wrong-password");
}
