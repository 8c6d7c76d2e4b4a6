//! The messages of the base protocol that two neighbours exchange: CER/CEA, DWR/DWA, DPR/DPA (RFC 6733 §5.3 to 5.5).

use bytes::Bytes;

use super::settings::{Identity, Settings};
use crate::codec::{DecodeError, Header, Message, MessageBuilder, result};
use crate::cx;
use crate::dictionary::{self as avp, APPLICATION_BASE, APPLICATION_CX, APPLICATION_RELAY, VENDOR_3GPP};

/// Capabilities-Exchange.
pub(super) const CER: u32 = 257;
/// Device-Watchdog.
pub(super) const DWR: u32 = 280;
/// Disconnect-Peer.
pub(super) const DPR: u32 = 282;

/// Vendor-Id in CER: "ignored" (RFC 6733 §5.3.3), we have no enterprise number.
const VENDOR_NONE: u32 = 0;
/// Inband-Security-Id NO_INBAND_SECURITY.
const NO_INBAND_SECURITY: u32 = 0;

/// What a peer says of itself.
#[derive(Debug)]
pub(super) struct Capabilities {
    pub(super) origin_host: String,
    pub(super) origin_state_id: Option<u32>,
    has_common_application: bool,
    has_common_security: bool,
    result_code: Option<u32>,
}

/// Disconnect-Cause (RFC 6733 §5.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DisconnectCause {
    Rebooting = 0,
    Busy = 1,
    DoNotWantToTalk = 2,
}

pub(super) fn capabilities_exchange_request(identity: &Identity, hop_by_hop: u32, end_to_end: u32) -> Bytes {
    let mut builder = MessageBuilder::new(request(CER, hop_by_hop, end_to_end));
    write_capabilities(&mut builder, identity);
    builder.finish()
}

pub(super) fn capabilities_exchange_answer(identity: &Identity, request: &Message) -> Bytes {
    let mut builder = MessageBuilder::new(request.header.answer(false));
    builder.avps().unsigned32(avp::RESULT_CODE, result::SUCCESS);
    write_capabilities(&mut builder, identity);
    builder.finish()
}

/// The CEA that turns a peer away, with the E bit where the error is one of the protocol (RFC 6733 §7.1.3).
pub(super) fn capabilities_refusal(request: &Message, identity: &Identity, error: &DecodeError) -> Bytes {
    let is_error = (3000..4000).contains(&error.result_code);
    let mut builder = MessageBuilder::new(request.header.answer(is_error));
    builder.avps().unsigned32(avp::RESULT_CODE, error.result_code);
    write_capabilities(&mut builder, identity);
    builder.avps().text(avp::ERROR_MESSAGE, error.reason);
    if !error.failed_avp.is_empty() {
        builder.avps().group(avp::FAILED_AVP, |avps| avps.raw(&error.failed_avp));
    }
    builder.finish()
}

pub(super) fn watchdog_request(identity: &Identity, hop_by_hop: u32, end_to_end: u32) -> Bytes {
    let mut builder = MessageBuilder::new(request(DWR, hop_by_hop, end_to_end));
    write_origin(&mut builder, identity);
    builder.avps().unsigned32(avp::ORIGIN_STATE_ID, identity.origin_state_id);
    builder.finish()
}

pub(super) fn watchdog_answer(identity: &Identity, request: &Message) -> Bytes {
    let mut builder = MessageBuilder::new(request.header.answer(false));
    builder.avps().unsigned32(avp::RESULT_CODE, result::SUCCESS);
    write_origin(&mut builder, identity);
    builder.avps().unsigned32(avp::ORIGIN_STATE_ID, identity.origin_state_id);
    builder.finish()
}

pub(super) fn disconnect_peer_request(
    identity: &Identity,
    cause: DisconnectCause,
    hop_by_hop: u32,
    end_to_end: u32,
) -> Bytes {
    let mut builder = MessageBuilder::new(request(DPR, hop_by_hop, end_to_end));
    write_origin(&mut builder, identity);
    builder.avps().unsigned32(avp::DISCONNECT_CAUSE, cause as u32);
    builder.finish()
}

pub(super) fn disconnect_peer_answer(identity: &Identity, request: &Message) -> Bytes {
    let mut builder = MessageBuilder::new(request.header.answer(false));
    builder.avps().unsigned32(avp::RESULT_CODE, result::SUCCESS);
    write_origin(&mut builder, identity);
    builder.finish()
}

/// Reads the Disconnect-Cause of a DPR; `None` when it is missing or new.
pub(super) fn disconnect_cause(message: &Message) -> Option<DisconnectCause> {
    match message.find(avp::DISCONNECT_CAUSE)?.unsigned32().ok()? {
        0 => Some(DisconnectCause::Rebooting),
        1 => Some(DisconnectCause::Busy),
        2 => Some(DisconnectCause::DoNotWantToTalk),
        _ => None,
    }
}

/// Reads a CER and decides whether we talk to its sender.
pub(super) fn read_request(
    message: &Message,
    identity: &Identity,
    settings: &Settings,
) -> Result<Capabilities, DecodeError> {
    message.check_header()?;
    let capabilities = read(message)?;
    let host = &capabilities.origin_host;
    let is_allowed = settings
        .allowed_peers
        .as_ref()
        .is_none_or(|allowed| allowed.iter().any(|known| known.eq_ignore_ascii_case(host)));
    // Whoever calls itself like us would be taken for us in every answer.
    if !is_allowed || identity.is_host(host) {
        return Err(DecodeError::plain(result::UNKNOWN_PEER, "a peer that we do not know"));
    }
    if !capabilities.has_common_application {
        return Err(DecodeError::plain(result::NO_COMMON_APPLICATION, "a peer that does not speak Cx"));
    }
    if !capabilities.has_common_security {
        return Err(DecodeError::plain(result::NO_COMMON_SECURITY, "a peer that insists on TLS in band"));
    }
    Ok(capabilities)
}

/// Reads a CEA; an error is a sentence, because nobody can be answered.
pub(super) fn read_answer(message: &Message, peer_host: &str) -> Result<Capabilities, String> {
    let capabilities = read(message).map_err(|error| error.to_string())?;
    match capabilities.result_code {
        Some(2000..=2999) => {}
        Some(code) => {
            return Err(format!("the peer refused us with {}", cx::ResultCode::Base(code)));
        }
        None => return Err("a CEA without Result-Code".to_owned()),
    }
    if !capabilities.origin_host.eq_ignore_ascii_case(peer_host) {
        return Err(format!("the peer is {} and not {peer_host}", capabilities.origin_host));
    }
    if !capabilities.has_common_application {
        return Err("the peer does not speak Cx".to_owned());
    }
    Ok(capabilities)
}

fn read(message: &Message) -> Result<Capabilities, DecodeError> {
    let mut origin_host = None;
    let mut securities = Vec::new();
    let mut capabilities = Capabilities {
        origin_host: String::new(),
        origin_state_id: None,
        has_common_application: false,
        has_common_security: true,
        result_code: None,
    };
    for avp in message.avps() {
        let avp = avp?;
        match avp::find(avp.code, avp.vendor) {
            Some(avp::ORIGIN_HOST) => origin_host = Some(avp.text()?.to_owned()),
            Some(avp::ORIGIN_STATE_ID) => capabilities.origin_state_id = Some(avp.unsigned32()?),
            Some(avp::RESULT_CODE) => capabilities.result_code = Some(avp.unsigned32()?),
            Some(avp::AUTH_APPLICATION_ID) => {
                capabilities.has_common_application |= is_common_application(avp.unsigned32()?);
            }
            Some(avp::VENDOR_SPECIFIC_APPLICATION_ID) => {
                for member in avp.members() {
                    let member = member?;
                    if member.is(avp::AUTH_APPLICATION_ID) {
                        capabilities.has_common_application |= is_common_application(member.unsigned32()?);
                    }
                }
            }
            Some(avp::INBAND_SECURITY_ID) => securities.push(avp.unsigned32()?),
            _ => {}
        }
    }
    // RFC 6733 §6.10: absent means none.
    capabilities.has_common_security = securities.is_empty() || securities.contains(&NO_INBAND_SECURITY);
    match origin_host {
        Some(host) if !host.is_empty() => Ok(Capabilities { origin_host: host, ..capabilities }),
        _ => Err(DecodeError::missing(avp::ORIGIN_HOST)),
    }
}

fn is_common_application(application: u32) -> bool {
    application == APPLICATION_CX || application == APPLICATION_RELAY
}

fn write_origin(builder: &mut MessageBuilder, identity: &Identity) {
    builder.avps().text(avp::ORIGIN_HOST, identity.node_host());
    builder.avps().text(avp::ORIGIN_REALM, &identity.realm);
}

fn write_capabilities(builder: &mut MessageBuilder, identity: &Identity) {
    write_origin(builder, identity);
    let avps = builder.avps();
    avps.address(avp::HOST_IP_ADDRESS, identity.host_ip);
    avps.unsigned32(avp::VENDOR_ID, VENDOR_NONE);
    avps.text(avp::PRODUCT_NAME, &identity.product);
    avps.unsigned32(avp::ORIGIN_STATE_ID, identity.origin_state_id);
    avps.unsigned32(avp::SUPPORTED_VENDOR_ID, VENDOR_3GPP);
    cx::encode::application(avps);
}

fn request(command_code: u32, hop_by_hop: u32, end_to_end: u32) -> Header {
    Header {
        is_request: true,
        is_proxiable: false,
        is_error: false,
        is_retransmitted: false,
        command_code,
        application_id: APPLICATION_BASE,
        hop_by_hop,
        end_to_end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down by hand from RFC 6733 §3, §4 and §5.3.1.
    #[test]
    fn a_cer_is_these_bytes() {
        let identity = Identity {
            node_host: None,
            host: "s.example".to_owned(),
            realm: "example".to_owned(),
            product: "Evertone".to_owned(),
            origin_state_id: 0x0102_0304,
            host_ip: [192, 0, 2, 1].into(),
        };
        let expected = [
            "0100009c 80000101 00000000 0000000a 0000000b", // version, 156 bytes; R, 257; application 0; identifiers
            "00000108 40000011 732e6578 616d706c 65000000", // Origin-Host
            "00000128 4000000f 6578616d 706c6500",          // Origin-Realm
            "00000101 4000000e 0001c000 02010000",          // Host-IP-Address
            "0000010a 4000000c 00000000",                   // Vendor-Id
            "0000010d 00000010 45766572 746f6e65",          // Product-Name
            "00000116 4000000c 01020304",                   // Origin-State-Id
            "00000109 4000000c 000028af",                   // Supported-Vendor-Id
            "00000104 40000020",                            // Vendor-Specific-Application-Id
            "0000010a 4000000c 000028af",                   //   Vendor-Id
            "00000102 4000000c 01000000",                   //   Auth-Application-Id
        ];
        let expected = expected.concat().replace(' ', "");
        let written = capabilities_exchange_request(&identity, 10, 11);
        let written: String = written.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, expected);
    }
}
