//! All times of permission, from one: the length of the lease.

use clock::Duration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The length of a pair's lease and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timing {
    lease: Duration,
}

/// A lease must be four microseconds at least, or its quarter is no time at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("lease of {0:?} is shorter than 4 microseconds")]
pub struct LeaseTooShort(pub Duration);

impl Timing {
    /// Times for leases of this length.
    ///
    /// # Errors
    /// When the lease is shorter than four microseconds.
    pub const fn of(lease: Duration) -> Result<Timing, LeaseTooShort> {
        if lease.as_micros() < 4 { Err(LeaseTooShort(lease)) } else { Ok(Timing { lease }) }
    }

    /// How long the holder may emit after it sent a renewal that was acknowledged (S2-Q2).
    pub const fn lease(self) -> Duration {
        self.lease
    }

    /// The holder renews this often; asks, hellos and changes are repeated as often (S2-Q2: at most a quarter).
    pub fn renewal(self) -> Duration {
        self.lease / 4
    }

    /// Who acknowledged the holder waits this long before it asks or grants (S2-Q3). The quarter above the lease is for
    /// clocks of different rate.
    pub fn wait(self) -> Duration {
        self.lease + self.lease / 4
    }

    /// An acknowledgement can be echoed for this long (S2-Q9).
    pub fn echo_age_max(self) -> Duration {
        self.lease / 2
    }

    /// So long a record waits for the standby before the holder has it taken out of the set (S2-E5).
    pub fn commit_wait_max(self) -> Duration {
        self.lease / 4
    }
}
