//! The rules of seeds/004 as they are written: unsafe, for seeing its flaws happen.
//!
//! Upon a transfer at the leader of the sender's cluster: a number that is not above the last that the client had done here
//! gets the cached reply (S4-F14), which no other node has (S4-F15). Between clusters: the sender's item is locked, or the
//! balance is short: FAILED, INSUFFICIENT_BALANCE. Else lock it, keep its balance, log P in a new seq, and ask the
//! *configured* leader of the receiver's cluster to prepare, whoever leads there (S4-F1). Within the cluster: log it.
//! Upon ACCEPT of P, before anything is chosen: `twoPCWAL[txn][item]` = what the item holds now (S4-F6, S4-F7).
//! Upon P accepted by a majority: COMMIT, and execute: debit, credit, visible at once (S4-F4).
//! Upon a prepare: whoever is asked locks the item and logs P, leader or not; prepared once P is executed.
//! Upon both: log C in the *same* seq; the write-ahead record goes before a majority accepted it (S4-F2, S4-F8). Then tell
//! the participant, whose C is committed without waiting for anybody (S4-F21); unlock, cache, SUCCESS.
//! Upon a no, or nothing in time: log A in the seq that P is known to have, else in a new one, without waiting for the own
//! P (S4-F12): what the record says is put back (S4-F5), then once more from the transaction's own copy (S4-F18). Also
//! when C found no majority, although somebody may have accepted it (S4-F9). Tell the participant once (S4-F26), FAILED.
//! Upon an outcome of a transaction that is not known: nothing, and no trace (S4-F10, S4-F11).
//! Followers: ACCEPT of P makes the entry anew and saves the record; COMMIT of P executes what is not executed (S4-F17),
//! whatever came before it (S4-F28); ACCEPT of C or A changes the entry's phase; COMMIT of C drops the record, COMMIT of A
//! restores from it; whoever has none does nothing (S4-F20).
//!
//! # Where the document is silent
//!
//! It has ballots and a `config`, and says that another node may come to lead; how, it does not. Here a node that hears no
//! heartbeat seeks promises, and from those of a majority takes of each seq the entry under the highest ballot, its own of
//! equal ones (S4-F24); it proposes anew what it has not executed, a no-op in a gap, and takes up no transaction (S4-F3).
//! What failed is not kept: a retry of it runs anew. A call that is not answered within `prepare_timeout_ms` has failed. Balances, `lastExecuted`, the promise and the log
//! are on disk; locks, transactions, replies and `twoPCWAL` are memory (S4-F19). A balance is read at the leader (S4-F23).
//! The oldest entries go beyond [`LOG_MAX`]. Items do not move, and sums that cannot be counted fail: both are no flaws
//! that one could want. A second request while the first is under way meets its lock.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::hash::{Hash, Hasher};

use super::command::{Command, Item, Part, Reason, TxnId};
use super::config::Place;
use super::machine::Outcome;
use super::{Cx, LOG, Message, PROMISED, Reply, Request, Sharded2pc, Timer, machine};
use crate::engine::{Env, Input};
use crate::ordered::{Map, Set};
use crate::paxos::{self, Ballot, LogEntry, Slot};
use crate::store::{AnyTable, RecoverError, Rows, Table};
use crate::types::{ClientId, Duration, NodeId};

mod account;
mod coordinate;
mod log;
mod oracle;
mod participate;
mod shard;
mod view;

pub(super) use oracle::WrittenOracle;
pub(super) use view::{glance, view};

/// Entries, write-ahead records and ends that are kept.
const LOG_MAX: usize = 512;
/// Lines that are kept.
const LINES_MAX: usize = 64;

/// What a node does with its own transaction. (S4-08 `Phase`)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// A transfer within the cluster is being logged.
    Logging,
    /// "PREPARE": P here, and the participant was asked.
    Preparing,
    /// "COMMIT": C is being logged.
    Committing,
    /// The participant was told of C.
    TellingCommit,
    /// "ABORT": A is being logged.
    Aborting,
    /// The participant was told of A.
    TellingAbort,
    /// This node is the participant's.
    Participating,
}

/// An active transaction; a leader's memory. (S4-08 `TwoPCTransaction`)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Txn {
    stage: Stage,
    part: Part,
    /// Where P was logged, once that is done. (S4-61)
    prepare_seq: Slot,
    /// Whether the own P is executed.
    prepared: bool,
    /// Whether the participant is prepared.
    participant_prepared: bool,
    /// What the item held when it was locked. (`WALEntries`)
    old_balance: u64,
    /// The node of the other cluster.
    peer: NodeId,
    /// Why it is aborted.
    reason: Reason,
}

/// How a transaction ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End {
    is_committed: bool,
    is_done: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Role {
    Follower,
    Candidate(Map<NodeId, alloc::vec::Vec<(Slot, LogEntry<Command>)>>),
    Leader,
}

/// What a node logged, in the document's words. What it said is no part of what it is.
#[derive(Clone, Debug, Default)]
struct Lines(VecDeque<String>);

impl PartialEq for Lines {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lines {}

impl Hash for Lines {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Lines {
    fn say(&mut self, line: String) {
        if self.0.len() == LINES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }
}

/// A node under the document's rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Written {
    promised: Table<u8, Ballot>,
    log: Table<Slot, LogEntry<Command>>,
    accounts: Table<Item, u64>,
    last_executed: Table<u8, Slot>,
    /// `entry.Result`. (S4-36, S4-37)
    results: Map<Slot, Outcome>,
    /// `twoPCWAL`: what items held before P, at every node. (S4-31)
    wal: Map<TxnId, Map<Item, u64>>,
    ends: Map<TxnId, End>,
    role: Role,
    /// The ballot that this node sought last.
    ballot: Ballot,
    leader: Option<Ballot>,
    election: Option<u64>,
    next: Slot,
    /// `entry.AcceptedBy` of what is being logged. (S4-56)
    accepted_by: Map<Slot, Set<NodeId>>,
    /// `DataItemLock`. (S4-07)
    locks: Map<Item, TxnId>,
    /// `twoPCState`. (S4-46)
    transactions: Map<TxnId, Txn>,
    /// `clientLastReply`. (S4-33)
    client_last_reply: Map<ClientId, (u64, Reply)>,
    lines: Lines,
}

impl Written {
    /// Reads a node back from its rows: of twoPCWAL, locks and transactions there are none. (S4-F19)
    pub(super) fn load(env: &Env<Sharded2pc>, rows: &Rows) -> Result<Written, RecoverError> {
        let [accounts, _, _, _, _, applied] = machine::TABLES;
        let log: Table<Slot, LogEntry<Command>> = Table::load(LOG, rows)?;
        let last = log.iter().next_back().map_or(0, |(slot, _)| *slot);
        Ok(Written {
            promised: Table::load(PROMISED, rows)?,
            log,
            accounts: Table::load(accounts, rows)?,
            last_executed: Table::load(applied, rows)?,
            results: Map::new(),
            wal: Map::new(),
            ends: Map::new(),
            role: Role::Follower,
            ballot: Ballot {
                round: 0,
                node: env.id,
            },
            leader: None,
            election: None,
            next: last.saturating_add(1),
            accepted_by: Map::new(),
            locks: Map::new(),
            transactions: Map::new(),
            client_last_reply: Map::new(),
            lines: Lines::default(),
        })
    }

    /// Visits its tables.
    pub(super) fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        visit(&mut self.promised);
        visit(&mut self.log);
        visit(&mut self.accounts);
        visit(&mut self.last_executed);
    }

    /// One step under the document's rules.
    pub(super) fn handle(&mut self, cx: Cx<'_, '_>, input: Input<Sharded2pc>) {
        match input {
            Input::Start => self.tell_accounts(cx),
            Input::Message { from, message } => self.on_message(cx, from, &message),
            Input::Timeout(Timer::Election(_)) => self.on_election(cx),
            Input::Timeout(Timer::Heartbeat) => self.on_heartbeat_timer(cx),
            Input::Timeout(Timer::Prepare(id)) => self.on_no_answer(cx, id),
            // Nothing is sent again, and nothing is tried again.
            Input::Timeout(Timer::Resend | Timer::Retry(_)) => {}
            Input::Request {
                client,
                number,
                request,
            } => self.on_request(cx, client, number, request),
            Input::Fact(fact) => match fact {},
        }
        if self.election.is_none() && self.role != Role::Leader {
            self.await_leader(cx);
        }
    }

    fn on_message(&mut self, cx: Cx<'_, '_>, from: NodeId, message: &Message) {
        let is_own = cx.env().keyring.group_of(from) == Some(Place::of(cx.env()).cluster);
        match message {
            Message::Paxos(message) if is_own => self.on_paxos(cx, from, message),
            _ if is_own => {}
            Message::TwoPCPrepareRequest { id, part, .. } => {
                self.two_pc_prepare(cx, from, *id, *part)
            }
            Message::TwoPCPrepareReply { id, result } => self.on_prepare_reply(cx, *id, *result),
            Message::TwoPCCommitRequest { id, .. } => self.two_pc_commit(cx, from, *id),
            Message::TwoPCAbortRequest { id, reason } => self.two_pc_abort(cx, from, *id, *reason),
            Message::TwoPCCommitReply { id } => self.on_told(cx, *id, Stage::TellingCommit),
            Message::TwoPCAbortReply { id } => self.on_told(cx, *id, Stage::TellingAbort),
            // The document has no others.
            Message::Paxos(_)
            | Message::Snapshot(_)
            | Message::TwoPCQuery { .. }
            | Message::NotLeader { .. } => {}
        }
    }

    fn on_paxos(&mut self, cx: Cx<'_, '_>, from: NodeId, message: &paxos::Message<Command>) {
        use paxos::Message as Paxos;
        match message {
            Paxos::Elect { ballot, .. } => self.on_elect(cx, from, *ballot),
            Paxos::Promise {
                ballot, entries, ..
            } => self.on_promise(cx, from, *ballot, entries),
            Paxos::AcceptRequest { ballot, seq, req } => self.accept(cx, from, *ballot, *seq, req),
            Paxos::AcceptedReply { ballot, seq } => self.on_accepted(cx, from, *ballot, *seq),
            Paxos::CommitRequest { ballot, seq, req } => self.commit(cx, *ballot, *seq, req),
            Paxos::Refused { ballot } => self.on_refused(cx, *ballot),
            Paxos::Heartbeat { ballot, probe, .. } => {
                self.on_heartbeat(cx, from, *ballot, *probe);
            }
            Paxos::HeartbeatReply { .. } | Paxos::CatchUp { .. } => {}
        }
    }

    /// A call was not answered in time.
    fn on_no_answer(&mut self, cx: Cx<'_, '_>, id: TxnId) {
        let Some(txn) = self.transactions.get(&id) else {
            return;
        };
        match txn.stage {
            Stage::Logging => self.end_transfer(cx, id, Err(Reason::Timeout)),
            // S4-F9: also when C may have been accepted by somebody.
            Stage::Preparing | Stage::Committing => self.coordinator_abort(cx, id, Reason::Timeout),
            Stage::Aborting => self.tell_abort(cx, id),
            Stage::TellingCommit => self.on_told(cx, id, Stage::TellingCommit),
            Stage::TellingAbort => self.on_told(cx, id, Stage::TellingAbort),
            Stage::Participating => self.refuse_prepare(cx, id, Reason::Timeout),
        }
    }

    fn set_timer(cx: Cx<'_, '_>, id: TxnId) {
        let after = Duration::from_ms(cx.env().config.prepare_timeout_ms);
        cx.set_timer(Timer::Prepare(id), after);
    }
}

/// The configured leader of a cluster, whoever leads it. (S4-41, `GetLeaderNodeForCluster`)
fn configured_leader(env: &Env<Sharded2pc>, cluster: crate::types::GroupId) -> NodeId {
    env.keyring.group(cluster).next().unwrap_or(env.id)
}

/// Drops the least keys beyond what is kept.
fn trim<K: Ord, V>(map: &mut Map<K, V>) {
    while map.len() > LOG_MAX {
        map.pop_first();
    }
}

fn is_move(request: &Request) -> bool {
    matches!(request, Request::Move { .. })
}
