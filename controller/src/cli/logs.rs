//! `evertone logs`: what the functions and the controller wrote.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use plan::ProcessName;

use super::context::Context;
use super::instances;

/// Show logs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// `pcscf`, `icscf`, `scscf`, `hss` or `controller`; where they are pairs both, or one of the two, such as `scscf-1`; `witness`,
    /// `host-agent`. [default: all]
    #[arg(value_name = "FUNCTION")]
    function: Option<String>,
    /// Go on as it grows.
    #[arg(short, long)]
    follow: bool,
    /// As they were written, one JSON object a line, instead of for people.
    #[arg(long)]
    raw: bool,
    /// How many lines of each to begin with.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
}

/// How much of a log's end is read for its last lines.
const TAIL_BYTES_MAX: u64 = 1 << 20;

struct Log {
    name: &'static str,
    path: PathBuf,
    position: u64,
    /// The beginning of a line whose end is still to come.
    partial: Vec<u8>,
}

/// Runs the verb.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let places = &context.places;
    let is_wanted = |name: &str| arguments.function.as_ref().is_none_or(|wanted| wanted == name);
    let is_chosen = |name: &ProcessName| {
        is_wanted(name.as_str()) || name.kind().is_some_and(|kind| is_wanted(kind.as_str()))
    };
    let chosen = instances::all(context).into_iter().filter(is_chosen);
    let chosen = chosen.map(|name| (name.as_str(), places.log_file(name)));
    let controller = is_wanted("controller").then(|| ("controller", places.controller_log()));
    let mut logs: Vec<Log> = chosen
        .chain(controller)
        .map(|(name, path)| Log { name, path, position: 0, partial: Vec::new() })
        .collect();
    if logs.is_empty() {
        bail!("there is no function {}", arguments.function.as_deref().unwrap_or_default());
    }
    let has_prefix = logs.len() > 1;
    for log in &mut logs {
        let length = std::fs::metadata(&log.path).map_or(0, |metadata| metadata.len());
        log.position = length.saturating_sub(TAIL_BYTES_MAX);
        let lines = log.read();
        let skip = lines.len().saturating_sub(arguments.lines);
        log.print(&lines[skip..], has_prefix, arguments.raw)?;
    }
    if !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for log in &mut logs {
            let lines = log.read();
            log.print(&lines, has_prefix, arguments.raw)?;
        }
    }
}

impl Log {
    /// The whole lines that were added since the last call. A file that became shorter was moved aside: from its start.
    fn read(&mut self) -> Vec<String> {
        let Ok(mut file) = std::fs::File::open(&self.path) else { return Vec::new() };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length < self.position {
            (self.position, self.partial) = (0, Vec::new());
        }
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.position)).is_err() || file.read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        self.position += bytes.len() as u64;
        let mut whole = std::mem::take(&mut self.partial);
        whole.append(&mut bytes);
        let end = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
        self.partial = whole.split_off(end);
        String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
    }

    fn print(&self, lines: &[String], has_prefix: bool, is_raw: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        for line in lines {
            let line = if is_raw { line.clone() } else { for_people(line) };
            // A reader like `head` may have gone.
            let written = match has_prefix {
                true => writeln!(out, "{:<10} {line}", self.name),
                false => writeln!(out, "{line}"),
            };
            if written.is_err() {
                std::process::exit(0);
            }
        }
        Ok(())
    }
}

/// A structured line as time, level, message and the rest; any other line as it is.
fn for_people(line: &str) -> String {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let mut take = |name: &str| match fields.remove(name) {
        Some(serde_json::Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (time, level, message) = (take("timestamp"), take("level"), take("message"));
    take("target");
    let rest: String = fields
        .iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => format!(" {name}={text}"),
            other => format!(" {name}={other}"),
        })
        .collect();
    format!("{time} {level:<5} {message}{rest}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_structured_line_is_turned_into_words() {
        let line = r#"{"timestamp":"T","level":"INFO","message":"Diameter peer up","peer":"hss.a.b","target":"host::log"}"#;
        assert_eq!(super::for_people(line), "T INFO  Diameter peer up peer=hss.a.b");
        assert_eq!(super::for_people("hss: cannot listen"), "hss: cannot listen");
    }
}
