//! The judge outside: it remembers which records each epoch's log has and which were emitted, and says what must never be.
//!
//! Emission is eager: whatever may be emitted counts as emitted at once. That only adds to what must not be lost.

use std::fmt;

use resilience::permission::{Became, Epoch, Instance, InstanceId, Role};
use serde::{Deserialize, Serialize};

use crate::world::{Before, Going, Host, World, index};

/// What an observer outside remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ghost {
    /// By epoch: who held it and what its log has. A record is known by the epoch that made it, at its place.
    pub epochs: Vec<EpochLog>,
    /// By place: which record was emitted.
    pub emitted: Log,
    /// A clock stood still some time: two leases can seem to hold at once, and only records count.
    pub clock_was_stopped: bool,
}

/// Records by place, each known by the epoch that made it: four bits a place, so eight places and fifteen epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Log(u32);

impl Log {
    /// How many records it has.
    pub const fn len(self) -> usize {
        (u32::BITS - self.0.leading_zeros()).div_ceil(4) as usize
    }

    /// Has it none?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The record at this place.
    pub const fn at(self, place: usize) -> Option<u8> {
        if place < self.len() { Some((self.0 >> (4 * place) & 15) as u8) } else { None }
    }

    fn push(&mut self, epoch: u8) {
        assert!(self.len() < 8 && (1..16).contains(&epoch), "the budgets of a scenario are small");
        self.0 |= u32::from(epoch) << (4 * self.len());
    }

    fn first(self, count: usize) -> Log {
        if count >= 8 { self } else { Log(self.0 & ((1 << (4 * count)) - 1)) }
    }

    fn places(self) -> impl Iterator<Item = (usize, u8)> {
        (0..self.len()).filter_map(move |place| Some((place, self.at(place)?)))
    }
}

/// The log of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EpochLog {
    /// Which epoch.
    pub epoch: u8,
    /// Who holds it, and in which life.
    pub holder: (u8, u8),
    /// By place: the epoch that made the record.
    pub log: Log,
}

/// What must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two instances may emit at one instant.
    TwoLeases(Epoch, Epoch),
    /// An instance has a lease under an epoch although a later one was held.
    OldLease {
        /// Of the lease.
        old: Epoch,
        /// Held since.
        newest: Epoch,
    },
    /// Two lives held one epoch.
    TwoHolders(Epoch),
    /// A record that was emitted is not in the log of a later holder.
    RecordLost {
        /// Its place in the log.
        place: usize,
        /// The epoch that made it.
        made_in: u8,
        /// The later epoch.
        holder: Epoch,
    },
    /// Two different records were emitted for one place.
    RecordsDiffer {
        /// Their place.
        place: usize,
        /// The epoch that made the first.
        one: u8,
        /// The epoch that made the second.
        other: u8,
    },
    /// An epoch was granted that is not above all others.
    EpochFell(Epoch),
    /// Somebody was granted who was not in the witness's set.
    GrantedOutsideSet(Epoch),
    /// A hand-over was released before the standby had everything.
    ReleasedTooEarly,
    /// A lossy start lost a record that the last holder, which lives, still has.
    NeedlesslyLossy {
        /// Its place in the log.
        place: usize,
        /// The epoch that began lossy.
        holder: Epoch,
    },
    /// With faults ended, nobody came to hold.
    NobodyHolds,
    /// With faults ended, the pair did not come to be protected.
    NotProtected,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TwoLeases(one, two) => {
                write!(f, "both may emit: X1 under epoch {}, X2 under epoch {}", one.0, two.0)
            }
            Violation::OldLease { old, newest } => {
                write!(f, "a lease of epoch {} is alive after epoch {} was held", old.0, newest.0)
            }
            Violation::TwoHolders(epoch) => write!(f, "two lives hold epoch {}", epoch.0),
            Violation::RecordLost { place, made_in, holder } => write!(
                f,
                "record {} of epoch {made_in} was emitted, and the holder of epoch {} does not have it",
                place + 1,
                holder.0
            ),
            Violation::RecordsDiffer { place, one, other } => {
                write!(f, "two different records {} were emitted, of epochs {one} and {other}", place + 1)
            }
            Violation::EpochFell(epoch) => write!(f, "epoch {} is held after a higher one", epoch.0),
            Violation::GrantedOutsideSet(epoch) => {
                write!(f, "epoch {} was granted to who is not in the set", epoch.0)
            }
            Violation::ReleasedTooEarly => {
                write!(f, "the epoch is released and the standby lacks a record of it")
            }
            Violation::NeedlesslyLossy { place, holder } => write!(
                f,
                "the lossy start of epoch {} lost record {}, which the last holder still has",
                holder.0,
                place + 1
            ),
            Violation::NobodyHolds => write!(f, "faults ended, and nobody comes to hold"),
            Violation::NotProtected => write!(f, "faults ended, and the pair is not protected again"),
        }
    }
}

impl Ghost {
    /// Looks at the world after a step.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(
        &mut self,
        before: &Before,
        world: &World,
        became: &[(Host, Became)],
    ) -> Result<(), Violation> {
        for (host, what) in became {
            match (*host, *what) {
                (Host::Instance(id), Became::Holder(epoch)) => {
                    let is_lossy = became
                        .iter()
                        .any(|(_, what)| matches!(what, Became::Lossy(lossy) if *lossy == epoch));
                    self.on_holder(before, world, id, epoch, is_lossy)?;
                }
                (Host::Witness(number), Became::Granted(epoch, member)) => {
                    let record = before.records.get(usize::from(number)).copied().flatten();
                    let was_in = record.is_some_and(|record| record.in_sync.names(member));
                    if !was_in && world.rules.in_sync_only {
                        return Err(Violation::GrantedOutsideSet(epoch));
                    }
                }
                _ => {}
            }
        }
        for id in InstanceId::BOTH {
            if before.has_released[index(id)] || !has_released(world, id) {
                continue;
            }
            // A standby that died since it acknowledged everything is another failure.
            let Some(other) = &world.instance(id.other()).process else { continue };
            let theirs = other.held().map(|held| (held.epoch, held.position.0));
            let is_counted = world
                .instance(id)
                .process
                .as_ref()
                .is_some_and(|mine| mine.view().in_sync.names(other.member()));
            let is_over = self.epochs.last().is_some_and(|last| {
                Some(Epoch(last.epoch.into())) > before.held[index(id)].map(|held| held.0)
            });
            if is_counted && !is_over && before.held[index(id)] != theirs {
                return Err(Violation::ReleasedTooEarly);
            }
        }
        self.on_emissions(world)
    }

    fn on_holder(
        &mut self,
        before: &Before,
        world: &World,
        id: InstanceId,
        epoch: Epoch,
        is_lossy: bool,
    ) -> Result<(), Violation> {
        if self.epochs.iter().any(|other| u64::from(other.epoch) == epoch.0) {
            return Err(Violation::TwoHolders(epoch));
        }
        if self.epochs.iter().any(|other| u64::from(other.epoch) > epoch.0) {
            return Err(Violation::EpochFell(epoch));
        }
        let log = self.log_of(before.held[index(id)]);
        if is_lossy {
            let theirs = world.instance(id.other()).process.as_ref().and_then(Instance::held);
            let theirs = self.log_of(theirs.map(|held| (held.epoch, held.position.0)));
            let has = |log: Log, place: usize| log.at(place) == self.emitted.at(place);
            let needless = (0..self.emitted.len()).find(|&place| !has(log, place) && has(theirs, place));
            let other = world.instance(id.other());
            let other_life = (index(id.other()) as u8, other.starts);
            // An epoch between that was granted to somebody who died before it heard so ended all the same.
            let is_last = |last: &EpochLog| last.holder == other_life && u64::from(last.epoch) + 1 == epoch.0;
            let holder_lives = other.process.is_some() && self.epochs.last().is_some_and(is_last);
            if let Some(place) = needless.filter(|_| holder_lives) {
                return Err(Violation::NeedlesslyLossy { place, holder: epoch });
            }
            self.emitted = log;
        }
        let lost = self.emitted.places().find(|&(place, made_in)| log.at(place) != Some(made_in));
        if let Some((place, made_in)) = lost {
            return Err(Violation::RecordLost { place, made_in, holder: epoch });
        }
        let holder = (index(id) as u8, world.instance(id).starts);
        self.epochs.push(EpochLog { epoch: epoch.0 as u8, holder, log });
        Ok(())
    }

    fn on_emissions(&mut self, world: &World) -> Result<(), Violation> {
        let mut leases: [Option<Epoch>; 2] = [None, None];
        for id in InstanceId::BOTH {
            let machine = world.instance(id);
            let Some(process) = &machine.process else { continue };
            if !matches!(process.role(), Role::Holder(_) | Role::HandingOver(_)) {
                continue;
            }
            self.follow_commits(process);
            if machine.going == Going::Running && process.may_emit(machine.now) {
                leases[index(id)] = Some(process.epoch());
                self.emit(process)?;
            }
        }
        let newest = self.epochs.last().map_or(Epoch(0), |newest| Epoch(newest.epoch.into()));
        let old = leases.into_iter().flatten().find(|&epoch| epoch < newest);
        match leases {
            _ if self.clock_was_stopped => Ok(()),
            [Some(one), Some(two)] => Err(Violation::TwoLeases(one, two)),
            _ => old.map_or(Ok(()), |old| Err(Violation::OldLease { old, newest })),
        }
    }

    /// A holder's log grows by records of its epoch.
    fn follow_commits(&mut self, process: &Instance) {
        let epoch = process.epoch().0;
        let position = process.held().map_or(0, |held| held.position.0) as usize;
        if let Some(known) = self.epochs.iter_mut().find(|known| u64::from(known.epoch) == epoch) {
            while known.log.len() < position {
                known.log.push(known.epoch);
            }
        }
    }

    fn emit(&mut self, process: &Instance) -> Result<(), Violation> {
        let epoch = process.epoch();
        let log = self.log_of(Some((epoch, process.committed().0)));
        for (place, made_in) in log.places() {
            match self.emitted.at(place) {
                Some(other) if other != made_in => {
                    return Err(Violation::RecordsDiffer { place, one: other, other: made_in });
                }
                Some(_) => {}
                None => self.emitted.push(made_in),
            }
            let later = self
                .epochs
                .iter()
                .find(|later| u64::from(later.epoch) > epoch.0 && later.log.at(place) != Some(made_in));
            if let Some(later) = later {
                return Err(Violation::RecordLost { place, made_in, holder: Epoch(later.epoch.into()) });
            }
        }
        Ok(())
    }

    fn log_of(&self, held: Option<(Epoch, u64)>) -> Log {
        let Some((epoch, position)) = held else { return Log::default() };
        let known = self.epochs.iter().find(|known| u64::from(known.epoch) == epoch.0);
        known.map(|known| known.log.first(position as usize)).unwrap_or_default()
    }
}

/// Has this life given the epoch back that it held?
pub fn has_released(world: &World, id: InstanceId) -> bool {
    world
        .instance(id)
        .process
        .as_ref()
        .is_some_and(|process| process.view().is_released && process.view().holder == Some(process.member()))
}
