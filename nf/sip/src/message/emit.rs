//! Writes a [`Draft`] in one pass. Neighbouring kept lines are one copy.

use bytes::Bytes;

use super::Name;
use super::draft::{Content, Draft, Field, Start};
use super::view::Span;

impl Draft {
    /// Writes the message. Content-Length is written anew when the body changed or the field is missing.
    pub fn emit(&self) -> Bytes {
        let start_line = self.new_start_line();
        let length_line = self.missing_length_line();
        // The size is exact: a full vector becomes `Bytes` without another allocation.
        let size = self.size(&start_line, &length_line);
        let mut out = Writer { base: &self.base, text: Vec::with_capacity(size), pending: Span::default() };
        match self.start {
            Start::Kept { span, .. } => out.keep(span),
            Start::Request { .. } | Start::Response { .. } => out.write(&[&start_line]),
        }
        for Field { name, content } in &self.fields {
            match content {
                Content::Kept { whole, .. } => out.keep(*whole),
                Content::New(value) => out.write(&[name.as_str(), ": ", value, "\r\n"]),
                Content::Named(named) => out.write(&[&named.0, ": ", &named.1, "\r\n"]),
            }
        }
        out.write(&[&length_line, "\r\n"]);
        out.flush();
        out.text.extend_from_slice(self.body());
        debug_assert_eq!(out.text.len(), size);
        Bytes::from(out.text)
    }

    /// Empty when the received one is kept.
    fn new_start_line(&self) -> String {
        match &self.start {
            Start::Kept { .. } => String::new(),
            Start::Request { method, uri } => format!("{method} {uri} SIP/2.0\r\n"),
            Start::Response { status, reason } => format!("SIP/2.0 {status} {reason}\r\n"),
        }
    }

    /// Empty when there is a Content-Length.
    fn missing_length_line(&self) -> String {
        match self.header(Name::ContentLength) {
            Some(_) => String::new(),
            None => format!("Content-Length: {}\r\n", self.body().len()),
        }
    }

    fn size(&self, start_line: &str, length_line: &str) -> usize {
        let kept_start_line = match self.start {
            Start::Kept { span, .. } => span.range().len(),
            Start::Request { .. } | Start::Response { .. } => 0,
        };
        let fields = self.fields.iter().map(|Field { name, content }| match content {
            Content::Kept { whole, .. } => whole.range().len(),
            Content::New(value) => name.as_str().len() + value.len() + 4,
            Content::Named(named) => named.0.len() + named.1.len() + 4,
        });
        kept_start_line + start_line.len() + fields.sum::<usize>() + length_line.len() + 2 + self.body().len()
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
