//! Headers, streams and error answers as bytes.

use super::*;

fn header() -> Header {
    Header {
        is_request: true,
        is_proxiable: true,
        is_error: false,
        is_retransmitted: true,
        command_code: 300,
        application_id: dictionary::APPLICATION_CX,
        hop_by_hop: 0x0102_0304,
        end_to_end: 0x0506_0708,
    }
}

fn message(text: &str) -> Bytes {
    let mut builder = MessageBuilder::new(header());
    builder.avps().text(dictionary::SESSION_ID, text);
    builder.finish()
}

#[test]
fn a_header_survives_the_wire() {
    let message = Message::parse(message("a;1;2")).unwrap();
    assert_eq!(message.header, header());
    assert_eq!(message.find(dictionary::SESSION_ID).unwrap().text().unwrap(), "a;1;2");
}

#[test]
fn messages_are_found_however_the_stream_is_cut() {
    let stream = [message("first"), message("the second one"), message("3")].concat();
    for size in 1..stream.len() {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            framer.push(piece);
            while let Some(message) = framer.next().unwrap() {
                found.push(message.find(dictionary::SESSION_ID).unwrap().text().unwrap().to_owned());
            }
        }
        assert_eq!(found, ["first", "the second one", "3"], "cut every {size} bytes");
        assert_eq!(framer.waiting(), 0);
    }
}

#[test]
fn the_first_byte_alone_tells_that_a_stream_is_garbage() {
    let mut framer = Framer::default();
    framer.push(b"G");
    assert_eq!(framer.next(), Err(FramingError::Version(b'G')));
    framer.push(&message("too late"));
    assert_eq!(framer.next(), Err(FramingError::Version(b'G')));
    assert_eq!(framer.waiting(), 0);
}

#[test]
fn only_lengths_that_a_message_can_have_are_waited_for() {
    let check = |length: u32, is_possible: bool| {
        let mut framer = Framer::default();
        framer.push(&(u32::from(VERSION) << 24 | length).to_be_bytes());
        assert_eq!(framer.next().is_ok(), is_possible, "{length} bytes");
    };
    check(16, false);
    check(20, true);
    check(22, false);
    check(64 * 1024, true);
    check(64 * 1024 + 4, false);
    check(0x00ff_fffc, false);
}

#[test]
fn a_protocol_error_is_answered_with_the_e_bit_and_the_same_identifiers() {
    let request = Message::parse(message("s;1;1")).unwrap();
    let error = DecodeError::plain(result::COMMAND_UNSUPPORTED, "an unknown command");
    let answer = Message::parse(request.refusal(&error, "hss.example", "example")).unwrap();
    assert!(answer.header.is_error && !answer.header.is_request && !answer.header.is_retransmitted);
    assert_eq!((answer.header.hop_by_hop, answer.header.end_to_end), (0x0102_0304, 0x0506_0708));
    assert_eq!(answer.find(dictionary::RESULT_CODE).unwrap().unsigned32().unwrap(), 3001);
    assert_eq!(answer.find(dictionary::SESSION_ID).unwrap().data, b"s;1;1");
}

#[test]
fn a_missing_avp_is_named_in_failed_avp() {
    let request = Message::parse(message("s;1;1")).unwrap();
    let error = DecodeError::missing(dictionary::PUBLIC_IDENTITY);
    assert_eq!(error.to_string(), "a required AVP is missing (AVP 601 of vendor 10415)");
    let answer = Message::parse(request.refusal(&error, "hss.example", "example")).unwrap();
    assert!(!answer.header.is_error, "5xxx is the application's own (RFC 6733 §7.1.5)");
    let failed = answer.find(dictionary::FAILED_AVP).unwrap();
    assert!(failed.members().next().unwrap().unwrap().is(dictionary::PUBLIC_IDENTITY));
}

#[test]
fn a_request_with_the_e_bit_is_refused_with_3008() {
    let builder = MessageBuilder::new(Header { is_error: true, ..header() });
    let message = Message::parse(builder.finish()).unwrap();
    assert_eq!(message.check_header().unwrap_err().result_code, result::INVALID_HDR_BITS);
}

#[test]
fn a_retransmission_differs_in_the_t_bit_alone() {
    let first = MessageBuilder::new(Header { is_retransmitted: false, ..header() }).finish();
    let again = retransmission(&first);
    assert_eq!(Message::parse(again.clone()).unwrap().header, header());
    let differing = first.iter().zip(&again).filter(|(a, b)| a != b).count();
    assert_eq!(differing, 1);
}
