//! `phaselab museum`: the flaws of the source documents, each with a schedule that shows it.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use phaselab_core::flaw::{Flaw, FlawKind};
use phaselab_core::museum::{self, Exhibit, How};
use phaselab_core::narrate;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::{Intervention, Scenario, Schedule};
use phaselab_core::sim::report::Report;
use rayon::prelude::*;
use serde::Serialize;

use super::story;
use crate::failure::{Failure, Outcome, write_file};
use crate::terminal::{Ink, Screen, print_json};

/// Options of `museum`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  phaselab museum                 every exhibit, a line each
  phaselab museum S0-F1           play one: with the flaw, and without
  phaselab museum --verify        find every counterexample again, from scratch")]
pub(crate) struct MuseumArgs {
    /// Which flaws; all if none is given
    #[arg(value_name = "ID")]
    flaws: Vec<String>,
    /// Find them again from scratch, within the stated bounds
    #[arg(long)]
    verify: bool,
    /// Write what was found into this folder, a scenario each
    #[arg(long, value_name = "DIR", requires = "verify")]
    write: Option<PathBuf>,
    /// Print one JSON array and nothing else
    #[arg(long)]
    json: bool,
}

type Shown = (ProtocolKind, &'static Exhibit);

/// One exhibit, as `--json` lists it.
#[derive(Debug, Serialize)]
struct Listed {
    id: &'static str,
    protocol: &'static str,
    story: &'static str,
    invariant: &'static str,
    rule: &'static str,
    term: &'static str,
    how: String,
}

/// One exhibit that was searched for again.
#[derive(Debug, Serialize)]
struct Verified {
    id: &'static str,
    found: bool,
    steps: usize,
    invariant: &'static str,
    seconds: f64,
}

/// Lists, plays or verifies.
pub(crate) fn run(args: &MuseumArgs) -> Outcome {
    let chosen = choose(&args.flaws)?;
    match (args.verify, args.flaws.len()) {
        (true, _) => verify(args, &chosen),
        (false, 1) if !args.json => play(chosen[0]),
        _ => list(args, &chosen),
    }
}

fn choose(flaws: &[String]) -> Result<Vec<Shown>, Failure> {
    if flaws.is_empty() {
        return Ok(museum::exhibits().collect());
    }
    let find = |flaw: &String| {
        museum::find(flaw).ok_or_else(|| {
            let known = museum::exhibits().map(|(_, exhibit)| exhibit.flaw);
            let known: Vec<_> = known.collect();
            let mut all = ProtocolKind::ALL.iter().copied();
            let listed = all.find_map(|protocol| {
                let mut flaws = protocol.flaws().iter();
                flaws.find(|known| known.id.eq_ignore_ascii_case(flaw))
            });
            Failure::Input(match listed {
                Some(flaw) => format!("{} has no exhibit: {}", flaw.id, why_not(flaw)),
                None => format!("no flaw \"{flaw}\"; expected one of {}", known.join(", ")),
            })
        })
    };
    flaws.iter().map(find).collect()
}

fn why_not(flaw: &Flaw) -> String {
    match flaw.kind {
        FlawKind::NotSwitchable { why } => format!("it cannot be restored ({why})"),
        FlawKind::OutsideFaultModel { shown_by } => {
            let (story, rule) = (flaw.story, flaw.rule);
            let shown = shown_by.map(|name| format!(" `phaselab sim {name}` shows it."));
            let shown = shown.unwrap_or_default();
            format!("it takes a liar, which the fault model excludes. {story} {rule}{shown}")
        }
        FlawKind::Policy | FlawKind::Structural => "none was made".to_owned(),
    }
}

fn how(exhibit: &Exhibit) -> String {
    match exhibit.how {
        How::Search { bounds, states } => {
            format!("every schedule, nearest first: {bounds}; at most {states} states")
        }
        How::Minimize => {
            "a run on the clock, with everything left out that it can do without".to_owned()
        }
    }
}

fn list(args: &MuseumArgs, chosen: &[Shown]) -> Outcome {
    if args.json {
        let listed: Vec<Listed> = chosen
            .iter()
            .map(|(protocol, exhibit)| {
                let about = exhibit.about(*protocol);
                Listed {
                    id: about.id,
                    protocol: protocol.name(),
                    story: about.story,
                    invariant: about.promise,
                    rule: about.rule,
                    term: about.term,
                    how: how(exhibit),
                }
            })
            .collect();
        print_json(&listed);
        return Ok(());
    }
    let mut screen = Screen::stdout();
    for (protocol, exhibit) in chosen {
        let about = exhibit.about(*protocol);
        screen.entry(&format!("{:<10}", about.id), Some(Ink::Bold), about.story);
        let breaks = format!("breaks: {} ({})", about.promise, about.term);
        screen.entry("          ", Some(Ink::Dim), &breaks);
    }
    if args.flaws.is_empty() {
        let all = ProtocolKind::ALL.iter().copied();
        for flaw in all.flat_map(|protocol| protocol.flaws()) {
            if let FlawKind::OutsideFaultModel {
                shown_by: Some(scenario),
            } = flaw.kind
            {
                screen.entry(&format!("{:<10}", flaw.id), Some(Ink::Bold), flaw.story);
                let shown = format!("outside the fault model: phaselab sim {scenario}");
                screen.entry("          ", Some(Ink::Dim), &shown);
            }
        }
    }
    screen.line("");
    screen.line("Play one: phaselab museum S0-F1. Find all again: phaselab museum --verify");
    Ok(())
}

/// Both runs of one exhibit, side by side in words.
fn play((protocol, exhibit): Shown) -> Outcome {
    let about = exhibit.about(protocol);
    let scenario = exhibit.scenario()?;
    let shown = museum::play(&scenario).map_err(Failure::Failed)?;
    let mut screen = Screen::stdout();
    screen.entry(&format!("{:<10}", about.id), Some(Ink::Bold), about.story);
    screen.entry("known as  ", None, about.term);
    screen.entry("found by  ", None, &how(exhibit));
    screen.line("");
    screen.line("What happens:");
    for (number, line) in steps(&scenario).iter().enumerate() {
        screen.entry("          ", None, &format!("{:>3}. {line}", number + 1));
    }
    screen.line("");
    side(&mut screen, "with the flaw: unsafe rules", &shown.flawed);
    screen.line("");
    let title = "hardened rules, the same schedule";
    match &shown.kept {
        Ok(kept) => side(&mut screen, title, kept),
        Err(why) => {
            screen.entry(title, Some(Ink::Bold), "");
            screen.entry("refused   ", Some(Ink::Good), why);
        }
    }
    screen.entry("rule      ", Some(Ink::Good), about.rule);
    Ok(())
}

/// A scenario's course of events, a line each.
fn steps(scenario: &Scenario) -> Vec<String> {
    let mut entries: Vec<_> = scenario.interventions.iter().collect();
    entries.sort_by_key(|entry| entry.at);
    let say = |entry: &&Intervention| match scenario.schedule {
        Schedule::Timed => story::intervention(entry),
        Schedule::Manual => narrate::act(&entry.act),
    };
    entries.iter().map(say).collect()
}

fn side(screen: &mut Screen, title: &str, report: &Report) {
    screen.entry(title, Some(Ink::Bold), "");
    for decision in &report.decisions {
        let nodes: Vec<String> = decision.nodes.iter().map(ToString::to_string).collect();
        let text = format!(
            "{}: {} at nodes {}",
            decision.instance,
            decision
                .label
                .clone()
                .unwrap_or_else(|| decision.value.short().to_string()),
            nodes.join(", ")
        );
        screen.entry("decided   ", None, &text);
    }
    for verdict in report.invariants.iter().filter(|verdict| !verdict.holds) {
        let text = format!("{}: {}", verdict.name, verdict.detail);
        screen.entry("broken    ", Some(Ink::Bad), &text);
    }
    for entry in &report.expectations {
        let (head, ink) = if entry.met {
            ("as told   ", None)
        } else {
            ("not so    ", Some(Ink::Bad))
        };
        screen.entry(head, ink, &entry.text);
    }
    if report.invariants.iter().all(|verdict| verdict.holds) {
        screen.entry("holds     ", Some(Ink::Good), "every invariant");
    }
}

fn verify(args: &MuseumArgs, chosen: &[Shown]) -> Outcome {
    if let Some(folder) = &args.write {
        std::fs::create_dir_all(folder).map_err(|error| Failure::in_file(folder, error))?;
    }
    let verified: Vec<Verified> = chosen
        .par_iter()
        .map(|shown| again(args, *shown))
        .collect::<Result<_, _>>()?;
    if args.json {
        print_json(&verified);
    } else {
        let mut screen = Screen::stdout();
        for line in &verified {
            let (head, ink) = if line.found {
                ("found     ", Ink::Good)
            } else {
                ("not found ", Ink::Bad)
            };
            let text = format!(
                "{}: {}, in {} steps, {:.1} s",
                line.id, line.invariant, line.steps, line.seconds
            );
            screen.entry(head, Some(ink), &text);
        }
    }
    if verified.iter().all(|line| line.found) {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

fn again(args: &MuseumArgs, (protocol, exhibit): Shown) -> Result<Verified, Failure> {
    let started = Instant::now();
    let found = exhibit.search(protocol).map_err(Failure::Failed)?;
    let shown = found.filter(|scenario| museum::shows(scenario, exhibit.flaw));
    if let (Some(folder), Some(scenario)) = (&args.write, &shown) {
        let path = folder.join(format!("{}.toml", exhibit.flaw.to_ascii_lowercase()));
        write_file(&path, &scenario.source)?;
    }
    Ok(Verified {
        id: exhibit.flaw,
        found: shown.is_some(),
        steps: shown.map_or(0, |scenario| scenario.interventions.len()),
        invariant: exhibit.about(protocol).promise,
        seconds: started.elapsed().as_secs_f64(),
    })
}
