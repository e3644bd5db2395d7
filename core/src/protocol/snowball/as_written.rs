//! The rules of seeds/001 as they are written: unsafe. One node asks everybody about its own transaction, ten times; then
//! the transaction is final, whatever was answered.
//!
//! Upon `send_raw_transaction`: validate the signatures, lock the inputs, add to the pool, tell everybody, and prefer
//! Accept. (S1-22, S1-23)
//! Upon a vote request: Accept if the transaction is in the pool, else Reject. (S1-31, S1-F11)
//! Upon a vote: it counts in the round that runs, whichever it was asked in. (S1-F7)
//! Upon `vote_timeout_ms`: the majority of the votes that came is the preference, and one more for the confidence; a tie
//! changes nothing. (S1-15, S1-16, S1-F5, S1-F9, S1-F10)
//! Upon a confidence of `finality_confidence`, or the end of `max_rounds`: final. (S1-26, S1-27, S1-F2, S1-F4)
//! Upon final transactions: build a block, and tell everybody, who believe it. (S1-29)
//!
//! The document leaves open how a transaction reaches the peers; here its sender tells everybody once. Nothing lasts: a
//! restart forgets everything. (S1-40, S1-F13)

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::conflict::ConflictKey;
use super::message::Message;
use super::poll::enter;
use super::pool::decided;
use super::{
    CONFIDENCE_METER, Cx, Reply, Request, Snowball, SnowballConfig, Timer, VOTES_METER, config,
    phase,
};
use crate::engine::{Env, Input, To};
use crate::event::{Event, EventKind, Level};
use crate::ledger::block::genesis_parent;
use crate::ledger::{Block, OutPoint, Output, Signed, SignedError, wallet};
use crate::ordered::Map;
use crate::types::{ClientId, Duration, Hash32, InstanceId, NodeId, Round};
use crate::view::{
    Choice, Field, Glance, InstanceView, Meter, NodeView, Segment, SegmentVote, ViewScope,
};

/// A vote about one transaction. (S1-13)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Preference {
    Accept,
    Reject,
}

impl Preference {
    fn name(self) -> &'static str {
        match self {
            Preference::Accept => "Accept",
            Preference::Reject => "Reject",
        }
    }
}

/// `tx_state` and `active_rounds` of a transaction that this node submitted. (S1-14, S1-17, S1-18)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TxState {
    txid: Hash32,
    preference: Preference,
    confidence: u32,
    /// Dynamic; nothing reads it. (S1-11, S1-F6, S1-F15)
    k: u16,
    round: u32,
    votes_received: Map<NodeId, Preference>,
    querying: bool,
}

impl TxState {
    /// The majority of the votes that came. (S1-15, S1-44)
    fn get_consensus(&self) -> Option<(Preference, usize)> {
        let of = |preference| {
            let votes = self.votes_received.values();
            votes.filter(|vote| **vote == preference).count()
        };
        let (accept, reject) = (of(Preference::Accept), of(Preference::Reject));
        match accept.cmp(&reject) {
            core::cmp::Ordering::Greater => Some((Preference::Accept, accept)),
            core::cmp::Ordering::Less => Some((Preference::Reject, reject)),
            core::cmp::Ordering::Equal => None,
        }
    }

    /// One more for the confidence; what the last majority said is preferred. (S1-16, S1-F10)
    fn update(&mut self, preference: Preference) {
        if self.preference == preference {
            self.confidence += 1;
        } else {
            (self.preference, self.confidence) = (preference, 1);
        }
    }
}

/// A transaction in the pools of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pooled {
    signed: Signed,
    /// With which preference it was finalized, and whether a block holds it. (S1-45, S1-48)
    finalized: Option<(Preference, bool)>,
}

/// A node under the document's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Written {
    pool: Map<Hash32, Pooled>,
    states: Map<InstanceId, TxState>,
    locked: Map<OutPoint, Hash32>,
    height: u64,
    waiting: Map<Hash32, Vec<(ClientId, u64)>>,
}

/// The instance of a transaction: each is voted about alone. (S1-F3)
fn key(signed: &Signed) -> ConflictKey {
    let inputs = &signed.transaction.inputs;
    let first = inputs.first().map_or(
        OutPoint {
            txid: Hash32::default(),
            index: 0,
        },
        |(outpoint, _)| *outpoint,
    );
    ConflictKey::Alone(first, signed.id())
}

/// What a person calls a transaction.
fn name(signed: &Signed) -> String {
    if signed.memo.is_empty() {
        signed.id().short().to_string()
    } else {
        signed.memo.clone()
    }
}

impl Written {
    pub(super) fn handle(&mut self, cx: Cx<'_, '_>, input: Input<Snowball>) {
        match input {
            Input::Start => {}
            Input::Message { from, message } => self.on_message(cx, from, &message),
            Input::Timeout(Timer::Vote(id, ..)) => self.tally(cx, id),
            Input::Timeout(Timer::Next(id, _)) => self.ask(cx, id),
            Input::Timeout(_) => {}
            Input::Request {
                client,
                number,
                request,
            } => self.send_raw_transaction(cx, client, number, request),
            Input::Fact(fact) => match fact {},
        }
    }

    fn send_raw_transaction(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        request: Request,
    ) {
        let signed = request.signed;
        let txid = signed.id();
        if let Err(error) = self.check(cx.env(), &signed) {
            return cx.reply(client, number, Reply::Refused(error.to_string()));
        }
        let inputs = &signed.transaction.inputs;
        let locked = inputs
            .iter()
            .find_map(|(outpoint, _)| Some((*outpoint, *self.locked.get(outpoint)?)));
        if let Some((input, by)) = locked.filter(|(_, by)| *by != txid) {
            return cx.reply(client, number, Reply::Locked { input, by });
        }
        for (outpoint, _) in inputs {
            self.locked.insert(*outpoint, txid);
        }
        self.waiting.get_or_default(txid).push((client, number));
        cx.reply(client, number, Reply::Accepted { txid });
        let id = key(&signed).id();
        // A second submission begins anew, as the document's maps do. (S1-F13, S1-F22)
        let others = config::others(cx.env());
        self.states.insert(
            id,
            TxState {
                txid,
                preference: Preference::Accept,
                confidence: 0,
                k: others.div_ceil(3),
                round: 0,
                votes_received: Map::new(),
                querying: false,
            },
        );
        cx.send(To::All, Message::Transaction(Box::new(signed.clone())));
        enter(cx, id, phase::SUBMITTED, 0, Some(txid));
        let finalized = None;
        self.pool.insert(txid, Pooled { signed, finalized });
        self.ask(cx, id);
    }

    /// Validates the signatures, against the owners of what is spent as far as that is known here. (S1-22)
    fn check(&self, env: &Env<Snowball>, signed: &Signed) -> Result<(), SignedError> {
        signed.check()?;
        let output = |outpoint: &OutPoint| {
            let coin = env.config.coin(outpoint).map(|(_, output)| output);
            coin.or_else(|| {
                let made = &self.pool.get(&outpoint.txid)?.signed.transaction.outputs;
                made.get(usize::try_from(outpoint.index).ok()?).cloned()
            })
        };
        let inputs = signed.transaction.inputs.iter();
        let spent: Option<Vec<Output>> = inputs.map(|(outpoint, _)| output(outpoint)).collect();
        spent.map_or(Ok(()), |spent| signed.spends(&spent))
    }

    /// A round: everybody is asked. (S1-06, S1-07, S1-21)
    fn ask(&mut self, cx: Cx<'_, '_>, id: InstanceId) {
        let Some(state) = self.states.get_mut(&id) else {
            return;
        };
        let Some(pooled) = self.pool.get(&state.txid) else {
            return;
        };
        state.round += 1;
        state.votes_received.clear();
        state.querying = true;
        let (round, choice) = (state.round, state.txid);
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::RoundEntered, Some(id), Round(round)).value(Some(choice))
        });
        enter(cx, id, phase::QUERYING, round, Some(choice));
        cx.send(
            To::All,
            Message::TransactionVoteRequest {
                poll_id: 0,
                round,
                key: key(&pooled.signed),
                choice,
            },
        );
        let wait = Duration::from_ms(cx.env().config.vote_timeout_ms);
        cx.set_timer(Timer::Vote(id, round, 0), wait);
    }

    fn on_message(&mut self, cx: Cx<'_, '_>, from: NodeId, message: &Message) {
        match message {
            Message::TransactionVoteRequest {
                poll_id,
                round,
                key,
                choice,
            } => {
                let answer = Message::TransactionVoteResponse {
                    poll_id: *poll_id,
                    round: *round,
                    key: *key,
                    preference: self.pool.contains_key(choice).then_some(*choice),
                };
                cx.send(To::Node(from), answer);
            }
            Message::TransactionVoteResponse {
                key, preference, ..
            } => self.submit_vote(cx, from, key.id(), preference.is_some()),
            Message::Transaction(signed) => {
                let finalized = None;
                let signed = signed.as_ref().clone();
                self.pool
                    .get_or_insert_with(signed.id(), || Pooled { signed, finalized });
            }
            Message::Block(block) => self.on_block(cx, block),
            Message::Fetch(_) | Message::Status { .. } | Message::Known(_) => {}
        }
    }

    /// (S1-05)
    fn submit_vote(&mut self, cx: Cx<'_, '_>, from: NodeId, id: InstanceId, accepts: bool) {
        let Some(state) = self.states.get_mut(&id) else {
            return;
        };
        let vote = if accepts {
            Preference::Accept
        } else {
            Preference::Reject
        };
        state.votes_received.insert(from, vote);
        let (round, txid) = (state.round, state.txid);
        let votes = state.votes_received.values();
        let count = votes.filter(|other| **other == vote).count() as u64;
        let total = state.votes_received.len() as u64;
        cx.emit(Level::Protocol, || {
            Event::new(EventKind::VoteCounted(VOTES_METER), Some(id), Round(round))
                .value(accepts.then_some(txid))
                .peer(from)
                .count(count, total / 2 + 1, total)
        });
    }

    /// The round is over. (S1-24, S1-25)
    fn tally(&mut self, cx: Cx<'_, '_>, id: InstanceId) {
        let config = &cx.env().config;
        let Some(state) = self.states.get_mut(&id) else {
            return;
        };
        state.querying = false;
        if let Some((preference, _)) = state.get_consensus() {
            state.update(preference);
        }
        let (txid, round, confidence) = (state.txid, state.round, state.confidence);
        let beta = config.finality_confidence;
        let preference = state.preference;
        cx.emit(Level::Protocol, || {
            Event::new(
                EventKind::VoteCounted(CONFIDENCE_METER),
                Some(id),
                Round(round),
            )
            .value((preference == Preference::Accept).then_some(txid))
            .count(u64::from(confidence), u64::from(beta), u64::from(beta))
        });
        enter(cx, id, phase::TALLYING, round, Some(txid));
        if confidence >= beta || round >= config.max_rounds {
            self.finalize(cx, id);
        } else {
            cx.set_timer(Timer::Next(id, round), config.pause());
        }
    }

    /// Moves to the finalized pool, whatever is preferred, and cleans up. (S1-26, S1-27, S1-28, S1-F4)
    fn finalize(&mut self, cx: Cx<'_, '_>, id: InstanceId) {
        let Some(state) = self.states.remove(&id) else {
            return;
        };
        let txid = state.txid;
        if let Some(pooled) = self.pool.get_mut(&txid) {
            pooled.finalized = Some((state.preference, false));
        }
        decided(cx, id, txid);
        for (client, number) in self.waiting.remove(&txid).unwrap_or_default() {
            let confidence = state.confidence;
            cx.reply(client, number, Reply::Finalized { txid, confidence });
        }
        self.produce(cx);
    }

    /// `get_finalized_transactions_for_block`, and the block. (S1-29)
    fn produce(&mut self, cx: Cx<'_, '_>) {
        let waiting = self.pool.iter();
        let waiting = waiting.filter(|(_, pooled)| matches!(pooled.finalized, Some((_, false))));
        let waiting: Vec<Hash32> = waiting.map(|(txid, _)| *txid).collect();
        let fees = waiting.iter().filter_map(|txid| {
            let pooled = self.pool.get(txid)?;
            pooled.signed.transaction.fee().ok()
        });
        let fees = fees.fold(0, u64::saturating_add);
        let env = cx.env();
        let reward = wallet(&format!("node-{}", env.id.0)).public();
        let parent = genesis_parent(&env.genesis);
        let height = self.height.checked_add(1);
        let block =
            height.and_then(|height| Block::build(height, parent, env.id, reward, waiting, fees));
        let Some(block) = block else {
            return;
        };
        cx.send(To::All, Message::Block(Box::new(block.clone())));
        self.on_block(cx, &block);
    }

    /// Whoever built it, and whatever stands in it.
    fn on_block(&mut self, cx: Cx<'_, '_>, block: &Block) {
        self.height = self.height.max(block.height);
        for txid in &block.transactions {
            let Some(pooled) = self.pool.get_mut(txid) else {
                continue;
            };
            let id = key(&pooled.signed).id();
            let known = pooled.finalized;
            let preference = known.map_or(Preference::Accept, |(preference, _)| preference);
            pooled.finalized = Some((preference, true));
            if known.is_none() {
                decided(cx, id, *txid);
            }
            enter(cx, id, phase::IN_BLOCK, 0, Some(*txid));
        }
    }

    pub(super) fn glance(&self) -> Glance {
        if let Some((id, state)) = self.states.iter().next_back() {
            return Glance {
                instance: Some(*id),
                phase: phase_of(state),
                round: Round(state.round),
                value: (state.preference == Preference::Accept).then_some(state.txid),
                have: u64::from(state.confidence),
                need: u64::from(SnowballConfig::default().finality_confidence),
            };
        }
        let Some((txid, pooled)) = self.pool.iter().next_back() else {
            return Glance::default();
        };
        Glance {
            instance: Some(key(&pooled.signed).id()),
            phase: standing(pooled),
            value: pooled.finalized.map(|_| *txid),
            ..Glance::default()
        }
    }

    pub(super) fn view(&self, env: &Env<Snowball>, scope: ViewScope) -> NodeView {
        let in_full = scope != ViewScope::Summary;
        let instances = self.pool.iter().filter_map(|(txid, pooled)| {
            let id = key(&pooled.signed).id();
            if matches!(scope, ViewScope::Instance(only) if only != id) {
                return None;
            }
            let state = self.states.get(&id);
            let beta = u64::from(env.config.finality_confidence);
            let mut fields = Vec::new();
            if let Some(state) = state.filter(|_| in_full) {
                fields.push(Field::new("preference", state.preference.name()));
                fields.push(Field::new(
                    "confidence",
                    format!("{} of {beta}", state.confidence),
                ));
                fields.push(Field::new("k", state.k.to_string()));
            }
            if let Some((preference, _)) = pooled.finalized.filter(|_| in_full) {
                fields.push(Field::new("last_finalized", preference.name()));
            }
            let round = Round(state.map_or(0, |state| state.round));
            Some(InstanceView {
                id,
                name: name(&pooled.signed),
                kind: 0,
                phase: state.map_or_else(|| standing(pooled), phase_of),
                round,
                value: pooled.finalized.map(|_| *txid),
                locked: None,
                signed: None,
                meters: state.map_or_else(Vec::new, |state| meters(env, state, round, beta)),
                choices: if in_full {
                    Vec::from([Choice {
                        value: *txid,
                        round,
                        proposers: Vec::new(),
                        amount: state.map_or(0, |state| u64::from(state.confidence)),
                        detail: name(&pooled.signed),
                    }])
                } else {
                    Vec::new()
                },
                fields,
            })
        });
        NodeView {
            instances: instances.collect(),
            fields: if in_full {
                Vec::from([Field::new("height", self.height.to_string())])
            } else {
                Vec::new()
            },
            shard: None,
        }
    }
}

/// What a liar says instead of a vote: Reject for Accept, and Accept for Reject.
pub(super) fn other_vote(message: &Message) -> Option<Message> {
    let mut other = message.clone();
    let Message::TransactionVoteResponse {
        key: ConflictKey::Alone(_, txid),
        preference,
        ..
    } = &mut other
    else {
        return None;
    };
    *preference = preference.is_none().then_some(*txid);
    Some(other)
}

fn phase_of(state: &TxState) -> u8 {
    match (state.querying, state.round) {
        (true, _) => phase::QUERYING,
        (false, 0) => phase::SUBMITTED,
        (false, _) => phase::TALLYING,
    }
}

fn standing(pooled: &Pooled) -> u8 {
    match pooled.finalized {
        None => phase::SUBMITTED,
        Some((_, false)) => phase::FINALIZED,
        Some((_, true)) => phase::IN_BLOCK,
    }
}

/// The votes that came, out of themselves: whoever does not answer shrinks the track. (S1-F5)
fn meters(env: &Env<Snowball>, state: &TxState, round: Round, beta: u64) -> Vec<Meter> {
    let segment = |node: NodeId| Segment {
        node,
        weight: 1,
        vote: match state.votes_received.get(&node) {
            None => SegmentVote::Awaiting,
            Some(Preference::Accept) => SegmentVote::For(state.txid),
            Some(Preference::Reject) => SegmentVote::Nil,
        },
    };
    let votes = state.votes_received.values();
    let total = state.votes_received.len() as u64;
    Vec::from([
        Meter {
            kind: VOTES_METER,
            round,
            value: Some(state.txid),
            have: votes.filter(|vote| **vote == Preference::Accept).count() as u64,
            need: total / 2 + 1,
            total,
            segments: env.others().map(segment).collect(),
        },
        Meter {
            kind: CONFIDENCE_METER,
            round,
            value: Some(state.txid),
            have: u64::from(state.confidence),
            need: beta,
            total: beta,
            segments: Vec::new(),
        },
    ])
}
