//! The fault runner: real processes, real sockets, subscribers who are always in the middle of something, and somebody who kills
//! and freezes whoever serves them.
//!
//! What is measured is what a subscriber sees: how much longer than usual the procedures took that were under way, or were begun
//! within half a second, when the failure came. A procedure that fails is a failure noticed.

mod fault;
mod traffic;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use clock::{Duration, Instant};
use e2e::{Core, Kind as Scheme, Phones, Subscriber, subscribers, wait_until};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use fault::{CASES, Case, FROZEN, Way};
use traffic::{Kind, Procedure, Traffic};

const LANES: usize = 8;
/// Procedures that began so long after the failure count among those that it could disturb.
const AFTERMATH: Duration = Duration::from_millis(500);
/// A device gives a procedure up after 5 s (spec 2.6), a transaction after 32 s.
const PATIENCE: Duration = Duration::from_secs(40);
const USAGE: &str = "usage: lab [--trials N] [--only CASE[,CASE...]] [--alone] [--trace] [--seed S] [--lease MILLISECONDS] [--figures FILE]\n\n\
    --trials N      failures of each case [default: 3]\n\
    --only CASE     these cases; `lab --list` names them\n\
    --alone         the control experiment: no pairs, a supervisor that starts again in place\n\
    --lease N       length of the leases in ms [default: 200]\n\
    --trace         show the way of the first procedure that failed\n\
    --seed S        of what is left to chance\n\
    --figures FILE  write the figures there, as JSON";

struct Options {
    trials: usize,
    only: Vec<String>,
    is_alone: bool,
    is_tracing: bool,
    seed: u64,
    lease_milliseconds: u32,
    figures: Option<String>,
}

fn main() -> ExitCode {
    let options = match read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("lab: {reason}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    let mut lab = Lab::new(&options);
    let mut figures = Vec::new();
    let mut is_good = true;
    println!(
        "{:24} {:>7} {:>9} {:>9} {:>9} {:>7} {:>9}  verdict",
        "case", "trials", "p50 ms", "p99 ms", "max ms", "under", "failed"
    );
    for case in CASES.iter().filter(|case| options.wants(case)) {
        let trials: Vec<Trial> = (0..options.trials).map(|_| lab.trial(case)).collect();
        let result = Outcome::of(&trials);
        println!(
            "{:24} {:>7} {:>9.1} {:>9.1} {:>9.1} {:>7} {:>9}  {}",
            case.name,
            trials.len(),
            result.p50,
            result.p99,
            result.max,
            result.under_way,
            result.failed.len(),
            if result.failed.is_empty() { "unnoticed" } else { "NOTICED" },
        );
        for failure in result.failed.iter().take(5) {
            println!("    {failure}");
        }
        is_good &= result.failed.is_empty();
        figures.push(json!({
            "id": format!("faults.{}{}", case.name, if options.is_alone { ".alone" } else { "" }),
            "value": result.p99, "p50": result.p50, "max": result.max, "unit": "ms",
            "trials": trials.len(), "failed": result.failed.len(), "better": "lower",
        }));
    }
    println!(
        "p50, p99, max: over trials, how much longer than usual the slowest disturbed procedure took; under: procedures under way \
         at the failure; failed: procedures that ended otherwise than their phone wished"
    );
    println!("failures that had to wait 20 ms because a pair was not protected: {}", lab.unprotected);
    if let Some(file) = &options.figures {
        let text = serde_json::to_string_pretty(&figures).expect("plain data");
        if let Err(error) = std::fs::write(file, text) {
            eprintln!("lab: {file}: {error}");
            return ExitCode::from(74);
        }
    }
    // Alone, calls are expected to fail: that is what the control is for.
    if is_good || options.is_alone { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        trials: 3,
        only: Vec::new(),
        is_alone: false,
        is_tracing: false,
        seed: 1,
        lease_milliseconds: 200,
        figures: None,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match argument.as_str() {
            "--trials" => options.trials = number(value()?)? as usize,
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--alone" => options.is_alone = true,
            "--trace" => options.is_tracing = true,
            "--seed" => options.seed = number(value()?)?,
            "--lease" => options.lease_milliseconds = number(value()?)? as u32,
            "--figures" => options.figures = Some(value()?),
            "--list" => {
                CASES.iter().for_each(|case| println!("{}", case.name));
                return Ok(None);
            }
            "--help" => {
                println!("{USAGE}");
                return Ok(None);
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    match options.only.iter().find(|name| !CASES.iter().any(|case| case.name == **name)) {
        Some(unknown) => Err(format!("there is no case {unknown}; --list names them")),
        None => Ok(Some(options)),
    }
}

impl Options {
    fn wants(&self, case: &Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case.name)
    }
}

/// What one failure did.
struct Trial {
    /// How much longer than usual the slowest took.
    delay: Duration,
    /// How many were under way.
    under_way: usize,
    failed: Vec<String>,
}

struct Outcome {
    p50: f64,
    p99: f64,
    max: f64,
    under_way: usize,
    failed: Vec<String>,
}

impl Outcome {
    fn of(trials: &[Trial]) -> Outcome {
        let mut delays: Vec<f64> =
            trials.iter().map(|trial| trial.delay.as_micros() as f64 / 1000.0).collect();
        delays.sort_by(f64::total_cmp);
        // The smallest value that a share of all does not exceed.
        let quantile = |share: f64| {
            let index = (share * delays.len() as f64).ceil() as usize;
            delays.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
        };
        Outcome {
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: quantile(1.0),
            under_way: trials.iter().map(|trial| trial.under_way).sum(),
            failed: trials.iter().flat_map(|trial| trial.failed.clone()).collect(),
        }
    }
}

/// A core under traffic.
struct Lab {
    core: Core,
    phones: Phones,
    traffic: Traffic,
    random: StdRng,
    is_alone: bool,
    is_tracing: bool,
    /// How often a failure had to wait because a pair was not protected.
    unprotected: u64,
    /// How long each kind of procedure takes when nothing fails: the median.
    usual: BTreeMap<Kind, Duration>,
}

impl Lab {
    fn new(options: &Options) -> Lab {
        let people: Vec<Subscriber> = subscribers("sim", LANES, Scheme::Aka)
            .into_iter()
            .chain(subscribers("soft", LANES, Scheme::Digest))
            .collect();
        let mut core = Core::new(91);
        if !options.is_alone {
            let lease = options.lease_milliseconds;
            core.spec.push_str(&format!(
                "  redundancy:\n    mode: pairs\n    controlPort: 7190\n    leaseMilliseconds: {lease}\n"
            ));
        }
        core.up().succeeded();
        core.import(&people);
        let mut phones = Phones::new(&core);
        let numbers = phones.add_all(&people);
        assert_eq!(phones.register(&numbers, PATIENCE), numbers.len(), "all phones register");
        let lanes = (0..LANES).map(|lane| (numbers[lane], numbers[LANES + lane]));
        let mut random = StdRng::seed_from_u64(options.seed);
        let traffic = Traffic::new(lanes, StdRng::seed_from_u64(random.random()));
        let (is_alone, is_tracing) = (options.is_alone, options.is_tracing);
        let mut lab = Lab {
            core,
            phones,
            traffic,
            random,
            is_alone,
            is_tracing,
            unprotected: 0,
            usual: BTreeMap::new(),
        };
        lab.learn();
        lab
    }

    /// How long things take when nothing fails.
    fn learn(&mut self) {
        self.traffic.run_for(&mut self.phones, Duration::from_secs(3));
        assert!(self.traffic.finish(&mut self.phones, PATIENCE), "traffic ends");
        let failed: Vec<&Procedure> =
            self.traffic.procedures.iter().filter(|procedure| procedure.failure.is_some()).collect();
        assert!(failed.is_empty(), "nothing was done to it: {failed:?}");
        for kind in [Kind::Registration, Kind::SetUp, Kind::Release, Kind::Message] {
            let of_kind = self.traffic.procedures.iter().filter(|procedure| procedure.kind == kind);
            let mut times: Vec<Duration> = of_kind.map(Procedure::took).collect();
            times.sort();
            self.usual.insert(kind, times[times.len() / 2]);
        }
        println!("usual: {:?}", self.usual);
    }

    fn trial(&mut self, case: &Case) -> Trial {
        let (pids, serving) = self.whole(case.functions);
        self.traffic.forget(&mut self.phones);
        let before = Duration::from_micros(self.random.random_range(200_000..500_000));
        self.traffic.run_for(&mut self.phones, before);
        // A machine that is busy elsewhere may keep a standby from answering in time; a failure then is a second one.
        while !self.is_alone && !serving.iter().all(|name| self.is_protected(name)) {
            self.unprotected += 1;
            self.traffic.run_for(&mut self.phones, Duration::from_millis(20));
        }
        let failure = self.phones.now();
        let injected = case.inject(&pids, &serving);
        let after = if case.way == Way::Frozen { FROZEN } else { AFTERMATH };
        self.traffic.run_for(&mut self.phones, after);
        injected.undo();
        self.traffic.run_for(&mut self.phones, Duration::from_millis(200));
        let is_over = self.traffic.finish(&mut self.phones, PATIENCE);
        let mut failed: Vec<String> = self
            .traffic
            .procedures
            .iter()
            .filter_map(|procedure| {
                let at = offset(failure, procedure.begun);
                let (kind, reason) = (procedure.kind, procedure.failure.as_ref()?);
                Some(format!("{}: {kind:?} begun at {at:+.1} ms: {reason}", case.name))
            })
            .collect();
        if !is_over {
            failed.push(format!("{}: something never ended", case.name));
        }
        if self.is_tracing
            && let Some(first) = self.traffic.procedures.iter().find(|procedure| procedure.failure.is_some())
        {
            let identity = self.phones.device(first.phone).profile().private_identity.clone();
            println!("{}", self.core.run(&["trace", &identity]).text());
        }
        let concerned: Vec<&Procedure> = self
            .traffic
            .procedures
            .iter()
            .filter(|procedure| procedure.ended >= failure && procedure.begun <= failure + AFTERMATH)
            .collect();
        let delay = |procedure: &&Procedure| procedure.took().saturating_sub(self.usual[&procedure.kind]);
        Trial {
            delay: concerned.iter().map(delay).max().unwrap_or(Duration::ZERO),
            under_way: concerned.iter().filter(|procedure| procedure.begun <= failure).count(),
            failed,
        }
    }

    /// What an instance itself says of it at this moment.
    fn is_protected(&self, name: &str) -> bool {
        let ask = || -> std::io::Result<String> {
            let socket = self.core.run_directory().join(format!("{name}.sock"));
            let mut stream = UnixStream::connect(socket)?;
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.contains("\"isProtected\":true"))
    }

    /// Waits until everybody serves and may fail; then tells the processes, and who serves these functions.
    fn whole(&mut self, functions: &[&str]) -> (BTreeMap<String, i32>, Vec<String>) {
        let mut found = None;
        let is_alone = self.is_alone;
        let core = &self.core;
        wait_until(std::time::Duration::from_secs(60), || {
            let status = core.status();
            let status = &status["core"]["status"];
            let rows = status["functions"].as_array().cloned().unwrap_or_default();
            let is_true = |kind: &str| {
                let conditions = status["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|found| found["type"] == kind && found["status"] == "True")
            };
            let is_whole =
                rows.iter().all(|row| row["state"] == "Ready") && (is_alone || is_true("Protected"));
            if is_whole {
                let name = |row: &serde_json::Value| row["name"].as_str().unwrap_or_default().to_owned();
                let pid = |row: &serde_json::Value| i32::try_from(row["pid"].as_i64()?).ok();
                let pids = rows.iter().filter_map(|row| Some((name(row), pid(row)?))).collect();
                let serves = |row: &&serde_json::Value| {
                    let of = |function: &str| {
                        name(row) == *function
                            || name(row).strip_suffix(['1', '2']) == Some(&format!("{function}-"))
                    };
                    functions.iter().any(|function| of(function)) && (is_alone || row["role"] == "serving")
                };
                found = Some((pids, rows.iter().filter(serves).map(name).collect()));
            }
            is_whole
        });
        let (pids, serving): (_, Vec<String>) =
            found.unwrap_or_else(|| panic!("not whole again after a minute:\n{:#}", self.core.status()));
        assert_eq!(serving.len(), functions.len(), "one of each serves: {serving:?}");
        (pids, serving)
    }
}

/// From one instant to another in milliseconds, negative when it is before.
fn offset(from: Instant, to: Instant) -> f64 {
    (to.as_micros() as f64 - from.as_micros() as f64) / 1000.0
}
