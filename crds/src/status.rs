//! What the controller reports about an `IMSCore`. Only `controller/src/report.rs` writes it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// What is, as far as the controller knows.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IMSCoreStatus {
    /// The generation of the spec that this status speaks about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready` (the core serves), `Degraded` (it serves, but not all is well) and, where functions are pairs, `Protected` (whoever
    /// serves may fail), each with a reason.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The functions, in the order in which they are started.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub functions: Vec<FunctionStatus>,
}

impl IMSCoreStatus {
    /// The condition of type `kind`.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Sets the condition of type `kind`; the time of its transition moves only with its truth.
    pub fn set_condition(&mut self, kind: &str, is_true: bool, reason: &str, message: &str, now: Timestamp) {
        let status = if is_true { "True" } else { "False" };
        let before = self.condition(kind).filter(|before| before.status == status);
        let condition = Condition {
            type_: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            observed_generation: Some(self.observed_generation),
            last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
        };
        self.conditions.retain(|other| other.type_ != kind);
        self.conditions.push(condition);
    }

    /// Does the core serve?
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|condition| condition.status == "True")
    }
}

/// One process: a network function, an instance of one that is a pair, or what pairs need besides.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    /// `pcscf`, `icscf`, `scscf` or `hss`; `pcscf-1` and `pcscf-2` where it is a pair; `witness` and `host-agent`.
    pub name: String,
    /// In which state it is.
    pub state: FunctionState,
    /// In a pair: what it does there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<FunctionRole>,
    /// In a pair: its epoch. Each change of who serves begins another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// In a pair, of the instance that serves: may it fail without anybody noticing?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i64>,
    /// How often it was started again since the core came up.
    #[serde(default)]
    pub restarts: i32,
    /// How it ended the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// Where it listens.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Since when it is in its state (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why it is in its state, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What an instance does in its pair.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FunctionRole {
    /// It has not heard yet what the other one knows.
    Joining,
    /// It follows the other one.
    Standby,
    /// It asks whether it may serve.
    Asking,
    /// It answers.
    Serving,
    /// It answers, and is about to leave that to the other one.
    HandingOver,
}

impl FunctionRole {
    /// All of them.
    pub const ALL: [FunctionRole; 5] = [
        FunctionRole::Joining,
        FunctionRole::Standby,
        FunctionRole::Asking,
        FunctionRole::Serving,
        FunctionRole::HandingOver,
    ];

    /// The word of an instance for itself.
    pub fn as_str(self) -> &'static str {
        match self {
            FunctionRole::Joining => "joining",
            FunctionRole::Standby => "standby",
            FunctionRole::Asking => "asking",
            FunctionRole::Serving => "serving",
            FunctionRole::HandingOver => "handingOver",
        }
    }

    /// Does it answer?
    pub fn serves(self) -> bool {
        matches!(self, FunctionRole::Serving | FunctionRole::HandingOver)
    }
}

/// In which state a function is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum FunctionState {
    /// Started, has not been ready yet.
    Starting,
    /// It serves.
    Ready,
    /// It lives, but says that it cannot serve now.
    NotReady,
    /// It ended again and again and is started after a pause.
    BackingOff,
    /// It does not run, as desired.
    Stopped,
}

impl FunctionState {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            FunctionState::Starting => "starting",
            FunctionState::Ready => "ready",
            FunctionState::NotReady => "not ready",
            FunctionState::BackingOff => "backing off",
            FunctionState::Stopped => "stopped",
        }
    }
}

/// How a process ended.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// When (RFC 3339).
    pub time: String,
    /// By which signal or with which code, and its last words.
    pub reason: String,
}
