//! Each function is a pair: what an operator sees of it, what a death does, and the way there and back with all subscribers.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::{
    Core, Finished, Kind, Load, Phones, Running, Subscriber, is_running, signal, subscribers, wait_until,
};
use rustix::process::Signal;
use ue::Report;

const PATIENCE: Duration = Duration::from_secs(30);
/// For what takes many steps, on a machine that does other work too.
const LONG: Duration = Duration::from_secs(300);
const PAIRS: &str = "  redundancy:\n    mode: pairs\n    controlPort: 7160\n";
const FUNCTIONS: [&str; 4] = ["hss", "scscf", "icscf", "pcscf"];

fn people() -> Vec<Subscriber> {
    let mut people = subscribers("sim", 2, Kind::Aka);
    people.extend(subscribers("soft", 2, Kind::Digest));
    people
}

/// Enough for a load at which nobody waits for somebody to end.
fn crowd() -> Vec<Subscriber> {
    let mut people = subscribers("sim", 8, Kind::Aka);
    people.extend(subscribers("soft", 8, Kind::Digest));
    people
}

/// A lease so long that a machine that does other work too does not let it end: nothing but an operator changes who serves.
const LEISURELY: &str =
    "  redundancy:\n    mode: pairs\n    controlPort: 7160\n    leaseMilliseconds: 2000\n";

/// A core of such pairs that serves, with these subscribers.
fn leisurely_pairs(number: u8, known: &[Subscriber]) -> Core {
    let mut core = Core::new(number);
    core.spec.push_str(LEISURELY);
    core.up().succeeded();
    core.import(known);
    core
}

/// A core of pairs that serves, with these subscribers.
fn pairs(number: u8, known: &[Subscriber]) -> Core {
    let mut core = Core::new(number);
    core.spec.push_str(PAIRS);
    core.up().succeeded();
    core.import(known);
    core
}

/// Phones that register again and again, and two that call.
struct Traffic {
    phones: Phones,
    load: Load,
    loaded: Vec<usize>,
    callers: [usize; 2],
}

impl Traffic {
    /// All are registered.
    fn new(core: &Core, known: &[Subscriber]) -> Traffic {
        let mut phones = Phones::new(core);
        let numbers = phones.add_all(known);
        assert_eq!(phones.register(&numbers, PATIENCE), numbers.len());
        let (callers, loaded) = numbers.split_at(2);
        let load = Load::new(loaded.to_vec(), Duration::from_millis(100));
        Traffic { phones, load, loaded: loaded.to_vec(), callers: [callers[0], callers[1]] }
    }

    fn run_until(&mut self, mut is_done: impl FnMut(&Phones) -> bool) {
        assert!(self.load.run_until(&mut self.phones, LONG, &mut is_done), "it is not done after {LONG:?}");
    }

    /// Everybody goes on between two looks at the core: a look takes a while, and nobody is served by us meanwhile.
    fn until(&mut self, mut is_done: impl FnMut() -> bool) {
        let end = self.phones.now() + LONG;
        while !is_done() {
            assert!(self.phones.now() < end, "it is not done after {LONG:?}");
            self.load.run_until(&mut self.phones, Duration::from_millis(250), |_| false);
        }
    }

    /// Lets everybody go on while `evertone` does something; one phone calls the other meanwhile, again and again.
    fn during(&mut self, mut running: Running) -> Finished {
        let mut finished = None;
        while finished.is_none() {
            self.call(|| {
                finished = finished.take().or_else(|| running.finished());
                finished.is_some()
            });
        }
        finished.expect("it has just ended")
    }

    /// A call that is up until `is_done` says so, or for half a second.
    fn call(&mut self, mut is_done: impl FnMut() -> bool) {
        let [from, to] = self.callers;
        let target = self.phones.device(to).profile().public_identity.clone();
        let call = self.phones.order(from, |device, now| device.call(now, &target));
        self.run_until(|phones| {
            is_done();
            phones.reports(from).any(|report| match report {
                Report::Answered { call: of, .. } => *of == call,
                Report::CallFailed { call: of, .. } if *of == call => panic!("a call failed: {report:?}"),
                _ => false,
            })
        });
        let end = self.phones.now() + Duration::from_millis(500);
        self.run_until(|phones| is_done() || phones.now() >= end);
        self.phones.order(from, |device, now| device.hang_up(now, &call));
        self.run_until(|phones| {
            is_done();
            phones
                .reports(from)
                .any(|report| matches!(report, Report::Released { call: of, .. } if *of == call))
        });
    }

    /// Nobody was refused or left without an answer.
    fn has_served_all(mut self) {
        let loaded = self.loaded.clone();
        // What is under way ends.
        let all = |phones: &Phones| loaded.iter().all(|number| phones.has_ended_registration(*number));
        assert!(self.phones.run_until(LONG, all), "a registration has not ended");
        for number in loaded {
            assert_eq!(self.phones.registration_failure(number), None, "phone {number}");
        }
        println!("{} registrations", self.load.begun);
        assert!(self.load.begun > 0);
    }
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

#[test]
fn an_operator_hands_over_while_phones_register_and_call_and_nobody_fails() {
    let known = crowd();
    let core = leisurely_pairs(84, &known);
    let mut traffic = Traffic::new(&core, &known);
    for function in FUNCTIONS {
        // There and back.
        for _ in 0..2 {
            let serving = with_role(&core, function, "serving").expect("one serves");
            let standby = with_role(&core, function, "standby").expect("one follows");
            let finished = traffic.during(core.begin(&["hand-over", function])).succeeded();
            finished.clone().says(&format!("{standby} serves now in the place of {serving}"));
            println!("{}", finished.out.trim_end());
            traffic.until(|| is_protected(&core) && core.function(&standby)["role"] == "serving");
        }
    }
    traffic.has_served_all();
}

#[test]
fn a_hand_over_that_cannot_be_says_why() {
    let core = Core::new(85);
    core.run(&["hand-over", "scscf"]).failed().says("no core has been brought up");
    assert_eq!(core.run(&["hand-over", "witness"]).code, Some(2), "a wrong command line");
    let mut core = core;
    let alone = core.spec.clone();
    core.up().succeeded();
    core.run(&["hand-over", "scscf"]).failed().says("scscf is alone");
    core.spec = format!("{alone}{PAIRS}");
    core.up().succeeded();
    // Nobody starts the standby again.
    let controller = core.controller_pid().expect("a controller runs");
    signal(controller, Signal::KILL);
    assert!(wait_until(PATIENCE, || !is_running(controller)));
    let serving = with_role(&core, "scscf", "serving").expect("one serves");
    let standby = with_role(&core, "scscf", "standby").expect("one follows");
    core.kill(&standby);
    assert!(wait_until(PATIENCE, || core.function(&standby)["state"] == "Stopped"));
    core.run(&["hand-over", "scscf"])
        .failed()
        .says(&format!("{serving} goes on serving: {standby} is not in sync"));
    core.run(&["down"]).succeeded();
    core.run(&["hand-over", "scscf"]).failed().says("scscf does not run");
}

#[test]
fn a_setting_is_changed_under_load_and_nobody_notices() {
    let known = crowd();
    let mut core = leisurely_pairs(86, &known);
    let mut traffic = Traffic::new(&core, &known);
    let before = core.pids();
    // One for the S-CSCF alone, and one for everybody.
    core.spec.push_str("  registration:\n    secondsMax: 1800\n  logLevel: debug\n");
    let file = core.resource().display().to_string();
    check_roll(&core, traffic.during(core.begin(&["up", "-f", &file, "--timeout-seconds", "300"])), &before);
    for scscf in ["scscf-1", "scscf-2"] {
        core.run(&["config", scscf]).succeeded().says("registrationSecondsMax: 1800");
    }
    traffic.has_served_all();
}

#[test]
fn new_programs_are_taken_into_use_under_load_and_nobody_notices() {
    let known = crowd();
    let core = leisurely_pairs(87, &known);
    let mut traffic = Traffic::new(&core, &known);
    let (before, controller) = (core.pids(), core.controller_pid());
    core.install_anew();
    check_roll(&core, traffic.during(core.begin(&["up", "--timeout-seconds", "300"])), &before);
    assert_ne!(core.controller_pid(), controller, "the controller is new too");
    traffic.has_served_all();
}

/// Everybody was replaced, one of each pair after the other, and whoever serves may fail.
fn check_roll(core: &Core, up: Finished, before: &BTreeMap<String, i32>) {
    println!("{}", up.text());
    up.succeeded().says("replacing one process after another");
    // Not the moment after: on a busy machine a standby falls behind now and then.
    assert!(wait_until(PATIENCE, || is_protected(core)), "whoever serves may fail");
    let now = core.pids();
    assert_eq!(now.len(), before.len());
    for (name, pid) in before {
        assert_ne!(now[name], *pid, "{name} is another process");
    }
    let events = core.run(&["status", "--events", "200"]).succeeded().out;
    assert!(!events.contains("nobody could take over"), "{events}");
    assert!(events.contains("Rolled"), "{events}");
}
