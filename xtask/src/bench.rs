//! `make bench`: the figures that the project promises, into `target/figures`. A report: what misses its goal fails
//! nothing, what cannot be measured does.

use std::path::Path;

use anyhow::Result;

use crate::steps::Steps;

/// Measures all, or those of the core that `arguments` name.
pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let mut steps = Steps::new(root);
    steps.run(
        "static functions",
        "cargo build --quiet --profile nf --target x86_64-unknown-linux-musl -p host --bins",
    );
    steps.run("evertone and bench", "cargo build --quiet --release -p controller -p bench");
    if arguments.is_empty() {
        steps.run("messages", "cargo bench --quiet -p sip");
    }
    let functions = root.join(&target).join("x86_64-unknown-linux-musl/nf");
    let functions = functions.to_string_lossy();
    let command = format!("{target}/release/bench figures {}", arguments.join(" "));
    steps.run_with("core", command.trim_end(), &[("EVERTONE_BINARIES", &functions)]);
    steps.finish()
}
