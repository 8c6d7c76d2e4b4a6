//! See the crate. This file: what happens in which order.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use clock::{Duration, Instant};
use node::mirror::{Change, Collector};
use node::{Emission, Function, Node, wire};
use resilience::link::{Limits, Link, LinkEvent};
use resilience::permission::{
    self, Became, Body, Durable, Epoch, Held, Instance, Member, Membership, Message, Party, Position, Role,
    VERSION,
};

use crate::neighbours::{Address, NeighbourPair, Neighbours};
use crate::record::{Kind, Record};

/// A datagram between the two instances begins with what it is.
const PERMISSION: u8 = 0;
const LINK: u8 = 1;

/// Pieces of a snapshot under way: more would stand in the way of what happens now.
const SNAPSHOT_PIECES_MAX: u64 = 512;

/// How an instance begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which pair, which instance, which life.
    pub permission: permission::Start,
    /// Bounds of the link to the other instance.
    pub limits: Limits,
    /// About the longest record: what one input changes may take several, and a snapshot does.
    pub record_bytes: usize,
    /// R of the other instance, before it was measured.
    pub round_trip: Duration,
    /// How often it tells its neighbours how it stands, when nothing is new (`idle_probe`).
    pub idle_probe: Duration,
    /// The pairs that it exchanges signalling with.
    pub neighbours: Vec<NeighbourPair>,
}

/// From the driver.
#[derive(Clone, Debug)]
pub enum Input {
    /// For the node.
    Node(wire::Input),
    /// A datagram of the other instance.
    FromOther(Bytes),
    /// A datagram of the witness of this membership.
    FromWitness(Membership, Bytes),
    /// A supervisor: this life is over (S2-H5).
    Died(Member),
    /// An operator: let the other one serve (S2-Q11).
    HandOver,
    /// A datagram of a neighbour's instance.
    FromNeighbour(Address, Bytes),
}

/// To the driver, in the order in which it must happen.
#[derive(Clone, Debug)]
pub enum Output {
    /// Of the node.
    Node(wire::Output),
    /// A datagram to the other instance.
    ToOther(Bytes),
    /// A datagram to the witness of this membership.
    ToWitness(Membership, Bytes),
    /// A datagram to a neighbour's instance.
    ToNeighbour(Address, Bytes),
    /// Make this durable before anything that follows.
    Persist(Durable),
    /// Something worth knowing.
    Became(Became),
    /// It serves from here on: it reads what comes to the addresses of the pair, and its neighbours are to know.
    Serving(Epoch),
    /// It does not serve any more.
    Following(Epoch),
    /// It cannot go on and must be started anew.
    Broken(String),
}

/// How far the other instance is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feeding {
    /// It is not.
    No,
    /// With a snapshot.
    Snapshot,
    /// With what changes.
    Live,
}

/// One instance of a pair.
pub struct Twin<F> {
    node: Node<F>,
    permission: Instance,
    link: Link,
    record_bytes: usize,
    neighbours: Neighbours,
    feeding: Feeding,
    /// What [`Link::push`] returned last.
    pushed: u64,
    /// Outputs that have no position yet: there is no lease.
    fresh: Vec<wire::Output>,
    /// Outputs that wait for the record at their position to be held by the other instance.
    held: VecDeque<(Position, wire::Output)>,
    /// Up to here all outputs have left.
    emitted: Position,
    /// As a follower: what the holder was to send with each record, and may not have sent.
    uncertain: VecDeque<(Position, Vec<Emission>)>,
    /// As a follower: parts of a snapshot or batch that is not whole yet.
    parts: Vec<Change>,
    /// As a follower: the beginning of the snapshot under way was heard. Who believed then that it served has let parts go by.
    has_beginning: bool,
    outputs: VecDeque<Output>,
}

impl<F: Function> Twin<F> {
    /// An instance that knows nothing and follows, until it is told otherwise.
    pub fn new(now: Instant, start: Start, mut node: Node<F>) -> Twin<F> {
        node.stand_by();
        Twin {
            node,
            link: Link::new(start.permission.member.incarnation, start.limits, start.round_trip),
            permission: Instance::start(now, start.permission),
            record_bytes: start.record_bytes,
            neighbours: Neighbours::new(now, start.idle_probe, start.neighbours),
            feeding: Feeding::No,
            pushed: 0,
            fresh: Vec::new(),
            held: VecDeque::new(),
            emitted: Position(0),
            uncertain: VecDeque::new(),
            parts: Vec::new(),
            has_beginning: false,
            outputs: VecDeque::new(),
        }
    }

    /// The node inside.
    pub fn node(&self) -> &Node<F> {
        &self.node
    }

    /// See [`Twin::node`].
    pub fn node_mut(&mut self) -> &mut Node<F> {
        &mut self.node
    }

    /// Who may emit.
    pub fn permission(&self) -> &Instance {
        &self.permission
    }

    /// Takes one input in. Drain [`Twin::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Node(input) => self.node.handle_input(now, input),
            Input::FromOther(datagram) => self.on_other(now, datagram),
            Input::FromWitness(membership, datagram) => {
                if let Ok(message) = postcard::from_bytes(&datagram) {
                    self.permission.handle_message(now, Party::Witness(membership), message);
                }
            }
            Input::Died(member) => {
                let message = self.message(Body::Died(member));
                self.permission.handle_message(now, Party::Supervisor, message);
            }
            Input::HandOver => {
                self.permission.hand_over(now);
            }
            Input::FromNeighbour(from, datagram) => self.neighbours.handle_datagram(from, &datagram),
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.permission.poll_timeout()) {
            self.permission.handle_timeout(now);
            // What changed without an output has waited long enough.
            if self.feeding == Feeding::Live {
                self.commit(now);
            }
        }
        if is_due(self.link.poll_timeout()) {
            self.link.handle_timeout(now);
        }
        if is_due(self.neighbours.poll_timeout()) {
            self.neighbours.handle_timeout(now);
        }
        if is_due(self.node.poll_timeout()) {
            self.node.handle_timeout(now);
        }
        self.settle(now);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Twin::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let all = [
            self.permission.poll_timeout(),
            self.link.poll_timeout(),
            self.neighbours.poll_timeout(),
            self.node.poll_timeout(),
        ];
        all.into_iter().flatten().min()
    }

    fn on_other(&mut self, now: Instant, mut datagram: Bytes) {
        if datagram.is_empty() {
            return;
        }
        match datagram.split_to(1)[0] {
            PERMISSION => {
                if let Ok(message) = postcard::from_bytes(&datagram) {
                    let other = Party::Instance(self.permission.member().instance.other());
                    self.permission.handle_message(now, other, message);
                }
            }
            LINK => {
                // What is no frame of a link is dropped like any other noise.
                let _ = self.link.handle_datagram(now, datagram);
            }
            _ => {}
        }
    }

    /// Lets node, permission and link hear of each other until all are quiet; then sends what may leave.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut is_quiet = !self.drain_node(now);
            while let Some(output) = self.permission.poll_output() {
                is_quiet = false;
                self.on_permission(now, output);
            }
            while let Some(event) = self.link.poll_event() {
                is_quiet = false;
                self.on_link(now, event);
            }
            while let Some(neighbour) = self.neighbours.poll_news() {
                is_quiet = false;
                self.node.on_neighbour(now, &neighbour);
            }
            if is_quiet {
                break;
            }
        }
        self.feed_snapshot();
        self.release(now);
        while let Some(frame) = self.link.poll_datagram(now) {
            self.tell_other(LINK, &frame);
        }
        while let Some((to, word)) = self.neighbours.poll_datagram() {
            self.outputs.push_back(Output::ToNeighbour(to, word));
        }
    }

    fn on_permission(&mut self, now: Instant, output: permission::Output) {
        match output {
            permission::Output::Persist(durable) => self.outputs.push_back(Output::Persist(durable)),
            permission::Output::Send { to: Party::Witness(membership), message } => {
                self.outputs.push_back(Output::ToWitness(membership, encode(&message)));
            }
            permission::Output::Send { message, .. } => match message.body {
                // What is mirrored travels over the link, which repeats it by itself.
                Body::Mirror { is_whole, .. } => {
                    // All has arrived, and yet it holds nothing of this epoch: it was not welcome yet, or believed that it
                    // served, and let the snapshot go by. Or its word was under way: so the next snapshot must be news to it,
                    // because what was removed meanwhile is told by nothing else.
                    let went_by = is_whole && self.link.acknowledged() == self.pushed;
                    if went_by && self.feeding == Feeding::Live && self.permission.commit(now).is_some() {
                        self.stop_feeding();
                    }
                    self.feed();
                }
                _ => self.tell_other(PERMISSION, &encode(&message)),
            },
            permission::Output::Became(became) => {
                self.outputs.push_back(Output::Became(became));
                match became {
                    Became::Holder(epoch) => self.take_over(now, epoch),
                    Became::Standby(epoch) if self.node.is_serving() => self.step_down(now, epoch),
                    _ => {}
                }
            }
        }
    }

    fn take_over(&mut self, now: Instant, epoch: Epoch) {
        self.feeding = Feeding::No;
        self.forget_parts();
        self.emitted = self.permission.held().map_or(Position(0), |held| held.position);
        let uncertain: Vec<Emission> =
            self.uncertain.drain(..).flat_map(|(_, emissions)| emissions).collect();
        self.outputs.push_back(Output::Serving(epoch));
        self.neighbours.on_stand(now, epoch, true);
        self.neighbours.handle_timeout(now);
        self.node.take_over(now, &uncertain);
    }

    /// What waits was promised to nobody. Connections live on: their ends are told.
    fn step_down(&mut self, now: Instant, epoch: Epoch) {
        self.node.stand_by();
        self.neighbours.on_stand(now, epoch, false);
        self.feeding = Feeding::No;
        let waiting = self.held.drain(..).map(|(_, output)| output).chain(self.fresh.drain(..));
        for output in waiting {
            if matches!(
                output,
                wire::Output::DiameterConnect { .. }
                    | wire::Output::DiameterClose { .. }
                    | wire::Output::SipClose { .. }
                    | wire::Output::Event(_)
                    | wire::Output::Commit
            ) {
                self.outputs.push_back(Output::Node(output));
            }
        }
        self.outputs.push_back(Output::Following(epoch));
    }

    /// Takes what the node has to say and what has changed with it. `false`: nothing.
    fn drain_node(&mut self, now: Instant) -> bool {
        let before = self.fresh.len();
        while let Some(output) = self.node.poll_output() {
            if self.node.is_serving() {
                self.fresh.push(output);
            } else {
                self.outputs.push_back(Output::Node(output));
            }
        }
        // Without a lease nothing is committed: the changes stay where they are until there is one.
        if self.fresh.is_empty() || !self.permission.may_emit(now) {
            return self.fresh.len() != before;
        }
        let is_news = |output: &wire::Output| !matches!(output, wire::Output::Event(_));
        let position = match self.fresh.iter().any(is_news) {
            true => self.commit(now),
            false => Some(self.position()),
        };
        // Who hands over commits nothing any more.
        let Some(position) = position else { return self.fresh.len() != before };
        self.held.extend(self.fresh.drain(..).map(|output| (position, output)));
        true
    }

    /// Numbers what has changed, and tells the other instance. Up to which record the outputs of this moment must wait;
    /// `None` without the permission to commit.
    fn commit(&mut self, now: Instant) -> Option<Position> {
        if !matches!(self.permission.role(), Role::Holder(_)) || !self.permission.may_emit(now) {
            return None;
        }
        if self.feeding != Feeding::Live {
            return self.permission.commit(now);
        }
        let mut emissions = Vec::new();
        let mut portions = Vec::new();
        loop {
            let mut collector = Collector::new(self.record_bytes);
            emissions.extend(self.node.collect(&mut collector));
            let is_last = collector.has_room();
            portions.push(collector.changes);
            if is_last {
                break;
            }
        }
        let changes = portions.pop().unwrap_or_default();
        if changes.is_empty() && portions.is_empty() && emissions.is_empty() {
            return Some(self.position());
        }
        let position = self.permission.commit(now)?;
        for portion in portions {
            self.push(Kind::Part, portion, Vec::new());
        }
        self.push(Kind::Batch, changes, emissions);
        Some(position)
    }

    fn position(&self) -> Position {
        self.permission.held().map_or(Position(0), |held| held.position)
    }

    /// Begins to tell the other instance everything, if it is there and does not hear already.
    fn feed(&mut self) {
        if self.feeding == Feeding::No && self.link.other().is_some() {
            self.feeding = Feeding::Snapshot;
            self.node.follow(true);
            self.push(Kind::Begin, Vec::new(), Vec::new());
        }
    }

    fn feed_snapshot(&mut self) {
        while self.feeding == Feeding::Snapshot
            && self.pushed - self.link.acknowledged() < SNAPSHOT_PIECES_MAX
        {
            let mut collector = Collector::new(self.record_bytes);
            // What has left so far has left: nobody waited for this instance to hold it.
            let _ = self.node.collect(&mut collector);
            if collector.has_room() {
                self.feeding = Feeding::Live;
                self.push(Kind::Whole, collector.changes, Vec::new());
            } else {
                self.push(Kind::Portion, collector.changes, Vec::new());
            }
        }
    }

    fn push(&mut self, kind: Kind, changes: Vec<Change>, emissions: Vec<Emission>) {
        let held = self.permission.held().unwrap_or(Held { epoch: Epoch(0), position: Position(0) });
        let record = Record { kind, held, emitted: self.emitted, changes, emissions };
        match self.link.push(record.encode()) {
            Ok(pushed) => self.pushed = pushed,
            // It does not keep up. It leaves the set (S2-E5) and gets a snapshot when it hears again.
            Err(_) => self.stop_feeding(),
        }
    }

    fn stop_feeding(&mut self) {
        self.feeding = Feeding::No;
        self.node.follow(false);
    }

    fn on_link(&mut self, now: Instant, event: LinkEvent) {
        match event {
            LinkEvent::Begun(_) => {
                self.stop_feeding();
                self.pushed = 0;
                self.forget_parts();
            }
            LinkEvent::Acknowledged(_) => {}
            LinkEvent::Record(bytes) => match Record::decode(bytes) {
                Ok(record) => self.on_record(now, record),
                Err(error) => self.outputs.push_back(Output::Broken(error.to_string())),
            },
        }
    }

    /// The holder tells what has changed. What is no news (of an older epoch, or not the next record) is ignored: whoever
    /// sent it learns so from what this instance says it holds.
    fn on_record(&mut self, now: Instant, record: Record) {
        let ours = self.permission.held();
        let is_holder = matches!(self.permission.role(), Role::Holder(_) | Role::HandingOver(_));
        if is_holder || record.held.epoch < self.permission.epoch() {
            return self.forget_parts();
        }
        let is_whole = match record.kind {
            Kind::Begin => {
                self.parts.clear();
                self.has_beginning = true;
                return;
            }
            Kind::Portion | Kind::Part => return self.parts.extend(record.changes),
            Kind::Whole if self.has_beginning && ours.is_none_or(|ours| record.held > ours) => true,
            Kind::Batch
                if ours.is_some_and(|ours| {
                    ours.epoch == record.held.epoch && ours.position.next() == record.held.position
                }) =>
            {
                false
            }
            Kind::Whole | Kind::Batch => return self.forget_parts(),
        };
        self.has_beginning = false;
        if is_whole {
            self.node.clear();
            self.uncertain.clear();
        }
        for change in self.parts.drain(..).chain(record.changes) {
            if let Err(error) = self.node.apply(now, &change) {
                return self.outputs.push_back(Output::Broken(error.to_string()));
            }
        }
        // What the node wants durable is durable before the holder hears of it.
        self.drain_node(now);
        self.uncertain.retain(|(position, _)| *position > record.emitted);
        if !record.emissions.is_empty() {
            self.uncertain.push_back((record.held.position, record.emissions));
        }
        let message = Message {
            from: self.link.other(),
            to: Some(self.permission.member().incarnation),
            ..self.message(Body::Mirror { held: record.held, is_whole })
        };
        let other = Party::Instance(self.permission.member().instance.other());
        self.permission.handle_message(now, other, message);
    }

    fn forget_parts(&mut self) {
        self.parts.clear();
        self.has_beginning = false;
    }

    /// Sends what the other instance holds, under a lease.
    fn release(&mut self, now: Instant) {
        let committed = self.permission.committed();
        if !self.permission.may_emit(now) {
            return;
        }
        while let Some((position, _)) = self.held.front()
            && *position <= committed
        {
            let (position, output) = self.held.pop_front().expect("just seen");
            self.outputs.push_back(Output::Node(output));
            let is_last = self.held.front().is_none_or(|(next, _)| *next > position);
            if is_last {
                self.emitted = self.emitted.max(position);
            }
        }
    }

    fn tell_other(&mut self, kind: u8, content: &[u8]) {
        let mut datagram = BytesMut::with_capacity(1 + content.len());
        datagram.put_u8(kind);
        datagram.put_slice(content);
        self.outputs.push_back(Output::ToOther(datagram.freeze()));
    }

    fn message(&self, body: Body) -> Message {
        let view = self.permission.view();
        Message {
            version: VERSION,
            pair: self.permission.pair(),
            membership: view.membership,
            from: None,
            to: None,
            body,
        }
    }
}

fn encode(message: &Message) -> Bytes {
    postcard::to_allocvec(message).expect("a message is plain data: numbers").into()
}
