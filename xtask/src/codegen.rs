//! `xtask codegen`: writes what is generated from the code. A test in the crate that owns it fails when it is stale.

use std::path::Path;

use anyhow::{Context, Result};

/// Writes the CRDs into `crds/generated`.
pub fn run(root: &Path) -> Result<()> {
    let folder = root.join("crds/generated");
    std::fs::create_dir_all(&folder).context("create crds/generated")?;
    for (name, text) in crds::generated()? {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
