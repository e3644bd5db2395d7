//! Ed25519 through `ed25519-dalek`: signing, and `verify_strict` as the one predicate.

use ed25519_dalek::{Signature as DalekSignature, Signer as _, SigningKey, VerifyingKey};

use super::{PublicKey, Signature};

/// A secret key; it wipes itself when dropped.
#[derive(Clone)]
pub struct Secret(SigningKey);

impl Secret {
    pub(super) fn from_seed(seed: &[u8; 32]) -> Secret {
        Secret(SigningKey::from_bytes(seed))
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// A decompressed public key, so that each verification saves that work.
#[derive(Clone, Debug)]
pub(super) struct Public(VerifyingKey);

impl Public {
    /// `None` if the bytes are not a point, or one of low order.
    pub(super) fn new(key: &PublicKey) -> Option<Public> {
        let key = VerifyingKey::from_bytes(&key.0).ok()?;
        (!key.is_weak()).then_some(Public(key))
    }

    pub(super) fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.0
            .verify_strict(message, &DalekSignature::from_bytes(&signature.0))
            .is_ok()
    }
}
