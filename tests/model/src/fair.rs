//! What comes when faults end: messages arrive, in order, within the tick; processes go on. Then the pair must come back.

use resilience::permission::{Body, InstanceId, Party, Role};

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
        let Some(record) = process.record() else {
            return self.instances.iter().all(|machine| {
                machine.process.as_ref().is_some_and(|process| !matches!(process.role(), Role::Joining { .. }))
            });
        };
        InstanceId::BOTH.into_iter().any(|id| {
            self.instance(id).process.as_ref().is_some_and(|process| record.in_sync.names(process.member()))
        })
    }
}

/// A pair that came up by itself: X1 was declared to begin, X2 joined, nothing is under way.
pub fn settled(blank: &World) -> World {
    let budget = blank.budget;
    let mut world = blank.clone();
    world = run(&world, 1, &[]).expect("a start without faults is right");
    world.budget.declarations = 1;
    let outcome = world.take(Step::Declare(InstanceId::One));
    world = outcome.world;
    world.flights.extend(outcome.sends);
    for _ in 0..40 {
        world = run(&world, 1, &[]).expect("a start without faults is right");
        let is_protected =
            world.instance(InstanceId::One).process.as_ref().is_some_and(|process| process.is_protected());
        if is_protected && !world.flights.iter().any(|flight| matches!(flight.message.body, Body::Change { .. })) {
            break;
        }
    }
    world.flights.clear();
    world.budget = budget;
    world
}
