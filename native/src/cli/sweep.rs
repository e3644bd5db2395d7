//! `phaselab sweep`: many seeds on all cores; what broke, and the command that shows it again.

use phaselab_core::ordered::Map;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use phaselab_core::event::Level;
use phaselab_core::scenario::Scenario;
use phaselab_core::sim::Sim;
use rayon::prelude::*;
use serde::Serialize;

use super::choose::Choice;
use super::story::counted;
use crate::failure::{Failure, Outcome};
use crate::panics;
use crate::terminal::{Ink, Screen, print_json};

/// Options of `sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    choice: Choice,
    /// The seeds from A up to, and without, B; one number N means 0..N
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Seeds,
    /// Only every N-th seed, beginning with the i-th of them (1/N to N/N), to spread one sweep over machines
    #[arg(long, value_name = "i/N", value_parser = shard, default_value = "1/1")]
    shard: Shard,
    /// Print one JSON object per seed and then the summary, and nothing else
    #[arg(long)]
    json: bool,
}

/// A range of seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seeds {
    from: u64,
    until: u64,
}

/// A part of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    index: u64,
    of: u64,
}

/// One seed's line.
#[derive(Debug, Serialize)]
struct Line {
    seed: u64,
    ok: bool,
    /// What broke: invariants, expectations that were not met, or a panic.
    violated: Option<String>,
    /// The command that shows it again.
    replay: String,
    #[serde(skip)]
    faults: Map<&'static str, u64>,
}

/// The last line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seeds: u64,
    violations: u64,
    faults: Map<&'static str, u64>,
}

/// Runs the sweep. Lines come in the order of seeds, whatever the order in which cores finish.
pub(crate) fn run(args: &SweepArgs) -> Outcome {
    // A wrong choice is refused once, before the first run.
    let fixed = match args.choice.scenario {
        Some(_) => Some(args.choice.scenario(None)?),
        None => args.choice.scenario(Some(args.seeds.from)).map(|_| None)?,
    };
    let mut seeds = args.shard.of(args.seeds);
    let progress = progress(
        (args.seeds.until - args.seeds.from).div_ceil(args.shard.of),
        args.json,
    );
    let started = Instant::now();
    let mut summary = Summary::default();
    let mut violations = Vec::new();
    loop {
        let chunk: Vec<u64> = seeds.by_ref().take(CHUNK_SEEDS).collect();
        if chunk.is_empty() {
            break;
        }
        let lines: Vec<Line> = chunk
            .into_par_iter()
            .map(|seed| {
                let line = one(args, fixed.as_ref(), seed);
                progress.inc(1);
                line
            })
            .collect();
        for line in lines {
            summary.seeds += 1;
            for (kind, count) in &line.faults {
                *summary.faults.get_or_default(kind) += count;
            }
            if args.json {
                print_json(&line);
            }
            if !line.ok {
                summary.violations += 1;
                violations.push(line);
            }
        }
    }
    progress.finish_and_clear();
    if args.json {
        print_json(&summary);
    } else {
        show(args, &summary, &violations, started.elapsed());
    }
    let _ = std::io::stdout().flush();
    if summary.violations == 0 {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// Seeds that are handed out at once: enough to keep cores busy, few enough that lines come soon.
const CHUNK_SEEDS: usize = 256;

fn one(args: &SweepArgs, fixed: Option<&Scenario>, seed: u64) -> Line {
    let swarm = if fixed.is_none() { " --swarm" } else { "" };
    let replay = format!("phaselab sim{}{swarm} --seed {seed}", args.choice.words());
    let ran = panics::caught(|| {
        let mut scenario = match fixed {
            Some(scenario) => scenario.clone(),
            None => args
                .choice
                .scenario(Some(seed))
                .map_err(|failure| failure.to_string())?,
        };
        scenario.seed = seed;
        let mut sim = Sim::new(&scenario).map_err(|error| error.to_string())?;
        sim.set_level(Level::None);
        sim.run();
        Ok(sim.report())
    });
    let report = match ran {
        Ok(Ok(report)) => report,
        Ok(Err(what)) | Err(what) => {
            return Line {
                seed,
                ok: false,
                violated: Some(what),
                replay,
                faults: Map::new(),
            };
        }
    };
    let broken = report
        .invariants
        .iter()
        .filter(|verdict| !verdict.holds)
        .map(|verdict| verdict.name.to_owned());
    let unmet = report
        .expectations
        .iter()
        .filter(|entry| !entry.met)
        .map(|entry| entry.text.clone());
    let ok = report.is_as_expected();
    let violated = (!ok).then(|| broken.chain(unmet).collect::<Vec<_>>().join(", "));
    Line {
        seed,
        ok,
        violated,
        replay,
        faults: report.faults,
    }
}

fn progress(seeds: u64, json: bool) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    if json || !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template("{bar:30} {pos} of {len} seeds  {per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show(args: &SweepArgs, summary: &Summary, violations: &[Line], took: Duration) {
    let mut screen = Screen::stdout();
    let per_second = summary.seeds as f64 / took.as_secs_f64().max(1e-3);
    let head = format!(
        "{} in {:.1} s, {per_second:.1} per second; {}",
        counted(summary.seeds, "seed"),
        took.as_secs_f64(),
        counted(summary.violations, "violation")
    );
    screen.entry(
        "sweep     ",
        Some(Ink::Bold),
        &format!("phaselab sweep{}: {head}", args.choice.words()),
    );
    if !summary.faults.is_empty() {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(["fault", "fired"]);
        for (kind, count) in &summary.faults {
            table.add_row([(*kind).to_owned(), count.to_string()]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        for line in table.lines() {
            screen.line(line.trim_end());
        }
    }
    for line in violations.iter().take(VIOLATIONS_SHOWN_MAX) {
        let what = line.violated.as_deref().unwrap_or_default();
        screen.entry(
            "broken    ",
            Some(Ink::Bad),
            &format!("seed {}: {what}", line.seed),
        );
        screen.entry("          ", None, &line.replay);
    }
    if violations.len() > VIOLATIONS_SHOWN_MAX {
        let more = violations.len() - VIOLATIONS_SHOWN_MAX;
        screen.entry(
            "          ",
            None,
            &format!("... and {more} more; --json lists them"),
        );
    }
    if violations.is_empty() {
        screen.entry(
            "holds     ",
            Some(Ink::Good),
            "every invariant and expectation, in every run",
        );
    }
}

const VIOLATIONS_SHOWN_MAX: usize = 10;

impl Shard {
    fn of(self, seeds: Seeds) -> impl Iterator<Item = u64> {
        let step = usize::try_from(self.of).unwrap_or(usize::MAX);
        (seeds.from..seeds.until)
            .skip((self.index - 1) as usize)
            .step_by(step)
    }
}

fn seeds(text: &str) -> Result<Seeds, String> {
    let expected = || "expected A..B with A below B, such as 0..1000".to_owned();
    let number = |text: &str| text.parse::<u64>().map_err(|_| expected());
    let (from, until) = match text.split_once("..") {
        Some((from, until)) => (number(from)?, number(until)?),
        None => (0, number(text)?),
    };
    if from < until {
        Ok(Seeds { from, until })
    } else {
        Err(expected())
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    let parts = text
        .split_once('/')
        .and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((index, of)) if 1 <= index && index <= of => Ok(Shard { index, of }),
        _ => Err("expected i/N with i from 1 to N, such as 1/4".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_shards_are_read_and_wrong_ones_refused() {
        assert_eq!(seeds("3..10"), Ok(Seeds { from: 3, until: 10 }));
        assert_eq!(seeds("10"), Ok(Seeds { from: 0, until: 10 }));
        assert!(
            ["", "3..3", "9..2", "a..b", "1..", "-1..4", "0"]
                .iter()
                .all(|text| seeds(text).is_err())
        );
        assert_eq!(shard("2/4"), Ok(Shard { index: 2, of: 4 }));
        assert!(
            ["0/4", "5/4", "1", "a/b", "1/0"]
                .iter()
                .all(|text| shard(text).is_err())
        );
    }

    #[test]
    fn shards_are_disjoint_and_together_are_the_whole() {
        let seeds = Seeds {
            from: 10,
            until: 31,
        };
        let mut all: Vec<u64> = (1..=4)
            .flat_map(|index| Shard { index, of: 4 }.of(seeds))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (10..31).collect::<Vec<_>>());
    }
}
