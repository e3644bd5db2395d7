//! Five real processes that poll each other: a payment is final at all of them whoever is killed meanwhile, and a coin
//! that is spent at two of them at once is spent once, or not at all.

use std::process::Output;

use serde_json::Value;

use crate::support::{Folder, Running, base_port, eventually, json, text};

/// A fresh cluster of nodes at free ports, whose polls follow each other without much pause.
fn cluster(nodes: u16) -> Folder {
    let folder = Folder::new();
    let (nodes, port) = (nodes.to_string(), base_port(nodes));
    let made = folder.phaselab(&[
        "init",
        "--protocol",
        "snowball",
        "--nodes",
        &nodes,
        "--base-port",
        &port,
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said = text(&made.stdout);
    assert!(
        said.contains("submit --from alice --to bob --amount 25"),
        "{said}"
    );
    for (from, to) in [
        ("inter_round_delay_ms = 100", "inter_round_delay_ms = 50"),
        ("sync_ms = 5000", "sync_ms = 500"),
    ] {
        folder.edit("genesis.toml", from, to);
    }
    folder
}

fn submitted(folder: &Folder, words: &[&str]) -> Output {
    folder.phaselab(&[&["submit"], words, &["--wait", "60s", "--json"]].concat())
}

/// A payment of 25, and how it ended.
fn pay(folder: &Folder, to: &str, more: &[&str]) -> (Option<i32>, Value) {
    let words = ["--from", "alice", "--to", to, "--amount", "25"];
    let output = submitted(folder, &[&words, more].concat());
    (output.status.code(), json(&output))
}

/// What an output was spent by, at each node that runs and has it final.
fn spent(folder: &Folder, coin: &str) -> Vec<String> {
    let status = json(&folder.phaselab(&["status", "--json"]));
    let nodes = status["nodes"].as_array().unwrap().iter();
    let instances = nodes.flat_map(|node| node["report"]["instances"].as_array().into_iter());
    let about = instances
        .flatten()
        .filter(|instance| instance["instance"] == coin);
    about
        .filter_map(|instance| instance["value"].as_str().map(str::to_owned))
        .collect()
}

fn balance(folder: &Folder, wallet: &str) -> Value {
    let told = json(&folder.phaselab(&["print", "balance", wallet, "--json"]));
    told[0]["balance"].clone()
}

#[test]
fn a_payment_is_final_everywhere_whoever_is_killed_while_it_is_polled_about() {
    let folder = cluster(5);
    let mut nodes: Vec<Running> = (1..=5).map(|id| Running::node(&folder, id)).collect();

    let (status, told) = pay(&folder, "bob", &["--fee", "1", "--memo", "T1"]);
    assert_eq!(
        (status, &told["outcome"], &told["instance"]),
        (Some(0), &"decided".into(), &"alice:0".into()),
        "{told}"
    );
    let first = told["value"].as_str().unwrap().to_owned();
    eventually("that all five have it final", || {
        let spent = spent(&folder, "alice:0");
        assert!(spent.iter().all(|value| *value == first), "{spent:?}");
        (spent.len() == 5).then_some(())
    });
    // 100 - 25 - 1 of the first coin, and three others.
    assert_eq!(balance(&folder, "alice"), 374);
    assert_eq!(balance(&folder, "bob"), 425);

    // Node 5 is killed in the middle of its polls, and comes back with the others ahead of it.
    let request = [
        "submit", "--from", "alice", "--to", "carol", "--amount", "40", "--spend", "alice:1",
        "--node", "5", "--wait", "60s", "--json",
    ];
    let asking = Running::start(folder.command(&request));
    eventually("that node 5 polls", || {
        let status = json(&folder.phaselab(&["status", "--event", "alice:1", "--json"]));
        let node = &status["nodes"][4]["instance"];
        (node["round"].as_u64()? >= 2).then_some(())
    });
    nodes[4].kill();
    drop(asking);
    // The others know it from node 5's polls, and go on without it.
    eventually("that four have it final", || {
        (spent(&folder, "alice:1").len() == 4).then_some(())
    });
    nodes[4] = Running::node(&folder, 5);
    let value = eventually("that node 5 agrees", || {
        let spent = spent(&folder, "alice:1");
        (spent.len() == 5).then(|| {
            assert!(spent.iter().all(|value| *value == spent[0]), "{spent:?}");
            spent[0].clone()
        })
    });
    // The same payment again is the same: it is final already.
    let again = submitted(&folder, &request[1..request.len() - 3]);
    let again = json(&again);
    assert_eq!(again["value"], value.as_str(), "{again}");

    // Both payments stand in blocks, the same at every node, and sums are conserved.
    eventually("one chain", || {
        let chain = json(&folder.phaselab(&["print", "chain", "--json"]));
        let blocks = chain.as_array().unwrap();
        let is_everywhere = |block: &Value| block["nodes"].as_array().unwrap().len() == 5;
        let pools = json(&folder.phaselab(&["print", "pools", "--json"]));
        let pools = pools.as_array().unwrap();
        assert!(
            pools.iter().all(|pool| pool["conserved"] == true),
            "{pools:?}"
        );
        let is_empty = |pool: &Value| {
            (pool["pending"].as_u64(), pool["finalized"].as_u64()) == (Some(0), Some(0))
        };
        let is_at_rest = pools.len() == 5 && pools.iter().all(is_empty);
        (!blocks.is_empty() && blocks.iter().all(is_everywhere) && is_at_rest).then_some(())
    });
    let heights: Vec<u64> = json(&folder.phaselab(&["print", "chain", "--json"]))
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["height"].as_u64().unwrap())
        .collect();
    assert_eq!(heights, (1..=heights.len() as u64).collect::<Vec<_>>());

    // Change can be spent: nodes say what it holds.
    let db = json(&folder.phaselab(&["print", "db", "--json"]));
    let change = db[0]["unspent"].as_array().unwrap();
    let change = change
        .iter()
        .find(|output| output["owner"] == "alice" && output["amount"] == 74)
        .unwrap()["output"]
        .as_str()
        .unwrap()
        .to_owned();
    let (status, told) = pay(&folder, "dave", &["--spend", &change]);
    assert_eq!(
        (status, &told["outcome"]),
        (Some(0), &"decided".into()),
        "{told}"
    );

    // A second payment of a coin that is spent ends as rejected, at every node, and says why.
    let words = [
        "submit", "--from", "alice", "--to", "dave", "--amount", "25", "--wait", "60s",
    ];
    let output = folder.phaselab(&words);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("rejected ") && said.contains("spends an input of it"),
        "{said}"
    );
    let (status, told) = pay(&folder, "dave", &["--node", "3"]);
    assert_eq!(
        (status, &told["outcome"]),
        (Some(1), &"rejected".into()),
        "{told}"
    );

    // What happened to the nodes is replayed: node 5's lives too.
    nodes.into_iter().for_each(|mut node| {
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
    });
    let checked = folder.phaselab(&["store", "check", "phaselab-cluster"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let again = folder.phaselab(&["replay", "phaselab-cluster", "--json"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    let again = json(&again);
    let invariants = again["invariants"].as_array().unwrap();
    assert!(
        !invariants.is_empty() && invariants.iter().all(|verdict| verdict["holds"] == true),
        "{invariants:?}"
    );
    let decisions = again["decisions"].as_array().unwrap();
    let of_first = decisions
        .iter()
        .find(|decision| decision["instance"] == "alice:0")
        .unwrap();
    assert_eq!(of_first["value"], first.as_str(), "{of_first}");
}

#[test]
fn a_coin_that_is_spent_at_two_nodes_is_spent_once_or_not_at_all() {
    let folder = cluster(5);
    let _nodes: Vec<Running> = (1..=5).map(|id| Running::node(&folder, id)).collect();
    let start = |to: &str, node: &str| {
        Running::start(folder.command(&[
            "submit", "--from", "alice", "--to", to, "--amount", "25", "--node", node, "--wait",
            "20s", "--json",
        ]))
    };
    let (mut bob, mut carol) = (start("bob", "1"), start("carol", "2"));
    let end = |asking: &mut Running| -> Value {
        let line = asking.wait_for("\"outcome\"");
        let status = asking.wait();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(status == Some(0), told["outcome"] == "decided", "{told}");
        told
    };
    let ends = [end(&mut bob), end(&mut carol)];
    let won: Vec<&Value> = ends
        .iter()
        .filter(|end| end["outcome"] == "decided")
        .collect();
    assert!(won.len() <= 1, "{ends:?}");
    let Some(won) = won.first() else {
        // Both may stay undecided: then nobody has either.
        assert_eq!(spent(&folder, "alice:0"), [""; 0]);
        return;
    };
    let value = won["value"].as_str().unwrap();
    let spent = eventually("that all have it final", || {
        let spent = spent(&folder, "alice:0");
        (spent.len() == 5).then_some(spent)
    });
    assert!(spent.iter().all(|held| held == value), "{spent:?}");
    assert_eq!(balance(&folder, "alice"), 375);
}

#[test]
fn what_a_payment_cannot_be_is_said() {
    let folder = cluster(2);
    let cases: &[(&[&str], &str)] = &[
        (
            &["submit", "--event", "x", "--amount", "1"],
            "error: --event: clients of snowball pay with coins; expected --from, --to and --amount",
        ),
        (
            &["submit", "--read", "1"],
            "error: --read: a cluster of snowball has no items; expected --from, --to and --amount",
        ),
        (
            &["submit", "--from", "zoe", "--to", "bob", "--amount", "1"],
            "error: --from zoe: genesis gave it no coin; expected one of alice, bob, carol, dave",
        ),
        (
            &[
                "submit", "--from", "alice", "--to", "bob", "--amount", "101",
            ],
            "amount = 101, fee = 0: expected at most what is spent holds, 100",
        ),
        (
            &[
                "submit", "--from", "alice", "--to", "bob", "--amount", "1", "--spend", "alice:9",
            ],
            "error: --spend alice:9: no coin of genesis",
        ),
        (&["submit", "--to", "bob"], "--from <WHO>"),
        (
            &[
                "init",
                "--protocol",
                "snowball",
                "--nodes",
                "1",
                "--dir",
                "one",
            ],
            "error: --nodes 1: expected at least 2 of snowball",
        ),
        (
            &["print", "view"],
            "error: view: nobody leads here; expected balance, db, chain",
        ),
        (
            &["bench", "--cross-shard", "5"],
            "error: --cross-shard: snowball has coins and no items",
        ),
        (
            &[
                "bench",
                "--protocol",
                "snowball",
                "--sim",
                "--transfers",
                "2000",
            ],
            "at most 1024",
        ),
        (
            &["bound", "--nodes", "1"],
            "invalid value '1' for '--nodes <N>'",
        ),
        (
            &["bound", "--nodes", "9", "--alpha-preference", "3"],
            "error: --alpha-preference 3: expected 11 to 20",
        ),
        (
            &["bound", "--nodes", "99", "--alpha-confidence", "10"],
            "it is at most --alpha-confidence, unless told",
        ),
        (
            &["print", "balance", "zo e"],
            "balance \"zo e\": expected a wallet's name",
        ),
    ];
    for (words, expected) in cases {
        let said = folder.refused(words);
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    std::fs::write(folder.0.join("items.csv"), "1001,3001,10\n").unwrap();
    let said = folder.refused(&["submit", "--file", "items.csv"]);
    assert!(
        said.contains("items.csv: a cluster of snowball has no items"),
        "{said}"
    );
    // Nobody runs.
    let output = folder.phaselab(&["submit", "--from", "alice", "--to", "bob", "--amount", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("no node of"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_bound_is_printed_with_what_it_assumes() {
    let folder = Folder::new();
    let output = folder.phaselab(&[
        "bound",
        "--nodes",
        "100",
        "--byzantine",
        "10",
        "--polls",
        "200",
    ]);
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.contains("error <= 9.6e-24"),
        "{said}"
    );
    assert!(
        said.contains("assumes   every poll samples uniformly"),
        "{said}"
    );
    let told = |words: &[&str]| json(&folder.phaselab(&[&["bound", "--json"], words].concat()));
    let bound = told(&["--nodes", "100", "--byzantine", "10", "--polls", "200"]);
    assert!(bound["error_at_most"].as_f64().unwrap() < 1e-23, "{bound}");
    let unknown = told(&["--nodes", "10", "--byzantine", "5"]);
    assert_eq!(unknown["error_at_most"], Value::Null);
    assert!(
        unknown["unknown"]
            .as_str()
            .unwrap()
            .contains("at least half"),
        "{unknown}"
    );
    let exact = told(&[
        "--nodes",
        "5",
        "--sample-size",
        "3",
        "--alpha-confidence",
        "2",
        "--beta",
        "2",
        "--exact",
    ]);
    let disagree = exact["exact"]["disagree_at_least"].as_f64().unwrap();
    assert!(disagree > 0.0 && disagree < 0.5, "{exact}");
}

#[test]
fn a_sweep_measures_how_often_nodes_disagree() {
    let folder = Folder::new();
    let scenario = r#"
protocol = "snowball"
nodes = 5
until_ms = 20000
[[at]]
ms = 0
do = "submit"
to = [1]
request = { memo = "T1", from = "alice", to = "bob", amount = 25 }
[[at]]
ms = 0
do = "submit"
to = [2]
request = { memo = "T2", from = "alice", to = "carol", amount = 25 }
"#;
    std::fs::write(folder.0.join("twice.toml"), scenario).unwrap();
    let output = folder.phaselab(&["sweep", "twice.toml", "--seeds", "0..4", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    let sum = &lines[4];
    assert_eq!((&sum["seeds"], &sum["violations"]), (&4.into(), &0.into()));
    assert_eq!(
        (&sum["decided"], &sum["disagreements"]),
        (&4.into(), &0.into())
    );
    let high = sum["disagreement_rate_high"].as_f64().unwrap();
    assert!(high > 0.4 && high < 0.6, "{sum}");
    assert!(
        sum["finality_ms"]["median"].as_u64().unwrap() > 1_000,
        "{sum}"
    );
    assert!(sum["finality_ms"]["p95"].as_u64() >= sum["finality_ms"]["median"].as_u64());
    assert!(
        sum["bound_text"].as_str().unwrap().starts_with("error "),
        "{sum}"
    );
}

#[test]
fn a_simulated_bench_pays_with_a_coin_each() {
    let folder = Folder::new();
    let words = [
        "bench",
        "--protocol",
        "snowball",
        "--sim",
        "--transfers",
        "20",
        "--json",
    ];
    let told = json(&folder.phaselab(&words));
    assert_eq!(
        (&told["committed"], &told["undecided"]),
        (&20.into(), &0.into()),
        "{told}"
    );
    let half = told["latency_ms"]["p50"].as_u64().unwrap();
    assert!((1_000..10_000).contains(&half), "{told}");
}
