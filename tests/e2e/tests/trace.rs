//! `evertone trace`: does the ladder say what happened, in order, to somebody who knows SIP?

use std::time::Duration;

use e2e::{Core, Kind, Phones, Subscriber, signal, wait_until};
use rustix::process::Signal;
use ue::{AnswerBehaviour, Credentials};

const PATIENCE: Duration = Duration::from_secs(30);

/// The labels on the arrows, in order, with their direction. What was sent again because the machine stood still is left out.
fn arrows(ladder: &str) -> Vec<String> {
    let is_arrow = |line: &&str| line.contains('│') && (line.contains('▶') || line.contains('◀'));
    let lines = ladder.lines().filter(is_arrow).filter(|line| !line.contains("(repetition)"));
    lines
        .map(|line| {
            let direction = if line.contains('▶') { ">" } else { "<" };
            // `│             │─ 401 REGISTER ─▶│`: the label stands between dashes.
            let start = line.find(['─', '◀', '·']).expect("an arrow has a shaft");
            let label: String = line[start..]
                .chars()
                .skip_while(|c| "─◀·▶ ".contains(*c))
                .take_while(|c| !"─▶│·".contains(*c))
                .collect();
            format!("{direction}{}", label.trim())
        })
        .collect()
}

#[track_caller]
fn assert_in_order(ladder: &str, wanted: &[&str]) {
    let found = arrows(ladder);
    let mut rest = found.iter();
    for label in wanted {
        assert!(
            rest.any(|arrow| arrow == label),
            "{label:?} is missing, or not in its place:\n{found:?}\n{ladder}"
        );
    }
}

#[test]
fn registration_and_call_are_told_as_ladders_across_all_functions() {
    let people = [Subscriber::new("alice", Kind::Aka), Subscriber::new("bob", Kind::Digest)];
    let core = Core::serving(61, &people);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&people);
    assert_eq!(phones.register(&numbers, PATIENCE), 2);
    let registration = core.run(&["trace", "sip:alice@ims.example"]).succeeded();
    println!("{}", registration.out);
    let whole = [
        [
            ">REGISTER",
            ">REGISTER",
            ">UAR",
            "<UAA 2001",
            ">REGISTER",
            ">MAR",
            "<MAA 2001",
            "<401",
            "<401",
            "<401",
        ],
        [
            ">REGISTER",
            ">REGISTER",
            ">UAR",
            "<UAA 2002",
            ">REGISTER",
            ">SAR",
            "<SAA 2001",
            "<200",
            "<200",
            "<200",
        ],
    ];
    assert_eq!(arrows(&registration.out), whole.concat());
    assert!(!registration.out.contains("bob"), "nobody else's registration");

    // Registered again, with the same Call-ID: a ladder of its own.
    assert_eq!(phones.register(&numbers[..1], PATIENCE), 1);
    let again = core.run(&["trace", "sip:alice@ims.example", "--last", "1"]).succeeded();
    assert_eq!(arrows(&again.out).len(), 20, "{}", again.out);
    again.says("the registration is refreshed").says("1 earlier exchange");

    phones.call(numbers[0], numbers[1], PATIENCE).expect("the call succeeds");
    let call = core.run(&["trace", "sip:bob@ims.example", "--last", "1"]).succeeded();
    println!("{}", call.out);
    // The 200 may leave the called device while its 180 is still on its way: each has its own order, not one with the other.
    let invited =
        [">INVITE", ">INVITE", "<INVITE", ">LIR", "<LIA 2001", ">INVITE", "<INVITE", "<INVITE"].as_slice();
    let rings = [">180", ">180 INVITE", "<180", ">180", "<180 INVITE", "<180 INVITE"].as_slice();
    let answers = [">200", ">200 INVITE", "<200", ">200", "<200 INVITE", "<200 INVITE"].as_slice();
    let ends = [">ACK", "<ACK", ">BYE", "<BYE", ">200 BYE", "<200 BYE"].as_slice();
    assert_in_order(&call.out, &[invited, rings].concat());
    assert_in_order(&call.out, &[invited, answers, ends].concat());
    call.says("the call succeeded");
    let call_id = call_id(&core);
    let by_call = core.run(&["trace", &call_id]).succeeded();
    assert!(
        by_call.out.contains("call from sip:alice@ims.example to sip:bob@ims.example"),
        "{}",
        by_call.out
    );
    core.run(&["trace", "sip:nobody@ims.example"]).failed().says("nothing is recorded of");
}

fn call_id(core: &Core) -> String {
    let call = core.run(&["trace", "sip:bob@ims.example", "--last", "1"]).succeeded().out;
    let (_, rest) = call.split_once("Call-ID ").expect("the title names the call");
    rest.split_whitespace().next().expect("it is not empty").to_owned()
}

#[test]
fn what_goes_wrong_is_explained_by_its_ladder() {
    let people = [
        Subscriber::new("alice", Kind::Digest),
        Subscriber::new("bob", Kind::Digest),
        Subscriber::new("carol", Kind::Digest),
    ];
    let core = Core::serving(62, &people);
    let mut phones = Phones::new(&core);
    let alice = phones.add(&people[0]);
    let bob = phones.add_with(&people[1], |profile| profile.callee.answer = AnswerBehaviour::Busy);
    assert_eq!(phones.register(&[alice, bob], PATIENCE), 2);
    let mut call = |to: &str| {
        let call = phones.order(alice, |device, now| device.call(now, to));
        let is_over = |phones: &Phones| phones.device(alice).is_quiet();
        assert!(phones.run_until(PATIENCE, is_over));
        core.run(&["trace", &call]).succeeded().out
    };
    let cases = [
        ("sip:bob@ims.example", "busy"),
        ("sip:carol@ims.example", "480"),
        ("sip:nobody@ims.example", "404"),
        ("sip:112@ims.example", "Emergency"),
    ];
    for (to, words) in cases {
        let ladder = call(to);
        println!("{ladder}");
        assert!(ladder.contains(words), "{words:?} is missing:\n{ladder}");
        assert!(ladder.contains("Outcome: "), "{ladder}");
    }
    let wrong = phones.add_with(&people[2], |profile| {
        profile.credentials = Credentials::Digest { password: "wrong".into() }
    });
    phones.register(&[wrong], PATIENCE);
    let ladder = core.run(&["trace", "carol@ims.example"]).succeeded().out;
    println!("{ladder}");
    assert!(ladder.contains("registration of sip:carol@ims.example"));
    assert!(ladder.contains("could not prove who it is") && ladder.contains("subscriber check"), "{ladder}");

    // The HSS is away: where did it stop?
    let hss = core.pids()["hss"];
    signal(hss, Signal::STOP);
    phones.order(alice, |device, now| device.register(now));
    phones.run_for(Duration::from_millis(800));
    let ladder = core.run(&["trace", "sip:alice@ims.example", "--last", "1"]);
    println!("{}", ladder.text());
    signal(hss, Signal::CONT);
    assert!(
        ladder.text().contains("incomplete: hss") || ladder.text().contains("no final answer"),
        "{}",
        ladder.text()
    );
    assert!(wait_until(PATIENCE, || core.run(&["status"]).code == Some(0)));
}
