//! What `/proc` says of a process. A pid alone is no identity: the kernel uses it again. Pid and start time are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// When the process started, in clock ticks since boot; `None` when there is no such process, or only its zombie.
pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): the second field is the name in parentheses and may hold anything, even parentheses.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // Field 22; the state just taken was field 3.
    fields.nth(18)?.parse().ok()
}

/// Is the process with this start time still there?
pub(crate) fn is_alive(pid: i32, ticks: u64) -> bool {
    start_ticks(pid) == Some(ticks)
}

/// All processes with `--config FILE` in their command line, by this file: pid and start time.
pub(crate) fn running_by_config() -> BTreeMap<PathBuf, (i32, u64)> {
    let own = std::process::id().cast_signed();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok().filter(|pid| *pid != own)?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let mut arguments = line.split(|byte| *byte == 0).skip_while(|argument| *argument != b"--config");
        let file = PathBuf::from(OsStr::from_bytes(arguments.nth(1)?));
        Some((file, (pid, start_ticks(pid)?)))
    });
    found.collect()
}
