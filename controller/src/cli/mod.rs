//! The command line: one file for each verb. Verbs speak to the controller's API and to the functions' admin sockets;
//! when the controller is dead they look for themselves, and say so.

mod api;
mod backup;
mod completion;
mod config;
mod context;
mod controller;
mod counters;
mod demo;
mod down;
mod hand_over;
mod hss;
mod instances;
mod logs;
#[cfg(test)]
mod reference;
mod status;
mod subscriber;
mod systemd_unit;
mod table;
mod trace;
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
    /// Let the other instance of a pair serve; returns when it does
    HandOver(hand_over::Arguments),
    /// Add, import, list, show, remove and check subscribers
    Subscriber(subscriber::Arguments),
    /// Show what the functions wrote
    Logs(logs::Arguments),
    /// Write all subscribers, with the key that opens them, to a file
    Backup(backup::Arguments),
    /// Put a backup in the place of all subscribers
    Restore(backup::RestoreArguments),
    /// Explain what happened to a subscriber or in a call, across all functions
    Trace(trace::Arguments),
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
    end_quietly_without_reader();
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

/// The reader of a pipe (`| head`) may go before all is printed: that is an end, not a failure.
fn end_quietly_without_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if message.starts_with("failed printing to stdout") {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let context = Context::new(cli.state_directory, cli.binaries)?;
    match cli.verb {
        Verb::Up(arguments) => up::run(&context, arguments).await,
        Verb::Status(arguments) => status::run(&context, arguments).await,
        Verb::Down(arguments) => down::run(&context, arguments).await,
        Verb::HandOver(arguments) => hand_over::run(&context, &arguments).await,
        Verb::Subscriber(arguments) => subscriber::run(&context, arguments).await,
        Verb::Logs(arguments) => logs::run(&context, &arguments).await,
        Verb::Backup(arguments) => backup::run(&context, &arguments).await,
        Verb::Restore(arguments) => backup::restore(&context, &arguments).await,
        Verb::Trace(arguments) => trace::run(&context, &arguments).await,
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

/// A secret from the command line, or, when it is `-`, the next line of standard input: there nobody sees it.
fn secret(text: String) -> Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
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
