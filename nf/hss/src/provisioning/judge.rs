//! What makes a provisioning record one that the HSS takes, and what is said when it is not: which field, what is there,
//! what is needed. Messages never repeat a secret.

use sha2::Digest as _;
use sip::aka::{Op, Opc};
use sip::secret::Secret;

use super::{Aka, Algorithm, Digest, FieldError, PUBLIC_IDENTITIES_MAX, Record};
use crate::{identity, record};

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
        let (opc, op) = match (&self.op, &self.opc) {
            (None, Some(opc)) => (hex("aka.opc", opc.reveal())?, None),
            (Some(op), None) => {
                let op = hex("aka.op", op.reveal())?;
                (*Opc::derive(&Secret::new(k), &Op(Secret::new(op))).0.reveal(), Some(op))
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
        Ok(record::Aka { k, opc, amf: hex("aka.amf", &self.amf)?, op })
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
pub(crate) fn hex<const N: usize>(field: &str, text: &str) -> Result<[u8; N], FieldError> {
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

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), reason: reason.into() }
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
            serde_json::json!({"privateIdentity": "alice@"}),
            "privateIdentity: user or realm is missing; give it as user@realm",
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
