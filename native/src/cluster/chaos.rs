//! `phaselab chaos`: a real cluster under load, with faults at random, judged from outside.
//!
//! ```text
//! chaos/schedule.rs   what is done and when, drawn from a seed
//! chaos/load.rs       clients that ask, and looks at every node
//! chaos/judge.rs      what is held to be right
//! chaos/bank.rs       the same where items live in clusters: clients that move money, and the books
//! chaos/coins.rs      the same where clients pay with coins, some of them twice
//! chaos/watch.rs      one of the three
//! chaos/findings.rs   what each of them found wrong
//! ```
//!
//! Nodes are real processes that are killed (SIGKILL), stopped in their tracks and cut off at random moments, while
//! clients ask them to decide events and each node is looked at again and again. Then everything is mended, and what was
//! acknowledged has to end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use clap::Args;
use phaselab_core::types::NodeId;
use serde::Serialize;

use super::supervise::{Life, Nodes, Notice};
use super::{Started, await_ready, configs_in, host_chain};
use crate::cli::choose::protocol;
use crate::cli::fault::tell;
use crate::config::NodeConfig;
use crate::failure::{Failure, Outcome, io_words, read_text};
use crate::genesis;
use crate::init::{self, LocalCluster, entropy};
use crate::log::{self, LogArgs};
use crate::net::faults::Fault;
use crate::node::runtime;
use crate::purse::has_coins;
use crate::signals;
use crate::terminal::{Ink, Screen, print_json};

mod bank;
mod coins;
mod findings;
mod judge;
mod load;
mod schedule;
mod watch;

use schedule::{Deed, Schedule};
use watch::{Counts, Watch};

/// Options of `chaos`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 if every promise was kept; 1 if one was broken, and the cluster's folder is kept."
)]
pub(crate) struct ChaosArgs {
    /// Which protocol
    #[arg(long, value_name = "P", value_parser = protocol, default_value = "two-phase")]
    protocol: phaselab_core::protocol::ProtocolKind,
    /// How many nodes; 4 unless told, 5 of a protocol with coins, 9 of one with clusters
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(3..=16))]
    nodes: Option<u16>,
    /// Go on for so many minutes; half a minute if neither this nor --seconds nor --kills is told
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: Option<u64>,
    /// Go on for so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=6_000_000))]
    seconds: Option<u64>,
    /// Go on until so many nodes were killed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    kills: Option<u64>,
    /// Draw the faults from this seed; a random one unless told
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Events, transfers or payments that clients ask for per second
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    rate: u64,
    /// The folder of the cluster's files, made anew; a temporary one unless told
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

const SECONDS_DEFAULT: u64 = 30;
const NODES_DEFAULT: u16 = 4;
/// Enough that polls succeed without one of them.
const PAYING_NODES_DEFAULT: u16 = 5;
/// Three clusters of three.
const CLUSTERED_NODES_DEFAULT: u16 = 9;
/// How long everything may take to end once the faults are over.
const END_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a person hears how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Parameters other than by default: rounds so short that faults hit many of them, and outputs enough for the load.
const PARAMETERS: [(&str, u64); 9] = [
    ("proposal_timeout_ms", 1_000),
    ("base_delay_ms", 200),
    ("max_delay_ms", 2_000),
    ("jitter_ms", 50),
    ("utxos", 2_000),
    ("vote_timeout_ms", 200),
    ("inter_round_delay_ms", 20),
    ("block_interval_ms", 300),
    ("sync_ms", 1_000),
];

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Summary {
    seed: u64,
    nodes: u16,
    ms: u64,
    /// What was done, by its name.
    deeds: BTreeMap<&'static str, u64>,
    /// Events that clients asked for.
    asked: u64,
    #[serde(flatten)]
    counts: Counts,
    /// The slowest event's time from the end of the faults until all had ended; `null` if it was not waited for.
    settled_ms: Option<u64>,
    /// How often something was wrong, and what: the first ones.
    broken: u64,
    violations: Vec<String>,
    /// Where the cluster's files and logs are, if they were kept.
    kept: Option<PathBuf>,
}

impl ChaosArgs {
    fn nodes(&self) -> u16 {
        let usual = match (
            genesis::has_clusters(self.protocol),
            has_coins(self.protocol),
        ) {
            (true, _) => CLUSTERED_NODES_DEFAULT,
            (false, true) => PAYING_NODES_DEFAULT,
            (false, false) => NODES_DEFAULT,
        };
        self.nodes.unwrap_or(usual)
    }
}

/// Runs it.
pub(crate) fn run(args: &ChaosArgs) -> Outcome {
    log::start(&LogArgs {
        log: "warn".to_owned(),
        ..LogArgs::default()
    });
    let seed = match args.seed {
        Some(seed) => seed,
        // Short enough to be typed again.
        None => u64::from(u32::from_le_bytes(
            entropy()?[..4].try_into().expect("four bytes"),
        )),
    };
    let (dir, is_ours) = match &args.dir {
        Some(dir) => (dir.clone(), false),
        None => {
            let name = format!("phaselab-chaos-{}", std::process::id());
            (std::env::temp_dir().join(name), true)
        }
    };
    let configs = prepare(args, &dir)?;
    let mut summary = runtime()?.block_on(rage(args, seed, &configs))?;
    if summary.broken == 0 && is_ours {
        let _ = std::fs::remove_dir_all(&dir);
    } else {
        summary.kept = Some(dir);
    }
    if args.json {
        print_json(&summary);
    } else {
        show(&summary);
    }
    if summary.broken == 0 {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// Writes a new cluster, with its parameters changed before its first start.
fn prepare(args: &ChaosArgs, dir: &Path) -> Result<Vec<NodeConfig>, Failure> {
    init::write_cluster(&LocalCluster {
        protocol: args.protocol,
        nodes: args.nodes(),
        clusters: None,
        dir: dir.to_owned(),
        base_port: 0,
    })?;
    let path = dir.join("genesis.toml");
    let text: String = read_text(&path)?
        .lines()
        .map(|line| {
            let key = line.split('=').next().unwrap_or_default().trim();
            match PARAMETERS.iter().find(|(known, _)| *known == key) {
                Some((key, value)) => format!("{key} = {value}\n"),
                None => format!("{line}\n"),
            }
        })
        .collect();
    std::fs::write(&path, text).map_err(|error| Failure::in_file(&path, io_words(&error)))?;
    configs_in(dir)
}

/// Starts the cluster, breaks it, mends it, and stops it.
async fn rage(args: &ChaosArgs, seed: u64, configs: &[NodeConfig]) -> Result<Summary, Failure> {
    let mut stop = pin!(signals::asked_to_stop());
    let host = host_chain(configs).await?;
    let quiet = LogArgs::default();
    let mut nodes = Nodes::start(configs, &quiet, false)?;
    let result = async {
        match await_ready(&mut nodes, stop.as_mut()).await? {
            Started::AskedToStop => return Err(Failure::Failed("asked to stop".to_owned())),
            Started::Ready(_) => {}
        }
        let mut run = Run::new(args, seed, &nodes, configs)?;
        let begun = Instant::now();
        // What was found until then is worth telling, whenever somebody asks to stop.
        let is_stopped = tokio::select! {
            ended = run.break_things(args, &mut nodes) => ended.map(|()| false)?,
            () = &mut stop => true,
        };
        let settled_ms = if is_stopped {
            Some(run.mend_and_wait(&mut nodes).await?)
        } else {
            tokio::select! {
                settled = run.mend_and_wait(&mut nodes) => Some(settled?),
                () = &mut stop => None,
            }
        };
        Ok(Summary {
            seed,
            nodes: args.nodes(),
            ms: millis(begun.elapsed()),
            deeds: run.deeds,
            asked: run.watch.asked(),
            counts: run.watch.counts(),
            settled_ms,
            broken: run.watch.findings().broken(),
            violations: run.watch.findings().violations().to_vec(),
            kept: None,
        })
    }
    .await;
    nodes.stop().await;
    if let Some(host) = host {
        host.stop().await;
    }
    result
}

/// A run under way.
struct Run {
    schedule: Schedule,
    watch: Watch,
    deeds: BTreeMap<&'static str, u64>,
    /// Whoever was killed and has not ended yet.
    doomed: Vec<NodeId>,
    progress: Option<Screen>,
}

impl Run {
    fn new(
        args: &ChaosArgs,
        seed: u64,
        nodes: &Nodes,
        configs: &[NodeConfig],
    ) -> Result<Run, Failure> {
        let mut progress = (!args.json).then(Screen::stdout);
        if let Some(screen) = &mut progress {
            screen.line(&format!(
                "chaos     {} nodes, {} requests per second, seed {seed}",
                args.nodes(),
                args.rate
            ));
        }
        Ok(Run {
            schedule: Schedule::new(seed, nodes.ids()),
            watch: Watch::start(args.protocol, nodes.clients(), configs, args.rate, seed)?,
            deeds: BTreeMap::new(),
            doomed: Vec::new(),
            progress,
        })
    }

    /// Does what the schedule says until time is up or enough were killed.
    async fn break_things(&mut self, args: &ChaosArgs, nodes: &mut Nodes) -> Result<(), Failure> {
        let begun = tokio::time::Instant::now();
        let seconds = args.minutes.map(|minutes| minutes * 60).or(args.seconds);
        let seconds = seconds.or(args.kills.is_none().then_some(SECONDS_DEFAULT));
        let mut progress = tokio::time::interval(PROGRESS);
        progress.tick().await;
        loop {
            let is_late = seconds.is_some_and(|seconds| begun.elapsed().as_secs() >= seconds);
            let killed = self.deeds.get("kill").copied().unwrap_or(0);
            if is_late || args.kills.is_some_and(|kills| killed >= kills) {
                return Ok(());
            }
            let due = begun + Duration::from_millis(self.schedule.due_ms());
            tokio::select! {
                () = tokio::time::sleep_until(due) => {
                    if let Some(deed) = self.schedule.next(|node| nodes.life(node)) {
                        self.act(deed, nodes).await?;
                    }
                }
                notice = nodes.next() => self.on_notice(notice),
                () = self.watch.hear() => {}
                _ = progress.tick() => self.tell_progress(begun.elapsed(), None),
            }
        }
    }

    async fn act(&mut self, deed: Deed, nodes: &mut Nodes) -> Result<(), Failure> {
        let name = deed.name();
        let is_done = match &deed {
            Deed::Kill(node) => {
                self.doomed.push(*node);
                nodes.kill(*node)
            }
            Deed::Pause(node) => nodes.pause(*node),
            Deed::Resume(node) => nodes.resume(*node),
            Deed::Restart(node) => {
                let is_back = nodes.restart(*node)?;
                if !is_back {
                    self.schedule.again(deed);
                }
                is_back
            }
            Deed::Break(fault) => {
                // Whoever is not at work now is told by the others when it is.
                let there = nodes.clients().into_iter();
                let there = there.filter(|client| nodes.life(client.id) == Life::Ready);
                let (there, fault) = (there.collect(), fault.clone());
                tokio::spawn(async move { tell(there, &[fault]).await });
                true
            }
        };
        *self.deeds.entry(name).or_default() += u64::from(is_done);
        Ok(())
    }

    fn on_notice(&mut self, notice: Notice) {
        let Notice::Ended { node, why, .. } = notice else {
            return;
        };
        match self.doomed.iter().position(|doomed| *doomed == node) {
            Some(place) => {
                self.doomed.swap_remove(place);
            }
            None => {
                let what = format!("node {} ended by itself: {why}", node.0);
                self.watch.findings().blame(what);
            }
        }
    }

    /// Mends everything, asks for nothing more, and waits until all has ended; how long that took.
    async fn mend_and_wait(&mut self, nodes: &mut Nodes) -> Result<u64, Failure> {
        self.watch.rest();
        let begun = tokio::time::Instant::now();
        let deadline = begun + END_TIMEOUT;
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let mut progress = tokio::time::interval(PROGRESS);
        progress.tick().await;
        let ids = nodes.ids();
        let mut is_healed = false;
        let mut unfinished = Vec::new();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = progress.tick() => {
                    let waits = match (is_healed, unfinished.first()) {
                        (false, _) => "nodes start".to_owned(),
                        (true, None) => "mended".to_owned(),
                        (true, Some(what)) => format!("mended; {what}"),
                    };
                    self.tell_progress(begun.elapsed(), Some(&waits));
                    continue;
                }
                notice = nodes.next() => {
                    self.on_notice(notice);
                    continue;
                }
                () = self.watch.hear() => continue,
            }
            for id in &ids {
                nodes.resume(*id);
                nodes.restart(*id)?;
            }
            if !ids.iter().all(|id| nodes.life(*id) == Life::Ready) {
                continue;
            }
            if !is_healed {
                let answers = tell(nodes.clients(), &[Fault::Heal]).await;
                is_healed = answers.iter().all(|(_, answer)| answer.is_ok());
                continue;
            }
            unfinished = self.watch.unfinished(&ids).await;
            if unfinished.is_empty() {
                return Ok(millis(begun.elapsed()));
            }
            if tokio::time::Instant::now() >= deadline {
                let span = END_TIMEOUT.as_secs();
                for what in unfinished {
                    let what = format!("{what}, {span} s after the last fault");
                    self.watch.findings().blame(what);
                }
                return Ok(millis(begun.elapsed()));
            }
        }
    }

    /// One line: since when faults are done, or what is waited for since they are over.
    fn tell_progress(&mut self, elapsed: Duration, waits: Option<&str>) {
        let killed = self.deeds.get("kill").copied().unwrap_or(0);
        let (broken, come) = (self.watch.findings().broken(), self.watch.progress());
        let did = waits.map_or_else(
            || format!("{killed} kills, {come}"),
            |waits| format!("{waits}; {come}"),
        );
        if let Some(screen) = &mut self.progress {
            screen.painted(
                Ink::Dim,
                &format!("{:>6} s  {did}, {broken} violations", elapsed.as_secs()),
            );
        }
    }
}

fn show(summary: &Summary) {
    let mut screen = Screen::stdout();
    let deeds = summary.deeds.iter();
    let deeds: Vec<String> = deeds
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let seconds = summary.ms / 1000;
    screen.entry(
        "did       ",
        None,
        &format!("{} in {seconds} s", deeds.join(", ")),
    );
    let [come, watched] = summary.counts.lines(summary.asked);
    screen.entry("ended     ", None, &come);
    screen.entry("watched   ", None, &watched);
    let end = summary.settled_ms.map_or_else(
        || "stopped before everything had ended".to_owned(),
        |ms| format!("everything had ended {ms} ms after the last fault"),
    );
    let (head, ink, text) = match summary.broken {
        0 => ("holds     ", Ink::Good, format!("0 violations; {end}")),
        broken => ("broken    ", Ink::Bad, format!("{broken} violations")),
    };
    screen.entry(head, Some(ink), &text);
    for what in &summary.violations {
        screen.entry("          ", None, what);
    }
    if let Some(kept) = &summary.kept {
        screen.entry("kept      ", None, &kept.display().to_string());
    }
    let seed = summary.seed;
    screen.entry(
        "seed      ",
        None,
        &format!("{seed}: the same faults again, --seed {seed}"),
    );
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
