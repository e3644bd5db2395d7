//! What a flaw does to the accounts when it is restored: under hardened rules none of it changes anything. Which rules
//! are asked is said in [`flaws`].

use super::{Applied, Machine, Txn, TxnPhase};
use crate::protocol::sharded_2pc::command::{Command, Item, Part, TxnId};
use crate::protocol::sharded_2pc::config::Place;
use crate::protocol::sharded_2pc::flaws;
use crate::store::Table;

/// What goes the other way.
const fn back(part: Part) -> Option<Part> {
    match part {
        Part::Debit { item, amount } => Some(Part::Credit { item, amount }),
        Part::Credit { item, amount } => Some(Part::Debit { item, amount }),
        Part::Leave { .. } | Part::Arrive { .. } => None,
    }
}

fn clear<K: crate::codec::Key + Copy, V: Clone>(table: &mut Table<K, V>) {
    let keys: alloc::vec::Vec<K> = table.iter().map(|(key, _)| *key).collect();
    keys.iter().for_each(|key| table.delete(key));
}

impl Machine {
    /// What a member does when it accepts an entry, which may never be chosen. (S4-F6, S4-F7)
    pub(in crate::protocol::sharded_2pc) fn accept(
        &mut self,
        place: &Place<'_>,
        command: &Command,
    ) {
        match command {
            Command::Prepare { id, part, .. } if flaws::restores_what_was_accepted(place.flaws) => {
                if let Some(held) = self.balance(place, part.item()) {
                    self.images.get_or_insert_with(*id, || held);
                }
            }
            Command::Abort { id, reason, .. } if flaws::undoes_at_accept(place.flaws) => {
                let row = self.transactions.get(id).cloned();
                if let Some(txn) = row.filter(|txn| !txn.phase.is_outcome()) {
                    self.end(*id, txn.part, TxnPhase::Aborted(*reason));
                }
            }
            _ => {}
        }
    }

    /// What a leader does when it proposes an entry, which may never be chosen. (S4-F8)
    pub(in crate::protocol::sharded_2pc) fn offer(&mut self, place: &Place<'_>, command: &Command) {
        let Command::Commit { id, .. } = command else {
            return;
        };
        let part = self.transactions.get(id).and_then(|txn| txn.part);
        if let Some(part) = part
            && flaws::releases_at_proposal(place.flaws)
            && self.locks.get(&part.item()) == Some(id)
        {
            self.locks.delete(&part.item());
        }
    }

    /// Another leader begins. (S4-F5, S4-F15)
    pub(super) fn change_leader(&mut self, place: &Place<'_>) {
        if !flaws::keeps_locks(place.flaws) {
            clear(&mut self.locks);
        }
        if !flaws::keeps_replies(place.flaws) {
            clear(&mut self.clients);
        }
    }

    /// What an item held that an abort will write back; 0 where none will. (S4-F5, S4-F6, S4-F18)
    pub(super) fn image(&self, place: &Place<'_>, id: TxnId, part: Part) -> u64 {
        if back(part).is_none() || !writes_back(place) {
            return 0;
        }
        let now = self.balance(place, part.item()).unwrap_or(0);
        self.images.get(&id).copied().unwrap_or(now)
    }

    /// Moves money at P. (S4-F4)
    pub(super) fn move_early(&mut self, place: &Place<'_>, part: Part) {
        if flaws::moves_at_prepare(place.flaws) && back(part).is_some() {
            self.take_effect(place, part, 0);
        }
    }

    /// How often a part takes effect at C. (S4-F4, S4-F17)
    pub(super) fn executions(&self, place: &Place<'_>, part: Part) -> u32 {
        match back(part) {
            None => 1,
            Some(_) if flaws::moves_at_prepare(place.flaws) => 0,
            Some(_) => flaws::executions(place.flaws),
        }
    }

    /// What an A takes back of a P that was applied with yes. (S4-F4, S4-F5, S4-F6)
    pub(super) fn undo(&mut self, place: &Place<'_>, txn: &Txn, part: Part) {
        let Some(reverse) = back(part).filter(|_| txn.phase == TxnPhase::Prepared(Ok(()))) else {
            return;
        };
        if flaws::moves_at_prepare(place.flaws) {
            self.take_effect(place, reverse, 0);
        }
        if writes_back(place) {
            self.accounts.put(part.item(), txn.carried);
        }
    }

    /// The clean-up of a transaction that was acknowledged. (S4-F18)
    pub(super) fn clean_up(&mut self, place: &Place<'_>, txn: &Txn) {
        if let (TxnPhase::Aborted(_), Some(part)) = (txn.phase, txn.part)
            && flaws::undoes_at_cleanup(place.flaws)
            && back(part).is_some()
        {
            self.accounts.put(part.item(), txn.carried);
        }
    }

    /// An outcome after an outcome. (S4-F31)
    pub(super) fn overrule(&mut self, place: &Place<'_>, id: TxnId, to: TxnPhase) -> Applied {
        let Some(txn) = self.transactions.get(&id).cloned() else {
            return Applied::Nothing;
        };
        let reverse = txn.part.and_then(back);
        let (Some(part), Some(reverse)) = (txn.part, reverse) else {
            return Applied::Nothing;
        };
        if flaws::first_outcome_stands(place.flaws) {
            return Applied::Nothing;
        }
        match (txn.phase, to) {
            (TxnPhase::Committed, TxnPhase::Aborted(_)) => self.take_effect(place, reverse, 0),
            (TxnPhase::Aborted(_), TxnPhase::Committed) => self.take_effect(place, part, 0),
            _ => return Applied::Nothing,
        }
        if let Some(txn) = self.transactions.get_mut(&id) {
            txn.phase = to;
        }
        Applied::Ended(id)
    }

    /// Whether an item is held by somebody who is in the way. (S4-F16)
    pub(super) fn is_in_the_way(&self, place: &Place<'_>, item: Item, id: TxnId) -> bool {
        let holder = self.locks.get(&item);
        holder.is_some_and(|holder| holder.client != id.client || flaws::joins(place.flaws))
    }
}

/// Whether some abort writes back what an item held.
fn writes_back(place: &Place<'_>) -> bool {
    !flaws::keeps_locks(place.flaws)
        || flaws::restores_what_was_accepted(place.flaws)
        || flaws::undoes_at_cleanup(place.flaws)
}
