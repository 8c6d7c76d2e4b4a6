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
    /// SIP: Route, Path, Contact and their kin; Expires.
    pub routing: Vec<String>,
    /// SIP: Warning and Reason.
    pub reasons: Vec<String>,
    /// Diameter: end-to-end identifier, the same at both sides and in request and answer.
    pub end_to_end: Option<u32>,
    /// Diameter: private identity.
    pub private_identity: String,
    /// Diameter: public identity.
    pub public_identity: String,
}

/// What a function has told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Memory {
    /// Microseconds since 1970 from which on no message that was asked for is missing.
    pub since_micros: u64,
    /// The messages.
    pub messages: Vec<Told>,
}

/// Was a message received?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Yes, or the receiver is none of ours and cannot be asked.
    Seen,
    /// One of ours sent it to one of ours that remembers that time, but not the message.
    Lost,
    /// The receiver does not answer, or does not remember that time.
    Forgotten,
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
    /// Was it received?
    pub arrival: Arrival,
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

    /// SIP: is it a REGISTER that takes its contacts away (RFC 3261 §10.2.2)?
    pub fn is_deregistration(&self) -> bool {
        let headers = || {
            let parts = self.told.routing.iter().filter_map(|line| line.split_once(':'));
            parts.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim()))
        };
        let is_over = headers().any(|(name, value)| name == "expires" && value == "0");
        let is_away = |value: &str| {
            let contact = sip::NameAddress::parse(value);
            contact
                .and_then(|contact| contact.parameters.value("expires"))
                .map_or(is_over, |value| value == "0")
        };
        let mut contacts = headers()
            .filter(|(name, _)| name == "contact" || name == "m")
            .map(|(_, value)| is_away(value))
            .peekable();
        self.method() == "REGISTER" && contacts.peek().is_some() && contacts.all(|is_away| is_away)
    }

    /// Is it a request? Of Diameter, commands are called so: UAR, UAA.
    pub fn is_request(&self) -> bool {
        if self.is_diameter() { self.method().ends_with('R') } else { self.status().is_none() }
    }

    /// Diameter: what it is about, or the result.
    fn about(&self) -> &str {
        self.told.summary.split_whitespace().nth(1).unwrap_or_default()
    }

    /// Diameter: did no device cause it? The HSS begins it, or the S-CSCF when a time is over or a connection is gone.
    fn has_no_call(&self) -> bool {
        match self.method() {
            "RTR" | "RTA" | "PPR" | "PPA" => true,
            "SAR" => matches!(
                self.about(),
                "AUTHENTICATION_TIMEOUT" | "TIMEOUT_DEREGISTRATION" | "USER_DEREGISTRATION"
            ),
            _ => false,
        }
    }

    /// Diameter: are these a request and its answer?
    fn is_exchanged_with(&self, other: &Arrow) -> bool {
        self.is_diameter()
            && other.is_diameter()
            && exchange(&self.told) == exchange(&other.told)
            && self.micros.abs_diff(other.micros) <= IDENTIFIER_KEPT_MICROS
    }

    /// Is it known that it did not arrive?
    pub fn is_lost(&self) -> bool {
        self.arrival == Arrival::Lost
    }

    fn key(&self) -> Key {
        key(&self.told)
    }
}

/// The same for both records of one message, and for no other message.
type Key = (String, String, String, String, Option<u32>);

fn key(told: &Told) -> Key {
    let told = told.clone();
    match told.protocol.as_str() {
        "Diameter" => {
            (told.summary, told.private_identity, told.public_identity, String::new(), told.end_to_end)
        }
        // The devices of a forked call answer with the same branch, each with a To tag of its own.
        _ => (
            told.summary,
            told.call_id,
            told.cseq,
            format!("{} {}", told.branch, tag(&told.to).unwrap_or_default()),
            None,
        ),
    }
}

/// The tag of a From or To: the same for all that one side of a call sends.
fn tag(address: &str) -> Option<&str> {
    sip::NameAddress::parse(address)?.tag()
}

/// The same for a Diameter request and its answer.
fn exchange(told: &Told) -> Key {
    let mut told = told.clone();
    told.summary = told.summary.chars().take(2).collect();
    key(&told)
}

/// RFC 6733 §3: an end-to-end identifier may be used anew after four minutes.
const IDENTIFIER_KEPT_MICROS: u64 = 240_000_000;

/// One call, registration or other exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Its Call-ID; empty for a Diameter exchange that no device caused.
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
pub fn stories(records: &[(FunctionKind, Memory)], addresses: &Addresses) -> Vec<Story> {
    let grouped = group(arrows(records, addresses));
    let mut stories: Vec<Story> = grouped.into_iter().flat_map(Story::into_registrations).collect();
    stories.sort_by_key(|story| story.arrows.first().map(|arrow| arrow.micros));
    stories
}

fn arrows(records: &[(FunctionKind, Memory)], addresses: &Addresses) -> Vec<Arrow> {
    let mut all: Vec<(FunctionKind, &Told)> = records
        .iter()
        .flat_map(|(kind, memory)| memory.messages.iter().map(move |told| (*kind, told)))
        .collect();
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
            let peer = party(told, addresses);
            let is_it = |(sender, sent): &(FunctionKind, &Told)| {
                let is_sender = match peer {
                    Party::Function(known) => *sender == known,
                    Party::Device(_) => sender != kind,
                };
                let apart = sent.time_micros.abs_diff(told.time_micros);
                is_sender && (told.protocol != "Diameter" || apart <= IDENTIFIER_KEPT_MICROS)
            };
            // Of several copies the one sent last before: an earlier one was lost. The clocks of two recorders may
            // disagree by a little.
            let position = waiting
                .iter()
                .rposition(|copy| is_it(copy) && copy.1.time_micros <= told.time_micros)
                .or_else(|| waiting.iter().position(is_it))?;
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
            arrival: Arrival::Seen,
            told: message.clone(),
        });
    }
    for (kind, told) in sent.into_values().flatten() {
        let to = party(told, addresses);
        arrows.push(Arrow {
            micros: told.time_micros,
            from: Party::Function(kind),
            arrival: arrival(told, &to, records),
            to,
            is_repetition: told.is_retransmission,
            told: told.clone(),
        });
    }
    arrows.sort_by_key(|arrow| arrow.micros);
    mark_repetitions(&mut arrows);
    arrows
}

/// What became of a message that nobody tells to have received.
fn arrival(told: &Told, to: &Party, records: &[(FunctionKind, Memory)]) -> Arrival {
    let Party::Function(receiver) = to else { return Arrival::Seen };
    let memory = records.iter().find(|(kind, _)| kind == receiver).map(|(_, memory)| memory);
    match memory {
        Some(memory) if memory.since_micros <= told.time_micros => Arrival::Lost,
        _ => Arrival::Forgotten,
    }
}

/// The other side of a message.
fn party(told: &Told, addresses: &Addresses) -> Party {
    if told.protocol == "Diameter" {
        // One of a pair has its number behind its name.
        let host = told.peer.split('.').next().unwrap_or_default();
        let host = host.strip_suffix("-1").or(host.strip_suffix("-2")).unwrap_or(host);
        let is_host = |kind: &&FunctionKind| host == kind.as_str() && told.peer.contains('.');
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
    let mut causes = Causes::default();
    for arrow in arrows {
        let call_id =
            if arrow.is_diameter() { causes.call_of(&arrow) } else { Some(arrow.told.call_id.clone()) };
        causes.note(&arrow);
        let is_its = |story: &&mut Story| match &call_id {
            Some(call_id) => story.call_id == *call_id && !story.arrows[0].is_diameter(),
            None => arrow.is_exchanged_with(&story.arrows[0]),
        };
        match stories.iter_mut().rev().find(is_its) {
            Some(story) => story.arrows.push(arrow),
            // It belongs to a call that was not asked for.
            None if call_id.is_none() && !arrow.has_no_call() => {}
            None => stories.push(Story { call_id: call_id.unwrap_or_default(), arrows: vec![arrow] }),
        }
    }
    stories
}

/// How long after a SIP message a Diameter message may still belong to it: longer than any transaction.
const DIAMETER_AFTER_MICROS: u64 = 32_000_000;

/// Diameter names no call. A request belongs to the SIP request that made its sender ask: the latest one at that function
/// that would cause it, names its identity and has no final answer yet. An answer belongs where its request does.
#[derive(Default)]
struct Causes {
    /// SIP requests to functions, the oldest first.
    requests: Vec<Cause>,
    /// The calls of Diameter requests.
    exchanges: BTreeMap<Key, Option<String>>,
}

struct Cause {
    at: FunctionKind,
    micros: u64,
    finished_micros: Option<u64>,
    call_id: String,
    cseq: String,
    branch: String,
    is_registration: bool,
    /// The text that names its identities.
    names: String,
}

impl Causes {
    fn note(&mut self, arrow: &Arrow) {
        let told = &arrow.told;
        match (&arrow.to, &arrow.from, arrow.status()) {
            _ if arrow.is_diameter() || arrow.is_repetition => {}
            (Party::Function(at), _, None) if arrow.method() != "ACK" => self.requests.push(Cause {
                at: *at,
                micros: arrow.micros,
                finished_micros: None,
                call_id: told.call_id.clone(),
                cseq: told.cseq.clone(),
                branch: told.branch.clone(),
                is_registration: arrow.method() == "REGISTER",
                names: format!("{} {} {}", told.from, told.to, told.summary),
            }),
            (_, Party::Function(from), Some(200..)) => {
                let is_answered = |cause: &&mut Cause| {
                    (cause.at, &cause.call_id, &cause.cseq, &cause.branch)
                        == (*from, &told.call_id, &told.cseq, &told.branch)
                };
                self.requests.iter_mut().filter(is_answered).for_each(|cause| {
                    cause.finished_micros.get_or_insert(arrow.micros);
                });
            }
            _ => {}
        }
    }

    fn call_of(&mut self, arrow: &Arrow) -> Option<String> {
        let is_request = arrow.is_request();
        let exchange = exchange(&arrow.told);
        if let (false, Some(call_id)) = (is_request, self.exchanges.get(&exchange)) {
            return call_id.clone();
        }
        let Party::Function(asker) = (if is_request { &arrow.from } else { &arrow.to }) else { return None };
        let cause = self.requests.iter().rev().find(|cause| cause.at == *asker && cause.has_caused(arrow));
        let call_id = cause.map(|cause| cause.call_id.clone());
        if is_request {
            self.exchanges.insert(exchange, call_id.clone());
        }
        call_id
    }
}

impl Cause {
    fn has_caused(&self, diameter: &Arrow) -> bool {
        let told = &diameter.told;
        let about = diameter.about();
        let is_cause = match diameter.method() {
            "UAR" | "UAA" | "MAR" | "MAA" => self.is_registration,
            "LIR" | "LIA" => !self.is_registration,
            "SAR" => match about {
                "UNREGISTERED_USER" => !self.is_registration,
                "NO_ASSIGNMENT" => true,
                "AUTHENTICATION_TIMEOUT" | "TIMEOUT_DEREGISTRATION" => false,
                _ => self.is_registration,
            },
            "SAA" => true,
            _ => false,
        };
        // The S-CSCF tells the HSS of a registration that came to nothing after it has answered the device.
        let is_told_late = about == "AUTHENTICATION_FAILURE";
        let end = match self.finished_micros {
            Some(finished) if !is_told_late => finished,
            _ => self.micros.saturating_add(DIAMETER_AFTER_MICROS),
        };
        let is_named = [&told.public_identity, &told.private_identity].iter().any(|identity| {
            let core = identity_core(identity);
            !core.is_empty() && is_named(&self.names, core)
        });
        is_cause && is_named && (self.micros..=end).contains(&diameter.micros)
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

/// Does the text hold this identity, and not as the end of another (`bob@a.b` in `jimbob@a.b`)? A number may have a host.
fn is_named(text: &str, identity: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "-._+".contains(c);
    text.match_indices(identity)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + identity.len()..].starts_with(is_part))
}

/// `user@host` or the number of a URI or an address with one, without scheme and parameters.
pub fn identity_core(identity: &str) -> &str {
    let uri = draw::address(identity);
    ["sip:", "sips:", "tel:"].iter().find_map(|scheme| uri.strip_prefix(scheme)).unwrap_or(uri)
}

#[cfg(test)]
mod tests;
