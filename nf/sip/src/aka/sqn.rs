//! Sequence numbers: SQN = SEQ‖IND, and the device's memory of them (TS 33.102 annex C).
//!
//! Several sources draw SQNs for one SIM without asking each other. Each source has IND values of its own; the device
//! keeps the highest SEQ for each IND, so that vectors of different sources may arrive in any order.

use serde::{Deserialize, Serialize};

/// Bits of IND (TS 33.102 §C.3.2).
const IND_BITS: u32 = 5;
/// How many IND values there are.
const IND_COUNT: usize = 1 << IND_BITS;
/// Δ: how far SEQ may lie ahead of the highest accepted one (TS 33.102 §C.3.2). Without it one vector with the last SQN
/// of all would make the SIM useless.
const AHEAD_MAX: u64 = 1 << 28;
/// SQN has 48 bits.
const SQN_MAX: u64 = (1 << 48) - 1;

/// A 48-bit sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sqn(u64);

impl Sqn {
    /// The number; `None` when it needs more than 48 bits.
    pub fn new(value: u64) -> Option<Sqn> {
        (value <= SQN_MAX).then_some(Sqn(value))
    }

    /// SEQ‖IND; `None` when SEQ needs more than 43 bits or IND more than 5.
    pub fn from_parts(seq: u64, ind: u8) -> Option<Sqn> {
        let fits = seq <= SQN_MAX >> IND_BITS && usize::from(ind) < IND_COUNT;
        fits.then(|| Sqn(seq << IND_BITS | u64::from(ind)))
    }

    /// The whole number.
    pub fn value(self) -> u64 {
        self.0
    }

    /// SEQ, the upper 43 bits.
    pub fn seq(self) -> u64 {
        self.0 >> IND_BITS
    }

    /// IND, the lower 5 bits.
    pub fn ind(self) -> u8 {
        (self.0 & (IND_COUNT as u64 - 1)) as u8
    }

    /// Big-endian, as it is hidden in AUTN.
    pub fn to_bytes(self) -> [u8; 6] {
        let [_, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// From the six bytes in AUTN.
    pub fn from_bytes(bytes: [u8; 6]) -> Sqn {
        Sqn(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

/// The device's memory: the highest accepted SEQ for each IND.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqnHistory {
    seq_by_ind: [u64; IND_COUNT],
}

impl SqnHistory {
    /// A device that has accepted this SQN, and none with another IND after it.
    pub fn starting_at(sqn: Sqn) -> SqnHistory {
        let mut history = SqnHistory::default();
        history.seq_by_ind[usize::from(sqn.ind())] = sqn.seq();
        history
    }

    /// SQN_MS: the highest SQN accepted with any IND.
    pub fn highest(&self) -> Sqn {
        let parts = self.seq_by_ind.iter().zip(0u8..).max();
        parts.and_then(|(seq, ind)| Sqn::from_parts(*seq, ind)).unwrap_or_default()
    }

    /// Is it fresh? If so it is remembered. TS 33.102 §C.2.1 and §C.2.2, without the optional limit on age.
    pub fn accept(&mut self, sqn: Sqn) -> bool {
        let is_too_far = sqn.seq().saturating_sub(self.highest().seq()) > AHEAD_MAX;
        let last = &mut self.seq_by_ind[usize::from(sqn.ind())];
        let is_fresh = sqn.seq() > *last && !is_too_far;
        if is_fresh {
            *last = sqn.seq();
        }
        is_fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqn(seq: u64, ind: u8) -> Sqn {
        Sqn::from_parts(seq, ind).expect("small numbers")
    }

    #[test]
    fn a_number_is_seq_and_ind_in_six_bytes() {
        let number = Sqn::from_bytes([0xFF, 0x9B, 0xB4, 0xD0, 0xB6, 0x07]);
        assert_eq!((number.value(), number.ind()), (0xFF9B_B4D0_B607, 7));
        assert_eq!(Sqn::from_parts(number.seq(), number.ind()), Some(number));
        assert_eq!(number.to_bytes(), [0xFF, 0x9B, 0xB4, 0xD0, 0xB6, 0x07]);
    }

    #[test]
    fn numbers_beyond_48_bits_do_not_exist() {
        assert!(Sqn::new(SQN_MAX).is_some() && Sqn::new(SQN_MAX + 1).is_none());
        assert!(Sqn::from_parts(SQN_MAX >> 5, 31).is_some());
        assert!(Sqn::from_parts((SQN_MAX >> 5) + 1, 0).is_none() && Sqn::from_parts(0, 32).is_none());
    }

    #[test]
    fn the_same_number_is_accepted_once() {
        let mut history = SqnHistory::default();
        assert!(history.accept(sqn(5, 1)));
        assert!(!history.accept(sqn(5, 1)));
        assert!(!history.accept(sqn(4, 1)));
        assert!(history.accept(sqn(6, 1)));
    }

    #[test]
    fn another_source_may_lag_behind() {
        let mut history = SqnHistory::starting_at(sqn(100, 1));
        assert!(history.accept(sqn(50, 2)));
        assert!(!history.accept(sqn(50, 2)));
        assert_eq!(history.highest(), sqn(100, 1));
    }

    #[test]
    fn a_leap_is_accepted_up_to_the_limit_and_not_one_further() {
        let start = SqnHistory::starting_at(sqn(1000, 3));
        assert!(start.clone().accept(sqn(1000 + AHEAD_MAX, 0)));
        assert!(!start.clone().accept(sqn(1001 + AHEAD_MAX, 0)));
    }

    #[test]
    fn a_refused_number_is_not_remembered() {
        let mut history = SqnHistory::default();
        let before = history.clone();
        assert!(!history.accept(sqn(AHEAD_MAX + 1, 0)));
        assert_eq!(history, before);
    }
}
