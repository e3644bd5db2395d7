//! `phaselab replay`: a recorded run, made again and compared.

use std::path::PathBuf;

use clap::Args;
use phaselab_core::trace::{Trace, TraceError};

use super::story::{self, Telling};
use crate::failure::{Failure, Outcome, io_words};
use crate::panics;
use crate::terminal::print_json;

/// Options of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A file that `phaselab sim --trace` or the page wrote
    trace: PathBuf,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
    /// Tell every event of the story, however many there are
    #[arg(long, conflicts_with = "json")]
    all: bool,
}

/// Runs the trace again.
pub(crate) fn run(args: &ReplayArgs) -> Outcome {
    let path = &args.trace;
    let bytes = std::fs::read(path).map_err(|error| Failure::in_file(path, io_words(&error)))?;
    let trace = Trace::from_bytes(&bytes).map_err(|error| Failure::in_file(path, error))?;
    let replayed = panics::caught(|| trace.replay(|_| {}))
        .map_err(|what| Failure::Failed(format!("{}: {what}", path.display())))?;
    let sim = match replayed {
        Ok(sim) => sim,
        Err(error @ TraceError::Differs { .. }) => {
            return Err(Failure::Failed(format!("{}: {error}", path.display())));
        }
        Err(error) => return Err(Failure::in_file(path, error)),
    };
    let report = sim.report();
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
                next,
            },
        );
    }
    if report.is_as_expected() {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}
