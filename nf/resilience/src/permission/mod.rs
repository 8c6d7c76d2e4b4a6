//! Permission: which of the two instances of a pair may emit, decided by the pair and a witness, two of three.
//!
//! The shape is that of PacificA (Lin, Yang, Zhang, Zhou 2008): a holder and a standby with leases, and a third
//! party that records epoch, holder and in-sync set. The rules are S2-Q1 to S2-Q12; `docs/permission.md` tells what each is for.
//!
//! [`Instance`] is one of the two, [`Witness`] the third. Both are told the time and given messages; both
//! queue what they have to say. Neither reads a clock, a socket or a file. The exhaustive model in
//! `tests/model` runs this very code.
//!
//! ```text
//!              Welcome            silence of 1.25 lease,
//!                                 release or death notice
//!   Joining ───────────▶ Standby ───────────────────────▶ Asking
//!                         ▲  ▲ ▲           refused          │  │
//!                         │  │ └────────────────────────────┘  │ granted: epoch + 1
//!                released │  │ a higher epoch                  ▼
//!                         │  └──────────────────────────── Holder
//!                         └──────────── HandingOver ◀──────────┘ hand over
//! ```
//!
//! Guarantees (as far as the model explored): no two instances hold a lease at one instant; no record that was
//! emitted is missing at a later holder, but after a start that was declared lossy; epochs only rise.
//!
//! Assumptions: clocks of different machines differ in rate by less than a quarter; nobody forges a message;
//! incarnations of an instance rise; what was persisted is still there, or the party comes back as a new one.

mod holder;
mod instance;
mod message;
mod rules;
mod standby;
#[cfg(test)]
mod tests;
mod timing;
mod types;
mod witness;

pub use holder::{Change, Holder, Mirrored};
pub use instance::{Asking, Instance, Role, Start};
pub use message::{Body, Message, Party, Refused, VERSION};
pub use rules::{Rule, Rules};
pub use timing::{LeaseTooShort, Timing};
pub use types::{
    BothInstances, Epoch, Held, Incarnation, InstanceId, Member, Membership, PairId, Position, Record,
    SetVersion,
};
pub use witness::{Acceptance, LossyStart, Witness, WitnessState};

use serde::{Deserialize, Serialize};

/// What a party has to say, in the order in which it must happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Output {
    /// Make this durable. What follows must not leave before it is.
    Persist(Durable),
    /// Send this.
    Send {
        /// To whom.
        to: Party,
        /// What.
        message: Message,
    },
    /// Something worth knowing happened.
    Became(Became),
}

/// What must survive a restart of the party that says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Durable {
    /// The witness's record of the pair (S2-Q1).
    Record(Record),
    /// The membership that an instance accepted: its next incarnation starts with it, so that an old witness finds
    /// nobody (S2-Q7).
    Membership(Membership),
}

/// Events: logs, metrics and the layers above subscribe to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Became {
    /// The witness told this new incarnation where the pair stands.
    Welcome(Epoch),
    /// This instance asks for permission.
    Asking(Epoch),
    /// This instance was granted the epoch.
    Holder(Epoch),
    /// This instance follows another holder, or none.
    Standby(Epoch),
    /// The holder counts the standby as in sync from here.
    Protected(Epoch),
    /// The holder goes on alone.
    Unprotected(Epoch),
    /// The epoch began with a start that was declared lossy (S2-Q12): restore from elsewhere.
    Lossy(Epoch),
    /// The witness granted the epoch to this member.
    Granted(Epoch, Member),
    /// This new witness counts from here.
    Effective(Membership),
}
