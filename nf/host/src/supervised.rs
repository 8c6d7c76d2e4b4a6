//! This process and the host agent: which life this is, the sockets that it shares with its copy, who has died.
//!
//! Losing the agent harms nothing at once: what the sockets are for goes on, and the agent that comes back is offered them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::Duration;

use resilience::permission::{Incarnation, InstanceId, PairId};
use resilience::supervisor::Word;
use tokio::io::Interest;

use crate::words::{Connection, connect, receive, registered, send};

/// How long a process that starts waits for the agent: both may be started at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who this process is to the agent.
#[derive(Clone, Debug)]
pub struct Who {
    /// The agent's socket.
    pub path: PathBuf,
    /// The instance name.
    pub name: String,
    /// Its place in a pair; a witness has none.
    pub place: Option<(PairId, InstanceId)>,
}

/// Why the agent could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nobody is there.
    #[error("no host agent answers on {}: start it first, as `evertone up` does ({source})", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It ended, or spoke otherwise than expected.
    #[error("the host agent on {} {what}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// What it did.
        what: String,
    },
}

/// The connection to the agent.
pub struct Supervised {
    who: Who,
    incarnation: Incarnation,
    connection: Option<Connection>,
    /// What the agent said before the loop ran.
    early: Vec<Word>,
}

/// How a process obtains what it shares: from the agent, or by making it.
pub enum Obtained {
    /// Descriptors that the agent held.
    Taken(Vec<OwnedFd>),
    /// Nobody had them.
    ToMake,
}

/// A process that the agent knows, before its loop runs.
pub struct Joined {
    who: Who,
    connection: OwnedFd,
    /// Which life of its name it is.
    pub incarnation: Incarnation,
    /// What it shares with its copy, if it is one of a pair.
    pub obtained: Obtained,
    early: Vec<Word>,
}

impl Joined {
    /// Tells the agent who this is, and waits for what it has to say. Blocks.
    ///
    /// # Errors
    /// When there is no agent, or it speaks otherwise than this release.
    pub fn join(who: Who) -> Result<Joined, JoinError> {
        let begun = std::time::Instant::now();
        let connection = loop {
            match connect(&who.path) {
                Ok(connection) => break connection,
                Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
                Err(source) => return Err(JoinError::Absent { path: who.path, source }),
            }
        };
        let broken = |what: String| JoinError::Broken { path: who.path.clone(), what };
        let hello = Word::Hello { name: who.name.clone(), place: who.place, incarnation: None };
        send(connection.as_fd(), &hello, &[]).map_err(|error| broken(format!("is gone: {error}")))?;
        let (mut incarnation, mut early) = (None, Vec::new());
        loop {
            let received =
                receive(connection.as_fd()).map_err(|error| broken(format!("is gone: {error}")))?;
            let Some((bytes, descriptors)) = received else { return Err(broken("has ended".into())) };
            let obtained = match Word::decode(&bytes).map_err(|error| broken(format!("says: {error}")))? {
                Word::Welcome(welcome) if who.place.is_none() => {
                    let obtained = Obtained::ToMake;
                    return Ok(Joined { connection, incarnation: welcome, obtained, early, who });
                }
                Word::Welcome(welcome) => {
                    incarnation = Some(welcome);
                    continue;
                }
                Word::Bind => Obtained::ToMake,
                Word::Take => Obtained::Taken(descriptors),
                word => {
                    early.push(word);
                    continue;
                }
            };
            let Some(incarnation) = incarnation else {
                return Err(broken("gave sockets without a life".into()));
            };
            return Ok(Joined { connection, incarnation, obtained, early, who });
        }
    }

    /// Hands over what this process has made.
    ///
    /// # Errors
    /// When the agent is gone.
    pub fn offer(&self, descriptors: &[BorrowedFd<'_>]) -> Result<(), JoinError> {
        let broken = |error: io::Error| JoinError::Broken {
            path: self.who.path.clone(),
            what: format!("is gone: {error}"),
        };
        send(self.connection.as_fd(), &Word::Sockets, descriptors).map_err(broken)
    }

    /// From here on within a loop. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn into_supervised(self) -> io::Result<Supervised> {
        Ok(Supervised {
            who: self.who,
            incarnation: self.incarnation,
            connection: Some(registered(self.connection)?),
            early: self.early,
        })
    }
}

impl Supervised {
    /// Is there anything to read?
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.early.is_empty() {
            return Poll::Ready(());
        }
        match &self.connection {
            Some(connection) => connection.poll_read_ready(cx).map(|_| ()),
            None => Poll::Pending,
        }
    }

    /// What the agent has said since.
    pub fn receive(&mut self) -> Vec<Word> {
        let mut words = std::mem::take(&mut self.early);
        while let Some(connection) = &self.connection {
            match connection.try_io(Interest::READABLE, |fd| receive(fd.as_fd())) {
                Ok(Some((bytes, _))) => match Word::decode(&bytes) {
                    Ok(word) => words.push(word),
                    Err(error) => tracing::warn!(%error, "a word of the host agent was not understood"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(None) | Err(_) => {
                    tracing::warn!("the host agent has ended; going on without it");
                    self.connection = None;
                }
            }
        }
        words
    }

    /// Looks for an agent that was lost. To be called now and then.
    pub fn rejoin(&mut self, descriptors: &[BorrowedFd<'_>]) {
        if self.connection.is_some() {
            return;
        }
        let attempt = || {
            let connection = connect(&self.who.path)?;
            let Who { name, place, .. } = self.who.clone();
            let hello = Word::Hello { name, place, incarnation: Some(self.incarnation) };
            send(connection.as_fd(), &hello, &[])?;
            if !descriptors.is_empty() {
                send(connection.as_fd(), &Word::Sockets, descriptors)?;
            }
            registered(connection)
        };
        if let Ok(connection) = attempt() {
            tracing::info!("the host agent is back");
            self.connection = Some(connection);
        }
    }
}
