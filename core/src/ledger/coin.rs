//! Coins of genesis, as tools see them: what a protocol whose clients pay with coins begins with, without its types.

use alloc::string::String;

/// An output that was there before the first transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coin {
    /// What it is called, such as `alice:0`.
    pub name: String,
    /// Whose demonstration wallet owns it.
    pub owner: String,
    /// What it holds.
    pub amount: u64,
}
