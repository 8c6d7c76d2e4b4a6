//! A datagram: parsed, validated, asked everything, forwarded and answered. Nothing panics, and what is forwarded
//! unchanged is byte for byte what came.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sip::{Draft, Message, Name, NameAddress, Uri, Via};

fuzz_target!(|data: &[u8]| {
    let raw = Bytes::copy_from_slice(data);
    if let Some(message) = Message::parse_for_rejection(raw.clone()) {
        ask_everything(&message);
        answer(&message);
    }
    let Ok(message) = Message::parse(raw) else { return };
    ask_everything(&message);
    forward_unchanged(&message);
    edit(&message);
    if message.is_request() && message.validate().is_ok() {
        answer(&message);
    }
});

fn ask_everything(message: &Message) {
    let _ = message.validate();
    let _ = (message.method(), message.request_uri(), message.status(), message.reason(), message.body());
    let _ = (message.via(), message.from(), message.to(), message.call_id(), message.cseq());
    if let Ok(uri) = Uri::parse(message.request_uri()) {
        read_uri(&uri);
    }
    for (name, value) in message.fields() {
        let constant = Name::from_text(name);
        assert!(message.header_text(name).is_some());
        let _ =
            (message.number(constant), message.has_token(constant, "path"), message.values(constant).count());
        let _ = Via::parse(value).map(|via| (via.branch(), via.received(), via.rport()));
        let Some(address) = NameAddress::parse(value) else { continue };
        let _ = (address.tag(), address.parameters.iter().count(), address.parameters.is_well_formed());
        let _ = address.uri().map(|uri| read_uri(&uri));
    }
}

fn read_uri(uri: &Uri<'_>) {
    let canonical = uri.address_of_record();
    let again = Uri::parse(&canonical).expect("the canonical form is a URI").address_of_record();
    assert_eq!(canonical, again);
    assert!(uri.is_equivalent(uri));
}

fn forward_unchanged(message: &Message) {
    if message.header(Name::ContentLength).is_none() {
        return; // It gets one.
    }
    let raw = message.raw();
    let line_ends = raw.chunks(2).take_while(|pair| pair == b"\r\n").count() * 2;
    assert!(raw[line_ends..].starts_with(&Draft::of(message).emit()));
}

fn edit(message: &Message) {
    let names = [Name::Via, Name::Route, Name::Contact, Name::To, Name::MaxForwards, Name::ContentLength];
    for name in names {
        let mut draft = Draft::of(message);
        draft.push_front(name, "a");
        draft.replace_first_value(name, "b");
        draft.remove_first_value(name);
        draft.retain_values(name, |value| value.len() % 2 == 0);
        draft.push_back(name, message.request_uri());
        draft.emit();
    }
    let mut draft = Draft::of(message);
    draft.set_request_uri("sip:a");
    draft.set_status(200, "OK");
    draft.set_body("text/plain", "hello");
    assert!(Message::parse(draft.emit()).is_ok());
}

fn answer(request: &Message) {
    let response = Draft::response(request, 400, "Bad Request", "tag").emit();
    let response = Message::parse(response).expect("what we say is a message");
    assert_eq!(response.status(), 400);
    assert_eq!(response.header(Name::CallId), request.header(Name::CallId));
}
