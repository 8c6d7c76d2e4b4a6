//! The controller: one thread, one queue, one core. Not in the path of any call: it may die and come back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cloud::{Cloud, CloudEvent, Local};
use crds::IMSCoreStatus;
use jiff::Timestamp;
use plan::ProcessName;
use plan::names::Places;
use rustix::fs::FlockOperation;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::health::{self, Health, Probe};
use crate::history::History;
use crate::report::{About, Published};
use crate::roll::{self, Rolling};
use crate::watch::{self, Accepted, Ask, Validated};
use crate::{addresses, places, report, rest};

/// How the controller was started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the core lives.
    pub places: Places,
    /// Where the functions' binaries lie.
    pub binaries: PathBuf,
    /// In the foreground a signal stops the core; in the background it ends only the controller.
    pub is_foreground: bool,
}

/// How long a held function stays down at most: the holder may have died.
const HOLD_MAX: Duration = Duration::from_secs(120);
/// The controller looks at the world at least this often, even when nothing happened.
const RESYNC: Duration = Duration::from_secs(5);

/// The state of the controller; each phase of a reconcile is a file of its own.
pub struct Controller {
    pub(crate) places: Places,
    pub(crate) cloud: Local,
    pub(crate) accepted: Option<Validated>,
    pub(crate) held: BTreeMap<ProcessName, Instant>,
    pub(crate) health: BTreeMap<ProcessName, Health>,
    pub(crate) failures: BTreeMap<ProcessName, String>,
    pub(crate) rolling: Rolling,
    pub(crate) history: History,
    pub(crate) status: IMSCoreStatus,
    pub(crate) published: Published,
    pub(crate) about: About,
    /// When the world was looked at last.
    pub(crate) looked: Instant,
    asks: mpsc::Receiver<Ask>,
    probes: mpsc::Receiver<Probe>,
    probe: mpsc::Sender<Probe>,
    /// Who probes which process.
    watchers: BTreeMap<ProcessName, Watcher>,
    /// Held while this controller lives: there is one for each core.
    _lock: std::fs::File,
}

/// Runs a controller until it is told to end.
pub async fn run(options: Options) -> Result<()> {
    places::create(&options.places)?;
    let lock = lock(&options.places)?;
    let (ask, asks) = mpsc::channel(64);
    let (probe, probes) = mpsc::channel(64);
    let published = Published::default();
    let socket = options.places.controller_socket();
    let listener = rest::bind(&socket)?;
    tokio::spawn(rest::serve(listener, published.clone(), ask));
    let mut controller = Controller {
        cloud: Local::new(options.places.clone(), options.binaries.clone()),
        accepted: None,
        held: BTreeMap::new(),
        health: BTreeMap::new(),
        failures: BTreeMap::new(),
        rolling: Rolling::default(),
        history: History::open(options.places.state_directory.join("history.json")),
        status: report::unknown(),
        published,
        about: about(),
        looked: Instant::now(),
        asks,
        probes,
        probe,
        watchers: BTreeMap::new(),
        _lock: lock,
        places: options.places,
    };
    controller.history.note(None, "ControllerStarted", format!("as process {}", std::process::id()));
    controller.take_up();
    controller.reconcile().await;
    controller.turn(options.is_foreground).await
}

impl Controller {
    /// Takes up the resource that was accepted last: after a reboot or a crash it is still what should be.
    fn take_up(&mut self) {
        let Some(text) = watch::accepted_text(&self.places) else { return };
        let generation = watch::accepted_generation(&self.places);
        let file = self.places.accepted_resource().display().to_string();
        let inputs = watch::inputs(&self.places, &text).map_err(|error| format!("{error:#}"));
        match inputs.and_then(|inputs| watch::validate(&file, &text, &inputs)) {
            Ok(mut validated) => {
                validated.object.metadata.generation = Some(generation);
                self.accepted = Some(validated);
            }
            Err(mistakes) => self.history.note(None, "Refused", mistakes),
        }
    }

    async fn turn(&mut self, is_foreground: bool) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            let next_look = self.next_look();
            tokio::select! {
                event = self.cloud.next_event() => self.on_cloud_event(event).await,
                Some(probe) = self.probes.recv() => self.on_probe(&probe),
                Some(ask) = self.asks.recv() => {
                    if self.on_ask(ask).await {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep_until(next_look.into()) => {
                    self.end_holds(Instant::now());
                    self.cloud.rotate_logs();
                    self.reconcile().await;
                }
                _ = hang_up.recv() => {}
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        if is_foreground {
            self.stop().await;
        } else {
            self.history.note(None, "ControllerStopped", "by a signal; the functions go on");
            // What is removed cannot mislead; a socket that nobody serves would.
            let _ = std::fs::remove_file(self.places.controller_socket());
        }
        Ok(())
    }

    fn next_look(&self) -> Instant {
        let pauses = ProcessName::ALL.into_iter().filter_map(|name| self.cloud.pause_until(name));
        let rolls = (!self.rolling.held_back.is_empty()).then(|| self.looked + roll::INTERVAL);
        next_look(self.looked, pauses.chain(self.held.values().copied()).chain(rolls))
    }

    async fn on_cloud_event(&mut self, event: CloudEvent) {
        let CloudEvent::Exited { name, reason, pause, .. } = event;
        self.health.remove(&name);
        let then = match pause.is_zero() {
            true => "starting it again".to_owned(),
            false => format!("starting it again in {:.1} s", pause.as_secs_f64()),
        };
        self.history.note(Some(name), "Exited", format!("{reason}; {then}"));
        self.reconcile().await;
    }

    fn on_probe(&mut self, probe: &Probe) {
        let Some(health) = self.health.get_mut(&probe.name) else { return };
        let has_changed = health.on_probe(probe);
        if let Some(reason) = health.hangs(Instant::now()) {
            self.history.note(Some(probe.name), "Hung", reason.as_str());
            if let Err(error) = self.cloud.kill(probe.name, &reason) {
                tracing::warn!(%error, "a function that hangs could not be killed");
            }
        }
        if has_changed {
            self.report();
        }
    }

    /// Says whether the controller is to end.
    async fn on_ask(&mut self, ask: Ask) -> bool {
        // Who asked may be gone by the time of the answer: then nobody needs it.
        match ask {
            Ask::Apply { file, text, answer } => drop(answer.send(self.accept(&file, &text).await)),
            Ask::Hold { name, answer } => {
                self.held.insert(name, Instant::now() + HOLD_MAX);
                self.reconcile().await;
                let _ = answer.send(());
            }
            Ask::Release { name, answer } => {
                self.held.remove(&name);
                self.reconcile().await;
                let _ = answer.send(());
            }
            Ask::Stop { answer } => {
                self.stop().await;
                let _ = answer.send(());
                // The answer leaves on a task of its own.
                tokio::time::sleep(Duration::from_millis(50)).await;
                return true;
            }
        }
        false
    }

    async fn accept(&mut self, file: &str, text: &str) -> Result<Accepted, String> {
        let inputs = watch::inputs(&self.places, text).map_err(|error| format!("{error:#}"))?;
        let mut validated = watch::validate(file, text, &inputs).inspect_err(|mistakes| {
            self.history.note(None, "Refused", mistakes.as_str());
        })?;
        // A function that is stopped for an address that cannot be had would be missed.
        if let Some(running) = &self.accepted
            && let Some(reason) = addresses::unavailable(&running.desired, &validated.desired)
        {
            self.history.note(None, "Refused", reason.as_str());
            return Err(format!("{file}: {reason}; the running core is left as it is"));
        }
        let before = self.accepted.as_ref().map(|accepted| &accepted.object.spec);
        let is_new = before != Some(&validated.object.spec);
        let generation = watch::accepted_generation(&self.places) + i64::from(is_new);
        watch::keep(&self.places, text, generation)
            .map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        validated.object.metadata.generation = Some(generation);
        self.accepted = Some(validated);
        self.cloud.begin_anew();
        self.rolling.begin_anew();
        self.failures.clear();
        if is_new {
            self.history.note(None, "Applied", format!("generation {generation} from {file}"));
        }
        let applied = self.reconcile().await;
        Ok(Accepted { generation, changes: applied.changes })
    }

    /// Brings the core down and removes what was only of use while it ran.
    async fn stop(&mut self) {
        self.accepted = None;
        self.reconcile().await;
        self.history.note(None, "Stopped", "the core is down");
        clean(&self.places);
    }

    /// Sees to it that who is to run, or runs, is probed, and nobody else.
    pub(crate) fn watch_processes(&mut self) {
        let wanted = self.accepted.iter().flat_map(|accepted| accepted.desired.processes.keys());
        let wanted: BTreeSet<ProcessName> = wanted.chain(self.health.keys()).copied().collect();
        self.watchers.retain(|name, _| wanted.contains(name));
        for name in wanted {
            self.watchers.entry(name).or_insert_with(|| {
                let probes = health::watch(name, self.places.socket(name), self.probe.clone());
                Watcher(tokio::spawn(probes))
            });
        }
    }

    fn end_holds(&mut self, now: Instant) {
        self.held.retain(|_, until| *until > now);
    }
}

/// A task that ends when nobody needs it any more.
struct Watcher(tokio::task::JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When to look at the world next, having looked at `looked`: at the first of `moments` that came or comes after that,
/// and at the latest after [`RESYNC`]. A moment in time, not a delay from now: probes arrive many times a second, and
/// each of them begins the wait anew. A moment that has passed since the last look is still owed one.
fn next_look(looked: Instant, moments: impl Iterator<Item = Instant>) -> Instant {
    let resync = looked + RESYNC;
    moments.filter(|moment| *moment > looked).fold(resync, Instant::min)
}

/// The process of the controller that holds the lock, if one does.
pub fn holder(places: &Places) -> Option<i32> {
    let path = places.run_directory.join("controller.lock");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => None,
        Err(_) => std::fs::read_to_string(&path).ok()?.trim().parse().ok(),
    }
}

/// Removes the run directory with what is known to be in it.
pub fn clean(places: &Places) {
    // A file that is gone already is as good as one removed; a foreign file keeps the directory.
    let _ = std::fs::remove_file(places.controller_socket());
    let _ = std::fs::remove_file(places.run_directory.join("controller.lock"));
    let _ = std::fs::remove_dir(&places.run_directory);
}

fn lock(places: &Places) -> Result<std::fs::File> {
    use std::io::Write;
    let path = places.run_directory.join("controller.lock");
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let mut file = file.with_context(|| format!("cannot open {}", path.display()))?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another controller runs this core already ({} is locked)", path.display());
    }
    // So that a controller that hangs can be found.
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).context("cannot write the lock")?;
    Ok(file)
}

fn about() -> About {
    About {
        pid: std::process::id(),
        since: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").into(),
        binary: own_mark(),
    }
}

/// The mark of the program that runs.
pub fn own_mark() -> String {
    std::env::current_exe().ok().and_then(|path| cloud::local::binary_mark(&path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_ends_while_another_event_is_handled_is_still_looked_at() {
        let looked = Instant::now();
        let pause_until = looked + Duration::from_secs(2);
        assert_eq!(next_look(looked, [pause_until].into_iter()), pause_until);
        // Looked at exactly when it ended: done. A moment earlier: not yet.
        assert_eq!(next_look(pause_until, [pause_until].into_iter()), pause_until + RESYNC);
        let just_before = pause_until - Duration::from_nanos(1);
        assert_eq!(next_look(just_before, [pause_until].into_iter()), pause_until);
    }

    #[test]
    fn the_world_is_looked_at_again_however_many_events_come_between() {
        let looked = Instant::now();
        assert_eq!(next_look(looked, std::iter::empty()), looked + RESYNC);
        let later = looked + RESYNC * 2;
        assert_eq!(next_look(looked, [later].into_iter()), looked + RESYNC);
    }
}
