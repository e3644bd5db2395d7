//! Stores that went bad or have no room, and the words for them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Folder, Running, eventually, instances, json, text};

fn submit(folder: &Folder, event: &str) -> std::process::Output {
    folder.phaselab(&["submit", "--event", event, "--amount", "3", "--json"])
}

fn decide(folder: &Folder, event: &str) {
    let submitted = submit(folder, event);
    assert!(
        submitted.status.success(),
        "{}{}",
        text(&submitted.stdout),
        text(&submitted.stderr)
    );
}

/// Three nodes, one event each of them completed, and all stopped again.
fn lived_in() -> Folder {
    let folder = Folder::with_cluster(3);
    let mut nodes: Vec<Running> = (1..=3).map(|id| Running::node(&folder, id)).collect();
    for node in &mut nodes {
        node.wait_for("joined 2 peers");
    }
    decide(&folder, "withdraw-1");
    eventually("completion at every node", || {
        let known = instances(&folder);
        let of_event = known.iter().filter(|((_, name), _)| name == "withdraw-1");
        let completed = of_event.filter(|(_, (phase, _))| phase == "completed");
        (completed.count() == 3).then_some(())
    });
    for node in &mut nodes {
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
    }
    folder
}

fn store_path(folder: &Folder, id: u16) -> PathBuf {
    folder.cluster().join(format!("node-{id}.redb"))
}

/// A member's secret key, as whoever has the file can read it.
fn secret_of(store: &Path) -> String {
    use redb::ReadableDatabase;
    let database = redb::Database::open(store).unwrap();
    let meta: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("meta");
    let transaction = database.begin_read().unwrap();
    let table = transaction.open_table(meta).unwrap();
    let secret = table.get(&b"key"[..]).unwrap().unwrap();
    secret
        .value()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn a_store_is_checked_and_exported_without_being_touched() {
    let folder = lived_in();
    let path = store_path(&folder, 1);
    let before = std::fs::read(&path).unwrap();

    let checked = folder.phaselab(&["store", "check", "phaselab-cluster", "--json"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let report = json(&checked);
    let stores = report["stores"].as_array().unwrap();
    assert_eq!(stores.len(), 3);
    for (index, store) in stores.iter().enumerate() {
        let found = &store["found"];
        assert_eq!(store["damage"], Value::Null, "{store}");
        assert_eq!(found["member"], index + 1);
        assert_eq!(
            (&found["schema"], &found["incarnation"]),
            (&1.into(), &1.into())
        );
        assert_eq!(found["instances"][0]["instance"], "withdraw-1");
        assert_eq!(found["instances"][0]["phase"], "completed");
        let tables = found["tables"].as_array().unwrap();
        let events = tables.iter().find(|table| table["name"] == "event");
        assert_eq!(events.unwrap()["rows"], 1, "{tables:?}");
    }
    let shown = folder.phaselab(&["store", "check", "phaselab-cluster/node-1.redb"]);
    let shown = text(&shown.stdout);
    for expected in [
        "whole    ",
        "node 1, genesis ",
        ", life 1, schema 1",
        "withdraw-1: completed",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }

    let exported = folder.phaselab(&["store", "export", "phaselab-cluster/node-1.redb", "--json"]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let lines: Vec<Value> = text(&exported.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["store"]["member"], 1);
    let rows = lines.iter().filter(|line| line["row"].is_object()).count() as u64;
    // Of `meta` the shell keeps schema, key and genesis to itself.
    let counted = stores[0]["found"]["tables"].as_array().unwrap();
    let counted: u64 = counted
        .iter()
        .map(|table| table["rows"].as_u64().unwrap())
        .sum();
    assert_eq!(rows, counted - 3);
    assert_eq!(lines.last().unwrap()["instance"]["name"], "withdraw-1");

    let plain = text(
        &folder
            .phaselab(&["store", "export", "phaselab-cluster/node-1.redb"])
            .stdout,
    );
    assert!(plain.contains("withdraw-1: round 0, signed "), "{plain}");
    let words = [
        "store",
        "export",
        "phaselab-cluster/node-1.redb",
        "--out",
        "rows.jsonl",
    ];
    assert!(folder.phaselab(&words).status.success());
    let written = std::fs::read_to_string(folder.0.join("rows.jsonl")).unwrap();
    assert_eq!(written.lines().count(), lines.len());
    assert!(folder.refused(&words).contains("exists already"));
    assert!(
        std::fs::read(&path).unwrap() == before,
        "it was only looked at"
    );

    let secret = secret_of(&path);
    for output in [text(&exported.stdout), plain, written] {
        assert!(!output.contains(&secret), "the key is told");
    }
}

#[test]
fn wrong_and_damaged_stores_are_told_apart() {
    let folder = lived_in();
    let other = Folder::with_cluster(2);
    let foreign = other.cluster().join("genesis.toml").display().to_string();
    let store = "phaselab-cluster/node-1.redb";
    for (words, expected) in [
        (vec!["store", "check", "nowhere"], "nowhere: no such file"),
        (
            vec!["store", "check", "phaselab-cluster/genesis.toml"],
            "not a node's store",
        ),
        (
            vec!["store", "export", "phaselab-cluster"],
            "is a folder; expected a store",
        ),
        (
            vec!["store", "check", store, "--genesis", &foreign],
            "the store belongs to genesis",
        ),
        (vec!["store", "check", "."], "no cluster here"),
    ] {
        let said = folder.refused(&words);
        assert!(said.contains(expected), "{said}");
    }
    std::fs::copy(store_path(&folder, 1), folder.0.join("alone.redb")).unwrap();
    let said = folder.refused(&["store", "check", "alone.redb"]);
    assert!(said.contains("--genesis names another"), "{said}");

    let mut running = Running::node(&folder, 1);
    let said = folder.refused(&["store", "check", store]);
    assert!(
        said.contains("another process has this store open"),
        "{said}"
    );
    running.kill();
    // A node that was killed left its store open; that is no damage.
    assert!(folder.phaselab(&["store", "check", store]).status.success());

    let path = store_path(&folder, 2);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(200_000);
    std::fs::write(&path, &bytes).unwrap();
    let checked = folder.phaselab(&["store", "check", "phaselab-cluster", "--json"]);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked.stderr));
    let damage = &json(&checked)["stores"][1]["damage"];
    assert!(
        damage.as_str().unwrap().contains("the store is damaged"),
        "{damage}"
    );
    let checked = folder.phaselab(&["store", "check", "phaselab-cluster"]);
    let shown = text(&checked.stdout);
    assert_eq!(
        shown
            .lines()
            .filter(|line| line.starts_with("whole  "))
            .count(),
        2,
        "{shown}"
    );
    assert_eq!(
        shown
            .lines()
            .filter(|line| line.starts_with("damaged  "))
            .count(),
        1,
        "{shown}"
    );
    let exported = folder.phaselab(&["store", "export", "phaselab-cluster/node-2.redb"]);
    assert_eq!(exported.status.code(), Some(1));
    assert!(
        std::fs::read(&path).unwrap() == bytes,
        "nothing was repaired"
    );
    let said = folder.refused(&["node", "--config", "phaselab-cluster/node-2.toml"]);
    assert!(
        said.contains("the store is damaged and was left as it is"),
        "{said}"
    );
    assert!(
        std::fs::read(&path).unwrap() == bytes,
        "nothing was repaired"
    );
}

/// What each node signed, by node and event.
fn signed(folder: &Folder) -> Vec<((u64, String), String)> {
    let known = instances(folder).into_iter();
    known
        .filter_map(|(key, (_, signed))| Some((key, signed?)))
        .collect()
}

/// Node 3 runs out of room while it decides; with room again it goes on, and keeps its word.
fn goes_on_after_a_full_disk(folder: &Folder, starved: Command, make_room: impl FnOnce()) {
    let mut nodes: Vec<Running> = (1..=2).map(|id| Running::node(folder, id)).collect();
    let errors = folder.0.join("errors");
    let mut starved = starved;
    starved
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors).unwrap());
    let mut starved = starved.spawn().unwrap();
    let mut before = Vec::new();
    let mut number = 0;
    let status = eventually("the end of the node that has no room", || {
        let ended = starved.try_wait().unwrap();
        if ended.is_none() {
            // The other two decide with it or without it.
            decide(folder, &format!("withdraw-{number}"));
            number += 1;
            before.extend(signed(folder));
        }
        ended
    });
    let said = std::fs::read_to_string(&errors).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("error: ") && last.contains(": cannot write: "),
        "{said}"
    );

    make_room();
    let genesis = "phaselab-cluster/genesis.toml";
    let checked = folder.phaselab(&[
        "store",
        "check",
        &config_store(folder),
        "--genesis",
        genesis,
    ]);
    assert!(
        checked.status.success(),
        "{}{}",
        text(&checked.stdout),
        text(&checked.stderr)
    );
    nodes.push(Running::node(folder, 3));
    decide(folder, "after");
    let known = eventually("completion of everything everywhere", || {
        let known = instances(folder);
        let done = known.values().all(|(phase, _)| phase == "completed");
        (done && known.keys().filter(|(id, _)| *id == 3).count() == number + 1).then_some(known)
    });
    for (key, value) in before {
        assert_eq!(
            known[&key].1.as_ref(),
            Some(&value),
            "{key:?} signed another value"
        );
    }
    for event in (0..number).map(|number| format!("withdraw-{number}")) {
        let of_event = known.iter().filter(|((_, name), _)| *name == event);
        let values: Vec<_> = of_event
            .filter_map(|(_, (_, signed))| signed.as_ref())
            .collect();
        assert!(
            values.windows(2).all(|pair| pair[0] == pair[1]),
            "{event}: {values:?}"
        );
    }
}

/// Node 3's store, as its configuration names it.
fn config_store(folder: &Folder) -> String {
    let config = std::fs::read_to_string(folder.cluster().join("node-3.toml")).unwrap();
    let store = config
        .lines()
        .find_map(|line| line.strip_prefix("store = \""))
        .unwrap();
    format!("phaselab-cluster/{}", store.trim_end_matches('"'))
}

/// A store that may not grow: what is beyond the limit cannot be written, with a signal that would end the process.
#[test]
fn a_node_whose_store_may_not_grow_stops_and_goes_on_later() {
    let folder = Folder::with_cluster(3);
    let node = folder.command(&[
        "node",
        "--config",
        "phaselab-cluster/node-3.toml",
        "--until-stdin-closes",
    ]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -f 128; exec \"$0\" \"$@\""])
        .arg(node.get_program())
        .args(node.get_args())
        .current_dir(&folder.0)
        .env("NO_COLOR", "1");
    goes_on_after_a_full_disk(&folder, limited, || {});
}

/// A file system that is full.
#[test]
#[cfg(target_os = "linux")]
fn a_node_whose_disk_is_full_stops_and_goes_on_later() {
    let folder = Folder::with_cluster(3);
    let disk = folder.cluster().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Mounted::new(&disk) else {
        println!("skipped: this user may not mount a tmpfs");
        return;
    };
    copy_with_holes(&store_path(&folder, 3), &disk.join("moved"));
    folder.edit(
        "node-3.toml",
        "store = \"node-3.redb\"",
        "store = \"disk/moved\"",
    );
    // All that is left, less what a few commits take.
    let filler = disk.join("filler");
    let mut room = vec![0; 4096];
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &room).is_ok() {
        room.fill(1);
    }
    drop(file);
    let node = folder.command(&[
        "node",
        "--config",
        "phaselab-cluster/node-3.toml",
        "--until-stdin-closes",
    ]);
    goes_on_after_a_full_disk(&folder, node, || std::fs::remove_file(&filler).unwrap());
}

/// Copies a file, but not its pages of zeros: what a new store takes is little, and each commit takes more.
fn copy_with_holes(from: &Path, to: &Path) {
    use std::io::{Seek, SeekFrom, Write};
    let bytes = std::fs::read(from).unwrap();
    let mut file = std::fs::File::create(to).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (page, data) in bytes.chunks(4096).enumerate() {
        if data.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(page as u64 * 4096)).unwrap();
            file.write_all(data).unwrap();
        }
    }
}

/// A small file system of its own, given back at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path) -> Option<Mounted> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "phaselab-test"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        is_mounted.then(|| Mounted(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a node that a failed test leaves running still has it open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
