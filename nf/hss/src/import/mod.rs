//! Subscribers from files: CSV, YAML, and what Open5GS and PyHSS export. Text in, an iterator of records out.
//!
//! Each item is a record that the HSS would take, or the line, the field and the reason why not; a bad record does not
//! end the iteration unless the rest of the file cannot be told apart any more. Nothing is collected: 10⁵ rows need
//! the memory of one, and [`Claims`] 16 bytes for each identity. Errors never repeat a key or a password.
//!
//! # CSV
//! The first line names the columns, in any order; upper case, `_`, `-` and blanks do not matter. The separator is a comma,
//! a semicolon or a tab, whichever the header has. Empty cells are not given. Lines that begin with `#` are skipped.
//!
//! | column | meaning |
//! |---|---|
//! | `privateIdentity` | IMPI; needed |
//! | `publicIdentities` | IMPUs, separated by blanks or a vertical bar; one or more |
//! | `barredIdentities` | IMPUs that serve for registration only, likewise |
//! | `k`, `op` or `opc`, `amf`, `sqn` | AKA; `amf` is 8000 when not given, `sqn` is decimal |
//! | `password`, or `ha1` and `ha1Sha256`; `realm`, `algorithm` | digest |
//!
//! # YAML
//! A list of [`Record`]s, in block style (`- privateIdentity: …`) or as JSON. Each item stands alone: anchors do not reach
//! from one to another.
//!
//! # Open5GS, PyHSS
//! `mongoexport --collection subscribers` (one document a line, or `--jsonArray`); and an object of PyHSS's tables:
//! `{"AUC": […], "SUBSCRIBER": […], "IMS_SUBSCRIBER": […]}`. Both know IMSI and MSISDN only; identities are derived from
//! them as TS 23.003 §13.3 and §13.4B say, so [`Options`] must tell the home domain or the length of the MNC.

mod claims;
mod csv;
mod imsi;
mod json;
mod open5gs;
mod pyhss;
mod yaml;

pub use claims::Claims;

use crate::provisioning::{FieldError, Record};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the format of its name")]
pub enum Format {
    Csv,
    Yaml,
    Open5gs,
    PyHss,
}

impl Format {
    /// The format that `text` looks like.
    pub fn guess(text: &str) -> Format {
        let head: String = text.chars().take(16_384).collect();
        let is_json = head.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '[']);
        let has = |word: &str| head.contains(&format!("\"{word}\""));
        match is_json {
            true if has("security") && has("imsi") => Format::Open5gs,
            true if has("privateIdentity") => Format::Yaml,
            true => Format::PyHss,
            false if head.lines().any(|line| line.trim_start().starts_with("- ")) => Format::Yaml,
            false => Format::Csv,
        }
    }
}

/// What a file cannot say itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The home domain, for identities derived from an IMSI. Without it, it is derived from the IMSI as well.
    pub home_domain: Option<String>,
    /// How many digits the MNC in an IMSI has: 2 or 3.
    pub mnc_digits: Option<u8>,
}

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// The line, from 1.
    pub line: usize,
    /// The field or column; empty when it is the whole.
    pub field: String,
    /// Why, and what to do.
    pub reason: String,
    /// Is what follows in the file lost with it, and not only this row? Then no row can be left out instead.
    pub is_of_file: bool,
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.reason),
            field => write!(f, "line {}, {field}: {}", self.line, self.reason),
        }
    }
}

impl std::error::Error for ImportError {}

impl ImportError {
    fn new(line: usize, field: impl Into<String>, reason: impl Into<String>) -> Self {
        ImportError { line, field: field.into(), reason: reason.into(), is_of_file: false }
    }

    fn of_file(self) -> Self {
        ImportError { is_of_file: true, ..self }
    }

    fn of_field(line: usize, error: FieldError) -> Self {
        ImportError::new(line, error.field, error.reason)
    }
}

/// A row that is right by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line, from 1.
    pub line: usize,
    /// What it says.
    pub record: Record,
    /// Its public identities in their canonical form, in the record's order.
    pub public_identities: Vec<String>,
    format: Format,
}

impl Row {
    fn judged(line: usize, record: Record, format: Format, home_domain: &str) -> Result<Row, ImportError> {
        match record.judge(home_domain) {
            Ok(judged) => {
                let public_identities = judged.public_identities.into_iter().map(|identity| identity.uri);
                Ok(Row { line, public_identities: public_identities.collect(), record, format })
            }
            Err(error) => Err(mistake(line, format, error)),
        }
    }

    /// Judges the row by the store: `owners` has the private identity that each of its public identities belongs to.
    ///
    /// # Errors
    /// When one belongs to another subscriber.
    pub fn check_owners(&self, owners: &[Option<String>]) -> Result<(), ImportError> {
        let own = self.record.private_identity.trim();
        let is_strange = |owner: &Option<String>| owner.as_ref().is_some_and(|owner| owner != own);
        let Some(position) = owners.iter().position(is_strange) else { return Ok(()) };
        let owner = owners[position].as_deref().unwrap_or_default();
        let reason = format!(
            "{} belongs to the subscriber {owner}; take it away there first",
            self.public_identities[position]
        );
        Err(self.mistake_of_identity(position, reason))
    }

    fn mistake_of_identity(&self, position: usize, reason: String) -> ImportError {
        let field = format!("publicIdentities[{position}].uri");
        mistake(self.line, self.format, FieldError { field, reason })
    }
}

fn mistake(line: usize, format: Format, error: FieldError) -> ImportError {
    match format {
        Format::Csv => ImportError::of_field(line, csv::as_column(error)),
        Format::Yaml | Format::Open5gs | Format::PyHss => ImportError::of_field(line, error),
    }
}

/// The records of a file, in its order.
pub fn read<'a>(
    format: Format,
    text: &'a str,
    options: &'a Options,
) -> impl Iterator<Item = Result<Record, ImportError>> + 'a {
    rows(format, text, options).map(|row| row.map(|row| row.record))
}

/// The records of a file, in its order, with what [`Claims`] and the store judge them by.
pub fn rows<'a>(
    format: Format,
    text: &'a str,
    options: &'a Options,
) -> Box<dyn Iterator<Item = Result<Row, ImportError>> + 'a> {
    // Editors on some systems put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let found: Box<dyn Iterator<Item = Result<(usize, Record), ImportError>> + 'a> = match format {
        Format::Csv => Box::new(csv::Rows::new(text)),
        Format::Yaml => Box::new(yaml::items(text)),
        Format::Open5gs => Box::new(open5gs::subscribers(text, options)),
        Format::PyHss => Box::new(pyhss::subscribers(text, options)),
    };
    // Only the realm's form depends on the domain, and an own one is always well formed.
    let home_domain = options.home_domain.as_deref().unwrap_or("home.invalid");
    Box::new(found.map(move |found| {
        let (line, record) = found?;
        Row::judged(line, record, format, home_domain)
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "465B5CE8B199B49FAA5F0A2EE238A6BC";

    #[test]
    fn a_hundred_thousand_rows_are_read_one_after_the_other() {
        let mut text = String::from("privateIdentity,publicIdentities,k,opc\n");
        for number in 0..100_000 {
            text.push_str(&format!("u{number}@x,sip:u{number}@x,{KEY},{KEY}\n"));
        }
        let options = Options::default();
        assert_eq!(read(Format::Csv, &text, &options).filter(Result::is_ok).count(), 100_000);
    }

    #[test]
    fn the_format_is_seen_from_the_text() {
        let check = |text, format| assert_eq!(Format::guess(text), format, "{text}");
        check("impi,impu,k,opc\n", Format::Csv);
        check("# ours\n- privateIdentity: a@x\n", Format::Yaml);
        check(" [{\"privateIdentity\": \"a\"}]", Format::Yaml);
        check("{\"imsi\": \"1\", \"security\": {}}", Format::Open5gs);
        check("{\"AUC\": []}", Format::PyHss);
    }

    #[test]
    fn what_loses_the_rest_of_a_file_is_told_from_a_row_that_can_be_left_out() {
        let check = |format, text: &str, expected: &[bool]| {
            let options = Options { home_domain: Some("ims.example".into()), mnc_digits: None };
            let errors = read(format, text, &options).filter_map(Result::err);
            assert_eq!(errors.map(|error| error.is_of_file).collect::<Vec<_>>(), expected, "{text}");
        };
        check(Format::Csv, "impi,colour\na@x,red\n", &[true]);
        check(Format::Csv, "impi,impu,password\na@x,sip:a@x\na@x,sip:a@x,\"open\n", &[false, true]);
        check(Format::Csv, "", &[true]);
        check(Format::Yaml, "privateIdentity: a\n", &[true]);
        check(Format::Yaml, "- privateIdentity: a\n- {}\n", &[false, false]);
        check(Format::Yaml, "[{", &[true]);
        check(Format::Open5gs, "{\"imsi\": \"1\"}\n{oops\n", &[false, true]);
        check(Format::PyHss, "{}", &[true]);
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => prop::sample::select(vec![
                "- ", "\n", "  ", ",", ";", "\"", "{", "}", "[", "]", ":", "#", "---", "imsi", "\"imsi\":", "\"001010000000001\"",
                "\"AUC\":", "privateIdentity", "publicIdentities", "k", "opc", KEY, "a@x", "sip:a@x", "\u{feff}", "null", "é",
            ]).prop_map(str::to_owned),
            1 => ".{0,8}",
        ]
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic_or_run_for_ever(pieces in prop::collection::vec(piece(), 0..60)) {
            let text = pieces.concat();
            let options = Options { home_domain: Some("ims.example".into()), mnc_digits: None };
            for format in [Format::Csv, Format::Yaml, Format::Open5gs, Format::PyHss, Format::guess(&text)] {
                let count = read(format, &text, &options).count();
                prop_assert!(count <= text.len() + 1, "{count} items from {} bytes", text.len());
            }
        }
    }
}
