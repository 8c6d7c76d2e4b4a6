//! One instance of a pair: a [`node::Node`] with what makes it one of two. No I/O, no clock.
//!
//! ```text
//!   driver ── Input ──▶ Twin: node, permission, link ── Output ──▶ driver
//!
//!   holder    input ─▶ node ─▶ outputs, held ──────────────── acknowledged, under a lease ─▶ leave
//!                       └────▶ changes ─▶ record ─▶ link ─┐
//!   standby   node  ◀─ applied ◀──────────────────────────┘
//! ```
//!
//! Who may emit decides [`resilience::permission`]; that records arrive, [`resilience::link`]; what is in them, the
//! node's [`node::mirror`]. This crate only joins them. Datagrams between the parties are authenticated and encrypted
//! by the driver.

#![forbid(unsafe_code)]

mod neighbours;
mod record;
mod twin;

pub use neighbours::{Address, NeighbourPair};
pub use record::{Kind, Record, RecordError};
pub use twin::{Input, Output, Start, Twin};
