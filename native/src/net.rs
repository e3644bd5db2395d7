//! The network between nodes: one iroh endpoint whose identity is the node's own Ed25519 key.
//!
//! ```text
//! send(peer, packet) -> queue (bounded) -> peer task: dials, or takes what the peer dialled -> one stream of frames
//! accept -> let in? (see `limit`) -> member of genesis? -> peer task
//! frames of every connection of a peer -> its rate -> the node's inbox (bounded; a full inbox slows the peer down)
//! ```
//!
//! Direct addresses only, unless `options` says otherwise. Both ends of a pair dial; what comes of it are one or two connections, of which the
//! newest is written to and all are read. Packets may be lost with a connection or dropped from a full queue: protocols
//! send again. The envelope, not the connection, says who speaks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, Incoming, IncomingAddr, QuicTransportConfig, VarInt, presets};
use iroh::{Endpoint, EndpointId, SecretKey};
use phaselab_core::crypto::PublicKey;
use phaselab_core::envelope::PACKET_BYTES_MAX;
use phaselab_core::types::NodeId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Level;

use crate::failure::Failure;
use crate::log::{About, note};
use crate::node::Input;

pub(crate) mod faults;
pub(crate) mod gateway;
mod limit;
mod options;
mod peer;
mod signs;

use faults::{DelayLine, Fate, Faults, LinkFaults};
use limit::{Answer, Door, Entry, PeerLimit};
pub(crate) use options::NetworkOptions;
use peer::Peer;
use signs::Signs;

const ALPN: &[u8] = b"phaselab/1";

/// Packets that wait for one peer; the newest is dropped when there are more.
const QUEUE_PACKETS_MAX: usize = 256;
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
    /// The configuration's `[network]`.
    pub(crate) options: NetworkOptions,
    /// What breaks it on purpose, if this node takes faults.
    pub(crate) faults: Option<Arc<Faults>>,
}

/// The network, running.
#[derive(Debug)]
pub(crate) struct Net {
    endpoint: Endpoint,
    links: Arc<BTreeMap<NodeId, Link>>,
    tasks: Vec<JoinHandle<()>>,
    faults: Option<(Arc<Faults>, DelayLine)>,
}

/// What is known of a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerState {
    /// Which.
    pub(crate) id: NodeId,
    /// Whether a connection is up.
    pub(crate) connected: bool,
    /// For how long one has been up.
    pub(crate) connected_for: Option<Duration>,
    /// The round trip, as QUIC estimates it.
    pub(crate) round_trip: Option<Duration>,
    /// How long ago it was last heard; `None` if never.
    pub(crate) heard: Option<Duration>,
    /// Packets to it that were written.
    pub(crate) sent: u64,
    /// Packets of it that were read, and their bytes.
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
    /// Packets after which it had to wait, being over its rate.
    pub(crate) slowed: u64,
    /// Packets that were dropped because its queue was full.
    pub(crate) dropped: u64,
    /// How the link to it is broken on purpose.
    pub(crate) faults: LinkFaults,
}

#[derive(Debug)]
struct Link {
    queue: mpsc::Sender<Arc<[u8]>>,
    signs: Arc<Signs>,
}

impl Link {
    fn queue(&self, packet: Arc<[u8]>) {
        if self.queue.try_send(packet).is_err() {
            self.signs.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
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
        let builder = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&config.secret))
            .alpns(vec![ALPN.to_vec()])
            .transport_config(transport());
        let endpoint = config
            .options
            .apply(builder)
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
        let endpoint = self.endpoint;
        let mut tasks = Vec::new();
        let mut links = BTreeMap::new();
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
                way: config.options.way_to(key, *address),
                endpoint: endpoint.clone(),
                inbox: inbox.clone(),
                signs: signs.clone(),
                limit: Arc::new(PeerLimit::new(Instant::now(), &config.options)),
                faults: config.faults.clone(),
                connections: Vec::new(),
            };
            tasks.push(tokio::spawn(peer.run(queued, accepted)));
            links.insert(*id, Link { queue, signs });
            doors.insert(key, (*id, door));
        }
        let entrance = Entrance {
            door: Door::new(config.members.values().filter_map(|(_, address)| *address)),
            members: doors,
        };
        tasks.push(tokio::spawn(Arc::new(entrance).accept(endpoint.clone())));
        let links = Arc::new(links);
        let faults = config.faults.clone().map(|faults| {
            let links = links.clone();
            let (line, task) = DelayLine::new(faults.clone(), move |to, packet| {
                if let Some(link) = links.get(&to) {
                    link.queue(packet);
                }
            });
            tasks.push(tokio::spawn(task));
            (faults, line)
        });
        Net {
            endpoint,
            links,
            tasks,
            faults,
        }
    }
}

impl Net {
    /// Queues a packet for a peer.
    pub(crate) fn send(&self, to: NodeId, packet: &Arc<[u8]>) {
        let Some(link) = self.links.get(&to) else {
            return;
        };
        let Some((faults, line)) = &self.faults else {
            return link.queue(packet.clone());
        };
        match faults.on_send(to) {
            Fate::Passes => link.queue(packet.clone()),
            Fate::Lost => {}
            Fate::Late(by) => line.hold(by, to, packet),
        }
    }

    /// Whether a connection to a peer is up.
    pub(crate) fn reaches(&self, peer: NodeId) -> bool {
        let link = self.links.get(&peer);
        link.is_some_and(|link| link.signs.connected().is_some())
    }

    /// The peers in id order.
    pub(crate) fn peers(&self) -> Vec<PeerState> {
        let state = |(id, link): (&NodeId, &Link)| {
            let signs = &link.signs;
            let connected_for = signs.connected();
            let (received, received_bytes) = signs.received();
            PeerState {
                id: *id,
                connected: connected_for.is_some(),
                connected_for,
                round_trip: signs.round_trip(),
                heard: signs.heard(),
                sent: signs.sent.load(Ordering::Relaxed),
                received,
                received_bytes,
                slowed: signs.slowed.load(Ordering::Relaxed),
                dropped: signs.dropped.load(Ordering::Relaxed),
                faults: self
                    .faults
                    .as_ref()
                    .map(|(faults, _)| faults.of_link(*id))
                    .unwrap_or_default(),
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

/// Where connections come in.
struct Entrance {
    door: Arc<Door>,
    /// Where the connections of each member go.
    members: BTreeMap<EndpointId, (NodeId, mpsc::Sender<Connection>)>,
}

impl Entrance {
    /// Takes connections in, and hands those of members to their tasks.
    async fn accept(self: Arc<Entrance>, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            let from = match incoming.remote_addr() {
                IncomingAddr::Ip(address) => Some(address),
                _ => None,
            };
            let is_proved = incoming.remote_addr_validated();
            match self.door.knock(Instant::now(), from, is_proved) {
                Answer::Enter(entry) => {
                    tokio::spawn(self.clone().enter(incoming, entry));
                }
                Answer::Prove => {
                    // Fails only for one that is proved.
                    let _ = incoming.retry();
                }
                Answer::Ignore => incoming.ignore(),
            }
        }
    }

    async fn enter(self: Arc<Entrance>, incoming: Incoming, entry: Entry) {
        let Ok(accepting) = incoming.accept() else {
            return;
        };
        let Ok(Ok(connection)) = timeout(HANDSHAKE_TIMEOUT, accepting).await else {
            return;
        };
        drop(entry);
        match self.members.get(&connection.remote_id()) {
            Some((id, member)) => {
                if member.try_send(connection).is_err() {
                    let text = "refused a connection: too many at once";
                    note(Level::DEBUG, About::peer(*id), text);
                }
            }
            None => {
                let stranger = connection.remote_id().fmt_short();
                let text = format!("refused {stranger}: not a member of genesis");
                note(Level::WARN, About::default(), text);
                connection.close(
                    VarInt::from_u32(CLOSED_STRANGER),
                    b"not a member of this genesis",
                );
            }
        }
    }
}
