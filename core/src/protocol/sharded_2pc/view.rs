//! What people see of a member: transfers, slots with their ballots, items with their holds. (`PrintView`, `PrintDB`)

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::command::{Command, Part, TxnId};
use super::config::Place;
use super::machine::{Txn, TxnPhase};
use super::message::{committed_value, round, slot_id, transaction_name};
use super::{Sharded2pc, TRANSFER, phase};
use crate::engine::Env;
use crate::paxos::{LogEntry, Slot};
use crate::types::{InstanceId, Round};
use crate::view::{Choice, Field, Glance, InstanceView, Meter, NodeView, ViewScope};

pub(super) mod shard;
pub(super) mod slot;

pub(super) fn glance(state: &Sharded2pc) -> Glance {
    let rows = state.machine.transactions();
    let open = rows.filter(|(_, txn)| !txn.phase.is_outcome()).last();
    let Some((id, txn)) = open.or_else(|| state.machine.transactions().last()) else {
        return Glance {
            round: round(state.ballot()),
            ..Glance::default()
        };
    };
    Glance {
        instance: Some(id.instance()),
        phase: phase_of(txn),
        round: round(state.ballot()),
        value: (txn.phase == TxnPhase::Committed).then(|| committed_value(id)),
        have: state.machine.applied(),
        need: 0,
    }
}

/// A row's phase, as people see it.
fn phase_of(txn: &Txn) -> u8 {
    let is_told = txn.acked || !txn.side.coordinates();
    match txn.phase {
        TxnPhase::Committed | TxnPhase::Aborted(_) if txn.acked && is_told => phase::DONE,
        other => other.index(),
    }
}

pub(super) fn view(state: &Sharded2pc, env: &Env<Sharded2pc>, scope: ViewScope) -> NodeView {
    let in_full = scope != ViewScope::Summary;
    let wanted = |id: InstanceId| match scope {
        ViewScope::Instance(only) => id == only,
        ViewScope::Summary | ViewScope::Full => true,
    };
    let place = Place::of(env);
    let mut instances = transfers(state, env, &place, in_full, wanted);
    if let ViewScope::Instance(only) = scope
        && instances.is_empty()
    {
        instances.extend(logged(state, env, &place, only));
    }
    // There are many slots: those that nobody asks for are not looked at.
    let is_found = matches!(scope, ViewScope::Instance(_)) && !instances.is_empty();
    let slots = state.paxos.entries().filter(|_| !is_found);
    let slots = slots.filter(|(slot, _)| wanted(slot_id(place.cluster, *slot)));
    instances.extend(slots.map(|(slot, entry)| slot_view(state, env, &place, slot, entry)));
    NodeView {
        instances,
        fields: if in_full {
            node_fields(state, &place)
        } else {
            Vec::new()
        },
        shard: in_full.then(|| Box::new(shard::shard(state, &place, wanted))),
    }
}

/// Transactions, and the last transfer of each client that stayed within the cluster.
fn transfers(
    state: &Sharded2pc,
    env: &Env<Sharded2pc>,
    place: &Place<'_>,
    in_full: bool,
    wanted: impl Fn(InstanceId) -> bool,
) -> Vec<InstanceView> {
    let mut shown: Vec<InstanceView> = Vec::new();
    let rows = state.machine.transactions();
    for (id, txn) in rows.filter(|(id, _)| wanted(id.instance())) {
        let is_committed = txn.phase == TxnPhase::Committed;
        let mut view = transfer_view(id, phase_of(txn), is_committed);
        if in_full {
            view.meters = last_acceptances(state, env, place, id);
            view.fields = transfer_fields(state, id, txn);
            // On the table is what was voted for.
            let is_voted_for =
                matches!(txn.phase, TxnPhase::Prepared(Ok(())) | TxnPhase::Committed);
            let part = txn.part.filter(|_| is_voted_for);
            view.choices = part.map(|part| choice(id, part)).into_iter().collect();
        }
        shown.push(view);
    }
    for (client, known) in state.machine.clients(place.cluster) {
        let id = TxnId {
            client,
            home: known.home,
            number: known.number,
            attempt: known.attempt,
        };
        if let (Some(outcome), None) = (known.outcome, state.machine.transaction(id))
            && wanted(id.instance())
        {
            let end = if outcome.is_ok() {
                phase::COMMITTED
            } else {
                phase::ABORTED
            };
            let mut view = transfer_view(id, end, outcome.is_ok());
            if in_full {
                view.meters = last_acceptances(state, env, place, id);
                let words = outcome.map_or_else(|reason| reason.name(), |()| "SUCCESS");
                view.fields = Vec::from([Field::new("result", words)]);
            }
            shown.push(view);
        }
    }
    shown
}

/// A transfer that has no row, yet or any more, as far as the log has it.
fn logged(
    state: &Sharded2pc,
    env: &Env<Sharded2pc>,
    place: &Place<'_>,
    wanted: InstanceId,
) -> Option<InstanceView> {
    let of = |entry: &LogEntry<Command>| {
        let id = entry.req.as_ref()?.id();
        (id.instance() == wanted).then_some(id)
    };
    let applied = state.machine.applied();
    let entries = || {
        state
            .paxos
            .entries()
            .filter(|(_, entry)| of(entry).is_some())
    };
    let id = entries().find_map(|(_, entry)| of(entry))?;
    let executed = entries().take_while(|(slot, _)| *slot <= applied);
    let ends = executed.filter_map(|(_, entry)| match entry.req {
        Some(Command::Commit { .. }) => Some(phase::COMMITTED),
        Some(Command::Abort { .. }) => Some(phase::ABORTED),
        Some(Command::Acked { .. }) => Some(phase::DONE),
        _ => None,
    });
    let ends: Vec<u8> = ends.collect();
    let is_committed = ends.contains(&phase::COMMITTED);
    let phase = ends.last().copied().unwrap_or(phase::ASKED);
    let mut view = transfer_view(id, phase, is_committed);
    view.meters = last_acceptances(state, env, place, id);
    Some(view)
}

/// Who accepted the last entry about a transfer.
fn last_acceptances(
    state: &Sharded2pc,
    env: &Env<Sharded2pc>,
    place: &Place<'_>,
    id: TxnId,
) -> Vec<Meter> {
    let is_about = |entry: &LogEntry<Command>| entry.req.as_ref().map(Command::id) == Some(id);
    let mut entries = state.paxos.entries().rev();
    let last = entries.find(|(_, entry)| is_about(entry));
    last.map(|(slot, entry)| acceptances(state, env, place, slot, entry))
        .into_iter()
        .collect()
}

pub(super) fn transfer_view(id: TxnId, phase: u8, is_committed: bool) -> InstanceView {
    InstanceView {
        id: id.instance(),
        name: transaction_name(id),
        kind: TRANSFER,
        phase,
        round: Round(id.attempt),
        value: is_committed.then(|| committed_value(id)),
        locked: None,
        signed: None,
        meters: Vec::new(),
        choices: Vec::new(),
        fields: Vec::new(),
    }
}

pub(super) fn choice(id: TxnId, part: Part) -> Choice {
    let (amount, detail) = match part {
        Part::Debit { item, amount } => (amount, format!("{amount} from {item}")),
        Part::Credit { item, amount } => (amount, format!("{amount} to {item}")),
        Part::Leave { item, to } => (0, format!("{item} leaves for {to}")),
        Part::Arrive { item, balance } => (balance, format!("{item} arrives with {balance}")),
    };
    Choice {
        value: committed_value(id),
        round: Round(id.attempt),
        proposers: Vec::new(),
        amount,
        detail,
    }
}

fn transfer_fields(state: &Sharded2pc, id: TxnId, txn: &Txn) -> Vec<Field> {
    let role = if txn.side.coordinates() {
        "coordinator"
    } else {
        "participant"
    };
    let marker = match txn.phase {
        TxnPhase::Prepared(_) => "P",
        TxnPhase::Committed => "C",
        TxnPhase::Aborted(_) => "A",
    };
    let vote = state
        .leading
        .as_ref()
        .and_then(|leading| leading.votes.get(&id));
    let mut fields = Vec::from([
        Field::new("TransactionId", transaction_name(id)),
        Field::new("role", role),
        Field::new("other cluster", txn.side.other().0.to_string()),
        Field::new("PrepareSeq", txn.seq.to_string()),
        Field::new("phase", marker),
        Field::new("acknowledged", if txn.acked { "yes" } else { "no" }),
    ]);
    if let TxnPhase::Prepared(Err(reason)) | TxnPhase::Aborted(reason) = txn.phase {
        fields.push(Field::new("reason", reason.name()));
    }
    if let Some((_, vote)) = vote {
        let words = vote.map_or_else(|reason| reason.name(), |()| "prepared");
        fields.push(Field::new("participant says", words));
    }
    fields
}

fn slot_view(
    state: &Sharded2pc,
    env: &Env<Sharded2pc>,
    place: &Place<'_>,
    slot: Slot,
    entry: &LogEntry<Command>,
) -> InstanceView {
    let known = slot::Known {
        slot,
        entry,
        phase: match (entry.chosen, slot <= state.machine.applied()) {
            (true, true) => phase::EXECUTED,
            (true, false) => phase::CHOSEN,
            (false, _) => phase::ACCEPTED,
        },
        status: if entry.chosen { "C" } else { "A" },
    };
    known.view(place, acceptances(state, env, place, slot, entry))
}

fn acceptances(
    state: &Sharded2pc,
    env: &Env<Sharded2pc>,
    place: &Place<'_>,
    slot: Slot,
    entry: &LogEntry<Command>,
) -> Meter {
    slot::acceptances(env, place, entry, |node| {
        state.paxos.has_accepted(slot, node)
    })
}

/// A command in a few words.
pub(super) fn words(command: Option<&Command>) -> String {
    let Some(command) = command else {
        return "no-op".to_string();
    };
    let id = transaction_name(command.id());
    match command {
        Command::Transfer {
            sender,
            receiver,
            amount,
            ..
        } => format!("{id}: {sender} -> {receiver}, {amount}"),
        Command::Prepare { part, .. } => match part {
            Part::Debit { item, amount } => format!("P {id}: hold {amount} of {item}"),
            Part::Credit { item, amount } => format!("P {id}: hold {item} for {amount}"),
            Part::Leave { item, to } => format!("P {id}: hold {item}, leaving for {to}"),
            Part::Arrive { item, .. } => format!("P {id}: hold {item}, arriving"),
        },
        Command::Commit { seq, .. } => format!("C {id}, seq {seq}"),
        Command::Abort { seq: 0, reason, .. } => format!("A {id}, tombstone, {}", reason.name()),
        Command::Abort { seq, reason, .. } => format!("A {id}, seq {seq}, {}", reason.name()),
        Command::Acked { .. } => format!("acknowledged {id}"),
    }
}

fn node_fields(state: &Sharded2pc, place: &Place<'_>) -> Vec<Field> {
    let leader = state.paxos.leader();
    let promised = state.paxos.promised();
    let mut fields = Vec::from([
        Field::new("cluster", place.cluster.0.to_string()),
        Field::new(
            "leader",
            leader.map_or_else(|| "none".to_string(), |ballot| ballot.node.0.to_string()),
        ),
        Field::new("leads", if state.paxos.leads() { "yes" } else { "no" }),
        Field::new(
            "promised",
            format!("{}.{}", promised.round, promised.node.0),
        ),
        Field::new("lastExecuted", state.machine.applied().to_string()),
        Field::new("dropped", state.paxos.dropped().to_string()),
        Field::new("gained", state.machine.gained(place).to_string()),
    ]);
    for (item, _, lock) in state.machine.touched() {
        let balance = state.machine.balance(place, item);
        let balance = balance.map_or_else(|| "elsewhere".to_string(), |held| held.to_string());
        let text = match lock {
            Some(id) => format!("{item}: {balance}, held by {}", transaction_name(id)),
            None => format!("{item}: {balance}"),
        };
        fields.push(Field::new("item", text));
    }
    for (cluster, ballot) in state.leaders.iter() {
        let text = format!(
            "{}: node {}, ballot {}",
            cluster.0, ballot.node.0, ballot.round
        );
        fields.push(Field::new("leader of cluster", text));
    }
    fields
}
