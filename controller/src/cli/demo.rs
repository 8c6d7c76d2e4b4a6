//! Something to try a new core with: three subscribers, a SIPp scenario that registers them, and the line to paste.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use plan::names::Places;

/// Where the demo lies.
#[derive(Debug)]
pub struct Demo {
    /// For `subscriber import`.
    pub subscribers: PathBuf,
    scenario: PathBuf,
    values: PathBuf,
}

const SCENARIO: &str = include_str!("demo_register.xml");
const NAMES: [&str; 3] = ["demo1", "demo2", "demo3"];

impl Demo {
    /// The SIPp line. `-r 3 -m 3`: each of the three once. With the P-CSCF as remote host, SIPp picks a local address.
    pub fn sipp(&self, entry: &str) -> String {
        let (scenario, values) = (self.scenario.display(), self.values.display());
        format!("sipp {entry} -sf {scenario} -inf {values} -m 3 -r 3 -timeout 20s")
    }
}

/// Writes the demo, unless it is there. The password is this core's own: a demo must not open doors elsewhere.
pub fn write(places: &Places, domain: &str) -> Result<Demo> {
    let directory = places.state_directory.join("demo");
    cloud::local::create_private_directory(&directory)?;
    let demo = Demo {
        subscribers: directory.join("subscribers.yaml"),
        scenario: directory.join("register.xml"),
        values: directory.join("register.csv"),
    };
    let mark = format!("# {domain}");
    let is_written = std::fs::read_to_string(&demo.subscribers).is_ok_and(|text| text.starts_with(&mark));
    if !is_written {
        let mut bytes = [0; 12];
        getrandom::fill(&mut bytes).context("the kernel gives no random numbers")?;
        let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let subscriber = |name: &str| {
            format!(
                "- privateIdentity: {name}@{domain}\n  publicIdentities:\n    - uri: sip:{name}@{domain}\n  digest:\n    password: {password}\n"
            )
        };
        let subscribers: String = NAMES.map(subscriber).concat();
        cloud::local::write_private(&demo.subscribers, &format!("{mark}: for trying it out\n{subscribers}"))?;
        // SIPp takes the authentication keyword as one field.
        let value = |name: &str| {
            format!("{name};{domain};[authentication username={name}@{domain} password={password}]\n")
        };
        let values: String = NAMES.map(value).concat();
        cloud::local::write_private(&demo.values, &format!("SEQUENTIAL\n{values}"))?;
    }
    cloud::local::write_private(&demo.scenario, SCENARIO)?;
    Ok(demo)
}
