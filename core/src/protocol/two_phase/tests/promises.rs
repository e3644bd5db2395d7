//! The oracle, told by hand what members send and decide.

use super::super::oracle::TwoPhaseOracle;
use super::*;
use crate::event::{Record, RecordKind};
use crate::oracle::Oracle;

/// A lab in which node 2 decided with node 1's lock, and the oracle of its group.
fn decided() -> (Lab, TwoPhaseOracle, InstanceId) {
    let mut lab = Lab::new(
        5,
        TwoPhaseConfig {
            threshold_m: 3,
            ..TwoPhaseConfig::default()
        },
    );
    let event = lab.submit(1, "withdraw-1");
    for id in 2..=3 {
        lab.submit(id, "withdraw-1");
    }
    for (from, to) in [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)] {
        lab.deliver(from, to, "proposal");
    }
    lab.deliver(1, 3, "lock");
    lab.deliver(2, 3, "lock");
    let signer = Signer::from_seed(Crypto::Simulated, &member_seed(NodeId(1)));
    let env = replica::env::<TwoPhase>(&lab.genesis, NodeId(1), signer).unwrap();
    (lab, TwoPhaseOracle::new(&env), event)
}

fn hear(oracle: &mut TwoPhaseOracle, lab: &Lab, from: u16, kind: &str) {
    for message in lab.waiting(from, kind) {
        let opened = crate::replica::opened_for_tests(NodeId(from), message);
        oracle.on_send(lab.now, NodeId(from), &opened);
    }
}

fn is_valid(oracle: &TwoPhaseOracle) -> bool {
    let verdicts = oracle.verdicts();
    let verdict = verdicts.iter().find(|verdict| verdict.name == "validity");
    verdict.expect("a promise").holds
}

/// A decision needs q locks behind it, of which the decider's own may be unheard, or a certificate.
#[test]
fn a_decision_without_a_quorum_of_locks_breaks_validity() {
    for (locks_of, commit_of, holds) in [
        (&[][..], None, false),
        (&[1][..], None, false),
        (&[3][..], None, false),
        (&[1, 3][..], None, false),
        (&[1, 2][..], None, true),
        (&[1, 2, 3][..], None, true),
        (&[][..], Some(3), true),
    ] {
        let (lab, mut oracle, event) = decided();
        hear(&mut oracle, &lab, 1, "proposal");
        for id in locks_of {
            hear(&mut oracle, &lab, *id, "lock");
        }
        if let Some(id) = commit_of {
            hear(&mut oracle, &lab, id, "commit");
        }
        let record = Record {
            kind: RecordKind::Decided,
            instance: event,
            value: lab.event(3, event).unwrap().value,
            round: Round(0),
        };
        assert!(record.value.is_some());
        oracle.on_record(lab.now, NodeId(3), &record);
        assert_eq!(is_valid(&oracle), holds, "{locks_of:?} {commit_of:?}");
        assert_eq!(oracle.holds(), holds);
    }
}

/// An event and the one that replaces it take effect both: money left twice.
#[test]
fn an_event_that_takes_effect_beside_its_replacement_breaks_validity() {
    let (mut lab, mut oracle, old) = decided();
    let request = SubmitEvent {
        event: "withdraw-2".into(),
        amount: 25,
        destination: None,
        supersedes: Some(super::super::Superseded {
            event: "withdraw-1".into(),
            amount: 25,
            destination: None,
            supersedes: None,
        }),
    };
    let new = request.signing_material().id();
    lab.lose_inputs(3, old, 3, Some(Hash32([7; 32])));
    lab.with(3, |node, now| {
        node.request(now, ClientId(1), 2, &codec::encode(&request))
    });
    hear(&mut oracle, &lab, 3, "proposal");
    for (event, holds) in [(new, true), (old, false)] {
        let record = Record {
            kind: RecordKind::Completed,
            instance: event,
            value: None,
            round: Round(0),
        };
        oracle.on_record(lab.now, NodeId(3), &record);
        assert_eq!(is_valid(&oracle), holds);
    }
}
