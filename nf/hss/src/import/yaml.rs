//! YAML: a list of records. Block style is cut at its dashes and read item by item, so that an error has its line and
//! 10⁵ items fit; anything else is read as one document.

use serde_saphyr::Spanned;

use super::ImportError;
use crate::provisioning::Record;

type Item = Result<(usize, Record), ImportError>;

pub(super) fn items(text: &str) -> Box<dyn Iterator<Item = Item> + '_> {
    let is_significant = |line: &&str| !line.trim().is_empty() && !line.starts_with('#') && *line != "---";
    match text.lines().map(str::trim_end).find(is_significant) {
        None => Box::new(std::iter::once(Err(ImportError::new(
            1,
            "",
            "the file is empty; a list of subscribers is needed",
        )
        .of_file()))),
        Some(first) if is_dash(first.trim_start()) => {
            Box::new(Blocks { text, position: 0, line: 1, indent: first.len() - first.trim_start().len() })
        }
        Some(first) if first.trim_start().starts_with('[') => whole(text),
        Some(_) => {
            let line = text.lines().position(|line| is_significant(&line.trim_end())).unwrap_or(0) + 1;
            let reason = "a list of subscribers is needed: begin each one with `- privateIdentity: ...`";
            Box::new(std::iter::once(Err(ImportError::new(line, "", reason).of_file())))
        }
    }
}

fn is_dash(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

/// The list as one document, in JSON or flow style.
fn whole(text: &str) -> Box<dyn Iterator<Item = Item>> {
    match parse(text, 1) {
        Ok(records) => Box::new(records.into_iter().map(Ok)),
        Err(error) => Box::new(std::iter::once(Err(error.of_file()))),
    }
}

/// Cuts at the dashes that stand as far right as the first one.
struct Blocks<'a> {
    text: &'a str,
    position: usize,
    line: usize,
    indent: usize,
}

impl Blocks<'_> {
    fn begins_item(&self, line: &str) -> bool {
        let body = line.trim_start_matches(' ');
        line.len() - body.len() == self.indent && is_dash(body.trim_end())
    }
}

impl Iterator for Blocks<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let rest = &self.text[self.position..];
        let mut end = 0;
        let mut lines = 0;
        let mut is_begun = false;
        for line in rest.split_inclusive('\n') {
            if self.begins_item(line) {
                if is_begun {
                    break;
                }
                is_begun = true;
            }
            end += line.len();
            lines += 1;
        }
        let (block, line) = (&rest[..end], self.line);
        self.position += end;
        self.line += lines;
        if !is_begun {
            return None;
        }
        let skipped = block.split_inclusive('\n').take_while(|line| !self.begins_item(line)).count();
        Some(parse(block, line).and_then(|records| match <[_; 1]>::try_from(records) {
            Ok([(_, record)]) => Ok((line + skipped, record)),
            Err(_) => Err(ImportError::new(line + skipped, "", "one subscriber is needed for each dash")),
        }))
    }
}

/// The records of a list, each with its line.
fn parse(text: &str, first_line: usize) -> Result<Vec<(usize, Record)>, ImportError> {
    // No snippet of the source in the message: it would show keys.
    let options = serde_saphyr::options! { with_snippet: false, budget: None };
    let in_file = |line: u64| first_line + line.max(1) as usize - 1;
    let found = serde_saphyr::from_str_with_options::<Vec<Spanned<Record>>>(text, options);
    match found {
        Ok(found) => {
            Ok(found.into_iter().map(|found| (in_file(found.defined.line()), found.value)).collect())
        }
        Err(error) => {
            let line = error.location().map_or(1, |location| location.line());
            Err(ImportError::new(in_file(line), "", without_position(&error.to_string())))
        }
    }
}

/// The position stands in `line` already, counted from the file's beginning and not from the item's.
fn without_position(message: &str) -> &str {
    let message = match message.split_once(": ") {
        Some((position, reason)) if position.starts_with("error: line") => reason,
        _ => message,
    };
    message.rsplit_once(" at line ").map_or(message, |(reason, _)| reason)
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Options, read};
    use super::*;

    fn all(text: &str) -> Vec<Result<Record, String>> {
        let options = Options::default();
        read(Format::Yaml, text, &options).map(|found| found.map_err(|error| error.to_string())).collect()
    }

    const GOOD: &str = "- privateIdentity: a@x
  publicIdentities:
  - uri: sip:a@x
  - {uri: tel:+49, barred: true}
  aka:
    k: 00112233445566778899001122334455
    opc: 465B5CE8B199B49FAA5F0A2EE238A6BC
";

    #[test]
    fn a_list_in_block_style_and_one_in_json_are_read() {
        let found = all(&format!("# ours\n---\n{GOOD}\n{}", GOOD.replace("a@x", "b@x")));
        assert_eq!(found.len(), 2, "{found:?}");
        let record = found[0].as_ref().unwrap();
        assert_eq!(record.aka.as_ref().unwrap().k.reveal(), "00112233445566778899001122334455");
        let json = format!("[{}]", serde_json::to_string(record).unwrap());
        assert_eq!(all(&json), [Ok(record.clone())]);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_the_other_items_are_read() {
        let bad_key = GOOD.replace("00112233445566778899001122334455", "\"0011\"");
        let unknown = GOOD.replace("aka:", "akka:");
        let found = all(&format!("{bad_key}{GOOD}{unknown}"));
        assert_eq!(found[0], Err("line 1, aka.k: 4 hex digits given, 32 needed".into()));
        assert!(found[1].is_ok());
        let message = found[2].as_ref().unwrap_err();
        assert!(message.starts_with("line 19: unknown field `akka`"), "{message}");
        assert_eq!(message.matches("line").count(), 1, "one position, counted in the file: {message}");
        assert!(!message.contains("465B"), "{message}");
    }

    #[test]
    fn a_mistake_in_a_list_in_json_is_named_with_the_line_of_its_item() {
        let item = |k: &str| {
            format!(
                "{{\"privateIdentity\": \"a@x\",\n  \"publicIdentities\": [{{\"uri\": \"sip:a@x\"}}],\n  \
                 \"aka\": {{\"k\": \"{k}\", \"opc\": \"465B5CE8B199B49FAA5F0A2EE238A6BC\"}}}}"
            )
        };
        let text = format!("[\n{},\n{}\n]\n", item("00112233445566778899001122334455"), item("0011"));
        let found = all(&text);
        assert!(found[0].is_ok());
        assert_eq!(found[1], Err("line 5, aka.k: 4 hex digits given, 32 needed".into()));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(all(""), [Err("line 1: the file is empty; a list of subscribers is needed".into())]);
        assert_eq!(
            all("# x\nprivateIdentity: a\n"),
            [Err("line 2: a list of subscribers is needed: begin each one with `- privateIdentity: ...`"
                .into())]
        );
    }
}
