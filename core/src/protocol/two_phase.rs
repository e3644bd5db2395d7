//! `two-phase`, Profile A: threshold signing of one transaction template per event, under crash faults.
//!
//! Source: seeds/000. Signers agree on a template first and sign only then. n members, m partial signatures make the
//! transaction valid, q = max(m, floor(n/2) + 1) locks decide, f = n - q members may be down.
//!
//! # Rules
//!
//! Upon a request for an event, or hearing of one: remember its body; enter round 0.
//! Upon entering round 0: propose the own template at once. The proposal *is* the prevote.
//! Upon entering round r >= 1 as its leader, members\[(H(event) + r) mod n\]: propose `valid` with its proof, else
//! `fresh(r)`: the most supported, then lowest, template of round r - 1 that is valid here, else the own one.
//! Upon the leader's proposal: propose the same if the template is valid and the lock allows it, else as on the propose
//! timeout. Upon the propose timeout, a third of the round: propose the locked template, else `fresh(r)`, else nothing.
//! Upon q proposals of one round for a template that is valid here: lock it and send the lock; once per round.
//! Upon q locks of one round for a template, or a certificate of them: the event is **committed**. Note `signature[event]
//! = H` for good, sign H, broadcast certificate and signature.
//! Upon the end of the round (`proposal_timeout_ms`, whatever arrived): failed; after `delay_for_retry` with jitter, round
//! r + 1. Upon a vote of a higher round: follow into it, which counts as no retry.
//! Upon the end of a round with no retries left: a node that never locked withdraws — a signed, durable Abandon, after
//! which it never locks — unless it knows of a lock or of q proposals for one template, and q members that did not
//! withdraw voted in this round or the last. A node that locked, or stays, goes on at `max_delay_ms`. n - q + 1 withdrawals are the
//! AbandonCert, which ends the event, and which alone is told to a client.
//! Upon m partial signatures: report the transaction to the chain. Upon seeing it there: completed.
//! Every second: send own votes and the highest quorum of proposals of open events again, ask one peer what it knows,
//! re-drive committed events.
//! Upon any late vote about an ended event: answer with its certificate.
//!
//! # Deviations
//!
//! From rule R ([`crate::rounds`]): there are no precommits for nil; one timer ends a round. A template for which q
//! proposals of an earlier round are proven is prevoted and locked without another look at the own chain view (its
//! structure is always checked): a quorum saw its inputs, and an output that is spent meanwhile must not keep a locked
//! event from ending. Signing looks again, and defers.
//! From the document: proposals inform, locks bind; every S0-F flaw is fixed or cannot occur (docs/coverage.md).
//! The document's own rules are in `as_written.rs`; `flaws.rs` restores its flaws one by one on top of these.
//!
//! # Why it is safe
//!
//! Agreement is rule R's argument: two sets of q members share one, since q > n / 2. An AbandonCert excludes a decision:
//! its n - q + 1 members never locked and never will, so at most q - 1 members ever lock, in any round. One signature:
//! `signature[event]` is written in the batch of the decision, before anything is sent, and never deleted.
//! Profile A survives crashes only: with n = 3 one equivocator forks it (S0-F22).
//!
//! # Why it is live
//!
//! Once messages arrive in time and before retries run out, n - f members run, and a template that is valid for one is
//! valid for all: jumps bring members into one round, where its leader's proposal reaches all within a third of the
//! round. The leader proposes the highest `valid`, which every lock allows, and without any `valid` each of them withdraws
//! in the end: n - f = q >= n - q + 1.
//!
//! *The limit.* If retries run out while messages are still lost, a node withdraws that did not hear of another's lock,
//! and neither withdrawal nor lock is ever taken back. The event then ends if q of the members that run did not withdraw,
//! or n - q + 1 withdrew or run without a lock. Otherwise it stays open until enough members come back: with n = 3,
//! one locked, one withdrew and one is down. Nothing can end it: the member that is down may have decided. Whoever wants
//! this not to happen gives `max_retries` more time than the longest disturbance.
//!
//! Two events that want one output do not wait for each other for ever: see [`reserve`].

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::codec;
use crate::crypto::{Member, Signature};
use crate::engine::{Context, Env, Input, Lie, MessageInfo, Protocol, RuleSet, TimerInfo};
use crate::event::{Record, RecordKind};
use crate::flaw::{Flaw, FlawSet};
use crate::ledger::Transaction;
use crate::ordered::{Map, Set};
use crate::quorum::Quorum;
use crate::store::{AnyTable, RecoverError, Rows, Table, TableId, TableSpec};
use crate::types::{ClientId, Duration, Hash32, InstanceId, NodeId, Round};
use crate::view::{Glance, InstanceKind, MeterKind, NodeView, Spec, ViewScope};
use crate::votes::{Vote, VoteSet};

mod abandon;
mod as_written;
mod body;
mod chain;
mod commit;
pub mod config;
mod count;
mod evidence;
mod flaws;
pub mod message;
mod museum;
mod oracle;
pub mod phase;
mod propose;
mod recover;
mod request;
pub mod reserve;
mod simulated;
mod swarm;
mod sync;
pub mod template;
#[cfg(test)]
mod tests;
mod view;

pub use chain::{ChainChange, ChainSetting};
pub use config::TwoPhaseConfig;
pub use message::Message;
use message::{Proposal, Pskt, SigningEvent};
use phase::{EventPhase, EventPhaseState, PHASES};
pub use request::{Reply, SubmitEvent, Superseded};
use reserve::Reservations;
use template::{ChainFact, ChainView};

/// What goes out to the chain: the decided transaction with enough signatures. (S0-75)
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SignedTransaction {
    /// The event.
    pub event_id: InstanceId,
    /// The transaction.
    pub transaction: Transaction,
    /// m partial signatures, in signer order.
    pub signatures: Vec<(NodeId, Signature)>,
}

/// What timers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Every second.
    Tick,
    /// The leader's proposal did not come.
    Propose(InstanceId, Round),
    /// The round is over.
    Round(InstanceId, Round),
    /// Backoff is over: enter the round.
    Retry(InstanceId, Round),
    /// A peer was told about an event; do not tell it again before this fires. Node 0 stands for all.
    Cooldown(NodeId, InstanceId),
    /// A peer was asked for events that it knows; do not ask again before this fires.
    Asked(NodeId),
    /// The event's proposals may be forgotten.
    Gc(InstanceId),
}

/// A proposal as stored: its template stands in `event_template`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct StoredVote {
    value: Option<Hash32>,
    signature: Signature,
    timestamp_ns: u64,
    tip_score: Option<u64>,
    valid_round: Option<Round>,
    valid_proof: Option<Certificate>,
}

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
enum Outcome {
    /// q locks.
    Lock(Certificate),
    /// n - q + 1 withdrawals.
    Abandon(Certificate),
}

/// What a node knows of an open event besides its rows. Lost in a crash; peers send it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Live {
    votes: VoteSet,
    partials: Map<NodeId, Signature>,
    waiting: Vec<(ClientId, u64)>,
    /// Templates that a quorum proposed, whose quorum event was told.
    told: Vec<(Round, Hash32)>,
    /// Votes that came again, where entries count and not members. (S0-F23)
    copies: Vec<Vote>,
    /// Members whose votes are of rounds too far ahead to be stored, with the highest of those rounds.
    far: Map<NodeId, Round>,
    deferred: bool,
}

/// A signer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TwoPhase {
    /// `event`: bodies. Kept for good, with the two below: tombstones.
    events: Table<InstanceId, SigningEvent>,
    /// `event_phase`.
    phases: Table<InstanceId, EventPhaseState>,
    /// `phase_index`: events by phase.
    index: Table<(u8, InstanceId), ()>,
    /// `signature`: what this node signed. Never deleted.
    signatures: Table<InstanceId, Hash32>,
    /// `event_proposal`: votes by event, round and proposer.
    proposals: Table<(InstanceId, Round, NodeId), StoredVote>,
    /// `event_template`: templates by event and hash.
    templates: Table<(InstanceId, Hash32), Pskt>,
    /// `event_valid`: the proof of the `valid` template.
    valid: Table<InstanceId, Certificate>,
    /// `event_certificate`: how it ended.
    outcomes: Table<InstanceId, Outcome>,

    /// One entry per open event, freed at its end: what is counted against the limit of open events.
    live: Map<InstanceId, Arc<Live>>,
    /// Members that contradicted themselves, by event: each is named once.
    accused: Map<InstanceId, Vec<NodeId>>,
    chain: ChainView,
    /// Outputs promised to events that are not yet complete.
    reserved: Reservations,
    sync: sync::SyncState,
}

const EVENT: TableSpec = TableSpec {
    id: TableId(1),
    name: "event",
};
const EVENT_PHASE: TableSpec = TableSpec {
    id: TableId(2),
    name: "event_phase",
};
const PHASE_INDEX: TableSpec = TableSpec {
    id: TableId(3),
    name: "phase_index",
};
const SIGNATURE: TableSpec = TableSpec {
    id: TableId(4),
    name: "signature",
};
const EVENT_PROPOSAL: TableSpec = TableSpec {
    id: TableId(5),
    name: "event_proposal",
};
const EVENT_TEMPLATE: TableSpec = TableSpec {
    id: TableId(6),
    name: "event_template",
};
const EVENT_VALID: TableSpec = TableSpec {
    id: TableId(7),
    name: "event_valid",
};
const EVENT_CERTIFICATE: TableSpec = TableSpec {
    id: TableId(8),
    name: "event_certificate",
};

static SPEC: Spec = Spec {
    name: "two-phase",
    title: "Two-phase threshold signing",
    instances: &[InstanceKind {
        name: "signing event",
        parent: None,
    }],
    phases: &PHASES,
    transitions: &[
        (0, 1),
        (0, 2),
        (1, 2),
        (1, 4),
        (2, 3),
        (4, 1),
        (4, 5),
        (4, 2),
        (5, 2),
        (0, 5),
    ],
    messages: &message::MESSAGES,
    meters: &[
        MeterKind {
            name: "proposals",
            unit: "proposals",
            messages: &[0, 1],
        },
        MeterKind {
            name: "locks",
            unit: "locks",
            messages: &[2],
        },
    ],
    fields: &[
        "chain tip score",
        "outputs in view",
        "commit_quorum",
        "threshold_m",
        "event_id",
        "amount",
        "step",
        "canonical_hash",
        "own_proposal_hash",
        "locked",
        "valid",
        "retry_count",
        "signed",
        "partial signatures",
        "withdrawals",
        crate::view::WAITS_FOR,
    ],
    fault_model: "Profile A survives crashes of n - q members; it does not survive a liar.",
};

/// The meter of proposals.
const PROPOSALS_METER: u8 = 0;
/// The meter of locks.
const LOCKS_METER: u8 = 1;

type Cx<'a, 'b> = &'a mut Context<'b, TwoPhase>;

impl TwoPhase {
    const TAG_BYTE: u8 = 1;

    /// How many locks decide.
    fn quorum(env: &Env<TwoPhase>) -> Quorum {
        let rule = flaws::quorum_rule(env.rules, env.flaws);
        env.config.quorum_under(rule, env.members().len())
    }

    fn phase(&self, event: &InstanceId) -> EventPhase {
        self.phases
            .get(event)
            .map_or(EventPhase::Unknown, |row| row.phase)
    }

    fn live_mut(&mut self, event: InstanceId) -> &mut Live {
        Arc::make_mut(self.live.get_or_default(event))
    }

    /// Moves an event to another phase: row, index and observers together.
    fn enter_phase(&mut self, cx: Cx<'_, '_>, event: InstanceId, to: EventPhase) {
        let Some(row) = self.phases.get_mut(&event) else {
            return;
        };
        let (from, round) = (row.phase, row.rounds.round);
        if from == to {
            return;
        }
        row.transition(to);
        self.index.delete(&(from as u8, event));
        self.index.put((to as u8, event), ());
        view::tell_phase(cx, event, to, round);
    }

    /// The events of one phase, in id order. (S0-55 `get_events_in_phase`)
    fn events_in_phase(&self, phase: EventPhase) -> Vec<InstanceId> {
        let low = (phase as u8, InstanceId::default());
        let high = (phase as u8 + 1, InstanceId::default());
        self.index
            .range(low..high)
            .map(|((_, event), ())| *event)
            .collect()
    }

    /// Events that are neither completed nor abandoned with proof, in id order.
    fn open_events(&self) -> Vec<InstanceId> {
        let mut open = self.events_in_phase(EventPhase::Proposing);
        open.extend(self.events_in_phase(EventPhase::Failed));
        open.extend(self.events_in_phase(EventPhase::Committed));
        let withdrawn = self.events_in_phase(EventPhase::Abandoned).into_iter();
        open.extend(withdrawn.filter(|event| !self.outcomes.contains(event)));
        open
    }

    fn handle_hardened(&mut self, cx: Cx<'_, '_>, input: Input<Self>) {
        match input {
            Input::Start => self.on_start(cx),
            Input::Message { from, message } => self.on_message(cx, from, &message),
            Input::Timeout(timer) => self.on_timeout(cx, timer),
            Input::Request {
                client,
                number,
                request,
            } => self.on_request(cx, client, number, &request),
            Input::Fact(fact) => self.on_fact(cx, &fact),
        }
    }

    fn on_start(&mut self, cx: Cx<'_, '_>) {
        self.sync.start(cx);
        cx.set_timer(Timer::Tick, Duration::from_ms(config::TICK_MS));
        // What an earlier life learned it may not have lived to tell.
        for (event, outcome) in self.outcomes.iter() {
            let (kind, ballot) = match outcome {
                Outcome::Lock(certificate) => (RecordKind::Decided, certificate.ballot),
                Outcome::Abandon(certificate) => (RecordKind::Abandoned, certificate.ballot),
            };
            cx.record(Record {
                kind,
                instance: *event,
                value: ballot.value,
                round: ballot.round,
            });
        }
        for event in self.open_events() {
            self.resume(cx, event);
        }
        // Proposals of events that ended in an earlier life are still to be forgotten.
        let ended: Set<InstanceId> = self
            .proposals
            .iter()
            .map(|((event, ..), _)| *event)
            .collect();
        for event in ended
            .into_iter()
            .filter(|event| self.outcomes.contains(event))
        {
            cx.set_timer(
                Timer::Gc(event),
                Duration::from_ms(cx.env().config.gc_after_ms),
            );
        }
    }

    fn on_fact(&mut self, cx: Cx<'_, '_>, fact: &ChainFact) {
        self.chain.update(fact);
        for event in self.events_in_phase(EventPhase::Committed) {
            if flaws::redrives(cx.env().flaws) {
                self.try_sign(cx, event);
            }
            self.try_complete(cx, event);
        }
        for event in self.events_in_phase(EventPhase::Proposing) {
            self.evaluate(cx, event);
        }
    }

    fn on_timeout(&mut self, cx: Cx<'_, '_>, timer: Timer) {
        match timer {
            Timer::Tick => self.on_tick(cx),
            Timer::Propose(event, round) => self.on_propose_timeout(cx, event, round),
            Timer::Round(event, round) => self.on_round_timeout(cx, event, round),
            Timer::Retry(event, round) => self.on_retry(cx, event, round),
            Timer::Cooldown(..) | Timer::Asked(_) => {}
            Timer::Gc(event) => self.on_gc(cx, event),
        }
    }

    fn on_message(&mut self, cx: Cx<'_, '_>, from: NodeId, message: &Message) {
        match message {
            Message::ProposalBroadcast(proposal) => self.on_proposal(cx, from, proposal),
            Message::NoProposal {
                vote,
                signing_material,
            } => self.on_no_proposal(cx, from, vote, signing_material),
            Message::Lock(vote) => self.on_lock(cx, from, vote),
            Message::EventStateBroadcast(commit) => self.on_commit(cx, commit),
            Message::Abandon {
                certificate,
                signing_material,
            } => {
                self.on_abandon(cx, from, certificate, signing_material);
            }
            Message::Equivocation(evidence) => self.on_evidence(cx, evidence),
            Message::StateSyncRequest { events, since } => {
                self.on_sync_request(cx, from, events, *since)
            }
            Message::StateSyncResponse {
                learned,
                cursor,
                proposals,
                locks,
            } => {
                self.on_sync_response(cx, from, learned, *cursor, proposals, locks);
            }
            Message::Valid {
                certificate,
                signing_material,
                kpsbt_blob,
            } => self.on_valid(cx, from, certificate, signing_material, kpsbt_blob),
        }
    }
}

impl Protocol for TwoPhase {
    type Message = Message;
    type Timer = Timer;
    type Request = SubmitEvent;
    type Reply = Reply;
    type Fact = ChainFact;
    type Report = SignedTransaction;
    type Config = TwoPhaseConfig;

    const TAG: u8 = Self::TAG_BYTE;
    const NAME: &'static str = "two-phase";
    const FLAWS: &'static [Flaw] = flaws::FLAWS;
    const HAS_AS_WRITTEN: bool = true;
    const TABLES: &'static [TableSpec] = &[
        EVENT,
        EVENT_PHASE,
        PHASE_INDEX,
        SIGNATURE,
        EVENT_PROPOSAL,
        EVENT_TEMPLATE,
        EVENT_VALID,
        EVENT_CERTIFICATE,
    ];

    fn spec() -> &'static Spec {
        &SPEC
    }

    fn check_config(
        config: &TwoPhaseConfig,
        members: &[Member],
        rules: RuleSet,
        flaws: FlawSet,
    ) -> Result<(), String> {
        config.check_under(flaws::quorum_rule(rules, flaws), members)
    }

    fn recover(env: &Env<Self>, rows: &Rows) -> Result<Self, RecoverError> {
        let mut state = TwoPhase {
            events: Table::load(EVENT, rows)?,
            phases: Table::load(EVENT_PHASE, rows)?,
            index: Table::load(PHASE_INDEX, rows)?,
            signatures: Table::load(SIGNATURE, rows)?,
            proposals: Table::load(EVENT_PROPOSAL, rows)?,
            templates: Table::load(EVENT_TEMPLATE, rows)?,
            valid: Table::load(EVENT_VALID, rows)?,
            outcomes: Table::load(EVENT_CERTIFICATE, rows)?,
            live: Map::new(),
            accused: Map::new(),
            chain: ChainView::default(),
            reserved: Reservations::default(),
            sync: sync::SyncState::default(),
        };
        state.rebuild(env)?;
        Ok(state)
    }

    fn handle(&mut self, cx: &mut Context<'_, Self>, input: Input<Self>) {
        match cx.env().rules {
            RuleSet::Hardened => self.handle_hardened(cx, input),
            RuleSet::AsWritten => self.handle_as_written(cx, input),
        }
    }
    fn check(env: &Env<Self>, from: NodeId, message: &Message) -> Result<(), &'static str> {
        message::check(env, from, message)
    }

    fn tables(&mut self, visit: &mut dyn FnMut(&mut dyn AnyTable)) {
        visit(&mut self.events);
        visit(&mut self.phases);
        visit(&mut self.index);
        visit(&mut self.signatures);
        visit(&mut self.proposals);
        visit(&mut self.templates);
        visit(&mut self.valid);
        visit(&mut self.outcomes);
    }

    fn describe(message: &Message) -> MessageInfo {
        message::describe(message)
    }

    fn timer_info(timer: &Timer) -> TimerInfo {
        let (name, instance, round) = match *timer {
            Timer::Tick => ("tick", None, None),
            Timer::Propose(event, round) => ("propose timeout", Some(event), Some(round)),
            Timer::Round(event, round) => ("round", Some(event), Some(round)),
            Timer::Retry(event, round) => ("retry", Some(event), Some(round)),
            Timer::Cooldown(_, event) => ("cooldown", Some(event), None),
            Timer::Asked(_) => ("asked", None, None),
            Timer::Gc(event) => ("garbage collection", Some(event), None),
        };
        TimerInfo {
            name,
            instance,
            round,
        }
    }

    fn glance(&self) -> Glance {
        view::glance(self)
    }

    fn view(&self, env: &Env<Self>, scope: ViewScope) -> NodeView {
        view::view(self, env, scope)
    }

    fn invariants(&self, env: &Env<Self>) {
        if cfg!(debug_assertions) && env.is_hardened() {
            self.assert_consistent();
        }
    }

    fn lie(&self, env: &Env<Self>, message: &Message, lie: Lie) -> Option<Message> {
        match lie {
            Lie::Value => self.second_version(env, message),
            Lie::Round => Self::of_the_last_round(env, message),
        }
    }
}

/// A proposal's size on the wire, in bytes.
pub fn proposal_bytes(proposal: &Proposal) -> usize {
    codec::encode(proposal).len()
}
