//! Transactions: outpoints in, amounts out, and the hash that a signature covers.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::Key;
use crate::crypto::Transcript;
use crate::ordered::Set;
use crate::types::Hash32;

/// One output of one transaction. (seeds/000 `OutpointRef`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutPoint {
    /// The transaction.
    pub txid: Hash32,
    /// Which of its outputs.
    pub index: u32,
}

impl Key for OutPoint {
    fn write(&self, out: &mut Vec<u8>) {
        self.txid.write(out);
        self.index.write(out);
    }
    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(OutPoint {
            txid: Hash32::read(bytes)?,
            index: u32::read(bytes)?,
        })
    }
}

/// Who may spend an output: a version, and bytes that the version interprets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Script {
    /// How to read the bytes.
    pub version: u16,
    /// At most [`SCRIPT_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// The longest script, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 256;

/// An amount, and who may spend it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Output {
    /// In the smallest unit.
    pub amount: u64,
    /// Who may spend it.
    pub script: Script,
}

/// A transaction without its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Transaction {
    /// What it spends: outpoints, with the amounts that the spender claims for them.
    pub inputs: Vec<(OutPoint, u64)>,
    /// What it makes.
    pub outputs: Vec<Output>,
    /// What it is for; distinguishes transactions that are otherwise alike.
    pub payload: Hash32,
}

impl Transaction {
    /// The hash that is signed, and that names the transaction: over everything that is executed.
    pub fn id(&self) -> Hash32 {
        let mut transcript = Transcript::new("phaselab 2026-11 transaction v1");
        transcript.u64(self.inputs.len() as u64);
        for (outpoint, amount) in &self.inputs {
            transcript
                .hash(&outpoint.txid)
                .u32(outpoint.index)
                .u64(*amount);
        }
        transcript.u64(self.outputs.len() as u64);
        for output in &self.outputs {
            transcript
                .u64(output.amount)
                .u32(u32::from(output.script.version))
                .bytes(&output.script.bytes);
        }
        transcript.hash(&self.payload).finish()
    }

    /// The outpoint of one of its outputs.
    pub fn outpoint(&self, index: u32) -> OutPoint {
        OutPoint {
            txid: self.id(),
            index,
        }
    }

    /// The sum of the claimed inputs; `None` if it overflows.
    pub fn total_input_amount(&self) -> Option<u64> {
        self.inputs
            .iter()
            .try_fold(0u64, |sum, (_, amount)| sum.checked_add(*amount))
    }

    /// The sum of the outputs; `None` if it overflows.
    pub fn total_output_amount(&self) -> Option<u64> {
        self.outputs
            .iter()
            .try_fold(0u64, |sum, output| sum.checked_add(output.amount))
    }

    /// What is left for the chain: inputs less outputs.
    ///
    /// # Errors
    /// When the transaction contradicts itself.
    pub fn fee(&self) -> Result<u64, TransactionError> {
        if self.inputs.is_empty() {
            return Err(TransactionError::NoInputs);
        }
        if self.outputs.is_empty() {
            return Err(TransactionError::NoOutputs);
        }
        let distinct: Set<&OutPoint> = self.inputs.iter().map(|(outpoint, _)| outpoint).collect();
        if distinct.len() != self.inputs.len() {
            return Err(TransactionError::SpentTwice);
        }
        if self
            .outputs
            .iter()
            .any(|output| output.amount == 0 || output.script.bytes.len() > SCRIPT_BYTES_MAX)
        {
            return Err(TransactionError::BadOutput);
        }
        let spent = self
            .total_input_amount()
            .ok_or(TransactionError::Overflow)?;
        let made = self
            .total_output_amount()
            .ok_or(TransactionError::Overflow)?;
        spent
            .checked_sub(made)
            .ok_or(TransactionError::NotConserved { spent, made })
    }
}

/// Why a transaction contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionError {
    /// It spends nothing.
    NoInputs,
    /// It makes nothing.
    NoOutputs,
    /// It names an outpoint twice.
    SpentTwice,
    /// An output of nothing, or with an overlong script.
    BadOutput,
    /// A sum does not fit.
    Overflow,
    /// It makes more than it spends.
    NotConserved {
        /// The inputs' sum.
        spent: u64,
        /// The outputs' sum.
        made: u64,
    },
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionError::NoInputs => write!(f, "the transaction spends nothing"),
            TransactionError::NoOutputs => write!(f, "the transaction makes nothing"),
            TransactionError::SpentTwice => write!(f, "the transaction names an outpoint twice"),
            TransactionError::BadOutput => write!(f, "an output is empty or its script too long"),
            TransactionError::Overflow => write!(f, "the amounts do not fit into 64 bits"),
            TransactionError::NotConserved { spent, made } => {
                write!(f, "it makes {made} of {spent}")
            }
        }
    }
}

impl core::error::Error for TransactionError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn transaction(amounts: &[u64], made: &[u64]) -> Transaction {
        let script = Script {
            version: 0,
            bytes: vec![7],
        };
        let input = |(index, amount): (usize, &u64)| {
            (
                OutPoint {
                    txid: Hash32([1; 32]),
                    index: index as u32,
                },
                *amount,
            )
        };
        Transaction {
            inputs: amounts.iter().enumerate().map(input).collect(),
            outputs: made
                .iter()
                .map(|&amount| Output {
                    amount,
                    script: script.clone(),
                })
                .collect(),
            payload: Hash32::default(),
        }
    }

    #[test]
    fn money_is_conserved_and_sums_never_wrap() {
        assert_eq!(transaction(&[60, 40], &[25, 74]).fee(), Ok(1));
        assert_eq!(
            transaction(&[25], &[26]).fee(),
            Err(TransactionError::NotConserved {
                spent: 25,
                made: 26
            })
        );
        assert_eq!(
            transaction(&[u64::MAX, u64::MAX], &[1]).fee(),
            Err(TransactionError::Overflow),
            "S0-F27"
        );
        assert_eq!(
            transaction(&[5], &[u64::MAX, 6]).fee(),
            Err(TransactionError::Overflow)
        );
        assert_eq!(
            transaction(&[], &[1]).fee(),
            Err(TransactionError::NoInputs)
        );
        assert_eq!(
            transaction(&[5], &[]).fee(),
            Err(TransactionError::NoOutputs)
        );
        assert_eq!(
            transaction(&[5], &[0]).fee(),
            Err(TransactionError::BadOutput)
        );
        let mut twice = transaction(&[5, 5], &[1]);
        twice.inputs[1].0 = twice.inputs[0].0;
        assert_eq!(twice.fee(), Err(TransactionError::SpentTwice));
    }

    #[test]
    fn the_id_covers_everything_that_is_executed() {
        let base = transaction(&[60], &[25, 34]);
        let mut variants = vec![base.clone(); 6];
        variants[0].payload = Hash32([1; 32]);
        variants[1].outputs[0].amount = 24;
        variants[2].outputs[0].script.version = 1;
        variants[3].outputs[0].script.bytes.push(0);
        variants[4].inputs[0].1 = 61;
        variants[5].inputs[0].0.index = 9;
        for (index, variant) in variants.iter().enumerate() {
            assert_ne!(variant.id(), base.id(), "variant {index}");
        }
    }
}
