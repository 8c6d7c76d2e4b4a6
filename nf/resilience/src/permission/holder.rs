//! What is true only of a holder: its lease, what the standby acknowledged, the change of the set it waits for.

use clock::Instant;
use serde::{Deserialize, Serialize};

use super::types::{Incarnation, Position, SetVersion};

/// A change of the in-sync set that the holder asks the witness for (S2-Q5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Change {
    /// This incarnation of the standby has acknowledged everything.
    Add(Incarnation),
    /// Whoever the standby is does not acknowledge.
    Remove,
}

/// What the standby acknowledged in this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mirrored {
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Up to where; `None` before the snapshot.
    pub position: Option<Position>,
}

/// An instance that was granted the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// It may emit before this instant (S2-Q2).
    pub lease_end: Instant,
    /// When the next renewals leave.
    pub renew_at: Instant,
    /// The newest stamps, to be echoed (S2-Q9).
    pub witness_stamp: Option<Instant>,
    /// That of the standby.
    pub standby_stamp: Option<Instant>,
    /// How many records the log has.
    pub position: Position,
    /// What the standby acknowledged.
    pub mirrored: Option<Mirrored>,
    /// The change that is asked for, with the set version it is based on.
    pub change: Option<(Change, SetVersion)>,
    /// A record waits for the standby since then.
    pub waits_since: Option<Instant>,
}

impl Holder {
    /// A holder at its first moment.
    pub(super) fn granted(now: Instant, lease_end: Instant, position: Position) -> Holder {
        Holder {
            lease_end,
            renew_at: now,
            witness_stamp: None,
            standby_stamp: None,
            position,
            mirrored: None,
            change: None,
            waits_since: None,
        }
    }

    /// What this life of the standby acknowledged.
    pub(super) fn mirrored_by(&self, incarnation: Incarnation) -> Option<Position> {
        self.mirrored.filter(|mirrored| mirrored.incarnation == incarnation)?.position
    }
}
