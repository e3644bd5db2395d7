//! What a cluster whose clients pay with coins shows of itself: wallets, outputs, the chain, pools, figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use phaselab_core::ledger::is_wallet_name;
use phaselab_core::types::{Hash32, NodeId};
use serde::Serialize;

use super::{PrintArgs, What, field, fields, no_node, table};
use crate::cli::story::counted;
use crate::client::NodeClient;
use crate::failure::{Failure, Outcome};
use crate::node::NodeReport;
use crate::purse::{Purse, Unspent, is_conserved, looks};
use crate::terminal::{Ink, Screen, print_json};

/// Prints it.
pub(super) async fn print(nodes: Vec<NodeClient>, mut purse: Purse, args: &PrintArgs) -> Outcome {
    let what = match &args.what {
        What::View => Some("view: nobody leads here"),
        What::Reshard(_) => Some("reshard: there are no items here"),
        _ => None,
    };
    if let Some(what) = what {
        return Err(Failure::Input(format!(
            "{what}; expected balance, db, chain, pools or performance"
        )));
    }
    if let What::Balance { items } = &args.what
        && let Some(wrong) = items.iter().find(|name| !is_wallet_name(name))
    {
        return Err(Failure::Input(format!(
            "balance {wrong:?}: expected a wallet's name, of 1 to 32 letters, digits and hyphens"
        )));
    }
    let all: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
    let before = looks(nodes.clone()).await;
    if before.is_empty() {
        return Err(no_node(args));
    }
    match &args.what {
        What::Balance { items } => {
            items.iter().for_each(|name| purse.know(name));
            balance(&all, &before, &purse, items, args)
        }
        What::Db => db(&before, &purse, args),
        What::Chain => chain(&before, args),
        What::Performance { over } => {
            let begun = Instant::now();
            tokio::time::sleep(*over).await;
            performance(&before, &looks(nodes).await, begun.elapsed(), args)
        }
        _ => pools(&before, args),
    }
}

#[derive(Serialize)]
struct Balance {
    wallet: String,
    /// What every node that runs has it hold; `null` where they differ.
    balance: Option<u64>,
    nodes: Vec<Held>,
}

#[derive(Serialize)]
struct Held {
    node: NodeId,
    /// `null` if the node is down.
    balance: Option<u64>,
    /// In how many outputs.
    outputs: usize,
}

fn balance(
    all: &[NodeId],
    looks: &BTreeMap<NodeId, NodeReport>,
    purse: &Purse,
    named: &[String],
    args: &PrintArgs,
) -> Outcome {
    let unspent = looks
        .iter()
        .map(|(id, report)| (*id, purse.unspent(report)));
    let unspent: BTreeMap<NodeId, Vec<Unspent>> = unspent.collect();
    let mut wallets: Vec<String> = match named {
        [] => purse.owners().into_iter().map(str::to_owned).collect(),
        named => named.to_vec(),
    };
    if named.is_empty() {
        // Also whoever was paid.
        for output in unspent.values().flatten() {
            if !wallets.contains(&output.owner) {
                wallets.push(output.owner.clone());
            }
        }
    }
    let held = |wallet: &str, node: NodeId| {
        let own = unspent.get(&node).map(|all| {
            let own = all.iter().filter(|output| output.owner == wallet);
            own.map(|output| output.amount).collect::<Vec<u64>>()
        });
        Held {
            node,
            balance: own.as_ref().map(|own| own.iter().sum()),
            outputs: own.map_or(0, |own| own.len()),
        }
    };
    let balances: Vec<Balance> = wallets
        .into_iter()
        .map(|wallet| {
            let nodes: Vec<Held> = all.iter().map(|node| held(&wallet, *node)).collect();
            let mut told = nodes.iter().filter_map(|held| held.balance);
            let first = told.next();
            Balance {
                balance: first.filter(|first| told.all(|other| other == *first)),
                wallet,
                nodes,
            }
        })
        .collect();
    if args.json {
        print_json(&balances);
        return Ok(());
    }
    let mut screen = Screen::stdout();
    for told in &balances {
        let of_each = |held: &Held| match held.balance {
            Some(_) if told.balance.is_some() => held.node.0.to_string(),
            Some(balance) => format!("n{}: {balance}", held.node.0),
            None => format!("n{}: down", held.node.0),
        };
        let nodes: Vec<String> = told.nodes.iter().map(of_each).collect();
        let running = told.nodes.iter().filter(|held| held.balance.is_some());
        let outputs = running.map(|held| held.outputs).max().unwrap_or(0);
        let (ink, text) = match told.balance {
            Some(balance) => (
                Ink::Good,
                format!(
                    "{balance} in {}   nodes {}",
                    counted(outputs as u64, "output"),
                    nodes.join(" ")
                ),
            ),
            None => (Ink::Warn, format!("nodes differ   {}", nodes.join(", "))),
        };
        let name = match told.wallet.len() {
            0..=12 => told.wallet.as_str(),
            _ => &told.wallet[..12],
        };
        screen.entry(&format!("{name:<13}"), Some(ink), &text);
    }
    Ok(())
}

#[derive(Serialize)]
struct Db {
    node: NodeId,
    height: u64,
    unspent: Vec<Unspent>,
}

fn db(looks: &BTreeMap<NodeId, NodeReport>, purse: &Purse, args: &PrintArgs) -> Outcome {
    let one = |(id, report): (&NodeId, &NodeReport)| Db {
        node: *id,
        height: number(report, "height"),
        unspent: purse.unspent(report),
    };
    let all: Vec<Db> = looks.iter().map(one).collect();
    table(args, &all, None, |screen, db| {
        let sum: u64 = db.unspent.iter().map(|output| output.amount).sum();
        let text = format!(
            "{} outputs unspent, {sum} together, at height {}",
            db.unspent.len(),
            db.height
        );
        screen.entry(&format!("node {:<4} ", db.node.0), Some(Ink::Bold), &text);
        // Alike at all nodes, as a rule: the first tells, the others what they have otherwise.
        let first = &all[0].unspent;
        let is_told = |output: &&Unspent| db.node == all[0].node || !first.contains(output);
        for output in db.unspent.iter().filter(is_told) {
            let text = format!("{}   {} of {}", output.output, output.amount, output.owner);
            screen.entry("          ", None, &text);
        }
        let missing = first
            .iter()
            .filter(|output| !db.unspent.contains(output))
            .count();
        if missing > 0 {
            let text = format!("{missing} of node {} are not among them", all[0].node.0);
            screen.entry("          ", Some(Ink::Warn), &text);
        }
    });
    Ok(())
}

#[derive(Serialize)]
struct BlockLine {
    height: u64,
    block: Option<Hash32>,
    creator: String,
    transactions: String,
    reward: String,
    /// Who has it.
    nodes: Vec<NodeId>,
}

fn chain(looks: &BTreeMap<NodeId, NodeReport>, args: &PrintArgs) -> Outcome {
    let mut blocks: BTreeMap<(u64, Option<Hash32>), BlockLine> = BTreeMap::new();
    for (id, report) in looks {
        for instance in &report.instances {
            let height = instance.instance.strip_prefix("block ");
            let Some(height) = height.and_then(|height| height.parse().ok()) else {
                continue;
            };
            // One that is polled about has no value yet.
            let Some(value) = instance.value else {
                continue;
            };
            let field = |name: &str| {
                let mut fields = instance.fields.iter();
                let named = fields.find(|field| field.name == name);
                named.map_or_else(|| "?".to_owned(), |field| field.text.clone())
            };
            let line = blocks
                .entry((height, Some(value)))
                .or_insert_with(|| BlockLine {
                    height,
                    block: Some(value),
                    creator: field("creator"),
                    transactions: field("transactions"),
                    reward: field("reward"),
                    nodes: Vec::new(),
                });
            line.nodes.push(*id);
        }
    }
    let blocks: Vec<BlockLine> = blocks.into_values().collect();
    if args.json {
        print_json(&blocks);
        return Ok(());
    }
    let mut screen = Screen::stdout();
    if blocks.is_empty() {
        screen.entry("chain     ", None, "no block yet");
    }
    for line in &blocks {
        let id = line.block.map(|id| id.short().to_string());
        let nodes: Vec<String> = line.nodes.iter().map(|id| id.0.to_string()).collect();
        let is_everywhere = line.nodes.len() == looks.len();
        let text = format!(
            "{}  by {}  {} transactions  reward {}  nodes {}",
            id.unwrap_or_default(),
            line.creator,
            line.transactions,
            line.reward,
            nodes.join(" ")
        );
        let ink = if is_everywhere { Ink::Good } else { Ink::Warn };
        screen.entry(&format!("block {:<4}", line.height), Some(ink), &text);
    }
    Ok(())
}

#[derive(Serialize)]
struct Pools {
    node: NodeId,
    height: u64,
    pending: u64,
    finalized: u64,
    rejected: u64,
    locked: u64,
    /// Whether the node's sums are equal, and what they are.
    conserved: bool,
    sums: String,
}

fn pools(looks: &BTreeMap<NodeId, NodeReport>, args: &PrintArgs) -> Outcome {
    let one = |(id, report): (&NodeId, &NodeReport)| {
        let sums = field(report, "conserved");
        Pools {
            node: *id,
            height: number(report, "height"),
            pending: number(report, "pending pool"),
            finalized: number(report, "finalized pool"),
            rejected: number(report, "rejected pool"),
            locked: number(report, "locked inputs"),
            conserved: is_conserved(&sums),
            sums,
        }
    };
    let all: Vec<Pools> = looks.iter().map(one).collect();
    let titles = "node  height  pending  final  rejected  locked  unspent + fees = issued + minted";
    table(args, &all, Some(titles), |screen, line| {
        let head = format!(
            "{:<5} {:<7} {:<8} {:<6} {:<9} {:<7} ",
            line.node.0, line.height, line.pending, line.finalized, line.rejected, line.locked
        );
        let ink = if line.conserved { Ink::Good } else { Ink::Bad };
        // Without the words, which the head has.
        let is_sum = |c: char| c.is_ascii_digit() || "+=".contains(c);
        let words = line
            .sums
            .split_whitespace()
            .filter(|word| word.chars().all(is_sum));
        screen.entry(&head, Some(ink), &words.collect::<Vec<_>>().join(" "));
    });
    Ok(())
}

#[derive(Serialize)]
struct Figures {
    node: NodeId,
    uptime_ms: u64,
    polls: u64,
    vote_timeouts: u64,
    late_votes: u64,
    finalized: u64,
    rejected: u64,
    blocks_built: u64,
    blocks_decided: u64,
    /// In a thousand seconds, while it was watched.
    finalized_per_kilosecond: u64,
    polls_per_kilosecond: u64,
}

fn performance(
    before: &BTreeMap<NodeId, NodeReport>,
    after: &BTreeMap<NodeId, NodeReport>,
    over: Duration,
    args: &PrintArgs,
) -> Outcome {
    let ms = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
    let one = |(id, report): (&NodeId, &NodeReport)| {
        let now = |name: &str| counter(report, name);
        let rate = |name: &str| {
            let earlier = before.get(id).map_or(0, |report| counter(report, name));
            now(name).saturating_sub(earlier).saturating_mul(1_000_000) / ms
        };
        Figures {
            node: *id,
            uptime_ms: report.uptime_ms,
            polls: now("snowball_polls_total"),
            vote_timeouts: now("snowball_vote_timeouts_total"),
            late_votes: now("snowball_votes_late_total"),
            finalized: now("snowball_transactions_finalized_total"),
            rejected: now("snowball_transactions_rejected_total"),
            blocks_built: now("snowball_blocks_built_total"),
            blocks_decided: now("snowball_blocks_decided_total"),
            finalized_per_kilosecond: rate("snowball_transactions_finalized_total"),
            polls_per_kilosecond: rate("snowball_polls_total"),
        }
    };
    let all: Vec<Figures> = after.iter().map(one).collect();
    if args.json {
        print_json(&all);
        return Ok(());
    }
    let mut screen = Screen::stdout();
    screen.painted(
        Ink::Bold,
        "node  finalized  per second  rejected  blocks  built  polls    timeouts  late",
    );
    for line in &all {
        let speed = line.finalized_per_kilosecond;
        screen.line(&format!(
            "{:<5} {:<10} {:<11} {:<9} {:<7} {:<6} {:<8} {:<9} {}",
            line.node.0,
            line.finalized,
            format!("{}.{}", speed / 1_000, speed / 100 % 10),
            line.rejected,
            line.blocks_decided,
            line.blocks_built,
            line.polls,
            line.vote_timeouts,
            line.late_votes
        ));
    }
    screen.line("");
    screen.line(
        "time to finality: `phaselab bench --protocol snowball`, and `phaselab submit --file`",
    );
    Ok(())
}

/// A counter of this life.
fn counter(report: &NodeReport, name: &str) -> u64 {
    report.counters.get(name).copied().unwrap_or(0)
}

/// A field that is a number, or begins with one.
fn number(report: &NodeReport, name: &str) -> u64 {
    let text = fields(report, name).next().unwrap_or_default();
    let digits = text.split_whitespace().next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}
