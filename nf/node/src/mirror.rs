//! What another copy of a node must know: its state as entries of tables, told as they change.
//!
//! Whatever must outlive the process stands in a [`Table`]. A table that is followed remembers which entries changed;
//! [`Mirror::collect`] takes those out as [`Change`]s, and [`Mirror::apply`] puts them into the copy. An entry is told as a
//! whole, so a copy that starts late needs no history: [`Mirror::follow`] counts everything as changed, and what is
//! collected then, in as many portions as one likes, is the snapshot. Indices and timers are not told: the
//! copy makes its own from the entries.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use clock::{Instant, TimerTable};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names a table within a node. Part of what two releases must agree upon: never given to another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(pub u16);

/// An entry of a table as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which table.
    pub table: TableId,
    /// Which entry.
    pub key: Vec<u8>,
    /// What it is now; `None`: it is gone.
    pub value: Option<Vec<u8>>,
}

impl Change {
    fn new<K: Serialize, V: Serialize>(table: TableId, key: &K, value: Option<&V>) -> Change {
        let encode = "entries are plain data: numbers, text, bytes";
        Change {
            table,
            key: postcard::to_allocvec(key).expect(encode),
            value: value.map(|value| postcard::to_allocvec(value).expect(encode)),
        }
    }

    /// About how many bytes it takes to tell.
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + 8
    }

    /// The key and the value, as the table `T` has them.
    pub fn read<K: DeserializeOwned, V: DeserializeOwned>(&self) -> Result<(K, Option<V>), Unreadable> {
        let unreadable = |error: postcard::Error| Unreadable { table: self.table, reason: error.to_string() };
        let key = postcard::from_bytes(&self.key).map_err(unreadable)?;
        let value = self.value.as_deref().map(postcard::from_bytes).transpose().map_err(unreadable)?;
        Ok((key, value))
    }
}

/// A change that this release does not understand. The copy is of no use any more and must begin anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change of table {} cannot be read: {reason}", table.0)]
pub struct Unreadable {
    /// Which table.
    pub table: TableId,
    /// What is wrong with it.
    pub reason: String,
}

/// Takes changes as they are collected, until it has enough.
#[derive(Debug)]
pub struct Collector {
    /// What was collected.
    pub changes: Vec<Change>,
    room_bytes: usize,
}

impl Collector {
    /// Takes about `room_bytes`: the last change may exceed it.
    pub fn new(room_bytes: usize) -> Collector {
        Collector { changes: Vec::new(), room_bytes }
    }

    /// Is there room for more?
    pub fn has_room(&self) -> bool {
        self.room_bytes > 0
    }

    /// Takes one.
    pub fn push(&mut self, change: Change) {
        self.room_bytes = self.room_bytes.saturating_sub(change.size_bytes());
        self.changes.push(change);
    }
}

/// State that another copy can follow.
pub trait Mirror {
    /// From now on somebody follows (and has nothing yet: all entries count as changed), or nobody does.
    fn follow(&mut self, is_followed: bool);
    /// Takes out entries that changed since they were last taken, as many as there is room for.
    fn collect(&mut self, into: &mut Collector);
    /// Puts a change of the other copy in. `Ok(false)`: the table is not one of ours.
    fn apply(&mut self, change: &Change) -> Result<bool, Unreadable>;
    /// Forgets everything: a snapshot comes in its place.
    fn clear(&mut self);
}

/// State whose parts can be followed.
pub trait Composite {
    /// Shows all its parts, always in the same order.
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror));
}

impl<T: Composite> Mirror for T {
    fn follow(&mut self, is_followed: bool) {
        self.each(&mut |part| part.follow(is_followed));
    }

    fn collect(&mut self, into: &mut Collector) {
        self.each(&mut |part| part.collect(into));
    }

    fn apply(&mut self, change: &Change) -> Result<bool, Unreadable> {
        let mut result = Ok(false);
        self.each(&mut |part| {
            if result == Ok(false) {
                result = part.apply(change);
            }
        });
        result
    }

    fn clear(&mut self) {
        self.each(&mut |part| part.clear());
    }
}

/// A map whose changes can be followed. It reads like a [`BTreeMap`]; every way to write marks what it touches.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    id: TableId,
    entries: BTreeMap<K, V>,
    /// What the follower has not been told; `None`: there is none.
    changed: Option<BTreeSet<K>>,
}

impl<K, V> Deref for Table<K, V> {
    type Target = BTreeMap<K, V>;

    fn deref(&self) -> &BTreeMap<K, V> {
        &self.entries
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// An empty table that nobody follows.
    pub const fn new(id: TableId) -> Table<K, V> {
        Table { id, entries: BTreeMap::new(), changed: None }
    }

    /// Is `change` one of this table?
    pub fn owns(&self, change: &Change) -> bool {
        change.table == self.id
    }

    /// Puts an entry in; the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.mark(&key);
        self.entries.insert(key, value)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.entries.remove(key)?;
        self.mark(key);
        Some(removed)
    }

    /// An entry to be changed. It counts as changed even if it is not.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let value = self.entries.get_mut(key)?;
        if let Some(changed) = &mut self.changed
            && !changed.contains(key)
        {
            changed.insert(key.clone());
        }
        Some(value)
    }

    fn mark(&mut self, key: &K) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key.clone());
        }
    }
}

impl<K, V> Mirror for Table<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    fn follow(&mut self, is_followed: bool) {
        self.changed = is_followed.then(|| self.entries.keys().cloned().collect());
    }

    fn collect(&mut self, into: &mut Collector) {
        while into.has_room()
            && let Some(key) = self.changed.as_mut().and_then(BTreeSet::pop_first)
        {
            into.push(Change::new(self.id, &key, self.entries.get(&key)));
        }
    }

    fn apply(&mut self, change: &Change) -> Result<bool, Unreadable> {
        if !self.owns(change) {
            return Ok(false);
        }
        match change.read()? {
            (key, Some(value)) => self.insert(key, value),
            (key, None) => self.remove(&key),
        };
        Ok(true)
    }

    fn clear(&mut self) {
        if let Some(changed) = &mut self.changed {
            changed.extend(self.entries.keys().cloned());
        }
        self.entries.clear();
    }
}

/// The last number given of a kind. A copy that takes over goes on with the next.
#[derive(Clone, Debug)]
pub struct Numbers(Table<(), u64>);

impl Numbers {
    /// The first number is 1.
    pub const fn new(id: TableId) -> Numbers {
        Numbers(Table::new(id))
    }

    /// The last number given.
    pub fn last(&self) -> u64 {
        self.0.get(&()).copied().unwrap_or(0)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.take(1)
    }

    /// All numbers up to `last` have been given.
    pub fn advance_to(&mut self, last: u64) {
        if last > self.last() {
            self.0.insert((), last);
        }
    }

    /// The first of the next `count` numbers.
    pub fn take(&mut self, count: u64) -> u64 {
        let last = self.last();
        self.0.insert((), last + count);
        last + 1
    }
}

impl Composite for Numbers {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.0);
    }
}

/// Deadlines by key that can be followed. See [`TimerTable`].
#[derive(Clone, Debug)]
pub struct Timers<K: Ord + Clone> {
    id: TableId,
    timers: TimerTable<K>,
    changed: Option<BTreeSet<K>>,
}

impl<K: Ord + Clone> Timers<K> {
    /// No deadlines, and nobody follows.
    pub fn new(id: TableId) -> Timers<K> {
        Timers { id, timers: TimerTable::default(), changed: None }
    }

    /// Sets, moves or (with `None`) removes the deadline of `key`.
    pub fn set(&mut self, key: K, deadline: Option<Instant>) {
        if let Some(changed) = &mut self.changed
            && self.timers.deadline(&key) != deadline
        {
            changed.insert(key.clone());
        }
        self.timers.set(key, deadline);
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes the earliest key whose deadline is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let key = self.timers.pop_due(now)?;
        if let Some(changed) = &mut self.changed {
            changed.insert(key.clone());
        }
        Some(key)
    }
}

impl<K: Ord + Clone + Serialize + DeserializeOwned> Mirror for Timers<K> {
    fn follow(&mut self, is_followed: bool) {
        self.changed = is_followed.then(|| self.timers.keys().cloned().collect());
    }

    fn collect(&mut self, into: &mut Collector) {
        while into.has_room()
            && let Some(key) = self.changed.as_mut().and_then(BTreeSet::pop_first)
        {
            into.push(Change::new(self.id, &key, self.timers.deadline(&key).as_ref()));
        }
    }

    fn apply(&mut self, change: &Change) -> Result<bool, Unreadable> {
        if change.table != self.id {
            return Ok(false);
        }
        let (key, deadline) = change.read::<K, Instant>()?;
        self.set(key, deadline);
        Ok(true)
    }

    fn clear(&mut self) {
        while self.pop_due(Instant::FAR_FUTURE).is_some() {}
    }
}

/// The name of a procedure in an entry: one of the words of [`crate::Event::Procedure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub &'static str);

const WORDS: [&str; 7] =
    ["registration", "re_registration", "de_registration", "call", "message", "subscription", "other"];

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        debug_assert!(WORDS.contains(&self.0), "{:?} is missing among the words", self.0);
        serializer.serialize_str(self.0)
    }
}

/// A word that this release does not know comes from a later one.
impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = WORDS.into_iter().find(|word| *word == text);
        found.map(Word).ok_or_else(|| D::Error::custom(format!("unknown procedure {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TableId = TableId(7);

    fn collect(table: &mut Table<u32, String>, room_bytes: usize) -> Vec<Change> {
        let mut collector = Collector::new(room_bytes);
        table.collect(&mut collector);
        collector.changes
    }

    #[test]
    fn a_follower_that_starts_late_gets_everything_in_portions_and_then_what_changes() {
        let mut table = Table::new(ID);
        for number in 0..100 {
            table.insert(number, format!("value {number}"));
        }
        let mut copy = Table::new(ID);
        table.follow(true);
        let mut portions = 0;
        loop {
            let portion = collect(&mut table, 200);
            if portion.is_empty() {
                break;
            }
            portions += 1;
            if portions == 3 {
                // What changes meanwhile is told too, before or after.
                table.insert(0, "changed".to_owned());
                table.remove(&99);
            }
            for change in &portion {
                assert_eq!(copy.apply(change), Ok(true));
            }
        }
        assert!(portions > 5);
        assert_eq!(copy.entries, table.entries);
        table.get_mut(&5).expect("it is there").push('!');
        let changes = collect(&mut table, usize::MAX);
        assert_eq!(changes.len(), 1);
        assert_eq!(copy.apply(&changes[0]), Ok(true));
        assert_eq!(copy.entries, table.entries);
    }

    #[test]
    fn nothing_is_remembered_when_nobody_follows() {
        let mut table = Table::new(ID);
        table.insert(1, "a".to_owned());
        assert!(collect(&mut table, usize::MAX).is_empty());
        table.follow(true);
        table.follow(false);
        table.insert(2, "b".to_owned());
        assert!(table.changed.is_none() && collect(&mut table, usize::MAX).is_empty());
    }

    #[test]
    fn a_change_of_another_table_is_not_taken_and_an_unreadable_one_is_named() {
        let mut table: Table<u32, String> = Table::new(ID);
        let foreign = Change { table: TableId(8), key: vec![1], value: None };
        assert_eq!(table.apply(&foreign), Ok(false));
        let torn = Change { table: ID, key: vec![1], value: Some(vec![200]) };
        assert!(table.apply(&torn).is_err_and(|error| error.table == ID));
        assert!(table.is_empty());
    }
}
