//! `sharded-2pc`: money on items that clusters own; two-phase commit between clusters, each a Multi-Paxos log.
//!
//! Source: seeds/004. The items are split among the groups of members. A transfer within one cluster is one entry of its
//! log. A transfer between two is decided by the cluster of the sender, the coordinator: P in both logs holds the items,
//! C moves the money, A drops the holds.
//!
//! # Rules
//!
//! Within a cluster [`crate::paxos`] chooses the log, and [`machine`] says what an entry does; nothing else changes an
//! account. An entry is applied in the step in which it becomes chosen with all before it. What follows is for a leader
//! that knows everything chosen before it led; any other member answers NOT_LEADER with the ballot that it follows.
//!
//! Upon a transfer: answered before, the same answer; a lower number than the client's last, FAILED; under way, the
//! client waits; else log it, or between clusters log P and ask the participant to prepare, at once. (S4-10)
//! Upon P applied at the participant, or a question that comes again: answer `prepared`, or why not.
//! Upon the own P applied with yes and `prepared`: log C. Upon a no of either side, or the prepare timer: log A.
//! Upon C or A applied: tell the client, and the participant, until it acknowledges; log the acknowledgement.
//! Upon an outcome at the participant: log it, and acknowledge it once it is applied. Of a transaction that is not known
//! there an A is logged all the same: a tombstone.
//! Upon an A that a lock was the reason of: another attempt, after a pause with jitter, `lock_retries` times. (S4-F25)
//! Upon a participant that asks how a transaction ends: the outcome; of an unknown one, log A, then the outcome; of one
//! that is under way, nothing yet.
//! Upon leading: every P without outcome and every outcome without acknowledgement is taken up from the accounts' tables.
//! Upon a read: answer with the balance once a majority confirms that this member still leads (S4-F23), and no
//! transaction holds the item whose outcome another cluster says: its client may have been told already.
//!
//! Whom to ask in another cluster: the leader that answered last, by ballot; upon each `resend_ms`, everybody there.
//! (S4-41, S4-67)
//!
//! # Why it is safe
//!
//! *One outcome.* A transaction's outcome is the first of C and A in the coordinator's log; the log is one
//! ([`crate::paxos`]), so that whoever leads applies the same. An outcome leaves the cluster only after it is applied,
//! and a participant logs no other. C needs a `prepared`, which left after P was applied there with yes; its hold stays
//! until an outcome, so that C takes effect. An A may overtake P: the tombstone refuses it.
//! *No money made or lost.* Balances move at C alone, once, by amounts; both sides apply the same outcome.
//! *Exactly once.* How far a client is, is part of what the log makes, and so is the answer to its last request. An
//! attempt begins only after the one before it ended in A.
//!
//! # Why it is live
//!
//! While a majority of each cluster runs and messages arrive in time, each has a leader that stays. It resends what is
//! not answered; participants ask. No wait is for a lock: who meets one aborts and comes again later, at random.
//! A client that is told nothing asks again.
//!
//! The document's own rules are in `as_written.rs`.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;

use crate::crypto::Member;
use crate::engine::{Context, Env, Input, MessageInfo, Never, Protocol, RuleSet, TimerInfo};
use crate::flaw::{Flaw, FlawSet};
use crate::ordered::{Map, Set};
use crate::paxos::{Ballot, Paxos, Slot, Tables};
use crate::store::{AnyTable, RecoverError, Rows, TableId, TableSpec};
use crate::types::{ClientId, GroupId, NodeId, Round};
use crate::view::{Glance, InstanceKind, MeterKind, NodeView, Spec, ViewScope};

mod as_written;
pub mod command;
pub mod config;
mod coordinate;
mod flaws;
mod follow;
pub mod machine;
pub mod message;
mod museum;
mod oracle;
mod participate;
pub mod phase;
mod request;
mod simulated;
mod swarm;
#[cfg(test)]
mod tests;
mod view;

use command::{Command, Reason, TxnId};
use config::Place;
pub use config::ShardedConfig;
use machine::Machine;
pub use message::Message;
pub use request::{Reply, Request};

/// What timers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// No leader was heard since the promise of this round.
    Election(u64),
    /// Say that the leader is alive.
    Heartbeat,
    /// Send again what was not acknowledged.
    Resend,
    /// The participant did not answer.
    Prepare(TxnId),
    /// The pause before this attempt is over.
    Retry(TxnId),
}

/// A read that waits for the confirmation of leadership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reading {
    client: ClientId,
    number: u64,
    item: command::Item,
    /// The question of leadership that must be answered.
    probe: u64,
}

/// What a leader knows besides its tables; lost with its leadership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Leading {
    ballot: Ballot,
    /// Whether what was under way was taken up.
    resumed: bool,
    /// What was logged and is not applied yet.
    proposed: Set<(TxnId, &'static str)>,
    /// What participants answered.
    votes: Map<TxnId, (GroupId, Result<(), Reason>)>,
    /// Who asked for the vote or the outcome of a transaction that is being logged.
    askers: Map<TxnId, NodeId>,
    /// Who waits, and for what.
    waiting: Map<(ClientId, u64), Request>,
    reads: VecDeque<Reading>,
    /// What this member held at the last tick without knowing how it ends.
    doubts: Set<TxnId>,
}

/// A member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sharded2pc {
    paxos: Paxos<Command>,
    machine: Machine,
    leading: Option<Leading>,
    /// The highest ballot that is known of each other cluster. (S4-41)
    leaders: Map<GroupId, Ballot>,
    /// The round of the election timer that is armed.
    election: Option<u64>,
    /// The round that was promised when a leader was heard last, or this life began.
    calm: u64,
    /// The node instead, under the document's rules.
    written: Option<Box<as_written::Written>>,
}

const PROMISED: TableSpec = TableSpec {
    id: TableId(1),
    name: "promised",
};
const LOG: TableSpec = TableSpec {
    id: TableId(2),
    name: "log",
};

const TABLES: [TableSpec; 8] = {
    let [accounts, locks, transactions, clients, homes, applied] = machine::TABLES;
    [
        PROMISED,
        LOG,
        accounts,
        locks,
        transactions,
        clients,
        homes,
        applied,
    ]
};

/// The kind of instance that a transfer is.
const TRANSFER: u8 = 0;
/// The kind of instance that a slot of a log is.
const SLOT: u8 = 1;

/// The meter of a slot's acceptances.
const ACCEPTANCES_METER: u8 = 0;

static SPEC: Spec = Spec {
    name: "sharded-2pc",
    title: "Sharded two-phase commit over Multi-Paxos",
    instances: &[
        InstanceKind {
            name: "transfer",
            parent: None,
        },
        InstanceKind {
            name: "slot",
            parent: Some(TRANSFER),
        },
    ],
    phases: &phase::PHASES,
    transitions: &phase::TRANSITIONS,
    messages: &message::MESSAGES,
    meters: &[MeterKind {
        name: "acceptances",
        unit: "acceptances",
        messages: &[3],
    }],
    fields: &[
        "TransactionId",
        "phase",
        "role",
        "Phase",
        "PrepareSeq",
        "Prepared",
        "LockedItems",
        "WALEntries",
        "other node",
        "result",
        "Result",
        "cluster",
        "leader",
        "leads",
        "promised",
        "lastExecuted",
        "gained",
        "item",
        "WAL",
        "clientLastReply",
        "log",
        "other cluster",
        "acknowledged",
        "reason",
        "participant says",
        "dropped",
        "leader of cluster",
        "SeqNum",
        "Ballot",
        "Status",
        "command",
    ],
    fault_model: "A minority of each cluster may crash; nobody lies.",
};

type Cx<'a, 'b> = &'a mut Context<'b, Sharded2pc>;

impl Protocol for Sharded2pc {
    type Message = Message;
    type Timer = Timer;
    type Request = Request;
    type Reply = Reply;
    type Fact = Never;
    type Report = Never;
    type Config = ShardedConfig;

    const TAG: u8 = 5;
    const NAME: &'static str = "sharded-2pc";
    const TABLES: &'static [TableSpec] = &TABLES;
    const FLAWS: &'static [Flaw] = flaws::FLAWS;
    const HAS_AS_WRITTEN: bool = true;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn check_config(
        config: &ShardedConfig,
        members: &[Member],
        _: RuleSet,
        _: FlawSet,
    ) -> Result<(), String> {
        config.check(members)
    }

    fn recover(env: &Env<Self>, rows: &Rows) -> Result<Self, RecoverError> {
        let none = Rows::default();
        let (rows, written) = match env.rules {
            RuleSet::Hardened => (rows, None),
            RuleSet::AsWritten => (&none, Some(as_written::Written::load(env, rows)?)),
        };
        let tables = Tables {
            promised: PROMISED,
            log: LOG,
        };
        let paxos = Paxos::load(tables, rows)?;
        let machine = Machine::load(rows)?;
        if machine.applied() != paxos.chosen() {
            return Err(RecoverError::Inconsistent {
                expected: "every chosen entry is applied",
            });
        }
        let calm = paxos.promised().round;
        Ok(Sharded2pc {
            paxos,
            machine,
            leading: None,
            leaders: Map::new(),
            election: None,
            calm,
            written: written.map(Box::new),
        })
    }

    fn handle(&mut self, cx: &mut Context<'_, Self>, input: Input<Self>) {
        if let Some(written) = &mut self.written {
            return written.handle(cx, input);
        }
        match input {
            Input::Start => self.on_start(cx),
            Input::Message { from, message } => self.on_message(cx, from, &message),
            Input::Timeout(timer) => self.on_timeout(cx, timer),
            Input::Request {
                client,
                number,
                request,
            } => self.on_request(cx, client, number, request),
            Input::Fact(fact) => match fact {},
        }
        self.settle(cx);
    }

    fn check(env: &Env<Self>, from: NodeId, message: &Message) -> Result<(), &'static str> {
        message::check(env, from, message)
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        if let Some(written) = &mut self.written {
            return written.tables(visit);
        }
        self.paxos.tables(visit);
        self.machine.tables(visit);
    }

    fn describe(message: &Message) -> MessageInfo {
        message::describe(message)
    }

    fn timer_info(timer: &Timer) -> TimerInfo {
        let of = |name, id: TxnId| TimerInfo {
            name,
            instance: Some(id.instance()),
            round: Some(Round(id.attempt)),
        };
        let housekeeping = |name| TimerInfo {
            name,
            instance: None,
            round: None,
        };
        match timer {
            Timer::Election(round) => TimerInfo {
                name: "election",
                instance: None,
                round: Some(Round(u32::try_from(*round).unwrap_or(u32::MAX))),
            },
            Timer::Heartbeat => housekeeping("heartbeat"),
            Timer::Resend => housekeeping("resend"),
            Timer::Prepare(id) => of("prepare", *id),
            Timer::Retry(id) => of("retry", *id),
        }
    }

    fn glance(&self) -> Glance {
        match &self.written {
            Some(written) => as_written::glance(written),
            None => view::glance(self),
        }
    }

    fn view(&self, env: &Env<Self>, scope: ViewScope) -> NodeView {
        match &self.written {
            Some(written) => as_written::view(written, env, scope),
            None => view::view(self, env, scope),
        }
    }

    fn invariants(&self, env: &Env<Self>) {
        assert_eq!(
            self.machine.applied(),
            self.paxos.chosen(),
            "chosen is applied"
        );
        if env.flaws.is_empty() {
            self.machine.assert_sound(&Place::of(env));
        }
    }
}

impl Sharded2pc {
    /// The ballot of whoever leads this cluster, as far as is known here.
    fn ballot(&self) -> Ballot {
        self.paxos.leader().unwrap_or_default()
    }

    /// What a leader knows, once it may serve.
    fn serving(&mut self) -> Option<&mut Leading> {
        self.leading.as_mut().filter(|leading| leading.resumed)
    }

    fn on_message(&mut self, cx: Cx<'_, '_>, from: NodeId, message: &Message) {
        let Some(cluster) = cx.env().keyring.group_of(from) else {
            return;
        };
        let is_own = cluster == Place::of(cx.env()).cluster;
        match message {
            Message::Paxos(message) if is_own => self.on_paxos(cx, from, message),
            Message::Snapshot(snapshot) if is_own => self.on_snapshot(cx, snapshot),
            Message::Paxos(_) | Message::Snapshot(_) => {}
            _ if is_own => {}
            Message::NotLeader { cluster, ballot } => self.on_not_leader(cx, *cluster, *ballot),
            Message::TwoPCPrepareRequest { id, part, .. } => {
                self.on_prepare_request(cx, from, cluster, *id, *part);
            }
            Message::TwoPCPrepareReply { id, result } => {
                self.on_prepare_reply(cx, cluster, *id, *result);
            }
            Message::TwoPCCommitRequest { id, clients } => {
                self.on_commit_request(cx, from, cluster, *id, clients);
            }
            Message::TwoPCAbortRequest { id, reason } => {
                self.on_abort_request(cx, from, cluster, *id, *reason);
            }
            Message::TwoPCCommitReply { id } | Message::TwoPCAbortReply { id } => {
                self.on_ack(cx, cluster, *id);
            }
            Message::TwoPCQuery { id } => self.on_query(cx, from, cluster, *id),
        }
    }

    fn on_timeout(&mut self, cx: Cx<'_, '_>, timer: Timer) {
        match timer {
            Timer::Election(_) => self.on_election(cx),
            Timer::Heartbeat => self.on_heartbeat(cx),
            Timer::Resend => self.on_resend(cx),
            Timer::Prepare(id) => self.on_prepare_timeout(cx, id),
            Timer::Retry(id) => self.begin(cx, id.client, id.number),
        }
    }

    /// The last slot that is applied here. (S4-16 `lastExecuted`)
    pub fn last_executed(&self) -> Slot {
        self.machine.applied()
    }
}
