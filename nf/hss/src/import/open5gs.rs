//! Open5GS: what `mongoexport --db open5gs --collection subscribers` writes.

use serde_json::Value;

use super::json::{elements, scalar};
use super::{ImportError, Options, imsi};
use crate::provisioning::{Aka, FieldError, Record, SecretText, default_amf};

pub(super) fn subscribers<'a>(
    text: &'a str,
    options: &'a Options,
) -> impl Iterator<Item = Result<(usize, Record), ImportError>> + 'a {
    elements(text).map(move |element| {
        let (line, document) = element?;
        let record = record(&document, options).map_err(|error| ImportError::of_field(line, error))?;
        Ok((line, record))
    })
}

fn record(document: &Value, options: &Options) -> Result<Record, FieldError> {
    let imsi = scalar(&document["imsi"]).unwrap_or_default();
    let domain = imsi::home_domain(&imsi, options)?;
    let msisdns: Vec<String> = match &document["msisdn"] {
        Value::Array(numbers) => numbers.iter().filter_map(scalar).collect(),
        single => scalar(single).into_iter().collect(),
    };
    Ok(Record {
        private_identity: format!("{imsi}@{domain}"),
        public_identities: imsi::public_identities(&imsi, &msisdns, &domain),
        aka: Some(aka(&document["security"], "security", "k")?),
        digest: None,
        unregistered_services: false,
        mandatory_capabilities: Vec::new(),
        optional_capabilities: Vec::new(),
    })
}

/// The AKA credential in `fields`, whose key is called `key_name`.
pub(super) fn aka(fields: &Value, path: &str, key_name: &str) -> Result<Aka, FieldError> {
    let secret = |name: &str| scalar(&fields[name]).map(SecretText::new);
    let wrong =
        |name: &str, reason: &str| FieldError { field: format!("{path}.{name}"), reason: reason.into() };
    let opc = secret("opc");
    Ok(Aka {
        k: secret(key_name).ok_or_else(|| wrong(key_name, "the key is not given"))?,
        // Where both stand, as both cores allow, OPc is the one that they use.
        op: secret("op").filter(|_| opc.is_none()),
        opc,
        amf: scalar(&fields["amf"]).unwrap_or_else(default_amf),
        sqn: scalar(&fields["sqn"])
            .map(|sqn| sqn.parse().map_err(|_| wrong("sqn", "it is not a decimal number")))
            .transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Format, read};
    use super::*;

    const DOCUMENT: &str = r#"{"_id":{"$oid":"1"},"imsi":"001010000000001","msisdn":["4930123"],"slice":[],
"security":{"k":"465B5CE8 B199B49F AA5F0A2E E238A6BC","op":null,"opc":"E8ED289D EBA952E4 283B54E8 8E6183CA","amf":"8000","sqn":{"$numberLong":"97"}},"__v":0}"#;

    fn all(text: &str, options: &Options) -> Vec<Result<Record, String>> {
        read(Format::Open5gs, text, options).map(|found| found.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn subscribers_are_read_from_lines_and_from_an_array() {
        let options = Options { home_domain: None, mnc_digits: Some(2) };
        let other = DOCUMENT.replace("0000001", "0000002").replace("\"4930123\"", "");
        for text in [format!("{DOCUMENT}\n{other}\n"), format!("[{DOCUMENT},\n{other}]\n")] {
            let found: Vec<_> = all(&text, &options).into_iter().map(Result::unwrap).collect();
            assert_eq!(found.len(), 2);
            assert_eq!(found[0].private_identity, "001010000000001@ims.mnc001.mcc001.3gppnetwork.org");
            let uris: Vec<_> =
                found[0].public_identities.iter().map(|id| (id.uri.as_str(), id.barred)).collect();
            assert_eq!(
                uris,
                [
                    ("sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org", true),
                    ("sip:+4930123@ims.mnc001.mcc001.3gppnetwork.org", false),
                    ("tel:+4930123", false),
                ]
            );
            assert!(!found[1].public_identities[0].barred);
            let aka = found[0].aka.as_ref().unwrap();
            assert_eq!((aka.sqn, aka.op.is_none()), (Some(97), true));
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let options = Options { home_domain: Some("ims.example".into()), mnc_digits: None };
        let bad = DOCUMENT.replace("465B", "5B");
        let found = all(&format!("{DOCUMENT}\n{bad}\n{{\"imsi\": oops}}\n"), &options);
        assert!(found[0].is_ok());
        assert_eq!(found[1], Err("line 3, aka.k: 30 hex digits given, 32 needed".into()));
        assert_eq!(found[2], Err("line 5: this is no JSON: expected value".into()));
        assert_eq!(found.len(), 3);
        assert_eq!(
            all(DOCUMENT, &Options::default()),
            [Err("line 1, imsi: how many of its digits are the MNC is not known; give the home domain, or 2 or 3 MNC digits".into())]
        );
    }
}
