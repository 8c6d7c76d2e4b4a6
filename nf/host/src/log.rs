//! Log lines from events, on standard error: JSON for machines, text for people.
//!
//! Levels by reader: `error` and `warn` are for the operator now, `info` for the operator later, `debug` and `trace`
//! for engineers. Identities are redacted by their type ([`node::event::Pii`]); the trace is the place to look a
//! subscriber up. A flood of bad messages does not become a flood of lines.

use std::io::IsTerminal;

use clock::{Duration, Instant};
use node::Event;
use tracing::{debug, error, info, trace, warn};
use tracing_subscriber::EnvFilter;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging. `filter` as in `EVERTONE_LOG` (`info`, `host=debug` …); the default format is text on a terminal,
/// JSON elsewhere.
pub fn start(format: Option<Format>, filter: &str) {
    let is_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if is_terminal { Format::Text } else { Format::Json });
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        // The reader of a pipe may be gone: a line that cannot be written is lost, the function goes on.
        .log_internal_errors(false);
    let started = match format {
        Format::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        Format::Text => builder.try_init(),
    };
    // Already started happens in tests alone.
    drop(started);
}

/// Lines about bad messages a second; the rest is counted.
const REJECTIONS_MAX: u32 = 20;

/// Turns events into lines.
#[derive(Default)]
pub struct Log {
    window_start: Instant,
    written: u32,
    suppressed: u64,
}

impl Log {
    /// Writes the line of an event, if it has one.
    pub fn on_event(&mut self, now: Instant, event: &Event) {
        match event {
            Event::MessageRejected { flow, cause, reason, answered } => {
                if self.has_room(now) {
                    info!(remote = %flow.remote, transport = flow.transport.as_via_token(), cause, reason, answered, "message rejected");
                }
            }
            Event::SipReceived { flow, bytes } => {
                trace!(remote = %flow.remote, bytes = bytes.len(), "SIP message received");
            }
            Event::SipSent { destination, bytes, is_retransmission } => {
                trace!(remote = %destination.remote, bytes = bytes.len(), is_retransmission, "SIP message sent");
            }
            Event::RetransmissionAbsorbed { method } => trace!(method, "repetition absorbed"),
            Event::Diameter { is_received, peer, command, result, .. } => {
                trace!(is_received, peer, command, result, "Diameter message");
            }
            Event::DiameterRejected { peer, reason } => {
                if self.has_room(now) {
                    warn!(peer, reason, "Diameter message rejected");
                }
            }
            Event::DiameterPeerUp { peer } => info!(peer, "Diameter peer up"),
            Event::DiameterPeerDown { peer, reason } => warn!(peer, reason, "Diameter peer down"),
            Event::Procedure { name, outcome: "ok", identity, detail } => {
                debug!(procedure = name, outcome = "ok", %identity, detail, "procedure ended");
            }
            Event::Procedure { name, outcome, identity, detail } => {
                if self.has_room(now) {
                    info!(procedure = name, outcome, %identity, detail, "procedure failed");
                }
            }
            Event::Shed { method } => {
                if self.has_room(now) {
                    warn!(method, "request refused: overload");
                }
            }
            Event::Alarm { cause, reason } => error!(cause, reason, "alarm"),
        }
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if now.saturating_since(self.window_start) >= Duration::from_secs(1) {
            if self.suppressed > 0 {
                warn!(
                    lines = self.suppressed,
                    "lines about single messages suppressed; the metrics count them all"
                );
            }
            (self.window_start, self.written, self.suppressed) = (now, 0, 0);
        }
        if self.written < REJECTIONS_MAX {
            self.written += 1;
            return true;
        }
        self.suppressed += 1;
        false
    }
}
