//! `phaselab sim`: one run, told or as JSON, and recorded where asked.

use std::path::{Path, PathBuf};

use clap::Args;
use phaselab_core::sim::Sim;
use phaselab_core::trace::Trace;

use super::choose::Choice;
use super::story::{self, Telling};
use crate::failure::{Failure, Outcome, io_words};
use crate::panics;
use crate::terminal::print_json;

/// Options of `sim`.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    #[command(flatten)]
    choice: Choice,
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
    /// Write the run's trace to a file, for `phaselab replay` and the page
    #[arg(long, value_name = "OUT")]
    trace: Option<PathBuf>,
}

/// Runs the scenario.
pub(crate) fn run(args: &SimArgs) -> Outcome {
    let mut scenario = args.choice.scenario(args.seed.filter(|_| args.swarm))?;
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    // Said before the run, not after it.
    if let Some(folder) = args.trace.as_deref().and_then(Path::parent)
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(Failure::in_file(folder, "no such folder"));
    }
    let sim = Sim::new(&scenario)
        .map_err(|error| Failure::Input(format!("{}: {error}", scenario.name)))?;
    let finished = panics::caught(|| Trace::record(sim));
    let (trace, sim) =
        finished.map_err(|what| Failure::Failed(format!("{}: {what}", scenario.name)))?;
    if let Some(path) = &args.trace {
        std::fs::write(path, trace.to_bytes())
            .map_err(|error| Failure::in_file(path, io_words(&error)))?;
    }
    let report = sim.report();
    if args.json {
        print_json(&report);
    } else {
        story::tell(
            &sim,
            &report,
            &Telling {
                all: args.all,
                next: story::next(&args.choice, &report),
            },
        );
    }
    if report.is_as_expected() {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}
