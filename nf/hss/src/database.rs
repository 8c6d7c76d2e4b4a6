//! The store as typed records. Everything is read from the store when needed, nothing is mirrored in memory:
//! 10⁵ subscribers must not cost 10⁵ objects.
//!
//! A write is either one the next answer depends on ([`Durability::BeforeAnswer`]: the caller must emit a commit first)
//! or one that may be lost in a crash without harm.

use std::collections::BTreeSet;

use diameter::cx;
use node::Store;
use node::mirror::{Change, Collector, Mirror, TableId, Unreadable as UnreadableChange};
use node::store::Table;

use crate::codec::Unreadable;
use crate::record::{Registration, Subscriber, decode_restoration, encode_restoration};
use crate::schema::{meta, table};

/// Must a write survive a crash that happens after the answer has left?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    BeforeAnswer,
    /// Goes to disk with the next commit.
    Whenever,
}

pub(crate) struct Database<S> {
    pub(crate) store: S,
    /// Something was written that must be durable before the next answer.
    needs_commit: bool,
    /// How many subscribers have a registered identity: counted, because a scan of 10⁵ would stop the HSS for long.
    registered: u64,
    /// Entries that a copy has not been told of, by the place of their table in [`FOLLOWED`]; `None`: nobody follows.
    changed: Option<BTreeSet<(u8, Vec<u8>)>>,
}

/// The tables that a copy has too. Each instance counts SEQ for itself in its own slice of IND (spec S2-D1).
const FOLLOWED: [Table; 5] =
    [table::SUBSCRIBER, table::PUBLIC_IDENTITY, table::REGISTRATION, table::RESTORATION, table::META];

/// All of them for the copy: the key is the table's place in [`FOLLOWED`] and the entry's own key.
const STORE: TableId = TableId(64);

impl<S: Store> Database<S> {
    pub(crate) fn new(store: S) -> Self {
        let mut registered = 0;
        store.scan(table::REGISTRATION, b"", &mut |_, value| {
            registered += u64::from(Registration::decode(value).is_ok_and(|found| found.is_registered()));
            true
        });
        Database { store, needs_commit: false, registered, changed: None }
    }

    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.store.write(table, key, value);
        self.mark(table, key);
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        self.store.remove(table, key);
        self.mark(table, key);
    }

    fn mark(&mut self, table: Table, key: &[u8]) {
        if let Some(changed) = &mut self.changed
            && let Some(place) = FOLLOWED.iter().position(|followed| *followed == table)
        {
            changed.insert((place as u8, key.to_vec()));
        }
    }

    /// Says, once, whether a commit must go ahead of the next answer.
    pub(crate) fn take_needs_commit(&mut self) -> bool {
        std::mem::take(&mut self.needs_commit)
    }

    pub(crate) fn subscriber(&self, private_identity: &str) -> Result<Option<Subscriber>, Unreadable> {
        self.store
            .read(table::SUBSCRIBER, private_identity.as_bytes())
            .map(|bytes| Subscriber::decode(&bytes))
            .transpose()
    }

    /// The private identity that `public_identity` (canonical) belongs to.
    pub(crate) fn owner(&self, public_identity: &str) -> Option<String> {
        let bytes = self.store.read(table::PUBLIC_IDENTITY, public_identity.as_bytes())?;
        String::from_utf8(bytes).ok()
    }

    /// Writes a subscriber and its index of public identities; gives back what was there before. An unreadable record
    /// reads as one with nothing in it: provisioning again is the cure for it.
    pub(crate) fn put_subscriber(
        &mut self,
        private_identity: &str,
        subscriber: &Subscriber,
    ) -> Option<Subscriber> {
        let old = self.subscriber(private_identity).unwrap_or_else(|Unreadable| Some(Subscriber::default()));
        for identity in old.iter().flat_map(|old| &old.public_identities) {
            self.remove(table::PUBLIC_IDENTITY, identity.uri.as_bytes());
        }
        for identity in &subscriber.public_identities {
            self.write(table::PUBLIC_IDENTITY, identity.uri.as_bytes(), private_identity.as_bytes());
        }
        self.write(table::SUBSCRIBER, private_identity.as_bytes(), &subscriber.encode());
        if old.is_none() {
            self.set_number(meta::SUBSCRIBERS, self.number(meta::SUBSCRIBERS) + 1);
        }
        self.needs_commit = true;
        old
    }

    /// Removes a subscriber and all that belongs to it, but for its SEQ. An unreadable record goes too: its index
    /// entries are then left behind and point to nobody, which reads as unknown.
    pub(crate) fn remove_subscriber(&mut self, private_identity: &str) -> bool {
        if self.store.read(table::SUBSCRIBER, private_identity.as_bytes()).is_none() {
            return false;
        }
        if let Ok(Some(subscriber)) = self.subscriber(private_identity) {
            for identity in &subscriber.public_identities {
                self.remove(table::PUBLIC_IDENTITY, identity.uri.as_bytes());
            }
        }
        self.clear_registration(private_identity);
        self.remove(table::SUBSCRIBER, private_identity.as_bytes());
        self.set_number(meta::SUBSCRIBERS, self.number(meta::SUBSCRIBERS).saturating_sub(1));
        self.needs_commit = true;
        true
    }

    pub(crate) fn registration(&self, private_identity: &str) -> Result<Registration, Unreadable> {
        match self.store.read(table::REGISTRATION, private_identity.as_bytes()) {
            Some(bytes) => Registration::decode(&bytes),
            None => Ok(Registration::default()),
        }
    }

    /// Stores `registration` unless it is what is there already.
    pub(crate) fn put_registration(
        &mut self,
        private_identity: &str,
        registration: &Registration,
        durability: Durability,
    ) {
        let key = private_identity.as_bytes();
        let old = self.store.read(table::REGISTRATION, key);
        let new = (!registration.is_empty()).then(|| registration.encode());
        if old == new {
            return;
        }
        let was_registered =
            old.is_some_and(|old| Registration::decode(&old).is_ok_and(|old| old.is_registered()));
        match new {
            Some(new) => self.write(table::REGISTRATION, key, &new),
            None => self.remove(table::REGISTRATION, key),
        }
        self.registered =
            self.registered + u64::from(registration.is_registered()) - u64::from(was_registered);
        self.needs_commit |= durability == Durability::BeforeAnswer;
    }

    /// Forgets registration and restoration data.
    pub(crate) fn clear_registration(&mut self, private_identity: &str) {
        self.put_registration(private_identity, &Registration::default(), Durability::BeforeAnswer);
        for set in self.restoration_sets(private_identity) {
            self.remove_restoration(private_identity, set);
        }
    }

    pub(crate) fn restoration(
        &self,
        private_identity: &str,
        set: u8,
    ) -> Result<Option<cx::ScscfRestorationInfo>, Unreadable> {
        self.store
            .read(table::RESTORATION, &restoration_key(private_identity, set))
            .map(|bytes| decode_restoration(&bytes))
            .transpose()
    }

    pub(crate) fn put_restoration(
        &mut self,
        private_identity: &str,
        set: u8,
        data: &cx::ScscfRestorationInfo,
    ) {
        let key = restoration_key(private_identity, set);
        let new = encode_restoration(data);
        if self.store.read(table::RESTORATION, &key).as_deref() != Some(&new) {
            self.write(table::RESTORATION, &key, &new);
            self.needs_commit = true;
        }
    }

    pub(crate) fn remove_restoration(&mut self, private_identity: &str, set: u8) {
        let key = restoration_key(private_identity, set);
        if self.store.read(table::RESTORATION, &key).is_some() {
            self.remove(table::RESTORATION, &key);
            self.needs_commit = true;
        }
    }

    fn restoration_sets(&self, private_identity: &str) -> Vec<u8> {
        let prefix = [private_identity.as_bytes(), b"\0"].concat();
        let mut sets = Vec::new();
        self.store.scan(table::RESTORATION, &prefix, &mut |key, _| match key.strip_prefix(&prefix[..]) {
            Some([set]) => {
                sets.push(*set);
                true
            }
            _ => false,
        });
        sets
    }

    /// A number of the table `meta`; 0 when it was never set.
    pub(crate) fn number(&self, key: &[u8]) -> u64 {
        self.store
            .read(table::META, key)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_be_bytes)
    }

    pub(crate) fn set_number(&mut self, key: &[u8], value: u64) {
        self.write(table::META, key, &value.to_be_bytes());
        self.needs_commit = true;
    }

    /// The first SEQ of a subscriber that is not reserved.
    pub(crate) fn sequence_bound(&self, private_identity: &str) -> Option<u64> {
        let bytes = self.store.read(table::SEQUENCE, private_identity.as_bytes())?;
        // A damaged bound must not read as "start again": beyond every SEQ, it refuses vectors instead.
        Some(bytes.try_into().map_or(u64::MAX, u64::from_be_bytes))
    }

    pub(crate) fn set_sequence_bound(&mut self, private_identity: &str, bound: u64) {
        self.write(table::SEQUENCE, private_identity.as_bytes(), &bound.to_be_bytes());
        self.needs_commit = true;
    }

    pub(crate) fn subscribers(&self) -> u64 {
        self.number(meta::SUBSCRIBERS)
    }

    pub(crate) fn registered(&self) -> u64 {
        self.registered
    }
}

impl<S: Store> Mirror for Database<S> {
    fn follow(&mut self, is_followed: bool) {
        self.changed = is_followed.then(BTreeSet::new);
        let Some(changed) = &mut self.changed else { return };
        for (place, table) in FOLLOWED.iter().enumerate() {
            self.store.scan(table, b"", &mut |key, _| {
                changed.insert((place as u8, key.to_vec()));
                true
            });
        }
    }

    fn collect(&mut self, into: &mut Collector) {
        while into.has_room()
            && let Some((place, key)) = self.changed.as_mut().and_then(BTreeSet::pop_first)
        {
            let value = self.store.read(FOLLOWED[usize::from(place)], &key);
            into.push(Change { table: STORE, key: [&[place], &key[..]].concat(), value });
        }
    }

    fn apply(&mut self, change: &Change) -> Result<bool, UnreadableChange> {
        if change.table != STORE {
            return Ok(false);
        }
        let table_of = |(place, key): (&u8, _)| Some((*FOLLOWED.get(usize::from(*place))?, key));
        let Some((table, key)) = change.key.split_first().and_then(table_of) else {
            return Err(UnreadableChange {
                table: STORE,
                reason: "there is no such table in the store".into(),
            });
        };
        if table == table::REGISTRATION {
            let is_registered =
                |value: &Vec<u8>| Registration::decode(value).is_ok_and(|found| found.is_registered());
            let was_registered = self.store.read(table, key).is_some_and(|old| is_registered(&old));
            self.registered = self.registered + u64::from(change.value.as_ref().is_some_and(is_registered))
                - u64::from(was_registered);
        }
        match &change.value {
            Some(value) => self.write(table, key, value),
            None => self.remove(table, key),
        }
        self.needs_commit = true;
        Ok(true)
    }

    /// Not committed by itself: the snapshot that follows is.
    fn clear(&mut self) {
        for table in FOLLOWED {
            let mut keys = Vec::new();
            self.store.scan(table, b"", &mut |key, _| {
                keys.push(key.to_vec());
                true
            });
            for key in keys {
                self.remove(table, &key);
            }
        }
        self.registered = 0;
    }
}

fn restoration_key(private_identity: &str, set: u8) -> Vec<u8> {
    [private_identity.as_bytes(), b"\0", &[set]].concat()
}
