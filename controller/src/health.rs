//! Is each function alive, and can it serve? Probes its admin socket; decides about `Hung`, acts on nothing.
//!
//! ```text
//!   Starting ──ready──▶ Ready ◀──▶ NotReady(what is missing)
//!        any ──silent for 3 s over at least 3 probes──▶ hung (once it has answered, or after 30 s)
//! ```

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use node::config::FunctionKind;
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
    /// Of which function.
    pub kind: FunctionKind,
    /// When it was sent: an answer of the predecessor does not count for the successor.
    pub began: Instant,
    /// What is missing to serve (nothing: it is ready), or why it is not alive.
    pub heard: Result<Vec<String>, String>,
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
    started: Instant,
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
            started: now,
            has_answered: false,
            silent: None,
        }
    }

    /// Takes in what a probe heard; says whether state or detail changed.
    pub fn on_probe(&mut self, probe: &Probe) -> bool {
        if probe.began < self.started {
            return false;
        }
        let before = (self.state.clone(), self.detail.clone());
        match &probe.heard {
            Ok(missing) => {
                (self.has_answered, self.silent) = (true, None);
                self.detail = missing.join("; ");
                self.state = match (missing.is_empty(), &self.state) {
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
                }
            }
        }
        before != (self.state.clone(), self.detail.clone())
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

/// Probes the function behind `socket` for ever, into `reports`.
pub async fn watch(kind: FunctionKind, socket: PathBuf, reports: mpsc::Sender<Probe>) {
    loop {
        let began = Instant::now();
        let heard = probe(&socket).await;
        let interval = if heard.as_ref().is_ok_and(Vec::is_empty) { INTERVAL } else { INTERVAL_UNREADY };
        if reports.send(Probe { kind, began, heard }).await.is_err() {
            return;
        }
        tokio::time::sleep(interval.saturating_sub(began.elapsed()).max(INTERVAL_UNREADY)).await;
    }
}

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    missing: Vec<String>,
}

/// Alive and what is missing, or why it is not alive.
pub async fn probe(socket: &Path) -> Result<Vec<String>, String> {
    let alive = http::get(socket, "/livez", PATIENCE).await.map_err(|error| error.to_string())?;
    if !alive.is_success() {
        return Err(alive.text());
    }
    let ready = http::get(socket, "/readyz", PATIENCE).await.map_err(|error| error.to_string())?;
    match ready.json::<Readiness>() {
        Ok(readiness) if readiness.ready => Ok(Vec::new()),
        Ok(readiness) if !readiness.missing.is_empty() => Ok(readiness.missing),
        Ok(_) => Ok(vec!["not ready".into()]),
        Err(_) if ready.is_success() => Ok(Vec::new()),
        Err(_) => Ok(vec![ready.text()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(began: Instant, heard: Result<&[&str], &str>) -> Probe {
        let heard =
            heard.map(|words| words.iter().map(|word| (*word).to_owned()).collect()).map_err(str::to_owned);
        Probe { kind: FunctionKind::Hss, began, heard }
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
}
