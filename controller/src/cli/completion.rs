//! `evertone completion`: completion scripts.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print a completion script.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// For which shell.
    shell: Shell,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    clap_complete::generate(arguments.shell, &mut super::Cli::command(), "evertone", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
