//! N devices on one socket, in one loop without threads: what is measured is the core, not a scheduler.

use std::collections::VecDeque;
use std::net::IpAddr;

use anyhow::{Result, bail};
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
    origin: std::time::Instant,
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
            origin: std::time::Instant::now(),
        }
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
        let next = self.timers.next().unwrap_or(Instant::FAR_FUTURE).min(until);
        let patience = next.saturating_since(self.now()).min(Duration::from_secs(1));
        self.socket.wait(patience)?;
        interrupt::check()?;
        for _ in 0..BATCH_MAX {
            let Some((address, bytes)) = self.socket.receive()? else { break };
            let Some(index) = Population::index(address).filter(|index| *index < self.devices.len()) else {
                continue;
            };
            // The clock is read for each datagram: delays are measured to the microsecond.
            self.order(index, |device, now| device.handle_message(now, bytes))?;
        }
        let now = self.now();
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
                Output::Send(bytes) => self.socket.send(address, &bytes)?,
                Output::Report(report) => self.reports.push_back((index, report)),
            }
        }
        self.timers.set(index, device.poll_timeout());
        Ok(())
    }
}
