//! `phaselab fault`: cuts and slows the network of a running cluster, for real, in the words of scenarios.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use phaselab_core::scenario::Link;
use phaselab_core::types::NodeId;
use serde::Serialize;

use crate::client::{AskError, NodeClient};
use crate::config::in_folder;
use crate::failure::{Failure, Outcome};
use crate::init::DIR_DEFAULT;
use crate::net::faults::{Fault, FaultState, LinkFaults};
use crate::node::runtime;
use crate::terminal::{Ink, Screen, print_json};

/// Options of `fault`.
#[derive(Debug, Args)]
pub(crate) struct FaultArgs {
    #[command(subcommand)]
    what: What,
    /// The folder of the cluster
    #[arg(long, global = true, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Print one JSON object and nothing else
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Cut the network into groups; a node in no group is alone
    Cut {
        /// Nodes that reach each other, such as 2,3
        #[arg(required = true, value_name = "GROUP", value_parser = group)]
        groups: Vec<Group>,
    },
    /// Make one direction of a link slow, lossy, or well again
    Link(LinkArgs),
    /// Take back every cut and every word on links
    Heal,
    /// Show the faults in force
    Show,
}

#[derive(Debug, Args)]
struct LinkArgs {
    /// The sending node; every node unless told
    #[arg(long, value_name = "K")]
    from: Option<u16>,
    /// The receiving node; every node unless told
    #[arg(long, value_name = "K")]
    to: Option<u16>,
    /// How late packets are: a number, or from,to
    #[arg(long, value_name = "MS", value_parser = latency)]
    latency_ms: Option<Latency>,
    /// How many of a thousand packets are lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=1000))]
    loss_permille: Option<u16>,
}

/// Nodes that reach each other.
#[derive(Clone, Debug)]
struct Group(Vec<NodeId>);

#[derive(Clone, Copy, Debug)]
struct Latency([u64; 2]);

fn group(text: &str) -> Result<Group, String> {
    let number = |word: &str| word.trim().parse().map(NodeId).map_err(|_| EXPECTED_GROUP);
    let nodes: Result<Vec<NodeId>, _> = text.split(',').map(number).collect();
    nodes.map(Group).map_err(str::to_owned)
}

const EXPECTED_GROUP: &str = "expected numbers of nodes, such as 2,3";

fn latency(text: &str) -> Result<Latency, String> {
    let (low, high) = text.split_once(',').unwrap_or((text, text));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low), Ok(high)) if low <= high => Ok(Latency([low, high])),
        _ => Err("expected milliseconds, such as 50, or 50,80".to_owned()),
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Told {
    /// Nodes that run and were told, or asked.
    nodes: Vec<NodeId>,
    /// The faults in force at the first of them.
    faults: Vec<Fault>,
}

const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// Where a node's control API takes faults.
const FAULTS: &str = "/v1/faults";

/// Tells the nodes.
pub(crate) fn run(args: &FaultArgs) -> Outcome {
    let fault = match &args.what {
        What::Cut { groups } => Some(Fault::Partition {
            groups: groups.iter().map(|group| group.0.clone()).collect(),
        }),
        What::Link(link) => Some(Fault::Link(read_link(link)?)),
        What::Heal => Some(Fault::Heal),
        What::Show => None,
    };
    let folder = in_folder(&args.dir)?;
    let clients: Vec<NodeClient> = folder
        .iter()
        .map(|(id, config)| NodeClient::new(*id, config))
        .collect();
    let all = clients.len();
    let answers = runtime()?.block_on(async {
        match fault {
            Some(fault) => tell(clients, &[fault]).await,
            None => ask_all(&clients, None).await,
        }
    });
    let mut told = Told {
        nodes: Vec::new(),
        faults: Vec::new(),
    };
    for (id, answer) in answers {
        match answer {
            Ok(state) => {
                if told.nodes.is_empty() {
                    told.faults = state.faults;
                }
                told.nodes.push(id);
            }
            Err(AskError::Down) => {}
            Err(AskError::Refused(why)) => return Err(Failure::Input(why)),
            Err(AskError::Broken(why)) => {
                return Err(Failure::Failed(format!("node {}: {why}", id.0)));
            }
        }
    }
    if told.nodes.is_empty() {
        let dir = args.dir.display();
        return Err(Failure::Failed(format!(
            "no node of {dir} is running; `phaselab cluster --dir {dir}` starts them"
        )));
    }
    if args.json {
        print_json(&told);
    } else {
        show(&told, all);
    }
    Ok(())
}

fn read_link(link: &LinkArgs) -> Result<Link, Failure> {
    if link.latency_ms.is_none() && link.loss_permille.is_none() {
        return Err(Failure::Input(
            "link: expected --latency-ms, --loss-permille or both".to_owned(),
        ));
    }
    Ok(Link {
        from: link.from.map(NodeId),
        to: link.to.map(NodeId),
        latency_ms: link.latency_ms.map(|latency| latency.0),
        loss_permille: link.loss_permille,
    })
}

fn show(told: &Told, all: usize) {
    let mut screen = Screen::stdout();
    if told.faults.is_empty() {
        screen.entry("whole     ", Some(Ink::Good), "no faults are in force");
    }
    for fault in &told.faults {
        screen.entry("broken    ", Some(Ink::Warn), &fault.to_string());
    }
    if told.nodes.len() < all {
        let down = all - told.nodes.len();
        let text =
            format!("{down} of {all} nodes: one that `phaselab cluster` starts again is told then");
        screen.entry("not there ", None, &text);
    }
}

/// What each node answered.
pub(crate) type Answers = Vec<(NodeId, Result<FaultState, AskError>)>;

/// Breaks the network of these nodes: the newest state among them, with these faults, becomes that of each.
pub(crate) async fn tell(clients: Vec<NodeClient>, faults: &[Fault]) -> Answers {
    let known = ask_all(&clients, None).await;
    let mut state = newest(&known);
    for fault in faults {
        state = state.with(fault);
    }
    ask_all(&clients, Some(state)).await
}

/// The newest state that somebody has.
fn newest(answers: &Answers) -> FaultState {
    let states = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    let newest = states.max_by_key(|state| state.revision);
    newest.cloned().unwrap_or_default()
}

/// Gives a node that was away the newest state of all.
pub(crate) async fn catch_up(node: NodeClient, all: Vec<NodeClient>) {
    let state = newest(&ask_all(&all, None).await);
    if state.revision > 0 {
        ask_all(&[node], Some(state)).await;
    }
}

/// Gives every node this state, or asks for its own.
async fn ask_all(clients: &[NodeClient], state: Option<FaultState>) -> Answers {
    let asks = clients.iter().cloned().map(|client| {
        let state = state.clone();
        tokio::spawn(async move {
            let method = if state.is_some() {
                Method::PUT
            } else {
                Method::GET
            };
            let answer = client.ask(method, FAULTS, state.as_ref(), ASK_TIMEOUT);
            (client.id, answer.await)
        })
    });
    let mut answers = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        answers.extend(ask.await);
    }
    answers
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Partition { groups } => {
                let group = |group: &Vec<NodeId>| {
                    let ids: Vec<String> = group.iter().map(|id| id.0.to_string()).collect();
                    ids.join(" ")
                };
                let groups: Vec<String> = groups.iter().map(group).collect();
                write!(f, "cut into {}", groups.join(" | "))
            }
            Fault::Heal => f.write_str("healed"),
            Fault::Link(link) => {
                let end = |end: Option<NodeId>| {
                    end.map_or_else(|| "every node".to_owned(), |id| format!("node {}", id.0))
                };
                let words = LinkFaults {
                    latency_ms: link.latency_ms.unwrap_or_default(),
                    loss_permille: link.loss_permille.unwrap_or_default(),
                    ..LinkFaults::default()
                }
                .in_words();
                let words = words.unwrap_or_else(|| "as if it were whole".to_owned());
                write!(f, "{} to {}: {words}", end(link.from), end(link.to))
            }
        }
    }
}
