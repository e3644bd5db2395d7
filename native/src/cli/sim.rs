//! `phaselab sim`: one run, told or as JSON, and recorded where asked.

use std::path::PathBuf;

use clap::Args;
use phaselab_core::event::Level;
use phaselab_core::explore;
use phaselab_core::sim::Sim;
use phaselab_core::sim::report::Report;
use phaselab_core::trace::Trace;
use phaselab_core::why::Why;
use serde::Serialize;

use super::choose::Choice;
use super::link;
use super::story::{self, Telling};
use super::why::{self, Question};
use crate::failure::{Failure, Outcome, may_write, write_file};
use crate::panics;
use crate::terminal::print_json;

/// Options of `sim`.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    #[command(flatten)]
    choice: Choice,
    /// Run what a link says that the page's Share copied: an address, or what follows #/run/ in it
    #[arg(long, value_name = "LINK", conflicts_with_all = [
        "scenario", "protocol", "nodes", "rules", "flaws", "crypto", "until_ms", "seed", "swarm", "minimize",
    ])]
    link: Option<String>,
    /// The seed of every random draw
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run the scenario with random faults that the seed stands for, as `sweep` does
    #[arg(long, requires = "seed")]
    swarm: bool,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Tell every event of the story, however many there are
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Tell also of rounds, votes and phases
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,
    /// Say why an event was decided at a node, or what it lacks there; without a node, where it ended first
    #[arg(long, value_name = "EVENT[@NODE]", value_parser = why::question)]
    why: Option<Question>,
    /// If the run is not as expected: leave out what it does not need to go wrong in the same way, and show what is left
    #[arg(long)]
    minimize: bool,
    /// Write the run's trace to a file, for `phaselab replay` and the page
    #[arg(long, value_name = "OUT")]
    trace: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
}

/// The first thing that was not as expected, by name.
fn first_wrong(report: &Report) -> Option<String> {
    let mut broken = report.invariants.iter().filter(|verdict| !verdict.holds);
    let mut unmet = report.expectations.iter().filter(|entry| !entry.met);
    let broken = broken.next().map(|verdict| verdict.name.to_owned());
    broken.or_else(|| unmet.next().map(|entry| entry.text.clone()))
}

/// The run that options describe, before its first step.
fn open(args: &SimArgs) -> Result<Sim, Failure> {
    let mut scenario = args.choice.scenario(args.seed.filter(|_| args.swarm))?;
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    Sim::new(&scenario).map_err(|error| Failure::Input(format!("{}: {error}", scenario.name)))
}

/// Whether a run has so many polls that what observers hear of each would not fit: only decisions are told.
fn is_large(sim: &Sim) -> bool {
    const NODES_MAX: u16 = 256;
    sim.spec().is_sampled() && sim.scenario().nodes > NODES_MAX
}

/// Runs the scenario.
pub(crate) fn run(args: &SimArgs) -> Outcome {
    let link = args.link.as_deref().map(link::read).transpose()?;
    // Said before the run, not after it.
    args.trace.as_deref().map(may_write).transpose()?;
    let mut sim = match &link {
        Some(link) => link::open(link)?,
        None => open(args)?,
    };
    let scenario = sim.scenario().clone();
    link.as_ref().map(link::compare).transpose()?;
    // Only this level tells what was lost.
    let level = args.why.as_ref().map(|_| Level::Full);
    level.into_iter().for_each(|level| sim.set_level(level));
    if level.is_none() && !args.verbose && is_large(&sim) {
        sim.set_level(Level::Decisions);
    }
    let failed = |what| Failure::Failed(format!("{}: {what}", scenario.name));
    let (mut trace, mut sim) = panics::caught(|| Trace::record(sim)).map_err(failed)?;
    if args.minimize
        && let Some(first) = first_wrong(&sim.report())
    {
        let least = explore::minimize(&scenario, &|smaller| {
            let run = || Sim::new(smaller).map(|sim| Trace::record(sim).1.report());
            let report = panics::caught(run).ok().and_then(Result::ok);
            report.is_some_and(|report| first_wrong(&report).as_ref() == Some(&first))
        });
        eprintln!(
            "minimized: {} of {} interventions and {} of {} nodes are needed for: {first}",
            least.interventions.len(),
            scenario.interventions.len(),
            least.nodes,
            scenario.nodes
        );
        for entry in &least.interventions {
            eprintln!("           {}", story::intervention(entry));
        }
        let mut smaller = Sim::new(&least)
            .map_err(|error| Failure::Failed(format!("{}: {error}", least.name)))?;
        level.into_iter().for_each(|level| smaller.set_level(level));
        (trace, sim) = Trace::record(smaller);
    }
    if let Some(path) = &args.trace {
        write_file(path, trace.to_bytes())?;
    }
    let report = sim.report();
    let question = args.why.as_ref();
    let why = question
        .map(|question| why::answer(&sim, question))
        .transpose()?;
    if args.json {
        print_json(&Printed {
            report: &report,
            why,
        });
    } else {
        story::tell(
            &sim,
            &report,
            &Telling {
                all: args.all,
                verbose: args.verbose,
                next: match &args.link {
                    Some(link) => format!(
                        "phaselab export '{}' --format svg --out run.svg",
                        link.trim()
                    ),
                    None => story::next(&args.choice, &report),
                },
                why,
            },
        );
    }
    if report.is_as_expected() {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}
