//! Other protocols on the same traits: a sampled poll without leader or quorum, and groups with a nested log.

use std::collections::BTreeSet;

use phaselab_core::client::{Ask, Client};
use phaselab_core::codec::{decode, encode};
use phaselab_core::crypto::Crypto;
use phaselab_core::engine::Protocol;
use phaselab_core::oracle::Agreement;
use phaselab_core::protocol::{Cluster, ProtocolKind, TypedCluster};
use phaselab_core::replica::{Outbox, Output};
use phaselab_core::scenario::{Act, Behaviour, CrashPoint, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::store::Rows;
use phaselab_core::types::{ClientId, Duration, GroupId, NodeId, Time};
use phaselab_core::view::ViewScope;
use phaselab_tests::sketch::clustered::{Clustered, FIRST_BALANCE, Reply, Transfer};
use phaselab_tests::sketch::sampled::{Colour, Sampled, SampledConfig};
use phaselab_tests::sketch::{genesis, run_of, scenario};

// --- sampled ----------------------------------------------------------------------------------------------------------

const VOTERS: u16 = 50;

/// Fifty voters; one in three is told red at first, the others blue.
fn poll(seed: u64, change: impl Fn(&mut Scenario)) -> Sim {
    let mut scenario = scenario(VOTERS);
    scenario.seed = seed;
    scenario.network.loss_permille = 20;
    for node in scenario.ids() {
        let colour = if node.0.is_multiple_of(3) {
            Colour::Red
        } else {
            Colour::Blue
        };
        let (to, request) = (vec![node], encode(&colour));
        scenario.at_ms(1 + u64::from(node.0), Act::Submit { to, request });
    }
    change(&mut scenario);
    let mut sim = run_of::<Sampled>(scenario, &SampledConfig::default());
    sim.run();
    sim
}

fn colours(sim: &Sim) -> BTreeSet<phaselab_core::types::Hash32> {
    let decisions = sim.decisions().iter();
    decisions
        .filter_map(|decision| decision.record.value)
        .collect()
}

#[test]
fn fifty_voters_without_a_leader_decide_one_colour() {
    for seed in 1..6 {
        let sim = poll(seed, |_| {});
        assert!(sim.holds(), "seed {seed}: {:?}", sim.verdicts());
        assert_eq!(sim.decisions().len(), usize::from(VOTERS), "seed {seed}");
        assert_eq!(colours(&sim).len(), 1, "seed {seed}");
        assert_eq!(
            sim.replies().len(),
            usize::from(VOTERS),
            "each client hears of it"
        );
        assert!(
            sim.replies()
                .iter()
                .all(|reply| reply.reply == sim.replies()[0].reply)
        );
    }
    assert_eq!(poll(3, |_| {}).trace_hash(), poll(3, |_| {}).trace_hash());
    assert_ne!(poll(3, |_| {}).trace_hash(), poll(4, |_| {}).trace_hash());
}

/// A preference is durable, the rest is not: crashed voters come back and decide as the others do. Mute ones do not matter.
#[test]
fn voters_that_crash_or_stay_silent_do_not_matter() {
    let sim = poll(9, |scenario| {
        for node in 1..=10 {
            let node = NodeId(node);
            let when = CrashPoint::AfterPersist;
            scenario.at_ms(150 + u64::from(node.0), Act::Crash { node, when });
            scenario.at_ms(3_000, Act::Restart { node });
        }
        for node in [48, 49, 50].map(NodeId) {
            let behaviour = Behaviour::Mute;
            scenario.at_ms(0, Act::Byzantine { node, behaviour });
        }
    });
    assert!(sim.holds(), "{:?}", sim.verdicts());
    let restarted = sim
        .decisions()
        .iter()
        .filter(|decision| decision.node.0 <= 10);
    assert_eq!(restarted.count(), 10);
    assert_eq!(colours(&sim).len(), 1);
    assert!(sim.faults().contains_key("crash_after_persist"));
}

// --- clustered --------------------------------------------------------------------------------------------------------

/// Two groups of three: 1 to 3 and 4 to 6.
fn two_groups(loss_permille: u16) -> Sim {
    let mut scenario = scenario(6);
    scenario.groups = [0, 0, 0, 1, 1, 1].map(GroupId).to_vec();
    scenario.network.loss_permille = loss_permille;
    run_of::<Clustered>(scenario, &())
}

fn transfer(number: u64, amount: u64) -> Transfer {
    Transfer {
        number,
        from: GroupId(0),
        to: GroupId(1),
        amount,
    }
}

fn balance(sim: &Sim, node: u16) -> u64 {
    let view = sim.view(NodeId(node), ViewScope::Summary);
    view.fields[0].text.parse().expect("a balance")
}

/// A client that asks the wrong node first, and follows.
fn submit(sim: &mut Sim, first: u16, transfer: &Transfer) -> (Reply, u32) {
    let members = sim.scenario().ids().collect();
    let mut client = Client::new(ClientId(1), members, 1, Duration::from_ms(5_000), 8);
    client.prefer(NodeId(first));
    let number = client.request(encode(transfer));
    let mut hops = 0;
    loop {
        match client.poll(sim.now()) {
            Ask::Send { to, request, .. } => {
                let (to, seen) = (vec![to], sim.replies().len());
                sim.intervene(Act::Submit { to, request })
                    .expect("a member");
                let due = sim.now() + Duration::from_ms(5_000);
                while sim.replies().len() == seen && sim.next_at().is_some_and(|at| at < due) {
                    sim.step();
                }
                let Some(reply) = sim.replies().get(seen) else {
                    continue;
                };
                match decode(&reply.reply).expect("a reply of this protocol") {
                    Reply::Redirect(hint) => {
                        hops += 1;
                        client.on_redirect(number, Some(hint));
                    }
                    reply => return (reply, hops),
                }
            }
            other => panic!("{other:?}: no answer"),
        }
    }
}

#[test]
fn a_transfer_between_groups_moves_money_once() {
    let mut sim = two_groups(0);
    sim.run_until(Time::from_ms(10));
    assert_eq!(
        submit(&mut sim, 5, &transfer(1, 30)),
        (Reply::Done, 1),
        "redirected once"
    );
    assert_eq!(
        submit(&mut sim, 1, &transfer(1, 30)),
        (Reply::Done, 0),
        "asked again, not moved again"
    );
    assert_eq!(
        submit(&mut sim, 1, &transfer(2, 71)),
        (Reply::Refused, 0),
        "more than is left"
    );
    assert_eq!(submit(&mut sim, 3, &transfer(3, 70)), (Reply::Done, 1));
    sim.run_until(Time::from_ms(5_000));
    for node in 1..=3 {
        assert_eq!(balance(&sim, node), 0, "node {node}");
        assert_eq!(
            balance(&sim, node + 3),
            2 * FIRST_BALANCE,
            "node {}",
            node + 3
        );
    }
    assert!(sim.holds());
}

/// Loss is repeated, a minority of each group may be down, and nobody hears what is meant for the other group.
#[test]
fn groups_go_on_with_a_majority_over_a_network_that_loses() {
    let mut sim = two_groups(300);
    sim.run_until(Time::from_ms(10));
    for node in [3, 5] {
        let (node, when) = (NodeId(node), CrashPoint::BetweenSteps);
        sim.intervene(Act::Crash { node, when }).expect("a member");
    }
    for number in 0..5 {
        assert_eq!(submit(&mut sim, 2, &transfer(number, 10)), (Reply::Done, 1));
    }
    // The leader of the paying group comes back from its store in the middle of a transfer.
    let (to, request) = (vec![NodeId(1)], encode(&transfer(5, 10)));
    sim.intervene(Act::Submit { to, request })
        .expect("a member");
    while !sim.flights().iter().any(|flight| flight.info.kind == 2) {
        sim.step();
    }
    let (node, when) = (NodeId(1), CrashPoint::AfterPersist);
    sim.intervene(Act::Crash { node, when }).expect("a member");
    while sim.is_alive(node) {
        sim.step();
    }
    for node in [1, 3, 5].map(NodeId) {
        sim.intervene(Act::Restart { node }).expect("a member");
    }
    sim.run();
    for node in 1..=3 {
        assert_eq!(balance(&sim, node), 40, "node {node}");
        assert_eq!(balance(&sim, node + 3), 160, "node {}", node + 3);
    }
    let slots = sim.spec().instances;
    assert_eq!((slots[1].name, slots[1].parent), ("slot", Some(0)));
}

/// A link that comes is a fact, as a node's shell pushes it.
#[test]
fn a_peer_that_is_back_is_told_at_once() {
    let (crypto, groups) = (Crypto::Simulated, [0, 0, 0].map(GroupId));
    let cluster =
        TypedCluster::<Clustered>::with_oracle(&genesis::<Clustered>(crypto, &groups, &()), |_| {
            Box::new(Agreement::default())
        })
        .expect("a sound configuration");
    let mut leader = cluster
        .node(NodeId(1), &Rows::default(), 1)
        .expect("a member");
    let mut outbox = Outbox::new();
    let mut sent = |output: Output| {
        let mut released: Vec<_> = outbox.push(output).into_iter().collect();
        if let Some(batch) = outbox.take_batch() {
            released.extend(outbox.durable(batch.durable()));
        }
        let sends = released.iter().flat_map(|released| &released.sends);
        sends.map(|sent| sent.info.kind).collect::<Vec<_>>()
    };
    let now = Time::ZERO;
    sent(leader.start(now));
    let offered = sent(leader.request(now, ClientId(1), 1, &encode(&transfer(1, 5))));
    assert_eq!(offered, [0]);
    let link = |up| encode(&Clustered::peer_fact(NodeId(2), up).expect("it asks for links"));
    assert!(sent(leader.fact(now, &link(false))).is_empty());
    assert_eq!(sent(leader.fact(now, &link(true))), [0], "offered again");
    assert_eq!(ProtocolKind::TwoPhase.peer_fact(NodeId(2), true), None);
}

#[test]
fn a_message_to_a_group_reaches_that_group_alone() {
    let mut sim = two_groups(0);
    sim.run_until(Time::from_ms(10));
    let (to, request) = (vec![NodeId(1)], encode(&transfer(1, 5)));
    sim.intervene(Act::Submit { to, request })
        .expect("a member");
    // The hold goes to the rest of the paying group.
    let reached = |sim: &Sim| {
        sim.flights()
            .iter()
            .map(|flight| flight.to.0)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(reached(&sim), BTreeSet::from([2, 3]));
    // Once it is chosen, the other group is asked, all of it.
    while !sim.flights().iter().any(|flight| flight.info.kind == 2) {
        sim.step();
    }
    let asked = sim
        .flights()
        .into_iter()
        .filter(|flight| flight.info.kind == 2);
    assert_eq!(
        asked.map(|flight| flight.to.0).collect::<BTreeSet<_>>(),
        BTreeSet::from([4, 5, 6])
    );
}
