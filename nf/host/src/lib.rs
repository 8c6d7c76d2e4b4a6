//! The driver: the one place below `nf/` that touches sockets, clocks, files and threads.
//!
//! It runs one [`machine::Machine`] (a `node::Node` with its function) on one thread and decides nothing about SIP or
//! Diameter. Read [`run`] first, then [`main_for`](fn@main_for) for what happens before and after. What a pair needs besides:
//! [`agent`], the supervisor that outlives an instance, and [`witness`], the third vote.

pub mod admin;
pub mod agent;
pub mod clock;
pub mod config;
mod control;
pub mod diameter;
mod durable;
pub mod journal;
pub mod listen;
pub mod log;
pub mod machine;
mod main_for;
pub mod metrics;
mod paired;
pub mod run;
mod signals;
pub mod store;
pub mod stream;
mod supervised;
pub mod tcp;
pub mod trace;
pub mod udp;
pub mod witness;
mod words;

pub use machine::{Built, CommitFailure, Durable, Machine};
pub use main_for::{Failure, main_for, wires};
