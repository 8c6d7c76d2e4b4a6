//! REGISTERs out of captures: pcap, pcapng, text, or the wire. Foreign bytes: never panics, everything bounded.

pub mod live;
mod packet;
mod pcap;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Result, bail};
pub use packet::{Link, Segment, Transport};

/// A captured REGISTER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Where it was seen, for people.
    pub title: String,
    /// The message as text.
    pub text: String,
    /// Does it answer a challenge?
    pub answers_challenge: bool,
    /// The AKA challenge that followed and that the device has not answered: it refuses it, or is a tool that gives up.
    pub unanswered: Option<Challenge>,
    /// Was it refused for good (403)? Without a challenge before, the identity or the domain is wrong.
    pub is_refused: bool,
    /// Call-ID and CSeq: the same request is seen on every hop.
    identity: (String, String),
}

/// What a 401 asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    algorithm: String,
}

/// So much of one TCP direction is put together: a registration is far shorter.
const STREAM_BYTES_MAX: usize = 4 << 20;
/// A capture of more REGISTERs than these is a load test, not a fault.
const REGISTERS_MAX: usize = 1000;

/// The REGISTERs of a capture file, each once, in order.
///
/// # Errors
/// When the file is neither a capture nor text with a REGISTER.
pub fn registers(bytes: &[u8]) -> Result<Vec<Register>> {
    if !pcap::is_capture(bytes) {
        let text = String::from_utf8_lossy(bytes);
        let found = of_text(&text);
        if found.is_empty() {
            bail!("it is no pcap or pcapng file, and as text it has no line that begins with REGISTER");
        }
        return Ok(found);
    }
    let mut collector = Collector::default();
    for (link, frame) in pcap::frames(bytes)? {
        if let Some(segment) = packet::segment(link, frame) {
            collector.take(&segment);
        }
    }
    Ok(collector.finish())
}

/// REGISTERs in pasted text: each from its start line to the blank line.
fn of_text(text: &str) -> Vec<Register> {
    let mut collector = Collector::default();
    let mut lines = text.lines().peekable();
    let mut number = 0;
    while let Some(line) = lines.next() {
        number += 1;
        if !STARTS.iter().any(|start| line.trim_start().starts_with(start)) {
            continue;
        }
        let title = format!("REGISTER in line {number}");
        let mut message = format!("{}\r\n", line.trim());
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty()) {
            number += 1;
            // A folded line keeps its blank; pasted indentation of a header goes.
            let is_header = line.trim_start().split_once(':').is_some_and(|(name, _)| !name.contains(' '));
            let line = if is_header { line.trim_start() } else { line };
            message.push_str(line.trim_end());
            message.push_str("\r\n");
        }
        message.push_str("\r\n");
        collector.add(title, &message);
    }
    collector.finish()
}

/// Collects REGISTERs from segments in the order they were captured.
#[derive(Debug, Default)]
pub struct Collector {
    found: Vec<Register>,
    challenges: BTreeMap<String, Challenge>,
    /// Call-ID and CSeq of what was answered with 403.
    refused: BTreeSet<(String, String)>,
    streams: BTreeMap<(SocketAddr, SocketAddr), Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    next_sequence: Option<u32>,
    bytes: Vec<u8>,
}

impl Collector {
    /// Takes in one segment.
    pub fn take(&mut self, segment: &Segment<'_>) {
        let title = format!("REGISTER from {} to {}", segment.source, segment.destination);
        match segment.transport {
            Transport::Udp => {
                let text = String::from_utf8_lossy(segment.payload);
                self.add(title, &text);
            }
            Transport::Tcp { sequence } => {
                let stream = self.streams.entry((segment.source, segment.destination)).or_default();
                let bytes = stream.take(sequence, segment.payload);
                for message in bytes {
                    self.add(title.clone(), &message);
                }
            }
        }
    }

    /// What was found so far, with the challenges that nobody answered.
    pub fn finish(&self) -> Vec<Register> {
        let is_answered = |call_id: &str| {
            self.found.iter().any(|register| register.answers_challenge && register.identity.0 == call_id)
        };
        let mut found = self.found.clone();
        for register in &mut found {
            let call_id = &register.identity.0;
            register.is_refused = self.refused.contains(&register.identity);
            register.unanswered = self.challenges.get(call_id).filter(|_| !is_answered(call_id)).cloned();
        }
        found
    }

    fn add_challenge(&mut self, message: &str) {
        let value = header(message, "www-authenticate", "");
        let challenge = Challenge {
            realm: parameter(&value, "realm"),
            nonce: parameter(&value, "nonce"),
            algorithm: parameter(&value, "algorithm"),
        };
        let is_aka = challenge.algorithm.to_ascii_lowercase().starts_with("akav");
        if is_aka && self.challenges.len() < REGISTERS_MAX {
            self.challenges.insert(header(message, "call-id", "i"), challenge);
        }
    }

    fn add(&mut self, title: String, message: &str) {
        if message.starts_with("SIP/2.0 401") {
            self.add_challenge(message);
        }
        let identity = (header(message, "call-id", "i"), header(message, "cseq", ""));
        if message.starts_with("SIP/2.0 403") && self.refused.len() < REGISTERS_MAX {
            self.refused.insert(identity);
            return;
        }
        if !message.starts_with("REGISTER ") || self.found.len() >= REGISTERS_MAX {
            return;
        }
        if self.found.iter().any(|known| known.identity == identity) {
            return;
        }
        let credentials = header(message, "authorization", "");
        let has = |name: &str| credentials.to_ascii_lowercase().contains(name);
        let answers_challenge = (has("response=") && has("nonce=")) && !has("nonce=\"\"");
        self.found.push(Register {
            title,
            text: message.to_owned(),
            answers_challenge,
            unanswered: None,
            is_refused: false,
            identity,
        });
    }
}

impl Stream {
    /// Puts a segment in its place; gives back the REGISTERs that are whole now. A hole ends what was collected.
    fn take(&mut self, sequence: u32, payload: &[u8]) -> Vec<String> {
        let expected = self.next_sequence.unwrap_or(sequence);
        let skip = expected.wrapping_sub(sequence) as usize;
        let fresh = if sequence == expected {
            payload
        } else if skip < payload.len() {
            // Sent again, with more behind it.
            &payload[skip..]
        } else if expected.wrapping_sub(sequence) < 1 << 31 {
            return Vec::new();
        } else {
            self.bytes.clear();
            payload
        };
        // RFC 9293: sequence numbers wrap. A payload is shorter than 2³².
        self.next_sequence = Some(sequence.wrapping_add(payload.len() as u32));
        self.bytes.extend_from_slice(fresh);
        let mut whole = Vec::new();
        while let Some(start) = STARTS.iter().filter_map(|start| find(&self.bytes, start.as_bytes())).min() {
            let Some(end) = find(&self.bytes[start..], b"\r\n\r\n") else { break };
            whole.push(String::from_utf8_lossy(&self.bytes[start..start + end + 4]).into_owned());
            self.bytes.drain(..start + end + 4);
        }
        if self.bytes.len() > STREAM_BYTES_MAX {
            self.bytes.clear();
        }
        whole
    }
}

/// The start lines that matter.
const STARTS: [&str; 3] = ["REGISTER ", "SIP/2.0 401", "SIP/2.0 403"];

impl Register {
    /// The public identity in To.
    pub fn public_identity(&self) -> String {
        crate::ladder::address(&header(&self.text, "to", "t")).to_owned()
    }

    /// What a device that refuses the challenge sends (TS 33.203 §6.1.2.2: an empty response): the unanswered challenge,
    /// so that it can be judged like an answer.
    pub fn as_refusal(&self, challenge: &Challenge, private_identity: &str) -> String {
        let Challenge { realm, nonce, algorithm } = challenge;
        let uri = self.text.split_whitespace().nth(1).unwrap_or_default();
        let (start_line, rest) = self.text.split_once("\r\n").unwrap_or((&self.text, ""));
        format!(
            "{start_line}\r\nAuthorization: Digest username=\"{private_identity}\", realm=\"{realm}\", \
             nonce=\"{nonce}\", algorithm={algorithm}, uri=\"{uri}\", response=\"\"\r\n{rest}"
        )
    }

    /// Does it name this identity, as user name or in To?
    pub fn is_of(&self, identity: &str) -> bool {
        let bare = identity.trim_start_matches("sip:").trim_start_matches("tel:").to_ascii_lowercase();
        ["authorization", "to"]
            .iter()
            .any(|name| header(&self.text, name, "t").to_ascii_lowercase().contains(&bare))
    }
}

/// The value of a header; the last of several Authorizations, which is the one that answers.
fn header(message: &str, name: &str, short: &str) -> String {
    let matches = |line: &&str| {
        line.split_once(':').is_some_and(|(found, _)| {
            let found = found.trim();
            found.eq_ignore_ascii_case(name) || (!short.is_empty() && found.eq_ignore_ascii_case(short))
        })
    };
    let found = message.lines().take_while(|line| !line.is_empty()).filter(matches).last();
    found.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// A parameter of a challenge, without its quotes.
fn parameter(value: &str, name: &str) -> String {
    let found = value.split([',', ' ']).find_map(|part| {
        let (found, value) = part.trim().split_once('=')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_matches('"').to_owned())
    });
    found.unwrap_or_default()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REGISTER: &str = "REGISTER sip:a.b SIP/2.0\r\nTo: <sip:bob@a.b>\r\nCall-ID: 1\r\nCSeq: 2 REGISTER\r\n\
        Authorization: Digest username=\"bob@a.b\", nonce=\"x\", response=\"y\"\r\n\r\n";

    /// An Ethernet frame with IPv4 and UDP or TCP around `payload`.
    fn frame(protocol: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut transport = vec![0x13, 0xc4, 0x0f, 0xdc];
        match protocol {
            17 => {
                transport.extend((payload.len() as u16 + 8).to_be_bytes());
                transport.extend([0, 0]);
            }
            _ => {
                transport.extend(sequence.to_be_bytes());
                transport.extend([0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0]);
            }
        }
        transport.extend(payload);
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((transport.len() as u16 + 20).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, protocol, 0, 0, 127, 0, 0, 1, 127, 0, 0, 11]);
        frame.extend(transport);
        frame
    }

    fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        bytes.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0]);
        for frame in frames {
            bytes.extend([0; 8]);
            bytes.extend((frame.len() as u32).to_le_bytes());
            bytes.extend((frame.len() as u32).to_le_bytes());
            bytes.extend(frame);
        }
        bytes
    }

    #[test]
    fn a_register_over_udp_is_found_once_although_it_is_seen_on_two_hops() {
        let frame = frame(17, 0, REGISTER.as_bytes());
        let found = registers(&pcap(&[frame.clone(), frame])).expect("it is a capture");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].title, "REGISTER from 127.0.0.1:5060 to 127.0.0.11:4060");
        assert!(found[0].answers_challenge && found[0].is_of("sip:bob@a.b") && !found[0].is_of("eve@a.b"));
    }

    #[test]
    fn a_register_over_tcp_is_put_together_also_when_a_part_is_sent_twice() {
        let (first, second) = REGISTER.as_bytes().split_at(40);
        let frames = [frame(6, 100, first), frame(6, 100, first), frame(6, 140, second)];
        let found = registers(&pcap(&frames)).expect("it is a capture");
        assert_eq!(found.iter().map(|register| register.text.as_str()).collect::<Vec<_>>(), [REGISTER]);
    }

    #[test]
    fn a_register_is_found_in_pasted_text() {
        let text = format!("some words\n\n  {}\nmore words\n", REGISTER.replace("\r\n", "\n  "));
        let found = registers(text.as_bytes()).expect("there is one");
        assert_eq!(found.iter().map(|register| register.text.as_str()).collect::<Vec<_>>(), [REGISTER]);
        assert!(registers(b"nothing").is_err());
    }

    #[test]
    fn a_challenge_that_nobody_answered_is_told_as_a_refusal() {
        let first = "REGISTER sip:a.b SIP/2.0\r\nTo: <sip:bob@a.b>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\r\n";
        let challenge = "SIP/2.0 401 Unauthorized\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\
            WWW-Authenticate: Digest realm=\"a.b\", nonce=\"QUJD\", algorithm=AKAv1-MD5\r\n\r\n";
        let found = registers(&pcap(&[frame(17, 0, first.as_bytes()), frame(6, 1, challenge.as_bytes())]));
        let found = found.expect("it is a capture");
        let unanswered = found[0].unanswered.clone().expect("nobody answered");
        let refusal = found[0].as_refusal(&unanswered, "bob@a.b");
        assert!(refusal.contains("username=\"bob@a.b\", realm=\"a.b\", nonce=\"QUJD\""), "{refusal}");
        let frames = [first, challenge, REGISTER].map(|message| frame(17, 0, message.as_bytes()));
        let found = registers(&pcap(&frames)).expect("it is a capture");
        assert!(found.iter().all(|register| register.unanswered.is_none()), "it was answered");
    }

    #[test]
    fn a_register_that_was_refused_at_once_is_told_from_one_that_waits() {
        let first = "REGISTER sip:a.b SIP/2.0\r\nTo: <sip:bob@a.b>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n\r\n";
        let refusal =
            |call_id| format!("SIP/2.0 403 Forbidden\r\nCall-ID: {call_id}\r\nCSeq: 1 REGISTER\r\n\r\n");
        for (call_id, is_refused) in [(1, true), (2, false)] {
            let refusal = refusal(call_id);
            let frames = [frame(17, 0, first.as_bytes()), frame(6, 1, refusal.as_bytes())];
            for capture in [pcap(&frames), format!("{first}{refusal}").into_bytes()] {
                let found = registers(&capture).expect("it is a capture");
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].is_refused, is_refused, "the refusal of Call-ID {call_id}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..300) {
            let _ = registers(&bytes);
            let mut capture = pcap(&[frame(6, 1, REGISTER.as_bytes()), frame(17, 0, REGISTER.as_bytes())]);
            for (position, byte) in bytes.iter().enumerate().take(20) {
                let length = capture.len();
                capture[(position * 37 + cut) % length] ^= byte;
            }
            let _ = registers(&capture);
            let _ = registers(&capture[..cut]);
        }
    }
}
