//! The key-value store a function keeps its durable state in. The driver implements it on disk; [`MemoryStore`]
//! implements it for simulation.
//!
//! Writes are seen by later reads at once. They survive a loss of the process only after [`crate::Decision::Commit`].

use std::collections::BTreeMap;

/// A table of a [`Store`]; declared by the function that owns it.
pub type Table = &'static str;

/// An ordered key-value store with named tables.
pub trait Store {
    /// The value of `key`.
    fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>>;
    /// Sets the value of `key`.
    fn write(&mut self, table: Table, key: &[u8], value: &[u8]);
    /// Removes `key`.
    fn remove(&mut self, table: Table, key: &[u8]);
    /// Calls `visit` for each entry whose key is at or after `from`, in order, until it says `false`.
    fn scan(&self, table: Table, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool);
}

/// A store in memory that knows which writes were committed: a simulated crash forgets the others.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    live: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    durable: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    dirty: Vec<(Table, Vec<u8>)>,
}

impl MemoryStore {
    /// Makes all writes so far durable.
    pub fn commit(&mut self) {
        for key in self.dirty.drain(..) {
            match self.live.get(&key) {
                Some(value) => self.durable.insert(key, value.clone()),
                None => self.durable.remove(&key),
            };
        }
    }

    /// What a process finds that starts after a crash.
    pub fn after_crash(&self) -> MemoryStore {
        MemoryStore { live: self.durable.clone(), durable: self.durable.clone(), dirty: Vec::new() }
    }
}

impl Store for MemoryStore {
    fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.live.get(&(table, key.to_vec())).cloned()
    }

    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.live.insert((table, key.to_vec()), value.to_vec());
        self.dirty.push((table, key.to_vec()));
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        self.live.remove(&(table, key.to_vec()));
        self.dirty.push((table, key.to_vec()));
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        for ((found, key), value) in self.live.range((table, from.to_vec())..) {
            if *found != table || !visit(key, value) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_forgets_what_was_not_committed() {
        let mut store = MemoryStore::default();
        store.write("t", b"a", b"1");
        store.commit();
        store.write("t", b"b", b"2");
        store.remove("t", b"a");
        let after = store.after_crash();
        assert_eq!(after.read("t", b"a").as_deref(), Some(&b"1"[..]));
        assert_eq!(after.read("t", b"b"), None);
    }

    #[test]
    fn a_scan_stays_in_its_table() {
        let mut store = MemoryStore::default();
        store.write("a", b"1", b"");
        store.write("b", b"1", b"");
        store.write("b", b"2", b"");
        let mut keys = Vec::new();
        store.scan("b", b"", &mut |key, _| {
            keys.push(key.to_vec());
            true
        });
        assert_eq!(keys, [b"1".to_vec(), b"2".to_vec()]);
    }
}
