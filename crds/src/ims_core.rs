//! `IMSCore`: one telephone core, as an operator wants it.
//!
//! Numbers are `i32` with a range because Kubernetes knows no unsigned formats; the ranges hold in the API server by
//! the schema and for files by `controller/plan`, which turns them into types that cannot be wrong.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::IMSCoreStatus;

/// One IMS core: P-CSCF, I-CSCF, S-CSCF and HSS for one home domain.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "ims.evertone.dev",
    version = "v1alpha1",
    kind = "IMSCore",
    plural = "imscores",
    singular = "imscore",
    shortname = "ims",
    namespaced,
    status = "IMSCoreStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Domain","type":"string","jsonPath":".spec.homeDomain"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IMSCoreSpec {
    /// The home domain: the registrar's name in SIP, the realm of digest and of Diameter.
    #[schemars(length(min = 1, max = 253))]
    pub home_domain: String,
    /// How devices may reach the core.
    #[serde(default, skip_serializing_if = "is_default")]
    pub access: Access,
    /// Where the P-CSCF listens: the address that phones are given.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pcscf: PcscfSpec,
    /// Where the I-CSCF listens. Default: 127.0.0.12, port 5060.
    #[serde(default, skip_serializing_if = "is_default")]
    pub icscf: FunctionSpec,
    /// Where the S-CSCF listens. Default: 127.0.0.13, port 6060.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scscf: FunctionSpec,
    /// Where the HSS listens for Diameter. Default: 127.0.0.14, port 3868.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hss: FunctionSpec,
    /// Whether each function runs twice, so that no failure is noticed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub redundancy: Redundancy,
    /// What a registration may ask for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub registration: Registration,
    /// SIP timers between the functions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timers: Timers,
    /// A SIP request longer than this goes over TCP (RFC 3261 §18.1.1). Default: 65000 while every address of the core
    /// is a loopback one, else 1300, because the MTU on the way to a phone is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1300, max = 65_000))]
    pub datagram_bytes_max: Option<i32>,
    /// Numbers and URNs that are refused as emergency calls: this core routes none.
    /// Default: 112, 911 and urn:service:sos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub emergency_numbers: Option<Vec<String>>,
    /// Networks from which subscribers may register (P-Visited-Network-ID). Empty: from any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub visited_networks_allowed: Vec<String>,
    /// How much the functions log. Default: info.
    #[serde(default, skip_serializing_if = "is_default")]
    pub log_level: LogLevel,
}

/// How devices may reach the core.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// Accept AKA without IPsec, as softphones and SIPp do it. Turn it off where only phones with IPsec may register.
    #[serde(default)]
    pub unprotected_aka: bool,
}

/// Where the P-CSCF listens.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PcscfSpec {
    /// Its addresses, IPv4 or IPv6; the first of each family is the one to send from. Default: 127.0.0.11 and ::1.
    /// Name an address of the LAN to let its phones register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub addresses: Option<Vec<String>>,
    /// Its port, UDP and TCP. Default: 4060.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// P-Visited-Network-ID of the requests it lets in. Default: the home domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visited_network: Option<String>,
}

/// Where a function listens.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FunctionSpec {
    /// Its addresses, IPv4 or IPv6; the first is the one the other functions use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub addresses: Option<Vec<String>>,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
}

/// Whether each function runs twice, so that no failure is noticed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redundancy {
    /// How many processes a function is: `none`, one that is started again when it fails; `pairs`, two of which one serves and the
    /// other knows all that it does and takes over.
    #[serde(default)]
    pub mode: RedundancyMode,
    /// How long the one that serves may serve without asking again. Shorter, and a busy machine takes it from one that works;
    /// longer, and the other waits longer before it takes over from one that died unnoticed.
    #[schemars(range(min = 20, max = 10_000))]
    #[serde(default = "Redundancy::lease_milliseconds_default")]
    pub lease_milliseconds: i32,
    /// The first of nine UDP ports on 127.0.0.1 at which the processes hear each other. Another core on this machine needs others.
    #[schemars(range(min = 1, max = 65_527))]
    #[serde(default = "Redundancy::control_port_default")]
    pub control_port: i32,
}

impl Default for Redundancy {
    fn default() -> Self {
        Redundancy { mode: RedundancyMode::None, lease_milliseconds: 200, control_port: 7060 }
    }
}

impl Redundancy {
    fn lease_milliseconds_default() -> i32 {
        Self::default().lease_milliseconds
    }

    fn control_port_default() -> i32 {
        Self::default().control_port
    }
}

/// How many processes a function is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RedundancyMode {
    /// One, started again when it fails.
    #[default]
    None,
    /// Two: one serves, the other follows.
    Pairs,
}

/// What a registration may ask for.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.secondsMin <= self.secondsMax").message("secondsMin must not be above secondsMax"))]
pub struct Registration {
    /// Shortest time granted; below it 423 with Min-Expires. Too short and refreshes become the main load.
    #[schemars(range(min = 1, max = 86_400))]
    #[serde(default = "Registration::seconds_min_default")]
    pub seconds_min: i32,
    /// Longest time granted. Too long and devices that are gone are called in vain.
    #[schemars(range(min = 1, max = 604_800))]
    #[serde(default = "Registration::seconds_max_default")]
    pub seconds_max: i32,
    /// How many devices a public identity may have registered.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "Registration::contacts_max_default")]
    pub contacts_max: i32,
}

impl Default for Registration {
    fn default() -> Self {
        Registration { seconds_min: 60, seconds_max: 3600, contacts_max: 10 }
    }
}

impl Registration {
    fn seconds_min_default() -> i32 {
        Self::default().seconds_min
    }

    fn seconds_max_default() -> i32 {
        Self::default().seconds_max
    }

    fn contacts_max_default() -> i32 {
        Self::default().contacts_max
    }
}

/// SIP timers between the functions (RFC 3261 §17, table 4).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.t1Milliseconds <= self.t2Milliseconds").message("t1Milliseconds must not be above t2Milliseconds"))]
pub struct Timers {
    /// T1: round-trip estimate.
    #[schemars(range(min = 10, max = 10_000))]
    #[serde(default = "Timers::t1_milliseconds_default")]
    pub t1_milliseconds: i32,
    /// T2: longest interval between repetitions of a request.
    #[schemars(range(min = 10, max = 60_000))]
    #[serde(default = "Timers::t2_milliseconds_default")]
    pub t2_milliseconds: i32,
    /// T4: how long a message stays in the network.
    #[schemars(range(min = 10, max = 60_000))]
    #[serde(default = "Timers::t4_milliseconds_default")]
    pub t4_milliseconds: i32,
    /// Timer C: how long a call may ring; above three minutes (RFC 3261 §16.6).
    #[schemars(range(min = 181, max = 3600))]
    #[serde(default = "Timers::ring_seconds_max_default")]
    pub ring_seconds_max: i32,
}

impl Default for Timers {
    fn default() -> Self {
        Timers { t1_milliseconds: 500, t2_milliseconds: 4000, t4_milliseconds: 5000, ring_seconds_max: 181 }
    }
}

impl Timers {
    fn t1_milliseconds_default() -> i32 {
        Self::default().t1_milliseconds
    }

    fn t2_milliseconds_default() -> i32 {
        Self::default().t2_milliseconds
    }

    fn t4_milliseconds_default() -> i32 {
        Self::default().t4_milliseconds
    }

    fn ring_seconds_max_default() -> i32 {
        Self::default().ring_seconds_max
    }
}

/// How much the functions log. Default: info.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs a hand.
    Error,
    /// What may need one soon.
    Warn,
    /// What an operator wants to know.
    #[default]
    Info,
    /// One line for each procedure.
    Debug,
    /// One line for each message.
    Trace,
}

impl LogLevel {
    /// The word in the resource and in the functions' environment.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
