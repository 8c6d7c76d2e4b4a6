//! Names to addresses, decided beforehand: the configuration names every host the function may have to reach.
//! Numeric hosts resolve to themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sip::uri::{Host, Scheme, Uri};

use crate::wire::{Destination, Transport};

/// The static name records of a node.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    hosts: BTreeMap<String, SocketAddr>,
}

/// The port of a SIP URI that names none (RFC 3261 §19.1.2).
pub const DEFAULT_SIP_PORT: u16 = 5060;

impl Topology {
    /// Takes the records; names compare without case.
    pub fn new(hosts: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        Topology {
            hosts: hosts.into_iter().map(|(name, address)| (name.to_ascii_lowercase(), address)).collect(),
        }
    }

    /// The address of `host`.
    pub fn address(&self, host: &str) -> Option<SocketAddr> {
        self.hosts.get(&host.to_ascii_lowercase()).copied()
    }

    /// Is it the address of a host that has a name here, and so one of our own network?
    pub fn is_named(&self, address: SocketAddr) -> bool {
        self.hosts.values().any(|named| *named == address)
    }

    /// Like [`Topology::is_named`], whatever the port: connections of ours leave from any.
    pub fn is_named_ip(&self, ip: IpAddr) -> bool {
        self.hosts.values().any(|named| named.ip() == ip)
    }

    /// Where a request for `uri` goes next (a small RFC 3263: static records instead of DNS). A port in the URI wins;
    /// `transport=tcp` is obeyed, any other unknown transport gives `None`.
    pub fn resolve(&self, uri: &Uri<'_>) -> Option<Destination> {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return None;
        }
        let transport = match uri.parameter("transport") {
            None => Transport::Udp,
            Some(token) if token.eq_ignore_ascii_case("udp") => Transport::Udp,
            Some(token) if token.eq_ignore_ascii_case("tcp") => Transport::Tcp,
            Some(_) => return None,
        };
        let numeric = |ip: IpAddr| SocketAddr::new(ip, uri.port.unwrap_or(DEFAULT_SIP_PORT));
        let remote = match uri.host {
            Host::V4(ip) => numeric(ip.into()),
            Host::V6(ip) => numeric(ip.into()),
            Host::Name(name) => {
                let mut address = self.address(name)?;
                if let Some(port) = uri.port {
                    address.set_port(port);
                }
                address
            }
        };
        Some(Destination { transport, remote, local: None, connection: None })
    }
}
