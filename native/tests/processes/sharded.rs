//! Nine real processes in three clusters: money moves between them, leaders are killed, and nothing is lost or made.

use std::process::Output;

use serde_json::Value;

use crate::support::{Folder, Running, base_port, eventually, json, text};

/// A fresh bank of nine nodes at free ports.
fn bank() -> Folder {
    let folder = Folder::new();
    let made = folder.phaselab(&[
        "init",
        "--protocol",
        "sharded-2pc",
        "--nodes",
        "9",
        "--base-port",
        &base_port(9),
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said = text(&made.stdout);
    assert!(
        said.contains("submit --from 1001 --to 1002 --amount 5"),
        "{said}"
    );
    assert!(!said.contains("chain"), "{said}");
    folder
}

fn submit(folder: &Folder, words: &[&str]) -> Value {
    let output = submitted(folder, words);
    assert!(
        output.status.success(),
        "{words:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    json(&output)
}

fn submitted(folder: &Folder, words: &[&str]) -> Output {
    folder.phaselab(&[&["submit"], words, &["--wait", "60s", "--json"]].concat())
}

fn balance(folder: &Folder, item: &str) -> u64 {
    submit(folder, &["--read", item])["balance"]
        .as_u64()
        .unwrap()
}

/// Who leads each cluster, as its own nodes have it.
fn leader_of(folder: &Folder, cluster: &str) -> Option<usize> {
    let views = json(&folder.phaselab(&["print", "view", "--json"]));
    let views = views.as_array().unwrap();
    let leads = |view: &&Value| view["leads"] == true && view["cluster"] == cluster;
    views
        .iter()
        .find(leads)
        .map(|view| view["node"].as_u64().unwrap() as usize)
}

#[test]
fn nine_processes_move_money_between_clusters_whoever_is_killed() {
    let folder = bank();
    let mut nodes: Vec<Running> = (1..=9).map(|id| Running::node(&folder, id)).collect();

    // The document's transfer, between the first cluster and the second.
    let told = submit(
        &folder,
        &["--from", "1001", "--to", "3001", "--amount", "4"],
    );
    assert_eq!(told["outcome"], "committed", "{told}");
    assert!(
        told["transaction"].as_str().unwrap().starts_with("2pc-"),
        "{told}"
    );
    assert_eq!(
        (balance(&folder, "1001"), balance(&folder, "3001")),
        (6, 14)
    );
    // What cannot be paid is aborted for good, and tells so.
    let poor = submitted(
        &folder,
        &["--from", "1001", "--to", "6001", "--amount", "7"],
    );
    assert_eq!(poor.status.code(), Some(1));
    assert_eq!(
        (
            json(&poor)["outcome"].as_str(),
            json(&poor)["reason"].as_str()
        ),
        (Some("aborted"), Some("INSUFFICIENT_BALANCE"))
    );

    // The leaders on both sides are killed; what they knew, the others know.
    for cluster in ["1", "2"] {
        let leader = eventually("a leader", || leader_of(&folder, cluster));
        nodes[leader - 1].kill();
        let told = submit(
            &folder,
            &["--from", "1001", "--to", "3001", "--amount", "1"],
        );
        assert_eq!(told["outcome"], "committed", "{told}");
        nodes[leader - 1] = Running::node(&folder, leader as u16);
    }
    assert_eq!(
        (balance(&folder, "1001"), balance(&folder, "3001")),
        (4, 16)
    );

    // An item moves with what it holds, and is found where it went.
    assert_eq!(
        submit(&folder, &["--move", "1001", "--to-cluster", "3"])["outcome"],
        "committed"
    );
    let read = submit(&folder, &["--read", "1001"]);
    assert_eq!(
        (read["balance"].as_u64(), read["cluster"].as_u64()),
        (Some(4), Some(3))
    );

    // A file of transfers and reads, in each form, and what it came to.
    let lines = "# a set\n1001,3001,1\n(6001, 2, 3)\n2\n1,2,1\n";
    std::fs::write(folder.0.join("set.csv"), lines).unwrap();
    let ran = folder.phaselab(&["submit", "--file", "set.csv", "--wait", "60s"]);
    let shown = text(&ran.stdout);
    assert!(
        ran.status.success() && shown.contains("3 committed, 1 read"),
        "{shown}"
    );
    assert!(
        shown.contains("throughput") && shown.contains("95% in"),
        "{shown}"
    );

    // Members of a cluster come to the same, and the sum of all is what it was.
    let accounts = eventually("equal members", || {
        let db = json(&folder.phaselab(&["print", "db", "--json"]));
        let db = db.as_array().unwrap().clone();
        let held = |account: &Value| {
            account["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|item| !item["held_by"].is_null())
        };
        let rows = |account: &Value| {
            (
                account["cluster"].clone(),
                account["last_executed"].clone(),
                account["items"].clone(),
            )
        };
        let is_even = db.chunks(3).all(|members| {
            members
                .iter()
                .all(|member| rows(member) == rows(&members[0]))
        });
        (db.len() == 9 && is_even && !db.iter().any(held)).then_some(db)
    });
    let mut sum = 0;
    let mut items = 0;
    for account in accounts.iter().step_by(3) {
        for item in account["items"].as_array().unwrap() {
            if let Some(balance) = item["balance"].as_u64() {
                (sum, items) = (sum + balance, items + 1);
            }
        }
    }
    assert_eq!((sum, items), (10 * 5, 5), "{accounts:?}");
    let shown = text(&folder.phaselab(&["print", "balance", "3001"]).stdout);
    assert!(
        shown.starts_with("3001       17   n4: 17, n5: 17, n6: 17   cluster 2"),
        "{shown}"
    );
    let figures = json(&folder.phaselab(&["print", "performance", "--over", "100ms", "--json"]));
    assert_eq!(figures.as_array().unwrap().len(), 3, "{figures}");
    assert!(
        figures[1]["executed"].as_u64() > Some(5) && !figures[1]["read_ms"].is_null(),
        "{figures}"
    );

    // What status says stays short: fields are of a view in full.
    let status = json(&folder.phaselab(&["status", "--json"]));
    let report = &status["nodes"][3]["report"];
    assert!(
        !report["instances"].as_array().unwrap().is_empty()
            && report["fields"].is_null()
            && report["instances"][0]["fields"].is_null(),
        "{report}"
    );

    // What its nodes recorded runs again.
    for node in &mut nodes {
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
    }
    let replayed = folder.phaselab(&["replay", "phaselab-cluster"]);
    assert!(
        replayed.status.success(),
        "{}{}",
        text(&replayed.stdout),
        text(&replayed.stderr)
    );
}

#[test]
fn nodes_fail_and_come_back_by_lines_of_a_file() {
    let folder = bank();
    let cluster = ["cluster", "--dir", "phaselab-cluster", "--page-port", "0"];
    let mut cluster = Running::start(folder.command(&cluster));
    cluster.wait_for("node 9  ");
    // The first leaders of all clusters fail, and each cluster goes on without its own.
    let set =
        "3001,1,1\nF(n1)\nF(n4)\nF(n7)\n3001,1,1\n6001,3002,2\n1\nR(n1)\nR(n4)\nR(n7)\n1,2,1\n";
    std::fs::write(folder.0.join("set.csv"), set).unwrap();
    let ran = folder.phaselab(&["submit", "--file", "set.csv", "--wait", "60s", "--json"]);
    let said = text(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", text(&ran.stderr));
    let told: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 6, "{said}");
    for one in &told[1..4] {
        let node = one["node"].as_u64().unwrap();
        assert!(![1, 4, 7].contains(&node), "{one}");
    }
    assert_eq!(told[5]["committed"].as_u64(), Some(4), "{said}");
    let faults = json(&folder.phaselab(&["fault", "show", "--json"]));
    assert_eq!(faults["faults"], serde_json::json!([]), "all are back");
    assert_eq!(balance(&folder, "2"), 11);
    cluster.signal("TERM");
    assert_eq!(cluster.wait(), Some(0));
}

#[test]
fn a_workload_is_resharded_and_crosses_less() {
    let folder = bank();
    let _nodes: Vec<Running> = (1..=9).map(|id| Running::node(&folder, id)).collect();
    let drawn = [
        "bench",
        "--transfers",
        "120",
        "--cross-shard",
        "80",
        "--skew",
        "0.8",
        "--partners",
        "1",
    ];
    let out = folder.phaselab(&[&drawn[..], &["--out", "history.csv"]].concat());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let ran = folder.phaselab(&["bench", "--transfers", "30", "--wait", "60s", "--json"]);
    let told = json(&ran);
    let count = |name: &str| told[name].as_u64().unwrap();
    assert_eq!((count("requests"), count("undecided")), (30, 0), "{told}");
    assert!(
        count("committed") > 15 && count("per_kilosecond") > 0,
        "{told}"
    );

    let plan = json(&folder.phaselab(&["print", "reshard", "--file", "history.csv", "--json"]));
    let moves = plan["moves"].as_array().unwrap().len();
    assert!(moves > 0 && plan["applied"].is_null(), "{plan}");
    let before = plan["cut_before"].as_u64().unwrap();
    let after = plan["cut_after"].as_u64().unwrap();
    assert!(2 * after < before, "{plan}");
    let done = json(&folder.phaselab(&[
        "reshard",
        "--file",
        "history.csv",
        "--apply",
        "--wait",
        "60s",
        "--json",
    ]));
    assert_eq!(
        done["applied"]["committed"].as_u64(),
        Some(moves as u64),
        "{done}"
    );
    // Items live there now, as the nodes themselves say.
    let again = json(&folder.phaselab(&["reshard", "--file", "history.csv", "--json"]));
    assert_eq!(again["cut_before"].as_u64(), Some(after), "{again}");
    let ran = json(&folder.phaselab(&[&drawn[..], &["--wait", "60s", "--json"]].concat()));
    assert_eq!(ran["cross_shard"].as_u64(), Some(after), "{ran}");
    assert_eq!(ran["undecided"].as_u64(), Some(0), "{ran}");
}

#[test]
fn each_protocol_takes_its_own_words() {
    let folder = bank();
    let cases: [(&[&str], &str); 19] = [
        (
            &["submit", "--from", "alice", "--to", "2", "--amount", "1"],
            "error: --from alice: expected an item's number, such as 1001",
        ),
        (
            &[
                "submit", "--from", "1", "--to", "2", "--amount", "1", "--memo", "x",
            ],
            "error: --memo: a cluster of sharded-2pc has no coins",
        ),
        (
            &["print", "pools"],
            "error: a cluster of sharded-2pc has no blocks and no pools",
        ),
        (
            &["submit", "--event", "x", "--amount", "1"],
            "error: --event: a cluster of sharded-2pc has items; expected --from, --to and --amount",
        ),
        (&["submit", "--from", "1"], "--to <WHO> --amount <N>"),
        (
            &[
                "submit", "--from", "1", "--to", "2", "--amount", "1", "--read", "3",
            ],
            "cannot be used with",
        ),
        (
            &["submit", "--read", "0x1"],
            "invalid value '0x1' for '--read <ITEM>'",
        ),
        (&["submit", "--move", "1"], "--to-cluster <K>"),
        (
            &["submit", "--read", "1", "--node", "3"],
            "--node 3: sharded-2pc asks the leader of the item's cluster",
        ),
        (
            &["submit", "--request", "event = \"x\"\namount = 1"],
            "error: request:1: ",
        ),
        (
            &["print", "balance", "9001"],
            "error: item 9001: expected 1 to 9000",
        ),
        (
            &["submit", "--read", "9001"],
            "error: item 9001: expected 1 to 9000",
        ),
        (
            &["submit", "--from", "1", "--to", "3001", "--amount", "0"],
            "error: amount 0: expected at least 1",
        ),
        (
            &["submit", "--from", "1", "--to", "1", "--amount", "2"],
            "error: item 1 to itself",
        ),
        (
            &["submit", "--move", "1", "--to-cluster", "4"],
            "error: --to-cluster 4: expected 1 to 3",
        ),
        (
            &["submit", "--read", "1", "--wait", "0s"],
            "expected at least 1ms",
        ),
        (&["bench", "--sim", "--wait", "3s"], "cannot be used with"),
        (
            &["cluster", "--nodes", "0", "--dir", "none"],
            "0 is not in 1..=64",
        ),
        (
            &[
                "cluster",
                "--protocol",
                "sharded-2pc",
                "--nodes",
                "9",
                "--clusters",
                "2",
            ],
            "a cluster of 9 sharded-2pc nodes in 3 clusters is here already",
        ),
    ];
    for (words, expected) in cases {
        let said = folder.refused(words);
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    for (set, expected) in [
        (
            "1001,3001,1\nF(n10)\n",
            "set.csv:2: node 10 is not in this cluster",
        ),
        (
            "1001,3001,1\nF(1\n",
            "set.csv:2: \"F(1\": expected a transfer such as",
        ),
        (
            "1001,3001,1\n1001,9001,1\n",
            "set.csv:2: item 9001: expected 1 to 9000",
        ),
    ] {
        std::fs::write(folder.0.join("set.csv"), set).unwrap();
        let said = folder.refused(&["submit", "--file", "set.csv"]);
        assert!(said.contains(expected), "{said}");
    }
    std::fs::write(folder.0.join("set.csv"), "1001,3001,1\nF(1\n").unwrap();
    let said = folder.refused(&["reshard", "--file", "set.csv"]);
    assert!(said.contains("set.csv:2: \"F(1\": expected"), "{said}");
    // Nobody knows where items live now.
    std::fs::write(folder.0.join("set.csv"), "1001,3001,1\n").unwrap();
    for words in [
        &["reshard", "--file", "set.csv"][..],
        &["reshard", "--file", "set.csv", "--apply"],
        &["print", "reshard", "--file", "set.csv"],
    ] {
        let down = folder.phaselab(words);
        assert_eq!(down.status.code(), Some(1));
        let said = text(&down.stderr);
        assert!(said.contains("no node of cluster 1 is running"), "{said}");
    }
    let down = folder.phaselab(&["submit", "--read", "1", "--wait", "300ms"]);
    assert_eq!(down.status.code(), Some(1));
    assert!(
        text(&down.stderr).contains("is running; `phaselab cluster"),
        "{}",
        text(&down.stderr)
    );

    let other = Folder::with_cluster(3);
    let cases: [(&[&str], &str); 4] = [
        (
            &["submit", "--from", "1", "--to", "2", "--amount", "1"],
            "error: --from: a cluster of two-phase has no items; expected --event and --amount",
        ),
        (
            &["submit", "--read", "1"],
            "error: --read: a cluster of two-phase has no items",
        ),
        (
            &["print", "db"],
            "its protocol has no items; expected a cluster of sharded-2pc",
        ),
        (
            &["init", "--dir", "d", "--clusters", "2"],
            "--clusters 2: all members of two-phase are one",
        ),
    ];
    for (words, expected) in cases {
        let said = other.refused(words);
        assert!(said.contains(expected), "{words:?}: {said}");
    }
}

#[test]
fn the_same_workload_runs_in_virtual_time() {
    let folder = Folder::new();
    let run = |seed: &str| {
        let words = [
            "bench",
            "--sim",
            "--transfers",
            "60",
            "--read-only",
            "20",
            "--concurrency",
            "4",
            "--seed",
            seed,
            "--json",
        ];
        let ran = folder.phaselab(&words);
        assert!(
            ran.status.success(),
            "{}{}",
            text(&ran.stdout),
            text(&ran.stderr)
        );
        text(&ran.stdout)
    };
    let told = run("7");
    assert_eq!(told, run("7"));
    assert_ne!(told, run("8"));
    let told: Value = serde_json::from_str(&told).unwrap();
    let count = |name: &str| told[name].as_u64().unwrap();
    assert_eq!((count("requests"), count("undecided")), (60, 0), "{told}");
    assert!(count("committed") > 30 && count("read") > 5, "{told}");
    assert!(told["latency_ms"]["p50"].as_u64() > Some(0), "{told}");
    // Clients ask one thing after another, also where all want one item.
    let crowded = [
        "bench",
        "--sim",
        "--transfers",
        "60",
        "--skew",
        "1",
        "--seed",
        "3",
        "--json",
    ];
    let told = text(&folder.phaselab(&crowded).stdout);
    assert!(told.contains("LOCKED") && !told.contains("OLD"), "{told}");
}
