//! The control link: datagrams between an instance, its copy, the witness and its neighbours, each sealed for its receiver.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use clock::Instant;
use resilience::permission::{Incarnation, InstanceId, PairId};
use resilience::seal::{PrivateKey, PublicKey, Seal};
use tokio::io::Interest;

use crate::listen::Datagrams;

/// Datagrams taken in one go.
const BATCH_MAX: usize = 256;
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// What two parties are to each other: enters their keys, so that what is sealed for one purpose opens for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// The two instances of a pair.
    Instances(PairId),
    /// An instance and its witness.
    Witness(PairId, InstanceId),
    /// Instances of two pairs.
    Neighbours((PairId, InstanceId), (PairId, InstanceId)),
}

impl Between {
    fn context(self) -> Vec<u8> {
        match self {
            Between::Instances(pair) => format!("pair {}", pair.0),
            Between::Witness(pair, instance) => format!("witness {} {instance:?}", pair.0),
            Between::Neighbours(one, two) => {
                let (one, two) = (one.min(two), one.max(two));
                format!("neighbours {} {:?} {} {:?}", one.0.0, one.1, two.0.0, two.1)
            }
        }
        .into_bytes()
    }
}

struct Party<R> {
    role: R,
    remote: SocketAddr,
    seal: Seal,
}

/// One end of the link towards several parties, each with the role `R`.
pub struct Control<R> {
    socket: Datagrams,
    own: PrivateKey,
    incarnation: Incarnation,
    parties: Vec<Party<R>>,
    scratch: Vec<u8>,
}

impl<R: Copy + PartialEq> Control<R> {
    /// An end with no parties yet.
    pub fn new(socket: Datagrams, own: [u8; 32], incarnation: Incarnation) -> Control<R> {
        let own = PrivateKey::from_random(own);
        Control { socket, own, incarnation, parties: Vec::new(), scratch: vec![0; DATAGRAM_BYTES_MAX] }
    }

    /// Adds a party.
    ///
    /// # Errors
    /// When the kernel gives no random numbers.
    pub fn add(
        &mut self,
        role: R,
        between: Between,
        remote: SocketAddr,
        key: [u8; 32],
    ) -> Result<(), getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let other = PublicKey(key);
        let seal = Seal::new(self.own.clone(), other, &between.context(), self.incarnation, seed);
        self.parties.push(Party { role, remote, seal });
        Ok(())
    }

    /// Is there anything to read?
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The guard is let go of with the readiness kept: `receive` takes it away.
        self.socket.poll_read_ready(cx).map(|_| ())
    }

    /// What the parties have said. What none of them made is dropped.
    pub fn receive(&mut self, now: Instant) -> Vec<(R, Bytes)> {
        let mut said = Vec::new();
        for _ in 0..BATCH_MAX {
            let received =
                self.socket.try_io(Interest::READABLE, |socket| socket.recv_from(&mut self.scratch));
            let (count, remote) = match received {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An error of an earlier send; the datagrams behind it are still there.
                Err(_) => continue,
            };
            let Some(party) = self.parties.iter_mut().find(|party| party.remote == remote) else { continue };
            match party.seal.open(now, &self.scratch[..count]) {
                Ok(Some(content)) => said.push((party.role, content)),
                Ok(None) => {}
                Err(error) => tracing::debug!(%remote, %error, "a control datagram was dropped"),
            }
            party.flush(&self.socket);
        }
        said
    }

    /// Says something to a party, as far as there is a session with it: what is lost is repeated by whoever said it.
    pub fn send(&mut self, now: Instant, to: R, content: &[u8]) {
        let Some(party) = self.parties.iter_mut().find(|party| party.role == to) else { return };
        if let Some(datagram) = party.seal.seal(now, content) {
            send(&self.socket, party.remote, &datagram);
        }
        party.flush(&self.socket);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for party in &mut self.parties {
            if party.seal.poll_timeout().is_some_and(|at| at <= now) {
                party.seal.handle_timeout(now);
                party.flush(&self.socket);
            }
        }
    }

    /// When to call [`Control::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.parties.iter().filter_map(|party| party.seal.poll_timeout()).min()
    }
}

impl<R> Party<R> {
    fn flush(&mut self, socket: &Datagrams) {
        while let Some(datagram) = self.seal.poll_datagram() {
            send(socket, self.remote, &datagram);
        }
    }
}

fn send(socket: &Datagrams, remote: SocketAddr, datagram: &[u8]) {
    for _ in 0..2 {
        match socket.get_ref().send_to(datagram, remote) {
            // The pending error of an earlier datagram: its receiver was not there. Once more.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                tracing::debug!(%remote, %error, "a control datagram could not be sent");
                return;
            }
            // Sent, or lost in a full buffer, as datagrams may be.
            _ => return,
        }
    }
}
