//! Cx messages as bytes: one function a command, its AVPs in the order of the grammar (TS 29.229 §6.1).
//!
//! It writes what it is told; whether a profile fits an answer is the HSS's business.

use bytes::Bytes;

use super::*;
use crate::avp::AvpBuilder;
use crate::codec::MessageBuilder;
use crate::dictionary::{self as avp, APPLICATION_CX, VENDOR_3GPP};

/// Auth-Session-State NO_STATE_MAINTAINED: Cx keeps no sessions (TS 29.229 §6.1).
const NO_STATE_MAINTAINED: u32 = 1;
/// Originating-Request ORIGINATING.
const ORIGINATING: u32 = 0;
/// The scheme of [`AuthenticationVector::Aka`].
pub(super) const SCHEME_AKA: &str = "Digest-AKAv1-MD5";
/// The scheme of [`AuthenticationVector::Digest`].
pub(super) const SCHEME_DIGEST: &str = "SIP Digest";
/// Feature list 1 of Cx, bit 2: IMS restoration (TS 29.229 table 7.1.1).
const FEATURE_LIST_CX: u32 = 1;
const FEATURE_IMS_RESTORATION: u32 = 1 << 2;

impl Request {
    /// The whole message.
    pub fn encode(&self, envelope: &Envelope) -> Bytes {
        let mut builder = MessageBuilder::new(envelope.header(self.command_code(), true, false));
        let avps = builder.avps();
        avps.text(avp::SESSION_ID, &envelope.session_id);
        application(avps);
        avps.unsigned32(avp::AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
        avps.text(avp::ORIGIN_HOST, &envelope.origin_host);
        avps.text(avp::ORIGIN_REALM, &envelope.origin_realm);
        avps.text_if_some(avp::DESTINATION_HOST, envelope.destination_host.as_deref());
        avps.text_if_some(avp::DESTINATION_REALM, envelope.destination_realm.as_deref());
        match self {
            Request::UserAuthorization(request) => user_authorization_request(avps, request),
            Request::MultimediaAuthentication(request) => multimedia_authentication_request(avps, request),
            Request::ServerAssignment(request) => server_assignment_request(avps, request),
            Request::LocationInformation(request) => location_information_request(avps, request),
            Request::RegistrationTermination(request) => registration_termination_request(avps, request),
            Request::PushProfile(request) => push_profile_request(avps, request),
        }
        proxy_info(avps, envelope);
        builder.finish()
    }
}

impl Answer {
    /// The whole message. An answer with a protocol error (Result-Code 3xxx) gets the E bit (RFC 6733 §7.2).
    pub fn encode(&self, envelope: &Envelope) -> Bytes {
        let is_error = matches!(self.result(), ResultCode::Base(3000..=3999));
        let mut builder = MessageBuilder::new(envelope.header(self.command_code(), false, is_error));
        let avps = builder.avps();
        avps.text(avp::SESSION_ID, &envelope.session_id);
        application(avps);
        result(avps, self.result());
        avps.unsigned32(avp::AUTH_SESSION_STATE, NO_STATE_MAINTAINED);
        avps.text(avp::ORIGIN_HOST, &envelope.origin_host);
        avps.text(avp::ORIGIN_REALM, &envelope.origin_realm);
        match self {
            Answer::UserAuthorization(answer) => {
                avps.text_if_some(avp::SERVER_NAME, answer.server_name.as_deref());
                capabilities(avps, answer.capabilities.as_ref());
            }
            Answer::MultimediaAuthentication(answer) => {
                let repeated = envelope.repeated_identities.as_ref();
                let private = answer.private_identity.as_ref().or(repeated.map(|(private, _)| private));
                avps.text_if_some(avp::USER_NAME, private.map(String::as_str));
                avps.text_if_some(avp::PUBLIC_IDENTITY, repeated.map(|(_, public)| public.as_str()));
                if let Some(vector) = &answer.vector {
                    avps.unsigned32(avp::SIP_NUMBER_AUTH_ITEMS, 1);
                    avps.group(avp::SIP_AUTH_DATA_ITEM, |avps| authentication_vector(avps, vector));
                }
            }
            Answer::ServerAssignment(answer) => server_assignment_answer(avps, answer),
            Answer::LocationInformation(answer) => {
                avps.text_if_some(avp::SERVER_NAME, answer.server_name.as_deref());
                capabilities(avps, answer.capabilities.as_ref());
            }
            Answer::RegistrationTermination(answer) => {
                associated_identities(avps, &answer.associated_identities)
            }
            Answer::PushProfile(_) => {}
        }
        proxy_info(avps, envelope);
        builder.finish()
    }
}

fn user_authorization_request(avps: &mut AvpBuilder, request: &UserAuthorizationRequest) {
    avps.text(avp::USER_NAME, &request.private_identity);
    avps.text(avp::PUBLIC_IDENTITY, &request.public_identity);
    avps.text(avp::VISITED_NETWORK_IDENTIFIER, &request.visited_network);
    avps.unsigned32(avp::USER_AUTHORIZATION_TYPE, request.authorization_type.to_wire());
}

fn multimedia_authentication_request(avps: &mut AvpBuilder, request: &MultimediaAuthenticationRequest) {
    avps.text(avp::USER_NAME, &request.private_identity);
    avps.text(avp::PUBLIC_IDENTITY, &request.public_identity);
    avps.group(avp::SIP_AUTH_DATA_ITEM, |avps| {
        avps.text(avp::SIP_AUTHENTICATION_SCHEME, &request.authentication.scheme);
        if let Some(rand_auts) = &request.authentication.resynchronisation {
            avps.octets(avp::SIP_AUTHORIZATION, rand_auts);
        }
    });
    avps.unsigned32(avp::SIP_NUMBER_AUTH_ITEMS, 1);
    avps.text(avp::SERVER_NAME, &request.server_name);
}

fn server_assignment_request(avps: &mut AvpBuilder, request: &ServerAssignmentRequest) {
    avps.text_if_some(avp::USER_NAME, request.private_identity.as_deref());
    supported_features(avps);
    for identity in &request.public_identities {
        avps.text(avp::PUBLIC_IDENTITY, identity);
    }
    avps.text(avp::SERVER_NAME, &request.server_name);
    avps.unsigned32(avp::SERVER_ASSIGNMENT_TYPE, request.assignment_type as u32);
    avps.unsigned32(avp::USER_DATA_ALREADY_AVAILABLE, u32::from(request.user_data_already_available));
    if let Some(restoration) = &request.restoration {
        restoration_info(avps, restoration);
    }
}

fn server_assignment_answer(avps: &mut AvpBuilder, answer: &ServerAssignmentAnswer) {
    avps.text_if_some(avp::USER_NAME, answer.private_identity.as_deref());
    supported_features(avps);
    if let Some(user_data) = &answer.user_data {
        avps.octets(avp::USER_DATA, user_data);
    }
    charging(avps, answer.charging.as_ref());
    associated_identities(avps, &answer.associated_identities);
    for restoration in &answer.restoration {
        restoration_info(avps, restoration);
    }
}

fn location_information_request(avps: &mut AvpBuilder, request: &LocationInformationRequest) {
    if request.originating {
        avps.unsigned32(avp::ORIGINATING_REQUEST, ORIGINATING);
    }
    avps.text(avp::PUBLIC_IDENTITY, &request.public_identity);
    if request.with_capabilities {
        let with_capabilities = UserAuthorizationType::RegistrationAndCapabilities;
        avps.unsigned32(avp::USER_AUTHORIZATION_TYPE, with_capabilities.to_wire());
    }
}

fn registration_termination_request(avps: &mut AvpBuilder, request: &RegistrationTerminationRequest) {
    avps.text(avp::USER_NAME, &request.private_identity);
    for identity in &request.public_identities {
        avps.text(avp::PUBLIC_IDENTITY, identity);
    }
    avps.group(avp::DEREGISTRATION_REASON, |avps| {
        avps.unsigned32(avp::REASON_CODE, request.reason as u32);
        avps.text_if_some(avp::REASON_INFO, request.reason_info.as_deref());
    });
}

fn push_profile_request(avps: &mut AvpBuilder, request: &PushProfileRequest) {
    avps.text(avp::USER_NAME, &request.private_identity);
    if let Some(user_data) = &request.user_data {
        avps.octets(avp::USER_DATA, user_data);
    }
    charging(avps, request.charging.as_ref());
}

/// Vendor-Specific-Application-Id of Cx.
pub(crate) fn application(avps: &mut AvpBuilder) {
    avps.group(avp::VENDOR_SPECIFIC_APPLICATION_ID, |avps| {
        avps.unsigned32(avp::VENDOR_ID, VENDOR_3GPP);
        avps.unsigned32(avp::AUTH_APPLICATION_ID, APPLICATION_CX);
    });
}

fn result(avps: &mut AvpBuilder, result: ResultCode) {
    match result {
        ResultCode::Base(code) => avps.unsigned32(avp::RESULT_CODE, code),
        ResultCode::Experimental(code) => avps.group(avp::EXPERIMENTAL_RESULT, |avps| {
            avps.unsigned32(avp::VENDOR_ID, VENDOR_3GPP);
            avps.unsigned32(avp::EXPERIMENTAL_RESULT_CODE, code);
        }),
    }
}

/// We store and return restoration data. Without the M bit: a peer that cannot does not refuse (TS 29.229 §7.2.1).
fn supported_features(avps: &mut AvpBuilder) {
    avps.group(avp::SUPPORTED_FEATURES, |avps| {
        avps.unsigned32(avp::VENDOR_ID, VENDOR_3GPP);
        avps.unsigned32(avp::FEATURE_LIST_ID, FEATURE_LIST_CX);
        avps.unsigned32(avp::FEATURE_LIST, FEATURE_IMS_RESTORATION);
    });
}

fn capabilities(avps: &mut AvpBuilder, capabilities: Option<&ServerCapabilities>) {
    let Some(capabilities) = capabilities else { return };
    avps.group(avp::SERVER_CAPABILITIES, |avps| {
        for &capability in &capabilities.mandatory {
            avps.unsigned32(avp::MANDATORY_CAPABILITY, capability);
        }
        for &capability in &capabilities.optional {
            avps.unsigned32(avp::OPTIONAL_CAPABILITY, capability);
        }
        for name in &capabilities.server_names {
            avps.text(avp::SERVER_NAME, name);
        }
    });
}

fn authentication_vector(avps: &mut AvpBuilder, vector: &AuthenticationVector) {
    avps.unsigned32(avp::SIP_ITEM_NUMBER, 1);
    match vector {
        AuthenticationVector::Aka { rand_autn, xres, confidentiality_key, integrity_key } => {
            avps.text(avp::SIP_AUTHENTICATION_SCHEME, SCHEME_AKA);
            avps.octets(avp::SIP_AUTHENTICATE, rand_autn);
            avps.octets(avp::SIP_AUTHORIZATION, xres);
            avps.octets(avp::CONFIDENTIALITY_KEY, confidentiality_key);
            avps.octets(avp::INTEGRITY_KEY, integrity_key);
        }
        AuthenticationVector::Digest { realm, algorithm, qop, ha1 } => {
            avps.text(avp::SIP_AUTHENTICATION_SCHEME, SCHEME_DIGEST);
            avps.group(avp::SIP_DIGEST_AUTHENTICATE, |avps| {
                avps.text(avp::DIGEST_REALM, realm);
                avps.text(avp::DIGEST_ALGORITHM, algorithm);
                avps.text(avp::DIGEST_QOP, qop);
                avps.text(avp::DIGEST_HA1, ha1);
            });
        }
    }
}

fn associated_identities(avps: &mut AvpBuilder, identities: &[String]) {
    if identities.is_empty() {
        return;
    }
    avps.group(avp::ASSOCIATED_IDENTITIES, |avps| {
        for identity in identities {
            avps.text(avp::USER_NAME, identity);
        }
    });
}

fn charging(avps: &mut AvpBuilder, charging: Option<&ChargingInformation>) {
    let Some(charging) = charging else { return };
    avps.group(avp::CHARGING_INFORMATION, |avps| {
        for (attribute, name) in [
            (avp::PRIMARY_EVENT_CHARGING_FUNCTION_NAME, &charging.primary_event_charging_function_name),
            (avp::SECONDARY_EVENT_CHARGING_FUNCTION_NAME, &charging.secondary_event_charging_function_name),
            (
                avp::PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME,
                &charging.primary_charging_collection_function_name,
            ),
            (
                avp::SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME,
                &charging.secondary_charging_collection_function_name,
            ),
        ] {
            avps.text_if_some(attribute, name.as_deref());
        }
    });
}

fn restoration_info(avps: &mut AvpBuilder, restoration: &ScscfRestorationInfo) {
    avps.group(avp::SCSCF_RESTORATION_INFO, |avps| {
        avps.text(avp::USER_NAME, &restoration.private_identity);
        for contact in &restoration.contacts {
            avps.group(avp::RESTORATION_INFO, |avps| {
                avps.text(avp::PATH, &contact.path);
                avps.text(avp::CONTACT, &contact.contact);
                if let Some(subscription) = &contact.subscription {
                    avps.group(avp::SUBSCRIPTION_INFO, |avps| {
                        avps.text(avp::CALL_ID_SIP_HEADER, &subscription.call_id);
                        avps.text(avp::FROM_SIP_HEADER, &subscription.from);
                        avps.text(avp::TO_SIP_HEADER, &subscription.to);
                        avps.text(avp::RECORD_ROUTE, &subscription.record_route);
                        avps.text(avp::CONTACT, &subscription.contact);
                    });
                }
            });
        }
    });
}

fn proxy_info(avps: &mut AvpBuilder, envelope: &Envelope) {
    for data in &envelope.proxy_info {
        avps.octets(avp::PROXY_INFO, data);
    }
}
