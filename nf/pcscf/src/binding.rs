//! What is remembered about registered devices: one [`Binding`] for each contact, in memory in order and in the store.
//!
//! A binding is made only by a 200 to a REGISTER, so nothing a device merely claims moves another's calls. It ends
//! at its expiry, which is kept as wall time because it must outlive the process. A change is committed before the
//! answer that announces it leaves; what a commit costs is the driver's choice (a journal that survives the loss of
//! the process is enough: after the loss of the machine devices register again).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use clock::{Instant, TimerTable, WallOrigin, WallTime};
use node::mirror::{self, Change, Collector, Mirror, TableId, Unreadable};
use node::store::Table;
use node::{Flow, Store, Transport};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sip::{NameAddress, Uri};

/// The table of bindings: [`BindingKey`], big-endian, to JSON.
pub const TABLE: Table = "binding";

/// Devices a P-CSCF holds at most; beyond it a new one is refused with 503. At 2,900 B each (`docs/benchmark.md`, `pcscf.memory_per_device`) this is 1.4 GiB.
pub const BINDINGS_MAX: usize = 500_000;

/// Names a registered contact: a digest of the identity registered and of what makes the contact the same contact
/// after it has moved. Fits into a flow token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BindingKey(pub u64);

impl BindingKey {
    /// The key of `contact` of `identity`. An instance-id (with reg-id, RFC 5626 §6) stays when the address
    /// changes; without one the contact is its user, host and port.
    pub fn of(identity: &str, contact: &NameAddress<'_>) -> BindingKey {
        let mut digest = Sha256::new().chain_update(identity).chain_update([0]);
        match contact.parameters.value("+sip.instance") {
            Some(instance) => {
                digest.update(instance);
                digest.update([0]);
                digest.update(contact.parameters.value("reg-id").unwrap_or(""));
            }
            None => digest.update(contact_place(contact.uri_text)),
        }
        let digest = digest.finalize();
        let first = digest.first_chunk().expect("a SHA-256 digest has 32 bytes");
        BindingKey(u64::from_be_bytes(*first))
    }
}

/// The part of a contact URI that names its place: what stays the same when a device adds a parameter or speaks
/// over another transport.
pub fn contact_place(uri: &str) -> String {
    match Uri::parse(uri) {
        Ok(uri) => format!("{}:{}", uri.address_of_record(), uri.port.unwrap_or(5060)),
        Err(_) => uri.to_owned(),
    }
}

/// One registered contact of one public identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The public identity registered: the address of record in To.
    pub identity: String,
    /// The URIs of P-Associated-URI; the first is the default identity.
    pub identities: Vec<String>,
    /// The contact URI.
    pub contact: String,
    /// The Service-Route values.
    pub service_route: Vec<String>,
    /// Our URI in the Path, by which the device recognises a 504 as ours (TS 24.229 §5.2.6.3.2A).
    pub path: String,
    /// The way to the device.
    pub flow: Flow,
    /// Does the device keep flows by RFC 5626?
    pub is_outbound: bool,
    /// Did the Via of its REGISTER name the very address it came from? Then no NAT is in between, and the address in
    /// its contact can be believed.
    pub is_in_the_open: bool,
    /// Did that Via at least name the host it came from? Else the device shares its address with others behind a NAT, and
    /// the address proves nothing about who speaks.
    #[serde(default)]
    pub is_alone_at_its_address: bool,
    /// P-Charging-Function-Addresses.
    pub charging_function_addresses: Option<String>,
    /// When it ends.
    pub expires: WallTime,
}

impl Binding {
    /// The registered URI that names the same identity as `uri`.
    pub fn identity_of(&self, uri: &Uri<'_>) -> Option<&str> {
        let wanted = uri.address_of_record();
        self.identities.iter().map(String::as_str).find(|text| record_of(text) == wanted)
    }

    /// The identity to assert for a device that prefers none.
    pub fn default_identity(&self) -> &str {
        self.identities.first().map_or(self.identity.as_str(), String::as_str)
    }
}

/// The canonical identity of a URI's text.
pub fn record_of(uri: &str) -> String {
    Uri::parse(uri).map_or_else(|_| uri.to_owned(), |uri| uri.address_of_record())
}

type Keys = BTreeSet<BindingKey>;

/// All bindings, with their indices.
pub struct Bindings<S> {
    store: S,
    wall: WallOrigin,
    by_key: mirror::Table<BindingKey, Binding>,
    by_flow: BTreeMap<(Transport, SocketAddr), Keys>,
    by_identity: BTreeMap<String, Keys>,
    expiry: TimerTable<BindingKey>,
    /// Was the store written since the last [`Bindings::take_dirty`]?
    is_dirty: bool,
}

impl<S: Store> Bindings<S> {
    /// Reads what the store holds. An unreadable entry is dropped: its device registers again. Connections of the
    /// former process are gone, so no flow keeps one.
    pub fn load(store: S, wall: WallOrigin) -> Self {
        let mut bindings = Bindings {
            store,
            wall,
            by_key: mirror::Table::new(TableId(18)),
            by_flow: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            expiry: TimerTable::default(),
            is_dirty: false,
        };
        let mut found = Vec::new();
        let mut stale = Vec::new();
        bindings.store.scan(TABLE, b"", &mut |key, value| {
            let binding =
                serde_json::from_slice::<Binding>(value).ok().filter(|binding| binding.expires > wall.0);
            match (<[u8; 8]>::try_from(key), binding) {
                (Ok(key), Some(binding)) => found.push((BindingKey(u64::from_be_bytes(key)), binding)),
                _ => stale.push(key.to_vec()),
            }
            true
        });
        for key in stale {
            bindings.store.remove(TABLE, &key);
        }
        for (key, mut binding) in found {
            binding.flow.connection = None;
            bindings.index(key, binding);
        }
        bindings
    }

    /// Puts a binding in, in the place of the one that had its key.
    pub fn put(&mut self, key: BindingKey, binding: Binding) {
        self.unindex(key);
        let value = serde_json::to_vec(&binding).expect("a binding is plain data and becomes JSON");
        self.store.write(TABLE, &key.0.to_be_bytes(), &value);
        self.is_dirty = true;
        self.index(key, binding);
    }

    /// Takes a binding out.
    pub fn remove(&mut self, key: BindingKey) -> Option<Binding> {
        let binding = self.unindex(key)?;
        self.store.remove(TABLE, &key.0.to_be_bytes());
        self.is_dirty = true;
        Some(binding)
    }

    /// The binding of that key.
    pub fn binding(&self, key: BindingKey) -> Option<&Binding> {
        self.by_key.get(&key)
    }

    /// All that came over a flow from there. Many devices behind one flow are possible: test tools share a socket.
    pub fn of_flow(&self, flow: &Flow) -> impl Iterator<Item = (BindingKey, &Binding)> {
        self.resolve(self.by_flow.get(&(flow.transport, flow.remote)))
    }

    /// All that registered an identity of that address of record.
    pub fn of_identity(&self, record: &str) -> impl Iterator<Item = (BindingKey, &Binding)> {
        self.resolve(self.by_identity.get(record))
    }

    /// All, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (BindingKey, &Binding)> {
        self.by_key.iter().map(|(key, binding)| (*key, binding))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_key.len()
    }

    /// Takes out one binding that has expired.
    pub fn pop_expired(&mut self, now: Instant) -> Option<Binding> {
        let key = self.expiry.pop_due(now)?;
        self.remove(key)
    }

    /// When the next binding expires.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiry.next()
    }

    /// Does the store hold something that was not committed? Asking is promising to commit.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    /// Wall time at `now`.
    pub fn wall_at(&self, now: Instant) -> WallTime {
        self.wall.at(now)
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    fn resolve<'a>(&'a self, keys: Option<&'a Keys>) -> impl Iterator<Item = (BindingKey, &'a Binding)> {
        keys.into_iter().flatten().filter_map(|key| Some((*key, self.by_key.get(key)?)))
    }

    fn index(&mut self, key: BindingKey, binding: Binding) {
        self.by_flow.entry((binding.flow.transport, binding.flow.remote)).or_default().insert(key);
        for record in records(&binding) {
            self.by_identity.entry(record).or_default().insert(key);
        }
        self.expiry.set(key, Some(self.wall.instant_of(binding.expires)));
        self.by_key.insert(key, binding);
    }

    fn unindex(&mut self, key: BindingKey) -> Option<Binding> {
        let binding = self.by_key.remove(&key)?;
        discard(&mut self.by_flow, &(binding.flow.transport, binding.flow.remote), key);
        for record in records(&binding) {
            discard(&mut self.by_identity, &record, key);
        }
        self.expiry.set(key, None);
        Some(binding)
    }
}

impl<S: Store> Mirror for Bindings<S> {
    fn follow(&mut self, is_followed: bool) {
        self.by_key.follow(is_followed);
    }

    fn collect(&mut self, into: &mut Collector) {
        self.by_key.collect(into);
    }

    fn apply(&mut self, change: &Change) -> Result<bool, Unreadable> {
        if !self.by_key.owns(change) {
            return Ok(false);
        }
        match change.read()? {
            (key, Some(binding)) => self.put(key, binding),
            (key, None) => {
                self.remove(key);
            }
        }
        Ok(true)
    }

    fn clear(&mut self) {
        let keys: Vec<BindingKey> = self.by_key.keys().copied().collect();
        for key in keys {
            self.remove(key);
        }
    }
}

fn records(binding: &Binding) -> BTreeSet<String> {
    binding.identities.iter().map(|uri| record_of(uri)).chain([binding.identity.clone()]).collect()
}

fn discard<K: Ord>(index: &mut BTreeMap<K, Keys>, at: &K, key: BindingKey) {
    if let Some(keys) = index.get_mut(at) {
        keys.remove(&key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}
