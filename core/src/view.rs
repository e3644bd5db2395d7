//! What people look at: a protocol's shape ([`Spec`]), a node at a glance, and a node in full.
//!
//! The page, the terminal and the tests read these and nothing else of a protocol's state.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::types::{Hash32, InstanceId, NodeId, Round};

mod shard;

pub use shard::{
    ACCOUNTS_MAX, AccountView, BallotView, HoldView, SLOTS_MAX, ShardView, SideView, SlotMarker,
    SlotStanding, SlotView,
};

/// A protocol's shape, for drawing and for asserting transitions.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// Name in files and on the command line.
    pub name: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The kinds of instance; nested ones name their parent by index.
    pub instances: &'static [InstanceKind],
    /// The phases, by index.
    pub phases: &'static [Phase],
    /// Legal transitions (from, to) by index.
    pub transitions: &'static [(u8, u8)],
    /// Message kinds, by index.
    pub messages: &'static [MessageKind],
    /// Meters, by index.
    pub meters: &'static [MeterKind],
    /// The names of what views show as [`Field`]s, under whichever rules.
    pub fields: &'static [&'static str],
    /// What the fault model is, in a sentence.
    pub fault_model: &'static str,
}

impl Spec {
    /// Whether instances of a kind are parts of others.
    pub fn is_nested(&self, kind: u8) -> bool {
        let kind = self.instances.get(usize::from(kind));
        kind.is_some_and(|kind| kind.parent.is_some())
    }

    /// Whether instances have parts that are instances too.
    pub fn has_nested(&self) -> bool {
        self.instances.iter().any(|kind| kind.parent.is_some())
    }

    /// Whether nodes ask samples of the others: then something counts polls.
    pub fn is_sampled(&self) -> bool {
        self.meters.iter().any(|meter| meter.unit == "polls")
    }

    /// Whether a node may go from one phase to another.
    pub fn is_legal(&self, from: u8, to: u8) -> bool {
        self.transitions.contains(&(from, to))
    }
}

/// A kind of instance.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct InstanceKind {
    /// What one is called.
    pub name: &'static str,
    /// The kind that it is nested in, by index.
    pub parent: Option<u8>,
}

/// A phase.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// The adjective that ribbons and JSON show.
    pub name: &'static str,
    /// What it means, in a few words.
    pub meaning: &'static str,
    /// Which kind of instance has it, by index.
    pub instance: u8,
    /// Whether nothing follows.
    pub terminal: bool,
}

/// A kind of message.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MessageKind {
    /// The verb.
    pub name: &'static str,
    /// How it is drawn.
    pub shape: Shape,
}

/// The shape of a message in flight: kind by shape, value by colour and letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Circle.
    Propose,
    /// Triangle.
    Vote,
    /// Square.
    Lock,
    /// Hexagon.
    Certificate,
    /// Cross.
    Abort,
    /// Small dot: requests and synchronisation.
    Sync,
}

/// A kind of meter.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct MeterKind {
    /// What is counted, in the plural.
    pub name: &'static str,
    /// The unit, in the plural.
    pub unit: &'static str,
    /// The kinds of message that cast a vote on it, by index.
    pub messages: &'static [u8],
}

/// A node at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Glance {
    /// The most recent instance that is not at rest, else the most recent one.
    pub instance: Option<InstanceId>,
    /// Its phase, by index.
    pub phase: u8,
    /// Its round.
    pub round: Round,
    /// The value that the node stands for there.
    pub value: Option<Hash32>,
    /// Progress towards the next threshold.
    pub have: u64,
    /// The threshold.
    pub need: u64,
}

/// How much of a node to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewScope {
    /// Every instance, without proposals and fields.
    Summary,
    /// One instance in full.
    Instance(InstanceId),
    /// Every instance in full.
    Full,
}

/// A node in full, for the inspector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Its instances in order of their first appearance at this node, or of id where that is not known.
    pub instances: Vec<InstanceView>,
    /// Facts about the node as a whole.
    pub fields: Vec<Field>,
    /// What it keeps for its group, where the protocol has groups; absent from summaries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Box<ShardView>>,
}

/// One instance at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceView {
    /// Its id.
    pub id: InstanceId,
    /// Its name, as a person gave it.
    pub name: String,
    /// Index into `Spec::instances`.
    pub kind: u8,
    /// Index into `Spec::phases`.
    pub phase: u8,
    /// Its round.
    pub round: Round,
    /// The decided value, if it is decided here.
    pub value: Option<Hash32>,
    /// The locked value and its round, if there is one.
    pub locked: Option<(Round, Hash32)>,
    /// The value that this node signed; a second one would be a broken promise.
    pub signed: Option<Hash32>,
    /// The meters, in the order of `Spec::meters`.
    pub meters: Vec<Meter>,
    /// The values on the table: one card per value and round.
    pub choices: Vec<Choice>,
    /// Everything else, for the inspector.
    pub fields: Vec<Field>,
}

/// A quorum meter: one segment per registered voter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Meter {
    /// Index into `Spec::meters`.
    pub kind: u8,
    /// The round whose votes it counts.
    pub round: Round,
    /// The value that leads it.
    pub value: Option<Hash32>,
    /// Weight counted for that value.
    pub have: u64,
    /// Weight needed.
    pub need: u64,
    /// Registered weight.
    pub total: u64,
    /// Who contributed what, in id order.
    pub segments: Vec<Segment>,
}

/// A voter's part of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// The voter.
    pub node: NodeId,
    /// Its registered weight.
    pub weight: u64,
    /// What is known of its vote.
    pub vote: SegmentVote,
}

/// What is known of a voter's vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentVote {
    /// Nothing yet: hollow.
    Awaiting,
    /// For this value: filled.
    For(Hash32),
    /// For no value.
    Nil,
}

/// One value on the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Its hash.
    pub value: Hash32,
    /// In which round it was proposed.
    pub round: Round,
    /// By whom, in id order.
    pub proposers: Vec<NodeId>,
    /// The number on the card: the amount paid.
    pub amount: u64,
    /// What distinguishes it, in a few words.
    pub detail: String,
}

/// The field of an instance that says what must come from outside before this node can do its part; absent if nothing.
pub const WAITS_FOR: &str = "waits for";

/// A named fact, as text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The name, in the source document's words.
    pub name: &'static str,
    /// The value.
    pub text: String,
}

impl Field {
    /// A named fact.
    pub fn new(name: &'static str, text: impl Into<String>) -> Field {
        Field {
            name,
            text: text.into(),
        }
    }
}
