//! `phaselab print`: what a cluster whose protocol has items, or coins, shows of itself. (S4-53)
//!
//! ```text
//! print/coins.rs   wallets, outputs, the chain, pools: where clients pay with coins
//! ```
//!
//! The names are the document's: PrintBalance, PrintDB, PrintView, Performance, PrintReshard. Each node is asked for its
//! own account, as of its last durable step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use phaselab_core::shards::{Item, Wish};
use phaselab_core::types::{GroupId, NodeId};
use serde::Serialize;

use super::reshard::{self, HistoryArgs};
use crate::client::NodeClient;
use crate::config::in_folder;
use crate::failure::{Failure, Outcome};
use crate::init::DIR_DEFAULT;
use crate::node::{NodeReport, runtime};
use crate::purse::{self, Purse};
use crate::router::{Asker, Router};
use crate::submit::span;
use crate::terminal::{Ink, Screen, print_json};

mod coins;

/// Options of `print`.
#[derive(Debug, Args)]
#[command(
    after_help = "The document's F(n) and R(n), a node that fails and comes back: lines of `phaselab submit --file`, \
                  keys of `phaselab cluster --tui`, `phaselab fault cut` and `phaselab fault heal`, and at random \
                  `phaselab chaos`. A node that was killed comes back with `phaselab node --config`."
)]
pub(crate) struct PrintArgs {
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
    /// What items hold, at each member of their cluster (PrintBalance); or wallets, at each node
    Balance {
        /// The items; or wallets, all of them unless told
        #[arg(value_name = "ITEM|WALLET")]
        items: Vec<String>,
    },
    /// Every item that changed or is held, or every output that is unspent, at every node (PrintDB)
    Db,
    /// The blocks, and which nodes have them, of a protocol with coins
    Chain,
    /// Transactions that are pending, final and rejected, and whether sums are conserved, at every node
    Pools,
    /// Who leads each cluster, by which ballot, as each node has it (PrintView)
    View,
    /// What each node did since it started, and what the cluster does now (Performance)
    Performance {
        /// For how long it is watched, such as 2s or 500ms
        #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span)]
        over: Duration,
    },
    /// Where items should live: item, from, to (PrintReshard)
    Reshard(HistoryArgs),
}

/// How long a read of one item may take.
const READ_WAIT: Duration = Duration::from_secs(5);

/// Prints it.
pub(crate) fn run(args: &PrintArgs) -> Outcome {
    let folder = in_folder(&args.dir)?;
    if let Some(purse) = Purse::of_folder(&folder)? {
        let nodes = folder.iter();
        let nodes = nodes.map(|(id, config)| NodeClient::new(*id, config));
        return runtime()?.block_on(coins::print(nodes.collect(), purse, args));
    }
    let router = router(&args.dir)?;
    if let What::Reshard(history) = &args.what {
        return reshard::print(&router, history, args.json);
    }
    runtime()?.block_on(async {
        match &args.what {
            What::Balance { items } => balance(&router, items, args).await,
            What::Db => db(&router, args).await,
            What::View => view(&router, args).await,
            What::Performance { over } => performance(&router, *over, args).await,
            What::Chain | What::Pools => Err(Failure::Input(format!(
                "a cluster of {} has no blocks and no pools; expected balance, db, view, performance or reshard",
                router.protocol().name()
            ))),
            What::Reshard(_) => Ok(()),
        }
    })
}

/// The way into the clusters of a folder.
///
/// # Errors
/// If there is none, or its protocol has no items.
pub(super) fn router(dir: &std::path::Path) -> Result<Router, Failure> {
    Router::of_folder(&in_folder(dir)?)?.ok_or_else(|| {
        Failure::in_file(
            dir,
            "its protocol has no items; expected a cluster of sharded-2pc",
        )
    })
}

/// What every node that runs says of itself, in full.
async fn looks(router: &Router, args: &PrintArgs) -> Result<BTreeMap<NodeId, NodeReport>, Failure> {
    let looks = purse::looks(router.nodes()).await;
    match looks.is_empty() {
        true => Err(no_node(args)),
        false => Ok(looks),
    }
}

fn no_node(args: &PrintArgs) -> Failure {
    let dir = args.dir.display();
    Failure::Failed(format!(
        "no node of {dir} is running; `phaselab cluster --dir {dir}` starts them"
    ))
}

/// The texts of the fields with a name.
fn fields<'a>(report: &'a NodeReport, name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = report.fields.iter().filter(move |field| field.name == name);
    named.map(|field| field.text.as_str())
}

fn field(report: &NodeReport, name: &str) -> String {
    fields(report, name).next().unwrap_or("?").to_owned()
}

/// An item at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Held {
    item: Item,
    /// What it holds; `null` if it lives elsewhere.
    balance: Option<u64>,
    /// The transaction that holds it.
    held_by: Option<String>,
}

/// `1001: 90, held by 2pc-5-1`.
fn held(text: &str) -> Option<Held> {
    let (item, rest) = text.split_once(": ")?;
    let (balance, held_by) = match rest.split_once(", held by ") {
        Some((balance, by)) => (balance, Some(by.to_owned())),
        None => (rest, None),
    };
    Some(Held {
        item: item.parse().ok()?,
        balance: balance.parse().ok(),
        held_by,
    })
}

#[derive(Serialize)]
struct Balance {
    item: Item,
    cluster: GroupId,
    /// What the leader answers once a majority confirms it; `null` if nobody could.
    balance: Option<u64>,
    /// What each member has applied.
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    node: NodeId,
    /// `null` if the node is down, or the item lives elsewhere.
    balance: Option<u64>,
    held_by: Option<String>,
    up: bool,
}

/// Items as words of the command line.
fn items(words: &[String]) -> Result<Vec<Item>, Failure> {
    if words.is_empty() {
        let what = "balance: expected at least one item, such as 1001";
        return Err(Failure::Input(what.to_owned()));
    }
    let one = |word: &String| {
        word.parse()
            .map_err(|_| Failure::Input(format!("{word}: expected an item's number, such as 1001")))
    };
    words.iter().map(one).collect()
}

async fn balance(router: &Router, words: &[String], args: &PrintArgs) -> Outcome {
    let items = items(words)?;
    let all = router.shards().items();
    if let Some(item) = items.iter().find(|item| !all.contains(item)) {
        let last = all.end();
        return Err(Failure::Input(format!("item {item}: expected 1 to {last}")));
    }
    let looks = looks(router, args).await?;
    let mut asker = Asker::new()?;
    let mut balances = Vec::new();
    for item in items.iter().copied() {
        let told = router
            .wish(asker.next(), Wish::Read { item }, READ_WAIT)
            .await?;
        let cluster = told
            .cluster
            .or_else(|| router.home(item))
            .unwrap_or_default();
        let member = |node: &NodeId| {
            let report = looks.get(node);
            let changed = report.and_then(|report| {
                let mut items = fields(report, "item").filter_map(held);
                items.find(|held| held.item == item)
            });
            let first = || {
                (router.shards().home(item) == Some(cluster))
                    .then(|| router.shards().first_balance(item))
            };
            Member {
                node: *node,
                up: report.is_some(),
                balance: match (&changed, report) {
                    (Some(held), _) => held.balance,
                    (None, Some(_)) => first(),
                    (None, None) => None,
                },
                held_by: changed.and_then(|held| held.held_by),
            }
        };
        balances.push(Balance {
            item,
            cluster,
            balance: told.balance,
            members: router.members(cluster).iter().map(member).collect(),
        });
    }
    if args.json {
        print_json(&balances);
        return Ok(());
    }
    let mut screen = Screen::stdout();
    for told in &balances {
        let members = told.members.iter().map(|member| {
            let text = match (member.balance, member.up) {
                (Some(balance), _) => balance.to_string(),
                (None, true) => "elsewhere".to_owned(),
                (None, false) => "down".to_owned(),
            };
            let by = member
                .held_by
                .as_ref()
                .map_or_else(String::new, |by| format!(" held by {by}"));
            format!("n{}: {text}{by}", member.node.0)
        });
        let members: Vec<String> = members.collect();
        let agreed = told
            .balance
            .map_or_else(|| "no majority".to_owned(), |held| held.to_string());
        let text = format!(
            "{agreed}   {}   cluster {}",
            members.join(", "),
            told.cluster.0
        );
        let ink = if told.balance.is_some() {
            Ink::Good
        } else {
            Ink::Warn
        };
        screen.entry(&format!("{:<10} ", told.item), Some(ink), &text);
    }
    Ok(())
}

#[derive(Serialize)]
struct Db {
    node: NodeId,
    cluster: String,
    last_executed: String,
    items: Vec<Held>,
}

async fn db(router: &Router, args: &PrintArgs) -> Outcome {
    let looks = looks(router, args).await?;
    let one = |(id, report): (&NodeId, &NodeReport)| Db {
        node: *id,
        cluster: field(report, "cluster"),
        last_executed: field(report, "lastExecuted"),
        items: fields(report, "item").filter_map(held).collect(),
    };
    let all: Vec<Db> = looks.iter().map(one).collect();
    table(args, &all, None, |screen, db| {
        let items = db.items.iter().map(|held| {
            let balance = held
                .balance
                .map_or_else(|| "elsewhere".to_owned(), |held| held.to_string());
            match held.held_by {
                Some(_) => format!("{}: {balance} held", held.item),
                None => format!("{}: {balance}", held.item),
            }
        });
        let items: Vec<String> = items.collect();
        let text = match items.len() {
            0 => "nothing changed".to_owned(),
            _ => items.join(", "),
        };
        let head = format!(
            "node {:<3} cluster {} seq {:<5} ",
            db.node.0, db.cluster, db.last_executed
        );
        screen.entry(&head, None, &text);
    });
    Ok(())
}

#[derive(Serialize)]
struct View {
    node: NodeId,
    cluster: String,
    leader: String,
    leads: bool,
    promised: String,
    last_executed: String,
    /// What it knows of other clusters.
    others: Vec<String>,
    elections: u64,
}

async fn view(router: &Router, args: &PrintArgs) -> Outcome {
    let looks = looks(router, args).await?;
    let one = |(id, report): (&NodeId, &NodeReport)| View {
        node: *id,
        cluster: field(report, "cluster"),
        leader: field(report, "leader"),
        leads: field(report, "leads") == "yes",
        promised: field(report, "promised"),
        last_executed: field(report, "lastExecuted"),
        others: fields(report, "leader of cluster")
            .map(str::to_owned)
            .collect(),
        elections: counter(report, "elections_total"),
    };
    let all: Vec<View> = looks.iter().map(one).collect();
    let titles = "node  cluster  leader  ballot   seq    elections  knows";
    table(args, &all, Some(titles), |screen, view| {
        let leader = match view.leads {
            true => "itself",
            false => view.leader.as_str(),
        };
        let head = format!(
            "{:<5} {:<8} {leader:<7} {:<8} {:<6} {:<10} ",
            view.node.0, view.cluster, view.promised, view.last_executed, view.elections
        );
        screen.entry(
            &head,
            view.leads.then_some(Ink::Good),
            &view.others.join("; "),
        );
    });
    Ok(())
}

/// A row for each, below a head; or all of them as JSON.
fn table<T: Serialize>(
    args: &PrintArgs,
    all: &[T],
    head: Option<&str>,
    mut row: impl FnMut(&mut Screen, &T),
) {
    if args.json {
        return print_json(all);
    }
    let mut screen = Screen::stdout();
    if let Some(head) = head {
        screen.painted(Ink::Bold, head);
    }
    all.iter().for_each(|one| row(&mut screen, one));
}

/// A counter of this life, by how its name ends.
fn counter(report: &NodeReport, name: &str) -> u64 {
    let mut counters = report.counters.iter();
    let named = |known: &str| {
        known
            .strip_suffix(name)
            .is_some_and(|before| before.ends_with('_'))
    };
    // `elections_total` is not `retried_elections_total`.
    counters
        .find(|(known, _)| {
            named(known) && known.matches('_').count() == name.matches('_').count() + 2
        })
        .map_or(0, |(_, count)| *count)
}

#[derive(Serialize)]
struct Figures {
    cluster: GroupId,
    /// Who says so: the member that executed most.
    node: NodeId,
    uptime_ms: u64,
    /// Entries of the log that were executed.
    executed: u64,
    /// Transactions between clusters that ended in this life, well or not.
    commits: u64,
    aborts: u64,
    lock_retries: u64,
    elections: u64,
    /// In a thousand seconds, while it was watched.
    executed_per_kilosecond: u64,
    /// How long a read of the cluster's first item takes now; `null` if it has no end.
    read_ms: Option<u64>,
}

async fn performance(router: &Router, over: Duration, args: &PrintArgs) -> Outcome {
    let before = looks(router, args).await?;
    let begun = Instant::now();
    tokio::time::sleep(over).await;
    let after = looks(router, args).await?;
    let ms = u64::try_from(begun.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let executed = |report: &NodeReport| field(report, "lastExecuted").parse::<u64>().unwrap_or(0);
    let mut asker = Asker::new()?;
    let mut all = Vec::new();
    for cluster in router.shards().clusters() {
        let members = router.members(*cluster).iter();
        let there = members.filter_map(|id| after.get(id));
        let Some(best) = there.clone().max_by_key(|report| executed(report)) else {
            continue;
        };
        let most = |name: &str| {
            there
                .clone()
                .map(|report| counter(report, name))
                .max()
                .unwrap_or(0)
        };
        let sum = |name: &str| there.clone().map(|report| counter(report, name)).sum();
        let earlier = before.get(&best.id).map_or(0, &executed);
        let items = router.shards().items_of(*cluster);
        let read = match items.map(|items| *items.start()) {
            Some(item) => router
                .wish(asker.next(), Wish::Read { item }, READ_WAIT)
                .await
                .ok(),
            None => None,
        };
        all.push(Figures {
            cluster: *cluster,
            node: best.id,
            uptime_ms: best.uptime_ms,
            executed: executed(best),
            commits: most("commits_total"),
            aborts: most("aborts_total"),
            lock_retries: sum("lock_retries_total"),
            elections: sum("elections_won_total"),
            executed_per_kilosecond: executed(best).saturating_sub(earlier) * 1_000_000 / ms,
            read_ms: read
                .filter(|told| told.outcome == "read")
                .map(|told| told.ms),
        });
    }
    if args.json {
        print_json(&all);
        return Ok(());
    }
    let mut screen = Screen::stdout();
    screen.painted(
        Ink::Bold,
        "cluster  executed  per second  commits  aborts  retries  elections  read",
    );
    for line in &all {
        let speed = line.executed_per_kilosecond;
        let read = line
            .read_ms
            .map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms"));
        screen.line(&format!(
            "{:<8} {:<9} {:<11} {:<8} {:<7} {:<8} {:<10} {read}",
            line.cluster.0,
            line.executed,
            format!("{}.{}", speed / 1_000, speed / 100 % 10),
            line.commits,
            line.aborts,
            line.lock_retries,
            line.elections
        ));
    }
    screen.line("");
    screen.line("how long clients wait: `phaselab bench`, and `phaselab submit --file`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_off_what_nodes_show() {
        let all = |item, balance, held_by: Option<&str>| Held {
            item,
            balance,
            held_by: held_by.map(str::to_owned),
        };
        assert_eq!(held("1001: 90"), Some(all(1_001, Some(90), None)));
        assert_eq!(
            held("1001: 90, held by 2pc-5-1.2"),
            Some(all(1_001, Some(90), Some("2pc-5-1.2")))
        );
        assert_eq!(held("7: elsewhere"), Some(all(7, None, None)));
        assert_eq!((held("7"), held("x: 1")), (None, None));
    }

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let text = r#"{"id":1,"pid":1,"incarnation":1,"uptime_ms":0,"current":null,"instances":[],"peers":[],
            "refused":0,"chain":{"connected":false,"reported":0},"counters":{
            "sharded_2pc_elections_total":3,"sharded_2pc_elections_won_total":2,"sharded_2pc_lock_retries_total":7}}"#;
        let report: NodeReport = serde_json::from_str(text).unwrap();
        assert_eq!(counter(&report, "elections_total"), 3);
        assert_eq!(counter(&report, "elections_won_total"), 2);
        assert_eq!(counter(&report, "lock_retries_total"), 7);
        assert_eq!(counter(&report, "retries_total"), 0);
    }
}
