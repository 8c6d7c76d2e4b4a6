//! What must be known when the response to a forwarded request comes back. Nothing here outlives its transaction.

use clock::{Duration, Instant};
use node::mirror::{Composite, Mirror, Table, TableId, Timers, Word};
use node::{Flow, ServerKey};
use serde::{Deserialize, Serialize};
use sip::Message;

use crate::binding::BindingKey;

/// Requests under way at most; beyond it a new one is answered 503. The shell's own bound is as high.
pub const EXCHANGES_MAX: usize = 500_000;

/// How long after a 2xx to INVITE others may follow, from other branches of a fork (RFC 6026: timer L, 64·T1).
const LINGER: Duration = Duration::from_secs(32);

/// A contact that a REGISTER wants bound.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub key: BindingKey,
    /// Its URI.
    pub uri: String,
    /// `+sip.instance`, if any.
    pub instance: Option<String>,
    /// `reg-id`, if any.
    pub reg_id: Option<String>,
    /// Does it speak RFC 5626?
    pub is_outbound: bool,
    /// Our URI in the Path it was given.
    pub path: String,
}

/// A REGISTER under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registering {
    pub request: Message,
    pub flow: Flow,
    /// The address of record in To.
    pub identity: String,
    /// Empty for `Contact: *`.
    pub contacts: Vec<Wanted>,
    /// `registration`, `re_registration` or `de_registration`.
    pub procedure: Word,
}

/// A request of a device under way to the core.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FromDevice {
    pub request: Message,
    /// Outside a dialog?
    pub is_initial: bool,
    /// The identity asserted.
    pub identity: String,
    /// Our URI in the Path of its registration.
    pub path: String,
}

/// A request of the core under way to a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TowardsDevice {
    pub request: Message,
    /// The Record-Routes of an INVITE that opens a dialog, as the device got them; else empty.
    pub record_routes: Vec<String>,
    /// Who answers: P-Called-Party-ID, else the default identity; `None` inside a dialog.
    pub answerer: Option<String>,
    /// P-Charging-Vector as it came.
    pub charging_vector: Option<String>,
    /// Has the flow a failure that the home network can act upon (RFC 5626 §5.3.1)?
    pub is_outbound: bool,
    /// The device's registration.
    pub binding: BindingKey,
}

/// A forwarded request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Exchange {
    Register(Registering),
    FromDevice(FromDevice),
    TowardsDevice(TowardsDevice),
}

/// All forwarded requests.
pub struct Exchanges {
    open: Table<ServerKey, Exchange>,
    linger: Timers<ServerKey>,
}

impl Default for Exchanges {
    fn default() -> Self {
        Exchanges { open: Table::new(TableId(16)), linger: Timers::new(TableId(19)) }
    }
}

impl Exchanges {
    pub fn count(&self) -> usize {
        self.open.len()
    }

    pub fn is_full(&self) -> bool {
        self.open.len() >= EXCHANGES_MAX
    }

    pub fn insert(&mut self, server: ServerKey, exchange: Exchange) {
        self.open.insert(server, exchange);
    }

    pub fn find(&self, server: ServerKey) -> Option<Exchange> {
        self.open.get(&server).cloned()
    }

    /// A final response was passed on.
    pub fn finish(&mut self, now: Instant, server: ServerKey, is_invite_success: bool) {
        if is_invite_success {
            self.linger.set(server, Some(now + LINGER));
        } else {
            self.open.remove(&server);
        }
    }

    pub fn forget_due(&mut self, now: Instant) {
        while let Some(server) = self.linger.pop_due(now) {
            self.open.remove(&server);
        }
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.linger.next()
    }
}

impl Composite for Exchanges {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.open);
        show(&mut self.linger);
    }
}
