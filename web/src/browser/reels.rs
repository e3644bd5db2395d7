//! What the nodes of a room recorded of their lives, in their databases, and as one file.
//!
//! A life's recording is a row of blocks: `life, number` to bytes. Writing them never fails a node; where the browser
//! refuses one, the recording ends there.

use std::cell::Cell;
use std::rc::Rc;

use phaselab_core::recording;
use phaselab_wasm::live::tape::Tape;
use wasm_bindgen_futures::spawn_local;

use super::idb::{Database, Put, from_stored, to_stored};
use super::stores::{NODE_STORES, TAPE, node_database};

/// The most lives of a node that are kept; the oldest makes room for a new one.
const LIVES_MAX: usize = 8;

/// Where one life is recorded. Copies share it.
#[derive(Clone)]
pub(crate) struct Reel {
    database: Rc<Database>,
    life: u32,
    blocks: Rc<Cell<u32>>,
    tape: Tape,
}

impl Reel {
    /// A reel for a life, with room made for it.
    pub(super) async fn open(database: Rc<Database>, life: u32) -> Result<Reel, String> {
        let mut lives: Vec<u32> = Vec::new();
        let mut keys = Vec::new();
        for key in database.keys(TAPE).await? {
            let Some((of, _)) = from_stored(&key).and_then(|key| place(&key)) else {
                continue;
            };
            if lives.last() != Some(&of) {
                lives.push(of);
            }
            keys.push((of, key));
        }
        let surplus = (lives.len() + 1).saturating_sub(LIVES_MAX);
        let first_kept = lives.get(surplus).copied().unwrap_or(life);
        // A life that wrote nothing down is lived again, with the same number.
        let gone = keys
            .into_iter()
            .filter(|(of, _)| (surplus > 0 && *of < first_kept) || *of >= life);
        let puts: Vec<Put> = gone
            .map(|(_, key)| Put {
                store: TAPE,
                key,
                value: None,
            })
            .collect();
        if !puts.is_empty() {
            let removed = database.write_loosely(&puts).await;
            removed.map_err(|error| error.to_string())?;
        }
        Ok(Reel {
            database,
            life,
            blocks: Rc::default(),
            tape: Tape::default(),
        })
    }

    /// What the node writes on.
    pub(crate) fn tape(&self) -> Tape {
        self.tape.clone()
    }

    /// Begins to write down what was recorded since.
    pub(crate) fn keep(&self) {
        let Some(block) = self.tape.take() else {
            return;
        };
        let number = self.blocks.get();
        self.blocks.set(number + 1);
        let put = Put {
            store: TAPE,
            key: to_stored(&key(self.life, number)),
            value: Some(to_stored(&block)),
        };
        let (written, tape) = (self.database.write_loosely(&[put]), self.tape.clone());
        spawn_local(async move {
            if written.await.is_err() {
                tape.give_up();
            }
        });
    }
}

/// Everything that these nodes of a room recorded, as one file; empty if that is nothing. A life that two threads wrote at
/// once, of which the store fenced one off, cannot be read and is left out: whoever opens the file sees that it is missing.
///
/// # Errors
/// The browser's message.
pub(crate) async fn file(room: &str, nodes: impl Iterator<Item = u16>) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    for node in nodes {
        let database = Database::open(&node_database(room, node), NODE_STORES).await?;
        let mut lives: Vec<(u32, Vec<u8>)> = Vec::new();
        for (key, value) in database.rows(TAPE).await? {
            let life = from_stored(&key).and_then(|key| place(&key));
            let (Some((life, _)), Some(block)) = (life, from_stored(&value)) else {
                continue;
            };
            match lives.last_mut().filter(|(last, _)| *last == life) {
                Some((_, bytes)) => bytes.extend(block),
                None => lives.push((life, block)),
            }
        }
        for (_, bytes) in lives {
            let lives = recording::read(&bytes).unwrap_or_default();
            // Each life gets an end: the next one follows in the file.
            lives.iter().for_each(|life| file.extend(life.to_bytes()));
        }
    }
    Ok(file)
}

fn key(life: u32, number: u32) -> [u8; 8] {
    (u64::from(life) << 32 | u64::from(number)).to_be_bytes()
}

fn place(key: &[u8]) -> Option<(u32, u32)> {
    let both = u64::from_be_bytes(key.try_into().ok()?);
    Some(((both >> 32) as u32, both as u32))
}
