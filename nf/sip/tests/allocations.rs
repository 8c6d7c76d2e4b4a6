//! How often the message core asks for memory, counted.

mod counting;

use bytes::Bytes;
use counting::allocations;
use sip::{Draft, Message, Name};

const REGISTER: &[u8] = include_bytes!("../benches/register.sip");
const INVITE: &[u8] = include_bytes!("../benches/invite.sip");

#[test]
fn a_message_is_parsed_with_one_allocation() {
    for text in [REGISTER, INVITE] {
        let raw = Bytes::from_static(text);
        let (message, parsing) = allocations(|| Message::parse(raw).unwrap());
        assert_eq!(parsing, 1);
        let (validated, validating) = allocations(|| message.validate());
        assert_eq!((validated, validating), (Ok(()), 0));
    }
}

#[test]
fn reading_a_message_allocates_nothing() {
    let message = Message::parse(Bytes::from_static(REGISTER)).unwrap();
    let (_, reading) = allocations(|| {
        let addresses = (message.via(), message.from(), message.to());
        let numbers = (message.cseq(), message.call_id(), message.number(Name::Expires));
        let contacts = message.values(Name::Contact).count();
        (
            addresses,
            numbers,
            contacts,
            message.header_text("p-odd"),
            message.has_token(Name::Supported, "path"),
        )
            .2
    });
    assert_eq!(reading, 0);
}

#[test]
fn forwarding_allocates_the_list_the_value_and_the_text() {
    let message = Message::parse(Bytes::from_static(REGISTER)).unwrap();
    let (_, forwarding) = allocations(|| {
        let mut draft = Draft::of(&message);
        draft.push_front(Name::Via, "SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bK1");
        draft.emit()
    });
    assert_eq!(forwarding, 3);
}
