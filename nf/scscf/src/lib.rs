//! The S-CSCF: registrar, authenticator and the home network's call router (TS 24.229 §5.4). Sans-I/O.
//!
//! ```text
//!   REGISTER ─▶ register ─▶ authenticate (MAR, 401, check) ─▶ assign (SAR) ─▶ registrar ─▶ 200, NOTIFY (reg_event)
//!   Route orig@us ─▶ originate ─▶ I-CSCF or another domain      ┐ user unknown here: restore (SAR NO_ASSIGNMENT)
//!   Request-URI of a user ─▶ terminate ─▶ Path of each contact  ┘
//!   To tag ─▶ dialog ─▶ next Route
//!   RTR, PPR, expiry ─▶ deregister ─▶ NOTIFY
//! ```
//!
//! It never learns how a message travelled, was repeated or was lost: that is the shell's.

#![forbid(unsafe_code)]

use std::collections::VecDeque;

use clock::{Duration, Instant, WallOrigin};
use diameter::cx;
use node::mirror::{Composite, Mirror, Numbers, Table, TableId, Timers};
use node::{ClientKey, Decision, Event, Function, Indication, QueryKey, ServerKey, Setup};
use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use sip::identity::Pii;
use sip::{Draft, Message, Method};

use text::Text;

mod assign;
mod assigned;
mod authenticate;
mod challenge;
mod charging;
mod command;
pub mod contact;
mod deregister;
mod dialog;
mod grant;
mod notify;
mod originate;
mod own;
pub mod profile;
mod reg_event;
mod reginfo;
mod register;
pub mod registrar;
mod restore;
mod route;
mod terminate;
pub mod text;
pub mod watcher;

#[cfg(test)]
mod tests;

/// How long a 401 waits for its REGISTER: reg-await-auth (TS 24.229 §7.8).
const REG_AWAIT_AUTH: Duration = Duration::from_secs(240);

/// The S-CSCF.
pub struct Scscf {
    own: own::Own,
    settings: node::config::Scscf,
    wall: WallOrigin,
    registrar: registrar::Registrar,
    challenges: challenge::Challenges,
    watchers: watcher::Watchers,
    /// One assignment at a time for each private identity; the others wait here.
    assigning: Table<Text, VecDeque<assign::Job>>,
    waiting: Table<QueryKey, Waiting>,
    forwarded: Table<ServerKey, route::Forwarded>,
    notifying: Table<ClientKey, u64>,
    retries: Table<u64, assign::Job>,
    timers: Timers<Timer>,
    random: Random,
    keys: Numbers,
    is_stopping: bool,
    output: VecDeque<Decision>,
}

/// One random stream for each purpose.
struct Random {
    tag: StdRng,
    nonce: StdRng,
    charging: StdRng,
}

/// What the answer to a Diameter request is awaited for.
#[derive(Serialize, Deserialize)]
enum Waiting {
    /// MAA: a challenge is to be made.
    Vector(authenticate::Wanted),
    /// SAA: a registration is to be completed.
    Assignment(assign::Job),
    /// SAA: a request for a user who is not known here (TS 23.380 §4.3).
    Restoration(restore::Interrupted),
    /// SAA that only tells the HSS something.
    Notice,
}

/// What may fall due; one slot for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Timer {
    /// A nonce: reg-await-auth while it is unanswered, its lifetime afterwards.
    Challenge(challenge::Key),
    /// The first contact of a set expires.
    Contacts(registrar::SetId),
    /// A subscription expires.
    Subscription(u64),
    /// A notification that was held back may go.
    Notification(u64),
    /// A de-registration that the HSS did not hear is told again.
    Retry(u64),
}

impl Scscf {
    /// An S-CSCF without memory: what it needs of earlier registrations it fetches from the HSS.
    pub fn new(setup: &Setup, own: &node::config::Scscf) -> Scscf {
        Scscf {
            own: own::Own::new(setup, own),
            settings: own.clone(),
            wall: setup.wall,
            registrar: registrar::Registrar::default(),
            challenges: challenge::Challenges::default(),
            watchers: watcher::Watchers::default(),
            assigning: Table::new(TableId(53)),
            waiting: Table::new(TableId(54)),
            forwarded: Table::new(TableId(55)),
            notifying: Table::new(TableId(56)),
            retries: Table::new(TableId(57)),
            timers: Timers::new(TableId(58)),
            random: Random {
                tag: setup.random("scscf tag"),
                nonce: setup.random("scscf nonce"),
                charging: setup.random("scscf charging"),
            },
            keys: Numbers::new(TableId(59)),
            is_stopping: false,
            output: VecDeque::new(),
        }
    }

    /// The registration state, for checkers.
    pub fn registrar(&self) -> &registrar::Registrar {
        &self.registrar
    }

    /// How many requests, answers and challenges are still being waited for; 0 when nothing leaks.
    pub fn open_procedures(&self) -> usize {
        self.waiting.len() + self.forwarded.len() + self.notifying.len() + self.assigning.len()
    }

    fn handle_answer(&mut self, now: Instant, query: QueryKey, answer: Result<cx::Answer, node::Unanswered>) {
        match self.waiting.remove(&query) {
            Some(Waiting::Vector(wanted)) => self.on_vector(now, wanted, answer),
            Some(Waiting::Assignment(job)) => self.on_assignment(now, job, answer),
            Some(Waiting::Restoration(interrupted)) => self.on_restoration(now, interrupted, answer),
            Some(Waiting::Notice) | None => {}
        }
    }

    fn on_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Challenge(key) => self.on_challenge_expired(key),
            Timer::Contacts(id) => self.on_contacts_expired(now, id),
            Timer::Subscription(id) => self.on_subscription_expired(now, id),
            Timer::Notification(id) => self.notify(now, id),
            Timer::Retry(key) => {
                if let Some(job) = self.retries.remove(&key) {
                    self.enqueue(now, job);
                }
            }
        }
    }

    fn next_key(&mut self) -> u64 {
        self.keys.draw()
    }

    fn ask(&mut self, request: cx::Request, waiting: Waiting) {
        let query = QueryKey(self.next_key());
        self.waiting.insert(query, waiting);
        self.output.push_back(Decision::Ask { query, request, destination_host: None });
    }

    /// A response of our own to `request`.
    fn response(&mut self, request: &Message, status: u16, reason: &str) -> Draft {
        let tag = format!("{:016x}", self.random.tag.next_u64());
        Draft::response(request, status, reason, &tag)
    }

    fn respond(&mut self, server: ServerKey, response: Draft) {
        self.output.push_back(Decision::Respond { server, response });
    }

    /// Answers with nothing but a status.
    fn refuse(&mut self, server: ServerKey, request: &Message, status: u16, reason: &str) {
        let response = self.response(request, status, reason);
        self.respond(server, response);
    }

    fn event(
        &mut self,
        name: &'static str,
        outcome: &'static str,
        identity: &str,
        detail: impl Into<String>,
    ) {
        let identity = Pii::new(identity.to_string());
        self.output.push_back(Decision::Event(Event::Procedure {
            name,
            outcome,
            identity,
            detail: detail.into(),
        }));
    }
}

impl Function for Scscf {
    fn handle_input(&mut self, now: Instant, input: Indication) {
        match input {
            Indication::Request { server, request, .. } if request.method() == Method::Register => {
                self.handle_register(now, server, request);
            }
            Indication::Request { server, request, .. } => self.handle_request(now, server, request),
            Indication::Ack { request, .. } => self.handle_ack(&request),
            Indication::Cancelled { server } => self.handle_cancelled(server),
            Indication::Response { server, response, origin, branch, .. } => {
                self.handle_response(now, server, &response, origin, branch);
            }
            Indication::OwnResponse { client, response, .. } => {
                self.handle_notify_response(now, client, &response)
            }
            Indication::FlowClosed { .. } => {}
            Indication::Answer { query, answer } => self.handle_answer(now, query, answer),
            Indication::DiameterRequest { key, request, .. } => {
                self.handle_diameter_request(now, key, request)
            }
            Indication::Command { key, name, body } => self.handle_command(now, key, &name, &body),
            Indication::Stopping => self.is_stopping = true,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            self.on_timer(now, timer);
        }
    }

    fn poll_output(&mut self) -> Option<Decision> {
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn take_over(&mut self, _now: Instant) {}
}

impl Composite for Scscf {
    fn each(&mut self, show: &mut dyn FnMut(&mut dyn Mirror)) {
        show(&mut self.registrar);
        show(&mut self.challenges);
        show(&mut self.watchers);
        show(&mut self.assigning);
        show(&mut self.waiting);
        show(&mut self.forwarded);
        show(&mut self.notifying);
        show(&mut self.retries);
        show(&mut self.timers);
        show(&mut self.keys);
    }
}
