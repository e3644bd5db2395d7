//! `phaselab scenarios`: what is built in.

use clap::Args;
use phaselab_core::scenario;
use serde::Serialize;

use crate::failure::Outcome;
use crate::terminal::{Ink, Screen, print_json};

/// Options of `scenarios`.
#[derive(Debug, Args)]
pub(crate) struct ScenariosArgs {
    /// Print one JSON array and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    protocol: &'static str,
    rules: &'static str,
    nodes: u16,
    title: String,
}

/// Lists the built-in scenarios.
pub(crate) fn run(args: &ScenariosArgs) -> Outcome {
    let mut entries = Vec::new();
    for known in scenario::builtin() {
        let scenario = scenario::parse(&format!("{}.toml", known.name), known.text)?;
        entries.push(Entry {
            name: known.name,
            protocol: scenario.protocol.name(),
            rules: scenario.rules.name(),
            nodes: scenario.nodes,
            title: scenario.title,
        });
    }
    if args.json {
        print_json(&entries);
        return Ok(());
    }
    let mut screen = Screen::stdout();
    let width = entries
        .iter()
        .map(|entry| entry.name.len())
        .max()
        .unwrap_or(0);
    for entry in &entries {
        let unsafe_rules = if entry.rules == "hardened" {
            ""
        } else {
            " (UNSAFE rules)"
        };
        screen.entry(
            &format!("{:<width$}  ", entry.name),
            None,
            &format!("{}{unsafe_rules}", entry.title),
        );
    }
    screen.line("");
    screen.entry(
        "Run one: ",
        Some(Ink::Dim),
        "phaselab sim NAME. The part after the slash is enough where it is unique.",
    );
    Ok(())
}
