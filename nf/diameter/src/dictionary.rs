//! The attributes we know by name: of the base protocol (RFC 6733 §4.5) and of Cx (TS 29.229 §6.3).
//!
//! An [`Attribute`] says how *we* send an AVP. A receiver looks at code and vendor only: peers differ in the M bit
//! (Kamailio leaves it out of Session-Id and Origin-Host), and nobody is helped by a refusal.

/// Code, vendor and M bit of an AVP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The AVP code.
    pub code: u32,
    /// The Vendor-Id; 0 for the base protocol, whose AVPs have no V bit.
    pub vendor: u32,
    /// Is the M bit set when we send it?
    pub is_mandatory: bool,
}

/// Vendor-Id of 3GPP.
pub const VENDOR_3GPP: u32 = 10415;
/// Application-Id of Cx and Dx.
pub const APPLICATION_CX: u32 = 16_777_216;
/// Application-Id of the base protocol: CER, DWR, DPR.
pub const APPLICATION_BASE: u32 = 0;
/// Application-Id that a relay advertises: it carries every application (RFC 6733 §2.4).
pub const APPLICATION_RELAY: u32 = 0xffff_ffff;

const fn base(code: u32) -> Attribute {
    Attribute { code, vendor: 0, is_mandatory: true }
}

const fn base_optional(code: u32) -> Attribute {
    Attribute { code, vendor: 0, is_mandatory: false }
}

const fn cx(code: u32) -> Attribute {
    Attribute { code, vendor: VENDOR_3GPP, is_mandatory: true }
}

const fn cx_optional(code: u32) -> Attribute {
    Attribute { code, vendor: VENDOR_3GPP, is_mandatory: false }
}

/// Declares the constants and [`find`] from one table, so that neither can forget the other.
macro_rules! attributes {
    ($($name:ident = $make:ident($code:literal);)*) => {
        $(#[doc = concat!("AVP ", stringify!($code), ".")] pub const $name: Attribute = $make($code);)*

        /// The attribute with this code and vendor, if we know it. A request with one that we do not know and that has
        /// the M bit set cannot be answered (RFC 6733 §4.1).
        pub const fn find(code: u32, vendor: u32) -> Option<Attribute> {
            match code {
                $($code if vendor == $name.vendor => Some($name),)*
                _ => None,
            }
        }
    };
}

attributes! {
    USER_NAME = base(1);
    FRAMED_IP_ADDRESS = base(8);
    PROXY_STATE = base(33);
    FRAMED_IPV6_PREFIX = base(97);
    DIGEST_REALM = base(104);
    DIGEST_QOP = base(110);
    DIGEST_ALGORITHM = base(111);
    DIGEST_HA1 = base(121);
    HOST_IP_ADDRESS = base(257);
    AUTH_APPLICATION_ID = base(258);
    ACCT_APPLICATION_ID = base(259);
    VENDOR_SPECIFIC_APPLICATION_ID = base(260);
    SESSION_ID = base(263);
    ORIGIN_HOST = base(264);
    SUPPORTED_VENDOR_ID = base(265);
    VENDOR_ID = base(266);
    RESULT_CODE = base(268);
    PRODUCT_NAME = base_optional(269);
    DISCONNECT_CAUSE = base(273);
    AUTH_SESSION_STATE = base(277);
    ORIGIN_STATE_ID = base(278);
    FAILED_AVP = base(279);
    PROXY_HOST = base(280);
    ERROR_MESSAGE = base_optional(281);
    ROUTE_RECORD = base(282);
    DESTINATION_REALM = base(283);
    PROXY_INFO = base(284);
    DESTINATION_HOST = base(293);
    ORIGIN_REALM = base(296);
    EXPERIMENTAL_RESULT = base(297);
    EXPERIMENTAL_RESULT_CODE = base(298);
    INBAND_SECURITY_ID = base(299);

    VISITED_NETWORK_IDENTIFIER = cx(600);
    PUBLIC_IDENTITY = cx(601);
    SERVER_NAME = cx(602);
    SERVER_CAPABILITIES = cx(603);
    MANDATORY_CAPABILITY = cx(604);
    OPTIONAL_CAPABILITY = cx(605);
    USER_DATA = cx(606);
    SIP_NUMBER_AUTH_ITEMS = cx(607);
    SIP_AUTHENTICATION_SCHEME = cx(608);
    SIP_AUTHENTICATE = cx(609);
    SIP_AUTHORIZATION = cx(610);
    SIP_AUTHENTICATION_CONTEXT = cx(611);
    SIP_AUTH_DATA_ITEM = cx(612);
    SIP_ITEM_NUMBER = cx(613);
    SERVER_ASSIGNMENT_TYPE = cx(614);
    DEREGISTRATION_REASON = cx(615);
    REASON_CODE = cx(616);
    REASON_INFO = cx(617);
    CHARGING_INFORMATION = cx(618);
    PRIMARY_EVENT_CHARGING_FUNCTION_NAME = cx(619);
    SECONDARY_EVENT_CHARGING_FUNCTION_NAME = cx(620);
    PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME = cx(621);
    SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME = cx(622);
    USER_AUTHORIZATION_TYPE = cx(623);
    USER_DATA_ALREADY_AVAILABLE = cx(624);
    CONFIDENTIALITY_KEY = cx(625);
    INTEGRITY_KEY = cx(626);
    SUPPORTED_FEATURES = cx_optional(628);
    FEATURE_LIST_ID = cx_optional(629);
    FEATURE_LIST = cx_optional(630);
    SUPPORTED_APPLICATIONS = cx(631);
    ASSOCIATED_IDENTITIES = cx(632);
    ORIGINATING_REQUEST = cx(633);
    WILDCARDED_PSI = cx_optional(634);
    SIP_DIGEST_AUTHENTICATE = cx_optional(635);
    WILDCARDED_IDENTITY = cx_optional(636);
    UAR_FLAGS = cx_optional(637);
    LOOSE_ROUTE_INDICATION = cx_optional(638);
    SCSCF_RESTORATION_INFO = cx_optional(639);
    PATH = cx_optional(640);
    CONTACT = cx_optional(641);
    SUBSCRIPTION_INFO = cx_optional(642);
    CALL_ID_SIP_HEADER = cx_optional(643);
    FROM_SIP_HEADER = cx_optional(644);
    TO_SIP_HEADER = cx_optional(645);
    RECORD_ROUTE = cx_optional(646);
    ASSOCIATED_REGISTERED_IDENTITIES = cx_optional(647);
    MULTIPLE_REGISTRATION_INDICATION = cx_optional(648);
    RESTORATION_INFO = cx_optional(649);
    SESSION_PRIORITY = cx_optional(650);
    IDENTITY_WITH_EMERGENCY_REGISTRATION = cx_optional(651);
    PRIVILEDGED_SENDER_INDICATION = cx_optional(652);
    LIA_FLAGS = cx_optional(653);
    INITIAL_CSEQ_SEQUENCE_NUMBER = cx_optional(654);
    SAR_FLAGS = cx_optional(655);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_avp_is_known_by_code_and_vendor_together() {
        assert_eq!(find(601, VENDOR_3GPP), Some(PUBLIC_IDENTITY));
        assert_eq!(find(263, 0), Some(SESSION_ID));
        assert_eq!(find(601, 0), None);
        assert_eq!(find(263, VENDOR_3GPP), None);
    }
}
