//! The load generator: thousands of telephones against a real core, over real sockets.
//!
//! `run` measures one load, `capacity` finds the highest that holds, `figures` measures everything the project promises.
//! How and what it measures: docs/benchmark.md. It decides nothing about the core, and it leaves nothing behind.

#![forbid(unsafe_code)]

mod bed;
mod capacity;
mod core;
mod figure;
mod figures;
mod fleet;
mod interrupt;
mod kamailio;
mod load;
mod meter;
mod population;
mod print;
mod random;
mod run;
mod socket;
mod tally;
mod traffic;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::core::{Core, Programs};

/// Load for a telephone core, and what it costs.
#[derive(Debug, Parser)]
#[command(name = "bench", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    verb: Verb,
}

/// Which core.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The state directory of a core that runs. [default: a core of its own, gone afterwards]
    #[arg(long, global = true, value_name = "DIR")]
    state_directory: Option<PathBuf>,
    /// The `evertone` command. [default: beside this program]
    #[arg(long, global = true, value_name = "FILE")]
    evertone: Option<PathBuf>,
    /// Where the network functions' programs lie. [default: beside `evertone`]
    #[arg(long, global = true, value_name = "DIR", env = "EVERTONE_BINARIES")]
    binaries: Option<PathBuf>,
    /// The port that devices speak from, each from an address of its own in 127.64.0.0/10 and above.
    #[arg(long, global = true, value_name = "N", default_value_t = 5090)]
    port: u16,
    /// Where secrets and choices come from.
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put one load on the core and measure it
    Run(run::Arguments),
    /// Find the highest load that holds
    Capacity(capacity::Arguments),
    /// Measure all figures and write them to target/figures
    Figures(figures::Arguments),
}

impl Place {
    /// Where the programs are.
    pub fn programs(&self) -> Result<Programs> {
        let own = std::env::current_exe().context("this program does not know where it lies")?;
        let evertone = self.evertone.clone().unwrap_or_else(|| own.with_file_name("evertone"));
        let beside = evertone.parent().context("`evertone` lies nowhere")?.to_owned();
        Ok(Programs { evertone, functions: self.binaries.clone().unwrap_or(beside) })
    }

    /// The core that runs, or one of our own.
    pub fn core(&self) -> Result<Core> {
        match &self.state_directory {
            Some(directory) => Core::find(&self.programs()?, directory),
            None => Core::start(&self.programs()?),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = interrupt::listen().and_then(|()| match cli.verb {
        Verb::Run(arguments) => run::run(&cli.place, &arguments),
        Verb::Capacity(arguments) => capacity::run(&cli.place, &arguments),
        Verb::Figures(arguments) => figures::run(&cli.place, &arguments),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
