//! Signing before a witness, and signing again without the key.
//!
//! Ed25519 is deterministic: one key signs one transcript in one way. So whoever has the signatures that a node made, each
//! beside what it signed, can run that node again without its key: asked for a signature, such a node looks it up. What
//! it finds proves that the node once signed these very bytes; for anything else there is no signature to be had.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::{PublicKey, Signature, Signer};
use crate::ordered::Map;
use crate::types::Hash32;

/// Hears each signature as it is made, in order.
pub trait Witness: Send + Sync {
    /// The node signed this transcript.
    fn signed(&self, preimage: &Hash32, signature: &Signature);
}

/// A key whose signatures are heard.
#[derive(Clone)]
pub struct Witnessed {
    pub(super) signer: Box<Signer>,
    witness: Arc<dyn Witness>,
}

impl Witnessed {
    pub(super) fn new(signer: Signer, witness: Arc<dyn Witness>) -> Witnessed {
        Witnessed {
            signer: Box::new(signer),
            witness,
        }
    }

    pub(super) fn sign(&self, preimage: &Hash32) -> Signature {
        let signature = self.signer.sign(preimage);
        self.witness.signed(preimage, &signature);
        signature
    }
}

/// What a key signed, without the key.
#[derive(Clone)]
pub struct Recorded {
    pub(super) public: PublicKey,
    signatures: Arc<Map<Hash32, Signature>>,
}

impl Recorded {
    pub(super) fn new(public: PublicKey, signatures: Arc<Map<Hash32, Signature>>) -> Recorded {
        Recorded { public, signatures }
    }

    /// The signature, or one that never holds if this was never signed.
    pub(super) fn sign(&self, preimage: &Hash32) -> Signature {
        let known = self.signatures.get(preimage).copied();
        known.unwrap_or(Signature([0; 64]))
    }
}
