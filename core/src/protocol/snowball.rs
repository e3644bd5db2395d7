//! `snowball`: transactions over unspent outputs, finalized by repeated polls of a few peers; and blocks of them.
//!
//! Source: seeds/001. There is no leader and no quorum. What is in conflict — the transactions that spend one output, the
//! blocks of one height — is one n-ary Snowball ([`crate::snow`]) at every node; whoever is confident enough is done.
//!
//! # Rules
//!
//! Upon a client's transaction: refuse it if a signature, an amount or an input is wrong, or an input is locked by
//! another; else lock its inputs and take it up. (S1-22, S1-47)
//! Upon taking up a transaction whose inputs are outputs of final transactions: it is one more choice of each of its
//! inputs; the first choice is preferred, and a poll begins. One whose input is unknown waits; one whose input is spent
//! is rejected.
//! Upon beginning a poll: ask a sample of peers, drawn by registered weight without replacement, which choice they
//! prefer. Each poll has an id. (S1-F6, S1-F7, S1-F8)
//! Upon a question: answer with the own preference, or no vote; fetch a choice that is unknown. (S1-F11)
//! Upon a vote: it counts once, and only if its sender was asked in the poll that runs.
//! Upon a poll whose outcome is fixed, or whose time is over: count it as [`crate::snow::Snowball`] says; a poll without
//! success clears the confidence (S1-F9); after a pause, the next poll: a longer one after many polls without success.
//! There is no last round. (S1-F1, S1-F2)
//! Upon `finality_confidence` successful polls in a row: the choice has won this key. A transaction is *final* once it
//! has won each of its inputs; then those in conflict with it are *rejected*, and a key that one of them had won is open
//! again, at zero.
//! Upon final transactions that no block holds: build a block after `block_interval_ms`, the members in turn by height;
//! the others wait `vote_timeout_ms` longer each. A block is a choice for its height once everything in it is final here,
//! it follows the own chain and pays no more than subsidy and fees. Of several, as long as no poll about the height
//! succeeded: the one that may have won elsewhere by what a poll heard, else that of whoever's turn came first.
//! Upon a vote for a poll that its timer ended: polls wait longer from now on, up to [`PATIENCE_MAX`] times. (S1-F17)
//! Upon each `sync_ms`: tell one peer how long the own chain is; it answers with the next block, and names transactions.
//! Whoever knows of a longer chain asks again once it has a block more.
//! Of many blocks of one height, and of many spends of one output, those give way that are not preferred and never won a
//! poll; votes name what wins, so that it comes again.
//!
//! # What is promised
//!
//! *Of one node*: no two final transactions spend one output; a choice wins only after so many successful polls in a row;
//! a preference, a victory and what is spent are durable before anybody hears of them, so that a restart changes none.
//! *Of two nodes*: agreement with a probability that [`crate::snow::bound`] bounds for stated parameters and assumptions;
//! never with certainty. Strength and confidence start anew after a restart, which only delays.
//! *Liveness* for transactions that nobody contradicts, while enough sampled peers answer. Of two in conflict both may
//! stay undecided, as may transactions whose conflicts go round in a circle.
//!
//! # Deviations from the document
//!
//! The document votes Accept or Reject about one transaction at a time; here the vote is for one of those in conflict, so
//! that Reject is a vote for another (S1-F3, S1-F4). Its own rules are in `as_written.rs`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::crypto::Member;
use crate::engine::{Context, Env, Input, Lie, MessageInfo, Never, Protocol, RuleSet, TimerInfo};
use crate::flaw::{Flaw, FlawSet};
use crate::ledger::{Block, Mempool, OutPoint, Output, Signed};
use crate::ordered::{Map, Set};
use crate::store::{AnyTable, RecoverError, Rows, Table, TableId, TableSpec};
use crate::types::{ClientId, Hash32, InstanceId, NodeId, Round};
use crate::view::{Glance, InstanceKind, MeterKind, NodeView, Spec, ViewScope};

mod as_written;
mod chain;
pub mod config;
pub mod conflict;
mod flaws;
pub mod message;
mod museum;
mod oracle;
pub mod phase;
mod poll;
mod pool;
mod request;
mod sample;
mod simulated;
mod swarm;
mod sync;
#[cfg(test)]
mod tests;
mod view;

pub use config::SnowballConfig;
use conflict::Conflict;
pub use message::Message;
use poll::Voting;
pub use request::{Payment, Reply, Request};

/// What timers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The poll with this id waited long enough. (S1-08)
    Vote(InstanceId, u32, u64),
    /// The pause before the next poll is over. (S1-12)
    Next(InstanceId, u32),
    /// Whoever was asked for a choice did not tell.
    Fetch(Hash32),
    /// Final transactions waited long enough for a block of this height.
    Build(u64),
    /// Compare notes with a peer.
    Sync,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// Polls go on: the pending pool.
    Pending,
    /// It won each of its inputs: the finalized pool. (S1-48)
    Final,
    /// It stands in the block of this height.
    InBlock(u64),
}

/// A transaction that a node took up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Known {
    /// The transaction.
    pub signed: Signed,
    /// Where it stands.
    pub standing: Standing,
}

/// A validator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snowball {
    transactions: Table<Hash32, Known>,
    conflicts: Table<InstanceId, Conflict>,
    /// By which final transaction an output is spent.
    spent: Table<OutPoint, Hash32>,
    /// What final transactions and blocks made, and nobody spent.
    outputs: Table<OutPoint, Output>,
    /// Inputs of transactions that clients gave to this node. (S1-47)
    locks: Table<OutPoint, Hash32>,
    /// Transactions that lost, and to which other.
    rejected: Table<Hash32, Hash32>,
    blocks: Table<u64, Block>,
    /// Blocks for the next height.
    candidates: Table<Hash32, Block>,
    /// The pending transactions, by what they spend.
    pool: Mempool,
    /// Polls about conflict keys that no choice has won here.
    voting: Map<InstanceId, Voting>,
    /// The height of each block.
    heights: Map<Hash32, u64>,
    next_poll: u64,
    /// How many times `vote_timeout_ms` polls wait, besides once.
    patience: u32,
    /// Choices that somebody was asked for.
    wanted: Set<Hash32>,
    /// Transactions that spend what is not known here.
    orphans: Map<Hash32, Signed>,
    waiting: Map<Hash32, Vec<(ClientId, u64)>>,
    /// Whose chain is longer, and how long it is at least.
    ahead: Option<(NodeId, u64)>,
    /// The node instead, under the document's rules.
    written: Option<Box<as_written::Written>>,
}

/// How much longer than `vote_timeout_ms` a poll waits at most, in multiples of it.
pub const PATIENCE_MAX: u32 = 20;

const fn table(id: u8, name: &'static str) -> TableSpec {
    TableSpec {
        id: TableId(id),
        name,
    }
}

const TRANSACTIONS: TableSpec = table(1, "transactions");
const CONFLICTS: TableSpec = table(2, "conflicts");
const SPENT: TableSpec = table(3, "spent");
const OUTPUTS: TableSpec = table(4, "outputs");
const LOCKS: TableSpec = table(5, "locks");
const REJECTED: TableSpec = table(6, "rejected");
const BLOCKS: TableSpec = table(7, "blocks");
const CANDIDATES: TableSpec = table(8, "candidates");

/// The meter of a poll's votes.
const VOTES_METER: u8 = 0;
/// The meter of successful polls in a row.
const CONFIDENCE_METER: u8 = 1;

static SPEC: Spec = Spec {
    name: "snowball",
    title: "Snowball on a ledger that makes blocks",
    instances: &[InstanceKind {
        name: "conflict set",
        parent: None,
    }],
    phases: &phase::PHASES,
    transitions: &phase::TRANSITIONS,
    messages: &message::MESSAGES,
    meters: &[
        MeterKind {
            name: "poll",
            unit: "votes",
            messages: &[message::RESPONSE],
        },
        MeterKind {
            name: "confidence",
            unit: "polls",
            messages: &[],
        },
    ],
    fields: &[
        "preference",
        "confidence",
        "k",
        "last_finalized",
        "height",
        "creator",
        "transactions",
        "reward",
        "sample",
        "pending pool",
        "finalized pool",
        "rejected pool",
        "locked inputs",
        "conserved",
        "unspent",
    ],
    fault_model: "Agreement is probable while few lie; it is never certain.",
};

type Cx<'a, 'b> = &'a mut Context<'b, Snowball>;

impl Protocol for Snowball {
    type Message = Message;
    type Timer = Timer;
    type Request = Request;
    type Reply = Reply;
    type Fact = Never;
    type Report = Never;
    type Config = SnowballConfig;

    const TAG: u8 = 2;
    const NAME: &'static str = "snowball";
    const TABLES: &'static [TableSpec] = &[
        TRANSACTIONS,
        CONFLICTS,
        SPENT,
        OUTPUTS,
        LOCKS,
        REJECTED,
        BLOCKS,
        CANDIDATES,
    ];
    const FLAWS: &'static [Flaw] = flaws::FLAWS;
    const HAS_AS_WRITTEN: bool = true;

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn check_config(
        config: &SnowballConfig,
        members: &[Member],
        rules: RuleSet,
        _: FlawSet,
    ) -> Result<(), String> {
        config.check(members, rules)
    }

    fn recover(env: &Env<Self>, rows: &Rows) -> Result<Self, RecoverError> {
        let written = match env.rules {
            RuleSet::Hardened => None,
            RuleSet::AsWritten => Some(Box::new(as_written::Written::default())),
        };
        let mut state = Snowball {
            transactions: Table::load(TRANSACTIONS, rows)?,
            conflicts: Table::load(CONFLICTS, rows)?,
            spent: Table::load(SPENT, rows)?,
            outputs: Table::load(OUTPUTS, rows)?,
            locks: Table::load(LOCKS, rows)?,
            rejected: Table::load(REJECTED, rows)?,
            blocks: Table::load(BLOCKS, rows)?,
            candidates: Table::load(CANDIDATES, rows)?,
            pool: Mempool::new(),
            voting: Map::new(),
            heights: Map::new(),
            next_poll: 0,
            patience: 0,
            wanted: Set::new(),
            orphans: Map::new(),
            waiting: Map::new(),
            ahead: None,
            written,
        };
        state.index()?;
        Ok(state)
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
            } => self.on_request(cx, client, number, request.signed),
            Input::Fact(fact) => match fact {},
        }
    }

    fn check(env: &Env<Self>, _: NodeId, message: &Message) -> Result<(), &'static str> {
        message::check(env, message)
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        if self.written.is_some() {
            // The document keeps nothing. (S1-40)
            return;
        }
        visit(&mut self.transactions);
        visit(&mut self.conflicts);
        visit(&mut self.spent);
        visit(&mut self.outputs);
        visit(&mut self.locks);
        visit(&mut self.rejected);
        visit(&mut self.blocks);
        visit(&mut self.candidates);
    }

    fn describe(message: &Message) -> MessageInfo {
        message::describe(message)
    }

    fn timer_info(timer: &Timer) -> TimerInfo {
        let (name, instance, round) = match timer {
            Timer::Vote(instance, round, _) => ("vote", Some(*instance), Some(Round(*round))),
            Timer::Next(instance, round) => ("next poll", Some(*instance), Some(Round(*round))),
            Timer::Fetch(_) => ("fetch", None, None),
            Timer::Build(_) => ("build", None, None),
            Timer::Sync => ("sync", None, None),
        };
        TimerInfo {
            name,
            instance,
            round,
        }
    }

    fn glance(&self) -> Glance {
        match &self.written {
            Some(written) => written.glance(),
            None => view::glance(self),
        }
    }

    fn glance_of(&self, instance: InstanceId) -> Option<Glance> {
        match &self.written {
            Some(written) => {
                Some(written.glance()).filter(|glance| glance.instance == Some(instance))
            }
            None => view::glance_of(self, instance),
        }
    }

    fn view(&self, env: &Env<Self>, scope: ViewScope) -> NodeView {
        match &self.written {
            Some(written) => written.view(env, scope),
            None => view::view(self, env, scope),
        }
    }

    fn invariants(&self, env: &Env<Self>) {
        if env.is_hardened() {
            self.assert_sound(env);
        }
    }

    fn lie(&self, _: &Env<Self>, message: &Message, lie: Lie) -> Option<Message> {
        match lie {
            Lie::Value => match &self.written {
                Some(_) => as_written::other_vote(message),
                None => self.other_vote(message),
            },
            Lie::Round => None,
        }
    }
}

impl Snowball {
    fn on_start(&mut self, cx: Cx<'_, '_>) {
        // Another life's polls have other ids, so that a vote in an old one is not taken for one in a new one.
        self.next_poll = u64::from(cx.id().0) << 48 | cx.below(1 << 24) << 24;
        let sync_ms = cx.env().config.sync_ms;
        let first_ms = cx.below(sync_ms);
        cx.set_timer(Timer::Sync, crate::types::Duration::from_ms(first_ms + 1));
        self.resume(cx);
        self.arm_build(cx);
    }

    fn on_message(&mut self, cx: Cx<'_, '_>, from: NodeId, message: &Message) {
        match message {
            Message::TransactionVoteRequest {
                poll_id,
                round,
                key,
                choice,
            } => self.on_vote_request(cx, from, *poll_id, *round, key, *choice),
            Message::TransactionVoteResponse {
                poll_id,
                key,
                preference,
                ..
            } => self.on_vote_response(cx, from, *poll_id, key, *preference),
            Message::Fetch(choice) => self.on_fetch(cx, from, choice),
            Message::Transaction(signed) => {
                // A peer cannot help what it passes on; why it is not taken concerns clients alone.
                let _ = self.take_up(cx, signed, Some(from));
            }
            Message::Block(block) => self.take_block(cx, block, from),
            Message::Status { height } => self.on_status(cx, from, *height),
            Message::Known(choices) => self.on_known(cx, from, choices),
        }
    }

    fn on_timeout(&mut self, cx: Cx<'_, '_>, timer: Timer) {
        match timer {
            Timer::Vote(instance, _, poll_id) => self.on_vote_timeout(cx, instance, poll_id),
            Timer::Next(instance, _) => self.begin_poll(cx, instance),
            Timer::Fetch(choice) => {
                self.wanted.remove(&choice);
            }
            Timer::Build(height) => self.build(cx, height),
            Timer::Sync => self.on_sync(cx),
        }
    }
}
