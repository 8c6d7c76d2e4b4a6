//! Breadth first through all worlds: the first counterexample is a shortest one.
//!
//! A world that was seen leaves eight bytes of fingerprint and eight of its way back; only the worlds of the
//! depth that is being explored are there in full, as bytes. Two worlds with one fingerprint would hide one: with
//! fifty million worlds the chance that this happened at all is about one in ten thousand.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use crate::fair;
use crate::ghost::Violation;
use crate::world::{Outcome, Step, World};

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At most so many worlds.
    pub states_max: usize,
    /// At most so many steps from the start.
    pub depth_max: usize,
    /// About so many bytes.
    pub memory_max: usize,
    /// From one world in so many, faults end and the pair must come back; 0 for none.
    pub fair_every: u64,
    /// Tells each depth on standard error.
    pub tells_progress: bool,
    /// At most so many random walks where breadth first does not reach.
    pub walks_max: u64,
    /// Goes on to look for a shorter walk than the first that goes wrong.
    pub wants_shortest_walk: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            states_max: 200_000_000,
            depth_max: usize::MAX,
            memory_max: 5 << 30,
            fair_every: 0,
            tells_progress: false,
            walks_max: 20_000,
            wants_shortest_walk: false,
        }
    }
}

/// How it ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Everything within the budgets was seen.
    Complete,
    /// Everything was seen up to this depth; a limit ended it.
    UpTo(usize),
    /// Something that must never be, and the way to it: which step each time, and which of its sendings arrive.
    Violated(Violation, Vec<Choice>),
}

/// One step with what the network let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which of the steps that were possible.
    pub step: u8,
    /// Which of its sendings are under way.
    pub mask: u8,
}

/// What was explored.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Different worlds.
    pub states: usize,
    /// Steps from the start to the farthest.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Worlds from which faults were let end.
    pub calmed: usize,
    /// The result.
    pub verdict: Verdict,
}

#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints are hashed")
    }
    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

/// The worlds of one depth, as bytes, in chunks that are given back as they are read.
#[derive(Default)]
struct Frontier {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
}

const CHUNK: usize = 16 << 20;

impl Frontier {
    fn push(&mut self, number: u32, world: &[u8]) {
        if self.chunks.back().is_none_or(|chunk| chunk.len() + world.len() + 6 > CHUNK) {
            self.chunks.push_back(Vec::with_capacity(CHUNK.min(1 << 20)));
        }
        let chunk = self.chunks.back_mut().expect("there is one now");
        chunk.extend(number.to_le_bytes());
        chunk.extend((world.len() as u16).to_le_bytes());
        chunk.extend(world);
        self.bytes += world.len() + 6;
    }
}

/// Explores everything that can come of `start`.
pub fn explore(start: &World, limits: Limits) -> Explored {
    let began = Instant::now();
    let mut seen: HashSet<u64, BuildHasherDefault<Identity>> = HashSet::default();
    let mut ways: Vec<(u32, Choice)> = Vec::new();
    let mut frontier = Frontier::default();
    let mut buffer = Vec::new();
    let mut calmed = 0;
    let mut depth = 0;
    let fingerprint = write(start, &mut buffer);
    seen.insert(fingerprint);
    ways.push((u32::MAX, Choice { step: 0, mask: 0 }));
    frontier.push(0, &buffer);
    let mut steps = Vec::new();
    let end =
        |states, depth, calmed, verdict| Explored { states, depth, took: began.elapsed(), calmed, verdict };
    while !frontier.chunks.is_empty() {
        if depth == limits.depth_max {
            return end(seen.len(), depth, calmed, Verdict::UpTo(depth));
        }
        if limits.tells_progress {
            let (states, memory) = (seen.len(), frontier.bytes >> 20);
            eprintln!("depth {depth}: {states} worlds, {memory} MiB to explore, {:.1?}", began.elapsed());
        }
        let mut next = Frontier::default();
        while let Some(chunk) = frontier.chunks.pop_front() {
            frontier.bytes -= chunk.len();
            let mut rest = &chunk[..];
            while let Some((head, tail)) = rest.split_at_checked(6) {
                let number = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
                let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
                let (bytes, after) = tail.split_at(length);
                rest = after;
                let world: World = postcard::from_bytes(bytes).expect("what was written is read");
                steps.clear();
                world.steps(&mut steps);
                for (step_number, &step) in steps.iter().enumerate() {
                    let outcome = world.take(step);
                    let choice = |mask: usize| Choice { step: step_number as u8, mask: mask as u8 };
                    if let Some(violation) = outcome.violation {
                        let mut way = way_to(&ways, number);
                        way.push(choice(0));
                        return end(seen.len(), depth + 1, calmed, Verdict::Violated(violation, way));
                    }
                    for mask in masks(&outcome) {
                        let mut after = outcome.world.clone();
                        after.put_under_way(&outcome.sends, mask);
                        after.normalise();
                        let fingerprint = write(&after, &mut buffer);
                        if !seen.insert(fingerprint) {
                            continue;
                        }
                        ways.push((number, choice(mask)));
                        let its_number = (ways.len() - 1) as u32;
                        if limits.fair_every > 0 && fingerprint.is_multiple_of(limits.fair_every) {
                            calmed += 1;
                            if let Err(violation) = fair::must_come_back(&after) {
                                let way = way_to(&ways, its_number);
                                return end(seen.len(), depth + 1, calmed, Verdict::Violated(violation, way));
                            }
                        }
                        next.push(its_number, &buffer);
                    }
                }
                let memory = seen.capacity() * 10 + ways.capacity() * 8 + frontier.bytes + next.bytes;
                if seen.len() >= limits.states_max || memory > limits.memory_max {
                    return end(seen.len(), depth, calmed, Verdict::UpTo(depth));
                }
            }
        }
        frontier = next;
        if !frontier.chunks.is_empty() {
            depth += 1;
        }
    }
    end(seen.len(), depth, calmed, Verdict::Complete)
}

/// Every choice of sendings that there is room for.
pub fn masks(outcome: &Outcome) -> impl Iterator<Item = usize> {
    let room = u32::from(outcome.world.flights_max).saturating_sub(outcome.world.flights.len() as u32);
    (0..1_usize << outcome.sends.len()).filter(move |mask| mask.count_ones() <= room)
}

/// Goes one chosen step.
pub fn follow(world: &World, choice: Choice) -> (Step, Outcome, World) {
    let mut steps = Vec::new();
    world.steps(&mut steps);
    let step = steps[usize::from(choice.step)];
    let outcome = world.take(step);
    let mut after = outcome.world.clone();
    after.put_under_way(&outcome.sends, choice.mask.into());
    after.normalise();
    (step, outcome, after)
}

fn way_to(ways: &[(u32, Choice)], mut number: u32) -> Vec<Choice> {
    let mut way = Vec::new();
    while let (parent, choice) = ways[number as usize]
        && parent != u32::MAX
    {
        way.push(choice);
        number = parent;
    }
    way.reverse();
    way
}

fn write(world: &World, buffer: &mut Vec<u8>) -> u64 {
    buffer.clear();
    let taken = std::mem::take(buffer);
    *buffer = postcard::to_extend(world, taken).expect("plain data is written");
    let mut hasher = SipHasher13::new();
    hasher.write(buffer);
    hasher.finish()
}
