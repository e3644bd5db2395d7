//! Events that want the same output.

use super::super::ChainSetting;
use super::*;

/// S0-94: "x" at nodes 1 and 2, "y" at nodes 3 and 4, one output for both. Each pair promised it to its own event: one
/// of the two must win, and the other follows when the change is there.
#[test]
fn two_events_that_want_one_output_run_one_after_the_other() {
    let setting = ChainSetting {
        utxos: 1,
        amount: 1_000,
        ..ChainSetting::default()
    };
    let config = TwoPhaseConfig {
        threshold_m: 3,
        min_input_score_depth: 1,
        ..TwoPhaseConfig::default()
    };
    let mut lab = Lab::beside(setting, 4, config, RuleSet::Hardened, &[]);
    let x = lab.submit(1, "x");
    lab.submit(2, "x");
    let y = lab.submit(3, "y");
    lab.submit(4, "y");
    for _ in 0..200 {
        let mail = core::mem::take(&mut lab.mail);
        for (from, send) in mail {
            let to: Vec<u16> = match send.to {
                To::Node(node) => vec![node.0],
                _ => (1..=4).filter(|id| *id != from.0).collect(),
            };
            to.iter().for_each(|id| lab.receive(*id, &send.packet));
        }
        (1..=4).for_each(|id| {
            let now = lab.now;
            lab.pass(id, 100);
            lab.now = now;
        });
        lab.now = lab.now + crate::types::Duration::from_ms(100);
        let facts = lab.chain.poll(lab.now);
        for (node, fact) in facts {
            lab.with(node.0, |node, now| node.fact(now, &fact));
        }
    }
    for id in 1..=4 {
        let phases = [x, y].map(|event| lab.phase(id, event));
        assert_eq!(phases, [EventPhase::Completed; 2], "node {id}");
    }
}

/// What was proposed in a round that is over is promised no longer; what is locked is.
#[test]
fn a_round_that_ends_without_a_lock_frees_its_outputs() {
    let mut lab = Lab::three();
    let event = lab.submit(1, "withdraw-1");
    let other = InstanceId(Hash32([0xff; 32]));
    let free = |lab: &Lab| {
        let state = lab.node(1).state();
        let pskt = state.templates.iter().next().unwrap().1.clone();
        state.reserved.is_free_for(&pskt.inputs[0].outpoint, other)
    };
    assert!(!free(&lab));
    lab.pass(1, 5_100);
    assert_eq!(lab.phase(1, event), EventPhase::Failed);
    assert!(free(&lab));

    let mut lab = Lab::three();
    lab.submit(1, "withdraw-1");
    lab.submit(2, "withdraw-1");
    lab.deliver(2, 1, "proposal");
    lab.pass(1, 30_000);
    assert!(lab.event(1, event).unwrap().round > Round(0));
    assert!(!free(&lab));
    lab.restart(1);
    assert!(!free(&lab));
}
