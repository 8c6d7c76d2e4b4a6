//! Which identities the rows of one file have taken, so that no two rows say something about the same subscriber.

use std::collections::BTreeMap;

use sha2::Digest as _;

use super::{ImportError, Row, mistake};
use crate::provisioning::FieldError;

/// 128 bits of SHA-256 of an identity: all alike long, and nobody finds two that collide.
type Key = [u8; 16];

/// The identities of the rows so far, each with the line of its row. 10⁵ rows of two identities need some 10 MB.
#[derive(Debug, Default)]
pub struct Claims {
    private_identities: BTreeMap<Key, usize>,
    public_identities: BTreeMap<Key, usize>,
}

impl Claims {
    /// Takes the identities of `row`: all or, when one is taken already, none.
    ///
    /// # Errors
    /// With the line of the row that has the identity.
    pub fn take(&mut self, row: &Row) -> Result<(), ImportError> {
        let private_identity = row.record.private_identity.trim();
        if let Some(line) = self.private_identities.get(&key(private_identity)) {
            let reason = format!("{private_identity} is in line {line} already; give it once");
            let field = "privateIdentity".to_owned();
            return Err(mistake(row.line, row.format, FieldError { field, reason }));
        }
        for (position, uri) in row.public_identities.iter().enumerate() {
            if let Some(line) = self.public_identities.get(&key(uri)) {
                let reason = format!("{uri} is in line {line} already; give it to one of them");
                return Err(row.mistake_of_identity(position, reason));
            }
        }
        self.private_identities.insert(key(private_identity), row.line);
        self.public_identities.extend(row.public_identities.iter().map(|uri| (key(uri), row.line)));
        Ok(())
    }
}

fn key(identity: &str) -> Key {
    let digest: [u8; 32] = sha2::Sha256::digest(identity.as_bytes()).into();
    *digest.first_chunk().expect("32 bytes have a first 16")
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Options, rows};
    use super::*;

    #[track_caller]
    fn check(format: Format, text: &str, expected: &[&str]) {
        let mut claims = Claims::default();
        let options = Options::default();
        let found: Vec<String> = rows(format, text, &options)
            .filter_map(|row| claims.take(&row.expect("each row is right by itself")).err())
            .map(|error| error.to_string())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_identity_in_two_rows_is_named_with_both_lines() {
        check(
            Format::Csv,
            "impi,impu,barredIdentities,password\na@x,sip:a@x,,p\nb@x,sip:b@x,sip:shared@x,p\na@x,sip:c@x,,p\n\
             # the same one, written otherwise\nd@x,sip:d@x,sip:shared@X;user=phone,p\n",
            &[
                "line 4, privateIdentity: a@x is in line 2 already; give it once",
                "line 6, publicIdentities: sip:shared@x is in line 3 already; give it to one of them",
            ],
        );
        let item = "- privateIdentity: a@x\n  publicIdentities: [{uri: sip:a@x}]\n  digest: {password: p}\n";
        check(
            Format::Yaml,
            &format!("{item}{}", item.replacen("a@x", "b@x", 1)),
            &["line 4, publicIdentities[0].uri: sip:a@x is in line 1 already; give it to one of them"],
        );
    }

    #[test]
    fn a_row_that_is_left_out_takes_nothing() {
        check(
            Format::Csv,
            "impi,impu,password\na@x,sip:a@x,p\nb@x,sip:b@x|sip:a@x,p\nb@x,sip:b@x,p\n",
            &["line 3, publicIdentities: sip:a@x is in line 2 already; give it to one of them"],
        );
    }

    #[test]
    fn an_identity_of_another_subscriber_is_named_with_its_line() {
        let options = Options::default();
        let text = "impi,impu,password\na@x,sip:a@x|tel:+49,p\n";
        let row = rows(Format::Csv, text, &options).next().expect("a row").expect("it is right by itself");
        let owned = |by: &str| row.check_owners(&[None, Some(by.into())]).map_err(|error| error.to_string());
        assert_eq!(owned("a@x"), Ok(()), "its own may be given again");
        assert_eq!(
            owned("b@x"),
            Err("line 2, publicIdentities: tel:+49 belongs to the subscriber b@x; take it away there first"
                .into())
        );
    }
}
