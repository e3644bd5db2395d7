//! snowball under every schedule within bounds: what one node promises, whatever its peers say and when. The sizes here
//! take seconds; larger ones are `npm run explore`'s, and all stand in docs/checked.md.

use phaselab_core::explore::cluster::{Bounds, Cluster};
use phaselab_core::explore::{Limits, Search};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::snowball::{Payment, Snowball, SnowballConfig};
use phaselab_core::scenario::{Act, Scenario};
use phaselab_core::types::NodeId;

fn payment(memo: &str, to: u16) -> Act {
    let payment = Payment {
        memo: memo.into(),
        ..Payment::new("alice", "bob", 25)
    };
    Act::Submit {
        to: vec![NodeId(to)],
        request: phaselab_core::codec::encode(&payment.sign().expect("a sound payment")),
    }
}

/// Three validators; a coin is spent at so many of them.
fn spends(count: u16, beta: u32) -> Scenario {
    let mut scenario = Scenario::new(ProtocolKind::Snowball, 3);
    scenario.set_config::<Snowball>(&SnowballConfig {
        finality_confidence: beta,
        ..SnowballConfig::default()
    });
    for node in 1..=count {
        scenario.at_ms(0, payment(&format!("T{node}"), node));
    }
    scenario
}

fn assert_holds(scenario: &Scenario, bounds: Bounds) {
    let cluster = Cluster::<Snowball>::new(scenario, bounds).expect("what can be checked");
    let mut search = Search::new(cluster, Limits::default());
    search.advance(usize::MAX);
    let outcome = search.outcome();
    println!(
        "{} {} {}",
        outcome.distinct, outcome.generated, outcome.depth
    );
    let broken = outcome.violation.map(|violation| violation.property);
    assert_eq!((broken, outcome.complete), (None, true));
}

/// No node holds both, none decides on fewer than beta polls in a row, and each comes back from its tables as it was.
#[test]
fn no_schedule_of_a_double_spend_breaks_what_one_node_promises() {
    let bounds = Bounds {
        timeouts: Some(0),
        ..ProtocolKind::Snowball.bounds()
    };
    assert_holds(&spends(2, 2), bounds);
}

/// One payment, and a validator that restarts at any moment.
#[test]
fn no_crash_makes_a_validator_forget_what_it_said() {
    let bounds = Bounds {
        rounds: 1,
        timeouts: Some(0),
        crashes: 1,
        ..ProtocolKind::Snowball.bounds()
    };
    assert_holds(&spends(1, 1), bounds);
}
