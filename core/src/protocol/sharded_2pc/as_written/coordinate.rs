//! What the leader of the sender's cluster does: `TwoPCCoordinator`.

use super::super::command::Side;
use super::{
    Command, Cx, Item, Message, Outcome, Part, Place, Reason, Reply, Request, Stage, Txn, TxnId,
    Written, configured_leader, is_move,
};
use crate::engine::To;
use crate::paxos::Slot;
use crate::protocol::sharded_2pc::Timer;
use crate::types::{ClientId, GroupId};

impl Written {
    pub(super) fn on_request(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        request: Request,
    ) {
        let place = Place::of(cx.env());
        let fail = |reason| Reply::Failed { reason };
        if !request.is_sound(&place) || is_move(&request) {
            return cx.reply(client, number, fail(Reason::Invalid));
        }
        if !self.leads() {
            return cx.reply(client, number, self.not_leader());
        }
        let home = place.owner(request.item()).unwrap_or(place.cluster);
        if home != place.cluster {
            return cx.reply(client, number, Reply::WrongCluster { cluster: home });
        }
        let (sender, receiver, amount) = match request {
            Request::Transfer {
                sender,
                receiver,
                amount,
            } => (sender, receiver, amount),
            Request::Read { item } | Request::Move { item, .. } => {
                // S4-F23: nobody is asked whether this node still leads; S4-F4: what is not committed is seen.
                let balance = self.balance(cx.env(), item);
                cx.count("sharded_2pc_reads_total");
                return cx.reply(client, number, Reply::Balance { item, balance });
            }
        };
        // S4-F14: the last reply, whichever request it was for.
        if let Some((last, reply)) = self.client_last_reply.get(&client)
            && number <= *last
        {
            return cx.reply(client, number, *reply);
        }
        let there = place.owner(receiver).unwrap_or(place.cluster);
        let id = TxnId {
            client,
            home,
            number,
            attempt: 0,
        };
        let is_here = there == place.cluster;
        let locked = self.locks.contains_key(&sender)
            || is_here && self.locks.contains_key(&receiver)
            || self.transactions.contains_key(&id);
        if locked {
            return cx.reply(client, number, fail(Reason::Locked));
        }
        if is_here {
            let last = true;
            let transfer = Command::Transfer {
                id,
                sender,
                receiver,
                amount,
                last,
            };
            return self.process_as_leader_alone(cx, id, sender, amount, transfer);
        }
        if self.balance(cx.env(), sender) < amount {
            return cx.reply(client, number, fail(Reason::InsufficientBalance));
        }
        self.coordinate(cx, id, sender, there, receiver, amount);
    }

    /// What a client is told that asks the wrong member.
    fn not_leader(&self) -> Reply {
        Reply::NotLeader {
            hint: self.leader.map(|ballot| ballot.node),
            ballot: self.leader.map_or(0, |ballot| ballot.round),
        }
    }

    /// A transfer within the cluster: plain Multi-Paxos. (S4-45)
    fn process_as_leader_alone(
        &mut self,
        cx: Cx<'_, '_>,
        id: TxnId,
        item: Item,
        amount: u64,
        transfer: Command,
    ) {
        let part = Part::Debit { item, amount };
        let txn = self.transaction(cx, Stage::Logging, part);
        self.transactions.insert(id, txn);
        Self::set_timer(cx, id);
        cx.reply(id.client, id.number, Reply::Accepted);
        self.process_as_leader(cx, transfer, 0);
    }

    pub(super) fn transaction(&self, cx: Cx<'_, '_>, stage: Stage, part: Part) -> Txn {
        Txn {
            stage,
            part,
            prepare_seq: 0,
            prepared: false,
            participant_prepared: false,
            old_balance: self.balance(cx.env(), part.item()),
            peer: cx.id(),
            reason: Reason::Unknown,
        }
    }

    /// Locks the sender, logs P, and asks the participant, all at once. (S4-06, S4-10)
    fn coordinate(
        &mut self,
        cx: Cx<'_, '_>,
        id: TxnId,
        sender: Item,
        there: GroupId,
        receiver: Item,
        amount: u64,
    ) {
        let item = sender;
        let part = Part::Debit { item, amount };
        let item = receiver;
        let theirs = Part::Credit { item, amount };
        let mut txn = self.transaction(cx, Stage::Preparing, part);
        // S4-F1: whoever the configuration names.
        txn.peer = configured_leader(cx.env(), there);
        let peer = txn.peer;
        self.locks.insert(sender, id);
        self.transactions.insert(id, txn);
        Self::set_timer(cx, id);
        cx.count("sharded_2pc_cross_shard_transactions_total");
        cx.reply(id.client, id.number, Reply::Accepted);
        let coordinator = Place::of(cx.env()).cluster;
        let ask = Message::TwoPCPrepareRequest {
            id,
            part: theirs,
            coordinator,
        };
        cx.send(To::Node(peer), ask);
        let side = Side::Coordinator {
            participant: there,
            part: Some(theirs),
        };
        self.process_as_leader(cx, Command::Prepare { id, part, side }, 0);
    }

    /// An entry of one's own was committed, and executed.
    pub(super) fn on_logged(&mut self, cx: Cx<'_, '_>, seq: Slot, command: &Command) {
        let id = command.id();
        let result = self.results.get(&seq).copied().unwrap_or(Ok(()));
        let Some(txn) = self.transactions.get_mut(&id) else {
            return;
        };
        match (command, txn.stage) {
            (Command::Transfer { .. }, Stage::Logging) => self.end_transfer(cx, id, result),
            (Command::Prepare { .. }, Stage::Preparing) => {
                txn.prepare_seq = seq;
                txn.prepared = result.is_ok();
                match result {
                    Ok(()) => self.commit_if_prepared(cx, id),
                    Err(reason) => self.coordinator_abort(cx, id, reason),
                }
            }
            (Command::Prepare { .. }, Stage::Participating) => {
                txn.prepare_seq = seq;
                txn.prepared = result.is_ok();
                self.answer_prepare(cx, id, result);
            }
            (Command::Commit { .. }, Stage::Committing) => {
                txn.stage = Stage::TellingCommit;
                let to = To::Node(txn.peer);
                Self::set_timer(cx, id);
                let clients = alloc::vec::Vec::new();
                cx.send(to, Message::TwoPCCommitRequest { id, clients });
            }
            (Command::Abort { .. }, Stage::Aborting) => self.tell_abort(cx, id),
            _ => {}
        }
    }

    pub(super) fn on_prepare_reply(&mut self, cx: Cx<'_, '_>, id: TxnId, result: Outcome) {
        let Some(txn) = self.transactions.get_mut(&id) else {
            return;
        };
        if txn.stage != Stage::Preparing {
            return;
        }
        match result {
            Ok(()) => {
                txn.participant_prepared = true;
                self.commit_if_prepared(cx, id);
            }
            // S4-F12: the own P may be on its way.
            Err(reason) => self.coordinator_abort(cx, id, reason),
        }
    }

    /// Waits for both, then logs C in the seq of P. (S4-21, S4-23)
    fn commit_if_prepared(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        let Some(txn) = self.transactions.get_mut(&id) else {
            return;
        };
        if !(txn.prepared && txn.participant_prepared) {
            return;
        }
        txn.stage = Stage::Committing;
        let seq = txn.prepare_seq;
        Self::set_timer(cx, id);
        let clients = alloc::vec::Vec::new();
        self.process_as_leader(cx, Command::Commit { id, seq, clients }, seq);
    }

    /// Logs A in the seq of P, if that is known. (S4-28, S4-59)
    pub(super) fn coordinator_abort(&mut self, cx: Cx<'_, '_>, id: TxnId, reason: Reason) {
        let Some(txn) = self.transactions.get_mut(&id) else {
            return;
        };
        txn.stage = Stage::Aborting;
        txn.reason = reason;
        let seq = txn.prepare_seq;
        let participant = cx.env().keyring.group_of(txn.peer).unwrap_or_default();
        let side = Side::Coordinator {
            participant,
            part: None,
        };
        let last = true;
        Self::set_timer(cx, id);
        let abort = Command::Abort {
            id,
            seq,
            reason,
            side,
            last,
        };
        self.process_as_leader(cx, abort, seq);
    }

    pub(super) fn tell_abort(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        let Some(txn) = self.transactions.get_mut(&id) else {
            return;
        };
        txn.stage = Stage::TellingAbort;
        let (to, reason) = (To::Node(txn.peer), txn.reason);
        Self::set_timer(cx, id);
        cx.send(to, Message::TwoPCAbortRequest { id, reason });
    }

    /// The participant knows, or does not answer: nobody tells it again. (S4-26, S4-28, S4-F26)
    pub(super) fn on_told(&mut self, cx: Cx<'_, '_>, id: TxnId, stage: Stage) {
        if self
            .transactions
            .get(&id)
            .is_some_and(|txn| txn.stage == stage)
        {
            self.cleanup_2pc_coordinator(cx, id, stage == Stage::TellingCommit);
        }
    }

    /// Unlocks and answers. (S4-26, S4-60)
    fn cleanup_2pc_coordinator(&mut self, cx: Cx<'_, '_>, id: TxnId, commit: bool) {
        let Some(txn) = self.transactions.remove(&id) else {
            return;
        };
        let item = txn.part.item();
        // S4-F18: `handle_2pc_phase` put it back already.
        if !commit && self.balance(cx.env(), item) != txn.old_balance {
            self.restore(cx, id, item, txn.old_balance);
        }
        cx.cancel_timer(Timer::Prepare(id));
        self.tell_end(cx, id, commit);
        self.tell_done(cx, id);
        self.unlock(item, id);
        let reply = if commit {
            let reply = Reply::Success { txn: id };
            self.client_last_reply.insert(id.client, (id.number, reply));
            reply
        } else {
            Reply::Failed { reason: txn.reason }
        };
        cx.reply(id.client, id.number, reply);
    }

    pub(super) fn unlock(&mut self, item: Item, id: TxnId) {
        if self.locks.get(&item) == Some(&id) {
            self.locks.remove(&item);
        }
    }

    /// A transfer within the cluster is executed, or was not logged in time.
    pub(super) fn end_transfer(&mut self, cx: Cx<'_, '_>, id: TxnId, outcome: Outcome) {
        self.transactions.remove(&id);
        cx.cancel_timer(Timer::Prepare(id));
        let reply = match outcome {
            Ok(()) => {
                let reply = Reply::Success { txn: id };
                self.client_last_reply.insert(id.client, (id.number, reply));
                reply
            }
            Err(reason) => {
                self.tell_end(cx, id, false);
                Reply::Failed { reason }
            }
        };
        cx.reply(id.client, id.number, reply);
    }
}
