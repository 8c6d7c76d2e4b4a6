//! The words of permission as types. All are plain data.

use clock::Duration;
use serde::{Deserialize, Serialize};

/// Which pair of the core: one witness serves many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PairId(pub u32);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InstanceId {
    /// X1, which serves by default.
    One,
    /// X2, the redundant one.
    Two,
}

impl InstanceId {
    /// Both, in order.
    pub const BOTH: [InstanceId; 2] = [InstanceId::One, InstanceId::Two];

    /// The other one of the pair.
    pub const fn other(self) -> InstanceId {
        match self {
            InstanceId::One => InstanceId::Two,
            InstanceId::Two => InstanceId::One,
        }
    }
}

/// One life of an instance, from start to loss of memory. The supervisor that starts it makes it rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u32);

/// Raised by one with each change of the holder, only by the witness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The one after.
    pub const fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

/// Which witness counts: raised by one with each new witness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Membership(pub u32);

/// Raised by one with each change of the in-sync set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetVersion(pub u32);

impl SetVersion {
    /// The one after.
    pub const fn next(self) -> SetVersion {
        SetVersion(self.0 + 1)
    }
}

/// How many records a log has: the position of its last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub u64);

impl Position {
    /// The one after.
    pub const fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

/// What an instance holds of the mirror log: everything up to `position`, as the holder of `epoch` had it.
/// Ordered by epoch first: a longer log of an older epoch is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Held {
    /// Whose log.
    pub epoch: Epoch,
    /// How much of it.
    pub position: Position,
}

/// One life of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Which instance.
    pub instance: InstanceId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

/// Something for each of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BothInstances<T> {
    /// For X1.
    pub one: T,
    /// For X2.
    pub two: T,
}

impl<T> BothInstances<T> {
    /// The part of `instance`.
    pub const fn of(&self, instance: InstanceId) -> &T {
        match instance {
            InstanceId::One => &self.one,
            InstanceId::Two => &self.two,
        }
    }

    /// The part of `instance`, to change it.
    pub const fn of_mut(&mut self, instance: InstanceId) -> &mut T {
        match instance {
            InstanceId::One => &mut self.one,
            InstanceId::Two => &mut self.two,
        }
    }
}

impl BothInstances<Option<Incarnation>> {
    /// Just this member.
    pub const fn only(member: Member) -> Self {
        let mut set = BothInstances { one: None, two: None };
        *set.of_mut(member.instance) = Some(member.incarnation);
        set
    }

    /// Is this very incarnation named?
    pub fn names(&self, member: Member) -> bool {
        *self.of(member.instance) == Some(member.incarnation)
    }

    /// Is nobody named?
    pub const fn is_empty(&self) -> bool {
        self.one.is_none() && self.two.is_none()
    }
}

/// What the witness keeps durably of a pair (S2-Q1), and what an instance was last told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Which witness counts.
    pub membership: Membership,
    /// The epoch that was granted last.
    pub epoch: Epoch,
    /// To whom; nobody before the first grant.
    pub holder: Option<Member>,
    /// The incarnations that hold everything that was emitted.
    pub in_sync: BothInstances<Option<Incarnation>>,
    /// Raised with each change of `in_sync`.
    pub set_version: SetVersion,
    /// The newest incarnation of each instance.
    pub known: BothInstances<Option<Incarnation>>,
    /// The holder gave the epoch back (S2-Q11).
    pub is_released: bool,
    /// The epoch that begins, or began, with a start that was declared lossy (S2-Q12).
    pub lossy: Option<Epoch>,
    /// Length of the pair's lease: fixed, never derived from a measurement (S2-Q2).
    pub lease: Duration,
}

impl Record {
    /// Before anything was granted: nobody holds, nobody is in sync. The first start is a declared one.
    pub const fn blank(membership: Membership, lease: Duration) -> Record {
        Record {
            membership,
            epoch: Epoch(0),
            holder: None,
            in_sync: BothInstances { one: None, two: None },
            set_version: SetVersion(0),
            known: BothInstances { one: None, two: None },
            is_released: false,
            lossy: None,
            lease,
        }
    }

    /// Can the holder of this epoch never emit again? It released, or it lost its memory and so left the set.
    pub fn holder_ended(&self) -> bool {
        self.is_released || self.holder.is_none_or(|holder| !self.in_sync.names(holder))
    }

    /// Does this record tell more than `other` of the same membership?
    pub fn is_newer_than(&self, other: &Record) -> bool {
        (self.epoch, self.set_version, self.is_released) > (other.epoch, other.set_version, other.is_released)
    }

    /// Takes an incarnation out of the in-sync set, if it is in: its memory is gone. The version is the witness's to raise.
    pub fn end_life(&mut self, member: Member) {
        if self.in_sync.names(member) {
            *self.in_sync.of_mut(member.instance) = None;
        }
    }
}
