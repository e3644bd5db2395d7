//! A node's control API: HTTP on the loopback, for whoever can read the node's control file.
//!
//! ```text
//! POST /v1/submit  { "request": "event = \"withdraw-1\"\namount = 25", "wait_ms": 10000 }  -> Submitted
//!                  with "client" and "number": the same two again are the same request
//! GET  /v1/status                                                                        -> NodeReport
//! GET  /v1/view                                        the same, with the fields of all  -> NodeReport
//! GET  /v1/faults                                                                        -> FaultState
//! POST /v1/faults  do = "partition", groups = [[1, 2], [3]], as TOML or JSON             -> FaultState
//! PUT  /v1/faults  FaultState: takes the place of an older one                           -> FaultState
//! ```
//!
//! Every request carries the token of the control file, which is made anew at each start and readable by its owner only.
//! Host and Origin are checked, so that a page of some website cannot use a browser on this machine to reach it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::shards::ReplyParts;
use phaselab_core::types::{ClientId, Hash32};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::NodeConfig;
use crate::failure::{Failure, io_words};
use crate::init::entropy;
use crate::net::faults::{FaultState, Faults};
use crate::node::report::Scope;
use crate::node::{Answer, Input};
use crate::store::create_private;

/// Requests that wait for a decision at once.
const SUBMITS_MAX: usize = 256;
const BODY_BYTES_MAX: usize = 64 * 1024;
const WAIT_MS_MAX: u64 = 3_600_000;

/// What a node's control file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlFile {
    /// Where the API listens.
    pub(crate) address: SocketAddr,
    /// What every request must carry.
    pub(crate) token: String,
    /// The node's process.
    pub(crate) pid: u32,
}

/// What `POST /v1/submit` takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submit {
    /// The request as TOML.
    pub(crate) request: String,
    /// How long to wait for the outcome.
    #[serde(default)]
    pub(crate) wait_ms: u64,
    /// Who asks; a client of its own for this call unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<u64>,
    /// Which of that client's requests this is; its first unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<u64>,
}

/// What `POST /v1/submit` answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Submitted {
    /// What the request is about, by name.
    pub(crate) instance: String,
    /// One word: `accepted`, `decided`, `abandoned`, `refused`, `in-progress`; `no-answer` if there was none in time.
    pub(crate) outcome: String,
    /// The decided value.
    pub(crate) value: Option<Hash32>,
    /// Its letter at this node.
    pub(crate) label: Option<String>,
    /// How many members the proof names.
    pub(crate) certificate: u64,
    /// A sentence.
    pub(crate) text: String,
    /// How long it took at this node, in milliseconds.
    pub(crate) ms: u64,
    /// What else the answer says.
    #[serde(flatten)]
    pub(crate) parts: ReplyParts,
}

/// A running API. Its control file goes with it.
#[derive(Debug)]
pub(crate) struct Control {
    task: JoinHandle<()>,
    file: PathBuf,
}

impl Control {
    /// Stops it.
    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

struct Shared {
    inbox: mpsc::Sender<Input>,
    protocol: ProtocolKind,
    token: String,
    /// The names by which the API may be called.
    hosts: [String; 2],
    submits: Semaphore,
    faults: Option<Arc<Faults>>,
}

/// Takes the address of the API.
///
/// # Errors
/// If it is taken.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Input(format!(
            "{address} (TCP, for the control API): {}; --port chooses another port",
            io_words(&error)
        ))
    })
}

/// Starts the API on `listener`, which took `address`, and leaves address and token in the control file.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn start(
    (address, listener): (SocketAddr, TcpListener),
    config: &NodeConfig,
    inbox: mpsc::Sender<Input>,
    faults: Option<Arc<Faults>>,
) -> Result<Control, Failure> {
    let token = Hash32(entropy()?).to_string();
    let file = config.control_file();
    write_file(
        &file,
        &ControlFile {
            address,
            token: token.clone(),
            pid: std::process::id(),
        },
    )?;
    let port = address.port();
    let shared = Arc::new(Shared {
        inbox,
        protocol: config.genesis.protocol,
        token,
        hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
        submits: Semaphore::new(SUBMITS_MAX),
        faults,
    });
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/view", get(view))
        .route("/v1/submit", post(submit))
        .route(
            "/v1/faults",
            get(in_force).post(break_network).put(replace_faults),
        )
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), admit))
        .with_state(shared);
    let task = tokio::spawn(async move {
        // Ends only with the task.
        let _ = axum::serve(listener, router).await;
    });
    Ok(Control { task, file })
}

fn write_file(path: &PathBuf, control: &ControlFile) -> Result<(), Failure> {
    let text = format!(
        "address = \"{}\"\ntoken = \"{}\"\npid = {}\n",
        control.address, control.token, control.pid
    );
    // Left by a node that was killed; the store's lock says that it no longer runs.
    let _ = std::fs::remove_file(path);
    let written = create_private(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::in_file(path, io_words(&error)))
}

/// Lets only those in who hold the token, and no website.
async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match check(request.headers(), &shared) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => refuse(status, why),
    }
}

fn check(headers: &HeaderMap, shared: &Shared) -> Result<(), (StatusCode, &'static str)> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !shared.hosts.iter().any(|known| known == host) {
        return Err((
            StatusCode::MISDIRECTED_REQUEST,
            "this API is called by its loopback address only",
        ));
    }
    if headers.contains_key(header::ORIGIN)
        && text(header::ORIGIN) != Some(&format!("http://{host}"))
    {
        return Err((
            StatusCode::FORBIDDEN,
            "pages of other origins may not use this API",
        ));
    }
    let given = text(header::AUTHORIZATION)
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if !is_same(given.as_bytes(), shared.token.as_bytes()) {
        return Err((
            StatusCode::UNAUTHORIZED,
            "the token of the node's control file is missing or wrong",
        ));
    }
    Ok(())
}

/// Compares in a time that does not tell where the difference is.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let differences = given
        .iter()
        .zip(expected)
        .fold(0, |all, (a, b)| all | (a ^ b));
    given.len() == expected.len() && differences == 0
}

fn refuse(status: StatusCode, why: impl Into<String>) -> Response {
    (status, Json(serde_json::json!({ "error": why.into() }))).into_response()
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    report(&shared, Scope::Summary).await
}

async fn view(State(shared): State<Arc<Shared>>) -> Response {
    report(&shared, Scope::Full).await
}

async fn report(shared: &Shared, scope: Scope) -> Response {
    let (answer, report) = oneshot::channel();
    if shared
        .inbox
        .send(Input::Status(scope, answer))
        .await
        .is_err()
    {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping");
    }
    match report.await {
        Ok(report) => Json(report).into_response(),
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"),
    }
}

async fn in_force(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.faults {
        Some(faults) => Json(faults.state()).into_response(),
        None => refuse(StatusCode::FORBIDDEN, TAKES_NO_FAULTS),
    }
}

const TAKES_NO_FAULTS: &str = "this node takes no faults; those that `phaselab cluster` starts do";

async fn break_network(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some(faults) = &shared.faults else {
        return refuse(StatusCode::FORBIDDEN, TAKES_NO_FAULTS);
    };
    let form = headers.get(header::CONTENT_TYPE);
    let is_json = form.is_some_and(|form| form.as_bytes().starts_with(b"application/json"));
    match faults.apply(&body, is_json) {
        Ok(()) => Json(faults.state()).into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
    }
}

async fn replace_faults(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<FaultState>, JsonRejection>,
) -> Response {
    let Some(faults) = &shared.faults else {
        return refuse(StatusCode::FORBIDDEN, TAKES_NO_FAULTS);
    };
    let replaced = match body {
        Ok(Json(state)) => faults.replace(&state),
        Err(error) => Err(error.body_text()),
    };
    match replaced {
        Ok(()) => Json(faults.state()).into_response(),
        Err(why) => refuse(StatusCode::BAD_REQUEST, why),
    }
}

async fn submit(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<Submit>, JsonRejection>,
) -> Response {
    let started = Instant::now();
    let body = match body {
        Ok(Json(body)) => body,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let request = match shared.protocol.parse_request("request", &body.request) {
        Ok(request) => request,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let instance = shared.protocol.request_name(&request).unwrap_or_default();
    let Ok(_permit) = shared.submits.try_acquire() else {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests wait at this node",
        );
    };
    let client = match body.client {
        Some(client) => ClientId(client),
        // One of its own for each call: its only number is its first.
        None => match entropy() {
            Ok(bytes) => ClientId(u64::from_le_bytes(
                bytes[..8].try_into().expect("eight bytes"),
            )),
            Err(_) => {
                return refuse(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the system gives no entropy",
                );
            }
        },
    };
    let (replies, mut answers) = mpsc::channel(16);
    let input = Input::Submit {
        client,
        number: body.number.unwrap_or(1),
        request,
        replies,
    };
    if shared.inbox.send(input).await.is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping");
    }
    let wait = Duration::from_millis(body.wait_ms.min(WAIT_MS_MAX));
    let answer = last_answer(&mut answers, wait).await;
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Json(submitted(instance, answer, ms)).into_response()
}

/// The last answer within the time; the first is waited for as long as a healthy node needs.
async fn last_answer(answers: &mut mpsc::Receiver<Answer>, wait: Duration) -> Option<Answer> {
    const FIRST: Duration = Duration::from_secs(1);
    let deadline = tokio::time::Instant::now() + wait;
    let mut last = tokio::time::timeout(FIRST.max(wait), answers.recv())
        .await
        .ok()
        .flatten()?;
    while !last.view.last && !last.is_elsewhere() {
        match tokio::time::timeout_at(deadline, answers.recv()).await {
            Ok(Some(answer)) => last = answer,
            Ok(None) | Err(_) => break,
        }
    }
    Some(last)
}

fn submitted(instance: String, answer: Option<Answer>, ms: u64) -> Submitted {
    match answer {
        None => Submitted {
            instance,
            outcome: "no-answer".to_owned(),
            value: None,
            label: None,
            certificate: 0,
            text: "The node did not answer in time.".to_owned(),
            ms,
            parts: ReplyParts::default(),
        },
        Some(Answer { view, label, parts }) => Submitted {
            instance,
            outcome: view.outcome.to_owned(),
            value: view.value,
            label,
            certificate: view.certificate,
            text: view.text,
            ms,
            parts,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        Shared {
            inbox: mpsc::channel(1).0,
            protocol: ProtocolKind::TwoPhase,
            token: "secret".to_owned(),
            hosts: ["127.0.0.1:4701".to_owned(), "localhost:4701".to_owned()],
            submits: Semaphore::new(1),
            faults: None,
        }
    }

    fn checked(headers: &[(header::HeaderName, &str)]) -> Result<(), StatusCode> {
        let map = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        check(&map, &shared()).map_err(|(status, _)| status)
    }

    #[test]
    fn only_the_token_on_the_loopback_is_admitted() {
        let host = (header::HOST, "127.0.0.1:4701");
        let token = (header::AUTHORIZATION, "Bearer secret");
        assert_eq!(checked(&[host.clone(), token.clone()]), Ok(()));
        assert_eq!(
            checked(&[
                host.clone(),
                token.clone(),
                (header::ORIGIN, "http://127.0.0.1:4701")
            ]),
            Ok(())
        );
        assert_eq!(
            checked(std::slice::from_ref(&host)),
            Err(StatusCode::UNAUTHORIZED)
        );
        assert_eq!(
            checked(&[host.clone(), (header::AUTHORIZATION, "Bearer secrex")]),
            Err(StatusCode::UNAUTHORIZED)
        );
        assert_eq!(
            checked(&[host.clone(), (header::AUTHORIZATION, "Bearer secre")]),
            Err(StatusCode::UNAUTHORIZED)
        );
        assert_eq!(
            checked(std::slice::from_ref(&token)),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
        assert_eq!(
            checked(&[(header::HOST, "evil.example:4701"), token.clone()]),
            Err(StatusCode::MISDIRECTED_REQUEST)
        );
        assert_eq!(
            checked(&[
                host.clone(),
                token.clone(),
                (header::ORIGIN, "http://evil.example")
            ]),
            Err(StatusCode::FORBIDDEN)
        );
        assert_eq!(
            checked(&[host, token, (header::ORIGIN, "null")]),
            Err(StatusCode::FORBIDDEN)
        );
    }
}
