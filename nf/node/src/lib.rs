//! The shell around a network function: transactions, response contexts, Diameter peers. No I/O, no clock.
//!
//! ```text
//!   nf/host                        nf/node                                nf/pcscf, icscf, scscf, hss
//!   sockets ── wire::Input ──▶ Node: parse, absorb, match ── Indication ──▶ Function: decide
//!           ◀─ wire::Output ──       Via, retransmit, fork   ◀── Decision ──
//! ```
//!
//! A [`Function`] sees each request once, each answer once, and a time-out as a word; it never sees a
//! retransmission, a timer of RFC 3261 §17, a Via of its own or a Diameter watchdog.

#![forbid(unsafe_code)]

mod client;
pub mod config;
mod context;
mod copy;
pub mod event;
pub mod forward;
pub mod function;
pub mod mirror;
mod node;
mod overload;
mod peers;
mod server;
pub mod store;
pub mod topology;
mod via;
pub mod wire;

pub use copy::Neighbour;
pub use event::Event;
pub use function::{
    Branch, ClientKey, CommandKey, Decision, DiameterKey, Function, Indication, Origin, QueryKey, ServerKey,
    Setup, Unanswered,
};
pub use node::{Emission, Node};
pub use store::{MemoryStore, Store};
pub use topology::Topology;
pub use wire::{ConnectionId, Destination, Flow, Transport};

#[cfg(test)]
mod tests;
