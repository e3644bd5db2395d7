//! The world outside of a live cluster: one actor on the loopback, and each node's link to it.
//!
//! ```text
//! node -> host   Hello { node, genesis }   Report(bytes) ...
//! host -> node   Fact(whole view)   Fact(change) ...   Noted, once a report is kept   Refused(why)
//! ```
//!
//! Frames of postcard over TCP. The host keeps the actor's state in a file, written before anything is told, so that a
//! restart forgets nothing. A node that cannot reach the host goes on with the view that it has, keeps its reports, and
//! connects again.

use phaselab_core::codec::{self, CodecError, MESSAGE_BYTES_MAX};
use phaselab_core::types::{Hash32, NodeId};
use serde::{Deserialize, Serialize};

pub(crate) mod host;
pub(crate) mod link;

/// From a node to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ToHost {
    /// The first frame: who it is, in which cluster.
    Hello { node: NodeId, genesis: Hash32 },
    /// The bytes of the protocol's `Report`.
    Report(Vec<u8>),
}

/// From the host to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum FromHost {
    /// The bytes of the protocol's `Fact`.
    Fact(Vec<u8>),
    /// The oldest report that was not yet noted is kept.
    Noted,
    /// The connection is refused.
    Refused(String),
}

/// The longest frame.
const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

fn decode<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    codec::decode(bytes)
}
