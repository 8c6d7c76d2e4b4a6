//! What a process costs: its CPU time to the nanosecond and its memory, from /proc.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Looks at one process.
#[derive(Clone, Debug)]
pub struct Meter(PathBuf);

impl Meter {
    /// Of a process.
    pub fn of(pid: u32) -> Meter {
        Meter(PathBuf::from(format!("/proc/{pid}")))
    }

    /// Of this program.
    pub fn own() -> Meter {
        Meter(PathBuf::from("/proc/self"))
    }

    /// CPU time of all threads so far. `schedstat` counts nanoseconds; `stat` would count hundredths of a second.
    pub fn cpu(&self) -> Result<Duration> {
        let mut total = Duration::ZERO;
        for task in std::fs::read_dir(self.0.join("task")).context("the process is gone")? {
            let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
            total += Duration::from_nanos(nanoseconds);
        }
        Ok(total)
    }

    /// CPU time of a process and all that descend from it.
    pub fn tree(pid: u32) -> Result<Duration> {
        let mut parents = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // `pid (name) state parent …`; the name may hold anything.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let parent = behind_name.split_whitespace().nth(1).and_then(|word| word.parse::<u32>().ok());
            parents.extend(parent.map(|parent| (pid, parent)));
        }
        let mut family = vec![pid];
        let mut next = 0;
        while next < family.len() {
            let children = parents.iter().filter(|(_, parent)| *parent == family[next]).map(|(pid, _)| *pid);
            let children: Vec<u32> = children.collect();
            family.extend(children);
            next += 1;
        }
        // One that ends while we look has little to tell.
        Ok(family.into_iter().filter_map(|pid| Meter::of(pid).cpu().ok()).sum())
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> Result<u64> {
        let text = std::fs::read_to_string(self.0.join("status")).context("the process is gone")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 =
            line.trim().trim_end_matches("kB").trim().parse().context("VmRSS is no number")?;
        Ok(kibibytes * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_are_seen() {
        let meter = Meter::own();
        let (cpu, memory) = (meter.cpu().unwrap(), meter.memory().unwrap());
        let block: Vec<u64> = (0..4_000_000).map(|number| number ^ 0x55).collect();
        assert!(std::hint::black_box(&block).iter().sum::<u64>() > 0);
        assert!(meter.cpu().unwrap() > cpu);
        assert!(meter.memory().unwrap() > memory + 16_000_000);
    }
}
