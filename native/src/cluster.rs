//! `phaselab cluster`: a local cluster of real processes, and none of them left behind.
//!
//! Each node is a child whose standard input is a pipe from here. The pipe closes with this process however it ends, and
//! a child whose pipe closes stops; so even SIGKILL leaves nothing running. The world outside is hosted here.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Args;
use phaselab_core::types::NodeId;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cli::choose::protocol;
use crate::config::{NodeConfig, in_folder};
use crate::failure::{Failure, Outcome, io_words};
use crate::init::{self, BASE_PORT, DIR_DEFAULT, InitArgs};
use crate::log::{self, LogArgs};
use crate::node::runtime;
use crate::store::Store;
use crate::terminal::Screen;
use crate::{chain, serve, signals};

/// Options of `cluster`.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Which protocol a new cluster runs
    #[arg(long, value_name = "P", value_parser = protocol, default_value = "two-phase")]
    protocol: phaselab_core::protocol::ProtocolKind,
    /// How many nodes a new cluster has; 3 unless told
    #[arg(long, value_name = "N")]
    nodes: Option<u16>,
    /// The folder of its files; a cluster that is there goes on from its stores
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Node k of a new cluster listens at this port + k - 1; 0 takes free ones
    #[arg(long, value_name = "PORT", default_value_t = BASE_PORT)]
    base_port: u16,
    /// The page's port; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = serve::PAGE_PORT)]
    page_port: u16,
    #[command(flatten)]
    log: LogArgs,
}

const NODES_DEFAULT: u16 = 3;
/// How long a node may take to say that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a node may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);
/// How long the rest of an ended node's log is waited for.
const LOG_TIMEOUT: Duration = Duration::from_secs(1);
/// Lines of a node's log that are shown when it fails.
const LAST_WORDS_MAX: usize = 3;

/// Starts the cluster and stays until it is asked to stop.
pub(crate) fn run(args: &ClusterArgs) -> Outcome {
    log::start(&LogArgs {
        log: "warn".to_owned(),
        ..args.log.clone()
    });
    let configs = prepare(args)?;
    runtime()?.block_on(run_cluster(args, configs))
}

/// The configuration of every node, written first if there is none.
fn prepare(args: &ClusterArgs) -> Result<Vec<NodeConfig>, Failure> {
    if in_folder(&args.dir).is_err() {
        init::write_cluster(&InitArgs {
            protocol: args.protocol,
            nodes: args.nodes.unwrap_or(NODES_DEFAULT),
            dir: args.dir.clone(),
            base_port: args.base_port,
        })?;
    }
    let configs: Vec<NodeConfig> = in_folder(&args.dir)?
        .values()
        .map(|path| NodeConfig::load(path))
        .collect::<Result<_, _>>()?;
    let there = configs[0].genesis.protocol;
    if there != args.protocol
        || args
            .nodes
            .is_some_and(|nodes| usize::from(nodes) != configs.len())
    {
        return Err(Failure::in_file(
            &args.dir,
            format!(
                "a cluster of {} {} nodes is here already; choose another --dir",
                configs.len(),
                there.name()
            ),
        ));
    }
    Ok(configs)
}

async fn run_cluster(args: &ClusterArgs, configs: Vec<NodeConfig>) -> Outcome {
    let mut stop = pin!(signals::asked_to_stop());
    let chain_address = configs
        .iter()
        .find_map(|config| config.chain.as_ref())
        .map(|chain| chain.address);
    let host = match chain_address {
        Some(address) => {
            let state = configs[0].chain_file();
            let paid = paid_for(&configs, &state);
            chain::host::start(address, &configs[0].genesis, &state, paid).await?
        }
        None => None,
    };
    let mut screen = Screen::stdout();
    let (events, mut happened) = mpsc::channel(64);
    let mut children = Vec::new();
    for config in &configs {
        children.push(Node::start(config, &args.log, events.clone())?);
    }
    let result = async {
        match await_ready(&mut children, &mut happened, stop.as_mut(), &mut screen).await? {
            Started::AskedToStop => return Ok(()),
            Started::Ready => {}
        }
        let page = start_page(args, &mut screen).await;
        let ended = attend(&mut children, &mut happened, stop.as_mut(), &mut screen).await;
        drop(page);
        ended
    }
    .await;
    stop_all(children).await;
    if let Some(host) = host {
        host.stop().await;
    }
    result
}

/// What nodes hold that the chain has paid for; asked only when the chain's state is missing.
fn paid_for(configs: &[NodeConfig], state: &Path) -> Option<String> {
    let held = |config: &NodeConfig| {
        // A store that cannot be read is its node's to refuse.
        let store = Store::open(&config.store, config.genesis.protocol).ok()?;
        let replica = config
            .replica(&store.secret().ok()?, &store.rows().ok()?)
            .ok()?;
        chain::host::paid_for(&config.store, replica.as_ref())
    };
    (!state.exists())
        .then(|| configs.iter().find_map(held))
        .flatten()
}

/// How the start went.
enum Started {
    Ready,
    AskedToStop,
}

/// What a child did.
#[derive(Debug)]
enum Happened {
    Said { node: NodeId, line: String },
    Ended { node: NodeId },
}

/// A node as a child process.
struct Node {
    id: NodeId,
    config: PathBuf,
    child: Child,
    ready: bool,
    ended: bool,
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// Ends when all of its log was read.
    log: Option<JoinHandle<()>>,
}

/// How a child ended.
struct Epitaph {
    why: String,
    /// Its input was wrong.
    refused: bool,
}

impl Node {
    fn start(
        config: &NodeConfig,
        log: &LogArgs,
        events: mpsc::Sender<Happened>,
    ) -> Result<Node, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::Failed(io_words(&error)))?;
        let mut command = Command::new(program);
        command
            .arg("node")
            .arg("--config")
            .arg(&config.path)
            .args(["--until-stdin-closes", "--no-chain-host"]);
        command.arg("--log").arg(&log.log);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C reaches this process alone, which then stops its nodes one way only.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            Failure::Failed(format!("cannot start a node: {}", io_words(&error)))
        })?;
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let node = config.id;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(async move {
                let mut lines = BufReader::new(stdout).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let _ = events.send(Happened::Said { node, line }).await;
                }
                let _ = events.send(Happened::Ended { node }).await;
            });
        }
        let log = child.stderr.take().map(|stderr| {
            let file = config.path.with_extension("log");
            tokio::spawn(keep_log(stderr, file, last_words.clone()))
        });
        Ok(Node {
            id: node,
            config: config.path.clone(),
            child,
            ready: false,
            ended: false,
            last_words,
            log,
        })
    }

    /// Why it ended, in its own last words.
    async fn epitaph(&mut self) -> Epitaph {
        let status = timeout(STOP_TIMEOUT, self.child.wait())
            .await
            .ok()
            .and_then(Result::ok);
        // Its output ends before its log is read.
        if let Some(log) = self.log.take() {
            let _ = timeout(LOG_TIMEOUT, log).await;
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
    path: PathBuf,
    last_words: Arc<Mutex<VecDeque<String>>>,
) {
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).await.ok();
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(file) = &mut file {
            let _ = tokio::io::AsyncWriteExt::write_all(file, format!("{line}\n").as_bytes()).await;
            let _ = tokio::io::AsyncWriteExt::flush(file).await;
        }
        if let Ok(mut words) = last_words.lock() {
            if words.len() == LAST_WORDS_MAX {
                words.pop_front();
            }
            words.push_back(line);
        }
    }
}

/// Waits until every node said that it is ready; prints the lines in the order of nodes.
async fn await_ready(
    children: &mut [Node],
    happened: &mut mpsc::Receiver<Happened>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    screen: &mut Screen,
) -> Result<Started, Failure> {
    let deadline = tokio::time::Instant::now() + READY_TIMEOUT;
    let mut ready = BTreeMap::new();
    let mut later = Vec::new();
    while children.iter().any(|node| !node.ready) {
        let event = tokio::select! {
            event = tokio::time::timeout_at(deadline, happened.recv()) => event,
            () = &mut stop => return Ok(Started::AskedToStop),
        };
        match event {
            Ok(Some(Happened::Said { node, line })) => {
                if line.ends_with("ready")
                    && let Some(child) = children.iter_mut().find(|child| child.id == node)
                {
                    child.ready = true;
                    ready.insert(node, line);
                } else {
                    later.push((node, line));
                }
            }
            Ok(Some(Happened::Ended { node })) => {
                let Some(child) = children.iter_mut().find(|child| child.id == node) else {
                    continue;
                };
                let Epitaph { why, refused } = child.epitaph().await;
                let what = format!("node {} did not start: {why}", node.0);
                return Err(if refused {
                    Failure::Input(what)
                } else {
                    Failure::Failed(what)
                });
            }
            Ok(None) | Err(_) => {
                return Err(Failure::Failed(
                    "the nodes did not become ready in time".to_owned(),
                ));
            }
        }
    }
    for (node, line) in ready.into_iter().chain(later) {
        say(screen, node, &line);
    }
    Ok(Started::Ready)
}

/// Prints what nodes say until a signal comes, or none is left.
async fn attend(
    children: &mut [Node],
    happened: &mut mpsc::Receiver<Happened>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    screen: &mut Screen,
) -> Outcome {
    loop {
        let event = tokio::select! {
            event = happened.recv() => event,
            () = &mut stop => return Ok(()),
        };
        match event {
            Some(Happened::Said { node, line }) => say(screen, node, &line),
            Some(Happened::Ended { node }) => {
                let Some(child) = children.iter_mut().find(|child| child.id == node) else {
                    continue;
                };
                let Epitaph { why, .. } = child.epitaph().await;
                child.ended = true;
                let config = child.config.display();
                screen.line(&format!(
                    "node {}  {why}; again: phaselab node --config {config}",
                    node.0
                ));
                if children.iter().all(|child| child.ended) {
                    return Err(Failure::Failed("every node has ended".to_owned()));
                }
            }
            None => return Ok(()),
        }
    }
}

/// A node's own line begins with its name already, or is given it.
fn say(screen: &mut Screen, node: NodeId, line: &str) {
    let name = format!("node {}  ", node.0);
    screen.line(&if line.starts_with(&name) {
        line.to_owned()
    } else {
        format!("{name}{line}")
    });
}

/// Serves the page from here if it is built.
async fn start_page(
    args: &ClusterArgs,
    screen: &mut Screen,
) -> Option<tokio::task::JoinHandle<()>> {
    let dir = Path::new(serve::PAGE_DIR);
    if !serve::is_page(dir) {
        screen.line("page    not built yet: `npm start` builds and serves it    stop: Ctrl-C");
        return None;
    }
    match serve::start(args.page_port, dir).await {
        Ok((listening, serving)) => {
            screen.line(&format!(
                "page    http://localhost:{}/    stop: Ctrl-C",
                listening.port()
            ));
            Some(tokio::spawn(serving))
        }
        Err(_) => {
            screen.line(&format!(
                "page    port {} is taken; --page-port chooses another    stop: Ctrl-C",
                args.page_port
            ));
            None
        }
    }
}

/// Closes every pipe, waits, and kills what does not stop.
async fn stop_all(mut children: Vec<Node>) {
    for node in &mut children {
        drop(node.child.stdin.take());
    }
    for node in &mut children {
        if timeout(STOP_TIMEOUT, node.child.wait()).await.is_err() {
            let _ = node.child.kill().await;
        }
    }
}
