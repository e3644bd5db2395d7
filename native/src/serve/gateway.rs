//! `/ws`: the WebSocket at which browser nodes and native nodes meet.
//!
//! ```text
//! request    Host is one of ours, Origin is the page's own or absent     else refused before the upgrade
//! first      one small frame within 5 s that answers the challenge       else closed
//! guest      waits for the lobby; says nothing more
//! member     frames at a rate; each packet its own                       eight others close the connection
//! ```
//!
//! Every limit has a name here or in [`super::door`] and [`super::limits`]. A connection costs at most what they say,
//! whatever it sends and however slowly it reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use phaselab_core::gateway::{
    FIRST_BYTES_MAX, FRAME_BYTES_MAX, FromGateway, Nonce, ToGateway, verify_join,
};
use phaselab_core::types::NodeId;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tracing::Level;

use super::admission::admit;
use super::counts::Counts;
use super::hub::{Begin, Hub, Sight};
use crate::failure::Failure;
use crate::init::entropy;
use crate::log::{About, note};
use crate::terminal::Screen;

mod member;

use member::member;

/// Connections that did not answer the challenge yet; more are refused.
const HANDSHAKES_MAX: usize = 64;
/// How long that may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a frame may take to be read by its receiver.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(10);
/// Without a sign of life for so long a connection is over.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Memory of a connection that says nothing.
const READ_BUFFER_BYTES: usize = 8 * 1024;

const POLICY: u16 = 1008;

/// What the gateway's routes share.
#[derive(Debug)]
pub(super) struct Gateway {
    hub: Arc<Hub>,
    /// The names by which it may be called, with their port.
    hosts: Vec<String>,
    handshakes: Arc<Semaphore>,
    /// Told what makes it impossible to go on.
    broken: mpsc::Sender<Failure>,
}

impl Gateway {
    pub(super) fn new(
        hub: Arc<Hub>,
        hosts: Vec<String>,
        broken: mpsc::Sender<Failure>,
    ) -> Arc<Gateway> {
        Arc::new(Gateway {
            hub,
            hosts,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            broken,
        })
    }

    /// Freezes genesis if it is due, or at once. Whether it is frozen now.
    pub(super) async fn begin(&self, now: bool) -> bool {
        match self.hub.begin(now) {
            Ok(Begin::NotYet) => false,
            Ok(Begin::Before) => true,
            Ok(Begin::Now(cluster)) => {
                Screen::stdout().line(&format!("began   {}", cluster.title()));
                true
            }
            Err(failure) => {
                let _ = self.broken.send(failure).await;
                false
            }
        }
    }
}

/// `GET /gateway`: numbers for whoever runs it.
pub(super) async fn account(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    match admit(&headers, &gateway.hosts) {
        Ok(()) => Json(gateway.hub.account()).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// `GET /ws`.
pub(super) async fn upgrade(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Err(refusal) = admit(&headers, &gateway.hosts) {
        Counts::add(&gateway.hub.counts.foreign);
        return refusal.into_response();
    }
    let Ok(permit) = gateway.handshakes.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many at once").into_response();
    };
    upgrade
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .on_upgrade(async move |mut socket| {
            let first = handshake(&mut socket).await;
            drop(permit);
            match first {
                Some((nonce, first)) => begin(socket, gateway, nonce, first).await,
                None => Counts::add(&gateway.hub.counts.strangers),
            }
        })
}

/// Challenges whoever connected; the challenge and its answer, if there is one in time.
async fn handshake(socket: &mut WebSocket) -> Option<(Nonce, ToGateway)> {
    let nonce = entropy().ok()?;
    send(socket, &FromGateway::Challenge(nonce)).await.ok()?;
    let first = timeout(HANDSHAKE_TIMEOUT, async {
        loop {
            match socket.recv().await? {
                Ok(Message::Binary(bytes)) => return Some(bytes),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Text(_) | Message::Close(_)) | Err(_) => return None,
            }
        }
    });
    let first = first.await.ok()??;
    if first.len() > FIRST_BYTES_MAX {
        return None;
    }
    ToGateway::decode(&first).map(|first| (nonce, first))
}

async fn begin(mut socket: WebSocket, gateway: Arc<Gateway>, nonce: Nonce, first: ToGateway) {
    let hub = &gateway.hub;
    let refusal = match first {
        ToGateway::Join {
            invite,
            key,
            place,
            proof,
        } if verify_join(&nonce, &invite, &key, &proof) => match hub.join(&invite, key, place) {
            Ok(you) => {
                note(
                    Level::INFO,
                    About::peer(you),
                    format!("joined from a {}", place.name()),
                );
                let _begun = gateway.begin(false).await;
                return guest(socket, &gateway, you).await;
            }
            Err(error) => error.to_string(),
        },
        ToGateway::Hello {
            node,
            genesis,
            place,
            proof,
        } => match hub.cluster() {
            Some(cluster) if cluster.admits(&nonce, &genesis, node, &proof) => {
                let session = hub.enter(cluster, node, place);
                return member(socket, &gateway, session).await;
            }
            Some(_) => {
                "this gateway serves another cluster, or the key is not that member's".to_owned()
            }
            None => "this gateway serves a lobby that has not begun".to_owned(),
        },
        _ => "expected a proof of the key that answers the challenge".to_owned(),
    };
    Counts::add(&hub.counts.strangers);
    note(Level::WARN, About::default(), format!("refused: {refusal}"));
    refuse(&mut socket, refusal, POLICY).await;
}

/// Shows a guest the lobby until genesis is frozen.
async fn guest(mut socket: WebSocket, gateway: &Gateway, you: NodeId) {
    let mut changes = gateway.hub.changes();
    let mut ping = tokio::time::interval(PING_EVERY);
    let mut shown = None;
    let mut heard = Instant::now();
    loop {
        changes.mark_unchanged();
        match gateway.hub.look() {
            Sight::Begun(cluster) => {
                if send(&mut socket, &cluster.begun()).await.is_ok() {
                    let _ = timeout(WRITE_TIMEOUT, socket.send(Message::Close(None))).await;
                }
                return;
            }
            Sight::Gathering { needed, joined } => {
                let lobby = FromGateway::Lobby {
                    you,
                    needed,
                    joined,
                };
                if shown.as_ref() != Some(&lobby) {
                    if send(&mut socket, &lobby).await.is_err() {
                        return;
                    }
                    shown = Some(lobby);
                }
            }
        }
        tokio::select! {
            _ = changes.changed() => {}
            message = socket.recv() => match message {
                Some(Ok(Message::Pong(_) | Message::Ping(_))) => heard = Instant::now(),
                // It has nothing to say.
                _ => return,
            },
            _ = ping.tick() => {
                let is_gone = heard.elapsed() > IDLE_TIMEOUT;
                if is_gone || write(&mut socket, Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn send(socket: &mut WebSocket, frame: &FromGateway) -> Result<(), ()> {
    write(socket, Message::Binary(frame.encode().into())).await
}

async fn write(socket: &mut WebSocket, message: Message) -> Result<(), ()> {
    match timeout(WRITE_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}

async fn refuse(socket: &mut WebSocket, why: String, code: u16) {
    let told = send(socket, &FromGateway::Refused(why)).await;
    if told.is_ok() {
        let _ = write(socket, close(code, "refused")).await;
    }
}

fn close(code: u16, why: &'static str) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: why.into(),
    }))
}
