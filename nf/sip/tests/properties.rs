//! Properties of parsing, emitting and framing over generated input.

use proptest::prelude::*;
use sip::framing::{Frame, FramingError, StreamFramer};
use sip::{Draft, Message, Name, NameAddress, Uri, Via};

/// Every question one can ask, so that none of them panics.
fn ask_everything(message: &Message) {
    let _ = message.validate();
    let _ =
        (message.is_request(), message.method(), message.request_uri(), message.status(), message.reason());
    let _ = (message.via(), message.from(), message.to(), message.call_id(), message.cseq(), message.body());
    for (name, value) in message.fields() {
        let name_constant = Name::from_text(name);
        let _ = (
            message.header_text(name),
            message.number(name_constant),
            message.has_token(name_constant, "path"),
        );
        let _ = message.values(name_constant).count();
        let _ = Via::parse(value).map(|via| (via.branch(), via.received(), via.rport()));
        if let Some(address) = NameAddress::parse(value) {
            let _ = (address.tag(), address.parameters.iter().count(), address.parameters.is_well_formed());
            let _ = address.uri().map(|uri| (uri.address_of_record(), uri.is_equivalent(&uri)));
        }
    }
    let answer = Draft::response(message, 400, "Bad Request", "tag").emit();
    let _ = Message::parse(answer);
}

/// Values that have what makes SIP hard: quotes, brackets, commas, folds, escapes, letters beyond ASCII.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,12}",
        Just("\r\n ".to_owned()),
        Just("\r\n\t".to_owned()),
        Just("é漢".to_owned()),
        Just(", ".to_owned()),
        Just("\"a, \\\" b\"".to_owned()),
        Just("<sip:a@b;lr>".to_owned()),
        Just(";tag=1".to_owned()),
        Just("%41".to_owned()),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn field() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "[A-Za-z][A-Za-z0-9-]{0,12}",
        Just("Via".to_owned()),
        Just("v".to_owned()),
        Just("Route".to_owned()),
        Just("To".to_owned()),
        Just("CSeq".to_owned()),
        Just("Max-Forwards".to_owned()),
        Just("m".to_owned()),
    ];
    // A name drawn at random must not be one of Content-Length, which the message gets once.
    let name = name
        .prop_filter("Content-Length is added below", |name| Name::from_text(name) != Name::ContentLength);
    (name, "[ \t]{0,2}", value(), "[ \t]{0,2}")
        .prop_map(|(name, before, value, behind)| format!("{name}{before}:{behind}{value}\r\n"))
}

prop_compose! {
    fn message()(
        start in prop_oneof![Just("INVITE sip:a@b SIP/2.0"), Just("SIP/2.0 200 OK"), Just("OPTIONS tel:+1-5 SIP/2.0")],
        mut fields in prop::collection::vec(field(), 0..12),
        at in any::<prop::sample::Index>(),
        length_name in prop_oneof![Just("l"), Just("Content-Length "), Just("CONTENT-LENGTH")],
        body in prop::collection::vec(any::<u8>(), 0..80),
    ) -> Vec<u8> {
        let at = at.index(fields.len() + 1);
        fields.insert(at, format!("{length_name}: {}\r\n", body.len()));
        [start.as_bytes(), b"\r\n", fields.concat().as_bytes(), b"\r\n", &body].concat()
    }
}

fn frames(stream: &[u8], cuts: &[usize]) -> Vec<Result<Frame, FramingError>> {
    let (mut framer, mut out, mut from) = (StreamFramer::new(), Vec::new(), 0);
    for to in cuts.iter().copied().chain([stream.len()]) {
        framer.push(&stream[from..to]);
        out.extend(framer.by_ref());
        from = to;
    }
    out
}

proptest! {
    #[test]
    fn what_is_not_edited_is_forwarded_byte_for_byte(raw in message()) {
        let parsed = Message::parse(raw.clone().into()).unwrap();
        ask_everything(&parsed);
        prop_assert_eq!(&Draft::of(&parsed).emit()[..], &raw[..]);
    }

    #[test]
    fn an_edit_leaves_all_other_lines_as_they_were(raw in message(), value in "[ -~]{1,20}") {
        let parsed = Message::parse(raw.clone().into()).unwrap();
        let mut draft = Draft::of(&parsed);
        draft.push_front(Name::RecordRoute, value.clone());
        let line = format!("Record-Route: {value}\r\n");
        let emitted = draft.emit();
        let at = memchr::memmem::find(&emitted, line.as_bytes()).expect("the new line is there");
        let without = [&emitted[..at], &emitted[at + line.len()..]].concat();
        prop_assert_eq!(&without, &raw);
    }

    #[test]
    fn no_value_becomes_a_second_field(raw in message(), value in "[a\r\n\t :]{0,30}") {
        let parsed = Message::parse(raw.into()).unwrap();
        let mut draft = Draft::of(&parsed);
        draft.push_back(Name::Subject, value);
        draft.set_status(200, "a\r\nb: c");
        draft.set_request_uri("sip:a\r\nb:c");
        if let Ok(emitted) = Message::parse(draft.emit()) {
            prop_assert_eq!(emitted.fields().count(), parsed.fields().count() + 1);
        } else {
            prop_assert!(parsed.is_request(), "only the Request-URI with a blank in it is refused");
        }
    }

    #[test]
    fn the_first_value_goes_and_the_others_stay(raw in message()) {
        let parsed = Message::parse(raw.into()).unwrap();
        for name in [Name::Via, Name::Route, Name::Contact, Name::To] {
            let mut draft = Draft::of(&parsed);
            let before: Vec<_> = parsed.values(name).map(ToOwned::to_owned).collect();
            prop_assert_eq!(draft.remove_first_value(name), !before.is_empty());
            let behind: Vec<_> = draft.values(name).collect();
            prop_assert_eq!(&behind[..], before.get(1..).unwrap_or(&[]));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = Message::parse(bytes.clone().into()) {
            ask_everything(&message);
        }
        if let Some(message) = Message::parse_for_rejection(bytes.into()) {
            ask_everything(&message);
        }
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(
        mut raw in message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for (at, octet) in damage {
            let at = at.index(raw.len());
            raw[at] = octet;
        }
        if let Ok(message) = Message::parse(raw.clone().into()) {
            ask_everything(&message);
        }
        if let Some(message) = Message::parse_for_rejection(raw.into()) {
            ask_everything(&message);
        }
    }

    #[test]
    fn any_text_is_a_uri_or_none(text in "\\PC{0,40}", other in "(sip|sips|tel):[a-z0-9%@:;?=&\\[\\]+.-]{0,30}") {
        for text in [text, other] {
            if let Ok(uri) = Uri::parse(&text) {
                let canonical = uri.address_of_record();
                let again = Uri::parse(&canonical).expect("the canonical form is a URI").address_of_record();
                prop_assert_eq!(&canonical, &again);
                prop_assert!(uri.is_equivalent(&uri));
            }
        }
    }

    #[test]
    fn a_stream_gives_the_same_frames_however_it_is_cut(
        messages in prop::collection::vec(message(), 0..4),
        garbage in prop::collection::vec(any::<u8>(), 0..3),
        gap in prop_oneof![Just(&b""[..]), Just(&b"\r\n"[..]), Just(&b"\r\n\r\n"[..])],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = [messages.join(gap), gap.to_vec(), garbage].concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = frames(&stream, &[]);
        prop_assert_eq!(&frames(&stream, &cuts), &whole);
        prop_assert_eq!(&frames(&stream, &(0..stream.len()).collect::<Vec<_>>()), &whole);
        let found = whole.iter().filter_map(|frame| match frame {
            Ok(Frame::Message(message)) => Some(message.to_vec()),
            _ => None,
        });
        prop_assert_eq!(found.collect::<Vec<_>>(), messages);
    }
}
