//! A cluster by hand: cuts and delays that are real, files of requests, and nothing left behind even of what was stopped.

use std::process::Command;

use serde_json::Value;

use crate::support::{Folder, Running, eventually, json, text};

/// The words for a cluster in its folder, whose ports were chosen when it was made.
const CLUSTER: [&str; 3] = ["cluster", "--page-port", "0"];

fn cluster(folder: &Folder) -> (Running, Vec<u32>) {
    let mut cluster = Running::start(folder.command(&CLUSTER));
    let pid = |id: u16| {
        let line = cluster.wait_for(&format!("node {id}  pid "));
        line.split_whitespace().nth(3).unwrap().parse().unwrap()
    };
    let pids = (1..=3).map(pid).collect();
    cluster.wait_for("page ");
    (cluster, pids)
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// The first letter of a process's state, as the system has it; `None` once it is gone.
fn state(pid: u32) -> Option<char> {
    let pid = pid.to_string();
    let shown = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid])
        .output();
    let state = text(&shown.unwrap().stdout).trim().chars().next();
    state.filter(|state| *state != 'Z')
}

/// A stopped process cannot see that its pipe closed; its system wakes it.
#[test]
#[cfg(target_os = "linux")]
fn a_cluster_that_is_killed_leaves_no_stopped_child_behind() {
    use rustix::process::{getpid, set_child_subreaper};
    // Whoever inherits orphans is of their own session here, as where one init runs everything: the system's rule about
    // groups that nobody controls any more does not wake them.
    set_child_subreaper(Some(getpid())).unwrap();
    for name in ["KILL", "INT"] {
        let folder = Folder::with_cluster(3);
        let (mut cluster, pids) = cluster(&folder);
        pids.iter().for_each(|pid| signal(*pid, "STOP"));
        eventually("that all are stopped", || {
            pids.iter()
                .all(|pid| state(*pid) == Some('T'))
                .then_some(())
        });
        cluster.signal(name);
        cluster.wait();
        eventually("the end of every stopped child", || {
            pids.iter().all(|pid| state(*pid).is_none()).then_some(())
        });
        // They ended in order, and did not just vanish.
        for id in 1..=3 {
            let control = folder.cluster().join(format!("node-{id}.control"));
            assert!(!control.exists(), "{} after SIG{name}", control.display());
        }
    }
}

fn fault(folder: &Folder, words: &[&str]) -> Value {
    let all: Vec<&str> = ["fault"]
        .iter()
        .chain(words)
        .chain(&["--json"])
        .copied()
        .collect();
    let told = folder.phaselab(&all);
    assert!(told.status.success(), "{words:?}: {}", text(&told.stderr));
    json(&told)
}

fn submit(folder: &Folder, event: &str, wait: &str) -> Value {
    json(&folder.phaselab(&[
        "submit", "--event", event, "--amount", "2", "--wait", wait, "--json",
    ]))
}

/// What node `of` says of its link to `to`.
fn link(folder: &Folder, of: u64, to: u64) -> Value {
    let status = json(&folder.phaselab(&["status", "--json"]));
    let find = |list: &Value, id: u64| -> Value {
        let mut all = list.as_array().unwrap().iter();
        all.find(|one| one["id"] == id).unwrap().clone()
    };
    find(&find(&status["nodes"], of)["report"]["peers"], to)["faults"].clone()
}

#[test]
fn cuts_and_delays_are_real_and_heal() {
    let folder = Folder::with_cluster(3);
    let (_cluster, _) = cluster(&folder);
    assert_eq!(submit(&folder, "before", "60s")["outcome"], "decided");

    // Three nodes alone: nobody reaches a quorum.
    let cut = fault(&folder, &["cut", "1", "2", "3"]);
    assert_eq!(cut["nodes"], serde_json::json!([1, 2, 3]));
    assert_eq!(cut["faults"][0]["do"], "partition");
    assert_ne!(submit(&folder, "alone", "1s")["outcome"], "decided");
    assert_eq!(link(&folder, 1, 2)["cut"], true);
    let shown = text(&folder.phaselab(&["status"]).stdout);
    assert!(
        shown.contains("broken    node 1 to 2: cut; to 3: cut"),
        "{shown}"
    );

    // Two of them together decide, and the third does not hear of it.
    fault(&folder, &["cut", "1,2", "3"]);
    assert_eq!(submit(&folder, "together", "30s")["outcome"], "decided");
    let at = |event: &str| json(&folder.phaselab(&["status", "--event", event, "--json"]));
    let value = |node: usize| at("together")["nodes"][node]["instance"]["value"].clone();
    assert!(value(0).is_string() && value(0) == value(1));
    assert!(value(2).is_null(), "{}", at("together"));
    assert!(
        link(&folder, 1, 3)["lost"].as_u64() > Some(0),
        "packets were lost"
    );

    assert_eq!(fault(&folder, &["heal"])["faults"], serde_json::json!([]));
    for event in ["together", "alone"] {
        eventually("the same value everywhere", || {
            let known = at(event);
            let nodes = known["nodes"].as_array().unwrap();
            let all = |node: &Value| node["instance"]["value"] == nodes[0]["instance"]["value"];
            (nodes[0]["instance"]["value"].is_string() && nodes.iter().all(all)).then_some(())
        });
    }
    let shown = text(&folder.phaselab(&["status", "--event", "alone"]).stdout);
    assert_eq!(shown.lines().count(), 4, "{shown}");
    assert!(
        text(&folder.phaselab(&["status", "--event", "none"]).stderr)
            .contains("none: no node that runs knows this event")
    );

    // A decision takes several messages one after another: late ones make it later than their own delay.
    let words = ["link", "--latency-ms", "150,200"];
    assert_eq!(
        fault(&folder, &words)["faults"][0]["latency_ms"],
        serde_json::json!([150, 200])
    );
    let late = submit(&folder, "late", "30s");
    assert_eq!(late["outcome"], "decided");
    assert!(late["first_ms"].as_u64() >= Some(300), "{late}");
    let shown = text(&folder.phaselab(&["fault", "show"]).stdout);
    assert_eq!(
        shown,
        "broken    every node to every node: 150 to 200 ms late\n"
    );
    fault(
        &folder,
        &[
            "link",
            "--from",
            "1",
            "--to",
            "2",
            "--loss-permille",
            "1000",
        ],
    );
    assert_eq!(link(&folder, 1, 2)["loss_permille"], 1000);
    assert_eq!(link(&folder, 2, 1)["loss_permille"], 0);
    assert_eq!(
        text(&folder.phaselab(&["fault", "heal"]).stdout),
        "whole     no faults are in force\n"
    );
    assert_eq!(submit(&folder, "after", "30s")["outcome"], "decided");
}

#[test]
fn faults_that_cannot_be_are_refused_and_an_operators_node_takes_none() {
    let folder = Folder::with_cluster(3);
    for (words, expected) in [
        (
            &["fault", "cut", "1", "x"][..],
            "expected numbers of nodes, such as 2,3",
        ),
        (
            &["fault", "link", "--from", "1"],
            "link: expected --latency-ms, --loss-permille or both",
        ),
        (
            &["fault", "link", "--latency-ms", "9,2"],
            "expected milliseconds, such as 50, or 50,80",
        ),
        (
            &["fault", "heal", "--dir", "nowhere"],
            "nowhere: no cluster here",
        ),
    ] {
        let said = folder.refused(words);
        assert!(said.contains(expected), "{said}");
    }
    let nobody = folder.phaselab(&["fault", "heal"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(text(&nobody.stderr).contains("no node of phaselab-cluster is running"));

    let mut alone = Running::node(&folder, 1);
    let refused = folder.phaselab(&["fault", "heal"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("this node takes no faults"),
        "{}",
        text(&refused.stderr)
    );
    alone.signal("TERM");
    alone.wait();

    let (_cluster, _) = cluster(&folder);
    assert!(
        folder
            .refused(&["fault", "cut", "1", "2,9"])
            .contains("partition: node 9 does not exist; expected 1 to 3")
    );
    assert!(
        folder
            .refused(&["fault", "cut", "1,2", "2,3"])
            .contains("partition: node 2 is named twice; expected it in one group")
    );
}

#[test]
fn a_file_of_requests_is_checked_as_a_whole_and_summed_up() {
    let folder = Folder::with_cluster(3);
    let (_cluster, _) = cluster(&folder);
    let write = |name: &str, text: &str| std::fs::write(folder.0.join(name), text).unwrap();
    write(
        "wrong.toml",
        "[[request]]\nevent = \"never\"\namount = 1\n[[request]]\nevent = \"b\"\namonut = 1\n",
    );
    assert_eq!(
        folder.refused(&["submit", "--file", "wrong.toml"]),
        "error: wrong.toml: request 2: unknown key \"amonut\"; did you mean amount?"
    );
    write(
        "wrong.jsonl",
        "{\"event\": \"never\", \"amount\": 1}\n{\"event\": 7}\n",
    );
    assert!(
        folder
            .refused(&["submit", "--file", "wrong.jsonl"])
            .starts_with("error: wrong.jsonl:2: ")
    );
    assert!(
        folder
            .refused(&["submit", "--file", "none.toml"])
            .contains("none.toml: no such file")
    );
    // Of a file that is refused nothing is asked for.
    assert!(
        !text(&folder.phaselab(&["status", "--json"]).stdout).contains("never"),
        "a refused file was asked for"
    );

    let lines: String = (0..12)
        .map(|number| format!("{{\"event\": \"batch-{number}\", \"amount\": 2}}\n"))
        .collect();
    write("batch.jsonl", &lines);
    let told = folder.phaselab(&[
        "submit",
        "--file",
        "batch.jsonl",
        "--wait",
        "30s",
        "--at-once",
        "4",
        "--json",
    ]);
    assert!(
        told.status.success(),
        "{}{}",
        text(&told.stdout),
        text(&told.stderr)
    );
    let told: Vec<Value> = text(&told.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 13, "an object for each, and one that sums up");
    assert!(told[..12].iter().all(|one| one["outcome"] == "decided"));
    let total = &told[12];
    assert_eq!(
        (total["requests"].as_u64(), total["decided"].as_u64()),
        (Some(12), Some(12))
    );
    let ms = |name: &str| total["latency_ms"][name].as_u64().unwrap();
    assert!(
        ms("min") <= ms("p50") && ms("p50") <= ms("p90") && ms("p99") <= ms("max"),
        "{total}"
    );

    // What can never be decided is told as such, and the rest is decided.
    write(
        "mixed.toml",
        "[[request]]\nevent = \"none\"\namount = 0\n[[request]]\nevent = \"some\"\namount = 1\n",
    );
    let told = folder.phaselab(&["submit", "--file", "mixed.toml", "--wait", "30s"]);
    assert_eq!(told.status.code(), Some(1));
    let shown = text(&told.stdout);
    assert!(
        shown.contains("refused  none: amount: expected at least 1"),
        "{shown}"
    );
    assert!(
        shown.contains("2 requests in ") && shown.contains("1 decided, 1 refused"),
        "{shown}"
    );
}
