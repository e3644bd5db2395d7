//! Count: proposals that come in, and the lock that a quorum of them brings.

use alloc::vec::Vec;

use super::flaws::{self, Source};
use super::message::{Proposal, SigningEvent};
use super::phase::EventPhase;
use super::{Cx, LOCKS_METER, Live, PROPOSALS_METER, StoredVote, TwoPhase};
use crate::certificate::Certificate;
use crate::engine::Env;
use crate::event::{Event, EventKind, Level};
use crate::quorum::Quorum;
use crate::rounds::OnPolka;
use crate::types::{Hash32, InstanceId, NodeId, Round};
use crate::votes::{Added, Ballot, Vote, VoteKind};

/// The most copies of votes that are kept where they count.
const COPIES_MAX: usize = 1_024;

impl Live {
    /// How many votes of a kind were cast in a round.
    pub(super) fn cast(&self, round: Round, kind: VoteKind) -> u128 {
        (self.votes.of(round, kind).count() + self.copies_of(round, kind).count()) as u128
    }

    /// Votes per value in a round: most first, then the lower hash.
    pub(super) fn tally(&self, round: Round, kind: VoteKind) -> Vec<(Option<Hash32>, u128)> {
        let mut tally = self.votes.tally(round, kind);
        if !self.copies.is_empty() {
            for (value, count) in &mut tally {
                let copies = self.copies_of(round, kind);
                *count += copies.filter(|vote| vote.ballot.value == *value).count() as u128;
            }
        }
        tally
    }

    /// The proof that a ballot has a quorum, of the members that voted for it.
    pub(super) fn certificate(&self, ballot: Ballot, quorum: Quorum) -> Option<Certificate> {
        let votes = self
            .votes
            .for_value(ballot.round, ballot.kind, ballot.value);
        if self.copies.is_empty() {
            return Certificate::collect(ballot, votes, quorum);
        }
        let signatures = votes.map(|vote| (vote.signer, vote.signature));
        let signatures = signatures.take(quorum.need() as usize).collect();
        Some(Certificate { ballot, signatures })
    }

    fn copies_of(&self, round: Round, kind: VoteKind) -> impl Iterator<Item = &Vote> {
        let is_meant = move |vote: &&Vote| (vote.ballot.round, vote.ballot.kind) == (round, kind);
        self.copies.iter().filter(is_meant)
    }
}

impl TwoPhase {
    /// A proposal came. (S0-71)
    pub(super) fn on_proposal(&mut self, cx: Cx<'_, '_>, from: NodeId, proposal: &Proposal) {
        let event = proposal.event_id;
        cx.count("session_stage_proposal_received_total");
        if self.answer_if_ended(cx, from, event) {
            return;
        }
        let source = Source::Peer(proposal.round, Some(proposal.timestamp_ns));
        self.learn(cx, &proposal.signing_material, event, source);
        if self.is_too_far(cx, &proposal.vote()) {
            return;
        }
        if let Some(proof) = &proposal.valid_proof {
            self.live_mut(event).votes.add_all(proof.votes());
        }
        let stored = StoredVote {
            value: Some(proposal.tx_template_hash),
            signature: proposal.signature,
            timestamp_ns: proposal.timestamp_ns,
            tip_score: proposal
                .kaspa_anchor
                .as_ref()
                .map(|anchor| anchor.tip_score),
            valid_round: proposal.valid_round,
            valid_proof: proposal.valid_proof.clone(),
        };
        self.take_prevote(cx, proposal.vote(), stored, Some(proposal));
    }

    /// A prevote for nothing came.
    pub(super) fn on_no_proposal(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        vote: &Vote,
        body: &SigningEvent,
    ) {
        let event = vote.ballot.instance;
        if self.answer_if_ended(cx, from, event) {
            return;
        }
        self.learn(cx, body, event, Source::Peer(vote.ballot.round, None));
        if self.is_too_far(cx, vote) {
            return;
        }
        let stored = StoredVote {
            value: None,
            signature: vote.signature,
            timestamp_ns: 0,
            tip_score: None,
            valid_round: None,
            valid_proof: None,
        };
        self.take_prevote(cx, *vote, stored, None);
    }

    /// Counts a prevote. Its template is kept only if the vote counts: one per member and round, however many it sends.
    fn take_prevote(
        &mut self,
        cx: Cx<'_, '_>,
        vote: Vote,
        stored: StoredVote,
        proposal: Option<&Proposal>,
    ) {
        let event = vote.ballot.instance;
        if !self.hears(cx.env(), &vote) {
            return;
        }
        let added = self.live_mut(event).votes.add(vote);
        if let Some(proposal) = proposal
            && !matches!(added, Added::Equivocation(_))
            && !self.templates.contains(&(event, proposal.tx_template_hash))
        {
            self.keep_template(event, proposal.tx_template_hash, proposal.pskt());
        }
        match added {
            Added::New => {
                self.proposals
                    .put((event, vote.ballot.round, vote.signer), stored);
                self.tell_count(cx, event, &vote);
            }
            // A vote that was learned inside a certificate still lacks its row.
            Added::Duplicate => {
                self.note_copy(cx.env(), vote);
                if !self
                    .proposals
                    .contains(&(event, vote.ballot.round, vote.signer))
                {
                    self.proposals
                        .put((event, vote.ballot.round, vote.signer), stored);
                }
            }
            Added::Equivocation(evidence) => self.accuse(cx, *evidence),
        }
        self.follow(cx, event, vote.ballot.round, 1);
        self.evaluate(cx, event);
    }

    /// Whether a vote means anything to this node, in the round that it is in.
    pub(super) fn hears(&self, env: &Env<TwoPhase>, vote: &Vote) -> bool {
        let own = self
            .phases
            .get(&vote.ballot.instance)
            .map(|row| row.rounds.round);
        own.is_none_or(|own| own == vote.ballot.round) || flaws::hears_other_rounds(env.flaws)
    }

    /// Counts a vote that came again, where entries count. (S0-F23)
    pub(super) fn note_copy(&mut self, env: &Env<TwoPhase>, vote: Vote) {
        if flaws::counts_entries(env.flaws) {
            let copies = &mut self.live_mut(vote.ballot.instance).copies;
            if copies.len() < COPIES_MAX {
                copies.push(vote);
            }
        }
    }

    /// Applies every rule whose votes are there: prevote, lock, decide.
    pub(super) fn evaluate(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        self.follow_leader(cx, event);
        self.count_proposals(cx, event);
        self.count_locks(cx, event);
    }

    /// Whether a template is valid here: its structure was checked on arrival; this looks at the chain, unless a quorum
    /// is known to have done so.
    pub(super) fn is_valid(&self, env: &Env<TwoPhase>, event: InstanceId, hash: Hash32) -> bool {
        let proven = self
            .phases
            .get(&event)
            .and_then(|row| row.rounds.valid)
            .is_some_and(|(_, valid)| valid == hash);
        let Some(pskt) = self.templates.get(&(event, hash)) else {
            return false;
        };
        proven
            || !flaws::validates_first(env.flaws)
            || (self.may_take_effect(&event)
                && self
                    .chain
                    .validates(pskt, env.config.input_depth(), &self.reserved))
    }

    /// q proposals of one round for one valid template: it may be locked. (S0-75, S0-F18)
    fn count_proposals(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let quorum = Self::quorum(cx.env());
        let Some(live) = self.live.get(&event) else {
            return;
        };
        let mut polkas: Vec<(Round, Hash32, u128)> = Vec::new();
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let (own, proven) = (row.rounds.round, row.rounds.valid.map(|(round, _)| round));
        let may_be_full = |round: &Round| {
            quorum.is_reached(live.cast(*round, VoteKind::Prevote))
                && proven.is_none_or(|proven| *round > proven)
                && flaws::carries_over(cx.env().flaws, *round, own)
        };
        for round in live.votes.rounds().filter(may_be_full) {
            let tally = live.tally(round, VoteKind::Prevote);
            let reached = tally
                .into_iter()
                .filter(|(_, count)| quorum.is_reached(*count));
            polkas.extend(reached.filter_map(|(value, count)| Some((round, value?, count))));
        }
        for (round, hash, count) in polkas {
            self.on_polka(cx, event, round, hash, count);
        }
    }

    fn on_polka(
        &mut self,
        cx: Cx<'_, '_>,
        event: InstanceId,
        round: Round,
        hash: Hash32,
        count: u128,
    ) {
        let env = cx.env();
        let quorum = Self::quorum(env);
        let live = self.live_mut(event);
        if !live.told.contains(&(round, hash)) {
            live.told.push((round, hash));
            cx.emit(Level::Protocol, || {
                let event = Event::new(
                    EventKind::QuorumReached(PROPOSALS_METER),
                    Some(event),
                    round,
                );
                event.value(Some(hash)).count(
                    count as u64,
                    quorum.need() as u64,
                    quorum.total() as u64,
                )
            });
        }
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let votes =
            matches!(row.phase, EventPhase::Proposing | EventPhase::Failed) && !row.withdrawn;
        if !votes
            || row
                .rounds
                .valid
                .is_some_and(|(at, known)| at > round || (at == round && known == hash))
        {
            return;
        }
        if !self.templates.contains(&(event, hash)) {
            return;
        }
        let is_current = round == row.rounds.round && row.phase == EventPhase::Proposing;
        if is_current && !self.is_valid(env, event, hash) {
            let live = self.live_mut(event);
            if !live.deferred {
                live.deferred = true;
                cx.emit(Level::Protocol, || {
                    Event::new(EventKind::Deferred, Some(event), round).value(Some(hash))
                });
            }
            return;
        }
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        let reaction = row.rounds.on_polka(round, hash);
        if reaction == OnPolka::Nothing {
            return;
        }
        let ballot = Ballot {
            instance: event,
            round,
            kind: VoteKind::Prevote,
            value: Some(hash),
        };
        let live = self.live.get(&event);
        if let Some(proof) = live.and_then(|live| live.certificate(ballot, quorum)) {
            self.valid.put(event, proof);
        }
        self.settle_reservations(event);
        if reaction == OnPolka::LockAndPrecommit {
            cx.emit(Level::Protocol, || {
                let event = Event::new(EventKind::Locked, Some(event), round).value(Some(hash));
                event.count(count as u64, quorum.need() as u64, quorum.total() as u64)
            });
            self.lock(cx, event, round, hash);
        }
    }

    /// Tells observers that a vote was counted.
    pub(super) fn tell_count(&mut self, cx: Cx<'_, '_>, event: InstanceId, vote: &Vote) {
        let ballot = vote.ballot;
        let quorum = Self::quorum(cx.env());
        let meter = if ballot.kind == VoteKind::Prevote {
            PROPOSALS_METER
        } else {
            LOCKS_METER
        };
        let have = self.live.get(&event).map_or(0, |live| {
            live.votes.count(ballot.round, ballot.kind, ballot.value)
        });
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::VoteCounted(meter), Some(event), ballot.round)
                .value(ballot.value)
                .peer(vote.signer)
                .count(have as u64, quorum.need() as u64, quorum.total() as u64)
        });
    }
}
