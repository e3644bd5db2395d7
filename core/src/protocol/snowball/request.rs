//! What clients ask and are told.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize};

use super::config::{FIRST_AMOUNT, coin_txid};
use super::conflict::output_name;
use crate::ledger::{OutPoint, Output, Script, Signed, Transaction, is_wallet_name, wallet};
use crate::types::Hash32;

/// `send_raw_transaction`: a signed transaction. (S1-22)
///
/// In a file it is written as a payment between demonstration wallets, whose keys are functions of their names:
/// `{ from = "alice", to = "bob", amount = 25 }`; see [`Payment`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Request {
    /// The transaction.
    pub signed: Signed,
    /// What its first input is called.
    pub name: String,
}

/// A payment as people write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// What the transaction is called; distinguishes payments that are otherwise alike.
    #[serde(default)]
    pub memo: String,
    /// Whose wallet signs.
    pub from: String,
    /// What is spent: coins of genesis such as `alice:0`, or outputs as `<transaction id>:<index>`; the first coin of
    /// the payer if absent.
    #[serde(default)]
    pub spend: Vec<String>,
    /// What these hold; 100 each if absent.
    #[serde(default)]
    pub holds: Vec<u64>,
    /// Who is paid.
    pub to: String,
    /// How much.
    pub amount: u64,
    /// What whoever builds a block gets.
    #[serde(default)]
    pub fee: u64,
    /// Signs with this wallet instead of the payer's: a forgery.
    pub signed_by: Option<String>,
}

impl Payment {
    /// Between two wallets, of the payer's first coin.
    pub fn new(from: &str, to: &str, amount: u64) -> Payment {
        Payment {
            memo: String::new(),
            from: from.to_string(),
            spend: Vec::new(),
            holds: Vec::new(),
            to: to.to_string(),
            amount,
            fee: 0,
            signed_by: None,
        }
    }

    /// Signs it.
    ///
    /// # Errors
    /// What cannot be, and what was expected.
    pub fn sign(&self) -> Result<Request, String> {
        let wallets = [
            ("from", Some(&self.from)),
            ("to", Some(&self.to)),
            ("signed_by", self.signed_by.as_ref()),
        ];
        for (key, name) in wallets {
            if let Some(name) = name.filter(|name| !is_wallet_name(name)) {
                return Err(format!(
                    "{key} = {name:?}: expected a wallet's name, of 1 to 32 letters, digits and hyphens"
                ));
            }
        }
        let first = [format!("{}:0", self.from)];
        let spend = if self.spend.is_empty() {
            first.as_slice()
        } else {
            self.spend.as_slice()
        };
        if !self.holds.is_empty() && self.holds.len() != spend.len() {
            return Err(format!(
                "holds: {} amounts; expected one for each of the {} that are spent",
                self.holds.len(),
                spend.len()
            ));
        }
        let mut inputs = Vec::with_capacity(spend.len());
        for (place, name) in spend.iter().enumerate() {
            let amount = self.holds.get(place).copied().unwrap_or(FIRST_AMOUNT);
            inputs.push((outpoint(name)?, amount));
        }
        let total = inputs
            .iter()
            .try_fold(0u64, |sum, (_, amount)| sum.checked_add(*amount));
        let change = total
            .and_then(|total| total.checked_sub(self.amount)?.checked_sub(self.fee))
            .ok_or_else(|| {
                format!(
                    "amount = {}, fee = {}: expected at most what is spent holds, {}",
                    self.amount,
                    self.fee,
                    total.map_or_else(
                        || "which is too much".to_string(),
                        |total| total.to_string()
                    )
                )
            })?;
        if self.amount == 0 {
            return Err("amount = 0: expected at least 1".to_string());
        }
        let to = |owner: &str, amount| Output {
            amount,
            script: Script::key(&wallet(owner).public()),
        };
        let mut outputs = Vec::from([to(&self.to, self.amount)]);
        if change > 0 {
            outputs.push(to(&self.from, change));
        }
        let name = match inputs.first() {
            Some((outpoint, _)) if outpoint.txid != coin_txid(&self.from) => output_name(outpoint),
            _ => spend.first().cloned().unwrap_or_default(),
        };
        let signer = wallet(self.signed_by.as_deref().unwrap_or(&self.from));
        let signers: Vec<_> = inputs.iter().map(|_| &signer).collect();
        let transaction = Transaction {
            inputs,
            outputs,
            payload: Hash32::default(),
        };
        Ok(Request {
            signed: Signed::sign(transaction, &self.memo, &signers),
            name,
        })
    }
}

/// The output that a name means.
fn outpoint(name: &str) -> Result<OutPoint, String> {
    let wrong = || {
        format!(
            "spend: \"{name}\": expected a coin of genesis such as \"alice:0\", or 64 hexadecimal digits, a colon and an index"
        )
    };
    let (of, index) = name.rsplit_once(':').ok_or_else(wrong)?;
    let index = index.parse().map_err(|_| wrong())?;
    let txid = match Hash32::from_hex(of) {
        Some(txid) => txid,
        None if of.is_empty() || of.len() > 32 => return Err(wrong()),
        None => coin_txid(of),
    };
    Ok(OutPoint { txid, index })
}

#[derive(Deserialize)]
struct Encoded {
    signed: Signed,
    name: String,
}

impl<'de> Deserialize<'de> for Request {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let payment = Payment::deserialize(deserializer)?;
            return payment.sign().map_err(serde::de::Error::custom);
        }
        let Encoded { signed, name } = Encoded::deserialize(deserializer)?;
        Ok(Request { signed, name })
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// It is valid, its inputs are locked, and polls begin.
    Accepted {
        /// The transaction.
        txid: Hash32,
    },
    /// It is final here: it won each of its inputs, with this confidence.
    Finalized {
        /// The transaction.
        txid: Hash32,
        /// How many successful polls in a row.
        confidence: u32,
    },
    /// A transaction in conflict with it is final here.
    Rejected {
        /// The transaction.
        txid: Hash32,
        /// The other one.
        by: Hash32,
    },
    /// An input is locked by another transaction that a client gave to this node. (S1-47)
    Locked {
        /// The input.
        input: OutPoint,
        /// The other one.
        by: Hash32,
    },
    /// It is not taken.
    Refused(String),
}
