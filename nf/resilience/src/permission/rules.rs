//! The rules as switches. They exist only so that the model can show what each rule is for: nothing but the model
//! and tests ever switches one off.

use serde::{Deserialize, Serialize};

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident, $field:ident, $clause:literal, $words:literal;)*) => {
        /// One rule that can be switched off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Rule { $($(#[$doc])* $variant,)* }

        /// Which rules hold. [`Rules::all`] everywhere but in the model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(from = "u32", into = "u32")]
        pub struct Rules { $($(#[$doc])* pub $field: bool,)* }

        impl Rule {
            /// All rules, in the order of their clauses.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            /// The clause that demands it.
            pub const fn clause(self) -> &'static str {
                match self { $(Rule::$variant => $clause,)* }
            }

            /// As one says it.
            pub const fn words(self) -> &'static str {
                match self { $(Rule::$variant => $words,)* }
            }

            /// Its name on a command line.
            pub const fn name(self) -> &'static str {
                match self { $(Rule::$variant => stringify!($field),)* }
            }
        }

        impl Rules {
            /// Every rule holds.
            pub const fn all() -> Rules {
                Rules { $($field: true,)* }
            }

            /// Every rule but one holds.
            #[must_use]
            pub const fn without(mut self, rule: Rule) -> Rules {
                match rule { $(Rule::$variant => self.$field = false,)* }
                self
            }
        }

        impl From<Rules> for u32 {
            fn from(rules: Rules) -> u32 {
                // One bit for each rule that is off.
                $(u32::from(!rules.$field) << (Rule::$variant as u32) |)* 0
            }
        }

        impl From<u32> for Rules {
            fn from(off: u32) -> Rules {
                Rules { $($field: off & 1 << (Rule::$variant as u32) == 0,)* }
            }
        }
    };
}

rules! {
    /// The holder looks at the end of its lease before each batch.
    Lease, lease, "S2-Q2", "emit only under a lease";
    /// The lease counts from when the renewal was sent, not from when its acknowledgement came.
    LeaseFromSend, lease_from_send, "S2-Q2", "the lease counts from the sending of the renewal";
    /// The standby asks only 1.25 leases after its own last acknowledgement.
    StandbyWaits, standby_waits, "S2-Q3", "the standby asks only 1.25 leases after its last acknowledgement";
    /// The witness grants only 1.25 leases after its own last acknowledgement.
    WitnessWaits, witness_waits, "S2-Q3", "the witness grants only 1.25 leases after its last acknowledgement";
    /// Who asks acknowledges no renewal until this very question is refused.
    SilenceWhileAsking, silence_while_asking, "S2-Q3", "who asks acknowledges no renewal";
    /// A grant makes the new holder the only one in sync.
    SetResetAtGrant, set_reset_at_grant, "S2-Q4", "a grant leaves only the new holder in the set";
    /// The witness changes the set only if epoch and set version are those the holder saw.
    CompareAndSet, compare_and_set, "S2-Q5", "the set changes by compare-and-set";
    /// The standby is added only after it acknowledged everything.
    AcknowledgedBeforeAdd, acknowledged_before_add, "S2-Q5", "add only who acknowledged everything";
    /// The holder waits for acknowledgements from before it asks to add.
    CommitFromAsking, commit_from_asking, "S2-Q5", "wait for acknowledgements from before asking to add";
    /// The standby leaves the set before anything is emitted that it did not acknowledge.
    RemoveFirst, remove_first, "S2-Q5", "remove before emitting what is not acknowledged";
    /// Snapshots and records older than what is held are ignored.
    SnapshotOrder, snapshot_order, "S2-Q5", "ignore a snapshot older than what is held";
    /// Only who is in the set is granted.
    InSyncOnly, in_sync_only, "S2-Q6", "grant only to who is in the set";
    /// The set names incarnations, and words of an earlier life count for nothing.
    Incarnations, incarnations, "S2-Q5, S2-Q6", "the set names incarnations";
    /// A restarted instance acknowledges nothing before the witness answered it.
    Hello, hello, "S2-Q6", "acknowledge nothing before the witness's welcome";
    /// Who starts waits 1.25 leases before it asks or grants.
    BootWait, boot_wait, "S2-Q7", "who starts waits 1.25 leases";
    /// A new witness counts only when both instances accepted it.
    BothAccept, both_accept, "S2-Q7", "a new witness needs both instances";
    /// An instance that knows nothing cannot accept a witness.
    KnowingAccept, knowing_accept, "S2-Q7, added", "who knows nothing accepts no witness";
    /// Words of another membership count for nothing.
    MembershipOrder, membership_order, "S2-Q7, added", "words of an older membership count for nothing";
    /// A new life starts with the membership that the one before accepted.
    MembershipDurable, membership_durable, "S2-Q7, added", "a new life keeps the membership of the one before";
    /// Renewals must echo a fresh acknowledgement.
    Echo, echo, "S2-Q9", "acknowledge only who hears";
    /// A record is emitted only when the standby in the set acknowledged it in this epoch.
    Commit, commit, "S2-Q10", "emit only what the standby acknowledged";
    /// After a release the epoch is over for who released it.
    ReleaseFinal, release_final, "S2-Q11", "a release is final";
    /// The hand-over waits until the standby acknowledged the last record.
    ReleaseAfterLast, release_after_last, "S2-Q11", "release only after the last record is acknowledged";
    /// A lossy start is declared only when the last holder cannot come back.
    LossyEvidence, lossy_evidence, "S2-Q12", "declare a lossy start only on evidence";
    /// Words of an older epoch count for nothing.
    EpochOrder, epoch_order, "S2-Q14", "words of an older epoch count for nothing";
}
