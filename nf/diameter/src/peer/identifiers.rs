//! Hop-by-hop and end-to-end identifiers, Session-Ids, and the randomness of one peer.

use clock::{Instant, WallOrigin};

/// Draws identifiers that no earlier start of this process has used.
#[derive(Debug)]
pub(super) struct Identifiers {
    random: Random,
    wall: WallOrigin,
    salt: u32,
    hop_by_hop: u32,
    sessions: u32,
    /// The time of the first draw in seconds, and the last end-to-end identifier.
    started: Option<(u32, u32)>,
}

impl Identifiers {
    pub(super) fn new(seed: u64, wall: WallOrigin) -> Self {
        let mut random = Random(seed);
        let (hop_by_hop, salt) = (random.next() as u32, random.next() as u32);
        Identifiers { random, wall, salt, hop_by_hop, sessions: 0, started: None }
    }

    /// Identifiers for a new request.
    ///
    /// RFC 6733 §3: the end-to-end identifier starts with the low 12 bits of the time and 20 random bits and is counted
    /// up from there; it is unique for four minutes, also across a restart.
    pub(super) fn next_pair(&mut self, now: Instant) -> (u32, u32) {
        let (started, last) = match self.started {
            Some(started) => started,
            None => {
                let seconds = (self.wall.at(now).0 / 1_000_000) as u32;
                (seconds, seconds << 20 | self.random.next() as u32 & 0x000f_ffff)
            }
        };
        let end_to_end = last.wrapping_add(1);
        self.started = Some((started, end_to_end));
        self.hop_by_hop = self.hop_by_hop.wrapping_add(1);
        (self.hop_by_hop, end_to_end)
    }

    /// A Session-Id that is unique for ever (RFC 6733 §8.8): our host, the time of the start, a counter, and a random
    /// number that tells several peers of one process apart.
    pub(super) fn next_session_id(&mut self, host: &str) -> String {
        let started = self.started.map_or(0, |(seconds, _)| seconds);
        self.sessions = self.sessions.wrapping_add(1);
        format!("{host};{started};{};{:08x}", self.sessions, self.salt)
    }

    pub(super) fn random(&mut self) -> u64 {
        self.random.next()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for identifiers and jitter, and the same in every run of a seed.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use clock::WallTime;

    use super::*;

    #[test]
    fn the_high_12_bits_of_an_end_to_end_identifier_are_the_time() {
        let wall = WallOrigin(WallTime(0x1234_5678 * 1_000_000));
        let mut identifiers = Identifiers::new(7, wall);
        let (_, first) = identifiers.next_pair(Instant::ZERO);
        assert_eq!(first >> 20, 0x678);
        let (_, second) = identifiers.next_pair(Instant::from_micros(5_000_000));
        assert_eq!(second, first + 1);
    }

    #[test]
    fn peers_with_different_seeds_draw_different_sessions() {
        let mut sessions: Vec<_> = (0..100)
            .map(|seed| {
                let mut identifiers = Identifiers::new(seed, WallOrigin::default());
                identifiers.next_pair(Instant::ZERO);
                identifiers.next_session_id("scscf.example")
            })
            .collect();
        sessions.sort();
        sessions.dedup();
        assert_eq!(sessions.len(), 100);
    }
}
