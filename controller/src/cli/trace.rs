//! `evertone trace`: what happened to a subscriber or in a call, as one ladder across all functions.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use node::config::{Config, FunctionKind};

use super::context::Context;
use crate::http;
use crate::ladder::{Addresses, Memory, Story, Told, identity_core, stories};

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
    let (mut records, mut silent) = (Vec::new(), Vec::new());
    for kind in FunctionKind::ALL {
        match ask(context, kind, &arguments.key).await {
            Ok(memory) => records.push((kind, memory)),
            Err(reason) => silent.push(format!("{}: {reason}", kind.as_str())),
        }
    }
    let is_of_call = |told: &Told| told.call_id == arguments.key.trim();
    let is_call = records.iter().any(|(_, memory)| memory.messages.iter().any(is_of_call));
    add_other_identities(context, &arguments.key, is_call, &mut records).await;
    let mut addresses = Addresses::new();
    for kind in FunctionKind::ALL {
        match listening(&context.places.config_file(kind)) {
            Ok(listening) => addresses.extend(listening.into_iter().map(|address| (address, kind))),
            Err(reason) => silent.push(format!("{}: {reason}", kind.as_str())),
        }
    }
    let mut found: Vec<Story> = stories(&records, &addresses);
    if is_call {
        found.retain(|story| story.call_id == arguments.key.trim());
    }
    print(&found, arguments);
    for reason in silent {
        eprintln!("incomplete: {reason}");
    }
    if records.is_empty() {
        bail!("no function answers: `{} status` shows how the core is", context.command());
    }
    if found.is_empty() {
        bail!(
            "nothing is recorded of {}: each function keeps its latest 20,000 messages since it was started",
            arguments.key
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn print(found: &[Story], arguments: &Arguments) {
    let skip = found.len().saturating_sub(arguments.last);
    if skip > 0 {
        let (exchanges, them) = if skip == 1 { ("exchange is", "it") } else { ("exchanges are", "them") };
        println!("{skip} earlier {exchanges} not shown; --last {} shows {them}\n", found.len());
    }
    for story in &found[skip..] {
        println!("{}", story.draw());
    }
}

async fn ask(context: &Context, kind: FunctionKind, key: &str) -> Result<Memory, String> {
    let path = format!("/trace?key={}", http::percent_encoded(key));
    match http::get(&context.places.admin_socket(kind), &path, PATIENCE).await {
        Ok(answer) if answer.is_success() => answer.json().map_err(|error| error.to_string()),
        Ok(answer) => Err(answer.text()),
        Err(error) => Err(error.to_string()),
    }
}

/// So many others are looked up.
const OTHERS_MAX: usize = 16;

/// The HSS knows no calls: what it did for the sides of one is asked for by their identities. Of a call, the functions
/// that ask the HSS are asked likewise: only who knows all that they worked on can tell for which of it they asked.
async fn add_other_identities(
    context: &Context,
    key: &str,
    is_call: bool,
    records: &mut [(FunctionKind, Memory)],
) {
    let all = records.iter().flat_map(|(_, memory)| &memory.messages);
    let mut others: BTreeSet<String> =
        all.flat_map(|told| [&told.from, &told.to]).map(|text| identity_core(text).to_owned()).collect();
    others.remove(identity_core(key));
    others.remove("");
    let is_asked = |kind| match kind {
        FunctionKind::Hss => true,
        FunctionKind::Icscf | FunctionKind::Scscf => is_call,
        FunctionKind::Pcscf => false,
    };
    for (kind, memory) in records.iter_mut().filter(|(kind, _)| is_asked(*kind)) {
        for other in others.iter().take(OTHERS_MAX) {
            // Without it the ladder has gaps at the HSS, and they show.
            let more = ask(context, *kind, other).await.unwrap_or_default();
            // The CSCFs have told all of the call itself already.
            if *kind == FunctionKind::Hss {
                memory.since_micros = memory.since_micros.max(more.since_micros);
            }
            let fresh: Vec<Told> = more.messages.into_iter().filter(|told| is_new(told, memory)).collect();
            memory.messages.extend(fresh);
        }
    }
}

/// What the HSS began for others was not asked for.
fn is_new(told: &Told, memory: &Memory) -> bool {
    let is_begun_by_hss =
        ["RTR", "RTA", "PPR", "PPA"].iter().any(|command| told.summary.starts_with(command));
    !is_begun_by_hss && !memory.messages.contains(told)
}

/// Where a function listens, from its own configuration: without it, what it sends looks like a device's.
fn listening(config: &Path) -> Result<Vec<SocketAddr>, String> {
    let file = config.display().to_string();
    let text = std::fs::read_to_string(config).map_err(|error| format!("{file} cannot be read: {error}"))?;
    let config = crds::yaml::typed::<Config>(&file, &text).map_err(|mistake| mistake.to_string())?;
    Ok(config.listen.iter().map(|listen| listen.address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("icscf.yaml");
        assert!(listening(&file).is_err_and(|reason| reason.contains("cannot be read")));
        std::fs::write(&file, "listen: nowhere").expect("it is written");
        assert!(listening(&file).is_err_and(|reason| reason.contains("icscf.yaml")));
    }
}
