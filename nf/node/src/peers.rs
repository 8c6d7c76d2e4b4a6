//! The Diameter peers of a node: which connection belongs to whom, which peer a request goes to.
//!
//! The machine of one peer is [`diameter::peer::Peer`]; this only routes between it, the driver and the function.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use clock::{Duration, Instant};
use diameter::cx;
use diameter::peer::{AnswerCache, Failure, Identity, IncomingTicket, Peer, PeerOutput, Settings};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Pii};
use crate::function::{DiameterKey, Indication, QueryKey, Setup, Unanswered};
use crate::mirror::Table;
use crate::node::QUESTIONS;
use crate::wire::{ConnectionId, Output};

/// Product-Name in CER and CEA.
const PRODUCT: &str = "Evertone";

/// A restarted HSS is found again this late at most. It is on our own network, so trying often harms nobody.
const RECONNECT_BACK_OFF_MAX: Duration = Duration::from_millis(200);

/// Hosts whose answers are remembered between two connections. There are a handful of CSCFs to an HSS.
const HOSTS_REMEMBERED_MAX: usize = 64;

/// Private and public identity of a Diameter exchange, for the trace: an answer does not repeat them.
type About = (Option<Pii<String>>, Option<Pii<String>>);

/// A request of ours that waits for an answer: enough for a copy of us to ask again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Which peer was asked.
    #[serde(skip)]
    slot: u64,
    /// As it was sent; `None` when it was refused before.
    message: Option<Bytes>,
    destination_host: Option<String>,
    /// Whom it is about.
    private_identity: Option<String>,
    public_identity: Option<String>,
}

impl Question {
    fn about(&self) -> About {
        (self.private_identity.clone().map(Pii::new), self.public_identity.clone().map(Pii::new))
    }
}

/// One peer and the connection it has at the moment.
struct Slot {
    peer: Peer,
    /// Host and address, when it is we who connect.
    configured: Option<(String, SocketAddr)>,
    connection: Option<ConnectionId>,
}

/// A request of a peer that waits for the function.
struct Incoming {
    slot: u64,
    host: String,
    ticket: IncomingTicket,
    about: About,
}

/// All peers of a node.
pub(crate) struct Peers {
    realm: String,
    identity: Arc<Identity>,
    settings: Settings,
    random: rand::rngs::StdRng,
    slots: BTreeMap<u64, Slot>,
    slot_next: u64,
    connections: BTreeMap<ConnectionId, u64>,
    /// Requests of peers that wait for the function.
    incoming: BTreeMap<DiameterKey, Incoming>,
    /// Which node speaks in a name that two nodes share: the one that serves.
    speakers: BTreeMap<String, String>,
    /// What connections that ended had answered, by host: the next one of that host goes on with it.
    answered: BTreeMap<String, AnswerCache>,
    /// Requests of ours that wait for an answer.
    pub(crate) questions: Table<QueryKey, Question>,
    /// What the trace is to be told.
    events: Vec<Event>,
    incoming_next: u64,
    /// Requests refused at once: there is no peer to ask.
    refused: Vec<QueryKey>,
    /// Slots that were touched since the last [`Peers::poll`].
    touched: BTreeSet<u64>,
    deadlines: VecDeque<(u64, Option<Instant>)>,
}

impl Peers {
    /// No peers yet: see [`Peers::begin`].
    pub fn new(setup: &Setup) -> Peers {
        let config = &setup.config;
        let diameter = config.diameter.as_ref();
        let watchdog_seconds = diameter.map_or(30, |diameter| diameter.watchdog_seconds);
        let request_milliseconds = diameter.map_or(3000, |diameter| diameter.request_milliseconds);
        let own_address = diameter
            .and_then(|diameter| diameter.listen.first().copied())
            .or_else(|| config.listen.first().map(|listen| listen.address))
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip());
        let identity = Arc::new(Identity {
            host: config.host_name.clone(),
            node_host: diameter.and_then(|diameter| diameter.node_host.clone()),
            realm: config.home_domain.clone(),
            product: PRODUCT.to_owned(),
            origin_state_id: 0, // known once the node has begun
            host_ip: own_address,
        });
        let settings = Settings {
            wall: setup.wall,
            back_off_max: RECONNECT_BACK_OFF_MAX,
            watchdog: Duration::from_secs(watchdog_seconds.into()),
            request_timeout: Duration::from_millis(request_milliseconds.into()),
            ..Settings::default()
        };
        Peers {
            realm: config.home_domain.clone(),
            identity,
            settings,
            slots: BTreeMap::new(),
            slot_next: 1,
            connections: BTreeMap::new(),
            incoming: BTreeMap::new(),
            incoming_next: 1,
            answered: BTreeMap::new(),
            speakers: BTreeMap::new(),
            questions: Table::new(QUESTIONS),
            events: Vec::new(),
            refused: Vec::new(),
            touched: BTreeSet::new(),
            deadlines: VecDeque::new(),
            random: setup.random("diameter peers"),
        }
    }

    /// The node has begun: each configured peer wants a connection.
    pub fn begin(&mut self, now: Instant, setup: &Setup) {
        // RFC 6733 §8.16: grows with each life of the process. Seconds of wall time do.
        let started_seconds = setup.wall.at(now).0 / 1_000_000;
        Arc::make_mut(&mut self.identity).origin_state_id =
            u32::try_from(started_seconds).unwrap_or(u32::MAX);
        let configured =
            setup.config.diameter.as_ref().map(|diameter| diameter.peers.clone()).unwrap_or_default();
        for (host, address) in configured {
            let seed = self.random.random();
            let peer = Peer::initiator(self.identity.clone(), host.clone(), self.settings.clone(), seed);
            self.add(Slot { peer, configured: Some((host, address)), connection: None });
        }
    }

    fn add(&mut self, slot: Slot) -> u64 {
        let number = self.slot_next;
        self.slot_next += 1;
        self.slots.insert(number, slot);
        self.touched.insert(number);
        number
    }

    pub fn on_connected(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: Option<String>,
        remote: SocketAddr,
    ) {
        let _ = remote;
        let number = match peer {
            Some(host) => {
                let Some(number) = self.configured(&host) else { return };
                number
            }
            None => {
                let seed = self.random.random();
                let peer = Peer::responder(self.identity.clone(), self.settings.clone(), seed);
                self.add(Slot { peer, configured: None, connection: None })
            }
        };
        self.connections.insert(connection, number);
        self.with(number, |slot| {
            slot.connection = Some(connection);
            slot.peer.handle_connected(now);
        });
    }

    pub fn on_connect_failed(&mut self, now: Instant, host: &str) {
        if let Some(number) = self.configured(host) {
            self.with(number, |slot| slot.peer.handle_connect_failed(now));
        }
    }

    pub fn on_bytes(&mut self, now: Instant, connection: ConnectionId, bytes: Bytes) {
        if let Some(number) = self.connections.get(&connection).copied() {
            self.with(number, |slot| slot.peer.handle_bytes(now, bytes));
        }
    }

    pub fn on_closed(&mut self, now: Instant, connection: ConnectionId) {
        let Some(number) = self.connections.remove(&connection) else { return };
        self.with(number, |slot| {
            slot.connection = None;
            slot.peer.handle_closed(now);
        });
    }

    pub fn on_timeout(&mut self, now: Instant, number: u64) {
        self.with(number, |slot| slot.peer.handle_timeout(now));
    }

    pub fn on_stop(&mut self, now: Instant) {
        let numbers: Vec<u64> = self.slots.keys().copied().collect();
        for number in numbers {
            self.with(number, |slot| slot.peer.handle_stop(now));
        }
    }

    /// Sends a request to the host named, or to any configured peer: an open one first.
    pub fn ask(
        &mut self,
        now: Instant,
        query: QueryKey,
        request: &cx::Request,
        destination_host: Option<&str>,
    ) {
        let Some(number) = self.choose(destination_host) else { return self.refused.push(query) };
        let realm = self.realm.clone();
        let about = about(request);
        let host = self.slots.get(&number).and_then(|slot| slot.peer.host()).unwrap_or("unknown").to_owned();
        let mut message = None;
        self.with(number, |slot| {
            message = slot.peer.send_request(now, query.0, request, destination_host, &realm);
        });
        let end_to_end = message.as_deref().and_then(diameter::codec::end_to_end);
        self.events.push(trace(false, &host, request.name(), detail(request), end_to_end, &about));
        let (private_identity, public_identity) = about;
        self.questions.insert(
            query,
            Question {
                slot: number,
                message,
                destination_host: destination_host.map(str::to_owned),
                private_identity: private_identity.map(|identity| identity.reveal().clone()),
                public_identity: public_identity.map(|identity| identity.reveal().clone()),
            },
        );
    }

    /// The peer to ask: the host named, or any that is configured; one that can be used first.
    fn choose(&self, destination_host: Option<&str>) -> Option<u64> {
        let speaker = |host: &str| self.speakers.get(&host.to_ascii_lowercase()).map(String::as_str);
        let fits = |slot: &&Slot| match destination_host {
            Some(host) => {
                let host = speaker(host).unwrap_or(host);
                slot.peer.host().is_some_and(|own| own.eq_ignore_ascii_case(host))
            }
            None => slot.configured.is_some(),
        };
        let serves = |slot: &Slot| {
            slot.peer
                .host()
                .is_some_and(|own| self.speakers.values().any(|node| node.eq_ignore_ascii_case(own)))
        };
        // Of two that share a name the one that serves, though it may not be there yet: the other one would refuse.
        let candidates = self.slots.iter().filter(|(_, slot)| fits(slot));
        let best = candidates
            .max_by_key(|(number, slot)| (serves(slot), slot.peer.is_open(), std::cmp::Reverse(**number)));
        best.map(|(number, _)| *number)
    }

    /// Asks again what the copy that served before has asked and got no answer to.
    pub fn take_over(&mut self, now: Instant) {
        let open: Vec<QueryKey> = self.questions.keys().copied().collect();
        for query in open {
            self.ask_again(now, query);
        }
    }

    fn ask_again(&mut self, now: Instant, query: QueryKey) {
        let Some(question) = self.questions.get(&query) else { return };
        let message = question.message.clone();
        match (message, self.choose(question.destination_host.as_deref())) {
            (Some(message), Some(number)) => {
                if let Some(question) = self.questions.get_mut(&query) {
                    question.slot = number;
                }
                self.with(number, |slot| slot.peer.send_again(now, query.0, &message));
            }
            _ => self.refused.push(query),
        }
    }

    pub fn answer(&mut self, now: Instant, key: DiameterKey, answer: &cx::Answer) {
        let Some(Incoming { slot, host, ticket, about }) = self.incoming.remove(&key) else { return };
        let result = Some(answer.result().to_string());
        self.events.push(trace(false, &host, answer.name(), result, Some(ticket.end_to_end), &about));
        // The peer may have come back on another connection meanwhile.
        let is_host = |slot: &Slot| slot.configured.is_none() && slot.peer.host() == Some(&host);
        let known = self.slots.contains_key(&slot).then_some(slot);
        let number =
            known.or_else(|| self.slots.iter().find(|(_, slot)| is_host(slot)).map(|(number, _)| *number));
        match number {
            Some(number) => self.with(number, |slot| slot.peer.send_answer(now, ticket, answer)),
            // It has gone: the answer waits for the repetition, so that a MAR or SAR has no second effect.
            None => {
                if let Some(answers) = self.answered.get_mut(&host) {
                    answers.answer_later(&ticket, &self.identity, answer);
                }
            }
        }
    }

    /// A request that is not answered.
    pub fn forget(&mut self, key: DiameterKey) {
        self.incoming.remove(&key);
    }

    /// Moves outputs of touched peers to `outputs` and `indications`.
    pub fn poll(
        &mut self,
        now: Instant,
        outputs: &mut VecDeque<Output>,
        indications: &mut VecDeque<Indication>,
    ) {
        outputs.extend(self.events.drain(..).map(Output::Event));
        for query in self.refused.drain(..) {
            self.questions.remove(&query);
            indications.push_back(Indication::Answer { query, answer: Err(Unanswered::NoPeer) });
        }
        while let Some(number) = self.touched.pop_first() {
            let mut risen = Vec::new();
            let mut spoken = Vec::new();
            let Some(slot) = self.slots.get_mut(&number) else { continue };
            while let Some(output) = slot.peer.poll_output() {
                match output {
                    PeerOutput::Connect => {
                        if let Some((host, remote)) = slot.configured.clone() {
                            outputs.push_back(Output::DiameterConnect { peer: host, remote });
                        }
                    }
                    PeerOutput::Send(bytes) => {
                        if let Some(connection) = slot.connection {
                            outputs.push_back(Output::Diameter { connection, bytes });
                        }
                    }
                    PeerOutput::Close => {
                        // Nothing of that connection may reach the peer machine any more, not even its end.
                        if let Some(connection) = slot.connection.take() {
                            self.connections.remove(&connection);
                            outputs.push_back(Output::DiameterClose { connection });
                        }
                    }
                    PeerOutput::Up { host } => {
                        risen.push((number, host.clone()));
                        outputs.push_back(Output::Event(Event::DiameterPeerUp { peer: host }));
                    }
                    PeerOutput::Down { host, reason } => {
                        outputs.push_back(Output::Event(Event::DiameterPeerDown { peer: host, reason }));
                    }
                    PeerOutput::Answer { ticket, answer } => {
                        let question = self.questions.remove(&QueryKey(ticket));
                        if let (Ok(answer), Some(question)) = (&answer, &question) {
                            let about = question.about();
                            let end_to_end =
                                question.message.as_deref().and_then(diameter::codec::end_to_end);
                            let host = slot.peer.host().unwrap_or("unknown");
                            let result = Some(answer.result().to_string());
                            let event = trace(true, host, answer.name(), result, end_to_end, &about);
                            outputs.push_back(Output::Event(event));
                        }
                        indications.push_back(Indication::Answer {
                            query: QueryKey(ticket),
                            answer: answer.map_err(|failure| match failure {
                                Failure::NoPeer => Unanswered::NoPeer,
                                Failure::TimedOut => Unanswered::TimedOut,
                                Failure::Malformed | Failure::Protocol(_) => Unanswered::Malformed,
                            }),
                        });
                    }
                    PeerOutput::Request { ticket, request, origin_host } => {
                        let key = DiameterKey(self.incoming_next);
                        self.incoming_next += 1;
                        let node = slot.peer.host().unwrap_or_default();
                        if !node.eq_ignore_ascii_case(&origin_host) {
                            spoken.push((origin_host.clone(), node.to_owned()));
                        }
                        let about = about(&request);
                        outputs.push_back(Output::Event(trace(
                            true,
                            &origin_host,
                            request.name(),
                            detail(&request),
                            Some(ticket.end_to_end),
                            &about,
                        )));
                        self.incoming
                            .insert(key, Incoming { slot: number, host: origin_host.clone(), ticket, about });
                        indications.push_back(Indication::DiameterRequest { key, request, origin_host });
                    }
                    PeerOutput::Rejected { reason } => {
                        let peer = slot.peer.host().unwrap_or("unknown").to_owned();
                        outputs.push_back(Output::Event(Event::DiameterRejected { peer, reason }));
                    }
                }
            }
            let is_finished = slot.configured.is_none() && slot.connection.is_none();
            let deadline = if is_finished { None } else { slot.peer.poll_timeout() };
            self.deadlines.push_back((number, deadline));
            if is_finished && let Some(mut slot) = self.slots.remove(&number) {
                self.remember_answers(&mut slot.peer);
            }
            for (host, node) in spoken {
                self.on_speaker(&host, node);
            }
            for (number, host) in risen {
                self.on_risen(now, number, &host);
            }
        }
    }

    /// `node` speaks in the name of `host`: what is meant for that name goes there from now on.
    pub fn on_speaker(&mut self, host: &str, node: String) {
        let host = host.to_ascii_lowercase();
        if self.speakers.len() < HOSTS_REMEMBERED_MAX || self.speakers.contains_key(&host) {
            self.speakers.insert(host, node);
        }
    }

    /// Asks those who serve now what others were asked who do not any more.
    pub fn follow_speakers(&mut self, now: Instant) {
        let moved: Vec<(QueryKey, u64)> = self
            .questions
            .iter()
            .filter(|(_, question)| {
                self.choose(question.destination_host.as_deref())
                    .is_some_and(|number| number != question.slot)
            })
            .map(|(query, question)| (*query, question.slot))
            .collect();
        for (query, number) in moved {
            self.with(number, |slot| slot.peer.let_go(query.0));
            self.ask_again(now, query);
        }
    }

    /// An accepted connection has said who it is: of two of one host only one stays, and it knows what the other answered.
    fn on_risen(&mut self, now: Instant, number: u64, host: &str) {
        let Some(mut slot) = self.slots.remove(&number) else { return };
        if slot.configured.is_none() {
            let is_rival = |slot: &Slot| slot.configured.is_none() && slot.peer.host() == Some(host);
            match self.slots.iter_mut().find(|(_, slot)| is_rival(slot)) {
                Some((rival, old)) if slot.peer.supersedes(now, &old.peer) => {
                    slot.peer.adopt_answers(now, old.peer.take_answers());
                    old.peer.handle_superseded(now);
                    self.touched.insert(*rival);
                }
                Some(_) => slot.peer.handle_superseded(now),
                None => {
                    if let Some(answers) = self.answered.remove(host) {
                        slot.peer.adopt_answers(now, answers);
                    }
                }
            }
            self.touched.insert(number);
        }
        self.slots.insert(number, slot);
    }

    fn remember_answers(&mut self, peer: &mut Peer) {
        let Some(host) = peer.host().map(str::to_owned) else { return };
        if self.answered.len() < HOSTS_REMEMBERED_MAX || self.answered.contains_key(&host) {
            self.answered.insert(host, peer.take_answers());
        }
    }

    /// The deadlines that changed in the last [`Peers::poll`].
    pub fn poll_deadline(&mut self) -> Option<(u64, Option<Instant>)> {
        self.deadlines.pop_front()
    }

    fn configured(&self, host: &str) -> Option<u64> {
        let is_it = |slot: &Slot| slot.configured.as_ref().is_some_and(|(own, _)| own == host);
        self.slots.iter().find(|(_, slot)| is_it(slot)).map(|(number, _)| *number)
    }

    fn with(&mut self, number: u64, act: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(&number) {
            act(slot);
            self.touched.insert(number);
        }
    }
}

/// Whom a request is about.
fn about(request: &cx::Request) -> About {
    let (private, public) = match request {
        cx::Request::UserAuthorization(request) => {
            (Some(&request.private_identity), Some(&request.public_identity))
        }
        cx::Request::MultimediaAuthentication(request) => {
            (Some(&request.private_identity), Some(&request.public_identity))
        }
        cx::Request::ServerAssignment(request) => {
            (request.private_identity.as_ref(), request.public_identities.first())
        }
        cx::Request::LocationInformation(request) => (None, Some(&request.public_identity)),
        cx::Request::RegistrationTermination(request) => {
            (Some(&request.private_identity), request.public_identities.first())
        }
        cx::Request::PushProfile(request) => (Some(&request.private_identity), None),
    };
    (private.cloned().map(Pii::new), public.cloned().map(Pii::new))
}

/// What a SAR is about: the same command begins, refreshes and ends a registration.
fn detail(request: &cx::Request) -> Option<String> {
    match request {
        cx::Request::ServerAssignment(request) => Some(request.assignment_type.name().to_owned()),
        _ => None,
    }
}

fn trace(
    is_received: bool,
    peer: &str,
    command: &'static str,
    result: Option<String>,
    end_to_end: Option<u32>,
    about: &About,
) -> Event {
    Event::Diameter {
        is_received,
        peer: peer.to_owned(),
        command,
        result,
        end_to_end,
        private_identity: about.0.clone(),
        public_identity: about.1.clone(),
    }
}
