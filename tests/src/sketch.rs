//! Protocols of a page each, which show that the traits carry more than two-phase: nothing here is in the list of
//! protocols, and all of it runs in the real engine, through the real codec and envelope.

use std::sync::Arc;

use phaselab_core::codec;
use phaselab_core::crypto::Crypto;
use phaselab_core::engine::{Env, Genesis, Protocol, RuleSet};
use phaselab_core::environment::Void;
use phaselab_core::oracle::{Agreement, Oracle};
use phaselab_core::protocol::{ProtocolKind, TypedCluster, members};
use phaselab_core::scenario::Scenario;
use phaselab_core::sim::Sim;
use phaselab_core::types::GroupId;

pub mod clustered;
pub mod ping;
pub mod sampled;

/// An empty run of `nodes` nodes with simulated signatures. Its protocol is a placeholder: a sketch has no name in the
/// list.
pub fn scenario(nodes: u16) -> Scenario {
    Scenario {
        crypto: Crypto::Simulated,
        ..Scenario::new(ProtocolKind::TwoPhase, nodes)
    }
}

/// A run of a protocol that is not in the list, in no world, watched for agreement alone.
///
/// # Panics
/// If the parameters make no sense for the scenario's members.
pub fn run_of<P: Protocol>(scenario: Scenario, config: &P::Config) -> Sim {
    let genesis = genesis::<P>(scenario.crypto, &scenario.groups, config);
    let cluster =
        TypedCluster::<P>::with_oracle(&genesis, agreement::<P>).expect("a sound configuration");
    Sim::with_parts(scenario, Arc::new(cluster), Box::new(Void)).expect("nodes that can be built")
}

/// The genesis of a cluster of any protocol.
pub fn genesis<P: Protocol>(crypto: Crypto, groups: &[GroupId], config: &P::Config) -> Genesis {
    Genesis {
        protocol: P::TAG,
        rules: RuleSet::Hardened,
        flaws: Vec::new(),
        crypto,
        name: P::NAME.into(),
        members: members(crypto, groups),
        config: codec::encode(config),
    }
}

fn agreement<P: Protocol>(_: &Env<P>) -> Box<dyn Oracle> {
    Box::new(Agreement::default())
}
