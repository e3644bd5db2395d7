//! Hashing with domain separation, and signatures: who may speak, and what it said.
//!
//! One predicate decides whether a signature holds, everywhere: `verify_strict`. A second predicate that differs in one
//! corner case would itself fork a cluster.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ordered::Map;
use crate::types::{GroupId, Hash32, NodeId};

mod ed25519;
mod simulated;
mod witnessed;

pub use witnessed::Witness;

/// How messages are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crypto {
    /// Ed25519 with `verify_strict`.
    #[default]
    Ed25519,
    /// A keyed hash whose key is public: for scale, not for security. Shown wherever results are.
    Simulated,
}

impl Crypto {
    /// The name in scenarios and output.
    pub const fn name(self) -> &'static str {
        match self {
            Crypto::Ed25519 => "ed25519",
            Crypto::Simulated => "simulated",
        }
    }
}

/// A hash over typed fields in fixed-width little-endian, under one context string.
///
/// The context separates domains: no vote can ever be replayed as an envelope.
#[derive(Clone, Debug)]
pub struct Transcript(blake3::Hasher);

impl Transcript {
    /// Starts a transcript. `context` is a hard-coded, globally unique string (BLAKE3 `derive_key`).
    pub fn new(context: &'static str) -> Transcript {
        Transcript(blake3::Hasher::new_derive_key(context))
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.update(&[value]);
        self
    }

    /// Appends four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    /// Appends a hash.
    pub fn hash(&mut self, value: &Hash32) -> &mut Self {
        self.0.update(&value.0);
        self
    }

    /// Appends a presence byte, then the hash if there is one.
    pub fn option(&mut self, value: Option<&Hash32>) -> &mut Self {
        match value {
            None => self.u8(0),
            Some(hash) => self.u8(1).hash(hash),
        }
    }

    /// Appends a length (eight bytes) and the bytes, so that neighbouring fields never run together.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64);
        self.0.update(value);
        self
    }

    /// The hash.
    pub fn finish(&self) -> Hash32 {
        Hash32(*self.0.finalize().as_bytes())
    }
}

/// A public key: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hash32(self.0).fmt(f)
    }
}

/// A signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}", self.0[0], self.0[1])
    }
}

// serde has no arrays of 64: two halves of 32 take the same 64 bytes on the wire.
impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (low, high) = self.0.split_at(32);
        let half = |part: &[u8]| <[u8; 32]>::try_from(part).expect("half of 64");
        (half(low), half(high)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (low, high) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        Ok(Signature(bytes))
    }
}

/// A node's secret key, or what stands in for it where a recorded node runs again.
#[derive(Clone)]
pub enum Signer {
    /// Ed25519.
    Ed25519(ed25519::Secret),
    /// Keyed hash.
    Simulated(simulated::Secret),
    /// A key whose signatures are heard.
    Witnessed(witnessed::Witnessed),
    /// What a key signed, without the key.
    Recorded(witnessed::Recorded),
}

impl Signer {
    /// The key that `seed` stands for.
    pub fn from_seed(crypto: Crypto, seed: &[u8; 32]) -> Signer {
        match crypto {
            Crypto::Ed25519 => Signer::Ed25519(ed25519::Secret::from_seed(seed)),
            Crypto::Simulated => Signer::Simulated(simulated::Secret::from_seed(seed)),
        }
    }

    /// The same key, whose signatures someone hears.
    pub fn witnessed(self, witness: Arc<dyn Witness>) -> Signer {
        Signer::Witnessed(witnessed::Witnessed::new(self, witness))
    }

    /// A key that is not known, with what it signed: each signature by its transcript.
    pub fn recorded(public: PublicKey, signatures: Arc<Map<Hash32, Signature>>) -> Signer {
        Signer::Recorded(witnessed::Recorded::new(public, signatures))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        match self {
            Signer::Ed25519(secret) => secret.public(),
            Signer::Simulated(secret) => secret.public(),
            Signer::Witnessed(witnessed) => witnessed.signer.public(),
            Signer::Recorded(recorded) => recorded.public,
        }
    }

    /// Signs a finished transcript.
    pub fn sign(&self, preimage: &Hash32) -> Signature {
        match self {
            Signer::Ed25519(secret) => secret.sign(&preimage.0),
            Signer::Simulated(secret) => secret.sign(&preimage.0),
            Signer::Witnessed(witnessed) => witnessed.sign(preimage),
            Signer::Recorded(recorded) => recorded.sign(preimage),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secret half.
        write!(f, "Signer({:?})", self.public())
    }
}

/// A registered member, as genesis fixes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Its group.
    pub group: GroupId,
    /// Its key.
    pub key: PublicKey,
}

/// Who may speak: the members of genesis with their keys ready to verify.
#[derive(Clone, Debug)]
pub struct Keyring {
    crypto: Crypto,
    members: Map<NodeId, (GroupId, Verifier)>,
    ids: Vec<NodeId>,
}

#[derive(Clone, Debug)]
enum Verifier {
    Ed25519(ed25519::Public),
    Simulated(simulated::Public),
}

impl Keyring {
    /// Prepares the members' keys.
    ///
    /// # Errors
    /// `Duplicate` if an id or key appears twice, `WeakKey` if a key is not a point of prime order.
    pub fn new(crypto: Crypto, members: &[Member]) -> Result<Keyring, KeyringError> {
        let mut by_id = Map::new();
        for (index, member) in members.iter().enumerate() {
            let verifier = match crypto {
                Crypto::Ed25519 => ed25519::Public::new(&member.key).map(Verifier::Ed25519),
                Crypto::Simulated => Some(Verifier::Simulated(simulated::Public::new(&member.key))),
            };
            let verifier = verifier.ok_or(KeyringError::WeakKey { node: member.id })?;
            if by_id.insert(member.id, (member.group, verifier)).is_some() {
                return Err(KeyringError::Duplicate { node: member.id });
            }
            if members[..index].iter().any(|other| other.key == member.key) {
                return Err(KeyringError::Duplicate { node: member.id });
            }
        }
        let ids = by_id.keys().copied().collect();
        Ok(Keyring {
            crypto,
            members: by_id,
            ids,
        })
    }

    /// How this cluster signs.
    pub fn crypto(&self) -> Crypto {
        self.crypto
    }

    /// All members in id order.
    pub fn ids(&self) -> &[NodeId] {
        &self.ids
    }

    /// The members of one group in id order.
    pub fn group(&self, group: GroupId) -> impl Iterator<Item = NodeId> + '_ {
        self.members
            .iter()
            .filter(move |(_, (of, _))| *of == group)
            .map(|(id, _)| *id)
    }

    /// The group of a member.
    pub fn group_of(&self, node: NodeId) -> Option<GroupId> {
        self.members.get(&node).map(|(group, _)| *group)
    }

    /// Whether the node is registered.
    pub fn contains(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    /// Whether `node` is registered and signed this preimage.
    pub fn verify(&self, node: NodeId, preimage: &Hash32, signature: &Signature) -> bool {
        match self.members.get(&node) {
            None => false,
            Some((_, Verifier::Ed25519(key))) => key.verify(&preimage.0, signature),
            Some((_, Verifier::Simulated(key))) => key.verify(&preimage.0, signature),
        }
    }
}

/// Whether a key outside the keyring signed this preimage: one that owns money. Always Ed25519.
pub(crate) fn verify_ed25519(key: &PublicKey, preimage: &Hash32, signature: &Signature) -> bool {
    ed25519::Public::new(key).is_some_and(|key| key.verify(&preimage.0, signature))
}

/// Why a set of members cannot be a keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringError {
    /// The id, or its key, appears twice.
    Duplicate {
        /// The second of the two.
        node: NodeId,
    },
    /// Not a valid key, or one of low order.
    WeakKey {
        /// Whose.
        node: NodeId,
    },
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyringError::Duplicate { node } => {
                write!(f, "member {node}: its id or key appears twice")
            }
            KeyringError::WeakKey { node } => {
                write!(f, "member {node}: its key is not a usable Ed25519 key")
            }
        }
    }
}

impl core::error::Error for KeyringError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u16, signer: &Signer) -> Member {
        Member {
            id: NodeId(id),
            group: GroupId(0),
            key: signer.public(),
        }
    }

    #[test]
    fn both_kinds_accept_their_own_signature_and_nothing_else() {
        for crypto in [Crypto::Ed25519, Crypto::Simulated] {
            let one = Signer::from_seed(crypto, &[1; 32]);
            let two = Signer::from_seed(crypto, &[2; 32]);
            let ring = Keyring::new(crypto, &[member(1, &one), member(2, &two)]).unwrap();
            let preimage = Transcript::new("test").u64(7).finish();
            let signature = one.sign(&preimage);
            assert!(ring.verify(NodeId(1), &preimage, &signature));
            assert!(
                !ring.verify(NodeId(2), &preimage, &signature),
                "another member's"
            );
            assert!(
                !ring.verify(NodeId(3), &preimage, &signature),
                "an outsider's"
            );
            assert!(
                !ring.verify(NodeId(1), &Hash32([0; 32]), &signature),
                "another message"
            );
            let mut bent = signature;
            bent.0[40] ^= 1;
            assert!(
                !ring.verify(NodeId(1), &preimage, &bent),
                "a bent signature"
            );
        }
    }

    #[test]
    fn a_member_is_registered_once() {
        let one = Signer::from_seed(Crypto::Ed25519, &[1; 32]);
        let two = Signer::from_seed(Crypto::Ed25519, &[2; 32]);
        let same_id = Keyring::new(Crypto::Ed25519, &[member(1, &one), member(1, &two)]);
        assert_eq!(
            same_id.unwrap_err(),
            KeyringError::Duplicate { node: NodeId(1) }
        );
        let same_key = Keyring::new(Crypto::Ed25519, &[member(1, &one), member(2, &one)]);
        assert_eq!(
            same_key.unwrap_err(),
            KeyringError::Duplicate { node: NodeId(2) }
        );
    }

    #[test]
    fn a_low_order_key_is_refused() {
        let identity = Member {
            id: NodeId(1),
            group: GroupId(0),
            key: PublicKey({
                let mut point = [0; 32];
                point[0] = 1;
                point
            }),
        };
        let ring = Keyring::new(Crypto::Ed25519, &[identity]);
        assert_eq!(ring.unwrap_err(), KeyringError::WeakKey { node: NodeId(1) });
    }

    #[test]
    fn fields_never_run_together() {
        let mut one = Transcript::new("test");
        let mut two = Transcript::new("test");
        assert_ne!(
            one.bytes(b"ab").bytes(b"c").finish(),
            two.bytes(b"a").bytes(b"bc").finish()
        );
        assert_ne!(
            Transcript::new("test").finish(),
            Transcript::new("test 2").finish()
        );
    }
}
