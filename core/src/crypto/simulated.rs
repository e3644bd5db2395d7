//! A stand-in for signatures in large simulations: a keyed BLAKE3 hash whose key is the public key.
//!
//! Whoever knows the public key can forge it. Simulated liars are drop-in replicas that sign with their own key only, so
//! runs mean the same; nothing outside the simulator accepts it.

use super::{PublicKey, Signature};

/// The key.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    pub(super) fn from_seed(seed: &[u8; 32]) -> Secret {
        Secret(*seed)
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.0)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        Signature(tag(&self.0, message))
    }
}

/// The same key, for verifying.
#[derive(Clone, Debug)]
pub(super) struct Public([u8; 32]);

impl Public {
    pub(super) fn new(key: &PublicKey) -> Public {
        Public(key.0)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        tag(&self.0, message) == signature.0
    }
}

fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let half = blake3::keyed_hash(key, message);
    let mut tag = [0; 64];
    tag[..32].copy_from_slice(half.as_bytes());
    tag[32..].copy_from_slice(half.as_bytes());
    tag
}
