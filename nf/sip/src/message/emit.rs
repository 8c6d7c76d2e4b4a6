//! Writes a [`Draft`] in one pass. Neighbouring kept lines are one copy.

use bytes::Bytes;

use super::draft::{Body, Content, Draft, Field, Start};
use super::view::Span;
use super::Name;

/// The longest Content-Length line this can add.
const CONTENT_LENGTH_LINE: usize = 40;

impl Draft {
    /// Writes the message. Content-Length is written anew when the body changed or the field is missing.
    pub fn emit(&self) -> Bytes {
        let mut out = Writer { base: &self.base, text: Vec::with_capacity(self.size()), pending: Span::default() };
        match &self.start {
            Start::Kept { span, .. } => out.keep(*span),
            Start::Request { method, uri } => out.write(&[method, " ", uri, " SIP/2.0\r\n"]),
            Start::Response { status, reason } => out.write(&["SIP/2.0 ", &status.to_string(), " ", reason, "\r\n"]),
        }
        let mut has_length = false;
        for Field { name, content } in &self.fields {
            has_length |= *name == Name::ContentLength;
            match content {
                Content::Kept { whole, .. } => out.keep(*whole),
                Content::New(value) => out.write(&[name.as_str(), ": ", value, "\r\n"]),
                Content::Named(named) => out.write(&[&named.0, ": ", &named.1, "\r\n"]),
            }
        }
        if !has_length {
            out.write(&["Content-Length: ", &self.body().len().to_string(), "\r\n"]);
        }
        out.write(&["\r\n"]);
        if let Body::Kept(span) = self.body {
            out.keep(span);
        }
        out.flush();
        if let Body::New(body) = &self.body {
            out.text.extend_from_slice(body);
        }
        Bytes::from(out.text)
    }

    /// An upper bound of the size, so that the text is allocated once.
    fn size(&self) -> usize {
        let start = match &self.start {
            Start::Kept { span, .. } => span.range().len(),
            Start::Request { method, uri } => method.len() + uri.len() + 12,
            Start::Response { reason, .. } => reason.len() + 16,
        };
        let fields = self.fields.iter().map(|Field { name, content }| match content {
            Content::Kept { whole, .. } => whole.range().len(),
            Content::New(value) => name.as_str().len() + value.len() + 4,
            Content::Named(named) => named.0.len() + named.1.len() + 4,
        });
        start + fields.sum::<usize>() + CONTENT_LENGTH_LINE + 2 + self.body().len()
    }
}

/// Collects text; ranges of the received bytes that follow each other are copied together.
struct Writer<'a> {
    base: &'a [u8],
    text: Vec<u8>,
    pending: Span,
}

impl Writer<'_> {
    fn keep(&mut self, span: Span) {
        if self.pending.end == span.start {
            self.pending.end = span.end;
        } else {
            self.flush();
            self.pending = span;
        }
    }

    fn write(&mut self, parts: &[&str]) {
        self.flush();
        for part in parts {
            self.text.extend_from_slice(part.as_bytes());
        }
    }

    fn flush(&mut self) {
        self.text.extend_from_slice(&self.base[self.pending.range()]);
        self.pending = Span::default();
    }
}
