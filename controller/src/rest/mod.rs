//! The controller's API on a unix socket that only the owner may open. Holds no state: it asks and shows.
//!
//! | path | does |
//! |---|---|
//! | `GET /status` | the resource with its status, what happened, the controller itself |
//! | `POST /apply?file=NAME` | takes a resource as YAML; 422 with one line for each mistake |
//! | `POST /stop` | brings the core down and ends the controller |
//! | `POST /functions/{name}/hold`, `.../release` | stops a function for at most two minutes, lets it run again |

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use plan::ProcessName;
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::report::Published;
use crate::watch::Ask;

/// A resource is a page; a megabyte is a mistake.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
struct Api {
    published: Published,
    asks: mpsc::Sender<Ask>,
}

/// Binds the socket; one that a dead controller left is replaced. Call it with the lock held.
pub fn bind(path: &Path) -> Result<UnixListener> {
    let _ = std::fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot protect {}", path.display()))?;
    Ok(listener)
}

/// Serves for ever.
pub async fn serve(listener: UnixListener, published: Published, asks: mpsc::Sender<Ask>) {
    let router = Router::new()
        .route("/status", get(status))
        .route("/apply", post(apply))
        .route("/stop", post(stop))
        .route("/functions/{name}/{verb}", post(function))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Api { published, asks });
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the API has ended");
    }
}

async fn status(State(api): State<Api>) -> Response {
    match api.published.read() {
        Some(document) => Json(document).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the controller is still looking around\n").into_response(),
    }
}

#[derive(Deserialize)]
struct File {
    file: String,
}

async fn apply(State(api): State<Api>, Query(file): Query<File>, text: String) -> Response {
    match ask(&api, |answer| Ask::Apply { file: file.file, text, answer }).await {
        Some(Ok(accepted)) => Json(accepted).into_response(),
        Some(Err(mistakes)) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{mistakes}\n")).into_response(),
        None => ending(),
    }
}

async fn stop(State(api): State<Api>) -> Response {
    match ask(&api, |answer| Ask::Stop { answer }).await {
        Some(()) => "down\n".into_response(),
        None => ending(),
    }
}

async fn function(State(api): State<Api>, UrlPath((name, verb)): UrlPath<(String, String)>) -> Response {
    let Ok(name) = name.parse::<ProcessName>() else {
        return (StatusCode::NOT_FOUND, format!("there is no function {name}\n")).into_response();
    };
    let done = match verb.as_str() {
        "hold" => ask(&api, |answer| Ask::Hold { name, answer }).await,
        "release" => ask(&api, |answer| Ask::Release { name, answer }).await,
        _ => return (StatusCode::NOT_FOUND, format!("a function cannot {verb}\n")).into_response(),
    };
    match done {
        Some(()) => "done\n".into_response(),
        None => ending(),
    }
}

async fn ask<T>(api: &Api, make: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    api.asks.send(make(answer)).await.ok()?;
    answered.await.ok()
}

fn ending() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the controller is ending\n").into_response()
}
