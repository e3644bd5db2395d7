//! What people see of a node under the document's rules: as of a hardened one, with the document's tables and log lines.
//! (S4-22, S4-43, `PrintBalance`, `PrintDB`, `PrintView`)

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::message::{round, transaction_name};
use super::super::view::slot::{Known, acceptances};
use super::super::view::{choice, transfer_view};
use super::super::{Sharded2pc, phase};
use super::{Command, End, Place, Stage, TxnId, Written};
use crate::engine::Env;
use crate::ordered::Map;
use crate::paxos::{LogEntry, Slot};
use crate::types::{InstanceId, NodeId};
use crate::view::{Field, Glance, InstanceView, NodeView, ViewScope};

pub(in super::super) fn glance(state: &Written) -> Glance {
    let last = state.log.iter().next_back();
    let open = state.transactions.last_key_value().map(|(id, _)| *id);
    let logged = last.and_then(|(_, entry)| entry.req.as_ref().map(Command::id));
    Glance {
        instance: open.or(logged).map(TxnId::instance),
        phase: open
            .or(logged)
            .map_or(phase::ASKED, |id| phase_of(state, id)),
        round: round(state.leader.unwrap_or_default()),
        value: None,
        have: state.executed(),
        need: 0,
    }
}

/// Where a transaction is here.
fn phase_of(state: &Written, id: TxnId) -> u8 {
    match state.ends.get(&id) {
        Some(End { is_done: true, .. }) => phase::DONE,
        Some(End {
            is_committed: true, ..
        }) => phase::COMMITTED,
        Some(_) => phase::ABORTED,
        None if state.is_executed(id) => phase::PREPARED,
        None => phase::ASKED,
    }
}

impl Written {
    /// Whether P of a transaction is executed here.
    fn is_executed(&self, id: TxnId) -> bool {
        let mut entries = self.log.iter();
        entries.any(|(slot, entry)| {
            let is_prepare =
                matches!(&entry.req, Some(Command::Prepare { id: of, .. }) if *of == id);
            is_prepare && entry.chosen && self.results.get(slot).is_none_or(Result::is_ok)
        })
    }
}

pub(in super::super) fn view(state: &Written, env: &Env<Sharded2pc>, scope: ViewScope) -> NodeView {
    let in_full = scope != ViewScope::Summary;
    let wanted = |id: InstanceId| match scope {
        ViewScope::Instance(only) => id == only,
        ViewScope::Summary | ViewScope::Full => true,
    };
    let place = Place::of(env);
    let mut instances = transfers(state, in_full);
    let slots = state.log.iter();
    instances.extend(slots.map(|(slot, entry)| slot_view(state, env, &place, *slot, entry)));
    instances.retain(|instance| wanted(instance.id));
    NodeView {
        instances,
        shard: in_full.then(|| Box::new(super::shard::shard(state, &place, wanted))),
        fields: if in_full {
            node_fields(state, env, &place)
        } else {
            Vec::new()
        },
    }
}

fn transfers(state: &Written, in_full: bool) -> Vec<InstanceView> {
    // Which seq a transaction has, and what is to happen here where that is known.
    let mut known: Map<TxnId, Option<Slot>> = Map::new();
    known.extend(state.ends.keys().map(|id| (*id, None)));
    known.extend(state.transactions.keys().map(|id| (*id, None)));
    for (slot, entry) in state.log.iter() {
        if let Some(command) = &entry.req {
            known.insert(command.id(), Some(*slot));
        }
    }
    let view = |(id, slot): (&TxnId, &Option<Slot>)| {
        let of = phase_of(state, *id);
        let is_committed = state.ends.get(id).is_some_and(|end| end.is_committed);
        let mut view = transfer_view(*id, of, is_committed);
        if in_full {
            view.fields = transfer_fields(state, *id, *slot);
            let part = state.transactions.get(id).map(|txn| txn.part);
            view.choices = part.map(|part| choice(*id, part)).into_iter().collect();
        }
        view
    };
    known.iter().map(view).collect()
}

fn transfer_fields(state: &Written, id: TxnId, slot: Option<Slot>) -> Vec<Field> {
    let mut fields = Vec::from([Field::new("TransactionId", transaction_name(id))]);
    let entry = slot.and_then(|slot| state.log.get(&slot));
    if let Some(command) = entry.and_then(|entry| entry.req.as_ref()) {
        fields.push(Field::new("phase", command.marker()));
    }
    if let Some(txn) = state.transactions.get(&id) {
        let role = match txn.stage {
            Stage::Participating => "participant",
            _ => "coordinator",
        };
        let stage = match txn.stage {
            Stage::Logging => "",
            Stage::Preparing | Stage::Participating => "PREPARE",
            Stage::Committing | Stage::TellingCommit => "COMMIT",
            Stage::Aborting | Stage::TellingAbort => "ABORT",
        };
        let (item, old) = (txn.part.item(), txn.old_balance);
        let prepared = if txn.participant_prepared {
            "yes"
        } else {
            "no"
        };
        fields.extend([
            Field::new("role", role),
            Field::new("Phase", stage),
            Field::new("PrepareSeq", txn.prepare_seq.to_string()),
            Field::new("Prepared", prepared),
            Field::new("LockedItems", format!("[{item}]")),
            Field::new("WALEntries", format!("{{{item}: {old}}}")),
            Field::new("other node", txn.peer.0.to_string()),
        ]);
    }
    let result = slot.and_then(|slot| state.results.get(&slot));
    if let Some(result) = result {
        let words = result.map_or_else(|reason| reason.name(), |()| "SUCCESS");
        fields.push(Field::new("result", words));
    }
    fields
}

fn slot_view(
    state: &Written,
    env: &Env<Sharded2pc>,
    place: &Place<'_>,
    slot: Slot,
    entry: &LogEntry<Command>,
) -> InstanceView {
    let known = Known {
        slot,
        entry,
        phase: if entry.chosen {
            phase::EXECUTED
        } else {
            phase::ACCEPTED
        },
        status: match (entry.chosen, state.results.contains_key(&slot)) {
            (false, _) => "A",
            (true, false) => "C",
            (true, true) => "E",
        },
    };
    let by = state.accepted_by.get(&slot);
    let is_counted = |node: NodeId| by.is_some_and(|by| by.contains(&node));
    let mut view = known.view(place, acceptances(env, place, entry, is_counted));
    if let Some(result) = state.results.get(&slot) {
        let words = result.map_or_else(|reason| reason.name(), |()| "SUCCESS");
        view.fields.push(Field::new("Result", words));
    }
    view
}

fn node_fields(state: &Written, env: &Env<Sharded2pc>, place: &Place<'_>) -> Vec<Field> {
    let leader = state.leader;
    let promised = state.promise();
    let gained: i128 = state
        .accounts
        .iter()
        .map(|(item, held)| i128::from(*held) - i128::from(place.config.first_balance(*item)))
        .sum();
    let mut fields = Vec::from([
        Field::new("cluster", place.cluster.0.to_string()),
        Field::new(
            "leader",
            leader.map_or_else(|| "none".to_string(), |ballot| ballot.node.0.to_string()),
        ),
        Field::new("leads", if state.leads() { "yes" } else { "no" }),
        Field::new(
            "promised",
            format!("{}.{}", promised.round, promised.node.0),
        ),
        Field::new("lastExecuted", state.executed().to_string()),
        Field::new("gained", gained.to_string()),
    ]);
    let mut items: Vec<u32> = state.accounts.iter().map(|(item, _)| *item).collect();
    items.extend(state.locks.keys());
    items.sort_unstable();
    items.dedup();
    for item in items {
        let balance = state.balance(env, item);
        let text = match state.locks.get(&item) {
            Some(id) => format!("{item}: {balance}, held by {}", transaction_name(*id)),
            None => format!("{item}: {balance}"),
        };
        fields.push(Field::new("item", text));
    }
    for (id, records) in state.wal.iter() {
        let records: Vec<String> = records
            .iter()
            .map(|(item, old)| format!("[{item}]={old}"))
            .collect();
        let text = format!("twoPCWAL[{}]{}", transaction_name(*id), records.join(", "));
        fields.push(Field::new("WAL", text));
    }
    for (client, (number, _)) in state.client_last_reply.iter() {
        fields.push(Field::new(
            "clientLastReply",
            format!("client {}: request {number}", client.0),
        ));
    }
    fields.extend(
        state
            .lines
            .0
            .iter()
            .map(|line| Field::new("log", line.clone())),
    );
    fields
}
