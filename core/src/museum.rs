//! The museum of flaws: for each flaw that can be restored, hardened rules with only that flaw, and the shortest schedule
//! that breaks a promise with it and keeps every promise without it.
//!
//! A room belongs to a protocol, an exhibit to a flaw. What the checker finds stands in the repository as a scenario, is
//! replayed by the tests, and can be found again from scratch.

use alloc::format;
use alloc::string::String;

use crate::explore::cluster::{self, Asked, Bounds};
use crate::explore::{Limits, Model, Search, Visitor, minimize};
use crate::flaw::Flaw;
use crate::protocol::ProtocolKind;
use crate::scenario::{Scenario, ScenarioError, parse};
use crate::sim::Sim;
use crate::sim::report::Report;

/// What is shown of a flaw.
#[derive(Clone, Copy, Debug)]
pub struct Exhibit {
    /// The flaw's id.
    pub flaw: &'static str,
    /// Where the search begins: a scenario's file, with the flaw restored.
    pub start: &'static str,
    /// What it found.
    pub found: &'static str,
    /// How it searched.
    pub how: How,
}

/// How a counterexample is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Every schedule, nearest first, until the flaw's promise is broken.
    Search {
        /// Within these bounds.
        bounds: Bounds,
        /// And not more distinct states than this.
        states: u64,
    },
    /// The start shows it on the clock: everything is left out that it does not need to show the same.
    Minimize,
}

/// The exhibits of a protocol.
pub fn room(protocol: ProtocolKind) -> &'static [Exhibit] {
    protocol.museum()
}

/// All exhibits, with the protocol whose flaw they show.
pub fn exhibits() -> impl Iterator<Item = (ProtocolKind, &'static Exhibit)> {
    let rooms = ProtocolKind::ALL.iter().copied();
    rooms.flat_map(|protocol| {
        room(protocol)
            .iter()
            .map(move |exhibit| (protocol, exhibit))
    })
}

/// The exhibit of a flaw.
pub fn find(flaw: &str) -> Option<(ProtocolKind, &'static Exhibit)> {
    exhibits().find(|(_, exhibit)| exhibit.flaw.eq_ignore_ascii_case(flaw))
}

impl Exhibit {
    /// What is known of the flaw.
    ///
    /// # Panics
    /// If the protocol does not list it.
    pub fn about(&self, protocol: ProtocolKind) -> &'static Flaw {
        let mut flaws = protocol.flaws().iter();
        flaws
            .find(|flaw| flaw.id == self.flaw)
            .expect("an exhibit is of a flaw of its protocol")
    }

    /// The scenario that the search begins with.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn start(&self) -> Result<Scenario, ScenarioError> {
        parse(
            &format!("{}.toml", self.flaw.to_ascii_lowercase()),
            self.start,
        )
    }

    /// The counterexample.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        parse(
            &format!("{}.toml", self.flaw.to_ascii_lowercase()),
            self.found,
        )
    }

    /// Searches from scratch; `None` if nothing was found.
    ///
    /// # Errors
    /// What is wrong with the files, or why they cannot be searched.
    pub fn search(&self, protocol: ProtocolKind) -> Result<Option<Scenario>, String> {
        let start = self.start().map_err(|error| format!("{error}"))?;
        let promise = self.about(protocol).promise;
        Ok(match self.how {
            How::Search { bounds, states } => {
                let limits = Limits {
                    states,
                    ..Limits::default()
                };
                cluster::visit(&start, bounds, Asked::Only(promise), Shortest(limits))?
            }
            How::Minimize => {
                let shows = |scenario: &Scenario| shows(scenario, self.flaw);
                shows(&start).then(|| minimize(&start, &shows))
            }
        })
    }
}

/// The first counterexample, as a scenario.
struct Shortest(Limits);

impl Visitor for Shortest {
    type Out = Option<Scenario>;

    fn visit<M: Model + 'static>(self, model: M) -> Self::Out {
        let mut search = Search::new(model, self.0);
        search.advance(usize::MAX);
        let violation = search.outcome().violation?;
        search.model().play(&violation.steps)
    }
}

/// The same scenario under hardened rules.
pub fn hardened(scenario: &Scenario) -> Scenario {
    let mut hardened = scenario.clone();
    hardened.flaws.clear();
    hardened
}

/// What comes of a counterexample.
#[derive(Clone, Debug)]
pub struct Shown {
    /// With the flaw.
    pub flawed: Report,
    /// The same under hardened rules, or why they refuse it.
    pub kept: Result<Report, String>,
}

/// Runs a counterexample with its flaw, and without.
///
/// # Errors
/// If it cannot be run with the flaw.
pub fn play(scenario: &Scenario) -> Result<Shown, String> {
    let run = |scenario: &Scenario| {
        scenario.check()?;
        let mut sim = Sim::new(scenario).map_err(|error| format!("{error}"))?;
        sim.run();
        Ok::<_, String>(sim.report())
    };
    Ok(Shown {
        flawed: run(scenario)?,
        kept: run(&hardened(scenario)),
    })
}

/// Whether a scenario with the flaw restored breaks what it is said to break, and without the flaw keeps everything.
///
/// A manual schedule breaks the flaw's promise, an invariant. A run on the clock meets its own expectations, which say
/// by rule set what happens. Hardened rules may also refuse the configuration.
pub fn shows(scenario: &Scenario, flaw: &str) -> bool {
    let known = scenario
        .protocol
        .flaws()
        .iter()
        .find(|known| known.id == flaw);
    let (Some(flaw), Ok(shown)) = (known, play(scenario)) else {
        return false;
    };
    let as_told = |report: &Report| report.expectations.iter().all(|entry| entry.met);
    let breaks = shown
        .flawed
        .invariants
        .iter()
        .any(|verdict| verdict.name == flaw.promise && !verdict.holds);
    let is_told = scenario
        .expectations
        .iter()
        .any(|entry| entry.rules.is_some());
    let is_kept = shown.kept.is_ok_and(|report| {
        as_told(&report) && report.invariants.iter().all(|verdict| verdict.holds)
    });
    let is_refused = hardened(scenario).check().is_err();
    as_told(&shown.flawed) && (breaks || is_told) && (is_kept || is_refused)
}
