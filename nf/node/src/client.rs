//! The client side: requests out, responses in (RFC 3261 §17.1, §16.7 to §16.10, RFC 6026).

use bytes::Bytes;
use clock::{Duration, Instant};
use serde::{Deserialize, Serialize};
use sip::transaction::{ClientReaction, ClientTimeout, ClientTransaction, build_ack, build_cancel};
use sip::{Draft, Message, Method, Name};

use crate::context::Candidate;
use crate::event::Event;
use crate::function::{Branch, ClientKey, Function, Indication, Origin, ServerKey};
use crate::node::{Emission, Node, TimerKey};
use crate::via;
use crate::wire::{Destination, Flow, Transport};

/// How long a cancelled branch may take to say so (RFC 3261 §9.1: 64·T1).
const CANCEL_PATIENCE_T1: u32 = 64;

/// Different 2xx that are passed on for one INVITE: one from each device of a wide fork (RFC 5393 §5.3.3 begins with 60).
const SUCCESSES_MAX: usize = 60;

/// Whom the answer is for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Purpose {
    /// A branch of a forwarded request, by its position.
    Forwarded(ServerKey, usize),
    /// A request of the function's own.
    Own(ClientKey),
    /// A CANCEL: nobody waits for its answer.
    Cancel,
}

/// Where the cancelling of a branch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Cancel {
    /// Nobody cancelled.
    No,
    /// To be sent with the first provisional response: before it, CANCEL could overtake the INVITE (RFC 3261 §9.1).
    Wanted,
    /// Sent.
    Sent,
}

/// A client transaction and the request it carries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    transaction: ClientTransaction,
    purpose: Purpose,
    is_invite: bool,
    destination: Destination,
    branch: String,
    /// The request as sent.
    sent: Bytes,
    has_provisional: bool,
    has_final: bool,
    /// Its stream could not be opened, so it is repeated as over UDP.
    is_retried: bool,
    /// Where it would have gone by UDP, had it been shorter.
    by_datagram: Option<Destination>,
    cancel: Cancel,
    /// The transaction of its CANCEL.
    cancelled_by: Option<u64>,
    /// Timer C, the function's patience, or the wait after a CANCEL.
    give_up: Option<Instant>,
}

impl Client {
    /// Where its request goes.
    pub fn destination(&self) -> Destination {
        self.destination
    }

    /// Its request.
    pub fn sent(&self) -> Bytes {
        self.sent.clone()
    }

    /// Does it wait for a final answer?
    pub fn is_waiting(&self) -> bool {
        !self.has_final && !self.transaction.is_terminated()
    }
}

impl<F: Function> Node<F> {
    /// Carries out [`crate::Decision::Forward`].
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        key: ServerKey,
        branches: Vec<Branch>,
        patience: Option<Duration>,
    ) {
        let Some(server) = self.servers.get(&key) else { return };
        let Some(request) = &server.request else { return };
        if server.context.is_decided && server.is_invite {
            // Cancelled while the function was asking around: nothing is forwarded any more.
            self.indications.push_back(Indication::Cancelled { server: key });
            return;
        }
        let loop_mark = self.branches.loop_mark(request);
        // All are open before the first leaves: one that cannot be sent fails at once, and must not be taken for the last.
        let first = self.client_numbers.take(branches.len() as u64);
        let Some(server) = self.servers.get_mut(&key) else { return };
        let position_first = server.context.branches;
        server.context.branches += branches.len();
        server.context.open.extend(first..first + branches.len() as u64);
        for (at, branch) in branches.into_iter().enumerate() {
            let is_invite = branch.request.method() == Method::Invite;
            self.start_client(
                now,
                first + at as u64,
                Purpose::Forwarded(key, position_first + at),
                branch.request,
                branch.destination,
                loop_mark,
                patience.map(|patience| now + patience),
                is_invite,
            );
        }
    }

    /// Carries out [`crate::Decision::Send`].
    pub(crate) fn send_own(
        &mut self,
        now: Instant,
        client: ClientKey,
        request: Draft,
        destination: Destination,
    ) {
        let is_invite = request.method() == Method::Invite;
        let number = self.client_numbers.draw();
        self.start_client(now, number, Purpose::Own(client), request, destination, 0, None, is_invite);
    }

    /// Carries out [`crate::Decision::SendStateless`]: an ACK with a Via of ours, no transaction behind it.
    pub(crate) fn send_stateless(&mut self, mut request: Draft, destination: Destination) {
        let number = self.client_numbers.draw();
        let branch = self.branches.make(number, 0);
        let Some((destination, bytes)) = self.dress(&mut request, destination, &branch) else { return };
        self.emit(destination, bytes.clone(), Emission::Stateless { destination, bytes });
    }

    #[expect(clippy::too_many_arguments, reason = "one private constructor; a struct would be named once")]
    fn start_client(
        &mut self,
        now: Instant,
        number: u64,
        purpose: Purpose,
        mut request: Draft,
        destination: Destination,
        loop_mark: u64,
        give_up: Option<Instant>,
        is_invite: bool,
    ) {
        let branch = self.branches.make(number, loop_mark);
        let wanted = destination;
        let dressed = self.dress(&mut request, destination, &branch);
        let (destination, sent) = dressed.unwrap_or_else(|| {
            // No listening address of that family: the branch fails as unreachable below.
            request.push_front(Name::Via, format!("SIP/2.0/UDP 0.0.0.0;branch={branch}"));
            (destination, Bytes::new())
        });
        let is_sendable = !sent.is_empty();
        let client = Client {
            transaction: ClientTransaction::new(
                now,
                is_invite,
                destination.transport.is_reliable(),
                self.sip_timers,
            ),
            purpose,
            is_invite,
            destination,
            branch,
            sent: if is_sendable { sent.clone() } else { request.emit() },
            has_provisional: false,
            has_final: false,
            is_retried: false,
            by_datagram: (destination.transport != wanted.transport).then_some(wanted),
            cancel: Cancel::No,
            cancelled_by: None,
            give_up,
        };
        self.clients.insert(number, client);
        if is_sendable {
            self.emit(destination, sent, Emission::Request(number));
            self.arm_client(number);
        } else {
            self.fail_client(now, number, Origin::Unreachable);
        }
    }

    /// Adds our Via and picks TCP for what is too long for a datagram (RFC 3261 §18.1.1).
    fn dress(
        &self,
        request: &mut Draft,
        mut destination: Destination,
        branch: &str,
    ) -> Option<(Destination, Bytes)> {
        let own = |node: &Self, destination: &Destination| {
            let local = node.local_address(destination)?;
            Some(via::own_value(destination.transport, local, branch))
        };
        request.push_front(Name::Via, own(self, &destination)?);
        let mut bytes = request.emit();
        if destination.transport == Transport::Udp && bytes.len() > self.setup.config.datagram_bytes_max {
            let stream = Destination { transport: Transport::Tcp, local: None, ..destination };
            if let Some(value) = own(self, &stream) {
                destination = stream;
                request.replace_first_value(Name::Via, &value);
                bytes = request.emit();
            }
        }
        Some((destination, bytes))
    }

    /// A parsed and valid response.
    pub(crate) fn on_response(&mut self, now: Instant, flow: Flow, response: Message) {
        let is_cancel = response.method() == Method::Cancel;
        let number = response.via().and_then(|via| {
            let branch = via.branch()?;
            let number = self.branches.number(branch)?;
            let client = self.clients.get(&number)?;
            (client.branch == branch && !is_cancel).then_some(number)
        });
        let Some(number) = number else {
            if !is_cancel {
                let reason = format!("a {} response that no request of ours waits for", response.status());
                self.event(Event::MessageRejected { flow, cause: "stray_response", reason, answered: None });
            }
            return self.on_cancel_response(now, &response);
        };
        let status = response.status();
        let Some(client) = self.clients.get_mut(&number) else { return };
        let reaction = client.transaction.on_response(now, status);
        if matches!(reaction, ClientReaction::DeliverAndAck | ClientReaction::AckAgain) {
            self.acknowledge(number, &response);
        }
        if matches!(reaction, ClientReaction::Deliver | ClientReaction::DeliverAndAck) {
            self.deliver(now, number, response, flow);
        }
        self.after_client_change(number);
    }

    /// The answer to a CANCEL only stops its repetition. It carries the INVITE's branch (RFC 3261 §9.1).
    fn on_cancel_response(&mut self, now: Instant, response: &Message) {
        let Some(branch) = response.via().and_then(|via| via.branch().map(str::to_owned)) else { return };
        let invite = self.branches.number(&branch).and_then(|invite| self.clients.get(&invite));
        if let Some(number) = invite.and_then(|invite| invite.cancelled_by)
            && let Some(client) = self.clients.get_mut(&number)
        {
            client.transaction.on_response(now, response.status());
            self.after_client_change(number);
        }
    }

    /// The ACK for a final answer other than 2xx (RFC 3261 §17.1.1.3).
    fn acknowledge(&mut self, number: u64, response: &Message) {
        let Some(client) = self.clients.get(&number) else { return };
        let Ok(invite) = Message::parse(client.sent.clone()) else { return };
        let destination = client.destination;
        self.send(destination, build_ack(&invite, response).emit(), false);
    }

    /// Hands a response to whom it is for.
    fn deliver(&mut self, now: Instant, number: u64, response: Message, flow: Flow) {
        let timer_c = Duration::from_secs(self.setup.config.timers.c_seconds.into());
        let Some(client) = self.clients.get_mut(&number) else { return };
        let status = response.status();
        if status < 200 {
            client.has_provisional = true;
            if client.cancel == Cancel::No {
                // A sign of life ends the function's patience; a ringing phone restarts timer C.
                client.give_up = client.is_invite.then(|| now + timer_c);
            }
            let wants_cancel = client.cancel == Cancel::Wanted;
            if wants_cancel {
                self.send_cancel(now, number);
            }
        } else {
            client.has_final = true;
            client.give_up = None;
        }
        let Some(client) = self.clients.get(&number) else { return };
        match client.purpose {
            Purpose::Own(client) if status > 100 => {
                self.indications.push_back(Indication::OwnResponse {
                    client,
                    response,
                    origin: Origin::Received,
                });
            }
            Purpose::Forwarded(server, branch) => {
                let sent = client.sent.clone();
                let Some(response) = self.passable(sent, flow, response) else { return };
                let candidate = Candidate { response, origin: Origin::Received, branch, flow: Some(flow) };
                self.on_branch_response(now, number, server, candidate);
            }
            _ => {}
        }
    }

    /// RFC 3261 §16.7 step 3: a response with no Via but ours names nobody to pass it on to. Whoever waits for a final one is told
    /// that the next hop is broken.
    fn passable(&mut self, sent: Bytes, flow: Flow, response: Message) -> Option<Message> {
        if response.values(Name::Via).nth(1).is_some() {
            return Some(response);
        }
        let status = response.status();
        let reason = format!("a {status} with no Via but ours: it names nobody to pass it on to");
        self.event(Event::MessageRejected { flow, cause: "no_via_below", reason, answered: None });
        let request = Message::parse(sent).ok().filter(|_| status >= 200)?;
        Message::parse(Draft::response(&request, 502, "Bad Gateway", "none").emit()).ok()
    }

    /// A response of one branch of a forwarded request.
    fn on_branch_response(&mut self, now: Instant, number: u64, key: ServerKey, candidate: Candidate) {
        let status = candidate.response.status();
        if status == 100 {
            return;
        }
        let Some(server) = self.servers.get_mut(&key) else { return };
        if status < 200 {
            if server.request.is_some() {
                self.pass_on(key, candidate);
            }
        } else if status < 300 {
            let to_tag = candidate.response.to().and_then(|to| to.tag()).unwrap_or("").to_owned();
            server.context.on_success(number);
            let is_invite = server.is_invite;
            if self.repeat_relayed(key, number, &to_tag) {
                return;
            }
            let Some(server) = self.servers.get_mut(&key) else { return };
            if server.relayed.len() >= SUCCESSES_MAX {
                // No fork is that wide: somebody makes them up.
                let reason = format!("more than {SUCCESSES_MAX} different 2xx for one INVITE");
                if let Some(flow) = candidate.flow {
                    self.event(Event::MessageRejected {
                        flow,
                        cause: "surplus_success",
                        reason,
                        answered: None,
                    });
                }
                return;
            }
            if is_invite {
                server.relaying = Some((number, to_tag));
            }
            self.pass_on(key, candidate); // the function relays it, and `respond` cancels the other branches
        } else {
            let others = if status >= 600 { server.context.open.clone() } else { Vec::new() };
            server.context.is_decided |= status >= 600;
            if let Some(best) = server.context.on_final(number, candidate)
                && server.request.is_some()
            {
                self.pass_on(key, best);
            }
            for other in others {
                self.cancel_branch(now, other);
            }
        }
    }

    fn pass_on(&mut self, server: ServerKey, candidate: Candidate) {
        let Candidate { response, origin, branch, flow } = candidate;
        self.indications.push_back(Indication::Response { server, response, origin, branch, flow });
    }

    /// Cancels one branch: at once if it has answered provisionally, else as soon as it does. Only INVITE (RFC 3261 §9.1).
    pub(crate) fn cancel_branch(&mut self, now: Instant, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if !client.is_invite || client.has_final || client.cancel != Cancel::No {
            return;
        }
        client.cancel = Cancel::Wanted;
        if client.has_provisional {
            self.send_cancel(now, number);
        }
        self.arm_client(number);
    }

    fn send_cancel(&mut self, now: Instant, number: u64) {
        let wait = self.sip_timers.t1 * CANCEL_PATIENCE_T1;
        let Some(client) = self.clients.get_mut(&number) else { return };
        client.cancel = Cancel::Sent;
        client.give_up = Some(now + wait);
        let destination = client.destination;
        let branch = client.branch.clone();
        let Ok(invite) = Message::parse(client.sent.clone()) else { return };
        let sent = build_cancel(&invite).emit();
        let own = self.client_numbers.draw();
        self.clients.insert(
            own,
            Client {
                transaction: ClientTransaction::new(
                    now,
                    false,
                    destination.transport.is_reliable(),
                    self.sip_timers,
                ),
                purpose: Purpose::Cancel,
                is_invite: false,
                destination,
                branch,
                sent: sent.clone(),
                has_provisional: false,
                has_final: false,
                is_retried: false,
                by_datagram: None,
                cancel: Cancel::No,
                cancelled_by: None,
                give_up: None,
            },
        );
        if let Some(invite) = self.clients.get_mut(&number) {
            invite.cancelled_by = Some(own);
        }
        self.emit(destination, sent, Emission::Request(own));
        self.arm_client(own);
        self.arm_client(number);
    }

    pub(crate) fn on_client_timeout(&mut self, now: Instant, number: u64) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        if client.give_up.is_some_and(|at| at <= now) {
            client.give_up = None;
            if client.is_invite && client.has_provisional && client.cancel == Cancel::No {
                // Timer C: cancel, and give the callee the time to say so (RFC 3261 §16.8).
                self.send_cancel(now, number);
                return;
            }
            return self.fail_client(now, number, Origin::TimedOut);
        }
        match client.transaction.on_timeout(now) {
            ClientTimeout::Resend => {
                let (destination, bytes) = (client.destination, client.sent.clone());
                self.send(destination, bytes, true);
                self.arm_client(number);
            }
            ClientTimeout::TimedOut => self.fail_client(now, number, Origin::TimedOut),
            ClientTimeout::Terminated | ClientTimeout::Nothing => self.after_client_change(number),
        }
    }

    /// A message could not be delivered. Only what waits for a first answer is touched.
    ///
    /// An ICMP error for a datagram proves nothing (anybody can send one) and the timers repeat the request, so it is
    /// left to them. A stream that cannot be opened to a network function (a host that has a name here) is tried again on
    /// the same schedule: the supervisor has it back within a second. A device whose connection is gone, or that accepts
    /// none, will not be there in the next seconds either: the branch fails, so that its caller need not wait for timer B.
    pub(crate) fn on_unreachable(&mut self, now: Instant, destination: Destination) {
        if destination.transport == Transport::Udp {
            return;
        }
        let waiting = |client: &Client| {
            client.destination == destination && !client.has_provisional && !client.has_final
        };
        let is_function = self.setup.topology.is_named_ip(destination.remote.ip());
        let affected: Vec<u64> =
            self.clients.iter().filter(|(_, client)| waiting(client)).map(|(number, _)| *number).collect();
        for number in affected {
            let by_datagram = self.clients.get_mut(&number).and_then(|client| client.by_datagram.take());
            if let Some(datagram) = by_datagram.filter(|_| !is_function) {
                self.send_by_datagram(now, number, datagram);
            } else if destination.connection.is_some() || !is_function {
                self.fail_client(now, number, Origin::Unreachable);
            } else if let Some(client) = self.clients.get_mut(&number)
                && !client.is_retried
            {
                client.is_retried = true;
                client.transaction = ClientTransaction::new(now, client.is_invite, false, self.sip_timers);
                self.arm_client(number);
            }
        }
    }

    /// It went over TCP because it is long, and nobody accepts a connection there: then UDP after all, in as many
    /// fragments as it takes (RFC 3261 §18.1.1). Many telephones speak nothing else.
    fn send_by_datagram(&mut self, now: Instant, number: u64, destination: Destination) {
        let local = self.local_address(&destination);
        let Some(client) = self.clients.get_mut(&number) else { return };
        let (Some(local), Ok(sent)) = (local, Message::parse(client.sent.clone())) else {
            return self.fail_client(now, number, Origin::Unreachable);
        };
        let mut draft = Draft::of(&sent);
        draft.replace_first_value(Name::Via, &via::own_value(destination.transport, local, &client.branch));
        let bytes = draft.emit();
        client.destination = destination;
        client.sent = bytes.clone();
        client.transaction = ClientTransaction::new(now, client.is_invite, false, self.sip_timers);
        self.emit(destination, bytes, Emission::Request(number));
        self.arm_client(number);
    }

    /// A branch ends without an answer: one is made up in its place.
    fn fail_client(&mut self, now: Instant, number: u64, origin: Origin) {
        let Some(client) = self.clients.get(&number) else { return };
        let (status, reason) = match origin {
            Origin::Unreachable => (503, "Service Unavailable"),
            Origin::Received | Origin::TimedOut => (408, "Request Timeout"),
        };
        let made_up = Message::parse(client.sent.clone())
            .and_then(|request| Message::parse(Draft::response(&request, status, reason, "none").emit()));
        // What we sent may be more than we would read ourselves (a NOTIFY with many long contacts): whoever waits is told all the same.
        let made_up = made_up.or_else(|_| {
            let via = format!("SIP/2.0/UDP 0.0.0.0;branch={}", client.branch);
            Message::parse(format!("SIP/2.0 {status} {reason}\r\nVia: {via}\r\n\r\n").into())
        });
        let purpose = client.purpose;
        self.remove_client(number);
        let Ok(response) = made_up else { return };
        match purpose {
            Purpose::Own(client) => {
                self.indications.push_back(Indication::OwnResponse { client, response, origin });
            }
            Purpose::Forwarded(server, branch) => {
                let candidate = Candidate { response, origin, branch, flow: None };
                self.on_branch_response(now, number, server, candidate);
            }
            Purpose::Cancel => {}
        }
    }

    fn after_client_change(&mut self, number: u64) {
        let is_over = self.clients.get(&number).is_some_and(|client| client.transaction.is_terminated());
        if is_over { self.remove_client(number) } else { self.arm_client(number) }
    }

    pub(crate) fn arm_client(&mut self, number: u64) {
        let deadline = self
            .clients
            .get(&number)
            .and_then(|client| [client.transaction.deadline(), client.give_up].into_iter().flatten().min());
        self.timers.set(TimerKey::Client(number), deadline);
    }

    fn remove_client(&mut self, number: u64) {
        self.timers.set(TimerKey::Client(number), None);
        self.clients.remove(&number);
    }
}
