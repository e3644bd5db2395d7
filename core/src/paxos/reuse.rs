//! A second command in a slot that has one: what seeds/004 does, and Paxos never. Nothing here is called under hardened
//! rules. (S4-F2)

use super::{Ballot, Group, LogEntry, Message, Out, Paxos, Role, Slot, Whom};
use crate::ordered::Set;

impl<C: Clone + Eq> Paxos<C> {
    /// Proposes another command in a slot that is chosen; `None` if this member does not lead.
    pub fn propose_again(&mut self, group: Group<'_>, seq: Slot, command: C) -> Option<Out<C>> {
        let mut out = Out::default();
        let Role::Leader(leading) = &mut self.role else {
            return None;
        };
        let ballot = leading.ballot;
        leading.accepted_by.insert(seq, Set::from([group.me]));
        let req = Some(command);
        self.accept_again(ballot, seq, &req);
        out.sends
            .push((Whom::Others, Message::AcceptRequest { ballot, seq, req }));
        self.choose_if_accepted(group, seq, &mut out);
        Some(out)
    }

    /// Accepts another command in a slot that is chosen, unless a higher ballot was promised.
    pub fn accept_again(&mut self, ballot: Ballot, seq: Slot, req: &Option<C>) {
        let is_here = seq <= self.chosen && self.log.contains(&seq);
        if is_here && ballot >= self.promised() {
            let entry = LogEntry {
                ballot,
                req: req.clone(),
                chosen: true,
            };
            self.log.put(seq, entry);
        }
    }

    /// The first slot that this leader proposed in of its own.
    pub fn first_own(&self) -> Option<Slot> {
        match &self.role {
            Role::Leader(leading) => Some(leading.first),
            _ => None,
        }
    }
}
