//! Anti-entropy: every second, own votes again, one question to one peer, and forgetting what is no longer needed.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::config::{
    MAX_PROPOSALS_PER_EVENT_PER_RESPONSE, MAX_SYNC_EVENTS_PER_TICK, STATE_SYNC_COOLDOWN_MS, TICK_MS,
};
use super::flaws::{self, Source};
use super::message::{Message, Proposal, Pskt, SigningEvent};
use super::phase::EventPhase;
use super::{Cx, Live, Outcome, Timer, TwoPhase, commit};
use crate::certificate::Certificate;
use crate::codec;
use crate::engine::To;
use crate::ordered::Map;
use crate::types::{Duration, Hash32, InstanceId, NodeId, Round};
use crate::votes::{Vote, VoteKind};

/// What a node remembers of synchronisation. Volatile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SyncState {
    /// The events in the order in which this life learned them; after a restart, by id.
    pub(super) learned: Vec<InstanceId>,
    /// Names that order: another life has another one.
    generation: u64,
    /// How far each peer's order was read: (its generation, place).
    cursors: Map<NodeId, (u64, u64)>,
    /// Where the next tick goes on among open events, when there are more than one tick takes.
    next_open: Option<InstanceId>,
}

impl SyncState {
    pub(super) fn start(&mut self, cx: Cx<'_, '_>) {
        self.generation = cx.below(u64::MAX);
    }
}

impl TwoPhase {
    /// Every second. (S0-81, S0-84)
    pub(super) fn on_tick(&mut self, cx: Cx<'_, '_>) {
        cx.set_timer(Timer::Tick, Duration::from_ms(TICK_MS));
        let env = cx.env();
        let batch = self.next_open_events();
        for event in &batch {
            match self.phase(event) {
                EventPhase::Committed if flaws::redrives(env.flaws) => self.redrive(cx, *event),
                EventPhase::Proposing | EventPhase::Failed if flaws::repeats(env.flaws) => {
                    self.repeat_votes(cx, *event);
                }
                EventPhase::Abandoned => self.send_withdrawals(cx, *event),
                _ => {}
            }
        }
        let peers: Vec<NodeId> = cx.env().others().collect();
        if !peers.is_empty() {
            let peer = peers[cx.below(peers.len() as u64) as usize];
            let is_asked =
                |event: &InstanceId| flaws::redrives(env.flaws) || !self.phase(event).is_decided();
            let asked = batch.into_iter().filter(is_asked).collect();
            self.ask(cx, peer, asked);
        }
    }

    /// The open events that this tick takes: at most the document's 64, each in its turn. (S0-17)
    fn next_open_events(&mut self) -> Vec<InstanceId> {
        let open = self.open_events();
        if open.len() <= MAX_SYNC_EVENTS_PER_TICK {
            self.sync.next_open = None;
            return open;
        }
        let start = self
            .sync
            .next_open
            .and_then(|next| open.iter().position(|event| *event == next))
            .unwrap_or(0);
        let batch: Vec<InstanceId> = open
            .iter()
            .cycle()
            .skip(start)
            .take(MAX_SYNC_EVENTS_PER_TICK)
            .copied()
            .collect();
        self.sync.next_open = open
            .iter()
            .cycle()
            .nth(start + MAX_SYNC_EVENTS_PER_TICK)
            .copied();
        batch
    }

    /// Sends own votes of an open event again, and the highest quorum of proposals that is known. (S0-F14)
    fn repeat_votes(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let env = cx.env();
        let own = self.own_rounds(event, env.id).next_back();
        let told = own.and_then(|round| self.proposals.get(&(event, round, env.id))?.valid_round);
        if let Some(message) = self.valid_message(event, told) {
            cx.send(To::All, message);
        }
        if let Some(message) = own.and_then(|round| self.proposal_message(event, round, env.id)) {
            cx.send(To::All, message);
        }
        if let Some((round, value)) = self.phases.get(&event).and_then(|row| row.rounds.locked) {
            cx.send(
                To::All,
                Message::Lock(commit::lock_vote(env, event, round, value)),
            );
        }
        if self
            .live
            .get(&event)
            .is_some_and(|live| live.votes.of(Round(0), VoteKind::Abandon).next().is_some())
        {
            self.send_withdrawals(cx, event);
        }
    }

    /// The highest quorum of proposals that is known, unless it is the one of the round that is `told` anyway.
    fn valid_message(&self, event: InstanceId, told: Option<Round>) -> Option<Message> {
        let certificate = self.valid.get(&event)?;
        let hash = certificate.ballot.value?;
        let is_new = told != Some(certificate.ballot.round);
        let pskt = self.templates.get(&(event, hash)).filter(|_| is_new)?;
        Some(Message::Valid {
            certificate: certificate.clone(),
            signing_material: self.events.get(&event)?.clone(),
            kpsbt_blob: codec::encode(pskt),
        })
    }

    /// A quorum of proposals came: its votes count as if their members had sent them.
    pub(super) fn on_valid(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        certificate: &Certificate,
        body: &SigningEvent,
        template: &[u8],
    ) {
        let ballot = certificate.ballot;
        let event = ballot.instance;
        if self.answer_if_ended(cx, from, event) {
            return;
        }
        self.learn(cx, body, event, Source::Peer(ballot.round, None));
        let (Some(hash), Some(vote)) = (ballot.value, certificate.votes().next()) else {
            return;
        };
        // However far ahead the round is: a quorum was there.
        if !self.events.contains(&event) || !self.hears(cx.env(), &vote) {
            return;
        }
        if !self.templates.contains(&(event, hash)) {
            let Ok(pskt) = codec::decode::<Pskt>(template) else {
                return;
            };
            self.keep_template(event, hash, pskt);
        }
        self.live_mut(event).votes.add_all(certificate.votes());
        self.follow(cx, event, ballot.round, certificate.signatures.len());
        self.evaluate(cx, event);
    }

    /// The rounds in which a member voted, as far as they are stored.
    fn own_rounds(
        &self,
        event: InstanceId,
        member: NodeId,
    ) -> impl DoubleEndedIterator<Item = Round> + '_ {
        let range = (event, Round(0), NodeId(0))..=(event, Round(u32::MAX), NodeId(u16::MAX));
        let votes = self.proposals.range(range);
        votes
            .filter(move |((_, _, proposer), _)| *proposer == member)
            .map(|((_, round, _), _)| *round)
    }

    /// Asks a peer about events, and for those that it learned since it was asked last.
    pub(super) fn ask(&mut self, cx: Cx<'_, '_>, peer: NodeId, mut events: Vec<InstanceId>) {
        events.truncate(MAX_SYNC_EVENTS_PER_TICK);
        let since = self.sync.cursors.get(&peer).copied().unwrap_or_default();
        cx.send(To::Node(peer), Message::StateSyncRequest { events, since });
    }

    /// A peer asks. Each event is answered at most once per cooldown and peer. (S0-18, S0-19)
    pub(super) fn on_sync_request(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        events: &[InstanceId],
        since: (u64, u64),
    ) {
        let (generation, place) = since;
        let start = if generation == self.sync.generation {
            place.min(self.sync.learned.len() as u64)
        } else {
            0
        };
        let new = self
            .sync
            .learned
            .iter()
            .skip(start as usize)
            .take(MAX_SYNC_EVENTS_PER_TICK);
        let learned: Vec<InstanceId> = new.copied().collect();
        let cursor = (self.sync.generation, start + learned.len() as u64);
        if !learned.is_empty() {
            let (proposals, locks) = (Vec::new(), Vec::new());
            cx.send(
                To::Node(from),
                Message::StateSyncResponse {
                    learned,
                    cursor,
                    proposals,
                    locks,
                },
            );
        }
        for event in events {
            if self.outcomes.contains(event) {
                self.answer_if_ended(cx, from, *event);
            } else if self.events.contains(event)
                && flaws::repeats(cx.env().flaws)
                && !cx.is_timer_set(Timer::Cooldown(from, *event))
            {
                cx.set_timer(
                    Timer::Cooldown(from, *event),
                    Duration::from_ms(STATE_SYNC_COOLDOWN_MS),
                );
                self.answer_open(cx, from, *event, cursor);
            }
        }
    }

    /// Tells a peer all that is known of an open event.
    fn answer_open(&mut self, cx: Cx<'_, '_>, to: NodeId, event: InstanceId, cursor: (u64, u64)) {
        let range = (event, Round(0), NodeId(0))..=(event, Round(u32::MAX), NodeId(u16::MAX));
        // The newest votes say most.
        let newest = self
            .proposals
            .range(range)
            .rev()
            .map(|((_, round, proposer), _)| (*round, *proposer));
        let messages =
            newest.filter_map(|(round, proposer)| self.proposal_message(event, round, proposer));
        let proposals: Vec<Proposal> = messages
            .filter_map(|message| match message {
                Message::ProposalBroadcast(proposal) => Some(proposal),
                _ => None,
            })
            .take(MAX_PROPOSALS_PER_EVENT_PER_RESPONSE)
            .collect();
        let locks: Vec<Vote> = self
            .live
            .get(&event)
            .into_iter()
            .flat_map(|live| {
                live.votes
                    .rounds()
                    .rev()
                    .flat_map(|round| live.votes.of(round, VoteKind::Precommit))
            })
            .take(cx.env().members().len())
            .copied()
            .collect();
        cx.send(
            To::Node(to),
            Message::StateSyncResponse {
                learned: Vec::new(),
                cursor,
                proposals,
                locks,
            },
        );
        if let Some(message) = self.withdrawals_message(event) {
            cx.send(To::Node(to), message);
        }
    }

    /// A peer answers.
    pub(super) fn on_sync_response(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        learned: &[InstanceId],
        cursor: (u64, u64),
        proposals: &[Proposal],
        locks: &[Vote],
    ) {
        for proposal in proposals {
            self.on_proposal(cx, from, proposal);
        }
        for lock in locks {
            let event = lock.ballot.instance;
            let is_open = self.events.contains(&event) && !self.outcomes.contains(&event);
            if is_open && !self.is_too_far(cx, lock) {
                self.take_lock(cx, *lock);
            }
        }
        if learned.is_empty() {
            return;
        }
        let missing: Vec<InstanceId> = learned
            .iter()
            .filter(|event| !self.events.contains(event))
            .copied()
            .collect();
        if missing.is_empty() {
            self.sync.cursors.insert(from, cursor);
            if learned.len() == MAX_SYNC_EVENTS_PER_TICK {
                self.ask(cx, from, missing);
            }
        } else if !cx.is_timer_set(Timer::Asked(from)) {
            // The cursor stays until the bodies are here: their message may be lost.
            cx.set_timer(Timer::Asked(from), Duration::from_ms(TICK_MS));
            self.ask(cx, from, missing);
        }
    }

    /// Forgets an ended event's proposals; what it takes to prove its end, and what was signed, stay for good. (S0-63,
    /// S0-F11, S0-F28)
    pub(super) fn on_gc(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(outcome) = self.outcomes.get(&event) else {
            return;
        };
        let keep = match outcome {
            Outcome::Lock(certificate) => certificate.ballot.value,
            Outcome::Abandon(_) => None,
        };
        if self.phase(&event).is_terminal() && !flaws::keeps_tombstone(cx.env().flaws) {
            return self.forget(event);
        }
        let range = (event, Round(0), NodeId(0))..=(event, Round(u32::MAX), NodeId(u16::MAX));
        let votes: Vec<_> = self.proposals.range(range).map(|(key, _)| *key).collect();
        votes.iter().for_each(|key| self.proposals.delete(key));
        let range = (event, Hash32([0; 32]))..=(event, Hash32([0xff; 32]));
        let templates: Vec<_> = self.templates.range(range).map(|(key, _)| *key).collect();
        templates
            .iter()
            .filter(|(_, hash)| Some(*hash) != keep)
            .for_each(|key| self.templates.delete(key));
        self.valid.delete(&event);
        self.accused.remove(&event);
        // It is still committed: its votes are of no more use, its signatures are.
        if let Some(live) = self.live.get_mut(&event) {
            let live = Arc::make_mut(live);
            *live = Live {
                partials: core::mem::take(&mut live.partials),
                deferred: live.deferred,
                ..Live::default()
            };
        }
    }

    /// Forgets an event altogether, as if it had never been. (S0-F11)
    pub(super) fn forget(&mut self, event: InstanceId) {
        let phase = self.phase(&event);
        self.index.delete(&(phase as u8, event));
        self.phases.delete(&event);
        self.events.delete(&event);
        self.signatures.delete(&event);
        self.outcomes.delete(&event);
        self.valid.delete(&event);
        let range = (event, Round(0), NodeId(0))..=(event, Round(u32::MAX), NodeId(u16::MAX));
        let votes: Vec<_> = self.proposals.range(range).map(|(key, _)| *key).collect();
        votes.iter().for_each(|key| self.proposals.delete(key));
        let range = (event, Hash32([0; 32]))..=(event, Hash32([0xff; 32]));
        let templates: Vec<_> = self.templates.range(range).map(|(key, _)| *key).collect();
        templates.iter().for_each(|key| self.templates.delete(key));
        self.live.remove(&event);
        self.accused.remove(&event);
        self.sync.learned.retain(|known| *known != event);
        self.unreserve(event);
    }
}
