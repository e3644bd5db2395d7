//! What a participant's leader does: vote, apply the outcome, and say so. (S4-20, S4-25, S4-28)

use super::command::{Command, Part, Reason, Side, TxnId};
use super::machine::{Client, Txn, TxnPhase};
use super::{Cx, Message, Sharded2pc, flaws};
use crate::engine::To;
use crate::types::{ClientId, GroupId, NodeId};

impl Sharded2pc {
    pub(super) fn on_prepare_request(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        cluster: GroupId,
        id: TxnId,
        part: Part,
    ) {
        if self.serving().is_none() {
            return self.redirect(cx, from);
        }
        if self.machine.transaction(id).is_none() && !self.machine.is_old(id) {
            self.remember_asker(id, from);
            let coordinator = cluster;
            let side = Side::Participant { coordinator };
            self.propose(cx, Command::Prepare { id, part, side });
            return;
        }
        self.answer_vote(cx, from, id);
    }

    /// The vote as it stands.
    fn answer_vote(&mut self, cx: Cx<'_, '_>, to: NodeId, id: TxnId) {
        let result = match self.machine.transaction(id) {
            Some(txn) if txn.side.coordinates() => return,
            Some(txn) => match txn.phase {
                TxnPhase::Prepared(vote) => vote,
                TxnPhase::Committed => Ok(()),
                TxnPhase::Aborted(reason) => Err(reason),
            },
            None if self.machine.is_old(id) => Err(Reason::Old),
            None => return,
        };
        cx.send(To::Node(to), Message::TwoPCPrepareReply { id, result });
    }

    pub(super) fn on_commit_request(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        cluster: GroupId,
        id: TxnId,
        clients: &[(ClientId, Client)],
    ) {
        if self.serving().is_none() {
            return self.redirect(cx, from);
        }
        let restored = cx.env().flaws;
        match self.machine.transaction(id).cloned() {
            Some(txn) if !is_asked_by(&txn, cluster) => {}
            Some(txn) if !flaws::knows(restored, self.work(&txn)) => {}
            Some(txn) if txn.phase == TxnPhase::Prepared(Ok(())) => {
                self.remember_asker(id, from);
                let (seq, clients) = (txn.seq, clients.to_vec());
                self.propose(cx, Command::Commit { id, seq, clients });
                if flaws::acks_at_once(restored) {
                    cx.send(To::Node(from), Message::TwoPCCommitReply { id });
                }
            }
            Some(txn) if txn.phase == TxnPhase::Committed => {
                cx.send(To::Node(from), Message::TwoPCCommitReply { id });
            }
            // Applied, and forgotten since.
            None if self.machine.is_old(id) => {
                cx.send(To::Node(from), Message::TwoPCCommitReply { id });
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn on_abort_request(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        cluster: GroupId,
        id: TxnId,
        reason: Reason,
    ) {
        if self.serving().is_none() {
            return self.redirect(cx, from);
        }
        let row = self.machine.transaction(id).cloned();
        let restored = cx.env().flaws;
        let stands = |txn: &Txn| match txn.phase {
            TxnPhase::Committed => flaws::first_outcome_stands(restored),
            phase => phase.is_outcome(),
        };
        match &row {
            Some(txn) if !is_asked_by(txn, cluster) => {}
            Some(txn) if !flaws::knows(restored, self.work(txn)) => {}
            Some(txn) if stands(txn) => {
                cx.send(To::Node(from), Message::TwoPCAbortReply { id });
            }
            None if self.machine.is_old(id) => {
                cx.send(To::Node(from), Message::TwoPCAbortReply { id });
            }
            None if !flaws::leaves_a_tombstone(restored) => {
                cx.send(To::Node(from), Message::TwoPCAbortReply { id });
            }
            // Of one that is not known, a tombstone: its P may still be on the way. (S4-F11)
            Some(_) | None => {
                self.remember_asker(id, from);
                let coordinator = cluster;
                let abort = Command::Abort {
                    id,
                    seq: row.as_ref().map_or(0, |txn| txn.seq),
                    reason,
                    side: Side::Participant { coordinator },
                    last: false,
                };
                self.propose(cx, abort);
            }
        }
    }

    fn remember_asker(&mut self, id: TxnId, from: NodeId) {
        if let Some(leading) = &mut self.leading {
            leading.askers.insert(id, from);
        }
    }

    /// Says what an entry came to, to whoever asked for it.
    pub(super) fn answer_asker(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        let Some(to) = self
            .leading
            .as_mut()
            .and_then(|leading| leading.askers.remove(&id))
        else {
            return;
        };
        let Some(txn) = self.machine.transaction(id).cloned() else {
            return self.answer_vote(cx, to, id);
        };
        if txn.side.coordinates() {
            return;
        }
        match txn.phase {
            TxnPhase::Prepared(_) => self.answer_vote(cx, to, id),
            TxnPhase::Committed => cx.send(To::Node(to), Message::TwoPCCommitReply { id }),
            TxnPhase::Aborted(_) => cx.send(To::Node(to), Message::TwoPCAbortReply { id }),
        }
    }
}

/// Whether a cluster is the one that decides a transaction of which this one is the participant. (S4-F30)
fn is_asked_by(txn: &Txn, cluster: GroupId) -> bool {
    !txn.side.coordinates() && txn.side.other() == cluster
}
