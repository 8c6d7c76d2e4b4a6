//! Finds start line, header lines and body in received bytes. Judges their shape only; values are read later.

use bytes::Bytes;
use memchr::{memchr, memchr2, memrchr};

use super::list::{is_blank, is_token_octet};
use super::view::{Line, Message, Span, StartLine, decimal};
use super::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADER_LINES_MAX, Method, Name, ParseError};

/// What is wrong, before it is known whether anybody is to be told.
type Fault = String;

/// See [`Message::parse`].
pub(super) fn parse(raw: Bytes) -> Result<Message, ParseError> {
    if raw.len() > HEAD_BYTES_MAX + BODY_BYTES_MAX {
        return Err(dropped(format!("message of {} bytes is too long", raw.len())));
    }
    let start_at = leading_line_ends(&raw);
    let start_end = line_end(&raw, start_at).map_err(dropped)?;
    let start = start_line(&raw, start_at, start_end)?;
    let answer_status = answerable(&raw, start).then_some(400);
    let refused = |reason| ParseError { reason, answer_status };

    let (lines, body_at) = header_lines(&raw, start_end + 2).map_err(refused)?;
    let head = &raw[start_at..body_at];
    // Almost every header section is ASCII, which is seen four times as fast.
    if !head.is_ascii() && std::str::from_utf8(head).is_err() {
        return Err(refused("header section is not UTF-8".into()));
    }
    let body_end = body_end(&raw, &lines, body_at).map_err(refused)?;
    let (start_span, body) = (Span::new(start_at, start_end + 2), Span::new(body_at, body_end));
    Ok(Message { raw, start, start_span, lines, body })
}

/// See [`Message::parse_for_rejection`]. Lines that cannot be read are left out.
pub(super) fn parse_for_rejection(raw: Bytes) -> Option<Message> {
    if raw.len() > HEAD_BYTES_MAX + BODY_BYTES_MAX {
        return None;
    }
    let start_at = leading_line_ends(&raw);
    let start_end = line_end(&raw, start_at).ok()?;
    let start = loose_request_line(&raw, start_at, start_end)?;
    let mut lines = Vec::new();
    let mut at = start_end + 2;
    while at < raw.len() && !raw[at..].starts_with(b"\r\n") && lines.len() < HEADER_LINES_MAX {
        match header_line(&raw, at) {
            Ok(line) if std::str::from_utf8(&raw[line.whole.range()]).is_ok() => {
                at = line.whole.end as usize;
                lines.push(line);
            }
            _ => at = memchr(b'\n', &raw[at..]).map_or(raw.len(), |length| at + length + 1),
        }
    }
    let (start_span, body) = (Span::new(start_at, start_end + 2), Span::default());
    let message = Message { raw, start, start_span, lines, body };
    (message.via().is_some() && message.method() != Method::Ack).then_some(message)
}

fn dropped(reason: Fault) -> ParseError {
    ParseError { reason, answer_status: None }
}

/// Only requests are answered, and of these not ACK (RFC 3261 §17.1.1.3).
fn answerable(raw: &[u8], start: StartLine) -> bool {
    match start {
        StartLine::Request { method, .. } => &raw[method.range()] != b"ACK",
        StartLine::Response { .. } => false,
    }
}

/// The position behind CRLFs in front of the message (RFC 3261 §7.5).
fn leading_line_ends(raw: &[u8]) -> usize {
    raw.chunks_exact(2).take_while(|pair| pair == b"\r\n").count() * 2
}

/// The position of the CRLF that ends the physical line at `from`.
fn line_end(raw: &[u8], from: usize) -> Result<usize, Fault> {
    let at =
        from + memchr2(b'\r', b'\n', &raw[from..]).ok_or_else(|| Fault::from("header section has no end"))?;
    match &raw[at..] {
        [b'\r', b'\n', ..] => Ok(at),
        [b'\r'] => Err("header section has no end".into()),
        [b'\r', ..] => Err("carriage return that ends no line".into()),
        _ => Err("line feed without carriage return".into()),
    }
}

fn start_line(raw: &[u8], from: usize, to: usize) -> Result<StartLine, ParseError> {
    if raw[from..to].starts_with(b"SIP/") {
        return status_line(raw, from, to).map_err(dropped);
    }
    let line = &raw[from..to];
    let method_length = line.iter().take_while(|octet| is_token_octet(**octet)).count();
    if method_length == 0 || line.get(method_length) != Some(&b' ') {
        return Err(dropped("start line is neither a request line nor a status line".into()));
    }
    let answer_status = (&line[..method_length] != b"ACK").then_some(400);
    let refused = |reason: &str| ParseError { reason: reason.into(), answer_status };
    let uri_from = method_length + 1;
    let uri_to = memrchr(b' ', line)
        .filter(|at| *at > uri_from)
        .ok_or_else(|| refused("request line has no version"))?;
    match version(&line[uri_to + 1..]) {
        Version::Two => {}
        Version::Unknown => {
            let reason = "SIP version is not 2.0".into();
            return Err(ParseError { reason, answer_status: answer_status.map(|_| 505) });
        }
        Version::Unreadable => return Err(refused("request line does not end in a SIP version")),
    }
    if line[uri_from..uri_to].iter().any(|octet| octet.is_ascii_whitespace()) {
        return Err(refused("white space in the Request-URI"));
    }
    let method = Span::new(from, from + method_length);
    Ok(StartLine::Request { method, uri: Span::new(from + uri_from, from + uri_to) })
}

enum Version {
    Two,
    Unknown,
    Unreadable,
}

/// The version is compared without regard to case (RFC 3261 §7.1).
fn version(token: &[u8]) -> Version {
    let number = match token {
        [name @ .., _, b'.', _] if name.eq_ignore_ascii_case(b"SIP/") => &token[4..],
        _ => return Version::Unreadable,
    };
    match number {
        b"2.0" => Version::Two,
        [b'0'..=b'9', _, b'0'..=b'9'] => Version::Unknown,
        _ => Version::Unreadable,
    }
}

/// `SIP/2.0 180 Ringing`. The blank behind the code may be missing when there is no reason phrase: some devices do so.
fn status_line(raw: &[u8], from: usize, to: usize) -> Result<StartLine, Fault> {
    let line = &raw[from..to];
    let (code, rest) = match line {
        [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b' ', a, b, c, rest @ ..] => ([*a, *b, *c], rest),
        _ => return Err("status line cannot be read".into()),
    };
    if !code.iter().all(u8::is_ascii_digit) || !matches!(rest, [] | [b' ', ..]) {
        return Err("status code is not three digits".into());
    }
    let status = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    if !(100..700).contains(&status) {
        return Err(format!("status code {status} is not between 100 and 699"));
    }
    Ok(StartLine::Response { status, reason: Span::new((to - rest.len() + 1).min(to), to) })
}

/// A request line of which only the method can be relied upon.
fn loose_request_line(raw: &[u8], from: usize, to: usize) -> Option<StartLine> {
    let line = &raw[from..to];
    let method_length = line.iter().take_while(|octet| is_token_octet(**octet)).count();
    if method_length == 0 || !line[method_length..].starts_with(b" ") || line.starts_with(b"SIP/") {
        return None;
    }
    let (method, uri) = (Span::new(from, from + method_length), Span::new(from + method_length + 1, to));
    let uri = if std::str::from_utf8(&raw[uri.range()]).is_ok() { uri } else { Span::default() };
    Some(StartLine::Request { method, uri })
}

/// All header lines, and where the body begins.
fn header_lines(raw: &[u8], from: usize) -> Result<(Vec<Line>, usize), Fault> {
    // Header lines of devices and proxies are 55 to 80 bytes long in the mean: so the index is allocated once, unless
    // somebody sends very short ones.
    let mut lines = Vec::with_capacity((raw.len() / 40 + 8).min(64));
    let mut at = from;
    while !raw[at..].starts_with(b"\r\n") {
        if lines.len() == HEADER_LINES_MAX {
            return Err(format!("more than {HEADER_LINES_MAX} header lines"));
        }
        let line = header_line(raw, at)?;
        at = line.whole.end as usize;
        lines.push(line);
    }
    if at + 2 - from > HEAD_BYTES_MAX {
        return Err(format!("header section is longer than {HEAD_BYTES_MAX} bytes"));
    }
    Ok((lines, at + 2))
}

/// The header line at `from`, with the lines that continue it (RFC 3261 §7.3.1).
fn header_line(raw: &[u8], from: usize) -> Result<Line, Fault> {
    let name_length = raw[from..].iter().take_while(|octet| is_token_octet(**octet)).count();
    let blanks = raw[from + name_length..].iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let colon = from + name_length + blanks;
    if name_length == 0 || name_length > usize::from(u16::MAX) || raw.get(colon) != Some(&b':') {
        return Err(no_field(raw, from));
    }
    let mut value_end = line_end(raw, colon + 1)?;
    while matches!(raw.get(value_end + 2), Some(b' ' | b'\t')) {
        value_end = line_end(raw, value_end + 2)?;
    }
    let whole = Span::new(from, value_end + 2);
    let mut value_start = colon + 1;
    while value_start < value_end && is_blank(raw[value_start]) {
        value_start += 1;
    }
    while value_start < value_end && is_blank(raw[value_end - 1]) {
        value_end -= 1;
    }
    let name = Name::from_bytes(&raw[from..from + name_length]);
    Ok(Line { whole, value: Span::new(value_start, value_end), name_length: name_length as u16, name })
}

fn no_field(raw: &[u8], from: usize) -> Fault {
    match raw.get(from) {
        None => "header section has no end".into(),
        Some(b' ' | b'\t') => "first header line begins with white space".into(),
        Some(b'\r' | b'\n') => "line end inside the header section".into(),
        Some(_) => "header line has no name before a colon".into(),
    }
}

/// Where the body ends.
fn body_end(raw: &[u8], lines: &[Line], body_at: usize) -> Result<usize, Fault> {
    let values =
        lines.iter().filter(|line| line.name == Name::ContentLength).map(|line| &raw[line.value.range()]);
    let available = raw.len() - body_at;
    match agreed_length(values)? {
        Some(length) if length > available => {
            Err(format!("Content-Length is {length}, but only {available} bytes follow"))
        }
        length => Ok(body_at + length.unwrap_or(available)),
    }
}

/// The Content-Length that all its fields agree on; `None` when there is none.
fn agreed_length<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<usize>, Fault> {
    let mut agreed = None;
    for value in values {
        let length = std::str::from_utf8(value).ok().and_then(decimal);
        let length = length.ok_or_else(|| Fault::from("Content-Length is not a number"))? as usize;
        if agreed.is_some_and(|other| other != length) {
            return Err("Content-Length fields that differ".into());
        }
        agreed = Some(length);
    }
    Ok(agreed)
}

/// The Content-Length of a whole header section, for [`crate::framing`]. Lines that are malformed are passed over:
/// [`Message::parse`] will refuse the message they are in.
pub(crate) fn content_length(head: &[u8]) -> Result<Option<usize>, Fault> {
    let mut values = Vec::new();
    let mut at = memchr::memmem::find(head, b"\r\n").map_or(head.len(), |end| end + 2);
    while at < head.len() && !head[at..].starts_with(b"\r\n") {
        match header_line(head, at) {
            Ok(line) => {
                at = line.whole.end as usize;
                if line.name == Name::ContentLength {
                    values.push(&head[line.value.range()]);
                }
            }
            Err(_) => at = memchr::memmem::find(&head[at..], b"\r\n").map_or(head.len(), |end| at + end + 2),
        }
    }
    agreed_length(values.into_iter())
}
