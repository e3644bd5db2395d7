//! Drawing scenarios: a safety phase in which anything in the fault model fails, then a liveness phase in which it must
//! all come to an end.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use crate::entropy::{Purpose, draw, scale};
use crate::scenario::{Act, CrashPoint, Scenario, Selector};
use crate::types::NodeId;

/// When the faults end, in virtual milliseconds: the network heals and every node runs.
pub const FAULTS_END_MS: u64 = 60_000;

/// The draws of one scenario.
#[derive(Clone, Debug)]
pub struct Draws {
    seed: u64,
    count: u64,
    /// When something begins that faults may hit, in virtual milliseconds.
    busy: Vec<u64>,
}

impl Draws {
    /// The draws of a seed.
    pub fn new(seed: u64) -> Draws {
        Draws {
            seed,
            count: 0,
            busy: Vec::new(),
        }
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If there is none.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "{low} to {high} is empty");
        self.count += 1;
        low + scale(
            draw(self.seed, Purpose::Swarm, 0, self.count),
            high - low + 1,
        )
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.between(1, n) == 1
    }

    /// Notes that something begins then: a fault that hits nothing teaches nothing.
    pub fn busy_at(&mut self, ms: u64) {
        self.busy.push(ms);
    }

    /// When a fault happens: half of the time soon after something began.
    pub fn moment(&mut self) -> u64 {
        if self.one_in(2) {
            return self.between(1, FAULTS_END_MS - 1);
        }
        let span = if self.one_in(2) { 500 } else { 10_000 };
        self.soon_after_a_beginning(span)
    }

    /// At most `span` milliseconds after something began.
    pub fn soon_after_a_beginning(&mut self, span: u64) -> u64 {
        let Some(last) = self.busy.len().checked_sub(1) else {
            return self.between(1, FAULTS_END_MS - 1);
        };
        let place = self.between(0, last as u64) as usize;
        let begun = self.busy[place];
        (begun + self.between(0, span)).clamp(1, FAULTS_END_MS - 1)
    }

    /// At least one node, each with equal chance.
    pub fn some_nodes(&mut self, nodes: u16) -> Vec<NodeId> {
        let sure = NodeId(self.between(1, u64::from(nodes)) as u16);
        (1..=nodes)
            .map(NodeId)
            .filter(|node| *node == sure || self.one_in(2))
            .collect()
    }

    /// A network that loses, doubles, delays, reorders and bends messages, and a disk that takes its time.
    pub fn network(&mut self, scenario: &mut Scenario) {
        scenario.crypto = crate::crypto::Crypto::Simulated;
        let network = &mut scenario.network;
        let low = self.between(1, 50);
        network.latency_ms = [low, low + self.between(0, 400)];
        network.loss_permille = if self.one_in(3) {
            0
        } else {
            self.between(0, 300) as u16
        };
        network.duplicate_permille = if self.one_in(2) {
            0
        } else {
            self.between(0, 200) as u16
        };
        network.delay_permille = if self.one_in(2) {
            0
        } else {
            self.between(0, 200) as u16
        };
        network.delay_ms = [500, self.between(1_000, 20_000)];
        network.corrupt_permille = if self.one_in(3) {
            self.between(0, 50) as u16
        } else {
            0
        };
        if self.one_in(2) {
            scenario.disk.latency_us = [self.between(0, 1_000), self.between(1_000, 30_000)];
        }
        scenario.at_ms(FAULTS_END_MS, Act::Heal);
    }

    /// Crashes at every point of a step, skewed clocks, failing disks; every node runs when the faults end.
    pub fn crashes(&mut self, scenario: &mut Scenario) {
        let nodes = scenario.nodes;
        for _ in 0..self.between(0, 3 * u64::from(nodes)) {
            let node = NodeId(self.between(1, u64::from(nodes)) as u16);
            let at_ms = self.moment();
            let points = [
                CrashPoint::BetweenSteps,
                CrashPoint::BeforeHandling,
                CrashPoint::AfterPersist,
            ];
            let when = points[self.between(0, 2) as usize];
            scenario.at_ms(at_ms, Act::Crash { node, when });
            if !self.one_in(4) {
                let back_ms = self.between(at_ms, (at_ms + 20_000).min(FAULTS_END_MS));
                scenario.at_ms(back_ms, Act::Restart { node });
            }
        }
        for node in (1..=nodes).map(NodeId) {
            if self.one_in(6) {
                let rate_permille = self.between(500, 2_000) as u32;
                scenario.at_ms(
                    0,
                    Act::Skew {
                        node,
                        rate_permille,
                    },
                );
            }
            if self.one_in(10) {
                let at_ms = self.moment();
                scenario.at_ms(
                    at_ms,
                    Act::Disk {
                        node,
                        fault: crate::scenario::DiskFault::Fail,
                    },
                );
            }
            scenario.at_ms(FAULTS_END_MS, Act::Restart { node });
        }
    }

    /// Takes nodes down for good.
    pub fn leave_down(&mut self, scenario: &mut Scenario, nodes: &[NodeId], from_ms: u64) {
        scenario.interventions.retain(|intervention| {
            !matches!(intervention.act, Act::Restart { node } if nodes.contains(&node))
        });
        for node in nodes.iter().copied() {
            let at_ms = self.between(from_ms, FAULTS_END_MS - 1);
            let when = CrashPoint::BetweenSteps;
            scenario.at_ms(at_ms, Act::Crash { node, when });
        }
    }

    /// Cuts through the network, links that lose in one direction, and messages that are caught, some of them by kind.
    pub fn partitions(&mut self, scenario: &mut Scenario, kinds: &[&str]) {
        let nodes = scenario.nodes;
        for _ in 0..self.between(0, 4) {
            let at_ms = self.moment();
            let parts = self.between(2, 3);
            let mut groups: Vec<Vec<NodeId>> = (0..parts).map(|_| Vec::new()).collect();
            for node in (1..=nodes).map(NodeId) {
                let part = self.between(0, parts - 1) as usize;
                groups[part].push(node);
            }
            scenario.at_ms(at_ms, Act::Partition { groups });
            if self.one_in(2) {
                // Healing also ends loss and delay: from here on the network is kind, and only crashes go on.
                scenario.at_ms(self.between(at_ms, FAULTS_END_MS), Act::Heal);
            }
        }
        for _ in 0..self.between(0, 6) {
            let from = Some(NodeId(self.between(1, u64::from(nodes)) as u16));
            let to = self
                .one_in(2)
                .then(|| NodeId(self.between(1, u64::from(nodes)) as u16));
            let nth = self.one_in(4).then(|| self.between(1, 10) as u32);
            let kind = (!kinds.is_empty() && self.one_in(2))
                .then(|| kinds[self.between(0, kinds.len() as u64 - 1) as usize].to_owned());
            let select = Selector {
                from,
                to,
                nth,
                kind,
                ..Selector::default()
            };
            let act = match self.between(0, 4) {
                0 | 1 => Act::Drop(select),
                2 => Act::Delay {
                    select,
                    by_ms: self.between(100, 20_000),
                },
                3 => Act::Duplicate(select),
                _ => Act::Corrupt(select),
            };
            scenario.at_ms(self.moment(), act);
        }
    }
}
