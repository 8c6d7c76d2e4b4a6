//! Which value is wrong? Compares a captured REGISTER with what is provisioned and names the difference.
//!
//! All it can do is guess what the device may have been given, compute what such a device would have sent, and look
//! whether that is what the capture shows. The device gives one of three kinds of evidence:
//!
//! ```text
//!  answer               made by                              tells
//!  response, no auts    a device that accepted AUTN, or      which guess makes this RES
//!                       does not check it
//!  auts                 a device that accepted MAC, or       which guess makes this MAC-S, and the device's SQN
//!                       does not check it
//!  empty response       a device that refused MAC            that K or OPc differ, no more
//! ```
//!
//! A wrong K and a wrong OPc change everything alike, so that from outside nobody can tell them apart; with what the
//! operator reads off the SIM it can be said. No finding holds a secret or an identity.

mod aka;
mod finding;

pub use finding::Finding;

use crate::aka::{Key, Op, Opc, Secrets, Sqn};
use crate::digest::{Algorithm, Credentials, Ha1};
use crate::message::{Message, Method, Name};
use crate::secret::Secret;

/// What is provisioned for the subscriber.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The private identity, which devices send as user name.
    pub private_identity: &'a str,
    /// The realm, as a rule the home domain.
    pub realm: &'a str,
    /// The secret.
    pub secret: RecordSecret<'a>,
}

/// The provisioned secret.
#[derive(Clone, Copy, Debug)]
pub enum RecordSecret<'a> {
    /// For AKA.
    Aka {
        /// K.
        key: Key,
        /// OP or OPc, as it was entered.
        variant: Variant,
        /// The SQN of the newest vector made, if known: a network that was behind may have caught up since.
        network_sqn: Option<Sqn>,
    },
    /// For digest.
    Digest {
        /// The algorithm HA1 was made with.
        algorithm: Algorithm,
        /// HA1.
        ha1: &'a Ha1,
    },
}

/// OP or OPc: 16 bytes either way, and often taken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The operator's.
    Op(Op),
    /// The SIM's.
    Opc(Opc),
}

impl Variant {
    /// What Milenage computes with.
    pub fn opc(&self, key: &Key) -> Opc {
        match self {
            Variant::Op(op) => Opc::derive(key, op),
            Variant::Opc(opc) => *opc,
        }
    }

    fn bytes(&self) -> Secret<16> {
        match self {
            Variant::Op(Op(bytes)) | Variant::Opc(Opc(bytes)) => *bytes,
        }
    }
}

/// What the operator knows about the device from elsewhere, for instance from the SIM vendor's list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The SIM's K.
    pub key: Option<Key>,
    /// The SIM's OPc, or the OP it was made with.
    pub variant: Option<Variant>,
    /// The password that is thought to be the device's.
    pub password: Option<&'a [u8]>,
}

impl Known<'_> {
    fn secrets(&self) -> Option<Secrets> {
        let key = self.key?;
        Some(Secrets { key, opc: self.variant?.opc(&key) })
    }
}

/// What there is to say about a captured REGISTER, the outermost first; never empty.
///
/// Of several Authorization fields the one that answers a challenge is taken.
pub fn diagnose_register(register: &Message, record: &Record<'_>, known: &Known<'_>) -> Vec<Finding> {
    let mut first_error = Finding::NothingToCheck;
    let mut initial = None;
    for value in register.headers(Name::Authorization) {
        match Credentials::parse(value) {
            Ok(credentials) if credentials.is_initial() => initial = Some(credentials),
            Ok(credentials) => {
                return diagnose(&credentials, register.method(), register.body(), record, known);
            }
            Err(error) => first_error = Finding::Unreadable(error),
        }
    }
    match initial {
        Some(credentials) => diagnose(&credentials, register.method(), register.body(), record, known),
        None => vec![first_error],
    }
}

/// The same for credentials that were read already.
pub fn diagnose(
    credentials: &Credentials<'_>,
    method: Method<'_>,
    body: &[u8],
    record: &Record<'_>,
    known: &Known<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if credentials.username != record.private_identity {
        findings.push(Finding::WrongIdentity);
    }
    if credentials.realm != record.realm {
        findings.push(Finding::WrongRealm);
    }
    let attempt = Attempt { credentials, method, body };
    match &record.secret {
        RecordSecret::Digest { algorithm, ha1 } => {
            findings.extend(attempt.digest_findings(*algorithm, ha1, record, known));
        }
        RecordSecret::Aka { key, variant, network_sqn } => {
            findings.extend(aka::findings(&attempt, *key, *variant, *network_sqn, known));
        }
    }
    findings
}

/// One captured request.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    credentials: &'a Credentials<'a>,
    method: Method<'a>,
    body: &'a [u8],
}

impl Attempt<'_> {
    /// Would a device with this password have sent this? It hashes the user name and the realm that it sent.
    fn is_made_with_password(&self, algorithm: Algorithm, password: &[u8]) -> bool {
        let Credentials { username, realm, .. } = *self.credentials;
        let ha1 = Ha1::compute(algorithm, username, realm, password);
        self.credentials.is_made_with(algorithm, &ha1, self.method, self.body)
    }

    fn is_of_algorithm(&self, algorithm: Algorithm) -> bool {
        self.credentials.algorithm.is_none_or(|token| Algorithm::from_token(token) == Some(algorithm))
    }

    fn digest_findings(
        &self,
        algorithm: Algorithm,
        ha1: &Ha1,
        record: &Record<'_>,
        known: &Known<'_>,
    ) -> Vec<Finding> {
        // What the operator believes the password is can be held against the record without any capture.
        let is_recorded =
            |password| *ha1 == Ha1::compute(algorithm, record.private_identity, record.realm, password);
        let recorded = known.password.map(is_recorded);
        if self.credentials.is_initial() || self.credentials.response.is_empty() {
            let wrong = (recorded == Some(false)).then_some(Finding::WrongPasswordInRecord);
            return wrong.into_iter().chain([Finding::NothingToCheck]).collect();
        }
        if !self.is_of_algorithm(algorithm) {
            return vec![Finding::WrongAlgorithm];
        }
        if self.credentials.is_made_with(algorithm, ha1, self.method, self.body) {
            return vec![Finding::SecretFits];
        }
        let sent = known.password.map(|password| self.is_made_with_password(algorithm, password));
        let has_other_names =
            self.credentials.username != record.private_identity || self.credentials.realm != record.realm;
        match (recorded, sent) {
            (Some(true), Some(true)) => vec![Finding::SecretFits],
            (Some(false), Some(true)) => vec![Finding::WrongPasswordInRecord],
            (Some(true), Some(false)) => vec![Finding::WrongPasswordInDevice],
            (Some(false), Some(false)) => {
                vec![Finding::WrongPasswordInRecord, Finding::WrongPasswordInDevice]
            }
            _ if has_other_names => vec![Finding::PasswordUnknown],
            _ => vec![Finding::WrongPassword],
        }
    }
}

#[cfg(test)]
mod tests;
