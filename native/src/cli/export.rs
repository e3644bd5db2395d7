//! `phaselab export`: a run in the format of another tool.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use phaselab_core::export::{self, ExportError, Format};
use phaselab_core::recording;
use phaselab_core::sim::Sim;
use phaselab_core::trace::{Trace, TraceError};
use phaselab_core::types::Time;

use super::{choose, link, replay};
use crate::failure::{Failure, Outcome, io_words, may_write, write_file};
use crate::panics;

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A scenario's name or file, a trace, a recording of live nodes or their cluster's folder, or a link
    #[arg(value_name = "RUN")]
    run: String,
    /// svg: a picture; itf: states for Apalache; shiviz: a log with vector clocks; perfetto: for ui.perfetto.dev; toml:
    /// the scenario with what was done by hand; trace: for `phaselab replay`; jepsen-edn, jepsen-json: what clients asked
    /// and were told, for Jepsen's checkers and `phaselab history`
    #[arg(long, value_name = "F", value_parser = format)]
    format: Format,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The seed of every random draw, of a scenario
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// End a picture, log or list of states at this virtual time
    #[arg(long, value_name = "MS")]
    until_ms: Option<u64>,
}

fn format(name: &str) -> Result<Format, String> {
    let names = Format::ALL.map(Format::name).join(", ");
    Format::from_name(name).ok_or_else(|| format!("expected one of {names}"))
}

/// Writes the run.
pub(crate) fn run(args: &ExportArgs) -> Outcome {
    // Said before the run, not after it.
    if args.out.is_none() && args.format == Format::Trace && std::io::stdout().is_terminal() {
        return Err(Failure::Input(
            "a trace is no text; expected --out FILE, or standard output into a file".to_owned(),
        ));
    }
    if args.until_ms.is_some() && matches!(args.format, Format::Toml | Format::Trace) {
        return Err(Failure::Input(format!(
            "--until-ms: {} is of the whole run; expected another format with it",
            args.format.name()
        )));
    }
    args.out.as_deref().map(may_write).transpose()?;
    let sim = open(args)?;
    let until = args.until_ms.map(Time::from_ms);
    let written = panics::caught(|| export::export(sim, args.format, until))
        .map_err(|what| Failure::Failed(format!("{}: {what}", args.run)))?;
    let bytes = written.map_err(|error| refuse(&args.run, &error))?;
    match &args.out {
        Some(path) => write_file(path, bytes),
        None => match std::io::stdout().lock().write_all(&bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Failed(
                format!("standard output: {}", io_words(&error)),
            )),
            _ => Ok(()),
        },
    }
}

fn refuse(run: &str, error: &ExportError) -> Failure {
    Failure::Input(match error {
        ExportError::TooLarge { format, what } => format!(
            "{run}: too large for {}: {what}; --until-ms ends it earlier",
            format.name()
        ),
        ExportError::Happened(Format::Trace) => format!(
            "{run}: a live run has no trace; `phaselab replay {run} --trace OUT` puts its recordings into one file"
        ),
        ExportError::Happened(format) => {
            format!("{run}: a live run has no {}", format.name())
        }
        ExportError::Empty(_) | ExportError::Unwritable(_) => format!("{run}: {error}"),
    })
}

/// The run before its first step.
fn open(args: &ExportArgs) -> Result<Sim, Failure> {
    let path = Path::new(&args.run);
    let is_scenario = || args.run.ends_with(".toml") || !path.exists();
    if link::is_address(&args.run) {
        unseeded(args, "a link")?;
        let link = link::read(&args.run)?;
        link::compare(&link)?;
        return link::open(&link);
    }
    if is_scenario() {
        return match choose::load(&args.run) {
            Ok(mut scenario) => {
                scenario.seed = args.seed.unwrap_or(scenario.seed);
                Sim::new(&scenario)
                    .map_err(|error| Failure::Input(format!("{}: {error}", args.run)))
            }
            // A link's token alone: it looks like nobody's name.
            Err(unknown) if args.run.len() >= TOKEN_CHARS_MIN => {
                let link = link::read(&args.run).map_err(|_| unknown)?;
                link::compare(&link)?;
                link::open(&link)
            }
            Err(unknown) => Err(unknown),
        };
    }
    unseeded(args, "a run that was recorded")?;
    if path.is_file() {
        let bytes = replay::read(path)?;
        if !recording::is_recording(&bytes) {
            return of_trace(path, &bytes);
        }
    }
    replay::live::open(&[path.to_owned()])
}

/// Shorter words are no tokens.
const TOKEN_CHARS_MIN: usize = 40;

fn unseeded(args: &ExportArgs, what: &str) -> Outcome {
    match args.seed {
        Some(_) => Err(Failure::Input(format!(
            "--seed: {what} has its own; expected a scenario with it"
        ))),
        None => Ok(()),
    }
}

/// The run of a trace, once it came the same.
fn of_trace(path: &Path, bytes: &[u8]) -> Result<Sim, Failure> {
    let wrong = |error: TraceError| match error {
        TraceError::Differs { .. } => Failure::Failed(format!("{}: {error}", path.display())),
        error => Failure::in_file(path, error),
    };
    let trace = Trace::from_bytes(bytes).map_err(wrong)?;
    panics::caught(|| trace.replay(|_| {}))
        .map_err(|what| Failure::Failed(format!("{}: {what}", path.display())))?
        .map_err(wrong)?;
    let mut sim = Sim::new(&trace.scenario).map_err(|error| Failure::in_file(path, error))?;
    sim.plan_by_hand(&trace.by_hand);
    Ok(sim)
}
