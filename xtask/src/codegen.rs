//! `xtask codegen`: writes what is generated from the code. Tests fail when it is stale: here, in `crds` and in `controller`.

mod configuration;
mod metrics;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Writes the CRDs into `crds/generated` and the generated pages of `docs/reference`.
pub fn run(root: &Path) -> Result<()> {
    let crds = crds::generated()?.into_iter().map(|(name, text)| (format!("crds/generated/{name}"), text));
    for (path, text) in crds.chain(pages(root)?) {
        std::fs::write(root.join(&path), text).with_context(|| format!("write {path}"))?;
        println!("wrote {path}");
    }
    // The command line is known to its own binary alone.
    let status = Command::new("cargo")
        .args(["test", "--quiet", "-p", "controller", "the_reference_of_the_command_line_is_up_to_date"])
        .env("EVERTONE_WRITE_REFERENCE", "1")
        .current_dir(root)
        .status()
        .context("run cargo")?;
    if !status.success() {
        bail!("docs/reference/cli.md was not written");
    }
    println!("wrote docs/reference/cli.md");
    Ok(())
}

/// The generated pages: path and text.
fn pages(root: &Path) -> Result<Vec<(String, String)>> {
    Ok(vec![
        ("docs/reference/metrics.md".to_owned(), metrics::page()),
        ("docs/reference/configuration.md".to_owned(), configuration::page(root)?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_pages_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a member");
        for (path, text) in pages(root).unwrap() {
            let found = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
            assert!(found == text, "{path} is stale: run `cargo run -p xtask -- codegen`");
        }
    }
}
