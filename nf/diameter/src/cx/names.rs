//! Numbers and names of commands, results and enumerations (TS 29.229 §6.1.1, §6.2, §6.3; RFC 6733 §7.1).

use super::*;

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
    /// Its name in TS 29.229 §6.3.15.
    pub fn name(self) -> &'static str {
        match self {
            ServerAssignmentType::NoAssignment => "NO_ASSIGNMENT",
            ServerAssignmentType::Registration => "REGISTRATION",
            ServerAssignmentType::ReRegistration => "RE_REGISTRATION",
            ServerAssignmentType::UnregisteredUser => "UNREGISTERED_USER",
            ServerAssignmentType::TimeoutDeregistration => "TIMEOUT_DEREGISTRATION",
            ServerAssignmentType::UserDeregistration => "USER_DEREGISTRATION",
            ServerAssignmentType::TimeoutDeregistrationStoreServerName => {
                "TIMEOUT_DEREGISTRATION_STORE_SERVER_NAME"
            }
            ServerAssignmentType::UserDeregistrationStoreServerName => {
                "USER_DEREGISTRATION_STORE_SERVER_NAME"
            }
            ServerAssignmentType::AdministrativeDeregistration => "ADMINISTRATIVE_DEREGISTRATION",
            ServerAssignmentType::AuthenticationFailure => "AUTHENTICATION_FAILURE",
            ServerAssignmentType::AuthenticationTimeout => "AUTHENTICATION_TIMEOUT",
            ServerAssignmentType::DeregistrationTooMuchData => "DEREGISTRATION_TOO_MUCH_DATA",
        }
    }

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
