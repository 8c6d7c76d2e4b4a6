//! Numbers that look random and are the same for the same seed: one stream for each purpose.

use clock::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose a device.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a purpose.
    pub fn new(seed: u64, purpose: &str) -> Random {
        let start = purpose.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Random(start)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 16 bytes, for a key.
    pub fn key(&mut self) -> [u8; 16] {
        ((u128::from(self.bits()) << 64) | u128::from(self.bits())).to_be_bytes()
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.bits()) * bound as u128;
        usize::try_from(product >> 64).expect("it is below a usize")
    }

    /// A number in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An exponentially distributed time: the spacing of a Poisson stream.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_and_purpose_alone() {
        assert_eq!(Random::new(1, "a").bits(), Random::new(1, "a").bits());
        assert_ne!(Random::new(1, "a").bits(), Random::new(1, "b").bits());
        assert_ne!(Random::new(1, "a").bits(), Random::new(2, "a").bits());
    }

    #[test]
    fn exponential_times_have_their_mean() {
        let mut random = Random::new(7, "test");
        let sum: Duration = (0..100_000).map(|_| random.exponential(Duration::from_millis(10))).sum();
        let mean = sum.as_secs_f64() / 100_000.0;
        assert!((0.0098..0.0102).contains(&mean), "{mean}");
    }
}
