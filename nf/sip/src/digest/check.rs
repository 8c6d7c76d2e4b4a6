//! The server's verdict on credentials, and what it says when they were right.

use super::parameters::{parameters, push_quoted, push_token};
use super::{Algorithm, Credentials, DigestError, Ha1, Qop};
use crate::message::Method;
use crate::secret::is_equal;

/// What right credentials look like.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The private identity.
    pub username: &'a str,
    /// Our realm.
    pub realm: &'a str,
    /// The nonce that was sent.
    pub nonce: &'a str,
    /// How often it was used before: the highest count that [`Credentials::uses`] gave; 0 for a fresh nonce.
    pub uses_before: u32,
    /// The algorithm that was asked for.
    pub algorithm: Algorithm,
    /// The secret.
    pub ha1: &'a Ha1,
}

impl Expectation<'_> {
    /// Checks everything, from the outside to the inside, so that the error names the outermost cause.
    /// Gives the new count of uses.
    ///
    /// The `uri` is taken as it is: between device and server the Request-URI changes (an I-CSCF puts the S-CSCF's
    /// there), so that comparing the two would refuse the innocent.
    pub fn check(
        &self,
        credentials: &Credentials<'_>,
        method: Method<'_>,
        body: &[u8],
    ) -> Result<u32, DigestError> {
        if credentials.username != self.username {
            return Err(DigestError::WrongUsername);
        }
        if credentials.realm != self.realm {
            return Err(DigestError::WrongRealm);
        }
        // Absent means MD5, but devices leave it out for AKA too; the response tells them apart anyway.
        let is_other = |token| Algorithm::from_token(token) != Some(self.algorithm);
        if credentials.algorithm.is_some_and(is_other) {
            return Err(DigestError::WrongAlgorithm);
        }
        if !is_equal(credentials.nonce.as_bytes(), self.nonce.as_bytes()) {
            return Err(DigestError::WrongNonce);
        }
        let expected = credentials.expected_response(self.algorithm, self.ha1, method, body)?;
        let uses = credentials.uses()?;
        if !is_equal(expected.as_bytes(), credentials.response.to_ascii_lowercase().as_bytes()) {
            return Err(DigestError::WrongResponse);
        }
        // After the response, so that a guesser does not learn how far the count is.
        if uses <= self.uses_before {
            return Err(DigestError::ReplayedNonce);
        }
        Ok(uses)
    }
}

/// The Authentication-Info value that proves to the device that the server knows the secret too (RFC 7616 §3.5).
/// `body` is the response's.
pub fn authentication_info(
    credentials: &Credentials<'_>,
    algorithm: Algorithm,
    ha1: &Ha1,
    body: &[u8],
    next_nonce: Option<&str>,
) -> Result<String, DigestError> {
    let calculation = credentials.calculation(algorithm, ha1, body)?;
    let mut text = String::new();
    push_quoted(&mut text, "rspauth", &calculation.response(None));
    if let Some((qop, count, cnonce)) = calculation.qop {
        push_token(&mut text, "qop", qop.as_str());
        push_quoted(&mut text, "cnonce", cnonce);
        push_token(&mut text, "nc", count);
    }
    if let Some(nonce) = next_nonce {
        push_quoted(&mut text, "nextnonce", nonce);
    }
    Ok(text)
}

/// Device: was this Authentication-Info made by somebody who knows the secret? `sent` are the device's own credentials.
pub fn is_authentication_info_genuine(
    value: &str,
    sent: &Credentials<'_>,
    algorithm: Algorithm,
    ha1: &Ha1,
    body: &[u8],
) -> bool {
    let of = |name: &str| {
        parameters(value)
            .map_while(Result::ok)
            .find(|parameter| parameter.name.eq_ignore_ascii_case(name))
            .map(|parameter| parameter.value)
    };
    let Ok(calculation) = sent.calculation(algorithm, ha1, body) else { return false };
    let is_same_qop = of("qop").and_then(Qop::from_token) == calculation.qop.map(|(qop, ..)| qop);
    let expected = calculation.response(None);
    is_same_qop
        && of("rspauth")
            .is_some_and(|given| is_equal(expected.as_bytes(), given.to_ascii_lowercase().as_bytes()))
}
