//! Commit as the document has it: a quorum of proposals, or anybody's word, and the one signature.

use alloc::vec::Vec;

use crate::certificate::Certificate;
use crate::codec;
use crate::engine::To;
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::ordered::Map;
use crate::protocol::two_phase::message::{
    EventCrdtState, EventStateBroadcast, KaspaAnchorRef, Message, PhaseContext, partial_preimage,
};
use crate::protocol::two_phase::phase::EventPhase;
use crate::protocol::two_phase::{Cx, PROPOSALS_METER, Reply, Timer, TwoPhase};
use crate::quorum::Quorum;
use crate::types::{Duration, Hash32, InstanceId, NodeId, Round};
use crate::votes::{Ballot, VoteKind};

/// The template with at least `quorum` proposals: the most, then the lowest hash. Counts entries, not members (S0-F23).
/// (S0-47, S0-48)
pub(in crate::protocol::two_phase) fn quorum_hash(
    proposals: &[(NodeId, Hash32)],
    quorum: Quorum,
) -> Option<Hash32> {
    let mut votes: Map<Hash32, u128> = Map::new();
    for (_, hash) in proposals {
        *votes.get_or_default(*hash) += 1;
    }
    let full = votes.iter().filter(|(_, count)| quorum.is_reached(**count));
    full.min_by_key(|(hash, count)| (core::cmp::Reverse(**count), **hash))
        .map(|(hash, _)| *hash)
}

/// Whose proposal of a template is taken: the lowest proposer's. (S0-49)
pub(in crate::protocol::two_phase) fn select_winning_proposal(
    proposals: &[(NodeId, Hash32)],
    hash: Hash32,
) -> Option<NodeId> {
    let matching = proposals.iter().filter(|(_, value)| *value == hash);
    matching.map(|(proposer, _)| *proposer).min()
}

impl TwoPhase {
    /// The stored proposals of a round. (S0-62)
    fn proposals_of(&self, event: InstanceId, round: Round) -> Vec<(NodeId, Hash32)> {
        let range = (event, round, NodeId(0))..=(event, round, NodeId(u16::MAX));
        let stored = self.proposals.range(range);
        stored
            .filter_map(|((_, _, proposer), stored)| Some((*proposer, stored.value?)))
            .collect()
    }

    /// Commits the template that a quorum proposed, and signs it. (S0-75)
    pub(super) fn try_commit_and_sign(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round) {
        let quorum = Self::quorum(cx.env());
        let proposals = self.proposals_of(event, round);
        let Some(hash) = quorum_hash(&proposals, quorum) else {
            return;
        };
        let Some(winner) = select_winning_proposal(&proposals, hash) else {
            return;
        };
        let count = proposals.iter().filter(|(_, value)| *value == hash).count();
        if self.try_commit(cx, event, round, hash, Some((winner, count as u64))) {
            cx.count("two_phase_canonical_selection_total{method=\"quorum\"}");
            self.sign(cx, event);
            self.broadcast_claim(cx, event);
        }
    }

    /// Commits an event that is proposing in this very round: because of proposals that were counted, or of a claim.
    /// (S0-57)
    fn try_commit(
        &mut self,
        cx: Cx<'_, '_>,
        event: InstanceId,
        round: Round,
        hash: Hash32,
        counted: Option<(NodeId, u64)>,
    ) -> bool {
        let quorum = Self::quorum(cx.env());
        let Some(row) = self.phases.get_mut(&event) else {
            return false;
        };
        if row.phase != EventPhase::Proposing
            || row.rounds.round != round
            || row.canonical_hash.is_some()
        {
            return false;
        }
        row.canonical_hash = Some(hash);
        let told = |kind| Event::new(kind, Some(event), round).value(Some(hash));
        if let Some((winner, count)) = counted {
            cx.emit(Level::Protocol, || {
                let reached = told(EventKind::QuorumReached(PROPOSALS_METER)).peer(winner);
                reached.count(count, quorum.need() as u64, quorum.total() as u64)
            });
        }
        cx.emit(Level::Decisions, || match counted {
            Some(_) => told(EventKind::Decided),
            None => told(EventKind::FastForwarded),
        });
        cx.record(Record {
            kind: RecordKind::Decided,
            instance: event,
            value: Some(hash),
            round,
        });
        cx.cancel_timer(Timer::Round(event, round));
        self.set_phase(cx, event, EventPhase::Committed);
        self.tell_clients(
            cx,
            event,
            &Reply::Decided {
                tx_template_hash: hash,
                locks: 0,
            },
        );
        let after = Duration::from_ms(cx.env().config.gc_after_ms);
        cx.set_timer(Timer::Gc(event), after);
        true
    }

    /// Signs the committed template if its inputs are there. (S0-80)
    fn sign(&mut self, cx: Cx<'_, '_>, event: InstanceId) -> bool {
        let env = cx.env();
        let Some(row) = self.phases.get(&event) else {
            return false;
        };
        let (Some(hash), round) = (row.canonical_hash, row.rounds.round) else {
            return false;
        };
        let Some(pskt) = self.templates.get(&(event, hash)) else {
            return false;
        };
        if env.config.revalidate_inputs_on_commit && !self.chain.has_inputs(pskt) {
            // S0-F18: committed to what it will not sign.
            cx.emit(Level::Protocol, || {
                Event::new(EventKind::Deferred, Some(event), round).value(Some(hash))
            });
            return false;
        }
        if self.signatures.get(&event) != Some(&hash) {
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
        let preimage = partial_preimage(&env.genesis, event, &hash);
        let partial = env.signer.sign(&preimage);
        self.live_mut(event).partials.insert(env.id, partial);
        true
    }

    /// Says that the event is committed, once. (S0-76)
    fn broadcast_claim(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        if let Some(message) = self.claim(cx, event) {
            cx.send(To::All, message);
        }
        self.try_report(cx, event);
    }

    /// `EventStateBroadcast(Committed)`: this node's word, and the signatures that it knows. (S0-67)
    fn claim(&self, cx: Cx<'_, '_>, event: InstanceId) -> Option<Message> {
        let row = self.phases.get(&event)?;
        let hash = row.canonical_hash?;
        let round = row.rounds.round;
        let partials = self.live.get(&event).map(|live| &live.partials);
        Some(Message::EventStateBroadcast(EventStateBroadcast {
            event_id: event,
            tx_template_hash: hash,
            state: EventCrdtState {
                signing_material: self.events.get(&event)?.clone(),
                kpsbt_blob: codec::encode(self.templates.get(&(event, hash))?),
                signatures: partials
                    .into_iter()
                    .flatten()
                    .map(|(signer, part)| (*signer, *part))
                    .collect(),
            },
            sender_peer_id: cx.id(),
            phase_context: PhaseContext {
                round,
                phase: row.phase,
                kaspa_anchor: Some(KaspaAnchorRef {
                    tip_score: self.chain.tip_score(),
                    tip_hash: None,
                }),
            },
            // The document has none: nothing but the sender's word.
            certificate: Certificate {
                ballot: Ballot {
                    instance: event,
                    round,
                    kind: VoteKind::Precommit,
                    value: Some(hash),
                },
                signatures: Vec::new(),
            },
        }))
    }

    /// Somebody says that an event is committed. (S0-78, S0-79)
    pub(super) fn handle_crdt_broadcast(&mut self, cx: Cx<'_, '_>, commit: &EventStateBroadcast) {
        let (event, hash) = (commit.event_id, commit.tx_template_hash);
        let known = self.phases.get(&event).and_then(|row| row.canonical_hash);
        let is_news = known.is_none();
        match known {
            Some(known) if known != hash => {
                return cx.count("two_phase_conflicting_commits_total");
            }
            Some(_) => {}
            None => {
                let round = commit.phase_context.round;
                // S0-F7: believed. S0-F8: only in this phase and round.
                if !self.try_commit(cx, event, round, hash, None) {
                    return;
                }
                cx.count("two_phase_fast_forwards_total");
                if let Ok(pskt) = codec::decode(&commit.state.kpsbt_blob) {
                    self.keep_template(event, hash, pskt);
                }
            }
        }
        if self.phase(&event) != EventPhase::Committed {
            return;
        }
        let own = cx.id();
        let live = self.live_mut(event);
        let others = commit.state.signatures.iter();
        for (signer, partial) in others.filter(|(signer, _)| *signer != own) {
            live.partials.insert(*signer, *partial);
        }
        let signs_now = !live.partials.contains_key(&own) && self.sign(cx, event);
        if signs_now || is_news {
            self.broadcast_claim(cx, event);
        } else {
            self.try_report(cx, event);
        }
    }
}
