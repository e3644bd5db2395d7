//! What an instance lacks that has not ended: which quorum, and whose votes.

use alloc::vec::Vec;

use super::{LINES_MAX, Lack, Missing, Placed, Reason, Story, Why, view};
use crate::engine::MessageInfo;
use crate::event::{EventKind, Level};
use crate::narrate::{self, Fate};
use crate::sim::log::Told;
use crate::types::{NodeId, Round};
use crate::view::{InstanceView, Meter, SegmentVote, Shape};

impl Story<'_> {
    pub(super) fn miss(&self, why: &mut Why) {
        let (sim, node) = (self.sim, why.node);
        let down = self.down_since(node);
        let view = view(sim, node, self.instance);
        let phase = view.as_ref().map(|view| self.place(view));
        why.summary = narrate::open(node, &self.name, down, phase);
        let Some(view) = view else {
            let missing = sim.scenario().ids().filter_map(|from| {
                let knows = super::view(sim, from, self.instance).is_some();
                (from != node && knows).then(|| {
                    let fate = self.fate(from, node, &|_| true);
                    self.fated(node, from, "word", fate)
                })
            });
            why.lacks.push(Lack {
                meter: "word",
                round: Round(0),
                have: 0,
                need: 1,
                sentence: narrate::unheard(node),
                missing: missing.take(LINES_MAX).collect(),
            });
            return;
        };
        for meter in view.meters.iter().filter(|meter| meter.have < meter.need) {
            // A quorum for which nobody has voted yet waits for the one before it.
            let is_voted = self
                .events
                .iter()
                .any(|(_, entry)| entry.event.kind == EventKind::VoteCounted(meter.kind));
            if is_voted || why.lacks.is_empty() {
                why.lacks.push(self.lack(node, meter));
            }
        }
    }

    fn lack(&self, node: NodeId, meter: &Meter) -> Lack {
        let spec = self.sim.spec();
        let kind = spec.meters.get(usize::from(meter.kind));
        let letter = self.letter(meter.value);
        let absent = meter.segments.iter().filter(|segment| match segment.vote {
            SegmentVote::For(value) => Some(value) != meter.value,
            SegmentVote::Awaiting | SegmentVote::Nil => true,
        });
        let missing = absent.map(|segment| match segment.vote {
            SegmentVote::Awaiting => self.absence(node, segment.node, meter),
            SegmentVote::Nil | SegmentVote::For(_) => {
                let value = match segment.vote {
                    SegmentVote::For(value) => self.letter(Some(value)),
                    _ => None,
                };
                Missing {
                    node: segment.node,
                    why: Reason::Other,
                    step: None,
                    sentence: narrate::voted_otherwise(segment.node, value.as_deref()),
                }
            }
        });
        Lack {
            meter: kind.map_or("votes", |kind| kind.name),
            round: meter.round,
            have: meter.have,
            need: meter.need,
            sentence: narrate::lack(spec, node, meter, letter.as_deref()),
            missing: missing.take(LINES_MAX).collect(),
        }
    }

    /// Why a node does not have a member's vote.
    fn absence(&self, node: NodeId, member: NodeId, meter: &Meter) -> Missing {
        let spec = self.sim.spec();
        let votes = spec.meters.get(usize::from(meter.kind));
        let kinds = votes.map_or(&[][..], |votes| votes.messages);
        if member != node
            && let Some((_, cast)) = self.cast(member, meter.kind, meter.round, None)
        {
            let is_vote = |info: &MessageInfo| {
                kinds.contains(&info.kind)
                    && (info.round, info.value) == (meter.round, cast.event.value)
            };
            let fate = self.fate(member, node, &is_vote);
            return self.fated(node, member, "vote", fate);
        }
        if let Some((_, end)) = self.end(member) {
            let is_proof = |info: &MessageInfo| {
                matches!(
                    self.shape(info.kind),
                    Some(Shape::Certificate | Shape::Abort)
                )
            };
            let fate = self.fate(member, node, &is_proof);
            return Missing {
                why: Reason::Ended,
                step: Some(end.id.step),
                sentence: narrate::ended_there(member, node, end.id.step, fate),
                node: member,
            };
        }
        let down = self.down_since(member);
        let view = view(self.sim, member, self.instance);
        let (why, place) = match (down, &view) {
            (Some(_), _) => (Reason::Crashed, None),
            (None, view) => (Reason::Silent, view.as_ref().map(|view| self.place(view))),
        };
        Missing {
            node: member,
            why,
            step: down.flatten(),
            sentence: narrate::silent(member, down, place),
        }
    }

    fn fated(&self, node: NodeId, member: NodeId, what: &str, fate: Fate) -> Missing {
        let (why, step) = match fate {
            Fate::InFlight { .. } | Fate::Held => (Reason::InFlight, None),
            Fate::Arrived { step } => (Reason::NotCounted, Some(step)),
            Fate::Lost { step, .. } => (Reason::Lost, Some(step)),
            Fate::NotSent => (Reason::NotSent, None),
            Fate::NotKnown => (Reason::NotKnown, None),
        };
        Missing {
            node: member,
            why,
            step,
            sentence: narrate::fate(member, node, what, fate),
        }
    }

    /// What became of messages about this instance that one node sent another.
    fn fate(&self, from: NodeId, to: NodeId, is_meant: &dyn Fn(&MessageInfo) -> bool) -> Fate {
        let is_meant = |info: &MessageInfo| info.instance == Some(self.instance) && is_meant(info);
        let mut flights = self.sim.flights().into_iter();
        let flight = flights.find(|at| (at.from, at.to) == (from, to) && is_meant(&at.info));
        if let Some(flight) = flight {
            return Fate::InFlight {
                arrives: flight.arrives,
            };
        }
        let arrived = self.sim.log().causes().rev().find(|(_, told)| {
            matches!(told.what, Told::Message { from: by, info, .. } if by == from && is_meant(&info))
                && told.node == to
        });
        if let Some((_, told)) = arrived {
            return Fate::Arrived { step: told.step };
        }
        if self.sim.is_held(from, to, &is_meant) {
            return Fate::Held;
        }
        let losses = self.events.iter().rev().filter(|(_, entry)| {
            let EventKind::MessageDropped(kind) = entry.event.kind else {
                return false;
            };
            let info = MessageInfo {
                kind,
                instance: entry.event.instance,
                round: entry.event.round,
                value: entry.event.value,
            };
            (entry.event.peer, entry.node) == (Some(from), to) && is_meant(&info)
        });
        let steps: Vec<u64> = losses.map(|(_, entry)| entry.id.step).collect();
        match steps.as_slice() {
            [step, ..] => Fate::Lost {
                step: *step,
                times: steps.len(),
            },
            [] if self.sim.level() < Level::Full => Fate::NotKnown,
            [] => Fate::NotSent,
        }
    }

    /// Since which step a node is down, if it is; the step only where observers were told.
    fn down_since(&self, node: NodeId) -> Option<Option<u64>> {
        let crash = |(_, crash): &&Placed| crash.node == node;
        let step = || Some(self.crashes.iter().rev().find(crash)?.1.id.step);
        (!self.sim.is_alive(node)).then(step)
    }

    fn place(&self, view: &InstanceView) -> (&'static str, bool, Round) {
        let phase = self.sim.spec().phases.get(usize::from(view.phase));
        let (name, is_terminal) = phase.map_or(("unknown", false), |it| (it.name, it.terminal));
        (name, is_terminal, view.round)
    }
}
