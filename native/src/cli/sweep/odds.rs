//! Sweeps of protocols that only probably agree: how often nodes disagreed, beside the bound, and how long finality took.

use phaselab_core::event::RecordKind;
use phaselab_core::ordered::Map;
use phaselab_core::scenario::Scenario;
use phaselab_core::sim::Sim;
use phaselab_core::snow::bound::{Question, wilson};
use phaselab_core::types::Hash32;
use serde::Serialize;

use crate::cli::bound::{Told, share};
use crate::cli::story::counted;
use crate::submit::performance::percentile;
use crate::terminal::{Ink, Screen};

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Whether a node decided what a client asked for.
    decided: bool,
    disagrees: bool,
    /// From a client's asking until each node had it final.
    finality_ms: Vec<u64>,
    /// What the bound is asked about the run, or why it cannot be.
    question: Result<Question, &'static str>,
    /// Conflicts that were decided; the bound is about each.
    conflicts: u64,
}

impl Run {
    /// Reads it off a run that has ended; `None` where agreement is certain.
    pub(super) fn of(sim: &Sim) -> Option<Run> {
        let scenario = sim.scenario();
        let protocol = scenario.protocol;
        let judged = protocol.polls(&scenario.config)?;
        let mut asked: Map<Hash32, u64> = Map::new();
        for reply in sim.replies() {
            let Some(view) = protocol.read_reply(&reply.reply) else {
                continue;
            };
            if let ("accepted", Some(value)) = (view.outcome, view.value) {
                asked.get_or_insert_with(value, || reply.at.as_ms());
            }
        }
        let mut finality_ms = Vec::new();
        let mut conflicts = Map::new();
        for decision in sim.decisions() {
            let (RecordKind::Decided, Some(value)) = (decision.record.kind, decision.record.value)
            else {
                continue;
            };
            conflicts.insert(decision.record.instance, ());
            if let Some(since) = asked.get(&value) {
                finality_ms.push(decision.at.as_ms().saturating_sub(*since));
            }
        }
        let is_probable = |name: &str| protocol.probable().contains(&name);
        let mut verdicts = sim.verdicts().into_iter();
        Some(Run {
            decided: !finality_ms.is_empty(),
            disagrees: verdicts.any(|verdict| is_probable(verdict.name) && !verdict.holds),
            finality_ms,
            question: judged.and_then(|parameters| question(sim, scenario, parameters)),
            conflicts: conflicts.len() as u64,
        })
    }
}

/// What the bound is asked: liars as they were, and as many polls as the busiest node made about all conflicts together.
fn question(
    sim: &Sim,
    scenario: &Scenario,
    parameters: phaselab_core::snow::Parameters,
) -> Result<Question, &'static str> {
    use phaselab_core::engine::RuleSet;
    if scenario.rules != RuleSet::Hardened || !scenario.flaws.is_empty() {
        return Err("the bound is about hardened rules");
    }
    let liars = scenario.ids().filter(|id| sim.is_byzantine(*id)).count();
    let polls = scenario.ids().map(|id| {
        let counters = sim.counters(id);
        counters.get("snowball_polls_total").copied().unwrap_or(0)
    });
    Ok(Question {
        nodes: scenario.nodes,
        parameters,
        byzantine: u16::try_from(liars).unwrap_or(u16::MAX),
        polls: polls.max().unwrap_or(0),
    })
}

/// What all runs came to.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: u64,
    decided: u64,
    disagreed: u64,
    finality_ms: Vec<u64>,
    /// The worst question of all runs, if the runs are about the same.
    question: Option<Result<Question, &'static str>>,
    conflicts: u64,
}

/// What `--json` says beside the rest.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Summed {
    decided: u64,
    disagreements: u64,
    disagreement_rate: f64,
    /// The 95 % interval of the rate.
    disagreement_rate_low: f64,
    disagreement_rate_high: f64,
    /// The bound of one conflict, and how many conflicts a run decided at most.
    bound: Told,
    bound_text: String,
    conflicts: u64,
    finality_ms: Option<Finality>,
}

/// Over all nodes of all runs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finality {
    median: u64,
    p95: u64,
}

impl Runs {
    /// Counts a run.
    pub(super) fn add(&mut self, run: Run) {
        self.runs += 1;
        self.decided += u64::from(run.decided);
        self.disagreed += u64::from(run.disagrees);
        self.finality_ms.extend(run.finality_ms);
        self.conflicts = self.conflicts.max(run.conflicts);
        self.question = Some(match (self.question, run.question) {
            (None, question) => question,
            (Some(Ok(before)), Ok(now)) => {
                let is_same = (before.nodes, before.parameters) == (now.nodes, now.parameters);
                match is_same {
                    true => Ok(Question {
                        byzantine: before.byzantine.max(now.byzantine),
                        polls: before.polls.max(now.polls),
                        ..before
                    }),
                    false => Err("nodes and parameters are other ones in each run"),
                }
            }
            (Some(Err(why)), _) | (_, Err(why)) => Err(why),
        });
    }

    /// The sums; `None` if there was no such run.
    pub(super) fn sum(&self) -> Option<Summed> {
        use phaselab_core::snow::bound::Bound;
        let question = self.question?;
        let (bound, bound_text) = match question {
            Ok(question) => (question.bound(), question.line()),
            Err(why) => {
                let bound = Bound::Unknown {
                    why: why.to_owned(),
                };
                let text = bound.to_string();
                (bound, text)
            }
        };
        let (low, high) = wilson(self.disagreed, self.runs);
        let mut ms = self.finality_ms.clone();
        ms.sort_unstable();
        let finality = percentile(&ms, 50).zip(percentile(&ms, 95));
        Some(Summed {
            decided: self.decided,
            disagreements: self.disagreed,
            disagreement_rate: self.disagreed as f64 / self.runs.max(1) as f64,
            disagreement_rate_low: low,
            disagreement_rate_high: high,
            bound: Told::of(&bound),
            bound_text,
            conflicts: self.conflicts,
            finality_ms: finality.map(|(median, p95)| Finality { median, p95 }),
        })
    }
}

impl Summed {
    /// Lines for people.
    pub(super) fn show(&self, seeds: u64, screen: &mut Screen) {
        let text = format!("{} of {}", self.decided, counted(seeds, "run"));
        screen.entry("decided   ", None, &text);
        if let Some(Finality { median, p95 }) = &self.finality_ms {
            let text = format!("half of the nodes in {median} ms, 95 % in {p95} ms");
            screen.entry("finality  ", None, &text);
        }
        let ink = match self.disagreements {
            0 => Ink::Good,
            _ => Ink::Warn,
        };
        let text = format!(
            "in {} of {}: {}, 95 % between {} and {}",
            self.disagreements,
            counted(seeds, "run"),
            share(self.disagreement_rate),
            share(self.disagreement_rate_low),
            share(self.disagreement_rate_high)
        );
        screen.entry("disagreed ", Some(ink), &text);
        screen.entry("bound     ", None, &self.bound_text);
        if self.bound.error_at_most.is_some() {
            let text = format!("of each conflict; a run decided {} at most", self.conflicts);
            screen.entry("          ", Some(Ink::Dim), &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::snow::Parameters;

    fn run(disagrees: bool, ms: &[u64], polls: u64) -> Run {
        Run {
            decided: !ms.is_empty(),
            disagrees,
            finality_ms: ms.to_vec(),
            question: Ok(Question {
                nodes: 100,
                parameters: Parameters::MAINNET,
                byzantine: 0,
                polls,
            }),
            conflicts: 2,
        }
    }

    #[test]
    fn runs_are_summed_up_with_the_worst_question() {
        let mut runs = Runs::default();
        assert!(runs.sum().is_none());
        runs.add(run(false, &[100, 300], 30));
        runs.add(run(true, &[200], 50));
        runs.add(run(false, &[], 40));
        let sum = runs.sum().unwrap();
        assert_eq!((sum.decided, sum.disagreements), (2, 1));
        assert!(sum.disagreement_rate_low > 0.0 && sum.disagreement_rate_high < 1.0);
        assert_eq!(
            sum.finality_ms,
            Some(Finality {
                median: 200,
                p95: 300
            })
        );
        assert!(sum.bound_text.contains("50 polls"), "{}", sum.bound_text);
        assert!(sum.bound.error_at_most.unwrap() < 1e-9);
        // Other nodes: nothing can be said of all runs together.
        let mut other = run(false, &[], 1);
        if let Ok(question) = &mut other.question {
            question.nodes = 99;
        }
        runs.add(other);
        let sum = runs.sum().unwrap();
        assert_eq!(sum.bound.error_at_most, None);
        assert!(
            sum.bound_text.starts_with("error unknown: "),
            "{}",
            sum.bound_text
        );
    }
}
