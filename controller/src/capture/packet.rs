//! From a frame to what UDP or TCP carries in it. Fragments and anything unusual are passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is around the IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet, perhaps with VLAN tags.
    Ethernet,
    /// Linux "cooked", from the interface `any`.
    Cooked,
    /// Its second version.
    CookedTwo,
    /// BSD loopback: four bytes.
    Loopback,
    /// Nothing.
    Raw,
}

impl Link {
    /// The link types of the registry of tcpdump.org.
    pub fn from_number(number: u32) -> Option<Link> {
        Some(match number {
            1 => Link::Ethernet,
            113 => Link::Cooked,
            276 => Link::CookedTwo,
            0 | 108 => Link::Loopback,
            12 | 14 | 101 | 228 | 229 => Link::Raw,
            _ => return None,
        })
    }
}

/// What one packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// From.
    pub source: SocketAddr,
    /// To.
    pub destination: SocketAddr,
    /// How.
    pub transport: Transport,
    /// What.
    pub payload: &'a [u8],
}

/// UDP, or TCP with its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp { sequence: u32 },
}

/// The segment in a frame, if it is one.
pub fn segment(link: Link, frame: &[u8]) -> Option<Segment<'_>> {
    let packet = match link {
        Link::Raw => frame,
        Link::Loopback => frame.get(4..)?,
        Link::Cooked => frame.get(16..)?,
        Link::CookedTwo => frame.get(20..)?,
        Link::Ethernet => {
            let mut start = 12;
            // IEEE 802.1Q and 802.1ad tags.
            while matches!(short(frame, start)?, 0x8100 | 0x88a8) {
                start += 4;
            }
            frame.get(start + 2..)?
        }
    };
    match packet.first()? >> 4 {
        4 => version_4(packet),
        6 => version_6(packet),
        _ => None,
    }
}

fn version_4(packet: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(packet[0] & 0x0f) * 4;
    let length = usize::from(short(packet, 2)?);
    // A later fragment has no ports. A first one is as much as there is.
    if short(packet, 6)? & 0x1fff != 0 {
        return None;
    }
    let address = |start: usize| {
        Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(start..start + 4)?).ok()?)))
    };
    // Segmentation offload leaves the length 0.
    let end = if length == 0 { packet.len() } else { length.min(packet.len()) };
    transport(*packet.get(9)?, address(12)?, address(16)?, packet.get(header..end)?)
}

fn version_6(packet: &[u8]) -> Option<Segment<'_>> {
    let address = |start: usize| {
        Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(start..start + 16)?).ok()?)))
    };
    let length = usize::from(short(packet, 4)?);
    let end = if length == 0 { packet.len() } else { (40 + length).min(packet.len()) };
    transport(*packet.get(6)?, address(8)?, address(24)?, packet.get(40..end)?)
}

fn transport(protocol: u8, source: IpAddr, destination: IpAddr, bytes: &[u8]) -> Option<Segment<'_>> {
    let source = SocketAddr::new(source, short(bytes, 0)?);
    let destination = SocketAddr::new(destination, short(bytes, 2)?);
    let (transport, payload) = match protocol {
        17 => (Transport::Udp, bytes.get(8..)?),
        6 => {
            let sequence = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
            let header = usize::from(*bytes.get(12)? >> 4) * 4;
            (Transport::Tcp { sequence }, bytes.get(header..)?)
        }
        _ => return None,
    };
    (!payload.is_empty()).then_some(Segment { source, destination, transport, payload })
}

fn short(bytes: &[u8], position: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(position..position + 2)?.try_into().ok()?))
}
