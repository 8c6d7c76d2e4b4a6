//! SIP by hand, for what no phone would say.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A UDP socket with a peer.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
}

impl Datagrams {
    /// From `local` (port 0: any) to `remote`.
    pub fn open(local: SocketAddr, remote: SocketAddr) -> Result<Datagrams> {
        let socket = UdpSocket::bind(local).with_context(|| format!("{local} cannot be used"))?;
        socket.connect(remote)?;
        Ok(Datagrams { socket })
    }

    /// Our address.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Sends.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        self.socket.send(bytes).map(drop).context("the datagram cannot be sent")
    }

    /// The next datagram within `patience`.
    pub fn receive(&self, patience: Duration) -> Option<String> {
        let mut buffer = vec![0; 65_535];
        let end = Instant::now() + patience;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).ok()?;
            // A refused earlier datagram is reported here once: the core may just be starting again.
            if let Ok(length) = self.socket.recv(&mut buffer) {
                return Some(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        }
        None
    }

    /// The status of the next final response within `patience` to the message with that Call-ID (if it has
    /// one); `None`: silence.
    pub fn final_status(&self, call_id: Option<&str>, patience: Duration) -> Option<u16> {
        let end = Instant::now() + patience;
        loop {
            let left = end.checked_duration_since(Instant::now())?;
            let message = self.receive(left)?;
            let status = status_of(&message).filter(|status| *status >= 200);
            if status.is_some() && self::call_id(&message) == call_id {
                return status;
            }
        }
    }
}

/// The states of the kernel's sockets at `local`, `tcp` or `udp`: `0A` is a listener, `01` a connection.
pub fn states(protocol: &str, local: SocketAddr) -> Vec<String> {
    // `/proc/net` writes addresses as numbers of 32 bits in the machine's byte order.
    let hex = |bytes: &[u8]| -> String {
        let numbers =
            bytes.chunks_exact(4).map(|part| u32::from_ne_bytes([part[0], part[1], part[2], part[3]]));
        numbers.map(|number| format!("{number:08X}")).collect()
    };
    let (version, address) = match local.ip() {
        IpAddr::V4(ip) => ("", hex(&ip.octets())),
        IpAddr::V6(ip) => ("6", hex(&ip.octets())),
    };
    let local = format!("{address}:{:04X}", local.port());
    let table = std::fs::read_to_string(format!("/proc/net/{protocol}{version}")).unwrap_or_default();
    let state = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        (words.next() == Some(&local)).then(|| words.nth(1).map(str::to_owned)).flatten()
    };
    table.lines().filter_map(state).collect()
}

/// The Call-ID of a message, in its long or its short form.
pub fn call_id(message: &str) -> Option<&str> {
    let fields = message.lines().filter_map(|line| line.split_once(':'));
    let mut found =
        fields.filter(|(name, _)| ["call-id", "i"].contains(&name.trim().to_ascii_lowercase().as_str()));
    Some(found.next()?.1.trim())
}

/// The status code of a response; `None` for a request.
pub fn status_of(message: &str) -> Option<u16> {
    message.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}
