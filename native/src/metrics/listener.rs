//! The listener for `/metrics` and `/healthz`: read only, without a token, off unless it is configured.
//!
//! Whoever reaches it may be slow, many, or a website in a browser on this machine: connections and the time of each are
//! limited, one request is answered per connection, the event loop is asked at most once in [`FRESH`], and on the
//! loopback the Host must be the loopback.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::TEXT_FORMAT;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Around, Metrics, Sample};
use crate::failure::{Failure, io_words};
use crate::health::{ANSWER_TIMEOUT, Pulse, judge};
use crate::node::Input;

#[cfg(test)]
mod tests;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 32;
/// How long a request's head may take to come.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take in all.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// For how long an answer of the event loop stands for the next one.
const FRESH: Duration = Duration::from_millis(200);

/// The listener before it answers: the address is taken.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Answering, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes the address.
///
/// # Errors
/// If it cannot be had.
pub(crate) async fn bind(address: SocketAddr) -> Result<Bound, Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::Input(format!(
            "{address} (TCP, for /metrics): {}; --metrics or [metrics] listen chooses another address",
            io_words(&error)
        ))
    })?;
    let address = listener.local_addr().unwrap_or(address);
    Ok(Bound { listener, address })
}

impl Bound {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for the node behind this inbox, whose store is at this path.
    pub(crate) fn start(
        self,
        metrics: Arc<Metrics>,
        inbox: mpsc::Sender<Input>,
        store: PathBuf,
    ) -> Listener {
        let desk = Arc::new(Desk {
            address: self.address,
            metrics,
            // Does not keep the event loop alive.
            inbox: inbox.downgrade(),
            store,
            asked: Mutex::new(None),
        });
        Listener(tokio::spawn(accept(self.listener, desk)))
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of handles, most likely: others must end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let desk = desk.clone();
        tokio::spawn(async move {
            let _place = place;
            // One that is slow, or breaks off, is its own loss.
            let _ = timeout(CONNECTION_TIMEOUT, serve(stream, desk)).await;
        });
    }
}

async fn serve(stream: TcpStream, desk: Arc<Desk>) -> Result<(), hyper::Error> {
    let answer = service_fn(move |request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, std::convert::Infallible>(desk.answer(&request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

/// What the event loop answered last.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    pulse: Pulse,
    sample: Option<Arc<Sample>>,
}

struct Desk {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    inbox: mpsc::WeakSender<Input>,
    store: PathBuf,
    asked: Mutex<Option<Asked>>,
}

impl Desk {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !is_host(request.headers(), self.address) {
            return said(
                StatusCode::MISDIRECTED_REQUEST,
                "this listener is called by its loopback address only\n",
            );
        }
        let answer: fn(&Desk, &Asked) -> Response<Full<Bytes>> = match request.uri().path() {
            "/metrics" => Desk::metrics,
            "/healthz" => Desk::health,
            _ => return said(StatusCode::NOT_FOUND, "expected /metrics or /healthz\n"),
        };
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "expected GET\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refused.headers_mut().insert(header::ALLOW, allowed);
            return refused;
        }
        answer(self, &self.ask().await)
    }

    /// Asks the event loop, unless it was asked a moment ago.
    async fn ask(&self) -> Asked {
        let mut asked = self.asked.lock().await;
        if let Some(asked) = asked.as_ref()
            && asked.at.elapsed() < FRESH
        {
            return asked.clone();
        }
        let (pulse, sample) = match timeout(ANSWER_TIMEOUT, self.sample()).await {
            Ok(Some(sample)) => (Pulse::Answered, Some(Arc::new(sample))),
            Ok(None) => (Pulse::Gone, None),
            Err(_) => (Pulse::Silent, None),
        };
        let before = asked.take().and_then(|asked| asked.sample);
        asked
            .insert(Asked {
                at: Instant::now(),
                pulse,
                sample: sample.or(before),
            })
            .clone()
    }

    async fn sample(&self) -> Option<Sample> {
        let (answer, sample) = oneshot::channel();
        self.inbox
            .upgrade()?
            .send(Input::Measure(answer))
            .await
            .ok()?;
        sample.await.ok()
    }

    fn metrics(&self, asked: &Asked) -> Response<Full<Bytes>> {
        let inbox = self.inbox.upgrade();
        let around = Around {
            answers: asked.pulse == Pulse::Answered,
            inbox: inbox
                .as_ref()
                .map_or(0, |inbox| inbox.max_capacity() - inbox.capacity()),
            inbox_max: inbox.as_ref().map_or(0, |inbox| inbox.max_capacity()),
            store_bytes: std::fs::metadata(&self.store).ok().map(|file| file.len()),
        };
        let text = self.metrics.expose(asked.sample.as_deref(), around);
        response(StatusCode::OK, TEXT_FORMAT, text)
    }

    fn health(&self, asked: &Asked) -> Response<Full<Bytes>> {
        let metrics = &self.metrics;
        let health = judge(
            metrics.node().0,
            metrics.uptime(),
            asked.pulse,
            metrics.commit_pending(),
            asked.sample.as_deref(),
        );
        let status = match health.reason {
            None => StatusCode::OK,
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let text = serde_json::to_string(&health)
            .expect("derived serialisation into memory does not fail");
        response(status, "application/json", format!("{text}\n"))
    }
}

/// Whether the request names this listener: on the loopback another name means a website that had its own name
/// resolved to this machine.
fn is_host(headers: &HeaderMap, address: SocketAddr) -> bool {
    if !address.ip().is_loopback() {
        return true;
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let known = [address.to_string(), format!("localhost:{}", address.port())];
    host.is_some_and(|host| known.iter().any(|known| known == host))
}

fn said(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.to_owned())
}

fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
