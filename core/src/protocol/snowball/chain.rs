//! Blocks: building one of final transactions, judging those of others, and appending what won its height. (S1-29, S1-43)

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::conflict::ConflictKey;
use super::message::Message;
use super::pool::decided;
use super::{Cx, Snowball, Standing, Timer, config, phase, poll};
use crate::engine::{Env, To};
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::ledger::block::{BLOCK_TRANSACTIONS_MAX, genesis_parent};
use crate::ledger::{Block, wallet};
use crate::snow::{Poll, Snowball as Snow};
use crate::types::{Duration, Hash32, InstanceId, NodeId, Round};

/// The most blocks that are kept for one height: one of each member, within these bounds.
const CANDIDATES: RangeInclusive<usize> = 16..=64;

impl Snowball {
    /// How long this node's chain is.
    pub(super) fn height(&self) -> u64 {
        self.blocks
            .iter()
            .next_back()
            .map_or(0, |(height, _)| *height)
    }

    fn tip(&self, env: &Env<Snowball>) -> Hash32 {
        let last = self.blocks.iter().next_back();
        last.map_or_else(|| genesis_parent(&env.genesis), |(_, block)| block.id())
    }

    /// The final transactions that no block holds. (S1-29 `get_finalized_transactions_for_block`)
    fn waiting_for_block(&self) -> impl Iterator<Item = Hash32> {
        let known = self.transactions.iter();
        let known = known.filter(|(_, known)| known.standing == Standing::Final);
        known.map(|(txid, _)| *txid)
    }

    /// What these transactions pay; `None` if one is not final here, or stands in a block already.
    fn fees(&self, transactions: &[Hash32]) -> Option<u64> {
        transactions.iter().try_fold(0u64, |sum, txid| {
            let known = self.transactions.get(txid)?;
            if known.standing != Standing::Final {
                return None;
            }
            sum.checked_add(known.signed.transaction.fee().ok()?)
        })
    }

    /// Waits for the own turn to build the next block, if there is something to build it of.
    pub(super) fn arm_build(&self, cx: Cx<'_, '_>) {
        let Some(next) = self.height().checked_add(1) else {
            return;
        };
        if self.waiting_for_block().next().is_none() || cx.is_timer_set(Timer::Build(next)) {
            return;
        }
        let env = cx.env();
        let wait_ms = env
            .config
            .vote_timeout_ms
            .saturating_mul(turn(env, env.id, next))
            .saturating_add(env.config.block_interval_ms);
        cx.set_timer(Timer::Build(next), Duration::from_ms(wait_ms));
    }

    pub(super) fn build(&mut self, cx: Cx<'_, '_>, height: u64) {
        let env = cx.env();
        let is_open = self.conflicts.contains(&ConflictKey::Height(height).id());
        if height != self.height() + 1 || is_open {
            return;
        }
        let waiting = self.waiting_for_block().take(BLOCK_TRANSACTIONS_MAX);
        let transactions: Vec<Hash32> = waiting.collect();
        let Some(fees) = self
            .fees(&transactions)
            .filter(|_| !transactions.is_empty())
        else {
            return;
        };
        let key = reward_key(env.id);
        let block = Block::build(height, self.tip(env), env.id, key, transactions, fees);
        if let Some(block) = block {
            let (id, count) = (block.id(), block.transactions.len() as u64);
            let key = ConflictKey::Height(height).id();
            self.candidates.put(id, block);
            cx.count("snowball_blocks_built_total");
            cx.emit(Level::Protocol, || {
                Event::new(EventKind::Proposed, Some(key), Round(0))
                    .value(Some(id))
                    .count(count, 0, 0)
            });
            self.consider(cx, id);
        }
    }

    /// Keeps a block that may be the next one.
    pub(super) fn take_block(&mut self, cx: Cx<'_, '_>, block: &Block, from: NodeId) {
        let id = block.id();
        self.wanted.remove(&id);
        cx.cancel_timer(Timer::Fetch(id));
        let height = self.height();
        if block.height <= height {
            return;
        }
        if block.height > height + 1 {
            // The blocks before it first.
            self.ahead = Some((from, block.height));
            return cx.send(To::Node(from), Message::Status { height });
        }
        let is_new = !self.candidates.contains(&id);
        if is_new {
            if block.parent != self.tip(cx.env()) || !self.make_room_for_block(cx.env()) {
                return;
            }
            self.candidates.put(id, block.clone());
        }
        // Again whenever it is told again: what was asked for may have been lost.
        for txid in &block.transactions {
            if !self.knows(txid) {
                self.want(cx, *txid, from);
            }
        }
        if is_new {
            self.consider(cx, id);
        }
    }

    /// Whether there is room for one more block. One that is not preferred and never won a poll gives way, as nobody need
    /// be honest who sent it; if it wins elsewhere, votes name it, and it is asked for again.
    fn make_room_for_block(&mut self, env: &Env<Snowball>) -> bool {
        let most = env
            .members()
            .len()
            .clamp(*CANDIDATES.start(), *CANDIDATES.end());
        if self.candidates.len() < most {
            return true;
        }
        let key = ConflictKey::Height(self.height() + 1).id();
        let preference = self.conflicts.get(&key).map(|row| row.preference);
        let mut voting = self.voting.get_mut(&key);
        let is_choice = |id: &Hash32| {
            let snow = voting.as_ref().map(|voting| &voting.snow);
            snow.is_some_and(|snow| snow.strengths().any(|(known, _)| known == id))
        };
        let has_won = |id: &Hash32| {
            let snow = voting.as_ref().map(|voting| &voting.snow);
            snow.is_some_and(|snow| snow.strength(*id) > 0)
        };
        let held = self.candidates.iter().map(|(id, _)| *id);
        let idle = held.filter(|id| Some(*id) != preference && !has_won(id));
        let Some(victim) = idle.min_by_key(is_choice) else {
            return false;
        };
        if let Some(voting) = &mut voting {
            voting.snow.remove(&victim);
        }
        self.candidates.delete(&victim);
        true
    }

    /// Makes a block a choice for its height once it is valid here.
    fn consider(&mut self, cx: Cx<'_, '_>, id: Hash32) {
        let Some(block) = self.candidates.get(&id) else {
            return;
        };
        let (height, tip) = (self.height(), self.tip(cx.env()));
        let fees = self.fees(&block.transactions);
        if fees.is_some_and(|fees| block.follows(height, tip, fees).is_ok()) {
            let key = ConflictKey::Height(block.height);
            self.open(cx, key, id);
        }
    }

    /// After a poll about a height that nothing won: prefers the block that may have won elsewhere, else that of whoever's
    /// turn came first. Where few are there to be asked, each of several blocks would wait for the others for ever.
    ///
    /// What may have won is never left. A block wins at a node that prefers it, as do `alpha_confidence` of those whom it
    /// asks. Where everybody is asked, one that fewer can prefer has won nowhere. Of a sample that is as likely as its
    /// error: a block that has won is named by more than those votes that `alpha_confidence` leaves to others.
    pub(super) fn settle(
        &mut self,
        env: &Env<Snowball>,
        id: InstanceId,
        height: u64,
        votes: &Poll<NodeId, Hash32>,
    ) {
        let others = config::others(env);
        let parameters = env.config.parameters(others);
        let Some(voting) = self.voting.get_mut(&id) else {
            return;
        };
        if voting.snow.strengths().any(|(_, strength)| *strength > 0) {
            return;
        }
        let own = voting.snow.preference();
        let (voted, awaited) = (votes.votes().count(), votes.waiting().count());
        let (k, alpha) = (
            usize::from(parameters.k),
            usize::from(parameters.alpha_confidence),
        );
        let may_have_won = |block: &Hash32| {
            let count = usize::from(votes.count(*block));
            if parameters.k == others {
                count + awaited + usize::from(*block == own) > alpha
            } else {
                voted < k / 4 || count * k > voted * (k - alpha)
            }
        };
        if may_have_won(&own) {
            return;
        }
        let known: Vec<Hash32> = voting.snow.strengths().map(|(block, _)| *block).collect();
        let rank = |block: &Hash32| {
            let held = self.candidates.get(block);
            let turn = held.map_or(u64::MAX, |held| turn(env, held.creator, height));
            (!may_have_won(block), turn, *block)
        };
        let held = known.iter().filter(|block| self.candidates.contains(block));
        let Some(first) = held.copied().min_by_key(rank) else {
            return;
        };
        voting.snow = Snow::new(first);
        known.iter().for_each(|block| voting.snow.add(*block));
    }

    pub(super) fn consider_candidates(&mut self, cx: Cx<'_, '_>) {
        let held: Vec<Hash32> = self.candidates.iter().map(|(id, _)| *id).collect();
        for id in held {
            self.consider(cx, id);
        }
    }

    /// A block has won its height.
    pub(super) fn append(&mut self, cx: Cx<'_, '_>, id: Hash32) {
        let Some(block) = self.candidates.get(&id).cloned() else {
            return;
        };
        let height = block.height;
        let passed: Vec<Hash32> = self
            .candidates
            .iter()
            .filter(|(_, other)| other.height <= height)
            .map(|(id, _)| *id)
            .collect();
        for other in passed {
            self.candidates.delete(&other);
        }
        let key = ConflictKey::Height(height).id();
        self.conflicts.delete(&key);
        self.heights.insert(id, height);
        let (outpoint, output) = block.coinbase_output();
        self.outputs.put(outpoint, output);
        decided(cx, key, id);
        poll::enter(cx, key, phase::IN_BLOCK, 0, Some(id));
        for txid in &block.transactions {
            let Some(known) = self.transactions.get_mut(txid) else {
                continue;
            };
            known.standing = Standing::InBlock(height);
            for (outpoint, _) in &known.signed.transaction.inputs {
                let key = ConflictKey::Spend(*outpoint).id();
                cx.record(Record {
                    kind: RecordKind::Completed,
                    instance: key,
                    value: Some(*txid),
                    round: Round(0),
                });
                poll::enter(cx, key, phase::IN_BLOCK, 0, Some(*txid));
            }
        }
        self.blocks.put(height, block);
        cx.count("snowball_blocks_decided_total");
        match self.ahead {
            Some((peer, theirs)) if theirs > height => {
                cx.send(To::Node(peer), Message::Status { height });
            }
            _ => self.ahead = None,
        }
        self.adopt_orphans(cx);
        self.consider_candidates(cx);
        self.arm_build(cx);
    }

    /// What the blocks of this node minted.
    pub(super) fn minted(&self) -> u128 {
        let subsidies = self
            .blocks
            .iter()
            .filter_map(|(height, _)| crate::ledger::subsidy(*height));
        subsidies.map(u128::from).sum()
    }

    /// Fees of final transactions that no block pays out yet.
    pub(super) fn unpaid_fees(&self) -> u128 {
        let waiting = self
            .transactions
            .iter()
            .filter(|(_, known)| known.standing == Standing::Final);
        let fees = waiting.filter_map(|(_, known)| known.signed.transaction.fee().ok());
        fees.map(u128::from).sum()
    }

    /// What unspent outputs hold, coins of genesis included.
    pub(super) fn unspent(&self, env: &Env<Snowball>) -> u128 {
        let made = self.outputs.iter();
        let made: u128 = made.map(|(_, output)| u128::from(output.amount)).sum();
        let taken = self.spent.iter();
        let taken = taken.filter_map(|(outpoint, _)| env.config.coin(outpoint));
        let taken: u128 = taken.map(|(_, output)| u128::from(output.amount)).sum();
        made + env.config.issued() - taken
    }
}

/// How many members may build a block of this height before this one.
fn turn(env: &Env<Snowball>, node: NodeId, height: u64) -> u64 {
    let members = env.members().len() as u64;
    let place = env.members().iter().position(|id| *id == node);
    let place = place.unwrap_or_default() as u64;
    (place + members - height % members) % members
}

/// Who gets the reward of a node's blocks: a demonstration wallet of its own.
fn reward_key(node: NodeId) -> crate::crypto::PublicKey {
    wallet(&alloc::format!("node-{}", node.0)).public()
}
