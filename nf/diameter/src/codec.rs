//! Diameter messages (RFC 6733 §3): header, message, stream framing.
//!
//! A [`Message`] is a header that was read and bytes that were not: AVPs are looked at when somebody wants them.
//! [`Framer`] cuts a byte stream into messages and holds at most one message and what was pushed last; after an error
//! the stream has lost its rhythm and can only be closed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::avp::{Avp, AvpBuilder, Avps};
use crate::dictionary::{self, Attribute};

/// Length of the header.
pub const HEADER_LENGTH: usize = 20;
/// The longest message we take, in bytes. The wire allows 16 MiB; no Cx message comes near 64 KiB.
pub const MESSAGE_LENGTH_MAX: usize = 64 * 1024;

const VERSION: u8 = 1;
const FLAG_REQUEST: u8 = 0x80;
const FLAG_PROXIABLE: u8 = 0x40;
const FLAG_ERROR: u8 = 0x20;
const FLAG_RETRANSMITTED: u8 = 0x10;

/// Where the flags lie in a message.
pub(crate) const FLAGS_OFFSET: usize = 4;
/// Where the hop-by-hop identifier lies in a message.
pub(crate) const HOP_BY_HOP_OFFSET: usize = 12;

/// Result-Codes that the base protocol itself gives (RFC 6733 §7.1).
#[expect(missing_docs, reason = "names of RFC 6733 §7.1")]
pub mod result {
    pub const SUCCESS: u32 = 2001;
    pub const COMMAND_UNSUPPORTED: u32 = 3001;
    pub const UNABLE_TO_DELIVER: u32 = 3002;
    pub const TOO_BUSY: u32 = 3004;
    pub const APPLICATION_UNSUPPORTED: u32 = 3007;
    pub const INVALID_HDR_BITS: u32 = 3008;
    pub const UNKNOWN_PEER: u32 = 3010;
    pub const AVP_UNSUPPORTED: u32 = 5001;
    pub const INVALID_AVP_VALUE: u32 = 5004;
    pub const MISSING_AVP: u32 = 5005;
    pub const AVP_OCCURS_TOO_MANY_TIMES: u32 = 5009;
    pub const NO_COMMON_APPLICATION: u32 = 5010;
    pub const UNABLE_TO_COMPLY: u32 = 5012;
    pub const INVALID_AVP_LENGTH: u32 = 5014;
    pub const NO_COMMON_SECURITY: u32 = 5017;
}

/// Why a message could not be read, and what its sender is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", describe(*attribute))]
pub struct DecodeError {
    /// The Result-Code of the answer.
    pub result_code: u32,
    /// The sentence for people.
    pub reason: &'static str,
    /// Code and vendor of the AVP at fault.
    pub attribute: Option<(u32, u32)>,
    /// The AVP at fault in wire form, for Failed-AVP; empty when there is none.
    pub failed_avp: BytesMut,
}

impl DecodeError {
    /// An error that no single AVP has caused.
    pub fn plain(result_code: u32, reason: &'static str) -> Self {
        DecodeError { result_code, reason, attribute: None, failed_avp: BytesMut::new() }
    }

    /// An AVP that is not there (5005). RFC 6733 §7.5: Failed-AVP shows it with zeroes.
    pub fn missing(attribute: Attribute) -> Self {
        let absent =
            Avp { code: attribute.code, vendor: attribute.vendor, is_mandatory: true, data: &[0; 4] };
        absent.refuse(result::MISSING_AVP, "a required AVP is missing")
    }
}

fn describe(attribute: Option<(u32, u32)>) -> String {
    match attribute {
        None => String::new(),
        Some((code, 0)) => format!(" (AVP {code})"),
        Some((code, vendor)) => format!(" (AVP {code} of vendor {vendor})"),
    }
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The R bit.
    pub is_request: bool,
    /// The P bit: may be relayed.
    pub is_proxiable: bool,
    /// The E bit: the answer is a protocol error.
    pub is_error: bool,
    /// The T bit: perhaps sent before, on another connection.
    pub is_retransmitted: bool,
    /// The command.
    pub command_code: u32,
    /// The application.
    pub application_id: u32,
    /// Pairs an answer with its request on one connection.
    pub hop_by_hop: u32,
    /// Finds repetitions, together with Origin-Host.
    pub end_to_end: u32,
}

impl Header {
    /// The header of an answer to a message with this header.
    pub fn answer(&self, is_error: bool) -> Header {
        Header { is_request: false, is_error, is_retransmitted: false, ..*self }
    }

    fn read(bytes: &[u8; HEADER_LENGTH]) -> Header {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let flags = bytes[FLAGS_OFFSET];
        Header {
            is_request: flags & FLAG_REQUEST != 0,
            is_proxiable: flags & FLAG_PROXIABLE != 0,
            is_error: flags & FLAG_ERROR != 0,
            is_retransmitted: flags & FLAG_RETRANSMITTED != 0,
            command_code: word(4) & 0x00ff_ffff,
            application_id: word(8),
            hop_by_hop: word(HOP_BY_HOP_OFFSET),
            end_to_end: word(16),
        }
    }
}

/// Writes a message: header first, AVPs in the order given.
#[derive(Debug)]
pub struct MessageBuilder {
    avps: AvpBuilder,
}

impl MessageBuilder {
    /// Starts a message.
    pub fn new(header: Header) -> Self {
        let mut buffer = BytesMut::with_capacity(512);
        let flag = |is_set, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(header.is_request, FLAG_REQUEST)
            | flag(header.is_proxiable, FLAG_PROXIABLE)
            | flag(header.is_error, FLAG_ERROR)
            | flag(header.is_retransmitted, FLAG_RETRANSMITTED);
        buffer.put_u32(u32::from(VERSION) << 24);
        buffer.put_u32(u32::from(flags) << 24 | header.command_code & 0x00ff_ffff);
        buffer.put_u32(header.application_id);
        buffer.put_u32(header.hop_by_hop);
        buffer.put_u32(header.end_to_end);
        MessageBuilder { avps: AvpBuilder::after(buffer) }
    }

    /// Where to write the AVPs.
    pub fn avps(&mut self) -> &mut AvpBuilder {
        &mut self.avps
    }

    /// The whole message.
    pub fn finish(self) -> Bytes {
        let mut buffer = self.avps.finish();
        let [_, l0, l1, l2] = (buffer.len() as u32).to_be_bytes();
        buffer[1..4].copy_from_slice(&[l0, l1, l2]);
        buffer.freeze()
    }
}

/// A copy of a whole request with the T bit set: to be sent on a second connection (RFC 6733 §3).
pub(crate) fn retransmission(message: &[u8]) -> Bytes {
    let mut copy = BytesMut::from(message);
    copy[FLAGS_OFFSET] |= FLAG_RETRANSMITTED;
    copy.freeze()
}

/// A copy of a whole request that another peer of ours has sent, with its command: with the T bit and another hop-by-hop
/// identifier, the end-to-end identifier stays (RFC 6733 §3).
pub(crate) fn asked_again(message: &[u8], hop_by_hop: u32) -> (u32, Bytes) {
    let command_code = u32::from_be_bytes([0, message[5], message[6], message[7]]);
    (command_code, with_hop_by_hop(&retransmission(message), hop_by_hop))
}

/// The end-to-end identifier of a whole message; `None` when it is not even a header.
pub fn end_to_end(message: &[u8]) -> Option<u32> {
    let field = message.get(HOP_BY_HOP_OFFSET + 4..HEADER_LENGTH)?;
    Some(u32::from_be_bytes(field.try_into().ok()?))
}

/// A copy of a whole answer that goes back to another transmission of its request.
pub(crate) fn with_hop_by_hop(message: &[u8], hop_by_hop: u32) -> Bytes {
    let mut copy = BytesMut::from(message);
    copy[HOP_BY_HOP_OFFSET..HOP_BY_HOP_OFFSET + 4].copy_from_slice(&hop_by_hop.to_be_bytes());
    copy.freeze()
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its header.
    pub header: Header,
    bytes: Bytes,
}

impl Message {
    /// Takes exactly one message.
    pub fn parse(bytes: Bytes) -> Result<Message, FramingError> {
        let length = message_length(&bytes)?.ok_or(FramingError::Truncated)?;
        if length != bytes.len() {
            return Err(FramingError::Truncated);
        }
        let (header, _) = bytes.split_first_chunk().ok_or(FramingError::Truncated)?;
        Ok(Message { header: Header::read(header), bytes })
    }

    /// The whole message in wire form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its AVPs, in their order.
    pub fn avps(&self) -> Avps<'_> {
        Avps::new(&self.bytes[HEADER_LENGTH..])
    }

    /// The first AVP of this kind; `None` also when AVPs before it cannot be read.
    pub fn find(&self, attribute: Attribute) -> Option<Avp<'_>> {
        self.avps().map_while(Result::ok).find(|avp| avp.is(attribute))
    }

    /// Refuses R and E together (RFC 6733 §3: 3008).
    pub fn check_header(&self) -> Result<(), DecodeError> {
        match self.header.is_request && self.header.is_error {
            true => Err(DecodeError::plain(result::INVALID_HDR_BITS, "a request with the E bit")),
            false => Ok(()),
        }
    }

    /// The answer to a request that could not be read or is not for us.
    ///
    /// Protocol errors (3xxx) have the E bit (RFC 6733 §7.2). Session-Id and Proxy-Info come back when they can be read.
    pub fn refusal(&self, error: &DecodeError, origin_host: &str, origin_realm: &str) -> Bytes {
        let is_error = (3000..4000).contains(&error.result_code);
        let mut builder = MessageBuilder::new(self.header.answer(is_error));
        let avps = builder.avps();
        if let Some(session) = self.find(dictionary::SESSION_ID) {
            avps.octets(dictionary::SESSION_ID, session.data);
        }
        if self.header.application_id == dictionary::APPLICATION_CX {
            crate::cx::encode::application(avps);
        }
        avps.unsigned32(dictionary::RESULT_CODE, error.result_code);
        avps.text(dictionary::ORIGIN_HOST, origin_host);
        avps.text(dictionary::ORIGIN_REALM, origin_realm);
        avps.text(dictionary::ERROR_MESSAGE, error.reason);
        if !error.failed_avp.is_empty() {
            avps.group(dictionary::FAILED_AVP, |avps| avps.raw(&error.failed_avp));
        }
        for proxy in self.avps().map_while(Result::ok).filter(|avp| avp.is(dictionary::PROXY_INFO)) {
            avps.octets(dictionary::PROXY_INFO, proxy.data);
        }
        builder.finish()
    }
}

/// Why a stream is no stream of Diameter messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The first byte is not 1.
    #[error("version {0} instead of 1")]
    Version(u8),
    /// Shorter than a header, longer than 64 KiB or no multiple of four.
    #[error("impossible message length of {0} bytes")]
    Length(usize),
    /// Not exactly one message.
    #[error("not exactly one message")]
    Truncated,
}

/// The length that a message's first four bytes announce; `None` while they are not all there.
fn message_length(bytes: &[u8]) -> Result<Option<usize>, FramingError> {
    match *bytes {
        [] => Ok(None),
        [VERSION, l0, l1, l2, ..] => {
            let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
            let is_possible =
                (HEADER_LENGTH..=MESSAGE_LENGTH_MAX).contains(&length) && length.is_multiple_of(4);
            if is_possible { Ok(Some(length)) } else { Err(FramingError::Length(length)) }
        }
        [VERSION, ..] => Ok(None),
        [version, ..] => Err(FramingError::Version(version)),
    }
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    error: Option<FramingError>,
}

impl Framer {
    /// Takes bytes of the stream, cut anywhere. Drain [`Framer::next`] afterwards.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole message.
    ///
    /// Errors: the stream is garbage from here on; every further call gives the same error.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would promise to end; this one waits for more"
    )]
    pub fn next(&mut self) -> Result<Option<Message>, FramingError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let length = message_length(&self.buffer).inspect_err(|&error| {
            self.error = Some(error);
            self.buffer = BytesMut::new();
        })?;
        match length {
            Some(length) if self.buffer.len() >= length => {
                let bytes = self.buffer.split_to(length).freeze();
                Message::parse(bytes).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// How many bytes wait for the rest of their message.
    pub fn waiting(&self) -> usize {
        self.buffer.remaining()
    }
}

#[cfg(test)]
mod tests;
