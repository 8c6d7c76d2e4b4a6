//! The file of a backup: a line that says what it is, a line that lists what is in it with lengths and SHA-256, and
//! then the files one after the other.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const FIRST_LINE: &str = "evertone-backup 1\n";

/// Files by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    files: Vec<(String, Vec<u8>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    bytes: usize,
    sha256: String,
}

impl Archive {
    /// Adds a file.
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.push((name.to_owned(), bytes));
    }

    /// The file `name`.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(found, _)| found == name).map(|(_, bytes)| bytes.as_slice())
    }

    fn encode(&self) -> Vec<u8> {
        let entry = |(name, bytes): &(String, Vec<u8>)| Entry {
            name: name.clone(),
            bytes: bytes.len(),
            sha256: hash(bytes),
        };
        let entries: Vec<Entry> = self.files.iter().map(entry).collect();
        let mut text = FIRST_LINE.as_bytes().to_vec();
        text.extend(serde_json::to_vec(&entries).expect("entries have string keys only"));
        text.push(b'\n');
        self.files.iter().for_each(|(_, bytes)| text.extend(bytes));
        text
    }

    fn decode(bytes: &[u8]) -> Result<Archive> {
        let rest = bytes.strip_prefix(FIRST_LINE.as_bytes()).context("it is no backup of this program")?;
        let end = rest.iter().position(|byte| *byte == b'\n').context("it is cut short")?;
        let entries: Vec<Entry> = serde_json::from_slice(&rest[..end]).context("its list cannot be read")?;
        let mut rest = &rest[end + 1..];
        let mut archive = Archive::default();
        for entry in entries {
            let Some((bytes, after)) = rest.split_at_checked(entry.bytes) else {
                bail!("it is cut short: {} of {} bytes of {} are there", rest.len(), entry.bytes, entry.name);
            };
            if hash(bytes) != entry.sha256 {
                bail!("{} in it is damaged", entry.name);
            }
            archive.add(&entry.name, bytes.to_vec());
            rest = after;
        }
        Ok(archive)
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A backup's file that can be written, opened before anything is stopped for its sake. It stands beside its place and
/// takes it when it is whole; without that, it goes.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    new: PathBuf,
    file: File,
}

impl Target {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Target> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let open = || -> std::io::Result<File> {
            // Else only the exchange at the end would tell.
            if path.is_dir() {
                return Err(std::io::ErrorKind::IsADirectory.into());
            }
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)
        };
        let file = open().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Target { path: path.to_owned(), new, file })
    }

    /// Writes a backup, whole or not at all; says how long it is.
    pub fn write(self, archive: &Archive) -> Result<usize> {
        let bytes = archive.encode();
        self.write_bytes(&bytes)?;
        Ok(bytes.len())
    }

    fn write_bytes(mut self, bytes: &[u8]) -> Result<()> {
        let mut write = || -> std::io::Result<()> {
            self.file.write_all(bytes)?;
            self.file.sync_all()?;
            std::fs::rename(&self.new, &self.path)
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // After the exchange there is none.
        let _ = std::fs::remove_file(&self.new);
    }
}

/// Reads and checks a backup.
pub fn read(path: &Path) -> Result<Archive> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Archive::decode(&bytes).with_context(|| format!("{} is not restored", path.display()))
}

/// Writes a file that only the owner may read, durably, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    Target::open(path)?.write_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_damage_is_seen() {
        let mut archive = Archive::default();
        archive.add("a", b"one\ntwo".to_vec());
        archive.add("b", vec![0, 255, 10]);
        let bytes = archive.encode();
        assert_eq!(Archive::decode(&bytes).expect("it is whole"), archive);
        assert!(
            Archive::decode(&bytes[..bytes.len() - 1])
                .expect_err("a byte is missing")
                .to_string()
                .contains("cut short")
        );
        let mut damaged = bytes.clone();
        *damaged.last_mut().expect("it is not empty") ^= 1;
        assert_eq!(Archive::decode(&damaged).expect_err("a bit is wrong").to_string(), "b in it is damaged");
        assert!(Archive::decode(b"PK").expect_err("it is something else").to_string().contains("no backup"));
    }
}
