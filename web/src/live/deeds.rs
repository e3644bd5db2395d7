//! What people do to a live room, in the words of scenarios, and what is in force because of it.

use phaselab_core::scenario::{Act, CrashPoint, Link};
use phaselab_core::types::NodeId;
use phaselab_wasm::live::faults::{Fault, RoomFaults};

/// How late a slow link is, in milliseconds.
pub const LATE_MS: u64 = 1_000;

/// How many packets of a thousand a bad link loses.
pub const LOST_PERMILLE: u16 = 500;

/// How a link is, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Everything passes.
    Whole,
    /// Everything passes, late.
    Late,
    /// Half passes.
    Lossy,
    /// Nothing passes.
    Cut,
}

/// What a person does to a live room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A node stops.
    Crash(u16),
    /// A node starts from its store.
    Restart(u16),
    /// A node stands still.
    Pause(u16),
    /// A node goes on.
    Resume(u16),
    /// The link between two nodes becomes so.
    Link(u16, u16, LinkState),
    /// Every link of a node is cut; or whole, if they were.
    Isolate(u16),
    /// Every link is whole.
    Heal,
}

impl Deed {
    /// In the words of scenarios, in order.
    pub fn faults(self, room: &RoomFaults, nodes: u16) -> Vec<Fault> {
        match self {
            Deed::Crash(node) => vec![Fault::Act(Act::Crash {
                node: NodeId(node),
                when: CrashPoint::default(),
            })],
            Deed::Restart(node) => vec![Fault::Act(Act::Restart { node: NodeId(node) })],
            Deed::Pause(node) => vec![Fault::Pause(NodeId(node))],
            Deed::Resume(node) => vec![Fault::Resume(NodeId(node))],
            Deed::Link(a, b, state) => link(a, b, state).into(),
            Deed::Isolate(node) => {
                let state = match is_isolated(room, node, nodes) {
                    true => LinkState::Whole,
                    false => LinkState::Cut,
                };
                let others = (1..=nodes).filter(|other| *other != node);
                others.flat_map(|other| link(node, other, state)).collect()
            }
            Deed::Heal => vec![Fault::Act(Act::Heal)],
        }
    }
}

fn link(a: u16, b: u16, state: LinkState) -> [Fault; 2] {
    let late = if state == LinkState::Late { LATE_MS } else { 0 };
    let lost = match state {
        LinkState::Cut => 1_000,
        LinkState::Lossy => LOST_PERMILLE,
        LinkState::Whole | LinkState::Late => 0,
    };
    [(a, b), (b, a)].map(|(from, to)| {
        Fault::Act(Act::Link(Link {
            from: Some(NodeId(from)),
            to: Some(NodeId(to)),
            latency_ms: Some([late, late]),
            loss_permille: Some(lost),
        }))
    })
}

/// How the link between two nodes is: as its worse direction.
pub fn link_state(room: &RoomFaults, a: u16, b: u16) -> LinkState {
    let (a, b) = (NodeId(a), NodeId(b));
    let network = &room.network;
    let any = |is: &dyn Fn(NodeId, NodeId) -> bool| is(a, b) || is(b, a);
    if any(&|from, to| network.passes_nothing(from, to)) {
        LinkState::Cut
    } else if any(&|from, to| network.loss_permille(from, to) > 0) {
        LinkState::Lossy
    } else if any(&|from, to| network.latency_ms(from, to)[1] > 0) {
        LinkState::Late
    } else {
        LinkState::Whole
    }
}

/// Whether every link of a node is cut.
pub fn is_isolated(room: &RoomFaults, node: u16, nodes: u16) -> bool {
    let mut others = (1..=nodes).filter(|other| *other != node);
    nodes > 1 && others.all(|other| link_state(room, node, other) == LinkState::Cut)
}

/// What is in force, a sentence each.
pub fn in_force(room: &RoomFaults, nodes: u16) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for node in &room.down {
        told.push(format!("Node {} is crashed.", node.0));
    }
    for node in &room.paused {
        told.push(format!("Node {} is paused.", node.0));
    }
    for a in 1..=nodes {
        for b in a + 1..=nodes {
            let words = |from, to| room.network.in_words(NodeId(from), NodeId(to));
            match (words(a, b), words(b, a)) {
                (there, back) if there == back => {
                    told.extend(there.map(|words| format!("Link {a} – {b}: {words}.")));
                }
                (there, back) => {
                    told.extend(there.map(|words| format!("From node {a} to {b}: {words}.")));
                    told.extend(back.map(|words| format!("From node {b} to {a}: {words}.")));
                }
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use phaselab_core::protocol::ProtocolKind;

    use super::*;

    fn after(deeds: &[Deed]) -> RoomFaults {
        let mut room = RoomFaults::default();
        for deed in deeds {
            for fault in deed.faults(&room, 3) {
                room = room.with(ProtocolKind::TwoPhase, 3, 0, fault).unwrap();
            }
        }
        room
    }

    #[test]
    fn what_is_done_is_told_and_taken_back() {
        let room = after(&[
            Deed::Crash(3),
            Deed::Pause(2),
            Deed::Link(1, 2, LinkState::Cut),
            Deed::Link(3, 1, LinkState::Late),
            Deed::Link(2, 3, LinkState::Lossy),
        ]);
        let told = [
            "Node 3 is crashed.",
            "Node 2 is paused.",
            "Link 1 – 2: cut.",
            "Link 1 – 3: 1000 ms late.",
            "Link 2 – 3: 500 of 1000 lost.",
        ];
        assert_eq!(in_force(&room, 3), told);
        let states = [(1, 2), (1, 3), (2, 3)].map(|(a, b)| link_state(&room, a, b));
        assert_eq!(states, [LinkState::Cut, LinkState::Late, LinkState::Lossy]);
        let back = after(&[
            Deed::Crash(3),
            Deed::Pause(2),
            Deed::Link(1, 2, LinkState::Cut),
            Deed::Link(1, 2, LinkState::Whole),
            Deed::Resume(2),
            Deed::Restart(3),
        ]);
        assert!(back.is_whole() && in_force(&back, 3).is_empty());
    }

    #[test]
    fn a_node_is_cut_off_and_comes_back_with_the_same_key() {
        let room = after(&[Deed::Link(1, 2, LinkState::Cut), Deed::Isolate(2)]);
        assert!(is_isolated(&room, 2, 3) && !is_isolated(&room, 1, 3));
        let room = after(&[Deed::Isolate(2), Deed::Isolate(2)]);
        assert!(room.is_whole());
        let room = after(&[Deed::Isolate(2), Deed::Heal]);
        assert!(room.is_whole());
    }

    #[test]
    fn one_direction_is_told_as_one() {
        let mut room = RoomFaults::default();
        room.network.apply(Act::Link(Link {
            from: Some(NodeId(2)),
            to: Some(NodeId(1)),
            latency_ms: None,
            loss_permille: Some(1_000),
        }));
        assert_eq!(in_force(&room, 3), ["From node 2 to 1: cut."]);
        assert_eq!(link_state(&room, 1, 2), LinkState::Cut);
    }
}
