//! The world outside of a live cluster: one actor, and each node's link to it.
//!
//! ```text
//! host -> node   a challenge: 32 random bytes
//! node -> host   Hello { node, genesis, signature }   Report(bytes) ...
//! host -> node   Fact(whole view)   Fact(change) ...   Noted, once a report is kept   Refused(why)
//! ```
//!
//! Frames of postcard over TCP. A node signs the host's challenge with its key, so that nobody else takes its place; what
//! follows is neither signed nor secret, as of any public chain. Between hosts it is for networks that one trusts: who
//! can change packets on their way can show a node a false world.
//!
//! The host keeps the actor's state in a file, written before anything is told, so that a
//! restart forgets nothing. A node that cannot reach the host goes on with the view that it has, keeps its reports, and
//! connects again.

use std::time::Duration;

use phaselab_core::codec::{self, CodecError, MESSAGE_BYTES_MAX};
use phaselab_core::crypto::{Signature, Transcript};
use phaselab_core::types::{Hash32, NodeId};
use serde::{Deserialize, Serialize};

pub(crate) mod host;
pub(crate) mod link;
mod state;
#[cfg(test)]
mod tests;

/// From a node to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ToHost {
    /// The first frame: who it is, in which cluster, and its signature under the challenge.
    Hello {
        node: NodeId,
        genesis: Hash32,
        signature: Signature,
    },
    /// The bytes of the protocol's `Report`.
    Report(Vec<u8>),
}

/// From the host to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromHost {
    /// The bytes of the protocol's `Fact`.
    Fact(Vec<u8>),
    /// The oldest report that was not yet noted is kept.
    Noted,
    /// The connection is refused.
    Refused(String),
}

/// The longest frame.
const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// How long the other end's first frame may take.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// What a node signs to be known by the host.
fn hello_preimage(node: NodeId, genesis: &Hash32, challenge: &Hash32) -> Hash32 {
    Transcript::new("phaselab 2026-11 chain hello v1")
        .hash(genesis)
        .u32(u32::from(node.0))
        .hash(challenge)
        .finish()
}

fn decode<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    codec::decode(bytes)
}
