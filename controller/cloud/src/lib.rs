//! Where network functions run: the contract, and what implements it. The only place in the control plane that starts
//! or stops anything.
//!
//! | duty of an implementor | local | |
//! |---|---|---|
//! | `observe` tells what is there, not what was asked for | yes | mandatory |
//! | `apply` does one action and is harmless when repeated | yes | mandatory |
//! | `next_event` reports every end of a process, once | yes | mandatory |
//! | processes outlive the controller and are found again | yes | mandatory |
//! | machines, images, networks of their own | no: processes on this machine | optional |

#![forbid(unsafe_code)]

pub mod local;

use std::path::PathBuf;
use std::time::Duration;

use plan::{Action, Observed, ProcessName};

pub use local::Local;

/// A place where network functions run.
///
/// Flow: `observe`, plan, `apply` each action in order, then wait on `next_event` and begin again.
///
/// Guarantees: nothing happens but by `apply`; an action that failed has left a world that `observe` describes.
#[expect(
    async_fn_in_trait,
    reason = "the controller drives one cloud on one thread: no bound on the futures is needed"
)]
pub trait Cloud {
    /// What is there.
    async fn observe(&mut self) -> Result<Observed, CloudError>;
    /// Does one action to its end.
    async fn apply(&mut self, action: &Action) -> Result<(), CloudError>;
    /// Waits for the next thing that happened by itself. May be dropped and called again: nothing is lost.
    async fn next_event(&mut self) -> CloudEvent;
}

/// Something happened by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudEvent {
    /// A process ended that nobody had stopped.
    Exited {
        /// Which.
        name: ProcessName,
        /// Its process.
        pid: i32,
        /// By which signal or code, and its last words.
        reason: String,
        /// How long to wait before it is started again.
        pause: Duration,
    },
}

/// Why the cloud could not do something.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// A file could not be read, written or removed.
    #[error("cannot {step} {}", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A directory could not get another name.
    #[error("cannot move {} to {}", from.display(), to.display())]
    Move {
        /// Where it lies.
        from: PathBuf,
        /// Where it should.
        to: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A process could not be started.
    #[error("cannot start {}", path.display())]
    Start {
        /// Its binary.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A process could not be watched or signalled.
    #[error("cannot {step} process {pid}")]
    Process {
        /// What was tried.
        step: &'static str,
        /// With which.
        pid: i32,
        /// Why not.
        source: std::io::Error,
    },
    /// A process survived SIGKILL, which only a hanging kernel call explains.
    #[error("process {pid} does not end, even after SIGKILL")]
    Undying {
        /// Which.
        pid: i32,
    },
}
