//! UMTS AKA with Milenage (TS 33.102, TS 35.206): vectors on the network's side, their check on the device's side,
//! and resynchronisation between the two.
//!
//! ```text
//!  network                                            device
//!  generate(K, OPc, AMF, SQN, RAND) ── RAND, AUTN ──▶ verify: MAC wrong  ──▶ MacFailure: not my network, or not my key
//!                                                             SQN stale  ──▶ SyncFailure(AUTS)
//!  compare with XRES           ◀───────── RES ─────────       else RES, CK, IK
//!  recover_sqn(RAND, AUTS)     ◀───────── AUTS ────────
//! ```
//!
//! RAND is given by the caller: nothing here draws random numbers. No secret is ever printed.

mod sqn;

pub use sqn::{Sqn, SqnHistory};

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use milenage::Milenage;

use crate::secret::{Secret, is_equal};

/// K, the subscriber key.
pub type Key = Secret<16>;

/// RES or XRES as Milenage makes it: 8 bytes.
pub type Response = Secret<8>;

/// CK or IK.
pub type SessionKey = Secret<16>;

/// OP, the operator's variant: the same for all SIMs of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op(pub Secret<16>);

/// OPc, derived from OP and K: one for each SIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opc(pub Secret<16>);

impl Opc {
    /// OPc = E(OP)K ⊕ OP (TS 35.206 §4.1).
    pub fn derive(key: &Key, op: &Op) -> Opc {
        Opc(Secret::new(*Milenage::new_with_op(*key.reveal(), *op.0.reveal()).opc()))
    }
}

/// AMF, the authentication management field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amf(pub [u8; 2]);

/// Base64 that writes padding and reads it or its absence: devices differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// AMF in a resynchronisation message is zero whatever the vector had (TS 33.102 §6.3.3).
const AMF_RESYNCHRONISATION: [u8; 2] = [0, 0];

/// RAND‖AUTN as it stands in an AKAv1 nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandAutn {
    /// RAND.
    pub rand: [u8; 16],
    /// AUTN = SQN ⊕ AK ‖ AMF ‖ MAC.
    pub autn: [u8; 16],
}

impl RandAutn {
    /// Reads RAND‖AUTN.
    pub fn from_bytes(bytes: &[u8; 32]) -> RandAutn {
        let mut challenge = RandAutn { rand: [0; 16], autn: [0; 16] };
        challenge.rand.copy_from_slice(&bytes[..16]);
        challenge.autn.copy_from_slice(&bytes[16..]);
        challenge
    }

    /// RAND‖AUTN.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.rand);
        bytes[16..].copy_from_slice(&self.autn);
        bytes
    }

    /// Reads a nonce (RFC 3310 §3.2): the base64 of RAND‖AUTN and, perhaps, data of the server behind it.
    pub fn from_nonce(nonce: &str) -> Option<RandAutn> {
        let bytes = BASE64.decode(nonce).ok()?;
        Some(RandAutn::from_bytes(bytes.first_chunk()?))
    }

    /// The nonce without server data.
    pub fn to_nonce(self) -> String {
        BASE64.encode(self.to_bytes())
    }
}

/// AUTS = SQN_MS ⊕ AK* ‖ MAC-S.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auts(pub [u8; 14]);

impl Auts {
    /// Reads the `auts` parameter (RFC 3310 §3.4): base64 of 14 bytes.
    pub fn from_parameter(text: &str) -> Option<Auts> {
        BASE64.decode(text).ok()?.try_into().ok().map(Auts)
    }

    /// The `auts` parameter.
    pub fn to_parameter(self) -> String {
        BASE64.encode(self.0)
    }
}

/// What the network sends and what it expects for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Vector {
    /// RAND and AUTN, for the device.
    pub challenge: RandAutn,
    /// XRES.
    pub expected_response: Response,
    /// CK.
    pub confidentiality_key: SessionKey,
    /// IK.
    pub integrity_key: SessionKey,
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vector(secret)")
    }
}

/// What the device computes from an accepted challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// RES.
    pub response: Response,
    /// CK.
    pub confidentiality_key: SessionKey,
    /// IK.
    pub integrity_key: SessionKey,
}

/// Why the device refuses a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// MAC is not what K and OPc make: the network has another key.
    #[error("the network's MAC does not fit the SIM's key")]
    MacFailure,
    /// MAC fits, but SQN was seen before or lies too far ahead; the network is to resynchronise with this AUTS.
    #[error("the network's SQN is out of range")]
    SyncFailure(Auts),
}

/// The secrets of one subscriber, ready to compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// K.
    pub key: Key,
    /// OPc.
    pub opc: Opc,
}

impl Secrets {
    fn milenage(&self) -> Milenage {
        Milenage::new_with_opc(*self.key.reveal(), *self.opc.0.reveal())
    }

    /// Network: the vector of `rand` and `sqn`.
    pub fn generate(&self, amf: Amf, sqn: Sqn, rand: [u8; 16]) -> Vector {
        let mut milenage = self.milenage();
        let mac = milenage.f1(&rand, &sqn.to_bytes(), &amf.0);
        let (xres, ck, ik, ak) = milenage.f2345(&rand);
        let mut autn = [0; 16];
        autn[..6].copy_from_slice(&xor(sqn.to_bytes(), ak));
        autn[6..8].copy_from_slice(&amf.0);
        autn[8..].copy_from_slice(&mac);
        Vector {
            challenge: RandAutn { rand, autn },
            expected_response: Secret::new(xres),
            confidentiality_key: Secret::new(ck),
            integrity_key: Secret::new(ik),
        }
    }

    /// Network: the highest SQN the device has accepted, from its AUTS. `None` when MAC-S is wrong.
    pub fn recover_sqn(&self, rand: &[u8; 16], auts: &Auts) -> Option<Sqn> {
        let mut milenage = self.milenage();
        let (concealed, mac) = auts.0.split_first_chunk::<6>()?;
        let sqn = xor(*concealed, milenage.f5star(rand));
        is_equal(&milenage.f1star(rand, &sqn, &AMF_RESYNCHRONISATION), mac).then(|| Sqn::from_bytes(sqn))
    }

    /// Device: checks a challenge; takes note of its SQN when it is accepted.
    pub fn verify(&self, challenge: &RandAutn, history: &mut SqnHistory) -> Result<Accepted, Refusal> {
        let sqn = self.authenticate(challenge).ok_or(Refusal::MacFailure)?;
        if !history.accept(sqn) {
            return Err(Refusal::SyncFailure(self.resynchronise(&challenge.rand, history.highest())));
        }
        Ok(self.respond(&challenge.rand))
    }

    /// The SQN of a challenge whose MAC these secrets make; `None` when they do not.
    pub fn authenticate(&self, challenge: &RandAutn) -> Option<Sqn> {
        let mut milenage = self.milenage();
        let (_, _, _, ak) = milenage.f2345(&challenge.rand);
        let (concealed, rest) = challenge.autn.split_first_chunk::<6>()?;
        let (amf, mac) = rest.split_first_chunk::<2>()?;
        let sqn = xor(*concealed, ak);
        is_equal(&milenage.f1(&challenge.rand, &sqn, amf), mac).then(|| Sqn::from_bytes(sqn))
    }

    /// Device: RES, CK and IK of a RAND, whatever its AUTN. Only devices that do not check AUTN answer with this alone.
    pub fn respond(&self, rand: &[u8; 16]) -> Accepted {
        let (res, ck, ik, _) = self.milenage().f2345(rand);
        Accepted {
            response: Secret::new(res),
            confidentiality_key: Secret::new(ck),
            integrity_key: Secret::new(ik),
        }
    }

    /// Device: the AUTS that tells the network `highest` (TS 33.102 §6.3.3).
    pub fn resynchronise(&self, rand: &[u8; 16], highest: Sqn) -> Auts {
        let mut milenage = self.milenage();
        let sqn = highest.to_bytes();
        let mut auts = [0; 14];
        auts[..6].copy_from_slice(&xor(sqn, milenage.f5star(rand)));
        auts[6..].copy_from_slice(&milenage.f1star(rand, &sqn, &AMF_RESYNCHRONISATION));
        Auts(auts)
    }
}

fn xor(left: [u8; 6], right: [u8; 6]) -> [u8; 6] {
    std::array::from_fn(|index| left[index] ^ right[index])
}

#[cfg(test)]
mod tests;
