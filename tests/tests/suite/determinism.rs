//! The same scenario gives the same run: however it is watched, stepped through, stored and made again.

use std::collections::BTreeSet;

use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::event::Level;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{Act, At, CrashPoint, Scenario};
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::sim::{Flight, Sim};
use phaselab_core::trace::{DIGEST_STEPS, Trace, TraceError};
use phaselab_core::types::{Hash32, NodeId, Time};
use phaselab_core::view::{Glance, NodeView, ViewScope};
use phaselab_tests::Cluster;
use phaselab_tests::cluster::{request, story};

/// A run with loss, delays, crashes, slow disks and views that differ.
fn lossy(seed: u64) -> Scenario {
    let mut scenario = Cluster::builder(5)
        .seed(seed)
        .until_ms(40_000)
        .scenario(|scenario| {
            scenario.network.loss_permille = 150;
            scenario.network.duplicate_permille = 100;
            scenario.network.delay_permille = 50;
            scenario.network.corrupt_permille = 20;
            scenario.disk.latency_us = [100, 20_000];
        })
        .build();
    for (number, node) in [1, 3, 5, 2, 4, 1, 3, 5].into_iter().enumerate() {
        let to = vec![NodeId(node)];
        let request = request(&format!("withdraw-{number}"), 25);
        scenario.at_ms(100 + 1_500 * number as u64, Act::Submit { to, request });
    }
    let when = CrashPoint::AfterPersist;
    let node = NodeId(2);
    scenario.at_ms(300, Act::Crash { node, when });
    scenario.at_ms(4_000, Act::Restart { node });
    scenario
}

fn sim(scenario: &Scenario) -> Sim {
    let mut sim = Sim::new(scenario).expect("nodes that can be built");
    sim.set_check_recovery(false);
    sim
}

fn finished(scenario: &Scenario) -> Sim {
    let mut sim = sim(scenario);
    sim.run();
    sim
}

/// Everything that a page shows of a run at one moment.
#[derive(Debug, PartialEq)]
struct Picture {
    now: Time,
    hash: Hash32,
    views: Vec<NodeView>,
    glances: Vec<Glance>,
    flights: Vec<Flight>,
    story: String,
    decisions: usize,
    replies: usize,
}

fn picture(sim: &Sim) -> Picture {
    let ids = || sim.scenario().ids();
    Picture {
        now: sim.now(),
        hash: sim.trace_hash(),
        views: ids().map(|id| sim.view(id, ViewScope::Full)).collect(),
        glances: ids().map(|id| sim.glance(id)).collect(),
        flights: sim.flights(),
        story: story(sim),
        decisions: sim.decisions().len(),
        replies: sim.replies().len(),
    }
}

#[test]
fn a_lossy_run_gives_one_hash() {
    let (one, two) = (finished(&lossy(11)), finished(&lossy(11)));
    assert_eq!(one.trace_hash(), two.trace_hash());
    assert_eq!(one.report(), two.report());
    assert!(one.faults().len() > 4, "{:?}", one.faults());
    let seeds: BTreeSet<Hash32> = (11..15)
        .map(|seed| finished(&lossy(seed)).trace_hash())
        .collect();
    assert_eq!(seeds.len(), 4, "another seed is another run");
}

#[test]
fn the_hash_covers_every_part_of_a_run() {
    let base = finished(&lossy(11)).trace_hash();
    let changes: [fn(&mut Scenario); 4] = [
        |s| s.at_ms(39_999, Act::Heal),
        |s| s.network.latency_ms[1] += 1,
        |s| s.disk.latency_us[1] += 1,
        |s| s.crypto = phaselab_core::crypto::Crypto::Ed25519,
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut scenario = lossy(11);
        change(&mut scenario);
        assert_ne!(finished(&scenario).trace_hash(), base, "change {index}");
    }
}

#[test]
fn watching_changes_nothing() {
    let hashes: BTreeSet<(Hash32, u64)> =
        [Level::None, Level::Decisions, Level::Protocol, Level::Full]
            .into_iter()
            .map(|level| {
                let mut sim = sim(&lossy(12));
                sim.set_level(level);
                sim.run();
                assert_eq!(sim.log().is_empty(), level == Level::None);
                (sim.trace_hash(), sim.steps())
            })
            .collect();
    assert_eq!(hashes.len(), 1);
    let mut watched = sim(&lossy(12));
    while watched.step().is_some() {
        // Looking is not touching.
        if watched.steps().is_multiple_of(97) {
            watched.report();
            picture(&watched);
        }
        if watched.steps() == 500 {
            watched.set_level(Level::Full);
        }
    }
    assert!(hashes.contains(&(watched.trace_hash(), watched.steps())));
}

/// What a level shows, every fuller level shows too, in the same order and under the same step.
#[test]
fn a_fuller_level_only_adds() {
    let heard = |level| {
        let mut sim = sim(&lossy(12));
        sim.set_level(level);
        sim.run();
        let events = sim.log().iter();
        events
            .map(|entry| (entry.id.step, entry.node, entry.event))
            .collect::<Vec<_>>()
    };
    let levels = [Level::Decisions, Level::Protocol, Level::Full].map(heard);
    for pair in levels.windows(2) {
        let mut fuller = pair[1].iter();
        for event in &pair[0] {
            assert!(fuller.any(|other| other == event), "{event:?}");
        }
        assert!(pair[1].len() > pair[0].len());
    }
}

/// Whatever way a cursor took to a step, it shows what a straight run shows there.
#[test]
fn seeking_back_and_forth_shows_what_a_straight_run_shows() {
    let scenario = lossy(13);
    let mut timeline = Timeline::new(&scenario).expect("nodes that can be built");
    timeline.run();
    let steps = timeline.sim().steps();
    assert!(steps > 1_000, "long enough for many checkpoints: {steps}");

    let mut entropy = Prng::new(1, "seek", 0, 0);
    let mut wanted: Vec<u64> = (0..24).map(|_| entropy.below(steps + 1)).collect();
    wanted.extend([0, 1, steps, steps - 1, 63, 64, 65, steps]);
    let mut straight = sim(&scenario);
    straight.set_level(Level::Full);
    let mut expected = Vec::new();
    let sorted: BTreeSet<u64> = wanted.iter().copied().collect();
    for step in sorted {
        while straight.steps() < step {
            straight.step();
        }
        expected.push((step, picture(&straight)));
    }
    for step in wanted {
        timeline.seek(step);
        let (_, expected) = expected.iter().find(|(at, _)| *at == step).expect("noted");
        assert_eq!(timeline.sim().steps(), step);
        let found = picture(timeline.sim());
        assert_eq!(found.hash, expected.hash, "at step {step}");
        assert_eq!(&found, expected, "at step {step}");
    }
}

#[test]
fn seeking_a_time_shows_what_a_straight_run_shows() {
    let scenario = lossy(14);
    let mut timeline = Timeline::new(&scenario).expect("nodes that can be built");
    timeline.run();
    for ms in [40_000, 150, 0, 9_000, 8_999, 300, 40_000] {
        timeline.seek_time(Time::from_ms(ms));
        let mut straight = sim(&scenario);
        straight.set_level(Level::Full);
        straight.run_until(Time::from_ms(ms));
        assert_eq!(picture(timeline.sim()), picture(&straight), "at {ms} ms");
    }
}

fn crash(node: u16) -> Act {
    let when = CrashPoint::BetweenSteps;
    Act::Crash {
        node: NodeId(node),
        when,
    }
}

/// What is done at the cursor forgets what lay ahead, and the run that it makes replays from its own record.
#[test]
fn a_run_that_was_changed_by_hand_replays() {
    let mut timeline = Timeline::new(&lossy(15)).expect("nodes that can be built");
    timeline.run();
    let before = timeline.sim().trace_hash();
    let mut do_at = |step, act| {
        timeline.seek(step);
        timeline.intervene(act).expect("a possible act");
    };
    let groups = vec![vec![NodeId(1), NodeId(2)], vec![NodeId(3)]];
    do_at(400, Act::Partition { groups });
    do_at(700, crash(4));
    do_at(500, crash(5));
    do_at(650, Act::Heal);
    timeline.run();
    let changed = timeline.sim();
    assert_ne!(changed.trace_hash(), before);
    let by_hand: Vec<_> = changed.interventions_by_hand().to_vec();
    let done: Vec<At> = by_hand.iter().map(|entry| entry.at).collect();
    assert_eq!(
        done,
        [At::Step(400), At::Step(500), At::Step(650)],
        "700 was forgotten"
    );

    let mut scenario = lossy(15);
    scenario.interventions.extend(by_hand);
    let replayed = finished(&scenario);
    assert_eq!(replayed.trace_hash(), changed.trace_hash());
    assert_eq!(replayed.steps(), changed.steps());
}

/// Looking back is not undoing: what was done by hand is still there when the cursor comes back.
#[test]
fn what_was_done_by_hand_survives_seeking() {
    let mut timeline = Timeline::new(&lossy(15)).expect("nodes that can be built");
    timeline.seek(700);
    timeline.intervene(crash(4)).expect("a possible crash");
    timeline.run();
    let (hash, steps) = (timeline.sim().trace_hash(), timeline.sim().steps());
    timeline.seek(100);
    assert!(timeline.sim().is_alive(NodeId(4)), "not crashed yet");
    timeline.run();
    assert!(!timeline.sim().is_alive(NodeId(4)));
    assert_eq!(
        (timeline.sim().trace_hash(), timeline.sim().steps()),
        (hash, steps)
    );
    assert_eq!(timeline.sim().interventions_by_hand().len(), 1);
}

#[test]
fn a_trace_replays_from_its_bytes() {
    let mut by_hand = sim(&lossy(16));
    by_hand.run_until(Time::from_ms(1_000));
    by_hand
        .intervene(Act::Crash {
            node: NodeId(5),
            when: CrashPoint::BeforeHandling,
        })
        .expect("a possible crash");
    let (trace, run) = Trace::record(by_hand);
    assert!(trace.digests.len() > 1 || trace.steps < DIGEST_STEPS);
    let read = Trace::from_bytes(&trace.to_bytes()).expect("an undamaged trace");
    assert_eq!(read, trace);
    let replayed = read
        .replay(|sim| sim.set_check_recovery(false))
        .expect("the same core");
    assert_eq!(replayed.trace_hash(), run.trace_hash());
    assert_eq!(replayed.report().decisions, run.report().decisions);
}

/// A recorded run that this core does not make again is reported with the steps between which it differs.
#[test]
fn a_changed_trace_names_the_steps_that_differ() {
    let scenario = ProtocolKind::TwoPhase.swarm(3);
    let (trace, _) = Trace::record(sim(&scenario));
    let digests = trace.digests.len();
    assert!(digests >= 3, "a run of many digests: {digests}");
    let replay = |trace: &Trace| match trace.replay(|sim| sim.set_check_recovery(false)) {
        Err(TraceError::Differs { from, to, .. }) => Some((from, to)),
        _ => None,
    };
    assert_eq!(replay(&trace), None);
    for index in [0, 1, digests - 1] {
        let mut bent = trace.clone();
        bent.digests[index].0[0] ^= 1;
        let from = index as u64 * DIGEST_STEPS;
        assert_eq!(replay(&bent), Some((from, from + DIGEST_STEPS)));
    }
    let mut bent = trace.clone();
    bent.trace_hash.0[31] ^= 1;
    let last = trace.steps - 1;
    assert_eq!(
        replay(&bent),
        Some((last - last % DIGEST_STEPS, trace.steps))
    );
    let mut bent = trace.clone();
    bent.steps += 5;
    assert!(replay(&bent).is_some());
    let mut bent = trace;
    bent.scenario.seed += 1;
    assert_eq!(replay(&bent).map(|(from, _)| from), Some(0));
}

/// A person who pauses may do several things at one step: a replay does them in the same order.
#[test]
fn several_things_done_at_one_step_replay_in_their_order() {
    let mut by_hand = sim(&lossy(17));
    while by_hand.steps() < 100 {
        by_hand.step();
    }
    let request = request("withdraw-9", 25);
    let to = vec![NodeId(3)];
    by_hand
        .intervene(Act::Submit { to, request })
        .expect("a possible request");
    let when = CrashPoint::BetweenSteps;
    let node = NodeId(3);
    by_hand
        .intervene(Act::Crash { node, when })
        .expect("a possible crash");
    let (trace, _) = Trace::record(by_hand);
    let replayed = trace.replay(|sim| sim.set_check_recovery(false));
    assert!(replayed.is_ok(), "{:?}", replayed.err());
}
