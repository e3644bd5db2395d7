//! Outputs that are promised to events, so that two events do not wait for the same one for ever.
//!
//! A node promises the inputs of what it proposed, until its round ends, and the inputs of what it is locked on, of what
//! a quorum proposed, and of what is decided, until the event ends. Of two events that are only proposed, the one with
//! the lower id may use an output: every node breaks the tie alike, so that one of them finds its quorum.

use alloc::vec::Vec;

use super::TwoPhase;
use crate::ledger::OutPoint;
use crate::ordered::Map;
use crate::types::{Hash32, InstanceId};

/// How firmly an output is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// By a proposal of the current round.
    Proposed,
    /// By a lock, by a quorum of proposals, or by a decision.
    Bound,
}

/// The promises of a node. Derived from rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reservations {
    holds: Map<OutPoint, Map<InstanceId, Hold>>,
    outputs: Map<InstanceId, Vec<OutPoint>>,
}

impl Reservations {
    /// Promises an output to an event.
    pub fn hold(&mut self, outpoint: OutPoint, event: InstanceId, hold: Hold) {
        let known = self.holds.get_or_default(outpoint);
        let before = known.get(&event).copied();
        known.insert(event, before.map_or(hold, |before| before.max(hold)));
        if before.is_none() {
            self.outputs.get_or_default(event).push(outpoint);
        }
    }

    /// Takes back all that was promised to an event.
    pub fn release(&mut self, event: InstanceId) {
        for outpoint in self.outputs.remove(&event).unwrap_or_default() {
            let Some(known) = self.holds.get_mut(&outpoint) else {
                continue;
            };
            known.remove(&event);
            if known.is_empty() {
                self.holds.remove(&outpoint);
            }
        }
    }

    /// Whether an event may use an output: it is bound to it, or no other is and no other with a lower id proposed it.
    pub fn is_free_for(&self, outpoint: &OutPoint, event: InstanceId) -> bool {
        let Some(known) = self.holds.get(outpoint) else {
            return true;
        };
        let gives_way = |(other, hold): (&InstanceId, &Hold)| {
            *other == event || (*hold == Hold::Proposed && event < *other)
        };
        known.get(&event) == Some(&Hold::Bound) || known.iter().all(gives_way)
    }
}

impl TwoPhase {
    /// Promises to an event what its row says, and nothing else: called whenever that changes.
    pub(super) fn settle_reservations(&mut self, event: InstanceId) {
        self.reserved.release(event);
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let proven = [row.rounds.locked, row.rounds.valid].map(|at| at.map(|(_, hash)| hash));
        let (decided, proposed) = (row.canonical_hash, row.own_proposal_hash);
        if decided.is_some() {
            return self.promise(event, decided, Hold::Bound);
        }
        for hash in proven {
            self.promise(event, hash, Hold::Bound);
        }
        self.promise(event, proposed, Hold::Proposed);
    }

    fn promise(&mut self, event: InstanceId, template: Option<Hash32>, hold: Hold) {
        let pskt = template.and_then(|hash| self.templates.get(&(event, hash)));
        for input in pskt.iter().flat_map(|pskt| &pskt.inputs) {
            self.reserved.hold(input.outpoint, event, hold);
        }
    }

    /// Takes back what was promised to an event.
    pub(super) fn unreserve(&mut self, event: InstanceId) {
        self.reserved.release(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_id_goes_first_and_what_is_bound_stays() {
        let outpoint = OutPoint {
            txid: Hash32([1; 32]),
            index: 0,
        };
        let [low, high] = [1, 2].map(|byte| InstanceId(Hash32([byte; 32])));
        let mut reserved = Reservations::default();
        reserved.hold(outpoint, high, Hold::Proposed);
        assert!(reserved.is_free_for(&outpoint, low));
        reserved.hold(outpoint, low, Hold::Proposed);
        assert!(!reserved.is_free_for(&outpoint, high));
        reserved.release(low);
        assert!(reserved.is_free_for(&outpoint, high));
        reserved.hold(outpoint, high, Hold::Bound);
        reserved.hold(outpoint, high, Hold::Proposed);
        assert!(!reserved.is_free_for(&outpoint, low), "never loosened");
        reserved.hold(outpoint, low, Hold::Proposed);
        assert!(reserved.is_free_for(&outpoint, high), "bound is bound");
        reserved.release(high);
        reserved.release(low);
        assert_eq!(reserved, Reservations::default());
    }
}
