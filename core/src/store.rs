//! State as tables: ordered maps that journal their own changes into the step's write batch.
//!
//! A handler changes a table and nothing else; what changed is written in one atomic batch per step, so that no two
//! writes can be paired by hand and forgotten. A shell makes the batch durable and hands the token that proves it back
//! ([`Durable`]), without which nothing leaves the node.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Key};
use crate::ordered::Map;
use crate::types::{Incarnation, NodeId};

/// A table's number in the store. 0 belongs to the replica itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u8);

/// The replica's own table: incarnation and, in real stores, key and genesis.
pub const META: TableId = TableId(0);

/// A table of a protocol: its number, and its name in stores that name tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Number, from 1.
    pub id: TableId,
    /// Name, in the source document's words where it has one.
    pub name: &'static str,
}

/// One change: the whole new value, or `None` for a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which table.
    pub table: TableId,
    /// The key's bytes, ordered as the keys are.
    pub key: Vec<u8>,
    /// The value's bytes; `None` deletes.
    pub value: Option<Arc<[u8]>>,
}

/// The changes of one step, or of several that were merged: all of them become durable, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    node: NodeId,
    incarnation: Incarnation,
    number: u64,
    writes: Vec<Write>,
    /// Where values are encoded before they are cut to size.
    scratch: Vec<u8>,
}

impl WriteBatch {
    pub(crate) fn new(node: NodeId, incarnation: Incarnation, number: u64) -> WriteBatch {
        WriteBatch {
            node,
            incarnation,
            number,
            writes: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Adds a change: the key's new value, or its deletion.
    pub(crate) fn record<V: Serialize>(&mut self, table: TableId, key: Vec<u8>, value: Option<&V>) {
        let value = value.map(|value| {
            self.scratch.clear();
            codec::encode_into(value, &mut self.scratch);
            Arc::from(self.scratch.as_slice())
        });
        self.writes.push(Write { table, key, value });
    }

    /// Closes the batch under its number.
    pub(crate) fn close(&mut self, number: u64) {
        self.number = number;
        self.scratch = Vec::new();
    }

    /// Drops the changes but keeps what proves them: the shell holds the bytes elsewhere.
    pub(crate) fn forget_writes(&mut self) {
        self.writes = Vec::new();
    }

    /// The changes in order; a later one to the same key wins.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The life of the node that these writes belong to; a store refuses those of a life that is over.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whose writes these are.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Appends a later batch of the same life: group commit.
    pub fn merge(&mut self, later: WriteBatch) {
        assert_eq!(
            (self.node, self.incarnation),
            (later.node, later.incarnation),
            "batches of one life"
        );
        assert!(self.number <= later.number, "batches are merged in order");
        self.number = later.number;
        self.writes.extend(later.writes);
    }

    /// The proof that this batch, and every earlier one, is durable. Called by stores, after the fact.
    pub fn durable(&self) -> Durable {
        Durable {
            node: self.node,
            incarnation: self.incarnation,
            number: self.number,
        }
    }
}

/// Proof that a node's writes up to a batch are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) number: u64,
}

impl Durable {
    /// The last batch that it proves durable, from 1 in each life.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// All rows of a node's store, in memory: what recovery reads, and the simulator's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Map<TableId, Map<RowKey, Arc<[u8]>>>);

/// A key's bytes behind their first eight, which nearly always tell two keys apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    head: u64,
    bytes: Box<[u8]>,
}

impl RowKey {
    fn new(key: &[u8]) -> RowKey {
        let mut head = [0; 8];
        head.iter_mut().zip(key).for_each(|(to, byte)| *to = *byte);
        RowKey {
            head: u64::from_be_bytes(head),
            bytes: key.into(),
        }
    }
}

impl Rows {
    /// Sets one row, as a shell does that loads a real store.
    pub fn insert(&mut self, table: TableId, key: &[u8], value: &[u8]) {
        self.0
            .get_or_default(table)
            .insert(RowKey::new(key), value.into());
    }

    /// Applies a batch.
    pub fn apply(&mut self, batch: &WriteBatch) {
        for write in batch.writes() {
            let table = self.0.get_or_default(write.table);
            let key = RowKey::new(&write.key);
            match &write.value {
                Some(value) => {
                    table.insert(key, value.clone());
                }
                None => {
                    table.remove(&key);
                }
            }
        }
    }

    /// One row's value.
    pub fn get(&self, table: TableId, key: &[u8]) -> Option<&[u8]> {
        self.0
            .get(&table)?
            .get(&RowKey::new(key))
            .map(AsRef::as_ref)
    }

    /// All rows of a table in key order.
    pub fn table(&self, table: TableId) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .get(&table)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.bytes.as_ref(), value.as_ref()))
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(Map::is_empty)
    }

    /// Forgets one table, as an amnesiac node does.
    pub fn clear_table(&mut self, table: TableId) {
        self.0.remove(&table);
    }

    /// The tables that hold rows.
    pub fn tables(&self) -> impl Iterator<Item = TableId> + '_ {
        self.0.keys().copied()
    }
}

/// An ordered map that remembers which keys changed since they were last written.
///
/// Values sit behind `Arc`, so that a copy of the whole table copies pointers.
#[derive(Clone)]
pub struct Table<K, V> {
    id: TableId,
    rows: Map<K, Arc<V>>,
    /// Keys that changed since they were last written, ascending.
    dirty: Vec<K>,
}

impl<K: Key, V> Table<K, V> {
    /// An empty table.
    pub fn new(spec: TableSpec) -> Table<K, V> {
        Table {
            id: spec.id,
            rows: Map::new(),
            dirty: Vec::new(),
        }
    }

    /// The row's value.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key).map(AsRef::as_ref)
    }

    /// Whether the row exists.
    pub fn contains(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    /// All rows in key order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// The rows of a range of keys, in order.
    pub fn range<R: core::ops::RangeBounds<K>>(
        &self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows
            .range(range)
            .map(|(key, value)| (key, value.as_ref()))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Sets a row.
    pub fn put(&mut self, key: K, value: V) {
        self.rows.insert(key.clone(), Arc::new(value));
        self.touch(key);
    }

    /// Deletes a row.
    pub fn delete(&mut self, key: &K) {
        if self.rows.remove(key).is_some() {
            self.touch(key.clone());
        }
    }

    fn touch(&mut self, key: K) {
        if let Err(at) = self.dirty.binary_search(&key) {
            self.dirty.insert(at, key);
        }
    }
}

impl<K: Key, V: Clone> Table<K, V> {
    /// The row's value, to be changed in place; the row counts as changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.contains(key) {
            return None;
        }
        self.touch(key.clone());
        self.rows.get_mut(key).map(Arc::make_mut)
    }
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V> {
    /// Reads the table back from a node's rows.
    ///
    /// # Errors
    /// `RecoverError::Corrupt` names the table of the first row that does not decode.
    pub fn load(spec: TableSpec, rows: &Rows) -> Result<Table<K, V>, RecoverError> {
        let mut table = Table::new(spec);
        for (key, value) in rows.table(spec.id) {
            let corrupt = || RecoverError::Corrupt { table: spec.name };
            let key = K::from_bytes(key).ok_or_else(corrupt)?;
            let value = codec::decode(value).map_err(|_| corrupt())?;
            table.rows.insert(key, Arc::new(value));
        }
        Ok(table)
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.rows == other.rows
    }
}

impl<K: Eq, V: Eq> Eq for Table<K, V> {}

impl<K: Hash, V: Hash> Hash for Table<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rows.hash(state);
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.rows).finish()
    }
}

/// What the replica needs of a table whatever its types.
pub trait AnyTable {
    /// Moves the changes since the last call into the batch.
    fn drain(&mut self, batch: &mut WriteBatch);
    /// Appends every row's bytes to `out`, for comparing a recovered state with the live one.
    fn dump(&self, out: &mut Vec<(TableId, Vec<u8>, Vec<u8>)>);
}

impl<K: Key, V: Serialize> AnyTable for Table<K, V> {
    fn drain(&mut self, batch: &mut WriteBatch) {
        for key in self.dirty.drain(..) {
            let value = self.rows.get(&key).map(AsRef::as_ref);
            batch.record(self.id, key.to_bytes(), value);
        }
    }

    fn dump(&self, out: &mut Vec<(TableId, Vec<u8>, Vec<u8>)>) {
        out.extend(
            self.rows
                .iter()
                .map(|(key, value)| (self.id, key.to_bytes(), codec::encode(value.as_ref()))),
        );
    }
}

/// Why a node cannot start from its store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoverError {
    /// A row does not decode.
    Corrupt {
        /// The table it stands in.
        table: &'static str,
    },
    /// Rows contradict one another.
    Inconsistent {
        /// What was expected.
        expected: &'static str,
    },
    /// The incarnation counter is used up.
    Exhausted,
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoverError::Corrupt { table } => {
                write!(f, "table {table} holds a row that is not of this version")
            }
            RecoverError::Inconsistent { expected } => {
                write!(f, "the stored rows contradict one another: {expected}")
            }
            RecoverError::Exhausted => write!(f, "this store was started 4,294,967,295 times"),
        }
    }
}

impl core::error::Error for RecoverError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Round;

    const SPEC: TableSpec = TableSpec {
        id: TableId(1),
        name: "rounds",
    };

    #[test]
    fn a_step_writes_each_changed_row_once_and_whole() {
        let mut table: Table<Round, u64> = Table::new(SPEC);
        table.put(Round(1), 10);
        *table.get_mut(&Round(1)).unwrap() = 11;
        table.put(Round(2), 20);
        table.delete(&Round(2));
        let mut batch = WriteBatch::new(NodeId(1), Incarnation(1), 1);
        table.drain(&mut batch);
        let values: Vec<_> = batch
            .writes()
            .iter()
            .map(|w| w.value.as_deref().map(<[u8]>::to_vec))
            .collect();
        assert_eq!(values, [Some(alloc::vec![11]), None]);
        let mut again = WriteBatch::new(NodeId(1), Incarnation(1), 2);
        table.drain(&mut again);
        assert!(again.is_empty());
    }

    #[test]
    fn a_table_comes_back_from_its_rows_and_refuses_bent_ones() {
        let mut table: Table<Round, u64> = Table::new(SPEC);
        table.put(Round(3), 300);
        let mut batch = WriteBatch::new(NodeId(1), Incarnation(1), 1);
        table.drain(&mut batch);
        let mut rows = Rows::default();
        rows.apply(&batch);
        assert_eq!(Table::load(SPEC, &rows).as_ref(), Ok(&table));
        rows.insert(SPEC.id, &[0, 0, 0, 4], &[0xff]);
        assert_eq!(
            Table::<Round, u64>::load(SPEC, &rows),
            Err(RecoverError::Corrupt { table: "rounds" })
        );
    }
}
