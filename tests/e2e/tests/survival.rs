//! Processes die, and the core goes on: the controller, each function in turn, a function that hangs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::{Core, Kind, Load, Phones, Subscriber, is_running, signal, subscribers, wait_until};
use rustix::process::Signal;
use sip::transaction::Timers;
use ue::Report;

const PATIENCE: Duration = Duration::from_secs(30);
const FUNCTIONS: [&str; 4] = ["pcscf", "icscf", "scscf", "hss"];
/// The promise: serving again within a second of a SIGKILL.
const PROMISE: Duration = Duration::from_secs(1);
/// And what is too long even when the machine stood still for a moment.
const PROMISE_ON_A_BAD_DAY: Duration = Duration::from_secs(5);

fn people(count: usize) -> Vec<Subscriber> {
    let mut people = subscribers("sim", count / 2, Kind::Aka);
    people.extend(subscribers("soft", count - count / 2, Kind::Digest));
    people
}

/// The test needs to know that everyone who was registered can be called.
fn call_all(phones: &mut Phones, numbers: &[usize]) {
    for pair in numbers.windows(2) {
        if let Err(reason) = phones.call(pair[0], pair[1], PATIENCE) {
            panic!("phone {} cannot call phone {}: {reason}", pair[0], pair[1]);
        }
    }
}

#[test]
fn a_killed_controller_takes_nothing_down_and_up_adopts_what_runs() {
    let known = people(4);
    let core = Core::serving(11, &known);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&known);
    assert_eq!(phones.register(&numbers, PATIENCE), 4);
    let pids = core.pids();
    let target = phones.device(1).profile().public_identity.clone();
    let call = phones.order(numbers[0], |device, now| device.call(now, &target));
    let is_up = |phones: &Phones| phones.reports(0).any(|report| matches!(report, Report::Answered { .. }));
    assert!(phones.run_until(PATIENCE, is_up), "the call is up");

    let controller = core.controller_pid().expect("a controller runs");
    signal(controller, Signal::KILL);
    assert!(wait_until(PATIENCE, || !is_running(controller)));
    phones.order(numbers[0], |device, now| device.hang_up(now, &call));
    let is_over = |phones: &Phones| phones.reports(0).any(|report| matches!(report, Report::Released { .. }));
    assert!(phones.run_until(PATIENCE, is_over), "the call ends as its parties wish");
    assert_eq!(phones.register(&numbers, PATIENCE), 4, "registrations go on");
    call_all(&mut phones, &numbers);
    // It asks each function, and one that answers late does not serve.
    let mut status = core.run(&["status"]);
    wait_until(PATIENCE, || {
        status = core.run(&["status"]);
        status.code == Some(0)
    });
    println!("{}", status.out);
    status.succeeded().says("controller: does not run").says("all functions serve");
    assert_eq!(core.pids(), pids, "status finds them without a controller");

    let up = core.up().succeeded();
    println!("up: {}", up.out);
    assert_eq!(core.pids(), pids, "the same processes serve");
    assert_ne!(core.controller_pid(), Some(controller));
    core.run(&["status"]).succeeded().says("controller: process ");
    call_all(&mut phones, &numbers);
}

#[test]
fn what_died_while_no_controller_watched_is_started_by_up_and_told() {
    let known = people(2);
    let core = Core::serving(12, &known);
    let pids = core.pids();
    let controller = core.controller_pid().expect("a controller runs");
    signal(controller, Signal::KILL);
    assert!(wait_until(PATIENCE, || !is_running(controller)));
    signal(pids["scscf"], Signal::KILL);
    assert!(wait_until(PATIENCE, || !is_running(pids["scscf"])));
    let status = core.run(&["status"]).failed().says("does not run");
    println!("{}", status.out);
    core.up().succeeded();
    let now = core.pids();
    for name in FUNCTIONS {
        assert_eq!(now[name] == pids[name], name != "scscf", "{name}");
    }
    let status = core.run(&["status"]).succeeded();
    println!("{}", status.out);
    let told = |what: &str| status.out.lines().any(|line| line.contains("scscf") && line.contains(what));
    assert!(told("Exited") && told("it ended while no controller watched"), "{}", status.out);
}

#[test]
fn each_function_killed_serves_again_within_a_second_and_nobody_registers_anew() {
    let (crowd, probes) = (people(20), subscribers("probe", 400, Kind::Digest));
    let all: Vec<Subscriber> = crowd.iter().chain(&probes).cloned().collect();
    let core = Core::serving(13, &all);
    let mut phones = Phones::new(&core);
    let crowd = phones.add_all(&crowd);
    assert_eq!(phones.register(&crowd, PATIENCE), crowd.len());
    // These never register again: they are to be callable because the core remembers.
    let (loaded, calm) = crowd.split_at(14);
    let mut load = Load::new(loaded.to_vec(), Duration::from_millis(50));
    // New procedures, one begun every 20 ms: what is measured is the core, not a phone's T1.
    phones.set_timers(Timers { t1: Duration::from_secs(4), ..Timers::default() });
    let mut probes = phones.add_all(&probes).into_iter();
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();

    // The second round: after `up` with a new controller, all are adopted processes.
    for round in ["started", "adopted"] {
        for name in FUNCTIONS {
            load.run_until(&mut phones, Duration::from_millis(500), |_| false);
            let old = core.pids()[name];
            let killed = Instant::now();
            signal(old, Signal::KILL);
            let mut begun: Vec<usize> = Vec::new();
            let mut served = None;
            while served.is_none() && killed.elapsed() < PATIENCE {
                let probe = probes.next().expect("enough probes were provisioned");
                phones.order(probe, |device, now| device.register(now));
                begun.push(probe);
                let wait = Duration::from_millis(if begun.len() < 50 { 20 } else { 200 });
                load.run_until(&mut phones, wait, |phones| {
                    begun.iter().any(|probe| phones.times_registered(*probe) > 0)
                });
                if begun.iter().any(|probe| phones.times_registered(*probe) > 0) {
                    served = Some(killed.elapsed());
                }
            }
            let served = served.unwrap_or_else(|| panic!("{name} does not serve again"));
            println!("{round} {name}: serves {:.0} ms after SIGKILL", served.as_secs_f64() * 1000.0);
            times.entry(name).or_default().push(served);
            assert!(wait_until(PATIENCE, || core.successor(name, old).is_some()), "{name} is ready again");
            // Whatever was under way at that moment has repaired itself or ended.
            assert!(load.run_until(&mut phones, PATIENCE, |phones| {
                loaded.iter().all(|number| phones.times_registered(*number) > 0)
            }));
            call_all(&mut phones, calm);
            let function = core.function(name);
            let reason = function["lastExit"]["reason"].as_str().unwrap_or_default().to_owned();
            let wanted = if round == "started" { "SIGKILL" } else { "ended" };
            assert!(reason.contains(wanted), "{function:#}");
            assert!(function["lastExit"]["time"].is_string(), "{function:#}");
        }
        let status = core.run(&["status", "--events", "40"]).succeeded();
        println!("{}", status.out);
        for name in FUNCTIONS {
            let wanted =
                |what: &str| status.out.lines().any(|line| line.contains(name) && line.contains(what));
            assert!(wanted("Exited") && wanted("Started") && wanted("Ready"), "{name}:\n{}", status.out);
        }
        if round == "started" {
            let controller = core.controller_pid().expect("a controller runs");
            signal(controller, Signal::KILL);
            assert!(wait_until(PATIENCE, || !is_running(controller)));
            core.up().succeeded();
        }
    }
    // A moment in which the machine stands still is none of the core's, and seldom comes twice.
    for (name, times) in times {
        assert!(times.iter().any(|time| *time <= PROMISE), "{name} took {times:?}");
        assert!(times.iter().all(|time| *time <= PROMISE_ON_A_BAD_DAY), "{name} took {times:?}");
    }
    println!("registrations begun under load: {}", load.begun);
    phones.run_until(PATIENCE, |phones| loaded.iter().all(|number| phones.device(*number).is_quiet()));
    assert_eq!(phones.register(&crowd, PATIENCE), crowd.len(), "all register at the end");
}

#[test]
fn phones_on_tcp_are_called_after_any_death_once_they_are_connected() {
    let known = people(4);
    let core = Core::serving(15, &known);
    let mut phones = Phones::new(&core);
    let mut numbers: Vec<usize> = known[..3]
        .iter()
        .map(|subscriber| phones.add_with(subscriber, |profile| profile.is_reliable = true))
        .collect();
    numbers.push(phones.add(&known[3]));
    assert_eq!(phones.register(&numbers, PATIENCE), 4);
    call_all(&mut phones, &numbers);
    for name in ["icscf", "scscf", "hss"] {
        let old = core.kill(name);
        assert!(wait_until(PATIENCE, || core.successor(name, old).is_some()), "{name} is ready again");
        call_all(&mut phones, &numbers);
    }
    let old = core.kill("pcscf");
    assert!(wait_until(PATIENCE, || core.successor("pcscf", old).is_some()));
    // Its connection is gone: nobody can reach that phone, and the caller is told so in time.
    let refused = phones.call(numbers[3], numbers[0], PATIENCE).expect_err("it is not connected");
    println!("a call to a phone whose connection is gone: {refused}");
    assert!(refused.contains("CallFailed"), "{refused}");
    for number in &numbers[..3] {
        phones.reconnect(*number);
        assert_eq!(phones.register(&[*number], PATIENCE), 1);
    }
    numbers.rotate_right(1);
    call_all(&mut phones, &numbers);
}

#[test]
fn a_function_that_hangs_is_found_and_replaced_and_waking_it_does_no_harm() {
    let known = people(4);
    let core = Core::serving(14, &known);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&known);
    assert_eq!(phones.register(&numbers, PATIENCE), 4);
    for name in ["scscf", "hss"] {
        let old = core.pids()[name];
        let stopped = Instant::now();
        signal(old, Signal::STOP);
        assert!(wait_until(PATIENCE, || core.successor(name, old).is_some()), "{name} is replaced");
        println!("{name}: replaced {:.1} s after SIGSTOP", stopped.elapsed().as_secs_f64());
        assert!(stopped.elapsed() < Duration::from_secs(20), "it took too long");
        signal(old, Signal::CONT);
        assert!(wait_until(PATIENCE, || !is_running(old)), "the one that hung is gone");
        let function = core.function(name);
        let reason = function["lastExit"]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(reason.contains("had not answered for"), "{function:#}");
        call_all(&mut phones, &numbers);
        assert_eq!(phones.register(&numbers, PATIENCE), 4);
    }
    // A short standstill, as of a machine that swaps, is no death.
    let pids = core.pids();
    signal(pids["scscf"], Signal::STOP);
    phones.run_for(Duration::from_millis(1200));
    signal(pids["scscf"], Signal::CONT);
    phones.run_for(Duration::from_secs(2));
    assert_eq!(core.pids(), pids, "nobody was replaced");
    call_all(&mut phones, &numbers);
}
