//! Who preferred what over time, built of events as they come: as many notes as preferences changed.

use phaselab_core::event::{Event, EventKind};
use phaselab_core::ordered::Map;
use phaselab_core::types::{Hash32, InstanceId};

/// Choices that are told apart.
const CHOICES_MAX: usize = 32;

/// How many preferred each choice at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// When, in milliseconds.
    pub at_ms: f64,
    /// How many, in the order of the choices that were asked about.
    pub counts: Vec<usize>,
}

/// A node changed its preference.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    event: usize,
    at_ms: f64,
    node: u16,
    /// The place of the former one, 0 for none, else one more than its place.
    was: u8,
    is: u8,
}

/// Of one conflict set.
#[derive(Clone, Debug, Default, PartialEq)]
struct Flow {
    values: Vec<Hash32>,
    now: Vec<u8>,
    changes: Vec<Change>,
}

/// Of all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    flows: Map<InstanceId, Flow>,
}

impl Shares {
    /// Notes what an event says of a node's preference. `place` is its place in the log.
    pub fn note(&mut self, place: usize, at_ns: u64, node: u16, event: &Event) {
        let tells = matches!(event.kind, EventKind::PhaseEntered(_) | EventKind::Decided);
        let (true, Some(instance), Some(value)) = (tells && node > 0, event.instance, event.value)
        else {
            return;
        };
        let flow = self.flows.get_or_default(instance);
        let Some(is) = flow.number(value) else { return };
        let index = usize::from(node) - 1;
        if flow.now.len() <= index {
            flow.now.resize(index + 1, 0);
        }
        let was = std::mem::replace(&mut flow.now[index], is);
        if was != is {
            let at_ms = at_ns as f64 / 1e6;
            flow.changes.push(Change {
                event: place,
                at_ms,
                node,
                was,
                is,
            });
        }
    }

    /// Forgets all but the first so many events.
    pub fn cut(&mut self, events: usize) {
        for (_, flow) in self.flows.iter_mut() {
            while let Some(change) = flow.changes.pop() {
                if change.event < events {
                    flow.changes.push(change);
                    break;
                }
                flow.now[usize::from(change.node) - 1] = change.was;
            }
            // Values are numbered in the order in which they were first preferred.
            let numbers = flow.changes.iter().map(|change| change.is);
            flow.values.truncate(numbers.max().unwrap_or(0).into());
        }
        self.flows.retain(|_, flow| !flow.changes.is_empty());
    }

    /// Every value that somebody preferred.
    pub fn values(&self, instance: InstanceId) -> &[Hash32] {
        let flow = self.flows.get(&instance);
        flow.map_or(&[], |flow| &flow.values)
    }

    /// How many preferred which of `choices` at each of these times, which are in order.
    pub fn at(&self, instance: InstanceId, choices: &[Hash32], times_ms: &[f64]) -> Vec<Share> {
        let Some(flow) = self.flows.get(&instance) else {
            return Vec::new();
        };
        let places: Vec<Option<usize>> = flow
            .values
            .iter()
            .map(|value| choices.iter().position(|choice| choice == value))
            .collect();
        let place = |number: u8| *places.get(usize::from(number).checked_sub(1)?)?;
        let mut counts = vec![0usize; choices.len()];
        let mut changes = flow.changes.iter().peekable();
        let mut shares = Vec::with_capacity(times_ms.len());
        for at_ms in times_ms {
            while let Some(change) = changes.next_if(|change| change.at_ms <= *at_ms) {
                if let Some(was) = place(change.was) {
                    counts[was] -= 1;
                }
                if let Some(is) = place(change.is) {
                    counts[is] += 1;
                }
            }
            shares.push(Share {
                at_ms: *at_ms,
                counts: counts.clone(),
            });
        }
        shares
    }
}

impl Flow {
    /// The number of a value, from 1; `None` where there are too many.
    fn number(&mut self, value: Hash32) -> Option<u8> {
        let known = self.values.iter().position(|known| *known == value);
        let place = match known {
            Some(place) => place,
            None if self.values.len() < CHOICES_MAX => {
                self.values.push(value);
                self.values.len() - 1
            }
            None => return None,
        };
        u8::try_from(place + 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::types::Round;

    use super::*;

    const KEY: InstanceId = InstanceId(Hash32([1; 32]));
    const A: Hash32 = Hash32([7; 32]);
    const B: Hash32 = Hash32([8; 32]);

    fn noted(shares: &mut Shares, place: usize, ms: u64, node: u16, value: Hash32) {
        let event = Event::new(EventKind::PhaseEntered(1), Some(KEY), Round(0)).value(Some(value));
        shares.note(place, ms * 1_000_000, node, &event);
    }

    #[test]
    fn each_node_counts_once_and_for_what_it_preferred_last() {
        let mut shares = Shares::default();
        noted(&mut shares, 0, 10, 1, A);
        noted(&mut shares, 1, 20, 2, B);
        noted(&mut shares, 2, 30, 2, A);
        noted(&mut shares, 3, 40, 1, A);
        let counts = |shares: &Shares| -> Vec<Vec<usize>> {
            let at = shares.at(KEY, &[A, B], &[0.0, 10.0, 25.0, 99.0]);
            at.into_iter().map(|share| share.counts).collect()
        };
        assert_eq!(counts(&shares), [[0, 0], [1, 0], [1, 1], [2, 0]]);
        let whole = shares.clone();
        shares.cut(2);
        assert_eq!(counts(&shares), [[0, 0], [1, 0], [1, 1], [1, 1]]);
        noted(&mut shares, 2, 30, 2, A);
        assert_eq!(shares, whole, "the same again gives the same");
        assert_eq!(shares.at(InstanceId(A), &[A], &[5.0]), []);
        shares.cut(1);
        assert_eq!(shares.values(KEY), [A], "B is not heard of yet");
        shares.cut(0);
        assert_eq!(shares, Shares::default());
    }
}
