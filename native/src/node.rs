//! `phaselab node`: one member of a cluster as a process.
//!
//! Reads configuration, genesis and store; starts network, control API and chain link; and hands all of them to the
//! event loop, which owns the replica.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use phaselab_core::crypto::{Crypto, Signer};
use phaselab_core::event::Event;
use phaselab_core::gateway::Invite;
use phaselab_core::protocol::ReplyView;
use phaselab_core::replica::Replica;
use phaselab_core::shards::ReplyParts;
use phaselab_core::types::{ClientId, NodeId, Time};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::config::{NodeConfig, Overrides};
use crate::failure::{Failure, Outcome};
use crate::init::entropy;
use crate::metrics::{Sample, listener};
use crate::net::faults::Faults;
use crate::net::gateway::{Gateway, GatewayAddress, Member};
use crate::net::{Bound, Net, NetConfig};
use crate::recording::Recorder;
use crate::serve::lobby::parse_invite;
use crate::store::{Store, StoreError};
use crate::terminal::Screen;
use crate::{chain, control, log, signals};

mod event_loop;
mod join;
pub(crate) mod report;
mod watch;

use event_loop::{EventLoop, Outside};
pub(crate) use report::{ChainReport, NodeReport};
use watch::{Seen, Watch};

/// Options of `node`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node's configuration, as `phaselab init` writes it
    #[arg(
        long,
        value_name = "FILE",
        env = "PHASELAB_CONFIG",
        required_unless_present = "join"
    )]
    config: Option<PathBuf>,
    /// Join the lobby of a hybrid cluster: the address that `phaselab serve --lobby` printed
    #[arg(long, value_name = "URL", requires = "invite")]
    join: Option<GatewayAddress>,
    /// The invite to join with, good once
    #[arg(long, value_name = "HEX", requires = "join", value_parser = parse_invite)]
    invite: Option<Invite>,
    /// The folder of a node that joins: its key, its votes and its configuration
    #[arg(
        long,
        value_name = "DIR",
        requires = "join",
        default_value = "phaselab-node"
    )]
    dir: PathBuf,
    #[command(flatten)]
    instead: Overrides,
    /// Refuse to start unless the configuration is of this member
    #[arg(long, value_name = "N")]
    validator_id: Option<u16>,
    /// The member's weight, for protocols that weigh votes; at least 1
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u64).range(1..))]
    collateral: Option<u64>,
    /// Stop when standard input is closed, as when the process that started this one is gone
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
    /// Take faults of the network through the control API, as `phaselab cluster` and tests need it
    #[arg(long, hide = true)]
    allow_faults: bool,
    /// Someone else hosts the world outside
    #[arg(long, hide = true)]
    no_chain_host: bool,
}

/// What happens to a node.
#[derive(Debug)]
pub(crate) enum Input {
    /// A peer's connection brought bytes.
    Packet {
        /// Whose connection.
        peer: NodeId,
        /// The packet, unopened.
        bytes: Vec<u8>,
    },
    /// A peer's connection came or went.
    Peer {
        /// Whose.
        peer: NodeId,
        /// Which of the two.
        up: bool,
    },
    /// A client asks; each reply goes to it.
    Submit {
        /// Who.
        client: ClientId,
        /// Its request number.
        number: u64,
        /// The bytes of the protocol's `Request`.
        request: Vec<u8>,
        /// Where replies go.
        replies: mpsc::Sender<Answer>,
    },
    /// An observer wants to draw the node.
    Look(oneshot::Sender<Seen>),
    /// Someone wants to see the node.
    Status(report::Scope, oneshot::Sender<NodeReport>),
    /// Someone wants what it counts and holds.
    Measure(oneshot::Sender<Sample>),
    /// The world outside pushes a fact.
    Fact(Vec<u8>),
    /// The link to the world outside came or went.
    Chain {
        /// Which of the two.
        up: bool,
    },
}

/// A reply to a client.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What it says.
    pub(crate) view: ReplyView,
    /// The decided value's letter at this node, where it has one.
    pub(crate) label: Option<String>,
    /// What else it says.
    pub(crate) parts: ReplyParts,
}

/// The outcome of a reply of a member that is not the one to ask.
pub(crate) const NOT_LEADER: &str = "not-leader";

impl Answer {
    /// Whether somebody else is to be asked: nothing follows from here.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.view.outcome == NOT_LEADER || self.parts.ask_group.is_some()
    }
}

/// Inputs that wait; senders wait when there are more.
const INBOX_MAX: usize = 1024;
/// Ports that are tried where any will do, until one is free in UDP and TCP.
const FREE_PORTS_TRIED: u32 = 16;
/// How long a starting node waits for its peers before it tells who is there.
const GREETING_WAIT: Duration = Duration::from_secs(3);
/// For how long it tells once more when the last of them has come.
const LATECOMERS_WAIT: Duration = Duration::from_secs(60);

/// Runs a node until it is asked to stop.
pub(crate) fn run(args: &NodeArgs) -> Outcome {
    if args.until_stdin_closes {
        signals::wake_when_parent_dies();
    }
    let runtime = runtime()?;
    let path = match (&args.join, &args.invite, &args.config) {
        (Some(address), Some(invite), _) => runtime.block_on(async {
            tokio::select! {
                joined = join::join(address, invite, &args.dir) => joined.map(Some),
                () = stop_signal(args.until_stdin_closes) => Ok(None),
            }
        })?,
        (_, _, path) => path.clone(),
    };
    // Asked to stop in the lobby.
    let Some(path) = path else { return Ok(()) };
    let config = NodeConfig::load_with(&path, &args.instead)?;
    check_overrides(args, &config)?;
    log::start(&config.log);
    log::speak_as(config.id);
    runtime.block_on(run_node(args, config))
}

/// The runtime of commands that use the network.
///
/// # Errors
/// If the system gives no threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    built.map_err(|error| Failure::Failed(format!("cannot start: {error}")))
}

fn check_overrides(args: &NodeArgs, config: &NodeConfig) -> Outcome {
    match args.validator_id {
        Some(given) if given != config.id.0 => Err(Failure::Input(format!(
            "--validator-id {given}: {} is of node {}; expected that",
            config.path.display(),
            config.id.0
        ))),
        _ => Ok(()),
    }
}

async fn run_node(args: &NodeArgs, config: NodeConfig) -> Outcome {
    signals::outlive_file_limits();
    let wrong_store = |error: StoreError| match error.is_of_disk() {
        true => Failure::Failed(error.to_string()),
        false => Failure::Input(error.to_string()),
    };
    let store = Store::open(&config.store, config.genesis.protocol).map_err(wrong_store)?;
    let secret = store.secret().map_err(wrong_store)?;
    let rows = store.rows().map_err(wrong_store)?;
    let genesis = &config.genesis;
    // Built first, so that a wrong genesis or key binds no store.
    let recorder = Recorder::new(&config.recording);
    let signer = recorder.witness(Signer::from_seed(Crypto::Ed25519, &secret));
    let seed = entropy()?;
    let replica = config.replica_of(signer, &rows, seed)?;
    store.bind(&genesis.genesis.hash()).map_err(wrong_store)?;

    let (inbox, inputs) = mpsc::channel(INBOX_MAX);
    let members = genesis
        .genesis
        .members
        .iter()
        .filter(|member| member.id != config.id);
    let members: BTreeMap<_, _> = members
        .map(|member| {
            (
                member.id,
                (member.key, config.peers.get(&member.id).copied()),
            )
        })
        .collect();
    let faults = match args.allow_faults {
        true => Some(Arc::new(Faults::new(
            config.id,
            genesis.ids(),
            genesis.protocol,
            u64::from_le_bytes(entropy()?[..8].try_into().expect("eight bytes")),
        ))),
        false => None,
    };
    let net_config = NetConfig {
        secret,
        listen: config.listen,
        members,
        options: config.network.clone(),
        faults: faults.clone(),
    };
    let (bound, api) = bind(&net_config).await?;
    let listening = bound.listening();
    let around = start_around(args, &config, api, replica.as_ref(), &inbox, faults).await;
    let Around {
        control,
        host,
        metrics,
    } = match around {
        Ok(around) => around,
        Err(failure) => {
            bound.close().await;
            return Err(failure);
        }
    };
    let net = Arc::new(bound.start(&net_config, inbox.clone()));
    let reports = config.chain.as_ref().map(|chain| {
        chain::link::start(
            chain.address,
            genesis.genesis.hash(),
            config.id,
            Signer::from_seed(Crypto::Ed25519, &secret),
            inbox.clone(),
        )
    });

    // Before anybody is told that it runs.
    let stop = stop_signal(args.until_stdin_closes);
    let mut screen = Screen::stdout();
    screen.line(&format!(
        "node {}  pid {}  {listening}  ready",
        config.id.0,
        std::process::id()
    ));
    let gateway = config.gateway.clone().map(|address| {
        let member = Member {
            address,
            node: config.id,
            genesis: genesis.genesis.hash(),
            signer: Signer::from_seed(Crypto::Ed25519, &secret),
        };
        Arc::new(Gateway::start(member, inbox.clone()))
    });
    let watch = gateway.clone().map(|gateway| {
        let watch = Arc::new(Watch::default());
        tokio::spawn(watch.clone().report(config.id.0, gateway, inbox.clone()));
        watch
    });
    let outside = Wires {
        net: net.clone(),
        reports,
        gateway,
        watch,
    };
    let event_loop = EventLoop::new(
        replica,
        &genesis.genesis.members,
        Arc::new(store),
        outside,
        genesis.protocol,
    )
    .recorded(|replica, started| recorder.start(&config, replica, &rows, seed, started));
    drop(rows);
    let _metrics = metrics.map(|bound| {
        screen.line(&format!(
            "node {}  metrics http://{}/metrics",
            config.id.0,
            bound.address()
        ));
        bound.start(event_loop.metrics(), inbox.clone(), config.store.clone())
    });
    greet(inbox, event_loop.recovered());
    let ended = event_loop.run(inputs, stop).await;

    control.stop();
    if let Some(host) = host {
        host.stop().await;
    }
    if let Some(net) = Arc::into_inner(net) {
        net.close().await;
    }
    ended
}

/// Takes the address for peers (UDP) and, for the control API, the same port of the loopback (TCP). Where any free port
/// is asked for, one of UDP may be some connection's in TCP: then another is.
async fn bind(config: &NetConfig) -> Result<(Bound, (SocketAddr, TcpListener)), Failure> {
    let mut attempts = if config.listen.port() == 0 {
        FREE_PORTS_TRIED
    } else {
        1
    };
    loop {
        let bound = Bound::bind(config).await?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, bound.listening().port()));
        attempts -= 1;
        match control::bind(address).await {
            Ok(listener) => return Ok((bound, (address, listener))),
            Err(failure) => {
                bound.close().await;
                if attempts == 0 {
                    return Err(failure);
                }
            }
        }
    }
}

/// What stands around a node and may find its address taken.
struct Around {
    control: control::Control,
    host: Option<chain::host::Host>,
    metrics: Option<listener::Bound>,
}

/// Starts it, before any peer is dialled: a node that cannot start leaves nothing behind.
async fn start_around(
    args: &NodeArgs,
    config: &NodeConfig,
    api: (SocketAddr, TcpListener),
    replica: &dyn Replica,
    inbox: &mpsc::Sender<Input>,
    faults: Option<Arc<Faults>>,
) -> Result<Around, Failure> {
    let control = control::start(api, config, inbox.clone(), faults)?;
    let metrics = match config.metrics {
        Some(address) => Some(listener::bind(address).await?),
        None => None,
    };
    let host = match &config.chain {
        Some(chain) if chain.host && !args.no_chain_host => {
            let state = config.chain_file();
            let paid = chain::host::paid_for(&config.store, replica);
            chain::host::start(chain.listens_at(), &config.genesis, &state, paid).await?
        }
        _ => None,
    };
    Ok(Around {
        control,
        host,
        metrics,
    })
}

/// Listens from the call on.
fn stop_signal(until_stdin_closes: bool) -> impl Future<Output = ()> {
    let asked = signals::asked_to_stop();
    async move {
        tokio::select! {
            () = asked => {}
            () = signals::parent_gone(), if until_stdin_closes => {}
        }
    }
}

/// Prints what was recovered and who is there, once all peers are or have had the time.
fn greet(inbox: mpsc::Sender<Input>, recovered: String) {
    tokio::spawn(async move {
        let since = tokio::time::Instant::now();
        let mut greeting = Some(recovered);
        let mut joined = 0;
        loop {
            let (answer, report) = oneshot::channel();
            if inbox
                .send(Input::Status(report::Scope::Summary, answer))
                .await
                .is_err()
            {
                return;
            }
            let Ok(report) = report.await else { return };
            joined = report
                .peers
                .iter()
                .filter(|peer| peer.connected)
                .count()
                .max(joined);
            let (all, waited) = (joined == report.peers.len(), since.elapsed());
            if all || (greeting.is_some() && waited >= GREETING_WAIT) {
                let peers = if joined == 1 { "peer" } else { "peers" };
                let first = greeting.take().map(|recovered| format!("{recovered}; "));
                let first = first.unwrap_or_default();
                Screen::stdout().line(&format!("{first}joined {joined} {peers}"));
            }
            if all || waited >= LATECOMERS_WAIT {
                return;
            }
            let pause = if greeting.is_some() { 20 } else { 1_000 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    });
}

/// What leaves a node, over real wires.
#[derive(Debug)]
struct Wires {
    net: Arc<Net>,
    reports: Option<mpsc::Sender<Vec<u8>>>,
    gateway: Option<Arc<Gateway>>,
    watch: Option<Arc<Watch>>,
}

impl Outside for Wires {
    fn send(&self, to: NodeId, packet: &Arc<[u8]>) {
        match &self.gateway {
            Some(gateway) if !self.net.reaches(to) => gateway.send(to, packet),
            _ => self.net.send(to, packet),
        }
    }

    fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    fn show(&self, at: Time, events: &[Event]) {
        if let Some(watch) = &self.watch {
            watch.hear(at, events);
        }
    }

    fn report(&self, report: Vec<u8>) {
        if let Some(gateway) = &self.gateway {
            return gateway.report(report);
        }
        if let Some(reports) = &self.reports {
            // A full queue loses the report; protocols report again.
            let _ = reports.try_send(report);
        }
    }

    fn peers(&self) -> Vec<crate::net::PeerState> {
        let mut peers = self.net.peers();
        if let Some(gateway) = &self.gateway {
            for peer in &mut peers {
                peer.connected |= gateway.reaches(peer.id);
            }
        }
        peers
    }
}
