//! Processes as `/proc` shows them. They are ended by pid alone, and only those whose command line names a path of the
//! test's own, or of a test program that is gone.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its command line, words separated by blanks.
    pub command: String,
}

/// Is there such a process? One that has ended and was not collected yet is none.
pub fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// All processes with `text` in their command line, but for this one.
pub fn with_text(text: &str) -> Vec<Process> {
    let own = std::process::id().cast_signed();
    let entries = std::fs::read_dir("/proc").expect("/proc is there");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = pids.filter(|pid: &i32| *pid != own && is_running(*pid)).filter_map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&line).replace('\0', " ");
        command.contains(text).then_some(Process { pid, command })
    });
    found.collect()
}

/// How the directory of a core begins: with whose it is.
pub(crate) fn directory_prefix() -> String {
    format!("core-{}-", std::process::id())
}

/// Ends what test programs left that were killed themselves: it holds the addresses of those to come. What runs for another
/// test program that lives is left alone.
pub(crate) fn end_orphans() {
    let is_orphan = |process: &Process| {
        let program = process.command.split(' ').next().and_then(|program| program.split_once("/e2e/core-"));
        let owner = program.and_then(|(_, rest)| rest.split_once('-')?.0.parse().ok());
        owner.is_some_and(|owner: i32| !is_running(owner))
    };
    // Again and again: a controller starts what ended before it did.
    crate::wait_until(Duration::from_secs(10), || {
        let orphans: Vec<Process> = with_text("/e2e/core-").into_iter().filter(is_orphan).collect();
        orphans.iter().for_each(|orphan| signal(orphan.pid, Signal::KILL));
        orphans.is_empty()
    });
}

/// Sends a signal; a process that is gone already has no use for it.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid is above zero"), signal);
}
