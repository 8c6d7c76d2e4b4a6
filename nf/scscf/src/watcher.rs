//! Subscriptions to the reg event package, as plain data (RFC 6665, RFC 3680).

use clock::Instant;
use node::mirror::{Composite, Mirror, Table, TableId};
use serde::{Deserialize, Serialize};
use sip::{NameAddress, Uri};

use crate::contact::Contact;
use crate::registrar::SetId;
use crate::text::Text;

/// Contacts that went while a notification was held back; older ones are forgotten.
const DEPARTED_MAX: usize = 16;

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    /// What it watches.
    pub set: SetId,
    /// Call-ID of the dialog.
    pub call_id: Text,
    /// Our From in a NOTIFY: To of the SUBSCRIBE with our tag.
    pub local: Text,
    /// To in a NOTIFY: From of the SUBSCRIBE.
    pub remote: Text,
    /// The route set, comma-joined: Record-Route of the SUBSCRIBE in its order (RFC 3261 §12.1.1).
    pub route: Text,
    /// The subscriber's Contact value.
    pub contact: Text,
    /// The `id` of the Event header, if it has one.
    pub event_id: Option<Text>,
    /// Is it the user's own device (and not a P-CSCF)?
    pub is_device: bool,
    /// CSeq number of the last NOTIFY.
    pub cseq: u32,
    /// CSeq number of the last SUBSCRIBE.
    pub remote_cseq: u32,
    /// The version of the next document.
    pub version: u32,
    /// When it ends unless refreshed.
    pub expires_at: Instant,
    /// When it was notified last.
    pub notified_at: Option<Instant>,
    /// Contacts that went and were not told yet.
    pub departed: Vec<Contact>,
}

impl Watcher {
    /// Is its remote target the device at `uri`?
    pub(crate) fn targets(&self, uri: &Uri<'_>) -> bool {
        NameAddress::parse(&self.contact).and_then(|address| address.uri()).is_some_and(|target| {
            target.user == uri.user && target.host == uri.host && target.port == uri.port
        })
    }

    /// Remembers what went, to be told once.
    pub(crate) fn remember(&mut self, departed: &[Contact]) {
        self.departed.extend_from_slice(departed);
        let surplus = self.departed.len().saturating_sub(DEPARTED_MAX);
        self.departed.drain(..surplus);
    }
}

/// All subscriptions. A key is the number behind our dialog tag.
#[derive(Clone, Debug)]
pub struct Watchers {
    by_id: Table<u64, Watcher>,
}

impl Default for Watchers {
    fn default() -> Self {
        Watchers { by_id: Table::new(TableId(52)) }
    }
}

impl Composite for Watchers {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.by_id);
    }
}

impl Watchers {
    /// A subscription.
    pub fn find(&self, id: u64) -> Option<&Watcher> {
        self.by_id.get(&id)
    }

    pub(crate) fn find_mut(&mut self, id: u64) -> Option<&mut Watcher> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn insert(&mut self, id: u64, watcher: Watcher) {
        self.by_id.insert(id, watcher);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Watcher> {
        self.by_id.remove(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// Our dialog tag for subscription `id`.
pub(crate) fn tag_of(id: u64) -> String {
    format!("{id:016x}")
}

/// The subscription behind a dialog tag of ours.
pub(crate) fn id_of(tag: &str) -> Option<u64> {
    (tag.len() == 16).then(|| u64::from_str_radix(tag, 16).ok())?
}
