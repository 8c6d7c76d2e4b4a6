//! Our own addresses: which URI of ours a neighbour can reach, and which URI means us.

use std::net::SocketAddr;

use node::config::{Config, Listen};
use node::topology::DEFAULT_SIP_PORT;
use node::{Flow, Topology, Transport};
use sip::uri::{Host, Uri};

/// The listening addresses, as others know them.
#[derive(Clone, Debug)]
pub struct Addresses {
    listen: Vec<Listen>,
    host_name: String,
}

impl Addresses {
    /// Takes the configured ones; `None` when there are none. In the place of an unspecified address (`0.0.0.0`),
    /// which nobody can route to, stands the one that the name records give for our host name.
    pub fn new(config: &Config, topology: &Topology) -> Option<Addresses> {
        let named = topology.address(&config.host_name);
        let mut listen = config.listen.clone();
        for entry in &mut listen {
            if let (true, Some(named)) = (entry.address.ip().is_unspecified(), named) {
                entry.address.set_ip(named.ip());
            }
        }
        (!listen.is_empty()).then(|| Addresses { listen, host_name: config.host_name.clone() })
    }

    /// The address for neighbours in the core: the first of the family, over UDP if it can.
    pub fn core(&self, is_ipv6: bool) -> (Transport, SocketAddr) {
        let fits = |listen: &&Listen| listen.address.is_ipv6() == is_ipv6;
        let listen = self.listen.iter().find(fits).unwrap_or(&self.listen[0]);
        let transport =
            if listen.transports.contains(&Transport::Udp) { Transport::Udp } else { Transport::Tcp };
        (transport, listen.address)
    }

    /// The address for the device at the other end of `flow`.
    pub fn device(&self, flow: &Flow) -> (Transport, SocketAddr) {
        let mut local = flow.local;
        if local.ip().is_unspecified() {
            local.set_ip(self.core(local.is_ipv6()).1.ip());
        }
        (flow.transport, local)
    }

    /// Is it one of our addresses?
    pub fn is_listening(&self, address: SocketAddr) -> bool {
        self.listen.iter().any(|listen| listen.address == address)
    }

    /// Does `uri` mean us?
    pub fn is_own(&self, uri: &Uri<'_>) -> bool {
        let numeric = |ip| self.is_listening(SocketAddr::new(ip, uri.port.unwrap_or(DEFAULT_SIP_PORT)));
        match uri.host {
            Host::V4(ip) => numeric(ip.into()),
            Host::V6(ip) => numeric(ip.into()),
            Host::Name(name) => {
                let has_port = |port| self.listen.iter().any(|listen| listen.address.port() == port);
                name.eq_ignore_ascii_case(&self.host_name) && uri.port.is_none_or(has_port)
            }
        }
    }
}

/// A loose-routing URI of ours. Numeric: neither devices nor the home network need a name service for it.
pub fn own_uri(user: &str, (transport, address): (Transport, SocketAddr)) -> String {
    match transport {
        Transport::Udp => format!("sip:{user}@{address};lr"),
        Transport::Tcp => format!("sip:{user}@{address};transport=tcp;lr"),
    }
}
