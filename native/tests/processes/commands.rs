//! Commands without a cluster: their contract, and wrong input.

use std::io::Read;

use serde_json::Value;

use crate::support::{Folder, Running, json, text};

#[test]
fn wrong_input_is_refused_with_one_line_and_status_2() {
    let folder = Folder::with_cluster(3);
    let node = |id: u16| {
        [
            "node".to_owned(),
            "--config".to_owned(),
            format!("phaselab-cluster/node-{id}.toml"),
        ]
    };
    let refused = |id: u16| folder.refused(&node(id).each_ref().map(String::as_str));

    folder.edit("node-1.toml", "listen", "lisen");
    assert!(
        refused(1).contains("node-1.toml:7: unknown key \"lisen\"; did you mean listen?"),
        "{}",
        refused(1)
    );
    folder.edit("node-1.toml", "lisen", "listen");

    folder.edit("node-1.toml", "node-1.redb", "lost.redb");
    assert!(
        refused(1).contains("lost.redb does not exist"),
        "{}",
        refused(1)
    );
    folder.edit("node-1.toml", "lost.redb", "node-2.redb");
    assert!(
        refused(1).contains("its key is not the one"),
        "{}",
        refused(1)
    );
    folder.edit("node-1.toml", "node-2.redb", "node-1.redb");

    folder.edit("genesis.toml", "commit_quorum = 0 ", "commit_quorum = 9 ");
    assert!(
        refused(1).contains("commit_quorum = 9: expected 2 to 3"),
        "{}",
        refused(1)
    );
    folder.edit("genesis.toml", "commit_quorum = 9 ", "commit_quorum = 0 ");

    let store = folder.cluster().join("node-2.redb");
    let whole = std::fs::read(&store).unwrap();
    let mut bent = whole.clone();
    bent[0..9].fill(0xff);
    for (bytes, expected) in [
        (&b"junk"[..], "not a node's store"),
        (&bent, "not a node's store"),
        (&whole[..9000], "damaged"),
    ] {
        std::fs::write(&store, bytes).unwrap();
        assert!(refused(2).contains(expected), "{}", refused(2));
        assert!(
            std::fs::read(&store).unwrap() == bytes,
            "a refused store stays as it was"
        );
    }
    std::fs::write(&store, &whole).unwrap();

    // A store that once ran under another genesis.
    let mut running = Running::node(&folder, 3);
    assert!(
        refused(3).contains("another process has this store open"),
        "{}",
        refused(3)
    );
    running.signal("TERM");
    running.wait();
    folder.edit("genesis.toml", "max_retries = 3", "max_retries = 4");
    assert!(
        refused(3).contains("the store belongs to genesis"),
        "{}",
        refused(3)
    );

    assert!(folder.refused(&["init"]).contains("not overwritten"));
    assert!(
        folder
            .refused(&["keygen", "--store", "phaselab-cluster/node-1.redb"])
            .contains("exists already")
    );
    assert!(
        folder
            .refused(&[
                "submit", "--dir", "nowhere", "--event", "x", "--amount", "1"
            ])
            .contains("no cluster here")
    );
    assert!(
        folder
            .refused(&["node", "--config", "nowhere.toml"])
            .contains("no such file")
    );
    assert!(
        folder
            .refused(&["sim", "three-signer"])
            .contains("did you mean two-phase/three-signers?")
    );
    assert!(
        folder
            .refused(&["sim", "three-signers", "--why", "withdraw-2"])
            .contains("no event \"withdraw-2\" in this run; did you mean withdraw-1?")
    );
    assert!(
        folder
            .refused(&["sim", "three-signers", "--why", "withdraw-1@4"])
            .contains("node 4 does not exist; expected 1 to 3")
    );
    assert!(
        folder
            .refused(&["sim", "nowhere.toml"])
            .contains("no such file")
    );
    assert!(
        folder
            .refused(&["sim", "--protocol", "three-phase"])
            .contains("expected one of two-phase")
    );
    assert!(
        folder
            .refused(&["sweep", "--protocol", "two-phase", "--seeds", "9..3"])
            .contains("expected A..B")
    );
    assert!(
        folder
            .refused(&["replay", "phaselab-cluster/genesis.toml"])
            .contains("not a trace")
    );
    assert!(
        folder
            .refused(&["serve", "--dir", "nowhere"])
            .contains("no index.html")
    );
    for (words, expected) in [
        (
            &["sim", "phaselab-cluster"][..],
            "phaselab-cluster: is a folder; expected a scenario",
        ),
        (
            &["sim", "/dev/null"],
            "/dev/null: is no regular file; expected a scenario",
        ),
        (
            &["sim", "three-signers", "--trace", "nowhere/run.trace"],
            "nowhere: no such folder",
        ),
        (
            &[
                "sweep",
                "--protocol",
                "two-phase",
                "--seeds",
                "0..4",
                "--nodes",
                "4",
            ],
            "--nodes: a swarm draws how many nodes there are",
        ),
    ] {
        let said = folder.refused(words);
        assert!(said.contains(expected), "{said}");
    }
    std::fs::write(
        folder.0.join("three.toml"),
        "protocol = \"two-phase\"\nnodes = 3\n[network]\nlantency_ms = [1, 2]\n",
    )
    .unwrap();
    assert_eq!(
        folder.refused(&["sim", "three.toml"]),
        "error: three.toml:4: unknown key \"lantency_ms\"; did you mean latency_ms?"
    );
}

#[test]
fn the_simulator_keeps_its_contract() {
    let folder = Folder::new();
    let ran = folder.phaselab(&[
        "sim",
        "three-signers",
        "--seed",
        "11",
        "--json",
        "--trace",
        "run.trace",
    ]);
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    assert!(ran.stderr.is_empty());
    let report = json(&ran);
    let keys = [
        "protocol",
        "rules",
        "seed",
        "end_ms",
        "events",
        "delivered",
        "trace_hash",
        "nodes",
        "decisions",
        "invariants",
        "expectations",
        "metrics",
    ];
    for key in keys {
        assert!(report.get(key).is_some(), "{key}");
    }
    assert_eq!(
        (report["protocol"].as_str(), report["seed"].as_u64()),
        (Some("two-phase"), Some(11))
    );
    assert!(
        report["nodes"][0]["instances"][0]["phase"].is_string(),
        "{report}"
    );
    assert_eq!(
        report["decisions"][0]["value"].as_str().map(str::len),
        Some(64)
    );
    assert_eq!(
        json(&folder.phaselab(&["sim", "two-phase/three-signers", "--seed", "11", "--json"])),
        report
    );
    assert_eq!(
        json(&folder.phaselab(&["replay", "run.trace", "--json"])),
        report
    );

    let mut trace = std::fs::read(folder.0.join("run.trace")).unwrap();
    let end = trace.len() - 1;
    trace[end] ^= 1;
    std::fs::write(folder.0.join("bent.trace"), trace).unwrap();
    assert!(
        folder
            .refused(&["replay", "bent.trace"])
            .contains("the file is damaged")
    );

    let unmet =
        "protocol = \"two-phase\"\nnodes = 3\nuntil_ms = 100\n[[expect]]\nevent = \"decided\"\n";
    std::fs::write(folder.0.join("unmet.toml"), unmet).unwrap();
    let unmet = folder.phaselab(&["sim", "unmet.toml"]);
    assert_eq!(unmet.status.code(), Some(1));
    assert!(
        text(&unmet.stdout).contains("expected  0 of 1"),
        "{}",
        text(&unmet.stdout)
    );

    let told = text(&folder.phaselab(&["sim", "three-signers"]).stdout);
    assert!(
        told.starts_with(
            "three-signers  two-phase hardened · 3 nodes · seed 7 · ed25519 · simulated\n"
        ),
        "{told}"
    );
    assert!(
        told.lines().all(|line| line.chars().count() <= 80),
        "{told}"
    );
    for part in [
        "decided   withdraw-1 = A ",
        "holds     agreement",
        "next      phaselab ",
    ] {
        assert!(
            told.lines().any(|line| line.starts_with(part)),
            "{part}: {told}"
        );
    }

    let swept = folder.phaselab(&["sweep", "three-signers", "--seeds", "3..6", "--json"]);
    assert_eq!(swept.status.code(), Some(0));
    let lines: Vec<Value> = text(&swept.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seeds: Vec<_> = lines[..3]
        .iter()
        .map(|line| (line["seed"].as_u64(), line["ok"].as_bool()))
        .collect();
    assert_eq!(
        seeds,
        [
            (Some(3), Some(true)),
            (Some(4), Some(true)),
            (Some(5), Some(true))
        ]
    );
    assert_eq!(lines[0]["replay"], "phaselab sim three-signers --seed 3");
    assert_eq!(
        (lines[3]["seeds"].as_u64(), lines[3]["violations"].as_u64()),
        (Some(3), Some(0))
    );

    assert!(
        json(&folder.phaselab(&["scenarios", "--json"]))
            .as_array()
            .unwrap()
            .len()
            >= 6
    );
    assert_eq!(
        text(&folder.phaselab(&[]).stdout)
            .lines()
            .filter(|line| line.starts_with("  phaselab "))
            .count(),
        3
    );
    assert!(text(&folder.phaselab(&["completions", "bash"]).stdout).contains("phaselab"));
}

/// What a command says and cannot write is an error; a reader that goes away is not.
#[test]
fn output_that_is_lost_is_an_error() {
    let folder = Folder::new();
    for words in [
        &["sim", "three-signers", "--json"][..],
        &["sim", "three-signers"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let ran = folder
            .command(words)
            .stdout(full.unwrap())
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(1), "{words:?}");
        assert_eq!(
            text(&ran.stderr),
            "error: standard output cannot be written: no space left on device\n",
            "{words:?}"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = folder.command(words).stdout(writer).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "{words:?}");
        assert_eq!(text(&ran.stderr), "", "{words:?}");
    }
}

#[test]
fn what_was_refused_or_did_not_run_is_told_and_names_steer_no_terminal() {
    let folder = Folder::new();
    let scenario = "title = \"a\\u001b]0;x\\u0007\\u202e\"\nprotocol = \"two-phase\"\nnodes = 3\n\
                    [[at]]\nms = 100\ndo = \"submit\"\nto = [1, 2]\nrequest = { event = \"\", amount = 25 }\n";
    std::fs::write(folder.0.join("refused.toml"), scenario).unwrap();
    let told = text(&folder.phaselab(&["sim", "refused.toml"]).stdout);
    assert!(
        told.contains("refused   event: expected a name of 1 to 64 bytes  nodes 1 2  100 ms"),
        "{told}"
    );
    assert!(
        told.contains("\na\\u{1b}]0;x\\u{7}\\u{202e}\n") && !told.contains('\u{1b}'),
        "{told}"
    );
    let swept = folder.phaselab(&[
        "sweep",
        "three-signers",
        "--seeds",
        "0..4",
        "--shard",
        "9/9",
    ]);
    let told = text(&swept.stdout);
    assert!(
        told.contains("nothing was run") && !told.contains("holds"),
        "{told}"
    );
}

#[test]
fn the_page_is_served_with_the_right_types() {
    let folder = Folder::new();
    let dir = folder.0.join("dist");
    std::fs::create_dir(&dir).unwrap();
    for (name, content) in [
        ("index.html", "<p>page"),
        ("a.wasm", "\0asm"),
        ("a.js", "1"),
    ] {
        std::fs::write(dir.join(name), content).unwrap();
    }
    let mut server = Running::start(folder.command(&["serve", "--port", "0", "--dir", "dist"]));
    let line = server.wait_for("http://localhost:");
    let port = line
        .split("localhost:")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/").contains("text/html") && get("/").ends_with("<p>page"));
    assert!(
        get("/live").ends_with("<p>page"),
        "the page answers its own routes"
    );
    assert!(get("/a.wasm").contains("content-type: application/wasm"));
    assert!(get("/a.js").contains("text/javascript"));
    assert!(get("/none.js").starts_with("HTTP/1.1 404"));
    assert!(get("/../secret").starts_with("HTTP/1.1 404"));
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn what_clients_saw_is_written_and_judged() {
    let folder = Folder::new();
    for (format, file) in [("jepsen-edn", "run.edn"), ("jepsen-json", "run.json")] {
        let words = [
            "export",
            "reference-transfer",
            "--format",
            format,
            "--out",
            file,
        ];
        let written = folder.phaselab(&words);
        assert!(written.status.success(), "{}", text(&written.stderr));
        let judged = folder.phaselab(&["history", file, "--workload", "bank", "--json"]);
        assert_eq!(judged.status.code(), Some(0), "{}", text(&judged.stderr));
        let judged = json(&judged);
        assert_eq!(
            (&judged["linearizable"], &judged["events"]),
            (&Value::Bool(true), &Value::from(6))
        );
    }
    let history = std::fs::read_to_string(folder.0.join("run.edn")).expect("a history");
    let stale = history.replace("{1001 90}", "{1001 100}");
    std::fs::write(folder.0.join("stale.edn"), stale).expect("a folder that takes files");
    let judged = folder.phaselab(&["history", "stale.edn", "--workload", "bank"]);
    assert_eq!(judged.status.code(), Some(1));
    // Wherever the line breaks.
    let told = text(&judged.stdout);
    let told: Vec<&str> = told.split_whitespace().collect();
    let told = told.join(" ");
    assert!(told.contains("the read of 1001 = 100"), "{told}");
    std::fs::write(folder.0.join("torn.edn"), &history[..history.len() - 9])
        .expect("a folder that takes files");
    let refused = folder.refused(&["history", "torn.edn", "--workload", "bank"]);
    assert!(refused.contains("torn.edn: line 7: expected"), "{refused}");
    let refused = folder.refused(&["history", "run.edn", "--workload", "register"]);
    assert!(refused.contains("expected read, write or cas"), "{refused}");
    let refused = folder.refused(&["export", "three-signers", "--format", "jepsen-edn"]);
    assert!(refused.contains("no items that are read"), "{refused}");
    for (workload, expected) in [
        ("register", "f: \"raed\": expected read, write or cas"),
        ("bank", "f: \"raed\": expected read, transfer or move"),
    ] {
        let typed = "{:type :invoke, :f :raed, :value nil, :process 0}\n";
        std::fs::write(folder.0.join("typed.edn"), typed).expect("a folder that takes files");
        let refused = folder.refused(&["history", "typed.edn", "--workload", workload]);
        assert!(refused.contains(expected), "{refused}");
    }
    let early = [
        "export",
        "three-signers",
        "--format",
        "toml",
        "--until-ms",
        "5",
    ];
    let refused = folder.refused(&early);
    assert!(refused.contains("toml is of the whole run"), "{refused}");
}
