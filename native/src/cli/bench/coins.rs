//! The workload of clients that pay with coins: each passes an output on and on, live; in a simulation each payment has
//! a coin of its own. What is measured is the time from asking until the node that was asked has it final.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use phaselab_core::crypto::Crypto;
use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::event::Level;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{Act, NAMED_CLIENTS, Scenario};
use phaselab_core::sim::Sim;
use phaselab_core::types::{ClientId, NodeId, Time};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{BenchArgs, SIM_REST_MS, told};
use crate::client::{AskError, NodeClient};
use crate::config::in_folder;
use crate::control::{Submit, Submitted};
use crate::failure::{Failure, Outcome};
use crate::node::runtime;
use crate::purse::{Purse, Unspent, looks};
use crate::router::Told;
use crate::submit::performance::Performance;
use crate::terminal::{Screen, print_json};

/// The most payments of a simulation: each needs a coin, and genesis has no more.
const SIM_PAYMENTS_MAX: u32 = 1_024;
/// How often each client of a simulation pays.
const SIM_EVERY_MS: u64 = 2_000;
const SIM_BEGIN_MS: u64 = 100;
const GRACE: Duration = Duration::from_secs(6);

/// What `--json` prints.
#[derive(Serialize)]
struct Printed {
    protocol: &'static str,
    seed: u64,
    /// `live`, or `simulated`, where time is virtual.
    run: &'static str,
    nodes: usize,
    clients: usize,
    /// From asking until it is final where it was asked.
    #[serde(flatten)]
    performance: Performance,
    /// Of a simulation: messages that nodes were handed per payment, and node.
    messages_per_payment_and_node: Option<u64>,
}

/// Pays, and reports.
pub(super) fn run(args: &BenchArgs, protocol: ProtocolKind) -> Outcome {
    refuse_items(args, protocol)?;
    let printed = match args.sim {
        true => simulate(args, protocol)?,
        false => pay_live(args, protocol)?,
    };
    if args.json {
        print_json(&printed);
    } else {
        let mut screen = Screen::stdout();
        let text = format!(
            "{}, {} nodes, seed {}, {} clients that pass coins on",
            printed.run, printed.nodes, printed.seed, printed.clients
        );
        screen.entry("bench      ", None, &text);
        printed.performance.show(&mut screen);
        if let Some(messages) = printed.messages_per_payment_and_node {
            let text = format!("{messages} per payment and node, blocks included");
            screen.entry("messages   ", None, &text);
        }
    }
    match printed.performance.undecided {
        0 => Ok(()),
        _ => Err(Failure::Unexpected),
    }
}

/// Refuses options that are about items.
fn refuse_items(args: &BenchArgs, protocol: ProtocolKind) -> Outcome {
    let given = [
        (args.read_only.is_some(), "--read-only"),
        (args.cross_shard.is_some(), "--cross-shard"),
        (args.skew.is_some(), "--skew"),
        (args.partners.is_some(), "--partners"),
        (args.out.is_some(), "--out"),
    ];
    match given.iter().find(|(is_given, _)| *is_given) {
        Some((_, option)) => Err(Failure::Input(format!(
            "{option}: {} has coins and no items; expected --transfers, --concurrency, --seed and --wait",
            protocol.name()
        ))),
        None => Ok(()),
    }
}

fn payment(owned: &Unspent, to: &str, memo: &str) -> String {
    format!(
        "from = \"{}\"\nto = \"{to}\"\namount = {}\nspend = [\"{}\"]\nholds = [{}]\nmemo = \"{memo}\"\n",
        owned.owner, owned.amount, owned.output, owned.amount
    )
}

fn pay_live(args: &BenchArgs, protocol: ProtocolKind) -> Result<Printed, Failure> {
    let folder = in_folder(&args.dir)?;
    let Some(purse) = Purse::of_folder(&folder)? else {
        return Err(Failure::in_file(&args.dir, "its protocol has no coins"));
    };
    let nodes = folder.iter();
    let nodes: Vec<NodeClient> = nodes
        .map(|(id, config)| NodeClient::new(*id, config))
        .collect();
    let (ends, clients, elapsed) =
        runtime()?.block_on(all_clients(args, &nodes, &purse, &args.dir))?;
    Ok(Printed {
        protocol: protocol.name(),
        seed: args.seed,
        run: "live",
        nodes: nodes.len(),
        clients,
        performance: Performance::of(&ends, elapsed),
        messages_per_payment_and_node: None,
    })
}

/// Lets clients pay until all is paid; the ends, how many clients there were, and how long it took.
async fn all_clients(
    args: &BenchArgs,
    nodes: &[NodeClient],
    purse: &Purse,
    dir: &Path,
) -> Result<(Vec<Told>, usize, Duration), Failure> {
    let reports = looks(nodes.to_vec()).await;
    let Some(report) = reports.values().next() else {
        let dir = dir.display();
        return Err(Failure::Failed(format!(
            "no node of {dir} is running; `phaselab cluster --dir {dir}` starts them"
        )));
    };
    let owners: Vec<String> = purse.owners().into_iter().map(str::to_owned).collect();
    // What is final here is so, or soon, everywhere.
    let mut outputs = purse.unspent(report);
    outputs.retain(|output| owners.contains(&output.owner));
    outputs.truncate(usize::from(args.concurrency));
    if outputs.is_empty() {
        return Err(Failure::Failed(
            "no wallet of genesis has an unspent output".to_owned(),
        ));
    }
    let running: Vec<NodeClient> = nodes
        .iter()
        .filter(|node| reports.contains_key(&node.id))
        .cloned()
        .collect();
    let clients = outputs.len();
    let begun = Instant::now();
    let mut paying = JoinSet::new();
    for (number, owned) in outputs.into_iter().enumerate() {
        let share = args.transfers as usize / clients
            + usize::from(number < args.transfers as usize % clients);
        let node = running[number % running.len()].clone();
        let draws = Prng::new(args.seed, "bench coins", number as u64, 0);
        paying.spawn(one_client(
            node,
            owned,
            owners.clone(),
            (number, share),
            draws,
            args.wait,
        ));
    }
    let mut ends = Vec::new();
    while let Some(told) = paying.join_next().await {
        ends.extend(told.map_err(|error| Failure::Failed(error.to_string()))?);
    }
    Ok((ends, clients, begun.elapsed()))
}

/// One client, at one node: its next output is final there once it is told so.
async fn one_client(
    node: NodeClient,
    mut owned: Unspent,
    owners: Vec<String>,
    (number, share): (usize, usize),
    mut draws: Prng,
    wait: Duration,
) -> Vec<Told> {
    let mut ends = Vec::new();
    // So that no two starts pay the same again.
    let run = std::process::id();
    for turn in 0..share {
        let to = &owners[draws.below(owners.len() as u64) as usize];
        let body = Submit {
            request: payment(&owned, to, &format!("bench-{run}-{number}-{turn}")),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            client: None,
            number: None,
        };
        let begun = Instant::now();
        let answer = node
            .ask::<_, Submitted>(Method::POST, "/v1/submit", Some(&body), wait + GRACE)
            .await;
        let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (outcome, reason) = match &answer {
            Ok(answer) if answer.outcome == "decided" => ("committed", None),
            Ok(answer) if matches!(answer.outcome.as_str(), "abandoned" | "refused") => {
                ("aborted", Some(answer.text.clone()))
            }
            Ok(_) | Err(AskError::Down) => ("undecided", None),
            Err(AskError::Refused(why) | AskError::Broken(why)) => ("aborted", Some(why.clone())),
        };
        ends.push(told(&owned.output, outcome, reason, ms));
        let Some(txid) = answer.ok().and_then(|answer| answer.value) else {
            break;
        };
        if outcome != "committed" {
            break;
        }
        owned = Unspent {
            output: format!("{txid}:0"),
            owner: to.clone(),
            ..owned
        };
    }
    ends
}

/// Lets clients of a simulation pay at their own times.
fn simulate(args: &BenchArgs, protocol: ProtocolKind) -> Result<Printed, Failure> {
    if args.transfers > SIM_PAYMENTS_MAX {
        return Err(Failure::Input(format!(
            "--transfers {}: a simulated genesis has a coin for each; expected at most {SIM_PAYMENTS_MAX}",
            args.transfers
        )));
    }
    let mut scenario = Scenario::new(protocol, args.nodes.unwrap_or(NODES_DEFAULT));
    scenario.seed = args.seed;
    // Ten times as fast; what nodes do is the same.
    scenario.crypto = Crypto::Simulated;
    let coins = vec!["[\"payer\", 100]"; args.transfers as usize].join(", ");
    scenario.config = protocol.parse_config("config", &format!("coins = [{coins}]\n"))?;
    let clients = u64::from(args.concurrency);
    let mut asked: BTreeMap<(ClientId, u64), (u64, String)> = BTreeMap::new();
    for index in 0..u64::from(args.transfers) {
        let (client, turn) = (index % clients, index / clients);
        // Clients are out of step, as in life.
        let at_ms = SIM_BEGIN_MS + turn * SIM_EVERY_MS + client * SIM_EVERY_MS / clients;
        let owned = Unspent {
            output: format!("payer:{index}"),
            amount: 100,
            owner: "payer".to_owned(),
        };
        let request =
            protocol.parse_request("request", &payment(&owned, "payee", &index.to_string()))?;
        let key = (ClientId(NAMED_CLIENTS + client), turn + 1);
        let node = NodeId((client % u64::from(scenario.nodes)) as u16 + 1);
        asked.insert(key, (at_ms, owned.output));
        scenario.at_ms(
            at_ms,
            Act::SubmitAs {
                to: vec![node],
                client: key.0,
                number: key.1,
                request,
            },
        );
    }
    let last_ms = asked.values().map(|(at_ms, _)| *at_ms).max();
    scenario.until = Time::from_ms(last_ms.unwrap_or_default() + SIM_REST_MS);
    let mut sim = Sim::new(&scenario).map_err(|error| Failure::Input(error.to_string()))?;
    sim.set_level(Level::None);
    sim.set_check_recovery(false);
    sim.run();
    if let Some(broken) = sim.verdicts().iter().find(|verdict| !verdict.holds) {
        return Err(Failure::Failed(format!("{} does not hold", broken.name)));
    }
    let mut ends: BTreeMap<(ClientId, u64), Told> = BTreeMap::new();
    let mut over_ms = 0;
    for reply in sim.replies() {
        let key = (reply.client, reply.number);
        let (Some((at_ms, name)), Some(view)) =
            (asked.get(&key), protocol.read_reply(&reply.reply))
        else {
            continue;
        };
        if !view.last || ends.contains_key(&key) {
            continue;
        }
        let outcome = match view.outcome {
            "decided" => "committed",
            _ => "aborted",
        };
        over_ms = reply.at.as_ms();
        let reason = (outcome == "aborted").then_some(view.text);
        ends.insert(key, told(name, outcome, reason, over_ms - at_ms));
    }
    for (key, (_, name)) in &asked {
        ends.entry(*key)
            .or_insert_with(|| told(name, "undecided", None, 0));
    }
    let ends: Vec<Told> = ends.into_values().collect();
    let each = u64::from(args.transfers) * u64::from(scenario.nodes);
    Ok(Printed {
        protocol: protocol.name(),
        seed: args.seed,
        run: "simulated",
        nodes: usize::from(scenario.nodes),
        clients: usize::from(args.concurrency),
        performance: Performance::of(
            &ends,
            Duration::from_millis(over_ms.saturating_sub(SIM_BEGIN_MS)),
        ),
        messages_per_payment_and_node: Some(sim.delivered() / each.max(1)),
    })
}

const NODES_DEFAULT: u16 = 5;
