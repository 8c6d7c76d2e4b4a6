//! Words of [`resilience::supervisor`] over unix sockets, with descriptors beside them.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use resilience::supervisor::{SOCKETS_MAX, WORD_BYTES_MAX, Word};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket within a loop.
pub type Connection = AsyncFd<OwnedFd>;

/// Lets the loop watch a socket for something to read. Needs a tokio runtime.
///
/// # Errors
/// When the kernel refuses.
pub fn registered(socket: OwnedFd) -> io::Result<Connection> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may lend another descriptor; OwnedFd never does"
    )]
    AsyncFd::with_interest(socket, Interest::READABLE)
}

/// Connects to a host agent.
///
/// # Errors
/// When nobody is there.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Listens for processes. A socket that a dead agent left behind is replaced; a living one is not.
///
/// # Errors
/// When another agent answers there, or the kernel refuses.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    if connect(path).is_ok() {
        let reason = "another host agent answers on it";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
    }
    if std::fs::symlink_metadata(path)
        .is_ok_and(|metadata| std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()))
    {
        std::fs::remove_file(path)?;
    }
    let socket = socket()?;
    // Nobody gets in before the mode is set: the directory is the owner's.
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, 64)?;
    Ok(socket)
}

/// Lets the next process in.
///
/// # Errors
/// When none waits, or the kernel refuses.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?)
}

fn socket() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// Sends a word with descriptors.
///
/// # Errors
/// When the other end is gone.
pub fn send(to: BorrowedFd<'_>, word: &Word, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other(format!("more than {SOCKETS_MAX} sockets")));
    }
    let bytes = word.encode();
    rustix::net::sendmsg(to, &[io::IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A word as bytes, and the descriptors that came with it.
pub type Received = (Vec<u8>, Vec<OwnedFd>);

/// Receives a word with descriptors; `None`: the other end has closed.
///
/// # Errors
/// When nothing is there (of a non-blocking socket), or the kernel refuses.
pub fn receive(from: BorrowedFd<'_>) -> io::Result<Option<Received>> {
    let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; WORD_BYTES_MAX];
    let received = rustix::net::recvmsg(
        from,
        &mut [io::IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(Some((bytes, descriptors)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn descriptors_travel_and_a_second_agent_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent");
        let listener = listen(&path).unwrap();
        assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // The second agent has knocked.
        drop(accept(listener.as_fd()).unwrap());
        let client = connect(&path).unwrap();
        let server = accept(listener.as_fd()).unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        send(client.as_fd(), &Word::Sockets, &[socket.as_fd()]).unwrap();
        let (bytes, descriptors) = receive(server.as_fd()).unwrap().expect("the client lives");
        assert_eq!(Word::decode(&bytes), Ok(Word::Sockets));
        let [taken] = <[OwnedFd; 1]>::try_from(descriptors).unwrap();
        let taken = std::net::UdpSocket::from(taken);
        assert_eq!(taken.local_addr().unwrap(), socket.local_addr().unwrap());
        drop(client);
        assert!(receive(server.as_fd()).unwrap().is_none());
        drop((server, listener));
        listen(&path).expect("one left behind is replaced");
    }
}
