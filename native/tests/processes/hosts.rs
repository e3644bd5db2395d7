//! Three nodes on three hosts: network namespaces with addresses of their own, joined by a bridge. A host's link is taken
//! down and comes back. Only root may make such hosts; elsewhere the test says so and ends.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Folder, Running, eventually, json, text};

/// Hosts, and the network between them; gone when the test ends.
struct Hosts {
    /// What tells them from those of another run.
    mark: String,
}

impl Hosts {
    /// `None` where hosts cannot be made.
    fn new() -> Option<Hosts> {
        let hosts = Hosts {
            mark: format!("{:x}", std::process::id() & 0xffff),
        };
        // A namespace of its own for the bridge: nothing of this machine's network is touched.
        if !ip(&["netns", "add", &hosts.switch()]).status.success() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let switch = hosts.switch();
        let on_switch = |words: &[&str]| done(&[&["-n", switch.as_str()][..], words].concat());
        on_switch(&["link", "add", "bridge", "type", "bridge"]);
        on_switch(&["link", "set", "bridge", "up"]);
        for id in 1..=3 {
            let (host, port) = (hosts.host(id), format!("port{id}"));
            done(&["netns", "add", &host]);
            on_switch(&[
                "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &host,
            ]);
            on_switch(&["link", "set", &port, "master", "bridge", "up"]);
            let address = format!("{}/24", Hosts::address(id));
            for words in [
                &["addr", "add", &address, "dev", "eth0"][..],
                &["link", "set", "eth0", "up"],
                &["link", "set", "lo", "up"],
            ] {
                done(&[&["-n", host.as_str()][..], words].concat());
            }
        }
        Some(hosts)
    }

    fn switch(&self) -> String {
        format!("pl{}-switch", self.mark)
    }

    fn host(&self, id: u16) -> String {
        format!("pl{}-{id}", self.mark)
    }

    /// Of a range that is for documentation and routed nowhere.
    fn address(id: u16) -> String {
        format!("192.0.2.{id}")
    }

    /// The words that run this program on a host.
    fn on(&self, id: u16, folder: &Folder, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args([
                "netns",
                "exec",
                &self.host(id),
                env!("CARGO_BIN_EXE_phaselab"),
            ])
            .args(words)
            .current_dir(&folder.0)
            .env_remove("PHASELAB_LOG")
            .env("NO_COLOR", "1");
        command
    }

    fn ask(&self, id: u16, folder: &Folder, words: &[&str]) -> Value {
        let asked = self
            .on(id, folder, words)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        json(&asked)
    }

    fn link(&self, id: u16, state: &str) {
        done(&[
            "-n",
            &self.switch(),
            "link",
            "set",
            &format!("port{id}"),
            state,
        ]);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for id in 1..=3 {
            ip(&["netns", "del", &self.host(id)]);
        }
        ip(&["netns", "del", &self.switch()]);
    }
}

fn ip(words: &[&str]) -> Output {
    let ran = Command::new("ip").args(words).output();
    ran.unwrap_or_else(|_| Command::new("false").output().unwrap())
}

fn done(words: &[&str]) {
    let ran = ip(words);
    assert!(ran.status.success(), "ip {words:?}: {}", text(&ran.stderr));
}

/// Host 1 hosts the simulated chain as well.
#[test]
#[cfg(target_os = "linux")]
fn three_hosts_decide_while_a_link_is_down_and_meet_again() {
    let Some(hosts) = Hosts::new() else { return };
    let folder = Folder::new();
    let made = folder.phaselab(&[
        "init",
        "--host",
        "192.0.2.1",
        "--host",
        "192.0.2.2",
        "--host",
        "192.0.2.3",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let config = |id: u16| format!("phaselab-cluster/node-{id}.toml");
    let mut nodes: Vec<Running> = (1..=3)
        .map(|id| {
            let words = ["node", "--config", &config(id), "--until-stdin-closes"];
            Running::start(hosts.on(id, &folder, &words))
        })
        .collect();
    for node in &mut nodes {
        node.wait_for("ready");
    }
    for node in &mut nodes {
        node.wait_for("joined 2 peers");
    }
    let submit = |id: u16, event: &str, wait: &str| {
        let number = id.to_string();
        let words = [
            "submit", "--event", event, "--amount", "2", "--node", &number, "--wait", wait,
            "--json",
        ];
        hosts.ask(id, &folder, &words)
    };
    let value = |id: u16, event: &str| {
        let status = hosts.ask(id, &folder, &["status", "--event", event, "--json"]);
        let nodes = status["nodes"].as_array().unwrap().clone();
        nodes[usize::from(id) - 1]["instance"]["value"].clone()
    };
    let outcome = submit(1, "together", "30s");
    assert_eq!(outcome["outcome"], "decided", "{outcome}");

    hosts.link(3, "down");
    let without = submit(1, "without", "60s");
    assert_eq!(without["outcome"], "decided", "{without}");
    assert!(value(3, "without").is_null(), "host 3 cannot have heard");
    // Alone it decides nothing.
    assert_ne!(submit(3, "alone", "1s")["outcome"], "decided");

    hosts.link(3, "up");
    for event in ["without", "alone"] {
        eventually("the same value on every host", || {
            let values: Vec<Value> = (1..=3).map(|id| value(id, event)).collect();
            let all = values
                .iter()
                .all(|found| found.is_string() && *found == values[0]);
            all.then_some(())
        });
    }
    for node in &mut nodes {
        node.kill();
    }
}
