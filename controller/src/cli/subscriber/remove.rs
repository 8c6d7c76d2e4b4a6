//! `evertone subscriber remove` and `deregister`: both tell the S-CSCF, which tells the devices.

use std::process::ExitCode;

use anyhow::Result;
use hss::provisioning::TerminationResult;

use super::selector;
use crate::cli::context::Context;
use crate::cli::hss::command;

/// Which subscriber.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Its private identity, or one of its public identities as sip: or tel: URI.
    identity: String,
}

/// Runs the verb whose command is `name`.
pub async fn run(context: &Context, arguments: &Arguments, name: &str) -> Result<ExitCode> {
    let done: TerminationResult = command(context, name, &selector(&arguments.identity)).await?;
    let what = if name == "subscriber.remove" { "removed" } else { "de-registered" };
    let before = if done.was_registered { "; it was registered" } else { "; it was not registered" };
    println!("{} was {what}{before}", arguments.identity);
    if let Some(warning) = done.warning {
        eprintln!("warning: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}
