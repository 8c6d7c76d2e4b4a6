//! One process under watch: a pidfd tells of its end, whether it is a child of ours or was adopted.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::ProcessName;
use plan::restart::Restarts;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::{Record, last_words, proc};
use crate::CloudError;

/// A process that ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: ProcessName,
    pub(super) pid: i32,
    pub(super) how: String,
}

/// What the driver holds about one process.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) record: Record,
    pub(super) restarts: Restarts,
    pub(super) pause_until: Option<Instant>,
    running: Option<Running>,
    log_file: PathBuf,
    /// Why it was killed by us, when it was.
    killed_for: Option<String>,
}

#[derive(Debug)]
struct Running {
    pidfd: Arc<OwnedFd>,
    since: Instant,
    has_ended: watch::Receiver<bool>,
}

impl Tracked {
    /// A process just spawned by us.
    pub(super) fn child(
        name: ProcessName,
        record: Record,
        log_file: PathBuf,
        notify: mpsc::UnboundedSender<Ended>,
    ) -> Result<Tracked, CloudError> {
        let running = Running::watch(name, record.pid, notify)?;
        Ok(Tracked { running: Some(running), ..Tracked::dead(record, log_file) })
    }

    /// A process that runs already; `None` when it ended meanwhile.
    pub(super) fn adopt(
        name: ProcessName,
        record: Record,
        log_file: PathBuf,
        notify: mpsc::UnboundedSender<Ended>,
    ) -> Result<Option<Tracked>, CloudError> {
        let running = Running::watch(name, record.pid, notify)?;
        // Only now that the pidfd holds the process is the comparison free of a race.
        if !proc::is_alive(record.pid, record.start_ticks) {
            return Ok(None);
        }
        tracing::info!(function = name.as_str(), pid = record.pid, "adopted");
        Ok(Some(Tracked { running: Some(running), ..Tracked::dead(record, log_file) }))
    }

    /// A process that does not run.
    pub(super) fn dead(record: Record, log_file: PathBuf) -> Tracked {
        Tracked {
            record,
            restarts: Restarts::default(),
            pause_until: None,
            running: None,
            log_file,
            killed_for: None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The process ended by itself; returns how long to wait before the next start.
    pub(super) fn on_exit(&mut self, how: &str) -> Duration {
        let lifetime = self.running.take().map_or(Duration::ZERO, |running| running.since.elapsed());
        // Who is killed has no last words: its latest log line would be a false trail.
        let words = match how.starts_with("exited") {
            true => last_words(&self.log_file, self.record.log_offset),
            false => None,
        };
        let reason = match (self.killed_for.take(), words) {
            (Some(reason), _) => reason,
            (None, Some(words)) => format!("{how}: {words}"),
            (None, None) => how.to_owned(),
        };
        self.record.note_end(reason);
        let pause = self.restarts.on_exit(lifetime);
        self.pause_until = (!pause.is_zero()).then(|| Instant::now() + pause);
        pause
    }

    /// Forgets earlier failures.
    pub(super) fn begin_anew(&mut self) {
        (self.restarts, self.pause_until) = (Restarts::default(), None);
    }

    pub(super) fn kill(&mut self, reason: &str) -> Result<(), CloudError> {
        self.killed_for = Some(reason.to_owned());
        match &self.running {
            Some(running) => running.signal(self.record.pid, Signal::KILL),
            None => Ok(()),
        }
    }

    /// Ends the process: SIGTERM, and SIGKILL after `patience`.
    pub(super) async fn stop(&mut self, patience: Duration) -> Result<(), CloudError> {
        let pid = self.record.pid;
        let Some(running) = self.running.take() else { return Ok(()) };
        running.signal(pid, Signal::TERM)?;
        let mut has_ended = running.has_ended.clone();
        if tokio::time::timeout(patience, has_ended.wait_for(|ended| *ended)).await.is_ok() {
            return Ok(());
        }
        tracing::warn!(pid, "does not stop, killing it");
        running.signal(pid, Signal::KILL)?;
        match tokio::time::timeout(Duration::from_secs(5), has_ended.wait_for(|ended| *ended)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(CloudError::Undying { pid }),
        }
    }
}

impl Running {
    fn watch(
        name: ProcessName,
        pid: i32,
        notify: mpsc::UnboundedSender<Ended>,
    ) -> Result<Running, CloudError> {
        let error = |source: std::io::Error| CloudError::Process { step: "watch", pid, source };
        let handle = Pid::from_raw(pid).ok_or_else(|| error(std::io::ErrorKind::NotFound.into()))?;
        let pidfd = Arc::new(pidfd_open(handle, PidfdFlags::empty()).map_err(|errno| error(errno.into()))?);
        let (ended, has_ended) = watch::channel(false);
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types that may lend another descriptor; OwnedFd never does"
        )]
        let readable = AsyncFd::new(Arc::clone(&pidfd)).map_err(error)?;
        tokio::spawn(async move {
            // pidfd_open(2): readable when the process has ended. An error here can only mean the runtime is going away.
            if readable.readable().await.is_ok() {
                let how = how_it_ended(readable.get_ref());
                // Nobody listens any more only when the driver is gone.
                let _ = notify.send(Ended { name, pid, how });
                let _ = ended.send(true);
            }
        });
        Ok(Running { pidfd, since: Instant::now(), has_ended })
    }

    fn signal(&self, pid: i32, signal: Signal) -> Result<(), CloudError> {
        match pidfd_send_signal(&self.pidfd, signal) {
            // It has ended already.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(CloudError::Process { step: "signal", pid, source: errno.into() }),
        }
    }
}

/// Reaps a child and tells how it ended; an adopted process is another's child and tells nothing.
fn how_it_ended(pidfd: &OwnedFd) -> String {
    use std::os::fd::AsFd;
    match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("killed by {}", signal_name(signal)),
            (None, None) => "ended".into(),
        },
        _ => "ended (how is unknown: an earlier controller had started it)".into(),
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return format!("signal {number}"),
    };
    name.into()
}
