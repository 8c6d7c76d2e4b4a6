//! Each function is a pair: what an operator sees of it, what a death does, and the way there and back with all subscribers.

use std::time::Duration;

use e2e::{Core, Kind, Phones, Subscriber, subscribers, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
const PAIRS: &str = "  redundancy:\n    mode: pairs\n    controlPort: 7160\n";
const FUNCTIONS: [&str; 4] = ["hss", "scscf", "icscf", "pcscf"];

fn people() -> Vec<Subscriber> {
    let mut people = subscribers("sim", 2, Kind::Aka);
    people.extend(subscribers("soft", 2, Kind::Digest));
    people
}

/// A core of pairs that serves, with these subscribers.
fn pairs(number: u8, known: &[Subscriber]) -> Core {
    let mut core = Core::new(number);
    core.spec.push_str(PAIRS);
    core.up().succeeded();
    core.import(known);
    core
}

/// The instance of `function` that has this role, if one has.
fn with_role(core: &Core, function: &str, role: &str) -> Option<String> {
    let names = [1, 2].map(|number| format!("{function}-{number}"));
    names.into_iter().find(|name| core.function(name)["role"] == role)
}

fn is_protected(core: &Core) -> bool {
    let status = core.status();
    let conditions = status["core"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Protected" && condition["status"] == "True")
}

fn subscriber_count(core: &Core) -> usize {
    core.run(&["subscriber", "list", "-o", "json"]).succeeded().out.lines().count()
}

#[test]
fn a_core_of_pairs_comes_up_protected_and_goes_down_without_a_trace() {
    let core = pairs(81, &people());
    assert!(is_protected(&core), "up returns when whoever serves may fail");
    assert_eq!(core.pids().len(), 10, "two of each function, a witness and a host agent");
    for function in FUNCTIONS {
        assert!(with_role(&core, function, "serving").is_some(), "one {function} serves");
        assert!(with_role(&core, function, "standby").is_some(), "the other one follows");
    }
    let pids = core.pids();
    core.up().succeeded().says("nothing had to change");
    assert_eq!(core.pids(), pids);
    core.run(&["status"]).succeeded().says("ROLE").says("serving, protected").says("standby");
    core.run(&["logs", "scscf-1"]).succeeded();
    core.run(&["down"]).succeeded();
    assert!(core.processes().is_empty());
    assert!(!core.run_directory().exists());
}

#[test]
fn whoever_serves_dies_and_phones_are_served_and_the_pair_is_whole_again() {
    let known = people();
    let core = pairs(82, &known);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&known);
    assert_eq!(phones.register(&numbers, PATIENCE), numbers.len());
    for function in FUNCTIONS {
        let serving = with_role(&core, function, "serving").expect("one serves");
        let standby = with_role(&core, function, "standby").expect("one follows");
        core.kill(&serving);
        if let Err(reason) = phones.call(numbers[0], numbers[1], PATIENCE) {
            panic!("no call after the death of {serving}: {reason}");
        }
        assert!(wait_until(PATIENCE, || core.function(&standby)["role"] == "serving"), "{standby} serves");
        assert!(wait_until(PATIENCE, || is_protected(&core)), "{serving} follows");
        assert_eq!(subscriber_count(&core), known.len(), "the one that serves is asked");
    }
}

#[test]
fn subscribers_go_along_when_a_core_becomes_one_of_pairs_and_back() {
    let known = people();
    let mut core = Core::serving(83, &known);
    let alone = core.spec.clone();
    core.spec.push_str(PAIRS);
    core.up().succeeded();
    assert_eq!(subscriber_count(&core), known.len());
    let backup = core.directory().join("backup").display().to_string();
    core.run(&["backup", &backup]).succeeded();
    assert!(wait_until(PATIENCE, || is_protected(&core)), "both are back");
    core.run(&["restore", &backup]).failed().says("mode: none");
    // The second shall be the one that serves.
    if with_role(&core, "hss", "serving").as_deref() == Some("hss-1") {
        core.kill("hss-1");
    }
    assert!(wait_until(PATIENCE, || core.function("hss-2")["role"] == "serving" && is_protected(&core)));
    core.import(&[Subscriber::new("late", Kind::Digest)]);
    core.spec = alone;
    core.up().succeeded();
    assert_eq!(core.pids().len(), 4);
    assert_eq!(subscriber_count(&core), known.len() + 1);
    core.run(&["restore", &backup]).succeeded();
    core.spec.push_str(PAIRS);
    core.up().succeeded();
    assert_eq!(subscriber_count(&core), known.len(), "what was set aside is not taken for the store");
}
