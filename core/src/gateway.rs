//! What stands on the wire between a member of a hybrid cluster and the gateway that joins browsers and processes.
//!
//! ```text
//! guest   -> gateway   Join { invite, key, proof }           once; the proof signs the gateway's challenge
//! gateway -> guest     Lobby(who is there) ...  Begun(genesis)
//! member  -> gateway   Hello { node, genesis, proof }        first; then Packet, Report, Watch
//! gateway -> member    Welcome, Online(who is connected), Packet, Fact, Taken, Watch
//! gateway -> anyone    Challenge first; Refused(why) last
//! ```
//!
//! One WebSocket message is one frame: a tag in one byte, then fields of fixed width in little-endian, then what is left
//! as bytes. A `Packet` carries a sealed envelope, which the gateway checks and cannot make: it can delay, and never
//! forge. Facts are the simulated world's, which the gateway's process hosts. `Watch` is for pictures only.

use alloc::string::String;
use alloc::vec::Vec;

use crate::codec;
use crate::crypto::{Crypto, Keyring, Member, PublicKey, Signature, Signer, Transcript};
use crate::engine::Genesis;
use crate::envelope::PACKET_BYTES_MAX;
use crate::types::{GroupId, Hash32, NodeId};

#[cfg(test)]
mod tests;

/// The largest frame in bytes: a packet with its header.
pub const FRAME_BYTES_MAX: usize = PACKET_BYTES_MAX + 16;

/// The largest first frame of a participant in bytes.
pub const FIRST_BYTES_MAX: usize = 256;

/// What the gateway sends first: random, and signed by whoever answers.
pub type Nonce = [u8; 32];

/// A one-time invite.
pub type Invite = [u8; 16];

/// Where a member runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a browser's worker.
    Browser,
    /// In a process of its own.
    Terminal,
}

impl Place {
    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Place::Browser => "browser",
            Place::Terminal => "terminal",
        }
    }
}

/// A member, and where it runs.
pub type Placed = (NodeId, Place);

/// From a participant to the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToGateway {
    /// Takes a seat; the first frame of a guest.
    Join {
        /// The invite, in one use.
        invite: Invite,
        /// The public key of the new member.
        key: PublicKey,
        /// Where it runs.
        place: Place,
        /// That the guest holds the key: see [`sign_join`].
        proof: Signature,
    },
    /// Speaks for a member; the first frame of one.
    Hello {
        /// Which.
        node: NodeId,
        /// In which cluster.
        genesis: Hash32,
        /// Where it runs.
        place: Place,
        /// That it holds the member's key: see [`sign_hello`].
        proof: Signature,
    },
    /// A sealed packet for one member, or for all others.
    Packet {
        /// Whom it is for; `None` for all others.
        to: Option<NodeId>,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// Bytes of the protocol's `Report` to the world outside.
    Report {
        /// The node's number for it, which comes back in [`FromGateway::Taken`].
        number: u64,
        /// The report.
        bytes: Vec<u8>,
    },
    /// For observers of the other members; may be dropped.
    Watch(Vec<u8>),
}

/// From the gateway to a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromGateway {
    /// The first frame of every connection.
    Challenge(Nonce),
    /// To guests: the seat that is theirs, and how far the lobby is.
    Lobby {
        /// The guest's id, once it begins.
        you: NodeId,
        /// When it begins: with so many members.
        needed: u16,
        /// Who is there.
        joined: Vec<Placed>,
    },
    /// To guests: genesis is frozen; the gateway closes the connection.
    Begun {
        /// What all members agree on.
        genesis: Genesis,
        /// When, in milliseconds since 1970: a common clock for pictures.
        begun_ms: u64,
        /// The same as a genesis file.
        text: String,
    },
    /// To a member: its proof holds.
    Welcome {
        /// When genesis was frozen, as in [`FromGateway::Begun`].
        begun_ms: u64,
    },
    /// To members: who is connected, whenever that changes.
    Online(Vec<Placed>),
    /// A sealed packet of another member.
    Packet(Vec<u8>),
    /// Bytes of the protocol's `Fact`.
    Fact(Vec<u8>),
    /// The report of this number is kept.
    Taken(u64),
    /// What another member shows observers.
    Watch(Vec<u8>),
    /// Why the connection is closed.
    Refused(String),
}

/// Signs a [`ToGateway::Join`].
pub fn sign_join(signer: &Signer, nonce: &Nonce, invite: &Invite) -> Signature {
    signer.sign(&join_preimage(nonce, invite, &signer.public()))
}

/// Whether a guest holds the key that it brings, and the key can be a member's.
pub fn verify_join(nonce: &Nonce, invite: &Invite, key: &PublicKey, proof: &Signature) -> bool {
    let id = NodeId(0);
    let guest = Member {
        id,
        group: GroupId(0),
        key: *key,
    };
    Keyring::new(Crypto::Ed25519, &[guest])
        .is_ok_and(|ring| ring.verify(id, &join_preimage(nonce, invite, key), proof))
}

fn join_preimage(nonce: &Nonce, invite: &Invite, key: &PublicKey) -> Hash32 {
    Transcript::new("phaselab 2026-11 gateway join v1")
        .bytes(nonce)
        .bytes(invite)
        .bytes(&key.0)
        .finish()
}

/// Signs a [`ToGateway::Hello`].
pub fn sign_hello(signer: &Signer, nonce: &Nonce, genesis: &Hash32, node: NodeId) -> Signature {
    signer.sign(&hello_preimage(nonce, genesis, node))
}

/// Whether whoever answered the challenge holds the key of this member.
pub fn verify_hello(
    ring: &Keyring,
    nonce: &Nonce,
    genesis: &Hash32,
    node: NodeId,
    proof: &Signature,
) -> bool {
    ring.verify(node, &hello_preimage(nonce, genesis, node), proof)
}

fn hello_preimage(nonce: &Nonce, genesis: &Hash32, node: NodeId) -> Hash32 {
    Transcript::new("phaselab 2026-11 gateway hello v1")
        .bytes(nonce)
        .hash(genesis)
        .u32(u32::from(node.0))
        .finish()
}

const JOIN: u8 = 1;
const HELLO: u8 = 2;
const PACKET_TO: u8 = 3;
const PACKET_ALL: u8 = 4;
const REPORT: u8 = 5;
const WATCH: u8 = 6;
const CHALLENGE: u8 = 64;
const LOBBY: u8 = 65;
const BEGUN: u8 = 66;
const ONLINE: u8 = 67;
const PACKET: u8 = 68;
const FACT: u8 = 69;
const TAKEN: u8 = 70;
const WATCHED: u8 = 71;
const REFUSED: u8 = 72;
const WELCOME: u8 = 73;

impl ToGateway {
    /// As it stands on the wire.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ToGateway::Join {
                invite,
                key,
                place,
                proof,
            } => frame(JOIN, &[invite, &key.0, &[place_tag(*place)], &proof.0]),
            ToGateway::Hello {
                node,
                genesis,
                place,
                proof,
            } => frame(
                HELLO,
                &[
                    &node.0.to_le_bytes(),
                    &genesis.0,
                    &[place_tag(*place)],
                    &proof.0,
                ],
            ),
            ToGateway::Packet { to: None, bytes } => frame(PACKET_ALL, &[bytes]),
            ToGateway::Packet {
                to: Some(node),
                bytes,
            } => frame(PACKET_TO, &[&node.0.to_le_bytes(), bytes]),
            ToGateway::Report { number, bytes } => frame(REPORT, &[&number.to_le_bytes(), bytes]),
            ToGateway::Watch(bytes) => frame(WATCH, &[bytes]),
        }
    }

    /// Reads a frame; `None` if it is none of these.
    pub fn decode(bytes: &[u8]) -> Option<ToGateway> {
        let mut rest = Rest::of(bytes)?;
        let frame = match rest.u8()? {
            JOIN => ToGateway::Join {
                invite: rest.array()?,
                key: PublicKey(rest.array()?),
                place: rest.place()?,
                proof: Signature(rest.array()?),
            },
            HELLO => ToGateway::Hello {
                node: rest.node()?,
                genesis: Hash32(rest.array()?),
                place: rest.place()?,
                proof: Signature(rest.array()?),
            },
            PACKET_TO => ToGateway::Packet {
                to: Some(rest.node()?),
                bytes: rest.take(),
            },
            PACKET_ALL => ToGateway::Packet {
                to: None,
                bytes: rest.take(),
            },
            REPORT => ToGateway::Report {
                number: u64::from_le_bytes(rest.array()?),
                bytes: rest.take(),
            },
            WATCH => ToGateway::Watch(rest.take()),
            _ => return None,
        };
        rest.is_empty().then_some(frame)
    }
}

impl FromGateway {
    /// As it stands on the wire.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            FromGateway::Challenge(nonce) => frame(CHALLENGE, &[nonce]),
            FromGateway::Lobby {
                you,
                needed,
                joined,
            } => frame(
                LOBBY,
                &[
                    &you.0.to_le_bytes(),
                    &needed.to_le_bytes(),
                    &placed_bytes(joined),
                ],
            ),
            FromGateway::Begun {
                genesis,
                begun_ms,
                text,
            } => {
                let genesis = codec::encode(genesis);
                let length = genesis.len() as u32;
                frame(
                    BEGUN,
                    &[
                        &begun_ms.to_le_bytes(),
                        &length.to_le_bytes(),
                        &genesis,
                        text.as_bytes(),
                    ],
                )
            }
            FromGateway::Welcome { begun_ms } => frame(WELCOME, &[&begun_ms.to_le_bytes()]),
            FromGateway::Online(online) => frame(ONLINE, &[&placed_bytes(online)]),
            FromGateway::Packet(bytes) => frame(PACKET, &[bytes]),
            FromGateway::Fact(bytes) => frame(FACT, &[bytes]),
            FromGateway::Taken(number) => frame(TAKEN, &[&number.to_le_bytes()]),
            FromGateway::Watch(bytes) => frame(WATCHED, &[bytes]),
            FromGateway::Refused(why) => frame(REFUSED, &[why.as_bytes()]),
        }
    }

    /// Reads a frame; `None` if it is none of these.
    pub fn decode(bytes: &[u8]) -> Option<FromGateway> {
        let mut rest = Rest::of(bytes)?;
        let frame = match rest.u8()? {
            CHALLENGE => FromGateway::Challenge(rest.array()?),
            LOBBY => FromGateway::Lobby {
                you: rest.node()?,
                needed: u16::from_le_bytes(rest.array()?),
                joined: rest.placed()?,
            },
            BEGUN => {
                let begun_ms = u64::from_le_bytes(rest.array()?);
                let length = u32::from_le_bytes(rest.array()?);
                FromGateway::Begun {
                    genesis: codec::decode(rest.bytes(length as usize)?).ok()?,
                    begun_ms,
                    text: rest.text()?,
                }
            }
            WELCOME => FromGateway::Welcome {
                begun_ms: u64::from_le_bytes(rest.array()?),
            },
            ONLINE => FromGateway::Online(rest.placed()?),
            PACKET => FromGateway::Packet(rest.take()),
            FACT => FromGateway::Fact(rest.take()),
            TAKEN => FromGateway::Taken(u64::from_le_bytes(rest.array()?)),
            WATCHED => FromGateway::Watch(rest.take()),
            REFUSED => FromGateway::Refused(rest.text()?),
            _ => return None,
        };
        rest.is_empty().then_some(frame)
    }
}

fn frame(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    bytes.push(tag);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn place_tag(place: Place) -> u8 {
    match place {
        Place::Browser => 0,
        Place::Terminal => 1,
    }
}

fn placed_bytes(placed: &[Placed]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(3 * placed.len());
    for (node, place) in placed {
        bytes.extend_from_slice(&node.0.to_le_bytes());
        bytes.push(place_tag(*place));
    }
    bytes
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn of(bytes: &'a [u8]) -> Option<Rest<'a>> {
        (bytes.len() <= FRAME_BYTES_MAX).then_some(Rest(bytes))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (read, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(read)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn node(&mut self) -> Option<NodeId> {
        self.array().map(|bytes| NodeId(u16::from_le_bytes(bytes)))
    }

    fn place(&mut self) -> Option<Place> {
        match self.u8()? {
            0 => Some(Place::Browser),
            1 => Some(Place::Terminal),
            _ => None,
        }
    }

    fn placed(&mut self) -> Option<Vec<Placed>> {
        let mut placed = Vec::new();
        while !self.is_empty() {
            placed.push((self.node()?, self.place()?));
        }
        Some(placed)
    }

    fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.0).to_vec()
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.take()).ok()
    }
}
