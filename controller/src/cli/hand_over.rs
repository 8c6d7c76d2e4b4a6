//! `evertone hand-over`: the instance of a pair that serves leaves that to the other one, in order (S2-Q11): nothing is lost.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::builder::PossibleValuesParser;
use crds::FunctionRole;
use node::config::FunctionKind;
use plan::ProcessName;

use super::context::Context;
use super::instances;
use crate::http::{self, HttpError};
use crate::{health, watch};

/// Let the other instance serve.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The function.
    #[arg(value_name = "FUNCTION", value_parser = PossibleValuesParser::new(["pcscf", "icscf", "scscf", "hss"]))]
    function: String,
}

/// How long the other instance may take until it serves: thousands of leases. One that has not begun by then was lost on the way.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(2);

/// Runs the verb.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let kind = FunctionKind::ALL.into_iter().find(|kind| kind.as_str() == arguments.function);
    let kind = kind.context("there is no such function")?;
    let (serving, other) = instances_of(context, kind).await?;
    let begun = Instant::now();
    ask(context, serving, other).await?;
    while !serves(context, other).await {
        if begun.elapsed() > PATIENCE {
            let seconds = PATIENCE.as_secs();
            bail!("{other} does not serve after {seconds} s: `{} status` shows how it is", context.command());
        }
        tokio::time::sleep(INTERVAL).await;
    }
    let took = begun.elapsed().as_millis();
    println!("{other} serves now in the place of {serving}; it took {took} ms");
    Ok(ExitCode::SUCCESS)
}

/// Who serves, and who is to.
async fn instances_of(context: &Context, kind: FunctionKind) -> Result<(ProcessName, ProcessName)> {
    let (name, command) = (kind.as_str(), context.command());
    if watch::accepted_text(&context.places).is_none() {
        bail!("no core has been brought up: `{command} up` does it");
    }
    if !instances::has_pairs(context) {
        bail!(
            "{name} is alone: nobody is there to hand over to (spec.redundancy.mode: pairs makes it a pair)"
        );
    }
    let [first, second] = ProcessName::pair(kind);
    match instances::serving_of_pair(context, kind).await {
        Some(serving) if serving == first => Ok((first, second)),
        Some(_) => Ok((second, first)),
        None if answers(context, first).await || answers(context, second).await => {
            bail!("neither {first} nor {second} serves: `{command} status` shows how they are")
        }
        None => bail!("{name} does not run: `{command} up` starts the core, `status` shows how it is"),
    }
}

async fn ask(context: &Context, serving: ProcessName, other: ProcessName) -> Result<()> {
    let command = context.command();
    let out_of_sync = || {
        anyhow!(
            "{serving} goes on serving: {other} is not in sync to take over (`{command} status` shows how it is)"
        )
    };
    // Whoever serves may not know yet that the other one has died, and would leave to nobody.
    let heard = health::probe(other, &context.places.socket(other)).await.ok();
    let is_ready = heard.as_ref().is_some_and(health::Heard::is_ready);
    let role = heard.and_then(|heard| heard.place).map(|place| place.role);
    if !is_ready || role != Some(FunctionRole::Standby) {
        return Err(out_of_sync());
    }
    let socket = context.places.socket(serving);
    match http::post(&socket, "/command/hand-over", b"{}".to_vec(), PATIENCE).await {
        Ok(answer) if answer.is_success() => Ok(()),
        // It serves, so this is what its refusal means.
        Ok(answer) if answer.status == 422 => Err(out_of_sync()),
        Ok(answer) => bail!("{serving} says: {}", answer.text()),
        Err(HttpError::NobodyThere(_)) => bail!("{serving} has ended just now"),
        Err(error) => Err(anyhow::Error::from(error).context(format!("{serving} does not answer"))),
    }
}

async fn answers(context: &Context, name: ProcessName) -> bool {
    health::probe(name, &context.places.socket(name)).await.is_ok()
}

async fn serves(context: &Context, name: ProcessName) -> bool {
    let heard = health::probe(name, &context.places.socket(name)).await;
    heard.ok().and_then(|heard| heard.place).is_some_and(|place| place.role.serves())
}
