//! A second run of the scenario that goes ahead to its end, so that the page knows how long the story is.

use phaselab_core::event::{EventKind, Level};
use phaselab_core::narrate;
use phaselab_core::scenario::Intervention;
use phaselab_core::sim::Sim;
use phaselab_core::sim::timeline::NODES_MANY;

/// The shortest stretch of time that lanes show.
const HORIZON_MS_MIN: f64 = 100.0;

/// Looks ahead.
pub(super) struct Scout {
    sim: Option<Sim>,
    read: usize,
    /// When something happened that is worth telling: in order, each once.
    moments_ms: Vec<f64>,
    faults_ms: Vec<f64>,
}

impl Scout {
    /// One that takes a run of its own ahead.
    pub(super) fn new(mut sim: Sim) -> Scout {
        // Of many nodes the phases are as many as their polls: what is worth telling is what they come to.
        sim.set_level(match is_many(&sim) {
            true => Level::Decisions,
            false => Level::Protocol,
        });
        sim.set_check_recovery(false);
        Scout {
            sim: Some(sim),
            read: 0,
            moments_ms: Vec::new(),
            faults_ms: Vec::new(),
        }
    }

    /// One that goes on from where a run was changed.
    pub(super) fn again(mut sim: Sim, by_hand: &[Intervention]) -> Scout {
        let done = sim.interventions_by_hand().len();
        sim.plan_by_hand(by_hand.get(done..).unwrap_or_default());
        // What was told up to here is read again: what was just done belongs to it.
        Scout::new(sim)
    }

    pub(super) fn is_done(&self) -> bool {
        self.sim.is_none()
    }

    pub(super) fn horizon_ms(&self) -> f64 {
        // A twelfth more, so that the last ribbon has room for its word.
        let last = self.moments_ms.last().copied().unwrap_or(0.0);
        (last * 13.0 / 12.0).max(HORIZON_MS_MIN)
    }

    pub(super) fn moments_ms(&self) -> &[f64] {
        &self.moments_ms
    }

    /// The first moment after a time.
    pub(super) fn next_moment_ms(&self, after_ms: f64) -> Option<f64> {
        let place = self.moments_ms.partition_point(|ms| *ms <= after_ms);
        self.moments_ms.get(place).copied()
    }

    pub(super) fn faults_ms(&self) -> &[f64] {
        &self.faults_ms
    }

    pub(super) fn work(&mut self, has_time: &mut dyn FnMut() -> bool) {
        while let Some(sim) = &mut self.sim {
            let stepped = sim.step();
            for entry in sim.log().iter_from(self.read) {
                if entry.event.kind.is_of_full_level() {
                    continue;
                }
                let at_ms = entry.at.0 as f64 / 1e6;
                let is_phase = matches!(entry.event.kind, EventKind::PhaseEntered(_));
                let is_new = self.moments_ms.last().is_none_or(|last| *last < at_ms);
                if is_new && (is_phase || narrate::is_worth_telling(sim.spec(), &entry.event)) {
                    self.moments_ms.push(at_ms);
                }
                if is_fault(entry.event.kind) {
                    self.faults_ms.push(at_ms);
                }
            }
            self.read = sim.log().len();
            if stepped.is_none() {
                if self.moments_ms.is_empty() && is_many(sim) {
                    // Nothing is decided: what there is to see are polls, to the end.
                    self.moments_ms.push(sim.now().0 as f64 / 1e6);
                }
                self.sim = None;
            } else if !has_time() {
                break;
            }
        }
    }
}

fn is_many(sim: &Sim) -> bool {
    sim.scenario().nodes > NODES_MANY
}

pub(super) fn is_fault(kind: EventKind) -> bool {
    use EventKind::{Crashed, FaultInjected, Healed, Partitioned, Restarted};
    matches!(
        kind,
        Crashed | FaultInjected | Healed | Partitioned | Restarted
    )
}
