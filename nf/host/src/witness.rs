//! The witness as a process: the third vote of every pair of a core (S2-Q1). It sends nothing but answers, and each is durable
//! before it leaves.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::task::Poll;

use clock::{Duration, Instant};
use node::config;
use resilience::permission::{
    Body, BothInstances, Durable, Epoch, Incarnation, InstanceId, LossyStart, Member, Membership, Message,
    Output, PairId, Party, Record, Rules, Timing, VERSION, Witness,
};
use resilience::supervisor::Word;
use tokio::sync::mpsc;

use crate::admin;
use crate::config::{hex_key, read_key};
use crate::control::{Between, Control};
use crate::listen;
use crate::main_for::{self, Failure};
use crate::signals::Signals;
use crate::supervised::{Joined, Supervised, Who};

/// How often it looks for a host agent that was lost.
const TICK: Duration = Duration::from_secs(1);
const MEMBERSHIP: Membership = Membership(0);

/// Runs a witness until it is told to stop.
pub fn main() -> ExitCode {
    main_for::main_of("witness", crate::config::load_witness, |runtime, config| {
        runtime.block_on(serve(config))
    })
}

async fn serve(config: &config::Witness) -> Result<(), Failure> {
    let socket = &config.admin_socket;
    let admin = admin::bind(socket)
        .map_err(|error| Failure::address(format!("cannot listen on {}: {error}", socket.display())))?;
    let result = run(config, admin).await;
    // Left behind it would be replaced at the next start; gone it says that nobody is there.
    let _ = std::fs::remove_file(socket);
    result
}

async fn run(config: &config::Witness, admin: std::os::unix::net::UnixListener) -> Result<(), Failure> {
    let who = Who { path: config.agent_socket.clone(), name: config.instance.clone(), place: None };
    let joined = Joined::join(who).map_err(Failure::system)?;
    let mut control = control(config, joined.incarnation)?;
    let mut pairs = Vec::new();
    for pair in &config.pairs {
        pairs.push(Witnessed::open(config, pair).await?);
    }
    let listening = vec![format!("{}/control", config.control_address)];
    let shared = main_for::shared_of("witness", &config.instance, listening, String::new());
    // It takes no commands yet.
    let (commands, _inbox) = mpsc::channel(1);
    admin::serve(admin, shared.clone(), commands)
        .map_err(|error| Failure::system(format!("the admin endpoint cannot be started: {error}")))?;
    let agent = joined.into_supervised().map_err(Failure::system)?;
    let mut signals = Signals::listen().map_err(Failure::system)?;
    tracing::info!(instance = config.instance, pairs = pairs.len(), "started");
    let mut driver = Driver { pairs: pairs.into_iter().map(|pair| (pair.id, pair)).collect(), agent };
    let mut tick_at = crate::clock::now();
    loop {
        let now = crate::clock::now();
        shared.heartbeat_micros.store(now.as_micros(), Ordering::Relaxed);
        if now >= tick_at {
            tick_at = now + TICK;
            driver.agent.rejoin(&[]);
        }
        control.handle_timeout(now);
        for ((pair, instance), content) in control.receive(now) {
            driver.on_message(now, pair, instance, &content);
        }
        for word in driver.agent.receive() {
            driver.on_word(now, &word);
        }
        driver.send(now, &mut control)?;
        let deadline = control.poll_timeout().unwrap_or(Instant::FAR_FUTURE).min(tick_at);
        let sleep = tokio::time::sleep_until(crate::clock::to_runtime(deadline));
        tokio::pin!(sleep);
        let stop = poll_fn(|cx| {
            if signals.poll_stop(cx) {
                return Poll::Ready(true);
            }
            let is_ready = control.poll_ready(cx).is_ready()
                | driver.agent.poll_ready(cx).is_ready()
                | sleep.as_mut().poll(cx).is_ready();
            if is_ready { Poll::Ready(false) } else { Poll::Pending }
        })
        .await;
        if stop {
            tracing::info!("ended");
            return Ok(());
        }
    }
}

type Place = (PairId, InstanceId);

fn control(config: &config::Witness, incarnation: Incarnation) -> Result<Control<Place>, Failure> {
    let (_, socket) = listen::udp(config.control_address).map_err(Failure::address)?;
    let key = read_key(&config.private_key_file).map_err(Failure::config)?;
    let mut control = Control::new(socket, key, incarnation);
    for pair in &config.pairs {
        for (party, instance) in pair.instances.iter().zip(InstanceId::BOTH) {
            let place = (PairId(pair.id), instance);
            let key = hex_key(&party.public_key).expect("checked when read");
            let between = Between::Witness(place.0, place.1);
            control.add(place, between, party.control_address, key).map_err(Failure::random)?;
        }
    }
    Ok(control)
}

/// One pair.
struct Witnessed {
    id: PairId,
    witness: Witness,
    file: PathBuf,
    /// The record that the file holds.
    kept: Option<Record>,
}

impl Witnessed {
    /// Begins with the record that was kept, or with a blank one.
    async fn open(config: &config::Witness, pair: &config::WitnessedPair) -> Result<Witnessed, Failure> {
        let id = PairId(pair.id);
        let lease = Duration::from_millis(u64::from(pair.lease_milliseconds));
        let file = config.state_directory.join(format!("pair-{}.json", pair.id));
        let store = |reason: String| Failure::store(format!("{}: {reason}", file.display()));
        let mut record = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice::<Record>(&bytes)
                .map_err(|error| store(format!("cannot be read: {error}")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::blank(MEMBERSHIP, lease),
            Err(error) => return Err(store(error.to_string())),
        };
        if record.lease > lease {
            // A lease of the old length may still run.
            tokio::time::sleep(record.lease + record.lease / 4).await;
        }
        record.lease = lease;
        let lossy = if pair.is_durable { LossyStart::LastHolder } else { LossyStart::Allowed };
        let timing = Timing::of(lease).expect("checked when read");
        let witness = Witness::start(crate::clock::now(), id, timing, Rules::all(), lossy, record);
        std::fs::create_dir_all(&config.state_directory).map_err(|error| store(error.to_string()))?;
        Ok(Witnessed { id, witness, file, kept: None })
    }

    fn keep(&mut self, record: Record) -> Result<(), Failure> {
        if self.kept == Some(record) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&record).expect("a record is numbers");
        crate::durable::write(&self.file, &bytes).map_err(|error| {
            Failure::store(format!("{}: cannot be written: {error}", self.file.display()))
        })?;
        self.kept = Some(record);
        Ok(())
    }

    /// S2-Q12: who is to begin when nobody that held can come back. The witness's own rules refuse it otherwise.
    fn begin(&self, living: &BothInstances<Option<Incarnation>>) -> Option<(Epoch, Member)> {
        let record = self.witness.record()?;
        if !record.in_sync.is_empty() || !record.holder_ended() {
            return None;
        }
        let last = record.holder.map(|holder| holder.instance);
        // Of a pair that keeps nothing the other one may still have what it was told; on a first start X1 begins.
        let first = last.map_or(InstanceId::One, InstanceId::other);
        let candidates = [first, first.other()];
        let member = candidates.into_iter().find_map(|instance| {
            let incarnation = (*living.of(instance))?;
            let member = Member { instance, incarnation };
            let may = self.witness.may_begin(member) && record.known.names(member);
            may.then_some(member)
        })?;
        Some((record.epoch, member))
    }
}

struct Driver {
    pairs: BTreeMap<PairId, Witnessed>,
    agent: Supervised,
}

impl Driver {
    fn on_message(&mut self, now: Instant, pair: PairId, instance: InstanceId, content: &[u8]) {
        let Some(pair) = self.pairs.get_mut(&pair) else { return };
        // What is no message of this release is dropped like any other noise.
        if let Ok(message) = postcard::from_bytes(content) {
            pair.witness.handle_message(now, Party::Instance(instance), message);
        }
    }

    fn on_word(&mut self, now: Instant, word: &Word) {
        let (id, body) = match word {
            Word::Died(pair, member) => (*pair, Body::Died(*member)),
            Word::Begin(pair, living) => {
                let Some(begin) = self.pairs.get(pair).and_then(|pair| pair.begin(living)) else { return };
                let (epoch, member) = begin;
                tracing::info!(pair = pair.0, ?member, "nobody that held can come back: it is to begin");
                (*pair, Body::DeclareLossy { epoch, member })
            }
            _ => return,
        };
        let Some(pair) = self.pairs.get_mut(&id) else { return };
        let message =
            Message { version: VERSION, pair: id, membership: MEMBERSHIP, from: None, to: None, body };
        pair.witness.handle_message(now, Party::Supervisor, message);
    }

    fn send(&mut self, now: Instant, control: &mut Control<Place>) -> Result<(), Failure> {
        for pair in self.pairs.values_mut() {
            while let Some(output) = pair.witness.poll_output() {
                match output {
                    Output::Persist(Durable::Record(record)) => pair.keep(record)?,
                    Output::Send { to: Party::Instance(instance), message } => {
                        let bytes =
                            postcard::to_allocvec(&message).expect("a message is plain data: numbers");
                        control.send(now, (pair.id, instance), &bytes);
                    }
                    Output::Became(became) => tracing::info!(pair = pair.id.0, ?became, "recorded"),
                    Output::Persist(_) | Output::Send { .. } => {}
                }
            }
        }
        Ok(())
    }
}
