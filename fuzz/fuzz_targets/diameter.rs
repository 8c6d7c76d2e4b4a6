//! A Diameter stream: however it is cut the messages are the same. Each message is read as every command; what was read
//! is written and read again. A peer that hears it stays open or closes.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use clock::Instant;
use diameter::codec::{Framer, FramingError, MESSAGE_LENGTH_MAX, Message};
use diameter::cx;
use diameter::peer::{Identity, Peer, PeerOutput, Settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    // What is not UTF-8 triples when it is written again, and must stay a message.
    if stream.len() > MESSAGE_LENGTH_MAX / 4 {
        return;
    }
    let whole = messages(stream, stream.len().max(1));
    assert_eq!(messages(stream, usize::from(*cut).max(1)), whole);
    for message in whole.iter().flatten() {
        read(message);
    }
    hear(stream);
});

fn messages(stream: &[u8], size: usize) -> Vec<Result<Message, FramingError>> {
    let mut framer = Framer::default();
    let mut out = Vec::new();
    for chunk in stream.chunks(size) {
        framer.push(chunk);
        loop {
            match framer.next() {
                Ok(Some(message)) => out.push(Ok(message)),
                Ok(None) => break,
                Err(error) => {
                    out.push(Err(error));
                    return out;
                }
            }
        }
        assert!(framer.waiting() < MESSAGE_LENGTH_MAX);
    }
    out
}

fn read(message: &Message) {
    match cx::decode_request(message) {
        Ok((envelope, request)) => {
            let again = Message::parse(request.encode(&envelope)).expect("what we say is a message");
            assert_eq!(cx::decode_request(&again), Ok((envelope, request)));
        }
        Err(error) => {
            let refusal = Message::parse(message.refusal(&error, "hss.example", "example"));
            assert!(refusal.expect("what we say is a message").avps().all(|avp| avp.is_ok()));
        }
    }
    if let Ok((envelope, answer)) = cx::decode_answer(message) {
        let again = Message::parse(answer.encode(&envelope)).expect("what we say is a message");
        let (_, read) = cx::decode_answer(&again).expect("what we say can be read");
        assert_eq!(read, answer);
    }
}

fn hear(stream: &[u8]) {
    let identity = |host: &str| {
        Arc::new(Identity {
            node_host: None,
            host: host.to_owned(),
            realm: "example".to_owned(),
            product: "Evertone".to_owned(),
            origin_state_id: 1,
            host_ip: [127, 0, 0, 1].into(),
        })
    };
    let now = Instant::ZERO;
    let mut client =
        Peer::initiator(identity("scscf.example"), "hss.example".to_owned(), Settings::default(), 1);
    let mut server = Peer::responder(identity("hss.example"), Settings::default(), 2);
    server.handle_connected(now);
    client.handle_connected(now);
    while let Some(output) = client.poll_output() {
        if let PeerOutput::Send(cer) = output {
            server.handle_bytes(now, cer);
        }
    }
    assert!(server.is_open());
    while server.poll_output().is_some() {}
    server.handle_bytes(now, Bytes::copy_from_slice(stream));
    let mut is_closing = false;
    while let Some(output) = server.poll_output() {
        match output {
            PeerOutput::Send(bytes) => assert!(Message::parse(bytes).is_ok()),
            PeerOutput::Close => is_closing = true,
            _ => {}
        }
    }
    assert_eq!(is_closing, server.is_closed());
}
