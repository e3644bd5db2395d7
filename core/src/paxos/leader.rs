//! What a candidate and a leader do: seek promises, propose, count, and tell what was chosen.

use alloc::vec::Vec;

use super::{Ballot, Group, Leading, LogEntry, Message, Out, Paxos, Role, Slot, WINDOW, Whom};
use crate::ordered::{Map, Set};
use crate::types::NodeId;

impl<C: Clone + Eq> Paxos<C> {
    /// Upon the election timer: seeks leadership.
    pub fn elect(&mut self, group: Group<'_>) -> Out<C> {
        let mut out = Out::default();
        if self.leads() {
            return out;
        }
        let Some(round) = self.promised().round.checked_add(1) else {
            return out;
        };
        let ballot = Ballot {
            round,
            node: group.me,
        };
        self.role = Role::Candidate {
            ballot,
            promises: Map::new(),
        };
        self.promise(ballot);
        let from = self.chosen + 1;
        out.sends
            .push((Whom::Others, Message::Elect { ballot, from }));
        self.lead_if_promised(group, &mut out);
        out
    }

    pub(super) fn on_promise(
        &mut self,
        group: Group<'_>,
        from: NodeId,
        ballot: Ballot,
        base: Slot,
        entries: &[(Slot, LogEntry<C>)],
        out: &mut Out<C>,
    ) {
        let own = self.chosen + 1;
        let Role::Candidate {
            ballot: sought,
            promises,
        } = &mut self.role
        else {
            return;
        };
        if *sought != ballot {
            return;
        }
        if base > own {
            // Something between was chosen and is no longer told: whoever knows it may lead.
            self.role = Role::Follower;
            let ask = Message::CatchUp { from: own };
            return out.sends.push((Whom::One(from), ask));
        }
        promises.insert(from, entries.to_vec());
        self.lead_if_promised(group, out);
    }

    /// Leads, if a majority promised, itself included.
    fn lead_if_promised(&mut self, group: Group<'_>, out: &mut Out<C>) {
        let Role::Candidate { ballot, promises } = &self.role else {
            return;
        };
        if !group.quorum().is_reached(promises.len() as u128 + 1) {
            return;
        }
        let ballot = *ballot;
        let mut best: Map<Slot, LogEntry<C>> = Map::new();
        let own = self.log.range(self.chosen + 1..);
        let told = promises.values().flatten();
        for (slot, entry) in own.chain(told.map(|(slot, entry)| (slot, entry))) {
            if *slot <= self.chosen {
                continue;
            }
            let rank = |entry: &LogEntry<C>| (entry.chosen, entry.ballot);
            match best.get(slot) {
                Some(known) if rank(known) >= rank(entry) => {}
                _ => {
                    best.insert(*slot, entry.clone());
                }
            }
        }
        let last = best.last_key_value().map_or(self.chosen, |(slot, _)| *slot);
        let open = self.chosen + 1..=last;
        self.role = Role::Leader(Leading {
            ballot,
            first: last + 1,
            next: last + 1,
            accepted_by: Map::new(),
            chosen_at: Map::new(),
            probe: 0,
            answered: Map::new(),
        });
        self.leader = Some(ballot);
        for slot in open {
            match best.remove(&slot) {
                Some(entry) if entry.chosen => {
                    self.choose(slot, entry.ballot, entry.req.clone());
                    let (ballot, req) = (entry.ballot, entry.req);
                    let commit = Message::CommitRequest {
                        ballot,
                        seq: slot,
                        req,
                    };
                    out.sends.push((Whom::Others, commit));
                }
                entry => self.offer(group, slot, entry.and_then(|entry| entry.req), out),
            }
        }
        self.append(group, None, out);
    }

    /// Proposes a command in a new slot; `None` if this member does not lead, or too many slots are open.
    pub fn propose(&mut self, group: Group<'_>, command: C) -> Option<(Slot, Out<C>)> {
        let mut out = Out::default();
        let slot = self.append(group, Some(command), &mut out)?;
        Some((slot, out))
    }

    fn append(&mut self, group: Group<'_>, req: Option<C>, out: &mut Out<C>) -> Option<Slot> {
        let chosen = self.chosen;
        let Role::Leader(leading) = &mut self.role else {
            return None;
        };
        let slot = leading.next;
        if slot > chosen + WINDOW {
            return None;
        }
        leading.next = slot + 1;
        self.offer(group, slot, req, out);
        Some(slot)
    }

    /// Accepts an entry under the own ballot, and asks the others to.
    fn offer(&mut self, group: Group<'_>, seq: Slot, req: Option<C>, out: &mut Out<C>) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let ballot = leading.ballot;
        leading.accepted_by.insert(seq, Set::from([group.me]));
        let entry = LogEntry {
            ballot,
            req: req.clone(),
            chosen: false,
        };
        self.log.put(seq, entry);
        out.sends
            .push((Whom::Others, Message::AcceptRequest { ballot, seq, req }));
        self.choose_if_accepted(group, seq, out);
    }

    pub(super) fn on_accepted_reply(
        &mut self,
        group: Group<'_>,
        from: NodeId,
        ballot: Ballot,
        seq: Slot,
        out: &mut Out<C>,
    ) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if leading.ballot != ballot {
            return;
        }
        if let Some(by) = leading.accepted_by.get_mut(&seq)
            && by.insert(from)
        {
            self.choose_if_accepted(group, seq, out);
        }
    }

    pub(super) fn choose_if_accepted(&mut self, group: Group<'_>, seq: Slot, out: &mut Out<C>) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        let by = leading.accepted_by.get(&seq).map_or(0, Set::len);
        if !group.quorum().is_reached(by as u128) {
            return;
        }
        leading.accepted_by.remove(&seq);
        let ballot = leading.ballot;
        let Some(req) = self.log.get(&seq).map(|entry| entry.req.clone()) else {
            return;
        };
        self.choose(seq, ballot, req.clone());
        out.sends
            .push((Whom::Others, Message::CommitRequest { ballot, seq, req }));
    }

    pub(super) fn on_refused(&mut self, ballot: Ballot) {
        // What was promised elsewhere is promised here, so that the next ballot is above it.
        self.promise(ballot);
    }

    /// Upon the heartbeat timer: says that the leader is alive, and asks again for what was not accepted.
    pub fn beat(&mut self) -> Out<C> {
        let mut out = Out::default();
        let chosen = self.chosen;
        let Role::Leader(leading) = &self.role else {
            return out;
        };
        let (ballot, probe) = (leading.ballot, leading.probe);
        let heartbeat = Message::Heartbeat {
            ballot,
            chosen,
            probe,
        };
        out.sends.push((Whom::Others, heartbeat));
        for (seq, _) in leading.accepted_by.iter() {
            if let Some(entry) = self.log.get(seq) {
                let (seq, req) = (*seq, entry.req.clone());
                out.sends
                    .push((Whom::Others, Message::AcceptRequest { ballot, seq, req }));
            }
        }
        out
    }

    pub(super) fn on_heartbeat_reply(
        &mut self,
        group: Group<'_>,
        from: NodeId,
        ballot: Ballot,
        chosen: Slot,
        probe: u64,
        out: &mut Out<C>,
    ) {
        let (own, dropped) = (self.chosen, self.dropped());
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if leading.ballot != ballot || !group.has(from) {
            return;
        }
        let known = leading.chosen_at.get_or_default(from);
        *known = chosen.max(*known);
        let answered = leading.answered.get_or_default(from);
        *answered = probe.max(*answered);
        if chosen < dropped && chosen < own {
            out.lags = Some(from);
        }
    }

    /// Asks the group anew whether this member still leads; the answer is [`Paxos::confirmed`]. `None` if it does not.
    ///
    /// A read that begins now sees everything that was chosen before, once the question is answered and the slots up
    /// to the present [`Paxos::chosen`] are applied: read-index, without leases. (S4-F23)
    pub fn confirm(&mut self) -> Option<(u64, Out<C>)> {
        if !self.is_ready() {
            return None;
        }
        let Role::Leader(leading) = &mut self.role else {
            return None;
        };
        leading.probe += 1;
        let probe = leading.probe;
        Some((probe, self.beat()))
    }

    /// The last question of leadership that a majority answered.
    pub fn confirmed(&self, group: Group<'_>) -> Option<u64> {
        let Role::Leader(leading) = &self.role else {
            return None;
        };
        let others = group.members.iter().filter(|id| **id != group.me);
        let answered = others.map(|id| leading.answered.get(id).copied().unwrap_or(0));
        let mut answered: Vec<u64> = answered.chain([leading.probe]).collect();
        answered.sort_unstable_by_key(|probe| core::cmp::Reverse(*probe));
        let need = usize::try_from(group.quorum().need()).ok()?;
        answered.get(need - 1).copied()
    }

    /// The slot up to which every member's log is chosen, by its own word: what may be dropped without a snapshot.
    pub fn chosen_everywhere(&self, group: Group<'_>) -> Slot {
        let Role::Leader(leading) = &self.role else {
            return 0;
        };
        let others = group.members.iter().filter(|id| **id != group.me);
        let slots = others.map(|id| leading.chosen_at.get(id).copied().unwrap_or(0));
        slots.chain([self.chosen]).min().unwrap_or(0)
    }
}
