//! What holds of a broken network, as data: which nodes reach each other, and how each link is.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use phaselab_core::scenario::Link;
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
        if self.cut {
            return Some("cut".to_owned());
        }
        let [low, high] = self.latency_ms;
        let late = match high {
            0 => None,
            _ if low == high => Some(format!("{low} ms late")),
            _ => Some(format!("{low} to {high} ms late")),
        };
        let lost = match self.loss_permille {
            0 => None,
            loss => Some(format!("{loss} of 1000 lost")),
        };
        match (late, lost) {
            (Some(late), Some(lost)) => Some(format!("{late}, {lost}")),
            (late, lost) => late.or(lost),
        }
    }
}

/// The faults that hold at a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) revision: u64,
    pub(super) groups: Option<Vec<Vec<NodeId>>>,
    /// The newest first.
    pub(super) links: Vec<Link>,
    pub(super) sent: BTreeMap<NodeId, u64>,
}

impl Rules {
    pub(super) fn of(faults: &[Fault]) -> Rules {
        let mut rules = Rules::default();
        faults.iter().for_each(|fault| rules.apply(fault.clone()));
        rules
    }

    pub(super) fn in_force(&self) -> Vec<Fault> {
        let groups = self.groups.clone();
        let cut = groups.map(|groups| Fault::Partition { groups });
        cut.into_iter()
            .chain(self.links.iter().rev().cloned().map(Fault::Link))
            .collect()
    }

    pub(super) fn apply(&mut self, fault: Fault) {
        match fault {
            Fault::Partition { groups } => self.groups = Some(groups),
            Fault::Heal => {
                self.groups = None;
                self.links.clear();
            }
            Fault::Link(link) => {
                // What the new word says, an older one of the same ends need not say any more.
                for old in &mut self.links {
                    if (old.from, old.to) == (link.from, link.to) {
                        old.latency_ms = old.latency_ms.filter(|_| link.latency_ms.is_none());
                        old.loss_permille =
                            old.loss_permille.filter(|_| link.loss_permille.is_none());
                    }
                }
                self.links.insert(0, link);
                self.links
                    .retain(|link| link.latency_ms.is_some() || link.loss_permille.is_some());
            }
        }
    }

    pub(super) fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        let Some(groups) = &self.groups else {
            return false;
        };
        let together = |group: &Vec<NodeId>| group.contains(&a) && group.contains(&b);
        !groups.iter().any(together)
    }

    pub(super) fn loss(&self, from: NodeId, to: NodeId) -> u16 {
        let words = self.links.iter().filter(|link| link.covers(from, to));
        words
            .filter_map(|link| link.loss_permille)
            .next()
            .unwrap_or(0)
    }

    pub(super) fn latency(&self, from: NodeId, to: NodeId) -> [u64; 2] {
        let words = self.links.iter().filter(|link| link.covers(from, to));
        words
            .filter_map(|link| link.latency_ms)
            .next()
            .unwrap_or([0, 0])
    }
}
