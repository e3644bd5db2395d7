//! One node as a child process: its lines, its log, its end, and the signals that it is sent.
//!
//! Its standard input is a pipe from here, which closes with this process however it ends; a child whose pipe closes
//! stops. A stopped process (SIGSTOP) cannot notice. Where its group has nobody left in its session the system wakes it;
//! elsewhere nobody does, so a node asks for SIGCONT when its parent dies, wakes, and finds the pipe closed. For that the parent is the thread that started it: children are started on the thread that
//! lives as long as the command, never on one of the runtime's.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phaselab_core::types::NodeId;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::ENVIRONMENT_OF_ONE;
use crate::failure::{Failure, io_words};
use crate::log::{LogArgs, LogFormat};

/// How long a node may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
/// How long the rest of an ended node's log is waited for.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);
/// Lines of a node's log that are shown when it fails.
const LAST_WORDS_MAX: usize = 3;

/// What a child did.
#[derive(Debug)]
pub(super) enum Happened {
    /// It wrote a line to standard output.
    Said {
        node: NodeId,
        life: u32,
        line: String,
    },
    /// It wrote a line to its log; told only where a log is asked for.
    Logged { node: NodeId, line: String },
    /// Its output has ended.
    Ended { node: NodeId, life: u32 },
}

/// What to start.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// Which node.
    pub(super) node: NodeId,
    /// Its configuration file.
    pub(super) config: PathBuf,
    /// How it logs.
    pub(super) log: LogArgs,
    /// Whether its log is told line by line, and not only kept.
    pub(super) tell_log: bool,
}

/// A node as a child process.
#[derive(Debug)]
pub(super) struct Child {
    process: tokio::process::Child,
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// Ends when all of its log was read.
    log: Option<JoinHandle<()>>,
}

/// How a child ended.
#[derive(Debug)]
pub(super) struct Epitaph {
    /// In its own last words, if it had any.
    pub(super) why: String,
    /// Its input was wrong.
    pub(super) refused: bool,
}

/// A signal that a child is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Ends it now.
    Kill,
    /// Stops it in its tracks.
    Stop,
    /// Lets it go on.
    Continue,
}

impl Child {
    /// Starts a node; what it does is told under this life.
    pub(super) fn start(
        recipe: &Recipe,
        life: u32,
        events: &mpsc::Sender<Happened>,
    ) -> Result<Child, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::Failed(io_words(&error)))?;
        let mut command = Command::new(program);
        command
            .arg("node")
            .arg("--config")
            .arg(&recipe.config)
            .args(["--until-stdin-closes", "--no-chain-host", "--allow-faults"]);
        command.arg("--log").arg(&recipe.log.log);
        if recipe.log.log_format == LogFormat::Json {
            command.args(["--log-format", "json"]);
        }
        for name in ENVIRONMENT_OF_ONE {
            command.env_remove(name);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C reaches this process alone, which then stops its nodes one way only.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn().map_err(|error| {
            Failure::Failed(format!("cannot start a node: {}", io_words(&error)))
        })?;
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let node = recipe.node;
        if let Some(stdout) = process.stdout.take() {
            let events = events.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let _ = events.send(Happened::Said { node, life, line }).await;
                }
                let _ = events.send(Happened::Ended { node, life }).await;
            });
        }
        let log = process.stderr.take().map(|stderr| {
            let file = recipe.config.with_extension("log");
            let tell = recipe.tell_log.then(|| (node, events.clone()));
            tokio::spawn(keep_log(stderr, file, last_words.clone(), tell))
        });
        Ok(Child {
            process,
            last_words,
            log,
        })
    }

    /// Sends a signal, unless it has ended already.
    pub(super) fn signal(&self, signal: Signal) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal as Sent, kill_process};
            let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
            let sent = match signal {
                Signal::Kill => Sent::KILL,
                Signal::Stop => Sent::STOP,
                Signal::Continue => Sent::CONT,
            };
            if let Some(pid) = pid.and_then(Pid::from_raw) {
                // Not waited for yet, so the number is still its own; it may only be dead.
                let _ = kill_process(pid, sent);
            }
        }
        #[cfg(not(unix))]
        let _ = signal;
    }

    /// Closes its pipe, on which it stops by itself.
    pub(super) fn ask_to_stop(&mut self) {
        drop(self.process.stdin.take());
        // One that was stopped in its tracks would not notice.
        self.signal(Signal::Continue);
    }

    /// Waits for its end, and kills it if that takes too long.
    pub(super) async fn stopped(&mut self) {
        if timeout(STOP_TIMEOUT, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }

    /// Why it ended, in its own last words. Can be given up and asked again.
    pub(super) async fn epitaph(&mut self) -> Epitaph {
        let status = timeout(STOP_TIMEOUT, self.process.wait())
            .await
            .ok()
            .and_then(Result::ok);
        // Its output ends before its log is read.
        if let Some(log) = &mut self.log {
            let _ = timeout(LOG_TIMEOUT, log).await;
            self.log = None;
        }
        let said = self
            .last_words
            .lock()
            .map(|words| words.iter().cloned().collect::<Vec<_>>())
            .unwrap_or_default();
        let error = said.iter().find_map(|line| line.strip_prefix("error: "));
        let why = match (error, status) {
            (Some(error), _) => error.to_owned(),
            (None, Some(status)) => in_words(status),
            (None, None) => "ended".to_owned(),
        };
        Epitaph {
            why,
            refused: status.and_then(|status| status.code()) == Some(2),
        }
    }
}

fn in_words(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("killed by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("exited with status {code}"),
        None => "ended".to_owned(),
    }
}

/// Appends a child's log to a file beside its configuration, and keeps the last lines.
async fn keep_log(
    stderr: tokio::process::ChildStderr,
    path: impl AsRef<Path>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    tell: Option<(NodeId, mpsc::Sender<Happened>)>,
) {
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).await.ok();
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(file) = &mut file {
            let _ = tokio::io::AsyncWriteExt::write_all(file, format!("{line}\n").as_bytes()).await;
            let _ = tokio::io::AsyncWriteExt::flush(file).await;
        }
        if let Some((node, events)) = &tell {
            // A screen that does not keep up misses lines; the file has them all.
            let line = line.clone();
            let _ = events.try_send(Happened::Logged { node: *node, line });
        }
        if let Ok(mut words) = last_words.lock() {
            if words.len() == LAST_WORDS_MAX {
                words.pop_front();
            }
            words.push_back(line);
        }
    }
}
