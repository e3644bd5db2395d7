//! What is decided: a conflict key, the choices for it, and what a node keeps of it.

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::crypto::Transcript;
use crate::ledger::OutPoint;
use crate::types::{Hash32, InstanceId};

/// What choices are in conflict about: at most one of them becomes final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConflictKey {
    /// Which transaction spends an output: choices are transaction ids.
    Spend(OutPoint),
    /// Which block stands at a height: choices are block ids.
    Height(u64),
    /// Nothing but itself: a transaction for which the document's rules vote alone. (S1-F3)
    Alone(OutPoint, Hash32),
}

impl ConflictKey {
    /// The instance.
    pub fn id(&self) -> InstanceId {
        let mut transcript = Transcript::new("phaselab 2026-11 snowball conflict v1");
        match self {
            ConflictKey::Spend(outpoint) => {
                transcript.u8(0).hash(&outpoint.txid).u32(outpoint.index)
            }
            ConflictKey::Height(height) => transcript.u8(1).u64(*height),
            ConflictKey::Alone(outpoint, txid) => transcript
                .u8(2)
                .hash(&outpoint.txid)
                .u32(outpoint.index)
                .hash(txid),
        };
        InstanceId(transcript.finish())
    }
}

/// What a node keeps of a conflict key that is not at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conflict {
    /// What about.
    pub key: ConflictKey,
    /// Which choice it answers polls with: at first the first that it saw and found valid.
    pub preference: Hash32,
    /// Whether the preference won here. Of a transaction with several inputs that is provisional: it is final once it
    /// has won them all.
    pub decided: bool,
}

/// What a person calls an output that is no coin of genesis.
pub fn output_name(outpoint: &OutPoint) -> String {
    format!("{}:{}", outpoint.txid.short(), outpoint.index)
}

/// What a person calls a height.
pub fn height_name(height: u64) -> String {
    format!("block {height}")
}
