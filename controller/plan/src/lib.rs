//! What should be, what is, and what to do about it. Pure: no clock, no file, no socket, never awaits.
//!
//! ```text
//!   IMSCoreSpec ──desired──▶ Desired ─┐
//!                                     ├─plan──▶ Plan: ordered actions   (every detail decided)
//!   the cloud ────observe──▶ Observed ┘
//! ```

#![forbid(unsafe_code)]

pub mod desired;
pub mod names;
mod plan;
pub mod restart;
pub mod roll;
mod state;
mod validate;

pub use desired::{Desired, Inputs, LinkKey, Process, ProcessConfig};
pub use names::{Instance, ProcessName};
pub use plan::{Action, Observed, ObservedProcess, Plan, plan};
pub use roll::{HeldBack, Protection};
pub use validate::Reason;
