//! The one configuration schema of all network functions: rendered by the controller, read by the driver.
//! Unknown keys are refused. Every number carries its unit in its name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::wire::Transport;

/// Which function a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the function of its name")]
pub enum FunctionKind {
    Pcscf,
    Icscf,
    Scscf,
    Hss,
}

impl FunctionKind {
    /// All kinds, in the order in which a core is started.
    pub const ALL: [FunctionKind; 4] =
        [FunctionKind::Hss, FunctionKind::Scscf, FunctionKind::Icscf, FunctionKind::Pcscf];

    /// The word in file names, commands and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            FunctionKind::Pcscf => "pcscf",
            FunctionKind::Icscf => "icscf",
            FunctionKind::Scscf => "scscf",
            FunctionKind::Hss => "hss",
        }
    }
}

/// The configuration of one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The instance's own name, such as `scscf-1`; it marks logs and metrics.
    pub instance: String,
    /// The logical host name that stands in SIP URIs and is the Diameter Origin-Host, such as `scscf.ims.example`.
    pub host_name: String,
    /// The home domain, which is also the Diameter realm.
    pub home_domain: String,
    /// SIP listening addresses. The first of each family is the one to send from.
    #[serde(default)]
    pub listen: Vec<Listen>,
    /// Static name records: host name to address.
    #[serde(default)]
    pub hosts: BTreeMap<String, SocketAddr>,
    /// Diameter, for functions that speak it.
    #[serde(default)]
    pub diameter: Option<Diameter>,
    /// SIP timers between network functions.
    #[serde(default)]
    pub timers: SipTimers,
    /// A SIP request longer than this goes over TCP (RFC 3261 §18.1.1). 1300 where the path MTU is unknown;
    /// on one machine up to 65 000.
    #[serde(default = "default_datagram_bytes_max")]
    pub datagram_bytes_max: usize,
    /// When requests have waited longer than this in the driver's queue for a tenth of a second, new ones are answered 503 with
    /// Retry-After. Smaller, and a busy moment costs calls; larger, and a storm's delays add up across functions.
    #[serde(default = "default_shed_milliseconds")]
    pub shed_after_milliseconds: u32,
    /// The unix socket of the admin endpoint (liveness, readiness, metrics, trace).
    pub admin_socket: PathBuf,
    /// Where durable state lies. Needed by HSS and P-CSCF.
    #[serde(default)]
    pub state_directory: Option<PathBuf>,
    /// Its place in a pair; absent: it is alone.
    #[serde(default)]
    pub pair: Option<Pair>,
    /// What is particular to the function. Names the function.
    pub function: FunctionConfig,
}

impl Config {
    /// Which function this is.
    pub fn kind(&self) -> FunctionKind {
        match self.function {
            FunctionConfig::Pcscf(_) => FunctionKind::Pcscf,
            FunctionConfig::Icscf(_) => FunctionKind::Icscf,
            FunctionConfig::Scscf(_) => FunctionKind::Scscf,
            FunctionConfig::Hss(_) => FunctionKind::Hss,
        }
    }
}

fn default_datagram_bytes_max() -> usize {
    1300
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// UDP, TCP or both.
    #[serde(default = "both_transports")]
    pub transports: Vec<Transport>,
}

fn both_transports() -> Vec<Transport> {
    vec![Transport::Udp, Transport::Tcp]
}

/// Diameter configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Diameter {
    /// What this instance calls itself when it opens a connection, if a copy of it shares `hostName`.
    #[serde(default)]
    pub node_host: Option<String>,
    /// Where to accept connections; HSS only.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// Peers to connect to: host name to address.
    #[serde(default)]
    pub peers: BTreeMap<String, SocketAddr>,
    /// Watchdog interval Tw (RFC 3539 §3.4.1: default 30 s, at least 6 s).
    #[serde(default = "default_watchdog_seconds")]
    pub watchdog_seconds: u32,
    /// Give up an unanswered request after this many milliseconds; within it, a request is sent again with the T bit when
    /// the connection was lost.
    #[serde(default = "default_request_milliseconds")]
    pub request_milliseconds: u32,
}

fn default_watchdog_seconds() -> u32 {
    30
}

fn default_request_milliseconds() -> u32 {
    3000
}

/// One instance's place in a pair (spec 2.1): two that share `hostName`, SIP addresses and state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pair {
    /// The number of the pair in its core.
    pub id: u32,
    /// Which of the two: 1 or 2.
    pub instance: u8,
    /// Length of the lease (S2-Q2): the same at both instances and the witness. Shorter, and a busy machine loses it while it
    /// works; longer, and the standby waits longer before it takes over from one that died unnoticed.
    pub lease_milliseconds: u32,
    /// Where it hears the other instance, the witness and its neighbours: UDP.
    pub control_address: SocketAddr,
    /// File with its private key (X25519), 64 hex digits, readable by the owner alone.
    pub private_key_file: PathBuf,
    /// The unix socket of the host agent, which holds the sockets of the pair and knows who has died.
    pub agent_socket: PathBuf,
    /// The other instance.
    pub other: ControlParty,
    /// The witness.
    pub witness: ControlParty,
    /// The pairs that it exchanges signalling with.
    #[serde(default)]
    pub neighbours: Vec<NeighbourPair>,
}

/// Somebody on the control link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ControlParty {
    /// Where it hears: UDP.
    pub control_address: SocketAddr,
    /// Its public key (X25519), 64 hex digits.
    pub public_key: String,
}

/// A pair on the other side of a signalling interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NeighbourPair {
    /// Its number.
    pub id: u32,
    /// Its logical host name.
    pub host_name: String,
    /// The SIP addresses that both instances share.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
    /// Its two instances, in order.
    pub instances: Vec<NeighbourInstance>,
}

/// One of the two of a [`NeighbourPair`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NeighbourInstance {
    /// Where it hears: UDP.
    pub control_address: SocketAddr,
    /// Its public key (X25519), 64 hex digits.
    pub public_key: String,
    /// What it calls itself over Diameter, if it speaks it: its `diameter.nodeHost`.
    #[serde(default)]
    pub node_host: Option<String>,
}

/// The configuration of a witness process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Witness {
    /// The instance's own name; it marks logs and metrics.
    pub instance: String,
    /// Where it hears the instances: UDP.
    pub control_address: SocketAddr,
    /// File with its private key (X25519), 64 hex digits, readable by the owner alone.
    pub private_key_file: PathBuf,
    /// The unix socket of the host agent, which tells who has died.
    pub agent_socket: PathBuf,
    /// The unix socket of the admin endpoint.
    pub admin_socket: PathBuf,
    /// Where its records lie.
    pub state_directory: PathBuf,
    /// The pairs it is witness of.
    pub pairs: Vec<WitnessedPair>,
}

/// One pair of a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WitnessedPair {
    /// Its number.
    pub id: u32,
    /// Length of its lease.
    pub lease_milliseconds: u32,
    /// What it has nowhere else (an HSS): when both have lost their memory, only who held last may begin again, with its store.
    pub is_durable: bool,
    /// Its two instances, in order.
    pub instances: Vec<ControlParty>,
}

/// The configuration of a host agent: one for all pairs of a core on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HostAgent {
    /// The unix socket where instances and witness find it.
    pub socket: PathBuf,
    /// Where it keeps how many lives each instance had.
    pub state_directory: PathBuf,
}

/// SIP timers (RFC 3261 §17, table 4), in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct SipTimers {
    /// T1: round-trip estimate.
    pub t1_milliseconds: u32,
    /// T2: longest interval between repetitions of a non-INVITE request.
    pub t2_milliseconds: u32,
    /// T4: how long a message stays in the network.
    pub t4_milliseconds: u32,
    /// Timer C: how long an INVITE may ring (> 3 min).
    pub c_seconds: u32,
}

impl Default for SipTimers {
    fn default() -> Self {
        SipTimers { t1_milliseconds: 500, t2_milliseconds: 4000, t4_milliseconds: 5000, c_seconds: 181 }
    }
}

/// What is particular to a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the function of its name")]
pub enum FunctionConfig {
    Pcscf(Pcscf),
    Icscf(Icscf),
    Scscf(Scscf),
    Hss(Hss),
}

/// P-CSCF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pcscf {
    /// The SIP URI of the I-CSCF, entry point of the home network.
    pub icscf_uri: String,
    /// P-Visited-Network-ID.
    pub visited_network: String,
    /// Key of the flow tokens in Path and Record-Route, 32 hex digits; the same in both copies of a pair.
    pub flow_token_key: String,
    /// Numbers and URNs that are refused as emergency calls.
    #[serde(default)]
    pub emergency_numbers: Vec<String>,
}

fn default_shed_milliseconds() -> u32 {
    250
}

/// I-CSCF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Icscf {
    /// The S-CSCFs to choose from, in order of preference: SIP URI and capabilities.
    pub servers: Vec<ServerCandidate>,
    /// Choose another S-CSCF when the one chosen has not answered for this long.
    #[serde(default = "default_patience_milliseconds")]
    pub server_patience_milliseconds: u32,
}

fn default_patience_milliseconds() -> u32 {
    4000
}

/// An S-CSCF an I-CSCF may choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ServerCandidate {
    /// Its SIP URI, which is its Server-Name on Cx.
    pub uri: String,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<u32>,
}

/// S-CSCF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scscf {
    /// The Server-Name on Cx: a SIP URI.
    pub server_name: String,
    /// The SIP URI of the I-CSCF, to which calls into the own domain go.
    pub icscf_uri: String,
    /// Longest registration granted (spec 4.10: 3600 s).
    #[serde(default = "default_expires_max")]
    pub registration_seconds_max: u32,
    /// Shortest registration granted; below it 423 with Min-Expires (spec 4.10: 60 s).
    #[serde(default = "default_expires_min")]
    pub registration_seconds_min: u32,
    /// Accept AKA without IPsec: for softphones and SIPp (spec 4.2.2).
    #[serde(default)]
    pub unprotected_aka: bool,
    /// Scheme to ask the HSS for: `Unknown` lets the HSS decide by subscriber.
    #[serde(default = "default_scheme")]
    pub default_scheme: String,
    /// How many contacts a public identity may have.
    #[serde(default = "default_contacts_max")]
    pub contacts_max: usize,
}

fn default_expires_max() -> u32 {
    3600
}

fn default_expires_min() -> u32 {
    60
}

fn default_scheme() -> String {
    "Unknown".into()
}

fn default_contacts_max() -> usize {
    10
}

/// HSS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hss {
    /// File with the key-encryption key, 64 hex digits, readable by the owner alone.
    pub key_encryption_key_file: PathBuf,
    /// This instance's slice of IND values, `first..first+count` of 32 (TS 33.102 annex C).
    #[serde(default)]
    pub sqn_index_first: u8,
    /// See above.
    #[serde(default = "default_index_count")]
    pub sqn_index_count: u8,
    /// How many SEQ values are reserved on disk at a time.
    #[serde(default = "default_sequence_block")]
    pub sequence_block: u64,
    /// Networks from which subscribers may register; empty: any.
    #[serde(default)]
    pub visited_networks_allowed: Vec<String>,
    /// The S-CSCFs proposed in Server-Capabilities.
    #[serde(default)]
    pub server_names: Vec<String>,
}

fn default_index_count() -> u8 {
    16
}

fn default_sequence_block() -> u64 {
    64
}
