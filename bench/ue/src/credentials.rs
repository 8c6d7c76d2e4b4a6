//! What a device proves its identity with: a SIM (AKA) or a password (digest).

use sip::Method;
use sip::aka::{RandAutn, Refusal, Secrets, SqnHistory};
use sip::digest::{Algorithm, Answer, challenge_for, initial_credentials};

/// A SIM or a password.
#[derive(Clone)]
pub enum Credentials {
    /// A SIM.
    Aka {
        /// K and OPc.
        secrets: Secrets,
        /// The SQNs it has accepted. It is the SIM's: a switched-off device keeps it.
        history: Box<SqnHistory>,
    },
    /// A password.
    Digest {
        /// The password.
        password: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Aka { .. } => "Aka(secret)",
            Credentials::Digest { .. } => "Digest(secret)",
        })
    }
}

/// A challenge answered.
pub(crate) struct Answered {
    /// The Authorization value.
    pub authorization: String,
}

impl Credentials {
    /// A SIM with nothing accepted yet.
    pub fn sim(secrets: Secrets) -> Credentials {
        Credentials::Aka { secrets, history: Box::default() }
    }

    /// The Authorization of a first REGISTER.
    pub(crate) fn initial(&self, private_identity: &str, home_domain: &str) -> String {
        initial_credentials(private_identity, home_domain, &format!("sip:{home_domain}"))
    }

    /// Answers the WWW-Authenticate value of a 401.
    pub(crate) fn answer(
        &mut self,
        challenge: &str,
        username: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> Result<Answered, &'static str> {
        let is_sim = matches!(self, Credentials::Aka { .. });
        let is_usable = |algorithm: Algorithm| (algorithm == Algorithm::AkaV1Md5) == is_sim;
        let challenge = challenge_for([challenge], is_usable).ok_or("no usable challenge")?;
        if challenge.confidentiality_key.is_some() || challenge.integrity_key.is_some() {
            return Err("the network sent the session keys to the device");
        }
        let (password, auts) = match self {
            Credentials::Digest { password } => (password.clone().into_bytes(), None),
            Credentials::Aka { secrets, history } => {
                let rand_autn =
                    RandAutn::from_nonce(challenge.nonce).ok_or("the nonce holds no RAND and AUTN")?;
                match secrets.verify(&rand_autn, history) {
                    Ok(accepted) => (accepted.response.reveal().to_vec(), None),
                    Err(Refusal::SyncFailure(auts)) => (Vec::new(), Some(auts)),
                    Err(Refusal::MacFailure) => return Err("the network's MAC does not fit the SIM's key"),
                }
            }
        };
        let answer = Answer {
            username,
            password: &password,
            method: Method::from_token(method),
            uri,
            body: b"",
            cnonce,
            nonce_count: 1,
            auts,
        };
        let authorization = challenge.answer(&answer).map_err(|_| "the challenge cannot be answered")?;
        Ok(Answered { authorization })
    }
}
