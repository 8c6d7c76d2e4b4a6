//! The device itself: its transactions, and the dispatch of what comes in.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use clock::{Instant, TimerTable};
use sip::transaction::{ClientReaction, ClientTimeout, ClientTransaction, build_ack};
use sip::{Draft, Message, Method, Name};

use crate::Profile;
use crate::call::Call;
use crate::register::Registration;
use crate::report::{CallId, Failure, Report};
use crate::text::RequestText;

/// From the device.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send to the P-CSCF.
    Send(Bytes),
    /// Something happened.
    Report(Report),
}

/// What a request of the device is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Register,
    Message(CallId),
    Invite(CallId),
    /// BYE.
    Release(CallId),
    /// Anything else; the call it belongs to, if any.
    Other(Option<CallId>),
}

/// A request of the device that waits for its answer.
#[derive(Clone, Debug)]
struct Pending {
    transaction: ClientTransaction,
    purpose: Purpose,
    method: String,
    bytes: Bytes,
    sent_at: Instant,
    /// The final status, once there was one: a different second one is reported.
    final_status: Option<u16>,
}

/// Deadlines of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// A client transaction, by its branch and method.
    Request(String),
    /// A call's ringing or the repetition of its 200.
    Call(CallId),
    /// Forgetting of an answered request.
    Answered(String),
    /// The refresh of the registration.
    Refresh,
}

/// A telephone. See the crate's head.
pub struct Device {
    pub(crate) profile: Profile,
    pub(crate) registration: Registration,
    pub(crate) calls: BTreeMap<CallId, Call>,
    pending: BTreeMap<String, Pending>,
    /// Requests answered, by branch and method: a repetition gets the same bytes (RFC 3261 §17.2.2).
    answered: BTreeMap<String, Bytes>,
    pub(crate) timers: TimerTable<TimerKey>,
    outputs: VecDeque<Output>,
    /// Refreshes its registration before it ends.
    pub(crate) is_refreshing: bool,
    seed: u64,
    serial: u64,
}

impl Device {
    /// A device that is switched on and has done nothing yet. `seed` makes its Call-IDs, tags and branches its own.
    pub fn new(profile: Profile, seed: u64) -> Device {
        Device {
            profile,
            registration: Registration::default(),
            calls: BTreeMap::new(),
            pending: BTreeMap::new(),
            answered: BTreeMap::new(),
            timers: TimerTable::default(),
            outputs: VecDeque::new(),
            is_refreshing: true,
            seed,
            serial: 0,
        }
    }

    /// Who it is.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Does it believe to be registered at `now`?
    pub fn is_registered(&self, now: Instant) -> bool {
        self.registration.expires_at.is_some_and(|at| at > now)
    }

    /// Lets its registration run out, as a device does that lost its battery.
    pub fn stop_refreshing(&mut self) {
        self.is_refreshing = false;
        self.timers.set(TimerKey::Refresh, None);
    }

    /// Has it nothing under way: no request without an answer, no call?
    pub fn is_quiet(&self) -> bool {
        self.calls.is_empty() && !self.is_waiting()
    }

    /// Does a request of its own wait for its answer?
    pub fn is_waiting(&self) -> bool {
        self.pending.values().any(|pending| !pending.transaction.is_completed())
    }

    /// Does a REGISTER wait for its answer?
    pub(crate) fn is_registering(&self) -> bool {
        let is_open = |pending: &Pending| {
            matches!(pending.purpose, Purpose::Register) && !pending.transaction.is_completed()
        };
        self.pending.values().any(is_open)
    }

    /// The calls it is in.
    pub fn calls(&self) -> impl Iterator<Item = &CallId> {
        self.calls.keys()
    }

    /// Bytes from the P-CSCF.
    pub fn handle_message(&mut self, now: Instant, bytes: Bytes) {
        if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return;
        }
        match Message::parse(bytes) {
            Err(error) => self.report(Report::Malformed { reason: error.reason }),
            Ok(message) if message.is_request() => self.on_request(now, message),
            Ok(message) => self.on_response(now, &message),
        }
    }

    /// Deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Request(branch) => self.on_request_timer(now, branch),
                TimerKey::Call(call) => self.on_call_timer(now, call),
                TimerKey::Answered(key) => {
                    self.answered.remove(&key);
                }
                TimerKey::Refresh => self.register(now),
            }
        }
    }

    /// The next output; `None` when all are taken.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Device::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Sends a MESSAGE (RFC 3428); tells its Call-ID.
    pub fn message(&mut self, now: Instant, to: &str, body: &str) -> CallId {
        let call_id = self.unique("msg");
        let branch = self.unique("z9hG4bK");
        let bytes =
            self.initial(Method::Message.as_str(), to, &branch, &call_id, 1).finish(Some("text/plain"), body);
        self.start(now, branch, "MESSAGE", Purpose::Message(call_id.clone()), bytes);
        call_id
    }

    /// Subscribes to its own registration state (RFC 3680); `expires_seconds` 0 asks once.
    pub fn subscribe(&mut self, now: Instant, expires_seconds: u32) {
        let call_id = self.unique("sub");
        let branch = self.unique("z9hG4bK");
        let own = self.profile.public_identity.clone();
        let bytes = self
            .initial(Method::Subscribe.as_str(), &own, &branch, &call_id, 1)
            .header("Event", "reg")
            .header("Accept", "application/reginfo+xml")
            .header("Expires", expires_seconds)
            .header("Contact", format!("<{}>", crate::text::contact_uri(&self.profile)))
            .finish(None, "");
        self.start(now, branch, "SUBSCRIBE", Purpose::Other(None), bytes);
    }

    /// The fields of a request outside a dialog, routed along the Service-Route (RFC 3608).
    pub(crate) fn initial(
        &mut self,
        method: &str,
        to: &str,
        branch: &str,
        call_id: &str,
        cseq: u32,
    ) -> RequestText {
        let tag = self.unique("t");
        let profile = &self.profile;
        let transport = if profile.is_reliable { ";transport=tcp" } else { "" };
        RequestText::new(profile, method, to, branch)
            .header("Route", format!("<sip:{}{transport};lr>", profile.pcscf))
            .headers("Route", &self.registration.service_route)
            .header("From", format!("<{}>;tag={tag}", profile.public_identity))
            .header("To", format!("<{to}>"))
            .header("Call-ID", call_id)
            .header("CSeq", format!("{cseq} {method}"))
            .header("P-Preferred-Identity", format!("<{}>", profile.public_identity))
            .header("P-Access-Network-Info", "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=0010100010000001")
    }

    /// A text that no other request of this device has.
    pub(crate) fn unique(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}{:016x}-{:x}", self.seed, self.serial)
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }

    pub(crate) fn send(&mut self, bytes: Bytes) {
        self.outputs.push_back(Output::Send(bytes));
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        branch: String,
        method: &str,
        purpose: Purpose,
        bytes: Bytes,
    ) {
        let profile = &self.profile;
        let transaction =
            ClientTransaction::new(now, method == "INVITE", profile.is_reliable, profile.timers);
        let key = pending_key(&branch, method);
        self.timers.set(TimerKey::Request(key.clone()), transaction.deadline());
        let pending = Pending {
            transaction,
            purpose,
            method: method.to_owned(),
            bytes: bytes.clone(),
            sent_at: now,
            final_status: None,
        };
        self.pending.insert(key, pending);
        self.send(bytes);
    }

    fn on_request_timer(&mut self, now: Instant, branch: String) {
        let Some(pending) = self.pending.get_mut(&branch) else { return };
        match pending.transaction.on_timeout(now) {
            ClientTimeout::Resend => {
                let (bytes, method) = (pending.bytes.clone(), pending.method.clone());
                self.report(Report::Retransmitted { method });
                self.send(bytes);
            }
            ClientTimeout::TimedOut => {
                let (purpose, method, sent_at) =
                    (pending.purpose.clone(), pending.method.clone(), pending.sent_at);
                self.settle(now, purpose, &method, sent_at, None);
            }
            ClientTimeout::Terminated | ClientTimeout::Nothing => {}
        }
        self.rearm(branch);
    }

    fn on_response(&mut self, now: Instant, response: &Message) {
        let Some(branch) = response.via().and_then(|via| via.branch().map(str::to_owned)) else { return };
        let branch = pending_key(&branch, response.method().as_str());
        let Some(pending) = self.pending.get_mut(&branch) else { return };
        let status = response.status();
        let reaction = pending.transaction.on_response(now, status);
        if status >= 200 {
            match pending.final_status {
                Some(first) if first != status => {
                    let method = pending.method.clone();
                    self.report(Report::SecondFinalAnswer { method, statuses: (first, status) });
                    return;
                }
                _ => pending.final_status = Some(status),
            }
        }
        let (purpose, method, sent_at) = (pending.purpose.clone(), pending.method.clone(), pending.sent_at);
        if matches!(reaction, ClientReaction::DeliverAndAck | ClientReaction::AckAgain)
            && let Ok(invite) = Message::parse(pending.bytes.clone())
        {
            let ack = build_ack(&invite, response).emit();
            self.send(ack);
        }
        if matches!(reaction, ClientReaction::Deliver | ClientReaction::DeliverAndAck) {
            if status < 200 {
                self.on_provisional(now, &purpose, response);
            } else {
                self.settle(now, purpose, &method, sent_at, Some(response));
            }
        }
        self.rearm(branch);
    }

    /// A request of the device has its final answer, or will have none.
    fn settle(
        &mut self,
        now: Instant,
        purpose: Purpose,
        method: &str,
        sent_at: Instant,
        response: Option<&Message>,
    ) {
        let status = response.map_or(408, Message::status);
        let is_success = (200..300).contains(&status);
        let failure = if response.is_some() { Failure::Refused(status) } else { Failure::TimedOut };
        let after = now - sent_at;
        match purpose {
            Purpose::Register => self.on_register_answer(now, sent_at, response),
            Purpose::Message(call) if is_success => self.report(Report::MessageDelivered { call, after }),
            Purpose::Message(call) => self.report(Report::MessageFailed { call, failure }),
            Purpose::Invite(call) => self.on_invite_answer(now, call, response, failure),
            Purpose::Release(call) => {
                self.calls.remove(&call);
                self.timers.set(TimerKey::Call(call.clone()), None);
                // 481: the other side hung up at the same moment. The call is over, as asked for.
                self.report(if is_success || status == 481 {
                    Report::Released { call, after }
                } else {
                    Report::ReleaseFailed { call, failure }
                });
            }
            Purpose::Other(call) => {
                if let (Some(call), Some(response)) = (call, response)
                    && method == "INVITE"
                    && is_success
                {
                    self.acknowledge(&call, response);
                }
                self.report(Report::RequestDone { method: method.to_owned(), status });
            }
        }
    }

    fn rearm(&mut self, branch: String) {
        let Some(pending) = self.pending.get(&branch) else { return };
        if pending.transaction.is_terminated() {
            self.pending.remove(&branch);
            self.timers.set(TimerKey::Request(branch), None);
        } else {
            let deadline = pending.transaction.deadline();
            self.timers.set(TimerKey::Request(branch), deadline);
        }
    }

    fn on_request(&mut self, now: Instant, request: Message) {
        let branch = request.via().and_then(|via| via.branch().map(str::to_owned)).unwrap_or_default();
        let key = format!("{branch} {}", request.method().as_str());
        if let Some(bytes) = self.answered.get(&key) {
            let bytes = bytes.clone();
            self.send(bytes);
            return;
        }
        match request.method() {
            Method::Invite => return self.on_invite(now, request),
            Method::Ack => return self.on_ack(now, &request),
            _ => {}
        }
        let (status, reason) = self.verdict(&request);
        let tag = self.local_tag(&request);
        let response = Draft::response(&request, status, reason, &tag).emit();
        self.answer(now, key, response);
        match request.method() {
            Method::Cancel => self.on_cancel(now, &request),
            Method::Bye => self.on_bye(&request),
            Method::Prack => self.on_prack(request.call_id()),
            Method::Message => {
                let body = String::from_utf8_lossy(request.body()).into_owned();
                self.report(Report::MessageArrived { call: request.call_id().to_owned(), body });
            }
            Method::Notify => {
                let state = request.header(Name::SubscriptionState).unwrap_or("");
                let is_terminal = state.trim_start().to_ascii_lowercase().starts_with("terminated");
                let body = String::from_utf8_lossy(request.body()).into_owned();
                self.report(Report::Notified { body, is_terminal });
            }
            _ => {}
        }
    }

    /// Sends an answer and keeps it for repetitions.
    pub(crate) fn answer(&mut self, now: Instant, key: String, response: Bytes) {
        self.answered.insert(key.clone(), response.clone());
        self.timers.set(TimerKey::Answered(key), Some(now + self.profile.timers.give_up()));
        self.send(response);
    }

    /// What a request other than INVITE deserves.
    fn verdict(&self, request: &Message) -> (u16, &'static str) {
        let is_in_dialog = request.to().is_some_and(|to| to.tag().is_some());
        let is_known = self.calls.contains_key(request.call_id());
        match request.method() {
            Method::Bye | Method::Update | Method::Prack | Method::Info if !is_known => {
                (481, "Call/Transaction Does Not Exist")
            }
            Method::Cancel if !is_known => (481, "Call/Transaction Does Not Exist"),
            Method::Other(_) if !is_in_dialog => (501, "Not Implemented"),
            _ => (200, "OK"),
        }
    }

    /// The To tag of this device's answers in a dialog.
    pub(crate) fn local_tag(&self, request: &Message) -> String {
        let call = self.calls.get(request.call_id());
        call.map_or_else(|| format!("ue{:08x}", self.seed), |call| call.local_tag.clone())
    }
}

/// A CANCEL has the branch of its INVITE, so the method is part of the key.
fn pending_key(branch: &str, method: &str) -> String {
    format!("{branch} {method}")
}
