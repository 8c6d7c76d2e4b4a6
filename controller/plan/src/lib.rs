//! What should be, what is, and what to do about it. Pure: no clock, no file, no socket, never awaits.
//!
//! ```text
//!   IMSCoreSpec ──desired──▶ Desired ─┐
//!                                     ├─plan──▶ ordered Vec<Action>   (every detail decided)
//!   the cloud ────observe──▶ Observed ┘
//! ```

#![forbid(unsafe_code)]

pub mod desired;
pub mod names;
mod plan;
pub mod restart;
mod validate;

pub use desired::{Desired, Inputs, Process};
pub use plan::{Action, Observed, ObservedProcess, plan};
pub use validate::Reason;
