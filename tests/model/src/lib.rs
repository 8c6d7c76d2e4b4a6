//! Explores exhaustively what the permission of a pair can come to, with the very code of `resilience::permission`.
//!
//! [`world`] is two instances, a witness, a network that loses, repeats, reorders and delays, clocks that drift, and
//! processes that die or stop; [`ghost`] judges it from outside; [`explore`] walks breadth first through everything
//! that can happen within the budgets of a [`scenario`]; [`fair`] lets faults end and looks whether the pair comes back.
//!
//! Why not the crate `stateright`: it keeps whole states and a map of parents, and has no loss at sending; here a state costs some
//! sixteen bytes once it is explored, which decides how deep one gets, and a counterexample is told in the words of
//! the rules. What an explorer needs is two hundred lines.

#![forbid(unsafe_code)]

pub mod explore;
pub mod fair;
pub mod ghost;
pub mod rules;
pub mod scenario;
pub mod trace;
pub mod walk;
pub mod world;

pub use explore::{Explored, Limits, Verdict, explore};
pub use scenario::Scenario;
