//! The HSS: who the subscribers are, their credentials, which S-CSCF serves them (TS 29.228, TS 33.102, TS 23.380).
//!
//! ```text
//!   I-CSCF ─ UAR, LIR ─▶ user_authorization, location_information ─┐
//!   S-CSCF ─ MAR ──────▶ multimedia_authentication ── sequence ────┤
//!   S-CSCF ─ SAR ──────▶ server_assignment ── profile ─────────────┼─▶ database ─▶ Store
//!   S-CSCF ◀ RTR, PPR ── termination ◀─┐                           │
//!   operator ─ commands ─▶ command ────┴─ provisioning ── vault ───┘
//! ```
//!
//! All durable state is in the [`Store`]; memory holds sequence cursors and what waits for an S-CSCF's answer. An answer
//! that depends on a write leaves only after [`Decision::Commit`]. This crate never reads a file, a clock or a socket, and
//! never hands out or prints a secret but the vectors that MAA is for.

#![forbid(unsafe_code)]

mod check;
mod codec;
pub mod command;
mod database;
mod identity;
pub mod import;
mod location_information;
mod multimedia_authentication;
mod profile;
pub mod provisioning;
mod record;
pub mod schema;
mod sequence;
mod server_assignment;
mod termination;
mod user_authorization;
mod vault;

use std::collections::VecDeque;

use clock::{Instant, WallOrigin};
use diameter::cx::{self, ResultCode};
use node::config;
use node::event::{Event, Pii};
use node::mirror::{self, Change, Collector, Mirror};
use node::{Decision, DiameterKey, Function, Indication, Setup, Store};
use rand::rngs::StdRng;

use crate::codec::Unreadable;
use crate::database::Database;
use crate::record::{Registration, Subscriber};
use crate::sequence::Sequence;
use crate::termination::Terminations;
use crate::vault::Vault;

/// Why an HSS cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HssError {
    /// The slice of IND values is empty or leaves the 32 there are.
    #[error(
        "hss.sqnIndexFirst {first} and hss.sqnIndexCount {count} do not lie within the 32 index values: take first + count ≤ 32 and count ≥ 1"
    )]
    IndexSlice {
        /// `sqnIndexFirst`.
        first: u8,
        /// `sqnIndexCount`.
        count: u8,
    },
    /// The block is empty, or so large that a few restarts would leave the SIM's range.
    #[error("hss.sequenceBlock is {block}: take 1 to {BLOCK_MAX}")]
    SequenceBlock {
        /// `sequenceBlock`.
        block: u64,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Schema(#[from] schema::SchemaError),
}

/// A SIM accepts SEQ at most 2²⁸ ahead (TS 33.102 §C.3.2): with this block, 2¹² restarts between two uses stay in range.
const BLOCK_MAX: u64 = 1 << 16;

/// The HSS.
pub struct Hss<S> {
    database: Database<S>,
    vault: Vault,
    sequence: Sequence,
    policy: Policy,
    wall: WallOrigin,
    challenges: StdRng,
    terminations: Terminations,
    outgoing: VecDeque<Decision>,
}

/// What the configuration decides.
struct Policy {
    home_domain: String,
    /// Empty: any.
    visited_networks_allowed: Vec<String>,
    server_names: Vec<String>,
}

/// Why a Cx request is not granted.
#[derive(Debug)]
struct Refusal {
    result: ResultCode,
    /// The word for the counter.
    outcome: &'static str,
    /// The sentence; never a secret.
    detail: String,
}

impl Refusal {
    fn new(result: ResultCode, outcome: &'static str, detail: impl Into<String>) -> Self {
        Refusal { result, outcome, detail: detail.into() }
    }

    fn unknown(detail: &str) -> Self {
        Refusal::new(ResultCode::USER_UNKNOWN, UNKNOWN_SUBSCRIBER, detail)
    }
}

const UNKNOWN_SUBSCRIBER: &str = "unknown_subscriber";
const RECORD_UNREADABLE: &str = "record_unreadable";
const CREDENTIAL_UNREADABLE: &str = "credential_unreadable";
const SEQUENCE_EXHAUSTED: &str = "sequence_exhausted";

/// Outcomes that an operator must look at.
const ALARMING: [&str; 3] = [RECORD_UNREADABLE, CREDENTIAL_UNREADABLE, SEQUENCE_EXHAUSTED];

impl From<Unreadable> for Refusal {
    fn from(_: Unreadable) -> Self {
        Refusal::new(
            ResultCode::UNABLE_TO_COMPLY,
            RECORD_UNREADABLE,
            "a record in the subscriber store is damaged; provision this subscriber again or restore a backup",
        )
    }
}

impl<S: Store> Hss<S> {
    /// Builds an HSS on its store: a new store is given its version, an older one is migrated.
    ///
    /// Errors: a configuration that breaks the uniqueness of SQNs, a store of a later release, another key.
    pub fn new(
        setup: &Setup,
        own: &config::Hss,
        key_encryption_key: [u8; 32],
        mut store: S,
    ) -> Result<Hss<S>, HssError> {
        let (first, count, block) = (own.sqn_index_first, own.sqn_index_count, own.sequence_block);
        if count == 0 || u32::from(first) + u32::from(count) > 1 << sequence::IND_BITS {
            return Err(HssError::IndexSlice { first, count });
        }
        if !(1..=BLOCK_MAX).contains(&block) {
            return Err(HssError::SequenceBlock { block });
        }
        let mut vault = Vault::new(&key_encryption_key, setup.random("hss credential nonces"));
        let is_changed = schema::open(&mut store, &mut vault)?;
        let mut database = Database::new(store);
        if is_changed {
            database.set_number(schema::meta::SEQUENCE_JUMPED, setup.wall.0.0 / 1_000_000);
        }
        let mut hss = Hss {
            sequence: Sequence::new(first, count, block, &database),
            database,
            vault,
            policy: Policy {
                home_domain: setup.config.home_domain.clone(),
                visited_networks_allowed: own.visited_networks_allowed.clone(),
                server_names: own.server_names.clone(),
            },
            wall: setup.wall,
            challenges: setup.random("hss challenges"),
            terminations: Terminations::default(),
            outgoing: VecDeque::new(),
        };
        hss.commit_if_needed();
        Ok(hss)
    }

    /// The store, for the driver.
    pub fn store(&self) -> &S {
        &self.database.store
    }

    /// The store, for the driver, which commits it.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.database.store
    }

    fn on_diameter_request(&mut self, key: DiameterKey, request: cx::Request) {
        let answer = match request {
            cx::Request::UserAuthorization(request) => self.user_authorization(&request),
            cx::Request::MultimediaAuthentication(request) => self.multimedia_authentication(&request),
            cx::Request::ServerAssignment(request) => self.server_assignment(&request),
            cx::Request::LocationInformation(request) => self.location_information(&request),
            // RTR and PPR go from HSS to S-CSCF only: who sends them here is misconfigured.
            cx::Request::RegistrationTermination(_) => {
                cx::Answer::RegistrationTermination(cx::RegistrationTerminationAnswer {
                    result: ResultCode::UNABLE_TO_COMPLY,
                    associated_identities: Vec::new(),
                })
            }
            cx::Request::PushProfile(_) => {
                cx::Answer::PushProfile(cx::PushProfileAnswer { result: ResultCode::UNABLE_TO_COMPLY })
            }
        };
        self.commit_if_needed();
        self.outgoing.push_back(Decision::Answer { key, answer });
    }

    /// What was written for the next decision goes to disk ahead of it.
    fn commit_if_needed(&mut self) {
        if self.database.take_needs_commit() {
            self.outgoing.push_back(Decision::Commit);
        }
    }

    fn event(&mut self, event: Event) {
        self.outgoing.push_back(Decision::Event(event));
    }

    /// Counts how a procedure ended; raises the alarm where somebody must look.
    fn report<T>(&mut self, name: &'static str, identity: &str, ended: &Result<T, Refusal>) {
        let (outcome, detail) = match ended {
            Ok(_) => ("ok", ""),
            Err(refusal) => (refusal.outcome, refusal.detail.as_str()),
        };
        self.report_words(name, identity, outcome, detail);
    }

    fn report_words(&mut self, name: &'static str, identity: &str, outcome: &'static str, detail: &str) {
        self.event(Event::Procedure {
            name,
            outcome,
            identity: Pii::new(identity.to_owned()),
            detail: detail.to_owned(),
        });
        if ALARMING.contains(&outcome) {
            self.event(Event::Alarm { cause: outcome, reason: detail.to_owned() });
        }
    }

    /// Who registers. A first REGISTER need not name its user; then the private identity is the public one without its
    /// scheme (TS 24.229 §5.3.1.2), which need not be what the operator has given: softphones name their user only when they
    /// are challenged. Such a name stands for the owner of the public identity, and the answer to MAR says who that is.
    fn registrant(&self, private_identity: &str, public_identity: &str) -> String {
        let is_unknown = matches!(self.database.subscriber(private_identity), Ok(None));
        let owner = || {
            let uri = identity::canonical(public_identity).ok()?;
            let is_derived = uri.split_once(':').is_some_and(|(_, rest)| rest == private_identity);
            is_derived.then(|| self.database.owner(&uri))?
        };
        is_unknown.then(owner).flatten().unwrap_or_else(|| private_identity.to_owned())
    }

    /// The subscriber of both identities and the number of the implicit set of the public one: they exist (5001) and
    /// belong together (5002).
    fn subscriber_of(
        &self,
        private_identity: &str,
        public_identity: &str,
    ) -> Result<(Subscriber, u8), Refusal> {
        let Some(subscriber) = self.database.subscriber(private_identity)? else {
            return Err(Refusal::unknown("the private identity is not provisioned"));
        };
        let (uri, owner) = self.owner_of(public_identity)?;
        let set = subscriber.find(&uri).filter(|_| owner == private_identity).map(|found| found.implicit_set);
        match set {
            Some(set) => Ok((subscriber, set)),
            None => Err(Refusal::new(
                ResultCode::IDENTITIES_DONT_MATCH,
                "identities_do_not_match",
                "the public identity belongs to another private identity",
            )),
        }
    }

    /// The canonical form of a public identity and the private identity it belongs to.
    fn owner_of(&self, public_identity: &str) -> Result<(String, String), Refusal> {
        let uri = identity::canonical(public_identity)
            .map_err(|reason| Refusal::unknown(&format!("the public identity cannot be read: {reason}")))?;
        match self.database.owner(&uri) {
            Some(owner) => Ok((uri, owner)),
            None => Err(Refusal::unknown("the public identity is not provisioned")),
        }
    }

    fn capabilities(&self, subscriber: &Subscriber) -> cx::ServerCapabilities {
        cx::ServerCapabilities {
            mandatory: subscriber.mandatory_capabilities.clone(),
            optional: subscriber.optional_capabilities.clone(),
            server_names: self.policy.server_names.clone(),
        }
    }

    /// An I-CSCF asks for capabilities although a server is assigned: that server does not answer (TS 23.380 §4.2, 4.3).
    /// Whoever sends SAR next may take over. Need not be durable: what is lost in a crash is asked for again.
    fn expect_reassignment(&mut self, private_identity: &str, mut registration: Registration) {
        if registration.server_name.is_some() && !registration.is_reassignment_pending {
            registration.is_reassignment_pending = true;
            self.database.put_registration(private_identity, &registration, database::Durability::Whenever);
        }
    }
}

impl<S: Store> Function for Hss<S> {
    fn handle_input(&mut self, now: Instant, input: Indication) {
        match input {
            Indication::DiameterRequest { key, request, origin_host: _ } => {
                self.on_diameter_request(key, request)
            }
            Indication::Command { key, name, body } => self.on_command(now, key, &name, &body),
            Indication::Answer { query, answer } => self.on_answer(query, answer),
            // Whatever was asked has its answer queued already; the shell waits for the open RTRs.
            Indication::Stopping => {}
            // An HSS has no SIP interface; the configuration gives it no address to receive any of these.
            Indication::Request { .. }
            | Indication::Ack { .. }
            | Indication::Cancelled { .. }
            | Indication::Response { .. }
            | Indication::OwnResponse { .. }
            | Indication::FlowClosed { .. } => {}
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Option<Decision> {
        self.outgoing.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn take_over(&mut self, _now: Instant) {}
}

impl<S: Store> Mirror for Hss<S> {
    fn follow(&mut self, is_followed: bool) {
        self.database.follow(is_followed);
        self.terminations.follow(is_followed);
    }

    fn collect(&mut self, into: &mut Collector) {
        self.database.collect(into);
        self.terminations.collect(into);
    }

    fn apply(&mut self, change: &Change) -> Result<bool, mirror::Unreadable> {
        let is_ours = self.database.apply(change)? || self.terminations.apply(change)?;
        self.sequence.reload_offset(&self.database);
        self.commit_if_needed();
        Ok(is_ours)
    }

    fn clear(&mut self) {
        self.database.clear();
        self.terminations.clear();
    }
}
