//! What a core of pairs has more than one of single processes: who hears whom where, whose key is whose, which name each instance has
//! over Diameter, the witness and the host agent. All of it on this machine.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crds::{Redundancy, RedundancyMode};
use node::config::FunctionKind::{self, Hss, Icscf, Pcscf, Scscf};
use node::config::{ControlParty, HostAgent, NeighbourInstance, NeighbourPair, Pair, Witness, WitnessedPair};

use super::{Core, Inputs, LinkKey};
use crate::names::{self, Instance, ProcessName};
use crate::validate::Check;

/// What holds between the two of each pair.
pub(super) struct Pairs {
    lease_milliseconds: u32,
    control_port: u16,
}

/// Ports from the first one on: two for each function, one for the witness.
const CONTROL_PORTS: u16 = 9;

impl Pairs {
    /// `None`: the resource asks for none.
    pub(super) fn read(
        redundancy: &Redundancy,
        domain: &str,
        listen: &BTreeMap<FunctionKind, Vec<SocketAddr>>,
        check: &mut Check,
    ) -> Option<Pairs> {
        let lease =
            check.number("spec.redundancy.leaseMilliseconds", redundancy.lease_milliseconds, 20..=10_000);
        let path = "spec.redundancy.controlPort";
        let last = i32::from(u16::MAX - (CONTROL_PORTS - 1));
        let port = u16::try_from(check.number(path, redundancy.control_port, 1..=last)).unwrap_or_default();
        if redundancy.mode == RedundancyMode::None {
            return None;
        }
        let control = control_address(port)..=control_address(port.saturating_add(CONTROL_PORTS - 1));
        // Diameter has TCP ports of its own.
        for kind in [Scscf, Icscf, Pcscf] {
            for address in listen[&kind].iter().filter(|address| control.contains(address)) {
                check.refuse(path, format!("{address} is also an address of {}", kind.as_str()));
            }
        }
        check_second_hss(listen, check);
        // 253 bytes for a name (RFC 1035 §2.3.4), less `scscf-1.` in front of it.
        if domain.len() > 245 {
            check.refuse("spec.homeDomain", "is too long for pairs: at most 245 characters");
        }
        Some(Pairs { lease_milliseconds: lease, control_port: port })
    }
}

/// The second HSS listens one port above the first.
fn check_second_hss(listen: &BTreeMap<FunctionKind, Vec<SocketAddr>>, check: &mut Check) {
    for address in &listen[&Hss] {
        let Some(port) = address.port().checked_add(1) else {
            check.refuse("spec.hss.port", "65535 leaves no port above it for the second of the pair");
            return;
        };
        let second = SocketAddr::new(address.ip(), port);
        let taken = FunctionKind::ALL.into_iter().find(|kind| listen[kind].contains(&second));
        if let Some(kind) = taken {
            let reason = format!("{second}, for the second of the pair, is an address of {}", kind.as_str());
            check.refuse("spec.hss.port", reason);
        }
    }
}

fn control_address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whom a function exchanges signalling with.
fn neighbours(kind: FunctionKind) -> &'static [FunctionKind] {
    match kind {
        Pcscf => &[Icscf, Scscf],
        Icscf => &[Pcscf, Scscf, Hss],
        Scscf => &[Pcscf, Icscf, Hss],
        Hss => &[Icscf, Scscf],
    }
}

/// The number of a function's pair.
fn pair_id(kind: FunctionKind) -> u32 {
    kind as u32
}

/// When both have lost their memory, may only who held last begin again, with its store? What the CSCFs of the home network
/// remember stands in the HSS too.
fn is_durable(kind: FunctionKind) -> bool {
    names::HAVE_STATE.contains(&kind)
}

impl Core {
    fn pairs(&self) -> &Pairs {
        self.pairs.as_ref().expect("only a core of pairs has these processes")
    }

    /// An instance's place in its pair; `None`: the function is alone.
    pub(super) fn pair(&self, kind: FunctionKind, instance: Instance, inputs: &Inputs) -> Option<Pair> {
        let other = ProcessName::Function(kind, instance.other()?);
        let own = ProcessName::Function(kind, instance);
        Some(Pair {
            id: pair_id(kind),
            instance: instance.number(),
            lease_milliseconds: self.pairs().lease_milliseconds,
            control_address: self.control_address(own),
            private_key_file: key(own, inputs).private_key_file.clone(),
            agent_socket: inputs.places.socket(ProcessName::HostAgent),
            other: self.party(other, inputs),
            witness: self.party(ProcessName::Witness, inputs),
            neighbours: neighbours(kind).iter().map(|kind| self.neighbour(*kind, inputs)).collect(),
        })
    }

    /// What an instance calls itself over Diameter; `None`: as its function, because it is alone, or nothing.
    pub(super) fn node_host(&self, kind: FunctionKind, instance: Instance) -> Option<String> {
        let speaks_diameter = kind != Pcscf && instance != Instance::Alone;
        speaks_diameter.then(|| names::instance_host(kind, instance, &self.domain))
    }

    pub(super) fn witness(&self, inputs: &Inputs) -> Witness {
        let name = ProcessName::Witness;
        let witnessed = |kind: FunctionKind| WitnessedPair {
            id: pair_id(kind),
            lease_milliseconds: self.pairs().lease_milliseconds,
            is_durable: is_durable(kind),
            instances: ProcessName::pair(kind).map(|instance| self.party(instance, inputs)).to_vec(),
        };
        Witness {
            instance: name.to_string(),
            control_address: self.control_address(name),
            private_key_file: key(name, inputs).private_key_file.clone(),
            agent_socket: inputs.places.socket(ProcessName::HostAgent),
            admin_socket: inputs.places.socket(name),
            state_directory: inputs.places.state_of(name),
            pairs: FunctionKind::ALL.map(witnessed).to_vec(),
        }
    }

    /// It is told of no pair: who comes tells what it is. So no other setting of the core restarts it.
    pub(super) fn host_agent(&self, inputs: &Inputs) -> HostAgent {
        let name = ProcessName::HostAgent;
        HostAgent { socket: inputs.places.socket(name), state_directory: inputs.places.state_of(name) }
    }

    /// The SIP addresses that both instances have.
    fn shared(&self, kind: FunctionKind) -> &[SocketAddr] {
        if kind == Hss { &[] } else { &self.listen[&kind] }
    }

    fn control_address(&self, name: ProcessName) -> SocketAddr {
        let instances = || ProcessName::of_core(true).filter(|name| name.kind().is_some());
        let position = instances().position(|instance| instance == name).unwrap_or(instances().count());
        let offset = u16::try_from(position).expect("there are nine");
        control_address(self.pairs().control_port + offset)
    }

    fn party(&self, name: ProcessName, inputs: &Inputs) -> ControlParty {
        ControlParty {
            control_address: self.control_address(name),
            public_key: key(name, inputs).public_key.clone(),
        }
    }

    fn neighbour(&self, kind: FunctionKind, inputs: &Inputs) -> NeighbourPair {
        let instance = |instance: Instance| {
            let ControlParty { control_address, public_key } =
                self.party(ProcessName::Function(kind, instance), inputs);
            NeighbourInstance { control_address, public_key, node_host: self.node_host(kind, instance) }
        };
        NeighbourPair {
            id: pair_id(kind),
            host_name: names::host(kind, &self.domain),
            addresses: self.shared(kind).to_vec(),
            instances: Instance::PAIR.map(instance).to_vec(),
        }
    }
}

fn key(name: ProcessName, inputs: &Inputs) -> &LinkKey {
    inputs.link_keys.get(&name).expect("whoever asks for pairs has made their keys")
}
