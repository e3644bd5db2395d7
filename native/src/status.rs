//! `phaselab status`: what the nodes of a running cluster are doing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use phaselab_core::types::NodeId;
use serde::Serialize;

use crate::client::{AskError, NodeClient};
use crate::config::in_folder;
use crate::failure::{Failure, Outcome};
use crate::init::DIR_DEFAULT;
use crate::node::{NodeReport, runtime};
use crate::terminal::{Ink, Screen, print_json};

mod event;

/// Options of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The folder of the cluster
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Show each node's links to the others as well
    #[arg(long, conflicts_with = "json")]
    peers: bool,
    /// Show how one event is at each node
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Status {
    nodes: Vec<NodeStatus>,
}

#[derive(Debug, Serialize)]
struct NodeStatus {
    id: NodeId,
    up: bool,
    /// How long ago another node heard of it; `null` if none did.
    last_seen_ms_ago: Option<u64>,
    /// Its own words; `null` if it is down.
    report: Option<NodeReport>,
    /// Why there are no words although it seems to run.
    problem: Option<String>,
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks every node and shows the answers.
pub(crate) fn run(args: &StatusArgs) -> Outcome {
    let folder = in_folder(&args.dir)?;
    let clients: Vec<NodeClient> = folder
        .iter()
        .map(|(id, config)| NodeClient::new(*id, config))
        .collect();
    let status = runtime()?.block_on(ask_all(clients));
    let any = status.nodes.iter().any(|node| node.up);
    if let Some(name) = &args.event {
        event::show(&status, name, args.json)?;
    } else if args.json {
        print_json(&status);
    } else {
        show(&status);
        if args.peers {
            show_peers(&status);
        }
    }
    if any {
        return Ok(());
    }
    let dir = args.dir.display();
    Err(Failure::Failed(format!(
        "no node of {dir} is running; `phaselab cluster --dir {dir}` starts them"
    )))
}

async fn ask_all(clients: Vec<NodeClient>) -> Status {
    let asks = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            let answer = client
                .ask::<(), NodeReport>(Method::GET, "/v1/status", None, ANSWER_TIMEOUT)
                .await;
            (client.id, answer)
        })
    });
    let mut nodes = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        let Ok((id, answer)) = ask.await else {
            continue;
        };
        let (report, problem) = match answer {
            Ok(report) => (Some(report), None),
            Err(AskError::Down) => (None, None),
            Err(AskError::Refused(why) | AskError::Broken(why)) => (None, Some(why)),
        };
        nodes.push(NodeStatus {
            id,
            up: report.is_some(),
            last_seen_ms_ago: None,
            report,
            problem,
        });
    }
    for index in 0..nodes.len() {
        nodes[index].last_seen_ms_ago = last_seen(&nodes, nodes[index].id);
    }
    Status { nodes }
}

/// The freshest word of the others about a node.
fn last_seen(nodes: &[NodeStatus], id: NodeId) -> Option<u64> {
    let peers = nodes
        .iter()
        .filter_map(|node| node.report.as_ref())
        .flat_map(|report| &report.peers);
    peers
        .filter(|peer| peer.id == id)
        .filter_map(|peer| peer.heard_ms_ago)
        .min()
}

fn show(status: &Status) {
    let mut screen = Screen::stdout();
    screen.painted(
        Ink::Bold,
        "node  up   phase         round  meter   peers  refused  event",
    );
    for node in &status.nodes {
        let Some(report) = &node.report else {
            let seen = match (&node.problem, node.last_seen_ms_ago) {
                (Some(problem), _) => problem.clone(),
                (None, Some(ms)) => format!("last seen {}", ago(ms)),
                (None, None) => "not running".to_owned(),
            };
            screen.entry(&format!("{:<4}  no   ", node.id.0), None, &seen);
            continue;
        };
        let connected = report.peers.iter().filter(|peer| peer.connected).count();
        let (phase, round, meter, event) = match &report.current {
            None => ("idle", "-".to_owned(), "-".to_owned(), ""),
            Some(current) => {
                let meter = current.meter.as_ref();
                let meter = meter.map_or_else(
                    || "-".to_owned(),
                    |meter| format!("{} of {}", meter.have, meter.total),
                );
                (
                    current.phase.as_str(),
                    current.round.to_string(),
                    meter,
                    current.instance.as_str(),
                )
            }
        };
        let line = format!(
            "{:<4}  yes  {phase:<12}  {round:<5}  {meter:<6}  {connected:<5}  {:<7}  {event}",
            node.id.0, report.refused
        );
        screen.line(line.trim_end());
    }
    show_open(&mut screen, status);
    show_faults(&mut screen, status);
}

/// Which links are broken on purpose, as their senders have it.
fn show_faults(screen: &mut Screen, status: &Status) {
    for node in &status.nodes {
        let peers = node.report.iter().flat_map(|report| &report.peers);
        let broken: Vec<String> = peers
            .filter_map(|peer| Some(format!("to {}: {}", peer.id.0, peer.faults.in_words()?)))
            .collect();
        if !broken.is_empty() {
            let text = format!("node {} {}", node.id.0, broken.join("; "));
            screen.entry("broken    ", Some(Ink::Warn), &text);
        }
    }
}

/// An event that has not ended everywhere.
#[derive(Default)]
struct Open<'a> {
    places: Vec<String>,
    /// What it waits for, and at how many nodes.
    waits_for: BTreeMap<&'a str, usize>,
}

/// More events than these are only counted.
const OPEN_SHOWN_MAX: usize = 20;

/// Where each event is that has not ended at every node that runs.
fn show_open(screen: &mut Screen, status: &Status) {
    let mut events: BTreeMap<&str, Open<'_>> = BTreeMap::new();
    for node in &status.nodes {
        let instances = node.report.iter().flat_map(|report| &report.instances);
        for open in instances.filter(|instance| instance.open) {
            let place = format!("node {} {} in round {}", node.id.0, open.phase, open.round);
            let event = events.entry(&open.instance).or_default();
            event.places.push(place);
            if let Some(what) = &open.waits_for {
                *event.waits_for.entry(what).or_default() += 1;
            }
        }
    }
    for (name, open) in events.iter().take(OPEN_SHOWN_MAX) {
        let mut text = format!("{name}: {}", open.places.join(", "));
        for (what, nodes) in &open.waits_for {
            let all = open.places.len();
            text.push_str(&format!("; at {nodes} of {all} nodes it waits for {what}"));
        }
        screen.entry("open      ", Some(Ink::Warn), &text);
    }
    if events.len() > OPEN_SHOWN_MAX {
        let more = events.len() - OPEN_SHOWN_MAX;
        let text = format!("... and {more} more; --json lists them");
        screen.entry("          ", None, &text);
    }
}

/// The links as each node sees them.
fn show_peers(status: &Status) {
    let mut screen = Screen::stdout();
    screen.line("");
    screen.painted(
        Ink::Bold,
        "link    up for        round trip  sent      received  slowed  dropped  heard",
    );
    for node in &status.nodes {
        for peer in node.report.iter().flat_map(|report| &report.peers) {
            let up = peer.connected_ms.map_or("down".to_owned(), span);
            let round_trip = peer
                .round_trip_us
                .map_or("-".to_owned(), |us| format!("{:.1} ms", us as f64 / 1000.0));
            let heard = peer.heard_ms_ago.map_or("never".to_owned(), ago);
            let line = format!(
                "{:>2} - {:<2} {up:<13} {round_trip:<11} {:<9} {:<9} {:<7} {:<8} {heard}",
                node.id.0, peer.id.0, peer.sent, peer.received, peer.slowed, peer.dropped,
            );
            screen.line(line.trim_end());
        }
    }
}

fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn ago(ms: u64) -> String {
    match ms / 1000 {
        0 => "just now".to_owned(),
        seconds @ 1..=119 => format!("{seconds} s ago"),
        seconds => format!("{} min ago", seconds / 60),
    }
}
