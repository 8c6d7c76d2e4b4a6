//! `evertone trace`: what happened to a subscriber or in a call, as one ladder across all functions.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use node::config::{Config, FunctionKind};

use super::context::Context;
use crate::http;
use crate::ladder::{Addresses, Story, Told, stories};

/// Explain what happened.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A public or private identity, or a Call-ID.
    #[arg(value_name = "IDENTITY|CALL-ID")]
    key: String,
    /// How many exchanges to show: the latest.
    #[arg(long, value_name = "N", default_value_t = 3)]
    last: usize,
}

/// A recorder's answer takes a moment when it is full.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the verb.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let mut records = Vec::new();
    let mut silent = Vec::new();
    let path = format!("/trace?key={}", http::percent_encoded(&arguments.key));
    for kind in FunctionKind::ALL {
        match http::get(&context.places.admin_socket(kind), &path, PATIENCE).await {
            Ok(answer) if answer.is_success() => records.push((kind, answer.json::<Vec<Told>>()?)),
            Ok(answer) => silent.push(format!("{}: {}", kind.as_str(), answer.text())),
            Err(error) => silent.push(format!("{}: {error}", kind.as_str())),
        }
    }
    if records.is_empty() {
        bail!("no function answers: `{} status` shows how the core is", context.command());
    }
    let found: Vec<Story> = stories(&records, &addresses(context));
    if found.is_empty() {
        bail!(
            "nothing is recorded of {}: each function keeps its latest 20,000 messages since it was started",
            arguments.key
        );
    }
    let skip = found.len().saturating_sub(arguments.last);
    if skip > 0 {
        println!("{skip} earlier exchanges are not shown; --last {} shows them\n", found.len());
    }
    for story in &found[skip..] {
        println!("{}", story.draw());
    }
    for reason in silent {
        eprintln!("incomplete: {reason}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the functions listen, from their own configuration.
fn addresses(context: &Context) -> Addresses {
    let mut addresses = Addresses::new();
    for kind in FunctionKind::ALL {
        let path = context.places.config_file(kind);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if let Ok(config) = crds::yaml::typed::<Config>("configuration", &text) {
            addresses.extend(config.listen.iter().map(|listen| (listen.address, kind)));
        }
    }
    addresses
}
