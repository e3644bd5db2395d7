//! What is done to a cluster and when, drawn from a seed.
//!
//! The draws are a function of the seed alone; which node they hit also depends on which are at work at that moment, and
//! that is the machine's doing. Everything that is broken is mended again after a while, drawn as well.

use std::collections::BTreeMap;

use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::scenario::Link;
use phaselab_core::types::NodeId;

use crate::cluster::supervise::Life;
use crate::net::faults::Fault;

/// Something done to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// SIGKILL.
    Kill(NodeId),
    /// A killed node is started again.
    Restart(NodeId),
    /// SIGSTOP.
    Pause(NodeId),
    /// SIGCONT.
    Resume(NodeId),
    /// The network breaks, or heals.
    Break(Fault),
}

impl Deed {
    /// The word in reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Deed::Kill(_) => "kill",
            Deed::Restart(_) => "restart",
            Deed::Pause(_) => "pause",
            Deed::Resume(_) => "resume",
            Deed::Break(Fault::Partition { .. }) => "cut",
            Deed::Break(Fault::Link(_)) => "link",
            Deed::Break(Fault::Heal) => "heal",
        }
    }
}

/// The mean time between two deeds that break something, in milliseconds.
const PAUSE_MS: u64 = 450;
/// The longest time that a killed node stays away, a paused one paused, and a cut cut.
const DOWN_MS: u64 = 1_500;
const PAUSED_MS: u64 = 2_500;
const CUT_MS: u64 = 4_000;

/// Deeds to come.
#[derive(Debug)]
pub(super) struct Schedule {
    draws: Prng,
    nodes: Vec<NodeId>,
    /// When something is broken next.
    next_ms: u64,
    /// What is mended, by when; the number keeps those of one moment apart.
    mending: BTreeMap<(u64, u64), Deed>,
    count: u64,
}

impl Schedule {
    /// The schedule of a seed.
    pub(super) fn new(seed: u64, nodes: Vec<NodeId>) -> Schedule {
        Schedule {
            draws: Prng::new(seed, "chaos", 0, 0),
            nodes,
            next_ms: PAUSE_MS,
            mending: BTreeMap::new(),
            count: 0,
        }
    }

    /// When the next deed is due, in milliseconds since the beginning.
    pub(super) fn due_ms(&self) -> u64 {
        let mended = self.mending.keys().next().map(|(at, _)| *at);
        mended.map_or(self.next_ms, |at| at.min(self.next_ms))
    }

    /// The deed that is due; `None` if it finds nothing to break.
    pub(super) fn next(&mut self, life: impl Fn(NodeId) -> Life) -> Option<Deed> {
        let due = self.due_ms();
        if let Some(mended) = self.mending.first_entry()
            && mended.key().0 <= due
        {
            return Some(mended.remove());
        }
        self.next_ms = due + 1 + self.draws.below(2 * PAUSE_MS);
        let what = self.draws.below(20);
        let at_work: Vec<NodeId> = self
            .nodes
            .iter()
            .copied()
            .filter(|id| life(*id) == Life::Ready)
            .collect();
        let pick = self.draws.below(self.nodes.len() as u64) as usize;
        let node = at_work.get(pick % at_work.len().max(1)).copied();
        match what {
            0..=9 => self.kill(due, node?),
            10..=13 => {
                let node = node?;
                let again = due + 50 + self.draws.below(PAUSED_MS);
                self.mend(again, Deed::Resume(node));
                Some(Deed::Pause(node))
            }
            14..=16 => {
                let groups = self.groups();
                let again = due + 200 + self.draws.below(CUT_MS);
                self.mend(again, Deed::Break(Fault::Heal));
                Some(Deed::Break(Fault::Partition { groups }))
            }
            _ => {
                let low = self.draws.below(60);
                let link = Link {
                    from: self.end(),
                    to: self.end(),
                    latency_ms: Some([low, low + self.draws.below(200)]),
                    loss_permille: Some(self.draws.below(400) as u16),
                };
                Some(Deed::Break(Fault::Link(link)))
            }
        }
    }

    fn kill(&mut self, due: u64, node: NodeId) -> Option<Deed> {
        let again = due + 20 + self.draws.below(DOWN_MS);
        self.mend(again, Deed::Restart(node));
        Some(Deed::Kill(node))
    }

    /// A node that could not be started yet is started a moment later.
    pub(super) fn again(&mut self, deed: Deed) {
        let soon = self.due_ms() + 50;
        self.mend(soon, deed);
    }

    fn mend(&mut self, at_ms: u64, deed: Deed) {
        self.count += 1;
        self.mending.insert((at_ms, self.count), deed);
    }

    /// Two groups, neither of them empty.
    fn groups(&mut self) -> Vec<Vec<NodeId>> {
        let mut groups = vec![Vec::new(), Vec::new()];
        for node in &self.nodes {
            groups[self.draws.below(2) as usize].push(*node);
        }
        groups.retain(|group| !group.is_empty());
        groups
    }

    /// One end of a link: any node, or one.
    fn end(&mut self) -> Option<NodeId> {
        let pick = self.draws.below(self.nodes.len() as u64 + 1) as usize;
        self.nodes.get(pick).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_deeds_and_all_that_breaks_is_mended() {
        let ids: Vec<NodeId> = (1..=4).map(NodeId).collect();
        let deeds = |seed| {
            let mut schedule = Schedule::new(seed, ids.clone());
            let mut at = 0;
            let next = |_| {
                assert!(schedule.due_ms() >= at, "time goes on");
                at = schedule.due_ms();
                schedule.next(|_| Life::Ready)
            };
            (0..500).filter_map(next).collect::<Vec<Deed>>()
        };
        assert_eq!(deeds(7), deeds(7));
        assert_ne!(deeds(7), deeds(8));
        let counted = |name: &str| deeds(7).iter().filter(|deed| deed.name() == name).count();
        for (breaks, mends) in [("kill", "restart"), ("pause", "resume"), ("cut", "heal")] {
            let (broken, mended) = (counted(breaks), counted(mends));
            assert!(
                broken > 20 && broken.abs_diff(mended) < 6,
                "{breaks} {broken}, {mends} {mended}"
            );
        }
        assert!(counted("link") > 10);
    }

    #[test]
    fn who_is_not_at_work_is_left_alone() {
        let mut schedule = Schedule::new(7, (1..=4).map(NodeId).collect());
        for _ in 0..200 {
            let deed = schedule.next(|node| {
                if node == NodeId(3) {
                    Life::Ready
                } else {
                    Life::Paused
                }
            });
            if let Some(Deed::Kill(node) | Deed::Pause(node)) = deed {
                assert_eq!(node, NodeId(3));
            }
        }
    }
}
