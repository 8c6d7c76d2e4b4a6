//! A capture file as tcpdump writes it, with raw IPv4 packets (LINKTYPE_RAW, 101): what an operator would hand to
//! `evertone subscriber check`.

use std::net::SocketAddrV4;

/// A capture.
#[derive(Clone, Debug)]
pub struct Pcap {
    bytes: Vec<u8>,
}

impl Default for Pcap {
    fn default() -> Self {
        let mut bytes = Vec::new();
        bytes.extend(0xa1b2_c3d4_u32.to_le_bytes());
        bytes.extend([2_u16, 4].map(u16::to_le_bytes).concat());
        bytes.extend([0_u32, 0, 262_144, 101].map(u32::to_le_bytes).concat());
        Pcap { bytes }
    }
}

impl Pcap {
    /// Adds a UDP datagram.
    pub fn add(&mut self, micros: u64, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        let length = u16::try_from(28 + payload.len()).expect("a datagram fits into a packet");
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        // Identification, no fragment, TTL 64, UDP, no checksum: readers of captures do not insist on it.
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend(from.ip().octets());
        packet.extend(to.ip().octets());
        packet.extend([from.port(), to.port(), length - 20, 0].map(u16::to_be_bytes).concat());
        packet.extend(payload);
        let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
        let header = [seconds, rest, u64::from(length), u64::from(length)];
        for word in header {
            self.bytes.extend(u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
        }
        self.bytes.extend(packet);
    }

    /// The file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
