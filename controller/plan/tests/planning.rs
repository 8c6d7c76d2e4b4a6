//! What is planned for which resource and world: cases are data.

use std::collections::BTreeMap;

use crds::yaml;
use node::config::{Config, FunctionConfig, FunctionKind};
use plan::names::Places;
use plan::{Action, Desired, Inputs, Observed, ObservedProcess, ProcessName, plan};

fn inputs() -> Inputs {
    Inputs {
        places: Places { state_directory: "/state".into(), run_directory: "/run".into() },
        flow_token_key: "00112233445566778899aabbccddeeff".into(),
        has_ipv6_loopback: true,
        link_keys: BTreeMap::new(),
    }
}

fn spec(extra: &str) -> crds::IMSCoreSpec {
    yaml::typed("spec", &format!("homeDomain: ims.example\n{extra}")).expect("the spec reads")
}

fn desired(extra: &str) -> Desired {
    Desired::from_spec(&spec(extra), &inputs()).expect("the spec can be built")
}

fn alone(kind: FunctionKind) -> ProcessName {
    ProcessName::alone(kind)
}

fn function(desired: &Desired, kind: FunctionKind) -> &Config {
    desired.processes[&alone(kind)].function().expect("it is a function")
}

/// A world in which everything desired runs.
fn running(desired: &Desired) -> Observed {
    let mut observed = Observed::default();
    for (pid, (name, process)) in (100..).zip(&desired.processes) {
        let found = ObservedProcess {
            pid: Some(pid),
            recipe: process.recipe(),
            binary: "v1".into(),
            config_text: Some(process.config_text.clone()),
            is_backing_off: false,
        };
        observed.processes.insert(*name, found);
        observed.binaries.insert(*name, "v1".into());
    }
    observed
}

/// A plan in words.
fn words(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| {
            let verb = match action {
                Action::WriteConfig { .. } => "write",
                Action::Start { .. } => "start",
                Action::Stop { .. } => "stop",
                Action::RemoveFiles { .. } => "remove",
                Action::MoveState { from, .. } => {
                    let from = from.file_name().expect("a name").to_string_lossy();
                    return format!("move {from} {}", action.name());
                }
                Action::CopyState { .. } => "copy to",
                Action::SetStateAside { .. } => "set aside",
            };
            format!("{verb} {}", action.name())
        })
        .collect()
}

fn check(desired: &Desired, observed: &Observed, expected: &[&str]) {
    assert_eq!(words(&plan(desired, observed, &inputs().places).actions), expected);
}

#[test]
fn long_datagrams_are_for_loopback_only() {
    for (extra, expected) in [
        ("", 65_000),
        ("pcscf: {addresses: ['192.168.1.5']}", 1300),
        ("pcscf: {addresses: ['192.168.1.5']}\ndatagramBytesMax: 9000", 9000),
    ] {
        assert_eq!(function(&desired(extra), FunctionKind::Pcscf).datagram_bytes_max, expected);
    }
}

#[test]
fn an_empty_machine_gets_all_functions_from_the_inside_out() {
    let expected = [
        "write hss",
        "start hss",
        "write scscf",
        "start scscf",
        "write icscf",
        "start icscf",
        "write pcscf",
        "start pcscf",
    ];
    check(&desired(""), &Observed::default(), &expected);
}

#[test]
fn a_core_as_desired_is_left_alone() {
    let desired = desired("");
    check(&desired, &running(&desired), &[]);
}

#[test]
fn a_changed_resource_changes_only_what_must_change() {
    let before = running(&desired(""));
    check(
        &desired("registration: {secondsMax: 600}"),
        &before,
        &["write scscf", "stop scscf", "start scscf"],
    );
    check(&desired("emergencyNumbers: ['110']"), &before, &["write pcscf", "stop pcscf", "start pcscf"]);
    check(&desired("visitedNetworksAllowed: [a.example]"), &before, &["write hss", "stop hss", "start hss"]);
    check(&desired("access: {unprotectedAka: true}"), &before, &["write scscf", "stop scscf", "start scscf"]);
}

#[test]
fn a_changed_environment_restarts_without_writing() {
    let actions = plan(&desired("logLevel: debug"), &running(&desired("")), &inputs().places).actions;
    assert_eq!(words(&actions).len(), 8, "each function is stopped and started: {:?}", words(&actions));
}

#[test]
fn what_died_is_started_again_and_the_others_are_left_alone() {
    let desired = desired("");
    let mut observed = running(&desired);
    observed.processes.get_mut(&alone(FunctionKind::Scscf)).expect("it is there").pid = None;
    check(&desired, &observed, &["start scscf"]);
    observed.processes.get_mut(&alone(FunctionKind::Scscf)).expect("it is there").is_backing_off = true;
    check(&desired, &observed, &[]);
}

#[test]
fn a_change_ends_the_pause_of_a_process_that_kept_ending() {
    let mut observed = running(&desired(""));
    let scscf = observed.processes.get_mut(&alone(FunctionKind::Scscf)).expect("it is there");
    (scscf.pid, scscf.is_backing_off) = (None, true);
    check(&desired("registration: {secondsMax: 600}"), &observed, &["write scscf", "start scscf"]);
}

#[test]
fn a_new_binary_is_taken_into_use() {
    let desired = desired("");
    let mut observed = running(&desired);
    observed.binaries.insert(alone(FunctionKind::Icscf), "v2".into());
    check(&desired, &observed, &["stop icscf", "start icscf"]);
}

#[test]
fn down_stops_from_the_outside_in_and_removes_the_files() {
    let expected = [
        "stop pcscf",
        "remove pcscf",
        "stop icscf",
        "remove icscf",
        "stop scscf",
        "remove scscf",
        "stop hss",
        "remove hss",
    ];
    check(&Desired::default(), &running(&desired("")), &expected);
}

#[test]
fn a_rendered_configuration_is_read_back_unchanged() {
    for process in desired("").processes.values() {
        let read: Config = yaml::typed("config", &process.config_text).expect("it reads");
        assert_eq!(Some(&read), process.function());
    }
}

#[test]
fn the_defaults_give_each_function_its_loopback_address() {
    let addresses: Vec<String> = desired("")
        .processes
        .values()
        .map(|process| process.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        addresses,
        ["127.0.0.11:4060 [::1]:4060", "127.0.0.12:5060", "127.0.0.13:6060", "127.0.0.14:3868"]
    );
}

#[test]
fn a_machine_without_ipv6_is_served_by_ipv4_alone() {
    let inputs = Inputs { has_ipv6_loopback: false, ..inputs() };
    let desired = Desired::from_spec(&spec(""), &inputs).expect("the spec can be built");
    assert_eq!(desired.processes[&alone(FunctionKind::Pcscf)].addresses.len(), 1);
}

#[test]
fn a_phone_on_the_lan_can_be_let_in() {
    let desired = desired("pcscf: {addresses: ['192.168.1.5']}");
    let pcscf = function(&desired, FunctionKind::Pcscf);
    assert_eq!(pcscf.listen[0].address.to_string(), "192.168.1.5:4060");
    assert_eq!(
        function(&desired, FunctionKind::Scscf).hosts["pcscf.ims.example"].to_string(),
        "192.168.1.5:4060"
    );
}

#[test]
fn the_names_that_the_functions_know_each_other_by_fit_together() {
    let desired = desired("");
    let FunctionConfig::Icscf(icscf) = &function(&desired, FunctionKind::Icscf).function else {
        panic!("the I-CSCF has an I-CSCF's configuration");
    };
    let FunctionConfig::Scscf(scscf) = &function(&desired, FunctionKind::Scscf).function else {
        panic!("the S-CSCF has an S-CSCF's configuration");
    };
    assert_eq!(icscf.servers[0].uri, scscf.server_name);
    assert_eq!(scscf.server_name, "sip:scscf.ims.example:6060");
}

#[test]
fn every_mistake_is_named_with_its_field() {
    let cases = [
        ("pcscf: {port: 70000}", "spec.pcscf.port: 70000 is not within 1 to 65535"),
        ("pcscf: {addresses: []}", "spec.pcscf.addresses: needs at least one address"),
        ("pcscf: {addresses: [here]}", "spec.pcscf.addresses[0]: `here` is not an IPv4 or IPv6 address"),
        (
            "pcscf: {addresses: ['0.0.0.0']}",
            "spec.pcscf.addresses[0]: 0.0.0.0 names no address of this machine: write the one that phones use",
        ),
        (
            "icscf: {addresses: ['127.0.0.13'], port: 6060}",
            "spec.icscf.addresses: 127.0.0.13:6060 is also an address of scscf",
        ),
        (
            "registration: {secondsMin: 90, secondsMax: 60}",
            "spec.registration.secondsMin: 90 is above secondsMax, which is 60",
        ),
        ("timers: {t1Milliseconds: 5}", "spec.timers.t1Milliseconds: 5 is not within 10 to 10000"),
        ("datagramBytesMax: 100", "spec.datagramBytesMax: 100 is not within 1300 to 65000"),
    ];
    for (extra, expected) in cases {
        let reasons = Desired::from_spec(&spec(extra), &inputs()).expect_err(extra);
        assert_eq!(reasons.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
    let mut wrong = spec("");
    wrong.home_domain = "not a domain".into();
    let reasons = Desired::from_spec(&wrong, &inputs()).expect_err("no domain");
    assert_eq!(reasons[0].path, "spec.homeDomain");
}
