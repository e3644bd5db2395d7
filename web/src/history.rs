//! What happened to each node over time: ribbons of phases, and glyphs. Built of events as they come.

use phaselab_core::event::{Event, EventKind};
use phaselab_core::types::{Hash32, InstanceId};

use crate::few::FewMap;

/// A stretch of a ribbon: a phase from one moment to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// When it began, in milliseconds.
    pub from_ms: f64,
    /// When it ended; `None` if it lasts.
    pub to_ms: Option<f64>,
    /// Index into `Spec::phases`.
    pub phase: u8,
    /// The round.
    pub round: u32,
    /// Whether the node was down.
    pub down: bool,
    /// The value that the node was locked on.
    pub locked: Option<Hash32>,
}

/// A glyph at a moment of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, in nanoseconds.
    pub at_ns: u64,
    /// What.
    pub glyph: Glyph,
    /// Its place in the list of events.
    pub event: usize,
}

/// The glyphs of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    /// Proposed.
    Propose,
    /// Locked.
    Lock,
    /// Signed.
    Pen,
    /// Decided.
    Decide,
    /// Took a certificate.
    Certificate,
    /// Withdrew, or gave the instance up.
    Abort,
    /// Holds proof of a lie, or refused something.
    Evidence,
    /// Lost a message.
    Lost,
    /// Stopped.
    Crash,
    /// Started again.
    Restart,
    /// Put a step off.
    Defer,
}

impl Glyph {
    /// The glyph of an event, if it has one.
    pub fn of(kind: EventKind) -> Option<Glyph> {
        Some(match kind {
            EventKind::Proposed => Glyph::Propose,
            EventKind::Locked => Glyph::Lock,
            EventKind::Signed => Glyph::Pen,
            EventKind::Decided => Glyph::Decide,
            EventKind::FastForwarded => Glyph::Certificate,
            EventKind::Withdrew | EventKind::Abandoned => Glyph::Abort,
            EventKind::Evidence => Glyph::Evidence,
            EventKind::MessageDropped(_) => Glyph::Lost,
            EventKind::Crashed => Glyph::Crash,
            EventKind::Restarted | EventKind::Recovered => Glyph::Restart,
            EventKind::Deferred => Glyph::Defer,
            _ => return None,
        })
    }

    /// The character that draws it.
    pub fn symbol(self) -> &'static str {
        match self {
            Glyph::Propose => "●",
            Glyph::Lock => "■",
            Glyph::Pen => "✎",
            Glyph::Decide => "✔",
            Glyph::Certificate => "⬢",
            Glyph::Abort => "✕",
            Glyph::Evidence => "!",
            Glyph::Lost => "×",
            Glyph::Crash => "⏻",
            Glyph::Restart => "↻",
            Glyph::Defer => "…",
        }
    }
}

/// One node's past.
#[derive(Clone, Debug, Default, PartialEq)]
struct Lane {
    ribbons: FewMap<InstanceId, Vec<Span>>,
    marks: Vec<(Option<InstanceId>, Mark)>,
    down_since: Option<f64>,
    downs: Vec<(f64, Option<f64>)>,
}

/// The past of every node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    lanes: FewMap<u16, Lane>,
    topics: Vec<InstanceId>,
    events: usize,
}

impl History {
    /// Forgets an instance.
    pub fn forget(&mut self, instance: InstanceId) {
        self.topics.retain(|topic| *topic != instance);
        for lane in self.lanes.values_mut() {
            lane.ribbons.remove(&instance);
            lane.marks.retain(|(of, _)| *of != Some(instance));
        }
    }

    /// The phase and round that a node's ribbon ends with.
    pub fn last_phase(&self, node: u16, instance: InstanceId) -> Option<(u8, u32)> {
        self.lanes
            .get(&node)?
            .last(instance)
            .map(|span| (span.phase, span.round))
    }

    /// How many events were noted.
    pub fn events(&self) -> usize {
        self.events
    }

    /// The instances, in order of appearance.
    pub fn topics(&self) -> &[InstanceId] {
        &self.topics
    }

    /// Notes an event of a node; 0 is the network as a whole.
    pub fn note(&mut self, at_ns: u64, node: u16, event: &Event) {
        let index = self.events;
        self.events += 1;
        if let Some(instance) = event.instance
            && !self.topics.contains(&instance)
        {
            self.topics.push(instance);
        }
        if node == 0 {
            return;
        }
        let lane = self.lanes.get_or_insert_with(node, Lane::default);
        if let Some(glyph) = Glyph::of(event.kind) {
            lane.marks.push((
                event.instance,
                Mark {
                    at_ns,
                    glyph,
                    event: index,
                },
            ));
        }
        let at_ms = at_ns as f64 / 1e6;
        match (event.kind, event.instance) {
            (EventKind::PhaseEntered(phase), Some(instance)) => {
                lane.enter(at_ms, instance, phase, event.round.0)
            }
            (EventKind::RoundEntered, Some(instance)) => {
                lane.enter_round(at_ms, instance, event.round.0)
            }
            (EventKind::Locked, Some(instance)) => lane.lock(at_ms, instance, event.value),
            (EventKind::Crashed, _) => lane.down_since = Some(at_ms),
            (EventKind::Restarted, _) => lane.up(at_ms),
            _ => {}
        }
    }

    /// The ribbon of one instance at a node, with the stretches in which the node was down.
    pub fn ribbon(&self, node: u16, instance: Option<InstanceId>, is_up: bool) -> Vec<Span> {
        let unheard = Lane::default();
        let lane = self.lanes.get(&node).unwrap_or(&unheard);
        let phases = instance
            .and_then(|id| lane.ribbons.get(&id))
            .cloned()
            .unwrap_or_default();
        // A node that never started has not crashed either: it was down from the beginning.
        let last = lane
            .down_since
            .or((!is_up).then_some(0.0))
            .map(|since| (since, None));
        let downs = lane.downs.iter().copied().chain(last);
        downs.fold(phases, |spans, (from_ms, to_ms)| cut(spans, from_ms, to_ms))
    }

    /// The glyphs of one instance, and of the node as a whole.
    pub fn marks(&self, node: u16, instance: Option<InstanceId>) -> Vec<Mark> {
        let Some(lane) = self.lanes.get(&node) else {
            return Vec::new();
        };
        let belongs = |of: &Option<InstanceId>| of.is_none() || *of == instance;
        lane.marks
            .iter()
            .filter(|(of, _)| belongs(of))
            .map(|(_, mark)| mark.clone())
            .collect()
    }

    /// The last moment before a time at which any node entered a phase or round, or locked, in milliseconds.
    pub fn last_change_before(&self, ms: f64) -> Option<f64> {
        let ribbons = self.lanes.values().flat_map(|lane| lane.ribbons.values());
        ribbons
            .flatten()
            .map(|span| span.from_ms)
            .filter(|from| *from < ms)
            .max_by(f64::total_cmp)
    }
}

impl Lane {
    fn enter(&mut self, at_ms: f64, instance: InstanceId, phase: u8, round: u32) {
        self.push(
            instance,
            Span {
                from_ms: at_ms,
                to_ms: None,
                phase,
                round,
                down: false,
                locked: None,
            },
        );
    }

    fn enter_round(&mut self, at_ms: f64, instance: InstanceId, round: u32) {
        if let Some(last) = self
            .last(instance)
            .filter(|last| last.round != round)
            .cloned()
        {
            self.push(
                instance,
                Span {
                    from_ms: at_ms,
                    to_ms: None,
                    round,
                    ..last
                },
            );
        }
    }

    fn lock(&mut self, at_ms: f64, instance: InstanceId, value: Option<Hash32>) {
        if let Some(last) = self
            .last(instance)
            .filter(|last| last.locked != value)
            .cloned()
        {
            self.push(
                instance,
                Span {
                    from_ms: at_ms,
                    to_ms: None,
                    locked: value,
                    ..last
                },
            );
        }
    }

    fn last(&self, instance: InstanceId) -> Option<&Span> {
        self.ribbons.get(&instance)?.last()
    }

    fn push(&mut self, instance: InstanceId, span: Span) {
        let ribbon = self.ribbons.get_or_insert_with(instance, Vec::new);
        if let Some(last) = ribbon.last_mut() {
            last.to_ms = Some(span.from_ms);
        }
        // What lasted no time is not drawn.
        ribbon.retain(|known| known.to_ms != Some(known.from_ms));
        ribbon.push(span);
    }

    fn up(&mut self, at_ms: f64) {
        let is_first = self.downs.is_empty() && self.ribbons.is_empty();
        if let Some(since) = self.down_since.take().or(is_first.then_some(0.0)) {
            self.downs.push((since, Some(at_ms)));
        }
    }
}

/// Replaces a stretch of a ribbon by one in which the node is down.
fn cut(spans: Vec<Span>, from_ms: f64, to_ms: Option<f64>) -> Vec<Span> {
    let ends = |span: &Span| span.to_ms.unwrap_or(f64::INFINITY);
    let end = to_ms.unwrap_or(f64::INFINITY);
    let mut result = Vec::with_capacity(spans.len() + 2);
    let (mut phase, mut round, mut is_placed) = (0, 0, false);
    let mut place = |result: &mut Vec<Span>, phase, round| {
        if !std::mem::replace(&mut is_placed, true) {
            result.push(Span {
                from_ms,
                to_ms,
                phase,
                round,
                down: true,
                locked: None,
            });
        }
    };
    for span in spans {
        if span.from_ms < from_ms {
            (phase, round) = (span.phase, span.round);
            result.push(Span {
                to_ms: Some(ends(&span).min(from_ms)).filter(|ms| ms.is_finite()),
                ..span.clone()
            });
        }
        if ends(&span) > from_ms {
            place(&mut result, phase, round);
        }
        if ends(&span) > end {
            result.push(Span {
                from_ms: span.from_ms.max(end),
                ..span
            });
        }
    }
    place(&mut result, phase, round);
    result
}

#[cfg(test)]
mod tests {
    use phaselab_core::types::Round;

    use super::*;

    const TOPIC: InstanceId = InstanceId(Hash32([1; 32]));

    fn note(history: &mut History, ms: u64, kind: EventKind, round: u32) {
        let about = (!matches!(kind, EventKind::Crashed | EventKind::Restarted)).then_some(TOPIC);
        history.note(
            ms * 1_000_000,
            1,
            &Event::new(kind, about, Round(round)).value(Some(Hash32([7; 32]))),
        );
    }

    fn ribbon(history: &History) -> Vec<(f64, Option<f64>, u8, bool)> {
        history
            .ribbon(1, Some(TOPIC), true)
            .iter()
            .map(|span| (span.from_ms, span.to_ms, span.phase, span.down))
            .collect()
    }

    #[test]
    fn phases_follow_one_another_and_a_lock_splits_its_phase() {
        let mut history = History::default();
        note(&mut history, 10, EventKind::PhaseEntered(1), 0);
        note(&mut history, 20, EventKind::Locked, 0);
        note(&mut history, 30, EventKind::PhaseEntered(2), 0);
        note(&mut history, 30, EventKind::PhaseEntered(3), 0);
        let expected = [
            (10.0, Some(20.0), 1, false),
            (20.0, Some(30.0), 1, false),
            (30.0, None, 3, false),
        ];
        assert_eq!(ribbon(&history), expected);
        assert_eq!(
            history.ribbon(1, Some(TOPIC), true)[1].locked,
            Some(Hash32([7; 32]))
        );
        assert_eq!(history.marks(1, Some(TOPIC))[0].glyph, Glyph::Lock);
        assert_eq!(
            [10.0, 30.0, 99.0].map(|ms| history.last_change_before(ms)),
            [None, Some(20.0), Some(30.0)]
        );
    }

    #[test]
    fn a_crash_hides_the_phase_until_the_restart() {
        let mut history = History::default();
        note(&mut history, 10, EventKind::PhaseEntered(1), 0);
        note(&mut history, 20, EventKind::Crashed, 0);
        assert_eq!(
            ribbon(&history),
            [(10.0, Some(20.0), 1, false), (20.0, None, 1, true)]
        );
        note(&mut history, 40, EventKind::Restarted, 0);
        note(&mut history, 50, EventKind::PhaseEntered(2), 0);
        let expected = [
            (10.0, Some(20.0), 1, false),
            (20.0, Some(40.0), 1, true),
            (40.0, Some(50.0), 1, false),
            (50.0, None, 2, false),
        ];
        assert_eq!(ribbon(&history), expected);
    }

    #[test]
    fn a_node_that_is_down_before_it_heard_of_anything_shows_that() {
        let mut history = History::default();
        assert_eq!(history.ribbon(1, None, true), []);
        assert!(
            history.ribbon(1, None, false)[0].down,
            "offline from the start"
        );
        note(&mut history, 5, EventKind::Restarted, 0);
        assert_eq!(ribbon(&history), [(0.0, Some(5.0), 0, true)]);
        note(&mut history, 9, EventKind::Crashed, 0);
        assert_eq!(
            ribbon(&history),
            [(0.0, Some(5.0), 0, true), (9.0, None, 0, true)]
        );
    }
}
