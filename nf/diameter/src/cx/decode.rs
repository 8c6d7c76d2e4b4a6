//! Cx messages from bytes. One pass gathers every AVP that some command uses into [`Fields`]; then each command takes
//! what its grammar wants and says what is missing (TS 29.229 §6.1).
//!
//! Deviations, so that foreign peers can be served: order is not checked (only Session-Id has a place, and nobody is
//! helped by insisting), the members of groups are not searched for unknown mandatory AVPs (Kamailio puts ETSI's into
//! SIP-Auth-Data-Item), SIP-Number-Auth-Items is read by nobody.
//!
//! What is kept is copied: a profile may live as long as its user's registration, and must not hold the buffer of the
//! stream it came from.

use super::groups::*;
use super::*;
use crate::avp::Avp;
use crate::codec::{DecodeError, Message, result};
use crate::dictionary::{self as avp, Attribute};

/// Reads a Cx request.
///
/// Errors: say which Result-Code to answer with, and carry the AVP at fault; [`Message::refusal`] makes the answer.
pub fn decode_request(message: &Message) -> Result<(Envelope, Request), DecodeError> {
    message.check_header()?;
    let mut fields = Fields::gather(message)?;
    let mut envelope = fields.envelope(message)?;
    let request = fields.request(message)?;
    if let Request::MultimediaAuthentication(request) = &request {
        envelope.repeated_identities =
            Some((request.private_identity.clone(), request.public_identity.clone()));
    }
    Ok((envelope, request))
}

/// Reads a Cx answer, also one that only carries a protocol error.
pub fn decode_answer(message: &Message) -> Result<(Envelope, Answer), DecodeError> {
    let mut fields = Fields::gather(message)?;
    let mut envelope = fields.envelope(message)?;
    if let (Some(private), Some(public)) = (fields.user_name, fields.public_identities.first()) {
        envelope.repeated_identities = Some((private.to_owned(), (*public).to_owned()));
    }
    Ok((envelope, fields.answer(message)?))
}

/// The AVPs of a message that mean something to us, still lying in it.
#[derive(Default)]
struct Fields<'a> {
    session_id: Option<&'a str>,
    origin_host: Option<&'a str>,
    origin_realm: Option<&'a str>,
    destination_host: Option<&'a str>,
    destination_realm: Option<&'a str>,
    proxy_info: Vec<Bytes>,
    result: Option<ResultCode>,
    user_name: Option<&'a str>,
    public_identities: Vec<&'a str>,
    visited_network: Option<Avp<'a>>,
    server_name: Option<&'a str>,
    capabilities: Option<ServerCapabilities>,
    user_data: Option<Bytes>,
    auth_data_item: Option<Avp<'a>>,
    assignment_type: Option<Avp<'a>>,
    deregistration_reason: Option<Avp<'a>>,
    charging: Option<ChargingInformation>,
    authorization_type: Option<Avp<'a>>,
    user_data_already_available: Option<u32>,
    associated_identities: Vec<String>,
    is_originating: bool,
    restoration: Vec<ScscfRestorationInfo>,
}

impl<'a> Fields<'a> {
    fn gather(message: &'a Message) -> Result<Self, DecodeError> {
        let is_request = message.header.is_request;
        let mut fields = Fields::default();
        for avp in message.avps() {
            let avp = avp?;
            fields.take(avp, is_request)?;
        }
        Ok(fields)
    }

    fn take(&mut self, avp: Avp<'a>, is_request: bool) -> Result<(), DecodeError> {
        match avp::find(avp.code, avp.vendor) {
            Some(avp::SESSION_ID) => self.session_id = Some(avp.text()?),
            Some(avp::ORIGIN_HOST) => self.origin_host = Some(avp.text()?),
            Some(avp::ORIGIN_REALM) => self.origin_realm = Some(avp.text()?),
            Some(avp::DESTINATION_HOST) => self.destination_host = Some(avp.text()?),
            Some(avp::DESTINATION_REALM) => self.destination_realm = Some(avp.text()?),
            Some(avp::PROXY_INFO) => self.proxy_info.push(Bytes::copy_from_slice(avp.data)),
            Some(avp::RESULT_CODE) => self.result = Some(ResultCode::Base(avp.unsigned32()?)),
            Some(avp::EXPERIMENTAL_RESULT) => self.result = Some(experimental_result(avp)?),
            Some(avp::USER_NAME) => once(&mut self.user_name, avp, avp.text()?)?,
            Some(avp::VISITED_NETWORK_IDENTIFIER) => once(&mut self.visited_network, avp, avp)?,
            Some(avp::PUBLIC_IDENTITY) => self.public_identities.push(avp.text()?),
            Some(avp::SERVER_NAME) => once(&mut self.server_name, avp, avp.text()?)?,
            Some(avp::SERVER_CAPABILITIES) => self.capabilities = Some(capabilities(avp)?),
            Some(avp::USER_DATA) => once(&mut self.user_data, avp, Bytes::copy_from_slice(avp.data))?,
            // An answer may bring several vectors; we asked for one and use the first.
            Some(avp::SIP_AUTH_DATA_ITEM) => _ = self.auth_data_item.get_or_insert(avp),
            Some(avp::SERVER_ASSIGNMENT_TYPE) => once(&mut self.assignment_type, avp, avp)?,
            Some(avp::DEREGISTRATION_REASON) => once(&mut self.deregistration_reason, avp, avp)?,
            Some(avp::CHARGING_INFORMATION) => self.charging = Some(charging(avp)?),
            Some(avp::USER_AUTHORIZATION_TYPE) => once(&mut self.authorization_type, avp, avp)?,
            Some(avp::USER_DATA_ALREADY_AVAILABLE) => {
                once(&mut self.user_data_already_available, avp, avp.unsigned32()?)?;
            }
            Some(avp::ASSOCIATED_IDENTITIES) => self.associated_identities.extend(user_names(avp)?),
            Some(avp::ORIGINATING_REQUEST) => self.is_originating = true,
            Some(avp::SCSCF_RESTORATION_INFO) => self.restoration.push(restoration(avp)?),
            // Known and of no use to us.
            Some(_) => {}
            // RFC 6733 §4.1: a request with an AVP that must be understood and is not is refused; an answer has done
            // its work already and is read as far as it goes.
            None if is_request && avp.is_mandatory => {
                return Err(avp.refuse(result::AVP_UNSUPPORTED, "an unknown AVP with the M bit"));
            }
            None => {}
        }
        Ok(())
    }

    fn envelope(&mut self, message: &Message) -> Result<Envelope, DecodeError> {
        // RFC 6733 §7.2: a protocol error made on the way may come without it.
        let session_id = match self.session_id {
            None if !message.header.is_request => "",
            session_id => require(session_id, avp::SESSION_ID)?,
        };
        Ok(Envelope {
            session_id: session_id.to_owned(),
            hop_by_hop: message.header.hop_by_hop,
            end_to_end: message.header.end_to_end,
            origin_host: require(self.origin_host, avp::ORIGIN_HOST)?.to_owned(),
            origin_realm: require(self.origin_realm, avp::ORIGIN_REALM)?.to_owned(),
            destination_host: self.destination_host.map(str::to_owned),
            destination_realm: self.destination_realm.map(str::to_owned),
            is_retransmitted: message.header.is_retransmitted,
            proxy_info: std::mem::take(&mut self.proxy_info),
            repeated_identities: None,
        })
    }

    fn request(self, message: &Message) -> Result<Request, DecodeError> {
        Ok(match message.header.command_code {
            command::USER_AUTHORIZATION => Request::UserAuthorization(UserAuthorizationRequest {
                private_identity: self.private_identity()?,
                public_identity: self.public_identity()?,
                // Defined as an OctetString, a name by convention: read leniently, compared by the HSS.
                visited_network: lossy(require(self.visited_network, avp::VISITED_NETWORK_IDENTIFIER)?.data),
                authorization_type: self.authorization_type()?,
            }),
            command::MULTIMEDIA_AUTHENTICATION => {
                Request::MultimediaAuthentication(MultimediaAuthenticationRequest {
                    private_identity: self.private_identity()?,
                    public_identity: self.public_identity()?,
                    server_name: self.server_name()?,
                    authentication: authentication_request(require(
                        self.auth_data_item,
                        avp::SIP_AUTH_DATA_ITEM,
                    )?)?,
                })
            }
            command::SERVER_ASSIGNMENT => Request::ServerAssignment(self.server_assignment_request()?),
            command::LOCATION_INFORMATION => Request::LocationInformation(LocationInformationRequest {
                public_identity: self.public_identity()?,
                originating: self.is_originating,
                with_capabilities: self.authorization_type()?
                    == UserAuthorizationType::RegistrationAndCapabilities,
            }),
            command::REGISTRATION_TERMINATION => self.registration_termination_request()?,
            command::PUSH_PROFILE => Request::PushProfile(PushProfileRequest {
                private_identity: self.private_identity()?,
                user_data: self.user_data,
                charging: self.charging,
            }),
            _ => return Err(DecodeError::plain(result::COMMAND_UNSUPPORTED, "no command of Cx")),
        })
    }

    fn server_assignment_request(mut self) -> Result<ServerAssignmentRequest, DecodeError> {
        // TS 29.228 table 6.1.2.1: one of the two identifies the user.
        if self.user_name.is_none() && self.public_identities.is_empty() {
            return Err(DecodeError::missing(avp::PUBLIC_IDENTITY));
        }
        let assignment_type = require(self.assignment_type, avp::SERVER_ASSIGNMENT_TYPE)?;
        let available = require(self.user_data_already_available, avp::USER_DATA_ALREADY_AVAILABLE)?;
        Ok(ServerAssignmentRequest {
            private_identity: self.user_name.map(str::to_owned),
            public_identities: self.public_identities.iter().map(|&identity| identity.to_owned()).collect(),
            server_name: self.server_name()?,
            assignment_type: ServerAssignmentType::from_wire(assignment_type.unsigned32()?).ok_or_else(
                || assignment_type.refuse(result::INVALID_AVP_VALUE, "no Server-Assignment-Type of ours"),
            )?,
            user_data_already_available: available != 0,
            restoration: if self.restoration.is_empty() {
                None
            } else {
                Some(self.restoration.swap_remove(0))
            },
        })
    }

    fn registration_termination_request(self) -> Result<Request, DecodeError> {
        let reason = require(self.deregistration_reason, avp::DEREGISTRATION_REASON)?;
        let (mut code, mut info) = (None, None);
        for member in reason.members() {
            let member = member?;
            if member.is(avp::REASON_CODE) {
                let known = DeregistrationReasonCode::from_wire(member.unsigned32()?);
                code = Some(known.ok_or_else(|| member.refuse(result::INVALID_AVP_VALUE, "no Reason-Code"))?);
            } else if member.is(avp::REASON_INFO) {
                info = Some(member.text()?.to_owned());
            }
        }
        Ok(Request::RegistrationTermination(RegistrationTerminationRequest {
            private_identity: self.private_identity()?,
            public_identities: self.public_identities.iter().map(|&identity| identity.to_owned()).collect(),
            reason: require(code, avp::REASON_CODE)?,
            reason_info: info,
        }))
    }

    fn answer(self, message: &Message) -> Result<Answer, DecodeError> {
        let result = require(self.result, avp::RESULT_CODE)?;
        let server_name = self.server_name.map(str::to_owned);
        Ok(match message.header.command_code {
            command::USER_AUTHORIZATION => Answer::UserAuthorization(UserAuthorizationAnswer {
                result,
                server_name,
                capabilities: self.capabilities,
            }),
            command::MULTIMEDIA_AUTHENTICATION => {
                Answer::MultimediaAuthentication(MultimediaAuthenticationAnswer {
                    result,
                    private_identity: self.user_name.map(str::to_owned),
                    vector: self.auth_data_item.map(authentication_vector).transpose()?,
                })
            }
            command::SERVER_ASSIGNMENT => Answer::ServerAssignment(ServerAssignmentAnswer {
                result,
                private_identity: self.user_name.map(str::to_owned),
                user_data: self.user_data,
                charging: self.charging,
                associated_identities: self.associated_identities,
                restoration: self.restoration,
            }),
            command::LOCATION_INFORMATION => Answer::LocationInformation(LocationInformationAnswer {
                result,
                server_name,
                capabilities: self.capabilities,
            }),
            command::REGISTRATION_TERMINATION => {
                Answer::RegistrationTermination(RegistrationTerminationAnswer {
                    result,
                    associated_identities: self.associated_identities,
                })
            }
            command::PUSH_PROFILE => Answer::PushProfile(PushProfileAnswer { result }),
            _ => return Err(DecodeError::plain(result::COMMAND_UNSUPPORTED, "no command of Cx")),
        })
    }

    fn private_identity(&self) -> Result<String, DecodeError> {
        require(self.user_name, avp::USER_NAME).map(str::to_owned)
    }

    fn public_identity(&self) -> Result<String, DecodeError> {
        require(self.public_identities.first().copied(), avp::PUBLIC_IDENTITY).map(str::to_owned)
    }

    fn server_name(&self) -> Result<String, DecodeError> {
        require(self.server_name, avp::SERVER_NAME).map(str::to_owned)
    }

    /// TS 29.228 table 6.1.1.1: registration when absent.
    fn authorization_type(&self) -> Result<UserAuthorizationType, DecodeError> {
        let Some(avp) = self.authorization_type else { return Ok(UserAuthorizationType::Registration) };
        UserAuthorizationType::from_wire(avp.unsigned32()?)
            .ok_or_else(|| avp.refuse(result::INVALID_AVP_VALUE, "no User-Authorization-Type"))
    }
}

/// Keeps the value of an AVP that may come once (5009).
fn once<T>(place: &mut Option<T>, avp: Avp<'_>, value: T) -> Result<(), DecodeError> {
    if place.replace(value).is_some() {
        return Err(avp.refuse(result::AVP_OCCURS_TOO_MANY_TIMES, "an AVP that may come once came twice"));
    }
    Ok(())
}

pub(super) fn require<T>(value: Option<T>, attribute: Attribute) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError::missing(attribute))
}

fn lossy(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}
