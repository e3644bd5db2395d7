//! Propose: bodies, rounds, proposals, and the lock that a quorum of them brings.

use alloc::string::String;
use alloc::vec::Vec;

use super::config::STATE_SYNC_COOLDOWN_MS;
use super::message::{KaspaAnchorRef, Message, Proposal, Pskt, SigningEvent};
use super::phase::{EventPhase, EventPhaseState};
use super::template::ChainView;
use super::{
    Cx, LOCKS_METER, Live, Outcome, PROPOSALS_METER, Reply, StoredVote, SubmitEvent, Timer,
    TwoPhase,
};
use crate::certificate::Certificate;
use crate::codec;
use crate::engine::{Env, To};
use crate::event::{Event, EventKind, Level};
use crate::rounds::{OnPolka, leader, may_jump};
use crate::types::{ClientId, Duration, Hash32, InstanceId, NodeId, Round};
use crate::votes::{Added, Ballot, Evidence, Vote, VoteKind};

/// The most events whose votes a node holds at a time.
const EVENTS_OPEN_MAX: usize = 16_384;

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
    /// A client asks to sign a payment. (S0-90)
    pub(super) fn on_request(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        request: &SubmitEvent,
    ) {
        let body = request.signing_material();
        if request.event.is_empty() || request.event.len() > super::message::NAME_BYTES_MAX {
            return cx.reply(
                client,
                number,
                Reply::Refused(String::from("event: expected a name of 1 to 64 bytes")),
            );
        }
        if request.amount == 0 || request.amount == u64::MAX {
            return cx.reply(
                client,
                number,
                Reply::Refused(String::from("amount: expected at least 1")),
            );
        }
        if body.destination.bytes.len() > 64 {
            return cx.reply(
                client,
                number,
                Reply::Refused(String::from("destination: expected at most 64 bytes")),
            );
        }
        let event = body.id();
        if let Some(why) = self.refuses_to_supersede(&body) {
            return cx.reply(client, number, Reply::Refused(why));
        }
        if let Some(reply) = self.outcome_reply(&event) {
            return cx.reply(client, number, reply);
        }
        let is_new = self.phase(&event) == EventPhase::Unknown;
        cx.reply(
            client,
            number,
            if is_new {
                Reply::Accepted
            } else {
                Reply::InProgress
            },
        );
        self.live_mut(event).waiting.push((client, number));
        self.learn(cx, &body, event);
    }

    /// An event may be replaced only if its decided template can never take effect: an input was spent elsewhere.
    fn refuses_to_supersede(&self, body: &SigningEvent) -> Option<String> {
        let old = body.supersedes?;
        let Some(hash) = self.phases.get(&old).and_then(|row| row.canonical_hash) else {
            return Some(String::from("supersedes: that event is not decided here"));
        };
        let dead = self.phase(&old) == EventPhase::Committed
            && self
                .templates
                .get(&(old, hash))
                .is_some_and(|pskt| !self.chain.has_inputs(pskt));
        (!dead)
            .then(|| String::from("supersedes: the inputs of that event were not spent elsewhere"))
    }

    fn outcome_reply(&self, event: &InstanceId) -> Option<Reply> {
        match self.outcomes.get(event)? {
            Outcome::Lock(certificate) => Some(Reply::Decided {
                tx_template_hash: certificate.ballot.value?,
                locks: certificate.signatures.len() as u16,
            }),
            Outcome::Abandon(certificate) => Some(Reply::Abandoned {
                withdrawals: certificate.signatures.len() as u16,
            }),
        }
    }

    /// Remembers an event's body and enters round 0; nothing happens if the event is known. (S0-56, S0-F4, S0-F36)
    pub(super) fn learn(&mut self, cx: Cx<'_, '_>, body: &SigningEvent, event: InstanceId) {
        if self.events.contains(&event) {
            return;
        }
        if self.live.len() >= EVENTS_OPEN_MAX {
            // Whoever floods the group with events is not answered with memory.
            return cx.count("two_phase_events_refused_total");
        }
        self.remember(event, body);
        self.enter_phase(cx, event, EventPhase::Proposing);
        self.begin_round(cx, event);
    }

    /// Puts an event's first rows.
    pub(super) fn remember(&mut self, event: InstanceId, body: &SigningEvent) {
        self.events.put(event, body.clone());
        self.phases.put(event, EventPhaseState::default());
        self.index.put((EventPhase::Unknown as u8, event), ());
        self.sync.learned.push(event);
    }

    /// Takes up an open event after a restart: same round, same votes, fresh timers.
    pub(super) fn resume(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let (phase, round, retries) = (row.phase, row.rounds.round, row.retry_count);
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::Recovered, Some(event), round)
        });
        match phase {
            EventPhase::Proposing => {
                cx.set_timer(
                    Timer::Round(event, round),
                    cx.env().config.round_timeout(round),
                );
                if row.rounds.can_prevote() {
                    cx.set_timer(
                        Timer::Propose(event, round),
                        cx.env().config.propose_timeout(round),
                    );
                }
            }
            EventPhase::Failed => self.arm_retry(cx, event, round, retries),
            EventPhase::Committed => cx.set_timer(
                Timer::Gc(event),
                Duration::from_ms(cx.env().config.gc_after_ms),
            ),
            EventPhase::Unknown | EventPhase::Completed | EventPhase::Abandoned => {}
        }
    }

    /// Arms the timers of the current round, and proposes where it is this node's turn.
    pub(super) fn begin_round(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let round = row.rounds.round;
        let env = cx.env();
        cx.set_timer(Timer::Round(event, round), env.config.round_timeout(round));
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::RoundEntered, Some(event), round)
        });
        let is_leader = round == Round(0) || leader(env.members(), &event.0, round) == env.id;
        if is_leader {
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
        let depth = cx.env().config.input_depth();
        if let Some(before) = round.0.checked_sub(1).map(Round)
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
    fn prevote(
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
        if let Some(hash) = value {
            self.reserve(event, hash);
        }
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

    /// A proposal came. (S0-71)
    pub(super) fn on_proposal(&mut self, cx: Cx<'_, '_>, from: NodeId, proposal: &Proposal) {
        let event = proposal.event_id;
        cx.count("session_stage_proposal_received_total");
        if self.answer_if_ended(cx, from, event) {
            return;
        }
        self.learn(cx, &proposal.signing_material, event);
        if self.is_too_far(cx, &proposal.vote()) {
            return;
        }
        if !self.templates.contains(&(event, proposal.tx_template_hash)) {
            self.keep_template(event, proposal.tx_template_hash, proposal.pskt());
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
        self.take_prevote(cx, proposal.vote(), stored);
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
        self.learn(cx, body, event);
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
        self.take_prevote(cx, *vote, stored);
    }

    fn take_prevote(&mut self, cx: Cx<'_, '_>, vote: Vote, stored: StoredVote) {
        let event = vote.ballot.instance;
        match self.live_mut(event).votes.add(vote) {
            Added::New => {
                self.proposals
                    .put((event, vote.ballot.round, vote.signer), stored);
                self.tell_count(cx, event, &vote);
            }
            // A vote that was learned inside a certificate still lacks its row.
            Added::Duplicate => {
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
        let known = far.entry(vote.signer).or_insert(round);
        *known = round.max(*known);
        let mut rounds: Vec<Round> = far.values().copied().collect();
        rounds.sort_unstable_by_key(|round| core::cmp::Reverse(*round));
        if let Some(reached) = rounds.get(blocking - 1).copied() {
            self.follow(cx, event, reached, rounds.len());
        }
        true
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
        let quorum = Self::quorum(cx.env());
        let next_is_open = phase == EventPhase::Failed && seen == own;
        if !next_is_open && !may_jump(own, seen, there, quorum.blocking().need()) {
            return;
        }
        self.cancel_round(cx, event, own);
        if phase == EventPhase::Failed {
            self.enter_phase(cx, event, EventPhase::Proposing);
        }
        if seen > own
            && let Some(row) = self.phases.get_mut(&event)
        {
            row.rounds.enter(seen);
            row.own_proposal_hash = None;
        }
        self.begin_round(cx, event);
    }

    /// Disarms everything that a round armed.
    pub(super) fn cancel_round(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round) {
        cx.cancel_timer(Timer::Round(event, round));
        cx.cancel_timer(Timer::Propose(event, round));
        cx.cancel_timer(Timer::Retry(event, round));
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

    /// Applies every rule whose votes are there: prevote, lock, decide.
    pub(super) fn evaluate(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        self.follow_leader(cx, event);
        self.count_proposals(cx, event);
        self.count_locks(cx, event);
    }

    /// Prevotes the leader's template, or what stands in for it.
    fn follow_leader(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        if row.phase != EventPhase::Proposing || row.withdrawn || !row.rounds.can_prevote() {
            return;
        }
        let round = row.rounds.round;
        if round == Round(0) {
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

    /// Whether a template is valid here: its structure was checked on arrival; this looks at the chain, unless a quorum
    /// is known to have done so.
    fn is_valid(&self, env: &Env<TwoPhase>, event: InstanceId, hash: Hash32) -> bool {
        let proven = self
            .phases
            .get(&event)
            .and_then(|row| row.rounds.valid)
            .is_some_and(|(_, valid)| valid == hash);
        let Some(pskt) = self.templates.get(&(event, hash)) else {
            return false;
        };
        proven
            || self
                .chain
                .validates(pskt, env.config.input_depth(), &self.reserved)
    }

    /// q proposals of one round for one valid template: it may be locked. (S0-75, S0-F18)
    fn count_proposals(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let quorum = Self::quorum(cx.env());
        let Some(live) = self.live.get(&event) else {
            return;
        };
        let mut polkas: Vec<(Round, Hash32, u128)> = Vec::new();
        let proven = self
            .phases
            .get(&event)
            .and_then(|row| row.rounds.valid)
            .map(|(round, _)| round);
        let may_be_full = |round: &Round| {
            quorum.is_reached(live.votes.of(*round, VoteKind::Prevote).count() as u128)
                && proven.is_none_or(|proven| *round > proven)
        };
        for round in live.votes.rounds().filter(may_be_full) {
            let tally = live.votes.tally(round, VoteKind::Prevote);
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
        let votes = self
            .live
            .get(&event)
            .map(|live| live.votes.for_value(round, VoteKind::Prevote, Some(hash)));
        if let Some(proof) = votes.and_then(|votes| Certificate::collect(ballot, votes, quorum)) {
            self.valid.put(event, proof);
        }
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

    /// A member contradicted itself: keep the proof, tell everyone, once per member and event. (S0-74, S0-F22)
    pub(super) fn accuse(&mut self, cx: Cx<'_, '_>, evidence: Evidence) {
        let ballot = evidence.first.ballot;
        let member = evidence.first.signer;
        let live: &mut Live = self.live_mut(ballot.instance);
        if live.accused.contains(&member) {
            return;
        }
        live.accused.push(member);
        cx.count("two_phase_equivocations_total");
        cx.emit(Level::Decisions, || {
            Event::new(EventKind::Evidence, Some(ballot.instance), ballot.round)
                .value(ballot.value)
                .peer(member)
        });
        cx.send(To::All, Message::Equivocation(evidence));
    }

    /// Another member's proof came.
    pub(super) fn on_evidence(&mut self, cx: Cx<'_, '_>, evidence: &Evidence) {
        if self.events.contains(&evidence.first.ballot.instance) {
            self.accuse(cx, *evidence);
        }
    }

    /// Answers a vote about an ended event with its proof, at most once per peer and cooldown. (S0-F31)
    pub(super) fn answer_if_ended(
        &mut self,
        cx: Cx<'_, '_>,
        to: NodeId,
        event: InstanceId,
    ) -> bool {
        if !self.outcomes.contains(&event) {
            return false;
        }
        let cooldown = Timer::Cooldown(to, event);
        let quiet = cx.is_timer_set(cooldown) || cx.is_timer_set(Timer::Cooldown(NodeId(0), event));
        if !quiet && let Some(proof) = self.outcome_message(cx, event) {
            cx.set_timer(cooldown, Duration::from_ms(STATE_SYNC_COOLDOWN_MS));
            cx.send(To::Node(to), proof);
        }
        true
    }

    /// The proof of how an event ended.
    pub(super) fn outcome_message(&self, cx: Cx<'_, '_>, event: InstanceId) -> Option<Message> {
        match self.outcomes.get(&event)? {
            Outcome::Lock(_) => self.commit_message(cx, event),
            Outcome::Abandon(certificate) => Some(Message::Abandon {
                certificate: certificate.clone(),
                signing_material: self.events.get(&event)?.clone(),
            }),
        }
    }

    /// What an equivocator sends to the other half: the same kind of vote for another valid template.
    pub(super) fn second_version(&self, env: &Env<TwoPhase>, message: &Message) -> Option<Message> {
        match message {
            Message::ProposalBroadcast(proposal) if proposal.valid_round.is_none() => {
                let pskt: Pskt = codec::decode(&proposal.kpsbt_blob).ok()?;
                let other = ChainView::variant(&pskt)?;
                let mut second = proposal.clone();
                second.tx_template_hash = other.template_hash();
                second.kpsbt_blob = codec::encode(&other);
                second.utxos_used = other.inputs;
                second.outputs = other.outputs;
                second.signature = second.vote().ballot.sign(env).signature;
                Some(Message::ProposalBroadcast(second))
            }
            Message::Lock(vote) => {
                let event = vote.ballot.instance;
                let other = self
                    .templates
                    .range((event, Hash32::default())..)
                    .map(|((of, hash), _)| (*of, *hash));
                let mut other = other
                    .take_while(|(of, _)| *of == event)
                    .filter(|(_, hash)| Some(*hash) != vote.ballot.value);
                let (_, hash) = other.next()?;
                Some(Message::Lock(
                    Ballot {
                        value: Some(hash),
                        ..vote.ballot
                    }
                    .sign(env),
                ))
            }
            _ => None,
        }
    }
}
