//! The document's log: a seq is logged in again under another phase; leaders come by heartbeats that it only implies.

use alloc::format;
use alloc::vec::Vec;

use super::super::Timer;
use super::super::follow::tell_phase;
use super::super::message::{round, slot_id};
use super::super::phase;
use super::{Command, Cx, LOG_MAX, Message, Place, Role, Stage, Txn, TxnId, Written, trim};
use crate::engine::To;
use crate::event::{Event, EventKind, Level};
use crate::ordered::{Map, Set};
use crate::paxos::{self, Ballot, LogEntry, Slot};
use crate::quorum::Quorum;
use crate::types::{Duration, NodeId};

const PROMISED: u8 = 0;

impl Written {
    pub(super) fn promise(&self) -> Ballot {
        self.promised.get(&PROMISED).copied().unwrap_or_default()
    }

    pub(super) fn leads(&self) -> bool {
        self.role == Role::Leader
    }

    fn is_majority(cx: Cx<'_, '_>, count: usize) -> bool {
        let cluster = Place::of(cx.env()).cluster;
        let members = cx.env().keyring.group(cluster).count();
        Quorum::crash_majority(members as u16).is_reached(count as u128)
    }

    fn tell_group(cx: Cx<'_, '_>, message: paxos::Message<Command>) {
        let cluster = Place::of(cx.env()).cluster;
        cx.send(To::Group(cluster), Message::Paxos(message));
    }

    /// Logs a command: in a new seq, or again in one that it had. Where it is logged. (S4-11, S4-23,
    /// `processAsLeaderWithPhaseAndSeq`)
    pub(super) fn process_as_leader(
        &mut self,
        cx: Cx<'_, '_>,
        command: Command,
        seq: Slot,
    ) -> Slot {
        let seq = if seq == 0 {
            let new = self.next;
            self.next = new.saturating_add(1);
            self.lines.say(format!("Allocated NEW seq={new}"));
            cx.count("sharded_2pc_seqs_allocated_total");
            new
        } else {
            self.lines.say(format!("REUSING seq={seq}"));
            cx.count("sharded_2pc_seqs_reused_total");
            seq
        };
        self.offer(cx, seq, Some(command));
        seq
    }

    /// Accepts an entry and asks the others to. (S4-11, S4-56)
    fn offer(&mut self, cx: Cx<'_, '_>, seq: Slot, req: Option<Command>) {
        let ballot = self.ballot;
        self.put(seq, ballot, req.clone(), false);
        if let Some(command) = &req {
            self.handle_2pc_phase(cx, command);
        }
        self.accepted_by.insert(seq, Set::from([cx.id()]));
        let slot = slot_id(Place::of(cx.env()).cluster, seq);
        let hash = Command::hash(req.as_ref());
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::Proposed, Some(slot), round(ballot)).value(Some(hash))
        });
        Self::tell_group(cx, paxos::Message::AcceptRequest { ballot, seq, req });
        self.commit_if_accepted(cx, seq);
    }

    fn put(&mut self, seq: Slot, ballot: Ballot, req: Option<Command>, chosen: bool) {
        self.log.put(
            seq,
            LogEntry {
                ballot,
                req,
                chosen,
            },
        );
        self.next = self.next.max(seq.saturating_add(1));
        while self.log.len() > LOG_MAX {
            let Some(first) = self.log.iter().next().map(|(slot, _)| *slot) else {
                return;
            };
            self.log.delete(&first);
        }
    }

    /// A follower accepts. (S4-27: ACCEPT)
    pub(super) fn accept(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        ballot: Ballot,
        seq: Slot,
        req: &Option<Command>,
    ) {
        if ballot.node != from || !self.follow(cx, from, ballot) {
            return;
        }
        // S4-F17: the entry's status is "A" again, also when it was executed.
        self.put(seq, ballot, req.clone(), false);
        if let Some(command @ Command::Prepare { .. }) = req {
            self.handle_2pc_phase(cx, command);
        }
        let slot = slot_id(Place::of(cx.env()).cluster, seq);
        let hash = Command::hash(req.as_ref());
        cx.emit(Level::Protocol, || {
            let event = EventKind::PhaseEntered(phase::ACCEPTED);
            Event::new(event, Some(slot), round(ballot))
                .value(Some(hash))
                .peer(from)
        });
        let accepted = paxos::Message::AcceptedReply { ballot, seq };
        cx.send(To::Node(from), Message::Paxos(accepted));
    }

    pub(super) fn on_accepted(&mut self, cx: Cx<'_, '_>, from: NodeId, ballot: Ballot, seq: Slot) {
        if ballot != self.ballot {
            return;
        }
        // S4-F2: an answer to P that comes late counts for C, which has the same seq and the same ballot.
        if let Some(by) = self.accepted_by.get_mut(&seq)
            && by.insert(from)
        {
            self.commit_if_accepted(cx, seq);
        }
    }

    /// Once a majority accepted: COMMIT, and go on. (S4-13, S4-14)
    fn commit_if_accepted(&mut self, cx: Cx<'_, '_>, seq: Slot) {
        let by = self.accepted_by.get(&seq).map_or(0, Set::len);
        if !Self::is_majority(cx, by) {
            return;
        }
        self.accepted_by.remove(&seq);
        let Some(req) = self.log.get(&seq).map(|entry| entry.req.clone()) else {
            return;
        };
        self.broadcast_commit(cx, seq, req.clone());
        let Some(command) = req else {
            return;
        };
        match &command {
            Command::Commit { id, .. } => self.tell_end(cx, *id, true),
            Command::Abort { id, .. } => self.tell_end(cx, *id, false),
            _ => self.execute(cx, seq, &command),
        }
        self.on_logged(cx, seq, &command);
    }

    /// Marks an entry as committed, and tells. Who does so without a majority breaks the promise. (S4-F21)
    pub(super) fn broadcast_commit(&mut self, cx: Cx<'_, '_>, seq: Slot, req: Option<Command>) {
        let ballot = self.ballot;
        self.accepted_by.remove(&seq);
        self.put(seq, ballot, req.clone(), true);
        Self::tell_group(cx, paxos::Message::CommitRequest { ballot, seq, req });
    }

    /// A follower learns what is committed. (S4-27: COMMIT)
    pub(super) fn commit(
        &mut self,
        cx: Cx<'_, '_>,
        ballot: Ballot,
        seq: Slot,
        req: &Option<Command>,
    ) {
        let is_executed = self.log.get(&seq).is_some_and(|entry| entry.chosen);
        self.put(seq, ballot, req.clone(), true);
        let Some(command) = req else {
            return;
        };
        match command {
            Command::Prepare { .. } | Command::Transfer { .. } if is_executed => {}
            Command::Prepare { .. } | Command::Transfer { .. } => self.execute(cx, seq, command),
            Command::Commit { id, .. } => {
                self.handle_2pc_phase(cx, command);
                self.tell_end(cx, *id, true);
            }
            Command::Abort { id, .. } => {
                self.handle_2pc_phase(cx, command);
                self.tell_end(cx, *id, false);
            }
            Command::Acked { .. } => {}
        }
    }

    /// Whether whoever sent this may lead: promises its ballot, unless a higher one was promised.
    fn follow(&mut self, cx: Cx<'_, '_>, from: NodeId, ballot: Ballot) -> bool {
        if !self.promise_to(cx, from, ballot) {
            return false;
        }
        self.leader = Some(ballot);
        true
    }

    fn promise_to(&mut self, cx: Cx<'_, '_>, from: NodeId, ballot: Ballot) -> bool {
        let promised = self.promise();
        if ballot < promised {
            let refused = paxos::Message::Refused { ballot: promised };
            cx.send(To::Node(from), Message::Paxos(refused));
            return false;
        }
        self.give_way(cx, ballot);
        self.stop_election(cx);
        true
    }

    /// Promises a ballot that is not below the promise.
    fn give_way(&mut self, cx: Cx<'_, '_>, ballot: Ballot) {
        if ballot > self.promise() {
            self.promised.put(PROMISED, ballot);
        }
        if ballot > self.ballot && self.role != Role::Follower {
            self.role = Role::Follower;
            cx.cancel_timer(Timer::Heartbeat);
        }
    }

    /// A member promised somebody else: what is being logged here finds no majority.
    pub(super) fn on_refused(&mut self, cx: Cx<'_, '_>, ballot: Ballot) {
        if ballot <= self.ballot {
            return;
        }
        self.give_way(cx, ballot);
        self.accepted_by.clear();
        let waits = |txn: &Txn| match txn.stage {
            Stage::Logging | Stage::Committing | Stage::Aborting => true,
            Stage::Preparing | Stage::Participating => !txn.prepared,
            Stage::TellingCommit | Stage::TellingAbort => false,
        };
        let stuck = self.transactions.iter().filter(|(_, txn)| waits(txn));
        let stuck: Vec<TxnId> = stuck.map(|(id, _)| *id).collect();
        for id in stuck {
            self.on_no_answer(cx, id);
        }
    }

    fn stop_election(&mut self, cx: Cx<'_, '_>) {
        if let Some(armed) = self.election.take() {
            cx.cancel_timer(Timer::Election(armed));
        }
    }

    /// Arms the election timer. The configured leader of a cluster that never had one does not wait.
    pub(super) fn await_leader(&mut self, cx: Cx<'_, '_>) {
        let round = self.promise().round;
        let place = Place::of(cx.env());
        let is_configured = super::configured_leader(cx.env(), place.cluster) == cx.id();
        let timeout_us = 1_000 * cx.env().config.election_timeout_ms;
        let after = if round == 0 && is_configured {
            Duration::from_ms(1)
        } else {
            Duration::from_us(timeout_us + cx.below(timeout_us))
        };
        cx.set_timer(Timer::Election(round), after);
        self.election = Some(round);
    }

    pub(super) fn on_election(&mut self, cx: Cx<'_, '_>) {
        self.election = None;
        let Some(round) = self.promise().round.checked_add(1) else {
            return;
        };
        cx.count("sharded_2pc_elections_total");
        let node = cx.id();
        self.ballot = Ballot { round, node };
        self.promised.put(PROMISED, self.ballot);
        self.role = Role::Candidate(Map::new());
        let (ballot, from) = (self.ballot, 1);
        Self::tell_group(cx, paxos::Message::Elect { ballot, from });
        self.lead_if_promised(cx);
    }

    pub(super) fn on_elect(&mut self, cx: Cx<'_, '_>, from: NodeId, ballot: Ballot) {
        if ballot.node != from || !self.promise_to(cx, from, ballot) {
            return;
        }
        let entries = self.log.iter();
        let entries = entries.map(|(slot, entry)| (*slot, entry.clone()));
        let promise = paxos::Message::Promise {
            ballot,
            base: 1,
            entries: entries.collect(),
        };
        cx.send(To::Node(from), Message::Paxos(promise));
    }

    pub(super) fn on_promise(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        ballot: Ballot,
        entries: &[(Slot, LogEntry<Command>)],
    ) {
        if ballot != self.ballot {
            return;
        }
        if let Role::Candidate(promises) = &mut self.role {
            promises.insert(from, entries.to_vec());
            self.lead_if_promised(cx);
        }
    }

    /// Leads, once a majority promised; proposes anew what it has not executed. (S4-39, S4-40, S4-F24)
    fn lead_if_promised(&mut self, cx: Cx<'_, '_>) {
        let Role::Candidate(promises) = &self.role else {
            return;
        };
        if !Self::is_majority(cx, promises.len() + 1) {
            return;
        }
        let own = self.log.iter().map(|(slot, entry)| (*slot, entry.clone()));
        let mut best: Map<Slot, LogEntry<Command>> = own.collect();
        for (slot, entry) in promises.values().flatten() {
            let known = best.get(slot);
            // S4-F2: of P and C under one ballot, whichever comes first.
            if known.is_none_or(|known| known.ballot < entry.ballot) {
                best.insert(*slot, entry.clone());
            }
        }
        self.role = Role::Leader;
        self.leader = Some(self.ballot);
        self.accepted_by.clear();
        self.stop_election(cx);
        cx.count("sharded_2pc_elections_won_total");
        let ballot = self.ballot;
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::RoundEntered, None, round(ballot))
        });
        self.beat(cx);
        trim(&mut best);
        let first = best.first_key_value().map_or(1, |(slot, _)| *slot);
        let last = best.last_key_value().map_or(0, |(slot, _)| *slot);
        self.next = self.next.max(last.saturating_add(1));
        // Gaps are as short as what was proposed at once; of a peer that says otherwise no more than is kept is filled.
        for slot in (first..=last)
            .rev()
            .take(LOG_MAX)
            .collect::<Vec<Slot>>()
            .into_iter()
            .rev()
        {
            let req = best.remove(&slot).and_then(|entry| entry.req);
            let own = self.log.get(&slot);
            if own.is_none_or(|own| !own.chosen || own.req != req) {
                self.offer(cx, slot, req);
            }
        }
    }

    fn beat(&mut self, cx: Cx<'_, '_>) {
        let (ballot, probe) = (self.ballot, 0);
        let chosen = self.executed();
        Self::tell_group(
            cx,
            paxos::Message::Heartbeat {
                ballot,
                chosen,
                probe,
            },
        );
        let every = Duration::from_ms(cx.env().config.heartbeat_ms);
        cx.set_timer(Timer::Heartbeat, every);
    }

    pub(super) fn on_heartbeat_timer(&mut self, cx: Cx<'_, '_>) {
        if self.leads() {
            self.beat(cx);
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        ballot: Ballot,
        probe: u64,
    ) {
        if ballot.node == from && self.follow(cx, from, ballot) {
            let chosen = self.executed();
            let reply = paxos::Message::HeartbeatReply {
                ballot,
                chosen,
                probe,
            };
            cx.send(To::Node(from), Message::Paxos(reply));
        }
    }

    /// `lastExecuted`.
    pub(super) fn executed(&self) -> Slot {
        self.last_executed.get(&0).copied().unwrap_or(0)
    }

    pub(super) fn tell_done(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        if let Some(end) = self.ends.get_mut(&id) {
            end.is_done = true;
            tell_phase(cx, id.instance(), phase::DONE, crate::types::Round(0));
        }
    }
}
