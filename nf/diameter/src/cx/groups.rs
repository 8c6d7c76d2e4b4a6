//! The grouped AVPs of Cx, from their members (TS 29.229 §6.3). Unknown members are passed over.

use super::decode::require;
use super::encode::SCHEME_DIGEST;
use super::*;
use crate::avp::Avp;
use crate::codec::{DecodeError, result};
use crate::dictionary as avp;

/// XRES is 4 to 16 bytes long (TS 33.102 §6.3.7).
const XRES_LENGTHS: std::ops::RangeInclusive<usize> = 4..=16;
/// The default of RFC 2617 when Digest-Algorithm is absent.
const DIGEST_ALGORITHM_DEFAULT: &str = "MD5";
/// The only QoP of SIP digest in IMS (TS 29.229 §6.3.36).
const DIGEST_QOP_DEFAULT: &str = "auth";

pub(super) fn experimental_result(group: Avp<'_>) -> Result<ResultCode, DecodeError> {
    for member in group.members() {
        let member = member?;
        if member.is(avp::EXPERIMENTAL_RESULT_CODE) {
            return Ok(ResultCode::Experimental(member.unsigned32()?));
        }
    }
    Err(DecodeError::missing(avp::EXPERIMENTAL_RESULT_CODE))
}

pub(super) fn capabilities(group: Avp<'_>) -> Result<ServerCapabilities, DecodeError> {
    let mut capabilities = ServerCapabilities::default();
    for member in group.members() {
        let member = member?;
        if member.is(avp::MANDATORY_CAPABILITY) {
            capabilities.mandatory.push(member.unsigned32()?);
        } else if member.is(avp::OPTIONAL_CAPABILITY) {
            capabilities.optional.push(member.unsigned32()?);
        } else if member.is(avp::SERVER_NAME) {
            capabilities.server_names.push(member.text()?.to_owned());
        }
    }
    Ok(capabilities)
}

pub(super) fn authentication_request(group: Avp<'_>) -> Result<AuthenticationRequest, DecodeError> {
    let mut request = AuthenticationRequest::default();
    for member in group.members() {
        let member = member?;
        if member.is(avp::SIP_AUTHENTICATION_SCHEME) {
            request.scheme = member.text()?.to_owned();
        } else if member.is(avp::SIP_AUTHORIZATION) && !member.data.is_empty() {
            request.resynchronisation = Some(member.array()?);
        }
    }
    Ok(request)
}

pub(super) fn authentication_vector(group: Avp<'_>) -> Result<AuthenticationVector, DecodeError> {
    let (mut scheme, mut rand_autn, mut xres, mut ck, mut ik) = (None, None, None, None, None);
    for member in group.members() {
        let member = member?;
        if member.is(avp::SIP_DIGEST_AUTHENTICATE) {
            return digest_vector(member);
        } else if member.is(avp::SIP_AUTHENTICATION_SCHEME) {
            scheme = Some(member.text()?);
        } else if member.is(avp::SIP_AUTHENTICATE) {
            rand_autn = Some(member.array()?);
        } else if member.is(avp::SIP_AUTHORIZATION) {
            if !XRES_LENGTHS.contains(&member.data.len()) {
                return Err(
                    member.refuse(result::INVALID_AVP_LENGTH, "an XRES that is not 4 to 16 bytes long")
                );
            }
            xres = Some(member.data.to_vec());
        } else if member.is(avp::CONFIDENTIALITY_KEY) {
            ck = Some(member.array()?);
        } else if member.is(avp::INTEGRITY_KEY) {
            ik = Some(member.array()?);
        }
    }
    if scheme == Some(SCHEME_DIGEST) {
        return Err(DecodeError::missing(avp::SIP_DIGEST_AUTHENTICATE));
    }
    Ok(AuthenticationVector::Aka {
        rand_autn: require(rand_autn, avp::SIP_AUTHENTICATE)?,
        xres: require(xres, avp::SIP_AUTHORIZATION)?,
        confidentiality_key: require(ck, avp::CONFIDENTIALITY_KEY)?,
        integrity_key: require(ik, avp::INTEGRITY_KEY)?,
    })
}

fn digest_vector(group: Avp<'_>) -> Result<AuthenticationVector, DecodeError> {
    let (mut realm, mut algorithm, mut qop, mut ha1) = (None, None, None, None);
    for member in group.members() {
        let member = member?;
        if member.is(avp::DIGEST_REALM) {
            realm = Some(member.text()?);
        } else if member.is(avp::DIGEST_ALGORITHM) {
            algorithm = Some(member.text()?);
        } else if member.is(avp::DIGEST_QOP) {
            qop = Some(member.text()?);
        } else if member.is(avp::DIGEST_HA1) {
            ha1 = Some(member.text()?);
        }
    }
    Ok(AuthenticationVector::Digest {
        realm: require(realm, avp::DIGEST_REALM)?.to_owned(),
        algorithm: algorithm.unwrap_or(DIGEST_ALGORITHM_DEFAULT).to_owned(),
        qop: qop.unwrap_or(DIGEST_QOP_DEFAULT).to_owned(),
        ha1: require(ha1, avp::DIGEST_HA1)?.to_owned(),
    })
}

pub(super) fn charging(group: Avp<'_>) -> Result<ChargingInformation, DecodeError> {
    let mut charging = ChargingInformation::default();
    for member in group.members() {
        let member = member?;
        let place = match avp::find(member.code, member.vendor) {
            Some(avp::PRIMARY_EVENT_CHARGING_FUNCTION_NAME) => {
                &mut charging.primary_event_charging_function_name
            }
            Some(avp::SECONDARY_EVENT_CHARGING_FUNCTION_NAME) => {
                &mut charging.secondary_event_charging_function_name
            }
            Some(avp::PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME) => {
                &mut charging.primary_charging_collection_function_name
            }
            Some(avp::SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME) => {
                &mut charging.secondary_charging_collection_function_name
            }
            _ => continue,
        };
        *place = Some(member.text()?.to_owned());
    }
    Ok(charging)
}

pub(super) fn user_names(group: Avp<'_>) -> Result<Vec<String>, DecodeError> {
    let mut names = Vec::new();
    for member in group.members() {
        let member = member?;
        if member.is(avp::USER_NAME) {
            names.push(member.text()?.to_owned());
        }
    }
    Ok(names)
}

pub(super) fn restoration(group: Avp<'_>) -> Result<ScscfRestorationInfo, DecodeError> {
    let mut restoration = ScscfRestorationInfo::default();
    for member in group.members() {
        let member = member?;
        if member.is(avp::USER_NAME) {
            restoration.private_identity = member.text()?.to_owned();
        } else if member.is(avp::RESTORATION_INFO) {
            restoration.contacts.push(restored_contact(member)?);
        }
    }
    Ok(restoration)
}

fn restored_contact(group: Avp<'_>) -> Result<RestorationInfo, DecodeError> {
    let mut contact = RestorationInfo::default();
    for member in group.members() {
        let member = member?;
        if member.is(avp::PATH) {
            contact.path = member.text()?.to_owned();
        } else if member.is(avp::CONTACT) {
            contact.contact = member.text()?.to_owned();
        } else if member.is(avp::SUBSCRIPTION_INFO) {
            contact.subscription = Some(subscription(member)?);
        }
    }
    Ok(contact)
}

fn subscription(group: Avp<'_>) -> Result<SubscriptionInfo, DecodeError> {
    let mut subscription = SubscriptionInfo::default();
    for member in group.members() {
        let member = member?;
        let place = match avp::find(member.code, member.vendor) {
            Some(avp::CONTACT) => &mut subscription.contact,
            Some(avp::CALL_ID_SIP_HEADER) => &mut subscription.call_id,
            Some(avp::FROM_SIP_HEADER) => &mut subscription.from,
            Some(avp::TO_SIP_HEADER) => &mut subscription.to,
            Some(avp::RECORD_ROUTE) => &mut subscription.record_route,
            _ => continue,
        };
        *place = member.text()?.to_owned();
    }
    Ok(subscription)
}
