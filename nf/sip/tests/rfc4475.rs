//! The torture messages of RFC 4475: what parsing and validation alone make of each of them.
//!
//! What functions decide (416 for a scheme, 420 for Proxy-Require, 483, a registrar's 400) passes here; the last tests
//! show that the question can be asked.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use sip::message::ParseError;
use sip::uri::Scheme;
use sip::{Draft, Message, Method, Name, Uri};

/// What is done with a message at this layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// It is handed to the function.
    Pass,
    /// It is answered with this status.
    Answer(u16),
    /// It is dropped: a response, or nothing that could be answered.
    Drop,
}

use Reaction::{Answer, Drop, Pass};

/// Section 3.1.1 (valid), 3.1.2 (invalid), 3.2 (transaction), 3.3 (application), 3.4 (RFC 2543), in the order of the RFC.
/// Where the RFC leaves a choice, the comment says which one we took.
const TABLE: [(&str, Reaction); 49] = [
    ("wsinv", Pass),
    ("intmeth", Pass),
    ("esc01", Pass),
    ("escnull", Pass),
    ("esc02", Pass),
    ("lwsdisp", Pass),
    ("longreq", Pass),
    ("dblreq", Pass),
    ("semiuri", Pass),
    ("transports", Pass),
    ("mpart01", Pass),
    ("unreason", Pass),
    ("noreason", Pass),
    ("badinv01", Answer(400)),
    ("clerr", Answer(400)),
    ("ncl", Answer(400)),
    ("scalar02", Answer(400)),
    ("scalarlg", Drop),
    ("quotbal", Answer(400)),
    ("ltgtruri", Answer(400)), // Strict: a Request-URI in brackets is none.
    ("lwsruri", Answer(400)),  // Strict: where the Request-URI ends must be the same for all.
    ("lwsstart", Answer(400)), // Strict, as above.
    ("trws", Answer(400)),     // Strict, as above.
    ("escruri", Answer(400)),  // Strict: header components would be lost or obeyed.
    ("baddate", Pass),         // Liberal: nobody here reads Date.
    ("regbadct", Answer(400)),
    ("badaspec", Pass), // Liberal: blanks inside the brackets.
    // The display name that is no token would pass, but the archive's file ends without the empty line.
    ("baddn", Answer(400)),
    ("badvers", Answer(505)),
    ("mismatch01", Answer(400)),
    ("mismatch02", Answer(501)),
    ("bigcode", Drop),
    ("badbranch", Pass), // A branch that is only the cookie is matched as RFC 2543 did.
    ("insuf", Answer(400)),
    ("unkscm", Pass),
    ("novelsc", Pass),
    ("unksm2", Pass),
    ("bext01", Pass),
    ("invut", Pass),
    ("regaut01", Pass),
    ("multi01", Answer(400)),
    ("mcl01", Answer(400)),
    ("bcast", Pass), // The transport refuses to send to a broadcast address.
    ("zeromf", Pass),
    ("cparam01", Pass),
    ("cparam02", Pass),
    ("regescrt", Pass),
    ("sdp01", Pass),
    ("inv2543", Pass),
];

/// The folder of the messages; `None`, with a word why, when this machine does not have it.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/rfc4475");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the torture messages of RFC 4475 are not in {}", folder.display());
    None
}

#[expect(clippy::disallowed_methods, reason = "a test reads its data from files")]
fn read(folder: &Path, name: &str) -> Bytes {
    let path = folder.join(name).with_extension("dat");
    Bytes::from(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn judge(raw: Bytes) -> Result<Message, ParseError> {
    let message = Message::parse(raw)?;
    message.validate()?;
    Ok(message)
}

#[test]
fn every_torture_message_gets_the_reaction_of_the_table() {
    let Some(folder) = folder() else { return };
    let present = std::fs::read_dir(&folder).unwrap().filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "dat"))
    });
    assert_eq!(present.count(), TABLE.len(), "the table has a line for every file");
    let mut wrong = Vec::new();
    for (name, expected) in TABLE {
        let judged = judge(read(&folder, name));
        let reaction = match &judged {
            Ok(_) => Pass,
            Err(ParseError { answer_status: Some(status), .. }) => Answer(*status),
            Err(ParseError { answer_status: None, .. }) => Drop,
        };
        if reaction != expected {
            wrong.push(format!("{name}: expected {expected:?}, got {reaction:?} ({judged:?})"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_refused_can_be_answered() {
    let Some(folder) = folder() else { return };
    for (name, expected) in TABLE {
        let (raw, Answer(status)) = (read(&folder, name), expected) else { continue };
        let request = Message::parse_for_rejection(raw).expect(name);
        let response =
            Message::parse(Draft::response(&request, status, "Refused", "tag").emit()).expect(name);
        assert_eq!(response.status(), status);
        assert_eq!(response.header(Name::CSeq), request.header(Name::CSeq), "{name}");
        assert_eq!(
            response.values(Name::Via).collect::<Vec<_>>(),
            request.values(Name::Via).collect::<Vec<_>>()
        );
    }
}

#[test]
fn what_passes_is_forwarded_byte_for_byte() {
    let Some(folder) = folder() else { return };
    for (name, expected) in TABLE {
        let raw = read(&folder, name);
        let (Pass, Ok(message)) = (expected, Message::parse(raw.clone())) else { continue };
        let forwarded = Draft::of(&message).emit();
        let head = message.raw().len() - message.body().len();
        match (name, message.header(Name::ContentLength)) {
            // Two requests in one datagram: the second is not part of the first.
            ("dblreq", _) => assert_eq!(forwarded, raw[..forwarded.len()], "{name}"),
            (_, Some(_)) => assert_eq!(forwarded, raw, "{name}"),
            (_, None) => {
                assert_eq!(forwarded[..head - 2], raw[..head - 2], "{name}: only Content-Length is added")
            }
        }
    }
}

#[test]
fn the_tortuous_invite_is_read_through_its_folds() {
    let Some(folder) = folder() else { return };
    let message = judge(read(&folder, "wsinv")).unwrap();
    assert_eq!(message.to().unwrap().tag(), Some("1918181833n"));
    assert_eq!(message.from().unwrap().display_name, "\"J Rosenberg \\\\\\\"\"");
    assert_eq!(message.number(Name::MaxForwards), Some(68));
    let cseq = message.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
    let vias: Vec<_> =
        message.values(Name::Via).map(|via| sip::Via::parse(via).unwrap().branch().unwrap()).collect();
    assert_eq!(vias, ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]);
    assert_eq!(message.values(Name::Route).count(), 1);
    assert_eq!(
        message.header_text("newfangledheader").map(|value| value.contains("newfangled value")),
        Some(true)
    );
    let contact = sip::NameAddress::parse(message.header(Name::Contact).unwrap()).unwrap();
    assert_eq!(
        (contact.parameters.value("q"), contact.parameters.value("secondparam")),
        (Some("0.33"), Some(""))
    );
}

#[test]
fn odd_methods_and_escapes_are_kept() {
    let Some(folder) = folder() else { return };
    let message = judge(read(&folder, "intmeth")).unwrap();
    assert_eq!(message.method(), Method::Other("!interesting-Method0123456789_*+`.%indeed'~"));
    let message = judge(read(&folder, "esc01")).unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.user, Some("sips%3Auser%40example.com"));
    assert_eq!(uri.address_of_record(), "sip:sips%3Auser%40example.com@example.net");
    let message = judge(read(&folder, "semiuri")).unwrap();
    assert_eq!(Uri::parse(message.request_uri()).unwrap().user, Some("user;par=u%40example.net"));
    let message = judge(read(&folder, "escnull")).unwrap();
    let users: Vec<_> =
        message.values(Name::Contact).map(|value| sip::NameAddress::parse(value).unwrap()).collect();
    assert_eq!(
        users.iter().map(|contact| contact.uri().unwrap().user).collect::<Vec<_>>(),
        [Some("%00"), Some("%00%00")]
    );
}

#[test]
fn a_display_name_that_is_no_token_passes() {
    let Some(folder) = folder() else { return };
    let whole = [&read(&folder, "baddn")[..], b"\r\n"].concat();
    let message = judge(whole.into()).unwrap();
    assert_eq!(message.from().unwrap().display_name, "Bell, Alexander");
}

#[test]
fn the_second_request_of_a_datagram_is_ignored() {
    let Some(folder) = folder() else { return };
    let message = judge(read(&folder, "dblreq")).unwrap();
    assert_eq!((message.method(), message.body()), (Method::Register, &b""[..]));
    assert_eq!(message.headers(Name::CSeq).count(), 1);
}

#[test]
fn what_functions_decide_can_be_asked() {
    let Some(folder) = folder() else { return };
    let message = |name| judge(read(&folder, name)).unwrap();
    for name in ["unkscm", "novelsc"] {
        assert_eq!(Uri::parse(message(name).request_uri()).unwrap().scheme, Scheme::Other, "{name}: 416");
    }
    assert_eq!(
        message("unksm2").to().unwrap().uri().unwrap().scheme,
        Scheme::Other,
        "the registrar answers 400"
    );
    let required: Vec<_> = message("bext01").values(Name::ProxyRequire).map(ToOwned::to_owned).collect();
    assert_eq!(required, ["noProxiesSupportThis", "norDoAnyProxiesSupportThis"], "420 names both");
    assert!(message("bext01").has_token(Name::Require, "nothingSupportsThis"));
    assert_eq!(message("zeromf").number(Name::MaxForwards), Some(0), "483");
    assert!(message("regaut01").header(Name::Authorization).unwrap().starts_with("NoOneKnowsThisScheme"));
    assert_eq!(message("badbranch").via().unwrap().branch(), Some("z9hG4bK"));
    assert_eq!((message("noreason").reason(), message("noreason").status()), ("", 100));
    assert!(message("unreason").reason().contains('\u{43e}'));
}

#[test]
fn contact_parameters_and_uri_parameters_are_kept_apart() {
    let Some(folder) = folder() else { return };
    for (name, in_header, in_uri) in [("cparam01", Some(""), None), ("cparam02", None, Some(""))] {
        let message = judge(read(&folder, name)).unwrap();
        let contact = sip::NameAddress::parse(message.header(Name::Contact).unwrap()).unwrap();
        assert_eq!(contact.parameters.value("unknownparam"), in_header, "{name}");
        assert_eq!(contact.uri().unwrap().parameter("unknownparam"), in_uri, "{name}");
    }
    let message = judge(read(&folder, "regescrt")).unwrap();
    let contact = sip::NameAddress::parse(message.header(Name::Contact).unwrap()).unwrap();
    assert_eq!(contact.uri().unwrap().headers, "Route=%3Csip:sip.example.com%3E");
}
