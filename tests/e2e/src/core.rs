//! One core of real processes, operated by the `evertone` program alone.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plan::names;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::subscribers::{Subscriber, csv};
use crate::turn::Turn;
use crate::{binaries, is_running, processes, signal, wait_until};

/// The home domain of all cores under test.
pub(crate) const HOME_DOMAIN: &str = "ims.example";

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// How long it took.
    pub took: Duration,
}

impl Finished {
    /// Both streams.
    pub fn text(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// It ended well; else the test fails with what it said.
    #[track_caller]
    pub fn succeeded(self) -> Finished {
        assert_eq!(self.code, Some(0), "it failed:\n{}", self.text());
        self
    }

    /// It ended badly; else the test fails with what it said.
    #[track_caller]
    pub fn failed(self) -> Finished {
        assert!(self.code.is_some_and(|code| code != 0), "it did not fail:\n{}", self.text());
        self
    }

    /// It said this; else the test fails with what it said.
    #[track_caller]
    pub fn says(self, wanted: &str) -> Finished {
        assert!(self.text().contains(wanted), "{wanted:?} is missing in:\n{}", self.text());
        self
    }
}

/// A run of `evertone` that has not ended yet, as far as anybody knows.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: NamedTempFile,
    err: NamedTempFile,
    begun: Instant,
}

impl Running {
    /// What it printed and how it ended, once it has.
    pub fn finished(&mut self) -> Option<Finished> {
        let status = self.child.try_wait().expect("a child can be waited for")?;
        let (code, took) = (status.code(), self.begun.elapsed());
        Some(Finished { code, out: read(&self.out), err: read(&self.err), took })
    }

    /// Ends it; what it had printed.
    fn abandon(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        format!("{}{}", read(&self.out), read(&self.err))
    }
}

fn read(file: &NamedTempFile) -> String {
    String::from_utf8_lossy(&std::fs::read(file.path()).unwrap_or_default()).into_owned()
}

/// A core. Dropping it ends whatever it started.
pub struct Core {
    number: u8,
    directory: TempDir,
    state: PathBuf,
    /// The lines of the resource below `spec:`.
    pub spec: String,
    _turn: Turn,
}

impl Core {
    /// A core at 127.2.`number`.11 to 14; nothing runs yet. Waits for the other tests to end.
    pub fn new(number: u8) -> Core {
        let turn = Turn::take();
        processes::end_orphans();
        let directory = tempfile::Builder::new()
            .prefix(&processes::directory_prefix())
            .tempdir_in(binaries::scratch())
            .expect("a directory can be made");
        binaries::link_into(&directory.path().join("bin"));
        let address = |last: u8| format!("    addresses: [\"127.2.{number}.{last}\"]\n");
        let spec = format!(
            "  homeDomain: {HOME_DOMAIN}\n  access:\n    unprotectedAka: true\n  pcscf:\n{}  icscf:\n{}  scscf:\n{}  hss:\n{}",
            address(11),
            address(12),
            address(13),
            address(14)
        );
        let state = directory.path().join("state");
        Core { number, directory, state, spec, _turn: turn }
    }

    /// A core that serves, with these subscribers.
    pub fn serving(number: u8, subscribers: &[Subscriber]) -> Core {
        let core = Core::new(number);
        core.up().succeeded();
        core.import(subscribers);
        core
    }

    /// Puts the state on another file system. Before the first `up`.
    pub fn put_state_in(&mut self, directory: &Path) {
        self.state = directory.join("state");
    }

    /// The directory of this test, for files of its own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the core keeps its data.
    pub fn state_directory(&self) -> PathBuf {
        self.state.clone()
    }

    /// Where its sockets and records are while it runs: what `--state-directory` leads to (controller/src/places.rs).
    pub fn run_directory(&self) -> PathBuf {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
        let base = match rustix::process::getuid().is_root() {
            true => PathBuf::from("/run"),
            false => runtime.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from),
        };
        let state = self.state_directory();
        // One directory has one name; before the first `up` it is not there yet.
        names::run_directory(&base, &state.canonicalize().unwrap_or(state))
    }

    /// Where phones send to.
    pub fn entry(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 2, self.number, 11), 4060))
    }

    /// The address that phones of this test have.
    pub fn phone_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 2, self.number, 100)
    }

    /// Writes the resource and says where.
    pub fn resource(&self) -> PathBuf {
        let text = format!(
            "apiVersion: ims.evertone.dev/v1alpha1\nkind: IMSCore\nmetadata:\n  name: test\nspec:\n{}",
            self.spec
        );
        self.file("core.yaml", text)
    }

    /// Writes a file of the test.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory().join(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// The program, ready to be started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.directory().join("bin/evertone"));
        command.arg("--state-directory").arg(self.state_directory()).args(arguments);
        command
            .env_remove("EVERTONE_STATE_DIRECTORY")
            .env_remove("EVERTONE_BINARIES")
            .env_remove("EVERTONE_LOG");
        command
    }

    /// Runs `evertone`.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, "")
    }

    /// Runs `evertone` with something to read.
    #[track_caller]
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Finished {
        const PATIENCE: Duration = Duration::from_secs(600);
        let mut running = self.begin_with(arguments, input);
        let mut finished = None;
        wait_until(PATIENCE, || {
            finished = running.finished();
            finished.is_some()
        });
        finished.unwrap_or_else(|| panic!("evertone {arguments:?} did not end:\n{}", running.abandon()))
    }

    /// Begins to run `evertone`, and does not wait for its end.
    #[track_caller]
    pub fn begin(&self, arguments: &[&str]) -> Running {
        self.begin_with(arguments, "")
    }

    #[track_caller]
    fn begin_with(&self, arguments: &[&str], input: &str) -> Running {
        let begun = Instant::now();
        let input = {
            let mut file = tempfile::tempfile_in(self.directory()).expect("a file can be made");
            std::io::Write::write_all(&mut file, input.as_bytes()).expect("it can be written");
            std::io::Seek::rewind(&mut file).expect("it can be read from its start");
            file
        };
        // Files, not pipes: a background process that inherited a pipe would keep a reader waiting.
        let [out, err] =
            [(); 2].map(|()| NamedTempFile::new_in(self.directory()).expect("a file can be made"));
        let stream = |file: &NamedTempFile| Stdio::from(file.reopen().expect("it is there"));
        let mut command = self.command(arguments);
        command.stdin(input).stdout(stream(&out)).stderr(stream(&err));
        let child = command.spawn().expect("evertone can be started");
        Running { child, out, err, begun }
    }

    /// Puts other files with the same content in the place of the programs, as an installation does.
    pub fn install_anew(&self) {
        for name in binaries::NAMES {
            let path = self.directory().join("bin").join(name);
            let new = path.with_extension("new");
            std::fs::copy(&path, &new).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            std::fs::rename(&new, &path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// `evertone up` with the resource.
    pub fn up(&self) -> Finished {
        let file = self.resource();
        self.run(&["up", "-f", &file.display().to_string()])
    }

    /// Imports subscribers.
    pub fn import(&self, subscribers: &[Subscriber]) {
        if !subscribers.is_empty() {
            let file = self.file("subscribers.csv", csv(subscribers));
            self.run(&["subscriber", "import", &file.display().to_string()]).succeeded();
        }
    }

    /// `evertone status -o json`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let finished = self.run(&["status", "-o", "json"]);
        serde_json::from_str(&finished.out).unwrap_or_else(|error| panic!("{error}:\n{}", finished.text()))
    }

    /// `evertone status` with the HSS's figures, which it leaves out when the HSS does not tell them within a second.
    #[track_caller]
    pub fn status_with_figures(&self) -> Finished {
        let begun = Instant::now();
        loop {
            let finished = self.run(&["status"]);
            if finished.out.contains("subscribers:") || begun.elapsed() > Duration::from_secs(10) {
                return finished;
            }
        }
    }

    /// One function of the status.
    #[track_caller]
    pub fn function(&self, name: &str) -> Value {
        let status = self.status();
        let functions = status["core"]["status"]["functions"].as_array().cloned().unwrap_or_default();
        let found = functions.into_iter().find(|function| function["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {status:#}"))
    }

    /// The pids of the functions that run.
    #[track_caller]
    pub fn pids(&self) -> BTreeMap<String, i32> {
        let status = self.status();
        let functions = status["core"]["status"]["functions"].as_array().cloned().unwrap_or_default();
        let pid = |function: &Value| i32::try_from(function["pid"].as_i64()?).ok();
        functions
            .iter()
            .filter_map(|function| Some((function["name"].as_str()?.to_owned(), pid(function)?)))
            .collect()
    }

    /// The controller's pid, if it runs.
    pub fn controller_pid(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.run_directory().join("controller.lock")).ok()?;
        text.trim().parse().ok().filter(|pid| is_running(*pid))
    }

    /// Is the function ready, in another process than `old`? Its pid then.
    pub fn successor(&self, name: &str, old: i32) -> Option<i32> {
        let function = self.function(name);
        let pid = function["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())?;
        (pid != old && function["state"] == "Ready").then_some(pid)
    }

    /// Kills the function `name`; tells the pid it had.
    #[track_caller]
    pub fn kill(&self, name: &str) -> i32 {
        let pid = *self.pids().get(name).unwrap_or_else(|| panic!("{name} does not run"));
        signal(pid, Signal::KILL);
        pid
    }

    /// Everything this core has started and that runs now: their command lines name its directories.
    pub fn processes(&self) -> Vec<processes::Process> {
        let mut found = processes::with_text(&self.run_directory().display().to_string());
        for process in processes::with_text(&self.state_directory().display().to_string()) {
            if !found.contains(&process) {
                found.push(process);
            }
        }
        found
    }

    /// All text that the core has written for people: logs, status, the latest happenings.
    pub fn all_text(&self) -> String {
        let mut text = String::new();
        let logs = std::fs::read_dir(self.state_directory().join("logs")).into_iter().flatten().flatten();
        for log in logs {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(log.path()).unwrap_or_default()));
        }
        text.push_str(&self.run(&["status", "--events", "200"]).text());
        text.push_str(&self.run(&["status", "-o", "yaml"]).text());
        text
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A test that fails shows what the core had to say.
        if std::thread::panicking() {
            eprintln!("{}", self.run(&["status", "--events", "30"]).text());
            eprintln!("{}", self.run(&["logs", "-n", "20"]).text());
        }
        // The controller first: it would start again what ends.
        for _ in 0..3 {
            if let Some(pid) = self.controller_pid() {
                signal(pid, Signal::KILL);
                wait_until(Duration::from_secs(2), || !is_running(pid));
            }
            self.processes().iter().for_each(|process| signal(process.pid, Signal::KILL));
            if wait_until(Duration::from_secs(2), || self.processes().is_empty()) {
                break;
            }
        }
        let _ = std::fs::remove_dir_all(self.run_directory());
    }
}
