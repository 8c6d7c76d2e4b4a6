//! What happened in a run, for people. Columns: virtual time in ms, who, what; printed when a seed fails.

use std::collections::VecDeque;
use std::fmt;

use clock::Instant;
use sip::{Message, Name};

/// Lines kept; the oldest go first.
const LINES_MAX: usize = 4_000;

/// The last lines of a run.
#[derive(Default)]
pub struct Trace {
    lines: VecDeque<(Instant, String, String)>,
}

impl Trace {
    /// Notes one line.
    pub fn note(&mut self, now: Instant, who: &str, what: impl Into<String>) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((now, who.to_owned(), what.into()));
    }

    /// Only the lines that hold `text`.
    pub fn about(&self, text: &str) -> Trace {
        Trace { lines: self.lines.iter().filter(|(_, _, what)| what.contains(text)).cloned().collect() }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>12}  {:<8} what", "time ms", "who")?;
        for (at, who, what) in &self.lines {
            writeln!(f, "{:>12.3}  {who:<8} {what}", at.as_micros() as f64 / 1000.0)?;
        }
        Ok(())
    }
}

/// A SIP message in one line: what it is, who it is about, and the fields that decide its way.
pub fn summary(bytes: &bytes::Bytes) -> String {
    let Ok(message) = Message::parse(bytes.clone()) else {
        return format!("{} unreadable bytes", bytes.len());
    };
    let start = match message.is_request() {
        true => format!("{} {}", message.method().as_str(), message.request_uri()),
        false => format!("{} {} ({})", message.status(), message.reason(), message.method().as_str()),
    };
    let field = |name: Name| {
        let values: Vec<_> = message.values(name).collect();
        if values.is_empty() { String::new() } else { format!(" {}={}", name.as_str(), values.join(",")) }
    };
    format!(
        "{start} call={} cseq={}{}{}{}{}",
        message.call_id(),
        message.cseq().map_or(0, |cseq| cseq.number),
        field(Name::Route),
        field(Name::Path),
        field(Name::ServiceRoute),
        field(Name::Contact),
    )
}
