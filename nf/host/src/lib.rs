//! The driver: the one place below `nf/` that touches sockets, clocks, files and threads.
//!
//! It runs one [`machine::Machine`] (a `node::Node` with its function) on one thread and decides nothing about SIP or
//! Diameter. Read [`run`] first, then [`main_for`](fn@main_for) for what happens before and after.

pub mod admin;
pub mod clock;
pub mod config;
pub mod diameter;
pub mod journal;
pub mod listen;
pub mod log;
pub mod machine;
mod main_for;
pub mod metrics;
pub mod run;
pub mod store;
pub mod stream;
pub mod tcp;
pub mod trace;
pub mod udp;

pub use machine::{Built, CommitFailure, Durable, Machine};
pub use main_for::{Failure, main_for, wires};
