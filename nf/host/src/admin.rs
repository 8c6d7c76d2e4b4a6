//! The admin endpoint: HTTP on a unix socket that only the owner may open.
//!
//! | path | answer |
//! |---|---|
//! | `GET /livez` | 200 while the loop turns; 503 when it has stood still for five seconds |
//! | `GET /readyz` | 200 when the function can serve, or take over; else 503. The body lists what is missing, and how it stands in its pair |
//! | `GET /metrics` | Prometheus text |
//! | `GET /trace?key=` | recorded messages of a Call-ID or identity, oldest first |
//! | `GET /info` | instance, function, version, pid, start, addresses, hash of the configuration |
//! | `POST /command/{name}` | a JSON document to the function; its answer, or 422 with a sentence |
//!
//! It runs on a thread of its own: a long answer never delays a call, and a loop that stands still can be told.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use clock::{Duration, Instant};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::machine::Standing;
use crate::metrics::Metrics;
use crate::trace::Recorder;

/// What the loop and the endpoint share.
pub struct Shared {
    /// Counters.
    pub metrics: Metrics,
    /// The flight recorder.
    pub recorder: Mutex<Recorder>,
    /// Who this is.
    pub info: Info,
    /// When the loop last turned, in microseconds.
    pub heartbeat_micros: AtomicU64,
    /// Was a stop asked for?
    pub is_stopping: AtomicBool,
    /// Diameter peers: those that are needed, and those that are up.
    pub peers: Mutex<Peers>,
    /// How it stands in its pair; `None`: it is alone.
    pub standing: Mutex<Option<Standing>>,
}

/// Diameter peers by host name.
#[derive(Default)]
pub struct Peers {
    /// Configured.
    pub wanted: BTreeSet<String>,
    /// Up now.
    pub up: BTreeSet<String>,
}

/// Who this process is.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// The instance's name.
    pub instance: String,
    /// The function's name.
    pub function: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// The process.
    pub pid: u32,
    /// Start, in microseconds since 1970.
    pub start_micros: u64,
    /// SIP and Diameter addresses, with transport.
    pub listening: Vec<String>,
    /// SHA-256 of the configuration file.
    pub config_hash: String,
}

/// A command on its way to the machine.
pub struct Command {
    /// Its name.
    pub name: String,
    /// Its JSON document.
    pub body: Bytes,
    /// Where the result goes.
    pub answer: oneshot::Sender<Result<Bytes, String>>,
}

/// How long the loop may stand still before it counts as dead. It ticks every second; a slow disk explains two.
const STANDSTILL_MAX: Duration = Duration::from_secs(5);
/// How long a command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);
/// The largest document of a command: an import of subscribers comes in pieces below this.
const COMMAND_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Shared {
    /// Locks the recorder.
    pub fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the peers.
    pub fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows how it stands in its pair.
    pub fn show_standing(&self, standing: Option<Standing>) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    fn standing(&self) -> Option<Standing> {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps this function from serving, in sentences.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.is_stopping.load(Ordering::Relaxed) {
            missing.push("stopping".to_owned());
        }
        if self.standing().is_some_and(|standing| !standing.has_copy) {
            missing.push("has not heard yet what the instance that serves knows".to_owned());
        }
        let peers = self.peers();
        if !peers.wanted.is_empty() && peers.wanted.is_disjoint(&peers.up) {
            let names: Vec<&str> = peers.wanted.iter().map(String::as_str).collect();
            missing.push(format!("no Diameter peer is up ({})", names.join(", ")));
        }
        missing
    }
}

/// Binds the socket. One that a dead process left behind is replaced; a living one is not.
pub fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::{UnixListener, UnixStream};
    let is_socket = std::fs::symlink_metadata(path)
        .is_ok_and(|metadata| std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()));
    if is_socket {
        if UnixStream::connect(path).is_ok() {
            let reason = "another process answers on it: is this instance running already?";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
        }
        std::fs::remove_file(path)?;
    }
    // Born under the final name, but nobody is let in before the mode is set: the directory is the owner's, and a
    // connection in between would only be an operator's.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves on a thread of its own until the process ends.
pub fn serve(
    listener: std::os::unix::net::UnixListener,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        runtime.block_on(async move {
            let served = match tokio::net::UnixListener::from_std(listener) {
                Ok(listener) => axum::serve(listener, router(shared, commands)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::error!(%error, "the admin endpoint has ended");
            }
        });
    };
    std::thread::Builder::new().name("admin".into()).stack_size(512 * 1024).spawn(run)?;
    Ok(())
}

#[derive(Clone)]
struct Endpoint {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

fn router(shared: Arc<Shared>, commands: mpsc::Sender<Command>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/trace", get(trace))
        .route("/info", get(info))
        .route("/command/{name}", post(command))
        .layer(axum::extract::DefaultBodyLimit::max(COMMAND_BYTES_MAX))
        .with_state(Endpoint { shared, commands })
}

async fn livez(State(endpoint): State<Endpoint>) -> Response {
    let last = Instant::from_micros(endpoint.shared.heartbeat_micros.load(Ordering::Relaxed));
    let still = crate::clock::now().saturating_since(last);
    if still < STANDSTILL_MAX {
        (StatusCode::OK, "live\n").into_response()
    } else {
        let reason = format!("the loop has stood still for {} s\n", still.as_secs());
        (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
    }
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    missing: Vec<String>,
    #[serde(flatten)]
    standing: Option<Standing>,
}

async fn readyz(State(endpoint): State<Endpoint>) -> Response {
    let missing = endpoint.shared.missing();
    let standing = endpoint.shared.standing();
    let readiness = Readiness { ready: missing.is_empty(), missing, standing };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics(State(endpoint): State<Endpoint>) -> Response {
    let text = endpoint.shared.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[derive(Deserialize)]
struct TraceQuery {
    #[serde(default)]
    key: String,
}

async fn trace(State(endpoint): State<Endpoint>, Query(query): Query<TraceQuery>) -> Response {
    let snapshot = endpoint.shared.recorder().snapshot();
    axum::Json(snapshot.search(&query.key)).into_response()
}

async fn info(State(endpoint): State<Endpoint>) -> Response {
    axum::Json(&endpoint.shared.info).into_response()
}

async fn command(State(endpoint): State<Endpoint>, UrlPath(name): UrlPath<String>, body: Bytes) -> Response {
    let (answer, result) = oneshot::channel();
    let unavailable = |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response();
    if endpoint.commands.send(Command { name, body, answer }).await.is_err() {
        return unavailable("the function has stopped");
    }
    match tokio::time::timeout(COMMAND_PATIENCE, result).await {
        Ok(Ok(Ok(document))) => ([(header::CONTENT_TYPE, "application/json")], document).into_response(),
        Ok(Ok(Err(sentence))) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{sentence}\n")).into_response(),
        Ok(Err(_)) => unavailable("the function stopped before it answered"),
        Err(_) => (StatusCode::GATEWAY_TIMEOUT, "the function did not answer in time\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin");
        drop(bind(&path).unwrap());
        let living = bind(&path).expect("the one left behind is replaced");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(living);
    }
}
