//! The ledger that protocols decide about: transactions over unspent outputs, and blocks of them.

pub mod block;
mod coin;
pub mod mempool;
pub mod merkle;
pub mod reward;
pub mod signed;
pub mod transaction;
pub mod utxo;

pub use block::{BLOCK_TRANSACTIONS_MAX, Block, BlockError, Coinbase, genesis_parent};
pub use coin::Coin;
pub use mempool::{Conflict, Mempool};
pub use reward::{COIN, subsidy};
pub use signed::{
    INPUTS_MAX, MEMO_BYTES_MAX, OUTPUTS_MAX, Signed, SignedError, Witness, is_wallet_name, wallet,
};
pub use transaction::{OutPoint, Output, Script, Transaction, TransactionError};
pub use utxo::{Entry, SpendError, UtxoSet};

#[cfg(test)]
mod tests;
