//! What a person does to a run between two of its steps, recorded so that it can be done again.

use alloc::string::String;
use alloc::vec::Vec;

use super::Sim;
use crate::scenario::{Act, At, Intervention};

impl Sim {
    /// What a person did to this run, in order: together with the scenario, all that a replay needs.
    pub fn interventions_by_hand(&self) -> &[Intervention] {
        &self.by_hand
    }

    /// The same, and of a run that was rewound also what it meets again on its way forward.
    pub fn whole_by_hand(&self) -> Vec<Intervention> {
        let ahead = self.by_hand_ahead.iter().rev();
        self.by_hand.iter().chain(ahead).cloned().collect()
    }

    /// Does these things by hand once their steps come, as another run of the same scenario had them. In order of their
    /// steps; what is impossible by then is counted as that.
    pub fn plan_by_hand(&mut self, by_hand: &[Intervention]) {
        self.by_hand_ahead = by_hand.iter().rev().cloned().collect();
    }

    /// Does what was planned by hand before the next step.
    pub(super) fn meet_by_hand(&mut self) {
        let now = At::Step(self.steps);
        if self
            .by_hand_ahead
            .last()
            .is_some_and(|entry| entry.at <= now)
        {
            self.apply_due();
        }
    }

    /// Does something to the run before its next step, and records it.
    ///
    /// # Errors
    /// What is impossible.
    pub fn intervene(&mut self, act: Act) -> Result<(), String> {
        if self.live.is_some() {
            return Err(String::from(
                "this run happened: nothing can be done to it any more",
            ));
        }
        self.scenario.check_act(&act)?;
        self.apply_due();
        self.by_hand.push(Intervention {
            at: At::Step(self.steps),
            act: act.clone(),
        });
        self.apply(&act)
    }
}
