//! What nodes say: within a cluster, between clusters, and to clients.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Sharded2pc;
use super::command::{Command, Item, Part, Reason, TxnId};
use super::config::Place;
use super::machine::{Client, Snapshot};
use crate::crypto::Transcript;
use crate::engine::{Env, MessageInfo};
use crate::paxos::{self, Ballot, Slot, WINDOW};
use crate::types::{ClientId, GroupId, Hash32, InstanceId, NodeId, Round};
use crate::view::{MessageKind, Shape};

/// What nodes say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Within a cluster: Multi-Paxos.
    Paxos(paxos::Message<Command>),
    /// To a member that lags behind the log: the accounts instead.
    Snapshot(Snapshot),
    /// To the participant: hold this. (S4-18)
    TwoPCPrepareRequest {
        /// The transaction.
        id: TxnId,
        /// What would happen there.
        part: Part,
        /// The cluster that asks, and decides.
        coordinator: GroupId,
    },
    /// To the coordinator: it is held, or why not. (S4-19, S4-58)
    TwoPCPrepareReply {
        /// The transaction.
        id: TxnId,
        /// "prepared", or why not.
        result: Result<(), Reason>,
    },
    /// To the participant: C is applied. (S4-24)
    TwoPCCommitRequest {
        /// The transaction.
        id: TxnId,
        /// With an item that moves, how far clients are where it comes from.
        clients: Vec<(ClientId, Client)>,
    },
    /// To the coordinator: C is applied here too.
    TwoPCCommitReply {
        /// The transaction.
        id: TxnId,
    },
    /// To the participant: A is applied. (S4-29)
    TwoPCAbortRequest {
        /// The transaction.
        id: TxnId,
        /// Why.
        reason: Reason,
    },
    /// To the coordinator: A is applied here too.
    TwoPCAbortReply {
        /// The transaction.
        id: TxnId,
    },
    /// To the coordinator: a participant holds an item and does not know how it ends. (S4-F3)
    TwoPCQuery {
        /// The transaction.
        id: TxnId,
    },
    /// Whoever was asked does not lead. (S4-41)
    NotLeader {
        /// Its cluster.
        cluster: GroupId,
        /// The ballot of the leader that it follows, and with it who that is.
        ballot: Ballot,
    },
}

/// How messages are drawn.
pub(super) static MESSAGES: [MessageKind; 18] = [
    kind("elect", Shape::Sync),
    kind("promise", Shape::Vote),
    kind("accept", Shape::Propose),
    kind("accepted", Shape::Vote),
    kind("commit", Shape::Certificate),
    kind("refused", Shape::Abort),
    kind("heartbeat", Shape::Sync),
    kind("heartbeat-reply", Shape::Sync),
    kind("catch-up", Shape::Sync),
    kind("snapshot", Shape::Certificate),
    kind("2pc-prepare", Shape::Lock),
    kind("2pc-prepared", Shape::Vote),
    kind("2pc-commit", Shape::Certificate),
    kind("2pc-committed", Shape::Vote),
    kind("2pc-abort", Shape::Abort),
    kind("2pc-aborted", Shape::Vote),
    kind("2pc-query", Shape::Sync),
    kind("not-leader", Shape::Sync),
];

const fn kind(name: &'static str, shape: Shape) -> MessageKind {
    MessageKind { name, shape }
}

/// A slot of a cluster's log as an instance.
pub fn slot_id(cluster: GroupId, slot: Slot) -> InstanceId {
    let mut transcript = Transcript::new("phaselab 2026-11 sharded-2pc slot v1");
    transcript.u32(u32::from(cluster.0)).u64(slot);
    InstanceId(transcript.finish())
}

/// What a person calls a slot.
pub(super) fn slot_name(cluster: GroupId, slot: Slot) -> String {
    format!("C{}:{slot}", cluster.0)
}

/// What a person calls a transaction.
pub(super) fn transaction_name(id: TxnId) -> String {
    id.to_string()
}

/// A ballot's round as pictures and bounds count it.
pub(super) fn round(ballot: Ballot) -> Round {
    Round(u32::try_from(ballot.round).unwrap_or(u32::MAX))
}

/// What a committed transfer decides: the same at both clusters.
pub(super) fn committed_value(id: TxnId) -> Hash32 {
    committed_value_of(id.instance())
}

/// The same, of the instance that the transfer is.
pub(super) fn committed_value_of(instance: InstanceId) -> Hash32 {
    let mut transcript = Transcript::new("phaselab 2026-11 sharded-2pc committed v1");
    transcript.hash(&instance.0);
    transcript.finish()
}

/// How a message is drawn.
pub(super) fn describe(message: &Message) -> MessageInfo {
    let of_ballot = |kind, ballot| MessageInfo {
        kind,
        round: round(ballot),
        ..MessageInfo::default()
    };
    // Of an entry, the transfer that it is about: slots of all clusters are counted from 1. The entry is no value of the
    // transfer, whose only one is that it is committed.
    let of_entry = |kind, ballot: Ballot, req: &Option<Command>| MessageInfo {
        instance: req.as_ref().map(|req| req.id().instance()),
        ..of_ballot(kind, ballot)
    };
    let of_transaction = |kind, id: TxnId| MessageInfo {
        kind,
        instance: Some(id.instance()),
        round: Round(id.attempt),
        value: None,
    };
    match message {
        Message::Paxos(message) => match message {
            paxos::Message::Elect { ballot, .. } => of_ballot(0, *ballot),
            paxos::Message::Promise { ballot, .. } => of_ballot(1, *ballot),
            paxos::Message::AcceptRequest { ballot, req, .. } => of_entry(2, *ballot, req),
            paxos::Message::AcceptedReply { ballot, .. } => of_ballot(3, *ballot),
            paxos::Message::CommitRequest { ballot, req, .. } => of_entry(4, *ballot, req),
            paxos::Message::Refused { ballot } => of_ballot(5, *ballot),
            paxos::Message::Heartbeat { ballot, .. } => of_ballot(6, *ballot),
            paxos::Message::HeartbeatReply { ballot, .. } => of_ballot(7, *ballot),
            paxos::Message::CatchUp { .. } => of_ballot(8, Ballot::default()),
        },
        Message::Snapshot(_) => of_ballot(9, Ballot::default()),
        Message::TwoPCPrepareRequest { id, .. } => of_transaction(10, *id),
        Message::TwoPCPrepareReply { id, .. } => of_transaction(11, *id),
        Message::TwoPCCommitRequest { id, .. } => of_transaction(12, *id),
        Message::TwoPCCommitReply { id } => of_transaction(13, *id),
        Message::TwoPCAbortRequest { id, .. } => of_transaction(14, *id),
        Message::TwoPCAbortReply { id } => of_transaction(15, *id),
        Message::TwoPCQuery { id } => of_transaction(16, *id),
        Message::NotLeader { ballot, .. } => of_ballot(17, *ballot),
    }
}

/// Whether a message makes sense for whoever sent it.
pub(super) fn check(
    env: &Env<Sharded2pc>,
    from: NodeId,
    message: &Message,
) -> Result<(), &'static str> {
    let place = Place::of(env);
    let cluster = env.keyring.group_of(from).ok_or("not_a_member")?;
    match message {
        Message::Paxos(message) => check_paxos(&place, cluster, message),
        Message::Snapshot(snapshot) if !snapshot.is_sound(&place) => Err("bad_snapshot"),
        // With a flaw restored, what members hold may contradict itself.
        Message::Snapshot(snapshot)
            if !env.flaws.is_empty() || snapshot.agrees(&place, cluster) =>
        {
            Ok(())
        }
        Message::Snapshot(_) => Err("bad_snapshot"),
        Message::TwoPCPrepareRequest {
            id,
            part,
            coordinator,
        } => {
            // S4-F30: who asks is who decides.
            if *coordinator != cluster || id.home != cluster {
                return Err("not_the_coordinator");
            }
            check_part(&place, *part)?;
            match part {
                Part::Credit { .. } | Part::Arrive { .. } => Ok(()),
                Part::Debit { .. } | Part::Leave { .. } => Err("not_a_participants_part"),
            }
        }
        Message::TwoPCCommitRequest { id, .. } | Message::TwoPCAbortRequest { id, .. }
            if id.home != cluster =>
        {
            Err("not_the_coordinator")
        }
        Message::TwoPCPrepareReply { id, .. }
        | Message::TwoPCCommitReply { id }
        | Message::TwoPCAbortReply { id }
        | Message::TwoPCQuery { id }
            if id.home == cluster =>
        {
            Err("not_a_participant")
        }
        Message::NotLeader { cluster: of, .. } if *of != cluster => Err("not_its_cluster"),
        _ => Ok(()),
    }
}

fn check_part(place: &Place<'_>, part: Part) -> Result<(), &'static str> {
    let is_known = |item: Item| place.owner(item).is_some();
    match part {
        _ if !is_known(part.item()) => Err("unknown_item"),
        _ if !part.is_sound() => Err("no_amount"),
        Part::Leave { to, .. } if !place.clusters.has(to) => Err("unknown_cluster"),
        _ => Ok(()),
    }
}

fn check_command(
    place: &Place<'_>,
    cluster: GroupId,
    command: &Command,
) -> Result<(), &'static str> {
    use super::command::Side;
    match command {
        Command::Transfer {
            sender,
            receiver,
            amount,
            ..
        } => {
            let (item, amount) = (*sender, *amount);
            check_part(place, Part::Debit { item, amount })?;
            let item = *receiver;
            check_part(place, Part::Credit { item, amount })
        }
        Command::Prepare { id, part, side } => {
            check_part(place, *part)?;
            let coordinator = match side {
                Side::Coordinator { .. } => cluster,
                Side::Participant { coordinator } => *coordinator,
            };
            if id.home != coordinator {
                return Err("not_the_coordinator");
            }
            if let Side::Coordinator {
                part: Some(part), ..
            } = side
            {
                check_part(place, *part)?;
            }
            let is_there = place.clusters.has(side.other()) && side.other() != cluster;
            is_there.then_some(()).ok_or("unknown_cluster")
        }
        Command::Abort { side, .. } if !place.clusters.has(side.other()) => Err("unknown_cluster"),
        Command::Commit { .. } | Command::Abort { .. } | Command::Acked { .. } => Ok(()),
    }
}

fn check_paxos(
    place: &Place<'_>,
    cluster: GroupId,
    message: &paxos::Message<Command>,
) -> Result<(), &'static str> {
    let req = |req: &Option<Command>| match req {
        Some(command) => check_command(place, cluster, command),
        None => Ok(()),
    };
    match message {
        paxos::Message::Promise { entries, .. } => {
            let is_sorted = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
            if !is_sorted || entries.len() as u64 > 2 * WINDOW {
                return Err("bad_entries");
            }
            entries.iter().try_for_each(|(_, entry)| req(&entry.req))
        }
        paxos::Message::AcceptRequest {
            seq, req: found, ..
        }
        | paxos::Message::CommitRequest {
            seq, req: found, ..
        } => {
            if *seq == 0 {
                return Err("no_slot");
            }
            req(found)
        }
        _ => Ok(()),
    }
}
