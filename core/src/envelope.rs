//! The signed envelope around every message: who speaks, in which life, as which message, in which cluster.
//!
//! Layout, little-endian, fixed width: version u8, protocol u8, genesis 32, sender u16, incarnation u32, counter u64,
//! payload, signature 64. The signature covers everything before it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::codec::{CodecError, MESSAGE_BYTES_MAX};
use crate::crypto::{Keyring, Signature, Signer, Transcript};
use crate::types::{Hash32, Incarnation, NodeId};

/// The envelope's version.
pub const VERSION: u8 = 1;

const HEADER_BYTES: usize = 1 + 1 + 32 + 2 + 4 + 8;
const SIGNATURE_BYTES: usize = 64;

/// The largest packet that is looked at, in bytes.
pub const PACKET_BYTES_MAX: usize = HEADER_BYTES + MESSAGE_BYTES_MAX + SIGNATURE_BYTES;

/// What stands in an envelope besides its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The protocol's tag.
    pub protocol: u8,
    /// The cluster.
    pub genesis: Hash32,
    /// Who speaks.
    pub sender: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// As which message of that life, from 1.
    pub counter: u64,
}

/// Seals a payload.
pub fn seal(header: &Header, payload: &[u8], signer: &Signer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len() + SIGNATURE_BYTES);
    bytes.push(VERSION);
    bytes.push(header.protocol);
    bytes.extend_from_slice(&header.genesis.0);
    bytes.extend_from_slice(&header.sender.0.to_le_bytes());
    bytes.extend_from_slice(&header.incarnation.0.to_le_bytes());
    bytes.extend_from_slice(&header.counter.to_le_bytes());
    bytes.extend_from_slice(payload);
    let signature = signer.sign(&preimage(&bytes));
    bytes.extend_from_slice(&signature.0);
    bytes
}

/// Opens a packet of this cluster: checks the header against `protocol` and `genesis`, and the signature.
///
/// # Errors
/// See [`Refusal`]; nothing is trusted before the signature holds.
pub fn open<'a>(
    bytes: &'a [u8],
    protocol: u8,
    genesis: &Hash32,
    keyring: &Keyring,
) -> Result<(Header, &'a [u8]), Refusal> {
    if bytes.len() > PACKET_BYTES_MAX {
        return Err(Refusal::Malformed(CodecError::TooLong {
            bytes: bytes.len(),
        }));
    }
    let Some(signed_bytes) = bytes
        .len()
        .checked_sub(SIGNATURE_BYTES)
        .filter(|&n| n >= HEADER_BYTES)
    else {
        return Err(Refusal::Malformed(CodecError::Malformed));
    };
    let (signed, signature) = bytes.split_at(signed_bytes);
    let (head, payload) = signed.split_at(HEADER_BYTES);
    if head[0] != VERSION {
        return Err(Refusal::WrongVersion(head[0]));
    }
    if head[1] != protocol {
        return Err(Refusal::WrongProtocol(head[1]));
    }
    let header = Header {
        protocol,
        genesis: Hash32(array(&head[2..34])),
        sender: NodeId(u16::from_le_bytes(array(&head[34..36]))),
        incarnation: Incarnation(u32::from_le_bytes(array(&head[36..40]))),
        counter: u64::from_le_bytes(array(&head[40..48])),
    };
    if header.genesis != *genesis {
        return Err(Refusal::WrongGenesis);
    }
    if !keyring.contains(header.sender) {
        return Err(Refusal::UnknownSender(header.sender));
    }
    if !keyring.verify(
        header.sender,
        &preimage(signed),
        &Signature(array(signature)),
    ) {
        return Err(Refusal::BadSignature);
    }
    Ok((header, payload))
}

/// Who a packet says that it is from, unchecked: for words, never for decisions.
pub fn claimed_sender(bytes: &[u8]) -> Option<NodeId> {
    let sender = bytes.get(34..36)?;
    Some(NodeId(u16::from_le_bytes(array(sender))))
}

fn preimage(signed: &[u8]) -> Hash32 {
    Transcript::new("phaselab 2026-11 envelope v1")
        .bytes(signed)
        .finish()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice was cut to this length")
}

/// Why a packet was not handled. Counted and emitted, never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are not a packet, or the payload not a message.
    Malformed(CodecError),
    /// Another version of the envelope.
    WrongVersion(u8),
    /// Another protocol.
    WrongProtocol(u8),
    /// Another cluster.
    WrongGenesis,
    /// Not a member.
    UnknownSender(NodeId),
    /// Not signed by the sender that it names.
    BadSignature,
    /// Seen before, or older than the window.
    Replayed,
    /// From a life of the sender that is over.
    StaleIncarnation,
    /// The node's own packet.
    OwnMessage,
    /// The protocol refuses what the message carries.
    Invalid(&'static str),
}

impl Refusal {
    /// The counter's label.
    pub const fn name(&self) -> &'static str {
        match self {
            Refusal::Malformed(_) => "malformed",
            Refusal::WrongVersion(_) => "wrong_version",
            Refusal::WrongProtocol(_) => "wrong_protocol",
            Refusal::WrongGenesis => "wrong_genesis",
            Refusal::UnknownSender(_) => "unknown_sender",
            Refusal::BadSignature => "bad_signature",
            Refusal::Replayed => "replayed",
            Refusal::StaleIncarnation => "stale_incarnation",
            Refusal::OwnMessage => "own_message",
            Refusal::Invalid(_) => "invalid",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(error) => error.fmt(f),
            Refusal::WrongVersion(found) => {
                write!(f, "envelope version {found}, this node speaks {VERSION}")
            }
            Refusal::WrongProtocol(found) => {
                write!(f, "protocol tag {found} is not this cluster's")
            }
            Refusal::WrongGenesis => write!(f, "the packet belongs to another cluster"),
            Refusal::UnknownSender(node) => write!(f, "{node} is not a member"),
            Refusal::BadSignature => write!(f, "the sender that it names did not sign it"),
            Refusal::Replayed => write!(f, "seen before"),
            Refusal::StaleIncarnation => write!(f, "from an earlier life of its sender"),
            Refusal::OwnMessage => write!(f, "this node's own packet"),
            Refusal::Invalid(what) => write!(f, "{what}"),
        }
    }
}

/// Which messages of one sender were seen: a sliding window over its counter.
///
/// Volatile on purpose. After a restart an old packet may come through once more, which handlers must bear anyhow.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayWindow {
    incarnation: Incarnation,
    highest: u64,
    seen: Seen,
}

/// What was seen within the window. In a large network that samples, each sender is heard now and then, and there are
/// thousands of them: a few places take less room than a bit for every one.
#[derive(Clone, Debug)]
enum Seen {
    /// So many, by how far they lie behind the highest.
    Few { count: u8, back: [u16; FEW] },
    /// A bit for each.
    Many(Box<[u64; WINDOW_WORDS]>),
}

const FEW: usize = 7;
const WINDOW_WORDS: usize = 16;
const WINDOW_BITS: u64 = 64 * WINDOW_WORDS as u64;

const _: () = assert!(size_of::<ReplayWindow>() <= 32);

impl Default for Seen {
    fn default() -> Self {
        Seen::Few {
            count: 0,
            back: [0; FEW],
        }
    }
}

impl ReplayWindow {
    /// Notes a message; refuses one that was noted before, or that is too old to tell.
    pub(crate) fn note(&mut self, incarnation: Incarnation, counter: u64) -> Result<(), Refusal> {
        if incarnation < self.incarnation {
            return Err(Refusal::StaleIncarnation);
        }
        if incarnation > self.incarnation {
            *self = ReplayWindow {
                incarnation,
                ..ReplayWindow::default()
            };
        }
        if counter > self.highest {
            self.advance(counter);
        } else if self.highest - counter >= WINDOW_BITS || self.is_seen(counter) {
            return Err(Refusal::Replayed);
        }
        self.insert(counter);
        Ok(())
    }

    /// Moves the window on, so that this is the highest.
    fn advance(&mut self, counter: u64) {
        let ahead = counter - self.highest;
        match &mut self.seen {
            _ if ahead >= WINDOW_BITS => self.seen = Seen::default(),
            Seen::Few { count, back } => {
                let mut kept = 0;
                for index in 0..usize::from(*count) {
                    let moved = u64::from(back[index]) + ahead;
                    if moved < WINDOW_BITS {
                        back[kept] = moved as u16;
                        kept += 1;
                    }
                }
                *count = kept as u8;
            }
            Seen::Many(words) => {
                for skipped in self.highest + 1..=counter {
                    let (word, bit) = place(skipped);
                    words[word] &= !bit;
                }
            }
        }
        self.highest = counter;
    }

    fn is_seen(&self, counter: u64) -> bool {
        match &self.seen {
            Seen::Few { count, back } => {
                let behind = self.highest - counter;
                let back = &back[..usize::from(*count)];
                back.iter().any(|known| u64::from(*known) == behind)
            }
            Seen::Many(words) => {
                let (word, bit) = place(counter);
                words[word] & bit != 0
            }
        }
    }

    fn insert(&mut self, counter: u64) {
        match &mut self.seen {
            Seen::Few { count, back } if usize::from(*count) < FEW => {
                back[usize::from(*count)] = (self.highest - counter) as u16;
                *count += 1;
            }
            Seen::Few { back, .. } => {
                let mut words = Box::new([0; WINDOW_WORDS]);
                let known = back.iter().map(|back| self.highest - u64::from(*back));
                for seen in known.chain([counter]) {
                    let (word, bit) = place(seen);
                    words[word] |= bit;
                }
                self.seen = Seen::Many(words);
            }
            Seen::Many(words) => {
                let (word, bit) = place(counter);
                words[word] |= bit;
            }
        }
    }
}

/// The bit of a counter.
fn place(counter: u64) -> (usize, u64) {
    let slot = counter % WINDOW_BITS;
    ((slot / 64) as usize, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{Crypto, Member};
    use crate::types::GroupId;

    fn fixture() -> (Header, Signer, Keyring) {
        let signer = Signer::from_seed(Crypto::Ed25519, &[3; 32]);
        let member = Member {
            id: NodeId(3),
            group: GroupId(0),
            key: signer.public(),
        };
        let header = Header {
            protocol: 1,
            genesis: Hash32([9; 32]),
            sender: NodeId(3),
            incarnation: Incarnation(2),
            counter: 5,
        };
        (
            header,
            signer,
            Keyring::new(Crypto::Ed25519, &[member]).unwrap(),
        )
    }

    #[test]
    fn a_sealed_packet_opens_and_each_bent_byte_is_refused() {
        let (header, signer, ring) = fixture();
        let packet = seal(&header, b"hello", &signer);
        assert_eq!(
            open(&packet, 1, &header.genesis, &ring),
            Ok((header, &b"hello"[..]))
        );
        assert_eq!(claimed_sender(&packet), Some(header.sender));
        assert_eq!(claimed_sender(&packet[..20]), None);
        for at in 0..packet.len() {
            let mut bent = packet.clone();
            bent[at] ^= 0x40;
            assert!(open(&bent, 1, &header.genesis, &ring).is_err(), "byte {at}");
        }
        for cut in 0..packet.len() {
            assert!(
                open(&packet[..cut], 1, &header.genesis, &ring).is_err(),
                "cut at {cut}"
            );
        }
        assert_eq!(
            open(&packet, 2, &header.genesis, &ring),
            Err(Refusal::WrongProtocol(1))
        );
        assert_eq!(
            open(&packet, 1, &Hash32([8; 32]), &ring),
            Err(Refusal::WrongGenesis)
        );
    }

    #[test]
    fn the_layout_is_frozen() {
        let (header, signer, _) = fixture();
        let packet = seal(&header, &[0xaa], &signer);
        assert_eq!(packet.len(), 48 + 1 + 64);
        assert_eq!(packet[..2], [1, 1]);
        assert_eq!(
            packet[34..49],
            [3, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0xaa]
        );
        let golden = blake3::hash(&packet);
        assert_eq!(&golden.to_hex()[..16], "ef3c11ac32d98654");
    }

    #[test]
    fn the_window_takes_each_message_once_in_any_order() {
        let mut window = ReplayWindow::default();
        for counter in [3, 1, 2, 500, 499] {
            assert_eq!(window.note(Incarnation(1), counter), Ok(()), "{counter}");
            assert_eq!(
                window.note(Incarnation(1), counter),
                Err(Refusal::Replayed),
                "{counter} again"
            );
        }
        assert_eq!(window.note(Incarnation(1), 5000), Ok(()));
        assert_eq!(
            window.note(Incarnation(1), 5000 - WINDOW_BITS),
            Err(Refusal::Replayed),
            "older than the window"
        );
        assert_eq!(window.note(Incarnation(1), 4999), Ok(()));
        assert_eq!(
            window.note(Incarnation(2), 1),
            Ok(()),
            "a new life starts over"
        );
        assert_eq!(
            window.note(Incarnation(1), 5001),
            Err(Refusal::StaleIncarnation)
        );
    }

    #[test]
    fn few_and_many_are_kept_alike() {
        use crate::entropy::{Entropy, Prng};
        use alloc::collections::BTreeSet;
        // Sparse and dense senders, against a set that forgets nothing.
        for (seed, spread) in [(1, 2), (2, 40), (3, 700), (4, 3_000)] {
            let mut draws = Prng::new(seed, "window", 0, 0);
            let mut window = ReplayWindow::default();
            let (mut seen, mut highest) = (BTreeSet::new(), 0u64);
            for step in 0..20_000 {
                let counter = (highest + draws.below(spread) + 1)
                    .saturating_sub(draws.below(2 * spread + 4))
                    .max(1);
                let is_old = counter <= highest && highest - counter >= WINDOW_BITS;
                let expected = match is_old || !seen.insert(counter) {
                    true => Err(Refusal::Replayed),
                    false => Ok(()),
                };
                highest = highest.max(counter);
                assert_eq!(
                    window.note(Incarnation(1), counter),
                    expected,
                    "seed {seed}, step {step}: {counter} of {highest}"
                );
            }
        }
    }
}
