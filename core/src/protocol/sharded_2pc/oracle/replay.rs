//! The accounts of all clusters, made from their logs by rules that are written a second time: nothing is forgotten here,
//! no table is shared with the protocol, and what two clusters do is seen at once.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::Sharded2pc;
use super::super::command::{Command, Item, Part, Reason, Side, TxnId};
use super::super::config::{Clusters, Place, ShardedConfig};
use super::super::machine::left::{Left, mark, pack};
use super::super::machine::{Client, Outcome};
use super::told::Told;
use crate::engine::Env;
use crate::ordered::{Map, Set};
use crate::paxos::Slot;
use crate::types::{ClientId, GroupId, Hash32, Time};

/// Where a transaction is at one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// P, and no outcome.
    Open,
    /// C.
    Done,
    /// A.
    Undone,
}

#[derive(Clone, Copy, Debug)]
struct Txn {
    row: Row,
    holds: bool,
    part: Option<Part>,
    coordinates: bool,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    executed: Slot,
    balances: Map<Item, u64>,
    gone: Map<Item, GroupId>,
    holds: Map<Item, TxnId>,
    txns: Map<TxnId, Txn>,
    /// How far clients are, by the cluster that decides: number and attempt.
    clients: Map<(ClientId, GroupId), (u64, u32)>,
    outcomes: Map<(ClientId, u64), Outcome>,
    effects: Map<Slot, Hash32>,
    /// What an item held from when on; `None` while it lives elsewhere.
    history: Map<Item, Vec<(Time, Option<u64>)>>,
}

/// The accounts of all clusters.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    config: ShardedConfig,
    clusters: Clusters,
    shards: Map<GroupId, Shard>,
    /// Which requests moved money.
    moved: Set<(ClientId, u64)>,
    /// What replicas say that they hold.
    pub(super) told: Told,
}

impl Ledger {
    pub(super) fn new(env: &Env<Sharded2pc>) -> Ledger {
        let place = Place::of(env);
        Ledger {
            config: env.config.as_ref().clone(),
            clusters: place.clusters,
            shards: place
                .clusters
                .all()
                .map(|cluster| (cluster, Shard::default()))
                .collect(),
            moved: Set::new(),
            told: Told::default(),
        }
    }

    pub(super) fn executed(&self, cluster: GroupId) -> Slot {
        self.shards.get(&cluster).map_or(0, |shard| shard.executed)
    }

    /// What an entry left of the items that it is about.
    pub(super) fn effect(&self, cluster: GroupId, slot: Slot) -> Option<Hash32> {
        self.shards.get(&cluster)?.effects.get(&slot).copied()
    }

    /// How a request ended, where its sender lives.
    pub(super) fn outcome(&self, client: ClientId, number: u64) -> Option<Outcome> {
        self.shards
            .values()
            .find_map(|shard| shard.outcomes.get(&(client, number)).copied())
    }

    /// Whether a request ended, or its client asked for something newer.
    pub(super) fn is_over(&self, client: ClientId, number: u64) -> bool {
        let newer = self.shards.values().any(|shard| {
            let known = shard
                .clients
                .iter()
                .filter(|((known, _), _)| *known == client);
            known.into_iter().any(|(_, (known, _))| *known > number)
        });
        newer || self.outcome(client, number).is_some()
    }

    fn balance(&self, cluster: GroupId, item: Item) -> Option<u64> {
        let shard = self.shards.get(&cluster)?;
        let home = shard
            .gone
            .get(&item)
            .copied()
            .or(self.clusters.owner(&self.config, item));
        let held = shard.balances.get(&item).copied();
        (home == Some(cluster)).then(|| held.unwrap_or(self.config.first_balance(item)))
    }

    /// Executes the next slot of a cluster. The request that takes effect a second time by it, if one does.
    pub(super) fn execute(
        &mut self,
        now: Time,
        cluster: GroupId,
        slot: Slot,
        command: Option<&Command>,
    ) -> Option<TxnId> {
        let mut twice = None;
        let mut touched = Vec::new();
        match command {
            None | Some(Command::Acked { .. }) => {}
            Some(Command::Transfer {
                id,
                sender,
                receiver,
                amount,
                last,
            }) => {
                touched.extend([*sender, *receiver]);
                if self.balance(cluster, *sender).is_some() && !self.is_old(cluster, *id) {
                    let parts = [
                        Part::Debit {
                            item: *sender,
                            amount: *amount,
                        },
                        Part::Credit {
                            item: *receiver,
                            amount: *amount,
                        },
                    ];
                    let outcome = parts
                        .iter()
                        .try_for_each(|part| self.may(cluster, *id, *part));
                    if outcome.is_ok() {
                        parts.iter().for_each(|part| self.take(cluster, *part));
                        twice = (!self.moved.insert((id.client, id.number))).then_some(*id);
                    }
                    self.reach(cluster, *id);
                    if outcome != Err(Reason::Locked) || *last {
                        self.end(cluster, *id, outcome);
                    }
                }
            }
            Some(Command::Prepare { id, part, side }) => {
                touched.push(part.item());
                let is_known = self.shards.get(&cluster)?.txns.contains_key(id);
                let is_here = !side.coordinates() || self.balance(cluster, part.item()).is_some();
                if is_here && !is_known && !self.is_old(cluster, *id) {
                    let holds = self.may(cluster, *id, *part).is_ok();
                    let shard = self.shards.get_mut(&cluster)?;
                    if holds {
                        shard.holds.insert(part.item(), *id);
                    }
                    let txn = Txn {
                        row: Row::Open,
                        holds,
                        part: Some(*part),
                        coordinates: side.coordinates(),
                    };
                    shard.txns.insert(*id, txn);
                    self.reach(cluster, *id);
                }
            }
            Some(Command::Commit { id, clients, .. }) => {
                let txn = self.shards.get(&cluster)?.txns.get(id).copied();
                if let Some(txn) = txn.filter(|txn| txn.row == Row::Open) {
                    touched.extend(txn.part.map(Part::item));
                    if let (true, Some(part)) = (txn.holds, txn.part) {
                        self.take(cluster, part);
                        self.set_row(cluster, *id, Row::Done);
                        if matches!(part, Part::Arrive { .. }) {
                            self.learn(cluster, clients);
                        }
                        if txn.coordinates {
                            twice = (!self.moved.insert((id.client, id.number))).then_some(*id);
                            self.end(cluster, *id, Ok(()));
                        }
                    }
                }
            }
            Some(Command::Abort {
                id,
                reason,
                side,
                last,
                ..
            }) => {
                let txn = self.shards.get(&cluster)?.txns.get(id).copied();
                let was_open = txn.is_some_and(|txn| txn.row == Row::Open);
                if was_open {
                    touched.extend(txn.and_then(|txn| txn.part).map(Part::item));
                    self.set_row(cluster, *id, Row::Undone);
                } else if txn.is_none() && !self.is_old(cluster, *id) {
                    let tombstone = Txn {
                        row: Row::Undone,
                        holds: false,
                        part: None,
                        coordinates: side.coordinates(),
                    };
                    self.shards.get_mut(&cluster)?.txns.insert(*id, tombstone);
                    self.reach(cluster, *id);
                }
                let item = txn.and_then(|txn| txn.part).map(Part::item);
                let is_here = item.is_some_and(|item| self.balance(cluster, item).is_some());
                if was_open && is_here && *last && matches!(side, Side::Coordinator { .. }) {
                    self.end(cluster, *id, Err(*reason));
                }
            }
        }
        self.note_effect(now, cluster, slot, &touched);
        twice
    }

    fn note_effect(&mut self, now: Time, cluster: GroupId, slot: Slot, touched: &[Item]) {
        let mut left = Vec::new();
        for item in touched {
            let balance = self.balance(cluster, *item);
            let first = self.clusters.owner(&self.config, *item) == Some(cluster);
            let first = first.then(|| self.config.first_balance(*item));
            if let Some(shard) = self.shards.get_mut(&cluster) {
                let lock = shard.holds.get(item).copied().map_or(0, mark);
                let item = *item;
                let begun = || Vec::from([(Time::ZERO, first)]);
                let history = shard.history.get_or_insert_with(item, begun);
                let before = history.last().and_then(|(_, last)| *last);
                if before != balance {
                    history.push((now, balance));
                }
                let new = Left {
                    item,
                    balance,
                    lock,
                };
                left.push(new);
                self.told.expect((cluster, slot), first, before, new);
            }
        }
        if let Some(shard) = self.shards.get_mut(&cluster) {
            shard.executed = shard.executed.max(slot);
            shard.effects.insert(slot, pack(&left));
        }
    }

    /// Whether a request moved money before.
    pub(super) fn has_moved(&self, id: TxnId) -> bool {
        self.moved.contains(&(id.client, id.number))
    }

    fn is_old(&self, cluster: GroupId, id: TxnId) -> bool {
        let Some(shard) = self.shards.get(&cluster) else {
            return false;
        };
        let newer = shard
            .clients
            .get(&(id.client, id.home))
            .is_some_and(|known| *known > (id.number, id.attempt));
        newer || id.home == cluster && shard.outcomes.contains_key(&(id.client, id.number))
    }

    /// What comes with an item: how far clients are where it was.
    fn learn(&mut self, cluster: GroupId, clients: &[(ClientId, Client)]) {
        let Some(shard) = self.shards.get_mut(&cluster) else {
            return;
        };
        for (client, theirs) in clients {
            let reached = shard.clients.get_or_default((*client, cluster));
            let is_same = reached.0 == theirs.number;
            let is_known = shard.outcomes.contains_key(&(*client, theirs.number));
            if reached.0 < theirs.number || is_same && !is_known && theirs.outcome.is_some() {
                *reached = (theirs.number, theirs.outcome.map_or(0, |_| theirs.attempt));
                if let Some(outcome) = theirs.outcome {
                    let key = (*client, theirs.number);
                    shard.outcomes.get_or_insert_with(key, || outcome);
                }
            }
        }
    }

    /// Notes how far a client is.
    fn reach(&mut self, cluster: GroupId, id: TxnId) {
        if let Some(shard) = self.shards.get_mut(&cluster) {
            let known = shard.clients.get_or_default((id.client, id.home));
            *known = (*known).max((id.number, id.attempt));
        }
    }

    fn end(&mut self, cluster: GroupId, id: TxnId, outcome: Outcome) {
        let Some(shard) = self.shards.get_mut(&cluster) else {
            return;
        };
        // Of what a client has left behind nobody keeps how it ended; but whoever was told while it had not is right.
        shard
            .outcomes
            .get_or_insert_with((id.client, id.number), || outcome);
    }

    fn may(&self, cluster: GroupId, id: TxnId, part: Part) -> Outcome {
        let Some(shard) = self.shards.get(&cluster) else {
            return Err(Reason::NotHere);
        };
        let first = TxnId { attempt: 0, ..id };
        if shard
            .txns
            .range(first..id)
            .any(|(_, txn)| txn.row == Row::Open && txn.holds)
        {
            return Err(Reason::Locked);
        }
        let balance = self.balance(cluster, part.item());
        let arrives = matches!(part, Part::Arrive { .. });
        if balance.is_some() == arrives {
            return Err(Reason::NotHere);
        }
        if shard.holds.contains_key(&part.item()) {
            return Err(Reason::Locked);
        }
        match part {
            Part::Debit { amount, .. } if balance.unwrap_or(0) < amount => {
                Err(Reason::InsufficientBalance)
            }
            Part::Credit { amount, .. } if balance.unwrap_or(0).checked_add(amount).is_none() => {
                Err(Reason::Overflow)
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, cluster: GroupId, part: Part) {
        let held = self.balance(cluster, part.item()).unwrap_or(0);
        let Some(shard) = self.shards.get_mut(&cluster) else {
            return;
        };
        match part {
            Part::Debit { item, amount } => {
                shard.balances.insert(item, held - amount);
            }
            Part::Credit { item, amount } => {
                shard.balances.insert(item, held + amount);
            }
            Part::Leave { item, to } => {
                shard.gone.insert(item, to);
            }
            Part::Arrive { item, balance } => {
                shard.gone.insert(item, cluster);
                shard.balances.insert(item, balance);
            }
        }
    }

    fn set_row(&mut self, cluster: GroupId, id: TxnId, row: Row) {
        if let Some(shard) = self.shards.get_mut(&cluster) {
            shard.holds.retain(|_, holder| *holder != id);
            if let Some(txn) = shard.txns.get_mut(&id) {
                txn.row = row;
            }
        }
    }

    /// Whether an item held so much at some time of a span.
    pub(super) fn stood(
        &self,
        cluster: GroupId,
        item: Item,
        balance: u64,
        since: Time,
        until: Time,
    ) -> bool {
        let Some(shard) = self.shards.get(&cluster) else {
            return false;
        };
        let Some(history) = shard.history.get(&item) else {
            return self.balance(cluster, item) == Some(balance);
        };
        let ends = history
            .iter()
            .skip(1)
            .map(|(at, _)| Some(*at))
            .chain([None]);
        history.iter().zip(ends).any(|((from, held), end)| {
            *held == Some(balance) && *from <= until && end.is_none_or(|end| end >= since)
        })
    }

    /// The transactions without outcome, by cluster.
    pub(super) fn open(&self) -> impl Iterator<Item = (GroupId, TxnId)> + '_ {
        self.shards.iter().flat_map(|(cluster, shard)| {
            let open = shard.txns.iter().filter(|(_, txn)| txn.row == Row::Open);
            open.map(|(id, _)| (*cluster, *id))
        })
    }

    /// Transactions that took effect in one cluster alone so far.
    pub(super) fn unmatched(&self) -> Vec<TxnId> {
        let mut done: Map<TxnId, u32> = Map::new();
        for shard in self.shards.values() {
            for (id, txn) in shard.txns.iter() {
                *done.get_or_default(*id) += u32::from(txn.row == Row::Done);
            }
        }
        done.iter()
            .filter(|(_, count)| **count == 1)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Whether no money was made or lost: what all items hold, as replicas tell it, and what left one cluster and is held
    /// for the other.
    pub(super) fn conservation(&self) -> Result<String, String> {
        let (mut now, mut first, mut under_way) = (0_i128, 0_i128, 0_i128);
        for item in self.told.items() {
            first += i128::from(self.config.first_balance(item));
            for cluster in self.clusters.all() {
                let owns = self.clusters.owner(&self.config, item) == Some(cluster);
                let begun = owns.then(|| self.config.first_balance(item));
                let held = self.told.balance(cluster, item, begun);
                now += held.map_or(0, i128::from);
            }
        }
        for (cluster, shard) in self.shards.iter() {
            for (id, txn) in shard.txns.iter().filter(|(_, txn)| txn.row == Row::Done) {
                let others = self.shards.iter().filter(|(other, _)| *other != cluster);
                let mut others = others.filter_map(|(_, shard)| shard.txns.get(id));
                let is_held = others.any(|other| other.row == Row::Open && other.holds);
                match txn.part {
                    Some(Part::Debit { amount, .. }) if is_held => under_way += i128::from(amount),
                    Some(Part::Leave { item, .. }) if is_held => {
                        let held = shard.balances.get(&item).copied();
                        let held = held.unwrap_or(self.config.first_balance(item));
                        under_way += i128::from(held);
                    }
                    _ => {}
                }
            }
        }
        if now + under_way == first {
            Ok(String::from(
                "what accounts hold, and what is on its way to a held item, is what there was",
            ))
        } else {
            Err(format!(
                "{now} in accounts and {under_way} under way, of {first}"
            ))
        }
    }
}
