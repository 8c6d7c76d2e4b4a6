//! `evertone controller run`: the controller in a session of its own. Hidden: `up` and systemd start it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::context::Context;

/// Hidden.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run until told to end
    Run,
}

/// Runs the controller.
pub async fn run(context: &Context, arguments: Arguments) -> Result<ExitCode> {
    let Verb::Run = arguments.verb;
    start_log();
    // A session of our own: the terminal that called `up` may close. Refused only to a group's leader, who has no need.
    let _ = rustix::process::setsid();
    crate::controller::run(context.options(false)).await?;
    Ok(ExitCode::SUCCESS)
}

/// The controller's log, for engineers; operators read `status`.
pub fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("EVERTONE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal);
    // A second start is a test's business alone.
    drop(log.try_init());
}
