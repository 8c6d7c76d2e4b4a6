//! Which two directories a core lives in: by option, by environment, by user.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use plan::names::{self, Places};

/// What decides about the directories; read once, so that the rule below is a plain function.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `--state-directory` or EVERTONE_STATE_DIRECTORY.
    pub state_directory: Option<PathBuf>,
    /// Is this the superuser?
    pub is_root: bool,
    /// The user's number.
    pub user: u32,
    /// XDG_STATE_HOME, or what the standard puts in its place.
    pub state_home: Option<PathBuf>,
    /// XDG_RUNTIME_DIR.
    pub runtime: Option<PathBuf>,
}

impl Surroundings {
    /// Reads the environment.
    pub fn read(state_directory: Option<PathBuf>) -> Surroundings {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
        let user = rustix::process::getuid();
        let state_home = variable("XDG_STATE_HOME").and_then(path);
        let home = || variable("HOME").and_then(path).map(|home| home.join(".local/state"));
        Surroundings {
            state_directory,
            is_root: user.is_root(),
            user: user.as_raw(),
            state_home: state_home.or_else(home),
            runtime: variable("XDG_RUNTIME_DIR").and_then(path),
        }
    }

    /// The rule. One directory has one name, however it was spelled: two names would be two controllers on one core's data.
    pub fn places(&self) -> Result<Places> {
        let default = match self.is_root {
            true => Some(PathBuf::from("/var/lib/evertone")),
            false => self.state_home.as_ref().map(|home| home.join("evertone")),
        };
        let default = default.map(|default| one_name(&default)).transpose()?;
        let chosen = self.state_directory.as_ref().map(|chosen| one_name(chosen)).transpose()?;
        let is_default = chosen.is_none() || chosen == default;
        let state_directory = chosen
            .or(default)
            .context("neither HOME nor XDG_STATE_HOME is set: name a directory with --state-directory")?;
        let (base, name) = match (self.is_root, &self.runtime) {
            (true, _) => (PathBuf::from("/run"), "evertone".to_owned()),
            (false, Some(runtime)) => (runtime.clone(), "evertone".to_owned()),
            (false, None) => (PathBuf::from("/tmp"), format!("evertone-{}", self.user)),
        };
        let run_directory = match is_default {
            true => base.join(name),
            false => names::run_directory(&base, &state_directory),
        };
        Ok(Places { state_directory, run_directory })
    }
}

/// The one name of a directory that need not be there yet: absolute, without links, `..` and a `/` at its end.
fn one_name(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).context("the state directory is not a path")?;
    let mut name = PathBuf::new();
    for part in absolute.components() {
        match part {
            // Links before it are resolved already, so this is what the kernel would do.
            Component::ParentDir => drop(name.pop()),
            part => name.push(part),
        }
        if let Ok(real) = name.canonicalize() {
            name = real;
        }
    }
    Ok(name)
}

/// Makes the two directories, the owner's alone.
pub fn create(places: &Places) -> Result<()> {
    for directory in [&places.state_directory, &places.run_directory] {
        cloud::local::create_private_directory(directory)?;
        refuse_foreign(directory)?;
    }
    cloud::local::create_private_directory(&places.state_directory.join("logs"))?;
    Ok(())
}

/// Waits until no other command prepares this core, and keeps others waiting while the result lives. The lock is on the
/// directory itself: nothing is left behind.
pub fn take_turn(places: &Places) -> Result<std::fs::File> {
    let directory = &places.state_directory;
    let file =
        std::fs::File::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .with_context(|| format!("cannot lock {}", directory.display()))?;
    Ok(file)
}

/// A directory in /tmp may have been laid there by somebody else.
fn refuse_foreign(directory: &Path) -> Result<()> {
    let metadata = std::fs::symlink_metadata(directory)
        .with_context(|| format!("cannot look at {}", directory.display()))?;
    if metadata.is_symlink() && metadata.uid() != rustix::process::getuid().as_raw() {
        bail!(
            "{} is a link of another user: remove it, or choose another --state-directory",
            directory.display()
        );
    }
    let owner = std::fs::metadata(directory).map(|metadata| metadata.uid()).unwrap_or(metadata.uid());
    if owner != rustix::process::getuid().as_raw() {
        bail!("{} belongs to another user: choose another with --state-directory", directory.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(surroundings: Surroundings, state: &str, run: &str) {
        let places = surroundings.places().expect("there is a place");
        assert_eq!(places.state_directory, Path::new(state));
        assert_eq!(places.run_directory, Path::new(run));
    }

    #[test]
    fn each_user_has_places_of_their_own() {
        let root = Surroundings { is_root: true, ..Surroundings::default() };
        check(root, "/var/lib/evertone", "/run/evertone");
        let user = Surroundings {
            user: 1000,
            state_home: Some("/home/a/.local/state".into()),
            runtime: Some("/run/user/1000".into()),
            ..Surroundings::default()
        };
        check(user.clone(), "/home/a/.local/state/evertone", "/run/user/1000/evertone");
        check(Surroundings { runtime: None, ..user }, "/home/a/.local/state/evertone", "/tmp/evertone-1000");
    }

    #[test]
    fn cores_with_state_directories_of_their_own_stand_side_by_side() {
        let run = |state: &str| {
            let chosen = Surroundings {
                state_directory: Some(state.into()),
                is_root: true,
                ..Surroundings::default()
            };
            chosen.places().expect("there is a place").run_directory
        };
        assert_ne!(run("/a"), run("/b"));
        assert_eq!(run("/var/lib/evertone"), Path::new("/run/evertone"), "the default, chosen");
        assert!(run("/a").starts_with("/run"));
    }

    #[test]
    fn one_directory_has_one_name_however_it_is_spelled() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let real = directory.path().canonicalize().expect("it is there");
        std::os::unix::fs::symlink(real.join("state"), real.join("link")).expect("it is writable");
        std::fs::create_dir(real.join("other")).expect("it is writable");
        for exists in [false, true] {
            if exists {
                std::fs::create_dir(real.join("state")).expect("it is writable");
            }
            for spelling in ["state", "state/", "./state", "other/../state", "state//."] {
                assert_eq!(one_name(&real.join(spelling)).expect("a path"), real.join("state"), "{spelling}");
            }
        }
        assert_eq!(one_name(&real.join("link")).expect("a path"), real.join("state"));
        assert_eq!(one_name(&real.join("link/x")).expect("a path"), real.join("state/x"));
    }
}
