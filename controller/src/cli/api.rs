//! The CLI's side of the controller's API, and the start of a controller in the background.

use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use plan::ProcessName;
use rustix::process::{Pid, Signal, kill_process};

use super::context::Context;
use crate::controller::{holder, own_mark};
use crate::http::{self, HttpError, percent_encoded};
use crate::report::Document;
use crate::watch::Accepted;

/// How long a living controller may take to answer: it answers from memory.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long work may take: stopping four functions that all wait for their last answer.
const WORK_PATIENCE: Duration = Duration::from_secs(60);

/// The status; `None` when no controller runs.
pub async fn status(context: &Context) -> Result<Option<Document>> {
    match http::get(&context.places.controller_socket(), "/status", PATIENCE).await {
        Ok(answer) if answer.is_success() => Ok(Some(answer.json()?)),
        Ok(answer) => Err(anyhow!("the controller says: {}", answer.text())),
        Err(HttpError::NobodyThere(_)) => Ok(None),
        Err(error) => Err(anyhow::Error::from(error).context("the controller does not answer")),
    }
}

/// Hands a resource to the controller.
pub async fn apply(context: &Context, file: &str, text: &str) -> Result<Accepted> {
    let path = format!("/apply?file={}", percent_encoded(file));
    let socket = context.places.controller_socket();
    let answer = http::post(&socket, &path, text.as_bytes().to_vec(), WORK_PATIENCE).await;
    let answer = answer.context("the controller does not answer")?;
    match answer.is_success() {
        true => Ok(answer.json()?),
        false => bail!("{}", answer.text()),
    }
}

/// Brings the core down; `false` when no controller runs.
pub async fn stop(context: &Context) -> Result<bool> {
    match http::post(&context.places.controller_socket(), "/stop", Vec::new(), WORK_PATIENCE).await {
        Ok(answer) if answer.is_success() => Ok(true),
        Ok(answer) => Err(anyhow!("the controller says: {}", answer.text())),
        Err(HttpError::NobodyThere(_)) => Ok(false),
        Err(error) => Err(anyhow::Error::from(error).context("the controller does not answer")),
    }
}

/// Stops a process for a while, or lets it run again.
pub async fn function(context: &Context, name: ProcessName, verb: &str) -> Result<()> {
    let path = format!("/functions/{name}/{verb}");
    let answer = http::post(&context.places.controller_socket(), &path, Vec::new(), WORK_PATIENCE).await;
    let answer = answer.context("the controller does not answer")?;
    match answer.is_success() {
        true => Ok(()),
        false => bail!("{}", answer.text()),
    }
}

/// Sees to it that a controller of this very program runs; says whether one was started. One that is out of date or
/// hangs is replaced: the functions do not notice.
pub async fn ensure_controller(context: &Context) -> Result<bool> {
    match status(context).await {
        Ok(Some(document)) => {
            let binary = document.controller.map(|about| about.binary);
            if binary.as_deref() == Some(own_mark().as_str()) {
                return Ok(false);
            }
            println!("replacing the controller, which is of another version; the functions go on");
            end_controller(context, Signal::TERM).await?;
        }
        Ok(None) => {}
        Err(_) => {
            println!("replacing the controller, which does not answer; the functions go on");
            end_controller(context, Signal::KILL).await?;
        }
    }
    start_controller(context).await.map(|()| true)
}

/// Ends the controller and leaves the functions alone.
pub async fn end_controller(context: &Context, with: Signal) -> Result<()> {
    let Some(pid) = holder(&context.places) else { return Ok(()) };
    let process = Pid::from_raw(pid).context("the lock names no process")?;
    // It may have ended by itself.
    let _ = kill_process(process, with);
    let begun = Instant::now();
    while holder(&context.places) == Some(pid) {
        if begun.elapsed() > PATIENCE {
            kill_process(process, Signal::KILL)
                .with_context(|| format!("cannot end the controller, process {pid}"))?;
        }
        if begun.elapsed() > 2 * PATIENCE {
            bail!("the controller, process {pid}, does not end");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn start_controller(context: &Context) -> Result<()> {
    let log_file = context.places.controller_log();
    let mut options = std::fs::OpenOptions::new();
    let log = options.append(true).create(true).mode(0o600).open(&log_file);
    let log = log.with_context(|| format!("cannot open {}", log_file.display()))?;
    let offset = log.metadata().map_or(0, |metadata| metadata.len());
    let own = std::env::current_exe().context("this program does not know where it lies")?;
    let mut command = Command::new(own);
    if let Some(chosen) = &context.chosen {
        command.arg("--state-directory").arg(chosen);
    }
    command.arg("--binaries").arg(&context.binaries).args(["controller", "run"]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/");
    let mut child = command.spawn().context("the controller cannot be started")?;
    let begun = Instant::now();
    while !matches!(status(context).await, Ok(Some(_))) {
        // Where another one was quicker (systemd's, say), ours ends and that one answers in a moment.
        if let (Some(end), None) = (child.try_wait()?, holder(&context.places)) {
            let words = cloud::local::last_words(&log_file, offset).unwrap_or_else(|| end.to_string());
            bail!("the controller ended at once: {words}");
        }
        if begun.elapsed() > Duration::from_secs(20) {
            bail!("the controller does not answer; see {}", log_file.display());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
