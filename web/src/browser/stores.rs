//! The databases of a room: one for what all tabs agree on, one per node, one for the chain. A seat in a hybrid cluster is
//! a room with one node of its own.
//!
//! A node's database holds its key beside its votes, so that losing one loses both. Its `life` row is the fence: each
//! write first checks that no later life has written.

use std::cell::Cell;
use std::rc::Rc;

use phaselab_core::engine::Genesis;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::store::{Rows, TableId, WriteBatch};
use phaselab_wasm::live::keeper::SaveFn;
use phaselab_wasm::live::room::{Room, Secret, decode_genesis, encode_genesis};
use phaselab_wasm::live::store::{Commit, Store, StoreError};
use wasm_bindgen::JsValue;

use super::idb::{Database, Fence, Put, from_stored, to_stored};
use super::random_bytes;
use super::reels::Reel;
use crate::picture;

const META: &str = "meta";
const ROWS: &str = "rows";
pub(super) const TAPE: &str = "tape";
pub(super) const NODE_STORES: &[&str] = &[META, ROWS, TAPE];
const LIFE: &str = "life";
const SECRET: &str = "secret";
const GENESIS: &str = "genesis";
const CREATED: &str = "created_ms";
const STATE: &str = "state";

/// What all tabs of a room agree on.
#[derive(Clone, Debug)]
pub(crate) struct Charter {
    pub(crate) genesis: Genesis,
    pub(crate) kind: ProtocolKind,
    pub(crate) created_ms: u64,
}

impl Charter {
    /// How many nodes the room has.
    pub(crate) fn nodes(&self) -> u16 {
        self.genesis.members.len() as u16
    }

    /// The group of each node, in order.
    pub(crate) fn groups(&self) -> Vec<u16> {
        let members = self.genesis.members.iter();
        members.map(|member| member.group.0).collect()
    }

    /// Reads a room's charter; `None` if there is none yet.
    pub(crate) async fn load(room: &str) -> Result<Option<Charter>, String> {
        let database = Database::open(&database_name(room, "room"), &[META]).await?;
        let (Some(genesis), Some(created)) = (
            database.get(META, GENESIS).await?,
            database.get(META, CREATED).await?,
        ) else {
            return Ok(None);
        };
        let (genesis, kind) = decode_genesis(&from_stored(&genesis).unwrap_or_default())?;
        Ok(Some(Charter {
            genesis,
            kind,
            created_ms: created.as_f64().unwrap_or_default() as u64,
        }))
    }

    /// Makes a room with fresh keys: each into its node's database, and the genesis last. A room that was left halfway
    /// has no genesis and is made anew.
    pub(crate) async fn create(
        room: &str,
        kind: ProtocolKind,
        nodes: u16,
    ) -> Result<Charter, String> {
        let created_ms = js_sys::Date::now() as u64;
        let config = picture::of(kind.spec()).room_config();
        let made = Room::create(kind, room, nodes, config, created_ms, &mut random_bytes)?;
        for (member, secret) in made.genesis.members.iter().zip(&made.secrets) {
            let database = Database::open(&node_database(room, member.id.0), NODE_STORES).await?;
            let put = Put {
                store: META,
                key: SECRET.into(),
                value: Some(to_stored(&secret.to_bytes())),
            };
            database
                .write(None, &[put], None)
                .await
                .map_err(|error| error.to_string())?;
        }
        let charter = Charter {
            genesis: made.genesis,
            kind,
            created_ms,
        };
        charter.save(room).await?;
        Ok(charter)
    }

    /// Writes the charter down.
    pub(crate) async fn save(&self, room: &str) -> Result<(), String> {
        let database = Database::open(&database_name(room, "room"), &[META]).await?;
        let puts = [
            Put {
                store: META,
                key: GENESIS.into(),
                value: Some(to_stored(&encode_genesis(&self.genesis))),
            },
            Put {
                store: META,
                key: CREATED.into(),
                value: Some((self.created_ms as f64).into()),
            },
        ];
        let written = database.write(None, &puts, None).await;
        written.map_err(|error| error.to_string())
    }
}

/// The number of a seat's node in its database: which member it is, genesis says later.
pub(crate) const SEAT: u16 = 0;

/// The key of a seat, made here if there is none yet. It never leaves this database and the worker that runs the node.
pub(crate) async fn seat_key(room: &str) -> Result<Secret, String> {
    let database = Database::open(&node_database(room, SEAT), NODE_STORES).await?;
    let known = database
        .get(META, SECRET)
        .await?
        .and_then(|value| Secret::from_bytes(&from_stored(&value)?));
    if let Some(secret) = known {
        return Ok(secret);
    }
    let bytes = random_bytes();
    let put = Put {
        store: META,
        key: SECRET.into(),
        value: Some(to_stored(&bytes)),
    };
    let written = database.write(None, &[put], None).await;
    written.map_err(|error| error.to_string())?;
    Secret::from_bytes(&bytes).ok_or_else(|| "a key has 32 bytes".to_owned())
}

/// A node's database, for one life.
pub(crate) struct NodeStore {
    database: Rc<Database>,
    /// What must stand in the fence.
    expected: Rc<Cell<Option<u32>>>,
    reel: Reel,
}

impl NodeStore {
    /// Opens a node's database: its key, its rows, and the store for this life.
    pub(crate) async fn open(room: &str, node: u16) -> Result<(Secret, Rows, NodeStore), String> {
        let database = Rc::new(Database::open(&node_database(room, node), NODE_STORES).await?);
        let secret = database
            .get(META, SECRET)
            .await?
            .and_then(|value| from_stored(&value));
        let secret = secret.and_then(|bytes| Secret::from_bytes(&bytes));
        let secret = secret
            .ok_or("the node's database is gone, and its key with it: it can never come back")?;
        let life = read_life(&database).await?;
        let mut rows = Rows::default();
        for (key, value) in database.rows(ROWS).await? {
            let (Some(key), Some(value)) = (from_stored(&key), from_stored(&value)) else {
                continue;
            };
            if let Some((table, key)) = key.split_first() {
                rows.insert(TableId(*table), key, &value);
            }
        }
        // Rows that were read while another life wrote are told apart by the fence at the first write.
        let reel = Reel::open(database.clone(), life.unwrap_or(0) + 1).await?;
        Ok((
            secret,
            rows,
            NodeStore {
                database,
                expected: Rc::new(Cell::new(life)),
                reel,
            },
        ))
    }

    /// Where this life is recorded.
    pub(crate) fn reel(&self) -> Reel {
        self.reel.clone()
    }
}

impl Store for NodeStore {
    fn commit(&self, batch: WriteBatch) -> Commit {
        // What is recorded of a life reaches as far as its store: a tab that is closed loses neither or both.
        self.reel.keep();
        let life = batch.incarnation().0;
        let row = |write: &phaselab_core::store::Write| {
            let mut key = vec![write.table.0];
            key.extend_from_slice(&write.key);
            Put {
                store: ROWS,
                key: to_stored(&key),
                value: write.value.as_deref().map(to_stored),
            }
        };
        let mut puts: Vec<Put> = batch.writes().iter().map(row).collect();
        puts.push(Put {
            store: META,
            key: LIFE.into(),
            value: Some(life.into()),
        });
        let fence = Fence {
            store: META,
            key: LIFE,
            expected: self.expected.get(),
        };
        let written = self.database.write(Some(fence), &puts, Some(TAPE));
        let expected = self.expected.clone();
        Box::pin(async move {
            written.await?;
            expected.set(Some(life));
            Ok(batch.durable())
        })
    }
}

/// The chain's state as it was saved, and how to save the next; fenced like a node's.
pub(crate) async fn open_chain(room: &str) -> Result<(Option<Vec<u8>>, SaveFn), String> {
    let database = Rc::new(Database::open(&database_name(room, "chain"), &[META]).await?);
    let saved = database
        .get(META, STATE)
        .await?
        .and_then(|value| from_stored(&value));
    let before = read_life(&database).await?;
    let life = before.unwrap_or(0) + 1;
    let expected = Rc::new(Cell::new(before));
    let save: SaveFn = Rc::new(move |state| {
        let puts = [
            Put {
                store: META,
                key: STATE.into(),
                value: Some(to_stored(&state)),
            },
            Put {
                store: META,
                key: LIFE.into(),
                value: Some(life.into()),
            },
        ];
        let fence = Fence {
            store: META,
            key: LIFE,
            expected: expected.get(),
        };
        let written = database.write(Some(fence), &puts, None);
        let expected = expected.clone();
        Box::pin(async move {
            written.await?;
            expected.set(Some(life));
            Ok::<(), StoreError>(())
        })
    });
    Ok((saved, save))
}

async fn read_life(database: &Database) -> Result<Option<u32>, String> {
    let stored: Option<JsValue> = database.get(META, LIFE).await?;
    Ok(stored
        .and_then(|life| life.as_f64())
        .map(|life| life as u32))
}

pub(super) fn node_database(room: &str, node: u16) -> String {
    database_name(room, &format!("node-{node}"))
}

fn database_name(room: &str, part: &str) -> String {
    format!("phaselab/{room}/{part}")
}
