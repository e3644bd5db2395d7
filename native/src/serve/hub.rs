//! The hub: the lobby until it is frozen, then the members that are connected, and what passes between them.
//!
//! It holds no key. What a member sends is passed on only if the envelope is that member's own, sealed for this genesis;
//! everything else is refused and counted. What it may do is what a network may do: delay, lose, reorder.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use phaselab_core::crypto::{Crypto, Keyring, PublicKey};
use phaselab_core::gateway::{self, FromGateway, Invite, Nonce, Place, Placed};
use phaselab_core::types::{Hash32, NodeId};
use serde::Serialize;
use tokio::sync::watch;

use super::counts::{Counts, Tally};
use super::files::Folder;
use super::limits::{Closed, Queue};
use super::lobby::{JoinError, Lobby};
use crate::chain::host::{self, Hosted};
use crate::failure::Failure;
use crate::genesis::GenesisFile;

mod session;

pub(super) use session::Session;

/// Everything that connections share.
#[derive(Debug)]
pub(super) struct Hub {
    folder: Folder,
    stage: Mutex<Stage>,
    /// Changes with the stage.
    changed: watch::Sender<u64>,
    connections: AtomicU64,
    /// What happened, in numbers.
    pub(super) counts: Counts,
}

#[derive(Debug)]
enum Stage {
    Gathering(Lobby),
    Begun(Arc<Cluster>),
}

/// Whether genesis is frozen.
#[derive(Debug)]
pub(super) enum Begin {
    NotYet,
    Before,
    Now(Arc<Cluster>),
}

/// What a guest sees of the lobby.
#[derive(Debug)]
pub(super) enum Sight {
    /// It waits.
    Gathering { needed: u16, joined: Vec<Placed> },
    /// It may start.
    Begun(Arc<Cluster>),
}

/// A frozen genesis, and who of its members is connected.
#[derive(Debug)]
pub(super) struct Cluster {
    file: GenesisFile,
    text: String,
    hash: Hash32,
    keyring: Keyring,
    begun_ms: u64,
    /// The world outside.
    pub(super) chain: Hosted,
    online: Mutex<BTreeMap<NodeId, Online>>,
}

#[derive(Debug)]
struct Online {
    connection: u64,
    place: Place,
    queue: Arc<Queue>,
}

impl Hub {
    /// A lobby that waits for guests.
    pub(super) fn gathering(folder: Folder, lobby: Lobby) -> Arc<Hub> {
        Hub::new(folder, Stage::Gathering(lobby))
    }

    /// A cluster that began before.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub(super) fn resume(folder: Folder) -> Result<Arc<Hub>, Failure> {
        let before = Some("the cluster began before".to_owned());
        let cluster = Cluster::open(&folder, before)?;
        Ok(Hub::new(folder, Stage::Begun(Arc::new(cluster))))
    }

    fn new(folder: Folder, stage: Stage) -> Arc<Hub> {
        Arc::new(Hub {
            folder,
            stage: Mutex::new(stage),
            changed: watch::channel(0).0,
            connections: AtomicU64::new(0),
            counts: Counts::default(),
        })
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        held(&self.stage)
    }

    /// Hears of every change of the lobby.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a seat for whoever holds this key; the caller has checked that.
    pub(super) fn join(
        &self,
        invite: &Invite,
        key: PublicKey,
        place: Place,
    ) -> Result<NodeId, JoinError> {
        let joined = match &mut *self.stage() {
            Stage::Gathering(lobby) => lobby.join(invite, key, place),
            Stage::Begun(cluster) => {
                let members = &cluster.file.genesis.members;
                let member = members.iter().find(|member| member.key == key);
                member.map(|member| member.id).ok_or(JoinError::Frozen)
            }
        };
        if joined.is_ok() {
            self.tell_change();
        }
        joined
    }

    /// Freezes genesis if enough have joined, or with whoever is there if `now`.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub(super) fn begin(&self, now: bool) -> Result<Begin, Failure> {
        let mut stage = self.stage();
        let Stage::Gathering(lobby) = &mut *stage else {
            return Ok(Begin::Before);
        };
        let is_due = lobby.is_complete() || now && !lobby.joined().is_empty();
        if !is_due {
            return Ok(Begin::NotYet);
        }
        self.folder.write_genesis(&lobby.freeze())?;
        let cluster = Arc::new(Cluster::open(&self.folder, None)?);
        *stage = Stage::Begun(cluster.clone());
        drop(stage);
        self.tell_change();
        Ok(Begin::Now(cluster))
    }

    /// The lobby as a guest sees it.
    pub(super) fn look(&self) -> Sight {
        match &*self.stage() {
            Stage::Gathering(lobby) => Sight::Gathering {
                needed: lobby.needed(),
                joined: lobby.joined(),
            },
            Stage::Begun(cluster) => Sight::Begun(cluster.clone()),
        }
    }

    /// The cluster, once there is one.
    pub(super) fn cluster(&self) -> Option<Arc<Cluster>> {
        match &*self.stage() {
            Stage::Gathering(_) => None,
            Stage::Begun(cluster) => Some(cluster.clone()),
        }
    }

    /// A member's connection begins; the one that it had before ends.
    pub(super) fn enter(
        self: &Arc<Hub>,
        cluster: Arc<Cluster>,
        node: NodeId,
        place: Place,
    ) -> Session {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let queue = Arc::new(Queue::default());
        let welcome = FromGateway::Welcome {
            begun_ms: cluster.begun_ms,
        };
        queue.push(Bytes::from(welcome.encode()));
        let online = Online {
            connection,
            place,
            queue: queue.clone(),
        };
        if let Some(old) = held(&cluster.online).insert(node, online) {
            Counts::add(&self.counts.replaced);
            old.queue.close(Closed::Replaced);
        }
        cluster.tell_online();
        self.tell_change();
        Session {
            hub: self.clone(),
            cluster,
            node,
            connection,
            queue,
        }
    }

    /// Stops the world outside; what was noted is on disk.
    pub(super) async fn stop(&self) {
        if let Some(cluster) = self.cluster() {
            cluster.chain.stop().await;
        }
    }

    /// The hub's account of itself.
    pub(super) fn account(&self) -> Account {
        let (genesis, members, joined) = match &*self.stage() {
            Stage::Gathering(lobby) => {
                let of = |(id, place): &Placed| AccountOf {
                    id: *id,
                    place: Some(place.name()),
                    online: false,
                };
                let joined = lobby.joined().iter().map(of).collect();
                (None, lobby.needed(), joined)
            }
            Stage::Begun(cluster) => {
                let online = held(&cluster.online);
                let of = |id: NodeId| AccountOf {
                    id,
                    place: online.get(&id).map(|online| online.place.name()),
                    online: online.contains_key(&id),
                };
                let joined: Vec<_> = cluster.file.ids().into_iter().map(of).collect();
                (Some(cluster.hash), joined.len() as u16, joined)
            }
        };
        Account {
            genesis,
            members,
            joined,
            counts: self.counts.tally(),
        }
    }

    fn tell_change(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }
}

impl Cluster {
    fn open(folder: &Folder, paid: Option<String>) -> Result<Cluster, Failure> {
        let (file, text, begun_ms) = folder.read_genesis()?;
        let keyring = Keyring::new(Crypto::Ed25519, &file.genesis.members)
            .map_err(|error| Failure::in_file(&file.path, error))?;
        let chain = host::start_here(&file, &folder.chain(), paid)?;
        Ok(Cluster {
            hash: file.genesis.hash(),
            file,
            text,
            keyring,
            begun_ms,
            chain,
            online: Mutex::default(),
        })
    }

    /// What a guest needs to start.
    pub(super) fn begun(&self) -> FromGateway {
        FromGateway::Begun {
            genesis: self.file.genesis.clone(),
            begun_ms: self.begun_ms,
            text: self.text.clone(),
        }
    }

    /// In a few words.
    pub(super) fn title(&self) -> impl Display {
        format!(
            "{} of {} members, genesis {}",
            self.file.genesis.name,
            self.file.genesis.members.len(),
            self.hash.short()
        )
    }

    /// Whether whoever answered the challenge is this member of this genesis.
    pub(super) fn admits(
        &self,
        nonce: &Nonce,
        genesis: &Hash32,
        node: NodeId,
        proof: &phaselab_core::crypto::Signature,
    ) -> bool {
        *genesis == self.hash && gateway::verify_hello(&self.keyring, nonce, genesis, node, proof)
    }

    fn tell_online(&self) {
        let online = held(&self.online);
        let placed = online.iter().map(|(id, online)| (*id, online.place));
        let frame = Bytes::from(FromGateway::Online(placed.collect()).encode());
        online
            .values()
            .for_each(|online| online.queue.push(frame.clone()));
    }
}

/// The hub's account of itself: the JSON of `GET /gateway`.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    /// Of the genesis, once it is frozen.
    genesis: Option<Hash32>,
    /// How many members the cluster has, or needs to begin.
    members: u16,
    /// Who has joined; all members once it has begun.
    joined: Vec<AccountOf>,
    #[serde(flatten)]
    counts: Tally,
}

#[derive(Debug, Serialize)]
struct AccountOf {
    id: NodeId,
    place: Option<&'static str>,
    online: bool,
}

/// Nothing panics while one of these locks is held, and none is held across an await.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
