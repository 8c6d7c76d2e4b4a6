//! Log files of supervised processes: bounded, and read for the last words of one that ended.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A log file larger than this is moved aside; one older file is kept. Smaller, and the cause of a failure under load
/// is gone before anybody looks; larger, and it fills small disks.
pub const LOG_BYTES_MAX: u64 = 16 << 20;

/// The longest last words that are kept.
const WORDS_CHARACTERS_MAX: usize = 400;

/// Moves a log file aside that grew too large. The process goes on writing to the same, now empty file: it appends.
pub(crate) fn rotate(path: &Path) {
    let is_large = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX);
    if !is_large {
        return;
    }
    let mut old = path.as_os_str().to_owned();
    old.push(".1");
    let moved =
        std::fs::copy(path, old).and_then(|_| std::fs::OpenOptions::new().write(true).open(path)?.set_len(0));
    if let Err(error) = moved {
        tracing::warn!(%error, path = %path.display(), "a log file could not be moved aside");
    }
}

/// What a process said last, from `offset` on: the last line that speaks of an error, else the last line.
pub fn last_words(path: &Path, offset: u64) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    // After a rotation the offset lies behind the end.
    let begin = if offset > length { 0 } else { offset };
    file.seek(SeekFrom::Start(begin.max(length.saturating_sub(64 << 10)))).ok()?;
    let mut bytes = Vec::new();
    file.take(64 << 10).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
    let speaks_of_error = |line: &&String| {
        let line = line.to_ascii_lowercase();
        line.contains("error") || line.contains("panicked") || line.contains("cannot")
    };
    let words = lines.iter().rev().find(speaks_of_error).or(lines.last())?;
    Some(words.chars().take(WORDS_CHARACTERS_MAX).collect())
}

/// A log line for people: without terminal colours; of a JSON line the message alone.
fn plain(line: &str) -> String {
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(line) {
        let inner = fields.get("fields").and_then(|inner| inner.as_object()).unwrap_or(&fields);
        let word = |key: &str| inner.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let words: Vec<String> = ["message", "error", "reason"].into_iter().filter_map(word).collect();
        return words.join(": ");
    }
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, offset: u64, expected: Option<&str>) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("it is writable");
        assert_eq!(last_words(file.path(), offset).as_deref(), expected);
    }

    #[test]
    fn the_last_line_about_an_error_is_the_last_word() {
        check("starting\nError: address in use\n  by pid 7\n", 0, Some("Error: address in use"));
        check("starting\nready\n", 0, Some("ready"));
        check("", 0, None);
    }

    #[test]
    fn words_of_an_earlier_process_do_not_count() {
        check("Error: old\nfresh\n", 11, Some("fresh"));
        check("short\n", 4000, Some("short"));
    }

    #[test]
    fn colours_and_json_are_taken_off() {
        check("\u{1b}[31mERROR\u{1b}[0m cannot bind\n", 0, Some("ERROR cannot bind"));
        check(
            r#"{"level":"ERROR","fields":{"message":"cannot bind","error":"in use"}}"#,
            0,
            Some("cannot bind: in use"),
        );
    }
}
