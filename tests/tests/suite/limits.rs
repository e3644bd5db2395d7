//! Extreme values: whatever a scenario's own check lets pass can be run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use phaselab_core::codec::encode;
use phaselab_core::protocol::two_phase::{ChainSetting, TwoPhase, TwoPhaseConfig};
use phaselab_core::scenario::{Act, CrashPoint, Link, Scenario, Selector, parse};
use phaselab_core::sim::Sim;
use phaselab_core::types::{NodeId, Time};
use phaselab_tests::Cluster;
use phaselab_tests::cluster::request;

/// A change of a scenario, with a name.
type Case = (&'static str, fn(&mut Scenario));

const CASES: &[Case] = &[
    ("latency_ms up to the end of numbers", |s| {
        s.network.latency_ms = [0, u64::MAX];
    }),
    ("latency_ms at the end of numbers", |s| {
        s.network.latency_ms = [u64::MAX, u64::MAX];
    }),
    ("delay_ms up to the end of numbers", |s| {
        s.network.delay_permille = 1_000;
        s.network.delay_ms = [0, u64::MAX];
    }),
    ("duplicates with the longest latency", |s| {
        s.network.duplicate_permille = 1_000;
        s.network.latency_ms = [0, 9_000_000_000_000];
    }),
    ("disk.latency_us in the wrong order", |s| {
        s.disk.latency_us = [10, 5];
    }),
    ("disk.latency_us up to the end of numbers", |s| {
        s.disk.latency_us = [0, u64::MAX];
    }),
    ("a link of its own with the longest latency", |s| {
        let latency_ms = Some([0, u64::MAX]);
        s.network.link.push(Link {
            from: None,
            to: None,
            latency_ms,
            loss_permille: None,
        });
    }),
    ("a link of its own in the wrong order", |s| {
        let latency_ms = Some([9, 2]);
        s.network.link.push(Link {
            from: None,
            to: None,
            latency_ms,
            loss_permille: None,
        });
    }),
    ("a link of its own that loses more than all", |s| {
        s.network.link.push(Link {
            from: None,
            to: None,
            latency_ms: None,
            loss_permille: Some(u16::MAX),
        });
    }),
    ("a link of a node that does not exist", |s| {
        s.network.link.push(Link {
            from: Some(NodeId(9)),
            to: Some(NodeId(0)),
            latency_ms: None,
            loss_permille: Some(5),
        });
    }),
    ("a delay of forever", |s| {
        let select = Selector::default();
        s.at_ms(
            0,
            Act::Delay {
                select,
                by_ms: u64::MAX,
            },
        );
    }),
    ("clocks at both ends", |s| {
        for (node, rate_permille) in [(1, 100), (2, 10_000)] {
            let node = NodeId(node);
            s.at_ms(
                0,
                Act::Skew {
                    node,
                    rate_permille,
                },
            );
        }
    }),
    ("a chain at the end of its score", |s| {
        let setting = ChainSetting {
            tip_score: u64::MAX,
            blocks_per_second: 1_000,
            delay_ms: u64::MAX,
            ..ChainSetting::default()
        };
        s.environment = encode(&setting);
    }),
    ("a chain with much money and few outputs", |s| {
        let setting = ChainSetting {
            utxos: 0,
            amount: u64::MAX >> 20,
            ..ChainSetting::default()
        };
        s.environment = encode(&setting);
    }),
    ("a payment that no sum can hold", |s| {
        let change = phaselab_core::protocol::two_phase::ChainChange {
            pay: vec![u64::MAX, u64::MAX, 0],
            ..Default::default()
        };
        let change = encode(&change);
        s.at_ms(1, Act::Fact { node: None, change });
        for (number, amount) in [(1, u64::MAX - 1), (2, u64::MAX), (3, 0)] {
            let to = vec![NodeId(1), NodeId(2), NodeId(3)];
            let request = request(&format!("e{number}"), amount);
            s.at_ms(5, Act::Submit { to, request });
        }
    }),
    ("parameters at their upper ends", |s| {
        let mut config = TwoPhaseConfig {
            finality_blue_score_threshold: u64::MAX,
            proposal_timeout_ms: 86_400_000,
            min_input_score_depth: u64::MAX,
            gc_after_ms: u64::MAX,
            ..TwoPhaseConfig::default()
        };
        config.retry.max_retries = u32::MAX;
        config.retry.max_delay_ms = 86_400_000;
        config.retry.jitter_ms = 86_400_000;
        config.retry.backoff_multiplier_permille = u32::MAX;
        s.set_config::<TwoPhase>(&config);
    }),
    ("parameters at their lower ends", |s| {
        let mut config = TwoPhaseConfig {
            proposal_timeout_ms: 3,
            gc_after_ms: 0,
            ..TwoPhaseConfig::default()
        };
        config.retry.max_retries = 0;
        config.retry.base_delay_ms = 0;
        config.retry.max_delay_ms = 0;
        config.retry.jitter_ms = 0;
        config.retry.backoff_multiplier_permille = 0;
        s.set_config::<TwoPhase>(&config);
    }),
    ("everyone down at every point of a step", |s| {
        let points = [
            CrashPoint::BetweenSteps,
            CrashPoint::BeforeHandling,
            CrashPoint::AfterPersist,
        ];
        for (node, when) in points.into_iter().enumerate() {
            let node = NodeId(node as u16 + 1);
            s.at_ms(2, Act::Crash { node, when });
            s.at_ms(100, Act::Restart { node });
        }
    }),
];

#[test]
fn whatever_passes_the_check_can_be_run() {
    let mut broken = Vec::new();
    for (name, change) in CASES {
        let mut scenario = Cluster::builder(3).until_ms(30_000).build();
        let to = vec![NodeId(1), NodeId(2), NodeId(3)];
        let request = request("withdraw-1", 25);
        scenario.at_ms(1, Act::Submit { to, request });
        change(&mut scenario);
        if scenario.check().is_err() {
            continue;
        }
        let run = || {
            let mut sim = Sim::new(&scenario).expect("nodes that can be built");
            // A cluster whose timers last no time at all gets nowhere, but that is not a crash.
            while sim.steps() < 20_000 && sim.step().is_some() {}
            sim.now() <= Time::from_ms(30_000)
        };
        if !catch_unwind(AssertUnwindSafe(run)).unwrap_or(false) {
            broken.push(*name);
        }
    }
    assert!(
        broken.is_empty(),
        "passed the check and crashed: {broken:#?}"
    );
}

/// The same through the front door: TOML holds integers of 63 bits.
#[test]
fn a_file_with_extreme_numbers_is_refused_with_its_line_or_runs() {
    let head = "protocol = \"two-phase\"\nnodes = 3\n";
    let last = i64::MAX;
    for tail in [
        format!("[network]\nlatency_ms = [0, {last}]\n"),
        format!("[network]\ndelay_permille = 1000\ndelay_ms = [0, {last}]\n"),
        "[disk]\nlatency_us = [10, 5]\n".into(),
        format!("[disk]\nlatency_us = [0, {last}]\n"),
        format!("until_ms = {last}\n[[at]]\nms = {last}\ndo = \"heal\"\n"),
        format!("seed = {last}\n[chain]\ntip_score = {last}\ndelay_ms = {last}\n"),
        "[network]\n[[network.link]]\nfrom = 9\nto = 1\n".into(),
        "[[group]]\nid = 1\nnodes = [0]\n".into(),
    ] {
        let text = format!("{head}{tail}");
        match parse("extreme.toml", &text) {
            Err(error) => assert!(
                error.to_string().starts_with("extreme.toml:"),
                "no line: {error}\n{tail}"
            ),
            Ok(scenario) => {
                let run = || {
                    let mut sim = Sim::new(&scenario).expect("nodes that can be built");
                    sim.run_until(Time::from_ms(2_000));
                };
                assert!(catch_unwind(AssertUnwindSafe(run)).is_ok(), "{tail}");
            }
        }
    }
}
