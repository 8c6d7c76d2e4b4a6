//! The world: machines, devices and the messages under way, in the order of virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use clock::{Duration, Instant};
use node::config::FunctionKind;
use node::wire::{self, ConnectionId, Destination, Flow};
use node::{CommandKey, Event, Transport};
use pair::{Input, Output};
use rand::SeedableRng;
use rand::rngs::StdRng;
use resilience::permission::{Body, Epoch, Membership, Message, Party, Record, Rules, Witness};
use ue::{Device, Report};

use crate::checkers::Checkers;
use crate::core::{LEASE, Machine, Place, address, host_name, pair_id};
use crate::network::Link;
use crate::sabotage::Sabotage;
use crate::trace::{Trace, summary};

mod pairs;

pub use pairs::Fault;
use pairs::witness;

/// How long it takes to see a process that died and start it again.
const RESTART_AFTER: Duration = Duration::from_millis(300);

/// Something that happens at an instant.
enum Happening {
    /// Something reaches a machine; 0: in whichever life it is.
    ToMachine(Place, Input, u64),
    /// A message reaches an address of a function: whoever serves there reads it.
    ToSocket(FunctionKind, wire::Input),
    /// A message reaches the witness of a pair.
    ToWitness(FunctionKind, Party, Message),
    /// The witness of a pair is started again.
    StartWitness(FunctionKind),
    /// A frozen machine goes on.
    Thaw(Place),
    /// Whoever serves fails, if its pair is whole.
    Fail(FunctionKind, Fault),
    /// A message reaches a device.
    ToDevice(usize, Bytes),
    /// A message of a stream reaches one of its ends, if the stream is still there.
    OnStream { connection: ConnectionId, to_device: bool, bytes: Bytes },
    /// A machine is started again.
    Start(Place),
    /// A Diameter connection that a machine demanded is opened, or not.
    Connect { from: Place, life: u64, peer: String },
}

/// A Diameter connection between two machines: each end has its own name for it.
#[derive(Clone, Copy)]
struct Pipe {
    ends: [(Place, u64, ConnectionId); 2],
    /// In-order delivery: nothing arrives before what was sent before.
    last_arrival: [Instant; 2],
}

/// A stream between a device and the P-CSCF.
struct Stream {
    device: usize,
    /// As the P-CSCF sees it.
    flow: Flow,
    /// In-order delivery, to the P-CSCF and to the device.
    last_arrival: [Instant; 2],
}

/// Messages an adversary remembers.
const OVERHEARD_MAX: usize = 64;

/// The first port from which devices open streams.
const STREAM_PORT_FIRST: u64 = 20_000;

/// The simulated core with its devices.
pub struct World {
    /// Now.
    pub now: Instant,
    /// The devices, by number.
    pub devices: Vec<Device>,
    /// What is checked.
    pub checkers: Checkers,
    /// What happened.
    pub trace: Trace,
    /// How datagrams between devices and P-CSCF are treated.
    pub access: Link,
    machines: BTreeMap<Place, Machine>,
    witnesses: BTreeMap<FunctionKind, Witness>,
    /// What each witness has made durable.
    witnessed: BTreeMap<FunctionKind, Record>,
    dead_witnesses: BTreeSet<FunctionKind>,
    rules: Rules,
    /// Who reads what comes to the addresses of a function.
    serving: BTreeMap<FunctionKind, Place>,
    /// What nobody has read there yet: both of a pair hold the same sockets.
    unread: BTreeMap<FunctionKind, VecDeque<wire::Input>>,
    /// How datagrams between the instances of a pair, and between them and the witness, are treated.
    mirror: Link,
    /// Whose words to the other instance are lost, and until when.
    cut_off: BTreeMap<Place, Instant>,
    /// Instances of pairs that failed while they served.
    pub failures: u64,
    /// Instances that began to serve after another one.
    pub takeovers: u64,
    by_address: BTreeMap<SocketAddr, usize>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    serial: u64,
    pipes: Vec<Pipe>,
    streams: BTreeMap<ConnectionId, Stream>,
    /// The last messages on the access links of the devices whose wires an adversary can read.
    pub overheard: VecDeque<Bytes>,
    /// Those devices.
    pub adversaries: BTreeSet<usize>,
    connection_next: u64,
    command_next: u64,
    commands: BTreeMap<CommandKey, Result<Bytes, String>>,
    network_random: StdRng,
    sabotage: Option<Sabotage>,
    device_deadlines: BTreeSet<(Instant, usize)>,
    device_deadline: Vec<Option<Instant>>,
}

impl World {
    /// A core that has been started and has its Diameter connections.
    pub fn new(
        seed: u64,
        access: Link,
        sabotage: Option<Sabotage>,
        paired: &[FunctionKind],
        rules: Rules,
    ) -> World {
        let is_paired = |kind| paired.contains(&kind);
        let second = paired.iter().map(|kind| Place::first(*kind).other());
        let places: Vec<Place> = FunctionKind::ALL.into_iter().map(Place::first).chain(second).collect();
        let machine =
            |place: Place| (place, Machine::new(place, seed, is_paired(place.kind).then_some(rules)));
        let blank = Record::blank(Membership(0), LEASE);
        let first = |kind| (kind, witness(Instant::ZERO, kind, rules, blank));
        let mut world = World {
            now: Instant::ZERO,
            devices: Vec::new(),
            checkers: Checkers::default(),
            trace: Trace::default(),
            access,
            machines: places.iter().copied().map(machine).collect(),
            witnesses: paired.iter().copied().map(first).collect(),
            witnessed: paired.iter().map(|kind| (*kind, blank)).collect(),
            dead_witnesses: BTreeSet::new(),
            rules,
            serving: FunctionKind::ALL
                .into_iter()
                .filter(|kind| !is_paired(*kind))
                .map(|kind| (kind, Place::first(kind)))
                .collect(),
            unread: BTreeMap::new(),
            mirror: Link::MIRROR,
            cut_off: BTreeMap::new(),
            failures: 0,
            takeovers: 0,
            by_address: BTreeMap::new(),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            serial: 0,
            pipes: Vec::new(),
            streams: BTreeMap::new(),
            overheard: VecDeque::new(),
            adversaries: BTreeSet::new(),
            connection_next: 1,
            command_next: 1,
            commands: BTreeMap::new(),
            network_random: StdRng::seed_from_u64(seed ^ 0x6e65_7477_6f72_6b00),
            sabotage,
            device_deadlines: BTreeSet::new(),
            device_deadline: Vec::new(),
        };
        for place in places {
            world.start(place);
        }
        for _ in 0..100 {
            world.run_for(Duration::from_millis(10));
            // The supervisor that starts a pair for the first time says who is to begin, until somebody has.
            for kind in
                paired.iter().copied().filter(|kind| !world.serving.contains_key(kind)).collect::<Vec<_>>()
            {
                let member = world.machines[&Place::first(kind)].member();
                world.tell_witness(kind, Body::DeclareLossy { epoch: Epoch(0), member });
            }
        }
        world.run_for(Duration::from_secs(1));
        world
    }

    /// Adds a device; its number.
    pub fn add_device(&mut self, device: Device) -> usize {
        let number = self.devices.len();
        self.by_address.insert(device.profile().address, number);
        self.devices.push(device);
        self.device_deadline.push(None);
        number
    }

    /// Lets a device do something.
    pub fn order<T>(&mut self, number: usize, act: impl FnOnce(&mut Device, Instant) -> T) -> T {
        let result = act(&mut self.devices[number], self.now);
        self.drain_device(number);
        result
    }

    /// Sends an operator's command to a function and runs until the result is there.
    pub fn command(
        &mut self,
        kind: FunctionKind,
        name: &str,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, String> {
        let key = CommandKey(self.command_next);
        self.command_next += 1;
        let input = wire::Input::Command { key, name: name.to_owned(), body: body.into() };
        self.give_serving(kind, input);
        for _ in 0..10_000 {
            if let Some(result) = self.commands.remove(&key) {
                return result;
            }
            if !self.step(self.now + Duration::from_secs(10)) {
                break;
            }
        }
        Err(format!("{} gave no result for {name}", kind.as_str()))
    }

    /// Kills a function that is alone; its supervisor starts it again.
    pub fn kill(&mut self, kind: FunctionKind) {
        self.kill_place(Place::first(kind), false);
    }

    /// Runs for a time.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Procedures under way in all functions, besides transactions.
    pub fn open_procedures(&self) -> Vec<(FunctionKind, usize)> {
        let serves = |(place, _): &(&Place, &Machine)| self.serving.get(&place.kind) == Some(place);
        let counts = |(place, machine): (&Place, &Machine)| (place.kind, machine.open_procedures());
        self.machines.iter().filter(serves).map(counts).collect()
    }

    /// An adversary gives a function something to read.
    pub fn inject(&mut self, kind: FunctionKind, input: wire::Input) {
        if let wire::Input::Sip { flow, bytes, .. } = &input {
            let what = format!("=> {} {}", kind.as_str(), summary(bytes));
            self.trace.note(self.now, &format!("{}", flow.remote), what);
        }
        self.give_serving(kind, input);
    }

    /// The name of a connection that nobody else has.
    pub fn next_connection(&mut self) -> ConnectionId {
        self.connection_next += 1;
        ConnectionId(self.connection_next - 1)
    }

    /// Cuts the streams of a device. It opens a new one when it next has something to say.
    pub fn cut(&mut self, number: usize) {
        let of_device = |stream: &mut Stream| stream.device == number;
        let cut: Vec<_> = self.streams.extract_if(.., |_, stream| of_device(stream)).collect();
        for (_, Stream { flow, .. }) in cut {
            self.trace.note(
                self.now,
                &format!("ue{number}"),
                format!("its connection {} is cut", flow.remote),
            );
            self.at_pcscf(Duration::from_millis(1), wire::Input::SipClosed { flow });
        }
    }

    /// Transactions held by all functions.
    pub fn transactions(&self) -> Vec<(FunctionKind, (usize, usize))> {
        let serves = |(place, _): &(&Place, &Machine)| self.serving.get(&place.kind) == Some(place);
        let counts = |(place, machine): (&Place, &Machine)| (place.kind, machine.transaction_counts());
        self.machines.iter().filter(serves).map(counts).collect()
    }

    /// The next thing that happens, if it is not after `until`.
    fn step(&mut self, until: Instant) -> bool {
        let happening = self.queue.peek().map(|Reverse((at, _))| *at);
        let machine = self.machines.iter().filter_map(|(place, m)| Some((m.poll_timeout()?, *place))).min();
        let device = self.device_deadlines.first().copied();
        let next =
            [happening, machine.map(|(at, _)| at), device.map(|(at, _)| at)].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= until) else { return false };
        self.now = self.now.max(next);
        if happening == Some(next) {
            if let Some(Reverse((_, serial))) = self.queue.pop()
                && let Some(happening) = self.happenings.remove(&serial)
            {
                self.carry_out(happening);
            }
        } else if let Some((_, place)) = machine.filter(|(at, _)| *at == next) {
            let now = self.now;
            if let Some(machine) = self.machines.get_mut(&place) {
                machine.handle_timeout(now);
            }
            self.drain_machine(place);
        } else if let Some((_, number)) = device {
            let now = self.now;
            self.devices[number].handle_timeout(now);
            self.drain_device(number);
        }
        true
    }

    fn carry_out(&mut self, happening: Happening) {
        match happening {
            Happening::ToMachine(place, input, life) => {
                if life == 0 || self.machines.get(&place).is_some_and(|machine| machine.lives() == life) {
                    self.give(place, input);
                }
            }
            Happening::ToSocket(kind, input) => self.give_serving(kind, input),
            Happening::StartWitness(kind) => {
                self.trace.note(self.now, "witness", format!("of {} started", kind.as_str()));
                self.dead_witnesses.remove(&kind);
                self.witnesses.insert(kind, witness(self.now, kind, self.rules, self.witnessed[&kind]));
            }
            Happening::ToWitness(kind, from, message) => {
                if let Some(witness) =
                    self.witnesses.get_mut(&kind).filter(|_| !self.dead_witnesses.contains(&kind))
                {
                    witness.handle_message(self.now, from, message);
                }
                self.drain_witness(kind);
            }
            Happening::Fail(kind, fault) => self.fail(kind, fault),
            Happening::Thaw(place) => {
                self.trace.note(self.now, place.name(), "thawed");
                if let Some(machine) = self.machines.get_mut(&place) {
                    machine.thaw(self.now);
                }
                self.drain_machine(place);
                self.read_socket(place.kind);
            }
            Happening::OnStream { connection, to_device, bytes } => {
                let Some(stream) = self.streams.get(&connection) else { return };
                match to_device {
                    true => self.carry_out(Happening::ToDevice(stream.device, bytes)),
                    false => {
                        let input = wire::Input::Sip { flow: stream.flow, bytes, waited: Duration::ZERO };
                        self.give_serving(FunctionKind::Pcscf, input);
                    }
                }
            }
            Happening::ToDevice(number, bytes) => {
                self.overhear(number, &bytes);
                self.trace.note(self.now, &format!("ue{number}"), format!("<- {}", summary(&bytes)));
                let now = self.now;
                // Functions that are spoken to directly answer directly, and echo what they refuse.
                if !self.adversaries.contains(&number) {
                    self.checkers.on_device_receives(number, &bytes);
                }
                self.devices[number].handle_message(now, bytes);
                self.drain_device(number);
            }
            Happening::Start(place) => self.start(place),
            Happening::Connect { from, life, peer } => self.connect(from, life, peer),
        }
    }

    fn start(&mut self, place: Place) {
        let now = self.now;
        self.trace.note(now, place.name(), "started");
        if let Some(machine) = self.machines.get_mut(&place) {
            machine.start(now);
        }
        self.drain_machine(place);
    }

    fn give(&mut self, place: Place, input: Input) {
        let now = self.now;
        if let Some(machine) = self.machines.get_mut(&place) {
            machine.handle_input(now, input);
        }
        self.drain_machine(place);
    }

    fn drain_machine(&mut self, place: Place) {
        let outputs = self.machines.get_mut(&place).map(Machine::drain).unwrap_or_default();
        for output in outputs {
            match output {
                Output::Node(output) => self.carry_out_of_node(place, output),
                Output::ToOther(_) if self.cut_off.get(&place).is_some_and(|until| self.now < *until) => {}
                Output::ToOther(bytes) => {
                    for delay in self.mirror.arrivals(&mut self.network_random) {
                        let input = Input::FromOther(bytes.clone());
                        self.at(delay, Happening::ToMachine(place.other(), input, 0));
                    }
                }
                Output::ToWitness(_, bytes) => {
                    let Ok(message) = postcard::from_bytes(&bytes) else { continue };
                    for delay in self.mirror.arrivals(&mut self.network_random) {
                        let from = Party::Instance(place.instance);
                        self.at(delay, Happening::ToWitness(place.kind, from, message));
                    }
                }
                Output::ToNeighbour(to, bytes) => {
                    let from = pair::Address { pair: pair_id(place.kind), instance: place.instance };
                    let Some(kind) = FunctionKind::ALL.into_iter().find(|kind| pair_id(*kind) == to.pair)
                    else {
                        continue;
                    };
                    let to = Place { kind, instance: to.instance };
                    for delay in self.mirror.arrivals(&mut self.network_random) {
                        let input = Input::FromNeighbour(from, bytes.clone());
                        self.at(delay, Happening::ToMachine(to, input, 0));
                    }
                }
                Output::Serving(epoch) => self.on_serving(place, epoch),
                Output::Following(epoch) => {
                    self.trace.note(self.now, place.name(), format!("follows in epoch {}", epoch.0));
                    if self.serving.get(&place.kind) == Some(&place) {
                        self.serving.remove(&place.kind);
                    }
                }
                Output::Became(became) => self.trace.note(self.now, place.name(), format!("{became:?}")),
                Output::Broken(reason) => {
                    self.checkers.violate(format!("{} broke: {reason}", place.name()));
                }
                Output::Persist(_) => {}
            }
        }
    }

    fn carry_out_of_node(&mut self, place: Place, output: wire::Output) {
        match output {
            wire::Output::Sip { destination, bytes } => {
                self.send_from_machine(place.kind, destination, bytes);
            }
            wire::Output::DiameterConnect { peer, .. } => {
                let life = self.machines.get(&place).map_or(0, Machine::lives);
                self.at(Duration::from_micros(200), Happening::Connect { from: place, life, peer });
            }
            wire::Output::Diameter { connection, bytes } => self.send_on_pipe(place, connection, bytes),
            wire::Output::DiameterClose { connection } => self.close_pipe(place, connection),
            wire::Output::CommandResult { key, result } => {
                self.commands.insert(key, result);
            }
            wire::Output::Event(event) => self.on_event(place.kind, &event),
            wire::Output::Commit | wire::Output::SipClose { .. } | wire::Output::Stopped => {}
        }
    }

    fn on_event(&mut self, kind: FunctionKind, event: &Event) {
        match event {
            Event::Diameter { is_received: true, command, result, .. } => {
                let result = result.as_deref().unwrap_or("");
                self.trace.note(self.now, kind.as_str(), format!("<- {command} {result}"));
            }
            Event::Procedure { name, outcome, detail, .. } => {
                self.trace.note(self.now, kind.as_str(), format!("{name}: {outcome} {detail}"));
            }
            Event::MessageRejected { cause, reason, .. } => {
                self.trace.note(self.now, kind.as_str(), format!("rejected ({cause}): {reason}"));
            }
            Event::Alarm { cause, reason } => {
                self.trace.note(self.now, kind.as_str(), format!("ALARM {cause}: {reason}"));
            }
            _ => {}
        }
        self.checkers.on_event(kind, event);
    }

    fn send_from_machine(&mut self, kind: FunctionKind, destination: Destination, bytes: Bytes) {
        let copies = match self.sabotage {
            Some(sabotage) => sabotage.apply(kind, bytes),
            None => vec![bytes],
        };
        for bytes in copies {
            self.trace.note(
                self.now,
                kind.as_str(),
                format!("-> {} {}", destination.remote, summary(&bytes)),
            );
            self.checkers.on_sent(self.now, kind, &bytes);
            if destination.transport == Transport::Tcp && kind == FunctionKind::Pcscf {
                self.send_on_stream_to(destination, bytes);
            } else if let Some(number) = self.by_address.get(&destination.remote).copied() {
                for delay in self.access.arrivals(&mut self.network_random) {
                    self.at(delay, Happening::ToDevice(number, bytes.clone()));
                }
            } else if let Some(to) =
                FunctionKind::ALL.into_iter().find(|to| address(*to) == destination.remote)
            {
                let remote = destination.local.unwrap_or_else(|| address(kind));
                let flow = Flow { transport: Transport::Udp, local: address(to), remote, connection: None };
                for delay in Link::CORE.arrivals(&mut self.network_random) {
                    let input = wire::Input::Sip { flow, bytes: bytes.clone(), waited: Duration::ZERO };
                    self.at(delay, Happening::ToSocket(to, input));
                }
            }
        }
    }

    /// The P-CSCF sends over TCP: on the stream it names, on any to that address, or on a new one to where a device
    /// listens.
    fn send_on_stream_to(&mut self, destination: Destination, bytes: Bytes) {
        let named = destination.connection.filter(|connection| self.streams.contains_key(connection));
        let same = || self.streams.iter().rev().find(|(_, stream)| stream.flow.remote == destination.remote);
        let found = named.or_else(|| same().map(|(connection, _)| *connection)).or_else(|| {
            let number = self.by_address.get(&destination.remote).copied()?;
            self.devices[number].profile().is_reliable.then(|| self.open(number, destination.remote))
        });
        match found {
            Some(connection) => self.send_on_stream(connection, true, bytes),
            None => {
                self.at_pcscf(Duration::from_millis(5), wire::Input::SipUnreachable { destination });
            }
        }
    }

    fn open(&mut self, device: usize, remote: SocketAddr) -> ConnectionId {
        let connection = self.next_connection();
        let local = self.devices[device].profile().pcscf;
        let flow = Flow { transport: Transport::Tcp, local, remote, connection: Some(connection) };
        self.streams.insert(connection, Stream { device, flow, last_arrival: [self.now; 2] });
        connection
    }

    fn send_on_stream(&mut self, connection: ConnectionId, to_device: bool, bytes: Bytes) {
        let arrival = self.now + self.access.delay(&mut self.network_random);
        let Some(stream) = self.streams.get_mut(&connection) else { return };
        let last = &mut stream.last_arrival[usize::from(to_device)];
        *last = arrival.max(*last);
        let delay = *last - self.now;
        self.at(delay, Happening::OnStream { connection, to_device, bytes });
    }

    /// A device sends over TCP: on its newest stream, else on a new one from a port of its own.
    fn send_from_device(&mut self, number: usize, bytes: Bytes) {
        let serving = self.serving.get(&FunctionKind::Pcscf).and_then(|place| self.machines.get(place));
        if serving.is_none_or(|machine| !machine.is_running()) {
            return;
        }
        let newest = self.streams.iter().rev().find(|(_, stream)| stream.device == number);
        let connection = newest.map(|(connection, _)| *connection).unwrap_or_else(|| {
            let port = STREAM_PORT_FIRST + self.connection_next % 40_000;
            let ip = self.devices[number].profile().address.ip();
            self.open(number, SocketAddr::new(ip, u16::try_from(port).expect("20,000 and below 40,000 more")))
        });
        self.send_on_stream(connection, false, bytes);
    }

    /// The adversary reads the wires of its own devices only: who reads others' can do worse than send garbage.
    fn overhear(&mut self, number: usize, bytes: &Bytes) {
        if self.adversaries.contains(&number) {
            if self.overheard.len() == OVERHEARD_MAX {
                self.overheard.pop_front();
            }
            self.overheard.push_back(bytes.clone());
        }
    }

    fn drain_device(&mut self, number: usize) {
        while let Some(output) = self.devices[number].poll_output() {
            match output {
                ue::Output::Send(bytes) => {
                    self.trace.note(self.now, &format!("ue{number}"), format!("-> {}", summary(&bytes)));
                    self.overhear(number, &bytes);
                    let profile = self.devices[number].profile();
                    if profile.is_reliable {
                        self.send_from_device(number, bytes);
                        continue;
                    }
                    let (local, remote) = (profile.pcscf, profile.address);
                    let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
                    for delay in self.access.arrivals(&mut self.network_random) {
                        let input = wire::Input::Sip { flow, bytes: bytes.clone(), waited: Duration::ZERO };
                        self.at(delay, Happening::ToSocket(FunctionKind::Pcscf, input));
                    }
                }
                ue::Output::Report(report) => self.on_report(number, report),
            }
        }
        let deadline = self.devices[number].poll_timeout();
        if let Some(old) = std::mem::replace(&mut self.device_deadline[number], deadline) {
            self.device_deadlines.remove(&(old, number));
        }
        if let Some(at) = deadline {
            self.device_deadlines.insert((at, number));
        }
    }

    fn on_report(&mut self, number: usize, report: Report) {
        self.trace.note(self.now, &format!("ue{number}"), format!("{report:?}"));
        if !self.adversaries.contains(&number) {
            self.checkers.on_report(number, report);
        }
    }

    /// Something of a connection of the P-CSCF that serves now, if it still lives then.
    fn at_pcscf(&mut self, delay: Duration, input: wire::Input) {
        let Some(place) = self.serving.get(&FunctionKind::Pcscf).copied() else { return };
        let life = self.machines.get(&place).map_or(0, Machine::lives);
        self.at(delay, Happening::ToMachine(place, Input::Node(input), life));
    }

    fn connect(&mut self, from: Place, life: u64, peer: String) {
        if self.machines.get(&from).is_none_or(|machine| machine.lives() != life || !machine.is_running()) {
            return;
        }
        let kinds = FunctionKind::ALL.into_iter();
        let places = kinds.map(Place::first).flat_map(|place| [place, place.other()]);
        let to = places.clone().find(|place| place.node_host() == peer);
        let to = to.or_else(|| places.clone().find(|place| host_name(place.kind) == peer));
        let running =
            to.and_then(|to| Some((to, self.machines.get(&to).filter(|machine| machine.is_running())?)));
        let Some((to, machine)) = running else {
            return self.give(from, Input::Node(wire::Input::DiameterConnectFailed { peer }));
        };
        let to_life = machine.lives();
        let [near, far] = [self.connection_next, self.connection_next + 1].map(ConnectionId);
        self.connection_next += 2;
        self.pipes.push(Pipe { ends: [(from, life, near), (to, to_life, far)], last_arrival: [self.now; 2] });
        let connected = |connection, peer, remote: Place| {
            let remote = address(remote.kind);
            Input::Node(wire::Input::DiameterConnected { connection, peer, remote })
        };
        self.give(to, connected(far, None, from));
        self.give(from, connected(near, Some(peer), to));
    }

    fn send_on_pipe(&mut self, place: Place, connection: ConnectionId, bytes: Bytes) {
        let delay = Link::CORE.delay(&mut self.network_random);
        let arrival = self.now + delay;
        let Some((pipe, side)) = self.pipes.iter_mut().find_map(|pipe| {
            let side = pipe.ends.iter().position(|(end, _, own)| *end == place && *own == connection)?;
            Some((pipe, side))
        }) else {
            return;
        };
        let (to, life, far) = pipe.ends[1 - side];
        let arrival = arrival.max(pipe.last_arrival[side]);
        pipe.last_arrival[side] = arrival;
        let input = Input::Node(wire::Input::DiameterBytes { connection: far, bytes });
        self.at(arrival - self.now, Happening::ToMachine(to, input, life));
    }

    fn close_pipe(&mut self, place: Place, connection: ConnectionId) {
        let found = self
            .pipes
            .iter()
            .position(|pipe| pipe.ends.iter().any(|(end, _, own)| *end == place && *own == connection));
        let Some(found) = found else { return };
        let pipe = self.pipes.remove(found);
        for (end, life, own) in pipe.ends {
            if own != connection {
                let input = Input::Node(wire::Input::DiameterClosed { connection: own });
                self.at(Duration::from_micros(100), Happening::ToMachine(end, input, life));
            }
        }
    }

    fn at(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.queue.push(Reverse((self.now + delay, self.serial)));
        self.happenings.insert(self.serial, happening);
    }
}
