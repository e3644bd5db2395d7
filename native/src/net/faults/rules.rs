//! What holds of a broken network, as nodes tell one another and the control API: the keys of scenarios, and a revision.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use phaselab_core::faults::{self, Faults};
use phaselab_core::scenario::{Act, Link};
use phaselab_core::types::NodeId;
use serde::{Deserialize, Serialize};

/// A fault that holds, with the keys of a scenario's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Fault {
    /// Only nodes of one group reach each other.
    Partition {
        /// The groups.
        groups: Vec<Vec<NodeId>>,
    },
    /// Nothing is broken any more.
    Heal,
    /// One direction of a link is worse; an absent end means every node.
    Link(Link),
}

impl Fault {
    /// The fault of an act; `None` if it is not one of a network.
    pub(super) fn of(act: Act) -> Option<Fault> {
        match act {
            Act::Partition { groups } => Some(Fault::Partition { groups }),
            Act::Heal => Some(Fault::Heal),
            Act::Link(link) => Some(Fault::Link(link)),
            _ => None,
        }
    }
}

/// All faults that hold, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultState {
    /// Microseconds of the system's clock at the last change; 0 if there was none.
    pub(crate) revision: u64,
    /// In an order in which they can be applied again.
    pub(crate) faults: Vec<Fault>,
}

impl FaultState {
    /// This state with another fault, or healed, now.
    pub(crate) fn with(&self, fault: &Fault) -> FaultState {
        let mut rules = Rules::of(&self.faults);
        rules.apply(fault.clone());
        FaultState {
            revision: next_revision(self.revision),
            faults: rules.in_force(),
        }
    }
}

/// Later than any that the clock gave before.
pub(super) fn next_revision(last: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
    now.max(last.saturating_add(1))
}

/// How the link to a peer is broken, as far as this node sees to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LinkFaults {
    /// Nothing passes, in either direction.
    pub(crate) cut: bool,
    /// Packets of a thousand to the peer that are lost.
    pub(crate) loss_permille: u16,
    /// By how many milliseconds packets to the peer are late, from and to.
    pub(crate) latency_ms: [u64; 2],
    /// Packets that this node lost on purpose since it started, in both directions.
    pub(crate) lost: u64,
}

impl LinkFaults {
    /// `cut`, or `50 to 80 ms late, 100 of 1000 lost`; `None` of a link that is whole.
    pub(crate) fn in_words(&self) -> Option<String> {
        faults::in_words(self.cut, self.latency_ms, self.loss_permille)
    }
}

/// The faults that hold at a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) revision: u64,
    pub(super) faults: Faults,
    pub(super) sent: BTreeMap<NodeId, u64>,
}

impl Rules {
    pub(super) fn of(faults: &[Fault]) -> Rules {
        let mut rules = Rules::default();
        faults.iter().for_each(|fault| rules.apply(fault.clone()));
        rules
    }

    pub(super) fn in_force(&self) -> Vec<Fault> {
        let acts = self.faults.acts().into_iter();
        acts.filter_map(Fault::of).collect()
    }

    pub(super) fn apply(&mut self, fault: Fault) {
        self.faults.apply(match fault {
            Fault::Partition { groups } => Act::Partition { groups },
            Fault::Heal => Act::Heal,
            Fault::Link(link) => Act::Link(link),
        });
    }
}
