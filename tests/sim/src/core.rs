//! The functions as virtual machines, alone or in pairs: how each is built, killed, frozen and started again.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use clock::{Duration, Instant, WallOrigin, WallTime};
use hss::Hss;
use icscf::Icscf;
use node::config::{Config, Diameter, FunctionConfig, FunctionKind, Listen, ServerCandidate, SipTimers};
use node::wire;
use node::{Function, MemoryStore, Neighbour, Node, Setup, Topology, Transport};
use pair::{Input, NeighbourPair, Output, Twin};
use pcscf::Pcscf;
use resilience::link::Limits;
use resilience::permission::{
    Durable, Incarnation, InstanceId, Member, Membership, PairId, Rules, Start, Timing,
};
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

/// One machine: which function, and which of its pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which function.
    pub kind: FunctionKind,
    /// Which of the two; the first when it is alone.
    pub instance: InstanceId,
}

impl Place {
    /// The machine of a function that is alone, or X1 of its pair.
    pub fn first(kind: FunctionKind) -> Place {
        Place { kind, instance: InstanceId::One }
    }

    /// The other one of the pair.
    pub fn other(self) -> Place {
        Place { instance: self.instance.other(), ..self }
    }

    /// What it calls itself over Diameter when it shares its function's name.
    pub fn node_host(self) -> String {
        format!("{}.node.{HOME_DOMAIN}", self.name())
    }

    /// What its neighbours are to know when it serves.
    pub fn as_neighbour(self) -> Neighbour {
        let mut addresses = vec![address(self.kind)];
        if self.kind == FunctionKind::Pcscf {
            addresses.push(PCSCF_IPV6.parse().expect("an address written above"));
        }
        Neighbour { addresses, diameter: Some((host_name(self.kind), self.node_host())) }
    }

    /// As the trace calls it.
    pub fn name(self) -> &'static str {
        match (self.kind, self.instance) {
            (kind, InstanceId::One) => kind.as_str(),
            (FunctionKind::Pcscf, InstanceId::Two) => "pcscf2",
            (FunctionKind::Icscf, InstanceId::Two) => "icscf2",
            (FunctionKind::Scscf, InstanceId::Two) => "scscf2",
            (FunctionKind::Hss, InstanceId::Two) => "hss2",
        }
    }
}

/// The lease of every pair: 20 times an R of 10 ms. With a shorter one a run consists of renewals.
pub const LEASE: Duration = Duration::from_millis(200);

/// The times that follow from it.
pub fn timing() -> Timing {
    Timing::of(LEASE).expect("longer than four microseconds")
}

/// The number of a function's pair.
pub fn pair_id(kind: FunctionKind) -> PairId {
    PairId(kind as u32)
}

/// A node that is alone, or one of a pair.
enum Shell<F> {
    Alone(Box<Node<F>>),
    Paired(Box<Twin<F>>),
}

impl<F: Function> Shell<F> {
    fn node(&self) -> &Node<F> {
        match self {
            Shell::Alone(node) => node,
            Shell::Paired(twin) => twin.node(),
        }
    }

    fn node_mut(&mut self) -> &mut Node<F> {
        match self {
            Shell::Alone(node) => node,
            Shell::Paired(twin) => twin.node_mut(),
        }
    }

    fn handle_input(&mut self, now: Instant, input: Input) {
        match (self, input) {
            (Shell::Paired(twin), input) => twin.handle_input(now, input),
            (Shell::Alone(node), Input::Node(input)) => node.handle_input(now, input),
            (Shell::Alone(_), _) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Shell::Alone(node) => node.handle_timeout(now),
            Shell::Paired(twin) => twin.handle_timeout(now),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Shell::Alone(node) => node.poll_output().map(Output::Node),
            Shell::Paired(twin) => twin.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Shell::Alone(node) => node.poll_timeout(),
            Shell::Paired(twin) => twin.poll_timeout(),
        }
    }

    fn is_protected(&self) -> bool {
        match self {
            Shell::Alone(_) => false,
            Shell::Paired(twin) => twin.permission().is_protected(),
        }
    }
}

/// A function of any kind.
enum Running {
    Pcscf(Shell<Pcscf<MemoryStore>>),
    Icscf(Shell<Icscf>),
    Scscf(Shell<Scscf>),
    Hss(Shell<Hss<MemoryStore>>),
}

/// Calls a method of whichever node it is.
macro_rules! each {
    ($running:expr, $shell:ident => $act:expr) => {
        match $running {
            Running::Pcscf($shell) => $act,
            Running::Icscf($shell) => $act,
            Running::Scscf($shell) => $act,
            Running::Hss($shell) => $act,
        }
    };
}

/// One machine: running, frozen, or dead with what its disk holds.
pub struct Machine {
    place: Place,
    running: Option<Running>,
    disk: MemoryStore,
    /// The witness that its last life counted: durable too.
    membership: Membership,
    lives: u64,
    seed: u64,
    /// What holds between it and the other one of its pair; `None`: it is alone.
    rules: Option<Rules>,
    /// What reaches it while it is frozen; `None`: it is not.
    frozen: Option<Vec<Input>>,
}

impl Machine {
    /// A function that was never started.
    pub fn new(place: Place, seed: u64, rules: Option<Rules>) -> Machine {
        Machine {
            place,
            running: None,
            disk: MemoryStore::default(),
            membership: Membership(0),
            lives: 0,
            seed,
            rules,
            frozen: None,
        }
    }

    /// Does it run?
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Does it stand still?
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// How often it was started.
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// Which life of which instance it is.
    pub fn member(&self) -> Member {
        let incarnation = Incarnation(u32::try_from(self.lives).expect("a run is short"));
        Member { instance: self.place.instance, incarnation }
    }

    /// Starts it on what its disk holds.
    pub fn start(&mut self, now: Instant) {
        self.lives += 1;
        self.frozen = None;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&self.lives.to_le_bytes());
        seed[16] = self.place.kind as u8;
        seed[17] = u8::from(self.place.instance == InstanceId::Two);
        let config = config(self.place, self.rules.is_some());
        let wall = WallOrigin(WALL);
        let topology = Topology::new(config.hosts.clone());
        let setup = Setup { config: config.clone(), topology, wall, seed };
        let store = self.disk.clone();
        let valid = "a configuration of ours";
        self.running = Some(match config.function {
            FunctionConfig::Pcscf(_) => {
                let pcscf = Pcscf::new(&setup, store).expect(valid);
                Running::Pcscf(self.shell(now, Node::new(setup, pcscf)))
            }
            FunctionConfig::Icscf(_) => {
                let icscf = Icscf::new(&setup).expect(valid);
                Running::Icscf(self.shell(now, Node::new(setup, icscf)))
            }
            FunctionConfig::Scscf(own) => {
                let scscf = Scscf::new(&setup, &own);
                Running::Scscf(self.shell(now, Node::new(setup, scscf)))
            }
            FunctionConfig::Hss(own) => {
                let hss = Hss::new(&setup, &own, [9; 32], store).expect(valid);
                Running::Hss(self.shell(now, Node::new(setup, hss)))
            }
        });
    }

    fn shell<F: Function>(&self, now: Instant, node: Node<F>) -> Shell<F> {
        let Some(rules) = self.rules else { return Shell::Alone(Box::new(node)) };
        let start = pair::Start {
            permission: Start {
                pair: pair_id(self.place.kind),
                member: self.member(),
                membership: self.membership,
                timing: timing(),
                rules,
            },
            limits: Limits::default(),
            // Short, so that the small state of a run takes many as well.
            record_bytes: 1000,
            round_trip: Duration::from_micros(200),
            // More seldom than in life: else a run consists of such words.
            idle_probe: Duration::from_secs(1),
            neighbours: neighbours(self.place.kind),
        };
        Shell::Paired(Box::new(Twin::new(now, start, node)))
    }

    /// Loses everything but the disk: what was not committed is gone.
    pub fn kill(&mut self) {
        self.frozen = None;
        match self.running.take() {
            Some(Running::Hss(shell)) => self.disk = shell.node().function().store().after_crash(),
            Some(Running::Pcscf(shell)) => self.disk = shell.node().function().store().after_crash(),
            _ => {}
        }
    }

    /// Stands still from now on.
    pub fn freeze(&mut self) {
        self.frozen.get_or_insert_default();
    }

    /// Goes on, and finds what has come meanwhile.
    pub fn thaw(&mut self, now: Instant) {
        let Some(waiting) = self.frozen.take() else { return };
        for input in waiting {
            self.handle_input(now, input);
        }
        self.handle_timeout(now);
    }

    /// Takes an input in; a dead machine takes nothing.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if let Some(waiting) = &mut self.frozen {
            waiting.push(input);
        } else if let Some(running) = &mut self.running {
            each!(running, shell => shell.handle_input(now, input));
        }
    }

    /// Lets its deadlines pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(running) = &mut self.running {
            each!(running, shell => shell.handle_timeout(now));
        }
    }

    /// All outputs; what is to be durable is so here.
    pub fn drain(&mut self) -> VecDeque<Output> {
        let mut all = VecDeque::new();
        let Some(running) = &mut self.running else { return all };
        while let Some(output) = each!(running, shell => shell.poll_output()) {
            match (&output, &mut *running) {
                (Output::Node(wire::Output::Commit), Running::Hss(shell)) => {
                    shell.node_mut().function_mut().store_mut().commit();
                }
                (Output::Node(wire::Output::Commit), Running::Pcscf(shell)) => {
                    shell.node_mut().function_mut().store_mut().commit();
                }
                (Output::Persist(Durable::Membership(membership)), _) => self.membership = *membership,
                _ => {}
            }
            all.push_back(output);
        }
        all
    }

    /// When it wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let running = self.running.as_ref().filter(|_| self.frozen.is_none())?;
        each!(running, shell => shell.poll_timeout())
    }

    /// Does it serve, with another one in sync that can take over?
    pub fn is_protected(&self) -> bool {
        self.running.as_ref().is_some_and(|running| each!(running, shell => shell.is_protected()))
    }

    /// Procedures it has under way besides.
    pub fn open_procedures(&self) -> usize {
        match &self.running {
            Some(Running::Pcscf(shell)) => shell.node().function().open_procedures(),
            Some(Running::Icscf(shell)) => shell.node().function().open_procedures(),
            Some(Running::Scscf(shell)) => shell.node().function().open_procedures(),
            Some(Running::Hss(_)) | None => 0,
        }
    }

    /// Transactions it holds: server, client.
    pub fn transaction_counts(&self) -> (usize, usize) {
        let counts = |running: &Running| each!(running, shell => shell.node().transaction_counts());
        self.running.as_ref().map_or((0, 0), counts)
    }
}

/// The pairs that a function exchanges signalling with.
fn neighbours(kind: FunctionKind) -> Vec<NeighbourPair> {
    use FunctionKind::{Hss, Icscf, Pcscf, Scscf};
    let others: &[FunctionKind] = match kind {
        Pcscf => &[Icscf, Scscf],
        Icscf => &[Pcscf, Scscf, Hss],
        Scscf => &[Pcscf, Icscf, Hss],
        Hss => &[Icscf, Scscf],
    };
    let pair = |kind| {
        let first = Place::first(kind);
        NeighbourPair { pair: pair_id(kind), serving: [first, first.other()].map(Place::as_neighbour) }
    };
    others.iter().copied().map(pair).collect()
}

fn config(place: Place, is_paired: bool) -> Config {
    let kind = place.kind;
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
            sqn_index_first: if place.instance == InstanceId::One { 0 } else { 16 },
            sqn_index_count: 16,
            sequence_block: 8,
            visited_networks_allowed: vec![],
            server_names: vec![SERVER_NAME.into()],
        }),
    };
    let is_hss = kind == FunctionKind::Hss;
    let asks_hss = matches!(kind, FunctionKind::Icscf | FunctionKind::Scscf);
    let first = Place::first(FunctionKind::Hss);
    let hss_address = address(FunctionKind::Hss);
    let hss = match is_paired {
        true => [first, first.other()].map(|place| (place.node_host(), hss_address)).into(),
        false => [(host_name(FunctionKind::Hss), hss_address)].into(),
    };
    let listen = |address| Listen { address, transports: vec![Transport::Udp, Transport::Tcp] };
    let listen = match kind {
        FunctionKind::Hss => vec![],
        FunctionKind::Pcscf => {
            vec![listen(address(kind)), listen(PCSCF_IPV6.parse().expect("an address written above"))]
        }
        FunctionKind::Icscf | FunctionKind::Scscf => vec![listen(address(kind))],
    };
    Config {
        instance: place.name().to_owned(),
        host_name: host_name(kind),
        home_domain: HOME_DOMAIN.into(),
        listen,
        hosts,
        diameter: (is_hss || asks_hss).then(|| Diameter {
            node_host: is_paired.then(|| place.node_host()),
            listen: if is_hss { vec![address(kind)] } else { vec![] },
            peers: if asks_hss { hss } else { BTreeMap::new() },
            watchdog_seconds: 30,
            request_milliseconds: 3000,
        }),
        timers: SipTimers::default(),
        datagram_bytes_max: 65_000,
        shed_after_milliseconds: 250,
        admin_socket: "/nowhere".into(),
        state_directory: None,
        pair: None,
        function,
    }
}
