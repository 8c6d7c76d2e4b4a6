//! The local driver: each function, witness and host agent is a supervised process on this machine.
//!
//! ```text
//!   Start ──▶ running, watched by pidfd ──exit──▶ event (reason, pause) ──▶ the next plan starts it again
//!                │ controller dies: it runs on; its record stays
//!                └──▶ the next controller's first `observe` adopts it by pid and start time
//! ```
//!
//! A process is in a process group of its own and writes to a log file, so that neither the controller's death nor a
//! closed terminal reaches it. Never decides whether something should run: that is `plan`.

mod log;
mod proc;
mod record;
mod state;
mod tracked;

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plan::names::Places;
use plan::{Action, Observed, ObservedProcess, Process, ProcessName};
use tokio::sync::mpsc;

use crate::{Cloud, CloudError, CloudEvent};
pub use log::{LOG_BYTES_MAX, last_words};
pub use record::{End, Record, UNWATCHED};
use tracked::Tracked;

/// How long a process may take to stop gracefully before it is killed: longer than T1·8, in which a function answers
/// what it has begun.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Supervised processes on this machine.
#[derive(Debug)]
pub struct Local {
    places: Places,
    binaries: PathBuf,
    has_looked: bool,
    /// The marks of the binaries when an operator asked last; before, none: who adopts does not replace.
    marks: BTreeMap<ProcessName, String>,
    tracked: BTreeMap<ProcessName, Tracked>,
    ended: mpsc::UnboundedReceiver<tracked::Ended>,
    notify: mpsc::UnboundedSender<tracked::Ended>,
}

impl Local {
    /// A driver for the core at `places`, whose binaries lie in the directory `binaries`.
    pub fn new(places: Places, binaries: PathBuf) -> Local {
        // Unbounded but for its senders: one message for each process that ended.
        let (notify, ended) = mpsc::unbounded_channel();
        Local {
            places,
            binaries,
            has_looked: false,
            marks: BTreeMap::new(),
            tracked: BTreeMap::new(),
            ended,
            notify,
        }
    }

    /// An operator asked: looks which binaries are installed now, and ends all pauses, because the cause may be gone.
    /// Nobody else looks: a compiler at work next door must not restart a running core.
    pub fn begin_anew(&mut self) {
        self.tracked.values_mut().for_each(Tracked::begin_anew);
        let mark = |name: ProcessName| Some((name, binary_mark(&self.binary(name))?));
        self.marks = ProcessName::ALL.into_iter().filter_map(mark).collect();
    }

    /// What is known of the process of `name`, running or ended.
    pub fn record(&self, name: ProcessName) -> Option<&Record> {
        self.tracked.get(&name).map(|tracked| &tracked.record)
    }

    /// How often the process of `name` ended fast in a row.
    pub fn fast_ends(&self, name: ProcessName) -> u32 {
        self.tracked.get(&name).map_or(0, |tracked| tracked.restarts.fast_ends())
    }

    /// When the process of `name` may be started again.
    pub fn pause_until(&self, name: ProcessName) -> Option<Instant> {
        self.tracked.get(&name).and_then(|tracked| tracked.pause_until)
    }

    /// Kills the process of `name`, which hangs; its end is reported as an event with `reason`.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&mut self, name: ProcessName, reason: &str) -> Result<(), CloudError> {
        match self.tracked.get_mut(&name) {
            Some(tracked) => tracked.kill(reason),
            None => Ok(()),
        }
    }

    /// Keeps the log files bounded.
    pub fn rotate_logs(&self) {
        for name in ProcessName::ALL {
            log::rotate(&self.places.log_file(name));
        }
    }

    fn binary(&self, name: ProcessName) -> PathBuf {
        match name {
            ProcessName::HostAgent | ProcessName::Witness => self.binaries.join(name.as_str()),
            ProcessName::Function(kind, _) => self.binaries.join(kind.as_str()),
        }
    }

    /// Finds what an earlier controller started, of what is not known yet.
    fn adopt_all(&mut self) -> Result<(), CloudError> {
        // Who has no configuration was never started, unless somebody removed the run directory: that is looked at once.
        let is_worth_it = |name: &ProcessName| !self.has_looked || self.places.config_file(*name).exists();
        let unknown = ProcessName::ALL.into_iter().filter(|name| !self.tracked.contains_key(name));
        let unknown: Vec<ProcessName> = unknown.filter(is_worth_it).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let running = proc::running_by_config();
        for name in unknown {
            self.adopt(name, running.get(&self.places.config_file(name)).copied())?;
        }
        self.has_looked = true;
        Ok(())
    }

    /// Finds a process that an earlier controller started: by its record, or, when that controller died before it wrote
    /// one, by its command line, which is `found`.
    fn adopt(&mut self, name: ProcessName, found: Option<(i32, u64)>) -> Result<(), CloudError> {
        let log_file = self.places.log_file(name);
        let written = Record::read(&self.places.process_record(name));
        let record = match written {
            Some(record) if proc::is_alive(record.pid, record.start_ticks) => record,
            other => match found {
                Some((pid, start_ticks)) => Record::found(pid, start_ticks),
                None => {
                    let dead = other.map(|mut record| {
                        record.note_end(record::UNWATCHED.into());
                        record
                    });
                    if let Some(record) = dead {
                        self.tracked.insert(name, Tracked::dead(record, log_file));
                    }
                    return Ok(());
                }
            },
        };
        if let Some(tracked) = Tracked::adopt(name, record, log_file, self.notify.clone())? {
            self.tracked.insert(name, tracked);
        }
        Ok(())
    }

    fn start(&mut self, process: &Process) -> Result<(), CloudError> {
        let name = process.name;
        let binary = self.binary(name);
        let log_file = self.places.log_file(name);
        for directory in [log_file.parent(), process.state_directory()].into_iter().flatten() {
            create_private_directory(directory)?;
        }
        let log = open_log(&log_file)?;
        let log_offset = log.metadata().map_or(0, |metadata| metadata.len());
        let error_log = log.try_clone().map_err(|source| file_error("open", &log_file, source))?;
        let mark = binary_mark(&binary);
        let child = Command::new(&binary)
            .arg("--config")
            .arg(self.places.config_file(name))
            .envs(&process.environment)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error_log)
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(|source| CloudError::Start { path: binary.clone(), source })?;
        let mark = mark.unwrap_or_default();
        self.marks.insert(name, mark.clone());
        let record = Record::started(child.id(), process.recipe(), mark, log_offset, self.record(name));
        let restarts = self.tracked.get(&name).map(|tracked| tracked.restarts).unwrap_or_default();
        record.write(&self.places.process_record(name))?;
        tracing::info!(function = name.as_str(), pid = record.pid, "started");
        let mut tracked = Tracked::child(name, record, log_file, self.notify.clone())?;
        tracked.restarts = restarts;
        self.tracked.insert(name, tracked);
        Ok(())
    }

    async fn stop(&mut self, name: ProcessName, reason: &'static str) -> Result<(), CloudError> {
        let Some(tracked) = self.tracked.get_mut(&name) else { return Ok(()) };
        tracing::info!(function = name.as_str(), pid = tracked.record.pid, reason, "stopping");
        tracked.stop(STOP_PATIENCE).await?;
        // A stop on purpose is no failure: counting begins anew.
        let mut record = tracked.record.clone();
        record.note_end(format!("stopped: {reason}"));
        let log_file = self.places.log_file(name);
        self.tracked.insert(name, Tracked::dead(record, log_file));
        Ok(())
    }
}

impl Cloud for Local {
    async fn observe(&mut self) -> Result<Observed, CloudError> {
        self.adopt_all()?;
        let mut observed = Observed { binaries: self.marks.clone(), ..Observed::default() };
        observed.states = state::having(&self.places);
        for name in ProcessName::ALL {
            let config_text = std::fs::read_to_string(self.places.config_file(name)).ok();
            let tracked = self.tracked.get(&name);
            if config_text.is_none() && tracked.is_none() {
                continue;
            }
            let found = match tracked {
                None => ObservedProcess { config_text, ..ObservedProcess::default() },
                Some(tracked) => ObservedProcess {
                    pid: tracked.is_running().then_some(tracked.record.pid),
                    recipe: tracked.record.recipe.clone(),
                    binary: tracked.record.binary.clone(),
                    config_text,
                    is_backing_off: tracked.pause_until.is_some_and(|until| until > Instant::now()),
                },
            };
            observed.processes.insert(name, found);
        }
        Ok(observed)
    }

    async fn apply(&mut self, action: &Action) -> Result<(), CloudError> {
        match action {
            Action::WriteConfig { path, text, .. } => write_private(path, text),
            Action::Start { process } => self.start(process),
            Action::Stop { name, reason } => self.stop(*name, reason).await,
            Action::RemoveFiles { name, paths } => {
                self.tracked.remove(name);
                paths.iter().try_for_each(|path| remove(path))
            }
            Action::MoveState { from, to, .. } => state::rename(from, to),
            Action::CopyState { from, to, .. } => state::copy(from, to),
            Action::SetStateAside { path, .. } => state::set_aside(path),
        }
    }

    async fn next_event(&mut self) -> CloudEvent {
        loop {
            let ended = self.ended.recv().await.expect("the driver itself holds a sender");
            let Some(tracked) = self.tracked.get_mut(&ended.name) else { continue };
            // A process that was stopped on purpose, or replaced since, is no news.
            if tracked.record.pid != ended.pid || !tracked.is_running() {
                continue;
            }
            let pause = tracked.on_exit(&ended.how);
            let reason = tracked.record.last_end.as_ref().map_or_else(String::new, |end| end.reason.clone());
            if let Err(error) = tracked.record.write(&self.places.process_record(ended.name)) {
                tracing::warn!(%error, "the end of a process could not be recorded");
            }
            return CloudEvent::Exited { name: ended.name, pid: ended.pid, reason, pause };
        }
    }
}

/// A mark that changes with the content of a binary: its size, its time of change and its inode.
pub fn binary_mark(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Some(format!("{} {} {} {seconds}.{nanoseconds:09}", path.display(), metadata.ino(), metadata.len()))
}

/// Creates a directory, and those above it, that only the owner may enter.
///
/// # Errors
/// When the file system refuses.
pub fn create_private_directory(path: &Path) -> Result<(), CloudError> {
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| file_error("create directory", path, source))
}

/// Writes a file that only the owner may read, whole or not at all.
///
/// # Errors
/// When the file system refuses; the old file is then untouched.
pub fn write_private(path: &Path, text: &str) -> Result<(), CloudError> {
    use std::io::Write;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|source| file_error("write", path, source))
}

fn open_log(path: &Path) -> Result<std::fs::File, CloudError> {
    let mut options = std::fs::OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| file_error("open", path, source))
}

fn remove(path: &Path) -> Result<(), CloudError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file_error("remove", path, error)),
        _ => Ok(()),
    }
}

pub(crate) fn file_error(step: &'static str, path: &Path, source: std::io::Error) -> CloudError {
    CloudError::File { step, path: path.into(), source }
}
