//! `phaselab bench`: a workload drawn from a seed, asked of a running cluster or of a simulated one. (S4-54)
//!
//! ```text
//! bench/coins.rs   the same where clients pay with coins
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use phaselab_core::crypto::Crypto;
use phaselab_core::protocol::{ProtocolKind, members};
use phaselab_core::scenario::{Act, NAMED_CLIENTS, Scenario};
use phaselab_core::shards::mix::{Mix, crossing};
use phaselab_core::shards::{Shards, Wish};
use phaselab_core::sim::Sim;
use phaselab_core::types::{ClientId, NodeId, Time};
use serde::Serialize;

use super::choose::protocol;
use super::print::router;
use super::reshard::learn_homes;
use crate::config::{NodeConfig, in_folder};
use crate::failure::{Failure, Outcome, write_file};
use crate::init::DIR_DEFAULT;
use crate::node::{NOT_LEADER, runtime};
use crate::purse::has_coins;
use crate::router::{Told, outcome};
use crate::submit::clustered::ask_all;
use crate::submit::performance::Performance;
use crate::submit::span;
use crate::terminal::{Screen, print_json};

mod coins;

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Which protocol: one with items or coins; that of the folder's cluster unless told, sharded-2pc in a simulation
    #[arg(long, value_name = "P", value_parser = protocol)]
    protocol: Option<ProtocolKind>,
    /// How many requests, reads among them
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    transfers: u32,
    /// Of items: how many percent of the requests only read; none unless told
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(0..=100))]
    read_only: Option<u16>,
    /// Of items: how many percent of the transfers go to another cluster; 50 unless told
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(0..=100))]
    cross_shard: Option<u16>,
    /// How unevenly items are used: 0 all alike, as unless told, 1 only the first of each cluster
    #[arg(long, value_name = "0..1", value_parser = permille)]
    skew: Option<Permille>,
    /// To how many items of other clusters each item sends; 0, as unless told, for any
    #[arg(long, value_name = "N")]
    partners: Option<u32>,
    /// How many clients ask at once, each for one request after another; with coins no more than there are unspent
    #[arg(long, value_name = "C", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=128))]
    concurrency: u16,
    /// Draw the requests from this seed
    #[arg(long, value_name = "S", default_value_t = 7)]
    seed: u64,
    /// How long to wait for each, such as 10s or 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = span, conflicts_with_all = ["sim", "out"])]
    wait: Duration,
    /// The folder of the cluster
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Ask a simulated cluster, in virtual time
    #[arg(long, conflicts_with = "dir")]
    sim: bool,
    /// How many nodes the simulated cluster has; 9 unless told, 5 with coins
    #[arg(long, value_name = "N", requires = "sim", conflicts_with = "dir", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    nodes: Option<u16>,
    /// Only write the requests to a file, one per line
    #[arg(long, value_name = "FILE", conflicts_with = "sim")]
    out: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// A share in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Permille(u16);

/// `0`, `1`, `0.75`: up to three digits.
fn permille(text: &str) -> Result<Permille, String> {
    let expected = || "expected 0 to 1 with up to three digits, such as 0.75".to_owned();
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !is_digits(whole) || !is_digits(rest) || rest.len() > 3 {
        return Err(expected());
    }
    let whole: u16 = whole.parse().map_err(|_| expected())?;
    let rest: u16 = format!("{rest:0<3}").parse().map_err(|_| expected())?;
    match whole.saturating_mul(1_000).saturating_add(rest) {
        all @ 0..=1_000 => Ok(Permille(all)),
        _ => Err(expected()),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed {
    seed: u64,
    /// `live`, or `simulated`, where time is virtual.
    run: &'static str,
    /// Transfers between clusters, as items live when it begins, and all.
    cross_shard: u64,
    transfers: u64,
    #[serde(flatten)]
    performance: Performance,
}

/// When clients of a simulation begin, once each cluster has had time to find a leader; and within which time all do.
const SIM_BEGIN_MS: u64 = 1_000;
const SIM_STAGGER_MS: u64 = 400;
/// Of a simulated cluster with items.
const NODES_DEFAULT: u16 = 9;
const NODES_MAX: u16 = 64;
const CROSS_SHARD_DEFAULT: u16 = 50;
/// How long a simulation goes on for each request of a client, at most.
const SIM_REST_MS: u64 = 20_000;

/// Draws the workload and asks for it.
pub(crate) fn run(args: &BenchArgs) -> Outcome {
    let protocol = protocol_of(args)?;
    if has_coins(protocol) {
        return coins::run(args, protocol);
    }
    let mix = Mix {
        requests: args.transfers,
        read_only_permille: 10 * args.read_only.unwrap_or(0),
        cross_shard_permille: 10 * args.cross_shard.unwrap_or(CROSS_SHARD_DEFAULT),
        skew_permille: args.skew.map_or(0, |skew| skew.0),
        partners: args.partners.unwrap_or(0),
        ..Mix::default()
    };
    let ((cross_shard, transfers), performance) = if args.sim {
        let scenario = scenario(args, protocol)?;
        let shards = shards_of(&scenario)?;
        let wishes = mix.draw(&shards, args.seed);
        let counts = crossing(&wishes, |item| shards.home(item));
        (counts, simulate(scenario, &shards, &wishes, args)?)
    } else {
        let router = router(&args.dir)?;
        let wishes = mix.draw(router.shards(), args.seed);
        if let Some(out) = &args.out {
            return write_file(out, lines(&wishes));
        }
        let runtime = runtime()?;
        runtime.block_on(learn_homes(&router));
        let counts = crossing(&wishes, |item| router.home(item));
        let protocol = router.protocol();
        let requests = wishes.iter().filter_map(|wish| protocol.wish(*wish));
        let begun = Instant::now();
        let ends = runtime.block_on(ask_all(
            Arc::new(router),
            requests.collect(),
            args.concurrency,
            args.wait,
            |_| {},
        ))?;
        if !ends.iter().any(|told| told.heard) {
            let dir = args.dir.display();
            return Err(Failure::Failed(format!(
                "no node of {dir} is running; `phaselab cluster --dir {dir}` starts them"
            )));
        }
        (counts, Performance::of(&ends, begun.elapsed()))
    };
    let printed = Printed {
        seed: args.seed,
        run: if args.sim { "simulated" } else { "live" },
        cross_shard,
        transfers,
        performance,
    };
    if args.json {
        print_json(&printed);
    } else {
        show(&printed, args);
    }
    match printed.performance.undecided {
        0 => Ok(()),
        _ => Err(Failure::Unexpected),
    }
}

fn show(printed: &Printed, args: &BenchArgs) {
    let mut screen = Screen::stdout();
    let text = format!(
        "{}, seed {}, {} clients: {} of {} transfers across clusters",
        printed.run, printed.seed, args.concurrency, printed.cross_shard, printed.transfers
    );
    screen.entry("bench      ", None, &text);
    printed.performance.show(&mut screen);
}

/// The lines that `submit --file` takes.
fn lines(wishes: &[Wish]) -> String {
    let mut text = String::new();
    for wish in wishes {
        let _ = match wish {
            Wish::Transfer {
                sender,
                receiver,
                amount,
            } => writeln!(text, "{sender},{receiver},{amount}"),
            Wish::Read { item } => writeln!(text, "{item}"),
            Wish::Move { .. } => Ok(()),
        };
    }
    text
}

/// The protocol that is asked: the folder's, which has to be the one that is told.
fn protocol_of(args: &BenchArgs) -> Result<ProtocolKind, Failure> {
    if args.sim {
        return Ok(args.protocol.unwrap_or(ProtocolKind::Sharded2pc));
    }
    let folder = in_folder(&args.dir)?;
    let first = folder.values().next().expect("a folder with a node");
    let there = NodeConfig::load(first)?.genesis.protocol;
    match args.protocol.is_none_or(|told| told == there) {
        true => Ok(there),
        false => Err(Failure::in_file(
            &args.dir,
            format!("is a cluster of {}", there.name()),
        )),
    }
}

fn scenario(args: &BenchArgs, protocol: ProtocolKind) -> Result<Scenario, Failure> {
    let nodes = args.nodes.unwrap_or(NODES_DEFAULT);
    if nodes > NODES_MAX {
        return Err(Failure::Input(format!(
            "--nodes {nodes}: {} is simulated with at most {NODES_MAX} here",
            protocol.name()
        )));
    }
    let mut scenario = Scenario::new(protocol, nodes);
    scenario.seed = args.seed;
    // Ten times as fast; what nodes do is the same.
    scenario.crypto = Crypto::Simulated;
    Ok(scenario)
}

fn shards_of(scenario: &Scenario) -> Result<Shards, Failure> {
    let members = members(scenario.crypto, &scenario.groups);
    let shards = scenario.protocol.shards(&scenario.config, &members);
    shards.ok_or_else(|| {
        let name = scenario.protocol.name();
        Failure::Input(format!(
            "--protocol {name}: expected one with items or coins: sharded-2pc, snowball"
        ))
    })
}

/// A simulated client, which asks for one request after another.
struct SimClient {
    number: u64,
    asked: Time,
    request: String,
}

/// Runs the simulation: each client asks the members of the item's cluster, and for the next once that has ended.
fn simulate(
    mut scenario: Scenario,
    shards: &Shards,
    wishes: &[Wish],
    args: &BenchArgs,
) -> Result<Performance, Failure> {
    let mut waiting = wishes.iter();
    let mut clients = BTreeMap::new();
    let count = u64::from(args.concurrency).min(wishes.len() as u64);
    for (place, wish) in (0..count).zip(waiting.by_ref()) {
        // Clients are out of step, as in life.
        let asked = Time::from_ms(SIM_BEGIN_MS + place * SIM_STAGGER_MS / count);
        let id = ClientId(NAMED_CLIENTS + place);
        let (act, request) = ask(&scenario, shards, *wish, id, 1)?;
        scenario.at_ms(asked.as_ms(), act);
        let client = SimClient {
            number: 1,
            asked,
            request,
        };
        clients.insert(id, client);
    }
    let turns = (wishes.len() as u64).div_ceil(count.max(1));
    scenario.until = Time::from_ms(SIM_BEGIN_MS + turns.saturating_add(1) * SIM_REST_MS);
    let protocol = scenario.protocol;
    let mut sim = Sim::new(&scenario).map_err(|error| Failure::Input(error.to_string()))?;
    sim.set_level(phaselab_core::event::Level::None);
    sim.set_check_recovery(false);
    let (mut ends, mut heard) = (Vec::new(), 0);
    while !clients.is_empty() && sim.step().is_some() {
        let now = sim.now();
        let news: Vec<_> = sim.replies()[heard..].to_vec();
        heard += news.len();
        for reply in news {
            let Some(client) = clients.get_mut(&reply.client) else {
                continue;
            };
            let view = protocol.read_reply(&reply.reply);
            let is_end = view.is_some_and(|view| view.last && view.outcome != NOT_LEADER);
            if !is_end || reply.number != client.number {
                continue;
            }
            let parts = protocol.reply_parts(&reply.reply);
            let outcome = outcome(&parts);
            let ms = now.as_ms() - client.asked.as_ms();
            ends.push(told(&client.request, outcome, parts.reason, ms));
            match waiting.next() {
                None => {
                    clients.remove(&reply.client);
                }
                Some(wish) => {
                    let number = client.number + 1;
                    let (act, request) = ask(&scenario, shards, *wish, reply.client, number)?;
                    sim.intervene(act).map_err(Failure::Failed)?;
                    (client.number, client.asked, client.request) = (number, now, request);
                }
            }
        }
    }
    if let Some(broken) = sim.verdicts().iter().find(|verdict| !verdict.holds) {
        return Err(Failure::Failed(format!("{} does not hold", broken.name)));
    }
    let elapsed = sim.now().as_ms().saturating_sub(SIM_BEGIN_MS);
    let open = clients.values();
    ends.extend(open.map(|client| told(&client.request, "undecided", None, 0)));
    Ok(Performance::of(&ends, Duration::from_millis(elapsed)))
}

/// What a client asks for, of whom, and what people call it.
fn ask(
    scenario: &Scenario,
    shards: &Shards,
    wish: Wish,
    client: ClientId,
    number: u64,
) -> Result<(Act, String), Failure> {
    let home = shards.home(wish.item());
    let members = (1..).zip(&scenario.groups);
    let to = members.filter(|(_, group)| Some(**group) == home);
    let to = to.map(|(id, _)| NodeId(id)).collect();
    let text = scenario.protocol.wish(wish).unwrap_or_default();
    let request = scenario.protocol.parse_request("request", &text)?;
    let name = scenario.protocol.request_name(&request).unwrap_or_default();
    let act = Act::SubmitAs {
        to,
        client,
        number,
        request,
    };
    Ok((act, name))
}

fn told(request: &str, outcome: &'static str, reason: Option<String>, ms: u64) -> Told {
    Told {
        request: request.to_owned(),
        outcome,
        transaction: None,
        balance: None,
        reason,
        node: None,
        cluster: None,
        asked: 1,
        ms,
        heard: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_in_thousandths() {
        let cases = [
            ("0", 0),
            ("1", 1_000),
            ("0.5", 500),
            ("0.75", 750),
            ("1.0", 1_000),
            ("0.001", 1),
        ];
        for (text, expected) in cases {
            assert_eq!(permille(text), Ok(Permille(expected)), "{text}");
        }
        for text in ["", "1.1", "2", "-1", ".5", "0.", "0.1234", "x", "99999999"] {
            assert!(permille(text).is_err(), "{text}");
        }
    }
}
