//! Commit: locks, the decision they make, the one signature, and the way to completion.

use alloc::vec::Vec;

use super::config::STATE_SYNC_COOLDOWN_MS;
use super::flaws;
use super::message::{
    EventCrdtState, EventStateBroadcast, KaspaAnchorRef, Message, PhaseContext, Pskt,
    partial_preimage,
};
use super::phase::EventPhase;
use super::{Cx, LOCKS_METER, Outcome, Reply, SignedTransaction, Timer, TwoPhase};
use crate::certificate::Certificate;
use crate::codec;
use crate::crypto::Signature;
use crate::engine::{Env, To};
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::types::{Duration, Hash32, InstanceId, NodeId, Round};
use crate::votes::{Added, Ballot, Evidence, Vote, VoteKind};

/// This node's lock on a template: the same bytes whenever it is made.
pub(super) fn lock_vote(
    env: &Env<TwoPhase>,
    event: InstanceId,
    round: Round,
    value: Hash32,
) -> Vote {
    Ballot {
        instance: event,
        round,
        kind: VoteKind::Precommit,
        value: Some(value),
    }
    .sign(env)
}

impl TwoPhase {
    /// Sends this node's lock, which stands in the event's row by now.
    pub(super) fn lock(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round, hash: Hash32) {
        debug_assert!(
            self.phases.get(&event).is_some_and(|row| !row.withdrawn),
            "Abandon is never followed by a lock"
        );
        let vote = lock_vote(cx.env(), event, round, hash);
        self.live_mut(event).votes.add(vote);
        self.tell_count(cx, event, &vote);
        cx.send(To::All, Message::Lock(vote));
    }

    /// A lock came.
    pub(super) fn on_lock(&mut self, cx: Cx<'_, '_>, from: NodeId, vote: &Vote) {
        let event = vote.ballot.instance;
        self.add_to_certificate(cx, vote);
        if self.answer_if_ended(cx, from, event) {
            return;
        }
        if !self.events.contains(&event) {
            // The body comes with a proposal; ask for it.
            return self.ask(cx, from, Vec::from([event]));
        }
        if self.is_too_far(cx, vote) {
            return;
        }
        self.take_lock(cx, *vote);
    }

    /// A lock that comes after the decision makes its certificate stronger.
    fn add_to_certificate(&mut self, cx: Cx<'_, '_>, vote: &Vote) {
        let event = vote.ballot.instance;
        let Some(Outcome::Lock(known)) = self.outcomes.get(&event) else {
            return;
        };
        let Err(place) = known
            .signatures
            .binary_search_by_key(&vote.signer, |(signer, _)| *signer)
        else {
            return;
        };
        if known.ballot != vote.ballot {
            return;
        }
        let quorum = Self::quorum(cx.env());
        if let Some(Outcome::Lock(certificate)) = self.outcomes.get_mut(&event) {
            certificate
                .signatures
                .insert(place, (vote.signer, vote.signature));
            let have = certificate.signatures.len() as u64;
            cx.emit(Level::Protocol, || {
                Event::new(
                    EventKind::VoteCounted(LOCKS_METER),
                    Some(event),
                    vote.ballot.round,
                )
                .value(vote.ballot.value)
                .peer(vote.signer)
                .count(have, quorum.need() as u64, quorum.total() as u64)
            });
        }
    }

    pub(super) fn take_lock(&mut self, cx: Cx<'_, '_>, vote: Vote) {
        let event = vote.ballot.instance;
        if !self.hears(cx.env(), &vote) {
            return;
        }
        match self.live_mut(event).votes.add(vote) {
            Added::New => self.tell_count(cx, event, &vote),
            Added::Duplicate => self.note_copy(cx.env(), vote),
            Added::Equivocation(evidence) => self.accuse(cx, *evidence),
        }
        self.follow(cx, event, vote.ballot.round, 1);
        self.evaluate(cx, event);
    }

    /// q locks of one round for one template: decided. (S0-02, S0-04)
    pub(super) fn count_locks(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        if self.outcomes.contains(&event) {
            return;
        }
        let quorum = Self::quorum(cx.env());
        let Some(live) = self.live.get(&event) else {
            return;
        };
        let decided = live.votes.rounds().find_map(|round| {
            if !quorum.is_reached(live.cast(round, VoteKind::Precommit)) {
                return None;
            }
            let tally = live.tally(round, VoteKind::Precommit);
            let (value, _) = tally
                .into_iter()
                .find(|(_, count)| quorum.is_reached(*count))?;
            let ballot = Ballot {
                instance: event,
                round,
                kind: VoteKind::Precommit,
                value,
            };
            live.certificate(ballot, quorum)
        });
        let Some(certificate) = decided else { return };
        let Some(hash) = certificate.ballot.value else {
            return;
        };
        if self.templates.contains(&(event, hash)) {
            cx.count("two_phase_canonical_selection_total{method=\"quorum\"}");
            self.decide(cx, event, certificate, EventKind::Decided);
        }
    }

    /// Notes a decision: certificate, template and phase in one batch; then signs and tells.
    fn decide(
        &mut self,
        cx: Cx<'_, '_>,
        event: InstanceId,
        certificate: Certificate,
        how: EventKind,
    ) {
        let Some(hash) = certificate.ballot.value else {
            return;
        };
        let round = certificate.ballot.round;
        let quorum = Self::quorum(cx.env());
        let count = certificate.signatures.len() as u64;
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        let own_round = row.rounds.round;
        row.canonical_hash = Some(hash);
        self.outcomes.put(event, Outcome::Lock(certificate));
        self.cancel_round(cx, event, own_round);
        cx.emit(Level::Decisions, || {
            let event = Event::new(how, Some(event), round).value(Some(hash));
            event.count(count, quorum.need() as u64, quorum.total() as u64)
        });
        cx.record(Record {
            kind: RecordKind::Decided,
            instance: event,
            value: Some(hash),
            round,
        });
        self.enter_phase(cx, event, EventPhase::Committed);
        self.settle_reservations(event);
        for (client, number) in core::mem::take(&mut self.live_mut(event).waiting) {
            cx.reply(
                client,
                number,
                Reply::Decided {
                    tx_template_hash: hash,
                    locks: count as u16,
                },
            );
        }
        cx.set_timer(
            Timer::Gc(event),
            Duration::from_ms(cx.env().config.gc_after_ms),
        );
        let signed = self.try_sign(cx, event);
        if !signed {
            self.broadcast_commit(cx, event);
        }
        self.try_complete(cx, event);
    }

    /// Signs the decided template once its inputs are seen; returns whether it signed now. (S0-03, S0-77, S0-80)
    pub(super) fn try_sign(&mut self, cx: Cx<'_, '_>, event: InstanceId) -> bool {
        let env = cx.env();
        let Some(row) = self
            .phases
            .get(&event)
            .filter(|row| row.phase == EventPhase::Committed)
        else {
            return false;
        };
        let Some(hash) = row.canonical_hash else {
            return false;
        };
        let round = row.rounds.round;
        if self
            .live
            .get(&event)
            .is_some_and(|live| live.partials.contains_key(&env.id))
        {
            return false;
        }
        let Some(pskt) = self.templates.get(&(event, hash)) else {
            return false;
        };
        let signed_before = self.signatures.get(&event).copied();
        // Looks again unless it signed in an earlier life: a failed look puts the signature off and never changes H.
        if signed_before.is_none()
            && env.config.revalidate_inputs_on_commit
            && !self.chain.has_inputs(pskt)
        {
            let live = self.live_mut(event);
            if !core::mem::replace(&mut live.deferred, true) {
                cx.emit(Level::Protocol, || {
                    Event::new(EventKind::Deferred, Some(event), round).value(Some(hash))
                });
            }
            return false;
        }
        assert!(
            signed_before.is_none_or(|before| before == hash) || !env.is_hardened(),
            "one signature per event"
        );
        if signed_before.is_none() {
            self.signatures.put(event, hash);
            cx.record(Record {
                kind: RecordKind::Signed,
                instance: event,
                value: Some(hash),
                round,
            });
            cx.emit(Level::Decisions, || {
                Event::new(EventKind::Signed, Some(event), round).value(Some(hash))
            });
        }
        let partial = self.partial(env, event, &hash);
        self.live_mut(event).partials.insert(env.id, partial);
        self.broadcast_commit(cx, event);
        self.try_report(cx, event);
        true
    }

    /// This node's signature of a template: the same bytes whenever it is made. Only for what `signature` holds.
    fn partial(&self, env: &Env<TwoPhase>, event: InstanceId, hash: &Hash32) -> Signature {
        debug_assert_eq!(self.signatures.get(&event), Some(hash));
        env.signer
            .sign(&partial_preimage(&env.genesis, event, hash))
    }

    fn broadcast_commit(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        if let Some(message) = self.commit_message(cx, event) {
            cx.set_timer(
                Timer::Cooldown(NodeId(0), event),
                Duration::from_ms(STATE_SYNC_COOLDOWN_MS),
            );
            cx.send(To::All, message);
        }
    }

    /// The commit broadcast: certificate, data, template, signatures so far. (S0-67, S0-76)
    pub(super) fn commit_message(&self, cx: Cx<'_, '_>, event: InstanceId) -> Option<Message> {
        let Some(Outcome::Lock(certificate)) = self.outcomes.get(&event) else {
            return None;
        };
        let row = self.phases.get(&event)?;
        let hash = row.canonical_hash?;
        let signatures = match self.live.get(&event) {
            Some(live) => live
                .partials
                .iter()
                .map(|(signer, part)| (*signer, *part))
                .collect(),
            None if self.signatures.get(&event) == Some(&hash) => {
                Vec::from([(cx.id(), self.partial(cx.env(), event, &hash))])
            }
            None => Vec::new(),
        };
        let tip_score = self.chain.tip_score();
        Some(Message::EventStateBroadcast(EventStateBroadcast {
            event_id: event,
            tx_template_hash: hash,
            state: EventCrdtState {
                signing_material: self.events.get(&event)?.clone(),
                kpsbt_blob: codec::encode(self.templates.get(&(event, hash))?),
                signatures,
            },
            sender_peer_id: cx.id(),
            phase_context: PhaseContext {
                round: certificate.ballot.round,
                phase: row.phase,
                kaspa_anchor: Some(KaspaAnchorRef {
                    tip_score,
                    tip_hash: None,
                }),
            },
            certificate: certificate.clone(),
        }))
    }

    /// A commit broadcast came: move straight to its decision, then merge its signatures. (S0-78, S0-79, S0-F8)
    pub(super) fn on_commit(&mut self, cx: Cx<'_, '_>, commit: &EventStateBroadcast) {
        let event = commit.event_id;
        match self.outcomes.get(&event) {
            Some(Outcome::Lock(known)) if known.ballot.value == Some(commit.tx_template_hash) => {}
            Some(known) => {
                // A second proof for another end: someone lies, which Profile A does not survive. Keep the first, and
                // name those who signed both.
                cx.count("two_phase_conflicting_commits_total");
                let known = match known {
                    Outcome::Lock(certificate) => certificate.clone(),
                    Outcome::Abandon(_) => return,
                };
                for first in known.votes() {
                    let second = commit.certificate.votes().find(|vote| {
                        vote.signer == first.signer && vote.ballot.round == first.ballot.round
                    });
                    if let Some(second) = second {
                        self.accuse(cx, Evidence { first, second });
                    }
                }
                return;
            }
            None => {
                let row = self.phases.get(&event);
                let (phase, own) = row.map_or((EventPhase::Unknown, Round(0)), |row| {
                    (row.phase, row.rounds.round)
                });
                let round = commit.certificate.ballot.round;
                if !flaws::fast_forwards(cx.env().flaws, phase, own, round) {
                    return;
                }
                if !self.events.contains(&event) {
                    self.remember(event, &commit.state.signing_material);
                }
                if !self.templates.contains(&(event, commit.tx_template_hash)) {
                    let Ok(pskt) = codec::decode::<Pskt>(&commit.state.kpsbt_blob) else {
                        return;
                    };
                    self.keep_template(event, commit.tx_template_hash, pskt);
                }
                cx.count("two_phase_fast_forwards_total");
                self.decide(
                    cx,
                    event,
                    commit.certificate.clone(),
                    EventKind::FastForwarded,
                );
            }
        }
        if self.phase(&event) != EventPhase::Committed {
            return;
        }
        let have = self.live.get(&event).map_or(0, |live| live.partials.len());
        // The set only grows; with m signatures it is full.
        let enough = usize::from(cx.env().config.threshold_m);
        let own = cx.id();
        if have < enough || !self.signatures.contains(&event) {
            let live = self.live_mut(event);
            for (signer, partial) in &commit.state.signatures {
                if *signer != own {
                    live.partials.insert(*signer, *partial);
                }
            }
        }
        self.try_report(cx, event);
    }

    /// m signatures make the transaction valid: report it to the chain.
    pub(super) fn try_report(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let enough = usize::from(cx.env().config.threshold_m);
        let Some(hash) = self.phases.get(&event).and_then(|row| row.canonical_hash) else {
            return;
        };
        let (Some(live), Some(pskt)) = (self.live.get(&event), self.templates.get(&(event, hash)))
        else {
            return;
        };
        if live.partials.len() < enough {
            return;
        }
        let signatures = live
            .partials
            .iter()
            .take(enough)
            .map(|(signer, part)| (*signer, *part))
            .collect();
        cx.report(SignedTransaction {
            event_id: event,
            transaction: pskt.transaction(),
            signatures,
        });
    }

    /// The transaction took effect: the event is complete. (S0-59, S0-F34)
    pub(super) fn try_complete(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self
            .phases
            .get(&event)
            .filter(|row| row.phase == EventPhase::Committed)
        else {
            return;
        };
        let (Some(hash), round) = (row.canonical_hash, row.rounds.round) else {
            return;
        };
        if !self.chain.claim(&hash) {
            return;
        }
        self.enter_phase(cx, event, EventPhase::Completed);
        self.unreserve(event);
        // Nothing of it is needed any more: whoever asks late is given the certificate, and this node's signature anew.
        self.live.remove(&event);
        cx.record(Record {
            kind: RecordKind::Completed,
            instance: event,
            value: Some(hash),
            round,
        });
    }

    /// Sends a committed event's state again: nothing else would bring it to its end. (S0-F9)
    pub(super) fn redrive(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        if !self.try_sign(cx, event) {
            self.broadcast_commit(cx, event);
            self.try_report(cx, event);
        }
    }
}
