//! What an operator sees: metrics, health and log.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::exposition::{Family, parse};
use crate::operation::submit;
use crate::support::{Folder, PATIENCE, Running, base_port, eventually, instances, json, text};

/// Asks a listener of a node; returns status and body.
fn get(address: &str, path: &str, host: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

pub(crate) fn scraped(address: &str) -> BTreeMap<String, Family> {
    let (status, body) = get(address, "/metrics", address).expect("an answer");
    assert_eq!(status, 200, "{body}");
    parse(&body).unwrap_or_else(|why| panic!("{why}\n{body}"))
}

/// `http://127.0.0.1:9101/metrics` in what a node says, as an address.
pub(crate) fn metrics_of(node: &mut Running) -> String {
    let line = node.wait_for("metrics http://");
    let rest = line.split("http://").nth(1).unwrap();
    rest.split('/').next().unwrap().to_owned()
}

#[test]
fn metrics_and_health_are_served_under_load() {
    let folder = Folder::new();
    let [base, metrics] = [3, 3].map(base_port);
    let ports = ["--base-port", &base, "--metrics-port", &metrics];
    let made = folder.phaselab(&[&["init"], &ports[..]].concat());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let mut nodes: Vec<Running> = (1..=3).map(|id| Running::node(&folder, id)).collect();
    let addresses: Vec<String> = nodes.iter_mut().map(metrics_of).collect();
    nodes[0].wait_for("joined 2 peers");

    let before = scraped(&addresses[0]);
    // The document's four counters are there before anything is counted.
    for (name, labels) in [
        (
            "two_phase_canonical_selection_total",
            &[("method", "quorum")][..],
        ),
        ("two_phase_proposal_timeouts_total", &[]),
        ("two_phase_events_abandoned_total", &[]),
        ("two_phase_fast_forwards_total", &[]),
    ] {
        let family = &before[name];
        assert_eq!(family.kind, "counter");
        assert_eq!(family.value(labels), Some(0.0), "{name}");
    }

    const EVENTS: usize = 12;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            for number in 0..EVENTS {
                submit(&folder, &format!("withdraw-{number}"));
            }
        });
        while !load.is_finished() {
            for address in &addresses {
                scraped(address);
                let (status, body) = get(address, "/healthz", address).unwrap();
                assert_eq!(status, 200, "{body}");
            }
        }
    });

    let last = eventually("every event completed in the metrics", || {
        let families = scraped(&addresses[0]);
        let completed = families["phaselab_events"].value(&[("phase", "completed")]);
        (completed == Some(EVENTS as f64)).then_some(families)
    });
    let value = |name: &str, labels: &[(&str, &str)]| last[name].value(labels).unwrap();
    let counted = |name: &str, ending: &str, labels: &[(&str, &str)]| {
        let mut family = last[name].clone();
        family
            .samples
            .retain(|sample| sample.name.ends_with(ending));
        family.value(labels).unwrap()
    };
    assert_eq!(value("phaselab_peers_connected", &[]), 2.0);
    assert_eq!(value("phaselab_event_loop_answers", &[]), 1.0);
    assert_eq!(
        value("phaselab_refused_total", &[("reason", "bad_signature")]),
        0.0
    );
    let selected = value(
        "two_phase_canonical_selection_total",
        &[("method", "quorum")],
    );
    let forwarded = value("two_phase_fast_forwards_total", &[]);
    assert!(
        selected + forwarded >= EVENTS as f64,
        "{selected} {forwarded}"
    );
    let decided = counted(
        "phaselab_submit_seconds",
        "_count",
        &[("outcome", "decided")],
    );
    assert_eq!(decided, EVENTS as f64);
    let commits = value("phaselab_store_commits_total", &[]);
    assert!(commits >= 1.0 && commits == counted("phaselab_store_commit_rows", "_count", &[]));
    assert!(counted("phaselab_store_commit_rows", "_sum", &[]) >= commits);
    assert!(last.values().all(|family| family.help.ends_with('.')));
    let labelled = last.values().flat_map(|family| &family.samples);
    assert!(labelled.clone().all(|sample| sample.labels["node"] == "1"));
    // As many as there are counted by `status`, under the same names.
    let status = json(&folder.phaselab(&["status", "--json"]));
    let counters = status["nodes"][0]["report"]["counters"]
        .as_object()
        .unwrap();
    assert!(counters.keys().any(|name| name.starts_with("two_phase_")));
    for name in counters.keys().filter(|name| !name.starts_with("refused_")) {
        assert!(last.contains_key(name.split('{').next().unwrap()), "{name}");
    }

    let (status, body) = get(&addresses[0], "/healthz", &addresses[0]).unwrap();
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, health["status"].as_str()), (200, Some("ok")));
    assert_eq!(
        (health["node"].as_u64(), health["peers_connected"].as_u64()),
        (Some(1), Some(2))
    );
    for (path, host, expected) in [
        ("/metrics", "rebound.example", 421),
        ("/healthz", "rebound.example", 421),
        ("/v1/status", addresses[0].as_str(), 404),
    ] {
        assert_eq!(
            get(&addresses[0], path, host).unwrap().0,
            expected,
            "{path} as {host}"
        );
    }
    // Whoever says nothing holds up nobody else.
    let silent: Vec<_> = (0..16)
        .map(|_| TcpStream::connect(&addresses[0]).unwrap())
        .collect();
    scraped(&addresses[0]);
    drop(silent);
    for node in &mut nodes {
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
    }
}

#[test]
fn every_line_of_the_log_names_node_event_round_and_peer() {
    for form in ["json", "text"] {
        let folder = Folder::with_cluster(3);
        let mut logs = Vec::new();
        let mut nodes: Vec<Running> = (1..=3)
            .map(|id| {
                let config = format!("phaselab-cluster/node-{id}.toml");
                let words = [
                    "node",
                    "--config",
                    &config,
                    "--log",
                    "debug",
                    "--log-format",
                    form,
                ];
                let (mut node, log) = Running::start_with_log(folder.command(&words));
                node.wait_for("ready");
                logs.push(std::thread::spawn(move || {
                    log.lines().map_while(Result::ok).collect::<Vec<_>>()
                }));
                node
            })
            .collect();
        submit(&folder, "withdraw-1");
        eventually("completion at every node", || {
            let known = instances(&folder);
            let done = |id| {
                known
                    .get(&(id, "withdraw-1".to_owned()))
                    .is_some_and(|(phase, _)| phase == "completed")
            };
            (1..=3).all(done).then_some(())
        });
        for node in &mut nodes {
            node.signal("INT");
            assert_eq!(node.wait(), Some(0));
        }
        for (id, log) in (1..).zip(logs) {
            let lines = log.join().unwrap();
            let told: Vec<BTreeMap<String, String>> =
                lines.iter().map(|line| fields(line, form)).collect();
            assert!(told.len() > 5, "{lines:#?}");
            for (fields, line) in told.iter().zip(&lines) {
                for name in ["node", "event_id", "round", "peer_id"] {
                    assert!(fields.contains_key(name), "{name}: {line}");
                }
                assert_eq!(fields["node"], id.to_string(), "{line}");
            }
            let some = |name: &str, value: &str| told.iter().any(|fields| fields[name] == value);
            assert!(
                some("event_id", "withdraw-1") && some("round", "0"),
                "{lines:#?}"
            );
            let peers: BTreeSet<_> = told
                .iter()
                .map(|fields| fields["peer_id"].as_str())
                .collect();
            let others = (1..=3)
                .filter(|other| *other != id)
                .map(|other| other.to_string());
            for other in others {
                assert!(peers.contains(other.as_str()), "peer {other}: {lines:#?}");
            }
            // Of the node as a whole there is no event.
            assert!(some("event_id", "-"), "{lines:#?}");
        }
    }
}

/// The fields of a log line.
fn fields(line: &str, form: &str) -> BTreeMap<String, String> {
    if form == "json" {
        let line: BTreeMap<String, Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line.contains_key("timestamp") && line.contains_key("level"),
            "{line:?}"
        );
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        return line
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect();
    }
    line.split(' ')
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}
