//! The accounts as a whole: copied, taken over, summed up and checked.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::left::{Left, mark, pack};
use super::{Client, Machine, Txn, TxnPhase};
use crate::paxos::Slot;
use crate::protocol::sharded_2pc::command::{Item, Part, TxnId};
use crate::protocol::sharded_2pc::config::Place;
use crate::store::Table;
use crate::types::{ClientId, GroupId, Hash32};

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

impl Snapshot {
    /// Whether its items exist.
    pub(in crate::protocol::sharded_2pc) fn is_sound(&self, place: &Place<'_>) -> bool {
        let held = self.locks.iter().map(|(item, _)| *item);
        let changed = self.accounts.iter().map(|(item, _)| *item);
        let moved = self.homes.iter().map(|(item, _)| *item);
        let mut items = held.chain(changed).chain(moved);
        let has_homes = self.homes.iter().all(|(_, home)| place.clusters.has(*home));
        self.slot > 0 && has_homes && items.all(|item| place.owner(item).is_some())
    }

    /// Whether its rows agree with each other, as those of a member of this cluster do: whoever takes it over relies on
    /// that, and whoever sends it may lie.
    pub(in crate::protocol::sharded_2pc) fn agrees(
        &self,
        place: &Place<'_>,
        cluster: GroupId,
    ) -> bool {
        let is_in_order = ascend(&self.accounts)
            && ascend(&self.locks)
            && ascend(&self.transactions)
            && ascend(&self.clients)
            && ascend(&self.homes);
        let is_held = |item: Item, id: TxnId| found(&self.locks, &item) == Some(&id);
        let of_transaction = |(id, txn): &(TxnId, Txn)| match (txn.phase, txn.part) {
            (TxnPhase::Prepared(Ok(())), Some(part)) => is_held(part.item(), *id),
            _ => true,
        };
        let of_lock = |(item, id): &(Item, TxnId)| {
            let holds = |txn: &Txn| {
                let part = txn.part.map(Part::item);
                txn.phase == TxnPhase::Prepared(Ok(())) && part == Some(*item)
            };
            found(&self.transactions, id).is_some_and(holds)
        };
        let lives_here = |(item, _): &(Item, u64)| {
            let moved = found(&self.homes, item).copied();
            moved.or_else(|| place.owner(*item)) == Some(cluster)
        };
        is_in_order
            && self.transactions.iter().all(of_transaction)
            && self.locks.iter().all(of_lock)
            && self.accounts.iter().all(lives_here)
    }
}

/// Whether rows are in the order of their keys, each once.
fn ascend<K: Ord, V>(rows: &[(K, V)]) -> bool {
    rows.windows(2).all(|pair| pair[0].0 < pair[1].0)
}

/// The row of a key, of rows in the order of their keys.
fn found<'a, K: Ord, V>(rows: &'a [(K, V)], key: &K) -> Option<&'a V> {
    let place = rows.binary_search_by(|(of, _)| of.cmp(key)).ok()?;
    rows.get(place).map(|(_, value)| value)
}

impl Machine {
    /// What an entry left of some items: a replica that did otherwise tells another value.
    pub(in crate::protocol::sharded_2pc) fn left(
        &self,
        place: &Place<'_>,
        items: &[Item],
    ) -> Hash32 {
        let left = items.iter().map(|item| Left {
            item: *item,
            balance: self.balance(place, *item),
            lock: self.locks.get(item).copied().map_or(0, mark),
        });
        pack(&left.collect::<Vec<Left>>())
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
    pub(in crate::protocol::sharded_2pc) fn assert_sound(&self, place: &Place<'_>) {
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
