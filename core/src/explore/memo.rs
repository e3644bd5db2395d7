//! What was computed once is looked up the next time, by any thread.

use core::hash::Hash;

use hashbrown::HashMap;
use spin::RwLock;

use super::fingerprint::{Fingerprint, Lanes};

const SHARDS: usize = 64;

/// Entries per shard; a full one is emptied, so that memory stays bounded.
const ENTRIES_MAX: usize = 1 << 15;

type Shard<K, V> = RwLock<HashMap<K, V, core::hash::BuildHasherDefault<Lanes>>>;

/// A function's results by argument. Never changes a result, only what it costs.
pub(super) struct Memo<K, V> {
    shards: [Shard<K, V>; SHARDS],
}

impl<K: Hash + Eq + Clone, V: Clone> Memo<K, V> {
    pub(super) fn new() -> Memo<K, V> {
        Memo {
            shards: core::array::from_fn(|_| RwLock::new(HashMap::default())),
        }
    }

    pub(super) fn get_or_make(&self, key: &K, make: impl FnOnce() -> V) -> V {
        let Fingerprint([print, _]) = Fingerprint::of(key);
        let shard = &self.shards[print as usize % SHARDS];
        if let Some(value) = shard.read().get(key) {
            return value.clone();
        }
        // Two threads may both compute it: the same value.
        let value = make();
        let mut entries = shard.write();
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key.clone(), value.clone());
        value
    }
}
