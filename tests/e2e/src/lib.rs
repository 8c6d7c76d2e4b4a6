//! The operator's view: a core of real processes, driven only by the `evertone` program and by telephones.
//!
//! [`Core`] is one core with a state directory and loopback addresses of its own; it ends every process it caused, also
//! when a test fails. [`Phones`] are the devices of `bench/ue` on real UDP sockets. Nothing here looks into a function:
//! what a test knows, an operator or a telephone could know.
//!
//! The tests share one machine and measure time, so they run one after another: see [`Turn`].

mod binaries;
mod core;
mod pcap;
mod phones;
mod processes;
mod subscribers;
mod turn;

pub use core::{Core, Finished, Running};
pub use pcap::Pcap;
pub use phones::{Heard, Load, Phones, Wire};
pub use processes::{Process, is_running, signal, with_text};
pub use subscribers::{Kind, Subscriber, csv, subscribers};
pub use turn::Turn;

use std::time::{Duration, Instant};

/// Waits until `is_done` says so; `false` when that took longer than `patience`. Never the proof of anything by itself.
pub fn wait_until(patience: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if is_done() {
            return true;
        }
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
