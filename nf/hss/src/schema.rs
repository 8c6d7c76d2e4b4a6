//! The version of the store, the migrations between versions, and the proof that the key-encryption key is the right one.
//!
//! Nothing is read or written before [`open`] has agreed to it.

use node::Store;

use crate::vault::Vault;

/// Tables, and what their keys and values are.
pub mod table {
    use node::store::Table;

    /// Private identity to subscriber record.
    pub const SUBSCRIBER: Table = "subscriber";
    /// Canonical public identity to private identity.
    pub const PUBLIC_IDENTITY: Table = "public_identity";
    /// Private identity to registration record; absent when nothing is registered or pending.
    pub const REGISTRATION: Table = "registration";
    /// Private identity, a zero byte and the number of the implicit set to restoration data.
    pub const RESTORATION: Table = "restoration";
    /// Private identity to the first SEQ that is not reserved, 8 bytes, big-endian. Outlives its subscriber:
    /// a SIM that is provisioned again must not see an SQN again.
    pub const SEQUENCE: Table = "sequence";
    /// A few named values.
    pub const META: Table = "meta";
}

/// Keys of [`table::META`].
pub(crate) mod meta {
    pub(crate) const VERSION: &[u8] = b"schema_version";
    pub(crate) const KEY_CHECK: &[u8] = b"key_check";
    pub(crate) const SUBSCRIBERS: &[u8] = b"subscribers";
    pub(crate) const SEQUENCE_OFFSET: &[u8] = b"sequence_offset";
    pub(crate) const SEQUENCE_JUMPED: &[u8] = b"sequence_jumped_at";
}

/// What this build writes.
pub const VERSION: u32 = 1;

/// `MIGRATIONS[n]` takes a store from version `n + 1` to `n + 2`.
const MIGRATIONS: [fn(&mut dyn Store); VERSION as usize - 1] = [];

const KEY_CHECK_TEXT: &[u8] = b"evertone hss";

/// Why a store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Written by a later release.
    #[error(
        "the subscriber store has version {found} and this build understands up to {VERSION}: start the newer build, or restore a backup of this one"
    )]
    TooNew {
        /// Its version.
        found: u32,
    },
    /// The version is not a number.
    #[error(
        "the subscriber store has no readable version: it is damaged or belongs to another program; restore a backup"
    )]
    Unreadable,
    /// The key-encryption key is another one.
    #[error(
        "the key-encryption key is not the one the subscriber store was written with: give the HSS the old key file back"
    )]
    WrongKey,
}

/// Makes the store ready: writes a new one's version, migrates an old one, refuses a newer one. Says whether it wrote.
pub(crate) fn open(store: &mut dyn Store, vault: &mut Vault) -> Result<bool, SchemaError> {
    let found = match store.read(table::META, meta::VERSION) {
        Some(bytes) => u32::from_be_bytes(bytes.try_into().map_err(|_| SchemaError::Unreadable)?),
        None => 0,
    };
    if found > VERSION {
        return Err(SchemaError::TooNew { found });
    }
    if found > 0 {
        let check = store.read(table::META, meta::KEY_CHECK).ok_or(SchemaError::Unreadable)?;
        vault.open("", "key_check", &check).map_err(|_| SchemaError::WrongKey)?;
        for migrate in &MIGRATIONS[found as usize - 1..] {
            migrate(store);
        }
    } else {
        let check = vault.seal("", "key_check", KEY_CHECK_TEXT);
        store.write(table::META, meta::KEY_CHECK, &check);
    }
    if found < VERSION {
        store.write(table::META, meta::VERSION, &VERSION.to_be_bytes());
    }
    Ok(found < VERSION)
}

#[cfg(test)]
mod tests {
    use node::MemoryStore;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn vault(key: u8) -> Vault {
        Vault::new(&[key; 32], StdRng::seed_from_u64(1))
    }

    #[test]
    fn a_store_opens_again_under_its_key_and_under_no_other() {
        let mut store = MemoryStore::default();
        assert_eq!(open(&mut store, &mut vault(1)), Ok(true));
        assert_eq!(open(&mut store, &mut vault(1)), Ok(false));
        assert_eq!(open(&mut store, &mut vault(2)), Err(SchemaError::WrongKey));
    }

    #[test]
    fn a_store_of_a_later_release_is_refused_and_left_alone() {
        let mut store = MemoryStore::default();
        store.write(table::META, meta::VERSION, &(VERSION + 1).to_be_bytes());
        assert_eq!(open(&mut store, &mut vault(1)), Err(SchemaError::TooNew { found: VERSION + 1 }));
        assert_eq!(store.read(table::META, meta::KEY_CHECK), None);
    }
}
