//! SIP over TCP: which connection a message takes, and how a stream is cut into messages.
//!
//! A connection named by the destination is used while it is open; else any other to the same address; else, and
//! only when the destination named none, a new one is opened. A device behind NAT cannot be connected to: its
//! address names the end of a connection that is gone, and the sender is told so at once.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::Bytes;
use clock::{Duration, Instant};
use node::wire::{ConnectionId, Destination, Flow, Input, Transport};
use sip::framing::{Frame, StreamFramer};
use tokio::net::TcpListener;

use crate::stream::{Connection, Cut, Cutter, Limits, Progress, Report, Streams, What};

/// The bounds of SIP connections.
pub const LIMITS: Limits = Limits {
    connections_max: 20_000,
    // Eight of the largest messages, or hundreds of usual ones.
    outbox_bytes_max: 512 * 1024,
    // A message that takes longer than timer F (RFC 3261 §17.1.2.2: 32 s) has nobody waiting for it any more.
    message_patience: Duration::from_secs(30),
    write_patience: Duration::from_secs(30),
    connect_patience: Duration::from_secs(5),
};

/// What the loop does with a report.
pub enum Arrival {
    /// A message, since when.
    Message(Flow, Bytes, Instant),
    /// Inputs for the machine, at once.
    Inputs(Vec<Input>),
    /// A peer broke the framing: the flow, and the sentence.
    Malformed(Flow, String, Vec<Input>),
}

/// All SIP connections.
pub struct SipStreams {
    streams: Streams,
    listening: Vec<SocketAddr>,
}

impl SipStreams {
    /// Takes bound listeners, in the order of the configuration.
    pub fn new(limits: Limits, listeners: Vec<(SocketAddr, TcpListener)>, id_first: u64) -> SipStreams {
        let listening = listeners.iter().map(|(address, _)| *address).collect();
        SipStreams {
            streams: Streams::new(limits, listeners, || Box::new(SipCutter::default()), id_first),
            listening,
        }
    }

    /// Accepts from these listeners from now on.
    pub fn listen(&mut self, listeners: Vec<(SocketAddr, TcpListener)>) {
        self.listening = listeners.iter().map(|(address, _)| *address).collect();
        self.streams.listen(listeners);
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
        self.streams.poll(cx, now, into, count_max, &mut |_, _| {})
    }

    /// Sends a message; `false`: it cannot be delivered.
    pub fn send(&mut self, destination: &Destination, bytes: Bytes) -> bool {
        let wanted = destination.connection.filter(|id| self.streams.connection(*id).is_some());
        let id = match wanted.or_else(|| self.streams.connection_to(destination.remote)) {
            Some(id) => id,
            None if destination.connection.is_some() => return false,
            None => self.streams.open(self.address_for(destination), destination.remote),
        };
        self.streams.send(id, bytes, Some(*destination))
    }

    /// Closes a connection once its queue is sent.
    pub fn close(&mut self, id: ConnectionId) {
        self.streams.close(id);
    }

    /// What a report means.
    pub fn on_report(&mut self, report: Report) -> Arrival {
        let ended = self.streams.on_report(&report);
        match report.what {
            What::Opened { .. } => Arrival::Inputs(Vec::new()),
            What::Message(bytes) => match self.streams.connection(report.connection) {
                Some(connection) => Arrival::Message(flow(report.connection, connection), bytes, report.at),
                None => Arrival::Inputs(Vec::new()),
            },
            What::Closed { reason, is_malformed } => {
                let Some((connection, unsent)) = ended else { return Arrival::Inputs(Vec::new()) };
                let flow = flow(report.connection, &connection);
                tracing::debug!(remote = %flow.remote, reason, "a SIP connection has ended");
                let mut inputs: Vec<Input> =
                    unsent.into_iter().map(|destination| Input::SipUnreachable { destination }).collect();
                if connection.is_open {
                    inputs.push(Input::SipClosed { flow });
                }
                if is_malformed { Arrival::Malformed(flow, reason, inputs) } else { Arrival::Inputs(inputs) }
            }
        }
    }

    /// The address to connect from: what the destination names, else the first listening one of the family. Peers
    /// then see a function under its own address, also on loopback.
    fn address_for(&self, destination: &Destination) -> Option<IpAddr> {
        let fitting = |address: &SocketAddr| address.is_ipv4() == destination.remote.is_ipv4();
        let named = destination.local.filter(fitting);
        named.or_else(|| self.listening.iter().copied().find(fitting)).map(|address| address.ip())
    }
}

fn flow(id: ConnectionId, connection: &Connection) -> Flow {
    Flow {
        transport: Transport::Tcp,
        local: connection.local,
        remote: connection.remote,
        connection: Some(id),
    }
}

#[derive(Default)]
struct SipCutter(StreamFramer);

impl Cutter for SipCutter {
    fn cut(&mut self, bytes: &[u8], cuts: &mut Vec<Cut>) -> Result<Progress, String> {
        self.0.push(bytes);
        for frame in &mut self.0 {
            match frame {
                Ok(Frame::Message(message)) => cuts.push(Cut::Message(message)),
                // RFC 5626 §4.4.1: a double CRLF is answered with a single one.
                Ok(Frame::KeepAlivePing) => cuts.push(Cut::Answer(b"\r\n")),
                Ok(Frame::KeepAlivePong) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(if self.0.is_within_message() { Progress::Unfinished } else { Progress::Between })
    }
}
