//! Why an instance ended at a node, and whom it lacks where it has not: exactly as the run went.

use std::fmt::Write;

use phaselab_core::event::{EventKind, Level};
use phaselab_core::museum;
use phaselab_core::scenario::{builtin, parse};
use phaselab_core::sim::Sim;
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::types::NodeId;
use phaselab_core::why::{LINES_MAX, Lack, Reason, Why, why};
use phaselab_tests::Cluster;

fn builtin_run(name: &str, level: Level) -> Sim {
    let entry = builtin().iter().find(|entry| entry.name == name);
    let entry = entry.expect("a scenario that is built in");
    let mut sim = Sim::new(&parse(name, entry.text).expect("a built-in scenario"))
        .expect("nodes that can be built");
    sim.set_level(level);
    sim.run();
    sim
}

/// A cluster of three whose observers hear everything.
fn cluster() -> Cluster {
    let mut cluster = Cluster::builder(3).start();
    cluster.sim_mut().set_level(Level::Full);
    cluster
}

fn ask(sim: &Sim, node: u16, name: &str) -> Why {
    let names = sim.names();
    let (instance, _) = names
        .iter()
        .find(|(_, known)| *known == name)
        .expect("an event of the run");
    why(sim, NodeId(node), *instance)
}

/// An answer as people read it.
fn text(why: &Why) -> String {
    let mut text = format!("{}\n", why.summary);
    for (number, line) in why.lines.iter().enumerate() {
        let (step, sentence) = (line.step, &line.sentence);
        writeln!(
            text,
            "{number:>2} step {step:>2}: {sentence} {:?}",
            line.because
        )
        .expect("an answer");
    }
    for lack in &why.lacks {
        writeln!(text, "{}", lack.sentence).expect("a string takes text");
        for missing in &lack.missing {
            writeln!(text, "  {:?}: {}", missing.why, missing.sentence)
                .expect("a string takes text");
        }
    }
    why.note.into_iter().for_each(|note| text.push_str(note));
    text
}

const CONE: &str = "\
Node 3 decided A because of locks of round 0 from nodes 1, 3.
 0 step  6: A client asks node 1. []
 1 step  6: Node 1 enters round 0. [0]
 2 step  6: Node 1 proposes A in round 0. [1]
 3 step  6: A client asks node 2. []
 4 step  6: Node 2 enters round 0. [3]
 5 step  6: Node 2 proposes A in round 0. [4]
 6 step  7: Node 1 receives proposal from node 2. [5]
 7 step  7: Node 1 counts 2 of 3 proposals for A (needs 2) from node 2. [6]
 8 step  7: Node 1 counts 2 of 3 proposals for A (needs 2) and locks A. [2, 7]
 9 step 11: Node 3 receives proposal from node 2. [5]
10 step 11: Node 3 counts 1 of 3 proposals for A (needs 2) from node 2. [9]
11 step 12: Node 3 receives lock from node 1. [8]
12 step 12: Node 3 counts 1 of 3 locks for A (needs 2) from node 1. [11]
13 step 13: Node 3 receives proposal from node 1. [2]
14 step 13: Node 3 counts 2 of 3 proposals for A (needs 2) from node 1. [13]
15 step 13: Node 3 counts 2 of 3 proposals for A (needs 2) and locks A. [10, 14]
16 step 13: Node 3 counts 2 of 3 locks for A (needs 2), commits. [12, 15]
";

#[test]
fn a_decision_goes_back_over_its_votes_to_the_requests() {
    let sim = builtin_run("two-phase/three-signers", Level::Full);
    assert_eq!(text(&ask(&sim, 3, "withdraw-1")), CONE);
    // Which messages there were is known at the level protocol too, and the run is the same.
    let quiet = builtin_run("two-phase/three-signers", Level::Protocol);
    assert_eq!(text(&ask(&quiet, 3, "withdraw-1")), CONE);
    assert_eq!(quiet.trace_hash(), sim.trace_hash());
    assert_eq!(quiet.report().events, sim.report().events);
    // Below it, who decided is known, and nothing of what brought it.
    let deaf = builtin_run("two-phase/three-signers", Level::Decisions);
    let why = ask(&deaf, 3, "withdraw-1");
    assert!(why.ended && why.note.is_some_and(|note| note.contains("not known")));
    assert_eq!(why.lines.len(), 1);
    assert!(
        why.summary.ends_with("2 more that the log does not name."),
        "{}",
        why.summary
    );
    let nothing = ask(
        &builtin_run("two-phase/three-signers", Level::None),
        3,
        "withdraw-1",
    );
    assert_eq!(nothing.summary, "Node 3 has ended withdraw-1.");
    assert!(nothing.note.is_some() && nothing.lines.is_empty());
}

#[test]
fn timers_and_what_is_said_again_are_part_of_the_cone() {
    let sim = builtin_run("two-phase/late-joiner", Level::Full);
    let why = ask(&sim, 3, "withdraw-1");
    let answer = text(&why);
    assert!(answer.starts_with(
        "Node 3 decided A because of a certificate of 2 locks of round 0 from node 2."
    ));
    let [.., tick, receipt, end] = why.lines.as_slice() else {
        panic!("{answer}");
    };
    assert_eq!(tick.sentence, "Node 2: its tick timer fires.");
    assert_eq!(receipt.sentence, "Node 3 receives commit from node 2.");
    assert_eq!(end.kind, "fast-forwarded");
    let sim = builtin_run("two-phase/timeout-then-retry", Level::Full);
    let answer = text(&ask(&sim, 1, "withdraw-1"));
    for timer in ["round timer of round 0", "retry timer of round 1"] {
        assert!(
            answer.contains(&format!("Node 1: its {timer} fires.")),
            "{answer}"
        );
    }
}

/// In every run that comes with the core: causes come first, one chain leads to the end, and every vote that is named
/// was counted or cast.
#[test]
fn cones_are_ordered_bounded_and_connected() {
    let mut cones = 0;
    let museum = museum::exhibits().map(|(_, exhibit)| exhibit.scenario().unwrap());
    let builtin = builtin()
        .iter()
        .map(|entry| parse(entry.name, entry.text).unwrap());
    for scenario in museum.chain(builtin) {
        let mut sim = Sim::new(&scenario).unwrap();
        sim.set_level(Level::Full);
        sim.run();
        let names = sim.names();
        for node in sim.scenario().ids() {
            for (instance, name) in &names {
                let why = why(&sim, node, *instance);
                let context = || format!("{} {name} {node}: {}", scenario.name, text(&why));
                let ended = sim.log().iter().any(|entry| {
                    (entry.node, entry.event.instance) == (node, Some(*instance))
                        && entry.event.kind.is_end()
                });
                assert_eq!(why.ended, ended, "{}", context());
                if !ended {
                    assert!(why.lines.is_empty(), "{}", context());
                    continue;
                }
                cones += 1;
                assert!((1..=LINES_MAX).contains(&why.lines.len()), "{}", context());
                let mut used = vec![false; why.lines.len()];
                for (place, line) in why.lines.iter().enumerate() {
                    for cause in &line.because {
                        assert!(usize::from(*cause) < place, "{}", context());
                        assert!(
                            why.lines[usize::from(*cause)].at <= line.at,
                            "{}",
                            context()
                        );
                        used[usize::from(*cause)] = true;
                    }
                }
                let loose = used.iter().filter(|used| !**used).count();
                assert_eq!(loose, 1, "only the end is no cause: {}", context());
                assert_eq!(why.lines.last().map(|line| line.node), Some(node));
            }
        }
    }
    assert!(cones > 40, "{cones}");
}

#[test]
fn a_node_that_is_cut_off_lacks_what_was_lost() {
    let mut cluster = cluster();
    cluster.partition(&[&[1, 2], &[3]]);
    cluster.submit("withdraw-1");
    cluster.run_ms(1_000);
    let reasons = |lack: &Lack| -> Vec<(u16, Reason)> {
        let missing = lack.missing.iter();
        missing.map(|it| (it.node.0, it.why)).collect()
    };
    let why = ask(cluster.sim(), 3, "withdraw-1");
    assert!(!why.ended && why.lines.is_empty());
    assert_eq!(
        why.summary,
        "Node 3 has not decided withdraw-1: it is proposing in round 0."
    );
    let [proposals, locks] = why.lacks.as_slice() else {
        panic!("{}", text(&why));
    };
    assert_eq!(
        (proposals.meter, proposals.have, proposals.need),
        ("proposals", 1, 2)
    );
    assert_eq!((locks.meter, locks.have, locks.need), ("locks", 0, 2));
    assert_eq!(reasons(proposals), [(1, Reason::Lost), (2, Reason::Lost)]);
    let lost = |cluster: &Cluster, member: u16, kind: u8| {
        let mut lost = cluster.events(EventKind::MessageDropped(kind));
        lost.retain(|it| (it.event.peer, it.node) == (Some(NodeId(member)), NodeId(3)));
        lost.last().map(|it| it.id.step)
    };
    assert_eq!(proposals.missing[0].step, lost(&cluster, 1, 0));
    assert_eq!(locks.missing[1].step, lost(&cluster, 2, 2));
    let silent = (3, Reason::Silent);
    assert_eq!(
        reasons(locks),
        [(1, Reason::Lost), (2, Reason::Lost), silent]
    );
    assert!(ask(cluster.sim(), 1, "withdraw-1").ended);

    // Rounds later the others have long ended and vote no more; what would prove it is lost too.
    while cluster
        .event(3, "withdraw-1")
        .is_some_and(|it| it.round.0 < 2)
    {
        cluster.run_ms(1_000);
    }
    cluster.run_ms(20_000);
    let why = ask(cluster.sim(), 3, "withdraw-1");
    let proposals = &why.lacks[0];
    assert!(proposals.round.0 > 0, "{}", text(&why));
    assert_eq!(reasons(proposals), [(1, Reason::Ended), (2, Reason::Ended)]);
    let proof = lost(&cluster, 1, 3).expect("a commit that was lost");
    let sentence = &proposals.missing[0].sentence;
    assert!(
        sentence.ends_with(&format!("in step {proof}.")),
        "{sentence}"
    );
}

#[test]
fn a_lost_vote_names_the_step_in_which_it_was_lost() {
    let mut cluster = cluster();
    cluster.crash(3);
    cluster.drop_kind_to("lock", 1);
    cluster.drop_kind_to("commit", 1);
    cluster.drop_kind_to("sync-response", 1);
    cluster.submit("withdraw-1");
    cluster.run_ms(400);
    let why = ask(cluster.sim(), 1, "withdraw-1");
    let [locks] = why.lacks.as_slice() else {
        panic!("{}", text(&why));
    };
    assert_eq!(
        (locks.meter, locks.have, locks.need, locks.round.0),
        ("locks", 1, 2, 0)
    );
    let [second, third] = locks.missing.as_slice() else {
        panic!("{}", text(&why));
    };
    let mut lost = cluster.events(EventKind::MessageDropped(2));
    lost.retain(|it| (it.event.peer, it.node) == (Some(NodeId(2)), NodeId(1)));
    let lost = lost.last().expect("a lock that was lost").id.step;
    assert_eq!((second.why, second.step), (Reason::Lost, Some(lost)));
    assert_eq!(third.why, Reason::Crashed);
    let crashed = cluster.events(EventKind::Crashed)[0].id.step;
    assert_eq!(third.step, Some(crashed));
    assert_eq!(
        third.sentence,
        format!("Node 3 has not voted there: it is down since step {crashed}.")
    );
    // At a lower level nobody heard of the loss: that is said, and not guessed at.
    let mut deaf = Cluster::new(3);
    deaf.crash(3);
    deaf.drop_kind_to("lock", 1);
    deaf.drop_kind_to("commit", 1);
    deaf.drop_kind_to("sync-response", 1);
    deaf.submit("withdraw-1");
    deaf.run_ms(400);
    let why = ask(deaf.sim(), 1, "withdraw-1");
    assert_eq!(
        why.lacks[0].missing[0].why,
        Reason::NotKnown,
        "{}",
        text(&why)
    );
}

#[test]
fn a_vote_on_its_way_says_when_it_arrives() {
    let mut cluster = cluster();
    cluster.submit("withdraw-1");
    let mut in_flight = 0;
    while cluster.sim_mut().step().is_some() {
        for node in 1..=3 {
            if cluster.event(node, "withdraw-1").is_none() {
                continue;
            }
            let why = ask(cluster.sim(), node, "withdraw-1");
            for missing in why.lacks.iter().flat_map(|lack| &lack.missing) {
                assert_ne!(missing.why, Reason::NotKnown, "{}", text(&why));
                if missing.why == Reason::InFlight {
                    in_flight += 1;
                    let mut flights = cluster.sim().flights().into_iter();
                    assert!(flights.any(|flight| {
                        let at = format!("arrives at {} ms.", flight.arrives.as_ms());
                        (flight.from, flight.to.0) == (missing.node, node)
                            && missing.sentence.ends_with(&at)
                    }));
                }
            }
        }
    }
    assert!(in_flight > 3, "{in_flight}");
}

#[test]
fn a_silent_member_is_named_with_its_phase() {
    let mut cluster = cluster();
    cluster.crash(3);
    cluster.submit_to(&[1], "withdraw-1");
    let why = ask(cluster.sim(), 1, "withdraw-1");
    let missing: Vec<&str> = why.lacks[0]
        .missing
        .iter()
        .map(|it| &*it.sentence)
        .collect();
    assert_eq!(
        missing[0],
        "Node 2 has not voted there: it has not heard of it."
    );
    assert_eq!(why.lacks[0].missing[0].why, Reason::Silent);
    let why = ask(cluster.sim(), 2, "withdraw-1");
    assert_eq!(why.summary, "Node 2 has not heard of withdraw-1.");
    assert_eq!(why.lacks[0].missing[0].why, Reason::InFlight);
}

#[test]
fn seeking_back_and_forth_does_not_change_an_answer() {
    let entry = builtin()
        .iter()
        .find(|entry| entry.name == "two-phase/silent-decider");
    let scenario = parse("silent-decider", entry.unwrap().text).unwrap();
    let mut timeline = Timeline::new(&scenario).unwrap();
    timeline.run();
    let steps = timeline.sim().steps();
    let told = |timeline: &Timeline| {
        let log = timeline.sim().log();
        let names = timeline.sim().names();
        let id = *names.iter().next().unwrap().0;
        let answers: Vec<Why> = (1..=3)
            .map(|node| why(timeline.sim(), NodeId(node), id))
            .collect();
        (
            log.iter().collect::<Vec<_>>(),
            log.causes().collect::<Vec<_>>(),
            answers,
        )
    };
    let first = told(&timeline);
    for to in [64, 63, steps / 2, 128, steps] {
        timeline.seek(to);
    }
    assert!(told(&timeline) == first);
}
