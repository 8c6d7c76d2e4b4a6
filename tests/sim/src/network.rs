//! The virtual network: when a datagram arrives, and how often. Streams are in order and lossless.

use clock::Duration;
use rand::RngExt;
use rand::rngs::StdRng;

/// How a link treats datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Shortest delay.
    pub delay_min: Duration,
    /// Longest delay. More than the shortest reorders.
    pub delay_max: Duration,
    /// Share of datagrams lost.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplication: f64,
}

impl Link {
    /// Between functions of one core: short, lossless, in order.
    pub const CORE: Link = Link {
        delay_min: Duration::from_micros(100),
        delay_max: Duration::from_micros(100),
        loss: 0.0,
        duplication: 0.0,
    };

    /// Between the instances of a pair and their witness: short, but datagrams overtake each other and some are lost.
    pub const MIRROR: Link = Link {
        delay_min: Duration::from_micros(50),
        delay_max: Duration::from_micros(250),
        loss: 0.002,
        duplication: 0.002,
    };

    /// The delays after which copies of one datagram arrive: none, one or two.
    pub fn arrivals(&self, random: &mut StdRng) -> Vec<Duration> {
        if random.random_bool(self.loss) {
            return Vec::new();
        }
        let copies = if random.random_bool(self.duplication) { 2 } else { 1 };
        (0..copies).map(|_| self.delay(random)).collect()
    }

    /// One delay.
    pub fn delay(&self, random: &mut StdRng) -> Duration {
        let (least, most) = (self.delay_min.as_micros() as u64, self.delay_max.as_micros() as u64);
        Duration::from_micros(random.random_range(least..=most))
    }
}
