//! A live run: every recorded life runs again by itself, and all of them together on one clock, before the oracle.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use phaselab_core::event::{Level, RecordKind};
use phaselab_core::oracle::Verdict;
use phaselab_core::recording::{self, Recording, RecordingError, Rerun, Script};
use phaselab_core::sim::Sim;
use phaselab_core::sim::report::{AbandonReport, DecisionReport, NodeReport, Report};
use phaselab_core::types::{Hash32, Incarnation, NodeId};
use phaselab_core::why::Why;
use rayon::prelude::*;
use serde::Serialize;

use super::super::story::{self, Telling, counted};
use super::super::why;
use super::{ReplayArgs, read};
use crate::failure::{Failure, Outcome, io_words, write_file};
use crate::panics;
use crate::terminal::{Ink, Screen, print_json};

/// Where nodes put their recordings, beside their configuration.
const FOLDER: &str = "recordings";

/// What `--json` prints of a live run.
#[derive(Debug, Serialize)]
struct LiveReport {
    cluster: String,
    protocol: &'static str,
    rules: &'static str,
    flaws: Vec<String>,
    crypto: &'static str,
    /// Whether every life came the same.
    same: bool,
    /// Whether nothing is missing of what the recorded nodes did.
    complete: bool,
    lives: Vec<LifeReport>,
    /// Files of lives to which nothing happened.
    empty: Vec<String>,
    end_ms: u64,
    steps: u64,
    trace_hash: Hash32,
    nodes: Vec<NodeReport>,
    decisions: Vec<DecisionReport>,
    abandoned: Vec<AbandonReport>,
    invariants: Vec<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<Why>,
}

/// A life, run again.
#[derive(Debug, Serialize)]
struct LifeReport {
    node: NodeId,
    incarnation: Incarnation,
    file: String,
    core_version: String,
    bytes: u64,
    inputs: u64,
    duration_ms: u64,
    /// Instances that the node decided in this life, or knew again as decided.
    decisions: u64,
    ending: String,
    same: bool,
    difference: Option<String>,
}

/// Recordings that were read, and files that hold none.
#[derive(Default)]
struct Found {
    lives: Vec<(PathBuf, Arc<Recording>)>,
    empty: Vec<PathBuf>,
}

/// Runs recordings again.
pub(super) fn run(args: &ReplayArgs) -> Outcome {
    let found = find(&args.paths)?;
    let mut lives = found.lives;
    // By node and then in order, as they are told and compared.
    lives.sort_by_key(|(_, life)| life.head.order());
    refuse_twice(&lives)?;
    let reruns = rerun(&lives)?;
    let script = Script::new(&reruns)
        .map_err(|error| Failure::Input(format!("{}: {error}", named(&args.paths))))?;
    if let Some(path) = &args.trace {
        let all: Vec<u8> = lives.iter().flat_map(|(_, life)| life.to_bytes()).collect();
        write_file(path, all)?;
    }
    let script = Arc::new(script);
    let sim = panics::caught(|| play(&script, args.why.is_some()))
        .map_err(|what| Failure::Failed(format!("{}: {what}", named(&args.paths))))?
        .map_err(|error| Failure::Input(format!("{}: {error}", named(&args.paths))))?;
    let report = sim.report();
    let question = args.why.as_ref();
    let why = question
        .map(|question| why::answer(&sim, question))
        .transpose()?;
    let is_same = reruns.iter().all(|rerun| rerun.difference.is_none());
    let told = reruns
        .iter()
        .zip(&lives)
        .map(|(rerun, (path, _))| life_report(&script, &sim, rerun, path))
        .collect();
    let live = LiveReport {
        cluster: report.scenario.clone(),
        protocol: report.protocol,
        rules: report.rules,
        flaws: report.flaws.clone(),
        crypto: report.crypto,
        same: is_same,
        complete: !script.has_gaps,
        lives: told,
        empty: found.empty.iter().map(|path| shown(path)).collect(),
        end_ms: report.end_ms,
        steps: report.steps,
        trace_hash: report.trace_hash,
        nodes: report.nodes.clone(),
        decisions: report.decisions.clone(),
        abandoned: report.abandoned.clone(),
        invariants: report.invariants.clone(),
        why: why.clone(),
    };
    if args.json {
        print_json(&live);
    } else {
        tell(args, &live, &sim, &report, why);
    }
    if is_same && report.is_as_expected() {
        Ok(())
    } else {
        Err(Failure::Unexpected)
    }
}

/// The run of recordings before its first step, for whoever looks at more than whether it came the same.
pub(in super::super) fn open(paths: &[PathBuf]) -> Result<Sim, Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::Input(format!("{}: {error}", named(paths)));
    let mut lives = find(paths)?.lives;
    lives.sort_by_key(|(_, life)| life.head.order());
    refuse_twice(&lives)?;
    let script = Script::new(&rerun(&lives)?).map_err(|error| wrong(&error))?;
    Sim::live(&Arc::new(script)).map_err(|error| wrong(&error))
}

/// Refuses a file that is named twice: it would pass for a store that lived twice. Lives are in order.
fn refuse_twice(lives: &[(PathBuf, Arc<Recording>)]) -> Outcome {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for pair in lives.windows(2) {
        if let [(path, one), (again, next)] = pair
            && one.head.order() == next.head.order()
            && place(path) == place(again)
        {
            return Err(Failure::Input(format!(
                "{}: is named twice; expected each recording once",
                shown(again)
            )));
        }
    }
    Ok(())
}

/// Every life by itself, on all cores, and each compared with what the one before left.
fn rerun(lives: &[(PathBuf, Arc<Recording>)]) -> Result<Vec<Rerun>, Failure> {
    let again = |(path, life): &(PathBuf, Arc<Recording>)| {
        panics::caught(|| Rerun::of(life.clone()))
            .map_err(|what| Failure::Failed(format!("{}: {what}", path.display())))
    };
    let mut reruns: Vec<Rerun> = lives.par_iter().map(again).collect::<Result<_, _>>()?;
    recording::compare_stores(&mut reruns);
    Ok(reruns)
}

fn play(script: &Arc<Script>, in_full: bool) -> Result<Sim, phaselab_core::replica::BuildError> {
    let mut sim = Sim::live(script)?;
    if in_full {
        sim.set_level(Level::Full);
    }
    sim.run();
    Ok(sim)
}

fn life_report(script: &Script, sim: &Sim, rerun: &Rerun, path: &Path) -> LifeReport {
    let life = &rerun.life;
    let is_of_life = |step: u64| {
        let step = usize::try_from(step)
            .ok()
            .and_then(|step| script.steps.get(step));
        step.is_some_and(|step| Arc::ptr_eq(&script.lives[step.life], life))
    };
    let decided = sim
        .decisions()
        .iter()
        .filter(|entry| entry.record.kind == RecordKind::Decided && is_of_life(entry.step));
    LifeReport {
        node: life.head.node,
        incarnation: life.head.incarnation,
        file: shown(path),
        core_version: life.head.core_version.clone(),
        bytes: life.bytes,
        inputs: life.inputs(),
        duration_ms: life.last().as_ms(),
        decisions: decided.count() as u64,
        ending: life.ending.to_string(),
        same: rerun.difference.is_none(),
        difference: rerun.difference.as_ref().map(ToString::to_string),
    }
}

fn tell(args: &ReplayArgs, live: &LiveReport, sim: &Sim, report: &Report, why: Option<Why>) {
    let mut screen = Screen::stdout();
    for life in &live.lives {
        let (ink, came) = match &life.difference {
            None => (Ink::Good, "same"),
            Some(difference) => (Ink::Bad, difference.as_str()),
        };
        let head = format!("node {} life {}  ", life.node.0, life.incarnation.0);
        let text = format!(
            "{}, {} ms, {}, {}: {came}",
            counted(life.inputs, "input"),
            life.duration_ms,
            counted(life.decisions, "decision"),
            life.ending,
        );
        screen.entry(&head, Some(ink), &text);
    }
    for file in &live.empty {
        let text = format!("{file}: cut off before its node started; nothing was recorded");
        screen.entry("empty  ", Some(Ink::Dim), &text);
    }
    if !live.complete {
        let text = "part of what these nodes did is not recorded; only what was heard is judged";
        screen.entry("gaps  ", Some(Ink::Warn), text);
    }
    let lives = counted(live.lives.len() as u64, "life").replace("lifes", "lives");
    let next = match (&args.trace, live.same) {
        (Some(path), _) => format!("open {} in the page: phaselab serve", path.display()),
        (None, true) => format!(
            "the same run, input by input: {lives}, {} steps, hash {}",
            live.steps,
            live.trace_hash.short()
        ),
        (None, false) => "not the same run; --json has every detail".to_owned(),
    };
    let all = args.all;
    story::tell(
        sim,
        report,
        &Telling {
            all,
            verbose: false,
            next,
            why,
        },
    );
}

/// Reads what the paths name: files, folders of files, and folders of clusters.
fn find(paths: &[PathBuf]) -> Result<Found, Failure> {
    let mut found = Found::default();
    for path in paths {
        if !path.is_dir() {
            found.take(path, read(path)?, false)?;
            continue;
        }
        let inner = path.join(FOLDER);
        let folder = if inner.is_dir() { &inner } else { path };
        let files = in_folder(folder)?;
        if files.is_empty() {
            return Err(Failure::in_file(
                path,
                "no recordings here; a node writes them where its configuration says [recording] enabled = true",
            ));
        }
        for file in files {
            found.take(&file, read(&file)?, true)?;
        }
    }
    Ok(found)
}

impl Found {
    /// Reads one file. One that was cut off at its very beginning is no error in a folder: so a node that was killed
    /// leaves it.
    fn take(&mut self, path: &Path, bytes: Vec<u8>, in_folder: bool) -> Outcome {
        match recording::read(&bytes) {
            Ok(lives) => {
                let lives = lives.into_iter().map(Arc::new);
                self.lives.extend(lives.map(|life| (path.to_owned(), life)));
                Ok(())
            }
            Err(RecordingError::Empty) if in_folder => {
                self.empty.push(path.to_owned());
                Ok(())
            }
            Err(error) => Err(Failure::in_file(path, error)),
        }
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.map_err(|error| Failure::in_file(folder, io_words(&error)))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rec"))
        .collect();
    files.sort();
    Ok(files)
}

fn named(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths.iter().map(|path| shown(path)).collect();
    names.join(", ")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
