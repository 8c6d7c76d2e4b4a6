//! What a server asks: the value of WWW-Authenticate and Proxy-Authenticate; and how a device answers it.

use std::fmt;

use super::parameters::{fill, new_list, parameters, push_quoted, push_token, without_scheme};
use super::{Algorithm, Calculation, DigestError, Ha1, Qop};
use crate::aka::{Auts, SessionKey};
use crate::hex;
use crate::message::Method;

/// A view of a challenge. Values are as written between their quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// `realm`.
    pub realm: &'a str,
    /// `nonce`; for AKA see [`crate::aka::RandAutn::from_nonce`].
    pub nonce: &'a str,
    /// `algorithm`.
    pub algorithm: Algorithm,
    /// `qop`: tokens separated by commas, in the server's order of preference; `None`: RFC 2069's form.
    pub qop: Option<&'a str>,
    /// `opaque`.
    pub opaque: Option<&'a str>,
    /// `stale`: the nonce was too old, the secret may well be right.
    pub is_stale: bool,
    /// `ck`, for the P-CSCF only (TS 24.229 §5.4.1.2.1).
    pub confidentiality_key: Option<SessionKey>,
    /// `ik`, for the P-CSCF only.
    pub integrity_key: Option<SessionKey>,
}

impl fmt::Debug for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge(realm {:?}, algorithm {}, keys redacted)", self.realm, self.algorithm.as_str())
    }
}

impl<'a> Challenge<'a> {
    /// A challenge with qop `auth` and nothing that is optional.
    pub fn new(realm: &'a str, nonce: &'a str, algorithm: Algorithm) -> Challenge<'a> {
        Challenge {
            realm,
            nonce,
            algorithm,
            qop: Some(Qop::Auth.as_str()),
            opaque: None,
            is_stale: false,
            confidentiality_key: None,
            integrity_key: None,
        }
    }

    /// Reads a header value.
    pub fn parse(text: &'a str) -> Result<Challenge<'a>, DigestError> {
        let (mut realm, mut nonce, mut algorithm, mut qop) = (None, None, None, None);
        let (mut opaque, mut stale, mut ck, mut ik) = (None, None, None, None);
        for parameter in parameters(without_scheme(text)?) {
            let parameter = parameter?;
            let (slot, name) = match parameter.name.to_ascii_lowercase().as_str() {
                "realm" => (&mut realm, "realm"),
                "nonce" => (&mut nonce, "nonce"),
                "algorithm" => (&mut algorithm, "algorithm"),
                "qop" => (&mut qop, "qop"),
                "opaque" => (&mut opaque, "opaque"),
                "stale" => (&mut stale, "stale"),
                "ck" => (&mut ck, "ck"),
                "ik" => (&mut ik, "ik"),
                _ => continue,
            };
            fill(slot, name, parameter.value)?;
        }
        let key = |text: Option<&str>| {
            text.map(|text| SessionKey::from_hex(text).ok_or(DigestError::Malformed)).transpose()
        };
        let algorithm = algorithm
            .map_or(Some(Algorithm::default()), Algorithm::from_token)
            .ok_or(DigestError::WrongAlgorithm)?;
        Ok(Challenge {
            realm: realm.ok_or(DigestError::Missing("realm"))?,
            nonce: nonce.ok_or(DigestError::Missing("nonce"))?,
            algorithm,
            qop,
            opaque,
            is_stale: stale.is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            confidentiality_key: key(ck)?,
            integrity_key: key(ik)?,
        })
    }

    /// The header value.
    pub fn to_value(&self) -> String {
        let mut text = new_list();
        push_quoted(&mut text, "realm", self.realm);
        push_quoted(&mut text, "nonce", self.nonce);
        if let Some(opaque) = self.opaque {
            push_quoted(&mut text, "opaque", opaque);
        }
        if self.is_stale {
            push_token(&mut text, "stale", "true");
        }
        push_token(&mut text, "algorithm", self.algorithm.as_str());
        if let Some(qop) = self.qop {
            push_quoted(&mut text, "qop", qop);
        }
        for (name, key) in [("ck", self.confidentiality_key), ("ik", self.integrity_key)] {
            if let Some(key) = key {
                push_quoted(&mut text, name, &hex::encode(key.reveal()));
            }
        }
        text
    }

    /// Device: the Authorization value that answers it. Takes `auth` if the server offers it, else `auth-int`.
    pub fn answer(&self, answer: &Answer<'_>) -> Result<String, DigestError> {
        let count = format!("{:08x}", answer.nonce_count);
        let qop = self.best_qop()?.map(|qop| (qop, count.as_str(), answer.cnonce));
        let ha1 = Ha1::compute(self.algorithm, answer.username, self.realm, answer.password);
        let calculation = Calculation {
            algorithm: self.algorithm,
            ha1: &ha1,
            nonce: self.nonce,
            uri: answer.uri,
            qop,
            body: answer.body,
        };
        let mut text = new_list();
        push_quoted(&mut text, "username", answer.username);
        push_quoted(&mut text, "realm", self.realm);
        push_quoted(&mut text, "nonce", self.nonce);
        push_quoted(&mut text, "uri", answer.uri);
        push_quoted(&mut text, "response", &calculation.response(Some(answer.method)));
        push_token(&mut text, "algorithm", self.algorithm.as_str());
        if let Some((qop, count, cnonce)) = qop {
            push_token(&mut text, "qop", qop.as_str());
            push_token(&mut text, "nc", count);
            push_quoted(&mut text, "cnonce", cnonce);
        }
        if let Some(opaque) = self.opaque {
            push_quoted(&mut text, "opaque", opaque);
        }
        if let Some(auts) = answer.auts {
            push_quoted(&mut text, "auts", &auts.to_parameter());
        }
        Ok(text)
    }

    fn best_qop(&self) -> Result<Option<Qop>, DigestError> {
        let Some(offered) = self.qop else { return Ok(None) };
        let mut offered = offered.split(',').filter_map(|token| Qop::from_token(token.trim_ascii()));
        let first = offered.next().ok_or(DigestError::WrongQop)?;
        Ok(Some(if offered.any(|qop| qop == Qop::Auth) { Qop::Auth } else { first }))
    }
}

/// What a device puts into its answer.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The private identity.
    pub username: &'a str,
    /// The password, RES for AKA, or empty together with `auts`.
    pub password: &'a [u8],
    /// The method of the request.
    pub method: Method<'a>,
    /// The Request-URI.
    pub uri: &'a str,
    /// The body of the request.
    pub body: &'a [u8],
    /// A random text of the device's.
    pub cnonce: &'a str,
    /// How many requests were made with this nonce, this one included.
    pub nonce_count: u32,
    /// AUTS, when the SIM asks to resynchronise.
    pub auts: Option<Auts>,
}

/// The Authorization value of a first REGISTER: names the user and answers nothing (TS 24.229 §5.1.1.2).
pub fn initial_credentials(username: &str, realm: &str, uri: &str) -> String {
    let mut text = new_list();
    for (name, value) in
        [("username", username), ("realm", realm), ("nonce", ""), ("uri", uri), ("response", "")]
    {
        push_quoted(&mut text, name, value);
    }
    text
}

/// Device: the first challenge, in the server's order, that can be answered (RFC 8760 §2.4). A device has a SIM or a
/// password: `is_usable` says which algorithms suit it.
pub fn challenge_for<'a>(
    values: impl IntoIterator<Item = &'a str>,
    is_usable: impl Fn(Algorithm) -> bool,
) -> Option<Challenge<'a>> {
    values
        .into_iter()
        .filter_map(|value| Challenge::parse(value).ok())
        .find(|challenge| is_usable(challenge.algorithm) && challenge.best_qop().is_ok())
}
