//! Somebody who sends garbage: random bytes, and damaged copies of what the devices of its own have sent and received.
//!
//! It has subscribers of its own (who may register and call each other), knows all addresses, and can send from any
//! address but those of honest devices: without IPsec, who can do that over UDP *is* the device for the P-CSCF, and who
//! reads its wire too needs no garbage. Promises to honest devices hold all the same, and nothing of it stays behind.

use std::net::SocketAddr;

use bytes::Bytes;
use clock::Duration;
use node::Transport;
use node::config::FunctionKind;
use node::wire::{Flow, Input};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::core::address;
use crate::world::World;

/// Messages of one volley at most.
const VOLLEY_MAX: usize = 6;

/// Header lines with which damage is done on purpose.
const POISON: [&str; 14] = [
    "Route: <sip:orig@scscf.ims.example:6060;lr>",
    "Route: <sip:icscf.ims.example;lr>",
    "P-Asserted-Identity: <sip:ue0@ims.example>",
    "Authorization: Digest username=\"ue0@ims.example\", realm=\"x\", nonce=\"\", integrity-protected=\"yes\"",
    "Contact: *",
    "Contact: <sip:ue0@10.1.0.1:5060>;expires=0",
    "Via: SIP/2.0/UDP 10.0.0.1:4060;branch=z9hG4bK",
    "Max-Forwards: 0",
    "Require: nothing-anybody-knows",
    "Proxy-Require: nothing-anybody-knows",
    "Content-Length: 99999",
    "Expires: 4294967296",
    "To: \"\u{e9}\u{e9}\" <sip:trent@ims.example>;tag=x",
    "Record-Route: <sip:10.9.9.9;lr>",
];

/// The adversary of a run.
pub struct Adversary {
    random: StdRng,
    /// Addresses of its registered devices.
    own: Vec<SocketAddr>,
}

impl Adversary {
    /// `own`: the addresses of its registered devices.
    pub fn new(random: StdRng, own: Vec<SocketAddr>) -> Adversary {
        Adversary { random, own }
    }

    /// A few messages, by datagram or over connections that end at once, or a Diameter connection, at this instant.
    pub fn act(&mut self, world: &mut World) {
        if self.random.random_bool(0.15) {
            return self.speak_diameter(world);
        }
        for _ in 0..self.random.random_range(1..=VOLLEY_MAX) {
            let kind = match self.random.random_range(0..4) {
                0 => FunctionKind::Icscf,
                1 => FunctionKind::Scscf,
                _ => FunctionKind::Pcscf,
            };
            let bytes = self.datagram(world);
            let remote = self.source();
            let connection = self.random.random_bool(0.2).then(|| world.next_connection());
            let transport = if connection.is_some() { Transport::Tcp } else { Transport::Udp };
            let flow = Flow { transport, local: address(kind), remote, connection };
            world.inject(kind, Input::Sip { flow, bytes, waited: Duration::ZERO });
            if connection.is_some() {
                world.inject(kind, Input::SipClosed { flow });
            }
        }
    }

    fn source(&mut self) -> SocketAddr {
        let stranger = [10, 9, 0, self.random.random_range(1..9)];
        match self.random.random_range(0..3) {
            0 if !self.own.is_empty() => self.own[self.random.random_range(0..self.own.len())],
            // A registered host, but another port.
            1 if !self.own.is_empty() => {
                SocketAddr::new(self.own[0].ip(), self.random.random_range(1024..9999))
            }
            _ => (stranger, self.random.random_range(1024..9999)).into(),
        }
    }

    fn datagram(&mut self, world: &World) -> Bytes {
        if world.overheard.is_empty() || self.random.random_bool(0.15) {
            return self.noise(1500).into();
        }
        let at = self.random.random_range(0..world.overheard.len());
        let mut bytes = world.overheard[at].to_vec();
        for _ in 0..self.random.random_range(1..4) {
            self.damage(&mut bytes);
        }
        bytes.into()
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.random.random_range(0..most)];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.random.random_range(0..bytes.len());
        match self.random.random_range(0..10) {
            0 => bytes[at] = self.random.random(),
            1 => bytes.truncate(at),
            2 => bytes.insert(at, b"\r\n\t \"<>;,=:@\\%\0\xff"[self.random.random_range(0..16)]),
            3 => drop(bytes.drain(at..(at + self.random.random_range(0..40)).min(bytes.len()))),
            // A new transaction, so that it is not absorbed as a repetition.
            4 | 5 => self.rename_branch(bytes),
            6 => self.insert_line(bytes),
            7 => self.repeat_line(bytes),
            8 => self.claim(bytes),
            _ => {
                let methods: [&[u8]; 9] = [
                    b"INVITE",
                    b"ACK",
                    b"BYE",
                    b"CANCEL",
                    b"REGISTER",
                    b"NOTIFY",
                    b"UPDATE",
                    b"PRACK",
                    b"MESSAGE",
                ];
                let method = methods[self.random.random_range(0..methods.len())];
                replace_all(bytes, methods, method);
            }
        }
    }

    fn rename_branch(&mut self, bytes: &mut [u8]) {
        if let Some(found) = bytes.windows(7).position(|window| window == b"z9hG4bK")
            && let Some(digit) = bytes.get_mut(found + 7 + self.random.random_range(0..8))
            && digit.is_ascii_hexdigit()
        {
            *digit = b"0123456789abcdef"[self.random.random_range(0..16)];
        }
    }

    /// The places behind the ends of lines in the header section.
    fn line_starts(bytes: &[u8]) -> Vec<usize> {
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
        let is_end = |at: &usize| *at < head + 2;
        bytes
            .windows(2)
            .enumerate()
            .filter(|(_, end)| *end == b"\r\n")
            .map(|(at, _)| at + 2)
            .filter(is_end)
            .collect()
    }

    fn insert_line(&mut self, bytes: &mut Vec<u8>) {
        let starts = Self::line_starts(bytes);
        if starts.is_empty() {
            return;
        }
        let at = starts[self.random.random_range(0..starts.len())];
        let line = format!("{}\r\n", POISON[self.random.random_range(0..POISON.len())]);
        bytes.splice(at..at, line.into_bytes());
    }

    fn repeat_line(&mut self, bytes: &mut Vec<u8>) {
        let starts = Self::line_starts(bytes);
        if starts.len() < 2 {
            return;
        }
        let from = self.random.random_range(0..starts.len() - 1);
        let line = bytes[starts[from]..starts[from + 1]].to_vec();
        let at = starts[self.random.random_range(0..starts.len())];
        for _ in 0..self.random.random_range(1..4) {
            bytes.splice(at..at, line.iter().copied());
        }
    }

    /// Says to be an honest device somewhere. Whom an INVITE is for is left alone: honest devices answer their calls.
    fn claim(&mut self, bytes: &mut Vec<u8>) {
        const OWN: &[u8] = b"mallory";
        let is_call = bytes.starts_with(b"INVITE") || bytes.starts_with(b"SIP/2.0");
        let claimable: Vec<usize> = Self::line_starts(bytes)
            .windows(2)
            .filter(|line| !is_call || !bytes[line[0]..].starts_with(b"To"))
            .filter_map(|line| {
                let found = bytes[line[0]..line[1]].windows(OWN.len()).position(|window| window == OWN)?;
                Some(line[0] + found)
            })
            .collect();
        if !claimable.is_empty() {
            let at = claimable[self.random.random_range(0..claimable.len())];
            bytes.splice(at..at + OWN.len(), b"ue0".iter().copied());
        }
    }

    /// A connection to the HSS by nobody in particular.
    fn speak_diameter(&mut self, world: &mut World) {
        let connection = world.next_connection();
        let remote = self.source();
        world.inject(FunctionKind::Hss, Input::DiameterConnected { connection, peer: None, remote });
        for _ in 0..self.random.random_range(0..4) {
            let mut bytes = self.noise(600);
            if self.random.random_bool(0.7) && bytes.len() >= 20 {
                // The head of a message that could be one: version, length, flags, command, application.
                let length = u32::try_from(bytes.len() & !3).unwrap_or(0);
                bytes[..4].copy_from_slice(&(1 << 24 | length).to_be_bytes());
                bytes[4] = 0x80;
                let command = [257_u32, 280, 282, 300, 301, 303][self.random.random_range(0..6)];
                bytes[5..8].copy_from_slice(&command.to_be_bytes()[1..]);
                bytes[8..12]
                    .copy_from_slice(&[0_u32, 16_777_216][self.random.random_range(0..2)].to_be_bytes());
            }
            world.inject(FunctionKind::Hss, Input::DiameterBytes { connection, bytes: bytes.into() });
        }
        if self.random.random_bool(0.5) {
            world.inject(FunctionKind::Hss, Input::DiameterClosed { connection });
        }
    }
}

/// Puts `new` in the place of whichever of `old` stands in the first line and in CSeq.
fn replace_all(bytes: &mut Vec<u8>, old: [&[u8]; 9], new: &[u8]) {
    for method in old {
        if bytes.starts_with(method) {
            bytes.splice(..method.len(), new.iter().copied());
            let cseq = bytes.windows(method.len() + 2).position(|window| {
                window.starts_with(b" ") && window.ends_with(b"\r") && &window[1..=method.len()] == method
            });
            if let Some(at) = cseq {
                bytes.splice(at + 1..at + 1 + method.len(), new.iter().copied());
            }
            return;
        }
    }
}
