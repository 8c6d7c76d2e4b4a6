//! `evertone config`: the resource in force, or what a function was given.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use node::config::FunctionKind;
use plan::ProcessName;

use super::context::Context;
use super::instances;
use crate::watch;

/// Print configuration.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The function whose rendered configuration to print; of a pair one of the two, such as `scscf-1`; `witness`, `host-agent`.
    /// [default: the resource]
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
    let path = context.places.config_file(process(context, name)?);
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

fn process(context: &Context, name: &str) -> Result<ProcessName> {
    if let Some(found) = instances::all(context).into_iter().find(|process| process.as_str() == name) {
        return Ok(found);
    }
    match FunctionKind::ALL.into_iter().find(|kind| kind.as_str() == name) {
        Some(kind) => {
            let [first, second] = ProcessName::pair(kind);
            bail!("{name} is a pair: name {first} or {second}")
        }
        None => bail!("there is no function {name}"),
    }
}
