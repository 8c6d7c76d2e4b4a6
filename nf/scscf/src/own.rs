//! Who this S-CSCF is: its names in Route, Record-Route and Contact, and which URIs mean itself.
//!
//! Three URIs of ours differ in their user part, which says what a request that carries one on top of its Route is:
//! `orig` (from Service-Route: a new request of a user served here), `dialog` (from Record-Route: a request inside a
//! dialog) and `reg` (our Contact as notifier of the reg event package). Any other is the server as such.

use std::net::SocketAddr;

use node::{Destination, Setup, Topology};
use sip::NameAddress;
use sip::uri::{Host, Scheme, Uri};

use crate::text::Text;

/// User part in Service-Route.
pub(crate) const USER_ORIGINATING: &str = "orig";
/// User part in Record-Route.
pub(crate) const USER_DIALOG: &str = "dialog";
/// User part of our Contact as notifier.
pub(crate) const USER_NOTIFIER: &str = "reg";

/// The S-CSCF's own names, and the way to others.
pub(crate) struct Own {
    /// Server-Name on Cx, as configured.
    pub server_name: Text,
    /// `host` or `host:port` of the server name, as it stands in our URIs.
    pub authority: String,
    /// The home domain, lower case.
    pub home_domain: String,
    /// Where requests into the home domain go; `None` when the configuration names no reachable I-CSCF.
    pub icscf: Option<Destination>,
    host: String,
    port: Option<u16>,
    host_name: String,
    addresses: Vec<SocketAddr>,
    topology: Topology,
}

impl Own {
    pub(crate) fn new(setup: &Setup, own: &node::config::Scscf) -> Own {
        let uri = Uri::parse(&own.server_name).ok();
        let host = match uri.map(|uri| uri.host) {
            Some(Host::Name(name)) if !name.is_empty() => name.to_string(),
            Some(Host::V4(ip)) => ip.to_string(),
            Some(Host::V6(ip)) => format!("[{ip}]"),
            _ => setup.config.host_name.clone(),
        };
        let port = uri.and_then(|uri| uri.port);
        Own {
            server_name: own.server_name.as_str().into(),
            authority: port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
            home_domain: setup.config.home_domain.to_ascii_lowercase(),
            icscf: Uri::parse(&own.icscf_uri).ok().and_then(|uri| setup.topology.resolve(&uri)),
            host: host.to_ascii_lowercase(),
            port,
            host_name: setup.config.host_name.to_ascii_lowercase(),
            addresses: setup.config.listen.iter().map(|listen| listen.address).collect(),
            topology: setup.topology.clone(),
        }
    }

    /// Does `uri` name this server, whatever its user part?
    pub(crate) fn is_own(&self, uri: &Uri<'_>) -> bool {
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return false;
        }
        let address = |ip| SocketAddr::new(ip, uri.port.unwrap_or(node::topology::DEFAULT_SIP_PORT));
        match uri.host {
            Host::V4(ip) => {
                self.addresses.contains(&address(ip.into())) || self.is_own_name(&ip.to_string(), uri)
            }
            Host::V6(ip) => {
                self.addresses.contains(&address(ip.into())) || self.is_own_name(&format!("[{ip}]"), uri)
            }
            Host::Name(name) => self.is_own_name(name, uri),
        }
    }

    fn is_own_name(&self, name: &str, uri: &Uri<'_>) -> bool {
        let is_our_port = match uri.port {
            None => true,
            Some(port) => {
                self.port == Some(port) || self.addresses.iter().any(|address| address.port() == port)
            }
        };
        is_our_port && (name.eq_ignore_ascii_case(&self.host) || name.eq_ignore_ascii_case(&self.host_name))
    }

    /// The user part of a Route value that names this server (empty when it has none); `None`: another's.
    pub(crate) fn route_user<'a>(&self, value: &'a str) -> Option<&'a str> {
        let uri = NameAddress::parse(value)?.uri()?;
        self.is_own(&uri).then(|| uri.user.unwrap_or(""))
    }

    /// Is `uri` in the home domain?
    pub(crate) fn is_home(&self, uri: &Uri<'_>) -> bool {
        matches!(uri.host, Host::Name(name) if name.eq_ignore_ascii_case(&self.home_domain))
    }

    pub(crate) fn service_route(&self) -> String {
        format!("<sip:{USER_ORIGINATING}@{};lr>", self.authority)
    }

    pub(crate) fn record_route(&self) -> String {
        format!("<sip:{USER_DIALOG}@{};lr>", self.authority)
    }

    pub(crate) fn notifier_contact(&self) -> String {
        format!("<sip:{USER_NOTIFIER}@{}>", self.authority)
    }

    /// Where a request for `uri` goes; `None` when its host has no known address.
    pub(crate) fn resolve_uri(&self, uri: &str) -> Option<Destination> {
        self.topology.resolve(&Uri::parse(uri).ok()?)
    }
}
