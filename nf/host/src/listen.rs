//! Binding the listening addresses, and saying who holds one that is taken.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use node::config::Config;
use node::wire::Transport;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;

/// All sockets of a process, bound.
#[derive(Default)]
pub struct Bound {
    /// SIP over UDP.
    pub udp: Vec<(SocketAddr, Datagrams)>,
    /// SIP over TCP.
    pub tcp: Vec<(SocketAddr, TcpListener)>,
    /// Diameter.
    pub diameter: Vec<(SocketAddr, TcpListener)>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}/{protocol}: {reason}")]
pub struct ListenError {
    address: SocketAddr,
    protocol: &'static str,
    reason: String,
}

/// What the kernel may keep for us while we are busy: 8 MiB hold about a second of a storm. The kernel grants what
/// net.core.rmem_max allows.
const RECEIVE_BUFFER_BYTES: usize = 8 * 1024 * 1024;
const SEND_BUFFER_BYTES: usize = 4 * 1024 * 1024;
const BACKLOG: i32 = 4096;

/// Binds everything the configuration names. Needs a tokio runtime.
pub fn bind(config: &Config) -> Result<Bound, ListenError> {
    let sockets = Sockets::bind(config)?;
    let refused = |error: io::Error| explain(sockets.first(), "sip", &error);
    let bound = sockets.open().map_err(refused)?;
    Ok(Bound { diameter: bind_diameter(config)?, ..bound })
}

/// Binds the Diameter listeners alone: they belong to an instance, not to its pair. Needs a tokio runtime.
pub fn bind_diameter(config: &Config) -> Result<Vec<(SocketAddr, TcpListener)>, ListenError> {
    config.diameter.iter().flat_map(|diameter| &diameter.listen).map(|address| tcp(*address)).collect()
}

/// The SIP sockets of a function, bound but not read: a pair shares them, and only the instance that serves opens them.
#[derive(Default)]
pub struct Sockets {
    udp: Vec<(SocketAddr, std::net::UdpSocket)>,
    tcp: Vec<(SocketAddr, std::net::TcpListener)>,
}

impl Sockets {
    /// Binds what the configuration names.
    pub fn bind(config: &Config) -> Result<Sockets, ListenError> {
        let mut sockets = Sockets::default();
        for (address, transport) in wanted(config) {
            match transport {
                Transport::Udp => sockets.udp.push(bind_udp(address)?),
                Transport::Tcp => sockets.tcp.push(bind_tcp(address)?),
            }
        }
        Ok(sockets)
    }

    /// Takes sockets that somebody else has bound; `None` when they are not those that the configuration names.
    pub fn take(config: &Config, descriptors: Vec<OwnedFd>) -> Option<Sockets> {
        let mut found = Sockets::default();
        for socket in descriptors.into_iter().map(Socket::from) {
            let address = socket.local_addr().ok()?.as_socket()?;
            match socket.r#type().ok()? {
                Type::DGRAM => found.udp.push((address, socket.into())),
                Type::STREAM => found.tcp.push((address, socket.into())),
                _ => return None,
            }
        }
        let mut sockets = Sockets::default();
        for (address, transport) in wanted(config) {
            match transport {
                Transport::Udp => sockets.udp.push(pick(&mut found.udp, address)?),
                Transport::Tcp => sockets.tcp.push(pick(&mut found.tcp, address)?),
            }
        }
        (found.udp.is_empty() && found.tcp.is_empty()).then_some(sockets)
    }

    /// All of them, to be handed over.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let udp = self.udp.iter().map(|(_, socket)| socket.as_fd());
        udp.chain(self.tcp.iter().map(|(_, listener)| listener.as_fd())).collect()
    }

    /// Lets the event loop read them, until what it is given is dropped. Needs a tokio runtime.
    pub fn open(&self) -> io::Result<Bound> {
        let mut bound = Bound::default();
        for (address, socket) in &self.udp {
            bound.udp.push((*address, readable(socket.try_clone()?)?));
        }
        for (address, listener) in &self.tcp {
            bound.tcp.push((*address, TcpListener::from_std(listener.try_clone()?)?));
        }
        Ok(bound)
    }

    /// Where they listen, with transport.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        let udp = self.udp.iter().map(|(address, _)| format!("{address}/udp"));
        udp.chain(self.tcp.iter().map(|(address, _)| format!("{address}/tcp")))
    }

    fn first(&self) -> SocketAddr {
        let first = self.udp.first().map(|(address, _)| *address);
        first.or_else(|| self.tcp.first().map(|(address, _)| *address)).unwrap_or(([0, 0, 0, 0], 0).into())
    }
}

fn wanted(config: &Config) -> impl Iterator<Item = (SocketAddr, Transport)> {
    let each = |listen: &node::config::Listen| {
        let address = listen.address;
        listen.transports.clone().into_iter().map(move |transport| (address, transport))
    };
    config.listen.iter().flat_map(each)
}

fn pick<T>(found: &mut Vec<(SocketAddr, T)>, address: SocketAddr) -> Option<(SocketAddr, T)> {
    let position = found.iter().position(|(local, _)| *local == address)?;
    Some(found.swap_remove(position))
}

/// A UDP socket that the event loop is told of only when there is something to read. A datagram that cannot be sent is lost
/// anyway, and who waits to write is woken each time a receiver has taken one of our datagrams: twice as often as needed.
pub type Datagrams = AsyncFd<std::net::UdpSocket>;

/// Binds a UDP socket; gives back the address it has. Needs a tokio runtime.
pub fn udp(address: SocketAddr) -> Result<(SocketAddr, Datagrams), ListenError> {
    let (local, socket) = bind_udp(address)?;
    Ok((local, readable(socket).map_err(|error| explain(address, "udp", &error))?))
}

/// Binds a TCP listener; gives back the address it has. Needs a tokio runtime.
pub fn tcp(address: SocketAddr) -> Result<(SocketAddr, TcpListener), ListenError> {
    let (local, listener) = bind_tcp(address)?;
    Ok((local, TcpListener::from_std(listener).map_err(|error| explain(address, "tcp", &error))?))
}

fn readable(socket: std::net::UdpSocket) -> io::Result<Datagrams> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may lend another descriptor; UdpSocket never does"
    )]
    Datagrams::with_interest(socket, Interest::READABLE)
}

fn bind_udp(address: SocketAddr) -> Result<(SocketAddr, std::net::UdpSocket), ListenError> {
    let attempt = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Best effort: a smaller buffer only loses datagrams earlier.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SEND_BUFFER_BYTES);
        // No SO_REUSEADDR: two processes on one UDP port would share the messages by chance.
        socket.bind(&address.into())?;
        let socket = std::net::UdpSocket::from(into_nonblocking(socket)?);
        Ok((socket.local_addr()?, socket))
    };
    attempt().map_err(|error| explain(address, "udp", &error))
}

fn bind_tcp(address: SocketAddr) -> Result<(SocketAddr, std::net::TcpListener), ListenError> {
    let attempt = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Connections of a process that was killed stay in TIME_WAIT: they must not keep the next one out.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = std::net::TcpListener::from(into_nonblocking(socket)?);
        Ok((listener.local_addr()?, listener))
    };
    attempt().map_err(|error| explain(address, "tcp", &error))
}

fn into_nonblocking(socket: Socket) -> io::Result<OwnedFd> {
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn explain(address: SocketAddr, protocol: &'static str, error: &io::Error) -> ListenError {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => match holder(address, protocol) {
            Some((pid, command)) => format!("the address is in use by {command} (pid {pid})"),
            None => "the address is in use by a process of another user, or of another container".into(),
        },
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has the address".into(),
        io::ErrorKind::PermissionDenied => {
            format!("not allowed: ports below 1024 need CAP_NET_BIND_SERVICE ({error})")
        }
        _ => error.to_string(),
    };
    ListenError { address, protocol, reason }
}

/// The process that listens on `address`, as far as this user may know.
fn holder(address: SocketAddr, protocol: &str) -> Option<(u32, String)> {
    let inodes: Vec<u64> = [protocol.to_owned(), format!("{protocol}6")]
        .iter()
        .filter_map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).ok())
        .flat_map(|table| {
            table.lines().filter_map(|line| inode_of(line, address, protocol)).collect::<Vec<_>>()
        })
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let holds = std::fs::read_dir(process.path().join("fd")).ok()?.flatten().any(|file| {
            let Ok(target) = std::fs::read_link(file.path()) else { return false };
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| inodes.contains(&inode))
        });
        let command = std::fs::read_to_string(process.path().join("comm")).ok()?;
        holds.then(|| (pid, command.trim().to_owned()))
    })
}

/// The inode of a line of /proc/net/{udp,tcp}[6] that takes the wanted address.
fn inode_of(line: &str, wanted: SocketAddr, protocol: &str) -> Option<u64> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let (host, port) = local.split_once(':')?;
    let is_listening = protocol == "udp" || state == "0A";
    let is_port = u16::from_str_radix(port, 16).ok()? == wanted.port();
    let is_wildcard = host.bytes().all(|digit| digit == b'0');
    let is_host = is_wildcard || host.eq_ignore_ascii_case(&kernel_hex(wanted));
    if !(is_listening && is_port && is_host) {
        return None;
    }
    fields.nth(5)?.parse().ok()
}

/// An address as the kernel prints it: words of four bytes, each in the machine's byte order.
fn kernel_hex(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    };
    octets
        .chunks_exact(4)
        .map(|word| format!("{:08X}", u32::from_ne_bytes([word[0], word[1], word[2], word[3]])))
        .collect()
}

/// Raises the number of file descriptors to what the system allows, and gives it back: each connection takes one.
pub fn raise_file_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Best effort: with fewer, fewer connections are accepted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_taken_address_is_named_together_with_who_holds_it() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (taken, _socket) = udp(address.parse().unwrap()).unwrap();
            let message = udp(taken).unwrap_err().to_string();
            let me = format!("(pid {})", std::process::id());
            assert!(message.contains(&format!("{taken}/udp")) && message.contains(&me), "{message}");
            let (taken, _listener) = tcp(address.parse().unwrap()).unwrap();
            let message = tcp(taken).unwrap_err().to_string();
            assert!(message.contains(&format!("{taken}/tcp")) && message.contains(&me), "{message}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_address_the_machine_does_not_have_is_said_to_be_missing() {
        // TEST-NET-1 (RFC 5737) is on no interface.
        let message = udp("192.0.2.1:5060".parse().unwrap()).err().unwrap().to_string();
        assert!(message.contains("no interface of this machine has the address"), "{message}");
    }
}
