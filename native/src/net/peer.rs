//! One peer: dialling it, writing to its newest connection, reading all of them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, VarInt};
use iroh::{Endpoint, EndpointAddr};
use phaselab_core::envelope::PACKET_BYTES_MAX;
use phaselab_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::Level;

use super::faults::Faults;
use super::limit::PeerLimit;
use super::signs::Signs;
use super::{ALPN, CONNECTIONS_PER_PEER_MAX, HANDSHAKE_TIMEOUT};
use crate::frame;
use crate::log::{About, note};
use crate::node::Input;

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a frame may take once it has begun.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// A connection that ends sooner was refused.
const LASTING: Duration = Duration::from_secs(1);

const CLOSED_SLOW: u32 = 408;
const CLOSED_OVERSIZE: u32 = 413;
const CLOSED_SURPLUS: u32 = 429;

/// The task of one peer.
pub(super) struct Peer {
    pub(super) id: NodeId,
    /// The way to it; without one it must dial.
    pub(super) way: Option<EndpointAddr>,
    pub(super) endpoint: Endpoint,
    pub(super) inbox: mpsc::Sender<Input>,
    pub(super) signs: Arc<Signs>,
    pub(super) limit: Arc<PeerLimit>,
    /// What breaks the link on purpose, if this node takes faults.
    pub(super) faults: Option<Arc<Faults>>,
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
            self.note_up(true).await;
            self.write(connection, &mut queued, &mut accepted).await;
            self.note_up(false).await;
            backoff = if since.elapsed() < LASTING {
                longer(backoff)
            } else {
                Duration::ZERO
            };
        }
    }

    /// Dials until there is a connection.
    async fn dial(&self, mut backoff: Duration) -> Connection {
        let Some(way) = &self.way else {
            return std::future::pending().await;
        };
        loop {
            // Spread, so that nodes that lost one another at the same moment do not meet at the same moment again and
            // again.
            let random = getrandom::u32().unwrap_or(u32::MAX / 2);
            tokio::time::sleep(jittered(backoff, random)).await;
            let connecting = self.endpoint.connect(way.clone(), ALPN);
            match timeout(HANDSHAKE_TIMEOUT, connecting).await {
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
            self.signs.set_up(Some(&connection));
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
                        self.signs.sent.fetch_add(1, Ordering::Relaxed);
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
        let reader = Reader {
            connection: connection.clone(),
            peer: self.id,
            inbox: self.inbox.clone(),
            signs: self.signs.clone(),
            limit: self.limit.clone(),
            faults: self.faults.clone(),
        };
        tokio::spawn(reader.run());
    }

    /// Tells the log and the node that the peer came or went.
    async fn note_up(&self, up: bool) {
        if up {
            self.signs.heard_now();
        } else {
            self.signs.set_up(None);
        }
        note(
            Level::INFO,
            About::peer(self.id),
            if up { "connected" } else { "disconnected" },
        );
        let peer = self.id;
        // Without a node there is nobody to tell.
        let _ = self.inbox.send(Input::Peer { peer, up }).await;
    }
}

/// The task of one connection.
struct Reader {
    connection: Connection,
    peer: NodeId,
    inbox: mpsc::Sender<Input>,
    signs: Arc<Signs>,
    limit: Arc<PeerLimit>,
    faults: Option<Arc<Faults>>,
}

impl Reader {
    /// Reads the connection's streams of frames, one after the other.
    async fn run(self) {
        while let Ok(mut stream) = self.connection.accept_uni().await {
            loop {
                match frame::read_within(&mut stream, PACKET_BYTES_MAX, FRAME_TIMEOUT).await {
                    Ok(Some(bytes)) => {
                        if !self.on_packet(bytes).await {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => match error.kind() {
                        ErrorKind::InvalidData => {
                            return self.give_up(&error, CLOSED_OVERSIZE, b"frame too long");
                        }
                        ErrorKind::TimedOut => {
                            return self.give_up(&error, CLOSED_SLOW, b"frame too slow");
                        }
                        _ => break,
                    },
                }
            }
        }
    }

    /// Hands a packet to the node, and waits as long as its rate and the node ask for; `false` once there is no node.
    async fn on_packet(&self, bytes: Vec<u8>) -> bool {
        let wait = self.limit.spend(Instant::now(), bytes.len());
        let is_cut = |faults: &Arc<Faults>| faults.is_cut(self.peer);
        if !self.faults.as_ref().is_some_and(is_cut) {
            self.signs.note_received(bytes.len());
            let peer = self.peer;
            if self
                .inbox
                .send(Input::Packet { peer, bytes })
                .await
                .is_err()
            {
                return false;
            }
        }
        if !wait.is_zero() {
            self.signs.slowed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
        }
        true
    }

    fn give_up(&self, error: &std::io::Error, code: u32, reason: &[u8]) {
        let text = format!("closed the connection: {error}");
        note(Level::WARN, About::peer(self.peer), text);
        self.connection.close(VarInt::from_u32(code), reason);
    }
}

fn longer(backoff: Duration) -> Duration {
    (backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX)
}

/// Between half of it and half as much again.
fn jittered(backoff: Duration, random: u32) -> Duration {
    backoff / 2 + backoff.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_rarer_each_time_up_to_a_limit_and_never_at_the_same_moment() {
        let mut backoff = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff = longer(backoff);
            waits.push(backoff.as_millis());
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3000, 3000, 3000]);
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, 0), second / 2);
        assert_eq!(jittered(second, u32::MAX), second * 3 / 2);
        assert_eq!(jittered(Duration::ZERO, 7), Duration::ZERO);
        let spread: std::collections::BTreeSet<_> =
            (0..64).map(|step| jittered(second, step << 26)).collect();
        assert_eq!(spread.len(), 64);
    }
}
