//! The rules of seeds/000 as they are written: unsafe, for seeing its flaws happen.
//!
//! Upon ingesting an event: store it and enter proposing, unless a peer's proposal did so before: then it is "already in
//! progress" and nothing is proposed (S0-F4). Build a template for round 0, store and publish the proposal.
//! Upon a proposal: drop it unless it is of the own round (S0-F13, S0-F14); a node without a row takes the proposal's
//! round and time for its own (S0-F15, S0-F16). Store it, unless the event is not proposing (S0-F5, S0-F31).
//! Upon `commit_quorum` proposals of the round for one template, most first, then the lowest hash: **committed**, there
//! and then: no lock, no look at the inputs (S0-F1, S0-F18), nobody's event needed (S0-F19). Sign, and say so.
//! Upon anybody's word that the event is committed: believe it (S0-F7), if proposing in that very round (S0-F8).
//! Every second: a round that timed out is looked at once more, then failed, or the event abandoned if no retry is left
//! (S0-F17). A failed event is proposed again after its backoff without jitter (S0-F33), if it was ingested here
//! (S0-F36), from the own view (S0-F21); the proposal is published and never stored, since failed accepts none (S0-F5).
//! Committed events are not looked at (S0-F9). Events that ended are forgotten after a while (S0-F11).
//!
//! # Where the document is silent or contradicts itself
//!
//! Times are timers, measured anew after a restart. `commit_quorum = 0` is derived from `threshold_m` (S0-F3), an explicit
//! one is taken as it is (S0-F25). A transaction seen on the chain completes its event (S0-F34). State sync carries no
//! `phase_context`, so that nobody acts on it: none is sent. `rounds.step` tells whether the event was ingested here:
//! `Prevote` if it was.

use alloc::vec::Vec;

use super::body::{refusal, refused_for_being_full};
use super::config::TICK_MS;
use super::message::{KaspaAnchorRef, Message, Proposal};
use super::phase::EventPhase;
use super::reserve::Reservations;
use super::{Cx, Reply, StoredVote, SubmitEvent, Timer, TwoPhase, view};
use crate::codec;
use crate::engine::{Input, To};
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::rounds::Step;
use crate::types::{ClientId, Duration, InstanceId, NodeId, Round};
use crate::votes::{Ballot, VoteKind};

mod commit;

#[cfg(test)]
pub(super) use commit::{quorum_hash, select_winning_proposal};

/// What became of a proposal that was to be stored. (S0-53)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreProposalResult {
    /// It counts.
    Stored,
    /// The same one was there.
    DuplicateFromPeer,
    /// The event is not proposing.
    PhaseTooLate,
    /// The event is in another round.
    RoundMismatch,
    /// The peer proposed another template in this round.
    Equivocation,
}

impl TwoPhase {
    /// One step under the document's rules.
    pub(super) fn handle_as_written(&mut self, cx: Cx<'_, '_>, input: Input<Self>) {
        match input {
            Input::Start => self.start_as_written(cx),
            Input::Message { message, .. } => match message.as_ref() {
                Message::ProposalBroadcast(proposal) => {
                    self.handle_proposal_broadcast(cx, proposal);
                }
                Message::EventStateBroadcast(commit) => self.handle_crdt_broadcast(cx, commit),
                // The document has no others.
                _ => {}
            },
            Input::Timeout(Timer::Tick) => self.on_two_phase_tick(cx),
            Input::Timeout(Timer::Gc(event)) => self.gc_event(cx, event),
            // The others are clocks: a tick looks at whether they ran out.
            Input::Timeout(_) => {}
            Input::Request {
                client,
                number,
                request,
            } => self.submit_signing_event(cx, client, number, &request),
            Input::Fact(fact) => {
                self.chain.update(&fact);
                for event in self.events_in_phase(EventPhase::Committed) {
                    self.try_complete(cx, event);
                }
            }
        }
    }

    fn start_as_written(&mut self, cx: Cx<'_, '_>) {
        cx.set_timer(Timer::Tick, Duration::from_ms(TICK_MS));
        let config = &cx.env().config;
        for (event, row) in self.phases.iter() {
            let (event, round) = (*event, row.rounds.round);
            let record = |kind, value| Record {
                kind,
                instance: event,
                value,
                round,
            };
            match row.phase {
                EventPhase::Proposing => {
                    let timeout = Duration::from_ms(config.proposal_timeout_ms);
                    cx.set_timer(Timer::Round(event, round), timeout);
                }
                EventPhase::Failed => {
                    let delay = config
                        .retry
                        .delay_for_retry(row.retry_count.saturating_sub(1));
                    cx.set_timer(Timer::Retry(event, round), delay);
                }
                EventPhase::Committed | EventPhase::Completed => {
                    cx.record(record(RecordKind::Decided, row.canonical_hash));
                    cx.set_timer(Timer::Gc(event), Duration::from_ms(config.gc_after_ms));
                }
                EventPhase::Abandoned => {
                    cx.record(record(RecordKind::Abandoned, None));
                    cx.set_timer(Timer::Gc(event), Duration::from_ms(config.gc_after_ms));
                }
                EventPhase::Unknown => {}
            }
        }
    }

    /// A client asks to sign a payment. (S0-90)
    fn submit_signing_event(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        request: &SubmitEvent,
    ) {
        if let Some(why) = refusal(request) {
            return cx.reply(client, number, Reply::Refused(why));
        }
        let body = request.signing_material();
        let event = body.id();
        if !self.phases.contains(&event) && self.is_full() {
            cx.count("two_phase_events_refused_total");
            return cx.reply(client, number, refused_for_being_full());
        }
        let timeout = Duration::from_ms(cx.env().config.proposal_timeout_ms);
        let is_new = self.try_enter_proposing(cx, &body, Round(0), timeout);
        if let Some(row) = self.phases.get_mut(&event) {
            row.rounds.step = Step::Prevote;
        }
        let (phase, hash) = self
            .phases
            .get(&event)
            .map_or((EventPhase::Unknown, None), |row| {
                (row.phase, row.canonical_hash)
            });
        let reply = match (phase, hash) {
            (EventPhase::Abandoned, _) => Reply::Abandoned { withdrawals: 0 },
            (_, Some(tx_template_hash)) => Reply::Decided {
                tx_template_hash,
                locks: 0,
            },
            _ if is_new => Reply::Accepted,
            _ => Reply::InProgress,
        };
        if matches!(reply, Reply::Accepted | Reply::InProgress) {
            self.live_mut(event).waiting.push((client, number));
        }
        cx.reply(client, number, reply);
        // S0-F4: an event that a peer told of first is "already in progress", and this node's view is never heard.
        if is_new && let Some(proposal) = self.build_local_proposal_for_round(cx, event, Round(0)) {
            self.publish(cx, &proposal);
        }
    }

    /// Gives an event its row; false if it has one. (S0-56)
    fn try_enter_proposing(
        &mut self,
        cx: Cx<'_, '_>,
        body: &super::SigningEvent,
        round: Round,
        lasts: Duration,
    ) -> bool {
        let event = body.id();
        if self.phases.contains(&event) {
            return false;
        }
        self.remember(event, body);
        if let Some(row) = self.phases.get_mut(&event) {
            row.rounds.round = round;
        }
        self.set_phase(cx, event, EventPhase::Proposing);
        cx.set_timer(Timer::Round(event, round), lasts);
        true
    }

    /// The own template of a round, as a proposal. Knows of no other event's inputs. (S0-93)
    fn build_local_proposal_for_round(
        &mut self,
        cx: Cx<'_, '_>,
        event: InstanceId,
        round: Round,
    ) -> Option<Proposal> {
        let env = cx.env();
        let body = self.events.get(&event)?.clone();
        let depth = env.config.input_depth();
        let pskt =
            self.chain
                .build_local_proposal(&body, event, depth, &Reservations::default())?;
        let hash = pskt.template_hash();
        let ballot = Ballot {
            instance: event,
            round,
            kind: VoteKind::Prevote,
            value: Some(hash),
        };
        Some(Proposal {
            event_id: event,
            round,
            tx_template_hash: hash,
            kpsbt_blob: codec::encode(&pskt),
            utxos_used: pskt.inputs,
            outputs: pskt.outputs,
            signing_material: body,
            proposer_peer_id: env.id,
            timestamp_ns: cx.now().0,
            kaspa_anchor: Some(KaspaAnchorRef {
                tip_score: self.chain.tip_score(),
                tip_hash: None,
            }),
            valid_round: None,
            valid_proof: None,
            signature: ballot.sign(env).signature,
        })
    }

    /// Stores the own proposal, which may fail without anybody looking, and publishes it all the same.
    fn publish(&mut self, cx: Cx<'_, '_>, proposal: &Proposal) {
        let (event, round) = (proposal.event_id, proposal.round);
        let hash = Some(proposal.tx_template_hash);
        let _ = self.store_proposal(cx, proposal);
        if let Some(row) = self.phases.get_mut(&event) {
            row.own_proposal_hash = hash;
        }
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::Proposed, Some(event), round).value(hash)
        });
        cx.send(To::All, Message::ProposalBroadcast(proposal.clone()));
    }

    /// A proposal came; who sent it and what it is made of was checked. (S0-71)
    fn handle_proposal_broadcast(&mut self, cx: Cx<'_, '_>, proposal: &Proposal) {
        cx.count("session_stage_proposal_received_total");
        let (event, round) = (proposal.event_id, proposal.round);
        if !self.phases.contains(&event) && self.is_full() {
            return cx.count("two_phase_events_refused_total");
        }
        match self.store_proposal(cx, proposal) {
            StoreProposalResult::Stored => self.try_commit_and_sign(cx, event, round),
            StoreProposalResult::Equivocation => cx.count("two_phase_equivocations_total"),
            StoreProposalResult::DuplicateFromPeer
            | StoreProposalResult::PhaseTooLate
            | StoreProposalResult::RoundMismatch => {}
        }
    }

    /// Stores a proposal of the own round while the event is proposing. (S0-61)
    fn store_proposal(&mut self, cx: Cx<'_, '_>, proposal: &Proposal) -> StoreProposalResult {
        let (event, round) = (proposal.event_id, proposal.round);
        // S0-F15, S0-F16: an event without a row takes the round and the time of the peer.
        let timeout = Duration::from_ms(cx.env().config.proposal_timeout_ms);
        let ends = proposal.timestamp_ns.saturating_add(timeout.0);
        let lasts = Duration(ends.saturating_sub(cx.now().0));
        self.try_enter_proposing(cx, &proposal.signing_material, round, lasts);
        let Some(row) = self.phases.get(&event) else {
            return StoreProposalResult::PhaseTooLate;
        };
        if !row.phase.accepts_proposals() {
            return StoreProposalResult::PhaseTooLate;
        }
        if row.rounds.round != round {
            return StoreProposalResult::RoundMismatch;
        }
        let key = (event, round, proposal.proposer_peer_id);
        if let Some(existing) = self.proposals.get(&key) {
            return if existing.value == Some(proposal.tx_template_hash) {
                StoreProposalResult::DuplicateFromPeer
            } else {
                StoreProposalResult::Equivocation
            };
        }
        self.keep_template(event, proposal.tx_template_hash, proposal.pskt());
        let anchor = proposal.kaspa_anchor.as_ref();
        let stored = StoredVote {
            value: Some(proposal.tx_template_hash),
            signature: proposal.signature,
            timestamp_ns: proposal.timestamp_ns,
            tip_score: anchor.map(|anchor| anchor.tip_score),
            valid_round: None,
            valid_proof: None,
        };
        self.proposals.put(key, stored);
        self.live_mut(event).votes.add(proposal.vote());
        self.tell_count(cx, event, &proposal.vote());
        StoreProposalResult::Stored
    }

    /// Every second. (S0-81, S0-82, S0-83)
    fn on_two_phase_tick(&mut self, cx: Cx<'_, '_>) {
        cx.set_timer(Timer::Tick, Duration::from_ms(TICK_MS));
        for event in self.events_in_phase(EventPhase::Proposing) {
            let Some(row) = self.phases.get(&event) else {
                continue;
            };
            let (round, retries) = (row.rounds.round, row.retry_count);
            if cx.is_timer_set(Timer::Round(event, round)) {
                continue;
            }
            self.try_commit_and_sign(cx, event, round);
            if self.phase(&event) != EventPhase::Proposing {
                continue;
            }
            if retries >= cx.env().config.retry.max_retries {
                self.mark_abandoned(cx, event);
            } else {
                self.fail_and_bump_round(cx, event, round);
            }
        }
        for event in self.events_in_phase(EventPhase::Failed) {
            self.retry_as_written(cx, event);
        }
    }

    /// Ends a round without a decision. (S0-58)
    fn fail_and_bump_round(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round) {
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        // The number space ends here; the document's `round += 1` would begin anew, or panic.
        let Some(next) = row.rounds.next_round() else {
            return;
        };
        row.rounds.round = next;
        row.own_proposal_hash = None;
        let retries = row.retry_count;
        row.retry_count = retries.saturating_add(1);
        self.set_phase(cx, event, EventPhase::Failed);
        cx.count("two_phase_proposal_timeouts_total");
        let delay = cx.env().config.retry.delay_for_retry(retries);
        cx.set_timer(Timer::Retry(event, next), delay);
        self.clear_stale_proposals(event, round);
    }

    /// Forgets the rounds before the one that just failed. (S0-63, S0-F28)
    fn clear_stale_proposals(&mut self, event: InstanceId, before: Round) {
        let range = (event, Round(0), NodeId(0))..(event, before, NodeId(0));
        let stale: Vec<_> = self.proposals.range(range).map(|(key, _)| *key).collect();
        stale.iter().for_each(|key| self.proposals.delete(key));
    }

    /// Proposes a failed event again, on every tick once its backoff is over. (S0-83)
    fn retry_as_written(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let round = row.rounds.round;
        let is_ingested = row.rounds.step != Step::Propose;
        if cx.is_timer_set(Timer::Retry(event, round)) || !is_ingested {
            return;
        }
        if let Some(proposal) = self.build_local_proposal_for_round(cx, event, round) {
            self.publish(cx, &proposal);
            self.try_commit_and_sign(cx, event, round);
        }
    }

    /// Gives an event up, whatever was proposed. (S0-59)
    fn mark_abandoned(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let round = self
            .phases
            .get(&event)
            .map_or(Round(0), |row| row.rounds.round);
        self.set_phase(cx, event, EventPhase::Abandoned);
        cx.count("two_phase_events_abandoned_total");
        cx.emit(Level::Decisions, || {
            Event::new(EventKind::Abandoned, Some(event), round)
        });
        cx.record(Record {
            kind: RecordKind::Abandoned,
            instance: event,
            value: None,
            round,
        });
        self.tell_clients(cx, event, &Reply::Abandoned { withdrawals: 0 });
        self.live.remove(&event);
        let after = Duration::from_ms(cx.env().config.gc_after_ms);
        cx.set_timer(Timer::Gc(event), after);
    }

    /// Forgets an event that ended, its signature with it. (S0-63, S0-F11)
    fn gc_event(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        if self.phase(&event).is_terminal() {
            self.forget(event);
        } else if self.phases.contains(&event) {
            let after = Duration::from_ms(cx.env().config.gc_after_ms);
            cx.set_timer(Timer::Gc(event), after);
        }
    }

    /// Writes a phase without asking whether the transition is legal. (S0-F17)
    fn set_phase(&mut self, cx: Cx<'_, '_>, event: InstanceId, to: EventPhase) {
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        let from = core::mem::replace(&mut row.phase, to);
        let round = row.rounds.round;
        self.index.delete(&(from as u8, event));
        self.index.put((to as u8, event), ());
        view::tell_phase(cx, event, to, round);
    }

    fn tell_clients(&mut self, cx: Cx<'_, '_>, event: InstanceId, reply: &Reply) {
        for (client, number) in core::mem::take(&mut self.live_mut(event).waiting) {
            cx.reply(client, number, reply.clone());
        }
    }
}
