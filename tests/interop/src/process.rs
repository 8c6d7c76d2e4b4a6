//! A process that ends with the value that stands for it.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command`; `name` is for messages. What it prints goes where `command` says, else nowhere.
    pub fn start(name: &str, command: &mut Command) -> Result<Process> {
        let child =
            command.stdin(Stdio::null()).spawn().with_context(|| format!("{name} cannot be started"))?;
        Ok(Process { name: name.to_owned(), child })
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("Linux numbers processes up to 2^22")
    }

    /// Has it ended?
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn wait(mut self, patience: Duration) -> Result<ExitStatus> {
        self.wait_by_reference(patience)
    }

    /// Like [`Process::wait`]; the value stays.
    pub fn wait_by_reference(&mut self, patience: Duration) -> Result<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > patience {
                bail!("{} did not end within {} s", self.name, patience.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end, and waits until it has.
    pub fn end(&mut self, with: Signal) {
        self.signal(with);
        if self.wait_by_reference(Duration::from_secs(5)).is_err() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        if self.has_ended() {
            return;
        }
        if let Some(pid) = Pid::from_raw(self.pid()) {
            // It may have ended in between.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Waits until `is_so`, looking every 10 ms; `what` is for the message.
pub fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) -> Result<Duration> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > patience {
            bail!("{what}: not within {} ms", patience.as_millis());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(begun.elapsed())
}
