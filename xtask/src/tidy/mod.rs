//! `xtask tidy`: conventions that no compiler checks. Each rule is a function over the tree's texts that gives its findings
//! as `file:line: what is wrong`; `cargo test` runs them all.
//!
//! | rule | file |
//! |---|---|
//! | documents name only tests, files and links that exist; every promise has its test or says "test pending" | `documents.rs` |
//! | each dependency has its reason | `documents.rs` |
//! | a Rust file says at its top what it is | `sources.rs` |
//! | a core in `nf/` iterates no `HashMap` | `sources.rs` |
//! | an exception to a lint is an `expect` with its reason | `sources.rs` |
//! | the words of events, alarms and outcomes are explained in the reference | `words.rs` |
//! | no path of somebody's machine stands in the tree | here |

mod documents;
mod sources;
mod words;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// All texts of the tree, by path from its root.
pub struct Tree {
    texts: BTreeMap<String, String>,
    /// Files that are no text, so that links to them can be checked.
    others: Vec<String>,
}

/// What is built, tried or recorded, and not written by us.
const NOT_OURS: [&str; 5] = ["target", ".git", "fuzz/corpus", "fuzz/artifacts", "fuzz/seeds"];

/// Prints all findings; fails if there is one.
pub fn run(root: &Path) -> Result<()> {
    let findings = findings(&Tree::read(root)?);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} things are not tidy", findings.len());
    }
    println!("the tree is tidy");
    Ok(())
}

fn findings(tree: &Tree) -> Vec<String> {
    [
        documents::promises_have_tests(tree),
        documents::named_things_exist(tree),
        documents::dependencies_have_reasons(tree),
        sources::files_have_heads(tree),
        sources::cores_iterate_in_order(tree),
        sources::exceptions_have_reasons(tree),
        words::words_are_explained(tree),
        machine_paths(tree),
    ]
    .concat()
}

impl Tree {
    fn read(root: &Path) -> Result<Tree> {
        let mut tree = Tree { texts: BTreeMap::new(), others: Vec::new() };
        tree.add(root, "")?;
        Ok(tree)
    }

    fn add(&mut self, root: &Path, folder: &str) -> Result<()> {
        let entries = std::fs::read_dir(root.join(folder)).with_context(|| format!("read {folder}"))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("read {folder}"))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            if name == "target" || NOT_OURS.contains(&path.as_str()) {
                continue;
            }
            let kind = entry.file_type().with_context(|| format!("look at {path}"))?;
            if kind.is_dir() {
                self.others.push(path.clone());
                self.add(root, &path)?;
            } else if kind.is_file() {
                // A file that vanishes while we read is somebody's temporary one.
                match std::fs::read(entry.path()).map(String::from_utf8) {
                    Ok(Ok(text)) => drop(self.texts.insert(path, text)),
                    _ => self.others.push(path),
                }
            }
        }
        Ok(())
    }

    fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.texts.contains_key(path) || self.others.iter().any(|other| other == path)
    }

    /// The texts whose path ends so.
    fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .iter()
            .filter(move |(path, _)| path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// Where somebody's checkout lies is nobody else's business, and wrong everywhere else.
fn machine_paths(tree: &Tree) -> Vec<String> {
    let refused = ["work", "root"].map(|folder| format!("/{folder}/"));
    let mut findings = Vec::new();
    for (path, text) in &tree.texts {
        for (number, line) in (1..).zip(text.lines()) {
            // `nf/work/…` would be a path of ours: only an absolute path is a machine's.
            let is_absolute = |found: usize| {
                !line[..found].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}'))
            };
            if refused.iter().any(|refused| line.match_indices(refused).any(|(at, _)| is_absolute(at))) {
                findings.push(format!("{path}:{number}: a path of one machine"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let texts = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Tree { texts, others: Vec::new() }
    }

    #[test]
    fn the_tree_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a member");
        let findings = findings(&Tree::read(root).unwrap());
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn what_is_untidy_is_found() {
        let machine = format!("// see {}work/notes", '/');
        let cases: &[(&str, &str, &str)] = &[
            ("nf/x/src/lib.rs", "fn a() {}\n", "begins without"),
            (
                "nf/x/src/lib.rs",
                "//! A.\nstruct S { m: HashMap<u8, u8> }\nfn a(s: S) { s.m.iter(); }\n",
                "order",
            ),
            ("nf/x/src/lib.rs", "//! A.\n#[allow(dead_code)]\n", "expect"),
            ("nf/x/src/lib.rs", "//! A.\n#[expect(dead_code)]\n", "reason"),
            ("nf/x/src/lib.rs", "//! A.\nEvent::Alarm { cause: \"made_up\" }\n", "made_up"),
            ("a.md", "see [there](b.md)\n", "b.md"),
            ("a.md", "see `nf/x/src/gone.rs`\n", "gone.rs"),
            ("a.md", "held by `a.rs::a_test`\n", "a.rs"),
            (
                "docs/SPECIFICATION.md",
                "| what | number | held by |\n|---|---|---|\n| it works | 1 | hope |\n",
                "pending",
            ),
            ("a.md", &machine, "one machine"),
        ];
        for (path, text, word) in cases {
            let found = findings(&tree(&[(path, text)]));
            assert!(found.iter().any(|finding| finding.contains(word)), "{word} not in {found:?} for {text}");
        }
        let good = [
            ("nf/x/src/lib.rs", "//! A.\n#[test]\nfn it_works() {}\n"),
            (
                "docs/SPECIFICATION.md",
                "| what | n | by |\n|---|---|---|\n| it works | 1 | `nf/x/src/lib.rs::it_works` |\n",
            ),
        ];
        assert_eq!(findings(&tree(&good)), Vec::<String>::new());
    }
}
