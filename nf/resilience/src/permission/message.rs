//! What the three parties, and the supervisors that hold them, say to each other.

use clock::Instant;
use serde::{Deserialize, Serialize};

use super::Change;
use super::types::{Epoch, Held, Incarnation, InstanceId, Member, Membership, PairId, Record, SetVersion};

/// Version of [`Message`] on the wire. Another one is refused by [`Message::is_readable`].
pub const VERSION: u16 = 1;

/// Who speaks or listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Party {
    /// One of the pair.
    Instance(InstanceId),
    /// The witness of this membership: each membership has one.
    Witness(Membership),
    /// Who holds the processes of an instance: a parent process or a host agent. Its word is authenticated.
    Supervisor,
}

/// One message with what lets its receiver tell whether it still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// Which pair it is about.
    pub pair: PairId,
    /// The membership that the sender counts.
    pub membership: Membership,
    /// The life of the sender, if it is an instance.
    pub from: Option<Incarnation>,
    /// The life of the receiver it is meant for, if it is meant for one.
    pub to: Option<Incarnation>,
    /// What it says.
    pub body: Body,
}

impl Message {
    /// Can this release read it?
    pub const fn is_readable(&self, pair: PairId) -> bool {
        self.version == VERSION && self.pair.0 == pair.0
    }
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Body {
    /// A new incarnation to the witness: I am alive and know nothing (S2-Q6).
    Hello,
    /// The witness to an instance: so it stands.
    Stands(Record),
    /// The holder to witness and standby: acknowledge my lease (S2-Q2).
    Renewal {
        /// Under which epoch.
        epoch: Epoch,
        /// When it was sent, by the holder's clock.
        sent: Instant,
        /// The newest stamp heard from this receiver (S2-Q9).
        echo: Option<Instant>,
    },
    /// Answer to a renewal.
    Heard {
        /// Under which epoch.
        epoch: Epoch,
        /// `sent` of the renewal, if it is acknowledged; without it this is only a stamp to echo.
        acknowledged: Option<Instant>,
        /// Now, by the clock of who answers.
        stamp: Instant,
        /// What a standby holds.
        held: Option<Held>,
    },
    /// The holder to the standby: the log up to here, whole or just its last record. The content travels beside it.
    Mirror {
        /// Up to where.
        held: Held,
        /// Is this a snapshot? Else it is the one record at `held.position`.
        is_whole: bool,
    },
    /// The standby to the holder: so much I hold.
    Mirrored(Held),
    /// The holder to the witness: change the in-sync set if it is still the one I saw (S2-Q5).
    Change {
        /// The epoch of the holder.
        epoch: Epoch,
        /// The set version that it saw.
        set_version: SetVersion,
        /// What to change.
        change: Change,
    },
    /// The standby to the witness: grant me the epoch after this one (S2-Q3).
    Ask {
        /// The epoch it wants to follow.
        epoch: Epoch,
        /// Which question of this incarnation.
        number: u32,
        /// It has the release or the death notice of the holder.
        has_ended: bool,
    },
    /// The witness to who asked: yes.
    Granted {
        /// Which question.
        number: u32,
        /// So it stands now.
        record: Record,
    },
    /// The witness to who asked: no.
    Refused {
        /// Which question.
        number: u32,
        /// Why.
        reason: Refused,
        /// So it stands.
        record: Record,
    },
    /// The holder to witness and standby: this epoch is over for me (S2-Q11).
    Released(Epoch),
    /// A supervisor: this life is over (S2-H5).
    Died(Member),
    /// A supervisor to the witness: begin with this member although it may lack records (S2-Q12).
    DeclareLossy {
        /// The epoch that ends so.
        epoch: Epoch,
        /// Who is to begin.
        member: Member,
    },
    /// A new witness to an instance: count me (S2-Q7).
    Propose,
    /// An instance to a new witness: I count you from here; this is what I know.
    Accepted(Record),
}

/// Why a question was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refused {
    /// The epoch asked about is not the one that stands.
    OtherEpoch,
    /// Who asks is not in the in-sync set.
    NotInSync,
    /// The witness acknowledged the holder, or started, less than 1.25 leases ago.
    TooEarly,
}
