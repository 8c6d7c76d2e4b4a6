//! Where work comes from: the resource on disk and the operators' asks, one queue for both.
//!
//! Objects come from a file; when they come from an API server, only this file and `report.rs` change.

use std::collections::BTreeMap;

use crds::{IMSCore, RedundancyMode, yaml};
use plan::names::Places;
use plan::{Desired, Inputs, ProcessName};
use tokio::sync::oneshot;

/// Something an operator asks of the controller.
#[derive(Debug)]
pub enum Ask {
    /// Make this resource true.
    Apply {
        /// The file's name for people.
        file: String,
        /// Its text.
        text: String,
        /// What is done about it, or what is wrong with it.
        answer: oneshot::Sender<Result<Accepted, String>>,
    },
    /// Stop the core and end.
    Stop {
        /// Done.
        answer: oneshot::Sender<()>,
    },
    /// Stop one process and leave it stopped for a while: its store is being copied.
    Hold {
        /// Which.
        name: ProcessName,
        /// Done.
        answer: oneshot::Sender<()>,
    },
    /// Let a held process run again.
    Release {
        /// Which.
        name: ProcessName,
        /// Done.
        answer: oneshot::Sender<()>,
    },
}

/// A resource that was accepted.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Accepted {
    /// Its generation.
    pub generation: i64,
    /// What was done, in words; empty: all was as desired.
    pub changes: Vec<String>,
}

/// A resource without mistakes, and what it asks for.
#[derive(Clone, Debug)]
pub struct Validated {
    /// The resource.
    pub object: IMSCore,
    /// The processes that make it true.
    pub desired: Desired,
}

impl Validated {
    /// Does it ask for pairs?
    pub fn has_pairs(&self) -> bool {
        self.object.spec.redundancy.mode == RedundancyMode::Pairs
    }
}

/// Reads and validates `text`.
///
/// # Errors
/// One line for each mistake: file, line, field, reason.
pub fn validate(file: &str, text: &str, inputs: &Inputs) -> Result<Validated, String> {
    let read = yaml::read_ims_core(file, text).map_err(|mistake| mistake.to_string())?;
    let desired = Desired::from_spec(&read.object.spec, inputs).map_err(|reasons| {
        let lines =
            reasons.iter().map(|reason| read.mistake(&reason.path, reason.reason.as_str()).to_string());
        lines.collect::<Vec<_>>().join("\n")
    })?;
    Ok(Validated { object: read.object, desired })
}

/// The resource that was accepted last, if there is one.
pub fn accepted_text(places: &Places) -> Option<String> {
    std::fs::read_to_string(places.accepted_resource()).ok()
}

/// The generation of the resource that was accepted last; 0 before the first.
pub fn accepted_generation(places: &Places) -> i64 {
    let text = std::fs::read_to_string(generation_file(places)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Keeps an accepted resource for the next controller.
pub fn keep(places: &Places, text: &str, generation: i64) -> Result<(), cloud::CloudError> {
    cloud::local::write_private(&places.accepted_resource(), text)?;
    cloud::local::write_private(&generation_file(places), &format!("{generation}\n"))
}

fn generation_file(places: &Places) -> std::path::PathBuf {
    places.state_directory.join("generation")
}

/// What rendering of `text` needs: the keys are made when they are missing.
pub fn inputs(places: &Places, text: &str) -> anyhow::Result<Inputs> {
    let flow_token_key = crate::secrets::ensure(places)?;
    let link_keys = if has_pairs(text) { crate::secrets::ensure_link_keys(places)? } else { BTreeMap::new() };
    let has_ipv6_loopback = std::net::UdpSocket::bind("[::1]:0").is_ok();
    Ok(Inputs { places: places.clone(), flow_token_key, has_ipv6_loopback, link_keys })
}

/// Does a resource ask for pairs? One that cannot be read does not.
pub fn has_pairs(text: &str) -> bool {
    let read = yaml::read_ims_core("", text);
    read.is_ok_and(|read| read.object.spec.redundancy.mode == RedundancyMode::Pairs)
}
