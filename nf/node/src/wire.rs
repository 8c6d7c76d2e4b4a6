//! What crosses the border between a node and its driver.

use std::net::SocketAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::function::CommandKey;

/// A SIP transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Transport {
    /// The token in a Via.
    pub fn as_via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// Does it deliver by itself (RFC 3261 §17: no retransmissions)?
    pub fn is_reliable(self) -> bool {
        self == Transport::Tcp
    }
}

/// A connection that the driver holds. Never used twice in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// The way a SIP message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// UDP or TCP.
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
    /// The connection, for TCP.
    pub connection: Option<ConnectionId>,
}

impl Flow {
    /// The way back.
    pub fn to_destination(self) -> Destination {
        Destination {
            transport: self.transport,
            remote: self.remote,
            local: Some(self.local),
            connection: self.connection,
        }
    }
}

/// Where a SIP message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// UDP or TCP.
    pub transport: Transport,
    /// The address.
    pub remote: SocketAddr,
    /// The listening address to send from (UDP); the first of the right family when `None`.
    pub local: Option<SocketAddr>,
    /// Use this connection if it is still open; else one to `remote` is reused or opened.
    pub connection: Option<ConnectionId>,
}

/// From the driver to the node.
#[derive(Clone, Debug)]
pub enum Input {
    /// One whole SIP message: a datagram, or one cut from a stream by [`sip::framing`].
    Sip {
        /// The way it came.
        flow: Flow,
        /// Its bytes.
        bytes: Bytes,
        /// How long it waited in the driver's queue. Much of it means overload.
        waited: clock::Duration,
    },
    /// An operator's command; see [`crate::Indication::Command`].
    Command {
        /// Comes back in the result.
        key: CommandKey,
        /// Its name.
        name: String,
        /// Its JSON document.
        body: Bytes,
    },
    /// A SIP stream connection has ended.
    SipClosed {
        /// The way its messages came.
        flow: Flow,
    },
    /// A SIP message could not be delivered: refused, unreachable, no such connection.
    SipUnreachable {
        /// Where it was meant to go.
        destination: Destination,
    },
    /// A Diameter connection was accepted (`peer` is `None`) or opened at our demand.
    DiameterConnected {
        /// The new connection.
        connection: ConnectionId,
        /// The host name of [`Output::DiameterConnect`].
        peer: Option<String>,
        /// The address at the other end.
        remote: SocketAddr,
    },
    /// A demanded Diameter connection could not be opened.
    DiameterConnectFailed {
        /// The host name of [`Output::DiameterConnect`].
        peer: String,
    },
    /// Bytes of a Diameter stream, cut anywhere.
    DiameterBytes {
        /// The connection.
        connection: ConnectionId,
        /// The bytes.
        bytes: Bytes,
    },
    /// A Diameter connection has ended.
    DiameterClosed {
        /// The connection.
        connection: ConnectionId,
    },
    /// Stop gracefully: answer what is open, refuse what is new with 503, say goodbye to Diameter peers.
    Stop,
}

/// From the node to the driver. The order is part of the contract: what follows a [`Output::Commit`] leaves only
/// after the store is durable.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a SIP message.
    Sip {
        /// Where to.
        destination: Destination,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Close a SIP connection.
    SipClose {
        /// Which.
        connection: ConnectionId,
    },
    /// Open a Diameter connection.
    DiameterConnect {
        /// The peer's host name; comes back in the answer.
        peer: String,
        /// Its address.
        remote: SocketAddr,
    },
    /// Send bytes on a Diameter connection.
    Diameter {
        /// Which.
        connection: ConnectionId,
        /// Whole messages.
        bytes: Bytes,
    },
    /// Close a Diameter connection.
    DiameterClose {
        /// Which.
        connection: ConnectionId,
    },
    /// Make everything put into the store so far durable before anything that follows.
    Commit,
    /// Tell whoever listens: log, metrics, trace, checkers.
    Event(Event),
    /// The result of a command.
    CommandResult {
        /// The command.
        key: CommandKey,
        /// JSON document or refusal.
        result: Result<Bytes, String>,
    },
    /// [`Input::Stop`] is done: nothing is open any more.
    Stopped,
}
