//! What a device sends: the value of Authorization and Proxy-Authorization.

use std::fmt;

use super::parameters::{fill, parameters, without_scheme};
use super::{Algorithm, Calculation, DigestError, Ha1, Qop};
use crate::aka::Auts;
use crate::message::Method;
use crate::secret::is_equal;

/// A view of credentials. Values are as written between their quotes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// `username`: the private identity.
    pub username: &'a str,
    /// `realm`.
    pub realm: &'a str,
    /// `nonce`; empty in the first REGISTER of a device.
    pub nonce: &'a str,
    /// `uri`: the Request-URI that the device used. A proxy on the way may have changed the one that arrives.
    pub uri: &'a str,
    /// `response`; empty in the first REGISTER of a device.
    pub response: &'a str,
    /// `algorithm`.
    pub algorithm: Option<&'a str>,
    /// `qop`.
    pub qop: Option<&'a str>,
    /// `nc`, as written.
    pub nonce_count: Option<&'a str>,
    /// `cnonce`.
    pub cnonce: Option<&'a str>,
    /// `opaque`.
    pub opaque: Option<&'a str>,
    /// `auts`.
    pub auts: Option<&'a str>,
    /// `integrity-protected`, by the P-CSCF.
    pub integrity_protected: Option<&'a str>,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(realm {:?}, algorithm {:?}, identity redacted)", self.realm, self.algorithm)
    }
}

impl<'a> Credentials<'a> {
    /// Reads a header value. `username`, `realm` and `uri` have to be there; `nonce` and `response` may be absent,
    /// which means empty.
    pub fn parse(text: &'a str) -> Result<Credentials<'a>, DigestError> {
        let (mut username, mut realm, mut nonce, mut uri, mut response) = (None, None, None, None, None);
        let mut credentials = Credentials::default();
        for parameter in parameters(without_scheme(text)?) {
            let parameter = parameter?;
            let (slot, name) = match parameter.name.to_ascii_lowercase().as_str() {
                "username" => (&mut username, "username"),
                "realm" => (&mut realm, "realm"),
                "nonce" => (&mut nonce, "nonce"),
                "uri" => (&mut uri, "uri"),
                "response" => (&mut response, "response"),
                "algorithm" => (&mut credentials.algorithm, "algorithm"),
                "qop" => (&mut credentials.qop, "qop"),
                "nc" => (&mut credentials.nonce_count, "nc"),
                "cnonce" => (&mut credentials.cnonce, "cnonce"),
                "opaque" => (&mut credentials.opaque, "opaque"),
                "auts" => (&mut credentials.auts, "auts"),
                "integrity-protected" => (&mut credentials.integrity_protected, "integrity-protected"),
                _ => continue,
            };
            fill(slot, name, parameter.value)?;
        }
        credentials.username = username.ok_or(DigestError::Missing("username"))?;
        credentials.realm = realm.ok_or(DigestError::Missing("realm"))?;
        credentials.uri = uri.ok_or(DigestError::Missing("uri"))?;
        credentials.nonce = nonce.unwrap_or_default();
        credentials.response = response.unwrap_or_default();
        Ok(credentials)
    }

    /// Do they only name the user, and answer no challenge?
    pub fn is_initial(&self) -> bool {
        self.nonce.is_empty()
    }

    /// AUTS, when the device wants to resynchronise; an error when what is written there is none.
    pub fn resynchronisation(&self) -> Result<Option<Auts>, DigestError> {
        self.auts.map(|text| Auts::from_parameter(text).ok_or(DigestError::Malformed)).transpose()
    }

    /// How many requests were made with this nonce, this one included. Credentials without qop have no count: they are
    /// good for one request.
    pub fn uses(&self) -> Result<u32, DigestError> {
        match (self.qop, self.nonce_count) {
            (None, _) => Ok(1),
            (Some(_), None) => Err(DigestError::Missing("nc")),
            (Some(_), Some(count))
                if count.len() <= 8 && count.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
            {
                u32::from_str_radix(count, 16).map_err(|_| DigestError::Malformed)
            }
            (Some(_), Some(_)) => Err(DigestError::Malformed),
        }
    }

    /// The response that this secret makes for these credentials.
    pub fn expected_response(
        &self,
        algorithm: Algorithm,
        ha1: &Ha1,
        method: Method<'_>,
        body: &[u8],
    ) -> Result<String, DigestError> {
        Ok(self.calculation(algorithm, ha1, body)?.response(Some(method)))
    }

    /// Does the response fit the secret? Says nothing about nonce, realm and user name: see [`super::Expectation`].
    pub fn is_made_with(&self, algorithm: Algorithm, ha1: &Ha1, method: Method<'_>, body: &[u8]) -> bool {
        self.expected_response(algorithm, ha1, method, body).is_ok_and(|expected| {
            is_equal(expected.as_bytes(), self.response.to_ascii_lowercase().as_bytes())
        })
    }

    pub(super) fn calculation<'b>(
        &'b self,
        algorithm: Algorithm,
        ha1: &'b Ha1,
        body: &'b [u8],
    ) -> Result<Calculation<'b>, DigestError> {
        let qop = match self.qop {
            None => None,
            Some(token) => Some((
                Qop::from_token(token).ok_or(DigestError::WrongQop)?,
                self.nonce_count.ok_or(DigestError::Missing("nc"))?,
                self.cnonce.ok_or(DigestError::Missing("cnonce"))?,
            )),
        };
        Ok(Calculation { algorithm, ha1, nonce: self.nonce, uri: self.uri, qop, body })
    }
}
