//! One test at a time on this machine, across the threads of one test program, across programs, and across builds in other
//! directories: a test that measures a restart must not share two cores with a storm, and the cores have fixed addresses.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

/// No core has it: theirs are 127.2.1.x and on.
const ADDRESS: &str = "127.2.0.1:40999";

/// Held while a test runs; the kernel lets go when the program dies.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for its address")] UdpSocket);

impl Turn {
    /// Waits for its turn.
    pub fn take() -> Turn {
        loop {
            match UdpSocket::bind(ADDRESS) {
                Ok(socket) => return Turn(socket),
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("{ADDRESS}: {error}"),
            }
        }
    }
}
