//! `phaselab check`: every schedule of a scenario, or of a model from the textbook, within bounds.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use phaselab_core::explore::cluster::{self, Asked, Bounds};
use phaselab_core::explore::textbook::Textbook;
use phaselab_core::explore::{Limits, Model, Outcome as Found, Visitor, depth_first, random_walks};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario::Scenario;
use phaselab_core::with_textbook;
use serde::Serialize;

use super::choose::Choice;
use super::explore::{Drive, Stopped};
use crate::failure::{Failure, Outcome, may_write, write_file};
use crate::terminal::{Ink, Screen, print_json};

/// Options of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  phaselab check divergent-views
  phaselab check divergent-views --rounds 1 --crashes 0 --flaws S0-F3
  phaselab check --model two-phase-commit --size 3

`complete` means: every schedule within the bounds. Requests, views of the chain and liars are taken from the scenario; \
its times, partitions and losses are not, because every order of messages and timers is tried.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    choice: Choice,
    /// A model from the textbook instead of a scenario
    #[arg(long, value_name = "NAME", value_parser = textbook, conflicts_with_all = ["scenario", "protocol"])]
    model: Option<Textbook>,
    /// The model's size: resource managers, or clients
    #[arg(long, value_name = "N", default_value_t = 3, requires = "model")]
    size: usize,
    /// Timers of this round and later ones do not fire [default: the protocol's]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    rounds: Option<u32>,
    /// How often timers of rounds fire, all together [default: the protocol's]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    timeouts: Option<u8>,
    /// How often nodes crash, all together [default: the protocol's]
    #[arg(long, value_name = "N", conflicts_with = "model")]
    crashes: Option<u8>,
    /// How often timers of no round fire, such as the tick of anti-entropy, all together
    #[arg(long, value_name = "N", default_value_t = Bounds::default().housekeeping, conflicts_with = "model")]
    housekeeping: u8,
    /// How often a node is asked again what it was asked before, all together
    #[arg(long, value_name = "N", default_value_t = Bounds::default().repeats, conflicts_with = "model")]
    repeats: u8,
    /// Let requests arrive after messages did
    #[arg(long, conflicts_with = "model")]
    late_requests: bool,
    /// Go on with instances that a node decided
    #[arg(long, conflicts_with = "model")]
    beyond_decisions: bool,
    /// Let a message arrive at most once at a node
    #[arg(long, conflicts_with = "model")]
    once: bool,
    /// Ask besides whether every instance ends on every fair path
    #[arg(long, conflicts_with = "model")]
    ends: bool,
    /// In which order: every state, nearest first; or depth first; or random walks
    #[arg(long, value_enum, default_value_t = Order::Breadth)]
    search: Order,
    /// The seed of random walks [default: 7]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// How many random walks [default: 10000]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    walks: Option<u64>,
    /// Stop at so many distinct states
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    max_states: Option<u64>,
    /// Stop at this depth; the initial state has depth 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_depth: Option<u32>,
    /// Stop when the process holds so many megabytes [default: 8000]
    #[arg(long, value_name = "MB", value_parser = at_least_one())]
    memory_mb: Option<u64>,
    /// Stop after so many minutes
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    minutes: Option<u64>,
    /// Write an unfinished search to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Go on with a search that was saved
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Write the counterexample as a scenario
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Breadth,
    Depth,
    Walks,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Order::Breadth => "breadth",
            Order::Depth => "depth",
            Order::Walks => "walks",
        }
    }
}

fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

fn textbook(name: &str) -> Result<Textbook, String> {
    Textbook::from_name(name)
        .ok_or_else(|| format!("expected one of {}", Textbook::names().join(", ")))
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    protocol: String,
    rules: Option<&'static str>,
    flaws: Vec<String>,
    bounds: ReportedBounds,
    distinct: u64,
    generated: u64,
    depth: u32,
    complete: bool,
    violation: Option<ReportedViolation>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ReportedBounds {
    Cluster(Bounds),
    Model { size: usize },
}

#[derive(Debug, Serialize)]
struct ReportedViolation {
    invariant: &'static str,
    /// What happens, in words.
    trace: Vec<String>,
    /// How many steps that are.
    steps: usize,
    /// For what never happens: after so many steps the rest repeats for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    cycle: Option<usize>,
}

/// A search that ended, and what can be shown of it.
struct Searched {
    found: Found<()>,
    stopped: Option<Stopped>,
    violation: Option<ReportedViolation>,
    counterexample: Option<Scenario>,
    took: Duration,
}

/// Searches.
pub(crate) fn run(args: &CheckArgs) -> Outcome {
    args.refuse_unused()?;
    for path in [&args.write, &args.save].into_iter().flatten() {
        may_write(path)?;
    }
    let (report, searched) = match args.model {
        Some(kind) => {
            let searched = with_textbook!(kind, args.size, model => Check(args).visit(model))
                .map_err(Failure::Input)??;
            let bounds = ReportedBounds::Model { size: args.size };
            (args.report(kind.name(), None, Vec::new(), bounds), searched)
        }
        None => {
            let scenario = args.choice.scenario(None)?;
            let within = args.bounds(scenario.protocol);
            let asked = if args.ends {
                Asked::Ends
            } else {
                Asked::Safety
            };
            let searched = cluster::visit(&scenario, within, asked, Check(args))
                .map_err(|what| Failure::Input(format!("{}: {what}", scenario.name)))??;
            let (name, rules) = (scenario.protocol.name(), scenario.rules.name());
            let bounds = ReportedBounds::Cluster(within);
            (
                args.report(name, Some(rules), scenario.flaws, bounds),
                searched,
            )
        }
    };
    let report = Report {
        distinct: searched.found.distinct,
        generated: searched.found.generated,
        depth: searched.found.depth,
        complete: searched.found.complete,
        violation: searched.violation,
        ..report
    };
    if let (Some(path), Some(scenario)) = (&args.write, &searched.counterexample) {
        write_file(path, &scenario.source)?;
    }
    if args.json {
        print_json(&report);
    } else {
        show(&report, searched.stopped, searched.took);
    }
    match report.violation {
        None => Ok(()),
        Some(_) => Err(Failure::Unexpected),
    }
}

const SEED_DEFAULT: u64 = 7;
const WALKS_DEFAULT: u64 = 10_000;
const WALK_STEPS_DEFAULT: u32 = 200;
const MEMORY_MB_DEFAULT: u64 = 8_000;

impl CheckArgs {
    /// Refuses what another order would heed.
    fn refuse_unused(&self) -> Outcome {
        use Order::{Breadth, Depth, Walks};
        let options: [(&str, bool, &[Order]); 8] = [
            ("--ends", self.ends, &[Breadth]),
            ("--seed", self.seed.is_some(), &[Walks]),
            ("--walks", self.walks.is_some(), &[Walks]),
            ("--max-states", self.max_states.is_some(), &[Breadth, Depth]),
            ("--memory-mb", self.memory_mb.is_some(), &[Breadth]),
            ("--minutes", self.minutes.is_some(), &[Breadth]),
            ("--save", self.save.is_some(), &[Breadth]),
            ("--resume", self.resume.is_some(), &[Breadth]),
        ];
        for (name, is_given, orders) in options {
            if is_given && !orders.contains(&self.search) {
                let named: Vec<&str> = orders.iter().map(|order| order.name()).collect();
                return Err(Failure::Input(format!(
                    "{name} says nothing about --search {}; expected it with --search {}",
                    self.search.name(),
                    named.join(" or ")
                )));
            }
        }
        Ok(())
    }

    fn bounds(&self, protocol: ProtocolKind) -> Bounds {
        let usual = protocol.bounds();
        Bounds {
            rounds: self.rounds.unwrap_or(usual.rounds),
            timeouts: self.timeouts.or(usual.timeouts),
            crashes: self.crashes.unwrap_or(usual.crashes),
            housekeeping: self.housekeeping,
            repeats: self.repeats,
            late_requests: self.late_requests || usual.late_requests,
            beyond_decisions: self.beyond_decisions || usual.beyond_decisions,
            once: self.once || usual.once,
        }
    }

    fn limits(&self) -> Limits {
        let most = Limits::default();
        Limits {
            states: self.max_states.unwrap_or(most.states).min(most.states),
            depth: self.max_depth.unwrap_or(most.depth),
        }
    }

    fn report(
        &self,
        protocol: &str,
        rules: Option<&'static str>,
        flaws: Vec<String>,
        bounds: ReportedBounds,
    ) -> Report {
        Report {
            protocol: protocol.to_owned(),
            rules,
            flaws,
            bounds,
            distinct: 0,
            generated: 0,
            depth: 0,
            complete: false,
            violation: None,
        }
    }
}

/// Checks whatever model it is given.
struct Check<'a>(&'a CheckArgs);

impl Visitor for Check<'_> {
    type Out = Result<Searched, Failure>;

    fn visit<M: Model + 'static>(self, model: M) -> Self::Out {
        let args = self.0;
        let started = Instant::now();
        let shared = &model;
        let (found, stopped, model) = match args.search {
            Order::Depth => (depth_first(shared, args.limits()), None, model),
            Order::Walks => {
                let seed = args.seed.unwrap_or(SEED_DEFAULT);
                let walks = args.walks.unwrap_or(WALKS_DEFAULT);
                let length = args.max_depth.unwrap_or(WALK_STEPS_DEFAULT);
                (random_walks(shared, seed, walks, length), None, model)
            }
            Order::Breadth => {
                let drive = Drive {
                    limits: args.limits(),
                    memory_mb: args.memory_mb.unwrap_or(MEMORY_MB_DEFAULT),
                    until: args.minutes.map(|n| started + Duration::from_secs(60 * n)),
                    resume: args.resume.as_deref(),
                    save: args.save.as_deref(),
                };
                let bar = progress(args.json);
                let ended = drive.run(model, |progress, rate| {
                    bar.set_message(format!(
                        "{} distinct, {} generated, depth {}, {} waiting, {} per second",
                        HumanCount(progress.distinct),
                        HumanCount(progress.generated),
                        progress.depth,
                        HumanCount(progress.frontier),
                        HumanCount(rate)
                    ));
                    bar.tick();
                })?;
                bar.finish_and_clear();
                (ended.found, ended.stopped, ended.model)
            }
        };
        let violation = found.violation.as_ref().map(|violation| {
            let tell = |action| model.tell(action);
            let trace: Vec<String> = violation.steps.iter().flat_map(tell).collect();
            let before = violation.cycle.map(|at| {
                let steps = violation.steps[..at].iter();
                steps.flat_map(|action| model.tell(action)).count()
            });
            ReportedViolation {
                invariant: violation.property,
                steps: trace.len(),
                trace,
                cycle: before,
            }
        });
        let played = found.violation.as_ref();
        Ok(Searched {
            counterexample: played.and_then(|violation| model.play(&violation.steps)),
            violation,
            stopped,
            took: started.elapsed(),
            found: Found {
                distinct: found.distinct,
                generated: found.generated,
                depth: found.depth,
                complete: found.complete,
                violation: None,
            },
        })
    }
}

fn progress(json: bool) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if json {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{spinner} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

fn show(report: &Report, stopped: Option<Stopped>, took: Duration) {
    let mut screen = Screen::stdout();
    let seconds = took.as_secs_f64();
    let rate = HumanCount((report.generated as f64 / seconds.max(1e-3)) as u64);
    let unsafe_rules = match (report.rules, report.flaws.is_empty()) {
        (Some("as-written"), _) => ", as-written: unsafe rules".to_owned(),
        (_, false) => format!(", with {}: unsafe rules", report.flaws.join(", ")),
        _ => String::new(),
    };
    screen.entry(
        "check     ",
        Some(Ink::Bold),
        &format!("{}{unsafe_rules}", report.protocol),
    );
    if let ReportedBounds::Cluster(bounds) = &report.bounds {
        screen.entry("bounds    ", None, &bounds.to_string());
    }
    screen.entry(
        "states    ",
        None,
        &format!(
            "{} distinct, {} generated, depth {}; {seconds:.1} s, {rate} per second",
            HumanCount(report.distinct),
            HumanCount(report.generated),
            report.depth
        ),
    );
    match &report.violation {
        Some(violation) => {
            screen.entry(
                "broken    ",
                Some(Ink::Bad),
                &format!("{}, in {} steps:", violation.invariant, violation.steps),
            );
            for (index, line) in violation.trace.iter().enumerate() {
                if violation.cycle == Some(index) {
                    screen.entry(
                        "          ",
                        Some(Ink::Dim),
                        "from here on, again and again:",
                    );
                }
                screen.entry("          ", None, &format!("{:>3}. {line}", index + 1));
            }
            if violation.cycle == Some(violation.trace.len()) {
                screen.entry("          ", Some(Ink::Dim), "and nothing more can happen.");
            }
        }
        None if report.complete => {
            screen.entry(
                "holds     ",
                Some(Ink::Good),
                "every promise, in every schedule within the bounds",
            );
        }
        None => {
            let why = stopped.map_or_else(
                || "the limits left schedules out".to_owned(),
                |stopped| stopped.to_string(),
            );
            screen.entry(
                "unbroken  ",
                Some(Ink::Bold),
                &format!("so far; the search is not complete: {why}"),
            );
        }
    }
}
