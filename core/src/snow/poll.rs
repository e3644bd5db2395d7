//! One poll: who was asked, what they said, and when more answers cannot change the result.

use super::Parameters;
use crate::ordered::{Map, Set};

/// The answers to one question. Only who was asked counts, and only once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Poll<V, C> {
    waiting: Set<V>,
    /// `None` for an answer without a vote.
    votes: Map<V, Option<C>>,
}

impl<V: Copy + Ord, C: Copy + Ord> Poll<V, C> {
    /// Waits for everyone who was asked; naming someone twice asks once.
    pub fn new(asked: impl IntoIterator<Item = V>) -> Poll<V, C> {
        Poll {
            waiting: asked.into_iter().collect(),
            votes: Map::new(),
        }
    }

    /// Takes in an answer, `None` if it came without a vote; whether it counts.
    pub fn vote(&mut self, from: V, choice: Option<C>) -> bool {
        let counts = self.waiting.remove(&from);
        if counts {
            self.votes.insert(from, choice);
        }
        counts
    }

    /// How many were asked.
    pub fn asked(&self) -> usize {
        self.waiting.len() + self.votes.len()
    }

    /// How many have not answered yet.
    pub fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// Who has not answered yet.
    pub fn waiting(&self) -> impl Iterator<Item = &V> {
        self.waiting.iter()
    }

    /// Who answered, and what.
    pub fn votes(&self) -> impl Iterator<Item = (&V, &Option<C>)> {
        self.votes.iter()
    }

    /// How many votes a choice has.
    pub fn count(&self, choice: C) -> u16 {
        let votes = self.votes.values().filter(|vote| **vote == Some(choice));
        at_most_all(votes.count())
    }

    /// The choice with the most votes and how many these are; the least choice on a tie, `None` without a vote.
    pub fn leading(&self) -> Option<(C, u16)> {
        let mut counts: Map<C, u16> = Map::new();
        for choice in self.votes.values().flatten() {
            let count = counts.get_or_default(*choice);
            *count = count.saturating_add(1);
        }
        let lead = counts
            .iter()
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        lead.map(|(choice, count)| (*choice, *count))
    }

    /// Whether the result stands, whatever is still to come. (S1-F17)
    ///
    /// 1. Nothing is outstanding.
    /// 2. Votes and outstanding answers together stay below `alpha_preference`.
    /// 3. The leading choice has `alpha_preference` and cannot reach `alpha_confidence`.
    /// 4. It has `alpha_confidence`.
    pub fn is_over(&self, parameters: &Parameters) -> bool {
        let outstanding = self.waiting.len();
        let votes = self.votes.values().flatten().count();
        if outstanding == 0 || votes + outstanding < usize::from(parameters.alpha_preference) {
            return true;
        }
        let lead = self.leading().map_or(0, |(_, count)| count);
        let cannot = usize::from(lead) + outstanding < usize::from(parameters.alpha_confidence);
        (lead >= parameters.alpha_preference && cannot) || lead >= parameters.alpha_confidence
    }
}

fn at_most_all(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
