//! The flaws of the source documents: each breaks its promise when it is restored alone, and hardened rules keep it; the
//! rules as written break theirs, and neither ever panics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use phaselab_core::engine::RuleSet;
use phaselab_core::event::EventKind;
use phaselab_core::flaw::{Flaw, FlawKind};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{InForce, Scenario, builtin, parse};
use phaselab_core::sim::Sim;
use phaselab_core::sim::report::Report;
use phaselab_core::types::{Round, Time};

/// The exhibits of all protocols: one scenario for each flaw that a scenario can show.
fn exhibits() -> Vec<(PathBuf, Scenario)> {
    let folders = ProtocolKind::ALL.iter().copied().map(|protocol| {
        let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let folder = format!("{scenarios}/{}/flaws", protocol.name());
        fs::read_dir(folder).expect("a folder of exhibits")
    });
    let mut paths: Vec<PathBuf> = folders
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a file");
        let name = path.file_name().expect("a name").to_string_lossy();
        let scenario = parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        (path, scenario)
    };
    paths.into_iter().map(read).collect()
}

fn run(scenario: &Scenario) -> Report {
    let mut sim = Sim::new(scenario).expect("nodes that can be built");
    sim.run();
    sim.report()
}

fn switchable() -> impl Iterator<Item = (ProtocolKind, &'static Flaw)> {
    let all = ProtocolKind::ALL.iter().copied().flat_map(|protocol| {
        let flaws = protocol.flaws().iter();
        flaws.map(move |flaw| (protocol, flaw))
    });
    all.filter(|(_, flaw)| flaw.is_switchable())
}

#[test]
fn each_flaw_alone_breaks_what_hardened_rules_keep() {
    for (path, flawed) in exhibits() {
        let name = path.display();
        let [id] = flawed.flaws.as_slice() else {
            panic!("{name}: one flaw at a time");
        };
        assert_eq!(
            path.file_stem(),
            Some(id.to_lowercase().as_ref()),
            "{name}: named after its flaw"
        );
        let report = run(&flawed);
        assert!(report.is_as_expected(), "{name}: {report:#?}");

        let mut hardened = flawed.clone();
        hardened.flaws.clear();
        if let Err(refusal) = hardened.check() {
            // Parameters that nobody can be safe with: refusing them is the rule.
            assert!(
                refusal.contains("commit_quorum = 1: expected 2 to 3"),
                "{name}: {refusal}"
            );
            continue;
        }
        let report = run(&hardened);
        assert!(report.is_as_expected(), "{name}: {report:#?}");
        assert!(report.invariants.iter().all(|verdict| verdict.holds));
        assert!(
            !report.expectations.is_empty(),
            "{name} expects nothing when hardened"
        );

        // What the flaw shows, hardened rules do not show.
        for entry in &mut hardened.expectations {
            if entry.rules == Some(InForce::Flawed) {
                entry.rules = Some(InForce::Hardened);
            }
        }
        let report = run(&hardened);
        assert!(
            !report.is_as_expected(),
            "{name}: the flaw makes no difference"
        );
    }
}

#[test]
fn every_flaw_that_can_be_restored_is_shown() {
    let scenarios = exhibits().into_iter();
    let shown: BTreeSet<String> = scenarios.flat_map(|(_, scenario)| scenario.flaws).collect();
    let expected: BTreeSet<String> = switchable().map(|(_, flaw)| flaw.id.to_owned()).collect();
    assert_eq!(shown, expected);
}

/// S0-F33: nodes that fail together retry together unless jitter parts them.
#[test]
fn without_jitter_nodes_that_fail_together_retry_together() {
    let retries = |flaws: &[&str]| {
        let text = "protocol = \"two-phase\"\nnodes = 3\nuntil_ms = 12000\ncrypto = \"simulated\"\n\
            [[at]]\nms = 0\ndo = \"partition\"\ngroups = [[1], [2], [3]]\n\
            [[at]]\nms = 100\ndo = \"submit\"\nto = [1, 2, 3]\nrequest = { event = \"e\", amount = 25 }\n";
        let mut scenario = parse("jitter.toml", text).expect("a scenario");
        scenario.flaws = flaws.iter().map(|id| (*id).to_owned()).collect();
        let mut sim = Sim::new(&scenario).expect("nodes that can be built");
        sim.run();
        let entered = sim.log().iter().filter(|entry| {
            entry.event.kind == EventKind::RoundEntered && entry.event.round == Round(1)
        });
        entered.map(|entry| entry.at).collect::<Vec<Time>>()
    };
    let distinct = |times: Vec<Time>| {
        assert_eq!(times.len(), 3, "every node retries");
        times.into_iter().collect::<BTreeSet<_>>().len()
    };
    assert_eq!(distinct(retries(&["S0-F33"])), 1);
    assert_eq!(distinct(retries(&[])), 3);
}

#[test]
fn every_builtin_scenario_comes_out_as_written_too() {
    for entry in builtin() {
        let mut scenario = parse(entry.name, entry.text).expect("a scenario that is built in");
        if !scenario.flaws.is_empty() {
            continue;
        }
        scenario.rules = RuleSet::AsWritten;
        let report = run(&scenario);
        assert!(report.is_as_expected(), "{}: {report:#?}", entry.name);
        assert!(!report.expectations.is_empty(), "{}", entry.name);
    }
}

/// What a sweep of the rules as written finds, without a panic.
#[test]
fn drawn_runs_as_written_break_agreement_and_sign_twice() {
    let mut first: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..8 {
        let mut scenario = ProtocolKind::TwoPhase.swarm(seed);
        scenario.rules = RuleSet::AsWritten;
        // What breaks breaks while there are faults, or soon after.
        scenario.until = Time::from_ms(130_000);
        scenario
            .check()
            .expect("what is drawn can be run as written");
        for verdict in run(&scenario).invariants {
            if !verdict.holds {
                first.entry(verdict.name).or_insert(seed);
            }
        }
    }
    println!("{first:?}");
    for name in ["agreement", "one signature", "one vote"] {
        assert!(first.contains_key(name), "no seed breaks {name}: {first:?}");
    }
}

/// Whatever a flaw breaks, it is told by the oracle and never by a panic; and rows give the state back all the same.
#[test]
fn drawn_runs_with_any_flaw_never_panic_and_recover() {
    for (seed, (protocol, flaw)) in (0..).zip(switchable()) {
        let mut scenario = protocol.swarm(seed);
        scenario.flaws.push(flaw.id.to_owned());
        let mut sim = Sim::new(&scenario).expect("nodes that can be built");
        sim.set_check_recovery(seed.is_multiple_of(8));
        sim.run();
    }
}

#[test]
fn rules_that_cannot_be_had_are_refused_in_a_sentence() {
    let refusal = |rules, flaws: &[&str]| {
        let mut scenario = Scenario::new(ProtocolKind::TwoPhase, 3);
        scenario.rules = rules;
        scenario.flaws = flaws.iter().map(|id| (*id).to_owned()).collect();
        scenario.check().expect_err("refused")
    };
    let cases = [
        (
            RuleSet::Hardened,
            "S0-F99",
            "two-phase has no flaw \"S0-F99\"",
        ),
        (
            RuleSet::Hardened,
            "S0-F27",
            "S0-F27 cannot be restored (an overflow;",
        ),
        (RuleSet::Hardened, "S0-F22", "S0-F22 takes a liar"),
        (
            RuleSet::AsWritten,
            "S0-F1",
            "as-written rules have every flaw",
        ),
    ];
    for (rules, id, expected) in cases {
        let message = refusal(rules, &[id]);
        assert!(message.contains(expected), "{message}");
        assert!(
            message.contains("S0-F1, S0-F3, S0-F4, S0-F5, S0-F7"),
            "{message}"
        );
    }
}

/// A flaw that cannot be restored names what pins the rule instead; a test that is named exists.
#[test]
fn what_is_not_switchable_says_why() {
    let texts = sources();
    for flaw in ProtocolKind::ALL
        .iter()
        .copied()
        .flat_map(ProtocolKind::flaws)
    {
        if let FlawKind::NotSwitchable { why } = flaw.kind {
            assert!(
                why.contains("pin") || why.contains("bans"),
                "{}: {why}",
                flaw.id
            );
            for name in why.split(|part: char| !part.is_alphanumeric() && part != '_') {
                let is_test = name.matches('_').count() > 1;
                let text = format!("fn {name}(");
                let is_there = texts.iter().any(|source| source.contains(&text));
                assert!(!is_test || is_there, "{}: no test {name}", flaw.id);
            }
        }
    }
}

/// The files in which tests are.
fn sources() -> Vec<String> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut folders = vec![root.join("core/src"), root.join("tests/tests")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                texts.push(fs::read_to_string(path).expect("a source"));
            }
        }
    }
    texts
}
