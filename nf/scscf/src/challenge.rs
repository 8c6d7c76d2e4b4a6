//! The challenges that were sent, and the verdict on what comes back: plain data, keyed by private identity and nonce.
//!
//! ```text
//!   awaiting ── right answer ──▶ used (digest: good for refreshes while its count grows)
//!      │                         or gone (AKA: good once)
//!      └─ wrong answer, AUTS, 4 min ──▶ gone
//! ```

use diameter::cx::AuthenticationVector;
use node::mirror::{Composite, Mirror, Table, TableId};
use serde::{Deserialize, Serialize};
use sip::aka::RandAutn;
use sip::digest::{self, Algorithm, Credentials, DigestError, Expectation, Ha1};
use sip::secret::Secret;
use sip::{Message, Name, hex};

use crate::text::Text;

/// Most challenges at once; at the bound, REGISTER gets 503. Room for 10^5 devices and a storm on top.
const CHALLENGES_MAX: usize = 300_000;
/// Most challenges of one private identity; the one more pushes out the smallest nonce, which is random for all
/// purposes.
const CHALLENGES_OF_ONE_MAX: usize = 8;

/// Which challenge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub private_identity: Text,
    pub nonce: Text,
}

/// How far a challenge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Nobody answered yet.
    Awaiting,
    /// It was answered rightly, last with this nonce count.
    Used { count: u32 },
}

/// A challenge that was sent.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Challenge {
    pub public_identity: Text,
    /// Wrong answers in a row before it.
    pub failures: u8,
    realm: Text,
    is_aka: bool,
    is_sha256: bool,
    /// In hexadecimal; for AKA made of XRES.
    ha1: Box<str>,
    state: State,
}

/// What is sent but not kept.
pub(crate) struct Question {
    /// The nonce.
    pub nonce: Text,
    /// The value of WWW-Authenticate.
    pub header: String,
}

/// The verdict on an answer.
pub(crate) enum Checked {
    /// It is right.
    Right { authentication_info: Option<String> },
    /// The SIM wants to resynchronise: RAND‖AUTS.
    Resynchronise([u8; 30]),
    /// The secret is right, but the nonce was used like this before.
    Replayed,
    /// It is wrong; the word for the counter.
    Wrong { outcome: &'static str },
}

impl Challenge {
    /// Makes the challenge for a vector, and what goes into the 401. `random` is fresh and unguessable: the nonce of
    /// a digest. `stale_answer`: credentials for an older nonce; if they fit the secret, the device is told that only
    /// the nonce was old.
    pub(crate) fn ask(
        vector: AuthenticationVector,
        home_domain: &str,
        private_identity: &str,
        public_identity: Text,
        failures: u8,
        random: [u8; 16],
        stale_answer: Option<&Message>,
    ) -> Option<(Challenge, Question)> {
        match vector {
            AuthenticationVector::Aka { rand_autn, xres, confidentiality_key, integrity_key } => {
                let nonce = RandAutn::from_bytes(&rand_autn).to_nonce();
                let ha1 = Ha1::compute(Algorithm::AkaV1Md5, private_identity, home_domain, &xres);
                let mut question = digest::Challenge::new(home_domain, &nonce, Algorithm::AkaV1Md5);
                // For the P-CSCF, which takes them out (TS 24.229 §5.4.1.2.1).
                question.confidentiality_key = Some(Secret::new(confidentiality_key));
                question.integrity_key = Some(Secret::new(integrity_key));
                let header = question.to_value();
                let challenge = Challenge {
                    public_identity,
                    failures,
                    realm: home_domain.into(),
                    is_aka: true,
                    is_sha256: false,
                    ha1: ha1.reveal().into(),
                    state: State::Awaiting,
                };
                Some((challenge, Question { nonce: nonce.into(), header }))
            }
            AuthenticationVector::Digest { realm, algorithm, ha1, .. } => {
                let realm = if realm.is_empty() { home_domain } else { &realm };
                let algorithm =
                    Algorithm::from_token(&algorithm).filter(|one| *one != Algorithm::AkaV1Md5)?;
                let ha1 = Ha1::from_hex(algorithm, &ha1)?;
                let nonce = hex::encode(&random);
                let mut question = digest::Challenge::new(realm, &nonce, algorithm);
                question.opaque = Some("scscf");
                question.is_stale = stale_answer.is_some_and(|request| {
                    credentials_of(request, realm).is_some_and(|credentials| {
                        credentials.is_made_with(algorithm, &ha1, request.method(), request.body())
                    })
                });
                let header = question.to_value();
                let challenge = Challenge {
                    public_identity,
                    failures,
                    realm: realm.into(),
                    is_aka: false,
                    is_sha256: algorithm == Algorithm::Sha256,
                    ha1: ha1.reveal().into(),
                    state: State::Awaiting,
                };
                Some((challenge, Question { nonce: nonce.into(), header }))
            }
        }
    }

    pub(crate) fn is_aka(&self) -> bool {
        self.is_aka
    }

    pub(crate) fn is_awaiting(&self) -> bool {
        self.state == State::Awaiting
    }

    fn algorithm(&self) -> Algorithm {
        match (self.is_aka, self.is_sha256) {
            (true, _) => Algorithm::AkaV1Md5,
            (false, true) => Algorithm::Sha256,
            (false, false) => Algorithm::Md5,
        }
    }

    /// Judges an answer. A right one is counted.
    pub(crate) fn check(&mut self, key: &Key, credentials: &Credentials<'_>, request: &Message) -> Checked {
        if self.is_aka && credentials.auts.is_some() {
            return match (credentials.resynchronisation(), RandAutn::from_nonce(&key.nonce)) {
                (Ok(Some(auts)), Some(challenge)) => {
                    let mut rand_auts = [0; 30];
                    rand_auts[..16].copy_from_slice(&challenge.rand);
                    rand_auts[16..].copy_from_slice(&auts.0);
                    Checked::Resynchronise(rand_auts)
                }
                _ => Checked::Wrong { outcome: "wrong_auts" },
            };
        }
        let algorithm = self.algorithm();
        let Some(ha1) = Ha1::from_hex(algorithm, &self.ha1) else {
            return Checked::Wrong { outcome: "no_vector" };
        };
        let uses_before = match self.state {
            State::Awaiting => 0,
            State::Used { count } => count,
        };
        let expectation = Expectation {
            username: &key.private_identity,
            realm: &self.realm,
            nonce: &key.nonce,
            uses_before,
            algorithm,
            ha1: &ha1,
        };
        match expectation.check(credentials, request.method(), request.body()) {
            Ok(count) => {
                self.state = State::Used { count };
                let info = digest::authentication_info(credentials, algorithm, &ha1, b"", None).ok();
                // RFC 3310 §3.3 leaves mutual authentication to AUTN; only digest needs the server's proof.
                Checked::Right { authentication_info: info.filter(|_| !self.is_aka) }
            }
            Err(DigestError::ReplayedNonce) => Checked::Replayed,
            Err(DigestError::WrongResponse) if self.is_aka => Checked::Wrong { outcome: "wrong_key" },
            Err(DigestError::WrongResponse) => Checked::Wrong { outcome: "wrong_password" },
            Err(error) => Checked::Wrong { outcome: error.cause() },
        }
    }
}

/// The Digest credentials of a request: those for `realm`, else the first.
pub(crate) fn credentials_of<'a>(request: &'a Message, realm: &str) -> Option<Credentials<'a>> {
    let mut first = None;
    for credentials in request.headers(Name::Authorization).filter_map(|value| Credentials::parse(value).ok())
    {
        if credentials.realm == realm {
            return Some(credentials);
        }
        first = first.or(Some(credentials));
    }
    first
}

/// All challenges that may still be answered.
pub(crate) struct Challenges {
    by_key: Table<Key, Challenge>,
}

impl Default for Challenges {
    fn default() -> Self {
        Challenges { by_key: Table::new(TableId(51)) }
    }
}

impl Composite for Challenges {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.by_key);
    }
}

impl Challenges {
    pub(crate) fn is_full(&self) -> bool {
        self.by_key.len() >= CHALLENGES_MAX
    }

    pub(crate) fn find_mut(&mut self, key: &Key) -> Option<&mut Challenge> {
        self.by_key.get_mut(key)
    }

    /// Keeps a challenge; the key of the one that had to make room.
    pub(crate) fn insert(&mut self, key: Key, challenge: Challenge) -> Option<Key> {
        let others = self.of(&key.private_identity).map(|(key, _)| key.clone());
        let mut others = others.collect::<Vec<_>>().into_iter();
        let pushed_out = if others.len() >= CHALLENGES_OF_ONE_MAX { others.next() } else { None };
        if let Some(pushed_out) = &pushed_out {
            self.by_key.remove(pushed_out);
        }
        self.by_key.insert(key, challenge);
        pushed_out
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<Challenge> {
        self.by_key.remove(key)
    }

    /// Lets go of a challenge that was answered rightly, unless it may be answered again.
    pub(crate) fn keep_if_reusable(&mut self, key: &Key) -> bool {
        let is_kept = self.by_key.get(key).is_some_and(|challenge| !challenge.is_aka);
        if !is_kept {
            self.by_key.remove(key);
        }
        is_kept
    }

    /// Used challenges of the same private identity that are one too many besides `key`: two devices may share a digest
    /// identity and refresh without a challenge; more are challenged now and then.
    pub(crate) fn surplus_used(&self, key: &Key) -> Vec<Key> {
        let used = |(other, challenge): &(&Key, &Challenge)| *other != key && !challenge.is_awaiting();
        self.of(&key.private_identity).filter(used).map(|(other, _)| other.clone()).skip(1).collect()
    }

    pub(crate) fn keys_of(&self, private_identity: &Text) -> Vec<Key> {
        self.of(private_identity).map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn is_any_awaiting(&self, private_identity: &Text) -> bool {
        self.of(private_identity).any(|(_, challenge)| challenge.is_awaiting())
    }

    fn of(&self, private_identity: &Text) -> impl Iterator<Item = (&Key, &Challenge)> {
        let from = Key { private_identity: private_identity.clone(), nonce: "".into() };
        let private_identity = private_identity.clone();
        self.by_key.range(from..).take_while(move |(key, _)| key.private_identity == private_identity)
    }
}
