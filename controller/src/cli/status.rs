//! `evertone status`: per function state, restarts and what happened last; counters; the latest happenings.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use crds::{FunctionState, FunctionStatus, IMSCoreStatus, LastExit};
use jiff::Timestamp;
use node::config::{Config, Witness};
use plan::ProcessName;
use serde::Serialize;

use super::context::Context;
use super::table::{ago, local, table};
use super::{api, counters, instances};
use crate::history::{Happening, History};
use crate::report::{Document, rfc3339};
use crate::{health, protection, watch};

/// Show what runs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// In which form.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Show it again every two seconds.
    #[arg(short, long)]
    watch: bool,
    /// How many happenings to show.
    #[arg(long, value_name = "N", default_value_t = 10)]
    events: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    document: Document,
    counters: counters::Counters,
}

/// Runs the verb. Exit code 0 when the core serves, 1 when it does not: for scripts.
pub async fn run(context: &Context, arguments: Arguments) -> Result<ExitCode> {
    loop {
        let document = look(context).await?;
        let counters = counters::read(context).await;
        let is_ready =
            document.core.as_ref().and_then(|core| core.status.as_ref()).is_some_and(IMSCoreStatus::is_ready);
        let shown = Shown { document, counters };
        let text = match arguments.output {
            Output::Json => serde_json::to_string_pretty(&shown)?,
            Output::Yaml => crds::yaml::to_string(&shown)?,
            Output::Table => render(&shown, arguments.events),
        };
        if !arguments.watch {
            println!("{}", text.trim_end());
            return Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        // Home and clear: the screen is redrawn without flicker.
        println!("\u{1b}[H\u{1b}[2J{}", text.trim_end());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

async fn look(context: &Context) -> Result<Document> {
    match api::status(context).await {
        Ok(Some(document)) => Ok(document),
        Ok(None) | Err(_) => look_without_controller(context).await,
    }
}

/// The controller is dead: what can be seen from here.
async fn look_without_controller(context: &Context) -> Result<Document> {
    let Some(text) = watch::accepted_text(&context.places) else {
        bail!("no core has been brought up: `{} up` does it", context.command());
    };
    let mut object =
        crds::yaml::read_ims_core("core.yaml", &text).map(|read| read.object).map_err(anyhow::Error::from)?;
    let generation = watch::accepted_generation(&context.places);
    object.metadata.generation = Some(generation);
    let mut status = IMSCoreStatus { observed_generation: generation, ..IMSCoreStatus::default() };
    for name in instances::all(context) {
        status.functions.push(function(context, name).await);
    }
    let unready = protection::unready(&status.functions);
    let message = match &unready {
        None => "all functions serve; the controller does not run".to_owned(),
        Some(sentence) => format!("{sentence}; the controller does not run"),
    };
    status.set_condition("Ready", unready.is_none(), "ControllerAbsent", &message, Timestamp::now());
    protection::set_condition(&mut status, Timestamp::now());
    object.status = Some(status);
    let history = History::open(context.places.state_directory.join("history.json"));
    Ok(Document { core: Some(object), events: history.happenings().cloned().collect(), controller: None })
}

async fn function(context: &Context, name: ProcessName) -> FunctionStatus {
    let record = cloud::local::Record::read(&context.places.process_record(name));
    let is_alive = record.as_ref().is_some_and(cloud::local::Record::is_alive);
    let heard = health::probe(name, &context.places.socket(name)).await;
    let place = heard.as_ref().ok().and_then(|heard| heard.place).filter(|_| is_alive && name.is_of_pairs());
    let is_serving = place.is_some_and(|place| place.role.serves());
    let (state, message) = match heard {
        _ if !is_alive => (FunctionState::Stopped, String::new()),
        Ok(heard) if heard.is_ready() => (FunctionState::Ready, String::new()),
        Ok(heard) => (FunctionState::NotReady, heard.missing.join("; ")),
        Err(reason) => (FunctionState::NotReady, reason),
    };
    let started = record.as_ref().map(|record| rfc3339(record.started));
    let last_end = record.as_ref().and_then(|record| record.last_end.clone());
    FunctionStatus {
        name: name.to_string(),
        state,
        role: place.map(|place| place.role),
        epoch: place.and_then(|place| place.epoch),
        protected: place.and_then(|place| place.protected).filter(|_| is_serving),
        pid: record.as_ref().filter(|_| is_alive).map(|record| i64::from(record.pid)),
        restarts: record.as_ref().map_or(0, |record| i32::try_from(record.restarts).unwrap_or(i32::MAX)),
        last_exit: last_end.map(|end| LastExit { time: rfc3339(end.time), reason: end.reason }),
        addresses: addresses(context, name),
        since: started,
        message,
    }
}

/// Where a process was told to listen.
fn addresses(context: &Context, name: ProcessName) -> Vec<String> {
    let text = std::fs::read_to_string(context.places.config_file(name)).unwrap_or_default();
    if name == ProcessName::Witness {
        let witness = crds::yaml::typed::<Witness>("configuration", &text);
        return witness.into_iter().map(|witness| witness.control_address.to_string()).collect();
    }
    let Ok(config) = crds::yaml::typed::<Config>("configuration", &text) else { return Vec::new() };
    let diameter = config.diameter.iter().flat_map(|diameter| &diameter.listen);
    config.listen.iter().map(|listen| &listen.address).chain(diameter).map(ToString::to_string).collect()
}

fn render(shown: &Shown, events: usize) -> String {
    let now = Timestamp::now();
    let mut text = String::new();
    let Some(core) = &shown.document.core else {
        return "the controller runs, but no resource has been accepted".into();
    };
    let status = core.status.clone().unwrap_or_default();
    let name = core.metadata.name.as_deref().unwrap_or_default();
    let ready = status.condition("Ready").map_or("nothing is known", |condition| condition.message.as_str());
    text.push_str(&format!("core {name}, domain {}: {ready}\n", core.spec.home_domain));
    if let Some(degraded) = status.condition("Degraded").filter(|condition| condition.status == "True") {
        text.push_str(&format!("degraded: {}\n", degraded.message));
    }
    if let Some(protected) = status.condition("Protected").filter(|condition| condition.status == "True") {
        text.push_str(&format!("protected: {}\n", protected.message));
    }
    if let Some(rolling) = status.condition("Rolling").filter(|condition| condition.status == "True") {
        text.push_str(&format!("rolling: {}\n", rolling.message));
    }
    match &shown.document.controller {
        Some(about) => {
            text.push_str(&format!("controller: process {}, up {}\n", about.pid, ago(now, about.since)));
        }
        None => text.push_str(
            "controller: does not run; this is what can be seen without it. `up` starts it again\n",
        ),
    }
    text.push('\n');
    text.push_str(&functions(&status.functions, now));
    text.push_str(&shown.counters.render());
    text.push_str(&happenings(&shown.document.events, events));
    text
}

fn functions(functions: &[FunctionStatus], now: Timestamp) -> String {
    let has_pairs = protection::has_pairs(functions);
    let heads = ["FUNCTION", "ROLE", "STATE", "FOR", "PID", "RESTARTS", "ADDRESSES", "LAST END"];
    let shown = heads.into_iter().filter(|head| has_pairs || *head != "ROLE");
    let mut table = table(&shown.collect::<Vec<_>>());
    for function in functions {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let since =
            function.since.as_deref().and_then(time).map_or_else(String::new, |since| ago(now, since));
        let end = function.last_exit.as_ref().map_or_else(
            || "-".to_owned(),
            |end| {
                let when =
                    time(&end.time).map_or_else(String::new, |then| format!("{} ago: ", ago(now, then)));
                format!("{when}{}", end.reason)
            },
        );
        // What is told as its last end need not be told twice.
        let is_told = function.last_exit.as_ref().is_some_and(|end| end.reason == function.message);
        let state = match function.message.as_str() {
            _ if is_told => function.state.as_str().to_owned(),
            "" => function.state.as_str().to_owned(),
            message => format!("{}: {message}", function.state.as_str()),
        };
        let mut row = vec![function.name.clone()];
        row.extend(has_pairs.then(|| role(function)));
        row.extend([
            state,
            since,
            function.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            function.restarts.to_string(),
            function.addresses.join(" "),
            end,
        ]);
        table.add_row(row);
    }
    format!("{table}\n")
}

/// What a process does in its pair, and, of the one that serves, whether it may fail.
fn role(function: &FunctionStatus) -> String {
    match (function.role, function.protected) {
        (None, _) => "-".to_owned(),
        (Some(role), Some(true)) => format!("{}, protected", role.as_str()),
        (Some(role), Some(false)) => format!("{}, not protected", role.as_str()),
        (Some(role), None) => role.as_str().to_owned(),
    }
}

fn happenings(happenings: &[Happening], count: usize) -> String {
    let skip = happenings.len().saturating_sub(count);
    if count == 0 || happenings.is_empty() {
        return String::new();
    }
    let mut table = table(&["WHEN", "WHO", "WHAT", "DETAIL"]);
    for happening in &happenings[skip..] {
        let times = if happening.count > 1 { format!(" ({} times)", happening.count) } else { String::new() };
        table.add_row([
            local(happening.time),
            happening.function.map_or("core", ProcessName::as_str).to_owned(),
            happening.reason.clone(),
            format!("{}{times}", happening.message),
        ]);
    }
    format!("\n{table}\n")
}

#[cfg(test)]
mod tests {
    use crds::FunctionRole;

    use super::*;

    fn process(name: &str, role: Option<FunctionRole>, protected: Option<bool>) -> FunctionStatus {
        FunctionStatus {
            name: name.into(),
            state: FunctionState::Ready,
            role,
            epoch: None,
            protected,
            pid: Some(7),
            restarts: 0,
            last_exit: None,
            addresses: Vec::new(),
            since: None,
            message: String::new(),
        }
    }

    #[test]
    fn roles_are_shown_where_there_are_pairs_and_nowhere_else() {
        let table = functions(&[process("hss", None, None)], Timestamp::now());
        assert!(!table.contains("ROLE"), "{table}");
        let pair = [
            process("witness", None, None),
            process("hss-1", Some(FunctionRole::Standby), None),
            process("hss-2", Some(FunctionRole::Serving), Some(false)),
        ];
        let table = functions(&pair, Timestamp::now());
        for expected in ["ROLE", "standby", "serving, not protected"] {
            assert!(table.contains(expected), "{expected} is missing in\n{table}");
        }
    }
}
