//! `phaselab submit`: asks the nodes of a running cluster to decide something, and waits for the proof; one request, or
//! a file of them.
//!
//! ```text
//! submit/words.rs         options and lines, in each protocol's own words
//! submit/payment.rs       a payment with coins: what it spends, and what that holds
//! submit/batch.rs         a file of requests, each asked of every node
//! submit/clustered.rs     where items live in clusters: each asked of the leader that it concerns
//! submit/performance.rs   throughput and latency
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use hyper::Method;
use phaselab_core::types::{Hash32, NodeId};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{AskError, NodeClient};
use crate::config::{NodeConfig, in_folder};
use crate::control::{Submit, Submitted};
use crate::failure::{Failure, Outcome};
use crate::init::DIR_DEFAULT;
use crate::node::runtime;
use crate::purse::{Purse, has_coins};
use crate::router::Router;
use crate::terminal::{Ink, Screen, print_json};

pub(crate) mod batch;
pub(crate) mod clustered;
mod payment;
pub(crate) mod performance;
pub(crate) mod words;

/// Options of `submit`.
#[derive(Debug, Args)]
#[command(
    override_usage = "phaselab submit [OPTIONS] --event <NAME> --amount <N>\n       \
                      phaselab submit [OPTIONS] --from <WHO> --to <WHO> --amount <N>\n       \
                      phaselab submit [OPTIONS] --read <ITEM>\n       \
                      phaselab submit [OPTIONS] --move <ITEM> --to-cluster <K>\n       \
                      phaselab submit [OPTIONS] --request <TOML>\n       \
                      phaselab submit [OPTIONS] --file <FILE>",
    group(ArgGroup::new("what").required(true).args(["event", "from", "read", "move_", "request", "file"])),
    group(ArgGroup::new("payment").args(["event", "from"]))
)]
pub(crate) struct SubmitArgs {
    /// The event's name
    #[arg(long, value_name = "NAME", requires = "amount")]
    event: Option<String>,
    /// Who pays: an item such as 1001, or a wallet such as alice, as the protocol has it
    #[arg(long, value_name = "WHO", requires_all = ["to", "amount"])]
    from: Option<String>,
    /// Who is paid
    #[arg(long, value_name = "WHO", requires = "from")]
    to: Option<String>,
    /// How much to pay
    #[arg(long, value_name = "N", requires = "payment")]
    amount: Option<u64>,
    /// What whoever builds the block gets besides, of a protocol with coins
    #[arg(long, value_name = "N", requires = "from")]
    fee: Option<u64>,
    /// Tells a payment with coins from others that are otherwise alike
    #[arg(long, value_name = "TEXT", requires = "from")]
    memo: Option<String>,
    /// Spend these: coins of genesis such as alice:0, or outputs as a transaction's 64 digits, a colon and an index; the
    /// payer's first coin of genesis unless told
    #[arg(long, value_name = "OUTPUT", requires = "from", value_delimiter = ',')]
    spend: Vec<String>,
    /// Read what an item holds
    #[arg(long, value_name = "ITEM")]
    read: Option<u32>,
    /// Have an item live in another cluster
    #[arg(long = "move", value_name = "ITEM", requires = "to_cluster")]
    move_: Option<u32>,
    /// Which cluster it moves to
    #[arg(long, value_name = "K", requires = "move_")]
    to_cluster: Option<u16>,
    /// Any request of the protocol as TOML, such as 'event = "withdraw-1"' and 'amount = 25' on two lines
    #[arg(long, value_name = "TOML")]
    request: Option<String>,
    /// Many requests: [[request]] entries as TOML, one JSON object per line, or per line a transfer 1001,3001,10, a read
    /// 1001, or a node that fails F(n4) and comes back R(n4); - reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How many requests of a file are under way at once
    #[arg(long, value_name = "N", default_value_t = 8, requires = "file", value_parser = clap::value_parser!(u16).range(1..=128))]
    at_once: u16,
    /// Ask only this node
    #[arg(long, value_name = "K")]
    node: Option<u16>,
    /// The folder of the cluster
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// How long to wait for the decision, such as 10s or 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span)]
    wait: Duration,
    /// Print one JSON object per request and nothing else; of a file also one that sums up
    #[arg(long)]
    json: bool,
}

/// What `--json` prints of a request.
#[derive(Debug, Serialize)]
struct Summary {
    instance: String,
    outcome: String,
    value: Option<Hash32>,
    label: Option<String>,
    certificate: u64,
    /// Nodes that hold this outcome.
    nodes: Vec<NodeId>,
    /// Nodes that were asked.
    asked: usize,
    /// From asking until the first and the last of them answered.
    first_ms: u64,
    last_ms: u64,
    text: String,
    /// Whether coins are paid: then what is abandoned was rejected.
    #[serde(skip)]
    is_payment: bool,
}

impl Summary {
    /// The same in the words of payments.
    fn of_payment(mut self) -> Summary {
        self.is_payment = true;
        if self.outcome == "abandoned" {
            self.outcome = "rejected".to_owned();
        }
        self
    }
}

/// One node's answer, and when it came.
type Answered = (NodeId, Duration, Result<Submitted, AskError>);

/// More time for the answer to travel than the node waits for the decision.
const GRACE: Duration = Duration::from_secs(6);
/// Once one node holds the proof, how long the others may take to be counted.
const OTHERS_WAIT: Duration = Duration::from_secs(2);

/// Submits the request and waits.
pub(crate) fn run(args: &SubmitArgs) -> Outcome {
    let folder = in_folder(&args.dir)?;
    let clients = clients(&folder, args)?;
    let protocol = words::protocol(&folder);
    let router = match protocol {
        Some(protocol) => {
            words::check(args, protocol)?;
            Router::of_folder(&folder)?
        }
        None => None,
    };
    let purse = match protocol.is_some_and(has_coins) {
        true => Purse::of_folder(&folder)?,
        false => None,
    };
    let request = |clients: &[NodeClient]| words::request_text(args, purse.as_ref(), clients);
    if let (Some(router), Some(node)) = (&router, args.node) {
        return Err(Failure::Input(format!(
            "--node {node}: {} asks the leader of the item's cluster, whoever that is; expected no --node",
            router.protocol().name()
        )));
    }
    match (router, &args.file) {
        (Some(router), Some(file)) => clustered::run_file(file, router, args),
        (Some(router), None) => clustered::run(&router, &request(&clients)?, args),
        (None, Some(file)) => batch::run(file, &folder, &clients, args),
        (None, None) => {
            let request = request(&clients)?;
            run_everywhere(&folder, clients, request, purse.is_some(), args)
        }
    }
}

/// Asks every node, and counts who has the same answer.
fn run_everywhere(
    folder: &BTreeMap<NodeId, PathBuf>,
    clients: Vec<NodeClient>,
    request: String,
    is_payment: bool,
    args: &SubmitArgs,
) -> Outcome {
    check_locally(folder, &request)?;
    let summary = runtime()?.block_on(ask(clients, request, args))?;
    let summary = match is_payment {
        true => summary.of_payment(),
        false => summary,
    };
    if args.json {
        print_json(&summary);
    } else if summary.outcome != "refused" {
        show(&summary, args);
    }
    if summary.outcome == "refused" {
        return Err(Failure::Input(format!(
            "{}: refused: {}",
            summary.instance, summary.text
        )));
    }
    if summary.outcome == "decided" {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// Whom to ask.
fn clients(
    folder: &BTreeMap<NodeId, PathBuf>,
    args: &SubmitArgs,
) -> Result<Vec<NodeClient>, Failure> {
    let Some(number) = args.node else {
        let all = folder.iter();
        return Ok(all
            .map(|(id, config)| NodeClient::new(*id, config))
            .collect());
    };
    let id = NodeId(number);
    let config = folder.get(&id).ok_or_else(|| {
        let known: Vec<_> = folder.keys().map(|id| id.0.to_string()).collect();
        Failure::Input(format!(
            "--node {number}: not in {}; expected {}",
            args.dir.display(),
            known.join(", ")
        ))
    })?;
    Ok(vec![NodeClient::new(id, config)])
}

/// Asks for one request, and sums the answers up.
async fn ask(
    clients: Vec<NodeClient>,
    request: String,
    args: &SubmitArgs,
) -> Result<Summary, Failure> {
    let asked = clients.len();
    let answers = ask_all(clients, request, args.wait).await;
    sum_up(answers, asked, args)
}

/// Refuses what no node of this cluster can read, with the same words whether nodes run or not.
fn check_locally(folder: &BTreeMap<NodeId, PathBuf>, request: &str) -> Outcome {
    let Some(config) = folder.values().find_map(|path| NodeConfig::load(path).ok()) else {
        return Ok(());
    };
    config.genesis.protocol.parse_request("request", request)?;
    Ok(())
}

/// Asks all nodes at once; returns when all answered, or soon after one proved the decision.
async fn ask_all(clients: Vec<NodeClient>, request: String, wait: Duration) -> Vec<Answered> {
    let started = Instant::now();
    let mut asking: JoinSet<Answered> = JoinSet::new();
    for client in clients {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let body = Submit {
            request: request.clone(),
            wait_ms,
            client: None,
            number: None,
        };
        asking.spawn(async move {
            let answer = client
                .ask(
                    Method::POST,
                    "/v1/submit",
                    Some(&body),
                    wait.saturating_add(GRACE),
                )
                .await;
            (client.id, started.elapsed(), answer)
        });
    }
    let mut answers: Vec<Answered> = Vec::new();
    let mut deadline = None;
    loop {
        let next = match deadline {
            None => asking.join_next().await,
            Some(deadline) => tokio::time::timeout_at(deadline, asking.join_next())
                .await
                .ok()
                .flatten(),
        };
        let Some(Ok(answered)) = next else {
            return answers;
        };
        if answered
            .2
            .as_ref()
            .is_ok_and(|answer| is_end(&answer.outcome))
        {
            deadline.get_or_insert(tokio::time::Instant::now() + OTHERS_WAIT);
        }
        answers.push(answered);
    }
}

fn is_end(outcome: &str) -> bool {
    matches!(outcome, "decided" | "abandoned")
}

fn sum_up(answers: Vec<Answered>, asked: usize, args: &SubmitArgs) -> Result<Summary, Failure> {
    let refused = answers.iter().find_map(|(_, _, answer)| match answer {
        Err(AskError::Refused(why)) => Some(Failure::Input(why.clone())),
        _ => None,
    });
    if let Some(refused) = refused {
        return Err(refused);
    }
    let mut found: Vec<(NodeId, Duration, Submitted)> = Vec::new();
    let mut broken = None;
    for (id, at, answer) in answers {
        match answer {
            Ok(answer) => found.push((id, at, answer)),
            Err(AskError::Broken(why)) => broken = Some(format!("node {}: {why}", id.0)),
            Err(_) => {}
        }
    }
    // An end counts more than being on the way; among equals the first answer speaks.
    found.sort_by_key(|(_, at, answer)| {
        (!is_end(&answer.outcome), answer.outcome == "no-answer", *at)
    });
    let Some((_, first, answer)) = found.first().cloned() else {
        return Err(Failure::Failed(broken.unwrap_or_else(|| {
            format!(
                "no node of {} is running; `phaselab cluster --dir {}` starts them",
                args.dir.display(),
                args.dir.display()
            )
        })));
    };
    let alike = || {
        found
            .iter()
            .filter(|(_, _, other)| other.outcome == answer.outcome && other.value == answer.value)
    };
    let mut nodes: Vec<NodeId> = alike().map(|(id, ..)| *id).collect();
    nodes.sort_unstable();
    let last = alike().map(|(_, at, _)| *at).max().unwrap_or(first);
    Ok(Summary {
        instance: answer.instance,
        outcome: answer.outcome,
        value: answer.value,
        label: answer.label,
        certificate: answer.certificate,
        nodes,
        asked,
        first_ms: millis(first),
        last_ms: millis(last),
        text: answer.text,
        is_payment: false,
    })
}

fn show(summary: &Summary, args: &SubmitArgs) {
    let mut screen = Screen::stdout();
    let count = format!(
        "{} of {} nodes   {} ms",
        summary.nodes.len(),
        summary.asked,
        summary.last_ms
    );
    match (summary.outcome.as_str(), summary.value) {
        ("decided", Some(value)) => {
            let label = summary
                .label
                .as_deref()
                .map_or_else(String::new, |label| format!("{label} "));
            let proof = match summary.is_payment {
                true => format!("{} successful polls in a row", summary.certificate),
                false => format!("certificate: {} locks", summary.certificate),
            };
            let text = format!(
                "{} = {label}{}   {count}   {proof}",
                summary.instance,
                value.short()
            );
            screen.entry("decided  ", Some(Ink::Good), &text);
        }
        ("rejected", _) => {
            let text = format!("{}: {}   {count}", summary.instance, summary.text);
            screen.entry("rejected ", Some(Ink::Warn), &text);
            screen.entry(
                "         ",
                Some(Ink::Dim),
                "an output is spent once: --spend takes another; `phaselab print db` lists what is unspent",
            );
        }
        ("abandoned", _) => screen.entry(
            "abandoned  ",
            Some(Ink::Warn),
            &format!("{}   {count}", summary.instance),
        ),
        _ => {
            let text = format!(
                "{} after {:?}: {} at {} of {} nodes; `phaselab status` shows where they are and why",
                summary.instance,
                args.wait,
                summary.outcome,
                summary.nodes.len(),
                summary.asked
            );
            screen.entry("undecided  ", Some(Ink::Warn), &text);
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `10s`, `500ms`, `2m`, and seconds without a unit.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 10s, 500ms or 2m".to_owned();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| expected())?;
    let ms_each = match &text[split..] {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        _ => return Err(expected()),
    };
    let ms = number.checked_mul(ms_each).ok_or_else(expected)?;
    match ms {
        0 => Err("expected at least 1ms".to_owned()),
        ms => Ok(Duration::from_millis(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        assert_eq!(span("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(span("3"), Ok(Duration::from_secs(3)));
        assert!(
            [
                "",
                "s",
                "0",
                "0ms",
                "1h",
                "-1s",
                "1.5s",
                "99999999999999999999s"
            ]
            .iter()
            .all(|text| span(text).is_err())
        );
    }
}
