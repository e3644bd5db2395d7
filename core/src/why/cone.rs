//! The causal cone of an end: what it rests on, back to the requests.

use alloc::vec::Vec;

use super::{CUT, LINES_MAX, Line, Placed, Story, UNHEARD, Why};
use crate::engine::MessageInfo;
use crate::event::{EventKind, Level};
use crate::narrate;
use crate::sim::log::{CauseId, Logged, Told};
use crate::types::NodeId;
use crate::view::Shape;

/// A link of the chain of causes. What a node was told comes before the events that it brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Told(CauseId),
    Event(usize),
}

impl Story<'_> {
    pub(super) fn explain(&self, why: &mut Why, place: usize, end: &Logged) {
        let voters: Vec<NodeId> = match end.event.kind {
            EventKind::Abandoned => self.withdrawals(place, end).0,
            _ => self.votes(place, end).iter().map(|(id, _)| *id).collect(),
        };
        let from = end.cause.and_then(|cause| self.sender(cause));
        let (spec, letter) = (self.sim.spec(), self.letter(end.event.value));
        let end = (&end.event, end.node);
        why.summary = narrate::because(spec, end, &self.name, letter.as_deref(), &voters, from);
        let (items, edges, is_cut) = self.cone(place);
        let mut order = Vec::new();
        for (place, item) in items.iter().enumerate() {
            insert_sorted(&mut order, (self.key(*item), place));
        }
        for (_, item) in &order {
            let ranks = (0..).zip(&order);
            let because = ranks.filter(|(_, (_, to))| edges.contains(&(*item, *to)));
            let because = because.map(|(rank, _)| rank).collect();
            why.lines.extend(self.line(items[*item], because));
        }
        why.note = if is_cut {
            Some(CUT)
        } else if self.sim.level() < Level::Protocol {
            Some(UNHEARD)
        } else {
            None
        };
    }

    /// The links that an event rests on, and which rests on which; whether there were too many.
    fn cone(&self, place: usize) -> (Vec<Item>, Vec<(usize, usize)>, bool) {
        let (mut items, mut edges) = (Vec::from([Item::Event(place)]), Vec::new());
        let (mut next, mut is_cut) = (0, false);
        while let Some(item) = items.get(next).copied() {
            for cause in self.causes(item) {
                let known = items.iter().position(|known| *known == cause);
                if known.is_none() && items.len() == LINES_MAX {
                    is_cut = true;
                    continue;
                }
                edges.push((next, known.unwrap_or(items.len())));
                if known.is_none() {
                    items.push(cause);
                }
            }
            next += 1;
        }
        // What a cause of a cause is need not be told twice.
        let all = edges.clone();
        edges.retain(|(of, to)| {
            let mut others = all.iter().filter(|(by, other)| by == of && other != to);
            !others.any(|(_, other)| all.contains(&(*other, *to)))
        });
        (items, edges, is_cut)
    }

    fn key(&self, item: Item) -> (usize, bool, Option<CauseId>) {
        match item {
            Item::Told(id) => {
                let place = self.sim.log().cause(id).map_or(0, |told| told.place);
                (place, false, Some(id))
            }
            Item::Event(place) => (place, true, None),
        }
    }

    fn causes(&self, item: Item) -> Vec<Item> {
        match item {
            Item::Told(id) => self.causes_of_told(id),
            Item::Event(place) => {
                let entry = self.sim.log().get(place);
                entry.map_or_else(Vec::new, |entry| self.causes_of_event(place, &entry))
            }
        }
    }

    fn causes_of_event(&self, place: usize, entry: &Logged) -> Vec<Item> {
        let event = &entry.event;
        let mut causes = Vec::new();
        match event.kind {
            EventKind::Abandoned => causes = self.withdrawals(place, entry).1,
            // The vote that was cast, even if another member passed it on.
            EventKind::VoteCounted(meter) => {
                if let Some(peer) = event.peer.filter(|peer| *peer != entry.node)
                    && let Some((at, _)) = self.cast(peer, meter, event.round, Some(event.value))
                {
                    causes.push(Item::Event(*at));
                }
            }
            EventKind::Proposed => {
                let entered = |earlier: &Logged| {
                    earlier.event.kind == EventKind::RoundEntered
                        && (earlier.node, earlier.cause) == (entry.node, entry.cause)
                };
                if let Some((at, _)) = self.last(place, &entered) {
                    causes.push(Item::Event(*at));
                }
            }
            _ => {
                for (_, at) in self.votes(place, entry) {
                    causes.push(Item::Event(at));
                }
            }
        }
        if let Some(told) = entry.cause {
            causes.push(Item::Told(told));
        }
        causes
    }

    fn causes_of_told(&self, id: CauseId) -> Vec<Item> {
        let mut causes = Vec::new();
        let Some(told) = self.sim.log().cause(id) else {
            return causes;
        };
        match told.what {
            Told::Message {
                from,
                info,
                sent: Some(sent),
            } => {
                let said = self.said(from, &info, sent);
                if let Some((at, _)) = said {
                    causes.push(Item::Event(*at));
                }
                // Said again: then also what made it say so.
                if said.is_none_or(|(_, entry)| entry.cause != Some(sent)) {
                    causes.push(Item::Told(sent));
                }
            }
            Told::Timer(timer) if timer.instance == Some(self.instance) => {
                let entered = |entry: &Logged| {
                    let kind = entry.event.kind;
                    let is_entry = matches!(
                        kind,
                        EventKind::RoundEntered | EventKind::Recovered | EventKind::PhaseEntered(_)
                    );
                    entry.node == told.node && is_entry
                };
                if let Some((at, _)) = self.last(told.place, &entered) {
                    causes.push(Item::Event(*at));
                }
            }
            _ => {}
        }
        causes
    }

    /// The event at the sender that a message speaks of.
    fn said(&self, from: NodeId, info: &MessageInfo, sent: CauseId) -> Option<&Placed> {
        if info.instance != Some(self.instance) {
            return None;
        }
        let meters = self.sim.spec().meters.iter();
        let mut of_votes = (0..)
            .zip(meters)
            .filter(|(_, meter)| meter.messages.contains(&info.kind));
        if let Some((meter, _)) = of_votes.next() {
            return self.cast(from, meter, info.round, Some(info.value));
        }
        let shape = self.shape(info.kind)?;
        self.last(usize::MAX, &|entry| {
            let is_meant = match (shape, entry.event.kind) {
                (Shape::Abort, kind) => {
                    matches!(kind, EventKind::Withdrew | EventKind::Abandoned)
                }
                (Shape::Certificate, EventKind::Locked | EventKind::QuorumReached(_)) => true,
                (Shape::Certificate, kind) => kind.is_end(),
                _ => false,
            };
            entry.node == from && is_meant && entry.cause.is_some_and(|cause| cause <= sent)
        })
    }

    /// The votes that a quorum was counted of, by member: each with its event.
    fn votes(&self, place: usize, entry: &Logged) -> Vec<(NodeId, usize)> {
        let event = &entry.event;
        let meter = match event.kind {
            // Under rules without locks, proposals decide.
            EventKind::Decided if event.need == 0 => Some(0),
            kind => kind.meter(),
        };
        let Some(meter) = meter else {
            return Vec::new();
        };
        // Votes of an earlier life may be gone, but for the node's own.
        let crash = |(at, crash): &&Placed| crash.node == entry.node && *at < place;
        let born = self
            .crashes
            .iter()
            .rev()
            .find(crash)
            .map_or(0, |(at, _)| *at);
        let mut votes: Vec<(NodeId, usize)> = Vec::new();
        let own = self.cast(entry.node, meter, event.round, Some(event.value));
        if let Some((at, _)) = own.filter(|(at, _)| *at < place) {
            votes.push((entry.node, *at));
        }
        for (at, vote) in &self.events {
            if (born..place).contains(at)
                && vote.node == entry.node
                && vote.event.kind == EventKind::VoteCounted(meter)
                && (vote.event.round, vote.event.value) == (event.round, event.value)
                && let Some(peer) = vote.event.peer
                && !votes.iter().any(|(known, _)| *known == peer)
            {
                insert_sorted(&mut votes, (peer, *at));
            }
        }
        votes
    }

    /// Who withdrew before an instance was abandoned here, and how the node knew.
    fn withdrawals(&self, place: usize, entry: &Logged) -> (Vec<NodeId>, Vec<Item>) {
        let (mut who, mut items) = (Vec::new(), Vec::new());
        let own = self.last(place, &|own| {
            own.node == entry.node && own.event.kind == EventKind::Withdrew
        });
        if let Some((at, _)) = own {
            who.push(entry.node);
            items.push(Item::Event(*at));
        }
        for (id, told) in self.sim.log().causes() {
            if let Told::Message {
                from,
                info,
                sent: Some(sent),
            } = told.what
                && told.node == entry.node
                && told.place <= place
                && info.value.is_none()
                && self.shape(info.kind) == Some(Shape::Abort)
                && !who.contains(&from)
                && self.said(from, &info, sent).is_some()
            {
                let withdrew =
                    |it: &Logged| it.node == from && it.event.kind == EventKind::Withdrew;
                // Others only passed withdrawals on.
                if self.last(usize::MAX, &withdrew).is_some() {
                    insert_sorted(&mut who, from);
                }
                items.push(Item::Told(id));
            }
        }
        (who, items)
    }

    fn line(&self, item: Item, because: Vec<u16>) -> Option<Line> {
        let (log, spec) = (self.sim.log(), self.sim.spec());
        Some(match item {
            Item::Told(id) => {
                let told = log.cause(id)?;
                let (kind, sentence) = narrate::told(spec, told.node, &told.what);
                Line {
                    step: told.step,
                    index: None,
                    at: told.at,
                    node: told.node,
                    kind,
                    sentence,
                    because,
                }
            }
            Item::Event(place) => {
                let Logged {
                    id,
                    at,
                    node,
                    event,
                    ..
                } = log.get(place)?;
                let letter = self.letter(event.value);
                Line {
                    step: id.step,
                    index: Some(id.index),
                    at,
                    node,
                    kind: narrate::event_name(event.kind),
                    sentence: narrate::sentence(spec, node, &event, letter.as_deref()),
                    because,
                }
            }
        })
    }

    fn sender(&self, cause: CauseId) -> Option<NodeId> {
        match self.sim.log().cause(cause)?.what {
            Told::Message { from, .. } => Some(from),
            _ => None,
        }
    }
}

/// Few and small: the general sort would only make the page heavier.
fn insert_sorted<T: Ord>(list: &mut Vec<T>, item: T) {
    let place = list.partition_point(|known| *known < item);
    list.insert(place, item);
}
