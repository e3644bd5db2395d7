//! What watches a run from outside the replicas and says whether its promises were kept.
//!
//! An oracle sees what crosses the network and what nodes record; it never calls a replica's own predicates.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::engine::Opened;
use crate::event::{Record, RecordKind};
use crate::ordered::{Map, Set};
use crate::types::{ClientId, Hash32, InstanceId, NodeId, Time};

/// One invariant's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The invariant.
    pub name: &'static str,
    /// Whether it held throughout.
    pub holds: bool,
    /// The first violation with nodes and values, or what was checked.
    pub detail: String,
}

/// A watcher of one run.
pub trait Oracle: Send + Sync {
    /// A node sends a message.
    fn on_send(&mut self, now: Time, from: NodeId, message: &Opened);
    /// A node records something.
    fn on_record(&mut self, now: Time, node: NodeId, record: &Record);
    /// A node lies from now on: what it says binds nobody.
    fn on_byzantine(&mut self, node: NodeId);
    /// Part of what members did is not heard: that something was never said proves nothing.
    fn on_gap(&mut self) {}
    /// A member is not heard at all, but for what others received of it.
    fn on_absent(&mut self, _: NodeId) {}
    /// A client asks a node that runs; the bytes of the protocol's `Request`.
    fn on_request(&mut self, _: Time, _: NodeId, _: ClientId, _: u64, _: &[u8]) {}
    /// A client is told something; the bytes of the protocol's `Reply`.
    fn on_reply(&mut self, _: Time, _: NodeId, _: ClientId, _: u64, _: &[u8]) {}
    /// The verdicts so far, always in the same order.
    fn verdicts(&self) -> Vec<Verdict>;
    /// What should hold once a run has come to rest; asked only where a scenario expects it.
    fn liveness(&self) -> Vec<Verdict> {
        Vec::new()
    }
    /// Whether everything held so far: cheap, asked after every step.
    fn holds(&self) -> bool;
    /// A copy, for checkpoints.
    fn clone_box(&self) -> Box<dyn Oracle>;
}

/// What a verdict says that rests on part of a run.
pub const AS_HEARD: &str = "as far as it was heard: part of the run is missing";

/// What a protocol promises, by name and in a sentence, and what was found against it.
#[derive(Clone, Debug)]
pub struct Promises {
    all: &'static [(&'static str, &'static str)],
    /// Those of which not all is heard.
    limited: &'static [&'static str],
    /// Whether those are not judged at all.
    leaves: bool,
    broken: Map<&'static str, String>,
}

impl Promises {
    /// All kept so far.
    pub const fn new(all: &'static [(&'static str, &'static str)]) -> Promises {
        Promises {
            all,
            limited: &[],
            leaves: false,
            broken: Map::new(),
        }
    }

    /// Of these not all is heard, and their verdicts say so. What breaks them by itself still does.
    pub const fn limit(&mut self, promises: &'static [&'static str]) {
        self.limited = promises;
    }

    /// The same where what was not heard may be what keeps them: they are not judged.
    pub const fn leave(&mut self, promises: &'static [&'static str]) {
        self.limit(promises);
        self.leaves = true;
    }

    /// Whether not all of a promise is heard.
    pub fn is_limited(&self, promise: &str) -> bool {
        self.limited.contains(&promise)
    }

    /// Notes what breaks a promise; what was found first stays.
    pub fn fail(&mut self, promise: &'static str, detail: impl FnOnce() -> String) {
        if !(self.leaves && self.is_limited(promise)) {
            self.broken.get_or_insert_with(promise, detail);
        }
    }

    /// Whether all held so far.
    pub fn hold(&self) -> bool {
        self.broken.is_empty()
    }

    /// The verdicts, in the order of the promises.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> + '_ {
        self.all.iter().map(|(name, meaning)| {
            let broken = self.broken.get(name);
            let held = match self.is_limited(name) {
                true => AS_HEARD,
                false => *meaning,
            };
            Verdict {
                name,
                holds: broken.is_none(),
                detail: broken.cloned().unwrap_or_else(|| String::from(held)),
            }
        })
    }
}

/// What every protocol promises per instance: one decision, and none beside an abandonment.
#[derive(Clone, Debug, Default)]
pub struct Agreement {
    decided: Map<InstanceId, (Hash32, NodeId)>,
    abandoned: Map<InstanceId, NodeId>,
    liars: Set<NodeId>,
    violation: Option<String>,
}

impl Agreement {
    /// Notes a record.
    pub fn on_record(&mut self, now: Time, node: NodeId, record: &Record) {
        if self.liars.contains(&node) || self.violation.is_some() {
            return;
        }
        match (record.kind, record.value) {
            (RecordKind::Decided, Some(value)) => {
                let (first, by) = *self
                    .decided
                    .get_or_insert_with(record.instance, || (value, node));
                if first != value {
                    self.violation = Some(format!(
                        "{} ms: {node} decided {value:?}, {by} had decided {first:?}",
                        now.as_ms()
                    ));
                } else if let Some(by) = self.abandoned.get(&record.instance) {
                    self.violation = Some(format!(
                        "{} ms: {node} decided {value:?}, {by} had proof of abandonment",
                        now.as_ms()
                    ));
                }
            }
            (RecordKind::Abandoned, _) => {
                self.abandoned.get_or_insert_with(record.instance, || node);
                if let Some((value, by)) = self.decided.get(&record.instance) {
                    self.violation = Some(format!(
                        "{} ms: {node} has proof of abandonment, {by} had decided {value:?}",
                        now.as_ms()
                    ));
                }
            }
            _ => {}
        }
    }

    /// Forgets a liar's word.
    pub fn on_byzantine(&mut self, node: NodeId) {
        self.liars.insert(node);
    }

    /// Whether the node lies.
    pub fn is_liar(&self, node: NodeId) -> bool {
        self.liars.contains(&node)
    }

    /// Whether it held so far.
    pub fn holds(&self) -> bool {
        self.violation.is_none()
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        let detail = self.violation.clone().unwrap_or_else(|| {
            format!(
                "{} decided, {} abandoned, never two ways",
                self.decided.len(),
                self.abandoned.len()
            )
        });
        Verdict {
            name: "agreement",
            holds: self.holds(),
            detail,
        }
    }
}

/// Watches agreement alone.
impl Oracle for Agreement {
    fn on_send(&mut self, _: Time, _: NodeId, _: &Opened) {}
    fn on_record(&mut self, now: Time, node: NodeId, record: &Record) {
        Agreement::on_record(self, now, node, record);
    }
    fn on_byzantine(&mut self, node: NodeId) {
        Agreement::on_byzantine(self, node);
    }
    fn verdicts(&self) -> Vec<Verdict> {
        alloc::vec![self.verdict()]
    }
    fn holds(&self) -> bool {
        Agreement::holds(self)
    }
    fn clone_box(&self) -> Box<dyn Oracle> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Round;

    fn record(kind: RecordKind, value: Option<u8>) -> Record {
        Record {
            kind,
            instance: InstanceId::default(),
            value: value.map(|v| Hash32([v; 32])),
            round: Round(0),
        }
    }

    #[test]
    fn two_values_break_agreement_and_a_liars_word_does_not_count() {
        let mut oracle = Agreement::default();
        oracle.on_byzantine(NodeId(3));
        oracle.on_record(Time::ZERO, NodeId(1), &record(RecordKind::Decided, Some(1)));
        oracle.on_record(Time::ZERO, NodeId(3), &record(RecordKind::Decided, Some(2)));
        assert!(oracle.holds());
        oracle.on_record(Time::ZERO, NodeId(2), &record(RecordKind::Decided, Some(2)));
        assert!(!oracle.holds());
    }

    #[test]
    fn a_decision_and_an_abandonment_exclude_each_other_in_either_order() {
        for order in [[0, 1], [1, 0]] {
            let both = [
                record(RecordKind::Decided, Some(1)),
                record(RecordKind::Abandoned, None),
            ];
            let mut oracle = Agreement::default();
            oracle.on_record(Time::ZERO, NodeId(1), &both[order[0]]);
            assert!(oracle.holds());
            oracle.on_record(Time::ZERO, NodeId(2), &both[order[1]]);
            assert!(!oracle.holds());
        }
    }
}
