//! Transactions with the signatures of those who may spend their inputs, and what a person calls them.
//!
//! The id covers everything that is executed, and the memo through the payload; it does not cover the witnesses. Whoever
//! lacks the keys can therefore rename nothing.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::transaction::{Output, Script, Transaction, TransactionError};
use crate::crypto::{Crypto, PublicKey, Signature, Signer, Transcript, verify_ed25519};
use crate::types::Hash32;

/// The longest memo, in bytes.
pub const MEMO_BYTES_MAX: usize = 64;

/// The most inputs of one transaction.
pub const INPUTS_MAX: usize = 64;

/// The most outputs of one transaction.
pub const OUTPUTS_MAX: usize = 64;

/// The version of a script that holds an Ed25519 key.
const KEY_VERSION: u16 = 1;

/// A transaction, and what lets it spend its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signed {
    /// What is executed.
    pub transaction: Transaction,
    /// What a person calls it; the transaction's payload is its hash. At most [`MEMO_BYTES_MAX`].
    pub memo: String,
    /// One per input: the key that may spend it, and its signature.
    pub witnesses: Vec<Witness>,
}

/// What lets a transaction spend one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Witness {
    /// The key that the spent output names.
    pub key: PublicKey,
    /// Its Ed25519 signature under the transaction's id, whatever the cluster's messages are signed with.
    pub signature: Signature,
}

impl Signed {
    /// The transaction's id.
    pub fn id(&self) -> Hash32 {
        self.transaction.id()
    }

    /// Signs a transaction with one Ed25519 key per input, in their order. The payload becomes the memo's hash.
    pub fn sign(mut transaction: Transaction, memo: &str, signers: &[&Signer]) -> Signed {
        transaction.payload = memo_hash(memo);
        let preimage = preimage(&transaction.id());
        let witness = |signer: &&Signer| Witness {
            key: signer.public(),
            signature: signer.sign(&preimage),
        };
        Signed {
            transaction,
            memo: memo.into(),
            witnesses: signers.iter().map(witness).collect(),
        }
    }

    /// What can be checked without knowing what is spent. The signatures come last: they cost most.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub fn check(&self) -> Result<(), SignedError> {
        let Transaction {
            inputs,
            outputs,
            payload,
        } = &self.transaction;
        if self.memo.len() > MEMO_BYTES_MAX {
            return Err(SignedError::LongMemo {
                bytes: self.memo.len(),
            });
        }
        if inputs.len() > INPUTS_MAX {
            return Err(SignedError::ManyInputs {
                inputs: inputs.len(),
            });
        }
        if outputs.len() > OUTPUTS_MAX {
            return Err(SignedError::ManyOutputs {
                outputs: outputs.len(),
            });
        }
        if self.witnesses.len() != inputs.len() {
            return Err(SignedError::Witnesses {
                inputs: inputs.len(),
                witnesses: self.witnesses.len(),
            });
        }
        if *payload != memo_hash(&self.memo) {
            return Err(SignedError::OtherMemo);
        }
        self.transaction.fee().map_err(SignedError::Invalid)?;
        let preimage = preimage(&self.id());
        for (input, witness) in self.witnesses.iter().enumerate() {
            if !verify_ed25519(&witness.key, &preimage, &witness.signature) {
                return Err(SignedError::BadSignature { input });
            }
        }
        Ok(())
    }

    /// Whether the amounts and keys are those of the outputs that it spends, given in the order of its inputs.
    ///
    /// # Errors
    /// The first input that disagrees.
    pub fn spends(&self, spent: &[Output]) -> Result<(), SignedError> {
        let inputs = &self.transaction.inputs;
        if spent.len() != inputs.len() {
            return Err(SignedError::Spent {
                inputs: inputs.len(),
                outputs: spent.len(),
            });
        }
        if self.witnesses.len() != inputs.len() {
            return Err(SignedError::Witnesses {
                inputs: inputs.len(),
                witnesses: self.witnesses.len(),
            });
        }
        let claims = inputs.iter().zip(&self.witnesses);
        for (input, (output, ((_, claimed), witness))) in spent.iter().zip(claims).enumerate() {
            if output.amount != *claimed {
                return Err(SignedError::WrongAmount {
                    input,
                    claimed: *claimed,
                });
            }
            if output.script.as_key() != Some(witness.key) {
                return Err(SignedError::WrongKey { input });
            }
        }
        Ok(())
    }
}

impl Script {
    /// The script that one Ed25519 key may spend.
    pub fn key(key: &PublicKey) -> Script {
        Script {
            version: KEY_VERSION,
            bytes: key.0.to_vec(),
        }
    }

    /// The key that may spend it, if the script is of that kind.
    pub fn as_key(&self) -> Option<PublicKey> {
        if self.version != KEY_VERSION {
            return None;
        }
        self.bytes.as_slice().try_into().ok().map(PublicKey)
    }
}

/// A demonstration wallet: its key is a function of its name, so that anybody knows it.
pub fn wallet(name: &str) -> Signer {
    let Hash32(seed) = Transcript::new("phaselab 2026-11 demonstration wallet v1")
        .bytes(name.as_bytes())
        .finish();
    Signer::from_seed(Crypto::Ed25519, &seed)
}

/// Whether a demonstration wallet may be called so: 1 to 32 letters, digits and hyphens.
pub fn is_wallet_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The payload of a transaction with this memo.
fn memo_hash(memo: &str) -> Hash32 {
    Transcript::new("phaselab 2026-11 transaction memo v1")
        .bytes(memo.as_bytes())
        .finish()
}

/// What a key signs to spend.
fn preimage(id: &Hash32) -> Hash32 {
    Transcript::new("phaselab 2026-11 transaction witness v1")
        .hash(id)
        .finish()
}

/// Why a signed transaction is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedError {
    /// The memo is longer than [`MEMO_BYTES_MAX`].
    LongMemo {
        /// Its length.
        bytes: usize,
    },
    /// More than [`INPUTS_MAX`].
    ManyInputs {
        /// How many.
        inputs: usize,
    },
    /// More than [`OUTPUTS_MAX`].
    ManyOutputs {
        /// How many.
        outputs: usize,
    },
    /// Not one witness per input.
    Witnesses {
        /// How many inputs.
        inputs: usize,
        /// How many witnesses.
        witnesses: usize,
    },
    /// The payload is not the memo's hash.
    OtherMemo,
    /// The transaction contradicts itself.
    Invalid(TransactionError),
    /// The witness' key did not sign the transaction.
    BadSignature {
        /// Whose witness, from 0.
        input: usize,
    },
    /// Not one spent output per input.
    Spent {
        /// How many inputs.
        inputs: usize,
        /// How many outputs were given.
        outputs: usize,
    },
    /// The spent output is of another amount.
    WrongAmount {
        /// Which input, from 0.
        input: usize,
        /// What the transaction says.
        claimed: u64,
    },
    /// The spent output names another key, or none.
    WrongKey {
        /// Which input, from 0.
        input: usize,
    },
}

impl fmt::Display for SignedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignedError::LongMemo { bytes } => {
                write!(f, "a memo of {bytes} bytes, at most {MEMO_BYTES_MAX}")
            }
            SignedError::ManyInputs { inputs } => {
                write!(f, "{inputs} inputs, at most {INPUTS_MAX}")
            }
            SignedError::ManyOutputs { outputs } => {
                write!(f, "{outputs} outputs, at most {OUTPUTS_MAX}")
            }
            SignedError::Witnesses { inputs, witnesses } => {
                write!(f, "{witnesses} witnesses for {inputs} inputs")
            }
            SignedError::OtherMemo => write!(f, "the payload is not the memo's hash"),
            SignedError::Invalid(error) => error.fmt(f),
            SignedError::BadSignature { input } => {
                write!(f, "the signature for input {input} does not hold")
            }
            SignedError::Spent { inputs, outputs } => {
                write!(f, "{outputs} spent outputs for {inputs} inputs")
            }
            SignedError::WrongAmount { input, claimed } => {
                write!(f, "input {input} is not of {claimed}")
            }
            SignedError::WrongKey { input } => {
                write!(f, "input {input} belongs to another key")
            }
        }
    }
}

impl core::error::Error for SignedError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{MESSAGE_BYTES_MAX, decode, encode};
    use crate::ledger::OutPoint;
    use alloc::vec;

    fn unsigned(inputs: usize, outputs: usize) -> Transaction {
        let input = |index| {
            let txid = Hash32([9; 32]);
            (OutPoint { txid, index }, 100)
        };
        let output = Output {
            amount: 1,
            script: Script::key(&wallet("carol").public()),
        };
        Transaction {
            inputs: (0..inputs as u32).map(input).collect(),
            outputs: vec![output; outputs],
            payload: Hash32::default(),
        }
    }

    /// Two coins, of two owners.
    fn payment() -> Signed {
        let (alice, bob) = (wallet("alice"), wallet("bob"));
        Signed::sign(unsigned(2, 2), "rent", &[&alice, &bob])
    }

    fn coin(amount: u64, owner: &str) -> Output {
        Output {
            amount,
            script: Script::key(&wallet(owner).public()),
        }
    }

    #[test]
    fn what_the_owners_sign_holds() {
        let payment = payment();
        assert_eq!(payment.check(), Ok(()));
        assert_eq!(
            payment.spends(&[coin(100, "alice"), coin(100, "bob")]),
            Ok(())
        );
        assert_eq!(payment.id(), payment.transaction.id());
        assert_eq!(decode(&encode(&payment)), Ok(payment));
    }

    #[test]
    fn names_keys_and_ids_are_frozen() {
        let keys = ["", "alice"].map(|name| alloc::format!("{}", Hash32(wallet(name).public().0)));
        let frozen = [
            "7dff6e4c3d222679b89d47e8af35df9324183def27dbcf9a23030a2bffa5e844",
            "3a034c3d14414a37dd77157cba3dcc1a3793a365736e6a55dd6e4477b38c2519",
        ];
        assert_eq!(keys, frozen);
        assert_eq!(
            alloc::format!("{}", payment().id()),
            "ce7ec17936f2ec043a4b9809b1ea36da06448a562610b1d003b632eb2c3aa8e5"
        );
    }

    #[test]
    fn whatever_is_changed_later_is_refused() {
        let refused = |error, change: &dyn Fn(&mut Signed)| {
            let mut bent = payment();
            change(&mut bent);
            assert_eq!(bent.check(), Err(error));
        };
        let first = SignedError::BadSignature { input: 0 };
        refused(first, &|bent| bent.transaction.outputs[0].amount = 2);
        refused(first, &|bent| bent.transaction.inputs[1].1 = 101);
        refused(first, &|bent| bent.transaction.inputs.swap(0, 1));
        refused(first, &|bent| {
            bent.transaction.outputs[1].script.version = 2
        });
        refused(first, &|bent| {
            bent.witnesses[0].key = wallet("bob").public()
        });
        refused(first, &|bent| bent.witnesses[0].signature.0[33] ^= 1);
        let second = SignedError::BadSignature { input: 1 };
        refused(second, &|bent| bent.witnesses[1].signature.0[1] ^= 1);
        refused(second, &|bent| {
            bent.witnesses[1].key = wallet("alice").public()
        });
        refused(SignedError::OtherMemo, &|bent| bent.memo.push('!'));
        refused(SignedError::OtherMemo, &|bent| {
            bent.transaction.payload = Hash32::default();
        });
        refused(first, &|bent| {
            bent.memo = "gift".into();
            bent.transaction.payload = memo_hash("gift");
        });
    }

    #[test]
    fn each_bound_is_the_last_that_holds() {
        let owner = wallet("alice");
        let sign = |inputs, outputs, memo: &str| {
            Signed::sign(unsigned(inputs, outputs), memo, &vec![&owner; inputs]).check()
        };
        assert_eq!(sign(INPUTS_MAX, OUTPUTS_MAX, &"m".repeat(64)), Ok(()));
        assert_eq!(
            sign(1, 1, &"é".repeat(33)),
            Err(SignedError::LongMemo { bytes: 66 })
        );
        assert_eq!(
            sign(INPUTS_MAX + 1, 1, ""),
            Err(SignedError::ManyInputs { inputs: 65 })
        );
        assert_eq!(
            sign(1, OUTPUTS_MAX + 1, ""),
            Err(SignedError::ManyOutputs { outputs: 65 })
        );
        assert_eq!(
            sign(1, 0, ""),
            Err(SignedError::Invalid(TransactionError::NoOutputs))
        );
        assert_eq!(
            sign(0, 1, ""),
            Err(SignedError::Invalid(TransactionError::NoInputs))
        );
        let mut largest = unsigned(INPUTS_MAX, OUTPUTS_MAX);
        for output in &mut largest.outputs {
            output.amount = u64::MAX;
            output.script.bytes = vec![0; crate::ledger::transaction::SCRIPT_BYTES_MAX];
        }
        let largest = Signed::sign(largest, &"m".repeat(64), &[&owner; INPUTS_MAX]);
        assert!(encode(&largest).len() < MESSAGE_BYTES_MAX / 8);
    }

    #[test]
    fn each_input_has_its_own_witness() {
        let (alice, bob) = (wallet("alice"), wallet("bob"));
        for signers in [&[&alice][..], &[&alice, &bob, &bob]] {
            let payment = Signed::sign(unsigned(2, 1), "", signers);
            let error = SignedError::Witnesses {
                inputs: 2,
                witnesses: signers.len(),
            };
            assert_eq!(payment.check(), Err(error));
            let spent = [coin(100, "alice"), coin(100, "bob")];
            assert_eq!(payment.spends(&spent), Err(error));
        }
    }

    #[test]
    fn only_the_owner_spends_and_only_what_is_there() {
        let payment = payment();
        let spends = |spent: &[Output]| payment.spends(spent);
        assert_eq!(
            spends(&[coin(100, "bob"), coin(100, "alice")]),
            Err(SignedError::WrongKey { input: 0 })
        );
        assert_eq!(
            spends(&[coin(100, "alice"), coin(99, "bob")]),
            Err(SignedError::WrongAmount {
                input: 1,
                claimed: 100
            })
        );
        for outputs in [0, 1, 3] {
            assert_eq!(
                spends(&vec![coin(100, "alice"); outputs]),
                Err(SignedError::Spent { inputs: 2, outputs })
            );
        }
        let mut other = coin(100, "alice");
        other.script.version = 0;
        assert_eq!(
            spends(&[other, coin(100, "bob")]),
            Err(SignedError::WrongKey { input: 0 })
        );
    }

    #[test]
    fn no_other_kind_of_signature_holds() {
        let simulated = Signer::from_seed(Crypto::Simulated, &[1; 32]);
        let payment = Signed::sign(unsigned(1, 1), "", &[&simulated]);
        let error = SignedError::BadSignature { input: 0 };
        assert_eq!(payment.check(), Err(error));

        // Under a key of low order, the signature (identity, 0) holds for lenient verifiers, whatever the message.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut weak = payment;
        weak.witnesses[0].key = PublicKey(identity);
        weak.witnesses[0].signature.0 = [0; 64];
        weak.witnesses[0].signature.0[0] = 1;
        assert_eq!(weak.check(), Err(error));
    }

    #[test]
    fn a_script_tells_its_key() {
        let key = wallet("alice").public();
        let script = Script::key(&key);
        assert_eq!(script.as_key(), Some(key));
        for bytes in [0, 31, 33] {
            let bytes = vec![1; bytes];
            assert_eq!(Script { version: 1, bytes }.as_key(), None);
        }
    }
}
