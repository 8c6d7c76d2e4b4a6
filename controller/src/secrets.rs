//! The keys of a core: made once, readable by the owner alone, never printed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use node::config::FunctionKind;
use plan::names::{Instance, Places};
use plan::{LinkKey, ProcessName};
use resilience::seal::PrivateKey;

/// Makes the keys that are missing; gives back the flow-token key, which is rendered into the configuration.
///
/// A store without its key is refused: a new key could not open it, and would only hide the loss.
pub fn ensure(places: &Places) -> Result<String> {
    let key = places.key_encryption_key();
    let instances = [Instance::Alone, Instance::First, Instance::Second];
    let mut stores = instances
        .map(|instance| places.state_of(ProcessName::Function(FunctionKind::Hss, instance)))
        .into_iter();
    let store =
        stores.find(|store| std::fs::read_dir(store).is_ok_and(|mut entries| entries.next().is_some()));
    if let Some(store) = store.filter(|_| !key.exists()) {
        bail!(
            "the subscribers in {} are encrypted with {}, which is missing: restore a backup, or remove both",
            store.display(),
            key.display()
        );
    }
    ensure_key(&key, 32)?;
    ensure_key(&places.flow_token_key(), 16)
}

/// Makes the keys with which the instances of pairs and the witness prove themselves to each other, where they are missing. A new
/// one is as good as the old: all are told of it at once.
pub fn ensure_link_keys(places: &Places) -> Result<BTreeMap<ProcessName, LinkKey>> {
    let names = ProcessName::of_core(true).filter(|name| *name != ProcessName::HostAgent);
    names
        .map(|name| {
            let private_key_file = places.private_key(name);
            let digits =
                ensure_key(&private_key_file, 32).context("this one may be removed: another is made")?;
            let private = PrivateKey::from_random(bytes(&digits));
            Ok((name, LinkKey { private_key_file, public_key: hex(&private.public().0) }))
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 64 hex digits, as `ensure_key` gives them for 32 bytes.
fn bytes(digits: &str) -> [u8; 32] {
    std::array::from_fn(|index| {
        u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).expect("they were looked at")
    })
}

fn ensure_key(path: &Path, bytes: usize) -> Result<String> {
    if let Ok(text) = std::fs::read_to_string(path) {
        let text = text.trim();
        if text.len() != 2 * bytes || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("{} does not hold {} hex digits: restore it from a backup", path.display(), 2 * bytes);
        }
        return Ok(text.to_owned());
    }
    let mut key = vec![0; bytes];
    getrandom::fill(&mut key).context("the kernel gives no random numbers")?;
    let text = hex(&key);
    if let Some(directory) = path.parent() {
        cloud::local::create_private_directory(directory)?;
    }
    cloud::local::write_private(path, &format!("{text}\n"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(directory: &Path) -> Places {
        Places { state_directory: directory.into(), run_directory: directory.into() }
    }

    #[test]
    fn keys_are_made_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let places = places(directory.path());
        let first = ensure(&places).expect("keys can be made");
        let key = std::fs::read_to_string(places.key_encryption_key()).expect("it is there");
        assert_eq!(ensure(&places).expect("they are there"), first);
        assert_eq!(std::fs::read_to_string(places.key_encryption_key()).expect("it is there"), key);
        assert_eq!((first.len(), key.trim().len()), (32, 64));
    }

    #[test]
    fn each_process_of_a_pair_has_a_key_of_its_own_that_is_made_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let places = places(directory.path());
        let keys = ensure_link_keys(&places).expect("keys can be made");
        assert_eq!(ensure_link_keys(&places).expect("they are there"), keys);
        let public: std::collections::BTreeSet<&str> =
            keys.values().map(|key| key.public_key.as_str()).collect();
        assert_eq!((keys.len(), public.len()), (9, 9));
        for key in keys.values() {
            let private = std::fs::read_to_string(&key.private_key_file).expect("it is there");
            assert_eq!(hex(&bytes(private.trim())), private.trim());
            assert_ne!(private.trim(), key.public_key);
            let metadata = std::fs::metadata(&key.private_key_file).expect("it is there");
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777, 0o600);
        }
    }

    #[test]
    fn a_store_without_its_key_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let places = places(directory.path());
        ensure(&places).expect("keys can be made");
        std::fs::create_dir(places.state_of(ProcessName::alone(FunctionKind::Hss))).expect("it is new");
        std::fs::write(places.state_of(ProcessName::alone(FunctionKind::Hss)).join("store"), "x")
            .expect("writable");
        std::fs::remove_file(places.key_encryption_key()).expect("it is there");
        assert!(ensure(&places).expect_err("the key is gone").to_string().contains("missing"));
    }
}
