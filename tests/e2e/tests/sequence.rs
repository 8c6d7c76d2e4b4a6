//! The HSS dies in the middle of registrations, or is put back to an earlier day: no SQN is used twice, and nothing that
//! was confirmed is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::{Core, Kind, Phones, Subscriber, is_running, signal, subscribers, wait_until};
use rustix::process::Signal;
use serde_json::Value;
use ue::{Failure, Report};

const PATIENCE: Duration = Duration::from_secs(60);

/// 2,000 in `make test`; the 10,000 with EVERTONE_E2E_LONG=1.
fn population() -> usize {
    if std::env::var_os("EVERTONE_E2E_LONG").is_some() { 10_000 } else { 2000 }
}

/// The private identities that the HSS knows as registered.
fn registered(core: &Core) -> BTreeSet<String> {
    let list = core.run(&["subscriber", "list", "-o", "json"]).succeeded();
    let views =
        list.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is a document"));
    let is_registered = |view: &Value| {
        let identities = view["publicIdentities"].as_array().cloned().unwrap_or_default();
        identities.iter().all(|identity| identity["state"] == "registered")
    };
    views
        .filter(is_registered)
        .filter_map(|view| Some(view["privateIdentity"].as_str()?.to_owned()))
        .collect()
}

/// Every SEQ that each subscriber was shown, in the order of arrival; fails when an SQN came twice.
fn sequences(phones: &Phones, people: &[Subscriber]) -> Vec<Vec<u64>> {
    let mut all = Vec::new();
    for (number, subscriber) in people.iter().enumerate() {
        let secrets = subscriber.secrets();
        let sqns: Vec<_> = phones
            .heard(number)
            .challenges
            .iter()
            .map(|challenge| {
                secrets
                    .authenticate(challenge)
                    .unwrap_or_else(|| panic!("{} has another key", subscriber.private_identity))
            })
            .collect();
        let mut seen = BTreeMap::new();
        for (position, sqn) in sqns.iter().enumerate() {
            if let Some(earlier) = seen.insert(sqn.value(), position) {
                panic!(
                    "{}: SQN {} came in challenges {earlier} and {position}",
                    subscriber.private_identity,
                    sqn.value()
                );
            }
        }
        all.push(sqns.iter().map(|sqn| sqn.seq()).collect());
    }
    all
}

/// No device had to ask for a resynchronisation, and none thinks that the network is a false one.
fn assert_no_second_challenge(phones: &Phones, people: &[Subscriber]) {
    for (number, subscriber) in people.iter().enumerate() {
        for report in phones.reports(number) {
            assert!(
                !matches!(
                    report,
                    Report::Challenged { is_second: true, .. }
                        | Report::RegistrationFailed(Failure::Challenge(_))
                ),
                "{}: {report:?}",
                subscriber.private_identity
            );
        }
    }
}

/// Registers all, `per_second` begun in each second, those that were refused again until it works.
fn register_all(phones: &mut Phones, count: usize, per_second: u32, mut meanwhile: impl FnMut(usize)) {
    let pause = Duration::from_secs(1) / per_second;
    let goals: Vec<usize> = (0..count).map(|number| phones.times_registered(number) + 1).collect();
    for number in 0..count {
        phones.order(number, |device, now| device.register(now));
        phones.run_for(pause);
        meanwhile(number);
    }
    for round in 0..20 {
        phones.run_until(PATIENCE, |phones| (0..count).all(|number| phones.device(number).is_quiet()));
        let left: Vec<usize> =
            (0..count).filter(|number| phones.times_registered(*number) < goals[*number]).collect();
        if left.is_empty() {
            return;
        }
        println!("round {round}: {} of {count} are to try again", left.len());
        for number in left {
            phones.order(number, |device, now| device.register(now));
            phones.run_for(pause);
        }
    }
    panic!("not all could register");
}

#[test]
fn an_hss_killed_amid_registrations_repeats_no_sqn_and_loses_no_confirmed_registration() {
    let people = subscribers("sim", population(), Kind::Aka);
    let core = Core::serving(21, &people);
    let mut phones = Phones::new(&core);
    phones.add_all(&people);
    let record = core.run_directory().join("hss.process");
    let pid = || -> Option<i32> {
        let record: Value = serde_json::from_slice(&std::fs::read(&record).ok()?).ok()?;
        record["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|pid| is_running(*pid))
    };
    let mut killed = BTreeSet::new();
    let mut owed = 0;
    register_all(&mut phones, people.len(), 400, |number| {
        // At uneven moments, and while others wait for it; where it is not back yet at such a moment, as soon as it is.
        owed += usize::from(number % (people.len() / 8) == 97);
        if owed > 0
            && let Some(pid) = pid()
            && killed.insert(pid)
        {
            owed -= 1;
            signal(pid, Signal::KILL);
        }
    });
    println!("the HSS was killed {} times", killed.len());
    assert!(killed.len() >= 4, "{killed:?}");
    let last = pid().expect("it runs");
    signal(last, Signal::KILL);
    assert!(wait_until(PATIENCE, || core.successor("hss", last).is_some()));
    sequences(&phones, &people);
    assert_no_second_challenge(&phones, &people);
    let known = registered(&core);
    let lost: Vec<&str> = people
        .iter()
        .enumerate()
        .filter(|(number, subscriber)| {
            phones.times_registered(*number) > 0 && !known.contains(&subscriber.private_identity)
        })
        .map(|(_, subscriber)| subscriber.private_identity.as_str())
        .collect();
    assert_eq!(lost, [""; 0], "confirmed with 200, and unknown to the HSS");
    // And one more round by all: the numbers go on where they were.
    register_all(&mut phones, people.len().min(500), 400, |_| {});
    sequences(&phones, &people);
    assert_no_second_challenge(&phones, &people);
}

#[test]
fn a_restored_backup_repeats_no_sqn_and_raises_seq() {
    let people = subscribers("sim", 100, Kind::Aka);
    let core = Core::serving(22, &people);
    let mut phones = Phones::new(&core);
    phones.add_all(&people);
    let count = people.len();
    register_all(&mut phones, count, 400, |_| {});
    let backup = core.directory().join("backup");
    let file = backup.display().to_string();
    println!("{}", core.run(&["backup", &file]).succeeded().text());
    // After the backup: numbers are used that it knows nothing of, beyond the reserved block of 64.
    for _ in 0..3 {
        register_all(&mut phones, count, 400, |_| {});
    }
    for _ in 0..80 {
        register_all(&mut phones, 1, 400, |_| {});
    }
    core.run(&["subscriber", "add", "late@ims.example", "--password", "later"]).succeeded();
    let before = sequences(&phones, &people);
    for round in 1..=2 {
        println!("{}", core.run(&["restore", &file]).succeeded().text());
        core.run(&["subscriber", "show", "late@ims.example"]).failed();
        register_all(&mut phones, count, 400, |_| {});
        let after = sequences(&phones, &people);
        for (old, new) in before.iter().zip(&after) {
            let (highest, next) =
                (old.iter().max().expect("it registered"), new.last().expect("it registered"));
            assert!(*next >= highest + (1 << 19), "restore {round}: SEQ went from {highest} to {next}");
        }
        assert_no_second_challenge(&phones, &people);
    }
    assert_eq!(registered(&core).len(), count);
}
