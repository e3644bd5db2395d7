//! Folders, processes that end with the test, and waiting.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An empty folder, removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(
            "phaselab-processes-{}-{number}",
            std::process::id()
        ));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A folder with a fresh cluster at free ports.
    pub(crate) fn with_cluster(nodes: u16) -> Folder {
        let folder = Folder::new();
        let (count, port) = (nodes.to_string(), base_port(nodes));
        let made = folder.phaselab(&["init", "--nodes", &count, "--base-port", &port]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        folder
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.0.join("phaselab-cluster")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_phaselab"));
        command
            .args(words)
            .current_dir(&self.0)
            .env("NO_COLOR", "1");
        // What the environment of whoever runs the tests says is not what is tested.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PHASELAB_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub(crate) fn phaselab(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a command that must be refused: status 2 and one line on stderr, which is returned.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let output = self.phaselab(words);
        let said = text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {said}{}",
            text(&output.stdout)
        );
        assert!(
            output.stdout.is_empty(),
            "{words:?}: {}",
            text(&output.stdout)
        );
        assert!(
            said.starts_with("error: ") && said.trim_end().lines().count() == 1,
            "{words:?}: {said}"
        );
        said.trim_end().to_owned()
    }

    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.cluster().join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        let after = before.replacen(from, to, 1);
        assert_ne!(before, after, "{file} has {from}");
        std::fs::write(path, after).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A child that is killed when the test ends, however it ends. Its lines are read as they come.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    /// What came on stderr, for whoever asks why it ended.
    said: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(command: Command) -> Running {
        let (running, log) = Running::start_with_log(command);
        let said = Arc::clone(&running.said);
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        running
    }

    /// With its stderr, which is read by whoever starts it.
    pub(crate) fn start_with_log(mut command: Command) -> (Running, BufReader<ChildStderr>) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let running = Running {
            child,
            lines,
            seen: Vec::new(),
            said: Arc::default(),
        };
        (running, log)
    }

    pub(crate) fn node(folder: &Folder, id: u16) -> Running {
        let config = format!("phaselab-cluster/node-{id}.toml");
        let mut node =
            Running::start(folder.command(&["node", "--config", &config, "--until-stdin-closes"]));
        node.wait_for("ready");
        node
    }

    /// The first line that contains this.
    pub(crate) fn wait_for(&mut self, what: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.seen.iter().find(|line| line.contains(what)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("no line with \"{what}\" in {:?}", self.seen)
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => panic!(
                    "ended ({:?}) without a line with \"{what}\", after {:?} and on stderr: {}",
                    self.child.wait(),
                    self.seen,
                    self.said.lock().unwrap()
                ),
            }
        }
    }

    /// The lines that were waited for, or came before one that was.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.seen.iter().map(String::as_str)
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("process {} does not end", self.child.id());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}

/// Asks until the answer satisfies the test.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not happen in {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What each node says of each event: (phase, signed value), by node and event.
pub(crate) fn instances(folder: &Folder) -> BTreeMap<(u64, String), (String, Option<String>)> {
    let status = json(&folder.phaselab(&["status", "--json"]));
    let mut found = BTreeMap::new();
    for node in status["nodes"].as_array().unwrap() {
        for instance in node["report"]["instances"].as_array().into_iter().flatten() {
            let key = (
                node["id"].as_u64().unwrap(),
                instance["instance"].as_str().unwrap().to_owned(),
            );
            let signed = instance["signed"].as_str().map(str::to_owned);
            found.insert(
                key,
                (instance["phase"].as_str().unwrap().to_owned(), signed),
            );
        }
    }
    found
}

/// Addresses of the loopback with ports in a row that are free over UDP and TCP alike, below the ports that systems give
/// to outgoing connections and those that `init` chooses from. None is given twice, nor looked at again: looking at a port
/// takes it for a moment, from a node that is about to listen there.
pub(crate) fn free_addresses(count: u16) -> Vec<SocketAddr> {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 8_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    let is_free = |at: &SocketAddr| UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok();
    loop {
        let given = GIVEN.fetch_add(count, Ordering::Relaxed);
        assert!(given + count <= COUNT, "all ports were given");
        let first = (start + given) % COUNT;
        let row = first..first + count;
        let at = |step| SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + step));
        if row.end <= COUNT && row.clone().map(at).all(|at| is_free(&at)) {
            return row.map(at).collect();
        }
    }
}

/// `--base-port` of a cluster on this machine: a port for each node, and one for the world outside.
pub(crate) fn base_port(nodes: u16) -> String {
    free_addresses(nodes + 1)[0].port().to_string()
}
