//! Blocks: transactions in order, and what their creator is paid.
//!
//! Money is made by the subsidy alone; fees move. Whoever applies a block adds its coinbase output, and the unspent
//! outputs are then genesis and all subsidies, less the fees that no block holds yet.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::merkle;
use super::reward::subsidy;
use super::transaction::{OutPoint, Output, Script};
use crate::crypto::{PublicKey, Transcript};
use crate::ordered::Set;
use crate::types::{Hash32, NodeId};

/// The most transactions of one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 1024;

/// A block. The first one is at height 1, on [`genesis_parent`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Block {
    /// Its place in the chain, from 1.
    pub height: u64,
    /// The id of the block before it.
    pub parent: Hash32,
    /// Who built it.
    pub creator: NodeId,
    /// Over the transactions, see [`merkle::root`].
    pub merkle_root: Hash32,
    /// What the creator is paid.
    pub coinbase: Coinbase,
    /// The ids of its transactions in order; at most [`BLOCK_TRANSACTIONS_MAX`].
    pub transactions: Vec<Hash32>,
}

/// The subsidy and the fees of one block, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Coinbase {
    /// In the smallest unit.
    pub amount: u64,
    /// Who may spend it.
    pub key: PublicKey,
}

impl Block {
    /// A block that pays subsidy and fees to `key`; `None` at height 0, or if the sum overflows.
    pub fn build(
        height: u64,
        parent: Hash32,
        creator: NodeId,
        key: PublicKey,
        transactions: Vec<Hash32>,
        fees: u64,
    ) -> Option<Block> {
        let amount = subsidy(height)?.checked_add(fees)?;
        Some(Block {
            height,
            parent,
            creator,
            merkle_root: merkle::root(&transactions),
            coinbase: Coinbase { amount, key },
            transactions,
        })
    }

    /// The hash that names the block: over everything.
    pub fn id(&self) -> Hash32 {
        let mut transcript = Transcript::new("phaselab 2026-11 block v1");
        transcript
            .u64(self.height)
            .hash(&self.parent)
            .u32(u32::from(self.creator.0))
            .hash(&self.merkle_root)
            .u64(self.coinbase.amount)
            .hash(&Hash32(self.coinbase.key.0))
            .u64(self.transactions.len() as u64);
        for txid in &self.transactions {
            transcript.hash(txid);
        }
        transcript.finish()
    }

    /// The output that the block makes. Its transaction is the block: no two blocks make one outpoint.
    pub fn coinbase_output(&self) -> (OutPoint, Output) {
        let outpoint = OutPoint {
            txid: self.id(),
            index: 0,
        };
        let output = Output {
            amount: self.coinbase.amount,
            script: Script::key(&self.coinbase.key),
        };
        (outpoint, output)
    }

    /// What can be checked of a block alone.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub fn check(&self) -> Result<(), BlockError> {
        if self.height == 0 {
            return Err(BlockError::NoHeight);
        }
        if self.transactions.len() > BLOCK_TRANSACTIONS_MAX {
            return Err(BlockError::ManyTransactions {
                transactions: self.transactions.len(),
            });
        }
        let mut seen = Set::new();
        if let Some(twice) = self.transactions.iter().find(|txid| !seen.insert(**txid)) {
            return Err(BlockError::Twice { txid: *twice });
        }
        if self.merkle_root != merkle::root(&self.transactions) {
            return Err(BlockError::WrongRoot);
        }
        Ok(())
    }

    /// Whether it stands on this tip, and pays no more and no less than the subsidy and the fees of its transactions.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub fn follows(&self, tip_height: u64, tip: Hash32, fees: u64) -> Result<(), BlockError> {
        if tip_height.checked_add(1) != Some(self.height) {
            return Err(BlockError::WrongHeight {
                height: self.height,
                tip_height,
            });
        }
        if self.parent != tip {
            return Err(BlockError::WrongParent {
                parent: self.parent,
                tip,
            });
        }
        let due = subsidy(self.height)
            .and_then(|subsidy| subsidy.checked_add(fees))
            .ok_or(BlockError::Overflow)?;
        if self.coinbase.amount != due {
            return Err(BlockError::WrongAmount {
                amount: self.coinbase.amount,
                due,
            });
        }
        Ok(())
    }
}

/// The parent of the first block: what ties a chain to its genesis.
pub fn genesis_parent(genesis: &Hash32) -> Hash32 {
    Transcript::new("phaselab 2026-11 block chain v1")
        .hash(genesis)
        .finish()
}

/// Why a block is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The first block is at height 1.
    NoHeight,
    /// More than [`BLOCK_TRANSACTIONS_MAX`].
    ManyTransactions {
        /// How many.
        transactions: usize,
    },
    /// It holds a transaction twice.
    Twice {
        /// Which.
        txid: Hash32,
    },
    /// The Merkle root is not that of its transactions.
    WrongRoot,
    /// It is not the next block after the tip.
    WrongHeight {
        /// Its height.
        height: u64,
        /// The tip's.
        tip_height: u64,
    },
    /// It stands on another block.
    WrongParent {
        /// Which.
        parent: Hash32,
        /// The tip.
        tip: Hash32,
    },
    /// Subsidy and fees do not fit.
    Overflow,
    /// It pays another amount.
    WrongAmount {
        /// What it pays.
        amount: u64,
        /// Subsidy and fees.
        due: u64,
    },
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockError::NoHeight => write!(f, "the first block is at height 1"),
            BlockError::ManyTransactions { transactions } => {
                write!(
                    f,
                    "{transactions} transactions, at most {BLOCK_TRANSACTIONS_MAX}"
                )
            }
            BlockError::Twice { txid } => {
                write!(f, "the block holds transaction {} twice", txid.short())
            }
            BlockError::WrongRoot => write!(f, "the Merkle root is not that of the transactions"),
            BlockError::WrongHeight { height, tip_height } => {
                write!(f, "a block at height {height} on a tip at {tip_height}")
            }
            BlockError::WrongParent { parent, tip } => {
                write!(
                    f,
                    "its parent is {}, the tip {}",
                    parent.short(),
                    tip.short()
                )
            }
            BlockError::Overflow => write!(f, "subsidy and fees do not fit into 64 bits"),
            BlockError::WrongAmount { amount, due } => {
                write!(f, "the coinbase is {amount}, not {due}")
            }
        }
    }
}

impl core::error::Error for BlockError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{MESSAGE_BYTES_MAX, decode, encode};
    use crate::ledger::signed::wallet;

    const TIP: Hash32 = Hash32([7; 32]);

    fn hash(number: u64) -> Hash32 {
        Transcript::new("test").u64(number).finish()
    }

    fn block(transactions: u64, fees: u64) -> Block {
        let key = wallet("miner").public();
        let transactions = (0..transactions).map(hash).collect();
        Block::build(2, TIP, NodeId(3), key, transactions, fees).unwrap()
    }

    #[test]
    fn what_is_built_holds() {
        for transactions in [0, 1, 2, 3, BLOCK_TRANSACTIONS_MAX as u64] {
            let block = block(transactions, 9);
            assert_eq!(block.check(), Ok(()));
            assert_eq!(block.follows(1, TIP, 9), Ok(()));
            assert_eq!(block.coinbase.amount, 169_314_718 + 9);
            let bytes = encode(&block);
            assert!(bytes.len() < MESSAGE_BYTES_MAX / 4);
            assert_eq!(decode(&bytes), Ok(block));
        }
    }

    #[test]
    fn no_amount_wraps() {
        let key = wallet("miner").public();
        let build = |height, fees| Block::build(height, TIP, NodeId(1), key, Vec::new(), fees);
        assert_eq!(build(0, 0), None);
        assert_eq!(build(1, u64::MAX), None, "S3-F17");
        assert!(build(1, u64::MAX - 100_000_000).is_some());
        assert!(build(u64::MAX, 0).is_some());
        let last = build(u64::MAX, 0).unwrap();
        assert_eq!(last.follows(u64::MAX - 1, TIP, 0), Ok(()));
        assert_eq!(
            last.follows(u64::MAX - 1, TIP, u64::MAX),
            Err(BlockError::Overflow)
        );
        assert_eq!(
            last.follows(u64::MAX, TIP, 0),
            Err(BlockError::WrongHeight {
                height: u64::MAX,
                tip_height: u64::MAX
            })
        );
    }

    #[test]
    fn the_id_covers_everything() {
        let base = block(2, 0);
        let changes: [fn(&mut Block); 9] = [
            |block| block.height = 3,
            |block| block.parent.0[31] ^= 1,
            |block| block.creator = NodeId(4),
            |block| block.merkle_root.0[0] ^= 1,
            |block| block.coinbase.amount += 1,
            |block| block.coinbase.key = wallet("thief").public(),
            |block| block.transactions.swap(0, 1),
            |block| block.transactions.truncate(1),
            |block| block.transactions.push(hash(9)),
        ];
        let mut ids = Set::from([base.id()]);
        for (index, change) in changes.iter().enumerate() {
            let mut other = base.clone();
            change(&mut other);
            assert!(ids.insert(other.id()), "change {index}");
            assert_ne!(other.coinbase_output().0, base.coinbase_output().0);
        }
        assert_eq!(
            alloc::format!("{}", base.id()),
            "991c0824af8a827e1f8c1b00e2385824e07d0a02d2a1f1f6a3d3b809aff4f981",
            "frozen"
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |error, change: &dyn Fn(&mut Block)| {
            let mut bent = block(3, 0);
            change(&mut bent);
            assert_eq!(bent.check(), Err(error));
        };
        refused(BlockError::NoHeight, &|bent| bent.height = 0);
        refused(BlockError::WrongRoot, &|bent| bent.transactions.swap(0, 2));
        refused(BlockError::WrongRoot, &|bent| {
            bent.transactions.pop();
        });
        refused(BlockError::WrongRoot, &|bent| bent.merkle_root.0[5] ^= 1);
        // The trees of CVE-2012-2459 give both lists one root; here it is not even asked for.
        refused(BlockError::Twice { txid: hash(2) }, &|bent| {
            bent.transactions.push(hash(2));
            bent.merkle_root = merkle::root(&bent.transactions);
        });
        let many = block(BLOCK_TRANSACTIONS_MAX as u64 + 1, 0);
        assert_eq!(
            many.check(),
            Err(BlockError::ManyTransactions { transactions: 1025 })
        );
    }

    #[test]
    fn what_stands_elsewhere_or_pays_otherwise_is_refused() {
        let block = block(1, 5);
        for tip_height in [0, 2, u64::MAX] {
            let error = BlockError::WrongHeight {
                height: 2,
                tip_height,
            };
            assert_eq!(block.follows(tip_height, TIP, 5), Err(error));
        }
        let (parent, tip) = (TIP, hash(0));
        assert_eq!(
            block.follows(1, tip, 5),
            Err(BlockError::WrongParent { parent, tip })
        );
        for (fees, change) in [(4, -1), (6, 1)] {
            let error = BlockError::WrongAmount {
                amount: block.coinbase.amount,
                due: block.coinbase.amount.wrapping_add_signed(change),
            };
            assert_eq!(block.follows(1, TIP, fees), Err(error));
        }
        let mut unborn = block;
        unborn.height = 0;
        assert!(unborn.follows(u64::MAX, TIP, 5).is_err());
    }

    #[test]
    fn the_creator_may_spend_its_coinbase() {
        let block = block(0, 1);
        let (outpoint, output) = block.coinbase_output();
        assert_eq!((outpoint.txid, outpoint.index), (block.id(), 0));
        assert_eq!(output.amount, block.coinbase.amount);
        assert_eq!(output.script.as_key(), Some(wallet("miner").public()));
        let chains = [hash(1), hash(2)].map(|genesis| genesis_parent(&genesis));
        assert_ne!(chains[0], chains[1]);
    }
}
