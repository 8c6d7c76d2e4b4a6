//! The project's automation: what would be a shell script longer than a screen.

mod bench;
mod codegen;
mod licences;
mod steps;
mod test;
mod tidy;

use std::path::Path;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo run -p xtask -- bench|codegen|licences|lint|test|tidy";

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a member of the workspace");
    match std::env::args().nth(1).as_deref() {
        Some("bench") => bench::run(root, &std::env::args().skip(2).collect::<Vec<_>>()),
        Some("codegen") => codegen::run(root),
        Some("licences") => licences::run(root),
        Some("lint") => test::lint(root),
        Some("test") => test::run(root),
        Some("tidy") => tidy::run(root),
        _ => bail!(USAGE),
    }
}
