//! Rounds that end without a decision: backoff, withdrawal, and the proof that ends an event.

use super::config::STATE_SYNC_COOLDOWN_MS;
use super::flaws::{self, Source};
use super::message::{Message, SigningEvent};
use super::phase::EventPhase;
use super::{Cx, Outcome, Reply, Timer, TwoPhase};
use crate::certificate::Certificate;
use crate::engine::{Env, To};
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::types::{Duration, InstanceId, NodeId, Round};
use crate::votes::{Ballot, Vote, VoteKind};

fn abandon_ballot(event: InstanceId) -> Ballot {
    Ballot {
        instance: event,
        round: Round(0),
        kind: VoteKind::Abandon,
        value: None,
    }
}

/// This node's withdrawal: the same bytes whenever it is made.
pub(super) fn abandon_vote(env: &Env<TwoPhase>, event: InstanceId) -> Vote {
    abandon_ballot(event).sign(env)
}

impl TwoPhase {
    /// The round is over. (S0-82)
    pub(super) fn on_round_timeout(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round) {
        // The last look: votes may have become countable since.
        self.evaluate(cx, event);
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        if row.phase != EventPhase::Proposing || row.rounds.round != round {
            return;
        }
        let (Some(next), max_retries) =
            (row.rounds.next_round(), cx.env().config.retry.max_retries)
        else {
            return;
        };
        let is_locked = row.rounds.locked.is_some();
        let exhausted = row.retry_count >= max_retries
            && (is_locked || !self.is_decision_in_sight(cx.env(), event, round));
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        row.retry_count = row.retry_count.saturating_add(1);
        let retries = row.retry_count;
        cx.count("two_phase_proposal_timeouts_total");
        self.cancel_round(cx, event, round);
        self.enter_phase(cx, event, EventPhase::Failed);
        self.enter_round(cx.env(), event, next);
        if exhausted && flaws::may_withdraw(cx.env().flaws, is_locked) {
            self.withdraw(cx, event);
        } else {
            self.arm_retry(cx, event, next, retries);
        }
    }

    /// Whether staying may still bring a decision: a quorum of proposals or a lock is known, so that some member may be bound
    /// already, and enough members voted in this round or the one before and did not withdraw. Whoever left now could leave
    /// those that locked one short for good.
    fn is_decision_in_sight(&self, env: &Env<TwoPhase>, event: InstanceId, round: Round) -> bool {
        let (Some(row), Some(live)) = (self.phases.get(&event), self.live.get(&event)) else {
            return false;
        };
        let mut rounds = live.votes.rounds();
        let is_some_locked =
            rounds.any(|at| live.votes.of(at, VoteKind::Precommit).next().is_some());
        let is_bound = row.rounds.valid.is_some() || !live.told.is_empty() || is_some_locked;
        // Whoever waits longer between rounds is not gone.
        let heard = live.votes.members_from(Round(round.0.saturating_sub(1)));
        let stay = heard.iter().filter(|member| {
            live.votes
                .by(Round(0), VoteKind::Abandon, **member)
                .is_none()
        });
        is_bound && Self::quorum(env).is_reached(stay.count() as u128)
    }

    /// Backoff with jitter; the delay grows with the rounds that timed out here. (S0-20, S0-21, S0-F33)
    pub(super) fn arm_retry(
        &mut self,
        cx: Cx<'_, '_>,
        event: InstanceId,
        round: Round,
        retries: u32,
    ) {
        let env = cx.env();
        let retry = &env.config.retry;
        let drawn = Duration(cx.below(Duration::from_ms(retry.jitter_ms).0 + 1));
        let jitter = flaws::jitter(env.flaws, drawn);
        cx.set_timer(
            Timer::Retry(event, round),
            retry.delay_for_retry(retries.saturating_sub(1)) + jitter,
        );
    }

    /// Backoff is over. (S0-83, S0-F5)
    pub(super) fn on_retry(&mut self, cx: Cx<'_, '_>, event: InstanceId, round: Round) {
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let is_due = row.phase == EventPhase::Failed && row.rounds.round == round && !row.withdrawn;
        if is_due && flaws::reenters(cx.env().flaws) {
            self.enter_phase(cx, event, EventPhase::Proposing);
            self.begin_round(cx, event);
        }
    }

    /// Withdraws this node from an event that it never locked; from now on it never will.
    fn withdraw(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        assert!(
            row.rounds.locked.is_none() || !cx.env().is_hardened(),
            "a node that locked may have decided the event for others"
        );
        row.withdrawn = true;
        let round = row.rounds.round;
        self.enter_phase(cx, event, EventPhase::Abandoned);
        self.unreserve(event);
        cx.count("two_phase_events_abandoned_total");
        cx.emit(Level::Decisions, || {
            Event::new(EventKind::Withdrew, Some(event), round)
        });
        cx.record(Record {
            kind: RecordKind::Withdrew,
            instance: event,
            value: None,
            round,
        });
        let vote = abandon_vote(cx.env(), event);
        self.live_mut(event).votes.add(vote);
        self.send_withdrawals(cx, event);
        self.count_withdrawals(cx, event);
    }

    /// Sends every withdrawal that this node knows of.
    pub(super) fn send_withdrawals(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        if let Some(message) = self.withdrawals_message(event) {
            cx.send(To::All, message);
        }
    }

    pub(super) fn withdrawals_message(&self, event: InstanceId) -> Option<Message> {
        let votes = self.live.get(&event)?.votes.of(Round(0), VoteKind::Abandon);
        let signatures: alloc::vec::Vec<_> =
            votes.map(|vote| (vote.signer, vote.signature)).collect();
        if signatures.is_empty() {
            return None;
        }
        let certificate = Certificate {
            ballot: abandon_ballot(event),
            signatures,
        };
        Some(Message::Abandon {
            certificate,
            signing_material: self.events.get(&event)?.clone(),
        })
    }

    /// Withdrawals came.
    pub(super) fn on_abandon(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        withdrawals: &Certificate,
        body: &SigningEvent,
    ) {
        let event = withdrawals.ballot.instance;
        if matches!(self.outcomes.get(&event), Some(Outcome::Abandon(_)))
            && Self::quorum(cx.env())
                .blocking()
                .is_reached(withdrawals.signatures.len() as u128)
        {
            return;
        }
        if self.answer_if_ended(cx, from, event) {
            return;
        }
        self.learn(cx, body, event, Source::Peer(Round(0), None));
        if !self.events.contains(&event) {
            // There was no room for it.
            return;
        }
        for vote in withdrawals.votes() {
            self.live_mut(event).votes.add(vote);
        }
        self.count_withdrawals(cx, event);
    }

    /// n - q + 1 withdrawals end the event: no quorum of locks can ever form. (S0-08, S0-59)
    fn count_withdrawals(&mut self, cx: Cx<'_, '_>, event: InstanceId) {
        let blocking = Self::quorum(cx.env()).blocking();
        let Some(live) = self.live.get(&event) else {
            return;
        };
        let votes = live.votes.of(Round(0), VoteKind::Abandon);
        let Some(certificate) = Certificate::collect(abandon_ballot(event), votes, blocking) else {
            return;
        };
        let count = certificate.signatures.len();
        let Some(row) = self.phases.get(&event) else {
            return;
        };
        let (phase, round) = (row.phase, row.rounds.round);
        self.cancel_round(cx, event, round);
        if phase == EventPhase::Proposing {
            self.enter_phase(cx, event, EventPhase::Failed);
        }
        self.enter_phase(cx, event, EventPhase::Abandoned);
        self.unreserve(event);
        self.outcomes.put(event, Outcome::Abandon(certificate));
        cx.emit(Level::Decisions, || {
            let event = Event::new(EventKind::Abandoned, Some(event), round);
            event.count(
                count as u64,
                blocking.need() as u64,
                blocking.total() as u64,
            )
        });
        cx.record(Record {
            kind: RecordKind::Abandoned,
            instance: event,
            value: None,
            round,
        });
        for (client, number) in core::mem::take(&mut self.live_mut(event).waiting) {
            cx.reply(
                client,
                number,
                Reply::Abandoned {
                    withdrawals: count as u16,
                },
            );
        }
        if let Some(message) = self.outcome_message(cx, event) {
            cx.set_timer(
                Timer::Cooldown(NodeId(0), event),
                Duration::from_ms(STATE_SYNC_COOLDOWN_MS),
            );
            cx.send(To::All, message);
        }
        self.live.remove(&event);
        cx.set_timer(
            Timer::Gc(event),
            Duration::from_ms(cx.env().config.gc_after_ms),
        );
    }
}
