//! The set of unspent outputs: what exists, how deep it lies, and who spent what.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::transaction::{OutPoint, Output, Transaction, TransactionError};
use crate::ordered::Map;
use crate::types::Hash32;

/// An unspent output, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// The output.
    pub output: Output,
    /// The chain's score when it was made.
    pub score: u64,
}

/// Unspent outputs. Applying a transaction conserves their sum, less the fee.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UtxoSet {
    unspent: Map<OutPoint, Entry>,
    spent: Map<OutPoint, Hash32>,
}

impl UtxoSet {
    /// An empty set.
    pub fn new() -> UtxoSet {
        UtxoSet::default()
    }

    /// Adds an output from outside: genesis, or a payment to the group.
    ///
    /// # Errors
    /// `Exists` if the outpoint was ever there.
    pub fn add(&mut self, outpoint: OutPoint, entry: Entry) -> Result<(), SpendError> {
        if self.unspent.contains_key(&outpoint) || self.spent.contains_key(&outpoint) {
            return Err(SpendError::Exists(outpoint));
        }
        self.unspent.insert(outpoint, entry);
        Ok(())
    }

    /// An unspent output.
    pub fn get(&self, outpoint: &OutPoint) -> Option<&Entry> {
        self.unspent.get(outpoint)
    }

    /// Which transaction spent an outpoint.
    pub fn spent_by(&self, outpoint: &OutPoint) -> Option<Hash32> {
        self.spent.get(outpoint).copied()
    }

    /// All unspent outputs in outpoint order.
    pub fn iter(&self) -> impl Iterator<Item = (&OutPoint, &Entry)> {
        self.unspent.iter()
    }

    /// How many outputs are unspent.
    pub fn len(&self) -> usize {
        self.unspent.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.unspent.is_empty()
    }

    /// The sum of all unspent outputs.
    pub fn total(&self) -> u128 {
        self.unspent
            .values()
            .map(|entry| u128::from(entry.output.amount))
            .sum()
    }

    /// Whether a transaction can be applied; returns its fee.
    ///
    /// # Errors
    /// What stands against it.
    pub fn check(&self, transaction: &Transaction) -> Result<u64, SpendError> {
        let fee = transaction.fee().map_err(SpendError::Invalid)?;
        for (outpoint, claimed) in &transaction.inputs {
            if let Some(by) = self.spent.get(outpoint) {
                return Err(SpendError::Spent {
                    outpoint: *outpoint,
                    by: *by,
                });
            }
            let entry = self
                .unspent
                .get(outpoint)
                .ok_or(SpendError::Unknown(*outpoint))?;
            if entry.output.amount != *claimed {
                return Err(SpendError::WrongAmount {
                    outpoint: *outpoint,
                    claimed: *claimed,
                });
            }
        }
        Ok(fee)
    }

    /// Applies a transaction whose signatures were checked; returns the outpoints that it made.
    ///
    /// # Errors
    /// As [`UtxoSet::check`]; nothing changes then.
    pub fn apply(
        &mut self,
        transaction: &Transaction,
        score: u64,
    ) -> Result<Vec<OutPoint>, SpendError> {
        self.check(transaction)?;
        let txid = transaction.id();
        for (outpoint, _) in &transaction.inputs {
            self.unspent.remove(outpoint);
            self.spent.insert(*outpoint, txid);
        }
        let mut made = Vec::with_capacity(transaction.outputs.len());
        for (index, output) in transaction.outputs.iter().enumerate() {
            let outpoint = OutPoint {
                txid,
                index: index as u32,
            };
            self.unspent.insert(
                outpoint,
                Entry {
                    output: output.clone(),
                    score,
                },
            );
            made.push(outpoint);
        }
        Ok(made)
    }
}

/// Why a transaction cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpendError {
    /// It contradicts itself.
    Invalid(TransactionError),
    /// The outpoint never was.
    Unknown(OutPoint),
    /// The outpoint was spent.
    Spent {
        /// Which.
        outpoint: OutPoint,
        /// By which transaction.
        by: Hash32,
    },
    /// The output is of another amount.
    WrongAmount {
        /// Which.
        outpoint: OutPoint,
        /// What the transaction says.
        claimed: u64,
    },
    /// The outpoint is there already.
    Exists(OutPoint),
}

impl fmt::Display for SpendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpendError::Invalid(error) => error.fmt(f),
            SpendError::Unknown(at) => write!(
                f,
                "outpoint {}:{} does not exist",
                at.txid.short(),
                at.index
            ),
            SpendError::Spent { outpoint, by } => {
                write!(
                    f,
                    "outpoint {}:{} was spent by {}",
                    outpoint.txid.short(),
                    outpoint.index,
                    by.short()
                )
            }
            SpendError::WrongAmount { outpoint, claimed } => {
                write!(
                    f,
                    "outpoint {}:{} is not of {claimed}",
                    outpoint.txid.short(),
                    outpoint.index
                )
            }
            SpendError::Exists(at) => write!(
                f,
                "outpoint {}:{} exists already",
                at.txid.short(),
                at.index
            ),
        }
    }
}

impl core::error::Error for SpendError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::transaction::Script;
    use alloc::vec;

    fn output(amount: u64) -> Output {
        Output {
            amount,
            script: Script {
                version: 0,
                bytes: vec![1],
            },
        }
    }

    #[test]
    fn an_output_is_spent_once_and_the_sum_stays() {
        let mut set = UtxoSet::new();
        let coin = OutPoint {
            txid: Hash32([9; 32]),
            index: 0,
        };
        set.add(
            coin,
            Entry {
                output: output(100),
                score: 0,
            },
        )
        .unwrap();
        assert_eq!(
            set.add(
                coin,
                Entry {
                    output: output(1),
                    score: 0
                }
            ),
            Err(SpendError::Exists(coin))
        );
        let pay = Transaction {
            inputs: vec![(coin, 100)],
            outputs: vec![output(25), output(74)],
            payload: Hash32::default(),
        };
        let mut lying = pay.clone();
        lying.inputs[0].1 = 99;
        lying.outputs.truncate(1);
        assert_eq!(
            set.apply(&lying, 1),
            Err(SpendError::WrongAmount {
                outpoint: coin,
                claimed: 99
            })
        );
        let made = set.apply(&pay, 1).unwrap();
        assert_eq!((set.total(), made.len()), (99, 2));
        assert_eq!(
            set.apply(&pay, 2),
            Err(SpendError::Spent {
                outpoint: coin,
                by: pay.id()
            })
        );
        assert_eq!(set.spent_by(&coin), Some(pay.id()));
        assert_eq!(
            set.add(
                coin,
                Entry {
                    output: output(1),
                    score: 3
                }
            ),
            Err(SpendError::Exists(coin)),
            "never again"
        );
    }
}
