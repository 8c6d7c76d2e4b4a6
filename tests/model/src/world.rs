//! The world: three or four machines with clocks, what runs on them, and the messages between them.
//!
//! A step is one of [`Step`]. What a step sends is lost or not at sending, message by message, so each step has several
//! outcomes; a message that is not lost arrives whenever it likes, or never. A message that is lost later would be
//! no different: what is in flight changes nothing but by arriving.

use clock::{Duration, Instant};
use resilience::permission::{
    Became, Body, Durable, Epoch, Incarnation, Instance, InstanceId, LossyStart, Member, Membership, Message,
    Output, PairId, Party, Record, Role, Rules, Start, Timing, VERSION, Witness,
};
use serde::{Deserialize, Serialize};

use crate::ghost::{Ghost, Violation, has_released};

/// The one pair there is.
pub const PAIR: PairId = PairId(0);
/// A lease of four ticks, a tick being a microsecond: all times of permission are whole ticks then.
pub const LEASE: Duration = Duration::from_micros(4);

/// How often each fault, and each thing that costs states, may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Budget {
    /// Ticks of true time.
    pub ticks: u8,
    /// Records that holders commit.
    pub records: u8,
    /// Losses of memory of an instance.
    pub crashes: u8,
    /// Losses of memory of the witness; its durable record stays.
    pub witness_crashes: u8,
    /// Stops of a process whose clock goes on.
    pub freezes: u8,
    /// Stops of a machine with its clock.
    pub pauses: u8,
    /// Ticks that one clock does not see, or sees twice. One in five ticks is the bound that the rules assume.
    pub drifts: u8,
    /// Messages that arrive twice.
    pub duplicates: u8,
    /// New witnesses in place of the old one, which may live on.
    pub replacements: u8,
    /// Orderly hand-overs.
    pub hand_overs: u8,
    /// Death notices.
    pub notices: u8,
    /// Lossy starts that somebody declares, rightly or not.
    pub declarations: u8,
}

impl Budget {
    /// Each with its flag on a command line.
    pub fn named_mut(&mut self) -> [(&'static str, &mut u8); 12] {
        [
            ("--ticks", &mut self.ticks),
            ("--records", &mut self.records),
            ("--crashes", &mut self.crashes),
            ("--witness-crashes", &mut self.witness_crashes),
            ("--freezes", &mut self.freezes),
            ("--pauses", &mut self.pauses),
            ("--drifts", &mut self.drifts),
            ("--duplicates", &mut self.duplicates),
            ("--replacements", &mut self.replacements),
            ("--hand-overs", &mut self.hand_overs),
            ("--notices", &mut self.notices),
            ("--declarations", &mut self.declarations),
        ]
    }
}

/// Who stands on a machine of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Host {
    /// Of an instance.
    Instance(InstanceId),
    /// Of the witness of this membership: 0 the first, 1 the new one.
    Witness(u8),
}

/// How a machine goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Going {
    /// It runs.
    Running,
    /// Its process stands, its clock goes on.
    Frozen,
    /// It stands with its clock.
    Paused,
}

/// A machine and what runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Machine<T, D> {
    /// `None` after a crash.
    pub process: Option<T>,
    /// How it goes.
    pub going: Going,
    /// Its clock.
    pub now: Instant,
    /// How often something was started on it.
    pub starts: u8,
    /// What survives a crash.
    pub disk: D,
}

/// A message under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flight {
    /// From whom.
    pub from: Party,
    /// To whom.
    pub to: Party,
    /// What.
    pub message: Message,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct World {
    /// What may still happen.
    pub budget: Budget,
    /// Which rules hold, for what is started later.
    pub rules: Rules,
    /// X1 and X2 with the membership that survives them.
    pub instances: [Machine<Instance, Membership>; 2],
    /// The witness, and the one that replaced it.
    pub witnesses: Vec<Machine<Witness, Option<Record>>>,
    /// In an order that tells nothing.
    pub flights: Vec<Flight>,
    /// At most so many are under way; more are lost.
    pub flights_max: u8,
    /// What an observer outside remembers.
    pub ghost: Ghost,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// True time goes on by a tick; this clock does not see it, or sees two.
    Tick(Option<(Host, Drift)>),
    /// What is due at this process is done.
    Due(Host),
    /// This message arrives; it may stay under way and arrive again.
    Arrive {
        /// Which one.
        flight: usize,
        /// Does it stay under way?
        again: bool,
    },
    /// The holder commits a record.
    Commit(InstanceId),
    /// The holder hands over.
    HandOver(InstanceId),
    /// The process loses its memory.
    Crash(Host),
    /// It is started again.
    Restart(Host),
    /// It stands.
    Stop(Host, Going),
    /// It goes on.
    GoOn(Host),
    /// Host agents set up a new witness.
    Replace,
    /// The supervisor of a dead life tells this host.
    Notice {
        /// Which life is over.
        dead: Member,
        /// Who is told.
        to: Host,
    },
    /// Somebody tells the witness to begin with this instance.
    Declare(InstanceId),
}

/// How a clock is wrong in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It does not move.
    Slow,
    /// It moves by two.
    Fast,
}

/// What a step made, before the network decides.
pub struct Outcome {
    /// The world with everything done but the sending.
    pub world: World,
    /// What was said, in order.
    pub sends: Vec<Flight>,
    /// What became.
    pub became: Vec<(Host, Became)>,
    /// What is wrong with it.
    pub violation: Option<Violation>,
}

/// Times for [`LEASE`].
pub fn timing() -> Timing {
    Timing::of(LEASE).expect("four microseconds are enough")
}

const TICK: Duration = Duration::from_micros(1);

impl World {
    /// A pair at its very beginning: all three start, nothing was granted.
    pub fn blank(rules: Rules, budget: Budget, flights_max: u8) -> World {
        let zero = Instant::ZERO;
        let record = Record::blank(Membership(0), LEASE);
        let witness = Witness::start(zero, PAIR, timing(), rules, LossyStart::Allowed, record);
        let machine = |instance| Machine {
            process: Some(start_instance(zero, rules, instance, 1, Membership(0))),
            going: Going::Running,
            now: zero,
            starts: 1,
            disk: Membership(0),
        };
        World {
            budget,
            rules,
            instances: [machine(InstanceId::One), machine(InstanceId::Two)],
            witnesses: vec![Machine {
                process: Some(witness),
                going: Going::Running,
                now: zero,
                starts: 1,
                disk: Some(record),
            }],
            flights: Vec::new(),
            flights_max,
            ghost: Ghost::default(),
        }
    }

    /// Other rules for everybody from here on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        for process in self.instances.iter_mut().filter_map(|machine| machine.process.as_mut()) {
            process.set_rules(rules);
        }
        for process in self.witnesses.iter_mut().filter_map(|machine| machine.process.as_mut()) {
            process.set_rules(rules);
        }
    }

    /// The machine of an instance.
    pub fn instance(&self, id: InstanceId) -> &Machine<Instance, Membership> {
        &self.instances[index(id)]
    }

    /// Everything that can happen now.
    pub fn steps(&self, into: &mut Vec<Step>) {
        let budget = &self.budget;
        let hosts = self.hosts();
        let due = |host: &Host| self.is_running(*host) && self.due_at(*host);
        let before = into.len();
        into.extend(hosts.iter().copied().filter(due).map(Step::Due));
        let nobody_is_due = into.len() == before;
        if nobody_is_due && budget.ticks > 0 {
            into.push(Step::Tick(None));
            if budget.drifts > 0 {
                for &host in &hosts {
                    into.push(Step::Tick(Some((host, Drift::Slow))));
                    into.push(Step::Tick(Some((host, Drift::Fast))));
                }
            }
        }
        for (flight, message) in self.flights.iter().enumerate() {
            if self.host_of(message.to).is_some_and(|host| self.is_running(host)) {
                into.push(Step::Arrive { flight, again: false });
                if budget.duplicates > 0 {
                    into.push(Step::Arrive { flight, again: true });
                }
            }
        }
        for id in InstanceId::BOTH {
            let machine = self.instance(id);
            let Some(process) = &machine.process else { continue };
            if machine.going == Going::Running && process.may_emit(machine.now) {
                if budget.records > 0 {
                    into.push(Step::Commit(id));
                }
                if budget.hand_overs > 0 && process.is_protected() {
                    into.push(Step::HandOver(id));
                }
            }
        }
        for &host in &hosts {
            self.faults_of(host, into);
        }
        if budget.replacements > 0 && self.witnesses.len() == 1 {
            into.push(Step::Replace);
        }
        if budget.declarations > 0 {
            into.extend(
                InstanceId::BOTH
                    .into_iter()
                    .filter(|&id| self.instance(id).process.is_some())
                    .map(Step::Declare),
            );
        }
    }

    fn faults_of(&self, host: Host, into: &mut Vec<Step>) {
        let budget = &self.budget;
        if !self.is_alive(host) {
            into.push(Step::Restart(host));
        } else {
            let crashes = match host {
                Host::Instance(_) => budget.crashes,
                Host::Witness(_) => budget.witness_crashes,
            };
            if crashes > 0 {
                into.push(Step::Crash(host));
            }
            if self.is_running(host) {
                if budget.freezes > 0 {
                    into.push(Step::Stop(host, Going::Frozen));
                }
                if budget.pauses > 0 {
                    into.push(Step::Stop(host, Going::Paused));
                }
            } else {
                into.push(Step::GoOn(host));
            }
        }
        if let (Host::Instance(instance), true) = (host, budget.notices > 0) {
            let machine = self.instance(instance);
            let last = if machine.process.is_some() { machine.starts - 1 } else { machine.starts };
            if last > 0 {
                let dead = Member { instance, incarnation: Incarnation(last.into()) };
                let told = [Host::Instance(instance.other()), Host::Witness(0), Host::Witness(1)];
                into.extend(
                    told.into_iter()
                        .filter(|&to| self.exists(to) && self.is_running(to))
                        .map(|to| Step::Notice { dead, to }),
                );
            }
        }
    }

    /// Does one step. The network has not decided yet what it loses.
    pub fn take(&self, step: Step) -> Outcome {
        let mut world = self.clone();
        let mut outputs = Vec::new();
        let before = self.before();
        match step {
            Step::Tick(drift) => world.tick(drift),
            Step::Due(host) => world.with(host, &mut outputs, |process, now| process.handle_timeout(now)),
            Step::Arrive { flight, again } => {
                let Flight { from, to, message } = self.flights[flight].clone();
                if again {
                    world.budget.duplicates -= 1;
                } else {
                    world.flights.remove(flight);
                }
                if let Some(host) = self.host_of(to) {
                    world.with(host, &mut outputs, |process, now| process.handle_message(now, from, message));
                }
            }
            Step::Commit(id) => {
                world.budget.records -= 1;
                world.with(Host::Instance(id), &mut outputs, |process, now| {
                    if let Process::Instance(instance) = process {
                        instance.commit(now);
                    }
                });
            }
            Step::HandOver(id) => {
                world.budget.hand_overs -= 1;
                world.with(Host::Instance(id), &mut outputs, |process, now| {
                    if let Process::Instance(instance) = process {
                        instance.hand_over(now);
                    }
                });
            }
            Step::Crash(host) => world.crash(host),
            Step::Restart(host) => world.restart(host, &mut outputs),
            Step::Stop(host, going) => {
                match going {
                    Going::Frozen => world.budget.freezes -= 1,
                    Going::Paused => world.budget.pauses -= 1,
                    Going::Running => {}
                }
                world.ghost.clock_was_stopped |= going == Going::Paused;
                *world.going_mut(host) = going;
            }
            Step::GoOn(host) => *world.going_mut(host) = Going::Running,
            Step::Replace => world.replace(),
            Step::Notice { dead, to } => {
                world.budget.notices -= 1;
                world.supervisor_says(to, Body::Died(dead), &mut outputs);
            }
            Step::Declare(id) => {
                world.budget.declarations -= 1;
                world.declare(id, &mut outputs);
            }
        }
        let mut outcome = world.sort_outputs(outputs);
        let (world, became) = (&mut outcome.world, &outcome.became);
        let mut ghost = std::mem::take(&mut world.ghost);
        outcome.violation = ghost.judge(&before, world, became).err();
        world.ghost = ghost;
        outcome
    }

    /// Puts those of `sends` under way that `mask` names, as far as there is room.
    pub fn put_under_way(&mut self, sends: &[Flight], mask: usize) {
        for (number, flight) in sends.iter().enumerate() {
            if mask & (1 << number) != 0 {
                self.flights.push(flight.clone());
            }
        }
    }

    /// Makes worlds that differ in nothing that matters equal: messages that no future can hear are dropped, the others sorted.
    pub fn normalise(&mut self) {
        let mut flights = std::mem::take(&mut self.flights);
        flights.retain(|flight| !self.is_dead_letter(flight));
        if flights.len() > 1 {
            flights
                .sort_by_cached_key(|flight| postcard::to_allocvec(flight).expect("plain data is written"));
        }
        self.flights = flights;
    }

    /// Can this message never change anything again, whatever happens? Only what each rule it rests on makes sure.
    fn is_dead_letter(&self, flight: &Flight) -> bool {
        let Party::Instance(id) = flight.to else { return false };
        let machine = self.instance(id);
        let (rules, message) = (&self.rules, &flight.message);
        if rules.membership_order && rules.membership_durable && message.membership < machine.disk {
            return true;
        }
        if !(rules.incarnations && rules.epoch_order && rules.lease_from_send) {
            return false;
        }
        let Some(to) = message.to else { return false };
        let Some(process) = machine.process.as_ref().filter(|process| process.member().incarnation == to)
        else {
            // It was meant for a life that is over.
            return to.0 <= machine.starts.into();
        };
        let view = process.view();
        let is_known =
            |record: &Record| !record.is_newer_than(view) && !matches!(process.role(), Role::Joining { .. });
        match (message.body, process.role()) {
            (Body::Stands(record), _) => is_known(&record),
            (Body::Granted { number, .. }, Role::Asking(asking)) => number != asking.number,
            (Body::Granted { .. }, _) => true,
            (Body::Refused { number, record, .. }, Role::Asking(asking)) => {
                number != asking.number && is_known(&record)
            }
            (Body::Refused { record, .. }, _) => is_known(&record),
            (
                Body::Heard { epoch, acknowledged, stamp, held },
                Role::Holder(holder) | Role::HandingOver(holder),
            ) if epoch == view.epoch => {
                let known_stamp = match flight.from {
                    Party::Witness(_) => holder.witness_stamp,
                    _ => holder.standby_stamp,
                };
                // What the standby says it holds can still make the holder feed it.
                held.is_none()
                    && known_stamp >= Some(stamp)
                    && acknowledged.is_none_or(|sent| sent + LEASE <= holder.lease_end)
            }
            (Body::Heard { epoch, .. }, _) => epoch <= view.epoch,
            (Body::Mirrored(held), Role::Holder(_) | Role::HandingOver(_)) => held.epoch < view.epoch,
            (Body::Mirrored(held), _) => held.epoch <= view.epoch,
            _ => false,
        }
    }

    /// All hosts there are.
    pub fn hosts(&self) -> Vec<Host> {
        let mut hosts = vec![Host::Instance(InstanceId::One), Host::Instance(InstanceId::Two)];
        hosts.extend((0..self.witnesses.len()).map(|number| Host::Witness(number as u8)));
        hosts
    }

    fn exists(&self, host: Host) -> bool {
        match host {
            Host::Instance(_) => true,
            Host::Witness(number) => usize::from(number) < self.witnesses.len(),
        }
    }

    fn host_of(&self, party: Party) -> Option<Host> {
        let host = match party {
            Party::Instance(id) => Host::Instance(id),
            Party::Witness(membership) => Host::Witness(membership.0 as u8),
            Party::Supervisor => return None,
        };
        self.exists(host).then_some(host)
    }

    fn is_alive(&self, host: Host) -> bool {
        match host {
            Host::Instance(id) => self.instance(id).process.is_some(),
            Host::Witness(number) => self.witnesses[usize::from(number)].process.is_some(),
        }
    }

    /// Is there a process that goes?
    pub fn is_running(&self, host: Host) -> bool {
        let going = match host {
            Host::Instance(id) => self.instance(id).going,
            Host::Witness(number) => self.witnesses[usize::from(number)].going,
        };
        self.is_alive(host) && going == Going::Running
    }

    /// Is something due at this process?
    pub fn due_at(&self, host: Host) -> bool {
        let (due, now) = match host {
            Host::Instance(id) => {
                let machine = self.instance(id);
                (machine.process.as_ref().and_then(Instance::poll_timeout), machine.now)
            }
            Host::Witness(number) => {
                let machine = &self.witnesses[usize::from(number)];
                (machine.process.as_ref().and_then(Witness::poll_timeout), machine.now)
            }
        };
        due.is_some_and(|due| due <= now)
    }

    fn going_mut(&mut self, host: Host) -> &mut Going {
        match host {
            Host::Instance(id) => &mut self.instances[index(id)].going,
            Host::Witness(number) => &mut self.witnesses[usize::from(number)].going,
        }
    }

    fn tick(&mut self, drift: Option<(Host, Drift)>) {
        self.budget.ticks -= 1;
        self.budget.drifts -= u8::from(drift.is_some());
        for host in self.hosts() {
            let (going, now) = match host {
                Host::Instance(id) => {
                    let machine = &mut self.instances[index(id)];
                    (machine.going, &mut machine.now)
                }
                Host::Witness(number) => {
                    let machine = &mut self.witnesses[usize::from(number)];
                    (machine.going, &mut machine.now)
                }
            };
            let by = match drift {
                _ if going == Going::Paused => 0,
                Some((wrong, Drift::Slow)) if wrong == host => 0,
                Some((wrong, Drift::Fast)) if wrong == host => 2,
                _ => 1,
            };
            for _ in 0..by {
                *now += TICK;
            }
        }
    }

    fn crash(&mut self, host: Host) {
        match host {
            Host::Instance(id) => {
                self.budget.crashes -= 1;
                let machine = &mut self.instances[index(id)];
                machine.process = None;
                machine.going = Going::Running;
            }
            Host::Witness(number) => {
                self.budget.witness_crashes -= 1;
                let machine = &mut self.witnesses[usize::from(number)];
                machine.process = None;
                machine.going = Going::Running;
            }
        }
    }

    fn restart(&mut self, host: Host, outputs: &mut Vec<(Host, Output)>) {
        let rules = self.rules;
        match host {
            Host::Instance(id) => {
                let machine = &mut self.instances[index(id)];
                machine.starts += 1;
                let mut process = start_instance(machine.now, rules, id, machine.starts, machine.disk);
                while let Some(output) = process.poll_output() {
                    outputs.push((host, output));
                }
                machine.process = Some(process);
            }
            Host::Witness(number) => {
                let machine = &mut self.witnesses[usize::from(number)];
                machine.starts += 1;
                let now = machine.now;
                let allowed = LossyStart::Allowed;
                machine.process = Some(match machine.disk {
                    Some(record) => Witness::start(now, PAIR, timing(), rules, allowed, record),
                    None => Witness::replace(now, PAIR, timing(), rules, allowed, Membership(number.into())),
                });
            }
        }
    }

    fn replace(&mut self) {
        self.budget.replacements -= 1;
        let now = self.witnesses[0].now;
        let process = Witness::replace(now, PAIR, timing(), self.rules, LossyStart::Allowed, Membership(1));
        let going = Going::Running;
        self.witnesses.push(Machine { process: Some(process), going, now, starts: 1, disk: None });
    }

    fn declare(&mut self, id: InstanceId, outputs: &mut Vec<(Host, Output)>) {
        let number = self.witnesses.len() - 1;
        let Some(process) = &self.witnesses[number].process else { return };
        let Some(record) = process.record() else { return };
        let incarnation = Incarnation(self.instance(id).starts.into());
        let body = Body::DeclareLossy { epoch: record.epoch, member: Member { instance: id, incarnation } };
        self.supervisor_says(Host::Witness(number as u8), body, outputs);
    }

    fn supervisor_says(&mut self, to: Host, body: Body, outputs: &mut Vec<(Host, Output)>) {
        let membership = Membership(0);
        let message = Message { version: VERSION, pair: PAIR, membership, from: None, to: None, body };
        self.with(to, outputs, |process, now| process.handle_message(now, Party::Supervisor, message));
    }

    /// One input to a process, then what it says, until it has nothing more to say.
    fn with(
        &mut self,
        host: Host,
        outputs: &mut Vec<(Host, Output)>,
        input: impl FnOnce(&mut Process<'_>, Instant),
    ) {
        let (mut process, now) = match host {
            Host::Instance(id) => {
                let machine = &mut self.instances[index(id)];
                let Some(process) = &mut machine.process else { return };
                (Process::Instance(process), machine.now)
            }
            Host::Witness(number) => {
                let machine = &mut self.witnesses[usize::from(number)];
                let Some(process) = &mut machine.process else { return };
                (Process::Witness(process), machine.now)
            }
        };
        input(&mut process, now);
        while let Some(output) = process.poll_output() {
            outputs.push((host, output));
        }
    }

    /// Writes to disks and gathers what is to be sent. A crash between the two is a crash with everything lost at sending.
    fn sort_outputs(mut self, outputs: Vec<(Host, Output)>) -> Outcome {
        let (mut sends, mut became) = (Vec::new(), Vec::new());
        for (host, output) in outputs {
            match output {
                Output::Send { to, message } => sends.push(Flight { from: party_of(host), to, message }),
                Output::Became(what) => became.push((host, what)),
                Output::Persist(Durable::Record(record)) => {
                    if let Host::Witness(number) = host {
                        self.witnesses[usize::from(number)].disk = Some(record);
                    }
                }
                Output::Persist(Durable::Membership(membership)) => {
                    if let Host::Instance(id) = host {
                        self.instances[index(id)].disk = membership;
                    }
                }
            }
        }
        sends.retain(|flight| self.host_of(flight.to).is_some());
        Outcome { world: self, sends, became, violation: None }
    }

    fn before(&self) -> Before {
        Before {
            held: InstanceId::BOTH.map(|id| {
                let held = self.instance(id).process.as_ref().and_then(Instance::held)?;
                Some((held.epoch, held.position.0))
            }),
            has_released: InstanceId::BOTH.map(|id| has_released(self, id)),
            records: self
                .witnesses
                .iter()
                .map(|machine| machine.process.as_ref().and_then(Witness::record).copied())
                .collect(),
        }
    }
}

/// What the judge must know of the moment before a step.
pub struct Before {
    /// What each instance held.
    pub held: [Option<(Epoch, u64)>; 2],
    /// Who had given its epoch back.
    pub has_released: [bool; 2],
    /// What each witness had recorded.
    pub records: Vec<Option<Record>>,
}

enum Process<'a> {
    Instance(&'a mut Instance),
    Witness(&'a mut Witness),
}

impl Process<'_> {
    fn handle_message(&mut self, now: Instant, from: Party, message: Message) {
        match self {
            Process::Instance(instance) => instance.handle_message(now, from, message),
            Process::Witness(witness) => witness.handle_message(now, from, message),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Process::Instance(instance) => instance.handle_timeout(now),
            Process::Witness(witness) => witness.handle_timeout(now),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        match self {
            Process::Instance(instance) => instance.poll_output(),
            Process::Witness(witness) => witness.poll_output(),
        }
    }
}

/// Where an instance stands in arrays.
pub fn index(id: InstanceId) -> usize {
    match id {
        InstanceId::One => 0,
        InstanceId::Two => 1,
    }
}

fn party_of(host: Host) -> Party {
    match host {
        Host::Instance(id) => Party::Instance(id),
        Host::Witness(number) => Party::Witness(Membership(number.into())),
    }
}

fn start_instance(
    now: Instant,
    rules: Rules,
    instance: InstanceId,
    starts: u8,
    membership: Membership,
) -> Instance {
    let member = Member { instance, incarnation: Incarnation(starts.into()) };
    Instance::start(now, Start { pair: PAIR, member, membership, timing: timing(), rules })
}
