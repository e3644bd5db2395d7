//! `phaselab reshard`: where items should live so that fewer transfers cross clusters, and the moves, each of which is a
//! transaction. (S4-54)

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use hyper::Method;
use phaselab_core::shards::Wish;
use phaselab_core::shards::reshard::{self, Plan};
use phaselab_core::types::GroupId;
use serde::Serialize;

use super::print::router;
use crate::failure::{Failure, Outcome};
use crate::init::DIR_DEFAULT;
use crate::node::{NodeReport, runtime};
use crate::router::Router;
use crate::submit::clustered::ask_all;
use crate::submit::performance::Performance;
use crate::submit::words::Line;
use crate::submit::{batch, span, words};
use crate::terminal::{Ink, Screen, print_json};

/// What was asked for, and how even clusters stay.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The transfers that clients made: a file as submit --file takes it, one 1001,3001,10 per line; - reads standard
    /// input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// By how many percent a cluster may have more of the items in it than an even share
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    slack: u32,
}

/// Options of `reshard`.
#[derive(Debug, Args)]
pub(crate) struct ReshardArgs {
    #[command(flatten)]
    history: HistoryArgs,
    /// Have the running cluster move the items
    #[arg(long)]
    apply: bool,
    /// How many items move at once
    #[arg(long, value_name = "N", default_value_t = 4, requires = "apply", value_parser = clap::value_parser!(u16).range(1..=64))]
    at_once: u16,
    /// How long to wait for each move, such as 10s or 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", requires = "apply", value_parser = span)]
    wait: Duration,
    /// The folder of the cluster
    #[arg(long, value_name = "DIR", default_value = DIR_DEFAULT)]
    dir: PathBuf,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    /// What the moves came to; `null` without --apply.
    applied: Option<Performance>,
}

const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// Plans, and moves if it is told to.
pub(crate) fn run(args: &ReshardArgs) -> Outcome {
    let router = router(&args.dir)?;
    let plan = plan(&router, &args.history)?;
    let applied = match args.apply {
        true => Some(apply(router, &plan, args)?),
        false => None,
    };
    let is_done = applied
        .as_ref()
        .is_none_or(|done| done.committed == done.requests);
    if args.json {
        print_json(&Printed {
            plan: &plan,
            applied,
        });
    } else {
        let mut screen = Screen::stdout();
        show(&plan, &mut screen);
        match &applied {
            Some(done) => done.show(&mut screen),
            None if plan.moves.is_empty() => {}
            None => screen.line("--apply has the cluster move them"),
        }
    }
    match is_done {
        true => Ok(()),
        false => Err(Failure::Unexpected),
    }
}

/// Prints the plan alone: `phaselab print reshard`.
pub(super) fn print(router: &Router, history: &HistoryArgs, json: bool) -> Outcome {
    let plan = plan(router, history)?;
    if json {
        print_json(&Printed {
            plan: &plan,
            applied: None,
        });
    } else {
        show(&plan, &mut Screen::stdout());
    }
    Ok(())
}

/// The wishes of a file.
fn history(file: &Path, router: &Router) -> Result<Vec<Wish>, Failure> {
    let (name, text) = batch::open(file)?;
    let mut wishes = Vec::new();
    for (number, line) in words::lines(&text) {
        let refuse = |what: String| Failure::Input(format!("{name}:{number}: {what}"));
        // That nodes failed in between changes nothing of what was asked.
        let Line::Wish(wish) = words::line(line).map_err(refuse)? else {
            continue;
        };
        let ends = match wish {
            Wish::Transfer {
                sender, receiver, ..
            } => vec![sender, receiver],
            other => vec![other.item()],
        };
        let mut ends = ends.into_iter();
        if let Some(item) = ends.find(|item| router.shards().home(*item).is_none()) {
            let last = router.shards().items();
            let last = last.end();
            return Err(refuse(format!("item {item}: expected 1 to {last}")));
        }
        wishes.push(wish);
    }
    if wishes.is_empty() {
        return Err(Failure::Input(format!(
            "{name}: no transfer; expected one per line, such as 1001,3001,10"
        )));
    }
    Ok(wishes)
}

fn plan(router: &Router, args: &HistoryArgs) -> Result<Plan, Failure> {
    let history = history(&args.file, router)?;
    let answered = runtime()?.block_on(learn_homes(router));
    let clusters = router.shards().clusters();
    if let Some(silent) = clusters.iter().find(|known| !answered.contains(known)) {
        return Err(Failure::Failed(format!(
            "no node of cluster {} is running, and which items live there is not known; `phaselab cluster` starts them",
            silent.0
        )));
    }
    let nets = reshard::nets(&history);
    Ok(reshard::plan(
        clusters,
        |item| router.home(item),
        &nets,
        args.slack * 10,
    ))
}

/// Asks the nodes which items moved before; the clusters that answered. Of others items are where they were at first.
pub(super) async fn learn_homes(router: &Router) -> BTreeSet<GroupId> {
    let mut answered = BTreeSet::new();
    for node in router.nodes() {
        let report = node.ask::<(), NodeReport>(Method::GET, "/v1/view", None, LOOK_TIMEOUT);
        let Ok(report) = report.await else { continue };
        let texts = |name: &'static str| {
            let named = report.fields.iter().filter(move |field| field.name == name);
            named.map(|field| field.text.as_str())
        };
        let own = texts("cluster").next().and_then(|text| text.parse().ok());
        let Some(own) = own.map(GroupId) else {
            continue;
        };
        answered.insert(own);
        for text in texts("item") {
            let (item, held) = text.split_once(": ").unwrap_or_default();
            if let Ok(item) = item.parse()
                && held.starts_with(|c: char| c.is_ascii_digit())
            {
                router.learn_home(item, own);
            }
        }
    }
    answered
}

fn apply(router: Router, plan: &Plan, args: &ReshardArgs) -> Result<Performance, Failure> {
    let protocol = router.protocol();
    let requests = plan.moves.iter().filter_map(|step| {
        let (item, to) = (step.item, step.to);
        protocol.wish(Wish::Move { item, to })
    });
    let begun = Instant::now();
    let moves = ask_all(
        Arc::new(router),
        requests.collect(),
        args.at_once,
        args.wait,
        |_| {},
    );
    let ends = runtime()?.block_on(moves)?;
    if let (Some(_), false) = (ends.first(), ends.iter().any(|told| told.heard)) {
        let dir = args.dir.display();
        return Err(Failure::Failed(format!(
            "no node of {dir} is running; `phaselab cluster --dir {dir}` starts them"
        )));
    }
    Ok(Performance::of(&ends, begun.elapsed()))
}

fn show(plan: &Plan, screen: &mut Screen) {
    for step in &plan.moves {
        screen.line(&format!(
            "({}, c{}, c{})",
            step.item, step.from.0, step.to.0
        ));
    }
    let percent = |cut: u64| match plan.total {
        0 => 0,
        total => 100 * cut / total,
    };
    let (before, after) = (plan.cut_before, plan.cut_after);
    let text = format!(
        "{before} of {} transfers before ({}%), {after} after ({}%); {} items move",
        plan.total,
        percent(before),
        percent(after),
        plan.moves.len()
    );
    screen.entry("cross-shard  ", Some(Ink::Good), &text);
    let used = plan.used.iter();
    let used: Vec<String> = used
        .map(|(cluster, before, after)| format!("cluster {}: {before} -> {after}", cluster.0))
        .collect();
    screen.entry("items used   ", None, &used.join(", "));
}
