//! What an operator says and hears about subscribers: the JSON documents of the commands, shared with the CLI.
//!
//! [`Record::check`] is the one place where a provisioning record is judged; importers use it to name the line, the HSS
//! to name the position. Secrets go in and never come out: [`View`] has none, and [`SecretText`] does not print.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use sip::aka::{Op, Opc};
use sip::secret::Secret;

use crate::identity;
use crate::record;

/// How many records one `subscriber.put` may carry. More go into several requests, each of which is all or nothing.
pub const RECORDS_MAX: usize = 10_000;
/// How many subscribers one page of `subscriber.list` may have.
pub const PAGE_MAX: usize = 1000;
/// How many public identities a subscriber may have: bounds the profile document that every registration carries.
pub const PUBLIC_IDENTITIES_MAX: usize = 64;
/// By how much `sequence.jump` raises SEQ when nothing is said: a million registrations of one subscriber.
pub const JUMP_DEFAULT: u64 = 1 << 20;

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

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldError {
    /// Which field, such as `aka.k`.
    pub field: String,
    /// Why, and what to do.
    pub reason: String,
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), reason: reason.into() }
}

/// A record that has been judged.
pub(crate) struct Checked {
    pub(crate) private_identity: String,
    pub(crate) public_identities: Vec<record::PublicIdentity>,
    pub(crate) aka: Option<record::Aka>,
    pub(crate) digest: Option<record::Digest>,
    pub(crate) sequence_used: Option<u64>,
}

impl Record {
    /// Would the HSS take this record? Its own rules only: whether an identity belongs to somebody else is the store's.
    pub fn check(&self, home_domain: &str) -> Result<(), FieldError> {
        self.judge(home_domain).map(drop)
    }

    pub(crate) fn judge(&self, home_domain: &str) -> Result<Checked, FieldError> {
        let private_identity = self.private_identity.trim().to_owned();
        identity::check_private(&private_identity).map_err(|reason| wrong("privateIdentity", reason))?;
        if self.aka.is_none() && self.digest.is_none() {
            return Err(wrong(
                "aka",
                "no credential given; give aka (k and opc or op), digest (password or ha1), or both",
            ));
        }
        for (field, list) in [
            ("mandatoryCapabilities", &self.mandatory_capabilities),
            ("optionalCapabilities", &self.optional_capabilities),
        ] {
            if list.len() > PUBLIC_IDENTITIES_MAX {
                return Err(wrong(
                    field,
                    format!("{} given, at most {PUBLIC_IDENTITIES_MAX} are allowed", list.len()),
                ));
            }
        }
        Ok(Checked {
            public_identities: self.judge_public_identities()?,
            aka: self.aka.as_ref().map(Aka::judge).transpose()?,
            digest: self
                .digest
                .as_ref()
                .map(|digest| digest.judge(&private_identity, home_domain))
                .transpose()?,
            sequence_used: self
                .aka
                .as_ref()
                .and_then(|aka| aka.sqn)
                .map(|sqn| sqn >> crate::sequence::IND_BITS),
            private_identity,
        })
    }

    fn judge_public_identities(&self) -> Result<Vec<record::PublicIdentity>, FieldError> {
        let given = &self.public_identities;
        if given.is_empty() {
            return Err(wrong(
                "publicIdentities",
                "none given; give at least one, such as sip:alice@ims.example",
            ));
        }
        if given.len() > PUBLIC_IDENTITIES_MAX {
            let reason = format!("{} given, at most {PUBLIC_IDENTITIES_MAX} are allowed", given.len());
            return Err(wrong("publicIdentities", reason));
        }
        let mut judged: Vec<record::PublicIdentity> = Vec::with_capacity(given.len());
        for (position, identity) in given.iter().enumerate() {
            let field = || format!("publicIdentities[{position}].uri");
            let uri = identity::canonical(&identity.uri).map_err(|reason| {
                wrong(field(), format!("{reason}; write it as sip:user@domain or tel:+number"))
            })?;
            if judged.iter().any(|earlier| earlier.uri == uri) {
                return Err(wrong(field(), "it is given twice; name each identity once"));
            }
            judged.push(record::PublicIdentity {
                uri,
                is_barred: identity.barred,
                implicit_set: identity.implicit_set,
            });
        }
        Ok(judged)
    }
}

impl Aka {
    fn judge(&self) -> Result<record::Aka, FieldError> {
        let k = hex("aka.k", self.k.reveal())?;
        let opc = match (&self.op, &self.opc) {
            (None, Some(opc)) => hex("aka.opc", opc.reveal())?,
            (Some(op), None) => {
                let op = Op(Secret::new(hex("aka.op", op.reveal())?));
                *Opc::derive(&Secret::new(k), &op).0.reveal()
            }
            (None, None) => return Err(wrong("aka.opc", "neither op nor opc is given; give one of them")),
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "aka.op",
                    "op and opc are both given; give only one (opc is what most SIM cards are delivered with)",
                ));
            }
        };
        if let Some(sqn) = self.sqn.filter(|sqn| *sqn >= 1 << 48) {
            return Err(wrong(
                "aka.sqn",
                format!("{sqn} does not fit into 48 bits; give the SQN in decimal"),
            ));
        }
        Ok(record::Aka { k, opc, amf: hex("aka.amf", &self.amf)? })
    }
}

impl Digest {
    fn judge(&self, private_identity: &str, home_domain: &str) -> Result<record::Digest, FieldError> {
        let realm = self.realm.as_deref().map(str::trim).unwrap_or(home_domain);
        if realm.is_empty()
            || realm.len() > identity::LENGTH_MAX
            || realm.chars().any(|c| c.is_control() || c == '"')
        {
            return Err(wrong(
                "digest.realm",
                "a realm has 1 to 253 characters and no quotation mark; leave it out to use the home domain",
            ));
        }
        let (mut ha1_md5, mut ha1_sha256) = (None, None);
        if let Some(password) = &self.password {
            if self.ha1.is_some() || self.ha1_sha256.is_some() {
                return Err(wrong(
                    "digest.password",
                    "a password and a hash of one are both given; give only one",
                ));
            }
            if password.reveal().is_empty() {
                return Err(wrong("digest.password", "it is empty; give a password"));
            }
            let text = format!("{private_identity}:{realm}:{}", password.reveal());
            ha1_md5 = Some(md5::Md5::digest(text.as_bytes()).into());
            ha1_sha256 = Some(sha2::Sha256::digest(text.as_bytes()).into());
        }
        if let Some(ha1) = &self.ha1 {
            ha1_md5 = Some(hex("digest.ha1", ha1.reveal())?);
        }
        if let Some(ha1) = &self.ha1_sha256 {
            ha1_sha256 = Some(hex("digest.ha1Sha256", ha1.reveal())?);
        }
        let prefers_sha256 = match (self.algorithm, ha1_md5, ha1_sha256) {
            (_, None, None) => {
                return Err(wrong("digest.password", "none given; give password, ha1 or ha1Sha256"));
            }
            (Some(Algorithm::Md5), None, _) => {
                return Err(wrong(
                    "digest.ha1",
                    "the algorithm is MD5 and its hash is not given; give ha1, or algorithm SHA-256",
                ));
            }
            (Some(Algorithm::Sha256), _, None) => {
                return Err(wrong(
                    "digest.ha1Sha256",
                    "the algorithm is SHA-256 and its hash is not given; give ha1Sha256, or algorithm MD5",
                ));
            }
            (Some(Algorithm::Sha256), ..) | (None, None, Some(_)) => true,
            (Some(Algorithm::Md5), ..) | (None, Some(_), _) => false,
        };
        Ok(record::Digest { realm: realm.to_owned(), ha1_md5, ha1_sha256, prefers_sha256 })
    }
}

/// Reads `N` bytes of hex; blanks between digits are let pass, because key sheets are printed with them.
fn hex<const N: usize>(field: &str, text: &str) -> Result<[u8; N], FieldError> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(position) = digits.iter().position(|c| !c.is_ascii_hexdigit()) {
        // Not the character itself: a secret in the wrong field must not come back in a message.
        return Err(wrong(field, format!("character {} is not a hex digit (0-9, a-f)", position + 1)));
    }
    if digits.len() != 2 * N {
        return Err(wrong(field, format!("{} hex digits given, {} needed", digits.len(), 2 * N)));
    }
    let value = |c: char| c.to_digit(16).expect("all characters are hex digits") as u8;
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(changes: serde_json::Value, message: &str) {
        let mut document = serde_json::json!({
            "privateIdentity": "alice@ims.example",
            "publicIdentities": [{"uri": "sip:alice@ims.example"}],
            "aka": {"k": "465B5CE8B199B49FAA5F0A2EE238A6BC", "opc": "cd63cb71954a9f4e48a5994e37a02baf"},
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        let result = serde_json::from_value::<Record>(document).unwrap().check("ims.example");
        assert_eq!(result.map_err(|error| error.to_string()).err().unwrap_or_default(), message);
    }

    #[test]
    fn a_mistake_is_named_with_its_field_what_is_there_and_what_is_needed() {
        let k = "465B5CE8B199B49FAA5F0A2EE238A6BC";
        check(serde_json::json!({}), "");
        check(serde_json::json!({"aka": {"k": &k[2..], "opc": k}}), "aka.k: 30 hex digits given, 32 needed");
        check(
            serde_json::json!({"aka": {"k": k, "opc": k.replace('5', "x")}}),
            "aka.opc: character 3 is not a hex digit (0-9, a-f)",
        );
        check(serde_json::json!({"aka": {"k": k}}), "aka.opc: neither op nor opc is given; give one of them");
        check(
            serde_json::json!({"aka": {"k": k, "opc": k, "op": k}}),
            "aka.op: op and opc are both given; give only one (opc is what most SIM cards are delivered with)",
        );
        check(
            serde_json::json!({"aka": {"k": k, "opc": k, "amf": "80"}}),
            "aka.amf: 2 hex digits given, 4 needed",
        );
        check(
            serde_json::json!({"aka": {"k": k, "opc": k, "sqn": 1_u64 << 48}}),
            "aka.sqn: 281474976710656 does not fit into 48 bits; give the SQN in decimal",
        );
        check(
            serde_json::json!({"privateIdentity": ""}),
            "privateIdentity: it is empty; give it as user@realm",
        );
        check(
            serde_json::json!({"privateIdentity": "sip:a@b"}),
            "privateIdentity: a private identity is written user@realm, without a scheme",
        );
        check(
            serde_json::json!({"publicIdentities": []}),
            "publicIdentities: none given; give at least one, such as sip:alice@ims.example",
        );
        check(
            serde_json::json!({"publicIdentities": [{"uri": "sip:a@x"}, {"uri": "mailto:a@x"}]}),
            "publicIdentities[1].uri: the scheme must be sip or tel; write it as sip:user@domain or tel:+number",
        );
        check(
            serde_json::json!({"publicIdentities": [{"uri": "sip:a@x"}, {"uri": "sip:a@X;user=phone"}]}),
            "publicIdentities[1].uri: it is given twice; name each identity once",
        );
        check(
            serde_json::json!({"aka": null}),
            "aka: no credential given; give aka (k and opc or op), digest (password or ha1), or both",
        );
        check(
            serde_json::json!({"digest": {"realm": "x"}}),
            "digest.password: none given; give password, ha1 or ha1Sha256",
        );
    }

    #[test]
    fn a_typing_mistake_in_a_field_name_is_refused() {
        let text = r#"{"privateIdentity":"a@b","publicIdentities":[{"uri":"sip:a@b","bared":true}]}"#;
        assert!(
            serde_json::from_str::<Record>(text).unwrap_err().to_string().contains("unknown field `bared`")
        );
    }

    #[test]
    fn op_becomes_opc_as_in_test_set_1_of_ts_35_208() {
        let judged = record(
            r#"{"privateIdentity":"a@b","publicIdentities":[{"uri":"sip:a@b"}],
                "aka":{"k":"465b5ce8 b199b49f aa5f0a2e e238a6bc","op":"cdc202d5123e20f62b6d676ac72cb318"}}"#,
        )
        .judge("b");
        let opc = judged.ok().and_then(|judged| judged.aka).unwrap().opc;
        assert_eq!(sip::hex::encode(&opc), "cd63cb71954a9f4e48a5994e37a02baf");
    }

    #[test]
    fn a_password_becomes_both_hashes_with_the_home_domain_as_realm() {
        // RFC 7616 §3.9.1 gives these for its own realm and password.
        let judged = record(
            r#"{"privateIdentity":"Mufasa","publicIdentities":[{"uri":"sip:a@b"}],
                "digest":{"password":"Circle of Life","realm":"http-auth@example.org"}}"#,
        )
        .judge("ims.example");
        let digest = judged.ok().and_then(|judged| judged.digest).unwrap();
        assert_eq!(sip::hex::encode(&digest.ha1_md5.unwrap()), "3d78807defe7de2157e2b0b6573a855f");
        assert_eq!(
            sip::hex::encode(&digest.ha1_sha256.unwrap()),
            "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"
        );
        assert!(!digest.prefers_sha256);
    }

    #[test]
    fn a_secret_is_not_printed() {
        let record = record(
            r#"{"privateIdentity":"a@b","publicIdentities":[],"aka":{"k":"0123","op":"4567"},"digest":{"password":"hush"}}"#,
        );
        let printed = format!("{record:?}");
        for secret in ["0123", "4567", "hush"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
