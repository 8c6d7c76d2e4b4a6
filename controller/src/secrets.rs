//! The two keys of a core: made once, readable by the owner alone, never printed.

use std::path::Path;

use anyhow::{Context, Result, bail};
use node::config::FunctionKind;
use plan::names::Places;

/// Makes the keys that are missing; gives back the flow-token key, which is rendered into the configuration.
///
/// A store without its key is refused: a new key could not open it, and would only hide the loss.
pub fn ensure(places: &Places) -> Result<String> {
    let key = places.key_encryption_key();
    let store = places.state_of(FunctionKind::Hss);
    let has_store = std::fs::read_dir(&store).is_ok_and(|mut entries| entries.next().is_some());
    if has_store && !key.exists() {
        bail!(
            "the subscribers in {} are encrypted with {}, which is missing: restore a backup, or remove both",
            store.display(),
            key.display()
        );
    }
    ensure_key(&key, 32)?;
    ensure_key(&places.flow_token_key(), 16)
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
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
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
    fn a_store_without_its_key_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let places = places(directory.path());
        ensure(&places).expect("keys can be made");
        std::fs::create_dir(places.state_of(FunctionKind::Hss)).expect("it is new");
        std::fs::write(places.state_of(FunctionKind::Hss).join("store"), "x").expect("writable");
        std::fs::remove_file(places.key_encryption_key()).expect("it is there");
        assert!(ensure(&places).expect_err("the key is gone").to_string().contains("missing"));
    }
}
