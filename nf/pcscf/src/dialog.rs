//! What a device must know inside a dialog, kept for devices that do not (TS 24.229 §5.2.6.3.4 and §5.2.6.4.4: the
//! P-CSCF stores the Record-Route list and the Contact of each dialog, and may put the stored list in the place of a Route
//! that does not fit). Test tools and simple softphones send their ACK and BYE without a Route, often to the identity they
//! called; a device that follows RFC 3261 §12.2.1.1 never needs any of this.
//!
//! A help, no authority: nothing is refused because a dialog is not known here, so the loss of this memory with its
//! process harms nobody whose device is correct. Bounded in number and in time. A target that changes in the middle
//! of a dialog (RFC 3261 §12.2.1.2) is not followed.

use clock::{Duration, Instant};
use node::mirror::{Composite, Mirror, Table, TableId, Timers};
use serde::{Deserialize, Serialize};
use sip::Message;
use sip::message::Name;

/// Dialogs at most; beyond it a new one is not remembered. At about 1 KiB each this is 200 MiB.
const DIALOGS_MAX: usize = 200_000;

/// How long a dialog that only rings is remembered: a little longer than timer C lets it.
const EARLY: Duration = Duration::from_secs(240);

/// How long an established one is, unless a BYE ends it.
const ESTABLISHED: Duration = Duration::from_secs(12 * 3600);

/// A dialog, seen from the device: Call-ID, its own tag, the other's.
type Key = (String, String, String);

/// What the device should say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    /// Its route set, in the order of Route.
    pub routes: Vec<String>,
    /// The other end's contact, for the Request-URI.
    pub target: String,
}

/// All that are remembered.
pub struct Dialogs {
    known: Table<Key, Dialog>,
    expiry: Timers<Key>,
}

impl Default for Dialogs {
    fn default() -> Self {
        Dialogs { known: Table::new(TableId(17)), expiry: Timers::new(TableId(20)) }
    }
}

impl Dialogs {
    /// A response made or confirmed a dialog between the device that sent `request` and whoever answered.
    pub fn put_called(&mut self, now: Instant, response: &Message) {
        let Some((call_id, caller, callee)) = tags(response) else { return };
        let mut routes = values(response, Name::RecordRoute);
        // RFC 3261 §12.1.2: the caller sees the list from its other end.
        routes.reverse();
        self.put(now, (call_id, caller, callee), routes, contact(response), response.status());
    }

    /// The device that `request` went to, with these Record-Routes, has answered with `response`.
    pub fn put_answered(
        &mut self,
        now: Instant,
        request: &Message,
        record_routes: &[String],
        response: &Message,
    ) {
        let Some((call_id, caller, callee)) = tags(response) else { return };
        let routes = record_routes.to_vec();
        self.put(now, (call_id, callee, caller), routes, contact(request), response.status());
    }

    fn put(&mut self, now: Instant, key: Key, routes: Vec<String>, target: Option<String>, status: u16) {
        let known = self.known.get(&key).map(|dialog| dialog.target.clone());
        // A provisional response may come without Contact.
        let Some(target) = target.or(known) else { return };
        if self.known.len() >= DIALOGS_MAX && !self.known.contains_key(&key) {
            return;
        }
        let lifetime = if status < 200 { EARLY } else { ESTABLISHED };
        self.expiry.set(key.clone(), Some(now + lifetime));
        self.known.insert(key, Dialog { routes, target });
    }

    /// The dialog in which a device sends `request`.
    pub fn of(&self, request: &Message) -> Option<&Dialog> {
        self.known.get(&tags(request)?)
    }

    /// A BYE has passed, sent by either side.
    pub fn end(&mut self, bye: &Message) {
        let Some((call_id, one, other)) = tags(bye) else { return };
        for key in [(call_id.clone(), one.clone(), other.clone()), (call_id, other, one)] {
            self.known.remove(&key);
            self.expiry.set(key, None);
        }
    }

    /// Forgets those whose time is over.
    pub fn forget_due(&mut self, now: Instant) {
        while let Some(key) = self.expiry.pop_due(now) {
            self.known.remove(&key);
        }
    }

    /// When there is something to forget.
    pub fn next_due(&self) -> Option<Instant> {
        self.expiry.next()
    }
}

impl Composite for Dialogs {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.known);
        show(&mut self.expiry);
    }
}

/// Call-ID, tag of From, tag of To.
fn tags(message: &Message) -> Option<Key> {
    let from = message.from()?.tag()?.to_owned();
    let to = message.to()?.tag()?.to_owned();
    Some((message.call_id().to_owned(), from, to))
}

fn contact(message: &Message) -> Option<String> {
    let contact = sip::NameAddress::parse(message.values(Name::Contact).next()?)?;
    Some(contact.uri_text.to_owned())
}

fn values(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(str::to_owned).collect()
}
