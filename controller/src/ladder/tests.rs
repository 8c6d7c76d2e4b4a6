//! Records as functions give them, and the pictures made of them.

use super::*;
use FunctionKind::{Hss, Icscf, Pcscf, Scscf};

fn sip(micros: u64, direction: &str, peer: &str, summary: &str, branch: &str) -> Told {
    let number = if micros < 5000 { 1 } else { 2 };
    Told {
        time_micros: 1_000_000_000 + micros,
        direction: direction.into(),
        protocol: "UDP".into(),
        peer: peer.into(),
        summary: summary.into(),
        call_id: "c1".into(),
        cseq: format!("{number} REGISTER"),
        from: "<sip:bob@a.b>;tag=1".into(),
        to: "<sip:bob@a.b>".into(),
        branch: branch.into(),
        ..Told::default()
    }
}

fn cx(micros: u64, direction: &str, peer: &str, summary: &str) -> Told {
    Told {
        time_micros: 1_000_000_000 + micros,
        direction: direction.into(),
        protocol: "Diameter".into(),
        peer: peer.into(),
        summary: summary.into(),
        public_identity: "sip:bob@a.b".into(),
        ..Told::default()
    }
}

/// The stories of functions that remember everything.
fn stories(records: &[(FunctionKind, Vec<Told>)], addresses: &Addresses) -> Vec<Story> {
    let remember = |(kind, told): &(FunctionKind, Vec<Told>)| {
        (*kind, Memory { since_micros: 0, messages: told.clone() })
    };
    super::stories(&records.iter().map(remember).collect::<Vec<_>>(), addresses)
}

const DEVICE: &str = "127.0.0.1:5080";
const REGISTER: &str = "REGISTER sip:a.b SIP/2.0";
const UNAUTHORIZED: &str = "SIP/2.0 401 Unauthorized";

fn addresses() -> Addresses {
    [("127.0.0.11:4060", Pcscf), ("127.0.0.12:5060", Icscf)]
        .into_iter()
        .map(|(address, kind)| (address.parse().expect("an address"), kind))
        .collect()
}

fn challenge() -> Vec<(FunctionKind, Vec<Told>)> {
    let mut again = sip(900, "received", DEVICE, REGISTER, "b1");
    again.time_micros += 500;
    vec![
        (
            Pcscf,
            vec![
                sip(0, "received", DEVICE, REGISTER, "b1"),
                sip(100, "sent", "127.0.0.12:5060", REGISTER, "b2"),
                again,
                sip(3000, "received", "127.0.0.12:5060", UNAUTHORIZED, "b2"),
                sip(3100, "sent", DEVICE, UNAUTHORIZED, "b1"),
            ],
        ),
        (
            Icscf,
            vec![
                sip(150, "received", "127.0.0.11:4060", REGISTER, "b2"),
                cx(200, "sent", "hss.a.b", "UAR"),
                cx(400, "received", "hss.a.b", "UAA 2001 FIRST_REGISTRATION"),
                sip(500, "sent", "127.0.0.13:6060", REGISTER, "b3"),
                sip(2900, "sent", "127.0.0.11:4060", UNAUTHORIZED, "b2"),
            ],
        ),
        (Scscf, vec![sip(550, "received", "127.0.0.12:5060", REGISTER, "b3")]),
        (
            Hss,
            vec![
                cx(250, "received", "icscf.a.b", "UAR"),
                cx(350, "sent", "icscf.a.b", "UAA 2001 FIRST_REGISTRATION"),
            ],
        ),
    ]
}

#[test]
fn what_one_function_sent_and_another_received_is_one_arrow() {
    let stories = stories(&challenge(), &addresses());
    assert_eq!(stories.len(), 1);
    let arrows: Vec<String> = stories[0]
        .arrows
        .iter()
        .map(|arrow| format!("{:?}>{:?} {}", arrow.from, arrow.to, arrow.method()).replace("Function", ""))
        .collect();
    let device = format!("Device({DEVICE:?})");
    assert_eq!(
        arrows,
        [
            format!("{device}>(Pcscf) REGISTER"),
            "(Pcscf)>(Icscf) REGISTER".into(),
            "(Icscf)>(Hss) UAR".into(),
            "(Hss)>(Icscf) UAA".into(),
            "(Icscf)>(Scscf) REGISTER".into(),
            format!("{device}>(Pcscf) REGISTER"),
            "(Icscf)>(Pcscf) REGISTER".into(),
            format!("(Pcscf)>{device} REGISTER"),
        ]
    );
    assert!(stories[0].arrows[5].is_repetition, "the device asked again");
    assert!(stories[0].arrows.iter().all(|arrow| !arrow.is_lost()));
}

#[test]
fn the_ladder_can_be_read() {
    let text = stories(&challenge(), &addresses())[0].draw();
    for expected in [
        "registration of sip:bob@a.b, Call-ID c1",
        "device        P-CSCF        I-CSCF        S-CSCF        HSS",
        "│─ REGISTER ─▶│             │             │             │  the device asks to register",
        "│             │             │─────────── UAR ──────────▶│  may this user register here",
        "│◀─── 401 ────│             │             │             │  a challenge: prove who you are",
        "(repetition)",
        "Outcome: the device was challenged and has not answered",
        "1 message was sent again.",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
    }
}

#[test]
fn a_message_that_never_arrived_between_functions_is_marked() {
    let mut records = challenge();
    records[0].1.truncate(2);
    records[1].1.clear();
    records.truncate(2);
    let stories = stories(&records, &addresses());
    let text = stories[0].draw();
    assert!(text.contains('✗') && text.contains("(was not received)"), "{text}");
    assert!(text.contains("no final answer"), "{text}");
}

#[test]
fn each_call_has_a_ladder_of_its_own() {
    let mut records = challenge();
    let mut other = sip(9000, "received", DEVICE, "INVITE sip:eve@a.b SIP/2.0", "b9");
    (other.call_id, other.cseq) = ("c2".into(), "1 INVITE".into());
    records[0].1.push(other);
    let stories = stories(&records, &addresses());
    assert_eq!(stories.iter().map(|story| story.call_id.as_str()).collect::<Vec<_>>(), ["c1", "c2"]);
    assert!(stories[1].draw().contains("call from sip:bob@a.b"));
}

#[test]
fn a_function_that_sends_to_itself_is_drawn() {
    let records = [(
        Icscf,
        vec![
            sip(0, "sent", "127.0.0.12:5060", REGISTER, "b1"),
            sip(50, "received", "127.0.0.12:5060", REGISTER, "b1"),
        ],
    )];
    let stories = stories(&records, &addresses());
    assert_eq!(stories[0].arrows.len(), 1);
    assert!(!stories[0].arrows[0].is_lost());
    assert!(stories[0].draw().contains("│↺ REGISTER"), "{}", stories[0].draw());
}

#[test]
fn diameter_of_another_exchange_stays_out() {
    let mut records = challenge();
    let eve = |mut told: Told| {
        told.public_identity = "sip:eve@a.b".into();
        told
    };
    records[1].1.push(eve(cx(600, "sent", "hss.a.b", "UAR")));
    records[1].1.push(cx(700, "sent", "hss.a.b", "LIR"));
    let before = stories(&challenge(), &addresses());
    assert_eq!(stories(&records, &addresses()), before, "neither another user's nor another procedure's");
}

#[test]
fn what_the_hss_begins_is_a_story_of_its_own() {
    let records =
        [(Hss, vec![cx(0, "sent", "scscf.a.b", "RTR")]), (Scscf, vec![cx(5, "received", "hss.a.b", "RTR")])];
    let stories = stories(&records, &addresses());
    assert!(stories[0].draw().contains("the operator ends the registration"), "{}", stories[0].draw());
}

#[test]
fn each_registration_has_a_ladder_of_its_own_though_the_call_id_is_the_same() {
    let mut records = challenge();
    let mut later = sip(100, "sent", DEVICE, "SIP/2.0 200 OK", "b1");
    later.time_micros += 5_000;
    let mut again = sip(0, "received", DEVICE, REGISTER, "b7");
    again.time_micros += 60_000_000;
    again.cseq = "3 REGISTER".into();
    records[0].1.extend([later, again]);
    let stories = stories(&records, &addresses());
    assert_eq!(stories.iter().map(|story| story.call_id.as_str()).collect::<Vec<_>>(), ["c1", "c1"]);
    assert_eq!(stories[1].arrows.len(), 1);
    assert!(stories[0].draw().contains("succeeded after one challenge"), "{}", stories[0].draw());
}

#[test]
fn what_a_sar_is_about_stands_in_the_words() {
    let mut records = challenge();
    records[3].1.push(cx(560, "received", "scscf.a.b", "SAR AUTHENTICATION_FAILURE"));
    let text = stories(&records, &addresses())[0].draw();
    assert!(text.contains("◀") && text.contains("the device could not prove who it is"), "{text}");
    assert!(!text.contains("The HSS refused"), "a request is no refusal: {text}");
}

fn of_call(micros: u64, direction: &str, peer: &str, summary: &str, call: &str) -> Told {
    Told {
        call_id: call.into(),
        cseq: "1 INVITE".into(),
        from: "<sip:alice@a.b>;tag=1".into(),
        ..sip(micros, direction, peer, summary, &format!("b{call}"))
    }
}

/// A LIR and its answer, as the I-CSCF and the HSS tell them.
fn lookup(records: &mut [(FunctionKind, Vec<Told>)], micros: u64, end_to_end: u32) {
    let tell = |micros, direction, peer, summary| Told {
        end_to_end: Some(end_to_end),
        ..cx(micros, direction, peer, summary)
    };
    records[0].1.push(tell(micros, "sent", "hss.a.b", "LIR"));
    records[1].1.push(tell(micros + 20, "received", "icscf.a.b", "LIR"));
    records[1].1.push(tell(micros + 40, "sent", "icscf.a.b", "LIA 2001"));
    records[0].1.push(tell(micros + 60, "received", "hss.a.b", "LIA 2001"));
}

const INVITE: &str = "INVITE sip:bob@a.b SIP/2.0";
const SCSCF: &str = "127.0.0.13:6060";

/// Two calls to the same user, at 0 and at `apart`; the I-CSCF answers each after 1 s.
fn two_calls(apart: u64) -> Vec<(FunctionKind, Vec<Told>)> {
    let mut records = vec![(Icscf, Vec::new()), (Hss, Vec::new())];
    for (start, call) in [(0, "c1"), (apart, "c2")] {
        records[0].1.push(of_call(start, "received", SCSCF, INVITE, call));
        lookup(&mut records, start + 100, start as u32 + 7);
        records[0].1.push(of_call(start + 1_000_000, "sent", SCSCF, "SIP/2.0 200 OK", call));
    }
    records
}

fn told_of(story: &Story) -> Vec<(u64, &str)> {
    let is_diameter = |arrow: &&Arrow| arrow.is_diameter();
    story
        .arrows
        .iter()
        .filter(is_diameter)
        .map(|arrow| (arrow.micros - 1_000_000_000, arrow.method()))
        .collect()
}

#[test]
fn each_of_two_calls_to_the_same_user_has_its_own_lookup() {
    for apart in [500, 900_000, 1_003_000] {
        let stories = stories(&two_calls(apart), &addresses());
        assert_eq!(told_of(&stories[0]), [(100, "LIR"), (140, "LIA")], "{apart}");
        assert_eq!(told_of(&stories[1]), [(apart + 100, "LIR"), (apart + 140, "LIA")], "{apart}");
        assert!(stories.iter().all(|story| story.arrows.iter().all(|arrow| !arrow.is_lost())));
    }
}

#[test]
fn a_message_is_paired_with_itself_and_not_with_its_like() {
    let mut records = two_calls(500);
    // The HSS never received the first LIR.
    records[1].1.drain(..2);
    let stories = stories(&records, &addresses());
    let lost = |story: &Story| story.arrows.iter().map(Arrow::is_lost).collect::<Vec<_>>();
    assert_eq!(lost(&stories[0]), [false, true, false, false], "{}", stories[0].draw());
    assert_eq!(lost(&stories[1]), [false; 4], "{}", stories[1].draw());
}

#[test]
fn what_the_hss_did_later_is_not_drawn_into_a_finished_call() {
    let mut records = two_calls(1_003_000);
    // As for the Call-ID of the first: the I-CSCF tells nothing of the second, the HSS all about the user.
    records[0].1.truncate(4);
    let later = |micros, direction, summary| cx(micros, direction, "scscf.a.b", summary);
    records[1].1.push(later(500_000, "received", "MAR"));
    records[1].1.push(later(500_100, "sent", "MAA 2001"));
    let stories = stories(&records, &addresses());
    assert_eq!(told_of(&stories[0]), [(100, "LIR"), (140, "LIA")]);
    assert!(!stories[0].draw().contains("lost between"), "{}", stories[0].draw());
    assert_eq!(stories.len(), 1);
}

#[test]
fn a_lookup_after_the_final_answer_belongs_to_nobody() {
    for (at, count) in [(1_000_000, 4), (1_000_001, 2)] {
        let mut records = two_calls(9_000_000);
        records[0].1.truncate(4);
        records[1].1.truncate(2);
        lookup(&mut records, at, 99);
        assert_eq!(told_of(&stories(&records, &addresses())[0]).len(), count, "{at}");
    }
}

#[test]
fn what_a_function_has_forgotten_is_not_called_lost() {
    let mut told = two_calls(9_000_000);
    told[1].1.clear();
    told[0].1.truncate(4);
    let sent = told[0].1[1].time_micros;
    for (since_micros, is_lost) in [(sent, true), (sent + 1, false)] {
        let records = [
            (Icscf, Memory { since_micros: 0, messages: told[0].1.clone() }),
            (Hss, Memory { since_micros, messages: Vec::new() }),
        ];
        let text = super::stories(&records, &addresses())[0].draw();
        assert_eq!(text.contains("1 message was lost"), is_lost, "{text}");
        assert_eq!(text.contains("What the HSS received is not known"), !is_lost, "{text}");
    }
    // Nor is what a function received that does not answer.
    let text = stories(&told[..1], &addresses())[0].draw();
    assert!(!text.contains("lost") && text.contains("What the HSS received is not known"), "{text}");
}

/// A call to bob that `from` refuses after the HSS has said `located`; P-CSCF and I-CSCF tell it.
fn refused_by(from: &str, summary: &str, cancelled: bool, located: &str) -> String {
    let callee = "127.0.0.1:5090";
    let mut told = vec![
        of_call(0, "received", DEVICE, INVITE, "c1"),
        Told { branch: "b2".into(), ..of_call(100, "sent", callee, INVITE, "c1") },
    ];
    if cancelled {
        let cancel = of_call(150, "received", DEVICE, "CANCEL sip:bob@a.b SIP/2.0", "c1");
        told.push(Told { cseq: "1 CANCEL".into(), ..cancel });
    }
    if from == "device" {
        told.push(Told { branch: "b2".into(), ..of_call(200, "received", callee, summary, "c1") });
    } else if let Some((_, address)) = CSCFS.iter().find(|(name, _)| *name == from) {
        told.push(Told { branch: "b2".into(), ..of_call(200, "received", address, summary, "c1") });
    }
    told.push(of_call(300, "sent", DEVICE, summary, "c1"));
    let mut asked = vec![of_call(110, "received", CSCFS[1].1, INVITE, "c1")];
    if !located.is_empty() {
        asked.push(cx(120, "sent", "hss.a.b", "LIR"));
        asked.push(cx(130, "received", "hss.a.b", &format!("LIA {located}")));
    }
    let mut addresses = addresses();
    addresses.insert(SCSCF.parse().expect("an address"), Scscf);
    stories(&[(Pcscf, told), (Icscf, asked)], &addresses)[0].draw()
}

const CSCFS: [(&str, &str); 2] = [("I-CSCF", "127.0.0.12:5060"), ("S-CSCF", SCSCF)];

#[test]
fn who_refused_a_call_stands_in_the_last_sentence() {
    let busy = "SIP/2.0 486 Busy Here";
    let unavailable = "SIP/2.0 480 Temporarily Unavailable";
    let (not_found, terminated) = ("SIP/2.0 404 Not Found", "SIP/2.0 487 Request Terminated");
    let gone = "SIP/2.0 480 The device's connection is gone";
    let cases = [
        ("device", unavailable, false, "the callee's device answered 480 (Temporarily Unavailable)"),
        ("device", not_found, false, "the callee's device answered 404 (Not Found)"),
        ("device", terminated, false, "the callee's device answered 487 (Request Terminated)"),
        ("device", terminated, true, "the caller gave up"),
        ("device", busy, false, "the called user is busy"),
        ("P-CSCF", gone, false, "the P-CSCF answered 480: The device's connection is gone"),
        ("I-CSCF", "SIP/2.0 480 The HSS does not answer", false, "the I-CSCF answered 480: The HSS does not"),
    ]
    .map(|(from, summary, cancelled, wanted)| (from, summary, cancelled, "", wanted));
    let (unknown, away) = ("5001 ERROR_USER_UNKNOWN", "5003 ERROR_IDENTITY_NOT_REGISTERED");
    let of_the_hss = [
        ("I-CSCF", not_found, unknown, "there is no such user"),
        // A next hop that is not known, a barred identity, an unreachable device.
        ("I-CSCF", not_found, "2001 SUCCESS", "the I-CSCF answered 404: Not Found"),
        ("S-CSCF", not_found, "2001 SUCCESS", "the S-CSCF answered 404: Not Found"),
        ("S-CSCF", unavailable, "2001 SUCCESS", "the S-CSCF answered 480: Temporarily Unavailable"),
        ("S-CSCF", unavailable, "2003 UNREGISTERED_SERVICE", "no registered device"),
        ("I-CSCF", "SIP/2.0 480 Not registered", away, "no registered device"),
    ]
    .map(|(from, summary, located, wanted)| (from, summary, false, located, wanted));
    for (from, summary, cancelled, located, wanted) in cases.into_iter().chain(of_the_hss) {
        let text = refused_by(from, summary, cancelled, located);
        let (_, outcome) = text.split_once("Outcome: ").expect("a last sentence");
        assert!(outcome.contains(wanted), "{wanted:?} is missing in\n{text}");
        let claims =
            ["no registered device", "no such user", "gave up", "nobody here", "the caller's CANCEL"];
        for claim in claims.into_iter().filter(|claim| !wanted.contains(claim)) {
            assert!(!text.contains(claim), "{claim:?} is wrong in\n{text}");
        }
    }
}

#[test]
fn strange_text_and_times_are_no_panic() {
    let strange = |told: Told| Told { time_micros: u64::MAX, ..told };
    let records = [(
        Icscf,
        vec![
            strange(sip(0, "received", DEVICE, REGISTER, "b1")),
            strange(cx(0, "sent", "hss.a.b", "UAR")),
            strange(cx(0, "received", "hss.a.b", "RÄA")),
        ],
    )];
    assert_eq!(stories(&records, &addresses()).len(), 1);
}

#[test]
fn of_two_copies_the_lost_one_is_the_one_that_was_not_received() {
    for (received, lost) in [(150, [false, true]), (650, [true, false]), (90, [false, true])] {
        let records = [
            (
                Pcscf,
                vec![
                    sip(100, "sent", "127.0.0.12:5060", REGISTER, "b2"),
                    sip(600, "sent", "127.0.0.12:5060", REGISTER, "b2"),
                ],
            ),
            (Icscf, vec![sip(received, "received", "127.0.0.11:4060", REGISTER, "b2")]),
        ];
        let stories = stories(&records, &addresses());
        assert_eq!(stories[0].arrows.iter().map(Arrow::is_lost).collect::<Vec<_>>(), lost, "{received}");
    }
}

#[test]
fn the_second_device_that_rings_is_no_repetition() {
    let ringing = |micros, tag: &str| Told {
        to: format!("<sip:bob@a.b>;tag={tag}"),
        ..of_call(micros, "sent", SCSCF, "SIP/2.0 180 Ringing", "c1")
    };
    let told = vec![ringing(0, "x"), ringing(10, "y"), ringing(20, "x")];
    let repetitions: Vec<bool> =
        stories(&[(Icscf, told)], &addresses())[0].arrows.iter().map(|arrow| arrow.is_repetition).collect();
    assert_eq!(repetitions, [false, false, true]);
}

#[test]
fn an_identity_that_ends_like_another_is_another() {
    let mut records = two_calls(9_000_000);
    records[0].1.truncate(4);
    records[1].1.truncate(2);
    for (identity, count) in [("sip:b@a.b", 0), ("sip:ob@a.b", 0), ("sip:bob@a", 0), ("sip:bob@a.b", 2)] {
        for (_, messages) in &mut records {
            messages.iter_mut().for_each(|told| told.public_identity = identity.into());
        }
        assert_eq!(told_of(&stories(&records, &addresses())[0]).len(), count, "{identity}");
    }
}

fn exchange_of(
    micros: u64,
    command: &str,
    answer: &str,
    ends: [(FunctionKind, &str); 2],
) -> Vec<(FunctionKind, Vec<Told>)> {
    let tell = |micros, direction, peer, summary| Told {
        end_to_end: Some(micros as u32 / 1000),
        ..cx(micros, direction, peer, summary)
    };
    let [(asker, asker_host), (asked, asked_host)] = ends;
    vec![
        (
            asker,
            vec![
                tell(micros, "sent", asked_host, command),
                tell(micros + 30, "received", asked_host, answer),
            ],
        ),
        (
            asked,
            vec![
                tell(micros + 10, "received", asker_host, command),
                tell(micros + 20, "sent", asker_host, answer),
            ],
        ),
    ]
}

const HSS_TO_SCSCF: [(FunctionKind, &str); 2] = [(Hss, "hss.a.b"), (Scscf, "scscf.a.b")];
const SCSCF_TO_HSS: [(FunctionKind, &str); 2] = [(Scscf, "scscf.a.b"), (Hss, "hss.a.b")];

#[test]
fn each_exchange_that_no_device_caused_is_a_story_with_a_name() {
    let mut records = exchange_of(0, "RTR", "RTA 5001 ERROR_USER_UNKNOWN", HSS_TO_SCSCF);
    for (place, (_, later)) in
        exchange_of(90_000, "RTR", "RTA 2001 SUCCESS", HSS_TO_SCSCF).into_iter().enumerate()
    {
        records[place].1.extend(later);
    }
    let stories = stories(&records, &addresses());
    assert_eq!(stories.iter().map(|story| story.arrows.len()).collect::<Vec<_>>(), [2, 2]);
    let text = stories[0].draw();
    assert!(text.contains("RTR about sip:bob@a.b"), "{text}");
    assert!(text.contains("The S-CSCF refused: RTA 5001"), "{text}");
}

#[test]
fn what_the_scscf_begins_is_a_story_of_its_own() {
    let registers = |from: u64, until: u64| {
        vec![
            sip(from, "received", "127.0.0.12:5060", REGISTER, "b3"),
            sip(until, "sent", "127.0.0.12:5060", "SIP/2.0 200 OK", "b3"),
        ]
    };
    // While a REGISTER is open, the S-CSCF may tell the HSS what it asked for, but not what its timers say.
    let cases = [
        ("SAR USER_DEREGISTRATION", 9_000, 1),
        ("SAR USER_DEREGISTRATION", 7_000, 2),
        ("SAR TIMEOUT_DEREGISTRATION", 9_000, 2),
        ("SAR AUTHENTICATION_TIMEOUT", 7_000, 2),
        ("SAR AUTHENTICATION_FAILURE", 7_000, 1),
    ];
    for (command, until, count) in cases {
        let mut records = exchange_of(8_000, command, "SAA 2001 SUCCESS", SCSCF_TO_HSS);
        records[0].1.extend(registers(6_000, until));
        let stories = stories(&records, &addresses());
        assert_eq!(stories.len(), count, "{command} {until}");
        assert_eq!(told_of(&stories[count - 1]).len(), 2, "{command} {until}");
    }
}

/// The last sentence of what the P-CSCF tells.
fn outcome(told: Vec<Told>) -> String {
    let text = stories(&[(Pcscf, told)], &addresses())[0].draw();
    text.split_once("Outcome: ").expect("a last sentence").1.to_owned()
}

/// A message of the call between the P-CSCF and a device: its peer, its summary, the sender's tag, its branch and CSeq.
fn at(micros: u64, direction: &str, peer: &str, summary: &str, side: [&str; 3]) -> Told {
    let [tag, branch, cseq] = side;
    Told {
        branch: branch.into(),
        cseq: cseq.into(),
        from: format!("<sip:alice@a.b>;tag={tag}"),
        ..of_call(micros, direction, peer, summary, "c1")
    }
}

const OK: &str = "SIP/2.0 200 OK";
const BYE: &str = "BYE sip:bob@a.b SIP/2.0";
const ACK: &str = "ACK sip:bob@a.b SIP/2.0";

#[test]
fn a_device_may_change_its_address_within_a_call() {
    // The port of the Via is not the one it sends from, and the rest comes over another connection.
    let (via, later) = ("127.0.0.1:6000", "127.0.0.1:7000");
    let begun = vec![
        at(0, "received", DEVICE, INVITE, ["1", "b1", "1 INVITE"]),
        at(900, "sent", via, OK, ["1", "b1", "1 INVITE"]),
        at(1_000, "received", later, ACK, ["1", "b2", "1 ACK"]),
    ];
    for (side, who) in [("1", "the caller hung up"), ("2", "the called side hung up")] {
        let bye = at(2_000, "received", later, BYE, [side, "b3", "2 BYE"]);
        let text = outcome([begun.clone(), vec![bye]].concat());
        assert!(text.starts_with("the call succeeded") && text.contains(who), "{text}");
        assert!(!text.contains("no ACK"), "{text}");
    }
    let cancelled = vec![
        begun[0].clone(),
        at(500, "received", later, "CANCEL sip:bob@a.b SIP/2.0", ["1", "b1", "1 CANCEL"]),
        at(600, "sent", via, "SIP/2.0 487 Request Terminated", ["1", "b1", "1 INVITE"]),
    ];
    assert!(outcome(cancelled).starts_with("the caller gave up"));
    let registered = vec![
        at(0, "received", DEVICE, REGISTER, ["1", "b1", "1 REGISTER"]),
        at(900, "sent", via, OK, ["1", "b1", "1 REGISTER"]),
    ];
    assert!(outcome(registered).starts_with("the registration succeeded"));
}

#[test]
fn a_repeated_challenge_is_one_challenge() {
    let mut records = challenge();
    let repeated = sip(3_600, "sent", DEVICE, UNAUTHORIZED, "b1");
    records[0].1.push(Told { is_retransmission: true, ..repeated });
    let text = stories(&records, &addresses())[0].draw();
    assert!(text.contains("the device was challenged and has not answered"), "{text}");
}

#[test]
fn a_call_that_is_asked_for_again_ends_with_its_answer() {
    let too_small = "SIP/2.0 422 Session Interval Too Small";
    let mut told = vec![
        at(0, "received", DEVICE, INVITE, ["1", "b1", "1 INVITE"]),
        at(100, "sent", DEVICE, too_small, ["1", "b1", "1 INVITE"]),
        at(200, "received", DEVICE, ACK, ["1", "b1", "1 ACK"]),
        at(300, "received", DEVICE, INVITE, ["1", "b2", "2 INVITE"]),
    ];
    assert!(outcome(told.clone()).contains("422"), "nothing better has come");
    told.push(at(400, "sent", DEVICE, OK, ["1", "b2", "2 INVITE"]));
    assert!(outcome(told.clone()).contains("no ACK"), "the ACK was of the 422");
    told.push(at(500, "received", "127.0.0.1:5090", ACK, ["2", "b3", "1 ACK"]));
    assert!(outcome(told.clone()).contains("no ACK"), "it was the other side's");
    told.push(at(600, "received", DEVICE, ACK, ["1", "b4", "2 ACK"]));
    let text = outcome(told);
    assert!(text.starts_with("the call succeeded") && !text.contains("no ACK"), "{text}");
}

#[test]
fn a_call_without_an_answer_got_stuck_where_its_invite_went() {
    let callee = "127.0.0.1:5090";
    let told = vec![
        at(0, "received", DEVICE, INVITE, ["1", "b1", "1 INVITE"]),
        at(100, "sent", callee, INVITE, ["1", "b2", "1 INVITE"]),
        at(200, "received", DEVICE, "CANCEL sip:bob@a.b SIP/2.0", ["1", "b1", "1 CANCEL"]),
    ];
    let text = outcome(told);
    assert!(text.contains("it was last sent to the device at 127.0.0.1:5090"), "{text}");
}

#[test]
fn a_changed_call_is_not_answered_again() {
    let of =
        |direction, from, summary, micros| at(micros, direction, DEVICE, summary, [from, "b1", "1 INVITE"]);
    let told = vec![
        of("received", "1", INVITE, 0),
        of("sent", "1", OK, 100),
        of("sent", "1", OK, 200),
        // The called side counts its own CSeq.
        of("sent", "2", INVITE, 300),
        of("received", "2", OK, 400),
    ];
    let text = stories(&[(Pcscf, told)], &addresses())[0].draw();
    assert_eq!(text.matches("the call is answered").count(), 2, "once, and once repeated: {text}");
    assert!(text.contains("within the call: changes it") && text.contains("the change is agreed"), "{text}");
}

#[test]
fn a_device_that_leaves_has_not_registered() {
    let cases: [(&[&str], bool); 6] = [
        (&["Contact: <sip:bob@127.0.0.1>;expires=0"], true),
        (&["Contact: *", "Expires: 0"], true),
        (&["m: <sip:bob@127.0.0.1>", "Expires: 0"], true),
        (&["Contact: <sip:bob@127.0.0.1>;expires=0600"], false),
        (&["Contact: <sip:bob@127.0.0.1>;expires=600", "Expires: 0"], false),
        // It only asks what is registered.
        (&["Expires: 0"], false),
    ];
    for (routing, is_leaving) in cases {
        let asked = sip(0, "received", DEVICE, REGISTER, "b1");
        let told = vec![
            Told { routing: routing.iter().map(|line| (*line).to_owned()).collect(), ..asked },
            sip(10, "sent", DEVICE, OK, "b1"),
        ];
        let text = stories(&[(Pcscf, told)], &addresses())[0].draw();
        for words in ["the de-registration succeeded", "de-registration of sip:bob@a.b", "  de-registered"] {
            assert_eq!(text.contains(words), is_leaving, "{words:?} {routing:?}\n{text}");
        }
    }
}

#[test]
fn a_result_is_explained_by_its_name() {
    let cases = [
        ("UAA 2001 FIRST_REGISTRATION", "choose one"),
        ("UAA 2001 SUCCESS", "an S-CSCF serves it already"),
        ("UAA 5001 ERROR_USER_UNKNOWN", "there is no such user"),
        ("UAA 5001 AVP_UNSUPPORTED", "refused: 5001 AVP_UNSUPPORTED"),
        ("UAA 5003 AUTHORIZATION_REJECTED", "barred"),
        ("UAA 5004 INVALID_AVP_VALUE", "refused: 5004 INVALID_AVP_VALUE"),
        ("UAA 5005 MISSING_AVP", "refused: 5005 MISSING_AVP"),
    ];
    for (summary, words) in cases {
        let mut records = challenge();
        for told in
            records.iter_mut().flat_map(|(_, told)| told).filter(|told| told.summary.starts_with("UAA"))
        {
            told.summary = summary.into();
        }
        let text = stories(&records, &addresses())[0].draw();
        let line = text.lines().find(|line| line.contains(&summary[..8])).expect("the answer is drawn");
        assert!(line.contains(words), "{words:?} {line}");
    }
}

#[test]
fn a_story_that_begins_with_a_response_says_that_its_beginning_is_missing() {
    let told = vec![at(0, "sent", DEVICE, OK, ["1", "b1", "1 INVITE"])];
    assert!(outcome(told).contains("the beginning is missing"));
}

#[test]
fn the_lanes_stay_in_their_places_in_a_long_call() {
    let told = vec![
        at(0, "received", DEVICE, INVITE, ["1", "b1", "1 INVITE"]),
        at(4_000_000_000, "received", DEVICE, BYE, ["1", "b2", "2 BYE"]),
    ];
    let text = stories(&[(Pcscf, told)], &addresses())[0].draw();
    let lanes = text.lines().filter_map(|line| line.chars().position(|c| c == '│'));
    assert_eq!(lanes.collect::<std::collections::BTreeSet<_>>().len(), 1, "{text}");
}

#[test]
fn nothing_that_a_device_writes_moves_the_cursor_or_fills_the_screen() {
    let strange = format!("\u{1b}[2J\r\u{9b}{}", "x".repeat(9_000));
    let dirty = |told: Told| Told {
        from: format!("<sip:{strange}>;tag=1"),
        to: format!("<sip:{strange}>"),
        call_id: strange.clone(),
        reasons: vec![format!("Warning: {strange}")],
        public_identity: strange.clone(),
        ..told
    };
    let told = vec![
        dirty(at(0, "received", DEVICE, &format!("{strange} sip:{strange} SIP/2.0"), ["", "b1", &strange])),
        dirty(at(1, "sent", DEVICE, &format!("SIP/2.0 400 {strange}"), ["", "b1", &format!("1 {strange}")])),
        Told { call_id: "c2".into(), ..dirty(at(2, "received", DEVICE, INVITE, ["", "b2", "2 INVITE"])) },
        dirty(cx(3, "sent", &strange, "LIR")),
        dirty(cx(4, "sent", &strange, "RTR")),
    ];
    let stories = stories(&[(Pcscf, told)], &addresses());
    assert_eq!(stories.iter().map(|story| story.arrows.len()).collect::<Vec<_>>(), [2, 2, 1]);
    for story in stories {
        let text = story.draw();
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.lines().all(|line| line.chars().count() < 600), "{text}");
    }
}

#[test]
fn many_devices_share_the_last_lane() {
    for (count, is_shared) in [(8_u16, false), (9, true), (300, true)] {
        let told = (0..count).map(|port| {
            at(
                u64::from(port),
                "sent",
                &format!("127.0.0.1:{}", 7_000 + port),
                INVITE,
                ["1", "b1", "1 INVITE"],
            )
        });
        let text = stories(&[(Pcscf, told.collect())], &addresses())[0].draw();
        assert_eq!(text.contains("others"), is_shared, "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 600), "{text}");
        assert_eq!(text.matches('◀').count(), usize::from(count), "{text}");
    }
}

#[test]
fn the_instances_of_a_pair_are_drawn_as_their_function() {
    let one_of_two = [(Hss, "hss-1.a.b"), (Scscf, "scscf-2.a.b")];
    let both = stories(&exchange_of(0, "RTR", "RTA 2001 SUCCESS", one_of_two), &addresses());
    // As one of them alone tells it.
    let alone = stories(&exchange_of(0, "RTR", "RTA 2001 SUCCESS", one_of_two)[..1], &addresses());
    for story in [&both[0], &alone[0]] {
        let ends: Vec<_> = story.arrows.iter().map(|arrow| (arrow.from.clone(), arrow.to.clone())).collect();
        let (hss, scscf) = (Party::Function(Hss), Party::Function(Scscf));
        assert_eq!(ends, [(hss.clone(), scscf.clone()), (scscf, hss)]);
    }
}
