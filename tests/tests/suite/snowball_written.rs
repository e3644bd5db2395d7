//! Snowball as its document writes it, from outside: ten rounds, majorities of whatever came, and final whatever they say.

use phaselab_core::engine::RuleSet;
use phaselab_core::event::EventKind;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::snowball::phase;
use phaselab_core::scenario::{Scenario, builtin, find, parse};
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::Logged;
use phaselab_core::sim::report::Report;
use phaselab_core::types::{NodeId, Round, Time};
use phaselab_core::view::{InstanceView, NodeView, ViewScope};

/// The meter of a round's votes, and that of the confidence.
const VOTES: EventKind = EventKind::VoteCounted(0);
const CONFIDENCE: EventKind = EventKind::VoteCounted(1);

const T1: &str = "[[at]]\nms = 0\ndo = \"submit\"\nto = [1]\n\
    request = { memo = \"T1\", from = \"alice\", to = \"bob\", amount = 25 }\n";
const T2: &str = "[[at]]\nms = 0\ndo = \"submit\"\nto = [2]\n\
    request = { memo = \"T2\", from = \"alice\", to = \"carol\", amount = 25 }\n";

/// A run of the document's rules whose messages take 10 ms.
fn written(nodes: u16, config: &str, course: &str) -> Sim {
    let text = format!(
        "protocol = \"snowball\"\nrules = \"as-written\"\nnodes = {nodes}\nuntil_ms = 20000\n\
         crypto = \"simulated\"\n[config]\n{config}\n[network]\nlatency_ms = [10, 10]\n{course}"
    );
    run(&parse("written.toml", &text).unwrap_or_else(|error| panic!("{error}")))
}

fn run(scenario: &Scenario) -> Sim {
    let mut sim = Sim::new(scenario).expect("nodes that can be built");
    sim.run();
    sim
}

/// Messages of a kind to a node, or to all with 0, are lost from the beginning.
fn drop_to(kind: &str, node: u16) -> String {
    let to = if node == 0 {
        String::new()
    } else {
        format!("to = {node}\n")
    };
    format!("[[at]]\nms = 0\ndo = \"drop\"\nkind = \"{kind}\"\n{to}")
}

fn events(sim: &Sim, node: u16, kind: EventKind) -> Vec<Logged> {
    let entries = sim.log().iter();
    let of_node = entries.filter(|entry| entry.node == NodeId(node) && entry.event.kind == kind);
    of_node.collect()
}

/// The confidence after each round of a node: round, how much, and whether in Accept.
fn confidence(sim: &Sim, node: u16) -> Vec<(u32, u64, bool)> {
    let counted = events(sim, node, CONFIDENCE).into_iter();
    counted
        .map(|entry| {
            let event = &entry.event;
            (event.round.0, event.have, event.value.is_some())
        })
        .collect()
}

fn view(sim: &Sim, node: u16) -> NodeView {
    sim.view(NodeId(node), ViewScope::Full)
}

fn instance(sim: &Sim, node: u16, name: &str) -> Option<InstanceView> {
    let mut instances = view(sim, node).instances.into_iter();
    instances.find(|instance| instance.name == name)
}

fn field(sim: &Sim, node: u16, name: &str, field: &str) -> Option<String> {
    let fields = instance(sim, node, name)?.fields;
    let found = fields.into_iter().find(|known| known.name == field);
    found.map(|known| known.text)
}

/// What clients are told, in order.
fn told(sim: &Sim) -> Vec<(u64, &'static str)> {
    let replies = sim.replies().iter();
    replies
        .filter_map(|reply| {
            let words = ProtocolKind::Snowball.read_reply(&reply.reply)?;
            Some((reply.client.0, words.outcome))
        })
        .collect()
}

fn holds(report: &Report, name: &str) -> bool {
    let mut verdicts = report.invariants.iter();
    let verdict = verdicts.find(|verdict| verdict.name == name);
    verdict.expect("it is watched").holds
}

/// S1-F1 to S1-F22: hardened rules keep what the document's break, in every scenario.
#[test]
fn every_scenario_of_snowball_comes_out_hardened() {
    let mut told_apart = 0;
    for entry in builtin() {
        let mut scenario = parse(entry.name, entry.text).expect("a scenario that is built in");
        if scenario.protocol != ProtocolKind::Snowball {
            continue;
        }
        scenario.flaws.clear();
        scenario.rules = RuleSet::Hardened;
        let report = run(&scenario).report();
        assert!(report.is_as_expected(), "{}: {report:#?}", entry.name);
        let mut expected = scenario.expectations.iter();
        told_apart += u32::from(expected.any(|entry| entry.rules.is_some()));
    }
    assert!(told_apart >= 15, "{told_apart} scenarios differ by rules");
}

/// S1-08, S1-09, S1-12, S1-21, S1-24: a round begins every 600 ms, ten times, and the tenth ends after 5900 ms.
#[test]
fn ten_rounds_of_600_ms() {
    let sim = written(4, "", T1);
    let begun = events(&sim, 1, EventKind::RoundEntered).into_iter();
    let begun: Vec<(u32, u64)> = begun
        .map(|entry| (entry.event.round.0, entry.at.as_ms()))
        .collect();
    let expected: Vec<(u32, u64)> = (1..=10)
        .map(|round| (round, u64::from(round - 1) * 600))
        .collect();
    assert_eq!(begun, expected);
    let decided = events(&sim, 1, EventKind::Decided);
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].at, Time::from_ms(5_900));
}

/// S1-03, S1-04, S1-06, S1-07: every round asks every peer with one request, and each answers it.
#[test]
fn every_round_asks_everybody() {
    for nodes in [2, 5, 9] {
        let sim = written(nodes, "", &(T1.to_owned() + &drop_to("block", 0)));
        let votes = events(&sim, 1, VOTES);
        for round in 1..=10 {
            let of_round = votes
                .iter()
                .filter(|entry| entry.event.round == Round(round));
            let mut voters: Vec<u16> = of_round
                .filter_map(|entry| entry.event.peer.map(|peer| peer.0))
                .collect();
            voters.sort_unstable();
            assert_eq!(voters, (2..=nodes).collect::<Vec<_>>(), "round {round}");
        }
        assert!(
            events(&sim, 2, EventKind::RoundEntered).is_empty(),
            "nobody else asks (S1-F12)"
        );
    }
}

/// S1-02, S1-10, S1-16, S1-19, S1-25, S1-30, S1-32: round i is confidence i, and the twentieth of thirty is the last.
#[test]
fn the_worked_example_of_twenty_rounds() {
    let sim = written(4, "max_rounds = 30", T1);
    let expected: Vec<_> = (1..=20)
        .map(|round| (round, u64::from(round), true))
        .collect();
    assert_eq!(confidence(&sim, 1), expected);
    let decided = events(&sim, 1, EventKind::Decided);
    assert_eq!(decided[0].at, Time::from_ms(20 * 500 + 19 * 100), "S1-F14");
}

/// S1-27, S1-F1, S1-F2: beta is twenty and there are ten rounds: final with half the confidence.
#[test]
fn ten_rounds_never_reach_a_beta_of_twenty() {
    let sim = written(4, "", T1);
    assert_eq!(confidence(&sim, 1).last(), Some(&(10, 10, true)));
    let phase = instance(&sim, 1, "T1").map(|instance| instance.phase);
    assert_eq!(phase, Some(phase::IN_BLOCK));
    assert_eq!(told(&sim), [(1, "accepted"), (1, "decided")]);
}

/// S1-15, S1-44: more Accepts than Rejects is Accept; as many of each, or none at all, is nothing.
#[test]
fn a_majority_of_what_came_and_a_tie_is_nothing() {
    // Whether each of the peers 2 and 3, and 4, has T1; silence is a peer that hears no request.
    let confidence_of = |lacking: &[u16], silent: &[u16], nodes| {
        let mut course = String::new();
        for node in lacking {
            course += &drop_to("transaction", *node);
        }
        for node in silent {
            course += &drop_to("vote-request", *node);
        }
        let sim = written(nodes, "", &(course + T1));
        *confidence(&sim, 1).last().expect("a tenth round")
    };
    assert_eq!(confidence_of(&[], &[], 4), (10, 10, true));
    assert_eq!(confidence_of(&[4], &[], 4), (10, 10, true), "two to one");
    assert_eq!(
        confidence_of(&[3, 4], &[], 4),
        (10, 10, false),
        "one to two"
    );
    assert_eq!(confidence_of(&[3], &[], 3), (10, 0, true), "a tie");
    assert_eq!(confidence_of(&[], &[2, 3], 3), (10, 0, true), "no vote");
    assert_eq!(
        confidence_of(&[], &[3, 4, 5], 5),
        (10, 10, true),
        "one vote of four is a majority (S1-F5)"
    );
}

/// S1-F9: what is between two majorities does not count against them.
#[test]
fn silent_rounds_leave_the_confidence_as_it_is() {
    let mut course = T1.to_owned();
    for round in [2, 4, 5, 6, 8] {
        course += &drop_to("vote-request", 0);
        course += &format!("round = {round}\n");
    }
    let sim = written(3, "finality_confidence = 5", &course);
    let counts: Vec<u64> = confidence(&sim, 1).iter().map(|entry| entry.1).collect();
    assert_eq!(counts, [1, 1, 2, 2, 2, 2, 3, 3, 4, 5]);
}

/// S1-F10: nine rounds for Accept and one for Reject: Reject is preferred.
#[test]
fn the_last_majority_is_preferred() {
    // Nodes 2 and 3 restart before the tenth round, and forget that they have T1.
    let restarts = [2, 3].map(|node| {
        format!(
            "[[at]]\nms = 5000\ndo = \"crash\"\nnode = {node}\n[[at]]\nms = 5100\ndo = \"restart\"\nnode = {node}\n"
        )
    });
    let sim = written(3, "", &(T1.to_owned() + &restarts.concat()));
    let told = confidence(&sim, 1);
    assert_eq!(told[8], (9, 9, true));
    assert_eq!(told[9], (10, 1, false));
    assert_eq!(
        field(&sim, 1, "T1", "last_finalized").as_deref(),
        Some("Reject")
    );
}

/// S1-13, S1-26, S1-45, S1-48, S1-F4: whatever is preferred, it is moved to the finalized pool and stands in a block.
#[test]
fn a_rejection_is_final_too() {
    for beta in [10, 20] {
        let config = format!("finality_confidence = {beta}");
        let sim = written(4, &config, &(drop_to("transaction", 0) + T1));
        assert_eq!(confidence(&sim, 1).last(), Some(&(10, 10, false)));
        assert_eq!(
            field(&sim, 1, "T1", "last_finalized").as_deref(),
            Some("Reject")
        );
        let phase = instance(&sim, 1, "T1").map(|instance| instance.phase);
        assert_eq!(phase, Some(phase::IN_BLOCK));
        assert_eq!(told(&sim), [(1, "accepted"), (1, "decided")]);
    }
}

/// S1-05, S1-31, S1-F11: whoever has it accepts it, also if it has another that spends the same.
#[test]
fn whoever_has_it_accepts_it() {
    let sim = written(4, "", &(T1.to_owned() + T2));
    for (node, other) in [(1, 2), (2, 1)] {
        let votes = events(&sim, node, VOTES);
        assert!(votes.iter().all(|entry| entry.event.value.is_some()));
        let of_rival = votes
            .iter()
            .filter(|entry| entry.event.peer == Some(NodeId(other)));
        assert_eq!(of_rival.count(), 10, "the rival's own node accepts too");
    }
}

/// S1-14, S1-F7: votes that come after 600 ms count, in the round after the one that asked.
#[test]
fn late_votes_count_in_the_next_round() {
    let delay = "[[at]]\nms = 0\ndo = \"delay\"\nkind = \"vote-response\"\nby_ms = 600\n";
    let sim = written(3, "", &(T1.to_owned() + delay));
    let votes = events(&sim, 1, VOTES);
    let in_round = |round| {
        let mut rounds = votes.iter().map(|entry| entry.event.round);
        rounds.by_ref().filter(|of| *of == Round(round)).count()
    };
    assert_eq!(in_round(1), 0);
    for round in 2..=10 {
        assert_eq!(in_round(round), 2, "round {round}");
    }
    assert_eq!(confidence(&sim, 1).last(), Some(&(10, 9, true)));
}

/// S1-18, S1-20, S1-28: what is known of a transaction while rounds go on is gone when they end.
#[test]
fn the_state_of_a_round_is_removed_in_the_end() {
    let text = format!(
        "protocol = \"snowball\"\nrules = \"as-written\"\nnodes = 7\ncrypto = \"simulated\"\n\
         [network]\nlatency_ms = [10, 10]\n{T1}"
    );
    let scenario = parse("state.toml", &text).expect("a scenario");
    let mut sim = Sim::new(&scenario).expect("nodes that can be built");
    assert!(view(&sim, 1).instances.is_empty(), "nothing before");
    sim.run_until(Time::from_ms(1_900));
    assert_eq!(
        field(&sim, 1, "T1", "preference").as_deref(),
        Some("Accept")
    );
    assert_eq!(
        field(&sim, 1, "T1", "confidence").as_deref(),
        Some("3 of 20")
    );
    assert_eq!(
        field(&sim, 1, "T1", "k").as_deref(),
        Some("2"),
        "a third (S1-11)"
    );
    sim.run_until(Time::from_ms(7_000));
    for gone in ["preference", "confidence", "k"] {
        assert_eq!(field(&sim, 1, "T1", gone), None);
    }
    assert_eq!(
        field(&sim, 1, "T1", "last_finalized").as_deref(),
        Some("Accept")
    );
}

/// S1-22, S1-47, S1-F20: a signature that is wrong is refused, inputs are locked at once, and never unlocked.
#[test]
fn inputs_are_validated_and_locked() {
    let submit = |ms: u64, more: &str| {
        format!(
            "[[at]]\nms = {ms}\ndo = \"submit\"\nto = [1]\nrequest = {{ from = \"alice\", to = \"bob\", {more} }}\n"
        )
    };
    let course = submit(0, "amount = 25")
        + &submit(0, "amount = 26")
        + &submit(15_000, "amount = 27")
        + &submit(
            0,
            "amount = 5, spend = [\"alice:1\"], signed_by = \"mallory\"",
        );
    let sim = written(3, "", &course);
    let expected = [
        (1, "accepted"),
        (2, "refused"),
        (3, "refused"),
        (1, "decided"),
        (4, "refused"),
    ];
    let mut told = told(&sim);
    told.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

/// S1-29, S1-40, S1-43: who has finalized builds a block at once and tells all, who believe it without a poll.
#[test]
fn blocks_are_broadcast_and_believed() {
    let sim = written(4, "", &(T1.to_owned() + T2));
    for node in 1..=4 {
        for name in ["T1", "T2"] {
            let phase = instance(&sim, node, name).map(|instance| instance.phase);
            assert_eq!(phase, Some(phase::IN_BLOCK), "{name} at {node}");
        }
    }
    for node in [3, 4] {
        assert!(events(&sim, node, EventKind::RoundEntered).is_empty());
        let decided = events(&sim, node, EventKind::Decided);
        assert!(decided.iter().all(|entry| entry.at == Time::from_ms(5_910)));
    }
    assert!(!holds(&sim.report(), "one spend"));
}

/// S1-40, S1-F13: a restart forgets the pools, and what was spent is spent again.
#[test]
fn a_restart_forgets_everything() {
    let course = T1.to_owned()
        + "[[at]]\nms = 8000\ndo = \"crash\"\nnode = 1\n[[at]]\nms = 8100\ndo = \"restart\"\nnode = 1\n"
        + &T2
            .replace("ms = 0", "ms = 9000")
            .replace("to = [2]", "to = [1]");
    let sim = written(3, "", &course);
    assert!(instance(&sim, 1, "T1").is_none(), "forgotten");
    let phase = instance(&sim, 1, "T2").map(|instance| instance.phase);
    assert_eq!(phase, Some(phase::IN_BLOCK));
    assert!(!holds(&sim.report(), "one spend"));
}

/// S1-F22: a second submission begins anew, and the rounds of the first are lost.
#[test]
fn a_second_submission_begins_anew() {
    let again = T1.replace("ms = 0", "ms = 2000");
    let sim = written(3, "", &(T1.to_owned() + &again));
    let rounds: Vec<u32> = events(&sim, 1, EventKind::RoundEntered)
        .iter()
        .map(|entry| entry.event.round.0)
        .collect();
    assert_eq!(rounds[..5], [1, 2, 3, 4, 1]);
    // The timers of both rows go on, and hurry one state: rounds that end early are ten as well.
    let decided = events(&sim, 1, EventKind::Decided);
    assert_eq!(decided.len(), 1);
    assert!(decided[0].at < Time::from_ms(5_900), "{:?}", decided[0].at);
}

/// S1-F2, S1-F3: of two transactions that spend one coin at two nodes both become final, whatever the network does.
#[test]
fn both_of_a_double_spend_are_final_in_every_run() {
    let text = find("snowball/double-spend").expect("it is built in").text;
    let text = text.replace("nodes = 30", "nodes = 7");
    let mut scenario = parse("double-spend.toml", &text).expect("a scenario");
    scenario.rules = RuleSet::AsWritten;
    for seed in 0..200 {
        scenario.seed = seed;
        let sim = run(&scenario);
        let report = sim.report();
        assert!(!holds(&report, "one spend"), "seed {seed}");
        assert!(!holds(&report, "agreement"), "seed {seed}");
        let decided = told(&sim);
        let decided = decided.iter().filter(|(_, word)| *word == "decided");
        assert_eq!(decided.count(), 2, "seed {seed}");
    }
}
