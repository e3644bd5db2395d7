//! Propose: what a node votes for in its round, and the round that it is in.

use alloc::vec::Vec;

use super::flaws;
use super::message::{KaspaAnchorRef, Message, Proposal, Pskt};
use super::phase::EventPhase;
use super::{Cx, StoredVote, Timer, TwoPhase};
use crate::certificate::Certificate;
use crate::codec;
use crate::engine::{Env, To};
use crate::event::{Event, EventKind, Level};
use crate::rounds::{leader, may_jump};
use crate::types::{Duration, Hash32, InstanceId, NodeId, Round};
use crate::votes::{Ballot, Vote, VoteKind};

impl StoredVote {
    pub(super) fn vote(&self, event: InstanceId, round: Round, proposer: NodeId) -> Vote {
        let ballot = Ballot {
            instance: event,
            round,
            kind: VoteKind::Prevote,
            value: self.value,
        };
        Vote {
            ballot,
            signer: proposer,
            signature: self.signature,
        }
    }
}

impl TwoPhase {
    /// Arms the timers of the current round, and proposes where it is this node's turn.
    pub(super) fn begin_round(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        if let Some(row) = self.phases.get(&event) {
            let lasts = cx.env().config.round_timeout(row.rounds.round);
            self.begin_round_of(cx, event, lasts);
        }
    }

    /// The same for a round that lasts so long from now on.
    pub(super) fn begin_round_of(&mut self, cx: Cx<'_, '_>, event: InstanceId, lasts: Duration) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let round = row.rounds.round;
        let env = cx.env();
        cx.set_timer(Timer::Round(event, round), lasts);
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::RoundEntered, Some(event), round)
        });
        let has_leader = flaws::has_leader(env.flaws, round);
        if !has_leader || leader(env.members(), &event.0, round) == env.id {
            self.lead(cx, event);
        }
        if self
            .phases
            .get(&event)
            .is_some_and(|row| row.rounds.can_prevote())
        {
            cx.set_timer(
                Timer::Propose(event, round),
                env.config.propose_timeout(round),
            );
        }
        self.evaluate(cx, event);
    }

    /// Proposes as the leader: the valid template with its proof, else a fresh one.
    fn lead(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        if row.withdrawn || !row.rounds.can_prevote() {
            return;
        }
        let round = row.rounds.round;
        let proven = row.rounds.valid.zip(self.valid.get(&event).cloned());
        match proven {
            Some(((valid_round, hash), proof)) if valid_round < round => {
                self.prevote(cx, event, Some(hash), Some((valid_round, proof)));
            }
            _ => match self.fresh(cx, event) {
                Some(hash) => self.prevote(cx, event, Some(hash), None),
                // In round 0 a template may still become possible before the propose timeout.
                None if round == Round(0) => {}
                None => self.prevote(cx, event, None, None),
            },
        }
    }

    /// The most supported, then lowest, template of the round before that is valid here, else the own one.
    fn fresh(&mut self, cx: Cx<'_, '_>, event: InstanceId) -> Option<Hash32> {
        let round = self.phases.get(&event)?.rounds.round;
        let follows = flaws::has_leader(cx.env().flaws, round);
        let depth = cx.env().config.input_depth();
        if !self.may_take_effect(&event) {
            return None;
        }
        if follows
            && let Some(before) = round.0.checked_sub(1).map(Round)
            && let Some(live) = self.live.get(&event)
        {
            let tally = live.votes.tally(before, VoteKind::Prevote);
            let known = tally.into_iter().filter_map(|(value, _)| value);
            let mut valid = known.filter(|hash| {
                let pskt = self.templates.get(&(event, *hash));
                pskt.is_some_and(|pskt| self.chain.validates(pskt, depth, &self.reserved))
            });
            if let Some(hash) = valid.next() {
                return Some(hash);
            }
        }
        let body = self.events.get(&event)?;
        let pskt = self
            .chain
            .build_local_proposal(body, event, depth, &self.reserved)?;
        let hash = pskt.template_hash();
        self.keep_template(event, hash, pskt);
        Some(hash)
    }

    pub(super) fn keep_template(&mut self, event: InstanceId, hash: Hash32, pskt: Pskt) {
        if !self.templates.contains(&(event, hash)) {
            self.templates.put((event, hash), pskt);
        }
    }

    /// Casts this node's one prevote of the round, and sends it.
    pub(super) fn prevote(
        &mut self,
        cx: Cx<'_, '_>,
        event: InstanceId,
        value: Option<Hash32>,
        valid: Option<(Round, Certificate)>,
    ) {
        let env = cx.env();
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        assert!(!row.withdrawn, "a node that withdrew does not vote");
        row.rounds.prevote(value);
        row.own_proposal_hash = value;
        let round = row.rounds.round;
        self.settle_reservations(event);
        let vote = Ballot {
            instance: event,
            round,
            kind: VoteKind::Prevote,
            value,
        }
        .sign(env);
        let (valid_round, valid_proof) = valid.unzip();
        let stored = StoredVote {
            value,
            signature: vote.signature,
            timestamp_ns: cx.now().0,
            tip_score: (!self.chain.is_empty()).then(|| self.chain.tip_score()),
            valid_round,
            valid_proof,
        };
        self.proposals.put((event, round, env.id), stored);
        self.live_mut(event).votes.add(vote);
        cx.cancel_timer(Timer::Propose(event, round));
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::Proposed, Some(event), round).value(value)
        });
        self.tell_count(cx, event, &vote);
        if let Some(message) = self.proposal_message(event, round, env.id) {
            cx.send(To::All, message);
        }
    }

    /// A stored vote as the message that carried it.
    pub(super) fn proposal_message(
        &self,
        event: InstanceId,
        round: Round,
        proposer: NodeId,
    ) -> Option<Message> {
        let stored = self.proposals.get(&(event, round, proposer))?;
        let signing_material = self.events.get(&event)?.clone();
        let Some(hash) = stored.value else {
            return Some(Message::NoProposal {
                vote: stored.vote(event, round, proposer),
                signing_material,
            });
        };
        let pskt = self.templates.get(&(event, hash))?;
        Some(Message::ProposalBroadcast(Proposal {
            event_id: event,
            round,
            tx_template_hash: hash,
            kpsbt_blob: codec::encode(pskt),
            utxos_used: pskt.inputs.clone(),
            outputs: pskt.outputs.clone(),
            signing_material,
            proposer_peer_id: proposer,
            timestamp_ns: stored.timestamp_ns,
            kaspa_anchor: stored.tip_score.map(|tip_score| KaspaAnchorRef {
                tip_score,
                tip_hash: None,
            }),
            valid_round: stored.valid_round,
            valid_proof: stored.valid_proof.clone(),
            signature: stored.signature,
        }))
    }

    /// The leader's proposal did not come.
    pub(super) fn on_propose_timeout(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let waits = row.phase == EventPhase::Proposing
            && row.rounds.round == round
            && row.rounds.can_prevote();
        if waits && !row.withdrawn {
            self.prevote_without_leader(cx, event);
            self.evaluate(cx, event);
        }
    }

    fn prevote_without_leader(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(locked) = self.phases.get(&event).map(|row| row.rounds.locked) else {
            return;
        };
        let fresh = if locked.is_some() {
            None
        } else {
            self.fresh(cx, event)
        };
        if let Some(row) = self.phases.get(&event) {
            let value = row.rounds.on_propose_timeout(fresh);
            self.prevote(cx, event, value, None);
        }
    }

    /// Prevotes the leader's template, or what stands in for it.
    pub(super) fn follow_leader(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        if row.phase != EventPhase::Proposing || row.withdrawn || !row.rounds.can_prevote() {
            return;
        }
        let round = row.rounds.round;
        if !flaws::has_leader(cx.env().flaws, round) {
            if row.rounds.locked.is_some() {
                return;
            }
            if let Some(hash) = self.fresh(cx, event) {
                self.prevote(cx, event, Some(hash), None);
            }
            return;
        }
        let env = cx.env();
        let Some(stored) =
            self.proposals
                .get(&(event, round, leader(env.members(), &event.0, round)))
        else {
            return;
        };
        let (value, valid_round, proof) =
            (stored.value, stored.valid_round, stored.valid_proof.clone());
        let acceptable = value.is_some_and(|hash| {
            row.rounds.lock_allows(&hash, valid_round, proof.is_some())
                && (proof.is_some() || self.is_valid(cx.env(), event, hash))
        });
        match value {
            Some(hash) if acceptable => self.prevote(cx, event, Some(hash), valid_round.zip(proof)),
            // A refusal is answered at once, as on the timeout.
            _ => self.prevote_without_leader(cx, event),
        }
    }

    /// Follows members into a higher round; that counts as no retry. (S0-F13)
    ///
    /// `there` members are known to be that far.
    pub(super) fn follow(&mut self, cx: Cx<'_, '_>, event: InstanceId, seen: Round, there: usize) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        if row.withdrawn || !matches!(row.phase, EventPhase::Proposing | EventPhase::Failed) {
            return;
        }
        let (phase, own) = (row.phase, row.rounds.round);
        let stays = phase == EventPhase::Failed && !flaws::reenters(cx.env().flaws);
        if stays || !flaws::hears_other_rounds(cx.env().flaws) {
            return;
        }
        let quorum = Self::quorum(cx.env());
        let next_is_open = phase == EventPhase::Failed && seen == own;
        if !next_is_open && !may_jump(own, seen, there, quorum.blocking().need()) {
            return;
        }
        self.cancel_round(cx, event, own);
        if phase == EventPhase::Failed {
            self.enter_phase(cx, event, EventPhase::Proposing);
        }
        if seen > own {
            self.enter_round(cx.env(), event, seen);
        }
        self.begin_round(cx, event);
    }

    /// Enters a higher round with what binds the node there.
    pub(super) fn enter_round(&mut self, env: &Env<TwoPhase>, event: InstanceId, round: Round) {
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        if !flaws::carries_over(env.flaws, row.rounds.round, round) {
            (row.rounds.locked, row.rounds.valid) = (None, None);
        }
        row.rounds.enter(round);
        row.own_proposal_hash = None;
        // What was only proposed is free again: another event may need it.
        self.settle_reservations(event);
    }

    /// Whether a vote's round is further ahead than it may lead or be stored: then only the number is remembered, one
    /// per member, and a blocking set of members that are that far is followed. (S0-F15)
    pub(super) fn is_too_far(&mut self, cx: Cx<'_, '_>, vote: &Vote) -> bool {
        let Ballot {
            instance: event,
            round,
            ..
        } = vote.ballot;
        let Some(own) = self.phases.get(&event).map(|row| row.rounds.round) else {
            return true;
        };
        if round <= own || may_jump(own, round, 1, u128::MAX) {
            return false;
        }
        let blocking = Self::quorum(cx.env()).blocking().need() as usize;
        let far = &mut self.live_mut(event).far;
        let known = far.get_or_insert_with(vote.signer, || round);
        *known = round.max(*known);
        let mut rounds: Vec<Round> = far.values().copied().collect();
        rounds.sort_unstable_by_key(|round| core::cmp::Reverse(*round));
        if let Some(reached) = rounds.get(blocking - 1).copied() {
            self.follow(cx, event, reached, rounds.len());
        }
        true
    }

    /// Disarms everything that a round armed.
    pub(super) fn cancel_round(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round) {
        cx.cancel_timer(Timer::Round(event, round));
        cx.cancel_timer(Timer::Propose(event, round));
        cx.cancel_timer(Timer::Retry(event, round));
    }
}
