//! The whole screen in a real terminal: drawn, driven by keys, and given back. Needs tmux, which is the terminal.

use std::process::{Command, Stdio};

use crate::support::{Folder, PATIENCE, eventually, text};

/// A terminal of its own server, which ends with the test.
struct Terminal {
    server: String,
}

impl Terminal {
    /// `None` where there is no tmux.
    fn start(folder: &Folder, name: &str, environment: &str, words: &str) -> Option<Terminal> {
        let is_there = Command::new("tmux")
            .arg("-V")
            .stdout(Stdio::null())
            .status();
        if !is_there.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no tmux here");
            return None;
        }
        let terminal = Terminal {
            server: format!("phaselab-{}-{name}", std::process::id()),
        };
        let program = env!("CARGO_BIN_EXE_phaselab");
        // The shell tells how it ended, and whether the terminal is as it was.
        let shell =
            format!("{environment} {program} {words}; echo \"status $?\"; stty -a; sleep 600");
        let folder = folder.0.display().to_string();
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "-c",
            &folder,
            &shell,
        ]);
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let ran = Command::new("tmux")
            .args(["-L", &self.server])
            .args(words)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{words:?}: {}", text(&ran.stderr));
        text(&ran.stdout)
    }

    fn keys(&self, keys: &[&str]) {
        for key in keys {
            self.tmux(&["send-keys", key]);
        }
    }

    /// The screen once it shows all of these.
    fn shows(&self, what: &[&str]) -> String {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            last = self.tmux(&["capture-pane", "-p"]);
            if what.iter().all(|part| last.contains(part)) {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the screen does not show {what:?}:\n{last}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .output();
    }
}

const WORDS: &str = "cluster --tui --page-port 0";

#[test]
fn keys_break_and_mend_a_cluster_on_the_screen() {
    let folder = Folder::with_cluster(3);
    let Some(terminal) = Terminal::start(&folder, "keys", "NO_COLOR=", WORDS) else {
        return;
    };
    terminal.shows(&[
        "3 of 3 nodes up",
        ">1 up",
        "from 1 .     ok    ok",
        "s submit  q quit",
    ]);
    terminal.keys(&["s"]);
    terminal.shows(&[
        "withdraw-1        completed      completed      completed",
        "withdraw-1: decided in",
    ]);

    terminal.keys(&["2", "p"]);
    terminal.shows(&["2 of 3 nodes up", ">2 paused", "node 2 paused"]);
    terminal.keys(&["p"]);
    terminal.shows(&["3 of 3 nodes up", ">2 up"]);

    terminal.keys(&["1", "c"]);
    terminal.shows(&["node 1: cut off from, or join again: which peer?"]);
    terminal.keys(&["3"]);
    terminal.shows(&["from 1 .     ok    cut", "from 3 cut   ok    ."]);
    // A node that comes back is told what it missed.
    terminal.keys(&["3", "k"]);
    terminal.shows(&[">3 ended", "killed by signal 9"]);
    terminal.keys(&["r"]);
    terminal.shows(&[">3 up", "from 3 cut   ok    ."]);
    terminal.keys(&["h"]);
    terminal.shows(&["from 1 .     ok    ok", "from 3 ok    ok    ."]);
    terminal.keys(&["1", "l", "2"]);
    terminal.shows(&["from 1 .     slow  ok", "from 2 slow  ."]);

    terminal.tmux(&["resize-window", "-x", "120", "-y", "40"]);
    let border = format!("┌ log {}┐", "─".repeat(113));
    terminal.shows(&[&border, "from 1 .     slow  ok"]);
    terminal.keys(&["q"]);
    let left = terminal.shows(&["3 nodes stopped", "status 0", " icanon", " echo "]);
    assert!(
        !left.contains("-icanon") && !left.contains(" -echo "),
        "{left}"
    );
}

#[test]
fn a_signal_gives_the_terminal_back_and_a_screen_without_colour_has_none() {
    let folder = Folder::with_cluster(3);
    let Some(terminal) = Terminal::start(&folder, "signal", "NO_COLOR=1", WORDS) else {
        return;
    };
    terminal.keys(&["s"]);
    terminal.shows(&["3 of 3 nodes up"]);
    terminal.keys(&["s"]);
    terminal.shows(&["completed      completed      completed"]);
    let coded = terminal.tmux(&["capture-pane", "-p", "-e"]);
    let colours = coded
        .split('\u{1b}')
        .filter(|code| code.starts_with("[3") && !code.starts_with("[39m"));
    assert_eq!(colours.count(), 0, "{coded:?}");

    let config = folder.cluster().join("node-1.control");
    let pid = eventually("a control file", || {
        let file = std::fs::read_to_string(&config).ok()?;
        let line = file.lines().find_map(|line| line.strip_prefix("pid = "))?;
        line.parse::<u32>().ok()
    });
    let parent = Command::new("ps")
        .args(["-o", "ppid=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let killed = Command::new("kill")
        .args(["-s", "TERM", text(&parent.stdout).trim()])
        .status();
    assert!(killed.unwrap().success());
    let left = terminal.shows(&["3 nodes stopped", "status 0", " icanon"]);
    assert!(!left.contains("-icanon"), "{left}");
}

#[test]
fn without_a_terminal_there_is_no_screen() {
    let folder = Folder::with_cluster(3);
    let said = folder.refused(&["cluster", "--tui"]);
    assert!(said.contains("--tui: expected a terminal"), "{said}");
}
