//! Is each process alive, can it serve, and what is it in its pair? Probes its admin socket; decides about `Hung`, acts on nothing.
//! The host agent has no admin socket: it lives while it listens.
//!
//! ```text
//!   Starting ──ready──▶ Ready ◀──▶ NotReady(what is missing)
//!        any ──silent for 3 s over at least 3 probes──▶ hung (once it has answered, or after 30 s)
//! ```

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crds::FunctionRole;
use plan::ProcessName;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::http;

/// How often a function is probed.
const INTERVAL: Duration = Duration::from_millis(250);
/// While it is not ready, more often: `up` and a restart wait for it.
const INTERVAL_UNREADY: Duration = Duration::from_millis(50);
/// How long a probe waits. Three of these make the silence that is death.
const PATIENCE: Duration = Duration::from_secs(1);
/// A function silent for so long hangs. Shorter, and a machine that swaps is made worse by restarts; longer, and calls
/// are lost while all looks well.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// And so many probes must have failed: a controller that itself stood still has no right to judge.
const SILENT_PROBES_MIN: u32 = 3;
/// A function that has never answered may take this long: a large store is checked when it is opened.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// What one probe heard.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Of which process.
    pub name: ProcessName,
    /// When it was sent: an answer of the predecessor does not count for the successor.
    pub began: Instant,
    /// When the answer was there.
    pub ended: Instant,
    /// What it says, or why it is not alive.
    pub heard: Result<Heard, String>,
}

/// What a process says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What is missing to do its work; nothing: it is ready.
    pub missing: Vec<String>,
    /// What it is in its pair, if it says so.
    pub place: Option<PairPlace>,
}

impl Heard {
    /// Can it do its work?
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty()
    }
}

/// What an instance is in its pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairPlace {
    /// What it does there.
    pub role: FunctionRole,
    /// Its epoch.
    pub epoch: Option<i64>,
    /// May it fail without anybody noticing?
    pub protected: Option<bool>,
}

/// What is known of a function's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Has not been ready since it was started.
    Starting,
    /// Serves.
    Ready,
    /// Lives and cannot serve.
    NotReady,
}

/// The health of one process.
#[derive(Clone, Debug)]
pub struct Health {
    /// In which state it is.
    pub state: State,
    /// What it says is missing, or why it does not answer.
    pub detail: String,
    /// What it said last about its place in a pair.
    pub place: Option<PairPlace>,
    started: Instant,
    /// When the newest answer was asked for.
    asked: Option<Instant>,
    /// Since when it is known to be ready.
    ready_since: Option<Instant>,
    has_answered: bool,
    silent: Option<Silence>,
}

#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    probes: u32,
}

impl Health {
    /// Of a process that was started or adopted at `now`.
    pub fn new(now: Instant) -> Health {
        Health {
            state: State::Starting,
            detail: String::new(),
            place: None,
            started: now,
            asked: None,
            ready_since: None,
            has_answered: false,
            silent: None,
        }
    }

    /// Takes in what a probe heard; says whether state or detail changed.
    pub fn on_probe(&mut self, probe: &Probe) -> bool {
        if probe.began < self.started {
            return false;
        }
        let before = (self.state.clone(), self.detail.clone(), self.place);
        match &probe.heard {
            Ok(heard) => {
                (self.has_answered, self.silent) = (true, None);
                self.asked = Some(probe.began);
                self.ready_since = self.ready_since.or(Some(probe.ended)).filter(|_| heard.is_ready());
                self.detail = heard.missing.join("; ");
                self.place = heard.place;
                self.state = match (heard.is_ready(), &self.state) {
                    (true, _) => State::Ready,
                    (false, State::Starting) => State::Starting,
                    (false, _) => State::NotReady,
                };
            }
            Err(reason) => {
                let silence = self.silent.get_or_insert(Silence { since: probe.began, probes: 0 });
                silence.probes = silence.probes.saturating_add(1);
                // One lost probe on a busy machine is no news.
                if self.state != State::Starting && silence.probes >= SILENT_PROBES_MIN {
                    self.state = State::NotReady;
                    self.detail.clone_from(reason);
                    self.place = None;
                }
            }
        }
        before != (self.state.clone(), self.detail.clone(), self.place)
    }

    /// Did it say that it may fail when `standby` was known to be ready already?
    pub fn says_protected_since(&self, standby: &Health) -> bool {
        let is_protected = self.place.is_some_and(|place| place.protected == Some(true));
        let (Some(asked), Some(ready_since)) = (self.asked, standby.ready_since) else { return false };
        is_protected && asked > ready_since
    }

    /// Is it ready, and has it been for so long?
    pub fn has_been_ready(&self, now: Instant, time: Duration) -> bool {
        let ready_since = self.ready_since.filter(|_| self.state == State::Ready);
        ready_since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }

    /// Is it to be killed, and why?
    pub fn hangs(&self, now: Instant) -> Option<String> {
        let silence = self.silent?;
        let lasted = now.saturating_duration_since(silence.since);
        let patience = if self.has_answered { SILENCE_MAX } else { START_PATIENCE };
        let is_hung = lasted >= patience && silence.probes >= SILENT_PROBES_MIN;
        is_hung.then(|| format!("it had not answered for {:.1} s and was killed", lasted.as_secs_f64()))
    }
}

/// Probes the process behind `socket` for ever, into `reports`.
pub async fn watch(name: ProcessName, socket: PathBuf, reports: mpsc::Sender<Probe>) {
    loop {
        let began = Instant::now();
        let heard = probe(name, &socket).await;
        let interval = if heard.as_ref().is_ok_and(Heard::is_ready) { INTERVAL } else { INTERVAL_UNREADY };
        if reports.send(Probe { name, began, ended: Instant::now(), heard }).await.is_err() {
            return;
        }
        tokio::time::sleep(interval.saturating_sub(began.elapsed()).max(INTERVAL_UNREADY)).await;
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    ready: bool,
    missing: Vec<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    epoch: Option<i64>,
    #[serde(default)]
    is_protected: Option<bool>,
}

impl Readiness {
    fn heard(self) -> Heard {
        let role =
            self.role.and_then(|word| FunctionRole::ALL.into_iter().find(|role| role.as_str() == word));
        let place = role.map(|role| PairPlace { role, epoch: self.epoch, protected: self.is_protected });
        let missing = match (self.ready, self.missing.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => vec!["not ready".into()],
            (false, false) => self.missing,
        };
        Heard { missing, place }
    }
}

/// What a process says, or why it is not alive.
pub async fn probe(name: ProcessName, socket: &Path) -> Result<Heard, String> {
    match name {
        ProcessName::HostAgent => probe_listener(socket).await,
        ProcessName::Witness | ProcessName::Function(..) => probe_admin(socket).await,
    }
}

/// Does somebody listen? A stream is what a host agent does not take (`nf/host/src/words.rs`), so the kernel answers, and says whether
/// anybody is there: one that let us in would look after our process like an instance's, once more for each probe.
async fn probe_listener(socket: &Path) -> Result<Heard, String> {
    match tokio::net::UnixStream::connect(socket).await {
        Ok(_) => Ok(Heard::default()),
        Err(error) if is_of_other_type(&error) => Ok(Heard::default()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_of_other_type(error: &std::io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::PROTOTYPE)
}

/// What an admin endpoint says.
pub async fn probe_admin(socket: &Path) -> Result<Heard, String> {
    let alive = http::get(socket, "/livez", PATIENCE).await.map_err(|error| error.to_string())?;
    if !alive.is_success() {
        return Err(alive.text());
    }
    let ready = http::get(socket, "/readyz", PATIENCE).await.map_err(|error| error.to_string())?;
    match ready.json::<Readiness>() {
        Ok(readiness) => Ok(readiness.heard()),
        Err(_) if ready.is_success() => Ok(Heard::default()),
        Err(_) => Ok(Heard { missing: vec![ready.text()], place: None }),
    }
}

#[cfg(test)]
mod tests {
    use node::config::FunctionKind;

    use super::*;

    fn probe(began: Instant, heard: Result<&[&str], &str>) -> Probe {
        let missing = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let heard = heard.map(|words| Heard { missing: missing(words), place: None });
        let name = ProcessName::alone(FunctionKind::Hss);
        Probe { name, began, ended: began, heard: heard.map_err(str::to_owned) }
    }

    #[test]
    fn what_an_instance_is_in_its_pair_is_read_and_may_be_left_out() {
        let read = |text: &str| serde_json::from_str::<Readiness>(text).expect("it reads").heard();
        let standby =
            r#"{"ready": true, "missing": [], "role": "standby", "epoch": 7, "isProtected": false}"#;
        let place = PairPlace { role: FunctionRole::Standby, epoch: Some(7), protected: Some(false) };
        assert_eq!(read(standby), Heard { missing: Vec::new(), place: Some(place) });
        assert_eq!(read(r#"{"ready": true, "missing": []}"#), Heard::default());
        let odd = r#"{"ready": false, "missing": [], "role": "king", "epoch": null}"#;
        assert_eq!(read(odd), Heard { missing: vec!["not ready".into()], place: None });
    }

    #[test]
    fn a_silent_function_hangs_after_three_seconds_and_not_a_moment_before() {
        let start = Instant::now();
        let mut health = Health::new(start);
        health.on_probe(&probe(start, Ok(&[])));
        for second in 1..=3 {
            health.on_probe(&probe(start + Duration::from_secs(second), Err("no answer")));
        }
        let silent_since = start + Duration::from_secs(1);
        assert_eq!(health.hangs(silent_since + SILENCE_MAX - Duration::from_millis(1)), None);
        assert!(health.hangs(silent_since + SILENCE_MAX).is_some());
    }

    #[test]
    fn a_controller_that_stood_still_judges_nobody() {
        let start = Instant::now();
        let mut health = Health::new(start);
        health.on_probe(&probe(start, Ok(&[])));
        health.on_probe(&probe(start, Err("no answer")));
        assert_eq!(health.hangs(start + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_function_that_never_answered_has_time_to_open_its_store() {
        let start = Instant::now();
        let mut health = Health::new(start);
        (0..9).for_each(|_| assert!(!health.on_probe(&probe(start, Err("nobody answers")))));
        assert_eq!(health.hangs(start + START_PATIENCE - Duration::from_millis(1)), None);
        assert!(health.hangs(start + START_PATIENCE).is_some());
    }

    #[test]
    fn what_is_missing_is_told() {
        let start = Instant::now();
        let mut health = Health::new(start);
        health.on_probe(&probe(start, Ok(&["no Diameter peer is up"])));
        assert_eq!(health.state, State::Starting);
        assert!(health.on_probe(&probe(start, Ok(&[]))), "it is news");
        assert!(!health.on_probe(&probe(start, Ok(&[]))), "it is none");
        health.on_probe(&probe(start, Ok(&["no Diameter peer is up"])));
        assert_eq!((health.state, health.detail.as_str()), (State::NotReady, "no Diameter peer is up"));
    }

    #[test]
    fn an_answer_of_the_predecessor_does_not_count() {
        let start = Instant::now();
        let mut health = Health::new(start + Duration::from_secs(1));
        assert!(!health.on_probe(&probe(start, Ok(&[]))));
        assert_eq!(health.state, State::Starting);
    }

    #[tokio::test]
    async fn a_host_agent_is_seen_to_listen_without_noticing_it() {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("agent.sock");
        let probed = async || super::probe(ProcessName::HostAgent, &path).await;
        assert!(probed().await.is_err(), "nobody was ever there");
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let listener = rustix::net::socket_with(family, kind, SocketFlags::NONBLOCK, None).expect("a socket");
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path).expect("a path")).expect("it is free");
        rustix::net::listen(&listener, 1).expect("it can listen");
        for _ in 0..10 {
            assert_eq!(probed().await, Ok(Heard::default()));
        }
        assert_eq!(rustix::net::accept(&listener).err(), Some(rustix::io::Errno::AGAIN), "nobody waits");
        drop(listener);
        assert!(probed().await.is_err(), "it has ended, and its socket is still there");
    }
}
