//! A counterexample for a reader: one line a step, with what was said, what of it is under way, and what became.

use std::fmt::Write;

use resilience::permission::{Body, InstanceId, Message, Party, Role};

use crate::explore::{Choice, follow};
use crate::ghost::Violation;
use crate::world::{Drift, Flight, Going, Host, Outcome, Step, World};

/// The whole way.
pub fn tell(start: &World, way: &[Choice], violation: &Violation) -> String {
    let mut text = String::new();
    let mut world = start.clone();
    let _ = writeln!(text, "  start: {}", stand(&world));
    for (number, &choice) in way.iter().enumerate() {
        let (step, outcome, after) = follow(&world, choice);
        let _ = writeln!(text, "  {:>2}. {}", number + 1, line(&world, step, &outcome, choice.mask.into()));
        world = after;
    }
    let _ = writeln!(text, "  end: {}", stand(&world));
    let _ = writeln!(text, "  => {violation}");
    text
}

/// One step.
pub fn line(world: &World, step: Step, outcome: &Outcome, mask: usize) -> String {
    let mut text = step_words(world, step);
    for (host, became) in &outcome.became {
        let _ = write!(text, "; {} is {became:?}", host_name(*host));
    }
    for (number, flight) in outcome.sends.iter().enumerate() {
        let is_under_way = mask & (1 << number) != 0;
        let _ = write!(text, "; {}{}", if is_under_way { "sends " } else { "loses " }, words(flight));
    }
    text
}

/// What each party is.
pub fn stand(world: &World) -> String {
    let mut text = String::new();
    for id in InstanceId::BOTH {
        let machine = world.instance(id);
        let _ = write!(
            text,
            "{}={}",
            host_name(Host::Instance(id)),
            match &machine.process {
                None => "dead".to_owned(),
                Some(process) => {
                    let what = match process.role() {
                        Role::Joining { .. } => "joining".to_owned(),
                        Role::Standby { .. } => "standby".to_owned(),
                        Role::Asking(_) => "asking".to_owned(),
                        Role::Holder(holder) | Role::HandingOver(holder) => format!(
                            "holder until {} with {} records, {} committed",
                            holder.lease_end.as_micros(),
                            holder.position.0,
                            process.committed().0
                        ),
                    };
                    format!("{what} at epoch {} (clock {})", process.epoch().0, machine.now.as_micros())
                }
            }
        );
        text.push_str(", ");
    }
    for (number, machine) in world.witnesses.iter().enumerate() {
        let _ = write!(text, "{}: ", host_name(Host::Witness(number as u8)));
        let _ = match machine.process.as_ref().and_then(|process| process.record()) {
            None => write!(text, "no record "),
            Some(record) => write!(
                text,
                "epoch {} of {}, set {{{}}} ",
                record.epoch.0,
                record.holder.map_or("nobody", |holder| name(holder.instance)),
                InstanceId::BOTH
                    .into_iter()
                    .filter_map(|id| record.in_sync.of(id).map(|life| format!("{}.{}", name(id), life.0)))
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
        };
    }
    text
}

fn step_words(world: &World, step: Step) -> String {
    match step {
        Step::Tick(None) => "a tick".to_owned(),
        Step::Tick(Some((host, Drift::Slow))) => format!("a tick that {} does not see", host_name(host)),
        Step::Tick(Some((host, Drift::Fast))) => format!("a tick that {} sees twice", host_name(host)),
        Step::Due(host) => format!("{} does what is due", host_name(host)),
        Step::Arrive { flight, again } => {
            let again = if again { " (and will again)" } else { "" };
            format!("arrives: {}{again}", words(&world.flights[flight]))
        }
        Step::Commit(id) => format!("{} commits a record", name(id)),
        Step::HandOver(id) => format!("{} hands over", name(id)),
        Step::Crash(host) => format!("{} loses its memory", host_name(host)),
        Step::Restart(host) => format!("{} starts again", host_name(host)),
        Step::Stop(host, Going::Paused) => format!("{} stands, and its clock with it", host_name(host)),
        Step::Stop(host, _) => format!("{} stands, its clock goes on", host_name(host)),
        Step::GoOn(host) => format!("{} goes on", host_name(host)),
        Step::Replace => "a new witness is set up".to_owned(),
        Step::Notice { dead, to } => {
            format!("{} hears that {}.{} is dead", host_name(to), name(dead.instance), dead.incarnation.0)
        }
        Step::Declare(id) => format!("a lossy start of {} is declared", name(id)),
    }
}

fn words(flight: &Flight) -> String {
    format!("{}→{} {}", party_name(flight.from), party_name(flight.to), body_words(&flight.message))
}

fn body_words(message: &Message) -> String {
    match message.body {
        Body::Hello => "hello".to_owned(),
        Body::Stands(record) => format!("stands(epoch {}, set {})", record.epoch.0, record.set_version.0),
        Body::Renewal { epoch, sent, .. } => format!("renewal(epoch {}, sent {})", epoch.0, sent.as_micros()),
        Body::Heard { epoch, acknowledged: Some(sent), .. } => {
            format!("acknowledged(epoch {}, sent {})", epoch.0, sent.as_micros())
        }
        Body::Heard { epoch, .. } => format!("stamp(epoch {})", epoch.0),
        Body::Mirror { held, is_whole: true } => {
            format!("snapshot(epoch {}, {})", held.epoch.0, held.position.0)
        }
        Body::Mirror { held, .. } => format!("record(epoch {}, {})", held.epoch.0, held.position.0),
        Body::Mirrored(held) => format!("mirrored(epoch {}, {})", held.epoch.0, held.position.0),
        Body::Change { epoch, set_version, change } => {
            format!("change({change:?}, epoch {}, set {})", epoch.0, set_version.0)
        }
        Body::Ask { epoch, number, .. } => format!("ask({number}, after epoch {})", epoch.0),
        Body::Granted { number, record } => format!("granted({number}, epoch {})", record.epoch.0),
        Body::Refused { number, reason, .. } => format!("refused({number}, {reason:?})"),
        Body::Released(epoch) => format!("released(epoch {})", epoch.0),
        Body::Died(_) | Body::DeclareLossy { .. } => format!("{:?}", message.body),
        Body::Propose => "propose".to_owned(),
        Body::Accepted(view) => format!("accepted(epoch {}, set {})", view.epoch.0, view.set_version.0),
    }
}

/// X1 or X2.
pub fn name(id: InstanceId) -> &'static str {
    match id {
        InstanceId::One => "X1",
        InstanceId::Two => "X2",
    }
}

fn host_name(host: Host) -> &'static str {
    match host {
        Host::Instance(id) => name(id),
        Host::Witness(0) => "W",
        Host::Witness(_) => "new W",
    }
}

fn party_name(party: Party) -> &'static str {
    match party {
        Party::Instance(id) => name(id),
        Party::Witness(membership) if membership.0 == 0 => "W",
        Party::Witness(_) => "new W",
        Party::Supervisor => "supervisor",
    }
}
