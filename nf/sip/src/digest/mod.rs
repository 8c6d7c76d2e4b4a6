//! Digest authentication for SIP: MD5 and SHA-256 (RFC 7616, RFC 8760), AKAv1-MD5 (RFC 3310), qop `auth`, `auth-int`
//! and none (RFC 2617).
//!
//! [`Challenge`] and [`Credentials`] are views of header values; [`Ha1`] is the secret both sides share;
//! [`Expectation::check`] is the server's verdict, [`Challenge::answer`] the device's reply. Nothing here remembers a
//! nonce: which one was sent, and how often it was used, the caller says. No secret is ever printed.

mod challenge;
mod check;
mod credentials;
mod parameters;

pub use challenge::{Answer, Challenge, challenge_for, initial_credentials};
pub use check::{Expectation, authentication_info, is_authentication_info_genuine};
pub use credentials::Credentials;
pub use parameters::{with_parameter, without_parameters};

use std::fmt;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::hex;
use crate::message::Method;

/// Why credentials or a challenge are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DigestError {
    /// Another scheme than Digest.
    #[error("the scheme is not Digest")]
    NotDigest,
    /// Not a list of parameters.
    #[error("the parameters cannot be read")]
    Malformed,
    /// A parameter that has to be there once is there twice.
    #[error("the parameter {0} is repeated")]
    Repeated(&'static str),
    /// A parameter is missing.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// An algorithm that is unknown here, or not the one of the challenge.
    #[error("the algorithm is not the one asked for")]
    WrongAlgorithm,
    /// Neither `auth` nor `auth-int`.
    #[error("the qop is not supported")]
    WrongQop,
    /// The user name is not the private identity.
    #[error("the user name is not the private identity")]
    WrongUsername,
    /// The realm is not ours.
    #[error("the realm is not the one asked for")]
    WrongRealm,
    /// The nonce is not the one sent: unknown or expired. Challenge again with `stale`.
    #[error("the nonce is not the one sent")]
    WrongNonce,
    /// The nonce count did not grow. Challenge again with `stale`.
    #[error("the nonce was used before")]
    ReplayedNonce,
    /// The response is not what the secret makes: wrong password, wrong key.
    #[error("the response does not fit the secret")]
    WrongResponse,
}

impl DigestError {
    /// The cause as one word, for counters.
    pub fn cause(self) -> &'static str {
        match self {
            DigestError::NotDigest => "not_digest",
            DigestError::Malformed => "malformed",
            DigestError::Repeated(_) => "repeated_parameter",
            DigestError::Missing(_) => "missing_parameter",
            DigestError::WrongAlgorithm => "wrong_algorithm",
            DigestError::WrongQop => "wrong_qop",
            DigestError::WrongUsername => "wrong_username",
            DigestError::WrongRealm => "wrong_realm",
            DigestError::WrongNonce => "wrong_nonce",
            DigestError::ReplayedNonce => "replayed_nonce",
            DigestError::WrongResponse => "wrong_response",
        }
    }
}

/// The `algorithm` parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `MD5`, also meant when the parameter is absent.
    #[default]
    Md5,
    /// `SHA-256`.
    Sha256,
    /// `AKAv1-MD5`: MD5 with RES as the password.
    AkaV1Md5,
}

impl Algorithm {
    /// Reads the token, without case.
    pub fn from_token(token: &str) -> Option<Algorithm> {
        [Algorithm::Md5, Algorithm::Sha256, Algorithm::AkaV1Md5]
            .into_iter()
            .find(|algorithm| token.eq_ignore_ascii_case(algorithm.as_str()))
    }

    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::AkaV1Md5 => "AKAv1-MD5",
        }
    }

    /// The hash of the parts joined by colons, in hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        fn joined<D: Digest>(parts: &[&[u8]]) -> String {
            let mut hasher = D::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    hasher.update(b":");
                }
                hasher.update(part);
            }
            hex::encode(&hasher.finalize())
        }
        match self {
            Algorithm::Md5 | Algorithm::AkaV1Md5 => joined::<Md5>(parts),
            Algorithm::Sha256 => joined::<Sha256>(parts),
        }
    }

    /// Digits of a hash.
    fn hash_length(self) -> usize {
        match self {
            Algorithm::Md5 | Algorithm::AkaV1Md5 => 32,
            Algorithm::Sha256 => 64,
        }
    }
}

/// Quality of protection. Absent in RFC 2069's form, which has no client nonce and no count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// `auth`.
    Auth,
    /// `auth-int`: the body is protected too.
    AuthInt,
}

impl Qop {
    /// Reads one token, without case.
    pub fn from_token(token: &str) -> Option<Qop> {
        [Qop::Auth, Qop::AuthInt].into_iter().find(|qop| token.eq_ignore_ascii_case(qop.as_str()))
    }

    /// The token.
    pub fn as_str(self) -> &'static str {
        match self {
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }
}

/// HA1 = H(user name : realm : password): as good as the password within its realm, so never printed.
#[derive(Clone)]
pub struct Ha1(String);

impl Ha1 {
    /// From the password. For AKAv1-MD5 the password is RES as it is, zero bytes included (RFC 3310 §3.3), or empty
    /// when the credentials carry `auts` (RFC 3310 §3.4).
    pub fn compute(algorithm: Algorithm, username: &str, realm: &str, password: &[u8]) -> Ha1 {
        Ha1(algorithm.hash(&[username.as_bytes(), realm.as_bytes(), password]))
    }

    /// From its hexadecimal text; `None` when it has not the length that the algorithm makes.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Option<Ha1> {
        let is_one =
            text.len() == algorithm.hash_length() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| Ha1(text.to_ascii_lowercase()))
    }

    /// Lower-case hexadecimal, for storing under encryption and for the Cx interface.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Ha1 {
    fn eq(&self, other: &Self) -> bool {
        crate::secret::is_equal(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for Ha1 {}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(secret)")
    }
}

/// What the response is computed over, besides HA1.
#[derive(Clone, Copy)]
struct Calculation<'a> {
    algorithm: Algorithm,
    ha1: &'a Ha1,
    nonce: &'a str,
    uri: &'a str,
    /// Qop as a token, `nc` and `cnonce`, each as written.
    qop: Option<(Qop, &'a str, &'a str)>,
    body: &'a [u8],
}

impl Calculation<'_> {
    /// `response` (RFC 7616 §3.4.1), or `rspauth` (§3.5) when there is no method.
    fn response(&self, method: Option<Method<'_>>) -> String {
        let (algorithm, hash) = (self.algorithm, |parts: &[&[u8]]| self.algorithm.hash(parts));
        let method = method.as_ref().map_or("", |method| method.as_str()).as_bytes();
        let ha2 = match self.qop {
            Some((Qop::AuthInt, ..)) => {
                hash(&[method, self.uri.as_bytes(), algorithm.hash(&[self.body]).as_bytes()])
            }
            Some((Qop::Auth, ..)) | None => hash(&[method, self.uri.as_bytes()]),
        };
        let (ha1, nonce) = (self.ha1.0.as_bytes(), self.nonce.as_bytes());
        match self.qop {
            Some((qop, nonce_count, cnonce)) => {
                let (count, cnonce, qop) =
                    (nonce_count.as_bytes(), cnonce.as_bytes(), qop.as_str().as_bytes());
                hash(&[ha1, nonce, count, cnonce, qop, ha2.as_bytes()])
            }
            None => hash(&[ha1, nonce, ha2.as_bytes()]),
        }
    }
}

#[cfg(test)]
mod tests;
