//! Where a live node's writes become durable.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use phaselab_core::store::{Durable, Rows, WriteBatch};

/// The proof, or why there is none.
pub type Commit = Pin<Box<dyn Future<Output = Result<Durable, StoreError>>>>;

/// A node's store.
pub trait Store {
    /// Begins to write a batch, all of it or nothing. The writes are on their way when this returns; the future says
    /// when they are durable.
    fn commit(&self, batch: WriteBatch) -> Commit;
}

/// Why a node must stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Another life of the same node wrote since.
    Fenced,
    /// The store failed: its message.
    Failed(String),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::Fenced => f.write_str("this node runs elsewhere now"),
            StoreError::Failed(why) => write!(f, "the store failed: {why}"),
        }
    }
}

/// Rows in memory: lost with the thread, so that a node that starts anew with the same key may break its promises.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Rc<RefCell<Rows>>);

impl MemoryStore {
    /// A store that holds these rows.
    pub fn new(rows: Rows) -> MemoryStore {
        MemoryStore(Rc::new(RefCell::new(rows)))
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: WriteBatch) -> Commit {
        self.0.borrow_mut().apply(&batch);
        Box::pin(std::future::ready(Ok(batch.durable())))
    }
}
