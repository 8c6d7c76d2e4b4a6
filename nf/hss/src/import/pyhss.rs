//! PyHSS: its tables as one JSON object, as its API lists them:
//! `{"AUC": [{"auc_id", "ki", "opc", "amf", "sqn", "imsi"}], "SUBSCRIBER": [{"imsi", "auc_id", "msisdn"}],
//! "IMS_SUBSCRIBER": [{"imsi", "msisdn", "msisdn_list"}]}`. Without IMS_SUBSCRIBER, SUBSCRIBER says who there is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::json::{Walk, scalar};
use super::open5gs::aka;
use super::{ImportError, Options, imsi};
use crate::provisioning::{FieldError, Record};

type Row = (usize, Value);

#[derive(Default)]
struct Tables {
    keys: Vec<Row>,
    subscribers: Vec<Row>,
    ims_subscribers: Vec<Row>,
}

pub(super) fn subscribers<'a>(
    text: &'a str,
    options: &'a Options,
) -> Box<dyn Iterator<Item = Result<(usize, Record), ImportError>> + 'a> {
    match read_tables(text) {
        Ok(tables) => records(tables, options),
        Err(error) => Box::new(std::iter::once(Err(error.of_file()))),
    }
}

fn read_tables(text: &str) -> Result<Tables, ImportError> {
    let mut walk = Walk::new(text);
    let mut tables = Tables::default();
    let need = |walk: &mut Walk<'_>, byte: u8| {
        let (_, line) = walk.peek();
        let reason = "an object of tables is needed: {\"AUC\": [...], \"SUBSCRIBER\": [...], \"IMS_SUBSCRIBER\": [...]}";
        if walk.take(byte) { Ok(()) } else { Err(ImportError::new(line, "", reason)) }
    };
    need(&mut walk, b'{')?;
    while !walk.take(b'}') {
        walk.take(b',');
        let (line, name) = walk.value()?;
        need(&mut walk, b':')?;
        let name = name.as_str().unwrap_or_default().to_ascii_lowercase();
        let table = match name.as_str() {
            "auc" => &mut tables.keys,
            "subscriber" => &mut tables.subscribers,
            "ims_subscriber" => &mut tables.ims_subscribers,
            // APN and the like are of no use here.
            _ => {
                walk.value()?;
                continue;
            }
        };
        if !walk.take(b'[') {
            return Err(ImportError::new(line, name, "a table must be a list"));
        }
        while !walk.take(b']') {
            walk.take(b',');
            table.push(walk.value()?);
        }
    }
    if tables.keys.is_empty() {
        return Err(ImportError::new(1, "AUC", "the table of keys is missing or empty"));
    }
    Ok(tables)
}

fn records<'a>(
    tables: Tables,
    options: &'a Options,
) -> Box<dyn Iterator<Item = Result<(usize, Record), ImportError>> + 'a> {
    let mut keys = BTreeMap::new();
    let mut keys_by_id = BTreeMap::new();
    for (_, row) in tables.keys {
        let row = std::rc::Rc::new(row);
        if let Some(id) = scalar(&row["auc_id"]) {
            keys_by_id.insert(id, row.clone());
        }
        if let Some(imsi) = scalar(&row["imsi"]) {
            keys.insert(imsi, row);
        }
    }
    for (_, row) in &tables.subscribers {
        let key = scalar(&row["auc_id"]).and_then(|id| keys_by_id.get(&id));
        if let (Some(imsi), Some(key)) = (scalar(&row["imsi"]), key) {
            keys.entry(imsi).or_insert_with(|| key.clone());
        }
    }
    let rows = if tables.ims_subscribers.is_empty() { tables.subscribers } else { tables.ims_subscribers };
    Box::new(rows.into_iter().map(move |(line, row)| {
        let imsi = scalar(&row["imsi"]).unwrap_or_default();
        let key = keys.get(&imsi).map(|key| &**key);
        let record = record(&imsi, &row, key, options).map_err(|error| ImportError::of_field(line, error))?;
        Ok((line, record))
    }))
}

fn record(imsi: &str, row: &Value, key: Option<&Value>, options: &Options) -> Result<Record, FieldError> {
    let domain = imsi::home_domain(imsi, options)?;
    let key = key.ok_or_else(|| FieldError {
        field: "imsi".into(),
        reason: "the table AUC has no key for it; export both tables from the same moment".into(),
    })?;
    let mut msisdns = Vec::new();
    for name in ["msisdn", "msisdn_list"] {
        let numbers = scalar(&row[name]).unwrap_or_default();
        let given = numbers.split([',', ' ', '[', ']', '"', '\'']).filter(|number| !number.is_empty());
        msisdns.extend(given.map(str::to_owned));
    }
    Ok(Record {
        private_identity: format!("{imsi}@{domain}"),
        public_identities: imsi::public_identities(imsi, &msisdns, &domain),
        aka: Some(aka(key, "AUC", "ki")?),
        digest: None,
        unregistered_services: false,
        mandatory_capabilities: Vec::new(),
        optional_capabilities: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, read};
    use super::*;

    const TABLES: &str = r#"{
 "APN": [{"apn": "ims"}],
 "AUC": [{"auc_id": 1, "ki": "465B5CE8B199B49FAA5F0A2EE238A6BC", "opc": "E8ED289DEBA952E4283B54E88E6183CA", "amf": "8000", "sqn": 64, "imsi": "001010000000001"},
         {"auc_id": 2, "ki": "465B5CE8B199B49FAA5F0A2EE238A6BC", "opc": "E8ED289DEBA952E4283B54E88E6183CA", "amf": "8000", "sqn": 0, "imsi": null}],
 "SUBSCRIBER": [{"imsi": "001010000000002", "auc_id": 2}],
 "IMS_SUBSCRIBER": [{"imsi": "001010000000001", "msisdn": "4930123", "msisdn_list": "4930123,4930124"},
                    {"imsi": "001010000000002", "msisdn": "+4930125", "msisdn_list": null},
                    {"imsi": "001010000000003", "msisdn": null}]
}"#;

    fn all(text: &str) -> Vec<Result<Record, String>> {
        let options = Options { home_domain: Some("ims.example".into()), mnc_digits: None };
        read(Format::PyHss, text, &options).map(|found| found.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn keys_and_numbers_are_brought_together_and_who_has_no_key_is_named_with_the_line() {
        let found = all(TABLES);
        let first = found[0].as_ref().unwrap();
        assert_eq!(first.private_identity, "001010000000001@ims.example");
        assert_eq!(first.public_identities.len(), 5);
        assert_eq!(first.aka.as_ref().unwrap().sqn, Some(64));
        assert_eq!(found[1].as_ref().unwrap().public_identities[2].uri, "tel:+4930125");
        assert_eq!(
            found[2],
            Err("line 8, imsi: the table AUC has no key for it; export both tables from the same moment"
                .into())
        );
    }

    #[test]
    fn another_document_is_refused_with_what_is_needed() {
        assert_eq!(
            all("[]"),
            [Err("line 1: an object of tables is needed: {\"AUC\": [...], \"SUBSCRIBER\": [...], \"IMS_SUBSCRIBER\": [...]}".into())]
        );
        assert_eq!(all("{}"), [Err("line 1, AUC: the table of keys is missing or empty".into())]);
        assert!(all("{\"AUC\": [")[0].as_ref().unwrap_err().starts_with("line 1: "));
    }
}
