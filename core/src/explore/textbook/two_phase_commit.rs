//! Two-phase commit (Gray and Lamport, "Consensus on Transaction Commit"): the TLA+ module `TwoPhase`, step for step.
//!
//! A coordinator (the paper's transaction manager) commits once it has heard from every resource manager that it
//! prepared, and may abort at any time before. Messages are never lost nor used up; receiving one again changes
//! nothing, but counts as a state generated.
//!
//! TLC's numbers for 3 resource managers are 288 distinct states, 1,146 generated, depth 11; for 6 the module itself
//! gives 50,816 distinct. Stateright counts 8,832 for 5.
//!
//! The impatient variant is wrong on purpose: a prepared resource manager that times out aborts on its own, though the
//! coordinator may have committed.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::explore::{Model, Property};

/// The most resource managers: a state is hashed as one integer.
pub const MANAGERS_MAX: usize = 12;

/// The protocol for so many resource managers.
pub struct TwoPhaseCommit {
    /// How many; at most [`MANAGERS_MAX`].
    pub managers: usize,
    /// Whether a prepared one may abort on its own.
    pub impatient: bool,
}

/// Resource managers, a bit for each.
type Managers = u16;

/// All that was done and said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Who is prepared, committed or aborted; who is none of these is still working.
    prepared: Managers,
    committed: Managers,
    aborted: Managers,
    /// Who sent `Prepared`, and from whom the coordinator received it.
    sent: Managers,
    heard: Managers,
    /// The coordinator's state, and the message that tells it: neither is without the other.
    decision: Option<Decision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Commit,
    Abort,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let sets = [
            self.prepared,
            self.committed,
            self.aborted,
            self.sent,
            self.heard,
        ];
        let decision = self.decision.map_or(0, |decision| decision as u64 + 1);
        let add = |word: u64, set: Managers| word << MANAGERS_MAX | u64::from(set);
        hasher.write_u64(sets.into_iter().fold(decision, add));
    }
}

/// What happens, as the module names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The coordinator commits.
    TmCommit,
    /// The coordinator aborts.
    TmAbort,
    /// The coordinator hears that a resource manager prepared.
    TmRcvPrepared(usize),
    /// A resource manager prepares.
    RmPrepare(usize),
    /// A working resource manager aborts.
    RmChooseToAbort(usize),
    /// A resource manager hears that the coordinator committed.
    RmRcvCommitMsg(usize),
    /// A resource manager hears that the coordinator aborted.
    RmRcvAbortMsg(usize),
    /// A prepared resource manager aborts on its own, which it must not.
    RmTimeOut(usize),
}

impl TwoPhaseCommit {
    fn all(&self) -> Managers {
        (1 << self.managers) - 1
    }
}

impl State {
    /// Moves a resource manager out of whatever state it is in.
    fn leave(&mut self, manager: Managers) {
        self.prepared &= !manager;
        self.committed &= !manager;
        self.aborted &= !manager;
    }
}

impl Model for TwoPhaseCommit {
    type State = State;
    type Action = Action;

    fn init(&self) -> Vec<State> {
        assert!(self.managers <= MANAGERS_MAX, "few enough to hash");
        Vec::from([State {
            prepared: 0,
            committed: 0,
            aborted: 0,
            sent: 0,
            heard: 0,
            decision: None,
        }])
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_open = state.decision.is_none();
        if is_open && state.heard == self.all() {
            actions.push(Action::TmCommit);
        }
        if is_open {
            actions.push(Action::TmAbort);
        }
        let idle = state.prepared | state.committed | state.aborted;
        for manager in 0..self.managers {
            let bit = 1 << manager;
            if is_open && state.sent & bit != 0 {
                actions.push(Action::TmRcvPrepared(manager));
            }
            if idle & bit == 0 {
                actions.push(Action::RmPrepare(manager));
                actions.push(Action::RmChooseToAbort(manager));
            }
            match state.decision {
                Some(Decision::Commit) => actions.push(Action::RmRcvCommitMsg(manager)),
                Some(Decision::Abort) => actions.push(Action::RmRcvAbortMsg(manager)),
                None => {}
            }
            if self.impatient && state.prepared & bit != 0 {
                actions.push(Action::RmTimeOut(manager));
            }
        }
    }

    fn next(&self, state: &State, action: &Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::TmCommit => next.decision = Some(Decision::Commit),
            Action::TmAbort => next.decision = Some(Decision::Abort),
            Action::TmRcvPrepared(manager) => next.heard |= 1 << manager,
            Action::RmPrepare(manager) => {
                next.prepared |= 1 << manager;
                next.sent |= 1 << manager;
            }
            Action::RmRcvCommitMsg(manager) => {
                next.leave(1 << manager);
                next.committed |= 1 << manager;
            }
            Action::RmChooseToAbort(manager)
            | Action::RmRcvAbortMsg(manager)
            | Action::RmTimeOut(manager) => {
                next.leave(1 << manager);
                next.aborted |= 1 << manager;
            }
        }
        Some(next)
    }

    fn properties(&self) -> &[Property<Self>] {
        const ALL: &[Property<TwoPhaseCommit>] =
            &[Property::always("consistent", |_, state: &State| {
                state.committed == 0 || state.aborted == 0
            })];
        ALL
    }

    fn describe(&self, action: &Action) -> String {
        match action {
            Action::TmCommit => String::from("the coordinator commits"),
            Action::TmAbort => String::from("the coordinator aborts"),
            Action::TmRcvPrepared(manager) => {
                alloc::format!("the coordinator hears that {manager} is prepared")
            }
            Action::RmPrepare(manager) => alloc::format!("{manager} prepares"),
            Action::RmChooseToAbort(manager) => alloc::format!("{manager} chooses to abort"),
            Action::RmRcvCommitMsg(manager) => alloc::format!("{manager} is told to commit"),
            Action::RmRcvAbortMsg(manager) => alloc::format!("{manager} is told to abort"),
            Action::RmTimeOut(manager) => {
                alloc::format!("{manager} is prepared, times out and aborts on its own")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Limits, Outcome, Search};

    fn explore(managers: usize, impatient: bool) -> Outcome<Action> {
        let model = TwoPhaseCommit {
            managers,
            impatient,
        };
        let mut search = Search::new(model, Limits::default());
        search.advance(usize::MAX);
        search.outcome()
    }

    #[test]
    fn the_published_numbers() {
        let outcome = explore(3, false);
        assert_eq!(
            (outcome.distinct, outcome.generated, outcome.depth),
            (288, 1_146, 11)
        );
        assert!(outcome.complete && outcome.violation.is_none());
        assert_eq!(explore(5, false).distinct, 8_832);
        assert_eq!(explore(6, false).distinct, 50_816);
    }

    #[test]
    fn a_manager_that_aborts_on_its_own_is_caught_by_the_shortest_way() {
        let violation = explore(2, true).violation.unwrap();
        assert_eq!(violation.property, "consistent");
        // Both prepare and are heard, the coordinator commits, one hears of it, and the other times out.
        assert_eq!(violation.steps.len(), 7);
        let is_time_out = |step: &Action| matches!(step, Action::RmTimeOut(_));
        assert!(violation.steps.iter().any(is_time_out));
        assert!(
            explore(1, true).violation.is_none(),
            "one disagrees with nobody"
        );
    }
}
