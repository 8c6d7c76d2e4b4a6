//! The torture messages of RFC 4475 that a function has to judge, and all the others: none may end without an answer.

use std::path::Path;

use super::*;

/// Status of the immediate answer; 0: forwarded. What the shell refuses does not come this far.
const TABLE: [(&str, u16); 8] = [
    ("unksm2", 400), // To is no address of record.
    ("regaut01", 401),
    ("unkscm", 416),
    ("novelsc", 416),
    ("bext01", 420),
    ("cparam01", 401),
    ("cparam02", 401),
    ("regescrt", 401),
];

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads its data from files")]
fn every_torture_message_gets_the_answer_of_its_table_or_at_least_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/rfc4475");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return eprintln!("skipped: the torture messages of RFC 4475 are not in {}", folder.display());
    };
    let mut seen = 0;
    for file in files {
        let path = file.expect("a readable folder").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("").to_string();
        let bytes = Bytes::from(std::fs::read(&path).expect("a readable file"));
        let Ok(message) = Message::parse(bytes) else { continue };
        if !message.is_request() || message.validate().is_err() || message.method() == Method::Ack {
            continue;
        }
        // It came through a P-CSCF.
        let text = String::from_utf8_lossy(message.raw()).replacen(
            "\r\n",
            "\r\nPath: <sip:pcscf.ims.example;lr>\r\n",
            1,
        );
        let Ok(message) = Message::parse(Bytes::from(text)) else { continue };
        let mut home = Home::new();
        home.hss.accepts_anybody = true;
        let decisions = home.send(&message);
        let status = decisions.iter().find_map(|decision| match decision {
            Decision::Respond { response, .. } => Some(response.status()),
            Decision::Forward { .. } => Some(0),
            _ => None,
        });
        assert!(status.is_some(), "{name}: no answer");
        if let Some((_, expected)) = TABLE.iter().find(|(each, _)| *each == name) {
            assert_eq!(status, Some(*expected), "{name}");
            seen += 1;
        }
        assert_eq!(home.scscf.open_procedures(), usize::from(status == Some(0)), "{name}: something leaks");
    }
    assert_eq!(seen, TABLE.len());
}
