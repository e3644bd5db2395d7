//! A protocol's own picture: what cannot be drawn from its `Spec` and its nodes' views alone. One file per protocol behind one
//! trait, and a line in [`PICTURES`]; a protocol without them is drawn from what every protocol says of itself.

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::Hash32;
use phaselab_core::view::Spec;
#[cfg(target_arch = "wasm32")]
use yew::Html;

#[cfg(feature = "snowball")]
use crate::crowd::Polls;
use crate::scene::{BoxSizes, InstancePicture, Scene};
#[cfg(target_arch = "wasm32")]
use crate::scene::{GroupBox, NodeScene};

pub mod cards;
#[cfg(feature = "sharded-2pc")]
pub mod sharded_2pc;
#[cfg(feature = "snowball")]
pub mod snowball;
pub mod two_phase;

/// The protocols that have a picture of their own, by the names of their specs.
const PICTURES: &[(&str, &dyn Picture)] = &[
    ("two-phase", &two_phase::TwoPhasePicture),
    #[cfg(feature = "sharded-2pc")]
    ("sharded-2pc", &sharded_2pc::ShardedPicture),
    #[cfg(feature = "snowball")]
    ("snowball", &snowball::SnowballPicture),
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

    /// What a person fills in to ask for something; `None` where there is nothing to ask for.
    fn form(&self) -> Option<&'static Form> {
        None
    }

    /// The parameters of a live room, encoded; the protocol's own without.
    fn room_config(&self) -> Option<Vec<u8>> {
        None
    }

    /// How many nodes a live room has, unless the address says otherwise.
    fn room_nodes(&self) -> u16 {
        3
    }

    /// How nodes poll one another, by the number of nodes and what the run begins with; `None` where they do not.
    #[cfg(feature = "snowball")]
    fn polls(&self, _config: &[u8], _nodes: u16, _is_hardened: bool) -> Option<Polls> {
        None
    }

    /// What a node stands for that has not decided, locked or proposed.
    fn preference(&self, _instance: &InstancePicture) -> Option<Hash32> {
        None
    }

    /// Whom a reply points to instead of answering.
    fn redirect(&self, _reply: &[u8]) -> Option<Redirect> {
        None
    }

    /// How large the boxes of groups are; as large as there is room without.
    fn box_sizes(&self) -> Option<BoxSizes> {
        None
    }

    /// The groups whose boxes come first, in order.
    fn groups_first(&self, _scene: &Scene) -> Vec<u16> {
        Vec::new()
    }

    /// What stands in the form as the bytes of the protocol's `Request`; `way` is the button.
    ///
    /// # Errors
    /// A sentence: what is wrong.
    fn request(&self, _fields: &[&str], _way: usize) -> Result<Vec<u8>, String> {
        Err("This protocol takes no requests.".to_owned())
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

    /// On a node's badge: what sets it apart.
    #[cfg(target_arch = "wasm32")]
    fn sign(&self, _scene: &Scene, _node: &NodeScene) -> Html {
        Html::default()
    }

    /// In the box of a group: its name, and what it keeps.
    #[cfg(target_arch = "wasm32")]
    fn group(&self, _scene: &Scene, of: &GroupBox) -> Html {
        yew::html! { <span class="group-name">{ format!("group {}", of.group + 1) }</span> }
    }

    /// Over the cluster, between its groups: what passes from one to the other.
    #[cfg(target_arch = "wasm32")]
    fn between(&self, _scene: &Scene, _boxes: &[GroupBox]) -> Html {
        Html::default()
    }
}

/// A form in which a person asks for something.
#[derive(Debug, PartialEq, Eq)]
pub struct Form {
    /// What it does.
    pub what: &'static str,
    /// What there is to fill in.
    pub fields: &'static [FormField],
    /// The buttons: what can be asked with it.
    pub ways: &'static [&'static str],
    /// Whether the first field is a name that each request has for itself, and counts up.
    pub counts: bool,
    /// What stands there at first where somebody asks by hand in a run; the same as elsewhere if absent.
    pub by_hand: Option<&'static str>,
}

/// A field of a form.
#[derive(Debug, PartialEq, Eq)]
pub struct FormField {
    /// What tests and labels find it by.
    pub id: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// What stands in it at first.
    pub first: &'static str,
    /// Whether it is a whole number.
    pub is_number: bool,
}

impl FormField {
    /// What stands in it, as a number.
    fn whole<T: std::str::FromStr>(&self, text: &str) -> Result<T, String> {
        let number = text.trim().parse();
        number.map_err(|_| [self.id, ": expected a whole number"].concat())
    }
}

/// Whom to ask instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Another member of the group; which, where that is known.
    Member(Option<u16>),
    /// Another group.
    Group(u16),
}

/// The picture of a protocol that has no file.
struct Plain;

impl Picture for Plain {}

/// The picture of a protocol.
pub fn of(spec: &Spec) -> &'static dyn Picture {
    let known = PICTURES.iter().find(|(name, _)| *name == spec.name);
    known.map_or(&Plain, |(_, picture)| *picture)
}

/// What stands in a form as the bytes of the protocol's `Request`; `way` is the button.
///
/// # Errors
/// A sentence: what is wrong.
pub fn request(kind: ProtocolKind, fields: &[&str], way: usize) -> Result<Vec<u8>, String> {
    of(kind.spec()).request(fields, way)
}

#[cfg(test)]
mod tests;
