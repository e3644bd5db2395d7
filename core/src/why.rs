//! Why an instance ended at a node; and where it has not, which quorum lacks whom.
//!
//! *The causal cone* of an end goes back from its event: to the votes of its quorum, the messages that brought them, the
//! steps of their senders that cast them, the timers that fired there, and the requests with which it all began. It is
//! read off the run's log, where every event names what its node was told in that step, and every message the step that
//! sent it. Of a timer of a round, the cause is that the round was entered.
//!
//! *The lack* of a node whose instance has not ended compares its meters with what the other members did: who is down,
//! whose vote is on its way or was lost, who has not voted.
//!
//! Nothing is guessed. What the log's level does not hold is said not to be known.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Serialize, Serializer};

use crate::event::{EventKind, RecordKind};
use crate::narrate;
use crate::sim::Sim;
use crate::sim::log::Logged;
use crate::types::{Hash32, InstanceId, NodeId, Round, Time};
use crate::view::{InstanceView, Shape, ViewScope};

mod cone;
mod lack;

/// The most lines of an answer; the oldest causes are left out.
pub const LINES_MAX: usize = 64;

/// Why an instance ended at a node, or has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The node.
    pub node: NodeId,
    /// The instance's name.
    pub instance: String,
    /// The instance.
    pub id: InstanceId,
    /// Whether it ended there.
    pub ended: bool,
    /// The answer in a sentence.
    pub summary: String,
    /// The causal cone of the end, in order; the end is the last.
    pub lines: Vec<Line>,
    /// The quorums that are not reached.
    pub lacks: Vec<Lack>,
    /// What is missing from the answer.
    pub note: Option<&'static str>,
}

/// A cause: an event, or what a node was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The step.
    pub step: u64,
    /// Which event of the step it is; `None` for what a node was told.
    pub index: Option<u16>,
    /// When, in whole milliseconds.
    #[serde(rename = "at_ms", serialize_with = "whole_ms")]
    pub at: Time,
    /// At which node.
    pub node: NodeId,
    /// The event's name, or how the node was told.
    pub kind: &'static str,
    /// What happened.
    pub sentence: String,
    /// The lines that it rests on, from 0.
    pub because: Vec<u16>,
}

/// A quorum that is not reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What is counted.
    pub meter: &'static str,
    /// The round whose votes are counted.
    pub round: Round,
    /// Weight counted for the value that leads.
    pub have: u64,
    /// Weight needed.
    pub need: u64,
    /// The same in words.
    pub sentence: String,
    /// Who does not contribute, in id order.
    pub missing: Vec<Missing>,
}

/// A member that does not contribute to a quorum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The member.
    pub node: NodeId,
    /// Why, in a word.
    pub why: Reason,
    /// The step in which that came to be, where it did.
    pub step: Option<u64>,
    /// The same in words.
    pub sentence: String,
}

/// Why a member does not contribute to a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is down and did not vote.
    Crashed,
    /// Its vote is on its way.
    InFlight,
    /// Its vote was lost.
    Lost,
    /// Its vote arrived and does not count.
    NotCounted,
    /// It voted and did not send it there.
    NotSent,
    /// It voted for something else, or for nothing.
    Other,
    /// It has not voted in that round.
    Silent,
    /// The instance has ended there: it votes no more.
    Ended,
    /// The log does not tell.
    NotKnown,
}

/// Answers why an instance ended at a node of a run, as the run stands, or why it has not.
pub fn why(sim: &Sim, node: NodeId, instance: InstanceId) -> Why {
    let story = Story::new(sim, instance);
    let mut why = Why {
        node,
        instance: story.name.clone(),
        id: instance,
        ended: true,
        summary: String::new(),
        lines: Vec::new(),
        lacks: Vec::new(),
        note: None,
    };
    let is_end = |kind| matches!(kind, RecordKind::Decided | RecordKind::Abandoned);
    let mut records = sim.decisions().iter();
    if let Some((place, end)) = story.end(node) {
        story.explain(&mut why, *place, end);
    } else if records.any(|entry| {
        (entry.node, entry.record.instance) == (node, instance) && is_end(entry.record.kind)
    }) {
        why.summary = narrate::ended_unheard(node, &story.name);
        why.note = Some(UNHEARD);
    } else {
        why.ended = false;
        story.miss(&mut why);
    }
    why
}

const UNHEARD: &str =
    "What brought it is not known: observers of this run were told less than the level protocol.";
const CUT: &str = "What lies further back is left out.";

/// An event with its place in the log.
type Placed = (usize, Logged);

/// What the log holds of one instance.
struct Story<'a> {
    sim: &'a Sim,
    instance: InstanceId,
    name: String,
    events: Vec<Placed>,
    /// Where lives of nodes end.
    crashes: Vec<Placed>,
}

impl<'a> Story<'a> {
    fn new(sim: &'a Sim, instance: InstanceId) -> Story<'a> {
        let (mut events, mut crashes) = (Vec::new(), Vec::new());
        for (place, entry) in sim.log().iter().enumerate() {
            if entry.event.instance == Some(instance) {
                events.push((place, entry));
            } else if entry.event.kind == EventKind::Crashed {
                crashes.push((place, entry));
            }
        }
        let mut views = sim.scenario().ids();
        let name = views.find_map(|node| Some(view(sim, node, instance)?.name));
        Story {
            sim,
            instance,
            name: name.unwrap_or_else(|| instance.to_string()),
            events,
            crashes,
        }
    }

    /// How the instance ended at a node: the last word counts where rules let a node change its mind.
    fn end(&self, node: NodeId) -> Option<&Placed> {
        let is_end = |entry: &Logged| entry.node == node && entry.event.kind.is_end();
        self.last(usize::MAX, &is_end)
    }

    /// The last event before a place that is meant.
    fn last(&self, before: usize, is_meant: &dyn Fn(&Logged) -> bool) -> Option<&Placed> {
        let mut events = self.events.iter().rev();
        events.find(|(place, entry)| *place < before && is_meant(entry))
    }

    /// The event with which a member cast a vote on a meter; any value with `None`.
    fn cast(
        &self,
        member: NodeId,
        meter: u8,
        round: Round,
        value: Option<Option<Hash32>>,
    ) -> Option<&Placed> {
        let act = if meter == 0 {
            EventKind::Proposed
        } else {
            EventKind::Locked
        };
        let is_own = |entry: &Logged, kind| {
            entry.node == member
                && entry.event.kind == kind
                && entry.event.round == round
                && value.is_none_or(|value| entry.event.value == value)
        };
        let acted = self.last(usize::MAX, &|entry| is_own(entry, act));
        acted.or_else(|| {
            let counted = EventKind::VoteCounted(meter);
            self.last(usize::MAX, &|entry| {
                is_own(entry, counted) && entry.event.peer == Some(member)
            })
        })
    }

    fn letter(&self, value: Option<Hash32>) -> Option<String> {
        self.sim.log().letter(self.instance, value?)
    }

    fn shape(&self, kind: u8) -> Option<Shape> {
        let kind = self.sim.spec().messages.get(usize::from(kind));
        kind.map(|kind| kind.shape)
    }
}

fn view(sim: &Sim, node: NodeId, instance: InstanceId) -> Option<InstanceView> {
    let view = sim.view(node, ViewScope::Instance(instance));
    view.instances.into_iter().find(|view| view.id == instance)
}

fn whole_ms<S: Serializer>(at: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.as_ms())
}
