//! Pairs in the world: how whoever serves fails, who reads what comes to a shared address, witnesses.

use std::collections::VecDeque;

use bytes::Bytes;
use clock::{Duration, Instant};
use node::config::FunctionKind;
use node::wire;
use pair::Input;
use rand::RngExt;
use resilience::permission::{
    self, Body, Epoch, Membership, Message, Party, Record, Rules, VERSION, Witness,
};

use super::{Happening, Pipe, RESTART_AFTER, World};
use crate::core::{Place, pair_id, timing};

/// How a machine fails.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Its process ends.
    Killed {
        /// Its supervisor tells the witness and the other instance.
        is_noticed: bool,
    },
    /// It stands still for so long.
    Frozen(Duration),
    /// What it tells the other instance is lost for so long, and then its process ends: what that one does not know must
    /// not have been seen by anybody else.
    CutOffAndKilled(Duration),
    /// The witness of its pair is killed, and started again with what it had made durable.
    WitnessKilled,
}

/// A witness that begins with what was made durable.
pub(super) fn witness(now: Instant, kind: FunctionKind, rules: Rules, record: Record) -> Witness {
    let lossy_start = permission::LossyStart::LastHolder;
    Witness::start(now, pair_id(kind), timing(), rules, lossy_start, record)
}

impl World {
    /// Kills a machine; its supervisor starts it again, and may tell the others at once that it is dead (S2-H5).
    pub fn kill_place(&mut self, place: Place, is_noticed: bool) {
        self.trace.note(self.now, place.name(), if is_noticed { "KILLED, noticed" } else { "KILLED" });
        let member = self.machines.get_mut(&place).map(|machine| {
            machine.kill();
            machine.member()
        });
        if place.kind == FunctionKind::Pcscf && self.serving.get(&place.kind) == Some(&place) {
            self.streams.clear();
        }
        let is_its = |pipe: &&Pipe| pipe.ends.iter().any(|(end, ..)| *end == place);
        let ended: Vec<Pipe> = self.pipes.iter().filter(is_its).copied().collect();
        self.pipes.retain(|pipe| !is_its(&pipe));
        for pipe in ended {
            for (end, life, connection) in pipe.ends.into_iter().filter(|(end, ..)| *end != place) {
                let input = Input::Node(wire::Input::DiameterClosed { connection });
                self.at(Duration::from_micros(100), Happening::ToMachine(end, input, life));
            }
        }
        if let Some(member) = member.filter(|_| is_noticed && self.witnesses.contains_key(&place.kind)) {
            let notice = Happening::ToMachine(place.other(), Input::Died(member), 0);
            self.at(Duration::from_micros(200), notice);
            self.tell_witness(place.kind, Body::Died(member));
        }
        let restart_after = self.restart_after();
        self.at(restart_after, Happening::Start(place));
    }

    /// A supervisor may start a process again before anybody else has noticed that it died.
    fn restart_after(&mut self) -> Duration {
        match self.witnesses.is_empty() {
            true => RESTART_AFTER,
            false => Duration::from_micros(self.network_random.random_range(1_000..400_000)),
        }
    }

    /// A machine stands still for a time.
    pub fn freeze(&mut self, place: Place, time: Duration) {
        self.trace.note(self.now, place.name(), format!("FROZEN for {} ms", time.as_millis()));
        if let Some(machine) = self.machines.get_mut(&place) {
            machine.freeze();
        }
        self.at(time, Happening::Thaw(place));
    }

    /// Whoever serves fails after a time, if its pair is whole then.
    pub fn fail_after(&mut self, delay: Duration, kind: FunctionKind, fault: Fault) {
        self.at(delay, Happening::Fail(kind, fault));
    }

    /// Who serves, if the pair is whole: nothing of it dies or stands still, and another one can take over.
    pub fn protected(&self, kind: FunctionKind) -> Option<Place> {
        let serving = *self.serving.get(&kind)?;
        let is_whole = |place: Place| {
            self.machines.get(&place).is_some_and(|machine| machine.is_running() && !machine.is_frozen())
        };
        (is_whole(serving) && is_whole(serving.other()) && self.machines[&serving].is_protected())
            .then_some(serving)
    }

    /// Pairs that are not whole.
    pub fn unprotected(&self) -> Vec<FunctionKind> {
        self.witnesses.keys().copied().filter(|kind| self.protected(*kind).is_none()).collect()
    }

    /// What both instances of each whole pair hold, when it is not the same: the copy is none.
    pub fn unequal_copies(&self) -> Vec<String> {
        let held = |place: Place| {
            let machine = &self.machines[&place];
            (machine.transaction_counts(), machine.open_procedures())
        };
        let whole = self.witnesses.keys().filter_map(|kind| self.protected(*kind));
        let unequal = whole.filter(|place| held(*place) != held(place.other()));
        unequal
            .map(|place| {
                let (one, two) = (held(place), held(place.other()));
                format!("{} holds {one:?}, its copy {two:?} (transactions, procedures)", place.name())
            })
            .collect()
    }

    pub(super) fn tell_witness(&mut self, kind: FunctionKind, body: Body) {
        let message = Message {
            version: VERSION,
            pair: pair_id(kind),
            membership: Membership(0),
            from: None,
            to: None,
            body,
        };
        self.at(Duration::from_micros(200), Happening::ToWitness(kind, Party::Supervisor, message));
    }

    /// Something comes to an address of a function. Of a pair the one that serves reads it; if that one is dead or stands still,
    /// it waits in the socket that both hold.
    pub(super) fn give_serving(&mut self, kind: FunctionKind, input: wire::Input) {
        if self.witnesses.contains_key(&kind) {
            self.unread.entry(kind).or_default().push_back(input);
            self.read_socket(kind);
        } else {
            self.give(Place::first(kind), Input::Node(input));
        }
    }

    pub(super) fn read_socket(&mut self, kind: FunctionKind) {
        let Some(place) = self.serving.get(&kind).copied() else { return };
        let is_reading =
            self.machines.get(&place).is_some_and(|machine| machine.is_running() && !machine.is_frozen());
        while is_reading && let Some(input) = self.unread.get_mut(&kind).and_then(VecDeque::pop_front) {
            self.give(place, Input::Node(input));
        }
    }

    /// Another instance serves: it reads what has come meanwhile. What it tells its neighbours they hear over the control links.
    pub(super) fn on_serving(&mut self, place: Place, epoch: Epoch) {
        self.trace.note(self.now, place.name(), format!("SERVES in epoch {}", epoch.0));
        self.serving.insert(place.kind, place);
        self.takeovers += u64::from(epoch > Epoch(1));
        self.read_socket(place.kind);
    }

    pub(super) fn drain_witness(&mut self, kind: FunctionKind) {
        let mut outputs = Vec::new();
        if let Some(witness) = self.witnesses.get_mut(&kind) {
            outputs.extend(std::iter::from_fn(|| witness.poll_output()));
        }
        let is_persisting = outputs.iter().any(|output| matches!(output, permission::Output::Persist(_)));
        // What it makes durable takes a disk's time, and its words wait for that.
        let disk = Duration::from_micros(match is_persisting {
            true => self.network_random.random_range(100..30_000),
            false => 0,
        });
        for output in outputs {
            if let permission::Output::Persist(permission::Durable::Record(record)) = &output {
                self.witnessed.insert(kind, *record);
            }
            let permission::Output::Send { to: Party::Instance(instance), message } = output else {
                continue;
            };
            let bytes = Bytes::from(postcard::to_allocvec(&message).expect("a message is plain data"));
            for delay in self.mirror.arrivals(&mut self.network_random) {
                let input = Input::FromWitness(Membership(0), bytes.clone());
                self.at(disk + delay, Happening::ToMachine(Place { kind, instance }, input, 0));
            }
        }
    }

    /// Whoever serves fails, if its pair is whole.
    pub(super) fn fail(&mut self, kind: FunctionKind, fault: Fault) {
        let Some(place) = self.protected(kind) else { return };
        self.failures += 1;
        match fault {
            Fault::WitnessKilled => {
                self.failures -= 1;
                self.trace.note(self.now, "witness", format!("of {} KILLED", kind.as_str()));
                self.dead_witnesses.insert(kind);
                let restart_after = self.restart_after();
                self.at(restart_after, Happening::StartWitness(kind));
            }
            Fault::Killed { is_noticed } => self.kill_place(place, is_noticed),
            Fault::Frozen(time) => self.freeze(place, time),
            Fault::CutOffAndKilled(time) => {
                self.failures -= 1;
                self.trace.note(self.now, place.name(), format!("CUT OFF for {} ms", time.as_millis()));
                self.cut_off.insert(place, self.now + time);
                self.at(time, Happening::Fail(kind, Fault::Killed { is_noticed: false }));
            }
        }
    }
}
