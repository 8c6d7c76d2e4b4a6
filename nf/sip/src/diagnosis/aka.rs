//! Findings about K, OP, OPc and SQN.

use super::{Attempt, Finding, Known, Variant};
use crate::aka::{Auts, Key, Op, Opc, RandAutn, Secrets, Sqn, SqnHistory};
use crate::digest::Algorithm;

/// What the device let out.
#[derive(Clone, Copy)]
enum Evidence {
    Response,
    Auts(Auts),
    /// Nothing but that it did not like the challenge.
    Refusal,
}

/// What the device may hold instead of what is provisioned, and what that is called.
struct Hypothesis {
    secrets: Secrets,
    findings: &'static [Finding],
}

/// The mix-ups, each with what the SIM then really holds.
fn mix_ups(key: Key, variant: Variant) -> [Hypothesis; 3] {
    // K and the other value, exchanged.
    let (other_key, other) = (variant.bytes(), key);
    match variant {
        Variant::Opc(Opc(bytes)) => [
            Hypothesis {
                secrets: Secrets { key, opc: Opc::derive(&key, &Op(bytes)) },
                findings: &[Finding::OpGivenAsOpc],
            },
            Hypothesis {
                secrets: Secrets { key: other_key, opc: Opc(other) },
                findings: &[Finding::KeyAndOpcExchanged],
            },
            Hypothesis {
                secrets: Secrets { key: other_key, opc: Opc::derive(&other_key, &Op(other)) },
                findings: &[Finding::KeyAndOpcExchanged, Finding::OpGivenAsOpc],
            },
        ],
        Variant::Op(Op(bytes)) => [
            Hypothesis { secrets: Secrets { key, opc: Opc(bytes) }, findings: &[Finding::OpcGivenAsOp] },
            Hypothesis {
                secrets: Secrets { key: other_key, opc: Opc::derive(&other_key, &Op(other)) },
                findings: &[Finding::KeyAndOpcExchanged],
            },
            Hypothesis {
                secrets: Secrets { key: other_key, opc: Opc(other) },
                findings: &[Finding::KeyAndOpcExchanged, Finding::OpcGivenAsOp],
            },
        ],
    }
}

/// Everything about the secret of an AKA record.
pub(super) fn findings(
    attempt: &Attempt<'_>,
    key: Key,
    variant: Variant,
    network_sqn: Option<Sqn>,
    known: &Known<'_>,
) -> Vec<Finding> {
    let recorded = Secrets { key, opc: variant.opc(&key) };
    let by_comparison = Comparison::of(key, variant, known);
    let undecided = |finding| by_comparison.findings.iter().copied().chain([finding]).collect();
    if attempt.credentials.is_initial() {
        return undecided(Finding::NothingToCheck);
    }
    if !attempt.is_of_algorithm(Algorithm::AkaV1Md5) {
        return vec![Finding::WrongAlgorithm];
    }
    let Some(challenge) = RandAutn::from_nonce(attempt.credentials.nonce) else {
        return vec![Finding::NotAnAkaChallenge];
    };
    let evidence = match attempt.credentials.resynchronisation() {
        Ok(Some(auts)) => Evidence::Auts(auts),
        Ok(None) if attempt.credentials.response.is_empty() => Evidence::Refusal,
        Ok(None) => Evidence::Response,
        Err(error) => return undecided(Finding::Unreadable(error)),
    };
    let challenge_sqn = recorded.authenticate(&challenge);
    let mut findings = Vec::new();
    if challenge_sqn.is_none() {
        findings.push(Finding::ChallengeNotFromRecord);
    }
    let verdict = match evidence {
        Evidence::Refusal if challenge_sqn.is_none() => by_comparison.findings,
        Evidence::Refusal => by_comparison.after_refusal(),
        Evidence::Response if makes_response(attempt, &recorded, &challenge) => vec![Finding::SecretFits],
        Evidence::Response if makes_cut_response(attempt, &recorded, &challenge) => {
            vec![Finding::ResponseCutAtZeroByte]
        }
        Evidence::Auts(auts) => match recorded.recover_sqn(&challenge.rand, &auts) {
            Some(device) => vec![sqn_finding(device, challenge_sqn, network_sqn)],
            None => by_guess(attempt, key, variant, evidence, &challenge, by_comparison, known),
        },
        Evidence::Response => by_guess(attempt, key, variant, evidence, &challenge, by_comparison, known),
    };
    findings.extend(verdict);
    findings
}

/// The record does not make the evidence: does a mix-up make it, or what does the operator know?
fn by_guess(
    attempt: &Attempt<'_>,
    key: Key,
    variant: Variant,
    evidence: Evidence,
    challenge: &RandAutn,
    by_comparison: Comparison,
    known: &Known<'_>,
) -> Vec<Finding> {
    let makes = |secrets: &Secrets| match evidence {
        Evidence::Response => {
            makes_response(attempt, secrets, challenge) || makes_cut_response(attempt, secrets, challenge)
        }
        Evidence::Auts(auts) => secrets.recover_sqn(&challenge.rand, &auts).is_some(),
        Evidence::Refusal => false,
    };
    if let Some(hypothesis) = mix_ups(key, variant).iter().find(|hypothesis| makes(&hypothesis.secrets)) {
        return hypothesis.findings.to_vec();
    }
    if known.secrets().is_some_and(|secrets| !makes(&secrets)) {
        let mut findings = by_comparison.findings;
        findings.push(Finding::SimValuesDoNotFit);
        return findings;
    }
    by_comparison.after_mismatch()
}

fn makes_response(attempt: &Attempt<'_>, secrets: &Secrets, challenge: &RandAutn) -> bool {
    let response = secrets.respond(&challenge.rand).response;
    attempt.is_made_with_password(Algorithm::AkaV1Md5, response.reveal())
}

/// A device that takes RES for a text of C.
fn makes_cut_response(attempt: &Attempt<'_>, secrets: &Secrets, challenge: &RandAutn) -> bool {
    let response = secrets.respond(&challenge.rand).response;
    let mut parts = response.reveal().split(|byte| *byte == 0);
    parts.next().is_some_and(|cut| attempt.is_made_with_password(Algorithm::AkaV1Md5, cut))
}

fn sqn_finding(device: Sqn, challenge: Option<Sqn>, network: Option<Sqn>) -> Finding {
    if Sqn::from_parts(device.seq() + 1, 0).is_none() {
        // Its AUTS tells the network the last SEQ of all: a repetition meets a network that has none left.
        return Finding::SqnExhausted { device: Some(device) };
    }
    match challenge {
        // Fresh and yet refused: a device that has only `device` in its memory tells whether it was the distance.
        Some(challenge)
            if challenge.seq() > device.seq() && !SqnHistory::starting_at(device).accept(challenge) =>
        {
            Finding::SqnTooFarAhead { device, challenge }
        }
        challenge => {
            let is_repaired = network.is_some_and(|network| network.seq() > device.seq());
            Finding::SqnBehind { device, challenge, is_repaired }
        }
    }
}

/// What the operator's SIM values say about the record, without any capture.
struct Comparison {
    /// The differences.
    findings: Vec<Finding>,
    is_key_same: Option<bool>,
    is_opc_same: Option<bool>,
}

impl Comparison {
    fn of(key: Key, variant: Variant, known: &Known<'_>) -> Comparison {
        let is_key_same = known.key.map(|known| known == key);
        let is_opc_same = known.variant.map(|known_variant| match (known_variant, variant) {
            (Variant::Op(known), Variant::Op(recorded)) => known == recorded,
            (Variant::Opc(known), Variant::Opc(recorded)) => known == recorded,
            // One is an OP, the other an OPc: the SIM's K, or else the record's, makes them comparable.
            (_, _) => {
                let key = known.key.unwrap_or(key);
                known_variant.opc(&key) == variant.opc(&key)
            }
        });
        let mut comparison = Comparison { findings: Vec::new(), is_key_same, is_opc_same };
        comparison.findings =
            comparison.mixed_up(key, variant, known).unwrap_or_else(|| comparison.differences());
        comparison
    }

    /// A mix-up, seen directly in the values.
    fn mixed_up(&self, key: Key, variant: Variant, known: &Known<'_>) -> Option<Vec<Finding>> {
        if let Some(secrets) = known.secrets() {
            let same = |hypothesis: &Hypothesis| hypothesis.secrets == secrets;
            return mix_ups(key, variant).into_iter().find(same).map(|found| found.findings.to_vec());
        }
        // One value only. It says nothing about the other, but being in the wrong place it says enough.
        let same_bytes = known.variant.is_some_and(|known| known.bytes() == variant.bytes());
        match (known.variant, variant) {
            (Some(Variant::Op(_)), Variant::Opc(_)) if same_bytes => Some(vec![Finding::OpGivenAsOpc]),
            (Some(Variant::Opc(_)), Variant::Op(_)) if same_bytes => Some(vec![Finding::OpcGivenAsOp]),
            (Some(known), _) if known.bytes() == key => Some(vec![Finding::KeyAndOpcExchanged]),
            (None, variant) if known.key == Some(variant.bytes()) => Some(vec![Finding::KeyAndOpcExchanged]),
            _ => None,
        }
    }

    fn differences(&self) -> Vec<Finding> {
        let wrong_key = (self.is_key_same == Some(false)).then_some(Finding::WrongKey);
        let wrong_opc = (self.is_opc_same == Some(false)).then_some(Finding::WrongOpc);
        wrong_key.into_iter().chain(wrong_opc).collect()
    }

    /// The evidence shows that K or OPc differ. When one is known to be right it is the other.
    fn after_mismatch(self) -> Vec<Finding> {
        self.or_by_elimination(Finding::SimValuesDoNotFit, false)
    }

    /// The device refused the challenge, which this record made.
    fn after_refusal(self) -> Vec<Finding> {
        self.or_by_elimination(Finding::RefusedForAnotherReason, true)
    }

    fn or_by_elimination(self, if_all_same: Finding, is_refused: bool) -> Vec<Finding> {
        if !self.findings.is_empty() {
            return self.findings;
        }
        vec![match (self.is_key_same, self.is_opc_same) {
            (Some(_), Some(_)) => if_all_same,
            // A refusal may have had another reason as well, but none that is more likely.
            (Some(_), None) => Finding::WrongOpc,
            (None, Some(_)) => Finding::WrongKey,
            (None, None) => Finding::WrongKeyOrOpc { is_refused },
        }]
    }
}
