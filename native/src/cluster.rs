//! `phaselab cluster`: a local cluster of real processes, and none of them left behind.
//!
//! ```text
//! cluster.rs             the command: files, the world outside, the page; lines on a terminal
//! cluster/supervise.rs   the nodes as one thing: start, kill, pause, go on, start again, stop
//! cluster/child.rs       one child process
//! cluster/tui.rs         the same on a whole screen, with keys
//! cluster/chaos.rs       the same under a random schedule of faults, judged from outside
//! ```
//!
//! Each node is a child whose standard input is a pipe from here. The pipe closes with this process however it ends, and
//! a child whose pipe closes stops; so even SIGKILL leaves nothing running. The world outside is hosted here.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::Duration;

use clap::Args;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{GroupId, NodeId};

use crate::cli::choose::protocol;
use crate::config::{ChainConfig, NodeConfig, in_folder};
use crate::failure::{Failure, Outcome};
use crate::init::{self, BASE_PORT, DIR_DEFAULT, LocalCluster};
use crate::log::{self, LogArgs};
use crate::node::runtime;
use crate::store::Store;
use crate::terminal::Screen;
use crate::{chain, serve, signals};

pub(crate) mod chaos;
mod child;
mod supervise;
#[cfg(feature = "tui")]
mod tui;

use supervise::{Nodes, Notice};

/// Options of `cluster`.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Which protocol a new cluster runs; two-phase unless told
    #[arg(long, value_name = "P", value_parser = protocol)]
    protocol: Option<ProtocolKind>,
    /// How many nodes a new cluster has; 3 unless told
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=init::NODES_MAX))]
    nodes: Option<u16>,
    /// In how many clusters the nodes are, for a protocol that has clusters; one for every three nodes unless told
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    clusters: Option<u16>,
    /// The folder of its files; a cluster that is there goes on from its stores
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Node k of a new cluster listens at this port + k - 1; 0 takes free ones
    #[arg(long, value_name = "PORT", default_value_t = BASE_PORT)]
    base_port: u16,
    /// The page's port; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = serve::PAGE_PORT)]
    page_port: u16,
    /// Show phases, meters, links and log on the whole screen, and take faults as keys
    #[cfg(feature = "tui")]
    #[arg(long)]
    tui: bool,
    #[command(flatten)]
    log: LogArgs,
}

const NODES_DEFAULT: u16 = 3;
/// How long nodes may take to say that they are ready.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts the cluster and stays until it is asked to stop.
pub(crate) fn run(args: &ClusterArgs) -> Outcome {
    #[cfg(feature = "tui")]
    if args.tui {
        return tui::run(&prepare(args)?, &args.log, args.page_port);
    }
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
        init::write_cluster(&LocalCluster {
            protocol: args.protocol.unwrap_or(ProtocolKind::TwoPhase),
            nodes: args.nodes.unwrap_or(NODES_DEFAULT),
            clusters: args.clusters,
            dir: args.dir.clone(),
            base_port: args.base_port,
        })?;
    }
    let configs = configs_in(&args.dir)?;
    let genesis = &configs[0].genesis;
    let there = genesis.protocol;
    let groups = genesis.genesis.members.iter().map(|member| member.group);
    let groups: BTreeSet<GroupId> = groups.collect();
    let is_other = args.protocol.is_some_and(|told| told != there)
        || args
            .nodes
            .is_some_and(|nodes| usize::from(nodes) != configs.len())
        || args
            .clusters
            .is_some_and(|clusters| usize::from(clusters) != groups.len());
    if is_other {
        let clusters = match groups.len() {
            1 => String::new(),
            more => format!(" in {more} clusters"),
        };
        return Err(Failure::in_file(
            &args.dir,
            format!(
                "a cluster of {} {} nodes{clusters} is here already; choose another --dir",
                configs.len(),
                there.name()
            ),
        ));
    }
    Ok(configs)
}

/// The configurations of a folder: at least one.
fn configs_in(dir: &Path) -> Result<Vec<NodeConfig>, Failure> {
    in_folder(dir)?
        .values()
        .map(|path| NodeConfig::load(path))
        .collect()
}

async fn run_cluster(args: &ClusterArgs, configs: Vec<NodeConfig>) -> Outcome {
    let mut stop = pin!(signals::asked_to_stop());
    let host = host_chain(&configs).await?;
    let mut screen = Screen::stdout();
    let mut nodes = Nodes::start(&configs, &args.log, false)?;
    let result = async {
        match await_ready(&mut nodes, stop.as_mut()).await? {
            Started::AskedToStop => return Ok(()),
            Started::Ready(lines) => lines
                .iter()
                .for_each(|(node, line)| say(&mut screen, *node, line)),
        }
        let page = start_page(args, &mut screen).await;
        let ended = attend(&mut nodes, stop.as_mut(), &mut screen).await;
        drop(page);
        ended
    }
    .await;
    nodes.stop().await;
    if let Some(host) = host {
        host.stop().await;
    }
    result
}

/// Hosts the world outside, if the cluster has one and nobody else hosts it.
async fn host_chain(configs: &[NodeConfig]) -> Result<Option<chain::host::Host>, Failure> {
    let chain = configs.iter().find_map(|config| config.chain.as_ref());
    let Some(address) = chain.map(ChainConfig::listens_at) else {
        return Ok(None);
    };
    let state = configs[0].chain_file();
    let paid = paid_for(configs, &state);
    chain::host::start(address, &configs[0].genesis, &state, paid).await
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
    /// What each node said: that it is ready first, in the order of nodes.
    Ready(Vec<(NodeId, String)>),
    AskedToStop,
}

/// Waits until every node said that it is ready.
async fn await_ready(
    nodes: &mut Nodes,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Started, Failure> {
    let deadline = tokio::time::Instant::now() + READY_TIMEOUT;
    let mut ready = BTreeMap::new();
    let mut later = Vec::new();
    while ready.len() < nodes.ids().len() {
        let notice = tokio::select! {
            notice = tokio::time::timeout_at(deadline, nodes.next()) => notice,
            () = &mut stop => return Ok(Started::AskedToStop),
        };
        match notice {
            Ok(Notice::Ready { node, line }) => {
                ready.insert(node, line);
            }
            Ok(Notice::Said { node, line }) => later.push((node, line)),
            Ok(Notice::Logged { .. }) => {}
            Ok(Notice::Ended { node, why, refused }) => {
                let what = format!("node {} did not start: {why}", node.0);
                return Err(if refused {
                    Failure::Input(what)
                } else {
                    Failure::Failed(what)
                });
            }
            Err(_) => {
                return Err(Failure::Failed(
                    "the nodes did not become ready in time".to_owned(),
                ));
            }
        }
    }
    Ok(Started::Ready(ready.into_iter().chain(later).collect()))
}

/// Prints what nodes say until a signal comes, or none is left.
async fn attend(
    nodes: &mut Nodes,
    mut stop: Pin<&mut impl Future<Output = ()>>,
    screen: &mut Screen,
) -> Outcome {
    loop {
        let notice = tokio::select! {
            notice = nodes.next() => notice,
            () = &mut stop => return Ok(()),
        };
        match notice {
            Notice::Ready { node, line } | Notice::Said { node, line } => say(screen, node, &line),
            Notice::Logged { .. } => {}
            Notice::Ended { node, why, .. } => {
                let config = nodes.config(node);
                screen.line(&format!(
                    "node {}  {why}; again: phaselab node --config {config}",
                    node.0
                ));
                if nodes.all_ended() {
                    return Err(Failure::Failed("every node has ended".to_owned()));
                }
            }
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
