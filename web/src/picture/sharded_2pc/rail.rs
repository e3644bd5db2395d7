//! The rail of the transfer in focus: how far it is at the coordinator's cluster, and at the participant's.

use phaselab_core::protocol::sharded_2pc::phase;
use phaselab_core::view::{SideView, SlotMarker, SlotStanding};

use super::table::{members, shard};
use crate::scene::{NodeScene, Scene};

/// The rail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rail {
    /// The transfer's name.
    pub name: String,
    /// The cluster that decides.
    pub coordinator: u16,
    /// The other one, unless the transfer stays in one cluster.
    pub participant: Option<u16>,
    /// What it passes, in order.
    pub stations: Vec<Station>,
    /// Why it is refused or aborted; empty if it is not.
    pub reason: String,
}

/// Something that a transfer passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Whether the coordinator's cluster has passed it.
    pub coordinator: bool,
    /// Whether the participant's has; `None` where there is nothing for it to pass.
    pub participant: Option<bool>,
}

impl Station {
    /// Whether everybody has passed it.
    pub fn is_passed(&self) -> bool {
        self.coordinator && self.participant != Some(false)
    }
}

impl Rail {
    /// The last station that everybody has passed; empty before the first.
    pub fn stage(&self) -> &'static str {
        let passed = self
            .stations
            .iter()
            .rev()
            .find(|station| station.is_passed());
        passed.map_or("", |station| station.name)
    }
}

/// The rail of the transfer in focus, as soon as anybody has logged anything of it.
pub fn rail(scene: &Scene) -> Option<Rail> {
    let focus = scene.focus?;
    let (coordinator, participant) = clusters(scene)?;
    let has =
        |group: u16, is_meant: &dyn Fn(&NodeScene) -> bool| members(scene, group).any(is_meant);
    let both = |is_meant: &dyn Fn(&NodeScene) -> bool| {
        let there = participant.map(|group| has(group, is_meant));
        (has(coordinator, is_meant), there)
    };
    let logged = |node: &NodeScene| {
        let slots = shard(node).into_iter().flat_map(|shard| &shard.slots);
        let mut own = slots.filter(|slot| slot.transfer == Some(focus));
        own.any(|slot| matches!(slot.marker, SlotMarker::Prepare | SlotMarker::Transfer))
            || is_prepared(scene, node)
    };
    let is_aborted = scene.nodes.iter().any(|node| is_aborted(scene, node));
    let ended = |node: &NodeScene| outcome(scene, node).is_some();
    let station = |name, meaning, (coordinator, participant)| Station {
        name,
        meaning,
        coordinator,
        participant,
    };
    let outcome = match is_aborted {
        true => ("A", "A is applied: the hold is dropped"),
        false => ("C", "C is applied: the money has moved"),
    };
    let done = |node: &NodeScene| phase_of(scene, node) == Some(phase::DONE);
    let stations = match participant {
        Some(_) => vec![
            station("locked", "admitted, and P is proposed", both(&logged)),
            station(
                "P",
                "P is applied: the item is held",
                both(&|node| is_prepared(scene, node)),
            ),
            station(outcome.0, outcome.1, both(&ended)),
            station(
                "done",
                "the participant has acknowledged",
                (has(coordinator, &done), None),
            ),
        ],
        None => vec![
            station(
                "logged",
                "an entry of one log: no P is needed",
                both(&logged),
            ),
            station("done", "it is applied", both(&ended)),
        ],
    };
    let reason = scene.nodes.iter().find_map(|node| {
        let reason = &side(scene, node)?.reason;
        (!reason.is_empty()).then(|| reason.clone())
    });
    Some(Rail {
        name: name(scene),
        coordinator,
        participant,
        stations,
        reason: reason.unwrap_or_default(),
    })
}

fn name(scene: &Scene) -> String {
    let topic = scene
        .topics
        .iter()
        .find(|topic| Some(topic.id) == scene.focus);
    topic.map_or_else(String::new, |topic| topic.name.clone())
}

fn side<'a>(scene: &Scene, node: &'a NodeScene) -> Option<&'a SideView> {
    let sides = &shard(node)?.sides;
    sides.iter().find(|side| Some(side.transfer) == scene.focus)
}

/// The cluster that decides, and the other one, as rows and entries say.
fn clusters(scene: &Scene) -> Option<(u16, Option<u16>)> {
    let ordered = |group: u16, decides: bool, other: Option<u16>| match (decides, other) {
        (false, Some(other)) => (other, Some(group)),
        _ => (group, other),
    };
    let rows = scene.nodes.iter().find_map(|node| {
        let side = side(scene, node)?;
        Some(ordered(node.group, side.decides, Some(side.other)))
    });
    let entries = || {
        scene.nodes.iter().find_map(|node| {
            let slots = &shard(node)?.slots;
            let mut own = slots.iter().filter(|slot| slot.transfer == scene.focus);
            own.find_map(|slot| Some(ordered(node.group, slot.decides?, slot.other)))
        })
    };
    // Its rows may be gone, and its entries not among the last: then those that took part are known by their ribbons.
    let ribbons = || {
        let mut groups: Vec<u16> = Vec::new();
        for node in scene
            .nodes
            .iter()
            .filter(|node| phase_of(scene, node).is_some())
        {
            if !groups.contains(&node.group) {
                groups.push(node.group);
            }
        }
        let done = scene
            .nodes
            .iter()
            .find(|node| phase_of(scene, node) == Some(phase::DONE));
        let first = done.map(|node| node.group).or(groups.first().copied())?;
        Some((first, groups.into_iter().find(|group| *group != first)))
    };
    rows.or_else(entries).or_else(ribbons)
}

/// Where a node is with the transfer in focus: by its row, or by its past where the row is gone.
fn phase_of(scene: &Scene, node: &NodeScene) -> Option<u8> {
    let now = scene.focused(node).map(|instance| instance.phase);
    let past = || {
        let spans = node.ribbon.iter().rev();
        let mut spans = spans.filter(|span| !span.down && span.from_ms <= scene.axis.at_ms());
        spans.next().map(|span| span.phase)
    };
    now.or_else(past)
}

/// Whether it is over at a node, and whether it happens.
fn outcome(scene: &Scene, node: &NodeScene) -> Option<bool> {
    match phase_of(scene, node)? {
        phase::COMMITTED => Some(true),
        phase::ABORTED => Some(false),
        phase::DONE => Some(!is_aborted(scene, node)),
        _ => None,
    }
}

fn is_aborted(scene: &Scene, node: &NodeScene) -> bool {
    let is_end = |of: u8| of == phase::ABORTED;
    match (phase_of(scene, node), side(scene, node)) {
        (Some(phase::DONE), Some(side)) => !side.commits,
        (Some(of), _) => is_end(of),
        (None, _) => false,
    }
}

/// Whether P is applied at a node, or it has an outcome without.
fn is_prepared(scene: &Scene, node: &NodeScene) -> bool {
    let is_executed = || {
        let slots = shard(node).into_iter().flat_map(|shard| &shard.slots);
        let mut own = slots.filter(|slot| slot.transfer == scene.focus);
        own.any(|slot| {
            (slot.marker, slot.standing) == (SlotMarker::Prepare, SlotStanding::Executed)
        })
    };
    phase_of(scene, node).is_some_and(|of| of != phase::ASKED) || is_executed()
}
