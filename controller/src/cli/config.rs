//! `evertone config`: the resource in force, or what a function was given.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use node::config::FunctionKind;

use super::context::Context;
use crate::watch;

/// Print configuration.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The function whose rendered configuration to print. [default: the resource]
    #[arg(value_name = "FUNCTION")]
    function: Option<String>,
}

/// Runs the verb.
pub fn run(context: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let Some(name) = &arguments.function else {
        let text = watch::accepted_text(&context.places).unwrap_or_else(|| crds::SAMPLE.to_owned());
        print!("{text}");
        return Ok(ExitCode::SUCCESS);
    };
    let Some(kind) = FunctionKind::ALL.into_iter().find(|kind| kind.as_str() == name) else {
        bail!("there is no function {name}");
    };
    let path = context.places.config_file(kind);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}: does the core run?", path.display()))?;
    for line in text.lines() {
        // The one secret in a configuration.
        match line.split_once("flowTokenKey:") {
            Some((before, _)) => println!("{before}flowTokenKey: (not shown)"),
            None => println!("{line}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}
