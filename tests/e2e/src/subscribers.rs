//! Subscribers of the tests: made from their number, so that every test knows their secrets and can look for leaks.

use sip::aka::{Key, Opc, Secrets};
use ue::Credentials;

use crate::core::HOME_DOMAIN;

/// What a subscriber proves itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SIM.
    Aka,
    /// A password.
    Digest,
}

/// A subscriber.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// `name@domain`.
    pub private_identity: String,
    /// `sip:name@domain`.
    pub public_identity: String,
    /// SIM or password.
    pub kind: Kind,
    /// K.
    pub key: [u8; 16],
    /// OPc.
    pub opc: [u8; 16],
    /// The password.
    pub password: String,
}

impl Subscriber {
    /// The subscriber `name`.
    pub fn new(name: &str, kind: Kind) -> Subscriber {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let private_identity = format!("{name}@{HOME_DOMAIN}");
        Subscriber {
            public_identity: format!("sip:{private_identity}"),
            private_identity,
            kind,
            key: bytes(seed, 1),
            opc: bytes(seed, 2),
            password: format!("pass{:012x}", mix(seed, 3) & 0xffff_ffff_ffff),
        }
    }

    /// K as people write it.
    pub fn k_text(&self) -> String {
        hex(&self.key)
    }

    /// OPc as people write it.
    pub fn opc_text(&self) -> String {
        hex(&self.opc)
    }

    /// What its device holds.
    pub fn credentials(&self) -> Credentials {
        match self.kind {
            Kind::Aka => Credentials::sim(self.secrets()),
            Kind::Digest => Credentials::Digest { password: self.password.clone() },
        }
    }

    /// K and OPc, to compute with.
    pub fn secrets(&self) -> Secrets {
        Secrets { key: Key::new(self.key), opc: Opc(Key::new(self.opc)) }
    }

    /// What must never be printed: the secrets, as hex digits in both cases, and the password.
    pub fn secret_texts(&self) -> Vec<String> {
        let mut texts = match self.kind {
            Kind::Aka => vec![self.k_text(), self.opc_text()],
            Kind::Digest => vec![self.password.clone()],
        };
        let upper: Vec<String> = texts.iter().map(|text| text.to_uppercase()).collect();
        texts.extend(upper);
        texts
    }
}

/// `count` subscribers, named `prefix0` and on.
pub fn subscribers(prefix: &str, count: usize, kind: Kind) -> Vec<Subscriber> {
    (0..count).map(|number| Subscriber::new(&format!("{prefix}{number}"), kind)).collect()
}

/// The subscribers as a file for `evertone subscriber import`.
pub fn csv(subscribers: &[Subscriber]) -> String {
    let mut text = String::from("privateIdentity,publicIdentities,k,opc,password\n");
    for subscriber in subscribers {
        let (k, opc, password) = match subscriber.kind {
            Kind::Aka => (subscriber.k_text(), subscriber.opc_text(), String::new()),
            Kind::Digest => (String::new(), String::new(), subscriber.password.clone()),
        };
        let (private, public) = (&subscriber.private_identity, &subscriber.public_identity);
        text.push_str(&format!("{private},{public},{k},{opc},{password}\n"));
    }
    text
}

fn bytes(seed: u64, stream: u64) -> [u8; 16] {
    let halves = [mix(seed, stream), mix(seed, stream + 100)].map(u64::to_be_bytes);
    std::array::from_fn(|index| halves[index / 8][index % 8])
}

/// SplitMix64: well-spread bits, nothing secret.
fn mix(seed: u64, stream: u64) -> u64 {
    let mut z = seed.wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
