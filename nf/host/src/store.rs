//! The durable store of the HSS: a redb file.
//!
//! Writes are gathered in memory, over the last committed state, and read back from there; [`Durable::commit`] makes
//! them durable in one transaction with one sync. A crash therefore finds either all writes of a commit or none.
//!
//! It fails closed. A file that is damaged, cut short, of a newer version or in use is refused with a sentence before
//! the function starts; a read or a commit that fails while it runs ends the process, so that nothing is answered
//! from a state that is not on the disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use node::Store;
use node::store::Table;
use redb::ReadableDatabase;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadTransaction, StorageError, TableDefinition,
    TableError,
};

use crate::machine::{CommitFailure, Durable};

type Bytes = &'static [u8];
type Definition<'a> = TableDefinition<'a, Bytes, Bytes>;
type Pending = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;
type Opened = Rc<ReadOnlyTable<Bytes, Bytes>>;

/// Pages kept in memory. 16 MiB hold the hot part of 100,000 subscribers; the kernel's cache holds the rest.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// The layout of tables that this driver makes; what is in them has the function's own version.
const FORMAT: u8 = 1;
const FORMAT_TABLE: Table = "evertone.format";
const FORMAT_KEY: &[u8] = b"format";
/// The exit code of a store that fails, also used by [`crate::Failure::store`].
const EXIT_CODE: i32 = 74;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct StoreError {
    path: String,
    reason: String,
}

/// The store. Its clones are the same store: one for the function, one for the driver.
#[derive(Clone)]
pub struct RedbStore(Rc<Inner>);

struct Inner {
    path: PathBuf,
    database: Database,
    committed: RefCell<Committed>,
    /// Values written since, `None` for a key removed.
    pending: RefCell<Pending>,
}

struct Committed {
    transaction: ReadTransaction,
    tables: BTreeMap<Table, Option<Opened>>,
}

impl RedbStore {
    /// Opens the store at `path`, or makes it when there is none.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let refuse = |reason: String| StoreError { path: path.display().to_string(), reason };
        let _sentence = SentenceOnPanic::install(path);
        if !path.exists() {
            // Made under another name: what stands under the right one was complete once, and an empty file there is
            // damage, not a beginning.
            let new = path.with_extension("new");
            let _ = std::fs::remove_file(&new);
            drop(RedbStore::from_database(&new, open_file(&new, true)?)?);
            std::fs::rename(&new, path).map_err(|error| refuse(format!("cannot be made: {error}")))?;
            sync_directory(path).map_err(|error| refuse(format!("cannot be made: {error}")))?;
        }
        let length =
            std::fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?.len();
        if length == 0 {
            return Err(refuse("the store is empty, it must have been cut short: restore a backup".into()));
        }
        RedbStore::from_database(path, open_file(path, false)?)
    }

    fn from_database(path: &Path, database: Database) -> Result<RedbStore, StoreError> {
        let refuse = |reason: String| StoreError { path: path.display().to_string(), reason };
        let damaged = |error: &dyn std::fmt::Display| refuse(format!("the store cannot be read: {error}"));
        let transaction = database.begin_read().map_err(|error| damaged(&error))?;
        let committed = RefCell::new(Committed { transaction, tables: BTreeMap::new() });
        let store = RedbStore(Rc::new(Inner {
            path: path.to_owned(),
            database,
            committed,
            pending: RefCell::default(),
        }));
        match store.0.try_read(FORMAT_TABLE, FORMAT_KEY).map_err(|error| damaged(&error))?.as_deref() {
            Some([FORMAT]) => {}
            Some(other) => {
                let found = other.first().copied().unwrap_or(0);
                return Err(refuse(format!(
                    "the store has format {found}, this version reads format {FORMAT}: it was written by a newer version"
                )));
            }
            None => {
                store.0.pending.borrow_mut().insert((FORMAT_TABLE, FORMAT_KEY.into()), Some(vec![FORMAT]));
                store.0.commit().map_err(|error| refuse(describe(&error)))?;
            }
        }
        Ok(store)
    }
}

fn open_file(path: &Path, is_new: bool) -> Result<Database, StoreError> {
    let refuse = |reason: String| StoreError { path: path.display().to_string(), reason };
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(is_new)
        .mode(0o600)
        .open(path)
        .map_err(|error| refuse(format!("cannot be opened: {error}")))?;
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        // A plain open trusts the file, and a damaged page is met in the middle of a registration.
        .set_check_integrity_on_open(!is_new)
        .create_with_backend(FileBackend::new(file).map_err(|error| refuse(explain(&error)))?)
        .map_err(|error| refuse(explain(&error)))
}

fn explain(error: &DatabaseError) -> String {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            "another process has the store open: is this instance running already?".into()
        }
        DatabaseError::UpgradeRequired(version) => {
            format!("the store was written by an older version (file format {version}) and must be upgraded")
        }
        DatabaseError::Storage(StorageError::Corrupted(detail)) => {
            format!("the store is damaged ({detail}): restore a backup")
        }
        DatabaseError::Storage(StorageError::Io(error)) if is_damage(error) => {
            format!("the store is cut short or no store at all ({error}): restore a backup")
        }
        DatabaseError::Storage(StorageError::Io(error)) => describe(error),
        other => format!("the store cannot be opened: {other}"),
    }
}

fn is_damage(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData)
}

fn describe(error: &dyn std::fmt::Display) -> String {
    format!(
        "the store cannot be written: {error}; nothing that was confirmed is lost: make room on the disk or see to its errors"
    )
}

/// A new name in a directory survives a power cut once the directory itself was synced.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}

/// The database may panic over a damaged file where it cannot return an error. In a program that aborts on panic the
/// operator then still reads a sentence, and the supervisor an exit code.
struct SentenceOnPanic;

impl SentenceOnPanic {
    fn install(path: &Path) -> Option<SentenceOnPanic> {
        if cfg!(not(panic = "abort")) {
            return None;
        }
        let path = path.display().to_string();
        std::panic::set_hook(Box::new(move |panic| {
            use std::io::Write;
            let sentence = format!("{path}: the store is damaged ({panic}): restore a backup");
            let _ = writeln!(std::io::stderr(), "{}", sentence.replace('\n', " "));
            std::process::exit(EXIT_CODE);
        }));
        Some(SentenceOnPanic)
    }
}

impl Drop for SentenceOnPanic {
    fn drop(&mut self) {
        let _ = std::panic::take_hook();
    }
}

impl Inner {
    fn table(&self, name: Table) -> Result<Option<Opened>, TableError> {
        let mut committed = self.committed.borrow_mut();
        if let Some(table) = committed.tables.get(name) {
            return Ok(table.clone());
        }
        let table = match committed.transaction.open_table(Definition::new(name)) {
            Ok(table) => Some(Rc::new(table)),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error),
        };
        committed.tables.insert(name, table.clone());
        Ok(table)
    }

    fn try_read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let Some(table) = self.table(table)? else { return Ok(None) };
        Ok(table.get(key)?.map(|value| value.value().to_vec()))
    }

    fn try_scan(
        &self,
        table: Table,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), TableError> {
        // A copy of what is pending in this table: the visitor may read, and must not find the map borrowed.
        let pending = self.pending.borrow();
        let start = (table, from.to_vec());
        let ours = pending
            .range((Bound::Included(start), Bound::Unbounded))
            .take_while(|((name, _), _)| *name == table);
        let mut pending: std::collections::VecDeque<(Vec<u8>, Option<Vec<u8>>)> =
            ours.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        let mut tell_pending_before = |key: Option<&[u8]>, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool| {
            while pending.front().is_some_and(|(ours, _)| key.is_none_or(|key| ours.as_slice() < key)) {
                if let Some((ours, Some(value))) = pending.pop_front()
                    && !visit(&ours, &value)
                {
                    return Next::Stop;
                }
            }
            let is_replaced = key.is_some() && pending.front().map(|(ours, _)| ours.as_slice()) == key;
            if !is_replaced {
                return Next::Theirs;
            }
            match pending.pop_front() {
                Some((ours, Some(value))) if !visit(&ours, &value) => Next::Stop,
                _ => Next::Skip,
            }
        };
        if let Some(table) = self.table(table)? {
            for entry in table.range::<&[u8]>(from..)? {
                let (key, value) = entry?;
                match tell_pending_before(Some(key.value()), visit) {
                    Next::Stop => return Ok(()),
                    Next::Skip => {}
                    Next::Theirs if visit(key.value(), value.value()) => {}
                    Next::Theirs => return Ok(()),
                }
            }
        }
        tell_pending_before(None, visit);
        Ok(())
    }

    fn commit(&self) -> Result<(), redb::Error> {
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        let mut entries = pending.iter().peekable();
        while let Some(&((name, _), _)) = entries.peek() {
            let mut table = transaction.open_table(Definition::new(name))?;
            while let Some(((_, key), value)) = entries.next_if(|((other, _), _)| other == name) {
                match value {
                    Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                    None => drop(table.remove(key.as_slice())?),
                }
            }
        }
        transaction.commit()?;
        pending.clear();
        let transaction = self.database.begin_read()?;
        *self.committed.borrow_mut() = Committed { transaction, tables: BTreeMap::new() };
        Ok(())
    }

    /// A store that cannot be read has no right answer: "unknown subscriber" would be a lie.
    fn end(&self, error: &TableError) -> ! {
        tracing::error!(
            cause = "store_failed",
            "{}: the store cannot be read any more ({error}): the process ends",
            self.path.display()
        );
        std::process::exit(EXIT_CODE)
    }
}

/// What comes after the pending entries below a key.
enum Next {
    /// The visitor has seen enough.
    Stop,
    /// The key's entry is replaced or removed.
    Skip,
    /// The key's entry is as committed.
    Theirs,
}

impl Store for RedbStore {
    fn read(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        if let Some(value) = self.0.pending.borrow().get(&(table, key.to_vec())) {
            return value.clone();
        }
        self.0.try_read(table, key).unwrap_or_else(|error| self.0.end(&error))
    }

    fn write(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.0.pending.borrow_mut().insert((table, key.to_vec()), Some(value.to_vec()));
    }

    fn remove(&mut self, table: Table, key: &[u8]) {
        self.0.pending.borrow_mut().insert((table, key.to_vec()), None);
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.0.try_scan(table, from, visit).unwrap_or_else(|error| self.0.end(&error));
    }
}

impl Durable for RedbStore {
    fn commit(&mut self) -> Result<(), CommitFailure> {
        self.0.commit().map_err(|error| CommitFailure {
            is_fatal: true,
            sentence: format!("{}: {}", self.0.path.display(), describe(&error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    const TABLE: Table = "subscribers";

    fn keys(store: &RedbStore, from: &[u8]) -> Vec<String> {
        let mut keys = Vec::new();
        store.scan(TABLE, from, &mut |key, value| {
            keys.push(format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
            true
        });
        keys
    }

    #[test]
    fn committed_writes_are_found_again_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hss.redb");
        let mut store = RedbStore::open(&path).unwrap();
        store.write(TABLE, b"a", b"1");
        store.commit().unwrap();
        store.write(TABLE, b"b", b"1");
        assert_eq!(store.read(TABLE, b"b").as_deref(), Some(&b"1"[..]), "a write is read back at once");
        drop(store);
        assert_eq!(keys(&RedbStore::open(&path).unwrap(), b""), ["a=1"]);
    }

    #[test]
    fn a_scan_sees_pending_writes_and_removals_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = RedbStore::open(&directory.path().join("hss.redb")).unwrap();
        store.write("elsewhere", b"b", b"x");
        for key in ["b", "d", "f", "h"] {
            store.write(TABLE, key.as_bytes(), b"old");
        }
        store.commit().unwrap();
        store.write("zoo", b"a", b"x");
        store.write(TABLE, b"a", b"new");
        store.write(TABLE, b"d", b"new");
        store.remove(TABLE, b"f");
        store.write(TABLE, b"i", b"new");
        assert_eq!(keys(&store, b""), ["a=new", "b=old", "d=new", "h=old", "i=new"]);
        assert_eq!(keys(&store, b"c"), ["d=new", "h=old", "i=new"]);
        store.commit().unwrap();
        assert_eq!(keys(&store, b""), ["a=new", "b=old", "d=new", "h=old", "i=new"]);
        let mut first = Vec::new();
        store.scan(TABLE, b"", &mut |key, _| {
            // A visitor may look things up.
            first.push(store.read(TABLE, key).is_some());
            false
        });
        assert_eq!(first, [true]);
    }

    #[test]
    fn a_damaged_store_is_refused_with_a_sentence() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hss.redb");
        let mut store = RedbStore::open(&path).unwrap();
        for number in 0..5_000_u32 {
            store.write(TABLE, &number.to_be_bytes(), &[7; 200]);
        }
        store.commit().unwrap();
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 1, 100, 4096, 5000, whole.len() / 4, whole.len() / 2, whole.len() - 4096] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_refused(&path, &format!("cut to {length} of {} bytes", whole.len()));
        }
        let at = whole.windows(200).position(|window| window == [7; 200]).unwrap();
        for index in [0, at + 50, at + 70_000] {
            let mut damaged = whole.clone();
            damaged[index] ^= 0xFF;
            std::fs::write(&path, &damaged).unwrap();
            assert_refused(&path, &format!("byte {index} damaged"));
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(RedbStore::open(&path).is_ok());
    }

    fn assert_refused(path: &Path, what: &str) {
        // Programs abort on panic and say a sentence before (`SentenceOnPanic`); tests unwind.
        let opened = std::panic::catch_unwind(|| RedbStore::open(path).err().map(|error| error.to_string()));
        if let Ok(result) = opened {
            let sentence = result.unwrap_or_else(|| panic!("{what}: was not refused"));
            assert!(sentence.contains("hss.redb: "), "{what}: {sentence}");
            println!("{what}: {sentence}");
        } else {
            println!("{what}: panicked");
        }
    }

    #[test]
    fn a_store_of_a_newer_version_and_one_in_use_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hss.redb");
        let mut store = RedbStore::open(&path).unwrap();
        let message = RedbStore::open(&path).err().unwrap().to_string();
        assert!(message.contains("running already"), "{message}");
        store.write(FORMAT_TABLE, FORMAT_KEY, &[FORMAT + 1]);
        store.commit().unwrap();
        drop(store);
        let message = RedbStore::open(&path).err().unwrap().to_string();
        assert!(message.contains("newer version"), "{message}");
    }

    /// A disk of a certain size.
    #[derive(Clone, Debug, Default)]
    struct SmallDisk {
        bytes: Arc<Mutex<Vec<u8>>>,
        room: Arc<AtomicU64>,
    }

    impl redb::StorageBackend for SmallDisk {
        fn len(&self) -> Result<u64, std::io::Error> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
            out.copy_from_slice(&self.bytes.lock().unwrap()[offset as usize..][..out.len()]);
            Ok(())
        }

        fn set_len(&self, length: u64) -> Result<(), std::io::Error> {
            if length > self.room.load(Ordering::Relaxed) {
                return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
            }
            self.bytes.lock().unwrap().resize(length as usize, 0);
            Ok(())
        }

        fn sync_data(&self) -> Result<(), std::io::Error> {
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
            self.bytes.lock().unwrap()[offset as usize..][..data.len()].copy_from_slice(data);
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_fails_the_commit_and_takes_nothing_that_was_committed() {
        let disk = SmallDisk::default();
        disk.room.store(1 << 40, Ordering::Relaxed);
        let open = |disk: &SmallDisk| {
            let database = Builder::new().create_with_backend(disk.clone()).unwrap();
            RedbStore::from_database(Path::new("hss.redb"), database).unwrap()
        };
        let mut store = open(&disk);
        store.write(TABLE, b"a", b"1");
        store.commit().unwrap();
        disk.room.store(disk.bytes.lock().unwrap().len() as u64, Ordering::Relaxed);
        for number in 0..100_u8 {
            store.write(TABLE, &[number], &[0; 100_000]);
        }
        let failure = store.commit().expect_err("the disk is full");
        assert!(failure.is_fatal && failure.sentence.contains("make room"), "{failure}");
        std::mem::forget(store);
        disk.room.store(1 << 40, Ordering::Relaxed);
        assert_eq!(keys(&open(&disk), b""), ["a=1"]);
    }
}
