//! The checker on small clusters: what it visits, what it finds, and that the simulator plays what it found.

use super::*;
use crate::explore::{Limits, Outcome, Search};
use crate::protocol::two_phase::TwoPhase;
use crate::scenario::{builtin, parse};
use crate::sim::Sim;

fn scenario(name: &str, flaws: &[&str]) -> Scenario {
    let known = builtin().iter().find(|known| known.name == name);
    let mut scenario = parse("test.toml", known.expect("a built-in scenario").text).unwrap();
    scenario.flaws = flaws.iter().map(|flaw| String::from(*flaw)).collect();
    scenario
}

fn search(scenario: &Scenario, bounds: Bounds) -> Search<Cluster<TwoPhase>> {
    let cluster = Cluster::new(scenario, bounds).unwrap();
    let mut search = Search::new(cluster, Limits::default());
    search.advance(usize::MAX);
    search
}

fn counts(outcome: &Outcome<Action<TwoPhase>>) -> (u64, u64, u32, bool) {
    (
        outcome.distinct,
        outcome.generated,
        outcome.depth,
        outcome.complete,
    )
}

const ONE_ROUND: Bounds = Bounds {
    rounds: 1,
    timeouts: None,
    crashes: 0,
    housekeeping: 0,
    repeats: 0,
    late_requests: false,
    beyond_decisions: false,
    once: false,
};

/// The same numbers natively, on any number of threads, and in a browser.
#[test]
fn hardened_rules_keep_every_promise_in_every_schedule_of_a_round() {
    let divergent = scenario("two-phase/divergent-views", &[]);
    let calm = search(&divergent, ONE_ROUND).outcome();
    assert_eq!(counts(&calm), (115, 359, 6, true));
    assert_eq!(calm.violation.map(|violation| violation.property), None);
    let crashes = Bounds {
        crashes: 1,
        ..ONE_ROUND
    };
    let crashing = search(&divergent, crashes).outcome();
    assert_eq!(counts(&crashing), (1_364, 5_008, 7, true));
    assert_eq!(crashing.violation.map(|violation| violation.property), None);
}

#[test]
fn what_is_quiet_hides_nothing_that_a_step_by_step_search_sees() {
    // What was sent and said, in every state that is reached.
    let heard = |defers| {
        let divergent = scenario("two-phase/divergent-views", &[]);
        let bounds = Bounds {
            crashes: 1,
            ..ONE_ROUND
        };
        let mut cluster = Cluster::<TwoPhase>::new(&divergent, bounds).unwrap();
        cluster.defers = defers;
        let (mut seen, mut heard) = (Set::new(), Set::new());
        let mut queue = cluster.init();
        while let Some(world) = queue.pop() {
            let said: Vec<Fingerprint> = world.nodes.iter().map(|local| local.said_print).collect();
            heard.insert(Fingerprint::of(&(world.sent.sum, said)));
            let mut actions = Vec::new();
            cluster.actions(&world, &mut actions);
            for action in &actions {
                if let Some(next) = cluster.next(&world, action)
                    && seen.insert(Fingerprint::of(&next))
                {
                    queue.push(next);
                }
            }
        }
        (seen.len(), heard)
    };
    let (few, some) = heard(true);
    let (many, all) = heard(false);
    assert!(few * 10 < many, "{few} states stand for {many}");
    assert!(some == all, "{} and {} things heard", some.len(), all.len());
}

#[test]
fn the_simulator_plays_what_the_checker_found_and_hardened_rules_stop_it() {
    let text = include_str!("../../../../tests/scenarios/two-phase/flaws/s0-f17.toml");
    let flawed = parse("s0-f17.toml", text).unwrap();
    let search = search(&flawed, ONE_ROUND);
    let violation = search.outcome().violation.expect("a promise is broken");
    let mut played = search.model().play(&violation.steps).expect("a script");
    let broken = |scenario: &Scenario| {
        let mut sim = Sim::new(scenario).unwrap();
        sim.run();
        let verdicts = sim.report().invariants.into_iter();
        let names = verdicts
            .filter(|verdict| !verdict.holds)
            .map(|verdict| verdict.name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(broken(&played), ["withdrawal"]);
    played.flaws.clear();
    assert_eq!(broken(&played), Vec::<&str>::new());
}

/// Nothing is judged before what it rests on: as written, a commit tells nothing but what proposals told before.
#[test]
fn the_order_in_which_messages_are_kept_breaks_nothing() {
    let mut written = scenario("two-phase/three-signers", &[]);
    written.rules = crate::engine::RuleSet::AsWritten;
    let outcome = search(&written, ONE_ROUND).outcome();
    assert_eq!(outcome.violation.map(|violation| violation.property), None);
    assert_eq!((outcome.distinct, outcome.complete), (29, true));
}

#[test]
fn a_search_goes_on_where_it_was_saved_and_ends_with_the_same_numbers() {
    let divergent = scenario("two-phase/divergent-views", &[]);
    let bounds = Bounds {
        crashes: 1,
        ..ONE_ROUND
    };
    let mut first: Search<Cluster<TwoPhase>> =
        Search::new(Cluster::new(&divergent, bounds).unwrap(), Limits::default());
    first.advance(300);
    let bytes = first.save().unwrap().to_bytes();
    let saved = crate::explore::Saved::from_bytes(&bytes).unwrap();
    let cluster = Cluster::<TwoPhase>::new(&divergent, bounds).unwrap();
    let mut second = Search::restore(cluster, Limits::default(), &saved).unwrap();
    second.advance(usize::MAX);
    assert_eq!(counts(&second.outcome()), (1_364, 5_008, 7, true));
    // Another cluster has other states.
    let other = scenario("two-phase/same-proposal", &[]);
    let other = Cluster::<TwoPhase>::new(&other, bounds).unwrap();
    assert!(Search::restore(other, Limits::default(), &saved).is_err());
    assert!(crate::explore::Saved::from_bytes(&bytes[..bytes.len() / 2]).is_err());
}

#[test]
fn what_the_checker_cannot_do_is_refused_with_a_sentence() {
    let mut lost = scenario("two-phase/three-signers", &[]);
    lost.at_ms(
        500,
        Act::Disk {
            node: NodeId(1),
            fault: crate::scenario::DiskFault::Lose,
        },
    );
    let refused = Cluster::<TwoPhase>::new(&lost, ONE_ROUND).err().unwrap();
    assert!(refused.starts_with("disk: "), "{refused}");
}
