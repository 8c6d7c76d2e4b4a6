//! Whether every crate that is linked or built here has a licence that `deny.toml` allows, comes from the registry and is
//! not refused there. What `cargo deny check licenses bans sources` tells, of the parts of `deny.toml` that are in use,
//! without a tool that a bare machine lacks.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spdx::Expression;

/// The parts of `deny.toml` that are compared here.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Absent: ours.
    source: Option<String>,
}

/// Compares all crates of the workspace and of `fuzz` with `deny.toml`.
pub fn run(root: &Path) -> Result<()> {
    let deny = std::fs::read_to_string(root.join("deny.toml")).context("read deny.toml")?;
    let deny: Deny = toml::from_str(&deny).context("deny.toml")?;
    let mut packages = packages(root)?;
    packages.extend(self::packages(&root.join("fuzz"))?);
    let findings = findings(&deny, &packages)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} crates are not what deny.toml allows", findings.len());
    }
    println!("{} crates have licences and sources that deny.toml allows", packages.len());
    Ok(())
}

fn packages(directory: &Path) -> Result<Vec<Package>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(directory)
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata in {}: {}",
            directory.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("what cargo metadata prints")?;
    Ok(metadata.packages.into_iter().filter(|package| package.source.is_some()).collect())
}

fn findings(deny: &Deny, packages: &[Package]) -> Result<Vec<String>> {
    let allowed: Vec<Expression> = deny
        .licenses
        .allow
        .iter()
        .map(|text| Expression::parse(text).with_context(|| format!("deny.toml allows {text:?}")))
        .collect::<Result<_>>()?;
    let is_allowed = |requirement: &spdx::LicenseReq| {
        allowed.iter().any(|one| one.requirements().all(|allowed| allowed.req == *requirement))
    };
    let mut findings = Vec::new();
    for Package { name, version, license, source } in packages {
        // Some crates still write `MIT/Apache-2.0`.
        let text = license.as_deref().unwrap_or_default();
        let expression = Expression::parse_mode(text, spdx::ParseMode::LAX);
        if !expression.is_ok_and(|expression| expression.evaluate(is_allowed)) {
            findings.push(format!("{name} {version}: licence {text:?} is not allowed"));
        }
        if !source.as_deref().is_some_and(|source| source.starts_with("registry+")) {
            findings.push(format!("{name} {version}: comes from {source:?}, not from the registry"));
        }
        if let Some(ban) = deny.bans.deny.iter().find(|ban| ban.name == *name) {
            findings.push(format!("{name} {version}: refused: {}", ban.reason));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, license: &str, source: &str, expected: &str) {
        let deny = "[licenses]\nallow = [\"MIT\", \"Apache-2.0 WITH LLVM-exception\"]\n\
                    [bans]\ndeny = [{ crate = \"bad\", reason = \"it is bad\" }]\n";
        let deny: Deny = toml::from_str(deny).expect("it is valid");
        let package = Package {
            name: name.into(),
            version: "1.0.0".into(),
            license: Some(license.into()),
            source: Some(source.into()),
        };
        let found = findings(&deny, &[package]).expect("licences are named as SPDX does").join("\n");
        assert!(
            found.contains(expected) && found.is_empty() == expected.is_empty(),
            "{found:?} for {license}"
        );
    }

    #[test]
    fn what_deny_toml_does_not_allow_is_found() {
        check("good", "MIT", "registry+x", "");
        check("good", "GPL-3.0-only OR MIT", "registry+x", "");
        check("good", "GPL-3.0-only/MIT", "registry+x", "");
        check("good", "GPL-3.0-only AND MIT", "registry+x", "not allowed");
        check("good", "Apache-2.0 WITH LLVM-exception", "registry+x", "");
        check("good", "Apache-2.0", "registry+x", "not allowed");
        check("good", "", "registry+x", "not allowed");
        check("good", "MIT", "git+https://x", "not from the registry");
        check("bad", "MIT", "registry+x", "it is bad");
    }
}
