//! What is broken on purpose in a room: every tab and every node's thread knows the same state of it, on a channel.
//!
//! The words are those of scenarios: `crash`, `restart`, `partition`, `link`, `heal`. A node can also be paused, as by a
//! machine that stands still: it handles nothing, and all of it when it goes on.
//!
//! Whoever breaks something takes the state that it knows, changes it and tells everybody; of two states the newer one
//! holds. A tab that comes asks for it.

use phaselab_core::codec;
use phaselab_core::faults::{Fate, Faults};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::Act;
use phaselab_core::types::{Duration, NodeId};
use serde::{Deserialize, Serialize};

/// The most words on links that hold at once.
const WORDS_MAX: usize = 1_024;

/// The faults of a room that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomFaults {
    /// Microseconds of the clock at the last change; 0 if there was none.
    pub revision: u64,
    /// Of its network.
    pub network: Faults,
    /// Nodes that do not run, in order.
    pub down: Vec<NodeId>,
    /// Nodes that stand still, in order.
    pub paused: Vec<NodeId>,
}

/// Something that a person does to a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// In the words of scenarios.
    Act(Act),
    /// A node stands still.
    Pause(NodeId),
    /// And goes on.
    Resume(NodeId),
}

/// What stands on the channel of faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultFrame {
    /// A tab just came.
    Hello,
    /// What holds.
    State(RoomFaults),
}

impl FaultFrame {
    /// As it stands on the channel.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what came; `None` if it is none, or names nodes that do not exist.
    pub fn from_bytes(bytes: &[u8], nodes: u16) -> Option<FaultFrame> {
        let frame = codec::decode(bytes).ok()?;
        match &frame {
            FaultFrame::State(state) if !state.is_of(nodes) => None,
            _ => Some(frame),
        }
    }
}

impl RoomFaults {
    /// This state with another fault.
    ///
    /// # Errors
    /// What is impossible, and what was expected.
    pub fn with(
        &self,
        kind: ProtocolKind,
        nodes: u16,
        now_us: u64,
        fault: Fault,
    ) -> Result<RoomFaults, String> {
        let mut next = self.clone();
        next.revision = now_us.max(self.revision.saturating_add(1));
        match fault {
            Fault::Pause(node) => set(&mut next.paused, node, true),
            Fault::Resume(node) => set(&mut next.paused, node, false),
            Fault::Act(act) => {
                act.check(nodes, kind.spec())?;
                match act {
                    Act::Crash { node, .. } => {
                        set(&mut next.down, node, true);
                        // What starts again does not stand still.
                        set(&mut next.paused, node, false);
                    }
                    Act::Restart { node } => set(&mut next.down, node, false),
                    act => {
                        let name = act.name();
                        if !next.network.apply(act) {
                            return Err(format!(
                                "{name}: a live room takes crash, restart, partition, link and heal"
                            ));
                        }
                    }
                }
            }
        }
        if next.network.words() > WORDS_MAX {
            return Err(format!(
                "more than {WORDS_MAX} words on links; heal takes them back"
            ));
        }
        Ok(next)
    }

    /// Takes another state over if it is newer. Of two of the same moment all take the same one.
    pub fn learn(&mut self, other: RoomFaults) -> bool {
        let rank = |state: &RoomFaults| (state.revision, codec::encode(state));
        let is_newer = rank(&other) > rank(self);
        if is_newer {
            *self = other;
        }
        is_newer
    }

    /// Whether nothing is broken.
    pub fn is_whole(&self) -> bool {
        self.network.is_whole() && self.down.is_empty() && self.paused.is_empty()
    }

    /// Whether a node does not run.
    pub fn is_down(&self, node: u16) -> bool {
        self.down.contains(&NodeId(node))
    }

    /// Whether a node stands still.
    pub fn is_paused(&self, node: u16) -> bool {
        self.paused.contains(&NodeId(node))
    }

    fn is_of(&self, nodes: u16) -> bool {
        let is_member = |node: &NodeId| (1..=nodes).contains(&node.0);
        self.network.words() <= WORDS_MAX && self.down.iter().chain(&self.paused).all(is_member)
    }
}

fn set(list: &mut Vec<NodeId>, node: NodeId, on: bool) {
    list.retain(|known| *known != node);
    if on {
        list.insert(list.partition_point(|known| *known < node), node);
    }
}

/// Where a packet goes: at once to some, later to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// To these, or to all if there are none; `None` if to nobody.
    pub now: Option<Vec<NodeId>>,
    /// To each of these after a while.
    pub late: Vec<(NodeId, Duration)>,
}

/// A node's own network: what it knows is broken, and what it has sent.
#[derive(Clone, Debug)]
pub struct Broken {
    own: NodeId,
    others: Vec<NodeId>,
    seed: u64,
    /// Packets per member, in the order of `others`.
    sent: Vec<u64>,
    /// What holds.
    pub faults: RoomFaults,
}

impl Broken {
    /// A network that is whole. `seed` is the node's own.
    pub fn new(own: NodeId, members: impl Iterator<Item = NodeId>, seed: u64) -> Broken {
        let others: Vec<NodeId> = members.filter(|member| *member != own).collect();
        Broken {
            own,
            sent: vec![0; others.len()],
            others,
            seed,
            faults: RoomFaults::default(),
        }
    }

    /// Where a packet to these members goes; none means all.
    pub fn ways(&mut self, to: Vec<NodeId>) -> Ways {
        if self.faults.network.is_whole() {
            return Ways {
                now: Some(to),
                late: Vec::new(),
            };
        }
        let mut ways = Ways::default();
        let mut now = Vec::new();
        for (other, sent) in self.others.iter().zip(&mut self.sent) {
            if !to.is_empty() && !to.contains(other) {
                continue;
            }
            *sent += 1;
            let network = &self.faults.network;
            match network.fate(self.seed, self.own, *other, *sent) {
                Fate::Passes => now.push(*other),
                Fate::Late(by) => ways.late.push((*other, by)),
                Fate::Lost => {}
            }
        }
        ways.now = (!now.is_empty()).then_some(now);
        ways
    }

    /// Whether nothing of a member may be heard.
    pub fn is_deaf_to(&self, from: NodeId) -> bool {
        self.faults.network.passes_nothing(from, self.own)
    }

    /// Whether nothing may be said to a member.
    pub fn is_mute_to(&self, to: NodeId) -> bool {
        self.faults.network.passes_nothing(self.own, to)
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario::{CrashPoint, Link};

    use super::*;

    const KIND: ProtocolKind = ProtocolKind::TwoPhase;

    fn with(state: &RoomFaults, fault: Fault) -> RoomFaults {
        state.with(KIND, 3, 0, fault).unwrap()
    }

    fn cut(from: u16, to: u16) -> Fault {
        Fault::Act(Act::Link(Link {
            from: Some(NodeId(from)),
            to: Some(NodeId(to)),
            latency_ms: None,
            loss_permille: Some(1_000),
        }))
    }

    fn crash(node: u16) -> Fault {
        Fault::Act(Act::Crash {
            node: NodeId(node),
            when: CrashPoint::default(),
        })
    }

    #[test]
    fn nodes_crash_stand_still_and_come_back() {
        let state = with(&RoomFaults::default(), Fault::Pause(NodeId(2)));
        assert!(state.is_paused(2) && !state.is_whole());
        let state = with(&state, crash(2));
        assert!(state.is_down(2) && !state.is_paused(2));
        let restart = Fault::Act(Act::Restart { node: NodeId(2) });
        assert!(with(&state, restart).is_whole());
        let resumed = with(
            &with(&state, Fault::Pause(NodeId(1))),
            Fault::Resume(NodeId(1)),
        );
        assert_eq!(resumed.paused, []);
    }

    #[test]
    fn what_is_impossible_is_refused_in_words() {
        let refused = |fault| RoomFaults::default().with(KIND, 3, 0, fault).unwrap_err();
        assert!(refused(crash(4)).contains("node 4 does not exist; expected 1 to 3"));
        let lie = Act::Byzantine {
            node: NodeId(1),
            behaviour: phaselab_core::scenario::Behaviour::Mute,
        };
        assert!(refused(Fault::Act(lie)).contains("byzantine: a live room takes crash"));
    }

    #[test]
    fn the_newest_state_holds_everywhere_whatever_comes_first() {
        let whole = RoomFaults::default();
        let one = with(&whole, cut(1, 2));
        let two = with(&one, crash(3));
        let three = whole.with(KIND, 3, two.revision, crash(1)).unwrap();
        let mut orders = Vec::new();
        for order in [
            [&one, &two, &three],
            [&three, &two, &one],
            [&two, &one, &three],
        ] {
            let mut state = whole.clone();
            for told in order {
                state.learn(told.clone());
            }
            assert!(!state.learn(one.clone()), "old news");
            orders.push(state);
        }
        assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(orders[0] == two || orders[0] == three);
    }

    #[test]
    fn frames_come_back_and_junk_does_not() {
        let state = with(&RoomFaults::default(), crash(3));
        for frame in [FaultFrame::Hello, FaultFrame::State(state.clone())] {
            let bytes = frame.to_bytes();
            assert_eq!(FaultFrame::from_bytes(&bytes, 3), Some(frame));
        }
        let bytes = FaultFrame::State(state).to_bytes();
        assert_eq!(FaultFrame::from_bytes(&bytes, 2), None, "of a larger room");
        assert_eq!(FaultFrame::from_bytes(&[9, 9, 9], 3), None);
    }

    #[test]
    fn a_packet_goes_where_nothing_is_broken() {
        let members = || [1, 2, 3].into_iter().map(NodeId);
        let mut broken = Broken::new(NodeId(1), members(), 7);
        let all = Ways {
            now: Some(Vec::new()),
            late: Vec::new(),
        };
        assert_eq!(broken.ways(Vec::new()), all);
        broken.faults = with(&broken.faults, cut(1, 2));
        assert_eq!(broken.ways(Vec::new()).now, Some(vec![NodeId(3)]));
        assert_eq!(broken.ways(vec![NodeId(2)]), Ways::default());
        assert!(broken.is_mute_to(NodeId(2)) && !broken.is_deaf_to(NodeId(2)));
        broken.faults = with(&broken.faults, cut(2, 1));
        assert!(broken.is_deaf_to(NodeId(2)), "one end is enough");
        let late = Fault::Act(Act::Link(Link {
            from: Some(NodeId(1)),
            to: Some(NodeId(3)),
            latency_ms: Some([800, 800]),
            loss_permille: None,
        }));
        broken.faults = with(&broken.faults, late);
        let ways = broken.ways(Vec::new());
        assert_eq!(ways.now, None);
        assert_eq!(ways.late, [(NodeId(3), Duration::from_ms(800))]);
    }
}
