//! What every member does: promise, accept, learn.

use alloc::vec::Vec;

use super::{
    Ballot, ENTRIES_MAX, LogEntry, Message, Out, PROMISED, Paxos, Role, Slot, WINDOW, Whom,
};
use crate::types::NodeId;

impl<C: Clone + Eq> Paxos<C> {
    /// Promises a ballot that is not below the promise, and follows it unless it is the own one.
    pub(super) fn promise(&mut self, ballot: Ballot) {
        if ballot > self.promised() {
            self.promised.put(PROMISED, ballot);
        }
        let own = match &self.role {
            Role::Follower => return,
            Role::Candidate { ballot, .. } => *ballot,
            Role::Leader(leading) => leading.ballot,
        };
        if ballot > own {
            self.role = Role::Follower;
        }
    }

    fn is_stale(&self, to: NodeId, ballot: Ballot, out: &mut Out<C>) -> bool {
        let promised = self.promised();
        if ballot < promised {
            let refused = Message::Refused { ballot: promised };
            out.sends.push((Whom::One(to), refused));
        }
        ballot < promised
    }

    pub(super) fn on_elect(&mut self, from: NodeId, ballot: Ballot, slot: Slot, out: &mut Out<C>) {
        if ballot.node != from || self.is_stale(from, ballot, out) {
            return;
        }
        self.promise(ballot);
        out.postpone = true;
        let mut base = self.dropped() + 1;
        let told = self.log.range(slot.max(base)..);
        let mut entries: Vec<_> = told
            .take(ENTRIES_MAX + 1)
            .map(|(slot, entry)| (*slot, entry.clone()))
            .collect();
        if entries.len() > ENTRIES_MAX {
            // Half an answer would hide what was accepted. So many are chosen already: the candidate must learn first.
            base = self.chosen + 1;
            entries.clear();
        }
        out.sends.push((
            Whom::One(from),
            Message::Promise {
                ballot,
                base,
                entries,
            },
        ));
    }

    pub(super) fn on_accept_request(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        seq: Slot,
        req: &Option<C>,
        out: &mut Out<C>,
    ) {
        if ballot.node != from || self.is_stale(from, ballot, out) {
            return;
        }
        self.promise(ballot);
        self.leader = Some(ballot);
        out.postpone = true;
        if seq > self.chosen + WINDOW {
            return self.ask_for_more(from, out);
        }
        if seq > self.chosen && !self.log.get(&seq).is_some_and(|entry| entry.chosen) {
            let entry = LogEntry {
                ballot,
                req: req.clone(),
                chosen: false,
            };
            if self.log.get(&seq) != Some(&entry) {
                self.log.put(seq, entry);
            }
        }
        // A chosen entry is what every later ballot proposes: to accept it again changes nothing.
        out.sends
            .push((Whom::One(from), Message::AcceptedReply { ballot, seq }));
    }

    pub(super) fn on_commit_request(
        &mut self,
        ballot: Ballot,
        seq: Slot,
        req: &Option<C>,
        out: &mut Out<C>,
    ) {
        // Chosen under a higher ballot: whoever leads under a lower one was deposed, and must not fill this slot again.
        self.promise(ballot);
        out.postpone |= self.leader == Some(ballot);
        if seq <= self.chosen || seq > self.chosen + WINDOW {
            return;
        }
        self.choose(seq, ballot, req.clone());
    }

    /// Keeps an entry that is known to be chosen.
    pub(super) fn choose(&mut self, seq: Slot, ballot: Ballot, req: Option<C>) {
        if !self.log.get(&seq).is_some_and(|entry| entry.chosen) {
            let chosen = true;
            self.log.put(
                seq,
                LogEntry {
                    ballot,
                    req,
                    chosen,
                },
            );
            self.advance();
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        chosen: Slot,
        probe: u64,
        out: &mut Out<C>,
    ) {
        if ballot.node != from || self.is_stale(from, ballot, out) {
            return;
        }
        self.promise(ballot);
        self.leader = Some(ballot);
        out.postpone = true;
        // A ballot proposes one command per slot: what was accepted under the leader's own is what was chosen.
        let under = |(_, entry): &(&Slot, &LogEntry<C>)| entry.ballot == ballot && !entry.chosen;
        let known = self.log.range(self.chosen + 1..chosen.saturating_add(1));
        let known: Vec<Slot> = known.filter(under).map(|(slot, _)| *slot).collect();
        for slot in known {
            if let Some(entry) = self.log.get_mut(&slot) {
                entry.chosen = true;
            }
        }
        self.advance();
        if self.chosen < chosen {
            self.ask_for_more(from, out);
        }
        let chosen = self.chosen;
        let reply = Message::HeartbeatReply {
            ballot,
            chosen,
            probe,
        };
        out.sends.push((Whom::One(from), reply));
    }

    fn ask_for_more(&self, from: NodeId, out: &mut Out<C>) {
        let ask = Message::CatchUp {
            from: self.chosen + 1,
        };
        out.sends.push((Whom::One(from), ask));
    }

    pub(super) fn on_catch_up(&self, from: NodeId, slot: Slot, out: &mut Out<C>) {
        if slot <= self.dropped() {
            out.lags = Some(from);
            return;
        }
        let known = self.log.range(slot..self.chosen.saturating_add(1));
        for (seq, entry) in known.take(ENTRIES_MAX) {
            let (ballot, req) = (entry.ballot, entry.req.clone());
            let commit = Message::CommitRequest {
                ballot,
                seq: *seq,
                req,
            };
            out.sends.push((Whom::One(from), commit));
        }
    }
}
