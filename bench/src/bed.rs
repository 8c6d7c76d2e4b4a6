//! The test bed: a core, subscribers in its HSS, devices on a socket.

use std::net::SocketAddrV4;

use anyhow::{Result, bail};
use clock::Duration;

use crate::core::Core;
use crate::fleet::Fleet;
use crate::load::{Load, Mix, Pace, Part};
use crate::population::{COUNT_MAX, Population};
use crate::socket::Socket;
use crate::traffic::{Outcome, Traffic};

/// See the module.
pub struct Bed<'a> {
    /// The core.
    pub core: &'a Core,
    /// The devices.
    pub fleet: Fleet,
    /// What the devices were chosen for.
    pub mix: Mix,
}

/// Registrations under way while the devices are registered beforehand.
const WINDOW: usize = 16;

impl<'a> Bed<'a> {
    /// Provisions the subscribers and switches their devices on.
    pub fn new(core: &'a Core, population: &Population, mix: Mix, port: u16) -> Result<Bed<'a>> {
        Self::toward(core, population, mix, port, core.pcscf_address)
    }

    /// The same, with devices that send all to `entry`.
    pub fn toward(
        core: &'a Core,
        population: &Population,
        mix: Mix,
        port: u16,
        entry: SocketAddrV4,
    ) -> Result<Bed<'a>> {
        if !(2..=COUNT_MAX).contains(&population.count) {
            bail!("between 2 and {COUNT_MAX} subscribers are needed, not {}", population.count);
        }
        population.provision(core)?;
        let socket = Socket::bind(port, entry)?;
        let devices = population.devices(core, port, |index| mix.part(index).behaviour());
        Ok(Bed { core, fleet: Fleet::new(devices, socket), mix })
    }

    /// Brings the devices into the state that the mix wants, also when an earlier run left them in another.
    pub fn register(&mut self) -> Result<()> {
        let is_wanted = |part| matches!(part, Part::Answering | Part::Busy | Part::Ringing);
        let mix = self.mix;
        let parts = (0..self.fleet.len()).map(|index| (index, mix.part(index)));
        let (registered, others): (Vec<_>, Vec<_>) = parts.partition(|(_, part)| is_wanted(*part));
        self.order(registered.into_iter().map(|(index, _)| index), ue::Device::register)?;
        if mix == Mix::Mixed {
            self.order(others.into_iter().map(|(index, _)| index), ue::Device::deregister)?;
        }
        Ok(())
    }

    /// Registers these devices, a few at once, as fast as the core takes them.
    pub fn register_devices(&mut self, wanted: impl IntoIterator<Item = usize>) -> Result<()> {
        self.order(wanted, ue::Device::register)
    }

    fn order(
        &mut self,
        wanted: impl IntoIterator<Item = usize>,
        order: impl Fn(&mut ue::Device, clock::Instant),
    ) -> Result<()> {
        let mut waiting = wanted.into_iter();
        let mut under_way = 0;
        loop {
            while under_way < WINDOW
                && let Some(index) = waiting.next()
            {
                self.fleet.order(index, &order)?;
                under_way += 1;
            }
            if under_way == 0 {
                return Ok(());
            }
            let patience = self.fleet.now() + Duration::from_secs(1);
            self.fleet.turn(patience)?;
            while let Some((index, report)) = self.fleet.report() {
                match report {
                    ue::Report::Registered { .. } | ue::Report::Deregistered => under_way -= 1,
                    ue::Report::RegistrationFailed(failure) => {
                        let who = &self.fleet.device(index).profile().public_identity;
                        bail!("{who} could not be registered before the run: {failure:?}");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lets time pass.
    pub fn idle(&mut self, how_long: Duration) -> Result<()> {
        let until = self.fleet.now() + how_long;
        while self.fleet.now() < until {
            self.fleet.turn(until)?;
        }
        Ok(())
    }

    /// Runs a load.
    pub fn run(&mut self, load: Load) -> Result<Outcome> {
        Traffic::new(&mut self.fleet, self.core, load).run()
    }

    /// So many attempts without think time.
    pub fn run_at_once(&mut self, attempts: u64, window: usize, seed: u64) -> Result<Outcome> {
        self.run(Load {
            mix: self.mix,
            pace: Pace::Window(window),
            transient: Duration::ZERO,
            duration: Duration::from_secs(3600),
            attempts_max: attempts,
            hold_mean: Duration::ZERO,
            seed,
        })
    }
}
