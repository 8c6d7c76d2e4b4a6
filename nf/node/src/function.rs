//! The contract between the shell and a network function: [`Indication`]s in, [`Decision`]s out.
//!
//! Guarantees of the shell: a request is indicated once; each forwarded request comes back as exactly one final
//! [`Indication::Response`] (or time-out) unless the function forwards it again; each [`Decision::Ask`] as exactly one
//! [`Indication::Answer`]. Duties of a function: each request indicated with a server key gets exactly one final
//! response, sooner or later.

use bytes::Bytes;
use clock::Instant;
use diameter::cx;
use serde::{Deserialize, Serialize};
use sip::{Draft, Message};

use crate::event::Event;
use crate::mirror::Mirror;
use crate::wire::{Destination, Flow};

/// A server transaction: a request that wants an answer. Made by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerKey(pub u64);

/// A request that the function sends as a user agent of its own. Made by the function, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientKey(pub u64);

/// A Diameter request of ours. Made by the function, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryKey(pub u64);

/// A Diameter request of a peer, to be answered. Made by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DiameterKey(pub u64);

/// A command of an operator through the admin endpoint. Made by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandKey(pub u64);

/// What every function is built from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The process's configuration.
    pub config: crate::config::Config,
    /// Names to addresses.
    pub topology: crate::Topology,
    /// Where the epoch of [`Instant`] lies in wall time.
    pub wall: clock::WallOrigin,
    /// Unguessable in production, the run's seed in simulation.
    pub seed: [u8; 32],
}

impl Setup {
    /// A random stream of its own for each purpose: a new draw in one moves nothing in another.
    pub fn random(&self, purpose: &str) -> rand::rngs::StdRng {
        use rand::SeedableRng;
        use sha2::Digest;
        let digest = sha2::Sha256::new().chain_update(self.seed).chain_update(purpose.as_bytes()).finalize();
        rand::rngs::StdRng::from_seed(digest.into())
    }
}

/// Whether a response came from the network or stands for its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// It was received.
    Received,
    /// Timer B, C or F ran out: a 408 of our own making (RFC 3261 §16.8, §17.1).
    TimedOut,
    /// No branch could be sent: a 503 of our own making (RFC 3261 §16.9).
    Unreachable,
}

/// What the shell tells a function.
#[derive(Clone, Debug)]
pub enum Indication {
    /// A new request that wants an answer. Validated, Max-Forwards and loops checked, 100 Trying already sent for INVITE.
    /// Also in-dialog requests. Not CANCEL (the shell cancels the branches), not ACK.
    Request {
        /// Its server transaction.
        server: ServerKey,
        /// The request as received, but for the topmost Via, which has `received` and `rport` filled in (RFC 3581).
        request: Message,
        /// The way it came.
        flow: Flow,
    },
    /// An ACK for a 2xx: it has no transaction, forward it with [`Decision::SendStateless`].
    Ack {
        /// The ACK.
        request: Message,
        /// The way it came.
        flow: Flow,
    },
    /// The caller cancelled. The shell has answered the CANCEL and cancels all branches; a request not forwarded yet is
    /// to be answered with 487 by the function.
    Cancelled {
        /// The INVITE.
        server: ServerKey,
    },
    /// A response for a forwarded request, to be passed on: any provisional but 100, any 2xx, and, once all branches are
    /// done, the best of the others (RFC 3261 §16.7). Our Via is still on top: use [`Draft::relay`].
    Response {
        /// The request it answers.
        server: ServerKey,
        /// The response.
        response: Message,
        /// Received, or made up.
        origin: Origin,
        /// The position in [`Decision::Forward`]'s list of the branch that answered.
        branch: usize,
        /// Where it came from; `None` when made up.
        flow: Option<Flow>,
    },
    /// A response to a request of our own, provisional or final.
    OwnResponse {
        /// The request it answers.
        client: ClientKey,
        /// The response.
        response: Message,
        /// Received, or made up.
        origin: Origin,
    },
    /// A stream connection has ended.
    FlowClosed {
        /// Which.
        flow: Flow,
    },
    /// The answer to a Diameter request of ours.
    Answer {
        /// The request.
        query: QueryKey,
        /// The answer, or why there is none.
        answer: Result<cx::Answer, Unanswered>,
    },
    /// A Diameter request of a peer.
    DiameterRequest {
        /// To be answered with [`Decision::Answer`].
        key: DiameterKey,
        /// The request.
        request: cx::Request,
        /// Its Origin-Host.
        origin_host: String,
    },
    /// An operator's command (`subscriber.put`, `registration.list` …) with a JSON document, from the admin endpoint.
    Command {
        /// To be answered with [`Decision::CommandResult`].
        key: CommandKey,
        /// Its name.
        name: String,
        /// Its JSON document; empty when it needs none.
        body: Bytes,
    },
    /// Stop gracefully; no new work will come.
    Stopping,
}

/// Why a Diameter request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No connection to the peer.
    #[error("no connection to the Diameter peer")]
    NoPeer,
    /// The peer stayed silent.
    #[error("the Diameter peer did not answer in time")]
    TimedOut,
    /// The answer could not be read.
    #[error("the Diameter peer's answer could not be read")]
    Malformed,
}

/// One target of a forwarded request.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The request as it leaves, without our Via: the shell adds it. Max-Forwards is already lowered by [`crate::forward`].
    pub request: Draft,
    /// Where to.
    pub destination: Destination,
}

/// What a function wants done, in this order.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Answer a request. A final one ends the matter (2xx to INVITE may be repeated by downstream).
    Respond {
        /// The request.
        server: ServerKey,
        /// The response, built with [`Draft::response`] or [`Draft::relay`].
        response: Draft,
    },
    /// Forward a request to one or more targets in parallel; may be repeated after a final [`Indication::Response`]
    /// that was not passed on.
    Forward {
        /// The request.
        server: ServerKey,
        /// The targets, at least one.
        branches: Vec<Branch>,
        /// Give up a branch that has not sent anything for this long; `None`: timers B, C and F.
        patience: Option<clock::Duration>,
    },
    /// Send a request of our own.
    Send {
        /// Its key.
        client: ClientKey,
        /// The request, complete but for our Via.
        request: Draft,
        /// Where to.
        destination: Destination,
    },
    /// Send an ACK onwards.
    SendStateless {
        /// The ACK, without our Via.
        request: Draft,
        /// Where to.
        destination: Destination,
    },
    /// Send a Diameter request.
    Ask {
        /// Its key.
        query: QueryKey,
        /// The request.
        request: cx::Request,
        /// Destination-Host; `None`: any configured peer of the realm.
        destination_host: Option<String>,
    },
    /// Answer a Diameter request.
    Answer {
        /// The request.
        key: DiameterKey,
        /// The answer.
        answer: cx::Answer,
    },
    /// The result of a command: a JSON document, or a sentence that says which field, why, and what to do.
    CommandResult {
        /// The command.
        key: CommandKey,
        /// Document or refusal.
        result: Result<Bytes, String>,
    },
    /// What was put into the store must be durable before what follows leaves.
    Commit,
    /// Tell whoever listens.
    Event(Event),
}

/// A network function: plain IMS behaviour. Knows nothing of sockets, clocks, retransmissions; of copies only that what
/// it remembers stands in tables that can be told ([`crate::mirror::Mirror`]).
pub trait Function: Mirror {
    /// Takes one indication in. Drain [`Function::poll_output`] afterwards.
    fn handle_input(&mut self, now: Instant, input: Indication);
    /// Acts on deadlines that have passed.
    fn handle_timeout(&mut self, now: Instant);
    /// The next decision; `None` when all are taken.
    fn poll_output(&mut self) -> Option<Decision>;
    /// When to call [`Function::handle_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// It has followed another one, and serves from now on.
    fn take_over(&mut self, now: Instant);
}
