//! N devices on one socket, in one loop without threads: what is measured is the core, not a scheduler.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use bytes::Bytes;
use clock::{Duration, Instant, TimerTable};
use ue::{Device, Output, Report};

use crate::interrupt;
use crate::population::Population;
use crate::socket::Socket;

/// The devices.
pub struct Fleet {
    devices: Vec<Device>,
    socket: Socket,
    timers: TimerTable<usize>,
    reports: VecDeque<(usize, Report)>,
    /// Set when the devices speak to an I-CSCF, without a P-CSCF.
    access: Option<Access>,
    origin: std::time::Instant,
}

/// What stands in for a P-CSCF in front of an I-CSCF: it adds what a REGISTER needs there, and it delays challenges.
///
/// Kamailio's S-CSCF sends its 401 before it stores the vector: who answers at once is challenged again.
struct Access {
    domain: String,
    patience: Duration,
    held: VecDeque<(Instant, usize, Bytes)>,
}

/// Datagrams taken in one turn, before timers and new attempts get theirs.
const BATCH_MAX: usize = 64;

impl Fleet {
    /// Devices whose addresses begin at [`Population::address`] of zero.
    pub fn new(devices: Vec<Device>, socket: Socket) -> Fleet {
        Fleet {
            devices,
            socket,
            timers: TimerTable::default(),
            reports: VecDeque::new(),
            access: None,
            origin: std::time::Instant::now(),
        }
    }

    /// From now on the devices speak to an I-CSCF: their REGISTERs carry what a P-CSCF would add, and challenges reach
    /// them `patience` later.
    pub fn stand_in_for_pcscf(&mut self, domain: &str, patience: Duration) {
        self.access = Some(Access { domain: domain.to_owned(), patience, held: VecDeque::new() });
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Now, in microseconds since the fleet was made.
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// A device, to look at.
    pub fn device(&self, index: usize) -> &Device {
        &self.devices[index]
    }

    /// Datagrams that the kernel did not take.
    pub fn dropped(&self) -> u64 {
        self.socket.dropped
    }

    /// Lets a device do something at once, and sends what it says.
    pub fn order<T>(&mut self, index: usize, order: impl FnOnce(&mut Device, Instant) -> T) -> Result<T> {
        let now = self.now();
        let result = order(&mut self.devices[index], now);
        self.drain(index)?;
        Ok(result)
    }

    /// What the devices told since the last call, oldest first.
    pub fn report(&mut self) -> Option<(usize, Report)> {
        self.reports.pop_front()
    }

    /// Waits for datagrams until `until`, then lets the devices handle them and their timers.
    pub fn turn(&mut self, until: Instant) -> Result<()> {
        let held = self.access.as_ref().and_then(|access| access.held.front());
        let held = held.map_or(Instant::FAR_FUTURE, |(due, ..)| *due);
        let next = self.timers.next().unwrap_or(Instant::FAR_FUTURE).min(until).min(held);
        let patience = next.saturating_since(self.now()).min(Duration::from_secs(1));
        self.socket.wait(patience)?;
        interrupt::check()?;
        for _ in 0..BATCH_MAX {
            let Some((address, bytes)) = self.socket.receive()? else { break };
            let Some(index) = Population::index(address).filter(|index| *index < self.devices.len()) else {
                continue;
            };
            if let Some(access) = self.access.as_mut().filter(|_| bytes.starts_with(b"SIP/2.0 401")) {
                let now = Instant::from_micros(
                    u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX),
                );
                access.held.push_back((now + access.patience, index, without_session_keys(&bytes)));
                continue;
            }
            // The clock is read for each datagram: delays are measured to the microsecond.
            self.order(index, |device, now| device.handle_message(now, bytes))?;
        }
        let now = self.now();
        while let Some((_, index, bytes)) = self.access.as_mut().and_then(|access| access.pop_due(now)) {
            self.order(index, |device, now| device.handle_message(now, bytes))?;
        }
        while let Some(index) = self.timers.pop_due(now) {
            self.order(index, Device::handle_timeout)?;
        }
        Ok(())
    }

    fn drain(&mut self, index: usize) -> Result<()> {
        let device = &mut self.devices[index];
        let IpAddr::V4(address) = device.profile().address.ip() else { bail!("devices have IPv4 addresses") };
        while let Some(output) = device.poll_output() {
            match output {
                Output::Send(bytes) => match &self.access {
                    Some(access) => {
                        self.socket.send(address, &access.dress(&bytes, device.profile().address))?
                    }
                    None => self.socket.send(address, &bytes)?,
                },
                Output::Report(report) => self.reports.push_back((index, report)),
            }
        }
        self.timers.set(index, device.poll_timeout());
        Ok(())
    }
}

impl Access {
    fn pop_due(&mut self, now: Instant) -> Option<(Instant, usize, Bytes)> {
        self.held.pop_front_if(|(due, ..)| *due <= now)
    }

    /// Adds Path and the visited network behind the first line of a REGISTER.
    fn dress(&self, bytes: &Bytes, address: SocketAddr) -> Bytes {
        let end = bytes.windows(2).position(|window| window == b"\r\n").map(|at| at + 2);
        let Some(end) = end.filter(|_| bytes.starts_with(b"REGISTER ")) else { return bytes.clone() };
        let domain = &self.domain;
        let added =
            format!("Path: <sip:term@{address};lr>\r\nRequire: path\r\nP-Visited-Network-ID: {domain}\r\n");
        [&bytes[..end], added.as_bytes(), &bytes[end..]].concat().into()
    }
}

/// A challenge as a P-CSCF passes it on: CK and IK stay in the network (TS 24.229 §5.2.2).
fn without_session_keys(bytes: &Bytes) -> Bytes {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for start in ["ck=\"", "ik=\""] {
        // A nonce may end with these letters: a parameter has a comma or a space in front.
        let mut found = text.match_indices(start).map(|(at, _)| at);
        let Some(at) = found.find(|at| text[..*at].ends_with([',', ' '])) else { continue };
        let end =
            text[at + start.len()..].find('"').map_or(text.len(), |length| at + start.len() + length + 1);
        // With the comma in front of it: neither is the first parameter.
        let begin = text[..at].trim_end_matches([' ', ',']).len();
        text.replace_range(begin..end, "");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_reaches_the_device_without_session_keys() {
        let challenge = "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"xck=\",algorithm=AKAv1-MD5, \
                         ck=\"00\",ik=\"11\", qop=\"auth\"\r\n\r\n";
        let passed = without_session_keys(&Bytes::from_static(challenge.as_bytes()));
        let expected = "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"xck=\",algorithm=AKAv1-MD5, \
                        qop=\"auth\"\r\n\r\n";
        assert_eq!(passed, expected);
    }

    #[test]
    fn a_register_for_an_i_cscf_gets_what_a_p_cscf_adds_and_other_requests_nothing() {
        let access = Access { domain: "ims.example".into(), patience: Duration::ZERO, held: VecDeque::new() };
        let address = "127.64.0.1:5090".parse().unwrap();
        let register = Bytes::from_static(b"REGISTER sip:ims.example SIP/2.0\r\nVia: x\r\n\r\n");
        let dressed = access.dress(&register, address);
        let text = std::str::from_utf8(&dressed).unwrap();
        assert!(
            text.starts_with("REGISTER sip:ims.example SIP/2.0\r\nPath: <sip:term@127.64.0.1:5090;lr>\r\n")
        );
        assert!(text.ends_with("P-Visited-Network-ID: ims.example\r\nVia: x\r\n\r\n"));
        let message = Bytes::from_static(b"MESSAGE sip:a SIP/2.0\r\n\r\n");
        assert_eq!(access.dress(&message, address), message);
    }
}
