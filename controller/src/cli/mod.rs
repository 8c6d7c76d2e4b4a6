//! The command line: one file for each verb. Verbs speak to the controller's API and to the functions' admin sockets;
//! when the controller is dead they look for themselves, and say so.

mod api;
mod completion;
mod config;
mod context;
mod controller;
mod counters;
mod demo;
mod down;
mod logs;
mod status;
mod systemd_unit;
mod table;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use context::Context;

/// A telephone core (IMS) from one command.
#[derive(Debug, Parser)]
#[command(name = "evertone", version, max_term_width = 110)]
pub struct Cli {
    /// Where the core's data lies. Cores with directories of their own run side by side.
    /// [default: /var/lib/evertone, or ~/.local/state/evertone]
    #[arg(long, global = true, value_name = "DIR", env = "EVERTONE_STATE_DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// Where the network functions' binaries lie. [default: beside this program]
    #[arg(long, global = true, value_name = "DIR", env = "EVERTONE_BINARIES")]
    binaries: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring the core up, or change a running one; returns when it serves or has failed
    Up(up::Arguments),
    /// Show what runs, since when, and what happened
    Status(status::Arguments),
    /// Stop the core; its data stays
    Down(down::Arguments),
    /// Show what the functions wrote
    Logs(logs::Arguments),
    /// Print the resource in force, or a function's configuration
    Config(config::Arguments),
    /// Print a systemd unit that brings the core back after a reboot
    SystemdUnit(systemd_unit::Arguments),
    /// Print a completion script for a shell
    Completion(completion::Arguments),
    /// Run the controller itself (`up` does it)
    #[command(hide = true)]
    Controller(controller::Arguments),
    /// Print the version
    Version,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let run = || -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("the runtime cannot be started")?.block_on(run(cli))
    };
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("evertone: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let context = Context::new(cli.state_directory, cli.binaries)?;
    match cli.verb {
        Verb::Up(arguments) => up::run(&context, arguments).await,
        Verb::Status(arguments) => status::run(&context, arguments).await,
        Verb::Down(arguments) => down::run(&context, arguments).await,
        Verb::Logs(arguments) => logs::run(&context, &arguments).await,
        Verb::Config(arguments) => config::run(&context, &arguments),
        Verb::SystemdUnit(arguments) => systemd_unit::run(&context, &arguments),
        Verb::Completion(arguments) => completion::run(&arguments),
        Verb::Controller(arguments) => controller::run(&context, arguments).await,
        Verb::Version => {
            println!("evertone {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
