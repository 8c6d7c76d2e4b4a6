//! The project's automation: what would be a shell script longer than a screen.

mod codegen;

use std::path::Path;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo run -p xtask -- codegen";

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a member of the workspace");
    match std::env::args().nth(1).as_deref() {
        Some("codegen") => codegen::run(root),
        _ => bail!(USAGE),
    }
}
