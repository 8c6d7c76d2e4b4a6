//! Where the programs under test are, built when they are out of date.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The programs that make a core.
pub(crate) const NAMES: [&str; 7] = ["evertone", "pcscf", "icscf", "scscf", "hss", "witness", "host-agent"];

/// The directory with the programs: EVERTONE_BINARIES, else what cargo builds for this profile.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        if let Some(chosen) = std::env::var_os("EVERTONE_BINARIES") {
            return PathBuf::from(chosen);
        }
        let profile = profile_directory();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "-p", "host", "--bins", "-p", "controller"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo can be started");
        assert!(status.success(), "the programs cannot be built");
        profile
    })
}

/// `target/debug` or its like: a test program lies in its `deps`.
fn profile_directory() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it lies");
    let deps = own.parent().expect("it lies in a directory");
    deps.parent().filter(|_| deps.ends_with("deps")).unwrap_or(deps).to_owned()
}

/// A directory for what tests write: beside the programs, so that hard links to them are possible.
pub(crate) fn scratch() -> PathBuf {
    let scratch = profile_directory().join("e2e");
    std::fs::create_dir_all(&scratch).unwrap_or_else(|error| panic!("{}: {error}", scratch.display()));
    scratch
}

/// Links the programs into `to`: a compiler at work elsewhere cannot exchange them in the middle of a test.
pub(crate) fn link_into(to: &Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for name in NAMES {
        let from = directory().join(name);
        let target = to.join(name);
        if std::fs::hard_link(&from, &target).is_err() {
            std::fs::copy(&from, &target).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
}
