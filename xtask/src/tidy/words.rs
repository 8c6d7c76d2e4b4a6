//! The constant words of events (`cause`, procedure names, outcomes): what an operator may read in a counter or in a log
//! must be explained in `docs/reference/events.md`.

use std::collections::BTreeMap;

use super::Tree;

const REFERENCE: &str = "docs/reference/events.md";
/// Who counts by words.
const FUNCTIONS: [&str; 4] = ["nf/pcscf/src/", "nf/icscf/src/", "nf/scscf/src/", "nf/hss/src/"];
/// Whose causes a function passes on: words with an underscore alone.
const DIGEST: &str = "nf/sip/src/digest/mod.rs";
/// Files with words of other kinds: keys of the store, states of a reginfo document, foreign field names.
const OTHER_WORDS: [&str; 8] = [
    "/import/",
    "/provisioning/",
    "schema.rs",
    "database.rs",
    "sequence.rs",
    "command.rs",
    "reginfo.rs",
    "contact.rs",
];
/// Before a word, or on its line, these say that it is one to explain.
const MARKS: [&str; 9] = [
    "cause: \"",
    "outcome: \"",
    "drop_message(flow, \"",
    "self.event(\"",
    "refuse(",
    "refusal(",
    "Refusal::new(",
    "self.procedure(",
    "report_words(",
];

/// Every word that the functions use stands in the reference, in back quotes.
pub fn words_are_explained(tree: &Tree) -> Vec<String> {
    let reference = tree.texts.get(REFERENCE).map_or("", String::as_str);
    words(tree)
        .into_iter()
        .filter(|(word, _)| !reference.contains(&format!("`{word}`")))
        .map(|(word, place)| format!("{place}: the word {word} is not explained in {REFERENCE}"))
        .collect()
}

/// Words of the network functions and where each stands first.
fn words(tree: &Tree) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    let is_function =
        |path: &str| path.starts_with("nf/") && path.contains("/src/") && !path.contains("test");
    for (path, text) in tree.ending(".rs").filter(|(path, _)| is_function(path)) {
        let counts = FUNCTIONS.iter().any(|function| path.starts_with(function))
            && !OTHER_WORDS.iter().any(|other| path.contains(other));
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for (number, line) in (1..).zip(code.lines()) {
            let is_comment = line.trim_start().starts_with("//") || line.contains("serde");
            if is_comment || !line.contains('"') {
                continue;
            }
            let is_marked = MARKS.iter().any(|mark| line.contains(mark));
            for word in literals(line).filter(|word| is_word(word)) {
                let is_table = counts && line.contains(&format!("=> \"{word}\""))
                    || (counts || path == DIGEST) && word.contains('_');
                if is_table || is_marked {
                    words.entry(word.to_owned()).or_insert_with(|| format!("{path}:{number}"));
                }
            }
        }
    }
    words
}

fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

/// A word of our own: lower case, perhaps with underscores.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
