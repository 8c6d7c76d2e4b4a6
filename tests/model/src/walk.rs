//! Random walks: far deeper than breadth first gets, and proof of nothing. They found what short ways do not reach.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::explore::{Choice, follow};
use crate::fair;
use crate::ghost::Violation;
use crate::world::{Step, World};

/// One walk from `start`, drawn from `seed`. With `comes_back`, faults end afterwards and the pair must come back.
///
/// # Errors
/// What is wrong, and the way to it.
pub fn walk(
    start: &World,
    seed: u64,
    steps_max: usize,
    comes_back: bool,
) -> Result<usize, (Violation, Vec<Choice>)> {
    let mut draws = Draws { seed, count: 0 };
    let mut world = start.clone();
    let mut way = Vec::new();
    let mut steps = Vec::new();
    // Some walks lose much, others little.
    let lost_of_eight = draws.below(5);
    while way.len() < steps_max {
        steps.clear();
        world.steps(&mut steps);
        let weight = |step: &Step| match step {
            Step::Due(_) | Step::Arrive { again: false, .. } => 16,
            Step::Tick(None) | Step::GoOn(_) => 8,
            Step::Commit(_) | Step::Restart(_) => 4,
            _ => 1,
        };
        let all: u64 = steps.iter().map(weight).sum();
        if all == 0 {
            break;
        }
        let mut drawn = draws.below(all);
        let step = steps.iter().position(|step| {
            let is_it = drawn < weight(step);
            drawn = drawn.saturating_sub(weight(step));
            is_it
        });
        let step = step.expect("what is drawn is below the sum");
        let room = usize::from(world.flights_max).saturating_sub(world.flights.len()) + 1;
        let mut mask = 0;
        for number in 0..8 {
            if draws.below(8) >= lost_of_eight && u8::count_ones(mask) < room as u32 {
                mask |= 1 << number;
            }
        }
        let choice = Choice { step: step as u8, mask };
        way.push(choice);
        let (_, outcome, after) = follow(&world, choice);
        if let Some(violation) = outcome.violation {
            return Err((violation, way));
        }
        world = after;
    }
    if comes_back && let Err(violation) = fair::must_come_back(&world) {
        return Err((violation, way));
    }
    Ok(way.len())
}

struct Draws {
    seed: u64,
    count: u64,
}

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.count += 1;
        let mut hasher = SipHasher13::new_with_keys(self.seed, 0);
        hasher.write_u64(self.count);
        hasher.finish() % bound
    }
}
