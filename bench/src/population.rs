//! The subscribers of a run: who they are, their secrets, and the devices that have them. All of it follows from the
//! seed, so that a second run against the same core finds its subscribers again.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use clock::Duration;
use serde_json::{Value, json};
use sip::aka::{Key, Opc, Secrets};
use sip::secret::Secret;
use sip::transaction::Timers;
use ue::{AnswerBehaviour, Callee, Credentials, Device, Profile};

use crate::core::Core;
use crate::random::Random;

/// What subscribers prove their identity with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    /// A SIM (AKAv1-MD5).
    Aka,
    /// A password (digest, MD5).
    Digest,
}

/// Subscribers of one kind.
#[derive(Clone, Debug)]
pub struct Population {
    /// How many.
    pub count: usize,
    /// AKA or digest.
    pub scheme: Scheme,
    /// Where secrets and habits come from.
    pub seed: u64,
    /// The first number: runs with different ones do not share subscribers.
    pub first: usize,
    /// How long a device rings, on average.
    pub ring_mean: Duration,
}

/// Records in one `subscriber.put`. The HSS takes 10,000 at most; fewer need less memory while they are read.
const RECORDS_PER_COMMAND: usize = 1000;
/// Devices have addresses from here on: all of 127/8 is this machine.
const ADDRESS_FIRST: u32 = 0x7f40_0000;
/// The most devices that have an address: up to 127.254.255.255.
pub const COUNT_MAX: usize = 0xbf_0000;

impl Population {
    /// The address of the device at `index`.
    pub fn address(index: usize) -> Ipv4Addr {
        let offset = u32::try_from(index).expect("a population has fewer devices than addresses");
        Ipv4Addr::from_bits(ADDRESS_FIRST + offset)
    }

    /// The device that has an address.
    pub fn index(address: Ipv4Addr) -> Option<usize> {
        usize::try_from(address.to_bits().checked_sub(ADDRESS_FIRST)?).ok()
    }

    /// The public identity of the device at `index`, in the style of IMS Bench.
    pub fn public_identity(&self, index: usize, domain: &str) -> String {
        format!("sip:subs{:06}@{domain}", self.first + index)
    }

    fn private_identity(&self, index: usize, domain: &str) -> String {
        format!("usim{:06}@{domain}", self.first + index)
    }

    fn secrets(&self, index: usize) -> Random {
        Random::new(self.seed, &format!("subscriber {}", self.first + index))
    }

    /// What the HSS is told.
    fn record(&self, index: usize, domain: &str) -> Value {
        let mut secrets = self.secrets(index);
        let identities = json!([{ "uri": self.public_identity(index, domain) }]);
        let private_identity = self.private_identity(index, domain);
        match self.scheme {
            Scheme::Aka => json!({
                "privateIdentity": private_identity,
                "publicIdentities": identities,
                "aka": { "k": hex(secrets.key()), "opc": hex(secrets.key()) },
            }),
            Scheme::Digest => json!({
                "privateIdentity": private_identity,
                "publicIdentities": identities,
                "digest": { "password": hex(secrets.key()) },
            }),
        }
    }

    /// Writes the subscribers from `from` on into the HSS.
    pub fn provision(&self, core: &Core) -> Result<()> {
        let indices: Vec<usize> = (0..self.count).collect();
        for chunk in indices.chunks(RECORDS_PER_COMMAND) {
            let records: Vec<Value> = chunk.iter().map(|index| self.record(*index, &core.domain)).collect();
            core.hss()
                .command("subscriber.put", &Value::Array(records))
                .context("cannot add the subscribers")?;
        }
        Ok(())
    }

    /// The devices, switched on and not registered. Each answers as `behaviour` says.
    pub fn devices(
        &self,
        core: &Core,
        port: u16,
        behaviour: impl Fn(usize) -> AnswerBehaviour,
    ) -> Vec<Device> {
        let mut rings = Random::new(self.seed, "ring");
        // A device that is switched on again must not repeat Call-ID and CSeq: RFC 3261 §10.3 wants that refused.
        let since_1970 =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let life = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        (0..self.count)
            .map(|index| {
                let mut secrets = self.secrets(index);
                let credentials = match self.scheme {
                    Scheme::Aka => {
                        let (key, opc) = (Key::new(secrets.key()), Opc(Secret::new(secrets.key())));
                        Credentials::sim(Secrets { key, opc })
                    }
                    Scheme::Digest => Credentials::Digest { password: hex(secrets.key()) },
                };
                let ring = rings.exponential(self.ring_mean);
                let profile = Profile {
                    private_identity: self.private_identity(index, &core.domain),
                    public_identity: self.public_identity(index, &core.domain),
                    home_domain: core.domain.clone(),
                    credentials,
                    address: SocketAddr::from((Self::address(index), port)),
                    pcscf: SocketAddr::V4(core.pcscf_address),
                    is_reliable: false,
                    timers: Timers::default(),
                    registration_seconds: 3600,
                    callee: Callee { ring, answer: behaviour(index), is_ringing_reliable: false },
                };
                Device::new(profile, Random::new(self.seed ^ life, &format!("device {index}")).bits())
            })
            .collect()
    }
}

fn hex(bytes: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_an_address_of_its_own_on_this_machine() {
        for index in [0, 1, 255, 256, 65_536, COUNT_MAX - 1] {
            let address = Population::address(index);
            assert!(address.is_loopback(), "{address}");
            assert_eq!(Population::index(address), Some(index));
        }
        assert_eq!(Population::index(Ipv4Addr::new(127, 20, 0, 11)), None);
    }
}
