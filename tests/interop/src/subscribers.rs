//! People for a test, in the forms that the core and SIPp read.

use crate::core::DOMAIN;

/// The operator's OP of every AKA subscriber here. SIPp's parser stumbles over the bytes 0x5B and 0x5D and takes keys
/// without zero bytes best, so there are none of these.
const OP: &str = "cdc202d5123e20f62b6d676ac72cb318";

/// What proves an identity.
#[derive(Clone, Debug)]
pub enum Secret {
    /// K, in hexadecimal; OP is the same for all.
    Aka(String),
    /// A password.
    Digest(String),
}

/// A subscriber.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// The user part of the public identity.
    pub name: String,
    /// The user part of the private identity.
    pub user: String,
    /// AKA or digest.
    pub secret: Secret,
}

impl Subscriber {
    /// A digest subscriber of that name.
    pub fn digest(name: &str) -> Subscriber {
        Subscriber {
            name: name.to_owned(),
            user: name.to_owned(),
            secret: Secret::Digest(format!("secret-of-{name}")),
        }
    }

    /// An AKA subscriber of that name.
    pub fn aka(name: &str) -> Subscriber {
        let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut key = String::new();
        for _ in 0..16 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // 0x61 to 0xe0: none of the bytes that SIPp cannot stand.
            key += &format!("{:02x}", 0x61 + (state >> 57) as u8);
        }
        Subscriber { name: name.to_owned(), user: name.to_owned(), secret: Secret::Aka(key) }
    }

    /// With a private identity that cannot be told from the public one.
    pub fn under_another_name(self) -> Subscriber {
        Subscriber { user: format!("id-of-{}", self.name), ..self }
    }

    /// `sip:name@domain`.
    pub fn public_identity(&self) -> String {
        format!("sip:{}@{DOMAIN}", self.name)
    }

    /// SIPp's authentication keyword. It cannot contain fields, so it is one.
    pub fn sipp_authentication(&self) -> String {
        let user = &self.user;
        match &self.secret {
            Secret::Aka(key) => {
                format!(
                    "[authentication username={user}@{DOMAIN} aka_K=0x{key} aka_OP=0x{OP} aka_AMF=0x8000]"
                )
            }
            Secret::Digest(password) => {
                format!("[authentication username={user}@{DOMAIN} password={password}]")
            }
        }
    }
}

/// `count` subscribers `prefix000`, `prefix001` …
pub fn many(prefix: &str, count: usize, make: fn(&str) -> Subscriber) -> Vec<Subscriber> {
    (0..count).map(|number| make(&format!("{prefix}{number:04}"))).collect()
}

/// CSV for `evertone subscriber import`.
pub fn to_import(subscribers: &[Subscriber]) -> String {
    let mut csv = String::from("privateIdentity,publicIdentities,k,op,password\n");
    for subscriber in subscribers {
        let user = &subscriber.user;
        let secret = match &subscriber.secret {
            Secret::Aka(key) => format!("{key},{OP},"),
            Secret::Digest(password) => format!(",,{password}"),
        };
        csv += &format!("{user}@{DOMAIN},{},{secret}\n", subscriber.public_identity());
    }
    csv
}

/// SIPp's injection file: user; domain; authentication; the peer's user. `peers` may be empty.
pub fn to_sipp(subscribers: &[Subscriber], peers: &[Subscriber]) -> String {
    let mut csv = String::from("SEQUENTIAL\n");
    for (index, subscriber) in subscribers.iter().enumerate() {
        let peer = peers.get(index % peers.len().max(1)).map_or("nobody", |peer| peer.name.as_str());
        csv += &format!("{};{DOMAIN};{};{peer}\n", subscriber.name, subscriber.sipp_authentication());
    }
    csv
}
