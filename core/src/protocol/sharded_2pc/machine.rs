//! What a cluster's log does to its accounts: the same at every member, entry by entry, in the order of slots.
//!
//! Upon P of a transaction: known, its vote again; the client asked for something newer, nothing; the item is held, an
//! earlier attempt is, funds are short, or it does not live here, no; else hold it, and yes. Nothing moves.
//! Upon C: the part takes effect, and the hold is dropped. Upon A: the hold is dropped; of an unknown transaction a
//! tombstone stays, so that a P that comes late is refused. (S4-F11) The first outcome in the log counts. (S4-F31)
//! Upon a transfer within the cluster: both accounts change, unless one is held or funds are short.
//! The reply to a client's last request is part of the state, and with it what was applied once is not applied again,
//! whoever leads. (S4-F14, S4-F15) It moves with items: whoever owns a sender next knows what was done in its name. A
//! request whose sender does not live here leaves no trace, so that where it went it can still be done.
//!
//! *What is conserved.* Amounts leave one cluster at its C and reach the other at its C; in between they are in the
//! coordinator's outcome. The sum of balances and of amounts whose C is in the coordinator's log and not yet in the
//! participant's never changes.
//!
//! *What is kept.* A row without outcome stays. With one it stays at the coordinator until the participant's
//! acknowledgement is logged, and on both sides until its client has moved on, as this cluster's log says. What is gone
//! is never made again: how far a client is only rises, and a P that is behind it leaves no row. A tombstone may go for
//! the same reason. Of a transaction that is behind its client and has no row, a participant therefore knows that its
//! outcome was applied or never will be; and a coordinator, that its participant applied the outcome, or that it aborts.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::command::{Item, Part, Reason, Side, TxnId};
use super::config::Place;
use super::{SPEC, phase};
use crate::ordered::Map;
use crate::paxos::Slot;
use crate::store::{AnyTable, RecoverError, Rows, Table, TableId, TableSpec};
use crate::types::{ClientId, GroupId};

mod apply;
mod flawed;
pub(super) mod left;
mod snapshot;

pub use snapshot::Snapshot;

/// Where a transaction is. (S4-08 `Phase`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TxnPhase {
    /// P is applied, with this vote.
    Prepared(Result<(), Reason>),
    /// C is applied.
    Committed,
    /// A is applied.
    Aborted(Reason),
}

impl TxnPhase {
    /// The phase as people see it, by number.
    pub const fn index(self) -> u8 {
        match self {
            TxnPhase::Prepared(Ok(())) => phase::PREPARED,
            TxnPhase::Prepared(Err(_)) => phase::REFUSED,
            TxnPhase::Committed => phase::COMMITTED,
            TxnPhase::Aborted(_) => phase::ABORTED,
        }
    }

    /// Whether nothing follows.
    pub const fn is_outcome(self) -> bool {
        !matches!(self, TxnPhase::Prepared(_))
    }
}

/// A transaction at one cluster. (S4-08 `TwoPCTransaction`)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Txn {
    /// Where it is.
    pub phase: TxnPhase,
    /// Its label: the slot of its P; 0 for a tombstone. (S4-61 `PrepareSeq`)
    pub seq: Slot,
    /// What happens here; nothing for a tombstone.
    pub part: Option<Part>,
    /// On which side this is.
    pub side: Side,
    /// What the item holds that is leaving.
    pub carried: u64,
    /// How far clients were when it left.
    pub clients: Vec<(ClientId, Client)>,
    /// Whether the other cluster has applied the outcome.
    pub acked: bool,
}

impl Txn {
    /// Moves to another phase.
    ///
    /// # Panics
    /// If the transition is not legal: a bug.
    fn enter(&mut self, to: TxnPhase) {
        assert!(
            SPEC.is_legal(self.phase.index(), to.index()),
            "{:?} -> {to:?} is not a transition",
            self.phase
        );
        self.phase = to;
    }

    /// What the coordinator asks of the other cluster, once it can.
    pub const fn asked(&self) -> Option<(GroupId, Part)> {
        match (self.side, self.part) {
            (
                Side::Coordinator {
                    participant,
                    part: Some(part),
                },
                _,
            ) => Some((participant, part)),
            (Side::Coordinator { participant, .. }, Some(Part::Leave { item, .. })) => {
                let balance = self.carried;
                Some((participant, Part::Arrive { item, balance }))
            }
            _ => None,
        }
    }
}

/// What a client is told of a request that has ended. (S4-37)
pub type Outcome = Result<(), Reason>;

/// A client's last request here. (S4-33 `clientLastReply`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Client {
    /// Its number.
    pub number: u64,
    /// The last attempt at it that was logged.
    pub attempt: u32,
    /// Which cluster made that attempt.
    pub home: GroupId,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
}

/// What an entry did, for whoever leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing that anybody waits for.
    Nothing,
    /// A part was voted on.
    Voted(TxnId),
    /// The outcome of a transaction stands; the first time it does.
    Ended(TxnId),
    /// A client's request has ended.
    Answered(TxnId, Outcome),
    /// A transfer within the cluster met a lock, and another attempt may follow.
    InTheWay(TxnId),
    /// The other cluster applied the outcome.
    Acked(TxnId),
    /// The sender of a request does not live here: nothing was done.
    Elsewhere(TxnId),
}

const ACCOUNTS: TableSpec = TableSpec {
    id: TableId(3),
    name: "accounts",
};
const LOCKS: TableSpec = TableSpec {
    id: TableId(4),
    name: "locks",
};
const TRANSACTIONS: TableSpec = TableSpec {
    id: TableId(5),
    name: "transactions",
};
const CLIENTS: TableSpec = TableSpec {
    id: TableId(6),
    name: "clients",
};
const HOMES: TableSpec = TableSpec {
    id: TableId(7),
    name: "homes",
};
const APPLIED: TableSpec = TableSpec {
    id: TableId(8),
    name: "applied",
};

/// The tables of the machine.
pub const TABLES: [TableSpec; 6] = [ACCOUNTS, LOCKS, TRANSACTIONS, CLIENTS, HOMES, APPLIED];

/// The accounts of one cluster, and everything that its log has said of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// What items hold, where it differs from the beginning.
    accounts: Table<Item, u64>,
    /// Which transaction holds an item. (S4-07 `DataItemLock`)
    locks: Table<Item, TxnId>,
    transactions: Table<TxnId, Txn>,
    /// The last request of each client, by the cluster that decides it.
    clients: Table<(ClientId, GroupId), Client>,
    /// Where items live that moved. (S4-54)
    homes: Table<Item, GroupId>,
    applied: Table<u8, Slot>,
    /// What items held when a P of theirs was accepted; empty unless S4-F6 is restored.
    images: Map<TxnId, u64>,
}

impl Machine {
    /// Reads the machine back from a member's rows.
    ///
    /// # Errors
    /// When a row does not decode.
    pub fn load(rows: &Rows) -> Result<Machine, RecoverError> {
        Ok(Machine {
            accounts: Table::load(ACCOUNTS, rows)?,
            locks: Table::load(LOCKS, rows)?,
            transactions: Table::load(TRANSACTIONS, rows)?,
            clients: Table::load(CLIENTS, rows)?,
            homes: Table::load(HOMES, rows)?,
            applied: Table::load(APPLIED, rows)?,
            images: Map::new(),
        })
    }

    /// Visits its tables.
    pub fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        visit(&mut self.accounts);
        visit(&mut self.locks);
        visit(&mut self.transactions);
        visit(&mut self.clients);
        visit(&mut self.homes);
        visit(&mut self.applied);
    }

    /// The last slot that was applied. (S4-16 `lastExecuted`)
    pub fn applied(&self) -> Slot {
        self.applied.get(&0).copied().unwrap_or(0)
    }

    /// Where an item lives, as this cluster knows; `None` for one that does not exist.
    pub fn home(&self, place: &Place<'_>, item: Item) -> Option<GroupId> {
        let moved = self.homes.get(&item).copied();
        moved.or_else(|| place.owner(item))
    }

    /// What an item holds, if it lives here.
    pub fn balance(&self, place: &Place<'_>, item: Item) -> Option<u64> {
        (self.home(place, item) == Some(place.cluster)).then(|| {
            let held = self.accounts.get(&item).copied();
            held.unwrap_or_else(|| place.config.first_balance(item))
        })
    }

    /// The items that differ from the beginning or are held, with what they hold and the transaction that holds them.
    pub fn touched(&self) -> impl Iterator<Item = (Item, Option<u64>, Option<TxnId>)> + '_ {
        let held = self.locks.iter().map(|(item, _)| *item);
        let changed = self.accounts.iter().map(|(item, _)| *item);
        let mut items: Vec<Item> = changed.chain(held).collect();
        items.sort_unstable();
        items.dedup();
        items.into_iter().map(|item| {
            let (balance, lock) = (self.accounts.get(&item), self.locks.get(&item));
            (item, balance.copied(), lock.copied())
        })
    }

    /// The items that moved, here or away.
    pub fn moved(&self) -> impl Iterator<Item = Item> + '_ {
        self.homes.iter().map(|(item, _)| *item)
    }

    /// The transaction that holds an item.
    pub fn lock(&self, item: Item) -> Option<TxnId> {
        self.locks.get(&item).copied()
    }

    /// A transaction's row.
    pub fn transaction(&self, id: TxnId) -> Option<&Txn> {
        self.transactions.get(&id)
    }

    /// All transactions that are remembered, by name.
    pub fn transactions(&self) -> impl Iterator<Item = (TxnId, &Txn)> {
        self.transactions.iter().map(|(id, txn)| (*id, txn))
    }

    /// A client's last request that a cluster decides.
    pub fn client(&self, client: ClientId, home: GroupId) -> Option<&Client> {
        self.clients.get(&(client, home))
    }

    /// All clients whose requests a cluster decides, in order.
    pub fn clients(&self, home: GroupId) -> impl Iterator<Item = (ClientId, &Client)> {
        let all = self.clients.iter();
        let all = all.filter(move |((_, of), _)| *of == home);
        all.map(|((client, _), known)| (*client, known))
    }

    /// Whether an item is held.
    pub fn is_locked(&self, item: Item) -> bool {
        self.locks.contains(&item)
    }
}
