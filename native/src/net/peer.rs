//! One peer: dialling it, writing to its newest connection, reading all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, VarInt};
use iroh::{Endpoint, EndpointAddr, EndpointId};
use phaselab_core::envelope::PACKET_BYTES_MAX;
use phaselab_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::Level;

use super::{ALPN, CONNECTIONS_PER_PEER_MAX, HANDSHAKE_TIMEOUT};
use crate::frame;
use crate::log::{About, note};
use crate::node::Input;

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// A connection that ends sooner was refused.
const LASTING: Duration = Duration::from_secs(1);

const CLOSED_OVERSIZE: u32 = 413;
const CLOSED_SURPLUS: u32 = 429;

/// A peer's signs of life, written by its task.
#[derive(Debug)]
pub(super) struct Signs {
    pub(super) connected: AtomicBool,
    /// Packets that were dropped because the queue was full.
    pub(super) dropped: AtomicU64,
    /// Milliseconds since `since`, plus one; 0 for never.
    heard_ms: AtomicU64,
    since: Instant,
}

impl Signs {
    /// A peer that was never heard.
    pub(super) fn new() -> Signs {
        Signs {
            connected: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            since: Instant::now(),
        }
    }

    /// How long ago the peer was heard.
    pub(super) fn heard(&self) -> Option<Duration> {
        let at_ms = self.heard_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            self.since
                .elapsed()
                .saturating_sub(Duration::from_millis(at_ms)),
        )
    }

    fn heard_now(&self) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.heard_ms.store(ms + 1, Ordering::Relaxed);
    }
}

/// The task of one peer.
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) key: EndpointId,
    /// Where it listens; without one it must dial.
    pub(super) address: Option<SocketAddr>,
    pub(super) endpoint: Endpoint,
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) signs: Arc<Signs>,
    /// Those that are read, oldest first.
    pub(super) connections: Vec<Connection>,
}

impl Peer {
    /// Keeps a connection up, and writes what is queued.
    pub(super) async fn run(
        mut self,
        mut queued: mpsc::Receiver<Arc<[u8]>>,
        mut accepted: mpsc::Receiver<Connection>,
    ) {
        let mut backoff = Duration::ZERO;
        loop {
            let connection = tokio::select! {
                Some(connection) = accepted.recv() => connection,
                connection = self.dial(backoff) => connection,
                else => return,
            };
            let since = Instant::now();
            self.note_up(true);
            self.write(connection, &mut queued, &mut accepted).await;
            self.note_up(false);
            backoff = if since.elapsed() < LASTING {
                longer(backoff)
            } else {
                Duration::ZERO
            };
        }
    }

    /// Dials until there is a connection.
    async fn dial(&self, mut backoff: Duration) -> Connection {
        let Some(address) = self.address else {
            return std::future::pending().await;
        };
        let address = EndpointAddr::new(self.key).with_ip_addr(address);
        loop {
            tokio::time::sleep(backoff).await;
            match timeout(
                HANDSHAKE_TIMEOUT,
                self.endpoint.connect(address.clone(), ALPN),
            )
            .await
            {
                Ok(Ok(connection)) => return connection,
                Ok(Err(error)) => note(
                    Level::DEBUG,
                    About::peer(self.id),
                    format!("cannot connect: {error}"),
                ),
                Err(_) => note(
                    Level::DEBUG,
                    About::peer(self.id),
                    "cannot connect: no answer",
                ),
            }
            backoff = longer(backoff);
        }
    }

    /// Writes what is queued to the newest connection until that ends.
    async fn write(
        &mut self,
        connection: Connection,
        queued: &mut mpsc::Receiver<Arc<[u8]>>,
        accepted: &mut mpsc::Receiver<Connection>,
    ) {
        let mut newest = Some(connection);
        while let Some(connection) = newest.take() {
            self.read(&connection);
            let Ok(Ok(mut stream)) = timeout(WRITE_TIMEOUT, connection.open_uni()).await else {
                return;
            };
            loop {
                tokio::select! {
                    biased;
                    Some(newer) = accepted.recv() => {
                        newest = Some(newer);
                        break;
                    }
                    _ = connection.closed() => return,
                    packet = queued.recv() => {
                        let Some(packet) = packet else { return };
                        if !matches!(timeout(WRITE_TIMEOUT, frame::write(&mut stream, &packet)).await, Ok(Ok(()))) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Starts reading a connection.
    fn read(&mut self, connection: &Connection) {
        self.connections
            .retain(|known| known.close_reason().is_none());
        if self.connections.len() == CONNECTIONS_PER_PEER_MAX {
            self.connections
                .remove(0)
                .close(VarInt::from_u32(CLOSED_SURPLUS), b"too many connections");
        }
        self.connections.push(connection.clone());
        tokio::spawn(read(
            connection.clone(),
            self.id,
            self.inbox.clone(),
            self.signs.clone(),
        ));
    }

    fn note_up(&self, up: bool) {
        self.signs.connected.store(up, Ordering::Relaxed);
        if up {
            self.signs.heard_now();
        }
        note(
            Level::INFO,
            About::peer(self.id),
            if up { "connected" } else { "disconnected" },
        );
    }
}

/// Reads a connection's streams of frames, one after the other.
async fn read(connection: Connection, peer: NodeId, inbox: mpsc::Sender<Input>, signs: Arc<Signs>) {
    while let Ok(mut stream) = connection.accept_uni().await {
        loop {
            match frame::read(&mut stream, PACKET_BYTES_MAX).await {
                Ok(Some(bytes)) => {
                    signs.heard_now();
                    if inbox.send(Input::Packet { peer, bytes }).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    note(
                        Level::WARN,
                        About::peer(peer),
                        format!("closed the connection: {error}"),
                    );
                    return connection.close(VarInt::from_u32(CLOSED_OVERSIZE), b"frame too long");
                }
                Err(_) => break,
            }
        }
    }
}

fn longer(backoff: Duration) -> Duration {
    (backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX)
}
