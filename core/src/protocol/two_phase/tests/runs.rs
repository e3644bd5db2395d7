//! Whole runs: the built-in scenarios, and a few seeds of the swarm.

use super::*;
use crate::protocol::ProtocolKind;
use crate::scenario::{builtin, parse};
use crate::sim::Sim;

#[test]
fn every_builtin_scenario_comes_out_as_it_says() {
    for entry in builtin() {
        let scenario = parse(entry.name, entry.text).unwrap();
        let mut sim = Sim::new(&scenario).unwrap();
        sim.run();
        let report = sim.report();
        assert!(report.is_as_expected(), "{}: {report:#?}", entry.name);
    }
}

#[test]
fn three_signers_propose_a_a_b_and_all_decide_a() {
    let entry = crate::scenario::find("three-signers").unwrap();
    let mut sim = Sim::new(&parse(entry.name, entry.text).unwrap()).unwrap();
    sim.run();
    let proposed = sim
        .log()
        .iter()
        .filter(|logged| logged.event.kind == crate::event::EventKind::Proposed);
    let letters: Vec<(NodeId, String)> = proposed
        .map(|logged| {
            let event = logged.event;
            (
                logged.node,
                sim.log()
                    .letter(event.instance.unwrap(), event.value.unwrap())
                    .unwrap(),
            )
        })
        .collect();
    let expected = [
        (NodeId(1), "A".into()),
        (NodeId(2), "A".into()),
        (NodeId(3), "B".into()),
    ];
    assert_eq!(letters, expected);
    let report = sim.report();
    assert_eq!(report.decisions.len(), 1);
    assert_eq!(report.decisions[0].label.as_deref(), Some("A"));
    assert_eq!(report.decisions[0].nodes, [NodeId(1), NodeId(2), NodeId(3)]);
}

#[test]
fn a_few_seeds_of_the_swarm_keep_every_promise_and_recover_after_every_step() {
    for seed in 0..3 {
        let mut sim = Sim::new(&ProtocolKind::TwoPhase.swarm(seed)).unwrap();
        sim.run();
        let report = sim.report();
        let replay = format!("phaselab sim --protocol two-phase --swarm --seed {seed}");
        assert!(
            report.is_as_expected(),
            "{replay}: {:?} {:?}",
            report.invariants,
            sim.liveness()
        );
    }
}
