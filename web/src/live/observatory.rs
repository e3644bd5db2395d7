//! What this page knows of a live room: everything that nodes told observers, and what followed from it.
//!
//! The channel is lossy and a page may come late: each report carries the whole picture, and where ribbons lack a phase
//! that a picture shows, it is taken over as of then.

use std::collections::VecDeque;

use phaselab_core::event::{Event, EventKind};
use phaselab_core::narrate;
use phaselab_core::sim::log::letter_at;
use phaselab_core::types::{Hash32, InstanceId, NodeId, Round};
use phaselab_core::view::{Shape, Spec};

use super::watch::{NodeReport, WatchFrame, WatchedEvent};
use crate::axis::Axis;
use crate::few::FewMap;
use crate::history::History;
use crate::scene::{FlightScene, Label, NodeScene, Scene, Standing, Topic};
use crate::session::EventLine;

#[cfg(test)]
mod tests;

/// The most events that are kept.
pub const EVENTS_MAX: usize = 400;

/// The most instances that are kept.
pub const TOPICS_MAX: usize = 24;

/// A node that was not heard for this long is drawn as not heard, in milliseconds. Nodes report twice a second.
const SILENT_MS: f64 = 2_500.0;

/// How long a message is drawn, in milliseconds: channels are faster than eyes.
pub const FLIGHT_MS: f64 = 600.0;

/// The shortest stretch of time that lanes show, in milliseconds.
const WINDOW_MS_MIN: f64 = 40.0;

/// What is known of one node.
#[derive(Clone, Debug)]
struct Seen {
    report: NodeReport,
    heard_ms: f64,
    crashed: Option<String>,
    /// Phases that its last picture showed and no event had told: what a node holds back until it is durable, or what
    /// was lost.
    untold: Vec<Untold>,
}

/// An instance's phase and round, with when they were first seen, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Untold {
    instance: InstanceId,
    phase: u8,
    round: u32,
    since_us: u64,
}

struct Line {
    id: String,
    node: u16,
    event: WatchedEvent,
}

/// What observers know.
pub struct Observatory {
    spec: &'static Spec,
    nodes: u16,
    /// The group of each node, in order; none where there is only one.
    groups: Vec<u16>,
    seen: FewMap<u16, Seen>,
    history: History,
    lines: VecDeque<Line>,
    letters: FewMap<InstanceId, Vec<Hash32>>,
    flights: VecDeque<FlightScene>,
    names: FewMap<InstanceId, String>,
    last_us: u64,
}

impl Observatory {
    /// An observer of a room that has heard nothing yet.
    pub fn new(spec: &'static Spec, nodes: u16) -> Observatory {
        Observatory {
            spec,
            nodes,
            groups: Vec::new(),
            seen: FewMap::default(),
            history: History::of(spec),
            lines: VecDeque::new(),
            letters: FewMap::default(),
            flights: VecDeque::new(),
            names: FewMap::default(),
            last_us: 0,
        }
    }

    /// Says which group each node is in, in order.
    pub fn set_groups(&mut self, groups: Vec<u16>) {
        self.groups = groups;
    }

    /// How many groups there are.
    pub fn clusters(&self) -> usize {
        let mut groups = self.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        groups.len()
    }

    /// Takes a message in. `now_ms` is any clock that rises. Returns whether it told anything.
    pub fn hear(&mut self, frame: WatchFrame, now_ms: f64) -> bool {
        match frame {
            WatchFrame::Node(report) if (1..=self.nodes).contains(&report.node) => {
                self.hear_node(report, now_ms)
            }
            WatchFrame::Crashed { node, tab, why } => self.crashed(node, &tab, why),
            _ => false,
        }
    }

    /// A node's thread is gone, and its tab says so.
    pub fn crashed(&mut self, node: u16, tab: &str, why: String) -> bool {
        let Some(seen) = self
            .seen
            .get_mut(&node)
            .filter(|seen| seen.report.tab == tab)
        else {
            return false;
        };
        if seen.crashed.replace(why).is_none() {
            let event = Event::new(EventKind::Crashed, None, Round(0));
            let at_us = self.last_us.max(seen.report.at_us);
            let id = format!("{node}-{}-crash", seen.report.life);
            self.note(id, node, WatchedEvent::new(at_us, &event));
        }
        true
    }

    /// The node's last report.
    pub fn report(&self, node: u16) -> Option<&NodeReport> {
        self.seen.get(&node).map(|seen| &seen.report)
    }

    /// When a node was last heard.
    pub fn heard_ms(&self, node: u16) -> Option<f64> {
        self.seen.get(&node).map(|seen| seen.heard_ms)
    }

    /// How a node's badge is drawn.
    pub fn standing(&self, node: u16, now_ms: f64) -> Standing {
        match self.seen.get(&node) {
            None => Standing::Unheard,
            Some(seen) if seen.crashed.is_some() => Standing::Crashed,
            Some(seen) if now_ms - seen.heard_ms > SILENT_MS => Standing::Crashed,
            Some(_) => Standing::Up,
        }
    }

    /// Why a node stopped, where that is known.
    pub fn crash_reason(&self, node: u16) -> Option<&str> {
        self.seen
            .get(&node)?
            .crashed
            .as_deref()
            .filter(|why| !why.is_empty())
    }

    /// Whether something moves.
    pub fn is_moving(&self, now_ms: f64) -> bool {
        self.flights.iter().any(|flight| flight.arrives_ms > now_ms)
    }

    /// The newest instance, by when it was first heard of.
    pub fn newest(&self) -> Option<InstanceId> {
        self.history.topics().last().copied()
    }

    /// The last `max` events, all or only those worth telling.
    pub fn events(&self, all: bool, max: usize) -> Vec<EventLine> {
        let wanted = self
            .lines
            .iter()
            .rev()
            .filter(|line| all || narrate::is_worth_telling(self.spec, &line.event.event()));
        let mut lines: Vec<EventLine> =
            wanted.take(max).map(|line| self.event_line(line)).collect();
        lines.reverse();
        lines
    }

    /// Everything on the stage. `tab_name` says what a tab is called.
    pub fn scene(
        &self,
        now_ms: f64,
        focus: Option<InstanceId>,
        selected: Option<u16>,
        tab_name: &dyn Fn(&str) -> String,
    ) -> Scene {
        let focus = focus
            .filter(|id| self.history.topics().contains(id))
            .or_else(|| self.newest());
        let nodes: Vec<NodeScene> = (1..=self.nodes)
            .map(|id| self.node_scene(id, now_ms, focus, tab_name))
            .collect();
        let values = focus
            .and_then(|id| self.letters.get(&id))
            .into_iter()
            .flatten();
        Scene {
            spec: self.spec,
            flights: self
                .flights
                .iter()
                .filter(|flight| flight.arrives_ms > now_ms)
                .cloned()
                .collect(),
            axis: axis(&nodes),
            topics: self.topics(),
            focus,
            // A page that looks on does not judge by pictures.
            broken: Vec::new(),
            labels: values
                .filter_map(|value| Some((*value, self.label(focus?, *value)?)))
                .collect(),
            selected,
            #[cfg(feature = "snowball")]
            crowd: None,
            nodes,
        }
    }

    /// The instances, in order of appearance.
    pub fn topics(&self) -> Vec<Topic> {
        let name = |id: &InstanceId| {
            self.names
                .get(id)
                .cloned()
                .unwrap_or_else(|| id.0.short().to_string())
        };
        self.history
            .topics()
            .iter()
            .map(|id| Topic {
                id: *id,
                name: name(id),
            })
            .collect()
    }

    fn hear_node(&mut self, report: NodeReport, now_ms: f64) -> bool {
        let node = report.node;
        if let Some(seen) = self.seen.get(&node) {
            let known = (seen.report.life, seen.report.sequence);
            if (report.life, report.sequence) <= known {
                return false;
            }
            if report.life > known.0 {
                let at_us = report
                    .events
                    .first()
                    .map_or(report.at_us, |event| event.at_us);
                let event = Event::new(EventKind::Restarted, None, Round(0));
                self.note(
                    format!("{node}-{}-start", report.life),
                    node,
                    WatchedEvent::new(at_us, &event),
                );
            }
        }
        self.last_us = self.last_us.max(report.at_us);
        for (index, event) in report.events.iter().enumerate() {
            // A report brings several messages at once: none stands for another.
            self.fly(node, event, now_ms + index as f64 / 1e3);
            self.note(
                format!("{node}-{}-{}-{index}", report.life, report.sequence),
                node,
                event.clone(),
            );
        }
        let untold = self.take_over(&report);
        self.seen.insert(
            node,
            Seen {
                report,
                heard_ms: now_ms,
                crashed: None,
                untold,
            },
        );
        true
    }

    /// Takes over what the picture shows and no event told: at once from a node that is new to this page, else when two
    /// pictures agree on it. Returns what is still open.
    fn take_over(&mut self, report: &NodeReport) -> Vec<Untold> {
        let before = self.seen.get(&report.node).map(|seen| seen.untold.clone());
        let mut untold = Vec::new();
        for instance in &report.picture.instances {
            self.names
                .get_or_insert_with(instance.id, || instance.name.clone());
            let values = instance
                .choices
                .iter()
                .map(|choice| choice.value)
                .chain(instance.value);
            values.for_each(|value| self.learn(instance.id, value));
            let (phase, round) = (instance.phase, instance.round);
            if self.history.last_phase(report.node, instance.id) == Some((phase, round)) {
                continue;
            }
            let fresh = Untold {
                instance: instance.id,
                phase,
                round,
                since_us: report.at_us,
            };
            let is_same = |known: &&Untold| {
                (known.instance, known.phase, known.round) == (instance.id, phase, round)
            };
            let since_us = match &before {
                None => Some(report.at_us),
                Some(before) => before.iter().find(is_same).map(|known| known.since_us),
            };
            match since_us {
                None => untold.push(fresh),
                Some(since_us) => {
                    let event = Event::new(
                        EventKind::PhaseEntered(phase),
                        Some(instance.id),
                        Round(round),
                    );
                    self.history.note(since_us * 1_000, report.node, &event);
                }
            }
        }
        while self.history.topics().len() > TOPICS_MAX {
            let oldest = self.history.topics()[0];
            self.history.forget(oldest);
            self.letters.remove(&oldest);
            self.names.remove(&oldest);
        }
        untold
    }

    fn note(&mut self, id: String, node: u16, event: WatchedEvent) {
        if let (Some(instance), Some(value)) = (event.instance, event.value) {
            self.learn(instance, value);
        }
        self.history.note(event.at_us * 1_000, node, &event.event());
        // Heartbeats are told as often as they come, and would soon be all that is kept.
        if self.spec.has_nested() && event.instance.is_none() && event.kind.is_of_full_level() {
            return;
        }
        self.lines.push_back(Line { id, node, event });
        if self.lines.len() > EVENTS_MAX {
            self.lines.pop_front();
        }
    }

    fn learn(&mut self, instance: InstanceId, value: Hash32) {
        let values = self.letters.get_or_insert_with(instance, Vec::new);
        if !values.contains(&value) {
            values.push(value);
        }
    }

    fn fly(&mut self, node: u16, event: &WatchedEvent, now_ms: f64) {
        let EventKind::MessageDelivered(kind) = event.kind else {
            return;
        };
        let (Some(from), Some(kind)) = (event.peer, self.spec.messages.get(usize::from(kind)))
        else {
            return;
        };
        if self.spec.has_nested() && event.instance.is_none() && kind.shape == Shape::Sync {
            // The heartbeats of three leaders, drawn as slowly as eyes need, would hide everything else.
            return;
        }
        self.flights.push_back(FlightScene {
            from,
            to: node,
            sent_ms: now_ms,
            arrives_ms: now_ms + FLIGHT_MS,
            kind: kind.name,
            shape: kind.shape,
            value: event
                .instance
                .zip(event.value)
                .and_then(|(of, value)| self.label(of, value)),
        });
        while self.flights.len() > EVENTS_MAX {
            self.flights.pop_front();
        }
    }

    fn label(&self, instance: InstanceId, value: Hash32) -> Option<Label> {
        let place = self
            .letters
            .get(&instance)?
            .iter()
            .position(|known| *known == value)?;
        Some(Label {
            letter: letter_at(place),
            short: value.short().to_string(),
        })
    }

    fn node_scene(
        &self,
        id: u16,
        now_ms: f64,
        focus: Option<InstanceId>,
        tab_name: &dyn Fn(&str) -> String,
    ) -> NodeScene {
        let seen = self.seen.get(&id);
        NodeScene {
            timeout: None,
            id,
            standing: self.standing(id, now_ms),
            place: seen.map_or_else(String::new, |seen| tab_name(&seen.report.tab)),
            group: self.groups.get(usize::from(id) - 1).copied().unwrap_or(0),
            // What it says of itself; the judges of a room say if it was more.
            signed: seen
                .and_then(|seen| seen.report.picture.instance(focus?)?.signed)
                .into_iter()
                .collect(),
            picture: seen
                .map(|seen| seen.report.picture.clone())
                .unwrap_or_default(),
            ribbon: self.history.ribbon(id, focus, true),
            marks: self.history.marks(id, focus),
        }
    }

    fn event_line(&self, line: &Line) -> EventLine {
        let event = line.event.event();
        let instance = event.instance.filter(|of| !self.history.is_part(*of));
        let value = instance
            .zip(event.value)
            .and_then(|(of, value)| self.label(of, value));
        let letter = value.as_ref().map(|label| label.letter.as_str());
        EventLine {
            id: line.id.clone(),
            step: None,
            at_ms: line.event.at_us as f64 / 1e3,
            node: line.node,
            sentence: narrate::sentence(self.spec, NodeId(line.node), &event, letter),
            kind: narrate::event_name(event.kind),
            value,
            is_cause: false,
        }
    }
}

/// The stretch from the first phase of the instance in focus to the last.
fn axis(nodes: &[NodeScene]) -> Axis {
    let starts = |down: bool| {
        let spans = nodes
            .iter()
            .flat_map(|node| node.ribbon.iter())
            .filter(move |span| span.down == down);
        spans.map(|span| span.from_ms)
    };
    let first = starts(false).min_by(f64::total_cmp).unwrap_or(0.0);
    let starts = sorted(starts(false).chain(starts(true).filter(|ms| *ms > first)));
    let last = starts.last().copied().unwrap_or(first);
    let width = ((last - first) * 1.25).max(WINDOW_MS_MIN);
    Axis::new(first - width / 20.0, first + width, &starts, first + width).counted_from(first)
}

/// Few times, in order.
fn sorted(times: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut list: Vec<f64> = Vec::new();
    for ms in times {
        list.insert(list.partition_point(|known| *known <= ms), ms);
    }
    list
}
