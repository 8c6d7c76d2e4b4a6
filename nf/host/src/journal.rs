//! The journal of the P-CSCF: a store in memory, with a file behind it that survives the death of the process.
//!
//! ```text
//!   file  = "EVTJRNL1" frame*
//!   frame = length u32 · CRC-32 of the payload u32 · payload            (little endian)
//!   payload = change+ ; change = 1 table key value | 2 table key ; each = length u32 · bytes
//! ```
//!
//! A commit appends one frame: a reader finds all its changes or none. Nothing is synced: what the kernel has taken
//! survives SIGKILL, and after a loss of power devices register again. A torn or damaged end is cut off. The file is
//! written anew when more than half of it is outdated.
//!
//! A full disk does not stop calls: the journal raises an alarm, goes on in memory, and tries again later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clock::{Duration, Instant};
use node::Store;
use node::store::Table;

use crate::machine::{CommitFailure, Durable};

const MAGIC: &[u8; 8] = b"EVTJRNL1";
const MAGIC_WITHOUT_VERSION: &[u8] = b"EVTJRNL";
const FRAME_HEAD_BYTES: usize = 8;
const WRITE: u8 = 1;
const REMOVE: u8 = 2;
/// Outdated bytes that are always tolerated: small journals are not worth writing anew.
const GARBAGE_BYTES_MIN: u64 = 1024 * 1024;
/// A frame of a rewrite holds about this much.
const REWRITE_FRAME_BYTES: usize = 256 * 1024;
/// How long to go on in memory before the disk is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct JournalError {
    path: String,
    reason: String,
}

/// The journal. Its clones are the same journal: one for the function, one for the driver.
#[derive(Clone)]
pub struct Journal(Rc<RefCell<Inner>>);

struct Inner {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    tables: Tables,
    live_bytes: u64,
    /// Changes since the last commit, encoded.
    pending: Vec<u8>,
    /// Since when the file is behind the memory, so that only a rewrite brings it up to date.
    failed_at: Option<Instant>,
}

type Tables = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

impl Journal {
    /// Opens the journal at `path`, or makes it when there is none.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let refuse = |reason: String| JournalError { path: path.display().to_string(), reason };
        let io = |error: io::Error| refuse(format!("the journal cannot be opened: {error}"));
        let mut file = open_file(path, false).map_err(io)?;
        lock(&file).map_err(|_| {
            refuse("another process has the journal open: is this instance running already?".into())
        })?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(io)?;
        let mut inner = Inner {
            path: path.to_owned(),
            file,
            file_bytes: 0,
            tables: Tables::new(),
            live_bytes: 0,
            pending: Vec::new(),
            failed_at: None,
        };
        let good = inner.replay(&content).map_err(refuse)?;
        if good < content.len() {
            tracing::warn!(
                journal = %path.display(),
                bytes = content.len() - good,
                "the end of the journal was torn and is cut off"
            );
        }
        inner.file_bytes = good as u64;
        inner.file.set_len(inner.file_bytes).map_err(io)?;
        if good == 0 || inner.file_bytes > 2 * inner.live_bytes + GARBAGE_BYTES_MIN {
            inner.rewrite().map_err(io)?;
        }
        Ok(Journal(Rc::new(RefCell::new(inner))))
    }
}

/// Appending, so that a second descriptor could not overwrite; only for the owner: it holds identities.
fn open_file(path: &Path, is_truncated: bool) -> io::Result<File> {
    // Append and truncate exclude each other in one call.
    let file = std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if is_truncated {
        file.set_len(0)?;
    }
    Ok(file)
}

fn lock(file: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?)
}

impl Inner {
    /// Takes in a file's content; gives back how many bytes of it are good.
    fn replay(&mut self, content: &[u8]) -> Result<usize, String> {
        if content.len() < MAGIC.len() && MAGIC.starts_with(content) {
            return Ok(0);
        }
        if !content.starts_with(MAGIC) {
            return Err(if content.starts_with(MAGIC_WITHOUT_VERSION) {
                "the journal was written by another version: remove it, devices then register again".into()
            } else {
                "this is no journal: remove it, devices then register again".into()
            });
        }
        let mut good = MAGIC.len();
        while let Some(payload) = frame_at(&content[good..]) {
            self.replay_changes(payload).ok_or("the journal was written wrongly: remove it")?;
            good += FRAME_HEAD_BYTES + payload.len();
        }
        Ok(good)
    }

    fn replay_changes(&mut self, mut payload: &[u8]) -> Option<()> {
        while let Some((kind, rest)) = payload.split_first() {
            payload = rest;
            let table = std::str::from_utf8(take_field(&mut payload)?).ok()?;
            let key = take_field(&mut payload)?;
            let value = match *kind {
                WRITE => Some(take_field(&mut payload)?),
                REMOVE => None,
                _ => return None,
            };
            self.apply(table, key, value);
        }
        Some(())
    }

    fn apply(&mut self, table: &str, key: &[u8], value: Option<&[u8]>) {
        if !self.tables.contains_key(table) {
            self.tables.insert(table.to_owned(), BTreeMap::new());
        }
        let entries = self.tables.get_mut(table).expect("was just put in");
        let size = |value: &[u8]| (1 + 3 * 4 + table.len() + key.len() + value.len()) as u64;
        let old = match value {
            Some(value) => {
                self.live_bytes += size(value);
                entries.insert(key.to_vec(), value.to_vec())
            }
            None => entries.remove(key),
        };
        self.live_bytes -= old.map_or(0, |old| size(&old));
    }

    fn change(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        self.apply(table, key, value);
        if self.failed_at.is_none() {
            put_change(&mut self.pending, table, key, value);
        }
    }

    fn commit(&mut self) -> io::Result<()> {
        if let Some(failed_at) = self.failed_at {
            if crate::clock::now().saturating_since(failed_at) < RETRY_AFTER {
                return Ok(());
            }
            return self.rewrite();
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let frame = frame_of(&self.pending);
        self.pending.clear();
        self.file.write_all(&frame)?;
        self.file_bytes += frame.len() as u64;
        if self.file_bytes > 2 * self.live_bytes + GARBAGE_BYTES_MIN {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Writes what is live to a new file and puts it in the old one's place.
    fn rewrite(&mut self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = open_file(&new, true)?;
        lock(&file)?;
        file.write_all(MAGIC)?;
        let mut bytes = MAGIC.len() as u64;
        let mut payload = Vec::new();
        let mut write = |payload: &mut Vec<u8>| {
            let frame = frame_of(payload);
            payload.clear();
            bytes += frame.len() as u64;
            file.write_all(&frame)
        };
        for (table, entries) in &self.tables {
            for (key, value) in entries {
                put_change(&mut payload, table, key, Some(value));
                if payload.len() >= REWRITE_FRAME_BYTES {
                    write(&mut payload)?;
                }
            }
        }
        if !payload.is_empty() {
            write(&mut payload)?;
        }
        std::fs::rename(&new, &self.path)?;
        (self.file, self.file_bytes, self.failed_at) = (file, bytes, None);
        self.pending.clear();
        Ok(())
    }
}

fn put_change(into: &mut Vec<u8>, table: &str, key: &[u8], value: Option<&[u8]>) {
    into.push(if value.is_some() { WRITE } else { REMOVE });
    for field in [Some(table.as_bytes()), Some(key), value].into_iter().flatten() {
        let length = u32::try_from(field.len()).expect("no key or value comes near 4 GiB");
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(field);
    }
}

fn frame_of(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a round's changes stay far below 4 GiB");
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&crc32(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The payload of the frame at the start of `bytes`, if it is whole.
fn frame_at(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let length = take_u32(&mut rest)? as usize;
    let crc = take_u32(&mut rest)?;
    // No frame is empty: a run of zeros, as some file systems leave after a crash, is no frame.
    let payload = rest.get(..length).filter(|payload| !payload.is_empty())?;
    (crc32(payload) == crc).then_some(payload)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*head))
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_u32(bytes)? as usize;
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(field)
}

/// CRC-32 of IEEE 802.3, as in zip: enough to know a torn write, not meant against forgery.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = index as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8))
}

impl Store for Journal {
    fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.0.borrow().tables.get(table)?.get(key).cloned()
    }

    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.0.borrow_mut().change(table, key, Some(value));
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        self.0.borrow_mut().change(table, key, None);
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        let inner = self.0.borrow();
        let Some(entries) = inner.tables.get(table) else { return };
        for (key, value) in entries.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
            if !visit(key, value) {
                return;
            }
        }
    }
}

impl Durable for Journal {
    fn commit(&mut self) -> Result<(), CommitFailure> {
        let mut inner = self.0.borrow_mut();
        inner.commit().map_err(|error| {
            inner.failed_at = Some(crate::clock::now());
            inner.pending = Vec::new();
            CommitFailure {
                is_fatal: false,
                sentence: format!(
                    "{}: the journal cannot be written: {error}; calls go on, but devices registered meanwhile are \
                     forgotten if this process dies: make room on the disk",
                    inner.path.display()
                ),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopen(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let journal = Journal::open(path).unwrap();
        let mut found = BTreeMap::new();
        journal.scan("flows", b"", &mut |key, value| {
            found.insert(key.to_vec(), value.to_vec());
            true
        });
        found
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn written(path: &Path) {
        let mut journal = Journal::open(path).unwrap();
        journal.write("flows", b"a", b"1");
        journal.write("flows", b"b", b"1");
        journal.commit().unwrap();
        journal.write("flows", b"a", b"2");
        journal.remove("flows", b"b");
        journal.commit().unwrap();
        journal.write("flows", b"c", b"never committed");
    }

    #[test]
    fn what_was_committed_is_found_again_and_the_rest_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        written(&path);
        assert_eq!(reopen(&path), map(&[("a", "2")]));
    }

    #[test]
    fn a_torn_or_damaged_end_takes_only_its_own_commit_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        written(&path);
        let whole = std::fs::read(&path).unwrap();
        let first = FRAME_HEAD_BYTES + frame_at(&whole[MAGIC.len()..]).unwrap().len() + MAGIC.len();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let expected = if length < first { map(&[]) } else { map(&[("a", "1"), ("b", "1")]) };
            assert_eq!(reopen(&path), expected, "cut to {length} bytes");
        }
        for index in first..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x10;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(reopen(&path), map(&[("a", "1"), ("b", "1")]), "byte {index} damaged");
        }
        // A torn journal is good again after it was opened.
        written(&path);
        assert_eq!(reopen(&path), map(&[("a", "2")]));
    }

    #[test]
    fn a_journal_does_not_grow_with_the_number_of_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        for round in 0..100_u32 {
            journal.write("flows", b"a", &[round as u8; 100_000]);
            journal.commit().unwrap();
        }
        drop(journal);
        assert!(std::fs::metadata(&path).unwrap().len() < 3 * GARBAGE_BYTES_MIN);
        assert_eq!(reopen(&path)[b"a".as_slice()], [99; 100_000]);
    }

    #[test]
    fn a_second_process_and_a_strange_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let first = Journal::open(&path).unwrap();
        assert!(Journal::open(&path).err().unwrap().to_string().contains("running already"));
        drop(first);
        std::fs::write(&path, "EVTJRNL2").unwrap();
        assert!(Journal::open(&path).err().unwrap().to_string().contains("another version"));
        std::fs::write(&path, "hello, world").unwrap();
        assert!(Journal::open(&path).err().unwrap().to_string().contains("no journal"));
    }

    #[test]
    fn the_check_value_of_crc_32_is_right() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
