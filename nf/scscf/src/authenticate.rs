//! Proving who registers: challenges by AKA and by digest, and the check of what comes back (TS 24.229 §5.4.1.2,
//! RFC 3310, RFC 7616).
//!
//! A vector is stored before its 401 leaves, so that no answer can come too early. A nonce is good for one AKA
//! answer; a digest nonce stays good for refreshes as long as its nonce count grows. Three wrong answers in a row end
//! in 403.

use clock::Instant;
use diameter::cx::{self, ServerAssignmentType};
use node::{ServerKey, Unanswered};
use rand::Rng;
use serde::{Deserialize, Serialize};
use sip::{Message, Name};

use crate::challenge::{Challenge, Checked, Key, credentials_of};
use crate::register::{Registrant, Verdict};
use crate::{REG_AWAIT_AUTH, Scscf, Timer, Waiting, charging};

/// After this many wrong answers in a row: 403 (spec 4.2.1 row 11: at most two more challenges).
const FAILURES_MAX: u8 = 3;

/// A REGISTER that is to be challenged.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Its server transaction.
    pub server: ServerKey,
    /// The REGISTER.
    pub request: Message,
    /// Whose it is.
    pub registrant: Registrant,
    /// Wrong answers in a row so far.
    pub failures: u8,
    /// Why.
    pub reason: Reason,
}

/// Why a REGISTER is challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reason {
    /// It came without an answer.
    First,
    /// Its answer was wrong.
    WrongAnswer,
    /// Its nonce is not, or no longer, one of ours.
    UnknownNonce,
    /// The SIM says that our sequence number is behind its own: RAND‖AUTS for the HSS.
    Resynchronisation([u8; 30]),
}

impl Scscf {
    /// Looks at the credentials of a REGISTER.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        request: &Message,
        registrant: &Registrant,
    ) -> Verdict {
        let first = Verdict::Challenge { reason: Reason::First, failures: 0 };
        let Some(credentials) = credentials_of(request, &self.own.home_domain) else { return first };
        if credentials.nonce.is_empty() {
            return first;
        }
        let who = registrant.private_identity.clone();
        let key = Key { private_identity: who.clone(), nonce: credentials.nonce.into() };
        let is_served = self.set_of(registrant).is_some_and(|set| set.has_contact_of(&who));
        // A digest does not cover To: without this, who has answered a challenge of its own could name somebody else's
        // public identity there, and do what needs no SAR (see, or confirm to the P-CSCF, that registration). The
        // HSS says whether the two belong together: in MAR, or earlier, when the contact was registered.
        let is_theirs =
            |challenge: &Challenge| is_served || challenge.public_identity == registrant.public_identity;
        let Some(challenge) = self.challenges.find_mut(&key).filter(|challenge| is_theirs(challenge)) else {
            let is_ours = credentials.realm == self.own.home_domain;
            let outcome = if is_ours { "stale_nonce" } else { "wrong_realm" };
            self.event("registration", outcome, &who, "the nonce is not one of ours, or was used");
            return Verdict::Challenge { reason: Reason::UnknownNonce, failures: 0 };
        };
        let failures = challenge.failures;
        let is_protected =
            credentials.integrity_protected.is_some_and(|mark| mark.eq_ignore_ascii_case("yes"));
        if challenge.is_aka() && !is_protected && !self.settings.unprotected_aka {
            self.forget_challenge(&key);
            return Verdict::Refused {
                outcome: "unprotected_aka",
                reason: "an AKA answer came without IPsec, which the configuration does not allow",
            };
        }
        match challenge.check(&key, &credentials, request) {
            Checked::Right { authentication_info } => {
                self.on_right_answer(now, &key);
                Verdict::Granted { authentication_info }
            }
            Checked::Resynchronise(rand_auts) => {
                self.forget_challenge(&key);
                // A SIM that is never content would go on for ever: its wishes count as wrong answers do.
                self.on_failure(registrant, failures, "resynchronised", Reason::Resynchronisation(rand_auts))
            }
            Checked::Replayed => {
                self.event("registration", "replayed_nonce", &who, "the nonce count did not grow");
                Verdict::Challenge { reason: Reason::UnknownNonce, failures: 0 }
            }
            Checked::Wrong { outcome } => {
                self.forget_challenge(&key);
                self.on_failure(registrant, failures, outcome, Reason::WrongAnswer)
            }
        }
    }

    fn on_right_answer(&mut self, now: Instant, key: &Key) {
        for other in self.challenges.surplus_used(key) {
            self.forget_challenge(&other);
        }
        let lifetime = clock::Duration::from_secs(u64::from(self.settings.registration_seconds_max) + 60);
        let is_kept = self.challenges.keep_if_reusable(key);
        self.timers.set(Timer::Challenge(key.clone()), is_kept.then(|| now + lifetime));
    }

    fn on_failure(
        &mut self,
        registrant: &Registrant,
        failures: u8,
        outcome: &'static str,
        reason: Reason,
    ) -> Verdict {
        let failures = failures + 1;
        if failures < FAILURES_MAX {
            self.event("registration", outcome, &registrant.private_identity, "");
            return Verdict::Challenge { reason, failures };
        }
        self.tell_hss(registrant, ServerAssignmentType::AuthenticationFailure);
        Verdict::Refused { outcome, reason: "too many wrong answers in a row" }
    }

    /// No nonce of this user is good any more: the next REGISTER is challenged with what the HSS has then.
    pub(crate) fn forget_challenges_of(&mut self, private_identity: &str) {
        for key in self.challenges.keys_of(&private_identity.into()) {
            self.forget_challenge(&key);
        }
    }

    fn forget_challenge(&mut self, key: &Key) {
        self.challenges.remove(key);
        self.timers.set(Timer::Challenge(key.clone()), None);
    }

    /// Nobody answered in time, or a used digest nonce has become old.
    pub(crate) fn on_challenge_expired(&mut self, key: Key) {
        let Some(challenge) = self.challenges.remove(&key) else { return };
        let who = key.private_identity.clone();
        if !challenge.is_awaiting() || self.challenges.is_any_awaiting(&who) {
            return;
        }
        self.event("registration", "no_answer", &who, "the challenge was not answered within 4 min");
        if self.registrar.sets_of(&who).is_empty() {
            let registrant = Registrant { private_identity: who, public_identity: challenge.public_identity };
            self.tell_hss(&registrant, ServerAssignmentType::AuthenticationTimeout);
        }
    }

    /// A SAR whose answer changes nothing here.
    fn tell_hss(&mut self, registrant: &Registrant, assignment_type: ServerAssignmentType) {
        let request = cx::Request::ServerAssignment(cx::ServerAssignmentRequest {
            private_identity: Some(registrant.private_identity.to_string()),
            public_identities: vec![registrant.public_identity.to_string()],
            server_name: self.own.server_name.to_string(),
            assignment_type,
            user_data_already_available: false,
            restoration: None,
        });
        self.ask(request, Waiting::Notice);
    }

    /// Sends MAR. The method is the HSS's choice when the configured scheme is `Unknown`.
    pub(crate) fn want_vector(&mut self, wanted: Wanted) {
        if self.challenges.is_full() {
            let mut response = self.response(&wanted.request, 503, "Service Unavailable");
            response.push_back(Name::RetryAfter, "30");
            return self.respond(wanted.server, response);
        }
        let resynchronisation = match wanted.reason {
            Reason::Resynchronisation(rand_auts) => Some(rand_auts),
            _ => None,
        };
        let scheme = match resynchronisation {
            Some(_) => "Digest-AKAv1-MD5".to_string(),
            None => self.settings.default_scheme.clone(),
        };
        let request = cx::Request::MultimediaAuthentication(cx::MultimediaAuthenticationRequest {
            private_identity: wanted.registrant.private_identity.to_string(),
            public_identity: wanted.registrant.public_identity.to_string(),
            server_name: self.own.server_name.to_string(),
            authentication: cx::AuthenticationRequest { scheme, resynchronisation },
        });
        self.ask(request, Waiting::Vector(wanted));
    }

    /// MAA: the challenge is made, stored, and sent, in this order.
    pub(crate) fn on_vector(
        &mut self,
        now: Instant,
        mut wanted: Wanted,
        answer: Result<cx::Answer, Unanswered>,
    ) {
        let vector = match answer {
            Ok(cx::Answer::MultimediaAuthentication(answer)) if answer.result.is_success() => {
                // A REGISTER that names nobody was asked for under a guess; the HSS knows whose the public identity is.
                let is_guess = credentials_of(&wanted.request, &self.own.home_domain)
                    .is_none_or(|credentials| credentials.username.is_empty());
                if let Some(name) = answer.private_identity.filter(|_| is_guess) {
                    wanted.registrant.private_identity = name.into();
                }
                answer.vector
            }
            Ok(answer) => return self.refuse_unvouched(&wanted, answer.result()),
            Err(error) => {
                self.event(
                    "registration",
                    "hss_silent",
                    &wanted.registrant.private_identity,
                    error.to_string(),
                );
                return self.refuse(wanted.server, &wanted.request, 504, "Server Time-out");
            }
        };
        let Some(vector) = vector else {
            self.event(
                "registration",
                "no_vector",
                &wanted.registrant.private_identity,
                "the HSS sent no vector",
            );
            return self.refuse(wanted.server, &wanted.request, 500, "Server Internal Error");
        };
        let mut random = [0; 16];
        self.random.nonce.fill_bytes(&mut random);
        let asked = Challenge::ask(
            vector,
            &self.own.home_domain,
            &wanted.registrant.private_identity,
            wanted.registrant.public_identity.clone(),
            wanted.failures,
            random,
            (wanted.reason == Reason::UnknownNonce).then_some(&wanted.request),
        );
        let Some((challenge, question)) = asked else {
            self.event(
                "registration",
                "no_vector",
                &wanted.registrant.private_identity,
                "the vector is unusable",
            );
            return self.refuse(wanted.server, &wanted.request, 500, "Server Internal Error");
        };
        let key = Key { private_identity: wanted.registrant.private_identity.clone(), nonce: question.nonce };
        if let Some(pushed_out) = self.challenges.insert(key.clone(), challenge) {
            self.timers.set(Timer::Challenge(pushed_out), None);
        }
        self.timers.set(Timer::Challenge(key), Some(now + REG_AWAIT_AUTH));

        let home = self.own.home_domain.clone();
        let mut response = self.response(&wanted.request, 401, "Unauthorized");
        response.push_back(Name::WwwAuthenticate, question.header);
        if let Some(value) = wanted.request.header(Name::PChargingVector) {
            response.push_back(Name::PChargingVector, charging::with_operator(value, "term-ioi", &home));
        }
        self.respond(wanted.server, response);
    }

    /// MAA with an error (spec 4.4, mapping).
    fn refuse_unvouched(&mut self, wanted: &Wanted, result: cx::ResultCode) {
        let (outcome, status, reason) = match result {
            cx::ResultCode::USER_UNKNOWN => ("unknown_subscriber", 403, "Forbidden"),
            cx::ResultCode::IDENTITIES_DONT_MATCH => ("identities_do_not_match", 403, "Forbidden"),
            cx::ResultCode::AUTH_SCHEME_NOT_SUPPORTED => ("scheme_not_supported", 403, "Forbidden"),
            cx::ResultCode::TOO_BUSY => ("hss_busy", 503, "Service Unavailable"),
            _ if matches!(wanted.reason, Reason::Resynchronisation(_)) => ("wrong_auts", 403, "Forbidden"),
            _ => ("hss_refused", 500, "Server Internal Error"),
        };
        self.event("registration", outcome, &wanted.registrant.private_identity, format!("{result:?}"));
        self.refuse(wanted.server, &wanted.request, status, reason);
    }
}
