//! What an operator relies on: options, environment, signals and help.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, Command};
use std::time::Duration;

use crate::observing::{metrics_of, scraped};
use crate::support::{Folder, Running, free_addresses, text};

/// Has a payment decided.
pub(crate) fn submit(folder: &Folder, event: &str) {
    let submitted =
        folder.phaselab(&["submit", "--event", event, "--amount", "1", "--wait", "60s"]);
    assert!(
        submitted.status.success(),
        "{}{}",
        text(&submitted.stdout),
        text(&submitted.stderr)
    );
}

fn two_free_addresses() -> [String; 2] {
    let found = free_addresses(2);
    [found[0].to_string(), found[1].to_string()]
}

#[test]
fn an_option_outweighs_the_environment_and_that_the_file() {
    let folder = Folder::with_cluster(1);
    let config = "phaselab-cluster/node-1.toml";
    folder.edit(
        "node-1.toml",
        "# [metrics]\n# listen",
        "[log]\nfilter = \"warn\"\nformat = \"json\"\n[metrics]\nlisten",
    );
    folder.edit("node-1.toml", "127.0.0.1:9101", "127.0.0.1:0");
    std::fs::copy(
        folder.cluster().join("node-1.redb"),
        folder.0.join("other.redb"),
    )
    .unwrap();

    let start = |words: &[&str], environment: &[(&str, &str)]| {
        let mut command = folder.command(words);
        command.envs(environment.iter().copied());
        let (mut node, log) = Running::start_with_log(command);
        node.wait_for("ready");
        (node, log)
    };
    let stop = |mut node: Running, mut log: BufReader<ChildStderr>| {
        node.signal("TERM");
        assert_eq!(node.wait(), Some(0));
        let mut said = String::new();
        log.read_to_string(&mut said).unwrap();
        said
    };
    let other = || std::fs::read(folder.0.join("other.redb")).unwrap();
    let untouched = other();

    // The file: warnings only, as JSON, and metrics at a port of its choice.
    let (mut node, log) = start(&["node", "--config", config], &[]);
    let told = metrics_of(&mut node);
    assert!(scraped(&told).contains_key("phaselab_build_info"));
    assert_eq!(stop(node, log), "", "nothing to warn of");

    // The environment, for every option that has a name there.
    let [listen, metrics] = two_free_addresses();
    let environment = [
        ("PHASELAB_CONFIG", config),
        ("PHASELAB_LISTEN", listen.as_str()),
        ("PHASELAB_METRICS", metrics.as_str()),
        ("PHASELAB_STORE", "other.redb"),
        ("PHASELAB_LOG", "info"),
        ("PHASELAB_LOG_FORMAT", "text"),
    ];
    let (mut node, log) = start(&["node"], &environment);
    assert!(node.wait_for("ready").contains(&listen));
    assert_eq!(metrics_of(&mut node), metrics);
    let said = stop(node, log);
    assert!(
        said.contains("stopping") && !said.starts_with('{'),
        "{said}"
    );
    assert!(
        other() != untouched,
        "the store that the environment names was written"
    );

    // Options.
    let [listen, metrics] = two_free_addresses();
    let options = [
        "node",
        "--listen",
        &listen,
        "--metrics",
        &metrics,
        "--store",
        "phaselab-cluster/node-1.redb",
        "--log",
        "info",
        "--log-format",
        "json",
    ];
    let (mut node, log) = start(&options, &environment);
    assert!(node.wait_for("ready").contains(&listen));
    assert_eq!(metrics_of(&mut node), metrics);
    let said = stop(node, log);
    assert!(
        said.lines().all(|line| line.starts_with('{')) && said.contains("stopping"),
        "{said}"
    );

    // What is wrong is told with where it came from, and what was expected.
    let refused = |words: &[&str], environment: &[(&str, &str)]| {
        let mut command = folder.command(words);
        let ran = command.envs(environment.iter().copied()).output().unwrap();
        let said = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let node = ["node", "--config", config];
    for (name, value, expected) in [
        (
            "PHASELAB_LISTEN",
            "here",
            "expected an IP address with a port",
        ),
        (
            "PHASELAB_METRICS",
            "9101",
            "expected an IP address with a port",
        ),
        ("PHASELAB_LOG", "loud", "expected error, warn, info"),
        ("PHASELAB_LOG_FORMAT", "xml", "invalid value 'xml'"),
    ] {
        let said = refused(&node, &[(name, value)]);
        assert!(said.contains(expected), "{said}");
        assert!(
            said.contains(&format!("(from {name} in the environment)")),
            "{said}"
        );
    }
    let said = refused(&node, &[("PHASELAB_STORE", "nowhere.redb")]);
    assert!(said.contains("nowhere.redb: no such store"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_at = taken.local_addr().unwrap().to_string();
    let said = refused(&["node", "--config", config, "--metrics", &taken_at], &[]);
    assert!(
        said.contains("for /metrics): the address is in use"),
        "{said}"
    );
    let said = refused(
        &["node", "--config", config, "--listen", "x"],
        &[("PHASELAB_LISTEN", "y")],
    );
    assert!(
        said.contains("invalid value 'x'") && !said.contains("environment"),
        "{said}"
    );
}

#[test]
fn signals_stop_cleanly_and_a_second_one_at_once() {
    let folder = Folder::with_cluster(2);
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let peer = Running::node(&folder, 2);
        let words = ["node", "--config", "phaselab-cluster/node-1.toml"];
        let (mut node, mut log) = Running::start_with_log(folder.command(&words));
        node.wait_for("joined 1 peer");
        let control = folder.cluster().join("node-1.control");
        assert!(control.exists());
        // A peer that does not answer holds up the farewell.
        peer.signal("STOP");
        node.signal(signal);
        let mut line = String::new();
        while !line.contains("stopping") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ended");
        }
        node.signal(signal);
        assert_eq!(node.wait(), Some(status), "{signal} twice");
        drop(peer);

        // What was killed so goes on; one signal is enough, and leaves nothing behind.
        let mut node = Running::node(&folder, 1);
        node.signal(signal);
        assert_eq!(node.wait(), Some(0), "{signal} once");
        assert!(!control.exists());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_hangup_that_is_ignored_stays_so() {
    let folder = Folder::with_cluster(1);
    let mut command = Command::new("nohup");
    let inner = folder.command(&["node", "--config", "phaselab-cluster/node-1.toml"]);
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(&folder.0);
    let mut node = Running::start(command);
    node.wait_for("ready");
    node.signal("HUP");
    let asked = folder.phaselab(&["status"]);
    assert_eq!(asked.status.code(), Some(0), "{}", text(&asked.stderr));
    std::thread::sleep(Duration::from_millis(100));
    assert!(node.child.try_wait().unwrap().is_none(), "it goes on");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
}

/// Each command explains itself, shows examples, and has nothing else to say.
#[test]
fn every_command_has_help_with_examples() {
    let folder = Folder::new();
    let help = text(&folder.phaselab(&["--help"]).stdout);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description that is wrapped is indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 14, "{help}");
    for command in commands {
        let ran = folder.phaselab(&[command, "--help"]);
        let said = text(&ran.stdout);
        assert_eq!(ran.status.code(), Some(0), "{command}");
        assert!(
            ran.stderr.is_empty() && said.contains("Usage: phaselab "),
            "{said}"
        );
        let with_examples = if said.contains("\nCommands:") {
            // Its own commands show them.
            said.contains("Usage: phaselab ")
        } else {
            said.contains("\nExamples:\n") && said.contains(&format!("  phaselab {command}"))
        };
        assert!(with_examples, "{said}");
        // Keys of 64 digits cannot be wrapped.
        let wide = said
            .lines()
            .find(|line| line.chars().count() > 80 && !line.contains('='));
        assert_eq!(wide, None, "{command}");
    }
}
