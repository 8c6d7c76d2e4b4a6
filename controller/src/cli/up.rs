//! `evertone up`: makes a resource true and returns when the core serves or has failed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crds::{FunctionState, IMSCore, SAMPLE};
use jiff::Timestamp;
use node::config::FunctionKind;
use plan::ProcessName;

use super::context::Context;
use super::{api, controller, demo};
use crate::report::Document;
use crate::{places, protection, watch};

/// The longest resource: what the controller takes (`rest`).
const RESOURCE_BYTES_MAX: usize = crate::rest::BODY_BYTES_MAX;

/// Bring the core up.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The resource, an IMSCore in YAML; `-` reads standard input.
    /// [default: the one in force, else a sample for this machine]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Stay in the foreground; a signal stops the core.
    #[arg(long)]
    foreground: bool,
    /// How long to wait for the core to serve.
    #[arg(long, value_name = "N", default_value_t = 60)]
    timeout_seconds: u64,
}

/// Runs the verb.
pub async fn run(context: &Context, arguments: Arguments) -> Result<ExitCode> {
    let (file, text) = resource(context, &arguments)?;
    if text.len() > RESOURCE_BYTES_MAX {
        bail!("{file}: has {} bytes; a resource has at most {RESOURCE_BYTES_MAX}", text.len());
    }
    places::create(&context.places)?;
    // Another `up` at the same moment would make other keys and a second controller.
    let turn = places::take_turn(&context.places)?;
    let inputs = watch::inputs(&context.places, &text)?;
    // Before anything is touched: a wrong file leaves a running core alone.
    if let Err(mistakes) = watch::validate(&file, &text, &inputs) {
        bail!("{mistakes}");
    }
    context.remember_binaries()?;
    if !arguments.foreground {
        let has_started = api::ensure_controller(context).await?;
        drop(turn);
        return bring_up(context, &file, &text, &arguments, has_started).await;
    }
    if crate::controller::holder(&context.places).is_some() {
        bail!(
            "a controller runs in the background already: `{} down` stops the core first",
            context.command()
        );
    }
    drop(turn);
    controller::start_log();
    let bring_up = async {
        while !matches!(api::status(context).await, Ok(Some(_))) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Err(error) = bring_up(context, &file, &text, &arguments, true).await {
            eprintln!("evertone: {error:#}");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = crate::controller::run(context.options(true)) => ended.map(|()| ExitCode::SUCCESS),
        () = bring_up => Ok(ExitCode::SUCCESS),
    }
}

/// Which resource: the file named, else the one in force, else the sample.
fn resource(context: &Context, arguments: &Arguments) -> Result<(String, String)> {
    match &arguments.file {
        Some(path) if path.as_os_str() == "-" => {
            let text = std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?;
            Ok(("standard input".into(), text))
        }
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok((path.display().to_string(), text))
        }
        None => match watch::accepted_text(&context.places) {
            Some(text) => Ok((context.places.accepted_resource().display().to_string(), text)),
            None => Ok(("the built-in sample".into(), SAMPLE.to_owned())),
        },
    }
}

async fn bring_up(
    context: &Context,
    file: &str,
    text: &str,
    arguments: &Arguments,
    has_started: bool,
) -> Result<ExitCode> {
    let mut told = Told { until: Timestamp::now(), is_rolling: false };
    let accepted = api::apply(context, file, text).await?;
    let patience = Duration::from_secs(arguments.timeout_seconds);
    let document = wait(context, accepted.generation, patience, &mut told).await?;
    let core = document.core.context("the controller has forgotten the core")?;
    let domain = &core.spec.home_domain;
    match accepted.changes.is_empty() && !has_started && !told.is_rolling {
        true => println!("the core {domain} was up already; nothing had to change"),
        false => println!("the core {domain} is up, as {file} asks"),
    }
    print_addresses(&core);
    let protected = core.status.as_ref().and_then(|status| status.condition("Protected"));
    if let Some(unprotected) = protected.filter(|condition| condition.status != "True") {
        println!("not every function may fail unnoticed yet: {}", unprotected.message);
    }
    print_hints(context, &core)?;
    Ok(ExitCode::SUCCESS)
}

/// What the operator was told of a roll: it takes a while, and somebody may look on.
struct Told {
    until: Timestamp,
    is_rolling: bool,
}

impl Told {
    /// Prints what happened since; nothing unless processes are replaced one after another.
    fn tell(&mut self, document: &Document, is_rolling: bool) {
        if is_rolling && !self.is_rolling {
            println!("replacing one process after another, so that nobody notices:");
        }
        let until = self.until;
        let new = document.events.iter().filter(|happening| happening.time > until);
        for happening in new.filter(|_| is_rolling || self.is_rolling) {
            let name = happening.function.map_or("core", ProcessName::as_str);
            println!("  {name:<10} {:<9} {}", happening.reason, happening.message);
            self.until = happening.time;
        }
        self.is_rolling |= is_rolling;
    }
}

/// Waits until the core serves and nobody waits to be replaced, or until something is wrong that will not mend by itself.
async fn wait(context: &Context, generation: i64, patience: Duration, told: &mut Told) -> Result<Document> {
    let begun = Instant::now();
    loop {
        let document = api::status(context).await?.context("the controller ended; see `logs controller`")?;
        let status = document.core.as_ref().and_then(|core| core.status.as_ref());
        if let Some(status) = status.filter(|status| status.observed_generation >= generation) {
            let is_true =
                |condition: &str| status.condition(condition).filter(|found| found.status == "True");
            let rolling = is_true("Rolling");
            told.tell(&document, rolling.is_some());
            // Where there are no pairs, nobody speaks of protection.
            let is_protected = status.condition("Protected").is_none_or(|found| found.status == "True");
            let degraded = is_true("Degraded");
            // Whether the core serves unprotected for long is for its operator to see.
            let is_stuck = degraded.is_some_and(|found| found.reason != "NotProtected");
            let is_over = is_protected || is_stuck || begun.elapsed() > patience;
            if status.is_ready() && rolling.is_none() && is_over {
                return Ok(document);
            }
            let say = |condition: &str| status.condition(condition).map(|found| found.message.clone());
            let hint = format!(
                "the controller keeps trying: `{0} status` shows it, `{0} down` ends it",
                context.command()
            );
            if let Some(rolling) = rolling.filter(|_| begun.elapsed() > patience) {
                let seconds = patience.as_secs();
                bail!("not everybody is replaced after {seconds} s: {}\n{hint}", rolling.message);
            }
            if degraded.is_some() && !status.is_ready() {
                bail!("the core is not up: {}\n{hint}", say("Degraded").unwrap_or_default());
            }
            if begun.elapsed() > patience && !status.is_ready() {
                let seconds = patience.as_secs();
                bail!(
                    "the core does not serve after {seconds} s: {}\n{hint}",
                    say("Ready").unwrap_or_default()
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn print_addresses(core: &IMSCore) {
    for kind in FunctionKind::ALL.into_iter().rev() {
        let addresses = addresses(core, kind);
        if addresses.is_empty() {
            continue;
        }
        let (name, purpose) = match kind {
            FunctionKind::Pcscf => ("P-CSCF", "phones register here, UDP and TCP"),
            FunctionKind::Icscf => ("I-CSCF", "entry of the home network, UDP and TCP"),
            FunctionKind::Scscf => ("S-CSCF", "UDP and TCP"),
            FunctionKind::Hss => ("HSS", "Diameter Cx, TCP"),
        };
        println!("  {name:<7} {:<32} {purpose}", addresses.join("  "));
    }
}

/// Where a function that is ready listens; the two of a pair share most of it.
fn addresses(core: &IMSCore, kind: FunctionKind) -> Vec<&str> {
    let functions = core.status.iter().flat_map(|status| &status.functions);
    let ready = functions.filter(|function| function.state == FunctionState::Ready);
    let ready = ready.filter(|function| protection::name(function).and_then(ProcessName::kind) == Some(kind));
    let mut addresses: Vec<&str> = Vec::new();
    for address in ready.flat_map(|function| &function.addresses) {
        if !addresses.contains(&address.as_str()) {
            addresses.push(address);
        }
    }
    addresses
}

fn print_hints(context: &Context, core: &IMSCore) -> Result<()> {
    let (command, domain) = (context.command(), &core.spec.home_domain);
    let addresses = addresses(core, FunctionKind::Pcscf);
    let entry = addresses.first().context("the P-CSCF has no address")?;
    // Two that write the same files at once would take each other's away.
    let turn = places::take_turn(&context.places)?;
    let demo = demo::write(&context.places, domain)?;
    drop(turn);
    println!("\nadd a subscriber for a softphone (user alice, domain {domain}, proxy {entry}):");
    println!("  {command} subscriber add alice@{domain} --password SECRET");
    println!("try it with SIPp (three demo subscribers register):");
    println!("  {command} subscriber import {} && {}", demo.subscribers.display(), demo.sipp(entry));
    println!("\n`{command} status` shows how it is, `{command} down` stops it");
    Ok(())
}
