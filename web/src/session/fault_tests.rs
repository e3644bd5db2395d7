//! Faults by hand, futures that are kept, breakpoints, and what differs.

use phaselab_core::event::EventKind;
use phaselab_core::scenario::{self, Act, At, CrashPoint, Intervention, Schedule};
use phaselab_core::sim::Sim;
use phaselab_core::trace::Trace;
use phaselab_core::types::{Hash32, NodeId};

use super::branches::BRANCHES_MAX;
use super::breakpoints::{Breakpoint, Wait};
use super::deed::{Deed, Verb};
use super::tests::{finish, open};
use super::{Catch, Picked, Session};

fn crash(node: u16) -> Act {
    let when = CrashPoint::BetweenSteps;
    Act::Crash {
        node: NodeId(node),
        when,
    }
}

fn at(name: &str, step: u64) -> Session {
    let mut session = open(name);
    finish(&mut session);
    session.seek_after_step(step - 1);
    finish(&mut session);
    assert_eq!(session.sim().steps(), step);
    session
}

fn end(session: &mut Session) -> Hash32 {
    session.end();
    finish(session);
    session.sim().trace_hash()
}

/// The hash of a plain run of a scenario with these things done.
fn plain(session: &Session) -> Hash32 {
    let mut scenario = session.scenario().clone();
    scenario
        .interventions
        .extend(session.interventions().iter().cloned());
    let mut sim = Sim::new(&scenario).unwrap();
    sim.run();
    sim.trace_hash()
}

fn drawn(session: &Session) -> impl PartialEq + use<> {
    (
        session.scene(),
        session.events(true, 50),
        session.sim().trace_hash(),
    )
}

#[test]
fn what_is_done_by_hand_is_what_a_scenario_does_and_stays_when_looking_back() {
    for entry in scenario::builtin() {
        let scenario = scenario::parse(entry.name, entry.text).unwrap();
        if scenario.schedule == Schedule::Manual {
            continue;
        }
        let node = scenario.nodes;
        // Once all of them have started.
        let mut session = at(entry.name, 9.max(2 * u64::from(node)));
        let is_up = session.sim().is_alive(NodeId(node));
        session.select(Some(node));
        session.crash_or_restart().unwrap();
        assert_eq!(
            session.sim().is_alive(NodeId(node)),
            !is_up,
            "{}",
            entry.name
        );
        finish(&mut session);
        // Everything of 0 ms comes before what is done by hand.
        let step = session.sim().steps();
        let after = drawn(&session);
        session.step();
        let later = drawn(&session);
        session.home();
        session.seek_after_step(step - 1);
        finish(&mut session);
        assert!(drawn(&session) == after, "{}: after a seek", entry.name);
        session.step();
        assert!(drawn(&session) == later, "{}: one step on", entry.name);
        let hash = end(&mut session);
        assert_eq!(hash, plain(&session), "{}", entry.name);
    }
}

#[test]
fn a_fault_that_does_nothing_is_refused_in_words() {
    let mut session = at("three-signers", 9);
    assert!(
        session
            .crash_or_restart()
            .unwrap_err()
            .contains("Select a node")
    );
    assert!(session.cut_or_mend().unwrap_err().contains("Select a link"));
    session.intervene(&[crash(2)]).unwrap();
    for (act, words) in [
        (crash(2), "down"),
        (Act::Restart { node: NodeId(1) }, "up already"),
        (crash(9), "expected 1 to 3"),
        (
            Act::Drop(scenario::Selector {
                kind: Some("lick".to_owned()),
                ..Default::default()
            }),
            "did you mean",
        ),
    ] {
        let steps = session.sim().steps();
        let why = session.intervene(&[act]).expect_err(words);
        assert!(why.contains(words), "{why}");
        assert_eq!(session.sim().steps(), steps);
    }
    assert_eq!(session.interventions().len(), 1);
}

#[test]
fn a_node_can_be_crashed_before_the_first_step() {
    let mut session = open("three-signers");
    session.select(Some(1));
    session.crash_or_restart().unwrap();
    assert!(!session.sim().is_alive(NodeId(1)));
    session.home();
    session.crash_or_restart().unwrap();
    let hash = end(&mut session);
    assert!(!session.sim().is_alive(NodeId(1)));
    assert_eq!(hash, plain(&session));
}

#[test]
fn a_message_on_its_way_is_caught_without_changing_what_was_seen() {
    for how in [
        Catch::Drop,
        Catch::Delay(300),
        Catch::Duplicate,
        Catch::Corrupt,
    ] {
        let mut session = at("three-signers", 9);
        let seen = session.events(true, 99);
        let flight = session.scene().flights[1].clone();
        session.pick(Picked::Message {
            from: flight.from,
            to: flight.to,
            kind: flight.kind,
            arrives_ms: flight.arrives_ms,
        });
        let before = session.sim().flights().len();
        session.catch(how).unwrap();
        assert_eq!(session.sim().steps(), 9);
        let told = |session: &Session| {
            session
                .events(false, 99)
                .iter()
                .filter(|line| line.kind != "fault" && line.kind != "dropped")
                .count()
        };
        assert!(told(&session) <= seen.len());
        let now = session.sim().flights().len();
        match how {
            Catch::Drop => assert_eq!((now, session.picked()), (before - 1, None)),
            Catch::Duplicate => assert_eq!(now, before + 1),
            Catch::Delay(_) => assert_eq!((now, session.picked()), (before, None)),
            Catch::Corrupt => assert_eq!(now, before),
        }
        let hash = end(&mut session);
        assert_eq!(hash, plain(&session), "{how:?}");
    }
}

#[test]
fn changing_the_past_keeps_the_future_and_switching_restores_every_hash() {
    let mut session = open("three-signers");
    let planned = end(&mut session);
    session.seek_after_step(8);
    session.intervene(&[crash(1)]).unwrap();
    let crashed = end(&mut session);
    assert_ne!(crashed, planned);
    session.seek_after_step(11);
    session
        .intervene(&[Act::Restart { node: NodeId(1) }])
        .unwrap();
    let restarted = end(&mut session);
    let names: Vec<String> = session
        .branches()
        .list()
        .iter()
        .map(|it| it.name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names[0] == "as planned"
            && names[1].starts_with("crash 1 at ")
            && names[2].starts_with("restart 1 at "),
        "{names:?}"
    );
    assert_eq!(session.branches().depth(session.branches().shown()), 2);
    for (id, hash) in [
        (0, planned),
        (1, crashed),
        (2, restarted),
        (1, crashed),
        (0, planned),
    ] {
        session.switch(id);
        finish(&mut session);
        assert_eq!(end(&mut session), hash, "branch {id}");
        session.home();
        assert_eq!(end(&mut session), hash, "branch {id} again");
        assert_eq!(plain(&session), hash);
    }
    session.delete_branch(1);
    assert_eq!(session.branches().list().len(), 2);
    assert_eq!(session.branches().list()[1].parent, Some(0));
    session.switch(2);
    session.rename_branch(2, "  back in time ");
    assert_eq!(session.branches().shown().name(), "back in time");
    session.delete_branch(2);
    finish(&mut session);
    assert_eq!(
        (end(&mut session), session.branches().list().len()),
        (planned, 1)
    );
    session.delete_branch(0);
    assert_eq!(session.branches().list().len(), 1);
}

#[test]
fn at_the_end_of_what_was_seen_a_future_goes_on_and_room_is_limited() {
    let mut session = open("three-signers");
    session.seek_ms(110.0);
    finish(&mut session);
    session.intervene(&[crash(1)]).unwrap();
    session.intervene(&[Act::Heal]).unwrap();
    session.step();
    session
        .intervene(&[Act::Restart { node: NodeId(1) }])
        .unwrap();
    assert_eq!(
        (
            session.branches().list().len(),
            session.interventions().len()
        ),
        (2, 3)
    );
    for _ in session.branches().list().len()..BRANCHES_MAX {
        session.fork().unwrap();
    }
    session.back();
    let before = session.sim().trace_hash();
    assert!(
        session
            .intervene(&[Act::Heal])
            .unwrap_err()
            .contains("Delete one")
    );
    assert!(session.fork().unwrap_err().contains("Delete one"));
    assert_eq!(session.sim().trace_hash(), before);
}

#[test]
fn two_futures_differ_first_where_something_was_done() {
    let mut session = at("three-signers", 9);
    session.intervene(&[crash(1)]).unwrap();
    session.compare(0);
    finish(&mut session);
    let difference = session.comparison().unwrap().unwrap().clone();
    let [here, there] = &difference.sides;
    assert_eq!(difference.first.map(|(step, _)| step), Some(9));
    assert_eq!(here.event.as_deref(), Some("Fault: node 1 crashes."));
    assert_ne!(here.event, there.event);
    assert_ne!(here.hash, there.hash);
    assert!(
        there.decisions[0].contains("nodes 1 2 3") && here.decisions[0].contains("nodes 2 3"),
        "{difference:#?}"
    );
    session.seek_difference(0);
    finish(&mut session);
    assert_eq!(
        (session.branches().shown().id, session.sim().steps()),
        (0, 10)
    );
    session.seek_difference(1);
    finish(&mut session);
    assert_eq!(
        (session.branches().shown().id, session.sim().steps()),
        (1, 10)
    );
    // A future in which nothing else is done is the same.
    session.fork().unwrap();
    session.compare(1);
    finish(&mut session);
    let difference = session.comparison().unwrap().unwrap();
    assert_eq!(difference.first, None);
    assert_eq!(difference.sides[0].hash, difference.sides[1].hash);
}

#[test]
fn playing_stops_just_after_what_is_waited_for() {
    let mut session = open("three-signers");
    finish(&mut session);
    let lock = Breakpoint {
        wait: Wait::Lock,
        node: Some(NodeId(2)),
    };
    session.breakpoints_mut().toggle(lock);
    session.play_or_pause();
    finish(&mut session);
    assert!(!session.is_playing() && !session.is_at_end());
    let last = session.sim().log().iter().last().unwrap();
    let locked = session
        .sim()
        .log()
        .iter()
        .filter(|entry| entry.event.kind == EventKind::Locked);
    assert!(
        locked
            .last()
            .is_some_and(|entry| entry.node == NodeId(2) && entry.id.step == last.id.step)
    );
    assert!(
        session
            .breakpoints()
            .hit()
            .unwrap()
            .contains("a lock at node 2")
    );
    session.play_or_pause();
    assert_eq!(session.breakpoints().hit(), None);
    finish(&mut session);
    assert!(session.is_at_end());
    session.breakpoints_mut().toggle(lock);
    assert!(session.breakpoints().list().is_empty());
}

#[test]
fn a_broken_rule_stops_playing_unless_told_otherwise() {
    let mut session = open("equivocator");
    session.play_or_pause();
    finish(&mut session);
    assert!(!session.is_at_end() && !session.sim().holds());
    assert!(session.breakpoints().hit().unwrap().contains("rule"));
    let steps = session.sim().steps();
    session.back();
    assert!(session.sim().holds(), "it was the last step that broke it");
    session.breakpoints_mut().on_broken = false;
    session.home();
    session.play_or_pause();
    finish(&mut session);
    assert!(session.is_at_end() && session.sim().steps() > steps);
}

#[test]
fn every_button_that_breaks_the_story_breaks_it_from_the_plan() {
    let mut session = open("three-signers");
    end(&mut session);
    let breaks = session.scenario().view.breaks.len();
    assert_eq!(breaks, 4);
    let mut outcomes = Vec::new();
    for place in [0, 1, 2, 0] {
        session.break_it(place).unwrap();
        assert!(session.is_playing());
        while !session.is_at_end() {
            finish(&mut session);
            if !session.is_at_end() {
                session.play_or_pause();
            }
        }
        assert_eq!(session.interventions().len(), 1);
        assert_eq!(session.sim().trace_hash(), plain(&session));
        outcomes.push(session.outcome().unwrap());
    }
    assert_eq!(outcomes[0], outcomes[3]);
    assert_eq!(
        session.branches().list().len(),
        4,
        "the same button makes the same future"
    );
    assert!(
        outcomes[0].contains("nodes 2 3")
            && outcomes[0].contains("node 1 is down; every rule holds"),
        "{outcomes:?}"
    );
    assert!(
        outcomes[1].contains("nodes 1 2 3; every rule holds"),
        "{outcomes:?}"
    );
    // Two honest proposals for A are a quorum: this liar comes too late.
    assert!(outcomes[2].contains("every rule holds"), "{outcomes:?}");
    session.break_it(3).unwrap();
    assert!(!session.is_playing(), "an exhibit is opened elsewhere");
}

#[test]
fn an_opened_trace_is_only_shown_until_it_is_forked() {
    let mut sim = Sim::new(open("three-signers").scenario()).unwrap();
    while sim.steps() < 9 {
        sim.step();
    }
    sim.intervene(crash(1)).unwrap();
    let (trace, run) = Trace::record(sim);
    let mut session = Session::replay(&trace).unwrap();
    assert_eq!(session.is_as_recorded(), None);
    assert_eq!(end(&mut session), run.trace_hash());
    assert_eq!(session.is_as_recorded(), Some(true));
    let refusal = session.intervene(&[crash(2)]).unwrap_err();
    assert!(refusal.contains("Fork it"), "{refusal}");
    session.seek_after_step(20);
    finish(&mut session);
    session.fork().unwrap();
    session
        .intervene(&[Act::Restart { node: NodeId(1) }])
        .unwrap();
    assert_eq!(session.interventions().len(), 2);
    let hash = end(&mut session);
    assert_eq!(hash, plain(&session));
    let mut other = trace;
    other.trace_hash.0[0] ^= 1;
    let mut session = Session::replay(&other).unwrap();
    end(&mut session);
    assert_eq!(session.is_as_recorded(), Some(false));
}

#[test]
fn a_cluster_without_a_quorum_says_what_it_lacks() {
    let mut session = at("three-signers", 7);
    session.intervene(&[crash(1)]).unwrap();
    session.intervene(&[crash(2)]).unwrap();
    end(&mut session);
    let lack = session.stalled().unwrap();
    assert!(
        lack.contains("Node 3 counts 1 of 3") && lack.contains("(needs 2)"),
        "{lack}"
    );
    assert!(session.outcome().unwrap().contains("nodes 1 2 are down"));
    let mut session = open("three-signers");
    end(&mut session);
    assert_eq!(session.stalled(), None);
}

#[test]
fn every_line_of_the_form_does_something_that_a_trace_replays() {
    for verb in Verb::ALL {
        let mut session = at("three-signers", 12);
        if verb == Verb::Restart {
            session.intervene(&[crash(1)]).unwrap();
        }
        let mut deed = Deed::default();
        deed.choose(verb, session.scenario());
        for how in 0..deed.ways(session.scenario()).len().max(1) {
            deed.how = how;
            let acts = deed.acts(session.scenario()).unwrap();
            let mut tried = at("three-signers", 12);
            if verb == Verb::Restart {
                tried.intervene(&[crash(1)]).unwrap();
            }
            let before = tried.interventions().len();
            tried
                .intervene(&acts)
                .unwrap_or_else(|why| panic!("{verb:?} {how}: {why}"));
            assert!(tried.interventions().len() > before);
            assert!(!tried.branches().shown().name().is_empty());
            assert_eq!(end(&mut tried), plain(&tried), "{verb:?} {how}");
        }
    }
    let scenario = open("three-signers").scenario().clone();
    let bad = |change: &dyn Fn(&mut Deed)| {
        let mut deed = Deed::default();
        change(&mut deed);
        deed.acts(&scenario).unwrap_err()
    };
    assert!(
        bad(&|deed| {
            deed.choose(Verb::Part, &scenario);
            deed.text = "1 x".to_owned();
        })
        .contains("Groups")
    );
    assert!(
        bad(&|deed| {
            deed.choose(Verb::Cut, &scenario);
            deed.other = 1;
        })
        .contains("two ends")
    );
    assert!(
        bad(&|deed| {
            deed.choose(Verb::Delay, &scenario);
            deed.number = "soon".to_owned();
        })
        .contains("whole number")
    );
    assert!(
        bad(&|deed| {
            deed.choose(Verb::Submit, &scenario);
            deed.text.clear();
        })
        .contains("name")
    );
}

#[test]
fn a_link_is_cut_and_mended_again() {
    let mut session = at("three-signers", 9);
    session.pick(Picked::Link(1, 3));
    session.cut_or_mend().unwrap();
    assert!(session.is_cut(NodeId(1), NodeId(3)) && !session.is_cut(NodeId(1), NodeId(2)));
    let done = session.interventions();
    assert!(
        done.iter()
            .all(|entry: &Intervention| entry.at == At::Step(9))
            && done.len() == 2
    );
    session.cut_or_mend().unwrap();
    assert!(!session.is_cut(NodeId(1), NodeId(3)));
    let hash = end(&mut session);
    assert_eq!(hash, plain(&session));
}
