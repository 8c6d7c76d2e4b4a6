//! The host agent: one for all pairs of a core on a machine. It holds the sockets that the instances of a pair share, counts
//! their lives, and tells at once who has died, because the kernel tells it (pidfd): evidence that nobody can forge (S2-H5).
//!
//! It starts nothing and stops nothing, and no call passes through it. Killed, it takes nothing down: the sockets live on in the
//! instances, which offer them to the agent that comes back.
//!
//! ```text
//!   instance ── Hello ──▶ which life? ─▶ Welcome ─▶ sockets held? ── yes ─▶ Take
//!                                                        └── no ─▶ Bind ─▶ Sockets ─▶ whoever waits: Take
//!   its process ends ─▶ Died to its copy and to the witnesses
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use node::config::HostAgent;
use resilience::permission::{BothInstances, Incarnation, InstanceId, Member, PairId};
use resilience::supervisor::Word;
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::sync::mpsc;

use crate::main_for::{self, Failure};
use crate::signals::Signals;
use crate::words::{self, Connection, registered};

/// How often the witnesses are told who lives: a pair that nobody holds begins then.
const BEGIN_INTERVAL: Duration = Duration::from_millis(250);

/// Runs a host agent until it is told to stop.
pub fn main() -> ExitCode {
    main_for::main_of("host-agent", crate::config::load_host_agent, |runtime, config| {
        tokio::task::LocalSet::new().block_on(runtime, serve(config))
    })
}

async fn serve(config: &HostAgent) -> Result<(), Failure> {
    let lives = Lives::open(&config.state_directory)
        .map_err(|error| Failure::store(format!("{}: {error}", config.state_directory.display())))?;
    let address =
        |error: io::Error| Failure::address(format!("cannot listen on {}: {error}", config.socket.display()));
    let listener = words::listen(&config.socket).and_then(registered).map_err(address)?;
    let (tell, mut told) = mpsc::channel(256);
    let mut agent = Agent { lives, tell, clients: BTreeMap::new(), pairs: BTreeMap::new(), next: 0 };
    let mut signals = Signals::listen().map_err(Failure::system)?;
    let mut begin = tokio::time::interval(BEGIN_INTERVAL);
    tracing::info!(socket = %config.socket.display(), "started");
    loop {
        tokio::select! {
            accepted = accept(&listener) => match accepted {
                Ok(connection) => agent.add(connection),
                Err(error) => {
                    tracing::warn!(%error, "a process could not be let in");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some((client, said)) = told.recv() => agent.on_said(client, said),
            _ = begin.tick() => agent.tell_who_lives(),
            () = signals.stop() => break,
        }
    }
    // Left behind it would be replaced at the next start; gone it says that nobody is there.
    let _ = std::fs::remove_file(&config.socket);
    tracing::info!("ended");
    Ok(())
}

async fn accept(listener: &Connection) -> io::Result<OwnedFd> {
    listener.async_io(Interest::READABLE, |listener| words::accept(listener.as_fd())).await
}

type ClientId = u64;

/// What a client's task tells.
enum Said {
    Word(Word, Vec<OwnedFd>),
    /// The connection has ended; the process may live.
    Gone,
    /// The process has ended.
    Ended,
}

struct Client {
    connection: Option<Rc<Connection>>,
    name: String,
    place: Option<(PairId, InstanceId)>,
    incarnation: Option<Incarnation>,
    /// Waits for the end of its process.
    watch: tokio::task::AbortHandle,
}

/// What two instances share.
#[derive(Default)]
struct Pair {
    sockets: Option<Vec<OwnedFd>>,
    /// Who was asked to bind them.
    binder: Option<ClientId>,
    waiting: BTreeSet<ClientId>,
    living: BothInstances<Option<Incarnation>>,
    /// The newest life of each that is over.
    dead: BothInstances<Option<Incarnation>>,
}

struct Agent {
    lives: Lives,
    tell: mpsc::Sender<(ClientId, Said)>,
    clients: BTreeMap<ClientId, Client>,
    pairs: BTreeMap<PairId, Pair>,
    next: ClientId,
}

impl Agent {
    fn add(&mut self, connection: OwnedFd) {
        let id = self.next;
        self.next += 1;
        let watched = process_of(&connection).and_then(registered);
        let connection = registered(connection);
        let (Ok(process), Ok(connection)) = (watched, connection) else {
            // It has ended already, or there are no descriptors left; it comes again.
            return;
        };
        let connection = Rc::new(connection);
        let tell = self.tell.clone();
        let watch = tokio::task::spawn_local(async move {
            // pidfd_open(2): readable when the process has ended.
            if process.readable().await.is_ok() {
                // Nobody listens any more only when the agent ends.
                let _ = tell.send((id, Said::Ended)).await;
            }
        });
        let (name, place, incarnation) = (String::new(), None, None);
        let watch = watch.abort_handle();
        let client = Client { connection: Some(connection.clone()), name, place, incarnation, watch };
        self.clients.insert(id, client);
        let tell = self.tell.clone();
        tokio::task::spawn_local(async move {
            loop {
                let received = connection.async_io(Interest::READABLE, |fd| words::receive(fd.as_fd())).await;
                let Ok(Some((bytes, descriptors))) = received else { break };
                let said = match Word::decode(&bytes) {
                    Ok(word) => Said::Word(word, descriptors),
                    Err(error) => {
                        tracing::warn!(%error, "a word of a process was not understood");
                        break;
                    }
                };
                if tell.send((id, said)).await.is_err() {
                    return;
                }
            }
            let _ = tell.send((id, Said::Gone)).await;
        });
    }

    fn on_said(&mut self, id: ClientId, said: Said) {
        match said {
            Said::Word(Word::Hello { name, place, incarnation }, _) => {
                self.on_hello(id, name, place, incarnation)
            }
            Said::Word(Word::Sockets, descriptors) => self.on_sockets(id, descriptors),
            Said::Word(..) => {}
            Said::Gone => self.on_gone(id),
            Said::Ended => self.on_ended(id),
        }
    }

    fn on_hello(
        &mut self,
        id: ClientId,
        name: String,
        place: Option<(PairId, InstanceId)>,
        known: Option<Incarnation>,
    ) {
        let incarnation = match self.lives.begin(&name, known) {
            Ok(incarnation) => incarnation,
            Err(error) => {
                tracing::error!(%error, name, "the life of a process cannot be counted: it is not let in");
                self.clients.remove(&id);
                return;
            }
        };
        // The same process may have come again after it lost this agent, or the one before.
        self.clients.retain(|other, client| {
            let is_former = *other != id && client.incarnation == Some(incarnation) && client.name == name;
            if is_former {
                client.watch.abort();
            }
            !is_former
        });
        let Some(client) = self.clients.get_mut(&id) else { return };
        tracing::info!(name, incarnation = incarnation.0, is_new = known.is_none(), "joined");
        (client.name, client.place, client.incarnation) = (name, place, Some(incarnation));
        if known.is_none() {
            self.send(id, &Word::Welcome(incarnation), false);
        }
        let Some((pair, instance)) = place else { return self.tell_all_dead(id) };
        let entry = self.pairs.entry(pair).or_default();
        *entry.living.of_mut(instance) = Some(incarnation);
        let other = instance.other();
        if let (None, Some(dead)) = (*entry.living.of(other), *entry.dead.of(other)) {
            self.send(id, &Word::Died(pair, Member { instance: other, incarnation: dead }), false);
        }
        if known.is_none() {
            self.give_sockets(pair, id);
        }
    }

    fn give_sockets(&mut self, pair: PairId, id: ClientId) {
        let entry = self.pairs.entry(pair).or_default();
        if entry.sockets.is_some() {
            self.send(id, &Word::Take, true);
        } else if entry.binder.is_none() {
            entry.binder = Some(id);
            self.send(id, &Word::Bind, false);
        } else {
            entry.waiting.insert(id);
        }
    }

    /// The life of a process is not over with its connection; who never said Hello has none.
    fn on_gone(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.connection = None;
        if client.incarnation.is_none() {
            client.watch.abort();
            self.clients.remove(&id);
        }
    }

    /// Whoever offers last is right: an instance that was given sockets and needs others has been configured anew.
    fn on_sockets(&mut self, id: ClientId, descriptors: Vec<OwnedFd>) {
        let Some((pair, _)) = self.clients.get(&id).and_then(|client| client.place) else { return };
        let entry = self.pairs.entry(pair).or_default();
        entry.sockets = Some(descriptors);
        entry.binder = None;
        for waiting in std::mem::take(&mut entry.waiting) {
            self.send(waiting, &Word::Take, true);
        }
    }

    fn on_ended(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(&id) else { return };
        let (Some((pair, instance)), Some(incarnation)) = (client.place, client.incarnation) else { return };
        tracing::info!(name = client.name, incarnation = incarnation.0, "has ended");
        let entry = self.pairs.entry(pair).or_default();
        if *entry.living.of(instance) == Some(incarnation) {
            *entry.living.of_mut(instance) = None;
        }
        *entry.dead.of_mut(instance) = Some(incarnation);
        entry.waiting.remove(&id);
        let was_binder = entry.binder.take_if(|binder| *binder == id).is_some();
        let notice = Word::Died(pair, Member { instance, incarnation });
        let concerned = |client: &Client| match client.place {
            Some((other, _)) => other == pair,
            None => true,
        };
        let told: Vec<ClientId> =
            self.clients.iter().filter(|(_, client)| concerned(client)).map(|(id, _)| *id).collect();
        for id in told {
            self.send(id, &notice, false);
        }
        if was_binder && let Some(next) = self.pairs.entry(pair).or_default().waiting.pop_first() {
            self.give_sockets(pair, next);
        }
    }

    /// A witness that was started after a death has to hear of it too.
    fn tell_all_dead(&mut self, witness: ClientId) {
        let mut notices = Vec::new();
        for (pair, entry) in &self.pairs {
            for instance in InstanceId::BOTH {
                if let (None, Some(incarnation)) = (*entry.living.of(instance), *entry.dead.of(instance)) {
                    notices.push(Word::Died(*pair, Member { instance, incarnation }));
                }
            }
        }
        for notice in notices {
            self.send(witness, &notice, false);
        }
        self.tell_who_lives();
    }

    /// S2-Q12: the witness itself knows whether anybody else can come back.
    fn tell_who_lives(&mut self) {
        let witnesses: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, client)| client.place.is_none() && client.incarnation.is_some())
            .map(|(id, _)| *id)
            .collect();
        for witness in witnesses {
            for (pair, entry) in &self.pairs {
                if !entry.living.is_empty() {
                    self.send(witness, &Word::Begin(*pair, entry.living), false);
                }
            }
        }
    }

    fn send(&self, id: ClientId, word: &Word, with_sockets: bool) {
        let Some(client) = self.clients.get(&id) else { return };
        let Some(connection) = &client.connection else { return };
        let sockets = client.place.filter(|_| with_sockets).and_then(|(pair, _)| self.pairs.get(&pair));
        let sockets = sockets.and_then(|entry| entry.sockets.as_deref()).unwrap_or_default();
        let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        if let Err(error) = words::send(connection.as_fd(), word, &descriptors) {
            // It is dead, which is told in a moment, or it stands still and reads nothing.
            tracing::debug!(%error, name = client.name, "a process could not be told something");
        }
    }
}

/// The process at the other end.
fn process_of(connection: &OwnedFd) -> io::Result<OwnedFd> {
    let peer = rustix::net::sockopt::socket_peercred(connection)?;
    Ok(pidfd_open(peer.pid, PidfdFlags::empty())?)
}

/// How many lives each name had: durable, so that they rise over restarts of everything.
struct Lives {
    path: PathBuf,
    counts: BTreeMap<String, u32>,
}

impl Lives {
    fn open(directory: &Path) -> io::Result<Lives> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = directory.join("lives.json");
        let counts = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let reason = format!("lives.json cannot be read ({error}): stop the core and remove it");
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Lives { path, counts })
    }

    /// A life begins, or goes on. It counts once it is durable.
    fn begin(&mut self, name: &str, known: Option<Incarnation>) -> io::Result<Incarnation> {
        let last = self.counts.get(name).copied().unwrap_or(0);
        let count = known.map_or(last + 1, |known| known.0);
        if count > last {
            let mut counts = self.counts.clone();
            counts.insert(name.to_owned(), count);
            let text = serde_json::to_vec(&counts).expect("names and numbers");
            crate::durable::write(&self.path, &text)?;
            self.counts = counts;
        }
        Ok(Incarnation(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_rise_over_restarts_of_the_agent_and_one_that_goes_on_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let mut lives = Lives::open(directory.path()).unwrap();
        assert_eq!(lives.begin("scscf-1", None).unwrap(), Incarnation(1));
        assert_eq!(lives.begin("scscf-1", None).unwrap(), Incarnation(2));
        assert_eq!(lives.begin("scscf-2", None).unwrap(), Incarnation(1));
        let mut again = Lives::open(directory.path()).unwrap();
        assert_eq!(again.begin("scscf-1", Some(Incarnation(2))).unwrap(), Incarnation(2));
        assert_eq!(again.begin("scscf-1", None).unwrap(), Incarnation(3));
        std::fs::write(directory.path().join("lives.json"), "{").unwrap();
        assert!(Lives::open(directory.path()).err().expect("refused").to_string().contains("lives.json"));
    }
}
