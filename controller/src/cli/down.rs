//! `evertone down`: stops the core; leaves no process, address or file but its data.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use cloud::{Cloud, Local};
use plan::{Desired, ProcessName, plan};
use rustix::process::Signal;

use super::api;
use super::context::Context;
use crate::controller::{clean, holder};

/// Stop the core.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Remove its data too: subscribers, keys, logs, the resource.
    #[arg(long)]
    purge: bool,
}

/// Runs the verb.
pub async fn run(context: &Context, arguments: Arguments) -> Result<ExitCode> {
    let pid = holder(&context.places);
    let was_told = match api::stop(context).await {
        Ok(was_told) => was_told,
        Err(error) => {
            println!("{error:#}: ending it and stopping the functions without it");
            api::end_controller(context, Signal::KILL).await?;
            false
        }
    };
    if was_told {
        wait_for_end(context, pid).await?;
        println!("the core is down; its data stays in {}", context.places.state_directory.display());
    } else if stop_without_controller(context).await? {
        println!("no controller ran; the functions were stopped without it");
    } else {
        println!("no core runs");
    }
    if arguments.purge {
        purge(context)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The same plan as the controller's, made and run here.
async fn stop_without_controller(context: &Context) -> Result<bool> {
    let mut cloud = Local::new(context.places.clone(), context.binaries.clone());
    let observed = cloud.observe().await?;
    let has_run = observed.processes.values().any(|process| process.pid.is_some());
    for action in plan(&Desired::default(), &observed, &context.places).actions {
        cloud.apply(&action).await?;
    }
    clean(&context.places);
    Ok(has_run)
}

async fn wait_for_end(context: &Context, pid: Option<i32>) -> Result<()> {
    let Some(pid) = pid else { return Ok(()) };
    let begun = Instant::now();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() && !is_zombie(pid) {
        if begun.elapsed() > Duration::from_secs(10) {
            bail!(
                "the controller, process {pid}, does not end; see {}",
                context.places.controller_log().display()
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Ended, and only not yet collected by whoever started it.
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// A directory of a process, as it is, set aside or half copied, or one of the core.
fn is_directory_of_ours(name: &str) -> bool {
    let name = name.strip_suffix(".new").unwrap_or(name);
    let name = name.split_once(".old-").map_or(name, |(name, _)| name);
    ["logs", "keys", "demo", "restore"].contains(&name) || name.parse::<ProcessName>().is_ok()
}

fn purge(context: &Context) -> Result<()> {
    let directory = &context.places.state_directory;
    // Only what is ours: the directory may have been chosen carelessly.
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_ours = |entry: &std::fs::DirEntry| entry.file_name().to_str().is_some_and(is_directory_of_ours);
    for path in entries.filter(is_ours).map(|entry| entry.path()).filter(|path| path.is_dir()) {
        std::fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    for name in ["core.yaml", "generation", "history.json", "binaries"] {
        let _ = std::fs::remove_file(directory.join(name));
    }
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
            println!("its data is removed; {} holds other files and stays", directory.display());
        }
        _ => println!("its data is removed"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_purge_knows_what_is_ours() {
        for ours in ["hss", "hss-2", "hss-2.old-1", "hss-2.new", "witness", "host-agent", "keys", "icscf"] {
            assert!(super::is_directory_of_ours(ours), "{ours}");
        }
        for foreign in ["home", "hss-3", "hss.old", "logs-of-others", "new"] {
            assert!(!super::is_directory_of_ours(foreign), "{foreign}");
        }
    }
}
