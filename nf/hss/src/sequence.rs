//! Sequence numbers: SQN = SEQ (43 bits) ‖ IND (5 bits), TS 33.102 annex C. No SQN is ever used twice for a subscriber.
//!
//! ```text
//!            in the store: bound                  (a crash: begin here)
//!                          ▼
//!   used  │ reserved block │ not reserved
//!   ──────┼────────────────┼─────────────▶ SEQ
//!         ▲ in memory: next
//! ```
//!
//! By construction, not by luck: a SEQ is used only below a bound that is in the store, the store is durable before the
//! answer leaves, and a process starts at the bound. Disk is written once a block, not once a vector. Each HSS
//! instance owns a slice of IND values, so that two instances never make the same SQN though neither knows the
//! other's SEQ (spec S2-D1).
//!
//! SEQ is counted without the store's offset, which a restore from a backup raises for all subscribers at once.
//! SEQ never falls, also not when a SIM's counter is far behind (TS 33.102 §6.3.5 would allow it): a SIM accepts
//! whatever is ahead of it.

use std::collections::BTreeMap;

use node::Store;
use sha2::Digest;

use crate::database::Database;
use crate::schema::meta;

/// SEQ has 43 bits.
pub const SEQ_MAX: u64 = (1 << 43) - 1;
/// IND has 5 bits.
pub const IND_BITS: u32 = 5;

/// SEQ 0 is what a new SIM holds as used.
const SEQ_FIRST: u64 = 1;

/// How many cursors are kept in each of two generations: 2 × 65,536 cursors of about 40 bytes. A cursor that is
/// dropped costs the rest of its block and one more write, nothing else.
const CURSORS_MAX: usize = 65_536;

/// The subscriber has used up all 2⁴³ sequence numbers, or its bound cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no sequence number is left for this subscriber")]
pub struct Exhausted;

/// What is in use of a reserved block.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    next: u64,
    bound: u64,
}

/// 128 bits of SHA-256 of the private identity: a quarter of the memory, and nobody finds two that collide.
type CursorKey = [u8; 16];

pub(crate) struct Sequence {
    index_first: u8,
    index_count: u8,
    block: u64,
    offset: u64,
    /// Two generations approximate "least recently used" with no second index.
    young: BTreeMap<CursorKey, Cursor>,
    old: BTreeMap<CursorKey, Cursor>,
    cursors_max: usize,
}

impl Sequence {
    /// The slice and the block come from the configuration, checked by the caller; the offset is read from the store.
    pub(crate) fn new<S: Store>(
        index_first: u8,
        index_count: u8,
        block: u64,
        database: &Database<S>,
    ) -> Self {
        assert!(index_count >= 1 && index_first + index_count <= 1 << IND_BITS && block >= 1);
        Sequence {
            index_first,
            index_count,
            block,
            offset: database.number(meta::SEQUENCE_OFFSET),
            young: BTreeMap::new(),
            old: BTreeMap::new(),
            cursors_max: CURSORS_MAX,
        }
    }

    /// The next SQN of a subscriber. May leave the database in need of a commit.
    pub(crate) fn next<S: Store>(
        &mut self,
        database: &mut Database<S>,
        private_identity: &str,
    ) -> Result<u64, Exhausted> {
        let key = cursor_key(private_identity);
        let mut cursor = self.take_cursor(&key).unwrap_or_else(|| {
            let bound = database.sequence_bound(private_identity).unwrap_or(SEQ_FIRST);
            Cursor { next: bound, bound }
        });
        let sequence = cursor.next.checked_add(self.offset).filter(|seq| *seq <= SEQ_MAX).ok_or(Exhausted)?;
        if cursor.next == cursor.bound {
            cursor.bound = cursor.next.saturating_add(self.block);
            database.set_sequence_bound(private_identity, cursor.bound);
        }
        cursor.next += 1;
        self.keep_cursor(key, cursor);
        Ok(self.sqn(sequence))
    }

    /// Round robin over the slice: SEQ grows by one with each use, so its remainder does too.
    fn sqn(&self, sequence: u64) -> u64 {
        let index = u64::from(self.index_first) + sequence % u64::from(self.index_count);
        sequence << IND_BITS | index
    }

    /// Makes every later SEQ of this subscriber greater than `used`, which its SIM (or another core) has seen.
    pub(crate) fn raise_above<S: Store>(
        &mut self,
        database: &mut Database<S>,
        private_identity: &str,
        used: u64,
    ) {
        let wanted = used.saturating_add(1).saturating_sub(self.offset).max(SEQ_FIRST);
        let key = cursor_key(private_identity);
        let cursor = self.take_cursor(&key);
        let next = match cursor {
            Some(cursor) => cursor.next,
            None => database.sequence_bound(private_identity).unwrap_or(SEQ_FIRST),
        };
        if wanted > next {
            database
                .set_sequence_bound(private_identity, wanted.max(cursor.map_or(0, |cursor| cursor.bound)));
        } else if let Some(cursor) = cursor {
            self.keep_cursor(key, cursor);
        }
    }

    /// Has the subscriber used up its last SEQ?
    pub(crate) fn is_exhausted<S: Store>(&self, database: &Database<S>, private_identity: &str) -> bool {
        let key = cursor_key(private_identity);
        let cursor = self.young.get(&key).or_else(|| self.old.get(&key));
        let next = match cursor {
            Some(cursor) => cursor.next,
            None => database.sequence_bound(private_identity).unwrap_or(SEQ_FIRST),
        };
        next.checked_add(self.offset).is_none_or(|sequence| sequence > SEQ_MAX)
    }

    /// The highest SQN that the subscriber's SIM may have been shown; every later one is greater.
    pub(crate) fn newest<S: Store>(&self, database: &Database<S>, private_identity: &str) -> Option<u64> {
        let key = cursor_key(private_identity);
        let cursor = self.young.get(&key).or_else(|| self.old.get(&key));
        let next = match cursor {
            Some(cursor) => cursor.next,
            None => database.sequence_bound(private_identity)?,
        };
        let newest = next.checked_sub(1)?.checked_add(self.offset).filter(|seq| *seq <= SEQ_MAX)?;
        Some(self.sqn(newest))
    }

    /// Raises SEQ of all subscribers by `by`; gives the new offset.
    pub(crate) fn jump<S: Store>(&mut self, database: &mut Database<S>, by: u64) -> Result<u64, Exhausted> {
        let offset = self.offset.checked_add(by).filter(|offset| *offset <= SEQ_MAX).ok_or(Exhausted)?;
        database.set_number(meta::SEQUENCE_OFFSET, offset);
        self.offset = offset;
        Ok(offset)
    }

    /// The copy that serves may have raised SEQ of all subscribers.
    pub(crate) fn reload_offset<S: Store>(&mut self, database: &Database<S>) {
        self.offset = database.number(meta::SEQUENCE_OFFSET);
    }

    fn take_cursor(&mut self, key: &CursorKey) -> Option<Cursor> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    fn keep_cursor(&mut self, key: CursorKey, cursor: Cursor) {
        if self.young.len() >= self.cursors_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, cursor);
    }
}

fn cursor_key(private_identity: &str) -> CursorKey {
    let digest: [u8; 32] = sha2::Sha256::digest(private_identity.as_bytes()).into();
    *digest.first_chunk().expect("32 bytes have a first 16")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use node::MemoryStore;
    use proptest::prelude::*;

    use super::*;

    fn sequence(database: &Database<MemoryStore>) -> Sequence {
        Sequence::new(0, 16, 4, database)
    }

    #[test]
    fn a_new_sim_gets_seq_1_and_each_use_goes_one_on_in_seq_and_index() {
        let mut database = Database::new(MemoryStore::default());
        let mut sequence = sequence(&database);
        let numbers: Vec<u64> = (0..3).map(|_| sequence.next(&mut database, "a").unwrap()).collect();
        assert_eq!(numbers, [1 << 5 | 1, 2 << 5 | 2, 3 << 5 | 3]);
    }

    #[test]
    fn the_index_stays_in_the_slice_of_the_instance() {
        let mut database = Database::new(MemoryStore::default());
        let mut sequence = Sequence::new(16, 16, 4, &database);
        for _ in 0..100 {
            assert!((16..32).contains(&(sequence.next(&mut database, "a").unwrap() & 31)));
        }
    }

    #[test]
    fn disk_is_needed_once_a_block() {
        let mut database = Database::new(MemoryStore::default());
        let mut sequence = sequence(&database);
        let commits: Vec<bool> = (0..8)
            .map(|_| {
                sequence.next(&mut database, "a").unwrap();
                database.take_needs_commit()
            })
            .collect();
        assert_eq!(commits, [true, false, false, false, true, false, false, false]);
    }

    #[test]
    fn the_last_sequence_number_is_used_and_then_refused() {
        let mut database = Database::new(MemoryStore::default());
        let mut sequence = sequence(&database);
        sequence.raise_above(&mut database, "a", SEQ_MAX - 1);
        assert!(!sequence.is_exhausted(&database, "a"));
        assert_eq!(sequence.next(&mut database, "a").map(|sqn| sqn >> IND_BITS), Ok(SEQ_MAX));
        assert!(sequence.is_exhausted(&database, "a") && !sequence.is_exhausted(&database, "b"));
        assert_eq!(sequence.next(&mut database, "a"), Err(Exhausted));
        assert_eq!(sequence.next(&mut database, "b").map(|sqn| sqn >> IND_BITS), Ok(1));
    }

    #[test]
    fn a_jump_goes_past_everything_used_since_the_backup() {
        let mut database = Database::new(MemoryStore::default());
        let mut sequence = sequence(&database);
        sequence.next(&mut database, "a").unwrap();
        database.store.commit();
        let backup = database.store.after_crash();
        let used: Vec<u64> = (0..50).map(|_| sequence.next(&mut database, "a").unwrap()).collect();
        let mut restored = Database::new(backup);
        let mut sequence = Sequence::new(0, 16, 4, &restored);
        sequence.jump(&mut restored, 1 << 20).unwrap();
        assert!(sequence.next(&mut restored, "a").unwrap() > *used.last().unwrap());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Use(u8),
        Raise(u8, u64),
        Commit,
        Crash,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..4_u8).prop_map(Step::Use),
            1 => (0..4_u8, 0..200_u64).prop_map(|(who, seq)| Step::Raise(who, seq)),
            2 => Just(Step::Commit),
            1 => Just(Step::Crash),
        ]
    }

    proptest! {
        /// Answers leave in order, each only when all writes before it are durable; a crash loses the rest.
        #[test]
        fn no_sqn_leaves_twice_whenever_the_process_dies(steps in prop::collection::vec(step(), 1..300)) {
            let mut database = Database::new(MemoryStore::default());
            let mut sequence = sequence(&database);
            // Tiny, so that cursors are dropped all the time.
            sequence.cursors_max = 1;
            let mut left = BTreeSet::new();
            let mut held = Vec::new();
            for step in steps {
                match step {
                    Step::Use(who) => {
                        let sqn = sequence.next(&mut database, &who.to_string()).unwrap();
                        if database.take_needs_commit() || !held.is_empty() {
                            held.push((who, sqn));
                        } else {
                            prop_assert!(left.insert((who, sqn)), "{who} got {sqn} twice");
                        }
                    }
                    Step::Raise(who, seq) => sequence.raise_above(&mut database, &who.to_string(), seq),
                    Step::Commit => {
                        database.store.commit();
                        for (who, sqn) in held.drain(..) {
                            prop_assert!(left.insert((who, sqn)), "{who} got {sqn} twice");
                        }
                    }
                    Step::Crash => {
                        held.clear();
                        database = Database::new(database.store.after_crash());
                        sequence = Sequence::new(0, 16, 4, &database);
                        sequence.cursors_max = 1;
                    }
                }
            }
        }
    }
}
