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

use super::command::{Command, Item, Part, Reason, Side, TxnId};
use super::config::Place;
use super::{SPEC, phase};
use crate::crypto::Transcript;
use crate::paxos::Slot;
use crate::store::{AnyTable, RecoverError, Rows, Table, TableId, TableSpec};
use crate::types::{ClientId, GroupId, Hash32};

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
}

/// All of a machine, for a member that lags behind the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    /// Every slot up to this one is in it.
    pub slot: Slot,
    accounts: Vec<(Item, u64)>,
    locks: Vec<(Item, TxnId)>,
    transactions: Vec<(TxnId, Txn)>,
    clients: Vec<((ClientId, GroupId), Client)>,
    homes: Vec<(Item, GroupId)>,
}

/// What stands in a digest of one item.
pub(super) fn digest_item(
    transcript: &mut Transcript,
    item: Item,
    balance: Option<u64>,
    lock: Option<TxnId>,
) {
    transcript.u32(item);
    transcript.u8(u8::from(balance.is_some()));
    transcript.u64(balance.unwrap_or(0));
    transcript.option(lock.map(|id| id.instance().0).as_ref());
}

impl Snapshot {
    /// Whether its items exist.
    pub(super) fn is_sound(&self, place: &Place<'_>) -> bool {
        let held = self.locks.iter().map(|(item, _)| *item);
        let changed = self.accounts.iter().map(|(item, _)| *item);
        let moved = self.homes.iter().map(|(item, _)| *item);
        let mut items = held.chain(changed).chain(moved);
        let has_homes = self.homes.iter().all(|(_, home)| place.clusters.has(*home));
        self.slot > 0 && has_homes && items.all(|item| place.owner(item).is_some())
    }
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

    /// Applies the entry of the next slot.
    pub fn apply(&mut self, place: &Place<'_>, slot: Slot, command: Option<&Command>) -> Applied {
        debug_assert_eq!(
            slot,
            self.applied() + 1,
            "slots are applied in order, each once"
        );
        self.applied.put(0, slot);
        match command {
            None => Applied::Nothing,
            Some(Command::Transfer {
                id,
                sender,
                receiver,
                amount,
                last,
            }) => {
                if self.balance(place, *sender).is_none() {
                    return Applied::Elsewhere(*id);
                }
                let outcome = self.transfer(place, *id, *sender, *receiver, *amount);
                self.answer_transfer(*id, outcome, *last)
            }
            Some(Command::Prepare { id, part, side }) => {
                let leaves = matches!(part, Part::Debit { .. } | Part::Leave { .. });
                if leaves && self.balance(place, part.item()).is_none() {
                    return Applied::Elsewhere(*id);
                }
                self.prepare(place, slot, *id, *part, *side);
                Applied::Voted(*id)
            }
            Some(Command::Commit { id, clients, .. }) => self.commit(place, *id, clients),
            Some(Command::Abort {
                id,
                reason,
                side,
                last,
                ..
            }) => self.abort(place, *id, *reason, *side, *last),
            Some(Command::Acked { id }) => {
                let is_due = |txn: &Txn| txn.phase.is_outcome() && !txn.acked;
                if !self.transactions.get(id).is_some_and(is_due) {
                    return Applied::Nothing;
                }
                if let Some(txn) = self.transactions.get_mut(id) {
                    txn.acked = true;
                }
                self.forget_old(*id);
                Applied::Acked(*id)
            }
        }
    }

    /// What a transfer within the cluster comes to; `None` if it was applied before.
    fn transfer(
        &mut self,
        place: &Place<'_>,
        id: TxnId,
        sender: Item,
        receiver: Item,
        amount: u64,
    ) -> Option<Outcome> {
        if self.is_old(id) {
            return None;
        }
        self.note(id, None);
        let debit = Part::Debit {
            item: sender,
            amount,
        };
        let credit = Part::Credit {
            item: receiver,
            amount,
        };
        let may = self
            .may(place, debit)
            .and_then(|()| self.may(place, credit))
            .and_then(|()| {
                let is_itself = sender == receiver;
                if is_itself {
                    Err(Reason::Invalid)
                } else {
                    Ok(())
                }
            });
        let may = if self.holds_for_earlier(id) {
            Err(Reason::Locked)
        } else {
            may
        };
        if may.is_ok() {
            self.take_effect(place, debit, 0);
            self.take_effect(place, credit, 0);
        }
        Some(may)
    }

    fn answer_transfer(&mut self, id: TxnId, outcome: Option<Outcome>, last: bool) -> Applied {
        match outcome {
            None => Applied::Nothing,
            Some(Err(Reason::Locked)) if !last => Applied::InTheWay(id),
            Some(outcome) => {
                self.note(id, Some(outcome));
                Applied::Answered(id, outcome)
            }
        }
    }

    /// Whether an attempt is over, or its client has moved on: a P of it will never hold anything.
    pub fn is_old(&self, id: TxnId) -> bool {
        self.clients
            .get(&(id.client, id.home))
            .is_some_and(|known| {
                let newer = (known.number, known.attempt) > (id.number, id.attempt);
                newer || (known.number == id.number && known.outcome.is_some())
            })
    }

    /// Notes how far a client is; never back.
    fn note(&mut self, id: TxnId, outcome: Option<Outcome>) {
        let known = self.clients.get(&(id.client, id.home));
        if known.is_some_and(|known| (known.number, known.attempt) > (id.number, id.attempt)) {
            return;
        }
        let before = known.filter(|known| known.number == id.number);
        let outcome = before.and_then(|known| known.outcome).or(outcome);
        let (number, attempt, home) = (id.number, id.attempt, id.home);
        self.clients.put(
            (id.client, id.home),
            Client {
                number,
                attempt,
                home,
                outcome,
            },
        );
        self.forget_old(id);
    }

    /// Drops the rows of a client's earlier transactions that nobody asks for any more.
    fn forget_old(&mut self, id: TxnId) {
        let Some(known) = self.clients.get(&(id.client, id.home)).copied() else {
            return;
        };
        let from = TxnId {
            number: 0,
            attempt: 0,
            ..id
        };
        let upto = TxnId {
            number: known.number,
            attempt: known.attempt,
            ..id
        };
        let rows = self.transactions.range(from..upto);
        let over = rows
            .filter(|(_, txn)| txn.phase.is_outcome() && (txn.acked || !txn.side.coordinates()));
        let over: Vec<TxnId> = over.map(|(id, _)| *id).collect();
        over.iter().for_each(|id| self.transactions.delete(id));
    }

    fn prepare(&mut self, place: &Place<'_>, slot: Slot, id: TxnId, part: Part, side: Side) {
        if self.transactions.contains(&id) || self.is_old(id) {
            return;
        }
        let vote = if self.holds_for_earlier(id) {
            Err(Reason::Locked)
        } else {
            self.may(place, part)
        };
        self.note(id, None);
        let mut carried = 0;
        if vote.is_ok() {
            self.locks.put(part.item(), id);
            if let Part::Leave { item, .. } = part {
                carried = self.balance(place, item).unwrap_or(0);
            }
        }
        self.transactions.put(
            id,
            Txn {
                phase: TxnPhase::Prepared(vote),
                seq: slot,
                part: Some(part),
                side,
                carried,
                clients: Vec::new(),
                acked: false,
            },
        );
    }

    /// Whether an earlier attempt at the same request may still commit.
    fn holds_for_earlier(&self, id: TxnId) -> bool {
        let attempts = TxnId { attempt: 0, ..id }..id;
        let mut earlier = self.transactions.range(attempts);
        earlier.any(|(_, txn)| txn.phase == TxnPhase::Prepared(Ok(())))
    }

    /// Whether a part could take effect now.
    fn may(&self, place: &Place<'_>, part: Part) -> Result<(), Reason> {
        let item = part.item();
        let is_here = self.home(place, item) == Some(place.cluster);
        let comes = matches!(part, Part::Arrive { .. });
        if !part.is_sound() {
            return Err(Reason::Invalid);
        }
        if place.owner(item).is_none() || is_here == comes {
            return Err(Reason::NotHere);
        }
        if self.is_locked(item) {
            return Err(Reason::Locked);
        }
        let held = self.balance(place, item).unwrap_or(0);
        match part {
            Part::Debit { amount, .. } if held < amount => Err(Reason::InsufficientBalance),
            Part::Credit { amount, .. } if held.checked_add(amount).is_none() => {
                Err(Reason::Overflow)
            }
            _ => Ok(()),
        }
    }

    fn take_effect(&mut self, place: &Place<'_>, part: Part, carried: u64) {
        let item = part.item();
        let held = self.balance(place, item).unwrap_or(0);
        match part {
            Part::Debit { amount, .. } => self.accounts.put(item, held.saturating_sub(amount)),
            Part::Credit { amount, .. } => self.accounts.put(item, held.saturating_add(amount)),
            Part::Leave { to, .. } => {
                debug_assert_eq!(carried, held, "what is held does not change");
                self.homes.put(item, to);
                self.accounts.delete(&item);
            }
            Part::Arrive { balance, .. } => {
                self.homes.put(item, place.cluster);
                self.accounts.put(item, balance);
            }
        }
    }

    fn commit(&mut self, place: &Place<'_>, id: TxnId, clients: &[(ClientId, Client)]) -> Applied {
        let Some(txn) = self.transactions.get(&id).cloned() else {
            return Applied::Nothing;
        };
        let (TxnPhase::Prepared(Ok(())), Some(part)) = (txn.phase, txn.part) else {
            return Applied::Nothing;
        };
        self.take_effect(place, part, txn.carried);
        self.end(id, part, TxnPhase::Committed);
        if txn.side.coordinates() {
            self.note(id, Some(Ok(())));
        }
        match part {
            Part::Leave { .. } => {
                let clients = self.clients(place.cluster);
                let clients = clients.map(|(client, known)| (client, *known)).collect();
                if let Some(txn) = self.transactions.get_mut(&id) {
                    txn.clients = clients;
                }
            }
            Part::Arrive { .. } => self.learn(place, clients),
            Part::Debit { .. } | Part::Credit { .. } => {}
        }
        Applied::Ended(id)
    }

    /// Takes over how far clients are where an item comes from.
    fn learn(&mut self, place: &Place<'_>, clients: &[(ClientId, Client)]) {
        for (client, theirs) in clients {
            let key = (*client, place.cluster);
            let own = self.clients.get(&key);
            let is_news = own.is_none_or(|own| {
                let is_same = own.number == theirs.number;
                own.number < theirs.number
                    || is_same && own.outcome.is_none() && theirs.outcome.is_some()
            });
            if is_news {
                // Attempts here are counted anew.
                let attempt = theirs.outcome.map_or(0, |_| theirs.attempt);
                self.clients.put(key, Client { attempt, ..*theirs });
            }
        }
    }

    fn abort(
        &mut self,
        place: &Place<'_>,
        id: TxnId,
        reason: Reason,
        side: Side,
        last: bool,
    ) -> Applied {
        let row = self.transactions.get(&id).cloned();
        // Where the sender went meanwhile, the request can still be done.
        let item = row.as_ref().and_then(|txn| txn.part).map(Part::item);
        let is_here = item.is_some_and(|item| self.balance(place, item).is_some());
        match row {
            // A P of it holds nothing anyhow.
            None if self.is_old(id) => return Applied::Nothing,
            None => {
                self.note(id, None);
                let phase = TxnPhase::Aborted(reason);
                self.transactions.put(
                    id,
                    Txn {
                        phase,
                        seq: 0,
                        part: None,
                        side,
                        carried: 0,
                        clients: Vec::new(),
                        acked: false,
                    },
                );
            }
            Some(txn) if txn.phase.is_outcome() => return Applied::Nothing,
            Some(txn) => {
                let phase = TxnPhase::Aborted(reason);
                match txn.part {
                    Some(part) => self.end(id, part, phase),
                    None => return Applied::Nothing,
                }
            }
        }
        if side.coordinates() && last && is_here {
            self.note(id, Some(Err(reason)));
        }
        Applied::Ended(id)
    }

    fn end(&mut self, id: TxnId, part: Part, phase: TxnPhase) {
        if self.locks.get(&part.item()) == Some(&id) {
            self.locks.delete(&part.item());
        }
        if let Some(txn) = self.transactions.get_mut(&id) {
            txn.enter(phase);
        }
        self.forget_old(id);
    }

    /// What an entry left of some items: a replica that did otherwise tells another hash.
    pub fn digest(&self, place: &Place<'_>, items: &[Item]) -> Hash32 {
        let mut transcript = Transcript::new("phaselab 2026-11 sharded-2pc effect v1");
        for item in items {
            let lock = self.locks.get(item).copied();
            digest_item(&mut transcript, *item, self.balance(place, *item), lock);
        }
        transcript.finish()
    }

    /// All of the machine.
    pub fn snapshot(&self) -> Snapshot {
        fn rows<K: crate::codec::Key + Copy, V: Clone>(table: &Table<K, V>) -> Vec<(K, V)> {
            table
                .iter()
                .map(|(key, value)| (*key, value.clone()))
                .collect()
        }
        Snapshot {
            slot: self.applied(),
            accounts: rows(&self.accounts),
            locks: rows(&self.locks),
            transactions: rows(&self.transactions),
            clients: rows(&self.clients),
            homes: rows(&self.homes),
        }
    }

    /// Becomes what a snapshot holds, if that is further.
    pub fn install(&mut self, snapshot: &Snapshot) -> bool {
        fn replace<K: crate::codec::Key + Copy, V: Clone>(
            table: &mut Table<K, V>,
            rows: &[(K, V)],
        ) {
            let old: Vec<K> = table.iter().map(|(key, _)| *key).collect();
            old.iter().for_each(|key| table.delete(key));
            rows.iter()
                .for_each(|(key, value)| table.put(*key, value.clone()));
        }
        if snapshot.slot <= self.applied() {
            return false;
        }
        replace(&mut self.accounts, &snapshot.accounts);
        replace(&mut self.locks, &snapshot.locks);
        replace(&mut self.transactions, &snapshot.transactions);
        replace(&mut self.clients, &snapshot.clients);
        replace(&mut self.homes, &snapshot.homes);
        self.applied.put(0, snapshot.slot);
        true
    }

    /// Asserts what entries keep true.
    ///
    /// # Panics
    /// If the tables contradict one another: a bug.
    pub(super) fn assert_sound(&self, place: &Place<'_>) {
        for (item, id) in self.locks.iter() {
            let txn = self.transactions.get(id);
            let holds = txn.is_some_and(|txn| {
                txn.phase == TxnPhase::Prepared(Ok(()))
                    && txn.part.is_some_and(|part| part.item() == *item)
            });
            assert!(holds, "item {item} is held by {id}, which is not under way");
        }
        for (id, txn) in self.transactions.iter() {
            if let (TxnPhase::Prepared(Ok(())), Some(part)) = (txn.phase, txn.part) {
                assert_eq!(
                    self.locks.get(&part.item()),
                    Some(id),
                    "{id} holds its item"
                );
            }
        }
        for (item, _) in self.accounts.iter() {
            assert_eq!(
                self.home(place, *item),
                Some(place.cluster),
                "item {item} lives here"
            );
        }
    }

    /// The sum of what this cluster's accounts hold, counted from the beginning: what came less what went.
    pub fn gained(&self, place: &Place<'_>) -> i128 {
        let changed = self.accounts.iter().map(|(item, held)| {
            let first = if place.owner(*item) == Some(place.cluster) {
                place.config.first_balance(*item)
            } else {
                0
            };
            i128::from(*held) - i128::from(first)
        });
        let left = self.homes.iter().filter(|(item, home)| {
            **home != place.cluster && place.owner(**item) == Some(place.cluster)
        });
        let left = left.map(|(item, _)| -i128::from(place.config.first_balance(*item)));
        changed.chain(left).sum()
    }
}
