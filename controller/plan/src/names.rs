//! Names and places: deterministic, safe in length, the same for the same resource on every run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use node::config::FunctionKind;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which process of a core: a function that is alone, one of a pair, or what pairs need besides. As text it is the name in files,
/// commands and the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessName {
    /// Holds the sockets of all pairs and knows who has died.
    HostAgent,
    /// Decides who of a pair may serve when the two cannot agree.
    Witness,
    /// A function.
    Function(FunctionKind, Instance),
}

/// Which process of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instance {
    /// The only one.
    Alone,
    /// The first of a pair.
    First,
    /// The second of a pair.
    Second,
}

impl Instance {
    /// The two of a pair.
    pub const PAIR: [Instance; 2] = [Instance::First, Instance::Second];

    /// Its number in instance names: who is alone is the first.
    pub fn number(self) -> u8 {
        match self {
            Instance::Alone | Instance::First => 1,
            Instance::Second => 2,
        }
    }

    /// The other one of its pair.
    pub fn other(self) -> Option<Instance> {
        match self {
            Instance::Alone => None,
            Instance::First => Some(Instance::Second),
            Instance::Second => Some(Instance::First),
        }
    }
}

/// What is no name of a process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no process `{0}`")]
pub struct UnknownProcess(String);

impl ProcessName {
    /// All that there can be, in the order in which they are started. No core has all of them at once.
    pub const ALL: [ProcessName; 14] = {
        let mut all = [ProcessName::HostAgent; 14];
        all[1] = ProcessName::Witness;
        let mut index = 0;
        while index < 4 {
            let kind = FunctionKind::ALL[index];
            all[2 + 3 * index] = ProcessName::Function(kind, Instance::Alone);
            all[3 + 3 * index] = ProcessName::Function(kind, Instance::First);
            all[4 + 3 * index] = ProcessName::Function(kind, Instance::Second);
            index += 1;
        }
        all
    };

    /// A function that is alone.
    pub const fn alone(kind: FunctionKind) -> ProcessName {
        ProcessName::Function(kind, Instance::Alone)
    }

    /// The two processes of a function that is a pair.
    pub fn pair(kind: FunctionKind) -> [ProcessName; 2] {
        Instance::PAIR.map(|instance| ProcessName::Function(kind, instance))
    }

    /// The processes of a core whose functions are alone, or pairs, in the order in which they are started.
    pub fn of_core(has_pairs: bool) -> impl DoubleEndedIterator<Item = ProcessName> {
        Self::ALL.into_iter().filter(move |name| name.is_of_pairs() == has_pairs)
    }

    /// Is it there only where functions are pairs?
    pub fn is_of_pairs(self) -> bool {
        !matches!(self, ProcessName::Function(_, Instance::Alone))
    }

    /// Which function it is.
    pub fn kind(self) -> Option<FunctionKind> {
        match self {
            ProcessName::Function(kind, _) => Some(kind),
            ProcessName::HostAgent | ProcessName::Witness => None,
        }
    }

    /// The text.
    pub fn as_str(self) -> &'static str {
        match self {
            ProcessName::HostAgent => "host-agent",
            ProcessName::Witness => "witness",
            ProcessName::Function(kind, Instance::Alone) => kind.as_str(),
            ProcessName::Function(FunctionKind::Pcscf, Instance::First) => "pcscf-1",
            ProcessName::Function(FunctionKind::Pcscf, Instance::Second) => "pcscf-2",
            ProcessName::Function(FunctionKind::Icscf, Instance::First) => "icscf-1",
            ProcessName::Function(FunctionKind::Icscf, Instance::Second) => "icscf-2",
            ProcessName::Function(FunctionKind::Scscf, Instance::First) => "scscf-1",
            ProcessName::Function(FunctionKind::Scscf, Instance::Second) => "scscf-2",
            ProcessName::Function(FunctionKind::Hss, Instance::First) => "hss-1",
            ProcessName::Function(FunctionKind::Hss, Instance::Second) => "hss-2",
        }
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for ProcessName {
    type Err = UnknownProcess;

    fn from_str(text: &str) -> Result<Self, UnknownProcess> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| UnknownProcess(text.to_owned()))
    }
}

impl Serialize for ProcessName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ProcessName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The functions that keep durable state.
pub const HAVE_STATE: [FunctionKind; 2] = [FunctionKind::Hss, FunctionKind::Pcscf];

/// The two directories a core lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What outlives the core: stores, keys, logs, history.
    pub state_directory: PathBuf,
    /// What goes with it: sockets, rendered configuration, process records.
    pub run_directory: PathBuf,
}

impl Places {
    /// The rendered configuration of a process.
    pub fn config_file(&self, name: ProcessName) -> PathBuf {
        self.run_directory.join(format!("{name}.yaml"))
    }

    /// The unix socket of a process: its admin endpoint; where the host agent hears the instances.
    pub fn socket(&self, name: ProcessName) -> PathBuf {
        self.run_directory.join(format!("{name}.sock"))
    }

    /// The record of a process.
    pub fn process_record(&self, name: ProcessName) -> PathBuf {
        self.run_directory.join(format!("{name}.process"))
    }

    /// The durable state of a process.
    pub fn state_of(&self, name: ProcessName) -> PathBuf {
        self.state_directory.join(name.as_str())
    }

    /// What a process wrote to its standard streams.
    pub fn log_file(&self, name: ProcessName) -> PathBuf {
        self.state_directory.join("logs").join(format!("{name}.log"))
    }

    /// The private key with which a process proves itself to the others.
    pub fn private_key(&self, name: ProcessName) -> PathBuf {
        self.state_directory.join("keys").join(format!("{name}.key"))
    }

    /// The controller's own log.
    pub fn controller_log(&self) -> PathBuf {
        self.state_directory.join("logs").join("controller.log")
    }

    /// The controller's API socket.
    pub fn controller_socket(&self) -> PathBuf {
        self.run_directory.join("controller.sock")
    }

    /// The key that encrypts the credentials in the HSS's store.
    pub fn key_encryption_key(&self) -> PathBuf {
        self.state_directory.join("keys").join("key-encryption-key")
    }

    /// The key of the P-CSCF's flow tokens.
    pub fn flow_token_key(&self) -> PathBuf {
        self.state_directory.join("keys").join("flow-token-key")
    }

    /// The resource that was accepted last.
    pub fn accepted_resource(&self) -> PathBuf {
        self.state_directory.join("core.yaml")
    }
}

/// The instance name of a function's process: it marks logs and metrics.
pub fn instance(kind: FunctionKind, instance: Instance) -> String {
    format!("{}-{}", kind.as_str(), instance.number())
}

/// The logical host name of a function.
pub fn host(kind: FunctionKind, home_domain: &str) -> String {
    format!("{}.{home_domain}", kind.as_str())
}

/// What one instance of a pair calls itself over Diameter.
pub fn instance_host(kind: FunctionKind, instance: Instance, home_domain: &str) -> String {
    format!("{}.{home_domain}", self::instance(kind, instance))
}

/// The run directory that belongs to a state directory of the user's choice. A unix socket's path may have 107 bytes,
/// so the state directory enters it only as a hash.
pub fn run_directory(base: &Path, state_directory: &Path) -> PathBuf {
    let mark = format!("{:016x}", hash(state_directory.as_os_str().as_encoded_bytes()));
    base.join(format!("evertone-{}", &mark[..12]))
}

/// FNV-1a, 64 bits: to tell texts apart that nobody forges.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_no_two_are_the_same() {
        for name in ProcessName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("scscf-3".parse::<ProcessName>().is_err());
        let unique: std::collections::BTreeSet<&str> =
            ProcessName::ALL.iter().map(|name| name.as_str()).collect();
        assert_eq!(unique.len(), ProcessName::ALL.len());
    }

    #[test]
    fn processes_are_started_from_the_inside_out() {
        let names = |has_pairs| {
            ProcessName::of_core(has_pairs).map(ProcessName::as_str).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(false), "hss scscf icscf pcscf");
        assert_eq!(
            names(true),
            "host-agent witness hss-1 hss-2 scscf-1 scscf-2 icscf-1 icscf-2 pcscf-1 pcscf-2"
        );
    }

    #[test]
    fn the_run_directory_is_short_and_its_own_for_each_state_directory() {
        let long = PathBuf::from("/").join("a".repeat(200));
        let run = run_directory(Path::new("/run"), &long);
        let places = Places { state_directory: long.clone(), run_directory: run.clone() };
        assert!(places.controller_socket().as_os_str().len() < 108, "it fits into a sockaddr_un");
        assert_ne!(run, run_directory(Path::new("/run"), Path::new("/b")));
        assert_eq!(run, run_directory(Path::new("/run"), &long), "the same on every run");
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
