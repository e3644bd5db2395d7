use phaselab_core::scenario::{self, Scenario};

use super::*;
use crate::axis::Axis;
use crate::session::Session;

fn scenario(name: &str) -> Scenario {
    let entry = scenario::find(name).unwrap();
    scenario::parse(entry.name, entry.text).unwrap()
}

fn at_end(scenario: &Scenario) -> Session {
    let mut session = Session::open(scenario).unwrap();
    session.end();
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
    session
}

fn picture(session: &Session) -> Spacetime {
    Spacetime::of(session.sim().log(), &session.scene())
}

/// When every message was sent and when it arrived, as the network itself says, one step after another.
fn flown(scenario: &Scenario) -> Vec<(u16, u16, f64, f64)> {
    let mut session = Session::open(scenario).unwrap();
    let mut all = Vec::new();
    while session.sim().next_at().is_some() {
        session.step();
        for flight in session.sim().flights() {
            let ms = |time: phaselab_core::types::Time| time.0 as f64 / 1e6;
            let known = (
                flight.from.0,
                flight.to.0,
                ms(flight.sent),
                ms(flight.arrives),
            );
            if !all.contains(&known) {
                all.push(known);
            }
        }
    }
    all
}

#[test]
fn every_message_goes_from_where_it_was_sent_to_where_it_arrived() {
    let mut slow = scenario("three-signers");
    slow.disk.latency_us = [2_000, 9_000];
    for scenario in [scenario("three-signers"), slow] {
        let flown = flown(&scenario);
        let session = at_end(&scenario);
        let (scene, picture) = (session.scene(), picture(&session));
        let row = |node: u16| (f64::from(node) - 0.5) * picture.row_px;
        let delivered: Vec<&Item> = picture
            .items
            .iter()
            .filter(|item| matches!(item.what, What::Message(_)))
            .collect();
        assert!(delivered.len() > 10, "{}", delivered.len());
        for item in delivered {
            let start = item.start.unwrap();
            let place = |ms: f64| scene.axis.percent(ms);
            let is_known = flown.iter().any(|(from, to, sent, arrives)| {
                (row(*from), row(*to)) == (start.1, item.end.1)
                    && (place(*sent) - start.0).abs() < 1e-9
                    && (place(*arrives) - item.end.0).abs() < 1e-9
            });
            assert!(is_known, "{item:?}");
        }
    }
}

#[test]
fn lost_messages_end_in_a_cross_and_locks_and_decisions_are_marks() {
    let session = at_end(&scenario("late-joiner"));
    let drawn = picture(&session);
    let (messages, lost) = drawn.counts();
    assert!(messages > lost && lost > 0, "{messages} {lost}");
    let marks = |glyph| {
        let found = drawn
            .items
            .iter()
            .filter(|item| item.what == What::Mark(glyph));
        found.count()
    };
    assert!(marks(Glyph::Lock) >= 2 && marks(Glyph::Decide) >= 2);
    assert_eq!(marks(Glyph::Lost), 0, "those are the crosses");
    let dim = drawn.items.iter().filter(|item| item.is_dim).count();
    assert!(dim > 0, "anti-entropy is dimmed");
    assert!(drawn.items.iter().any(|item| item.value.is_some()));
}

#[test]
fn only_what_the_axis_shows_is_drawn_and_never_more_than_the_most() {
    let session = at_end(&scenario("late-joiner"));
    let log = session.sim().log();
    let mut scene = session.scene();
    scene.axis = Axis::new(0.0, 60_000.0, &[], 60_000.0);
    let (whole, latest) = (
        Spacetime::of(log, &scene),
        Spacetime::latest(log, &scene, 100),
    );
    assert!(!whole.is_cut && latest.is_cut);
    assert_eq!(latest.stops().count(), 100);
    assert!(whole.items.ends_with(&latest.items));
    scene.axis = scene.axis.zoomed(64.0);
    let narrow = Spacetime::of(log, &scene);
    let (from, to) = scene.axis.range();
    for (place, item) in narrow.stops() {
        let at = log.get(place).unwrap().at.0 as f64 / 1e6;
        assert!(from <= at && at <= to, "{item:?}");
    }
}

#[test]
fn what_is_on_its_way_ends_at_the_cursor() {
    let mut session = Session::open(&scenario("three-signers")).unwrap();
    session.end();
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
    session.seek_ms(101.0);
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
    let (scene, drawn) = (session.scene(), picture(&session));
    let flying: Vec<_> = drawn
        .items
        .iter()
        .filter(|item| item.event.is_none())
        .collect();
    assert_eq!(flying.len(), scene.flights.len());
    assert!(!flying.is_empty());
    assert!(flying.iter().all(|item| item.end.0 == scene.axis.cursor()));
}

#[test]
fn a_click_finds_what_is_near_and_nothing_else() {
    let session = at_end(&scenario("three-signers"));
    let drawn = picture(&session);
    let item = drawn
        .items
        .iter()
        .find(|item| matches!(item.what, What::Message(Shape::Propose)))
        .unwrap();
    let (start, end) = (item.start.unwrap(), item.end);
    let middle = ((start.0 + end.0) / 2.0 * 6.0, (start.1 + end.1) / 2.0);
    let hit = drawn.hit(middle, 600.0).unwrap();
    let away = |other: &Item| {
        let px = |(x, y): (f64, f64)| (x * 6.0, y);
        distance(px(other.start.unwrap_or(other.end)), px(other.end), middle)
    };
    assert!(away(hit) <= away(item) + 1e-9, "something at least as near");
    assert_eq!(drawn.hit((599.0, -80.0), 600.0), None);
    assert_eq!(distance((0.0, 0.0), (0.0, 0.0), (3.0, 4.0)), 5.0);
}
