//! Documents: what they name must exist. A test is named as `path/to/file.rs::its_name` in back quotes.

use super::Tree;

/// Folders that begin a path of this repository.
const FOLDERS: [&str; 11] = [
    "nf/",
    "crds/",
    "controller/",
    "bench/",
    "tests/",
    "docs/",
    "xtask/",
    "fuzz/",
    "manifests/",
    ".ci/",
    ".cargo/",
];

/// Each row of the specification's tables ends in the test that holds it, a figure of `make bench`, or "test pending".
pub fn promises_have_tests(tree: &Tree) -> Vec<String> {
    let file = "docs/SPECIFICATION.md";
    let Some(text) = tree.texts.get(file) else { return Vec::new() };
    let rows = (1..).zip(text.lines()).filter(|(_, line)| line.starts_with('|') && !line.starts_with("|---"));
    let heads: Vec<usize> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| line.starts_with("|---"))
        .map(|(number, _)| number - 1)
        .collect();
    let measured: String =
        tree.ending(".rs").filter(|(path, _)| path.contains("bench")).map(|(_, text)| text).collect();
    rows.filter(|(number, _)| !heads.contains(number))
        .filter(|(_, row)| {
            let held_by = row.trim_end_matches('|').rsplit('|').next().unwrap_or("");
            match held_by.split("figure `").nth(1).and_then(|rest| rest.split('`').next()) {
                Some(figure) => !measured.contains(&format!("\"{figure}")),
                None => !["::", "test pending", "`make "].iter().any(|mark| held_by.contains(mark)),
            }
        })
        .map(|(number, _)| {
            format!("{file}:{number}: a promise without a test or figure that exists; say `test pending`")
        })
        .collect()
}

/// Tests, links and paths in all Markdown files.
pub fn named_things_exist(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (number, line) in (1..).zip(text.lines()) {
            let spans = line.split('`').skip(1).step_by(2);
            let wrong = spans
                .filter_map(|span| wrong_span(tree, span))
                .chain(links(line).filter_map(|link| wrong_link(tree, path, link)));
            findings.extend(wrong.map(|what| format!("{path}:{number}: {what}")));
        }
    }
    findings
}

/// Each crate that a manifest names stands in `docs/dependencies.md`, with its reason.
pub fn dependencies_have_reasons(tree: &Tree) -> Vec<String> {
    let file = "docs/dependencies.md";
    let Some(reasons) = tree.texts.get(file) else { return Vec::new() };
    let mut findings = Vec::new();
    for (path, manifest) in tree.ending("Cargo.toml") {
        let mut is_in = false;
        for (number, line) in (1..).zip(manifest.lines()) {
            if line.starts_with('[') {
                is_in = line.trim_matches(['[', ']']).ends_with("dependencies");
                continue;
            }
            let name = line.split(['=', '.', ' ']).next().unwrap_or("");
            let is_foreign =
                is_in && line.contains('=') && !line.starts_with('#') && !line.contains(".workspace");
            if is_foreign
                && !line.contains("path =")
                && !line.contains("workspace = true")
                && !reasons.contains(&format!("`{name}`"))
            {
                findings.push(format!("{path}:{number}: {name} is not explained in {file}"));
            }
        }
    }
    findings
}

fn wrong_span(tree: &Tree, span: &str) -> Option<String> {
    if let Some((file, test)) = span.split_once(".rs::") {
        let file = format!("{file}.rs");
        return match tree.texts.get(&file) {
            None => Some(format!("{file} does not exist")),
            Some(text) if !has_test(text, test) => Some(format!("{file} has no test {test}")),
            Some(_) => None,
        };
    }
    let is_pattern = span.contains([' ', '*', '<', '{', '…', ':', '@', '#', '(']);
    let is_root_file = !span.contains('/')
        && [".md", ".toml"].iter().any(|end| span.ends_with(end))
        && span.starts_with(char::is_uppercase);
    let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder)) || is_root_file;
    (is_path && !is_pattern && !tree.has(span)).then(|| format!("{span} does not exist"))
}

/// Is there a function of this name with a test attribute, at most a few attributes above it?
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let signature = format!("fn {name}(");
    lines.iter().enumerate().any(|(at, line)| {
        line.contains(&signature)
            && lines[at.saturating_sub(6)..at]
                .iter()
                .any(|above| above.contains("#[test]") || above.contains("#[tokio::test"))
    })
}

fn links(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, _)| line[at + 2..].split(')').next())
}

fn wrong_link(tree: &Tree, from: &str, link: &str) -> Option<String> {
    let target = link.split(['#', ' ']).next().unwrap_or("");
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    (!tree.has(&path)).then(|| format!("the link to {target} leads nowhere"))
}
