//! From what each function saw to one story: messages of all functions, paired, grouped by call, in order of time.
//!
//! ```text
//!   records of P, I, S, HSS ─pair: sent here = received there─▶ arrows ─group by Call-ID─▶ Story ─draw─▶ ladder
//! ```
//!
//! Pure: the text depends on the records alone.

mod draw;
mod explain;
mod outcome;

pub use draw::address;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use node::config::FunctionKind;
use serde::Deserialize;

/// One message as a function's admin endpoint tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Microseconds since 1970.
    pub time_micros: u64,
    /// `received` or `sent`.
    pub direction: String,
    /// `UDP`, `TCP` or `Diameter`.
    pub protocol: String,
    /// Address or host of the other side.
    pub peer: String,
    /// Start line, or command and result.
    pub summary: String,
    /// Did a transaction timer repeat it?
    pub is_retransmission: bool,
    /// SIP: Call-ID.
    pub call_id: String,
    /// SIP: CSeq.
    pub cseq: String,
    /// SIP: From.
    pub from: String,
    /// SIP: To.
    pub to: String,
    /// SIP: the topmost branch.
    pub branch: String,
    /// SIP: Route, Path, Contact and their kin.
    pub routing: Vec<String>,
    /// SIP: Warning and Reason.
    pub reasons: Vec<String>,
    /// Diameter: private identity.
    pub private_identity: String,
    /// Diameter: public identity.
    pub public_identity: String,
}

/// Who sends and receives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A device, or whatever speaks from this address.
    Device(String),
    /// One of ours.
    Function(FunctionKind),
}

/// A message from one party to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// When it was sent, or seen first.
    pub micros: u64,
    /// From.
    pub from: Party,
    /// To.
    pub to: Party,
    /// Was it sent before?
    pub is_repetition: bool,
    /// Did one of ours send it to one of ours that did not receive it?
    pub is_lost: bool,
    /// The message.
    pub told: Told,
}

impl Arrow {
    /// Is it Diameter?
    pub fn is_diameter(&self) -> bool {
        self.told.protocol == "Diameter"
    }

    /// SIP: the status of a response.
    pub fn status(&self) -> Option<u16> {
        self.told.summary.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// SIP: the method, of a response the method it answers. Diameter: the command.
    pub fn method(&self) -> &str {
        let words =
            if self.is_diameter() || self.status().is_none() { &self.told.summary } else { &self.told.cseq };
        let mut words = words.split_whitespace();
        let word = if self.status().is_some() { words.nth(1) } else { words.next() };
        word.unwrap_or_default()
    }

    fn key(&self) -> (String, String, String, String) {
        key(&self.told)
    }
}

fn key(told: &Told) -> (String, String, String, String) {
    let told = told.clone();
    match told.protocol.as_str() {
        "Diameter" => (told.summary, told.private_identity, told.public_identity, String::new()),
        _ => (told.summary, told.call_id, told.cseq, told.branch),
    }
}

/// One call, registration or other exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Its Call-ID; empty for Diameter alone.
    pub call_id: String,
    /// What happened, in order.
    pub arrows: Vec<Arrow>,
}

impl Story {
    /// The ladder for people.
    pub fn draw(&self) -> String {
        draw::draw(self)
    }
}

/// Where each function is reached: to tell functions from devices.
pub type Addresses = BTreeMap<SocketAddr, FunctionKind>;

/// The stories in the records, the oldest first.
pub fn stories(records: &[(FunctionKind, Vec<Told>)], addresses: &Addresses) -> Vec<Story> {
    let grouped = group(arrows(records, addresses));
    let mut stories: Vec<Story> = grouped.into_iter().flat_map(Story::into_registrations).collect();
    stories.sort_by_key(|story| story.arrows.first().map(|arrow| arrow.micros));
    stories
}

fn arrows(records: &[(FunctionKind, Vec<Told>)], addresses: &Addresses) -> Vec<Arrow> {
    let mut all: Vec<(FunctionKind, &Told)> =
        records.iter().flat_map(|(kind, told)| told.iter().map(move |told| (*kind, told))).collect();
    all.sort_by_key(|(_, told)| told.time_micros);
    let mut sent: BTreeMap<_, VecDeque<(FunctionKind, &Told)>> = BTreeMap::new();
    for (kind, told) in all.iter().filter(|(_, told)| told.direction == "sent") {
        sent.entry(key(told)).or_default().push_back((*kind, told));
    }
    let mut arrows = Vec::new();
    for (kind, told) in all.iter().filter(|(_, told)| told.direction == "received") {
        let waiting = sent.get_mut(&key(told));
        let found = waiting.and_then(|waiting| {
            // By its address, so that a function that sent to itself is found; a TCP connection may have any port.
            let position = match party(told, addresses) {
                Party::Function(known) => waiting.iter().position(|(sender, _)| *sender == known)?,
                Party::Device(_) => waiting.iter().position(|(sender, _)| sender != kind)?,
            };
            waiting.remove(position)
        });
        let (from, message) = match found {
            Some((sender, message)) => (Party::Function(sender), message),
            None => (party(told, addresses), *told),
        };
        arrows.push(Arrow {
            micros: message.time_micros,
            from,
            to: Party::Function(*kind),
            is_repetition: message.is_retransmission,
            is_lost: false,
            told: message.clone(),
        });
    }
    for (kind, told) in sent.into_values().flatten() {
        let to = party(told, addresses);
        arrows.push(Arrow {
            micros: told.time_micros,
            from: Party::Function(kind),
            is_lost: matches!(to, Party::Function(_)),
            to,
            is_repetition: told.is_retransmission,
            told: told.clone(),
        });
    }
    arrows.sort_by_key(|arrow| arrow.micros);
    mark_repetitions(&mut arrows);
    arrows
}

/// The other side of a message.
fn party(told: &Told, addresses: &Addresses) -> Party {
    if told.protocol == "Diameter" {
        let is_host = |kind: &&FunctionKind| told.peer.starts_with(&format!("{}.", kind.as_str()));
        return match FunctionKind::ALL.iter().find(is_host) {
            Some(kind) => Party::Function(*kind),
            None => Party::Device(told.peer.clone()),
        };
    }
    let address = told.peer.parse::<SocketAddr>().ok();
    match address.and_then(|address| addresses.get(&address)) {
        Some(kind) => Party::Function(*kind),
        None => Party::Device(told.peer.clone()),
    }
}

/// A device's repetition is known by being the same again.
fn mark_repetitions(arrows: &mut [Arrow]) {
    let mut seen = std::collections::BTreeSet::new();
    for arrow in arrows.iter_mut().filter(|arrow| !arrow.is_diameter()) {
        let is_new = seen.insert((arrow.key(), arrow.from.clone(), arrow.to.clone()));
        arrow.is_repetition |= !is_new;
    }
}

fn group(arrows: Vec<Arrow>) -> Vec<Story> {
    let mut stories: Vec<Story> = Vec::new();
    let mut last_at: BTreeMap<FunctionKind, String> = BTreeMap::new();
    for arrow in arrows {
        let call_id = match arrow.is_diameter() {
            false => arrow.told.call_id.clone(),
            true => match call_of_diameter(&arrow, &stories, &last_at) {
                Some(call_id) => call_id,
                // What the HSS begins has no call; anything else belongs to an exchange that was not asked for.
                None if matches!(arrow.method(), "RTR" | "RTA" | "PPR" | "PPA") => String::new(),
                None => continue,
            },
        };
        if let (Party::Function(kind), false) = (&arrow.to, arrow.is_diameter()) {
            last_at.insert(*kind, call_id.clone());
        }
        match stories.iter_mut().find(|story| story.call_id == call_id) {
            Some(story) => story.arrows.push(arrow),
            None => stories.push(Story { call_id, arrows: vec![arrow] }),
        }
    }
    stories
}

/// How long after a SIP message a Diameter message may still belong to it: longer than any transaction.
const DIAMETER_AFTER_MICROS: u64 = 32_000_000;

/// Diameter names no call: it belongs to an exchange that would cause it, that names its identity and is recent; the one
/// that the function has just worked on, if it is among these.
fn call_of_diameter(
    arrow: &Arrow,
    stories: &[Story],
    last_at: &BTreeMap<FunctionKind, String>,
) -> Option<String> {
    let latest = [&arrow.from, &arrow.to].into_iter().find_map(|party| match party {
        Party::Function(kind) => last_at.get(kind),
        Party::Device(_) => None,
    });
    let fits: Vec<&Story> = stories.iter().filter(|story| story.causes(arrow)).collect();
    let story = fits.iter().find(|story| Some(&story.call_id) == latest).or(fits.last());
    story.map(|story| story.call_id.clone())
}

impl Story {
    fn causes(&self, diameter: &Arrow) -> bool {
        let (Some(first), Some(last)) = (self.arrows.first(), self.arrows.last()) else { return false };
        let is_registration = first.method() == "REGISTER";
        let is_cause = match diameter.method() {
            "UAR" | "UAA" => is_registration,
            "LIR" | "LIA" => !is_registration,
            "MAR" | "MAA" | "SAR" | "SAA" => true,
            _ => false,
        };
        let is_recent = diameter.micros.saturating_sub(last.micros) <= DIAMETER_AFTER_MICROS;
        let named = format!("{} {} {}", first.told.from, first.told.to, first.told.summary);
        let told = &diameter.told;
        let is_named = [&told.public_identity, &told.private_identity].iter().any(|identity| {
            let core = identity_core(identity);
            !core.is_empty() && named.contains(core)
        });
        is_cause && is_recent && is_named
    }
}

impl Story {
    /// A device registers again with the same Call-ID (RFC 3261 §10.2) for as long as it is switched on: each time is a
    /// story of its own.
    fn into_registrations(self) -> Vec<Story> {
        let mut stories = vec![Story { call_id: self.call_id.clone(), arrows: Vec::new() }];
        let (mut is_over, mut last_micros) = (false, 0);
        for arrow in self.arrows {
            let is_begun = arrow.method() == "REGISTER"
                && arrow.status().is_none()
                && !arrow.is_repetition
                && matches!(arrow.from, Party::Device(_));
            let is_late = arrow.micros.saturating_sub(last_micros) > DIAMETER_AFTER_MICROS;
            if is_begun
                && (is_over || is_late)
                && stories.last().is_some_and(|story| !story.arrows.is_empty())
            {
                stories.push(Story { call_id: self.call_id.clone(), arrows: Vec::new() });
                is_over = false;
            }
            let is_answered = arrow.method() == "REGISTER" && matches!(arrow.to, Party::Device(_));
            is_over |= is_answered && arrow.status().is_some_and(|status| status >= 200 && status != 401);
            last_micros = arrow.micros;
            if let Some(story) = stories.last_mut() {
                story.arrows.push(arrow);
            }
        }
        stories
    }
}

/// `user@host` or the number of a URI or an address with one, without scheme and parameters.
pub fn identity_core(identity: &str) -> &str {
    let uri = draw::address(identity);
    ["sip:", "sips:", "tel:"].iter().find_map(|scheme| uri.strip_prefix(scheme)).unwrap_or(uri)
}

#[cfg(test)]
mod tests;
