//! What an instance, a witness and the host agent that watches over them say to each other, on one machine.
//!
//! ```text
//!   process                                      host agent
//!     Hello(name, place in its pair) ───────────▶
//!     ◀──────────────────────────────── Welcome(which life this is)
//!     ◀──────────────── Bind, or Take with the pair's sockets      an instance: the pair listens on one set of sockets
//!     Sockets, with what it has bound ──────────▶                  whoever holds them may die: they live on in the others
//!     ◀────────────────────────────────── Died(who)                S2-H5
//!     ◀─────────────────────────── Begin(who lives)                a witness: S2-Q12, when nobody else can
//! ```
//!
//! They travel over a unix socket that only the owner may open: that is what authenticates them.

use serde::{Deserialize, Serialize};

use crate::permission::{BothInstances, Incarnation, InstanceId, Member, PairId};

/// Version of [`Word`] on the wire.
pub const VERSION: u16 = 1;

/// The longest word in bytes.
pub const WORD_BYTES_MAX: usize = 1024;

/// The most sockets that travel with a word.
pub const SOCKETS_MAX: usize = 64;

/// One word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// A process that was started, or lost the agent and found it again.
    Hello {
        /// Its instance name.
        name: String,
        /// Its place in a pair; a witness has none.
        place: Option<(PairId, InstanceId)>,
        /// Its life, if it was told before.
        incarnation: Option<Incarnation>,
    },
    /// These sockets come with it: what the pair of this process listens on.
    Sockets,
    /// Which life of its name a process is.
    Welcome(Incarnation),
    /// Nobody holds the sockets of the pair: bind them.
    Bind,
    /// These sockets come with it: what the pair listens on.
    Take,
    /// A life is over.
    Died(PairId, Member),
    /// These live of a pair. If nobody of those that held can come back, one of them is to begin.
    Begin(PairId, BothInstances<Option<Incarnation>>),
}

/// Bytes that are no word of this release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Another release speaks.
    #[error(
        "version {0} is spoken, {VERSION} is understood: end the host agent and all instances, and start them anew"
    )]
    Version(u16),
    /// It is none.
    #[error("not a word of a host agent: {0}")]
    Malformed(String),
}

impl Word {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(&(VERSION, self)).expect("a word is plain data: names and numbers")
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no word.
    pub fn decode(bytes: &[u8]) -> Result<Word, WordError> {
        let malformed = |error: postcard::Error| WordError::Malformed(error.to_string());
        let (version, rest) = postcard::take_from_bytes::<u16>(bytes).map_err(malformed)?;
        if version != VERSION {
            return Err(WordError::Version(version));
        }
        let (word, rest) = postcard::take_from_bytes(rest).map_err(malformed)?;
        match rest.len() {
            0 => Ok(word),
            surplus => Err(WordError::Malformed(format!("{surplus} bytes too many"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_as_it_was_written_and_nothing_else_does() {
        let place = Some((PairId(3), InstanceId::Two));
        let hello = Word::Hello { name: "hss-2".into(), place, incarnation: Some(Incarnation(7)) };
        let living = BothInstances { one: Some(Incarnation(1)), two: None };
        for word in [hello, Word::Bind, Word::Begin(PairId(1), living)] {
            let bytes = word.encode();
            assert!(bytes.len() <= WORD_BYTES_MAX);
            assert_eq!(Word::decode(&bytes), Ok(word));
            assert!(Word::decode(&bytes[..bytes.len() - 1]).is_err());
            assert!(Word::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        assert_eq!(Word::decode(&[2, 0]), Err(WordError::Version(2)));
    }
}
