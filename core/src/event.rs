//! What observers are told. Nothing in a protocol reads events, and no event enters state.

use serde::{Deserialize, Serialize};

use crate::types::{Hash32, InstanceId, NodeId, Round};

/// How much observers want to hear. Each level includes those before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing; costs nothing.
    None,
    /// Decisions, signatures, abandonment, evidence, crashes.
    Decisions,
    /// And phases, locks, quorums, votes, recoveries.
    #[default]
    Protocol,
    /// And every message and timer.
    Full,
}

/// One significant thing that happened in a step of a node. Fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which instance; `None` for the node as a whole.
    pub instance: Option<InstanceId>,
    /// In which round.
    pub round: Round,
    /// About which value.
    pub value: Option<Hash32>,
    /// With which other node.
    pub peer: Option<NodeId>,
    /// A count or weight that was reached; of an entry of a log, its place; 0 where there is none.
    pub have: u64,
    /// What was needed; 0 where there is none.
    pub need: u64,
    /// Out of how much; 0 where there is none.
    pub total: u64,
}

impl Event {
    /// An event of an instance in a round, with nothing else known.
    pub fn new(kind: EventKind, instance: Option<InstanceId>, round: Round) -> Event {
        Event {
            kind,
            instance,
            round,
            value: None,
            peer: None,
            have: 0,
            need: 0,
            total: 0,
        }
    }

    /// With the value that it is about.
    pub fn value(mut self, value: Option<Hash32>) -> Event {
        self.value = value;
        self
    }

    /// With the other node.
    pub fn peer(mut self, peer: NodeId) -> Event {
        self.peer = Some(peer);
        self
    }

    /// With a count towards a threshold.
    pub fn count(mut self, have: u64, need: u64, total: u64) -> Event {
        (self.have, self.need, self.total) = (have, need, total);
        self
    }
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// The instance entered the phase with this index in the protocol's `Spec`.
    PhaseEntered(u8),
    /// A round began.
    RoundEntered,
    /// A value was proposed by this node.
    Proposed,
    /// A vote was counted on the meter with this index.
    VoteCounted(u8),
    /// The meter with this index reached its threshold.
    QuorumReached(u8),
    /// The node locked the value.
    Locked,
    /// The node signed the value.
    Signed,
    /// The instance was decided here.
    Decided,
    /// This node withdrew from the instance.
    Withdrew,
    /// The instance was abandoned, with proof.
    Abandoned,
    /// The node moved straight to a decision by a certificate.
    FastForwarded,
    /// A member contradicted itself, and there is proof.
    Evidence,
    /// Validation put a step off, or refused it.
    Deferred,
    /// The node came back and found this phase in its store.
    Recovered,
    /// Bytes or a message were refused.
    Refused,
    /// A message with this kind left the node.
    MessageSent(u8),
    /// A message with this kind was handed to the node.
    MessageDelivered(u8),
    /// A message with this kind was lost on its way.
    MessageDropped(u8),
    /// A timer fired.
    TimerFired,
    /// The node stopped: a fault.
    Crashed,
    /// The node starts again.
    Restarted,
    /// The network was cut: a fault.
    Partitioned,
    /// The network was healed.
    Healed,
    /// Another fault was injected.
    FaultInjected,
    /// This node came to lead its group.
    Elected,
    /// The node answers with another value than before.
    Preferred,
}

impl EventKind {
    /// The meter whose quorum it rests on, by index: locks rest on the first, decisions on the second.
    pub(crate) fn meter(self) -> Option<u8> {
        match self {
            EventKind::VoteCounted(meter) | EventKind::QuorumReached(meter) => Some(meter),
            EventKind::Locked => Some(0),
            EventKind::Decided => Some(1),
            _ => None,
        }
    }

    /// Whether an instance has ended with it, at the node where it happened.
    pub fn is_end(self) -> bool {
        matches!(
            self,
            EventKind::Decided | EventKind::FastForwarded | EventKind::Abandoned
        )
    }

    /// Whether only observers of [`Level::Full`] hear of it.
    pub fn is_of_full_level(self) -> bool {
        matches!(
            self,
            EventKind::MessageSent(_)
                | EventKind::MessageDelivered(_)
                | EventKind::MessageDropped(_)
                | EventKind::TimerFired
        )
    }
}

/// A fact of the run that outlives event levels: what the oracle and reports are built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// What became true at this node.
    pub kind: RecordKind,
    /// For which instance.
    pub instance: InstanceId,
    /// With which value; `None` when the instance ends without one.
    pub value: Option<Hash32>,
    /// In which round.
    pub round: Round,
}

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RecordKind {
    /// The node holds a proof that the value is decided.
    Decided,
    /// The node put its signature under the value.
    Signed,
    /// The node saw the decision take effect.
    Completed,
    /// The node holds a proof that the instance ends without a value.
    Abandoned,
    /// The node withdrew.
    Withdrew,
}
