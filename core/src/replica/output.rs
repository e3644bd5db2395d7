//! What a step leaves: writes, and effects that only the proof of their durability takes out.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::engine::{MessageInfo, To};
use crate::event::{Event, Record};
use crate::store::{Durable, WriteBatch};
use crate::types::ClientId;

/// A step's result: what must be written, and what may leave once it is.
#[must_use = "a node whose output is dropped loses messages"]
#[derive(Clone, Debug)]
pub struct Output {
    /// What this step changed; empty if nothing. Belongs to the node's store.
    pub writes: WriteBatch,
    held: Released,
    needs: u64,
}

impl Output {
    /// What a step wrote, and what waits until the batch with the number `needs` is durable.
    pub(super) fn new(writes: WriteBatch, held: Released, needs: u64) -> Output {
        Output {
            writes,
            held,
            needs,
        }
    }

    /// Whether that batch is durable.
    pub(super) fn may_leave(&self, durable: &Durable) -> bool {
        durable.number >= self.needs
    }

    /// Whether the step left neither writes nor effects.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.held.is_empty()
    }

    /// What is held back, for whoever compares it.
    pub(crate) fn held(&self) -> &Released {
        &self.held
    }

    /// What may leave, once the store has proved that this step's writes, and all before them, are durable.
    ///
    /// # Panics
    /// If the proof is of another node, another life or an earlier batch: the shell has a bug.
    pub fn after_persist(self, durable: &Durable) -> Released {
        assert_eq!(
            durable.node,
            self.writes.node(),
            "the proof is of another node"
        );
        assert_eq!(
            durable.incarnation,
            self.writes.incarnation(),
            "the proof is of another life"
        );
        assert!(
            durable.number >= self.needs,
            "the proof is of an earlier batch"
        );
        self.held
    }
}

/// What leaves a node: taken out of an [`Output`] only with the proof that its writes are durable.
#[derive(Clone, Debug, Default)]
pub struct Released {
    /// Packets, sealed.
    pub sends: Vec<Outgoing>,
    /// Answers to clients: (client, request number, the bytes of the protocol's `Reply`).
    pub replies: Vec<(ClientId, u64, Vec<u8>)>,
    /// What the world outside is told: the bytes of the protocol's `Report`.
    pub reports: Vec<Vec<u8>>,
    /// What became true in this step.
    pub records: Vec<Record>,
    /// What observers are told.
    pub events: Vec<Event>,
}

impl Released {
    /// Whether nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
            && self.replies.is_empty()
            && self.reports.is_empty()
            && self.records.is_empty()
            && self.events.is_empty()
    }
}

/// A sealed packet and whom it goes to.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Whom it goes to.
    pub to: To,
    /// The sealed packet; one however many receive it.
    pub packet: Arc<[u8]>,
    /// How it is drawn.
    pub info: MessageInfo,
}
