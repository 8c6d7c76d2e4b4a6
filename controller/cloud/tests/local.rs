//! The local driver against real processes: small shell scripts in the place of network functions.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cloud::local::Record;
use cloud::{Cloud, CloudError, CloudEvent, Local};
use node::config::FunctionKind;
use plan::names::Places;
use plan::{Desired, Inputs, LinkKey, ProcessName, plan};

const LIVES: &str = "trap 'exit 0' TERM\nwhile :; do sleep 0.05; done";

/// One test at a time: what is started while another thread writes a script inherits it open for writing until it is another
/// program, and so long nobody can start that script ("text file busy").
static TURN: Mutex<()> = Mutex::new(());

struct World {
    directory: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl World {
    /// A machine whose four binaries are the shell script `body`.
    fn new(body: &str) -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let world = World { directory, _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) };
        for name in ["bin", "run", "state"] {
            std::fs::create_dir(world.path(name)).expect("it is empty");
        }
        FunctionKind::ALL.iter().for_each(|kind| world.install(*kind, body));
        ["witness", "host-agent"].iter().for_each(|name| world.install_as(name, body));
        world
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn install(&self, kind: FunctionKind, body: &str) {
        self.install_as(kind.as_str(), body);
    }

    fn install_as(&self, name: &str, body: &str) {
        let path = self.path("bin").join(name);
        let new = self.path("bin").join("new");
        std::fs::write(&new, format!("#!/bin/sh\n{body}\n")).expect("writable");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("ours");
        std::fs::rename(&new, &path).expect("ours");
    }

    fn places(&self) -> Places {
        Places { state_directory: self.path("state"), run_directory: self.path("run") }
    }

    fn controller(&self) -> Local {
        Local::new(self.places(), self.path("bin"))
    }

    fn desired(&self) -> Desired {
        self.render("homeDomain: ims.example")
    }

    fn pairs(&self) -> Desired {
        self.render("homeDomain: ims.example\nredundancy: {mode: pairs}")
    }

    fn render(&self, spec: &str) -> Desired {
        let spec = crds::yaml::typed("spec", spec).expect("it reads");
        let key = |name| (name, LinkKey { private_key_file: "key".into(), public_key: "0".into() });
        let inputs = Inputs {
            places: self.places(),
            flow_token_key: "00".repeat(16),
            has_ipv6_loopback: true,
            link_keys: ProcessName::of_core(true).map(key).collect(),
        };
        Desired::from_spec(&spec, &inputs).expect("it can be built")
    }

    async fn reconcile(&self, cloud: &mut Local, desired: &Desired) -> Result<usize, CloudError> {
        let actions = plan(desired, &cloud.observe().await?, &self.places()).actions;
        for action in &actions {
            cloud.apply(action).await?;
        }
        Ok(actions.len())
    }
}

/// A test that fails leaves no process behind.
impl Drop for World {
    fn drop(&mut self) {
        let records = ProcessName::ALL.map(|name| Record::read(&self.places().process_record(name)));
        for record in records.into_iter().flatten().filter(Record::is_alive) {
            // It may have ended in between.
            let pid = rustix::process::Pid::from_raw(record.pid).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn pid(cloud: &Local, kind: FunctionKind) -> i32 {
    cloud.record(ProcessName::alone(kind)).expect("it was started").pid
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("a pid"), signal)
        .expect("it lives");
}

async fn next_event(cloud: &mut Local) -> CloudEvent {
    tokio::time::timeout(Duration::from_secs(10), cloud.next_event()).await.expect("something happens")
}

fn is_alive(places: &Places, kind: FunctionKind) -> bool {
    Record::read(&places.process_record(ProcessName::alone(kind))).is_some_and(|record| record.is_alive())
}

#[tokio::test]
async fn a_core_goes_up_stays_as_it_is_and_goes_down_without_a_trace() {
    let world = World::new(LIVES);
    let mut cloud = world.controller();
    assert_eq!(world.reconcile(&mut cloud, &world.desired()).await.expect("up"), 8);
    assert!(FunctionKind::ALL.iter().all(|kind| is_alive(&world.places(), *kind)));
    assert_eq!(
        world.reconcile(&mut cloud, &world.desired()).await.expect("again"),
        0,
        "twice up is harmless"
    );
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
    assert_eq!(std::fs::read_dir(world.path("run")).expect("it is there").count(), 0, "no file is left");
}

#[tokio::test]
async fn a_killed_function_is_reported_and_started_again_at_once() {
    let world = World::new(LIVES);
    let mut cloud = world.controller();
    world.reconcile(&mut cloud, &world.desired()).await.expect("up");
    let before = pid(&cloud, FunctionKind::Scscf);
    signal(before, rustix::process::Signal::KILL);
    let CloudEvent::Exited { name, pid: dead, reason, pause } = next_event(&mut cloud).await;
    assert_eq!(
        (name, dead, reason.as_str()),
        (ProcessName::alone(FunctionKind::Scscf), before, "killed by SIGKILL")
    );
    assert_eq!(pause, Duration::ZERO);
    assert_eq!(world.reconcile(&mut cloud, &world.desired()).await.expect("heals"), 1);
    assert_ne!(pid(&cloud, FunctionKind::Scscf), before);
    assert_eq!(cloud.record(ProcessName::alone(FunctionKind::Scscf)).map(|record| record.restarts), Some(1));
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn functions_outlive_the_controller_and_the_next_one_adopts_them() {
    let world = World::new(LIVES);
    let mut first = world.controller();
    world.reconcile(&mut first, &world.desired()).await.expect("up");
    let before = FunctionKind::ALL.map(|kind| pid(&first, kind));
    drop(first);
    let mut second = world.controller();
    assert_eq!(
        world.reconcile(&mut second, &world.desired()).await.expect("adopts"),
        0,
        "nothing is to be done"
    );
    assert_eq!(FunctionKind::ALL.map(|kind| pid(&second, kind)), before);
    // The adopted are watched too.
    signal(before[0], rustix::process::Signal::KILL);
    let CloudEvent::Exited { name, .. } = next_event(&mut second).await;
    assert_eq!(name, ProcessName::alone(FunctionKind::Hss));
    world.reconcile(&mut second, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn a_process_whose_record_was_lost_is_found_and_replaced() {
    let world = World::new(LIVES);
    let mut first = world.controller();
    world.reconcile(&mut first, &world.desired()).await.expect("up");
    let before = pid(&first, FunctionKind::Icscf);
    drop(first);
    std::fs::remove_file(world.places().process_record(ProcessName::alone(FunctionKind::Icscf)))
        .expect("it is there");
    let mut second = world.controller();
    assert_eq!(world.reconcile(&mut second, &world.desired()).await.expect("replaces"), 2, "stop and start");
    assert_ne!(pid(&second, FunctionKind::Icscf), before);
    world.reconcile(&mut second, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn the_last_words_of_a_function_that_cannot_start_are_its_reason() {
    let world = World::new(LIVES);
    world.install(FunctionKind::Pcscf, "echo 'Error: 127.0.0.11:4060 is held by pid 7' >&2\nexit 1");
    let mut cloud = world.controller();
    world.reconcile(&mut cloud, &world.desired()).await.expect("up");
    for attempt in 0..4 {
        let asked = Instant::now();
        let CloudEvent::Exited { reason, pause, .. } = next_event(&mut cloud).await;
        assert_eq!(reason, "exited with code 1: Error: 127.0.0.11:4060 is held by pid 7");
        assert_eq!(pause.is_zero(), attempt < 3, "after three starts at once there is a pause");
        let actions = world.reconcile(&mut cloud, &world.desired()).await.expect("heals");
        // Unless the pause passed while this machine stood still.
        let is_over = attempt == 3 && asked.elapsed() >= pause;
        assert!(actions == usize::from(attempt < 3) || is_over, "attempt {attempt}: {actions} actions");
    }
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn a_new_binary_is_used_when_an_operator_asks_and_not_before() {
    let world = World::new(LIVES);
    let mut cloud = world.controller();
    world.reconcile(&mut cloud, &world.desired()).await.expect("up");
    world.install(FunctionKind::Hss, &format!("# better\n{LIVES}"));
    assert_eq!(world.reconcile(&mut cloud, &world.desired()).await.expect("looks"), 0);
    cloud.begin_anew();
    assert_eq!(world.reconcile(&mut cloud, &world.desired()).await.expect("upgrades"), 2, "stop and start");
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn a_hanging_function_is_killed_and_the_reason_is_ours() {
    let world = World::new(LIVES);
    let mut cloud = world.controller();
    world.reconcile(&mut cloud, &world.desired()).await.expect("up");
    signal(pid(&cloud, FunctionKind::Hss), rustix::process::Signal::STOP);
    cloud.kill(ProcessName::alone(FunctionKind::Hss), "did not answer for 3 s").expect("it can be killed");
    let CloudEvent::Exited { reason, .. } = next_event(&mut cloud).await;
    assert_eq!(reason, "did not answer for 3 s");
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn a_missing_binary_is_named() {
    let world = World::new(LIVES);
    std::fs::remove_file(world.path("bin").join("icscf")).expect("it is there");
    let mut cloud = world.controller();
    let error = world.reconcile(&mut cloud, &world.desired()).await.expect_err("it cannot start");
    assert!(error.to_string().ends_with("bin/icscf"), "{error}");
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn what_holds_keys_is_readable_by_its_owner_alone() {
    let world = World::new(LIVES);
    let mut cloud = world.controller();
    world.reconcile(&mut cloud, &world.desired()).await.expect("up");
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&world.places().config_file(ProcessName::alone(FunctionKind::Pcscf))), 0o600);
    assert_eq!(mode(&world.places().state_of(ProcessName::alone(FunctionKind::Hss))), 0o700);
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
}

#[tokio::test]
async fn a_core_becomes_one_of_pairs_and_back_and_keeps_what_it_knows() {
    let world = World::new(LIVES);
    let mut cloud = world.controller();
    let store = |name: &str| world.path("state").join(name).join("store");
    world.reconcile(&mut cloud, &world.desired()).await.expect("up");
    std::fs::write(store("hss"), "subscribers").expect("its directory is there");
    world.reconcile(&mut cloud, &world.pairs()).await.expect("pairs");
    let is_running =
        |name| Record::read(&world.places().process_record(name)).is_some_and(|it| it.is_alive());
    assert!(ProcessName::ALL.into_iter().all(|name| is_running(name) == name.is_of_pairs()));
    assert_eq!(std::fs::read_to_string(store("hss-1")).expect("it was moved"), "subscribers");
    assert_eq!(std::fs::read_to_string(store("hss-2")).expect("it was copied"), "subscribers");
    std::fs::write(store("hss-2"), "the same").expect("its directory is there");
    std::fs::write(store("hss-1"), "more subscribers").expect("its directory is there");
    assert_eq!(world.reconcile(&mut cloud, &world.pairs()).await.expect("looks"), 0);
    world.reconcile(&mut cloud, &world.desired()).await.expect("alone");
    assert_eq!(std::fs::read_to_string(store("hss")).expect("it was moved"), "more subscribers");
    assert_eq!(std::fs::read_to_string(store("hss-2.old-1")).expect("it was kept"), "the same");
    world.reconcile(&mut cloud, &Desired::default()).await.expect("down");
    assert_eq!(std::fs::read_dir(world.path("run")).expect("it is there").count(), 0, "no file is left");
}

#[tokio::test]
async fn a_host_agent_is_adopted_like_the_functions() {
    let world = World::new(LIVES);
    let mut first = world.controller();
    world.reconcile(&mut first, &world.pairs()).await.expect("up");
    let before = first.record(ProcessName::HostAgent).expect("it was started").pid;
    drop(first);
    std::fs::remove_file(world.places().process_record(ProcessName::Witness)).expect("it is there");
    let mut second = world.controller();
    assert_eq!(world.reconcile(&mut second, &world.pairs()).await.expect("adopts"), 2, "another witness");
    assert_eq!(second.record(ProcessName::HostAgent).expect("it was adopted").pid, before);
    assert!(is_running(before), "and it is the one that it was");
    world.reconcile(&mut second, &Desired::default()).await.expect("down");
    assert!(!is_running(before));
}

fn is_running(pid: i32) -> bool {
    rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).expect("a pid")).is_ok()
}
