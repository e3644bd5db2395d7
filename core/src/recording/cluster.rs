//! A cluster of which no key is known: nodes that run again, and the oracle that watches them.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::Recording;
use crate::crypto::{PublicKey, Signer};
use crate::engine::Genesis;
use crate::oracle::Oracle;
use crate::ordered::Map;
use crate::protocol::{self, Cluster, ProtocolKind, Simulated, with_protocol};
use crate::replica::{self, BuildError, Replica};
use crate::store::Rows;
use crate::types::NodeId;
use crate::view::Spec;

/// The cluster of a genesis. Its nodes sign nothing: those of a recording are made by [`Recording::replica`].
///
/// # Errors
/// When the genesis is of no protocol, or no node of it can be.
pub fn cluster(genesis: &Genesis) -> Result<Arc<dyn Cluster>, BuildError> {
    let unknown = BuildError::UnknownProtocol(genesis.protocol);
    let kind = ProtocolKind::from_tag(genesis.protocol).ok_or(unknown)?;
    let oracle = oracle(kind, genesis)?;
    Ok(Arc::new(Keyless {
        kind,
        genesis: genesis.clone(),
        oracle,
    }))
}

struct Keyless {
    kind: ProtocolKind,
    genesis: Genesis,
    oracle: Box<dyn Oracle>,
}

impl Cluster for Keyless {
    fn spec(&self) -> &'static Spec {
        self.kind.spec()
    }

    fn node(&self, id: NodeId, rows: &Rows, _seed: u64) -> Result<Box<dyn Replica>, BuildError> {
        protocol::build(&self.genesis, id, keyless(&self.genesis, id), rows, [0; 32])
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        self.oracle.clone_box()
    }
}

impl Recording {
    /// The node before its first step, with its signatures in place of its key.
    ///
    /// # Errors
    /// When genesis or rows give no node.
    pub fn replica(&self) -> Result<Box<dyn Replica>, BuildError> {
        let head = &self.head;
        let key = registered(&head.genesis, head.node);
        let signer = Signer::recorded(key, self.signatures.clone());
        protocol::build(&head.genesis, head.node, signer, &self.rows, head.entropy)
    }
}

fn oracle(kind: ProtocolKind, genesis: &Genesis) -> Result<Box<dyn Oracle>, BuildError> {
    let first = genesis.members.first();
    let first = first.map_or(NodeId(0), |member| member.id);
    let signer = keyless(genesis, first);
    with_protocol!(kind, P => {
        let env = replica::env::<P>(genesis, first, signer)?;
        Ok(<P as Simulated>::oracle(&env))
    })
}

fn keyless(genesis: &Genesis, node: NodeId) -> Signer {
    Signer::recorded(registered(genesis, node), Arc::new(Map::new()))
}

/// The key of a member; of a stranger one that is refused where it matters.
fn registered(genesis: &Genesis, node: NodeId) -> PublicKey {
    let member = genesis.members.iter().find(|member| member.id == node);
    member.map_or(PublicKey([0; 32]), |member| member.key)
}
