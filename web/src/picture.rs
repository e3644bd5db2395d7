//! A protocol's own picture: what cannot be drawn from its `Spec` alone. One file per protocol behind one trait.

use phaselab_core::protocol::ProtocolKind;

pub mod sharded_2pc;
pub mod two_phase;

/// How a phase feels, for its colour and pattern; its word says the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing has begun.
    Idle,
    /// Working towards a decision: hatched.
    Busy,
    /// Decided, not yet in effect.
    Decided,
    /// In effect.
    Done,
    /// Waiting to try again.
    Stalled,
    /// Over without a value.
    Ended,
}

impl Tone {
    /// Its class.
    pub fn class(self) -> &'static str {
        match self {
            Tone::Idle => "tone-idle",
            Tone::Busy => "tone-busy",
            Tone::Decided => "tone-decided",
            Tone::Done => "tone-done",
            Tone::Stalled => "tone-stalled",
            Tone::Ended => "tone-ended",
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod drawn {
    use yew::Html;

    use super::Tone;
    use crate::scene::{NodeScene, Scene};

    /// What a protocol adds to the lanes.
    pub trait Picture {
        /// How a phase feels.
        fn tone(&self, phase: u8) -> Tone;
        /// Beneath the lanes: what is on the table.
        fn table(&self, scene: &Scene) -> Html;
        /// At the end of a node's meters.
        fn slot(&self, scene: &Scene, node: &NodeScene) -> Html;
    }
}

#[cfg(target_arch = "wasm32")]
pub use drawn::Picture;

/// The picture of a protocol.
#[cfg(target_arch = "wasm32")]
pub fn of(kind: ProtocolKind) -> &'static dyn Picture {
    match kind {
        ProtocolKind::TwoPhase => &two_phase::TwoPhasePicture,
        ProtocolKind::Sharded2pc => &sharded_2pc::ShardedPicture,
    }
}

/// What a person fills in to submit something, a name and an amount, as the bytes of the protocol's `Request`.
pub fn request(kind: ProtocolKind, name: &str, amount: u64) -> Vec<u8> {
    match kind {
        ProtocolKind::TwoPhase => two_phase::request(name, amount),
        ProtocolKind::Sharded2pc => sharded_2pc::request(name, amount),
    }
}
