//! What observers heard, kept compactly: ids are interned, and values get a letter in order of first appearance.

use alloc::string::String;
use alloc::vec::Vec;

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
}

/// The events of a run in order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    entries: Vec<Entry>,
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

    pub(super) fn push(&mut self, node: NodeId, event: &Event) {
        let instance = event.instance.map_or(NONE, |id| self.instances.intern(id));
        let value = event.value.map_or(NONE, |value| self.values.intern(value));
        if instance != NONE && value != NONE {
            let letters = self.letters.get_or_default(instance);
            if !letters.contains(&value) {
                letters.push(value);
            }
        }
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
        });
        self.index = self.index.saturating_add(1);
    }

    /// Forgets the events after the first `len`, when a run is rewound; letters stay, as the same run gives them again.
    pub(super) fn truncate(&mut self, len: usize) {
        self.entries.truncate(len);
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
        log.push(NodeId(3), &event(9));
        log.push(NodeId(1), &event(4));
        log.begin(6, Time::from_ms(10));
        log.push(NodeId(2), &event(9).peer(NodeId(7)));
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
    }
}
