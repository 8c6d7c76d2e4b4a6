//! Processes as `/proc` shows them. They are ended by pid alone, and only those whose command line names a path of the
//! test's own.

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

/// Sends a signal; a process that is gone already has no use for it.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).expect("a pid is above zero"), signal);
}
