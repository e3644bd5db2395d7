//! The model checker beside Stateright's breadth-first search, both on one thread, both to the last state: with a model
//! as one writes it for Stateright, of maps, sets and actors, and with Phaselab's own model in Stateright's search.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use phaselab_core::explore::textbook::paxos::Paxos;
use phaselab_core::explore::textbook::two_phase_commit::TwoPhaseCommit;
use phaselab_core::explore::{Limits, Model, Search};
use stateright::Checker;

// Not all of it is large enough to be measured.
#[allow(dead_code)]
#[path = "../tests/suite/explorer/oracle.rs"]
mod oracle;

/// Other programs can only make a run slower: the fastest counts, of so many or of what fits into the time.
const RUNS: usize = 5;
const RUNS_TIME: Duration = Duration::from_secs(20);

/// Distinct states, states generated, and the time that it took.
#[derive(Clone, Copy)]
struct Run {
    distinct: u64,
    generated: u64,
    took: Duration,
}

impl Run {
    fn per_second(&self, states: u64) -> f64 {
        states as f64 / self.took.as_secs_f64()
    }
}

fn ours<M: Model>(model: M) -> Run {
    let start = Instant::now();
    let mut search = Search::new(model, Limits::default());
    search.advance(usize::MAX);
    let took = start.elapsed();
    let outcome = search.outcome();
    assert!(outcome.complete && outcome.violation.is_none());
    Run {
        distinct: outcome.distinct,
        generated: outcome.generated,
        took,
    }
}

fn theirs<M>(model: M) -> Run
where
    M: stateright::Model + Send + Sync + 'static,
    M::State: Debug + Hash + Clone + PartialEq + Send + Sync,
    M::Action: Debug + Clone + PartialEq + Send + Sync,
{
    let start = Instant::now();
    let checker = stateright::Model::checker(model)
        .threads(1)
        .spawn_bfs()
        .join();
    let took = start.elapsed();
    assert!(checker.is_done() && checker.discoveries().is_empty());
    Run {
        distinct: checker.unique_state_count() as u64,
        generated: checker.state_count() as u64,
        took,
    }
}

/// Phaselab's model for Stateright.
struct Same<M>(M);

impl<M> stateright::Model for Same<M>
where
    M: Model,
    M::State: Debug + PartialEq,
    M::Action: PartialEq,
{
    type State = M::State;
    type Action = M::Action;

    fn init_states(&self) -> Vec<M::State> {
        self.0.init()
    }

    fn actions(&self, state: &M::State, actions: &mut Vec<M::Action>) {
        self.0.actions(state, actions);
    }

    fn next_state(&self, state: &M::State, action: M::Action) -> Option<M::State> {
        self.0.next(state, &action)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        let all = |model: &Self, state: &M::State| {
            let mut all = model.0.properties().iter();
            all.all(|property| (property.holds)(&model.0, state))
        };
        vec![stateright::Property::always("all", all)]
    }
}

fn fastest(run: impl Fn() -> Run) -> Run {
    let start = Instant::now();
    let within = |_: &usize| start.elapsed() < RUNS_TIME;
    let runs = (0..RUNS).take_while(within).map(|_| run());
    runs.min_by_key(|run| run.took).expect("some runs")
}

/// Prints a line, and gives how many times faster ours is than a model that was written for Stateright, and than our
/// model in Stateright.
fn compare<M, S>(name: &str, model: impl Fn() -> M, written: impl Fn() -> S) -> [f64; 2]
where
    M: Model + Send + 'static,
    M::State: Debug + PartialEq,
    M::Action: PartialEq,
    S: stateright::Model + Send + Sync + 'static,
    S::State: Debug + Hash + Clone + PartialEq + Send + Sync,
    S::Action: Debug + Clone + PartialEq + Send + Sync,
{
    let own = fastest(|| ours(model()));
    let others = [
        fastest(|| theirs(written())),
        fastest(|| theirs(Same(model()))),
    ];
    let [written, same] = others.map(|other| {
        let counts = |run: Run| (run.distinct, run.generated);
        assert_eq!(counts(own), counts(other), "{name}");
        other.took.as_secs_f64() / own.took.as_secs_f64()
    });
    let millions = |states| own.per_second(states) / 1e6;
    println!(
        "{name}: {} distinct of {} generated, {:.2} M/s of {:.2} M/s; {written:.1}x of Stateright, {same:.1}x with the same model",
        own.distinct,
        own.generated,
        millions(own.distinct),
        millions(own.generated),
    );
    [written, same]
}

fn main() {
    let mut ratios = Vec::new();
    for managers in [7, 8, 9] {
        let model = || TwoPhaseCommit {
            managers,
            impatient: false,
        };
        let name = format!("two-phase-commit of {managers}");
        ratios.push(compare(&name, model, || oracle::TwoPhaseCommit(managers)));
    }
    // The register of 3 clients is small enough to be explored to the end.
    for clients in [2, 3] {
        let name = format!("paxos with {clients} clients");
        let model = || Paxos { clients };
        ratios.push(compare(&name, model, || oracle::paxos(clients)));
    }
    let [written, same] = [0, 1].map(|column| {
        let ratios = ratios.iter().map(|row: &[f64; 2]| row[column]);
        ratios.fold(f64::INFINITY, f64::min)
    });
    println!(
        "states per second on one thread: at least {written:.1}x of Stateright's, {same:.1}x with the same model"
    );
}
