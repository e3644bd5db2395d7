//! What the node does that the configuration names as the participant's leader: `TwoPCPrepare`, `TwoPCCommit`,
//! `TwoPCAbort`.

use super::super::command::Side;
use super::{Command, Cx, Message, Outcome, Part, Reason, Stage, TxnId, Written};
use crate::engine::To;
use crate::protocol::sharded_2pc::Timer;
use crate::types::NodeId;

impl Written {
    /// Locks the item and logs P, leader or not. (S4-20, S4-F1)
    pub(super) fn two_pc_prepare(&mut self, cx: Cx<'_, '_>, from: NodeId, id: TxnId, part: Part) {
        let refusal = match part {
            Part::Credit { item, .. } if self.locks.contains_key(&item) => Some(Reason::Locked),
            _ if self.transactions.contains_key(&id) => Some(Reason::Locked),
            Part::Credit { .. } => None,
            _ => Some(Reason::Invalid),
        };
        if let Some(reason) = refusal {
            let result = Err(reason);
            return cx.send(To::Node(from), Message::TwoPCPrepareReply { id, result });
        }
        let mut txn = self.transaction(cx, Stage::Participating, part);
        txn.peer = from;
        self.locks.insert(part.item(), id);
        self.transactions.insert(id, txn);
        Self::set_timer(cx, id);
        let coordinator = cx.env().keyring.group_of(from).unwrap_or_default();
        let side = Side::Participant { coordinator };
        self.process_as_leader(cx, Command::Prepare { id, part, side }, 0);
    }

    /// "prepared", or why not. (S4-19, S4-58)
    pub(super) fn answer_prepare(&mut self, cx: Cx<'_, '_>, id: TxnId, result: Outcome) {
        cx.cancel_timer(Timer::Prepare(id));
        if let Some(txn) = self.transactions.get(&id) {
            cx.send(
                To::Node(txn.peer),
                Message::TwoPCPrepareReply { id, result },
            );
        }
    }

    /// P found no majority here; what is locked stays so until the coordinator says how it ends.
    pub(super) fn refuse_prepare(&mut self, cx: Cx<'_, '_>, id: TxnId, reason: Reason) {
        if self.transactions.get(&id).is_some_and(|txn| !txn.prepared) {
            self.answer_prepare(cx, id, Err(reason));
        }
    }

    /// Logs C in the seq of P, waits for nobody, and acknowledges. (S4-25, S4-F21)
    pub(super) fn two_pc_commit(&mut self, cx: Cx<'_, '_>, from: NodeId, id: TxnId) {
        // S4-F10: a node that knows of no such transaction cannot commit it.
        let Some(seq) = self.participating(id) else {
            return;
        };
        let clients = alloc::vec::Vec::new();
        self.log_outcome(cx, Command::Commit { id, seq, clients }, true);
        cx.send(To::Node(from), Message::TwoPCCommitReply { id });
    }

    /// Logs A in the seq of P, and acknowledges. (S4-28, S4-29)
    pub(super) fn two_pc_abort(&mut self, cx: Cx<'_, '_>, from: NodeId, id: TxnId, reason: Reason) {
        // S4-F11: of a transaction that is not known nothing is noted, so that its P may still come.
        if let Some(seq) = self.participating(id) {
            let coordinator = cx.env().keyring.group_of(from).unwrap_or_default();
            let abort = Command::Abort {
                id,
                seq,
                reason,
                side: Side::Participant { coordinator },
                last: true,
            };
            self.log_outcome(cx, abort, false);
        }
        cx.send(To::Node(from), Message::TwoPCAbortReply { id });
    }

    fn participating(&self, id: TxnId) -> Option<u64> {
        let txn = self.transactions.get(&id)?;
        (txn.stage == Stage::Participating).then_some(txn.prepare_seq)
    }

    fn log_outcome(&mut self, cx: Cx<'_, '_>, command: Command, is_commit: bool) {
        let id = command.id();
        let seq = match &command {
            Command::Commit { seq, .. } | Command::Abort { seq, .. } => *seq,
            _ => 0,
        };
        let seq = self.process_as_leader(cx, command.clone(), seq);
        self.broadcast_commit(cx, seq, Some(command));
        self.tell_end(cx, id, is_commit);
        cx.cancel_timer(Timer::Prepare(id));
        if let Some(txn) = self.transactions.remove(&id) {
            self.unlock(txn.part.item(), id);
        }
    }
}
