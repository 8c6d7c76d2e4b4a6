//! The server side: requests in, responses out (RFC 3261 §17.2, RFC 6026, RFC 4320).

use bytes::Bytes;
use clock::{Duration, Instant};
use serde::{Deserialize, Serialize};
use sip::message::{HEAD_BYTES_MAX, HEADER_LINES_MAX};
use sip::transaction::{
    ServerAck, ServerMatch, ServerReaction, ServerTimeout, ServerTransaction, server_match,
};
use sip::{Draft, Message, Method, Name, ParseError};

use crate::context::Context;
use crate::event::Event;
use crate::function::{Function, Indication, ServerKey};
use crate::node::{Emission, Node, TRANSACTIONS_MAX, TimerKey};
use crate::via;
use crate::wire::{Destination, Flow};

/// Header lines, and their bytes, that are left for what we add: beyond it the next hop could not read what we send, nor
/// we ourselves, when it is to be answered in the place of a silent next hop.
const LINES_ADDED_MAX: usize = 64;
const BYTES_ADDED_MAX: usize = 8 * 1024;

/// The To tag of answers that leave no transaction behind.
const STATELESS_TAG: &str = "refused";

/// A server transaction and the request it stands for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub transaction: ServerTransaction,
    /// Its key in the index.
    matched: ServerMatch,
    /// Where responses go.
    way_back: Destination,
    /// The request, until it has its final answer.
    pub request: Option<Message>,
    pub is_invite: bool,
    /// The last response sent, to be repeated.
    last_response: Option<Bytes>,
    /// 2xx responses relayed for an INVITE, by client transaction and To tag: copies of them are repeated without the function.
    pub relayed: Vec<(u64, String, Bytes)>,
    /// The 2xx that the function is about to relay.
    pub relaying: Option<(u64, String)>,
    pub context: Context,
}

impl<F: Function> Node<F> {
    /// A parsed and valid request.
    pub(crate) fn on_request(&mut self, now: Instant, flow: Flow, request: Message, waited: Duration) {
        let Some(matched) = server_match(&request) else {
            return self.drop_message(flow, "no_transaction_key", "the topmost Via cannot be read");
        };
        match request.method() {
            Method::Ack => return self.on_ack(now, flow, request, &matched),
            Method::Cancel => return self.on_cancel(now, flow, &request, &matched),
            _ => {}
        }
        if let Some(key) = self.server_index.get(&matched).copied() {
            return self.on_repeated_request(now, key, &request);
        }
        let limit = Duration::from_millis(self.setup.config.shed_after_milliseconds.into());
        let is_queue_standing = self.overload.on_request(now, waited, limit);
        if let Some(refusal) = self.refusal(&request, is_queue_standing) {
            return self.refuse(flow, &request, refusal);
        }
        let way_back = via::way_back(&request, &flow);
        let request = match via::with_source(&request, &flow) {
            None => request,
            Some(draft) => match Message::parse(draft.emit()) {
                Ok(filled) => filled,
                Err(error) => return self.drop_message(flow, "malformed_via", &error.reason),
            },
        };
        let is_invite = request.method() == Method::Invite;
        let key = ServerKey(self.server_numbers.draw());
        let is_reliable = flow.transport.is_reliable();
        let server = Server {
            transaction: ServerTransaction::new(now, is_invite, is_reliable, self.sip_timers),
            matched: matched.clone(),
            way_back,
            request: Some(request.clone()),
            is_invite,
            last_response: None,
            relayed: Vec::new(),
            relaying: None,
            context: Context::default(),
        };
        self.servers.insert(key, server);
        self.server_index.insert(matched, key);
        self.unanswered += 1;
        self.arm_server(key);
        if is_invite {
            // RFC 3261 §16.2, spec RFC-3: at once, it also tells the neighbour that we live.
            self.respond(now, key, &Draft::response(&request, 100, "Trying", ""));
        }
        self.indications.push_back(Indication::Request { server: key, request, flow });
    }

    /// Why a new request is not taken: status, reason, counter word, Retry-After in seconds.
    fn refusal(&self, request: &Message, is_queue_standing: bool) -> Option<Refusal> {
        let is_new = request.to().is_none_or(|to| to.tag().is_none());
        let is_overloaded = self.servers.len() >= TRANSACTIONS_MAX || (is_new && is_queue_standing);
        if is_overloaded || self.is_stopping() {
            let retry_after_seconds = Some(spread_seconds(request.call_id(), self.is_stopping()));
            return Some(Refusal {
                status: 503,
                reason: "Service Unavailable",
                cause: "shed",
                retry_after_seconds,
            });
        }
        if request.number(Name::MaxForwards) == Some(0) {
            return Some(Refusal::new(483, "Too Many Hops", "too_many_hops"));
        }
        let head_bytes = request.raw().len() - request.body().len();
        if request.fields().count() > HEADER_LINES_MAX - LINES_ADDED_MAX
            || head_bytes > HEAD_BYTES_MAX - BYTES_ADDED_MAX
        {
            return Some(Refusal::new(513, "Message Too Large", "too_large"));
        }
        if self.branches.is_loop(request) {
            return Some(Refusal::new(482, "Loop Detected", "loop"));
        }
        None
    }

    /// Answers without keeping anything: a repetition gets the same answer anew.
    fn refuse(&mut self, flow: Flow, request: &Message, refusal: Refusal) {
        let mut draft = Draft::response(request, refusal.status, refusal.reason, STATELESS_TAG);
        if let Some(seconds) = refusal.retry_after_seconds {
            draft.push_back(Name::RetryAfter, seconds.to_string());
            self.event(Event::Shed { method: request.method().as_str().to_owned() });
        } else {
            self.event(Event::MessageRejected {
                flow,
                cause: refusal.cause,
                reason: refusal.reason.to_owned(),
                answered: Some(refusal.status),
            });
        }
        self.send(via::way_back(request, &flow), draft.emit(), false);
    }

    fn drop_message(&mut self, flow: Flow, cause: &'static str, reason: &str) {
        self.event(Event::MessageRejected { flow, cause, reason: reason.to_owned(), answered: None });
    }

    /// Bytes that are no valid message: answered where RFC 3261 wants it and enough is left to build an answer.
    pub(crate) fn reject_malformed(&mut self, flow: Flow, bytes: Bytes, error: &ParseError) {
        let answerable = error
            .answer_status
            .and_then(|status| Some((status, Message::parse_for_rejection(bytes)?)))
            .filter(|(_, request)| request.is_request() && request.method() != Method::Ack);
        self.event(Event::MessageRejected {
            flow,
            cause: "malformed",
            reason: error.reason.clone(),
            answered: answerable.as_ref().map(|(status, _)| *status),
        });
        if let Some((status, request)) = answerable {
            let reason = match status {
                416 => "Unsupported URI Scheme",
                501 => "Not Implemented",
                505 => "Version Not Supported",
                _ => "Bad Request",
            };
            let mut response = Draft::response(&request, status, reason, STATELESS_TAG);
            // The sentence goes to the sender too: it names the field (RFC 3261 §20.43, code 399 is free text).
            let text: String =
                error.reason.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
            response.push_back(Name::Warning, format!("399 {} \"{text}\"", self.setup.config.host_name));
            self.send(via::way_back(&request, &flow), response.emit(), false);
        }
    }

    fn on_repeated_request(&mut self, now: Instant, key: ServerKey, request: &Message) {
        let Some(server) = self.servers.get_mut(&key) else { return };
        let reaction = server.transaction.on_request(now);
        let repeat =
            (reaction == ServerReaction::RepeatLastResponse).then(|| server.last_response.clone()).flatten();
        let way_back = server.way_back;
        self.event(Event::RetransmissionAbsorbed { method: request.method().as_str().to_owned() });
        if let Some(bytes) = repeat {
            self.send(way_back, bytes, true);
        }
    }

    /// An ACK ends an INVITE transaction with a non-2xx answer, or travels on end to end.
    fn on_ack(&mut self, now: Instant, flow: Flow, request: Message, matched: &ServerMatch) {
        let ours = self.server_index.get(&matched.for_ack()).copied();
        let absorbed = ours.filter(|key| {
            let server = self.servers.get_mut(key);
            server.is_some_and(|server| server.transaction.on_ack(now) == ServerAck::Absorb)
        });
        match absorbed {
            Some(key) => self.after_server_change(key),
            // RFC 3261 §8.2.7: nothing is known of the INVITE it belongs to, and under overload it must not cost more.
            None if request.to().is_some_and(|to| to.tag() == Some(STATELESS_TAG)) => {}
            None if request.number(Name::MaxForwards) == Some(0) => {
                self.drop_message(flow, "too_many_hops", "an ACK with Max-Forwards 0");
            }
            None => self.indications.push_back(Indication::Ack { request, flow }),
        }
    }

    /// CANCEL is answered here and never forwarded as such: each branch gets its own (RFC 3261 §9.2, §16.10).
    fn on_cancel(&mut self, now: Instant, flow: Flow, cancel: &Message, matched: &ServerMatch) {
        let key = self.server_index.get(&matched.for_cancel()).copied();
        let (status, reason) = match key {
            Some(_) => (200, "OK"),
            None => (481, "Call/Transaction Does Not Exist"),
        };
        let response = Draft::response(cancel, status, reason, "cancel");
        self.send(via::way_back(cancel, &flow), response.emit(), false);
        let Some(key) = key else { return };
        let Some(server) = self.servers.get_mut(&key) else { return };
        if server.request.is_none() || !server.is_invite {
            return;
        }
        let is_first = !std::mem::replace(&mut server.context.is_decided, true);
        if !is_first {
            return;
        }
        let open = server.context.open.clone();
        if open.is_empty() {
            self.indications.push_back(Indication::Cancelled { server: key });
        }
        for number in open {
            self.cancel_branch(now, number);
        }
    }

    /// Sends a response for a request.
    pub(crate) fn respond(&mut self, now: Instant, key: ServerKey, response: &Draft) {
        let status = response.status();
        let Some(server) = self.servers.get_mut(&key) else { return };
        // RFC 4320 §4.2: a non-INVITE request that ran out of time is not answered at all.
        let is_forbidden = status == 408 && !server.is_invite;
        if !is_forbidden && !server.transaction.on_respond(now, status) {
            return;
        }
        let open = if status >= 200 && server.request.take().is_some() {
            self.unanswered -= 1;
            server.context.is_decided = true;
            server.context.open.clone()
        } else {
            Vec::new()
        };
        if is_forbidden {
            self.remove_server(key);
        } else {
            let bytes = response.emit();
            server.last_response = Some(bytes.clone());
            if let Some((number, to_tag)) = server.relaying.take()
                && (200..300).contains(&status)
            {
                server.relayed.push((number, to_tag, bytes.clone()));
            }
            let way_back = server.way_back;
            self.emit(way_back, bytes, Emission::Response(key));
            self.after_server_change(key);
        }
        for number in open {
            self.cancel_branch(now, number);
        }
    }

    /// Passes a copy of a 2xx on once more.
    pub(crate) fn repeat_relayed(&mut self, key: ServerKey, number: u64, to_tag: &str) -> bool {
        let Some(server) = self.servers.get(&key) else { return false };
        let copy = server.relayed.iter().find(|(client, tag, _)| *client == number && tag == to_tag);
        let Some((_, _, bytes)) = copy else { return false };
        let (way_back, bytes) = (server.way_back, bytes.clone());
        self.send(way_back, bytes, true);
        true
    }

    pub(crate) fn on_server_timeout(&mut self, now: Instant, key: ServerKey) {
        let Some(server) = self.servers.get_mut(&key) else { return };
        let action = server.transaction.on_timeout(now);
        if action == ServerTimeout::SendTrying {
            let trying = server.request.as_ref().map(|request| Draft::response(request, 100, "Trying", ""));
            if let Some(trying) = trying {
                self.respond(now, key, &trying);
            }
            return self.after_server_change(key);
        }
        let repeat =
            (action == ServerTimeout::RepeatLastResponse).then(|| server.last_response.clone()).flatten();
        let way_back = server.way_back;
        if let Some(bytes) = repeat {
            self.send(way_back, bytes, true);
        }
        self.after_server_change(key);
    }

    fn after_server_change(&mut self, key: ServerKey) {
        let is_over = self.servers.get(&key).is_some_and(|server| server.transaction.is_terminated());
        if is_over { self.remove_server(key) } else { self.arm_server(key) }
    }

    /// Sends the last response once more.
    pub(crate) fn repeat_response(&mut self, key: ServerKey) {
        let Some(server) = self.servers.get(&key) else { return };
        let (way_back, response) = (server.way_back, server.last_response.clone());
        if let Some(bytes) = response {
            self.send(way_back, bytes, true);
        }
    }

    /// Puts a server transaction in the place of what is there, or removes it. Its timers are not armed.
    pub(crate) fn put_server(&mut self, key: ServerKey, server: Option<Server>) {
        self.remove_server(key);
        if let Some(server) = server {
            self.server_index.insert(server.matched.clone(), key);
            self.unanswered += usize::from(server.request.is_some());
            self.servers.insert(key, server);
        }
    }

    pub(crate) fn arm_server(&mut self, key: ServerKey) {
        let deadline = self.servers.get(&key).and_then(|server| server.transaction.deadline());
        self.timers.set(TimerKey::Server(key), deadline);
    }

    fn remove_server(&mut self, key: ServerKey) {
        self.timers.set(TimerKey::Server(key), None);
        if let Some(server) = self.servers.remove(&key) {
            self.server_index.remove(&server.matched);
            self.unanswered -= usize::from(server.request.is_some());
        }
    }
}

/// A stateless refusal.
struct Refusal {
    status: u16,
    reason: &'static str,
    cause: &'static str,
    retry_after_seconds: Option<u32>,
}

impl Refusal {
    fn new(status: u16, reason: &'static str, cause: &'static str) -> Self {
        Refusal { status, reason, cause, retry_after_seconds: None }
    }
}

/// Retry-After differs from caller to caller, so that a storm does not come back as one: 2 to 9 s, or 1 s for a restart.
fn spread_seconds(call_id: &str, is_stopping: bool) -> u32 {
    if is_stopping {
        return 1;
    }
    2 + call_id.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 8
}
