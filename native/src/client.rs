//! Asks a node's control API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use phaselab_core::scenario;
use phaselab_core::types::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::config::control_file;
use crate::control::ControlFile;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A node that may be running.
#[derive(Clone, Debug)]
pub(crate) struct NodeClient {
    /// Which.
    pub(crate) id: NodeId,
    control: PathBuf,
}

/// Why a node gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskError {
    /// It does not run.
    Down,
    /// It runs, and refuses: its words.
    Refused(String),
    /// It does not speak as expected.
    Broken(String),
}

impl NodeClient {
    /// The node of a configuration file.
    pub(crate) fn new(id: NodeId, config: &Path) -> NodeClient {
        NodeClient {
            id,
            control: control_file(config),
        }
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Q>,
        timeout: Duration,
    ) -> Result<A, AskError> {
        let text = std::fs::read_to_string(&self.control).map_err(|_| AskError::Down)?;
        let control: ControlFile = scenario::from_toml(&self.control.display().to_string(), &text)
            .map_err(|error| AskError::Broken(error.to_string()))?;
        let body = body.map(|body| {
            serde_json::to_vec(body).expect("derived serialisation into memory does not fail")
        });
        let call = call(&control, method, path, body.unwrap_or_default());
        let (status, bytes) = match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer?,
            Err(_) => return Err(AskError::Broken("no answer in time".to_owned())),
        };
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|error| AskError::Broken(error.to_string()));
        }
        let told: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let why = told
            .as_ref()
            .and_then(|told| told.get("error")?.as_str())
            .unwrap_or("no reason given");
        match status.as_u16() {
            400 => Err(AskError::Refused(why.to_owned())),
            503 => Err(AskError::Down),
            other => Err(AskError::Broken(format!("{other}: {why}"))),
        }
    }
}

async fn call(
    control: &ControlFile,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(hyper::StatusCode, Bytes), AskError> {
    let broken = |error: hyper::Error| AskError::Broken(error.to_string());
    let stream =
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(control.address)).await {
            Ok(Ok(stream)) => stream,
            // The file of a node that was killed is still there.
            Ok(Err(_)) | Err(_) => return Err(AskError::Down),
        };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, control.address.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {}", control.token))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| AskError::Broken(error.to_string()))?;
    // A node that is killed while it is asked is down.
    let response = sender
        .send_request(request)
        .await
        .map_err(|_| AskError::Down)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    Ok((
        status,
        body.map_err(|error| AskError::Broken(error.to_string()))?
            .to_bytes(),
    ))
}
