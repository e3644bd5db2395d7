//! Every scenario that comes with the core, as a story that people can read.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use phaselab_core::narrate;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{builtin, parse};
use phaselab_core::sim::Sim;
use phaselab_core::sim::report::Report;
use phaselab_tests::cluster::{story, story_of};

use super::golden;

/// Of more nodes than this, nobody reads a line for each vote.
const CROWD: u16 = 12;

#[test]
fn every_builtin_scenario_tells_the_story_that_was_read() {
    for entry in builtin() {
        let scenario = parse(entry.name, entry.text).expect("a scenario that is built in");
        let mut sim = Sim::new(&scenario).expect("nodes that can be built");
        sim.run();
        let report = sim.report();
        let story = if scenario.nodes > CROWD {
            story_of(&sim, narrate::is_told)
        } else {
            story(&sim)
        };
        let text = format!("{}\n\n{story}\n{}", scenario.title, summary(&report));
        golden::compare(&format!("{}.txt", entry.name), &text);
        assert!(report.is_as_expected(), "{}: {report:#?}", entry.name);
    }
}

#[test]
fn every_golden_run_has_its_scenario() {
    let known: BTreeSet<String> = builtin()
        .iter()
        .map(|entry| format!("{}.txt", entry.name))
        .collect();
    for protocol in ProtocolKind::names() {
        let folder = golden::folder().join(protocol);
        for file in fs::read_dir(&folder).expect("a folder") {
            let file = file.expect("an entry").path();
            let name = file.strip_prefix(golden::folder()).expect("inside");
            let name = name.to_string_lossy().replace('\\', "/");
            assert!(known.contains(&name), "tests/golden/{name} has no scenario");
        }
    }
}

/// What came of a run, one fact per line.
fn summary(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a string");
    for node in &report.nodes {
        let state = match (node.alive, node.byzantine) {
            (false, _) => "down",
            (true, true) => "lying",
            (true, false) => "running",
        };
        line(format!("node {}: {state}", node.id.0));
        for instance in &node.instances {
            let (name, phase, round) = (&instance.instance, instance.phase, instance.round);
            line(format!("  {name}: {phase}, round {round}"));
        }
    }
    for decision in &report.decisions {
        let who: Vec<u16> = decision.nodes.iter().map(|id| id.0).collect();
        let letter = decision.label.as_deref().unwrap_or("?");
        line(format!(
            "decided {}: {letter} = {} by {who:?}, {} to {} ms",
            decision.instance, decision.value, decision.first_ms, decision.last_ms
        ));
    }
    for abandoned in &report.abandoned {
        let who: Vec<u16> = abandoned.nodes.iter().map(|id| id.0).collect();
        line(format!(
            "abandoned {}: by {who:?}, from {} ms",
            abandoned.instance, abandoned.first_ms
        ));
    }
    for verdict in &report.invariants {
        let word = if verdict.holds { "holds" } else { "BROKEN" };
        line(format!("{} {word}: {}", verdict.name, verdict.detail));
    }
    for expectation in &report.expectations {
        let word = if expectation.met { "met" } else { "NOT MET" };
        line(format!("{word}: {}", expectation.text));
    }
    for (name, count) in &report.metrics {
        line(format!("{name} = {count}"));
    }
    for (name, count) in &report.faults {
        line(format!("fault {name}: {count}"));
    }
    line(format!("steps {}", report.steps));
    line(format!("delivered {}", report.delivered));
    line(format!("trace_hash {}", report.trace_hash));
    text
}
