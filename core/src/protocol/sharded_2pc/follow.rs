//! What every member does: keep up with its cluster's log, apply it, and lead when nobody else does.

use alloc::vec::Vec;

use super::command::{Command, Item, Part, TxnId};
use super::config::Place;
use super::flaws::{self, slot_reuse};
use super::machine::{Applied, Snapshot, TxnPhase};
use super::message::{committed_value, round, slot_id};
use super::{ACCEPTANCES_METER, Cx, Leading, Message, Reply, Sharded2pc, Timer, phase};
use crate::engine::To;
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::paxos::{self, Group, Out, Slot, Whom};
use crate::quorum::Quorum;
use crate::types::{Duration, InstanceId, NodeId, Round};

/// How often the election timeout doubles.
const BACKOFFS_MAX: u64 = 3;

impl Sharded2pc {
    /// Lets the log do something as this member of its group, and sends what it wants sent.
    pub(super) fn with_log<T>(
        &mut self,
        cx: Cx<'_, '_>,
        act: impl FnOnce(&mut paxos::Paxos<Command>, Group<'_>) -> (T, Out<Command>),
    ) -> T {
        let place = Place::of(cx.env());
        let members: Vec<NodeId> = cx.env().keyring.group(place.cluster).collect();
        let group = Group {
            me: cx.id(),
            members: &members,
        };
        let (result, out) = act(&mut self.paxos, group);
        for (whom, message) in out.sends {
            let to = match whom {
                Whom::One(node) => To::Node(node),
                Whom::Others => To::Group(place.cluster),
            };
            cx.send(to, Message::Paxos(message));
        }
        if let Some(behind) = out.lags {
            cx.send(To::Node(behind), Message::Snapshot(self.machine.snapshot()));
        }
        if out.postpone {
            self.stop_election(cx);
        }
        let promised = self.paxos.promised();
        if self.paxos.leader() == Some(promised) {
            self.calm = promised.round;
        }
        result
    }

    pub(super) fn on_start(&mut self, cx: Cx<'_, '_>) {
        // What an earlier life applied it may not have lived to tell.
        let place = Place::of(cx.env());
        let entries = self.paxos.entries();
        for (slot, entry) in entries.take_while(|(slot, _)| *slot <= self.machine.applied()) {
            self.record_chosen(cx, slot_id(place.cluster, slot), entry);
        }
        self.tell_outcomes(cx);
    }

    /// States how transactions ended, as far as the tables say.
    fn tell_outcomes(&self, cx: Cx<'_, '_>) {
        for (id, txn) in self.machine.transactions() {
            match txn.phase {
                TxnPhase::Committed => record_end(cx, id, true),
                TxnPhase::Aborted(_) => record_end(cx, id, false),
                TxnPhase::Prepared(_) => {}
            }
        }
    }

    pub(super) fn on_paxos(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        message: &paxos::Message<Command>,
    ) {
        let votes = self.votes_before(from, message);
        if flaws::reuses_the_slot(cx.env().flaws) {
            self.receive_reusing(cx, from, message);
        } else {
            self.with_log(cx, |paxos, group| ((), paxos.receive(group, from, message)));
        }
        if let Some((seq, before)) = votes {
            self.tell_vote(cx, from, seq, before + 1);
        }
        if let paxos::Message::AcceptRequest { ballot, seq, req } = message
            && self
                .paxos
                .entry(*seq)
                .is_some_and(|entry| !entry.chosen && entry.ballot == *ballot)
        {
            let place = Place::of(cx.env());
            let (seq, ballot) = (*seq, *ballot);
            if let Some(command) = req {
                self.machine.accept(&place, command);
            }
            cx.emit(Level::Protocol, || {
                let event = EventKind::PhaseEntered(phase::ACCEPTED);
                Event::new(event, Some(slot_id(place.cluster, seq)), round(ballot))
                    .value(Some(Command::hash(req.as_ref())))
                    .peer(from)
                    .count(seq, 0, 0)
            });
        }
    }

    /// Of an acceptance that is news to this leader: of which slot, and how many it knew of before.
    fn votes_before(
        &self,
        from: NodeId,
        message: &paxos::Message<Command>,
    ) -> Option<(Slot, usize)> {
        let paxos::Message::AcceptedReply { ballot, seq } = message else {
            return None;
        };
        let is_own = self.paxos.leads() && self.paxos.leader() == Some(*ballot);
        let known = self.paxos.acceptances(*seq).filter(|_| is_own)?;
        (!self.paxos.has_accepted(*seq, from)).then_some((*seq, known))
    }

    /// Tells observers of an acceptance, and whether the entry is chosen with it.
    fn tell_vote(&self, cx: Cx<'_, '_>, from: NodeId, seq: Slot, have: usize) {
        let place = Place::of(cx.env());
        let total = cx.env().keyring.group(place.cluster).count();
        let need = Quorum::crash_majority(total as u16).need();
        let Some(entry) = self.paxos.entry(seq) else {
            return;
        };
        let of = |kind| {
            Event::new(kind, Some(slot_id(place.cluster, seq)), round(entry.ballot))
                .value(Some(Command::hash(entry.req.as_ref())))
                .count(have as u64, need as u64, total as u64)
        };
        cx.emit(Level::Protocol, || {
            of(EventKind::VoteCounted(ACCEPTANCES_METER)).peer(from)
        });
        if entry.chosen {
            cx.emit(Level::Protocol, || {
                of(EventKind::QuorumReached(ACCEPTANCES_METER))
            });
        }
    }

    /// Takes the accounts instead of a log that is gone.
    pub(super) fn on_snapshot(&mut self, cx: Cx<'_, '_>, snapshot: &Snapshot) {
        if self.machine.install(snapshot) {
            self.paxos.install(snapshot.slot);
            self.tell_outcomes(cx);
            cx.count("sharded_2pc_snapshots_installed_total");
        }
    }

    /// After each step: applies what is chosen, takes up or lays down leadership, and arms the timers.
    pub(super) fn settle(&mut self, cx: Cx<'_, '_>) {
        self.note_leadership(cx);
        self.apply_chosen(cx);
        while self.paxos.is_ready() && self.leading.as_ref().is_some_and(|lead| !lead.resumed) {
            self.resume(cx);
            self.apply_chosen(cx);
        }
        self.answer_reads(cx);
        let kept = cx.env().config.snapshot_every;
        let (applied, dropped) = (self.machine.applied(), self.paxos.dropped());
        if applied - dropped >= 2 * kept {
            // What is applied is in the accounts' tables. Half of it stays, for those that are a little behind.
            self.paxos.drop_to(applied - kept);
        }
        if !self.paxos.leads() && self.election.is_none() {
            self.await_leader(cx);
        }
    }

    fn note_leadership(&mut self, cx: Cx<'_, '_>) {
        let ballot = self.paxos.leader().filter(|_| self.paxos.leads());
        if self.leading.as_ref().map(|leading| leading.ballot) == ballot {
            return;
        }
        if let Some(leading) = self.leading.take() {
            self.step_down(cx, leading);
        }
        if let Some(ballot) = ballot {
            self.stop_election(cx);
            self.leading = Some(Leading {
                ballot,
                ..Leading::default()
            });
            cx.set_timer(Timer::Heartbeat, cx.env().config.heartbeat());
            cx.set_timer(Timer::Resend, cx.env().config.resend());
            cx.count("sharded_2pc_elections_won_total");
            cx.emit(Level::Protocol, || {
                Event::new(EventKind::Elected, None, round(ballot))
            });
        }
    }

    /// Whoever waits is told that somebody else leads.
    fn step_down(&mut self, cx: Cx<'_, '_>, leading: Leading) {
        cx.cancel_timer(Timer::Heartbeat);
        cx.cancel_timer(Timer::Resend);
        let attempts = self.machine.transactions().map(|(id, _)| id);
        let pending = leading.proposed.iter().map(|(id, _)| *id).chain(attempts);
        for id in pending.collect::<Vec<TxnId>>() {
            cx.cancel_timer(Timer::Prepare(id));
        }
        for (client, number) in leading.waiting.keys() {
            let next = self.next_attempt(Place::of(cx.env()).cluster, *client, *number);
            cx.cancel_timer(Timer::Retry(next));
        }
        let reads = leading.reads.iter().map(|read| (read.client, read.number));
        for (client, number) in leading.waiting.keys().copied().chain(reads) {
            cx.reply(client, number, self.not_leader());
        }
    }

    /// What a client is told that asks the wrong member.
    pub(super) fn not_leader(&self) -> Reply {
        let leader = self.paxos.leader().filter(|_| !self.paxos.leads());
        Reply::NotLeader {
            hint: leader.map(|ballot| ballot.node),
            ballot: leader.map_or(0, |ballot| ballot.round),
        }
    }

    fn stop_election(&mut self, cx: Cx<'_, '_>) {
        if let Some(armed) = self.election.take() {
            cx.cancel_timer(Timer::Election(armed));
        }
    }

    /// Arms the election timer. The first member of a cluster that never had a leader does not wait. Each round in which
    /// nobody came to lead doubles the time, so that it outgrows what messages take.
    fn await_leader(&mut self, cx: Cx<'_, '_>) {
        let round = self.paxos.promised().round;
        let place = Place::of(cx.env());
        let is_first = cx.env().keyring.group(place.cluster).next() == Some(cx.id());
        let in_vain = round.saturating_sub(self.calm).min(BACKOFFS_MAX);
        let timeout = cx.env().config.election_timeout_ms << in_vain;
        let after = if round == 0 && is_first {
            Duration::from_ms(1)
        } else {
            Duration::from_us(1_000 * timeout + cx.below(1_000 * timeout))
        };
        cx.set_timer(Timer::Election(round), after);
        self.election = Some(round);
    }

    pub(super) fn on_election(&mut self, cx: Cx<'_, '_>) {
        self.election = None;
        cx.count("sharded_2pc_elections_total");
        self.with_log(cx, |paxos, group| ((), paxos.elect(group)));
    }

    pub(super) fn on_heartbeat(&mut self, cx: Cx<'_, '_>) {
        if self.leading.is_some() {
            cx.set_timer(Timer::Heartbeat, cx.env().config.heartbeat());
            self.with_log(cx, |paxos, _| ((), paxos.beat()));
        }
    }

    /// Logs a command, unless it is being logged.
    pub(super) fn propose(&mut self, cx: Cx<'_, '_>, command: Command) -> bool {
        let key = (command.id(), command.marker());
        let Some(leading) = &mut self.leading else {
            return false;
        };
        if !leading.proposed.insert(key) {
            return false;
        }
        let hash = Command::hash(Some(&command));
        let reused = slot_reuse::slot_of(cx, &command);
        let place = Place::of(cx.env());
        self.machine.accept(&place, &command);
        self.machine.offer(&place, &command);
        let slot = self.with_log(cx, |paxos, group| {
            let proposed = match reused {
                Some(slot) => paxos
                    .propose_again(group, slot, command)
                    .map(|out| (slot, out)),
                None => paxos.propose(group, command),
            };
            proposed.map_or((None, Out::default()), |(slot, out)| (Some(slot), out))
        });
        let Some(slot) = slot else {
            // Too much is open: the next tick tries again.
            if let Some(leading) = &mut self.leading {
                leading.proposed.remove(&key);
            }
            return false;
        };
        if let Some(slot) = reused
            && self.paxos.acceptances(slot).is_none()
        {
            self.apply_again(cx, slot);
        }
        let place = Place::of(cx.env());
        let round = round(self.ballot());
        cx.emit(Level::Protocol, || {
            let instance = Some(slot_id(place.cluster, slot));
            Event::new(EventKind::Proposed, instance, round)
                .value(Some(hash))
                .count(slot, 0, 0)
        });
        true
    }

    /// Applies, in the order of slots, what is chosen.
    fn apply_chosen(&mut self, cx: Cx<'_, '_>) {
        while self.machine.applied() < self.paxos.chosen() {
            let slot = self.machine.applied() + 1;
            let Some(entry) = self.paxos.entry(slot).cloned() else {
                return;
            };
            self.apply(cx, slot, &entry);
        }
    }

    /// Carries out what stands in the next slot, or in one that holds a second command. (S4-F2)
    pub(super) fn apply(&mut self, cx: Cx<'_, '_>, slot: Slot, entry: &paxos::LogEntry<Command>) {
        let place = Place::of(cx.env());
        let command = entry.req.as_ref();
        let mut items = command.map_or_else(Vec::new, |command| self.items_of(command));
        let part = command.and_then(|command| self.machine.transaction(command.id())?.part);
        let before = part.map(|part| self.machine.balance(&place, part.item()));
        let applied = if slot <= self.machine.applied() {
            self.machine.execute(&place, slot, command)
        } else {
            self.machine.apply(&place, slot, command)
        };
        if let Some(part) = part
            && items.is_empty()
            && before != Some(self.machine.balance(&place, part.item()))
        {
            // What changed although its transaction was over.
            items.push(part.item());
        }
        let instance = slot_id(place.cluster, slot);
        let round = round(entry.ballot);
        self.record_chosen(cx, instance, entry);
        cx.record(Record {
            kind: RecordKind::Completed,
            instance,
            value: Some(self.machine.left(&place, &items)),
            round,
        });
        cx.emit(Level::Protocol, || {
            let event = EventKind::PhaseEntered(phase::EXECUTED);
            Event::new(event, Some(instance), round).count(slot, 0, 0)
        });
        let Some(command) = command else {
            return;
        };
        let id = command.id();
        if let Some(leading) = &mut self.leading {
            leading.proposed.remove(&(id, command.marker()));
        }
        match applied {
            Applied::Answered(id, outcome) => {
                record_end(cx, id, outcome.is_ok());
                let end = if outcome.is_ok() {
                    phase::COMMITTED
                } else {
                    phase::ABORTED
                };
                tell_phase(cx, id.instance(), end, Round(id.attempt));
            }
            Applied::InTheWay(id) => record_end(cx, id, false),
            Applied::Ended(id) => {
                let is_committed = matches!(command, Command::Commit { .. });
                record_end(cx, id, is_committed);
                let end = if is_committed {
                    phase::COMMITTED
                } else {
                    phase::ABORTED
                };
                tell_phase(cx, id.instance(), end, Round(id.attempt));
                cx.count(if is_committed {
                    "sharded_2pc_commits_total"
                } else {
                    "sharded_2pc_aborts_total"
                });
            }
            Applied::Voted(id) => {
                if let Some(txn) = self.machine.transaction(id) {
                    let (instance, round) = (id.instance(), Round(id.attempt));
                    tell_phase(cx, instance, txn.phase.index(), round);
                    let vote = match txn.phase {
                        TxnPhase::Prepared(Ok(())) => Some(EventKind::Locked),
                        TxnPhase::Prepared(Err(_)) => Some(EventKind::Deferred),
                        TxnPhase::Committed | TxnPhase::Aborted(_) => None,
                    };
                    if let Some(vote) = vote {
                        let value = (vote == EventKind::Locked).then(|| committed_value(id));
                        cx.emit(Level::Protocol, || {
                            Event::new(vote, Some(instance), round).value(value)
                        });
                    }
                }
            }
            Applied::Acked(id) => {
                cx.record(Record {
                    kind: RecordKind::Completed,
                    instance: id.instance(),
                    value: None,
                    round: Round(id.attempt),
                });
                tell_phase(cx, id.instance(), phase::DONE, Round(id.attempt));
            }
            Applied::Nothing | Applied::Elsewhere(_) => {}
        }
        if self.leading.as_ref().is_some_and(|leading| leading.resumed) {
            self.react(cx, id, applied);
        }
    }

    /// States that a slot's entry is chosen: whoever leads under its ballot counted so, others were told.
    fn record_chosen(
        &self,
        cx: Cx<'_, '_>,
        instance: InstanceId,
        entry: &paxos::LogEntry<Command>,
    ) {
        let (value, round) = (Command::hash(entry.req.as_ref()), round(entry.ballot));
        let cluster = Place::of(cx.env()).cluster;
        let members = cx.env().keyring.group(cluster).count() as u64;
        cx.record(Record {
            kind: RecordKind::Decided,
            instance,
            value: Some(value),
            round,
        });
        let has_counted = self.paxos.leads() && self.paxos.leader() == Some(entry.ballot);
        let kind = if has_counted {
            EventKind::Decided
        } else {
            EventKind::FastForwarded
        };
        cx.emit(Level::Decisions, || {
            // Out of a group: that tells a slot's end from a transfer's.
            Event::new(kind, Some(instance), round)
                .value(Some(value))
                .count(0, 0, members)
        });
    }

    /// The items that an entry may change here.
    fn items_of(&self, command: &Command) -> Vec<Item> {
        match command {
            Command::Transfer {
                sender, receiver, ..
            } => Vec::from([*sender, *receiver]),
            Command::Prepare { part, .. } => Vec::from([part.item()]),
            Command::Commit { id, .. } | Command::Abort { id, .. } => {
                let row = self.machine.transaction(*id);
                let part = row
                    .filter(|txn| !txn.phase.is_outcome())
                    .and_then(|txn| txn.part);
                part.map(Part::item).into_iter().collect()
            }
            Command::Acked { .. } => Vec::new(),
        }
    }
}

pub(super) fn tell_phase(cx: Cx<'_, '_>, instance: InstanceId, phase: u8, round: Round) {
    cx.emit(Level::Protocol, || {
        Event::new(EventKind::PhaseEntered(phase), Some(instance), round)
    });
}

/// States how a transaction ended.
fn record_end(cx: Cx<'_, '_>, id: TxnId, is_committed: bool) {
    let value = is_committed.then(|| committed_value(id));
    let (kind, event) = if is_committed {
        (RecordKind::Decided, EventKind::Decided)
    } else {
        (RecordKind::Abandoned, EventKind::Abandoned)
    };
    let (instance, round) = (id.instance(), Round(id.attempt));
    cx.record(Record {
        kind,
        instance,
        value,
        round,
    });
    cx.emit(Level::Decisions, || {
        Event::new(event, Some(instance), round).value(value)
    });
}
