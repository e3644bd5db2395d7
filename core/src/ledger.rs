//! The ledger that protocols decide about: transactions over unspent outputs.

pub mod transaction;
pub mod utxo;

pub use transaction::{OutPoint, Output, Script, Transaction, TransactionError};
pub use utxo::{Entry, SpendError, UtxoSet};
