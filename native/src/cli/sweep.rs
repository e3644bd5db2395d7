//! `phaselab sweep`: many seeds on all cores; what broke, and the command that shows it again.
//!
//! ```text
//! sweep/odds.rs   how often nodes disagreed that only probably agree, and how long finality took
//! ```

use phaselab_core::ordered::Map;
use std::io::IsTerminal;
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
use crate::terminal::{Ink, Screen, print_json, written};

mod odds;

use odds::{Run, Runs, Summed};

/// Options of `sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    choice: Choice,
    /// The seeds from A up to, and without, B; one number N means 0..N
    #[arg(long, value_name = "A..B", value_parser = seeds, allow_hyphen_values = true)]
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
    /// The same, one by one.
    #[serde(skip)]
    broken: Vec<String>,
    #[serde(skip)]
    faults: Map<&'static str, u64>,
    #[serde(skip)]
    odds: Option<Run>,
}

/// The last line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seeds: u64,
    violations: u64,
    faults: Map<&'static str, u64>,
    /// By what broke: in how many seeds, and the first of them.
    broken: Map<String, Broken>,
    /// Of a protocol that only probably agrees.
    #[serde(flatten)]
    odds: Option<Summed>,
}

/// How often something broke.
#[derive(Debug, Serialize)]
struct Broken {
    seeds: u64,
    first: u64,
    replay: String,
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
    let mut odds = Runs::default();
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
            .collect::<Result<_, _>>()?;
        for mut line in lines {
            line.odds.take().into_iter().for_each(|run| odds.add(run));
            summary.seeds += 1;
            for (kind, count) in &line.faults {
                *summary.faults.get_or_default(kind) += count;
            }
            if args.json {
                print_json(&line);
            }
            if !line.ok {
                summary.violations += 1;
                summary.note(&line);
            }
        }
        // Nobody would see the rest.
        written()?;
    }
    progress.finish_and_clear();
    summary.odds = odds.sum();
    if args.json {
        print_json(&summary);
    } else {
        show(args, &summary, started.elapsed());
    }
    if summary.violations == 0 {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// Seeds that are handed out at once: enough to keep cores busy, few enough that lines come soon.
const CHUNK_SEEDS: usize = 256;

/// Runs one seed. A choice that this seed makes impossible is the input's fault, not the protocol's.
fn one(args: &SweepArgs, fixed: Option<&Scenario>, seed: u64) -> Result<Line, Failure> {
    let swarm = if fixed.is_none() { " --swarm" } else { "" };
    let replay = format!("phaselab sim{}{swarm} --seed {seed}", args.choice.words());
    let ran = panics::caught(|| {
        let mut scenario = match fixed {
            Some(scenario) => scenario.clone(),
            None => args.choice.scenario(Some(seed))?,
        };
        scenario.seed = seed;
        let mut sim = Sim::new(&scenario)
            .map_err(|error| Failure::Input(format!("{}: {error}", scenario.name)))?;
        sim.set_level(Level::None);
        sim.run();
        Ok::<_, Failure>((sim.report(), Run::of(&sim)))
    });
    let (report, odds) = match ran {
        Ok(report) => report?,
        Err(what) => {
            return Ok(Line {
                seed,
                ok: false,
                broken: Vec::from([what.clone()]),
                violated: Some(what),
                replay,
                faults: Map::new(),
                odds: None,
            });
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
        .map(|entry| format!("not met: {}", entry.text));
    let ok = report.is_as_expected();
    let broken: Vec<String> = broken.chain(unmet).filter(|_| !ok).collect();
    Ok(Line {
        seed,
        ok,
        violated: (!ok).then(|| broken.join(", ")),
        broken,
        replay,
        faults: report.faults,
        odds,
    })
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

fn show(args: &SweepArgs, summary: &Summary, took: Duration) {
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
    if let Some(odds) = &summary.odds {
        odds.show(summary.seeds, &mut screen);
    }
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
    for (what, broken) in summary.broken.iter().take(BROKEN_SHOWN_MAX) {
        let count = counted(broken.seeds, "seed");
        let text = format!("{what}: in {count}, first in seed {}", broken.first);
        screen.entry("broken    ", Some(Ink::Bad), &text);
        screen.entry("          ", None, &broken.replay);
    }
    if summary.broken.len() > BROKEN_SHOWN_MAX {
        let more = summary.broken.len() - BROKEN_SHOWN_MAX;
        let text = format!("... and {more} more; --json lists them");
        screen.entry("          ", None, &text);
    }
    if summary.seeds == 0 {
        let Shard { index, of } = args.shard;
        let text = format!(
            "shard {index}/{of} has no seed of {}..{}: nothing was run",
            args.seeds.from, args.seeds.until
        );
        screen.entry("nothing   ", Some(Ink::Warn), &text);
    } else if summary.violations == 0 {
        screen.entry(
            "holds     ",
            Some(Ink::Good),
            "every invariant and expectation, in every run",
        );
    }
}

const BROKEN_SHOWN_MAX: usize = 10;

impl Summary {
    /// Counts what broke in a run.
    fn note(&mut self, line: &Line) {
        for what in &line.broken {
            let first = || Broken {
                seeds: 0,
                first: line.seed,
                replay: line.replay.clone(),
            };
            self.broken.get_or_insert_with(what.clone(), first).seeds += 1;
        }
    }
}

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
