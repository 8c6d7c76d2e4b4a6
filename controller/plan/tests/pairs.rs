//! What is planned where each function is a pair, and on the way there and back.

use std::collections::BTreeMap;

use crds::yaml;
use node::config::{Config, ControlParty, FunctionConfig, FunctionKind, Pair, Witness};
use plan::names::{HAVE_STATE, Instance, Places};
use plan::roll::UNPROTECTED_MAX;
use plan::{
    Action, Desired, HeldBack, Inputs, LinkKey, Observed, ObservedProcess, Plan, ProcessConfig, ProcessName,
    Protection, plan,
};

const PAIRS: &str = "redundancy: {mode: pairs}\n";

/// The public key of a process is its name, to be recognised.
fn inputs() -> Inputs {
    let key = |name: ProcessName| LinkKey {
        private_key_file: format!("/state/keys/{name}.key").into(),
        public_key: format!("public key of {name}"),
    };
    Inputs {
        places: Places { state_directory: "/state".into(), run_directory: "/run".into() },
        flow_token_key: "00112233445566778899aabbccddeeff".into(),
        has_ipv6_loopback: true,
        link_keys: ProcessName::of_core(true).map(|name| (name, key(name))).collect(),
    }
}

fn desired(extra: &str) -> Desired {
    let spec: crds::IMSCoreSpec =
        yaml::typed("spec", &format!("homeDomain: ims.example\n{extra}")).expect("the spec reads");
    Desired::from_spec(&spec, &inputs()).expect("the spec can be built")
}

fn mistakes(extra: &str) -> Vec<String> {
    let spec = yaml::typed("spec", &format!("homeDomain: ims.example\n{extra}")).expect("the spec reads");
    let reasons = Desired::from_spec(&spec, &inputs()).err().unwrap_or_default();
    reasons.iter().map(ToString::to_string).collect()
}

fn name(text: &str) -> ProcessName {
    text.parse().expect("it is a name")
}

fn function<'a>(desired: &'a Desired, text: &str) -> &'a Config {
    desired.processes[&name(text)].function().expect("it is a function")
}

fn pair<'a>(desired: &'a Desired, text: &str) -> &'a Pair {
    function(desired, text).pair.as_ref().expect("it is one of a pair")
}

/// A world in which everything desired runs, and whoever has state has it.
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
        if process.state_directory().is_some() {
            observed.states.insert(*name, 1);
        }
    }
    observed
}

/// The same, and all is well: the first of each pair serves, and may fail.
fn whole(desired: &Desired) -> Observed {
    let mut observed = running(desired);
    observed.ready = desired.processes.keys().copied().collect();
    observed.serving = FunctionKind::ALL.map(|kind| ProcessName::pair(kind)[0]).into();
    observed.protection = FunctionKind::ALL.map(|kind| (kind, Protection::Whole)).into();
    observed
}

/// A plan in words, without writing and removing of files.
fn words(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| {
        let name = action.name();
        match action {
            Action::Start { .. } => Some(format!("start {name}")),
            Action::Stop { .. } => Some(format!("stop {name}")),
            Action::MoveState { from, to, .. } => Some(format!("move {} {}", from.display(), to.display())),
            Action::CopyState { from, to, .. } => Some(format!("copy {} {}", from.display(), to.display())),
            Action::SetStateAside { path, .. } => Some(format!("set aside {}", path.display())),
            Action::WriteConfig { .. } | Action::RemoveFiles { .. } => None,
        }
    };
    actions.iter().filter_map(word).collect()
}

fn check(desired: &Desired, observed: &Observed, expected: &[&str]) {
    assert_eq!(words(&plan(desired, observed, &inputs().places).actions), expected);
}

const START_ALONE: [&str; 4] = ["start hss", "start scscf", "start icscf", "start pcscf"];
const START_PAIRS: [&str; 10] = [
    "start host-agent",
    "start witness",
    "start hss-1",
    "start hss-2",
    "start scscf-1",
    "start scscf-2",
    "start icscf-1",
    "start icscf-2",
    "start pcscf-1",
    "start pcscf-2",
];
const STOP_PAIRS: [&str; 10] = [
    "stop pcscf-2",
    "stop pcscf-1",
    "stop icscf-2",
    "stop icscf-1",
    "stop scscf-2",
    "stop scscf-1",
    "stop hss-2",
    "stop hss-1",
    "stop witness",
    "stop host-agent",
];

#[test]
fn an_empty_machine_gets_both_of_each_pair_and_what_they_need_first() {
    check(&desired(PAIRS), &Observed::default(), &START_PAIRS);
}

#[test]
fn a_core_of_pairs_as_desired_is_left_alone_and_down_leaves_nothing() {
    let desired = desired(PAIRS);
    assert_eq!(plan(&desired, &whole(&desired), &inputs().places), Plan::default());
    assert_eq!(plan(&desired, &running(&desired), &inputs().places), Plan::default(), "whoever serves");
    check(&Desired::default(), &running(&desired), &STOP_PAIRS);
}

#[test]
fn one_that_died_is_started_again_alone_also_the_host_agent() {
    let desired = desired(PAIRS);
    for (text, expected) in [("scscf-2", "start scscf-2"), ("host-agent", "start host-agent")] {
        let mut observed = running(&desired);
        observed.processes.get_mut(&name(text)).expect("it is there").pid = None;
        check(&desired, &observed, &[expected]);
    }
}

/// What happens in look after look, when whoever is started joins before the next one.
fn looks(desired: &Desired, mut observed: Observed) -> Vec<String> {
    let mut looks = Vec::new();
    loop {
        let Plan { actions, held_back } = plan(desired, &observed, &inputs().places);
        let leaves = held_back.iter().find(|(_, reason)| **reason == HeldBack::HandsOver);
        if let Some((ProcessName::Function(kind, instance), _)) = leaves {
            looks.push(format!("{kind:?}{} hands over", instance.number()));
            let other = instance.other().expect("it is one of a pair");
            assert!(observed.serving.remove(&ProcessName::Function(*kind, *instance)));
            observed.serving.insert(ProcessName::Function(*kind, other));
            assert_eq!(actions, [], "one thing at a time");
            continue;
        }
        if actions.is_empty() {
            assert!(held_back.is_empty(), "after {looks:?} {held_back:?} are held back for ever");
            return looks;
        }
        looks.push(words(&actions).join(" "));
        for action in &actions {
            let name = action.name();
            let found = observed.processes.get_mut(&name).expect("it was running");
            match action {
                Action::WriteConfig { text, .. } => found.config_text = Some(text.clone()),
                Action::Start { process } => {
                    found.recipe = process.recipe();
                    found.binary = observed.binaries[&name].clone();
                }
                Action::Stop { .. } => assert!(!observed.serving.contains(&name), "{name} serves"),
                _ => {}
            }
        }
    }
}

#[test]
fn a_setting_of_one_function_concerns_its_two_instances_alone_and_who_follows_is_first() {
    let changed = desired(&format!("{PAIRS}registration: {{secondsMax: 600}}"));
    let observed = whole(&desired(PAIRS));
    let expected = ["stop scscf-2 start scscf-2", "Scscf1 hands over", "stop scscf-1 start scscf-1"];
    assert_eq!(looks(&changed, observed.clone()), expected);
    let second = Observed { serving: [name("scscf-2")].into(), ..observed };
    let expected = ["stop scscf-1 start scscf-1", "Scscf2 hands over", "stop scscf-2 start scscf-2"];
    assert_eq!(looks(&changed, second), expected);
}

#[test]
fn new_binaries_and_what_concerns_all_are_taken_into_use_pair_by_pair() {
    let expected = [
        "stop witness start witness",
        "stop hss-2 start hss-2 stop scscf-2 start scscf-2 stop icscf-2 start icscf-2 stop pcscf-2 start pcscf-2",
        "Hss1 hands over",
        "stop hss-1 start hss-1",
        "Scscf1 hands over",
        "stop scscf-1 start scscf-1",
        "Icscf1 hands over",
        "stop icscf-1 start icscf-1",
        "Pcscf1 hands over",
        "stop pcscf-1 start pcscf-1",
        "stop host-agent start host-agent",
    ];
    let before = whole(&desired(PAIRS));
    assert_eq!(looks(&desired(&format!("{PAIRS}logLevel: debug")), before.clone()), expected);
    let mut observed = before;
    observed.binaries.values_mut().for_each(|binary| *binary = "v2".into());
    assert_eq!(looks(&desired(PAIRS), observed), expected);
}

/// What a changed setting of the S-CSCF does in this world: to which instances, and who is held back for what.
fn check_scscf(change: impl FnOnce(&mut Observed), actions: &[&str], held_back: &[(&str, HeldBack)]) {
    let changed = desired(&format!("{PAIRS}registration: {{secondsMax: 600}}"));
    let mut observed = whole(&desired(PAIRS));
    change(&mut observed);
    let plan = plan(&changed, &observed, &inputs().places);
    assert_eq!(words(&plan.actions), actions);
    let held_back = held_back.iter().map(|(text, reason)| (name(text), *reason));
    assert_eq!(plan.held_back, held_back.collect());
    let is_held_back = |action: &Action| plan.held_back.contains_key(&action.name());
    assert!(!plan.actions.iter().any(is_held_back), "nor is its configuration written");
}

const SCSCF: FunctionKind = FunctionKind::Scscf;

#[test]
fn a_pair_that_is_not_protected_is_waited_for_and_not_for_ever() {
    let unprotected = |time| {
        move |observed: &mut Observed| {
            // The second runs what is desired already.
            let changed = desired(&format!("{PAIRS}registration: {{secondsMax: 600}}"));
            let found = observed.processes.get_mut(&name("scscf-2")).expect("it is there");
            let process = &changed.processes[&name("scscf-2")];
            (found.recipe, found.config_text) = (process.recipe(), Some(process.config_text.clone()));
            observed.protection.insert(SCSCF, Protection::Missing(time));
        }
    };
    let just_before = UNPROTECTED_MAX - std::time::Duration::from_millis(1);
    check_scscf(unprotected(just_before), &[], &[("scscf-1", HeldBack::Unprotected)]);
    check_scscf(unprotected(UNPROTECTED_MAX), &["stop scscf-1", "start scscf-1"], &[]);
    let changed = desired(&format!("{PAIRS}registration: {{secondsMax: 600}}"));
    let mut observed = whole(&desired(PAIRS));
    unprotected(UNPROTECTED_MAX)(&mut observed);
    let actions = plan(&changed, &observed, &inputs().places).actions;
    let told = |action: &Action| matches!(action, Action::Stop { reason, .. } if reason.contains("nobody could take over"));
    assert!(actions.iter().any(told), "{actions:?}");
}

#[test]
fn nobody_is_replaced_while_it_is_not_known_who_serves_or_while_the_witness_is_away() {
    let both = |reason| [("scscf-1", reason), ("scscf-2", reason)];
    let nobody = |observed: &mut Observed| {
        observed.serving.remove(&name("scscf-1"));
        observed.protection.remove(&SCSCF);
    };
    check_scscf(nobody, &[], &both(HeldBack::Unprotected));
    let two = |observed: &mut Observed| {
        observed.serving.insert(name("scscf-2"));
    };
    check_scscf(two, &[], &both(HeldBack::Unprotected));
    let witness = |observed: &mut Observed| {
        observed.ready.remove(&ProcessName::Witness);
    };
    check_scscf(witness, &[], &both(HeldBack::Turn("witness")));
    let long = |observed: &mut Observed| {
        observed.serving.clear();
        observed.protection.insert(SCSCF, Protection::Missing(UNPROTECTED_MAX));
    };
    check_scscf(long, &["stop scscf-1", "start scscf-1", "stop scscf-2", "start scscf-2"], &[]);
}

#[test]
fn a_standby_that_is_away_gets_what_is_new_at_once_and_who_serves_when_it_is_back() {
    let away = |is_backing_off| {
        move |observed: &mut Observed| {
            let standby = observed.processes.get_mut(&name("scscf-2")).expect("it is there");
            (standby.pid, standby.is_backing_off) = (None, is_backing_off);
            observed.protection.insert(SCSCF, Protection::Missing(std::time::Duration::ZERO));
        }
    };
    for is_backing_off in [false, true] {
        check_scscf(away(is_backing_off), &["start scscf-2"], &[("scscf-1", HeldBack::Unprotected)]);
    }
}

#[test]
fn who_serves_waits_for_the_pairs_before_its_own_unless_they_are_beyond_help() {
    let missing = |time| {
        move |observed: &mut Observed| {
            let standby = observed.processes.get_mut(&name("scscf-2")).expect("it is there");
            let changed = desired(&format!("{PAIRS}registration: {{secondsMax: 600}}"));
            standby.recipe = changed.processes[&name("scscf-2")].recipe();
            standby.config_text = Some(changed.processes[&name("scscf-2")].config_text.clone());
            observed.protection.insert(FunctionKind::Hss, Protection::Missing(time));
            // A later pair concerns nobody.
            observed.protection.insert(FunctionKind::Pcscf, Protection::Missing(std::time::Duration::ZERO));
        }
    };
    let just_before = UNPROTECTED_MAX - std::time::Duration::from_millis(1);
    check_scscf(missing(just_before), &[], &[("scscf-1", HeldBack::Turn("hss"))]);
    check_scscf(missing(UNPROTECTED_MAX), &[], &[("scscf-1", HeldBack::HandsOver)]);
}

#[test]
fn the_witness_is_replaced_while_all_are_protected_or_when_it_does_not_work_anyway() {
    let mut observed = whole(&desired(PAIRS));
    observed.binaries.insert(ProcessName::Witness, "v2".into());
    let replaced = ["stop witness", "start witness"];
    check(&desired(PAIRS), &observed, &replaced);
    for (time, expected) in [(std::time::Duration::ZERO, &[][..]), (UNPROTECTED_MAX, &replaced)] {
        observed.protection.insert(SCSCF, Protection::Missing(time));
        check(&desired(PAIRS), &observed, expected);
    }
    observed.protection.insert(SCSCF, Protection::Missing(std::time::Duration::ZERO));
    observed.ready.remove(&ProcessName::Witness);
    check(&desired(PAIRS), &observed, &replaced);
}

#[test]
fn what_both_of_a_pair_must_agree_on_is_replaced_everywhere_at_once() {
    let all = FunctionKind::ALL.map(ProcessName::pair).concat();
    let scscf = ProcessName::pair(SCSCF);
    for (extra, at_least) in [
        ("redundancy: {mode: pairs, leaseMilliseconds: 50}", &all[..]),
        ("redundancy: {mode: pairs, controlPort: 7200}", &all),
        ("redundancy: {mode: pairs}\nscscf: {port: 6061}", &scscf),
        ("redundancy: {mode: pairs}\nscscf: {addresses: ['127.0.0.23']}", &scscf),
    ] {
        let plan = plan(&desired(extra), &whole(&desired(PAIRS)), &inputs().places);
        assert!(plan.held_back.is_empty(), "{extra}: {:?}", plan.held_back);
        let words = words(&plan.actions);
        for name in at_least {
            assert!(words.contains(&format!("stop {name}")), "{extra}: {words:?}");
        }
    }
    // Who runs since before its configuration was lost may have been told anything.
    let lost = |observed: &mut Observed| {
        observed.processes.get_mut(&name("scscf-1")).expect("it is there").config_text = None;
    };
    check_scscf(lost, &["stop scscf-1", "start scscf-1", "stop scscf-2", "start scscf-2"], &[]);
}

#[test]
fn another_host_agent_is_taken_into_use_alone_and_no_setting_asks_for_one() {
    let mut observed = whole(&desired(PAIRS));
    observed.binaries.insert(ProcessName::HostAgent, "v2".into());
    check(&desired(PAIRS), &observed, &["stop host-agent", "start host-agent"]);
    let moved = desired(&format!("{PAIRS}scscf: {{port: 6061}}"));
    let actions = words(&plan(&moved, &running(&desired(PAIRS)), &inputs().places).actions);
    assert!(!actions.iter().any(|action| action.contains("host-agent")), "{actions:?}");
}

#[test]
fn of_a_pair_the_one_that_serves_is_stopped_last() {
    let mut observed = running(&desired(PAIRS));
    observed.serving = [name("scscf-1"), name("hss-2")].into();
    let stops = words(&plan(&Desired::default(), &observed, &inputs().places).actions);
    let position = |word: &str| stops.iter().position(|stop| stop == word).expect("it is stopped");
    assert!(position("stop scscf-2") < position("stop scscf-1"));
    assert!(position("stop hss-1") < position("stop hss-2"));
    assert!(position("stop scscf-1") < position("stop hss-1"), "and still from the outside in");
}

#[test]
fn a_core_becomes_one_of_pairs_with_its_state() {
    let moves = [
        "copy /state/hss /state/hss-2",
        "copy /state/pcscf /state/pcscf-2",
        "move /state/hss /state/hss-1",
        "move /state/pcscf /state/pcscf-1",
    ];
    let stops = ["stop pcscf", "stop icscf", "stop scscf", "stop hss"];
    let expected: Vec<&str> = stops.into_iter().chain(moves).chain(START_PAIRS).collect();
    check(&desired(PAIRS), &running(&desired("")), &expected);
    // Not after that, also when the first is away for a moment.
    let mut observed = running(&desired(PAIRS));
    observed.states.insert(name("hss"), 9);
    check(&desired(PAIRS), &observed, &[]);
}

#[test]
fn what_a_second_and_a_witness_knew_of_an_earlier_time_is_set_aside_before() {
    let mut observed = running(&desired(""));
    observed.states.extend([(name("hss-2"), 9), (name("witness"), 9)]);
    let actions = words(&plan(&desired(PAIRS), &observed, &inputs().places).actions);
    assert_eq!(
        actions[4..10],
        [
            "set aside /state/witness",
            "set aside /state/hss-2",
            "copy /state/hss /state/hss-2",
            "copy /state/pcscf /state/pcscf-2",
            "move /state/hss /state/hss-1",
            "move /state/pcscf /state/pcscf-1"
        ]
    );
}

#[test]
fn functions_that_are_alone_again_go_on_with_the_state_of_who_served() {
    let check_moves = |observed: &Observed, expected: [&str; 2]| {
        let actions = words(&plan(&desired(""), observed, &inputs().places).actions);
        let moves: Vec<&String> = actions.iter().filter(|word| word.contains("hss")).collect();
        let moves: Vec<&str> = moves.into_iter().map(String::as_str).collect();
        assert_eq!(moves[2..4], expected, "{actions:?}");
        assert_eq!(actions[actions.len() - 4..], START_ALONE);
    };
    let mut observed = running(&desired(PAIRS));
    let first = ["set aside /state/hss-2", "move /state/hss-1 /state/hss"];
    let second = ["set aside /state/hss-1", "move /state/hss-2 /state/hss"];
    check_moves(&observed, first);
    // Nobody knows who served: the one that was written to last.
    observed.states.insert(name("hss-2"), 2);
    check_moves(&observed, second);
    observed.serving.insert(name("hss-1"));
    check_moves(&observed, first);
    observed.serving = [name("hss-2")].into();
    observed.states.insert(name("hss-1"), 3);
    check_moves(&observed, second);
}

#[test]
fn a_move_that_was_cut_off_is_ended_by_the_next_plan() {
    for (extra, before) in [(PAIRS, ""), ("", PAIRS)] {
        let desired = desired(extra);
        let mut observed = running(&self::desired(before));
        observed.states.extend([(name("hss-2"), 5), (name("pcscf-2"), 5), (name("witness"), 5)]);
        observed.serving.insert(name("hss-2"));
        let actions = plan(&desired, &observed, &inputs().places).actions;
        let whole = outcome(observed.states.clone(), &actions);
        for cut in 0..actions.len() {
            let mut observed =
                Observed { states: outcome(observed.states.clone(), &actions[..cut]), ..Observed::default() };
            // Whoever looked first may be gone, and with them what they knew.
            if cut % 2 == 0 {
                observed.serving.insert(name("hss-2"));
            }
            let rest = plan(&desired, &observed, &inputs().places).actions;
            let is_decided =
                actions[..cut].iter().any(|action| matches!(action, Action::SetStateAside { .. }));
            if is_decided || cut % 2 == 0 {
                assert_eq!(outcome(observed.states, &rest), whole, "cut after {cut} actions");
            }
        }
    }
}

/// Who has state after these actions, and from when it is.
fn outcome(mut states: BTreeMap<ProcessName, u128>, actions: &[Action]) -> BTreeMap<ProcessName, u128> {
    for action in actions {
        match action {
            Action::MoveState { name, from, .. } => {
                let from = self::name(&from.file_name().expect("a name").to_string_lossy());
                let state = states.remove(&from).expect("it is there");
                assert_eq!(states.insert(*name, state), None, "nothing is replaced");
            }
            Action::CopyState { name, from, .. } => {
                let from = self::name(&from.file_name().expect("a name").to_string_lossy());
                assert_eq!(states.insert(*name, states[&from]), None, "nothing is replaced");
            }
            Action::SetStateAside { name, .. } => {
                states.remove(name).expect("it is there");
            }
            _ => {}
        }
    }
    states
}

#[test]
fn everybody_is_told_the_same_of_everybody() {
    let desired = desired(PAIRS);
    let ProcessConfig::Witness(witness) = &desired.processes[&ProcessName::Witness].config else {
        panic!("the witness has a witness's configuration");
    };
    let party = |name: ProcessName| ControlParty {
        control_address: match desired.processes[&name].function() {
            Some(config) => config.pair.as_ref().expect("it is one of a pair").control_address,
            None => witness.control_address,
        },
        public_key: format!("public key of {name}"),
    };
    let mut addresses = std::collections::BTreeSet::from([witness.control_address]);
    for kind in FunctionKind::ALL {
        for (number, own) in (1_u8..).zip(ProcessName::pair(kind)) {
            let config = desired.processes[&own].function().expect("it is a function");
            let place = config.pair.as_ref().expect("it is one of a pair");
            assert_eq!((place.id, place.instance), (kind as u32, number));
            assert_eq!((place.lease_milliseconds, config.instance.as_str()), (200, own.as_str()));
            assert_eq!(place.witness, party(ProcessName::Witness));
            assert_eq!(place.other, party(ProcessName::pair(kind)[usize::from(2 - number)]));
            assert_eq!(place.agent_socket.to_str(), Some("/run/host-agent.sock"));
            assert!(addresses.insert(place.control_address), "each hears at a place of its own");
            for neighbour in &place.neighbours {
                let other = FunctionKind::ALL.into_iter().find(|kind| *kind as u32 == neighbour.id);
                let names = ProcessName::pair(other.expect("it is a function"));
                for (told, name) in neighbour.instances.iter().zip(names) {
                    let own = desired.processes[&name].function().expect("it is a function");
                    let (control_address, public_key) = (told.control_address, told.public_key.clone());
                    assert_eq!(ControlParty { control_address, public_key }, party(name));
                    assert_eq!(told.node_host, own.diameter.as_ref().and_then(|d| d.node_host.clone()));
                    assert_eq!(neighbour.host_name, own.host_name);
                    let shared: Vec<_> = own.listen.iter().map(|listen| listen.address).collect();
                    assert_eq!(neighbour.addresses, shared);
                }
            }
        }
        let witnessed = witness.pairs.iter().find(|pair| pair.id == kind as u32).expect("each is witnessed");
        assert_eq!(witnessed.instances, ProcessName::pair(kind).map(party));
        assert_eq!(witnessed.is_durable, HAVE_STATE.contains(&kind));
    }
    assert_eq!(addresses.len(), 9);
    assert_eq!(addresses.first().map(ToString::to_string).as_deref(), Some("127.0.0.1:7060"));
    assert_eq!(witness.control_address.port(), 7068);
}

#[test]
fn neighbours_are_those_whom_signalling_goes_to_in_both_directions() {
    let desired = desired(PAIRS);
    let hosts = |text: &str| {
        let neighbours = &pair(&desired, text).neighbours;
        neighbours.iter().map(|neighbour| neighbour.host_name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(hosts("pcscf-1"), ["icscf.ims.example", "scscf.ims.example"]);
    assert_eq!(hosts("icscf-2"), ["pcscf.ims.example", "scscf.ims.example", "hss.ims.example"]);
    assert_eq!(hosts("scscf-1"), ["pcscf.ims.example", "icscf.ims.example", "hss.ims.example"]);
    assert_eq!(hosts("hss-2"), ["icscf.ims.example", "scscf.ims.example"]);
}

#[test]
fn the_two_of_a_pair_differ_where_they_must_and_share_the_rest() {
    let desired = desired(PAIRS);
    for kind in FunctionKind::ALL {
        let [first, second] = ProcessName::pair(kind).map(|name| {
            let config = desired.processes[&name].function().expect("it is a function").clone();
            Config {
                pair: None,
                admin_socket: "".into(),
                instance: String::new(),
                state_directory: None,
                ..config
            }
        });
        assert_eq!((&first.listen, &first.hosts), (&second.listen, &second.hosts));
        assert_eq!(first.host_name, second.host_name);
        if kind != FunctionKind::Hss {
            assert_eq!(first.function, second.function);
        }
    }
    let node_host = |text| function(&desired, text).diameter.as_ref().and_then(|d| d.node_host.as_deref());
    assert_eq!(node_host("scscf-2"), Some("scscf-2.ims.example"));
    assert_eq!(node_host("pcscf-1"), None);
    assert_eq!(function(&desired, "pcscf-2").state_directory.as_deref(), Some("/state/pcscf-2".as_ref()));
}

#[test]
fn each_hss_has_an_address_and_sequence_numbers_of_its_own() {
    let desired = desired(PAIRS);
    let slice = |text| {
        let FunctionConfig::Hss(hss) = &function(&desired, text).function else {
            panic!("the HSS has an HSS's configuration")
        };
        (hss.sqn_index_first, hss.sqn_index_count)
    };
    assert_eq!((slice("hss-1"), slice("hss-2")), ((0, 16), (16, 16)));
    let peers = &function(&desired, "icscf-1").diameter.as_ref().expect("it speaks Diameter").peers;
    let peers: Vec<String> = peers.iter().map(|(host, address)| format!("{host} {address}")).collect();
    assert_eq!(peers, ["hss-1.ims.example 127.0.0.14:3868", "hss-2.ims.example 127.0.0.14:3869"]);
    for (name, address) in [("hss-1", "127.0.0.14:3868"), ("hss-2", "127.0.0.14:3869")] {
        let listen = &function(&desired, name).diameter.as_ref().expect("it speaks Diameter").listen;
        assert_eq!(listen.iter().map(ToString::to_string).collect::<Vec<_>>(), [address]);
        assert_eq!(&desired.processes[&self::name(name)].addresses, listen);
    }
}

#[test]
fn what_is_rendered_is_read_back_unchanged() {
    for (name, process) in desired(PAIRS).processes {
        let text = &process.config_text;
        let read = match name {
            ProcessName::HostAgent => ProcessConfig::HostAgent(yaml::typed("agent", text).expect("it reads")),
            ProcessName::Witness => {
                ProcessConfig::Witness(yaml::typed::<Witness>("witness", text).expect("it reads"))
            }
            ProcessName::Function(..) => {
                ProcessConfig::Function(Box::new(yaml::typed("config", text).expect("it reads")))
            }
        };
        assert_eq!(read, process.config);
    }
}

#[test]
fn a_function_that_is_alone_is_told_nothing_of_pairs() {
    let alone = desired("redundancy: {mode: none, leaseMilliseconds: 50, controlPort: 9000}");
    assert_eq!(alone, desired(""));
    for (name, process) in &alone.processes {
        assert!(matches!(name, ProcessName::Function(_, Instance::Alone)));
        let config = process.function().expect("it is a function");
        assert_eq!(
            (&config.pair, config.diameter.as_ref().and_then(|d| d.node_host.as_ref())),
            (&None, None)
        );
    }
}

#[test]
fn every_mistake_is_named_with_its_field() {
    let with = |more: &str, rest: &str| format!("redundancy: {{mode: pairs{more}}}\n{rest}");
    let cases = [
        (
            with(", leaseMilliseconds: 19", ""),
            "spec.redundancy.leaseMilliseconds: 19 is not within 20 to 10000",
        ),
        (with(", controlPort: 65528", ""), "spec.redundancy.controlPort: 65528 is not within 1 to 65527"),
        (
            with("", "scscf: {addresses: ['127.0.0.1'], port: 7068}"),
            "spec.redundancy.controlPort: 127.0.0.1:7068 is also an address of scscf",
        ),
        (
            with("", "hss: {port: 65535}"),
            "spec.hss.port: 65535 leaves no port above it for the second of the pair",
        ),
        (
            with("", "hss: {addresses: ['127.0.0.13'], port: 6059}"),
            "spec.hss.port: 127.0.0.13:6060, for the second of the pair, is an address of scscf",
        ),
    ];
    for (extra, expected) in cases {
        assert_eq!(mistakes(&extra), [expected]);
    }
    for fine in [
        with(", leaseMilliseconds: 20, controlPort: 65527", ""),
        with("", "scscf: {addresses: ['127.0.0.1'], port: 7069}"),
        with("", "hss: {port: 65534}"),
    ] {
        assert_eq!(mistakes(&fine), [""; 0]);
    }
}
