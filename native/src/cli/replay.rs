//! `phaselab replay`: a recorded run, made again and compared: a simulated one from its trace, a live one from what its
//! nodes recorded.

use std::path::{Path, PathBuf};

use clap::Args;
use phaselab_core::event::Level;
use phaselab_core::recording;
use phaselab_core::sim::Sim;
use phaselab_core::trace::{Trace, TraceError};

use super::story::{self, Telling};
use super::why::{self, Question};
use crate::failure::{Failure, Outcome, io_words};
use crate::panics;
use crate::terminal::print_json;

pub(super) mod live;

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  phaselab replay run.trace\n  phaselab replay phaselab-cluster\n  \
                        phaselab replay phaselab-cluster --trace live.rec   for the page"
)]
pub(crate) struct ReplayArgs {
    /// A trace that `phaselab sim --trace` or the page wrote; or recordings of live nodes: files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Tell every event of the story, however many there are
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Of a live run, write all recordings into one file, which the page opens
    #[arg(long, value_name = "OUT")]
    trace: Option<PathBuf>,
    /// Say why an event was decided at a node, or what it lacks there; without a node, where it ended first
    #[arg(long, value_name = "EVENT[@NODE]", value_parser = why::question)]
    why: Option<Question>,
}

/// Runs what was recorded again.
pub(crate) fn run(args: &ReplayArgs) -> Outcome {
    if let [path] = args.paths.as_slice()
        && path.is_file()
    {
        let bytes = read(path)?;
        if !recording::is_recording(&bytes) {
            return trace(args, path, &bytes);
        }
    }
    live::run(args)
}

/// Runs a trace again.
fn trace(args: &ReplayArgs, path: &Path, bytes: &[u8]) -> Outcome {
    let trace = Trace::from_bytes(bytes).map_err(|error| Failure::in_file(path, error))?;
    if args.trace.is_some() {
        return Err(Failure::in_file(
            path,
            "a trace already; --trace puts recordings of live nodes into one file",
        ));
    }
    let level = args.why.as_ref().map(|_| Level::Full);
    let prepare = |sim: &mut Sim| {
        if let Some(level) = level {
            sim.set_level(level);
        }
    };
    let replayed = panics::caught(|| trace.replay(prepare))
        .map_err(|what| Failure::Failed(format!("{}: {what}", path.display())))?;
    let sim = match replayed {
        Ok(sim) => sim,
        Err(error @ TraceError::Differs { .. }) => {
            return Err(Failure::Failed(format!("{}: {error}", path.display())));
        }
        Err(error) => return Err(Failure::in_file(path, error)),
    };
    let report = sim.report();
    let question = args.why.as_ref();
    let why = question
        .map(|question| why::answer(&sim, question))
        .transpose()?;
    if args.json {
        print_json(&report);
    } else {
        let next = format!(
            "the same run, step by step: {} steps, hash {}",
            trace.steps,
            trace.trace_hash.short()
        );
        story::tell(
            &sim,
            &report,
            &Telling {
                all: args.all,
                verbose: false,
                next,
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

pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::in_file(path, io_words(&error)))
}
