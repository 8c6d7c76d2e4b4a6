//! Names and places: deterministic, safe in length, the same for the same resource on every run.

use std::path::{Path, PathBuf};

use node::config::FunctionKind;

/// The two directories a core lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What outlives the core: stores, keys, logs, history.
    pub state_directory: PathBuf,
    /// What goes with it: sockets, rendered configuration, process records.
    pub run_directory: PathBuf,
}

impl Places {
    /// The rendered configuration of a function.
    pub fn config_file(&self, kind: FunctionKind) -> PathBuf {
        self.run_directory.join(format!("{}.yaml", kind.as_str()))
    }

    /// The admin socket of a function.
    pub fn admin_socket(&self, kind: FunctionKind) -> PathBuf {
        self.run_directory.join(format!("{}.sock", kind.as_str()))
    }

    /// The record of a function's process.
    pub fn process_record(&self, kind: FunctionKind) -> PathBuf {
        self.run_directory.join(format!("{}.process", kind.as_str()))
    }

    /// The durable state of a function.
    pub fn state_of(&self, kind: FunctionKind) -> PathBuf {
        self.state_directory.join(kind.as_str())
    }

    /// What a function wrote to its standard streams.
    pub fn log_file(&self, kind: FunctionKind) -> PathBuf {
        self.state_directory.join("logs").join(format!("{}.log", kind.as_str()))
    }

    /// The controller's own log.
    pub fn controller_log(&self) -> PathBuf {
        self.state_directory.join("logs").join("controller.log")
    }

    /// The controller's API socket.
    pub fn controller_socket(&self) -> PathBuf {
        self.run_directory.join("controller.sock")
    }

    /// The key that encrypts the credentials in the HSS's store.
    pub fn key_encryption_key(&self) -> PathBuf {
        self.state_directory.join("keys").join("key-encryption-key")
    }

    /// The key of the P-CSCF's flow tokens.
    pub fn flow_token_key(&self) -> PathBuf {
        self.state_directory.join("keys").join("flow-token-key")
    }

    /// The resource that was accepted last.
    pub fn accepted_resource(&self) -> PathBuf {
        self.state_directory.join("core.yaml")
    }
}

/// The instance name of a function: it marks logs and metrics.
pub fn instance(kind: FunctionKind) -> String {
    format!("{}-1", kind.as_str())
}

/// The logical host name of a function.
pub fn host(kind: FunctionKind, home_domain: &str) -> String {
    format!("{}.{home_domain}", kind.as_str())
}

/// The run directory that belongs to a state directory of the user's choice. A unix socket's path may have 107 bytes,
/// so the state directory enters it only as a hash.
pub fn run_directory(base: &Path, state_directory: &Path) -> PathBuf {
    let mark = format!("{:016x}", hash(state_directory.as_os_str().as_encoded_bytes()));
    base.join(format!("evertone-{}", &mark[..12]))
}

/// FNV-1a, 64 bits: to tell texts apart that nobody forges.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_directory_is_short_and_its_own_for_each_state_directory() {
        let long = PathBuf::from("/").join("a".repeat(200));
        let run = run_directory(Path::new("/run"), &long);
        let places = Places { state_directory: long.clone(), run_directory: run.clone() };
        assert!(places.controller_socket().as_os_str().len() < 108, "it fits into a sockaddr_un");
        assert_ne!(run, run_directory(Path::new("/run"), Path::new("/b")));
        assert_eq!(run, run_directory(Path::new("/run"), &long), "the same on every run");
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
