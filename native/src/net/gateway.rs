//! A node's way through the gateway of a hybrid cluster: one WebSocket, for packets, reports and facts.
//!
//! ```text
//! connect -> Challenge -> Hello, signed with the node's key -> Welcome -> packets and facts in, packets and reports out
//! ```
//!
//! It connects again and again, with a longer pause each time. Packets that find no connection or a full queue are lost,
//! as on any network; reports are kept until the world outside has taken them down. What the gateway brings is checked
//! like what anyone brings: the envelope says who speaks.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use phaselab_core::crypto::Signer;
use phaselab_core::gateway::{FRAME_BYTES_MAX, FromGateway, Place, ToGateway, sign_hello};
use phaselab_core::types::{Hash32, NodeId};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use tracing::Level;

use crate::log::{About, note};
use crate::node::Input;

mod socket;

pub(crate) use socket::{Challenged, GatewayAddress};

/// Frames that wait for the gateway; the newest is dropped when there are more.
const QUEUE_FRAMES_MAX: usize = 1_024;
/// Reports that are kept until they are taken down; the oldest is forgotten when there are more.
const REPORTS_MAX: usize = 256;
const PING_EVERY: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// A connection that ends sooner was not wanted.
const LASTING: Duration = Duration::from_secs(1);

/// Who a node is to the gateway.
pub(crate) struct Member {
    /// Where the gateway is.
    pub(crate) address: GatewayAddress,
    /// Which member it is.
    pub(crate) node: NodeId,
    /// Of which cluster.
    pub(crate) genesis: Hash32,
    /// Its key.
    pub(crate) signer: Signer,
}

/// The way through the gateway, at work.
#[derive(Debug)]
pub(crate) struct Gateway {
    queue: mpsc::Sender<Outgoing>,
    state: Arc<State>,
}

#[derive(Debug)]
enum Outgoing {
    Packet(NodeId, Arc<[u8]>),
    Report(Vec<u8>),
    Watch(Vec<u8>),
}

/// What the task knows.
#[derive(Debug, Default)]
struct State {
    connected: AtomicBool,
    begun_ms: AtomicU64,
    dropped: AtomicU64,
    online: Mutex<BTreeSet<NodeId>>,
}

impl Gateway {
    /// Starts the task.
    pub(crate) fn start(member: Member, inbox: mpsc::Sender<Input>) -> Gateway {
        let (queue, queued) = mpsc::channel(QUEUE_FRAMES_MAX);
        let state = Arc::new(State::default());
        let link = Link {
            member,
            inbox,
            state: state.clone(),
            reports: VecDeque::new(),
            reported: 0,
        };
        tokio::spawn(link.run(queued));
        Gateway { queue, state }
    }

    /// Queues a packet for a member.
    pub(crate) fn send(&self, to: NodeId, packet: &Arc<[u8]>) {
        self.queue(Outgoing::Packet(to, packet.clone()));
    }

    /// Reports to the world outside.
    pub(crate) fn report(&self, report: Vec<u8>) {
        self.queue(Outgoing::Report(report));
    }

    /// Shows observers a picture, unless it is too large for a frame.
    pub(crate) fn show(&self, picture: Vec<u8>) {
        if picture.len() < FRAME_BYTES_MAX {
            self.queue(Outgoing::Watch(picture));
        }
    }

    fn queue(&self, outgoing: Outgoing) {
        if self.queue.try_send(outgoing).is_err() {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a member is connected to the gateway, as this node is.
    pub(crate) fn reaches(&self, node: NodeId) -> bool {
        self.state.connected.load(Ordering::Relaxed) && self.state.online().contains(&node)
    }

    /// How many other members are connected to the gateway.
    pub(crate) fn peers(&self) -> u16 {
        u16::try_from(self.state.online().len().saturating_sub(1)).unwrap_or(u16::MAX)
    }

    /// When genesis was frozen, in milliseconds since 1970; `None` while there is no connection.
    pub(crate) fn begun_ms(&self) -> Option<u64> {
        let is_connected = self.state.connected.load(Ordering::Relaxed);
        is_connected.then(|| self.state.begun_ms.load(Ordering::Relaxed))
    }
}

impl State {
    fn online(&self) -> std::sync::MutexGuard<'_, BTreeSet<NodeId>> {
        // Nothing panics while it is held.
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Link {
    member: Member,
    inbox: mpsc::Sender<Input>,
    state: Arc<State>,
    /// Not taken down yet, oldest first, by number.
    reports: VecDeque<(u64, Vec<u8>)>,
    reported: u64,
}

impl Link {
    async fn run(mut self, mut queued: mpsc::Receiver<Outgoing>) {
        let mut backoff = BACKOFF_MIN;
        while !queued.is_closed() {
            match self.enter().await {
                Ok(socket) => {
                    let since = Instant::now();
                    note(Level::INFO, About::default(), "gateway connected");
                    let why = self.talk(socket, &mut queued).await;
                    self.state.connected.store(false, Ordering::Relaxed);
                    if since.elapsed() > LASTING {
                        backoff = BACKOFF_MIN;
                    }
                    let _nobody = self.on_online(BTreeSet::new()).await;
                    if self.inbox.send(Input::Chain { up: false }).await.is_err() {
                        return;
                    }
                    note(
                        Level::WARN,
                        About::default(),
                        format!("gateway disconnected: {why}"),
                    );
                }
                Err(why) => note(
                    Level::DEBUG,
                    About::default(),
                    format!("no way to the gateway at {}: {why}", self.member.address),
                ),
            }
            self.gather(&mut queued);
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Connects, and shows who this is.
    async fn enter(&self) -> Result<Challenged, String> {
        let member = &self.member;
        let mut socket = Challenged::connect(&member.address).await?;
        let proof = sign_hello(&member.signer, &socket.nonce, &member.genesis, member.node);
        let hello = ToGateway::Hello {
            node: member.node,
            genesis: member.genesis,
            place: Place::Terminal,
            proof,
        };
        socket.send(&hello).await?;
        match socket.next().await? {
            FromGateway::Welcome { begun_ms } => {
                self.state.begun_ms.store(begun_ms, Ordering::Relaxed);
                self.state.connected.store(true, Ordering::Relaxed);
                Ok(socket)
            }
            FromGateway::Refused(why) => {
                let text = format!("the gateway at {} refuses: {why}", member.address);
                note(Level::WARN, About::default(), text);
                Err(why)
            }
            _ => Err("it does not speak as a gateway does".to_owned()),
        }
    }

    /// Carries frames until the connection ends; why it did.
    async fn talk(
        &mut self,
        mut socket: Challenged,
        queued: &mut mpsc::Receiver<Outgoing>,
    ) -> String {
        if self.inbox.send(Input::Chain { up: true }).await.is_err() {
            return "the node stops".to_owned();
        }
        for (number, bytes) in &self.reports {
            let again = ToGateway::Report {
                number: *number,
                bytes: bytes.clone(),
            };
            if let Err(why) = socket.send(&again).await {
                return why;
            }
        }
        let mut ping = interval(PING_EVERY);
        loop {
            let done = tokio::select! {
                frame = socket.next() => match frame {
                    Ok(frame) => self.on_frame(frame).await,
                    Err(why) => Err(why),
                },
                outgoing = queued.recv() => match outgoing {
                    Some(outgoing) => {
                        let frame = self.frame_of(outgoing);
                        socket.send(&frame).await
                    }
                    None => Err("the node stops".to_owned()),
                },
                _ = ping.tick() => socket.ping().await,
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    async fn on_frame(&mut self, frame: FromGateway) -> Result<(), String> {
        let input = match frame {
            FromGateway::Packet(bytes) => {
                // The connection is the gateway's; whose packet it is, its envelope says.
                Input::Packet {
                    peer: phaselab_core::envelope::claimed_sender(&bytes)
                        .unwrap_or(self.member.node),
                    bytes,
                }
            }
            FromGateway::Fact(fact) => Input::Fact(fact),
            FromGateway::Taken(number) => {
                self.reports.retain(|(waiting, _)| *waiting != number);
                return Ok(());
            }
            FromGateway::Online(online) => {
                let online = online.into_iter().map(|(node, _)| node);
                return self.on_online(online.collect()).await;
            }
            FromGateway::Refused(why) => return Err(why),
            _ => return Ok(()),
        };
        let sent = self.inbox.send(input).await;
        sent.map_err(|_| "the node stops".to_owned())
    }

    /// Peers came or went.
    async fn on_online(&mut self, online: BTreeSet<NodeId>) -> Result<(), String> {
        let before = std::mem::replace(&mut *self.state.online(), online.clone());
        let changed = before.symmetric_difference(&online);
        for peer in changed.filter(|peer| **peer != self.member.node) {
            let up = online.contains(peer);
            note(
                Level::INFO,
                About::peer(*peer),
                if up {
                    "connected to the gateway"
                } else {
                    "left the gateway"
                },
            );
            let input = Input::Peer { peer: *peer, up };
            let sent = self.inbox.send(input).await;
            sent.map_err(|_| "the node stops".to_owned())?;
        }
        Ok(())
    }

    fn frame_of(&mut self, outgoing: Outgoing) -> ToGateway {
        match outgoing {
            Outgoing::Packet(to, packet) => ToGateway::Packet {
                to: Some(to),
                bytes: packet.to_vec(),
            },
            Outgoing::Report(report) => {
                let number = self.keep(report.clone());
                ToGateway::Report {
                    number,
                    bytes: report,
                }
            }
            Outgoing::Watch(picture) => ToGateway::Watch(picture),
        }
    }

    /// Keeps what the node reported meanwhile; packets are lost.
    fn gather(&mut self, queued: &mut mpsc::Receiver<Outgoing>) {
        while let Ok(outgoing) = queued.try_recv() {
            if let Outgoing::Report(report) = outgoing {
                self.keep(report);
            }
        }
    }

    fn keep(&mut self, report: Vec<u8>) -> u64 {
        if self.reports.len() == REPORTS_MAX {
            self.reports.pop_front();
        }
        self.reported += 1;
        self.reports.push_back((self.reported, report));
        self.reported
    }
}
