//! What travels over the link between the two instances of a pair (e1, e3, e5, e6): state as it changes.
//!
//! ```text
//!   kind u8 │ epoch u64 │ position u64 │ emitted u64 │ count u32 │ changes │ emissions
//!   a change: table u16 │ key length u32 │ key │ value length u32, or all ones: gone │ value
//! ```
//! Numbers are big-endian. The link has delivered the record whole; it is still foreign bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use node::Emission;
use node::mirror::{Change, TableId};
use resilience::permission::{Epoch, Held, Position};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// Up to where the receiver holds the log with it; for a part, up to where it held it before.
    pub held: Held,
    /// Up to here all that was to be sent has left.
    pub emitted: Position,
    /// The entries that changed.
    pub changes: Vec<Change>,
    /// What is to be sent once the record is held.
    pub emissions: Vec<Emission>,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A snapshot begins: what the receiver has is void.
    Begin = 1,
    /// A part of a snapshot.
    Portion = 2,
    /// The last part of a snapshot.
    Whole = 3,
    /// A part of a batch, which counts only with its end.
    Part = 4,
    /// The end of a batch: all that one input changed.
    Batch = 5,
}

/// Bytes that are no record of this release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It ends too early.
    #[error("a record that ends too early")]
    Short,
    /// It has something behind its end.
    #[error("a record with {0} bytes too many")]
    Surplus(usize),
    /// No such kind.
    #[error("a record of unknown kind {0}")]
    Kind(u8),
    /// What is to be sent cannot be read.
    #[error("emissions that cannot be read: {0}")]
    Emissions(String),
}

const HEADER_BYTES: usize = 1 + 8 + 8 + 8 + 4;
const GONE: u32 = u32::MAX;

impl Record {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let changes: usize = self.changes.iter().map(|change| change.size_bytes() + 4).sum();
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + changes + 64);
        bytes.put_u8(self.kind as u8);
        bytes.put_u64(self.held.epoch.0);
        bytes.put_u64(self.held.position.0);
        bytes.put_u64(self.emitted.0);
        bytes.put_u32(self.changes.len() as u32);
        for change in &self.changes {
            bytes.put_u16(change.table.0);
            put(&mut bytes, &change.key);
            match &change.value {
                Some(value) => put(&mut bytes, value),
                None => bytes.put_u32(GONE),
            }
        }
        let emissions =
            postcard::to_allocvec(&self.emissions).expect("emissions are plain data: numbers and bytes");
        bytes.put_slice(&emissions);
        bytes.freeze()
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are no record.
    pub fn decode(mut bytes: Bytes) -> Result<Record, RecordError> {
        if bytes.len() < HEADER_BYTES {
            return Err(RecordError::Short);
        }
        let kind = match bytes.get_u8() {
            1 => Kind::Begin,
            2 => Kind::Portion,
            3 => Kind::Whole,
            4 => Kind::Part,
            5 => Kind::Batch,
            other => return Err(RecordError::Kind(other)),
        };
        let held = Held { epoch: Epoch(bytes.get_u64()), position: Position(bytes.get_u64()) };
        let emitted = Position(bytes.get_u64());
        let count = bytes.get_u32();
        let mut changes = Vec::new();
        for _ in 0..count {
            let table = TableId(bytes.try_get_u16().map_err(|_| RecordError::Short)?);
            let key = take(&mut bytes)?.ok_or(RecordError::Short)?;
            changes.push(Change { table, key, value: take(&mut bytes)? });
        }
        let (emissions, rest) = postcard::take_from_bytes::<Vec<Emission>>(&bytes)
            .map_err(|error| RecordError::Emissions(error.to_string()))?;
        if !rest.is_empty() {
            return Err(RecordError::Surplus(rest.len()));
        }
        Ok(Record { kind, held, emitted, changes, emissions })
    }
}

fn put(bytes: &mut BytesMut, text: &[u8]) {
    bytes.put_u32(text.len() as u32);
    bytes.put_slice(text);
}

fn take(bytes: &mut Bytes) -> Result<Option<Vec<u8>>, RecordError> {
    match bytes.try_get_u32().map_err(|_| RecordError::Short)? {
        GONE => Ok(None),
        length if length as usize > bytes.len() => Err(RecordError::Short),
        length => Ok(Some(bytes.split_to(length as usize).to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use node::ServerKey;

    use super::*;

    fn record() -> Record {
        Record {
            kind: Kind::Batch,
            held: Held { epoch: Epoch(3), position: Position(17) },
            emitted: Position(15),
            changes: vec![
                Change { table: TableId(1), key: vec![1, 2], value: Some(vec![3; 300]) },
                Change { table: TableId(48), key: vec![], value: None },
            ],
            emissions: vec![Emission::Request(5), Emission::Response(ServerKey(9))],
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        assert_eq!(Record::decode(record().encode()), Ok(record()));
    }

    #[test]
    fn whatever_is_cut_or_added_is_refused() {
        let whole = record().encode();
        for end in 0..whole.len() {
            assert!(Record::decode(whole.slice(..end)).is_err(), "{end} of {} bytes", whole.len());
        }
        let longer = Bytes::from([&whole[..], &[0]].concat());
        assert_eq!(Record::decode(longer), Err(RecordError::Surplus(1)));
    }
}
