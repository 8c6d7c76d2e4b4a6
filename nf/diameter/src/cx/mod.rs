//! The six Cx commands as types (TS 29.228, TS 29.229). Application 16777216, vendor 10415.
//!
//! A request here is what the two functions say to each other; Session-Id, hosts, realms, hop-by-hop and end-to-end
//! identifiers stand in its [`Envelope`], which [`crate::peer`] fills in.

pub(crate) mod decode;
pub(crate) mod encode;
mod envelope;

use bytes::Bytes;

pub use decode::{decode_answer, decode_request};
pub use envelope::Envelope;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Command codes of Cx (TS 29.229 §6.1.1).
#[expect(missing_docs, reason = "names of TS 29.229 §6.1.1, without the direction")]
pub mod command {
    pub const USER_AUTHORIZATION: u32 = 300;
    pub const SERVER_ASSIGNMENT: u32 = 301;
    pub const LOCATION_INFORMATION: u32 = 302;
    pub const MULTIMEDIA_AUTHENTICATION: u32 = 303;
    pub const REGISTRATION_TERMINATION: u32 = 304;
    pub const PUSH_PROFILE: u32 = 305;
}

impl Request {
    /// Its command code.
    pub fn command_code(&self) -> u32 {
        match self {
            Request::UserAuthorization(_) => command::USER_AUTHORIZATION,
            Request::MultimediaAuthentication(_) => command::MULTIMEDIA_AUTHENTICATION,
            Request::ServerAssignment(_) => command::SERVER_ASSIGNMENT,
            Request::LocationInformation(_) => command::LOCATION_INFORMATION,
            Request::RegistrationTermination(_) => command::REGISTRATION_TERMINATION,
            Request::PushProfile(_) => command::PUSH_PROFILE,
        }
    }

    /// Its abbreviation: `UAR`, `MAR` …
    pub fn name(&self) -> &'static str {
        match self {
            Request::UserAuthorization(_) => "UAR",
            Request::MultimediaAuthentication(_) => "MAR",
            Request::ServerAssignment(_) => "SAR",
            Request::LocationInformation(_) => "LIR",
            Request::RegistrationTermination(_) => "RTR",
            Request::PushProfile(_) => "PPR",
        }
    }

    /// The private identity it is about, if it names one.
    pub fn private_identity(&self) -> Option<&str> {
        match self {
            Request::UserAuthorization(request) => Some(&request.private_identity),
            Request::MultimediaAuthentication(request) => Some(&request.private_identity),
            Request::ServerAssignment(request) => request.private_identity.as_deref(),
            Request::LocationInformation(_) => None,
            Request::RegistrationTermination(request) => Some(&request.private_identity),
            Request::PushProfile(request) => Some(&request.private_identity),
        }
    }

    /// The first public identity it is about, if it names one.
    pub fn public_identity(&self) -> Option<&str> {
        match self {
            Request::UserAuthorization(request) => Some(&request.public_identity),
            Request::MultimediaAuthentication(request) => Some(&request.public_identity),
            Request::ServerAssignment(request) => request.public_identities.first().map(String::as_str),
            Request::LocationInformation(request) => Some(&request.public_identity),
            Request::RegistrationTermination(request) => {
                request.public_identities.first().map(String::as_str)
            }
            Request::PushProfile(_) => None,
        }
    }
}

impl Answer {
    /// Its command code, that of the request.
    pub fn command_code(&self) -> u32 {
        match self {
            Answer::UserAuthorization(_) => command::USER_AUTHORIZATION,
            Answer::MultimediaAuthentication(_) => command::MULTIMEDIA_AUTHENTICATION,
            Answer::ServerAssignment(_) => command::SERVER_ASSIGNMENT,
            Answer::LocationInformation(_) => command::LOCATION_INFORMATION,
            Answer::RegistrationTermination(_) => command::REGISTRATION_TERMINATION,
            Answer::PushProfile(_) => command::PUSH_PROFILE,
        }
    }

    /// Its abbreviation: `UAA`, `MAA` …
    pub fn name(&self) -> &'static str {
        match self {
            Answer::UserAuthorization(_) => "UAA",
            Answer::MultimediaAuthentication(_) => "MAA",
            Answer::ServerAssignment(_) => "SAA",
            Answer::LocationInformation(_) => "LIA",
            Answer::RegistrationTermination(_) => "RTA",
            Answer::PushProfile(_) => "PPA",
        }
    }
}

impl UserAuthorizationType {
    pub(crate) fn to_wire(self) -> u32 {
        match self {
            UserAuthorizationType::Registration => 0,
            UserAuthorizationType::DeRegistration => 1,
            UserAuthorizationType::RegistrationAndCapabilities => 2,
        }
    }

    pub(crate) fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => UserAuthorizationType::Registration,
            1 => UserAuthorizationType::DeRegistration,
            2 => UserAuthorizationType::RegistrationAndCapabilities,
            _ => return None,
        })
    }
}

impl ServerAssignmentType {
    pub(crate) fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => ServerAssignmentType::NoAssignment,
            1 => ServerAssignmentType::Registration,
            2 => ServerAssignmentType::ReRegistration,
            3 => ServerAssignmentType::UnregisteredUser,
            4 => ServerAssignmentType::TimeoutDeregistration,
            5 => ServerAssignmentType::UserDeregistration,
            6 => ServerAssignmentType::TimeoutDeregistrationStoreServerName,
            7 => ServerAssignmentType::UserDeregistrationStoreServerName,
            8 => ServerAssignmentType::AdministrativeDeregistration,
            9 => ServerAssignmentType::AuthenticationFailure,
            10 => ServerAssignmentType::AuthenticationTimeout,
            11 => ServerAssignmentType::DeregistrationTooMuchData,
            _ => return None,
        })
    }
}

impl DeregistrationReasonCode {
    pub(crate) fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => DeregistrationReasonCode::PermanentTermination,
            1 => DeregistrationReasonCode::NewServerAssigned,
            2 => DeregistrationReasonCode::ServerChange,
            3 => DeregistrationReasonCode::RemoveSCscf,
            _ => return None,
        })
    }
}

impl std::fmt::Display for ResultCode {
    /// `2001 SUCCESS`, `2001 FIRST_REGISTRATION`: the words tell the two number ranges apart.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (code, name) = match *self {
            ResultCode::Base(code) => (code, base_name(code)),
            ResultCode::Experimental(code) => (code, experimental_name(code)),
        };
        write!(f, "{code} {name}")
    }
}

/// RFC 6733 §7.1.
fn base_name(code: u32) -> &'static str {
    match code {
        2001 => "SUCCESS",
        3001 => "COMMAND_UNSUPPORTED",
        3002 => "UNABLE_TO_DELIVER",
        3003 => "REALM_NOT_SERVED",
        3004 => "TOO_BUSY",
        3007 => "APPLICATION_UNSUPPORTED",
        3008 => "INVALID_HDR_BITS",
        3010 => "UNKNOWN_PEER",
        4002 => "OUT_OF_SPACE",
        5001 => "AVP_UNSUPPORTED",
        5003 => "AUTHORIZATION_REJECTED",
        5004 => "INVALID_AVP_VALUE",
        5005 => "MISSING_AVP",
        5009 => "AVP_OCCURS_TOO_MANY_TIMES",
        5010 => "NO_COMMON_APPLICATION",
        5012 => "UNABLE_TO_COMPLY",
        5014 => "INVALID_AVP_LENGTH",
        _ => "(base)",
    }
}

/// TS 29.229 §6.2.
fn experimental_name(code: u32) -> &'static str {
    match code {
        2001 => "FIRST_REGISTRATION",
        2002 => "SUBSEQUENT_REGISTRATION",
        2003 => "UNREGISTERED_SERVICE",
        2004 => "SUCCESS_SERVER_NAME_NOT_STORED",
        5001 => "ERROR_USER_UNKNOWN",
        5002 => "ERROR_IDENTITIES_DONT_MATCH",
        5003 => "ERROR_IDENTITY_NOT_REGISTERED",
        5004 => "ERROR_ROAMING_NOT_ALLOWED",
        5005 => "ERROR_IDENTITY_ALREADY_REGISTERED",
        5006 => "ERROR_AUTH_SCHEME_NOT_SUPPORTED",
        5007 => "ERROR_IN_ASSIGNMENT_TYPE",
        5008 => "ERROR_TOO_MUCH_DATA",
        5009 => "ERROR_NOT_SUPPORTED_USER_DATA",
        5011 => "ERROR_FEATURE_UNSUPPORTED",
        _ => "(3GPP)",
    }
}

#[cfg(test)]
mod tests;
