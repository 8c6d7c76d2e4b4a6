//! `bench figures`: everything about the core that the project promises in numbers, each on a fresh core.

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use clock::Duration;

use crate::Place;
use crate::bed::Bed;
use crate::capacity::{Capacity, Search};
use crate::core::{Core, FUNCTIONS};
use crate::figure::{self, Figure};
use crate::kamailio::{self, Kamailio};
use crate::load::{Load, Mix, Pace};
use crate::population::{Population, Scheme};
use crate::print;
use crate::tally::{Delay, milliseconds};
use crate::traffic::Outcome;

/// Measure all figures and write them to target/figures.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only these groups. [default: all but `up-cold`]
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Where the files go.
    #[arg(long, value_name = "DIR", default_value = "target/figures")]
    directory: PathBuf,
    /// Devices for the memory figures.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    devices: usize,
}

/// Figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Group {
    /// Sizes of the programs.
    Binary,
    /// `evertone up` with everything built.
    UpWarm,
    /// 10,000 AKA registrations without think time: cost and failures.
    Registration,
    /// Delays at 20 attempts a second.
    Delay,
    /// CPU of a call.
    Call,
    /// The most registrations a second that hold.
    CapacityRegistrations,
    /// The most calls a second that hold.
    CapacityCalls,
    /// Memory of 100,000 devices.
    Memory,
    /// I-CSCF and S-CSCF against those of Kamailio, on the same HSS. Needs the superuser, and Kamailio.
    Kamailio,
    /// `make up` from nothing. Slow.
    UpCold,
}

/// How long devices ring on average: it delays nothing that is measured, and makes calls overlap.
const RING: Duration = Duration::from_millis(200);
/// Attempts under way at once when there is no think time.
const WINDOW: usize = 32;
/// Functions that a call passes: P-CSCF, S-CSCF of the caller, I-CSCF, S-CSCF of the callee, P-CSCF.
const CALL_HOPS: f64 = 5.0;

/// Runs the verb.
pub fn run(place: &Place, arguments: &Arguments) -> Result<()> {
    let all = [
        Group::Binary,
        Group::UpWarm,
        Group::Registration,
        Group::Delay,
        Group::Call,
        Group::CapacityRegistrations,
        Group::CapacityCalls,
        Group::Memory,
        Group::Kamailio,
    ];
    let groups = if arguments.only.is_empty() { all.to_vec() } else { arguments.only.clone() };
    let mut figures = Vec::new();
    for group in groups {
        let name = group.to_possible_value().expect("no group is hidden").get_name().to_owned();
        eprintln!("measuring: {name}");
        let command = format!("bench figures --only {name}");
        let measure = Measure { place, command: &command };
        let found = match group {
            Group::Binary => measure.binaries(),
            Group::UpWarm => measure.up_warm(),
            Group::Registration => measure.registration(),
            Group::Delay => measure.delay(),
            Group::Call => measure.call(),
            Group::CapacityRegistrations => measure.capacity(Mix::Registration, "registrations", 30_000),
            Group::CapacityCalls => measure.capacity(Mix::Call, "calls", 30_000),
            Group::Memory => measure.memory(arguments.devices),
            Group::Kamailio => measure.kamailio(),
            Group::UpCold => measure.up_cold(),
        };
        let found = found.with_context(|| format!("the figures of `{name}` could not be measured"))?;
        // At once: what follows may fail.
        figure::write(&arguments.directory, "core.json", &found)?;
        figures.extend(found);
    }
    figure::print(&figures);
    Ok(())
}

struct Measure<'a> {
    place: &'a Place,
    command: &'a str,
}

impl Measure<'_> {
    fn bed<'a>(&self, core: &'a Core, count: usize, mix: Mix, ring: Duration) -> Result<Bed<'a>> {
        let population =
            Population { count, scheme: Scheme::Aka, seed: self.place.seed, first: 0, ring_mean: ring };
        let mut bed = Bed::new(core, &population, mix, self.place.port)?;
        bed.register()?;
        Ok(bed)
    }

    fn load(&self, bed: &mut Bed<'_>, rate: f64, transient: u64, seconds: u64) -> Result<Outcome> {
        let outcome = bed.run(Load {
            mix: bed.mix,
            pace: Pace::Rate(rate),
            transient: Duration::from_secs(transient),
            duration: Duration::from_secs(seconds),
            attempts_max: u64::MAX,
            hold_mean: Duration::from_millis(500),
            seed: self.place.seed,
        })?;
        print::print(&outcome);
        Ok(outcome)
    }

    fn binaries(&self) -> Result<Vec<Figure>> {
        let programs = self.place.programs()?;
        let size = |path: &Path| -> Result<f64> {
            let metadata =
                std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
            Ok(metadata.len() as f64 / 1e6)
        };
        let each = FUNCTIONS.iter().map(|name| {
            let value = size(&programs.functions.join(name))?;
            Ok(Figure::at_most(&format!("binary.size.{name}"), value, "MB", 6.0, self.command))
        });
        let mut figures = each.collect::<Result<Vec<_>>>()?;
        let largest = figures.iter().map(|figure| figure.value).fold(0.0, f64::max);
        figures.push(Figure::at_most("binary.size", largest, "MB", 6.0, self.command));
        Ok(figures)
    }

    /// What `make up` does when nothing has changed: a build that finds nothing to do, then `evertone up`.
    fn up_warm(&self) -> Result<Vec<Figure>> {
        let build = std::time::Instant::now();
        let status = std::process::Command::new("make").arg("build").status().context("cannot run make")?;
        anyhow::ensure!(status.success(), "make build failed");
        let build = build.elapsed();
        let core = Core::start(&self.place.programs()?)?;
        let up = core.up().context("the core is our own")?;
        let whole = (build + up).as_secs_f64();
        Ok(vec![
            Figure::at_most("up.warm", whole, "s", 10.0, self.command),
            Figure::report("up.warm.evertone_up", up.as_secs_f64(), "s", "lower", self.command),
        ])
    }

    /// `make build` into an empty folder, then `evertone up`.
    fn up_cold(&self) -> Result<Vec<Figure>> {
        let directory = tempfile::Builder::new().prefix("evertone-cold-").tempdir()?;
        let begun = std::time::Instant::now();
        let status = std::process::Command::new("make")
            .arg("build")
            .env("CARGO_TARGET_DIR", directory.path())
            .status()
            .context("cannot run make")?;
        anyhow::ensure!(status.success(), "make build failed");
        let programs = crate::core::Programs {
            evertone: directory.path().join("release/evertone"),
            functions: directory.path().join("x86_64-unknown-linux-musl/nf"),
        };
        let core = Core::start(&programs)?;
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        drop(core);
        Ok(vec![Figure::at_most("up.cold", minutes, "min", 10.0, self.command)])
    }

    fn registration(&self) -> Result<Vec<Figure>> {
        const COUNT: u64 = 10_000;
        let core = self.place.core()?;
        let mut bed = self.bed(&core, COUNT as usize, Mix::Registration, RING)?;
        let outcome = bed.run_at_once(COUNT, WINDOW, self.place.seed)?;
        print::print(&outcome);
        let (failed, second) = (outcome.tally.failed(), outcome.tally.second_challenges);
        println!(
            "check: {COUNT} AKA registrations with no think time: {failed} failed, {second} second challenges"
        );
        let command = self.command;
        let mut figures = vec![
            Figure::at_most(
                "core.cpu_per_aka_registration",
                outcome.cpu_per_attempt_total(),
                "ms",
                0.8,
                command,
            ),
            Figure::at_most("core.aka_without_think_time.failed", failed as f64, "count", 0.0, command),
            Figure::at_most(
                "core.aka_without_think_time.second_challenges",
                second as f64,
                "count",
                0.0,
                command,
            ),
        ];
        figures.extend(FUNCTIONS.iter().map(|name| {
            let id = format!("core.cpu_per_aka_registration.{name}");
            Figure::report(&id, outcome.cpu_per_attempt(name), "ms", "lower", command)
        }));
        Ok(figures)
    }

    fn delay(&self) -> Result<Vec<Figure>> {
        let core = self.place.core()?;
        let mut figures = Vec::new();
        for (mix, delays) in [
            (
                Mix::Call,
                &[
                    (Delay::Setup, "setup", 2.0),
                    (Delay::Arrival, "arrival", 1.0),
                    (Delay::Release, "release", 1.0),
                ][..],
            ),
            (Mix::Message, &[(Delay::Message, "message", 1.0)][..]),
        ] {
            let mut bed = self.bed(&core, 1000, mix, RING)?;
            // 1.6: at least 30 s not counted and at least 1000 attempts for a p99.
            let outcome = self.load(&mut bed, 20.0, 30, 55)?;
            for (delay, name, bound) in delays {
                let statistics = outcome.tally.statistics(*delay).context("no attempt succeeded")?;
                let id = format!("core.p90_at_20.{name}");
                figures.push(Figure::at_most(&id, statistics.p90, "ms", *bound, self.command));
            }
            let failed = outcome.tally.failed() as f64;
            let id = format!("core.failed_at_20.{}", if mix == Mix::Call { "calls" } else { "messages" });
            figures.push(Figure::at_most(&id, failed, "count", 0.0, self.command));
        }
        Ok(figures)
    }

    fn call(&self) -> Result<Vec<Figure>> {
        const COUNT: u64 = 15_000;
        let core = self.place.core()?;
        let mut bed = self.bed(&core, 2000, Mix::Call, Duration::ZERO)?;
        let outcome = bed.run_at_once(COUNT, WINDOW, self.place.seed)?;
        print::print(&outcome);
        let per_call = outcome.cpu_per_attempt_total();
        let command = self.command;
        let mut figures = vec![
            Figure::at_most("core.cpu_per_call_hop", per_call / CALL_HOPS, "ms", 0.12, command),
            Figure::report("core.cpu_per_call", per_call, "ms", "lower", command),
        ];
        figures.extend(FUNCTIONS.iter().map(|name| {
            let id = format!("core.cpu_per_call.{name}");
            Figure::report(&id, outcome.cpu_per_attempt(name), "ms", "lower", command)
        }));
        Ok(figures)
    }

    fn capacity(&self, mix: Mix, name: &str, count: usize) -> Result<Vec<Figure>> {
        let core = self.place.core()?;
        let mut bed = self.bed(&core, count, mix, RING)?;
        let search = Search { rate: 500.0, duration: Duration::from_secs(10), seed: self.place.seed };
        let found = search.run(&mut bed)?;
        found.print();
        print::print(&found.at);
        let command = self.command;
        let (half, most) = (Capacity::p99(&found.half), Capacity::p99(&found.most));
        let mut figures = vec![
            Figure::report(&format!("core.doc.{name}"), found.rate, &format!("{name}/s"), "higher", command),
            Figure::at_most(&format!("core.p99_at_50.{name}"), half, "ms", 10.0, command),
            Figure::report(&format!("core.p99_at_80.{name}"), most, "ms", "lower", command),
        ];
        figures.extend(found.shares().into_iter().map(|(who, share)| {
            let id = format!("core.doc.{name}.cpu_percent.{who}");
            Figure::report(&id, share, "% of a core", "lower", command)
        }));
        Ok(figures)
    }

    /// What all devices together add to an empty core, for each: an upper bound, because the flight recorder (of a fixed
    /// size) and what the allocator keeps of past transactions are in it.
    fn memory(&self, devices: usize) -> Result<Vec<Figure>> {
        let core = self.place.core()?;
        let resident = |name: &str| core.function(name).meter.memory();
        let empty = FUNCTIONS.map(resident).into_iter().collect::<Result<Vec<_>>>()?;
        let mut bed = self.bed(&core, devices, Mix::Registration, RING)?;
        let hss = resident("hss")?;
        bed.register_devices(0..devices)?;
        // Timer J: 32 s after the last answer nothing but the registrations is left.
        bed.idle(Duration::from_secs(40))?;
        let mut full = FUNCTIONS.map(resident).into_iter().collect::<Result<Vec<_>>>()?;
        for ((name, empty), full) in FUNCTIONS.iter().zip(&empty).zip(&full) {
            println!(
                "{name}: {:.1} MB empty, {:.1} MB with {devices} devices",
                *empty as f64 / 1e6,
                *full as f64 / 1e6
            );
        }
        // A subscriber's memory is what provisioning takes.
        full[3] = hss;
        let grown: Vec<f64> =
            empty.iter().zip(&full).map(|(empty, full)| full.saturating_sub(*empty) as f64).collect();
        let each = |index: usize| (grown[index] / devices as f64).round();
        Ok(vec![
            Figure::report("pcscf.memory_per_device", each(0), "bytes", "lower", self.command),
            Figure::at_most("scscf.memory_per_device", each(2), "bytes", 4096.0, self.command),
            Figure::at_most("hss.memory_per_subscriber", each(3), "bytes", 512.0, self.command),
        ])
    }

    /// Registrations straight to the I-CSCF, ours and then Kamailio's, both on our HSS: the same load, the same devices.
    fn kamailio(&self) -> Result<Vec<Figure>> {
        if !kamailio::is_possible() {
            println!("core.cpu_vs_kamailio: not measured, Kamailio is not installed here");
            return Ok(Vec::new());
        }
        let core = self.place.core()?;
        let own = |core: &Core| -> Result<std::time::Duration> {
            Ok(core.function("icscf").meter.cpu()? + core.function("scscf").meter.cpu()?)
        };
        let before = own(&core)?;
        let count = self.register_at(&core, 0, core.function("icscf").address)?;
        let ours = milliseconds(own(&core)? - before) / count;
        let other = Kamailio::start(&core)?;
        let before = other.cpu()?;
        let count = self.register_at(&core, 1_000_000, kamailio::ENTRY)?;
        let theirs = milliseconds(other.cpu()? - before) / count;
        Ok(vec![
            Figure::at_most("core.cpu_vs_kamailio", ours / theirs, "x", 0.5, self.command),
            Figure::report("core.cpu_vs_kamailio.ours", ours, "ms/registration", "lower", self.command),
            Figure::report("core.cpu_vs_kamailio.kamailio", theirs, "ms/registration", "lower", self.command),
        ])
    }

    /// 10,000 registrations at 200 a second; gives their number.
    fn register_at(&self, core: &Core, first: usize, entry: SocketAddrV4) -> Result<f64> {
        let population =
            Population { count: 10_000, scheme: Scheme::Aka, seed: self.place.seed, first, ring_mean: RING };
        let mut bed = Bed::toward(core, &population, Mix::Registration, self.place.port, entry)?;
        bed.fleet.stand_in_for_pcscf(&core.domain, Duration::from_millis(100));
        let outcome = bed.run(Load {
            mix: Mix::Registration,
            pace: Pace::Rate(200.0),
            transient: Duration::ZERO,
            duration: Duration::from_secs(600),
            attempts_max: population.count as u64,
            hold_mean: Duration::ZERO,
            seed: self.place.seed,
        })?;
        print::print(&outcome);
        Ok(outcome.tally.attempts() as f64)
    }
}
