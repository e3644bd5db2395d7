//! What nodes tell observers on the lossy channel: their whole picture each time, and what happened since.

use phaselab_core::event::{Event, EventKind};
use phaselab_core::types::{Hash32, InstanceId, NodeId, Round};
use serde::{Deserialize, Serialize};

use crate::scene::NodePicture;

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
