//! The loop: inputs in, outputs out, one thread.
//!
//! ```text
//!   sockets ─▶ queue ─▶ ┌ a round: a bounded number of inputs, deadlines ┐ ─▶ commit once ─▶ what waited for it leaves
//!   streams ─▶ reports ─┘                                                └─▶ what needs no commit leaves at once
//! ```
//!
//! Order: what a machine says leaves in the order it was said. From the first [`Output::Commit`] of a round on,
//! everything waits; at the end of the round the store is made durable once for all of them, then they leave. A
//! failed commit sends none of them: the process ends, and what was not durable was never confirmed.
//!
//! What is begun goes first: Diameter answers and commands are taken before new SIP messages.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use clock::{Duration, Instant, WallOrigin};
use node::Event;
use node::function::CommandKey;
use node::wire::{Flow, Input, Output, Transport};
use pair::Output as Told;
use tokio::sync::{mpsc, oneshot};

use crate::admin::{Command, Shared};
use crate::diameter::DiameterStreams;
use crate::log::Log;
use crate::machine::{Built, Durable, Machine};
use crate::metrics::seconds;
use crate::paired::PairWires;
use crate::signals::Signals;
use crate::stream::Report;
use crate::tcp::{Arrival, SipStreams};
use crate::udp::Udp;

/// SIP messages of each transport handled in one round. Small enough that the sockets are emptied, and arrivals
/// stamped, every few milliseconds; large enough that one commit serves many.
const SIP_PER_ROUND: usize = 64;
/// Diameter reads handled in one round.
const DIAMETER_PER_ROUND: usize = 256;
/// Commands handled in one round.
const COMMANDS_PER_ROUND: usize = 16;
/// Deadlines handled in one round.
const TIMEOUTS_PER_ROUND: usize = 1024;
/// How long a graceful stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often the loop turns when nothing happens.
const TICK: Duration = Duration::from_secs(1);
/// A step of the wall clock that the operator should know of.
const CLOCK_STEP_MICROS: u64 = 2_000_000;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that was open had been answered.
    Stopped,
    /// The stop took too long, or was asked for twice.
    StoppedInHaste,
    /// The store could not be made durable.
    StoreFailed,
    /// It cannot go on as an instance of its pair, and must be started anew.
    Broken,
}

/// The way to the world of one machine.
pub struct Wires {
    /// SIP over UDP.
    pub udp: Udp,
    /// SIP over TCP.
    pub tcp: SipStreams,
    /// Diameter.
    pub diameter: DiameterStreams,
    /// Operators.
    pub commands: mpsc::Receiver<Command>,
    /// The other parties of its pair, if it has one.
    pub pair: Option<PairWires>,
}

/// A machine with its wires.
pub struct Driver<M> {
    machine: M,
    store: Option<Box<dyn Durable>>,
    wires: Wires,
    shared: Arc<Shared>,
    log: Log,
    wall: WallOrigin,
    /// Inputs that the driver itself made: deliveries that failed.
    own: VecDeque<Input>,
    /// Outputs behind a commit, or behind a lease that has to be renewed.
    held: VecDeque<Told>,
    wants_commit: bool,
    /// It reads what comes to the addresses of its pair. Always true of a machine that is alone.
    is_serving: bool,
    /// It hands over before it stops.
    is_stop_due: bool,
    is_broken: bool,
    sip_reports: VecDeque<Report>,
    diameter_reports: VecDeque<Report>,
    scratch: Vec<Report>,
    command_waiting: Option<Command>,
    commands_open: BTreeMap<CommandKey, oneshot::Sender<Result<Bytes, String>>>,
    command_next: u64,
    is_stopped: bool,
    stop_deadline: Option<Instant>,
    tick_at: Instant,
    is_clock_step_told: bool,
}

impl<M: Machine> Driver<M> {
    /// Joins a machine to its wires.
    pub fn new(built: Built<M>, wires: Wires, shared: Arc<Shared>, wall: WallOrigin) -> Driver<M> {
        Driver {
            is_serving: wires.pair.is_none(),
            is_stop_due: false,
            is_broken: false,
            machine: built.machine,
            store: built.store,
            wires,
            shared,
            log: Log::default(),
            wall,
            own: VecDeque::new(),
            held: VecDeque::new(),
            wants_commit: false,
            sip_reports: VecDeque::new(),
            diameter_reports: VecDeque::new(),
            scratch: Vec::new(),
            command_waiting: None,
            commands_open: BTreeMap::new(),
            command_next: 0,
            is_stopped: false,
            stop_deadline: None,
            tick_at: crate::clock::now() + TICK,
            is_clock_step_told: false,
        }
    }

    /// Runs until a signal asks to stop, or the store fails.
    pub async fn run(mut self) -> std::io::Result<End> {
        let mut signals = Signals::listen()?;
        self.drain_machine();
        loop {
            let now = crate::clock::now();
            self.shared.heartbeat_micros.store(now.as_micros(), Ordering::Relaxed);
            self.round(now);
            if !self.commit_and_release() || (self.is_stopped && !self.commit_and_release()) {
                return Ok(End::StoreFailed);
            }
            if self.is_broken {
                return Ok(End::Broken);
            }
            if self.is_stopped {
                self.send_last_words().await;
                return Ok(End::Stopped);
            }
            self.show_standing();
            if self.stop_deadline.is_some_and(|deadline| now >= deadline) {
                tracing::warn!("stopping although not all is answered");
                return Ok(End::StoppedInHaste);
            }
            let sleep = tokio::time::sleep_until(crate::clock::to_runtime(self.next_deadline()));
            tokio::pin!(sleep);
            let mut has_waited = false;
            let stop = poll_fn(|cx| {
                let stop = signals.poll_stop(cx);
                let is_ready = self.poll_wires(cx).is_ready() | sleep.as_mut().poll(cx).is_ready();
                if stop || is_ready {
                    return Poll::Ready(stop);
                }
                has_waited = true;
                Poll::Pending
            })
            .await;
            if !has_waited {
                // Who never waits must give the tasks of the streams their turn: they carry what was just decided.
                tokio::task::yield_now().await;
            }
            if stop && !self.begin_stop() {
                return Ok(End::StoppedInHaste);
            }
        }
    }

    /// Handles a bounded number of inputs and deadlines.
    fn round(&mut self, now: Instant) {
        self.take_pair(now);
        if self.may_read(now) {
            self.wires.udp.fill(now);
        }
        for _ in 0..self.own.len() {
            let Some(input) = self.own.pop_front() else { break };
            self.handle(now, input);
        }
        self.take_diameter(now);
        self.take_commands(now);
        self.take_sip(now);
        for _ in 0..TIMEOUTS_PER_ROUND {
            if self.machine.poll_timeout().is_none_or(|at| at > now) {
                break;
            }
            self.machine.handle_timeout(now);
            self.drain_machine();
        }
        if now >= self.tick_at {
            self.tick(now);
        }
    }

    /// First, because leases depend on it.
    fn take_pair(&mut self, now: Instant) {
        let Some(wires) = &mut self.wires.pair else { return };
        wires.handle_timeout(now);
        for input in wires.receive(now) {
            self.machine.handle_pair(now, input);
            self.drain_machine();
        }
    }

    /// May it take what has come to its addresses? An instance that stood still must not, before it knows that it still serves.
    fn may_read(&self, now: Instant) -> bool {
        self.is_serving && self.machine.may_read(now)
    }

    fn take_diameter(&mut self, now: Instant) {
        let mut inputs: Vec<Input> = self.wires.diameter.take_accepted().collect();
        let count = self.diameter_reports.len().min(DIAMETER_PER_ROUND);
        let reports = self.diameter_reports.drain(..count);
        inputs.extend(reports.filter_map(|report| self.wires.diameter.on_report(report)));
        for input in inputs {
            self.handle(now, input);
        }
    }

    fn take_commands(&mut self, now: Instant) {
        for _ in 0..COMMANDS_PER_ROUND {
            let waiting = self.command_waiting.take();
            let Some(command) = waiting.or_else(|| self.wires.commands.try_recv().ok()) else { return };
            if command.name == "hand-over" && self.wires.pair.is_some() {
                self.hand_over(now, command.answer);
                continue;
            }
            let key = CommandKey(self.command_next);
            self.command_next += 1;
            self.commands_open.insert(key, command.answer);
            tracing::info!(command = command.name, "command");
            self.handle(now, Input::Command { key, name: command.name, body: command.body });
        }
    }

    fn take_sip(&mut self, now: Instant) {
        for _ in 0..SIP_PER_ROUND {
            let Some(datagram) = self.wires.udp.pop() else { break };
            self.handle_sip(now, datagram.flow, datagram.bytes, datagram.at);
        }
        for _ in 0..SIP_PER_ROUND {
            let Some(report) = self.sip_reports.pop_front() else { break };
            match self.wires.tcp.on_report(report) {
                Arrival::Message(flow, bytes, at) => self.handle_sip(now, flow, bytes, at),
                Arrival::Inputs(inputs) => inputs.into_iter().for_each(|input| self.handle(now, input)),
                Arrival::Malformed(flow, reason, inputs) => {
                    self.observe(&Event::MessageRejected { flow, cause: "framing", reason, answered: None });
                    inputs.into_iter().for_each(|input| self.handle(now, input));
                }
            }
        }
    }

    fn handle_sip(&mut self, now: Instant, flow: Flow, bytes: Bytes, at: Instant) {
        let waited = now.saturating_since(at);
        self.shared.metrics.queue_wait.observe(seconds(waited));
        self.handle(now, Input::Sip { flow, bytes, waited });
    }

    fn handle(&mut self, now: Instant, input: Input) {
        self.machine.handle_input(now, input);
        self.drain_machine();
    }

    fn hand_over(&mut self, now: Instant, answer: oneshot::Sender<Result<Bytes, String>>) {
        let is_protected = self.machine.standing().is_some_and(|standing| standing.is_protected);
        let result = match is_protected {
            true => Ok(Bytes::from_static(b"{}")),
            false => Err("this instance does not serve, or nobody is in sync to take over".to_owned()),
        };
        if result.is_ok() {
            tracing::info!("handing over");
            self.machine.handle_pair(now, pair::Input::HandOver);
            self.drain_machine();
        }
        // Who asked may have gone.
        let _ = answer.send(result);
    }

    fn drain_machine(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            if matches!(output, Told::Node(Output::Commit)) {
                self.wants_commit = true;
            } else if matches!(output, Told::Following(_)) {
                // What was not sent under the lease must not be sent after it.
                self.held.retain(|held| !is_emission(held));
                self.act_or_hold(output);
            } else {
                self.act_or_hold(output);
            }
        }
    }

    fn act_or_hold(&mut self, output: Told) {
        // Without a lease only emissions wait: the others are how it is renewed.
        let waits = is_emission(&output) && (!self.held.is_empty() || self.is_without_lease());
        if self.wants_commit || waits {
            self.held.push_back(output);
        } else {
            self.act_told(output);
        }
    }

    /// S2-Q2: the end of the lease is compared with the clock directly before anything leaves.
    fn is_without_lease(&self) -> bool {
        self.wires.pair.is_some() && !self.machine.may_send(crate::clock::now())
    }

    /// Makes the store durable if anything waits for it. `false`: it failed, nothing may leave any more.
    fn commit_and_release(&mut self) -> bool {
        if std::mem::take(&mut self.wants_commit)
            && let Some(store) = &mut self.store
        {
            let begin = crate::clock::now();
            let result = store.commit();
            let took = crate::clock::now().saturating_since(begin);
            self.shared.metrics.store_commit.observe(seconds(took));
            if let Err(failure) = result {
                self.observe(&Event::Alarm { cause: "store_failed", reason: failure.sentence });
                if failure.is_fatal {
                    return false;
                }
            }
        }
        for output in std::mem::take(&mut self.held) {
            self.act_or_hold(output);
        }
        true
    }

    fn act_told(&mut self, output: Told) {
        let now = crate::clock::now();
        match output {
            Told::Node(output) => self.act(output),
            Told::Serving(epoch) => {
                tracing::info!(epoch = epoch.0, "serving");
                self.serve();
            }
            Told::Following(epoch) => {
                tracing::info!(epoch = epoch.0, "following");
                self.is_serving = false;
                self.wires.udp.replace(Vec::new());
                self.wires.tcp.listen(Vec::new());
                // Who is connected here connects again, and finds the other one.
                self.wires.tcp.streams().close_all();
                if self.is_stop_due {
                    self.is_stopped = true;
                }
            }
            Told::Became(became) => tracing::info!(?became, "in the pair"),
            Told::Broken(reason) => self.break_off(&reason),
            Told::ToOther(_) | Told::ToWitness(..) | Told::ToNeighbour(..) | Told::Persist(_) => {
                let result = self.wires.pair.as_mut().map_or(Ok(()), |wires| wires.act(now, &output));
                if let Err(error) = result {
                    self.break_off(&format!("what must be durable cannot be kept: {error}"));
                }
            }
        }
    }

    /// Reads what comes to the addresses of the pair, and what has waited there.
    fn serve(&mut self) {
        let Some(wires) = &self.wires.pair else { return };
        match wires.open() {
            Ok(bound) => {
                self.wires.udp.replace(bound.udp);
                self.wires.tcp.listen(bound.tcp);
                self.is_serving = true;
            }
            Err(error) => self.break_off(&format!("the sockets of the pair cannot be read: {error}")),
        }
    }

    fn break_off(&mut self, reason: &str) {
        self.observe(&Event::Alarm { cause: "pair_broken", reason: reason.to_owned() });
        self.is_broken = true;
    }

    fn show_standing(&self) {
        if self.wires.pair.is_some() {
            self.shared.show_standing(self.machine.standing());
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Sip { destination, bytes } => {
                let is_sent = match destination.transport {
                    Transport::Udp => self.wires.udp.send(&destination, &bytes),
                    Transport::Tcp => self.wires.tcp.send(&destination, bytes),
                };
                if !is_sent {
                    self.shared.metrics.undeliverable.inc();
                    self.own.push_back(Input::SipUnreachable { destination });
                }
            }
            Output::SipClose { connection } => self.wires.tcp.close(connection),
            Output::DiameterConnect { peer, remote } => self.wires.diameter.connect(peer, remote),
            Output::Diameter { connection, bytes } => self.wires.diameter.send(connection, bytes),
            Output::DiameterClose { connection } => self.wires.diameter.close(connection),
            Output::Commit => unreachable!("taken out before"),
            Output::Event(event) => self.observe(&event),
            Output::CommandResult { key, result } => {
                if let Some(answer) = self.commands_open.remove(&key) {
                    // Who asked may have gone.
                    let _ = answer.send(result);
                }
            }
            Output::Stopped => {
                self.is_stopped = true;
                // What was written without being confirmed to anybody is worth keeping too.
                self.wants_commit = true;
            }
        }
    }

    fn observe(&mut self, event: &Event) {
        let now = crate::clock::now();
        self.shared.metrics.on_event(event);
        self.shared.recorder().on_event(self.wall.at(now), event);
        match event {
            Event::DiameterPeerUp { peer } => {
                self.shared.peers().up.insert(peer.clone());
            }
            Event::DiameterPeerDown { peer, .. } => {
                self.shared.peers().up.remove(peer);
            }
            _ => {}
        }
        self.log.on_event(now, event);
    }

    /// Once a second: figures that are not counted by events, and the wall clock.
    fn tick(&mut self, now: Instant) {
        self.tick_at = now + TICK;
        let metrics = &self.shared.metrics;
        metrics.send_buffer_full.inc_by(self.wires.udp.take_dropped());
        metrics.connections_refused.inc_by(self.wires.tcp.streams().take_refused());
        metrics.sip_connections.set(i64::try_from(self.wires.tcp.streams().len()).unwrap_or(i64::MAX));
        let up = self.shared.peers().up.len();
        metrics.diameter_peers_up.set(i64::try_from(up).unwrap_or(i64::MAX));
        if let Some(wires) = &mut self.wires.pair {
            wires.tick();
        }
        // A command whose asker has gone is forgotten when its result comes, at the latest when it never does.
        self.commands_open.retain(|_, answer| !answer.is_closed());
        let step = crate::clock::wall_origin().0.0.abs_diff(self.wall.0.0);
        if step > CLOCK_STEP_MICROS && !self.is_clock_step_told {
            self.is_clock_step_told = true;
            let reason = format!(
                "the wall clock was set by {} s since the start; times in logs and documents stay on the old one \
                 until a restart",
                step / 1_000_000
            );
            self.observe(&Event::Alarm { cause: "clock_step", reason });
        }
    }

    /// Asks the machine to stop. `false`: it was asked before.
    fn begin_stop(&mut self) -> bool {
        if self.stop_deadline.is_some() {
            return false;
        }
        tracing::info!("stopping");
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        let now = crate::clock::now();
        self.stop_deadline = Some(now + STOP_PATIENCE);
        match self.machine.standing() {
            Some(standing) if standing.is_protected => {
                self.is_stop_due = true;
                self.machine.handle_pair(now, pair::Input::HandOver);
                self.drain_machine();
            }
            // Nobody waits for an instance that follows.
            Some(_) if !self.is_serving => self.is_stopped = true,
            _ => self.handle(now, Input::Stop),
        }
        true
    }

    /// Lets the streams send what is queued, for half a second at most.
    async fn send_last_words(&mut self) {
        for _ in 0..50 {
            if !self.wires.tcp.streams().has_unsent() && !self.wires.diameter.streams().has_unsent() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn next_deadline(&self) -> Instant {
        let machine = self.machine.poll_timeout().unwrap_or(Instant::FAR_FUTURE);
        let stop = self.stop_deadline.unwrap_or(Instant::FAR_FUTURE);
        let pair = self.wires.pair.as_ref().and_then(PairWires::poll_timeout).unwrap_or(Instant::FAR_FUTURE);
        machine.min(stop).min(pair).min(self.tick_at)
    }

    /// Collects what has come from the streams and the operators, and looks at the sockets.
    fn poll_wires(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = crate::clock::now();
        let may_read = self.may_read(now);
        let mut is_ready = self.wires.pair.as_ref().is_some_and(|wires| wires.poll_ready(cx).is_ready());
        is_ready |= may_read && self.wires.udp.poll_ready(cx).is_ready();
        is_ready |= !self.own.is_empty() || self.wants_commit || self.is_stopped;
        // Only what will be handled in the next round is taken: the rest slows its senders.
        let room = SIP_PER_ROUND.saturating_sub(self.sip_reports.len());
        // Who does not serve accepts nothing, but hears of the end of connections that it had.
        let polls_tcp = may_read || !self.is_serving;
        if polls_tcp && self.wires.tcp.poll(cx, now, &mut self.scratch, room).is_ready() {
            self.sip_reports.extend(self.scratch.drain(..));
            is_ready = true;
        }
        let room = DIAMETER_PER_ROUND.saturating_sub(self.diameter_reports.len());
        if self.wires.diameter.poll(cx, now, &mut self.scratch, room).is_ready() {
            self.diameter_reports.extend(self.scratch.drain(..));
            is_ready = true;
        }
        if self.command_waiting.is_none()
            && let Poll::Ready(Some(command)) = self.wires.commands.poll_recv(cx)
        {
            self.command_waiting = Some(command);
        }
        is_ready |= self.command_waiting.is_some();
        if is_ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Is it a word to somebody outside the pair?
fn is_emission(output: &Told) -> bool {
    matches!(output, Told::Node(Output::Sip { .. } | Output::Diameter { .. }))
}
