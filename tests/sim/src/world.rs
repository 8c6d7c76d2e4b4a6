//! The world: machines, devices and the messages under way, in the order of virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use clock::{Duration, Instant};
use node::config::FunctionKind;
use node::wire::{ConnectionId, Destination, Flow, Input, Output};
use node::{CommandKey, Event, Transport};
use rand::SeedableRng;
use rand::rngs::StdRng;
use ue::{Device, Report};

use crate::checkers::Checkers;
use crate::core::{Machine, address};
use crate::network::Link;
use crate::sabotage::Sabotage;
use crate::trace::{Trace, summary};

/// How long it takes to see a process that died and start it again.
const RESTART_AFTER: Duration = Duration::from_millis(300);

/// Something that happens at an instant.
enum Happening {
    /// A datagram or a message of a stream reaches a machine.
    ToMachine(FunctionKind, Input, u64),
    /// A message reaches a device.
    ToDevice(usize, Bytes),
    /// A message of a stream reaches one of its ends, if the stream is still there.
    OnStream { connection: ConnectionId, to_device: bool, bytes: Bytes },
    /// A machine is started again.
    Start(FunctionKind),
    /// A Diameter connection that a machine demanded is opened, or not.
    Connect { from: FunctionKind, life: u64, peer: String },
}

/// A Diameter connection between two machines: each end has its own name for it.
#[derive(Clone, Copy)]
struct Pipe {
    ends: [(FunctionKind, u64, ConnectionId); 2],
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
    machines: BTreeMap<FunctionKind, Machine>,
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
    pub fn new(seed: u64, access: Link, sabotage: Option<Sabotage>) -> World {
        let mut world = World {
            now: Instant::ZERO,
            devices: Vec::new(),
            checkers: Checkers::default(),
            trace: Trace::default(),
            access,
            machines: FunctionKind::ALL.iter().map(|kind| (*kind, Machine::new(*kind, seed))).collect(),
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
        for kind in FunctionKind::ALL {
            world.start(kind);
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
        let input = Input::Command { key, name: name.to_owned(), body: body.into() };
        self.give(kind, input);
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

    /// Kills a function; its supervisor starts it again.
    pub fn kill(&mut self, kind: FunctionKind) {
        self.trace.note(self.now, kind.as_str(), "KILLED");
        if let Some(machine) = self.machines.get_mut(&kind) {
            machine.kill();
        }
        if kind == FunctionKind::Pcscf {
            self.streams.clear();
        }
        let ended: Vec<Pipe> = self
            .pipes
            .iter()
            .filter(|pipe| pipe.ends.iter().any(|(end, ..)| *end == kind))
            .copied()
            .collect();
        self.pipes.retain(|pipe| pipe.ends.iter().all(|(end, ..)| *end != kind));
        for pipe in ended {
            for (end, life, connection) in pipe.ends.into_iter().filter(|(end, ..)| *end != kind) {
                self.at(
                    Duration::from_micros(100),
                    Happening::ToMachine(end, Input::DiameterClosed { connection }, life),
                );
            }
        }
        self.at(RESTART_AFTER, Happening::Start(kind));
    }

    /// Runs for a time.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Procedures under way in all functions, besides transactions.
    pub fn open_procedures(&self) -> Vec<(FunctionKind, usize)> {
        self.machines.iter().map(|(kind, machine)| (*kind, machine.open_procedures())).collect()
    }

    /// An adversary gives a function something to read.
    pub fn inject(&mut self, kind: FunctionKind, input: Input) {
        if let Input::Sip { flow, bytes, .. } = &input {
            let what = format!("=> {} {}", kind.as_str(), summary(bytes));
            self.trace.note(self.now, &format!("{}", flow.remote), what);
        }
        self.give(kind, input);
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
        let life = self.machines.get(&FunctionKind::Pcscf).map_or(0, Machine::lives);
        for (_, Stream { flow, .. }) in cut {
            self.trace.note(
                self.now,
                &format!("ue{number}"),
                format!("its connection {} is cut", flow.remote),
            );
            let input = Input::SipClosed { flow };
            self.at(Duration::from_millis(1), Happening::ToMachine(FunctionKind::Pcscf, input, life));
        }
    }

    /// Transactions held by all functions.
    pub fn transactions(&self) -> Vec<(FunctionKind, (usize, usize))> {
        self.machines.iter().map(|(kind, machine)| (*kind, machine.transaction_counts())).collect()
    }

    /// The next thing that happens, if it is not after `until`.
    fn step(&mut self, until: Instant) -> bool {
        let happening = self.queue.peek().map(|Reverse((at, _))| *at);
        let machine = self.machines.iter().filter_map(|(kind, m)| Some((m.poll_timeout()?, *kind))).min();
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
        } else if let Some((_, kind)) = machine.filter(|(at, _)| *at == next) {
            let now = self.now;
            if let Some(machine) = self.machines.get_mut(&kind) {
                machine.handle_timeout(now);
            }
            self.drain_machine(kind);
        } else if let Some((_, number)) = device {
            let now = self.now;
            self.devices[number].handle_timeout(now);
            self.drain_device(number);
        }
        true
    }

    fn carry_out(&mut self, happening: Happening) {
        match happening {
            Happening::ToMachine(kind, input, life) => {
                if life == 0 || self.machines.get(&kind).is_some_and(|machine| machine.lives() == life) {
                    self.give(kind, input);
                }
            }
            Happening::OnStream { connection, to_device, bytes } => {
                let Some(stream) = self.streams.get(&connection) else { return };
                match to_device {
                    true => self.carry_out(Happening::ToDevice(stream.device, bytes)),
                    false => {
                        let input = Input::Sip { flow: stream.flow, bytes, waited: Duration::ZERO };
                        self.give(FunctionKind::Pcscf, input);
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
            Happening::Start(kind) => self.start(kind),
            Happening::Connect { from, life, peer } => self.connect(from, life, peer),
        }
    }

    fn start(&mut self, kind: FunctionKind) {
        let now = self.now;
        self.trace.note(now, kind.as_str(), "started");
        if let Some(machine) = self.machines.get_mut(&kind) {
            machine.start();
        }
        self.drain_machine(kind);
    }

    fn give(&mut self, kind: FunctionKind, input: Input) {
        let now = self.now;
        if let Some(machine) = self.machines.get_mut(&kind) {
            machine.handle_input(now, input);
        }
        self.drain_machine(kind);
    }

    fn drain_machine(&mut self, kind: FunctionKind) {
        let outputs = self.machines.get_mut(&kind).map(Machine::drain).unwrap_or_default();
        for output in outputs {
            match output {
                Output::Sip { destination, bytes } => self.send_from_machine(kind, destination, bytes),
                Output::DiameterConnect { peer, .. } => {
                    let life = self.machines.get(&kind).map_or(0, Machine::lives);
                    self.at(Duration::from_micros(200), Happening::Connect { from: kind, life, peer });
                }
                Output::Diameter { connection, bytes } => self.send_on_pipe(kind, connection, bytes),
                Output::DiameterClose { connection } => self.close_pipe(kind, connection),
                Output::CommandResult { key, result } => {
                    self.commands.insert(key, result);
                }
                Output::Event(event) => self.on_event(kind, &event),
                Output::Commit | Output::SipClose { .. } | Output::Stopped => {}
            }
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
                    let input = Input::Sip { flow, bytes: bytes.clone(), waited: Duration::ZERO };
                    self.at(delay, Happening::ToMachine(to, input, 0));
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
                let input = Input::SipUnreachable { destination };
                let life = self.machines.get(&FunctionKind::Pcscf).map_or(0, Machine::lives);
                self.at(Duration::from_millis(5), Happening::ToMachine(FunctionKind::Pcscf, input, life));
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
        if self.machines.get(&FunctionKind::Pcscf).is_none_or(|machine| !machine.is_running()) {
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
                        let input = Input::Sip { flow, bytes: bytes.clone(), waited: Duration::ZERO };
                        self.at(delay, Happening::ToMachine(FunctionKind::Pcscf, input, 0));
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

    fn connect(&mut self, from: FunctionKind, life: u64, peer: String) {
        if self.machines.get(&from).is_none_or(|machine| machine.lives() != life || !machine.is_running()) {
            return;
        }
        let to = FunctionKind::ALL.into_iter().find(|kind| crate::core::host_name(*kind) == peer);
        let running =
            to.and_then(|to| Some((to, self.machines.get(&to).filter(|machine| machine.is_running())?)));
        let Some((to, machine)) = running else {
            return self.give(from, Input::DiameterConnectFailed { peer });
        };
        let to_life = machine.lives();
        let [near, far] = [self.connection_next, self.connection_next + 1].map(ConnectionId);
        self.connection_next += 2;
        self.pipes.push(Pipe { ends: [(from, life, near), (to, to_life, far)], last_arrival: [self.now; 2] });
        self.give(to, Input::DiameterConnected { connection: far, peer: None, remote: address(from) });
        self.give(from, Input::DiameterConnected { connection: near, peer: Some(peer), remote: address(to) });
    }

    fn send_on_pipe(&mut self, kind: FunctionKind, connection: ConnectionId, bytes: Bytes) {
        let delay = Link::CORE.delay(&mut self.network_random);
        let arrival = self.now + delay;
        let Some((pipe, side)) = self.pipes.iter_mut().find_map(|pipe| {
            let side = pipe.ends.iter().position(|(end, _, own)| *end == kind && *own == connection)?;
            Some((pipe, side))
        }) else {
            return;
        };
        let (to, life, far) = pipe.ends[1 - side];
        let arrival = arrival.max(pipe.last_arrival[side]);
        pipe.last_arrival[side] = arrival;
        let input = Input::DiameterBytes { connection: far, bytes };
        self.at(arrival - self.now, Happening::ToMachine(to, input, life));
    }

    fn close_pipe(&mut self, kind: FunctionKind, connection: ConnectionId) {
        let found = self
            .pipes
            .iter()
            .position(|pipe| pipe.ends.iter().any(|(end, _, own)| *end == kind && *own == connection));
        let Some(found) = found else { return };
        let pipe = self.pipes.remove(found);
        for (end, life, own) in pipe.ends {
            if own != connection {
                let input = Input::DiameterClosed { connection: own };
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
