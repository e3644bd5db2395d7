//! Exports read back: every format holds what the run's log says, for simulated runs and for live ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use phaselab_core::crypto::Crypto;
use phaselab_core::event::{EventKind, Level};
use phaselab_core::export::{ExportError, Format, export};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::recording::{self, Recording, Rerun, Script};
use phaselab_core::scenario::{self, Act, CrashPoint, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::sim::log::{Logged, Told};
use phaselab_core::sim::timeline::Timeline;
use phaselab_core::trace::Trace;
use phaselab_core::types::{NodeId, Time};
use phaselab_tests::recorded::three_nodes;
use serde_json::Value;

use crate::golden;

fn builtin(name: &str) -> Scenario {
    let entry = scenario::find(name).expect("a run");
    scenario::parse(&format!("{}.toml", entry.name), entry.text).expect("a run")
}

/// Runs of every kind: built in, of swarms with their faults, and live.
fn runs() -> Vec<(String, Box<dyn Fn() -> Sim>)> {
    let mut runs: Vec<(String, Box<dyn Fn() -> Sim>)> = Vec::new();
    let mut scenarios: Vec<Scenario> = scenario::builtin()
        .iter()
        .map(|entry| builtin(entry.name))
        // A crowd's run is more than a picture holds.
        .filter(|scenario| scenario.nodes <= 12)
        .collect();
    // Of protocols whose runs take seconds, every third: formats know nothing of scenarios.
    let mut places = 0..;
    scenarios.retain(|scenario| {
        scenario.protocol == ProtocolKind::TwoPhase
            || places
                .next()
                .is_some_and(|place: usize| place.is_multiple_of(3))
    });
    scenarios.extend((0..6).map(|seed| {
        let mut swarm = ProtocolKind::TwoPhase.swarm(seed);
        swarm.until = swarm.until.min(Time::from_ms(9_000));
        swarm
    }));
    for scenario in scenarios {
        let name = format!("{} {}", scenario.name, scenario.seed);
        runs.push((name, Box::new(move || Sim::new(&scenario).expect("a run"))));
    }
    let script = live();
    runs.push((
        "live".to_owned(),
        Box::new(move || Sim::live(&script).expect("a run")),
    ));
    runs
}

fn live() -> Arc<Script> {
    let files = three_nodes(Crypto::Ed25519, [0, 0, 0]);
    let lives: Vec<Arc<Recording>> = files
        .iter()
        .flat_map(|file| recording::read(file).expect("a run"))
        .map(Arc::new)
        .collect();
    let mut reruns: Vec<Rerun> = lives.into_iter().map(Rerun::of).collect();
    recording::compare_stores(&mut reruns);
    Arc::new(Script::new(&reruns).expect("a run"))
}

fn text(sim: Sim, format: Format) -> String {
    String::from_utf8(export(sim, format, None).expect("a run")).expect("a run")
}

fn log(mut sim: Sim) -> Sim {
    sim.set_level(Level::Full);
    sim.run();
    sim
}

/// The sending that an event rests on, looked for in the whole log: of those upon the same cause the one most alike.
fn sending(sim: &Sim, events: &[Logged], place: usize) -> Option<usize> {
    let entry = &events[place];
    let cause = entry.cause?;
    let (from, upon) = match entry.event.kind {
        EventKind::MessageSent(_) => return None,
        EventKind::MessageDropped(_) => (entry.event.peer?, cause),
        // What a message brings is told in one go: the first of it stands for the arrival.
        _ => {
            let is_of_it = |entry: &&Logged| {
                entry.cause == Some(cause)
                    && !matches!(
                        entry.event.kind,
                        EventKind::MessageSent(_) | EventKind::MessageDropped(_)
                    )
            };
            if events[..place].iter().any(|entry| is_of_it(&entry)) {
                return None;
            }
            match sim.log().cause(cause)?.what {
                Told::Message { from, sent, .. } => (from, sent?),
                _ => return None,
            }
        }
    };
    let sent = |at: &usize| {
        let sent = &events[*at];
        matches!(sent.event.kind, EventKind::MessageSent(_))
            && (sent.node, sent.cause) == (from, Some(upon))
    };
    let number = |kind: EventKind| match kind {
        EventKind::MessageSent(kind)
        | EventKind::MessageDelivered(kind)
        | EventKind::MessageDropped(kind) => Some(kind),
        _ => None,
    };
    let is_kind = |at: &usize| number(events[*at].event.kind) == number(entry.event.kind);
    let is_for = |at: &usize| events[*at].event.peer.is_none_or(|peer| peer == entry.node);
    let is_about = |at: &usize| {
        let (sent, got) = (&events[*at].event, &entry.event);
        (sent.instance, sent.round, sent.value) == (got.instance, got.round, got.value)
    };
    let all: Vec<usize> = (0..place).filter(sent).collect();
    // What kind it is counts more than to whom it went, and that more than what it says; of those alike the first.
    all.into_iter()
        .min_by_key(|at| (!is_kind(at), !is_for(at), !is_about(at)))
}

#[test]
fn every_format_is_the_same_twice_and_says_which_run_it_is() {
    for (name, run) in runs() {
        let hash = log(run()).trace_hash().to_string();
        for format in [Format::Svg, Format::Itf, Format::Shiviz, Format::Perfetto] {
            let once = text(run(), format);
            assert_eq!(once, text(run(), format), "{name} {}", format.name());
            assert!(
                format == Format::Shiviz || once.contains(&hash),
                "{name} {}",
                format.name()
            );
        }
    }
}

#[test]
fn vector_clocks_are_the_order_of_causes() {
    for (name, run) in runs() {
        let sim = log(run());
        let events: Vec<Logged> = sim.log().iter().collect();
        let text = text(run(), Format::Shiviz);
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some(r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)")
        );
        assert_eq!(lines.next(), Some(""));
        let mut hosts = Vec::new();
        let mut clocks: Vec<BTreeMap<String, u64>> = Vec::new();
        while let Some(head) = lines.next() {
            let (host, clock) = head.split_once(' ').unwrap();
            hosts.push(host.to_owned());
            clocks.push(serde_json::from_str(clock).unwrap());
            assert!(!lines.next().unwrap().is_empty());
        }
        assert_eq!(clocks.len(), events.len(), "{name}");
        // Which events each rests on, by the order of its host and by messages.
        let mut before: Vec<BTreeSet<usize>> = Vec::new();
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        let few = events.len().min(600);
        for (place, host) in hosts.iter().enumerate().take(few) {
            let own = last.insert(host, place);
            let sent = sending(&sim, &events, place);
            let mut all = BTreeSet::new();
            for direct in own.into_iter().chain(sent) {
                all.extend(before[direct].iter().copied());
                all.insert(direct);
            }
            before.push(all);
        }
        let mut pairs = 0;
        for later in 0..few {
            for earlier in 0..few {
                let own = clocks[earlier][&hosts[earlier]];
                let knows = clocks[later]
                    .get(&hosts[earlier])
                    .is_some_and(|count| *count >= own);
                let is_cause = earlier == later || before[later].contains(&earlier);
                assert_eq!(is_cause, knows, "{name}: {earlier} before {later}");
                pairs += usize::from(is_cause);
            }
            // A partial order: nothing later is known.
            for other in later + 1..few {
                let own = clocks[other][&hosts[other]];
                assert!(
                    clocks[later]
                        .get(&hosts[other])
                        .is_none_or(|count| *count < own)
                );
            }
        }
        assert!(pairs > few, "{name}");
    }
}

#[test]
fn a_picture_is_xml_in_which_every_message_has_both_ends() {
    let mut arrived = 0;
    for (name, run) in runs() {
        let sim = log(run());
        let picture = text(run(), Format::Svg);
        let document =
            roxmltree::Document::parse(&picture).unwrap_or_else(|error| panic!("{name}: {error}"));
        let of_class = |class: &str| {
            let all = document.descendants();
            let count = all.filter(|node| {
                node.attribute("class")
                    .is_some_and(|classes| classes.split(' ').any(|known| known == class))
            });
            count.count()
        };
        let is_worth = |kind: u8| {
            sim.spec().messages[usize::from(kind)].shape != phaselab_core::view::Shape::Sync
        };
        let end = sim.log().iter().filter(|entry| match entry.event.kind {
            EventKind::MessageSent(kind)
            | EventKind::MessageDelivered(kind)
            | EventKind::MessageDropped(kind) => is_worth(kind),
            EventKind::TimerFired => false,
            _ => true,
        });
        let end = end.last().unwrap().at;
        let count = |is_meant: &dyn Fn(EventKind) -> bool| {
            sim.log()
                .iter()
                .filter(|entry| entry.at <= end && is_meant(entry.event.kind))
                .count()
        };
        let delivered = count(&|kind| matches!(kind, EventKind::MessageDelivered(_)));
        assert_eq!(of_class("delivered"), delivered, "{name}");
        assert_eq!(
            of_class("dropped"),
            count(&|kind| matches!(kind, EventKind::MessageDropped(_))),
            "{name}"
        );
        assert_eq!(
            of_class("locked"),
            count(&|kind| kind == EventKind::Locked),
            "{name}"
        );
        assert_eq!(
            of_class("decided"),
            count(&|kind| kind == EventKind::Decided),
            "{name}"
        );
        assert_eq!(of_class("of-node"), usize::from(sim.scenario().nodes));
        arrived += delivered;
        assert!(document.descendants().any(|node| node.has_tag_name("desc")));
        if !sim.is_live() {
            let open = document.descendants().filter(|node| {
                node.attribute("class")
                    .is_some_and(|classes| classes.contains("delivered flying"))
            });
            assert_eq!(open.count(), 0, "{name}");
        }
        assert!(
            !picture.contains("href") && !picture.contains("url("),
            "self-contained"
        );
    }
    assert!(arrived > 500, "{arrived}");
}

#[test]
fn text_of_anybody_is_escaped() {
    let mut scenario = builtin("three-signers");
    scenario.title = "A <b>\"bold\"</b> & 'plain' \u{1} title".to_owned();
    scenario.name = "</svg><script>".to_owned();
    let picture = text(Sim::new(&scenario).unwrap(), Format::Svg);
    let document = roxmltree::Document::parse(&picture).unwrap();
    let title = document
        .descendants()
        .find(|node| node.has_tag_name("title"))
        .unwrap();
    assert_eq!(
        title.text(),
        Some("</svg><script>: A <b>\"bold\"</b> & 'plain' \u{FFFD} title")
    );
    for format in [Format::Itf, Format::Perfetto] {
        let read: Value =
            serde_json::from_str(&text(Sim::new(&scenario).unwrap(), format)).unwrap();
        assert!(read.is_object());
    }
}

#[test]
fn states_are_of_the_informal_trace_format_and_end_as_the_run_does() {
    for (name, run) in runs() {
        let sim = log(run());
        let read: Value = serde_json::from_str(&text(run(), Format::Itf)).unwrap();
        assert_eq!(read["#meta"]["format"], "ITF");
        let variables: BTreeSet<&str> = read["vars"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        let states = read["states"].as_array().unwrap();
        assert!(states.len() > 3, "{name}");
        for (index, state) in states.iter().enumerate() {
            assert_eq!(state["#meta"]["index"], index);
            let fields = state
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .filter(|key| *key != "#meta");
            assert_eq!(fields.collect::<BTreeSet<_>>(), variables);
        }
        for pair in states.windows(2) {
            let step = |state: &Value| {
                state["step"]["#bigint"]
                    .as_str()
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            };
            assert!(step(&pair[0]) < step(&pair[1]), "{name}");
            let differs = |key: &str| pair[0][key] != pair[1][key];
            assert!(
                ["alive", "byzantine", "instances", "in_flight"]
                    .into_iter()
                    .any(differs)
            );
        }
        let last = states.last().unwrap();
        for (node, alive) in sim
            .scenario()
            .ids()
            .zip(last["alive"]["#map"].as_array().unwrap())
        {
            assert_eq!(alive[0]["#bigint"], node.0.to_string());
            assert_eq!(alive[1], sim.is_alive(node), "{name}");
        }
        let decided: BTreeSet<(String, String)> = last["instances"]["#map"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|pair| {
                let value = pair[1]["decided"].as_str().unwrap().to_owned();
                (!value.is_empty()).then(|| {
                    (
                        pair[0]["#tup"][0]["#bigint"].as_str().unwrap().to_owned(),
                        value,
                    )
                })
            })
            .collect();
        let expected: BTreeSet<(String, String)> = sim
            .scenario()
            .ids()
            .flat_map(|node| {
                let view = sim.view(node, phaselab_core::view::ViewScope::Summary);
                let values = view
                    .instances
                    .into_iter()
                    .filter_map(|instance| instance.value);
                values
                    .map(move |value| (node.0.to_string(), value.to_string()))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(decided, expected, "{name}");
    }
}

#[test]
fn trace_events_have_slices_for_flows_and_a_phase_for_each_entry() {
    for (name, run) in runs() {
        let sim = log(run());
        let events: Vec<Logged> = sim.log().iter().collect();
        let read: Value = serde_json::from_str(&text(run(), Format::Perfetto)).unwrap();
        let all = read["traceEvents"].as_array().unwrap();
        let of = |ph: &str| {
            all.iter()
                .filter(move |event| event["ph"] == ph)
                .collect::<Vec<_>>()
        };
        let slices: Vec<_> = of("X");
        let messages: BTreeSet<(u64, String)> = slices
            .iter()
            .filter(|slice| slice["cat"] == "message")
            .map(|slice| (slice["pid"].as_u64().unwrap(), slice["ts"].to_string()))
            .collect();
        let count = slices
            .iter()
            .filter(|slice| slice["cat"] == "message")
            .count();
        assert_eq!(messages.len(), count, "{name}: no slice hides another");
        let (starts, ends) = (of("s"), of("f"));
        assert_eq!(starts.len(), ends.len());
        for (start, end) in starts.iter().zip(&ends) {
            assert_eq!((&start["id"], &end["bp"]), (&end["id"], &"e".into()));
            for end in [start, end] {
                let at = (end["pid"].as_u64().unwrap(), end["ts"].to_string());
                assert!(messages.contains(&at), "{name}: a flow ends in a slice");
            }
            assert!(start["ts"].as_f64() <= end["ts"].as_f64());
        }
        let is_arrival = |kind| {
            matches!(
                kind,
                EventKind::MessageDelivered(_) | EventKind::MessageDropped(_)
            )
        };
        let linked = (0..events.len()).filter(|place| {
            is_arrival(events[*place].event.kind) && sending(&sim, &events, *place).is_some()
        });
        assert_eq!(starts.len(), linked.count(), "{name}");
        if !sim.is_live() {
            let arrivals = events.iter().filter(|entry| is_arrival(entry.event.kind));
            assert_eq!(
                starts.len(),
                arrivals.count(),
                "{name}: every arrival has its sending"
            );
        }
        let phases = slices
            .iter()
            .filter(|slice| slice["cat"] == "phase")
            .count();
        let entered = events
            .iter()
            .filter(|entry| matches!(entry.event.kind, EventKind::PhaseEntered(_)))
            .count();
        assert!(phases >= entered, "{name}");
        assert!(entered > 0 || name.starts_with("swarm"), "{name}");
        let instants = of("i");
        for kind in ["locked", "decided", "crashed"] {
            let told = events
                .iter()
                .filter(|entry| phaselab_core::narrate::event_name(entry.event.kind) == kind);
            assert_eq!(
                instants
                    .iter()
                    .filter(|event| event["name"] == kind)
                    .count(),
                told.count()
            );
        }
        let counts = events.iter().filter(|entry| {
            matches!(
                entry.event.kind,
                EventKind::VoteCounted(_) | EventKind::QuorumReached(_)
            )
        });
        assert_eq!(of("C").len(), counts.count(), "{name}");
        assert!(of("M").len() > 3);
    }
}

#[test]
fn a_scenario_with_what_was_done_by_hand_reads_back_as_the_same_run() {
    let one = NodeId(1);
    for entry in scenario::builtin() {
        let mut scenario = builtin(entry.name);
        scenario.seed = 11;
        if scenario.rules == Default::default() {
            scenario.flaws = vec!["S0-F4".to_owned()];
            if scenario.check().is_err() {
                scenario.flaws.clear();
            }
        }
        let mut run = Timeline::new(&scenario).unwrap();
        for (step, act) in [
            (
                4,
                Act::Skew {
                    node: one,
                    rate_permille: 900,
                },
            ),
            (
                8,
                Act::Partition {
                    groups: vec![vec![one], vec![NodeId(2)]],
                },
            ),
            (12, Act::Heal),
            (
                20,
                Act::Crash {
                    node: one,
                    when: CrashPoint::AfterPersist,
                },
            ),
            (31, Act::Restart { node: one }),
        ] {
            run.seek(step);
            let _told_to_a_person = run.intervene(act);
        }
        run.run();
        let by_hand = run.sim().whole_by_hand();
        let again = || {
            let mut sim = Sim::new(&scenario).unwrap();
            sim.plan_by_hand(&by_hand);
            sim
        };
        let text = text(again(), Format::Toml);
        let read = scenario::parse(&format!("{}.toml", entry.name), &text).unwrap();
        assert_eq!(
            log(Sim::new(&read).unwrap()).trace_hash(),
            run.sim().trace_hash(),
            "{}",
            entry.name
        );
        let trace = Trace::from_bytes(&export(again(), Format::Trace, None).unwrap()).unwrap();
        assert_eq!(
            trace.replay(|_| {}).unwrap().trace_hash(),
            run.sim().trace_hash()
        );
    }
}

#[test]
fn an_untouched_scenario_keeps_its_text() {
    for entry in scenario::builtin() {
        let sim = Sim::new(&builtin(entry.name)).unwrap();
        assert_eq!(text(sim, Format::Toml), entry.text, "{}", entry.name);
    }
}

#[test]
fn what_cannot_be_written_is_refused_in_a_sentence() {
    let script = live();
    for format in [Format::Toml, Format::Trace] {
        let refused = export(Sim::live(&script).unwrap(), format, None);
        assert_eq!(refused, Err(ExportError::Happened(format)));
    }
    let swarm = ProtocolKind::TwoPhase.swarm(3);
    let refused = export(Sim::new(&swarm).unwrap(), Format::Toml, None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "This scenario was not read from a file. Take the trace instead."
    );
    let mut large = builtin("three-signers");
    large.nodes = 101;
    large.groups.resize(101, large.groups[0]);
    let refused = export(Sim::new(&large).unwrap(), Format::Svg, None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "The run is too large for svg: 101 nodes; expected at most 100."
    );
    let mut long = builtin("three-signers");
    long.until = Time::from_ms(20_000_000);
    let refused = export(Sim::new(&long).unwrap(), Format::Svg, None).unwrap_err();
    assert!(
        refused.to_string().contains("more than 20000 events"),
        "{refused}"
    );
    assert!(
        export(
            Sim::new(&long).unwrap(),
            Format::Svg,
            Some(Time::from_ms(300))
        )
        .is_ok()
    );
}

#[test]
fn a_small_run_is_written_as_ever() {
    let mut scenario = builtin("three-signers");
    scenario.until = Time::from_ms(150);
    let sim = || Sim::new(&scenario).unwrap();
    for format in [Format::Svg, Format::Itf, Format::Shiviz, Format::Perfetto] {
        golden::compare(
            &format!("export/three-signers.{}", format.ending()),
            &text(sim(), format),
        );
    }
}
