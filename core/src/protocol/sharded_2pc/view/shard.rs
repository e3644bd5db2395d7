//! What pictures need of a member: the end of its log, its accounts with what is held, its side of transfers.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::ordered::Set;
use crate::paxos::{Ballot, LogEntry, Slot};
use crate::protocol::sharded_2pc::Sharded2pc;
use crate::protocol::sharded_2pc::command::{Command, Item, Part, Side, TxnId};
use crate::protocol::sharded_2pc::config::Place;
use crate::protocol::sharded_2pc::machine::{Txn, TxnPhase};
use crate::protocol::sharded_2pc::message::transaction_name;
use crate::types::InstanceId;
use crate::view::{
    ACCOUNTS_MAX, AccountView, BallotView, HoldView, SLOTS_MAX, ShardView, SideView, SlotMarker,
    SlotStanding, SlotView,
};

/// A member's part of its cluster; the sides of those transfers that are wanted.
pub(super) fn shard(
    state: &Sharded2pc,
    place: &Place<'_>,
    wanted: impl Fn(InstanceId) -> bool,
) -> ShardView {
    let mut slots: Vec<SlotView> = state
        .paxos
        .entries()
        .rev()
        .take(SLOTS_MAX)
        .map(|(slot, entry)| slot_view(slot, entry, slot <= state.machine.applied()))
        .collect();
    slots.reverse();
    let first_slot = slots.first().map_or(1, |slot| slot.slot);
    let sides = state.machine.transactions();
    let sides = sides.filter(|(id, _)| wanted(id.instance()));
    let mut shard = ShardView {
        group: place.cluster.0,
        ballot: ballot(state.ballot()),
        leads: state.paxos.leads(),
        executed: state.machine.applied(),
        older: first_slot - 1,
        slots,
        sides: sides.map(|(id, txn)| side(id, txn)).collect(),
        ..ShardView::default()
    };
    add_accounts(&mut shard, state, place);
    shard
}

/// A ballot, as pictures name it.
pub(in crate::protocol::sharded_2pc) fn ballot(of: Ballot) -> BallotView {
    BallotView {
        round: of.round,
        node: of.node.0,
    }
}

/// A slot of the log.
pub(in crate::protocol::sharded_2pc) fn slot_view(
    slot: Slot,
    entry: &LogEntry<Command>,
    is_executed: bool,
) -> SlotView {
    let command = entry.req.as_ref();
    let side = command.and_then(|command| match command {
        Command::Prepare { side, .. } | Command::Abort { side, .. } => Some(*side),
        Command::Transfer { .. } | Command::Commit { .. } | Command::Acked { .. } => None,
    });
    let is_within = matches!(command, Some(Command::Transfer { .. }));
    SlotView {
        slot,
        ballot: ballot(entry.ballot),
        standing: match (entry.chosen, is_executed) {
            (true, true) => SlotStanding::Executed,
            (true, false) => SlotStanding::Chosen,
            (false, _) => SlotStanding::Accepted,
        },
        marker: match command {
            None => SlotMarker::Noop,
            Some(Command::Transfer { .. }) => SlotMarker::Transfer,
            Some(Command::Prepare { .. }) => SlotMarker::Prepare,
            Some(Command::Commit { .. }) => SlotMarker::Commit,
            Some(Command::Abort { .. }) => SlotMarker::Abort,
            Some(Command::Acked { .. }) => SlotMarker::Acknowledged,
        },
        seq: command.and_then(Command::seq),
        transfer: command.map(|command| command.id().instance()),
        decides: side.map(Side::coordinates).or(is_within.then_some(true)),
        other: side.map(|side| side.other().0),
        text: super::words(command),
    }
}

fn side(id: TxnId, txn: &Txn) -> SideView {
    let reason = match txn.phase {
        TxnPhase::Prepared(Err(reason)) | TxnPhase::Aborted(reason) => reason.name(),
        TxnPhase::Prepared(Ok(())) | TxnPhase::Committed => "",
    };
    SideView {
        transfer: id.instance(),
        decides: txn.side.coordinates(),
        other: txn.side.other().0,
        seq: txn.seq,
        reason: reason.to_string(),
        commits: txn.phase == TxnPhase::Committed,
    }
}

/// Every account that differs from the beginning, is held, left, or was named in the beginning.
fn add_accounts(shard: &mut ShardView, state: &Sharded2pc, place: &Place<'_>) {
    let machine = &state.machine;
    let named = place.config.balances.iter().map(|(item, _)| *item);
    let named = named.filter(|item| place.owner(*item) == Some(place.cluster));
    let touched = machine.touched().map(|(item, _, _)| item);
    let items: Set<Item> = named.chain(touched).chain(machine.moved()).collect();
    for item in items.iter().copied() {
        let balance = machine.balance(place, item);
        shard.sum = shard.sum.saturating_add(balance.unwrap_or(0));
        if place.owner(item) == Some(place.cluster) {
            let first = place.config.first_balance(item);
            shard.first = shard.first.saturating_add(first);
        }
        let account = AccountView {
            item: u64::from(item),
            balance,
            hold: machine.lock(item).map(|id| held(state, id)),
        };
        shard.accounts.push(account);
    }
    keep_few(shard);
}

/// Leaves out accounts beyond what is listed, of those that nothing is held of.
pub(in crate::protocol::sharded_2pc) fn keep_few(shard: &mut ShardView) {
    let mut excess = shard.accounts.len().saturating_sub(ACCOUNTS_MAX);
    shard.more = excess as u64;
    let mut kept: Vec<AccountView> = Vec::new();
    while let Some(account) = shard.accounts.pop() {
        if excess > 0 && account.hold.is_none() {
            excess -= 1;
        } else {
            kept.push(account);
        }
    }
    kept.reverse();
    shard.accounts = kept;
}

fn held(state: &Sharded2pc, id: TxnId) -> HoldView {
    let row = state.machine.transaction(id);
    let carried = row.map_or(0, |txn| txn.carried);
    hold(id, row.and_then(|txn| txn.part), carried)
}

/// What a transaction keeps back.
pub(in crate::protocol::sharded_2pc) fn hold(
    id: TxnId,
    part: Option<Part>,
    carried: u64,
) -> HoldView {
    let (amount, comes) = match part {
        Some(Part::Debit { amount, .. }) => (amount, false),
        Some(Part::Credit { amount, .. }) => (amount, true),
        Some(Part::Leave { .. }) => (carried, false),
        Some(Part::Arrive { balance, .. }) => (balance, true),
        None => (0, false),
    };
    HoldView {
        transfer: id.instance(),
        name: transaction_name(id),
        amount,
        comes,
    }
}
