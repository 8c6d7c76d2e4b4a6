//! What lets two instances of one network function stand in for each other.
//!
//! So far this is [`permission`]: who may act. Detection, mirroring and replay come next and stand on it.

#![forbid(unsafe_code)]

pub mod permission;
