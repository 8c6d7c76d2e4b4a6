//! CSV as RFC 4180 has it, with a header line. See [`super`] for the columns.

use super::ImportError;
use crate::provisioning::{
    Aka, Algorithm, Digest, FieldError, PublicIdentity, Record, SecretText, default_amf,
};

/// The columns, as the documentation writes them.
const COLUMNS: [&str; 13] = [
    "privateIdentity",
    "publicIdentities",
    "barredIdentities",
    "k",
    "op",
    "opc",
    "amf",
    "sqn",
    "password",
    "ha1",
    "ha1Sha256",
    "realm",
    "algorithm",
];

/// The records of a CSV text.
pub(super) struct Rows<'a> {
    rest: &'a str,
    line: usize,
    separator: u8,
    /// What each cell of a row is; empty until the header was read.
    columns: Vec<&'static str>,
    is_ended: bool,
}

impl<'a> Rows<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Rows { rest: text, line: 1, separator: b',', columns: Vec::new(), is_ended: false }
    }

    /// The cells of the next line that has any, and the number of its first line.
    fn next_cells(&mut self) -> Option<Result<(usize, Vec<String>), ImportError>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (line, end) = (self.line, self.rest.find('\n').map_or(self.rest.len(), |end| end + 1));
            let first = self.rest[..end].trim();
            if !first.is_empty() && !first.starts_with('#') {
                return Some(self.take_cells().map(|cells| (line, cells)));
            }
            self.rest = &self.rest[end..];
            self.line += 1;
        }
    }

    fn take_cells(&mut self) -> Result<Vec<String>, ImportError> {
        let start = self.line;
        let bytes = self.rest.as_bytes();
        let mut cells = Vec::new();
        let mut cell = String::new();
        let mut is_quoted = false;
        let mut position = 0;
        while let Some(&byte) = bytes.get(position) {
            match byte {
                b'"' if is_quoted && bytes.get(position + 1) == Some(&b'"') => {
                    cell.push('"');
                    position += 1;
                }
                b'"' if is_quoted => is_quoted = false,
                b'"' if cell.trim().is_empty() => {
                    cell.clear();
                    is_quoted = true;
                }
                b'\n' if !is_quoted => break,
                byte if byte == self.separator && !is_quoted => cells.push(std::mem::take(&mut cell)),
                _ => {
                    self.line += usize::from(byte == b'\n');
                    let character =
                        self.rest[position..].chars().next().expect("the position is at a character");
                    cell.push(character);
                    position += character.len_utf8() - 1;
                }
            }
            position += 1;
        }
        cells.push(cell);
        self.rest = self.rest.get(position + 1..).unwrap_or("");
        self.line += 1;
        if is_quoted {
            // It has swallowed everything up to the end.
            let reason = "a quotation mark is opened and never closed";
            return Err(ImportError::new(start, "", reason).of_file());
        }
        Ok(cells.into_iter().map(|cell| cell.trim().to_owned()).collect())
    }

    fn read_header(&mut self) -> Result<(), ImportError> {
        let header =
            self.rest.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or("");
        self.separator =
            [b',', b';', b'\t'].into_iter().find(|byte| header.contains(char::from(*byte))).unwrap_or(b',');
        let Some(cells) = self.next_cells() else {
            return Err(ImportError::new(1, "", "the file is empty; its first line must name the columns"));
        };
        let (line, cells) = cells?;
        for cell in cells {
            let Some(column) = known_column(&cell) else {
                let reason = format!("there is no such column; the columns are {}", COLUMNS.join(", "));
                return Err(ImportError::new(line, cell, reason));
            };
            if self.columns.contains(&column) {
                return Err(ImportError::new(line, cell, "the column is named twice"));
            }
            self.columns.push(column);
        }
        for needed in ["privateIdentity", "publicIdentities"] {
            if !self.columns.contains(&needed) {
                return Err(ImportError::new(line, needed, "the column is missing in the first line"));
            }
        }
        Ok(())
    }

    fn record(&self, line: usize, cells: Vec<String>) -> Result<(usize, Record), ImportError> {
        if cells.len() != self.columns.len() {
            let reason = format!("{} columns given, the first line has {}", cells.len(), self.columns.len());
            return Err(ImportError::new(line, "", reason));
        }
        let value = |column: &str| {
            let position = self.columns.iter().position(|known| *known == column)?;
            Some(cells[position].as_str()).filter(|cell| !cell.is_empty())
        };
        let secret = |column| value(column).map(SecretText::new);
        let identities = |column, barred| {
            value(column)
                .unwrap_or("")
                .split(|c: char| c.is_whitespace() || c == '|')
                .filter(|uri| !uri.is_empty())
                .map(move |uri| PublicIdentity { barred, ..PublicIdentity::from(uri) })
        };
        let sqn = value("sqn").map(|sqn| sqn.parse()).transpose();
        let sqn = sqn.map_err(|_| ImportError::new(line, "sqn", "it is not a decimal number"))?;
        let algorithm = match value("algorithm").map(str::to_ascii_uppercase).as_deref() {
            None => None,
            Some("MD5") => Some(Algorithm::Md5),
            Some("SHA-256") => Some(Algorithm::Sha256),
            Some(_) => return Err(ImportError::new(line, "algorithm", "it must be MD5 or SHA-256")),
        };
        let has_aka = ["k", "op", "opc"].iter().any(|column| value(column).is_some());
        let has_digest = ["password", "ha1", "ha1Sha256"].iter().any(|column| value(column).is_some());
        let record = Record {
            private_identity: value("privateIdentity").unwrap_or("").to_owned(),
            public_identities: identities("publicIdentities", false)
                .chain(identities("barredIdentities", true))
                .collect(),
            aka: has_aka.then(|| Aka {
                k: secret("k").unwrap_or_else(|| SecretText::new("")),
                op: secret("op"),
                opc: secret("opc"),
                amf: value("amf").map_or_else(default_amf, str::to_owned),
                sqn,
            }),
            digest: has_digest.then(|| Digest {
                password: secret("password"),
                ha1: secret("ha1"),
                ha1_sha256: secret("ha1Sha256"),
                realm: value("realm").map(str::to_owned),
                algorithm,
            }),
            unregistered_services: false,
            mandatory_capabilities: Vec::new(),
            optional_capabilities: Vec::new(),
        };
        Ok((line, record))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(usize, Record), ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_ended {
            return None;
        }
        if self.columns.is_empty()
            && let Err(error) = self.read_header()
        {
            self.is_ended = true;
            return Some(Err(error.of_file()));
        }
        let row = self.next_cells()?;
        Some(row.and_then(|(line, cells)| self.record(line, cells)))
    }
}

fn known_column(cell: &str) -> Option<&'static str> {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    let name = match plain(cell).as_str() {
        "impi" => "privateIdentity".into(),
        "impu" | "publicidentity" => "publicIdentities".into(),
        "ki" => "k".into(),
        other => other.to_owned(),
    };
    COLUMNS.into_iter().find(|known| plain(known) == plain(&name))
}

/// The column of a field of [`Record`].
pub(super) fn as_column(mut error: FieldError) -> FieldError {
    let name = error.field.trim_start_matches("aka.").trim_start_matches("digest.");
    error.field = name.split('[').next().unwrap_or(name).to_owned();
    if error.field == "aka" {
        error.field = "k".into();
        error.reason = "no credential given; fill in k and opc (or op), or password, or ha1".into();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Options, read};
    use super::*;

    const KEY: &str = "465B5CE8B199B49FAA5F0A2EE238A6BC";

    fn all(text: &str) -> Vec<Result<Record, String>> {
        let options = Options::default();
        read(Format::Csv, text, &options).map(|found| found.map_err(|error| error.to_string())).collect()
    }

    #[track_caller]
    fn check_error(text: &str, error: &str) {
        let found: Vec<_> = all(text).into_iter().filter_map(Result::err).collect();
        assert_eq!(found, [error]);
    }

    #[test]
    fn a_table_with_quotes_comments_and_both_kinds_of_credentials_is_read() {
        let text = format!(
            "# made by hand\r\nIMPI;public_identities;Barred-Identities;k;OPc;password\r\n\r\n\
             a@x;sip:a@x|tel:+49;sip:secret@x;{KEY};{KEY};\r\n\
             \"b@x\";\"sip:b@x;user=phone\";;;;\"p\"\"w;\u{fc}\"\r\n"
        );
        let records: Vec<_> = all(&text).into_iter().map(Result::unwrap).collect();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].public_identities.len(), 3);
        assert!(records[0].public_identities[2].barred);
        assert_eq!(records[0].aka.as_ref().unwrap().amf, "8000");
        assert_eq!(records[1].public_identities[0].uri, "sip:b@x;user=phone");
        assert_eq!(records[1].digest.as_ref().unwrap().password.as_ref().unwrap().reveal(), "p\"w;\u{fc}");
        assert!(records[1].aka.is_none());
    }

    #[test]
    fn a_mistake_is_named_with_line_column_and_remedy_and_the_other_lines_are_read() {
        let text = format!(
            "privateIdentity,publicIdentities,k,opc\na@x,sip:a@x,{},{KEY}\nb@x,sip:b@x,{KEY},{KEY}\nc@x,sip:c@x\nd@x,sip:d@x,,\n",
            &KEY[2..]
        );
        let found = all(&text);
        assert_eq!(found[0], Err("line 2, k: 30 hex digits given, 32 needed".into()));
        assert!(found[1].is_ok());
        assert_eq!(found[2], Err("line 4: 2 columns given, the first line has 4".into()));
        assert_eq!(
            found[3],
            Err("line 5, k: no credential given; fill in k and opc (or op), or password, or ha1".into())
        );
    }

    #[test]
    fn a_wrong_header_or_an_open_quotation_mark_says_so() {
        check_error("", "line 1: the file is empty; its first line must name the columns");
        check_error("impi,k\n", "line 1, publicIdentities: the column is missing in the first line");
        check_error("impi,ki,k\n", "line 1, k: the column is named twice");
        check_error(
            "impi,impu,password\na@x,sip:a@x,\"open\n\n",
            "line 2: a quotation mark is opened and never closed",
        );
        assert!(
            all("impi,colour\n")[0]
                .as_ref()
                .unwrap_err()
                .starts_with("line 1, colour: there is no such column")
        );
    }
}
