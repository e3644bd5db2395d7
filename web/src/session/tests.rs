use phaselab_core::scenario;

use super::*;

pub(super) fn open(name: &str) -> Session {
    let entry = scenario::find(name).unwrap();
    Session::open(&scenario::parse(entry.name, entry.text).unwrap()).unwrap()
}

/// Lets frames pass until nothing is left to do, with little time in each.
pub(super) fn finish(session: &mut Session) {
    for _ in 0..100_000 {
        if !session.is_busy() {
            return;
        }
        let mut steps = 5;
        session.frame(16.0, &mut || {
            steps -= 1;
            steps > 0
        });
    }
    panic!("it never comes to rest");
}

fn phase_of(session: &Session, node: u16) -> &'static str {
    let scene = session.scene();
    scene.phase_name(scene.phase(scene.node(node).unwrap()))
}

#[test]
fn the_story_plays_to_its_end_and_every_scenario_gives_the_hash_of_a_plain_run() {
    for entry in scenario::builtin() {
        let scenario = scenario::parse(entry.name, entry.text).unwrap();
        let mut sim = Sim::new(&scenario).unwrap();
        sim.run();
        let mut session = Session::open(&scenario).unwrap();
        session.play_or_pause();
        finish(&mut session);
        if !session.sim().holds() && !session.is_at_end() {
            // It stopped at the rule that broke.
            session.play_or_pause();
            finish(&mut session);
        }
        assert!(
            session.is_at_end() && !session.is_playing(),
            "{}",
            entry.name
        );
        assert_eq!(
            session.sim().trace_hash(),
            sim.trace_hash(),
            "{}",
            entry.name
        );
    }
}

#[test]
fn what_is_drawn_after_a_seek_is_what_is_drawn_after_stepping() {
    for entry in scenario::builtin() {
        let mut session = open(entry.name);
        finish(&mut session);
        let mut drawn = Vec::new();
        while drawn.len() < 120 && !session.is_at_end() {
            session.step();
            drawn.push((
                session.scene(),
                session.events(true, 50),
                session.caption().map(str::to_owned),
            ));
        }
        for place in (0..drawn.len() as u64).rev().step_by(7) {
            session.seek_after_step((place * 31 + 5) % drawn.len() as u64);
            session.seek_after_step(place);
            finish(&mut session);
            let now = (
                session.scene(),
                session.events(true, 50),
                session.caption().map(str::to_owned),
            );
            assert!(
                now == drawn[place as usize],
                "{} after step {place}",
                entry.name
            );
        }
    }
}

#[test]
fn back_undoes_a_step_and_phases_are_found_both_ways() {
    let mut session = open("three-signers");
    finish(&mut session);
    session.next_phase();
    finish(&mut session);
    assert_eq!(phase_of(&session, 2), "proposing");
    let (scene, cursor) = (session.scene(), session.cursor_ms());
    session.step();
    session.back();
    assert_eq!((session.scene(), session.cursor_ms()), (scene, cursor));
    let mut stops = vec![cursor];
    for _ in 0..5 {
        session.next_phase();
        finish(&mut session);
        stops.push(session.cursor_ms());
    }
    assert!(stops.is_sorted_by(|a, b| a < b), "{stops:?}");
    while let Some(stop) = stops.pop() {
        assert_eq!(session.cursor_ms(), stop);
        session.previous_phase();
    }
    session.home();
    session.back();
    assert_eq!(session.cursor_ms(), 0.0);
}

#[test]
fn all_three_complete_within_the_time_that_the_page_shows() {
    let mut session = open("three-signers");
    finish(&mut session);
    assert!(session.horizon_ms() <= 400.0, "{}", session.horizon_ms());
    session.seek_ms(400.0);
    finish(&mut session);
    assert_eq!(session.cursor_ms(), 400.0);
    assert_eq!(
        [1, 2, 3].map(|node| phase_of(&session, node)),
        ["completed"; 3]
    );
    let scene = session.scene();
    let locks = &scene.focused(scene.node(1).unwrap()).unwrap().meters[1];
    assert!(locks.is_reached());
    assert_eq!((locks.need, locks.segments.len()), (2, 3));
}

#[test]
fn flights_are_drawn_between_leaving_and_arriving() {
    let mut session = open("three-signers");
    session.seek_ms(101.0);
    finish(&mut session);
    let flights = session.scene().flights;
    assert_eq!(flights.len(), 6, "three proposals to two each");
    assert!(
        flights
            .iter()
            .all(|flight| flight.sent_ms <= 101.0 && flight.arrives_ms >= 101.0)
    );
    assert!(
        flights
            .iter()
            .all(|flight| flight.shape == Shape::Propose && flight.value.is_some())
    );
}

#[test]
fn a_guess_is_judged_once_something_is_decided() {
    let mut session = open("three-signers");
    session.set_guess(Guess::A);
    assert_eq!(session.guess(), Some((Guess::A, GuessResult::Open)));
    session.end();
    finish(&mut session);
    assert_eq!(session.guess(), Some((Guess::A, GuessResult::Right)));
    session.set_guess(Guess::Neither);
    assert_eq!(session.guess(), Some((Guess::Neither, GuessResult::Wrong)));
}

#[test]
fn a_node_that_does_not_exist_is_not_selected() {
    let mut session = open("three-signers");
    session.select(Some(9));
    assert_eq!(session.scene().selected, None);
    session.select(Some(2));
    assert_eq!(session.scene().selected, Some(2));
}

#[test]
fn an_answer_stays_while_its_lines_are_gone_to() {
    let mut session = open("three-signers");
    session.end();
    finish(&mut session);
    session.select(Some(3));
    assert!(session.ask_focused());
    let answer = session.why().unwrap().clone();
    assert!(answer.ended && answer.node.0 == 3);
    assert_eq!(answer.lines.last().unwrap().kind, "decided");
    let marked = |session: &Session| -> Vec<(String, u16)> {
        let lines = session.events(true, usize::MAX).into_iter();
        let causes = lines.filter(|line| line.is_cause);
        causes.map(|line| (line.sentence, line.node)).collect()
    };
    let events = answer.lines.iter().filter(|line| line.index.is_some());
    let events: Vec<_> = events
        .map(|line| (line.sentence.clone(), line.node.0))
        .collect();
    assert_eq!(marked(&session), events);
    let first = answer.lines[0].step;
    session.seek_after_step(first);
    finish(&mut session);
    assert_eq!(session.sim().steps(), first + 1);
    assert_eq!(session.why(), Some(&answer));
    assert!(marked(&session).len() < events.len());
    // Asked again, it is about the run as it stands now.
    assert!(session.ask_focused());
    let open = session.why().unwrap();
    assert!(!open.ended && open.lacks[0].missing.len() == 2, "{open:#?}");
    session.select(Some(2));
    assert_eq!(session.why(), None);
    assert_eq!(session.dismiss(), None);
    session.select(None);
    assert!(!session.ask_focused());
}

#[test]
fn the_arc_of_a_round_depletes_with_the_clock_and_is_gone_once_it_is_decided() {
    let mut session = open("three-signers");
    let mut left_at = |ms: f64| {
        session.seek_ms(ms);
        finish(&mut session);
        let nodes = session.scene().nodes;
        nodes.iter().map(|node| node.timeout).collect::<Vec<_>>()
    };
    assert_eq!(left_at(50.0), [None; 3]);
    let early: Vec<_> = left_at(105.0).into_iter().flatten().collect();
    let later: Vec<_> = left_at(115.0).into_iter().flatten().collect();
    assert_eq!((early.len(), later.len()), (3, 3));
    for (early, later) in early.iter().zip(&later) {
        assert!((early.left_ms - later.left_ms - 10.0).abs() < 1e-6);
        assert!(later.share < early.share && early.share < 1.0);
    }
    assert_eq!(left_at(2_000.0), [None; 3]);
}

#[test]
fn what_is_decided_is_told_as_reports_tell_it() {
    for entry in scenario::builtin() {
        let scenario = scenario::parse(entry.name, entry.text).unwrap();
        // Nine nodes sign three times as much, and thirty tell little that twelve do not.
        let seeds = match scenario.nodes {
            0..=4 => 8,
            5..=12 => 2,
            _ => 1,
        };
        for seed in 1..=seeds {
            let mut scenario = scenario.clone();
            scenario.seed = seed;
            let mut session = Session::open(&scenario).unwrap();
            session.end();
            finish(&mut session);
            let (decided, is_more) = session.decided();
            let told: Vec<_> = decided
                .into_iter()
                .map(|it| (it.name, it.value, it.letter, it.nodes))
                .collect();
            let report = session.sim().report().decisions;
            // Slots of logs are what transfers are made of, and nobody asked for them.
            let is_slot = |name: &str| name.starts_with('C') && name.contains(':');
            let expected: Vec<_> = report
                .into_iter()
                .filter(|it| !is_slot(&it.instance))
                .map(|it| (it.instance, it.value, it.label, it.nodes))
                .collect();
            assert_eq!(told, expected, "{} {seed}", entry.name);
            assert!(!is_more);
        }
    }
}

#[test]
fn each_decision_has_its_own_name_when_the_first_node_is_down() {
    let text = "protocol = \"two-phase\"\nnodes = 3\nuntil_ms = 3000\n\
        [[at]]\nms = 0\ndo = \"submit\"\nto = [1, 2, 3]\nrequest = { event = \"rent\", amount = 5 }\n\
        [[at]]\nms = 900\ndo = \"submit\"\nto = [1, 2, 3]\nrequest = { event = \"fuel\", amount = 7 }\n\
        [[at]]\nms = 1800\ndo = \"crash\"\nnode = 1\n";
    let mut session = Session::open(&scenario::parse("two.toml", text).unwrap()).unwrap();
    session.end();
    finish(&mut session);
    assert!(!session.sim().is_alive(NodeId(1)));
    let (decided, _) = session.decided();
    let names: Vec<&str> = decided.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["rent", "fuel"]);
}
