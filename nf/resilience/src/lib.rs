//! What lets two instances of one network function stand in for each other.
//!
//! | module | what it decides |
//! |---|---|
//! | [`permission`] | who may act: leases, epochs, in-sync set, the witness |
//! | [`rtt`] | R, of which all other times are multiples |
//! | [`detector`] | whether a neighbour still lives: when to act |
//! | [`link`] | that records arrive whole, once and in order between two instances |
//! | [`seal`] | that nobody else reads or makes what they say |
//! | [`supervisor`] | nothing: the words between an instance and the host agent that watches over it |
//!
//! `nf/pair` joins [`permission`] and [`link`] with a node, `nf/host` gives them sockets; nothing uses [`rtt`] and [`detector`] yet:
//! `docs/plan.md`.

#![forbid(unsafe_code)]

pub mod detector;
pub mod link;
pub mod permission;
pub mod rtt;
pub mod seal;
pub mod supervisor;
mod waiting;

pub use waiting::Key;
