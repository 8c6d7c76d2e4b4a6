//! The node: one function with its transactions and peers. Takes wire inputs in, gives wire outputs out.
//!
//! This file owns the state and dispatches; the server side is in `server.rs`, the client side in `client.rs`, Diameter
//! in `peers.rs`. Nothing here decides what a request means: that is the function's business.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use clock::{Duration, Instant, TimerTable};
use serde::{Deserialize, Serialize};
use sip::Message;
use sip::transaction::{ServerMatch, Timers};

use crate::client::Client;
use crate::event::Event;
use crate::function::{Decision, Function, Indication, ServerKey, Setup};
use crate::mirror::{Numbers, Table, TableId};
use crate::overload::Overload;
use crate::peers::Peers;
use crate::server::Server;
use crate::via::Branches;
use crate::wire::{Destination, Flow, Input, Output, Transport};

/// Server transactions a node holds at most; beyond it new requests are shed. Over UDP each is held for 32 s (timers H,
/// J, L), so this is the load of about 15,000 requests a second: more than two cores have been seen to serve.
pub(crate) const TRANSACTIONS_MAX: usize = 500_000;

/// The node's own tables; those of functions begin at 16.
pub(crate) const SERVERS: TableId = TableId(1);
pub(crate) const CLIENTS: TableId = TableId(2);
pub(crate) const SERVER_NUMBERS: TableId = TableId(3);
pub(crate) const CLIENT_NUMBERS: TableId = TableId(4);
pub(crate) const BRANCH_SEED: TableId = TableId(5);
pub(crate) const QUESTIONS: TableId = TableId(6);

/// A message that left for the first time. A copy that takes over does not know whether the last ones did, and sends them
/// once more: the same bytes, taken from its own state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Emission {
    /// The request of a client transaction.
    Request(u64),
    /// The last response of a server transaction.
    Response(ServerKey),
    /// An ACK that belongs to no transaction.
    Stateless {
        /// Where to.
        destination: Destination,
        /// Its bytes.
        bytes: Bytes,
    },
}

/// What a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TimerKey {
    /// A server transaction.
    Server(ServerKey),
    /// A client transaction.
    Client(u64),
    /// A Diameter peer.
    Peer(u64),
}

/// One network function with its shell.
pub struct Node<F> {
    pub(crate) setup: Setup,
    pub(crate) function: F,
    outputs: VecDeque<Output>,
    pub(crate) indications: VecDeque<Indication>,
    pub(crate) servers: Table<ServerKey, Server>,
    pub(crate) server_index: HashMap<ServerMatch, ServerKey>,
    pub(crate) clients: Table<u64, Client>,
    pub(crate) server_numbers: Numbers,
    pub(crate) client_numbers: Numbers,
    /// What [`Branches`] are made of: a copy recognises them, and goes on making them.
    pub(crate) branch_seed: Table<(), [u8; 16]>,
    pub(crate) timers: TimerTable<TimerKey>,
    pub(crate) sip_timers: Timers,
    pub(crate) branches: Branches,
    pub(crate) peers: Peers,
    pub(crate) overload: Overload,
    /// Requests without a final answer.
    pub(crate) unanswered: usize,
    /// What has left for the first time since the last [`Node::collect`]; `None`: nobody follows.
    pub(crate) emissions: Option<Vec<Emission>>,
    /// Does it serve, or does it follow one that does?
    pub(crate) is_serving: bool,
    stop: Stop,
    has_begun: bool,
}

/// How far a graceful stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Not asked for.
    No,
    /// New requests are refused; what is open is answered.
    Draining,
    /// Nothing is open any more, and the driver was told.
    Done,
}

impl<F: Function> Node<F> {
    /// Builds a node. It begins (and wants its Diameter connections) with the first call that tells it the time; until
    /// then [`Node::poll_timeout`] says that it wants one at once.
    pub fn new(setup: Setup, function: F) -> Node<F> {
        let timers = setup.config.timers;
        let milliseconds = |value: u32| Duration::from_millis(value.into());
        let mut seed = [0; 16];
        rand::Rng::fill_bytes(&mut setup.random("branch"), &mut seed);
        let mut branch_seed = Table::new(BRANCH_SEED);
        branch_seed.insert((), seed);
        Node {
            peers: Peers::new(&setup),
            function,
            outputs: VecDeque::new(),
            indications: VecDeque::new(),
            servers: Table::new(SERVERS),
            server_index: HashMap::new(),
            clients: Table::new(CLIENTS),
            server_numbers: Numbers::new(SERVER_NUMBERS),
            client_numbers: Numbers::new(CLIENT_NUMBERS),
            branch_seed,
            timers: TimerTable::default(),
            sip_timers: Timers {
                t1: milliseconds(timers.t1_milliseconds),
                t2: milliseconds(timers.t2_milliseconds),
                t4: milliseconds(timers.t4_milliseconds),
            },
            branches: Branches::new(seed),
            overload: Overload::default(),
            unanswered: 0,
            emissions: None,
            is_serving: true,
            stop: Stop::No,
            has_begun: false,
            setup,
        }
    }

    /// The function inside, for its store and for checkers.
    pub fn function(&self) -> &F {
        &self.function
    }

    /// See [`Node::function`].
    pub fn function_mut(&mut self) -> &mut F {
        &mut self.function
    }

    /// How many transactions are held: server, client.
    pub fn transaction_counts(&self) -> (usize, usize) {
        (self.servers.len(), self.clients.len())
    }

    /// Takes one input in. Drain [`Node::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.begin(now);
        match input {
            // Whoever serves hears it.
            Input::Sip { .. } | Input::SipClosed { .. } | Input::SipUnreachable { .. }
                if !self.is_serving => {}
            Input::Sip { flow, bytes, waited } => self.on_sip(now, flow, bytes, waited),
            Input::SipClosed { flow } => {
                self.indications.push_back(Indication::FlowClosed { flow });
            }
            Input::SipUnreachable { destination } => self.on_unreachable(now, destination),
            Input::Command { key, name, body } => {
                self.indications.push_back(Indication::Command { key, name, body });
            }
            Input::DiameterConnected { connection, peer, remote } => {
                self.peers.on_connected(now, connection, peer, remote);
                self.drain_peers(now);
            }
            Input::DiameterConnectFailed { peer } => {
                self.peers.on_connect_failed(now, &peer);
                self.drain_peers(now);
            }
            Input::DiameterBytes { connection, bytes } => {
                self.peers.on_bytes(now, connection, bytes);
                self.drain_peers(now);
            }
            Input::DiameterClosed { connection } => {
                self.peers.on_closed(now, connection);
                self.drain_peers(now);
            }
            Input::Stop => {
                self.stop = Stop::Draining;
                self.indications.push_back(Indication::Stopping);
            }
        }
        self.settle(now);
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.begin(now);
        while let Some(key) = self.timers.pop_due(now) {
            match key {
                TimerKey::Server(server) => self.on_server_timeout(now, server),
                TimerKey::Client(number) => self.on_client_timeout(now, number),
                TimerKey::Peer(slot) => {
                    self.peers.on_timeout(now, slot);
                    self.drain_peers(now);
                }
            }
            self.settle(now);
        }
        if self.is_serving && self.function.poll_timeout().is_some_and(|at| at <= now) {
            self.function.handle_timeout(now);
            self.settle(now);
        }
    }

    /// The next output; `None` when all are taken.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Node::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.has_begun {
            return Some(Instant::ZERO);
        }
        let of_function = if self.is_serving { self.function.poll_timeout() } else { None };
        [self.timers.next(), of_function].into_iter().flatten().min()
    }

    fn begin(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.peers.begin(now, &self.setup);
            self.drain_peers(now);
        }
    }

    /// Is a graceful stop under way?
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop != Stop::No
    }

    /// Lets the function see what happened and carries out what it decides, until both are quiet.
    pub(crate) fn settle(&mut self, now: Instant) {
        loop {
            while let Some(decision) = self.function.poll_output() {
                self.carry_out(now, decision);
            }
            match self.indications.pop_front() {
                Some(indication) if !self.is_serving => self.decline(indication),
                Some(indication) => self.function.handle_input(now, indication),
                None => break,
            }
        }
        if self.stop == Stop::Draining && self.unanswered == 0 {
            self.stop = Stop::Done;
            self.peers.on_stop(now);
            self.drain_peers(now);
            self.output(Output::Stopped);
        }
    }

    fn carry_out(&mut self, now: Instant, decision: Decision) {
        match decision {
            Decision::Respond { server, response } => self.respond(now, server, &response),
            Decision::Forward { server, branches, patience } => self.forward(now, server, branches, patience),
            Decision::Send { client, request, destination } => {
                self.send_own(now, client, request, destination)
            }
            Decision::SendStateless { request, destination } => self.send_stateless(request, destination),
            Decision::Ask { query, request, destination_host } => {
                self.peers.ask(now, query, &request, destination_host.as_deref());
                self.drain_peers(now);
            }
            Decision::Answer { key, answer } => {
                self.peers.answer(now, key, &answer);
                self.drain_peers(now);
            }
            Decision::CommandResult { key, result } => self.output(Output::CommandResult { key, result }),
            Decision::Commit => self.output(Output::Commit),
            Decision::Event(event) => self.event(event),
        }
    }

    /// One SIP message from the wire.
    fn on_sip(&mut self, now: Instant, flow: Flow, bytes: Bytes, waited: Duration) {
        let parsed = Message::parse(bytes.clone()).and_then(|message| {
            message.validate()?;
            Ok(message)
        });
        self.event(Event::SipReceived { flow, bytes: bytes.clone() });
        match parsed {
            Ok(message) if message.is_request() => self.on_request(now, flow, message, waited),
            Ok(message) => self.on_response(now, flow, message),
            Err(error) => self.reject_malformed(flow, bytes, &error),
        }
    }

    /// The listening address from which a message to `destination` leaves.
    pub(crate) fn local_address(&self, destination: &Destination) -> Option<SocketAddr> {
        let is_v4 = destination.remote.is_ipv4();
        destination.local.or_else(|| {
            let listen = &self.setup.config.listen;
            let fits = |transport: Transport| {
                listen
                    .iter()
                    .find(|listen| {
                        listen.address.is_ipv4() == is_v4 && listen.transports.contains(&transport)
                    })
                    .map(|listen| listen.address)
            };
            fits(destination.transport)
        })
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends what was sent before, or what nobody misses: whoever waits for it asks again.
    pub(crate) fn send(&mut self, destination: Destination, bytes: Bytes, is_retransmission: bool) {
        self.event(Event::SipSent { destination, bytes: bytes.clone(), is_retransmission });
        self.output(Output::Sip { destination, bytes });
    }

    /// Sends something for the first time.
    pub(crate) fn emit(&mut self, destination: Destination, bytes: Bytes, emission: Emission) {
        if let Some(emissions) = &mut self.emissions {
            emissions.push(emission);
        }
        self.send(destination, bytes, false);
    }

    /// Moves what the Diameter peers have to say to where it belongs.
    pub(crate) fn drain_peers(&mut self, now: Instant) {
        self.peers.poll(now, &mut self.outputs, &mut self.indications);
        while let Some((slot, deadline)) = self.peers.poll_deadline() {
            self.timers.set(TimerKey::Peer(slot), deadline);
        }
    }
}
