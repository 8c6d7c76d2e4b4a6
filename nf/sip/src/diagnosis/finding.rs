//! What can be found, in words for an operator.

use std::fmt;

use crate::aka::Sqn;
use crate::digest::DigestError;

/// One thing that a captured REGISTER shows. `Display` says what it is and what to do; [`Finding::code`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The user name is not the provisioned private identity.
    WrongIdentity,
    /// The realm is not the provisioned one.
    WrongRealm,
    /// The secret is right.
    SecretFits,
    /// The password differs; whose, only the operator can know.
    WrongPassword,
    /// The device uses the password that the operator named, the record does not.
    WrongPasswordInRecord,
    /// The record has the password that the operator named, the device does not.
    WrongPasswordInDevice,
    /// Identity or realm enter into the response: until they are right nothing can be said about the password.
    PasswordUnknown,
    /// The device answered with another algorithm than the record is for.
    WrongAlgorithm,
    /// The device has seen higher numbers than the network used: `device` against `challenge`.
    SqnBehind {
        /// The highest SQN that the device has accepted.
        device: Sqn,
        /// The SQN of the challenge it refused.
        challenge: Option<Sqn>,
        /// Has the network gone beyond the device's since?
        is_repaired: bool,
    },
    /// The challenge lay further ahead of the device's SQN than a device accepts.
    SqnTooFarAhead {
        /// The highest SQN that the device has accepted.
        device: Sqn,
        /// The SQN of the challenge it refused.
        challenge: Sqn,
    },
    /// The SIM or the network is at the last SQN: nothing is newer, so that no challenge can be made any more.
    SqnExhausted {
        /// The highest SQN that the device has accepted, if it told.
        device: Option<Sqn>,
    },
    /// What the record holds as OPc is an OP.
    OpGivenAsOpc,
    /// What the record holds as OP is an OPc.
    OpcGivenAsOp,
    /// The record has K in the place of OP or OPc and the other way round.
    KeyAndOpcExchanged,
    /// K or OPc differ: which, cannot be told from outside.
    WrongKeyOrOpc {
        /// Did the device refuse the challenge? Then a mix-up of OP and OPc, or of K and OPc, is possible as well.
        is_refused: bool,
    },
    /// K in the record is not the SIM's.
    WrongKey,
    /// OP or OPc in the record is not the SIM's.
    WrongOpc,
    /// The operator's SIM values do not make what the device sent.
    SimValuesDoNotFit,
    /// The record has the SIM's values, and yet the device refused.
    RefusedForAnotherReason,
    /// The response was made with a RES that ends at its first zero byte.
    ResponseCutAtZeroByte,
    /// The nonce is not RAND‖AUTN.
    NotAnAkaChallenge,
    /// The challenge was made with other values than the record now has.
    ChallengeNotFromRecord,
    /// The capture answers no challenge.
    NothingToCheck,
    /// Authorization, or a parameter in it, cannot be read.
    Unreadable(DigestError),
}

impl Finding {
    /// Its name, for programs and for the manual.
    pub fn code(&self) -> &'static str {
        self.words().0
    }

    /// Is it about a fault, rather than about the absence of one or of evidence?
    pub fn is_fault(&self) -> bool {
        !matches!(
            self,
            Finding::SecretFits
                | Finding::NothingToCheck
                | Finding::PasswordUnknown
                | Finding::ChallengeNotFromRecord
                | Finding::SqnBehind { is_repaired: true, .. }
        )
    }

    /// Code, what it is, what to do.
    fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Finding::WrongIdentity => (
                "wrong-identity",
                "the device's user name is not the provisioned private identity",
                "correct one of them; a SIM sends the IMPI of its ISIM, or one made of its IMSI",
            ),
            Finding::WrongRealm => (
                "wrong-realm",
                "the device's realm is not the provisioned one",
                "correct the home domain in the device or the realm in the record",
            ),
            Finding::SecretFits => ("secret-fits", "the secret is right", "look for the cause elsewhere"),
            Finding::WrongPassword => (
                "wrong-password",
                "the device's password is not the record's",
                "enter it again on both sides",
            ),
            Finding::WrongPasswordInRecord => (
                "wrong-password-in-record",
                "the record's password is not the one you gave",
                "enter it in the record",
            ),
            Finding::WrongPasswordInDevice => (
                "wrong-password-in-device",
                "the device's password is not the one you gave",
                "enter it in the device",
            ),
            Finding::PasswordUnknown => (
                "password-unknown",
                "whether the password is right cannot be told while identity or realm are wrong",
                "correct them and try again, or give the password",
            ),
            Finding::WrongAlgorithm => (
                "wrong-algorithm",
                "the device answered with another algorithm than the record is for",
                "use AKA with a SIM and digest with a password on both sides",
            ),
            Finding::SqnBehind { is_repaired: true, .. } => (
                "sqn-was-behind",
                "the network's SQN was behind the SIM's and has caught up since",
                "nothing; the next attempt succeeds",
            ),
            Finding::SqnBehind { .. } => (
                "sqn-behind",
                "K and OPc are right, the network's SQN is behind the SIM's",
                "let the device try again: its AUTS resynchronises the network",
            ),
            Finding::SqnTooFarAhead { .. } => (
                "sqn-too-far-ahead",
                "K and OPc are right, the network's SQN is further ahead of the SIM's than a SIM accepts",
                "set the record's SQN a little above the SIM's",
            ),
            Finding::SqnExhausted { .. } => (
                "sqn-exhausted",
                "the SQN is at the end of its range, and no challenge can follow",
                "replace the SIM, or reset its SQN and provision it with another private identity: the network's \
                 SQN of this one never falls",
            ),
            Finding::OpGivenAsOpc => {
                ("op-given-as-opc", "what the record holds as OPc is an OP", "enter the same value as OP")
            }
            Finding::OpcGivenAsOp => {
                ("opc-given-as-op", "what the record holds as OP is an OPc", "enter the same value as OPc")
            }
            Finding::KeyAndOpcExchanged => (
                "key-and-opc-exchanged",
                "K and OPc are exchanged in the record",
                "enter each in the place of the other",
            ),
            Finding::WrongKeyOrOpc { is_refused: false } => (
                "wrong-key-or-opc",
                "wrong K or wrong OPc: the two cannot be told apart from outside",
                "give the SIM's K and OPc, or its K and OP, to be told which",
            ),
            Finding::WrongKeyOrOpc { is_refused: true } => (
                "wrong-key-or-opc",
                "the device refused the challenge: wrong K, wrong OPc, OP in the place of OPc, or K and OPc exchanged; \
                 they cannot be told apart from outside",
                "give the SIM's K and OPc, or its K and OP, to be told which",
            ),
            Finding::WrongKey => ("wrong-key", "K in the record is not the SIM's", "enter the SIM's K"),
            Finding::WrongOpc => (
                "wrong-opc",
                "OP or OPc in the record is not the SIM's",
                "enter the SIM's OPc, or its OP as OP",
            ),
            Finding::SimValuesDoNotFit => (
                "sim-values-do-not-fit",
                "the SIM values you gave do not make what the device sent",
                "check that they belong to this SIM",
            ),
            Finding::RefusedForAnotherReason => (
                "refused-for-another-reason",
                "the record has the SIM's values, but the device refused without naming its SQN",
                "check the record's AMF, and reset its SQN above the SIM's",
            ),
            Finding::ResponseCutAtZeroByte => (
                "response-cut-at-zero-byte",
                "K and OPc are right, but the device ends RES at its first zero byte",
                "a fault of the device (SIPp 3.6.1 has it); let it try again",
            ),
            Finding::NotAnAkaChallenge => (
                "not-an-aka-challenge",
                "the device answered a challenge that is not AKA's",
                "check that the record is for AKA and that the capture is of this network",
            ),
            Finding::ChallengeNotFromRecord => (
                "challenge-not-from-record",
                "the challenge was made with other values than the record has now",
                "it was changed since, or the capture is of another network: capture a new attempt",
            ),
            Finding::NothingToCheck => (
                "nothing-to-check",
                "this REGISTER answers no challenge",
                "capture the second REGISTER, the one after the 401",
            ),
            Finding::Unreadable(_) => (
                "unreadable",
                "the device's Authorization cannot be read",
                "a fault of the device; report it with the capture",
            ),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, what, advice) = self.words();
        f.write_str(what)?;
        match self {
            Finding::SqnBehind { device, challenge: Some(challenge), .. }
            | Finding::SqnTooFarAhead { device, challenge } => {
                write!(f, " (SIM {:#014x}, challenge {:#014x})", device.value(), challenge.value())?;
            }
            Finding::SqnBehind { device, challenge: None, .. }
            | Finding::SqnExhausted { device: Some(device) } => {
                write!(f, " (SIM {:#014x})", device.value())?;
            }
            Finding::Unreadable(error) => write!(f, " ({error})")?,
            _ => {}
        }
        write!(f, "; {advice}")
    }
}
