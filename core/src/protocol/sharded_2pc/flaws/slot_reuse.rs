//! S4-F2: C and A are logged in the slot of their P. Whoever applied P there applies the outcome there again, if it hears
//! of it; a new leader asks for slots that it does not know to be chosen, and finds whichever command it has.

use crate::paxos::{self, Slot};
use crate::protocol::sharded_2pc::command::Command;
use crate::protocol::sharded_2pc::{Cx, Sharded2pc, flaws};
use crate::types::NodeId;

/// The slot in which a command is proposed a second time, if it is.
pub(in super::super) fn slot_of(cx: Cx<'_, '_>, command: &Command) -> Option<Slot> {
    command
        .seq()
        .filter(|_| flaws::reuses_the_slot(cx.env().flaws))
}

impl Sharded2pc {
    /// Hears what a member of the group says of a slot that may hold two commands.
    pub(in super::super) fn receive_reusing(
        &mut self,
        cx: Cx<'_, '_>,
        from: NodeId,
        message: &paxos::Message<Command>,
    ) {
        let applied = self.machine.applied();
        let again = match message {
            paxos::Message::AcceptRequest { ballot, seq, req } if ballot.node == from => {
                self.paxos.accept_again(*ballot, *seq, req);
                None
            }
            paxos::Message::AcceptedReply { seq, .. } => self.paxos.acceptances(*seq).map(|_| *seq),
            paxos::Message::CommitRequest { ballot, seq, req } => {
                self.paxos.accept_again(*ballot, *seq, req);
                Some(*seq)
            }
            _ => None,
        };
        self.with_log(cx, |paxos, group| ((), paxos.receive(group, from, message)));
        if let Some(slot) = again.filter(|slot| *slot <= applied)
            && self.paxos.acceptances(slot).is_none()
        {
            self.apply_again(cx, slot);
        }
    }

    /// Applies what stands in a slot now, if its transaction has no outcome yet.
    pub(in super::super) fn apply_again(&mut self, cx: Cx<'_, '_>, slot: Slot) {
        let Some(entry) = self.paxos.entry(slot).cloned() else {
            return;
        };
        let row = entry
            .req
            .as_ref()
            .and_then(|command| self.machine.transaction(command.id()));
        let is_open = row.is_some_and(|txn| !txn.phase.is_outcome());
        let is_outcome = entry.req.as_ref().is_some_and(|req| req.seq().is_some());
        if is_open && is_outcome {
            self.apply(cx, slot, &entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paxos::{Ballot, Group, Paxos, Tables};
    use crate::store::{Rows, TableId, TableSpec};

    #[test]
    fn a_slot_that_is_proposed_in_again_holds_the_second_command_and_stays_chosen() {
        let table = |id, name| TableSpec {
            id: TableId(id),
            name,
        };
        let tables = Tables {
            promised: table(1, "promised"),
            log: table(2, "log"),
        };
        let mut paxos: Paxos<u32> = Paxos::load(tables, &Rows::default()).unwrap();
        let members = [NodeId(1)];
        let group = Group {
            me: NodeId(1),
            members: &members,
        };
        paxos.elect(group);
        let (slot, _) = paxos.propose(group, 7).unwrap();
        assert_eq!((paxos.chosen(), slot), (2, 2));
        paxos.propose_again(group, slot, 8).unwrap();
        let entry = paxos.entry(slot).unwrap();
        assert_eq!(
            (entry.req, entry.chosen, paxos.chosen()),
            (Some(8), true, 2)
        );
        paxos.accept_again(Ballot::default(), slot, &Some(9));
        assert_eq!(paxos.entry(slot).unwrap().req, Some(8), "a lower ballot");
    }
}
