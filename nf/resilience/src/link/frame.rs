//! What a datagram between two instances says: a fixed header, then pieces of records.
//!
//! ```text
//!   version u8 │ missing count u8 │ from u32 │ to u32 │ received u64 │ missing: (first u64, length u16) × count │ pieces …
//!   piece: sequence u64 │ flags u8 (1: the last of its record) │ length u16 │ bytes
//! ```
//!
//! All numbers are big-endian. `from` and `to` are incarnations; `to` is 0 while the other is unknown. `received` is the
//! number of pieces that arrived without a gap: an acknowledgement of all below it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The version of this format. Each end understands its own and the one before (S2-E8); there is none before this one.
pub const VERSION: u8 = 1;

/// Length of the header without the ranges.
pub(crate) const HEADER_BYTES: usize = 1 + 1 + 4 + 4 + 8;
/// Length of a range of missing pieces.
pub(crate) const RANGE_BYTES: usize = 8 + 2;
/// Length of a piece without its bytes.
pub(crate) const PIECE_HEADER_BYTES: usize = 8 + 1 + 2;
/// Ranges in one datagram at most; the rest is asked for by the next.
pub(crate) const MISSING_MAX: usize = 16;

/// A part of a record, or a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its number on this link.
    pub sequence: u64,
    /// Does its record end with it?
    pub is_last: bool,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The sender's incarnation.
    pub from: u32,
    /// The incarnation it speaks to; 0: it knows none yet.
    pub to: u32,
    /// How many pieces it has received without a gap.
    pub received: u64,
    /// Which ones it misses although later ones came: first and how many.
    pub missing: Vec<(u64, u16)>,
    /// What it carries.
    pub pieces: Vec<Piece>,
}

/// Why a datagram is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another format.
    #[error("format version {0}, this end understands {VERSION}")]
    Version(u8),
    /// Shorter than it says.
    #[error("cut off")]
    CutOff,
    /// No end of ours makes such a record: the link stays where it is.
    #[error("a record longer than any")]
    RecordTooLong,
}

impl Frame {
    /// Its length on the wire.
    pub(crate) fn len(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|piece| PIECE_HEADER_BYTES + piece.bytes.len()).sum();
        HEADER_BYTES + self.missing.len() * RANGE_BYTES + pieces
    }

    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len());
        out.put_u8(VERSION);
        out.put_u8(
            u8::try_from(self.missing.len()).expect("at most MISSING_MAX ranges are put into a frame"),
        );
        out.put_u32(self.from);
        out.put_u32(self.to);
        out.put_u64(self.received);
        for (first, length) in &self.missing {
            out.put_u64(*first);
            out.put_u16(*length);
        }
        for piece in &self.pieces {
            out.put_u64(piece.sequence);
            out.put_u8(u8::from(piece.is_last));
            out.put_u16(u16::try_from(piece.bytes.len()).expect("a piece fits into a datagram"));
            out.extend_from_slice(&piece.bytes);
        }
        out.freeze()
    }

    /// From bytes; pieces share them.
    ///
    /// # Errors
    /// When the bytes are no frame of this version.
    pub fn decode(mut bytes: Bytes) -> Result<Frame, FrameError> {
        let version = *bytes.first().ok_or(FrameError::CutOff)?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(FrameError::CutOff);
        }
        bytes.advance(1);
        let missing_count = usize::from(bytes.get_u8());
        let (from, to, received) = (bytes.get_u32(), bytes.get_u32(), bytes.get_u64());
        if bytes.len() < missing_count * RANGE_BYTES {
            return Err(FrameError::CutOff);
        }
        let missing = (0..missing_count).map(|_| (bytes.get_u64(), bytes.get_u16())).collect();
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            if bytes.len() < PIECE_HEADER_BYTES {
                return Err(FrameError::CutOff);
            }
            let (sequence, flags) = (bytes.get_u64(), bytes.get_u8());
            let length = usize::from(bytes.get_u16());
            if bytes.len() < length {
                return Err(FrameError::CutOff);
            }
            // Flags of a later release say nothing that this one must know.
            pieces.push(Piece { sequence, is_last: flags & 1 == 1, bytes: bytes.split_to(length) });
        }
        Ok(Frame { from, to, received, missing, pieces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let piece = |sequence, text: &'static str| Piece {
            sequence,
            is_last: sequence == 10,
            bytes: Bytes::from_static(text.as_bytes()),
        };
        let pieces = vec![piece(9, "INVITE"), piece(10, "")];
        Frame { from: 7, to: 8, received: 5, missing: vec![(6, 2), (9, 1)], pieces }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let bytes = frame().encode();
        assert_eq!(bytes.len(), frame().len());
        assert_eq!(Frame::decode(bytes), Ok(frame()));
    }

    #[test]
    fn whatever_is_cut_off_is_refused_or_a_shorter_frame_and_never_a_panic() {
        let whole = frame().encode();
        for length in 0..whole.len() {
            if let Ok(shorter) = Frame::decode(whole.slice(..length)) {
                assert!(shorter.pieces.len() < 2, "{length}");
            }
        }
    }

    #[test]
    fn another_version_is_refused_and_named() {
        let mut bytes = frame().encode().to_vec();
        bytes[0] = 2;
        assert_eq!(Frame::decode(bytes.into()), Err(FrameError::Version(2)));
    }
}
