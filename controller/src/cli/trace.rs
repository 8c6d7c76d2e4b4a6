//! `evertone trace`: what happened to a subscriber or in a call, as one ladder across all functions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use node::config::{Config, FunctionKind};
use plan::ProcessName;

use super::context::Context;
use super::instances;
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
        let (memory, reasons) = ask_all(context, kind, &arguments.key).await;
        records.extend(memory.map(|memory| (kind, memory)));
        silent.extend(reasons);
    }
    let key = arguments.key.trim();
    let mut identities = BTreeSet::from([identity_core(key).to_owned()]);
    // SIP names the private identity in credentials alone, which are not told: Diameter knows whose it is.
    for public in public_identities(&records, key).into_iter().take(OTHERS_MAX) {
        if !identities.insert(identity_core(&public).to_owned()) {
            continue;
        }
        for (kind, memory) in &mut records {
            add(memory, ask_all(context, *kind, &public).await.0.unwrap_or_else(forgotten));
        }
    }
    let call_ids: BTreeSet<String> = messages(&records).map(|told| told.call_id.clone()).collect();
    add_others(context, &others(&records, &identities), &mut records).await;
    let mut addresses = Addresses::new();
    for name in instances::all(context) {
        let Some(kind) = name.kind() else { continue };
        match listening(&context.places.config_file(name)) {
            Ok(listening) => addresses.extend(listening.into_iter().map(|address| (address, kind))),
            Err(reason) => silent.push(format!("{name}: {reason}")),
        }
    }
    let mut found: Vec<Story> = stories(&records, &addresses);
    found.retain(|story| is_asked_for(story, &call_ids, &identities));
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

/// What all processes of a function remember, as one memory; and who of them does not answer, and why.
async fn ask_all(context: &Context, kind: FunctionKind, key: &str) -> (Option<Memory>, Vec<String>) {
    let mut known: Option<Memory> = None;
    let mut silent = Vec::new();
    for name in instances::of(context, kind) {
        match (ask(context, name, key).await, &mut known) {
            (Ok(memory), None) => known = Some(memory),
            (Ok(memory), Some(known)) => add(known, memory),
            (Err(reason), _) => silent.push(format!("{name}: {reason}")),
        }
    }
    // What one of a pair does not tell, the other one may not know.
    if let (Some(known), false) = (&mut known, silent.is_empty()) {
        add(known, forgotten());
    }
    (known, silent)
}

async fn ask(context: &Context, name: ProcessName, key: &str) -> Result<Memory, String> {
    let path = format!("/trace?key={}", http::percent_encoded(key));
    match http::get(&context.places.socket(name), &path, PATIENCE).await {
        Ok(answer) if answer.is_success() => answer.json().map_err(|error| error.to_string()),
        Ok(answer) => Err(answer.text()),
        Err(error) => Err(error.to_string()),
    }
}

/// So many identities are asked for.
const OTHERS_MAX: usize = 16;

fn messages(records: &[(FunctionKind, Memory)]) -> impl Iterator<Item = &Told> {
    records.iter().flat_map(|(_, memory)| &memory.messages)
}

/// Whose private identity this is.
fn public_identities(records: &[(FunctionKind, Memory)], private: &str) -> BTreeSet<String> {
    let told = messages(records).filter(|told| told.private_identity == private);
    told.map(|told| told.public_identity.clone()).filter(|public| !public.is_empty()).collect()
}

/// The other sides of the calls, the latest first.
fn others(records: &[(FunctionKind, Memory)], identities: &BTreeSet<String>) -> Vec<String> {
    let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
    for told in messages(records) {
        for identity in [&told.from, &told.to].map(|text| identity_core(text)) {
            let time = latest.entry(identity).or_default();
            *time = told.time_micros.max(*time);
        }
    }
    latest.retain(|identity, _| !identity.is_empty() && !identities.contains(*identity));
    let mut others: Vec<(&str, u64)> = latest.into_iter().collect();
    others.sort_by_key(|(_, time)| Reverse(*time));
    others.into_iter().map(|(identity, _)| identity.to_owned()).collect()
}

/// The HSS knows no calls: what it did for the other sides is asked for by their identities. So are the functions that ask
/// the HSS: only who knows all that they worked on can tell for which of it they asked.
async fn add_others(context: &Context, others: &[String], records: &mut [(FunctionKind, Memory)]) {
    let (asked, left) = others.split_at(others.len().min(OTHERS_MAX));
    for (kind, memory) in records.iter_mut().filter(|(kind, _)| *kind != FunctionKind::Pcscf) {
        let mut answers = Vec::new();
        for other in asked {
            answers.push(ask_all(context, *kind, other).await.0.unwrap_or_else(forgotten));
        }
        answers.extend((!left.is_empty()).then(forgotten));
        for mut answer in answers {
            // The CSCFs have told all of the call itself already.
            if *kind != FunctionKind::Hss {
                answer.since_micros = 0;
            }
            add(memory, answer);
        }
    }
}

/// What is known of a function that was not asked, or did not answer.
fn forgotten() -> Memory {
    Memory { since_micros: u64::MAX, messages: Vec::new() }
}

fn add(memory: &mut Memory, more: Memory) {
    memory.since_micros = memory.since_micros.max(more.since_micros);
    let fresh: Vec<Told> = more.messages.into_iter().filter(|told| !memory.messages.contains(told)).collect();
    memory.messages.extend(fresh);
}

/// The calls that the first answers told of, and what no call caused for these identities. What the others did besides is
/// known only to be told apart.
fn is_asked_for(story: &Story, call_ids: &BTreeSet<String>, identities: &BTreeSet<String>) -> bool {
    let is_about = |told: &Told| {
        [&told.public_identity, &told.private_identity]
            .iter()
            .any(|identity| identities.contains(identity_core(identity)))
    };
    match story.call_id.as_str() {
        "" => story.arrows.iter().any(|arrow| is_about(&arrow.told)),
        call_id => call_ids.contains(call_id),
    }
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

    fn told(time_micros: u64, from: &str, call_id: &str) -> Told {
        Told {
            time_micros,
            direction: "received".into(),
            protocol: "UDP".into(),
            peer: "127.0.0.1:5080".into(),
            summary: "INVITE sip:bob@a.b SIP/2.0".into(),
            call_id: call_id.into(),
            from: from.into(),
            to: "<sip:bob@a.b>".into(),
            ..Told::default()
        }
    }

    fn cx(public: &str, private: &str) -> Told {
        Told {
            direction: "sent".into(),
            protocol: "Diameter".into(),
            peer: "scscf.a.b".into(),
            summary: "RTR".into(),
            public_identity: public.into(),
            private_identity: private.into(),
            ..Told::default()
        }
    }

    fn memory(messages: Vec<Told>) -> Memory {
        Memory { since_micros: 5, messages }
    }

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_private_identity_leads_to_the_public_one() {
        let answer =
            memory(vec![cx("sip:bob@a.b", "4711@a.b"), cx("", "4711@a.b"), cx("sip:eve@a.b", "4712@a.b")]);
        assert_eq!(public_identities(&[(FunctionKind::Hss, answer)], "4711@a.b"), set(&["sip:bob@a.b"]));
    }

    #[test]
    fn the_latest_of_the_other_sides_are_asked_first() {
        let messages = vec![
            told(1, "<sip:eve@a.b>", "c1"),
            told(2, "<sip:ann@a.b>", "c2"),
            told(3, "<sip:eve@a.b>", "c3"),
        ];
        let records = [(FunctionKind::Scscf, memory(messages))];
        assert_eq!(others(&records, &set(&["bob@a.b"])), ["eve@a.b", "ann@a.b"]);
    }

    #[test]
    fn a_function_that_was_not_asked_for_all_has_lost_nothing() {
        let mut known = memory(vec![told(1, "<sip:eve@a.b>", "c1")]);
        add(&mut known, memory(vec![told(1, "<sip:eve@a.b>", "c1"), told(2, "<sip:ann@a.b>", "c2")]));
        assert_eq!((known.since_micros, known.messages.len()), (5, 2));
        add(&mut known, forgotten());
        assert_eq!((known.since_micros, known.messages.len()), (u64::MAX, 2));
    }

    #[test]
    fn other_calls_of_the_other_side_stay_out() {
        let hss = memory(vec![cx("sip:bob@a.b", "4711@a.b"), cx("sip:eve@a.b", "4712@a.b")]);
        let messages = vec![told(1, "<sip:alice@a.b>", "c1"), told(2, "<sip:eve@a.b>", "c2")];
        let records = [(FunctionKind::Icscf, memory(messages)), (FunctionKind::Hss, hss)];
        let cases = [(set(&["c1"]), set(&["c1"]), 1), (set(&["c1", "c2"]), set(&["bob@a.b"]), 3)];
        for (call_ids, identities, count) in cases {
            let mut found = stories(&records, &Addresses::new());
            found.retain(|story| is_asked_for(story, &call_ids, &identities));
            assert_eq!(found.len(), count, "{identities:?}");
        }
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("icscf.yaml");
        assert!(listening(&file).is_err_and(|reason| reason.contains("cannot be read")));
        std::fs::write(&file, "listen: nowhere").expect("it is written");
        assert!(listening(&file).is_err_and(|reason| reason.contains("icscf.yaml")));
    }
}
