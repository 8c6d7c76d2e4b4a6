//! MAR: a vector to challenge the device with (TS 29.228 §6.3, TS 33.102 §6.3).
//!
//! AKA draws an SQN, which may need the disk once a block; digest needs none. The S-CSCF that asks becomes the one where
//! authentication is pending, so that the I-CSCF brings the device's second REGISTER to it.

use diameter::cx::{self, AuthenticationVector, ResultCode};
use node::Store;
use rand::Rng;
use sip::aka::{Amf, Auts, Opc, Secrets, Sqn, Vector};
use sip::secret::Secret;

use crate::database::Durability;
use crate::record::{Aka, Digest, Subscriber};
use crate::vault::Tampered;
use crate::{CREDENTIAL_UNREADABLE, Hss, Refusal, SEQUENCE_EXHAUSTED};

/// SIP-Authentication-Scheme values (TS 29.229 §6.3.9).
pub(crate) const SCHEME_AKA: &str = "Digest-AKAv1-MD5";
pub(crate) const SCHEME_DIGEST: &str = "SIP Digest";
pub(crate) const SCHEME_UNKNOWN: &str = "Unknown";

/// Names of sealed fields; part of what their ciphertexts are bound to.
pub(crate) const FIELD_AKA: &str = "aka";
pub(crate) const FIELD_DIGEST: &str = "digest";

const PROCEDURE: &str = "multimedia_authentication";

/// So many RANDs are drawn at most for one vector: a RES with a zero byte is left after all once in 10¹².
const DRAWS_MAX: usize = 8;

impl From<Tampered> for Refusal {
    fn from(error: Tampered) -> Self {
        Refusal::new(
            ResultCode::UNABLE_TO_COMPLY,
            CREDENTIAL_UNREADABLE,
            format!("{error}; the store was altered: provision this subscriber again or restore a backup"),
        )
    }
}

impl<S: Store> Hss<S> {
    pub(crate) fn multimedia_authentication(
        &mut self,
        request: &cx::MultimediaAuthenticationRequest,
    ) -> cx::Answer {
        let private_identity = self.registrant(&request.private_identity, &request.public_identity);
        let ended = self.challenge(&private_identity, request);
        self.report(PROCEDURE, &private_identity, &ended);
        let (result, vector) = match ended {
            Ok(vector) => (ResultCode::SUCCESS, Some(vector)),
            Err(refusal) => (refusal.result, None),
        };
        let private_identity = Some(private_identity);
        cx::Answer::MultimediaAuthentication(cx::MultimediaAuthenticationAnswer {
            result,
            private_identity,
            vector,
        })
    }

    fn challenge(
        &mut self,
        private_identity: &str,
        request: &cx::MultimediaAuthenticationRequest,
    ) -> Result<AuthenticationVector, Refusal> {
        let (subscriber, _) = self.subscriber_of(private_identity, &request.public_identity)?;
        let vector = match choose(&request.authentication.scheme, &subscriber)? {
            Scheme::Aka(sealed) => {
                let aka = self.open_aka(private_identity, sealed)?;
                self.aka_vector(private_identity, &aka, request.authentication.resynchronisation.as_ref())?
            }
            Scheme::Digest(sealed) => self.digest_vector(&self.open_digest(private_identity, sealed)?)?,
        };
        self.expect_authentication(private_identity, &request.server_name)?;
        Ok(vector)
    }

    pub(crate) fn open_aka(&self, private_identity: &str, sealed: &[u8]) -> Result<Aka, Refusal> {
        Ok(Aka::decode(&self.vault.open(private_identity, FIELD_AKA, sealed)?)?)
    }

    pub(crate) fn open_digest(&self, private_identity: &str, sealed: &[u8]) -> Result<Digest, Refusal> {
        Ok(Digest::decode(&self.vault.open(private_identity, FIELD_DIGEST, sealed)?)?)
    }

    fn aka_vector(
        &mut self,
        private_identity: &str,
        aka: &Aka,
        resynchronisation: Option<&[u8; 30]>,
    ) -> Result<AuthenticationVector, Refusal> {
        let secrets = aka.secrets();
        if let Some(rand_auts) = resynchronisation {
            self.resynchronise(private_identity, &secrets, rand_auts)?;
        }
        let sqn = self.sequence.next(&mut self.database, private_identity).map_err(|error| {
            Refusal::new(ResultCode::UNABLE_TO_COMPLY, SEQUENCE_EXHAUSTED, error.to_string())
        })?;
        let sqn = Sqn::new(sqn).expect("SEQ of 43 bits and IND of 5 make 48");
        let vector = self.draw_vector(&secrets, Amf(aka.amf), sqn);
        Ok(AuthenticationVector::Aka {
            rand_autn: vector.challenge.to_bytes(),
            xres: vector.expected_response.reveal().to_vec(),
            confidentiality_key: *vector.confidentiality_key.reveal(),
            integrity_key: *vector.integrity_key.reveal(),
        })
    }

    /// RAND is any number nobody can foresee (TS 33.102 §6.3.2), so one may be drawn whose RES has no zero byte: clients that
    /// take RES for a C string (SIPp up to 3.6.1) answer such challenges wrongly, one in 32. RES loses 0.05 of its 64 bits.
    fn draw_vector(&mut self, secrets: &Secrets, amf: Amf, sqn: Sqn) -> Vector {
        let mut draw = || {
            let mut rand = [0; 16];
            self.challenges.fill_bytes(&mut rand);
            secrets.generate(amf, sqn, rand)
        };
        let mut vector = draw();
        for _ in 1..DRAWS_MAX {
            if !vector.expected_response.reveal().contains(&0) {
                break;
            }
            vector = draw();
        }
        vector
    }

    /// TS 33.102 §6.3.5: the SIM says which SQN it has seen; SEQ goes past it.
    ///
    /// Deviation: when MAC-S is wrong the standard sends a vector all the same; we refuse, because such a message is
    /// either forged or from a SIM whose next answer cannot be right.
    fn resynchronise(
        &mut self,
        private_identity: &str,
        secrets: &Secrets,
        rand_auts: &[u8; 30],
    ) -> Result<(), Refusal> {
        let (rand, auts) = rand_auts.split_first_chunk::<16>().expect("30 bytes have a first 16");
        let auts = Auts(auts.try_into().expect("30 less 16 bytes are 14"));
        let Some(seen) = secrets.recover_sqn(rand, &auts) else {
            return Err(Refusal::new(
                ResultCode::AUTHORIZATION_REJECTED,
                "resynchronisation_mac_wrong",
                "the SIM's AUTS does not verify: K or OPc differs from the SIM's, or the message was forged",
            ));
        };
        self.sequence.raise_above(&mut self.database, private_identity, seen.seq());
        self.report_words(
            PROCEDURE,
            private_identity,
            "stale_sqn",
            "the SIM was ahead; SEQ now begins after its own",
        );
        Ok(())
    }

    fn digest_vector(&self, digest: &Digest) -> Result<AuthenticationVector, Refusal> {
        let (algorithm, ha1) = match (digest.prefers_sha256, digest.ha1_md5, digest.ha1_sha256) {
            (false, Some(ha1), _) => ("MD5", sip::hex::encode(&ha1)),
            (true, _, Some(ha1)) => ("SHA-256", sip::hex::encode(&ha1)),
            // Provisioning stores no such record.
            (false, None, _) | (true, _, None) => return Err(crate::codec::Unreadable.into()),
        };
        Ok(AuthenticationVector::Digest {
            realm: digest.realm.clone(),
            algorithm: algorithm.into(),
            qop: "auth".into(),
            ha1,
        })
    }

    /// Takes note of where authentication is pending. Need not be durable, or every vector would cost a disk write: a
    /// mark lost in a crash makes the I-CSCF choose again, and at worst the device is challenged once more.
    fn expect_authentication(&mut self, private_identity: &str, server_name: &str) -> Result<(), Refusal> {
        let mut registration = self.database.registration(private_identity)?;
        let is_assigned = registration.server_name.as_deref() == Some(server_name);
        registration.pending_server = (!is_assigned).then(|| server_name.to_owned());
        self.database.put_registration(private_identity, &registration, Durability::Whenever);
        Ok(())
    }
}

impl Aka {
    pub(crate) fn secrets(&self) -> Secrets {
        Secrets { key: Secret::new(self.k), opc: Opc(Secret::new(self.opc)) }
    }
}

/// A scheme and the sealed credential for it.
enum Scheme<'a> {
    Aka(&'a [u8]),
    Digest(&'a [u8]),
}

/// The scheme asked for must be there; for `Unknown` AKA is taken before digest, being the stronger one.
fn choose<'a>(scheme: &str, subscriber: &'a Subscriber) -> Result<Scheme<'a>, Refusal> {
    let aka = subscriber.aka.as_deref().map(Scheme::Aka);
    let digest = subscriber.digest.as_deref().map(Scheme::Digest);
    let chosen = match scheme {
        SCHEME_AKA => aka,
        SCHEME_DIGEST => digest,
        SCHEME_UNKNOWN => aka.or(digest),
        _ => None,
    };
    chosen.ok_or_else(|| {
        let detail = format!("the subscriber has no credential for the scheme `{scheme}`");
        Refusal::new(ResultCode::AUTH_SCHEME_NOT_SUPPORTED, "scheme_not_supported", detail)
    })
}
