//! Clusters that decide, are killed, come back, and leave nothing behind.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use crate::support::{Folder, Running, base_port, eventually, instances, json, text};

#[test]
fn three_processes_decide_and_go_on_from_their_stores() {
    let folder = Folder::with_cluster(3);
    let mut nodes: Vec<Running> = (1..=3).map(|id| Running::node(&folder, id)).collect();
    for node in &mut nodes {
        assert!(
            node.wait_for("joined")
                .contains("started with an empty store; joined 2 peers")
        );
    }
    let submitted = folder.phaselab(&[
        "submit",
        "--event",
        "withdraw-1",
        "--amount",
        "25",
        "--wait",
        "60s",
        "--json",
    ]);
    assert!(submitted.status.success(), "{}", text(&submitted.stderr));
    let decided = json(&submitted);
    assert_eq!(
        (decided["instance"].as_str(), decided["outcome"].as_str()),
        (Some("withdraw-1"), Some("decided"))
    );
    assert_eq!(decided["nodes"].as_array().unwrap().len(), 3, "{decided}");
    let value = decided["value"].as_str().unwrap().to_owned();
    assert_eq!(value.len(), 64);
    assert!(decided["certificate"].as_u64() >= Some(2), "{decided}");

    eventually("completion at every node", || {
        let known = instances(&folder);
        let done = |id| {
            known.get(&(id, "withdraw-1".to_owned()))
                == Some(&("completed".to_owned(), Some(value.clone())))
        };
        (1..=3).all(done).then_some(())
    });
    let shown = text(&folder.phaselab(&["status"]).stdout);
    assert_eq!(
        shown
            .lines()
            .filter(|line| line.contains("yes  completed"))
            .count(),
        3,
        "{shown}"
    );

    // The same event again is answered with the same decision.
    let again = folder.phaselab(&["submit", "--event", "withdraw-1", "--amount", "25"]);
    assert!(
        text(&again.stdout).starts_with(&format!(
            "decided  withdraw-1 = A {}   3 of 3 nodes",
            &value[..4]
        )),
        "{}",
        text(&again.stdout)
    );
    // What cannot be paid is not decided in time.
    let starved = folder.phaselab(&[
        "submit", "--event", "big", "--amount", "1000000", "--wait", "300ms",
    ]);
    assert_eq!(
        starved.status.code(),
        Some(1),
        "{}{}",
        text(&starved.stdout),
        text(&starved.stderr)
    );

    let shown = text(&folder.phaselab(&["status"]).stdout);
    assert!(
        shown.contains("open      big: node 1 proposing in round 0, node 2 proposing"),
        "{shown}"
    );
    // Wrapped to the terminal's width or not, it says why.
    let unwrapped = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let why = "at 3 of 3 nodes it waits for free outputs at a depth of 300 that hold enough";
    assert!(unwrapped.contains(why), "{shown}");
    let at_each = text(&folder.phaselab(&["status", "--event", "big"]).stdout);
    assert!(at_each.contains("waits for free outputs"), "{at_each}");
    // What can never be decided is wrong input.
    assert_eq!(
        folder.refused(&["submit", "--event", "none", "--amount", "0"]),
        "error: none: refused: amount: expected at least 1"
    );

    // A signal ends a node cleanly; it comes back with what it knew.
    nodes[2].signal("TERM");
    assert_eq!(nodes[2].wait(), Some(0));
    assert!(!folder.cluster().join("node-3.control").exists());
    let mut back = Running::node(&folder, 3);
    let line = back.wait_for("joined");
    assert!(
        line.contains("recovered ") && line.ends_with("joined 2 peers"),
        "{line}"
    );
}

/// How often a node is killed: after 0, 5, 10, ... ms. A decision takes 10 to 40.
const ATTEMPTS: u16 = 9;

#[test]
fn nodes_that_are_killed_while_deciding_sign_once() {
    let folder = Folder::with_cluster(3);
    let mut nodes: Vec<Running> = (1..=3).map(|id| Running::node(&folder, id)).collect();
    for node in &mut nodes {
        node.wait_for("joined 2 peers");
    }
    let mut signed_before: BTreeMap<(u64, String), String> = BTreeMap::new();
    for attempt in 0..ATTEMPTS {
        let event = format!("withdraw-{attempt}");
        let submit = folder.command(&[
            "submit", "--event", &event, "--amount", "3", "--wait", "60s", "--json",
        ]);
        let submit = Running::start(submit);
        // Each attempt kills another node, a little later into the decision.
        std::thread::sleep(Duration::from_millis(5 * u64::from(attempt)));
        let victim = usize::from(attempt % 3);
        nodes[victim].kill();
        for (key, (_, signed)) in instances(&folder) {
            if let Some(signed) = signed {
                signed_before.insert(key, signed);
            }
        }
        nodes[victim] = Running::node(&folder, victim as u16 + 1);
        drop_quietly(submit);
    }
    for attempt in 0..ATTEMPTS {
        // Those that were down when they were asked hear of it now.
        let event = format!("withdraw-{attempt}");
        let submitted = folder.phaselab(&[
            "submit", "--event", &event, "--amount", "3", "--wait", "60s", "--json",
        ]);
        assert!(
            submitted.status.success(),
            "{}{}",
            text(&submitted.stdout),
            text(&submitted.stderr)
        );
    }
    let known = eventually("completion of everything everywhere", || {
        let known = instances(&folder);
        let done = known.len() == 3 * usize::from(ATTEMPTS)
            && known.values().all(|(phase, _)| phase == "completed");
        done.then_some(known)
    });
    for attempt in 0..ATTEMPTS {
        let event = format!("withdraw-{attempt}");
        let of_event = known.iter().filter(|((_, name), _)| *name == event);
        // Who was down when it was decided may find it completed, and then never signs.
        let values: Vec<_> = of_event
            .filter_map(|(_, (_, signed))| signed.clone())
            .collect();
        assert!(
            values.len() >= 2,
            "{event}: two signatures complete it: {values:?}"
        );
        assert!(
            values.windows(2).all(|pair| pair[0] == pair[1]),
            "{event}: two values were signed: {values:?}"
        );
    }
    for (key, signed) in signed_before {
        assert_eq!(
            known[&key].1.as_ref(),
            Some(&signed),
            "{key:?} signed another value after its restart"
        );
    }
}

/// Lets a command run to its end in the background.
fn drop_quietly(mut running: Running) {
    std::thread::spawn(move || {
        let _ = running.child.wait();
    });
}

#[test]
fn a_cluster_leaves_no_child_behind() {
    for signal in ["INT", "TERM", "KILL"] {
        let folder = Folder::new();
        let port = base_port(3);
        let words = [
            "cluster",
            "--protocol",
            "two-phase",
            "--nodes",
            "3",
            "--base-port",
            &port,
            "--page-port",
            "0",
        ];
        let mut cluster = Running::start(folder.command(&words));
        let pids: Vec<u32> = (1..=3)
            .map(|id| {
                let line = cluster.wait_for(&format!("node {id}  pid "));
                assert!(line.ends_with("  ready"), "{line}");
                line.split_whitespace().nth(3).unwrap().parse().unwrap()
            })
            .collect();
        assert!(cluster.wait_for("page ").contains("stop: Ctrl-C"));
        let submitted = folder.phaselab(&["submit", "--event", "withdraw-1", "--amount", "25"]);
        assert!(submitted.status.success(), "{}", text(&submitted.stderr));
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        cluster.signal(signal);
        let code = cluster.wait();
        assert_eq!(code, (signal != "KILL").then_some(0), "after SIG{signal}");
        eventually("the end of every child", || {
            pids.iter().all(|pid| !is_alive(*pid)).then_some(())
        });
        let status = folder.phaselab(&["status"]);
        assert_eq!(status.status.code(), Some(1), "{}", text(&status.stdout));
    }
}

/// The words for a cluster in its folder, whose ports were chosen when it was made.
const CLUSTER: [&str; 3] = ["cluster", "--page-port", "0"];

/// Ctrl-C while nodes start ends the cluster: it is no sign that they are ready.
#[test]
fn a_signal_ends_a_cluster_that_is_starting() {
    let folder = Folder::with_cluster(3);
    let mut cluster = Running::start(folder.command(&CLUSTER));
    let begun = folder.cluster().join("node-1.log");
    while !begun.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    cluster.signal("INT");
    assert_eq!(cluster.wait(), Some(0));
}

/// Where a cluster cannot start, its input is to blame, and the reason is the node's own.
#[test]
fn a_cluster_that_cannot_start_says_why() {
    let folder = Folder::with_cluster(3);
    let config = std::fs::read_to_string(folder.cluster().join("node-2.toml")).unwrap();
    let listen = config
        .lines()
        .find_map(|line| line.strip_prefix("listen = \""))
        .unwrap()
        .trim_end_matches('"');
    let taken = std::net::TcpListener::bind(listen).unwrap();
    let said = folder.refused(&CLUSTER);
    assert!(
        said.contains("node 2 did not start: ") && said.contains("the address is in use"),
        "{said}"
    );
    let said = folder.refused(&["node", "--config", "phaselab-cluster/node-2.toml"]);
    assert!(said.contains("the address is in use"), "{said}");
    drop(taken);

    let mut running = Running::node(&folder, 3);
    let said = folder.refused(&CLUSTER);
    assert!(
        said.contains("node 3 did not start: ") && said.contains("another process has this store"),
        "{said}"
    );
    running.signal("TERM");
    running.wait();

    // The chain paid for what the stores hold; it must not begin again.
    let mut cluster = Running::start(folder.command(&CLUSTER));
    cluster.wait_for("page ");
    let submitted = folder.phaselab(&["submit", "--event", "withdraw-1", "--amount", "25"]);
    assert!(submitted.status.success(), "{}", text(&submitted.stderr));
    cluster.signal("TERM");
    assert_eq!(cluster.wait(), Some(0));
    let state = folder.cluster().join("chain.state");
    let kept = std::fs::read(&state).unwrap();
    std::fs::remove_file(&state).unwrap();
    for words in [
        &CLUSTER[..],
        &["node", "--config", "phaselab-cluster/node-1.toml"],
    ] {
        let said = folder.refused(words);
        assert!(
            said.contains("the chain's state is missing, but ")
                && said.contains("holds withdraw-1 as decided"),
            "{said}"
        );
    }
    std::fs::write(&state, kept).unwrap();
    let mut cluster = Running::start(folder.command(&CLUSTER));
    cluster.wait_for("page ");
    cluster.signal("TERM");
    assert_eq!(cluster.wait(), Some(0));
}

fn is_alive(pid: u32) -> bool {
    let state = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = text(&state.stdout);
    // One that ended and was not waited for by its new parent is not alive.
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}
