//! What is derived from rows: rebuilt at a start, and what must hold between tables.

use alloc::sync::Arc;

use super::phase::EventPhase;
use super::{Outcome, TwoPhase, abandon, commit};
use crate::engine::Env;
use crate::ordered::Set;
use crate::store::RecoverError;
use crate::types::InstanceId;

impl TwoPhase {
    /// Rebuilds what is derived from rows: votes of open events, promised outputs, the order of learning.
    pub(super) fn rebuild(&mut self, env: &Env<Self>) -> Result<(), RecoverError> {
        let inconsistent = |expected| Err(RecoverError::Inconsistent { expected });
        for (event, row) in self.phases.iter() {
            if !self.events.contains(event) {
                return inconsistent("an event's body beside its phase");
            }
            if !self.index.contains(&(row.phase as u8, *event)) {
                return inconsistent("the phase index to agree with the phase");
            }
            if row.phase.is_decided() && row.canonical_hash.is_none() {
                return inconsistent("a decided event to have its template");
            }
        }
        if self.index.len() != self.phases.len() {
            return inconsistent("one phase index entry per event");
        }
        let open: Set<InstanceId> = self.open_events().into_iter().collect();
        for event in open.iter() {
            self.live.get_or_default(*event);
        }
        for ((event, round, proposer), stored) in self.proposals.iter() {
            if open.contains(event) {
                let live = Arc::make_mut(self.live.get_or_default(*event));
                live.votes.add(stored.vote(*event, *round, *proposer));
            }
        }
        for event in open {
            let Some(row) = self.phases.get(&event) else {
                continue;
            };
            if let Some((round, value)) = row.rounds.locked {
                let lock = commit::lock_vote(env, event, round, value);
                Arc::make_mut(self.live.get_or_default(event))
                    .votes
                    .add(lock);
            }
            if row.withdrawn {
                let abandon = abandon::abandon_vote(env, event);
                Arc::make_mut(self.live.get_or_default(event))
                    .votes
                    .add(abandon);
            }
            if !row.withdrawn || row.canonical_hash.is_some() {
                self.settle_reservations(event);
            }
        }
        self.sync.learned = self.events.iter().map(|(event, _)| *event).collect();
        Ok(())
    }

    /// What must hold between tables, beyond what types say.
    pub(super) fn assert_consistent(&self) {
        for (event, row) in self.phases.iter() {
            assert!(
                self.index.contains(&(row.phase as u8, *event)),
                "the index follows the phase"
            );
            assert_eq!(
                row.phase.is_decided(),
                row.canonical_hash.is_some(),
                "decided means a template"
            );
            if let Some(signed) = self.signatures.get(event) {
                assert_eq!(
                    Some(*signed),
                    row.canonical_hash,
                    "only the decided template is signed"
                );
            }
            let is_over = row.phase == EventPhase::Completed
                || matches!(self.outcomes.get(event), Some(Outcome::Abandon(_)));
            assert_eq!(
                self.live.contains_key(event),
                !is_over,
                "what is held in memory is held for open events"
            );
            if let Some(Outcome::Abandon(_)) = self.outcomes.get(event) {
                assert_eq!(
                    row.phase,
                    EventPhase::Abandoned,
                    "an AbandonCert ends the event"
                );
            }
            assert!(
                !(row.withdrawn && row.rounds.locked.is_some()),
                "only a node that never locked withdraws"
            );
        }
    }
}
