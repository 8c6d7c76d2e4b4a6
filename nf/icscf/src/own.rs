//! Which URI means us.

use node::config::Listen;
use node::topology::DEFAULT_SIP_PORT;
use sip::message::Name;
use sip::uri::Host;
use sip::{Draft, NameAddress, Uri};

use crate::Icscf;

impl Icscf {
    pub(crate) fn strip_own_routes(&self, draft: &mut Draft) {
        loop {
            let top = draft.values(Name::Route).next().and_then(NameAddress::parse);
            if !top.and_then(|top| top.uri()).is_some_and(|uri| self.is_own(&uri)) {
                return;
            }
            draft.remove_first_value(Name::Route);
        }
    }

    /// Does `uri` mean this host?
    pub(crate) fn is_own(&self, uri: &Uri<'_>) -> bool {
        let port = uri.port.unwrap_or(DEFAULT_SIP_PORT);
        let mut listen = self.config.listen.iter();
        let numeric = |listen: &Listen, ip: std::net::IpAddr| {
            let own = listen.address.ip();
            listen.address.port() == port
                && (own == ip || own.is_unspecified() && own.is_ipv6() == ip.is_ipv6())
        };
        match uri.host {
            Host::V4(ip) => listen.any(|listen| numeric(listen, ip.into())),
            Host::V6(ip) => listen.any(|listen| numeric(listen, ip.into())),
            Host::Name(name) => {
                let is_port = uri.port.is_none_or(|port| listen.any(|listen| listen.address.port() == port));
                name.eq_ignore_ascii_case(&self.config.host_name) && is_port
            }
        }
    }

    pub(crate) fn is_home(&self, uri: &Uri<'_>) -> bool {
        matches!(uri.host, Host::Name(name) if name.eq_ignore_ascii_case(&self.config.home_domain))
    }
}
