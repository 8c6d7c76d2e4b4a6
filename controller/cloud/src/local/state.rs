//! Directories of durable state: who has one, and how one gets another name. Never deletes any.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use plan::ProcessName;
use plan::names::Places;

use super::file_error;
use crate::CloudError;

/// Who has state, and when it was written to last, in nanoseconds.
pub(super) fn having(places: &Places) -> BTreeMap<ProcessName, u128> {
    let modified = |name: ProcessName| Some((name, modified(&places.state_of(name))?));
    ProcessName::ALL.into_iter().filter_map(modified).collect()
}

/// When anything in a directory was changed; `None`: there is none.
fn modified(directory: &Path) -> Option<u128> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let times = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let latest = times.filter_map(|time| time.duration_since(UNIX_EPOCH).ok()).max();
    Some(latest.unwrap_or_default().as_nanos())
}

/// Gives a directory another name. What is there already is never replaced; done already is done.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), CloudError> {
    if !from.exists() && to.exists() {
        return Ok(());
    }
    // rename(2) replaces an empty directory alone.
    let renamed = std::fs::rename(from, to);
    renamed.map_err(|source| CloudError::Move { from: from.into(), to: to.into(), source })
}

/// Gives a directory a name beside its own that nobody has.
pub(super) fn set_aside(path: &Path) -> Result<(), CloudError> {
    if !path.exists() {
        return Ok(());
    }
    let names = (1_u32..).map(|number| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".old-{number}"));
        std::path::PathBuf::from(name)
    });
    let free = names.into_iter().find(|name| !name.exists()).expect("no disk holds so many");
    tracing::info!(from = %path.display(), to = %free.display(), "state is set aside");
    rename(path, &free)
}

/// Copies a directory, durably, whole or not at all.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), CloudError> {
    let mut name = to.as_os_str().to_owned();
    name.push(".new");
    let new = std::path::PathBuf::from(name);
    let copied = remove_whole(&new).and_then(|()| copy_whole(from, &new));
    copied.map_err(|source| file_error("copy", from, source))?;
    rename(&new, to)
}

/// Removes what a copy that was cut off has left.
fn remove_whole(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_whole(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_whole(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
            std::fs::File::open(&target)?.sync_all()?;
        }
    }
    // The names too.
    std::fs::File::open(to)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_a_name_is_taken() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["hss", "hss-1"] {
            std::fs::create_dir(path(name)).expect("it is new");
            std::fs::write(path(name).join("store"), name).expect("writable");
        }
        assert!(rename(&path("hss"), &path("hss-1")).is_err());
        set_aside(&path("hss-1")).expect("a name is free");
        rename(&path("hss"), &path("hss-1")).expect("its name is free");
        rename(&path("hss"), &path("hss-1")).expect("it is done already");
        set_aside(&path("hss-1")).expect("a name is free");
        let read = |name: &str| std::fs::read_to_string(path(name).join("store")).expect("it is there");
        assert_eq!((read("hss-1.old-1").as_str(), read("hss-1.old-2").as_str()), ("hss-1", "hss"));
    }

    #[test]
    fn a_copy_is_whole_or_not_there_and_replaces_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(path("hss").join("deep")).expect("it is new");
        std::fs::write(path("hss").join("deep").join("store"), "all").expect("writable");
        // One that was cut off.
        std::fs::create_dir(path("hss-2.new")).expect("it is new");
        std::fs::write(path("hss-2.new").join("store"), "half").expect("writable");
        copy(&path("hss"), &path("hss-2")).expect("it is copied");
        let read = |name: &str| std::fs::read_to_string(path(name).join("deep").join("store"));
        assert_eq!(
            (read("hss").expect("it stays"), read("hss-2").expect("it is there")),
            ("all".into(), "all".into())
        );
        assert!(!path("hss-2").join("store").exists() && !path("hss-2.new").exists());
        std::fs::write(path("hss").join("deep").join("store"), "more").expect("writable");
        assert!(copy(&path("hss"), &path("hss-2")).is_err());
        assert_eq!(read("hss-2").expect("it is there"), "all");
        assert!(copy(&path("nothing"), &path("hss-3")).is_err() && !path("hss-3").exists());
    }
}
