//! `evertone subscriber list` and `show`.

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use hss::provisioning::{ListRequest, Page, RegistrationState, View};

use super::selector;
use crate::cli::context::Context;
use crate::cli::hss::command;
use crate::cli::table::table;

/// List subscribers.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// In which form; `json` prints one subscriber a line.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Begin after this private identity.
    #[arg(long, value_name = "IDENTITY")]
    after: Option<String>,
}

/// Show a subscriber.
#[derive(Debug, clap::Args)]
pub struct ShowArguments {
    /// Its private identity, or one of its public identities as sip: or tel: URI.
    identity: String,
    /// In which form.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

/// So many at a time: a table is as wide as its page needs.
const PAGE: usize = 500;

/// Runs `list`.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let mut after = arguments.after.clone();
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    while left > 0 {
        let request = ListRequest { after: after.take(), limit: Some(left.min(PAGE)) };
        let page: Page = command(context, "subscriber.list", &request).await?;
        left -= page.subscribers.len().min(left);
        print(&page.subscribers, arguments.output)?;
        match page.next {
            Some(next) if !page.subscribers.is_empty() => after = Some(next),
            _ => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `show`.
pub async fn show(context: &Context, arguments: &ShowArguments) -> Result<ExitCode> {
    let view: View = command(context, "subscriber.get", &selector(&arguments.identity)).await?;
    match arguments.output {
        Output::Table => {
            println!("private identity  {}", view.private_identity);
            for identity in &view.public_identities {
                let barred = if identity.barred { ", barred" } else { "" };
                let state = state(identity.state);
                println!(
                    "public identity   {}  {state}{barred}, implicit set {}",
                    identity.uri, identity.implicit_set
                );
            }
            println!("credentials       {}", credentials(&view));
            println!("served by         {}", view.server_name.as_deref().unwrap_or("-"));
        }
        Output::Json => println!("{}", serde_json::to_string_pretty(&view)?),
        Output::Yaml => print!("{}", crds::yaml::to_string(&view)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(subscribers: &[View], output: Output) -> Result<()> {
    match output {
        Output::Json => subscribers.iter().try_for_each(|view| {
            println!("{}", serde_json::to_string(view)?);
            Ok(())
        }),
        Output::Yaml => {
            print!("{}", crds::yaml::to_string(&subscribers)?);
            Ok(())
        }
        Output::Table => {
            let mut table = table(&["PRIVATE IDENTITY", "PUBLIC IDENTITIES", "CREDENTIALS", "STATE"]);
            for view in subscribers {
                let uris: Vec<&str> =
                    view.public_identities.iter().map(|identity| identity.uri.as_str()).collect();
                let is_registered = view
                    .public_identities
                    .iter()
                    .any(|identity| identity.state == RegistrationState::Registered);
                let state = if is_registered { "registered" } else { "-" };
                table.add_row([&view.private_identity, &uris.join(" "), &credentials(view), state]);
            }
            println!("{table}");
            Ok(())
        }
    }
}

fn credentials(view: &View) -> String {
    let words = [("AKA", view.has_aka), ("digest", view.has_digest)];
    words.iter().filter(|(_, has)| *has).map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

fn state(state: RegistrationState) -> &'static str {
    match state {
        RegistrationState::NotRegistered => "not registered",
        RegistrationState::Registered => "registered",
        RegistrationState::Unregistered => "not registered, served all the same",
    }
}
