//! SIP over UDP: the listening sockets and the queue behind them.
//!
//! Each wake empties the sockets into a queue of this process, with the instant of arrival: only there can waiting
//! be measured and overload be answered with 503. The kernel's own queue is the reserve behind it.
//!
//! Datagrams of nothing but CR and LF are dropped in silence: devices behind NAT send them to keep a binding open
//! (RFC 5626 §4.4.1 has them on streams, many phones send them on UDP as well), and an answer is not asked for.
//!
//! ICMP errors are not listened to: they can be forged by anyone, and a neighbour that was restarted is back before
//! the first repetition of RFC 3261 §17, which would otherwise be given up at once. Only what the kernel refuses to
//! send (no route, too long) counts as undeliverable.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use clock::Instant;
use node::wire::{Destination, Flow, Transport};
use tokio::io::Interest;

use crate::listen::Datagrams;

/// A datagram that waits to be handled.
pub struct Datagram {
    /// The way it came.
    pub flow: Flow,
    /// Its bytes.
    pub bytes: Bytes,
    /// When it was taken from the socket.
    pub at: Instant,
}

/// The sockets and the queue.
pub struct Udp {
    sockets: Vec<(SocketAddr, Datagrams)>,
    queue: VecDeque<Datagram>,
    queue_bytes: usize,
    scratch: Vec<u8>,
    dropped: u64,
}

/// Datagrams in the queue at most. At 2,000 messages a second this is eight seconds: long before, all new work is
/// answered 503.
const QUEUE_MAX: usize = 16_384;
/// Bytes in the queue at most.
const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Datagrams taken from one socket in one go.
const BATCH_MAX: usize = 256;
/// The largest UDP payload over IPv4 is 65,507 bytes, over IPv6 65,527.
const DATAGRAM_BYTES_MAX: usize = 65_535;

impl Udp {
    /// Takes bound sockets, in the order of the configuration.
    pub fn new(sockets: Vec<(SocketAddr, Datagrams)>) -> Udp {
        Udp {
            sockets,
            queue: VecDeque::new(),
            queue_bytes: 0,
            scratch: vec![0; DATAGRAM_BYTES_MAX],
            dropped: 0,
        }
    }

    /// Reads from these sockets from now on. What was read and not handled stays.
    pub fn replace(&mut self, sockets: Vec<(SocketAddr, Datagrams)>) {
        self.sockets = sockets;
    }

    /// Is there anything to read, or in the queue?
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.queue.is_empty() {
            return Poll::Ready(());
        }
        let mut ready = Poll::Pending;
        for (_, socket) in &self.sockets {
            // The guard is let go of with the readiness kept: `fill` takes it away.
            if socket.poll_read_ready(cx).is_ready() {
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Empties the sockets into the queue, as far as there is room.
    pub fn fill(&mut self, now: Instant) {
        for (local, socket) in &self.sockets {
            for _ in 0..BATCH_MAX {
                if self.queue.len() >= QUEUE_MAX || self.queue_bytes >= QUEUE_BYTES_MAX {
                    return;
                }
                match socket.try_io(Interest::READABLE, |socket| socket.recv_from(&mut self.scratch)) {
                    Ok((count, remote)) => {
                        let bytes = &self.scratch[..count];
                        if is_keep_alive(bytes) {
                            continue;
                        }
                        let bytes = Bytes::copy_from_slice(bytes);
                        self.queue_bytes += bytes.len();
                        let flow =
                            Flow { transport: Transport::Udp, local: *local, remote, connection: None };
                        self.queue.push_back(Datagram { flow, bytes, at: now });
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An error of an earlier send; the datagrams behind it are still there.
                    Err(_) => {}
                }
            }
        }
    }

    /// The oldest datagram.
    pub fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.queue.pop_front()?;
        self.queue_bytes -= datagram.bytes.len();
        Some(datagram)
    }

    /// Sends from the wanted address, or from the first of the right family. `false`: it cannot be delivered.
    pub fn send(&mut self, destination: &Destination, bytes: &[u8]) -> bool {
        let Some(socket) = self.socket_for(destination) else { return false };
        for _ in 0..2 {
            match socket.get_ref().send_to(bytes, destination.remote) {
                Ok(_) => return true,
                // The send buffer is full: a datagram lost, as UDP may. Repetitions repair it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.dropped += 1;
                    return true;
                }
                // May be the pending error of an earlier datagram: once more.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Datagrams that could not be sent because the send buffer was full, since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn socket_for(&self, destination: &Destination) -> Option<&Datagrams> {
        let wanted = self.sockets.iter().find(|(local, _)| Some(*local) == destination.local);
        let fitting = |address: &SocketAddr| address.is_ipv4() == destination.remote.is_ipv4();
        wanted
            .filter(|(local, _)| fitting(local))
            .or_else(|| self.sockets.iter().find(|(local, _)| fitting(local)))
            .map(|(_, socket)| socket)
    }
}

fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.len() <= 4 && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_datagrams_of_line_ends_are_keep_alives() {
        for yes in [&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0"] {
            assert!(is_keep_alive(yes), "{yes:?}");
        }
        for no in [&b"\r\n\r\n\r\n"[..], b"x\r\n", b"OPTI"] {
            assert!(!is_keep_alive(no), "{no:?}");
        }
    }
}
