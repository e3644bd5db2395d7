//! What the nodes of a room agree on before the first message: genesis and keys, made once by whoever comes first.

use phaselab_core::codec;
use phaselab_core::crypto::{Crypto, Member, Signer};
use phaselab_core::engine::{Genesis, RuleSet};
use phaselab_core::protocol::{self, ProtocolKind};
use phaselab_core::replica::BuildError;
use phaselab_core::store::Rows;
use phaselab_core::types::NodeId;

/// The most nodes of a room: each is a thread of the browser.
pub const NODES_MAX: u16 = 16;

/// A member's secret key: 32 bytes that never leave the store of the node and the thread that runs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A key from its 32 bytes; `None` for any other number of them.
    pub fn from_bytes(bytes: &[u8]) -> Option<Secret> {
        bytes.try_into().ok().map(Secret)
    }

    /// The bytes, for the node's own store.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The key in use.
    pub fn signer(&self, crypto: Crypto) -> Signer {
        Signer::from_seed(crypto, &self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A new room: its genesis, and the members' keys in id order.
#[derive(Debug)]
pub struct Room {
    /// What all members agree on.
    pub genesis: Genesis,
    /// Each member's key.
    pub secrets: Vec<Secret>,
    /// When the room was made, in milliseconds since 1970: where its clock starts.
    pub created_ms: u64,
}

impl Room {
    /// Makes a room of `nodes` members with fresh keys. `config` is the encoded configuration; `None` means the defaults.
    /// `entropy` fills 32 bytes.
    ///
    /// # Errors
    /// What is impossible, and what was expected.
    pub fn create(
        kind: ProtocolKind,
        name: &str,
        nodes: u16,
        config: Option<Vec<u8>>,
        created_ms: u64,
        entropy: &mut dyn FnMut() -> [u8; 32],
    ) -> Result<Room, String> {
        if nodes == 0 || nodes > NODES_MAX {
            return Err(format!("nodes = {nodes}: expected 1 to {NODES_MAX}"));
        }
        let secrets: Vec<Secret> = (0..nodes).map(|_| Secret(entropy())).collect();
        let crypto = Crypto::Ed25519;
        let groups = kind.groups(nodes);
        let member = |(id, secret): (u16, &Secret)| Member {
            id: NodeId(id),
            group: groups.get(usize::from(id) - 1).copied().unwrap_or_default(),
            key: secret.signer(crypto).public(),
        };
        let genesis = Genesis {
            protocol: kind.tag(),
            rules: RuleSet::Hardened,
            flaws: Vec::new(),
            crypto,
            name: format!("{name} {}", hex(&entropy()[..8])),
            members: (1..).zip(&secrets).map(member).collect(),
            config: config.unwrap_or_else(|| kind.default_config()),
        };
        let room = Room {
            genesis,
            secrets,
            created_ms,
        };
        room.check().map_err(|error| error.to_string())?;
        Ok(room)
    }

    /// Whether a node can be built: that the parameters suit the members.
    fn check(&self) -> Result<(), BuildError> {
        let signer = self.secrets[0].signer(self.genesis.crypto);
        protocol::build(&self.genesis, NodeId(1), signer, &Rows::default(), [0; 32]).map(drop)
    }
}

/// The genesis as bytes, for stores and messages.
pub fn encode_genesis(genesis: &Genesis) -> Vec<u8> {
    codec::encode(genesis)
}

/// Reads a genesis.
///
/// # Errors
/// A sentence, if the bytes are none or of an unknown protocol.
pub fn decode_genesis(bytes: &[u8]) -> Result<(Genesis, ProtocolKind), String> {
    let genesis: Genesis =
        codec::decode(bytes).map_err(|_| "the bytes are not a genesis".to_owned())?;
    let kind = ProtocolKind::from_tag(genesis.protocol)
        .ok_or_else(|| format!("no protocol has the tag {}", genesis.protocol))?;
    Ok((genesis, kind))
}

/// The channel of a room's packets; of its clients, chain or watchers with `part`.
pub fn channel_name(room: &str, part: Option<&str>) -> String {
    part.map_or_else(
        || format!("phaselab/{room}"),
        |part| format!("phaselab/{room}/{part}"),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Different bytes at each call.
    pub(crate) fn counting_entropy() -> impl FnMut() -> [u8; 32] {
        let mut count = 0;
        move || {
            count += 1;
            [count; 32]
        }
    }

    #[test]
    fn members_of_a_sharded_room_are_in_clusters() {
        let groups = |kind| -> Vec<u16> {
            let mut entropy = counting_entropy();
            let room = Room::create(kind, "den", 6, None, 5, &mut entropy).unwrap();
            room.genesis
                .members
                .iter()
                .map(|member| member.group.0)
                .collect()
        };
        assert_eq!(groups(ProtocolKind::Sharded2pc), [1, 1, 1, 2, 2, 2]);
        assert_eq!(groups(ProtocolKind::TwoPhase), [0; 6]);
    }

    #[test]
    fn a_genesis_comes_back_from_its_bytes() {
        let room = Room::create(
            ProtocolKind::TwoPhase,
            "den",
            4,
            None,
            5,
            &mut counting_entropy(),
        )
        .unwrap();
        assert_eq!(room.genesis.members.len(), 4);
        let (genesis, kind) = decode_genesis(&encode_genesis(&room.genesis)).unwrap();
        assert_eq!((genesis, kind), (room.genesis, ProtocolKind::TwoPhase));
        assert!(decode_genesis(&[1, 2, 3]).is_err());
    }

    #[test]
    fn impossible_rooms_are_refused_in_words() {
        let create = |nodes, config| {
            Room::create(
                ProtocolKind::TwoPhase,
                "den",
                nodes,
                config,
                0,
                &mut counting_entropy(),
            )
            .unwrap_err()
        };
        assert!(create(0, None).contains("expected 1 to 16"));
        assert!(
            create(1, None).contains("threshold_m"),
            "two signatures of one member"
        );
        assert!(create(3, Some(vec![1, 2])).contains("not of this protocol"));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::from_bytes(&[7; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(Secret::from_bytes(&[7; 31]), None);
    }
}
