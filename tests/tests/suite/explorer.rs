//! The model checker against another one: the same models find the same numbers of states in Stateright. And the
//! published numbers that take long.

use phaselab_core::explore::textbook::paxos::Paxos;
use phaselab_core::explore::textbook::paxos_commit::PaxosCommit;
use phaselab_core::explore::textbook::tcommit::TCommit;
use phaselab_core::explore::textbook::two_phase_commit::TwoPhaseCommit;
use phaselab_core::explore::{Limits, Model, Outcome, Search};
use stateright::Checker;

mod oracle;

fn explore<M: Model>(model: M) -> Outcome<M::Action> {
    let mut search = Search::new(model, Limits::default());
    search.advance(usize::MAX);
    let outcome = search.outcome();
    assert!(outcome.complete && outcome.violation.is_none());
    outcome
}

/// Distinct states, states generated, and the depth.
type Numbers = (u64, u64, u32);

fn ours<M: Model>(model: M) -> Numbers {
    let outcome = explore(model);
    (outcome.distinct, outcome.generated, outcome.depth)
}

fn theirs<M>(model: M) -> Numbers
where
    M: stateright::Model + Send + Sync + 'static,
    M::State: std::fmt::Debug + std::hash::Hash + Clone + PartialEq + Send + Sync,
    M::Action: std::fmt::Debug + Clone + PartialEq + Send + Sync,
{
    let checker = model.checker().spawn_bfs().join();
    checker.assert_properties();
    let (distinct, generated) = (checker.unique_state_count(), checker.state_count());
    (
        distinct as u64,
        generated as u64,
        checker.max_depth() as u32,
    )
}

#[test]
fn commit_is_explored_as_stateright_does() {
    for managers in 1..=5 {
        let expected = theirs(oracle::TCommit(managers));
        assert_eq!(ours(TCommit { managers }), expected);
    }
}

#[test]
fn two_phase_commit_is_explored_as_stateright_does() {
    for managers in 2..=5 {
        let model = TwoPhaseCommit {
            managers,
            impatient: false,
        };
        assert_eq!(ours(model), theirs(oracle::TwoPhaseCommit(managers)));
    }
}

#[test]
fn paxos_is_explored_as_stateright_does() {
    for clients in 1..=2 {
        assert_eq!(ours(Paxos { clients }), theirs(oracle::paxos(clients)));
    }
}

/// TLC's numbers for the configuration in which the module is published.
#[test]
fn paxos_commit_has_the_published_numbers() {
    let expected = (1_321_761, 16_959_159, 28);
    assert_eq!(ours(PaxosCommit { managers: 2 }), expected);
}
