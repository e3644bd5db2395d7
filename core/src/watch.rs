//! What live nodes show observers: their whole picture each time, and what happened since.
//!
//! For drawing only. The channels are lossy and nobody signs what is on them. [`crate::view`] holds static names and
//! cannot be read back; the pictures here mirror it, so that a worker or a process can send one to a page.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventKind};
use crate::types::{Hash32, InstanceId, NodeId, Round};
use crate::view::{self, NodeView, SegmentVote, ShardView, Spec};

/// One message to observers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchFrame {
    /// From a node's thread.
    Node(NodeReport),
    /// From a tab whose node's thread is gone.
    Crashed {
        /// Which node.
        node: u16,
        /// The tab.
        tab: String,
        /// Why, where that is known.
        why: String,
    },
    /// From an observer that just came: every node reports at once.
    Hello,
}

/// What a node tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Which node.
    pub node: u16,
    /// The tab that runs it.
    pub tab: String,
    /// Its life.
    pub life: u32,
    /// Counts the reports of this life.
    pub sequence: u64,
    /// The node's clock, in microseconds since the room was made.
    pub at_us: u64,
    /// What it refused in this life.
    pub refused: u64,
    /// How many other members it heard in this life.
    pub peers: u16,
    /// Its state.
    pub picture: NodePicture,
    /// What happened since the last report.
    pub events: Vec<WatchedEvent>,
}

/// An event as it stands on the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedEvent {
    /// When, in microseconds since the room was made.
    pub at_us: u64,
    /// What happened.
    pub kind: EventKind,
    /// To which instance.
    pub instance: Option<InstanceId>,
    /// In which round.
    pub round: u32,
    /// About which value.
    pub value: Option<Hash32>,
    /// With which other node.
    pub peer: Option<u16>,
    /// Reached, needed, out of.
    pub count: (u64, u64, u64),
}

impl WatchedEvent {
    /// An event at a time.
    pub fn new(at_us: u64, event: &Event) -> WatchedEvent {
        WatchedEvent {
            at_us,
            kind: event.kind,
            instance: event.instance,
            round: event.round.0,
            value: event.value,
            peer: event.peer.map(|node| node.0),
            count: (event.have, event.need, event.total),
        }
    }

    /// The event.
    pub fn event(&self) -> Event {
        let (have, need, total) = self.count;
        Event {
            kind: self.kind,
            instance: self.instance,
            round: Round(self.round),
            value: self.value,
            peer: self.peer.map(NodeId),
            have,
            need,
            total,
        }
    }
}

/// A node in full, as some observer sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePicture {
    /// Its instances in order of appearance.
    pub instances: Vec<InstancePicture>,
    /// Facts about the node as a whole.
    pub fields: Vec<FieldText>,
    /// What it keeps for its group, where the protocol has groups.
    pub shard: Option<Box<ShardView>>,
}

impl NodePicture {
    /// Of a view, without the instances that are parts of others: there are many, and what a picture shows of them is in
    /// the shard.
    pub fn of(spec: &Spec, mut view: NodeView) -> NodePicture {
        view.instances
            .retain(|instance| !spec.is_nested(instance.kind));
        NodePicture {
            instances: view.instances.iter().map(instance).collect(),
            fields: fields(&view.fields),
            shard: view.shard,
        }
    }

    /// One of its instances.
    pub fn instance(&self, id: InstanceId) -> Option<&InstancePicture> {
        self.instances.iter().find(|instance| instance.id == id)
    }
}

/// One instance at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePicture {
    /// Its id.
    pub id: InstanceId,
    /// Its name, as a person gave it.
    pub name: String,
    /// Index into `Spec::phases`.
    pub phase: u8,
    /// Its round.
    pub round: u32,
    /// The decided value.
    pub value: Option<Hash32>,
    /// The locked value and its round.
    pub locked: Option<(u32, Hash32)>,
    /// The value that this node signed.
    pub signed: Option<Hash32>,
    /// In the order of `Spec::meters`.
    pub meters: Vec<MeterPicture>,
    /// One per value and round.
    pub choices: Vec<ChoicePicture>,
    /// Everything else.
    pub fields: Vec<FieldText>,
}

/// A quorum meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterPicture {
    /// Index into `Spec::meters`.
    pub kind: u8,
    /// The value that leads it.
    pub value: Option<Hash32>,
    /// Weight counted for that value.
    pub have: u64,
    /// Weight needed.
    pub need: u64,
    /// Registered weight.
    pub total: u64,
    /// One per registered voter, in id order.
    pub segments: Vec<SegmentPicture>,
}

impl MeterPicture {
    /// What the meter says in words: `2 of 3 · needs 2`.
    pub fn text(&self) -> String {
        format!("{} of {} · needs {}", self.have, self.total, self.need)
    }

    /// Whether the threshold is reached.
    pub fn is_reached(&self) -> bool {
        self.need > 0 && self.have >= self.need
    }
}

/// A voter's part of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPicture {
    /// The voter.
    pub node: u16,
    /// Its registered weight.
    pub weight: u64,
    /// What is known of its vote.
    pub vote: VotePicture,
}

/// What is known of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VotePicture {
    /// Nothing yet.
    Awaiting,
    /// For this value.
    For(Hash32),
    /// For no value.
    Nil,
}

/// A value on the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChoicePicture {
    /// Its hash.
    pub value: Hash32,
    /// In which round it was proposed.
    pub round: u32,
    /// By whom, in id order.
    pub proposers: Vec<u16>,
    /// The number on the card.
    pub amount: u64,
    /// What distinguishes it.
    pub detail: String,
}

/// A named fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldText {
    /// The name.
    pub name: String,
    /// The value.
    pub text: String,
}

fn instance(view: &view::InstanceView) -> InstancePicture {
    InstancePicture {
        id: view.id,
        name: view.name.clone(),
        phase: view.phase,
        round: view.round.0,
        value: view.value,
        locked: view.locked.map(|(round, value)| (round.0, value)),
        signed: view.signed,
        meters: view.meters.iter().map(meter).collect(),
        choices: view.choices.iter().map(choice).collect(),
        fields: fields(&view.fields),
    }
}

fn meter(view: &view::Meter) -> MeterPicture {
    let segment = |segment: &view::Segment| SegmentPicture {
        node: segment.node.0,
        weight: segment.weight,
        vote: match segment.vote {
            SegmentVote::Awaiting => VotePicture::Awaiting,
            SegmentVote::For(value) => VotePicture::For(value),
            SegmentVote::Nil => VotePicture::Nil,
        },
    };
    MeterPicture {
        kind: view.kind,
        value: view.value,
        have: view.have,
        need: view.need,
        total: view.total,
        segments: view.segments.iter().map(segment).collect(),
    }
}

fn choice(view: &view::Choice) -> ChoicePicture {
    ChoicePicture {
        value: view.value,
        round: view.round.0,
        proposers: view.proposers.iter().map(|node| node.0).collect(),
        amount: view.amount,
        detail: view.detail.clone(),
    }
}

fn fields(view: &[view::Field]) -> Vec<FieldText> {
    view.iter()
        .map(|field| FieldText {
            name: field.name.to_string(),
            text: field.text.clone(),
        })
        .collect()
}
