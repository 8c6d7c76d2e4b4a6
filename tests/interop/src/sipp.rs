//! SIPp as a phone, or as a thousand on one socket.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::process::{Process, wait_until};
use crate::sockets::states;
use crate::tools::own_file;

/// A SIPp to be run.
#[derive(Clone, Debug)]
pub struct Sipp {
    /// The scenario: a file of `scenarios/`, without its ending.
    pub scenario: String,
    /// The P-CSCF.
    pub remote: SocketAddr,
    /// SIPp's own address.
    pub local: SocketAddr,
    /// `u1`: one UDP socket; `un`: one for each call; `t1`, `tn`: the same over TCP.
    pub transport: &'static str,
    /// The injection file's text.
    pub injection: String,
    /// How many calls.
    pub calls: usize,
    /// How many of them a second.
    pub rate: f64,
    /// Texts of the scenario to be replaced, each by its second.
    pub edits: Vec<(String, String)>,
    /// More options.
    pub more: Vec<String>,
}

/// What became of the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Succeeded.
    pub successful: u64,
    /// Failed, for whatever reason.
    pub failed: u64,
    /// Repeated messages.
    pub retransmissions: u64,
    /// What SIPp did not expect: the first lines of its error log.
    pub complaint: String,
}

/// How often a SIPp that ended before its first call is started again.
const STARTS_MORE: usize = 3;

impl Outcome {
    /// Did SIPp end by itself before any call came to an end? SIPp 3.6.1 now and then takes the authentication keyword of a
    /// valid injection file for a syntax error; that says nothing about the core.
    fn is_stillborn(&self) -> bool {
        self.successful + self.failed == 0 && self.complaint.contains("invalid [keyword] in scenario")
    }

    /// Fails unless `calls` calls succeeded and none failed.
    pub fn expect_all(&self, calls: usize) -> Result<()> {
        ensure!(
            self.failed == 0 && self.successful == calls as u64,
            "{} of {calls} succeeded, {} failed\n{}",
            self.successful,
            self.failed,
            self.complaint
        );
        Ok(())
    }
}

/// A SIPp that runs.
#[derive(Debug)]
pub struct Running {
    process: Process,
    directory: TempDir,
    name: String,
    patience: Duration,
}

impl Sipp {
    /// One call of `scenario` after another, at a rate that no test minds.
    pub fn new(scenario: &str, remote: SocketAddr, local: SocketAddr) -> Sipp {
        Sipp {
            scenario: scenario.to_owned(),
            remote,
            local,
            transport: "u1",
            injection: String::new(),
            calls: 1,
            rate: 50.0,
            edits: Vec::new(),
            more: Vec::new(),
        }
    }

    /// Over another transport.
    pub fn over(mut self, transport: &'static str) -> Sipp {
        self.transport = transport;
        self
    }

    /// With these fields, one call for each line unless `calls` is set after.
    pub fn with(mut self, injection: String) -> Sipp {
        self.calls = injection.lines().count().saturating_sub(1).max(1);
        self.injection = injection;
        self
    }

    /// So many calls, so many a second.
    pub fn at(mut self, calls: usize, rate: f64) -> Sipp {
        (self.calls, self.rate) = (calls, rate);
        self
    }

    /// With every `from` in the scenario replaced by `to`: a phone with a habit of its own.
    pub fn edited(mut self, from: &str, to: &str) -> Sipp {
        self.edits.push((from.to_owned(), to.to_owned()));
        self
    }

    /// With one more option.
    pub fn option(mut self, words: &[&str]) -> Sipp {
        self.more.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Outcome> {
        self.start()?.wait()
    }

    /// Runs it and demands that every call succeeds.
    pub fn run_all(self) -> Result<Outcome> {
        let (calls, name) = (self.calls, format!("scenario {} {:?}", self.scenario, self.edits));
        let mut outcome = self.clone().run()?;
        for _ in 0..STARTS_MORE {
            if !outcome.is_stillborn() {
                break;
            }
            println!("SIPp stumbled over its own scenario and is started again: {}", outcome.complaint);
            outcome = self.clone().run()?;
        }
        outcome.expect_all(calls).context(name)?;
        Ok(outcome)
    }

    /// Starts it. One that is to be asked can be, from then on.
    pub fn start(self) -> Result<Running> {
        let directory = tempfile::Builder::new().prefix("evertone-sipp-").tempdir()?;
        let place = |name: &str| directory.path().join(name);
        let scenario = self.scenario_text()?;
        std::fs::write(place("fields.csv"), &self.injection)?;
        std::fs::write(place("scenario.xml"), &scenario)?;
        let seconds = (self.calls as f64 / self.rate).ceil() as u64 + 40;
        let mut command = Command::new("sipp");
        command
            .arg(self.remote.to_string())
            .arg("-sf")
            .arg(place("scenario.xml"))
            .args(["-i", &local_ip(self.local.ip()), "-p", &self.local.port().to_string()])
            .args(["-t", self.transport, "-m", &self.calls.to_string(), "-r", &self.rate.to_string()])
            .args(["-l", "5000", "-nostdin", "-fd", "1", "-trace_stat", "-trace_err"])
            .arg("-stf")
            .arg(place("statistics.csv"))
            .arg("-error_file")
            .arg(place("errors.log"))
            .args(["-timeout", &format!("{seconds}s"), "-timeout_error", "-recv_timeout", "20000"])
            .args(&self.more)
            .current_dir(directory.path())
            .env("TERM", "xterm")
            .stdout(File::create(place("screen"))?)
            .stderr(File::create(place("complaint"))?);
        if !self.injection.is_empty() {
            command.arg("-inf").arg(place("fields.csv"));
        }
        let mut process = Process::start("sipp", &mut command)?;
        if waits_to_be_asked(&scenario) {
            let is_there = || match self.transport.starts_with('t') {
                true => states("tcp", self.local).iter().any(|state| state == "0A"),
                false => !states("udp", self.local).is_empty(),
            };
            // One that has ended says why when it is waited for.
            wait_until("SIPp listens", Duration::from_secs(10), || is_there() || process.has_ended())?;
        }
        Ok(Running { process, directory, name: self.scenario, patience: Duration::from_secs(seconds + 10) })
    }

    fn scenario_text(&self) -> Result<String> {
        let file = own_file(&format!("scenarios/{}.xml", self.scenario));
        let mut text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for (from, to) in &self.edits {
            ensure!(text.contains(from), "{} does not contain {from:?}", self.scenario);
            text = text.replace(from, to);
        }
        Ok(text)
    }
}

impl Running {
    /// Waits for its end.
    pub fn wait(mut self) -> Result<Outcome> {
        self.process.wait_by_reference(self.patience).with_context(|| format!("scenario {}", self.name))?;
        self.outcome()
    }

    /// Ends it as a user would (`q`): running calls may finish.
    pub fn stop(mut self) -> Result<Outcome> {
        self.process.end(rustix::process::Signal::USR1);
        self.outcome()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it counted until now.
    pub fn outcome(&self) -> Result<Outcome> {
        let place = |name: &str| self.directory.path().join(name);
        let complaint = [place("errors.log"), place("complaint")]
            .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned())
            .concat();
        let complaint: String = complaint.lines().take(60).collect::<Vec<_>>().join("\n");
        let Ok(statistics) = std::fs::read_to_string(place("statistics.csv")) else {
            bail!("SIPp wrote no statistics: {complaint}");
        };
        let mut outcome = read_statistics(&statistics).with_context(|| complaint.clone())?;
        outcome.complaint = complaint;
        Ok(outcome)
    }
}

fn waits_to_be_asked(scenario: &str) -> bool {
    let place = |text| scenario.find(text).unwrap_or(usize::MAX);
    place("<recv request") < place("<send")
}

/// The cumulated values of the last line.
fn read_statistics(text: &str) -> Result<Outcome> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let header: Vec<_> = lines.next().context("statistics without a header")?.split(';').collect();
    let last: Vec<_> = lines.next_back().context("statistics without a line")?.split(';').collect();
    let value = |name: &str| -> Result<u64> {
        let column = header.iter().position(|column| *column == name);
        let cell = column.and_then(|column| last.get(column)).with_context(|| format!("no column {name}"))?;
        cell.parse().with_context(|| format!("column {name} holds {cell:?}"))
    };
    Ok(Outcome {
        successful: value("SuccessfulCall(C)")?,
        failed: value("FailedCall(C)")?,
        retransmissions: value("Retransmissions(C)")?,
        complaint: String::new(),
    })
}

/// SIPp wants an IPv6 address in brackets.
fn local_ip(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
