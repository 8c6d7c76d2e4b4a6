//! What comes when faults end: messages arrive, in order, within the tick; processes go on. Then the pair must come back.

use resilience::permission::{Body, Change, InstanceId, Membership, Party, Record, Role};

use crate::ghost::Violation;
use crate::world::{Flight, Going, Host, Step, World};

/// Ticks after which a pair must have come back: two waits, a lease and some for going round.
pub const TICKS: u8 = 24;

/// Links that stay cut: from whom, to whom.
pub type Cuts<'a> = &'a [(Party, Party)];

/// Lets so many ticks pass without any fault but the cuts. The dead stay dead, what stands stays so.
pub fn run(world: &World, ticks: u8, cuts: Cuts<'_>) -> Result<World, Violation> {
    run_with(world, ticks, cuts, &mut |_, _| {})
}

/// The same, telling each step.
pub fn run_with(
    world: &World,
    ticks: u8,
    cuts: Cuts<'_>,
    tell: &mut dyn FnMut(Step, &crate::world::Outcome),
) -> Result<World, Violation> {
    let mut world = world.clone();
    world.budget.ticks = ticks;
    let mut flights: std::collections::VecDeque<Flight> = std::mem::take(&mut world.flights).into();
    while world.budget.ticks > 0 {
        // More than this within one tick would be two parties that answer each other for ever.
        for _ in 0..200 {
            let due = world.hosts().into_iter().find(|&host| world.is_running(host) && world.due_at(host));
            let step = if let Some(host) = due {
                Step::Due(host)
            } else if let Some(flight) = flights.pop_front() {
                if cuts.contains(&(flight.from, flight.to)) || !world.hears(flight.to) {
                    continue;
                }
                world.flights.push(flight);
                Step::Arrive { flight: 0, again: false }
            } else {
                break;
            };
            let outcome = world.take(step);
            tell(step, &outcome);
            if let Some(violation) = outcome.violation {
                return Err(violation);
            }
            flights.extend(outcome.sends);
            world = outcome.world;
        }
        let outcome = world.take(Step::Tick(None));
        tell(Step::Tick(None), &outcome);
        if let Some(violation) = outcome.violation {
            return Err(violation);
        }
        world = outcome.world;
    }
    world.flights = flights.into();
    Ok(world)
}

/// Somebody in the set of the witness that counts lives: then somebody must come to hold, and if both live, with protection.
///
/// # Errors
/// When it does not come so.
pub fn must_come_back(world: &World) -> Result<(), Violation> {
    let mut calm = world.clone();
    for machine in &mut calm.instances {
        machine.going = Going::Running;
    }
    for machine in &mut calm.witnesses {
        machine.going = Going::Running;
    }
    let is_hopeful = calm.is_hopeful();
    let after = run(&calm, TICKS, &[])?;
    if !is_hopeful {
        return Ok(());
    }
    let holder = InstanceId::BOTH.into_iter().find(|&id| {
        let machine = after.instance(id);
        machine.process.as_ref().is_some_and(|process| process.may_emit(machine.now))
    });
    let Some(holder) = holder else { return Err(Violation::NobodyHolds) };
    let both_live = after.instances.iter().all(|machine| machine.process.is_some());
    let is_protected = after.instance(holder).process.as_ref().is_some_and(|process| process.is_protected());
    if both_live && !is_protected { Err(Violation::NotProtected) } else { Ok(()) }
}

impl World {
    fn hears(&self, party: Party) -> bool {
        match party {
            Party::Instance(id) => self.is_running(Host::Instance(id)),
            Party::Witness(membership) => self.is_running(Host::Witness(membership.0 as u8)),
            Party::Supervisor => false,
        }
    }

    /// The witness that counts lives, and so does somebody in its set. A replacement that is under way needs both instances.
    fn is_hopeful(&self) -> bool {
        let Some(newest) = self.witnesses.last() else { return false };
        let Some(process) = &newest.process else { return false };
        let Some(record) = process.record().copied().or_else(|| self.view_of_both()) else { return false };
        // A holder that died while it had the standby removed takes the pair with it: two failures, S2-Q12.
        let is_holder_dead = record.holder.is_none_or(|holder| {
            let process = self.instance(holder.instance).process.as_ref();
            process.is_none_or(|process| process.member() != holder)
        });
        let removes =
            |flight: &Flight| matches!(flight.message.body, Body::Change { change: Change::Remove, .. });
        if is_holder_dead && self.flights.iter().any(removes) {
            return false;
        }
        // So does a standby that died while it asked: the witness will grant to the dead.
        let asks_no_more = |flight: &Flight| {
            let Party::Instance(id) = flight.from else { return false };
            let process = self.instance(id).process.as_ref();
            let lives =
                process.is_some_and(|process| Some(process.member().incarnation) == flight.message.from);
            matches!(flight.message.body, Body::Ask { .. }) && !lives
        };
        if self.flights.iter().any(asks_no_more) {
            return false;
        }
        InstanceId::BOTH.into_iter().any(|id| {
            self.instance(id).process.as_ref().is_some_and(|process| record.in_sync.names(process.member()))
        })
    }

    /// What a new witness will be told once both accept it; `None` while one of them knows nothing.
    fn view_of_both(&self) -> Option<Record> {
        let view = |id| {
            let process = self.instance(id).process.as_ref()?;
            (!matches!(process.role(), Role::Joining { .. })).then(|| *process.view())
        };
        let (one, two) = (view(InstanceId::One)?, view(InstanceId::Two)?);
        Some(if one.is_newer_than(&two) { one } else { two })
    }
}

/// Named trials: one cut or one death from a settled pair, then nobody does wrong any more, and X2 must come to hold.
pub const TRIALS: &[(&str, Trial)] = &[
    ("holder-dead", Trial::Dead),
    ("holder-deaf", Trial::Deaf),
    ("holder-dumb", Trial::Dumb),
    ("holder-cut-off", Trial::CutOff),
];

/// What happens to the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It loses its memory and stays away.
    Dead,
    /// It hears nobody.
    Deaf,
    /// Nobody hears it.
    Dumb,
    /// Both.
    CutOff,
}

impl Trial {
    /// Runs it; returns how many ticks X2 took to hold.
    ///
    /// # Errors
    /// When X2 never holds, or something is wrong on the way.
    pub fn run(self, settled: &World) -> Result<u8, Violation> {
        let one = Party::Instance(InstanceId::One);
        let others = [Party::Instance(InstanceId::Two), Party::Witness(Membership(0))];
        let mut cuts = Vec::new();
        let mut world = settled.clone();
        match self {
            Trial::Dead => world.instances[0].process = None,
            Trial::Deaf => cuts.extend(others.map(|other| (other, one))),
            Trial::Dumb => cuts.extend(others.map(|other| (one, other))),
            Trial::CutOff => cuts.extend(others.into_iter().flat_map(|other| [(one, other), (other, one)])),
        }
        for ticks in 1..=TICKS {
            world = run(&world, 1, &cuts)?;
            let two = world.instance(InstanceId::Two);
            if two.process.as_ref().is_some_and(|process| process.may_emit(two.now)) {
                return Ok(ticks);
            }
        }
        Err(Violation::NobodyHolds)
    }
}

/// A pair that came up by itself: X1 was declared to begin, X2 joined, one record was emitted, nothing is under way.
pub fn settled(blank: &World) -> World {
    let protected = until(&declared(blank), &[], |world| {
        world.instance(InstanceId::One).process.as_ref().is_some_and(|process| process.is_protected())
    });
    let committed = commit(&protected, InstanceId::One);
    until(&committed, &[], |world| world.ghost.emitted.len() == 1)
}

/// X1 holds alone with one record; X2 was welcomed by the witness and has nothing of the log yet.
pub fn alone(blank: &World) -> World {
    let begun = until(&declared(blank), &[], |world| may_emit(world, InstanceId::One));
    let mut world = commit(&begun, InstanceId::One);
    // What X2 had heard of the log goes with its first life.
    world.instances[1].process = None;
    world = world.take(Step::Restart(Host::Instance(InstanceId::Two))).world;
    let cuts = InstanceId::BOTH.map(|id| (Party::Instance(id), Party::Instance(id.other())));
    until(&world, &cuts, |world| {
        let two = &world.instance(InstanceId::Two).process;
        let is_welcome = two.as_ref().is_some_and(|two| !matches!(two.role(), Role::Joining { .. }));
        is_welcome && may_emit(world, InstanceId::One)
    })
}

/// X1 was cut off for a while: it still takes itself for the holder of epoch 1, its lease is over. X2 holds epoch 2 and emitted
/// a second record.
pub fn superseded(blank: &World) -> World {
    let one = Party::Instance(InstanceId::One);
    let others = [Party::Instance(InstanceId::Two), Party::Witness(Membership(0))];
    let cuts: Vec<_> = others.into_iter().flat_map(|other| [(one, other), (other, one)]).collect();
    let world = until(&settled(blank), &cuts, |world| may_emit(world, InstanceId::Two));
    commit(&world, InstanceId::Two)
}

/// A new witness was set up; X2 accepted it and lost its memory since, X1 has not heard of it. What the new life of X2 starts
/// with is what its disk says, if `keeps_membership`.
pub fn half_replaced(blank: &World, keeps_membership: bool) -> World {
    let mut world = settled(blank);
    world.budget.replacements += 1;
    world = world.take(Step::Replace).world;
    let cuts = [(Party::Witness(Membership(1)), Party::Instance(InstanceId::One))];
    world = until(&world, &cuts, |world| world.instances[1].disk == Membership(1));
    world.instances[1].process = None;
    if !keeps_membership {
        world.instances[1].disk = Membership(0);
    }
    world = world.take(Step::Restart(Host::Instance(InstanceId::Two))).world;
    world = run(&world, 8, &cuts).expect("a start without faults is right");
    world.flights.clear();
    world.budget = blank.budget;
    world
}

fn may_emit(world: &World, id: InstanceId) -> bool {
    let machine = world.instance(id);
    machine.process.as_ref().is_some_and(|process| process.may_emit(machine.now))
}

fn commit(world: &World, id: InstanceId) -> World {
    let mut before = world.clone();
    before.budget.records += 1;
    let mut outcome = before.take(Step::Commit(id));
    outcome.world.flights.extend(outcome.sends);
    outcome.world
}

fn declared(blank: &World) -> World {
    let mut world = run(blank, 1, &[]).expect("a start without faults is right");
    world.budget.declarations = 1;
    let outcome = world.take(Step::Declare(InstanceId::One));
    world = outcome.world;
    world.flights.extend(outcome.sends);
    world.budget = blank.budget;
    world
}

fn until(world: &World, cuts: Cuts<'_>, is_there: impl Fn(&World) -> bool) -> World {
    let mut after = world.clone();
    for _ in 0..40 {
        if is_there(&after) {
            break;
        }
        after = run(&after, 1, cuts).expect("a start without faults is right");
    }
    assert!(is_there(&after), "a pair without faults comes to where a scenario begins");
    after.flights.clear();
    after.budget = world.budget;
    after
}
