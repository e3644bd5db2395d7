//! What a coordinator's leader does: log P and ask, decide, and see to it that the outcome is known. (S4-10 .. S4-29)

use alloc::vec::Vec;

use super::command::{Command, Part, Reason, Side, TxnId};
use super::config::Place;
use super::flaws::{self, Work};
use super::machine::{Applied, Txn, TxnPhase};
use super::{Cx, Message, Request, Sharded2pc, Timer};
use crate::engine::To;
use crate::paxos::Ballot;
use crate::types::{ClientId, Duration, GroupId, NodeId};

const OUTCOMES: [&str; 2] = ["C", "A"];

impl Sharded2pc {
    /// The name of the next attempt at a request.
    pub(super) fn next_attempt(&self, home: GroupId, client: ClientId, number: u64) -> TxnId {
        let known = self.machine.client(client, home);
        let known = known.filter(|known| known.number == number && known.home == home);
        TxnId {
            client,
            home,
            number,
            attempt: known.map_or(0, |known| known.attempt.saturating_add(1)),
        }
    }

    /// Begins the next attempt at a request that a client waits for, unless one is under way.
    pub(super) fn begin(&mut self, cx: Cx<'_, '_>, client: ClientId, number: u64) {
        self.begin_attempt(cx, client, number, false);
    }

    /// The same; `is_anew` also while an earlier attempt is under way. (S4-F16)
    pub(super) fn begin_attempt(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        is_anew: bool,
    ) {
        let id = self.next_attempt(Place::of(cx.env()).cluster, client, number);
        let Some(leading) = self.serving() else {
            return;
        };
        let Some(request) = leading.waiting.get(&(client, number)).copied() else {
            return;
        };
        let of_request = |(id, _): &(TxnId, &str)| (id.client, id.number) == (client, number);
        if leading.proposed.iter().any(of_request) || cx.is_timer_set(Timer::Retry(id)) {
            return;
        }
        if let Some(before) = id.attempt.checked_sub(1)
            && !is_anew
        {
            let before = TxnId {
                attempt: before,
                ..id
            };
            let row = self.machine.transaction(before);
            if row.is_some_and(|txn| !txn.phase.is_outcome()) {
                return;
            }
        }
        if !self.is_home(cx, client, number, &request) {
            if let Some(leading) = &mut self.leading {
                leading.waiting.remove(&(client, number));
            }
            return;
        }
        match request {
            Request::Read { .. } => {}
            Request::Transfer {
                sender,
                receiver,
                amount,
            } => {
                let place = Place::of(cx.env());
                let there = self.machine.home(&place, receiver).unwrap_or(place.cluster);
                if there == place.cluster {
                    let last = id.attempt >= cx.env().config.lock_retries;
                    let transfer = Command::Transfer {
                        id,
                        sender,
                        receiver,
                        amount,
                        last,
                    };
                    self.propose(cx, transfer);
                    return;
                }
                let (debit, credit) = (
                    Part::Debit {
                        item: sender,
                        amount,
                    },
                    Part::Credit {
                        item: receiver,
                        amount,
                    },
                );
                self.prepare_both(cx, id, debit, there, Some(credit));
            }
            Request::Move { item, to } => {
                self.prepare_both(cx, id, Part::Leave { item, to }, to, None);
            }
        }
    }

    /// Logs P here, and asks the participant at once. (S4-10, S4-63)
    fn prepare_both(
        &mut self,
        cx: Cx<'_, '_>,
        id: TxnId,
        own: Part,
        participant: GroupId,
        theirs: Option<Part>,
    ) {
        let side = Side::Coordinator {
            participant,
            part: theirs,
        };
        let prepare = Command::Prepare {
            id,
            part: own,
            side,
        };
        if self.propose(cx, prepare) {
            cx.count("sharded_2pc_cross_shard_transactions_total");
            cx.set_timer(Timer::Prepare(id), cx.env().config.prepare_timeout());
            if let Some(part) = theirs {
                self.ask_prepare(cx, id, participant, part, false);
            }
        }
    }

    fn ask_prepare(
        &mut self,
        cx: Cx<'_, '_>,
        id: TxnId,
        participant: GroupId,
        part: Part,
        everybody: bool,
    ) {
        let coordinator = Place::of(cx.env()).cluster;
        let ask = Message::TwoPCPrepareRequest {
            id,
            part,
            coordinator,
        };
        self.tell(cx, participant, ask, everybody);
    }

    /// Says something to another cluster: to its leader, where that is known, or to everybody. (S4-41, S4-67)
    pub(super) fn tell(
        &mut self,
        cx: Cx<'_, '_>,
        cluster: GroupId,
        message: Message,
        everybody: bool,
    ) {
        let known = self.leaders.get(&cluster).filter(|_| !everybody);
        let known = known.map(|ballot| ballot.node);
        let configured = cx.env().keyring.group(cluster).next();
        let whom = flaws::whom(cx.env().flaws, known, configured);
        cx.send(whom.map_or(To::Group(cluster), To::Node), message);
    }

    /// Takes up what was under way when this member came to lead. (S4-F3)
    pub(super) fn resume(&mut self, cx: Cx<'_, '_>) {
        if let Some(leading) = &mut self.leading {
            leading.resumed = true;
        }
        for id in self.unfinished(cx) {
            self.drive(cx, id, true);
        }
        self.begin_waiting(cx);
        self.ask_reads(cx);
    }

    /// Transactions of which something is still to be done here, by name.
    fn unfinished(&self, cx: Cx<'_, '_>) -> Vec<TxnId> {
        let restored = cx.env().flaws;
        let is_open = |txn: &Txn| {
            let is_told = txn.acked || !txn.side.coordinates();
            let is_over = txn.phase.is_outcome() && is_told;
            !is_over && flaws::takes_up(restored, self.work(txn))
        };
        let rows = self.machine.transactions();
        rows.filter(|(_, txn)| is_open(txn))
            .map(|(id, _)| id)
            .collect()
    }

    /// Whose work a transaction is: of this leader, if its P is in a slot of its own.
    pub(super) fn work(&self, txn: &Txn) -> Work {
        let is_own = self.paxos.first_own().is_some_and(|first| txn.seq >= first);
        if is_own { Work::Own } else { Work::Inherited }
    }

    fn begin_waiting(&mut self, cx: Cx<'_, '_>) {
        let waiting = self
            .serving()
            .map(|leading| leading.waiting.keys().copied().collect());
        let waiting: Vec<(ClientId, u64)> = waiting.unwrap_or_default();
        for (client, number) in waiting {
            if !self.answer(cx, client, number) {
                self.begin(cx, client, number);
            }
        }
    }

    /// What a leader does upon an entry that it applied.
    pub(super) fn react(&mut self, cx: Cx<'_, '_>, id: TxnId, applied: Applied) {
        let is_answered = self.answer(cx, id.client, id.number);
        match applied {
            Applied::InTheWay(id) => self.retry_later(cx, id),
            Applied::Voted(_) | Applied::Ended(_) => {
                if matches!(applied, Applied::Ended(_)) {
                    self.forget(cx, id);
                }
                self.answer_asker(cx, id);
                self.drive(cx, id, false);
                let ended = self.machine.transaction(id);
                let is_over = ended.is_some_and(|txn| {
                    txn.side.coordinates() && matches!(txn.phase, TxnPhase::Aborted(_))
                });
                if is_over && !is_answered {
                    self.retry_later(cx, id);
                }
            }
            Applied::Elsewhere(id) => {
                cx.cancel_timer(Timer::Prepare(id));
                self.send_elsewhere(cx, id.client, id.number);
            }
            Applied::Nothing => self.answer_asker(cx, id),
            Applied::Answered(..) | Applied::Acked(_) => {}
        }
    }

    /// Another attempt follows, after a pause of which nobody knows how long it is. (S4-F25)
    fn retry_later(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        let is_waiting = self
            .serving()
            .is_some_and(|leading| leading.waiting.contains_key(&(id.client, id.number)));
        if is_waiting {
            let pause_us = 1_000 * cx.env().config.lock_retry_ms;
            let drawn = Duration::from_us(cx.below(pause_us));
            let jitter = flaws::jitter(cx.env().flaws, drawn);
            let pause = Duration(Duration::from_us(pause_us).0 + jitter.0);
            let next = self.next_attempt(id.home, id.client, id.number);
            cx.set_timer(Timer::Retry(next), pause);
            cx.count("sharded_2pc_lock_retries_total");
        }
    }

    /// Drops what was kept of a transaction until its outcome.
    fn forget(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        cx.cancel_timer(Timer::Prepare(id));
        if let Some(leading) = &mut self.leading {
            leading.votes.remove(&id);
            leading.doubts.remove(&id);
        }
    }

    /// Does what is next for a transaction.
    fn drive(&mut self, cx: Cx<'_, '_>, id: TxnId, everybody: bool) {
        let Some(txn) = self.machine.transaction(id).cloned() else {
            return;
        };
        let Side::Coordinator { participant, .. } = txn.side else {
            return;
        };
        match txn.phase {
            TxnPhase::Prepared(vote) => self.decide(cx, id, &txn, vote, everybody),
            TxnPhase::Committed if !txn.acked => {
                let clients = txn.clients;
                let message = Message::TwoPCCommitRequest { id, clients };
                self.tell(cx, participant, message, everybody);
            }
            TxnPhase::Aborted(reason) if !txn.acked => {
                let message = Message::TwoPCAbortRequest { id, reason };
                self.tell(cx, participant, message, everybody);
            }
            TxnPhase::Committed | TxnPhase::Aborted(_) => {}
        }
    }

    /// Logs the outcome once both votes are known, or a no. (S4-21)
    fn decide(
        &mut self,
        cx: Cx<'_, '_>,
        id: TxnId,
        txn: &Txn,
        vote: Result<(), Reason>,
        everybody: bool,
    ) {
        let Some(leading) = self.serving() else {
            return;
        };
        if OUTCOMES
            .iter()
            .any(|marker| leading.proposed.contains(&(id, *marker)))
        {
            return;
        }
        let theirs = leading.votes.get(&id).copied();
        let theirs = theirs.filter(|(cluster, _)| *cluster == txn.side.other());
        match (vote, theirs.map(|(_, theirs)| theirs)) {
            (Ok(()), Some(Ok(()))) => {
                let (seq, clients) = (txn.seq, Vec::new());
                let commit = Command::Commit { id, seq, clients };
                self.propose(cx, commit);
            }
            (Err(reason), _) | (Ok(()), Some(Err(reason))) => self.log_abort(cx, id, txn, reason),
            (Ok(()), None) if !flaws::waits_for_both(cx.env().flaws) => {
                let (seq, clients) = (txn.seq, Vec::new());
                self.propose(cx, Command::Commit { id, seq, clients });
            }
            (Ok(()), None) => {
                if !cx.is_timer_set(Timer::Prepare(id)) {
                    cx.set_timer(Timer::Prepare(id), cx.env().config.prepare_timeout());
                }
                // Upon P the participant was asked already, unless it had to be known what the item holds.
                let is_known = matches!(txn.side, Side::Coordinator { part: Some(_), .. });
                if let Some((participant, part)) = txn.asked()
                    && (everybody || !is_known)
                {
                    self.ask_prepare(cx, id, participant, part, everybody);
                }
            }
        }
    }

    /// Logs A.
    fn log_abort(&mut self, cx: Cx<'_, '_>, id: TxnId, txn: &Txn, reason: Reason) {
        let last = match reason {
            Reason::Locked => id.attempt >= cx.env().config.lock_retries,
            // Whoever began it is gone, and what it began is undone: the request is still to be done.
            Reason::Unknown => false,
            _ => true,
        };
        let abort = Command::Abort {
            id,
            seq: txn.seq,
            reason,
            side: txn.side,
            last,
        };
        self.propose(cx, abort);
    }

    pub(super) fn on_prepare_reply(
        &mut self,
        cx: Cx<'_, '_>,
        cluster: GroupId,
        id: TxnId,
        result: Result<(), Reason>,
    ) {
        if id.home != Place::of(cx.env()).cluster {
            return;
        }
        let is_over = self
            .machine
            .transaction(id)
            .is_some_and(|txn| txn.phase.is_outcome());
        let is_old = self.machine.transaction(id).is_none() && self.machine.is_old(id);
        let Some(leading) = self.serving() else {
            return;
        };
        if is_over || is_old {
            return;
        }
        leading.votes.insert(id, (cluster, result));
        let prepared = self.machine.transaction(id).map(|txn| txn.seq);
        if let (Err(reason), None) = (result, prepared)
            && let Some(seq) = flaws::label_of_abort(cx.env().flaws, prepared)
        {
            let (participant, part) = (cluster, None);
            let abort = Command::Abort {
                id,
                seq,
                reason,
                side: Side::Coordinator { participant, part },
                last: true,
            };
            self.propose(cx, abort);
        }
        self.drive(cx, id, false);
    }

    /// Nobody answered in time. What was decided meanwhile stays. (S4-F26)
    pub(super) fn on_prepare_timeout(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        let Some(leading) = self.serving() else {
            return;
        };
        let is_open = leading.proposed.contains(&(id, "P"));
        match self.machine.transaction(id).cloned() {
            Some(txn) if txn.phase.is_outcome() => {}
            Some(txn) => {
                let Some(leading) = self.serving() else {
                    return;
                };
                if !OUTCOMES
                    .iter()
                    .any(|marker| leading.proposed.contains(&(id, *marker)))
                {
                    self.log_abort(cx, id, &txn, Reason::Timeout);
                } else if flaws::aborts_an_open_commit(cx.env().flaws) {
                    let reason = Reason::Timeout;
                    let abort = Message::TwoPCAbortRequest { id, reason };
                    self.tell(cx, txn.side.other(), abort, true);
                }
                cx.set_timer(Timer::Prepare(id), cx.env().config.prepare_timeout());
            }
            // Its P is not applied: what it will be is not known.
            None if is_open => {
                cx.set_timer(Timer::Prepare(id), cx.env().config.prepare_timeout());
            }
            None => {}
        }
    }

    pub(super) fn on_ack(&mut self, cx: Cx<'_, '_>, cluster: GroupId, id: TxnId) {
        let is_meant = self.machine.transaction(id).is_some_and(|txn| {
            let is_due = txn.phase.is_outcome() && !txn.acked;
            is_due && txn.side.coordinates() && txn.side.other() == cluster
        });
        if is_meant && self.serving().is_some() {
            self.propose(cx, Command::Acked { id });
        }
    }

    /// A participant asks how a transaction ends. (S4-F3, S4-F11)
    pub(super) fn on_query(&mut self, cx: Cx<'_, '_>, from: NodeId, cluster: GroupId, id: TxnId) {
        if id.home != Place::of(cx.env()).cluster {
            return;
        }
        if self.serving().is_none() {
            return self.redirect(cx, from);
        }
        match self.machine.transaction(id).cloned() {
            Some(txn) if txn.side.coordinates() && txn.side.other() == cluster => {
                if txn.phase.is_outcome() {
                    answer_query(cx, from, id, txn);
                } else {
                    // Pending: the answer comes with the outcome.
                    self.drive(cx, id, false);
                }
            }
            Some(_) => {}
            None if self.machine.is_old(id) => {
                // Nothing will ever be held for it here, and whoever applied an outcome does not ask.
                let reason = Reason::Old;
                cx.send(To::Node(from), Message::TwoPCAbortRequest { id, reason });
            }
            None => {
                let is_open = self.serving().is_some_and(|leading| {
                    ["P", "A"]
                        .iter()
                        .any(|marker| leading.proposed.contains(&(id, *marker)))
                });
                if !flaws::leaves_a_tombstone(cx.env().flaws) && !is_open {
                    let reason = Reason::Unknown;
                    cx.send(To::Node(from), Message::TwoPCAbortRequest { id, reason });
                } else if !is_open {
                    let participant = cluster;
                    let part = None;
                    let abort = Command::Abort {
                        id,
                        seq: 0,
                        reason: Reason::Unknown,
                        side: Side::Coordinator { participant, part },
                        last: false,
                    };
                    self.propose(cx, abort);
                }
            }
        }
    }

    /// This member does not lead: it says who does. (S4-41)
    pub(super) fn redirect(&mut self, cx: Cx<'_, '_>, to: NodeId) {
        if !self.paxos.leads()
            && let Some(ballot) = self.paxos.leader()
        {
            let cluster = Place::of(cx.env()).cluster;
            cx.send(To::Node(to), Message::NotLeader { cluster, ballot });
        }
    }

    /// Another cluster's leader is another: what it was asked is asked again, of the right one. (S4-F1)
    pub(super) fn on_not_leader(&mut self, cx: Cx<'_, '_>, cluster: GroupId, ballot: Ballot) {
        let known = self.leaders.get(&cluster).copied();
        if known.is_some_and(|known| known >= ballot)
            || cx.env().keyring.group_of(ballot.node) != Some(cluster)
        {
            return;
        }
        self.leaders.insert(cluster, ballot);
        // The first hint is an answer to a question that went to everybody.
        if known.is_none() || self.serving().is_none() {
            return;
        }
        for id in self.unfinished(cx) {
            let Some(txn) = self.machine.transaction(id).cloned() else {
                continue;
            };
            if txn.side.other() != cluster || !txn.side.coordinates() {
                continue;
            }
            match (txn.phase, txn.asked()) {
                (TxnPhase::Prepared(Ok(())), Some((participant, part))) => {
                    let voted = self
                        .serving()
                        .is_some_and(|lead| lead.votes.contains_key(&id));
                    if !voted {
                        self.ask_prepare(cx, id, participant, part, false);
                    }
                }
                _ => self.drive(cx, id, false),
            }
        }
    }

    /// Sends again what was not acknowledged, to everybody there; and asks how that ends which is held here. (S4-51)
    pub(super) fn on_resend(&mut self, cx: Cx<'_, '_>) {
        if self.leading.is_none() {
            return;
        }
        cx.set_timer(Timer::Resend, cx.env().config.resend());
        if self.serving().is_none() {
            return;
        }
        let restored = cx.env().flaws;
        let mut doubts = crate::ordered::Set::new();
        for id in self.unfinished(cx) {
            let row = self.machine.transaction(id);
            if row.is_some_and(|txn| txn.phase.is_outcome()) && !flaws::repeats(restored) {
                continue;
            }
            self.drive(cx, id, true);
            let Some(txn) = self.machine.transaction(id).cloned() else {
                continue;
            };
            if !txn.side.coordinates() && !txn.phase.is_outcome() {
                doubts.insert(id);
                if self
                    .leading
                    .as_ref()
                    .is_some_and(|lead| lead.doubts.contains(&id))
                    && flaws::takes_up(restored, Work::Theirs)
                    && flaws::repeats(restored)
                {
                    self.tell(cx, txn.side.other(), Message::TwoPCQuery { id }, true);
                }
            }
        }
        if let Some(leading) = &mut self.leading {
            leading.doubts = doubts;
        }
        self.begin_waiting(cx);
    }
}

fn answer_query(cx: Cx<'_, '_>, to: NodeId, id: TxnId, txn: Txn) {
    let clients = txn.clients;
    let message = match txn.phase {
        TxnPhase::Committed => Message::TwoPCCommitRequest { id, clients },
        TxnPhase::Aborted(reason) => Message::TwoPCAbortRequest { id, reason },
        TxnPhase::Prepared(_) => return,
    };
    cx.send(To::Node(to), message);
}
