//! What live nodes record of themselves: the same run again, after kills too, and no run where it was tampered with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Folder, Running, eventually, instances, json, text};

fn recordings(folder: &Folder) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.cluster().join("recordings")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn submit(folder: &Folder, event: &str) {
    let words = [
        "submit", "--event", event, "--amount", "7", "--wait", "60s", "--json",
    ];
    let decided = folder.phaselab(&words);
    assert!(decided.status.success(), "{}", text(&decided.stderr));
}

/// Waits until every event is completed at every node.
fn completed(folder: &Folder, events: usize) {
    eventually("completion at every node", || {
        let known = instances(folder);
        let done = known.values().filter(|(phase, _)| phase == "completed");
        (done.count() == 3 * events).then_some(())
    });
}

/// What the nodes say of decisions: by event the value, and the nodes that have it.
fn told(folder: &Folder) -> BTreeMap<String, (String, Vec<u64>)> {
    let status = json(&folder.phaselab(&["status", "--json"]));
    let mut found: BTreeMap<String, (String, Vec<u64>)> = BTreeMap::new();
    for node in status["nodes"].as_array().unwrap() {
        for instance in node["report"]["instances"].as_array().unwrap() {
            let name = instance["instance"].as_str().unwrap().to_owned();
            let value = instance["value"].as_str().unwrap().to_owned();
            let entry = found.entry(name).or_insert((value.clone(), Vec::new()));
            assert_eq!(entry.0, value);
            entry.1.push(node["id"].as_u64().unwrap());
        }
    }
    found
}

fn replayed(report: &Value) -> BTreeMap<String, (String, Vec<u64>)> {
    let decisions = report["decisions"].as_array().unwrap().iter();
    decisions
        .map(|decision| {
            let nodes = decision["nodes"].as_array().unwrap().iter();
            let nodes = nodes.map(|node| node.as_u64().unwrap()).collect();
            let value = decision["value"].as_str().unwrap().to_owned();
            let name = decision["instance"].as_str().unwrap().to_owned();
            (name, (value, nodes))
        })
        .collect()
}

#[test]
fn a_live_cluster_runs_again_and_decides_the_same() {
    let folder = Folder::with_cluster(3);
    let mut nodes: Vec<Running> = (1..=3).map(|id| Running::node(&folder, id)).collect();
    for node in &mut nodes {
        node.wait_for("joined 2 peers");
    }
    for event in ["withdraw-1", "withdraw-2"] {
        submit(&folder, event);
    }
    nodes[1].kill();
    submit(&folder, "withdraw-3");
    nodes[1] = Running::node(&folder, 2);
    nodes[1].wait_for("joined 2 peers");
    submit(&folder, "withdraw-4");
    completed(&folder, 4);
    let told = told(&folder);
    assert_eq!(told.len(), 4);

    // While they run, what is there so far runs again.
    let early = folder.phaselab(&["replay", "phaselab-cluster", "--json"]);
    assert!(early.status.success(), "{}", text(&early.stderr));
    for node in &mut nodes {
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
    }
    let again = folder.phaselab(&["replay", "phaselab-cluster", "--json"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let report = json(&again);
    assert_eq!(
        (&report["same"], &report["complete"]),
        (&true.into(), &true.into())
    );
    let lives: Vec<(u64, u64, &str, bool)> = report["lives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|life| {
            (
                life["node"].as_u64().unwrap(),
                life["incarnation"].as_u64().unwrap(),
                life["ending"].as_str().unwrap(),
                life["same"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        lives,
        [
            (1, 1, "stopped", true),
            (2, 1, "cut off", true),
            (2, 2, "stopped", true),
            (3, 1, "stopped", true)
        ]
    );
    assert_eq!(replayed(&report), told, "exactly what the nodes said");
    let invariants = report["invariants"].as_array().unwrap();
    assert!(invariants.len() >= 5 && invariants.iter().all(|verdict| verdict["holds"] == true));

    // In words, the story is told and the lives are the same.
    let words = text(&folder.phaselab(&["replay", "phaselab-cluster"]).stdout);
    assert!(
        words.contains("node 2 life 1") && words.contains("cut off: same"),
        "{words}"
    );
    assert!(words.contains("withdraw-3"), "{words}");

    // One file of all of them is the same run.
    let bundled = folder.phaselab(&["replay", "phaselab-cluster", "--trace", "live.rec"]);
    assert!(bundled.status.success(), "{}", text(&bundled.stderr));
    let whole = json(&folder.phaselab(&["replay", "live.rec", "--json"]));
    assert_eq!(whole["trace_hash"], report["trace_hash"]);
    assert_eq!(replayed(&whole), told);

    // No key is in it: neither as it stands in a store, nor of any node.
    let live = std::fs::read(folder.0.join("live.rec")).unwrap();
    for id in 1..=3 {
        let key = key_of(&folder, id);
        assert!(!live.windows(32).any(|window| window == key));
    }
    tampered(&folder);
}

/// The secret key of a node, out of its store, where it stands behind the word for it.
fn key_of(folder: &Folder, id: u16) -> [u8; 32] {
    let store = std::fs::read(folder.cluster().join(format!("node-{id}.redb"))).unwrap();
    let genesis = std::fs::read_to_string(folder.cluster().join("genesis.toml")).unwrap();
    let registered = |window: &[u8]| {
        let seed: [u8; 32] = window.try_into().unwrap();
        let key =
            phaselab_core::crypto::Signer::from_seed(phaselab_core::crypto::Crypto::Ed25519, &seed);
        let public = phaselab_core::types::Hash32(key.public().0).to_string();
        genesis.contains(&public)
    };
    // Values of a store stand near their keys: only where the word is near is a window worth trying.
    let near = store.windows(6).enumerate();
    let places: Vec<usize> = near
        .filter(|(_, window)| *window == b"schema")
        .map(|(place, _)| place)
        .collect();
    let candidates = places.iter().flat_map(|place| {
        let from = place.saturating_sub(256);
        from..(place + 256).min(store.len() - 32)
    });
    let found = candidates
        .map(|from| &store[from..from + 32])
        .find(|window| registered(window));
    found.expect("the store holds its key").try_into().unwrap()
}

/// A changed byte is found with its place; files of two clusters, and of none, are refused.
fn tampered(folder: &Folder) {
    let files = recordings(folder);
    let names: Vec<&str> = files
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "node-1.1.rec",
            "node-2.1.rec",
            "node-2.2.rec",
            "node-3.1.rec"
        ]
    );
    let said = folder.refused(&["replay", "phaselab-cluster", "phaselab-cluster"]);
    assert!(said.contains("is named twice"), "{said}");
    let sound = std::fs::read(&files[0]).unwrap();
    let mut bent = sound.clone();
    // Past the first view of the chain, which is one large input.
    let late = bent.len() - 4_000;
    bent[late] ^= 1;
    std::fs::write(&files[0], &bent).unwrap();
    let said = folder.refused(&["replay", "phaselab-cluster"]);
    let place: usize = said
        .split_once("damaged at byte ")
        .and_then(|(_, rest)| rest.split_once(','))
        .unwrap_or_else(|| panic!("{said}"))
        .0
        .parse()
        .unwrap();
    assert!(
        said.contains("node-1.1.rec") && said.contains(" inputs: it was changed"),
        "{said}"
    );
    assert!(place <= late && late - place < 20_000, "{place} of {late}");
    // Cut off, it is a shorter run; with nothing left of it, one node's word is missing.
    std::fs::write(&files[0], &sound[..late]).unwrap();
    let shorter = json(&folder.phaselab(&["replay", "phaselab-cluster", "--json"]));
    assert_eq!(shorter["lives"][0]["ending"], "cut off");
    assert_eq!(shorter["same"], true);
    std::fs::write(&files[0], b"").unwrap();
    let fewer = json(&folder.phaselab(&["replay", "phaselab-cluster", "--json"]));
    assert_eq!(fewer["empty"].as_array().unwrap().len(), 1);
    assert_eq!(fewer["lives"].as_array().unwrap().len(), 3);
    // A store that was put back to an earlier life is lived twice: named, and no success.
    std::fs::write(&files[0], &sound).unwrap();
    std::fs::copy(
        &files[2],
        folder.cluster().join("recordings/node-2.2.2.rec"),
    )
    .unwrap();
    let twice = folder.phaselab(&["replay", "phaselab-cluster", "--json"]);
    assert_eq!(twice.status.code(), Some(1));
    assert_eq!(
        json(&twice)["lives"][3]["difference"],
        "its store is not as its last life left it"
    );
    std::fs::create_dir(folder.0.join("empty")).unwrap();
    assert!(
        folder
            .refused(&["replay", "empty"])
            .contains("no recordings here")
    );
    assert!(
        folder
            .refused(&["replay", "nowhere.rec"])
            .contains("no such file")
    );
}

#[test]
fn a_bare_node_records_nothing_and_a_recording_keeps_within_its_limit() {
    let folder = Folder::with_cluster(3);
    folder.edit("node-1.toml", "enabled = true", "enabled = false");
    folder.edit("node-2.toml", "max_bytes = 67108864", "max_bytes = 10");
    let said = folder.refused(&["node", "--config", "phaselab-cluster/node-2.toml"]);
    assert!(
        said.contains("max_bytes = 10: expected at least 1048576"),
        "{said}"
    );
    let mut node = Running::node(&folder, 1);
    node.wait_for("joined");
    assert!(!folder.cluster().join("recordings").exists());
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));

    // Of what earlier lives left, the oldest makes room; another node's stays.
    folder.edit("node-3.toml", "max_bytes = 67108864", "max_bytes = 1048576");
    let dir = folder.cluster().join("recordings");
    std::fs::create_dir(&dir).unwrap();
    for (name, age) in [
        ("node-3.7.rec", 300),
        ("node-3.8.rec", 200),
        ("node-1.1.rec", 400),
    ] {
        std::fs::write(dir.join(name), vec![0; 400_000]).unwrap();
        let file = std::fs::File::options()
            .write(true)
            .open(dir.join(name))
            .unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(then).unwrap();
    }
    let mut node = Running::node(&folder, 3);
    node.wait_for("joined");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    let names: Vec<PathBuf> = ["node-1.1.rec", "node-3.1.rec", "node-3.8.rec"]
        .map(|name| dir.join(name))
        .into();
    assert_eq!(recordings(&folder), names);
}
