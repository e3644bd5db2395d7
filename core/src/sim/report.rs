//! What came of a run: the summary that the CLI prints, the page shows and tests compare.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use serde::Serialize;

use super::Sim;
use crate::event::{Event, EventKind, Level, RecordKind};
use crate::narrate;
use crate::oracle::Verdict;
use crate::ordered::Map;
use crate::scenario::{Expectation, Scenario};
use crate::types::{Hash32, InstanceId, NodeId, Time};
use crate::view::{NodeView, ViewScope};

/// A run's summary: `phaselab sim --json` prints exactly this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The protocol.
    pub protocol: &'static str,
    /// The rules.
    pub rules: &'static str,
    /// Restored flaws.
    pub flaws: Vec<String>,
    /// How messages were signed.
    pub crypto: &'static str,
    /// The seed.
    pub seed: u64,
    /// Virtual time at the end, in milliseconds.
    pub end_ms: u64,
    /// Steps made.
    pub steps: u64,
    /// Events that observers heard, single messages and timers aside.
    pub events: u64,
    /// Packets handed to nodes.
    pub delivered: u64,
    /// The hash of all that happened.
    pub trace_hash: Hash32,
    /// Every node.
    pub nodes: Vec<NodeReport>,
    /// Every decision.
    pub decisions: Vec<DecisionReport>,
    /// Every instance that ended without a value, with proof.
    pub abandoned: Vec<AbandonReport>,
    /// Every invariant.
    pub invariants: Vec<Verdict>,
    /// Every expectation of the scenario.
    pub expectations: Vec<ExpectationReport>,
    /// Counters over all nodes, and the network's.
    pub metrics: Map<String, u64>,
    /// How often each kind of fault fired.
    pub faults: Map<&'static str, u64>,
}

impl Report {
    /// Whether everything came as the scenario says: expectations met, and every invariant held that the scenario does
    /// not expect to break.
    pub fn is_as_expected(&self) -> bool {
        let broken_as_expected = |name: &str| {
            self.expectations
                .iter()
                .any(|entry| entry.met && entry.breaks.as_deref() == Some(name))
        };
        self.expectations.iter().all(|entry| entry.met)
            && self
                .invariants
                .iter()
                .all(|verdict| verdict.holds || broken_as_expected(verdict.name))
    }
}

/// A node at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its number.
    pub id: NodeId,
    /// Whether it runs.
    pub alive: bool,
    /// Whether it lies.
    pub byzantine: bool,
    /// Its instances.
    pub instances: Vec<InstanceReport>,
}

/// An instance at a node at the end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// Its name.
    pub instance: String,
    /// Its phase.
    pub phase: &'static str,
    /// Its round.
    pub round: u32,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionReport {
    /// The instance's name.
    pub instance: String,
    /// The value, in full.
    pub value: Hash32,
    /// The value's letter, where a page shows one.
    pub label: Option<String>,
    /// Who decided it.
    pub nodes: Vec<NodeId>,
    /// When the first did, in milliseconds.
    pub first_ms: u64,
    /// When the last did, in milliseconds.
    pub last_ms: u64,
}

/// An instance that ended without a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AbandonReport {
    /// The instance's name.
    pub instance: String,
    /// Who holds the proof.
    pub nodes: Vec<NodeId>,
    /// When the first did, in milliseconds.
    pub first_ms: u64,
}

/// An expectation and whether it was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectationReport {
    /// In words.
    pub text: String,
    /// Whether it was met.
    pub met: bool,
    /// The invariant that it expects to break.
    #[serde(skip)]
    pub breaks: Option<String>,
}

impl Sim {
    /// The summary of what happened so far.
    pub fn report(&self) -> Report {
        let scenario = self.scenario();
        let names = self.names();
        let name_of = |id: &InstanceId| names.get(id).cloned().unwrap_or_else(|| id.to_string());
        let views = self.summaries();
        Report {
            scenario: scenario.name.clone(),
            protocol: scenario.protocol.name(),
            rules: scenario.rules.name(),
            flaws: scenario.flaws.clone(),
            crypto: scenario.crypto.name(),
            seed: scenario.seed,
            end_ms: self.now().as_ms(),
            steps: self.steps(),
            events: self.log().of_protocol(),
            delivered: self.delivered(),
            trace_hash: self.trace_hash(),
            nodes: views
                .iter()
                .map(|(id, view)| self.node_report(*id, view))
                .collect(),
            decisions: self.decision_reports(&name_of),
            abandoned: self.abandon_reports(&name_of),
            invariants: self.verdicts(),
            expectations: self.expectation_reports(&views),
            metrics: self.metrics(),
            faults: self.faults(),
        }
    }

    /// What the scenario expects, and whether it was met so far.
    pub fn expectations(&self) -> Vec<ExpectationReport> {
        if self.scenario().expectations.is_empty() {
            return Vec::new();
        }
        self.expectation_reports(&self.summaries())
    }

    fn summaries(&self) -> Vec<(NodeId, NodeView)> {
        let ids = self.scenario().ids();
        ids.map(|id| (id, self.view(id, ViewScope::Summary)))
            .collect()
    }

    fn node_report(&self, id: NodeId, view: &NodeView) -> NodeReport {
        let phases = self.spec().phases;
        let instance = |instance: &crate::view::InstanceView| InstanceReport {
            instance: instance.name.clone(),
            phase: phases[usize::from(instance.phase)].name,
            round: instance.round.0,
        };
        NodeReport {
            id,
            alive: self.is_alive(id),
            byzantine: self.is_byzantine(id),
            instances: view.instances.iter().map(instance).collect(),
        }
    }

    fn decision_reports(&self, name_of: &dyn Fn(&InstanceId) -> String) -> Vec<DecisionReport> {
        let mut order: Vec<(InstanceId, Hash32)> = Vec::new();
        let mut found: Map<(InstanceId, Hash32), DecisionReport> = Map::new();
        for entry in self.decisions() {
            let (RecordKind::Decided, Some(value)) = (entry.record.kind, entry.record.value) else {
                continue;
            };
            let key = (entry.record.instance, value);
            let at_ms = entry.at.as_ms();
            let report = found.get_or_insert_with(key, || {
                order.push(key);
                DecisionReport {
                    instance: name_of(&key.0),
                    value,
                    label: self.log().letter(key.0, value),
                    nodes: Vec::new(),
                    first_ms: at_ms,
                    last_ms: at_ms,
                }
            });
            report.last_ms = at_ms;
            if !report.nodes.contains(&entry.node) {
                report.nodes.push(entry.node);
            }
        }
        let mut take = |key| found.remove(&key);
        let mut reports: Vec<DecisionReport> = order.into_iter().filter_map(&mut take).collect();
        reports
            .iter_mut()
            .for_each(|report| report.nodes.sort_unstable());
        reports
    }

    fn abandon_reports(&self, name_of: &dyn Fn(&InstanceId) -> String) -> Vec<AbandonReport> {
        let mut reports: Vec<(InstanceId, AbandonReport)> = Vec::new();
        for entry in self
            .decisions()
            .iter()
            .filter(|entry| entry.record.kind == RecordKind::Abandoned)
        {
            let instance = entry.record.instance;
            match reports.iter_mut().find(|(id, _)| *id == instance) {
                Some((_, report)) => report.nodes.push(entry.node),
                None => {
                    let first_ms = entry.at.as_ms();
                    reports.push((
                        instance,
                        AbandonReport {
                            instance: name_of(&instance),
                            nodes: vec![entry.node],
                            first_ms,
                        },
                    ));
                }
            }
        }
        let mut reports: Vec<AbandonReport> =
            reports.into_iter().map(|(_, report)| report).collect();
        for report in &mut reports {
            report.nodes.sort_unstable();
            report.nodes.dedup();
        }
        reports
    }

    fn metrics(&self) -> Map<String, u64> {
        let mut metrics: Map<String, u64> = Map::new();
        for id in self.scenario().ids() {
            for (name, count) in self.counters(id) {
                *metrics.get_or_default(name) += count;
            }
        }
        metrics.insert("network_sent_total".to_string(), self.net.sent());
        metrics.insert("network_delivered_total".to_string(), self.net.delivered);
        metrics.insert("network_dropped_total".to_string(), self.net.dropped);
        metrics
    }

    fn expectation_reports(&self, views: &[(NodeId, NodeView)]) -> Vec<ExpectationReport> {
        let scenario = self.scenario();
        let in_force = scenario.in_force();
        let applies = |entry: &&Expectation| entry.rules.is_none_or(|rules| rules == in_force);
        let judge = |entry: &Expectation| ExpectationReport {
            text: describe(entry),
            met: self.is_met(entry, views),
            breaks: entry
                .invariant
                .clone()
                .filter(|_| entry.holds == Some(false)),
        };
        scenario
            .expectations
            .iter()
            .filter(applies)
            .map(judge)
            .collect()
    }

    fn is_met(&self, entry: &Expectation, views: &[(NodeId, NodeView)]) -> bool {
        if let Some(name) = &entry.invariant {
            let mut verdicts = self.verdicts().into_iter().chain(self.oracle.liveness());
            let verdict = verdicts.find(|verdict| verdict.name == name);
            return verdict.is_some_and(|verdict| Some(verdict.holds) == entry.holds);
        }
        if let Some(word) = &entry.reply {
            return self.is_told(entry, word);
        }
        if let (Some(name), Some(text)) = (&entry.field, &entry.is) {
            return self.is_shown(entry, name, text);
        }
        let instance = entry.instance.as_ref().and_then(|name| {
            let known = views
                .iter()
                .flat_map(|(_, view)| &view.instances)
                .find(|instance| instance.name == *name);
            known.map(|instance| instance.id)
        });
        if entry.instance.is_some() && instance.is_none() {
            return entry.never || entry.count == Some(0);
        }
        if let Some(event) = &entry.event {
            let seen = self
                .watch
                .seen(event, entry.node, instance, entry.within_ms);
            return match (entry.never, entry.count) {
                (true, _) => seen == 0,
                (false, Some(count)) => seen == count,
                (false, None) => seen > 0,
            };
        }
        let Some(phase) = entry.phase.as_ref().and_then(|name| {
            self.spec()
                .phases
                .iter()
                .position(|phase| phase.name == name)
                .map(|index| index as u8)
        }) else {
            return false;
        };
        let nodes = views.iter().filter(|(id, _)| match entry.node {
            Some(node) => node == *id,
            None => self.is_alive(*id),
        });
        let mut reached = nodes.map(|(id, view)| {
            let entered = self.watch.entered(*id, instance, phase, entry.within_ms);
            let ended = view
                .instances
                .iter()
                .any(|known| Some(known.id) == instance && known.phase == phase);
            if entry.never || entry.within_ms.is_some() {
                entered
            } else {
                ended
            }
        });
        if entry.never {
            !reached.any(|yes| yes)
        } else {
            reached.all(|yes| yes)
        }
    }
}

impl Sim {
    /// Whether clients were told a word as often as expected.
    fn is_told(&self, entry: &Expectation, word: &str) -> bool {
        let protocol = self.scenario().protocol;
        let meant = self.replies().iter().filter(|reply| {
            let in_time = entry.within_ms.is_none_or(|ms| reply.at.as_ms() <= ms);
            let by_whom = entry.node.is_none_or(|node| node == reply.node);
            let to_whom = entry.client.is_none_or(|client| client == reply.client);
            in_time && by_whom && to_whom
        });
        let words = meant.filter_map(|reply| protocol.read_reply(&reply.reply));
        let told = words.filter(|view| view.outcome == word).count() as u64;
        match (entry.never, entry.count) {
            (true, _) => told == 0,
            (false, Some(count)) => told == count,
            (false, None) => told > 0,
        }
    }

    /// Whether a field stands in the views that are meant, at the end.
    fn is_shown(&self, entry: &Expectation, name: &str, text: &str) -> bool {
        let ids = self.scenario().ids().filter(|id| match entry.node {
            Some(node) => node == *id,
            None => self.is_alive(*id),
        });
        let mut shown = ids.map(|id| {
            let view = self.view(id, ViewScope::Full);
            let fields = match &entry.instance {
                None => view.fields,
                Some(instance) => {
                    let mut instances = view.instances.into_iter();
                    let known = instances.find(|known| known.name == *instance);
                    known.map(|known| known.fields).unwrap_or_default()
                }
            };
            let is_meant = |field: &crate::view::Field| field.name == name && field.text == text;
            let times = fields.iter().filter(|field| is_meant(field)).count() as u64;
            entry.count.map_or(times > 0, |count| times == count)
        });
        if entry.never {
            !shown.any(|yes| yes)
        } else {
            shown.all(|yes| yes)
        }
    }
}

/// An expectation in words.
fn describe(entry: &Expectation) -> String {
    if let (Some(invariant), Some(holds)) = (&entry.invariant, entry.holds) {
        return format!("{invariant} {}", if holds { "holds" } else { "breaks" });
    }
    let who = entry.node.map_or_else(
        || "every node".to_string(),
        |node| format!("node {}", node.0),
    );
    if let Some(word) = &entry.reply {
        let whom = entry.client.map_or_else(
            || "a client".to_string(),
            |client| format!("client {}", client.0),
        );
        let by = entry
            .node
            .map_or_else(String::new, |node| format!(" by node {}", node.0));
        let verb = if entry.never { "is never" } else { "is" };
        let (times, within) = (times(entry), within(entry));
        return format!("{whom} {verb} told {word}{by}{times}{within}");
    }
    if let (Some(name), Some(text)) = (&entry.field, &entry.is) {
        let at = entry
            .instance
            .as_ref()
            .map_or_else(String::new, |name| format!(" at {name}"));
        let verb = if entry.never { "never shows" } else { "shows" };
        return format!("{who} {verb}{at} {name} \"{text}\"{}", times(entry));
    }
    let about = entry
        .instance
        .as_ref()
        .map_or_else(String::new, |name| format!(" of {name}"));
    let verb = if entry.never { "never " } else { "" };
    let (times, within) = (times(entry), within(entry));
    match (&entry.phase, &entry.event) {
        (Some(phase), _) => format!("{who} {verb}reaches {phase}{about}{within}"),
        (None, Some(event)) => format!("{who} {verb}shows {event}{about}{times}{within}"),
        (None, None) => "nothing".to_string(),
    }
}

fn times(entry: &Expectation) -> String {
    entry.count.map_or_else(String::new, |count| match count {
        1 => String::from(" once"),
        count => format!(" {count} times"),
    })
}

fn within(entry: &Expectation) -> String {
    let within = entry.within_ms;
    within.map_or_else(String::new, |ms| format!(" within {ms} ms"))
}

/// Counts what expectations ask for; silent when they ask for nothing that events tell.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    active: bool,
    events: Map<(&'static str, NodeId, Option<InstanceId>), Vec<Time>>,
    phases: Map<(NodeId, Option<InstanceId>, u8), Time>,
}

impl Watch {
    pub(super) fn new(scenario: &Scenario) -> Watch {
        let tells = |entry: &Expectation| {
            let is_of_phases = entry.phase.is_some() && (entry.never || entry.within_ms.is_some());
            entry.event.is_some() || is_of_phases
        };
        Watch {
            active: scenario.expectations.iter().any(tells),
            events: Map::new(),
            phases: Map::new(),
        }
    }

    /// The level that the expectations need.
    pub(super) fn level(&self) -> Level {
        if self.active {
            Level::Protocol
        } else {
            Level::None
        }
    }

    pub(super) fn on_event(&mut self, now: Time, node: NodeId, event: &Event) {
        if !self.active {
            return;
        }
        if let EventKind::PhaseEntered(phase) = event.kind {
            self.phases
                .get_or_insert_with((node, event.instance, phase), || now);
        }
        self.events
            .get_or_default((narrate::event_name(event.kind), node, event.instance))
            .push(now);
    }

    fn seen(
        &self,
        name: &str,
        node: Option<NodeId>,
        instance: Option<InstanceId>,
        within_ms: Option<u64>,
    ) -> u64 {
        let matching = self.events.iter().filter(|((known, at, about), _)| {
            *known == name
                && node.is_none_or(|node| node == *at)
                && (instance.is_none() || instance == *about)
        });
        let in_time = |at: &&Time| within_ms.is_none_or(|ms| at.as_ms() <= ms);
        matching
            .map(|(_, times)| times.iter().filter(in_time).count() as u64)
            .sum()
    }

    fn entered(
        &self,
        node: NodeId,
        instance: Option<InstanceId>,
        phase: u8,
        within_ms: Option<u64>,
    ) -> bool {
        let first = self.phases.get(&(node, instance, phase));
        first.is_some_and(|at| within_ms.is_none_or(|ms| at.as_ms() <= ms))
    }
}
