//! The judge of a run under faults: it hears what nodes say of themselves and what clients were told, and nothing else.
//!
//! What it holds the cluster to, at every moment and across restarts:
//!
//! - *One decision*: whatever nodes hold and clients are told of an event is the same value, and no client is told that
//!   it ended without one. That a node has given an event up proves nothing: the others may decide it.
//! - *One signature*: the value that a node says it signed for an event never changes and is never forgotten.
//! - *Nothing is lost*: what a node once knew or decided it still knows, and from one look to the next an event goes
//!   only where the protocol lets it go; what a client was told was accepted is known at that node.
//! - *One life at a time*: each process has a higher incarnation than the one before.
//! - *Every event ends*: once the faults are over, every event that a client was told of is decided at every node, or
//!   ends without a value at every node.

use std::collections::{BTreeMap, BTreeSet};

use phaselab_core::types::{Hash32, NodeId};
use phaselab_core::view::Spec;

use super::findings::Findings;
use crate::control::Submitted;
use crate::node::NodeReport;

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Judge {
    spec: &'static Spec,
    events: BTreeMap<String, Event>,
    /// What each node knows, by the events' names.
    nodes: BTreeMap<NodeId, BTreeMap<String, Known>>,
    findings: Findings,
    looks: u64,
}

/// An event, as all that speak of it have it.
#[derive(Debug, Default)]
struct Event {
    decided: Option<(Hash32, String)>,
    /// Which client was told that it ended without a value.
    abandoned: Option<String>,
    /// Nodes that told a client that they have it.
    acknowledged: BTreeSet<NodeId>,
}

/// An event at one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// By its place in the protocol's shape.
    phase: u8,
    signed: Option<Hash32>,
    decided: Option<Hash32>,
}

/// What came of it, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Counts {
    /// Events that a client was told of, at least that they were accepted.
    pub(super) acknowledged: usize,
    /// Events with a value.
    pub(super) decided: usize,
    /// Events of which a client was told that they ended without one.
    pub(super) abandoned: usize,
    /// Signatures that nodes said they gave.
    pub(super) signatures: usize,
    /// How often a node was looked at.
    pub(super) looks: u64,
}

impl Judge {
    /// A judge who has seen nothing.
    pub(super) fn new(spec: &'static Spec) -> Judge {
        Judge {
            spec,
            events: BTreeMap::new(),
            nodes: BTreeMap::new(),
            findings: Findings::default(),
            looks: 0,
        }
    }

    /// A node says how it is.
    pub(super) fn look(&mut self, report: &NodeReport) {
        self.looks += 1;
        let node = report.id;
        self.findings.live(report);
        let mut now = BTreeMap::new();
        for instance in &report.instances {
            let mut phases = self.spec.phases.iter();
            let known = Known {
                phase: phases
                    .position(|phase| phase.name == instance.phase)
                    .unwrap_or(0) as u8,
                signed: instance.signed,
                decided: instance.value,
            };
            if let Some(value) = instance.value {
                self.decided(&instance.instance, value, &format!("node {}", node.0));
            }
            now.insert(instance.instance.clone(), known);
        }
        let before = self.nodes.insert(node, now).unwrap_or_default();
        for (name, was) in before {
            let is = self.nodes[&node].get(&name).copied();
            for what in self.lost(was, is) {
                self.blame(format!("node {}, {name}: {what}", node.0));
            }
        }
    }

    /// A node answers a client.
    pub(super) fn answer(&mut self, node: NodeId, answer: &Submitted) {
        let who = format!("a client of node {}", node.0);
        let name = &answer.instance;
        match (answer.outcome.as_str(), answer.value) {
            ("decided", Some(value)) => self.decided(name, value, &who),
            ("abandoned", _) => self.abandoned(name, &who),
            ("accepted" | "in-progress", _) => {}
            // Refused, or no answer: nothing was promised.
            _ => return,
        }
        let event = self.events.entry(name.clone()).or_default();
        event.acknowledged.insert(node);
    }

    /// Something is wrong that others saw.
    fn blame(&mut self, what: String) {
        self.findings.blame(what);
    }

    fn decided(&mut self, name: &str, value: Hash32, who: &str) {
        let event = self.events.entry(name.to_owned()).or_default();
        let (first, by) = event
            .decided
            .get_or_insert_with(|| (value, who.to_owned()))
            .clone();
        let abandoned = event.abandoned.clone();
        if first != value {
            self.blame(format!(
                "{name}: {who} has {}, {by} had {}",
                value.short(),
                first.short()
            ));
        }
        if let Some(other) = abandoned {
            self.blame(format!(
                "{name}: {who} has {}, {other} has its end without a value",
                value.short()
            ));
        }
    }

    fn abandoned(&mut self, name: &str, who: &str) {
        let event = self.events.entry(name.to_owned()).or_default();
        event.abandoned.get_or_insert_with(|| who.to_owned());
        if let Some((value, by)) = event.decided.clone() {
            self.blame(format!(
                "{name}: {who} has its end without a value, {by} had {}",
                value.short()
            ));
        }
    }

    /// What has not ended everywhere, as last seen; empty once all that was acknowledged has.
    pub(super) fn unfinished(&self, nodes: &[NodeId]) -> Vec<String> {
        let mut open = Vec::new();
        for (name, event) in &self.events {
            if event.acknowledged.is_empty() {
                continue;
            }
            for node in nodes {
                let known = self.nodes.get(node).and_then(|node| node.get(name));
                let is_terminal =
                    |known: &Known| self.spec.phases[usize::from(known.phase)].terminal;
                let what = match (known, event.decided.is_some()) {
                    (Some(known), true) if known.decided.is_some() => continue,
                    (Some(known), false) if is_terminal(known) => continue,
                    (Some(_), _) => "has not ended",
                    (None, _) if event.acknowledged.contains(node) => {
                        "was acknowledged and is not known"
                    }
                    (None, _) => "is not known",
                };
                open.push(format!("{name}: {what} at node {}", node.0));
            }
        }
        open
    }

    /// What a node had and has no more.
    fn lost(&self, was: Known, is: Option<Known>) -> Vec<String> {
        let Some(is) = is else {
            return vec!["was known, and is no more".to_owned()];
        };
        let mut wrong = Vec::new();
        let words = |value: Option<Hash32>| {
            value.map_or_else(|| "nothing".to_owned(), |value| value.short().to_string())
        };
        if was.signed.is_some() && is.signed != was.signed {
            let (before, now) = (words(was.signed), words(is.signed));
            wrong.push(format!("had signed {before}, now {now}"));
        }
        if was.decided.is_some() && is.decided != was.decided {
            let (before, now) = (words(was.decided), words(is.decided));
            wrong.push(format!("had decided {before}, now {now}"));
        }
        if !self.leads_to(was.phase, is.phase) {
            let name = |phase: u8| self.spec.phases[usize::from(phase)].name;
            wrong.push(format!("was {}, now {}", name(was.phase), name(is.phase)));
        }
        wrong
    }

    /// Whether an event may go from one phase to another, in any number of steps.
    fn leads_to(&self, from: u8, to: u8) -> bool {
        let mut reached = BTreeSet::from([from]);
        loop {
            let steps = self.spec.transitions.iter();
            let steps = steps.filter(|(before, _)| reached.contains(before));
            let next: BTreeSet<u8> = steps
                .map(|(_, after)| *after)
                .chain(reached.clone())
                .collect();
            if next == reached {
                return reached.contains(&to);
            }
            reached = next;
        }
    }

    /// What was wrong.
    pub(super) fn findings(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// What came of it, in numbers.
    pub(super) fn counts(&self) -> Counts {
        let count = |is: fn(&Event) -> bool| self.events.values().filter(|event| is(event)).count();
        let known = self.nodes.values().flat_map(BTreeMap::values);
        Counts {
            acknowledged: count(|event| !event.acknowledged.is_empty()),
            decided: count(|event| event.decided.is_some()),
            abandoned: count(|event| event.abandoned.is_some()),
            signatures: known.filter(|known| known.signed.is_some()).count(),
            looks: self.looks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::report::InstanceReport;
    use phaselab_core::protocol::ProtocolKind;

    const A: Hash32 = Hash32([0xaa; 32]);
    const B: Hash32 = Hash32([0xbb; 32]);

    fn judge() -> Judge {
        Judge::new(ProtocolKind::TwoPhase.spec())
    }

    /// An event at a node: phase, signed and decided value.
    type At<'a> = (&'a str, Option<Hash32>, Option<Hash32>);

    /// A node in this life that knows nothing, or the event `x`.
    fn report(node: u16, life: u32, event: Option<At<'_>>) -> NodeReport {
        let instance = |(phase, signed, value): At<'_>| InstanceReport {
            id: None,
            instance: "x".to_owned(),
            phase: phase.to_owned(),
            open: true,
            round: 0,
            value,
            label: None,
            signed,
            meter: None,
            waits_for: None,
            fields: Vec::new(),
        };
        NodeReport {
            instances: event.into_iter().map(instance).collect(),
            ..nothing(node, life)
        }
    }

    fn nothing(node: u16, life: u32) -> NodeReport {
        let text = format!(
            r#"{{"id":{node},"pid":{life},"incarnation":{life},"uptime_ms":0,"current":null,"instances":[],
                "peers":[],"refused":0,"counters":{{}},"chain":{{"connected":true,"reported":0}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    /// What is blamed when these are seen one after another.
    fn blamed(reports: &[NodeReport]) -> Vec<String> {
        let mut judge = judge();
        reports.iter().for_each(|report| judge.look(report));
        judge.findings.violations().to_vec()
    }

    #[test]
    fn what_only_grows_is_right() {
        let steps = [
            report(1, 1, None),
            report(1, 1, Some(("proposing", None, None))),
            report(1, 2, Some(("committed", Some(A), Some(A)))),
            // Given up, and then decided by the others.
            report(2, 1, Some(("abandoned", None, None))),
            report(2, 1, Some(("committed", None, Some(A)))),
            report(1, 3, Some(("completed", Some(A), Some(A)))),
        ];
        assert_eq!(blamed(&steps), [""; 0]);
    }

    #[test]
    fn each_broken_promise_is_seen() {
        let decided =
            |node, life, value| report(node, life, Some(("completed", None, Some(value))));
        let signed = |life, value| report(1, life, Some(("committed", value, None)));
        let cases = [
            (
                vec![decided(1, 1, A), decided(2, 1, B)],
                "x: node 2 has bbbb",
            ),
            (
                vec![
                    decided(1, 1, A),
                    report(1, 2, Some(("completed", None, None))),
                ],
                "node 1, x: had decided aaaa",
            ),
            (
                vec![signed(1, Some(A)), signed(2, Some(B))],
                "node 1, x: had signed aaaa",
            ),
            (vec![signed(1, Some(A)), signed(2, None)], "now nothing"),
            (
                vec![decided(1, 1, A), report(1, 2, None)],
                "node 1, x: was known, and is no more",
            ),
            (
                vec![
                    decided(1, 1, A),
                    report(1, 2, Some(("proposing", None, Some(A)))),
                ],
                "node 1, x: was completed, now proposing",
            ),
            (
                vec![report(1, 2, None), report(1, 1, None)],
                "node 1: process 1 has incarnation 1 after 2",
            ),
        ];
        for (reports, expected) in cases {
            let found = blamed(&reports);
            assert!(
                found.iter().any(|what| what.contains(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn what_a_client_was_told_binds() {
        let told = |outcome: &str, value| Submitted {
            instance: "x".to_owned(),
            outcome: outcome.to_owned(),
            value,
            label: None,
            certificate: 0,
            text: String::new(),
            ms: 0,
            parts: phaselab_core::shards::ReplyParts::default(),
        };
        let mut judge = judge();
        let both = [NodeId(1), NodeId(2)];
        judge.answer(NodeId(1), &told("no-answer", None));
        assert_eq!(judge.unfinished(&both), [""; 0]);
        judge.answer(NodeId(1), &told("accepted", None));
        assert_eq!(
            judge.unfinished(&both),
            [
                "x: was acknowledged and is not known at node 1",
                "x: is not known at node 2"
            ]
        );
        judge.look(&report(1, 1, Some(("committed", None, Some(A)))));
        judge.look(&report(2, 1, Some(("abandoned", None, None))));
        assert_eq!(judge.unfinished(&both), ["x: has not ended at node 2"]);
        assert_eq!(judge.findings.violations(), [""; 0]);
        judge.answer(NodeId(2), &told("decided", Some(B)));
        assert!(
            judge.findings.violations()[0].contains("a client of node 2 has bbbb, node 1 had aaaa")
        );
        judge.answer(NodeId(2), &told("abandoned", None));
        assert!(
            judge.findings.violations()[1]
                .contains("a client of node 2 has its end without a value")
        );
        assert_eq!(
            (judge.findings.broken(), judge.counts().acknowledged),
            (2, 1)
        );
    }
}
