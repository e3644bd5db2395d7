//! What is broken on purpose in a network that runs: as data, with the words of scenarios and what they mean there.
//!
//! `partition` cuts the network into groups, and a node in no group is alone; `link` changes the loss and the latency of
//! one direction, and the newest word on a link wins; `heal` takes all of it back. What becomes of a packet is drawn per
//! packet, as in the simulator: with a range of latencies a packet overtakes those that left before it.
//!
//! Loss and latency are the sender's, or they would count twice. What never passes may be refused at both ends, so that
//! one end that knows of it is enough.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use serde::{Deserialize, Serialize};

use crate::entropy::{Purpose, draw, scale};
use crate::scenario::{Act, Link};
use crate::types::{Duration, NodeId};

/// Of a thousand: all.
const ALL_PERMILLE: u16 = 1_000;

/// The faults of a network that hold now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    groups: Option<Vec<Vec<NodeId>>>,
    /// The newest first.
    links: Vec<Link>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Passes,
    /// It never does.
    Lost,
    /// It arrives later.
    Late(Duration),
}

impl Faults {
    /// Breaks or heals; returns whether the act is one of a network.
    pub fn apply(&mut self, act: Act) -> bool {
        match act {
            Act::Partition { groups } => self.groups = Some(groups),
            Act::Heal => *self = Faults::default(),
            Act::Link(link) => self.word(link),
            _ => return false,
        }
        true
    }

    fn word(&mut self, link: Link) {
        // What the new word says, an older one of the same ends need not say any more.
        for old in &mut self.links {
            if (old.from, old.to) == (link.from, link.to) {
                old.latency_ms = old.latency_ms.filter(|_| link.latency_ms.is_none());
                old.loss_permille = old.loss_permille.filter(|_| link.loss_permille.is_none());
            }
        }
        self.links.insert(0, link);
        self.links
            .retain(|link| link.latency_ms.is_some() || link.loss_permille.is_some());
        // The oldest word says nothing if it says what holds anyway.
        while self.links.last().is_some_and(is_whole) {
            self.links.pop();
        }
    }

    /// What holds, as acts that make it again, in their order.
    pub fn acts(&self) -> Vec<Act> {
        let cut = self.groups.clone().map(|groups| Act::Partition { groups });
        let links = self.links.iter().rev().cloned().map(Act::Link);
        cut.into_iter().chain(links).collect()
    }

    /// How many words on links there are.
    pub fn words(&self) -> usize {
        self.links.len()
    }

    /// Whether nothing is broken.
    pub fn is_whole(&self) -> bool {
        self.groups.is_none() && self.links.is_empty()
    }

    /// Whether a partition stands between two nodes.
    pub fn is_cut(&self, a: NodeId, b: NodeId) -> bool {
        let together = |group: &Vec<NodeId>| group.contains(&a) && group.contains(&b);
        self.groups
            .as_ref()
            .is_some_and(|groups| !groups.iter().any(together))
    }

    /// Packets of a thousand that are lost in one direction.
    pub fn loss_permille(&self, from: NodeId, to: NodeId) -> u16 {
        let mut words = self.links.iter().filter(|link| link.covers(from, to));
        words.find_map(|link| link.loss_permille).unwrap_or(0)
    }

    /// By how many milliseconds packets are late in one direction, from and to.
    pub fn latency_ms(&self, from: NodeId, to: NodeId) -> [u64; 2] {
        let mut words = self.links.iter().filter(|link| link.covers(from, to));
        words.find_map(|link| link.latency_ms).unwrap_or([0, 0])
    }

    /// Whether nothing passes in one direction.
    pub fn passes_nothing(&self, from: NodeId, to: NodeId) -> bool {
        self.is_cut(from, to) || self.loss_permille(from, to) >= ALL_PERMILLE
    }

    /// What becomes of the packet with this number that goes from one node to another.
    pub fn fate(&self, seed: u64, from: NodeId, to: NodeId, number: u64) -> Fate {
        if self.passes_nothing(from, to) {
            return Fate::Lost;
        }
        let link = u64::from(from.0) << 16 | u64::from(to.0);
        let drawn = |purpose, below| scale(draw(seed, purpose, link, number), below);
        let all = u64::from(ALL_PERMILLE);
        if drawn(Purpose::Loss, all) < u64::from(self.loss_permille(from, to)) {
            return Fate::Lost;
        }
        let [low, high] = self.latency_ms(from, to);
        let span_us = high.saturating_sub(low).saturating_mul(1_000);
        let late_us = low.saturating_mul(1_000) + drawn(Purpose::Latency, span_us + 1);
        match late_us {
            0 => Fate::Passes,
            _ => Fate::Late(Duration::from_us(late_us)),
        }
    }

    /// What is wrong in one direction: `cut`, or `50 to 80 ms late, 100 of 1000 lost`; `None` if nothing is.
    pub fn in_words(&self, from: NodeId, to: NodeId) -> Option<String> {
        in_words(
            self.passes_nothing(from, to),
            self.latency_ms(from, to),
            self.loss_permille(from, to),
        )
    }
}

/// `cut`, or `50 to 80 ms late, 100 of 1000 lost`; `None` of a link that is whole.
pub fn in_words(is_cut: bool, latency_ms: [u64; 2], loss_permille: u16) -> Option<String> {
    if is_cut {
        return Some("cut".into());
    }
    let mut words = vec![];
    match latency_ms {
        [_, 0] => {}
        [low, high] if low == high => words.push(format!("{low} ms late")),
        [low, high] => words.push(format!("{low} to {high} ms late")),
    }
    match loss_permille {
        0 => {}
        loss => words.push(format!("{loss} of 1000 lost")),
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn is_whole(link: &Link) -> bool {
    link.latency_ms.is_none_or(|[_, high]| high == 0)
        && link.loss_permille.is_none_or(|loss| loss == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 7;

    fn node(id: u16) -> NodeId {
        NodeId(id)
    }

    fn link(from: Option<u16>, to: Option<u16>, late: Option<[u64; 2]>, loss: Option<u16>) -> Act {
        Act::Link(Link {
            from: from.map(NodeId),
            to: to.map(NodeId),
            latency_ms: late,
            loss_permille: loss,
        })
    }

    #[test]
    fn a_partition_cuts_both_ways_a_node_in_no_group_is_alone_and_heal_takes_it_back() {
        let mut faults = Faults::default();
        let groups = vec![vec![node(1), node(3)]];
        assert!(faults.apply(Act::Partition { groups }));
        for (a, b, cut) in [(1, 2, true), (2, 1, true), (1, 3, false), (2, 4, true)] {
            assert_eq!(faults.is_cut(node(a), node(b)), cut, "{a} and {b}");
        }
        assert_eq!(faults.fate(SEED, node(1), node(2), 1), Fate::Lost);
        assert_eq!(faults.in_words(node(1), node(2)).as_deref(), Some("cut"));
        assert!(faults.apply(Act::Heal) && faults.is_whole());
        assert!(
            !faults.apply(Act::Restart { node: node(1) }),
            "not of a network"
        );
    }

    #[test]
    fn the_newest_word_wins_one_direction_is_meant_and_words_do_not_pile_up() {
        let mut faults = Faults::default();
        faults.apply(link(None, None, Some([50, 80]), None));
        faults.apply(link(Some(1), Some(2), None, Some(1_000)));
        assert_eq!(faults.fate(SEED, node(1), node(2), 1), Fate::Lost);
        for number in 0..100 {
            let Fate::Late(late) = faults.fate(SEED, node(2), node(1), number) else {
                panic!("every packet is late");
            };
            assert!((50..=80).contains(&late.as_ms()), "{late:?}");
        }
        faults.apply(link(Some(1), Some(2), None, Some(250)));
        let words = faults.in_words(node(1), node(2));
        assert_eq!(words.as_deref(), Some("50 to 80 ms late, 250 of 1000 lost"));
        assert_eq!(faults.words(), 2);
        faults.apply(link(Some(1), Some(2), Some([0, 0]), Some(0)));
        assert_eq!(faults.in_words(node(1), node(2)), None);
        assert_eq!(
            faults.in_words(node(2), node(1)).as_deref(),
            Some("50 to 80 ms late")
        );
        let mut mended = Faults::default();
        mended.apply(link(Some(1), Some(2), None, Some(1_000)));
        mended.apply(link(Some(1), Some(2), Some([0, 0]), Some(0)));
        assert!(
            mended.is_whole(),
            "a word that changes nothing is forgotten"
        );
    }

    #[test]
    fn a_share_of_packets_is_lost() {
        let mut faults = Faults::default();
        faults.apply(link(Some(1), Some(2), None, Some(500)));
        let lost =
            (0..1_000).filter(|number| faults.fate(SEED, node(1), node(2), *number) == Fate::Lost);
        assert!((400..600).contains(&lost.count()));
    }
}
