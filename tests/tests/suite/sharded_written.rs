//! Sharded two-phase commit as its document writes it, from outside: the document's numbers and times, its scenarios under
//! both rule sets, and what drawn runs find.

use std::collections::BTreeMap;

use phaselab_core::engine::RuleSet;
use phaselab_core::event::EventKind;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::sharded_2pc::phase;
use phaselab_core::scenario::{Scenario, builtin, find, parse};
use phaselab_core::sim::Sim;
use phaselab_core::sim::report::Report;
use phaselab_core::types::{GroupId, NodeId, Time};

const RULES: [RuleSet; 2] = [RuleSet::Hardened, RuleSet::AsWritten];

fn read(name: &str, rules: RuleSet) -> Scenario {
    let builtin = find(&format!("sharded-2pc/{name}")).expect("a built-in scenario");
    let mut scenario = parse(builtin.name, builtin.text).expect("a scenario that is built in");
    scenario.rules = rules;
    scenario
}

fn run(scenario: &Scenario) -> Sim {
    let mut sim = Sim::new(scenario).expect("nodes that can be built");
    sim.run();
    sim
}

/// S4-42, S4-49, S4-55: every scenario comes out as it says, hardened too.
#[test]
fn every_scenario_of_the_document_comes_out_hardened() {
    let of_protocol = builtin()
        .iter()
        .filter(|entry| entry.name.starts_with("sharded-2pc/"));
    let mut told_apart = 0;
    for entry in of_protocol {
        let mut scenario = parse(entry.name, entry.text).expect("a scenario that is built in");
        if !scenario.flaws.is_empty() {
            continue;
        }
        scenario.rules = RuleSet::Hardened;
        let report = run(&scenario).report();
        assert!(report.is_as_expected(), "{}: {report:#?}", entry.name);
        told_apart += u32::from(
            scenario
                .expectations
                .iter()
                .any(|entry| entry.rules.is_some()),
        );
    }
    assert!(told_apart >= 15, "{told_apart} scenarios differ by rules");
}

/// S4-02, S4-22, S4-23, S4-43: what `phaselab sim --json` shows of 100 / 50 -> 90 / 60, and of the seq that is used again.
#[test]
fn the_report_of_the_reference_transfer_shows_its_numbers() {
    for rules in RULES {
        let report = run(&read("reference-transfer", rules)).report();
        let shown = |text: &str| {
            let mut entries = report.expectations.iter();
            entries.any(|entry| entry.met && entry.text.contains(text))
        };
        for item in ["1001: 90", "3001: 60"] {
            assert!(shown(&format!("shows item \"{item}\"")), "{report:#?}");
        }
        match rules {
            RuleSet::Hardened => assert!(shown("at C1:3 log \"REUSING seq=2 in slot 3\"")),
            RuleSet::AsWritten => {
                assert!(shown("log \"REUSING seq=1\""));
                let count = |name: &str| report.metrics.get(name).copied();
                assert_eq!(count("sharded_2pc_seqs_allocated_total"), Some(2));
                assert_eq!(count("sharded_2pc_seqs_reused_total"), Some(2));
            }
        }
    }
}

/// A view that shows something else is not what was expected: of fields, of replies, of both rule sets.
#[test]
fn an_expectation_of_a_field_or_a_reply_can_fail() {
    let spoil = [
        ("is = \"1001: 90\"", "is = \"1001: 9\""),
        ("reply = \"SUCCESS\"", "reply = \"FAILED\""),
        (
            "reply = \"SUCCESS\"\ncount = 1",
            "reply = \"SUCCESS\"\ncount = 2",
        ),
        ("client = 1\n", "client = 7\n"),
    ];
    let text = find("sharded-2pc/reference-transfer")
        .expect("it is built in")
        .text;
    for (right, wrong) in spoil {
        assert!(text.contains(right), "{right}");
        let scenario = parse("spoilt.toml", &text.replace(right, wrong)).expect("a scenario");
        assert!(!run(&scenario).report().is_as_expected(), "{wrong}");
    }
    let refused = |extra: &str| {
        let text = format!("{text}\n[[expect]]\n{extra}\n");
        parse("bad.toml", &text).expect_err("refused").message
    };
    for (extra, why) in [
        ("field = \"item\"", "a field needs its text"),
        (
            "is = \"1001: 90\"\nphase = \"done\"\ninstance = \"x\"",
            "a field needs its text",
        ),
        (
            "client = 1\nevent = \"decided\"",
            "a client needs the reply",
        ),
        (
            "reply = \"SUCCESS\"\ninstance = \"2pc-1-1\"",
            "a reply is not of an instance",
        ),
        (
            "reply = \"SUCCESS\"\nevent = \"decided\"",
            "expected exactly one of",
        ),
        ("node = 1", "expected exactly one of"),
    ] {
        assert!(refused(extra).contains(why), "{extra}: {}", refused(extra));
    }
}

/// S4-35, S4-66: the timing diagram with 1 ms for each message, measured from the client's request: prepared, C and SUCCESS
/// lie within its windows, and both prepares take no longer than the slower of them.
#[test]
fn the_timing_diagram_in_virtual_milliseconds() {
    // Prepared at node 1 and 4, committed at node 1 and 4, told.
    let expected = [
        (RuleSet::Hardened, [2, 3, 6, 9, 6]),
        (RuleSet::AsWritten, [2, 3, 6, 7, 8]),
    ];
    for (rules, expected) in expected {
        let sim = run(&read("reference-timing", rules));
        assert!(sim.report().is_as_expected(), "{:#?}", sim.report());
        let entered = |node: u16, phase: u8| {
            let mut entries = sim.log().iter();
            let first = entries.find(|entry| {
                let is_transfer = entry.event.instance == Some(transfer());
                let kind = EventKind::PhaseEntered(phase);
                is_transfer && entry.event.kind == kind && entry.node == NodeId(node)
            });
            first.expect("it is entered").at.as_ms() - 100
        };
        let told = sim.replies().iter().find(|reply| {
            let words = ProtocolKind::Sharded2pc.read_reply(&reply.reply);
            words.is_some_and(|words| words.outcome == "SUCCESS")
        });
        let times = [
            entered(1, phase::PREPARED),
            entered(4, phase::PREPARED),
            entered(1, phase::COMMITTED),
            entered(4, phase::COMMITTED),
            told.expect("an answer").at.as_ms() - 100,
        ];
        println!("{rules:?}: {times:?} ms");
        assert_eq!(times, expected, "{rules:?}");
    }
}

fn transfer() -> phaselab_core::types::InstanceId {
    phaselab_core::protocol::sharded_2pc::command::TxnId {
        client: phaselab_core::types::ClientId(1),
        home: GroupId(1),
        number: 1,
        attempt: 0,
    }
    .instance()
}

/// S4-03: clusters of three where nobody says what they are.
#[test]
fn nodes_come_in_clusters_of_three() {
    let groups = |nodes| {
        let groups = Scenario::new(ProtocolKind::Sharded2pc, nodes).groups;
        groups.iter().map(|group| group.0).collect::<Vec<_>>()
    };
    assert_eq!(groups(9), [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    assert_eq!(groups(7), [1, 1, 1, 2, 2, 2, 2]);
    assert_eq!(groups(5), [0; 5]);
    let head = "protocol = \"sharded-2pc\"\nnodes = 6\n[[group]]\nid = 1\nnodes = [1, 2, 6]\n";
    let text = format!("{head}[[group]]\nid = 2\nnodes = [3, 4, 5]\n");
    let named = parse("named.toml", &text).expect("a scenario").groups;
    assert_eq!(
        named,
        [1, 1, 2, 2, 2, 1].map(GroupId),
        "what is named stays"
    );
    let error = parse("named.toml", head).expect_err("half a cluster");
    assert!(error.message.contains("node 3 is in none"), "{error}");
}

/// A drawn run of the document's rules; what breaks breaks while there are faults, or soon after.
fn drawn(seed: u64) -> Report {
    let mut scenario = ProtocolKind::Sharded2pc.swarm(seed);
    scenario.rules = RuleSet::AsWritten;
    scenario.until = Time::from_ms(130_000);
    scenario
        .check()
        .expect("what is drawn can be run as written");
    let mut sim = Sim::new(&scenario).expect("nodes that can be built");
    sim.set_check_recovery(seed.is_multiple_of(8));
    sim.run();
    sim.report()
}

/// What a sweep of the rules as written finds, without a panic; and rows give the state back all the same.
#[test]
fn drawn_runs_as_written_make_and_lose_money() {
    let mut first: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..12 {
        for verdict in drawn(seed).invariants {
            if !verdict.holds {
                first.entry(verdict.name).or_insert(seed);
            }
        }
    }
    println!("{first:?}");
    for name in [
        "agreement",
        "conservation",
        "exactly once",
        "execution",
        "answers",
        "reads",
    ] {
        assert!(first.contains_key(name), "no seed breaks {name}: {first:?}");
    }
}
