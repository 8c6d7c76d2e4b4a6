//! `evertone backup` and `restore`: the HSS's store with the key that opens it, in one file.
//!
//! The HSS is stopped while its store is copied (well below a second for 10⁵ subscribers): what is in the file is one
//! moment, and everything confirmed before it. Cx requests in the pause are answered late or repeated. Of a pair both are stopped,
//! the standby first: the one that served then has all there is.
//!
//! A restore raises SEQ before the backup takes the place of what is there, in an HSS that nobody can reach: else SQNs that
//! were used after the backup would be used once more.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hss::provisioning::{JUMP_DEFAULT, JUMP_MAX, JumpRequest, JumpResult};
use node::config::{FunctionConfig, FunctionKind};
use plan::ProcessName;

use super::context::Context;
use super::{api, instances};
use crate::archive::{self, Archive};
use crate::{health, http, places, watch};

/// Write a backup.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file to write. It holds keys: keep it like one.
    file: PathBuf,
}

/// Read a backup.
#[derive(Debug, clap::Args)]
pub struct RestoreArguments {
    /// The file to read.
    file: PathBuf,
}

/// The HSS where it is no pair.
const ALONE: ProcessName = ProcessName::alone(FunctionKind::Hss);
const STORE: &str = "hss.redb";
const KEY: &str = "key-encryption-key";
const RESOURCE: &str = "core.yaml";

/// Runs `backup`.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<ExitCode> {
    let processes = processes(context).await?;
    let owner = processes.last().copied().unwrap_or(ALONE);
    let store = context.places.state_of(owner).join(STORE);
    if !store.exists() {
        bail!("there is nothing to back up: {} does not exist", store.display());
    }
    // Before the pause: the HSS shall not be stopped for a file that cannot be written.
    let target = archive::Target::open(&arguments.file)?;
    let begun = Instant::now();
    let is_held = hold(context, &processes).await?;
    let copied = || -> Result<Archive> {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let mut archive = Archive::default();
        archive.add(STORE, read(&store)?);
        archive.add(KEY, read(&context.places.key_encryption_key())?);
        if let Some(text) = watch::accepted_text(&context.places) {
            archive.add(RESOURCE, text.into_bytes());
        }
        Ok(archive)
    };
    let copied = copied();
    release(context, &processes, is_held).await?;
    let pause = begun.elapsed();
    let bytes = target.write(&copied?)?;
    println!(
        "{bytes} bytes were written to {}; it holds the key: keep it like one",
        arguments.file.display()
    );
    if is_held {
        println!("the HSS paused for {} ms", pause.as_millis());
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `restore`.
pub async fn restore(context: &Context, arguments: &RestoreArguments) -> Result<ExitCode> {
    // Read and checked as a whole before anything is touched.
    let archive = archive::read(&arguments.file)?;
    let store = archive.file(STORE).context("the backup holds no subscribers")?;
    let key = archive.file(KEY).context("the backup holds no key")?;
    refuse_pair(context)?;
    places::create(&context.places)?;
    if watch::accepted_text(&context.places).is_none() {
        let text = archive
            .file(RESOURCE)
            .context("no core has been brought up here, and the backup holds no resource")?;
        watch::keep(&context.places, &String::from_utf8_lossy(text), 1)?;
    }
    let is_held = hold(context, &[ALONE]).await?;
    let replaced = replace(context, store, key).await;
    release(context, &[ALONE], is_held).await?;
    let offset = replaced?;
    println!(
        "{} was restored; SEQ of all subscribers is now raised by {offset} in all",
        arguments.file.display()
    );
    if !is_held {
        println!("the core is down: `{} up` starts it", context.command());
    }
    Ok(ExitCode::SUCCESS)
}

/// Prepares the backup beside what is there, and exchanges the two at the end: whenever this is cut off, no HSS can have
/// served from a store whose SEQ was not raised.
async fn replace(context: &Context, store: &[u8], key: &[u8]) -> Result<u64> {
    let directory = context.places.state_of(ALONE);
    let (store_file, key_file) = (directory.join(STORE), context.places.key_encryption_key());
    let prepared = context.places.state_directory.join("restore");
    let (store_prepared, key_prepared) = (prepared.join(STORE), prepared.join(KEY));
    let prepare = async {
        for directory in [Some(directory.as_path()), key_file.parent(), Some(&prepared)].into_iter().flatten()
        {
            cloud::local::create_private_directory(directory)?;
        }
        archive::write_private(&key_prepared, key)?;
        archive::write_private(&store_prepared, store)?;
        // A second restore of one backup must go beyond what the first one led to. A store that cannot be read any more,
        // the reason for many a restore, tells nothing: then the time that has passed must do.
        let before = match store_file.exists() {
            true => jump(context, &directory, &key_file, Some(0)).await.unwrap_or(0),
            false => 0,
        };
        let mut offset = jump(context, &prepared, &key_prepared, None).await?;
        let wanted = before.saturating_add(JUMP_DEFAULT);
        while offset < wanted {
            let by = (wanted - offset).min(JUMP_MAX);
            offset = jump(context, &prepared, &key_prepared, Some(by)).await?;
        }
        Ok(offset)
    };
    let offset: Result<u64> = prepare.await;
    let exchanged = offset.context("what was there before is untouched").and_then(|offset| {
        for (from, to) in [(&key_prepared, &key_file), (&store_prepared, &store_file)] {
            std::fs::rename(from, to).with_context(|| format!("cannot put {} in place", to.display()))?;
        }
        Ok(offset)
    });
    // Holds keys: nothing of it may stay.
    let _ = std::fs::remove_dir_all(&prepared);
    exchanged
}

/// Raises SEQ in an HSS of our own: its Diameter port is one that no function knows.
async fn jump(context: &Context, directory: &Path, key_file: &Path, by: Option<u64>) -> Result<u64> {
    let text = watch::accepted_text(&context.places).context("there is no resource")?;
    let inputs = watch::inputs(&context.places, &text)?;
    let mut spec = watch::validate(RESOURCE, &text, &inputs).map_err(anyhow::Error::msg)?.object.spec;
    spec.redundancy = crds::Redundancy::default();
    let alone = plan::Desired::from_spec(&spec, &inputs).ok();
    let hss = alone.as_ref().and_then(|alone| alone.processes[&ALONE].function());
    let mut config = hss.cloned().context("the resource has no HSS")?;
    config.state_directory = Some(directory.to_owned());
    if let FunctionConfig::Hss(hss) = &mut config.function {
        hss.key_encryption_key_file = key_file.to_owned();
    }
    let socket = context.places.run_directory.join("restore.sock");
    let file = context.places.run_directory.join("restore.yaml");
    config.admin_socket.clone_from(&socket);
    let unknown = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    if let Some(diameter) = &mut config.diameter {
        diameter.listen = vec![unknown.context("this machine has no free port")?];
    }
    cloud::local::write_private(&file, &crds::yaml::to_string(&config)?)?;
    let binary = context.binaries.join(FunctionKind::Hss.as_str());
    let child = Command::new(&binary)
        .arg("--config")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let jumped = jump_in(child, &socket, by).await;
    for path in [&file, &socket] {
        let _ = std::fs::remove_file(path);
    }
    jumped
}

async fn jump_in(mut child: Child, socket: &Path, by: Option<u64>) -> Result<u64> {
    let begun = Instant::now();
    let result = loop {
        if health::probe(ALONE, socket).await.is_ok() {
            let body = serde_json::to_vec(&JumpRequest { by })?;
            let answer = http::post(socket, "/command/sequence.jump", body, Duration::from_secs(60)).await?;
            break match answer.is_success() {
                true => answer.json::<JumpResult>().map(|jumped| jumped.offset).map_err(anyhow::Error::from),
                false => Err(anyhow::Error::msg(answer.text())),
            };
        }
        if child.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(60) {
            break Err(anyhow::Error::msg("the HSS does not start with the restored store"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    stop(&mut child).await?;
    // What it said explains why.
    let words =
        child.stderr.take().and_then(|stderr| std::io::read_to_string(stderr).ok()).unwrap_or_default();
    let last = words.lines().last().unwrap_or_default().to_owned();
    result.map_err(|error| if last.is_empty() { error } else { error.context(last) })
}

async fn stop(child: &mut Child) -> Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let begun = Instant::now();
    if let (Some(pid), None) = (Pid::from_raw(child.id().cast_signed()), child.try_wait()?) {
        kill_process(pid, Signal::TERM).context("the HSS cannot be stopped")?;
    }
    while child.try_wait()?.is_none() {
        if begun.elapsed() > Duration::from_secs(10) {
            child.kill().context("the HSS cannot be stopped")?;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The HSS's processes in the order in which they are to be stopped: the last one has everything.
async fn processes(context: &Context) -> Result<Vec<ProcessName>> {
    if !instances::has_pairs(context) {
        return Ok(vec![ALONE]);
    }
    let serving = instances::serving_of_pair(context, FunctionKind::Hss).await;
    let serving =
        serving.context("no HSS of the pair says that it serves, and only then a backup is built yet")?;
    let mut processes = ProcessName::pair(FunctionKind::Hss).to_vec();
    processes.sort_by_key(|name| *name == serving);
    Ok(processes)
}

/// A restore goes into the store of an HSS that is alone; one that becomes a pair takes that with it.
fn refuse_pair(context: &Context) -> Result<()> {
    let stores = ProcessName::pair(FunctionKind::Hss).map(|name| context.places.state_of(name));
    if stores.iter().any(|store| store.exists()) {
        bail!(
            "the HSS is a pair, and restoring one is not built yet: `{} up` with `mode: none` below spec.redundancy, restore, and up \
             with pairs again",
            context.command()
        );
    }
    Ok(())
}

/// Stops the HSS for a while; `false` when the core is down anyway.
async fn hold(context: &Context, processes: &[ProcessName]) -> Result<bool> {
    let is_up = matches!(api::status(context).await, Ok(Some(_)));
    if is_up {
        for name in processes {
            api::function(context, *name, "hold").await?;
        }
        return Ok(true);
    }
    let records =
        processes.iter().map(|name| cloud::local::Record::read(&context.places.process_record(*name)));
    if records.flatten().any(|record| record.is_alive()) {
        bail!("the HSS runs without a controller: `{} up` starts one", context.command());
    }
    Ok(false)
}

async fn release(context: &Context, processes: &[ProcessName], is_held: bool) -> Result<()> {
    for name in processes.iter().rev().filter(|_| is_held) {
        let released = api::function(context, *name, "release").await;
        released.context("the HSS could not be started again")?;
    }
    Ok(())
}
