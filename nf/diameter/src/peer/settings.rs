//! Who we are and how patient we are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clock::{Duration, WallOrigin};

/// What we say of ourselves in CER, CEA and every message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Origin-Host.
    pub host: String,
    /// The name of this very node, when a copy of it shares `host`: what it calls itself in CER, DWR and DPR. A peer
    /// would take two connections of one name for one too many (RFC 6733 §5.6.4).
    pub node_host: Option<String>,
    /// Origin-Realm.
    pub realm: String,
    /// Product-Name: `Evertone`.
    pub product: String,
    /// Origin-State-Id: grows with every start, so that peers see that we have forgotten everything.
    pub origin_state_id: u32,
    /// Host-IP-Address.
    pub host_ip: IpAddr,
}

impl Identity {
    /// Is this our host name? DiameterIdentities are compared like DNS names (RFC 6733 §4.3.1).
    pub(super) fn is_host(&self, host: &str) -> bool {
        self.host.eq_ignore_ascii_case(host) || self.node_host().eq_ignore_ascii_case(host)
    }

    /// What this very node calls itself.
    pub(super) fn node_host(&self) -> &str {
        self.node_host.as_deref().unwrap_or(&self.host)
    }
}

/// Time-outs and bounds of one peer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the epoch lies in wall time: end-to-end identifiers and Session-Ids begin with the time (RFC 6733 §3, §8.8),
    /// so that a new start repeats none.
    pub wall: WallOrigin,
    /// How long a request waits for its answer, the wait for a connection included. Default 3 s: less than the 4 s after
    /// which a SIP device repeats nothing any more (T2); too low fails requests during a peer's restart.
    pub request_timeout: Duration,
    /// How long a new connection may take for CER and CEA. Default 5 s; idle connections cost memory until then.
    pub handshake_timeout: Duration,
    /// How long we wait for DPA, or for the close after it. Default 1 s: it delays a graceful stop.
    pub closing_timeout: Duration,
    /// Tw of RFC 3539 §3.4.1, before its jitter of ±2 s. Default 30 s, never below 6 s: a peer that hangs is closed after
    /// three of them.
    pub watchdog: Duration,
    /// The wait before the first new attempt to connect. Default 50 ms. Doubles each time.
    pub back_off_first: Duration,
    /// The longest wait between attempts. Default 2 s; a restarted peer is found that late.
    pub back_off_max: Duration,
    /// The most requests that wait for answers; more are refused with 3004. Default 10,000.
    pub pending_max: usize,
    /// The most requests of the peer that are remembered. Default 10,000; with that many unanswered, 3004.
    pub answers_max: usize,
    /// How long a request of the peer and its answer are remembered. Default 10 s: three time-outs of 3 s.
    pub answers_kept: Duration,
    /// The only hosts that may connect to us; `None`: all. Others get 3010 DIAMETER_UNKNOWN_PEER.
    pub allowed_peers: Option<BTreeSet<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            wall: WallOrigin::default(),
            request_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
            closing_timeout: Duration::from_secs(1),
            watchdog: Duration::from_secs(30),
            back_off_first: Duration::from_millis(50),
            back_off_max: Duration::from_secs(2),
            pending_max: 10_000,
            answers_max: 10_000,
            answers_kept: Duration::from_secs(10),
            allowed_peers: None,
        }
    }
}
