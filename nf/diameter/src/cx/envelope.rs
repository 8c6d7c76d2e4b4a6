//! What is written around every Cx request and answer: the common AVPs of TS 29.229 §6.1 and the identifiers of the
//! header. The functions never see it.

use bytes::Bytes;

use crate::codec::Header;
use crate::dictionary::APPLICATION_CX;

/// Everything of a message but its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Session-Id. Cx sessions end with the answer, so each request has its own.
    pub session_id: String,
    /// Pairs an answer with its request on one connection.
    pub hop_by_hop: u32,
    /// Finds repetitions, together with the Origin-Host.
    pub end_to_end: u32,
    /// The sender.
    pub origin_host: String,
    /// The sender's realm.
    pub origin_realm: String,
    /// The receiver, when the sender cares which; requests only.
    pub destination_host: Option<String>,
    /// The receiver's realm; requests only.
    pub destination_realm: Option<String>,
    /// The T bit; requests only.
    pub is_retransmitted: bool,
    /// The data of Proxy-Info AVPs: an answer returns those of its request, in order (RFC 6733 §6.7.2).
    pub proxy_info: Vec<Bytes>,
    /// User-Name and Public-Identity of a MAR. TS 29.228 table 6.3.4 lets the MAA repeat them, and Kamailio's
    /// S-CSCF answers 403 to the device when they are absent.
    pub repeated_identities: Option<(String, String)>,
}

impl Envelope {
    /// The envelope of the answer, sent by `origin_host`.
    pub fn answer(&self, origin_host: &str, origin_realm: &str) -> Envelope {
        Envelope {
            session_id: self.session_id.clone(),
            hop_by_hop: self.hop_by_hop,
            end_to_end: self.end_to_end,
            origin_host: origin_host.to_owned(),
            origin_realm: origin_realm.to_owned(),
            destination_host: None,
            destination_realm: None,
            is_retransmitted: false,
            proxy_info: self.proxy_info.clone(),
            repeated_identities: self.repeated_identities.clone(),
        }
    }

    pub(crate) fn header(&self, command_code: u32, is_request: bool, is_error: bool) -> Header {
        Header {
            is_request,
            // TS 29.229 §6.1: all Cx commands are proxiable.
            is_proxiable: true,
            is_error,
            is_retransmitted: is_request && self.is_retransmitted,
            command_code,
            application_id: APPLICATION_CX,
            hop_by_hop: self.hop_by_hop,
            end_to_end: self.end_to_end,
        }
    }
}
