//! What `/metrics` says is in the catalog, and what is in the catalog is said; dashboards ask for nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::catalog::{SHELL, of_protocol};
use super::*;
use crate::net::faults::LinkFaults;
use exposition::{Family, parse};
use phaselab_core::scenario;
use phaselab_core::sim::Sim;

#[path = "../../tests/processes/exposition.rs"]
mod exposition;

const PROTOCOL: ProtocolKind = ProtocolKind::TwoPhase;

fn sample() -> Sample {
    let peer = |id, heard: Option<u64>| PeerState {
        id: NodeId(id),
        connected: heard.is_some(),
        connected_for: heard.map(Duration::from_secs),
        round_trip: heard.map(Duration::from_millis),
        heard: heard.map(Duration::from_secs),
        sent: 20 + u64::from(id),
        received: 30 + u64::from(id),
        received_bytes: 40 + u64::from(id),
        slowed: 50 + u64::from(id),
        dropped: u64::from(id),
        faults: LinkFaults::default(),
    };
    let counts = |pairs: &[(&str, u64)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    };
    Sample {
        incarnation: 3,
        counters: counts(&[
            ("two_phase_canonical_selection_total{method=\"quorum\"}", 7),
            ("two_phase_fast_forwards_total", 2),
            ("refused_replayed", 4),
            ("refused_invalid", 6),
            ("later_protocol_things_total{side=\"left\"}", 9),
        ]),
        invalid: counts(&[("proposal_hash_mismatch", 5), ("vote_shape", 1)]),
        phases: BTreeMap::from([("completed", 11)]),
        peers: vec![peer(2, Some(1)), peer(3, None)],
        held: 12,
        clients: 13,
        chain: ChainReport {
            connected: true,
            reported: 14,
        },
    }
}

const AROUND: Around = Around {
    answers: true,
    inbox: 15,
    inbox_max: 1024,
    store_bytes: Some(65_536),
};

fn exposed(sample: Option<&Sample>, around: Around) -> BTreeMap<String, Family> {
    let metrics = Metrics::new(NodeId(1), PROTOCOL);
    metrics.input("packet");
    metrics.event(EventKind::PhaseEntered(1));
    metrics.answered("decided", Duration::from_millis(30));
    metrics.commit(5, || Ok::<_, ()>(())).unwrap();
    metrics
        .commit(900, || Err::<(), _>("disk full"))
        .unwrap_err();
    let text = metrics.expose(sample, around);
    parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// Every metric that a node exposes.
fn catalog() -> impl Iterator<Item = &'static Metric> {
    let protocols = ProtocolKind::ALL.iter().copied().flat_map(of_protocol);
    SHELL.iter().chain(protocols)
}

#[test]
fn what_is_exposed_is_the_catalog() {
    let mut sample = sample();
    sample
        .counters
        .remove("later_protocol_things_total{side=\"left\"}");
    let families = exposed(Some(&sample), AROUND);
    let names: BTreeSet<_> = families.keys().map(String::as_str).collect();
    // A node exposes the counters of its own protocol, and of no other.
    let exposed_here = || SHELL.iter().chain(of_protocol(PROTOCOL));
    let known: BTreeSet<_> = exposed_here().map(|metric| metric.name).collect();
    assert_eq!(names, known);
    let all: BTreeSet<_> = catalog().map(|metric| metric.name).collect();
    assert_eq!(catalog().count(), all.len(), "a name stands once");
    for metric in exposed_here() {
        let family = &families[metric.name];
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert_eq!(
            (family.kind.as_str(), family.help.as_str()),
            (kind, metric.help)
        );
        for sample in &family.samples {
            let mut labels: BTreeSet<_> = sample.labels.keys().map(String::as_str).collect();
            labels.remove("le");
            let expected: BTreeSet<_> = metric.labels.iter().copied().chain(["node"]).collect();
            assert_eq!(labels, expected, "{}", metric.name);
            assert_eq!(sample.labels["node"], "1");
        }
    }
}

#[test]
fn values_are_those_that_were_counted() {
    let families = exposed(Some(&sample()), AROUND);
    let value = |name: &str, labels: &[(&str, &str)]| families[name].value(labels);
    let sized = |name: &str, ending: &str, labels: &[(&str, &str)]| {
        let family = &families[name];
        let mut part = family.clone();
        part.samples.retain(|sample| sample.name.ends_with(ending));
        part.value(labels)
    };
    for (name, labels, expected) in [
        (
            "two_phase_canonical_selection_total",
            &[("method", "quorum")][..],
            7.0,
        ),
        ("two_phase_fast_forwards_total", &[], 2.0),
        ("two_phase_proposal_timeouts_total", &[], 0.0),
        (
            "tx_template_hash_mismatch_total",
            &[("kind", "proposal_hash_mismatch")],
            5.0,
        ),
        ("phaselab_refused_total", &[("reason", "replayed")], 4.0),
        ("phaselab_refused_total", &[("reason", "vote_shape")], 1.0),
        ("phaselab_refused_total", &[("reason", "malformed")], 0.0),
        ("later_protocol_things_total", &[("side", "left")], 9.0),
        ("phaselab_events", &[("phase", "completed")], 11.0),
        ("phaselab_events", &[("phase", "proposing")], 0.0),
        (
            "phaselab_phases_entered_total",
            &[("phase", PROTOCOL.spec().phases[1].name)],
            1.0,
        ),
        ("phaselab_peers_connected", &[], 1.0),
        ("phaselab_peer_connected", &[("peer", "3")], 0.0),
        ("phaselab_peer_silent_seconds", &[("peer", "2")], 1.0),
        ("phaselab_peer_packets_dropped_total", &[("peer", "3")], 3.0),
        ("phaselab_peer_round_trip_seconds", &[("peer", "2")], 0.001),
        ("phaselab_peer_packets_sent_total", &[("peer", "2")], 22.0),
        (
            "phaselab_peer_packets_received_total",
            &[("peer", "2")],
            32.0,
        ),
        ("phaselab_peer_bytes_received_total", &[("peer", "2")], 42.0),
        ("phaselab_peer_slowed_total", &[("peer", "2")], 52.0),
        ("phaselab_outbox_held", &[], 12.0),
        ("phaselab_inbox_length", &[], 15.0),
        ("phaselab_inputs_total", &[("kind", "packet")], 1.0),
        ("phaselab_store_commits_total", &[], 1.0),
        ("phaselab_store_commit_pending_seconds", &[], 0.0),
        ("phaselab_chain_reports_total", &[], 14.0),
        ("phaselab_event_loop_answers", &[], 1.0),
    ] {
        assert_eq!(value(name, labels), Some(expected), "{name}{labels:?}");
    }
    // What the protocol refuses is told by its own reason, and nowhere else.
    assert_eq!(
        value("phaselab_refused_total", &[("reason", "invalid")],),
        None
    );
    assert_eq!(
        value("phaselab_peer_silent_seconds", &[("peer", "3")]),
        None
    );
    // The commit that failed made nothing durable.
    assert_eq!(sized("phaselab_store_commit_rows", "_sum", &[]), Some(5.0));
    assert_eq!(
        sized(
            "phaselab_submit_seconds",
            "_count",
            &[("outcome", "decided")]
        ),
        Some(1.0)
    );
}

#[test]
fn without_the_event_loop_the_rest_is_told() {
    let stuck = Around {
        answers: false,
        store_bytes: None,
        ..AROUND
    };
    let families = exposed(None, stuck);
    assert_eq!(
        families["phaselab_event_loop_answers"].value(&[]),
        Some(0.0)
    );
    assert_eq!(
        families["phaselab_store_commits_total"].value(&[]),
        Some(1.0)
    );
    assert!(!families.contains_key("phaselab_events"));
}

#[test]
fn a_commit_under_way_is_seen_while_it_lasts() {
    let metrics = Arc::new(Metrics::new(NodeId(1), PROTOCOL));
    let (seen, hold) = (metrics.clone(), std::sync::mpsc::channel::<()>());
    let committing = std::thread::spawn(move || seen.commit(1, || hold.1.recv()));
    while metrics.commit_pending() < Duration::from_millis(5) {
        std::thread::sleep(Duration::from_millis(1));
    }
    hold.0.send(()).unwrap();
    committing.join().unwrap().unwrap();
    assert_eq!(metrics.commit_pending(), Duration::ZERO);
}

/// A counter that a protocol counts and the catalog does not know would have no help, and no zero to begin with.
#[test]
fn every_counter_of_a_protocol_is_in_the_catalog() {
    let known: BTreeSet<_> = catalog().map(|metric| metric.name).collect();
    let mut seen = BTreeSet::new();
    for builtin in scenario::builtin() {
        let scenario = scenario::parse(builtin.name, builtin.text).unwrap();
        let mut sim = Sim::new(&scenario).unwrap();
        sim.run();
        for node in 1..=scenario.nodes {
            for (name, _) in sim.counters(NodeId(node)).iter() {
                if !name.starts_with("refused_") {
                    seen.insert(name.split('{').next().unwrap().to_owned());
                }
            }
        }
    }
    let unknown: Vec<_> = seen
        .iter()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(
        seen.len() > 4 && unknown.is_empty(),
        "{unknown:?} of {seen:?}"
    );
}

/// The words of a query that name a metric.
fn queried(expr: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // Labels stand in braces, and in parentheses after these words.
    let mut outside = String::new();
    let mut depth = 0;
    for c in expr.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            c if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    for word in ["by (", "without (", "on (", "ignoring ("] {
        while let Some(start) = outside.find(word) {
            let end = outside[start..].find(')').unwrap() + start;
            outside.replace_range(start..=end, " ");
        }
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    for word in outside
        .split(|c| !is_part(c))
        .filter(|word| word.contains('_'))
    {
        let is_function = outside.contains(&format!("{word}("));
        if !is_function && !word.starts_with('$') {
            names.insert(word.to_owned());
        }
    }
    names
}

fn is_exposed(name: &str) -> bool {
    catalog().any(|metric| match metric.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|ending| name.strip_suffix(ending) == Some(metric.name)),
        Kind::Counter | Kind::Gauge => name == metric.name,
    })
}

fn operating() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating")
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let text = std::fs::read_to_string(operating().join("grafana.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut asked = BTreeSet::new();
    let mut titles = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(titles.insert(title), "{title} stands twice");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let names = queried(target["expr"].as_str().unwrap());
            assert!(!names.is_empty(), "{title} asks for nothing");
            asked.extend(names);
        }
    }
    let missing: Vec<_> = asked.iter().filter(|name| !is_exposed(name)).collect();
    assert!(missing.is_empty(), "no node exposes {missing:?}");
    // The four counters of the document are shown. (S0-110)
    for metric in &of_protocol(PROTOCOL)[..4] {
        assert!(asked.contains(metric.name), "{} is not shown", metric.name);
    }
}

#[test]
fn alerts_and_the_handbook_name_what_there_is() {
    let handbook = std::fs::read_to_string(operating().with_extension("md")).unwrap();
    let alerts = std::fs::read_to_string(operating().join("alerts.yml")).unwrap();
    let mut named = 0;
    for text in [&handbook, &alerts] {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let is_metric = word.starts_with("phaselab_") || word.starts_with("two_phase_");
            // A word that ends so stands for several.
            if is_metric && !word.ends_with('_') {
                let is_family = catalog().any(|metric| metric.name == word);
                assert!(is_family || is_exposed(word), "no node exposes {word}");
                named += 1;
            }
        }
    }
    assert!(named > 10);
}
