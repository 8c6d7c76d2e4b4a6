//! The six Cx commands as types (TS 29.228, TS 29.229). Application 16777216, vendor 10415.
//!
//! A request here is what the two functions say to each other; Session-Id, hosts, realms, hop-by-hop and end-to-end
//! identifiers stand in its [`Envelope`], which [`crate::peer`] fills in.

pub(crate) mod decode;
pub(crate) mod encode;
mod envelope;
mod groups;
mod names;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use decode::{decode_answer, decode_request};
pub use envelope::Envelope;
pub use names::command;

/// What went wrong or right: Result-Code (RFC 6733) or Experimental-Result (TS 29.229 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultCode {
    /// A Result-Code AVP.
    Base(u32),
    /// An Experimental-Result of vendor 10415.
    Experimental(u32),
}

impl ResultCode {
    /// DIAMETER_SUCCESS.
    pub const SUCCESS: ResultCode = ResultCode::Base(2001);
    /// DIAMETER_UNABLE_TO_DELIVER.
    pub const UNABLE_TO_DELIVER: ResultCode = ResultCode::Base(3002);
    /// DIAMETER_TOO_BUSY.
    pub const TOO_BUSY: ResultCode = ResultCode::Base(3004);
    /// DIAMETER_AUTHORIZATION_REJECTED.
    pub const AUTHORIZATION_REJECTED: ResultCode = ResultCode::Base(5003);
    /// DIAMETER_MISSING_AVP.
    pub const MISSING_AVP: ResultCode = ResultCode::Base(5005);
    /// DIAMETER_UNABLE_TO_COMPLY.
    pub const UNABLE_TO_COMPLY: ResultCode = ResultCode::Base(5012);
    /// DIAMETER_FIRST_REGISTRATION.
    pub const FIRST_REGISTRATION: ResultCode = ResultCode::Experimental(2001);
    /// DIAMETER_SUBSEQUENT_REGISTRATION.
    pub const SUBSEQUENT_REGISTRATION: ResultCode = ResultCode::Experimental(2002);
    /// DIAMETER_UNREGISTERED_SERVICE.
    pub const UNREGISTERED_SERVICE: ResultCode = ResultCode::Experimental(2003);
    /// DIAMETER_SUCCESS_SERVER_NAME_NOT_STORED.
    pub const SERVER_NAME_NOT_STORED: ResultCode = ResultCode::Experimental(2004);
    /// DIAMETER_ERROR_USER_UNKNOWN.
    pub const USER_UNKNOWN: ResultCode = ResultCode::Experimental(5001);
    /// DIAMETER_ERROR_IDENTITIES_DONT_MATCH.
    pub const IDENTITIES_DONT_MATCH: ResultCode = ResultCode::Experimental(5002);
    /// DIAMETER_ERROR_IDENTITY_NOT_REGISTERED.
    pub const IDENTITY_NOT_REGISTERED: ResultCode = ResultCode::Experimental(5003);
    /// DIAMETER_ERROR_ROAMING_NOT_ALLOWED.
    pub const ROAMING_NOT_ALLOWED: ResultCode = ResultCode::Experimental(5004);
    /// DIAMETER_ERROR_IDENTITY_ALREADY_REGISTERED.
    pub const IDENTITY_ALREADY_REGISTERED: ResultCode = ResultCode::Experimental(5005);
    /// DIAMETER_ERROR_AUTH_SCHEME_NOT_SUPPORTED.
    pub const AUTH_SCHEME_NOT_SUPPORTED: ResultCode = ResultCode::Experimental(5006);
    /// DIAMETER_ERROR_IN_ASSIGNMENT_TYPE.
    pub const IN_ASSIGNMENT_TYPE: ResultCode = ResultCode::Experimental(5007);

    /// Is it a success (2xxx)?
    pub fn is_success(self) -> bool {
        let (ResultCode::Base(code) | ResultCode::Experimental(code)) = self;
        (2000..3000).contains(&code)
    }
}

/// User-Authorization-Type (AVP 623).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of TS 29.229 §6.3.24")]
pub enum UserAuthorizationType {
    #[default]
    Registration,
    DeRegistration,
    RegistrationAndCapabilities,
}

/// Server-Assignment-Type (AVP 614), TS 29.229 §6.3.15; the discriminants are the wire values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "names of TS 29.229 §6.3.15")]
#[repr(u32)]
pub enum ServerAssignmentType {
    NoAssignment = 0,
    Registration = 1,
    ReRegistration = 2,
    UnregisteredUser = 3,
    TimeoutDeregistration = 4,
    UserDeregistration = 5,
    TimeoutDeregistrationStoreServerName = 6,
    UserDeregistrationStoreServerName = 7,
    AdministrativeDeregistration = 8,
    AuthenticationFailure = 9,
    AuthenticationTimeout = 10,
    DeregistrationTooMuchData = 11,
}

/// Reason-Code (AVP 616); the discriminants are the wire values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of TS 29.229 §6.3.17")]
#[repr(u32)]
pub enum DeregistrationReasonCode {
    PermanentTermination = 0,
    NewServerAssigned = 1,
    ServerChange = 2,
    RemoveSCscf = 3,
}

/// Server-Capabilities (AVP 603).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerCapabilities {
    /// Capabilities the S-CSCF must have.
    pub mandatory: Vec<u32>,
    /// Capabilities it had better have.
    pub optional: Vec<u32>,
    /// S-CSCFs the HSS proposes.
    pub server_names: Vec<String>,
}

/// One contact's share of SCSCF-Restoration-Info (AVP 649).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestorationInfo {
    /// The Path values, comma-joined.
    pub path: String,
    /// The Contact header value as registered, with its parameters (`expires` as an absolute wall time in
    /// the private parameter the S-CSCF chooses).
    pub contact: String,
    /// The device's own reg-event subscription.
    pub subscription: Option<SubscriptionInfo>,
}

/// Subscription-Info (AVP 642).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the SIP header field of its name")]
pub struct SubscriptionInfo {
    pub call_id: String,
    pub from: String,
    pub to: String,
    pub record_route: String,
    pub contact: String,
}

/// SCSCF-Restoration-Info (AVP 639) of one private identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScscfRestorationInfo {
    /// User-Name.
    pub private_identity: String,
    /// One for each registered contact.
    pub contacts: Vec<RestorationInfo>,
}

/// Charging-Information (AVP 618).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of TS 29.229 §6.3.19 to 22")]
pub struct ChargingInformation {
    pub primary_event_charging_function_name: Option<String>,
    pub secondary_event_charging_function_name: Option<String>,
    pub primary_charging_collection_function_name: Option<String>,
    pub secondary_charging_collection_function_name: Option<String>,
}

/// SIP-Auth-Data-Item (AVP 612) in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthenticationRequest {
    /// SIP-Authentication-Scheme: `Digest-AKAv1-MD5`, `SIP Digest`, `Unknown`.
    pub scheme: String,
    /// SIP-Authorization: RAND‖AUTS at resynchronisation.
    pub resynchronisation: Option<[u8; 30]>,
}

/// SIP-Auth-Data-Item (AVP 612) in an answer.
#[derive(Clone, PartialEq, Eq)]
pub enum AuthenticationVector {
    /// Digest-AKAv1-MD5.
    Aka {
        /// RAND‖AUTN.
        rand_autn: [u8; 32],
        /// XRES, 4 to 16 bytes.
        xres: Vec<u8>,
        /// CK.
        confidentiality_key: [u8; 16],
        /// IK.
        integrity_key: [u8; 16],
    },
    /// SIP Digest (AVP 635).
    Digest {
        /// Digest-Realm.
        realm: String,
        /// Algorithm: `MD5` or `SHA-256`.
        algorithm: String,
        /// QoP.
        qop: String,
        /// HA1 in lower-case hex.
        ha1: String,
    },
}

impl std::fmt::Debug for AuthenticationVector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            AuthenticationVector::Aka { .. } => "Aka(secret)",
            AuthenticationVector::Digest { .. } => "Digest(secret)",
        })
    }
}

/// A Cx request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// UAR, I-CSCF to HSS.
    UserAuthorization(UserAuthorizationRequest),
    /// MAR, S-CSCF to HSS.
    MultimediaAuthentication(MultimediaAuthenticationRequest),
    /// SAR, S-CSCF to HSS.
    ServerAssignment(ServerAssignmentRequest),
    /// LIR, I-CSCF to HSS.
    LocationInformation(LocationInformationRequest),
    /// RTR, HSS to S-CSCF.
    RegistrationTermination(RegistrationTerminationRequest),
    /// PPR, HSS to S-CSCF.
    PushProfile(PushProfileRequest),
}

/// A Cx answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// UAA.
    UserAuthorization(UserAuthorizationAnswer),
    /// MAA.
    MultimediaAuthentication(MultimediaAuthenticationAnswer),
    /// SAA.
    ServerAssignment(ServerAssignmentAnswer),
    /// LIA.
    LocationInformation(LocationInformationAnswer),
    /// RTA.
    RegistrationTermination(RegistrationTerminationAnswer),
    /// PPA.
    PushProfile(PushProfileAnswer),
}

/// UAR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name; private_identity is User-Name")]
pub struct UserAuthorizationRequest {
    pub private_identity: String,
    pub public_identity: String,
    pub visited_network: String,
    pub authorization_type: UserAuthorizationType,
}

/// UAA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct UserAuthorizationAnswer {
    pub result: ResultCode,
    pub server_name: Option<String>,
    pub capabilities: Option<ServerCapabilities>,
}

/// MAR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct MultimediaAuthenticationRequest {
    pub private_identity: String,
    pub public_identity: String,
    pub server_name: String,
    pub authentication: AuthenticationRequest,
}

/// MAA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct MultimediaAuthenticationAnswer {
    pub result: ResultCode,
    /// User-Name: whose vector it is, when the HSS knows better than the request.
    pub private_identity: Option<String>,
    pub vector: Option<AuthenticationVector>,
}

/// SAR.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct ServerAssignmentRequest {
    pub private_identity: Option<String>,
    pub public_identities: Vec<String>,
    pub server_name: String,
    pub assignment_type: ServerAssignmentType,
    /// User-Data-Already-Available: the S-CSCF has the profile, do not send it.
    pub user_data_already_available: bool,
    pub restoration: Option<ScscfRestorationInfo>,
}

/// SAA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct ServerAssignmentAnswer {
    pub result: ResultCode,
    pub private_identity: Option<String>,
    /// User-Data: the profile document of TS 29.228 annex B.
    pub user_data: Option<Bytes>,
    pub charging: Option<ChargingInformation>,
    pub associated_identities: Vec<String>,
    pub restoration: Vec<ScscfRestorationInfo>,
}

/// LIR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct LocationInformationRequest {
    pub public_identity: String,
    pub originating: bool,
    /// User-Authorization-Type 2: send capabilities although a server is assigned.
    pub with_capabilities: bool,
}

/// LIA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct LocationInformationAnswer {
    pub result: ResultCode,
    pub server_name: Option<String>,
    pub capabilities: Option<ServerCapabilities>,
}

/// RTR.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct RegistrationTerminationRequest {
    pub private_identity: String,
    pub public_identities: Vec<String>,
    pub reason: DeregistrationReasonCode,
    pub reason_info: Option<String>,
}

/// RTA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct RegistrationTerminationAnswer {
    pub result: ResultCode,
    pub associated_identities: Vec<String>,
}

/// PPR.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct PushProfileRequest {
    pub private_identity: String,
    pub user_data: Option<Bytes>,
    pub charging: Option<ChargingInformation>,
}

/// PPA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the AVP of its name")]
pub struct PushProfileAnswer {
    pub result: ResultCode,
}

impl Answer {
    /// The result of any answer.
    pub fn result(&self) -> ResultCode {
        match self {
            Answer::UserAuthorization(answer) => answer.result,
            Answer::MultimediaAuthentication(answer) => answer.result,
            Answer::ServerAssignment(answer) => answer.result,
            Answer::LocationInformation(answer) => answer.result,
            Answer::RegistrationTermination(answer) => answer.result,
            Answer::PushProfile(answer) => answer.result,
        }
    }
}

#[cfg(test)]
mod tests;
