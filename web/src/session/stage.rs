//! What a session shows: the stage, and events as lines.

#[cfg(feature = "snowball")]
use std::rc::Rc;

use phaselab_core::event::RecordKind;
use phaselab_core::narrate;
use phaselab_core::sim::log::Logged;
use phaselab_core::sim::{Flight, Sim};
use phaselab_core::types::{Hash32, InstanceId, NodeId};
use phaselab_core::view::ViewScope;

use super::{NODES_DRAWN_MAX, Session, TOPICS_MAX, to_ms};
use crate::axis::Axis;
#[cfg(feature = "snowball")]
use crate::crowd::Crowd;
use crate::few::insert_sorted;
use crate::history::Span;
use crate::scene::{FlightScene, Label, NodePicture, NodeScene, Scene, Standing, Timeout, Topic};

/// How long a time lanes show at once, where nodes poll.
#[cfg(feature = "snowball")]
const WINDOW_MS: f64 = 3_000.0;

impl Session {
    /// Every event so far, or only those worth telling; the last `max` of them.
    pub fn events(&self, all: bool, max: usize) -> Vec<EventLine> {
        let sim = self.sim();
        let line = |place: usize| sim.log().get(place).map(|entry| self.event_line(&entry));
        if all {
            let count = sim.log().len();
            return (count.saturating_sub(max)..count)
                .filter_map(line)
                .collect();
        }
        let told = self.story.told();
        told[told.len().saturating_sub(max)..]
            .iter()
            .filter_map(|place| line(*place))
            .collect()
    }

    /// The places in the log of the events worth telling.
    pub fn told(&self) -> &[usize] {
        self.story.told()
    }

    /// The event at a place of the log.
    pub fn line(&self, place: usize) -> Option<EventLine> {
        let entry = self.sim().log().get(place)?;
        Some(self.event_line(&entry))
    }

    /// The last `max` events worth telling of one node.
    pub fn events_of(&self, node: NodeId, max: usize) -> Vec<EventLine> {
        let sim = self.sim();
        let entries = self
            .story
            .told()
            .iter()
            .rev()
            .filter_map(|place| sim.log().get(*place));
        let own = entries.filter(|entry| entry.node == node).take(max);
        let mut lines: Vec<EventLine> = own.map(|entry| self.event_line(&entry)).collect();
        lines.reverse();
        lines
    }

    /// Everything on the stage.
    pub fn scene(&self) -> Scene {
        let sim = self.sim();
        let scope = if usize::from(sim.scenario().nodes) <= NODES_DRAWN_MAX {
            self.scope()
        } else {
            ViewScope::Summary
        };
        let focus = self.focused();
        #[cfg(feature = "snowball")]
        let crowd = self.crowd(focus);
        #[cfg(feature = "snowball")]
        let is_grid = crowd.as_ref().is_some_and(Crowd::is_grid);
        #[cfg(not(feature = "snowball"))]
        let is_grid = false;
        let ids: Vec<NodeId> = match is_grid {
            // The others are cells.
            true => self.selected.into_iter().collect(),
            false => sim.scenario().ids().take(NODES_DRAWN_MAX).collect(),
        };
        let scope = if is_grid { self.scope() } else { scope };
        let signed = self.signed(focus);
        let nodes: Vec<NodeScene> = ids
            .iter()
            .map(|id| self.node_scene(*id, scope, focus, &signed))
            .collect();
        let label = |value: Hash32| Some((value, label(sim, focus?, value)?));
        let known = nodes
            .iter()
            .filter_map(|node| node.picture.instance(focus?));
        let mut values: Vec<Hash32> = Vec::new();
        #[cfg(feature = "snowball")]
        for (value, _) in crowd.iter().flat_map(|crowd| &crowd.choices) {
            insert_sorted(&mut values, *value);
        }
        for instance in known {
            let chosen = instance.choices.iter().map(|choice| choice.value);
            let own = instance
                .value
                .into_iter()
                .chain(instance.signed)
                .chain(instance.locked.map(|(_, value)| value));
            chosen
                .chain(own)
                .for_each(|value| insert_sorted(&mut values, value));
        }
        Scene {
            spec: sim.spec(),
            flights: if is_grid { Vec::new() } else { self.flights() },
            axis: self.axis(),
            topics: self.topics(&nodes),
            focus,
            broken: self.broken_rules(),
            labels: values.into_iter().filter_map(label).collect(),
            selected: self.selected.map(|node| node.0),
            #[cfg(feature = "snowball")]
            crowd: crowd.map(Rc::new),
            nodes,
        }
    }

    /// The clock of the lanes. Where nodes poll, something happens all the time: the axis goes along with the cursor.
    fn axis(&self) -> Axis {
        let (horizon, moments) = (self.horizon_ms(), self.scout.moments_ms());
        #[cfg(feature = "snowball")]
        if self.polls.is_some() && horizon > WINDOW_MS {
            let from = (self.cursor_ms - WINDOW_MS * 0.75).clamp(0.0, horizon - WINDOW_MS);
            return Axis::new(from, from + WINDOW_MS, moments, self.cursor_ms);
        }
        Axis::new(0.0, horizon, moments, self.cursor_ms)
    }

    /// How a node is.
    pub(super) fn standing(&self, id: NodeId) -> Standing {
        let sim = self.sim();
        match (sim.is_alive(id), sim.is_byzantine(id)) {
            (false, _) if sim.steps() > 0 => Standing::Crashed,
            (_, true) => Standing::Byzantine,
            _ => Standing::Up,
        }
    }

    /// The rules that are broken, where the picture shows one of them.
    fn broken_rules(&self) -> Vec<&'static str> {
        if !self.sim().spec().has_nested() {
            return Vec::new();
        }
        let broken = self.sim().verdicts().into_iter();
        let broken = broken.filter(|verdict| !verdict.holds);
        broken.map(|verdict| verdict.name).collect()
    }

    fn node_scene(
        &self,
        id: NodeId,
        scope: ViewScope,
        focus: Option<InstanceId>,
        signed: &[(NodeId, Hash32)],
    ) -> NodeScene {
        let sim = self.sim();
        let standing = self.standing(id);
        let ribbon = self
            .history
            .ribbon(id.0, focus, standing != Standing::Crashed);
        NodeScene {
            id: id.0,
            timeout: self.timeout(id, focus, &ribbon),
            standing,
            place: String::new(),
            group: sim
                .scenario()
                .groups
                .get(usize::from(id.0) - 1)
                .map_or(0, |group| group.0),
            signed: signed
                .iter()
                .filter(|(by, _)| *by == id)
                .map(|(_, value)| *value)
                .collect(),
            picture: NodePicture::of(sim.spec(), sim.view(id, scope)),
            ribbon,
            marks: self.history.marks(id.0, focus),
        }
    }

    /// How long a node's round still lasts by itself: from when its ribbon entered it to when its timer is due.
    fn timeout(&self, id: NodeId, focus: Option<InstanceId>, ribbon: &[Span]) -> Option<Timeout> {
        let ends = self.sim().round_ends(id, focus?)?;
        let round = ribbon.last()?.round;
        let own = ribbon.iter().rev().take_while(|span| span.round == round);
        let began_ms = own.last()?.from_ms;
        Timeout::at(self.cursor_ms, began_ms, to_ms(ends))
    }

    /// Who signed what in the instance in focus: each value of each node once, in order.
    fn signed(&self, focus: Option<InstanceId>) -> Vec<(NodeId, Hash32)> {
        let mut signed = Vec::new();
        for decision in self.sim().decisions() {
            let record = &decision.record;
            let is_meant = record.kind == RecordKind::Signed && Some(record.instance) == focus;
            let by = record.value.map(|value| (decision.node, value));
            if let Some(by) = by.filter(|by| is_meant && !signed.contains(by)) {
                signed.push(by);
            }
        }
        signed
    }

    fn flights(&self) -> Vec<FlightScene> {
        let sim = self.sim();
        let drawn = |node: NodeId| usize::from(node.0) <= NODES_DRAWN_MAX;
        let flights = sim
            .flights()
            .into_iter()
            .filter(|flight| drawn(flight.from) && drawn(flight.to));
        let scene = |flight: Flight| {
            let kind = sim.spec().messages.get(usize::from(flight.info.kind))?;
            Some(FlightScene {
                from: flight.from.0,
                to: flight.to.0,
                sent_ms: to_ms(flight.sent),
                arrives_ms: to_ms(flight.arrives),
                kind: kind.name,
                shape: kind.shape,
                value: flight
                    .info
                    .instance
                    .zip(flight.info.value)
                    .and_then(|(of, value)| label(sim, of, value)),
            })
        };
        flights
            .filter_map(scene)
            .filter(|flight| flight.sent_ms <= self.cursor_ms)
            .collect()
    }

    fn event_line(&self, entry: &Logged) -> EventLine {
        let sim = self.sim();
        // Of a slot there is one value, and its letter says nothing.
        let instance = entry.event.instance.filter(|of| !self.history.is_part(*of));
        let label = instance
            .zip(entry.event.value)
            .and_then(|(of, value)| label(sim, of, value));
        let letter = label.as_ref().map(|label| label.letter.as_str());
        let mut causes = self.why.iter().flat_map(|why| &why.lines);
        EventLine {
            id: format!("{}.{}", entry.id.step, entry.id.index),
            step: Some(entry.id.step),
            at_ms: to_ms(entry.at),
            node: entry.node.0,
            sentence: self.about(entry.event.instance)
                + &narrate::sentence(sim.spec(), entry.node, &entry.event, letter),
            kind: narrate::event_name(entry.event.kind),
            is_cause: causes.any(|it| (it.step, it.index) == (entry.id.step, Some(entry.id.index))),
            value: label,
        }
    }

    /// What a sentence begins with, where it would not say which of several instances it is about.
    fn about(&self, instance: Option<InstanceId>) -> String {
        let is_one_of_several = |id: &InstanceId| {
            let has_parts = self.sim().spec().has_nested();
            has_parts && !self.history.is_part(*id) && self.history.topics().len() > 1
        };
        let about = instance.filter(is_one_of_several);
        about.map_or_else(String::new, |id| self.name_of(id) + ": ")
    }

    /// The instance that is shown.
    pub(super) fn focused(&self) -> Option<InstanceId> {
        let topics = self.history.topics();
        // Of many the first is long over.
        let first = match topics.len() {
            0..=TOPICS_MAX => topics.first(),
            _ => topics.last(),
        };
        self.focus.or(first.copied())
    }

    fn topics(&self, nodes: &[NodeScene]) -> Vec<Topic> {
        let name = |id: InstanceId| {
            let known = nodes.iter().find_map(|node| node.picture.instance(id));
            known.map_or_else(|| self.name_of(id), |instance| instance.name.clone())
        };
        let listed = self.listed().into_iter();
        listed.map(|id| Topic { id, name: name(id) }).collect()
    }
}

/// A line of the list of events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLine {
    /// Its id: step and place in the step.
    pub id: String,
    /// The step, where the run can be seeked.
    pub step: Option<u64>,
    /// When, in milliseconds.
    pub at_ms: f64,
    /// At which node; 0 for the network.
    pub node: u16,
    /// The sentence.
    pub sentence: String,
    /// The kind's name.
    pub kind: &'static str,
    /// What it is about.
    pub value: Option<Label>,
    /// Whether it belongs to the causes of the answer that is open.
    pub is_cause: bool,
}

pub(super) fn label(sim: &Sim, instance: InstanceId, value: Hash32) -> Option<Label> {
    let letter = sim.log().letter(instance, value)?;
    Some(Label {
        letter,
        short: value.short().to_string(),
    })
}
