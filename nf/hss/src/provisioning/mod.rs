//! What an operator says and hears about subscribers: the JSON documents of the commands, shared with the CLI.
//!
//! [`Record::check`] is the one place where a provisioning record is judged; importers use it to name the line, the HSS
//! to name the position. Secrets go in and never come out: [`View`] has none, and [`SecretText`] does not print.

mod judge;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use judge::{Checked, hex};

/// How many records one `subscriber.put` may carry. More go into several requests, each of which is all or nothing.
pub const RECORDS_MAX: usize = 10_000;
/// How many subscribers one page of `subscriber.list` may have.
pub const PAGE_MAX: usize = 1000;
/// How many public identities a subscriber may have: bounds the profile document that every registration carries.
pub const PUBLIC_IDENTITIES_MAX: usize = 64;
/// By how much `sequence.jump` raises SEQ when nothing is said: a million registrations of one subscriber.
pub const JUMP_DEFAULT: u64 = 1 << 20;
/// The most one jump may add: a SIM accepts 2²⁸ at once, and the elapsed time comes on top.
pub const JUMP_MAX: u64 = 1 << 27;

/// A secret as text: `Debug` prints a redaction.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        SecretText(text.into())
    }

    /// The secret, for computing with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// By hand, because the usual message about a wrong type repeats the value.
impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer);
        text.map(SecretText)
            .map_err(|_| serde::de::Error::custom("a secret must be a text: put it in quotation marks"))
    }
}

/// One subscriber, as given to `subscriber.put` (a list of these) and in YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Record {
    /// The private identity (IMPI), `user@realm`.
    pub private_identity: String,
    /// The public identities (IMPU). The first that is not barred is the default identity.
    pub public_identities: Vec<PublicIdentity>,
    /// AKA credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aka: Option<Aka>,
    /// Digest credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Does somebody serve this subscriber while no device is registered (a mailbox)? Calls then go to an S-CSCF.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unregistered_services: bool,
    /// Capabilities the S-CSCF must have (Mandatory-Capability).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mandatory_capabilities: Vec<u32>,
    /// Capabilities the S-CSCF had better have (Optional-Capability).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional_capabilities: Vec<u32>,
}

/// A public identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PublicIdentity {
    /// A `sip:` or `tel:` URI.
    pub uri: String,
    /// Barred identities serve for registration only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub barred: bool,
    /// Identities with the same number register together.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub implicit_set: u8,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

impl From<&str> for PublicIdentity {
    fn from(uri: &str) -> Self {
        PublicIdentity { uri: uri.into(), barred: false, implicit_set: 0 }
    }
}

/// An AKA credential: K, and one of OP and OPc.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Aka {
    /// The SIM's key, 32 hex digits.
    pub k: SecretText,
    /// The operator's constant, 32 hex digits; OPc is computed from it and K.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<SecretText>,
    /// OPc, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opc: Option<SecretText>,
    /// The authentication management field, 4 hex digits.
    #[serde(default = "default_amf")]
    pub amf: String,
    /// The last SQN that another core has used for this SIM (48 bits): ours begin after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqn: Option<u64>,
}

/// What most SIMs and cores use (TS 33.401: the separation bit).
pub fn default_amf() -> String {
    "8000".into()
}

/// A digest credential: a password, or hashes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Digest {
    /// The password; only its hashes are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
    /// MD5(private identity ":" realm ":" password), 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ha1: Option<SecretText>,
    /// SHA-256 of the same, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ha1_sha256: Option<SecretText>,
    /// The realm; the home domain when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The algorithm to challenge with; MD5 where it is not given and its hash is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
}

/// A digest algorithm (RFC 7616).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// MD5.
    #[serde(rename = "MD5")]
    Md5,
    /// SHA-256.
    #[serde(rename = "SHA-256")]
    Sha256,
}

/// Which subscriber a command is about: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Selector {
    /// By private identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_identity: Option<String>,
    /// By any of its public identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_identity: Option<String>,
}

/// A subscriber as shown to people: no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct View {
    /// The private identity.
    pub private_identity: String,
    /// Its public identities.
    pub public_identities: Vec<PublicIdentityView>,
    /// Is there an AKA credential?
    pub has_aka: bool,
    /// Is there a digest credential?
    pub has_digest: bool,
    /// See [`Record::unregistered_services`].
    pub unregistered_services: bool,
    /// The S-CSCF assigned.
    pub server_name: Option<String>,
}

/// A public identity as shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PublicIdentityView {
    /// Its canonical URI.
    pub uri: String,
    /// Is it barred?
    pub barred: bool,
    /// Its implicit set.
    pub implicit_set: u8,
    /// Its state.
    pub state: RegistrationState,
}

/// The state of a public identity (TS 29.228 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "names of TS 29.228")]
pub enum RegistrationState {
    NotRegistered,
    Registered,
    Unregistered,
}

/// What `subscriber.list` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ListRequest {
    /// Begin after this private identity: the `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many; [`PAGE_MAX`] when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// One page of subscribers, ordered by private identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Page {
    /// The subscribers.
    pub subscribers: Vec<View>,
    /// What to ask for as `after`; `None` on the last page.
    pub next: Option<String>,
}

/// What `subscriber.put` did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PutResult {
    /// How many were new.
    pub added: u64,
    /// How many replaced one that was there.
    pub replaced: u64,
}

/// What `subscriber.deregister` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DeregisterRequest {
    /// By private identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_identity: Option<String>,
    /// By any of its public identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_identity: Option<String>,
    /// Told to the S-CSCF and the device (Reason-Info).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What `subscriber.deregister` and `subscriber.remove` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TerminationResult {
    /// Was an S-CSCF serving the subscriber?
    pub was_registered: bool,
    /// Why the S-CSCF could not be told, if so. The HSS has forgotten the registration all the same.
    pub warning: Option<String>,
}

/// What `subscriber.count` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Count {
    /// Subscribers.
    pub subscribers: u64,
    /// Of these, how many have a registered identity.
    pub registered: u64,
}

/// What `sequence.jump` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct JumpRequest {
    /// By at least how much to raise SEQ; [`JUMP_DEFAULT`] when not given. See [`crate::command`] on what is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<u64>,
}

/// What `sequence.jump` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JumpResult {
    /// By how much SEQ is now raised for all subscribers, all jumps together.
    pub offset: u64,
}

/// What `subscriber.check` is asked: a captured REGISTER, as a whole or by its Authorization field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CheckRequest {
    /// The REGISTER as text. Wins over `authorization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    /// The value of its Authorization field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<String>,
    /// The method that the credentials were made for; REGISTER when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The subscriber to compare with; when not given, the user name of the credentials or else the To of the REGISTER.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_identity: Option<String>,
    /// What is known of the device's SIM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sim: Option<SimValues>,
    /// What the device's password is thought to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretText>,
}

/// What is written on the SIM's data sheet; any of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct SimValues {
    /// K, 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<SecretText>,
    /// OP, 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<SecretText>,
    /// OPc, 32 hex digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opc: Option<SecretText>,
}

/// What `subscriber.check` has found. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CheckResult {
    /// The subscriber that the REGISTER was compared with; `None` when there is none.
    pub private_identity: Option<String>,
    /// What there is to say, the most important first.
    pub findings: Vec<CheckFinding>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CheckFinding {
    /// A constant word, such as `wrong-password`.
    pub code: String,
    /// What it is and what to do.
    pub text: String,
    /// Is it a fault, rather than the absence of one or of evidence?
    pub is_fault: bool,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldError {
    /// Which field, such as `aka.k`.
    pub field: String,
    /// Why, and what to do.
    pub reason: String,
}
