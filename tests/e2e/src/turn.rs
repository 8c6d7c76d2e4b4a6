//! One test at a time, across the threads of one test program and across programs: a test that measures a restart must
//! not share two cores with a storm.

use std::fs::File;

use rustix::fs::{FlockOperation, flock};

/// Held while a test runs; the kernel lets go when the program dies.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held for its lock")] File);

impl Turn {
    /// Waits for its turn.
    pub fn take() -> Turn {
        let path = crate::binaries::scratch().join("turn");
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let file = options.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        while let Err(errno) = flock(&file, FlockOperation::LockExclusive) {
            assert_eq!(errno, rustix::io::Errno::INTR, "the lock can be waited for");
        }
        Turn(file)
    }
}
