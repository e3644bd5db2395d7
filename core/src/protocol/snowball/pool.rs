//! Transactions: taking one up, and what follows once it has won or lost its inputs.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::conflict::{Conflict, ConflictKey, output_name};
use super::poll::{Voting, enter};
use super::{Cx, Known, Reply, Snowball, Standing, flaws, phase};
use crate::engine::Env;
use crate::event::{Event, EventKind, Level, Record, RecordKind};
use crate::ledger::{OutPoint, Output, Signed};
use crate::store::RecoverError;
use crate::types::{ClientId, Hash32, InstanceId, NodeId, Round};

/// The most transactions that wait for polls.
const PENDING_MAX: usize = 4_096;
/// The most transactions in conflict about one output: more than an honest network ever sees.
const CHOICES_MAX: usize = 16;
/// The most transactions that wait for what they spend.
const ORPHANS_MAX: usize = 64;

/// Why a transaction is not taken up.
pub(super) enum Refusal {
    /// An input is unknown here; it waits.
    Unknown(OutPoint),
    /// A final transaction spends an input.
    Spent(Hash32),
    /// It contradicts itself or what it spends.
    Invalid(alloc::string::String),
}

impl Snowball {
    /// What follows from the tables.
    pub(super) fn index(&mut self) -> Result<(), RecoverError> {
        for (txid, known) in self.transactions.iter() {
            if known.signed.id() != *txid {
                return Err(RecoverError::Inconsistent {
                    expected: "transactions under their ids",
                });
            }
            if known.standing == Standing::Pending {
                self.pool.insert_conflicting(Arc::new(known.signed.clone()));
            }
        }
        for (height, block) in self.blocks.iter() {
            self.heights.insert(block.id(), *height);
        }
        Ok(())
    }

    /// `send_raw_transaction` (S1-22).
    pub(super) fn on_request(
        &mut self,
        cx: Cx<'_, '_>,
        client: ClientId,
        number: u64,
        signed: Signed,
    ) {
        let txid = signed.id();
        if let Err(error) = signed.check() {
            return cx.reply(client, number, Reply::Refused(error.to_string()));
        }
        let locked = signed.transaction.inputs.iter().find_map(|(outpoint, _)| {
            let by = self.locks.get(outpoint)?;
            (*by != txid).then_some((outpoint, by))
        });
        if let Some((outpoint, by)) = locked {
            let (input, by) = (*outpoint, *by);
            return cx.reply(client, number, Reply::Locked { input, by });
        }
        match self.take_up(cx, &signed, None) {
            Ok(()) => {}
            Err(Refusal::Spent(by)) => {
                return cx.reply(client, number, Reply::Rejected { txid, by });
            }
            Err(Refusal::Unknown(outpoint)) => {
                let why = format!(
                    "input {} is no output of a final transaction here",
                    output_name(&outpoint)
                );
                return cx.reply(client, number, Reply::Refused(why));
            }
            Err(Refusal::Invalid(why)) => {
                return cx.reply(client, number, Reply::Refused(why));
            }
        }
        let confidence = cx.env().config.finality_confidence;
        match (self.transactions.get(&txid), self.rejected.get(&txid)) {
            (Some(known), _) if known.standing != Standing::Pending => {
                cx.reply(client, number, Reply::Finalized { txid, confidence });
            }
            (None, Some(by)) => {
                let by = *by;
                cx.reply(client, number, Reply::Rejected { txid, by });
            }
            _ => {
                for (outpoint, _) in &signed.transaction.inputs {
                    if !self.locks.contains(outpoint) {
                        self.locks.put(*outpoint, txid);
                    }
                }
                let waiting = self.waiting.get_or_default(txid);
                if !waiting.contains(&(client, number)) {
                    waiting.push((client, number));
                }
                cx.reply(client, number, Reply::Accepted { txid });
                self.poll_own(cx, &signed);
            }
        }
    }

    /// Under S1-F12 only whoever holds the locks polls: from now on this node does.
    fn poll_own(&mut self, cx: Cx<'_, '_>, signed: &Signed) {
        if flaws::polls(cx.env().flaws, false) {
            return;
        }
        for key in flaws::keys(cx.env().flaws, signed) {
            self.begin_poll(cx, key.id());
        }
    }

    /// Whether a client gave this node one of the choices.
    pub(super) fn is_own(&self, id: InstanceId) -> bool {
        let Some(row) = self.conflicts.get(&id) else {
            return false;
        };
        match row.key {
            ConflictKey::Spend(outpoint) | ConflictKey::Alone(outpoint, _) => {
                self.locks.contains(&outpoint)
            }
            ConflictKey::Height(_) => true,
        }
    }

    /// Takes up a transaction whose signatures were checked. One that is known changes nothing.
    pub(super) fn take_up(
        &mut self,
        cx: Cx<'_, '_>,
        signed: &Signed,
        from: Option<NodeId>,
    ) -> Result<(), Refusal> {
        let txid = signed.id();
        self.wanted.remove(&txid);
        cx.cancel_timer(super::Timer::Fetch(txid));
        if self.transactions.contains(&txid) || self.rejected.contains(&txid) {
            return Ok(());
        }
        let mut spent = Vec::with_capacity(signed.transaction.inputs.len());
        for (outpoint, _) in &signed.transaction.inputs {
            if let Some(by) = self.spent.get(outpoint).copied() {
                // Not kept: whoever signs can make any number of them.
                return Err(Refusal::Spent(by));
            }
            match self.output(cx.env(), outpoint) {
                Some(output) => spent.push(output),
                None => {
                    if let Some(from) = from {
                        if self.orphans.len() < ORPHANS_MAX {
                            self.orphans.insert(txid, signed.clone());
                        }
                        self.want(cx, outpoint.txid, from);
                    }
                    return Err(Refusal::Unknown(*outpoint));
                }
            }
        }
        signed
            .spends(&spent)
            .map_err(|error| Refusal::Invalid(error.to_string()))?;
        let mut outpoints = signed
            .transaction
            .inputs
            .iter()
            .map(|(outpoint, _)| outpoint);
        if self.pool.len() >= PENDING_MAX
            || !outpoints.all(|outpoint| self.make_room(cx.env(), outpoint))
        {
            return Err(Refusal::Invalid("the pool is full".to_string()));
        }
        self.orphans.remove(&txid);
        self.pool.insert_conflicting(Arc::new(signed.clone()));
        self.transactions.put(
            txid,
            Known {
                signed: signed.clone(),
                standing: Standing::Pending,
            },
        );
        for key in flaws::keys(cx.env().flaws, signed) {
            self.open(cx, key, txid);
        }
        Ok(())
    }

    /// Whether there is room for one more spender of an output. One that is not preferred, never won a poll and that no
    /// client waits for gives way; if it wins elsewhere, votes name it, and it is asked for again.
    fn make_room(&mut self, env: &Env<Snowball>, outpoint: &OutPoint) -> bool {
        if self.pool.spenders(outpoint).len() < CHOICES_MAX {
            return true;
        }
        let is_idle = |txid: &Hash32| {
            let Some(signed) = self.pool.get(txid) else {
                return false;
            };
            let mut inputs = signed.transaction.inputs.iter();
            let is_held = inputs.any(|(outpoint, _)| self.locks.get(outpoint) == Some(txid));
            let is_weak = |key: &ConflictKey| {
                let row = self.conflicts.get(&key.id());
                let voting = self.voting.get(&key.id());
                row.is_none_or(|row| row.preference != *txid)
                    && voting.is_none_or(|voting| voting.snow.strength(*txid) == 0)
            };
            !is_held && flaws::keys(env.flaws, signed).iter().all(is_weak)
        };
        let Some(victim) = self.pool.spenders(outpoint).find(is_idle) else {
            return false;
        };
        if let Some(signed) = self.pool.remove(&victim) {
            for key in flaws::keys(env.flaws, &signed) {
                if let Some(voting) = self.voting.get_mut(&key.id()) {
                    voting.snow.remove(&victim);
                }
            }
        }
        self.transactions.delete(&victim);
        true
    }

    /// One more choice for a key; the first one is preferred.
    pub(super) fn open(&mut self, cx: Cx<'_, '_>, key: ConflictKey, choice: Hash32) {
        let id = key.id();
        if self.conflicts.contains(&id) {
            if let Some(voting) = self.voting.get_mut(&id) {
                voting.snow.add(choice);
            }
            return;
        }
        self.conflicts.put(
            id,
            Conflict {
                key,
                preference: choice,
                decided: false,
            },
        );
        self.voting.insert(id, Voting::new(key, choice));
        enter(cx, id, phase::SUBMITTED, 0, Some(choice));
        self.begin_poll(cx, id);
    }

    /// An output that a final transaction, a block or genesis made, and no final transaction spent.
    pub(super) fn output(&self, env: &Env<Snowball>, outpoint: &OutPoint) -> Option<Output> {
        if self.spent.contains(outpoint) {
            return None;
        }
        let made = self.outputs.get(outpoint).cloned();
        made.or_else(|| env.config.coin(outpoint).map(|(_, output)| output))
    }

    /// Whether the choice is known here, dead or alive.
    pub(super) fn knows(&self, choice: &Hash32) -> bool {
        self.transactions.contains(choice)
            || self.rejected.contains(choice)
            || self.candidates.contains(choice)
            || self.heights.contains_key(choice)
    }

    /// The choices for a key that may still win, or the one that has.
    pub(super) fn choices(&self, key: &ConflictKey) -> Vec<Hash32> {
        match key {
            ConflictKey::Spend(outpoint) => {
                let alive = self.pool.spenders(outpoint);
                let final_one = self.spent.get(outpoint).copied();
                let dead = self.rejected.iter();
                let dead = dead.filter(|(_, by)| Some(**by) == final_one);
                alive
                    .chain(final_one)
                    .chain(dead.map(|(txid, _)| *txid))
                    .collect()
            }
            ConflictKey::Height(height) => {
                let candidates = self.candidates.iter();
                let of_height = candidates.filter(|(_, block)| block.height == *height);
                of_height.map(|(id, _)| *id).collect()
            }
            ConflictKey::Alone(_, txid) => Vec::from([*txid]),
        }
    }

    /// Whether a choice may win here: it is known, valid, and not dead.
    pub(super) fn is_live(&self, id: InstanceId, choice: &Hash32) -> bool {
        let Some(voting) = self.voting.get(&id) else {
            return false;
        };
        match voting.key {
            ConflictKey::Spend(outpoint) => {
                self.pool.spenders(&outpoint).any(|known| known == *choice)
            }
            ConflictKey::Alone(_, txid) => txid == *choice && self.pool.contains(choice),
            // Only valid blocks were made choices.
            ConflictKey::Height(_) => {
                let is_choice = voting.snow.preference() == *choice
                    || voting.snow.strengths().any(|(known, _)| known == choice);
                is_choice && self.candidates.contains(choice)
            }
        }
    }

    /// What polls about a key are answered with.
    pub(super) fn preference(&self, key: &ConflictKey) -> Option<Hash32> {
        let standing = match key {
            ConflictKey::Spend(outpoint) => self.spent.get(outpoint).copied(),
            ConflictKey::Height(height) => self.blocks.get(height).map(|block| block.id()),
            ConflictKey::Alone(_, txid) => {
                let known = self.transactions.get(txid);
                known
                    .filter(|known| known.standing != Standing::Pending)
                    .map(|_| *txid)
            }
        };
        standing.or_else(|| Some(self.conflicts.get(&key.id())?.preference))
    }

    /// The preference has won this key.
    pub(super) fn win(&mut self, cx: Cx<'_, '_>, id: InstanceId) {
        self.stop_polls(cx, id);
        let Some(row) = self.conflicts.get_mut(&id) else {
            return;
        };
        row.decided = true;
        let Conflict {
            key, preference, ..
        } = *row;
        match key {
            ConflictKey::Spend(_) | ConflictKey::Alone(..) => self.finish(cx, preference),
            ConflictKey::Height(_) => self.append(cx, preference),
        }
    }

    /// Makes a transaction final if it has won each of its inputs.
    fn finish(&mut self, cx: Cx<'_, '_>, txid: Hash32) {
        let Some(signed) = self.pool.get(&txid).cloned() else {
            return;
        };
        let keys = flaws::keys(cx.env().flaws, &signed);
        let has_won = |key: &ConflictKey| {
            let row = self.conflicts.get(&key.id());
            row.is_some_and(|row| row.decided && row.preference == txid)
        };
        if !keys.iter().all(has_won) {
            for key in &keys {
                if has_won(key) {
                    enter(cx, key.id(), phase::FINALIZED, 0, Some(txid));
                }
            }
            return;
        }
        self.finalize(cx, txid, &signed);
    }

    /// Decision, what is spent and what is made, in one batch. (S1-26, S1-45, S1-F13)
    fn finalize(&mut self, cx: Cx<'_, '_>, txid: Hash32, signed: &Signed) {
        let flaws = cx.env().flaws;
        let losers: Vec<Hash32> = if flaws::excludes(flaws) {
            self.pool.conflicts(&signed.transaction).collect()
        } else {
            Vec::new()
        };
        self.pool.remove(&txid);
        if flaws::remembers(flaws) {
            if let Some(known) = self.transactions.get_mut(&txid) {
                known.standing = Standing::Final;
            }
        } else {
            self.transactions.delete(&txid);
        }
        for key in flaws::keys(flaws, signed) {
            let id = key.id();
            self.stop_polls(cx, id);
            self.conflicts.delete(&id);
            decided(cx, id, txid);
        }
        for (outpoint, _) in &signed.transaction.inputs {
            if flaws::remembers(flaws) {
                self.spent.put(*outpoint, txid);
                self.outputs.delete(outpoint);
            }
            self.unlock(cx, outpoint, txid);
        }
        for (index, output) in signed.transaction.outputs.iter().enumerate() {
            let index = index as u32;
            self.outputs.put(OutPoint { txid, index }, output.clone());
        }
        cx.count("snowball_transactions_finalized_total");
        for loser in losers {
            self.reject(cx, loser, txid);
        }
        let confidence = cx.env().config.finality_confidence;
        for (client, number) in self.waiting.remove(&txid).unwrap_or_default() {
            cx.reply(client, number, Reply::Finalized { txid, confidence });
        }
        self.adopt_orphans(cx);
        self.consider_candidates(cx);
        self.arm_build(cx);
    }

    /// A transaction in conflict with this one is final. (S1-F4, S1-F20)
    fn reject(&mut self, cx: Cx<'_, '_>, loser: Hash32, by: Hash32) {
        let Some(signed) = self.pool.get(&loser).cloned() else {
            return;
        };
        if flaws::moves_losers(cx.env().flaws) {
            return self.finalize(cx, loser, &signed);
        }
        self.pool.remove(&loser);
        self.transactions.delete(&loser);
        self.rejected.put(loser, by);
        cx.count("snowball_transactions_rejected_total");
        if let Some((outpoint, _)) = signed.transaction.inputs.first() {
            let key = ConflictKey::Spend(*outpoint).id();
            cx.emit(Level::Protocol, || {
                Event::new(EventKind::Deferred, Some(key), Round(0)).value(Some(loser))
            });
        }
        for (outpoint, _) in &signed.transaction.inputs {
            if flaws::unlocks(cx.env().flaws) {
                self.unlock(cx, outpoint, loser);
            }
        }
        for key in flaws::keys(cx.env().flaws, &signed) {
            self.bury(cx, key, loser);
        }
        for (client, number) in self.waiting.remove(&loser).unwrap_or_default() {
            cx.reply(client, number, Reply::Rejected { txid: loser, by });
        }
    }

    /// A choice for this key is dead: others go on, or nothing is left of it.
    fn bury(&mut self, cx: Cx<'_, '_>, key: ConflictKey, dead: Hash32) {
        let id = key.id();
        let Some(row) = self.conflicts.get(&id).copied() else {
            return;
        };
        let Some(next) = self.alive(&key) else {
            self.stop_polls(cx, id);
            self.conflicts.delete(&id);
            cx.record(Record {
                kind: RecordKind::Abandoned,
                instance: id,
                value: None,
                round: Round(0),
            });
            cx.emit(Level::Decisions, || {
                Event::new(EventKind::Abandoned, Some(id), Round(0))
            });
            return enter(cx, id, phase::REJECTED, 0, None);
        };
        if row.decided && row.preference == dead {
            // It was provisional. Every live choice has its chance again, at zero.
            self.conflicts.delete(&id);
            self.open(cx, key, next);
            for other in self.pool_choices(&key) {
                self.open(cx, key, other);
            }
            return;
        }
        let stronger = self
            .voting
            .get_mut(&id)
            .and_then(|voting| voting.snow.remove(&dead));
        if row.preference == dead {
            let choice = stronger.filter(|choice| self.pool.contains(choice));
            let choice = choice.unwrap_or(next);
            self.prefer(id, choice);
            if stronger != Some(choice)
                && let Some(voting) = self.voting.get_mut(&id)
            {
                voting.snow = crate::snow::Snowball::new(choice);
            }
        }
    }

    /// The first choice of a key that may still win.
    fn alive(&self, key: &ConflictKey) -> Option<Hash32> {
        self.pool_choices(key).into_iter().next()
    }

    fn pool_choices(&self, key: &ConflictKey) -> Vec<Hash32> {
        match key {
            ConflictKey::Spend(outpoint) => self.pool.spenders(outpoint).collect(),
            ConflictKey::Height(_) | ConflictKey::Alone(..) => Vec::new(),
        }
    }

    /// What a client was promised about an input is over. (S1-F20)
    fn unlock(&mut self, _: Cx<'_, '_>, outpoint: &OutPoint, holder: Hash32) {
        if self.locks.get(outpoint) == Some(&holder) {
            self.locks.delete(outpoint);
        }
    }

    /// Transactions whose inputs may be there now.
    pub(super) fn adopt_orphans(&mut self, cx: Cx<'_, '_>) {
        let orphans: Vec<Signed> = self.orphans.values().cloned().collect();
        for signed in orphans {
            let known = |(outpoint, _): &(OutPoint, u64)| {
                self.spent.contains(outpoint) || self.output(cx.env(), outpoint).is_some()
            };
            if signed.transaction.inputs.iter().all(known) {
                self.orphans.remove(&signed.id());
                let _ = self.take_up(cx, &signed, None);
            }
        }
    }

    /// # Panics
    /// If the state contradicts itself.
    pub(super) fn assert_sound(&self, env: &Env<Snowball>) {
        for (id, row) in self.conflicts.iter() {
            assert_eq!(row.key.id(), *id, "a key under its id");
            match row.key {
                ConflictKey::Spend(outpoint) => {
                    assert!(self.pool.contains(&row.preference), "a live preference");
                    assert!(!self.spent.contains(&outpoint), "nothing spent is open");
                }
                ConflictKey::Height(_) => {
                    assert!(self.candidates.contains(&row.preference), "a block held");
                }
                ConflictKey::Alone(..) => unreachable!("hardened rules know conflict sets"),
            }
            assert_eq!(row.decided, !self.voting.contains_key(id), "open keys poll");
        }
        for (outpoint, holder) in self.locks.iter() {
            assert!(
                self.pool.contains(holder),
                "a lock of {outpoint:?} is stuck"
            );
        }
        assert!(self.patience <= super::PATIENCE_MAX, "patience has an end");
        let _ = env;
    }
}

/// A decision, for the record and for observers.
pub(super) fn decided(cx: Cx<'_, '_>, id: InstanceId, value: Hash32) {
    let beta = u64::from(cx.env().config.finality_confidence);
    cx.record(Record {
        kind: RecordKind::Decided,
        instance: id,
        value: Some(value),
        round: Round(0),
    });
    cx.emit(Level::Decisions, || {
        Event::new(EventKind::Decided, Some(id), Round(0))
            .value(Some(value))
            .count(beta, beta, beta)
    });
    enter(cx, id, phase::FINALIZED, 0, Some(value));
}
