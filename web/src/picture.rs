//! A protocol's own picture: what cannot be drawn from its `Spec` and its nodes' views alone. One file per protocol behind one
//! trait, and a line in [`PICTURES`]; a protocol without them is drawn from what every protocol says of itself.

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::view::Spec;
#[cfg(target_arch = "wasm32")]
use yew::Html;

#[cfg(target_arch = "wasm32")]
use crate::scene::{GroupBox, NodeScene, Scene};

pub mod cards;
pub mod sharded_2pc;
pub mod two_phase;

/// The protocols that have a picture of their own, by the names of their specs.
const PICTURES: &[(&str, &dyn Picture)] = &[
    ("two-phase", &two_phase::TwoPhasePicture),
    ("sharded-2pc", &sharded_2pc::ShardedPicture),
];

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

    /// Of a phase of which only the spec is known: nothing leads to the first ones, and nothing follows the last.
    pub fn of(spec: &Spec, phase: u8) -> Tone {
        let of = spec.phases.get(usize::from(phase));
        let is_entered = spec.transitions.iter().any(|(_, to)| *to == phase);
        match of {
            Some(of) if of.terminal => Tone::Done,
            Some(_) if is_entered => Tone::Busy,
            _ => Tone::Idle,
        }
    }
}

/// What a protocol adds to the picture. Whatever it leaves out is drawn as of any protocol.
pub trait Picture: Sync {
    /// How a phase feels.
    fn tone(&self, spec: &Spec, phase: u8) -> Tone {
        Tone::of(spec, phase)
    }

    /// What a person fills in to submit something, a name and an amount, as the bytes of the protocol's `Request`; `None`
    /// where there is nothing to submit.
    fn request(&self, _name: &str, _amount: u64) -> Option<Vec<u8>> {
        None
    }

    /// What the values on the table are called.
    fn table_title(&self) -> &'static str {
        "On the table"
    }

    /// Beneath the lanes: the values on the table, or what stands for them, such as a table of slots.
    #[cfg(target_arch = "wasm32")]
    fn table(&self, scene: &Scene) -> Html {
        cards::drawn::table(scene, self.table_title())
    }

    /// At the end of a node's meters.
    #[cfg(target_arch = "wasm32")]
    fn slot(&self, _scene: &Scene, _node: &NodeScene) -> Html {
        Html::default()
    }

    /// In the box of a group, beside its name.
    #[cfg(target_arch = "wasm32")]
    fn group(&self, _scene: &Scene, _of: &GroupBox) -> Html {
        Html::default()
    }

    /// Over the cluster, between its groups: what passes from one to the other.
    #[cfg(target_arch = "wasm32")]
    fn between(&self, _scene: &Scene) -> Html {
        Html::default()
    }
}

/// The picture of a protocol that has no file.
struct Plain;

impl Picture for Plain {}

/// The picture of a protocol.
pub fn of(spec: &Spec) -> &'static dyn Picture {
    let known = PICTURES.iter().find(|(name, _)| *name == spec.name);
    known.map_or(&Plain, |(_, picture)| *picture)
}

/// What a person fills in to submit something, a name and an amount, as the bytes of the protocol's `Request`; nothing where
/// the protocol takes none.
pub fn request(kind: ProtocolKind, name: &str, amount: u64) -> Vec<u8> {
    of(kind.spec()).request(name, amount).unwrap_or_default()
}

#[cfg(test)]
mod tests;
