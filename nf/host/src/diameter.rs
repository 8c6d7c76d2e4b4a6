//! Diameter over TCP: connections and bytes. Framing, capabilities and watchdogs are the peer machine's
//! (`diameter::peer`): here bytes are handed over as they come.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::Bytes;
use clock::{Duration, Instant};
use node::wire::{ConnectionId, Input};
use tokio::net::TcpListener;

use crate::stream::{Cut, Cutter, Limits, Progress, Report, Streams, What};

/// The bounds of Diameter connections.
pub const LIMITS: Limits = Limits {
    // A home network has a handful of CSCFs.
    connections_max: 256,
    // A peer that leaves this much unread is as good as dead.
    outbox_bytes_max: 8 * 1024 * 1024,
    // Unused: this layer does not know where a message ends.
    message_patience: Duration::from_secs(30),
    write_patience: Duration::from_secs(10),
    connect_patience: Duration::from_secs(5),
};

/// All Diameter connections.
pub struct DiameterStreams {
    streams: Streams,
    /// The host names of connections that we open.
    demanded: BTreeMap<ConnectionId, String>,
    /// Where to connect from, by family.
    from: Vec<IpAddr>,
    accepted: Vec<(ConnectionId, SocketAddr)>,
}

impl DiameterStreams {
    /// Takes bound listeners and the addresses to connect from.
    pub fn new(
        limits: Limits,
        listeners: Vec<(SocketAddr, TcpListener)>,
        from: Vec<IpAddr>,
        id_first: u64,
    ) -> DiameterStreams {
        DiameterStreams {
            streams: Streams::new(limits, listeners, || Box::new(Uncut), id_first),
            demanded: BTreeMap::new(),
            from,
            accepted: Vec::new(),
        }
    }

    /// The table below.
    pub fn streams(&mut self) -> &mut Streams {
        &mut self.streams
    }

    /// See [`Streams::poll`].
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        into: &mut Vec<Report>,
        count_max: usize,
    ) -> Poll<()> {
        let accepted = &mut self.accepted;
        self.streams.poll(cx, now, into, count_max, &mut |id, remote| accepted.push((id, remote)))
    }

    /// The connections accepted since the last call, as inputs.
    pub fn take_accepted(&mut self) -> impl Iterator<Item = Input> + use<> {
        std::mem::take(&mut self.accepted).into_iter().map(|(connection, remote)| Input::DiameterConnected {
            connection,
            peer: None,
            remote,
        })
    }

    /// Opens a connection to a peer.
    pub fn connect(&mut self, peer: String, remote: SocketAddr) {
        let from = self.from.iter().copied().find(|address| address.is_ipv4() == remote.is_ipv4());
        let id = self.streams.open(from, remote);
        self.demanded.insert(id, peer);
    }

    /// Queues bytes. A peer that takes too little is cut off.
    pub fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        if self.streams.connection(id).is_some() && !self.streams.send(id, bytes, None) {
            self.streams.close(id);
        }
    }

    /// Closes a connection once its queue is sent.
    pub fn close(&mut self, id: ConnectionId) {
        self.streams.close(id);
    }

    /// What a report means.
    pub fn on_report(&mut self, report: Report) -> Option<Input> {
        let connection = report.connection;
        let ended = self.streams.on_report(&report);
        match report.what {
            What::Opened { .. } => {
                let remote = self.streams.connection(connection)?.remote;
                let peer = self.demanded.get(&connection).cloned();
                Some(Input::DiameterConnected { connection, peer, remote })
            }
            What::Message(bytes) => {
                self.streams.connection(connection)?;
                Some(Input::DiameterBytes { connection, bytes })
            }
            What::Closed { reason, .. } => {
                let (ended, _) = ended?;
                tracing::info!(remote = %ended.remote, reason, "a Diameter connection has ended");
                match self.demanded.remove(&connection) {
                    Some(peer) if !ended.is_open => Some(Input::DiameterConnectFailed { peer }),
                    _ => Some(Input::DiameterClosed { connection }),
                }
            }
        }
    }
}

struct Uncut;

impl Cutter for Uncut {
    fn cut(&mut self, bytes: &[u8], cuts: &mut Vec<Cut>) -> Result<Progress, String> {
        cuts.push(Cut::Message(Bytes::copy_from_slice(bytes)));
        Ok(Progress::Between)
    }
}
