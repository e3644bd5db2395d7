//! What happened to each node over time: ribbons of phases, and glyphs. Built of events as they come.

use phaselab_core::event::{Event, EventKind};
use phaselab_core::ordered::Map;
use phaselab_core::types::{Hash32, InstanceId};
use phaselab_core::view::Spec;

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
    /// Came to lead.
    Crown,
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
            EventKind::Elected => Glyph::Crown,
            _ => return None,
        })
    }

    /// Whether it is one to find one's way by: locks, decisions and faults, not what every message is drawn for anyway.
    pub fn is_landmark(self) -> bool {
        !matches!(self, Glyph::Propose | Glyph::Lost | Glyph::Defer)
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
            Glyph::Crash => "⊘",
            Glyph::Restart => "↻",
            Glyph::Defer => "…",
            Glyph::Crown => "♛",
        }
    }
}

/// Where a ribbon changes, and the place of the event that changed it in the list of events.
#[derive(Clone, Debug, PartialEq)]
struct Turn {
    event: usize,
    from_ms: f64,
    phase: u8,
    round: u32,
    locked: Option<Hash32>,
}

/// A stretch of time in which a node was down.
#[derive(Clone, Debug, PartialEq)]
struct Down {
    event: usize,
    from_ms: f64,
    /// The restart, if there was one: its event, and when.
    up: Option<(usize, f64)>,
}

/// One node's past. Everything in it knows its event, so that it can be cut off where a run is rewound.
#[derive(Clone, Debug, Default, PartialEq)]
struct Lane {
    ribbons: Map<InstanceId, Vec<Turn>>,
    /// Of each instance, and of the node as a whole.
    marks: Map<Option<InstanceId>, Vec<Mark>>,
    downs: Vec<Down>,
}

/// The past of every node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The protocol's shape; without it nothing is a part of something else.
    spec: Option<&'static Spec>,
    lanes: FewMap<u16, Lane>,
    topics: Vec<InstanceId>,
    /// The event with which each topic began.
    begun: Map<InstanceId, usize>,
    events: usize,
}

impl History {
    /// The past of a protocol's nodes, before it begins.
    pub fn of(spec: &'static Spec) -> History {
        History {
            spec: Some(spec),
            ..History::default()
        }
    }

    /// Whether an instance is a part of another: none that is ever listed.
    pub fn is_part(&self, instance: InstanceId) -> bool {
        let has_parts = self.spec.is_some_and(Spec::has_nested);
        has_parts && !self.begun.contains_key(&instance)
    }

    /// Whether an event is of an instance that is no part: of those, messages tell, and phases that are theirs.
    fn is_of_whole(&self, event: &Event) -> bool {
        let Some(spec) = self.spec.filter(|spec| spec.has_nested()) else {
            return true;
        };
        match event.kind {
            EventKind::PhaseEntered(phase) => {
                let phase = spec.phases.get(usize::from(phase));
                phase.is_some_and(|phase| !spec.is_nested(phase.instance))
            }
            kind => kind.is_of_full_level(),
        }
    }

    /// Forgets an instance.
    pub fn forget(&mut self, instance: InstanceId) {
        self.topics.retain(|topic| *topic != instance);
        self.begun.remove(&instance);
        for lane in self.lanes.values_mut() {
            lane.ribbons.remove(&instance);
            lane.marks.remove(&Some(instance));
        }
    }

    /// Forgets all but the first so many events.
    pub fn cut(&mut self, events: usize) {
        self.events = self.events.min(events);
        while let Some(last) = self.topics.last().copied()
            && self.begun.get(&last).is_none_or(|begun| *begun >= events)
        {
            self.topics.pop();
            self.begun.remove(&last);
        }
        for lane in self.lanes.values_mut() {
            lane.cut(events);
        }
    }

    /// The phase and round that a node's ribbon ends with.
    pub fn last_phase(&self, node: u16, instance: InstanceId) -> Option<(u8, u32)> {
        self.lanes
            .get(&node)?
            .last(instance)
            .map(|turn| (turn.phase, turn.round))
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
            && !self.begun.contains_key(&instance)
            && self.is_of_whole(event)
        {
            self.topics.push(instance);
            self.begun.insert(instance, index);
        }
        if node == 0 {
            return;
        }
        let lane = self.lanes.get_or_insert_with(node, Lane::default);
        if let Some(glyph) = Glyph::of(event.kind) {
            lane.marks.get_or_default(event.instance).push(Mark {
                at_ns,
                glyph,
                event: index,
            });
        }
        lane.note(index, at_ns as f64 / 1e6, event);
    }

    /// The ribbon of one instance at a node, with the stretches in which the node was down.
    pub fn ribbon(&self, node: u16, instance: Option<InstanceId>, is_up: bool) -> Vec<Span> {
        let unheard = Lane::default();
        let lane = self.lanes.get(&node).unwrap_or(&unheard);
        let phases = instance.map(|id| lane.spans(id)).unwrap_or_default();
        // A node that never started has not crashed either: it was down from the beginning.
        let is_known = lane.downs.last().is_some_and(|down| down.up.is_none());
        let never = (!is_up && !is_known).then_some((0.0, None));
        let downs = lane
            .downs
            .iter()
            .map(|down| (down.from_ms, down.up.map(|(_, ms)| ms)))
            .chain(never);
        downs.fold(phases, |spans, (from_ms, to_ms)| cut(spans, from_ms, to_ms))
    }

    /// The glyphs of one instance, and of the node as a whole.
    pub fn marks(&self, node: u16, instance: Option<InstanceId>) -> Vec<Mark> {
        let Some(lane) = self.lanes.get(&node) else {
            return Vec::new();
        };
        let own = instance.and_then(|id| lane.marks.get(&Some(id)));
        let whole = lane.marks.get(&None);
        let mut marks: Vec<Mark> = own.into_iter().chain(whole).flatten().cloned().collect();
        marks.sort_by_key(|mark| mark.event);
        marks
    }

    /// The last moment before a time at which any node entered a phase or round, or locked, in milliseconds.
    pub fn last_change_before(&self, ms: f64) -> Option<f64> {
        let ribbons = self.lanes.values().flat_map(|lane| lane.ribbons.values());
        let last = |turns: &Vec<Turn>| {
            let place = turns.partition_point(|turn| turn.from_ms < ms);
            turns.get(place.checked_sub(1)?).map(|turn| turn.from_ms)
        };
        ribbons.filter_map(last).max_by(f64::total_cmp)
    }
}

impl Lane {
    fn note(&mut self, index: usize, at_ms: f64, event: &Event) {
        let last = event
            .instance
            .and_then(|id| self.last(id))
            .cloned()
            .map(|last| Turn {
                event: index,
                from_ms: at_ms,
                ..last
            });
        let round = event.round.0;
        let turn = match (event.kind, last) {
            (EventKind::PhaseEntered(phase), _) => Some(Turn {
                event: index,
                from_ms: at_ms,
                phase,
                round,
                locked: None,
            }),
            (EventKind::RoundEntered, Some(last)) if last.round != round => {
                Some(Turn { round, ..last })
            }
            (EventKind::Locked, Some(last)) if last.locked != event.value => Some(Turn {
                locked: event.value,
                ..last
            }),
            _ => None,
        };
        if let Some((instance, turn)) = event.instance.zip(turn) {
            self.ribbons.get_or_default(instance).push(turn);
        }
        let is_first = self.downs.is_empty() && self.ribbons.is_empty();
        let open = self.downs.last_mut().filter(|down| down.up.is_none());
        match (event.kind, open) {
            (EventKind::Crashed, None) => self.downs.push(Down {
                event: index,
                from_ms: at_ms,
                up: None,
            }),
            (EventKind::Restarted, Some(down)) => down.up = Some((index, at_ms)),
            (EventKind::Restarted, None) if is_first => {
                // Its first start: it was down from the beginning.
                self.downs.push(Down {
                    event: index,
                    from_ms: 0.0,
                    up: Some((index, at_ms)),
                });
            }
            _ => {}
        }
    }

    fn last(&self, instance: InstanceId) -> Option<&Turn> {
        self.ribbons.get(&instance)?.last()
    }

    /// What lasted, and what still lasts: a turn that another one follows at once is not drawn.
    fn spans(&self, instance: InstanceId) -> Vec<Span> {
        let turns = self.ribbons.get(&instance).map_or(&[][..], Vec::as_slice);
        let ends = turns.iter().skip(1).map(|turn| Some(turn.from_ms));
        turns
            .iter()
            .zip(ends.chain([None]))
            .filter(|(turn, to_ms)| *to_ms != Some(turn.from_ms))
            .map(|(turn, to_ms)| Span {
                from_ms: turn.from_ms,
                to_ms,
                phase: turn.phase,
                round: turn.round,
                down: false,
                locked: turn.locked,
            })
            .collect()
    }

    fn cut(&mut self, events: usize) {
        self.ribbons.retain(|_, turns| {
            turns.truncate(turns.partition_point(|turn| turn.event < events));
            !turns.is_empty()
        });
        self.marks.retain(|_, marks| {
            marks.truncate(marks.partition_point(|mark| mark.event < events));
            !marks.is_empty()
        });
        self.downs.retain(|down| down.event < events);
        if let Some(down) = self.downs.last_mut() {
            down.up = down.up.filter(|(event, _)| *event < events);
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

    #[test]
    fn a_cut_history_is_that_of_fewer_events() {
        let kinds = [
            (0, EventKind::Restarted),
            (5, EventKind::PhaseEntered(1)),
            (9, EventKind::Proposed),
            (20, EventKind::Locked),
            (20, EventKind::PhaseEntered(2)),
            (20, EventKind::PhaseEntered(3)),
            (30, EventKind::Crashed),
            (40, EventKind::Restarted),
            (41, EventKind::RoundEntered),
            (50, EventKind::Decided),
        ];
        let of = |count: usize| {
            let mut history = History::default();
            for (ms, kind) in &kinds[..count] {
                note(&mut history, *ms, *kind, u32::from(*ms > 40));
            }
            history
        };
        for from in 0..=kinds.len() {
            for to in 0..=from {
                let mut history = of(from);
                history.cut(to);
                for is_up in [true, false] {
                    let drawn = |of: &History| of.ribbon(1, Some(TOPIC), is_up);
                    assert_eq!(drawn(&history), drawn(&of(to)), "{from} to {to}");
                }
                assert_eq!(history.marks(1, Some(TOPIC)), of(to).marks(1, Some(TOPIC)));
                assert_eq!(history.topics(), of(to).topics());
                assert_eq!(history.events(), to);
            }
        }
    }

    #[test]
    fn a_part_of_something_is_no_topic() {
        use phaselab_core::protocol::ProtocolKind;
        use phaselab_core::protocol::sharded_2pc::phase;

        let mut history = History::of(ProtocolKind::Sharded2pc.spec());
        let slot = InstanceId(Hash32([2; 32]));
        let of = |kind, instance| Event::new(kind, Some(instance), Round(1));
        for kind in [
            EventKind::Proposed,
            EventKind::PhaseEntered(phase::EXECUTED),
            EventKind::Decided,
        ] {
            history.note(1, 1, &of(kind, slot));
        }
        assert!(history.topics().is_empty() && history.is_part(slot));
        history.note(2, 1, &of(EventKind::MessageDelivered(2), TOPIC));
        assert_eq!(history.topics(), [TOPIC]);
        assert!(!history.is_part(TOPIC));
        history.cut(3);
        assert!(history.topics().is_empty());
        // Where nothing is part of anything, whatever is first heard of is a topic.
        let mut history = History::of(ProtocolKind::TwoPhase.spec());
        history.note(1, 1, &of(EventKind::Proposed, slot));
        assert_eq!(history.topics(), [slot]);
    }
}
