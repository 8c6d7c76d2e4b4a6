//! A resource turned into the processes that make it true, each with its whole configuration, or into the list of
//! reasons why that cannot be. Decides every detail; does nothing.

mod pairs;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crds::{IMSCoreSpec, yaml};
use node::config::{
    Config, Diameter, FunctionConfig, FunctionKind, HostAgent, Hss, Icscf, Listen, Pcscf, Scscf,
    ServerCandidate, SipTimers, Witness,
};
use node::wire::Transport;
use serde::Serialize;

use crate::names::{self, Instance, Places, ProcessName};
use crate::validate::{Check, Reason};
use pairs::Pairs;

/// What rendering needs besides the resource.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Where the core lives.
    pub places: Places,
    /// The key of the P-CSCF's flow tokens, 32 hex digits.
    pub flow_token_key: String,
    /// Does this machine have the address ::1? Containers often do not.
    pub has_ipv6_loopback: bool,
    /// The keys of the instances and the witness; needed where the resource asks for pairs.
    pub link_keys: BTreeMap<ProcessName, LinkKey>,
}

/// The key with which a process proves itself to the others of its core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkKey {
    /// File with the private key; what is in it is known to its process alone.
    pub private_key_file: PathBuf,
    /// The public key, 64 hex digits.
    pub public_key: String,
}

/// The processes that should run, by name. Empty: the core should be down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Iterate with [`ProcessName::ALL`] to start in the right order.
    pub processes: BTreeMap<ProcessName, Process>,
}

/// What a process is told.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessConfig {
    /// A function.
    Function(Box<Config>),
    /// The witness.
    Witness(Witness),
    /// The host agent.
    HostAgent(HostAgent),
}

/// One process that should run.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Which it is.
    pub name: ProcessName,
    /// Its configuration.
    pub config: ProcessConfig,
    /// The same as text, for its file.
    pub config_text: String,
    /// Its environment, besides what it inherits.
    pub environment: BTreeMap<String, String>,
    /// Where it listens, for people.
    pub addresses: Vec<SocketAddr>,
}

impl Process {
    /// The configuration of a function; none for the others.
    pub fn function(&self) -> Option<&Config> {
        match &self.config {
            ProcessConfig::Function(config) => Some(config),
            ProcessConfig::Witness(_) | ProcessConfig::HostAgent(_) => None,
        }
    }

    /// The directory of its durable state, if it has one of its own.
    pub fn state_directory(&self) -> Option<&Path> {
        match &self.config {
            ProcessConfig::Function(config) => config.state_directory.as_deref(),
            ProcessConfig::Witness(witness) => Some(&witness.state_directory),
            ProcessConfig::HostAgent(agent) => Some(&agent.state_directory),
        }
    }

    /// A mark of all that a running process cannot change: another recipe needs another process.
    pub fn recipe(&self) -> String {
        let environment: String =
            self.environment.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        format!("{:016x}", names::hash(format!("{environment}{}", self.config_text).as_bytes()))
    }
}

/// The emergency numbers of TS 22.101 §10.1.1 that every phone knows, and the URN of RFC 5031.
const EMERGENCY_NUMBERS: [&str; 3] = ["112", "911", "urn:service:sos"];

/// So many of the 32 IND values (TS 33.102 annex C) are each HSS instance's own: two never make the same SQN.
const SQN_INDEXES: u8 = 16;

fn text(config: &impl Serialize) -> String {
    yaml::to_string(config).expect("a configuration has string keys and finite numbers only")
}

impl Desired {
    /// What `spec` asks for.
    ///
    /// # Errors
    /// All reasons why it cannot be built, each with its field.
    pub fn from_spec(spec: &IMSCoreSpec, inputs: &Inputs) -> Result<Desired, Vec<Reason>> {
        let mut check = Check::default();
        let core = Core::read(spec, inputs.has_ipv6_loopback, &mut check);
        if !check.reasons.is_empty() {
            return Err(check.reasons);
        }
        let names = ProcessName::of_core(core.pairs.is_some());
        Ok(Desired { processes: names.map(|name| (name, core.process(name, inputs))).collect() })
    }
}

/// A resource without mistakes: every default filled in, every number in its range.
struct Core {
    domain: String,
    listen: BTreeMap<FunctionKind, Vec<SocketAddr>>,
    visited_network: String,
    unprotected_aka: bool,
    seconds: (u32, u32),
    contacts_max: usize,
    timers: SipTimers,
    datagram_bytes_max: usize,
    emergency_numbers: Vec<String>,
    visited_networks_allowed: Vec<String>,
    log_level: &'static str,
    /// None: each function is alone.
    pairs: Option<Pairs>,
}

impl Core {
    fn read(spec: &IMSCoreSpec, has_ipv6_loopback: bool, check: &mut Check) -> Core {
        let domain = check.domain("spec.homeDomain", &spec.home_domain);
        let listen = listen_addresses(spec, has_ipv6_loopback, check);
        let pairs = Pairs::read(&spec.redundancy, &domain, &listen, check);
        let registration = &spec.registration;
        let seconds = (
            check.number("spec.registration.secondsMin", registration.seconds_min, 1..=86_400),
            check.number("spec.registration.secondsMax", registration.seconds_max, 1..=604_800),
        );
        if seconds.0 > seconds.1 {
            let reason = format!("{} is above secondsMax, which is {}", seconds.0, seconds.1);
            check.refuse("spec.registration.secondsMin", reason);
        }
        let contacts_max =
            check.number("spec.registration.contactsMax", registration.contacts_max, 1..=100) as usize;
        // On loopback the path MTU is known. A phone on a network would get fragments, and many a NAT drops these.
        let is_local = listen.values().flatten().all(|address| address.ip().is_loopback());
        let datagram = spec.datagram_bytes_max.unwrap_or(if is_local { 65_000 } else { 1300 });
        let emergency_numbers = match &spec.emergency_numbers {
            Some(numbers) => numbers.clone(),
            None => EMERGENCY_NUMBERS.map(str::to_owned).to_vec(),
        };
        if emergency_numbers.len() > 64 {
            check.refuse("spec.emergencyNumbers", "more than 64 numbers");
        }
        Core {
            visited_network: spec.pcscf.visited_network.clone().unwrap_or_else(|| domain.clone()),
            domain,
            listen,
            unprotected_aka: spec.access.unprotected_aka,
            seconds,
            contacts_max,
            timers: timers(spec, check),
            datagram_bytes_max: check.number("spec.datagramBytesMax", datagram, 1300..=65_000) as usize,
            emergency_numbers,
            visited_networks_allowed: spec.visited_networks_allowed.clone(),
            log_level: spec.log_level.as_str(),
            pairs,
        }
    }

    fn process(&self, name: ProcessName, inputs: &Inputs) -> Process {
        let (config, config_text, addresses) = match name {
            ProcessName::HostAgent => {
                let config = self.host_agent(inputs);
                let text = text(&config);
                (ProcessConfig::HostAgent(config), text, Vec::new())
            }
            ProcessName::Witness => {
                let config = self.witness(inputs);
                let (text, addresses) = (text(&config), vec![config.control_address]);
                (ProcessConfig::Witness(config), text, addresses)
            }
            ProcessName::Function(kind, instance) => {
                let config = self.config(kind, instance, inputs);
                let text = text(&config);
                (ProcessConfig::Function(Box::new(config)), text, self.addresses(kind, instance))
            }
        };
        Process {
            name,
            config,
            config_text,
            environment: BTreeMap::from([("EVERTONE_LOG".to_owned(), self.log_level.to_owned())]),
            addresses,
        }
    }

    fn config(&self, kind: FunctionKind, instance: Instance, inputs: &Inputs) -> Config {
        let both = vec![Transport::Udp, Transport::Tcp];
        let has_sip = kind != FunctionKind::Hss;
        let name = ProcessName::Function(kind, instance);
        let sip = self.listen[&kind].iter().filter(|_| has_sip);
        Config {
            instance: names::instance(kind, instance),
            host_name: names::host(kind, &self.domain),
            home_domain: self.domain.clone(),
            listen: sip.map(|address| Listen { address: *address, transports: both.clone() }).collect(),
            hosts: self.hosts(kind),
            diameter: self.diameter(kind, instance),
            timers: self.timers,
            datagram_bytes_max: self.datagram_bytes_max,
            shed_after_milliseconds: 250,
            admin_socket: inputs.places.socket(name),
            state_directory: names::HAVE_STATE.contains(&kind).then(|| inputs.places.state_of(name)),
            pair: self.pair(kind, instance, inputs),
            function: self.function(kind, instance, inputs),
        }
    }

    /// Where a process of a function listens. Two that serve Diameter cannot share an address: it is connections, and a connection
    /// ends with its process.
    fn addresses(&self, kind: FunctionKind, instance: Instance) -> Vec<SocketAddr> {
        let mut addresses = self.listen[&kind].clone();
        if (kind, instance) == (FunctionKind::Hss, Instance::Second) {
            addresses.iter_mut().for_each(|address| address.set_port(address.port() + 1));
        }
        addresses
    }

    fn function(&self, kind: FunctionKind, instance: Instance, inputs: &Inputs) -> FunctionConfig {
        match kind {
            FunctionKind::Pcscf => FunctionConfig::Pcscf(Pcscf {
                icscf_uri: self.uri(FunctionKind::Icscf),
                visited_network: self.visited_network.clone(),
                flow_token_key: inputs.flow_token_key.clone(),
                emergency_numbers: self.emergency_numbers.clone(),
            }),
            FunctionKind::Icscf => FunctionConfig::Icscf(Icscf {
                servers: vec![ServerCandidate {
                    uri: self.uri(FunctionKind::Scscf),
                    capabilities: Vec::new(),
                }],
                server_patience_milliseconds: 4000,
            }),
            FunctionKind::Scscf => FunctionConfig::Scscf(Scscf {
                server_name: self.uri(FunctionKind::Scscf),
                icscf_uri: self.uri(FunctionKind::Icscf),
                registration_seconds_max: self.seconds.1,
                registration_seconds_min: self.seconds.0,
                unprotected_aka: self.unprotected_aka,
                default_scheme: "Unknown".into(),
                contacts_max: self.contacts_max,
            }),
            FunctionKind::Hss => FunctionConfig::Hss(Hss {
                key_encryption_key_file: inputs.places.key_encryption_key(),
                sqn_index_first: SQN_INDEXES * (instance.number() - 1),
                sqn_index_count: SQN_INDEXES,
                sequence_block: 64,
                visited_networks_allowed: self.visited_networks_allowed.clone(),
                server_names: vec![self.uri(FunctionKind::Scscf)],
            }),
        }
    }

    /// Whoever speaks SIP knows the others by name; the bare home domain is the I-CSCF, its entry point.
    fn hosts(&self, kind: FunctionKind) -> BTreeMap<String, SocketAddr> {
        if kind == FunctionKind::Hss {
            return BTreeMap::new();
        }
        let mut hosts: BTreeMap<_, _> = FunctionKind::ALL
            .iter()
            .filter_map(|kind| Some((names::host(*kind, &self.domain), *self.listen[kind].first()?)))
            .collect();
        if let Some(entry) = self.listen[&FunctionKind::Icscf].first() {
            hosts.insert(self.domain.clone(), *entry);
        }
        hosts
    }

    fn diameter(&self, kind: FunctionKind, instance: Instance) -> Option<Diameter> {
        let (listen, peers) = match kind {
            FunctionKind::Pcscf => return None,
            FunctionKind::Hss => (self.addresses(kind, instance), BTreeMap::new()),
            FunctionKind::Icscf | FunctionKind::Scscf => (Vec::new(), self.diameter_servers()),
        };
        let node_host = self.node_host(kind, instance);
        Some(Diameter { node_host, listen, peers, watchdog_seconds: 30, request_milliseconds: 3000 })
    }

    /// Whom the CSCFs ask: the HSS, or both instances of it.
    fn diameter_servers(&self) -> BTreeMap<String, SocketAddr> {
        let kind = FunctionKind::Hss;
        let instances: &[Instance] = if self.pairs.is_some() { &Instance::PAIR } else { &[Instance::Alone] };
        let server = |instance: &Instance| {
            let host = self.node_host(kind, *instance).unwrap_or_else(|| names::host(kind, &self.domain));
            Some((host, *self.addresses(kind, *instance).first()?))
        };
        instances.iter().filter_map(server).collect()
    }

    fn uri(&self, kind: FunctionKind) -> String {
        let host = names::host(kind, &self.domain);
        match self.listen[&kind].first().map(SocketAddr::port) {
            Some(port) => format!("sip:{host}:{port}"),
            None => format!("sip:{host}"),
        }
    }
}

fn listen_addresses(
    spec: &IMSCoreSpec,
    has_ipv6_loopback: bool,
    check: &mut Check,
) -> BTreeMap<FunctionKind, Vec<SocketAddr>> {
    let entries: &[&str] = if has_ipv6_loopback { &["127.0.0.11", "::1"] } else { &["127.0.0.11"] };
    let mut listen = BTreeMap::new();
    let mut taken: BTreeMap<SocketAddr, FunctionKind> = BTreeMap::new();
    for kind in FunctionKind::ALL {
        let name = kind.as_str();
        let (addresses, port, defaults, port_default): (_, _, &[&str], _) = match kind {
            FunctionKind::Pcscf => (&spec.pcscf.addresses, spec.pcscf.port, entries, 4060),
            FunctionKind::Icscf => (&spec.icscf.addresses, spec.icscf.port, &["127.0.0.12"], 5060),
            FunctionKind::Scscf => (&spec.scscf.addresses, spec.scscf.port, &["127.0.0.13"], 6060),
            FunctionKind::Hss => (&spec.hss.addresses, spec.hss.port, &["127.0.0.14"], 3868),
        };
        let port = check.port(&format!("spec.{name}.port"), port, port_default);
        let path = format!("spec.{name}.addresses");
        let found = check.addresses(&path, addresses.as_deref(), defaults, port);
        for address in &found {
            if let Some(other) = taken.insert(*address, kind) {
                check.refuse(&path, format!("{address} is also an address of {}", other.as_str()));
            }
        }
        listen.insert(kind, found);
    }
    listen
}

fn timers(spec: &IMSCoreSpec, check: &mut Check) -> SipTimers {
    let timers = &spec.timers;
    let read = SipTimers {
        t1_milliseconds: check.number("spec.timers.t1Milliseconds", timers.t1_milliseconds, 10..=10_000),
        t2_milliseconds: check.number("spec.timers.t2Milliseconds", timers.t2_milliseconds, 10..=60_000),
        t4_milliseconds: check.number("spec.timers.t4Milliseconds", timers.t4_milliseconds, 10..=60_000),
        c_seconds: check.number("spec.timers.ringSecondsMax", timers.ring_seconds_max, 181..=3600),
    };
    if read.t1_milliseconds > read.t2_milliseconds {
        let reason =
            format!("{} is above t2Milliseconds, which is {}", read.t1_milliseconds, read.t2_milliseconds);
        check.refuse("spec.timers.t1Milliseconds", reason);
    }
    read
}
