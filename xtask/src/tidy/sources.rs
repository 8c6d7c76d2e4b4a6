//! Rust files: their heads, what they iterate, and their exceptions to lints. Textual and therefore simple: a false alarm
//! costs a rewording, and none is known.

use super::Tree;

/// A file opens with `//!`: what it decides, what it never does.
pub fn files_have_heads(tree: &Tree) -> Vec<String> {
    tree.ending(".rs")
        .filter(|(_, text)| {
            let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
            !first.is_some_and(|line| line.starts_with("//!"))
        })
        .map(|(path, _)| format!("{path}:1: begins without a `//!` head"))
        .collect()
}

/// A `HashMap` has another order in each process: a core that iterates one is not deterministic.
pub fn cores_iterate_in_order(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    let is_core = |path: &str| path.starts_with("nf/") && !path.starts_with("nf/host/");
    for (path, text) in tree.ending(".rs").filter(|(path, _)| is_core(path)) {
        let names: Vec<&str> = text.lines().filter_map(hashed_name).collect();
        for (number, line) in (1..).zip(text.lines()) {
            if names.iter().any(|name| is_iterated(line, name)) {
                findings.push(format!("{path}:{number}: iterates a HashMap, whose order is no order"));
            }
        }
    }
    findings
}

/// The name of a field or variable with a hashed type.
fn hashed_name(line: &str) -> Option<&str> {
    let at = line.find("HashMap").or_else(|| line.find("HashSet"))?;
    let before = line[..at].trim_end_matches("std::collections::").trim_end();
    let before = before.strip_suffix([':', '=']).map(str::trim_end)?;
    let name = before.rsplit([' ', '(', ',']).next()?;
    (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
}

fn is_iterated(line: &str, name: &str) -> bool {
    const WAYS: [&str; 8] =
        [".iter(", ".iter_mut(", ".keys(", ".values(", ".values_mut(", ".into_iter(", ".drain(", ".retain("];
    let is_word = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(name).filter(|(at, _)| is_word(*at)).any(|(at, _)| {
        let rest = &line[at + name.len()..];
        let is_loop = line.trim_start().starts_with("for ") && rest.trim_start().starts_with('{');
        is_loop || WAYS.iter().any(|way| rest.starts_with(way))
    })
}

/// `expect` tells when the exception is no longer needed; its reason tells why it is.
pub fn exceptions_have_reasons(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".rs") {
        for (number, line) in (1..).zip(text.lines()) {
            let start = line.trim_start();
            // Code that several test programs share: each leaves another part unused, so an `expect` would be wrong in one.
            let is_shared =
                path.ends_with("tests/common/mod.rs") && start.starts_with("#![allow(dead_code, reason");
            if !is_shared && ["#[allow(", "#![allow("].iter().any(|attribute| start.starts_with(attribute)) {
                findings.push(format!("{path}:{number}: use `expect` with a reason instead of `allow`"));
            }
            if ["#[expect(", "#![expect("].iter().any(|attribute| start.starts_with(attribute)) {
                let rest = text.lines().skip(number - 1).collect::<Vec<_>>().join("\n");
                let attribute = rest.split(")]").next().unwrap_or("");
                if !attribute.contains("reason") {
                    findings.push(format!("{path}:{number}: an `expect` without its reason"));
                }
            }
        }
    }
    findings
}
