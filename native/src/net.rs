//! The network between nodes: one iroh endpoint whose identity is the node's own Ed25519 key.
//!
//! ```text
//! send(peer, packet) -> queue (bounded) -> peer task: dials, or takes what the peer dialled -> one stream of frames
//! accept -> member of genesis? -> peer task
//! frames of every connection of a peer -> the node's inbox (bounded; a full inbox slows the peer down)
//! ```
//!
//! Direct addresses only, no relays. Both ends of a pair dial; what comes of it are one or two connections, of which the
//! newest is written to and all are read. Packets may be lost with a connection or dropped from a full queue: protocols
//! send again. The envelope, not the connection, says who speaks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iroh::endpoint::{Connection, QuicTransportConfig, VarInt, presets};
use iroh::{Endpoint, EndpointId, RelayMode, SecretKey};
use phaselab_core::crypto::PublicKey;
use phaselab_core::envelope::PACKET_BYTES_MAX;
use phaselab_core::types::NodeId;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Level;

use crate::failure::Failure;
use crate::log::{About, note};
use crate::node::Input;

mod peer;

use peer::{Peer, Signs};

const ALPN: &[u8] = b"phaselab/1";

/// Packets that wait for one peer; the newest is dropped when there are more.
const QUEUE_PACKETS_MAX: usize = 256;
/// Handshakes under way at once; more are refused.
const HANDSHAKES_MAX: usize = 32;
/// Connections of one peer that are read; the oldest is closed when there are more.
const CONNECTIONS_PER_PEER_MAX: usize = 3;
/// Streams that a peer may have open at once.
const STREAMS_PER_CONNECTION_MAX: u32 = 2;

/// How long a connection may take to be made, from either end.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than it takes to give a peer up that does not answer: three times [`RTT_GUESSED`] and its spread.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The round trip that is assumed until one was measured.
const RTT_GUESSED: Duration = Duration::from_millis(150);
/// Without a sign of life for so long a connection is over.
const IDLE_TIMEOUT_MS: u32 = 6_000;
const KEEP_ALIVE: Duration = Duration::from_secs(2);

const CLOSED_STRANGER: u32 = 403;

/// What the network needs to know.
#[derive(Debug)]
pub(crate) struct NetConfig {
    /// The node's secret key.
    pub(crate) secret: [u8; 32],
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The other members: key, and address where it is told.
    pub(crate) members: BTreeMap<NodeId, (PublicKey, Option<SocketAddr>)>,
}

/// The network, running.
#[derive(Debug)]
pub(crate) struct Net {
    endpoint: Endpoint,
    links: BTreeMap<NodeId, Link>,
    tasks: Vec<JoinHandle<()>>,
}

/// What is known of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerState {
    /// Which.
    pub(crate) id: NodeId,
    /// Whether a connection is up.
    pub(crate) connected: bool,
    /// How long ago it was last heard; `None` if never.
    pub(crate) heard: Option<Duration>,
    /// Packets that were dropped because its queue was full.
    pub(crate) dropped: u64,
}

#[derive(Debug)]
struct Link {
    queue: mpsc::Sender<Arc<[u8]>>,
    signs: Arc<Signs>,
}

/// The network before it speaks: the address is taken, and nobody was dialled.
#[derive(Debug)]
pub(crate) struct Bound {
    endpoint: Endpoint,
    listening: SocketAddr,
}

impl Bound {
    /// Binds the endpoint.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub(crate) async fn bind(config: &NetConfig) -> Result<Bound, Failure> {
        let refuse = |what: String| Failure::Input(format!("{}: {what}", config.listen));
        let endpoint = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&config.secret))
            .alpns(vec![ALPN.to_vec()])
            .relay_mode(RelayMode::Disabled)
            .clear_address_lookup()
            .transport_config(transport())
            .clear_ip_transports()
            .bind_addr(config.listen)
            .map_err(|error| refuse(error.to_string()))?
            .bind()
            .await
            .map_err(|_| {
                refuse(
                    "cannot listen here; is another node running? --port chooses another port"
                        .to_owned(),
                )
            })?;
        let listening = endpoint
            .bound_sockets()
            .first()
            .copied()
            .unwrap_or(config.listen);
        Ok(Bound {
            endpoint,
            listening,
        })
    }

    /// Where it listens.
    pub(crate) fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// Gives the address back.
    pub(crate) async fn close(self) {
        close(&self.endpoint).await;
    }

    /// Starts a task for each peer.
    pub(crate) fn start(self, config: &NetConfig, inbox: mpsc::Sender<Input>) -> Net {
        let mut net = Net {
            endpoint: self.endpoint,
            links: BTreeMap::new(),
            tasks: Vec::new(),
        };
        let mut doors = BTreeMap::new();
        for (id, (key, address)) in &config.members {
            let Ok(key) = EndpointId::from_bytes(&key.0) else {
                continue;
            };
            let (queue, queued) = mpsc::channel(QUEUE_PACKETS_MAX);
            let (door, accepted) = mpsc::channel(CONNECTIONS_PER_PEER_MAX);
            let signs = Arc::new(Signs::new());
            let peer = Peer {
                id: *id,
                key,
                address: *address,
                endpoint: net.endpoint.clone(),
                inbox: inbox.clone(),
                signs: signs.clone(),
                connections: Vec::new(),
            };
            net.tasks.push(tokio::spawn(peer.run(queued, accepted)));
            net.links.insert(*id, Link { queue, signs });
            doors.insert(key, (*id, door));
        }
        net.tasks
            .push(tokio::spawn(accept(net.endpoint.clone(), doors)));
        net
    }
}

impl Net {
    /// Queues a packet for a peer.
    pub(crate) fn send(&self, to: NodeId, packet: &Arc<[u8]>) {
        let Some(link) = self.links.get(&to) else {
            return;
        };
        if link.queue.try_send(packet.clone()).is_err() {
            link.signs.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The peers in id order.
    pub(crate) fn peers(&self) -> Vec<PeerState> {
        let state = |(id, link): (&NodeId, &Link)| {
            let signs = &link.signs;
            PeerState {
                id: *id,
                connected: signs.connected.load(Ordering::Relaxed),
                heard: signs.heard(),
                dropped: signs.dropped.load(Ordering::Relaxed),
            }
        };
        self.links.iter().map(state).collect()
    }

    /// Stops all tasks and tells peers that this node is gone.
    pub(crate) async fn close(self) {
        for task in &self.tasks {
            task.abort();
        }
        close(&self.endpoint).await;
    }
}

/// Takes leave of the peers; one that is gone itself must not hold this node up.
async fn close(endpoint: &Endpoint) {
    let _ = timeout(CLOSE_TIMEOUT, endpoint.close()).await;
}

fn transport() -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_PER_CONNECTION_MAX))
        .stream_receive_window(VarInt::from_u32(2 * PACKET_BYTES_MAX as u32))
        .receive_window(VarInt::from_u32(4 * PACKET_BYTES_MAX as u32))
        .send_window(4 * PACKET_BYTES_MAX as u64)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .keep_alive_interval(KEEP_ALIVE)
        .initial_rtt(RTT_GUESSED)
        .build()
}

/// Takes connections in, and hands those of members to their tasks.
async fn accept(
    endpoint: Endpoint,
    doors: BTreeMap<EndpointId, (NodeId, mpsc::Sender<Connection>)>,
) {
    let doors = Arc::new(doors);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = handshakes.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let doors = doors.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let Ok(accepting) = incoming.accept() else {
                return;
            };
            let Ok(Ok(connection)) = timeout(HANDSHAKE_TIMEOUT, accepting).await else {
                return;
            };
            match doors.get(&connection.remote_id()) {
                Some((id, door)) => {
                    if door.try_send(connection).is_err() {
                        note(
                            Level::DEBUG,
                            About::peer(*id),
                            "refused a connection: too many at once",
                        );
                    }
                }
                None => {
                    let stranger = connection.remote_id().fmt_short();
                    note(
                        Level::WARN,
                        About::default(),
                        format!("refused {stranger}: not a member of genesis"),
                    );
                    connection.close(
                        VarInt::from_u32(CLOSED_STRANGER),
                        b"not a member of this genesis",
                    );
                }
            }
        });
    }
}
