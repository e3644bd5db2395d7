//! What observers heard, kept compactly: ids are interned, and values get a letter in order of first appearance.
//!
//! With each event goes its cause, what the node was told in the step that brought it, and with each message that a node
//! was told the cause of its sending: [`crate::why`] goes back along both.

use alloc::string::String;
use alloc::vec::Vec;

use crate::engine::{MessageInfo, TimerInfo};
use crate::event::{Event, EventKind};
use crate::ordered::Map;
use crate::types::{Hash32, InstanceId, NodeId, Round, Time};

/// An event's id: the step, and which event of that step. The same at every level that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// The step.
    pub step: u64,
    /// Its place among the step's events at the fullest level that was recorded.
    pub index: u16,
}

/// An event with where and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its id.
    pub id: EventId,
    /// When.
    pub at: Time,
    /// At which node; 0 for the network as a whole.
    pub node: NodeId,
    /// What.
    pub event: Event,
    /// What brought it; of a lost message, what its sender sent it upon. `None` for faults, and where it was not kept.
    pub cause: Option<CauseId>,
}

/// What a node was told in one step, by its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CauseId(u32);

/// What a node was told in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The step.
    pub step: u64,
    /// When.
    pub at: Time,
    /// Which node.
    pub node: NodeId,
    /// How many events were told before.
    pub place: usize,
    /// What it was told.
    pub what: Told,
}

/// What nodes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// To begin a life.
    Start,
    /// A client's request.
    Request,
    /// What is new in the world outside.
    Fact,
    /// That a timer is due.
    Timer(TimerInfo),
    /// A message.
    Message {
        /// From whom.
        from: NodeId,
        /// How it is drawn.
        info: MessageInfo,
        /// What its sender had been told when it sent it.
        sent: Option<CauseId>,
    },
}

/// A point in a log to which it can be cut back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    entries: usize,
    causes: usize,
    of_protocol: u64,
    step: u64,
    index: u16,
}

/// The events of a run in order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    entries: Vec<Entry>,
    causes: Vec<Kept>,
    /// How many events are not of the full level.
    of_protocol: u64,
    instances: Interner<InstanceId>,
    values: Interner<Hash32>,
    /// The letters of each instance's values, in order of first appearance.
    letters: Map<u32, Vec<u32>>,
    step: u64,
    at: Time,
    index: u16,
}

/// As stored: ids by number, `NONE` for absent ones.
#[derive(Clone, Copy, Debug)]
struct Entry {
    step: u64,
    at: Time,
    have: u32,
    need: u32,
    total: u32,
    instance: u32,
    value: u32,
    round: Round,
    index: u16,
    node: NodeId,
    peer: NodeId,
    kind: EventKind,
    cause: u32,
}

/// A cause as stored.
#[derive(Clone, Copy, Debug)]
struct Kept {
    step: u64,
    at: Time,
    place: u32,
    instance: u32,
    value: u32,
    round: Round,
    node: NodeId,
    what: KeptTold,
}

#[derive(Clone, Copy, Debug)]
enum KeptTold {
    Start,
    Request,
    Fact,
    /// By name, and whether a round bounds it.
    Timer(&'static str, bool),
    Message {
        from: NodeId,
        kind: u8,
        sent: u32,
    },
}

const NONE: u32 = u32::MAX;

impl Log {
    /// How many events there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was heard.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The event at a place.
    pub fn get(&self, index: usize) -> Option<Logged> {
        self.entries.get(index).map(|entry| self.expand(entry))
    }

    /// All events from a place on, in order.
    pub fn iter_from(&self, index: usize) -> impl Iterator<Item = Logged> + '_ {
        self.entries
            .iter()
            .skip(index)
            .map(|entry| self.expand(entry))
    }

    /// All events in order.
    pub fn iter(&self) -> impl Iterator<Item = Logged> + '_ {
        self.iter_from(0)
    }

    /// How many events an observer of the level `protocol` was told.
    pub(super) fn of_protocol(&self) -> u64 {
        self.of_protocol
    }

    /// What a node was told.
    pub fn cause(&self, id: CauseId) -> Option<Cause> {
        let kept = self.causes.get(id.0 as usize)?;
        let (instance, round) = (self.instances.get(kept.instance), kept.round);
        let what = match kept.what {
            KeptTold::Start => Told::Start,
            KeptTold::Request => Told::Request,
            KeptTold::Fact => Told::Fact,
            KeptTold::Timer(name, is_bounded) => Told::Timer(TimerInfo {
                name,
                instance,
                round: is_bounded.then_some(round),
            }),
            KeptTold::Message { from, kind, sent } => Told::Message {
                from,
                info: MessageInfo {
                    kind,
                    instance,
                    round,
                    value: self.values.get(kept.value),
                },
                sent: (sent != NONE).then_some(CauseId(sent)),
            },
        };
        Some(Cause {
            step: kept.step,
            at: kept.at,
            node: kept.node,
            place: kept.place as usize,
            what,
        })
    }

    /// Everything that nodes were told, in order.
    pub fn causes(&self) -> impl DoubleEndedIterator<Item = (CauseId, Cause)> + '_ {
        let ids = (0..self.causes.len() as u32).map(CauseId);
        ids.filter_map(|id| Some((id, self.cause(id)?)))
    }

    /// The letter of a value: A for the first that appeared in this instance, and so on; after Z, Z2, Z3, ...
    pub fn letter(&self, instance: InstanceId, value: Hash32) -> Option<String> {
        let letters = self.letters.get(&self.instances.find(&instance)?)?;
        let value = self.values.find(&value)?;
        letters
            .iter()
            .position(|known| *known == value)
            .map(letter_at)
    }

    pub(super) fn begin(&mut self, step: u64, at: Time) {
        if self.step != step {
            self.index = 0;
        }
        (self.step, self.at) = (step, at);
    }

    /// Keeps what a node is told in the step that began.
    pub(super) fn tell(&mut self, node: NodeId, what: Told) -> CauseId {
        let (mut instance, mut value, mut round) = (None, None, Round(0));
        let what = match what {
            Told::Start => KeptTold::Start,
            Told::Request => KeptTold::Request,
            Told::Fact => KeptTold::Fact,
            Told::Timer(info) => {
                (instance, round) = (info.instance, info.round.unwrap_or_default());
                KeptTold::Timer(info.name, info.round.is_some())
            }
            Told::Message { from, info, sent } => {
                (instance, value, round) = (info.instance, info.value, info.round);
                KeptTold::Message {
                    from,
                    kind: info.kind,
                    sent: number_of(sent),
                }
            }
        };
        self.causes.push(Kept {
            step: self.step,
            at: self.at,
            place: self.entries.len() as u32,
            instance: instance.map_or(NONE, |id| self.instances.intern(id)),
            value: value.map_or(NONE, |value| self.values.intern(value)),
            round,
            node,
            what,
        });
        CauseId(self.causes.len() as u32 - 1)
    }

    pub(super) fn push(&mut self, node: NodeId, event: &Event, cause: Option<CauseId>) {
        self.of_protocol += u64::from(!event.kind.is_of_full_level());
        let instance = event.instance.map_or(NONE, |id| self.instances.intern(id));
        let value = event.value.map_or(NONE, |value| self.values.intern(value));
        self.learn_letter(instance, value);
        self.entries.push(Entry {
            step: self.step,
            at: self.at,
            have: narrow(event.have),
            need: narrow(event.need),
            total: narrow(event.total),
            instance,
            value,
            round: event.round,
            index: self.index,
            node,
            peer: event.peer.unwrap_or(NodeId(0)),
            kind: event.kind,
            cause: number_of(cause),
        });
        self.index = self.index.saturating_add(1);
    }

    /// Where it stands.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            entries: self.entries.len(),
            causes: self.causes.len(),
            of_protocol: self.of_protocol,
            step: self.step,
            index: self.index,
        }
    }

    /// Forgets what came after a point, when a run is rewound; letters stay, as the same run gives them again.
    pub(super) fn cut(&mut self, mark: Mark) {
        self.entries.truncate(mark.entries);
        self.causes.truncate(mark.causes);
        self.of_protocol = mark.of_protocol;
        (self.step, self.index) = (mark.step, mark.index);
    }

    /// Gives values their letters anew, after a run was changed that had given more of them.
    pub(super) fn relearn_letters(&mut self) {
        self.letters = Map::new();
        for place in 0..self.entries.len() {
            let Entry {
                instance, value, ..
            } = self.entries[place];
            self.learn_letter(instance, value);
        }
    }

    fn learn_letter(&mut self, instance: u32, value: u32) {
        if instance != NONE && value != NONE {
            let letters = self.letters.get_or_default(instance);
            if !letters.contains(&value) {
                letters.push(value);
            }
        }
    }

    fn expand(&self, entry: &Entry) -> Logged {
        let event = Event {
            kind: entry.kind,
            instance: self.instances.get(entry.instance),
            round: entry.round,
            value: self.values.get(entry.value),
            peer: (entry.peer.0 != 0).then_some(entry.peer),
            have: u64::from(entry.have),
            need: u64::from(entry.need),
            total: u64::from(entry.total),
        };
        Logged {
            id: EventId {
                step: entry.step,
                index: entry.index,
            },
            at: entry.at,
            node: entry.node,
            event,
            cause: (entry.cause != NONE).then_some(CauseId(entry.cause)),
        }
    }
}

/// The letter at a place: A to Z, then Z2, Z3, ...
pub fn letter_at(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place @ 0..26) => String::from(char::from(b'A' + place)),
        _ => alloc::format!("Z{}", place - 24),
    }
}

fn number_of(cause: Option<CauseId>) -> u32 {
    cause.map_or(NONE, |CauseId(number)| number)
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[derive(Clone, Debug)]
struct Interner<T> {
    values: Vec<T>,
    numbers: Map<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner {
            values: Vec::new(),
            numbers: Map::new(),
        }
    }
}

impl<T: Copy + Ord> Interner<T> {
    fn intern(&mut self, value: T) -> u32 {
        *self.numbers.get_or_insert_with(value, || {
            self.values.push(value);
            (self.values.len() - 1) as u32
        })
    }

    fn find(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    fn get(&self, number: u32) -> Option<T> {
        self.values.get(number as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_follow_first_appearance_and_events_come_back_whole() {
        let mut log = Log::default();
        let instance = InstanceId(Hash32([1; 32]));
        let event = |value: u8| {
            Event::new(EventKind::Proposed, Some(instance), Round(2))
                .value(Some(Hash32([value; 32])))
                .count(1, 2, 3)
        };
        log.begin(5, Time::from_ms(9));
        log.push(NodeId(3), &event(9), None);
        log.push(NodeId(1), &event(4), None);
        log.begin(6, Time::from_ms(10));
        let what = Told::Timer(TimerInfo {
            name: "round",
            instance: Some(instance),
            round: Some(Round(2)),
        });
        let cause = log.tell(NodeId(2), what);
        log.push(NodeId(2), &event(9).peer(NodeId(7)), Some(cause));
        assert_eq!(log.letter(instance, Hash32([9; 32])).as_deref(), Some("A"));
        assert_eq!(log.letter(instance, Hash32([4; 32])).as_deref(), Some("B"));
        assert_eq!(log.letter(instance, Hash32([5; 32])), None);
        let last = log.get(2).unwrap();
        assert_eq!(
            (last.id, last.node),
            (EventId { step: 6, index: 0 }, NodeId(2))
        );
        assert_eq!(last.event, event(9).peer(NodeId(7)));
        assert_eq!(log.get(1).unwrap().id.index, 1);
        assert_eq!(letter_at(27), "Z3");
        let cause = log.cause(last.cause.unwrap()).unwrap();
        assert_eq!((cause.step, cause.node, cause.place), (6, NodeId(2), 2));
        assert_eq!(cause.what, what);
    }

    #[test]
    fn a_log_that_was_cut_back_numbers_its_events_as_before() {
        let mut log = Log::default();
        let event = Event::new(EventKind::Proposed, None, Round(0));
        log.begin(7, Time::ZERO);
        log.push(NodeId(1), &event, None);
        let mark = log.mark();
        let ids = |log: &mut Log| {
            log.begin(8, Time::ZERO);
            let message = Told::Message {
                from: NodeId(2),
                info: MessageInfo::default(),
                sent: None,
            };
            let cause = log.tell(NodeId(1), message);
            log.push(NodeId(1), &event, Some(cause));
            log.push(NodeId(1), &event, Some(cause));
            log.iter()
                .map(|entry| (entry.id, entry.cause))
                .collect::<Vec<_>>()
        };
        let first = ids(&mut log);
        log.cut(mark);
        assert_eq!((log.len(), log.of_protocol()), (1, 1));
        assert_eq!(ids(&mut log), first);
    }
}
