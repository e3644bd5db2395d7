//! What the document does to balances: execution, and `handle2PCPhase`.

use alloc::format;

use super::super::follow::tell_phase;
use super::super::message::{committed_value, slot_id};
use super::super::{Sharded2pc, phase};
use super::{Command, Cx, End, Item, Outcome, Part, Place, Reason, TxnId, Written, trim};
use crate::engine::Env;
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::paxos::Slot;
use crate::types::{Hash32, Round};

/// Why an item holds what it holds, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It was executed.
    Executed,
    /// It was put back.
    RolledBack,
    /// It was found so.
    Found,
}

/// What a node says that an item holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) item: Item,
    pub(super) balance: u64,
    pub(super) why: Why,
}

impl Holding {
    /// As the value of a record.
    fn write(self) -> Hash32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&self.item.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.balance.to_le_bytes());
        bytes[12] = match self.why {
            Why::Executed => 1,
            Why::RolledBack => 2,
            Why::Found => 3,
        };
        Hash32(bytes)
    }

    /// From the value of a record.
    pub(super) fn read(value: Hash32) -> Option<Holding> {
        let bytes = value.0;
        Some(Holding {
            item: Item::from_le_bytes(bytes[..4].try_into().ok()?),
            balance: u64::from_le_bytes(bytes[4..12].try_into().ok()?),
            why: match bytes[12] {
                1 => Why::Executed,
                2 => Why::RolledBack,
                3 => Why::Found,
                _ => return None,
            },
        })
    }
}

impl Written {
    pub(super) fn balance(&self, env: &Env<Sharded2pc>, item: Item) -> u64 {
        let held = self.accounts.get(&item).copied();
        held.unwrap_or_else(|| env.config.first_balance(item))
    }

    /// Saves a balance to disk. (S4-17)
    fn save(&mut self, cx: Cx<'_, '_>, id: TxnId, item: Item, balance: u64, why: Why) {
        self.accounts.put(item, balance);
        tell_holding(cx, id, Holding { item, balance, why });
    }

    /// What an earlier life saved it may not have lived to tell.
    pub(super) fn tell_accounts(&self, cx: Cx<'_, '_>) {
        let why = Why::Found;
        for (item, balance) in self.accounts.iter() {
            let (item, balance) = (*item, *balance);
            tell_holding(cx, TxnId::default(), Holding { item, balance, why });
        }
    }

    /// Executes an entry, whatever came before it: check and deduct in one step. (S4-16, S4-64, S4-F28)
    pub(super) fn execute(&mut self, cx: Cx<'_, '_>, seq: Slot, command: &Command) {
        let id = command.id();
        let result = match command {
            Command::Prepare { part, .. } => self.take(cx, id, *part),
            Command::Transfer {
                sender,
                receiver,
                amount,
                ..
            } => {
                let (item, amount) = (*receiver, *amount);
                let credit = Part::Credit { item, amount };
                let item = *sender;
                let debit = Part::Debit { item, amount };
                self.may(cx.env(), debit)
                    .and_then(|()| self.may(cx.env(), credit))
                    .and_then(|()| self.take(cx, id, debit))
                    .and_then(|()| self.take(cx, id, credit))
            }
            Command::Commit { .. } | Command::Abort { .. } | Command::Acked { .. } => return,
        };
        self.results.insert(seq, result);
        trim(&mut self.results);
        self.last_executed.put(0, seq);
        let slot = slot_id(Place::of(cx.env()).cluster, seq);
        tell_phase(cx, slot, phase::EXECUTED, Round(0));
        match command {
            Command::Prepare { .. } => {
                let entered = if result.is_ok() {
                    phase::PREPARED
                } else {
                    phase::REFUSED
                };
                tell_phase(cx, id.instance(), entered, Round(0));
            }
            _ => self.tell_end(cx, id, result.is_ok()),
        }
    }

    fn may(&self, env: &Env<Sharded2pc>, part: Part) -> Outcome {
        let held = self.balance(env, part.item());
        match part {
            Part::Debit { amount, .. } if held < amount => Err(Reason::InsufficientBalance),
            Part::Credit { amount, .. } if held.checked_add(amount).is_none() => {
                Err(Reason::Overflow)
            }
            Part::Debit { .. } | Part::Credit { .. } => Ok(()),
            Part::Leave { .. } | Part::Arrive { .. } => Err(Reason::Invalid),
        }
    }

    fn take(&mut self, cx: Cx<'_, '_>, id: TxnId, part: Part) -> Outcome {
        self.may(cx.env(), part)?;
        let held = self.balance(cx.env(), part.item());
        match part {
            Part::Debit { item, amount } => {
                self.save(cx, id, item, held.saturating_sub(amount), Why::Executed);
            }
            Part::Credit { item, amount } => {
                self.save(cx, id, item, held.saturating_add(amount), Why::Executed);
            }
            Part::Leave { .. } | Part::Arrive { .. } => {}
        }
        Ok(())
    }

    /// Keeps the write-ahead record of a transaction, on whichever node. (S4-32)
    pub(super) fn handle_2pc_phase(&mut self, cx: Cx<'_, '_>, command: &Command) {
        let id = command.id();
        match command {
            Command::Prepare { part, .. } => {
                let (item, side) = match part {
                    Part::Debit { item, .. } => (*item, "sender"),
                    other => (other.item(), "receiver"),
                };
                let old = self.balance(cx.env(), item);
                self.wal.get_or_default(id).insert(item, old);
                trim(&mut self.wal);
                self.lines.say(format!("Saved {side} WAL[{item}]={old}"));
            }
            Command::Commit { .. } => {
                if self.wal.remove(&id).is_some() {
                    self.lines.say("Deleted WAL (changes committed)".into());
                }
            }
            Command::Abort { .. } => {
                let records = self.wal.remove(&id).unwrap_or_default();
                for (item, old) in records.iter() {
                    self.restore(cx, id, *item, *old);
                }
            }
            Command::Transfer { .. } | Command::Acked { .. } => {}
        }
    }

    /// Puts an old balance back, whatever the item holds now. (S4-F5)
    pub(super) fn restore(&mut self, cx: Cx<'_, '_>, id: TxnId, item: Item, old: u64) {
        let now = self.balance(cx.env(), item);
        self.lines
            .say(format!("Rolled back item {item}: {now} → {old}"));
        self.save(cx, id, item, old, Why::RolledBack);
        cx.count("sharded_2pc_rollbacks_total");
    }

    /// States how a transaction ended, unless that was said.
    pub(super) fn tell_end(&mut self, cx: Cx<'_, '_>, id: TxnId, is_committed: bool) {
        if self
            .ends
            .get(&id)
            .is_some_and(|end| end.is_committed == is_committed)
        {
            return;
        }
        let is_done = false;
        self.ends.insert(
            id,
            End {
                is_committed,
                is_done,
            },
        );
        trim(&mut self.ends);
        let (kind, event, entered, counter) = if is_committed {
            let counter = "sharded_2pc_commits_total";
            let (kind, event) = (RecordKind::Decided, EventKind::Decided);
            (kind, event, phase::COMMITTED, counter)
        } else {
            let counter = "sharded_2pc_aborts_total";
            let (kind, event) = (RecordKind::Abandoned, EventKind::Abandoned);
            (kind, event, phase::ABORTED, counter)
        };
        cx.count(counter);
        let value = is_committed.then(|| committed_value(id));
        let (instance, round) = (id.instance(), Round(0));
        cx.record(Record {
            kind,
            instance,
            value,
            round,
        });
        cx.emit(Level::Decisions, || {
            Event::new(event, Some(instance), round).value(value)
        });
        tell_phase(cx, instance, entered, round);
    }
}

fn tell_holding(cx: Cx<'_, '_>, id: TxnId, holding: Holding) {
    cx.record(Record {
        kind: RecordKind::Completed,
        instance: id.instance(),
        value: Some(holding.write()),
        round: Round(0),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_that_it_holds_is_read_back() {
        for why in [Why::Executed, Why::RolledBack, Why::Found] {
            let holding = Holding {
                item: 3_001,
                balance: u64::MAX,
                why,
            };
            assert_eq!(Holding::read(holding.write()), Some(holding));
        }
        assert_eq!(Holding::read(Hash32([0; 32])), None);
    }
}
