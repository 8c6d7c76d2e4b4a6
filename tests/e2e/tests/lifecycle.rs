//! up, again up, another file, down, up: what an operator does on a quiet day.

use std::time::Duration;

use e2e::{Core, Kind, Phones, Subscriber, is_running, signal, subscribers, wait_until};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(30);

/// The unix sockets whose path holds `text`.
fn unix_sockets(text: &str) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/unix").expect("the kernel lists its sockets");
    table.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// The lines of the kernel's tables of TCP listeners and UDP sockets that hold 127.2.`number`.x.
fn inet_sockets(number: u8) -> Vec<String> {
    let tables = ["/proc/net/udp", "/proc/net/tcp"]
        .map(|table| (table, std::fs::read_to_string(table).unwrap_or_default()));
    let is_ours = |table: &str, line: &str| {
        let mut fields = line.split_whitespace();
        let (local, state) = (fields.nth(1).unwrap_or_default(), fields.nth(1).unwrap_or_default());
        // The kernel prints the address's four bytes in the machine's order; connections in TIME_WAIT listen to nothing.
        local.get(2..8) == Some(&format!("{number:02X}027F")) && (table.ends_with("udp") || state == "0A")
    };
    let lines = |(table, text): &(&str, String)| -> Vec<String> {
        text.lines().filter(|line| is_ours(table, line)).map(str::to_owned).collect()
    };
    tables.iter().flat_map(lines).collect()
}

#[test]
fn a_core_comes_up_serves_says_where_and_twice_up_is_harmless() {
    let core = Core::new(1);
    let up = core.up().succeeded();
    println!("up: {:.2} s\n{}", up.took.as_secs_f64(), up.out);
    for expected in [
        "P-CSCF  127.2.1.11:4060",
        "I-CSCF  127.2.1.12:5060",
        "S-CSCF  127.2.1.13:6060",
        "HSS     127.2.1.14:3868",
    ] {
        assert!(up.out.contains(expected), "{expected:?} is missing");
    }
    assert!(
        up.out.lines().any(|line| line.contains("sipp 127.2.1.11:4060 -sf ")),
        "a SIPp line to paste is missing"
    );
    let pids = core.pids();
    assert_eq!(pids.len(), 4, "{pids:?}");
    let again = core.up().succeeded().says("nothing had to change");
    println!("up again: {:.2} s", again.took.as_secs_f64());
    assert_eq!(core.pids(), pids, "the same processes serve");
    let status = core.run(&["status"]).succeeded();
    println!("{}", status.out);
    status.says("all functions serve");
    // As TAB completion spells it.
    let other_spelling = format!("{}/", core.state_directory().display());
    let status = core.command(&[]).get_program().to_owned();
    let status = std::process::Command::new(status)
        .args(["--state-directory", &other_spelling, "status"])
        .output()
        .expect("the program runs");
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("all functions serve"),
        "the same core: {status:?}"
    );
}

#[test]
fn two_ups_at_once_make_one_core() {
    let core = Core::new(2);
    let file = core.resource().display().to_string();
    let finished: Vec<_> = std::thread::scope(|scope| {
        let run = || scope.spawn(|| core.run(&["up", "-f", &file]));
        let both = [run(), run(), run()];
        both.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    for up in finished {
        up.succeeded();
    }
    let processes = core.processes();
    let controllers = processes.iter().filter(|process| process.command.contains("controller run")).count();
    assert_eq!((controllers, processes.len()), (1, 5), "one controller and four functions: {processes:#?}");
    let controller = core.controller_pid();
    let pids = core.pids();
    core.up().succeeded();
    assert_eq!((core.controller_pid(), core.pids()), (controller, pids));
}

#[test]
fn a_changed_file_changes_only_what_must_change() {
    let mut core = Core::new(3);
    core.up().succeeded();
    let mut before = core.pids();
    let original = core.spec.clone();
    let changes: [(&str, &[&str]); 3] = [
        ("  registration:\n    secondsMax: 1800\n", &["scscf"]),
        ("  emergencyNumbers: [\"112\", \"133\"]\n", &["pcscf"]),
        ("  visitedNetworksAllowed: [\"ims.example\"]\n", &["hss"]),
    ];
    for (line, restarted) in changes {
        core.spec.push_str(line);
        let up = core.up().succeeded();
        let after = core.pids();
        for (name, pid) in &after {
            let is_new = before.get(name) != Some(pid);
            assert_eq!(is_new, restarted.contains(&name.as_str()), "{line:?} and {name}:\n{}", up.text());
        }
        before = after;
    }
    core.spec = original;
    let up = core.up().succeeded();
    let kept = before.get("icscf") == core.pids().get("icscf");
    assert!(kept, "the I-CSCF had no part in it:\n{}", up.text());
}

#[test]
fn down_leaves_nothing_but_the_data_and_up_again_knows_the_subscribers() {
    let known = [Subscriber::new("kept", Kind::Aka), Subscriber::new("kept-too", Kind::Digest)];
    let core = Core::serving(4, &known);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&known);
    assert_eq!(phones.register(&numbers, PATIENCE), 2);
    let pids: Vec<i32> = core.pids().into_values().chain(core.controller_pid()).collect();
    let run = core.run_directory();
    assert!(run.exists() && !inet_sockets(4).is_empty());

    let down = core.run(&["down"]).succeeded();
    println!("down: {:.2} s\n{}", down.took.as_secs_f64(), down.out);
    assert!(pids.iter().all(|pid| !is_running(*pid)), "a process of {pids:?} runs on");
    assert_eq!(core.processes(), [], "a process was left");
    assert!(!run.exists(), "{} was left", run.display());
    assert_eq!(unix_sockets(&run.display().to_string()), [""; 0]);
    // The phones' own sockets are at 127.2.4.100.
    let taken: Vec<String> =
        inet_sockets(4).into_iter().filter(|line| !line.contains(" 6404027F:")).collect();
    assert_eq!(taken, [""; 0], "an address is still taken");
    let mut left: Vec<String> = std::fs::read_dir(core.state_directory())
        .expect("its data stays")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    println!("what stays: {left:?}");
    let unknown: Vec<&String> = left
        .iter()
        .filter(|name| {
            !["binaries", "core.yaml", "demo", "generation", "history.json", "hss", "keys", "logs", "pcscf"]
                .contains(&name.as_str())
        })
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} is no data");
    core.run(&["down"]).succeeded().says("no core runs");
    core.run(&["status"]).failed();

    // Without -f: the resource that was in force.
    core.run(&["up"]).succeeded();
    core.run(&["subscriber", "show", "kept@ims.example"]).succeeded().says("sip:kept@ims.example");
    let mut again = Phones::new(&core);
    let numbers = again.add_all(&known);
    assert_eq!(again.register(&numbers, PATIENCE), 2, "the subscribers are known as before");
}

#[test]
fn purge_removes_the_data_too() {
    let core = Core::serving(5, &subscribers("gone", 1, Kind::Digest));
    core.run(&["down", "--purge"]).succeeded();
    assert!(!core.state_directory().exists());
    core.up().succeeded();
    core.run(&["subscriber", "list"]).succeeded();
    core.run(&["subscriber", "show", "gone0@ims.example"]).failed().says("there is no subscriber");
}

#[test]
fn a_function_stops_when_it_is_told_to_also_when_its_starter_had_blocked_the_signal() {
    let core = Core::new(6);
    let file = core.resource();
    let up = core.command(&["up", "-f", &file.display().to_string()]);
    // coreutils' env: `up`, the controller and the functions inherit what is blocked here.
    let is_up = std::process::Command::new("env")
        .arg("--block-signal=TERM")
        .arg(up.get_program())
        .args(up.get_args())
        .status()
        .expect("env is there");
    assert!(is_up.success());
    let told = core.pids()["pcscf"];
    signal(told, Signal::TERM);
    assert!(wait_until(PATIENCE, || core.successor("pcscf", told).is_some()), "SIGTERM did not reach it");
    core.run(&["status"]).succeeded().says("exited with code 0");
}
