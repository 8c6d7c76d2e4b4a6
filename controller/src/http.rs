//! One HTTP request over a unix socket: to a function's admin endpoint or to the controller's API.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

/// The largest answer that is taken: a trace of 2,000 messages or a page of subscribers stays far below.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Was it a 2xx?
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text, for people.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }

    /// The body as a document.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(HttpError::Document)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens.
    #[error("nobody answers on its socket")]
    NobodyThere(#[source] std::io::Error),
    /// The exchange broke off.
    #[error("the connection broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The answer is no document of the kind expected.
    #[error("the answer cannot be read")]
    Document(#[source] serde_json::Error),
}

/// GET `path`.
pub async fn get(socket: &Path, path: &str, patience: Duration) -> Result<Answer, HttpError> {
    exchange(socket, "GET", path, Vec::new(), patience).await
}

/// POST `body` to `path`.
pub async fn post(socket: &Path, path: &str, body: Vec<u8>, patience: Duration) -> Result<Answer, HttpError> {
    exchange(socket, "POST", path, body, patience).await
}

async fn exchange(
    socket: &Path,
    method: &str,
    path: &str,
    body: Vec<u8>,
    patience: Duration,
) -> Result<Answer, HttpError> {
    let exchange = async {
        let stream = tokio::net::UnixStream::connect(socket).await.map_err(HttpError::NobodyThere)?;
        let broken = |error: hyper::Error| HttpError::Broken(Box::new(error));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| HttpError::Broken(Box::new(error)))?;
        let driver = tokio::spawn(connection);
        let answer = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok(Answer { status, body: body.map_err(HttpError::Broken)?.to_bytes() })
        };
        let answer = answer.await;
        driver.abort();
        answer
    };
    tokio::time::timeout(patience, exchange).await.unwrap_or(Err(HttpError::TimedOut(patience)))
}

/// Writes `text` so that it may stand in a query (RFC 3986 §2.1).
pub fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_public_identity_may_stand_in_a_query() {
        assert_eq!(super::percent_encoded("sip:+49 1@a.b"), "sip%3A%2B49%201%40a.b");
    }
}
