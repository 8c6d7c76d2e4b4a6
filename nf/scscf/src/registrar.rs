//! Who is registered: implicit registration sets, their contacts, and when contacts expire.
//!
//! The unit is the *set*: the public identities that the HSS registers together (TS 23.228 §4.3.3.4), with the
//! contacts of all private identities that share it. A set lives as long as it has a contact. State only: nothing
//! here sends anything.

use std::collections::{BTreeMap, BTreeSet};

use clock::Instant;
use node::mirror::{Change, Collector, Mirror, Numbers, Table, TableId, Unreadable};
use serde::{Deserialize, Serialize};

use crate::contact::{Changes, Contact, ContactEvent};
use crate::profile::Identity;
use crate::text::Text;

/// A set's name inside this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SetId(pub u64);

/// An implicit registration set with at least one contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationSet {
    /// Its public identities, in the order of the profile.
    pub identities: Vec<Identity>,
    /// Its contacts, in the order in which they were registered.
    pub contacts: Vec<Contact>,
    /// The value of P-Charging-Function-Addresses, if the HSS named any.
    pub charging: Option<Text>,
    /// Who subscribed to its reg event: keys of [`crate::watcher::Watchers`].
    pub watchers: Vec<u64>,
}

impl RegistrationSet {
    /// The default public identity: the first that is not barred.
    pub fn default_identity(&self) -> Option<&Identity> {
        self.identities.iter().find(|identity| !identity.is_barred)
    }

    /// Is `address_of_record` in the set? Then whether it is barred.
    pub fn identity(&self, address_of_record: &str) -> Option<&Identity> {
        self.identities.iter().find(|identity| &*identity.uri == address_of_record)
    }

    /// Has `private_identity` a contact here?
    pub fn has_contact_of(&self, private_identity: &str) -> bool {
        self.contacts.iter().any(|contact| &*contact.private_identity == private_identity)
    }

    /// When the first contact goes.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.contacts.iter().map(|contact| contact.expires_at).min()
    }
}

/// The REGISTER whose changes are applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    /// Who registers.
    pub private_identity: Text,
    /// Path values, comma-joined.
    pub path: Text,
    /// Call-ID.
    pub call_id: Text,
    /// CSeq number.
    pub cseq: u32,
    /// What is wanted.
    pub changes: Changes,
}

/// Why an update is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateError {
    /// RFC 3261 §10.3 step 7: same Call-ID, CSeq not higher.
    OutOfOrder,
    /// The set is full.
    TooManyContacts,
}

/// What an update did.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Contacts removed, with [`Contact::event`] telling why.
    pub departed: Vec<Contact>,
    /// Was anything added, removed or given another URI (not merely refreshed)?
    pub is_news: bool,
}

/// Applies `update` to `contacts`. All or nothing.
pub(crate) fn apply(
    contacts: &mut Vec<Contact>,
    update: &Update,
    contacts_max: usize,
    next_id: &mut u64,
    now: Instant,
) -> Result<Applied, UpdateError> {
    let mut applied = Applied::default();
    let mut after = contacts.clone();
    let is_stale = |contact: &Contact| contact.call_id == update.call_id && contact.cseq >= update.cseq;
    match &update.changes {
        Changes::None => return Ok(applied),
        Changes::RemoveAll => {
            if after.iter().any(|each| each.private_identity == update.private_identity && is_stale(each)) {
                return Err(UpdateError::OutOfOrder);
            }
            take_matching(&mut after, &mut applied, ContactEvent::Unregistered, |each| {
                each.private_identity == update.private_identity
            });
        }
        Changes::Bindings(bindings) => {
            for binding in bindings {
                if contacts.iter().any(|each| is_stale(each) && each.is_same_binding(&binding.value)) {
                    return Err(UpdateError::OutOfOrder);
                }
                let found = after.iter().position(|each| each.is_same_binding(&binding.value));
                match found {
                    Some(at) if binding.expires.is_zero() => {
                        let mut contact = after.remove(at);
                        contact.event = ContactEvent::Unregistered;
                        applied.departed.push(contact);
                    }
                    None if binding.expires.is_zero() => {}
                    Some(at) => {
                        let old = &mut after[at];
                        applied.is_news |= old.value != binding.value || old.path != update.path;
                        old.event = ContactEvent::Refreshed;
                        old.value = binding.value.clone();
                        old.private_identity = update.private_identity.clone();
                        old.path = update.path.clone();
                        old.call_id = update.call_id.clone();
                        old.cseq = update.cseq;
                        old.expires_at = now + binding.expires;
                    }
                    None => {
                        *next_id += 1;
                        applied.is_news = true;
                        after.push(Contact {
                            id: *next_id,
                            private_identity: update.private_identity.clone(),
                            value: binding.value.clone(),
                            path: update.path.clone(),
                            call_id: update.call_id.clone(),
                            cseq: update.cseq,
                            since: now,
                            expires_at: now + binding.expires,
                            event: ContactEvent::Registered,
                        });
                    }
                }
            }
        }
    }
    if after.len() > contacts_max && after.len() > contacts.len() {
        return Err(UpdateError::TooManyContacts);
    }
    applied.is_news |= !applied.departed.is_empty();
    *contacts = after;
    Ok(applied)
}

/// Moves the contacts for which `is_wanted` says so to `applied.departed`.
fn take_matching(
    contacts: &mut Vec<Contact>,
    applied: &mut Applied,
    event: ContactEvent,
    is_wanted: impl Fn(&Contact) -> bool,
) {
    for mut contact in contacts.extract_if(.., |contact| is_wanted(contact)) {
        contact.event = event;
        applied.departed.push(contact);
    }
}

/// All sets, findable by public and by private identity.
#[derive(Clone, Debug)]
pub struct Registrar {
    sets: Table<SetId, RegistrationSet>,
    by_public: BTreeMap<Text, SetId>,
    by_private: BTreeSet<(Text, SetId)>,
    set_numbers: Numbers,
    /// Names of contacts.
    pub(crate) contact_numbers: Numbers,
}

impl Default for Registrar {
    fn default() -> Self {
        Registrar {
            sets: Table::new(TableId(48)),
            by_public: BTreeMap::new(),
            by_private: BTreeSet::new(),
            set_numbers: Numbers::new(TableId(49)),
            contact_numbers: Numbers::new(TableId(50)),
        }
    }
}

impl Mirror for Registrar {
    fn follow(&mut self, is_followed: bool) {
        self.sets.follow(is_followed);
        self.set_numbers.follow(is_followed);
        self.contact_numbers.follow(is_followed);
    }

    fn collect(&mut self, into: &mut Collector) {
        self.sets.collect(into);
        self.set_numbers.collect(into);
        self.contact_numbers.collect(into);
    }

    fn apply(&mut self, change: &Change) -> Result<bool, Unreadable> {
        if !self.sets.owns(change) {
            return Ok(self.set_numbers.apply(change)? || self.contact_numbers.apply(change)?);
        }
        let (id, set) = change.read::<SetId, RegistrationSet>()?;
        if let Some(old) = self.sets.remove(&id) {
            self.unindex(id, &old);
        }
        if let Some(set) = set {
            self.by_public.extend(set.identities.iter().map(|identity| (identity.uri.clone(), id)));
            self.by_private.extend(set.contacts.iter().map(|contact| (contact.private_identity.clone(), id)));
            self.sets.insert(id, set);
        }
        Ok(true)
    }

    fn clear(&mut self) {
        *self = Registrar::default();
    }
}

impl Registrar {
    /// How many sets there are.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Is nobody registered?
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// The set of a public identity (its address of record).
    pub fn find(&self, address_of_record: &str) -> Option<SetId> {
        self.by_public.get(address_of_record).copied()
    }

    /// A set.
    pub fn set(&self, id: SetId) -> Option<&RegistrationSet> {
        self.sets.get(&id)
    }

    pub(crate) fn set_mut(&mut self, id: SetId) -> Option<&mut RegistrationSet> {
        self.sets.get_mut(&id)
    }

    /// The sets in which `private_identity` has contacts.
    pub fn sets_of(&self, private_identity: &str) -> Vec<SetId> {
        let from = (Text::from(private_identity), SetId(0));
        self.by_private
            .range(from..)
            .take_while(|(each, _)| &**each == private_identity)
            .map(|(_, id)| *id)
            .collect()
    }

    /// Sets after `after`, in order, for paging.
    pub fn iter_after(&self, after: Option<SetId>) -> impl Iterator<Item = (SetId, &RegistrationSet)> {
        let from = after.map_or(SetId(0), |id| SetId(id.0 + 1));
        self.sets.range(from..).map(|(id, set)| (*id, set))
    }

    /// Puts the identities and charging addresses of a profile in place: into the set that has one of its identities,
    /// else into a new one. An identity that belonged to another set moves.
    pub(crate) fn put_profile(&mut self, identities: Vec<Identity>, charging: Option<Text>) -> SetId {
        let known = identities.iter().find_map(|identity| self.find(&identity.uri));
        let id = known.unwrap_or_else(|| {
            let id = SetId(self.set_numbers.draw());
            let set = RegistrationSet {
                identities: Vec::new(),
                contacts: Vec::new(),
                charging: None,
                watchers: Vec::new(),
            };
            self.sets.insert(id, set);
            id
        });
        let Some(set) = self.sets.get_mut(&id) else { return id };
        for old in std::mem::replace(&mut set.identities, identities.clone()) {
            if self.by_public.get(&old.uri) == Some(&id) {
                self.by_public.remove(&old.uri);
            }
        }
        set.charging = charging.or(set.charging.take());
        for identity in identities {
            self.by_public.insert(identity.uri, id);
        }
        id
    }

    /// Brings the index of private identities in step with the contacts; a set without contacts goes and is returned.
    pub(crate) fn settle(&mut self, id: SetId, departed: &[Contact]) -> Option<RegistrationSet> {
        let set = self.sets.get(&id)?;
        for contact in departed {
            if !set.has_contact_of(&contact.private_identity) {
                self.by_private.remove(&(contact.private_identity.clone(), id));
            }
        }
        for contact in &set.contacts {
            let key = (contact.private_identity.clone(), id);
            if !self.by_private.contains(&key) {
                self.by_private.insert(key);
            }
        }
        if !set.contacts.is_empty() {
            return None;
        }
        let set = self.sets.remove(&id)?;
        self.unindex(id, &set);
        Some(set)
    }

    fn unindex(&mut self, id: SetId, set: &RegistrationSet) {
        for identity in &set.identities {
            if self.by_public.get(&identity.uri) == Some(&id) {
                self.by_public.remove(&identity.uri);
            }
        }
        for contact in &set.contacts {
            self.by_private.remove(&(contact.private_identity.clone(), id));
        }
    }

    /// Removes the contacts of a set for which `is_wanted` says so; [`Registrar::settle`] must follow.
    pub(crate) fn remove_contacts(
        &mut self,
        id: SetId,
        event: ContactEvent,
        is_wanted: impl Fn(&Contact) -> bool,
    ) -> Vec<Contact> {
        let mut applied = Applied::default();
        if let Some(set) = self.sets.get_mut(&id) {
            take_matching(&mut set.contacts, &mut applied, event, is_wanted);
        }
        applied.departed
    }
}
