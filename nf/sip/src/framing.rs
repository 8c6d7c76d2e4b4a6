//! Cuts a byte stream (TCP) into SIP messages and keep-alives (RFC 3261 §18.3, RFC 5626 §3.5.1 and §4.4.1).
//!
//! ```text
//!            CRLF                        first other octet
//!   Between ------> KeepAlivePong      Between -----------> Head
//!   directly followed by CRLF          CRLFCRLF, Content-Length known
//!           ------> KeepAlivePing        Head -----------> Body -- all there --> Message, Between
//! ```
//!
//! It decides where messages begin and end, never whether they are good: [`Message::parse`](crate::Message::parse) does.
//! A stream whose message boundaries are lost cannot be found again, so every error ends it: close the connection.
//!
//! Bounds: between two calls of `push` that are followed by `next` until `None`, at most
//! [`HEAD_BYTES_MAX`] + [`BODY_BYTES_MAX`] bytes are kept, plus what one `push` brought. Work is linear in the bytes
//! pushed, however they are cut: the search for the end of a header section goes on where it stopped.

use bytes::{Buf, Bytes, BytesMut};

use crate::message::{self, BODY_BYTES_MAX, HEAD_BYTES_MAX};

/// What a stream carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One message, from its start line to the end of its body.
    Message(Bytes),
    /// A double CRLF between messages: answer with one CRLF (RFC 5626 §4.4.1).
    KeepAlivePing,
    /// A CRLF between messages: the answer to a ping of ours, or the first half of a ping of theirs. It is reported at
    /// once, since no later octet needs to follow an answer: a ping is always seen as `KeepAlivePong`, `KeepAlivePing`.
    KeepAlivePong,
}

/// Why the messages of a stream cannot be told apart any more. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The header section does not end within [`HEAD_BYTES_MAX`].
    #[error("header section is longer than {HEAD_BYTES_MAX} bytes")]
    HeadTooLong,
    /// Content-Length is above [`BODY_BYTES_MAX`].
    #[error("body is longer than {BODY_BYTES_MAX} bytes")]
    BodyTooLong,
    /// There is no Content-Length, which streams require (RFC 3261 §20.14).
    #[error("message without Content-Length")]
    ContentLengthMissing,
    /// Content-Length is negative or no number, or there are two that differ.
    #[error("Content-Length cannot be read or is ambiguous")]
    ContentLengthUnreadable,
    /// Something else than CRLF or a start line stands between two messages.
    #[error("blank or control character between messages")]
    NoStartLine,
}

/// Where in the stream the first buffered byte is.
#[derive(Clone, Copy, Debug)]
enum State {
    /// Between messages. Did a CRLF stand directly before?
    Between { after_line_end: bool },
    /// In a header section of which the first `searched` bytes hold no end.
    Head { searched: usize },
    /// In a message of `length` bytes.
    Body { length: usize },
    /// An error was reported.
    Failed,
}

/// An empty buffer larger than this is given back: an idle connection costs little.
const IDLE_BUFFER_BYTES_MAX: usize = 4096;

/// Cuts one direction of one connection into frames: [`push`](StreamFramer::push) what was read, then take frames with
/// `next` until `None`. After an error there is nothing more.
#[derive(Debug)]
pub struct StreamFramer {
    buffer: BytesMut,
    state: State,
}

impl Default for StreamFramer {
    fn default() -> Self {
        StreamFramer::new()
    }
}

impl StreamFramer {
    /// A framer at the beginning of a stream.
    pub fn new() -> StreamFramer {
        StreamFramer { buffer: BytesMut::new(), state: State::Between { after_line_end: false } }
    }

    /// Takes in what was read. After an error it is thrown away.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The bytes held back because their message is not complete.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Is a message begun but not complete? A driver closes a connection that stays so for long.
    pub fn is_within_message(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    fn step(&mut self) -> Result<Option<Frame>, FramingError> {
        if let State::Between { after_line_end } = self.state {
            match self.buffer[..] {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] => return Ok(Some(self.keep_alive(after_line_end))),
                [octet, ..] if octet <= b' ' => return Err(FramingError::NoStartLine),
                _ => self.state = State::Head { searched: 0 },
            }
        }
        if let State::Head { searched } = self.state {
            let Some(length) = self.message_length(searched)? else { return Ok(None) };
            self.state = State::Body { length };
        }
        match self.state {
            State::Body { length } if self.buffer.len() >= length => Ok(Some(self.message(length))),
            _ => Ok(None),
        }
    }

    fn keep_alive(&mut self, after_line_end: bool) -> Frame {
        self.buffer.advance(2);
        self.state = State::Between { after_line_end: !after_line_end };
        if after_line_end { Frame::KeepAlivePing } else { Frame::KeepAlivePong }
    }

    /// The length of the message whose header section is searched for its end; `None` when that has not come yet.
    fn message_length(&mut self, searched: usize) -> Result<Option<usize>, FramingError> {
        // The end may have been cut in pieces: begin three bytes early.
        let from = searched.saturating_sub(3);
        let Some(at) = memchr::memmem::find(&self.buffer[from..], b"\r\n\r\n") else {
            self.state = State::Head { searched: self.buffer.len() };
            let is_too_long = self.buffer.len() >= HEAD_BYTES_MAX;
            return if is_too_long { Err(FramingError::HeadTooLong) } else { Ok(None) };
        };
        let head_length = from + at + 4;
        if head_length > HEAD_BYTES_MAX {
            return Err(FramingError::HeadTooLong);
        }
        match message::content_length(&self.buffer[..head_length]) {
            Ok(Some(length)) if length > BODY_BYTES_MAX => Err(FramingError::BodyTooLong),
            Ok(Some(length)) => Ok(Some(head_length + length)),
            Ok(None) => Err(FramingError::ContentLengthMissing),
            Err(_) => Err(FramingError::ContentLengthUnreadable),
        }
    }

    /// Copies the message out: its bytes then own exactly their memory and do not hold on to the buffer.
    fn message(&mut self, length: usize) -> Frame {
        let message = Bytes::copy_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        self.state = State::Between { after_line_end: false };
        if self.buffer.is_empty() && self.buffer.capacity() > IDLE_BUFFER_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
        Frame::Message(message)
    }
}

/// `None` means: not yet. More may follow after the next `push`.
impl Iterator for StreamFramer {
    type Item = Result<Frame, FramingError>;

    fn next(&mut self) -> Option<Result<Frame, FramingError>> {
        let result = self.step();
        if result.is_err() {
            self.state = State::Failed;
            self.buffer = BytesMut::new();
        }
        result.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_BYTES_MAX, Frame, FramingError, HEAD_BYTES_MAX, StreamFramer};

    type Frames = Vec<Result<Frame, FramingError>>;

    fn frames(chunks: &[&[u8]]) -> Frames {
        let mut framer = StreamFramer::new();
        let mut out = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            out.extend(framer.by_ref());
        }
        out
    }

    fn message(text: &str) -> Result<Frame, FramingError> {
        Ok(Frame::Message(text.to_owned().into()))
    }

    const WITH_BODY: &str = "MESSAGE sip:a SIP/2.0\r\nContent-Length:\r\n 4\r\n\r\nabcd";
    const WITHOUT_BODY: &str = "OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n";

    #[test]
    fn messages_come_out_whole_and_in_order() {
        let stream = format!("{WITH_BODY}{WITHOUT_BODY}{WITH_BODY}");
        let expected = vec![message(WITH_BODY), message(WITHOUT_BODY), message(WITH_BODY)];
        assert_eq!(frames(&[stream.as_bytes()]), expected);
        let single: Vec<_> = stream.as_bytes().chunks(1).collect();
        assert_eq!(frames(&single), expected);
    }

    #[test]
    fn half_a_message_is_held_back() {
        let mut framer = StreamFramer::new();
        framer.push(&WITH_BODY.as_bytes()[..WITH_BODY.len() - 1]);
        assert_eq!((framer.next(), framer.is_within_message()), (None, true));
        assert_eq!(framer.buffered_bytes(), WITH_BODY.len() - 1);
        framer.push(b"d");
        assert_eq!(framer.next(), Some(message(WITH_BODY)));
        assert_eq!((framer.buffered_bytes(), framer.is_within_message()), (0, false));
    }

    #[test]
    fn pings_and_pongs_are_seen_at_once_and_however_they_are_cut() {
        let (ping, pong) = (Ok(Frame::KeepAlivePing), Ok(Frame::KeepAlivePong));
        assert_eq!(frames(&[b"\r\n"]), vec![pong.clone()]);
        for chunks in [vec![&b"\r\n\r\n"[..]], vec![b"\r", b"\n\r", b"\n"], vec![b"\r\n", b"\r\n"]] {
            assert_eq!(frames(&chunks), [pong.clone(), ping.clone()]);
        }
        let twice = [pong.clone(), ping.clone(), pong.clone(), ping, message(WITHOUT_BODY), pong];
        assert_eq!(frames(&[b"\r\n\r\n\r\n\r\n", WITHOUT_BODY.as_bytes(), b"\r\n"]), twice);
    }

    #[test]
    fn a_stream_without_boundaries_ends() {
        for (text, error) in [
            ("OPTIONS sip:a SIP/2.0\r\nTo: x\r\n\r\n", FramingError::ContentLengthMissing),
            ("OPTIONS sip:a SIP/2.0\r\nl: -999\r\n\r\n", FramingError::ContentLengthUnreadable),
            ("OPTIONS sip:a SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n", FramingError::ContentLengthUnreadable),
            (
                "OPTIONS sip:a SIP/2.0\r\nl: 99999999999999999999\r\n\r\n",
                FramingError::ContentLengthUnreadable,
            ),
            ("OPTIONS sip:a SIP/2.0\r\nl: 65537\r\n\r\n", FramingError::BodyTooLong),
            ("\n", FramingError::NoStartLine),
            (" OPTIONS", FramingError::NoStartLine),
            ("\rX", FramingError::NoStartLine),
            ("\x16\x03\x01 a TLS hello", FramingError::NoStartLine),
        ] {
            assert_eq!(frames(&[text.as_bytes(), WITH_BODY.as_bytes()]), [Err(error)], "{text:?}");
        }
    }

    #[test]
    fn a_header_section_of_64_kib_passes_and_one_byte_more_does_not() {
        let of_length = |length: usize| {
            let frame = "OPTIONS sip:a SIP/2.0\r\nl: 0\r\nX: ";
            format!("{frame}{}\r\n\r\n", "x".repeat(length - frame.len() - 4))
        };
        let fits = of_length(HEAD_BYTES_MAX);
        assert_eq!(frames(&[fits.as_bytes()]), [message(&fits)]);
        let too_long = of_length(HEAD_BYTES_MAX + 1);
        assert_eq!(frames(&[too_long.as_bytes()]), [Err(FramingError::HeadTooLong)]);
        let single: Vec<_> = too_long.as_bytes().chunks(1).collect();
        assert_eq!(frames(&single), [Err(FramingError::HeadTooLong)]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut framer = StreamFramer::new();
        framer.push(format!("MESSAGE sip:a SIP/2.0\r\nl: {BODY_BYTES_MAX}\r\nX: ").as_bytes());
        for _ in 0..1000 {
            framer.push(&[b'x'; 1000]);
            let _ = framer.next();
            assert!(framer.buffered_bytes() <= HEAD_BYTES_MAX + BODY_BYTES_MAX);
        }
        assert_eq!(framer.buffered_bytes(), 0, "the stream has failed and keeps nothing");
    }

    #[test]
    fn an_idle_connection_gives_its_buffer_back() {
        let mut framer = StreamFramer::new();
        let body = "x".repeat(60_000);
        framer.push(format!("MESSAGE sip:a SIP/2.0\r\nl: 60000\r\n\r\n{body}").as_bytes());
        assert!(matches!(framer.next(), Some(Ok(Frame::Message(_)))));
        assert_eq!(framer.buffer.capacity(), 0);
    }
}
