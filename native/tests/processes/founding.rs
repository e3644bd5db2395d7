//! From nothing to a cluster that decides: on one machine as a newcomer finds it, and on hosts that keep their own keys.

use std::collections::BTreeSet;

use crate::operation::submit;
use crate::support::{Folder, Running, eventually, free_addresses, json, text};

/// What a command that succeeds says.
fn says(folder: &Folder, words: &[&str]) -> String {
    let done = folder.phaselab(words);
    assert!(done.status.success(), "{}", text(&done.stderr));
    text(&done.stdout)
}

/// With nothing but what README and `--help` say: init, three terminals, submit, status. Each command is copied from what
/// was printed before.
#[test]
fn a_newcomer_gets_from_init_to_a_decision() {
    let folder = Folder::new();
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    assert!(
        readme.contains("phaselab init --nodes 3"),
        "README says how to begin"
    );
    let help = text(&folder.phaselab(&["--help"]).stdout);
    for command in ["init", "node", "submit", "status"] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(&format!("{command} "))),
            "{help}"
        );
    }
    // Free ports, as other tests run beside this one.
    let said = says(&folder, &["init", "--nodes", "3", "--base-port", "0"]);
    let commands: Vec<Vec<&str>> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("phaselab "))
        .map(|line| line.split(' ').collect())
        .collect();
    let of = |name: &str| -> Vec<&Vec<&str>> {
        commands.iter().filter(|words| words[0] == name).collect()
    };
    assert_eq!(of("node").len(), 3, "{said}");
    let mut terminals: Vec<Running> = of("node")
        .iter()
        .map(|words| Running::start(folder.command(words)))
        .collect();
    for terminal in &mut terminals {
        terminal.wait_for("ready");
        terminal.wait_for("joined 2 peers");
    }
    // A person types slower than nodes find the chain; the first round then does not need its time.
    let mut look = of("status")[0].clone();
    look.push("--json");
    eventually("the chain at every node", || {
        let nodes = json(&folder.phaselab(&look));
        let links = nodes["nodes"].as_array()?;
        let up = links
            .iter()
            .filter(|node| node["report"]["chain"]["connected"] == true);
        (up.count() == 3).then_some(())
    });
    let decided = folder.phaselab(of("submit")[0]);
    assert_eq!(decided.status.code(), Some(0), "{}", text(&decided.stderr));
    let told = text(&decided.stdout);
    assert!(
        told.starts_with("decided  withdraw-1 = A") && told.contains("3 of 3 nodes"),
        "{told}"
    );
    let shown = eventually("completion at every node", || {
        let shown = text(&folder.phaselab(of("status")[0]).stdout);
        let done = shown
            .lines()
            .filter(|line| line.contains("completed"))
            .count();
        (done == 3).then_some(shown)
    });
    assert!(shown.contains("withdraw-1"), "{shown}");
    // Ctrl-C in each terminal.
    for terminal in &mut terminals {
        terminal.signal("INT");
        assert_eq!(terminal.wait(), Some(0));
    }
    // And the other command that was printed.
    assert_eq!(of("cluster").len(), 1, "{said}");
    let mut words = of("cluster")[0].clone();
    words.extend(["--page-port", "0"]);
    let mut cluster = Running::start(folder.command(&words));
    cluster.wait_for("page ");
    submit(&folder, "withdraw-2");
    cluster.signal("INT");
    assert_eq!(cluster.wait(), Some(0));
}

/// Three hosts, as three addresses of the loopback: each keeps its own key, and only files without keys are copied.
#[test]
fn hosts_that_keep_their_keys_form_a_cluster() {
    let folder = Folder::new();
    let mut members = Vec::new();
    for host in 1..=3 {
        let dir = folder.0.join(format!("host-{host}"));
        std::fs::create_dir(&dir).unwrap();
        let store = format!("host-{host}/node.redb");
        let key = says(&folder, &["keygen", "--store", &store])
            .trim()
            .to_owned();
        members.push(format!("{}={key}", free_address_of(host)));
    }
    let mut words = vec!["init", "--dir", "made"];
    for member in &members {
        words.extend(["--member", member]);
    }
    let said = says(&folder, &words);
    for part in [
        "node.redb",
        "made/genesis.toml",
        "made/node-3.toml",
        "open between them",
        "phaselab submit --dir .",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let files: BTreeSet<_> = std::fs::read_dir(folder.0.join("made"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["genesis.toml", "node-1.toml", "node-2.toml", "node-3.toml"];
    assert_eq!(
        files,
        expected.map(str::to_owned).into(),
        "no keys were made"
    );

    let mut nodes = Vec::new();
    for host in 1..=3 {
        let to = folder.0.join(format!("host-{host}"));
        for file in ["genesis.toml".to_owned(), format!("node-{host}.toml")] {
            std::fs::copy(folder.0.join("made").join(&file), to.join(&file)).unwrap();
        }
        let config = format!("host-{host}/node-{host}.toml");
        nodes.push(Running::start(
            folder.command(&["node", "--config", &config]),
        ));
    }
    for node in &mut nodes {
        node.wait_for("joined 2 peers");
    }
    // At one host: its own node is the only one that can be asked there.
    let submitted = folder.phaselab(&[
        "submit",
        "--dir",
        "host-2",
        "--event",
        "withdraw-1",
        "--amount",
        "25",
        "--wait",
        "60s",
    ]);
    assert!(
        submitted.status.success(),
        "{}{}",
        text(&submitted.stdout),
        text(&submitted.stderr)
    );
    assert!(
        text(&submitted.stdout).contains("1 of 1 nodes"),
        "{}",
        text(&submitted.stdout)
    );
    for host in 1..=3 {
        let dir = format!("host-{host}");
        eventually("completion at every host", || {
            let status = json(&folder.phaselab(&["status", "--dir", &dir, "--json"]));
            let phase = &status["nodes"][0]["report"]["instances"][0]["phase"];
            (phase.as_str() == Some("completed")).then_some(())
        });
    }

    // Another host's store is no way in.
    let said = folder.refused(&[
        "node",
        "--config",
        "host-1/node-1.toml",
        "--store",
        "host-2/node.redb",
    ]);
    assert!(said.contains("another process has this store"), "{said}");
    nodes[1].signal("TERM");
    assert_eq!(nodes[1].wait(), Some(0));
    let said = folder.refused(&[
        "node",
        "--config",
        "host-1/node-1.toml",
        "--store",
        "host-2/node.redb",
    ]);
    assert!(said.contains("its key is not the one"), "{said}");
}

/// An address of host `127.0.0.k` where there is one, else of 127.0.0.1.
fn free_address_of(host: u8) -> String {
    let own = format!("127.0.0.{host}");
    let ip = match std::net::UdpSocket::bind((own.as_str(), 0)) {
        Ok(_) => own,
        Err(_) => "127.0.0.1".to_owned(),
    };
    format!("{ip}:{}", free_addresses(1)[0].port())
}

#[test]
fn init_for_hosts_writes_who_is_where_and_refuses_what_cannot_be() {
    let folder = Folder::new();
    let hosts = ["10.1.0.1", "10.1.0.2:5000", "fd00::3"];
    let mut words = vec!["init", "--dir", "made"];
    words.extend(hosts.iter().flat_map(|host| ["--host", host]));
    let said = says(&folder, &words);
    for part in [
        "made/node-2.redb",
        "keep no copy",
        "UDP 5000",
        "TCP 4799",
        "phaselab node --config node-3.toml",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let read = |file: &str| std::fs::read_to_string(folder.0.join("made").join(file)).unwrap();
    let first = read("node-1.toml");
    for line in [
        "listen = \"0.0.0.0:4701\"",
        "host = true\naddress = \"127.0.0.1:4799\"\nlisten = \"0.0.0.0:4799\"",
        "id = 2\naddress = \"10.1.0.2:5000\"",
        "id = 3\naddress = \"[fd00::3]:4701\"",
        "# [metrics]\n# listen = \"127.0.0.1:9101\"",
    ] {
        assert!(first.contains(line), "{line}: {first}");
    }
    let third = read("node-3.toml");
    for line in [
        "listen = \"[::]:4701\"",
        "host = false\naddress = \"10.1.0.1:4799\"",
    ] {
        assert!(third.contains(line), "{line}: {third}");
    }
    let refused = |words: &[&str], expected: &str| {
        let said = folder.refused(words);
        assert!(said.contains(expected), "{said}");
    };
    let key = "00".repeat(32);
    refused(
        &["init", "--host", "node-1.example", "--dir", "x"],
        "expected an IP address",
    );
    refused(
        &["init", "--host", "0.0.0.0", "--dir", "x"],
        "others can reach",
    );
    refused(
        &["init", "--host", "10.1.0.1", "--nodes", "3", "--dir", "x"],
        "cannot be used with",
    );
    refused(
        &[
            "init", "--host", "10.1.0.1", "--host", "10.1.0.1", "--dir", "x",
        ],
        "10.1.0.1:4701: named twice",
    );
    refused(
        &["init", "--member", "10.1.0.1", "--dir", "x"],
        "public key that `phaselab keygen` printed",
    );
    refused(
        &["init", "--member", &format!("10.1.0.1={key}"), "--dir", "x"],
        "no public key",
    );
    refused(
        &["init", "--host", "10.1.0.4", "--dir", "made"],
        "not overwritten",
    );
    assert!(
        !folder.0.join("x").exists(),
        "what is refused writes nothing"
    );
}
