//! The four functions as virtual machines: how each is built, killed and started again.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use clock::{Instant, WallOrigin, WallTime};
use hss::Hss;
use icscf::Icscf;
use node::config::{Config, Diameter, FunctionConfig, FunctionKind, Listen, ServerCandidate, SipTimers};
use node::wire::{Input, Output};
use node::{MemoryStore, Node, Setup, Topology, Transport};
use pcscf::Pcscf;
use scscf::Scscf;

/// The home domain of every run.
pub const HOME_DOMAIN: &str = "ims.example";

/// The S-CSCF's Server-Name.
pub const SERVER_NAME: &str = "sip:scscf.ims.example:6060";

/// The P-CSCF's address for devices.
pub const PCSCF: &str = "10.0.0.1:4060";

/// The P-CSCF's address for devices that speak IPv6.
pub const PCSCF_IPV6: &str = "[2001:db8::1]:4060";

/// Wall time at the epoch of every run: 2026-01-01.
pub const WALL: WallTime = WallTime(1_767_225_600_000_000);

/// The address of a function.
pub fn address(kind: FunctionKind) -> SocketAddr {
    let text = match kind {
        FunctionKind::Pcscf => PCSCF,
        FunctionKind::Icscf => "10.0.0.2:5060",
        FunctionKind::Scscf => "10.0.0.3:6060",
        FunctionKind::Hss => "10.0.0.4:3868",
    };
    text.parse().expect("an address written above")
}

/// The host name of a function.
pub fn host_name(kind: FunctionKind) -> String {
    format!("{}.{HOME_DOMAIN}", kind.as_str())
}

/// A node of any kind.
#[expect(clippy::large_enum_variant, reason = "there are four in a run, and they never move")]
enum Running {
    Pcscf(Node<Pcscf<MemoryStore>>),
    Icscf(Node<Icscf>),
    Scscf(Node<Scscf>),
    Hss(Node<Hss<MemoryStore>>),
}

/// Calls a method of whichever node it is.
macro_rules! each {
    ($running:expr, $node:ident => $act:expr) => {
        match $running {
            Running::Pcscf($node) => $act,
            Running::Icscf($node) => $act,
            Running::Scscf($node) => $act,
            Running::Hss($node) => $act,
        }
    };
}

/// One function: running, or dead with what its disk holds.
pub struct Machine {
    kind: FunctionKind,
    running: Option<Running>,
    disk: MemoryStore,
    lives: u64,
    seed: u64,
}

impl Machine {
    /// A function that was never started.
    pub fn new(kind: FunctionKind, seed: u64) -> Machine {
        Machine { kind, running: None, disk: MemoryStore::default(), lives: 0, seed }
    }

    /// Does it run?
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How often it was started.
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// Starts it on what its disk holds.
    pub fn start(&mut self) {
        self.lives += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.lives.to_le_bytes());
        seed[16] = self.kind as u8;
        let config = config(self.kind);
        let wall = WallOrigin(WALL);
        let topology = Topology::new(config.hosts.clone());
        let setup = Setup { config: config.clone(), topology, wall, seed };
        let store = self.disk.clone();
        self.running = Some(match config.function {
            FunctionConfig::Pcscf(_) => Running::Pcscf(Node::new(
                setup.clone(),
                Pcscf::new(&setup, store).expect("a configuration of ours"),
            )),
            FunctionConfig::Icscf(_) => {
                Running::Icscf(Node::new(setup.clone(), Icscf::new(&setup).expect("a configuration of ours")))
            }
            FunctionConfig::Scscf(own) => Running::Scscf(Node::new(setup.clone(), Scscf::new(&setup, &own))),
            FunctionConfig::Hss(own) => {
                let hss = Hss::new(&setup, &own, [9; 32], store).expect("a configuration of ours");
                Running::Hss(Node::new(setup, hss))
            }
        });
    }

    /// Loses everything but the disk: what was not committed is gone.
    pub fn kill(&mut self) {
        match self.running.take() {
            Some(Running::Hss(node)) => self.disk = node.function().store().after_crash(),
            Some(Running::Pcscf(node)) => self.disk = node.function().store().after_crash(),
            _ => {}
        }
    }

    /// Takes an input in; a dead machine takes nothing.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if let Some(running) = &mut self.running {
            each!(running, node => node.handle_input(now, input));
        }
    }

    /// Lets its deadlines pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            each!(running, node => node.handle_timeout(now));
        }
    }

    /// All outputs; commits are carried out here.
    pub fn drain(&mut self) -> VecDeque<Output> {
        let mut all = VecDeque::new();
        let Some(running) = &mut self.running else { return all };
        while let Some(output) = each!(running, node => node.poll_output()) {
            match (&output, &mut *running) {
                (Output::Commit, Running::Hss(node)) => node.function_mut().store_mut().commit(),
                (Output::Commit, Running::Pcscf(node)) => node.function_mut().store_mut().commit(),
                _ => {}
            }
            all.push_back(output);
        }
        all
    }

    /// When it wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.running.as_ref().and_then(|running| each!(running, node => node.poll_timeout()))
    }

    /// Procedures it has under way besides.
    pub fn open_procedures(&self) -> usize {
        match &self.running {
            Some(Running::Pcscf(node)) => node.function().open_procedures(),
            Some(Running::Icscf(node)) => node.function().open_procedures(),
            Some(Running::Scscf(node)) => node.function().open_procedures(),
            Some(Running::Hss(_)) | None => 0,
        }
    }

    /// Transactions it holds: server, client.
    pub fn transaction_counts(&self) -> (usize, usize) {
        self.running.as_ref().map_or((0, 0), |running| each!(running, node => node.transaction_counts()))
    }
}

fn config(kind: FunctionKind) -> Config {
    let hosts: BTreeMap<String, SocketAddr> =
        FunctionKind::ALL.iter().map(|kind| (host_name(*kind), address(*kind))).collect();
    let icscf_uri = format!("sip:{}", host_name(FunctionKind::Icscf));
    let function = match kind {
        FunctionKind::Pcscf => FunctionConfig::Pcscf(node::config::Pcscf {
            icscf_uri,
            visited_network: HOME_DOMAIN.into(),
            flow_token_key: "000102030405060708090a0b0c0d0e0f".into(),
            emergency_numbers: vec!["112".into()],
        }),
        FunctionKind::Icscf => FunctionConfig::Icscf(node::config::Icscf {
            servers: vec![ServerCandidate { uri: SERVER_NAME.into(), capabilities: vec![] }],
            server_patience_milliseconds: 4000,
        }),
        FunctionKind::Scscf => FunctionConfig::Scscf(node::config::Scscf {
            server_name: SERVER_NAME.into(),
            icscf_uri,
            registration_seconds_max: 3600,
            registration_seconds_min: 60,
            unprotected_aka: true,
            default_scheme: "Unknown".into(),
            contacts_max: 10,
        }),
        FunctionKind::Hss => FunctionConfig::Hss(node::config::Hss {
            key_encryption_key_file: "/nowhere".into(),
            sqn_index_first: 0,
            sqn_index_count: 16,
            sequence_block: 8,
            visited_networks_allowed: vec![],
            server_names: vec![SERVER_NAME.into()],
        }),
    };
    let is_hss = kind == FunctionKind::Hss;
    let asks_hss = matches!(kind, FunctionKind::Icscf | FunctionKind::Scscf);
    let hss = (host_name(FunctionKind::Hss), address(FunctionKind::Hss));
    let listen = |address| Listen { address, transports: vec![Transport::Udp, Transport::Tcp] };
    let listen = match kind {
        FunctionKind::Hss => vec![],
        FunctionKind::Pcscf => {
            vec![listen(address(kind)), listen(PCSCF_IPV6.parse().expect("an address written above"))]
        }
        FunctionKind::Icscf | FunctionKind::Scscf => vec![listen(address(kind))],
    };
    Config {
        instance: format!("{}-1", kind.as_str()),
        host_name: host_name(kind),
        home_domain: HOME_DOMAIN.into(),
        listen,
        hosts,
        diameter: (is_hss || asks_hss).then(|| Diameter {
            listen: if is_hss { vec![address(kind)] } else { vec![] },
            peers: if asks_hss { [hss].into() } else { BTreeMap::new() },
            watchdog_seconds: 30,
            request_milliseconds: 3000,
        }),
        timers: SipTimers::default(),
        datagram_bytes_max: 65_000,
        shed_after_milliseconds: 250,
        admin_socket: "/nowhere".into(),
        state_directory: None,
        function,
    }
}
