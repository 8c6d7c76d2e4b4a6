//! Programs from outside and our own binaries: where they are, or why a test is skipped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where a program lies, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Are all these programs there? If not, says which, and that the test proves nothing.
pub fn has(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        println!("skipped: {missing:?} not installed; `make test` installs what is needed");
    }
    missing.is_empty()
}

/// Our own binaries.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The command.
    pub evertone: PathBuf,
    /// The folder of the four functions.
    pub functions: PathBuf,
}

impl Binaries {
    /// Those of `make build`, or with `EVERTONE_INTEROP_PROFILE=debug` those of a plain `cargo build`.
    pub fn find() -> Result<Binaries> {
        let target = target_directory()?;
        let is_debug = std::env::var("EVERTONE_INTEROP_PROFILE").is_ok_and(|profile| profile == "debug");
        let (evertone, functions) = match is_debug {
            true => (target.join("debug/evertone"), target.join("debug")),
            false => (target.join("release/evertone"), target.join("x86_64-unknown-linux-musl/nf")),
        };
        let functions = match std::env::var_os("EVERTONE_BINARIES") {
            Some(folder) if !is_debug => PathBuf::from(folder),
            _ => functions,
        };
        let binaries = Binaries { evertone, functions };
        for file in binaries.all() {
            if !file.is_file() {
                bail!("{} is missing: `make build` makes it", file.display());
            }
        }
        Ok(binaries)
    }

    /// The binary of a function.
    pub fn function(&self, name: &str) -> PathBuf {
        self.functions.join(name)
    }

    fn all(&self) -> Vec<PathBuf> {
        let functions = ["pcscf", "icscf", "scscf", "hss"].map(|name| self.function(name));
        functions.into_iter().chain([self.evertone.clone()]).collect()
    }
}

/// Cargo's target directory: the test itself lies in `<target>/<profile>/deps`.
fn target_directory() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(repository().join(directory));
    }
    let own = std::env::current_exe().context("a test knows where it lies")?;
    let found = own.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    Ok(found.context("the test lies in no target directory of Cargo")?.to_owned())
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of this crate.
pub fn own_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
