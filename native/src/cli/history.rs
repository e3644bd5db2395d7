//! `phaselab history`: whether what clients asked and were told can be explained.

use std::path::PathBuf;

use clap::Args;
use phaselab_core::history::{self, Verdict, Workload};
use serde::Serialize;

use crate::failure::{Failure, Outcome, read_text};
use crate::terminal::{Ink, Screen, print_json};

/// Options of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// A history as Jepsen keeps it, in EDN or JSON, such as `phaselab export` writes
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// register: items that are read, written, compared and set; bank: balances that are read, and transfers
    #[arg(long, value_name = "W", value_parser = workload)]
    workload: Workload,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

fn workload(name: &str) -> Result<Workload, String> {
    let names = Workload::ALL.map(Workload::name).join(", ");
    Workload::from_name(name).ok_or_else(|| format!("expected one of {names}"))
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    workload: &'static str,
    events: usize,
    /// `null` if it was not decided.
    linearizable: Option<bool>,
    /// What is wrong, or what was too large.
    detail: Option<String>,
}

/// Reads and judges.
pub(crate) fn run(args: &HistoryArgs) -> Outcome {
    let wrong = |error| Failure::in_file(&args.file, error);
    let history = history::read(&read_text(&args.file)?).map_err(wrong)?;
    let verdict = history::judge(&history, args.workload).map_err(wrong)?;
    let (linearizable, detail) = match &verdict {
        Verdict::Holds { .. } => (Some(true), None),
        Verdict::Broken { what } => (Some(false), Some(what.clone())),
        Verdict::Undecided { what } => (None, Some(what.clone())),
    };
    if args.json {
        print_json(&Report {
            workload: args.workload.name(),
            events: history.events.len(),
            linearizable,
            detail,
        });
    } else {
        show(args.workload, &verdict);
    }
    match verdict {
        Verdict::Holds { .. } => Ok(()),
        Verdict::Broken { .. } | Verdict::Undecided { .. } => Err(Failure::Unexpected),
    }
}

fn show(workload: Workload, verdict: &Verdict) {
    let mut screen = Screen::stdout();
    screen.entry("history   ", Some(Ink::Bold), workload.name());
    match verdict {
        Verdict::Holds { ended, open, parts } => screen.entry(
            "holds     ",
            Some(Ink::Good),
            &format!("linearizable: {ended} operations and {open} of which nobody knows, in {parts} parts"),
        ),
        Verdict::Broken { what } => {
            screen.entry("broken    ", Some(Ink::Bad), &format!("not linearizable: {what}"));
        }
        Verdict::Undecided { what } => {
            screen.entry("undecided ", Some(Ink::Bold), &format!("too large to decide: {what}"));
        }
    }
}
