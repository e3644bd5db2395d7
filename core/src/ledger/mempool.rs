//! Transactions that wait for a block, and which of them exclude each other.
//!
//! Several may spend one outpoint: they are its conflict set, among which a protocol votes. The first of them that was
//! seen holds the lock; when it is removed, the next one does. Who fills a pool bounds it by [`Mempool::len`] and
//! [`Mempool::spenders`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::signed::Signed;
use super::transaction::{OutPoint, Transaction};
use crate::ordered::{Map, Set};
use crate::types::Hash32;

/// The pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Mempool {
    #[serde(serialize_with = "by_id")]
    transactions: Map<Hash32, Arc<Signed>>,
    /// Who spends an outpoint, in the order of arrival; none is empty.
    spenders: Map<OutPoint, Vec<Hash32>>,
}

impl Mempool {
    /// An empty pool.
    pub fn new() -> Mempool {
        Mempool::default()
    }

    /// Takes a transaction that excludes none of the pool. One that is there already stays as it is.
    ///
    /// # Errors
    /// The first input that another transaction holds; nothing changes then.
    pub fn insert(&mut self, signed: Arc<Signed>) -> Result<(), Conflict> {
        let txid = signed.id();
        if self.contains(&txid) {
            return Ok(());
        }
        for (outpoint, _) in &signed.transaction.inputs {
            if let Some(by) = self.lock_of(outpoint) {
                return Err(Conflict {
                    outpoint: *outpoint,
                    by,
                });
            }
        }
        self.put(txid, signed);
        Ok(())
    }

    /// Takes a transaction beside those that it excludes; whether it is new. Who holds a lock keeps it.
    pub fn insert_conflicting(&mut self, signed: Arc<Signed>) -> bool {
        self.put(signed.id(), signed)
    }

    fn put(&mut self, txid: Hash32, signed: Arc<Signed>) -> bool {
        if self.contains(&txid) {
            return false;
        }
        for (outpoint, _) in &signed.transaction.inputs {
            let spenders = self.spenders.get_or_default(*outpoint);
            // An outpoint that is named twice is spent by one transaction all the same.
            if spenders.last() != Some(&txid) {
                spenders.push(txid);
            }
        }
        self.transactions.insert(txid, signed);
        true
    }

    /// Takes a transaction out, and with it its locks: each passes to the next that spends the outpoint.
    pub fn remove(&mut self, txid: &Hash32) -> Option<Arc<Signed>> {
        let signed = self.transactions.remove(txid)?;
        for (outpoint, _) in &signed.transaction.inputs {
            let Some(spenders) = self.spenders.get_mut(outpoint) else {
                continue;
            };
            spenders.retain(|spender| spender != txid);
            if spenders.is_empty() {
                self.spenders.remove(outpoint);
            }
        }
        Some(signed)
    }

    /// The others that spend what this transaction spends, in the order of ids.
    pub fn conflicts(&self, transaction: &Transaction) -> impl Iterator<Item = Hash32> + use<> {
        let inputs = transaction.inputs.iter();
        let spenders = inputs.flat_map(|(outpoint, _)| self.spenders(outpoint));
        let mut conflicts: Set<Hash32> = spenders.collect();
        conflicts.remove(&transaction.id());
        conflicts.into_iter()
    }

    /// Who spends an outpoint, in the order of arrival.
    pub fn spenders(&self, outpoint: &OutPoint) -> impl ExactSizeIterator<Item = Hash32> + use<'_> {
        let spenders = self.spenders.get(outpoint).map_or(&[][..], Vec::as_slice);
        spenders.iter().copied()
    }

    /// The first that was seen to spend an outpoint.
    pub fn lock_of(&self, outpoint: &OutPoint) -> Option<Hash32> {
        self.spenders(outpoint).next()
    }

    /// A transaction of the pool.
    pub fn get(&self, txid: &Hash32) -> Option<&Arc<Signed>> {
        self.transactions.get(txid)
    }

    /// Whether a transaction is in the pool.
    pub fn contains(&self, txid: &Hash32) -> bool {
        self.transactions.contains_key(txid)
    }

    /// All transactions in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (&Hash32, &Arc<Signed>)> {
        self.transactions.iter()
    }

    /// How many transactions wait.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }
}

// serde writes no `Arc` unless told to.
fn by_id<S: Serializer>(
    transactions: &Map<Hash32, Arc<Signed>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(transactions.len()))?;
    for (txid, signed) in transactions {
        map.serialize_entry(txid, signed.as_ref())?;
    }
    map.end()
}

/// Why a transaction does not enter the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What both spend.
    pub outpoint: OutPoint,
    /// Who holds it.
    pub by: Hash32,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "outpoint {}:{} is held by {}",
            self.outpoint.txid.short(),
            self.outpoint.index,
            self.by.short()
        )
    }
}

impl core::error::Error for Conflict {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, Prng};
    use crate::ledger::{Output, Script};
    use alloc::string::String;
    use alloc::vec;

    fn coin(index: u32) -> OutPoint {
        OutPoint {
            txid: Hash32([9; 32]),
            index,
        }
    }

    /// The pool looks at inputs only.
    fn spend(name: u64, coins: &[u32]) -> Arc<Signed> {
        let script = Script {
            version: 0,
            bytes: Vec::new(),
        };
        let transaction = Transaction {
            inputs: coins.iter().map(|index| (coin(*index), 10)).collect(),
            outputs: vec![Output { amount: 9, script }],
            payload: crate::crypto::Transcript::new("test").u64(name).finish(),
        };
        Arc::new(Signed {
            transaction,
            memo: String::new(),
            witnesses: Vec::new(),
        })
    }

    #[test]
    fn the_first_that_was_seen_keeps_the_lock() {
        let (one, two, three) = (spend(1, &[1, 2]), spend(2, &[2, 3]), spend(3, &[3]));
        let mut pool = Mempool::new();
        assert_eq!(pool.insert(one.clone()), Ok(()));
        let before = pool.clone();
        let conflict = Conflict {
            outpoint: coin(2),
            by: one.id(),
        };
        assert_eq!(pool.insert(two.clone()), Err(conflict));
        assert_eq!(pool, before, "a refusal changes nothing");
        assert_eq!(pool.lock_of(&coin(3)), None, "not even the other input");
        assert!(pool.conflicts(&two.transaction).eq([one.id()]));

        assert!(pool.insert_conflicting(two.clone()));
        assert!(!pool.insert_conflicting(two.clone()), "once");
        assert_eq!(pool.insert(two.clone()), Ok(()), "it is there already");
        assert!(pool.spenders(&coin(2)).eq([one.id(), two.id()]));
        assert_eq!(pool.lock_of(&coin(2)), Some(one.id()));
        assert!(pool.conflicts(&one.transaction).eq([two.id()]));
        let conflict = Conflict {
            outpoint: coin(3),
            by: two.id(),
        };
        assert_eq!(pool.insert(three.clone()), Err(conflict));

        assert_eq!(pool.remove(&one.id()), Some(one.clone()));
        assert_eq!(pool.remove(&one.id()), None);
        assert_eq!(
            pool.lock_of(&coin(2)),
            Some(two.id()),
            "the next one's turn"
        );
        assert_eq!(pool.lock_of(&coin(1)), None);
        pool.remove(&two.id());
        assert_eq!(pool.insert(three), Ok(()));
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn an_outpoint_that_is_named_twice_is_spent_once() {
        let twice = spend(1, &[5, 6, 5]);
        let mut pool = Mempool::new();
        assert_eq!(pool.insert(twice.clone()), Ok(()));
        assert!(pool.spenders(&coin(5)).eq([twice.id()]));
        pool.remove(&twice.id());
        assert_eq!(pool, Mempool::new());
    }

    #[test]
    fn the_indexes_are_what_the_transactions_say_and_nothing_leaks() {
        let mut random = Prng::from_seed([5; 32]);
        for run in 0..16 {
            let coins = 1 + random.below(12);
            let mut pool = Mempool::new();
            // What is in the pool, in the order of arrival.
            let mut model: Vec<Arc<Signed>> = Vec::new();
            for step in 0..80 {
                let spent = |_| random.below(coins) as u32;
                let inputs: Vec<u32> = (0..1 + step % 3).map(spent).collect();
                let signed = spend(random.below(40), &inputs);
                let known = model.contains(&signed);
                let clash = |input: &(OutPoint, u64)| {
                    let spends = |other: &&Arc<Signed>| other.transaction.inputs.contains(input);
                    let by = model.iter().find(spends)?.id();
                    Some(Conflict {
                        outpoint: input.0,
                        by,
                    })
                };
                match random.below(5) {
                    0 | 1 => {
                        let first = signed.transaction.inputs.iter().find_map(clash);
                        let expected = first.filter(|_| !known).map_or(Ok(()), Err);
                        assert_eq!(pool.insert(signed.clone()), expected);
                        if expected.is_ok() && !known {
                            model.push(signed);
                        }
                    }
                    2 | 3 => {
                        assert_eq!(pool.insert_conflicting(signed.clone()), !known);
                        if !known {
                            model.push(signed);
                        }
                    }
                    _ if model.is_empty() => assert_eq!(pool.remove(&signed.id()), None),
                    _ => {
                        let gone = model.remove(random.below(model.len() as u64) as usize);
                        assert_eq!(pool.remove(&gone.id()), Some(gone));
                    }
                }
                assert_agree(&pool, &model, coins as u32);
            }
            for left in &model {
                assert!(pool.remove(&left.id()).is_some(), "run {run}");
            }
            assert!(pool.transactions.is_empty() && pool.spenders.is_empty());
        }
    }

    fn assert_agree(pool: &Mempool, model: &[Arc<Signed>], coins: u32) {
        let mut again = Mempool::new();
        for signed in model {
            again.insert_conflicting(signed.clone());
        }
        assert_eq!(*pool, again);
        assert_eq!(
            (pool.len(), pool.is_empty()),
            (model.len(), model.is_empty())
        );
        let spends = |signed: &Signed, coin: &OutPoint| {
            let mut inputs = signed.transaction.inputs.iter();
            inputs.any(|(outpoint, _)| outpoint == coin)
        };
        for coin in (0..coins).map(coin) {
            let spenders = model.iter().filter(|signed| spends(signed, &coin));
            let spenders: Vec<Hash32> = spenders.map(|signed| signed.id()).collect();
            assert!(pool.spenders(&coin).eq(spenders.iter().copied()));
            assert_eq!(pool.lock_of(&coin), spenders.first().copied());
        }
        for signed in model {
            assert_eq!(pool.get(&signed.id()), Some(signed));
            let mut inputs = signed.transaction.inputs.iter();
            let rivals = |other: &&Arc<Signed>| {
                *other != signed && inputs.clone().any(|(coin, _)| spends(other, coin))
            };
            let mut conflicts: Vec<Hash32> = model
                .iter()
                .filter(rivals)
                .map(|other| other.id())
                .collect();
            conflicts.sort_unstable();
            assert!(pool.conflicts(&signed.transaction).eq(conflicts));
            assert!(inputs.next().is_some());
        }
    }
}
