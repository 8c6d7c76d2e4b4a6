//! A stream: the first byte says how it is cut. However it is cut the frames are the same, and what is kept is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::framing::{Frame, FramingError, StreamFramer};

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(frames(stream, usize::from(*cut).max(1)), whole);
    for frame in whole {
        if let Ok(Frame::Message(raw)) = frame {
            let _ = sip::Message::parse(raw);
        }
    }
});

fn frames(stream: &[u8], size: usize) -> Vec<Result<Frame, FramingError>> {
    let mut framer = StreamFramer::new();
    let mut out = Vec::new();
    for chunk in stream.chunks(size) {
        framer.push(chunk);
        out.extend(framer.by_ref());
        assert!(framer.buffered_bytes() <= sip::message::HEAD_BYTES_MAX + sip::message::BODY_BYTES_MAX);
    }
    out
}
