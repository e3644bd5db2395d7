//! What a run has come to so far, whatever its length: what is asked of it in every frame must not cost more with each
//! event that it has behind it.

use phaselab_core::event::RecordKind;
use phaselab_core::types::{Hash32, InstanceId, NodeId};
use phaselab_core::view::ViewScope;

use super::Session;

/// Instances that are listed: of more, those that began last, and the one in focus.
pub const TOPICS_MAX: usize = 12;

/// Decisions that are looked through for the newest, with those of all nodes on one instance counted each.
const DECISIONS_MAX: usize = 2_000;

/// A value that was decided, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The instance.
    pub instance: InstanceId,
    /// Its name.
    pub name: String,
    /// The value.
    pub value: Hash32,
    /// The value's letter, if it has one.
    pub letter: Option<String>,
    /// The nodes that decided it, in id order.
    pub nodes: Vec<NodeId>,
}

impl Session {
    /// The values that were decided last, in the order of their first decisions; at most [`TOPICS_MAX`], and whether there are more.
    pub fn decided(&self) -> (Vec<Decided>, bool) {
        let sim = self.sim();
        // With the place of the first decision that was found.
        let mut found: Vec<(usize, Decided)> = Vec::new();
        let mut is_more = sim.decisions().len() > DECISIONS_MAX;
        let decisions = sim.decisions().iter().enumerate().rev();
        for (place, entry) in decisions.take(DECISIONS_MAX) {
            let record = &entry.record;
            let (RecordKind::Decided, Some(value)) = (record.kind, record.value) else {
                continue;
            };
            let instance = record.instance;
            if self.history.is_part(instance) {
                continue;
            }
            let known = found
                .iter_mut()
                .find(|(_, known)| (known.instance, known.value) == (instance, value));
            if let Some((first, known)) = known {
                *first = place;
                known.nodes.push(entry.node);
            } else if found.len() < TOPICS_MAX {
                let decided = Decided {
                    instance,
                    name: self.name_of(instance),
                    value,
                    letter: sim.log().letter(instance, value),
                    nodes: vec![entry.node],
                };
                found.push((place, decided));
            } else {
                is_more = true;
            }
        }
        found.sort_unstable_by_key(|(first, _)| *first);
        let mut found: Vec<Decided> = found.into_iter().map(|(_, decided)| decided).collect();
        for decided in &mut found {
            decided.nodes.sort_unstable();
            decided.nodes.dedup();
        }
        (found, is_more)
    }

    /// The instances that are listed, in order of appearance.
    pub(super) fn listed(&self) -> Vec<InstanceId> {
        let topics = self.history.topics();
        let newest = &topics[topics.len().saturating_sub(TOPICS_MAX)..];
        let apart = self.focused().filter(|focus| !newest.contains(focus));
        apart.into_iter().chain(newest.iter().copied()).collect()
    }

    /// How much of each node is looked at.
    pub(super) fn scope(&self) -> ViewScope {
        let topics = self.history.topics().len();
        match self.focused() {
            // Of an instance with parts, all are the more.
            Some(focus) if topics > TOPICS_MAX || self.sim().spec().has_nested() => {
                ViewScope::Instance(focus)
            }
            _ => ViewScope::Full,
        }
    }

    /// The name of an instance, as the first node that knows it has it.
    pub(super) fn name_of(&self, instance: InstanceId) -> String {
        let sim = self.sim();
        let known = sim.scenario().ids().take(super::NODES_DRAWN_MAX);
        let mut views = known.map(|id| sim.view(id, ViewScope::Instance(instance)));
        let name = views.find_map(|view| Some(view.instances.into_iter().next()?.name));
        name.unwrap_or_else(|| instance.0.short().to_string())
    }
}
