//! sharded-2pc under every schedule within bounds: Multi-Paxos alone, and a transfer between clusters. The sizes here take
//! seconds; larger ones are `npm run explore`'s, and all stand in docs/checked.md.

use phaselab_core::explore::cluster::{Action, Bounds, Cluster};
use phaselab_core::explore::{Limits, Outcome, Search};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::sharded_2pc::Sharded2pc;
use phaselab_core::scenario::{Scenario, builtin, parse};

fn scenario(name: &str) -> Scenario {
    let entry = builtin().iter().find(|entry| entry.name == name);
    parse(name, entry.expect("a scenario").text).expect("a sound scenario")
}

fn explore(scenario: &Scenario, bounds: Bounds) -> Outcome<Action<Sharded2pc>> {
    let cluster = Cluster::<Sharded2pc>::new(scenario, bounds).expect("what can be checked");
    let mut search = Search::new(cluster, Limits::default());
    search.advance(usize::MAX);
    search.outcome()
}

/// One leader, its no-op and a command, in every order of all messages.
#[test]
fn no_schedule_of_a_ballot_breaks_a_promise() {
    let bounds = Bounds {
        timeouts: Some(1),
        ..ProtocolKind::Sharded2pc.bounds()
    };
    let outcome = explore(&scenario("sharded-2pc/two-commands"), bounds);
    let broken = outcome.violation.map(|violation| violation.property);
    assert_eq!((broken, outcome.complete), (None, true));
    println!(
        "{} {} {}",
        outcome.distinct, outcome.generated, outcome.depth
    );
}

/// A transfer between two pairs: a leader in each, no crash.
#[test]
fn no_schedule_of_a_transfer_breaks_a_promise() {
    let bounds = ProtocolKind::Sharded2pc.bounds();
    let outcome = explore(&scenario("sharded-2pc/two-pairs"), bounds);
    let broken = outcome.violation.map(|violation| violation.property);
    assert_eq!((broken, outcome.complete), (None, true));
    println!(
        "{} {} {}",
        outcome.distinct, outcome.generated, outcome.depth
    );
}
