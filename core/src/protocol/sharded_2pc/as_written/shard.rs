//! What pictures need of a node under the document's rules.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Command, Item, Place, Stage, Txn, TxnId, Written};
use crate::ordered::{Map, Set};
use crate::protocol::sharded_2pc::view::shard::{ballot, hold, keep_few, slot_view};
use crate::types::InstanceId;
use crate::view::{AccountView, SLOTS_MAX, ShardView, SideView, SlotView};

/// A node's part of its cluster; the sides of those transfers that are wanted.
pub(super) fn shard(
    state: &Written,
    place: &Place<'_>,
    wanted: impl Fn(InstanceId) -> bool,
) -> ShardView {
    let mut slots: Vec<SlotView> = state
        .log
        .iter()
        .rev()
        .take(SLOTS_MAX)
        .map(|(slot, entry)| slot_view(*slot, entry, state.results.contains_key(slot)))
        .collect();
    slots.reverse();
    let first_slot = slots.first().map_or(1, |slot| slot.slot);
    let mut shard = ShardView {
        group: place.cluster.0,
        ballot: ballot(state.leader.unwrap_or_default()),
        leads: state.leads(),
        executed: state.executed(),
        older: first_slot - 1,
        slots,
        sides: sides(state, wanted),
        ..ShardView::default()
    };
    let named = place.config.balances.iter().map(|(item, _)| *item);
    let named = named.filter(|item| place.owner(*item) == Some(place.cluster));
    let changed = state.accounts.iter().map(|(item, _)| *item);
    let items: Set<Item> = named
        .chain(changed)
        .chain(state.locks.keys().copied())
        .collect();
    for item in items.iter().copied() {
        let first = place.config.first_balance(item);
        let balance = state.accounts.get(&item).copied().unwrap_or(first);
        shard.sum = shard.sum.saturating_add(balance);
        shard.first = shard.first.saturating_add(first);
        let part = |id: &TxnId| state.transactions.get(id).map(|txn| txn.part);
        shard.accounts.push(AccountView {
            item: u64::from(item),
            balance: Some(balance),
            hold: state.locks.get(&item).map(|id| hold(*id, part(id), 0)),
        });
    }
    keep_few(&mut shard);
    shard
}

/// Sides of the transfers that are under way, and of those whose end is known. Only a leader knows the first. (S4-46)
fn sides(state: &Written, wanted: impl Fn(InstanceId) -> bool) -> Vec<SideView> {
    let mut sides: Map<TxnId, SideView> = Map::new();
    for (id, end) in state.ends.iter() {
        let of = SideView {
            commits: end.is_committed,
            ..logged(state, *id)
        };
        sides.insert(*id, of);
    }
    for (id, txn) in state.transactions.iter() {
        sides.insert(*id, under_way(logged(state, *id), txn));
    }
    sides.retain(|id, _| wanted(id.instance()));
    sides.iter().map(|(_, side)| side.clone()).collect()
}

/// What the log tells of a transaction.
fn logged(state: &Written, id: TxnId) -> SideView {
    let mut side = SideView {
        transfer: id.instance(),
        decides: false,
        other: 0,
        seq: 0,
        reason: Default::default(),
        commits: false,
    };
    for (slot, entry) in state.log.iter() {
        match &entry.req {
            Some(Command::Prepare {
                id: of, side: on, ..
            }) if *of == id => {
                (side.decides, side.other, side.seq) = (on.coordinates(), on.other().0, *slot);
            }
            Some(Command::Abort {
                id: of,
                side: on,
                reason,
                ..
            }) if *of == id => {
                (side.decides, side.other, side.seq) = (on.coordinates(), on.other().0, *slot);
                side.reason = reason.name().to_string();
            }
            Some(Command::Commit { id: of, .. }) if *of == id => side.seq = *slot,
            _ => {}
        }
    }
    side
}

/// What its leader knows better than the log.
fn under_way(logged: SideView, txn: &Txn) -> SideView {
    let is_aborted = matches!(txn.stage, Stage::Aborting | Stage::TellingAbort);
    SideView {
        decides: txn.stage != Stage::Participating,
        reason: if is_aborted {
            txn.reason.name().to_string()
        } else {
            Default::default()
        },
        commits: txn.stage == Stage::TellingCommit,
        ..logged
    }
}
