//! What an entry does.

use alloc::vec::Vec;

use super::{Applied, Client, Machine, Outcome, Txn, TxnPhase};
use crate::paxos::Slot;
use crate::protocol::sharded_2pc::command::{Command, Item, Part, Reason, Side, TxnId};
use crate::protocol::sharded_2pc::config::Place;
use crate::protocol::sharded_2pc::flaws;
use crate::types::ClientId;

impl Machine {
    /// Applies the entry of the next slot.
    pub fn apply(&mut self, place: &Place<'_>, slot: Slot, command: Option<&Command>) -> Applied {
        debug_assert_eq!(
            slot,
            self.applied() + 1,
            "slots are applied in order, each once"
        );
        self.applied.put(0, slot);
        self.execute(place, slot, command)
    }

    /// What an entry does, in whichever slot.
    pub(in crate::protocol::sharded_2pc) fn execute(
        &mut self,
        place: &Place<'_>,
        slot: Slot,
        command: Option<&Command>,
    ) -> Applied {
        match command {
            None => {
                self.change_leader(place);
                Applied::Nothing
            }
            Some(Command::Transfer {
                id,
                sender,
                receiver,
                amount,
                last,
            }) => {
                if self.balance(place, *sender).is_none() {
                    return Applied::Elsewhere(*id);
                }
                let outcome = self.transfer(place, *id, *sender, *receiver, *amount);
                self.answer_transfer(*id, outcome, *last)
            }
            Some(Command::Prepare { id, part, side }) => {
                let leaves = matches!(part, Part::Debit { .. } | Part::Leave { .. });
                if leaves && self.balance(place, part.item()).is_none() {
                    return Applied::Elsewhere(*id);
                }
                self.prepare(place, slot, *id, *part, *side);
                Applied::Voted(*id)
            }
            Some(Command::Commit { id, clients, .. }) => self.commit(place, *id, clients),
            Some(Command::Abort {
                id,
                seq,
                reason,
                side,
                last,
            }) => self.abort(place, *id, *seq, *reason, *side, *last),
            Some(Command::Acked { id }) => {
                let is_due = |txn: &Txn| txn.phase.is_outcome() && !txn.acked;
                let row = self.transactions.get(id).cloned();
                let Some(txn) = row.filter(is_due) else {
                    return Applied::Nothing;
                };
                self.clean_up(place, &txn);
                if let Some(txn) = self.transactions.get_mut(id) {
                    txn.acked = true;
                }
                self.forget_old(*id);
                Applied::Acked(*id)
            }
        }
    }

    /// What a transfer within the cluster comes to; `None` if it was applied before.
    fn transfer(
        &mut self,
        place: &Place<'_>,
        id: TxnId,
        sender: Item,
        receiver: Item,
        amount: u64,
    ) -> Option<Outcome> {
        if self.is_old(id) {
            return None;
        }
        self.note(id, None);
        let debit = Part::Debit {
            item: sender,
            amount,
        };
        let credit = Part::Credit {
            item: receiver,
            amount,
        };
        let may = self
            .may(place, id, debit)
            .and_then(|()| self.may(place, id, credit))
            .and_then(|()| {
                let is_itself = sender == receiver;
                if is_itself {
                    Err(Reason::Invalid)
                } else {
                    Ok(())
                }
            });
        let may = if self.holds_for_earlier(place, id) {
            Err(Reason::Locked)
        } else {
            may
        };
        if may.is_ok() {
            self.take_effect(place, debit, 0);
            self.take_effect(place, credit, 0);
        }
        Some(may)
    }

    fn answer_transfer(&mut self, id: TxnId, outcome: Option<Outcome>, last: bool) -> Applied {
        match outcome {
            None => Applied::Nothing,
            Some(Err(Reason::Locked)) if !last => Applied::InTheWay(id),
            Some(outcome) => {
                self.note(id, Some(outcome));
                Applied::Answered(id, outcome)
            }
        }
    }

    /// Whether an attempt is over, or its client has moved on: a P of it will never hold anything.
    pub fn is_old(&self, id: TxnId) -> bool {
        self.clients
            .get(&(id.client, id.home))
            .is_some_and(|known| {
                let newer = (known.number, known.attempt) > (id.number, id.attempt);
                newer || (known.number == id.number && known.outcome.is_some())
            })
    }

    /// Notes how far a client is; never back.
    fn note(&mut self, id: TxnId, outcome: Option<Outcome>) {
        let known = self.clients.get(&(id.client, id.home));
        if known.is_some_and(|known| (known.number, known.attempt) > (id.number, id.attempt)) {
            return;
        }
        let before = known.filter(|known| known.number == id.number);
        let outcome = before.and_then(|known| known.outcome).or(outcome);
        let (number, attempt, home) = (id.number, id.attempt, id.home);
        self.clients.put(
            (id.client, id.home),
            Client {
                number,
                attempt,
                home,
                outcome,
            },
        );
        self.forget_old(id);
    }

    /// Drops the rows of a client's earlier transactions that nobody asks for any more.
    fn forget_old(&mut self, id: TxnId) {
        let Some(known) = self.clients.get(&(id.client, id.home)).copied() else {
            return;
        };
        let from = TxnId {
            number: 0,
            attempt: 0,
            ..id
        };
        let upto = TxnId {
            number: known.number,
            attempt: known.attempt,
            ..id
        };
        let rows = self.transactions.range(from..upto);
        let over = rows
            .filter(|(_, txn)| txn.phase.is_outcome() && (txn.acked || !txn.side.coordinates()));
        let over: Vec<TxnId> = over.map(|(id, _)| *id).collect();
        over.iter().for_each(|id| self.transactions.delete(id));
    }

    fn prepare(&mut self, place: &Place<'_>, slot: Slot, id: TxnId, part: Part, side: Side) {
        if self.transactions.contains(&id) || self.is_old(id) {
            return;
        }
        let vote = if self.holds_for_earlier(place, id) {
            Err(Reason::Locked)
        } else {
            self.may(place, id, part)
        };
        self.note(id, None);
        let mut carried = 0;
        if vote.is_ok() {
            self.locks.put(part.item(), id);
            carried = match part {
                Part::Leave { item, .. } => self.balance(place, item).unwrap_or(0),
                _ => self.image(place, id, part),
            };
            self.move_early(place, part);
        }
        self.transactions.put(
            id,
            Txn {
                phase: TxnPhase::Prepared(vote),
                seq: slot,
                part: Some(part),
                side,
                carried,
                clients: Vec::new(),
                acked: false,
            },
        );
    }

    /// Whether an earlier attempt at the same request may still commit.
    fn holds_for_earlier(&self, place: &Place<'_>, id: TxnId) -> bool {
        let attempts = TxnId { attempt: 0, ..id }..id;
        let mut earlier = self.transactions.range(attempts);
        earlier.any(|(_, txn)| txn.phase == TxnPhase::Prepared(Ok(()))) && flaws::joins(place.flaws)
    }

    /// Whether a part could take effect now.
    fn may(&self, place: &Place<'_>, id: TxnId, part: Part) -> Result<(), Reason> {
        let item = part.item();
        let is_here = self.home(place, item) == Some(place.cluster);
        let comes = matches!(part, Part::Arrive { .. });
        if !part.is_sound() {
            return Err(Reason::Invalid);
        }
        if place.owner(item).is_none() || is_here == comes {
            return Err(Reason::NotHere);
        }
        if self.is_in_the_way(place, item, id) {
            return Err(Reason::Locked);
        }
        let held = self.balance(place, item).unwrap_or(0);
        match part {
            Part::Debit { amount, .. } if held < amount => Err(Reason::InsufficientBalance),
            Part::Credit { amount, .. } if held.checked_add(amount).is_none() => {
                Err(Reason::Overflow)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn take_effect(&mut self, place: &Place<'_>, part: Part, carried: u64) {
        let item = part.item();
        let held = self.balance(place, item).unwrap_or(0);
        match part {
            Part::Debit { amount, .. } => self.accounts.put(item, held.saturating_sub(amount)),
            Part::Credit { amount, .. } => self.accounts.put(item, held.saturating_add(amount)),
            Part::Leave { to, .. } => {
                debug_assert!(
                    carried == held || !place.flaws.is_empty(),
                    "what is held does not change"
                );
                self.homes.put(item, to);
                self.accounts.delete(&item);
            }
            Part::Arrive { balance, .. } => {
                self.homes.put(item, place.cluster);
                self.accounts.put(item, balance);
            }
        }
    }

    fn commit(&mut self, place: &Place<'_>, id: TxnId, clients: &[(ClientId, Client)]) -> Applied {
        let Some(txn) = self.transactions.get(&id).cloned() else {
            return Applied::Nothing;
        };
        let (TxnPhase::Prepared(Ok(())), Some(part)) = (txn.phase, txn.part) else {
            return self.overrule(place, id, TxnPhase::Committed);
        };
        for _ in 0..self.executions(place, part) {
            self.take_effect(place, part, txn.carried);
        }
        self.end(id, Some(part), TxnPhase::Committed);
        if txn.side.coordinates() {
            self.note(id, Some(Ok(())));
        }
        match part {
            Part::Leave { .. } => {
                let clients = self.clients(place.cluster);
                let clients = clients.map(|(client, known)| (client, *known)).collect();
                if let Some(txn) = self.transactions.get_mut(&id) {
                    txn.clients = clients;
                }
            }
            Part::Arrive { .. } => self.learn(place, clients),
            Part::Debit { .. } | Part::Credit { .. } => {}
        }
        Applied::Ended(id)
    }

    /// Takes over how far clients are where an item comes from.
    fn learn(&mut self, place: &Place<'_>, clients: &[(ClientId, Client)]) {
        for (client, theirs) in clients {
            let key = (*client, place.cluster);
            let own = self.clients.get(&key);
            let is_news = own.is_none_or(|own| {
                let is_same = own.number == theirs.number;
                own.number < theirs.number
                    || is_same && own.outcome.is_none() && theirs.outcome.is_some()
            });
            if is_news {
                // Attempts here are counted anew.
                let attempt = theirs.outcome.map_or(0, |_| theirs.attempt);
                self.clients.put(key, Client { attempt, ..*theirs });
            }
        }
    }

    fn abort(
        &mut self,
        place: &Place<'_>,
        id: TxnId,
        label: Slot,
        reason: Reason,
        side: Side,
        last: bool,
    ) -> Applied {
        let row = self.transactions.get(&id).cloned();
        // Where the sender went meanwhile, the request can still be done.
        let item = row.as_ref().and_then(|txn| txn.part).map(Part::item);
        let is_here = item.is_some_and(|item| self.balance(place, item).is_some());
        match row {
            // A P of it holds nothing anyhow.
            None if self.is_old(id) => return Applied::Nothing,
            None => {
                self.note(id, None);
                let phase = TxnPhase::Aborted(reason);
                self.transactions.put(
                    id,
                    Txn {
                        phase,
                        seq: 0,
                        part: None,
                        side,
                        carried: 0,
                        clients: Vec::new(),
                        acked: false,
                    },
                );
            }
            Some(txn) if txn.phase.is_outcome() => {
                return self.overrule(place, id, TxnPhase::Aborted(reason));
            }
            Some(txn) => {
                // Whatever its label is, it is the A of this P; only where S4-F12 is restored it may name none.
                let part = txn.part.filter(|_| label != flaws::NO_LABEL);
                if let Some(part) = part {
                    self.undo(place, &txn, part);
                }
                self.end(id, part, TxnPhase::Aborted(reason));
            }
        }
        if side.coordinates() && last && is_here {
            self.note(id, Some(Err(reason)));
        }
        Applied::Ended(id)
    }

    pub(super) fn end(&mut self, id: TxnId, part: Option<Part>, phase: TxnPhase) {
        if let Some(part) = part
            && self.locks.get(&part.item()) == Some(&id)
        {
            self.locks.delete(&part.item());
        }
        if let Some(txn) = self.transactions.get_mut(&id) {
            txn.enter(phase);
        }
        self.forget_old(id);
    }
}
