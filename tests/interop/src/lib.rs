//! What the tests in `tests/` need to put a real core before real phones and peers: [`core::Core`] is `evertone up` in a
//! directory and on loopback addresses of its own, [`sipp`] and [`capture`] run SIPp and Wireshark's tools,
//! [`subscribers`] makes people.
//!
//! Everything that is started ends with the value that started it, by its process number. Traffic never leaves the
//! loopback interface. Tests of one run do not share addresses, so several may run side by side.

pub mod capture;
pub mod core;
pub mod process;
pub mod sipp;
pub mod sockets;
pub mod softphone;
pub mod subscribers;
pub mod tools;
