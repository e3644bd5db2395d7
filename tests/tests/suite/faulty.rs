//! Liars and forgetful nodes: what each behaviour does, and where the fault model of Profile A ends.

use std::collections::BTreeSet;

use phaselab_core::event::{EventKind, Level, RecordKind};
use phaselab_core::scenario::{Act, Behaviour, Selector};
use phaselab_core::types::{Duration, NodeId, Time};
use phaselab_tests::Cluster;

/// Three signers who see no outputs at first, so that round 0 ends with nothing and a leader follows; the second and the
/// third do not hear each other until 6 s.
fn blind_then_led(event: &str, liar: Option<(u16, Behaviour)>) -> Cluster {
    let mut cluster = Cluster::builder(3)
        .until_ms(30_000)
        .config(|config| {
            config.proposal_timeout_ms = 900;
            config.retry.base_delay_ms = 200;
            config.retry.max_retries = 20;
        })
        .start();
    let all: Vec<u32> = (0..8).collect();
    for node in 1..=3 {
        cluster.hide(node, &all);
    }
    cluster.cut(2, 3);
    cluster.cut(3, 2);
    // The first hears the second before the third, and the second hears no decision of the first: delay and loss, no lies.
    let select = |from, to, kind: &str| Selector {
        from: Some(NodeId(from)),
        to: Some(NodeId(to)),
        kind: Some(kind.into()),
        ..Selector::default()
    };
    let select_late = select(3, 1, "proposal");
    cluster.act(Act::Delay {
        select: select_late,
        by_ms: 100,
    });
    cluster.act(Act::Drop(select(1, 2, "commit")));
    cluster.run_ms(50);
    if let Some((node, behaviour)) = liar {
        cluster.lie(node, behaviour);
    }
    cluster.submit(event);
    cluster.run_ms(600);
    for node in 1..=3 {
        cluster.show(node, &all);
    }
    cluster.run_ms(6_000);
    cluster
}

/// S0-F22: with n = 3 and q = 2, two quorums share one member; when that one leads a round and lies, each half decides
/// what it was told. This lies outside the fault model, and must be seen.
#[test]
fn one_equivocator_of_three_forks_profile_a() {
    let forked = |event: &String| {
        let cluster = blind_then_led(event, Some((1, Behaviour::Equivocate)));
        (cluster.decided(event).len() > 1).then_some((event.clone(), cluster))
    };
    let events: Vec<String> = (0..12).map(|number| format!("withdraw-{number}")).collect();
    let (event, mut cluster) = events
        .iter()
        .find_map(forked)
        .expect("an event whose second leader is the liar");

    cluster.expect_broken(&["agreement"]);
    let decided = cluster.decided(&event);
    let deciders = |node| {
        decided
            .values()
            .filter(move |nodes| nodes.contains(&NodeId(node)))
    };
    assert_eq!(
        (deciders(2).count(), deciders(3).count()),
        (1, 1),
        "{decided:?}"
    );
    let verdict = &cluster.sim().verdicts()[0];
    for part in ["n2", "n3", "decided"] {
        assert!(verdict.detail.contains(part), "{}", verdict.detail);
    }
    // Once the halves meet, the proof names the liar, and nobody else.
    cluster.heal();
    cluster.run();
    let accused = cluster.events(EventKind::Evidence);
    let by_honest = accused.iter().filter(|entry| entry.node != NodeId(1));
    let named: BTreeSet<_> = by_honest.filter_map(|entry| entry.event.peer).collect();
    assert_eq!(named, BTreeSet::from([NodeId(1)]), "{}", cluster.story());

    // The same run without the lie agrees.
    let mut honest = blind_then_led(&event, None);
    honest.heal();
    honest.run();
    honest.expect_agreement();
    assert_eq!(honest.decided(&event).len(), 1);
    assert!(honest.events(EventKind::Evidence).is_empty());
}

/// Where views are equal, an equivocator is caught as soon as two of those whom it told different things compare, and
/// changes nothing.
#[test]
fn an_equivocator_among_equal_views_is_caught() {
    let mut cluster = Cluster::builder(4).until_ms(40_000).start();
    // Without the fourth, and with one that says nothing, the event stays open and signers compare what they know.
    cluster.crash(4);
    cluster.hide(2, &(0..8).collect::<Vec<_>>());
    cluster.lie(3, Behaviour::Equivocate);
    cluster.submit("withdraw-1");
    cluster.run_ms(4_000);
    let evidence = cluster.events(EventKind::Evidence);
    assert!(!evidence.is_empty(), "{}", cluster.story());
    assert!(
        evidence
            .iter()
            .all(|entry| entry.event.peer == Some(NodeId(3)))
    );
    let counted = [1, 2].map(|node| cluster.counter(node, "two_phase_equivocations_total"));
    assert_eq!(counted, [1, 1], "once each, and told to everyone");
    assert_eq!(cluster.decided("withdraw-1").len(), 0);
    cluster.restart(4);
    cluster.show(2, &(0..8).collect::<Vec<_>>());
    cluster.run();
    cluster.expect_agreement();
    assert_eq!(cluster.decided("withdraw-1").len(), 1);
    assert!(cluster.report().nodes[2].byzantine);
    assert_eq!(cluster.report().faults.get("byzantine"), Some(&1));
}

#[test]
fn a_mute_node_sends_nothing_and_the_others_go_on() {
    let mut cluster = Cluster::builder(3).until_ms(20_000).start();
    cluster.sim_mut().set_level(Level::Full);
    cluster.lie(2, Behaviour::Mute);
    cluster.submit("withdraw-1");
    cluster.run();
    cluster.expect_agreement();
    assert_eq!(cluster.phase(1, "withdraw-1"), "completed");
    assert_eq!(cluster.phase(3, "withdraw-1"), "completed");
    assert!(heard_from(&cluster, 2).is_empty());
    assert!(!heard_from(&cluster, 1).is_empty());
}

#[test]
fn a_withholding_node_reaches_the_lower_half_alone() {
    let mut cluster = Cluster::builder(5).until_ms(20_000).start();
    cluster.sim_mut().set_level(Level::Full);
    cluster.lie(5, Behaviour::Withhold);
    cluster.submit("withdraw-1");
    cluster.run();
    cluster.expect_agreement();
    let mut reached = heard_from(&cluster, 5);
    reached.sort_unstable();
    reached.dedup();
    assert_eq!(reached, [NodeId(1), NodeId(2)]);
    cluster.expect_phase("withdraw-1", "completed");
}

#[test]
fn a_delaying_node_is_four_seconds_late() {
    let mut cluster = Cluster::builder(3).until_ms(20_000).start();
    cluster.lie(2, Behaviour::Delay);
    cluster.submit("withdraw-1");
    cluster.run_ms(30);
    let flights = cluster.sim().flights();
    let (late, others): (Vec<_>, Vec<_>) =
        flights.iter().partition(|flight| flight.from == NodeId(2));
    assert!(!late.is_empty() && !others.is_empty());
    let travel = |flight: &&phaselab_core::sim::Flight| flight.arrives.since(flight.sent);
    assert!(
        late.iter()
            .all(|flight| travel(flight) >= Duration::from_ms(4_000))
    );
    assert!(
        others
            .iter()
            .all(|flight| travel(flight) < Duration::from_ms(100))
    );
    cluster.run();
    cluster.expect_agreement();
    cluster.expect_phase("withdraw-1", "completed");
}

/// Nobody signs for another: every forgery is refused and counted, and the run decides what it decides without.
#[test]
fn forgeries_are_refused_and_change_nothing() {
    for crypto in [
        phaselab_core::crypto::Crypto::Simulated,
        phaselab_core::crypto::Crypto::Ed25519,
    ] {
        let run = |liar: bool| {
            let mut cluster = Cluster::builder(4)
                .until_ms(10_000)
                .scenario(|scenario| scenario.crypto = crypto)
                .start();
            if liar {
                cluster.lie(2, Behaviour::Forge);
            }
            cluster.submit("withdraw-1");
            cluster.run();
            cluster
        };
        let (honest, forging) = (run(false), run(true));
        forging.expect_agreement();
        forging.expect_phase("withdraw-1", "completed");
        assert_eq!(
            forging.decided("withdraw-1").keys().next(),
            honest.decided("withdraw-1").keys().next()
        );
        let refused = |cluster: &Cluster, node| cluster.counter(node, "refused_bad_signature");
        for node in [1, 3, 4] {
            assert_eq!(refused(&honest, node), 0);
            assert!(refused(&forging, node) > 0, "node {node}");
            assert_eq!(
                forging.refused(node),
                refused(&forging, node),
                "forgeries are refused for nothing else"
            );
        }
        assert!(
            forging.events(EventKind::Evidence).is_empty(),
            "nobody is framed"
        );
    }
}

/// A node that lost its votes but not its key takes part a second time: two quorums then share nobody who remembers.
#[test]
fn a_forgetful_node_can_break_agreement_and_is_told_apart() {
    let mut cluster = Cluster::builder(3).until_ms(60_000).start();
    cluster.crash(3);
    cluster.submit("withdraw-1");
    cluster.run_ms(3_000);
    cluster.expect_agreement();
    assert_eq!(cluster.phase(1, "withdraw-1"), "completed");
    let life = |cluster: &Cluster| {
        cluster
            .sim()
            .replica(NodeId(2))
            .map(|node| node.incarnation())
    };
    let before = life(&cluster);

    cluster.partition(&[&[1], &[2, 3]]);
    cluster.lie(2, Behaviour::Amnesia);
    assert!(
        life(&cluster) > before,
        "another life, not the same one again"
    );
    assert_eq!(cluster.event(2, "withdraw-1"), None, "it forgot");
    cluster.restart(3);
    cluster.submit_to(&[2, 3], "withdraw-1");
    cluster.run();
    // What it spent is gone, so that it and the third signer choose something else.
    assert_eq!(cluster.decided("withdraw-1").len(), 2);
    cluster.expect_broken(&["agreement"]);
}

/// The same story without amnesia: the second signer remembers, and tells.
#[test]
fn a_node_that_remembers_does_not_decide_twice() {
    let mut cluster = Cluster::builder(3).until_ms(60_000).start();
    cluster.crash(3);
    cluster.submit("withdraw-1");
    cluster.run_ms(3_000);
    cluster.partition(&[&[1], &[2, 3]]);
    cluster.crash(2);
    cluster.restart(2);
    cluster.restart(3);
    cluster.submit_to(&[2, 3], "withdraw-1");
    cluster.run();
    cluster.expect_agreement();
    assert_eq!(cluster.decided("withdraw-1").len(), 1);
    cluster.expect_phase("withdraw-1", "completed");
    let signed = cluster.sim().decisions().iter();
    let signed = signed.filter(|decision| decision.record.kind == RecordKind::Signed);
    assert!(signed.clone().count() >= 2 && signed.clone().all(|d| d.at < Time::from_ms(60_000)));
}

/// Who received anything from a node, once per packet.
fn heard_from(cluster: &Cluster, node: u16) -> Vec<NodeId> {
    let log = cluster.sim().log().iter();
    let delivered = log.filter(|entry| {
        let is_delivery = matches!(entry.event.kind, EventKind::MessageDelivered(_));
        is_delivery && entry.event.peer == Some(NodeId(node))
    });
    delivered.map(|entry| entry.node).collect()
}
