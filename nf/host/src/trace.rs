//! The flight recorder: the last SIP and Diameter messages of this process, for `evertone trace`.
//!
//! Recording costs one push of a shared buffer; messages are read only when somebody asks. It is bounded in number and
//! in bytes. What is told about a message are the headers that explain a procedure: credentials and challenges
//! (Authorization, WWW-Authenticate and their proxy kin), bodies and everything not listed stay inside.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use clock::WallTime;
use node::Event;
use node::wire::Transport;
use serde::Serialize;

/// Records kept.
const RECORDS_MAX: usize = 20_000;
/// Bytes of messages kept.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records told in one answer.
const ANSWER_MAX: usize = 2_000;

/// The recorder.
#[derive(Default)]
pub struct Recorder {
    /// From when on every message is remembered; unknown before the first event.
    since: Option<WallTime>,
    records: VecDeque<Record>,
    bytes: usize,
}

#[derive(Clone)]
struct Record {
    at: WallTime,
    is_received: bool,
    what: What,
}

#[derive(Clone)]
enum What {
    Sip {
        transport: Transport,
        peer: std::net::SocketAddr,
        bytes: Bytes,
        is_retransmission: bool,
    },
    Diameter {
        peer: String,
        command: &'static str,
        result: Option<String>,
        end_to_end: Option<u32>,
        private: String,
        public: String,
    },
}

/// The answer to an operator's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Wall-clock time in microseconds since 1970 from which on nothing that was asked for is missing: the process began
    /// then, or what is older has made room.
    pub since_micros: u64,
    /// The messages, oldest first.
    pub messages: Vec<Told>,
}

/// One message, as told to an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Wall-clock time in microseconds since 1970.
    pub time_micros: u64,
    /// `received` or `sent`.
    pub direction: &'static str,
    /// `UDP`, `TCP` or `Diameter`.
    pub protocol: &'static str,
    /// Address or host of the other side.
    pub peer: String,
    /// Start line, or command and result.
    pub summary: String,
    /// SIP: whether a transaction timer repeated it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_retransmission: bool,
    /// SIP: the start line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub start_line: String,
    /// SIP: Call-ID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub call_id: String,
    /// SIP: CSeq.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cseq: String,
    /// SIP: From.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// SIP: To.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// SIP: the branch of the topmost Via.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// SIP: where the message is to go and came by: Route, Record-Route, Path, Service-Route, Contact; and its Expires.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<String>,
    /// SIP: Warning and Reason, which explain a failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Diameter: end-to-end identifier, the same at both sides and in request and answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_to_end: Option<u32>,
    /// Diameter: private identity.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_identity: String,
    /// Diameter: public identity.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_identity: String,
}

impl Recorder {
    /// Records an event, if it is a message.
    pub fn on_event(&mut self, at: WallTime, event: &Event) {
        self.since.get_or_insert(at);
        let (is_received, what) = match event {
            Event::SipReceived { flow, bytes } => (true, sip(flow.transport, flow.remote, bytes, false)),
            Event::SipSent { destination, bytes, is_retransmission } => {
                (false, sip(destination.transport, destination.remote, bytes, *is_retransmission))
            }
            Event::Diameter {
                is_received,
                peer,
                command,
                result,
                end_to_end,
                private_identity,
                public_identity,
            } => {
                let text = |identity: &Option<node::event::Pii<String>>| {
                    identity.as_ref().map(|identity| identity.reveal().clone()).unwrap_or_default()
                };
                let (private, public) = (text(private_identity), text(public_identity));
                (
                    *is_received,
                    What::Diameter {
                        peer: peer.clone(),
                        command,
                        result: result.clone(),
                        end_to_end: *end_to_end,
                        private,
                        public,
                    },
                )
            }
            _ => return,
        };
        self.bytes += what.size();
        self.records.push_back(Record { at, is_received, what });
        while self.records.len() > RECORDS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.what.size();
            self.since = Some(WallTime(oldest.at.0 + 1));
        }
    }

    /// A copy to search in without keeping the loop waiting: the messages themselves are shared.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { since: self.since, records: self.records.iter().cloned().collect() }
    }
}

fn sip(transport: Transport, peer: std::net::SocketAddr, bytes: &Bytes, is_retransmission: bool) -> What {
    What::Sip { transport, peer, bytes: bytes.clone(), is_retransmission }
}

impl What {
    fn size(&self) -> usize {
        match self {
            What::Sip { bytes, .. } => bytes.len(),
            What::Diameter { peer, result, private, public, .. } => {
                peer.len() + result.as_ref().map_or(0, String::len) + private.len() + public.len()
            }
        }
    }
}

/// What was recorded up to one moment.
pub struct Snapshot {
    since: Option<WallTime>,
    records: Vec<Record>,
}

impl Snapshot {
    /// The messages of a Call-ID, or of the calls and registrations that name an identity, oldest first; the newest when
    /// there are too many. An empty key: all.
    pub fn search(&self, key: &str) -> Answer {
        let key = identity_core(key.trim());
        let (mut found, mut call_ids): (Vec<(usize, Told)>, _) = (Vec::new(), BTreeSet::new());
        for (index, record) in self.records.iter().enumerate() {
            if let What::Sip { bytes, .. } = &record.what {
                let message = record.tell();
                if key.is_empty() || message.call_id == key || names(bytes, key) {
                    call_ids.insert(message.call_id.clone());
                }
                found.push((index, message));
            }
        }
        // Whole calls: an identity may stand in some of their messages only.
        found.retain(|(_, message)| call_ids.contains(&message.call_id));
        let mut identities: BTreeSet<String> = found
            .iter()
            .flat_map(|(_, message)| [&message.from, &message.to])
            .map(|text| address_core(text).to_owned())
            .collect();
        identities.insert(key.to_owned());
        identities.remove("");
        // The Diameter messages of a Call-ID are those about its identities between its first and its last message.
        let is_identity_known = |record: &Record| match &record.what {
            What::Diameter { private, public, .. } => {
                key.is_empty()
                    || [private, public]
                        .iter()
                        .any(|name| !name.is_empty() && identities.contains(identity_core(name)))
            }
            What::Sip { .. } => false,
        };
        let span = match (found.first(), found.last()) {
            (Some(first), Some(last)) if identities.len() > 1 || identities.is_empty() => {
                Some((first.1.time_micros.saturating_sub(1_000_000), last.1.time_micros + 1_000_000))
            }
            _ => None,
        };
        for (index, record) in self.records.iter().enumerate() {
            let is_in_span = span.is_none_or(|(first, last)| (first..=last).contains(&record.at.0));
            if is_identity_known(record) && (is_in_span || record.is_about(key)) {
                found.push((index, record.tell()));
            }
        }
        found.sort_by_key(|(index, _)| *index);
        let skip = found.len().saturating_sub(ANSWER_MAX);
        let skipped = skip.checked_sub(1).map(|last| found[last].1.time_micros + 1);
        let since = self.since.map_or(u64::MAX, |since| since.0);
        Answer {
            since_micros: skipped.map_or(since, |skipped| skipped.max(since)),
            messages: found.into_iter().skip(skip).map(|(_, told)| told).collect(),
        }
    }
}

impl Record {
    fn is_about(&self, key: &str) -> bool {
        match &self.what {
            What::Diameter { private, public, .. } => {
                identity_core(private) == key || identity_core(public) == key
            }
            What::Sip { .. } => false,
        }
    }

    fn tell(&self) -> Told {
        let direction = if self.is_received { "received" } else { "sent" };
        let mut told = Told {
            time_micros: self.at.0,
            direction,
            protocol: "",
            peer: String::new(),
            summary: String::new(),
            is_retransmission: false,
            start_line: String::new(),
            call_id: String::new(),
            cseq: String::new(),
            from: String::new(),
            to: String::new(),
            branch: String::new(),
            routing: Vec::new(),
            reasons: Vec::new(),
            end_to_end: None,
            private_identity: String::new(),
            public_identity: String::new(),
        };
        match &self.what {
            What::Sip { transport, peer, bytes, is_retransmission } => {
                told.protocol = transport.as_via_token();
                told.peer = peer.to_string();
                told.is_retransmission = *is_retransmission;
                told.read_message(bytes);
            }
            What::Diameter { peer, command, result, end_to_end, private, public } => {
                told.protocol = "Diameter";
                told.peer.clone_from(peer);
                told.summary = match result {
                    Some(result) => format!("{command} {result}"),
                    None => (*command).to_owned(),
                };
                told.end_to_end = *end_to_end;
                told.private_identity.clone_from(private);
                told.public_identity.clone_from(public);
            }
        }
        told
    }
}

impl Told {
    fn read_message(&mut self, bytes: &[u8]) {
        let mut lines = header_lines(bytes);
        self.start_line = lines.next().unwrap_or_default();
        self.summary.clone_from(&self.start_line);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            match name.as_str() {
                "call-id" | "i" => self.call_id = value.to_owned(),
                "cseq" => self.cseq = value.to_owned(),
                "from" | "f" => self.from = value.to_owned(),
                "to" | "t" => self.to = value.to_owned(),
                "via" | "v" if self.branch.is_empty() => self.branch = branch_of(value).to_owned(),
                "route" | "record-route" | "path" | "service-route" | "contact" | "m" | "expires" => {
                    self.routing.push(line.clone())
                }
                "warning" | "reason" => self.reasons.push(line.clone()),
                _ => {}
            }
        }
    }
}

/// The header lines, folded ones joined (RFC 3261 §7.3.1), as text with strange bytes replaced.
fn header_lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    let mut lines: Vec<String> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(line);
        match lines.last_mut() {
            Some(last) if matches!(line[0], b' ' | b'\t') => {
                last.push(' ');
                last.push_str(text.trim());
            }
            _ => lines.push(text.into_owned()),
        }
    }
    lines.into_iter()
}

/// The value of the branch parameter of the first Via in a header value.
fn branch_of(via: &str) -> &str {
    let first = via.split(',').next().unwrap_or("");
    let parameter = |part: &'_ str| part.trim().to_ascii_lowercase().starts_with("branch=");
    first.split(';').find(|part| parameter(part)).map_or("", |part| part.trim().get(7..).unwrap_or(""))
}

/// Does a header that carries identities, or the start line, contain this one?
fn names(bytes: &[u8], key: &str) -> bool {
    const HEADERS: [&str; 12] = [
        "from",
        "f",
        "to",
        "t",
        "contact",
        "m",
        "p-asserted-identity",
        "p-preferred-identity",
        "p-called-party-id",
        "p-associated-uri",
        "refer-to",
        "p-served-user",
    ];
    let mut lines = header_lines(bytes);
    let is_in = |text: &str| text.match_indices(key).any(|(at, _)| is_whole(text, at, key.len()));
    if lines.next().is_some_and(|start_line| is_in(&start_line)) {
        return true;
    }
    lines.any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            HEADERS.contains(&name.trim().to_ascii_lowercase().as_str()) && is_in(value)
        })
    })
}

/// Is the match not a part of a longer name (`11@b` in `211@b`)?
fn is_whole(text: &str, at: usize, length: usize) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'+' | b'@');
    let bytes = text.as_bytes();
    let before = at.checked_sub(1).map(|index| bytes[index]);
    let after = bytes.get(at + length).copied();
    !before.is_some_and(is_name) && !after.is_some_and(is_name)
}

/// `user@host` or the number of a URI, without scheme and parameters.
fn identity_core(identity: &str) -> &str {
    let rest =
        ["sip:", "sips:", "tel:"].iter().find_map(|scheme| identity.strip_prefix(scheme)).unwrap_or(identity);
    rest.split([';', '?', '>']).next().unwrap_or(rest)
}

/// The same, out of a From or To.
fn address_core(value: &str) -> &str {
    let uri = value.split_once('<').map_or(value, |(_, rest)| rest);
    identity_core(uri.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::event::Pii;
    use node::wire::Flow;

    const REGISTER: &str = "REGISTER sip:ims.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;rport\r\n\
        From: <sip:11@ims.example>;tag=1\r\nTo: <sip:11@ims.example>\r\nCall-ID: one\r\nCSeq: 1 REGISTER\r\n\
        Contact: <sip:11@10.0.0.1>\r\nAuthorization: Digest username=\"11@ims.example\",\r\n response=\"5ecret\"\r\n\r\nbody";

    fn received(recorder: &mut Recorder, at: u64, message: &str) {
        let flow = Flow {
            transport: Transport::Udp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "127.0.0.9:5060".parse().unwrap(),
            connection: None,
        };
        recorder.on_event(WallTime(at), &Event::SipReceived { flow, bytes: Bytes::from(message.to_owned()) });
    }

    fn diameter(recorder: &mut Recorder, at: u64, public: &str) {
        recorder.on_event(
            WallTime(at),
            &Event::Diameter {
                is_received: false,
                peer: "hss".into(),
                command: "UAR",
                result: None,
                end_to_end: Some(at as u32),
                private_identity: None,
                public_identity: Some(Pii::new(public.into())),
            },
        );
    }

    #[test]
    fn a_call_id_finds_its_messages_and_the_diameter_messages_about_them() {
        let mut recorder = Recorder::default();
        received(&mut recorder, 10_000_000, REGISTER);
        diameter(&mut recorder, 10_000_001, "sip:11@ims.example");
        diameter(&mut recorder, 10_000_002, "sip:12@ims.example");
        diameter(&mut recorder, 90_000_000, "sip:11@ims.example");
        let told = recorder.snapshot().search("one").messages;
        assert_eq!(told.iter().map(|told| told.time_micros).collect::<Vec<_>>(), [10_000_000, 10_000_001]);
        assert_eq!(told[0].branch, "z9hG4bKa");
        assert_eq!(recorder.snapshot().search("sip:11@ims.example").messages.len(), 3);
        assert_eq!(recorder.snapshot().search("1@ims.example").messages.len(), 0);
    }

    #[test]
    fn an_identity_finds_whole_calls_though_some_of_their_messages_do_not_name_it() {
        let mut recorder = Recorder::default();
        received(&mut recorder, 1, REGISTER);
        let ok = REGISTER.replace("REGISTER sip:ims.example SIP/2.0", "SIP/2.0 200 OK");
        received(&mut recorder, 2, &ok.replace("Contact:", "P-Associated-URI: <tel:+4911>\r\nContact:"));
        received(&mut recorder, 3, &REGISTER.replace("Call-ID: one", "Call-ID: two"));
        let told = recorder.snapshot().search("tel:+4911").messages;
        assert_eq!(told.iter().map(|told| told.time_micros).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn contacts_are_told_with_how_long_they_last() {
        let mut recorder = Recorder::default();
        let leaving = REGISTER.replace("Contact: <sip:11@10.0.0.1>", "Contact: *\r\nExpires: 0");
        received(&mut recorder, 1, &leaving);
        assert_eq!(recorder.snapshot().search("one").messages[0].routing, ["Contact: *", "Expires: 0"]);
    }

    #[test]
    fn credentials_are_never_told() {
        let mut recorder = Recorder::default();
        received(&mut recorder, 1, REGISTER);
        let json = serde_json::to_string(&recorder.snapshot().search("")).unwrap();
        assert!(json.contains("REGISTER"));
        for secret in ["5ecret", "Digest", "body"] {
            assert!(!json.contains(secret), "{secret} in {json}");
        }
    }

    #[test]
    fn the_oldest_records_make_room() {
        let mut recorder = Recorder::default();
        let long = "x".repeat(BYTES_MAX / 4);
        for at in 0..6 {
            received(&mut recorder, at, &long);
        }
        assert_eq!(recorder.records.len(), 4);
        assert_eq!(recorder.records[0].at, WallTime(2));
    }

    #[test]
    fn it_is_told_from_when_on_everything_is_remembered() {
        let mut recorder = Recorder::default();
        recorder.on_event(WallTime(5), &Event::DiameterPeerUp { peer: "hss".into() });
        received(&mut recorder, 10, REGISTER);
        assert_eq!(recorder.snapshot().search("one").since_micros, 5, "since it began");
        for at in 0..4 {
            received(&mut recorder, 20 + at, &"x".repeat(BYTES_MAX / 4));
        }
        assert_eq!(recorder.snapshot().search("one").since_micros, 11, "the oldest has made room");
        let mut busy = Recorder::default();
        for at in 0..=ANSWER_MAX as u64 {
            received(&mut busy, at, REGISTER);
        }
        assert_eq!(busy.snapshot().search("one").since_micros, 1, "more than one answer holds");
    }

    #[test]
    fn request_and_answer_carry_the_end_to_end_identifier() {
        let mut recorder = Recorder::default();
        diameter(&mut recorder, 7, "sip:11@ims.example");
        assert_eq!(recorder.snapshot().search("").messages[0].end_to_end, Some(7));
    }
}
