//! The whole core in one process, in virtual time: every run is a pure function of its seed.
//!
//! ```text
//!  devices (bench/ue) ── Network: delay, loss, duplicates, reordering ── P-CSCF, I-CSCF, S-CSCF, HSS (the real nodes)
//!                              │
//!                          checkers (outside the system)   trace (what a person reads when a seed fails)
//! ```
//!
//! Nothing here knows how a function works inside; the same nodes run under `nf/host` in production.

#![forbid(unsafe_code)]

pub mod adversary;
pub mod checkers;
pub mod core;
pub mod network;
pub mod sabotage;
pub mod scenario;
pub mod trace;
pub mod world;

pub use scenario::{Outcome, Scenario};
pub use world::World;
