//! One UDP socket that speaks for all devices: each datagram leaves from its device's own address and comes back to it
//! (IP_PKTINFO). A socket for each device would run into the limit of open files long before 100,000 devices.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use clock::Duration;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

/// The socket.
pub struct Socket {
    socket: UdpSocket,
    pcscf: SockaddrIn,
    scratch: Vec<u8>,
    control: Vec<u8>,
    /// Datagrams that the kernel did not take because its buffer was full.
    pub dropped: u64,
}

/// What the kernel is asked to keep for us: at 10,000 datagrams a second some 200 ms. It may grant less.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

impl Socket {
    /// Binds `port` on all addresses; everything is sent to `pcscf`.
    pub fn bind(port: u16, pcscf: SocketAddrV4) -> Result<Socket> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))
            .with_context(|| format!("cannot bind UDP port {port}: choose another with --port"))?;
        socket.set_nonblocking(true)?;
        let reference = socket2::SockRef::from(&socket);
        reference.set_recv_buffer_size(BUFFER_BYTES)?;
        reference.set_send_buffer_size(BUFFER_BYTES)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).context("the kernel knows no IP_PKTINFO")?;
        Ok(Socket {
            socket,
            pcscf: SockaddrIn::from(pcscf),
            scratch: vec![0; 65_536],
            control: nix::cmsg_space!(libc::in_pktinfo),
            dropped: 0,
        })
    }

    /// Sends from a device's address.
    pub fn send(&mut self, from: Ipv4Addr, bytes: &[u8]) -> Result<()> {
        let source = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
        let information =
            libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: libc::in_addr { s_addr: 0 } };
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            &[ControlMessage::Ipv4PacketInfo(&information)],
            MsgFlags::MSG_DONTWAIT,
            Some(&self.pcscf),
        );
        match sent {
            Ok(_) => Ok(()),
            // Lost, as datagrams may be: the device's timers repair it.
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => {
                self.dropped += 1;
                Ok(())
            }
            Err(error) => Err(error).with_context(|| format!("cannot send from {from}")),
        }
    }

    /// The next datagram and the address that it was sent to.
    pub fn receive(&mut self) -> Result<Option<(Ipv4Addr, Bytes)>> {
        let mut parts = [IoSliceMut::new(&mut self.scratch)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let (count, to) = match recvmsg::<SockaddrIn>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut self.control),
            flags,
        ) {
            Ok(message) => {
                let to = message.cmsgs()?.find_map(|control| match control {
                    ControlMessageOwned::Ipv4PacketInfo(information) => {
                        Some(Ipv4Addr::from(information.ipi_addr.s_addr.to_ne_bytes()))
                    }
                    _ => None,
                });
                (message.bytes, to)
            }
            Err(Errno::EAGAIN) => return Ok(None),
            // An error of an earlier datagram.
            Err(Errno::ECONNREFUSED) => (0, None),
            Err(error) => return Err(error).context("cannot receive"),
        };
        let to = to.unwrap_or(Ipv4Addr::UNSPECIFIED);
        Ok(Some((to, Bytes::copy_from_slice(&self.scratch[..count]))))
    }

    /// Waits for a datagram.
    pub fn wait(&self, patience: Duration) -> Result<()> {
        let mut descriptors = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // In nanoseconds: the milliseconds of poll would start attempts in clumps.
        match nix::poll::ppoll(&mut descriptors, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_leaves_from_the_wanted_address_and_is_found_by_the_one_it_came_to() {
        let other = UdpSocket::bind("127.20.30.40:0").unwrap();
        let std::net::SocketAddr::V4(address) = other.local_addr().unwrap() else {
            unreachable!("bound as IPv4")
        };
        let mut socket = Socket::bind(0, address).unwrap();
        let device = Ipv4Addr::new(127, 64, 3, 7);
        socket.send(device, b"REGISTER").unwrap();
        let mut buffer = [0; 100];
        let (count, from) = other.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], from.ip()), (&b"REGISTER"[..], device.into()));
        other.send_to(b"SIP/2.0 200 OK", from).unwrap();
        socket.wait(Duration::from_secs(5)).unwrap();
        let (to, bytes) = socket.receive().unwrap().expect("it is there");
        assert_eq!((to, &bytes[..]), (device, &b"SIP/2.0 200 OK"[..]));
        assert!(socket.receive().unwrap().is_none());
    }
}
