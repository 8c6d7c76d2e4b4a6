//! `evertone subscriber`: who may use the core. Secrets go in and never come out.

mod add;
mod check;
mod import;
mod list;
mod remove;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use hss::provisioning::Selector;

use super::context::Context;

/// Subscribers.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a subscriber, or replace one
    Add(Box<add::Arguments>),
    /// Add many from a file: CSV, YAML, an export of Open5GS or of PyHSS
    Import(import::Arguments),
    /// List them
    List(list::Arguments),
    /// Show one
    Show(list::ShowArguments),
    /// Remove one; its devices are told
    Remove(remove::Arguments),
    /// Take the registration from one; its devices are told
    Deregister(remove::Arguments),
    /// Say which value is wrong when a device cannot register
    Check(Box<check::Arguments>),
}

/// Runs the verb.
pub async fn run(context: &Context, arguments: Arguments) -> Result<ExitCode> {
    match arguments.verb {
        Verb::Add(arguments) => add::run(context, *arguments).await,
        Verb::Import(arguments) => import::run(context, &arguments).await,
        Verb::List(arguments) => list::run(context, &arguments).await,
        Verb::Show(arguments) => list::show(context, &arguments).await,
        Verb::Remove(arguments) => remove::run(context, &arguments, "subscriber.remove").await,
        Verb::Deregister(arguments) => remove::run(context, &arguments, "subscriber.deregister").await,
        Verb::Check(arguments) => check::run(context, *arguments).await,
    }
}

/// Who is meant: a URI is a public identity, anything else a private one.
fn selector(identity: &str) -> Selector {
    let is_uri = ["sip:", "sips:", "tel:"].iter().any(|scheme| identity.starts_with(scheme));
    let identity = Some(identity.to_owned());
    match is_uri {
        true => Selector { public_identity: identity, private_identity: None },
        false => Selector { private_identity: identity, public_identity: None },
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_uri_means_a_public_identity() {
        assert!(super::selector("tel:+491").public_identity.is_some());
        assert!(super::selector("a@b").private_identity.is_some());
    }
}
