//! A file of subscribers, of whatever format it looks like and of each other: every record or mistake, never a panic, and
//! a mistake that names a line of the file.
#![no_main]

use hss::import::{Format, Options, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.split(['\n', '\r']).count().max(1);
    let options = Options { home_domain: Some("ims.example".into()), mnc_digits: None };
    let guessed = Format::guess(text);
    for format in [guessed, Format::Csv, Format::Yaml, Format::Open5gs, Format::PyHss] {
        for record in read(format, text, &options).take(1000) {
            if let Err(mistake) = record {
                assert!(mistake.line <= lines + 1, "line {} of {lines}", mistake.line);
            }
        }
    }
});
