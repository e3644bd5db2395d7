//! TCommit: what a transaction commit is, without saying how (Gray and Lamport, "Consensus on Transaction Commit").

use alloc::vec::Vec;

use crate::explore::{Model, Property};

/// A resource manager's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Manager {
    /// It may still go either way.
    Working,
    /// It can commit.
    Prepared,
    /// It committed.
    Committed,
    /// It aborted.
    Aborted,
}

/// What a resource manager does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It prepares.
    Prepare(usize),
    /// It commits.
    Commit(usize),
    /// It aborts.
    Abort(usize),
}

/// The specification for so many resource managers.
pub struct TCommit {
    /// How many.
    pub managers: usize,
}

impl Model for TCommit {
    type State = Vec<Manager>;
    type Action = Action;

    fn init(&self) -> Vec<Vec<Manager>> {
        Vec::from([alloc::vec![Manager::Working; self.managers]])
    }

    fn actions(&self, state: &Vec<Manager>, actions: &mut Vec<Action>) {
        let can_commit = state
            .iter()
            .all(|manager| matches!(manager, Manager::Prepared | Manager::Committed));
        let none_committed = !state.contains(&Manager::Committed);
        for (index, manager) in state.iter().enumerate() {
            match manager {
                Manager::Working => actions.push(Action::Prepare(index)),
                Manager::Prepared if can_commit => actions.push(Action::Commit(index)),
                _ => {}
            }
            if matches!(manager, Manager::Working | Manager::Prepared) && none_committed {
                actions.push(Action::Abort(index));
            }
        }
    }

    fn next(&self, state: &Vec<Manager>, action: &Action) -> Option<Vec<Manager>> {
        let mut next = state.clone();
        match action {
            Action::Prepare(index) => next[*index] = Manager::Prepared,
            Action::Commit(index) => next[*index] = Manager::Committed,
            Action::Abort(index) => next[*index] = Manager::Aborted,
        }
        Some(next)
    }

    fn properties(&self) -> &[Property<Self>] {
        const ALL: &[Property<TCommit>] =
            &[Property::always("consistent", |_, state: &Vec<Manager>| {
                !(state.contains(&Manager::Committed) && state.contains(&Manager::Aborted))
            })];
        ALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::{Limits, Search, depth_first, random_walks};

    #[test]
    fn the_published_numbers() {
        let mut search = Search::new(TCommit { managers: 3 }, Limits::default());
        search.advance(usize::MAX);
        let outcome = search.outcome();
        assert_eq!(
            (outcome.distinct, outcome.generated, outcome.depth),
            (34, 94, 7)
        );
        assert!(outcome.complete && outcome.violation.is_none());
        let deep = depth_first(&TCommit { managers: 3 }, Limits::default());
        assert_eq!((deep.distinct, deep.complete), (34, true));
        let walks = random_walks(&TCommit { managers: 3 }, 1, 1000, 10);
        assert_eq!(walks.distinct, 34);
    }
}
