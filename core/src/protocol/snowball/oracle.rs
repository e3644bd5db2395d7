//! What snowball promises, watched from outside: votes are counted anew, by rules written a second time.
//!
//! What one node does is promised without exception. That two nodes agree is only probable: it is watched and told as
//! `agreement`, which is no invariant ([`PROBABLE`]).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::conflict::ConflictKey;
use super::message::Message;
use super::{Reply, Request, Snowball, SnowballConfig, config};
use crate::codec::decode;
use crate::engine::{Env, Opened, RuleSet};
use crate::event::{Record, RecordKind};
use crate::ledger::{Block, OutPoint, Signed, subsidy};
use crate::oracle::{Oracle, Promises, Verdict};
use crate::ordered::{Map, Set};
use crate::snow::Parameters;
use crate::types::{ClientId, Duration, Hash32, InstanceId, NodeId, Time};

/// The names of the liveness properties.
pub(super) const EVERY_TRANSACTION_ENDS: &str = "every transaction ends";
const STRONGEST: &str = "the strongest choice is preferred";
const AGREEMENT: &str = "agreement";

/// What holds with a probability only.
pub(super) const PROBABLE: &[&str] = &[AGREEMENT];

const ONE_SPEND: &str = "one spend";
const CONFIDENCE: &str = "confidence";
const SAMPLES: &str = "samples";
const VALIDITY: &str = "validity";
const CONSERVATION: &str = "conservation";
const LOCKS: &str = "locks";

const PROMISES: [(&str, &str); 6] = [
    (
        ONE_SPEND,
        "no node holds two final transactions that spend one output",
    ),
    (
        CONFIDENCE,
        "every decision rests on finality_confidence successful polls in a row",
    ),
    (SAMPLES, "no poll asked more peers than sample_size"),
    (
        VALIDITY,
        "every final transaction is signed by the owners of outputs that final ones made",
    ),
    (
        CONSERVATION,
        "every decided block pays its subsidy and the fees of its transactions",
    ),
    (
        LOCKS,
        "no input is locked by a transaction that is final or lost",
    ),
];

/// A poll as it can be heard: the votes that were sent, not those that arrived.
#[derive(Clone, Debug, Default)]
struct Heard {
    asked: u16,
    /// What the asker preferred when it began.
    choice: Hash32,
    votes: Vec<(Hash32, Vec<NodeId>)>,
}

/// Watches a run.
#[derive(Clone, Debug)]
pub(super) struct SnowballOracle {
    config: Arc<SnowballConfig>,
    parameters: Parameters,
    nodes: u16,
    /// The document says nothing of samples, and its rounds are no polls of a sample.
    judges_polls: bool,
    liars: Set<NodeId>,
    /// Whose poll an id is, and about what.
    polls: Map<u64, (NodeId, InstanceId)>,
    /// The polls of nodes that did not decide yet, in the order of their ids.
    heard: Map<(NodeId, InstanceId), Map<u64, Heard>>,
    /// The newest poll of each node.
    newest: Map<NodeId, u64>,
    /// The newest poll in which a node did not know a choice, and asked for it: votes for it count there if it came in time.
    unknown: Map<(NodeId, Hash32), u64>,
    transactions: Map<Hash32, Arc<Signed>>,
    blocks: Map<Hash32, Block>,
    heights: Map<InstanceId, u64>,
    /// What each node said that it decided.
    told: Map<(NodeId, InstanceId), Hash32>,
    /// What each node holds final, by what is spent.
    spends: Map<(NodeId, OutPoint), Hash32>,
    final_here: Set<(NodeId, Hash32)>,
    /// The first decision about an output or a height, and whose.
    first: Map<ConflictKey, (Hash32, NodeId)>,
    decided_values: u64,
    asked: Map<(ClientId, u64), (NodeId, Hash32)>,
    accepted: Set<Hash32>,
    last_heard: Map<NodeId, Time>,
    now: Time,
    promises: Promises,
    disagreement: Option<String>,
    weakest: Option<String>,
}

impl SnowballOracle {
    pub(super) fn new(env: &Env<Snowball>) -> SnowballOracle {
        SnowballOracle {
            config: env.config.clone(),
            parameters: env.config.parameters(config::others(env)),
            nodes: config::others(env).saturating_add(1),
            judges_polls: env.rules == RuleSet::Hardened,
            liars: Set::new(),
            polls: Map::new(),
            heard: Map::new(),
            newest: Map::new(),
            unknown: Map::new(),
            transactions: Map::new(),
            blocks: Map::new(),
            heights: Map::new(),
            told: Map::new(),
            spends: Map::new(),
            final_here: Set::new(),
            first: Map::new(),
            decided_values: 0,
            asked: Map::new(),
            accepted: Set::new(),
            last_heard: Map::new(),
            now: Time::ZERO,
            promises: Promises::new(&PROMISES),
            disagreement: None,
            weakest: None,
        }
    }

    fn fail(&mut self, promise: &'static str, detail: impl FnOnce() -> String) {
        self.promises.fail(promise, detail);
    }

    fn on_vote_request(&mut self, from: NodeId, poll_id: u64, key: &ConflictKey, choice: Hash32) {
        if !self.judges_polls {
            return;
        }
        let instance = key.id();
        if let ConflictKey::Height(height) = key {
            self.heights.insert(instance, *height);
        }
        self.polls.insert(poll_id, (from, instance));
        self.newest.insert(from, poll_id);
        let of_key = self.heard.get_or_default((from, instance));
        let is_new = !of_key.contains_key(&poll_id);
        let heard = of_key.get_or_default(poll_id);
        heard.asked = heard.asked.saturating_add(1);
        heard.choice = choice;
        let asked = heard.asked;
        if asked > self.parameters.k {
            let most = self.parameters.k;
            self.fail(SAMPLES, || {
                format!("{from} asked {asked} peers in one poll, which asks {most}")
            });
        }
        if is_new {
            self.watch_strength(from, instance);
        }
    }

    /// Of a run in which every vote arrives: whether the choice of the newest poll won most of those before it.
    fn watch_strength(&mut self, node: NodeId, instance: InstanceId) {
        let need = usize::from(self.parameters.alpha_preference);
        let Some(polls) = self.heard.get(&(node, instance)) else {
            return;
        };
        let Some((_, newest)) = polls.last_key_value() else {
            return;
        };
        let mut strengths: Map<Hash32, u32> = Map::new();
        for (poll_id, poll) in polls.iter() {
            for (value, voters) in &poll.votes {
                let unknown = self.unknown.get(&(node, *value));
                let counts = unknown.is_none_or(|last| poll_id > last) || *value == newest.choice;
                if voters.len() >= need && counts {
                    *strengths.get_or_default(*value) += 1;
                }
            }
        }
        let own = strengths.get(&newest.choice).copied().unwrap_or(0);
        let stronger = strengths.iter().find(|(_, strength)| **strength > own);
        if let Some((other, strength)) = stronger {
            let detail = format!(
                "{node} prefers {:?}, which won {own} of its polls; {other:?} won {strength}",
                newest.choice
            );
            self.weakest.get_or_insert(detail);
        }
    }

    fn on_vote(&mut self, from: NodeId, poll_id: u64, preference: Option<Hash32>) {
        let (Some(key), Some(choice)) = (self.polls.get(&poll_id), preference) else {
            return;
        };
        let Some(heard) = self
            .heard
            .get_mut(key)
            .and_then(|polls| polls.get_mut(&poll_id))
        else {
            return;
        };
        let place = heard.votes.iter().position(|(value, _)| *value == choice);
        let place = place.unwrap_or_else(|| {
            heard.votes.push((choice, Vec::new()));
            heard.votes.len() - 1
        });
        let voters = &mut heard.votes[place].1;
        if !voters.contains(&from) {
            voters.push(from);
        }
    }

    /// How many polls in a row had enough votes for this value.
    fn streak(&self, node: NodeId, instance: InstanceId, value: Hash32) -> u32 {
        let need = usize::from(self.parameters.alpha_confidence);
        let (mut best, mut row) = (0, 0);
        let polls = self.heard.get(&(node, instance));
        for poll in polls.into_iter().flat_map(Map::values) {
            let voters = poll.votes.iter().find(|(of, _)| *of == value);
            let is_success = voters.is_some_and(|(_, voters)| voters.len() >= need);
            row = if is_success { row + 1 } else { 0 };
            best = best.max(row);
        }
        best
    }

    fn on_decided(&mut self, now: Time, node: NodeId, instance: InstanceId, value: Hash32) {
        if self.told.insert((node, instance), value) == Some(value) {
            // A node that restarts says again what it knows.
            return;
        }
        let beta = self.parameters.beta;
        if self.judges_polls {
            let streak = self.streak(node, instance, value);
            if streak < beta {
                self.fail(CONFIDENCE, || {
                    format!(
                        "{} ms: {node} decided {value:?} after {streak} successful polls in a row, of {beta}",
                        now.as_ms()
                    )
                });
            }
        }
        if let Some(polls) = self.heard.remove(&(node, instance)) {
            for (poll_id, _) in polls.iter() {
                self.polls.remove(poll_id);
            }
        }
        if let Some(height) = self.heights.get(&instance).copied() {
            self.agree(now, node, ConflictKey::Height(height), value);
            self.on_block_decided(now, node, value);
        } else if let Some(signed) = self.transactions.get(&value).cloned() {
            self.on_final(now, node, value, &signed);
        }
    }

    fn on_final(&mut self, now: Time, node: NodeId, txid: Hash32, signed: &Signed) {
        if !self.final_here.insert((node, txid)) {
            return;
        }
        let at = now.as_ms();
        for (outpoint, _) in &signed.transaction.inputs {
            let before = self.spends.insert((node, *outpoint), txid);
            if let Some(other) = before.filter(|other| *other != txid) {
                self.fail(ONE_SPEND, || {
                    format!("{at} ms: {node} holds {txid:?} final, and {other:?}, which spend one output")
                });
            }
            self.agree(now, node, ConflictKey::Spend(*outpoint), txid);
            let owner = self.made(node, outpoint);
            let key = signed.witnesses.first().map(|witness| witness.key);
            if owner.is_none() || signed.check().is_err() {
                self.fail(VALIDITY, || {
                    format!("{at} ms: {node} holds {txid:?} final, with {key:?} and an input that no final transaction made")
                });
            }
        }
        let mut spent = Vec::new();
        for (outpoint, _) in &signed.transaction.inputs {
            spent.extend(self.made(node, outpoint));
        }
        if spent.len() == signed.transaction.inputs.len()
            && let Err(error) = signed.spends(&spent)
        {
            self.fail(VALIDITY, || {
                format!("{at} ms: {node} holds {txid:?} final: {error}")
            });
        }
    }

    /// The output, as genesis, a decided block or a transaction that is final at this node made it.
    fn made(&self, node: NodeId, outpoint: &OutPoint) -> Option<crate::ledger::Output> {
        if let Some((_, output)) = self.config.coin(outpoint) {
            return Some(output);
        }
        if let Some(block) = self.blocks.get(&outpoint.txid) {
            let (made, output) = block.coinbase_output();
            return (made == *outpoint).then_some(output);
        }
        if !self.final_here.contains(&(node, outpoint.txid)) {
            return None;
        }
        let outputs = &self.transactions.get(&outpoint.txid)?.transaction.outputs;
        outputs.get(usize::try_from(outpoint.index).ok()?).cloned()
    }

    fn agree(&mut self, now: Time, node: NodeId, key: ConflictKey, value: Hash32) {
        self.decided_values += u64::from(!self.first.contains_key(&key));
        let (first, by) = *self.first.get_or_insert_with(key, || (value, node));
        if first != value {
            self.disagreement.get_or_insert_with(|| {
                format!(
                    "{} ms: {node} decided {value:?}, {by} had decided {first:?}",
                    now.as_ms()
                )
            });
        }
    }

    fn on_block_decided(&mut self, now: Time, node: NodeId, id: Hash32) {
        let Some(block) = self.blocks.get(&id) else {
            return;
        };
        let mut due = u128::from(subsidy(block.height).unwrap_or(0));
        for txid in &block.transactions {
            let fee = self.transactions.get(txid);
            let fee = fee.and_then(|signed| signed.transaction.fee().ok());
            due += u128::from(fee.unwrap_or(0));
        }
        let paid = block.coinbase.amount;
        if u128::from(paid) != due {
            self.fail(CONSERVATION, || {
                format!(
                    "{} ms: {node} decided block {id:?}, which pays {paid} where {due} is due",
                    now.as_ms()
                )
            });
        }
    }

    /// Whether a transaction is final at a node, or has lost there.
    fn is_over(&self, node: NodeId, txid: &Hash32) -> bool {
        let Some(signed) = self.transactions.get(txid) else {
            return false;
        };
        let inputs = signed.transaction.inputs.iter();
        inputs
            .filter_map(|(outpoint, _)| self.spends.get(&(node, *outpoint)))
            .next()
            .is_some()
    }

    /// Whether nobody contradicts a transaction, nor any that it builds on.
    fn is_virtuous(&self, signed: &Signed) -> bool {
        let txid = signed.id();
        let inputs = signed.transaction.inputs.iter();
        inputs.into_iter().all(|(outpoint, _)| {
            let rival = self.transactions.iter().any(|(other, known)| {
                *other != txid
                    && known
                        .transaction
                        .inputs
                        .iter()
                        .any(|(spent, _)| spent == outpoint)
            });
            let parent = self.transactions.get(&outpoint.txid);
            !rival && parent.is_none_or(|parent| self.is_virtuous(parent))
        })
    }
}

impl Oracle for SnowballOracle {
    fn on_send(&mut self, now: Time, from: NodeId, opened: &Opened) {
        self.now = now;
        self.last_heard.insert(from, now);
        let Some(message) = opened.message::<Snowball>() else {
            return;
        };
        match message.as_ref() {
            Message::TransactionVoteRequest {
                poll_id,
                key,
                choice,
                ..
            } => self.on_vote_request(from, *poll_id, key, *choice),
            Message::TransactionVoteResponse {
                poll_id,
                preference,
                ..
            } => self.on_vote(from, *poll_id, *preference),
            Message::Transaction(signed) => {
                let id = signed.id();
                self.transactions
                    .get_or_insert_with(id, || Arc::new(signed.as_ref().clone()));
            }
            Message::Block(block) => {
                self.blocks
                    .get_or_insert_with(block.id(), || block.as_ref().clone());
            }
            Message::Fetch(choice) => {
                let newest = self.newest.get(&from).copied().unwrap_or(0);
                self.unknown.insert((from, *choice), newest);
            }
            Message::Status { .. } | Message::Known(_) => {}
        }
    }

    fn on_record(&mut self, now: Time, node: NodeId, record: &Record) {
        self.now = now;
        if self.liars.contains(&node) {
            return;
        }
        if let (RecordKind::Decided, Some(value)) = (record.kind, record.value) {
            self.on_decided(now, node, record.instance, value);
        }
    }

    fn on_byzantine(&mut self, node: NodeId) {
        self.liars.insert(node);
    }

    fn on_gap(&mut self) {
        self.promises.leave(&[CONFIDENCE, VALIDITY, CONSERVATION]);
    }

    fn on_request(
        &mut self,
        now: Time,
        node: NodeId,
        client: ClientId,
        number: u64,
        request: &[u8],
    ) {
        self.now = now;
        let Ok(Request { signed, .. }) = decode(request) else {
            return;
        };
        let id = signed.id();
        self.asked.insert((client, number), (node, id));
        self.transactions
            .get_or_insert_with(id, || Arc::new(signed));
    }

    fn on_reply(&mut self, now: Time, node: NodeId, _: ClientId, _: u64, reply: &[u8]) {
        self.now = now;
        match decode(reply) {
            Ok(Reply::Accepted { txid }) => {
                self.accepted.insert(txid);
            }
            Ok(Reply::Locked { by, input }) if self.is_over(node, &by) => {
                self.fail(LOCKS, || {
                    format!(
                        "{} ms: {node} says that {} is locked by {by:?}, which is over there",
                        now.as_ms(),
                        super::conflict::output_name(&input)
                    )
                });
            }
            _ => {}
        }
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let agreement = Verdict {
            name: AGREEMENT,
            holds: self.disagreement.is_none(),
            detail: self.disagreement.clone().unwrap_or_else(|| {
                format!(
                    "{} decided, no two nodes otherwise; probable, not certain",
                    self.decided_values
                )
            }),
        };
        core::iter::once(agreement)
            .chain(self.promises.verdicts())
            .collect()
    }

    fn liveness(&self) -> Vec<Verdict> {
        let patience = Duration::from_ms(self.config.sync_ms.saturating_mul(3));
        let runs = |node: &NodeId| {
            let last = self.last_heard.get(node);
            !self.liars.contains(node) && last.is_some_and(|at| self.now.since(*at) <= patience)
        };
        let running: Vec<NodeId> = (1..=self.nodes).map(NodeId).filter(runs).collect();
        let open = self.accepted.iter().find_map(|txid| {
            let signed = self.transactions.get(txid)?;
            if !self.is_virtuous(signed) {
                return None;
            }
            let behind = running
                .iter()
                .find(|node| !self.final_here.contains(&(**node, *txid)))?;
            Some(format!("{txid:?} is not final at {behind}"))
        });
        let verdict = |name, broken: Option<String>, held: &str| Verdict {
            name,
            holds: broken.is_none(),
            detail: broken.unwrap_or_else(|| String::from(held)),
        };
        Vec::from([
            verdict(
                EVERY_TRANSACTION_ENDS,
                open,
                "every transaction that nobody contradicts is final at every node that runs",
            ),
            verdict(
                STRONGEST,
                self.weakest.clone(),
                "where every vote arrives, nodes prefer what won most of their polls",
            ),
        ])
    }

    fn holds(&self) -> bool {
        self.promises.hold()
    }

    fn clone_box(&self) -> Box<dyn Oracle> {
        Box::new(self.clone())
    }
}
