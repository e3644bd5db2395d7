//! `phaselab serve`: the page; with `--lobby` also the lobby and the gateway of a hybrid cluster.
//!
//! ```text
//! browser tab ---- page, worker --ws--+
//!                                     +-- door -> gateway -> hub -- lobby, then genesis and who is connected
//! phaselab node --join ---------------+                       |
//!                                                             +-- the world outside (chain.state)
//! ```
//!
//! Each participant makes its key where it keeps its votes, and brings the public half with a one-time invite. Once
//! enough have joined, genesis is written and never changes. From then on each keeps one WebSocket to the gateway, over
//! which packets go that their sender has sealed: the gateway can delay them, and never forge one. The simulated world
//! outside lives in the gateway's process and is trusted as the world is.
//!
//! | module | subject |
//! |---|---|
//! | [`door`] | sockets: how many, and how long they may say nothing |
//! | [`page`] | static files |
//! | [`lobby`] | invites and seats: a state machine without I/O |
//! | [`files`] | the folder: genesis, written once |
//! | [`limits`] | token bucket and bounded queue |
//! | [`hub`] | who is connected, and what passes between them |
//! | [`admission`] | Host and Origin |
//! | [`gateway`] | `/ws`: handshake, guests, members |
//! | [`counts`] | what happened, in numbers |

use std::io::BufRead;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::routing::get;
use clap::Args;
use phaselab_core::protocol::ProtocolKind;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cli::choose::protocol;
use crate::failure::{Failure, Outcome, io_words};
use crate::init::entropy;
use crate::log::{self, LogArgs};
use crate::node::runtime;
use crate::signals;
use crate::terminal::Screen;

mod admission;
mod counts;
mod door;
mod files;
mod gateway;
mod hub;
mod limits;
pub(crate) mod lobby;
mod page;

use files::Folder;
use gateway::Gateway;
use hub::Hub;
use lobby::{Lobby, invite_text};

/// Options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The port to listen at; 0 takes a free one
    #[arg(long, value_name = "P", default_value_t = PAGE_PORT)]
    port: u16,
    /// The folder with the built page
    #[arg(long, value_name = "DIR", default_value = PAGE_DIR)]
    dir: PathBuf,
    /// Let browser tabs and terminals form one cluster: prints a one-time invite for each
    #[arg(long)]
    lobby: bool,
    /// How many may take part
    #[arg(long, value_name = "N", requires = "lobby", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=SEATS_MAX))]
    nodes: u16,
    /// Begin once so many have joined instead of all; or type "start" to begin with those who are there
    #[arg(long, value_name = "N", requires = "lobby", value_parser = clap::value_parser!(u16).range(1..=SEATS_MAX))]
    start_when: Option<u16>,
    /// The cluster's folder; one that began there goes on, with the members that it has
    #[arg(long, value_name = "DIR", requires = "lobby", default_value = CLUSTER_DIR)]
    cluster: PathBuf,
    /// Which protocol the cluster runs
    #[arg(long, value_name = "P", requires = "lobby", value_parser = protocol, default_value = "two-phase")]
    protocol: ProtocolKind,
    /// Listen at this address instead of the loopback, for other machines
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Another name by which the gateway may be called, as host or host:port; may be repeated
    #[arg(long = "host", value_name = "NAME", requires = "lobby")]
    hosts: Vec<String>,
    #[command(flatten)]
    log: LogArgs,
}

/// The page's port unless told.
pub(crate) const PAGE_PORT: u16 = 4700;
/// Where the page is built to.
pub(crate) const PAGE_DIR: &str = "web/dist";
/// Where a hybrid cluster lives unless told.
const CLUSTER_DIR: &str = "phaselab-lobby";
/// The most members of a lobby.
const SEATS_MAX: i64 = 64;

/// Serves the page, and the gateway if there is to be one, until it is asked to stop.
pub(crate) fn run(args: &ServeArgs) -> Outcome {
    if !is_page(&args.dir) {
        return Err(Failure::in_file(
            &args.dir,
            "no index.html here; `npm run build:page` builds the page into web/dist",
        ));
    }
    if let Some(needed) = args.start_when.filter(|needed| *needed > args.nodes) {
        return Err(Failure::Input(format!(
            "--start-when {needed}: there are {} seats; --nodes makes more",
            args.nodes
        )));
    }
    log::start(&args.log);
    runtime()?.block_on(async {
        // From here on a signal ends this in good order.
        let stop = signals::asked_to_stop();
        if args.lobby {
            serve_lobby(args, stop).await
        } else {
            let at = SocketAddr::new(args.listen, args.port);
            let (listening, serving) = listen(at, page::router(&args.dir)).await?;
            tell_page(&mut Screen::stdout(), listening);
            tokio::select! {
                () = serving => {}
                () = stop => {}
            }
            Ok(())
        }
    })
}

fn tell_page(screen: &mut Screen, listening: SocketAddr) {
    screen.line(&format!("page    {}/    stop: Ctrl-C", base(listening)));
}

/// The address that people type.
fn base(listening: SocketAddr) -> String {
    if listening.ip().is_loopback() {
        format!("http://localhost:{}", listening.port())
    } else {
        format!("http://{listening}")
    }
}

async fn serve_lobby(args: &ServeArgs, stop: impl Future<Output = ()>) -> Outcome {
    let folder = Folder::open(&args.cluster, args.protocol)?;
    let mut invites = Vec::new();
    let hub = if folder.has_genesis() {
        Hub::resume(folder)?
    } else {
        for _ in 0..args.nodes {
            let [invite @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = entropy()?;
            invites.push(invite);
        }
        let needed = args.start_when.unwrap_or(args.nodes);
        Hub::gathering(folder, Lobby::new(invites.clone(), needed))
    };
    let listener = bind(SocketAddr::new(args.listen, args.port)).await?;
    let listening = listener.local_addr().map_err(|error| {
        Failure::Failed(format!("the system gives no address: {}", io_words(&error)))
    })?;
    let (broken, mut breaks) = mpsc::channel(1);
    let gateway = Gateway::new(hub.clone(), hosts(listening, &args.hosts), broken);
    let router = page::router(&args.dir).merge(
        axum::Router::new()
            .route("/ws", get(gateway::upgrade))
            .route("/gateway", get(gateway::account))
            .with_state(gateway.clone()),
    );
    let mut screen = Screen::stdout();
    tell_page(&mut screen, listening);
    match hub.cluster() {
        Some(cluster) => screen.line(&format!("goes on {}", cluster.title())),
        None => {
            tell_invites(&mut screen, args, listening, &invites);
            tokio::spawn(begin_when_told(gateway));
        }
    }
    let ended = tokio::select! {
        () = door::serve(listener, router) => Ok(()),
        () = stop => Ok(()),
        Some(failure) = breaks.recv() => Err(failure),
    };
    hub.stop().await;
    ended
}

fn tell_invites(
    screen: &mut Screen,
    args: &ServeArgs,
    listening: SocketAddr,
    invites: &[phaselab_core::gateway::Invite],
) {
    let begins = match args.start_when.unwrap_or(args.nodes) {
        needed if needed == args.nodes => "begins when all have joined".to_owned(),
        needed => format!("begins when {needed} have joined"),
    };
    screen.line(&format!(
        "lobby   {} seats, one invite each; {begins}, or now: type start",
        args.nodes
    ));
    for invite in invites {
        screen.line(&format!(
            "invite  {}/live#join={}",
            base(listening),
            invite_text(invite)
        ));
    }
    screen.line(&format!(
        "or in a terminal: phaselab node --join {} --invite <what follows join=> --dir <a new folder>",
        base(listening)
    ));
}

/// Begins with those who are there once the host types it.
async fn begin_when_told(gateway: Arc<Gateway>) {
    let (told, mut tell) = mpsc::channel(1);
    // A thread of its own: the runtime would wait for a read of its own that never returns.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if line.trim() == "start" && told.blocking_send(()).is_err() {
                return;
            }
        }
    });
    while tell.recv().await.is_some() {
        if !gateway.begin(true).await {
            Screen::stdout().line("nobody has joined yet");
        }
    }
}

/// The names by which the gateway may be called.
fn hosts(listening: SocketAddr, more: &[String]) -> Vec<String> {
    let port = listening.port();
    let mut hosts = vec![format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    if !listening.ip().is_unspecified() {
        hosts.push(listening.to_string());
    }
    hosts.extend(more.iter().cloned());
    hosts.extend(more.iter().map(|name| format!("{name}:{port}")));
    hosts
}

/// Whether a folder holds a built page.
pub(crate) fn is_page(dir: &Path) -> bool {
    dir.join("index.html").is_file()
}

/// Listens at a port of the loopback; the returned future serves the page.
///
/// # Errors
/// If the port is taken.
pub(crate) async fn start(
    port: u16,
    dir: &Path,
) -> Result<(SocketAddr, impl Future<Output = ()> + use<>), Failure> {
    listen((Ipv4Addr::LOCALHOST, port).into(), page::router(dir)).await
}

async fn listen(
    address: SocketAddr,
    router: axum::Router,
) -> Result<(SocketAddr, impl Future<Output = ()> + use<>), Failure> {
    let listener = bind(address).await?;
    let listening = listener.local_addr().unwrap_or(address);
    Ok((listening, door::serve(listener, router)))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Input(format!(
            "{address}: {}; --port chooses another port",
            io_words(&error)
        ))
    })
}
